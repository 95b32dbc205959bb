// One step of DP-SGD beside one plain step of the same model: forward, backward, noise, optimiser.
//
// BM_DpSgdStep: both run in turn in each iteration, so that whatever else the machine does meets
// both alike, after the first five steps of each. The counters are minima over the iterations,
// plain_ms, velum_ms and their ratio, and the median over the iterations of the ratio of the two
// steps in each; `Time` is the mean of velum's step.
//
// BM_PeakMemory: one kind of step alone. The counters are the most bytes that were allocated at any
// time, less those before the model was made, in MB (10^6): first_peak_mb in the first five steps,
// in which velum proves the graph and checks it again, peak_mb in one step after these (the median
// of three: any may be checked by chance). All of malloc's family is counted
// (support/allocation_counter.h), exactly. Give one model and kind at a time (--benchmark_filter):
// memory that an earlier one left in a cache is not counted in the next.
//
// threads:0 is CUDA's first device: times with the device synchronised before and after a step,
// memory by torch's allocator of the device.
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/cuda.h>
#include <torch/nn.h>
#include <torch/optim.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "support/allocation_counter.h"
#include "velum/dpsgd/cost_model.h"
#include "velum/dpsgd/keep_freed_memory.h"
#include "velum/dpsgd/lazy_table.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"

namespace velum::dpsgd {
namespace {

using torch::nn::Sequential;

constexpr std::int64_t kDatasetSize = 60'000;
constexpr double kLearningRate = 0.01;

/// Convolutions of 16 and 32 channels with tanh (dp-sgd on small grey images), 26 thousand weights.
Sequential tanh_cnn() {
  using namespace torch::nn;  // NOLINT: a list of layers
  return Sequential(
      Conv2d(Conv2dOptions(1, 16, 8).stride(2).padding(3)), Tanh(),
      MaxPool2d(MaxPool2dOptions(2).stride(1)), Conv2d(Conv2dOptions(16, 32, 4).stride(2)), Tanh(),
      MaxPool2d(MaxPool2dOptions(2).stride(1)), Flatten(), Linear(512, 32), Tanh(), Linear(32, 10));
}

/// 1.9 million weights.
Sequential mlp() {
  using namespace torch::nn;  // NOLINT: a list of layers
  return Sequential(Flatten(), Linear(784, 1024), ReLU(), Linear(1024, 1024), ReLU(),
                    Linear(1024, 10));
}

/// Four 3x3 convolutions, each with group normalisation; 65 thousand weights.
Sequential groupnorm_cnn() {
  using namespace torch::nn;  // NOLINT: a list of layers
  const auto conv = [](std::int64_t in, std::int64_t out) {
    return Conv2d(Conv2dOptions(in, out, 3).padding(1));
  };
  return Sequential(conv(1, 32), GroupNorm(8, 32), ReLU(), conv(32, 32), GroupNorm(8, 32), ReLU(),
                    MaxPool2d(2), conv(32, 64), GroupNorm(8, 64), ReLU(), MaxPool2d(2),
                    conv(64, 64), GroupNorm(8, 64), ReLU(), AdaptiveAvgPool2d(1), Flatten(),
                    Linear(64, 10));
}

/// Four encoder layers of width 128 over 64 tokens of a vocabulary of 1000, with dropout 0; the
/// mean over time is classified; 0.92 million weights.
struct TransformerImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& tokens) {
    return head(encoder(embedding(tokens).transpose(0, 1)).mean(0));
  }
  torch::nn::Embedding embedding = register_module("embedding", torch::nn::Embedding(1000, 128));
  torch::nn::TransformerEncoder encoder = register_module(
      "encoder",
      torch::nn::TransformerEncoder(
          torch::nn::TransformerEncoderLayer(
              torch::nn::TransformerEncoderLayerOptions(128, 4).dim_feedforward(512).dropout(0)),
          4));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(128, 10));
};
TORCH_MODULE(Transformer);

/// The 28 rows of an image, one after the other; 62 thousand weights.
struct GruImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& images) {
    return head(std::get<0>(gru(images.squeeze(1))).select(1, 27));
  }
  torch::nn::GRU gru =
      register_module("gru", torch::nn::GRU(torch::nn::GRUOptions(28, 128).batch_first(true)));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(128, 10));
};
TORCH_MODULE(Gru);

/// The same by an LSTM; 81 thousand weights.
struct LstmImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& images) {
    return head(std::get<0>(lstm(images.squeeze(1))).select(1, 27));
  }
  torch::nn::LSTM lstm =
      register_module("lstm", torch::nn::LSTM(torch::nn::LSTMOptions(28, 128).batch_first(true)));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(128, 10));
};
TORCH_MODULE(Lstm);

