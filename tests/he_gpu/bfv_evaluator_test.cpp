#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bfv_fixture.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;
using testing::bfv::Polynomial;

/// An emulated device is some hundred times slower.
int rounds(Backend backend, int on_the_cpu) {
  return backend == Backend::kCpu ? on_the_cpu : std::max(1, on_the_cpu / 50);
}

class BfvEvaluatorOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

Polynomial constant(int value) {
  Polynomial out(16, 0);
  out[0] = value;
  return out;
}

void expect_equal(const std::vector<Polynomial>& computed, const std::vector<Polynomial>& exact) {
  ASSERT_EQ(computed.size(), exact.size());
  for (std::size_t poly = 0; poly < exact.size(); ++poly) {
    for (std::size_t i = 0; i < exact[poly].size(); ++i)
      ASSERT_EQ(computed[poly][i], exact[poly][i]) << "polynomial " << poly << ", " << i;
  }
}

// Polynomials of any kind, not only ciphertexts: the product is that of its definition, to the bit.
TEST_P(BfvEvaluatorOnEveryBackend, ProductsAreRoundedQuotientsOfIntegerProducts) {
  struct Case {
    std::uint64_t t;
    int modulus_bits;
    int rounds;
  };
  for (const auto& [t, modulus_bits, count] :
       {Case{2, 30, 1500}, Case{97, 60, 1500}, Case{std::uint64_t{1} << 20, 90, 1000},
        Case{std::uint64_t{1} << 60, 180, 300}}) {
    SCOPED_TRACE("t = " + std::to_string(t));
    BfvScheme scheme(small_insecure_bfv(4, t, modulus_bits), GetParam(), t);
    for (int round = 0; round < rounds(GetParam(), count); ++round) {
      // At the lowest level the rounding alone may be too much for so large a t.
      const int level = scheme.top() - static_cast<int>(scheme.bits() % 2) * (scheme.top() > 1);
      const BigInteger q = scheme.modulus(level);
      // Uniform; the largest there are, all of one sign; or few and small.
      const auto polynomial = [&] {
        const std::uint64_t kind = scheme.bits() % 4;
        Polynomial out;
        for (std::size_t i = 0; i < 16; ++i) {
          BigInteger x = 0;
          for (int word = 0; word < 4; ++word) x = (x << 64) + scheme.bits();
          if (kind == 1) x = (q - 1) / 2;
          if (kind == 2) x = -(q - 1) / 2 + (q >> 40);
          if (kind == 3) x = i % 5 == 0 ? x % 7 : BigInteger(0);
          out.push_back(modulo(x, q));
        }
        return out;
      };
      const std::vector<Polynomial> a{polynomial(), polynomial()}, b{polynomial(), polynomial()};
      const bfv::Ciphertext x = scheme.ciphertext_of(a, level, {});
      const bfv::Ciphertext y = scheme.ciphertext_of(b, level, {});
      ASSERT_NO_FATAL_FAILURE(
          expect_equal(scheme.integers_of(scheme.evaluator.multiply(x, y, scheme.stream)),
                       testing::bfv::multiply_ciphertexts(a, b, q, t)));
      if (round % 8 == 0) {
        ASSERT_NO_FATAL_FAILURE(
            expect_equal(scheme.integers_of(scheme.evaluator.square(x, scheme.stream)),
                         testing::bfv::multiply_ciphertexts(a, a, q, t)));
      }
    }
  }
}

