// What a device can do, measured by kernels that keep one part of it busy (probes/): arithmetic
// pipes, shared memory of a block and of a cluster, L2 cache, device memory. scripts/roofline takes
// its device's figures from published sources; these are the same figures from the device at hand.
//
// Counters: per_clock, operations (arithmetic) or bytes (shared memory) in a clock of a
// multiprocessor, from the multiprocessors' own clocks: the median over the blocks of the last run;
// items_per_second and bytes_per_second over the whole device by CUDA events. The results of every
// probe are compared with the host's for some threads, and a difference is an error. Figures are
// worth something where `rounds` or `bytes` is large.
#include <benchmark/benchmark.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "probes/probe_kernels.h"
#include "support/cuda_event_timer.h"
#include "velum/kernels/buffer.h"
#include "velum/kernels/stream.h"

namespace velum::benchmarking {
namespace {

using kernels::Buffer;
using kernels::Stream;

int attribute(cudaDeviceAttr which) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, which, 0));
  return value;
}

template <typename T>
std::vector<T> on_host(const Buffer<T>& buffer, const Stream& stream) {
  std::vector<T> host(static_cast<std::size_t>(buffer.size()));
  kernels::copy(kernels::Span<const T>(buffer.span()), kernels::Span<T>(host), stream);
  kernels::synchronize(stream);
  return host;
}

/// Whether the results of a few threads, the first and the last among them, are as expected.
bool as_expected(const std::vector<std::uint32_t>& results,
                 const std::function<std::uint32_t(std::uint32_t, std::uint32_t)>& expected) {
  std::mt19937 random(1);
  for (int i = 0; i < 16; ++i) {
    const std::size_t at = i == 0 ? 0 : i == 1 ? results.size() - 1 : random() % results.size();
    const auto block = static_cast<std::uint32_t>(at / kProbeThreads);
    const auto thread = static_cast<std::uint32_t>(at % kProbeThreads);
    if (results[at] != expected(block, thread)) return false;
  }
  return true;
}

using Launch = std::function<cudaError_t(int blocks, std::uint32_t* results, std::int64_t* cycles,
                                         cudaStream_t stream)>;

/// Measures a probe with one block on each multiprocessor. `work` is what a block does, in
/// operations or bytes.
void measure_block_probe(
    benchmark::State& state, double work, const Launch& launch,
    const std::function<std::uint32_t(std::uint32_t, std::uint32_t)>& expected) {
  const Stream stream = Stream::cuda(nullptr, 0);
  const int blocks =
      attribute(cudaDevAttrMultiProcessorCount) / kProbeClusterBlocks * kProbeClusterBlocks;
  Buffer<std::uint32_t> results(std::int64_t{blocks} * kProbeThreads, stream);
  Buffer<std::int64_t> cycles(blocks, stream);
  const auto native = static_cast<cudaStream_t>(stream.cuda_stream());
  measure(state, stream,
          [&] { check_cuda(launch(blocks, results.data(), cycles.data(), native)); });
  if (!as_expected(on_host(results, stream), expected)) {
    state.SkipWithError("the device's results differ from the host's");
    return;
  }
  std::vector<std::int64_t> taken = on_host(cycles, stream);
  const auto middle = taken.begin() + blocks / 2;
  std::nth_element(taken.begin(), middle, taken.end());
  state.counters["per_clock"] = work / static_cast<double>(*middle);
  state.SetItemsProcessed(static_cast<std::int64_t>(work) * blocks *
                          static_cast<std::int64_t>(state.iterations()));
}

bool skip_without_device(benchmark::State& state) {
  if (kernels::cuda_device_count() > 0) return false;
  state.SkipWithError("no CUDA device");
  return true;
}

void BM_Arithmetic(benchmark::State& state, ProbedInstruction instruction) {
  if (skip_without_device(state)) return;
  const int rounds = static_cast<int>(state.range(0));
  std::mt19937 random(2);
  const auto a = static_cast<std::uint32_t>(random()) | 1;
  const auto b = static_cast<std::uint32_t>(random());
  const double operations = 1.0 * rounds * kProbeUnroll * kProbeChains * kProbeThreads;
  measure_block_probe(
      state, operations,
      [&](int blocks, std::uint32_t* results, std::int64_t* cycles, cudaStream_t stream) {
        return launch_arithmetic_probe(instruction, blocks, rounds, a, b, results, cycles, stream);
      },
      [&](std::uint32_t block, std::uint32_t thread) {
        return expected_arithmetic(instruction, block, thread, a, b, rounds);
      });
}

double shared_bytes(int rounds) { return 1.0 * rounds * kProbeSharedLoads * kProbeThreads * 16; }

void BM_SharedMemory(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const int rounds = static_cast<int>(state.range(0));
  measure_block_probe(
      state, shared_bytes(rounds),
      [&](int blocks, std::uint32_t* results, std::int64_t* cycles, cudaStream_t stream) {
        return launch_shared_probe(blocks, rounds, results, cycles, stream);
      },
      [&](std::uint32_t block, std::uint32_t thread) {
        return expected_shared(block, thread, rounds);
      });
}

