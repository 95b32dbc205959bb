#pragma once

#include <benchmark/benchmark.h>

#include <chrono>

#include "velum/kernels/buffer.h"
#include "velum/kernels/stream.h"

#if VELUM_WITH_CUDA
#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>
#endif

namespace velum::benchmarking {

#if VELUM_WITH_CUDA
inline void check_cuda(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

/// Time between two points of a CUDA stream, by events.
class CudaEventTimer {
 public:
  explicit CudaEventTimer(const kernels::Stream& stream)
      : stream_(static_cast<cudaStream_t>(stream.cuda_stream())) {
    check_cuda(cudaSetDevice(stream.device()));
    check_cuda(cudaEventCreate(&begin_));
    check_cuda(cudaEventCreate(&end_));
    check_cuda(cudaDeviceGetAttribute(&l2_bytes_, cudaDevAttrL2CacheSize, stream.device()));
    flush_bytes_ = 2 * static_cast<std::size_t>(l2_bytes_);
    if (flush_bytes_ > 0) check_cuda(cudaMalloc(&flush_, flush_bytes_));
  }
  CudaEventTimer(const CudaEventTimer&) = delete;
  CudaEventTimer& operator=(const CudaEventTimer&) = delete;
  ~CudaEventTimer() {
    static_cast<void>(cudaFree(flush_));
    static_cast<void>(cudaEventDestroy(begin_));
    static_cast<void>(cudaEventDestroy(end_));
  }

  /// Pushes everything else out of the L2 cache by writing twice its size.
  void flush_l2() {
    if (flush_ != nullptr) check_cuda(cudaMemsetAsync(flush_, 0, flush_bytes_, stream_));
  }
  void start() { check_cuda(cudaEventRecord(begin_, stream_)); }
  /// Seconds since `start`, when the work enqueued in between is done.
  double stop() {
    check_cuda(cudaEventRecord(end_, stream_));
    check_cuda(cudaEventSynchronize(end_));
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, begin_, end_));
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
  int l2_bytes_ = 0;
  std::size_t flush_bytes_ = 0;
  void* flush_ = nullptr;
};
#endif

/// Runs `operation` once to warm up, then times it as the benchmark asks: on the CPU by the clock,
/// on CUDA by events with the L2 cache flushed before each. For benchmarks with UseManualTime.
template <typename Operation>
void measure(benchmark::State& state, const kernels::Stream& stream, const Operation& operation) {
  operation();
  kernels::synchronize(stream);
#if VELUM_WITH_CUDA
  if (stream.backend() == kernels::Backend::kCuda) {
    CudaEventTimer timer(stream);
    for (auto _ : state) {
      timer.flush_l2();
      timer.start();
      operation();
      state.SetIterationTime(timer.stop());
    }
    return;
  }
#endif
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    operation();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    state.SetIterationTime(seconds.count());
  }
}

}  // namespace velum::benchmarking
