#pragma once

#include <cstdint>

#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// A signed integer of 128 bits, as an encoder's coefficients above 2^62 need it.
__extension__ typedef __int128 Int128;

/// The residues of signed integers.
///
///   out[p][l][i] = integers[p * degree + i] modulo q_l,  in [0, q_l)
///
/// Exact for every integer of the type, the most negative one included.
///
/// @param integers  [polys * degree], in the stream's memory.
/// @param out       [polys, limbs, degree]; overwritten.
/// @param limbs     which modulus of the chain each limb of `out` has; limbs.count = out.limbs.
/// @param chain     the moduli; in the memory of the stream's backend.
/// @throws std::invalid_argument if sizes differ, a view is malformed (docs of RnsView; degree a
///         power of two, 2 to 2^17), integers and `out` overlap, an index is not in the chain, or
///         the chain is another backend's; BackendUnavailable, CudaError.
template <typename Word>
void integers_to_residues(Span<const std::int64_t> integers, RnsView<Word> out,
                          const LimbIndices& limbs, const ModulusChain<Word>& chain,
                          const Stream& stream);
template <typename Word>
void integers_to_residues(Span<const Int128> integers, RnsView<Word> out, const LimbIndices& limbs,
                          const ModulusChain<Word>& chain, const Stream& stream);

}  // namespace velum::kernels
