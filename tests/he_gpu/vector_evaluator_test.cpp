#include "velum/he/ckks/vector_evaluator.h"

#include <gtest/gtest.h>

#include "bfv_fixture.h"
#include "he_fixture.h"
#include "velum/he/bfv/vector_evaluator.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;
using ::testing::HasSubstr;
using Numbers = std::vector<double>;

constexpr int kDepth = 4;

/// CKKS with the keys that vectors need; its results in the clear.
struct Vectors {
  explicit Vectors(Backend backend, bool keys = true)
      : scheme(small_insecure_parameters(6, 45, kDepth), backend, 31),
        stream(scheme.stream),
        evaluator(scheme.context,
                  keys ? std::make_shared<const RelinearizationKey>(
                             scheme.generator.relinearization_key(*scheme.secret, stream))
                       : nullptr,
                  keys ? std::make_shared<const GaloisKeys>(scheme.generator.galois_keys(
                             *scheme.secret,
                             VectorEvaluator::rotation_steps(scheme.context->parameters()), false,
                             stream))
                       : nullptr) {}

  Ciphertext encrypt(const Numbers& numbers, double bound = 1.0) const {
    return scheme.encryptor.encrypt(evaluator.encode(Span<const double>(numbers), bound, stream),
                                    stream);
  }
  /// All slots: `size` numbers, then zeros to the end of the period, and so on, and what the
  /// ciphertext says of level, scale, error and bound is true.
  void expect(const Ciphertext& c, const Numbers& numbers, int level) const {
    SCOPED_TRACE(::testing::Message() << numbers.size() << " numbers");
    const Parameters& parameters = scheme.context->parameters();
    EXPECT_EQ(c.size(), 2);
    EXPECT_EQ(c.level(), level);
    EXPECT_EQ(c.scale(), parameters.scale(c.level()));
    const Complexes slots = scheme.decrypt(c);
    const auto period =
        static_cast<std::size_t>(evaluator.period(static_cast<std::int64_t>(numbers.size())));
    const double error = c.noise().slot_bound / c.scale();
    EXPECT_LT(error, 0x1p-20);
    for (std::size_t j = 0; j < slots.size(); ++j) {
      const double expected = j % period < numbers.size() ? numbers[j % period] : 0.0;
      ASSERT_LE(std::abs(slots[j] - expected), error) << "slot " << j;
      ASSERT_LE(std::abs(expected), c.noise().message_bound * (1 + 1e-9)) << "slot " << j;
    }
  }
  Numbers random(std::size_t size, std::uint64_t seed, double largest = 1.0) const {
    std::mt19937_64 bits(seed);
    std::uniform_real_distribution<double> uniform(-largest, largest);
    Numbers numbers(size);
    for (double& x : numbers) x = uniform(bits);
    return numbers;
  }

  Scheme scheme;
  Stream stream;
  VectorEvaluator evaluator;
};

template <typename Operation>
Numbers each(const Numbers& x, const Numbers& y, Operation operation) {
  Numbers out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = operation(x[i], y[i]);
  return out;
}

/// row times matrix, [rows, cols].
template <typename T>
std::vector<T> times(const std::vector<T>& row, const std::vector<T>& matrix) {
  const std::size_t cols = matrix.size() / row.size();
  std::vector<T> out(cols);
  for (std::size_t i = 0; i < row.size(); ++i)
    for (std::size_t j = 0; j < cols; ++j) out[j] += row[i] * matrix[i * cols + j];
  return out;
}

class VectorEvaluatorOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

