#pragma once

#include <vector>

#include "velum/he/context.h"

namespace velum::he::bfv {

/// log2 of the largest magnitude among numbers modulo Q, the q those of a level, taken as the
/// representatives of least magnitude; 0 if all of them are 0. To within 2^-30.
/// @param residues  [limbs(level), N] in host memory, coefficient form. They decide branches.
double log2_largest(const Context& context, int level, const std::vector<Word>& residues);

}  // namespace velum::he::bfv
