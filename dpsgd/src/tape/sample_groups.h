#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace velum::dpsgd::detail {

struct MemoryLimits;

/// Samples that count as one: those of each user. The gradient of a group is the sum of the
/// gradients of its samples.
class SampleGroups {
 public:
  /// @param names  [batch, >= 1]: the group of each sample, any numbers.
  explicit SampleGroups(c10::ArrayRef<std::int64_t> names);

  std::int64_t batch() const { return static_cast<std::int64_t>(group_of_.size()); }
  /// Number of groups. They are numbered in ascending order of their names.
  std::int64_t count() const { return static_cast<std::int64_t>(names_.size()); }
  const std::vector<std::int64_t>& names() const { return names_; }
  std::int64_t size_of(std::int64_t group) const {
    return begins_[static_cast<std::size_t>(group) + 1] - begins_[static_cast<std::size_t>(group)];
  }
  /// [batch]: the samples, group by group, ascending within each.
  const std::vector<std::int64_t>& order() const { return order_; }
  /// [groups + 1]: where each begins in `order()`.
  const std::vector<std::int64_t>& begins() const { return begins_; }

  /// [batch] int64: the number of the group of each sample.
  at::Tensor of_samples(const c10::Device& device) const;
  /// [groups] float64: how many samples each has.
  at::Tensor sizes(const c10::Device& device) const;
  /// [batch] from [groups].
  at::Tensor to_samples(const at::Tensor& per_group) const;
  /// [groups] from [batch]: sums.
  at::Tensor sums(const at::Tensor& per_sample) const;

 private:
  std::vector<std::int64_t> names_;
  std::vector<std::int64_t> group_of_;
  std::vector<std::int64_t> begins_;
  std::vector<std::int64_t> order_;
};

/// [groups] float64: squared norms of the sums of rows, at most some samples' rows at a time.
///
/// @param per_sample  gives [end - begin, numel] of the samples from begin to end.
at::Tensor grouped_squared_norms(
    const SampleGroups& groups, std::int64_t numel, const at::TensorOptions& options,
    const MemoryLimits& limits,
    const std::function<at::Tensor(std::int64_t begin, std::int64_t end)>& per_sample);

}  // namespace velum::dpsgd::detail