TEST_P(VectorEvaluatorOnEveryBackend, OperandsMeetAtTheLowerLevelAndTheScaleOfTheLevel) {
  const Vectors v(GetParam());
  const VectorEvaluator& e = v.evaluator;
  const Numbers x = v.random(5, 1), y = v.random(5, 2);
  const auto product = [](double a, double b) { return a * b; };
  const Ciphertext a = v.encrypt(x), b = v.encrypt(y);
  const Ciphertext ab = e.multiply(a, b, v.stream);
  v.expect(ab, each(x, y, product), kDepth - 1);
  v.expect(e.multiply(a, a, v.stream), each(x, x, product), kDepth - 1);
  v.expect(e.add(ab, a, v.stream), each(each(x, y, product), x, std::plus<>()), kDepth - 1);
  v.expect(e.subtract(b, ab, v.stream), each(y, each(x, y, product), std::minus<>()), kDepth - 1);
  v.expect(e.negate(a, v.stream), each(x, x, [](double s, double) { return -s; }), kDepth);
  const Ciphertext deeper = e.multiply(e.multiply(ab, a, v.stream), ab, v.stream);
  v.expect(deeper, each(x, y, [](double s, double t) { return s * s * s * t * t; }), kDepth - 3);
  v.expect(e.add(deeper, a, v.stream),
           each(x, y, [](double s, double t) { return s * s * s * t * t + s; }), kDepth - 3);
}

TEST_P(VectorEvaluatorOnEveryBackend, DecodingGivesTheVectorAlone) {
  const Vectors v(GetParam());
  for (const std::size_t size : {std::size_t{1}, std::size_t{4}, std::size_t{5}, std::size_t{32}}) {
    const Numbers x = v.random(size, 12);
    Numbers decoded(size, 7.0);
    v.evaluator.decode(v.evaluator.encode(Span<const double>(x), 1.0, v.stream),
                       Span<double>(decoded), v.stream);
    for (std::size_t i = 0; i < size; ++i) EXPECT_NEAR(decoded[i], x[i], 0x1p-38);
  }
  Numbers none;
  EXPECT_THROW(
      v.evaluator.decode(v.evaluator.encode(Span<const double>(v.random(2, 1)), 1.0, v.stream),
                         Span<double>(none), v.stream),
      std::invalid_argument);
}

TEST_P(VectorEvaluatorOnEveryBackend, ThreePolynomialsAndForeignScalesAreBroughtHome) {
  const Vectors v(GetParam());
  const Numbers x = v.random(8, 3);
  const auto square = [](double s, double) { return s * s; };
  const Ciphertext a = v.encrypt(x);
  const Ciphertext three = v.scheme.evaluator.square(a, v.stream);
  // Its scale is that of a product: a rescaling is due.
  v.expect(v.evaluator.negate(three, v.stream), each(x, x, [](double s, double) { return -s * s; }),
           kDepth - 1);
  const Ciphertext odd = v.scheme.encryptor.encrypt(
      v.scheme.encoder.encode(Span<const double>(x), v.stream, {.scale = 0x1p44}), v.stream);
  v.expect(v.evaluator.add(odd, a, v.stream), each(x, x, std::plus<>()), kDepth - 1);
  v.expect(v.evaluator.multiply(odd, a, v.stream), each(x, x, square), kDepth - 2);
}

TEST_P(VectorEvaluatorOnEveryBackend, PlainOperandsAreVectorsConstantsAndWeights) {
  const Vectors v(GetParam());
  const VectorEvaluator& e = v.evaluator;
  const Numbers x = v.random(6, 4), y = v.random(6, 5, 3.0);
  const Ciphertext a = v.encrypt(x), low = e.multiply_constant(a, 0.5, v.stream);
  const Span<const double> plain(y);
  v.expect(e.add_plain(a, plain, v.stream), each(x, y, std::plus<>()), kDepth);
  v.expect(e.multiply_plain(a, plain, v.stream), each(x, y, std::multiplies<>()), kDepth - 1);
  v.expect(low, each(x, x, [](double s, double) { return 0.5 * s; }), kDepth - 1);
  v.expect(e.add_plain(low, plain, v.stream),
           each(x, y, [](double s, double t) { return 0.5 * s + t; }), kDepth - 1);
  v.expect(e.multiply_constant(a, -7.0, v.stream),
           each(x, x, [](double s, double) { return -7.0 * s; }), kDepth);
  const Numbers weights{0.25, -1.5, 0.0};
  v.expect(e.weighted_sum({&a, &low, &a}, Span<const double>(weights), v.stream),
           each(x, x, [](double s, double) { return (0.25 - 0.75) * s; }), kDepth - 2);
  const Numbers integers{2.0, -3.0};
  const Ciphertext b = v.encrypt(y, 3.0);
  v.expect(e.weighted_sum({&a, &b}, Span<const double>(integers), v.stream),
           each(x, y, [](double s, double t) { return 2.0 * s - 3.0 * t; }), kDepth);
}

