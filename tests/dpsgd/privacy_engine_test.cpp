#include "velum/dpsgd/privacy_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "dpsgd/single_sample_oracle.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/kernels/random/gaussian.h"

namespace velum::dpsgd {
namespace {

namespace nn = torch::nn;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using torch::Tensor;
using ::velum::testing::relative_difference;
using ::velum::testing::single_sample_gradients;

constexpr double kClippingNorm = 0.7;
const kernels::RandomKey kKey = kernels::insecure_key_from_seed(5);

class PrivacyEngineTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  PrivacyEngineTest() : model(nn::Linear(4, 6), nn::Tanh(), nn::Linear(6, 3)), sampler(1000, 0.01) {
    torch::manual_seed(3);
    model->to(GetParam());
    for (Tensor p : model->parameters()) p.data().normal_();
  }

  PrivacyOptions options(double noise_multiplier = 0) const {
    return {.clipping = Clipping::flat(kClippingNorm),
            .noise_multiplier = noise_multiplier,
            .insecure_test_key = kKey};
  }
  PrivacyEngine engine(double noise_multiplier = 0) const {
    return {model->parameters(), sampler, options(noise_multiplier)};
  }
  Tensor inputs(std::int64_t batch) const { return torch::randn({batch, 4}, GetParam()); }
  Tensor losses(const Tensor& x) const {
    return const_cast<nn::Sequential&>(model)->forward(x).square().sum(1);
  }
  double tolerance() const { return GetParam() == torch::kDouble ? 1e-12 : 1e-5; }

  /// sum_i g_i min(1, C / ||g_i||) of the finite samples, by single-sample backwards.
  std::vector<Tensor> clipped_sum(const Tensor& x) const {
    const auto parameters = model->parameters();
    const auto rows =
        single_sample_gradients([&](const Tensor& in) { return losses(in); }, x, parameters);
    Tensor squared = torch::zeros({x.size(0)}, torch::kDouble);
    for (const Tensor& row : rows) squared += row.to(torch::kDouble).flatten(1).square().sum(1);
    std::vector<Tensor> sums;
    for (const Tensor& row : rows) {
      Tensor sum = torch::zeros(row[0].sizes(), torch::kDouble);
      for (std::int64_t i = 0; i < x.size(0); ++i) {
        const double norm = std::sqrt(squared[i].item<double>());
        if (std::isfinite(norm))
          sum += row[i].to(torch::kDouble) * std::min(1.0, kClippingNorm / norm);
      }
      sums.push_back(sum);
    }
    return sums;
  }
  void expect_gradients(const std::vector<Tensor>& sums) const {
    const auto parameters = model->parameters();
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      EXPECT_EQ(parameters[p].grad().scalar_type(), GetParam());
      EXPECT_LE(relative_difference(parameters[p].grad() * sampler.expected_batch_size(), sums[p]),
                tolerance())
          << "parameter " << p;
    }
  }
  std::vector<Tensor> grads() const {
    std::vector<Tensor> result;
    for (const Tensor& p : model->parameters()) result.push_back(p.grad().clone());
    return result;
  }

  nn::Sequential model;
  PoissonSampler sampler;
};

TEST_P(PrivacyEngineTest, GradientIsTheClippedSumOverTheExpectedBatchSize) {
  PrivacyEngine dp = engine();
  for (const std::int64_t batch : {1, 2, 3, 31}) {  // none is the expected size, 10
    const Tensor x = inputs(batch);
    dp.backward(losses(x));
    expect_gradients(clipped_sum(x));
  }
}

TEST_P(PrivacyEngineTest, PhysicalBatchesAddUpToTheLogicalOne) {
  PrivacyEngine dp = engine();
  const Tensor x = inputs(17);
  dp.accumulate(losses(x.slice(0, 0, 5)));
  dp.accumulate(losses(x.slice(0, 5, 6)));
  dp.accumulate(torch::zeros({0}, GetParam()));
  dp.accumulate(losses(x.slice(0, 6, 17)));
  for (const Tensor& p : model->parameters()) EXPECT_FALSE(p.grad().defined());
  EXPECT_EQ(dp.finish_step().step, 1);
  expect_gradients(clipped_sum(x));
  EXPECT_EQ(dp.unsafe_step_values().physical_batches, 4);
  EXPECT_EQ(dp.unsafe_step_values().batch_size, 17);
  EXPECT_EQ(dp.unsafe_step_values().per_sample_norms.size(), 17u);
}

