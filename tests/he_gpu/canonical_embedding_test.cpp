#include "velum/he/ckks/canonical_embedding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "reference/canonical_embedding_quad.h"
#include "support/sha256.h"
#include "support/simd_targets.h"

namespace velum::he {
namespace {

using kernels::Backend;
using kernels::Span;
using kernels::Stream;
using ::velum::testing::for_each_simd_target;
using ::velum::testing::Quad;
using ::velum::testing::QuadComplex;
using ::velum::testing::QuadEmbedding;
using ::velum::testing::sha256;
using Complex = std::complex<double>;

Quad quad(const DoubleDouble& x) { return static_cast<Quad>(x.high) + x.low; }
QuadComplex quad(const Complex& z) { return {z.real(), z.imag()}; }
QuadComplex quad(const ComplexDoubleDouble& z) { return {quad(z.real), quad(z.imag)}; }
template <typename T>
auto quads(const std::vector<T>& values) {
  std::vector<decltype(quad(values[0]))> out;
  for (const T& x : values) out.push_back(quad(x));
  return out;
}
std::vector<Quad> quads(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

/// In (-1, 1), the same on every platform.
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

struct NamedSlots {
  std::string name;
  std::vector<Complex> slots;
};
std::vector<NamedSlots> adversarial_slots(std::int64_t n) {
  const auto size = static_cast<std::size_t>(n);
  std::vector<NamedSlots> all{{"random", random_slots(n, 1)},
                              {"zero", std::vector<Complex>(size)},
                              {"all equal", std::vector<Complex>(size, {1.0 / 3, -0.1})},
                              {"one-hot", std::vector<Complex>(size)},
                              {"alternating", std::vector<Complex>(size)},
                              {"huge dynamic range", random_slots(n, 2)},
                              {"one large", random_slots(n, 3)}};
  all[3].slots[size / 3] = {0.7, 0.3};
  std::mt19937_64 generator(4);
  for (std::size_t j = 0; j < size; ++j) {
    all[4].slots[j] = j % 2 ? Complex{-1.1, 0.9} : Complex{1.1, -0.9};
    all[5].slots[j] *= std::ldexp(1.0, static_cast<int>(generator() % 400) - 250);
  }
  all[6].slots[0] *= 0x1p60;
  return all;
}

Quad norm(const std::vector<Quad>& values) {
  Quad sum = 0;
  for (const Quad x : values) sum += x * x;
  return sqrtq(sum);
}
Quad norm(const std::vector<QuadComplex>& values) {
  Quad sum = 0;
  for (const QuadComplex& z : values) sum += z.real * z.real + z.imag * z.imag;
  return sqrtq(sum);
}
Quad distance(std::vector<Quad> a, const std::vector<Quad>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return norm(a);
}
Quad distance(std::vector<QuadComplex> a, const std::vector<QuadComplex>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i].real -= b[i].real;
    a[i].imag -= b[i].imag;
  }
  return norm(a);
}

struct DoubleDoubles {
  explicit DoubleDoubles(std::size_t size) : high(size), low(size) {}
  DoubleDoubleSpan span() { return {Span<double>(high), Span<double>(low)}; }
  std::vector<Quad> quads() const {
    std::vector<Quad> out;
    for (std::size_t i = 0; i < high.size(); ++i)
      out.push_back(static_cast<Quad>(high[i]) + low[i]);
    return out;
  }
  std::vector<double> high, low;
};

template <typename Slot>
std::vector<double> embedded(const CanonicalEmbedding& embedding, const std::vector<Slot>& slots,
                             double scale) {
  std::vector<double> coefficients(2 * slots.size());
  embedding.embed(Span<const Slot>(slots), scale, coefficients, Stream::serial());
  return coefficients;
}
template <typename Slot>
DoubleDoubles embedded_double_double(const CanonicalEmbedding& embedding,
                                     const std::vector<Slot>& slots, double scale) {
  DoubleDoubles coefficients(2 * slots.size());
  embedding.embed(Span<const Slot>(slots), scale, coefficients.span(), Stream::serial());
  return coefficients;
}

constexpr int kDirectLogN = 11;

/// Scales that are and are not powers of two.
constexpr double kScales[] = {1.0, 0x1p40, 1e12 / 3, 0x1p90};

std::vector<Quad> exact_coefficients(const QuadEmbedding& exact,
                                     const std::vector<QuadComplex>& slots, double scale) {
  std::vector<Quad> coefficients(2 * slots.size());
  for (std::size_t k = 0; k < coefficients.size(); ++k) {
    coefficients[k] = scale * exact.coefficient(slots, static_cast<std::int64_t>(k));
  }
  return coefficients;
}
std::vector<QuadComplex> exact_slots(const QuadEmbedding& exact,
                                     const std::vector<Quad>& coefficients, double scale) {
  std::vector<QuadComplex> slots(coefficients.size() / 2);
  for (std::size_t j = 0; j < slots.size(); ++j) {
    slots[j] = exact.slot(coefficients, static_cast<std::int64_t>(j));
    slots[j].real /= scale;
    slots[j].imag /= scale;
  }
  return slots;
}

// Quadruple precision sums err by some 2^-113 sqrt(n); the double-double bounds are above 2^-103.
TEST(CanonicalEmbedding, CoefficientsAreThoseOfTheDefinitionWithinTheErrorBounds) {
  const CanonicalEmbedding embedding(kDirectLogN);
  for (std::int64_t n = 1; n <= embedding.max_slots(); n *= 2) {
    const QuadEmbedding exact(2 * n);
    for (const NamedSlots& input : adversarial_slots(n)) {
      const std::vector<Quad> unscaled = exact_coefficients(exact, quads(input.slots), 1);
      for (const double scale : kScales) {
        std::vector<Quad> expected = unscaled;
        for (Quad& c : expected) c *= scale;
        const Quad size = norm(expected);
        const Quad error = distance(quads(embedded(embedding, input.slots, scale)), expected);
        EXPECT_LE(error, CanonicalEmbedding::error_bound(n) * size)
            << input.name << ", " << n << " slots";
        const Quad error2 =
            distance(embedded_double_double(embedding, input.slots, scale).quads(), expected);
        EXPECT_LE(error2, CanonicalEmbedding::error_bound_double_double(n) * size)
            << input.name << ", " << n << " slots";
        // Doubles without an imaginary part are the same as complex numbers without one.
        if (scale == 1.0) continue;
        std::vector<double> reals;
        std::vector<Complex> complexes;
        for (const Complex& z : input.slots) {
          reals.push_back(z.real());
          complexes.push_back({z.real(), 0});
        }
        EXPECT_EQ(embedded(embedding, reals, scale), embedded(embedding, complexes, scale));
        EXPECT_EQ(embedded_double_double(embedding, reals, scale).high,
                  embedded_double_double(embedding, complexes, scale).high);
      }
    }
  }
}

TEST(CanonicalEmbedding, SlotsAreTheValuesAtThePowersOf5WithinTheErrorBounds) {
  const CanonicalEmbedding embedding(kDirectLogN);
  for (std::int64_t n = 1; n <= embedding.max_slots(); n *= 2) {
    const QuadEmbedding exact(2 * n);
    for (const NamedSlots& input : adversarial_slots(n)) {
      // Any 2n doubles are coefficients.
      std::vector<double> coefficients;
      for (const Complex& z : input.slots) {
        coefficients.push_back(0x1p50 * z.real());
        coefficients.push_back(0x1p50 * z.imag());
      }
      const auto slots = static_cast<std::size_t>(n);
      const std::vector<QuadComplex> unscaled = exact_slots(exact, quads(coefficients), 1);
      for (const double scale : kScales) {
        std::vector<QuadComplex> expected = unscaled;
        for (QuadComplex& z : expected) {
          z.real /= scale;
          z.imag /= scale;
        }
        const Quad size = norm(expected);
        std::vector<double> work = coefficients;
        std::vector<Complex> computed(slots);
        embedding.evaluate(work, scale, Span<Complex>(computed), Stream::serial());
        EXPECT_LE(distance(quads(computed), expected), CanonicalEmbedding::error_bound(n) * size)
            << input.name << ", " << n << " slots";

        std::vector<double> reals(slots);
        work = coefficients;
        embedding.evaluate(work, scale, Span<double>(reals), Stream::serial());
        for (std::size_t j = 0; j < slots; ++j) ASSERT_EQ(reals[j], computed[j].real());

        DoubleDoubles work2(2 * slots);
        work2.high = coefficients;
        std::vector<ComplexDoubleDouble> computed2(slots);
        embedding.evaluate(work2.span(), scale, Span<ComplexDoubleDouble>(computed2),
                           Stream::serial());
        EXPECT_LE(distance(quads(computed2), expected),
                  CanonicalEmbedding::error_bound_double_double(n) * size)
            << input.name << ", " << n << " slots";

        DoubleDoubles work3(2 * slots);
        work3.high = coefficients;
        embedding.evaluate(work3.span(), scale, Span<Complex>(computed), Stream::serial());
        DoubleDoubles work4(2 * slots);
        work4.high = coefficients;
        embedding.evaluate(work4.span(), scale, Span<double>(reals), Stream::serial());
        for (std::size_t j = 0; j < slots; ++j) {
          ASSERT_EQ(computed[j], Complex(computed2[j].real.high, computed2[j].imag.high));
          ASSERT_EQ(reals[j], computed2[j].real.high);
        }
      }
    }
  }
}

TEST(CanonicalEmbedding, FewSlotsAreThoseOfAPolynomialInAPowerOfX) {
  constexpr std::int64_t kDegree = 128;
  const CanonicalEmbedding embedding(7);
  const QuadEmbedding exact(kDegree);
  for (std::int64_t n = 1; n <= kDegree / 2; n *= 2) {
    const std::vector<Complex> slots = random_slots(n, 5);
    const std::vector<double> coefficients = embedded(embedding, slots, 1);
    std::vector<Quad> polynomial(kDegree);
    for (std::int64_t k = 0; k < 2 * n; ++k) {
      polynomial[static_cast<std::size_t>(k * kDegree / (2 * n))] =
          coefficients[static_cast<std::size_t>(k)];
    }
    // All N/2 slots: the n, again and again.
    for (std::int64_t j = 0; j < kDegree / 2; ++j) {
      const QuadComplex z = exact.slot(polynomial, j);
      const Complex& expected = slots[static_cast<std::size_t>(j % n)];
      const double bound = CanonicalEmbedding::error_bound(n) * 2 * std::sqrt(double(n));
      EXPECT_LE(std::abs(static_cast<double>(z.real - expected.real())), bound);
      EXPECT_LE(std::abs(static_cast<double>(z.imag - expected.imag())), bound);
    }
  }
}

TEST(CanonicalEmbedding, LargeTransformsAgreeWithTheDefinitionWhereTheyAreSampled) {
  for (const int log_n : {13, 14, 15, 16, 17}) {
    const CanonicalEmbedding embedding(log_n);
    const std::int64_t n = embedding.max_slots();
    const QuadEmbedding exact(2 * n);
    const std::vector<Complex> slots = random_slots(n, 6);
    const std::vector<QuadComplex> slots_quad = quads(slots);
    const std::vector<double> coefficients = embedded(embedding, slots, 0x1p40);
    const std::vector<Quad> coefficients2 =
        embedded_double_double(embedding, slots, 0x1p40).quads();
    const Quad size = norm(coefficients2);
    std::mt19937_64 generator(7);
    for (int sample = 0; sample < 8; ++sample) {
      const auto k = static_cast<std::size_t>(generator() % static_cast<std::uint64_t>(2 * n));
      const Quad expected = 0x1p40 * exact.coefficient(slots_quad, static_cast<std::int64_t>(k));
      // One coefficient's share of the error, with a wide margin for its being uneven.
      const Quad share = 16 * size / sqrtq(static_cast<Quad>(2 * n));
      EXPECT_LE(fabsq(coefficients[k] - expected), CanonicalEmbedding::error_bound(n) * share);
      EXPECT_LE(fabsq(coefficients2[k] - expected),
                CanonicalEmbedding::error_bound_double_double(n) * share);
    }
    std::vector<double> work = coefficients;
    std::vector<Complex> back(static_cast<std::size_t>(n));
    embedding.evaluate(work, 0x1p40, Span<Complex>(back), Stream::serial());
    const std::vector<Quad> as_coefficients = quads(coefficients);
    for (int sample = 0; sample < 4; ++sample) {
      const auto j = static_cast<std::size_t>(generator() % static_cast<std::uint64_t>(n));
      QuadComplex expected = exact.slot(as_coefficients, static_cast<std::int64_t>(j));
      const Quad bound =
          CanonicalEmbedding::error_bound(n) * 16 * norm(slots_quad) / sqrtq(static_cast<Quad>(n));
      EXPECT_LE(fabsq(back[j].real() - expected.real / 0x1p40), bound);
      EXPECT_LE(fabsq(back[j].imag() - expected.imag / 0x1p40), bound);
    }
  }
}

TEST(CanonicalEmbedding, EmbeddingAndEvaluatingReturnsEveryNumberOfSlots) {
  const CanonicalEmbedding embedding(CanonicalEmbedding::kMaxLogN);
  for (std::int64_t n = 1; n <= embedding.max_slots(); n *= 2) {
    const auto slots = static_cast<std::size_t>(n);
    for (const double scale : {0x1p30, 1e10, 0x1p90}) {
      const std::vector<Complex> input = random_slots(n, 8);
      const std::vector<QuadComplex> input_quad = quads(input);
      std::vector<double> work = embedded(embedding, input, scale);
      std::vector<Complex> back(slots);
      embedding.evaluate(work, scale, Span<Complex>(back), Stream::serial());
      EXPECT_LE(distance(quads(back), input_quad),
                2.001 * CanonicalEmbedding::error_bound(n) * norm(input_quad));

      std::vector<ComplexDoubleDouble> fine;
      for (const Complex& z : input) {
        fine.push_back({{z.real(), z.real() * 0x1.8p-54}, {z.imag(), z.imag() * -0x1.5p-55}});
      }
      DoubleDoubles work2 = embedded_double_double(embedding, fine, scale);
      std::vector<ComplexDoubleDouble> back2(slots);
      embedding.evaluate(work2.span(), scale, Span<ComplexDoubleDouble>(back2), Stream::serial());
      EXPECT_LE(distance(quads(back2), quads(fine)),
                2.001 * CanonicalEmbedding::error_bound_double_double(n) * norm(input_quad));
    }
  }
}

TEST(CanonicalEmbedding, ConjugateSlotsAreThePolynomialAtTheInverse) {
  const CanonicalEmbedding embedding(10);
  const std::int64_t n = embedding.max_slots();
  std::vector<Complex> slots = random_slots(n, 9);
  const std::vector<double> coefficients = embedded(embedding, slots, 1);
  for (Complex& z : slots) z = std::conj(z);
  const std::vector<double> conjugate = embedded(embedding, slots, 1);
  // m(1/X) = m_0 - sum m_k X^(N-k)
  const double bound = 4 * CanonicalEmbedding::error_bound(n);
  EXPECT_NEAR(conjugate[0], coefficients[0], bound);
  for (std::size_t k = 1; k < conjugate.size(); ++k) {
    EXPECT_NEAR(conjugate[k], -coefficients[conjugate.size() - k], bound);
  }
}

TEST(CanonicalEmbedding, EverySimdTargetHasTheseBits) {
  const CanonicalEmbedding embedding(12);
  std::vector<Complex> slots = random_slots(embedding.max_slots(), 10);
  for_each_simd_target(Backend::kCpu, [&] {
    const std::vector<double> coefficients = embedded(embedding, slots, 1e12 / 3);
    EXPECT_EQ(sha256(coefficients),
              "c339dfe7e2138edd9fc6aeb8d4c7e6b9d8f3c490c1c7352bcb55c93ba93a6e28");
    DoubleDoubles fine = embedded_double_double(embedding, slots, 1e27 / 3);
    EXPECT_EQ(sha256(fine.high),
              "58be1442226718d1d445340c436f127bf7c94439f5760e9f34efae43b01544c7");
    EXPECT_EQ(sha256(fine.low), "d6c0ea4c8d3edd5f4edb224a9adf56ef099193ad2d7e905b79591381d704dfd9");
    std::vector<double> work = coefficients;
    std::vector<Complex> back(slots.size());
    embedding.evaluate(work, 1e12 / 3, Span<Complex>(back), Stream::serial());
    EXPECT_EQ(sha256(back), "baf7a75c69f93998fcad52660c0c3e8d8052dd250c50e1227fc91ffcac230658");
    std::vector<ComplexDoubleDouble> back2(slots.size());
    embedding.evaluate(fine.span(), 1e27 / 3, Span<ComplexDoubleDouble>(back2), Stream::serial());
    EXPECT_EQ(sha256(back2), "a59c1e03234ab0edb69cb4f9f39782d2cc12184952055fd65ca70c3869a03f82");
  });
  // Transforms smaller than a vector.
  for (std::int64_t n = 1; n <= 32; n *= 2) {
    slots.resize(static_cast<std::size_t>(n));
    const std::vector<double> first = embedded(embedding, slots, 3);
    const DoubleDoubles first2 = embedded_double_double(embedding, slots, 3);
    for_each_simd_target(Backend::kCpu, [&] {
      EXPECT_EQ(sha256(embedded(embedding, slots, 3)), sha256(first));
      const DoubleDoubles fine = embedded_double_double(embedding, slots, 3);
      EXPECT_EQ(sha256(fine.high), sha256(first2.high));
      EXPECT_EQ(sha256(fine.low), sha256(first2.low));
    });
    slots = random_slots(embedding.max_slots(), 10);
  }
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

TEST(CanonicalEmbedding, HasTheSameBitsWithAnyNumberOfThreads) {
  const CanonicalEmbedding embedding(15);
  for (const std::int64_t n :
       {std::int64_t{1}, std::int64_t{2048}, std::int64_t{4096}, std::int64_t{16384}}) {
    const std::vector<Complex> slots = random_slots(n, 5);
    const auto size = static_cast<std::size_t>(2 * n);
    struct Results {
      std::vector<double> in_double, high, low;
      std::vector<Complex> slots, slots_double_double;
    };
    const auto results = [&](const Stream& stream) {
      Results r{std::vector<double>(size), std::vector<double>(size), std::vector<double>(size),
                std::vector<Complex>(slots.size()), std::vector<Complex>(slots.size())};
      const DoubleDoubleSpan fine{Span<double>(r.high), Span<double>(r.low)};
      embedding.embed(Span<const Complex>(slots), 0x1p40, Span<double>(r.in_double), stream);
      embedding.embed(Span<const Complex>(slots), 0x1p90, fine, stream);
      std::vector<double> work = r.in_double, high = r.high, low = r.low;
      embedding.evaluate(Span<double>(work), 1e12 / 3, Span<Complex>(r.slots), stream);
      embedding.evaluate(DoubleDoubleSpan{Span<double>(high), Span<double>(low)}, 1e27 / 3,
                         Span<Complex>(r.slots_double_double), stream);
      return r;
    };
    const Results expected = results(Stream::serial());
    for (const int threads : {2, 3, 8}) {
      const Results r = results(Stream::cpu(threads));
      EXPECT_EQ(r.in_double, expected.in_double) << n << ", " << threads << " threads";
      EXPECT_EQ(r.high, expected.high) << n << ", " << threads << " threads";
      EXPECT_EQ(r.low, expected.low) << n << ", " << threads << " threads";
      EXPECT_EQ(r.slots, expected.slots) << n << ", " << threads << " threads";
      EXPECT_EQ(r.slots_double_double, expected.slots_double_double)
          << n << ", " << threads << " threads";
    }
  }
}

TEST(CanonicalEmbedding, ArgumentsOutOfRangeAreRefused) {
  EXPECT_EQ(refusal([] { CanonicalEmbedding(0); }),
            "CanonicalEmbedding: log_n = 0, expected 1 to 17");
  EXPECT_EQ(refusal([] { CanonicalEmbedding(18); }),
            "CanonicalEmbedding: log_n = 18, expected 1 to 17");
  const CanonicalEmbedding embedding(3);
  std::vector<Complex> slots(4, {1, 1});
  std::vector<double> coefficients(8, 1.0);
  const auto embed = [&](std::int64_t n, double scale, std::int64_t size) {
    return refusal([&] {
      embedding.embed(Span<const Complex>(slots.data(), n), scale,
                      Span<double>(coefficients.data(), size), Stream::serial());
    });
  };
  const auto evaluate = [&](std::int64_t n, double scale, std::int64_t size) {
    return refusal([&] {
      embedding.evaluate(Span<double>(coefficients.data(), size), scale,
                         Span<Complex>(slots.data(), n), Stream::serial());
    });
  };
  EXPECT_EQ(embed(4, 1, 8), "accepted");
  EXPECT_EQ(embed(3, 1, 6),
            "CanonicalEmbedding::embed: slots.size() = 3, expected a power of two, 1 to N/2 = 4");
  EXPECT_EQ(embed(0, 1, 0),
            "CanonicalEmbedding::embed: slots.size() = 0, expected a power of two, 1 to N/2 = 4");
  EXPECT_EQ(embed(4, 1, 7),
            "CanonicalEmbedding::embed: coefficients.size() = 7, expected 2 slots.size() = 8");
  EXPECT_EQ(embed(4, 0, 8), "CanonicalEmbedding::embed: scale = 0, expected 2^-100 to 2^200");
  EXPECT_EQ(embed(4, 0x1p201, 8),
            "CanonicalEmbedding::embed: scale = 2^201, expected 2^-100 to 2^200");
  EXPECT_EQ(embed(4, std::nan(""), 8),
            "CanonicalEmbedding::embed: scale = nan, expected 2^-100 to 2^200");
  EXPECT_EQ(evaluate(4, 1, 8), "accepted");
  EXPECT_EQ(evaluate(8, 1, 16),
            "CanonicalEmbedding::evaluate: slots.size() = 8, expected a power of two, 1 to N/2 = "
            "4");
  EXPECT_EQ(evaluate(2, 1, 8),
            "CanonicalEmbedding::evaluate: coefficients.size() = 8, expected 2 slots.size() = 4");
  EXPECT_EQ(evaluate(4, -1, 8),
            "CanonicalEmbedding::evaluate: scale = -1, expected 2^-100 to 2^200");
  coefficients.assign(8, 0.0);
  EXPECT_EQ(refusal([&] {
              embedding.embed(Span<const Complex>(slots), 1,
                              DoubleDoubleSpan{Span<double>(coefficients.data(), 8),
                                               Span<double>(coefficients.data(), 7)},
                              Stream::serial());
            }),
            "CanonicalEmbedding::embed: coefficients.low.size() = 7, expected "
            "coefficients.high.size() = 8");
}

TEST(CanonicalEmbedding, NanInfiniteAndOverflowingNumbersAreRefusedByName) {
  const CanonicalEmbedding embedding(3);
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<double> coefficients(8), low(8);
  const auto embed = [&](Complex z) {
    const std::vector<Complex> slots{1, 2, z, 3};
    const std::string text = refusal([&] {
      embedding.embed(Span<const Complex>(slots), 0x1p40, coefficients, Stream::serial());
    });
    EXPECT_EQ(text, refusal([&] {
                embedding.embed(Span<const Complex>(slots), 0x1p40,
                                DoubleDoubleSpan{Span<double>(coefficients), Span<double>(low)},
                                Stream::serial());
              }));
    return text;
  };
  EXPECT_EQ(embed({std::nan(""), 0}), "CanonicalEmbedding::embed: slots[2] = nan, expected finite");
  EXPECT_EQ(embed({0, -inf}), "CanonicalEmbedding::embed: slots[2] = -inf, expected finite");
  EXPECT_EQ(embed({1, 0x1p860}),
            "CanonicalEmbedding::embed: slots[2] = 2^860, expected finite and scale |slot| < "
            "2^900");
  EXPECT_EQ(embed({1, 0x1p859}), "accepted");
  std::vector<Complex> slots(4);
  const auto evaluate = [&](double high_part, double low_part) {
    coefficients.assign(8, 1.0);
    low.assign(8, 0.0);
    coefficients[5] = high_part;
    low[5] = low_part;
    return refusal([&] {
      embedding.evaluate(DoubleDoubleSpan{Span<double>(coefficients), Span<double>(low)}, 0x1p40,
                         Span<Complex>(slots), Stream::serial());
    });
  };
  EXPECT_EQ(evaluate(1, 0), "accepted");
  EXPECT_EQ(evaluate(inf, 0),
            "CanonicalEmbedding::evaluate: coefficients[5] = inf, expected finite");
  EXPECT_EQ(evaluate(1, std::nan("")),
            "CanonicalEmbedding::evaluate: coefficients[5] = nan, expected finite");
  EXPECT_EQ(evaluate(0x1p920, 0),
            "CanonicalEmbedding::evaluate: coefficients[5] = 2^920, expected finite and "
            "|coefficient| / scale < 2^880");
}

}  // namespace
}  // namespace velum::he
