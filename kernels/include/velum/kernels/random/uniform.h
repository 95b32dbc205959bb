#pragma once

#include <cstdint>

#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Fills `out` with uniform 64-bit integers: out[j] is draw number `first_element + j`, words
/// 2i and 2i + 1 (low word first) of the RFC 8439 keystream at `position`.
///
/// @param out            [any size]: overwritten.
/// @param key            secret, unless the draws need not be.
/// @param position       of the stream; use each position of a key for one purpose, once.
/// @param first_element  >= 0; first_element + out.size() <= 2^35.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::out_of_range if the position or the elements are out of range; BackendUnavailable,
///         CudaError.
/// Determinism: bit for bit, across backends, threads and shards.
void uniform_bits_fill(Span<std::uint64_t> out, const RandomKey& key,
                       const RandomPosition& position, std::int64_t first_element,
                       const Stream& stream);

/// Fills `out` with uniform integers of [0, bound).
///
///   out[j] = floor(U * bound / 2^128), U uniform of [0, 2^128)
///
/// Guarantee: the total variation distance from the uniform distribution is at most
/// bound / 2^128 < 2^-64 per draw. Nothing is rejected, so that a draw depends on (key, position,
/// element) alone and takes the same time whatever its value.
/// Paper: Fast Random Integer Generation in an Interval, Lemire 2019 (arXiv 1805.10941), section
/// 4, with 128 random bits in place of the rejection.
///
/// @param bound          >= 1.
/// @param out            [any size]: overwritten.
/// @param key            secret, unless the draws need not be.
/// @param position       of the stream; use each position of a key for one purpose, once.
/// @param first_element  >= 0; first_element + out.size() <= 2^34 - 4.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if bound is 0; std::out_of_range if the position or the elements
///         are out of range; BackendUnavailable, CudaError.
/// Determinism: bit for bit, across backends, threads and shards.
void uniform_integers_fill(std::uint64_t bound, Span<std::uint64_t> out, const RandomKey& key,
                           const RandomPosition& position, std::int64_t first_element,
                           const Stream& stream);

/// Bytes of workspace that `poisson_select` needs on the stream's backend.
/// @throws std::invalid_argument if population is out of range; BackendUnavailable, CudaError.
std::int64_t poisson_select_workspace_size(std::int64_t population, const Stream& stream);

/// Selects each index of [0, population) independently with probability `sampling_rate` and writes
/// the selected ones in increasing order.
///
///   index i is selected  <=>  U_i < floor(sampling_rate * 2^64), U_i uniform of [0, 2^64)
///
/// Guarantee: the probability is sampling_rate exactly if sampling_rate is 0 or at least 2^-12
/// (then a double's last bit is worth at least 2^-64), and otherwise less by under 2^-64: rounded
/// down, so that no example takes part more often than the accountant assumes. At
/// sampling_rate = 1 every index is selected.
///
/// @param population     >= 0, <= 2^35.
/// @param sampling_rate  q, in [0, 1].
/// @param key            secret, unless the draws need not be.
/// @param position       of the stream; use each position of a key for one purpose, once.
/// @param indices        [at least population]: the first count[0] are overwritten; on CUDA the
///                       rest may be, too.
/// @param count          [1]: overwritten by the number of selected indices.
/// @param workspace      [at least poisson_select_workspace_size(population, stream)], aligned
///                       to 256 bytes on CUDA.
/// @param stream         backend and queue of all spans; a CUDA call returns before the work is
///                       done.
/// @throws std::invalid_argument if a size or sampling_rate is out of range; std::out_of_range if
///         the position is; BackendUnavailable, CudaError.
/// Determinism: bit for bit, across backends and threads.
void poisson_select(std::int64_t population, double sampling_rate, const RandomKey& key,
                    const RandomPosition& position, Span<std::int64_t> indices,
                    Span<std::int64_t> count, Span<std::uint8_t> workspace, const Stream& stream);

}  // namespace velum::kernels
