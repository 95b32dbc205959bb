#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "norm/norm_affine_gradients.h"

namespace velum::dpsgd::detail {
namespace {

using ::testing::HasSubstr;
using torch::Tensor;

struct NormCase {
  std::string name;
  std::vector<std::int64_t> sizes;
  std::int64_t groups;           // of a group normalisation
  std::int64_t normalized_dims;  // of a layer normalisation
};

void PrintTo(const NormCase& c, std::ostream* out) { *out << c.name; }

std::vector<NormCase> cases() {
  return {
      {"Plane28", {5, 32, 28, 28}, 8, 1}, {"Plane14", {4, 64, 14, 14}, 8, 2},
      {"Rows", {7, 6, 31}, 3, 1},         {"Volume", {2, 4, 3, 5, 7}, 2, 3},
      {"NoPositions", {9, 12}, 4, 1},     {"OneElement", {3, 8, 1}, 4, 1},
      {"Wide", {3, 2, 1, 1037}, 1, 2},    {"OneSample", {1, 10, 9, 9}, 5, 1},
      {"Instance", {3, 6, 8, 8}, 6, 2},   {"ManySamples", {131, 4, 5}, 2, 1},
  };
}

using Parameter = std::tuple<NormCase, torch::ScalarType>;
class NormAffineGradients : public ::testing::TestWithParam<Parameter> {};

double roundoff(torch::ScalarType dtype) {
  return dtype == torch::kFloat ? std::ldexp(1.0, -24) : std::ldexp(1.0, -53);
}

/// |computed - exact| of a sum of `terms` values g * (x - mean) * rstd in any order: `terms` - 1
/// additions, the subtraction, two products, and the same in float64 for the oracle.
Tensor bound(const Tensor& magnitude, std::int64_t terms, torch::ScalarType dtype) {
  const double n = static_cast<double>(terms) + 3;
  const double u = roundoff(dtype);
  return magnitude * (n * u / (1 - n * u) + 2 * n * std::ldexp(1.0, -53));
}

void expect_within(const Tensor& actual, const Tensor& expected, const Tensor& limit) {
  ASSERT_EQ(actual.sizes(), expected.sizes());
  const Tensor error = (actual.to(torch::kDouble) - expected).abs();
  EXPECT_TRUE((error <= limit).all().item<bool>())
      << "largest excess " << (error - limit).max().item<double>();
}

/// Single-sample backwards of scale * (x - mean) * rstd + shift, float64.
template <typename Apply>
std::pair<Tensor, Tensor> oracle(const Tensor& g, at::IntArrayRef affine_sizes,
                                 const Apply& apply) {
  std::vector<Tensor> scales, shifts;
  for (std::int64_t b = 0; b < g.size(0); ++b) {
    const Tensor scale = torch::ones(affine_sizes, torch::kDouble).requires_grad_();
    const Tensor shift = torch::zeros(affine_sizes, torch::kDouble).requires_grad_();
    const auto grads =
        torch::autograd::grad({apply(b, scale, shift)}, {scale, shift}, {g.narrow(0, b, 1)});
    scales.push_back(grads[0]);
    shifts.push_back(grads[1]);
  }
  return {torch::stack(scales), torch::stack(shifts)};
}

Tensor numbers(at::IntArrayRef sizes, double offset) {
  return (torch::randn(sizes) + offset).to(torch::kFloat).to(torch::kDouble);
}

TEST_P(NormAffineGradients, OfGroupNormEqualSingleSampleBackwards) {
  const auto& c = std::get<0>(GetParam());  // clang 14 captures no structured binding
  const auto dtype = std::get<1>(GetParam());
  torch::manual_seed(7);
  const std::int64_t batch = c.sizes[0], channels = c.sizes[1];
  const Tensor x = numbers(c.sizes, 3.0), g = numbers(c.sizes, 0.0);
  // The statistics are inputs of the function: any numbers do, and rounding them is not its error.
  const Tensor mean = numbers({batch, c.groups}, 3.0), rstd = numbers({batch, c.groups}, 2.0).abs();
  std::vector<std::int64_t> affine_view(c.sizes.size(), 1);
  affine_view[1] = channels;
  const auto spread = [&](const Tensor& statistic, std::int64_t b) {
    return statistic[b].repeat_interleave(channels / c.groups).view(affine_view);
  };
  const auto apply = [&](bool magnitude) {
    return [&, magnitude](std::int64_t b, const Tensor& scale, const Tensor& shift) {
      Tensor normalized = (x.narrow(0, b, 1) - spread(mean, b)) * spread(rstd, b);
      if (magnitude) normalized = normalized.abs();
      return normalized * scale.view(affine_view) + shift.view(affine_view);
    };
  };
  const auto expected = oracle(g, {channels}, apply(false));
  const auto magnitude = oracle(g.abs(), {channels}, apply(true));
  const std::int64_t terms = x.numel() / (batch * channels);
  const auto actual = per_sample_group_norm_gradients(x.to(dtype), mean.to(dtype), rstd.to(dtype),
                                                      g.to(dtype), c.groups);
  expect_within(actual.first, expected.first, bound(magnitude.first, terms, dtype));
  expect_within(actual.second, expected.second, bound(magnitude.second, terms, dtype));

  const auto last = [](const Tensor& t) { return t.movedim(1, -1).contiguous().movedim(-1, 1); };
  const auto strided = per_sample_group_norm_gradients(last(x.to(dtype)), mean.to(dtype),
                                                       rstd.to(dtype), last(g.to(dtype)), c.groups);
  expect_within(strided.first, expected.first, bound(magnitude.first, terms, dtype));
  expect_within(strided.second, expected.second, bound(magnitude.second, terms, dtype));
}

TEST_P(NormAffineGradients, OfLayerNormEqualSingleSampleBackwards) {
  const auto& c = std::get<0>(GetParam());  // clang 14 captures no structured binding
  const auto dtype = std::get<1>(GetParam());
  torch::manual_seed(8);
  const Tensor x = numbers(c.sizes, -2.0), g = numbers(c.sizes, 0.0);
  const auto split = c.sizes.end() - c.normalized_dims;
  const std::vector<std::int64_t> rows(c.sizes.begin(), split), affine(split, c.sizes.end());
  std::vector<std::int64_t> statistic_sizes = rows;
  statistic_sizes.resize(c.sizes.size(), 1);
  const Tensor mean = numbers(statistic_sizes, -2.0), rstd = numbers(statistic_sizes, 2.0).abs();
  const auto apply = [&](bool magnitude) {
    return [&, magnitude](std::int64_t b, const Tensor& scale, const Tensor& shift) {
      Tensor normalized = (x.narrow(0, b, 1) - mean.narrow(0, b, 1)) * rstd.narrow(0, b, 1);
      if (magnitude) normalized = normalized.abs();
      return normalized * scale + shift;
    };
  };
  const auto expected = oracle(g, affine, apply(false));
  const auto magnitude = oracle(g.abs(), affine, apply(true));
  const std::int64_t terms = mean.numel() / c.sizes[0];
  const auto actual = per_sample_layer_norm_gradients(x.to(dtype), mean.to(dtype), rstd.to(dtype),
                                                      g.to(dtype), c.normalized_dims);
  expect_within(actual.first, expected.first, bound(magnitude.first, terms, dtype));
  expect_within(actual.second, expected.second, bound(magnitude.second, terms, dtype));
}

TEST_P(NormAffineGradients, OfAnEmptyBatchAreEmpty) {
  const auto& c = std::get<0>(GetParam());  // clang 14 captures no structured binding
  const auto dtype = std::get<1>(GetParam());
  std::vector<std::int64_t> sizes = c.sizes;
  sizes[0] = 0;
  const Tensor x = torch::zeros(sizes, dtype), none = torch::zeros({0}, dtype);
  const auto group = per_sample_group_norm_gradients(x, none, none, x, c.groups);
  EXPECT_EQ(group.first.sizes(), (std::vector<std::int64_t>{0, c.sizes[1]}));
  EXPECT_EQ(group.second.sizes(), (std::vector<std::int64_t>{0, c.sizes[1]}));
  std::vector<std::int64_t> layer_sizes{0};
  layer_sizes.insert(layer_sizes.end(), c.sizes.end() - c.normalized_dims, c.sizes.end());
  const auto layer = per_sample_layer_norm_gradients(x, none, none, x, c.normalized_dims);
  EXPECT_EQ(layer.first.sizes(), layer_sizes);
  EXPECT_EQ(layer.second.sizes(), layer_sizes);
}

TEST_P(NormAffineGradients, AreTheSameBitsForAnyNumberOfThreads) {
  const auto& c = std::get<0>(GetParam());  // clang 14 captures no structured binding
  const auto dtype = std::get<1>(GetParam());
  const Tensor x = torch::randn(c.sizes, dtype), g = torch::randn(c.sizes, dtype);
  const Tensor group = torch::randn({c.sizes[0], c.groups}, dtype);
  std::int64_t rows = 1;
  for (auto d = c.sizes.begin(); d != c.sizes.end() - c.normalized_dims; ++d) rows *= *d;
  const Tensor row = torch::randn({rows}, dtype);
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    const auto of_group = per_sample_group_norm_gradients(x, group, group, g, c.groups);
    const auto of_layer = per_sample_layer_norm_gradients(x, row, row, g, c.normalized_dims);
    return std::vector<Tensor>{of_group.first, of_group.second, of_layer.first, of_layer.second};
  };
  const int before = at::get_num_threads();
  const auto one = run(1);
  const auto three = run(3);
  at::set_num_threads(before);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(torch::equal(one[i], three[i])) << i;
}

INSTANTIATE_TEST_SUITE_P(Grid, NormAffineGradients,
                         ::testing::Combine(::testing::ValuesIn(cases()),
                                            ::testing::Values(torch::kFloat, torch::kDouble)),
                         [](const auto& param) {
                           return std::get<0>(param.param).name +
                                  (std::get<1>(param.param) == torch::kFloat ? "Float32"
                                                                             : "Float64");
                         });

TEST(NormAffineGradientsArguments, AreRefusedWithTheirValues) {
  const Tensor x = torch::zeros({3, 6, 4}), four = torch::zeros({4}), nine = torch::zeros({9});
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message([&] { per_sample_group_norm_gradients(x, nine, nine, x, 4); }),
              HasSubstr("per_sample_group_norm_gradients: groups = 4, expected a divisor of 6"));
  EXPECT_THAT(message([&] { per_sample_group_norm_gradients(x, four, nine, x, 3); }),
              HasSubstr("mean and rstd have 4 and 9 elements, expected 9"));
  EXPECT_THAT(message([&] {
                per_sample_group_norm_gradients(x, nine, nine, torch::zeros({3, 6, 5}), 3);
              }),
              HasSubstr("grad_output has sizes"));
  EXPECT_THAT(
      message([&] { per_sample_group_norm_gradients(x, nine, nine, x.to(torch::kDouble), 3); }),
      HasSubstr("must be of the type of input"));
  EXPECT_THAT(message([&] { per_sample_layer_norm_gradients(x, nine, nine, x, 3); }),
              HasSubstr("normalized_dims = 3, expected 1 to 2"));
  EXPECT_THAT(message([&] { per_sample_layer_norm_gradients(x, nine, nine, x, 1); }),
              HasSubstr("have 9 and 9 elements, expected 18"));
}

}  // namespace
}  // namespace velum::dpsgd::detail
