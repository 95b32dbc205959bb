// Autocast and models in half precision: norms, factors and sums in float32, rounded to half
// precision after the noise and never before.
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/function.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dpsgd/support/engine_step.h"
#include "dpsgd/support/problems.h"
#include "reference/single_sample_gradients.h"
#include "velum/kernels/random/key_source.h"

namespace velum::testing {
namespace {

namespace nn = torch::nn;
namespace F = torch::nn::functional;

double unit_roundoff(at::ScalarType type) {
  switch (type) {
    case torch::kFloat64:
      return 0x1p-53;
    case torch::kFloat32:
      return 0x1p-24;
    case torch::kHalf:
      return 0x1p-11;
    default:
      return 0x1p-8;  // bfloat16
  }
}

/// An autocast region of the CPU.
class Autocast {
 public:
  explicit Autocast(at::ScalarType type) : before_(at::autocast::get_autocast_dtype(at::kCPU)) {
    at::autocast::set_autocast_enabled(at::kCPU, true);
    at::autocast::set_autocast_dtype(at::kCPU, type);
    at::autocast::increment_nesting();
  }
  ~Autocast() {
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_dtype(at::kCPU, before_);
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::ScalarType before_;
};

/// How the numbers of a model and of what flows through it are stored.
struct Mode {
  std::string name;
  at::ScalarType type;  // of the products
  bool autocast;        // float32 parameters; else parameters and inputs are of `type`
};
const std::vector<Mode> kBFloat16{{"AutocastBFloat16", torch::kBFloat16, true},
                                  {"ModelInBFloat16", torch::kBFloat16, false}};
const std::vector<Mode> kFloat16{{"AutocastFloat16", torch::kHalf, true},
                                 {"ModelInFloat16", torch::kHalf, false}};

Problem in_mode(const ProblemFactory& factory, const Mode& mode) {
  torch::manual_seed(20);
  Problem problem = factory.make(torch::kFloat32);
  if (mode.autocast) {
    problem.losses = [losses = problem.losses, type = mode.type](const at::Tensor& x) {
      const Autocast region(type);
      return losses(x);
    };
    return problem;
  }
  torch::manual_seed(20);
  Problem half = factory.make(mode.type);
  if (half.inputs.is_floating_point()) half.inputs = half.inputs.to(mode.type);
  return half;
}

/// The most gradients that autograd adds where they meet, in the graph behind `losses`.
std::int64_t gradients_that_meet(const at::Tensor& losses) {
  std::unordered_map<const torch::autograd::Node*, std::int64_t> entering;
  std::vector<const torch::autograd::Node*> stack{losses.grad_fn().get()};
  std::int64_t most = 1;
  while (!stack.empty()) {
    const torch::autograd::Node* const node = stack.back();
    stack.pop_back();
    for (const torch::autograd::Edge& edge : node->next_edges()) {
      if (edge.function == nullptr) continue;
      const std::int64_t count = ++entering[edge.function.get()];
      most = std::max(most, count);
      if (count == 1) stack.push_back(edge.function.get());
    }
  }
  return most;
}

using Case = std::tuple<ProblemFactory, Mode>;
class HalfPrecision : public ::testing::TestWithParam<Case> {
 protected:
  HalfPrecision() : problem_(in_mode(std::get<0>(GetParam()), mode())) {}
  static const Mode& mode() { return std::get<1>(GetParam()); }
  Problem problem_;
};

TEST_P(HalfPrecision, ClippedSumIsThatOfThePerSampleGradients) {
  const at::Tensor losses = problem_.losses(problem_.inputs);
  const std::vector<at::Tensor> stacked = dpsgd::per_sample_gradients(losses, problem_.parameters);
  std::vector<std::vector<at::Tensor>> gradients(static_cast<std::size_t>(losses.size(0)));
  std::vector<double> norms;
  for (std::size_t b = 0; b < gradients.size(); ++b) {
    for (const at::Tensor& tensor : stacked) {
      ASSERT_EQ(tensor.scalar_type(), torch::kFloat32);
      gradients[b].push_back(tensor[static_cast<std::int64_t>(b)]);
    }
    norms.push_back(reference::norm(gradients[b]));
  }
  std::sort(norms.begin(), norms.end());
  const double clipping_norm = norms[norms.size() / 2] * 1.001 + 1e-6;
  const std::vector<at::Tensor> want =
      reference::clipped_sum(gradients, problem_.parameters, clipping_norm);
  const std::vector<at::Tensor> got = clipped_sum_of_one_batch(
      problem_.parameters, problem_.losses(problem_.inputs), clipping_norm);
  for (std::size_t p = 0; p < want.size(); ++p) {
    ASSERT_EQ(got[p].scalar_type(), problem_.parameters[p].scalar_type());
    // The sum in float32, as in float32 models; then `.grad` in the parameter's own type, whose
    // smallest numbers of float16 are 2^-24 apart.
    const double stored = mode().autocast ? 0 : unit_roundoff(mode().type);
    const double tiny = std::sqrt(static_cast<double>(want[p].numel())) * 0x1p-25;
    EXPECT_LE((got[p].to(torch::kFloat64) - want[p]).norm().item<double>(),
              (1e-5 + stored) * want[p].norm().item<double>() + (stored > 0 ? tiny : 0))
        << "parameter " << p;
  }
}

TEST_P(HalfPrecision, PerSampleGradientsEqualSingleSampleBackwards) {
  const at::Tensor losses = problem_.losses(problem_.inputs);
  const auto truth = reference::single_sample_gradients(losses, problem_.parameters);
  const std::vector<at::Tensor> got = dpsgd::per_sample_gradients(losses, problem_.parameters);
  const at::Tensor norms = dpsgd::per_sample_norms(losses, problem_.parameters);
  // The same rows flow in both. Autograd rounds the gradient of a use when it is multiplied and
  // when it is summed over positions, and those of several uses of a parameter as they are added.
  const double roundings = 2 + 2 * static_cast<double>(gradients_that_meet(losses));
  for (std::size_t b = 0; b < truth.size(); ++b) {
    double square = 0, apart = 0;
    for (std::size_t p = 0; p < got.size(); ++p) {
      const at::Tensor row = got[p][static_cast<std::int64_t>(b)].to(torch::kFloat64);
      apart += (row - truth[b][p].to(torch::kFloat64)).square().sum().item<double>();
      square += row.square().sum().item<double>();
    }
    EXPECT_LE(std::sqrt(apart), roundings * unit_roundoff(mode().type) * reference::norm(truth[b]))
        << "sample " << b;
    // The norm is that of the gradient in float32, not of one that is rounded to half precision.
    EXPECT_NEAR(norms[static_cast<std::int64_t>(b)].item<double>(), std::sqrt(square),
                1e-5 * std::sqrt(square));
  }
}

struct CaseName {
  template <typename Info>
  std::string operator()(const Info& each) const {
    return std::get<0>(each.param).name + std::get<1>(each.param).name;
  }
};
INSTANTIATE_TEST_SUITE_P(Grid, HalfPrecision,
                         ::testing::Combine(::testing::ValuesIn(every_problem()),
                                            ::testing::ValuesIn(kBFloat16)),
                         CaseName());
// The code has no branch that tells the two types apart: their widths and ranges are the
// difference.
INSTANTIATE_TEST_SUITE_P(Models, HalfPrecision,
                         ::testing::Combine(::testing::ValuesIn(problems::models()),
                                            ::testing::ValuesIn(kFloat16)),
                         CaseName());

/// Parameters in half precision, and float32 twins of equal value that are cast where they are
/// used: the same rows flow in both.
class HalfModel : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  HalfModel() {
    torch::manual_seed(31);
    for (const std::vector<std::int64_t>& sizes :
         std::vector<std::vector<std::int64_t>>{{7, 6}, {6}, {6}, {8, 6}, {8}, {3, 8}}) {
      half_.push_back(torch::randn(sizes).to(GetParam()).requires_grad_());
      single_.push_back(half_.back().detach().to(torch::kFloat32).requires_grad_());
    }
  }

