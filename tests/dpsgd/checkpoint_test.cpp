#include "velum/dpsgd/training/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <fstream>
#include <stdexcept>
#include <string>

#include "support/temporary_directory.h"
#include "velum/dpsgd/training/durable_file.h"
#include "velum/dpsgd/training/models.h"

namespace velum::dpsgd {
namespace {

using ::testing::HasSubstr;
using ::velum::testing::TemporaryDirectory;

/// A model and an optimiser with momentum, after one step.
struct Trained {
  explicit Trained(ModelKind kind, std::uint64_t seed)
      : model(make_model(kind, kInputs, seed)),
        optimizer(model->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9)) {
    step();
  }
  void step() {
    torch::manual_seed(99);
    for (torch::Tensor& parameter : model->parameters()) {
      parameter.mutable_grad() = torch::randn_like(parameter);
    }
    optimizer.step();
  }
  static constexpr std::int64_t kInputs = 21;
  torch::nn::Sequential model;
  torch::optim::SGD optimizer;
};

class CheckpointOverModels : public ::testing::TestWithParam<ModelKind> {
 protected:
  TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_ / "checkpoint.pt";
};

void expect_equal_parameters(const torch::nn::Sequential& a, const torch::nn::Sequential& b) {
  const auto left = a->parameters(), right = b->parameters();
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t i = 0; i < left.size(); ++i) EXPECT_TRUE(torch::equal(left[i], right[i]));
}

// Weights and momentum come back bit for bit: the next steps are the same, too.
TEST_P(CheckpointOverModels, ARunGoesOnAsIfItHadNotStopped) {
  Trained run(GetParam(), 1);
  const Checkpoint written{
      .step = 17,
      .releases = 23,
      .seconds = 0.1,
      .released = {{"mean", torch::randn({5})}, {"moment", torch::randn({2, 2}, torch::kDouble)}}};
  save_checkpoint(path_, written, run.model, run.optimizer);
  const Checkpoint read = load_checkpoint(path_);
  EXPECT_EQ(read.step, 17);
  EXPECT_EQ(read.releases, 23);
  EXPECT_EQ(read.seconds, 0.1);
  ASSERT_EQ(read.released.size(), 2u);
  for (const auto& [label, value] : written.released) {
    EXPECT_TRUE(torch::equal(read.released.at(label), value)) << label;
    EXPECT_EQ(read.released.at(label).dtype(), value.dtype());
  }
  Trained resumed(GetParam(), 2);
  load_checkpoint(path_, resumed.model, resumed.optimizer);
  expect_equal_parameters(run.model, resumed.model);
  for (int i = 0; i < 2; ++i) {
    run.step();
    resumed.step();
  }
  expect_equal_parameters(run.model, resumed.model);
}

TEST_P(CheckpointOverModels, SavedModelsAreLoadedByTorch) {
  Trained run(GetParam(), 1);
  save_model(path_, run.model, {{"feature_mean", torch::ones({3})}});
  torch::nn::Sequential loaded = make_model(GetParam(), Trained::kInputs, 2);
  torch::load(loaded, path_.string());
  expect_equal_parameters(run.model, loaded);
  torch::serialize::InputArchive archive;
  archive.load_from(path_.string());
  torch::Tensor mean;
  archive.read("feature_mean", mean, /*is_buffer=*/true);
  EXPECT_TRUE(torch::equal(mean, torch::ones({3})));
}

// A file that was cut short at any of 40 places, or has a flipped byte in its directory, is named.
TEST_P(CheckpointOverModels, DamageIsAnErrorThatNamesTheFile) {
  Trained run(GetParam(), 1);
  save_checkpoint(path_, {.step = 1, .releases = 1}, run.model, run.optimizer);
  const std::string whole = read_file(path_);
  for (std::size_t part = 0; part < 40; ++part) {
    std::ofstream(path_, std::ios::binary) << whole.substr(0, whole.size() * part / 40);
    try {
      load_checkpoint(path_);
      ADD_FAILURE() << part;
    } catch (const std::runtime_error& error) {
      EXPECT_THAT(error.what(), HasSubstr("the checkpoint is damaged: " + path_.string()));
    }
  }
}

TEST_P(CheckpointOverModels, AnotherModelsCheckpointIsRefused) {
  Trained run(GetParam(), 1);
  save_checkpoint(path_, {.step = 1, .releases = 1}, run.model, run.optimizer);
  const ModelKind other = GetParam() == ModelKind::kMlp ? ModelKind::kCnn : ModelKind::kMlp;
  Trained wrong(other, 1);
  EXPECT_THROW(load_checkpoint(path_, wrong.model, wrong.optimizer), std::runtime_error);
}

TEST_P(CheckpointOverModels, MoreStepsThanReleasesIsRefused) {
  Trained run(GetParam(), 1);
  save_checkpoint(path_, {.step = 2, .releases = 1}, run.model, run.optimizer);
  EXPECT_THROW(load_checkpoint(path_), std::runtime_error);
}

INSTANTIATE_TEST_SUITE_P(All, CheckpointOverModels,
                         ::testing::Values(ModelKind::kScatterLinear, ModelKind::kCnn,
                                           ModelKind::kMlp));

TEST(Models, TakeTheirInputsToTenScores) {
  EXPECT_EQ(make_model(ModelKind::kScatterLinear, 21, 0)->forward(torch::zeros({3, 21})).sizes(),
            (std::vector<std::int64_t>{3, 10}));
  for (const ModelKind kind : {ModelKind::kCnn, ModelKind::kMlp}) {
    EXPECT_EQ(make_model(kind, 0, 0)->forward(torch::zeros({3, 1, 28, 28})).sizes(),
              (std::vector<std::int64_t>{3, 10}));
  }
}

TEST(Models, AccuracyIsThePercentageOfRightAnswers) {
  torch::nn::Sequential model = make_model(ModelKind::kScatterLinear, 10, 0);
  {
    torch::NoGradGuard no_grad;
    model->parameters()[0].copy_(torch::eye(10));
  }
  // 2500 rows, more than are evaluated at once; the class is the place of the one, and the targets
  // of every fourth row are wrong.
  const torch::Tensor place = torch::arange(2500) % 10;
  const torch::Tensor inputs = torch::nn::functional::one_hot(place, 10).to(torch::kFloat);
  const torch::Tensor targets = torch::where(torch::arange(2500) % 4 == 0, (place + 1) % 10, place);
  EXPECT_DOUBLE_EQ(accuracy_percent(model, inputs, targets), 75.0);
}

}  // namespace
}  // namespace velum::dpsgd
