// Random numbers: keystream and Gaussian noise of velum beside torch's normal_, on the same
// threads.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "velum/kernels/random/discrete_gaussian.h"
#include "velum/kernels/random/gaussian.h"
#include "velum/kernels/random/skellam.h"
#include "velum/kernels/random/uniform.h"

namespace {

namespace vk = velum::kernels;

constexpr std::int64_t kSmall = 100'000;
constexpr std::int64_t kLarge = 2'000'000;

void count(benchmark::State& state, std::int64_t items, std::int64_t bytes_per_item) {
  state.SetItemsProcessed(state.iterations() * items);
  state.SetBytesProcessed(state.iterations() * items * bytes_per_item);
}

/// Every iteration takes its own step, as a training run does.
vk::RandomPosition position(std::uint64_t step) { return {vk::Purpose::kTest, 0, step, 0}; }

void BM_Keystream(benchmark::State& state) {
  const vk::Stream stream = vk::Stream::cpu(static_cast<int>(state.range(1)));
  std::vector<std::uint64_t> out(static_cast<std::size_t>(state.range(0)));
  const vk::RandomKey key = vk::secure_random_key();
  std::uint64_t step = 0;
  for (auto _ : state) {
    vk::uniform_bits_fill(out, key, position(step++), 0, stream);
    benchmark::ClobberMemory();
  }
  count(state, state.range(0), 8);
}
BENCHMARK(BM_Keystream)
    ->ArgNames({"draws", "threads"})
    ->ArgsProduct({{4096, kLarge}, {1, 2}})
    ->UseRealTime();

template <typename T>
void BM_GaussianFill(benchmark::State& state) {
  const vk::Stream stream = vk::Stream::cpu(static_cast<int>(state.range(1)));
  std::vector<T> out(static_cast<std::size_t>(state.range(0)));
  const vk::RandomKey key = vk::secure_random_key();
  std::uint64_t step = 0;
  for (auto _ : state) {
    vk::gaussian_fill(vk::Span<T>(out), key, position(step++), stream);
    benchmark::ClobberMemory();
  }
  count(state, state.range(0), sizeof(T));
}
BENCHMARK(BM_GaussianFill<float>)
    ->ArgNames({"size", "threads"})
    ->ArgsProduct({{64, 4096, kSmall, kLarge}, {1, 2}})
    ->UseRealTime();
BENCHMARK(BM_GaussianFill<double>)
    ->ArgNames({"size", "threads"})
    ->ArgsProduct({{64, 4096, kSmall, kLarge}, {1, 2}})
    ->UseRealTime();

void BM_TorchNormal(benchmark::State& state, at::ScalarType type, std::int64_t bytes) {
  at::set_num_threads(static_cast<int>(state.range(1)));
  at::Tensor out = at::empty({state.range(0)}, type);
  for (auto _ : state) {
    out.normal_();
    benchmark::ClobberMemory();
  }
  count(state, state.range(0), bytes);
}
BENCHMARK_CAPTURE(BM_TorchNormal, float, at::kFloat, 4)
    ->ArgNames({"size", "threads"})
    ->ArgsProduct({{64, 4096, kSmall, kLarge}, {1, 2}})
    ->UseRealTime();
BENCHMARK_CAPTURE(BM_TorchNormal, double, at::kDouble, 8)
    ->ArgNames({"size", "threads"})
    ->ArgsProduct({{64, 4096, kSmall, kLarge}, {1, 2}})
    ->UseRealTime();

void BM_UniformIntegers(benchmark::State& state) {
  const vk::Stream stream = vk::Stream::cpu(static_cast<int>(state.range(1)));
  std::vector<std::uint64_t> out(static_cast<std::size_t>(state.range(0)));
  const vk::RandomKey key = vk::secure_random_key();
  std::uint64_t step = 0;
  for (auto _ : state) {
    vk::uniform_integers_fill(1'000'003, out, key, position(step++), 0, stream);
    benchmark::ClobberMemory();
  }
  count(state, state.range(0), 8);
}
BENCHMARK(BM_UniformIntegers)
    ->ArgNames({"size", "threads"})
    ->ArgsProduct({{kLarge}, {1, 2}})
    ->UseRealTime();

/// By log2 of the variance, which is made odd so that nothing is simpler than it is for others.
template <void (*fill)(vk::Span<std::int64_t>, const vk::ExactVariance&, const vk::RandomKey&,
                       const vk::RandomPosition&, std::int64_t, const vk::Stream&)>
void BM_IntegerNoise(benchmark::State& state) {
  const vk::Stream stream = vk::Stream::cpu(static_cast<int>(state.range(1)));
  std::vector<std::int64_t> out(kSmall);
  const vk::RandomKey key = vk::secure_random_key();
  const vk::ExactVariance variance{3 * (std::uint64_t{1} << state.range(0)) + 1, 3};
  std::uint64_t step = 0;
  for (auto _ : state) {
    fill(out, variance, key, position(step++), 0, stream);
    benchmark::ClobberMemory();
  }
  count(state, kSmall, 8);
}
BENCHMARK(BM_IntegerNoise<vk::exact_discrete_gaussian_fill>)
    ->Name("BM_ExactDiscreteGaussian")
    ->ArgNames({"log2_variance", "threads"})
    ->ArgsProduct({{0, 10, 20, 40}, {1, 2}})
    ->UseRealTime();
BENCHMARK(BM_IntegerNoise<vk::skellam_fill>)
    ->Name("BM_Skellam")
    ->ArgNames({"log2_variance", "threads"})
    ->ArgsProduct({{0, 10, 20, 40}, {1, 2}})
    ->UseRealTime();

void BM_PoissonSelect(benchmark::State& state) {
  const vk::Stream stream = vk::Stream::serial();
  std::vector<std::int64_t> indices(static_cast<std::size_t>(state.range(0)));
  std::vector<std::int64_t> selected(1);
  const vk::RandomKey key = vk::secure_random_key();
  std::uint64_t step = 0;
  for (auto _ : state) {
    vk::poisson_select(state.range(0), 0.01, key, position(step++), indices, selected, {}, stream);
    benchmark::ClobberMemory();
  }
  count(state, state.range(0), 8);
}
BENCHMARK(BM_PoissonSelect)->ArgNames({"population"})->Arg(60'000)->Arg(kLarge);

}  // namespace
