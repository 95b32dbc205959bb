#pragma once

#include <cuda_runtime_api.h>

/// Kernels for graphs: they run in a stream that may be captured.
namespace velum::emulation::graphs {

constexpr int kSize = 100;

/// out[i] = a[i] + b[i] + value.
cudaError_t add(const int* a, const int* b, int value, int* out, cudaStream_t stream);

}  // namespace velum::emulation::graphs
