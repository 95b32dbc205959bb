#include "tape/operand_gradient.h"

#include <ATen/ops/_unique2.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "conv/conv_cpu_kernels.h"
#include "tape/operand_parts.h"
#include "velum/dpsgd/cost_model.h"
#include "velum/dpsgd/torch_bridge.h"
#include "velum/kernels/gradients/per_sample_norms.h"

namespace velum::dpsgd::detail {
at::Tensor weighted_rows(const at::Tensor& rows, const SampleFactors& factors, at::Tensor out) {
  const at::Tensor matrix = rows.flatten(1);
  const at::Tensor flat = out.view({-1});
  at::mv_out(const_cast<at::Tensor&>(flat), matrix.t(), factors.as(rows.scalar_type()));
  return out;
}

at::Tensor masked_rows(const at::Tensor& tensor, const at::Tensor& excluded,
                       const RowMapping& mapping) {
  return tensor.masked_fill(mapping.to_rows(excluded, tensor.dim()), 0);
}

at::Tensor row_squared_norms(const at::Tensor& matrix) {
  at::Tensor rows = matrix;
  if ((rows.size(1) > 1 && rows.stride(1) != 1) ||
      (rows.size(0) > 1 && rows.stride(0) < rows.size(1))) {
    rows = rows.contiguous();
  }
  const at::Tensor norms = at::empty({rows.size(0)}, rows.options().dtype(at::kDouble));
  const kernels::Stream stream = stream_for(rows.device());
  if (rows.scalar_type() == at::kDouble) {
    kernels::per_sample_squared_norms(matrix_of<double>(rows), span_of<double>(norms), stream);
  } else {
    kernels::per_sample_squared_norms(matrix_of<float>(rows), span_of<double>(norms), stream);
  }
  return norms;
}

const at::Tensor& SampleFactors::as(at::ScalarType type) const {
  if (type == at::kDouble) return float64_;
  if (!float32_.defined()) float32_ = float64_.to(at::kFloat);
  return float32_;
}

OperandGradient::OperandGradient(std::int64_t batch, std::vector<std::int64_t> sizes,
                                 at::TensorOptions options)
    : batch_(batch), sizes_(std::move(sizes)), options_(options) {}

std::int64_t OperandGradient::numel() const {
  std::int64_t count = 1;
  for (const std::int64_t size : sizes_) count *= size;
  return count;
}

at::Tensor OperandGradient::grouped_squared_norms(const SampleGroups& groups,
                                                  const MemoryLimits& limits) {
  return detail::grouped_squared_norms(
      groups, numel(), options(), limits, [this](std::int64_t begin, std::int64_t end) {
        return per_sample(begin, end).reshape({end - begin, numel()});
      });
}

GradientCost OperandGradient::cost_of(GradientMethod /*method*/) const {
  const CostModel model = options_.device().is_cpu() ? cost_model() : CostModel::fixed();
  const double elements = static_cast<double>(batch_) * static_cast<double>(numel());
  const double bytes = 2 * elements * static_cast<double>(options_.dtype().itemsize());
  return {4 * elements, bytes, bytes / model.bytes};
}

GradientMethod cheapest(const OperandGradient& gradient, bool may_keep) {
  const std::vector<GradientMethod> all = gradient.methods();
  if (all.size() == 1) return all.front();
  GradientMethod best = GradientMethod::kTiles;
  double least = std::numeric_limits<double>::infinity();
  for (const GradientMethod candidate : all) {
    if (candidate == GradientMethod::kKept && !may_keep) continue;
    const double seconds = *gradient.cost_of(candidate).seconds;
    if (seconds < least) {
      least = seconds;
      best = candidate;
    }
  }
  return best;
}

std::string OperandGradient::shape() const {
  std::string text;
  for (const std::int64_t size : sizes_) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text.empty() ? "scalar" : text;
}

const at::Tensor& SampleRows::squared_norms() const {
  if (!cached_squared_norms.defined()) cached_squared_norms = row_squared_norms(rows);
  return cached_squared_norms;
}

double SampleRows::norm_of(std::int64_t sample) const {
  return std::sqrt(squared_norms()
                       .view({mapping.outer, mapping.batch, mapping.inner})
                       .select(1, sample)
                       .sum()
                       .item<double>());
}

at::Tensor SampleRows::sample_squared_norms() const {
  return squared_norms().view({mapping.outer, mapping.batch, mapping.inner}).sum(2).sum(0);
}

SampleRows SampleRows::without(const at::Tensor& excluded) const {
  return {masked_rows(rows, excluded, mapping), mapping};
}

// Gradients at hand

MaterialisedGradient::MaterialisedGradient(at::Tensor per_sample, RoundingScale rounding_scale)
    : OperandGradient(per_sample.size(0), per_sample.sizes().slice(1).vec(), per_sample.options()),
      per_sample_(std::move(per_sample)),
      rounding_scale_(std::move(rounding_scale)) {}

at::Tensor MaterialisedGradient::squared_norms() {
  return row_squared_norms(per_sample_.reshape({batch(), numel()}));
}

at::Tensor MaterialisedGradient::per_sample(std::int64_t begin, std::int64_t end) {
  return per_sample_.narrow(0, begin, end - begin);
}

at::Tensor MaterialisedGradient::weighted_sum(const SampleFactors& factors, at::Tensor out) {
  return weighted_rows(per_sample_.reshape({batch(), numel()}), factors,
                       usable(out, sizes(), options()));
}

void MaterialisedGradient::exclude(const at::Tensor& excluded) {
  per_sample_ = masked_rows(per_sample_, excluded, one_row_each(batch()));
}

std::shared_ptr<MaterialisedGradient> MaterialisedGradient::sum_of(
    const std::vector<std::shared_ptr<OperandGradient>>& gradients) {
  at::Tensor sum = gradients.front()->at_hand().clone();
  for (std::size_t i = 1; i < gradients.size(); ++i) sum.add_(gradients[i]->at_hand());
  return std::make_shared<MaterialisedGradient>(sum, [gradients](std::int64_t sample) {
    double scale = 0;
    for (const auto& gradient : gradients) scale += gradient->rounding_scale(sample);
    return scale * (1 + static_cast<double>(gradients.size()) / kExtraRoundings);
  });
}

RowGradient::RowGradient(std::shared_ptr<const SampleRows> grad, std::vector<std::int64_t> sizes)
    : OperandGradient(grad->mapping.batch, std::move(sizes), grad->rows.options()),
      grad_(std::move(grad)) {}

at::Tensor RowGradient::squared_norms() { return grad_->squared_norms(); }

at::Tensor RowGradient::per_sample(std::int64_t begin, std::int64_t end) {
  return grad_->rows.narrow(0, begin, end - begin).reshape(with_batch(end - begin, sizes()));
}

at::Tensor RowGradient::at_hand() const {
  return grad_->rows.reshape(with_batch(batch(), sizes()));
}

at::Tensor RowGradient::weighted_sum(const SampleFactors& factors, at::Tensor out) {
  return weighted_rows(grad_->rows, factors, usable(out, sizes(), options()));
}

void RowGradient::exclude(const at::Tensor& excluded) {
  grad_ = std::make_shared<SampleRows>(grad_->without(excluded));
}

double RowGradient::rounding_scale(std::int64_t sample) const {
  return kExtraRoundings * grad_->norm_of(sample);
}

// Lookups that all samples share

SharedLookupGradient::SharedLookupGradient(const at::Tensor& indices, const at::Tensor& looked_up,
                                           std::int64_t rows, std::int64_t padding_index,
                                           MaterialisedGradient::RoundingScale rounding_scale)
    : OperandGradient(looked_up.size(0), {rows, looked_up.size(2)}, looked_up.options()),
      indices_(indices),
      rows_(looked_up),
      rounding_scale_(std::move(rounding_scale)) {
  if (padding_index >= 0) {
    const at::Tensor kept = indices_.ne(padding_index).nonzero().view({-1});
    indices_ = indices_.index_select(0, kept);
    rows_ = rows_.index_select(1, kept);
  }
  const auto [occurring, row_of, counts] =
      at::_unique2(indices_, /*sorted=*/true, /*return_inverse=*/true, /*return_counts=*/true);
  if (occurring.numel() < indices_.numel()) {
    indices_ = occurring;
    repeats_ = static_cast<double>(counts.max().item<std::int64_t>());
    rows_ = at::zeros({batch(), occurring.numel(), sizes()[1]}, options())
                .index_add_(1, row_of.view({-1}), rows_);
  }
}

at::Tensor SharedLookupGradient::squared_norms() {
  return row_squared_norms(rows_.reshape({batch(), indices_.numel() * sizes()[1]}));
}

at::Tensor SharedLookupGradient::per_sample(std::int64_t begin, std::int64_t end) {
  return at::zeros(with_batch(end - begin, sizes()), options())
      .index_copy_(1, indices_, rows_.narrow(0, begin, end - begin));
}

at::Tensor SharedLookupGradient::weighted_sum(const SampleFactors& factors, at::Tensor out) {
  const at::Tensor sum =
      weighted_rows(rows_, factors, at::empty({indices_.numel(), sizes()[1]}, options()));
  return usable(out, sizes(), options()).zero_().index_copy_(0, indices_, sum);
}

void SharedLookupGradient::exclude(const at::Tensor& excluded) {
  rows_ = masked_rows(rows_, excluded, one_row_each(batch()));
}

double SharedLookupGradient::rounding_scale(std::int64_t sample) const {
  // `rounding_scale_` is at least kExtraRoundings times the norm of the rows that are added.
  return std::sqrt(repeats_) * (1 + repeats_ / kExtraRoundings) * rounding_scale_(sample);
}

// Convolutions

namespace {

ConvMethod conv_method(GradientMethod method) {
  switch (method) {
    case GradientMethod::kKept:
      return ConvMethod::kMaterialise;
    case GradientMethod::kTiles:
      return ConvMethod::kTile;
    default:
      return ConvMethod::kGram;
  }
}

/// On the CPU a few samples at a time are enough for every thread.
std::int64_t conv_chunk(const at::Tensor& grad, const MemoryLimits& limits) {
  constexpr std::int64_t kCpuChunkBytes = std::int64_t{16} << 20;
  return grad.is_cpu() ? std::min(limits.chunk_bytes, kCpuChunkBytes) : limits.chunk_bytes;
}

/// Elements of one sample.
std::int64_t sample_elements(const at::Tensor& images, std::int64_t first_dim) {
  return c10::multiply_integers(images.sizes().slice(static_cast<std::size_t>(first_dim)));
}

double rounded_up(double value, double multiple) { return std::ceil(value / multiple) * multiple; }

}  // namespace

ConvGradient::ConvGradient(const at::Tensor& input, const at::Tensor& grad,
                           const std::vector<std::int64_t>& sizes, const ConvGeometry& geometry,
                           MemoryLimits limits, std::int64_t images)
    : OperandGradient(grad.size(0), sizes, grad.options()),
      input_(input),
      grad_(grad),
      geometry_(geometry),
      positions_(sample_elements(grad, 2)),
      pixels_(sample_elements(input, 1)),
      images_(images),
      gradients_(input, grad, this->sizes(), geometry, conv_method(choose(limits)),
                 conv_chunk(grad, limits)) {}

GradientMethod ConvGradient::method() const {
  switch (gradients_.method()) {
    case ConvMethod::kMaterialise:
      return GradientMethod::kKept;
    case ConvMethod::kTile:
      return GradientMethod::kTiles;
    case ConvMethod::kGram:
      break;
  }
  return GradientMethod::kGram;
}

std::vector<GradientMethod> ConvGradient::methods() const {
  std::vector<GradientMethod> all{GradientMethod::kKept, GradientMethod::kTiles};
  if (!options().device().is_cpu() || positions_ <= kMostGramSteps) {
    all.push_back(GradientMethod::kGram);
  }
  return all;
}

GradientMethod ConvGradient::choose(const MemoryLimits& limits) const {
  const std::vector<GradientMethod> all = methods();
  if (limits.method.has_value() && std::find(all.begin(), all.end(), *limits.method) != all.end()) {
    return *limits.method;
  }
  // Gradients that are kept take the place of what they are computed from, and no more.
  const auto replaced = static_cast<std::int64_t>(input_.nbytes() + grad_.nbytes());
  const double elements = static_cast<double>(batch()) * static_cast<double>(numel());
  const bool fits = bytes_of(elements, options()) <= std::min(limits.keep_bytes, replaced);
  return cheapest(*this, fits);
}

GradientCost ConvGradient::cost_of(GradientMethod method) const {
  const CostModel model = options().device().is_cpu() ? cost_model() : CostModel::fixed();
  const bool wide = options().dtype().toScalarType() == at::kDouble;
  const double rate = wide ? model.samples_float64 : model.samples_float32;
  const double element = static_cast<double>(options().dtype().itemsize());
  const double count = static_cast<double>(batch()), parameters = static_cast<double>(numel());
  const double positions = static_cast<double>(positions_);
  const double groups = static_cast<double>(geometry_.groups);
  const double outputs = static_cast<double>(sizes()[0]) / groups;
  const double features = parameters / std::max(1.0, static_cast<double>(sizes()[0]));
  // Tiles are whole: vectors of 64 bytes of outputs, or of groups where these have one output.
  const double lanes = 64 / element, vectors = rounded_up(outputs, lanes);
  const double tiles = groups * rounded_up(features, kConvTileFeatures) * vectors;
  const bool by_lanes = groups > 1 && outputs == 1;
  const auto margin = [](std::int64_t padding) { return padding > 0; };
  const double image = std::any_of(geometry_.padding.begin(), geometry_.padding.end(), margin)
                           ? static_cast<double>(pixels_)
                           : 0;
  // One pass over a sample. A tile's sums are stored, and squared or added, at the cost of a few
  // more positions; the model's rate has them too, for its 32. What it reads is packed before.
  constexpr double kStored = 5, kModelSteps = 32;
  const auto pass = [&](double sums, double packed) {
    return 2 * sums * (positions + kStored) / (rate * (1 + kStored / kModelSteps)) +
           2 * packed * element / model.bytes;
  };
  // Sums that no second-level cache holds, read and written.
  constexpr double kInCache = 0x1p20, kInMemory = 0x1p23;
  const double size = parameters * element;
  const double spilt = std::clamp((size - kInCache) / (kInMemory - kInCache), 0.0, 1.0) * 2 * size;
  const double packed_tiles = image + groups * vectors * positions;
  const double norms =
      by_lanes ? pass(rounded_up(groups, lanes) * features,
                      static_cast<double>(pixels_) + rounded_up(groups, lanes) * positions)
               : pass(tiles, packed_tiles);
  const double sum = pass(tiles, packed_tiles) + spilt / model.bytes;
  const double product = 2 * positions * parameters;
  GradientCost cost;
  double seconds = 0;  // of a sample
  switch (method) {
    case GradientMethod::kKept: {
      // Written and read; large blocks come from the system each time, which clears them before
      // (unless keep_freed_memory says otherwise).
      constexpr double kFromTheSystem = 16 * 0x1p20;
      const double passes = count * size > kFromTheSystem ? 5 : 2;
      cost.flops = product + 2 * parameters;
      cost.bytes = passes * size;
      seconds = norms + cost.bytes / model.bytes;
      break;
    }
    case GradientMethod::kTiles:
      cost.flops = 2 * product;
      cost.bytes = 2 * spilt + 4 * packed_tiles * element;
      seconds = norms + spilt / model.bytes + sum;
      break;
    default: {
      const double rows = groups * (outputs + features) * positions;
      cost.flops = (positions + 1) * rows + product;
      cost.bytes = rows * sizeof(double) + spilt + 2 * packed_tiles * element;
      seconds = (positions + 1) * rows / model.gram + rows * sizeof(double) / model.bytes + sum;
    }
  }
  cost.flops *= count;
  cost.bytes *= count;
  cost.seconds = count * seconds;
  return cost;
}

std::string ConvGradient::shape() const {
  return std::to_string(positions_) + " positions, " + OperandGradient::shape();
}

void ConvGradient::settle(bool alone) {
  if (!alone || gradients_.method() != ConvMethod::kMaterialise) return;
  squared_magnitudes();
  input_.reset();
  grad_.reset();
}

std::vector<at::Tensor> ConvGradient::held() const {
  std::vector<at::Tensor> tensors = gradients_.held();
  tensors.insert(tensors.end(), {input_, grad_});
  return tensors;
}

at::Tensor ConvGradient::squared_magnitudes() {
  if (squared_magnitudes_.defined()) return squared_magnitudes_;
  // Each input element meets at most every kernel position, so the unfolded input's norm is at most
  // sqrt(kernel) times the input's.
  double kernel = 1;
  for (std::size_t d = 2; d < sizes().size(); ++d) kernel *= static_cast<double>(sizes()[d]);
  const auto of_groups = [&](const at::Tensor& images) {
    const std::int64_t rows = batch() * geometry_.groups;
    return row_squared_norms(
               images.reshape({rows, images.numel() / std::max<std::int64_t>(1, rows)}))
        .view({batch(), geometry_.groups});
  };
  const at::Tensor squares = of_groups(input_).mul_(of_groups(grad_)).sum(1).mul_(kernel);
  // The weighted sum multiplies by factors after it has summed a sample's positions.
  const double largest = options().dtype().toScalarType() == at::kDouble
                             ? std::numeric_limits<double>::max()
                             : static_cast<double>(std::numeric_limits<float>::max());
  squared_magnitudes_ =
      squares.masked_fill(squares.sqrt().gt(largest / 2), std::numeric_limits<double>::infinity());
  return squared_magnitudes_;
}

at::Tensor ConvGradient::per_sample(std::int64_t begin, std::int64_t end) {
  if (!input_.defined()) return gradients_.kept(begin, end);
  return per_sample_conv_weight_gradients(input_.narrow(0, begin, end - begin),
                                          grad_.narrow(0, begin, end - begin), sizes(), geometry_);
}

at::Tensor ConvGradient::weighted_sum(const SampleFactors& factors, at::Tensor /*out*/) {
  return gradients_.weighted_sum(factors.as(options().dtype().toScalarType())).contiguous();
}

double ConvGradient::rounding_scale(std::int64_t sample) const {
  // Each input element meets at most every kernel position, so the unfolded input's norm is at most
  // sqrt(kernel) times the input's.
  double kernel = 1, positions = 1;
  for (std::size_t d = 2; d < sizes().size(); ++d) {
    kernel *= static_cast<double>(sizes()[d]);
    positions *= static_cast<double>(grad_.size(static_cast<std::int64_t>(d)));
  }
  const auto norm = [&](const at::Tensor& tensor) {
    return tensor.select(0, sample).to(at::kDouble).square().sum().sqrt().item<double>();
  };
  return (positions + kExtraRoundings) * std::sqrt(kernel) * norm(input_) * norm(grad_);
}

// Nodes without a rule

NodeGradient::NodeGradient(std::string name, std::vector<at::Tensor> grads,
                           std::vector<RowMapping> mappings, std::vector<std::int64_t> sizes,
                           at::TensorOptions options, Backward backward, MemoryLimits limits)
    : OperandGradient(mappings.front().batch, std::move(sizes), options),
      name_(std::move(name)),
      grads_(std::move(grads)),
      mappings_(std::move(mappings)),
      backward_(std::move(backward)),
      limits_(limits) {
  std::vector<at::Tensor> nothing(grads_.size());
  for (std::size_t i = 0; i < grads_.size(); ++i) {
    if (grads_[i].defined()) nothing[i] = at::zeros_like(grads_[i]);
  }
  const at::Tensor gradient = backward_(nothing);
  if (gradient.defined() && !at::isfinite(gradient).all().item<bool>()) {
    throw std::runtime_error(
        "tape: " + name_ +
        " has saved a value that is not finite, and its own backward (allow_slow_rules) cannot "
        "keep it from the other samples' gradients; keep the inputs finite");
  }
}

at::Tensor NodeGradient::gradient_of(std::int64_t sample) const {
  std::vector<at::Tensor> masked(grads_.size());
  for (std::size_t i = 0; i < grads_.size(); ++i) {
    if (!grads_[i].defined()) continue;
    const RowMapping& mapping = mappings_[i];
    std::vector<std::int64_t> split = grads_[i].sizes().vec();
    split[static_cast<std::size_t>(mapping.dim)] = mapping.inner;
    split.insert(split.begin() + mapping.dim, {mapping.outer, mapping.batch});
    const at::Tensor from = grads_[i].reshape(split);
    const at::Tensor to = at::zeros(split, grads_[i].options());
    to.select(mapping.dim + 1, sample).copy_(from.select(mapping.dim + 1, sample));
    masked[i] = to.view(grads_[i].sizes());
  }
  const at::Tensor gradient = backward_(masked);
  return gradient.defined() ? gradient.to(options()) : at::zeros(sizes(), options());
}

at::Tensor NodeGradient::per_sample(std::int64_t begin, std::int64_t end) {
  if (kept_.defined()) return kept_.narrow(0, begin, end - begin);
  const at::Tensor result = at::empty(with_batch(end - begin, sizes()), options());
  for (std::int64_t sample = begin; sample < end; ++sample) {
    result.select(0, sample - begin).copy_(gradient_of(sample));
  }
  return result;
}

at::Tensor NodeGradient::squared_norms() {
  const std::int64_t each = bytes_of(static_cast<double>(numel()), options());
  if (each <= limits_.keep_bytes / std::max<std::int64_t>(1, batch())) {
    if (!kept_.defined()) kept_ = per_sample(0, batch());
    return row_squared_norms(kept_.view({batch(), numel()}));
  }
  const at::Tensor norms = at::empty({batch()}, options().dtype(at::kDouble));
  for_each_chunk(batch(), each, limits_, [&](std::int64_t begin, std::int64_t end) {
    norms.narrow(0, begin, end - begin)
        .copy_(row_squared_norms(per_sample(begin, end).view({end - begin, numel()})));
  });
  return norms;
}

at::Tensor NodeGradient::weighted_sum(const SampleFactors& factors, at::Tensor out) {
  out = usable(out, sizes(), options());
  if (kept_.defined()) return weighted_rows(kept_, factors, out);
  // Of the gradients whose norms were taken: how a backward of all samples at once rounds is
  // unknown.
  out.zero_();
  const at::Tensor host = factors.as(at::kDouble).cpu();
  for (std::int64_t sample = 0; sample < batch(); ++sample) {
    const double factor = host[sample].item<double>();
    if (factor != 0) out.add_(gradient_of(sample), factor);
  }
  return out;
}

void NodeGradient::exclude(const at::Tensor& excluded) {
  // The node's saved tensors may hold the excluded samples too, and 0 * infinity is NaN: only the
  // gradients that were computed sample by sample are free of them.
  at::Tensor kept = at::empty(with_batch(batch(), sizes()), options());
  const at::Tensor host = excluded.cpu();
  for (std::int64_t sample = 0; sample < batch(); ++sample) {
    if (host[sample].item<bool>()) {
      kept.select(0, sample).zero_();
    } else if (kept_.defined()) {
      kept.select(0, sample).copy_(kept_.select(0, sample));
    } else {
      kept.select(0, sample).copy_(gradient_of(sample));
    }
  }
  kept_ = kept;
}

double NodeGradient::rounding_scale(std::int64_t sample) const {
  // The same backward on the same values: what differs is the order of the node's own sums.
  std::int64_t terms = 1;
  for (std::size_t i = 0; i < grads_.size(); ++i) {
    if (grads_[i].defined()) terms = std::max(terms, grads_[i].numel() / batch());
  }
  const at::Tensor gradient = kept_.defined() ? kept_.select(0, sample) : gradient_of(sample);
  return (static_cast<double>(terms) + kExtraRoundings) *
         gradient.to(at::kDouble).square().sum().sqrt().item<double>();
}

}  // namespace velum::dpsgd::detail
