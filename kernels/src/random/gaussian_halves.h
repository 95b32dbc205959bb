#pragma once

#include "random/gaussian_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

void gaussian_fill_cpu(const GaussianFillBody<float>& body, const Stream& stream);
void gaussian_fill_cpu(const GaussianFillBody<double>& body, const Stream& stream);
void gaussian_fill_cuda(const GaussianFillBody<float>& body, const Stream& stream);
void gaussian_fill_cuda(const GaussianFillBody<double>& body, const Stream& stream);

}  // namespace velum::kernels