  static at::Tensor losses(const at::Tensor& tokens, const std::vector<at::Tensor>& p) {
    const at::Tensor x = torch::layer_norm(F::embedding(tokens, p[0]), {6}, p[1], p[2]);
    return F::linear(torch::tanh(F::linear(x, p[3], p[4])), p[5]).square().sum({1, 2});
  }
  at::Tensor losses_of_twins(const at::Tensor& tokens) const {
    std::vector<at::Tensor> cast;
    for (const at::Tensor& p : single_) cast.push_back(p.to(GetParam()));
    return losses(tokens, cast);
  }

  static dpsgd::PrivacyEngine engine(const std::vector<at::Tensor>& parameters, double noise) {
    dpsgd::PrivacyOptions options{.clipping = dpsgd::Clipping::flat(1.5),
                                  .noise_multiplier = noise};
    options.insecure_test_key = kernels::insecure_key_from_seed(11);
    return {parameters, dpsgd::PoissonSampler(100, 0.17), options};
  }

  std::vector<at::Tensor> half_, single_;
};

TEST_P(HalfModel, ReleasesTheRoundingOfWhatAFloat32ModelReleases) {
  // To the bit: of sums over micro-batches, with noise and without. Any rounding to half precision
  // before that of the noised sum would show.
  for (const double noise : {0.0, 0.3}) {
    dpsgd::PrivacyEngine of_half = engine(half_, noise), of_twins = engine(single_, noise);
    std::vector<at::Tensor> before, copies;
    for (int step = 0; step < 3; ++step) {
      for (const std::int64_t size : {5, 3, 6}) {
        const at::Tensor tokens = torch::randint(7, {size, 4});
        of_half.accumulate(losses(tokens, half_));
        of_twins.accumulate(losses_of_twins(tokens));
      }
      of_half.finish_step();
      of_twins.finish_step();
      for (std::size_t p = 0; p < half_.size(); ++p) {
        const at::Tensor& gradient = half_[p].grad();
        ASSERT_EQ(gradient.scalar_type(), GetParam());
        EXPECT_TRUE(gradient.equal(single_[p].grad().to(GetParam()))) << p << ", step " << step;
        // What was handed out stays as it was.
        if (step > 0) {
          EXPECT_TRUE(before[p].equal(copies[p])) << p << ", step " << step;
        }
      }
      before.clear();
      copies.clear();
      for (const at::Tensor& p : half_) {
        before.push_back(p.grad());
        copies.push_back(p.grad().clone());
      }
    }
  }
}

TEST_P(HalfModel, AnEmptyBatchIsNoisedInFloat32) {
  dpsgd::PrivacyEngine of_half = engine(half_, 1), of_twins = engine(single_, 1);
  of_half.finish_step();
  of_twins.finish_step();
  for (std::size_t p = 0; p < half_.size(); ++p) {
    EXPECT_TRUE(half_[p].grad().equal(single_[p].grad().to(GetParam())));
    EXPECT_GT(half_[p].grad().abs().max().item<double>(), 0);
  }
}

TEST_P(HalfModel, ResumesWithNewNoise) {
  dpsgd::PrivacyEngine first = engine(half_, 1);
  first.finish_step();
  const at::Tensor noise = half_[0].grad().clone();
  dpsgd::PrivacyOptions options = first.options();
  dpsgd::PrivacyEngine second(half_, dpsgd::PoissonSampler(100, 0.17), options, first.state());
  EXPECT_EQ(second.finish_step().step, 2);
  EXPECT_EQ(half_[0].grad().scalar_type(), GetParam());
  EXPECT_FALSE(half_[0].grad().equal(noise));
}

INSTANTIATE_TEST_SUITE_P(Types, HalfModel, ::testing::Values(torch::kBFloat16, torch::kHalf),
                         [](const auto& each) { return std::string(c10::toString(each.param)); });

TEST(MixedTypes, EachParameterIsReleasedInItsOwn) {
  // A body in bfloat16 whose normalisation is float32, and a head in float64.
  torch::manual_seed(5);
  const at::Tensor body = torch::randn({6, 4}).to(torch::kBFloat16).requires_grad_();
  const at::Tensor scale = torch::rand({6}).requires_grad_();
  const at::Tensor head = torch::randn({3, 6}, torch::kFloat64).requires_grad_();
  const at::Tensor x = torch::randn({7, 4}).to(torch::kBFloat16);
  const auto losses = [&] {
    const at::Tensor h = torch::layer_norm(F::linear(x, body).to(torch::kFloat32), {6}, scale);
    return F::linear(h.to(torch::kFloat64), head).square().sum(1);
  };
  const std::vector<at::Tensor> parameters{body, scale, head};
  const std::vector<at::Tensor> sum = clipped_sum_of_one_batch(parameters, losses(), 1e6);
  const std::vector<at::Tensor> single = dpsgd::per_sample_gradients(losses(), parameters);
  const auto truth = torch::autograd::grad({losses().sum()}, parameters);
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    EXPECT_EQ(sum[p].scalar_type(), parameters[p].scalar_type());
    EXPECT_EQ(single[p].scalar_type(), p == 2 ? torch::kFloat64 : torch::kFloat32);
    // One rounding in the parameter's type of either sum, and products in float32.
    const double allowed = p == 2 ? 1e-12 : 2 * unit_roundoff(sum[p].scalar_type()) + 1e-5;
    const at::Tensor want = truth[p].to(torch::kFloat64);
    EXPECT_LE((sum[p].to(torch::kFloat64) - want).norm().item<double>(),
              allowed * want.norm().item<double>())
        << "parameter " << p;
  }
}

TEST(MixedTypes, AFloat64ParameterUsedInFloat32IsClippedForFloat32) {
  // Its products and its weighted sum round as floats, so the allowance for doubles is too small.
  torch::manual_seed(9);
  for (int trial = 0; trial < 200; ++trial) {
    const at::Tensor w = torch::randn({9, 11}, torch::kFloat64).requires_grad_();
    const at::Tensor x = torch::randn({1, 11}) * 10;
    const std::vector<at::Tensor> sum =
        clipped_sum_of_one_batch({w}, F::linear(x, w.to(torch::kFloat32)).square().sum(1), 0.7);
    const double norm = sum[0].norm().item<double>();
    EXPECT_LE(norm, 0.7);
    EXPECT_GE(norm, 0.7 * (1 - 1e-6));
  }
}

TEST(AutocastRegion, TheStepIsTheSameInsideAndAfter) {
  torch::manual_seed(2);
  nn::Linear inner(6, 5), outer(5, 3);
  const at::Tensor of_steps = torch::randn({9, 5, 2}).requires_grad_();  // one weight for each step
  std::vector<at::Tensor> parameters = inner->parameters();
  for (const at::Tensor& p : outer->parameters()) parameters.push_back(p);
  parameters.push_back(of_steps);
  const auto losses = [&](const at::Tensor& x) {
    const at::Tensor h = torch::tanh(inner(x));
    return outer(h).square().sum({1, 2}) +
           torch::bmm(h.transpose(0, 1), of_steps).square().sum(2).sum(0);
  };
  const at::Tensor x = torch::randn({6, 9, 6});
  const auto engine = [&] {
    return dpsgd::PrivacyEngine(parameters, dpsgd::PoissonSampler(1, 1.0),
                                {.clipping = dpsgd::Clipping::flat(0.5), .noise_multiplier = 0.0});
  };
  const auto gradients = [&] {
    std::vector<at::Tensor> result;
    for (const at::Tensor& p : parameters) result.push_back(p.grad().clone());
    return result;
  };
  dpsgd::PrivacyEngine after = engine(), inside = engine();
  at::Tensor of_region;
  {
    const Autocast region(torch::kBFloat16);
    of_region = losses(x);
  }
  after.backward(of_region);
  const std::vector<at::Tensor> expected = gradients();
  at::Tensor norms, stacked;
  {
    const Autocast region(torch::kBFloat16);
    // Two micro-batches share the casts of the region's cache.
    inside.accumulate(losses(x.slice(0, 0, 4)));
    inside.accumulate(losses(x.slice(0, 4)));
    inside.finish_step();
    norms = dpsgd::per_sample_norms(losses(x), parameters);
    stacked = dpsgd::per_sample_gradients(losses(x), parameters)[0];
    EXPECT_TRUE(at::autocast::is_autocast_enabled(at::kCPU));
  }
  const std::vector<at::Tensor> got = gradients();
  for (std::size_t p = 0; p < expected.size(); ++p) {
    // The order in which floats are added differs between one batch and two.
    EXPECT_LE((got[p] - expected[p]).norm().item<double>(),
              1e-5 * expected[p].norm().item<double>());
  }
  {
    const Autocast region(torch::kBFloat16);
    of_region = losses(x);
  }
  EXPECT_TRUE(norms.equal(dpsgd::per_sample_norms(of_region, parameters)));
  EXPECT_TRUE(stacked.equal(dpsgd::per_sample_gradients(of_region, parameters)[0]));
}

constexpr double kClippingNorm = 0.7;

double distance(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double square = 0;
  for (std::size_t p = 0; p < a.size(); ++p) {
    square += (a[p].to(torch::kFloat64) - b[p].to(torch::kFloat64)).square().sum().item<double>();
  }
  return std::sqrt(square);
}

/// C, and what rounding in float32 may add if every element of the sum has `terms` terms, all
/// samples but one have terms of norm at most C together, and those of that one are at most
/// 2^12 C, the floor of docs/numerics.md.
double bound(std::int64_t batch, std::int64_t terms) {
  const double k = static_cast<double>(terms + 8) * 0x1p-24;
  return kClippingNorm * (1 + 2 * k / (1 - k) * (static_cast<double>(batch) + 0x1p12));
}

struct Opposite {
  at::ScalarType type;
  double magnitude;  // of the last sample's activations, + in one half of the steps, - in the other
  double upstream;   // of its loss
};

class OppositeTerms : public ::testing::TestWithParam<Opposite> {};

TEST_P(OppositeTerms, MoveTheSumByAtMostC) {
  // Terms that cancel in the record's own gradient, but not in a sum that rounds to 8 or 11 bits.
  constexpr std::int64_t kBatch = 5;
  for (const auto& [steps, width] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{2, 64}, {4, 4}, {32, 4}}) {
    torch::manual_seed(7);
    const at::Tensor inputs =
        (torch::rand({kBatch, 1, width}) + 0.1).repeat({1, steps, 1}).to(GetParam().type);
    inputs[kBatch - 1].slice(0, 0, steps / 2).fill_(GetParam().magnitude);
    inputs[kBatch - 1].slice(0, steps / 2).fill_(-GetParam().magnitude);
    const at::Tensor scale = torch::ones({kBatch});
    scale[kBatch - 1] = GetParam().upstream;
    const at::Tensor w = (torch::rand({width, width}) * 0.1).requires_grad_();
    const auto sum = [&](std::int64_t count) {
      const Autocast region(GetParam().type);
      return clipped_sum_of_one_batch(
          {w},
          F::linear(inputs.slice(0, 0, count), w).to(torch::kFloat32).mean(1).sum(1) *
              scale.slice(0, 0, count),
          kClippingNorm);
    };
    EXPECT_LE(distance(sum(kBatch), sum(kBatch - 1)), bound(kBatch, kBatch * steps))
        << steps << " steps";
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, OppositeTerms,
                         ::testing::Values(Opposite{torch::kBFloat16, 0x1p13, 1},
                                           Opposite{torch::kBFloat16, 0x1p33, 1},
                                           Opposite{torch::kBFloat16, 0x1p50, 0x1p66},
                                           Opposite{torch::kBFloat16, 0x1p100, 0x1p-80},
                                           Opposite{torch::kBFloat16, 0x1p-100, 0x1p60},
                                           Opposite{torch::kHalf, 0x1p10, 1},
                                           Opposite{torch::kHalf, 0x1p15, 0x1p10},
                                           Opposite{torch::kHalf, 0x1p-14, 1}),
                         [](const auto& each) { return "Case" + std::to_string(each.index); });

class OneSampleUnderAutocast : public ::testing::TestWithParam<ProblemFactory> {
 protected:
  OneSampleUnderAutocast() : problem_(in_mode(GetParam(), kBFloat16[0])) {}

