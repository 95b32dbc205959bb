// A block finds the rows of its sample among all rows, and sorts them. For few samples, of moderate
// length, this is one launch in place of several passes over all keys.
#include <cstdint>

#include "cuda/launch.cuh"
#include "gradients/segment_sort.h"

namespace velum::kernels {
namespace {

struct SampleSortConfig {
  static constexpr int kThreads = 256;
  /// Rows of a sample that are sorted in shared memory, 8 bytes each: those of longer samples are
  /// sorted where they lie in the workspace.
  static constexpr int kShared = 4096;
  /// Rows whose samples are looked at by each block: half a megabyte, from the L2 cache.
  static constexpr std::int64_t kMaxRows = std::int64_t{1} << 16;
  /// .. and by all blocks: 32 MiB, as long as a few launches take.
  static constexpr std::int64_t kMaxLooks = std::int64_t{1} << 22;
  /// Rows of a sample on average, so that few samples are longer than kShared.
  static constexpr std::int64_t kMaxMean = kShared / 4;
  /// Of an entry, for the row; the others are for the index.
  static constexpr int kRowBits = 31;
  static constexpr std::int64_t kMaxTable = std::int64_t{1} << 32;
};

/// Sorts entries[0 .. count) by the threads of a block: bitonic merges whose first comparisons are
/// mirrored, so that each puts the smaller entry first, and entries beyond the last, which count as
/// infinite, stay where they are.
__device__ void sort_ascending(std::uint64_t* entries, int count) {
  const auto order = [entries](int low, int high) {
    const std::uint64_t a = entries[low];
    const std::uint64_t b = entries[high];
    if (a > b) {
      entries[low] = b;
      entries[high] = a;
    }
  };
  const auto thread = static_cast<int>(threadIdx.x);
  for (int log_run = 0; 1 << log_run < count; ++log_run) {  // pairs of sorted runs become one
    const int run = 1 << log_run;
    for (int t = thread;; t += SampleSortConfig::kThreads) {
      const int begin = t >> log_run << (log_run + 1);
      const int offset = t & (run - 1);
      const int low = begin + offset;
      if (low >= count) break;
      const int high = begin + 2 * run - 1 - offset;
      if (high < count) order(low, high);
    }
    __syncthreads();
    for (int log_half = log_run - 1; log_half >= 0; --log_half) {
      const int half = 1 << log_half;
      for (int t = thread;; t += SampleSortConfig::kThreads) {
        const int high = (t >> log_half << (log_half + 1)) + half + (t & (half - 1));
        if (high >= count) break;
        order(high - half, high);
      }
      __syncthreads();
    }
  }
}

/// Block b has sample b; the last one has the rows that add nothing, which stand behind all others
/// in any order: padding, then rows of no sample.
__global__ void __launch_bounds__(SampleSortConfig::kThreads)
    sort_rows_by_sample_kernel(NormKeys keys, std::int64_t rows, std::uint64_t* long_entries,
                               std::uint64_t* sorted_keys, std::int32_t* sorted_rows) {
  using Config = SampleSortConfig;
  __shared__ std::uint64_t short_entries[Config::kShared];
  __shared__ int own_count, before_count, padding_count;
  const auto thread = static_cast<int>(threadIdx.x);
  const auto count = static_cast<int>(rows);
  for (std::int64_t own = blockIdx.x; own <= keys.batch; own += gridDim.x) {
    if (thread == 0) own_count = before_count = padding_count = 0;
    __syncthreads();
    int before = 0;
    int padding = 0;
    for (int row = thread; row < count; row += Config::kThreads) {
      const std::int64_t sample = keys.samples[row];
      if (sample < 0 || sample > own || sample >= keys.batch) continue;
      if (keys.is_padding(row)) {
        ++padding;
      } else if (sample < own) {
        ++before;
      } else {
        const int at = atomicAdd(&own_count, 1);
        if (at < Config::kShared) short_entries[at] = keys.index_of(row) << Config::kRowBits | row;
      }
    }
    atomicAdd(&before_count, before);
    if (own == keys.batch) atomicAdd(&padding_count, padding);
    __syncthreads();
    const int begin = before_count;
    if (own == keys.batch) {
      const int unknown = begin + padding_count;
      __syncthreads();
      if (thread == 0) padding_count = unknown;  // both are now where the next row goes
      __syncthreads();
      for (int row = thread; row < count; row += Config::kThreads) {
        const std::uint64_t key = keys(row);
        if (key < keys.segments_end()) continue;
        const int at = atomicAdd(key == keys.segments_end() ? &before_count : &padding_count, 1);
        sorted_keys[at] = key;
        sorted_rows[at] = row;
      }
    } else {
      const int mine = own_count;
      std::uint64_t* entries = short_entries;
      if (mine > Config::kShared) {
        entries = long_entries + begin;
        __syncthreads();
        if (thread == 0) own_count = 0;
        __syncthreads();
        for (int row = thread; row < count; row += Config::kThreads) {
          if (keys.samples[row] != own || keys.is_padding(row)) continue;
          entries[atomicAdd(&own_count, 1)] = keys.index_of(row) << Config::kRowBits | row;
        }
        __syncthreads();
      }
      sort_ascending(entries, mine);
      for (int i = thread; i < mine; i += Config::kThreads) {
        const std::uint64_t entry = entries[i];
        sorted_keys[begin + i] = keys.first_of(own) + (entry >> Config::kRowBits);
        sorted_rows[begin + i] =
            static_cast<std::int32_t>(entry & ((std::uint64_t{1} << Config::kRowBits) - 1));
      }
    }
    __syncthreads();  // the counters and entries are used again
  }
}

}  // namespace

bool sorts_by_sample(std::int64_t rows, std::int64_t batch, std::int64_t table_rows) {
  using Config = SampleSortConfig;
  return rows <= Config::kMaxRows && batch <= Config::kMaxLooks / (rows + 1) &&
         rows <= batch * Config::kMaxMean && table_rows <= Config::kMaxTable;
}

void sort_rows_by_sample_cuda(const NormKeys& keys, std::int64_t rows, std::uint64_t* scratch,
                              std::uint64_t* sorted_keys, std::int32_t* sorted_rows,
                              const Stream& stream) {
  using Config = SampleSortConfig;
  cuda::launch({cuda::grid_stride_blocks(keys.batch + 1, 1, Config::kMaxLooks), Config::kThreads},
               stream, sort_rows_by_sample_kernel, keys, rows, scratch, sorted_keys, sorted_rows);
}

}  // namespace velum::kernels
