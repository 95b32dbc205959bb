#include "conv/conv_weight_gradients.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hwy/targets.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "conv/conv_problem.h"

namespace velum::dpsgd::detail {
namespace {

using ::testing::HasSubstr;
using torch::Tensor;

struct ConvCase {
  std::string name;
  std::int64_t batch;
  std::vector<std::int64_t> input;  // [channels, *spatial]
  std::int64_t outputs;
  std::vector<std::int64_t> kernel;
  ConvGeometry geometry;
};

void PrintTo(const ConvCase& c, std::ostream* out) { *out << c.name; }

std::vector<ConvCase> cases() {
  return {
      {"Conv1d", 3, {2, 19}, 5, {4}, {{1}, {0}, {1}, 1}},
      {"Conv1dStrideDilationPaddingGroups", 4, {6, 40}, 9, {3}, {{3}, {4}, {2}, 3}},
      {"Conv1dPointwise", 2, {7, 33}, 16, {1}, {{1}, {0}, {1}, 1}},
      {"TanhCnnFirst", 5, {1, 28, 28}, 16, {8, 8}, {{2, 2}, {3, 3}, {1, 1}, 1}},
      {"TanhCnnSecond", 5, {16, 13, 13}, 32, {4, 4}, {{2, 2}, {0, 0}, {1, 1}, 1}},
      {"Same3x3", 3, {32, 28, 28}, 32, {3, 3}, {{1, 1}, {1, 1}, {1, 1}, 1}},
      {"Same3x3Wide", 2, {64, 14, 14}, 64, {3, 3}, {{1, 1}, {1, 1}, {1, 1}, 1}},
      {"OddChannels", 3, {3, 11, 9}, 13, {3, 2}, {{1, 1}, {1, 0}, {1, 1}, 1}},
      {"OneOutput", 3, {5, 8, 8}, 1, {3, 3}, {{1, 1}, {1, 1}, {1, 1}, 1}},
      {"Mixed2d", 3, {4, 17, 12}, 6, {2, 5}, {{2, 1}, {0, 3}, {3, 2}, 2}},
      {"Depthwise", 3, {12, 15, 15}, 12, {3, 3}, {{1, 1}, {1, 1}, {1, 1}, 12}},
      {"DepthwiseOfTwoChannels", 3, {22, 9, 10}, 11, {3, 3}, {{1, 2}, {1, 0}, {1, 1}, 11}},
      {"Depthwise5x5", 2, {19, 12, 11}, 19, {5, 5}, {{1, 1}, {2, 2}, {1, 1}, 19}},
      {"DepthwiseMultiplier", 3, {6, 16, 15}, 12, {3, 3}, {{2, 2}, {1, 1}, {1, 1}, 6}},
      {"PaddingBeyondKernel", 2, {3, 6, 6}, 4, {3, 3}, {{1, 1}, {5, 4}, {1, 1}, 1}},
      {"KernelOfTheWholeInput", 3, {8, 5, 5}, 24, {5, 5}, {{1, 1}, {0, 0}, {1, 1}, 1}},
      {"UnreadBorder", 3, {4, 12, 12}, 8, {3, 3}, {{4, 4}, {0, 0}, {1, 1}, 1}},
      {"OneSample", 1, {4, 9, 9}, 8, {3, 3}, {{1, 1}, {1, 1}, {1, 1}, 1}},
      {"ManySamples", 67, {2, 6, 6}, 3, {3, 3}, {{1, 1}, {1, 1}, {1, 1}, 1}},
      {"Conv3d", 3, {3, 7, 8, 9}, 10, {3, 2, 3}, {{1, 1, 1}, {1, 0, 1}, {1, 1, 1}, 1}},
      {"Conv3dAll", 2, {4, 9, 8, 10}, 6, {2, 3, 2}, {{2, 1, 3}, {1, 2, 0}, {2, 1, 3}, 2}},
  };
}

/// One problem in float64, and what autograd says of each of its samples alone.
struct Problem {
  std::vector<std::int64_t> weight_sizes;
  Tensor input, grad_output;  // float64
  std::int64_t positions;

