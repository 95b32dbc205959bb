#pragma once

#include "polynomial/base_conversion_body.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Tasks of one degree and as many polynomials each.
template <typename Word>
void base_conversions_cpu(Span<const BaseConversionTask<Word>> tasks, const Stream& stream);
template <typename Word>
void base_conversion_cuda(const BaseConversionTask<Word>& task, const Stream& stream);

/// convert_base without checks and with a gap between the limbs of `out` (BaseConversionTask).
template <typename Word>
void run_base_conversion(const BaseConversionTask<Word>& task, const Stream& stream);

}  // namespace velum::kernels
