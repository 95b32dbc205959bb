#pragma once

#include <cstdint>
#include <vector>

#include "velum/dpsgd/features/scattering.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {

/// x -> sqrt(max(x, 0)) / norm, row by row, in place: the form in which scattering features are
/// learnt from. A fixed map of each row alone, so it costs no privacy.
///
/// Guarantee: the L2 norm of every row is at most 1 in exact arithmetic (the factor is rounded
/// down), and at least 1 - 2^-21 unless the row has no positive element: such a row, or one with an
/// element that is not finite, becomes zero.
/// @throws std::invalid_argument if the stream is not the CPU's.
void sqrt_to_unit_rows(kernels::MatrixView<float> rows, const kernels::Stream& stream);

/// Second moments of features that are matrices: with Y_b the b-th feature as [channels,
/// positions], `channel` = sum_b Y_b Y_b^T and `spatial` = sum_b Y_b^T Y_b, row-major.
struct SecondMoments {
  std::int64_t channels = 0;
  std::int64_t positions = 0;
  std::vector<double> channel;  // [channels, channels]
  std::vector<double> spatial;  // [positions, positions]
};

struct PreconditionerOptions {
  double channel_power = 0.35;
  double spatial_power = 0.25;
  double floor = 1e-3;  // added to the eigenvalues, which are first divided by their sum
};

/// A linear map of features that evens out their scales: Y -> A_channel Y A_spatial.
struct Preconditioner {
  std::int64_t channels = 0;
  std::int64_t positions = 0;
  std::vector<float> channel;  // [channels, channels], symmetric
  std::vector<float> spatial;  // [positions, positions], symmetric
};

/// A = (C / trace C + floor)^-power by eigenvalues; negative ones count as zero.
/// @throws std::invalid_argument if sizes do not match, a value is not finite, a floor is not > 0,
/// or
///         C has no positive eigenvalue.
Preconditioner make_preconditioner(const SecondMoments& moments,
                                   const PreconditionerOptions& options);

/// The preconditioner of features of random shapes (random_shapes.h), which knows nothing of any
/// data set: it is a constant of the program and costs no privacy.
Preconditioner random_shapes_preconditioner(const ScatteringTransform& transform,
                                            const PreconditionerOptions& options,
                                            const kernels::Stream& stream);

/// z = A_channel (x - mean) A_spatial, scaled to norm 1 (a zero row stays zero), then `bias` as one
/// more feature; in place.
///
/// @param rows  [n, channels * positions + 1]; the last column is only written.
/// @param mean  [channels * positions].
/// @throws std::invalid_argument if sizes do not match or the stream is not the CPU's.
/// Determinism: a row depends on its own input only.
void precondition_rows(kernels::MatrixView<float> rows, kernels::Span<const float> mean,
                       const Preconditioner& preconditioner, float bias,
                       const kernels::Stream& stream);

}  // namespace velum::dpsgd
