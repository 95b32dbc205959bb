#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conv/conv_weight_gradients.h"
#include "lazy_rows.h"
#include "tape/row_mapping.h"
#include "tape/sample_groups.h"
#include "velum/dpsgd/gradient_method.h"

namespace velum::dpsgd::detail {

/// Memory for per-sample gradients. Results depend on it by rounding alone.
struct MemoryLimits {
  std::int64_t keep_bytes = std::int64_t{256} << 20;  ///< of a use, between norms and weighted sum
  std::int64_t chunk_bytes = std::int64_t{64} << 20;  ///< of one pass over some of the samples
  /// In place of the cheapest method, where it is one of a use's.
  std::optional<GradientMethod> method = std::nullopt;
};

/// What norms and weighted sum of one use cost, for the whole batch.
struct GradientCost {
  double flops = 0, bytes = 0;
  std::optional<double> seconds;
};

/// A sample is clipped by max(||g_b||, kConditioningFloor * M_b), where M_b bounds the magnitudes
/// that meet in its part of a weighted sum. Terms of one sample that cancel leave their rounding
/// there, k * u * f_b * M_b for sums of k terms of unit roundoff u: with the floor at most k * u /
/// kConditioningFloor of the clipping norm (k * 2^-12 in float32), whatever the data. Up to M_b =
/// 4096 ||g_b|| a gradient keeps its own norm; gradients of T steps that do not cancel have M_b of
/// about sqrt(T) ||g_b||.
inline constexpr double kConditioningFloor = 0x1p-12;

/// [rows] float64: squared norm of each row of a matrix of float32 or float64.
at::Tensor row_squared_norms(const at::Tensor& matrix);

/// Factors of the samples in a weighted sum, [batch] float64 on the device of the gradients.
class SampleFactors {
 public:
  explicit SampleFactors(at::Tensor factors) : float64_(std::move(factors)) {}
  /// In float32 rounded to nearest; the engine hands in values that float32 holds exactly.
  const at::Tensor& as(at::ScalarType type) const;

 private:
  at::Tensor float64_;
  mutable at::Tensor float32_;
};

/// The gradient of every sample with respect to one operand of one node, in whatever form is
/// cheapest. The gradient of sample b is called g_b; all have the sizes of the operand.
class OperandGradient {
 public:
  OperandGradient(std::int64_t batch, std::vector<std::int64_t> sizes, at::TensorOptions options);
  virtual ~OperandGradient() = default;
  OperandGradient(const OperandGradient&) = delete;
  OperandGradient& operator=(const OperandGradient&) = delete;

  std::int64_t batch() const { return batch_; }
  const std::vector<std::int64_t>& sizes() const { return sizes_; }
  const at::TensorOptions& options() const { return options_; }
  std::int64_t numel() const;

  /// [batch] float64: ||g_b||^2.
  virtual at::Tensor squared_norms() = 0;
  /// [batch] float64: M_b^2, with M_b at least the norm of the sum of the absolute values that meet
  /// in g_b. Depends on the sample alone, never on how the batch is computed. Undefined: M_b is
  /// ||g_b||, and `weighted_sum` adds the very g_b whose norm was taken.
  virtual at::Tensor squared_magnitudes() { return {}; }
  /// [groups] float64: ||sum of g_b over the samples of a group||^2. By default from `per_sample`,
  /// within `limits.chunk_bytes`.
  virtual at::Tensor grouped_squared_norms(const SampleGroups& groups, const MemoryLimits& limits);
  /// [end - begin, *sizes].
  virtual at::Tensor per_sample(std::int64_t begin, std::int64_t end) = 0;
  /// sum_b factors[b] * g_b, written into `out` if that is a contiguous tensor of the same sizes.
  virtual at::Tensor weighted_sum(const SampleFactors& factors, at::Tensor out) = 0;
  /// Makes the gradients of the samples where `excluded` [batch] bool is true exactly zero.
  virtual void exclude(const at::Tensor& excluded) = 0;
  /// A bound on ||computed g_b - exact g_b|| in units of the unit roundoff, to first order: the
  /// number of roundings on an element's way times the norm of the sum of absolute terms.
  virtual double rounding_scale(std::int64_t sample) const = 0;
  /// No `rounding_scale` will be asked for: frees what that alone needs. `alone`: the squared norms
  /// of this very gradient will be asked for, and may be taken now.
  virtual void settle(bool /*alone*/) {}
  /// Whether `settle(true)` frees at least what it takes. `passing`: what flows into the use and
  /// what its node has saved are still the pass's, which is about to let go of the latter.
  virtual bool settling_frees(bool /*passing*/) const { return true; }
  /// The tensors that this keeps alive, of those that may be large; some may be undefined.
  virtual std::vector<at::Tensor> held() const = 0;
  /// [batch, *sizes] where the gradients are at hand, else undefined.
  virtual at::Tensor at_hand() const { return {}; }

