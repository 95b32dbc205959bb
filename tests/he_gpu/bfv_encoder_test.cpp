#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bfv_fixture.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;

__extension__ typedef unsigned __int128 UInt128;

std::uint64_t multiply(std::uint64_t a, std::uint64_t b, std::uint64_t t) {
  return static_cast<std::uint64_t>(static_cast<UInt128>(a) * b % t);
}

std::uint64_t power(std::uint64_t base, std::uint64_t exponent, std::uint64_t t) {
  std::uint64_t result = 1;
  for (; exponent > 0; exponent >>= 1, base = multiply(base, base, t)) {
    if (exponent & 1) result = multiply(result, base, t);
  }
  return result;
}

/// The smallest primitive 2N-th root of unity: every odd power of any one of them is looked at.
std::uint64_t smallest_root(std::uint64_t t, std::uint64_t n) {
  std::uint64_t any = 0;
  for (std::uint64_t x = 2; any == 0; ++x) {
    const std::uint64_t root = power(x, (t - 1) / (2 * n), t);
    if (power(root, n, t) == t - 1) any = root;
  }
  std::uint64_t smallest = any;
  for (std::uint64_t odd = 1; odd < 2 * n; odd += 2)
    smallest = std::min(smallest, power(any, odd, t));
  return smallest;
}

class BfvEncodersOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }

  std::shared_ptr<const Context> context_of(int log_n, std::uint64_t t, int modulus_bits = 120) {
    return Context::create(small_insecure_bfv(log_n, t, modulus_bits), stream_);
  }
  Integers coefficients_of(const bfv::Plaintext& plaintext) {
    return to_host(plaintext.coefficients(), stream_);
  }
  Stream stream_ = make_stream(GetParam());
};

TEST_P(BfvEncodersOnEveryBackend, SlotsAreTheValuesAtPowersOfTheRoot) {
  struct Case {
    int log_n;
    std::uint64_t t;
  };
  for (const auto& [log_n, t] :
       {Case{4, 97}, Case{5, 65537}, Case{6, Parameters::batching_modulus(6, 20)},
        Case{4, Parameters::batching_modulus(4, 60)}}) {
    const auto context = context_of(log_n, t);
    const bfv::BatchEncoder encoder(context);
    const std::uint64_t n = std::uint64_t{1} << log_n;
    std::mt19937_64 bits(t);
    std::vector<std::uint64_t> slots(n);
    for (auto& slot : slots) slot = bits() % t;
    slots[0] = t - 1;
    slots[1] = 0;
    const bfv::Plaintext plaintext = encoder.encode(Span<const std::uint64_t>(slots), stream_);
    const Integers coefficients = coefficients_of(plaintext);
    const std::uint64_t psi = smallest_root(t, n);
    std::uint64_t exponent = 1;  // 5^i
    for (std::uint64_t i = 0; i < n / 2; ++i, exponent = exponent * 5 % (2 * n)) {
      for (const std::uint64_t row : {0, 1}) {
        const std::uint64_t point = power(psi, row == 0 ? exponent : 2 * n - exponent, t);
        std::uint64_t value = 0;
        for (std::uint64_t k = n; k-- > 0;) {
          const std::int64_t c = coefficients[k];
          value = (multiply(value, point, t) +
                   (c < 0 ? t - static_cast<std::uint64_t>(-c) : static_cast<std::uint64_t>(c))) %
                  t;
        }
        EXPECT_EQ(value, slots[row * n / 2 + i]) << "t = " << t << ", slot " << i << " of " << row;
      }
    }
    std::vector<std::uint64_t> decoded(n);
    encoder.decode(plaintext, Span<std::uint64_t>(decoded), stream_);
    EXPECT_EQ(decoded, slots);
    EXPECT_EQ(plaintext.coefficient_sum(), static_cast<double>(n) * static_cast<double>(t / 2));
  }
}

