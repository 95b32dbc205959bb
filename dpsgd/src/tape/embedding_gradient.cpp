#include <ATen/Parallel.h>
#include <ATen/ops/_unique2.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tape/operand_gradient.h"
#include "tape/operand_parts.h"
#include "torch_products.h"
#include "velum/dpsgd/cost_model.h"

namespace velum::dpsgd::detail {
namespace {

constexpr std::int64_t kGrainSamples = 16;
/// Of the table, cleared and added to at a time.
constexpr std::int64_t kBlockBytes = std::int64_t{1} << 18;
/// Parts of the table whose looked-up rows are sorted apart.
constexpr std::int64_t kSortedBlocks = 128;

/// The positions of `values` with value / size = b, for each b, in their order.
class Buckets {
 public:
  Buckets(const std::int64_t* values, std::int64_t count, std::int64_t buckets, std::int64_t size)
      : first_(static_cast<std::size_t>(buckets) + 1, 0),
        positions_(static_cast<std::size_t>(count)) {
    for (std::int64_t i = 0; i < count; ++i) {
      ++first_[static_cast<std::size_t>(values[i] / size) + 1];
    }
    for (std::size_t b = 1; b < first_.size(); ++b) first_[b] += first_[b - 1];
    std::vector<std::size_t> next = first_;
    for (std::int64_t i = 0; i < count; ++i) {
      positions_[next[static_cast<std::size_t>(values[i] / size)]++] = i;
    }
  }
  const std::int64_t* begin(std::int64_t bucket) const {
    return positions_.data() + first_[static_cast<std::size_t>(bucket)];
  }
  const std::int64_t* end(std::int64_t bucket) const { return begin(bucket + 1); }

