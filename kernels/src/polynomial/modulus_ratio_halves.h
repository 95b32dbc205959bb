#pragma once

#include "polynomial/modulus_ratio_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

void multiply_by_ratio_cpu(const MultiplyByRatioBody& body, const Stream& stream);
void multiply_by_ratio_cuda(const MultiplyByRatioBody& body, const Stream& stream);
void divide_by_ratio_cpu(const DivideByRatioBody& body, const Stream& stream);
void divide_by_ratio_cuda(const DivideByRatioBody& body, const Stream& stream);

}  // namespace velum::kernels
