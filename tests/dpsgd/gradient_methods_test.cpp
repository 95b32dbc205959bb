// The ways in which norms of per-sample gradients are taken: each against sums of products in
// double, which share no code with them; what chooses between them; and the gradients that are
// taken while the backward pass is under way.
#include <gtest/gtest.h>
#include <torch/torch.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "reference/single_sample_gradients.h"
#include "tape/tape.h"
#include "velum/dpsgd/cost_model.h"
#include "velum/dpsgd/explain.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"

namespace velum::testing {
namespace {

using dpsgd::GradientMethod;
using dpsgd::detail::BatchGradients;
using dpsgd::detail::ConvGradient;
using dpsgd::detail::LinearGradient;
using dpsgd::detail::MemoryLimits;
using dpsgd::detail::RowMapping;
using dpsgd::detail::SampleFactors;
using dpsgd::detail::SampleRows;
using dpsgd::detail::Tape;

/// Rows of samples, at random.
std::shared_ptr<const SampleRows> random_rows(const RowMapping& mapping, std::int64_t width,
                                              at::ScalarType type) {
  return std::make_shared<const SampleRows>(
      torch::randn({mapping.batch * mapping.steps(), width}, type), mapping);
}

/// Element [sample][step] of the rows, by the definition of a mapping.
at::Tensor row_of(const SampleRows& rows, std::int64_t sample, std::int64_t step) {
  const RowMapping& m = rows.mapping;
  const std::int64_t outer = step / m.inner, inner = step % m.inner;
  return rows.rows[(outer * m.batch + sample) * m.inner + inner].to(torch::kFloat64);
}

struct LinearCase {
  std::string name;
  std::vector<RowMapping> mappings;  // of the uses
  std::int64_t inputs, outputs;
  bool inputs_first;
};

const std::vector<LinearCase> kLinearCases{
    {"BatchMajor", {{0, 1, 3, 5}}, 7, 4, false},
    {"TimeMajor", {{0, 6, 3, 1}}, 65, 33, true},
    {"Both", {{0, 2, 3, 4}}, 16, 130, false},
    {"ManySteps", {{0, 1, 2, 67}}, 3, 64, true},
    {"ThirtyThreeSteps", {{0, 33, 2, 1}}, 129, 2, false},
    {"UsedThreeTimes", {{0, 1, 4, 1}, {0, 3, 4, 1}, {0, 1, 4, 2}}, 31, 9, false},
    {"OneByOne", {{0, 1, 2, 2}}, 1, 1, false},
};

class EveryLinearMethod
    : public ::testing::TestWithParam<std::tuple<LinearCase, GradientMethod, at::ScalarType>> {
 protected:
  EveryLinearMethod() {
    torch::manual_seed(3);
    for (const RowMapping& mapping : one().mappings) {
      uses_.push_back({random_rows(mapping, one().inputs, type()),
                       random_rows(mapping, one().outputs, type())});
    }
  }
  const LinearCase& one() const { return std::get<0>(GetParam()); }
  at::ScalarType type() const { return std::get<2>(GetParam()); }
  std::int64_t batch() const { return one().mappings.front().batch; }
  LinearGradient gradient() const {
    return LinearGradient(uses_, one().inputs_first,
                          MemoryLimits{.method = std::get<1>(GetParam())}, 0);
  }
  /// [outputs, inputs] in double, term by term; and sums of absolute values to bound its rounding.
  std::pair<at::Tensor, double> expected(std::int64_t sample) const {
    at::Tensor sum = torch::zeros({one().outputs, one().inputs}, torch::kFloat64);
    double input = 0, grad = 0;
    for (const auto& use : uses_) {
      for (std::int64_t step = 0; step < use.grad->mapping.steps(); ++step) {
        const at::Tensor a = row_of(*use.input, sample, step), g = row_of(*use.grad, sample, step);
        sum += torch::outer(g, a);
        input += a.square().sum().item<double>();
        grad += g.square().sum().item<double>();
      }
    }
    return {sum, std::sqrt(input * grad)};
  }
  /// gamma_k of the type for all roundings on the way.
  double relative_error() const {
    double steps = 0;
    for (const RowMapping& mapping : one().mappings) steps += static_cast<double>(mapping.steps());
    return (steps * steps + static_cast<double>(one().inputs + one().outputs) + 8) *
           (type() == torch::kFloat64 ? 0x1p-53 : 0x1p-24);
  }

  std::vector<LinearGradient::Use> uses_;
};

TEST_P(EveryLinearMethod, GivesTheNormsAndTheSumOfTheProducts) {
  LinearGradient linear = gradient();
  ASSERT_EQ(linear.method(), std::get<1>(GetParam()));
  const at::Tensor norms = linear.squared_norms(), magnitudes = linear.squared_magnitudes();
  const at::Tensor factors = torch::rand({batch()}, torch::kFloat64);
  at::Tensor sum = torch::zeros({one().outputs, one().inputs}, torch::kFloat64);
  double all = 0;
  for (std::int64_t b = 0; b < batch(); ++b) {
    const auto [want, magnitude] = expected(b);
    EXPECT_NEAR(std::sqrt(norms[b].item<double>()), want.norm().item<double>(),
                relative_error() * magnitude)
        << "sample " << b;
    EXPECT_NEAR(std::sqrt(magnitudes[b].item<double>()), magnitude, relative_error() * magnitude);
    const at::Tensor got = linear.per_sample(b, b + 1)[0];
    EXPECT_LE(((one().inputs_first ? got.t() : got) - want).norm().item<double>(),
              relative_error() * magnitude);
    sum += want * factors[b];
    all += magnitude;
  }
  const at::Tensor got = linear.weighted_sum(SampleFactors(factors), {});
  ASSERT_TRUE(got.is_contiguous());
  EXPECT_LE(((one().inputs_first ? got.t() : got) - sum).norm().item<double>(),
            static_cast<double>(batch()) * relative_error() * all);
}

TEST_P(EveryLinearMethod, ARowThatIsNotFiniteSpoilsItsOwnSampleOnly) {
  const at::Tensor clean = gradient().squared_norms();
  // The first row of the last use is of sample 0.
  uses_.back().grad->rows[0][0] = std::numeric_limits<double>::quiet_NaN();
  LinearGradient linear = gradient();
  const at::Tensor norms = linear.squared_norms();
  EXPECT_FALSE(std::isfinite(norms[0].item<double>()));
  for (std::int64_t b = 1; b < batch(); ++b) {
    EXPECT_EQ(norms[b].item<double>(), clean[b].item<double>());
  }
  const at::Tensor excluded = torch::zeros({batch()}, torch::kBool);
  excluded[0] = true;
  linear.exclude(excluded);
  const at::Tensor factors = torch::ones({batch()}, torch::kFloat64);
  factors[0] = 0;
  EXPECT_TRUE(torch::isfinite(linear.weighted_sum(SampleFactors(factors), {})).all().item<bool>());
}

std::string name_of(const ::testing::TestParamInfo<EveryLinearMethod::ParamType>& info) {
  std::string method = dpsgd::to_text(std::get<1>(info.param));
  method.front() = static_cast<char>(std::toupper(method.front()));
  return std::get<0>(info.param).name + method +
         (std::get<2>(info.param) == at::kFloat ? "Float" : "Double");
}

INSTANTIATE_TEST_SUITE_P(Grid, EveryLinearMethod,
                         ::testing::Combine(::testing::ValuesIn(kLinearCases),
                                            ::testing::Values(GradientMethod::kGram,
                                                              GradientMethod::kTiles,
                                                              GradientMethod::kKept),
                                            ::testing::Values(at::kFloat, at::kDouble)),
                         name_of);

TEST(GramMethod, AccountsForStepsThatCancel) {
  // A gradient of a thousandth of its terms: products in float would lose it.
  const std::int64_t steps = 8, width = 40;
  at::Tensor input = torch::rand({1, width}).repeat({steps, 1}) + 1;
  input.slice(0, steps / 2).neg_();
  input[0][0] += 1e-3F;
  const RowMapping mapping{0, 1, 1, steps};
  const auto rows = std::make_shared<const SampleRows>(input, mapping);
  const auto grads = std::make_shared<const SampleRows>(torch::ones({steps, 1}), mapping);
  LinearGradient gram(rows, grads, false, {.method = GradientMethod::kGram});
  const at::Tensor exact = input.to(torch::kFloat64).sum(0);
  EXPECT_NEAR(std::sqrt(gram.squared_norms()[0].item<double>()), exact.norm().item<double>(), 1e-7);
}

// ---- choices ----

struct Sequence {
  torch::nn::Linear wide{4, 6}, narrow{6, 3};
  torch::nn::Embedding table{11, 4};
  std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> all = wide->parameters();
    for (const at::Tensor& p : narrow->parameters()) all.push_back(p);
    for (const at::Tensor& p : table->parameters()) all.push_back(p);
    return all;
  }
  at::Tensor losses(const at::Tensor& tokens) {
    return narrow(wide(table(tokens)).tanh()).square().sum({1, 2});
  }
};

TEST(Explain, NamesEveryUseAndItsMethod) {
  Sequence model;
  const auto rows = dpsgd::explain(model.losses(torch::randint(11, {3, 5})), model.parameters());
  ASSERT_EQ(rows.size(), 5U);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].parameter, i);
    EXPECT_EQ(rows[i].parameter_sizes, model.parameters()[i].sizes().vec());
    EXPECT_GT(rows[i].flops, 0);
    EXPECT_GT(rows[i].bytes, 0);
    ASSERT_TRUE(rows[i].seconds.has_value());
    EXPECT_GT(*rows[i].seconds, 0);
    EXPECT_NE(std::find(rows[i].methods.begin(), rows[i].methods.end(), rows[i].method),
              rows[i].methods.end());
  }
  EXPECT_EQ(rows[0].shape, "5 steps, 4 -> 6");
  EXPECT_EQ(rows[1].method, GradientMethod::kAtHand);
  EXPECT_EQ(rows[4].operation, "EmbeddingBackward0");
  EXPECT_EQ(rows[4].method, GradientMethod::kSegments);
  const std::string table = dpsgd::to_table(rows);
  EXPECT_NE(table.find("5 steps, 6 -> 3"), std::string::npos) << table;
  EXPECT_NE(table.find("segments"), std::string::npos) << table;
}

