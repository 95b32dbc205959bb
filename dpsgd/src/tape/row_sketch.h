#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <random>
#include <unordered_map>
#include <vector>

#include "tape/row_mapping.h"

namespace velum::dpsgd::detail {

/// So many samples of `elements` numbers that copies of theirs in float64 take little memory.
std::int64_t samples_at_a_time(std::int64_t elements);

/// Numbers that tell whether the rows of a sample are what they were, and take little of their
/// memory: every 64 elements, times random numbers, in one sum. A sum does not change where no row
/// does; where one does, it stays only by chance.
class RowSketch {
 public:
  static constexpr std::int64_t kLength = 64;

  struct Rows {
    at::Tensor sums;   // [batch, elements / kLength + 1] float64, the last of what is left
    at::Tensor norms;  // [batch] float64: of all elements of a sample
  };

  /// Sums depend on the elements of a sample and on their order alone, not on strides or threads.
  Rows of(const at::Tensor& grad, const RowMapping& mapping);
  /// [count] float64: what the elements of a sample are multiplied by, of absolute values in [1,
  /// 2), either sign.
  const std::vector<double>& multipliers_of(std::int64_t count);

 private:
  const at::Tensor& multipliers_on(std::int64_t count, const at::Device& device);

  /// No secret: what it draws only has to be unrelated to the gradients that are compared.
  std::mt19937_64 insecure_random_{std::random_device()()};
  std::unordered_map<std::int64_t, std::vector<double>> multipliers_;
  std::unordered_map<std::int64_t, at::Tensor> on_device_;
};

}  // namespace velum::dpsgd::detail
