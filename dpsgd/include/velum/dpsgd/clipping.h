#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace velum::dpsgd {

/// Some parameters whose part of a gradient is bounded by a norm of its own.
struct ClippingGroup {
  /// Indices into `PrivacyEngine::parameters()`: the parameters that require grad, in the order in
  /// which the engine was given them.
  std::vector<std::int64_t> parameters;
  /// C_g, in units of the gradient; finite and >= 2^-400.
  double clipping_norm;

  friend bool operator==(const ClippingGroup&, const ClippingGroup&) = default;
};

/// How a clipping norm follows a quantile of the gradients' norms (`Clipping::adaptive`).
struct AdaptiveClipping {
  /// C of the first step, in units of the gradient; the paper takes 0.1.
  double initial_norm;
  /// gamma: the share of the samples whose norm shall be at most C; > 0 and < 1.
  double quantile = 0.5;
  /// eta_C: after each step C is multiplied by exp(-eta_C (noised share - gamma)); > 0, <= 10.
  double learning_rate = 0.2;
  /// sigma_b: standard deviation of the noise on the *number* of samples whose norm is at most C;
  /// finite, > 0, and above half of the engine's noise multiplier. The paper takes a twentieth of
  /// the expected batch size.
  double count_noise;
  /// C stays between these: 2^-100 <= smallest_norm <= initial_norm <= largest_norm <= 2^100.
  double smallest_norm = 0x1p-40;
  double largest_norm = 0x1p40;

  friend bool operator==(const AdaptiveClipping&, const AdaptiveClipping&) = default;
};

/// How the gradient g of one sample is bounded before the samples are summed. A value.
///
/// For each kind: a sample whose norm is not finite adds exactly zero; factors are rounded down, so
/// that the bound holds in exact arithmetic (docs/numerics.md, "Clipping").
class Clipping {
 public:
  enum class Kind { kFlat, kGroups, kAutomatic, kAdaptive };

  /// One bound for the gradient over all parameters together: g * min(1, C / ||g||).
  /// Paper: Deep Learning with Differential Privacy, CCS 2016 (arXiv 1607.00133), Algorithm 1.
  ///
  /// @param clipping_norm  C, in units of the gradient; finite and > 0.
  /// @throws std::invalid_argument if clipping_norm is out of range.
  static Clipping flat(double clipping_norm);

  /// A bound for each group of parameters: every part g_g of g is multiplied by
  /// min(1, C_g / ||g_g||), each by its own norm; a part whose norm is not finite is zero.
  ///
  /// The sensitivity is sqrt(sum of C_g^2), and noise of sigma times that goes on every coordinate
  /// of every group alike. In a pass over a graph that is known a group is summed when the last use
  /// of its parameters is seen, and what its gradients take is free for the rest of the pass.
  ///
  /// @param groups  which together name every index from 0 to the number of parameters exactly
  ///                once; the engine checks that number.
  /// @throws std::invalid_argument if they do not, a group is empty, or a norm is out of range.
  static Clipping by_groups(std::vector<ClippingGroup> groups);
  /// `by_groups` with one group for each parameter tensor, in the order of
  /// `PrivacyEngine::parameters()`. A layer's weight and bias are two of them.
  static Clipping per_layer(const std::vector<double>& clipping_norms);
  /// C / sqrt(groups), rounded down: as the bound of each of so many groups it gives a sensitivity
  /// of C.
  /// @throws std::invalid_argument if clipping_norm is not finite and >= 2^-300, or groups < 1.
  static double equal_share(double clipping_norm, std::int64_t groups);

  /// AUTO-S: g * C / (||g|| + gamma). Every gradient is brought near norm C, small ones too; the
  /// sensitivity is C, strictly. A learning rate takes the part of C.
  /// Paper: Automatic Clipping: Differentially Private Deep Learning Made Easier and Stronger,
  /// NeurIPS 2023 (arXiv 2206.07136), Section 3.
  ///
  /// @param clipping_norm  C, in units of the result; 2^-100 to 2^100.
  /// @param stability      gamma, in units of the gradient; 2^-60 to 2^60.
  /// @throws std::invalid_argument if a value is out of range.
  static Clipping automatic(double clipping_norm, double stability = 0.01);

  /// `flat` with a C that moves after each step towards a quantile of the norms:
  ///
  ///   share = 1/2 + (sum_i (b_i - 1/2) + N(0, sigma_b^2)) / expected_batch_size
  ///   C <- C exp(-eta_C (share - gamma)), within [smallest_norm, largest_norm]
  ///
  /// b_i is 1 where ||g_i|| is well below C, 0 where it is well above or not finite, and falls
  /// linearly over C (1 -+ 2^-6): a step would let the rounding of a norm move the count by a whole
  /// sample. (The paper has the step.)
  ///
  /// The sum and the count are one release. With z the engine's noise multiplier the sum gets
  /// noise of z_sum * C, z_sum = (z^-2 - (2 sigma_b)^-2)^(-1/2) > z, and both together cost what a
  /// Gaussian mechanism of noise multiplier z costs: it is what is accounted (docs/accounting.md,
  /// "A clipping norm that adapts").
  /// Paper: Differentially Private Learning with Adaptive Clipping (arXiv 1905.03871),
  /// Algorithm 1 and Theorem 1.
  ///
  /// @throws std::invalid_argument if a value is out of range.
  static Clipping adaptive(const AdaptiveClipping& adaptive);

  Kind kind() const { return kind_; }
  /// C of `flat`, `automatic` and, for the first step, `adaptive`; `sensitivity()` of groups.
  double clipping_norm() const { return clipping_norm_; }
  /// By how much, at most, one sample moves the sum of clipped gradients in L2: C, or
  /// sqrt(sum of C_g^2), rounded up. Of `adaptive`: in the first step; `StepStatistics` has that
  /// of each step.
  double sensitivity() const { return clipping_norm_; }
  /// The groups; none for the other kinds.
  const std::vector<ClippingGroup>& groups() const { return groups_; }
  /// gamma of `automatic`; 0 for the other kinds.
  double stability() const { return stability_; }
  /// @throws std::logic_error unless the kind is kAdaptive.
  const AdaptiveClipping& adaptive() const;

  /// The noise on the sum, over its sensitivity, with which a step costs what a Gaussian mechanism
  /// of `noise_multiplier` costs: the same number, or z_sum of `adaptive`, rounded up.
  /// @throws std::invalid_argument if count_noise is not above noise_multiplier / 2.
  double sum_noise_multiplier(double noise_multiplier) const;

  /// For people: "flat: gradients are clipped to norm 0.1" and the like.
  std::string to_text() const;
  /// JSON object: `kind` ("flat", "groups", "automatic", "adaptive") and the values under their own
  /// names. Doubles read back as the same bits.
  std::string to_json() const;
  /// @throws std::invalid_argument if the text is not what `to_json` writes.
  static Clipping from_json(std::string_view json);

  friend bool operator==(const Clipping&, const Clipping&) = default;

 private:
  Clipping(Kind kind, double clipping_norm) : kind_(kind), clipping_norm_(clipping_norm) {}

  Kind kind_;
  double clipping_norm_;
  std::vector<ClippingGroup> groups_;
  double stability_ = 0;
  AdaptiveClipping adaptive_{.initial_norm = 0, .count_noise = 0};
};

/// "flat", "groups", "automatic", "adaptive".
std::string_view to_string(Clipping::Kind kind);

}  // namespace velum::dpsgd
