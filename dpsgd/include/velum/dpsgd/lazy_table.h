#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

namespace velum::dpsgd {

class LazyTable;

namespace detail {
class LazyRows;
/// For the engine.
LazyRows& rows_of(LazyTable& table);
}  // namespace detail

/// A table of which a step reads few rows, and every row of which DP-SGD has to noise in every
/// step: here a row gets the noise of the steps that did not read it when it is read next, all of
/// it by one draw. For the plain step w <- w - lr g of SGD, and no other, the sum of the noise of
/// several steps is a normal variable whose variance is the sum of theirs: what training reads, and
/// what `release` leaves, have the distribution that noise in every step gives them, at the cost of
/// the rows that are read. What is left of rounding: docs/numerics.md, "Lazy tables".
///
///     auto table = std::make_shared<LazyTable>(model->embedding->weight);
///     PrivacyEngine engine(model->parameters(), sampler,
///                          {.clipping = ..., .noise_multiplier = ..., .lazy_tables = {table}});
///     for (...) {
///       table->catch_up(tokens);             // before the forward pass: all rows that it reads
///       engine.backward(losses_of(model->forward(tokens)));
///       optimizer.step();                    // of all other parameters; the table has no .grad
///       table->step(learning_rate);          // the table's own
///     }
///     table->release();                      // before anybody sees the table, or what it computes
///
/// Between steps, rows lack noise: that a row lacks it tells that no recent sample read it. So all
/// of it is secret until `release`: evaluate, average, save or publish the model only after it.
/// `PrivacyEngine::state` and `statement` and `WeightAverage` refuse a table that has not been
/// released. Rows that a sample has touched are never without the noise of that step.
///
/// The guarantee is that of DP-SGD for what is released, and the engine accounts for it in the
/// same way: it includes the models of all steps, whether they are seen or not.
/// Paper: LazyDP, ASPLOS 2024 (arXiv 2404.08847), its lazy update and aggregated sampling of noise.
/// Here rows that a step reads are noised in the step itself. Not thread-safe.
class LazyTable {
 public:
  /// @param weight  [rows, width] float32 or float64, contiguous; a leaf that requires grad, of one
  ///                lazy table only. It is changed in place. In float32 the table keeps the
  ///                low bits of its sums beside it, another [rows, width].
  /// @throws std::invalid_argument if it is anything else, or the weight of another lazy table that
  ///         lacks noise.
  explicit LazyTable(at::Tensor weight);
  ~LazyTable();
  LazyTable(const LazyTable&) = delete;
  LazyTable& operator=(const LazyTable&) = delete;

  /// Adds to these rows the noise that they lack. To be called before a forward pass, with all rows
  /// that it reads, padding included; `PrivacyEngine::accumulate` refuses gradients of others.
  ///
  /// @param indices  int64 or int32, any sizes and device, with repeats.
  /// @throws std::invalid_argument if an index is not in [0, rows); std::logic_error without an
  ///         engine, while a gradient waits for `step`, if somebody else has written the weights
  ///         (as far as autograd counts writes, so not through `.data`) while rows lack noise, if
  ///         they have changed type or device, or if noise is lacking in a forked child.
  void catch_up(const at::Tensor& indices);

  /// The update of SGD by the gradient of the last step of the engine, once for each step.
  ///
  /// @param learning_rate  finite and >= 0; 0 drops the gradient.
  /// @throws std::invalid_argument if it is not; std::logic_error if no gradient waits, or if
  ///         somebody else has written the weights while rows lack noise.
  void step(double learning_rate);

  /// Adds to all rows the noise that they lack.
  /// @throws as `catch_up`.
  void release();

  /// Whether nothing has happened since `release`: no row lacks noise, and no gradient waits.
  bool is_released() const;
  const at::Tensor& weight() const;

 private:
  friend detail::LazyRows& detail::rows_of(LazyTable& table);
  std::unique_ptr<detail::LazyRows> rows_;
};

}  // namespace velum::dpsgd
