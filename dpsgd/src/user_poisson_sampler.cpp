#include "velum/dpsgd/user_poisson_sampler.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/random/uniform.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {
namespace {

constexpr std::size_t kMaxSamples = std::size_t{1} << 35;  // draws in one stream

/// The different users, ascending.
std::vector<std::int64_t> names_of(const std::vector<std::int64_t>& user_of_sample) {
  if (user_of_sample.empty() || user_of_sample.size() > kMaxSamples) {
    throw std::invalid_argument("UserPoissonSampler: user_of_sample.size() = " +
                                std::to_string(user_of_sample.size()) + ", expected 1 to 2^35");
  }
  std::vector<std::int64_t> names = user_of_sample;
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace

UserPoissonSampler::UserPoissonSampler(const std::vector<std::int64_t>& user_of_sample,
                                       double sampling_rate, const UserSamplingOptions& options)
    : UserPoissonSampler(user_of_sample, sampling_rate, options, kernels::secure_random_key()) {}

UserPoissonSampler::UserPoissonSampler(const std::vector<std::int64_t>& user_of_sample,
                                       double sampling_rate, const UserSamplingOptions& options,
                                       const kernels::RandomKey& key, std::uint32_t key_epoch,
                                       std::int64_t first_step)
    : users_(static_cast<std::int64_t>(names_of(user_of_sample).size()), sampling_rate, key,
             key_epoch, first_step),
      names_(names_of(user_of_sample)),
      samples_(user_of_sample.size()),
      options_(options),
      key_(key),
      key_epoch_(key_epoch) {
  if (options.max_samples_per_user && *options.max_samples_per_user < 1) {
    throw std::invalid_argument("UserPoissonSampler: max_samples_per_user = " +
                                std::to_string(*options.max_samples_per_user) +
                                ", expected at least 1");
  }
  std::iota(samples_.begin(), samples_.end(), std::int64_t{0});
  const auto user_of = [&](std::int64_t sample) {
    return user_of_sample[static_cast<std::size_t>(sample)];
  };
  std::stable_sort(samples_.begin(), samples_.end(),
                   [&](std::int64_t a, std::int64_t b) { return user_of(a) < user_of(b); });
  for (std::size_t i = 0; i < samples_.size(); ++i) {
    if (i == 0 || user_of(samples_[i]) != user_of(samples_[i - 1])) {
      begins_.push_back(static_cast<std::int64_t>(i));
    }
  }
  begins_.push_back(static_cast<std::int64_t>(samples_.size()));
}

UserPoissonSampler::~UserPoissonSampler() { kernels::wipe(key_); }

std::int64_t UserPoissonSampler::most_samples_of_a_user() const {
  std::int64_t most = 0;
  for (std::size_t user = 0; user + 1 < begins_.size(); ++user) {
    most = std::max(most, begins_[user + 1] - begins_[user]);
  }
  return std::min(most, options_.max_samples_per_user.value_or(most));
}

void UserPoissonSampler::append_samples(std::size_t user, std::int64_t step,
                                        std::vector<std::int64_t>& out) const {
  const auto begin = samples_.begin() + begins_[user];
  const std::int64_t count = begins_[user + 1] - begins_[user];
  const std::int64_t most = options_.max_samples_per_user.value_or(count);
  if (count <= most || options_.choice == SampleChoice::kFirst) {
    out.insert(out.end(), begin, begin + std::min(count, most));
    return;
  }
  // The smallest of independent 64-bit tags: all subsets are equally likely but for equal tags,
  // which n samples have with probability below n^2 / 2^65.
  std::vector<std::uint64_t> tags(static_cast<std::size_t>(count));
  kernels::uniform_bits_fill(tags, key_,
                             {.purpose = kernels::Purpose::kUserSamples,
                              .key_epoch = key_epoch_,
                              .step = static_cast<std::uint64_t>(step)},
                             begins_[user], kernels::Stream::serial());
  std::vector<std::pair<std::uint64_t, std::int64_t>> tagged;
  for (std::int64_t i = 0; i < count; ++i) {
    tagged.emplace_back(tags[static_cast<std::size_t>(i)], begin[i]);
  }
  std::nth_element(tagged.begin(), tagged.begin() + most, tagged.end());
  const auto first = static_cast<std::ptrdiff_t>(out.size());
  for (std::int64_t i = 0; i < most; ++i) out.push_back(tagged[static_cast<std::size_t>(i)].second);
  std::sort(out.begin() + first, out.end());
}

UserBatch UserPoissonSampler::next() {
  const std::int64_t step = users_.next_step();
  UserBatch batch;
  for (const std::int64_t drawn : users_.next()) {
    const auto user = static_cast<std::size_t>(drawn);
    append_samples(user, step, batch.samples);
    batch.users.resize(batch.samples.size(), names_[user]);
  }
  return batch;
}

}  // namespace velum::dpsgd
