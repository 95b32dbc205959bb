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

ReplayOptions replay_options() {
  return {.steps = 3,
          .sampling_rate = 0.2,
          .clipping_norm = 0.25,
          .noise_multiplier = 1.5,
          .learning_rate = 0.2,
          .physical_batch_size = 5,
          .examples_per_step = 2};
}

ConformanceOptions conformance_options() {
  return {.sampling_rate = 0.2,
          .clipping_norm = 0.25,
          .noise_multiplier = 1.5,
          .physical_batch_size = 5};
}

std::string table(const ConformanceResult& result) {
  std::string text;
  for (const auto& check : result.checks) {
    text += (result.holds(check) ? "  " : "! ") + check.name + ": " + check.found +
            ", p = " + std::to_string(check.p_value) + "\n";
  }
  return text;
}

TEST(NeighbourReplay, FindsNothingWrongWithVelum) {
  for (const auto type : {torch::kFloat32, torch::kFloat64}) {
    const SmallClassifier small(false, type);
    const ReplayResult result =
        neighbour_replay(small.audited(), privacy_engine_factory(), replay_options());
    EXPECT_TRUE(result.holds()) << result.worst()->distance << ' ' << result.worst()->bound << ' '
                                << to_string(result.worst()->change);
    // The bound is used up: an example with a large gradient moves the sum by C.
    double farthest = 0.0;
    for (const ReplayComparison& row : result.comparisons) {
      if (row.change == ReplayChange::kScaledUp) farthest = std::max(farthest, row.distance);
    }
    EXPECT_GT(farthest, 0.25 * (1 - 1e-5));
  }
}

TEST(NeighbourReplay, ComparesEveryChangeAtEveryStep) {
  const SmallClassifier small;
  const ReplayResult result =
      neighbour_replay(small.audited(), privacy_engine_factory(), replay_options());
  for (std::int64_t step = 0; step < 3; ++step) {
    std::vector<int> rows(7, 0);
    for (const ReplayComparison& row : result.comparisons) {
      if (row.step != step) continue;
      ++rows[static_cast<std::size_t>(row.change)];
      EXPECT_GT(row.batch_size, 0);
    }
    EXPECT_THAT(rows, ::testing::ElementsAre(2, 2, 2, 2, 2, 1, 1));
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
  for (const auto type : {torch::kFloat32, torch::kFloat64}) {
    const SmallClassifier small(false, type);
    const ConformanceResult result =
        engine_conformance(small.audited(), privacy_engine_factory(), conformance_options());
    EXPECT_TRUE(result.holds()) << table(result);
    EXPECT_GE(result.checks.size(), 20u);
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
  EXPECT_EQ(error_of([](ReplayOptions& o) { o.clipping_norm = -1; }),
            "neighbour_replay: clipping_norm = -1, expected finite and > 0");
  EXPECT_EQ(error_of([](ReplayOptions& o) { o.noise_multiplier = 0; }),
            "neighbour_replay: noise_multiplier = 0, expected finite and > 0");
  EXPECT_EQ(error_of([](ReplayOptions& o) { o.learning_rate = -1; }),
            "neighbour_replay: learning_rate = -1, expected finite and >= 0");
  ConformanceOptions options = conformance_options();
  options.false_alarm_probability = 1;
  EXPECT_THROW(engine_conformance(small.audited(), privacy_engine_factory(), options),
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
};

class DefectiveEngine : public ::testing::TestWithParam<Finding> {};

TEST_P(DefectiveEngine, IsFound) {
  const SmallClassifier small;
  const EngineFactory factory = small_dp_sgd(GetParam().defect);
  const ReplayResult replay = neighbour_replay(small.audited(), factory, replay_options());
  EXPECT_EQ(replay.holds(), !GetParam().by_replay);
  const ConformanceResult conformance =
      engine_conformance(small.audited(), factory, conformance_options());
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
  EXPECT_TRUE(neighbour_replay(small.audited(), factory, replay_options()).holds());
  const ConformanceResult conformance =
      engine_conformance(small.audited(), factory, conformance_options());
  EXPECT_TRUE(conformance.holds()) << table(conformance);
}

}  // namespace
}  // namespace velum::testing
