// Every rule of the tape, through the real engine, against single-sample backwards in float64.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "dpsgd/support/engine_step.h"
#include "dpsgd/support/problems.h"
#include "reference/single_sample_gradients.h"

namespace velum::testing {
namespace {

/// The largest error over the parameters, |got - want| / |want| in L2. A parameter whose true sum
/// is exactly zero must be exactly zero.
double relative_error(const std::vector<at::Tensor>& got, const std::vector<at::Tensor>& want) {
  double worst = 0;
  for (std::size_t p = 0; p < want.size(); ++p) {
    const double difference = (got[p].to(torch::kFloat64) - want[p]).norm().item<double>();
    const double length = want[p].norm().item<double>();
    if (!(difference <= 0)) worst = std::max(worst, length > 0 ? difference / length : INFINITY);
    if (std::isnan(difference)) return NAN;
  }
  return worst;
}

class TapeOnEveryProblem : public ::testing::TestWithParam<ProblemFactory> {
 protected:
  TapeOnEveryProblem() {
    std::tie(single_, double_) = single_and_double(GetParam());
    gradients_ =
        reference::single_sample_gradients(double_.losses(double_.inputs), double_.parameters);
    for (const auto& gradient : gradients_) norms_.push_back(reference::norm(gradient));
  }

  /// Clips nobody, about half, everybody.
  std::vector<double> clipping_norms() const {
    std::vector<double> sorted = norms_;
    std::sort(sorted.begin(), sorted.end());
    return {2 * sorted.back() + 1, sorted[sorted.size() / 2] * 1.001 + 1e-6,
            0.1 * sorted.front() + 1e-3 * sorted.back() + 1e-6};
  }

  void expect_clipped_sums(Problem& problem, double bound) {
    for (const double clipping_norm : clipping_norms()) {
      const std::vector<at::Tensor> want =
          reference::clipped_sum(gradients_, double_.parameters, clipping_norm);
      const std::vector<at::Tensor> got = clipped_sum_of_one_batch(
          problem.parameters, problem.losses(problem.inputs), clipping_norm);
      EXPECT_LE(relative_error(got, want), bound) << "clipping_norm = " << clipping_norm;
    }
  }

  Problem single_, double_;
  std::vector<std::vector<at::Tensor>> gradients_;
  std::vector<double> norms_;
};

TEST_P(TapeOnEveryProblem, ClippedSumEqualsSingleSampleBackwardsInFloat32) {
  expect_clipped_sums(single_, 1e-5);
}

TEST_P(TapeOnEveryProblem, ClippedSumEqualsSingleSampleBackwardsInFloat64) {
  expect_clipped_sums(double_, 1e-12);
}

TEST_P(TapeOnEveryProblem, PerSampleNormsEqualSingleSampleBackwards) {
  const at::Tensor norms =
      dpsgd::per_sample_norms(double_.losses(double_.inputs), double_.parameters);
  ASSERT_EQ(norms.sizes(), at::IntArrayRef({double_.inputs.size(0)}));
  for (std::size_t b = 0; b < norms_.size(); ++b) {
    EXPECT_NEAR(norms[static_cast<std::int64_t>(b)].item<double>(), norms_[b], 1e-12 * norms_[b]);
  }
}

TEST_P(TapeOnEveryProblem, PerSampleGradientsEqualSingleSampleBackwards) {
  const std::vector<at::Tensor> got =
      dpsgd::per_sample_gradients(double_.losses(double_.inputs), double_.parameters);
  ASSERT_EQ(got.size(), double_.parameters.size());
  for (std::size_t b = 0; b < gradients_.size(); ++b) {
    std::vector<at::Tensor> row;
    for (const at::Tensor& tensor : got) row.push_back(tensor[static_cast<std::int64_t>(b)]);
    // Relative to the sample's whole gradient: a parameter may cancel to nothing.
    for (std::size_t p = 0; p < row.size(); ++p) {
      ASSERT_EQ(row[p].sizes(), double_.parameters[p].sizes());
      EXPECT_LE((row[p] - gradients_[b][p]).norm().item<double>(), 1e-12 * norms_[b]);
    }
  }
}

TEST_P(TapeOnEveryProblem, MicroBatchesGiveTheSumOfTheWholeBatch) {
  const double clipping_norm = clipping_norms()[1];
  const std::vector<at::Tensor> want =
      reference::clipped_sum(gradients_, double_.parameters, clipping_norm);
  std::vector<at::Tensor> batches;  // sizes 2, 1, 2, 1, ...
  std::int64_t size = 2;
  for (std::int64_t begin = 0; begin < double_.inputs.size(0); begin += size, size = 3 - size) {
    batches.push_back(
        double_.inputs.slice(0, begin, std::min(begin + size, double_.inputs.size(0))));
  }
  const std::vector<at::Tensor> got =
      clipped_sum_of_micro_batches(double_.parameters, double_.losses, batches, clipping_norm);
  EXPECT_LE(relative_error(got, want), 1e-12);
}

INSTANTIATE_TEST_SUITE_P(Grid, TapeOnEveryProblem, ::testing::ValuesIn(every_problem()),
                         ProblemName());

}  // namespace
}  // namespace velum::testing