TEST(Explain, CountsUsesThatAreComputedTogetherAsOne) {
  torch::nn::Linear shared(4, 4);
  const at::Tensor x = torch::randn({3, 4});
  const auto rows = dpsgd::explain(shared(shared(x).tanh()).sum(1), shared->parameters());
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].operation, "AddmmBackward0 and 1 more");
  EXPECT_EQ(rows[0].shape, "2 steps, 4 -> 4");
}

TEST(MethodOverrides, AreTakenAndChangeResultsByRoundingAlone) {
  Sequence model;
  const at::Tensor tokens = torch::randint(11, {3, 5});
  const at::Tensor expected = dpsgd::per_sample_norms(model.losses(tokens), model.parameters());
  for (const GradientMethod method :
       {GradientMethod::kGram, GradientMethod::kTiles, GradientMethod::kKept}) {
    const dpsgd::PerSampleOptions options{.method_overrides = {{0, method}, {2, method}}};
    const auto rows = dpsgd::explain(model.losses(tokens), model.parameters(), options);
    EXPECT_EQ(rows[0].method, method);
    EXPECT_EQ(rows[2].method, method);
    const at::Tensor norms =
        dpsgd::per_sample_norms(model.losses(tokens), model.parameters(), options);
    EXPECT_TRUE(torch::allclose(norms, expected, 1e-5, 0)) << dpsgd::to_text(method);
  }
}

