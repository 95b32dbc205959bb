#pragma once

#include "polynomial/automorphism_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

template <AutomorphismForm kForm, typename Word>
void automorphism_cpu(const AutomorphismTask<Word>& task, const Stream& stream);
template <AutomorphismForm kForm, typename Word>
void automorphism_cuda(const AutomorphismTask<Word>& task, const Stream& stream);

}  // namespace velum::kernels
