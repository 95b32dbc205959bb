#pragma once

#include <cstdint>
#include <vector>

#include "velum/dpsgd/accounting/distributed_noise.h"
#include "velum/kernels/random/exact_variance.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {

enum class IntegerNoise {
  kDiscreteGaussian,  ///< a little less noise at large variances of a share; refused below 1/4
  kSkellam,           ///< sums are Skellam exactly, so shares may be as small as one likes
};

/// Noise that no one client knows: each of at least `honest_clients` clients adds a share of its
/// own, and the shares of any `honest_clients` of them add up to the variance that was asked for.
struct IntegerNoisePlan {
  IntegerNoise noise;
  std::int64_t honest_clients;
  kernels::ExactVariance share_variance;  ///< of each coordinate of one client's share

  friend bool operator==(const IntegerNoisePlan&, const IntegerNoisePlan&) = default;
};

/// A plan whose shares add up to at least `variance` on every coordinate, in squared steps of the
/// integers: variance / honest_clients, rounded up.
/// @param variance        of the sum of `honest_clients` shares; > 0, <= 2^60.
/// @param honest_clients  clients that are counted on: 1 to 2^31. Clients that may fail, leave or
///                        collude with those who see the sum do not count.
/// @throws std::invalid_argument if out of range, or if discrete Gaussian shares of several clients
///         would have a variance below 1/4.
IntegerNoisePlan plan_integer_noise(IntegerNoise noise, double variance,
                                    std::int64_t honest_clients);

/// The mechanism of a sum of integer vectors with the plan's noise, for an accountant:
/// `distributed_discrete_gaussian` or `distributed_skellam`, with their conditions.
/// @throws std::invalid_argument if a value is out of range.
Mechanism mechanism(const IntegerNoisePlan& plan, std::int64_t dimension,
                    const IntegerSensitivity& sensitivity);

/// One client's share: `dimension` independent draws of the plan's distribution, exactly. It does
/// not depend on any data: draw it before the values are known, so that its time tells nothing.
/// @param dimension  0 to 2^32.
/// @param key        the client's own secret; `kernels::secure_random_key()`.
/// @param position   used for one share only; the purpose is kernels::Purpose::kIntegerNoise.
/// @param stream     a CPU stream: the threads to use.
/// @throws std::invalid_argument if a value is out of range or the stream is CUDA's;
///         std::out_of_range if the position is.
/// Determinism: a function of plan, key and position, whatever the threads.
std::vector<std::int64_t> integer_noise_share(const IntegerNoisePlan& plan, std::int64_t dimension,
                                              const kernels::RandomKey& key,
                                              const kernels::RandomPosition& position,
                                              const kernels::Stream& stream);

}  // namespace velum::dpsgd
