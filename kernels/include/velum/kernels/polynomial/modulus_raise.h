#pragma once

#include <cstdint>
#include <type_traits>

#include "velum/kernels/polynomial/base_conversion.h"
#include "velum/kernels/polynomial/ntt_tables.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// What the extension of a digit, a number modulo some consecutive primes of a list, to all primes
/// of the list needs, in the memory of one backend. Immutable; the tables must outlive it.
template <typename Word>
class DigitExtension {
 public:
  /// @param tables  of the ring, in the memory of the stream's backend.
  /// @param limbs   all primes, each once.
  /// @param first, count  the digit's are limbs [first, first + count) of them; count at least 1.
  ///                Their product is D.
  /// @param stream  whose memory holds the tables; the constructor waits for the copy.
  /// @throws std::invalid_argument if an index is out of range, a prime is there twice, or the
  /// tables
  ///         lie elsewhere; CudaError.
  DigitExtension(const NttTables<Word>& tables, const LimbIndices& limbs, int first, int count,
                 const Stream& stream);

  const NttTables<Word>& tables() const { return *tables_; }
  const LimbIndices& limbs() const { return limbs_; }
  int first() const { return first_; }
  int count() const { return conversion_.from().count; }
  /// From the digit's primes to the others. Its `inverse_factors` are for
  /// `ntt_inverse_multiply_inplace`, which makes the coefficients for Premultiplied::kYes.
  const BaseConversion<Word>& conversion() const { return conversion_; }

 private:
  const NttTables<Word>* tables_;
  LimbIndices limbs_;
  int first_;
  BaseConversion<Word> conversion_;
};

extern template class DigitExtension<std::uint32_t>;
extern template class DigitExtension<std::uint64_t>;

/// A digit modulo all primes (ModUp): the residues in NTT form of one and the same small number.
///
///   kNone:    x + e D, 0 <= e < count        kCentred: r, -D/2 <= r < D/2 + d D   (`convert_base`)
///
/// with x in [0, D) the digit, coefficient by coefficient. Both are the digit modulo D, so its own
/// limbs are copied. In a key switching the number multiplies the error of a key, and the product
/// is divided by the special primes' product P afterwards: what is added to the ciphertext is
/// smaller than with numbers below D by the factor D/P, times `count` for kNone or 1/2 for
/// kCentred. With P a few bits above count D that is below the rounding error of the division, and
/// kNone is enough. Paper: Han, Ki, Better Bootstrapping for Approximate Homomorphic Encryption,
/// CT-RSA 2020 (ePrint 2019/688), section 3.
///
/// @param coefficients   [polys, count, N], the digit in coefficient form, residues in [0, q); must
///                       not touch `out`.
/// @param premultiplied  whether they are multiplied by (D/q_i)^-1 modulo q_i.
/// @param values         [polys, count, N], the digit in NTT form; may be its own limbs of `out`,
///                       which are not copied then; must not touch `out` otherwise.
/// @param out            [polys, limbs.count, N], NTT form, residues in [0, q); overwritten.
/// @param extension      in the memory of the stream's backend.
/// @param correction     which representative.
/// @param stream         backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes differ, views overlap, or the extension lies elsewhere;
///         BackendUnavailable, CudaError.
/// Determinism: exact, so the same on every backend.
template <typename Word>
void extend_digit(RnsView<const std::type_identity_t<Word>> coefficients,
                  Premultiplied premultiplied, RnsView<const std::type_identity_t<Word>> values,
                  RnsView<std::type_identity_t<Word>> out, const DigitExtension<Word>& extension,
                  Correction correction, const Stream& stream);

/// `extend_digit` of all digits of a polynomial, digit k to polynomial k of `out`, in a few passes
/// over all of them: on the CPU the tables of a prime are read once, and threads share more work.
///
/// @param coefficients   [1, sum of the digits' counts, N]: the digits' limbs one after the other,
///                       as `extend_digit` has them; must not touch `out`.
/// @param premultiplied  whether they are multiplied by (D/q_i)^-1 modulo q_i, D of their digit.
/// @param values         the same in NTT form; must not touch `out`.
/// @param out            [digits, limbs.count, N], NTT form, residues in [0, q); overwritten.
/// @param extensions     [digits], of the same tables and limbs; in the memory of the stream's
///                       backend.
/// @throws std::invalid_argument as `extend_digit`, also if the extensions differ in tables or
///         limbs, or there is none. Determinism as there.
template <typename Word>
void extend_digits(RnsView<const std::type_identity_t<Word>> coefficients,
                   Premultiplied premultiplied, RnsView<const std::type_identity_t<Word>> values,
                   RnsView<std::type_identity_t<Word>> out,
                   Span<const DigitExtension<Word>> extensions, Correction correction,
                   const Stream& stream);

}  // namespace velum::kernels
