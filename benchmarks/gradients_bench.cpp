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
#include "velum/kernels/gradients/conv_squared_norms.h"
#include "velum/kernels/gradients/linear_squared_norms.h"
#include "velum/kernels/gradients/per_sample_norms.h"
#include "velum/kernels/gradients/segment_sums.h"
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

/// The stream of benchmarks whose last argument is `threads`; 0 is CUDA.
Stream last_argument_as_stream(benchmark::State& state, int argument) {
  const auto threads = static_cast<int>(state.range(argument));
  return threads == 0 ? Stream::cuda(nullptr, 0) : Stream::cpu(threads);
}
bool skip_without_device(benchmark::State& state, int argument) {
  if (state.range(argument) != 0 || cuda_device_count() > 0) return false;
  state.SkipWithError("no CUDA device");
  return true;
}

/// items are the multiply-adds of the form: T p q of tiles, T^2 (p + q) of Gram's, half of them
/// where symmetry is used.
void BM_LinearSquaredNorms(benchmark::State& state) {
  if (skip_without_device(state, 5)) return;
  const auto form = static_cast<LinearNormForm>(state.range(0));
  const std::int64_t batch = state.range(1), steps = state.range(2), inputs = state.range(3),
                     outputs = state.range(4);
  const Stream stream = last_argument_as_stream(state, 5);
  const Buffer<float> activations = random_buffer<float>(batch * steps * inputs, stream);
  const Buffer<float> grads = random_buffer<float>(batch * steps * outputs, stream);
  const Buffer<double> norms(batch, stream);
  const Buffer<double> workspace(
      linear_squared_norms_workspace_size(form, batch, steps, inputs, outputs, stream), stream);
  benchmarking::measure(state, stream, [&] {
    linear_squared_norms(form, {activations.data(), batch, steps, inputs},
                         {grads.data(), batch, steps, outputs}, norms.span(), workspace.span(),
                         stream);
  });
  const std::int64_t products =
      form == LinearNormForm::kTile ? steps * inputs * outputs : steps * steps * (inputs + outputs);
  state.SetItemsProcessed(state.iterations() * batch * products);
}

/// items are multiply-adds.
void BM_ConvSquaredNorms(benchmark::State& state) {
  if (skip_without_device(state, 5)) return;
  const std::int64_t batch = state.range(0), channels = state.range(1), outputs = state.range(2),
                     size = state.range(3), groups = state.range(4);
  const Stream stream = last_argument_as_stream(state, 5);
  const std::int64_t plane = size * size;
  const Buffer<float> input = random_buffer<float>(batch * channels * plane, stream);
  const Buffer<float> grads = random_buffer<float>(batch * outputs * plane, stream);
  const Buffer<double> norms(batch, stream);
  const ConvolutionGeometry geometry{.kernel = {1, 3, 3}, .padding = {0, 1, 1}, .groups = groups};
  const Buffer<double> workspace(
      conv_squared_norms_workspace_size(batch, channels, outputs, geometry, stream), stream);
  const auto images = [&](const Buffer<float>& memory, std::int64_t count) {
    return ImageView<const float>{memory.data(), batch, count,           {1, size, size},
                                  count * plane, plane, {plane, size, 1}};
  };
  benchmarking::measure(state, stream, [&] {
    conv_squared_norms(images(input, channels), images(grads, outputs), geometry, norms.span(),
                       workspace.span(), stream);
  });
  state.SetItemsProcessed(state.iterations() * batch * plane * outputs * channels / groups * 9);
}

/// Indices of a language: the square of a uniform number, so that some are frequent.
Buffer<std::int64_t> some_ids(std::int64_t rows, std::int64_t bound, bool squared,
                              const Stream& stream) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(rows));
  for (std::int64_t r = 0; r < rows; ++r) {
    const double uniform = static_cast<double>(r * 7919 % 100'003) / 100'003.0;
    ids[static_cast<std::size_t>(r)] =
        squared ? static_cast<std::int64_t>(uniform * uniform * static_cast<double>(bound))
                : r * bound / rows;
  }
  Buffer<std::int64_t> buffer(rows, stream);
  copy(Span<const std::int64_t>(ids), buffer.span(), stream);
  synchronize(stream);
  return buffer;
}