TEST_P(BfvEncodersOnEveryBackend, ProductsOfPolynomialsAreProductsOfSlots) {
  const std::uint64_t t = 65537;
  const bfv::BatchEncoder encoder(context_of(5, t));
  std::mt19937_64 bits(3);
  for (int round = 0; round < 20; ++round) {
    Integers x(32), y(32);
    for (auto& value : x) value = static_cast<std::int64_t>(bits() % t) - 32768;
    for (auto& value : y) value = static_cast<std::int64_t>(bits() % t) - 32768;
    const auto polynomial = [&](const Integers& values) {
      return polynomial_of(
          coefficients_of(encoder.encode(Span<const std::int64_t>(values), stream_)));
    };
    const testing::bfv::Polynomial product =
        testing::bfv::reduced(testing::bfv::multiply(polynomial(x), polynomial(y)), t);
    Integers coefficients;
    for (const BigInteger& c : product) coefficients.push_back(c.convert_to<std::int64_t>());
    const bfv::Plaintext plaintext = bfv::CoefficientEncoder(encoder.context())
                                         .encode(Span<const std::int64_t>(coefficients), stream_);
    Integers slots(32);
    encoder.decode(plaintext, Span<std::int64_t>(slots), stream_);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      EXPECT_EQ((slots[i] - x[i] * y[i]) % static_cast<std::int64_t>(t), 0) << "slot " << i;
      EXPECT_LE(std::abs(slots[i]), static_cast<std::int64_t>(t / 2));
    }
  }
}

TEST_P(BfvEncodersOnEveryBackend, MissingSlotsAreZeroAndAFewCanBeDecoded) {
  const bfv::BatchEncoder encoder(context_of(4, 97));
  EXPECT_EQ(encoder.slots(), 16);
  EXPECT_EQ(encoder.row_size(), 8);
  const Integers values{48, -48, 7};
  const bfv::Plaintext plaintext = encoder.encode(Span<const std::int64_t>(values), stream_);
  Integers slots(16), few(2);
  encoder.decode(plaintext, Span<std::int64_t>(slots), stream_);
  Integers expected = values;
  expected.resize(16);
  EXPECT_EQ(slots, expected);
  encoder.decode(plaintext, Span<std::int64_t>(few), stream_);
  EXPECT_EQ(few, (Integers{48, -48}));
  const bfv::Plaintext none = encoder.encode(Span<const std::int64_t>(), stream_);
  EXPECT_EQ(coefficients_of(none), Integers(16));
}

TEST_P(BfvEncodersOnEveryBackend, CoefficientsComeBackForEveryModulus) {
  for (const std::uint64_t t :
       {std::uint64_t{2}, std::uint64_t{3}, std::uint64_t{256}, std::uint64_t{1} << 32,
        (std::uint64_t{1} << 60) - 1, std::uint64_t{1} << 60}) {
    const bfv::CoefficientEncoder encoder(context_of(4, t));
    const auto low = -static_cast<std::int64_t>(t / 2);
    const auto high = static_cast<std::int64_t>((t - 1) / 2);
    const Integers values{low, high, 0, low + 1, high, low};
    const bfv::Plaintext plaintext = encoder.encode(Span<const std::int64_t>(values), stream_);
    Integers decoded(6);
    encoder.decode(plaintext, Span<std::int64_t>(decoded), stream_);
    EXPECT_EQ(decoded, values) << t;
    std::vector<std::uint64_t> residues(6);
    encoder.decode(plaintext, Span<std::uint64_t>(residues), stream_);
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(residues[i], values[i] < 0 ? t - static_cast<std::uint64_t>(-values[i])
                                           : static_cast<std::uint64_t>(values[i]));
    }
    EXPECT_EQ(coefficients_of(encoder.encode(Span<const std::uint64_t>(residues), stream_)),
              coefficients_of(plaintext));
    EXPECT_EQ(plaintext.coefficient_sum(), 6.0 * static_cast<double>(t / 2));
  }
}

TEST_P(BfvEncodersOnEveryBackend, ADeclaredBoundIsHeldToAndCounted) {
  const bfv::CoefficientEncoder encoder(context_of(4, 256));
  const Integers values{3, -3, 2};
  const auto encode = [&](const Integers& x, std::int64_t bound) {
    return encoder.encode(Span<const std::int64_t>(x), stream_, {.value_bound = bound});
  };
  EXPECT_EQ(encode(values, 3).coefficient_sum(), 9.0);
  EXPECT_EQ(encode({-128}, 128).coefficient_sum(), 128.0);
  EXPECT_EQ(refusal_of([&] { encode(values, 2); }),
            "CoefficientEncoder::encode: value 0 is 3, expected -2 to 2");
  EXPECT_EQ(refusal_of([&] { encode(values, 129); }),
            "CoefficientEncoder::encode: value_bound = 129, expected 1 to floor(t/2) = 128, or 0");
  EXPECT_THAT(refusal_of([&] { encode(values, -1); }), HasSubstr("value_bound = -1"));
}

