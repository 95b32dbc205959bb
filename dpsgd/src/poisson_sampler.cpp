#include "velum/dpsgd/poisson_sampler.h"

#include <cmath>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>

#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/random/uniform.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kMaxDatasetSize = std::int64_t{1} << 35;  // draws in one stream

template <typename T>
[[noreturn]] void refuse(const char* name, T value, const char* expected) {
  std::ostringstream text;
  text << "PoissonSampler: " << name << " = " << value << ", expected " << expected;
  throw std::invalid_argument(text.str());
}

}  // namespace

PoissonSampler::PoissonSampler(std::int64_t dataset_size, double sampling_rate)
    : PoissonSampler(dataset_size, sampling_rate, kernels::secure_random_key()) {}

PoissonSampler::PoissonSampler(std::int64_t dataset_size, double sampling_rate,
                               const kernels::RandomKey& key, std::uint32_t key_epoch,
                               std::int64_t first_step)
    : dataset_size_(dataset_size),
      sampling_rate_(sampling_rate),
      key_(key),
      key_epoch_(key_epoch),
      step_(first_step) {
  if (dataset_size < 1 || dataset_size > kMaxDatasetSize) {
    refuse("dataset_size", dataset_size, "1 to 2^35");
  }
  if (!(sampling_rate > 0.0 && sampling_rate <= 1.0)) {
    refuse("sampling_rate", sampling_rate, "above 0 and at most 1");
  }
  if (first_step < 0) refuse("first_step", first_step, "at least 0");
}

PoissonSampler::~PoissonSampler() { kernels::wipe(key_); }

std::vector<std::int64_t> PoissonSampler::next() {
  fork_guard_.require_same_process("PoissonSampler::next");
  std::vector<std::int64_t> indices(static_cast<std::size_t>(dataset_size_));
  if (sampling_rate_ == 1.0) {
    std::iota(indices.begin(), indices.end(), std::int64_t{0});
  } else {
    const kernels::Stream stream = kernels::Stream::serial();
    std::vector<std::uint8_t> workspace(
        static_cast<std::size_t>(kernels::poisson_select_workspace_size(dataset_size_, stream)));
    std::int64_t count = 0;
    kernels::poisson_select(dataset_size_, sampling_rate_, key_,
                            {.purpose = kernels::Purpose::kPoissonSampling,
                             .key_epoch = key_epoch_,
                             .step = static_cast<std::uint64_t>(step_)},
                            indices, kernels::Span<std::int64_t>(&count, 1), workspace, stream);
    indices.resize(static_cast<std::size_t>(count));
  }
  ++step_;
  return indices;
}

Mechanism PoissonSampler::mechanism(double noise_multiplier) const {
  if (!(noise_multiplier >= 0.0 && std::isfinite(noise_multiplier))) {
    refuse("mechanism: noise_multiplier", noise_multiplier, "finite and at least 0");
  }
  if (sampling_rate_ == 1.0) return GaussianMechanism{noise_multiplier};
  return PoissonSampledGaussianMechanism{sampling_rate_, noise_multiplier};
}

}  // namespace velum::dpsgd
