#pragma once

#include <cstdint>

#include "velum/kernels/stream.h"

namespace velum::he {

/// `Parts` = 1: doubles. 2: double-doubles, index 1 their low halves.
constexpr int kMaxParts = 2;

/// n complex numbers, real and imaginary parts apart.
struct ComplexPlanes {
  double* real[kMaxParts];
  double* imag[kMaxParts];
};

/// Twiddle factor j of the stage that joins blocks of h at index h + j: e^(i pi 5^j / 4h).
struct TwiddlePlanes {
  const double* real[kMaxParts];
  const double* imag[kMaxParts];
};

/// In place, n a power of two, both unscaled:
///
///   evaluate:     v in bit-reversed order -> z_j = sum_k v_k w^(5^j k) in order
///   interpolate:  z in order -> n v in bit-reversed order
///
/// Butterflies (a + w b, a - w b) from blocks of 1 upwards, and (a + b, (a - b) / w) downwards.
/// Sums and products are rounded one by one; the products' errors that double-doubles need are
/// exact with and without fma, so all SIMD targets have the same bits, and any number of threads
/// of the CPU stream.
void evaluate_double(const ComplexPlanes& values, const TwiddlePlanes& twiddles, std::int64_t n,
                     const kernels::Stream& stream);
void interpolate_double(const ComplexPlanes& values, const TwiddlePlanes& twiddles, std::int64_t n,
                        const kernels::Stream& stream);
void evaluate_double_double(const ComplexPlanes& values, const TwiddlePlanes& twiddles,
                            std::int64_t n, const kernels::Stream& stream);
void interpolate_double_double(const ComplexPlanes& values, const TwiddlePlanes& twiddles,
                               std::int64_t n, const kernels::Stream& stream);

}  // namespace velum::he
