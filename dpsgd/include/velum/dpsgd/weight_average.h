#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace velum::dpsgd {

/// A moving average of a model's weights over the steps of a training: often more accurate than the
/// last weights, because it averages the noise of DP-SGD. It is computed from released weights
/// alone, so it costs no privacy.
///
///   a_0 = w_0;   a_t = d_t a_{t-1} + (1 - d_t) w_t,   d_t = min(decay, (1 + t) / (10 + t))
///
///     WeightAverage average(model->parameters(), 0.99);
///     for (...) { ...; optimizer.step(); average.update(); }
///     average.swap();   // the model now holds the average, and the average the last weights
///
/// Paper: Unlocking High-Accuracy Differentially Private Image Classification through Scale
/// (arXiv 2204.13650), section 3, "parameter averaging", with its warm-up of the decay.
class WeightAverage {
 public:
  /// @param parameters  of the model; they are followed, not copied. One given twice counts once.
  /// @param decay       >= 0 and < 1; 0 keeps the last weights.
  /// @throws std::invalid_argument if decay is out of range or a parameter undefined;
  ///         std::logic_error while a lazy table lacks noise.
  WeightAverage(std::vector<at::Tensor> parameters, double decay);

  /// Takes the present weights in: once after every step of the optimiser.
  /// @throws std::logic_error while the model holds the average, or a lazy table lacks noise.
  void update();
  /// Exchanges the model's weights and the average. Call it again before training goes on.
  /// @throws std::logic_error while a lazy table lacks noise.
  void swap();
  bool swapped() const { return swapped_; }

  double decay() const { return decay_; }
  std::int64_t updates() const { return updates_; }
  /// In the order of the (different) parameters.
  const std::vector<at::Tensor>& values() const { return values_; }
  /// Goes on from a saved state.
  /// @throws std::invalid_argument if number or sizes of the values differ, or updates < 0.
  void restore(const std::vector<at::Tensor>& values, std::int64_t updates);

 private:
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> values_;
  double decay_;
  std::int64_t updates_ = 0;
  bool swapped_ = false;
};

}  // namespace velum::dpsgd