TEST(MethodOverrides, ThatDoNotApplyAreRefused) {
  Sequence model;
  const at::Tensor tokens = torch::randint(11, {3, 5});
  const auto error_of = [&](std::size_t parameter, GradientMethod method) {
    try {
      dpsgd::per_sample_norms(model.losses(tokens), model.parameters(),
                              {.method_overrides = {{parameter, method}}});
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  EXPECT_NE(
      error_of(4, GradientMethod::kGram).find("has no method gram, expected one of: segments"),
      std::string::npos);
  EXPECT_NE(error_of(0, GradientMethod::kOuterProduct).find("kept, tiles, gram"),
            std::string::npos);
  EXPECT_NE(error_of(9, GradientMethod::kGram).find("parameter 9 of 5"), std::string::npos);
  dpsgd::PrivacyEngine engine(model.parameters(), dpsgd::PoissonSampler(10, 0.3),
                              {.clipping = dpsgd::Clipping::flat(1.0),
                               .noise_multiplier = 1.0,
                               .method_overrides = {{1, GradientMethod::kKept}}});
  EXPECT_THROW(engine.backward(model.losses(tokens)), std::invalid_argument);
}

// ---- choices of convolutions ----

struct ConvShape {
  std::int64_t batch, channels, outputs, size, kernel, groups = 1;
};

ConvGradient convolution(const ConvShape& shape, at::ScalarType type,
                         const MemoryLimits& limits = {}) {
  const std::int64_t positions = shape.size - shape.kernel + 1;
  return ConvGradient(torch::randn({shape.batch, shape.channels, shape.size, shape.size}, type),
                      torch::randn({shape.batch, shape.outputs, positions, positions}, type),
                      {shape.outputs, shape.channels / shape.groups, shape.kernel, shape.kernel},
                      {{1, 1}, {0, 0}, {1, 1}, shape.groups}, limits);
}

TEST(ConvMethods, HaveTheCostsOfTheModel) {
  // 16 positions, 144 features, 16 outputs: whole tiles. By the fixed figures.
  if (dpsgd::cost_model().source != "default") GTEST_SKIP() << "VELUM_COST_MODEL is not default";
  const ConvGradient conv = convolution({2, 16, 16, 6, 3}, at::kFloat);
  const double pass =
      2.0 * 144 * 16 * (16 + 5) / (1e11 * (1 + 5.0 / 32)) + 2.0 * 4 * 16 * 16 / 5e10;
  const double parameters = 16.0 * 144;
  const auto seconds = [&](GradientMethod method) { return *conv.cost_of(method).seconds; };
  EXPECT_NEAR(seconds(GradientMethod::kKept), 2 * (pass + 2 * 4 * parameters / 5e10), 1e-12);
  EXPECT_NEAR(seconds(GradientMethod::kTiles), 2 * (2 * pass), 1e-12);
  EXPECT_NEAR(seconds(GradientMethod::kGram),
              2 * (16.0 * 17 * 160 / 5e10 + 8.0 * 16 * 160 / 5e10 + pass), 1e-12);
}

TEST(ConvMethods, AreTheCheapestOfThoseThatTheMemoryAllows) {
  if (dpsgd::cost_model().source != "default") GTEST_SKIP() << "VELUM_COST_MODEL is not default";
  std::set<GradientMethod> seen;
  for (const ConvShape& shape : std::vector<ConvShape>{{2, 3, 8, 9, 3},
                                                       {2, 64, 64, 4, 3},
                                                       {2, 64, 64, 10, 3},
                                                       {2, 64, 64, 3, 1},
                                                       {2, 32, 32, 5, 3, 4},
                                                       {2, 1, 1, 40, 2}}) {
    const ConvGradient conv = convolution(shape, at::kFloat);
    const ConvGradient other = convolution(shape, at::kFloat);  // of other data
    EXPECT_EQ(conv.method(), other.method());
    seen.insert(conv.method());
    const double bytes = 4.0 * 2 * static_cast<double>(conv.numel());
    const double positions = static_cast<double>(shape.size - shape.kernel + 1);
    const double replaced = 4.0 * 2 *
                            (static_cast<double>(shape.channels * shape.size * shape.size) +
                             static_cast<double>(shape.outputs) * positions * positions);
    for (const GradientMethod method : conv.methods()) {
      EXPECT_EQ(*conv.cost_of(method).seconds, *other.cost_of(method).seconds);
      if (method == GradientMethod::kKept && bytes > replaced) {
        EXPECT_NE(conv.method(), method);
      } else {
        EXPECT_LE(*conv.cost().seconds, *conv.cost_of(method).seconds);
      }
    }
  }
  EXPECT_EQ(seen, (std::set<GradientMethod>{GradientMethod::kKept, GradientMethod::kTiles,
                                            GradientMethod::kGram}));
}

TEST(ConvMethods, HaveNoGramOfThousandsOfPositions) {
  const auto all = convolution({1, 1, 1, 33, 1}, at::kFloat).methods();
  EXPECT_EQ(all, (std::vector<GradientMethod>{GradientMethod::kKept, GradientMethod::kTiles}));
  EXPECT_EQ(convolution({1, 1, 1, 32, 1}, at::kFloat).methods().size(), 3U);
}

TEST(ConvMethods, ThatReplaceTheCheapestChangeResultsByRoundingAlone) {
  torch::manual_seed(9);
  torch::nn::Conv2d conv(torch::nn::Conv2dOptions(4, 6, 3).stride(2).padding(1).groups(2));
  conv->to(torch::kDouble);
  const std::vector<at::Tensor> parameters = conv->parameters();
  const at::Tensor x = torch::randn({3, 4, 7, 7}, torch::kDouble);
  const auto losses = [&] { return conv(x).tanh().sum({1, 2, 3}); };
  const auto expected = reference::single_sample_gradients(losses(), parameters);
  for (const GradientMethod method :
       {GradientMethod::kGram, GradientMethod::kTiles, GradientMethod::kKept}) {
    SCOPED_TRACE(dpsgd::to_text(method));
    const auto rows = dpsgd::explain(losses(), parameters, {.method_overrides = {{0, method}}});
    EXPECT_EQ(rows[0].method, method);
    ASSERT_EQ(rows[0].seconds_by_method.size(), rows[0].methods.size());
    EXPECT_EQ(rows[0].seconds_by_method[static_cast<std::size_t>(
                  std::find(rows[0].methods.begin(), rows[0].methods.end(), method) -
                  rows[0].methods.begin())],
              rows[0].seconds);
    Tape tape(parameters, /*allow_slow_rules=*/false, {}, {{0, method}});
    BatchGradients gradients = tape.differentiate(losses());
    const at::Tensor norms = gradients.exact_squared_norms().sqrt();
    const at::Tensor factors = torch::rand({3}, torch::kDouble);
    at::Tensor want = torch::zeros_like(parameters[0]);
    for (std::int64_t b = 0; b < 3; ++b) {
      const auto& of_sample = expected[static_cast<std::size_t>(b)];
      EXPECT_NEAR(norms[b].item<double>(), reference::norm(of_sample), 1e-12);
      want = want + of_sample[0] * factors[b];
    }
    const at::Tensor got = gradients.parameter(0).weighted_sum(SampleFactors(factors), {});
    EXPECT_LE((got - want).norm().item<double>(), 1e-12 * want.norm().item<double>());
  }
}

TEST(GradientMethods, AreReadBackFromTheirNames) {
  EXPECT_EQ(dpsgd::gradient_method("outer product"), GradientMethod::kOuterProduct);
  EXPECT_EQ(dpsgd::gradient_method(dpsgd::to_text(GradientMethod::kTiles)), GradientMethod::kTiles);
  EXPECT_THROW(dpsgd::gradient_method("best"), std::invalid_argument);
}

// ---- streaming ----

/// Every kind of layer of the benchmarks, small; a weight that is used at every step.
struct Recurrent {
  torch::nn::Embedding table{7, 6};
  torch::nn::LayerNorm norm{torch::nn::LayerNormOptions({6})};
  torch::nn::Linear in{6, 5}, again{5, 5}, out{5, 3};
  torch::nn::Conv1d conv{torch::nn::Conv1dOptions(6, 6, 3).padding(1)};
  std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> all;
    for (const auto& list : {table->parameters(), norm->parameters(), in->parameters(),
                             again->parameters(), out->parameters(), conv->parameters()}) {
      all.insert(all.end(), list.begin(), list.end());
    }
    return all;
  }
  at::Tensor losses(const at::Tensor& tokens) {
    const at::Tensor x = in(norm(conv(table(tokens).transpose(1, 2)).transpose(1, 2)));
    at::Tensor state = torch::zeros({tokens.size(0), 5});
    for (std::int64_t t = 0; t < tokens.size(1); ++t)
      state = (again(state) + x.select(1, t)).tanh();
    return out(state).square().sum(1);
  }
};

TEST(Streaming, GivesTheGradientsOfSingleSamplesAtEveryUseOfAPlan) {
  torch::manual_seed(5);
  Recurrent model;
  const std::vector<at::Tensor> parameters = model.parameters();
  Tape tape(parameters, /*allow_slow_rules=*/false);
  std::int64_t used_up = 0;
  // Uses 3, 5, 6, 7, 9, 10, 11 of the plan are checked by chance only.
  for (int step = 0; step < 12; ++step) {
    const at::Tensor tokens = torch::randint(7, {4, 6});
    const auto expected = reference::single_sample_gradients(model.losses(tokens), parameters);
    const at::Tensor losses = model.losses(tokens);
    BatchGradients gradients = tape.differentiate(losses, /*release=*/true);
    const at::Tensor norms = gradients.exact_squared_norms().sqrt();
    const at::Tensor factors = torch::rand({4}, torch::kFloat64);
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      at::Tensor want = torch::zeros_like(parameters[p]);
      for (std::int64_t b = 0; b < 4; ++b) {
        want = want + expected[static_cast<std::size_t>(b)][p] * factors[b];
      }
      const at::Tensor got = gradients.parameter(p).weighted_sum(SampleFactors(factors), {});
      EXPECT_LE((got - want).norm().item<double>(), 1e-5 * norms.sum().item<double>())
          << "step " << step << ", parameter " << p;
    }
    for (std::int64_t b = 0; b < 4; ++b) {
      const double want = reference::norm(expected[static_cast<std::size_t>(b)]);
      EXPECT_NEAR(norms[b].item<double>(), want, 1e-5 * want) << "step " << step;
    }
    EXPECT_TRUE(losses.grad_fn()->pre_hooks().empty());
    try {
      losses.sum().backward({}, /*retain_graph=*/true);
    } catch (const c10::Error&) {
      ++used_up;
    }
  }
  EXPECT_EQ(tape.proofs(), 1);
  EXPECT_GE(used_up, 2);  // else every one of seven was checked by chance: 1 in 10^10
}

