#pragma once

#include "random/integer_noise_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

void integer_noise_cpu(const ExactDiscreteGaussianBody& body, const Stream& stream);
void integer_noise_cpu(const SkellamBody& body, const Stream& stream);
void integer_noise_cuda(const ExactDiscreteGaussianBody& body, const Stream& stream);
void integer_noise_cuda(const SkellamBody& body, const Stream& stream);

}  // namespace velum::kernels