  explicit Problem(const ConvCase& c) : case_(c) {
    torch::manual_seed(20240817);
    weight_sizes = {c.outputs, c.input[0] / c.geometry.groups};
    weight_sizes.insert(weight_sizes.end(), c.kernel.begin(), c.kernel.end());
    std::vector<std::int64_t> sizes{c.batch};
    sizes.insert(sizes.end(), c.input.begin(), c.input.end());
    // Values that float32 holds exactly, so that both types are given the same problem.
    input = torch::randn(sizes).to(torch::kDouble);
    grad_output = torch::randn_like(convolve(input, torch::zeros(weight_sizes, torch::kDouble)),
                                    torch::kFloat)
                      .to(torch::kDouble);
    positions = grad_output.numel() / (grad_output.size(0) * grad_output.size(1));
  }

  Tensor convolve(const Tensor& x, const Tensor& weight) const {
    const ConvGeometry& g = case_.geometry;
    return at::convolution(x, weight, {}, g.stride, g.padding, g.dilation, false,
                           std::vector<std::int64_t>(g.stride.size(), 0), g.groups);
  }

  /// Single-sample backwards.
  Tensor oracle(const Tensor& x, const Tensor& grad) const {
    std::vector<Tensor> rows;
    for (std::int64_t b = 0; b < x.size(0); ++b) {
      Tensor weight = torch::zeros(weight_sizes, torch::kDouble).requires_grad_();
      const Tensor y = convolve(x.narrow(0, b, 1), weight);
      rows.push_back(torch::autograd::grad({y}, {weight}, {grad.narrow(0, b, 1)})[0]);
    }
    return torch::stack(rows);
  }

  /// Bound of |computed - exact| per element: each is a sum of `positions` products, in any order,
  /// so that (positions + 1) roundings meet each product (Higham 2002, section 3.1), on our side
  /// with the unit roundoff of `dtype` and on the oracle's with that of float64.
  Tensor bound(torch::ScalarType dtype) const {
    const double n = static_cast<double>(positions) + 1;
    const double u = dtype == torch::kFloat ? std::ldexp(1.0, -24) : std::ldexp(1.0, -53);
    const double ours = n * u / (1 - n * u);
    const double theirs = n * std::ldexp(1.0, -53);
    return oracle(input.abs(), grad_output.abs()) * (ours + 2 * theirs);
  }

  /// <X_t, X_u> <G_t, G_u> in float64: n = D + O + T^2 roundings meet each term, and the terms add
  /// up to at most (sum_t |X_t| |G_t|)^2.
  Tensor gram_bound() const {
    const Tensor magnitude = oracle(input.abs(), grad_output.abs()).flatten(1);
    const double n = static_cast<double>(magnitude.size(1) + positions * positions);
    return magnitude.square().sum(1) * n * std::ldexp(1.0, -52);
  }

