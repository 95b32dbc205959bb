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

/// How many times as fast as with doubles the stream's device is with floats.
/// @throws CudaError.
inline int single_to_double_ratio(const Stream& stream) {
  int ratio = 0;
  VELUM_CUDA_CHECK(
      cudaDeviceGetAttribute(&ratio, cudaDevAttrSingleToDoublePrecisionPerfRatio, stream.device()));
  return ratio;
}

}  // namespace velum::kernels::cuda
