#pragma once

#include <string>
#include <vector>

#include "velum/he/bfv/ciphertext.h"
#include "velum/he/ciphertext.h"
#include "velum/he/threshold/group.h"
#include "velum/he/threshold/smudging.h"

/// What whoever makes a share of a decryption and whoever adds them up must both know.
namespace velum::he::threshold {

/// @throws std::invalid_argument with that text behind the function's name.
[[noreturn]] void refuse(const char* function, const std::string& text);

/// The parties in rising order.
/// @throws std::invalid_argument if they are fewer than decrypt, out of range, or one is there
/// twice.
std::vector<int> checked_active(const char* function, const Group& group, std::vector<int> active);

/// @throws std::invalid_argument if the ciphertext is of another context or key, or has not two
/// polynomials.
template <typename AnyCiphertext>
void check_ciphertext(const char* function, const Group& group, const AnyCiphertext& ciphertext,
                      const Stream& stream);

/// The noise of each share.
/// @throws std::invalid_argument if that of `shares` of them does not fit beside the message.
Smudging checked_smudging(const char* function, const Group& group,
                          const bfv::Ciphertext& ciphertext, int shares);
Smudging checked_smudging(const char* function, const Group& group, const Ciphertext& ciphertext,
                          int shares);

}  // namespace velum::he::threshold
