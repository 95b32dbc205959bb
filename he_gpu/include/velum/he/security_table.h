#pragma once

#include <string>

namespace velum::he {

/// Classical security in bits against the attacks of the lattice estimator.
enum class SecurityLevel { k128 = 128, k192 = 192, k256 = 256 };

std::string to_string(SecurityLevel level);  ///< "128" and so on

/// The largest log2(QP) that the guidelines allow for a ring degree, with a uniform ternary secret
/// and an error of standard deviation 3.19. P counts: key-switching keys are samples modulo QP.
/// Paper: Bossuat et al., Security Guidelines for Implementing Homomorphic Encryption, 2024 (ePrint
/// 2024/463), Table 5.2.
///
/// @param log_n  10 to 17.
/// @return bits; 0 where the table has no entry (192 and 256 bits at log_n = 10).
/// @throws std::invalid_argument if log_n is out of range.
int largest_log_qp(int log_n, SecurityLevel level);

/// The standard deviation of the error that the table assumes and that velum samples.
inline constexpr double kErrorStandardDeviation = 3.19;

}  // namespace velum::he
