#include "tape/operand_gradient.h"

#include <ATen/TensorIndexing.h>
#include <ATen/ops/_unique2.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/mv.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>

#include "torch_products.h"
#include "velum/dpsgd/torch_bridge.h"
#include "velum/kernels/gradients/per_sample_norms.h"

namespace velum::dpsgd::detail {
namespace {

/// Roundings that every element meets besides those of its sum.
constexpr double kExtraRoundings = 8;

at::Tensor usable(const at::Tensor& out, at::IntArrayRef sizes, const at::TensorOptions& options) {
  if (out.defined() && out.sizes() == sizes && out.is_contiguous() &&
      out.scalar_type() == options.dtype().toScalarType() && out.device() == options.device()) {
    return out;
  }
  return at::empty(sizes, options);
}

std::vector<std::int64_t> with_batch(std::int64_t batch, const std::vector<std::int64_t>& sizes) {
  std::vector<std::int64_t> result{batch};
  result.insert(result.end(), sizes.begin(), sizes.end());
  return result;
}

/// sum_b factors[b] * rows[b].
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

RowMapping one_row_each(std::int64_t batch) { return {0, 1, batch, 1}; }

std::int64_t bytes(double elements, const at::TensorOptions& options) {
  const double size = elements * static_cast<double>(options.dtype().itemsize());
  return size < 9e18 ? static_cast<std::int64_t>(size) : std::int64_t{9'000'000'000'000'000'000};
}

/// Calls body(begin, end) over ranges of samples of at most limits.chunk_bytes each.
template <typename Body>
void for_each_chunk(std::int64_t batch, std::int64_t bytes_per_sample, const MemoryLimits& limits,
                    const Body& body) {
  const std::int64_t step =
      std::max<std::int64_t>(1, limits.chunk_bytes / std::max<std::int64_t>(1, bytes_per_sample));
  for (std::int64_t begin = 0; begin < batch; begin += step) {
    body(begin, std::min(begin + step, batch));
  }
}

}  // namespace

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

// Linear maps

namespace {

std::vector<std::int64_t> linear_sizes(const SampleRows& input, const SampleRows& grad,
                                       bool inputs_first) {
  const std::int64_t inputs = input.rows.size(1), outputs = grad.rows.size(1);
  if (inputs_first) return {inputs, outputs};
  return {outputs, inputs};
}

}  // namespace

LinearGradient::LinearGradient(std::shared_ptr<const SampleRows> input,
                               std::shared_ptr<const SampleRows> grad, bool inputs_first,
                               MemoryLimits limits, double roundings)
    : OperandGradient(grad->mapping.batch, linear_sizes(*input, *grad, inputs_first),
                      grad->rows.options()),
      input_(std::move(input)),
      grad_(std::move(grad)),
      inputs_first_(inputs_first),
      limits_(limits),
      roundings_(roundings) {}

std::shared_ptr<LinearGradient> LinearGradient::join(
    const std::vector<const LinearGradient*>& uses) {
  std::vector<at::Tensor> inputs, grads;
  std::int64_t steps = 0;
  double roundings = 0;
  for (const LinearGradient* use : uses) {
    roundings = std::max(roundings, use->roundings_);
    inputs.push_back(use->input_->samples());
    grads.push_back(use->grad_->samples());
    steps += use->grad_->mapping.steps();
  }
  const std::int64_t batch = uses.front()->batch();
  const RowMapping mapping{0, 1, batch, steps};
  const auto rows = [&](const std::vector<at::Tensor>& parts) {
    const at::Tensor joined = at::cat(parts, 1);
    return std::make_shared<const SampleRows>(joined.view({batch * steps, joined.size(2)}),
                                              mapping);
  };
  return std::make_shared<LinearGradient>(rows(inputs), rows(grads), uses.front()->inputs_first_,
                                          uses.front()->limits_, roundings);
}

bool LinearGradient::norms_from_products() const {
  const Method chosen = method();
  return chosen == Method::kOuter || chosen == Method::kGram;
}

at::Tensor LinearGradient::products_with(const EmbeddingGradient& table) const {
  // With P the side as wide as the table has rows and D the other one, g_b = sum_s P_s D_s^T, so
  // that a row t of e_b meets the elements P[s][index t] and <D_s, row t>.
  const LookedUpRows& looked_up = table.rows();
  const at::Tensor places = (inputs_first_ ? input_ : grad_)->samples();  // [batch, steps, rows]
  const at::Tensor widths = (inputs_first_ ? grad_ : input_)->samples();  // [batch, steps, width]
  const at::Tensor products = at::zeros({batch()}, options().dtype(at::kDouble));
  const std::int64_t row_bytes =
      places.size(1) * (widths.size(2) + 2) * static_cast<std::int64_t>(sizeof(double));
  for_each_chunk(
      looked_up.indices.numel(), row_bytes, limits_, [&](std::int64_t begin, std::int64_t end) {
        const at::Tensor samples = looked_up.samples.narrow(0, begin, end - begin);
        const at::Tensor indices = looked_up.indices.narrow(0, begin, end - begin);
        const at::Tensor rows = looked_up.grads.narrow(0, begin, end - begin).to(at::kDouble);
        const at::Tensor dots = at::bmm(widths.index_select(0, samples).to(at::kDouble),
                                        rows.unsqueeze(2))
                                    .squeeze(2);  // [rows, steps]
        const at::Tensor met = places.index({samples, at::indexing::Slice(), indices});
        products.index_add_(0, samples, dots.mul_(met).sum(1));
      });
  return products;
}

LinearGradient::Method LinearGradient::method() const {
  if (grad_->mapping.steps() == 1) return Method::kOuter;
  // Multiply-adds per sample, norm and weighted sum together; those in float64 count twice, and
  // reading kept gradients again counts as eight (it is bound by memory).
  const double steps = static_cast<double>(grad_->mapping.steps());
  const double parameters = static_cast<double>(numel());
  const double widths = static_cast<double>(input_->rows.size(1) + grad_->rows.size(1));
  const double twice = options().dtype().toScalarType() == at::kDouble ? 1 : 2;
  const double keep = steps * parameters + 8 * parameters;
  const double tile = 2 * steps * parameters;
  const double gram = steps * parameters + twice * steps * steps * widths;
  const bool fits =
      bytes(static_cast<double>(batch()) * parameters, options()) <= limits_.keep_bytes;
  if (fits && keep <= std::min(tile, gram)) return Method::kMaterialise;
  return gram <= tile ? Method::kGram : Method::kTile;
}

at::Tensor LinearGradient::squared_norms() {
  const Method chosen = method();
  if (chosen == Method::kOuter) return input_->squared_norms().mul(grad_->squared_norms());
  if (chosen == Method::kMaterialise) {
    if (!kept_.defined()) kept_ = per_sample(0, batch());
    return row_squared_norms(kept_.flatten(1));
  }
  const at::Tensor inputs = input_->samples(), grads = grad_->samples();
  if (grads.is_cuda()) {
    return linear_squared_norms(
        chosen == Method::kTile ? kernels::LinearNormForm::kTile : kernels::LinearNormForm::kGram,
        inputs, grads);
  }
  const at::Tensor norms = at::empty({batch()}, options().dtype(at::kDouble));
  if (chosen == Method::kTile) {
    for_each_chunk(batch(), bytes(static_cast<double>(numel()), options()), limits_,
                   [&](std::int64_t begin, std::int64_t end) {
                     norms.narrow(0, begin, end - begin)
                         .copy_(row_squared_norms(per_sample(begin, end).flatten(1)));
                   });
    return norms;
  }
  // In float64: float32 would lose a small norm of large, opposite terms.
  const std::int64_t steps = grad_->mapping.steps();
  const std::int64_t elements = steps * (2 * steps + inputs.size(2) + grads.size(2));
  for_each_chunk(
      batch(), elements * static_cast<std::int64_t>(sizeof(double)), limits_,
      [&](std::int64_t begin, std::int64_t end) {
        const auto gram = [&](const at::Tensor& rows) {
          const at::Tensor x = rows.narrow(0, begin, end - begin).to(at::kDouble);
          return at::bmm(x, x.transpose(1, 2));
        };
        norms.narrow(0, begin, end - begin).copy_(gram(inputs).mul_(gram(grads)).sum({1, 2}));
      });
  return norms.clamp_min_(0);  // a sum of squares, up to rounding; NaN stays
}

at::Tensor LinearGradient::grouped_squared_norms(const SampleGroups& groups,
                                                 const MemoryLimits& limits) {
  // A group of n samples of T steps is one sample of n T steps. One product for each n that occurs.
  std::map<std::int64_t, std::vector<std::int64_t>> groups_of_size;
  for (std::int64_t group = 0; group < groups.count(); ++group) {
    groups_of_size[groups.size_of(group)].push_back(group);
  }
  const auto index = [&](const std::vector<std::int64_t>& values) {
    return at::tensor(values, at::TensorOptions(at::kLong)).to(options().device());
  };
  const at::Tensor norms = at::empty({groups.count()}, options().dtype(at::kDouble));
  for (const auto& entry : groups_of_size) {
    const std::vector<std::int64_t>& members = entry.second;
    std::vector<std::int64_t> samples;
    for (const std::int64_t group : members) {
      const auto first = groups.order().begin() + groups.begins()[static_cast<std::size_t>(group)];
      samples.insert(samples.end(), first, first + entry.first);
    }
    const RowMapping mapping{0, 1, static_cast<std::int64_t>(members.size()),
                             entry.first * grad_->mapping.steps()};
    const at::Tensor chosen = index(samples);
    const auto rows_of = [&](const SampleRows& all) {
      const at::Tensor rows = all.samples().index_select(0, chosen);
      return std::make_shared<const SampleRows>(
          rows.reshape({mapping.batch * mapping.steps(), rows.size(2)}), mapping);
    };
    LinearGradient joined(rows_of(*input_), rows_of(*grad_), inputs_first_, limits);
    norms.index_copy_(0, index(members), joined.squared_norms());
  }
  return norms;
}

at::Tensor LinearGradient::squared_magnitudes() {
  if (grad_->mapping.steps() == 1) return {};  // one product an element: nothing cancels
  return input_->sample_squared_norms().mul(grad_->sample_squared_norms());
}

at::Tensor LinearGradient::per_sample(std::int64_t begin, std::int64_t end) {
  if (kept_.defined()) return kept_.narrow(0, begin, end - begin);
  const at::Tensor inputs = input_->samples().narrow(0, begin, end - begin);
  const at::Tensor grads = grad_->samples().narrow(0, begin, end - begin);
  return inputs_first_ ? at::bmm(inputs.transpose(1, 2), grads)
                       : at::bmm(grads.transpose(1, 2), inputs);
}

at::Tensor LinearGradient::weighted_sum(const SampleFactors& factors, at::Tensor out) {
  out = usable(out, sizes(), options());
  if (kept_.defined()) return weighted_rows(kept_, factors, out);
  const at::Tensor row_factors =
      grad_->mapping.to_rows(factors.as(options().dtype().toScalarType()), 2);
  at::Tensor inputs = input_->rows, grads = grad_->rows;
  if (inputs.size(1) < grads.size(1)) {
    inputs = inputs.mul(row_factors);
  } else {
    grads = grads.mul(row_factors);
  }
  return inputs_first_ ? at::mm_out(out, inputs.t(), grads) : at::mm_out(out, grads.t(), inputs);
}

void LinearGradient::exclude(const at::Tensor& excluded) {
  input_ = std::make_shared<SampleRows>(input_->without(excluded));
  grad_ = std::make_shared<SampleRows>(grad_->without(excluded));
  if (kept_.defined()) kept_ = masked_rows(kept_, excluded, one_row_each(batch()));
}

double LinearGradient::rounding_scale(std::int64_t sample) const {
  return (static_cast<double>(grad_->mapping.steps()) + kExtraRoundings + roundings_) *
         input_->norm_of(sample) * grad_->norm_of(sample);
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

RowGradient::RowGradient(std::shared_ptr<const SampleRows> grad, std::vector<std::int64_t> sizes)
    : OperandGradient(grad->mapping.batch, std::move(sizes), grad->rows.options()),
      grad_(std::move(grad)) {}

at::Tensor RowGradient::squared_norms() { return grad_->squared_norms(); }

at::Tensor RowGradient::per_sample(std::int64_t begin, std::int64_t end) {
  return grad_->rows.narrow(0, begin, end - begin).reshape(with_batch(end - begin, sizes()));
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

// Embeddings

LookedUpRows LookedUpRows::without_padding(std::int64_t padding_index) const {
  if (padding_index < 0) return *this;
  const at::Tensor kept = indices.ne(padding_index).nonzero().view({-1});
  return {indices.index_select(0, kept), samples.index_select(0, kept),
          grads.index_select(0, kept)};
}

EmbeddingGradient::EmbeddingGradient(LookedUpRows rows, std::int64_t batch, std::int64_t table_rows)
    : OperandGradient(batch, {table_rows, rows.grads.size(1)}, rows.grads.options()),
      rows_(std::move(rows)) {}

std::shared_ptr<EmbeddingGradient> EmbeddingGradient::join(
    const std::vector<const EmbeddingGradient*>& uses) {
  std::vector<at::Tensor> indices, samples, grads;
  for (const EmbeddingGradient* use : uses) {
    indices.push_back(use->rows_.indices);
    samples.push_back(use->rows_.samples);
    grads.push_back(use->rows_.grads);
  }
  return std::make_shared<EmbeddingGradient>(
      LookedUpRows{at::cat(indices), at::cat(samples), at::cat(grads)}, uses.front()->batch(),
      uses.front()->sizes()[0]);
}

EmbeddingGradient EmbeddingGradient::in_float64() const {
  return {{rows_.indices, rows_.samples, rows_.grads.to(at::kDouble)}, batch(), sizes()[0]};
}

at::Tensor EmbeddingGradient::squared_norms() { return squared_norms_of(rows_.samples, batch()); }

at::Tensor EmbeddingGradient::grouped_squared_norms(const SampleGroups& groups,
                                                    const MemoryLimits& /*limits*/) {
  return squared_norms_of(groups.of_samples(rows_.samples.device()).index_select(0, rows_.samples),
                          groups.count());
}

at::Tensor EmbeddingGradient::squared_norms_of(const at::Tensor& owners_of_rows,
                                               std::int64_t owners) const {
  // One segment per (owner, index) that occurs: never [owners, rows, width].
  if (rows_.grads.is_cuda()) {
    return segment_squared_norms(rows_.grads, rows_.indices, owners_of_rows, owners, sizes()[0]);
  }
  const at::Tensor keys = owners_of_rows.mul(sizes()[0]).add_(rows_.indices);
  const auto [segments, segment_of, counts] =
      at::_unique2(keys, /*sorted=*/true, /*return_inverse=*/true);
  const at::Tensor sums = at::zeros({segments.size(0), sizes()[1]}, options())
                              .index_add_(0, segment_of.view({-1}), rows_.grads);
  return at::zeros({owners}, options().dtype(at::kDouble))
      .index_add_(0, segments.div(sizes()[0], "floor"), row_squared_norms(sums));
}

at::Tensor EmbeddingGradient::squared_magnitudes() {
  return at::zeros({batch()}, options().dtype(at::kDouble))
      .index_add_(0, rows_.samples, row_squared_norms(rows_.grads).sqrt_())
      .square_();
}

at::Tensor EmbeddingGradient::per_sample(std::int64_t begin, std::int64_t end) {
  const at::Tensor kept =
      rows_.samples.ge(begin).logical_and_(rows_.samples.lt(end)).nonzero().view({-1});
  const at::Tensor rows = rows_.samples.index_select(0, kept)
                              .sub_(begin)
                              .mul_(sizes()[0])
                              .add_(rows_.indices.index_select(0, kept));
  return at::zeros({(end - begin) * sizes()[0], sizes()[1]}, options())
      .index_add_(0, rows, rows_.grads.index_select(0, kept))
      .view(with_batch(end - begin, sizes()));
}

at::Tensor EmbeddingGradient::weighted_sum(const SampleFactors& factors, at::Tensor out) {
  out = usable(out, sizes(), options());
  if (rows_.grads.is_cuda()) {  // index_add_ would add in any order
    segment_weighted_sum(rows_.grads, rows_.indices, rows_.samples, factors.as(at::kDouble), out);
    return out;
  }
  out.zero_();
  const at::Tensor row_factors =
      factors.as(options().dtype().toScalarType()).index_select(0, rows_.samples);
  return out.index_add_(0, rows_.indices, rows_.grads.mul(row_factors.unsqueeze(1)));
}

void EmbeddingGradient::exclude(const at::Tensor& excluded) {
  rows_.grads = rows_.grads.masked_fill(excluded.index_select(0, rows_.samples).unsqueeze(1), 0);
}

double EmbeddingGradient::rounding_scale(std::int64_t sample) const {
  const at::Tensor own = rows_.samples.eq(sample).nonzero().view({-1});
  const double terms = static_cast<double>(own.numel());
  return (terms + kExtraRoundings) * std::sqrt(terms) *
         std::sqrt(row_squared_norms(rows_.grads.index_select(0, own)).sum().item<double>());
}

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

ConvGradient::ConvGradient(const at::Tensor& input, const at::Tensor& grad,
                           const std::vector<std::int64_t>& sizes, const ConvGeometry& geometry,
                           MemoryLimits limits)
    : OperandGradient(grad.size(0), sizes, grad.options()),
      input_(input),
      grad_(grad),
      geometry_(geometry),
      gradients_(input, grad, this->sizes(), geometry, limits.keep_bytes, limits.chunk_bytes) {}

at::Tensor ConvGradient::squared_magnitudes() {
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
  return squares.masked_fill(squares.sqrt().gt(largest / 2),
                             std::numeric_limits<double>::infinity());
}

at::Tensor ConvGradient::per_sample(std::int64_t begin, std::int64_t end) {
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
  const std::int64_t each = bytes(static_cast<double>(numel()), options());
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