TEST_P(PrivacyEngineTest, NoiseIsAddedOnceAndScaledBySigmaAndC) {
  constexpr double kNoiseMultiplier = 1.5;
  PrivacyEngine quiet = engine(), noisy = engine(kNoiseMultiplier);
  const Tensor x = inputs(8);
  quiet.backward(losses(x));
  const auto sums = grads();
  noisy.accumulate(losses(x.slice(0, 0, 3)));
  noisy.accumulate(losses(x.slice(0, 3, 8)));
  noisy.finish_step();
  const auto parameters = model->parameters();
  for (std::size_t p = 0; p < parameters.size(); ++p) {
    std::vector<double> z(static_cast<std::size_t>(parameters[p].numel()));
    kernels::gaussian_fill(kernels::Span<double>(z), kKey,
                           {kernels::Purpose::kGradientNoise, 0, 0, static_cast<std::uint32_t>(p)},
                           kernels::Stream::serial());
    const Tensor noise = torch::from_blob(z.data(), parameters[p].sizes(), torch::kDouble) *
                         (kNoiseMultiplier * kClippingNorm / sampler.expected_batch_size());
    EXPECT_LE(relative_difference(parameters[p].grad(), sums[p].to(torch::kDouble) + noise),
              tolerance());
  }
}

TEST_P(PrivacyEngineTest, NoiseDiffersBetweenStepsAndTensors) {
  PrivacyEngine dp = engine(1);
  dp.finish_step();
  const auto first = grads();
  dp.finish_step();
  const auto second = grads();
  for (std::size_t p = 0; p < first.size(); ++p) {
    EXPECT_FALSE(first[p].equal(second[p]));
    EXPECT_EQ((first[p] == second[p]).sum().item<std::int64_t>(), 0);
    for (std::size_t q = 0; q < p; ++q) {
      const auto n = std::min(first[p].numel(), first[q].numel());
      EXPECT_EQ((first[p].flatten().slice(0, 0, n) == first[q].flatten().slice(0, 0, n))
                    .sum()
                    .item<std::int64_t>(),
                0);
    }
  }
}

TEST_P(PrivacyEngineTest, KeysAreSecretByDefault) {
  PrivacyOptions secret = options(1);
  secret.insecure_test_key.reset();
  PrivacyEngine a(model->parameters(), sampler, secret), b(model->parameters(), sampler, secret);
  a.finish_step();
  const auto first = grads();
  b.finish_step();
  EXPECT_FALSE(first[0].equal(grads()[0]));
}

TEST_P(PrivacyEngineTest, EmptyLogicalBatchIsNoisedAndAccounted) {
  PrivacyEngine dp = engine(1);
  dp.finish_step();
  for (const Tensor& g : grads()) EXPECT_GT(g.abs().min().item<double>(), 0);
  dp.accumulate(torch::zeros({0}, GetParam()));
  dp.finish_step();
  dp.backward(losses(inputs(3)).slice(0, 0, 0));
  EXPECT_EQ(dp.accountant().composition().total_count(), 3);
}

TEST_P(PrivacyEngineTest, TheBooksHoldTheSamplersMechanism) {
  PrivacyEngine dp = engine(1.25);
  RdpAccountant reference;
  EXPECT_EQ(dp.epsilon(1e-5), reference.epsilon(1e-5));
  for (int step = 0; step < 3; ++step) dp.backward(losses(inputs(4)));
  reference.compose(sampler.mechanism(1.25), 3);
  EXPECT_EQ(dp.epsilon(1e-5), reference.epsilon(1e-5));
  ASSERT_EQ(dp.accountant().composition().phases().size(), 1u);
  EXPECT_EQ(dp.accountant().composition().phases()[0].mechanism, dp.mechanism());
}

