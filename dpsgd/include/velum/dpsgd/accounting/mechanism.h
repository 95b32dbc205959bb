#pragma once

#include <string>
#include <variant>

namespace velum::dpsgd {

/// When two data sets count as neighbours. Every guarantee names one.
enum class Neighbouring {
  kAddOrRemoveOne,  ///< one example is present in one and absent in the other
  kReplaceOne,      ///< one example has different values; the sizes are equal
};

/// "add-or-remove-one" or "replace-one", in JSON and in reports.
std::string to_string(Neighbouring neighbouring);

/// One release of a function of all examples with Gaussian noise: no sampling.
///
/// `noise_multiplier` is the standard deviation of the noise over the L2 sensitivity of the
/// function under the neighbouring relation in force. A sum of gradients clipped to C has
/// sensitivity C when one example is added or removed, and 2 C when one is replaced. Finite and >=
/// 0; 0 means no noise, whose epsilon is infinite.
struct GaussianMechanism {
  double noise_multiplier;

  friend bool operator==(const GaussianMechanism&, const GaussianMechanism&) = default;
};

/// The same on a Poisson sample: every example is in it with probability `sampling_rate`,
/// independently of all others, drawn anew for each release. Batches of a shuffled data set are not
/// such samples and must not be accounted as if they were.
///
/// `sampling_rate` q lies in [0, 1]. With q = 0 nothing depends on the data; with q = 1 this is the
/// Gaussian mechanism.
struct PoissonSampledGaussianMechanism {
  double sampling_rate;
  double noise_multiplier;

  friend bool operator==(const PoissonSampledGaussianMechanism&,
                         const PoissonSampledGaussianMechanism&) = default;
};

/// A mechanism is a value: what is composed is what ran.
using Mechanism = std::variant<GaussianMechanism, PoissonSampledGaussianMechanism>;

/// @throws std::invalid_argument naming `function` and the value that is out of range.
void validate(const Mechanism& mechanism, const char* function);

/// q of the mechanism; 1 where it does not sample.
double sampling_rate(const Mechanism& mechanism);

/// sigma of the mechanism.
double noise_multiplier(const Mechanism& mechanism);

/// "Gaussian, noise multiplier 10.85" and the like, for people.
std::string describe(const Mechanism& mechanism);

}  // namespace velum::dpsgd
