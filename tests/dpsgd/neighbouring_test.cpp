// What one sample can do: on real models, through the real step, a sample that is added, removed or
// replaced moves the sum of clipped gradients by what the accounting assumes, and by no more.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "dpsgd/support/engine_step.h"
#include "dpsgd/support/problems.h"

namespace velum::testing {
namespace {

constexpr double kClippingNorm = 0.7;

double distance(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  double square = 0;
  for (std::size_t p = 0; p < a.size(); ++p) {
    square += (a[p].to(torch::kFloat64) - b[p].to(torch::kFloat64)).square().sum().item<double>();
  }
  return std::sqrt(square);
}

at::Tensor without(const at::Tensor& batch, std::int64_t sample) {
  return torch::cat({batch.slice(0, 0, sample), batch.slice(0, sample + 1)});
}

at::Tensor with(const at::Tensor& batch, std::int64_t sample, double value) {
  at::Tensor changed = batch.clone();
  changed[sample].fill_(value);
  return changed;
}

class OneSampleOnRealModels : public ::testing::TestWithParam<ProblemFactory> {
 protected:
  OneSampleOnRealModels() { std::tie(single_, double_) = single_and_double(GetParam()); }

  /// Of an engine that proves the graph on this very batch.
  static std::vector<at::Tensor> first_sum(Problem& problem, const at::Tensor& batch) {
    return clipped_sum_of_one_batch(problem.parameters, problem.losses(batch), kClippingNorm);
  }
  static ClippedSums flat(const Problem& problem) {
    return {problem.parameters, dpsgd::Clipping::flat(kClippingNorm)};
  }

  /// C, and what rounding can add. The two sums have at most B terms of norm at most C each; a sum
  /// of n terms in any order is off by at most n * u * sum |terms| (Higham 2002, section 4.2), the
  /// terms themselves by the rounding of a product of fewer than 2^20 factors: in all below
  /// 2 * (B * B + B * 2^10) * u * C with the square root of pairwise blocks taken by ATen.
  static double bound(const Problem& problem) {
    const double b = static_cast<double>(problem.inputs.size(0));
    const double unit = problem.parameters[0].scalar_type() == torch::kFloat32
                            ? std::ldexp(1.0, -24)
                            : std::ldexp(1.0, -53);
    return kClippingNorm * (1 + 2 * (b * b + b * 1024) * unit);
  }

