// What a step takes of memory, counted to the byte, beside a plain step of the same model.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "support/allocation_counter.h"
#include "velum/dpsgd/cost_model.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"

namespace velum::dpsgd {
namespace {

namespace nn = torch::nn;
namespace F = torch::nn::functional;
using torch::Tensor;

constexpr std::int64_t kBatch = 64;
constexpr std::int64_t kFloat = sizeof(float);

class StepMemory : public ::testing::Test {
 protected:
  void SetUp() override {
    if (benchmarks::allocated_bytes() == 0) GTEST_SKIP() << "allocations are not counted here";
    torch::manual_seed(3);
    at::set_num_threads(2);
    cost_model();  // the first use measures the machine: no part of a step
  }

  /// The most that is allocated at any time of a step, less what was allocated before it.
  static std::int64_t peak_of(const std::function<void()>& step) {
    const std::int64_t before = benchmarks::allocated_bytes();
    benchmarks::reset_peak_allocated_bytes();
    step();
    return benchmarks::peak_allocated_bytes() - before;
  }
};

struct Model {
  std::vector<Tensor> parameters;
  std::function<Tensor()> losses;
};

Tensor cross_entropies(const Tensor& scores, const Tensor& labels) {
  return F::cross_entropy(scores, labels, F::CrossEntropyFuncOptions().reduction(torch::kNone));
}

/// Convolutions with group normalisation, of images 16 x 16.
Model convolutions() {
  const auto conv = [](std::int64_t in, std::int64_t out) {
    return nn::Conv2d(nn::Conv2dOptions(in, out, 3).padding(1));
  };
  nn::Sequential model(conv(3, 32), nn::GroupNorm(8, 32), nn::ReLU(), conv(32, 32),
                       nn::GroupNorm(8, 32), nn::ReLU(), nn::AdaptiveAvgPool2d(1), nn::Flatten(),
                       nn::Linear(32, 10));
  const Tensor images = torch::randn({kBatch, 3, 16, 16});
  const Tensor labels = torch::randint(10, {kBatch});
  return {model->parameters(),
          [=]() mutable { return cross_entropies(model->forward(images), labels); }};
}

/// The last state of 28 steps.
Model lstm() {
  nn::LSTM layer(nn::LSTMOptions(28, 128).batch_first(true));
  const Tensor sequences = torch::randn({kBatch, 28, 28});
  const Tensor labels = torch::randint(128, {kBatch});
  return {layer->parameters(), [=]() mutable {
            return cross_entropies(std::get<0>(layer(sequences)).select(1, 27), labels);
          }};
}

/// Wide maps, of rows that are small beside their weights.
Model mlp() {
  nn::Sequential model(nn::Linear(784, 1024), nn::ReLU(), nn::Linear(1024, 1024), nn::ReLU(),
                       nn::Linear(1024, 10));
  const Tensor inputs = torch::randn({256, 784}), labels = torch::randint(10, {256});
  return {model->parameters(),
          [=]() mutable { return cross_entropies(model->forward(inputs), labels); }};
}

/// Encoder layers of attention over 64 tokens of width 128: the gradients of the maps behind the
/// attention are as large as the rows that they come from.
Model transformer() {
  nn::Embedding embedding(100, 128);
  nn::TransformerEncoder encoder(
      nn::TransformerEncoderLayer(
          nn::TransformerEncoderLayerOptions(128, 4).dim_feedforward(512).dropout(0)),
      4);
  nn::Linear head(128, 10);
  const Tensor tokens = torch::randint(100, {8, 64}), labels = torch::randint(10, {8});
  std::vector<Tensor> parameters = encoder->parameters();
  for (const Tensor& more : {embedding->weight, head->weight, head->bias}) {
    parameters.push_back(more);
  }
  return {parameters, [=]() mutable {
            const Tensor hidden = encoder(embedding(tokens).transpose(0, 1));
            return cross_entropies(head(hidden.mean(0)), labels);
          }};
}

/// A model with everything that its steps need.
struct Training {
  explicit Training(Model trained, PrivacyOptions options = {.clipping = Clipping::flat(1.0),
                                                             .noise_multiplier = 1.0})
      : model(std::move(trained)),
        optimizer(model.parameters, 0.01),
        engine(model.parameters, PoissonSampler(6400, 0.01), std::move(options)) {}