/// Arguments: samples, steps, width, table rows, threads. bytes are those of the gradients.
struct Lookups {
  explicit Lookups(benchmark::State& state)
      : batch(state.range(0)),
        rows(state.range(0) * state.range(1)),
        width(state.range(2)),
        table_rows(state.range(3)),
        stream(last_argument_as_stream(state, 4)),
        grads(random_buffer<float>(rows * width, stream)),
        indices(some_ids(rows, table_rows, true, stream)),
        samples(some_ids(rows, batch, false, stream)),
        view{MatrixView<const float>(grads.data(), rows, width),
             indices.span(),
             samples.span(),
             batch,
             table_rows,
             -1} {}
  std::int64_t batch, rows, width, table_rows;
  Stream stream;
  Buffer<float> grads;
  Buffer<std::int64_t> indices, samples;
  LookedUpRows<float> view;
};

void BM_SegmentSquaredNorms(benchmark::State& state) {
  if (skip_without_device(state, 4)) return;
  const Lookups c(state);
  const Buffer<double> norms(c.batch, c.stream);
  const Buffer<std::uint8_t> workspace(
      segment_squared_norms_workspace_size(c.rows, c.width, c.batch, c.table_rows, c.stream),
      c.stream);
  benchmarking::measure(state, c.stream, [&] {
    segment_squared_norms(c.view, norms.span(), workspace.span(), c.stream);
  });
  state.SetBytesProcessed(state.iterations() * c.rows * c.width *
                          static_cast<std::int64_t>(sizeof(float)));
}

void BM_SegmentWeightedSum(benchmark::State& state) {
  if (skip_without_device(state, 4)) return;
  const Lookups c(state);
  const Buffer<double> norms(c.batch, c.stream), factors(c.batch, c.stream);
  const Buffer<float> out(c.table_rows * c.width, c.stream);
  const std::vector<double> half(static_cast<std::size_t>(c.batch), 0.5);
  copy(Span<const double>(half), factors.span(), c.stream);
  synchronize(c.stream);
  const Buffer<std::uint8_t> workspace(
      segment_weighted_sum_workspace_size(c.rows, c.width, c.table_rows, c.stream), c.stream);
  benchmarking::measure(state, c.stream, [&] {
    segment_weighted_sum(c.view, factors.span(),
                         MatrixView<float>(out.data(), c.table_rows, c.width), workspace.span(),
                         c.stream);
  });
  state.SetBytesProcessed(state.iterations() * c.rows * c.width *
                          static_cast<std::int64_t>(sizeof(float)));
}

void linear_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"form", "batch", "steps", "inputs", "outputs", "threads"})->UseManualTime();
  for (const std::int64_t threads : {1, 2, 0}) {
    if (threads == 0 && !built_with_cuda()) continue;
    const std::int64_t batch = threads == 0 ? 256 : 8;
    for (const auto form : {LinearNormForm::kTile, LinearNormForm::kGram}) {
      const auto number = static_cast<std::int64_t>(form);
      benchmark->Args({number, batch, 128, 768, 768, threads});  // attention of a small transformer
      benchmark->Args({number, batch, 33, 65, 31, threads});     // nothing fits
    }
  }
}

void conv_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"batch", "channels", "outputs", "size", "groups", "threads"})
      ->UseManualTime();
  for (const std::int64_t threads : {1, 2, 0}) {
    if (threads == 0 && !built_with_cuda()) continue;
    const std::int64_t batch = threads == 0 ? 256 : 8;
    benchmark->Args({batch, 64, 64, 16, 1, threads});   // an inner layer of a Wide ResNet
    benchmark->Args({batch, 3, 16, 32, 1, threads});    // a first layer
    benchmark->Args({batch, 64, 64, 16, 64, threads});  // depthwise
  }
}

void lookup_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"samples", "steps", "width", "table", "threads"})->UseManualTime();
  for (const std::int64_t threads : {1, 2, 0}) {
    if (threads == 0 && !built_with_cuda()) continue;
    benchmark->Args({64, 128, 256, 10'000, threads});
  }
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
BENCHMARK(BM_LinearSquaredNorms)->Apply(linear_sizes);
BENCHMARK(BM_ConvSquaredNorms)->Apply(conv_sizes);
BENCHMARK(BM_SegmentSquaredNorms)->Apply(lookup_sizes);
BENCHMARK(BM_SegmentWeightedSum)->Apply(lookup_sizes);
BENCHMARK_TEMPLATE(BM_AddGaussianNoise, float)->Apply(noise_sizes);
BENCHMARK_TEMPLATE(BM_AddGaussianNoise, double)->Apply(noise_sizes);

}  // namespace
}  // namespace velum::kernels
