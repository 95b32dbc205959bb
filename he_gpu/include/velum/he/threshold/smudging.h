#pragma once

#include <cstdint>

#include "velum/he/context.h"
#include "velum/he/randomness.h"

namespace velum::he::threshold {

/// How wide the noise is that hides the error of a decryption from the others.
struct SmudgingPolicy {
  /// Bits lambda, 10 to 80: the noise has a standard deviation of at least 2^lambda times the bound
  /// of the error.
  int statistical_bits = 40;
};

/// Discrete Gaussian noise on every coefficient: docs/noise.md, "Shares of a threshold".
struct Smudging {
  /// Standard deviation: 2^lambda B to twice that.
  double sigma = 0.0;
  /// The largest that is drawn.
  double largest = 0.0;
  /// A bound of the statistical distance between noise and noise plus error:
  ///
  ///   |error|_2 / (2 sigma) + N 2^-56
  ///
  /// the first by Pinsker from the Kullback-Leibler divergence |error|_2^2 / (2 sigma^2), at most
  /// sqrt(N) 2^-(lambda + 1) of an error with coefficients of at most B; the second since the
  /// sampler is a discrete Gaussian up to factors 1 +- 2^-56. Distances of several releases add up.
  double statistical_distance = 0.0;
};

/// @param coefficient_bound  B: no coefficient of the error is larger; finite and > 0.
/// @param norm_bound         of the L2 norm of its coefficients; at most sqrt(N) B counts.
/// @throws std::invalid_argument naming `function` if statistical_bits is out of range, a bound is
/// not above 0, or the noise would be wider than 2^115.
Smudging smudging_for(const char* function, const Parameters& parameters,
                      const SmudgingPolicy& policy, double coefficient_bound, double norm_bound);

/// Adds such noise, newly drawn.
/// @param out  [1, limbs(level), N], NTT form, on the stream's backend. Waits until it is done.
void add_smudging(const Context& context, const Smudging& smudging, int level, RnsView<Word> out,
                  Randomness& randomness, const Stream& stream);

}  // namespace velum::he::threshold