// Any operation there is, in any order, on polynomials modulo t and X^N + 1.
TEST_P(BfvEvaluatorOnEveryBackend, RandomCircuitsComputeModuloTWithinTheirNoiseBounds) {
  for (const std::uint64_t t : {std::uint64_t{2}, std::uint64_t{97}, std::uint64_t{1} << 16}) {
    SCOPED_TRACE("t = " + std::to_string(t));
    BfvScheme scheme(small_insecure_bfv(4, t, 210, 3), GetParam(), 100 + t, {1, 3, -2});
    const BigInteger big_t = t;
    const bfv::Evaluator& evaluator = scheme.evaluator;
    const Stream& stream = scheme.stream;
    for (int round = 0; round < rounds(GetParam(), 250); ++round) {
      Integers exact = scheme.random_message();
      bfv::Ciphertext a = scheme.encrypt(exact);
      for (int step = 0; step < 10; ++step) {
        const Integers other = scheme.random_message();
        const bfv::Plaintext plain = scheme.encode(other);
        const bfv::Ciphertext b = scheme.encrypt(other, a.level());
        const Polynomial x = polynomial_of(exact), y = polynomial_of(other);
        Polynomial difference = y;
        for (BigInteger& value : difference) value = -value;
        const std::uint64_t choice = scheme.bits() % 11;
        try {
          switch (choice) {
            case 0:
              a = evaluator.add(a, b, stream);
              exact = scheme.modulo_t(testing::bfv::add(x, y));
              break;
            case 1:
              a = evaluator.subtract(a, b, stream);
              exact = scheme.modulo_t(testing::bfv::add(x, difference));
              break;
            case 2:
              a = evaluator.negate(a, stream);
              exact = scheme.modulo_t(testing::bfv::multiply(x, constant(-1)));
              break;
            case 3:
              a = evaluator.add_plain(a, plain, stream);
              exact = scheme.modulo_t(testing::bfv::add(x, y));
              break;
            case 4:
              a = evaluator.subtract_plain(a, plain, stream);
              exact = scheme.modulo_t(testing::bfv::add(x, difference));
              break;
            case 5:
              if (a.size() == 3) continue;
              a = evaluator.multiply(a, b, stream);
              exact = scheme.modulo_t(testing::bfv::multiply(x, y));
              break;
            case 6:
              if (a.size() == 3) continue;
              a = evaluator.square(a, stream);
              exact = scheme.modulo_t(testing::bfv::multiply(x, x));
              break;
            case 7:
              a = evaluator.multiply_plain(a, plain, stream);
              exact = scheme.modulo_t(testing::bfv::multiply(x, y));
              break;
            case 8: {
              const auto factor = static_cast<std::int64_t>(scheme.bits());
              a = evaluator.multiply_integer(a, factor, stream);
              Polynomial product = x;
              for (BigInteger& value : product) value *= factor;
              exact = scheme.modulo_t(product);
              break;
            }
            case 9:
              if (a.size() == 3) {
                a = evaluator.relinearize(a, scheme.relinearization, stream);
              } else {
                const std::int64_t turns[] = {1, 3, -2};
                const std::int64_t turn = turns[scheme.bits() % 3];
                a = evaluator.rotate_rows(a, turn, scheme.galois, stream);
                exact = scheme.modulo_t(
                    testing::bfv::automorphism(x, galois_element_of_rotation(4, turn)));
              }
              break;
            default:
              if (a.level() == 0) continue;
              a = evaluator.mod_switch_to(a, a.level() - 1, stream);
          }
        } catch (const std::invalid_argument& error) {
          // Nothing but the noise may stop it, and then the operand is as good as before.
          ASSERT_THAT(error.what(), HasSubstr("the noise of the result could reach 2^"));
        }
        ASSERT_NO_FATAL_FAILURE(scheme.expect_holds(a, exact))
            << "round " << round << ", step " << step << ", operation " << choice;
      }
    }
  }
}

TEST_P(BfvEvaluatorOnEveryBackend, SlotsAreComputedWithOneByOne) {
  BfvScheme scheme(small_insecure_bfv(5, 65537, 210), GetParam(), 5, {1, 2, -3});
  const bfv::BatchEncoder encoder(scheme.context);
  const bfv::Evaluator& evaluator = scheme.evaluator;
  const Stream& stream = scheme.stream;
  const Integers x = scheme.random_message(), y = scheme.random_message(),
                 z = scheme.random_message();
  const auto encode = [&](const Integers& values) {
    return encoder.encode(Span<const std::int64_t>(values), stream);
  };
  const bfv::Ciphertext a = scheme.encryptor.encrypt(encode(x), stream);
  const bfv::Ciphertext b = scheme.symmetric.encrypt(encode(y), stream);
  const bfv::Ciphertext product =
      evaluator.relinearize(evaluator.multiply(a, b, stream), scheme.relinearization, stream);
  const bfv::Ciphertext sum =
      evaluator.add(evaluator.multiply_plain(product, encode(z), stream), a, stream);
  const bfv::Ciphertext squared = evaluator.square(evaluator.mod_switch_to(sum, 4, stream), stream);
  Integers slots(32);
  encoder.decode(scheme.decryptor.decrypt_for_owner(squared, stream), Span<std::int64_t>(slots),
                 stream);
  for (std::size_t i = 0; i < 32; ++i) {
    const BigInteger value = BigInteger(x[i]) * y[i] * z[i] + x[i];
    EXPECT_EQ(modulo(value * value, 65537), modulo(BigInteger(slots[i]), 65537)) << i;
  }
}

