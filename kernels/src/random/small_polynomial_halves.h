#pragma once

#include "random/small_polynomial_body.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

void small_fill_cpu(const SmallFillBody<TernaryDraw>& body, const Stream& stream);
void small_fill_cpu(const SmallFillBody<DiscreteGaussianDraw>& body, const Stream& stream);
void small_fill_cuda(const SmallFillBody<TernaryDraw>& body, const Stream& stream);
void small_fill_cuda(const SmallFillBody<DiscreteGaussianDraw>& body, const Stream& stream);

namespace cpu {
/// The map of the discrete Gaussian alone, with the SIMD target of the machine, for tests: out[i]
/// from words 4i .. 4i + 3.
void discrete_gaussian_map(Span<const std::uint32_t> words, Span<std::int8_t> out);
}  // namespace cpu

void fixed_weight_ternary_fill_cpu(const FixedWeightTask& task, const Stream& stream);
void fixed_weight_ternary_fill_cuda(const FixedWeightTask& task, const Stream& stream);

template <typename Word, typename Coefficient>
void small_to_residues_cpu(const SmallToResiduesBody<Word, Coefficient>& body,
                           const Stream& stream);
template <typename Word, typename Coefficient>
void small_to_residues_cuda(const SmallToResiduesBody<Word, Coefficient>& body,
                            const Stream& stream);

/// Calls `instantiate(Word, Coefficient)` for every pair that small_to_residues takes.
#define VELUM_SMALL_TO_RESIDUES(instantiate) \
  instantiate(std::uint32_t, std::int8_t);   \
  instantiate(std::uint32_t, std::int32_t);  \
  instantiate(std::uint32_t, std::int64_t);  \
  instantiate(std::uint64_t, std::int8_t);   \
  instantiate(std::uint64_t, std::int32_t);  \
  instantiate(std::uint64_t, std::int64_t)

}  // namespace velum::kernels
