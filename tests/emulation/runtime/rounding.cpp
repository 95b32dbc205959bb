// Compiled with -frounding-math: arithmetic in the directed rounding modes.
#include <cfenv>
#include <cmath>

#include "runtime/operations.h"

namespace velum::emulation {
namespace {

class RoundingScope {
 public:
  explicit RoundingScope(Round round) : previous_(std::fegetround()) {
    std::fesetround(mode(round));
  }
  RoundingScope(const RoundingScope&) = delete;
  RoundingScope& operator=(const RoundingScope&) = delete;
  ~RoundingScope() { std::fesetround(previous_); }

 private:
  static int mode(Round round) {
    switch (round) {
      case Round::rz:
        return FE_TOWARDZERO;
      case Round::rm:
        return FE_DOWNWARD;
      case Round::rp:
        return FE_UPWARD;
      default:
        return FE_TONEAREST;
    }
  }
  int previous_;
};

}  // namespace

// The operands and the result are volatile, so that no operation leaves the scope.
template <typename T>
T rounded(Operation operation, Round round, T a, T b, T c) {
  const RoundingScope scope(round);
  const volatile T x = a;
  const volatile T y = b;
  const volatile T z = c;
  volatile T result = T{0};
  switch (operation) {
    case Operation::add:
      result = x + y;
      break;
    case Operation::mul:
      result = x * y;
      break;
    case Operation::div:
      result = x / y;
      break;
    case Operation::fma:
      result = std::fma(x, y, z);
      break;
    case Operation::sqrt:
      result = std::sqrt(x);
      break;
  }
  return result;
}
template f32 rounded<f32>(Operation, Round, f32, f32, f32);
template f64 rounded<f64>(Operation, Round, f64, f64, f64);

f32 narrow_rounded(Round round, f64 a) {
  const RoundingScope scope(round);
  const volatile f64 x = a;
  volatile f32 result = static_cast<f32>(x);
  return result;
}

template <typename T>
T from_integer_rounded(Round round, bool negative, u64 magnitude) {
  // The host converts magnitudes: rounding down a negative number is rounding its magnitude up.
  if (negative && round == Round::rm) {
    round = Round::rp;
  } else if (negative && round == Round::rp) {
    round = Round::rm;
  }
  const RoundingScope scope(round);
  const volatile u64 x = magnitude;
  volatile T result = static_cast<T>(x);
  return negative ? -result : result;
}
template f32 from_integer_rounded<f32>(Round, bool, u64);
template f64 from_integer_rounded<f64>(Round, bool, u64);

}  // namespace velum::emulation
