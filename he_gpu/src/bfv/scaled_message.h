#pragma once

#include "velum/he/bfv/ciphertext.h"

namespace velum::he::bfv {

/// round(Q m / t) modulo the q of a level, [1, limbs, N] in NTT form.
void scale_message(const Context& context, const Plaintext& plaintext, int level, RnsView<Word> out,
                   const Stream& stream);

/// round(t x / Q) modulo t of x = (Q/t) m + v, [1, limbs(level), N] in coefficient form.
Plaintext unscaled_message(const std::shared_ptr<const Context>& context, RnsView<const Word> x,
                           int level, const Stream& stream);

}  // namespace velum::he::bfv
