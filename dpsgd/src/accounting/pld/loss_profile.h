#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "velum/dpsgd/accounting/mechanism.h"

namespace velum::dpsgd::pld {

/// Which of two neighbouring data sets gives P, the distribution whose samples are judged.
enum class Direction {
  kRemove,  ///< P: with the example, Q: without
  kAdd,     ///< P: without the example, Q: with
};

/// Outcomes whose privacy loss log(dP/dQ) lies in [lower, upper], taken together.
///
///   excess  = P - exp(lower) Q = integral of (1 - exp(lower - loss)) dP >= 0
///   deficit = exp(upper) Q - P = integral of (exp(upper - loss) - 1) dP >= 0
///
/// say the same as Q, without its cancellation. An atom has lower == upper and both 0.
struct LossPiece {
  double lower;
  double upper;
  double p;
  double excess;
  double deficit;
};

/// Outcomes in order of their loss, cut where the caller asked, and what is known of their errors.
struct LossPieces {
  std::vector<LossPiece> pieces;  // ascending; p > 0
  double infinite_p = 0.0;        // P where Q is 0
  double truncated_p = 0.0;       // of P, in no piece; its loss is not known
  double relative_error = 0.0;    // of p, excess and deficit
  double infinite_error = 1e-12;  // of infinite_p and truncated_p, relative
  double loss_error = 0.0;        // absolute, of every loss that is computed here or from here
};

/// The privacy loss of one release in one direction.
class LossProfile {
 public:
  virtual ~LossProfile() = default;

  /// Pieces that do not straddle any of the ascending `boundaries`.
  virtual LossPieces pieces(const std::vector<double>& boundaries) const = 0;

  /// Whether the other direction gives the same pieces.
  virtual bool symmetric() const = 0;

  /// No finite loss is larger; infinite if none is known to be. Rounded up.
  virtual double largest_loss() const { return std::numeric_limits<double>::infinity(); }

  /// If all losses that are atoms differ by multiples of a number, that number; otherwise 0.
  virtual double period() const { return 0.0; }
};

/// @throws std::invalid_argument naming `function` if no dominating pair of the mechanism is known,
///         or none that can be handled: a noise multiplier below `kSmallestNoiseMultiplier`, a
///         discrete Gaussian wider than `kLargestStandardDeviation`.
void check_loss_profile(const Mechanism& mechanism, const char* function);

/// @param mechanism  one that `check_loss_profile` accepts.
std::unique_ptr<LossProfile> loss_profile(const Mechanism& mechanism, Direction direction);

inline constexpr double kSmallestNoiseMultiplier = 1e-3;
inline constexpr double kLargestStandardDeviation = 4.7e4;  // 4e6 atoms in its normaliser

}  // namespace velum::dpsgd::pld
