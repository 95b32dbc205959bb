// What the probes of shared memory have in common.
#pragma once

#include <cstdint>

#include "probes/probe_kernels.h"
#include "velum/kernels/host_device.h"

namespace velum::benchmarking {

/// What stands in word `index` of the shared memory of a block.
VELUM_HOST_DEVICE inline std::uint32_t shared_word(std::uint32_t block, std::uint32_t index) {
  return (block + 1) * 0x9E3779B1u + index * 0x85EBCA77u;
}

/// Bytes from a thread's own vector to the one that its load `i` takes.
VELUM_HOST_DEVICE constexpr std::uint32_t shared_offset(int i) {
  return static_cast<std::uint32_t>(i) % (kProbeSharedVectors / kProbeThreads) * kProbeThreads * 16;
}

__device__ inline void fill_shared(uint4* memory, std::uint32_t block) {
  for (std::uint32_t i = threadIdx.x; i < kProbeSharedVectors; i += kProbeThreads) {
    memory[i] = {shared_word(block, 4 * i), shared_word(block, 4 * i + 1),
                 shared_word(block, 4 * i + 2), shared_word(block, 4 * i + 3)};
  }
}

}  // namespace velum::benchmarking
