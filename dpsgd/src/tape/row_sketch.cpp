#include "tape/row_sketch.h"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace velum::dpsgd::detail {
namespace {

/// The elements of one sample, in order: runs of neighbours, and how the runs lie.
struct Layout {
  std::int64_t run = 1;
  std::vector<std::int64_t> sizes, strides;  // of the runs
};

Layout layout_of(const at::Tensor& samples) {
  Layout layout;
  for (std::int64_t dim = 1; dim < samples.dim(); ++dim) {
    const std::int64_t size = samples.size(dim), stride = samples.stride(dim);
    if (size == 1) continue;
    if (!layout.sizes.empty() && layout.strides.back() == stride * size) {
      layout.sizes.back() *= size;
      layout.strides.back() = stride;
    } else {
      layout.sizes.push_back(size);
      layout.strides.push_back(stride);
    }
  }
  if (!layout.sizes.empty() && layout.strides.back() == 1) {
    layout.run = layout.sizes.back();
    layout.sizes.pop_back();
    layout.strides.pop_back();
  }
  return layout;
}

/// visit(first element) of each run of a sample that begins at `data`.
template <typename T, typename Visit>
void for_each_run(const Layout& layout, const T* data, const Visit& visit) {
  std::vector<std::int64_t> index(layout.sizes.size(), 0);
  while (true) {
    visit(data);
    std::size_t dim = layout.sizes.size();
    while (dim > 0) {
      --dim;
      data += layout.strides[dim];
      if (++index[dim] < layout.sizes[dim]) break;
      data -= layout.strides[dim] * layout.sizes[dim];
      index[dim] = 0;
      if (dim == 0) return;
    }
    if (layout.sizes.empty()) return;
  }
}

/// Sums with kLanes additions under way at a time, in an order that the number of elements fixes.
class Block {
 public:
  template <typename T>
  void add(const T* x, const double* multipliers, std::int64_t count) {
    for (; count > 0 && next_ != 0; --count) add_one(*x++, *multipliers++);
    for (; count >= kLanes; count -= kLanes, x += kLanes, multipliers += kLanes) {
      for (std::int64_t i = 0; i < kLanes; ++i) {
        const auto value = static_cast<double>(x[i]);
        const auto lane = static_cast<std::size_t>(i);
        products_[lane] += value * multipliers[i];
        squares_[lane] += value * value;
      }
    }
    for (; count > 0; --count) add_one(*x++, *multipliers++);
  }
  double products() const { return total(products_); }
  double squares() const { return total(squares_); }

 private:
  static constexpr std::int64_t kLanes = 8;
  using Lanes = std::array<double, kLanes>;

  template <typename T>
  void add_one(T x, double multiplier) {
    const auto value = static_cast<double>(x);
    products_[next_] += value * multiplier;
    squares_[next_] += value * value;
    next_ = (next_ + 1) % kLanes;
  }
  static double total(const Lanes& lanes) {
    return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
           ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
  }

  Lanes products_{}, squares_{};
  std::size_t next_ = 0;  // where the next element is added
};

template <typename T>
void sketch_sample(const Layout& layout, const T* data, const double* multipliers, double* sums,
                   double* norm) {
  constexpr std::int64_t kLength = RowSketch::kLength;
  double squares = 0;
  std::int64_t filled = 0;
  Block block;
  const auto finish = [&] {
    *sums++ = block.products();
    squares += block.squares();
    block = Block();
    filled = 0;
  };
  for_each_run(layout, data, [&](const T* run) {
    for (std::int64_t left = layout.run; left > 0;) {
      const std::int64_t count = std::min(left, kLength - filled);
      block.add(run, multipliers, count);
      run += count;
      multipliers += count;
      left -= count;
      filled += count;
      if (filled == kLength) finish();
    }
  });
  finish();  // what is left, or nothing
  *norm = std::sqrt(squares);
}

template <typename T>
RowSketch::Rows sketch_samples(const at::Tensor& samples, const std::vector<double>& multipliers) {
  const std::int64_t batch = samples.size(0);
  const std::int64_t sums = static_cast<std::int64_t>(multipliers.size()) / RowSketch::kLength + 1;
  const at::TensorOptions options(at::kDouble);
  RowSketch::Rows rows{at::empty({batch, sums}, options), at::empty({batch}, options)};
  const Layout layout = layout_of(samples);
  const T* const data = samples.const_data_ptr<T>();
  auto* const all_sums = rows.sums.mutable_data_ptr<double>();
  auto* const norms = rows.norms.mutable_data_ptr<double>();
  at::parallel_for(0, batch, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      sketch_sample(layout, data + b * samples.stride(0), multipliers.data(), all_sums + b * sums,
                    norms + b);
    }
  });
  return rows;
}

}  // namespace

std::int64_t samples_at_a_time(std::int64_t elements) {
  constexpr std::int64_t kChunkElements = std::int64_t{1} << 17;
  return std::max<std::int64_t>(1, kChunkElements / std::max<std::int64_t>(1, elements));
}

RowSketch::Rows RowSketch::of(const at::Tensor& grad, const RowMapping& mapping) {
  const at::Tensor samples = mapping.samples_first(grad).resolve_neg();
  const std::int64_t batch = samples.size(0);
  const std::int64_t each = samples.numel() / std::max<std::int64_t>(1, batch);
  // Not by torch's operations, of which each would wait for all threads at its end.
  if (samples.is_cpu() && each > 0) {
    if (samples.scalar_type() == at::kFloat) {
      return sketch_samples<float>(samples, multipliers_of(each));
    }
    if (samples.scalar_type() == at::kDouble) {
      return sketch_samples<double>(samples, multipliers_of(each));
    }
  }
  const at::Tensor& multipliers = multipliers_on(each, grad.device());
  const std::int64_t chunk = samples_at_a_time(each);
  std::vector<at::Tensor> sums, norms;
  for (std::int64_t begin = 0; begin < batch; begin += chunk) {
    const std::int64_t count = std::min(chunk, batch - begin);
    const at::Tensor rows = samples.narrow(0, begin, count).reshape({count, each}).to(at::kDouble);
    norms.push_back(rows.square().sum(1).sqrt_());
    const at::Tensor products = rows.mul(multipliers);
    const std::int64_t whole = each / kLength * kLength;
    sums.push_back(
        at::cat({products.narrow(1, 0, whole).reshape({count, whole / kLength, kLength}).sum(2),
                 products.narrow(1, whole, each - whole).sum(1, /*keepdim=*/true)},
                1));
  }
  return {at::cat(sums), at::cat(norms)};
}

const std::vector<double>& RowSketch::multipliers_of(std::int64_t count) {
  std::vector<double>& values = multipliers_[count];
  if (values.empty()) {
    values.resize(static_cast<std::size_t>(count));
    for (double& value : values) {
      const std::uint64_t bits = insecure_random_();
      value = (1 + static_cast<double>(bits >> 12) * 0x1p-52) * ((bits & 1U) != 0 ? 1 : -1);
    }
  }
  return values;
}

const at::Tensor& RowSketch::multipliers_on(std::int64_t count, const at::Device& device) {
  at::Tensor& multipliers = on_device_[count];
  if (!multipliers.defined()) {
    std::vector<double> values = multipliers_of(count);
    multipliers =
        at::from_blob(values.data(), {count}, at::TensorOptions(at::kDouble)).clone().to(device);
  }
  return multipliers;
}

}  // namespace velum::dpsgd::detail