TEST_P(VectorEvaluatorOnEveryBackend, FactorsTooLargeForTheirScaleKeepTheirPrecision) {
  const Vectors v(GetParam());
  const Numbers x = v.random(4, 6, 0x1p-30);
  const Ciphertext a = v.encrypt(x, 0x1p-30);
  const double factor = 0x1p26 + 0.25;  // times 2^45 is above 2^62
  const Ciphertext b = v.evaluator.multiply_constant(a, factor, v.stream);
  const Complexes slots = v.scheme.decrypt(b);
  for (std::size_t i = 0; i < x.size(); ++i)
    EXPECT_LE(std::abs(slots[i] - factor * x[i]), b.noise().slot_bound / b.scale());
  EXPECT_EQ(b.level(), kDepth - 1);
}

TEST_P(VectorEvaluatorOnEveryBackend, RotationsGoAroundTheVectorAndSumsCountEveryNumberOnce) {
  const Vectors v(GetParam());
  const VectorEvaluator& e = v.evaluator;
  for (const std::size_t size : {std::size_t{1}, std::size_t{8}, std::size_t{32}}) {
    const Numbers x = v.random(size, 7);
    const Ciphertext a = v.encrypt(x);
    for (const std::int64_t steps : {0, 1, 3, -1, 5, 31, -100}) {
      Numbers turned(size);
      const auto n = static_cast<std::int64_t>(size);
      for (std::int64_t j = 0; j < n; ++j)
        turned[static_cast<std::size_t>(j)] =
            x[static_cast<std::size_t>(((j + steps) % n + n) % n)];
      v.expect(e.rotate(a, steps, n, v.stream), turned, kDepth);
    }
  }
  for (const std::size_t size : {std::size_t{1}, std::size_t{5}, std::size_t{32}}) {
    const Numbers x = v.random(size, 8);
    double total = 0.0;
    for (const double s : x) total += s;
    const Ciphertext sum = e.sum(v.encrypt(x), static_cast<std::int64_t>(size), v.stream);
    v.expect(sum, {total}, kDepth);
    EXPECT_EQ(sum.noise().message_bound, static_cast<double>(size));
  }
}

TEST_P(VectorEvaluatorOnEveryBackend, MatricesOfAnyShapeMultiplyVectors) {
  const Vectors v(GetParam());
  for (const auto& [rows, cols] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {1, 1}, {1, 32}, {32, 1}, {4, 4}, {3, 5}, {5, 3}, {17, 2}, {2, 20}, {32, 32}, {16, 7}}) {
    SCOPED_TRACE(::testing::Message() << rows << " by " << cols);
    const Numbers x = v.random(static_cast<std::size_t>(rows), 9);
    const Numbers matrix = v.random(static_cast<std::size_t>(rows * cols), 10);
    v.expect(
        v.evaluator.multiply_matrix(
            v.encrypt(x), kernels::MatrixView<const double>(matrix.data(), rows, cols), v.stream),
        times(x, matrix), kDepth - 1);
  }
}