/// Attention, and a softmax and a relu whose incoming gradient is another layer's, too.
struct Attention : torch::nn::Module {
  torch::nn::Linear queries = register_module("queries", torch::nn::Linear(8, 6)),
                    keys = register_module("keys", torch::nn::Linear(8, 6)),
                    values = register_module("values", torch::nn::Linear(8, 6)),
                    shares = register_module("shares", torch::nn::Linear(8, 6)),
                    others = register_module("others", torch::nn::Linear(8, 6)),
                    more = register_module("more", torch::nn::Linear(8, 6));

  at::Tensor losses(const at::Tensor& x) {
    const at::Tensor scores = queries(x).bmm(keys(x).transpose(1, 2));
    const at::Tensor attended = scores.softmax(2).bmm(values(x));
    const at::Tensor sum = shares(x).softmax(1) + others(x).relu() + more(x);
    return (attended * sum).square().sum({1, 2});
  }
};

TEST(Streaming, UsesUpAttentionToTheBitAsTorchGoesBackThroughIt) {
  torch::manual_seed(6);
  Attention model;
  const std::vector<at::Tensor> parameters = model.parameters();
  Tape tape(parameters, /*allow_slow_rules=*/false);
  const at::Tensor factors = torch::rand({4}, torch::kFloat64);
  for (int step = 0; step < 8; ++step) {
    const at::Tensor x = torch::randn({4, 5, 8});
    BatchGradients used_up = tape.differentiate(model.losses(x), /*release=*/true);
    BatchGradients kept = tape.differentiate(model.losses(x), /*release=*/false);
    EXPECT_TRUE(torch::equal(used_up.squared_norms(), kept.squared_norms())) << "step " << step;
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      EXPECT_TRUE(torch::equal(used_up.parameter(p).weighted_sum(SampleFactors(factors), {}),
                               kept.parameter(p).weighted_sum(SampleFactors(factors), {})))
          << "step " << step << ", parameter " << p;
    }
  }
}

