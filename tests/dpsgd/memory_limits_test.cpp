// The forms in which gradients are kept between norms and sum, computed twice, or taken a few
// samples at a time, which a real batch meets only beyond hundreds of megabytes: here under small
// limits.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "dpsgd/support/problems.h"
#include "reference/single_sample_gradients.h"
#include "tape/tape.h"

namespace velum::testing {
namespace {

using dpsgd::detail::BatchGradients;
using dpsgd::detail::MemoryLimits;
using dpsgd::detail::SampleFactors;
using dpsgd::detail::Tape;

struct NamedLimits {
  std::string name;
  MemoryLimits limits;
};
const std::vector<NamedLimits> kLimits{
    {"KeepingAll", {}},
    {"KeepingNothing", {.keep_bytes = 0}},
    {"KeepingNothingOneByOne", {.keep_bytes = 0, .chunk_bytes = 1}},
    {"KeepingNothingInUnevenChunks", {.keep_bytes = 0, .chunk_bytes = 2500}},
    {"KeepingWhatIsSmall", {.keep_bytes = 4096, .chunk_bytes = 2500}},
};

/// Two whole operations that only slow rules know, of which one goes through an expression.
std::vector<ProblemFactory> every_problem_and_slow_ones() {
  std::vector<ProblemFactory> all = every_problem();
  all.push_back({"ArctangentBySlowRules", [](at::ScalarType t) {
                   const at::Tensor row = problems::parameter({4}, t);
                   return Problem{{row},
                                  [=](const at::Tensor& x) {
                                    return reduce_to_losses(torch::atan2(x.to(t), row));
                                  },
                                  problems::inputs({5, 4})};
                 }});
  all.push_back({"WeightNormBySlowRules", [](at::ScalarType t) {
                   const at::Tensor weight = problems::parameter({3, 4}, t);
                   const at::Tensor gain = problems::parameter({3, 1}, t);
                   return Problem{{weight, gain},
                                  [=](const at::Tensor& x) {
                                    return reduce_to_losses(torch::linear(
                                        x, weight / weight.norm(2, {1}, true) * gain.exp()));
                                  },
                                  problems::inputs({5, 4})};
                 }});
  return all;
}

class UnderMemoryLimits : public ::testing::TestWithParam<std::tuple<ProblemFactory, NamedLimits>> {
 protected:
  UnderMemoryLimits() {
    problem_ = single_and_double(std::get<0>(GetParam())).second;
    expected_ =
        reference::single_sample_gradients(problem_.losses(problem_.inputs), problem_.parameters);
    for (const auto& gradient : expected_) {
      norms_.push_back(reference::norm(gradient));
      all_norms_ += norms_.back();
    }
  }
  std::int64_t batch() const { return problem_.inputs.size(0); }

  /// sum_b factors[b] * g_b within 1e-12 of the sum of all norms. Norms first, as the engine does.
  void expect_weighted_sums(BatchGradients& gradients, const at::Tensor& factors) {
    const SampleFactors sample_factors(factors);
    for (std::size_t p = 0; p < problem_.parameters.size(); ++p) {
      at::Tensor want = torch::zeros_like(problem_.parameters[p]);
      for (std::int64_t b = 0; b < batch(); ++b) {
        want = want + expected_[static_cast<std::size_t>(b)][p] * factors[b];
      }
      const at::Tensor got = gradients.parameter(p).weighted_sum(sample_factors, {});
      EXPECT_LE((got - want).norm().item<double>(), 1e-12 * all_norms_) << "parameter " << p;
    }
  }

  Problem problem_;
  std::vector<std::vector<at::Tensor>> expected_;
  std::vector<double> norms_;
  double all_norms_ = 0;
};

TEST_P(UnderMemoryLimits, NormsSumsAndGradientsAreThoseOfSingleSamples) {
  Tape tape(problem_.parameters, /*allow_slow_rules=*/true, std::get<1>(GetParam()).limits);
  BatchGradients gradients = tape.differentiate(problem_.losses(problem_.inputs));
  const at::Tensor norms = gradients.exact_squared_norms().sqrt();
  for (std::int64_t b = 0; b < batch(); ++b) {
    const double norm = norms_[static_cast<std::size_t>(b)];
    EXPECT_NEAR(norms[b].item<double>(), norm, 1e-12 * norm) << "sample " << b;
    for (std::size_t p = 0; p < problem_.parameters.size(); ++p) {
      const at::Tensor one = gradients.parameter(p).per_sample(b, b + 1)[0];
      EXPECT_LE((one - expected_[static_cast<std::size_t>(b)][p]).norm().item<double>(),
                1e-12 * norm)
          << "sample " << b << ", parameter " << p;
    }
  }
  expect_weighted_sums(gradients, torch::rand({batch()}, torch::kFloat64));
}

TEST_P(UnderMemoryLimits, AnExcludedSampleAddsExactlyNothing) {
  // Sample 1 has a gradient that is not a number or infinite. What is kept is masked, what is
  // computed again must leave it out.
  for (const double garbage :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Tape tape(problem_.parameters, /*allow_slow_rules=*/true, std::get<1>(GetParam()).limits);
    const at::Tensor scales = torch::ones({batch()}, torch::kFloat64);
    scales[1] = garbage;
    BatchGradients gradients = tape.differentiate(problem_.losses(problem_.inputs) * scales);
    const at::Tensor squared_norms = gradients.squared_norms();
    ASSERT_FALSE(std::isfinite(squared_norms[1].item<double>()));
    gradients.exclude(torch::isfinite(squared_norms).logical_not());
    const at::Tensor factors = torch::rand({batch()}, torch::kFloat64);
    factors[1] = 0;
    expect_weighted_sums(gradients, factors);
  }
}

INSTANTIATE_TEST_SUITE_P(Grid, UnderMemoryLimits,
                         ::testing::Combine(::testing::ValuesIn(every_problem_and_slow_ones()),
                                            ::testing::ValuesIn(kLimits)),
                         [](const auto& both) {
                           return std::get<0>(both.param).name + std::get<1>(both.param).name;
                         });

void PrintTo(const NamedLimits& limits, std::ostream* os) { *os << limits.name; }

}  // namespace
}  // namespace velum::testing
