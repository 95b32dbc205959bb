#pragma once

#include "rns_random.h"
#include "velum/he/aggregation/context.h"

namespace velum::he::aggregation {

/// a_k s for the public polynomials a_k of numbers first, .., [polys, limbs, N], NTT form; as
/// secret as s.
inline void multiply_public(const AggregationContext& context, const PublicSeed& seed,
                            std::int64_t first, RnsView<const Word> secret, RnsView<Word> out,
                            const Stream& stream) {
  const Context& ring = *context.ring();
  fill_uniform(ring, out, context.limbs(), seed, static_cast<std::uint64_t>(first), stream);
  kernels::multiply<Word>(out, secret, out, context.limbs(), ring.moduli(), stream);
}

}  // namespace velum::he::aggregation