TEST_P(BfvEvaluatorOnEveryBackend, RotationsPermuteSlots) {
  BfvScheme scheme(small_insecure_bfv(5, 65537, 90), GetParam(), 6, {1, 2, 7, -1});
  const bfv::BatchEncoder encoder(scheme.context);
  const Stream& stream = scheme.stream;
  const Integers x = scheme.random_message();
  const bfv::Ciphertext a =
      scheme.encryptor.encrypt(encoder.encode(Span<const std::int64_t>(x), stream), stream);
  const auto slots_of = [&](const bfv::Ciphertext& c) {
    EXPECT_LE(c.noise_budget_estimate(), scheme.decryptor.noise_budget_for_owner(c, stream));
    Integers slots(32);
    encoder.decode(scheme.decryptor.decrypt_for_owner(c, stream), Span<std::int64_t>(slots),
                   stream);
    return slots;
  };
  for (const std::int64_t steps : {0, 1, 2, 7, -1, 15, 16, 17, -15}) {
    const bfv::Ciphertext turned =
        scheme.evaluator.rotate_rows(a, steps, scheme.galois, stream);  // 15 = -1, 17 = 1 = -15
    Integers expected(32);
    for (std::int64_t row = 0; row < 2; ++row) {
      for (std::int64_t i = 0; i < 16; ++i) {
        expected[static_cast<std::size_t>(16 * row + i)] =
            x[static_cast<std::size_t>(16 * row + (((i + steps) % 16) + 16) % 16)];
      }
    }
    EXPECT_EQ(slots_of(turned), expected) << steps;
  }
  Integers exchanged(x.begin() + 16, x.end());
  exchanged.insert(exchanged.end(), x.begin(), x.begin() + 16);
  const bfv::Ciphertext columns = scheme.evaluator.rotate_columns(a, scheme.galois, stream);
  EXPECT_EQ(slots_of(columns), exchanged);
  EXPECT_EQ(slots_of(scheme.evaluator.rotate_columns(columns, scheme.galois, stream)), x);
  EXPECT_EQ(slots_of(scheme.evaluator.apply_automorphism(a, 1, scheme.galois, stream)), x);
  const std::string missing = "GaloisKeys: there is no key for the Galois element";
  EXPECT_THAT(refusal_of([&] { scheme.evaluator.rotate_rows(a, 3, scheme.galois, stream); }),
              HasSubstr(missing));
}

TEST_P(BfvEvaluatorOnEveryBackend, SwitchingToALowerLevelKeepsTheMessage) {
  BfvScheme scheme(small_insecure_bfv(4, 257, 180), GetParam(), 7);
  for (int round = 0; round < rounds(GetParam(), 100); ++round) {
    const Integers message = scheme.random_message();
    const bfv::Ciphertext a = scheme.encrypt(message);
    Integers one(16);
    one[0] = 1;
    const bfv::Ciphertext triple = scheme.evaluator.multiply(a, scheme.encrypt(one), scheme.stream);
    for (int level = scheme.top(); level >= 0; --level) {
      for (const bfv::Ciphertext* const from : {&a, &triple}) {
        const bfv::Ciphertext lower = scheme.evaluator.mod_switch_to(*from, level, scheme.stream);
        ASSERT_EQ(lower.level(), level);
        ASSERT_EQ(lower.size(), from->size());
        ASSERT_NO_FATAL_FAILURE(scheme.expect_holds(lower, message)) << "level " << level;
        ASSERT_LE(lower.noise_budget_estimate(), from->noise_budget_estimate() + 1e-6);
      }
    }
  }
  const bfv::Ciphertext low = scheme.encrypt(scheme.random_message(), 1);
  EXPECT_THAT(
      refusal_of([&] { scheme.evaluator.mod_switch_to(low, 2, scheme.stream); }),
      HasSubstr("bfv::Evaluator::mod_switch_to: level = 2, expected 0 to 1: no level can be "
                "regained"));
}

