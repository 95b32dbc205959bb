#include "velum/he/security_table.h"

#include <stdexcept>

namespace velum::he {

std::string to_string(SecurityLevel level) { return std::to_string(static_cast<int>(level)); }

int largest_log_qp(int log_n, SecurityLevel level) {
  struct Row {
    int bits128, bits192, bits256;
  };
  // Uniform ternary secrets; log_n = 10, 11, ..., 17.
  static constexpr Row kTable[] = {{26, 0, 0},        {53, 36, 27},      {106, 73, 56},
                                   {214, 147, 114},   {430, 297, 230},   {868, 597, 462},
                                   {1747, 1199, 929}, {3523, 2411, 1866}};
  if (log_n < 10 || log_n > 17) {
    throw std::invalid_argument("largest_log_qp: log_n = " + std::to_string(log_n) +
                                ", expected 10 to 17");
  }
  const Row& row = kTable[log_n - 10];
  switch (level) {
    case SecurityLevel::k128:
      return row.bits128;
    case SecurityLevel::k192:
      return row.bits192;
    case SecurityLevel::k256:
      return row.bits256;
  }
  throw std::invalid_argument("largest_log_qp: unknown security level");
}

}  // namespace velum::he
