#pragma once

#include "velum/he/context.h"
#include "velum/he/keys.h"

/// Hybrid key switching, the same for every scheme. Paper: Han and Ki, Better Bootstrapping for
/// Approximate Homomorphic Encryption, 2019 (ePrint 2019/688).
namespace velum::he::key_switching {

/// @throws std::invalid_argument naming `function` if there are no special primes.
void check_parameters(const char* function, const Parameters& parameters);

/// @throws std::invalid_argument naming `function` if it is not odd and in [3, 2N).
void check_galois_element(const char* function, const Parameters& parameters,
                          std::uint32_t element);

/// b_j <- b_j + P g_j s' for every digit j: b, [dnum, special + limbs, N] in NTT form.
/// @param source  s', [limbs(max_level), N], NTT form.
void add_source(const Context& context, const Word* source, RnsView<Word> b, const Stream& stream);

/// Words of the digits of one polynomial at a level.
std::int64_t digit_words(const Context& context, int level);

/// The digits of a polynomial, [1, limbs(level), N] in NTT form, raised to QP and centred:
/// [digit_count, special + limbs, N].
void decompose(const Context& context, RnsView<const Word> polynomial, int level, Word* digits,
               const Stream& stream);

/// Inner product with the key and division by P: out, [2, limbs(level), N].
void apply_key(const Context& context, const Word* digits, const KeySwitchingKey& key, int level,
               RnsView<Word> out, const Stream& stream);

}  // namespace velum::he::key_switching
