#pragma once

#include <cstdint>

#include "velum/kernels/random/chacha20.h"
#include "velum/kernels/span.h"

namespace velum::kernels::cpu {

/// Draws first_element .. first_element + out.size() - 1 of a stream of DrawKind::kGaussian, on
/// the calling thread with the best SIMD target of the machine. For operations that consume noise
/// as they make it: choose `out` to stay in the first-level cache, and chunks that begin and end at
/// multiples of GaussianLayout::kDrawsPerGroup (others compute their first and last group twice).
void gaussian_chunk(const ChaCha20State& state, std::int64_t first_element, Span<float> out);
void gaussian_chunk(const ChaCha20State& state, std::int64_t first_element, Span<double> out);

}  // namespace velum::kernels::cpu