TEST_P(VectorEvaluatorOnEveryBackend, EncodedMatricesMultiplyAsMatricesDo) {
  const Vectors v(GetParam());
  for (const auto& [rows, cols] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {3, 5}, {17, 2}, {32, 32}}) {
    SCOPED_TRACE(::testing::Message() << rows << " by " << cols);
    Numbers entries = v.random(static_cast<std::size_t>(rows * cols), 10);
    entries[0] = 0.0;
    const kernels::MatrixView<const double> matrix(entries.data(), rows, cols);
    const EncodedMatrix encoded = v.evaluator.encode_matrix(matrix, v.stream);
    EXPECT_EQ(encoded.rows(), rows);
    EXPECT_EQ(encoded.cols(), cols);
    EXPECT_EQ(encoded.level(), kDepth);
    if (rows * cols == 1) {
      EXPECT_THAT(
          error_of([&] { v.evaluator.multiply_matrix(v.encrypt({0.5}), encoded, v.stream); }),
          HasSubstr("every entry is 0"));
      continue;
    }
    for (const std::uint64_t seed : {9, 11}) {  // one encoding, many products
      const Numbers x = v.random(static_cast<std::size_t>(rows), seed);
      const Ciphertext a = v.encrypt(x);
      const Ciphertext product = v.evaluator.multiply_matrix(a, encoded, v.stream);
      v.expect(product, times(x, entries), kDepth - 1);
      const Ciphertext plain = v.evaluator.multiply_matrix(a, matrix, v.stream);
      EXPECT_EQ(product.noise().message_bound, plain.noise().message_bound);
      EXPECT_EQ(product.noise().slot_bound, plain.noise().slot_bound);
    }
    // For vectors that come lower than the highest level; higher ones are brought down.
    const EncodedMatrix low = v.evaluator.encode_matrix(matrix, v.stream, {64.0}, 1);
    EXPECT_EQ(low.message_bound(), 64.0);
    const Numbers x = v.random(static_cast<std::size_t>(rows), 12);
    Ciphertext a = v.encrypt(x);
    v.expect(v.evaluator.multiply_matrix(a, low, v.stream), times(x, entries), 0);
    while (a.level() > 1) a = v.evaluator.multiply_constant(a, 0.5, v.stream);
    EXPECT_EQ(v.evaluator.multiply_matrix(a, low, v.stream).level(), 0);
    EXPECT_THAT(error_of([&] { v.evaluator.multiply_matrix(a, encoded, v.stream); }),
                HasSubstr("encoded at level " + std::to_string(kDepth) +
                          " and the vector at level 1; encode it at that level"));
  }
  const Numbers one{1.0};
  for (const int level : {0, -2, kDepth + 1}) {
    EXPECT_THAT(error_of([&] {
                  v.evaluator.encode_matrix(kernels::MatrixView<const double>(one.data(), 1, 1),
                                            v.stream, {}, level);
                }),
                HasSubstr("level = " + std::to_string(level) + ", expected 1 to " +
                          std::to_string(kDepth)));
  }
}

TEST_P(VectorEvaluatorOnEveryBackend, PolynomialsLeaveZeroBeyondTheVector) {
  const Vectors v(GetParam());
  const Numbers x = v.random(5, 11);
  const Polynomial polynomial{Polynomial::Basis::kMonomial, {0.5, 0.25, -0.125, 0.0625}, 1.0};
  const Ciphertext value = v.evaluator.evaluate(v.encrypt(x), 5, polynomial, v.stream);
  v.expect(value, each(x, x, [&](double s, double) { return polynomial(s); }), kDepth - 2);
  double total = 0.0;
  for (const double s : x) total += polynomial(s);
  v.expect(v.evaluator.sum(value, 5, v.stream), {total}, kDepth - 2);
}

