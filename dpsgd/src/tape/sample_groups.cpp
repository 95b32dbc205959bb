#include "tape/sample_groups.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <numeric>

#include "tape/operand_gradient.h"

namespace velum::dpsgd::detail {

SampleGroups::SampleGroups(c10::ArrayRef<std::int64_t> names)
    : names_(names.vec()), group_of_(names.size()), order_(names.size()) {
  std::sort(names_.begin(), names_.end());
  names_.erase(std::unique(names_.begin(), names_.end()), names_.end());
  begins_.assign(names_.size() + 1, 0);
  for (std::size_t sample = 0; sample < names.size(); ++sample) {
    const auto found = std::lower_bound(names_.begin(), names_.end(), names[sample]);
    group_of_[sample] = found - names_.begin();
    ++begins_[static_cast<std::size_t>(group_of_[sample]) + 1];
  }
  std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
  std::iota(order_.begin(), order_.end(), std::int64_t{0});
  std::stable_sort(order_.begin(), order_.end(), [this](std::int64_t a, std::int64_t b) {
    return group_of_[static_cast<std::size_t>(a)] < group_of_[static_cast<std::size_t>(b)];
  });
}

at::Tensor SampleGroups::of_samples(const c10::Device& device) const {
  return at::tensor(group_of_, at::TensorOptions(at::kLong)).to(device);
}

at::Tensor SampleGroups::sizes(const c10::Device& device) const {
  std::vector<double> sizes;
  for (std::int64_t group = 0; group < count(); ++group) {
    sizes.push_back(static_cast<double>(size_of(group)));
  }
  return at::tensor(sizes, at::TensorOptions(at::kDouble)).to(device);
}

at::Tensor SampleGroups::to_samples(const at::Tensor& per_group) const {
  return per_group.index_select(0, of_samples(per_group.device()));
}

at::Tensor SampleGroups::sums(const at::Tensor& per_sample) const {
  return at::zeros({count()}, per_sample.options())
      .index_add_(0, of_samples(per_sample.device()), per_sample);
}

at::Tensor grouped_squared_norms(
    const SampleGroups& groups, std::int64_t numel, const at::TensorOptions& options,
    const MemoryLimits& limits,
    const std::function<at::Tensor(std::int64_t begin, std::int64_t end)>& per_sample) {
  const at::Tensor norms = at::empty({groups.count()}, options.dtype(at::kDouble));
  const std::vector<std::int64_t>& order = groups.order();
  const std::vector<std::int64_t>& begins = groups.begins();
  const auto in_order = [&](std::int64_t i) { return order[static_cast<std::size_t>(i)]; };
  const std::int64_t bytes =
      std::max<std::int64_t>(1, numel) * static_cast<std::int64_t>(options.dtype().itemsize());
  const std::int64_t step = std::max<std::int64_t>(1, limits.chunk_bytes / bytes);

  const at::Tensor numbers = groups.of_samples(options.device());
  std::int64_t first = 0;  // the group of the chunk's first sample
  at::Tensor carried;      // the sum of its samples in earlier chunks, [numel]
  for (std::int64_t begin = 0; begin < groups.batch(); begin += step) {
    const std::int64_t end = std::min(begin + step, groups.batch());
    // The group of the last sample of the chunk, and whether that is its last sample.
    const auto after = std::lower_bound(begins.begin(), begins.end(), end);
    const std::int64_t last = after - begins.begin() - 1;
    const bool complete = *after == end;

    const at::Tensor sums = at::zeros({last - first + 1, numel}, options);
    if (carried.defined()) sums.select(0, 0).copy_(carried);
    for (std::int64_t i = begin; i < end;) {
      std::int64_t stop = i + 1;  // as many as stand one after the other in the batch
      while (stop < end && in_order(stop) == in_order(stop - 1) + 1) ++stop;
      const at::Tensor rows = per_sample(in_order(i), in_order(i) + stop - i);
      sums.index_add_(0, numbers.narrow(0, in_order(i), stop - i).sub(first), rows);
      i = stop;
    }
    const std::int64_t done = last - first + (complete ? 1 : 0);
    if (done > 0) {
      norms.narrow(0, first, done).copy_(row_squared_norms(sums.narrow(0, 0, done)));
    }
    carried = complete ? at::Tensor() : sums.select(0, last - first).clone();
    first = complete ? last + 1 : last;
  }
  return norms;
}

}  // namespace velum::dpsgd::detail