  Problem single_, double_;
};

TEST_P(OneSampleOnRealModels, RemovingASampleMovesTheSumByAtMostCAndALargeOneByC) {
  for (Problem* problem : {&single_, &double_}) {
    ClippedSums sums = flat(*problem);
    const std::vector<at::Tensor> all = sums.of(problem->losses(problem->inputs));
    double moved = 0;
    for (std::int64_t sample = 0; sample < problem->inputs.size(0); ++sample) {
      const at::Tensor rest = without(problem->inputs, sample);
      const double by_this = distance(all, sums.of(problem->losses(rest)));
      EXPECT_LE(by_this, bound(*problem));
      moved = std::max(moved, by_this);
    }
    // The bound is used up: a clip that shrinks too much would pass the line above.
    if (problem == &double_) {
      EXPECT_GE(moved, kClippingNorm * (1 - 1e-9));
    }
    // Another engine, which proves the graph on the batch without the sample.
    const std::vector<at::Tensor> rest = first_sum(*problem, without(problem->inputs, 0));
    EXPECT_LE(distance(all, rest), bound(*problem));
  }
}

/// One of each kind, all of sensitivity kClippingNorm.
std::vector<dpsgd::Clipping> other_clippings(std::size_t parameters) {
  using dpsgd::Clipping;
  const auto count = static_cast<std::int64_t>(parameters);
  const double layer = Clipping::equal_share(kClippingNorm, count);
  std::vector<Clipping> result{
      Clipping::per_layer(std::vector<double>(parameters, layer)),
      Clipping::automatic(kClippingNorm),
      // So slow that the norm stays.
      Clipping::adaptive(
          {.initial_norm = kClippingNorm, .learning_rate = 1e-300, .count_noise = 1})};
  if (parameters > 1) {  // two groups that alternate
    std::vector<dpsgd::ClippingGroup> groups(2);
    for (std::int64_t p = 0; p < count; ++p) {
      groups[static_cast<std::size_t>(p % 2)].parameters.push_back(p);
    }
    groups[0].clipping_norm = 0.6 * kClippingNorm;
    groups[1].clipping_norm = 0.8 * kClippingNorm;
    result.push_back(Clipping::by_groups(groups));
  }
  return result;
}

TEST_P(OneSampleOnRealModels, RemovingASampleMovesTheSumByAtMostTheSensitivityOfAnyClipping) {
  for (Problem* problem : {&single_, &double_}) {
    for (const dpsgd::Clipping& clipping : other_clippings(problem->parameters.size())) {
      ClippedSums sums(problem->parameters, clipping);
      const auto sum_of = [&](const at::Tensor& batch) { return sums.of(problem->losses(batch)); };
      EXPECT_NEAR(clipping.sensitivity(), kClippingNorm, 1e-12);
      const std::vector<at::Tensor> all = sum_of(problem->inputs);
      double moved = 0;
      for (std::int64_t sample = 0; sample < problem->inputs.size(0); ++sample) {
        moved = std::max(moved, distance(all, sum_of(without(problem->inputs, sample))));
      }
      EXPECT_LE(moved, bound(*problem)) << clipping.to_text();
      EXPECT_GT(moved, 0) << clipping.to_text();
    }
  }
}

TEST_P(OneSampleOnRealModels, GarbageMovesTheSumByAtMostC) {
  if (!double_.inputs.is_floating_point()) GTEST_SKIP() << "tokens have no garbage values";
  for (Problem* problem : {&single_, &double_}) {
    ClippedSums sums = flat(*problem);
    for (const std::int64_t sample : {std::int64_t{0}, problem->inputs.size(0) - 1}) {
      const std::vector<at::Tensor> rest =
          sums.of(problem->losses(without(problem->inputs, sample)));
      for (const double garbage : {1e4, -1e10, 1e30, 1e-30}) {
        const at::Tensor batch = with(problem->inputs, sample, garbage);
        EXPECT_LE(distance(sums.of(problem->losses(batch)), rest), bound(*problem))
            << "garbage = " << garbage;
        // The proof, too, meets garbage.
        if (sample > 0 || std::abs(garbage) < 1e5) continue;
        EXPECT_LE(distance(first_sum(*problem, batch), rest), bound(*problem))
            << "garbage = " << garbage << " in the first batch";
      }
    }
  }
}

TEST_P(OneSampleOnRealModels, NanAndInfinityAddExactlyZero) {
  if (!double_.inputs.is_floating_point()) GTEST_SKIP() << "tokens have no such values";
  for (Problem* problem : {&single_, &double_}) {
    ClippedSums sums = flat(*problem);
    const std::vector<at::Tensor> rest = sums.of(problem->losses(without(problem->inputs, 1)));
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
          -std::numeric_limits<double>::infinity()}) {
      const at::Tensor batch = with(problem->inputs, 1, bad);
      // Zero is added, so only the order of summation can differ.
      EXPECT_LE(distance(sums.of(problem->losses(batch)), rest), bound(*problem) - kClippingNorm)
          << "bad = " << bad;
      if (bad < 0) continue;  // as the proof meets the other infinity
      EXPECT_LE(distance(first_sum(*problem, batch), rest), bound(*problem) - kClippingNorm)
          << "bad = " << bad << " in the first batch";
    }
  }
}

TEST_P(OneSampleOnRealModels, ABatchOfNothingButNanGivesZero) {
  if (!double_.inputs.is_floating_point()) GTEST_SKIP() << "tokens have no such values";
  const std::vector<at::Tensor> nothing =
      first_sum(single_, torch::full_like(single_.inputs, std::numeric_limits<float>::quiet_NaN()));
  for (const at::Tensor& tensor : nothing) EXPECT_EQ(tensor.abs().max().item<float>(), 0.0F);
}

INSTANTIATE_TEST_SUITE_P(Models, OneSampleOnRealModels, ::testing::ValuesIn(problems::models()),
                         ProblemName());

}  // namespace
}  // namespace velum::testing
