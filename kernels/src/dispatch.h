#pragma once

#include "velum/kernels/error.h"
#include "velum/kernels/stream.h"

#if VELUM_WITH_CUDA
#define VELUM_CUDA_HALF(...) __VA_ARGS__
#else
#define VELUM_CUDA_HALF(...) ::velum::kernels::detail::cuda_not_built()
#endif

namespace velum::kernels::detail {

[[noreturn]] inline void cuda_not_built() {
  throw BackendUnavailable(
      "the CUDA backend was not built: configure with VELUM_WITH_CUDA=ON (needs nvcc)");
}

}  // namespace velum::kernels::detail

/// Runs the half of an operation that belongs to the stream's backend. The CUDA half is not
/// compiled, and throws BackendUnavailable, in a build without CUDA. This header is the only code
/// of kernels that reads VELUM_WITH_CUDA.
///
///   VELUM_DISPATCH(stream, clip_factors_cpu(body, stream), clip_factors_cuda(body, stream));
#define VELUM_DISPATCH(stream, cpu_half, cuda_half)              \
  do {                                                           \
    if ((stream).backend() == ::velum::kernels::Backend::kCpu) { \
      cpu_half;                                                  \
    } else {                                                     \
      VELUM_CUDA_HALF(cuda_half);                                \
    }                                                            \
  } while (false)
