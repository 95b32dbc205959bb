// The operations on per-sample gradients, on random data. bytes_per_second counts what must be read
// and written once, so that BM_Memcpy beside them is the memory's own figure.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "support/cuda_event_timer.h"
#include "velum/kernels/buffer.h"
#include "velum/kernels/gradients/add_gaussian_noise.h"
#include "velum/kernels/gradients/clip_and_sum.h"
#include "velum/kernels/gradients/clip_sum_noise_scale.h"
#include "velum/kernels/gradients/per_sample_norms.h"
#include "velum/kernels/random/gaussian.h"

namespace velum::kernels {
namespace {

constexpr ClippingBound kBound{1.0, 1e-12};
const RandomKey kKey = insecure_key_from_seed(1);

/// The arguments of every benchmark: batch, params, threads; threads 0 is CUDA.
struct Case {
  explicit Case(benchmark::State& state)
      : batch(state.range(0)),
        params(state.range(1)),
        stream(state.range(2) == 0 ? Stream::cuda(nullptr, 0)
                                   : Stream::cpu(static_cast<int>(state.range(2)))) {}
  std::int64_t batch;
  std::int64_t params;
  Stream stream;
};

bool skip_without_device(benchmark::State& state) {
  if (state.range(2) != 0 || cuda_device_count() > 0) return false;
  state.SkipWithError("no CUDA device");
  return true;
}

template <typename T>
Buffer<T> random_buffer(std::int64_t size, const Stream& stream) {
  Buffer<T> buffer(size, stream);
  gaussian_fill(buffer.span(), kKey, {Purpose::kTest, 0, 0, 0}, stream);
  return buffer;
}

template <typename T>
void BM_PerSampleSquaredNorms(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const Buffer<T> grads = random_buffer<T>(c.batch * c.params, c.stream);
  const Buffer<double> norms(c.batch, c.stream);
  const MatrixView<const T> view(grads.data(), c.batch, c.params);
  benchmarking::measure(state, c.stream,
                        [&] { per_sample_squared_norms(view, norms.span(), c.stream); });
  state.SetBytesProcessed(state.iterations() * c.batch * c.params *
                          static_cast<std::int64_t>(sizeof(T)));
}

template <typename T, typename Sum>
void BM_ClipAndSum(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const Buffer<T> grads = random_buffer<T>(c.batch * c.params, c.stream);
  const Buffer<double> norms(c.batch, c.stream);
  const Buffer<Sum> out(c.params, c.stream);
  const MatrixView<const T> view(grads.data(), c.batch, c.params);
  per_sample_squared_norms(view, norms.span(), c.stream);
  benchmarking::measure(state, c.stream,
                        [&] { clip_and_sum(view, norms.span(), kBound, out.span(), c.stream); });
  state.SetBytesProcessed(state.iterations() *
                          (c.batch * c.params * static_cast<std::int64_t>(sizeof(T)) +
                           c.params * static_cast<std::int64_t>(sizeof(Sum))));
}

void BM_ClipSumNoiseScale(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const Buffer<float> grads = random_buffer<float>(c.batch * c.params, c.stream);
  const Buffer<double> norms(c.batch, c.stream);
  const Buffer<float> out(c.params, c.stream);
  const MatrixView<const float> view(grads.data(), c.batch, c.params);
  per_sample_squared_norms(view, norms.span(), c.stream);
  std::uint64_t step = 0;
  benchmarking::measure(state, c.stream, [&] {
    clip_sum_noise_scale(view, norms.span(), kBound, Span<const float>(), 1.0, 256.0, kKey,
                         {Purpose::kTest, 0, step++, 0}, out.span(), c.stream);
  });
  state.SetBytesProcessed(state.iterations() * (c.batch + 1) * c.params *
                          static_cast<std::int64_t>(sizeof(float)));
}

/// A copy of the same gradients, by as many threads.
void BM_Memcpy(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const std::int64_t size = c.batch * c.params;
  const Buffer<float> from = random_buffer<float>(size, c.stream);
  const Buffer<float> to(size, c.stream);
  benchmarking::measure(state, c.stream, [&] {
    if (c.stream.backend() == Backend::kCuda) {
      copy(Span<const float>(from.span()), to.span(), c.stream);
      return;
    }
    c.stream.parallel_for().run(size, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(to.data() + begin, from.data() + begin,
                  static_cast<std::size_t>(end - begin) * sizeof(float));
    });
    benchmark::ClobberMemory();
  });
  state.SetBytesProcessed(state.iterations() * 2 * size * static_cast<std::int64_t>(sizeof(float)));
}

/// `batch` is 1: noise is drawn once per step. items are draws.
template <typename T>
void BM_AddGaussianNoise(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const Buffer<T> sum = random_buffer<T>(c.params, c.stream);
  std::uint64_t step = 0;
  benchmarking::measure(state, c.stream, [&] {
    add_gaussian_noise(sum.span(), 1.0, 256.0, kKey, {Purpose::kTest, 0, step++, 0}, c.stream);
  });
  state.SetItemsProcessed(state.iterations() * c.params);
  state.SetBytesProcessed(state.iterations() * 2 * c.params * static_cast<std::int64_t>(sizeof(T)));
}

void gradient_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"batch", "params", "threads"})->UseManualTime();
  for (const std::int64_t threads : {1, 2, 0}) {
    if (threads == 0 && !built_with_cuda()) continue;
    benchmark->Args({256, 26'010, threads});   // the tanh network of the Fashion-MNIST recipe
    benchmark->Args({256, 262'144, threads});  // 256 MiB
  }
}

void noise_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"batch", "params", "threads"})->UseManualTime();
  for (const std::int64_t threads : {1, 2, 0}) {
    if (threads == 0 && !built_with_cuda()) continue;
    benchmark->Args({1, 1'863'690, threads});  // an MLP 784-1024-1024-10
  }
}

BENCHMARK(BM_Memcpy)->Apply(gradient_sizes);
BENCHMARK_TEMPLATE(BM_PerSampleSquaredNorms, float)->Apply(gradient_sizes);
BENCHMARK_TEMPLATE(BM_PerSampleSquaredNorms, double)->Apply(gradient_sizes);
BENCHMARK_TEMPLATE(BM_ClipAndSum, float, float)->Apply(gradient_sizes);
BENCHMARK_TEMPLATE(BM_ClipAndSum, float, double)->Apply(gradient_sizes);
BENCHMARK_TEMPLATE(BM_ClipAndSum, double, double)->Apply(gradient_sizes);
BENCHMARK(BM_ClipSumNoiseScale)->Apply(gradient_sizes);
BENCHMARK_TEMPLATE(BM_AddGaussianNoise, float)->Apply(noise_sizes);
BENCHMARK_TEMPLATE(BM_AddGaussianNoise, double)->Apply(noise_sizes);

}  // namespace
}  // namespace velum::kernels
