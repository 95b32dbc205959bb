#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "velum/dpsgd/accounting/composition.h"

namespace velum::dpsgd {

/// lower <= value <= upper, both proved. The value is that of the product of the dominating pairs
/// (docs/accounting.md): what the releases cost where one pair of neighbours attains the pairs of
/// all of them, and otherwise, as for samples without replacement, at least that.
struct CertifiedInterval {
  double lower;
  double upper;
};

/// How exactly a privacy loss distribution is evaluated. All limits are on work, not on time, so
/// that equal questions have equal answers.
struct PldOptions {
  double relative_width = 1e-3;  ///< upper - lower <= relative_width * upper; in (0, 1)
  double absolute_width = 1e-6;  ///< or <= absolute_width of epsilon; >= 0
  /// Most lattice points of a composed distribution: about 100 bytes each. 2^10 to 2^26. Also sets
  /// how much work a question may take, counted in operations: about a CPU second at the default,
  /// and up to five where there are a thousand different mechanisms.
  std::int64_t largest_lattice = std::int64_t{1} << 20;
  /// Return the interval that was reached where the widths were not, instead of throwing.
  bool accept_wider = false;
};

/// The asked width could not be reached within the points and the work that
/// `PldOptions::largest_lattice` allows. The text names what can be reached.
class AccuracyNotReached : public std::runtime_error {
 public:
  AccuracyNotReached(const std::string& what, CertifiedInterval reached)
      : std::runtime_error(what), reached_(reached) {}

  /// True bounds all the same; the upper one may be infinite.
  CertifiedInterval reached() const { return reached_; }

 private:
  CertifiedInterval reached_;
};

/// Smallest epsilon >= 0 at `delta` of all releases together, between two proved bounds: the
/// numerical counterpart of the Renyi bounds, tight up to the width asked for.
///
/// The privacy loss log(dP/dQ) of every mechanism is put on one lattice twice, once by splitting
/// outcomes (above) and once by fusing them (below), and convolved by FFT after exponential
/// tilting; what rounding, the window and the tails may contribute is bounded and added. Under
/// add-or-remove-one both directions are computed and the worse is returned. The lattice is refined
/// until the interval is as narrow as asked.
///
/// The result does not depend on the order of the phases, nor on how equal releases are divided
/// among phases, to the last bit.
/// Papers: Koskela, Jaelkoe and Honkela (arXiv 1906.03049) for the FFT; Doroshenko et al. (arXiv
/// 2207.04380) for splitting; Zhu, Dong and Wang (arXiv 2106.08567) for dominating pairs; proofs
/// and error terms in docs/accounting.md.
///
/// An infinite epsilon is {infinity, infinity}, or {lower, infinity} where cut batches or a sample
/// without noise put `delta` out of reach of what can be proved.
/// @param delta  in (0, 1).
/// @throws std::invalid_argument if a value is out of range, or no dominating pair is known for a
///         mechanism (zCDP, Skellam); AccuracyNotReached.
CertifiedInterval pld_epsilon(const Composition& composition, double delta,
                              const PldOptions& options = {});

/// Smallest delta at `epsilon` >= 0 in the same way, to `relative_width` down to 1e-18; of a
/// smaller one only an upper bound below 1e-18 is sure. `absolute_width` plays no part.
CertifiedInterval pld_delta(const Composition& composition, double epsilon,
                            const PldOptions& options = {});

/// @throws std::invalid_argument naming `function` and the mechanism if no dominating pair of it is
///         known or it is outside of what can be evaluated: zCDP and Skellam; a noise multiplier
///         in (0, 0.001); a discrete Gaussian of standard deviation above 4.7e4; under replace-one
///         a `DominatingPairMechanism` that differs between its orders.
void check_dominating_pair(const Mechanism& mechanism, Neighbouring neighbouring,
                           const char* function);

}  // namespace velum::dpsgd
