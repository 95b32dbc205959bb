#pragma once

namespace velum::dpsgd {

/// How the gradient of one sample is bounded before the samples are summed. A value.
class Clipping {
 public:
  /// One bound for the gradient over all parameters together: g * min(1, C / ||g||), and exactly
  /// zero where ||g|| is not finite.
  ///
  /// @param clipping_norm  C, in units of the gradient; finite and > 0.
  /// @throws std::invalid_argument if clipping_norm is out of range.
  static Clipping flat(double clipping_norm);

  double clipping_norm() const { return clipping_norm_; }

  /// By how much, at most, one sample moves the sum of clipped gradients in L2: C.
  double sensitivity() const { return clipping_norm_; }

  friend bool operator==(const Clipping&, const Clipping&) = default;

 private:
  explicit Clipping(double clipping_norm) : clipping_norm_(clipping_norm) {}

  double clipping_norm_;
};

}  // namespace velum::dpsgd
