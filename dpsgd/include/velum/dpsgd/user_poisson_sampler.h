#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "velum/dpsgd/poisson_sampler.h"

namespace velum::dpsgd {

/// The samples of the users of one logical batch.
struct UserBatch {
  std::vector<std::int64_t> samples;  ///< indices; those of a user stand together, ascending
  std::vector<std::int64_t> users;    ///< the user of each of them, as the caller named it
};

/// Which samples of a user take part where there are more than may.
enum class SampleChoice {
  kUniform,  ///< a subset at random, all being equally likely, drawn anew at every step
  kFirst,    ///< those of the smallest indices, always the same
};

struct UserSamplingOptions {
  /// Most samples of a user in a step, >= 1; none: all. It bounds memory; what bounds the privacy
  /// cost of a user is the clip.
  std::optional<std::int64_t> max_samples_per_user = std::nullopt;
  SampleChoice choice = SampleChoice::kUniform;
};

/// Draws the logical batches of user-level DP-SGD: at every step each *user* is included
/// independently with probability `sampling_rate`, with all of the user's samples or a choice of
/// them.
///
///   UserPoissonSampler sampler(user_of_sample, sampling_rate, {.max_samples_per_user = 32});
///   PrivacyEngine engine(model->parameters(), sampler, {...});  // clips users, not samples
///   PoissonLoader loader(sampler, inputs, targets, physical_batch_size);
///   for (const PhysicalBatch& batch : loader.steps(1000)) {
///     ...
///     engine.accumulate(losses, batch.users);
///   }
///
/// Neighbouring data sets differ by one user, with all samples of that user. The number of users
/// is treated as public, as the number of samples is by `PoissonSampler`; how many samples each
/// has is not. The choice of samples costs nothing: whatever subset is drawn, the user's clipped
/// gradient is within the sensitivity, and the release is a mixture of such releases.
///
/// The users are drawn as `PoissonSampler` draws samples, from the same place of the random stream;
/// the choice of samples at (kUserSamples, key_epoch, step, 0).
/// Determinism: the batches are a function of key, key epoch, step, users and options.
class UserPoissonSampler {
 public:
  /// With a new key from the operating system.
  /// @param user_of_sample  [samples]: the user of each sample, any numbers; 1 to 2^35 samples.
  /// @param sampling_rate   q, the inclusion probability of a user; > 0 and <= 1.
  /// @throws std::invalid_argument if a value is out of range; std::system_error if the operating
  ///         system gives no randomness.
  UserPoissonSampler(const std::vector<std::int64_t>& user_of_sample, double sampling_rate,
                     const UserSamplingOptions& options = {});
  /// With the caller's key, key epoch and first step, as `PoissonSampler`.
  UserPoissonSampler(const std::vector<std::int64_t>& user_of_sample, double sampling_rate,
                     const UserSamplingOptions& options, const kernels::RandomKey& key,
                     std::uint32_t key_epoch = 0, std::int64_t first_step = 0);
  UserPoissonSampler(const UserPoissonSampler&) = delete;
  UserPoissonSampler& operator=(const UserPoissonSampler&) = delete;
  ~UserPoissonSampler();

  /// The next logical batch, users in ascending order; possibly empty.
  UserBatch next();

  std::int64_t user_count() const { return users_.dataset_size(); }
  /// Number of samples of all users together.
  std::int64_t dataset_size() const { return static_cast<std::int64_t>(samples_.size()); }
  double sampling_rate() const { return users_.sampling_rate(); }
  /// q * number of users: the divisor of the noised sum.
  double expected_batch_size() const { return users_.expected_batch_size(); }
  /// Most samples that a user can have in a batch; depends on the data.
  std::int64_t most_samples_of_a_user() const;
  std::int64_t next_step() const { return users_.next_step(); }

  /// One data set has one user more.
  static constexpr Neighbouring neighbouring() { return PoissonSampler::neighbouring(); }
  /// Of one step, as `PoissonSampler`, for the presence of a user.
  Mechanism mechanism(double noise_multiplier) const { return users_.mechanism(noise_multiplier); }

 private:
  /// Appends the samples of one user that take part, in ascending order.
  void append_samples(std::size_t user, std::int64_t step, std::vector<std::int64_t>& out) const;

  PoissonSampler users_;
  std::vector<std::int64_t> names_;    // [users], ascending
  std::vector<std::int64_t> begins_;   // [users + 1]: where a user's samples begin in samples_
  std::vector<std::int64_t> samples_;  // [samples], user by user, ascending within each
  UserSamplingOptions options_;
  kernels::RandomKey key_;
  std::uint32_t key_epoch_;
};

}  // namespace velum::dpsgd