class RefusingAccountant final : public Accountant {
 public:
  RefusingAccountant() : Accountant(Neighbouring::kAddOrRemoveOne) {}
  std::string name() const override { return "refusing"; }
  PrivacyGuarantee guarantee(double) const override { return {}; }
  PrivacyGuarantee guarantee_at_epsilon(double) const override { return {}; }
  std::unique_ptr<Accountant> clone() const override { return nullptr; }

 private:
  void account(const Mechanism&, std::int64_t) override { throw std::runtime_error("no budget"); }
};

TEST_P(PrivacyEngineTest, NothingIsReleasedThatTheBooksRefuse) {
  PrivacyOptions refused = options(1);
  refused.accountant = std::make_shared<RefusingAccountant>();
  PrivacyEngine dp(model->parameters(), sampler, refused);
  EXPECT_THROW(dp.backward(losses(inputs(4))), std::runtime_error);
  for (const Tensor& p : model->parameters()) EXPECT_FALSE(p.grad().defined());
}

TEST_P(PrivacyEngineTest, WithoutNoiseEpsilonIsInfinite) {
  PrivacyEngine dp = engine(0);
  dp.finish_step();
  EXPECT_EQ(dp.epsilon(1e-5), std::numeric_limits<double>::infinity());
}

TEST_P(PrivacyEngineTest, NonFiniteSamplesContributeExactlyNothing) {
  PrivacyEngine dp = engine();
  for (const double garbage :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), -1e38}) {
    const Tensor x = inputs(7);
    const Tensor clean = torch::cat({x.slice(0, 0, 3), x.slice(0, 4, 7)});
    x[3].fill_(garbage);
    dp.backward(losses(x));
    const auto dirty = grads();
    dp.backward(losses(clean));
    const auto without = grads();
    double moved = 0;
    for (std::size_t p = 0; p < dirty.size(); ++p) {
      ASSERT_TRUE(dirty[p].isfinite().all().item<bool>());
      moved += (dirty[p] - without[p]).to(torch::kDouble).square().sum().item<double>();
    }
    const double change = std::sqrt(moved) * sampler.expected_batch_size();
    if (!std::isfinite(garbage)) {
      EXPECT_LE(change, tolerance());
    } else {
      EXPECT_LE(change, kClippingNorm * (1 + tolerance()));
    }
  }
}

TEST_P(PrivacyEngineTest, AFailedAccumulateAddsNothing) {
  PrivacyEngine dp = engine();
  const Tensor x = inputs(6);
  dp.accumulate(losses(x));
  const Tensor y = const_cast<nn::Sequential&>(model)->forward(inputs(5));
  EXPECT_THROW(dp.accumulate((y - y.mean(0)).square().sum(1)), std::invalid_argument);
  EXPECT_THROW(dp.accumulate(y.sum()), std::invalid_argument);
  dp.finish_step();
  expect_gradients(clipped_sum(x));
}

TEST_P(PrivacyEngineTest, RawGradientsAreReplacedNeverAdded) {
  PrivacyEngine dp = engine();
  const Tensor x = inputs(6);
  losses(inputs(9)).sum().backward();
  dp.backward(losses(x));
  expect_gradients(clipped_sum(x));
  dp.backward(losses(x));  // neither is the gradient of the step before
  expect_gradients(clipped_sum(x));
}

TEST_P(PrivacyEngineTest, ARawBackwardThroughTheSameLossesFails) {
  PrivacyEngine dp = engine();
  const Tensor used = losses(inputs(6));
  dp.backward(used);
  EXPECT_THROW(used.sum().backward(), std::exception);
  EXPECT_THROW(dp.accumulate(used), std::exception);

  PrivacyOptions retaining = options();
  retaining.retain_graph = true;
  PrivacyEngine twice(model->parameters(), sampler, retaining);
  const Tensor kept = losses(inputs(6));
  twice.backward(kept);
  EXPECT_NO_THROW(twice.backward(kept));  // in another step
}

