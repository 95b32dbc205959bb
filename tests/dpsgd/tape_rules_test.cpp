// Each rule of the tape against single-sample forwards and backwards in float64.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include "dpsgd/single_sample_oracle.h"
#include "velum/dpsgd/per_sample_gradients.h"

namespace velum::dpsgd {
namespace {

namespace nn = torch::nn;
using torch::Tensor;
using ::velum::testing::LossFunction;
using ::velum::testing::relative_difference;
using ::velum::testing::single_sample_gradients;

/// Sums of a few hundred terms in float64, without cancellation worth mentioning.
constexpr double kTolerance = 1e-12;

Tensor doubles(at::IntArrayRef sizes) { return torch::randn(sizes, torch::kDouble); }

Tensor parameter(at::IntArrayRef sizes) { return doubles(sizes).requires_grad_(); }

template <typename Module>
std::vector<Tensor> parameters_of(Module& module) {
  module->to(torch::kDouble);
  return module->parameters();
}

Tensor losses_of(const Tensor& outputs) {
  return outputs.tanh().square().reshape({outputs.size(0), -1}).sum(1);
}

void expect_single_sample_gradients(const LossFunction& losses, const Tensor& inputs,
                                    const std::vector<Tensor>& parameters,
                                    PerSampleOptions options = {}) {
  const std::vector<Tensor> expected = single_sample_gradients(losses, inputs, parameters);
  const std::vector<Tensor> gradients = per_sample_gradients(losses(inputs), parameters, options);
  ASSERT_EQ(gradients.size(), parameters.size());
  Tensor squared = torch::zeros({inputs.size(0)}, torch::kDouble);
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    ASSERT_EQ(gradients[p].sizes(), expected[p].sizes());
    EXPECT_LE(relative_difference(gradients[p], expected[p]), kTolerance) << "parameter " << p;
    squared += expected[p].reshape({inputs.size(0), -1}).square().sum(1);
  }
  const Tensor norms = per_sample_norms(losses(inputs), parameters, options);
  EXPECT_LE(relative_difference(norms, squared.sqrt()), kTolerance);
  for (const Tensor& p : parameters) EXPECT_FALSE(p.grad().defined());
}

class TapeRules : public ::testing::Test {
 protected:
  void SetUp() override { torch::manual_seed(7); }
};

TEST_F(TapeRules, LinearOnRows) {
  nn::Linear linear(5, 3);
  const auto parameters = parameters_of(linear);
  for (const std::int64_t batch : {1, 2, 3, 8}) {
    expect_single_sample_gradients([&](const Tensor& x) { return losses_of(linear(x)); },
                                   doubles({batch, 5}), parameters);
  }
}

TEST_F(TapeRules, LinearOnSequencesOfAnyLength) {
  // 4 x 3 and 40 x 30 outputs over short and long sequences: every method for the norms.
  for (const auto& [inputs, outputs, steps] :
       std::vector<std::array<std::int64_t, 3>>{{3, 4, 6}, {30, 40, 2}, {3, 4, 64}}) {
    for (const bool bias : {true, false}) {
      nn::Linear linear(nn::LinearOptions(inputs, outputs).bias(bias));
      const auto parameters = parameters_of(linear);
      expect_single_sample_gradients([&](const Tensor& x) { return losses_of(linear(x)); },
                                     doubles({5, steps, inputs}), parameters);
      expect_single_sample_gradients(
          [&](const Tensor& x) { return losses_of(linear(x.transpose(0, 1)).transpose(0, 1)); },
          doubles({5, steps, inputs}), parameters);
      expect_single_sample_gradients([&](const Tensor& x) { return losses_of(linear(x)); },
                                     doubles({5, 2, steps, inputs}), parameters);
    }
  }
}

TEST_F(TapeRules, RowsBetweenOtherRows) {
  // Samples in the middle of three flattened dimensions.
  nn::Linear linear(4, 3);
  const auto parameters = parameters_of(linear);
  expect_single_sample_gradients(
      [&](const Tensor& x) {  // [batch, 2, 3, 4]
        const auto y = linear(x.permute({1, 0, 2, 3}).reshape({-1, 4}));
        return losses_of(y.view({2, x.size(0), 3, 3}).transpose(0, 1));
      },
      doubles({5, 2, 3, 4}), parameters);
}

TEST_F(TapeRules, ProductsWithParametersOnEitherSide) {
  const Tensor right = parameter({4, 3}), left = parameter({2, 4}), vector = parameter({4});
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(x.mm(right)); },
                                 doubles({6, 4}), {right});
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(left.mm(x.t()).t()); },
                                 doubles({6, 4}), {left});
  expect_single_sample_gradients([&](const Tensor& x) { return x.mv(vector).tanh(); },
                                 doubles({6, 4}), {vector});
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(x.matmul(right)); },
                                 doubles({6, 5, 4}), {right});
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(left.matmul(x)); },
                                 doubles({6, 4, 5}), {left});
}

TEST_F(TapeRules, ProductsWithScaledOperands) {
  const Tensor weight = parameter({4, 3}), bias = parameter({3});
  expect_single_sample_gradients(
      [&](const Tensor& x) { return losses_of(torch::addmm(bias, x, weight, 0.5, -2)); },
      doubles({6, 4}), {weight, bias});
}

