#pragma once

#include <complex>
#include <cstdint>
#include <vector>

#include "velum/he/ckks/double_double.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::he {

/// CKKS's map between complex slots and real coefficients, and its inverse, in O(n log n).
///
/// A real polynomial m of degree < N has N/2 slots, its values at half of the primitive 2N-th roots
/// of unity; at the other half stand their conjugates:
///
///   z_j = m(zeta^(5^j)),   zeta = e^(i pi / N),   j = 0 .. N/2 - 1.
///
/// Fewer slots, n a power of two below N/2, are those of a polynomial in Y = X^(N / 2n): m has the
/// coefficients c_0 .. c_(2n-1) at the exponents k N / 2n and zeros elsewhere, and
///
///   z_j = sum_k c_k w^(5^j k),   w = e^(i pi / 2n),   j = 0 .. n - 1.
///
/// As w^n = i and 5^j = 1 modulo 4, this is the sum of n terms v_k w^(5^j k) with v_k = c_k + i
/// c_(k+n), an FFT whose twiddle factors are taken at the powers of 5 (the "special FFT").
/// Paper: Cheon, Kim, Kim and Song, Homomorphic encryption for arithmetic of approximate numbers,
/// 2017 (ePrint 2016/421); the order of the slots by powers of 5 and fewer slots: Cheon, Han, Kim,
/// Kim and Song, Bootstrapping for approximate homomorphic encryption, 2018 (ePrint 2018/153).
///
/// Runs on the host, with the threads of the CPU stream that is given. Immutable; any number of
/// threads may use one.
///
/// Error, with u = 2^-53 and L = log2 n, in the Euclidean norm of all slots or coefficients,
/// computed minus exact over exact (docs/numerics.md, "The encoder of CKKS"):
///
///   double            error_bound(n) = (3.95 L + 3) u
///   double-double     error_bound_double_double(n) = (13.6 L + 14) u^2
///
/// given that no number in between overflows, or underflows: |z| scale / n in [2^-400, 2^900] where
/// not 0 is enough. Determinism: the bits of a result depend on neither machine, nor SIMD target,
/// nor threads.
class CanonicalEmbedding {
 public:
  static constexpr int kMaxLogN = 17;

  /// Tables for N = 2^log_n: 16 N bytes.
  /// @throws std::invalid_argument unless 1 <= log_n <= 17.
  explicit CanonicalEmbedding(int log_n);

  int log_n() const { return log_n_; }
  std::int64_t degree() const { return std::int64_t{1} << log_n_; }
  std::int64_t max_slots() const { return degree() / 2; }

  static double error_bound(std::int64_t slots);
  static double error_bound_double_double(std::int64_t slots);

  /// coefficients[k] = scale c_k for the slots z: c_k = Re(t_k), c_(k+n) = Im(t_k),
  /// t_k = (1/n) sum_j z_j w^(-5^j k).
  ///
  /// @param slots         [n], n a power of two <= N/2; finite. Doubles are slots without an
  ///                      imaginary part.
  /// @param scale         finite, > 0.
  /// @param coefficients  [2n]; overwritten; must not overlap the slots. |coefficients[k]| is at
  ///                      most scale max |z|.
  /// @param stream        a CPU stream.
  /// @throws std::invalid_argument if a size is wrong, a slot is not finite (named), the scale is
  ///         out of range, or scale max |z| is not below 2^900.
  void embed(kernels::Span<const std::complex<double>> slots, double scale,
             kernels::Span<double> coefficients, const kernels::Stream& stream) const;
  void embed(kernels::Span<const double> slots, double scale, kernels::Span<double> coefficients,
             const kernels::Stream& stream) const;
  /// In double-double arithmetic. Numbers below 2^-600 of the largest count as 0.
  void embed(kernels::Span<const std::complex<double>> slots, double scale,
             DoubleDoubleSpan coefficients, const kernels::Stream& stream) const;
  void embed(kernels::Span<const double> slots, double scale, DoubleDoubleSpan coefficients,
             const kernels::Stream& stream) const;
  void embed(kernels::Span<const ComplexDoubleDouble> slots, double scale,
             DoubleDoubleSpan coefficients, const kernels::Stream& stream) const;

  /// slots[j] = (1 / scale) sum_k coefficients[k] w^(5^j k): the inverse of `embed`.
  ///
  /// @param coefficients  [2n], finite; destroyed: it is the workspace.
  /// @param slots         [n]; overwritten; must not overlap the coefficients. Doubles take the
  ///                      real parts.
  /// @param stream        a CPU stream.
  /// @throws std::invalid_argument as `embed`, with sum |coefficients| / scale for scale max |z|.
  void evaluate(kernels::Span<double> coefficients, double scale,
                kernels::Span<std::complex<double>> slots, const kernels::Stream& stream) const;
  void evaluate(kernels::Span<double> coefficients, double scale, kernels::Span<double> slots,
                const kernels::Stream& stream) const;
  /// In double-double arithmetic, rounded at the end where the slots are doubles.
  void evaluate(DoubleDoubleSpan coefficients, double scale,
                kernels::Span<std::complex<double>> slots, const kernels::Stream& stream) const;
  void evaluate(DoubleDoubleSpan coefficients, double scale, kernels::Span<double> slots,
                const kernels::Stream& stream) const;
  void evaluate(DoubleDoubleSpan coefficients, double scale,
                kernels::Span<ComplexDoubleDouble> slots, const kernels::Stream& stream) const;

 private:
  int log_n_;
  // Twiddle factor j of the stage that joins blocks of h, e^(i pi 5^j / 4h), at index h + j; the
  // doubles nearest to real and imaginary part, and those nearest to what is left.
  std::vector<double> real_high_, real_low_, imag_high_, imag_low_;
};

}  // namespace velum::he
