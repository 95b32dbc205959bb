#include "bfv/auxiliary_primes.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "velum/kernels/polynomial/ntt_tables.h"

namespace velum::he::bfv {
namespace {

constexpr int kPrimeBits = 30;
/// More than sums of logarithms are off by.
constexpr double kSlack = 1e-6;

/// log2 of the least R at a level.
double least_log_r(const Parameters& parameters, int level) {
  return 1.0 + std::log2(static_cast<double>(parameters.plaintext_modulus())) + parameters.log_n() +
         parameters.log_q(level) + kSlack;
}

}  // namespace

std::vector<std::uint32_t> auxiliary_primes(const Parameters& parameters) {
  const double missing = least_log_r(parameters, parameters.max_level()) - parameters.log_p();
  const int count = std::max(0, static_cast<int>(std::ceil(missing / (kPrimeBits - 1))));
  const auto size = static_cast<int>(parameters.primes().size());
  if (size + count > kernels::LimbIndices::kMaxLimbs) {
    throw std::invalid_argument(
        "ParametersBuilder: the chain has " + std::to_string(size) + " primes and products need " +
        std::to_string(count) + " more, expected at most " +
        std::to_string(kernels::LimbIndices::kMaxLimbs) + " together: take fewer modulus_bits");
  }
  return kernels::find_ntt_primes<std::uint32_t>(kPrimeBits, parameters.log_n(), count,
                                                 parameters.primes());
}

kernels::LimbIndices auxiliary_limbs(const Parameters& parameters,
                                     const std::vector<std::uint32_t>& chain, int level) {
  const double least = least_log_r(parameters, level);
  kernels::LimbIndices limbs;
  double log_r = 0.0;
  for (int i = 0; i < static_cast<int>(chain.size()) && log_r < least; ++i) {
    const int first = parameters.special_prime_count();
    if (i >= first && i < static_cast<int>(parameters.primes().size())) continue;  // the q
    limbs.append(i);
    log_r += std::log2(chain[static_cast<std::size_t>(i)]);
  }
  return limbs;
}

}  // namespace velum::he::bfv
