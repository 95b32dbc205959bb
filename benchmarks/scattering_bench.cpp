#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <vector>

#include "velum/dpsgd/features/scattering.h"

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kImages = 256;

// Time is per image on one thread.
void BM_Scattering(benchmark::State& state) {
  const ScatteringTransform transform(
      {state.range(0), state.range(0), static_cast<int>(state.range(1)), 8});
  std::mt19937 random(1);
  std::vector<std::uint8_t> images(kImages * transform.image_size());
  for (std::uint8_t& pixel : images) pixel = static_cast<std::uint8_t>(random());
  std::vector<float> out(kImages * transform.output_size());
  const kernels::Stream stream = kernels::Stream::serial();
  for (auto _ : state) {
    transform.transform(
        kernels::MatrixView<const std::uint8_t>(images.data(), kImages, transform.image_size()),
        kernels::MatrixView<float>(out.data(), kImages, transform.output_size()), stream);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kImages);
  state.counters["ms_per_image"] =
      benchmark::Counter(static_cast<double>(state.iterations() * kImages) * 1e-3,
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_Scattering)
    ->ArgNames({"side", "scales"})
    ->Args({28, 2})
    ->Args({32, 2})
    ->Args({32, 3})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace velum::dpsgd