TEST_P(PrivacyEngineTest, GradientsHeldElsewhereDoNotChange) {
  PrivacyEngine dp = engine(1);
  std::vector<Tensor> held, copies;
  for (int step = 0; step < 4; ++step) {
    dp.backward(losses(inputs(5)));
    held.push_back(model->parameters()[0].grad());
    copies.push_back(held.back().clone());
    const Tensor view = model->parameters()[2].grad()[0];
    const Tensor copy = view.clone();
    dp.accumulate(losses(inputs(5)));  // the running sum is nowhere to be seen
    EXPECT_TRUE(held.back().equal(copies.back()));
    EXPECT_TRUE(view.equal(copy));
    dp.finish_step();
    EXPECT_TRUE(view.equal(copy));
  }
  for (std::size_t i = 0; i < held.size(); ++i) EXPECT_TRUE(held[i].equal(copies[i]));
}

TEST_P(PrivacyEngineTest, UnusedAndFrozenParameters) {
  const auto parameters = model->parameters();
  const Tensor unused = torch::zeros({3, 2}, GetParam()).requires_grad_();
  const Tensor frozen = torch::zeros({2}, GetParam());
  auto all = parameters;
  all.push_back(frozen);
  all.push_back(unused);
  all.push_back(parameters[0]);  // twice
  PrivacyEngine dp(all, sampler, options(1));
  EXPECT_EQ(dp.parameters().size(), 5u);
  dp.backward(losses(inputs(5)));
  EXPECT_FALSE(frozen.grad().defined());
  EXPECT_GT(unused.grad().abs().min().template item<double>(), 0);
}

TEST_P(PrivacyEngineTest, AnyOptimiserStepsOnTheGradient) {
  PrivacyEngine dp = engine(1);
  torch::optim::Adam adam(model->parameters(), 0.1);
  const Tensor before = model->parameters()[0].detach().clone();
  for (int step = 0; step < 3; ++step) {
    adam.zero_grad();
    dp.backward(losses(inputs(5)));
    adam.step();
  }
  EXPECT_FALSE(before.equal(model->parameters()[0]));
}

TEST_P(PrivacyEngineTest, ResumingTakesTheBooksAndANewKeyEpoch) {
  PrivacyEngine first = engine(1);
  first.backward(losses(inputs(5)));
  first.finish_step();
  const auto noise = grads();
  const EngineState state = first.state();
  EXPECT_EQ(state.step, 2);
  EXPECT_EQ(state.key_epoch, 0u);

  PrivacyEngine second(model->parameters(), sampler, options(1), state);
  EXPECT_EQ(second.epsilon(1e-5), first.epsilon(1e-5));
  EXPECT_EQ(second.finish_step().step, 3);
  EXPECT_EQ(second.state().key_epoch, 1u);
  EXPECT_EQ(second.accountant().composition().total_count(), 3);
  // The same step number under the same (test) key, in another epoch: other noise.
  PrivacyEngine again(model->parameters(), sampler, options(1), EngineState{});
  again.finish_step();
  again.finish_step();
  EXPECT_FALSE(grads()[0].equal(noise[0]));
}

TEST_P(PrivacyEngineTest, AnOpenStepIsNeitherSavedNorStartedAgain) {
  PrivacyEngine dp = engine(1);
  dp.accumulate(losses(inputs(5)));
  EXPECT_THAT([&] { dp.state(); }, ThrowsMessage<std::logic_error>(HasSubstr("open")));
  EXPECT_THAT([&] { dp.backward(losses(inputs(5))); },
              ThrowsMessage<std::logic_error>(HasSubstr("open")));
}

TEST_P(PrivacyEngineTest, SlowNodesAreNamed) {
  const Tensor table = torch::randn({7, 3}, GetParam()).requires_grad_();
  PrivacyOptions slow = options(1);
  slow.allow_slow_rules = true;
  PrivacyEngine dp({table}, sampler, slow);
  const auto statistics = dp.backward(table.index({torch::randint(7, {5})}).square().sum(1));
  EXPECT_THAT(statistics.slow_nodes, ElementsAre("IndexBackward0"));
  EXPECT_TRUE(dp.finish_step().slow_nodes.empty());
}