  /// How the norms are taken.
  virtual GradientMethod method() const { return GradientMethod::kAtHand; }
  /// All methods that this use has.
  virtual std::vector<GradientMethod> methods() const { return {method()}; }
  GradientCost cost() const { return cost_of(method()); }
  /// By the cost model, of one of `methods`. Gradients at hand: they are read twice.
  virtual GradientCost cost_of(GradientMethod method) const;
  /// What a sample's part of the use looks like.
  virtual std::string shape() const;
  /// Whether torch's own backward on the CPU adds the products of a sample in float32 or better and
  /// rounds their sum once, whatever half precision that is stored in.
  virtual bool summed_before_rounding() const { return false; }

 private:
  std::int64_t batch_;
  std::vector<std::int64_t> sizes_;
  at::TensorOptions options_;
};

/// Rows of an activation or of a gradient, and what is shared between the operands of one node.
struct SampleRows {
  at::Tensor rows;     // [rows, width], float32 or float64
  RowMapping mapping;  // of dimension 0
  mutable at::Tensor cached_squared_norms;

  SampleRows(at::Tensor rows_, RowMapping mapping_) : rows(std::move(rows_)), mapping(mapping_) {}
  /// [batch, steps, width].
  at::Tensor samples() const { return mapping.samples_first(rows); }
  /// [rows] float64.
  const at::Tensor& squared_norms() const;
  /// [batch] float64: of all rows of a sample together.
  at::Tensor sample_squared_norms() const;
  /// ||rows of the sample||.
  double norm_of(std::int64_t sample) const;
  SampleRows without(const at::Tensor& excluded) const;
};

class EmbeddingGradient;

/// g_b = G_b^T A_b, of sizes [outputs, inputs] or, transposed, [inputs, outputs].
class LinearGradient final : public OperandGradient {
 public:
  /// A use of the weight: its rows of input and of incoming gradient, one for each sample and step.
  struct Use {
    std::shared_ptr<const SampleRows> input, grad;
  };
  /// @param roundings  on the way of an element of G_b that a rule has computed again.
  LinearGradient(std::shared_ptr<const SampleRows> input, std::shared_ptr<const SampleRows> grad,
                 bool inputs_first, MemoryLimits limits, double roundings = 0);
  LinearGradient(std::vector<Use> uses, bool inputs_first, MemoryLimits limits, double roundings);
  /// The gradient of one weight that was used several times: the uses follow one another in time,
  /// so that products between different uses count in the norm.
  static std::shared_ptr<LinearGradient> join(const std::vector<const LinearGradient*>& gradients);

  bool inputs_first() const { return inputs_first_; }
  /// Whether the norms are sums of products in float64, without the gradients themselves.
  bool norms_from_products() const;
  /// The gradients will be needed with those of a table: takes their norms from products unless to
  /// make, add and read them is cheaper, or another method is asked for.
  void measure_with_table();
  /// [batch] float64: <g_b, e_b> with the gradients e_b of the same matrix used as a table.
  at::Tensor products_with(const EmbeddingGradient& table) const;
  at::Tensor squared_norms() override;
  at::Tensor grouped_squared_norms(const SampleGroups& groups, const MemoryLimits& limits) override;
  at::Tensor squared_magnitudes() override;
  at::Tensor per_sample(std::int64_t begin, std::int64_t end) override;
  at::Tensor weighted_sum(const SampleFactors& factors, at::Tensor out) override;
  void exclude(const at::Tensor& excluded) override;
  double rounding_scale(std::int64_t sample) const override;
  void settle(bool alone) override;
  bool settling_frees(bool passing) const override;
  std::vector<at::Tensor> held() const override;
  GradientMethod method() const override;
  std::vector<GradientMethod> methods() const override;
  GradientCost cost_of(GradientMethod method) const override;
  std::string shape() const override;
  bool summed_before_rounding() const override { return single_use_; }

 private:
  std::int64_t inputs() const;
  std::int64_t outputs() const;
  bool on_cpu() const;
  /// All uses as one.
  SampleRows joined(std::shared_ptr<const SampleRows> Use::*rows) const;
  /// By per-sample gradients, one after the other.
  template <typename T>
  void measure_samples(bool keep);
  template <typename T>
  void measure_gram();
  /// By torch's operations, on any device.
  void measure_elsewhere(GradientMethod chosen);