TEST(Streaming, KeepsTheGraphUnlessItMayBeUsedUp) {
  Recurrent model;
  Tape tape(model.parameters(), /*allow_slow_rules=*/false);
  for (int step = 0; step < 8; ++step) {
    const at::Tensor losses = model.losses(torch::randint(7, {4, 6}));
    tape.differentiate(losses).exact_squared_norms();
    EXPECT_NO_THROW(losses.sum().backward({}, /*retain_graph=*/true)) << "step " << step;
  }
}

TEST(Streaming, LeavesOutSamplesThatAreNotFinite) {
  Recurrent model;
  const std::vector<at::Tensor> parameters = model.parameters();
  Tape tape(parameters, /*allow_slow_rules=*/false);
  for (int step = 0; step < 8; ++step) {
    const at::Tensor tokens = torch::randint(7, {4, 6});
    const at::Tensor scales = torch::ones({4});
    if (step == 7) scales[2] = std::numeric_limits<float>::infinity();
    BatchGradients gradients = tape.differentiate(model.losses(tokens) * scales, true);
    const at::Tensor finite = torch::isfinite(gradients.squared_norms());
    if (step < 7) continue;
    ASSERT_FALSE(finite[2].item<bool>());
    ASSERT_EQ(finite.sum().item<std::int64_t>(), 3);
    gradients.exclude(finite.logical_not());
    const at::Tensor factors = finite.to(torch::kFloat64);
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      const at::Tensor sum = gradients.parameter(p).weighted_sum(SampleFactors(factors), {});
      EXPECT_TRUE(torch::isfinite(sum).all().item<bool>()) << "parameter " << p;
    }
  }
}