TEST_P(PrivacyEngineTest, ValuesOutOfRangeAreRefused) {
  EXPECT_THAT([&] { Clipping::flat(-1); },
              ThrowsMessage<std::invalid_argument>(
                  "Clipping::flat: clipping_norm = -1, expected finite and > 0"));
  EXPECT_THROW(Clipping::flat(std::numeric_limits<double>::infinity()), std::invalid_argument);
  EXPECT_THROW(Clipping::flat(std::numeric_limits<double>::quiet_NaN()), std::invalid_argument);
  EXPECT_THAT([&] { engine(-1); },
              ThrowsMessage<std::invalid_argument>(
                  "PrivacyEngine: noise_multiplier = -1, expected finite and >= 0"));
  EXPECT_EQ(Clipping::flat(0.5).sensitivity(), 0.5);
}

INSTANTIATE_TEST_SUITE_P(Types, PrivacyEngineTest, ::testing::Values(torch::kFloat, torch::kDouble),
                         [](const ::testing::TestParamInfo<at::ScalarType>& type) {
                           return std::string(c10::toString(type.param));
                         });

/// A table of more than one block of rows, a batch that looks up few of them, and some twice.
class PrivacyEngineTableTest : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  static constexpr std::int64_t kRows = 5003, kWidth = 37;

  PrivacyEngineTableTest() : table(kRows, kWidth), head(kWidth, 3), sampler(1000, 0.016) {
    torch::manual_seed(7);
    for (nn::Module* module :
         {static_cast<nn::Module*>(table.get()), static_cast<nn::Module*>(head.get())}) {
      module->to(GetParam());
    }
  }
  std::vector<Tensor> parameters() const { return {table->weight, head->weight, head->bias}; }
  PrivacyEngine engine(double noise_multiplier,
                       std::shared_ptr<ReleaseGuard> guard = nullptr) const {
    return {parameters(),
            sampler,
            {.clipping = Clipping::flat(kClippingNorm),
             .noise_multiplier = noise_multiplier,
             .release_guard = std::move(guard),
             .insecure_test_key = kKey}};
  }
  static Tensor words() {
    Tensor x = torch::randint(kRows, {16, 5});
    x.select(1, 0).copy_(x.select(1, 1));  // twice in a sample
    x.select(0, 3).copy_(x.select(0, 2));  // by two samples
    return x;
  }
  Tensor losses(const Tensor& x) { return head(torch::tanh(table(x).sum(1))).square().sum(1); }
  std::vector<Tensor> taken_grads() const {
    std::vector<Tensor> result;
    for (const Tensor& p : parameters()) {
      result.push_back(p.grad().clone());
      p.mutable_grad().reset();
    }
    return result;
  }

  nn::Embedding table;
  nn::Linear head;
  PoissonSampler sampler;
};

void expect_equal(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(a[i].equal(b[i])) << "parameter " << i;
}

TEST_P(PrivacyEngineTableTest, BackwardGivesTheBitsOfAccumulateAndFinishStep) {
  PrivacyEngine at_once = engine(1), summed = engine(1);
  for (int step = 0; step < 4; ++step) {  // the first proves the graph
    const Tensor x = words();
    const auto with_one_lost = [&] {
      Tensor all = losses(x);
      if (step == 2) {  // one sample is not finite and adds nothing
        Tensor factors = torch::ones({16}, GetParam());
        factors[5] = std::numeric_limits<double>::infinity();
        all = all * factors;
      }
      return all;
    };
    summed.accumulate(with_one_lost());
    summed.finish_step();
    const std::vector<Tensor> expected = taken_grads();
    at_once.backward(with_one_lost());
    expect_equal(taken_grads(), expected);
  }
  // The same for gradients that stay where they are and lend their storage to the next step.
  for (int step = 0; step < 3; ++step) {
    const Tensor x = words();
    at_once.backward(losses(x));
    std::vector<Tensor> found;
    for (const Tensor& p : parameters()) found.push_back(p.grad().clone());
    summed.accumulate(losses(x));
    summed.finish_step();
    for (std::size_t i = 0; i < found.size(); ++i) {
      EXPECT_TRUE(parameters()[i].grad().equal(found[i])) << "parameter " << i;
    }
  }
}

