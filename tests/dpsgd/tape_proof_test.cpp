// What the tape refuses, and what it proves before it believes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <limits>

#include "dpsgd/single_sample_oracle.h"
#include "tape/tape.h"
#include "velum/dpsgd/per_sample_gradients.h"

namespace velum::dpsgd {
namespace {

namespace nn = torch::nn;
using detail::RowMapping;
using detail::Tape;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using torch::Tensor;
using ::velum::testing::relative_difference;
using ::velum::testing::single_sample_gradients;

Tensor doubles(at::IntArrayRef sizes) { return torch::randn(sizes, torch::kDouble); }
Tensor parameter(at::IntArrayRef sizes) { return doubles(sizes).requires_grad_(); }
Tensor losses_of(const Tensor& outputs) {
  return outputs.tanh().square().reshape({outputs.size(0), -1}).sum(1);
}

const std::vector<std::int64_t> kOuterAndInner{0, 2};

template <typename Matcher>
void expect_refused(const Tensor& losses, const std::vector<Tensor>& parameters, Matcher message) {
  EXPECT_THAT([&] { per_sample_gradients(losses, parameters); },
              ThrowsMessage<std::invalid_argument>(message));
}

class TapeProof : public ::testing::Test {
 protected:
  void SetUp() override { torch::manual_seed(11); }
};

TEST_F(TapeProof, RowMappingsTakeSamplesApart) {
  const Tensor x = torch::arange(2 * 3 * 4 * 5).view({2 * 3 * 4, 5});
  const RowMapping mapping{0, 2, 3, 4};
  const Tensor samples = mapping.samples_first(x);
  ASSERT_EQ(samples.sizes(), (std::vector<std::int64_t>{3, 8, 5}));
  for (std::int64_t row = 0; row < 24; ++row) {
    const std::int64_t step = row / 12 * 4 + row % 4;
    EXPECT_TRUE(samples[mapping.sample_of(row)][step].equal(x[row])) << row;
  }
  EXPECT_TRUE(mapping.to_rows(torch::arange(3))
                  .equal(torch::arange(3).view({1, 3, 1}).expand({2, 3, 4}).reshape({24})));
}

TEST_F(TapeProof, CandidatesAreAllSplittingsOfAllDimensions) {
  const auto candidates = detail::candidate_mappings({12, 5, 3}, 3);
  const std::vector<RowMapping> expected{{0, 1, 3, 4}, {0, 4, 3, 1}, {0, 2, 3, 2}, {2, 1, 3, 1}};
  EXPECT_EQ(candidates, expected);
}

TEST_F(TapeProof, BatchNormInTrainingModeIsRefusedByName) {
  nn::Sequential model(nn::Linear(4, 4), nn::BatchNorm1d(4));
  model->to(torch::kDouble);
  for (const std::int64_t batch : {2, 8}) {
    expect_refused(losses_of(model->forward(doubles({batch, 4}))), model->parameters(),
                   AllOf(HasSubstr("NativeBatchNormBackward0"), HasSubstr("use GroupNorm")));
  }
  nn::BatchNorm2d images(3);
  images->to(torch::kDouble);
  expect_refused(losses_of(images(doubles({1, 3, 4, 4}))), images->parameters(),
                 HasSubstr("use GroupNorm"));
}

TEST_F(TapeProof, OperationsThatMixSamplesAreRefused) {
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  const Tensor x = doubles({6, 4});
  const auto mixed = [&](const Tensor& y) {
    expect_refused(losses_of(y), linear->parameters(),
                   AllOf(HasSubstr("AddmmBackward0"), HasSubstr("parameter 0 [3, 4]"),
                         HasSubstr("mixes samples")));
  };
  const Tensor y = linear(x);
  mixed(y - y.mean(0));
  mixed(y.softmax(0));
  mixed(y + y.roll(1, 0));
  mixed(y.flip(0) * 2 + y);
  mixed(y.mm(y.t()).softmax(1).mm(y));
}

TEST_F(TapeProof, AWeakMixingOfTwoSamplesAnywhereInTheBatchIsRefused) {
  // The loss of sample 1 reaches row 40 of 64, and nothing else is wrong. The one-hot backwards
  // test two samples at random and would miss it 15 times of 16; random signs see it 3 times of 4.
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  int refused = 0;
  for (int trial = 0; trial < 40; ++trial) {
    Tensor mix = torch::eye(64, torch::kDouble);
    mix[1][40] = 1e-3;
    try {
      per_sample_gradients(losses_of(mix.mm(linear(doubles({64, 4})))), linear->parameters());
    } catch (const std::exception&) {
      ++refused;
    }
  }
  EXPECT_GE(refused, 16);  // fewer than 16 of 40 at p = 3/4: 2e-6; at p = 1/16 at least 16: 1e-9
}

TEST_F(TapeProof, MixingThatStartsLaterIsSeenOnALaterBatch) {
  // The same graph, and an index that joins samples only from the third batch on.
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  Tape tape(linear->parameters(), false);
  const auto step = [&](const Tensor& index) {
    tape.differentiate(losses_of(linear(doubles({32, 4})).index_select(0, index)));
  };
  const Tensor apart = torch::arange(32);
  for (int i = 0; i < 3; ++i) step(apart);
  EXPECT_EQ(tape.proofs(), 1);
  const auto joined = [&] {
    for (int i = 0; i < 16; ++i) step(apart.roll(1));
  };
  EXPECT_THROW(joined(), std::invalid_argument);
}

TEST_F(TapeProof, ReorderedLossesAreFollowedOrRefusedNeverConfused) {
  // A permutation is no mixing, but no splitting of rows describes it.
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  expect_refused(losses_of(linear(doubles({6, 4})).flip(0)), linear->parameters(),
                 HasSubstr("mixes samples"));
}

TEST_F(TapeProof, LossesWithoutOnePerSampleAreRefused) {
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  const Tensor y = linear(doubles({6, 4}));
  expect_refused(y.square().mean(), linear->parameters(), HasSubstr("reduction none"));
  expect_refused(y, linear->parameters(), HasSubstr("reduction none"));
  expect_refused(y.square().sum(1).detach(), linear->parameters(), HasSubstr("no autograd graph"));
  expect_refused(Tensor(), linear->parameters(), HasSubstr("undefined"));
  expect_refused(torch::zeros({3}, torch::kLong), linear->parameters(),
                 HasSubstr("floating-point"));
  // As many losses as no tensor has samples.
  expect_refused(y.square().sum(1).slice(0, 0, 5), linear->parameters(),
                 HasSubstr("AddmmBackward0"));
}

TEST_F(TapeProof, AFaintMixingOfFewSamplesIsRefusedInEveryType) {
  // One part in 128 of the gradient of four samples of 64. One-hot backwards may not meet them; the
  // signs of all of them are right in all checks with a probability of 2^-32.
  for (const at::ScalarType type :
       {torch::kDouble, torch::kFloat, torch::kBFloat16, torch::kHalf}) {
    const Tensor w = torch::randn({3, 4}).to(type).requires_grad_();
    const Tensor mixing = torch::eye(64).to(type);
    for (const std::int64_t sample : {3, 18, 40, 61}) mixing[sample][sample + 1] = 0x1p-7;
    const Tensor outputs = torch::linear(torch::randn({64, 4}).to(type), w);
    expect_refused(mixing.mm(outputs).square().sum(1), {w}, HasSubstr("apart"));
  }
}

TEST_F(TapeProof, AGradientThatAHookChangesIsRefusedInEveryType) {
  // Sums over 64 steps: 20 w k M with the roundoff of bfloat16 is more than the gradient.
  for (const at::ScalarType type :
       {torch::kDouble, torch::kFloat, torch::kBFloat16, torch::kHalf}) {
    const Tensor w = torch::randn({3, 4}).to(type).requires_grad_();
    const Tensor x = torch::randn({5, 64, 4}).to(type);
    const auto losses = [&] { return torch::linear(x, w).tanh().sum({1, 2}); };
    EXPECT_NO_THROW(per_sample_gradients(losses(), {w}));
    w.register_hook([](const Tensor& grad) { return grad * 1.25; });
    EXPECT_THAT([&] { per_sample_gradients(losses(), {w}); },
                ThrowsMessage<std::logic_error>(HasSubstr("differs from autograd's")));
  }
}

TEST_F(TapeProof, UntrackedTrainableLeafIsRefused) {
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  expect_refused(losses_of(linear(doubles({6, 4}))), {linear->weight},
                 AllOf(HasSubstr("leaf [3]"), HasSubstr("not among the parameters")));
}

TEST_F(TapeProof, ParametersOfOtherKindsAreRefused) {
  const Tensor complex = torch::randn({3, 4}, torch::kComplexFloat).requires_grad_();
  const Tensor tiny = torch::randn({3, 4}).to(torch::kFloat8_e4m3fn).requires_grad_();
  const Tensor leaf = parameter({3, 4});
  const Tensor losses = losses_of(torch::linear(doubles({6, 4}), leaf));
  expect_refused(losses, {complex}, AllOf(HasSubstr("ComplexFloat"), HasSubstr("bfloat16")));
  expect_refused(losses, {tiny}, AllOf(HasSubstr("Float8_e4m3fn"), HasSubstr("bfloat16")));
  expect_refused(losses, {leaf * 1}, HasSubstr("not a leaf"));
  expect_refused(losses, {leaf, leaf}, HasSubstr("different ones"));
  expect_refused(losses, {}, HasSubstr("at least one"));
  expect_refused(losses, {doubles({2})}, HasSubstr("at least one"));
}

TEST_F(TapeProof, NodeWithoutARuleIsRefusedByNameWithTheRemedy) {
  const Tensor table = parameter({7, 3});
  expect_refused(losses_of(table.index({torch::randint(7, {5})})), {table},
                 AllOf(HasSubstr("IndexBackward0"), HasSubstr("parameter 0 [7, 3]"),
                       HasSubstr("allow_slow_rules")));
}

TEST_F(TapeProof, FrequencyScaledEmbeddingIsRefused) {
  nn::Embedding embedding(nn::EmbeddingOptions(7, 3).scale_grad_by_freq(true));
  embedding->to(torch::kDouble);
  expect_refused(losses_of(embedding(torch::randint(7, {5, 4}))), embedding->parameters(),
                 HasSubstr("scale_grad_by_freq"));
}

TEST_F(TapeProof, NonFiniteSavedValueUnderTheGenericRuleIsAnError) {
  const Tensor row = parameter({4});
  const Tensor x = doubles({3, 4});
  x[1][2] = std::numeric_limits<double>::infinity();
  const Tensor losses = losses_of(torch::atan2(x, row));
  EXPECT_THAT([&] { per_sample_norms(losses, {row}, {.allow_slow_rules = true}); },
              ThrowsMessage<std::runtime_error>(HasSubstr("not finite")));
}

TEST_F(TapeProof, OneProofServesEveryBatchSizeButOneSampleProvesNothing) {
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  Tape tape(linear->parameters(), false);
  const auto step = [&](std::int64_t batch) {
    tape.differentiate(losses_of(linear(doubles({batch, 4}))));
    return tape.proofs();
  };
  EXPECT_EQ(step(1), 1);
  EXPECT_EQ(step(1), 1);
  EXPECT_EQ(step(6), 2);  // what was found on one sample is not believed of six
  EXPECT_EQ(step(7), 2);
  EXPECT_EQ(step(64), 2);
  EXPECT_EQ(step(1), 2);
}

TEST_F(TapeProof, OtherShapesPerSampleAreProvedAnew) {
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  Tape tape(linear->parameters(), false);
  tape.differentiate(losses_of(linear(doubles({6, 5, 4}))));
  tape.differentiate(losses_of(linear(doubles({6, 7, 4}))));
  EXPECT_EQ(tape.proofs(), 2);
  tape.differentiate(losses_of(linear(doubles({9, 5, 4}))));
  EXPECT_EQ(tape.proofs(), 2);
}

TEST_F(TapeProof, AnotherSliceOfAParameterIsAnotherGraph) {
  const Tensor weight = parameter({6, 4});
  Tape tape({weight}, false);
  for (const std::int64_t start : {0, 1, 2}) {
    const auto losses = [&](const Tensor& x) {
      return losses_of(torch::linear(x, weight.slice(0, start, start + 3)));
    };
    const Tensor x = doubles({5, 4});
    auto gradients = tape.differentiate(losses(x));
    EXPECT_LE(relative_difference(gradients.parameter(0).per_sample(0, 5),
                                  single_sample_gradients(losses, x, {weight})[0]),
              1e-12);
  }
  EXPECT_EQ(tape.proofs(), 3);
}

TEST_F(TapeProof, AnotherReductionIsAnotherGraph) {
  // Equal names, edges and shapes of all gradients; the second one sums over the samples.
  nn::Linear linear(4, 6);
  linear->to(torch::kDouble);
  for (int trial = 0; trial < 20; ++trial) {
    Tape tape(linear->parameters(), false);
    const auto step = [&](std::int64_t dim) {
      tape.differentiate(linear(doubles({6, 4})).tanh().sum(dim));
    };
    for (int use = 0; use < 3; ++use) step(1);
    EXPECT_THROW(step(0), std::invalid_argument);  // not a use at which signs are checked anyway
    step(1);
    EXPECT_EQ(tape.proofs(), 1);
  }
}

TEST_F(TapeProof, OtherSizesOfAViewAreAnotherGraph) {
  // The same 36 rows of the same six samples, which lie elsewhere by the sizes of one view alone.
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  Tape tape(linear->parameters(), false);
  const Tensor x = doubles({36, 4});
  for (int use = 0; use < 20; ++use) {
    for (const std::int64_t outer : {1, 2, 3, 6}) {
      const auto losses = [&] {
        return linear(x).tanh().view({outer, 6, 18 / outer}).square().sum(kOuterAndInner);
      };
      auto gradients = tape.differentiate(losses());
      const Tensor loss = losses();
      for (std::int64_t sample = 0; sample < 6; ++sample) {
        const auto expected =
            torch::autograd::grad({loss[sample]}, linear->parameters(), {}, /*retain_graph=*/true);
        for (const std::size_t p : {0, 1}) {
          EXPECT_LE(relative_difference(gradients.parameter(p).per_sample(sample, sample + 1)[0],
                                        expected[p]),
                    1e-12)
              << "outer " << outer << ", sample " << sample;
        }
      }
    }
  }
  EXPECT_EQ(tape.proofs(), 4);
}

TEST_F(TapeProof, OtherSlicesOfDataAreAnotherGraph) {
  // Halves of a doubled batch: each sample's own rows, then those of its neighbour.
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  Tape tape(linear->parameters(), false);
  const auto step = [&](std::int64_t start) {
    const Tensor y = linear(doubles({12, 4})).tanh();
    tape.differentiate((y.slice(0, 0, 6) * y.slice(0, start, start + 6)).sum(1));
  };
  for (int use = 0; use < 3; ++use) step(6);
  EXPECT_THROW(step(5), std::invalid_argument);
  EXPECT_THROW(step(1), std::invalid_argument);
}

TEST_F(TapeProof, AnExtentThatGrewWithTheBatchMustGoOnToDoSo) {
  // view({2, batch, 9}) at 6, then at 12 samples; then view({4, 6, 9}), which has the batch of the
  // proof and twice its first size.
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  Tape tape(linear->parameters(), false);
  const auto losses = [&](std::int64_t outer, std::int64_t batch) {
    return linear(doubles({6 * batch, 4}))
        .tanh()
        .view({outer, batch, 18 / outer})
        .sum(kOuterAndInner);
  };
  tape.differentiate(losses(2, 6));
  tape.differentiate(losses(2, 12));
  tape.differentiate(losses(2, 7));
  EXPECT_EQ(tape.proofs(), 1);
  tape.differentiate(losses(1, 12));
  EXPECT_EQ(tape.proofs(), 2);
  tape.differentiate(losses(2, 24));
  tape.differentiate(losses(1, 24));
  EXPECT_EQ(tape.proofs(), 2);
}

TEST_F(TapeProof, FactorsThatChangeFromStepToStepNeedNoNewProof) {
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  Tape tape(linear->parameters(), false);
  for (const double factor : {1.0, 0.5, 0.25, 0.125}) {
    const Tensor y = torch::dropout(linear(doubles({6, 4})), factor / 2, /*train=*/true);
    tape.differentiate((y * factor).tanh().pow(1 + factor).sum(1));
  }
  EXPECT_EQ(tape.proofs(), 1);
}

TEST_F(TapeProof, EqualBatchAndTimeAreToldApart) {
  nn::Linear linear(4, 3);
  linear->to(torch::kDouble);
  for (int trial = 0; trial < 5; ++trial) {
    for (const bool time_major : {false, true}) {
      const auto losses = [&](const Tensor& x) {
        if (!time_major) return losses_of(linear(x).cumsum(1));
        return losses_of(linear(x.transpose(0, 1)).cumsum(0).transpose(0, 1));
      };
      const Tensor x = doubles({5, 5, 4});
      const auto expected = single_sample_gradients(losses, x, linear->parameters());
      const auto gradients = per_sample_gradients(losses(x), linear->parameters());
      EXPECT_LE(relative_difference(gradients[0], expected[0]), 1e-12);
      EXPECT_LE(relative_difference(gradients[1], expected[1]), 1e-12);
    }
  }
}

TEST_F(TapeProof, DeadSamplesDoNotDecideAMapping) {
  // Only one sample of eight is alive behind the rectifier: the proof finds it.
  const Tensor weight = parameter({3, 4});
  const auto losses = [&](const Tensor& x) {
    return torch::linear(x.transpose(0, 1), weight)
        .transpose(0, 1)
        .mul(x.sum({1, 2}).relu().view({-1, 1, 1}))
        .tanh()
        .sum({1, 2});
  };
  const Tensor x = -doubles({8, 8, 4}).abs();
  x[5] = doubles({8, 4}).abs();
  const auto expected = single_sample_gradients(losses, x, {weight});
  for (int trial = 0; trial < 5; ++trial) {
    EXPECT_LE(relative_difference(per_sample_gradients(losses(x), {weight})[0], expected[0]),
              1e-12);
  }
}

TEST_F(TapeProof, AWhollyDeadUseIsProvedAgainOnceItLives) {
  const Tensor weight = parameter({3, 4});
  const Tensor gate = torch::zeros({3}, torch::kDouble);
  Tape tape({weight}, false);
  const auto step = [&] {
    tape.differentiate((torch::linear(doubles({6, 4}), weight) * gate).sum(1));
    return tape.proofs();
  };
  EXPECT_EQ(step(), 1);
  EXPECT_EQ(step(), 2);
  gate.fill_(1);
  EXPECT_EQ(step(), 3);
  EXPECT_EQ(step(), 3);
}

TEST_F(TapeProof, GarbageInOneSampleLeavesTheOthersAlone) {
  nn::Sequential model(nn::Linear(4, 5), nn::Tanh(), nn::Linear(5, 3));
  model->to(torch::kDouble);
  const Tensor x = doubles({6, 4});
  const auto losses = [&](const Tensor& in) { return losses_of(model->forward(in)); };
  const auto clean = per_sample_gradients(losses(x), model->parameters());
  for (const double garbage :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 1e300}) {
    const Tensor dirty = x.clone();
    dirty[2].fill_(garbage);
    const auto gradients = per_sample_gradients(losses(dirty), model->parameters());
    for (std::size_t p = 0; p < clean.size(); ++p) {
      for (const std::int64_t sample : {0, 1, 3, 4, 5}) {
        EXPECT_TRUE(gradients[p][sample].equal(clean[p][sample])) << p << " " << sample;
      }
    }
  }
}

}  // namespace
}  // namespace velum::dpsgd
