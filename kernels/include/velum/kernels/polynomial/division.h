#pragma once

#include <cstdint>
#include <type_traits>

#include "velum/kernels/buffer.h"
#include "velum/kernels/modular/modular_arithmetic.h"
#include "velum/kernels/polynomial/base_conversion.h"
#include "velum/kernels/polynomial/ntt_tables.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// What a division by a product P of primes needs, in the memory of one backend. Immutable; the
/// tables must outlive it.
template <typename Word>
class RnsDivision {
 public:
  /// @param tables   of the ring, in the memory of the stream's backend.
  /// @param kept     the primes of the quotient.
  /// @param dropped  those whose product is P: one or more, none of them kept or there twice.
  /// @param stream   whose memory holds the factors; the constructor waits for the copy.
  /// @throws std::invalid_argument if an index is out of range, a prime is there twice, or the
  /// tables
  ///         lie elsewhere; CudaError.
  RnsDivision(const NttTables<Word>& tables, const LimbIndices& kept, const LimbIndices& dropped,
              const Stream& stream);

  const NttTables<Word>& tables() const { return *tables_; }
  const LimbIndices& kept() const { return conversion_.to(); }
  const LimbIndices& dropped() const { return conversion_.from(); }
  /// From the dropped primes to the kept ones.
  const BaseConversion<Word>& conversion() const { return conversion_; }
  /// P^-1 modulo each kept prime, in the memory of the backend.
  Span<const ShoupFactor<Word>> inverses() const { return inverses_.span(); }

 private:
  const NttTables<Word>* tables_;
  BaseConversion<Word> conversion_;
  Buffer<ShoupFactor<Word>> inverses_;
};

extern template class RnsDivision<std::uint32_t>;
extern template class RnsDivision<std::uint64_t>;

/// Division of numbers modulo QP by P with the quotient rounded: with the special primes dropped it
/// ends a key switching (ModDown), with the last primes of a chain it rescales.
///
///   out = (x - r) / P modulo each kept prime,    r = x modulo P,  -P/2 <= r < P/2 + d P
///
/// Error: x - r is a multiple of P, so out is an integer, and it differs from x/P by |r|/P:
///
///   |out - x/P| <= 1/2 + d,    d = dropped.count 2^-55   (2^-119 for 64-bit words)
///
/// for any integer x with the given residues, out being taken modulo Q as x is modulo QP. The
/// bounds of r are those of `convert_base` with Correction::kCentred, with which it is made. Where
/// x modulo P is not in [P/2, P/2 + d P), out is the integer nearest to x/P.
///
/// Steps: inverse transform of the dropped limbs, times (P/p_i)^-1; centred conversion to the kept
/// primes; forward transform, with (x - .) P^-1 at its end.
/// Paper: Cheon, Han, Kim, Kim, Song, A Full RNS Variant of Approximate Homomorphic Encryption, SAC
/// 2018 (ePrint 2018/931), algorithm 2; there without the correction, with an error below
/// dropped.count.
///
/// @param kept      [polys, kept.count, N], NTT form, residues in [0, q).
/// @param dropped   [polys, dropped.count, N], NTT form, residues in [0, p).
/// @param scratch   [polys, dropped.count, N], overwritten; may be `dropped` itself, which is not
///                  copied then; must not touch anything else.
/// @param out       [polys, kept.count, N], NTT form, residues in [0, q); overwritten; must not
/// touch
///                  an input.
/// @param division  in the memory of the stream's backend.
/// @param stream    backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes differ, views overlap, or the division lies elsewhere;
///         BackendUnavailable, CudaError.
/// Determinism: exact, so the same on every backend.
template <typename Word>
void divide_and_round(RnsView<const std::type_identity_t<Word>> kept,
                      RnsView<const std::type_identity_t<Word>> dropped,
                      RnsView<std::type_identity_t<Word>> scratch,
                      RnsView<std::type_identity_t<Word>> out, const RnsDivision<Word>& division,
                      const Stream& stream);

}  // namespace velum::kernels
