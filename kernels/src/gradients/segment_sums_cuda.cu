// Rows are sorted by key. A warp sums the rows of a chunk of the sorted order for a tile of
// columns; a segment within the chunk is finished there. Of a segment that crosses chunks each
// chunk keeps a piece, and a second kernel adds the pieces in order. So no segment is one warp's
// alone, however often an index occurs, and nothing is added by atomics.
#include <cmath>
#include <cub/block/block_reduce.cuh>
#include <type_traits>

#include "cuda/for_each_index.cuh"
#include "gradients/product_body.h"
#include "gradients/segment_sort.h"
#include "gradients/segment_sums_halves.h"

namespace velum::kernels {
namespace {

struct SegmentConfig {
  /// Sorted rows of a chunk: long enough that its two pieces are little beside its rows.
  static constexpr int kChunk = 64;
  /// Columns per lane, 32 apart: a warp reads four whole lines of a row of floats.
  static constexpr int kColsPerLane = 4;
  static constexpr int kCols = 32 * kColsPerLane;
  /// Two warps: 8192 rows of 256 columns are 128 blocks, about one for each of 132 SMs.
  static constexpr int kThreads = 64;
  static constexpr int kWarps = kThreads / 32;
  /// At most 128 registers, so that none of the kUnroll x kColsPerLane values is spilled.
  static constexpr int kMinBlocks = 8;
  /// Rows whose loads are in flight at once.
  static constexpr int kUnroll = 4;
  /// 32 resident blocks on each of 132 SMs, in 16 waves; chunks beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 32 * 16;
};

/// Everything behind the sort.
struct SortedRows {
  const std::uint64_t* keys;  // [count], ascending
  const std::int32_t* rows;   // [count]
  std::int64_t count;
  std::uint64_t segments_end;  // keys from here on are no segments
  double* first_pieces;        // [chunks, width]: of a segment that began in an earlier chunk
  double* last_pieces;         // [chunks, width]: of one that begins here and goes on
  std::int64_t width;

  VELUM_HOST_DEVICE std::int64_t chunks() const { return divide_up(count, SegmentConfig::kChunk); }
  VELUM_HOST_DEVICE std::int64_t tiles() const { return divide_up(width, SegmentConfig::kCols); }
  __device__ std::int64_t begin_of(std::int64_t chunk) const {
    return chunk * SegmentConfig::kChunk;
  }
  __device__ std::int64_t end_of(std::int64_t chunk) const {
    return min(count, (chunk + 1) * SegmentConfig::kChunk);
  }
  /// Whether the segment of position p begins in p's chunk.
  __device__ bool begins_in_chunk(std::int64_t p) const {
    const std::int64_t begin = p / SegmentConfig::kChunk * SegmentConfig::kChunk;
    return begin == 0 || keys[begin - 1] != keys[p];
  }
  /// The one position by which a segment is known: the last one in the chunk where it begins.
  __device__ bool names_its_segment(std::int64_t p) const {
    const bool last_in_chunk =
        p + 1 == count || (p + 1) % SegmentConfig::kChunk == 0 || keys[p + 1] != keys[p];
    return last_in_chunk && begins_in_chunk(p);
  }
};

/// What becomes of a finished segment: its squares are summed, [count, tiles] ..
struct KeepSquares {
  double* squares;
  std::int64_t tiles;

  __device__ void operator()(std::int64_t position, std::uint64_t /*key*/, std::int64_t tile,
                             int lane, std::int64_t /*width*/,
                             const double (&sums)[SegmentConfig::kColsPerLane]) const {
    double sum = 0.0;
#pragma unroll
    for (int c = 0; c < SegmentConfig::kColsPerLane; ++c) sum = fma(sums[c], sums[c], sum);
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(~0u, sum, step);
    if (lane == 0) squares[position * tiles + tile] = sum;
  }
};

/// .. or it is a row of the result.
template <typename T>
struct WriteRow {
  MatrixView<T> out;

