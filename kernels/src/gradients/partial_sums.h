#pragma once

#include <cstdint>

#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Below 0 means 0: for sums that are squares, up to rounding. A NaN stays.
enum class Clamp { kNone, kAtZero };

/// out[b] = sum_i partial_sums[b][i] on a CUDA stream. Order: 256 threads take elements 256 apart
/// in index order, in runs of 256; then cub::BlockReduce's tree.
void sum_partial_sums_cuda(MatrixView<const double> partial_sums, Clamp clamp, Span<double> out,
                           const Stream& stream);

}  // namespace velum::kernels