  std::vector<at::Tensor> sum(const at::Tensor& batch) {
    return clipped_sum_of_one_batch(problem_.parameters, problem_.losses(batch), kClippingNorm);
  }

  /// The clipped gradient of every sample, in float64: [sample][parameter].
  std::vector<std::vector<at::Tensor>> clipped(const at::Tensor& batch) {
    const at::Tensor losses = problem_.losses(batch);
    const std::vector<at::Tensor> stacked =
        dpsgd::per_sample_gradients(losses, problem_.parameters);
    std::vector<std::vector<at::Tensor>> rows(static_cast<std::size_t>(batch.size(0)));
    for (std::size_t b = 0; b < rows.size(); ++b) {
      std::vector<at::Tensor> gradient;
      for (const at::Tensor& tensor : stacked) {
        gradient.push_back(tensor[static_cast<std::int64_t>(b)]);
      }
      rows[b] = reference::clipped_sum({gradient}, problem_.parameters, kClippingNorm);
    }
    return rows;
  }

  /// How far the clipped gradients of the other samples are apart in two batches, together: what
  /// torch's kernels make of the same rows beside other rows. Ours to measure, not to choose.
  double others_apart(const at::Tensor& batch, std::int64_t sample, const at::Tensor& rest) {
    const auto all = clipped(batch), others = clipped(rest);
    double apart = 0;
    for (std::size_t b = 0; b < others.size(); ++b) {
      apart += distance(all[b < static_cast<std::size_t>(sample) ? b : b + 1], others[b]);
    }
    return apart;
  }