  __device__ void operator()(std::int64_t /*position*/, std::uint64_t key, std::int64_t tile,
                             int lane, std::int64_t width,
                             const double (&sums)[SegmentConfig::kColsPerLane]) const {
    T* const row = out.data + static_cast<std::int64_t>(key) * out.row_stride;
#pragma unroll
    for (int c = 0; c < SegmentConfig::kColsPerLane; ++c) {
      const std::int64_t col = tile * SegmentConfig::kCols + c * 32 + lane;
      if (col < width) row[col] = static_cast<T>(sums[c]);
    }
  }
};

__device__ inline void put_piece(double* pieces, std::int64_t width, std::int64_t tile, int lane,
                                 const double (&sums)[SegmentConfig::kColsPerLane]) {
#pragma unroll
  for (int c = 0; c < SegmentConfig::kColsPerLane; ++c) {
    const std::int64_t col = tile * SegmentConfig::kCols + c * 32 + lane;
    if (col < width) pieces[col] = sums[c];
  }
}

__device__ inline void add_piece(const double* pieces, std::int64_t width, std::int64_t tile,
                                 int lane, double (&sums)[SegmentConfig::kColsPerLane]) {
#pragma unroll
  for (int c = 0; c < SegmentConfig::kColsPerLane; ++c) {
    const std::int64_t col = tile * SegmentConfig::kCols + c * 32 + lane;
    if (col < width) sums[c] += pieces[col];
  }
}

template <typename T, typename Weights, typename Finish>
__global__ void __launch_bounds__(SegmentConfig::kThreads, SegmentConfig::kMinBlocks)
    segment_chunks_kernel(SortedRows sorted, MatrixView<const T> grads, Weights weights,
                          Finish finish) {
  using Config = SegmentConfig;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t tiles = sorted.tiles();
  const std::int64_t items = sorted.chunks() * tiles;
  for (std::int64_t item =
           static_cast<std::int64_t>(blockIdx.x) * Config::kWarps + threadIdx.x / 32;
       item < items; item += static_cast<std::int64_t>(gridDim.x) * Config::kWarps) {
    const std::int64_t chunk = item / tiles;
    const std::int64_t tile = item % tiles;
    const std::int64_t begin = sorted.begin_of(chunk);
    const std::int64_t end = sorted.end_of(chunk);
    double sums[Config::kColsPerLane] = {};
    for (std::int64_t first = begin; first < end; first += Config::kUnroll) {
      double values[Config::kUnroll][Config::kColsPerLane];
#pragma unroll
      for (int i = 0; i < Config::kUnroll; ++i) {
        const std::int64_t p = first + i;
        const bool adds = p < end && sorted.keys[p] < sorted.segments_end;
        const std::int64_t row = adds ? sorted.rows[p] : 0;
        const double weight = adds ? weights(row) : 0.0;
#pragma unroll
        for (int c = 0; c < Config::kColsPerLane; ++c) {
          const std::int64_t col = tile * Config::kCols + c * 32 + lane;
          // Selected: rows that add nothing may hold anything.
          values[i][c] =
              adds && col < sorted.width
                  ? weight * static_cast<double>(grads.data[row * grads.row_stride + col])
                  : 0.0;
        }
      }
#pragma unroll
      for (int i = 0; i < Config::kUnroll; ++i) {
        const std::int64_t p = first + i;
        if (p >= end) break;
        const std::uint64_t key = sorted.keys[p];
        if (key >= sorted.segments_end) break;
#pragma unroll
        for (int c = 0; c < Config::kColsPerLane; ++c) sums[c] += values[i][c];
        const bool ends = p + 1 == sorted.count || sorted.keys[p + 1] != key;
        if (!ends && p + 1 < end) continue;
        if (!sorted.begins_in_chunk(p)) {
          put_piece(sorted.first_pieces + chunk * sorted.width, sorted.width, tile, lane, sums);
        } else if (ends) {
          finish(p, key, tile, lane, sorted.width, sums);
        } else {
          put_piece(sorted.last_pieces + chunk * sorted.width, sorted.width, tile, lane, sums);
        }
#pragma unroll
        for (int c = 0; c < Config::kColsPerLane; ++c) sums[c] = 0.0;
      }
    }
  }
}

/// Segments that cross chunks: the chunk where one begins adds the pieces of those that follow.
template <typename Finish>
__global__ void __launch_bounds__(SegmentConfig::kThreads)
    segment_pieces_kernel(SortedRows sorted, Finish finish) {
  using Config = SegmentConfig;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t tiles = sorted.tiles();
  const std::int64_t items = sorted.chunks() * tiles;
  for (std::int64_t item =
           static_cast<std::int64_t>(blockIdx.x) * Config::kWarps + threadIdx.x / 32;
       item < items; item += static_cast<std::int64_t>(gridDim.x) * Config::kWarps) {
    const std::int64_t chunk = item / tiles;
    const std::int64_t tile = item % tiles;
    const std::int64_t last = sorted.end_of(chunk) - 1;
    if (last + 1 == sorted.count) continue;
    const std::uint64_t key = sorted.keys[last];
    if (sorted.keys[last + 1] != key || key >= sorted.segments_end ||
        !sorted.begins_in_chunk(last)) {
      continue;
    }
    double sums[Config::kColsPerLane] = {};
    add_piece(sorted.last_pieces + chunk * sorted.width, sorted.width, tile, lane, sums);
    for (std::int64_t next = chunk + 1;
         next < sorted.chunks() && sorted.keys[sorted.begin_of(next)] == key; ++next) {
      add_piece(sorted.first_pieces + next * sorted.width, sorted.width, tile, lane, sums);
    }
    finish(last, key, tile, lane, sorted.width, sums);
  }
}

template <typename Keys>
struct MakeKeysBody {
  Keys keys;
  std::uint64_t* out;
  std::int32_t* rows;
  VELUM_HOST_DEVICE void operator()(std::int64_t row) const {
    out[row] = keys(row);
    rows[row] = static_cast<std::int32_t>(row);
  }
};

struct SampleSumConfig {
  static constexpr int kThreads = 256;
  /// Additions on one thread before its sum moves on: keeps the chain of roundings short.
  static constexpr int kRun = 256;
  /// Eight resident blocks on each of 132 SMs, in 16 waves; samples beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 16;
};

/// The first position whose key is at least `key`.
__device__ inline std::int64_t lower_bound(const SortedRows& sorted, std::uint64_t key) {
  std::int64_t low = 0;
  std::int64_t high = sorted.count;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (sorted.keys[middle] < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Order: thread t sums the squares of (position, tile) t, t + kThreads, .. of the sample in order;
/// then cub::BlockReduce's tree.
__global__ void __launch_bounds__(SampleSumConfig::kThreads)
    segment_squared_norms_kernel(SortedRows sorted, NormKeys keys, KeepSquares kept,
                                 Span<double> squared_norms) {
  using Config = SampleSumConfig;
  using BlockReduce = cub::BlockReduce<double, Config::kThreads>;
  __shared__ typename BlockReduce::TempStorage storage;
  const bool unknown_sample =
      sorted.count > 0 && sorted.keys[sorted.count - 1] == keys.unknown_sample();
  for (std::int64_t sample = blockIdx.x; sample < squared_norms.size(); sample += gridDim.x) {
    const std::int64_t begin = lower_bound(sorted, keys.first_of(sample));
    const std::int64_t end = lower_bound(sorted, keys.first_of(sample + 1));
    const std::int64_t items = (end - begin) * kept.tiles;
    double mine = 0.0;
    for (std::int64_t i = threadIdx.x; i < items;) {
      double run = 0.0;
      for (int k = 0; k < Config::kRun && i < items; ++k, i += Config::kThreads) {
        const std::int64_t position = begin + i / kept.tiles;
        if (sorted.names_its_segment(position)) {
          run += kept.squares[position * kept.tiles + i % kept.tiles];
        }
      }
      mine += run;
    }
    // Keys ascend, so that an index that is not of the table stands last.
    const bool unknown_index = end > begin && sorted.keys[end - 1] == keys.unknown_index_of(sample);
    const double sum = BlockReduce(storage).Sum(mine);
    if (threadIdx.x == 0) {
      squared_norms[sample] = unknown_sample || unknown_index ? static_cast<double>(NAN) : sum;
    }
    __syncthreads();  // the storage is used again
  }
}

constexpr std::int64_t kWorkspaceAlignment = 256;

/// Places arrays one after the other in a workspace; with a null workspace it counts bytes.
class Carver {
 public:
  explicit Carver(std::uint8_t* workspace) : workspace_(workspace) {}
  template <typename T>
  T* take(std::int64_t count) {
    T* const array = workspace_ == nullptr ? nullptr : reinterpret_cast<T*>(workspace_ + bytes_);
    bytes_ += divide_up(count * static_cast<std::int64_t>(sizeof(T)), kWorkspaceAlignment) *
              kWorkspaceAlignment;
    return array;
  }
  std::int64_t bytes() const { return bytes_; }

 private:
  std::uint8_t* workspace_;
  std::int64_t bytes_ = 0;
};

struct SegmentMemory {
  std::uint64_t* keys;
  std::int32_t* rows;
  std::uint64_t* sorted_keys;
  std::int32_t* sorted_rows;
  std::uint8_t* temporary;
  std::size_t temporary_bytes;
  SortedRows sorted;
};

SegmentMemory carve(Carver& carver, std::int64_t count, std::int64_t width,
                    std::uint64_t largest_key, const Stream& stream) {
  SegmentMemory memory{};
  memory.sorted.count = count;
  memory.sorted.width = width;
  const std::int64_t pieces = memory.sorted.chunks() * width;
  memory.temporary_bytes = sort_rows_temporary_bytes_cuda(count, largest_key, stream);
  memory.keys = carver.take<std::uint64_t>(count);
  memory.rows = carver.take<std::int32_t>(count);
  memory.sorted.keys = memory.sorted_keys = carver.take<std::uint64_t>(count);
  memory.sorted.rows = memory.sorted_rows = carver.take<std::int32_t>(count);
  memory.sorted.first_pieces = carver.take<double>(pieces);
  memory.sorted.last_pieces = carver.take<double>(pieces);
  memory.temporary = carver.take<std::uint8_t>(static_cast<std::int64_t>(memory.temporary_bytes));
  return memory;
}

template <typename Keys>
void sort_rows(const SegmentMemory& memory, const Keys& keys, const Stream& stream) {
  const std::int64_t count = memory.sorted.count;
  if constexpr (std::is_same_v<Keys, NormKeys>) {
    if (sorts_by_sample(count, keys.batch, keys.table_rows)) {
      sort_rows_by_sample_cuda(keys, count, memory.keys, memory.sorted_keys, memory.sorted_rows,
                               stream);
      return;
    }
  }
  cuda::for_each_index(count, MakeKeysBody<Keys>{keys, memory.keys, memory.rows}, stream);
  sort_rows_cuda(memory.keys, memory.sorted_keys, memory.rows, memory.sorted_rows, count,
                 keys.largest(), memory.temporary, memory.temporary_bytes, stream);
}

template <typename T, typename Keys, typename Weights, typename Finish>
void sum_segments(SegmentMemory& memory, MatrixView<const T> grads, const Keys& keys,
                  const Weights& weights, const Finish& finish, const Stream& stream) {
  using Config = SegmentConfig;
  SortedRows& sorted = memory.sorted;
  sorted.segments_end = keys.segments_end();
  if (sorted.count == 0) return;
  sort_rows(memory, keys, stream);
  const std::int64_t items = sorted.chunks() * sorted.tiles();
  if (items == 0) return;
  const cuda::LaunchConfig config{
      cuda::grid_stride_blocks(items, Config::kWarps, Config::kMaxBlocks), Config::kThreads};
  cuda::launch(config, stream, segment_chunks_kernel<T, Weights, Finish>, sorted, grads, weights,
               finish);
  cuda::launch(config, stream, segment_pieces_kernel<Finish>, sorted, finish);
}

}  // namespace

std::int64_t segment_squared_norms_workspace_size_cuda(std::int64_t rows, std::int64_t width,
                                                       std::uint64_t largest_key,
                                                       const Stream& stream) {
  Carver carver(nullptr);
  const SegmentMemory memory = carve(carver, rows, width, largest_key, stream);
  carver.take<double>(rows * memory.sorted.tiles());
  return carver.bytes();
}

template <typename T>
void segment_squared_norms_cuda(const SegmentNormsTask<T>& task, const Stream& stream) {
  Carver carver(task.workspace.data());
  SegmentMemory memory =
      carve(carver, task.grads.rows, task.grads.cols, task.keys.largest(), stream);
  const std::int64_t tiles = memory.sorted.tiles();
  const KeepSquares kept{carver.take<double>(task.grads.rows * tiles), tiles};
  sum_segments(memory, task.grads, task.keys, UnitWeights(), kept, stream);
  const std::int64_t batch = task.squared_norms.size();
  if (batch == 0) return;
  using Config = SampleSumConfig;
  cuda::launch({cuda::grid_stride_blocks(batch, 1, Config::kMaxBlocks), Config::kThreads}, stream,
               segment_squared_norms_kernel, memory.sorted, task.keys, kept, task.squared_norms);
}

std::int64_t segment_weighted_sum_workspace_size_cuda(std::int64_t rows, std::int64_t width,
                                                      std::uint64_t largest_key,
                                                      const Stream& stream) {
  Carver carver(nullptr);
  carve(carver, rows, width, largest_key, stream);
  return carver.bytes();
}

template <typename T>
void segment_weighted_sum_cuda(const SegmentSumTask<T>& task, const Stream& stream) {
  Carver carver(task.workspace.data());
  SegmentMemory memory =
      carve(carver, task.grads.rows, task.grads.cols, task.keys.largest(), stream);
  cuda::for_each_index(task.out.rows * task.out.cols, ZeroBody<T>{task.out}, stream);
  sum_segments(memory, task.grads, task.keys, FactorWeights{task.keys.samples, task.keys.factors},
               WriteRow<T>{task.out}, stream);
}

#define VELUM_INSTANTIATE(T)                                                           \
  template void segment_squared_norms_cuda(const SegmentNormsTask<T>&, const Stream&); \
  template void segment_weighted_sum_cuda(const SegmentSumTask<T>&, const Stream&);
VELUM_INSTANTIATE(float)
VELUM_INSTANTIATE(double)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
