// The mistakes that would make training only look private; tests/README.md lists which test
// catches which.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "dpsgd/support/engine_step.h"
#include "dpsgd/support/problems.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/dpsgd/user_poisson_sampler.h"

namespace velum::testing {
namespace {

namespace nn = torch::nn;
using dpsgd::Clipping;
using dpsgd::PoissonSampler;
using dpsgd::PrivacyEngine;
using dpsgd::PrivacyOptions;

PrivacyOptions options(double clipping_norm, double noise_multiplier) {
  return {.clipping = Clipping::flat(clipping_norm), .noise_multiplier = noise_multiplier};
}

double total_norm(const std::vector<at::Tensor>& tensors) {
  double square = 0;
  for (const at::Tensor& tensor : tensors) square += tensor.square().sum().item<double>();
  return std::sqrt(square);
}

/// Two parameters whose gradients for every sample are exactly `a` and `b`.
struct TwoParameters {
  at::Tensor a = torch::zeros({3}, torch::requires_grad());
  at::Tensor b = torch::zeros({4}, torch::requires_grad());
  std::vector<at::Tensor> parameters() const { return {a, b}; }
  /// [batch]: gradient rows [ga, ga, ga] and [gb, gb, gb, gb] for every sample.
  at::Tensor losses(std::int64_t batch, double ga, double gb) const {
    return (torch::ones({batch, 3}) * ga * a).sum(1) + (torch::ones({batch, 4}) * gb * b).sum(1);
  }
};

TEST(PrivacyBugs, TheNormIsTakenOverAllParametersTogether) {
  const TwoParameters model;
  // Each parameter's own norm is 1.2 and 1.6: together 2, with C = 1 the factor is 1/2 for both.
  const double ga = 1.2 / std::sqrt(3.0);
  const double gb = 1.6 / std::sqrt(4.0);
  const auto sum = clipped_sum_of_one_batch(model.parameters(), model.losses(1, ga, gb), 1.0);
  EXPECT_NEAR(total_norm(sum), 1.0, 1e-6);
  EXPECT_NEAR(sum[0][0].item<double>(), ga / 2, 1e-6);
  EXPECT_NEAR(sum[1][0].item<double>(), gb / 2, 1e-6);
}

TEST(PrivacyBugs, SamplesAreSummedAndNotAveraged) {
  const TwoParameters model;
  const auto one = clipped_sum_of_one_batch(model.parameters(), model.losses(1, 0.1, 0.2), 1.0);
  const auto eight = clipped_sum_of_one_batch(model.parameters(), model.losses(8, 0.1, 0.2), 1.0);
  EXPECT_NEAR(total_norm(eight), 8 * total_norm(one), 1e-5);
}

TEST(PrivacyBugs, SmallGradientsAreNotScaledUp) {
  const TwoParameters model;
  const auto sum = clipped_sum_of_one_batch(model.parameters(), model.losses(1, 1e-3, 0), 1.0);
  EXPECT_FLOAT_EQ(sum[0][0].item<float>(), 1e-3F);
  EXPECT_EQ(sum[1].abs().max().item<float>(), 0.0F);
}

TEST(PrivacyBugs, TheDivisorIsTheExpectedBatchSize) {
  const TwoParameters model;
  const PoissonSampler sampler(200, 0.05);  // expects 10
  PrivacyEngine engine(model.parameters(), sampler, options(1.0, 0.0));
  for (const std::int64_t actual : {1, 4, 25}) {
    engine.backward(model.losses(actual, 0.1, 0.0));
    EXPECT_NEAR(model.a.grad()[0].item<double>(), 0.1 * static_cast<double>(actual) / 10, 1e-6);
  }
}

/// Zero gradient, so that `.grad` times the expected batch size is the noise itself.
struct NoiseOnly {
  static constexpr std::int64_t kSize = 40000;
  at::Tensor used = torch::zeros({kSize}, torch::requires_grad());
  at::Tensor unused = torch::zeros({kSize / 100, 100}, torch::requires_grad());
  at::Tensor wide = torch::zeros({kSize}, torch::dtype(torch::kFloat32).requires_grad(true));
  std::vector<at::Tensor> parameters() const { return {used, unused, wide}; }
  at::Tensor losses(std::int64_t batch) const {
    return (torch::zeros({batch, kSize}) * used).sum(1) + (torch::zeros({batch, 1}) * wide).sum(1);
  }
};

/// The standard deviation of n normals is off by 1/sqrt(2n) relative; six of these: a false alarm
/// once in 5e8 comparisons.
void expect_standard_deviation(const at::Tensor& noise, double expected) {
  const double n = static_cast<double>(noise.numel());
  const at::Tensor wide = noise.to(torch::kFloat64);
  const double measured = std::sqrt(wide.square().mean().item<double>());
  EXPECT_NEAR(measured / expected, 1.0, 6 / std::sqrt(2 * n));
  EXPECT_LE(std::abs(wide.mean().item<double>()), 6 * expected / std::sqrt(n));
}

TEST(PrivacyBugs, NoiseHasStandardDeviationSigmaCBeforeTheDivision) {
  const NoiseOnly model;
  const double sigma = 1.7;
  const double clipping_norm = 0.3;
  const PoissonSampler sampler(1000, 0.032);  // expects 32
  PrivacyEngine engine(model.parameters(), sampler, options(clipping_norm, sigma));
  engine.backward(model.losses(5));
  for (const at::Tensor& p : model.parameters()) {
    expect_standard_deviation(p.grad() * 32, sigma * clipping_norm);
  }
}

TEST(PrivacyBugs, NoiseIsAddedOnceToEveryTensorOfALogicalBatch) {
  const NoiseOnly model;
  const PoissonSampler sampler(100, 0.1);  // expects 10
  PrivacyEngine engine(model.parameters(), sampler, options(1.0, 2.0));
  for (int physical = 0; physical < 7; ++physical) engine.accumulate(model.losses(2));
  engine.finish_step();
  for (const at::Tensor& p : model.parameters()) expect_standard_deviation(p.grad() * 10, 2.0);
}

TEST(PrivacyBugs, AnEmptyBatchIsNoisedAndAccountedLikeAnyOther) {
  const NoiseOnly model;
  const PoissonSampler sampler(100, 0.1);
  PrivacyEngine engine(model.parameters(), sampler, options(1.0, 2.0));
  engine.backward(torch::zeros({0}));
  for (const at::Tensor& p : model.parameters()) expect_standard_deviation(p.grad() * 10, 2.0);
  const double one = engine.epsilon(1e-5);
  EXPECT_GT(one, 0);
  engine.finish_step();  // without an accumulate
  for (const at::Tensor& p : model.parameters()) expect_standard_deviation(p.grad() * 10, 2.0);
  EXPECT_GT(engine.epsilon(1e-5), one);
}

TEST(PrivacyBugs, EveryStepIsInTheBooksBeforeItsGradientIsHandedOut) {
  const NoiseOnly model;
  const PoissonSampler sampler(100, 0.1);
  PrivacyEngine engine(model.parameters(), sampler, options(1.0, 2.0));
  dpsgd::RdpAccountant expected;
  for (int step = 1; step <= 3; ++step) {
    engine.backward(model.losses(3));
    expected.compose(sampler.mechanism(2.0), 1, "training");
    EXPECT_EQ(engine.epsilon(1e-5), expected.epsilon(1e-5));
    EXPECT_EQ(engine.state().step, step);
  }
}

/// Allows some releases, and looks at the parameters whenever it is asked.
class CountingGuard final : public dpsgd::ReleaseGuard {
 public:
  CountingGuard(int allowed, std::vector<at::Tensor> parameters)
      : allowed_(allowed), parameters_(std::move(parameters)) {}
  void before_release(const dpsgd::Mechanism& mechanism, std::string_view label) override {
    ++asked;
    last = {mechanism, std::string(label)};
    released_before.clear();
    for (const at::Tensor& parameter : parameters_) {
      if (parameter.grad().defined()) released_before.push_back(parameter.grad().clone());
    }
    if (asked > allowed_) throw dpsgd::BudgetExceeded("no more");
  }
  int asked = 0;
  std::pair<dpsgd::Mechanism, std::string> last;
  std::vector<at::Tensor> released_before;

