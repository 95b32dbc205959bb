#include "velum/he/ckks/slot_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "ckks/round_to_integer.h"
#include "reference/canonical_embedding_quad.h"
#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "support/sha256.h"
#include "support/simd_targets.h"

namespace velum::he {
namespace {

using kernels::Backend;
using kernels::LimbIndices;
using kernels::MixedRadix;
using kernels::ModulusChain;
using kernels::RnsView;
using kernels::Span;
using kernels::Stream;
using ::velum::testing::BackendName;
using ::velum::testing::every_backend;
using ::velum::testing::for_each_simd_target;
using ::velum::testing::GuardedBuffer;
using ::velum::testing::make_stream;
using ::velum::testing::Quad;
using ::velum::testing::QuadComplex;
using ::velum::testing::QuadEmbedding;
using ::velum::testing::sha256;
using Complex = std::complex<double>;

/// Primes, as a scheme has them; these are not chosen for an NTT.
const std::vector<std::uint32_t> kPrimes{1073741789, 1073741783, 1073741741, 1073741723,
                                         536870909,  536870879,  33554393,   786433};

double uniform(std::mt19937_64& generator) {
  return static_cast<double>(static_cast<std::int64_t>(generator()) >> 10) * 0x1p-53;
}
std::vector<Complex> random_slots(std::int64_t n, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::vector<Complex> slots(static_cast<std::size_t>(n));
  for (Complex& z : slots) {
    const double real = uniform(generator);
    z = {real, uniform(generator)};
  }
  return slots;
}

template <typename Call>
std::string refusal(Call call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

/// A codec, and a polynomial in the memory of a backend, of the first `limbs` primes.
class Polynomial {
 public:
  Polynomial(int log_n, int limbs, const Stream& stream)
      : codec_(log_n),
        stream_(stream),
        chain_(kPrimes, stream),
        limbs_(LimbIndices::range(0, limbs)),
        radix_(chain_, limbs_, stream),
        memory_(limbs * codec_.embedding().degree(), stream) {}

  std::int64_t degree() const { return codec_.embedding().degree(); }
  RnsView<std::uint32_t> view() const { return {memory_.span().data(), 1, limbs_.count, degree()}; }
  template <typename Slot>
  void encode(const std::vector<Slot>& slots, double scale) {
    codec_.encode(Span<const Slot>(slots), scale, view(), limbs_, chain_, stream_);
    EXPECT_TRUE(memory_.margins_are_intact());
  }
  void encode_coefficients(const std::vector<double>& values, double scale) {
    codec_.encode_coefficients(values, scale, view(), limbs_, chain_, stream_);
    EXPECT_TRUE(memory_.margins_are_intact());
  }
  void encode_integers(const std::vector<std::int64_t>& values) {
    codec_.encode_integers(values, view(), limbs_, chain_, stream_);
    EXPECT_TRUE(memory_.margins_are_intact());
  }
  template <typename Slot>
  std::vector<Slot> decode(std::int64_t n, double scale) const {
    std::vector<Slot> slots(static_cast<std::size_t>(n));
    codec_.decode(view(), radix_, scale, Span<Slot>(slots), stream_);
    return slots;
  }
  std::vector<double> decode_coefficients(std::int64_t count, double scale) const {
    std::vector<double> values(static_cast<std::size_t>(count));
    codec_.decode_coefficients(view(), radix_, scale, values, stream_);
    return values;
  }
  std::vector<std::int64_t> decode_integers(std::int64_t count) const {
    std::vector<std::int64_t> values(static_cast<std::size_t>(count));
    codec_.decode_integers(view(), radix_, values, stream_);
    return values;
  }
  std::vector<std::uint32_t> residues() const { return memory_.to_host(); }
  /// The integers, exactly (below 2^104).
  std::vector<Quad> integers() const {
    const kernels::Buffer<double> high(degree(), stream_), low(degree(), stream_);
    kernels::residues_to_doubles(view(), high.span(), low.span(), radix_, stream_);
    const std::vector<double> highs =
        ::velum::testing::to_host(Span<const double>(high.span()), stream_);
    const std::vector<double> lows =
        ::velum::testing::to_host(Span<const double>(low.span()), stream_);
    std::vector<Quad> all;
    for (std::size_t k = 0; k < highs.size(); ++k) {
      all.push_back(static_cast<Quad>(highs[k]) + lows[k]);
    }
    return all;
  }

 private:
  SlotCodec codec_;
  Stream stream_;
  ModulusChain<std::uint32_t> chain_;
  LimbIndices limbs_;
  MixedRadix radix_;
  GuardedBuffer<std::uint32_t> memory_;
};

class SlotCodecOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

QuadComplex quad(double x) { return {x, 0}; }
QuadComplex quad(const Complex& z) { return {z.real(), z.imag()}; }
QuadComplex quad(const ComplexDoubleDouble& z) {
  return {static_cast<Quad>(z.real.high) + z.real.low, static_cast<Quad>(z.imag.high) + z.imag.low};
}

template <typename Slot>
void expect_rounded_coefficients(const std::vector<Slot>& slots, double scale, bool in_double,
                                 const Stream& stream) {
  Polynomial polynomial(8, 5, stream);
  polynomial.encode(slots, scale);
  const std::vector<Quad> integers = polynomial.integers();
  const auto n = static_cast<std::int64_t>(slots.size());
  const QuadEmbedding exact(2 * n);
  std::vector<QuadComplex> quads;
  Quad size = 0;
  for (const Slot& z : slots) {
    quads.push_back(quad(z));
    size += quads.back().real * quads.back().real + quads.back().imag * quads.back().imag;
  }
  size = scale * sqrtq(size / static_cast<Quad>(n));  // of the coefficients
  const Quad error = size * (in_double ? CanonicalEmbedding::error_bound(n)
                                       : CanonicalEmbedding::error_bound_double_double(n));
  const std::int64_t gap = polynomial.degree() / (2 * n);
  for (std::int64_t k = 0; k < polynomial.degree(); ++k) {
    const Quad m = integers[static_cast<std::size_t>(k)];
    if (k % gap != 0) {
      ASSERT_TRUE(m == 0) << "coefficient " << k;
      continue;
    }
    const Quad c = scale * exact.coefficient(quads, k / gap);
    ASSERT_LE(static_cast<double>(fabsq(m - c) - error), 0.5) << "coefficient " << k;
  }
}

TEST_P(SlotCodecOnEveryBackend, EncodesTheRoundedCoefficientsOfTheDefinition) {
  for (const std::int64_t n : {1, 4, 128}) {
    const std::vector<Complex> slots = random_slots(n, 1);
    std::vector<double> reals;
    std::vector<ComplexDoubleDouble> fine;
    for (const Complex& z : slots) {
      reals.push_back(z.real());
      fine.push_back({{z.real(), z.real() * 0x1.8p-55}, {z.imag(), z.imag() * -0x1.3p-56}});
    }
    for (const double scale : {0x1p20, 1e12 / 3, 0x1p50, 0x1.8p50, 0x1p60, 0x1p90}) {
      const bool in_double = scale <= 0x1p50;
      expect_rounded_coefficients(slots, scale, in_double, stream_);
      expect_rounded_coefficients(reals, scale, in_double, stream_);
      expect_rounded_coefficients(fine, scale, false, stream_);
    }
    // A small scale, and slots for which 64 bits are too few.
    std::vector<Complex> large = slots;
    for (Complex& z : large) z *= 0x1p45;
    expect_rounded_coefficients(large, 0x1p30, false, stream_);
  }
}

TEST_P(SlotCodecOnEveryBackend, EveryNumberOfSlotsComesBackWithinTheRounding) {
  for (const int log_n : {1, 2, 5, 10}) {
    Polynomial polynomial(log_n, 5, stream_);
    const double degree = static_cast<double>(polynomial.degree());
    for (std::int64_t n = 1; n <= polynomial.degree() / 2; n *= 2) {
      const std::vector<Complex> slots = random_slots(n, 2);
      std::vector<ComplexDoubleDouble> fine;
      for (const Complex& z : slots) {
        fine.push_back({{z.real(), z.real() * 0x1.8p-55}, {z.imag(), z.imag() * -0x1.3p-56}});
      }
      for (const double scale : {0x1p20, 0x1p40, 1e12 / 3, 0x1p50, 0x1p60, 0x1p90}) {
        // log2 scale - (log N + 2) bits and better, or what doubles hold.
        const double rounding = degree / (2 * scale);
        const double norm = std::sqrt(2.0 * static_cast<double>(n));
        const double in_double =
            scale <= 0x1p50 ? 2.01 * CanonicalEmbedding::error_bound(n) * norm : 0x1p-52;
        polynomial.encode(slots, scale);
        const std::vector<Complex> back = polynomial.decode<Complex>(n, scale);
        const std::vector<double> reals = polynomial.decode<double>(n, scale);
        for (std::size_t j = 0; j < slots.size(); ++j) {
          ASSERT_LE(std::abs(back[j] - slots[j]), rounding + in_double) << log_n << " " << n;
          ASSERT_EQ(reals[j], back[j].real());
        }
        polynomial.encode(fine, scale);
        const auto back2 = polynomial.decode<ComplexDoubleDouble>(n, scale);
        const double in_double_double =
            2.01 * CanonicalEmbedding::error_bound_double_double(n) * norm;
        for (std::size_t j = 0; j < slots.size(); ++j) {
          const QuadComplex a = quad(back2[j]), b = quad(fine[j]);
          ASSERT_LE(static_cast<double>(hypotq(a.real - b.real, a.imag - b.imag)),
                    rounding + in_double_double);
        }
      }
    }
  }
}

TEST_P(SlotCodecOnEveryBackend, FewSlotsAreRepeatedOverAllSlots) {
  Polynomial polynomial(6, 3, stream_);
  const std::vector<Complex> slots = random_slots(4, 3);
  polynomial.encode(slots, 0x1p40);
  const std::vector<Complex> all = polynomial.decode<Complex>(32, 0x1p40);
  for (std::size_t j = 0; j < all.size(); ++j) {
    EXPECT_LE(std::abs(all[j] - slots[j % 4]), 0x1p-34);
  }
}

TEST_P(SlotCodecOnEveryBackend, CoefficientsAreTheNearestIntegersToScaleTimesValue) {
  Polynomial polynomial(5, 5, stream_);
  const std::vector<double> values{0.0,  0.5,  1.5, -0.5, -1.5, 2.5000000000000004,  0.1,
                                   -0.7, 1e-9, 3.0, 1e6,  -1e6, 0x1.fffffffffffffp-2};
  for (const double scale : {1.0, 3.0, 0x1p30, 1e12 / 3, 1e18, 0x1p80}) {
    polynomial.encode_coefficients(values, scale);
    const std::vector<Quad> integers = polynomial.integers();
    for (std::size_t k = 0; k < integers.size(); ++k) {
      const Quad exact = k < values.size() ? static_cast<Quad>(values[k]) * scale : Quad{0};
      ASSERT_TRUE(integers[k] == rintq(exact)) << "coefficient " << k << ", scale " << scale;
    }
    const std::vector<double> back =
        polynomial.decode_coefficients(static_cast<std::int64_t>(values.size()), scale);
    for (std::size_t k = 0; k < back.size(); ++k) {
      const Quad exact = integers[k] / scale;
      const double nearest = static_cast<double>(exact);
      const double ulp = std::nextafter(std::abs(nearest), 1e300) - std::abs(nearest);
      ASSERT_LE(static_cast<double>(fabsq(back[k] - exact)), 0.51 * ulp);
      if (scale == 1.0 || scale == 0x1p30 || scale == 0x1p80) {
        ASSERT_EQ(back[k], nearest);
      }
    }
  }
}

TEST_P(SlotCodecOnEveryBackend, IntegersComeBackExactly) {
  Polynomial polynomial(7, 4, stream_);
  std::mt19937_64 generator(5);
  std::vector<std::int64_t> values{0,
                                   1,
                                   -1,
                                   std::numeric_limits<std::int64_t>::max(),
                                   std::numeric_limits<std::int64_t>::min(),
                                   (std::int64_t{1} << 53) + 1};
  while (values.size() < 128) {
    values.push_back(static_cast<std::int64_t>(generator()) >> (generator() % 64));
  }
  polynomial.encode_integers(values);
  EXPECT_EQ(polynomial.decode_integers(128), values);
  values.resize(100);
  polynomial.encode_integers(values);
  EXPECT_EQ(polynomial.decode_integers(100), values);
  const std::vector<std::int64_t> all = polynomial.decode_integers(128);
  for (std::size_t k = 100; k < 128; ++k) EXPECT_EQ(all[k], 0);
  polynomial.encode_integers({});
  EXPECT_EQ(polynomial.decode_integers(128), std::vector<std::int64_t>(128));
}

TEST_P(SlotCodecOnEveryBackend, ResiduesHaveTheseBitsOnEverySimdTarget) {
  for_each_simd_target(GetParam(), [&] {
    Polynomial polynomial(11, 6, stream_);
    const std::vector<Complex> slots = random_slots(1024, 6);
    polynomial.encode(slots, 0x1p40);
    EXPECT_EQ(sha256(polynomial.residues()),
              "e573cb76a4d0a5768b41b177a5ee981ffb79f02913b230f113c53e3a3b846eb0");
    polynomial.encode(slots, 1e27 / 3);
    EXPECT_EQ(sha256(polynomial.residues()),
              "6f628a54011a93b021d70437bbc61a3c9c22937b5b25d7f8dee08ac82157bb7f");
    EXPECT_EQ(sha256(polynomial.decode<Complex>(1024, 1e27 / 3)),
              "7117f5e55ec620323ab15c810c8184760ed9f764fced0f52dfc2617074727573");
  });
}

TEST_P(SlotCodecOnEveryBackend, ValuesWithoutRoomAreRefusedAndNamed) {
  Polynomial polynomial(3, 2, stream_);  // log2 Q = 60.0
  const std::vector<Complex> fits(4, {0x1p18, 0});
  polynomial.encode(fits, 0x1p40);
  std::vector<Complex> slots(4, {0x1p19, 0});
  EXPECT_EQ(refusal([&] { polynomial.encode(slots, 0x1p40); }),
            "SlotCodec::encode: the encoded value is too large: slots[0] = (2^19, 0) at scale "
            "2^40 makes a coefficient of 2^59.0, expected below 2^59.0 (log2 Q = 60.0, limbs: 2)");
  slots = {1, {3, -4e20}, 2, 1};
  EXPECT_EQ(refusal([&] { polynomial.encode(slots, 0x1p40); }),
            "SlotCodec::encode: the encoded value is too large: slots[1] = (3, -4e+20) at scale "
            "2^40 makes a coefficient of 2^106.4, expected below 2^59.0 (log2 Q = 60.0, limbs: 2)");
  EXPECT_EQ(refusal([&] {
              polynomial.encode_coefficients({1, -3e18}, 2);
            }),
            "SlotCodec::encode_coefficients: the encoded value is too large: values[1] = -3e+18 at "
            "scale 2 makes a coefficient of 2^62.4, expected below 2^59.0 (log2 Q = 60.0, limbs: "
            "2)");
  EXPECT_EQ(refusal([&] {
              polynomial.encode_integers({1, std::int64_t{1} << 60});
            }),
            "SlotCodec::encode_integers: the encoded value is too large: values[1] = "
            "1152921504606846976 at scale 1 makes a coefficient of 2^60.0, expected below 2^59.0 "
            "(log2 Q = 60.0, limbs: 2)");
  // 128 bits are the end, whatever the modulus.
  Polynomial large(3, 6, stream_);
  EXPECT_EQ(refusal([&] { large.encode_coefficients({0x1.8p63}, 0x1p63); }),
            "SlotCodec::encode_coefficients: the encoded value is too large: values[0] = "
            "1.38351e+19 at scale 2^63 makes a coefficient of 2^126.6, expected below 2^126.0 "
            "(log2 Q = 178.0, limbs: 6)");
  large.encode_coefficients({0x1.fp62}, 0x1p63);
  EXPECT_EQ(large.decode_coefficients(1, 0x1p63), std::vector<double>{0x1.fp62});
  // What does not fit a 64-bit integer.
  EXPECT_EQ(refusal([&] { large.decode_integers(8); }),
            "SlotCodec::decode_integers: in[0] is about 8.24121e+37, expected -2^63 to 2^63 - 1");
  large.encode_coefficients({1, 0x1p63}, 1);
  EXPECT_EQ(refusal([&] { large.decode_integers(8); }),
            "SlotCodec::decode_integers: in[1] is about 2^63, expected -2^63 to 2^63 - 1");
}

TEST_P(SlotCodecOnEveryBackend, NanAndInfinityAndWrongSizesAreRefused) {
  Polynomial polynomial(3, 2, stream_);
  const double nan = std::nan("");
  EXPECT_EQ(refusal([&] {
              polynomial.encode(std::vector<double>{1, nan, 0, 0}, 0x1p40);
            }),
            "CanonicalEmbedding::embed: slots[1] = nan, expected finite");
  EXPECT_EQ(refusal([&] {
              polynomial.encode(std::vector<Complex>{1, {0, -INFINITY}}, 0x1p60);
            }),
            "CanonicalEmbedding::embed: slots[1] = -inf, expected finite");
  EXPECT_EQ(refusal([&] {
              polynomial.encode_coefficients({0, nan}, 1);
            }),
            "SlotCodec::encode_coefficients: values[1] = nan, expected finite");
  EXPECT_EQ(refusal([&] { polynomial.encode(std::vector<double>(3), 1); }),
            "CanonicalEmbedding::embed: slots.size() = 3, expected a power of two, 1 to N/2 = 4");
  EXPECT_EQ(refusal([&] { polynomial.encode(std::vector<double>(4), nan); }),
            "CanonicalEmbedding::embed: scale = nan, expected 2^-100 to 2^200");
  EXPECT_EQ(refusal([&] { polynomial.encode_coefficients(std::vector<double>(9), 1); }),
            "SlotCodec::encode_coefficients: values.size() = 9, expected at most N = 8");
  EXPECT_EQ(refusal([&] { polynomial.encode_coefficients({1}, 0); }),
            "SlotCodec::encode_coefficients: scale = 0, expected 2^-100 to 2^200");
  EXPECT_EQ(refusal([&] { polynomial.encode_integers(std::vector<std::int64_t>(9)); }),
            "SlotCodec::encode_integers: values.size() = 9, expected at most N = 8");
  polynomial.encode(std::vector<double>(4), 1);
  EXPECT_EQ(refusal([&] { polynomial.decode<Complex>(3, 1); }),
            "SlotCodec::decode: slots.size() = 3, expected a power of two, 1 to N/2 = 4");
  EXPECT_EQ(refusal([&] { polynomial.decode<Complex>(4, 0); }),
            "SlotCodec::decode: scale = 0, expected 2^-100 to 2^200");
  EXPECT_EQ(refusal([&] { polynomial.decode_coefficients(9, 1); }),
            "SlotCodec::decode_coefficients: values.size() = 9, expected at most N = 8");
  EXPECT_EQ(refusal([&] { polynomial.decode_integers(9); }),
            "SlotCodec::decode_integers: values.size() = 9, expected at most N = 8");

  const SlotCodec codec(4);
  const ModulusChain<std::uint32_t> chain(kPrimes, stream_);
  EXPECT_EQ(refusal([&] {
              codec.encode(Span<const double>(std::vector<double>(4)), 1, polynomial.view(),
                           LimbIndices::range(0, 2), chain, stream_);
            }),
            "SlotCodec::encode: out.degree = 8, expected N = 16");
  RnsView<std::uint32_t> two = polynomial.view();
  two.polys = 2;
  EXPECT_EQ(refusal([&] {
              codec.encode(Span<const double>(std::vector<double>(4)), 1, two,
                           LimbIndices::range(0, 2), chain, stream_);
            }),
            "SlotCodec::encode: out.polys = 2, expected 1");
}

INSTANTIATE_TEST_SUITE_P(All, SlotCodecOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(NearestInteger, IsTheNearestAtEverySizeAndAtTies) {
  std::mt19937_64 generator(8);
  for (int i = 0; i < 200000; ++i) {
    const int exponent = static_cast<int>(generator() % 130) - 4;
    double high = std::ldexp(1 + std::abs(uniform(generator)), exponent - 1);
    if (generator() % 2) high = std::floor(2 * high) / 2;  // a tie, where there are halves
    if (generator() % 2) high = -high;
    const double ulp = std::nextafter(std::abs(high), 1e300) - std::abs(high);
    const int low_kind = static_cast<int>(generator() % 4);
    double low = low_kind == 0 ? 0 : uniform(generator) * ulp / 2;
    if (low_kind == 1) low = std::ldexp(low, -static_cast<int>(generator() % 200));
    if (std::abs(high) >= 0x1p126) continue;
    const Quad x = static_cast<Quad>(high) + low;
    const DoubleDouble pair{high, low};
    const kernels::Int128 m = nearest_integer<kernels::Int128>(pair);
    // The difference in parts, each exact: quadruple precision alone cannot hold 2^126 + 1/4.
    const Quad whole = rintq(static_cast<Quad>(high));
    const Quad off = (static_cast<Quad>(high) - whole) -
                     static_cast<Quad>(m - static_cast<kernels::Int128>(whole));
    ASSERT_LE(static_cast<double>(fabsq(off + low)), 0.5) << high << " + " << low;
    if (fabsq(x) < 0x1p62) {
      ASSERT_TRUE(m == nearest_integer<std::int64_t>(pair));
    }
  }
  EXPECT_EQ(nearest_integer(0.5), 0);
  EXPECT_EQ(nearest_integer(1.5), 2);
  EXPECT_EQ(nearest_integer(-2.5), -2);
  EXPECT_EQ(nearest_integer(0x1p52 - 0.5), 0x1p52);
  EXPECT_EQ(nearest_integer(0x1p52 + 1), 0x1p52 + 1);
}

}  // namespace
}  // namespace velum::he