void BM_ClusterSharedMemory(benchmark::State& state) {
  if (skip_without_device(state)) return;
  if (attribute(cudaDevAttrClusterLaunch) == 0) {
    state.SkipWithError("the device has no clusters");
    return;
  }
  const int rounds = static_cast<int>(state.range(0));
  measure_block_probe(
      state, shared_bytes(rounds),
      [&](int blocks, std::uint32_t* results, std::int64_t* cycles, cudaStream_t stream) {
        return launch_cluster_probe(blocks, rounds, results, cycles, stream);
      },
      [&](std::uint32_t block, std::uint32_t thread) {
        return expected_shared(block ^ 1, thread, rounds);
      });
}

/// Random words, a multiple of 16 bytes of them.
Buffer<std::uint32_t> random_words(std::int64_t bytes, const Stream& stream) {
  std::vector<std::uint32_t> words(static_cast<std::size_t>(bytes / 16 * 4));
  std::mt19937 random(3);
  std::generate(words.begin(), words.end(), [&] { return static_cast<std::uint32_t>(random()); });
  Buffer<std::uint32_t> buffer(static_cast<std::int64_t>(words.size()), stream);
  kernels::copy(kernels::Span<const std::uint32_t>(words), buffer.span(), stream);
  kernels::synchronize(stream);
  return buffer;
}

/// Reads a buffer over and over: from the L2 cache where it fits in.
void BM_L2Read(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Stream stream = Stream::cuda(nullptr, 0);
  const std::int64_t bytes =
      state.range(0) == 0 ? attribute(cudaDevAttrL2CacheSize) / 4 : state.range(0);
  const int rounds = static_cast<int>(state.range(1));
  const int blocks = 2 * attribute(cudaDevAttrMultiProcessorCount);
  const Buffer<std::uint32_t> data = random_words(bytes, stream);
  Buffer<std::uint32_t> results(std::int64_t{blocks} * kProbeThreads, stream);
  measure(state, stream, [&] {
    check_cuda(launch_read_probe(blocks, rounds, data.data(), data.size() / 4, results.data(),
                                 static_cast<cudaStream_t>(stream.cuda_stream())));
  });
  const std::vector<std::uint32_t> words = on_host(data, stream), sums = on_host(results, stream);
  const std::uint32_t once = std::accumulate(words.begin(), words.end(), std::uint32_t{0});
  if (std::accumulate(sums.begin(), sums.end(), std::uint32_t{0}) !=
      once * static_cast<std::uint32_t>(rounds)) {
    state.SkipWithError("the device's sum differs from the host's");
    return;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * data.size() * 4 * rounds);
}

/// Counts what is read and what is written.
void BM_DeviceMemoryCopy(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Stream stream = Stream::cuda(nullptr, 0);
  const Buffer<std::uint32_t> from = random_words(state.range(0), stream);
  Buffer<std::uint32_t> to(from.size(), stream);
  const int blocks = 2 * attribute(cudaDevAttrMultiProcessorCount);
  measure(state, stream, [&] {
    check_cuda(launch_copy_probe(blocks, from.data(), to.data(), from.size() / 4,
                                 static_cast<cudaStream_t>(stream.cuda_stream())));
  });
  if (on_host(from, stream) != on_host(to, stream)) {
    state.SkipWithError("the copy differs from what was copied");
    return;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * from.size() * 8);
}

#define VELUM_ARITHMETIC_PROBE(name, instruction)                        \
  BENCHMARK_CAPTURE(BM_Arithmetic, name, ProbedInstruction::instruction) \
      ->ArgName("rounds")                                                \
      ->Arg(1)                                                           \
      ->Arg(4096)                                                        \
      ->UseManualTime()
VELUM_ARITHMETIC_PROBE(imad, kMultiplyAdd);
VELUM_ARITHMETIC_PROBE(imad_wide, kMultiplyWide);
VELUM_ARITHMETIC_PROBE(imad_hi, kMultiplyAddHigh);
VELUM_ARITHMETIC_PROBE(vimnmx, kMinimumMaximum);
VELUM_ARITHMETIC_PROBE(shf, kFunnelShift);
VELUM_ARITHMETIC_PROBE(ffma, kFusedMultiplyAdd);
BENCHMARK(BM_SharedMemory)->ArgName("rounds")->Arg(1)->Arg(4096)->UseManualTime();
BENCHMARK(BM_ClusterSharedMemory)->ArgName("rounds")->Arg(1)->Arg(4096)->UseManualTime();
// 0 bytes: a quarter of the L2 cache.
BENCHMARK(BM_L2Read)
    ->ArgNames({"bytes", "rounds"})
    ->Args({1 << 16, 1})
    ->Args({0, 64})
    ->UseManualTime();
BENCHMARK(BM_DeviceMemoryCopy)->ArgName("bytes")->Arg(1 << 16)->Arg(1 << 30)->UseManualTime();

}  // namespace
}  // namespace velum::benchmarking