TEST_P(BfvEvaluatorOnEveryBackend, KeysCanBeSwitched) {
  BfvScheme scheme(small_insecure_bfv(4, 257, 90), GetParam(), 8);
  const auto other = std::make_shared<const SecretKey>(scheme.generator.secret_key(scheme.stream));
  const KeySwitchingKey key =
      scheme.generator.key_switching_key(*scheme.secret, *other, scheme.stream);
  const Integers message = scheme.random_message();
  const bfv::Ciphertext a = scheme.encrypt(message);
  const bfv::Ciphertext switched =
      scheme.evaluator.switch_key(a, key, scheme.secret->id(), scheme.stream);
  EXPECT_EQ(switched.key_id(), other->id());
  EXPECT_EQ(scheme.decode(bfv::Decryptor(other).decrypt_for_owner(switched, scheme.stream)),
            message);
  EXPECT_THAT(refusal_of([&] {
                scheme.evaluator.switch_key(switched, key, scheme.secret->id(), scheme.stream);
              }),
              HasSubstr("bfv::Evaluator::switch_key: the ciphertext belongs to key"));
  EXPECT_THAT(refusal_of([&] { scheme.evaluator.add(a, switched, scheme.stream); }),
              HasSubstr("bfv::Evaluator::add: the operands belong to different keys"));
  EXPECT_THAT(refusal_of([&] {
                scheme.evaluator.relinearize(switched, scheme.relinearization, scheme.stream);
              }),
              HasSubstr("bfv::Evaluator::relinearize: the ciphertext belongs to key"));
}

// Squaring until it is refused: all results before are right, and what is refused would have been
// beyond the bound, not far before it.
TEST_P(BfvEvaluatorOnEveryBackend, WhatLeavesNoBudgetIsAnErrorBeforeItIsComputed) {
  BfvScheme scheme(small_insecure_bfv(4, 97, 120), GetParam(), 9);
  Integers exact = scheme.random_message();
  bfv::Ciphertext a = scheme.encrypt(exact);
  std::string text = "no error";
  int squares = 0;
  while (text == "no error") {
    text = refusal_of([&] {
      a = scheme.evaluator.relinearize(scheme.evaluator.square(a, scheme.stream),
                                       scheme.relinearization, scheme.stream);
      const Polynomial x = polynomial_of(exact);
      exact = scheme.modulo_t(testing::bfv::multiply(x, x));
    });
    ASSERT_NO_FATAL_FAILURE(scheme.expect_holds(a, exact));
    if (text == "no error") ++squares;
  }
  EXPECT_GE(squares, 5);
  EXPECT_THAT(text, HasSubstr("bfv::Evaluator::multiply: the noise of the result could reach 2^"));
  EXPECT_THAT(text, HasSubstr("expected below Q/(2t) = 2^"));
  EXPECT_THAT(text, HasSubstr("take parameters with more modulus_bits"));

  // Doublings: exactly as many as the budget has bits.
  const double budget = a.noise_budget_estimate();
  int doublings = 0;
  for (text = "no error"; text == "no error" && doublings < 200; ++doublings)
    text = refusal_of([&] { a = scheme.evaluator.add(a, a, scheme.stream); });
  EXPECT_EQ(doublings - 1, static_cast<int>(std::ceil(budget)) - 1);
  EXPECT_THAT(text, HasSubstr("bfv::Evaluator::add: the noise of the result could reach 2^"));
}

