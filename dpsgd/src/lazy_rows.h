#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "velum/kernels/random/fork_guard.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"

namespace velum::dpsgd::detail {

/// Rows of a table, each once, and a sum for each.
struct RowSums {
  at::Tensor rows;  // [n] int64, ascending
  at::Tensor sums;  // [n, width] float32 or float64
};

/// A sum of doubles whose rounding does not grow with their number (two-sum, Knuth, TAOCP vol. 2,
/// 4.2.2).
class PreciseSum {
 public:
  PreciseSum plus(double term) const;
  double minus(const PreciseSum& earlier) const;

 private:
  double high_ = 0, low_ = 0;
};

/// weight[rows[i]] += scales[i] * values[i], in double, rounded once to the weight and, where that
/// is float32, once more to `low`, which holds what the weight lacks. For autograd the weight has
/// not changed: whoever has read the rows says so.
///
/// @param weight  [any, width] float32 or float64, contiguous.
/// @param low     as `weight` in float32, else undefined.
/// @param rows    [n] int64 on the weight's device, each once.
/// @param scales  [n] float64, likewise.
/// @param values  [n, width] float64, likewise.
void add_scaled_rows(const at::Tensor& weight, const at::Tensor& low, const at::Tensor& rows,
                     const at::Tensor& scales, const at::Tensor& values);
/// The same by torch's operations, on any device.
void add_scaled_rows_by_torch(const at::Tensor& weight, const at::Tensor& low,
                              const at::Tensor& rows, const at::Tensor& scales,
                              const at::Tensor& values);

/// What a `LazyTable` is inside.
class LazyRows {
 public:
  explicit LazyRows(at::Tensor weight);
  ~LazyRows();
  LazyRows(const LazyRows&) = delete;
  LazyRows& operator=(const LazyRows&) = delete;

  const at::Tensor& weight() const { return weight_; }
  bool is_released() const;
  void catch_up(const at::Tensor& indices);
  void step(double learning_rate);
  void release();

  // For the engine.

  bool is_bound() const { return bound_; }
  /// @param tensor  index of the weight among the engine's parameters.
  void bind(const kernels::RandomKey& key, std::uint32_t key_epoch, std::uint32_t tensor) noexcept;
  /// @throws std::logic_error if a gradient waits for `step`, or somebody else has written the
  ///         weights while rows lack noise.
  void require_settled(const char* function) const;
  /// @throws std::logic_error if one of these rows lacks noise; [n] int64.
  void require_caught_up(const char* function, const at::Tensor& rows) const;
  /// The gradient that the step releases is (sums + standard_deviation z) / divisor in these rows,
  /// with z at `position`, drawn as it is applied; in all others it is noise alone.
  void receive(RowSums sums, double standard_deviation, double divisor,
               const kernels::RandomPosition& position) noexcept;
  /// Storage of earlier sums that nobody holds any more, [any, width]; or undefined.
  at::Tensor take_spare() { return std::exchange(spare_, {}); }

 private:
  struct Gradient {
    RowSums sums;
    double standard_deviation, divisor;
    kernels::RandomPosition position;
  };

  std::int32_t steps() const { return static_cast<std::int32_t>(variances_.size()) - 1; }
  void require_ready(const char* function) const;
  /// @throws std::logic_error if somebody else has written the weights while rows lack noise.
  void require_own_weights(const char* function) const;
  /// Adds what they lack to rows that lack something, each given once.
  void add_missing_noise(const char* function, const std::vector<std::int64_t>& rows);
  /// Calls change(first, count, draws) for blocks of `rows` rows, with the draws of each at
  /// `position`, [count, width] float64.
  template <typename Change>
  void draw_for_rows(std::int64_t rows, const kernels::RandomPosition& position,
                     const Change& change);

  at::Tensor weight_, low_;
  c10::Device device_;
  at::ScalarType type_;
  std::vector<std::int32_t> noised_;  // [rows]: of how many steps a row has the noise
  std::vector<PreciseSum> variances_{PreciseSum()};  // [steps + 1]: of the noise of the first t
  std::optional<Gradient> gradient_;                 // waits for `step`
  at::Tensor spare_, draws_of_block_;                // storage
  bool released_ = true;
  std::int64_t version_ = 0;  // of the weight for autograd, after what was written last
  std::vector<bool> taken_;   // [rows]: false between calls
  bool bound_ = false;
  kernels::RandomKey key_{};
  kernels::ForkGuard fork_guard_;
  std::uint32_t key_epoch_ = 0, tensor_ = 0;
  std::uint64_t draws_ = 0;  // how often noise was drawn: each time at a position of its own
};

/// @throws std::logic_error naming `function` if one of these is the weight of a lazy table that
///         lacks noise.
void require_released(const char* function, const std::vector<at::Tensor>& weights);

}  // namespace velum::dpsgd::detail