TEST_P(VectorEvaluatorOnEveryBackend, IntegersModuloTDoTheSame) {
  BfvScheme scheme(small_insecure_bfv(6, Parameters::batching_modulus(6, 20), 240), GetParam(), 41);
  const Stream& s = scheme.stream;
  const bfv::VectorEvaluator e(
      scheme.context,
      std::make_shared<const RelinearizationKey>(
          scheme.generator.relinearization_key(*scheme.secret, s)),
      std::make_shared<const GaloisKeys>(scheme.generator.galois_keys(
          *scheme.secret, bfv::VectorEvaluator::rotation_steps(scheme.context->parameters()), false,
          s)));
  const auto t = static_cast<std::int64_t>(scheme.t());
  const auto random = [&](std::size_t size) {
    Integers values(size);
    for (std::int64_t& value : values)
      value = static_cast<std::int64_t>(scheme.bits() % scheme.t()) - t / 2;
    return values;
  };
  const auto encrypt = [&](const Integers& values) {
    return scheme.encryptor.encrypt(e.encode(Span<const std::int64_t>(values), s), s);
  };
  const auto expect = [&](const bfv::Ciphertext& c, Integers expected) {
    const auto period =
        static_cast<std::size_t>(e.period(static_cast<std::int64_t>(expected.size())));
    EXPECT_EQ(c.size(), 2);
    Integers slots(scheme.n());
    e.decode(scheme.decryptor.decrypt_for_owner(c, s), Span<std::int64_t>(slots), s);
    for (std::size_t j = 0; j < slots.size(); ++j) {
      const std::int64_t value = j % period < expected.size() ? expected[j % period] : 0;
      ASSERT_EQ((slots[j] - value) % t, 0) << "slot " << j << " of " << expected.size();
    }
  };
  const Integers x = random(6), y = random(6);
  const bfv::Ciphertext a = encrypt(x), b = encrypt(y);
  const auto both = [&](auto operation) {
    Integers out(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) out[i] = operation(x[i], y[i]);
    return out;
  };
  const bfv::Ciphertext low = scheme.evaluator.mod_switch_to(b, b.level() - 1, s);
  expect(e.add(a, low, s), both(std::plus<>()));
  EXPECT_EQ(e.add(a, low, s).level(), low.level());
  expect(e.subtract(a, b, s), both(std::minus<>()));
  expect(e.negate(a, s), both([](auto p, auto) { return -p; }));
  expect(e.multiply(a, low, s), both(std::multiplies<>()));
  expect(e.multiply(a, a, s), both([](auto p, auto) { return p * p; }));
  expect(e.add(scheme.evaluator.multiply(a, b, s), a, s),
         both([](auto p, auto q) { return p * q + p; }));
  expect(e.add_plain(a, Span<const std::int64_t>(y), s), both(std::plus<>()));
  expect(e.multiply_plain(a, Span<const std::int64_t>(y), s), both(std::multiplies<>()));
  expect(e.multiply_integer(a, -5, s), both([](auto p, auto) { return -5 * p; }));
  const Integers weights{3, 0, -2};
  expect(e.weighted_sum({&a, &a, &low}, Span<const std::int64_t>(weights), s),
         both([](auto p, auto q) { return 3 * p - 2 * q; }));
  expect(e.sum(a, 6, s), {x[0] + x[1] + x[2] + x[3] + x[4] + x[5]});
  const Integers z = random(8);
  expect(e.rotate(encrypt(z), -3, 8, s), {z[5], z[6], z[7], z[0], z[1], z[2], z[3], z[4]});
  expect(e.rotate(encrypt(z), 8, 8, s), z);
  for (const auto& [rows, cols] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {32, 32}, {5, 3}, {3, 20}}) {
    Integers matrix = random(static_cast<std::size_t>(rows * cols));
    const Integers row = random(static_cast<std::size_t>(rows));
    expect(e.multiply_matrix(encrypt(row),
                             kernels::MatrixView<const std::int64_t>(matrix.data(), rows, cols), s),
           times(row, matrix));
    const bfv::EncodedMatrix encoded =
        e.encode_matrix(kernels::MatrixView<const std::int64_t>(matrix.data(), rows, cols), s);
    EXPECT_EQ(encoded.rows() * encoded.cols(), rows * cols);
    for (int i = 0; i < 2; ++i)
      expect(e.multiply_matrix(encrypt(row), encoded, s), times(row, matrix));
  }
  const Integers zeros(36);
  EXPECT_THAT(error_of([&] {
                e.multiply_matrix(a, kernels::MatrixView<const std::int64_t>(zeros.data(), 6, 6),
                                  s);
              }),
              HasSubstr("every entry is 0"));
}

INSTANTIATE_TEST_SUITE_P(Backends, VectorEvaluatorOnEveryBackend,
                         ::testing::ValuesIn(every_backend()), BackendName());

