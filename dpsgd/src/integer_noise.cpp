#include "velum/dpsgd/integer_noise.h"

#include <stdexcept>
#include <string>

#include "accounting/range_check.h"
#include "velum/kernels/random/discrete_gaussian.h"
#include "velum/kernels/random/skellam.h"

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kMostClients = std::int64_t{1} << 31;
constexpr std::int64_t kLargestDimension = std::int64_t{1} << 32;

}  // namespace

IntegerNoisePlan plan_integer_noise(IntegerNoise noise, double variance,
                                    std::int64_t honest_clients) {
  constexpr char kFunction[] = "plan_integer_noise";
  if (!(variance > 0.0 && variance <= 0x1p60)) {
    reject(kFunction, "variance", variance, "> 0 and <= 2^60");
  }
  if (honest_clients < 1 || honest_clients > kMostClients) {
    reject(kFunction, "honest_clients", honest_clients, "1 to 2^31");
  }
  const IntegerNoisePlan plan{
      noise, honest_clients,
      kernels::variance_share(kernels::variance_at_least(variance), honest_clients)};
  if (noise == IntegerNoise::kDiscreteGaussian && honest_clients > 1 &&
      kernels::double_at_most(plan.share_variance) < 0.25) {
    reject(kFunction, "variance", variance,
           "at least honest_clients / 4 for discrete Gaussian shares: use Skellam noise, or a "
           "smaller granularity of the integers");
  }
  return plan;
}

Mechanism mechanism(const IntegerNoisePlan& plan, std::int64_t dimension,
                    const IntegerSensitivity& sensitivity) {
  const double variance = kernels::double_at_most(plan.share_variance);
  if (plan.noise == IntegerNoise::kSkellam) {
    return distributed_skellam(variance, plan.honest_clients, sensitivity);
  }
  return distributed_discrete_gaussian(variance, plan.honest_clients, dimension, sensitivity);
}

std::vector<std::int64_t> integer_noise_share(const IntegerNoisePlan& plan, std::int64_t dimension,
                                              const kernels::RandomKey& key,
                                              const kernels::RandomPosition& position,
                                              const kernels::Stream& stream) {
  constexpr char kFunction[] = "integer_noise_share";
  if (dimension < 0 || dimension > kLargestDimension) {
    reject(kFunction, "dimension", dimension, "0 to 2^32");
  }
  if (stream.backend() != kernels::Backend::kCpu) {
    throw std::invalid_argument(std::string(kFunction) +
                                ": a CUDA stream, expected a CPU stream: for CUDA use "
                                "kernels::skellam_fill or exact_discrete_gaussian_fill");
  }
  std::vector<std::int64_t> share(static_cast<std::size_t>(dimension));
  if (plan.noise == IntegerNoise::kSkellam) {
    kernels::skellam_fill(share, plan.share_variance, key, position, 0, stream);
  } else {
    kernels::exact_discrete_gaussian_fill(share, plan.share_variance, key, position, 0, stream);
  }
  return share;
}

}  // namespace velum::dpsgd
