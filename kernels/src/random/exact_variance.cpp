#include "velum/kernels/random/exact_variance.h"

#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "random/uniform_body.h"

namespace velum::kernels {
namespace {

constexpr int kFractionBits = 31;
constexpr UInt128 kLargestNumerator = std::numeric_limits<std::uint64_t>::max();

template <typename Value>
[[noreturn]] void refuse(const char* function, const char* name, Value value,
                         const char* expected) {
  throw std::invalid_argument(std::string(function) + ": " + name + " = " + std::to_string(value) +
                              ", expected " + expected);
}

/// ceil(x / 2^bits); bits >= 0.
UInt128 rounded_up_shift(UInt128 x, int bits) {
  if (bits >= 127) return x == 0 ? 0 : 1;
  return (x >> bits) + ((x & ((UInt128{1} << bits) - 1)) != 0 ? 1 : 0);
}

/// The smallest number >= mantissa 2^exponent with a denominator 2^b, b <= 31, for the largest b
/// for which the numerator fits; reduced. The number is at most 2^63, mantissa in [1, 2^106].
ExactVariance dyadic_at_least(UInt128 mantissa, int exponent) {
  for (int bits = kFractionBits;; --bits) {
    const int shift = exponent + bits;
    // A left shift that would lose bits does not fit either.
    const bool fits = shift <= 0 || (shift < 64 && mantissa <= kLargestNumerator >> shift);
    const UInt128 numerator = !fits       ? 0
                              : shift > 0 ? mantissa << shift
                                          : rounded_up_shift(mantissa, -shift);
    if (!fits || numerator > kLargestNumerator) continue;
    ExactVariance variance{static_cast<std::uint64_t>(numerator), std::uint64_t{1} << bits};
    const std::uint64_t common = std::gcd(variance.numerator, variance.denominator);
    return {variance.numerator / common, variance.denominator / common};
  }
}

/// value = mantissa 2^exponent, mantissa < 2^53.
std::uint64_t mantissa_of(double value, int& exponent) {
  const double fraction = std::frexp(value, &exponent);
  exponent -= 53;
  return static_cast<std::uint64_t>(std::ldexp(fraction, 53));
}

}  // namespace

void check_variance(const char* function, const ExactVariance& variance) {
  if (variance.numerator == 0) {
    refuse(function, "variance.numerator", variance.numerator, "at least 1");
  }
  if (variance.denominator == 0 || variance.denominator > ExactVariance::kMaxDenominator) {
    refuse(function, "variance.denominator", variance.denominator, "1 to 4294967295");
  }
}

ExactVariance variance_at_least(double variance) {
  if (!(variance > 0.0 && variance <= 0x1p63)) {
    refuse("variance_at_least", "variance", variance, "> 0 and <= 2^63");
  }
  int exponent = 0;
  const std::uint64_t mantissa = mantissa_of(variance, exponent);
  return dyadic_at_least(mantissa, exponent);
}

ExactVariance squared_sigma_at_least(double sigma) {
  if (!(sigma > 0.0 && sigma <= 0x1.6a09e667f3bccp31)) {  // sqrt(2) 2^31, rounded down
    refuse("squared_sigma_at_least", "sigma", sigma, "> 0 and <= 2^31.5");
  }
  int exponent = 0;
  const std::uint64_t mantissa = mantissa_of(sigma, exponent);
  return dyadic_at_least(UInt128{mantissa} * mantissa, 2 * exponent);
}

ExactVariance variance_share(const ExactVariance& total, std::int64_t shares) {
  check_variance("variance_share", total);
  if (shares < 1 || shares > std::int64_t{1} << 31) {
    refuse("variance_share", "shares", shares, "1 to 2^31");
  }
  const auto count = static_cast<std::uint64_t>(shares);
  // numerator / (denominator count), reduced
  const std::uint64_t common = std::gcd(total.numerator, total.denominator * count);  // < 2^63
  const std::uint64_t numerator = total.numerator / common;
  const std::uint64_t denominator = total.denominator * count / common;
  if (denominator <= ExactVariance::kMaxDenominator) return {numerator, denominator};
  for (int bits = kFractionBits;; --bits) {  // the quotient is below 2^32: fits at bits = 31
    const UInt128 scaled = (UInt128{numerator} << bits) + (denominator - 1);
    const UInt128 quotient = scaled / denominator;
    if (quotient <= kLargestNumerator) {
      return {static_cast<std::uint64_t>(quotient), std::uint64_t{1} << bits};
    }
  }
}

double double_at_most(const ExactVariance& variance) {
  check_variance("double_at_most", variance);
  // The quotient's upper 53 bits: num 2^s / den in [2^63, 2^96), exactly, then cut.
  int shift = 0;
  UInt128 scaled = variance.numerator;
  while (scaled >> 95 == 0) {
    scaled <<= 1;
    ++shift;
  }
  UInt128 quotient = scaled / variance.denominator;  // >= 2^63, rounded down
  while (quotient >> 53 != 0) {
    quotient >>= 1;
    --shift;
  }
  return std::ldexp(static_cast<double>(static_cast<std::uint64_t>(quotient)), -shift);
}

}  // namespace velum::kernels