 private:
  int allowed_;
  std::vector<at::Tensor> parameters_;
};

TEST(PrivacyBugs, TheGuardIsAskedBeforeEveryReleaseAndARefusalReleasesNothing) {
  const TwoParameters model;
  const PoissonSampler sampler(100, 0.1);
  const auto guard = std::make_shared<CountingGuard>(2, model.parameters());
  PrivacyOptions guarded = options(1.0, 2.0);
  guarded.release_guard = guard;
  PrivacyEngine engine(model.parameters(), sampler, guarded);
  engine.backward(model.losses(3, 0.1, 0.2));
  EXPECT_EQ(guard->asked, 1);
  EXPECT_TRUE(guard->released_before.empty());
  EXPECT_EQ(guard->last.first, sampler.mechanism(2.0));
  EXPECT_EQ(guard->last.second, "training");
  engine.finish_step();  // an empty logical batch is a release, too
  EXPECT_EQ(guard->asked, 2);
  const at::Tensor before = model.a.grad().clone();
  const double epsilon = engine.epsilon(1e-5);
  engine.accumulate(model.losses(3, 0.1, 0.2));
  EXPECT_THROW(engine.finish_step(), dpsgd::BudgetExceeded);
  EXPECT_TRUE(torch::equal(model.a.grad(), before));
  EXPECT_EQ(engine.epsilon(1e-5), epsilon);
  EXPECT_EQ(engine.state().step, 2);  // no step is open
}

// What a refused step had summed up is not released by a later one.
TEST(PrivacyBugs, ARefusedStepLeavesNothingForTheNext) {
  class RefuseFirst final : public dpsgd::ReleaseGuard {
   public:
    void before_release(const dpsgd::Mechanism&, std::string_view) override {
      if (first_) {
        first_ = false;
        throw dpsgd::BudgetExceeded("not yet");
      }
    }

   private:
    bool first_ = true;
  };
  const TwoParameters model;
  const PoissonSampler sampler(100, 0.1);
  PrivacyOptions guarded = options(1.0, 0.0);
  guarded.release_guard = std::make_shared<RefuseFirst>();
  PrivacyEngine engine(model.parameters(), sampler, guarded);
  EXPECT_THROW(engine.backward(model.losses(3, 0.1, 0.2)), dpsgd::BudgetExceeded);
  engine.finish_step();
  EXPECT_EQ(model.a.grad().abs().max().item<float>(), 0.0F);
}

/// No value of one noise tensor stands in another: with float32 values of 40000 elements a few
/// equal values are chance, thousands are not; equal *positions* are not chance at all.
void expect_unrelated(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.flatten().to(torch::kFloat64);
  const at::Tensor y = b.flatten().to(torch::kFloat64);
  EXPECT_LE((x == y).sum().item<std::int64_t>(), 5);
  const double n = static_cast<double>(x.numel());
  const double correlation =
      ((x * y).mean() / (x.square().mean() * y.square().mean()).sqrt()).item<double>();
  EXPECT_LE(std::abs(correlation), 6 / std::sqrt(n));  // six standard deviations
}

TEST(PrivacyBugs, NoiseIsNeverRepeatedBetweenTensors) {
  const NoiseOnly model;
  PrivacyOptions with_key = options(1.0, 1.0);
  with_key.insecure_test_key = kernels::insecure_key_from_seed(7);
  PrivacyEngine engine(model.parameters(), PoissonSampler(1, 1.0), with_key);
  engine.backward(model.losses(1));
  expect_unrelated(model.used.grad(), model.unused.grad());
  expect_unrelated(model.used.grad(), model.wide.grad());
  expect_unrelated(model.unused.grad(), model.wide.grad());
  // Nor within a tensor.
  const at::Tensor noise = model.used.grad();
  expect_unrelated(noise.slice(0, 0, NoiseOnly::kSize / 2), noise.slice(0, NoiseOnly::kSize / 2));
  expect_unrelated(noise.slice(0, 1), noise.slice(0, 0, NoiseOnly::kSize - 1));
}

TEST(PrivacyBugs, NoiseIsNeverRepeatedBetweenSteps) {
  const NoiseOnly model;
  PrivacyOptions with_key = options(1.0, 1.0);
  with_key.insecure_test_key = kernels::insecure_key_from_seed(7);
  PrivacyEngine engine(model.parameters(), PoissonSampler(1, 1.0), with_key);
  std::vector<at::Tensor> steps;
  for (int step = 0; step < 4; ++step) {
    engine.backward(model.losses(1));
    steps.push_back(torch::cat({model.used.grad().clone(), model.wide.grad().clone()}));
  }
  for (std::size_t a = 0; a < steps.size(); ++a) {
    for (std::size_t b = 0; b < a; ++b) expect_unrelated(steps[a], steps[b]);
  }
}

TEST(PrivacyBugs, AResumedRunRepeatsNoNoise) {
  // With the same known key even: the key epoch alone must keep the streams apart.
  const NoiseOnly model;
  const PoissonSampler sampler(1, 1.0);
  PrivacyOptions with_key = options(1.0, 1.0);
  with_key.insecure_test_key = kernels::insecure_key_from_seed(7);
  PrivacyEngine first(model.parameters(), sampler, with_key);
  const dpsgd::EngineState before = first.state();
  first.backward(model.losses(1));
  const at::Tensor noise = model.used.grad().clone();
  // The run dies after its step, and is resumed from the checkpoint before it.
  PrivacyEngine second(model.parameters(), sampler, with_key, before);
  second.backward(model.losses(1));
  expect_unrelated(noise, model.used.grad());
}

TEST(PrivacyBugs, TwoEnginesWithoutATestKeyDrawDifferentNoise) {
  const NoiseOnly model;
  const PoissonSampler sampler(1, 1.0);
  PrivacyEngine(model.parameters(), sampler, options(1.0, 1.0)).backward(model.losses(1));
  const at::Tensor noise = model.used.grad().clone();
  PrivacyEngine(model.parameters(), sampler, options(1.0, 1.0)).backward(model.losses(1));
  expect_unrelated(noise, model.used.grad());
}

TEST(PrivacyBugs, AParameterThatTheEngineDoesNotKnowIsRefused) {
  nn::Sequential model(nn::Linear(4, 8), nn::Tanh(), nn::Linear(8, 2));
  std::vector<at::Tensor> parameters = model->parameters();
  parameters.pop_back();  // the last bias
  PrivacyEngine engine(parameters, PoissonSampler(1, 1.0), options(1.0, 1.0));
  const at::Tensor losses = reduce_to_losses(model->forward(torch::randn({5, 4})));
  EXPECT_THROW(engine.backward(losses), std::invalid_argument);
  for (const at::Tensor& p : model->parameters()) EXPECT_FALSE(p.grad().defined());
}

TEST(PrivacyBugs, NoParameterKeepsARawGradient) {
  nn::Sequential model(nn::Linear(4, 8), nn::Tanh(), nn::Linear(8, 2));
  const at::Tensor x = torch::randn({5, 4});
  reduce_to_losses(model->forward(x)).sum().backward();  // raw gradients are lying about
  PrivacyEngine engine(model->parameters(), PoissonSampler(1, 1.0), options(0.25, 0.0));
  engine.backward(reduce_to_losses(model->forward(x)));
  std::vector<at::Tensor> grads;
  for (const at::Tensor& p : model->parameters()) grads.push_back(p.grad());
  EXPECT_LE(total_norm(grads), 5 * 0.25 * (1 + 1e-5));
}

/// The text of the error, or "" if there is none.
template <typename Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

TEST(PrivacyBugs, BatchNormIsRefusedWithTheRemedy) {
  nn::Sequential model(nn::Conv2d(1, 4, 3), nn::BatchNorm2d(4), nn::ReLU(), nn::Flatten(),
                       nn::Linear(4 * 36, 3));
  PrivacyEngine engine(model->parameters(), PoissonSampler(1, 1.0), options(1.0, 1.0));
  const std::string text = error_of([&] {
    engine.backward(reduce_to_losses(model->forward(torch::randn({6, 1, 8, 8}))));
  });
  EXPECT_THAT(text, ::testing::HasSubstr("BatchNorm"));
  EXPECT_THAT(text, ::testing::HasSubstr("GroupNorm"));
  for (const at::Tensor& p : model->parameters()) EXPECT_FALSE(p.grad().defined());
}

TEST(PrivacyBugs, BatchNormWithoutParametersIsRefused) {
  nn::Sequential model(nn::Linear(4, 4), nn::BatchNorm1d(nn::BatchNormOptions(4).affine(false)),
                       nn::Linear(4, 2));
  PrivacyEngine engine(model->parameters(), PoissonSampler(1, 1.0), options(1.0, 1.0));
  EXPECT_NE(error_of([&] {
              engine.backward(reduce_to_losses(model->forward(torch::randn({6, 4}))));
            }),
            "");
}

TEST(PrivacyBugs, BatchNormIsRefusedWhenTrainingModeBeginsLater) {
  // In evaluation mode it mixes nothing and is proved; the graph of training mode looks the same.
  nn::Sequential model(nn::Linear(4, 4), nn::BatchNorm1d(4), nn::Linear(4, 2));
  PrivacyEngine engine(model->parameters(), PoissonSampler(1, 1.0), options(1.0, 1.0));
  model->eval();
  for (int step = 0; step < 3; ++step) {
    engine.backward(reduce_to_losses(model->forward(torch::randn({6, 4}))));
  }
  model->train();
  const std::string text = error_of([&] {
    engine.backward(reduce_to_losses(model->forward(torch::randn({6, 4}))));
  });
  EXPECT_THAT(text, ::testing::HasSubstr("BatchNorm"));
}

TEST(PrivacyBugs, BooksForAnotherNeighbouringRelationAreRefused) {
  nn::Linear layer(3, 4);
  PrivacyOptions replace_one = options(1.0, 1.0);
  replace_one.accountant = std::make_shared<dpsgd::RdpAccountant>(dpsgd::Neighbouring::kReplaceOne);
  EXPECT_THROW(PrivacyEngine(layer->parameters(), PoissonSampler(1, 1.0), replace_one),
               std::invalid_argument);
}

/// Books that say what they are kept for.
class KeptFor final : public dpsgd::ReleaseGuard {
 public:
  explicit KeptFor(dpsgd::Neighbouring neighbouring) : neighbouring_(neighbouring) {}
  explicit KeptFor(std::string unit) : unit_(std::move(unit)) {}
  void before_release(const dpsgd::Mechanism&, std::string_view) override {}
  std::optional<dpsgd::Neighbouring> neighbouring() const override { return neighbouring_; }
  std::optional<std::string> unit() const override { return unit_; }

