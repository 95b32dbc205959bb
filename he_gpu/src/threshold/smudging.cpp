#include "velum/he/threshold/smudging.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "wide_gaussian.h"

namespace velum::he::threshold {

Smudging smudging_for(const char* function, const Parameters& parameters,
                      const SmudgingPolicy& policy, double coefficient_bound, double norm_bound) {
  const std::string name = function;
  if (policy.statistical_bits < 10 || policy.statistical_bits > 80) {
    throw std::invalid_argument(name + ": statistical_bits = " +
                                std::to_string(policy.statistical_bits) + ", expected 10 to 80");
  }
  if (!(coefficient_bound > 0.0 && norm_bound > 0.0 && std::isfinite(coefficient_bound))) {
    throw std::invalid_argument(name + ": the bound of the error is " +
                                std::to_string(coefficient_bound) +
                                ", expected finite and above 0");
  }
  const double wanted = std::ldexp(coefficient_bound, policy.statistical_bits);
  const int draws = gaussian_draws_for(wanted);
  if (draws > kMostGaussianDraws) {
    throw std::invalid_argument(
        name + ": noise of standard deviation 2^" + std::to_string(std::log2(wanted)) +
        " is needed to hide an error of up to 2^" + std::to_string(std::log2(coefficient_bound)) +
        ", expected at most 2^115: bring the ciphertext to a lower level first, where its error "
        "is smaller, or take fewer statistical_bits");
  }
  const auto n = static_cast<double>(parameters.ring_degree());
  Smudging smudging;
  smudging.sigma = sigma_of_gaussian_draws(draws);
  smudging.largest = largest_of_gaussian_draws(draws);
  smudging.statistical_distance =
      std::min(norm_bound, std::sqrt(n) * coefficient_bound) / (2.0 * smudging.sigma) + n * 0x1p-56;
  return smudging;
}

void add_smudging(const Context& context, const Smudging& smudging, int level, RnsView<Word> out,
                  Randomness& randomness, const Stream& stream) {
  const SecretSeed seed(randomness.next());
  add_wide_gaussian(context, gaussian_draws_for(smudging.sigma), out, context.q_limbs(level), seed,
                    stream);
}

}  // namespace velum::he::threshold
