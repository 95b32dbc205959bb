#pragma once

#include <cstdint>

#include "random/uniform_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

void uniform_bits_fill_cpu(const UniformBitsFillBody& body, const Stream& stream);
void uniform_bits_fill_cuda(const UniformBitsFillBody& body, const Stream& stream);

void uniform_integers_fill_cpu(const UniformIntegersFillBody& body, const Stream& stream);
void uniform_integers_fill_cuda(const UniformIntegersFillBody& body, const Stream& stream);

std::int64_t poisson_select_workspace_size_cpu(std::int64_t population, const Stream& stream);
std::int64_t poisson_select_workspace_size_cuda(std::int64_t population, const Stream& stream);
void poisson_select_cpu(const PoissonSelection& selection, Span<std::uint8_t> workspace,
                        const Stream& stream);
void poisson_select_cuda(const PoissonSelection& selection, Span<std::uint8_t> workspace,
                         const Stream& stream);

}  // namespace velum::kernels