 private:
  std::optional<dpsgd::Neighbouring> neighbouring_;
  std::optional<std::string> unit_;
};

TEST(PrivacyBugs, AGuardForAnotherNeighbouringRelationIsRefused) {
  nn::Linear layer(3, 4);
  PrivacyOptions guarded = options(1.0, 1.0);
  guarded.release_guard = std::make_shared<KeptFor>(dpsgd::Neighbouring::kReplaceOne);
  EXPECT_THROW(PrivacyEngine(layer->parameters(), PoissonSampler(1, 1.0), guarded),
               std::invalid_argument);
  guarded.release_guard = std::make_shared<KeptFor>(dpsgd::Neighbouring::kAddOrRemoveOne);
  EXPECT_NO_THROW(PrivacyEngine(layer->parameters(), PoissonSampler(1, 1.0), guarded));
}

TEST(PrivacyBugs, AGuardWhoseBooksAreAboutAnotherUnitIsRefused) {
  nn::Linear layer(3, 4);
  PrivacyOptions guarded = options(1.0, 1.0);
  const auto error_of = [&](const auto& sampler, const char* unit) {
    guarded.release_guard = std::make_shared<KeptFor>(unit);
    try {
      PrivacyEngine(layer->parameters(), sampler, guarded);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const PoissonSampler samples(4, 0.5);
  const dpsgd::UserPoissonSampler users({7, 7, 8, 9}, 0.5);
  for (const char* one : {"record", "example", "sample", "image"}) {
    EXPECT_EQ(error_of(samples, one), "");
    EXPECT_THAT(error_of(users, one),
                ::testing::HasSubstr("PrivacyEngine: release_guard keeps books about one " +
                                     std::string(one) + ", expected one user"));
  }
  for (const char* several : {"user", "person", "patient"}) {
    EXPECT_EQ(error_of(users, several), "");
    EXPECT_THAT(error_of(samples, several),
                ::testing::HasSubstr("PrivacyEngine: release_guard keeps books about one " +
                                     std::string(several) + ", expected one example"));
  }
}

TEST(PrivacyBugs, ASumOfUsersWithoutUsersIsRefused) {
  nn::Linear layer(3, 4);
  PrivacyOptions sum = options(1.0, 1.0);
  sum.user_gradient = dpsgd::UserGradient::kSum;
  EXPECT_THROW(PrivacyEngine(layer->parameters(), PoissonSampler(4, 0.5), sum),
               std::invalid_argument);
  EXPECT_NO_THROW(
      PrivacyEngine(layer->parameters(), dpsgd::UserPoissonSampler({7, 7, 8, 9}, 0.5), sum));
}

TEST(PrivacyBugs, TheSameLossesCountOnceInAStep) {
  nn::Linear layer(3, 4);
  PrivacyOptions keep = options(1.0, 0.0);
  keep.retain_graph = true;
  PrivacyEngine engine(layer->parameters(), PoissonSampler(1, 1.0), keep);
  const at::Tensor losses = reduce_to_losses(layer->forward(torch::randn({5, 3})));
  engine.accumulate(losses);
  EXPECT_THROW(engine.accumulate(losses), std::invalid_argument);
  engine.finish_step();
  EXPECT_NO_THROW(engine.accumulate(losses));  // another step, another logical batch
}

TEST(PrivacyBugs, ProductsOfReducedPrecisionAreRefused) {
  nn::Linear layer(3, 4);
  PrivacyEngine engine(layer->parameters(), PoissonSampler(1, 1.0), options(1.0, 1.0));
  const at::Tensor losses = reduce_to_losses(layer->forward(torch::randn({5, 3})));
  at::globalContext().setFloat32MatmulPrecision("medium");
  EXPECT_THROW(engine.backward(losses), std::invalid_argument);
  at::globalContext().setFloat32MatmulPrecision("highest");
  EXPECT_NO_THROW(engine.backward(losses));
}

TEST(PrivacyBugs, HandWrittenMixingOfSamplesIsRefused) {
  using Mix = std::function<at::Tensor(const at::Tensor&)>;
  const std::vector<std::pair<std::string, Mix>> mixes{
      {"mean over the batch", [](const at::Tensor& h) { return h - h.mean(0, true); }},
      {"softmax over the batch", [](const at::Tensor& h) { return torch::softmax(h, 0); }},
      {"neighbours", [](const at::Tensor& h) { return h + 0.1 * torch::roll(h, 1, 0); }},
      {"similarities", [](const at::Tensor& h) { return h.mm(h.t()); }},
      {"largest of the batch", [](const at::Tensor& h) { return h / std::get<0>(h.max(0, true)); }},
      {"sorted", [](const at::Tensor& h) { return std::get<0>(h.sort(0)); }},
  };
  for (const auto& [name, mix] : mixes) {
    torch::manual_seed(5);
    nn::Linear in(4, 6);
    PrivacyEngine engine(in->parameters(), PoissonSampler(1, 1.0), options(1.0, 1.0));
    const at::Tensor losses = reduce_to_losses(mix(in->forward(torch::randn({6, 4}))));
    EXPECT_NE(error_of([&] { engine.backward(losses); }), "") << name;
    EXPECT_FALSE(in->weight.grad().defined()) << name;
  }
}

TEST(PrivacyBugs, TimeMajorRowsAreNotTakenForBatchMajor) {
  // As many steps as samples, so that shapes do not tell; each sample at its own scale, so that a
  // wrong assignment of rows gives other norms.
  torch::manual_seed(8);
  nn::Linear layer(3, 4);
  const at::Tensor x = problems::inputs({5, 5, 3});
  const at::Tensor losses =
      reduce_to_losses(problems::time_major(layer->forward(problems::time_major(x).contiguous())));
  const at::Tensor norms = dpsgd::per_sample_norms(losses, layer->parameters());
  for (std::int64_t sample = 0; sample < 5; ++sample) {
    const auto gradient = torch::autograd::grad({losses[sample]}, layer->parameters(), {}, true);
    EXPECT_NEAR(norms[sample].item<double>(), total_norm(gradient), 1e-4 * total_norm(gradient));
  }
}

TEST(PrivacyBugs, AFailedBatchAddsNothing) {
  nn::Linear layer(3, 4);
  PrivacyEngine engine(layer->parameters(), PoissonSampler(1, 1.0), options(10.0, 0.0));
  const at::Tensor x = torch::randn({5, 3});
  engine.accumulate(reduce_to_losses(layer->forward(x)));
  const at::Tensor mixed = torch::softmax(layer->forward(x), 0);
  EXPECT_ANY_THROW(engine.accumulate(reduce_to_losses(mixed)));
  EXPECT_ANY_THROW(engine.accumulate(reduce_to_losses(layer->forward(x)).mean()));
  engine.finish_step();
  const at::Tensor got = layer->weight.grad().clone();
  const auto want =
      clipped_sum_of_one_batch(layer->parameters(), reduce_to_losses(layer->forward(x)), 10.0);
  EXPECT_TRUE(torch::equal(got, want[0]));
}

TEST(PrivacyBugs, AMeanLossIsRefusedWithTheRemedy) {
  nn::Linear layer(3, 4);
  PrivacyEngine engine(layer->parameters(), PoissonSampler(1, 1.0), options(1.0, 1.0));
  const std::string text = error_of([&] {
    engine.backward(reduce_to_losses(layer->forward(torch::randn({5, 3}))).mean());
  });
  EXPECT_THAT(text, ::testing::HasSubstr("reduction"));
}

}  // namespace
}  // namespace velum::testing
