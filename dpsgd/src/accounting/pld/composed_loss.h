#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "loss_lattice.h"

namespace velum::dpsgd::pld {

/// Elementary operations that may still be done, about a nanosecond each: counted and not timed, so
/// that an answer never depends on the machine.
class WorkBudget {
 public:
  struct Exhausted {};

  explicit WorkBudget(double operations) : left_(operations) {}

  /// @throws Exhausted if that is more than what is left; nothing is left then.
  void spend(double operations) {
    left_ -= operations;
    if (left_ < 0.0) throw Exhausted{};
  }

  /// Takes that away, or all that is left.
  void charge(double operations) { left_ = std::max(left_ - operations, 0.0); }

  double left() const { return std::max(left_, 0.0); }

 private:
  double left_;
};

/// `count` independent releases of one kind.
struct LatticePhase {
  const LossLattice* lattice;
  std::int64_t count;
};

/// The loss of all releases together near one epsilon, in both bounds.
///
/// The masses are tilted by exp(theta * loss) before they are convolved by FFT, so that the result
/// is as large at the losses of interest as anywhere: rounding is then relative to delta and not
/// to 1. Everything that is not exact is bounded and counted: rounding of the masses, of the
/// transforms and of the powers, what wraps around the window and what lies beyond it
/// (docs/accounting.md, "Errors").
class ComposedLoss {
 public:
  /// @param phases  all on grids of one spacing.
  /// @param theta   >= 0.
  /// @param overflow  probability that some batch was cut short; (1 + exp(epsilon)) times as much
  ///                  is added to delta above and taken from it below.
  /// @param log_outside  log of the tilted mass that may lie outside the window on either side.
  /// @throws WindowTooLarge if more than `largest_size` points were needed; WorkBudget::Exhausted.
  ComposedLoss(const std::vector<LatticePhase>& phases, double theta, double overflow,
               std::int64_t largest_size, WorkBudget& budget, double log_outside = -26.0);

  /// Bounds on delta at epsilon, in [0, 1].
  double delta_upper(double epsilon) const;
  double delta_lower(double epsilon) const;

  /// Bounds on the smallest epsilon >= 0 at delta in (0, 1). Infinite if beyond the window.
  double epsilon_upper(double delta) const;
  double epsilon_lower(double delta) const;

  /// Part of `delta_upper` that bounds the rounding of the transforms: large if the tilt is wrong.
  double rounding_share(double epsilon) const;

  /// Standard deviation of the tilted loss.
  double deviation() const { return deviation_; }
  std::int64_t size() const { return static_cast<std::int64_t>(upper_.tail.size()); }

 private:
  struct Bound {
    double log_factor = 0.0;  // of the tilt: sum of count log M(theta)
    double log_factor_error = 0.0;
    double transform_error = 0.0;  // l2, of the tilted masses
    double beyond = 0.0;           // tilted mass outside the window, at most
    double infinite = 0.0;         // P of infinite loss
    std::vector<double> tail;  // [size] sum over m >= n of mass[m] exp(-theta (loss m - loss n))
    std::vector<double> weighted;  // [size] the same times 1 - exp(-(loss m - loss n))
  };

  double loss(std::int64_t n) const { return first_loss_ + spacing_ * static_cast<double>(n); }
  void accumulate(Bound& bound, const std::vector<double>& mass) const;
  /// Sum of mass (1 - exp(epsilon - loss))+ in units of exp(log_factor - theta (epsilon - offset)).
  double tilted_delta(const Bound& bound, double epsilon) const;
  double largest_weight() const;
  double weight_norm() const;

  double theta_;
  double overflow_;
  double spacing_;
  double offset_ = 0.0;      // sum of the offsets of all grids
  double loss_error_ = 0.0;  // of the loss of all releases
  double first_loss_ = 0.0;
  double deviation_ = 0.0;
  Bound upper_;
  Bound lower_;
};

/// More lattice points were needed than allowed.
struct WindowTooLarge {
  double needed;
};

}  // namespace velum::dpsgd::pld
