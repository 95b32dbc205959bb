#pragma once

#include "polynomial/digit_packing_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

void pack_digits_cpu(const PackDigitsBody& body, const Stream& stream);
void pack_digits_cuda(const PackDigitsBody& body, const Stream& stream);
/// Of 4, 8 and 16 words.
template <int kWords>
void unpack_digits_cpu(const UnpackDigitsBody<kWords>& body, const Stream& stream);
template <int kWords>
void unpack_digits_cuda(const UnpackDigitsBody<kWords>& body, const Stream& stream);

}  // namespace velum::kernels
