#pragma once

#include <cstdint>
#include <vector>

/// CUB's device-wide and block-wide algorithms, on host vectors.
namespace velum::emulation::cub_kernels {

/// The sums of the segments [offsets[i], offsets[i + 1]).
std::vector<float> segmented_sum(const std::vector<float>& values, const std::vector<int>& offsets);
/// The values whose flag is not 0, in order; compaction with decoupled look-back between blocks.
std::vector<std::int64_t> select_flagged(const std::vector<std::int64_t>& values,
                                         const std::vector<std::uint8_t>& flags);
std::vector<std::uint32_t> exclusive_sum(const std::vector<std::uint32_t>& values);
double sum(const std::vector<double>& values);
/// Sums of runs of 256 values by cub::BlockReduce with 256 threads.
std::vector<float> block_sums(const std::vector<float>& values);
/// Sums of runs of 16 values by cub::WarpReduce.
std::vector<int> warp_sums(const std::vector<int>& values);
std::vector<std::uint32_t> sort(const std::vector<std::uint32_t>& values);

}  // namespace velum::emulation::cub_kernels