TEST_F(TapeRules, BatchedProductWithOneWeightPerHead) {
  const Tensor weight = parameter({3, 4, 2});
  expect_single_sample_gradients(
      [&](const Tensor& x) {  // [batch, 3, 5, 4]
        const auto heads = x.transpose(0, 1).reshape({3, -1, 4});
        return losses_of(heads.bmm(weight).view({3, x.size(0), 5, 2}).transpose(0, 1));
      },
      doubles({7, 3, 5, 4}), {weight});
}

TEST_F(TapeRules, ConvolutionsWithGroupsStrideDilationAndPadding) {
  nn::Conv1d conv1(nn::Conv1dOptions(4, 6, 3).stride(2).padding(2).dilation(2).groups(2));
  nn::Conv2d conv2(nn::Conv2dOptions(2, 4, {3, 2}).stride({2, 1}).padding({1, 0}).groups(2));
  nn::Conv2d same(nn::Conv2dOptions(2, 3, 3).padding(torch::kSame).bias(false));
  nn::Conv3d conv3(nn::Conv3dOptions(2, 3, 2).padding(1));
  const auto p1 = parameters_of(conv1), p2 = parameters_of(conv2), p3 = parameters_of(conv3),
             ps = parameters_of(same);
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(conv1(x)); },
                                 doubles({5, 4, 11}), p1);
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(conv2(x)); },
                                 doubles({5, 2, 7, 6}), p2);
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(same(x)); },
                                 doubles({5, 2, 7, 6}), ps);
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(conv3(x)); },
                                 doubles({3, 2, 3, 4, 3}), p3);
}

TEST_F(TapeRules, ConvolutionOverTheFramesOfASample) {
  nn::Conv2d conv(nn::Conv2dOptions(2, 3, 3).padding(1));
  const auto parameters = parameters_of(conv);
  expect_single_sample_gradients(
      [&](const Tensor& x) {  // [batch, 4 frames, 2, 5, 5]
        return losses_of(conv(x.flatten(0, 1)).view({x.size(0), -1}));
      },
      doubles({3, 4, 2, 5, 5}), parameters);
  expect_single_sample_gradients(
      [&](const Tensor& x) {
        const auto y = conv(x.transpose(0, 1).reshape({-1, 2, 5, 5}));
        return losses_of(y.view({4, x.size(0), -1}).transpose(0, 1));
      },
      doubles({3, 4, 2, 5, 5}), parameters);
}

TEST_F(TapeRules, TransposedConvolution) {
  nn::ConvTranspose2d conv(nn::ConvTranspose2dOptions(4, 6, 3).stride(2).padding(1).groups(2));
  const auto parameters = parameters_of(conv);
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(conv(x)); },
                                 doubles({5, 4, 4, 4}), parameters);
}

TEST_F(TapeRules, Normalisations) {
  nn::GroupNorm group(nn::GroupNormOptions(2, 6));
  nn::LayerNorm layer(nn::LayerNormOptions({4, 3}));
  const auto pg = parameters_of(group), pl = parameters_of(layer);
  for (Tensor p : pg) torch::NoGradGuard(), p.data().normal_();
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(group(x)); },
                                 doubles({5, 6, 3, 2}), pg);
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(group(x)); },
                                 doubles({5, 6}), pg);
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(layer(x)); },
                                 doubles({5, 4, 3}), pl);
  expect_single_sample_gradients(
      [&](const Tensor& x) { return losses_of(layer(x.transpose(0, 1)).transpose(0, 1)); },
      doubles({5, 7, 4, 3}), pl);
}

TEST_F(TapeRules, BatchNormInEvaluationModeIsAFixedMap) {
  nn::BatchNorm2d norm(3);
  auto parameters = parameters_of(norm);
  norm->running_mean.normal_();
  norm->running_var.uniform_(0.5, 2);
  norm->eval();
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(norm(x)); },
                                 doubles({5, 3, 4, 2}), parameters);
}

TEST_F(TapeRules, EmbeddingWithRepeatedAndPaddingIndices) {
  nn::Embedding embedding(nn::EmbeddingOptions(7, 3).padding_idx(2));
  const auto parameters = parameters_of(embedding);
  const auto indices = torch::randint(7, {5, 9});
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(embedding(x)); }, indices,
                                 parameters);
  expect_single_sample_gradients(
      [&](const Tensor& x) { return losses_of(embedding(x.t()).transpose(0, 1)); }, indices,
      parameters);
}

TEST_F(TapeRules, DirectParametersThatAreBroadcast) {
  const Tensor shift = parameter({4, 3}), scale = parameter({3}), token = parameter({1, 1, 3}),
               divisor = parameter({4, 1});
  expect_single_sample_gradients(
      [&](const Tensor& x) {  // [batch, 4, 3]
        const auto y = ((x + shift) * scale - token) / (divisor.square() + 1);
        const auto z = torch::cat({token.expand({x.size(0), 1, 3}), y}, 1);
        return losses_of(torch::sub(z, scale, 2));
      },
      doubles({6, 4, 3}), {shift, scale, token, divisor}, {.allow_slow_rules = true});
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of((x / divisor) * scale); },
                                 doubles({6, 4, 3}), {divisor, scale});
}

