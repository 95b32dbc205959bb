#pragma once

#include <cstdint>

#include "velum/kernels/buffer.h"
#include "velum/kernels/modular/modular_arithmetic.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

/// Several digits u_0 .. u_(v-1) in one coefficient modulo Q: the message is the number
/// M = sum_i u_i B^i in base B, which need not be a power of two, in the higher places of Q:
///
///   x = sum_i u_i floor(Q / B^(v-i)) + E = Q M / B^v - d + E,   0 <= d <= v (B - 1).
///
/// Sums of such coefficients are sums of digits, as long as each is below B. The digits come out
/// again, exactly, if |E| is at most `DigitPacking::largest_noise`; d depends on the digits alone.
///
/// Values stand plane by plane, so that neighbours belong to neighbouring coefficients: of n values
/// in C = ceil(n / v) coefficients, coefficient k holds values k, C + k, 2C + k, .. as its digits
/// 0, 1, 2, ..; a value that is not there (index n or above) is the digit 0.
namespace velum::kernels {

/// As operations of kernels read it; a value that fits the parameters of a kernel.
struct DigitPackingView {
  struct Limb {
    Modulus<std::uint32_t> modulus;
    ShoupFactor<std::uint32_t> inverse;  ///< (Q/q)^-1 modulo q
    ShoupFactor<std::uint32_t> one;      ///< 1, and 2^32 modulo q
    ShoupFactor<std::uint32_t> two_32;
  };
  std::int32_t limbs = 0;
  std::int32_t digits = 0;                   ///< v
  std::int32_t words = 0;                    ///< w of a fraction: 4, 8 or 16
  std::uint32_t base = 0;                    ///< B
  const Limb* constants = nullptr;           ///< [limbs]
  const std::uint32_t* weights = nullptr;    ///< [limbs, v]: floor(Q / B^(v-i)) modulo q
  const std::uint32_t* fractions = nullptr;  ///< [limbs, w]: floor(2^(32w) / q), lowest word first
  const std::uint32_t* half = nullptr;       ///< [w]: floor(2^(32w) / (2 B^v))
};

/// The constants of a packing, in the memory of one backend. Immutable; the chain may go.
class DigitPacking {
 public:
  static constexpr int kMaxDigits = 128;
  /// log2 of the largest B^v: a fraction of 16 words with the bits that rounding needs.
  static constexpr int kMaxMessageBits = 455;

  /// @param chain   where the moduli are looked up.
  /// @param limbs   those whose product is Q: at least one, pairwise without common factors.
  /// @param base    B, 2 to 2^32 - 1.
  /// @param digits  v, 1 to kMaxDigits, with B^v < 2^kMaxMessageBits.
  /// @param stream  whose memory holds the constants; the constructor waits for the copy.
  /// @throws std::invalid_argument if a number is none of these, or Q leaves no room for noise.
  DigitPacking(const ModulusChain<std::uint32_t>& chain, const LimbIndices& limbs,
               std::uint32_t base, int digits, const Stream& stream);

  int limbs() const { return limbs_; }
  int digits() const { return digits_; }
  std::uint32_t base() const { return base_; }
  Backend backend() const { return constants_.backend(); }
  /// n with 2 B^v (n + v (B - 1)) <= Q (1 - 2^-16), at most 2^126: digits come out right for every
  /// |E| <= n.
  ///
  /// Proof. With x_l the residues, y_l = x_l (Q/q_l)^-1 modulo q_l: x/Q = sum_l y_l / q_l modulo 1.
  /// F = sum_l y_l floor(2^(32w)/q_l) modulo 2^(32w) is too small by less than sum_l y_l < L 2^30,
  /// and H = floor(2^(32w) / (2 B^v)) by less than 1. So B^v (F + H) / 2^(32w) is M + 1/2 + B^v (E
  /// - d)/Q less at most B^v (L 2^30 + 1) / 2^(32w), for which the constructor takes enough words
  /// that it is at most 2^-17; its floor is M if |E| + d is at most Q (1/2 - 2^-17) / B^v. The
  /// digits of M are those of this fraction, multiplied by B v times.
  WideOf<std::uint64_t> largest_noise() const { return largest_noise_; }
  /// |deviation| (see `unpack_digits`) that noise of magnitude at most `noise` can have, at most.
  std::uint32_t largest_deviation(double noise) const;

  /// For operations of kernels.
  DigitPackingView view() const {
    return {limbs_,          digits_,           words_,      base_, constants_.data(),
            weights_.data(), fractions_.data(), half_.data()};
  }

 private:
  int limbs_;
  int digits_;
  int words_;
  std::uint32_t base_;
  WideOf<std::uint64_t> largest_noise_ = 0;
  double log_modulus_ = 0.0;
  Buffer<DigitPackingView::Limb> constants_;
  Buffer<std::uint32_t> weights_;
  Buffer<std::uint32_t> fractions_;
  Buffer<std::uint32_t> half_;
};

/// Adds values to coefficients, as digits u = value + offset:
///
///   out[p][l][i] += sum_d (values[d C + k] + offset) floor(Q / B^(v-d)) modulo q_l,
///   k = first + p N + i, for k < C; other coefficients stay.
///
/// @param values        [up to v C], in the stream's memory: value + offset in [0, 2^24), which the
///                      caller checks. They decide no branch and no address.
/// @param coefficients  C.
/// @param first         the coefficient that out[0][.][0] is, 0 to C.
/// @param offset        0 to 2^24.
/// @param out           [polys, limbs, N], residues in [0, q), coefficient form; must not touch
///                      `values`.
/// @param packing       in the memory of the stream's backend.
/// @param stream        backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if sizes differ, N is no power of two from 2 to 2^17, views
///         overlap, or the packing lies elsewhere; BackendUnavailable, CudaError.
/// Determinism: exact, so the same on every backend.
void pack_digits_accumulate(Span<const std::int32_t> values, std::int64_t coefficients,
                            std::int64_t first, std::uint32_t offset, RnsView<std::uint32_t> out,
                            const DigitPacking& packing, const Stream& stream);

/// The digits again.
///
///   values[d C + k] = digit d of coefficient k, less `offset`, for first <= k < first + polys N
///   deviations[k]   = 2^32 B^v (E - d) / Q, rounded down: how far the coefficient is from its
///                     message, +-2^31 being the border to the next one
///
/// A digit is in [0, B): values are in [-offset, B - offset), as int32, which the caller sees to.
///
/// @param in          [polys, limbs, N], residues in [0, q), coefficient form. They decide no
///                    branch and no address.
/// @param values      [up to v C]; those of other coefficients stay.
/// @param deviations  [C]; those of other coefficients stay.
/// @param coefficients, first, packing, stream  as above.
/// @param offset      0 to 2^32 - 1. Errors and determinism are as above, too.
void unpack_digits(RnsView<const std::uint32_t> in, std::int64_t coefficients, std::int64_t first,
                   std::uint32_t offset, Span<std::int32_t> values, Span<std::int32_t> deviations,
                   const DigitPacking& packing, const Stream& stream);

}  // namespace velum::kernels
