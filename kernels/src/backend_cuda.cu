#include "cuda/check.h"
#include "cuda/launch.cuh"
#include "velum/kernels/buffer.h"
#include "velum/kernels/error.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

bool built_with_cuda() { return true; }

int cuda_device_count() {
  int count = 0;
  // No driver or no device is an answer here, not a failure.
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : (cudaGetLastError(), 0);
}

namespace cuda {

void throw_cuda_error(cudaError_t error, const char* call, const char* file, int line) {
  // The runtime keeps the error of a failed call for cudaGetLastError: without this, the next good
  // launch of a caller who recovered would be blamed for it.
  static_cast<void>(cudaGetLastError());
  throw CudaError(std::string(call) + ": " + cudaGetErrorName(error) + " (" +
                  cudaGetErrorString(error) + ") at " + file + ":" + std::to_string(line));
}

}  // namespace cuda

namespace detail {

void* allocate_cuda(std::int64_t bytes, int device) {
  const cuda::DeviceGuard guard(device);
  void* pointer = nullptr;
  VELUM_CUDA_CHECK(cudaMalloc(&pointer, static_cast<std::size_t>(bytes)));
  return pointer;
}

void free_cuda(void* pointer, int device) noexcept {
  int previous = 0;
  if (cudaGetDevice(&previous) != cudaSuccess) return;
  if (cudaSetDevice(device) != cudaSuccess) return;
  static_cast<void>(cudaFree(pointer));
  static_cast<void>(cudaSetDevice(previous));
}

void copy_cuda(void* to, const void* from, std::int64_t bytes, const Stream& stream) {
  const cuda::DeviceGuard guard(stream.device());
  VELUM_CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDefault,
                                   cuda::native(stream)));
}

void synchronize_cuda(const Stream& stream) {
  const cuda::DeviceGuard guard(stream.device());
  VELUM_CUDA_CHECK(cudaStreamSynchronize(cuda::native(stream)));
}

}  // namespace detail
}  // namespace velum::kernels