 private:
  std::vector<std::size_t> first_;  // [buckets + 1]
  std::vector<std::int64_t> positions_;
};

/// [rows, width] in the storage of `out` where that has so much room, else new.
at::Tensor room_for(const at::Tensor& out, std::int64_t rows, std::int64_t width,
                    const at::TensorOptions& options) {
  const bool fits = out.defined() && out.dim() == 2 && out.size(1) == width &&
                    out.size(0) >= rows && out.is_contiguous() &&
                    out.scalar_type() == options.dtype().toScalarType();
  return fits ? out.narrow(0, 0, rows) : at::empty({rows, width}, options);
}

}  // namespace

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

template <typename T>
void EmbeddingGradient::measure_on_cpu() {
  const at::Tensor grads = rows_.grads.contiguous(), indices = rows_.indices.contiguous();
  const at::Tensor samples = rows_.samples.contiguous(), row_squares = row_squared_norms(grads);
  const at::Tensor norms = at::zeros({batch()}, options().dtype(at::kDouble));
  const at::Tensor magnitudes = at::zeros({batch()}, options().dtype(at::kDouble));
  const auto* const index = indices.const_data_ptr<std::int64_t>();
  const auto* const sample = samples.const_data_ptr<std::int64_t>();
  const auto* const square = row_squares.const_data_ptr<double>();
  const auto* const grad = grads.const_data_ptr<T>();
  auto* const norm = norms.mutable_data_ptr<double>();
  auto* const magnitude = magnitudes.mutable_data_ptr<double>();
  const std::int64_t width = sizes()[1], count = indices.numel();
  const Buckets of_sample(sample, count, batch(), 1);
  at::parallel_for(0, batch(), kGrainSamples, [&](std::int64_t begin, std::int64_t end) {
    std::vector<std::int64_t> rows;
    std::vector<double> sum(static_cast<std::size_t>(width));
    for (std::int64_t b = begin; b < end; ++b) {
      rows.assign(of_sample.begin(b), of_sample.end(b));
      // Rows of one index are added before they are squared, in the order of their positions.
      std::sort(rows.begin(), rows.end(), [&](std::int64_t x, std::int64_t y) {
        return index[x] != index[y] ? index[x] < index[y] : x < y;
      });
      double total = 0, absolute = 0;
      for (std::size_t i = 0; i < rows.size();) {
        std::size_t next = i + 1;
        while (next < rows.size() && index[rows[next]] == index[rows[i]]) ++next;
        for (std::size_t j = i; j < next; ++j) absolute += std::sqrt(square[rows[j]]);
        if (next == i + 1) {
          total += square[rows[i]];
        } else {
          std::fill(sum.begin(), sum.end(), 0.0);
          for (std::size_t j = i; j < next; ++j) {
            const T* const row = grad + rows[j] * width;
            for (std::int64_t c = 0; c < width; ++c) {
              sum[static_cast<std::size_t>(c)] += static_cast<double>(row[c]);
            }
          }
          for (const double value : sum) total += value * value;
        }
        i = next;
      }
      norm[b] = total;
      magnitude[b] = absolute * absolute;
    }
  });
  squared_norms_ = norms;
  squared_magnitudes_ = magnitudes;
}

at::Tensor EmbeddingGradient::squared_norms() {
  if (options().device().is_cpu()) {
    if (!squared_norms_.defined()) {
      options().dtype().toScalarType() == at::kDouble ? measure_on_cpu<double>()
                                                      : measure_on_cpu<float>();
    }
    return squared_norms_;
  }
  return squared_norms_of(rows_.samples, batch());
}

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
  if (options().device().is_cpu()) {
    squared_norms();
    return squared_magnitudes_;
  }
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

template <typename T>
void EmbeddingGradient::add_on_cpu(const at::Tensor& factors, const at::Tensor& out) const {
  const at::Tensor grads = rows_.grads.contiguous(), indices = rows_.indices.contiguous();
  const at::Tensor samples = rows_.samples.contiguous(), weights = factors.contiguous();
  const auto* const index = indices.const_data_ptr<std::int64_t>();
  const auto* const sample = samples.const_data_ptr<std::int64_t>();
  const auto* const weight = weights.const_data_ptr<T>();
  const auto* const grad = grads.const_data_ptr<T>();
  auto* const sum = out.mutable_data_ptr<T>();
  const std::int64_t rows = sizes()[0], width = sizes()[1], count = indices.numel();
  // The positions of each block of the table, in their order: a block is cleared and added to while
  // it is in the cache.
  const std::int64_t block =
      std::max<std::int64_t>(1, kBlockBytes / std::max<std::int64_t>(1, width * sizeof(T)));
  const std::int64_t blocks = (rows + block - 1) / block;
  const Buckets of_block(index, count, blocks, block);
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      std::fill(sum + b * block * width, sum + std::min(rows, (b + 1) * block) * width, T{0});
      for (const auto* at = of_block.begin(b); at != of_block.end(b); ++at) {
        const std::int64_t position = *at;
        const T factor = weight[sample[position]];
        const T* const from = grad + position * width;
        T* const to = sum + index[position] * width;
        for (std::int64_t c = 0; c < width; ++c) to[c] += factor * from[c];
      }
    }
  });
}

at::Tensor EmbeddingGradient::weighted_sum(const SampleFactors& factors, at::Tensor out) {
  out = usable(out, sizes(), options());
  const at::Tensor& weights = factors.as(options().dtype().toScalarType());
  if (options().device().is_cpu()) {
    options().dtype().toScalarType() == at::kDouble ? add_on_cpu<double>(weights, out)
                                                    : add_on_cpu<float>(weights, out);
    return out;
  }
  if (rows_.grads.is_cuda()) {  // index_add_ would add in any order
    segment_weighted_sum(rows_.grads, rows_.indices, rows_.samples, factors.as(at::kDouble), out);
    return out;
  }
  const at::Tensor row_factors = weights.index_select(0, rows_.samples);
  return out.zero_().index_add_(0, rows_.indices, rows_.grads.mul(row_factors.unsqueeze(1)));
}