TEST(VectorEvaluator, WhatIsOutOfRangeIsNamed) {
  const Vectors v(Backend::kCpu);
  const VectorEvaluator& e = v.evaluator;
  const Numbers x{0.5, 0.25, 0.125}, large{4.0, 1.0, 0.0};
  const Ciphertext a = v.encrypt(x);
  const auto refusal = [](auto call) { return error_of(call); };
  EXPECT_THAT(refusal([&] { e.period(0); }), HasSubstr("0 numbers, expected 1 to N/2 = 32"));
  EXPECT_THAT(refusal([&] { e.period(33); }), HasSubstr("33 numbers"));
  EXPECT_THAT(refusal([&] { e.rotate(a, 1, 3, v.stream); }), HasSubstr("do not go around"));
  EXPECT_THAT(refusal([&] { e.multiply_plain(a, Span<const double>(large), v.stream, {2.0}); }),
              HasSubstr("a magnitude of 4, expected at most message_bound = 2"));
  EXPECT_THAT(refusal([&] { e.multiply_plain(a, Span<const double>(large), v.stream, {-1.0}); }),
              HasSubstr("message_bound = -1, expected finite and > 0, or 0"));
  const Numbers infinite{1.0, std::numeric_limits<double>::infinity(), 0.0},
      unknown{std::numeric_limits<double>::quiet_NaN(), 1.0, 0.0}, zeros(9);
  for (const Numbers& values : {infinite, unknown}) {
    EXPECT_THAT(refusal([&] { e.add_plain(a, Span<const double>(values), v.stream); }),
                HasSubstr("not finite"));
    EXPECT_THAT(refusal([&] {
                  e.multiply_constant(a, values[0] * 0.0 + values[1] * 0.5 + values[0], v.stream);
                }),
                HasSubstr("expected finite"));
  }
  EXPECT_THAT(refusal([&] {
                e.multiply_matrix(a, kernels::MatrixView<const double>(zeros.data(), 3, 3),
                                  v.stream);
              }),
              HasSubstr("every entry is 0"));
  EXPECT_THAT(refusal([&] { e.weighted_sum({&a}, Span<const double>(zeros.data(), 1), v.stream); }),
              HasSubstr("every weight is 0"));
  EXPECT_THAT(refusal([&] { e.weighted_sum({}, Span<const double>(), v.stream); }),
              HasSubstr("one at least"));
  Ciphertext low = a.copy(v.stream);
  for (int i = 0; i < kDepth; ++i) low = e.multiply_constant(low, 0.5, v.stream);
  EXPECT_THAT(refusal([&] { e.multiply(low, a, v.stream); }),
              HasSubstr("at level 0, and the operation needs 1"));
}

TEST(VectorEvaluator, BoundsOfPlainOperandsAreTheGivenOnesOrPowersOfTwo) {
  const Vectors v(Backend::kCpu);
  const Numbers x{0.5, 0.25, 0.125}, y{1.5, 0.25, -2.0};
  const Ciphertext a = v.encrypt(x);
  const Span<const double> plain(y);
  const auto bound = [](const Ciphertext& c) { return c.noise().message_bound; };
  EXPECT_EQ(bound(v.evaluator.multiply_plain(a, plain, v.stream)), 2.0);
  EXPECT_EQ(bound(v.evaluator.multiply_plain(a, plain, v.stream, {3.0})), 3.0);
  EXPECT_EQ(bound(v.evaluator.add_plain(a, plain, v.stream)), 3.0);
  const kernels::MatrixView<const double> column(y.data(), 3, 1);
  EXPECT_EQ(bound(v.evaluator.multiply_matrix(a, column, v.stream)), 4.0);  // 3.75 in the column
  EXPECT_EQ(bound(v.evaluator.multiply_matrix(a, column, v.stream, {3.75})), 3.75);
  EXPECT_THAT(error_of([&] { v.evaluator.multiply_matrix(a, column, v.stream, {3.7}); }),
              HasSubstr("a magnitude of 3.75"));
}

TEST(VectorEvaluator, MissingKeysAreMisuseOfState) {
  const Vectors v(Backend::kCpu, false);
  const Ciphertext a = v.encrypt({0.5, 0.25});
  const Numbers matrix{1.0, 0.0, 0.0, 1.0};
  EXPECT_THROW(v.evaluator.multiply(a, a, v.stream), std::logic_error);
  EXPECT_THROW(v.evaluator.rotate(a, 1, 2, v.stream), std::logic_error);
  EXPECT_THROW(v.evaluator.sum(a, 2, v.stream), std::logic_error);
  EXPECT_THROW(
      v.evaluator.evaluate(a, 2, {Polynomial::Basis::kMonomial, {0.0, 1.0}, 1.0}, v.stream),
      std::logic_error);
  v.expect(v.evaluator.multiply_constant(a, 0.5, v.stream), {0.25, 0.125}, kDepth - 1);
}

}  // namespace
}  // namespace velum::he
