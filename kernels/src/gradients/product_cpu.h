#pragma once

#include <algorithm>
#include <cstdint>

#include "gradients/product_body.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

/// Squared norms of per-sample products on the CPU. A sample is one thread's. It takes the gradient
/// in tiles and the steps in chunks, converts a chunk's operands to double, and adds their products
/// to sums that stay in the first-level cache: 28 KiB in all.
namespace velum::kernels::cpu {

constexpr std::int64_t kTileOutputs = 64;
constexpr std::int64_t kTileFeatures = 16;
constexpr std::int64_t kTileDepth = 32;
/// Outputs that the inner loop takes at once.
constexpr std::int64_t kOutputsAtOnce = 4;

/// sums[o][f] += outputs[k][o] * features[k][f] for k = 0, 1, .., depth - 1 and all o < count,
/// rounded up to a multiple of kOutputsAtOnce. Each product is rounded on its own; that of two
/// floats is exact.
/// @param outputs   [depth][kTileOutputs]
/// @param features  [depth][kTileFeatures]
/// @param sums      [kTileOutputs][kTileFeatures]
void add_tile_products(const double* outputs, const double* features, std::int64_t depth,
                       std::int64_t count, double* sums);

/// Adds terms in order, in runs of 256 whose sums are added in runs of 256 again: no term passes
/// more than 512 additions and one for every 65536 terms.
class LongSum {
 public:
  void add(double term) {
    if (in_run_ == kRun) {
      if (runs_ == kRun) {
        total_ += sum_of_runs_;
        sum_of_runs_ = 0;
        runs_ = 0;
      }
      sum_of_runs_ += run_;
      ++runs_;
      run_ = 0;
      in_run_ = 0;
    }
    run_ += term;
    ++in_run_;
  }
  double total() const { return total_ + sum_of_runs_ + run_; }

 private:
  static constexpr int kRun = 256;
  double run_ = 0, sum_of_runs_ = 0, total_ = 0;
  int in_run_ = 0, runs_ = 0;
};

/// A tile's operands and sums.
struct TileMemory {
  alignas(64) double outputs[kTileDepth * kTileOutputs];
  alignas(64) double features[kTileDepth * kTileFeatures];
  alignas(64) double sums[kTileOutputs * kTileFeatures];
};

/// Operands has
///   stage_outputs(sample, group, first_step, depth, first, count, to)    to [depth][kTileOutputs]
///   stage_features(sample, group, first_step, depth, first, count, to)  to [depth][kTileFeatures]
/// which write `count` columns of `depth` rows.
///
/// Order of summation: an element's steps in index order; a tile's squares row by row; tiles by
/// LongSum.
template <typename Operands>
double product_squared_norm(const Operands& operands, const ProductSizes& sizes,
                            std::int64_t sample, TileMemory& memory) {
  LongSum squares;
  for (std::int64_t group = 0; group < sizes.groups; ++group) {
    for (std::int64_t output = 0; output < sizes.outputs; output += kTileOutputs) {
      const std::int64_t outputs = std::min(kTileOutputs, sizes.outputs - output);
      for (std::int64_t feature = 0; feature < sizes.features; feature += kTileFeatures) {
        const std::int64_t features = std::min(kTileFeatures, sizes.features - feature);
        std::fill_n(memory.sums, kTileOutputs * kTileFeatures, 0.0);
        for (std::int64_t step = 0; step < sizes.steps; step += kTileDepth) {
          const std::int64_t depth = std::min(kTileDepth, sizes.steps - step);
          operands.stage_outputs(sample, group, step, depth, output, outputs, memory.outputs);
          operands.stage_features(sample, group, step, depth, feature, features, memory.features);
          add_tile_products(memory.outputs, memory.features, depth, outputs, memory.sums);
        }
        double tile = 0;
        for (std::int64_t o = 0; o < outputs; ++o) {
          for (std::int64_t f = 0; f < features; ++f) {
            const double value = memory.sums[o * kTileFeatures + f];
            tile += value * value;
          }
        }
        squares.add(tile);
      }
    }
  }
  return squares.total();
}

/// Calls `body(sample, memory)` for every sample, with memory of the thread.
template <typename Body>
void for_each_sample(std::int64_t batch, const Body& body, const Stream& stream) {
  stream.parallel_for().run(batch, 1, [&body](std::int64_t begin, std::int64_t end) {
    TileMemory memory = {};  // what lies beyond a tile's edge is multiplied, and not looked at
    for (std::int64_t sample = begin; sample < end; ++sample) body(sample, memory);
  });
}

}  // namespace velum::kernels::cpu
