#pragma once

#include <cstdint>

#include "cuda/launch.cuh"

namespace velum::kernels::cuda {

struct ForEachIndexConfig {
  /// Full warps, several blocks per SM at any register count up to 128.
  static constexpr int kThreads = 256;
  /// 132 SMs of an H100 x 8 resident blocks x 4 waves; more only adds launch work.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 4;
};

template <typename Body>
__global__ void __launch_bounds__(ForEachIndexConfig::kThreads)
    for_each_index_kernel(std::int64_t count, Body body) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += stride) {
    body(i);
  }
}

/// Calls the functor `body(i)` for every i in [0, count), on the stream.
template <typename Body>
void for_each_index(std::int64_t count, const Body& body, const Stream& stream) {
  if (count <= 0) return;
  launch({grid_stride_blocks(count, ForEachIndexConfig::kThreads, ForEachIndexConfig::kMaxBlocks),
          ForEachIndexConfig::kThreads},
         stream, for_each_index_kernel<Body>, count, body);
}

}  // namespace velum::kernels::cuda
