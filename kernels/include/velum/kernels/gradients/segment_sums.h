#pragma once

#include <cstdint>

#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Rows that were looked up in a table, with their gradients: row r belongs to sample samples[r]
/// and came from table row indices[r].
template <typename T>
struct LookedUpRows {
  MatrixView<const T> grads;         ///< [rows, width], any row_stride >= width
  Span<const std::int64_t> indices;  ///< [rows]
  Span<const std::int64_t> samples;  ///< [rows], in any order
  std::int64_t batch = 0;            ///< samples are in [0, batch)
  std::int64_t table_rows = 0;       ///< indices are in [0, table_rows)
  std::int64_t padding_index = -1;   ///< rows of this index add nothing; < 0: there is none
};

/// The squared L2 norm of every sample's gradient with respect to the table of an embedding: its
/// rows of equal index are summed before they are squared.
///
///   squared_norms[b] = sum_v || sum of grads[r] over r with samples[r] = b, indices[r] = v ||^2
///
/// Guarantee: sums and squares are in double. The result is within 4 `squared_norm_error(rows *
/// width)` of the squared norm of sums that are, for every element, within
/// product_error<double>(rows of the segment) of the true ones, relative to the sum of magnitudes.
/// A sample with a NaN or an infinity has a norm that is not finite; no other sample is touched by
/// it. Indices and samples are data that only the stream's backend may read, so they are not
/// refused where they are out of range: a sample with an index that is not of the table has the
/// norm NaN, and with one row of which the sample is unknown all norms are NaN.
///
/// @param looked_up      see LookedUpRows.
/// @param squared_norms  [batch]; overwritten; must not overlap the others.
/// @param workspace      [at least segment_squared_norms_workspace_size], aligned to 256 bytes on
///                       CUDA and 64 on the CPU.
/// @param stream         backend and queue of all spans; a CUDA call returns before the work is
/// done.
/// @throws std::invalid_argument if shapes differ, rows exceed 2^31 - 1, batch * (table_rows + 1)
///         exceeds 2^62, or the workspace is too small; BackendUnavailable, CudaError.
/// Determinism: run-to-run, and for any number of threads. The CPU adds a segment's rows in index
/// order; CUDA adds those of 64 neighbours in the sorted order at a time, then these sums in order.
void segment_squared_norms(const LookedUpRows<float>& looked_up, Span<double> squared_norms,
                           Span<std::uint8_t> workspace, const Stream& stream);
void segment_squared_norms(const LookedUpRows<double>& looked_up, Span<double> squared_norms,
                           Span<std::uint8_t> workspace, const Stream& stream);

/// The sum of all samples' gradients with respect to the table of an embedding, each by its factor.
///
///   out[v] = sum of factors[samples[r]] * grads[r] over r with indices[r] = v
///
/// Guarantee: a row whose factor is not > 0, or whose index or sample is out of range, is left out
/// by selection and may hold anything. Sums are in double, within product_error<double>(rows of the
/// segment) of the sum of magnitudes, and rounded once to T. Table rows that nothing looks up are
/// zeros.
///
/// @param factors    [batch], from `clip_factors`.
/// @param out        [table_rows, width]; overwritten; must not overlap the inputs.
/// @param workspace  [at least segment_weighted_sum_workspace_size], aligned as above.
/// @throws as `segment_squared_norms`.
/// Determinism: as `segment_squared_norms`.
void segment_weighted_sum(const LookedUpRows<float>& looked_up, Span<const double> factors,
                          MatrixView<float> out, Span<std::uint8_t> workspace,
                          const Stream& stream);
void segment_weighted_sum(const LookedUpRows<double>& looked_up, Span<const double> factors,
                          MatrixView<double> out, Span<std::uint8_t> workspace,
                          const Stream& stream);

/// Bytes of workspace that the two operations need on the stream's backend.
/// @throws std::invalid_argument if a size is out of range; BackendUnavailable, CudaError.
std::int64_t segment_squared_norms_workspace_size(std::int64_t rows, std::int64_t width,
                                                  std::int64_t batch, std::int64_t table_rows,
                                                  const Stream& stream);
std::int64_t segment_weighted_sum_workspace_size(std::int64_t rows, std::int64_t width,
                                                 std::int64_t table_rows, const Stream& stream);

}  // namespace velum::kernels
