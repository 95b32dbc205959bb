#pragma once

#include <cstdint>
#include <vector>

#include "velum/he/parameters.h"
#include "velum/kernels/polynomial/rns_view.h"

namespace velum::he::bfv {

/// Primes that products are computed with beside those of the chain: a product of two polynomials
/// with coefficients up to Q/2, times t/Q, has coefficients of up to t N Q / 2. The special primes
/// serve, too. R, the product of both, is at least 2 t N Q, so that the centred representative
/// modulo R is the product itself with room for every rounding. Deterministic: the largest primes
/// of 30 bits that are not in the chain. (The product does not depend on them.)
/// @throws std::invalid_argument if there are not enough, or too many primes altogether.
std::vector<std::uint32_t> auxiliary_primes(const Parameters& parameters);

/// Indices of the primes that a product at this level takes, the chain being that of the parameters
/// followed by `auxiliary_primes`: as few as make R.
/// @param chain  all of these primes.
kernels::LimbIndices auxiliary_limbs(const Parameters& parameters,
                                     const std::vector<std::uint32_t>& chain, int level);

}  // namespace velum::he::bfv
