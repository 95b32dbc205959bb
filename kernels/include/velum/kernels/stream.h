#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

namespace velum::kernels {

enum class Backend { kCpu, kCuda };

/// "cpu" or "cuda".
std::string_view to_string(Backend backend);

/// How the CPU backend spreads work over threads. dpsgd supplies torch's; elsewhere
/// `Stream::cpu(threads)` makes one from oneTBB.
class ParallelFor {
 public:
  virtual ~ParallelFor() = default;

  /// The most threads that `run` will use; >= 1.
  virtual int thread_count() const = 0;

  /// Calls `body(begin, end)` over disjoint ranges that cover [0, count), each a multiple of
  /// `grain` long except the last, and returns when all are done. An exception thrown by
  /// `body` reaches the caller. No result of velum depends on how the ranges are cut.
  virtual void run(std::int64_t count, std::int64_t grain,
                   const std::function<void(std::int64_t, std::int64_t)>& body) = 0;
};

/// Where an operation runs: a backend and its queue. Always the last, explicit argument; it is
/// a value and cheap to copy. A CPU call returns when the work is done; a CUDA call returns
/// when it has been enqueued.
class Stream {
 public:
  Stream() = delete;
  Stream(int) = delete;             // no "stream 0" by accident
  Stream(std::nullptr_t) = delete;  // nor by a null pointer

  /// The CPU, with at most `threads` threads (>= 1), by oneTBB.
  /// @throws std::invalid_argument if threads < 1.
  static Stream cpu(int threads);
  /// The CPU with a scheduler of the caller's.
  /// @throws std::invalid_argument if parallel_for is null.
  static Stream cpu(std::shared_ptr<ParallelFor> parallel_for);
  /// The CPU, everything on the calling thread.
  static Stream serial();
  /// A `cudaStream_t` on the CUDA device `device`; both stay the caller's, who must keep the
  /// stream alive until its work is done. `cuda_stream` may be nullptr: CUDA's default stream.
  /// @throws std::invalid_argument if device < 0.
  static Stream cuda(void* cuda_stream, int device);

  Backend backend() const { return backend_; }
  /// The `cudaStream_t`; only for a CUDA stream.
  void* cuda_stream() const { return cuda_stream_; }
  /// The CUDA device; only for a CUDA stream.
  int device() const { return device_; }
  /// Only for a CPU stream.
  ParallelFor& parallel_for() const { return *parallel_for_; }

 private:
  Stream(Backend backend, void* cuda_stream, int device, std::shared_ptr<ParallelFor> parallel_for)
      : backend_(backend),
        device_(device),
        cuda_stream_(cuda_stream),
        parallel_for_(std::move(parallel_for)) {}

  Backend backend_;
  int device_;
  void* cuda_stream_;
  std::shared_ptr<ParallelFor> parallel_for_;
};

/// Whether this build has the CUDA backend.
bool built_with_cuda();
/// How many CUDA devices there are: 0 without the backend, a driver, or a device.
int cuda_device_count();

}  // namespace velum::kernels