// ---- the cost model ----

TEST(CostModel, IsFixedWhereTheEnvironmentSaysSo) {
  if (std::getenv("VELUM_COST_MODEL") == nullptr) GTEST_SKIP() << "VELUM_COST_MODEL is not set";
  EXPECT_EQ(dpsgd::cost_model().source, "default");
  EXPECT_EQ(dpsgd::cost_model().gram, dpsgd::CostModel::fixed().gram);
}

TEST(CostModel, IsMeasuredOnceAndKeptInAFile) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("velum-cost-model-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto with_environment = [&](const std::string& cache) {
    ::setenv("XDG_CACHE_HOME", cache.c_str(), 1);
    ::unsetenv("VELUM_COST_MODEL");
    return dpsgd::measure_or_read_cost_model();
  };
  // A machine that is busy with other tests is not measured: nothing may be kept then.
  const dpsgd::CostModel first = with_environment(folder.string());
  const bool busy = first.source.find("busy") != std::string::npos;
  if (busy) {
    EXPECT_EQ(first.gram, dpsgd::CostModel::fixed().gram);
    EXPECT_FALSE(std::filesystem::exists(folder / "velum"));
    std::filesystem::remove_all(folder);
    ::setenv("VELUM_COST_MODEL", "default", 1);
    GTEST_SKIP() << "the machine is busy";
  }
  EXPECT_EQ(first.source, "measured");
  for (const double value : {first.gemm_float32, first.gemm_float64, first.samples_float32,
                             first.samples_float64, first.gram, first.bytes}) {
    EXPECT_GT(value, 1e6);
    EXPECT_TRUE(std::isfinite(value));
  }
  const dpsgd::CostModel second = with_environment(folder.string());
  EXPECT_NEAR(second.gram, first.gram, 1e-3 * first.gram);
  EXPECT_EQ(std::filesystem::path(second.source).parent_path(), folder / "velum");
  // What is no whole file is not believed.
  std::ofstream(second.source) << "velum cost model 1; another machine\n";
  EXPECT_NE(with_environment(folder.string()).source, second.source);
  // Nowhere to write: no harm.
  EXPECT_GT(with_environment("/proc/velum").gram, 1e6);
  std::filesystem::remove_all(folder);
  ::setenv("VELUM_COST_MODEL", "default", 1);
}

TEST(CostModel, RefusesAnUnknownChoice) {
  ::setenv("VELUM_COST_MODEL", "fast", 1);
  EXPECT_THROW(dpsgd::measure_or_read_cost_model(), std::invalid_argument);
  ::setenv("VELUM_COST_MODEL", "default", 1);
}

}  // namespace
}  // namespace velum::testing
