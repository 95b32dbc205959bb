// Ordinary CUDA code on floats of 16 bits and on libdevice's functions, as nvcc compiles it,
// against the host's arithmetic.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "arithmetic_kernels.h"
#include "device_fixture.h"

namespace velum::emulation::arithmetic {
namespace {

constexpr std::uint16_t kNan = 0x7FFF;
constexpr HalfType kTypes[] = {HalfType::kF16, HalfType::kBf16};
constexpr Rounding kRoundings[] = {Rounding::kNearest, Rounding::kZero, Rounding::kDown,
                                   Rounding::kUp};

struct Format {
  int fraction_bits;
  int largest_exponent;
};
Format format_of(HalfType type) { return type == HalfType::kF16 ? Format{10, 15} : Format{7, 127}; }

long double value_of(HalfType type, std::uint16_t bits) {
  const Format f = format_of(type);
  const int magnitude = bits & 0x7FFF;
  const int exponent = magnitude >> f.fraction_bits;
  const int fraction = magnitude & ((1 << f.fraction_bits) - 1);
  long double value = 0;
  if (exponent == 2 * f.largest_exponent + 1) {
    value = fraction == 0 ? std::numeric_limits<long double>::infinity()
                          : std::numeric_limits<long double>::quiet_NaN();
  } else if (exponent == 0) {
    value =
        std::ldexp(static_cast<long double>(fraction), 1 - f.largest_exponent - f.fraction_bits);
  } else {
    value = std::ldexp(static_cast<long double>(fraction + (1 << f.fraction_bits)),
                       exponent - f.largest_exponent - f.fraction_bits);
  }
  return (bits & 0x8000) != 0 ? -value : value;
}

std::uint16_t round_to(HalfType type, Rounding rounding, long double x) {
  const Format f = format_of(type);
  if (std::isnan(x)) return kNan;
  const bool negative = std::signbit(x);
  const auto sign = static_cast<std::uint16_t>(negative ? 0x8000 : 0);
  const int infinity = (2 * f.largest_exponent + 1) << f.fraction_bits;
  if (std::isinf(x)) return static_cast<std::uint16_t>(sign | infinity);
  if (x == 0) return sign;
  const int lowest = 1 - f.largest_exponent;
  const int exponent = std::max(std::ilogb(x), lowest);
  const long double scaled =
      std::ldexp(x, f.fraction_bits - exponent);  // in units of the last place
  long double units = 0;
  switch (rounding) {
    case Rounding::kNearest:
      units = std::nearbyint(scaled);
      break;
    case Rounding::kZero:
      units = std::trunc(scaled);
      break;
    case Rounding::kDown:
      units = std::floor(scaled);
      break;
    case Rounding::kUp:
      units = std::ceil(scaled);
      break;
  }
  int magnitude = static_cast<int>(std::fabs(units)) + ((exponent - lowest) << f.fraction_bits);
  if (magnitude >= infinity) {
    const bool finite = rounding == Rounding::kZero || (rounding == Rounding::kDown && !negative) ||
                        (rounding == Rounding::kUp && negative);
    magnitude = finite ? infinity - 1 : infinity;
  }
  return static_cast<std::uint16_t>(sign | magnitude);
}

class Arithmetic : public EmulatedDevice {
 protected:
  /// Numbers of both signs around 1, so that sums of products are exact in a long double; then all
  /// pairs of special values.
  Bits operands(HalfType type, int turn) {
    const Format f = format_of(type);
    Bits values(1024);
    for (std::uint16_t& x : values) {
      const int exponent = f.largest_exponent - 6 + static_cast<int>(random_() % 13);
      const auto fraction = static_cast<int>(random_() % (1U << f.fraction_bits));
      const int sign = random_() % 2 != 0 ? 0x8000 : 0;
      x = static_cast<std::uint16_t>(sign | exponent << f.fraction_bits | fraction);
    }
    const auto infinity =
        static_cast<std::uint16_t>((2 * f.largest_exponent + 1) << f.fraction_bits);
    const auto one = static_cast<std::uint16_t>(f.largest_exponent << f.fraction_bits);
    const std::uint16_t special[] = {0,
                                     0x8000,
                                     one,
                                     static_cast<std::uint16_t>(one | 0x8000),
                                     infinity,
                                     static_cast<std::uint16_t>(infinity | 0x8000),
                                     static_cast<std::uint16_t>(infinity + 1),
                                     1};
    for (std::size_t i = 0; i < 512; ++i) {
      values.push_back(special[(turn == 0 ? i : turn == 1 ? i / 8 : i / 64) % 8]);
    }
    return values;
  }
  std::mt19937 random_{11};
};

/// The function on exact values; NaN where a NaN is due.
std::uint16_t expected(HalfType type, HalfFunction function, std::uint16_t a_bits,
                       std::uint16_t b_bits, std::uint16_t c_bits) {
  const long double a = value_of(type, a_bits);
  const long double b = value_of(type, b_bits);
  const long double c = value_of(type, c_bits);
  const auto nearest = [&](long double x) { return round_to(type, Rounding::kNearest, x); };
  // NaN and -0 give +0
  const auto saturated = [&](long double x) {
    return x > 0 ? nearest(std::min(x, 1.0L)) : std::uint16_t{0};
  };
  switch (function) {
    case HalfFunction::kAdd:
      return nearest(a + b);
    case HalfFunction::kSubtract:
      return nearest(a - b);
    case HalfFunction::kMultiply:
      return nearest(a * b);
    case HalfFunction::kDivide:
      return nearest(a / b);
    case HalfFunction::kFma:
      return nearest(a * b + c);
    case HalfFunction::kFmaRelu: {
      const long double x = a * b + c;
      return std::isnan(x) ? kNan : nearest(x > 0 ? x : 0.0L);
    }
    case HalfFunction::kAddSaturated:
      return saturated(a + b);
    case HalfFunction::kFmaSaturated:
      return saturated(a * b + c);
    case HalfFunction::kNegate:
      return static_cast<std::uint16_t>(a_bits ^ 0x8000);
    case HalfFunction::kAbsolute:
      return static_cast<std::uint16_t>(a_bits & 0x7FFF);
    case HalfFunction::kMaximum:
      if (std::isnan(a) || std::isnan(b)) return std::isnan(a) ? nearest(b) : a_bits;
      if (a == b) return std::signbit(a) ? b_bits : a_bits;  // -0 is less than +0
      return a > b ? a_bits : b_bits;
    case HalfFunction::kMinimumOrNan:
      if (std::isnan(a) || std::isnan(b)) return kNan;
      if (a == b) return std::signbit(a) ? a_bits : b_bits;
      return a < b ? a_bits : b_bits;
    case HalfFunction::kSquareRoot:
      return nearest(std::sqrt(a));
    case HalfFunction::kFloor:
      return nearest(std::floor(a));
    case HalfFunction::kRoundToEven:
      return nearest(std::nearbyint(a));
  }
  return 0;
}

TEST_F(Arithmetic, HalvesAreRoundedOnce) {
  for (const HalfType type : kTypes) {
    const Bits a = operands(type, 0);
    const Bits b = operands(type, 1);
    const Bits c = operands(type, 2);
    for (int k = 0; k < kHalfFunctions; ++k) {
      const auto function = static_cast<HalfFunction>(k);
      const Bits results = apply(type, function, a, b, c);
      ASSERT_EQ(cudaGetLastError(), cudaSuccess) << last_report();
      const bool has_pairs =
          function != HalfFunction::kDivide && k <= static_cast<int>(HalfFunction::kMinimumOrNan);
      const Bits in_pairs = has_pairs ? apply_to_pairs(type, function, a, b, c) : results;
      for (std::size_t i = 0; i < a.size(); ++i) {
        const std::uint16_t due = expected(type, function, a[i], b[i], c[i]);
        for (const std::uint16_t result : {results[i], in_pairs[i]}) {
          if (std::isnan(value_of(type, due))) {
            ASSERT_TRUE(std::isnan(value_of(type, result))) << k << " " << a[i] << " " << b[i];
          } else {
            ASSERT_EQ(result, due) << "function " << k << " of " << a[i] << ", " << b[i] << ", "
                                   << c[i] << " in type " << static_cast<int>(type);
          }
        }
      }
    }
  }
}

TEST_F(Arithmetic, HalvesCompare) {
  for (const HalfType type : kTypes) {
    const Bits a = operands(type, 0);
    const Bits b = operands(type, 1);
    const Comparisons results = compare(type, a, b);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const long double x = value_of(type, a[i]);
      const long double y = value_of(type, b[i]);
      const std::size_t other = i ^ 1;
      const long double other_x = value_of(type, a[other]);
      const long double other_y = value_of(type, b[other]);
      ASSERT_EQ(results.equal[i], x == y);
      ASSERT_EQ(results.less[i], x < y);
      ASSERT_EQ(results.less_or_unordered[i], !(x >= y));
      ASSERT_EQ(results.equal_in_pairs[i], x == y && other_x == other_y);
      const bool low = i % 2 == 0 ? x > y : other_x > other_y;
      const bool high = i % 2 == 0 ? other_x > other_y : x > y;
      ASSERT_EQ(results.greater_mask[i], (low ? 0xFFFFU : 0U) | (high ? 0xFFFF0000U : 0U));
    }
  }
}

TEST_F(Arithmetic, ConversionsRoundInEveryDirection) {
  std::vector<float> floats;
  for (int i = 0; i < 4096; ++i) {
    // Random bits: all magnitudes, infinities and NaN among them.
    const auto bits = static_cast<std::uint32_t>(random_());
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    floats.push_back(value);
    floats.push_back(
        std::ldexp(1.0F + static_cast<float>(random_() % 8192) / 4096.0F, i % 44 - 26));
  }
  std::vector<std::int64_t> integers;
  for (int i = 0; i < 64; ++i) {
    for (const std::int64_t near : {-1, 0, 1}) {
      const std::int64_t power = static_cast<std::int64_t>(std::uint64_t{1} << i);
      integers.insert(integers.end(), {power + near, power / 2 * 3 + near,
                                       static_cast<std::int64_t>(random_()) << (i % 33)});
    }
  }
  Bits all(65536);
  std::iota(all.begin(), all.end(), std::uint16_t{0});
  for (const HalfType type : kTypes) {
    const std::vector<float> widened = to_float(type, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const long double value = value_of(type, all[i]);
      if (std::isnan(value)) {
        ASSERT_TRUE(std::isnan(widened[i]));
      } else {
        ASSERT_EQ(widened[i], value);
      }
    }
    for (const Rounding rounding : kRoundings) {
      const Bits narrow = from_float(type, rounding, floats);
      for (std::size_t i = 0; i < floats.size(); ++i) {
        ASSERT_EQ(narrow[i], round_to(type, rounding, floats[i]))
            << floats[i] << ", rounding " << static_cast<int>(rounding);
      }
      const Bits from = from_integer(type, rounding, integers);
      for (std::size_t i = 0; i < integers.size(); ++i) {
        ASSERT_EQ(from[i], round_to(type, rounding, static_cast<long double>(integers[i])))
            << integers[i] << ", rounding " << static_cast<int>(rounding);
      }
      const std::vector<std::int64_t> to = to_integer(type, rounding, all);
      for (std::size_t i = 0; i < all.size(); ++i) {
        const long double value = value_of(type, all[i]);
        const long double whole = rounding == Rounding::kNearest ? std::nearbyint(value)
                                  : rounding == Rounding::kZero  ? std::trunc(value)
                                  : rounding == Rounding::kDown  ? std::floor(value)
                                                                 : std::ceil(value);
        std::int64_t due = std::numeric_limits<std::int64_t>::min();  // NaN too
        if (whole >= 0x1p63L) {
          due = std::numeric_limits<std::int64_t>::max();
        } else if (whole > -0x1p63L) {
          due = static_cast<std::int64_t>(whole);
        }
        ASSERT_EQ(to[i], due) << all[i];
      }
    }
  }
}

TEST_F(Arithmetic, AtomicsAddHalvesPairsAndVectors) {
  for (const HalfType type : kTypes) {
    Bits values(128);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = round_to(type, Rounding::kNearest, static_cast<long double>(i % 3));
    }
    // 0 + 1 + 2 + ... = 127: every partial sum is exact
    const std::uint16_t due = round_to(type, Rounding::kNearest, 127);
    EXPECT_EQ(sum_by_atomics(type, values, false), due);
    EXPECT_EQ(sum_by_atomics(type, values, true), due);
  }
  std::vector<float> rows(4 * 64);
  std::iota(rows.begin(), rows.end(), 0.0F);
  EXPECT_EQ(sum_columns(rows), (std::vector<float>{8064, 8128, 8192, 8256}));
}

