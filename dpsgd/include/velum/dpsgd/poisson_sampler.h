#pragma once

#include <cstdint>
#include <vector>

#include "velum/dpsgd/accounting/mechanism.h"
#include "velum/kernels/random/fork_guard.h"
#include "velum/kernels/random/key_source.h"

namespace velum::dpsgd {

/// Draws the logical batches of DP-SGD: at every step each sample of the data set is included
/// independently with probability `sampling_rate`.
///
/// The batch size is therefore random, and a batch may be empty: an empty batch is a step like any
/// other, it is noised and accounted, and leaving it out would tell that nobody was drawn. With
/// `sampling_rate` = 1 every step is the whole data set, in order, and no randomness is used.
///
/// The mechanism travels with the sampler: `mechanism()` is what an accountant composes for one
/// step, so that a batch drawn in another way cannot be accounted as a Poisson one.
///
/// Secrecy: privacy amplification assumes that nobody knows who was drawn, so the bits come from
/// ChaCha20 with a key of the operating system unless a key is given. Position of the draw in the
/// stream: (kPoissonSampling, key_epoch, step, 0).
/// Exactness: the probability is q for q >= 2^-12, and otherwise q rounded down to a multiple of
/// 2^-64, never up.
/// Determinism: the batches are a function of key, key epoch, step, size and rate.
class PoissonSampler {
 public:
  /// With a new key from the operating system.
  /// @param dataset_size   number of samples; 1 to 2^35. It is treated as public.
  /// @param sampling_rate  q, the inclusion probability; > 0 and <= 1.
  /// @throws std::invalid_argument if a value is out of range; std::system_error if the operating
  ///         system gives no randomness.
  PoissonSampler(std::int64_t dataset_size, double sampling_rate);

  /// With the caller's key, which must not have drawn for this key epoch before. `first_step` is
  /// the step that the first `next()` draws: the one to give when a run goes on.
  /// @throws std::invalid_argument or std::out_of_range if a value is out of range.
  PoissonSampler(std::int64_t dataset_size, double sampling_rate, const kernels::RandomKey& key,
                 std::uint32_t key_epoch = 0, std::int64_t first_step = 0);
  PoissonSampler(const PoissonSampler&) = delete;  // a copy would draw the same batches again
  PoissonSampler& operator=(const PoissonSampler&) = delete;
  ~PoissonSampler();

  /// The indices of the next logical batch, ascending and without repetition; possibly none.
  /// @throws std::logic_error in a process forked from the one that made the sampler.
  std::vector<std::int64_t> next();

  std::int64_t dataset_size() const { return dataset_size_; }
  double sampling_rate() const { return sampling_rate_; }
  /// q * dataset size: the divisor of the noised sum. The size of an actual batch is private.
  double expected_batch_size() const { return sampling_rate_ * static_cast<double>(dataset_size_); }
  /// The step that the next `next()` draws.
  std::int64_t next_step() const { return step_; }

  /// Under which a step is the mechanism below: one data set has one sample more.
  static constexpr Neighbouring neighbouring() { return Neighbouring::kAddOrRemoveOne; }
  /// One step with Gaussian noise of `noise_multiplier` times the sensitivity: Poisson-sampled, or
  /// the plain Gaussian mechanism for q = 1.
  /// @throws std::invalid_argument if noise_multiplier is not finite and >= 0.
  Mechanism mechanism(double noise_multiplier) const;

 private:
  std::int64_t dataset_size_;
  double sampling_rate_;
  kernels::RandomKey key_;
  std::uint32_t key_epoch_;
  std::int64_t step_;
  kernels::ForkGuard fork_guard_;
};

}  // namespace velum::dpsgd
