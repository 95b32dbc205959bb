#pragma once

#include <limits>

#include "velum/dpsgd/features/preconditioner.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd::detail {

/// Sums of Y Y^T and Y^T Y over rows, Y = (row - mean) as [channels, positions], each row clipped
/// to Frobenius norm `clipping_norm` (infinity: not clipped) by a factor rounded down. A row that
/// is not finite after centring adds nothing; nor does a zero row if `skip_zero_rows`.
///
/// Products of one row are summed in float (relative error at most 2^-24 times the longer side, in
/// the norm that is clipped), rows in double, by blocks in index order.
SecondMoments sum_second_moments(kernels::MatrixView<const float> rows,
                                 kernels::Span<const float> mean, std::int64_t channels,
                                 std::int64_t positions, double clipping_norm, bool skip_zero_rows,
                                 const kernels::Stream& stream);

}  // namespace velum::dpsgd::detail