TEST_F(Arithmetic, Swaps128Bits) {
  EXPECT_EQ(swap_128(2, 1), (std::vector<std::uint64_t>{7, 8, 2, 1, 4, 3}));
  EXPECT_EQ(swap_128(2, 0), (std::vector<std::uint64_t>{7, 8, 2, 1, 2, 1}));
}

TEST_F(Arithmetic, AFlushThatNoDocumentDefinesEndsTheKernel) {
  constexpr double kSmallest = std::numeric_limits<float>::min();
  EXPECT_EQ(flushed(Flushed::kMultiply, 0x1.8p-64, 0x1p-63), 0.0F);
  EXPECT_EQ(flushed(Flushed::kMultiply, 0x1p-63, 0x1p-63), 0x1p-126F);
  EXPECT_EQ(flushed(Flushed::kFma, 0x1p-64, 0x1p-64, kSmallest), 0x1.4p-126F);
  EXPECT_EQ(flushed(Flushed::kDivide, 0x1p-100, 0x1p27), 0.0F);
  EXPECT_EQ(flushed(Flushed::kReciprocal, 0x1p126), 0x1p-126F);
  EXPECT_EQ(flushed(Flushed::kReciprocal, 0x1p127), 0.0F);
  EXPECT_EQ(flushed(Flushed::kNarrow, -0x1.8p-127), 0.0F);
  EXPECT_EQ(flushed_half(Flushed::kMultiply, 0x1000, 0x3000), 0x0400U);  // 2^-11 2^-3
  EXPECT_EQ(flushed_half(Flushed::kMultiply, 0x1000, 0x2C00), 0);        // 2^-11 2^-4
  EXPECT_EQ(flushed_half(Flushed::kMultiply, 0x2000, 0x2000), 0x0400U);  // 2^-7 2^-7
  const auto expect_report = [](auto run) {
    EXPECT_ANY_THROW(run());
    EXPECT_THAT(last_report(), ::testing::HasSubstr("whether .ftz flushes it is not documented"));
    EXPECT_THAT(last_report(), ::testing::HasSubstr("arithmetic_kernels.cu"));
    reset();
  };
  // (2^24 - 1) 2^-150 is halfway between the largest subnormal number and 2^-126.
  expect_report([] { flushed(Flushed::kMultiply, 0x1.fffffep-64, 0x1p-63); });
  expect_report([] { flushed(Flushed::kMultiply, -0x1.fffffep-64, 0x1p-63); });
  expect_report([] { flushed(Flushed::kFma, 0x1p-75, -0x1p-76, kSmallest); });
  expect_report([] { flushed(Flushed::kDivide, 0x1.fffffep-100, 0x1p27); });
  expect_report([] { flushed(Flushed::kReciprocal, 0x1.000002p126); });
  expect_report([] { flushed(Flushed::kNarrow, 0x1.fffffffp-127); });
  expect_report([] { flushed_half(Flushed::kMultiply, 0x1FFF, 0x2000); });
  expect_report([] { flushed_half(Flushed::kFma, 0x0800, 0x8800, 0x0400); });
}

