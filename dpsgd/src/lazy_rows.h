#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "velum/kernels/random/fork_guard.h"
#include "velum/kernels/random/key_source.h"

namespace velum::dpsgd::detail {

/// Rows of a table, each once, and a sum for each.
struct RowSums {
  at::Tensor rows;  // [n] int64, ascending
  at::Tensor sums;  // [n, width] float64
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
/// is float32, once more to `low`, which holds what the weight lacks.
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
  ~LazyRows() { kernels::wipe(key_); }
  LazyRows(const LazyRows&) = delete;
  LazyRows& operator=(const LazyRows&) = delete;

  const at::Tensor& weight() const { return weight_; }
  bool is_released() const;
  void catch_up(const at::Tensor& indices);
  void step(double learning_rate);
  void release();

  // For the engine.

  /// @param tensor  index of the weight among the engine's parameters.
  /// @throws std::invalid_argument if an engine has it already.
  void bind(const kernels::RandomKey& key, std::uint32_t key_epoch, std::uint32_t tensor);
  /// A resumed engine counts its key epoch up.
  void set_key_epoch(std::uint32_t key_epoch) { key_epoch_ = key_epoch; }
  /// @throws std::logic_error if a gradient waits for `step`.
  void require_no_gradient(const char* function) const;
  /// @throws std::logic_error if one of these rows lacks noise; [n] int64.
  void require_caught_up(const char* function, const at::Tensor& rows) const;
  /// @param gradient  the released gradient: float64, noised. All other rows of it are noise alone.
  /// @param noise     the standard deviation of its elements.
  void receive(RowSums gradient, double noise);
  /// Storage of an earlier gradient that nobody holds any more, [any, width] float64; or undefined.
  at::Tensor take_spare() { return std::exchange(spare_, {}); }

 private:
  struct Gradient {
    RowSums values;
    double noise;
  };

  std::int64_t steps() const { return static_cast<std::int64_t>(variances_.size()) - 1; }
  void require_ready(const char* function) const;
  /// Adds what they lack to rows that lack something, each given once.
  void add_missing_noise(const std::vector<std::int64_t>& rows);

  at::Tensor weight_, low_;
  std::vector<std::int64_t> noised_;  // [rows]: of how many steps a row has the noise
  std::vector<PreciseSum> variances_{PreciseSum()};  // [steps + 1]: of the noise of the first t
  std::optional<Gradient> gradient_;                 // waits for `step`
  at::Tensor spare_, draws_of_block_;                // storage
  bool bound_ = false;
  kernels::RandomKey key_{};
  kernels::ForkGuard fork_guard_;
  std::uint32_t key_epoch_ = 0, tensor_ = 0;
  std::uint64_t draws_ = 0;  // how often noise was drawn: each time at a position of its own
};

}  // namespace velum::dpsgd::detail