template <typename T>
RowSums EmbeddingGradient::add_rows_on_cpu(const at::Tensor& factors, const at::Tensor& out) const {
  const at::Tensor grads = rows_.grads.contiguous(), indices = rows_.indices.contiguous();
  const at::Tensor samples = rows_.samples.contiguous(), weights = factors.contiguous();
  const auto* const index = indices.const_data_ptr<std::int64_t>();
  const auto* const sample = samples.const_data_ptr<std::int64_t>();
  const auto* const weight = weights.const_data_ptr<T>();
  const auto* const grad = grads.const_data_ptr<T>();
  const std::int64_t rows = sizes()[0], width = sizes()[1], count = indices.numel();
  const std::int64_t blocks = std::min(rows, kSortedBlocks), block = (rows + blocks - 1) / blocks;
  const Buckets of_block(index, count, blocks, block);
  // In each block those of one row after one another, in the order of their positions.
  std::vector<std::int64_t> places(of_block.begin(0), of_block.end(blocks - 1));
  const auto first_place = [&](std::int64_t b) { return of_block.begin(b) - of_block.begin(0); };
  std::vector<std::int64_t> first_row(static_cast<std::size_t>(blocks) + 1, 0);
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      const auto from = places.begin() + first_place(b), to = places.begin() + first_place(b + 1);
      std::sort(from, to, [&](std::int64_t x, std::int64_t y) {
        return index[x] != index[y] ? index[x] < index[y] : x < y;
      });
      std::int64_t distinct = 0;
      for (auto at = from; at != to; ++at) {
        distinct += static_cast<std::int64_t>(at == from || index[*at] != index[*(at - 1)]);
      }
      first_row[static_cast<std::size_t>(b) + 1] = distinct;
    }
  });
  std::partial_sum(first_row.begin(), first_row.end(), first_row.begin());
  const std::int64_t distinct = first_row.back();
  RowSums result{at::empty({distinct}, rows_.indices.options()),
                 room_for(out, distinct, width, options())};
  auto* const row = result.rows.mutable_data_ptr<std::int64_t>();
  auto* const sums = result.sums.mutable_data_ptr<T>();
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      auto at = places.begin() + first_place(b);
      const auto last = places.begin() + first_place(b + 1);
      for (std::int64_t r = first_row[static_cast<std::size_t>(b)]; at != last; ++r) {
        row[r] = index[*at];
        T* const to = sums + r * width;
        std::fill(to, to + width, T{0});
        for (; at != last && index[*at] == row[r]; ++at) {
          const T factor = weight[sample[*at]];
          const T* const from = grad + *at * width;
          for (std::int64_t c = 0; c < width; ++c) to[c] += factor * from[c];
        }
      }
    }
  });
  return result;
}

RowSums EmbeddingGradient::weighted_rows(const SampleFactors& factors,
                                         const at::Tensor& out) const {
  const at::ScalarType type = options().dtype().toScalarType();
  if (options().device().is_cpu()) {
    return type == at::kDouble ? add_rows_on_cpu<double>(factors.as(type), out)
                               : add_rows_on_cpu<float>(factors.as(type), out);
  }
  const auto [rows, row_of, counts] =
      at::_unique2(rows_.indices, /*sorted=*/true, /*return_inverse=*/true);
  const at::Tensor sums = at::zeros({rows.numel(), sizes()[1]}, options());
  segment_weighted_sum(rows_.grads, row_of, rows_.samples, factors.as(at::kDouble), sums);
  return {rows, sums};
}

void EmbeddingGradient::exclude(const at::Tensor& excluded) {
  rows_.grads = rows_.grads.masked_fill(excluded.index_select(0, rows_.samples).unsqueeze(1), 0);
}

GradientCost EmbeddingGradient::cost_of(GradientMethod /*method*/) const {
  const CostModel model = options().device().is_cpu() ? cost_model() : CostModel::fixed();
  const double element = static_cast<double>(options().dtype().itemsize());
  const double rows = static_cast<double>(rows_.indices.numel()) * static_cast<double>(sizes()[1]);
  // Rows read twice, and the table written.
  const double bytes = (2 * rows + static_cast<double>(numel())) * element;
  return {4 * rows, bytes, bytes / model.bytes};
}

std::string EmbeddingGradient::shape() const {
  return std::to_string(rows_.indices.numel() / batch()) + " rows of " +
         std::to_string(sizes()[1]) + ", table of " + std::to_string(sizes()[0]);
}

double EmbeddingGradient::rounding_scale(std::int64_t sample) const {
  const at::Tensor own = rows_.samples.eq(sample).nonzero().view({-1});
  const double terms = static_cast<double>(own.numel());
  return (terms + kExtraRoundings) * std::sqrt(terms) *
         std::sqrt(row_squared_norms(rows_.grads.index_select(0, own)).sum().item<double>());
}

}  // namespace velum::dpsgd::detail
