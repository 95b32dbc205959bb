#include "graph_kernels.h"

namespace velum::emulation::graphs {
namespace {

__global__ void add_kernel(const int* a, const int* b, int value, int* out) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < kSize) out[i] = a[i] + b[i] + value;
}

}  // namespace

cudaError_t add(const int* a, const int* b, int value, int* out, cudaStream_t stream) {
  add_kernel<<<(kSize + 31) / 32, 32, 0, stream>>>(a, b, value, out);
  return cudaGetLastError();
}

}  // namespace velum::emulation::graphs
