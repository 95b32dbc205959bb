#pragma once

#include <cuda_runtime_api.h>

namespace velum::kernels::cuda {

/// Throws CudaError with the call, the error's name and text, and the place.
[[noreturn]] void throw_cuda_error(cudaError_t error, const char* call, const char* file, int line);

}  // namespace velum::kernels::cuda

#define VELUM_CUDA_CHECK(call)                                                                \
  do {                                                                                        \
    const cudaError_t velum_cuda_error_ = (call);                                             \
    if (velum_cuda_error_ != cudaSuccess)                                                     \
      ::velum::kernels::cuda::throw_cuda_error(velum_cuda_error_, #call, __FILE__, __LINE__); \
  } while (false)
