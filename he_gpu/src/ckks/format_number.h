#pragma once

#include <cmath>
#include <cstdio>
#include <string>

namespace velum::he {

/// For error texts: "2^40" for powers of two above 1024 or below 1, else up to 6 digits.
inline std::string format_number(double x) {
  int exponent = 0;
  if (std::isfinite(x) && std::frexp(x, &exponent) == 0.5 && (x > 1024 || x < 1)) {
    return "2^" + std::to_string(exponent - 1);
  }
  char text[32];
  std::snprintf(text, sizeof text, "%g", x);
  return text;
}

}  // namespace velum::he
