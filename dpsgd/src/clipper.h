#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "velum/dpsgd/clipping.h"

namespace velum::dpsgd::detail {

/// A `Clipping` at work on given parameters: factors from norms, and what noise the sum needs.
///
/// Sums are kept in a unit in which every factor is at most 1, so that no product of a factor and a
/// finite gradient overflows: `scale()` of it is the unit of the clipping. It is 1 but for
/// `automatic`, whose factor C / (||g|| + gamma) is (C / gamma) times gamma / (||g|| + gamma).
class Clipper {
 public:
  struct Group {
    std::vector<std::size_t> parameters;
    double bound;            ///< of the group's part in a sum
    double summation_error;  ///< of the squared norms: of adding up, in units of themselves
  };

  /// @throws std::invalid_argument if the groups are not those of so many parameters, or the noise
  ///         multiplier is too large for the noise of the counts.
  Clipper(Clipping clipping, const std::vector<at::Tensor>& parameters, double noise_multiplier);

  const Clipping& clipping() const { return clipping_; }
  const std::vector<Group>& groups() const { return groups_; }

  /// [n] float64, each a value of `type`: what multiplies the gradients of squared norms [n]
  /// float64, contiguous. 0 where the norm is not finite.
  ///
  /// @param type  the coarsest in which these gradients are measured and summed, float32 or
  /// float64.
  at::Tensor factors(const at::Tensor& squared_norms, const Group& group,
                     at::ScalarType type) const;
  /// factors / counts (integers >= 1, float64), rounded down to `type`.
  at::Tensor divided(const at::Tensor& factors, const at::Tensor& counts,
                     at::ScalarType type) const;

  /// By how much one sample can move the sum, in its unit.
  double sum_sensitivity() const;
  double scale() const;
  /// By how much it can move the sum of clipped gradients.
  double sensitivity() const;
  /// Of the noise on the sum, over `sum_sensitivity`.
  double sum_noise_multiplier() const { return sum_noise_multiplier_; }

  /// sum_i (b_i - 1/2) over gradients of these squared norms; only for `adaptive`.
  double centred_count(const at::Tensor& squared_norms) const;
  /// C of the running step of `adaptive`.
  double adaptive_norm() const { return adaptive_norm_; }
  /// Goes on from where another run was.
  /// @throws std::invalid_argument if it is not within the bounds of the clipping.
  void set_adaptive_norm(double norm);
  /// After a step: `share` is the noised share of gradients whose norm is at most C.
  void adapt(double share);

 private:
  Clipping clipping_;
  std::vector<Group> groups_;
  double sum_noise_multiplier_;
  double adaptive_norm_;
};

}  // namespace velum::dpsgd::detail
