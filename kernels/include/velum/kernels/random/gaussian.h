#pragma once

#include <cstdint>

#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Fills `out` with draws of the standard normal distribution: out[j] is draw number
/// `first_element + j` at `position`.
///
/// Guarantee: draw i depends on (key, position, i) alone, not on the backend, the SIMD target, the
/// number of threads, nor on how a tensor is cut into calls: the same bits everywhere. Each draw
/// spends 64 random bits; the tail is not cut below |z| = 9.42, beyond which a normal variable lies
/// with probability 5e-21. The float draws are the double draws computed in float arithmetic. The
/// distance from the true distribution is stated in docs/numerics.md, "Random numbers".
/// Paper: A Note on the Generation of Random Normal Deviates, Box and Muller 1958; ChaCha20, RFC
/// 8439.
///
/// @param out            [any size]: overwritten.
/// @param key            secret; `secure_random_key()` where privacy is claimed.
/// @param position       used for one tensor of one release only.
/// @param first_element  >= 0; first_element + out.size() <= 2^35.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::out_of_range if the position or the elements are out of range; BackendUnavailable,
///         CudaError.
/// Determinism: bit for bit, across backends, threads and shards.
void gaussian_fill(Span<float> out, const RandomKey& key, const RandomPosition& position,
                   std::int64_t first_element, const Stream& stream);
void gaussian_fill(Span<double> out, const RandomKey& key, const RandomPosition& position,
                   std::int64_t first_element, const Stream& stream);

/// The same from element 0.
inline void gaussian_fill(Span<float> out, const RandomKey& key, const RandomPosition& position,
                          const Stream& stream) {
  gaussian_fill(out, key, position, 0, stream);
}
inline void gaussian_fill(Span<double> out, const RandomKey& key, const RandomPosition& position,
                          const Stream& stream) {
  gaussian_fill(out, key, position, 0, stream);
}

}  // namespace velum::kernels
