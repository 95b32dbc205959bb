#pragma once

#include <cstdint>
#include <vector>

#include "velum/he/parameters.h"

namespace velum::he {

/// All that decides parameters, as numbers that may come from anywhere. Of BFV, `scale_bits` is 0
/// and `plaintext_modulus` is not.
struct ParametersFields {
  static ParametersFields of(const Parameters& parameters);

  /// The parameters, if a `ParametersBuilder` could have made them: every number in the builder's
  /// range; primes of 12 to 30 bits, prime, pairwise different, 1 modulo 2N; scales within the
  /// builder's tolerance, or a plaintext modulus that no prime divides and that the primes of level
  /// 0 hold, and no fewer of them; P above the largest digit; and log2(QP) within the security
  /// table where a level of it is claimed.
  /// @throws std::invalid_argument naming what was found and what is expected.
  Parameters restore() const;

  int log_n = 0;
  int scale_bits = 0;
  int base_count = 0;
  int primes_per_level = 0;
  int max_level = 0;
  int special_count = 0;
  int digit_limbs = 0;
  int security = 0;  // bits; 0 if the table was not enforced
  std::vector<std::uint32_t> primes;
  std::uint64_t plaintext_modulus = 0;  // 0: CKKS
  int parties = 1;
};

}  // namespace velum::he
