#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "cuda/check.h"
#include "velum/kernels/stream.h"

namespace velum::kernels::cuda {

/// The shape of a launch. Each kernel names its numbers in a constexpr config of its own.
struct LaunchConfig {
  dim3 grid;
  dim3 block;
  std::size_t dynamic_shared_bytes = 0;
};

/// Makes the stream's device current for a scope.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device) {
    VELUM_CUDA_CHECK(cudaGetDevice(&previous_));
    if (device != previous_) {
      VELUM_CUDA_CHECK(cudaSetDevice(device));
      changed_ = true;
    }
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;
  ~DeviceGuard() {
    if (changed_) static_cast<void>(cudaSetDevice(previous_));
  }

 private:
  int previous_ = 0;
  bool changed_ = false;
};

inline cudaStream_t native(const Stream& stream) {
  return static_cast<cudaStream_t>(stream.cuda_stream());
}

/// What every kernel may have of dynamic shared memory without asking.
constexpr std::size_t kFreeDynamicSharedBytes = 48 << 10;

/// The most dynamic shared memory that a block of a kernel without static shared memory can have on
/// the stream's device.
/// @throws CudaError.
inline std::size_t max_dynamic_shared_bytes(const Stream& stream) {
  int bytes = 0;
  VELUM_CUDA_CHECK(
      cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, stream.device()));
  return static_cast<std::size_t>(bytes);
}

/// Lets launches of `kernel` on the current device ask for all of `max_dynamic_shared_bytes`:
/// always the same number, so that threads which launch it with different amounts do not undo each
/// other.
template <typename... Params>
void allow_dynamic_shared_memory(void (*kernel)(Params...), const Stream& stream) {
  VELUM_CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                        cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(max_dynamic_shared_bytes(stream))));
}

/// The one way to start a kernel: on the stream's device and queue, with the launch error
/// checked. Arguments convert to the kernel's parameter types. Build with VELUM_DEBUG_SYNC to
/// wait after each launch and so find the kernel that failed. A kernel that asks for more dynamic
/// shared memory than kFreeDynamicSharedBytes must have no static one.
/// @throws CudaError.
template <typename... Params, typename... Args>
void launch(const LaunchConfig& config, const Stream& stream, void (*kernel)(Params...),
            Args&&... args) {
  static_assert(sizeof...(Params) == sizeof...(Args), "launch: wrong number of arguments");
  const DeviceGuard guard(stream.device());
  if (config.dynamic_shared_bytes > kFreeDynamicSharedBytes) {
    allow_dynamic_shared_memory(kernel, stream);
  }
  kernel<<<config.grid, config.block, config.dynamic_shared_bytes, native(stream)>>>(
      Params(std::forward<Args>(args))...);
  VELUM_CUDA_CHECK(cudaGetLastError());
#ifdef VELUM_DEBUG_SYNC
  VELUM_CUDA_CHECK(cudaStreamSynchronize(native(stream)));
#endif
}

/// A bound on the blocks of grid-stride launches, from the environment: with
/// VELUM_CUDA_MAX_BLOCKS=3 small inputs take the paths of large ones. For tests; a kernel's results
/// do not depend on it.
inline std::int64_t grid_limit() {
  static const std::int64_t limit = [] {
    const char* const text = std::getenv("VELUM_CUDA_MAX_BLOCKS");
    const long long value = text == nullptr ? 0 : std::atoll(text);
    return value > 0 ? static_cast<std::int64_t>(value) : std::numeric_limits<std::int64_t>::max();
  }();
  return limit;
}

/// Blocks of a grid-stride launch over `count` elements: enough to cover them once, and at
/// most `max_blocks`. `count` must be > 0.
inline unsigned grid_stride_blocks(std::int64_t count, int threads_per_block,
                                   std::int64_t max_blocks) {
  const std::int64_t blocks = (count + threads_per_block - 1) / threads_per_block;
  return static_cast<unsigned>(std::min({blocks, max_blocks, grid_limit()}));
}

}  // namespace velum::kernels::cuda
