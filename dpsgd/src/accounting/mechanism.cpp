#include "velum/dpsgd/accounting/mechanism.h"

#include <cmath>

#include "accounting/range_check.h"

namespace velum::dpsgd {

std::string to_string(Neighbouring neighbouring) {
  return neighbouring == Neighbouring::kAddOrRemoveOne ? "add-or-remove-one" : "replace-one";
}

void validate(const Mechanism& mechanism, const char* function) {
  const double q = sampling_rate(mechanism);
  const double sigma = noise_multiplier(mechanism);
  if (!(q >= 0.0 && q <= 1.0)) reject(function, "sampling_rate", q, "in [0, 1]");
  if (!(sigma >= 0.0 && std::isfinite(sigma))) {
    reject(function, "noise_multiplier", sigma, "finite and >= 0");
  }
}

double sampling_rate(const Mechanism& mechanism) {
  const auto* sampled = std::get_if<PoissonSampledGaussianMechanism>(&mechanism);
  return sampled ? sampled->sampling_rate : 1.0;
}

double noise_multiplier(const Mechanism& mechanism) {
  return std::visit([](const auto& m) { return m.noise_multiplier; }, mechanism);
}

std::string describe(const Mechanism& mechanism) {
  const std::string noise = "noise multiplier " + number_text(noise_multiplier(mechanism));
  if (std::holds_alternative<GaussianMechanism>(mechanism)) return "Gaussian, " + noise;
  return "Poisson-sampled Gaussian, sampling rate " + number_text(sampling_rate(mechanism)) + ", " +
         noise;
}

}  // namespace velum::dpsgd
