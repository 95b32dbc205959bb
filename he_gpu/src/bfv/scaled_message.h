#pragma once

#include "velum/he/bfv/ciphertext.h"

namespace velum::he::bfv {

/// round(Q m / t) modulo the q of a level, [1, limbs, N] in NTT form.
void scale_message(const Context& context, const Plaintext& plaintext, int level, RnsView<Word> out,
                   const Stream& stream);

}  // namespace velum::he::bfv