  void plain_step() {
    optimizer.zero_grad();
    model.losses().mean().backward();
    optimizer.step();
  }
  void step() {
    optimizer.zero_grad();
    engine.backward(model.losses());
    optimizer.step();
  }

  Model model;
  torch::optim::SGD optimizer;
  PrivacyEngine engine;
};

TEST_F(StepMemory, NothingOfTheSizeOfPerSampleGradientsStaysBetweenSteps) {
  // Of the second convolution: 32 x 32 x 3 x 3 a sample.
  Training training(convolutions(), {.clipping = Clipping::flat(1.0),
                                     .noise_multiplier = 1.0,
                                     .method_overrides = {{4, GradientMethod::kKept}}});
  const std::int64_t per_sample_bytes = kBatch * training.model.parameters[4].numel() * kFloat;
  training.plain_step();  // torch's own caches
  training.optimizer.zero_grad();
  const std::int64_t before = benchmarks::allocated_bytes();
  std::int64_t peak = 0;
  for (int step = 0; step < 10; ++step) {
    peak = std::max(peak, peak_of([&] { training.step(); }));
    training.optimizer.zero_grad();
    EXPECT_LT(benchmarks::allocated_bytes() - before, per_sample_bytes / 4) << "step " << step;
  }
  EXPECT_GT(peak, per_sample_bytes);  // they were there
}

TEST_F(StepMemory, AStepTakesLittleMoreThanAPlainOneAndItsProofLessThanThreeTimesAsMuch) {
  for (Model (*const make)() : {convolutions, lstm, mlp, transformer}) {
    Training plain(make()), training(make());
    plain.plain_step();
    std::int64_t of_weights = 0;
    for (const Tensor& weight : plain.model.parameters) of_weights += weight.numel() * kFloat;
    plain.optimizer.zero_grad();
    const std::int64_t of_plain = of_weights + peak_of([&] { plain.plain_step(); });
    const std::int64_t of_proof = of_weights + peak_of([&] { training.step(); });
    EXPECT_LT(static_cast<double>(of_proof), 2.5 * static_cast<double>(of_plain));
    for (int step = 0; step < 4; ++step) training.step();
    // The least of some: any may have its rows looked at again.
    std::int64_t of_step = std::numeric_limits<std::int64_t>::max();
    for (int step = 0; step < 6; ++step) {
      training.optimizer.zero_grad();
      of_step = std::min(of_step, of_weights + peak_of([&] { training.step(); }));
    }
    EXPECT_LT(static_cast<double>(of_step), 1.1 * static_cast<double>(of_plain));
  }
}

TEST_F(StepMemory, GroupsAreSummedAndFreedWhileThePassGoesOn) {
  // Twelve equal layers, of rows that are larger than their weights: with one norm over all of
  // them what flows into each is kept until the last one is measured.
  const auto deep = [] {
    nn::Sequential model;
    for (int layer = 0; layer < 12; ++layer) {
      model->push_back(nn::Linear(128, 128));
      model->push_back(nn::ReLU());
    }
    model->push_back(nn::Linear(128, 10));
    const Tensor inputs = torch::randn({512, 128}), labels = torch::randint(10, {512});
    return Model{model->parameters(),
                 [=]() mutable { return cross_entropies(model->forward(inputs), labels); }};
  };
  const auto peak_of_step = [](Training& training) {
    for (int step = 0; step < 5; ++step) training.step();
    std::int64_t peak = std::numeric_limits<std::int64_t>::max();
    for (int step = 0; step < 6; ++step) {  // the least of some, as above
      training.optimizer.zero_grad();
      peak = std::min(peak, peak_of([&] { training.step(); }));
    }
    return static_cast<double>(peak);
  };
  Training plain(deep()), flat(deep());
  Training per_layer(deep(), {.clipping = Clipping::per_layer(std::vector<double>(26, 0.2)),
                              .noise_multiplier = 1.0});
  plain.plain_step();
  plain.optimizer.zero_grad();
  const auto of_plain = static_cast<double>(peak_of([&] { plain.plain_step(); }));
  const double of_flat = peak_of_step(flat), of_per_layer = peak_of_step(per_layer);
  EXPECT_LT(of_per_layer, 1.1 * of_plain) << of_flat;
  EXPECT_LT(of_per_layer, 0.7 * of_flat) << of_plain;
}

}  // namespace
}  // namespace velum::dpsgd