  /// As in neighbouring_test.cpp for float32.
  double rounding() const {
    const double b = static_cast<double>(problem_.inputs.size(0));
    return kClippingNorm * 2 * (b * b + b * 1024) * 0x1p-24;
  }

  Problem problem_;
};

TEST_P(OneSampleUnderAutocast, MovesTheSumByAtMostC) {
  const at::Tensor& inputs = problem_.inputs;
  double most = 0;
  for (std::int64_t sample = 0; sample < inputs.size(0); ++sample) {
    const at::Tensor rest = torch::cat({inputs.slice(0, 0, sample), inputs.slice(0, sample + 1)});
    std::vector<at::Tensor> batches{inputs};
    if (inputs.is_floating_point() && (sample == 0 || sample == inputs.size(0) - 1)) {
      for (const double garbage : {1e4, -1e10, 1e30, 1e-30}) {
        batches.push_back(inputs.clone());
        batches.back()[sample].fill_(garbage);
      }
    }
    const std::vector<at::Tensor> without = sum(rest);
    for (const at::Tensor& batch : batches) {
      const double moved = distance(sum(batch), without);
      const double allowed = kClippingNorm + rounding();
      if (!(moved <= allowed)) {
        EXPECT_LE(moved, allowed + others_apart(batch, sample, rest)) << "sample " << sample;
      }
      most = std::max(most, moved);
    }
  }
  // The bound is used up.
  EXPECT_GE(most, kClippingNorm * (1 - 1e-5) - rounding());
}

TEST_P(OneSampleUnderAutocast, AddsNothingWhereItIsNotFinite) {
  if (!problem_.inputs.is_floating_point()) GTEST_SKIP() << "tokens have no such values";
  const at::Tensor& inputs = problem_.inputs;
  const at::Tensor rest = torch::cat({inputs.slice(0, 0, 1), inputs.slice(0, 2)});
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const at::Tensor batch = inputs.clone();
    batch[1].fill_(bad);
    const double moved = distance(sum(batch), sum(rest));
    if (!(moved <= rounding())) {
      EXPECT_LE(moved, rounding() + others_apart(batch, 1, rest));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, OneSampleUnderAutocast, ::testing::ValuesIn(problems::models()),
                         ProblemName());

}  // namespace
}  // namespace velum::testing