// With claims so near to the limit that one more rounding is too much.
TEST_P(BfvEvaluatorOnEveryBackend, EveryOperationRefusesWhatLeavesNoBudget) {
  const std::uint64_t t = 1 << 16;
  BfvScheme scheme(small_insecure_bfv(4, t, 60), GetParam(), 10, {1});
  ASSERT_EQ(scheme.top(), 1);
  const Polynomial zero(16, 0);
  const bfv::Evaluator& evaluator = scheme.evaluator;
  const Stream& stream = scheme.stream;
  const auto claiming = [&](double share, int size, int level) {
    const double limit = std::exp2(scheme.context->parameters().log_q(level)) / (2.0 * t);
    return scheme.ciphertext_of(std::vector<Polynomial>(static_cast<std::size_t>(size), zero),
                                level, {share * limit, 16.0 * share * limit});
  };
  const Integers values{2};
  const bfv::Plaintext two =
      scheme.encoder.encode(Span<const std::int64_t>(values), stream, {.value_bound = 2});
  const auto refused = [&](double share, double share_above) {
    const bfv::Ciphertext a = claiming(share, 2, 0), three = claiming(share, 3, 0);
    const bfv::Ciphertext above = claiming(share_above, 2, 1);
    return std::vector<std::string>{
        refusal_of([&] { evaluator.add(a, a, stream); }),
        refusal_of([&] { evaluator.subtract(a, a, stream); }),
        refusal_of([&] { evaluator.multiply_integer(a, 2, stream); }),
        refusal_of([&] { evaluator.multiply_plain(a, two, stream); }),
        refusal_of([&] { evaluator.relinearize(three, scheme.relinearization, stream); }),
        refusal_of([&] { evaluator.rotate_rows(a, 1, scheme.galois, stream); }),
        refusal_of([&] { evaluator.rotate_columns(a, scheme.galois, stream); }),
        refusal_of([&] { evaluator.add_plain(a, two, stream); }),
        refusal_of([&] { evaluator.subtract_plain(a, two, stream); }),
        refusal_of([&] { evaluator.multiply(above, above, stream); }),
        refusal_of([&] { evaluator.mod_switch_to(above, 0, stream); }),
    };
  };
  for (const std::string& text : refused(0.01, 1e-9)) EXPECT_EQ(text, "no error");
  const double nearest = 1.0 - 2e-6;
  const std::vector<std::string> texts = refused(nearest, nearest);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_THAT(texts[i], HasSubstr("the noise of the result could reach 2^")) << "operation " << i;
  }
  // Where the bound does not grow nothing is refused.
  const bfv::Ciphertext a = claiming(nearest, 2, 0);
  EXPECT_EQ(refusal_of([&] { evaluator.negate(a, stream); }), "no error");
  EXPECT_EQ(refusal_of([&] { evaluator.multiply_integer(a, -1, stream); }), "no error");
  EXPECT_EQ(refusal_of([&] { evaluator.multiply_integer(a, 5 * (1 << 16) + 1, stream); }),
            "no error");
}

TEST_P(BfvEvaluatorOnEveryBackend, OperandsThatDoNotGoTogetherAreRefused) {
  BfvScheme scheme(small_insecure_bfv(4, 97, 120), GetParam(), 11);
  BfvScheme other(small_insecure_bfv(4, 97, 120), GetParam(), 12);
  const bfv::Evaluator& evaluator = scheme.evaluator;
  const Stream& stream = scheme.stream;
  const bfv::Ciphertext a = scheme.encrypt(scheme.random_message());
  const bfv::Ciphertext low = scheme.encrypt(scheme.random_message(), 0);
  const bfv::Ciphertext foreign = other.encrypt(other.random_message());
  const bfv::Ciphertext three = evaluator.multiply(a, a, stream);
  EXPECT_THAT(
      refusal_of([&] { evaluator.add(a, low, stream); }),
      HasSubstr("bfv::Evaluator::add: the operands are at levels " + std::to_string(scheme.top()) +
                " and 0; bring the higher one down with mod_switch_to first"));
  EXPECT_THAT(refusal_of([&] { evaluator.multiply(a, low, stream); }), HasSubstr("at levels"));
  EXPECT_THAT(refusal_of([&] { evaluator.add(a, foreign, stream); }),
              HasSubstr("the ciphertext belongs to another context"));
  EXPECT_THAT(refusal_of([&] { evaluator.add_plain(a, other.encode({1}), stream); }),
              HasSubstr("the plaintext belongs to another context"));
  EXPECT_THAT(refusal_of([&] { evaluator.multiply(a, three, stream); }),
              HasSubstr("bfv::Evaluator::multiply: an operand has 3 polynomials, expected 2; "
                        "relinearize first"));
  EXPECT_THAT(refusal_of([&] { evaluator.rotate_rows(three, 1, scheme.galois, stream); }),
              HasSubstr("expected 2; relinearize first"));
  EXPECT_THAT(refusal_of([&] { evaluator.relinearize(three, other.relinearization, stream); }),
              HasSubstr("the key belongs to another context"));
  // Two polynomials need no relinearisation.
  EXPECT_EQ(scheme.decrypt(evaluator.relinearize(a, scheme.relinearization, stream)),
            scheme.decrypt(a));
}

INSTANTIATE_TEST_SUITE_P(Backends, BfvEvaluatorOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::he
