#include "velum/dpsgd/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace velum::dpsgd {
namespace {

using ::testing::HasSubstr;

const kernels::RandomKey kKey = kernels::insecure_key_from_seed(7);

/// Row i is filled with i, its target is 10 i.
struct Rows {
  explicit Rows(std::int64_t count)
      : inputs(torch::arange(count, torch::kFloat).view({count, 1, 1}).expand({count, 2, 3})),
        targets(torch::arange(count) * 10) {}
  torch::Tensor inputs, targets;
};

struct Examples : torch::data::datasets::Dataset<Examples> {
  explicit Examples(std::int64_t size) : rows(size) {}
  torch::data::Example<> get(std::size_t index) override {
    const auto row = static_cast<std::int64_t>(index);
    return {rows.inputs[row], rows.targets[row]};
  }
  torch::optional<std::size_t> size() const override {
    return static_cast<std::size_t>(rows.targets.size(0));
  }
  Rows rows;
};

struct SizelessExamples : Examples {
  using Examples::Examples;
  torch::optional<std::size_t> size() const override { return {}; }
};

/// Whether the physical batches of the next step are `expected`, cut at `physical_batch_size`.
void expect_step(PoissonLoader& loader, const std::vector<std::int64_t>& expected,
                 std::size_t physical_batch_size) {
  std::size_t position = 0;
  while (true) {
    const PhysicalBatch batch = loader.next();
    const std::size_t count = std::min(physical_batch_size, expected.size() - position);
    const auto rows = static_cast<std::int64_t>(count);
    ASSERT_EQ(batch.inputs.sizes(), (std::vector<std::int64_t>{rows, 2, 3}));
    ASSERT_EQ(batch.targets.sizes(), (std::vector<std::int64_t>{rows}));
    for (std::int64_t i = 0; i < rows; ++i) {
      const std::int64_t index = expected[position + static_cast<std::size_t>(i)];
      EXPECT_EQ(batch.inputs[i].min().item<float>(), static_cast<float>(index));
      EXPECT_EQ(batch.inputs[i].max().item<float>(), static_cast<float>(index));
      EXPECT_EQ(batch.targets[i].item<std::int64_t>(), 10 * index);
      EXPECT_EQ(batch.indices[static_cast<std::size_t>(i)], index);
    }
    position += count;
    ASSERT_EQ(batch.last_of_step, position == expected.size());
    if (batch.last_of_step) return;
  }
}

struct LoaderCase {
  std::int64_t dataset_size;
  double sampling_rate;
  std::int64_t physical_batch_size;
};

class PoissonLoaderOverSizes : public ::testing::TestWithParam<LoaderCase> {
 protected:
  /// Compares 20 steps with those of a sampler with the same key.
  void expect_the_sampled_rows(PoissonLoader& loader) {
    const auto& [size, rate, physical] = GetParam();
    PoissonSampler same(size, rate, kKey);
    for (int step = 0; step < 20; ++step) {
      expect_step(loader, same.next(), static_cast<std::size_t>(physical));
    }
  }
  PoissonSampler sampler_{GetParam().dataset_size, GetParam().sampling_rate, kKey};
};

TEST_P(PoissonLoaderOverSizes, TensorsGiveTheSampledRows) {
  const Rows rows(GetParam().dataset_size);
  PoissonLoader loader(sampler_, rows.inputs, rows.targets, GetParam().physical_batch_size);
  expect_the_sampled_rows(loader);
}

TEST_P(PoissonLoaderOverSizes, DatasetsOfExamplesGiveTheSampledRows) {
  PoissonLoader loader(sampler_, Examples(GetParam().dataset_size), GetParam().physical_batch_size);
  expect_the_sampled_rows(loader);
}

TEST_P(PoissonLoaderOverSizes, StackedDatasetsGiveTheSampledRows) {
  PoissonLoader loader(sampler_,
                       Examples(GetParam().dataset_size).map(torch::data::transforms::Stack<>()),
                       GetParam().physical_batch_size);
  expect_the_sampled_rows(loader);
}

INSTANTIATE_TEST_SUITE_P(All, PoissonLoaderOverSizes,
                         ::testing::Values(LoaderCase{1, 1.0, 1}, LoaderCase{7, 1.0, 3},
                                           LoaderCase{6, 1.0, 3}, LoaderCase{10, 0.05, 4},
                                           LoaderCase{100, 0.3, 1}, LoaderCase{100, 0.3, 7},
                                           LoaderCase{100, 0.3, 1000}));

TEST(PoissonLoader, EmptyLogicalBatchIsOneEmptyPhysicalBatch) {
  PoissonSampler sampler(5, 1e-300, kKey);
  const Rows rows(5);
  PoissonLoader from_tensors(sampler, rows.inputs, rows.targets, 2);
  PoissonLoader from_dataset(sampler, Examples(5), 2);
  for (PoissonLoader* loader : {&from_tensors, &from_dataset}) {
    for (int step = 0; step < 3; ++step) {
      const PhysicalBatch batch = loader->next();
      EXPECT_EQ(batch.inputs.sizes(), (std::vector<std::int64_t>{0, 2, 3}));
      EXPECT_EQ(batch.targets.sizes(), (std::vector<std::int64_t>{0}));
      EXPECT_TRUE(batch.last_of_step);
    }
  }
  EXPECT_EQ(sampler.next_step(), 6);
}

TEST(PoissonLoader, StepsRunsOverSoManyLogicalBatches) {
  PoissonSampler sampler(100, 0.1, kKey);
  const Rows rows(100);
  PoissonLoader loader(sampler, rows.inputs, rows.targets, 3);
  int ends = 0;
  for (const PhysicalBatch& batch : loader.steps(7)) ends += batch.last_of_step ? 1 : 0;
  EXPECT_EQ(ends, 7);
  EXPECT_EQ(sampler.next_step(), 7);
  for (const PhysicalBatch& batch : loader.steps(0)) FAIL() << batch.inputs;
  EXPECT_EQ(sampler.next_step(), 7);
}

TEST(PoissonLoader, FullBatchesAreViewsOfTheData) {
  PoissonSampler sampler(6, 1.0);
  const torch::Tensor inputs = torch::rand({6, 2});
  PoissonLoader loader(sampler, inputs, torch::zeros({6}), 4);
  EXPECT_EQ(loader.next().inputs.data_ptr(), inputs.data_ptr());
  EXPECT_EQ(loader.next().inputs.data_ptr(), inputs[4].data_ptr());
}

template <typename Make>
void expect_refused(const Make& make, const char* message) {
  try {
    make();
    ADD_FAILURE() << "expected: " << message;
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), HasSubstr(message));
  }
}

