#pragma once

#include <complex>
#include <cstdint>

#include "velum/he/ckks/canonical_embedding.h"
#include "velum/he/ckks/double_double.h"
#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/residues_to_doubles.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::he {

/// Numbers into polynomials in residues, and back: what CKKS does before encryption and after
/// decryption, without the NTT.
///
///   encode:  m = round(scale c), c the coefficients of the embedding of the slots, or the values
///            themselves;   decode: slots or values of m / scale, m the representative of least
///            magnitude.
///
/// Slots. Up to scale 2^50 (and scale |z| < 2^61) the embedding is computed in double and m in 64
/// bits, above in double-double and m in 128 bits. With e_k the rounding to integers, |e_k| <= 1/2,
/// a slot comes back within N / (2 scale) of itself, and within the error of the embedding and its
/// inverse (docs/numerics.md, "The encoder of CKKS").
/// Coefficients. Values and integers lie in the coefficients themselves: sums of polynomials are
/// sums of values, products are not products. m is the integer nearest to scale times value, the
/// product taken without error; integers come back exactly.
///
/// The floating-point part runs on the calling thread; residues are made and read on the stream, in
/// whose memory they lie. Every call waits until its work is done. Immutable; any number of threads
/// may use one. Determinism: the bits depend on neither machine, SIMD target nor backend.
///
/// All throw std::invalid_argument if a size is wrong, the scale is not
/// in [2^-100, 2^200], or a number is not finite (named); the encoders also if a coefficient is too
/// large for the modulus Q of the limbs, or reaches 2^126: |m| < min(Q / 2 (1 - 2^-36) - 1, 2^126).
/// And as the operations of kernels that they call.
class SlotCodec {
 public:
  /// @throws std::invalid_argument unless 1 <= log_n <= 17.
  explicit SlotCodec(int log_n) : embedding_(log_n) {}

  const CanonicalEmbedding& embedding() const { return embedding_; }

  /// @param slots  [n], n a power of two <= N/2. Fewer than N/2 are a polynomial in X^(N / 2n):
  ///               the n slots, repeated.
  /// @param out    [1, limbs, N]; overwritten; residues in [0, q), coefficient form.
  void encode(kernels::Span<const std::complex<double>> slots, double scale,
              kernels::RnsView<std::uint32_t> out, const kernels::LimbIndices& limbs,
              const kernels::ModulusChain<std::uint32_t>& chain,
              const kernels::Stream& stream) const;
  void encode(kernels::Span<const double> slots, double scale, kernels::RnsView<std::uint32_t> out,
              const kernels::LimbIndices& limbs, const kernels::ModulusChain<std::uint32_t>& chain,
              const kernels::Stream& stream) const;
  /// Always in double-double.
  void encode(kernels::Span<const ComplexDoubleDouble> slots, double scale,
              kernels::RnsView<std::uint32_t> out, const kernels::LimbIndices& limbs,
              const kernels::ModulusChain<std::uint32_t>& chain,
              const kernels::Stream& stream) const;

  /// @param values  at most N; coefficients without a value are 0.
  void encode_coefficients(kernels::Span<const double> values, double scale,
                           kernels::RnsView<std::uint32_t> out, const kernels::LimbIndices& limbs,
                           const kernels::ModulusChain<std::uint32_t>& chain,
                           const kernels::Stream& stream) const;
  void encode_integers(kernels::Span<const std::int64_t> values,
                       kernels::RnsView<std::uint32_t> out, const kernels::LimbIndices& limbs,
                       const kernels::ModulusChain<std::uint32_t>& chain,
                       const kernels::Stream& stream) const;

  /// @param in     [1, limbs, N], residues in [0, q), coefficient form.
  /// @param radix  of the limbs of `in`. As many as hold the message are enough.
  /// @param slots  [n], as for `encode`: coefficients at other exponents than k N / 2n are not
  /// read.
  ///               Doubles take the real parts.
  void decode(kernels::RnsView<const std::uint32_t> in, const kernels::MixedRadix& radix,
              double scale, kernels::Span<std::complex<double>> slots,
              const kernels::Stream& stream) const;
  void decode(kernels::RnsView<const std::uint32_t> in, const kernels::MixedRadix& radix,
              double scale, kernels::Span<double> slots, const kernels::Stream& stream) const;
  /// Always in double-double.
  void decode(kernels::RnsView<const std::uint32_t> in, const kernels::MixedRadix& radix,
              double scale, kernels::Span<ComplexDoubleDouble> slots,
              const kernels::Stream& stream) const;

  /// @param values  the first ones, at most N; m / scale to the nearest double where the scale is a
  ///                power of two and |m| < 2^104, elsewhere within 0.51 units in the last place and
  ///                the error of m (`residues_to_doubles`).
  void decode_coefficients(kernels::RnsView<const std::uint32_t> in,
                           const kernels::MixedRadix& radix, double scale,
                           kernels::Span<double> values, const kernels::Stream& stream) const;
  /// @throws std::invalid_argument also if an integer does not fit 64 bits (named).
  void decode_integers(kernels::RnsView<const std::uint32_t> in, const kernels::MixedRadix& radix,
                       kernels::Span<std::int64_t> values, const kernels::Stream& stream) const;

 private:
  CanonicalEmbedding embedding_;
};

}  // namespace velum::he
