// The normal draws of a keystream block as CUDA computes them: the bits of scalar_gaussian, by
// fewer instructions.
#pragma once

#include <cstdint>

#include "random/gaussian_body.h"
#include "random/keystream_block.cuh"

namespace velum::kernels::cuda {

/// Full coefficients of polynomials as operands from constant memory: as immediates each takes two
/// moves.
static __constant__ GaussianCoefficients gaussian_coefficients = kGaussianCoefficients;

namespace device_gaussian {

struct DoubleOps : scalar_gaussian::DoubleOps {
  /// Of all 64 bits as one integer: exact but for the one rounding, too.
  __device__ static F distance(U hi, U lo) {
    return static_cast<double>(signed_integer(hi, lo | 1)) * 0x1p-64;
  }
  __device__ static F angle(U hi, U lo) {
    return static_cast<double>(signed_integer(hi, lo & ~3u)) * 0x1p-63;
  }
  /// By its sign bit: of a normal number, in one instruction with a selection.
  __device__ static F neg(F a) {
    return __hiloint2double(__float_as_int(-__int_as_float(__double2hiint(a))), __double2loint(a));
  }
  /// By the sign bit: no selector of the map is -0.
  __device__ static F if_negative(F selector, F yes, F no) {
    return __double2hiint(selector) < 0 ? yes : no;
  }
  __device__ static F negate_if_bit_0(U word, F a) {
    return __hiloint2double(__double2hiint(a) ^ static_cast<int>(word << 31), __double2loint(a));
  }
  template <int kIndex>
  __device__ static F coefficient() {
    return gaussian_coefficients.values[kIndex];
  }

 private:
  __device__ static std::int64_t signed_integer(U hi, U lo) {
    return static_cast<std::int64_t>(std::uint64_t{hi} << 32 | lo);
  }
};

#define VELUM_GAUSSIAN_MAP __device__ inline
#include "random/gaussian_map-inl.h"
#undef VELUM_GAUSSIAN_MAP

}  // namespace device_gaussian

/// The eight draws of a keystream block, by slot. Doubles two pairs at a time: they share what is
/// read from constant memory.
__device__ inline void normals_of_block(const ChaCha20State& block, double (&draws)[8]) {
  using Ops = device_gaussian::TwoOf<device_gaussian::DoubleOps>;
#pragma unroll
  for (int i = 0; i < 8; i += 4) {
    const std::uint32_t* const x = block.words + 2 * i;
    Ops::F first;
    Ops::F second;
    device_gaussian::normal_pair_double<Ops>({x[0], x[4]}, {x[1], x[5]}, {x[2], x[6]}, {x[3], x[7]},
                                             first, second);
    draws[i] = first.a;
    draws[i + 1] = second.a;
    draws[i + 2] = first.b;
    draws[i + 3] = second.b;
  }
}
__device__ inline void normals_of_block(const ChaCha20State& block, float (&draws)[8]) {
#pragma unroll
  for (int i = 0; i < 8; i += 2) normal_pair(block.words + 2 * i, draws[i], draws[i + 1]);
}

}  // namespace velum::kernels::cuda