TEST(PoissonLoader, DataThatDoNotFitAreRefused) {
  PoissonSampler sampler(5, 0.5, kKey);
  const torch::Tensor five = torch::zeros({5}), four = torch::zeros({4});
  expect_refused([&] { PoissonLoader(sampler, four, five, 1); },
                 "PoissonLoader: inputs.size(0) = 4, expected sampler.dataset_size() = 5");
  expect_refused([&] { PoissonLoader(sampler, five, four, 1); },
                 "PoissonLoader: targets.size(0) = 4, expected sampler.dataset_size() = 5");
  expect_refused([&] { PoissonLoader(sampler, torch::tensor(1.0), five, 1); },
                 "PoissonLoader: inputs has no dimension");
  expect_refused([&] { PoissonLoader(sampler, five, five, 0); },
                 "PoissonLoader: physical_batch_size = 0, expected at least 1");
  expect_refused([&] { PoissonLoader(sampler, Examples(4), 1); },
                 "the size of the data set = 4, expected sampler.dataset_size() = 5");
  expect_refused([&] { PoissonLoader(sampler, SizelessExamples(5), 1); },
                 "dataset.size() is unknown");
  expect_refused([&] { PoissonLoader(sampler, std::unique_ptr<RowSource>(), 1); },
                 "source is null");
  PoissonLoader loader(sampler, five, five, 1);
  expect_refused([&] { loader.steps(-1); }, "PoissonLoader::steps: count = -1");
}

}  // namespace
}  // namespace velum::dpsgd