TEST_P(PrivacyEngineTableTest, EveryElementIsNoisedOnceWhetherLookedUpOrNot) {
  constexpr double kNoiseMultiplier = 1.5;
  PrivacyEngine quiet = engine(0), noisy = engine(kNoiseMultiplier);
  const Tensor x = words();
  for (std::uint64_t step = 0; step < 2; ++step) {
    quiet.backward(losses(x));
    const Tensor sum = taken_grads()[0].to(torch::kDouble) * sampler.expected_batch_size();
    EXPECT_EQ(sum.ne(0).any(1).sum().item<std::int64_t>(), std::get<0>(at::_unique2(x)).numel());
    noisy.backward(losses(x));
    const Tensor noise = taken_grads()[0].to(torch::kDouble) * sampler.expected_batch_size() - sum;
    Tensor draws = torch::empty({kRows, kWidth}, torch::kDouble);
    kernels::gaussian_fill(kernels::Span<double>(draws.data_ptr<double>(), draws.numel()), kKey,
                           {kernels::Purpose::kGradientNoise, 0, step, 0},
                           kernels::Stream::serial());
    const double roundoff = GetParam() == torch::kDouble ? 0x1p-50 : 0x1p-20;
    EXPECT_LE((noise - draws * (kNoiseMultiplier * kClippingNorm)).abs().max().item<double>(),
              8 * roundoff);
  }
}

/// Writes over the batch while the release is asked for, as a loader does that reads ahead.
struct OverwritingGuard final : ReleaseGuard {
  void before_release(const Mechanism& /*mechanism*/, std::string_view /*label*/) override {
    words.fill_(kFiller);
  }
  static constexpr std::int64_t kFiller = std::int64_t{1} << 40;
  Tensor words;
};

TEST_P(PrivacyEngineTableTest, ABatchOverwrittenAfterItsClippingChangesNothing) {
  const auto guard = std::make_shared<OverwritingGuard>();
  PrivacyEngine guarded = engine(1, guard), plain = engine(1);
  for (int step = 0; step < 2; ++step) {
    const Tensor x = words();
    plain.backward(losses(x));
    const std::vector<Tensor> expected = taken_grads();
    guard->words = x.clone();
    guarded.backward(losses(guard->words));
    EXPECT_TRUE(guard->words.eq(OverwritingGuard::kFiller).all().item<bool>());
    expect_equal(taken_grads(), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, PrivacyEngineTableTest,
                         ::testing::Values(torch::kFloat, torch::kDouble),
                         [](const ::testing::TestParamInfo<at::ScalarType>& type) {
                           return std::string(c10::toString(type.param));
                         });

TEST(PrivacyEngine, AutocastAndMixedTypesAreComputedInTheParametersType) {
  torch::manual_seed(3);
  const Tensor a = torch::randn({3, 4}).requires_grad_();
  const Tensor b = torch::randn({2, 3}, torch::kDouble).requires_grad_();
  const PoissonSampler sampler(100, 0.1);
  PrivacyEngine dp({a, b}, sampler, {.clipping = Clipping::flat(1e3), .noise_multiplier = 0});
  const Tensor x = torch::randn({5, 4});
  const auto losses = [&](const Tensor& in) {
    return torch::linear(torch::linear(in, a).tanh().to(torch::kDouble), b).square().sum(1);
  };
  dp.backward(losses(x));
  const auto expected = single_sample_gradients(losses, x, {a, b});
  EXPECT_LE(relative_difference(a.grad() * 10, expected[0].sum(0)), 1e-5);
  EXPECT_LE(relative_difference(b.grad() * 10, expected[1].sum(0)), 1e-5);

  const auto half = [&](const Tensor& in) {
    return torch::linear(in.to(torch::kBFloat16), a.to(torch::kBFloat16))
        .to(torch::kFloat)
        .square()
        .sum(1);
  };
  PrivacyEngine low({a}, sampler, {.clipping = Clipping::flat(1e3), .noise_multiplier = 0});
  low.backward(half(x));
  EXPECT_EQ(a.grad().scalar_type(), torch::kFloat);
  EXPECT_LE(relative_difference(a.grad() * 10, single_sample_gradients(half, x, {a})[0].sum(0)),
            0x1p-8 * 8);  // autograd's own sum is rounded to bfloat16
}

}  // namespace
}  // namespace velum::dpsgd
