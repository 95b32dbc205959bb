// Canaries: what an attacker guesses right never refutes a sound engine, and refutes a broken one.
// Everything comes from known seeds: the outcomes are always the same, and those of sound engines
// were not chosen (a bound at confidence 0.95 is wrong for at most one seed in 20).
#include "velum/dpsgd/audit/canary_audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "dpsgd/support/audit_settings.h"
#include "dpsgd/support/small_classifier.h"
#include "dpsgd/support/small_dp_sgd.h"
#include "velum/dpsgd/accounting/pld_accountant.h"
#include "velum/dpsgd/poisson_sampler.h"

namespace velum::testing {
namespace {

using dpsgd::canary_audit;
using dpsgd::CanaryAuditOptions;
using dpsgd::CanaryAuditResult;
using dpsgd::CanaryKind;
using dpsgd::privacy_engine_factory;

CanaryAuditOptions canary_options(CanaryKind kind, Setting setting = Setting::kFlat) {
  return {.kind = kind,
          .canaries = 300,
          .steps = 8,
          .sampling_rate = 0.5,
          .clipping = clipping_of(setting, 4.0),
          .noise_multiplier = 4.0,
          .user_gradient = user_gradient(setting),
          .learning_rate = 0.1,
          .physical_batch_size = 200,
          .delta = 1e-5,
          .confidence = 0.95,
          .insecure_seed = 5};
}

/// Examples of the small classifier's kind with a target of their own.
std::function<at::Tensor(const std::vector<std::int64_t>&)> strange_inputs(
    const SmallClassifier& small, std::int64_t count) {
  torch::manual_seed(11);
  auto network = small.model;
  const at::Tensor inputs = 3 * torch::randn({count, 20});
  const at::Tensor targets = torch::randint(3, {count});
  return [network, inputs, targets](const std::vector<std::int64_t>& indices) mutable {
    return SmallClassifier::losses_of(network, inputs, targets, indices);
  };
}

TEST(CanaryAudit, NeverRefutesVelum) {
  for (const CanaryKind kind : {CanaryKind::kDirac, CanaryKind::kGradient, CanaryKind::kInput}) {
    const SmallClassifier small;
    CanaryAuditOptions options = canary_options(kind);
    if (kind == CanaryKind::kInput) options.canary_losses = strange_inputs(small, 300);
    const CanaryAuditResult result =
        canary_audit(small.audited(), privacy_engine_factory(), options);
    EXPECT_TRUE(result.holds()) << to_string(kind) << ' ' << result.epsilon_lower() << " > "
                                << result.epsilon_upper;
    EXPECT_GT(result.epsilon_upper, 1.0);
    EXPECT_LT(result.epsilon_upper, 6.0);
    ASSERT_EQ(result.guesses.size(), 3u);
    for (const auto& entry : result.guesses) {
      EXPECT_EQ(entry.counts.canaries, 300);
      EXPECT_EQ(entry.counts.guesses, std::llround(entry.share * 300));
    }
  }
}

TEST(CanaryAudit, NeverRefutesVelumInAnySetting) {
  for (const Setting setting : kSettings) {
    for (const CanaryKind kind : {CanaryKind::kDirac, CanaryKind::kGradient}) {
      const SmallClassifier small;
      const CanaryAuditResult result = canary_audit(
          small.audited(by_user(setting)), privacy_engine_factory(), canary_options(kind, setting));
      EXPECT_TRUE(result.holds()) << name_of(setting) << ' ' << to_string(kind) << ' '
                                  << result.epsilon_lower() << " > " << result.epsilon_upper;
    }
  }
}

TEST(CanaryAudit, UsesUpTheSensitivityInEverySetting) {
  // With little noise most canaries are recognised: one that used up a part of it only would not.
  for (const Setting setting : kSettings) {
    const SmallClassifier small;
    CanaryAuditOptions options = canary_options(CanaryKind::kDirac, setting);
    options.noise_multiplier = 0.5;
    options.sampling_rate = 1.0;
    const CanaryAuditResult result =
        canary_audit(small.audited(by_user(setting)), privacy_engine_factory(), options);
    EXPECT_GT(result.epsilon_lower(), 2.0) << name_of(setting);
    EXPECT_TRUE(result.holds()) << name_of(setting);
  }
}

TEST(CanaryAudit, PromisesWhatTheBooksSay) {
  const SmallClassifier small;
  const CanaryAuditOptions options = canary_options(CanaryKind::kDirac);
  const CanaryAuditResult result = canary_audit(small.audited(), privacy_engine_factory(), options);
  dpsgd::PldAccountant accountant;
  accountant.compose(dpsgd::PoissonSampledGaussianMechanism{0.5, 4.0}, 8, {});
  EXPECT_EQ(result.epsilon_upper, accountant.guarantee(1e-5).epsilon);
}

TEST(CanaryAudit, SeesPartOfALargeEpsilon) {
  // Little noise: most canaries are recognised, and the bound is well above zero: an audit that
  // could not see anything would pass the tests above.
  for (const CanaryKind kind : {CanaryKind::kDirac, CanaryKind::kGradient}) {
    const SmallClassifier small;
    CanaryAuditOptions options = canary_options(kind);
    options.noise_multiplier = 0.5;
    options.sampling_rate = 1.0;
    const CanaryAuditResult result =
        canary_audit(small.audited(), privacy_engine_factory(), options);
    EXPECT_GT(result.epsilon_lower(), 2.0) << to_string(kind);
    EXPECT_TRUE(result.holds());
  }
}

TEST(CanaryAudit, SeesStrangeInputsWhereThereIsHardlyAnyNoise) {
  const SmallClassifier small;
  CanaryAuditOptions options = canary_options(CanaryKind::kInput);
  options.canaries = 60;
  options.steps = 60;
  options.sampling_rate = 1.0;
  options.clipping = dpsgd::Clipping::flat(10.0);
  options.noise_multiplier = 1e-3;
  options.learning_rate = 0.5;
  options.canary_losses = strange_inputs(small, 60);
  const CanaryAuditResult result = canary_audit(small.audited(), privacy_engine_factory(), options);
  EXPECT_GT(result.epsilon_lower(), 0.2);
  EXPECT_TRUE(result.holds());
}

TEST(CanaryAudit, OfManyRunsNeverRefutesVelumAndSeesALargeEpsilon) {
  const SmallClassifier small;
  CanaryAuditOptions options = canary_options(CanaryKind::kDirac);
  options.canaries = 10;
  options.steps = 2;
  options.runs = 60;
  options.sampling_rate = 1.0;
  options.noise_multiplier = 0.3;
  const CanaryAuditResult result = canary_audit(small.audited(), privacy_engine_factory(), options);
  ASSERT_TRUE(result.runs.has_value());
  EXPECT_EQ(result.runs->members + result.runs->non_members, 30);
  EXPECT_GT(result.runs_epsilon_lower, 0.7);
  EXPECT_TRUE(result.holds());
}

TEST(CanaryAudit, RefutesBrokenEngines) {
  using Broken = std::pair<Defect, Setting>;
  const auto audit_of = [](Defect defect, Setting setting) {
    const SmallClassifier small;
    return canary_audit(small.audited(by_user(setting)), small_dp_sgd(defect),
                        canary_options(CanaryKind::kDirac, setting));
  };
  for (const auto& [defect, setting] :
       {Broken(Defect::kNoClipping, Setting::kFlat),
        Broken(Defect::kNormOfOneTensor, Setting::kFlat),
        Broken(Defect::kNoNoiseAtAll, Setting::kFlat),
        Broken(Defect::kNoiseScaledByTheDivisor, Setting::kFlat),
        Broken(Defect::kNoiseOverTheRootOfTheBatch, Setting::kFlat),
        Broken(Defect::kNoNoiseAtAll, Setting::kGroups),
        Broken(Defect::kAutomaticNoiseOfTheStability, Setting::kAutomatic),
        Broken(Defect::kNoNoiseAtAll, Setting::kAdaptive),
        Broken(Defect::kNoNoiseAtAll, Setting::kUserMean),
        Broken(Defect::kExamplesOfAUserClippedOneByOne, Setting::kUserSum)}) {
    const CanaryAuditResult result = audit_of(defect, setting);
    EXPECT_FALSE(result.holds()) << static_cast<int>(defect) << ' ' << name_of(setting) << ' '
                                 << result.epsilon_lower() << " <= " << result.epsilon_upper;
  }
  for (const Setting setting : kSettings) {
    EXPECT_TRUE(audit_of(Defect::kNone, setting).holds()) << name_of(setting);
  }
}

TEST(CanaryAudit, PutsTheParametersBack) {
  const SmallClassifier small;
  const dpsgd::AuditedModel model = small.audited();
  const at::Tensor before = model.parameters[0].detach().clone();
  canary_audit(model, privacy_engine_factory(), canary_options(CanaryKind::kGradient));
  EXPECT_TRUE(torch::equal(before, model.parameters[0]));
}

TEST(CanaryAudit, NamesWhatIsOutOfRange) {
  const SmallClassifier small;
  const auto error_of = [&](const auto& change) -> std::string {
    CanaryAuditOptions options = canary_options(CanaryKind::kDirac);
    change(options);
    try {
      canary_audit(small.audited(), privacy_engine_factory(), options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(error_of([](auto& o) { o.canaries = 0; }), "canary_audit: canaries = 0, expected >= 1");
  EXPECT_EQ(error_of([](auto& o) { o.guessed_shares = {}; }),
            "canary_audit: guessed_shares is empty, expected at least one");
  EXPECT_EQ(error_of([](auto& o) {
              o.guessed_shares = {0.5, 1.5};
            }),
            "canary_audit: guessed_shares = 1.5, expected > 0 and <= 1");
  EXPECT_EQ(error_of([](auto& o) { o.runs = 3; }), "canary_audit: runs = 3, expected >= 4");
  EXPECT_EQ(error_of([](auto& o) {
              o.kind = CanaryKind::kGradient;
              o.runs = 10;
            }),
            "canary_audit: runs = 10 with canaries of kind gradient, expected 0: many runs are for "
            "kind dirac");
  EXPECT_EQ(error_of([](auto& o) { o.delta = 0; }),
            "canary_audit: delta = 0, expected > 0 and < 1");
  EXPECT_EQ(error_of([](auto& o) { o.kind = CanaryKind::kInput; }),
            "canary_audit: canaries of kind input need canary_losses");
  EXPECT_EQ(error_of([](auto& o) {
              o.kind = CanaryKind::kGradient;
              o.canaries = 1000;
            }),
            "canary_audit: canaries = 1000, expected at most the number of parameters, 387");
  EXPECT_THROW(dpsgd::canary_kind_from_string("bird"), std::invalid_argument);
  EXPECT_EQ(dpsgd::canary_kind_from_string("gradient"), CanaryKind::kGradient);
}

}  // namespace
}  // namespace velum::testing
