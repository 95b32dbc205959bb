#pragma once

#include <cstdint>
#include <vector>

#include "velum/kernels/buffer.h"
#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// The constants by which residues become numbers in mixed radix. With the moduli q_0 .. q_(k-1),
/// Q their product, and P_i = q_0 .. q_(i-1), every integer x with |x| <= (Q - 1) / 2 is
///
///   x = sum_i b_i P_i,   |b_i| <= (q_i - 1) / 2,
///
/// in one way: the digits of x + (Q - 1)/2 = sum_i d_i P_i, 0 <= d_i < q_i, less those of (Q -
/// 1)/2, which are (q_i - 1)/2. So the representative of least magnitude comes without a comparison
/// of long numbers, and a small one has zeros for its high digits. Source: Garner, The residue
/// number system, 1959; Knuth, TAOCP 2, section 4.3.2.
///
/// In the host's memory and in that of one backend. Immutable.
class MixedRadix {
 public:
  struct Limb {
    Modulus<std::uint32_t> modulus;
    ShoupFactor<std::uint32_t> inverse;  ///< P_i^-1 modulo q_i
  };

  /// @param limbs   which moduli of the chain; at least one, all different.
  /// @param stream  whose memory holds the constants; the constructor waits for the copy.
  /// @throws std::invalid_argument if there is no limb, an index is not in the chain, or two moduli
  ///         have a common factor; CudaError.
  MixedRadix(const ModulusChain<std::uint32_t>& chain, const LimbIndices& limbs,
             const Stream& stream);

  int limbs() const { return static_cast<int>(limbs_.size()); }
  /// log2 Q, within 2^-40.
  double log2_modulus() const { return log2_modulus_; }
  /// In the backend's memory, for operations of kernels: [limbs], and P_j modulo q_i for j < i at
  /// index i (i - 1) / 2 + j.
  const Limb* data() const { return resident_limbs_.data(); }
  const std::uint32_t* products() const { return resident_products_.data(); }
  Backend backend() const { return resident_limbs_.backend(); }

 private:
  std::vector<std::uint32_t> products_;
  std::vector<Limb> limbs_;  // made together with the products, after them
  double log2_modulus_;
  Buffer<Limb> resident_limbs_;
  Buffer<std::uint32_t> resident_products_;
};

/// The integers of least magnitude with given residues, as unevaluated sums of two doubles.
///
///   high[k] + low[k] = x_k,   x_k = in[0][l][k stride] modulo q_l for every limb l,
///   |x_k| <= (Q - 1) / 2,     stride = degree / high.size()
///
/// Exact for |x_k| < 2^104, and then high[k] is the double nearest to x_k; above, within
/// 7 (limbs - 1) 2^-106 |x_k|. From 2^960 on high[k] is infinite, low[k] 0: what a decryption with
/// a wrong key looks like. The cost grows with the square of the number of limbs; whoever knows
/// that |x_k| is small takes as many limbs as it needs.
///
/// @param in     [1, limbs, degree], residues in [0, q_l), in coefficient form, in the stream's
///               memory.
/// @param high   [a divisor of degree]; overwritten.
/// @param low    as high.
/// @param radix  of the limbs of `in`, in the memory of the stream's backend.
/// @throws std::invalid_argument if sizes differ or the radix is another backend's;
///         BackendUnavailable, CudaError.
/// Determinism: the same bits on every backend and SIMD target.
void residues_to_doubles(RnsView<const std::uint32_t> in, Span<double> high, Span<double> low,
                         const MixedRadix& radix, const Stream& stream);

}  // namespace velum::kernels
