// Kernels that keep one part of the device busy and nothing else, to measure what it can do:
// arithmetic pipes, shared memory of the block and of a cluster, the L2 cache, device memory.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace velum::benchmarking {

/// An instruction that a probe repeats. Of 32-bit integers unless said otherwise; in brackets what
/// it is in machine code for compute capability 9.0.
enum class ProbedInstruction {
  kMultiplyAdd,       ///< x * a + b, low word (IMAD)
  kMultiplyWide,      ///< low word of 64 bits times the high word (IMAD.WIDE.U32)
  kMultiplyAddHigh,   ///< high word of x * a, + b (IMAD.HI.U32)
  kMinimumMaximum,    ///< the minimum with a and the maximum with b, in turn (VIMNMX.U32)
  kFunnelShift,       ///< the word pair (x, x ^ thread) shifted by a (SHF)
  kFusedMultiplyAdd,  ///< x * a + b, float (FFMA)
};

/// Every thread of an arithmetic probe has this many values that do not depend on each other ...
constexpr int kProbeChains = 8;
/// ... and applies the instruction this often to each in a round.
constexpr int kProbeUnroll = 16;
/// Threads of a block; a multiprocessor holds one block of a probe.
constexpr int kProbeThreads = 1024;
/// The shared memory of a block of a shared memory probe, in vectors of 16 bytes.
constexpr int kProbeSharedVectors = 2048;
/// Loads of 16 bytes that every thread of a shared memory probe does in a round.
constexpr int kProbeSharedLoads = 16;
/// Blocks of a cluster.
constexpr int kProbeClusterBlocks = 2;

/// What the instruction makes of the values of a thread after `rounds` rounds, added up; on the
/// host, the oracle of the probe.
std::uint32_t expected_arithmetic(ProbedInstruction instruction, std::uint32_t block,
                                  std::uint32_t thread, std::uint32_t a, std::uint32_t b,
                                  int rounds);
/// What a thread of a shared memory probe finds, added up. `block` is the one whose memory it
/// reads.
std::uint32_t expected_shared(std::uint32_t block, std::uint32_t thread, int rounds);

/// results[blocks * kProbeThreads]: what `expected_arithmetic` says. cycles[blocks]: of the
/// multiprocessor's clock, between the block's first and last instruction.
cudaError_t launch_arithmetic_probe(ProbedInstruction instruction, int blocks, int rounds,
                                    std::uint32_t a, std::uint32_t b, std::uint32_t* results,
                                    std::int64_t* cycles, cudaStream_t stream);
/// Loads of 16 bytes from the block's shared memory, without bank conflicts.
cudaError_t launch_shared_probe(int blocks, int rounds, std::uint32_t* results,
                                std::int64_t* cycles, cudaStream_t stream);
/// The same from the shared memory of the cluster's other block; `blocks` must be even. Needs
/// compute capability 9.0.
cudaError_t launch_cluster_probe(int blocks, int rounds, std::uint32_t* results,
                                 std::int64_t* cycles, cudaStream_t stream);
/// results[blocks * kProbeThreads]: sums of the words of data[vectors * 4] that the thread reads,
/// past the L1 cache, in `rounds` passes over all of it by the grid.
cudaError_t launch_read_probe(int blocks, int rounds, const std::uint32_t* data,
                              std::int64_t vectors, std::uint32_t* results, cudaStream_t stream);
/// to[vectors * 4] = from[vectors * 4].
cudaError_t launch_copy_probe(int blocks, const std::uint32_t* from, std::uint32_t* to,
                              std::int64_t vectors, cudaStream_t stream);

}  // namespace velum::benchmarking