TEST_F(TapeRules, WeightUsedTwiceCountsCrossTerms) {
  nn::Linear linear(4, 4);
  const auto parameters = parameters_of(linear);
  expect_single_sample_gradients(
      [&](const Tensor& x) { return losses_of(linear(linear(x).tanh())); }, doubles({6, 4}),
      parameters);
  expect_single_sample_gradients(
      [&](const Tensor& x) { return losses_of(linear(linear(x).tanh())); }, doubles({6, 5, 4}),
      parameters);
}

TEST_F(TapeRules, TiedEmbeddingAndOutputLayer) {
  nn::Embedding embedding(7, 4);
  const auto parameters = parameters_of(embedding);
  const auto indices = torch::randint(7, {5, 6});
  expect_single_sample_gradients(
      [&](const Tensor& x) {
        return losses_of(torch::linear(embedding(x).tanh(), embedding->weight));
      },
      indices, parameters);
}

TEST_F(TapeRules, ViewsOfAParameterAreFollowed) {
  const Tensor weight = parameter({6, 4}), flat = parameter({24});
  expect_single_sample_gradients(
      [&](const Tensor& x) {  // disjoint slices
        const auto parts = weight.split(2, 0);
        return losses_of(torch::linear(x, parts[0]) + torch::linear(x, parts[1]).tanh() *
                                                          torch::linear(x, weight.slice(0, 4, 6)));
      },
      doubles({5, 4}), {weight});
  expect_single_sample_gradients(
      [&](const Tensor& x) {  // overlapping slices, steps, selections, permutations
        return losses_of(torch::linear(x, weight.slice(0, 0, 4)) +
                         torch::linear(x, weight.slice(0, 2, 6)) *
                             torch::linear(x, weight.slice(0, 0, 6, 3)).sum(1, true)) +
               x.mv(weight.select(0, 3)).tanh();
      },
      doubles({5, 4}), {weight});
  expect_single_sample_gradients(
      [&](const Tensor& x) {
        return losses_of(torch::linear(x, flat.view({6, 4})) *
                         x.matmul(flat.view({4, 6}).permute({0, 1})));
      },
      doubles({5, 4}), {flat});
}

TEST_F(TapeRules, ExpressionsOfParametersNeedSlowRules) {
  const Tensor weight = parameter({3, 4}), gain = parameter({3, 1});
  const LossFunction losses = [&](const Tensor& x) {
    return losses_of(torch::linear(x, weight / weight.norm() * gain.exp()));
  };
  expect_single_sample_gradients(losses, doubles({5, 4}), {weight, gain},
                                 {.allow_slow_rules = true});
  EXPECT_THROW(per_sample_gradients(losses(doubles({5, 4})), {weight, gain}),
               std::invalid_argument);
}

TEST_F(TapeRules, NodesWithoutARuleByTheirOwnBackward) {
  const Tensor table = parameter({7, 3});
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(table.index({x})); },
                                 torch::randint(7, {5, 6}), {table}, {.allow_slow_rules = true});
  const Tensor row = parameter({4});
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(torch::atan2(x, row)); },
                                 doubles({3, 4}), {row}, {.allow_slow_rules = true});
}

TEST_F(TapeRules, UnusedParameterHasGradientZero) {
  nn::Linear linear(3, 2);
  const auto used = parameters_of(linear);
  const Tensor unused = parameter({4});
  const auto gradients =
      per_sample_gradients(losses_of(linear(doubles({5, 3}))), {used[0], used[1], unused});
  EXPECT_TRUE(gradients[2].equal(torch::zeros({5, 4}, torch::kDouble)));
}

TEST_F(TapeRules, TimeMajorAttention) {
  nn::MultiheadAttention attention(nn::MultiheadAttentionOptions(6, 2));
  const auto parameters = parameters_of(attention);
  expect_single_sample_gradients(
      [&](const Tensor& x) {  // torch's C++ attention is time-major
        const auto t = x.transpose(0, 1);
        return losses_of(std::get<0>(attention(t, t, t)).transpose(0, 1));
      },
      doubles({4, 5, 6}), parameters);
}

TEST_F(TapeRules, RecurrentNetworkUnrolledOverTime) {
  nn::GRU gru(nn::GRUOptions(3, 4).batch_first(true));
  const auto parameters = parameters_of(gru);
  expect_single_sample_gradients([&](const Tensor& x) { return losses_of(std::get<0>(gru(x))); },
                                 doubles({4, 5, 3}), parameters);
}

TEST_F(TapeRules, NonContiguousParameters) {
  const Tensor weight = doubles({4, 6}).t().requires_grad_();  // [6, 4], a leaf with strides 1, 6
  ASSERT_FALSE(weight.is_contiguous());
  expect_single_sample_gradients(
      [&](const Tensor& x) { return losses_of(torch::linear(x, weight)); }, doubles({5, 4}),
      {weight});
}

}  // namespace
}  // namespace velum::dpsgd