  std::vector<Use> uses_;  // none where the gradients are kept instead
  bool inputs_first_;
  MemoryLimits limits_;
  double roundings_;
  std::int64_t steps_ = 0;                         // of all uses together
  at::Tensor kept_;                                // [batch, inputs, outputs], only by kKept
  at::Tensor squared_norms_, squared_magnitudes_;  // [batch], once measured
  bool single_use_;
};

/// g_b is at hand: [batch, *sizes].
class MaterialisedGradient final : public OperandGradient {
 public:
  using RoundingScale = std::function<double(std::int64_t)>;
  MaterialisedGradient(at::Tensor per_sample, RoundingScale rounding_scale);

  at::Tensor squared_norms() override;
  at::Tensor per_sample(std::int64_t begin, std::int64_t end) override;
  at::Tensor weighted_sum(const SampleFactors& factors, at::Tensor out) override;
  void exclude(const at::Tensor& excluded) override;
  double rounding_scale(std::int64_t sample) const override { return rounding_scale_(sample); }
  void settle(bool /*alone*/) override { rounding_scale_ = nullptr; }
  at::Tensor at_hand() const override { return per_sample_; }
  std::vector<at::Tensor> held() const override { return {per_sample_}; }

  /// The sum of gradients that are at hand, all of the same sizes and type; adds them up now.
  static std::shared_ptr<MaterialisedGradient> sum_of(
      const std::vector<std::shared_ptr<OperandGradient>>& gradients);

 private:
  at::Tensor per_sample_;
  RoundingScale rounding_scale_;
};

/// The bias of a linear map with one row per sample: g_b = G_b.
class RowGradient final : public OperandGradient {
 public:
  RowGradient(std::shared_ptr<const SampleRows> grad, std::vector<std::int64_t> sizes);

  at::Tensor squared_norms() override;
  at::Tensor per_sample(std::int64_t begin, std::int64_t end) override;
  at::Tensor weighted_sum(const SampleFactors& factors, at::Tensor out) override;
  void exclude(const at::Tensor& excluded) override;
  double rounding_scale(std::int64_t sample) const override;
  at::Tensor at_hand() const override;
  std::vector<at::Tensor> held() const override { return {grad_->rows}; }
  bool summed_before_rounding() const override { return true; }

 private:
  std::shared_ptr<const SampleRows> grad_;
};

/// What flows into rows of a table that were looked up.
struct LookedUpRows {
  at::Tensor indices;  // [rows] int64: of the table
  at::Tensor samples;  // [rows] int64: whose row it is
  at::Tensor grads;    // [rows, width]

  /// Without the rows whose index is `padding_index`, if that is not negative.
  LookedUpRows without_padding(std::int64_t padding_index) const;
};

/// g_b[v] = sum of the gradients of sample b's rows whose index is v.
class EmbeddingGradient final : public OperandGradient {
 public:
  /// @param table_rows  of the table.
  EmbeddingGradient(LookedUpRows rows, std::int64_t batch, std::int64_t table_rows);
  /// The gradient of one table that was looked up several times.
  static std::shared_ptr<EmbeddingGradient> join(const std::vector<const EmbeddingGradient*>& uses);
  EmbeddingGradient in_float64() const;
  const LookedUpRows& rows() const { return rows_; }
  /// `weighted_sum` of the rows that were looked up; all others are zero.
  /// @param out  [any, width], which the sums may take; or undefined.
  RowSums weighted_rows(const SampleFactors& factors, const at::Tensor& out) const;

  at::Tensor squared_norms() override;
  at::Tensor grouped_squared_norms(const SampleGroups& groups, const MemoryLimits& limits) override;
  at::Tensor squared_magnitudes() override;
  at::Tensor per_sample(std::int64_t begin, std::int64_t end) override;
  at::Tensor weighted_sum(const SampleFactors& factors, at::Tensor out) override;
  void exclude(const at::Tensor& excluded) override;
  double rounding_scale(std::int64_t sample) const override;
  std::vector<at::Tensor> held() const override {
    return {rows_.indices, rows_.samples, rows_.grads};
  }
  GradientMethod method() const override { return GradientMethod::kSegments; }
  GradientCost cost_of(GradientMethod method) const override;
  std::string shape() const override;

 private:
  /// [owners] float64, where owners_of_rows [rows] says whose each row is.
  at::Tensor squared_norms_of(const at::Tensor& owners_of_rows, std::int64_t owners) const;
  template <typename T>
  void measure_on_cpu();
  template <typename T>
  void add_on_cpu(const at::Tensor& factors, const at::Tensor& out) const;
  template <typename T>
  RowSums add_rows_on_cpu(const at::Tensor& factors, const at::Tensor& out) const;

