#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

/// Kernels of clusters: each right, and with one mistake of a kind.
namespace velum::emulation::clusters {

/// What is wrong with a kernel.
enum class Mistake {
  kNone,
  kNoFirstBarrier,   // before the memory of another block is accessed
  kNoLastBarrier,    // after it, so that the block may exit
  kBlockBarrier,     // of the block alone in place of the first
  kRelaxed,          // arrival, without a fence
  kNarrowScope,      // .cta where threads of two blocks synchronise
  kNarrowWait,       // likewise, of the wait alone
  kAccessInBetween,  // after the arrival, before the wait
  kNoArrival,
  kArrivesTwice,
  kWrongRank,  // of a block that the cluster does not have
  kOwnSpace,   // an instruction for the block's own shared memory
  kNoWait,
  kTooManyExpected,
  kNoInit,
  kNoFence,  // after the initialisation of an mbarrier
  kOwnMbarrier,
  kOverwrites,  // the source of a copy, before it is complete
};

constexpr int kThreads = 64;
constexpr int kRounds = 3;

/// Coordinates and extents that a block sees: its place, rank and number of blocks in the cluster,
/// the place and number of clusters, and whether the launch was explicit.
struct Registers {
  dim3 block_in_cluster;
  dim3 cluster_blocks;
  dim3 cluster;
  dim3 clusters;
  std::uint32_t rank;
  std::uint32_t blocks;
  std::uint32_t is_explicit;
};
/// registers[blocks], by place in the grid. A cluster of (0, 0, 0) is not given to the launch.
cudaError_t read_registers(dim3 grid, dim3 cluster, Registers* registers);

/// For each pair of blocks of a cluster, what the first makes of addresses in the second:
/// answers[cluster][from][to][kAnswers].
constexpr int kAnswers = 12;
cudaError_t ask_about_addresses(int clusters, int size, std::uint32_t* answers);

/// Clusters of two: each thread reads what the one opposite in the other block has written.
/// out[b * 64 + i] = in[(b ^ 1) * 64 + 63 - i].
cudaError_t exchange(int blocks, const int* in, int* out, Mistake mistake);
/// Block 0 of a cluster of two reads from block 1, which has much to do before it ends.
cudaError_t read_one_way(int blocks, const int* in, int* out, Mistake mistake);
/// As `exchange`, with relaxed arrivals behind fences.
cudaError_t exchange_by_fences(int blocks, const int* in, int* out, Mistake mistake);
/// The same through device memory (`between`, of the same size), with the barrier of the cluster
/// alone.
cudaError_t exchange_in_device_memory(int blocks, const int* in, int* between, int* out,
                                      Mistake mistake);
/// kRounds times each block hands its values, plus one, to the next of its cluster, by the classes
/// of cooperative_groups.
cudaError_t pass_around(int blocks, int size, const int* in, int* out, bool cooperative);
/// As `exchange`: the reader's block has an mbarrier, at which the writers in the other arrive.
/// `way`: 0 arrive, 1 arrive_drop, 2 arrive.expect_tx with complete_tx after it, 3 a count.
cudaError_t exchange_by_mbarrier(int blocks, const int* in, int* out, int way, Mistake mistake);
/// As `exchange`, by bulk copies into the other block's shared memory.
cudaError_t exchange_by_bulk_copy(int blocks, const int* in, int* out, Mistake mistake);
/// As `exchange`, of one value, which a flag in the reader's shared memory announces.
cudaError_t exchange_by_flag(int blocks, const int* in, int* out, Mistake mistake);
/// All threads of a cluster of `size` add to a counter in the memory of rank 0. counts[clusters].
cudaError_t count_threads(int blocks, int size, unsigned* counts);
/// Warps exit before the others wait for each other at the barrier of the cluster.
cudaError_t wait_without_the_exited(int blocks, int size, int* out);
/// Lanes of a warp reach the barrier at different places, which `aligned` ones may not.
cudaError_t reach_at_different_places(int blocks, bool aligned);
/// Of a cluster of two, block 1 never comes to the barrier: it waits at one of its own for more
/// threads than it has.
cudaError_t leave_a_block_out();
/// Rank 0 spins on device memory until rank 1 has written there.
cudaError_t spin_on_device_memory(int size, int* flag);

/// A kernel that says nothing about clusters, which are of `size` blocks if that is not 0.
cudaError_t launch_any(dim3 grid, dim3 cluster, int shared);
cudaError_t allow_large_clusters(bool allow);
/// A kernel of clusters of two by its declaration.
cudaError_t launch_required(dim3 grid, dim3 cluster);
cudaFuncAttributes attributes_of_required();
int active_clusters(int size, int shared);
int potential_cluster_size(int shared);

}  // namespace velum::emulation::clusters