  const ConvCase& case_;
};

constexpr ConvMethod kMethods[] = {ConvMethod::kMaterialise, ConvMethod::kTile, ConvMethod::kGram};

void expect_within(const Tensor& actual, const Tensor& expected, const Tensor& bound) {
  ASSERT_EQ(actual.sizes(), expected.sizes());
  const Tensor error = (actual.to(torch::kDouble) - expected).abs();
  EXPECT_TRUE((error <= bound).all().item<bool>())
      << "largest excess " << (error - bound).max().item<double>();
}

using Parameter = std::tuple<ConvCase, torch::ScalarType>;

class ConvWeightGradientsGrid : public ::testing::TestWithParam<Parameter> {};

Tensor factors_of(std::int64_t batch) {
  Tensor factors = torch::rand({batch}).to(torch::kDouble);
  if (batch > 2) factors[1] = 0;
  return factors;
}

TEST_P(ConvWeightGradientsGrid, EqualSingleSampleBackwards) {
  const auto& [conv, dtype] = GetParam();
  const Problem p(conv);
  expect_within(per_sample_conv_weight_gradients(p.input.to(dtype), p.grad_output.to(dtype),
                                                 p.weight_sizes, conv.geometry),
                p.oracle(p.input, p.grad_output), p.bound(dtype));
}

TEST_P(ConvWeightGradientsGrid, SquaredNormsEqualSingleSampleBackwardsByEveryMethod) {
  const auto& [conv, dtype] = GetParam();
  const Problem p(conv);
  const Tensor exact = p.oracle(p.input, p.grad_output).flatten(1);
  const Tensor e = p.bound(dtype).flatten(1);
  const Tensor expected = exact.square().sum(1);
  // The square of an element moves by at most 2|g|e + e^2; float64 sums add their own rounding.
  const Tensor bound = (2 * exact.abs() * e + e.square()).sum(1) +
                       expected * static_cast<double>(exact.size(1)) * std::ldexp(1.0, -52);
  const Tensor x = p.input.to(dtype), g = p.grad_output.to(dtype);
  for (const ConvMethod method : kMethods) {
    const ConvWeightGradients use(x, g, p.weight_sizes, conv.geometry, method);
    EXPECT_EQ(use.method(), method);
    EXPECT_EQ(use.squared_norms().scalar_type(), torch::kDouble);
    expect_within(use.squared_norms(), expected,
                  method == ConvMethod::kGram ? p.gram_bound() : bound);
  }
}

TEST_P(ConvWeightGradientsGrid, WeightedSumsEqualSingleSampleBackwardsByEveryMethod) {
  const auto& [conv, dtype] = GetParam();
  const Problem p(conv);
  const Tensor factors = factors_of(conv.batch).to(dtype);
  std::vector<std::int64_t> column(p.weight_sizes.size() + 1, 1);
  column[0] = conv.batch;
  const Tensor weights = factors.to(torch::kDouble).view(column);
  const Tensor exact = p.oracle(p.input, p.grad_output);
  const double u = dtype == torch::kFloat ? std::ldexp(1.0, -24) : std::ldexp(1.0, -53);
  const Tensor bound = (weights * p.bound(dtype)).sum(0) +
                       (weights * (exact.abs() + p.bound(dtype))).sum(0) *
                           (static_cast<double>(conv.batch) + 2) * (u + std::ldexp(1.0, -53));
  const Tensor expected = (weights * exact).sum(0);
  const Tensor x = p.input.to(dtype), g = p.grad_output.to(dtype);
  expect_within(weighted_conv_weight_gradient(x, g, factors, p.weight_sizes, conv.geometry),
                expected, bound);
  for (const ConvMethod method : kMethods) {
    const ConvWeightGradients use(x, g, p.weight_sizes, conv.geometry, method);
    expect_within(use.weighted_sum(factors), expected, bound);
  }
}

/// What serves every device but the CPU is checked on the CPU too.
TEST_P(ConvWeightGradientsGrid, ByProductsOfAtenEqualSingleSampleBackwards) {
  const auto& [conv, dtype] = GetParam();
  const Problem p(conv);
  const Tensor x = p.input.to(dtype), g = p.grad_output.to(dtype);
  std::int64_t kernel = 1;
  for (const std::int64_t size : conv.kernel) kernel *= size;
  const std::int64_t groups = conv.geometry.groups;
  const ConvProblem problem{p.weight_sizes,        conv.geometry,     conv.batch, groups,
                            conv.outputs / groups, p.weight_sizes[1], kernel,     p.positions};
  const ConvRows rows = conv_rows_aten(
      problem, x, g, {.gradients = true, .squared_norms = true, .bias_gradients = true});
  const Tensor exact = p.oracle(p.input, p.grad_output).flatten(1), e = p.bound(dtype).flatten(1);
  expect_within(rows.gradients, exact, e);
  const Tensor expected = exact.square().sum(1);
  const Tensor rounding = expected * static_cast<double>(exact.size(1)) * std::ldexp(1.0, -52);
  expect_within(rows.squared_norms, expected, (2 * exact.abs() * e + e.square()).sum(1) + rounding);
  expect_within(conv_gram_squared_norms_aten(problem, x, g), expected, p.gram_bound());

  const Tensor factors = factors_of(conv.batch).to(dtype);
  Tensor tainted = rows.gradients.clone();
  if (conv.batch > 2) tainted[1].fill_(std::numeric_limits<double>::quiet_NaN());
  Tensor sum = torch::zeros({exact.size(1)}, dtype), plain = sum.clone();
  add_weighted_rows_aten(tainted, factors, sum);
  add_weighted_rows_aten(rows.gradients, factors, plain);
  EXPECT_TRUE(torch::equal(sum, plain));
  const Tensor weights = factors.to(torch::kDouble).unsqueeze(1);
  const double u = dtype == torch::kFloat ? std::ldexp(1.0, -24) : std::ldexp(1.0, -53);
  expect_within(sum, (weights * exact).sum(0),
                (weights * e).sum(0) + (weights * (exact.abs() + e)).sum(0) *
                                           (static_cast<double>(conv.batch) + 2) *
                                           (u + std::ldexp(1.0, -53)));
}

TEST_P(ConvWeightGradientsGrid, BiasGradientsAreTheSumsOverPositions) {
  const auto& [conv, dtype] = GetParam();
  const Problem p(conv);
  const double n = static_cast<double>(p.positions);
  const double u = dtype == torch::kFloat ? std::ldexp(1.0, -24) : std::ldexp(1.0, -53);
  for (const ConvMethod method : kMethods) {
    const ConvWeightGradients use(p.input.to(dtype), p.grad_output.to(dtype), p.weight_sizes,
                                  conv.geometry, method);
    expect_within(
        use.bias_gradients(), p.grad_output.flatten(2).sum(2),
        p.grad_output.abs().flatten(2).sum(2) * n * (u / (1 - n * u) + std::ldexp(1.0, -52)));
  }
}

TEST_P(ConvWeightGradientsGrid, AnyStridesOfMemoryGiveTheSameBits) {
  const auto& [conv, dtype] = GetParam();
  const Problem p(conv);
  const Tensor x = p.input.to(dtype), g = p.grad_output.to(dtype);
  const Tensor expected = per_sample_conv_weight_gradients(x, g, p.weight_sizes, conv.geometry);
  // Channels last, and a view with a gap after every element.
  const Tensor x_last = x.movedim(1, -1).contiguous().movedim(-1, 1);
  const Tensor g_last = g.movedim(1, -1).contiguous().movedim(-1, 1);
  const Tensor x_gaps = torch::stack({x, x + 1}, -1).select(-1, 0);
  const Tensor g_gaps = torch::stack({g, g + 1}, -1).select(-1, 0);
  for (const auto& [xs, gs] : {std::pair{x_last, g_last}, std::pair{x_gaps, g_gaps},
                               std::pair{x_last, g}, std::pair{x, g_last}}) {
    EXPECT_TRUE(torch::equal(
        per_sample_conv_weight_gradients(xs, gs, p.weight_sizes, conv.geometry), expected));
  }
}

TEST_P(ConvWeightGradientsGrid, AZeroFactorSelectsASampleAwayWhateverItHolds) {
  const auto& conv = std::get<0>(GetParam());  // clang 14 captures no structured binding
  const auto dtype = std::get<1>(GetParam());
  if (conv.batch < 3) GTEST_SKIP() << "needs three samples";
  const Problem p(conv);
  const Tensor factors = factors_of(conv.batch).to(dtype);
  Tensor x = p.input.to(dtype).clone(), g = p.grad_output.to(dtype).clone();
  const auto sum = [&](ConvMethod method) {
    return ConvWeightGradients(x, g, p.weight_sizes, conv.geometry, method).weighted_sum(factors);
  };
  for (const ConvMethod method : kMethods) {
    x = p.input.to(dtype).clone();
    const Tensor expected = sum(method);
    x[1].fill_(std::numeric_limits<double>::quiet_NaN());
    EXPECT_TRUE(torch::equal(sum(method), expected));
    x[1].fill_(std::numeric_limits<double>::infinity());
    EXPECT_TRUE(torch::equal(sum(method), expected));
  }
}

TEST_P(ConvWeightGradientsGrid, ANonFiniteSampleHasANonFiniteNormAndLeavesTheOthersAlone) {
  const auto& conv = std::get<0>(GetParam());  // clang 14 captures no structured binding
  const auto dtype = std::get<1>(GetParam());
  if (conv.batch < 3) GTEST_SKIP() << "needs three samples";
  const Problem p(conv);
  const Tensor x = p.input.to(dtype);
  for (const ConvMethod method : kMethods) {
    const auto norms = [&](const Tensor& g) {
      return ConvWeightGradients(x, g, p.weight_sizes, conv.geometry, method).squared_norms();
    };
    const Tensor clean = norms(p.grad_output.to(dtype));
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      Tensor g = p.grad_output.to(dtype).clone();
      g[1].flatten()[0] = bad;
      const Tensor tainted = norms(g);
      EXPECT_FALSE(std::isfinite(tainted[1].item<double>()));
      EXPECT_EQ(tainted[0].item<double>(), clean[0].item<double>());
      EXPECT_TRUE(torch::equal(tainted.slice(0, 2), clean.slice(0, 2)));
    }
  }
}

TEST_P(ConvWeightGradientsGrid, AnEmptyBatchGivesNoNormsAndAZeroSum) {
  const auto& [conv, dtype] = GetParam();
  const Problem p(conv);
  const Tensor x = p.input.to(dtype).narrow(0, 0, 0), g = p.grad_output.to(dtype).narrow(0, 0, 0);
  std::vector<std::int64_t> sizes{0};
  sizes.insert(sizes.end(), p.weight_sizes.begin(), p.weight_sizes.end());
  EXPECT_EQ(per_sample_conv_weight_gradients(x, g, p.weight_sizes, conv.geometry).sizes(), sizes);
  for (const ConvMethod method : kMethods) {
    const ConvWeightGradients use(x, g, p.weight_sizes, conv.geometry, method);
    EXPECT_EQ(use.squared_norms().numel(), 0);
    EXPECT_TRUE(torch::equal(use.weighted_sum(torch::empty({0}, dtype)),
                             torch::zeros(p.weight_sizes, dtype)));
  }
}

TEST_P(ConvWeightGradientsGrid, AnyNumberOfThreadsGivesTheSameBits) {
  const auto& conv = std::get<0>(GetParam());  // clang 14 captures no structured binding
  const auto dtype = std::get<1>(GetParam());
  const Problem p(conv);
  const Tensor x = p.input.to(dtype), g = p.grad_output.to(dtype);
  const Tensor factors = factors_of(conv.batch).to(dtype);
  for (const ConvMethod method : kMethods) {
    const auto run = [&](int threads) {
      at::set_num_threads(threads);
      const ConvWeightGradients use(x, g, p.weight_sizes, conv.geometry, method);
      return std::pair(use.squared_norms(), use.weighted_sum(factors));
    };
    const int before = at::get_num_threads();
    const auto one = run(1);
    const auto three = run(3);
    at::set_num_threads(before);
    EXPECT_TRUE(torch::equal(one.first, three.first));
    EXPECT_TRUE(torch::equal(one.second, three.second));
  }
}

TEST_P(ConvWeightGradientsGrid, EqualSingleSampleBackwardsOnEveryInstructionSetOfThisMachine) {
  const auto& [conv, dtype] = GetParam();
  const Problem p(conv);
  const Tensor x = p.input.to(dtype), g = p.grad_output.to(dtype);
  const Tensor expected = p.oracle(p.input, p.grad_output), bound = p.bound(dtype);
  for (std::int64_t rest = hwy::SupportedTargets(); rest != 0; rest &= rest - 1) {
    const std::int64_t target = rest & -rest;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    expect_within(per_sample_conv_weight_gradients(x, g, p.weight_sizes, conv.geometry), expected,
                  bound);
    // By either way the same gradients are added, in the same order.
    const ConvWeightGradients kept(x, g, p.weight_sizes, conv.geometry, ConvMethod::kMaterialise);
    const Tensor factors = factors_of(conv.batch).to(dtype);
    EXPECT_TRUE(
        torch::equal(weighted_conv_weight_gradient(x, g, factors, p.weight_sizes, conv.geometry),
                     kept.weighted_sum(factors)));
    const ConvWeightGradients gram(x, g, p.weight_sizes, conv.geometry, ConvMethod::kGram);
    expect_within(gram.squared_norms(), expected.flatten(1).square().sum(1), p.gram_bound());
  }
  hwy::SetSupportedTargetsForTest(0);  // all again
  hwy::GetChosenTarget().DeInit();
}

TEST_P(ConvWeightGradientsGrid, TheWeightedSumIsFitToBecomeAGradient) {
  const auto& [conv, dtype] = GetParam();
  const Problem p(conv);
  for (const ConvMethod method : kMethods) {
    const Tensor sum = ConvWeightGradients(p.input.to(dtype), p.grad_output.to(dtype),
                                           p.weight_sizes, conv.geometry, method)
                           .weighted_sum(factors_of(conv.batch).to(dtype));
    EXPECT_TRUE(sum.is_contiguous());
    EXPECT_FALSE(sum.is_view());  // an optimiser detaches gradients in place
  }
}

INSTANTIATE_TEST_SUITE_P(Grid, ConvWeightGradientsGrid,
                         ::testing::Combine(::testing::ValuesIn(cases()),
                                            ::testing::Values(torch::kFloat, torch::kDouble)),
                         [](const auto& param) {
                           return std::get<0>(param.param).name +
                                  (std::get<1>(param.param) == torch::kFloat ? "Float32"
                                                                             : "Float64");
                         });

TEST(ConvWeightGradientsArguments, AreRefusedWithTheirValues) {
  const ConvGeometry geometry{{1, 1}, {1, 1}, {1, 1}, 1};
  const std::vector<std::int64_t> weight{4, 2, 3, 3};
  const Tensor x = torch::zeros({3, 2, 8, 8}), g = torch::zeros({3, 4, 8, 8});
  const auto message = [&](const Tensor& input, const Tensor& grad, at::IntArrayRef sizes,
                           const ConvGeometry& how) -> std::string {
    try {
      per_sample_conv_weight_gradients(input, grad, sizes, how);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message(x, torch::zeros({3, 4, 8, 7}), weight, geometry),
              HasSubstr("grad_output.size(3) = 7"));
  EXPECT_THAT(message(x, torch::zeros({2, 4, 8, 8}), weight, geometry),
              HasSubstr("grad_output.size(0) = 2, expected 3"));
  EXPECT_THAT(message(x, g.to(torch::kDouble), weight, geometry), HasSubstr("type Double"));
  EXPECT_THAT(message(x.to(torch::kHalf), g.to(torch::kHalf), weight, geometry),
              HasSubstr("expected float32 or float64"));
  EXPECT_THAT(message(x, g, {5, 2, 3, 3}, geometry), HasSubstr("expected weight_sizes[0] = 5"));
  EXPECT_THAT(message(x, g, {4, 1, 3, 3}, geometry), HasSubstr("weight_sizes[1] = 1, expected 2"));
  EXPECT_THAT(message(x, g, weight, {{1, 1}, {1, 1}, {1, 1}, 3}), HasSubstr("groups = 3"));
  EXPECT_THAT(message(x, g, weight, {{1}, {1, 1}, {1, 1}, 1}),
              HasSubstr("one entry for each of 2"));
  EXPECT_THAT(message(x, g, weight, {{0, 1}, {1, 1}, {1, 1}, 1}), HasSubstr("stride = 0"));
  EXPECT_THAT(message(x[0], g[0], weight, geometry), HasSubstr("weight_sizes has 4 entries"));
}

TEST(ConvSquaredNorms, OfMillionsOfEqualTermsKeepTheirErrorBound) {
  // Rounding errors of equal terms have one sign for long: nothing averages out. One position, so
  // every element of the gradient is one product.
  constexpr std::int64_t kChannels = 724, kKernel = 3;
  constexpr double kElements = 1.0 * kChannels * kChannels * kKernel;
  // Additions that a term passes (docs/numerics.md), its product and its square.
  constexpr double kBound = (256 + 3 + 512 + kElements / 65536 + 4) * 0x1p-53;
  const ConvGeometry geometry{{1}, {0}, {1}, 1};
  for (const double value : {0.1, 0.3, 0.7, 1.1}) {
    const Tensor input = torch::full({1, kChannels, kKernel}, value, torch::kDouble);
    const Tensor grad = torch::ones({1, kChannels, 1}, torch::kDouble);
    const double exact = kElements * value * value;
    for (const ConvMethod method : {ConvMethod::kMaterialise, ConvMethod::kTile}) {
      const ConvWeightGradients use(input, grad, {kChannels, kChannels, kKernel}, geometry, method);
      EXPECT_NEAR(use.squared_norms()[0].item<double>(), exact, kBound * exact) << value;
    }
  }
}

}  // namespace
}  // namespace velum::dpsgd::detail
