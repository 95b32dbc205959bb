#pragma once

#include <cstdint>

#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// The squared L2 norm of each row, in double whatever the gradients' type.
///
///   squared_norms[b] = sum_p grads[b][p]^2
///
/// Guarantee: the relative error is at most `squared_norm_error(cols)`; docs/numerics.md,
/// "Squared norms", has the argument. A row with a NaN gives NaN; a row with an
/// infinity and no NaN, or whose squares overflow double, gives infinity. No columns give zeros.
///
/// @param grads          [batch, params], row-major, any row_stride >= params: per-sample
/// gradients.
/// @param squared_norms  [batch]; overwritten; must not overlap `grads`.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes differ; BackendUnavailable, CudaError.
/// Determinism: run-to-run, and for any number of threads and any SIMD width; the order of
/// summation is a function of the shape alone, and differs between the backends.
void per_sample_squared_norms(MatrixView<const float> grads, Span<double> squared_norms,
                              const Stream& stream);
void per_sample_squared_norms(MatrixView<const double> grads, Span<double> squared_norms,
                              const Stream& stream);

/// As `per_sample_squared_norms`, added to what `squared_norms` holds: for gradients that lie in
/// several tensors, because the norm that is clipped is that of all parameters together.
///
///   squared_norms[b] += sum_p grads[b][p]^2
void add_per_sample_squared_norms(MatrixView<const float> grads, Span<double> squared_norms,
                                  const Stream& stream);
void add_per_sample_squared_norms(MatrixView<const double> grads, Span<double> squared_norms,
                                  const Stream& stream);

/// A bound e with |computed - true| <= e * true for squared norms that are the sum of `tensors`
/// calls on at most `params` columns each, both >= 0, on either backend. It is 2^-53 times the
/// longest chain of roundings, which grows as params / 2^18, and rounded up: 6.2e-14 for a million
/// parameters.
/// @throws std::invalid_argument if params < 0 or tensors < 0.
double squared_norm_error(std::int64_t params, std::int64_t tensors = 1);

}  // namespace velum::kernels