/// Distance in units of the last place of T at the exact value.
template <typename T>
long double error_in_ulps(T result, long double exact) {
  const T nearest = static_cast<T>(exact);
  if (std::isnan(nearest) || std::isinf(nearest) || std::isinf(result) || std::isnan(result)) {
    const bool same = (std::isnan(nearest) && std::isnan(result)) || nearest == result;
    return same ? 0.0L : std::numeric_limits<long double>::infinity();
  }
  const int exponent = std::max(exact == 0 ? std::numeric_limits<int>::min() : std::ilogb(exact),
                                std::numeric_limits<T>::min_exponent - 1);
  const long double ulp = std::ldexp(1.0L, exponent - std::numeric_limits<T>::digits + 1);
  return std::fabs(static_cast<long double>(result) - exact) / ulp;
}

struct Function {
  const char* name;
  long double (*exact)(long double, long double);
  double low, high;  // of x
  int float_ulps, double_ulps;
};
using Real = long double;
/// The greatest errors are those of the CUDA programming guide, "Mathematical functions"; of two
/// editions the larger.
const Function kFunctions[] = {
    {"sin(x)", [](Real x, Real) { return std::sin(x); }, -1e5, 1e5, 2, 2},
    {"cos(x)", [](Real x, Real) { return std::cos(x); }, -1e5, 1e5, 2, 2},
    {"tan(x)", [](Real x, Real) { return std::tan(x); }, -1e5, 1e5, 4, 2},
    {"exp(x)", [](Real x, Real) { return std::exp(x); }, -90, 90, 2, 1},
    {"exp2(x)", [](Real x, Real) { return std::exp2(x); }, -130, 130, 2, 1},
    {"expm1(x)", [](Real x, Real) { return std::expm1(x); }, -20, 90, 1, 1},
    {"log(x)", [](Real x, Real) { return std::log(x); }, 0, 1e6, 1, 1},
    {"log2(x)", [](Real x, Real) { return std::log2(x); }, 0, 1e6, 1, 1},
    {"log1p(x)", [](Real x, Real) { return std::log1p(x); }, -1, 1e3, 1, 1},
    {"sqrt(x)", [](Real x, Real) { return std::sqrt(x); }, 0, 1e6, 0, 0},
    {"cbrt(x)", [](Real x, Real) { return std::cbrt(x); }, -1e6, 1e6, 1, 1},
    {"erf(x)", [](Real x, Real) { return std::erf(x); }, -6, 6, 2, 2},
    {"erfc(x)", [](Real x, Real) { return std::erfc(x); }, -6, 9, 6, 5},
    {"tanh(x)", [](Real x, Real) { return std::tanh(x); }, -10, 10, 2, 2},
    {"sinh(x)", [](Real x, Real) { return std::sinh(x); }, -80, 80, 3, 2},
    {"atan(x)", [](Real x, Real) { return std::atan(x); }, -100, 100, 2, 2},
    {"asin(x)", [](Real x, Real) { return std::asin(x); }, -1, 1, 2, 2},
    {"lgamma(x)", [](Real x, Real) { return std::lgamma(x); }, 0, 100, 6, 4},
    {"pow(x, y)", [](Real x, Real y) { return std::pow(x, y); }, 0, 50, 9, 2},
    {"x / y", [](Real x, Real y) { return x / y; }, -1e6, 1e6, 0, 0},
    {"fmod(x, y)", [](Real x, Real y) { return std::fmod(x, y); }, -1e6, 1e6, 0, 0},
    {"hypot(x, y)", [](Real x, Real y) { return std::hypot(x, y); }, -1e6, 1e6, 3, 2},
    {"atan2(x, y)", [](Real x, Real y) { return std::atan2(x, y); }, -1e3, 1e3, 3, 2},
};
constexpr const char* kNames[] = {
#define VELUM_NAME(expression) #expression,
    VELUM_LIBDEVICE_FUNCTIONS(VELUM_NAME)
#undef VELUM_NAME
};

