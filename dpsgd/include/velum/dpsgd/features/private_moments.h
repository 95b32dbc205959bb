#pragma once

#include <cstdint>

#include "velum/dpsgd/features/preconditioner.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {

/// The mean of rows, released with Gaussian noise.
///
///   mean = (sum_b row_b min(1, C / |row_b|) + N(0, (noise_multiplier C)^2 I)) / public_count
///
/// Guarantee: adding or removing a row moves the sum by at most C, so this is the Gaussian
/// mechanism with `noise_multiplier` at sampling rate 1 (compose it in the accountant before the
/// call); the rounding bounds are those of `clip_and_sum` in docs/numerics.md. A row that is not
/// finite adds nothing. Paper: Dwork and Roth, "The Algorithmic Foundations of Differential
/// Privacy", 2014, appendix A.
///
/// @param rows              [n, size]; the private data.
/// @param clipping_norm     C; 1 for rows from `sqrt_to_unit_rows`, which it then leaves unchanged.
/// @param noise_multiplier  finite and > 0.
/// @param public_count      the divisor, > 0. It is published with the mean: under
/// add-or-remove-one it
///                          must not be computed from the private rows, but known beforehand.
/// @param key               secret; of this position no other noise may be drawn.
/// @param mean              [size]; overwritten.
/// @throws std::invalid_argument if a size or a value is out of range or the stream is not the
/// CPU's.
void private_mean(kernels::MatrixView<const float> rows, double clipping_norm,
                  double noise_multiplier, std::int64_t public_count, const kernels::RandomKey& key,
                  const kernels::RandomPosition& position, kernels::Span<float> mean,
                  const kernels::Stream& stream);

/// How second moments are released: two Gaussian mechanisms on the same clipped rows.
struct SecondMomentsRelease {
  double clipping_norm = 0.6;             // R, of the centred rows
  double channel_noise_multiplier = 0.0;  // noise on `channel` has deviation R^2 times this
  double spatial_noise_multiplier = 0.0;
};

/// Second moments of centred rows, released with Gaussian noise.
///
/// Each row minus `mean` is clipped to norm R; its Y Y^T and Y^T Y then have a Frobenius norm of at
/// most R^2. Noise N(0, (noise multiplier R^2)^2) is added to each element on and above the
/// diagonal and mirrored below.
/// Guarantee: the two matrices are two Gaussian mechanisms at sampling rate 1 with the two noise
/// multipliers: adding or removing a row moves each upper triangle by at most R^2. The rows are
/// clipped to slightly less than R, which makes up for the rounding of their products.
///
/// @param rows      [n, channels * positions].
/// @param mean      [channels * positions]; public, e.g. from `private_mean`.
/// @param key       secret; noise is drawn at `position` and at the next tensor.
/// @throws std::invalid_argument if a size or a value is out of range or the stream is not the
/// CPU's.
SecondMoments private_second_moments(kernels::MatrixView<const float> rows,
                                     kernels::Span<const float> mean, std::int64_t channels,
                                     std::int64_t positions, const SecondMomentsRelease& release,
                                     const kernels::RandomKey& key,
                                     const kernels::RandomPosition& position,
                                     const kernels::Stream& stream);

}  // namespace velum::dpsgd
