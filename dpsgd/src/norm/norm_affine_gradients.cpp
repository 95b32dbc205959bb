#include "norm/norm_affine_gradients.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "norm/norm_cpu_kernels.h"

namespace velum::dpsgd::detail {
namespace {

constexpr std::int64_t kGrainElements = 16384;  // worth a thread

template <typename... Parts>
void require(bool condition, const Parts&... parts) {
  if (condition) return;
  std::ostringstream text;
  (text << ... << parts);
  throw std::invalid_argument(text.str());
}

void check_pair(const char* function, const at::Tensor& input, const at::Tensor& mean,
                const at::Tensor& rstd, const at::Tensor& grad_output, std::int64_t statistics) {
  require(input.scalar_type() == at::kFloat || input.scalar_type() == at::kDouble, function,
          ": input is of type ", input.scalar_type(), ", expected float32 or float64");
  require(
      grad_output.scalar_type() == input.scalar_type() &&
          mean.scalar_type() == input.scalar_type() && rstd.scalar_type() == input.scalar_type(),
      function, ": mean, rstd and grad_output must be of the type of input, ", input.scalar_type());
  require(grad_output.sizes() == input.sizes(), function, ": grad_output has sizes ",
          grad_output.sizes(), ", expected ", input.sizes());
  require(mean.numel() == statistics && rstd.numel() == statistics, function,
          ": mean and rstd have ", mean.numel(), " and ", rstd.numel(), " elements, expected ",
          statistics);
}

template <typename T>
std::pair<at::Tensor, at::Tensor> group_norm_cpu(const at::Tensor& input, const at::Tensor& mean,
                                                 const at::Tensor& rstd,
                                                 const at::Tensor& grad_output,
                                                 std::int64_t groups) {
  const std::int64_t planes = input.size(0) * input.size(1);
  const std::int64_t size = planes == 0 ? 0 : input.numel() / planes;
  const at::Tensor x = input.contiguous(), g = grad_output.contiguous();
  const at::Tensor m = mean.contiguous(), r = rstd.contiguous();
  const at::Tensor scale = at::empty({input.size(0), input.size(1)}, input.options());
  const at::Tensor shift = at::empty_like(scale);
  at::parallel_for(
      0, planes, 1 + kGrainElements / (1 + size), [&](std::int64_t begin, std::int64_t end) {
        group_norm_planes_cpu(x.const_data_ptr<T>(), g.const_data_ptr<T>(), m.const_data_ptr<T>(),
                              r.const_data_ptr<T>(), input.size(1) / groups, size, begin, end,
                              scale.mutable_data_ptr<T>(), shift.mutable_data_ptr<T>());
      });
  return {scale, shift};
}

template <typename T>
std::pair<at::Tensor, at::Tensor> layer_norm_cpu(const at::Tensor& input, const at::Tensor& mean,
                                                 const at::Tensor& rstd,
                                                 const at::Tensor& grad_output, std::int64_t rows,
                                                 std::int64_t columns,
                                                 at::IntArrayRef result_sizes) {
  const at::Tensor x = input.contiguous(), g = grad_output.contiguous();
  const at::Tensor m = mean.contiguous(), r = rstd.contiguous();
  const at::Tensor scale = at::empty(result_sizes, input.options());
  const at::Tensor shift = at::empty_like(scale);
  at::parallel_for(0, input.size(0), 1 + kGrainElements / (1 + rows * columns),
                   [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t b = begin; b < end; ++b) {
                       layer_norm_sample_cpu(x.const_data_ptr<T>() + b * rows * columns,
                                             g.const_data_ptr<T>() + b * rows * columns,
                                             m.const_data_ptr<T>() + b * rows,
                                             r.const_data_ptr<T>() + b * rows, rows, columns,
                                             scale.mutable_data_ptr<T>() + b * columns,
                                             shift.mutable_data_ptr<T>() + b * columns);
                     }
                   });
  return {scale, shift};
}

}  // namespace

std::pair<at::Tensor, at::Tensor> per_sample_group_norm_gradients(const at::Tensor& input,
                                                                  const at::Tensor& mean,
                                                                  const at::Tensor& rstd,
                                                                  const at::Tensor& grad_output,
                                                                  std::int64_t groups) {
  constexpr const char* kName = "per_sample_group_norm_gradients";
  require(input.dim() >= 2, kName, ": input has ", input.dim(), " dimensions, expected >= 2");
  const std::int64_t batch = input.size(0), channels = input.size(1);
  require(groups >= 1 && channels % groups == 0, kName, ": groups = ", groups,
          ", expected a divisor of ", channels);
  check_pair(kName, input, mean, rstd, grad_output, batch * groups);
  if (input.is_cpu()) {
    return input.scalar_type() == at::kFloat
               ? group_norm_cpu<float>(input, mean, rstd, grad_output, groups)
               : group_norm_cpu<double>(input, mean, rstd, grad_output, groups);
  }
  const std::int64_t positions = input.numel() == 0 ? 0 : input.numel() / (batch * channels);
  const std::vector<std::int64_t> grouped{batch, groups, channels / groups, positions};
  const at::Tensor x = input.reshape(grouped);
  const at::Tensor g = grad_output.reshape(grouped);
  const at::Tensor normalized =
      x.sub(mean.reshape({batch, groups, 1, 1})).mul(rstd.reshape({batch, groups, 1, 1}));
  return {g.mul(normalized).sum(3).reshape({batch, channels}), g.sum(3).reshape({batch, channels})};
}

std::pair<at::Tensor, at::Tensor> per_sample_layer_norm_gradients(const at::Tensor& input,
                                                                  const at::Tensor& mean,
                                                                  const at::Tensor& rstd,
                                                                  const at::Tensor& grad_output,
                                                                  std::int64_t normalized_dims) {
  constexpr const char* kName = "per_sample_layer_norm_gradients";
  require(normalized_dims >= 1 && normalized_dims < input.dim(), kName,
          ": normalized_dims = ", normalized_dims, ", expected 1 to ", input.dim() - 1);
  std::vector<std::int64_t> result_sizes{input.size(0)};
  std::int64_t columns = 1, rows = 1;
  for (std::int64_t d = 1; d < input.dim(); ++d) {
    if (d < input.dim() - normalized_dims) {
      rows *= input.size(d);
    } else {
      columns *= input.size(d);
      result_sizes.push_back(input.size(d));
    }
  }
  const std::int64_t batch = input.size(0);
  check_pair(kName, input, mean, rstd, grad_output, batch * rows);
  if (input.is_cpu()) {
    return input.scalar_type() == at::kFloat
               ? layer_norm_cpu<float>(input, mean, rstd, grad_output, rows, columns, result_sizes)
               : layer_norm_cpu<double>(input, mean, rstd, grad_output, rows, columns,
                                        result_sizes);
  }
  const at::Tensor x = input.reshape({batch, rows, columns});
  const at::Tensor g = grad_output.reshape({batch, rows, columns});
  const at::Tensor normalized =
      x.sub(mean.reshape({batch, rows, 1})).mul(rstd.reshape({batch, rows, 1}));
  return {g.mul(normalized).sum(1).reshape(result_sizes), g.sum(1).reshape(result_sizes)};
}

}  // namespace velum::dpsgd::detail