template <typename T>
void expect_errors_within_the_guide(std::mt19937& random) {
  static_assert(std::size(kFunctions) == std::size(kNames));
  for (std::size_t k = 0; k < std::size(kFunctions); ++k) {
    const Function& function = kFunctions[k];
    ASSERT_STREQ(function.name, kNames[k]);
    std::uniform_real_distribution<double> wide(function.low, function.high);
    std::uniform_real_distribution<double> narrow(std::max(function.low, -2.0),
                                                  std::min(function.high, 2.0));
    std::uniform_real_distribution<double> second(-20, 20);
    std::vector<T> x;
    std::vector<T> y;
    for (int i = 0; i < 2000; ++i) {
      x.push_back(static_cast<T>(i % 2 == 0 ? wide(random) : narrow(random)));
      y.push_back(static_cast<T>(second(random)));
    }
    const std::vector<T> results = apply(static_cast<int>(k), x, y);
    const int bound = std::is_same_v<T, float> ? function.float_ulps : function.double_ulps;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Real exact = function.exact(x[i], y[i]);
      const Real error = error_in_ulps(results[i], exact);
      // The guide counts from the nearest number, half a unit away at most.
      ASSERT_LE(error, bound + 0.5L + 1e-3L)
          << function.name << ": x = " << x[i] << ", y = " << y[i] << ", result " << results[i];
    }
  }
}

TEST_F(Arithmetic, FloatFunctionsAreAsPreciseAsTheGuideSays) {
  expect_errors_within_the_guide<float>(random_);
}
TEST_F(Arithmetic, DoubleFunctionsAreAsPreciseAsTheGuideSays) {
  expect_errors_within_the_guide<double>(random_);
}

}  // namespace
}  // namespace velum::emulation::arithmetic
