#pragma once

#include <cstdint>
#include <type_traits>

#include "velum/kernels/modular/modular_arithmetic.h"
#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

/// Arithmetic coefficient by coefficient, modulo the modulus of each limb. The form of the
/// polynomials does not matter to it; a product of polynomials is `multiply` of their NTT forms.
///
/// In all of these:
/// @param a, b    [polys or 1, limbs, N], residues in [0, q); a single polynomial is used for every
///                polynomial of `out`.
/// @param out     [polys, limbs, N], residues in [0, q); may be an operand itself (the same view),
///                but must not touch one otherwise, nor be one that is used more than once.
/// @param limbs   the modulus of each limb; at most LimbIndices::kMaxLimbs.
/// @param chain   in the memory of the stream's backend.
/// @param stream  backend and queue; a CUDA call returns before the work is done.
/// @throws std::invalid_argument if shapes differ, N is no power of two from 2 to 2^17, a limb has
/// no
///         modulus, views overlap, or the chain lies elsewhere; BackendUnavailable, CudaError.
/// Determinism: exact, so the same on every backend.
namespace velum::kernels {

/// out = a + b
template <typename Word>
void add(RnsView<const std::type_identity_t<Word>> a, RnsView<const std::type_identity_t<Word>> b,
         RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
         const ModulusChain<Word>& chain, const Stream& stream);

/// out = a - b
template <typename Word>
void subtract(RnsView<const std::type_identity_t<Word>> a,
              RnsView<const std::type_identity_t<Word>> b, RnsView<std::type_identity_t<Word>> out,
              const LimbIndices& limbs, const ModulusChain<Word>& chain, const Stream& stream);

/// out = -a
template <typename Word>
void negate(RnsView<const std::type_identity_t<Word>> a, RnsView<std::type_identity_t<Word>> out,
            const LimbIndices& limbs, const ModulusChain<Word>& chain, const Stream& stream);

/// out = a b
template <typename Word>
void multiply(RnsView<const std::type_identity_t<Word>> a,
              RnsView<const std::type_identity_t<Word>> b, RnsView<std::type_identity_t<Word>> out,
              const LimbIndices& limbs, const ModulusChain<Word>& chain, const Stream& stream);

/// out = out + a b
template <typename Word>
void multiply_accumulate(RnsView<const std::type_identity_t<Word>> a,
                         RnsView<const std::type_identity_t<Word>> b,
                         RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
                         const ModulusChain<Word>& chain, const Stream& stream);

/// out = factor a, one factor for each limb.
/// @param factors  [limbs], in the memory of the stream's backend; factor l made by `shoup_factor`
///                 for the modulus of limb l.
template <typename Word>
void multiply_factors(RnsView<const std::type_identity_t<Word>> a,
                      Span<const ShoupFactor<std::type_identity_t<Word>>> factors,
                      RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
                      const ModulusChain<Word>& chain, const Stream& stream);

/// out = out + factor a; the factors as in `multiply_factors`.
template <typename Word>
void multiply_factors_accumulate(RnsView<const std::type_identity_t<Word>> a,
                                 Span<const ShoupFactor<std::type_identity_t<Word>>> factors,
                                 RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
                                 const ModulusChain<Word>& chain, const Stream& stream);

/// out = a + constant, one constant for each limb, added to all N values: a constant polynomial
/// where `a` is in NTT form.
/// @param constants  [limbs], in the memory of the stream's backend; constant l is a residue of the
///                   modulus of limb l.
template <typename Word>
void add_constants(RnsView<const std::type_identity_t<Word>> a,
                   Span<const std::type_identity_t<Word>> constants,
                   RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
                   const ModulusChain<Word>& chain, const Stream& stream);

/// out = a, between views of any strides; moduli do not matter.
template <typename Word>
void copy_limbs(RnsView<const std::type_identity_t<Word>> a, RnsView<Word> out,
                const Stream& stream);

}  // namespace velum::kernels