  LookedUpRows rows_;
  at::Tensor squared_norms_, squared_magnitudes_;  // on the CPU, once measured
};

/// The same rows of a table for every sample, as positions are looked up: g_b[v] = sum of G_b[t]
/// over the positions t whose index is v; padding adds nothing.
class SharedLookupGradient final : public OperandGradient {
 public:
  /// @param indices  [steps].
  /// @param looked_up  the gradient of each sample with respect to what was looked up,
  ///                 [batch, steps, width].
  /// @param rounding_scale  of `looked_up`.
  SharedLookupGradient(const at::Tensor& indices, const at::Tensor& looked_up, std::int64_t rows,
                       std::int64_t padding_index,
                       MaterialisedGradient::RoundingScale rounding_scale);

  at::Tensor squared_norms() override;
  at::Tensor per_sample(std::int64_t begin, std::int64_t end) override;
  at::Tensor weighted_sum(const SampleFactors& factors, at::Tensor out) override;
  void exclude(const at::Tensor& excluded) override;
  double rounding_scale(std::int64_t sample) const override;
  void settle(bool /*alone*/) override { rounding_scale_ = nullptr; }
  std::vector<at::Tensor> held() const override { return {rows_}; }

 private:
  at::Tensor indices_;  // [rows that occur], each once
  at::Tensor rows_;     // [batch, rows that occur, width]
  double repeats_ = 1;  // the most positions of one index
  MaterialisedGradient::RoundingScale rounding_scale_;
};

/// The weight of a convolution, one image per sample.
class ConvGradient final : public OperandGradient {
 public:
  /// `input` and `grad` are exchanged by the caller for a transposed convolution.
  /// @param images  of a sample: more than one are stacked along a further dimension.
  ConvGradient(const at::Tensor& input, const at::Tensor& grad,
               const std::vector<std::int64_t>& sizes, const ConvGeometry& geometry,
               MemoryLimits limits, std::int64_t images = 1);

  /// [batch, channels of grad]: grad summed over its positions.
  const at::Tensor& bias_gradients() const { return gradients_.bias_gradients(); }
  at::Tensor squared_norms() override { return gradients_.squared_norms(); }
  /// Infinite where the type of the gradient may not hold it.
  at::Tensor squared_magnitudes() override;
  at::Tensor per_sample(std::int64_t begin, std::int64_t end) override;
  at::Tensor weighted_sum(const SampleFactors& factors, at::Tensor out) override;
  void exclude(const at::Tensor& /*excluded*/) override {}  // a factor of 0 selects
  double rounding_scale(std::int64_t sample) const override;
  void settle(bool alone) override;
  std::vector<at::Tensor> held() const override;
  GradientMethod method() const override;
  std::vector<GradientMethod> methods() const override;
  GradientCost cost_of(GradientMethod method) const override;
  std::string shape() const override;
  bool summed_before_rounding() const override { return images_ == 1; }

 private:
  /// The cheapest method that the limits allow, or the one that they name.
  GradientMethod choose(const MemoryLimits& limits) const;

  at::Tensor input_, grad_;  // undefined where the gradients are kept and settled
  ConvGeometry geometry_;
  std::int64_t positions_;  // of the output, per sample
  std::int64_t pixels_;     // elements of the input, per sample
  std::int64_t images_;
  ConvWeightGradients gradients_;
  at::Tensor squared_magnitudes_;  // once asked for
};

/// Any node: g_b from the node's own backward, on the incoming gradients with the rows of all other
/// samples zeroed. The saved tensors hold all samples, so where one of them is not finite no
/// sample's gradient can be had free of it (0 * infinity is NaN): that is an error.
class NodeGradient final : public OperandGradient {
 public:
  using Backward = std::function<at::Tensor(const std::vector<at::Tensor>&)>;
  /// @param name      of the node, for errors.
  /// @param grads     what flows into the node; undefined where nothing does.
  /// @param mappings  of each of them.
  /// @param backward  the node's backward, for the one operand; may return an undefined tensor.
  NodeGradient(std::string name, std::vector<at::Tensor> grads, std::vector<RowMapping> mappings,
               std::vector<std::int64_t> sizes, at::TensorOptions options, Backward backward,
               MemoryLimits limits);

  at::Tensor squared_norms() override;
  at::Tensor per_sample(std::int64_t begin, std::int64_t end) override;
  at::Tensor weighted_sum(const SampleFactors& factors, at::Tensor out) override;
  void exclude(const at::Tensor& excluded) override;
  double rounding_scale(std::int64_t sample) const override;
  std::vector<at::Tensor> held() const override { return grads_; }
  GradientMethod method() const override { return GradientMethod::kSampleBackward; }
  GradientCost cost_of(GradientMethod /*method*/) const override { return {}; }

 private:
  at::Tensor gradient_of(std::int64_t sample) const;

  std::string name_;
  std::vector<at::Tensor> grads_;
  std::vector<RowMapping> mappings_;
  Backward backward_;
  MemoryLimits limits_;
  at::Tensor kept_;
};

}  // namespace velum::dpsgd::detail