TEST_P(BfvEncodersOnEveryBackend, ValuesOutOfRangeAreRefused) {
  const auto context = context_of(4, 97);
  const bfv::BatchEncoder batch(context);
  const bfv::CoefficientEncoder coefficients(context);
  const auto text = [&](const auto& encoder, const auto& values) {
    using Value = typename std::decay_t<decltype(values)>::value_type;
    return refusal_of([&] { encoder.encode(Span<const Value>(values), stream_); });
  };
  EXPECT_EQ(text(batch, Integers{48, -48}), "no error");
  EXPECT_EQ(text(batch, Integers{48, 49}),
            "BatchEncoder::encode: value 1 is 49, expected -48 to 48");
  EXPECT_EQ(text(batch, Integers{-49}), "BatchEncoder::encode: value 0 is -49, expected -48 to 48");
  EXPECT_EQ(text(batch, std::vector<std::uint64_t>{96, 97}),
            "BatchEncoder::encode: value 1 is 97, expected 0 to 96");
  EXPECT_EQ(text(batch, Integers(17)), "BatchEncoder::encode: 17 values, expected at most N = 16");
  EXPECT_EQ(text(coefficients, Integers{49}),
            "CoefficientEncoder::encode: value 0 is 49, expected -48 to 48");
  EXPECT_EQ(text(coefficients, std::vector<std::uint64_t>{97}),
            "CoefficientEncoder::encode: value 0 is 97, expected 0 to 96");
  EXPECT_EQ(text(coefficients, Integers(17)),
            "CoefficientEncoder::encode: 17 values, expected at most N = 16");
  const bfv::CoefficientEncoder even(context_of(4, 256));
  EXPECT_EQ(text(even, Integers{-128, 127}), "no error");
  EXPECT_EQ(text(even, Integers{128}),
            "CoefficientEncoder::encode: value 0 is 128, expected -128 to 127");

  Integers many(17);
  const bfv::Plaintext plaintext = batch.encode(Span<const std::int64_t>(), stream_);
  EXPECT_EQ(refusal_of([&] { batch.decode(plaintext, Span<std::int64_t>(many), stream_); }),
            "BatchEncoder::decode: 17 values, expected at most N = 16");
  EXPECT_EQ(refusal_of([&] { even.decode(plaintext, Span<std::int64_t>(many), stream_); }),
            "CoefficientEncoder::decode: the plaintext belongs to another context");
}

TEST_P(BfvEncodersOnEveryBackend, ParametersThatDoNotFitAreRefused) {
  EXPECT_THAT(refusal_of([&] { bfv::BatchEncoder(context_of(4, 256)); }),
              HasSubstr("plaintext modulus t = 256, expected a prime that is 1 modulo 2N = 32"));
  EXPECT_THAT(refusal_of([&] { bfv::BatchEncoder(context_of(4, 33)); }), HasSubstr("t = 33"));
  EXPECT_THAT(refusal_of([&] { bfv::BatchEncoder(context_of(4, 101)); }), HasSubstr("t = 101"));
  const auto ckks = Context::create(
      ParametersBuilder().log_n(4).scale_bits(20).insecure_without_security_check().build(),
      stream_);
  EXPECT_EQ(refusal_of([&] { bfv::BatchEncoder{ckks}; }),
            "BatchEncoder: the parameters are of CKKS, expected BFV; "
            "ParametersBuilder::plaintext_modulus makes such");
  EXPECT_THAT(refusal_of([&] { bfv::CoefficientEncoder{ckks}; }),
              HasSubstr("CoefficientEncoder: the parameters are of CKKS"));
  EXPECT_THAT(refusal_of([&] { bfv::Evaluator{ckks}; }), HasSubstr("are of CKKS"));
  EXPECT_THAT(refusal_of([&] { bfv::Evaluator(nullptr); }), HasSubstr("context is null"));
}

INSTANTIATE_TEST_SUITE_P(Backends, BfvEncodersOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::he
