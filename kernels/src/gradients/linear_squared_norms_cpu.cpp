#include <algorithm>

#include "cpu/for_each_index.h"
#include "gradients/clamp_at_zero.h"
#include "gradients/linear_squared_norms_halves.h"
#include "gradients/product_cpu.h"

namespace velum::kernels {
namespace {

/// Rows [first_step, first_step + depth) of a sequence.
template <std::int64_t kStride, typename T>
void stage_rows(const SequenceView<const T>& view, std::int64_t sample, std::int64_t first_step,
                std::int64_t depth, std::int64_t first, std::int64_t count, double* to) {
  const T* from = view.data + sample * view.batch_stride + first_step * view.step_stride + first;
  for (std::int64_t k = 0; k < depth; ++k, from += view.step_stride, to += kStride) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<double>(from[i]);
  }
}

/// Columns [first_col, first_col + depth) of rows [first_step, first_step + count), transposed.
template <std::int64_t kStride, typename T>
void stage_columns(const SequenceView<const T>& view, std::int64_t sample, std::int64_t first_step,
                   std::int64_t count, std::int64_t first_col, std::int64_t depth, double* to) {
  const T* from =
      view.data + sample * view.batch_stride + first_step * view.step_stride + first_col;
  for (std::int64_t row = 0; row < count; ++row, from += view.step_stride, ++to) {
    for (std::int64_t k = 0; k < depth; ++k) to[k * kStride] = static_cast<double>(from[k]);
  }
}

template <typename T>
struct LinearOperands {
  const SequenceView<const T>& activations;
  const SequenceView<const T>& grads;

  void stage_outputs(std::int64_t sample, std::int64_t /*group*/, std::int64_t first_step,
                     std::int64_t depth, std::int64_t first, std::int64_t count, double* to) const {
    stage_rows<cpu::kTileOutputs>(grads, sample, first_step, depth, first, count, to);
  }
  void stage_features(std::int64_t sample, std::int64_t /*group*/, std::int64_t first_step,
                      std::int64_t depth, std::int64_t first, std::int64_t count,
                      double* to) const {
    stage_rows<cpu::kTileFeatures>(activations, sample, first_step, depth, first, count, to);
  }
};

/// Products of rows [row, row + rows) with rows [col, col + cols), columns in index order.
template <typename T>
void gram_tile(const SequenceView<const T>& view, std::int64_t sample, std::int64_t row,
               std::int64_t rows, std::int64_t col, std::int64_t cols, cpu::TileMemory& memory,
               double* sums) {
  std::fill_n(sums, cpu::kTileOutputs * cpu::kTileFeatures, 0.0);
  for (std::int64_t first = 0; first < view.width; first += cpu::kTileDepth) {
    const std::int64_t depth = std::min(cpu::kTileDepth, view.width - first);
    stage_columns<cpu::kTileOutputs>(view, sample, row, rows, first, depth, memory.outputs);
    stage_columns<cpu::kTileFeatures>(view, sample, col, cols, first, depth, memory.features);
    cpu::add_tile_products(memory.outputs, memory.features, depth, rows, sums);
  }
}

/// Order of summation: a tile's terms row by row, tiles by LongSum.
template <typename T>
double gram_squared_norm(const LinearNormsTask<T>& task, std::int64_t sample,
                         cpu::TileMemory& memory) {
  alignas(64) double of_activations[cpu::kTileOutputs * cpu::kTileFeatures];
  const std::int64_t steps = task.grads.steps;
  cpu::LongSum terms;
  for (std::int64_t row = 0; row < steps; row += cpu::kTileOutputs) {
    const std::int64_t rows = std::min(cpu::kTileOutputs, steps - row);
    for (std::int64_t col = 0; col < steps; col += cpu::kTileFeatures) {
      const std::int64_t cols = std::min(cpu::kTileFeatures, steps - col);
      gram_tile(task.activations, sample, row, rows, col, cols, memory, of_activations);
      gram_tile(task.grads, sample, row, rows, col, cols, memory, memory.sums);
      double tile = 0;
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < cols; ++c) {
          const std::int64_t i = r * cpu::kTileFeatures + c;
          tile += of_activations[i] * memory.sums[i];
        }
      }
      terms.add(tile);
    }
  }
  return clamp_at_zero(terms.total());
}

}  // namespace

void multiply_norms_cpu(const MultiplyNormsBody& body, const Stream& stream) {
  constexpr std::int64_t kGrain = 4096;
  cpu::for_each_index(body.norms.size(), kGrain, body, stream);
}

template <typename T>
void linear_tile_squared_norms_cpu(const LinearNormsTask<T>& task, const Stream& stream) {
  const LinearOperands<T> operands{task.activations, task.grads};
  cpu::for_each_sample(
      task.grads.batch,
      [&](std::int64_t sample, cpu::TileMemory& memory) {
        task.squared_norms[sample] =
            cpu::product_squared_norm(operands, task.sizes(), sample, memory);
      },
      stream);
}

template <typename T>
void linear_gram_squared_norms_cpu(const LinearNormsTask<T>& task, const Stream& stream) {
  cpu::for_each_sample(
      task.grads.batch,
      [&](std::int64_t sample, cpu::TileMemory& memory) {
        task.squared_norms[sample] = gram_squared_norm(task, sample, memory);
      },
      stream);
}

#define VELUM_INSTANTIATE(T)                                                             \
  template void linear_tile_squared_norms_cpu(const LinearNormsTask<T>&, const Stream&); \
  template void linear_gram_squared_norms_cpu(const LinearNormsTask<T>&, const Stream&);
VELUM_INSTANTIATE(float)
VELUM_INSTANTIATE(double)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
