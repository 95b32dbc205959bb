#include <cstddef>

#include "conv/conv_problem.h"
#include "torch_products.h"

namespace velum::dpsgd::detail {

at::Tensor conv_fused_squared_norms(const ConvProblem& problem, const at::Tensor& input,
                                    const at::Tensor& grad_output) {
  kernels::ConvolutionGeometry geometry;
  const std::size_t dims = problem.geometry.stride.size();
  for (std::size_t d = 0; d < dims; ++d) {
    const std::size_t to = geometry.kernel.size() - dims + d;
    geometry.kernel[to] = problem.weight_sizes[d + 2];
    geometry.stride[to] = problem.geometry.stride[d];
    geometry.padding[to] = problem.geometry.padding[d];
    geometry.dilation[to] = problem.geometry.dilation[d];
  }
  geometry.groups = problem.groups;
  return conv_squared_norms(input, grad_output, geometry);
}

}  // namespace velum::dpsgd::detail
