// Every rule of the tape, through the real engine, against single-sample backwards in float64 on
// the CPU; and where there is a CUDA device, the same of models that live there.
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
    const at::Tensor here = got[p].to(torch::kCPU, torch::kFloat64);
    const double difference = (here - want[p]).norm().item<double>();
    const double length = want[p].norm().item<double>();
    if (!(difference <= 0)) worst = std::max(worst, length > 0 ? difference / length : INFINITY);
    if (std::isnan(difference)) return NAN;
  }
  return worst;
}

class TapeOnEveryProblem : public ::testing::TestWithParam<ProblemFactory> {
 protected:
  void SetUp() override {
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

  void expect_clipped_sums(Problem& problem, double bound, bool allow_slow_rules = false) {
    for (const double clipping_norm : clipping_norms()) {
      const std::vector<at::Tensor> want =
          reference::clipped_sum(gradients_, double_.parameters, clipping_norm);
      const std::vector<at::Tensor> got = clipped_sum_of_one_batch(
          problem.parameters, problem.losses(problem.inputs), clipping_norm, allow_slow_rules);
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

/// The problems with their parameters and inputs on a CUDA device; the oracle stays on the CPU.
/// There torch computes recurrent layers as a whole (cuDNN), which have no rule of their own.
class TapeOnEveryProblemOnCuda : public TapeOnEveryProblem {
 protected:
  void SetUp() override {
    if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
    TapeOnEveryProblem::SetUp();
    // Products in TF32 would be a thousand times less exact than float32.
    at::globalContext().setFloat32MatmulPrecision("highest");
    at::globalContext().setAllowTF32CuDNN(false);
    for (Problem* problem : {&single_, &double_}) {
      for (at::Tensor& parameter : problem->parameters) {
        parameter.set_data(parameter.to(torch::kCUDA));
      }
      problem->inputs = problem->inputs.to(torch::kCUDA);
      try {
        problem->losses(problem->inputs);
      } catch (const c10::Error& error) {
        // A problem may hold tensors of its own, which stay where they were made.
        if (std::string(error.what()).find("device") == std::string::npos) throw;
        GTEST_SKIP() << "this problem computes on the CPU alone";
      }
    }
  }
};

TEST_P(TapeOnEveryProblemOnCuda, ClippedSumEqualsSingleSampleBackwardsInFloat32) {
  expect_clipped_sums(single_, 1e-5, /*allow_slow_rules=*/true);
}

TEST_P(TapeOnEveryProblemOnCuda, ClippedSumEqualsSingleSampleBackwardsInFloat64) {
  expect_clipped_sums(double_, 1e-12, /*allow_slow_rules=*/true);
}

TEST_P(TapeOnEveryProblemOnCuda, PerSampleNormsEqualSingleSampleBackwards) {
  const at::Tensor norms = dpsgd::per_sample_norms(double_.losses(double_.inputs),
                                                   double_.parameters, {.allow_slow_rules = true})
                               .cpu();
  ASSERT_EQ(norms.sizes(), at::IntArrayRef({double_.inputs.size(0)}));
  for (std::size_t b = 0; b < norms_.size(); ++b) {
    EXPECT_NEAR(norms[static_cast<std::int64_t>(b)].item<double>(), norms_[b], 1e-12 * norms_[b]);
  }
}

INSTANTIATE_TEST_SUITE_P(Grid, TapeOnEveryProblemOnCuda, ::testing::ValuesIn(every_problem()),
                         ProblemName());

/// Noise and rounding are the same function of key and step on every device.
TEST(NoiseOnCuda, IsThatOfTheCpuToTheLastBit) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
  const auto noise_on = [](torch::Device device) {
    const std::vector<at::Tensor> parameters{
        torch::zeros({1000}, torch::TensorOptions(device).requires_grad(true)),
        torch::zeros({7, 5}, torch::TensorOptions(device).requires_grad(true))};
    dpsgd::PrivacyEngine engine(parameters, dpsgd::PoissonSampler(100, 0.1),
                                {.clipping = dpsgd::Clipping::flat(1.0),
                                 .noise_multiplier = 2.0,
                                 .insecure_test_key = kernels::insecure_key_from_seed(5)});
    engine.finish_step();  // nobody was drawn
    std::vector<at::Tensor> noise;
    for (const at::Tensor& parameter : parameters) noise.push_back(parameter.grad().cpu());
    return noise;
  };
  const std::vector<at::Tensor> here = noise_on(torch::kCPU), there = noise_on(torch::kCUDA);
  for (std::size_t p = 0; p < here.size(); ++p) EXPECT_TRUE(torch::equal(here[p], there[p])) << p;
  EXPECT_GT(here[0].norm().item<double>(), 0);
}

}  // namespace
}  // namespace velum::testing