/// Two layers of LSTM over 64 tokens of a vocabulary of 1000; 0.39 million weights.
struct TextLstmImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& tokens) {
    return head(std::get<0>(lstm(embedding(tokens))).mean(1));
  }
  torch::nn::Embedding embedding = register_module("embedding", torch::nn::Embedding(1000, 128));
  torch::nn::LSTM lstm = register_module(
      "lstm", torch::nn::LSTM(torch::nn::LSTMOptions(128, 128).num_layers(2).batch_first(true)));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(128, 10));
};
TORCH_MODULE(TextLstm);

/// The mean of 64 rows of a table of 100 thousand; 6.4 million weights.
struct EmbeddingClassifierImpl : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& tokens) { return head(embedding(tokens).mean(1)); }
  torch::nn::Embedding embedding = register_module("embedding", torch::nn::Embedding(100'000, 64));
  torch::nn::Linear head = register_module("head", torch::nn::Linear(64, 10));
};
TORCH_MODULE(EmbeddingClassifier);

/// Two causal encoder layers of width 128 over 63 tokens of a vocabulary of 1000, whose table is
/// the output layer too; predicts every next token; 0.52 million weights.
struct LanguageModelImpl : torch::nn::Module {
  LanguageModelImpl() { torch::nn::init::normal_(embedding->weight, 0, 0.05); }
  /// [batch, 64] -> [batch, 1000, 63].
  torch::Tensor forward(const torch::Tensor& tokens) {
    const torch::Tensor inputs = embedding(tokens.slice(1, 0, -1)).transpose(0, 1);
    const torch::Tensor ahead =
        torch::full({inputs.size(0), inputs.size(0)}, -std::numeric_limits<float>::infinity(),
                    inputs.options())
            .triu(1);
    const torch::Tensor hidden = encoder(inputs, ahead);
    return torch::nn::functional::linear(hidden, embedding->weight).permute({1, 2, 0});
  }
  torch::nn::Embedding embedding = register_module("embedding", torch::nn::Embedding(1000, 128));
  torch::nn::TransformerEncoder encoder = register_module(
      "encoder",
      torch::nn::TransformerEncoder(
          torch::nn::TransformerEncoderLayer(
              torch::nn::TransformerEncoderLayerOptions(128, 4).dim_feedforward(512).dropout(0)),
          2));
};
TORCH_MODULE(LanguageModel);

struct Model {
  /// [batch]: of one sample each.
  torch::Tensor losses(const torch::Tensor& inputs, const torch::Tensor& labels) const {
    namespace F = torch::nn::functional;
    const auto each = F::CrossEntropyFuncOptions().reduction(torch::kNone);
    if (!next_tokens) return F::cross_entropy(forward(inputs), labels, each);
    return F::cross_entropy(forward(inputs), inputs.slice(1, 1), each).mean(1);
  }

  std::vector<torch::Tensor> parameters;
  std::function<torch::Tensor(const torch::Tensor&)> forward;
  bool next_tokens = false;  // of the inputs, in place of the labels
  torch::Tensor lazy_table;  // whose rows the inputs name, and which velum noises lazily; or none
};

template <typename Module>
Model model_of(Module module, torch::Device device) {
  module->to(device);
  Model model;
  model.parameters = module->parameters();
  model.forward = [module](const torch::Tensor& x) mutable { return module->forward(x); };
  return model;
}

Model language_model(torch::Device device) {
  Model model = model_of(LanguageModel(), device);
  model.next_tokens = true;
  return model;
}

Model lazy_embedding_classifier(torch::Device device) {
  const EmbeddingClassifier module;
  Model model = model_of(module, device);
  model.lazy_table = module->embedding->weight;
  return model;
}

/// A kind of model and of its inputs.
struct Workload {
  Model (*make)(torch::Device device);
  torch::Tensor (*inputs)(std::int64_t batch);
  /// Batches that steps take in turn: what a lazy table costs is what it has not read lately.
  int batches = 1;
};

/// What steps are made on, one after the other.
class Batches {
 public:
  Batches(const Workload& workload, std::int64_t batch, torch::Device device)
      : labels_(torch::randint(10, {batch}).to(device)) {
    for (int i = 0; i < workload.batches; ++i) {
      inputs_.push_back(workload.inputs(batch).to(device));
    }
  }
  const torch::Tensor& next_inputs() { return inputs_[next_++ % inputs_.size()]; }
  const torch::Tensor& labels() const { return labels_; }
  torch::Device device() const { return labels_.device(); }
  std::int64_t batch_size() const { return labels_.size(0); }

 private:
  std::vector<torch::Tensor> inputs_;
  torch::Tensor labels_;
  std::size_t next_ = 0;
};

torch::Tensor images(std::int64_t batch) { return torch::randn({batch, 1, 28, 28}); }

template <std::int64_t vocabulary>
torch::Tensor tokens(std::int64_t batch) {
  return torch::randint(vocabulary, {batch, 64});
}

/// Everything that a plain step needs.
class PlainStep {
 public:
  PlainStep(const Workload& workload, Batches batches)
      : model_(workload.make(batches.device())),
        optimizer_(model_.parameters, kLearningRate),
        batches_(std::move(batches)) {}
  void operator()() {
    optimizer_.zero_grad();
    model_.losses(batches_.next_inputs(), batches_.labels()).mean().backward();
    optimizer_.step();
  }

 private:
  Model model_;
  torch::optim::SGD optimizer_;
  Batches batches_;
};

std::vector<std::shared_ptr<LazyTable>> lazy_tables_of(const Model& model) {
  if (!model.lazy_table.defined()) return {};
  return {std::make_shared<LazyTable>(model.lazy_table)};
}

/// Everything that velum's step needs.
class VelumStep {
 public:
  VelumStep(const Workload& workload, Batches batches)
      : model_(workload.make(batches.device())),
        optimizer_(model_.parameters, kLearningRate),
        lazy_tables_(lazy_tables_of(model_)),
        engine_(
            model_.parameters,
            PoissonSampler(kDatasetSize, static_cast<double>(batches.batch_size()) / kDatasetSize),
            {.clipping = Clipping::flat(1.0),
             .noise_multiplier = 1.0,
             // On CUDA torch computes a recurrent layer as a whole, which has no rule.
             .allow_slow_rules = batches.device().is_cuda(),
             .lazy_tables = lazy_tables_}),
        batches_(std::move(batches)) {}
  void operator()() {
    const torch::Tensor& inputs = batches_.next_inputs();
    optimizer_.zero_grad();
    for (const auto& table : lazy_tables_) table->catch_up(inputs);
    engine_.backward(model_.losses(inputs, batches_.labels()));
    optimizer_.step();
    for (const auto& table : lazy_tables_) table->step(kLearningRate);
  }

 private:
  Model model_;
  torch::optim::SGD optimizer_;
  std::vector<std::shared_ptr<LazyTable>> lazy_tables_;
  PrivacyEngine engine_;
  Batches batches_;
};

/// Uses as many threads as the benchmark says, and gives the device that it names.
torch::Device device_of(const benchmark::State& state) {
  const int threads = static_cast<int>(state.range(1));
  if (threads == 0) return {torch::kCUDA, 0};
  at::set_num_threads(threads);
  return torch::kCPU;
}

bool skip_without_device(benchmark::State& state) {
  if (state.range(1) != 0 || torch::cuda::is_available()) return false;
  state.SkipWithError("no CUDA device");
  return true;
}

void wait_for(const torch::Device& device) {
  if (device.is_cuda()) torch::cuda::synchronize(device.index());
}

template <typename Step>
double milliseconds(Step& step, const torch::Device& device) {
  wait_for(device);
  const auto start = std::chrono::steady_clock::now();
  step();
  wait_for(device);
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

/// The proof of a graph, and its first uses, of which the 1st, 2nd and 4th are checked again.
constexpr int kFirstSteps = 5;

void BM_DpSgdStep(benchmark::State& state, const Workload& workload) {
  if (skip_without_device(state)) return;
  const std::int64_t batch = state.range(0);
  const torch::Device device = device_of(state);
  torch::manual_seed(1);
  const Batches batches(workload, batch, device);
  PlainStep plain(workload, batches);
  VelumStep velum(workload, batches);
  for (int step = 0; step < kFirstSteps; ++step) {
    plain();
    velum();
  }
  double plain_ms = std::numeric_limits<double>::infinity(), velum_ms = plain_ms;
  std::vector<double> ratios;
  for (auto _ : state) {
    const double plain_now = milliseconds(plain, device), velum_now = milliseconds(velum, device);
    plain_ms = std::min(plain_ms, plain_now);
    velum_ms = std::min(velum_ms, velum_now);
    ratios.push_back(velum_now / plain_now);
    state.SetIterationTime(velum_now * 1e-3);
  }
  const auto middle = ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2);
  std::nth_element(ratios.begin(), middle, ratios.end());
  state.counters["plain_ms"] = plain_ms;
  state.counters["velum_ms"] = velum_ms;
  state.counters["ratio"] = velum_ms / plain_ms;
  state.counters["median_ratio"] = *middle;
}

/// Bytes of tensors on a device: now, and at most since the last reset.
class DeviceMemory {
 public:
  explicit DeviceMemory(torch::Device device) : device_(device) {}
  std::int64_t now() const {
    return device_.is_cuda() ? stats().current : benchmarks::allocated_bytes();
  }
  std::int64_t peak() const {
    return device_.is_cuda() ? stats().peak : benchmarks::peak_allocated_bytes();
  }
  void reset_peak() {
    if (device_.is_cuda()) {
      allocator().resetPeakStats(device_.index());
    } else {
      benchmarks::reset_peak_allocated_bytes();
    }
  }

 private:
  c10::DeviceAllocator& allocator() const { return *c10::getDeviceAllocator(device_.type()); }
  c10::CachingAllocator::Stat stats() const {
    constexpr auto kAll = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    return allocator().getDeviceStats(device_.index()).allocated_bytes[kAll];
  }

  torch::Device device_;
};

template <typename Step>
void BM_PeakMemory(benchmark::State& state, const Workload& workload) {
  if (skip_without_device(state)) return;
  const std::int64_t batch = state.range(0);
  const torch::Device device = device_of(state);
  torch::manual_seed(1);
  if (device.is_cuda()) torch::zeros({1}, device);  // starts the allocator of the device
  if (device.is_cpu()) cost_model();  // the first use measures the machine: no part of a step
  DeviceMemory memory(device);
  const std::int64_t before = memory.now();
  const auto megabytes_over_before = [&] {
    return static_cast<double>(memory.peak() - before) * 1e-6;
  };
  Step step(workload, Batches(workload, batch, device));
  memory.reset_peak();
  for (int i = 0; i < kFirstSteps; ++i) step();
  state.counters["first_peak_mb"] = megabytes_over_before();
  std::vector<double> peaks;
  for (auto _ : state) {
    memory.reset_peak();
    step();
    peaks.push_back(megabytes_over_before());
  }
  std::nth_element(peaks.begin(), peaks.begin() + 1, peaks.end());
  state.counters["peak_mb"] = peaks[1];
}

void register_workload(const std::string& name, const Workload& workload, int iterations) {
  const auto with_arguments = [](benchmark::internal::Benchmark* benchmark) {
    benchmark->ArgNames({"batch", "threads"})->Unit(benchmark::kMillisecond);
    return benchmark;
  };
  with_arguments(benchmark::RegisterBenchmark(
                     ("BM_DpSgdStep/" + name).c_str(),
                     [workload](benchmark::State& state) { BM_DpSgdStep(state, workload); }))
      ->Args({256, 0})
      ->Args({256, 1})
      ->Args({256, 2})
      ->Iterations(iterations)
      ->UseManualTime();
  const auto peak = [&](const char* kind, void (*function)(benchmark::State&, const Workload&)) {
    with_arguments(benchmark::RegisterBenchmark(("BM_PeakMemory/" + name + "/" + kind).c_str(),
                                                [workload, function](benchmark::State& state) {
                                                  function(state, workload);
                                                }))
        ->Args({256, 0})
        ->Args({256, 2})
        ->Iterations(3);
  };
  peak("plain", BM_PeakMemory<PlainStep>);
  peak("velum", BM_PeakMemory<VelumStep>);
}

// As many steps as take about 4 seconds, but at least seven: one in these is checked again.
[[maybe_unused]] const bool registered = [] {
  register_workload("tanh_cnn", {[](torch::Device d) { return model_of(tanh_cnn(), d); }, images},
                    100);
  register_workload("mlp", {[](torch::Device d) { return model_of(mlp(), d); }, images}, 100);
  register_workload("groupnorm_cnn",
                    {[](torch::Device d) { return model_of(groupnorm_cnn(), d); }, images}, 15);
  register_workload("transformer",
                    {[](torch::Device d) { return model_of(Transformer(), d); }, tokens<1000>}, 7);
  register_workload("gru", {[](torch::Device d) { return model_of(Gru(), d); }, images}, 30);
  register_workload("lstm", {[](torch::Device d) { return model_of(Lstm(), d); }, images}, 50);
  register_workload("text_lstm",
                    {[](torch::Device d) { return model_of(TextLstm(), d); }, tokens<1000>}, 10);
  register_workload("language_model", {language_model, tokens<1000>}, 7);
  register_workload(
      "embedding",
      {[](torch::Device d) { return model_of(EmbeddingClassifier(), d); }, tokens<100'000>, 16},
      40);
  register_workload("embedding_lazy", {lazy_embedding_classifier, tokens<100'000>, 16}, 40);
  // The last: for both kinds of step, and all that comes after.
  register_workload("transformer_kept",
                    {[](torch::Device d) {
                       keep_freed_memory();
                       return model_of(Transformer(), d);
                     },
                     tokens<1000>},
                    7);
  return true;
}();

}  // namespace
}  // namespace velum::dpsgd
