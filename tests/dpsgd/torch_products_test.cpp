// What the tape calls for CUDA tensors, on CPU tensors: the same functions, views and kernels'
// contracts, by the kernels' CPU half.
#include "torch_products.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "conv/conv_problem.h"
#include "conv/conv_weight_gradients.h"

namespace velum::dpsgd::detail {
namespace {

/// That squared norms are those of `gradients` [batch, ..] float64, to a relative 1e-5 or 1e-12.
void expect_norms(const at::Tensor& norms, const at::Tensor& gradients, at::ScalarType type) {
  ASSERT_EQ(norms.scalar_type(), at::kDouble);
  const at::Tensor expected = gradients.to(at::kDouble).flatten(1).square().sum(1);
  EXPECT_TRUE(at::allclose(norms, expected, type == at::kDouble ? 1e-12 : 1e-5, 0.0))
      << norms << expected;
}

at::Tensor random(at::IntArrayRef sizes, at::ScalarType type) {
  return at::randn(sizes, at::TensorOptions().dtype(type));
}

class TorchProducts : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override { at::manual_seed(7); }
};

TEST_P(TorchProducts, NormsOfLinearMapsAreThoseOfTheGradients) {
  for (const bool time_major : {false, true}) {
    at::Tensor a =
        random(time_major ? at::IntArrayRef{9, 4, 7} : at::IntArrayRef{4, 9, 7}, GetParam());
    at::Tensor g =
        random(time_major ? at::IntArrayRef{9, 4, 5} : at::IntArrayRef{4, 9, 5}, GetParam());
    if (time_major) {
      a = a.transpose(0, 1);
      g = g.transpose(0, 1);
    }
    const at::Tensor gradients = at::bmm(g.to(at::kDouble).transpose(1, 2), a.to(at::kDouble));
    for (const auto form : {kernels::LinearNormForm::kTile, kernels::LinearNormForm::kGram}) {
      expect_norms(linear_squared_norms(form, a, g), gradients, GetParam());
    }
  }
  // Rows that are not contiguous are copied.
  const at::Tensor a = random({4, 7, 9}, GetParam()).transpose(1, 2);
  const at::Tensor g = random({4, 5, 9}, GetParam()).transpose(1, 2);
  expect_norms(linear_squared_norms(kernels::LinearNormForm::kTile, a, g),
               at::bmm(g.to(at::kDouble).transpose(1, 2), a.to(at::kDouble)), GetParam());
}

struct Convolution {
  std::vector<std::int64_t> input, weight;
  ConvGeometry geometry;
};

TEST_P(TorchProducts, NormsOfConvolutionsAreThoseOfTheGradients) {
  const Convolution cases[] = {
      {{3, 4, 9}, {6, 4, 3}, {{2}, {1}, {1}, 1}},
      {{3, 4, 9, 8}, {6, 2, 3, 2}, {{2, 1}, {1, 2}, {1, 3}, 2}},
      {{2, 3, 4, 5, 6}, {4, 3, 2, 1, 3}, {{1, 2, 1}, {1, 0, 1}, {2, 1, 1}, 1}}};
  for (const Convolution& c : cases) {
    at::Tensor input = random(c.input, GetParam());
    std::vector<std::int64_t> sizes{c.input[0], c.weight[0]};
    std::int64_t positions = 1;
    std::int64_t kernel = 1;
    for (std::size_t d = 0; d < c.geometry.stride.size(); ++d) {
      sizes.push_back((c.input[d + 2] + 2 * c.geometry.padding[d] -
                       c.geometry.dilation[d] * (c.weight[d + 2] - 1) - 1) /
                          c.geometry.stride[d] +
                      1);
      positions *= sizes.back();
      kernel *= c.weight[d + 2];
    }
    const at::Tensor grads = random(sizes, GetParam());
    const std::int64_t groups = c.geometry.groups;
    const ConvProblem problem{c.weight,    c.geometry, c.input[0], groups, c.weight[0] / groups,
                              c.weight[1], kernel,     positions};
    const at::Tensor gradients = per_sample_conv_weight_gradients(
        input.to(at::kDouble), grads.to(at::kDouble), c.weight, c.geometry);
    expect_norms(conv_fused_squared_norms(problem, input, grads), gradients, GetParam());
    // Channels last in memory.
    const at::Tensor last = input.movedim(1, -1).contiguous().movedim(-1, 1);
    expect_norms(conv_fused_squared_norms(problem, last, grads), gradients, GetParam());
  }
}

TEST_P(TorchProducts, NormsAndSumsOfLookupsAreThoseOfTheGradients) {
  const std::int64_t batch = 3, table_rows = 5, width = 6, rows = 40;
  const at::Tensor grads = random({rows, width}, GetParam());
  const at::Tensor indices = at::randint(table_rows, {rows}, at::kLong);
  const at::Tensor samples = at::randint(batch, {rows}, at::kLong);
  const at::Tensor gradients =
      at::zeros({batch * table_rows, width}, at::kDouble)
          .index_add_(0, samples.mul(table_rows).add(indices), grads.to(at::kDouble))
          .view({batch, table_rows, width});
  expect_norms(segment_squared_norms(grads, indices, samples, batch, table_rows), gradients,
               GetParam());
  const at::Tensor factors = at::tensor({1.0, 0.0, 0.25}, at::kDouble);
  const at::Tensor out = at::full({table_rows, width}, 17, grads.options());
  segment_weighted_sum(grads, indices, samples, factors, out);
  const at::Tensor expected = gradients.mul(factors.view({batch, 1, 1})).sum(0);
  EXPECT_TRUE(at::allclose(out.to(at::kDouble), expected, 1e-5, 1e-6)) << out << expected;
}

std::string type_name(const ::testing::TestParamInfo<at::ScalarType>& parameter) {
  return parameter.param == at::kFloat ? "Float" : "Double";
}
INSTANTIATE_TEST_SUITE_P(Types, TorchProducts, ::testing::Values(at::kFloat, at::kDouble),
                         type_name);

}  // namespace
}  // namespace velum::dpsgd::detail
