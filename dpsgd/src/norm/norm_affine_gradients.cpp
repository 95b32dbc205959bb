#include "norm/norm_affine_gradients.h"

#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace velum::dpsgd::detail {
namespace {

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
  const std::vector<std::int64_t> grouped{
      batch, groups, channels / groups,
      input.numel() == 0 ? 0 : input.numel() / (batch * channels)};
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
  const at::Tensor x = input.reshape({batch, rows, columns});
  const at::Tensor g = grad_output.reshape({batch, rows, columns});
  const at::Tensor normalized =
      x.sub(mean.reshape({batch, rows, 1})).mul(rstd.reshape({batch, rows, 1}));
  return {g.mul(normalized).sum(1).reshape(result_sizes), g.sum(1).reshape(result_sizes)};
}

}  // namespace velum::dpsgd::detail
