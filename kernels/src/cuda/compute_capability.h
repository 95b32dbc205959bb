#pragma once

#include <cuda_runtime_api.h>

#include "cuda/check.h"
#include "velum/kernels/stream.h"

namespace velum::kernels::cuda {

/// Of the stream's device: 90 for 9.0.
/// @throws CudaError.
inline int compute_capability(const Stream& stream) {
  int major = 0;
  int minor = 0;
  VELUM_CUDA_CHECK(
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, stream.device()));
  VELUM_CUDA_CHECK(
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, stream.device()));
  return 10 * major + minor;
}

}  // namespace velum::kernels::cuda
