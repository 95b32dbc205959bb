#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "velum/kernels/buffer.h"
#include "velum/kernels/modular/modular_arithmetic.h"
#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// 1/q as a fixed-point number, for sums of fractions y/q without a division. With q' = q 2^shift,
/// 2^(m-1) < q' < 2^m for m = WordTraits::kModulusBits and words of w bits:
///
///   2^w high + low = floor(2^(2w - 1 + m) / q')
template <typename Word>
struct Reciprocal {
  Word high;
  Word low;
  std::int32_t shift;
};

/// The tables of a conversion as operations of kernels read them.
template <typename Word>
struct BaseConversionView {
  std::int32_t from_count = 0;
  std::int32_t to_count = 0;
  const Modulus<Word>* from = nullptr;                 ///< [from_count]
  const Modulus<Word>* to = nullptr;                   ///< [to_count]
  const ShoupFactor<Word>* inverse_factors = nullptr;  ///< [from_count]: (Q/q_i)^-1 modulo q_i
  const Reciprocal<Word>* reciprocals = nullptr;       ///< [from_count]: 1/q_i
  /// [from_count + 1, to_count]: row i is (Q/q_i) 2^w modulo p_j, the last row -Q 2^w modulo p_j.
  const Word* table = nullptr;
};

/// What is needed to take numbers from residues modulo q_0, q_1, .. to residues modulo p_0, p_1,
/// .., in the memory of one backend. Immutable; the chain may go.
template <typename Word>
class BaseConversion {
 public:
  /// @param chain   where the moduli are looked up.
  /// @param from    the q_i: 1 to LimbIndices::kMaxLimbs, pairwise coprime. Their product is Q.
  /// @param to      the p_j; they may be among the q_i.
  /// @param stream  whose memory holds the tables; the constructor waits for the copy.
  /// @throws std::invalid_argument if an index is out of range, or two of the q_i have a divisor in
  ///         common; CudaError.
  BaseConversion(const ModulusChain<Word>& chain, const LimbIndices& from, const LimbIndices& to,
                 const Stream& stream);

  const LimbIndices& from() const { return from_; }
  const LimbIndices& to() const { return to_; }
  Backend backend() const { return table_.backend(); }

  /// (Q/q_i)^-1 modulo q_i, in the memory of the backend: what `ntt_inverse_multiply_inplace` can
  /// multiply by at no cost, for Premultiplied::kYes below.
  Span<const ShoupFactor<Word>> inverse_factors() const { return inverse_factors_.span(); }
  /// The same in the host's memory.
  const std::vector<ShoupFactor<Word>>& host_inverse_factors() const {
    return host_inverse_factors_;
  }

  /// For operations of kernels.
  BaseConversionView<Word> view() const {
    return {from_.count,
            to_.count,
            from_moduli_.data(),
            to_moduli_.data(),
            inverse_factors_.data(),
            reciprocals_.data(),
            table_.data()};
  }

 private:
  LimbIndices from_;
  LimbIndices to_;
  std::vector<ShoupFactor<Word>> host_inverse_factors_;
  Buffer<Modulus<Word>> from_moduli_;
  Buffer<Modulus<Word>> to_moduli_;
  Buffer<ShoupFactor<Word>> inverse_factors_;
  Buffer<Reciprocal<Word>> reciprocals_;
  Buffer<Word> table_;
};

extern template class BaseConversion<std::uint32_t>;
extern template class BaseConversion<std::uint64_t>;

/// Which representative of a number modulo Q a conversion gives the residues of.
enum class Correction {
  /// x + e Q with x in [0, Q) and an integer e, 0 <= e < from.count: the cheapest.
  kNone,
  /// The one in [-Q/2, Q/2) -- up to a sliver at the border, see `convert_base`.
  kCentred,
};

/// Whether the residues handed in are already multiplied by (Q/q_i)^-1 modulo q_i.
enum class Premultiplied { kNo, kYes };

/// Residues modulo other moduli, coefficient by coefficient. With y_i = x (Q/q_i)^-1 modulo q_i,
/// for x in [0, Q),
///
///   sum_i y_i (Q/q_i) = x + e Q,     sum_i y_i / q_i = x/Q + e,     0 <= e < from.count
///
///   kNone:    out_j = x + e Q           modulo p_j
///   kCentred: out_j = x + (e - v) Q     modulo p_j,   v = floor(1/2 + sum_i f_i)
///
/// f_i is y_i / q_i rounded down to a multiple of 2^-F, F = 56 (32-bit words) or 120, from the
/// reciprocal's leading bits; always integers, so that every backend has the same v.
///
/// Which x the centred form is off for: f_i loses less than 2^-F for its own rounding and less than
/// 2^-(F+4) + 2^-(F+4) for those of the product and of the reciprocal, so the sum s' of the f_i is
/// in (s - d, s], s = x/Q + e, d = from.count 2^-(F-1). If x < Q/2 then e <= s' + 1/2 < e + 1 (d <=
/// 1/2), hence v = e: the result is x. If x >= Q/2 + d Q then s' + 1/2 >= e + 1, hence v = e + 1:
/// the result is x - Q. Between the two it may be either. So the result is a representative r with
///
///   -Q/2 <= r < Q/2 + d Q,      d = from.count 2^-55  (2^-119 for 64-bit words)
///
/// Papers: Bajard, Eynard, Hasan, Zucca, A Full RNS Variant of FV, SAC 2016 (ePrint 2016/510),
/// section 3.1 for kNone; Halevi, Polyakov, Shoup, An Improved RNS Variant of the BFV Scheme,
/// CT-RSA 2019 (ePrint 2018/117), section 2.2 for the correction, here in fixed point instead of
/// floating point.
///
/// @param in             [polys, from.count, N], coefficient form, residues in [0, q_i).
/// @param out            [polys, to.count, N], residues in [0, p_j); overwritten; must not touch
/// `in`.
/// @param conversion     in the memory of the stream's backend.
/// @param correction     which representative.
/// @param premultiplied  whether `in` holds the y_i instead of x.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes differ, N is no power of two from 2 to 2^17, views
/// overlap,
///         or the conversion lies elsewhere; BackendUnavailable, CudaError.
/// Determinism: exact, so the same on every backend.
template <typename Word>
void convert_base(RnsView<const std::type_identity_t<Word>> in,
                  RnsView<std::type_identity_t<Word>> out, const BaseConversion<Word>& conversion,
                  Correction correction, Premultiplied premultiplied, const Stream& stream);

}  // namespace velum::kernels
