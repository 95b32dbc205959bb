#pragma once

#include <cstdint>

#include "velum/kernels/buffer.h"
#include "velum/kernels/modular/modular_arithmetic.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/residues_to_doubles.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// The ratio Q/t of a product Q of moduli and a small number t, as multiplication and division by
/// it read it.
struct ModulusRatioView {
  /// One modulus of Q.
  struct Limb {
    Modulus<std::uint32_t> modulus;
    ShoupFactor<std::uint32_t> quotient;  ///< floor(Q / t) modulo q
  };
  std::int32_t count = 0;
  const Limb* limbs = nullptr;              ///< [count]
  const MixedRadix::Limb* radix = nullptr;  ///< [count]
  const std::uint32_t* products = nullptr;  ///< as `MixedRadix::products`
  std::uint64_t t = 0;                      ///< 2 to 2^60
  std::uint64_t remainder = 0;              ///< Q modulo t
  WideOf<std::uint64_t> reciprocal = 0;     ///< floor((2^128 - 1) / t)
};

/// Q/t for the moduli of some limbs, in the memory of one backend. Immutable; the chain may go.
class ModulusRatio {
 public:
  /// The largest t.
  static constexpr std::uint64_t kMaxDivisor = std::uint64_t{1} << 60;

  /// @param chain   where the moduli are looked up.
  /// @param limbs   those whose product is Q: at least one, without common factors.
  /// @param t       2 to 2^60; any number, prime or not. It may be larger than Q.
  /// @param stream  whose memory holds the constants; the constructor waits for the copy.
  /// @throws std::invalid_argument if a number is none of these; CudaError.
  ModulusRatio(const ModulusChain<std::uint32_t>& chain, const LimbIndices& limbs, std::uint64_t t,
               const Stream& stream);

  int limbs() const { return radix_.limbs(); }
  std::uint64_t divisor() const { return t_; }
  Backend backend() const { return resident_limbs_.backend(); }

  /// For operations of kernels.
  ModulusRatioView view() const {
    return {
        radix_.limbs(), resident_limbs_.data(), radix_.data(), radix_.products(), t_, remainder_,
        reciprocal_};
  }

 private:
  std::uint64_t t_;
  std::uint64_t remainder_;
  WideOf<std::uint64_t> reciprocal_;
  MixedRadix radix_;
  Buffer<ModulusRatioView::Limb> resident_limbs_;
};

/// Numbers modulo t into the higher places of numbers modulo Q.
///
///   out[0][l][i] = round(Q numbers[i] / t) modulo q_l,   halves away from zero
///
/// exactly: with Q = d t + r it is d |m| + floor((r |m| + floor(t/2)) / t), signed as m; all of it
/// in 128 bits. So the result is within 1/2 of Q m / t, whatever r is.
///
/// @param numbers  [degree]: |m| < t. In the stream's memory. They decide no branch and no address.
/// @param out      [1, limbs, degree], residues in [0, q), coefficient form; overwritten; must not
///                 touch `numbers`.
/// @param ratio    in the memory of the stream's backend.
/// @param stream   backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if sizes differ, the degree is no power of two from 2 to 2^17,
///         views overlap, or the ratio lies elsewhere; BackendUnavailable, CudaError.
/// Determinism: exact, so the same on every backend.
void multiply_by_ratio(Span<const std::int64_t> numbers, RnsView<std::uint32_t> out,
                       const ModulusRatio& ratio, const Stream& stream);

/// Numbers modulo Q to the nearest multiples of Q/t.
///
///   numbers[i] = round(t x / Q) modulo t,   x = in[0][l][i] modulo q_l for every limb l
///
/// as the representative in [-floor(t/2), floor((t - 1)/2)]. Exact for every x, however near to a
/// half: the digits of x in mixed radix (`MixedRadix`), x = sum_i d_i P_i, times t, plus those of
/// (Q - 1)/2, are carried upwards by divisions of integers; what comes out at the top is
/// floor((t x + (Q - 1)/2) / Q). Q is odd, so there are no halves.
///
/// @param in       [1, limbs, degree], residues in [0, q), coefficient form. They decide no branch
///                 and no address.
/// @param numbers  [degree]; overwritten.
/// @param ratio, stream  as above; so are errors and determinism.
void divide_by_ratio(RnsView<const std::uint32_t> in, Span<std::int64_t> numbers,
                     const ModulusRatio& ratio, const Stream& stream);

}  // namespace velum::kernels
