#pragma once

#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// What a row is clipped to, and how well its norm is known.
struct ClippingBound {
  /// C, in units of the gradient; finite and >= 2^-400.
  double clipping_norm;
  /// e with |computed - true| <= e * true for every squared norm handed in; 0 to 0.5. For norms
  /// from `per_sample_squared_norms` it is `squared_norm_error(params, tensors)`; docs/numerics.md
  /// has the bounds of other ways to compute them.
  double squared_norm_error;
};

/// The factor that brings each row's L2 norm to at most C, rounded down.
///
///   factors[b] = min(1, C / norm[b]),  norm[b]^2 = squared_norms[b] / (1 - squared_norm_error)
///
/// Guarantee: factors[b] * norm <= C in exact arithmetic, for every real norm that the error bound
/// admits, so also for the row's true one. A factor is at most 1; it is 1 wherever 1 is admitted.
/// With an exact norm it is the largest of its type that keeps the guarantee, up to the rounding of
/// the square root (one part in 2^52). A squared norm that is NaN, infinite or negative gives 0.
/// Paper: Deep Learning with Differential Privacy, CCS 2016 (arXiv 1607.00133), Algorithm 1.
///
/// @param squared_norms  [batch]: squared norm of each row over all parameters.
/// @param bound          C and the accuracy of the squared norms.
/// @param factors        [batch]; overwritten; must not overlap the input.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if sizes differ or `bound` is out of range; BackendUnavailable,
///         CudaError.
/// Determinism: the same bits on every machine and backend.
///
/// A factor of 0 is a decision, not a number: leave the row out (0 * infinity is NaN).
void clip_factors(Span<const double> squared_norms, ClippingBound bound, Span<float> factors,
                  const Stream& stream);
void clip_factors(Span<const double> squared_norms, ClippingBound bound, Span<double> factors,
                  const Stream& stream);

}  // namespace velum::kernels
