// Audits find what is wrong with an engine, and nothing wrong with a sound one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <numeric>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "dpsgd/support/audit_settings.h"
#include "dpsgd/support/small_classifier.h"
#include "dpsgd/support/small_dp_sgd.h"
#include "velum/dpsgd/audit/audited_engine.h"
#include "velum/dpsgd/audit/engine_conformance.h"
#include "velum/dpsgd/audit/neighbour_replay.h"

namespace velum::testing {
namespace {

using dpsgd::AuditedModel;
using dpsgd::ConformanceOptions;
using dpsgd::ConformanceResult;
using dpsgd::engine_conformance;
using dpsgd::EngineFactory;
using dpsgd::neighbour_replay;
using dpsgd::privacy_engine_factory;
using dpsgd::ReplayChange;
using dpsgd::ReplayComparison;
using dpsgd::ReplayOptions;
using dpsgd::ReplayResult;

TEST(NeighbourReplay, FindsNothingWrongWithVelum) {
  for (const Setting setting : kSettings) {
    for (const auto type : {torch::kFloat32, torch::kFloat64}) {
      const SmallClassifier small(false, type);
      const ReplayResult result = neighbour_replay(
          small.audited(by_user(setting)), privacy_engine_factory(), replay_options(setting));
      EXPECT_TRUE(result.holds()) << name_of(setting) << ": " << result.worst()->distance << ' '
                                  << result.worst()->bound << ' '
                                  << to_string(result.worst()->change);
      // The bound is used up: a unit with a large gradient moves the sum by the sensitivity.
      double nearest = 0.0;
      for (const ReplayComparison& row : result.comparisons) {
        if (row.change != ReplayChange::kScaledUp) continue;
        nearest = std::max(nearest, row.distance / row.bound);
      }
      EXPECT_GT(nearest, 1 - 1e-5) << name_of(setting);
    }
  }
}

TEST(NeighbourReplay, ComparesTheCountsOfAdaptiveClipping) {
  const SmallClassifier small;
  const ReplayResult result = neighbour_replay(small.audited(), privacy_engine_factory(),
                                               replay_options(Setting::kAdaptive));
  double most = 0.0;
  for (const ReplayComparison& row : result.comparisons) {
    if (row.change == ReplayChange::kCount) most = std::max(most, row.distance);
  }
  EXPECT_NEAR(most, 0.5, 1e-9);
}

TEST(NeighbourReplay, RemovesUsersWithAllTheirExamples) {
  const SmallClassifier small;
  const AuditedModel model = small.audited(/*by_user=*/true);
  const ReplayResult result =
      neighbour_replay(model, privacy_engine_factory(), replay_options(Setting::kUserSum));
  for (const ReplayComparison& row : result.comparisons) {
    if (row.unit == -1) continue;
    EXPECT_THAT(model.user_of_example, ::testing::Contains(row.unit));
  }
}

TEST(NeighbourReplay, ComparesEveryChangeAtEveryStep) {
  const SmallClassifier small;
  const ReplayResult result =
      neighbour_replay(small.audited(), privacy_engine_factory(), replay_options());
  for (std::int64_t step = 0; step < 3; ++step) {
    std::vector<int> rows(8, 0);
    for (const ReplayComparison& row : result.comparisons) {
      if (row.step != step) continue;
      ++rows[static_cast<std::size_t>(row.change)];
      EXPECT_GT(row.batch_size, 0);
    }
    EXPECT_THAT(rows, ::testing::ElementsAre(2, 2, 2, 2, 2, 1, 1, 0));
  }
}

TEST(NeighbourReplay, TrainsTheFirstRun) {
  const SmallClassifier small;
  const AuditedModel model = small.audited();
  const at::Tensor before = model.parameters[0].detach().clone();
  neighbour_replay(model, privacy_engine_factory(), replay_options());
  EXPECT_FALSE(torch::equal(before, model.parameters[0]));
}

TEST(NeighbourReplay, FindsAModelThatMixesExamples) {
  // The engine is sound, the model is not: with batch normalisation an example moves the gradients
  // of the others. (velum refuses such a model.)
  const SmallClassifier small(/*batch_norm=*/true);
  ReplayOptions options = replay_options();
  options.physical_batch_size =
      SmallClassifier::kExamples;  // the statistics of one example are none
  const ReplayResult result =
      neighbour_replay(small.audited(), small_dp_sgd(Defect::kNone), options);
  EXPECT_FALSE(result.holds());
  EXPECT_THROW(neighbour_replay(small.audited(), privacy_engine_factory(), options),
               std::invalid_argument);
}

TEST(EngineConformance, FindsNothingWrongWithVelum) {
  // A false alarm once in a million builds; the noise that is measured has a known key, but two
  // engines and the sampler draw their own.
  for (const Setting setting : kSettings) {
    for (const auto type : {torch::kFloat32, torch::kFloat64}) {
      const SmallClassifier small(false, type);
      const ConformanceResult result = engine_conformance(
          small.audited(by_user(setting)), privacy_engine_factory(), conformance_options(setting));
      EXPECT_TRUE(result.holds()) << name_of(setting) << '\n' << table(result);
      EXPECT_GE(result.checks.size(), 30u);
    }
  }
}

TEST(EngineConformance, FindsNothingWrongWithFullBatches) {
  const SmallClassifier small;
  ConformanceOptions options = conformance_options();
  options.sampling_rate = 1.0;
  const ConformanceResult result =
      engine_conformance(small.audited(), privacy_engine_factory(), options);
  EXPECT_TRUE(result.holds()) << table(result);
}

TEST(EngineConformance, HasNothingToCompareInAModelOfOneNumber) {
  const at::Tensor weight = torch::zeros({1}, torch::requires_grad());
  const AuditedModel model{.parameters = {weight},
                           .dataset_size = 30,
                           .losses = [weight](const std::vector<std::int64_t>& indices) {
                             const auto count = static_cast<std::int64_t>(indices.size());
                             return (torch::ones({count, 1}) * weight).sum(1);
                           }};
  const ConformanceResult result =
      engine_conformance(model, privacy_engine_factory(), conformance_options());
  EXPECT_TRUE(result.holds()) << table(result);
}

TEST(EngineConformance, LeavesTheModelAsItWas) {
  const SmallClassifier small;
  const AuditedModel model = small.audited();
  const at::Tensor before = model.parameters[0].detach().clone();
  engine_conformance(model, privacy_engine_factory(), conformance_options());
  EXPECT_TRUE(torch::equal(before, model.parameters[0]));
}

TEST(Audits, NameWhatIsOutOfRange) {
  const SmallClassifier small;
  const auto error_of = [&](const auto& change) -> std::string {
    ReplayOptions options = replay_options();
    change(options);
    try {
      neighbour_replay(small.audited(), privacy_engine_factory(), options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(error_of([](ReplayOptions& o) { o.steps = 0; }),
            "neighbour_replay: steps = 0, expected >= 1");
  EXPECT_EQ(error_of([](ReplayOptions& o) { o.sampling_rate = 0; }),
            "neighbour_replay: sampling_rate = 0, expected > 0 and <= 1");
  EXPECT_EQ(error_of([](ReplayOptions& o) { o.noise_multiplier = 0; }),
            "neighbour_replay: noise_multiplier = 0, expected finite and > 0");
  EXPECT_EQ(error_of([](ReplayOptions& o) { o.learning_rate = -1; }),
            "neighbour_replay: learning_rate = -1, expected finite and >= 0");
  ConformanceOptions options = conformance_options();
  options.false_alarm_probability = 1;
  EXPECT_THROW(engine_conformance(small.audited(), privacy_engine_factory(), options),
               std::invalid_argument);
  AuditedModel of_users = small.audited(/*by_user=*/true);
  of_users.user_of_example.pop_back();
  EXPECT_THROW(neighbour_replay(of_users, privacy_engine_factory(), replay_options()),
               std::invalid_argument);
  const SmallClassifier half(false, torch::kBFloat16);
  EXPECT_THROW(neighbour_replay(half.audited(), privacy_engine_factory(), replay_options()),
               std::invalid_argument);
  AuditedModel empty = small.audited();
  empty.parameters.clear();
  EXPECT_THROW(neighbour_replay(empty, privacy_engine_factory(), replay_options()),
               std::invalid_argument);
}

// Which audit finds which defect. tests/README.md has this table in words.
struct Finding {
  Defect defect;
  const char* name;
  bool by_replay;     ///< whether the neighbour replay finds it
  const char* check;  ///< of the conformance audit, one that must fail
  Setting setting = Setting::kFlat;
};
void PrintTo(const Finding& finding, std::ostream* os) { *os << finding.name; }

const Finding kFindings[] = {
    {Defect::kNoClipping, "NoClipping", true,
     "a large gradient is scaled to C over all parameters together"},
    {Defect::kClipsTheBatch, "ClipsTheBatch", true,
     "each gradient is scaled by itself, before the sum"},
    {Defect::kClipsTheAverage, "ClipsTheAverage", true,
     "each gradient is scaled by itself, before the sum"},
    {Defect::kClampsElements, "ClampsElements", true,
     "a large gradient is scaled to C over all parameters together"},
    {Defect::kNormOfEachTensor, "NormOfEachTensor", true,
     "a large gradient is scaled to C over all parameters together"},
    {Defect::kNormOfOneTensor, "NormOfOneTensor", true,
     "a large gradient is scaled to C over all parameters together"},
    {Defect::kScalesSmallGradientsUp, "ScalesSmallGradientsUp", false,
     "the sum of small gradients over the expected batch size"},
    {Defect::kKeepsNotFinite, "KeepsNotFinite", true, "a gradient that is not finite adds nothing"},
    {Defect::kAveragesPhysicalBatches, "AveragesPhysicalBatches", true,
     "physical batches of one step are summed"},
    {Defect::kDividesByTheActualSize, "DividesByTheActualSize", true,
     "the sum of small gradients over the expected batch size"},
    {Defect::kCarriesTheSumOver, "CarriesTheSumOver", true,
     "the sum of small gradients over the expected batch size"},
    {Defect::kKeepsARawGradient, "KeepsARawGradient", false, "what stood in .grad is gone"},
    {Defect::kAddsToTheOldGradient, "AddsToTheOldGradient", true, "what stood in .grad is gone"},
    {Defect::kTakesLossesTwice, "TakesLossesTwice", false,
     "losses given twice in a step are refused"},
    {Defect::kLeavesParametersOut, "LeavesParametersOut", false,
     "a trainable parameter that was not given is refused"},
    {Defect::kGradientsInHalfPrecision, "GradientsInHalfPrecision", false,
     "products are as exact as their type"},
    {Defect::kProductsOfTheAutocastRegion, "ProductsOfTheAutocastRegion", false,
     "an autocast region around the engine changes nothing"},
    {Defect::kProductsOfReducedPrecision, "ProductsOfReducedPrecision", false,
     "float32 products of reduced precision are refused, or are as exact as others"},
    {Defect::kNoiseWithoutTheClippingNorm, "NoiseWithoutTheClippingNorm", false,
     "standard deviation of the noise, drawn batches"},
    {Defect::kNoiseScaledByTheDivisor, "NoiseScaledByTheDivisor", false,
     "standard deviation of the noise, drawn batches"},
    {Defect::kNoiseOverTheRootOfTheBatch, "NoiseOverTheRootOfTheBatch", true,
     "standard deviation of the noise, drawn batches"},
    {Defect::kNoNoiseOnOneTensor, "NoNoiseOnOneTensor", false,
     "standard deviation of the noise, drawn batches"},
    {Defect::kNoiseTwiceOnOneTensor, "NoiseTwiceOnOneTensor", false,
     "standard deviation of the noise, drawn batches"},
    {Defect::kNoNoiseWithoutABatch, "NoNoiseWithoutABatch", false,
     "standard deviation of the noise, steps without a batch"},
    {Defect::kNoNoiseOnEmptyBatches, "NoNoiseOnEmptyBatches", false,
     "standard deviation of the noise, empty batches"},
    {Defect::kNoNoiseWithoutContribution, "NoNoiseWithoutContribution", false,
     "standard deviation of the noise, batches without a finite gradient"},
    {Defect::kNoNoiseAtAll, "NoNoiseAtAll", false,
     "standard deviation of the noise, drawn batches"},
    {Defect::kUniformNoise, "UniformNoise", false, "the noise is normal"},
    {Defect::kSameNoiseEveryStep, "SameNoiseEveryStep", false,
     "no noise is repeated between steps"},
    {Defect::kSameNoiseOnEveryTensor, "SameNoiseOnEveryTensor", false,
     "no noise is repeated between tensors"},
    {Defect::kSameNoiseInBothHalves, "SameNoiseInBothHalves", false,
     "no noise is repeated within a tensor"},
    {Defect::kSameNoiseAfterResuming, "SameNoiseAfterResuming", false,
     "a resumed engine repeats no noise"},
    {Defect::kSameKeyInEveryEngine, "SameKeyInEveryEngine", false,
     "engines with keys of their own share no noise"},
    {Defect::kShuffledBatches, "ShuffledBatches", false, "draws are independent"},
    {Defect::kBatchesOfFixedSize, "BatchesOfFixedSize", false, "the spread of batch sizes"},
    {Defect::kLargerRate, "LargerRate", false, "the sampling rate"},
    {Defect::kBiasedRate, "BiasedRate", false, "the sampling rate"},
    {Defect::kSameBatchEveryStep, "SameBatchEveryStep", false, "draws are independent"},
    {Defect::kNeighboursTogether, "NeighboursTogether", false, "draws are independent"},
    {Defect::kWithReplacement, "WithReplacement", true,
     "no example is drawn twice or from nowhere"},
    {Defect::kEmptyStepsNotBooked, "EmptyStepsNotBooked", false, "every step is in the books"},
    {Defect::kEverySecondStepBooked, "EverySecondStepBooked", false, "every step is in the books"},
    {Defect::kSmallerRateBooked, "SmallerRateBooked", false, "every step is in the books"},
    {Defect::kMoreNoiseBooked, "MoreNoiseBooked", false, "every step is in the books"},
    {Defect::kBooksLostOnResuming, "BooksLostOnResuming", false,
     "the books of a resumed engine hold every step"},
    {Defect::kBooksForReplaceOne, "BooksForReplaceOne", false,
     "books for another neighbouring relation are refused"},
    {Defect::kGuardNotAsked, "GuardNotAsked", false,
     "a step that the guard refuses releases nothing"},
    {Defect::kGuardAskedAfterwards, "GuardAskedAfterwards", false,
     "a step that the guard refuses releases nothing"},
    {Defect::kSumOfARefusedStepKept, "SumOfARefusedStepKept", false,
     "a refused step leaves no trace in the next"},
    {Defect::kGroupsByTheNormOfTheFirst, "GroupsByTheNormOfTheFirst", true,
     "each part of a large gradient is scaled to its own bound", Setting::kGroups},
    {Defect::kNoiseOfTheLargestGroup, "NoiseOfTheLargestGroup", false,
     "standard deviation of the noise, drawn batches", Setting::kGroups},
    {Defect::kParameterInNoGroup, "ParameterInNoGroup", false, "a parameter in no group is refused",
     Setting::kGroups},
    {Defect::kAutomaticBySquaredNorm, "AutomaticBySquaredNorm", false,
     "the sum of small gradients over the expected batch size", Setting::kAutomatic},
    {Defect::kAutomaticNoiseOfTheStability, "AutomaticNoiseOfTheStability", false,
     "standard deviation of the noise, drawn batches", Setting::kAutomatic},
    {Defect::kCountForNothing, "CountForNothing", false,
     "standard deviation of the noise, drawn batches", Setting::kAdaptive},
    {Defect::kCountWithoutNoise, "CountWithoutNoise", false,
     "standard deviation of the noise on the count", Setting::kAdaptive},
    {Defect::kCountNotCentred, "CountNotCentred", true, "a gradient moves the count by half",
     Setting::kAdaptive},
    {Defect::kCountOverTheActualSize, "CountOverTheActualSize", true,
     "a gradient moves the count by half", Setting::kAdaptive},
    {Defect::kCountByAStep, "CountByAStep", false,
     "the rounding of a norm does not move the count by a gradient", Setting::kAdaptive},
    {Defect::kCountOfARefusedStepKept, "CountOfARefusedStepKept", false,
     "a refused step leaves no trace in the next", Setting::kAdaptive},
    {Defect::kFirstNormAfterResuming, "FirstNormAfterResuming", true,
     "a resumed engine goes on with the same sensitivity", Setting::kAdaptive},
    {Defect::kExamplesOfAUserClippedOneByOne, "ExamplesOfAUserClippedOneByOne", true,
     "the gradient of a user, of all examples together, is scaled as one", Setting::kUserSum},
    {Defect::kNormOfAUserFromSquares, "NormOfAUserFromSquares", true,
     "the gradient of a user, of all examples together, is scaled as one", Setting::kUserSum},
    {Defect::kUserWithoutWhatIsNotFinite, "UserWithoutWhatIsNotFinite", true,
     "a user with a gradient that is not finite adds nothing", Setting::kUserMean},
    {Defect::kUserInTwoPhysicalBatches, "UserInTwoPhysicalBatches", false,
     "a user in two physical batches of a step is refused", Setting::kUserMean},
    {Defect::kMeanOfAUserNotDivided, "MeanOfAUserNotDivided", false,
     "the gradient of a user, of all examples together, is scaled as one", Setting::kUserMean},
    {Defect::kExamplesOfAUserDrawnApart, "ExamplesOfAUserDrawnApart", false,
     "a user is drawn with all examples", Setting::kUserMean},
    {Defect::kStatementAboutExamples, "StatementAboutExamples", false,
     "the statement is about what is drawn", Setting::kUserMean},
};

class DefectiveEngine : public ::testing::TestWithParam<Finding> {};

TEST_P(DefectiveEngine, IsFound) {
  const SmallClassifier small;
  const Setting setting = GetParam().setting;
  const AuditedModel model = small.audited(by_user(setting));
  const EngineFactory factory = small_dp_sgd(GetParam().defect);
  const ReplayResult replay = neighbour_replay(model, factory, replay_options(setting));
  EXPECT_EQ(replay.holds(), !GetParam().by_replay);
  const ConformanceResult conformance =
      engine_conformance(model, factory, conformance_options(setting));
  EXPECT_THAT(conformance.violations(), ::testing::Contains(GetParam().check))
      << table(conformance);
}

INSTANTIATE_TEST_SUITE_P(Defects, DefectiveEngine, ::testing::ValuesIn(kFindings),
                         [](const auto& finding) { return std::string(finding.param.name); });

TEST(DefectiveEngines, AreAllInTheTable) {
  std::vector<int> defects;
  for (const Finding& finding : kFindings) defects.push_back(static_cast<int>(finding.defect));
  std::vector<int> all(static_cast<std::size_t>(Defect::kLast));
  std::iota(all.begin(), all.end(), 1);
  EXPECT_EQ(defects, all);
}

TEST(DefectiveEngines, AreNotFoundWhereThereIsNoDefect) {
  // Not by chance either: the small engine is another implementation than velum's.
  const SmallClassifier small;
  const EngineFactory factory = small_dp_sgd(Defect::kNone);
  for (const Setting setting : kSettings) {
    const AuditedModel model = small.audited(by_user(setting));
    EXPECT_TRUE(neighbour_replay(model, factory, replay_options(setting)).holds())
        << name_of(setting);
    const ConformanceResult conformance =
        engine_conformance(model, factory, conformance_options(setting));
    EXPECT_TRUE(conformance.holds()) << name_of(setting) << '\n' << table(conformance);
  }
}

}  // namespace
}  // namespace velum::testing
