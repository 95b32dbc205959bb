// Records whose gradient is a small sum of huge, opposite terms: what rounding leaves of the terms
// in the weighted sum must not exceed what the record's clipped gradient may.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "dpsgd/support/engine_step.h"

namespace velum::testing {
namespace {

namespace F = torch::nn::functional;

constexpr double kClippingNorm = 0.7;
constexpr double kFloor = 0x1p-12;  // what docs/numerics.md states

double unit_roundoff(at::ScalarType type) { return type == torch::kFloat64 ? 0x1p-53 : 0x1p-24; }

/// Losses of the samples whose numbers are given.
using Losses = std::function<at::Tensor(const at::Tensor& samples)>;

/// How far the last of `batch` samples moves the clipped sum.
double moved_by_the_last(const at::Tensor& parameter, const Losses& losses, std::int64_t batch) {
  const auto sum = [&](std::int64_t count) {
    return clipped_sum_of_micro_batches({parameter}, losses, {torch::arange(count)}, kClippingNorm)
        .front()
        .to(torch::kFloat64);
  };
  return (sum(batch) - sum(batch - 1)).norm().item<double>();
}

/// C, and what rounding may add if every element of the sum has `terms` terms. All samples but the
/// last have terms of one sign, of norm at most C together; those of the last are at most C / floor
/// in norm. Either of the two sums is off by at most gamma_k of all that, k = terms + 8 roundings
/// on the way (Higham 2002, section 4.2).
double bound(at::ScalarType type, std::int64_t batch, std::int64_t terms) {
  const double k = static_cast<double>(terms + 8) * unit_roundoff(type);
  const double gamma = k / (1 - k);
  return kClippingNorm * (1 + 2 * gamma * (static_cast<double>(batch) + 1 / kFloor));
}

/// [batch, steps, width] of positive numbers, constant over the steps, but for the last sample,
/// which is +magnitude in one half of the steps and -magnitude in the other.
at::Tensor sequences(at::ScalarType type, std::int64_t batch, std::int64_t steps,
                     std::int64_t width, double magnitude) {
  torch::manual_seed(7);
  const at::Tensor inputs = (torch::rand({batch, 1, width}, type) + 0.1).repeat({1, steps, 1});
  inputs[batch - 1].slice(0, 0, steps / 2).fill_(magnitude);
  inputs[batch - 1].slice(0, steps / 2).fill_(-magnitude);
  return inputs;
}

at::Tensor weight(at::ScalarType type, at::IntArrayRef sizes) {
  return torch::rand(sizes, type).mul_(0.1).requires_grad_(true);
}

/// 1 for all samples but the last, which has `upstream`.
at::Tensor scales(at::ScalarType type, std::int64_t batch, double upstream) {
  const at::Tensor result = torch::ones({batch}, type);
  result[batch - 1] = upstream;
  return result;
}

struct Size {
  double magnitude;
  double upstream;  // of the last sample's loss
};
using Case = std::tuple<at::ScalarType, Size>;
const std::vector<Size> kSizes{{1e4, 1},    {1e8, 1},     {1e10, 1},    {1e15, 1},
                               {1e10, 1e5}, {1e15, 1e20}, {1e20, 1e20}, {1e30, 1e-25}};

/// Steps and width decide how the norms of a linear map are computed.
struct Shape {
  std::string form;
  std::int64_t steps, width;
};
const std::vector<Shape> kShapes{{"Gram", 2, 64}, {"Tile", 4, 4}, {"Materialised", 32, 4}};

class CancellingTerms : public ::testing::TestWithParam<Case> {
 protected:
  at::ScalarType type_ = std::get<0>(GetParam());
  Size size_ = std::get<1>(GetParam());
};

TEST_P(CancellingTerms, OfALinearMapOverSteps) {
  constexpr std::int64_t kBatch = 5;
  for (const Shape& shape : kShapes) {
    const at::Tensor inputs = sequences(type_, kBatch, shape.steps, shape.width, size_.magnitude);
    const at::Tensor scale = scales(type_, kBatch, size_.upstream);
    const at::Tensor w = weight(type_, {shape.width, shape.width});
    const auto losses = [&](const at::Tensor& samples) {
      return F::linear(inputs.index_select(0, samples), w).mean(1).sum(1) *
             scale.index_select(0, samples);
    };
    EXPECT_LE(moved_by_the_last(w, losses, kBatch), bound(type_, kBatch, kBatch * shape.steps))
        << shape.form;
  }
}

TEST_P(CancellingTerms, OfAWeightThatIsUsedTwice) {
  constexpr std::int64_t kBatch = 5, kWidth = 64;
  const at::Tensor inputs = sequences(type_, kBatch, 2, kWidth, size_.magnitude);
  const at::Tensor scale = scales(type_, kBatch, size_.upstream);
  const at::Tensor w = weight(type_, {kWidth, kWidth});
  // As it is, which makes one linear map of the two; or once transposed, which does not.
  for (const bool transposed : {false, true}) {
    const auto losses = [&](const at::Tensor& samples) {
      const at::Tensor x = inputs.index_select(0, samples);
      return (F::linear(x.select(1, 0), w) +
              F::linear(x.select(1, 1), transposed ? w.t() : at::Tensor(w)))
                 .sum(1) *
             scale.index_select(0, samples);
    };
    EXPECT_LE(moved_by_the_last(w, losses, kBatch), bound(type_, kBatch, 2 * kBatch))
        << (transposed ? "transposed" : "joined");
  }
}

TEST_P(CancellingTerms, OfATokenThatIsLookedUpTwice) {
  constexpr std::int64_t kBatch = 5, kSteps = 4, kWidth = 8;
  const at::Tensor tokens = torch::arange(kBatch * kSteps).remainder(3).view({kBatch, kSteps});
  tokens[kBatch - 1].fill_(1);
  const at::Tensor factors = sequences(type_, kBatch, kSteps, 1, size_.magnitude);
  const at::Tensor scale = scales(type_, kBatch, size_.upstream);
  const at::Tensor table = weight(type_, {3, kWidth});
  const auto losses = [&](const at::Tensor& samples) {
    const at::Tensor rows = F::embedding(tokens.index_select(0, samples), table);
    return (rows * factors.index_select(0, samples)).sum({1, 2}) * scale.index_select(0, samples);
  };
  EXPECT_LE(moved_by_the_last(table, losses, kBatch), bound(type_, kBatch, kBatch * kSteps));
}

TEST_P(CancellingTerms, OfAConvolutionOverPositions) {
  // One sample fewer and the gradients of all samples fit the budget in which they are kept: the
  // sample also changes how those of the others are computed.
  constexpr std::int64_t kBatch = 22, kPositions = 4, kKernel = 3;
  const std::int64_t channels = type_ == torch::kFloat64 ? 724 : 1024;
  const at::Tensor inputs =
      sequences(type_, kBatch, kPositions + kKernel - 1, channels, size_.magnitude);
  const at::Tensor alternating =
      torch::tensor({1.0, -1.0}, type_).repeat({(kPositions + kKernel - 1) / 2}).unsqueeze(1);
  inputs[kBatch - 1].copy_((alternating * size_.magnitude).expand_as(inputs[kBatch - 1]));
  const at::Tensor scale = scales(type_, kBatch, size_.upstream);
  const at::Tensor w = weight(type_, {channels, channels, kKernel});
  const auto losses = [&](const at::Tensor& samples) {
    return torch::conv1d(inputs.index_select(0, samples).transpose(1, 2), w).mean(2).sum(1) *
           scale.index_select(0, samples);
  };
  EXPECT_LE(moved_by_the_last(w, losses, kBatch), bound(type_, kBatch, kBatch + kPositions));
}

INSTANTIATE_TEST_SUITE_P(Sizes, CancellingTerms,
                         ::testing::Combine(::testing::Values(torch::kFloat32, torch::kFloat64),
                                            ::testing::ValuesIn(kSizes)),
                         [](const auto& size) { return "Case" + std::to_string(size.index); });

TEST(WellConditionedTerms, KeepTheirNorm) {
  // Random steps: M is about sqrt(steps) times the norm, far from the floor.
  torch::manual_seed(11);
  const at::Tensor inputs = torch::randn({2, 256, 16}) * 100;
  const at::Tensor w = weight(torch::kFloat32, {16, 16});
  const auto losses = [&](const at::Tensor& samples) {
    return F::linear(inputs.index_select(0, samples), w).mean(1).sum(1);
  };
  EXPECT_GE(moved_by_the_last(w, losses, 2), kClippingNorm * (1 - 1e-5));
}

TEST(ReportedNorms, HaveNoFloor) {
  const at::Tensor inputs = sequences(torch::kFloat32, 3, 2, 64, 0x1p20);
  const at::Tensor w = weight(torch::kFloat32, {64, 64});
  const at::Tensor norms = dpsgd::per_sample_norms(F::linear(inputs, w).mean(1).sum(1), {w});
  EXPECT_EQ(norms[2].item<double>(), 0.0);
}

}  // namespace
}  // namespace velum::testing
