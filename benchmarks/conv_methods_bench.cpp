// Norms and weighted sums of per-sample gradients of convolutions, by each of their methods.
//
// BM_ConvMethods/NAME: one use of a weight. All methods run in turn in each iteration, so that
// whatever else the machine does meets all alike. Counters: the least time of each, and what the
// cost model predicts, in ms (kept, tiles, gram; 0 where there is none); of the method that the
// tape takes, its number in that order and its time over that of the fastest that the memory
// allows, loss. `Time` is that of one iteration.
#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "tape/operand_gradient.h"
#include "velum/dpsgd/cost_model.h"

namespace velum::dpsgd::detail {
namespace {

struct Shape {
  std::string name;
  std::int64_t batch, channels, outputs, size, kernel, stride, padding, groups;
};

const std::vector<Shape> kShapes{
    {"one_channel_8x8_stride_2", 256, 1, 16, 28, 8, 2, 3, 1},
    {"few_channels_large_image", 64, 3, 16, 64, 3, 1, 1, 1},
    {"32_channels_28x28", 64, 32, 32, 28, 3, 1, 1, 1},
    {"64_channels_14x14", 64, 64, 64, 14, 3, 1, 1, 1},
    {"128_channels_7x7", 64, 128, 128, 7, 3, 1, 1, 1},
    {"256_channels_4x4", 32, 256, 256, 4, 3, 1, 1, 1},
    {"512_channels_2x2", 16, 512, 512, 2, 3, 1, 1, 1},
    {"stride_2_64_to_128", 64, 64, 128, 14, 3, 2, 1, 1},
    {"4_groups_64_channels", 64, 64, 64, 14, 3, 1, 1, 4},
    {"depthwise_64_channels", 64, 64, 64, 14, 3, 1, 1, 64},
    {"1x1_256_to_64", 64, 256, 64, 14, 1, 1, 0, 1},
    {"1x1_512_to_512", 32, 512, 512, 4, 1, 1, 0, 1},
};

void BM_ConvMethods(benchmark::State& state, const Shape& shape) {
  at::set_num_threads(static_cast<int>(state.range(0)));
  torch::manual_seed(1);
  const std::int64_t out = (shape.size + 2 * shape.padding - shape.kernel) / shape.stride + 1;
  const at::Tensor input = torch::randn({shape.batch, shape.channels, shape.size, shape.size});
  const at::Tensor grad = torch::randn({shape.batch, shape.outputs, out, out});
  const std::vector<std::int64_t> sizes{shape.outputs, shape.channels / shape.groups, shape.kernel,
                                        shape.kernel};
  const ConvGeometry geometry{
      {shape.stride, shape.stride}, {shape.padding, shape.padding}, {1, 1}, shape.groups};
  const auto use = [&](const MemoryLimits& limits) {
    return std::make_unique<ConvGradient>(input, grad, sizes, geometry, limits);
  };
  const SampleFactors factors(torch::rand({shape.batch}, torch::kDouble));
  constexpr GradientMethod kAll[] = {GradientMethod::kKept, GradientMethod::kTiles,
                                     GradientMethod::kGram};
  const auto chosen = use({});
  const std::vector<GradientMethod> known = chosen->methods();
  double best[] = {0, 0, 0}, predicted[] = {0, 0, 0};
  for (std::size_t m = 0; m < 3; ++m) {
    if (std::find(known.begin(), known.end(), kAll[m]) == known.end()) continue;
    best[m] = std::numeric_limits<double>::infinity();
    predicted[m] = *chosen->cost_of(kAll[m]).seconds * 1e3;
  }
  for (auto _ : state) {
    for (std::size_t m = 0; m < 3; ++m) {
      if (best[m] == 0) continue;
      const auto start = std::chrono::steady_clock::now();
      const auto gradient = use({.method = kAll[m]});
      benchmark::DoNotOptimize(gradient->squared_norms());
      benchmark::DoNotOptimize(gradient->weighted_sum(factors, {}));
      const std::chrono::duration<double, std::milli> time =
          std::chrono::steady_clock::now() - start;
      best[m] = std::min(best[m], time.count());
    }
  }
  const bool may_keep = static_cast<double>(shape.batch) * static_cast<double>(chosen->numel()) <=
                        static_cast<double>(input.numel() + grad.numel());
  double fastest = std::numeric_limits<double>::infinity(), taken = fastest;
  for (std::size_t m = 0; m < 3; ++m) {
    if (best[m] > 0 && (m > 0 || may_keep)) fastest = std::min(fastest, best[m]);
    if (kAll[m] == chosen->method()) {
      taken = best[m];
      state.counters["chosen"] = static_cast<double>(m);
    }
    state.counters[to_text(kAll[m]) + "_ms"] = best[m];
    state.counters[to_text(kAll[m]) + "_predicted_ms"] = predicted[m];
  }
  state.counters["loss"] = taken / fastest;
}

[[maybe_unused]] const bool registered = [] {
  for (const Shape& shape : kShapes) {
    benchmark::RegisterBenchmark(("BM_ConvMethods/" + shape.name).c_str(),
                                 [shape](benchmark::State& state) { BM_ConvMethods(state, shape); })
        ->ArgName("threads")
        ->Arg(1)
        ->Arg(2)
        ->Unit(benchmark::kMillisecond)
        ->Iterations(15);
  }
  return true;
}();

}  // namespace
}  // namespace velum::dpsgd::detail
