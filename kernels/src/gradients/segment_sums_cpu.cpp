// Rows are sorted by key and, within a key, by their number; a thread takes the segments that begin
// in its part of the sorted order.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>

#include "cpu/for_each_index.h"
#include "gradients/product_cpu.h"
#include "gradients/segment_sums_halves.h"

namespace velum::kernels {
namespace {

struct KeyedRow {
  std::uint64_t key;
  std::int64_t row;
};

constexpr std::int64_t kGrain = 64;       // sorted rows to a thread at once
constexpr std::int64_t kColumns = 512;    // whose sums lie on the stack
constexpr std::int64_t kSquaresRun = 32;  // before they join the sum of a segment

template <typename Keys>
Span<const KeyedRow> sorted_rows(const Keys& keys, std::int64_t rows, Span<std::uint8_t> workspace,
                                 const Stream& stream) {
  auto* const keyed = reinterpret_cast<KeyedRow*>(workspace.data());
  stream.parallel_for().run(rows, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) keyed[row] = {keys(row), row};
  });
  std::sort(keyed, keyed + rows, [](const KeyedRow& a, const KeyedRow& b) {
    return a.key != b.key ? a.key < b.key : a.row < b.row;
  });
  return {keyed, rows};
}

/// Calls visit(first, last, first_col, cols, sums) for every segment [first, last) of the sorted
/// rows and every tile of columns.
template <typename T, typename Weights, typename Visit>
void for_each_segment(Span<const KeyedRow> sorted, std::uint64_t segments_end,
                      MatrixView<const T> grads, const Weights& weights, const Visit& visit,
                      const Stream& stream) {
  stream.parallel_for().run(sorted.size(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    double sums[kColumns];
    for (std::int64_t first = begin; first < end;) {
      const std::uint64_t key = sorted[first].key;
      const bool begins_here = first == 0 || sorted[first - 1].key != key;
      const std::int64_t limit = begins_here ? sorted.size() : end;
      std::int64_t last = first + 1;
      while (last < limit && sorted[last].key == key) ++last;
      for (std::int64_t col = 0; col < grads.cols && begins_here && key < segments_end;
           col += kColumns) {
        const std::int64_t cols = std::min(kColumns, grads.cols - col);
        std::fill_n(sums, cols, 0.0);
        for (std::int64_t i = first; i < last; ++i) {
          const double weight = weights(sorted[i].row);
          const T* const row = grads.data + sorted[i].row * grads.row_stride + col;
          for (std::int64_t c = 0; c < cols; ++c) sums[c] += weight * static_cast<double>(row[c]);
        }
        visit(first, col, cols, sums);
      }
      first = last;
    }
  });
}

}  // namespace

std::int64_t segment_squared_norms_workspace_size_cpu(std::int64_t rows) {
  return rows * static_cast<std::int64_t>(sizeof(KeyedRow) + sizeof(cpu::LongSum));
}

std::int64_t segment_weighted_sum_workspace_size_cpu(std::int64_t rows) {
  return rows * static_cast<std::int64_t>(sizeof(KeyedRow));
}

template <typename T>
void segment_squared_norms_cpu(const SegmentNormsTask<T>& task, const Stream& stream) {
  const std::int64_t rows = task.grads.rows;
  const NormKeys& keys = task.keys;
  const Span<const KeyedRow> sorted = sorted_rows(keys, rows, task.workspace, stream);
  // Of each segment, at its first row.
  auto* const squares = reinterpret_cast<cpu::LongSum*>(
      task.workspace.data() + rows * static_cast<std::int64_t>(sizeof(KeyedRow)));
  for_each_segment(
      sorted, keys.segments_end(), task.grads, UnitWeights(),
      [&](std::int64_t first, std::int64_t col, std::int64_t cols, const double* sums) {
        if (col == 0) std::construct_at(squares + first);
        for (std::int64_t begin = 0; begin < cols; begin += kSquaresRun) {
          double run = 0;
          for (std::int64_t c = begin; c < std::min(begin + kSquaresRun, cols); ++c) {
            run += sums[c] * sums[c];
          }
          squares[first].add(run);
        }
      },
      stream);
  const bool unknown_sample = rows > 0 && sorted[rows - 1].key == keys.unknown_sample();
  const auto below = [](const KeyedRow& row, std::uint64_t key) { return row.key < key; };
  cpu::for_each_index(
      task.squared_norms.size(), 1,
      [&](std::int64_t sample) {
        const auto* const end =
            std::lower_bound(sorted.begin(), sorted.end(), keys.first_of(sample + 1), below);
        const auto* row =
            std::lower_bound(sorted.begin(), sorted.end(), keys.first_of(sample), below);
        bool unknown = unknown_sample;
        cpu::LongSum norm;
        for (; row != end; ++row) {
          unknown = unknown || row->key == keys.unknown_index_of(sample);
          const bool begins = row == sorted.begin() || (row - 1)->key != row->key;
          if (begins && task.grads.cols > 0) norm.add(squares[row - sorted.begin()].total());
        }
        task.squared_norms[sample] =
            unknown ? std::numeric_limits<double>::quiet_NaN() : norm.total();
      },
      stream);
}

template <typename T>
void segment_weighted_sum_cpu(const SegmentSumTask<T>& task, const Stream& stream) {
  const Span<const KeyedRow> sorted =
      sorted_rows(task.keys, task.grads.rows, task.workspace, stream);
  cpu::for_each_index(task.out.rows * task.out.cols, 4096, ZeroBody<T>{task.out}, stream);
  for_each_segment(
      sorted, task.keys.segments_end(), task.grads,
      FactorWeights{task.keys.samples, task.keys.factors},
      [&](std::int64_t first, std::int64_t col, std::int64_t cols, const double* sums) {
        const auto index = static_cast<std::int64_t>(sorted[first].key);
        T* const out = task.out.data + index * task.out.row_stride + col;
        for (std::int64_t c = 0; c < cols; ++c) out[c] = static_cast<T>(sums[c]);
      },
      stream);
}

#define VELUM_INSTANTIATE(T)                                                          \
  template void segment_squared_norms_cpu(const SegmentNormsTask<T>&, const Stream&); \
  template void segment_weighted_sum_cpu(const SegmentSumTask<T>&, const Stream&);
VELUM_INSTANTIATE(float)
VELUM_INSTANTIATE(double)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
