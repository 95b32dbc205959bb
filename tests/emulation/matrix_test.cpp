// mma.sync in every form of the translator's table, and ldmatrix, against the product in exact
// integers or in double precision.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "device_fixture.h"
#include "matrix_kernels.h"

namespace velum::emulation::matrices {
namespace {

class Matrices : public EmulatedDevice {
 protected:
  /// Random numbers that the type holds exactly.
  std::vector<double> draw(const std::string& type, int size) {
    std::vector<double> values(static_cast<std::size_t>(size));
    for (double& x : values) {
      if (type == "u8") {
        x = static_cast<double>(random_() % 256);
      } else if (type == "s8") {
        x = static_cast<double>(random_() % 256) - 128;
      } else if (type == "s32") {
        x = static_cast<std::int32_t>(random_());
      } else {
        const int bits = type == "bf16"                    ? 7
                         : type == "f16" || type == "tf32" ? 10
                         : type == "f32"                   ? 23
                                                           : 52;
        const double fraction = std::floor(
            std::ldexp(static_cast<double>(random_()) / static_cast<double>(random_.max()), bits));
        x = std::ldexp(1 + std::ldexp(fraction, -bits), static_cast<int>(random_() % 9) - 4);
        if (random_() % 2 != 0) x = -x;
      }
    }
    return values;
  }
  std::mt19937_64 random_{17};
};

/// A B + C without a rounding error in integers, in long double else, and the sum of the
/// magnitudes.
struct Exact {
  std::vector<long double> value;
  std::vector<long double> magnitude;
};
Exact product(int rows, int columns, int depth, const std::vector<double>& a,
              const std::vector<double>& b, const std::vector<double>& c) {
  Exact exact;
  for (int m = 0; m < rows; ++m) {
    for (int n = 0; n < columns; ++n) {
      long double value = c[static_cast<std::size_t>(m * columns + n)];
      long double magnitude = std::fabs(value);
      for (int k = 0; k < depth; ++k) {
        const long double term =
            static_cast<long double>(a[static_cast<std::size_t>(m * depth + k)]) *
            b[static_cast<std::size_t>(k * columns + n)];
        value += term;
        magnitude += std::fabs(term);
      }
      exact.value.push_back(value);
      exact.magnitude.push_back(magnitude);
    }
  }
  return exact;
}

TEST_F(Matrices, AreMultipliedInEveryForm) {
  ASSERT_EQ(forms().size(), 35U);
  for (std::size_t form = 0; form < forms().size(); ++form) {
    const Form& f = forms()[form];
    SCOPED_TRACE(f.name);
    for (int round = 0; round < 4; ++round) {
      const std::vector<double> a = draw(f.a, f.rows * f.depth);
      const std::vector<double> b = draw(f.b, f.depth * kColumns);
      std::vector<double> c = draw(f.d, f.rows * kColumns);
      const std::string d = f.d;
      if (d == "s32") {  // sums beyond 32 bits on both sides
        c[0] = std::numeric_limits<std::int32_t>::max();
        c[1] = std::numeric_limits<std::int32_t>::min();
      }
      const std::vector<double> results = multiply(form, a, b, c);
      ASSERT_EQ(cudaGetLastError(), cudaSuccess) << last_report();
      const Exact exact = product(f.rows, kColumns, f.depth, a, b, c);
      for (std::size_t i = 0; i < results.size(); ++i) {
        if (d == "s32") {
          auto due = static_cast<std::int64_t>(exact.value[i]);
          if (f.saturates) {
            due = std::clamp<std::int64_t>(due, std::numeric_limits<std::int32_t>::min(),
                                           std::numeric_limits<std::int32_t>::max());
          }
          ASSERT_EQ(results[i], static_cast<std::int32_t>(due)) << i;
        } else {
          // Each of the sum's roundings is of at most half a unit of a partial sum.
          const int digits = d == "f16" ? 11 : d == "f32" ? 24 : 53;
          const long double bound = (f.depth + 1) * std::ldexp(exact.magnitude[i], -digits);
          ASSERT_LE(std::fabs(results[i] - exact.value[i]), bound) << i;
        }
      }
    }
  }
}

TEST_F(Matrices, AreLoadedFromSharedMemory) {
  const std::vector<double> a = draw("f16", 256);
  const std::vector<double> b = draw("f16", 128);
  const Exact exact = product(16, kColumns, 16, a, b, std::vector<double>(128));
  for (const Loads loads : {Loads::kFour, Loads::kFourTransposed, Loads::kTwo,
                            Loads::kTwoTransposed, Loads::kOne, Loads::kOneTransposed}) {
    const std::vector<double> results = multiply_from_shared(loads, a, b);
    ASSERT_EQ(cudaGetLastError(), cudaSuccess) << last_report();
    for (std::size_t i = 0; i < results.size(); ++i) {
      ASSERT_LE(std::fabs(results[i] - exact.value[i]), 17 * std::ldexp(exact.magnitude[i], -24))
          << static_cast<int>(loads) << ", element " << i;
    }
  }
}

TEST_F(Matrices, AreMultipliedByFragments) {
  for (std::size_t form = 0; form < fragment_forms().size(); ++form) {
    const FragmentForm& f = fragment_forms()[form];
    SCOPED_TRACE(std::to_string(f.rows) + " x " + std::to_string(f.columns) + " of " + f.ab +
                 " to " + f.cd + ", form " + std::to_string(form));
    std::vector<double> a = draw(f.ab, f.rows * f.depth);
    const std::vector<double> b = draw(f.ab, f.depth * f.columns);
    std::vector<double> c = draw(f.cd, f.rows * f.columns);
    const std::string d = f.cd;
    if (d == "s32") {  // so that nothing overflows when it is doubled
      for (double& x : a) x = std::trunc(x / 2);
      for (double& x : c) x = std::trunc(x / 4);
    }
    const std::vector<double> results = multiply_fragments(form, a, b, c);
    ASSERT_EQ(cudaGetLastError(), cudaSuccess) << last_report();
    for (double& x : a) x *= 4;
    for (double& x : c) x *= 2;
    const Exact exact = product(f.rows, f.columns, f.depth, a, b, c);
    const int digits = d == "f16" ? 11 : 24;
    for (std::size_t i = 0; i < results.size(); ++i) {
      const long double bound =
          d == "s32" ? 0 : (f.depth + 1) * std::ldexp(exact.magnitude[i], -digits);
      ASSERT_LE(std::fabs(results[i] - exact.value[i]), bound) << i;
    }
  }
}

TEST_F(Matrices, OfTf32NeedAConversion) {
  EXPECT_EQ(multiply_unconverted({1.5F, 0x1.004p0F}), std::vector<double>(32));
  EXPECT_ANY_THROW(multiply_unconverted({1.5F, 0x1.0001p0F}));
  EXPECT_THAT(last_report(), ::testing::HasSubstr("an operand is no tf32"));
}

TEST_F(Matrices, NeedTheWholeWarp) {
  EXPECT_ANY_THROW(multiply_without_a_lane());
  EXPECT_THAT(last_report(), ::testing::HasSubstr("lane 31 does not take part"));
}

}  // namespace
}  // namespace velum::emulation::matrices
