#include <functional>

#include "he_fixture.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::AllOf;
using ::testing::HasSubstr;

class EvaluatorOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

Complexes map(const Complexes& a,
              const std::function<std::complex<double>(std::complex<double>)>& f) {
  Complexes out;
  for (const auto& x : a) out.push_back(f(x));
  return out;
}
Complexes zip(
    const Complexes& a, const Complexes& b,
    const std::function<std::complex<double>(std::complex<double>, std::complex<double>)>& f) {
  Complexes out;
  for (std::size_t i = 0; i < a.size(); ++i) out.push_back(f(a[i], b[i]));
  return out;
}
Complexes rotated(const Complexes& a, std::int64_t steps) {
  const auto n = static_cast<std::int64_t>(a.size());
  Complexes out;
  for (std::int64_t i = 0; i < n; ++i)
    out.push_back(a[static_cast<std::size_t>(((i + steps) % n + n) % n)]);
  return out;
}

TEST_P(EvaluatorOnEveryBackend, SumsAndDifferencesAreThoseOfTheSlots) {
  const Scheme scheme(small_insecure_parameters(9, 45, 1), GetParam(), 1);
  const Complexes x = scheme.random_slots(1), y = scheme.random_slots(2);
  const Ciphertext a = scheme.encrypt(x), b = scheme.encrypt(y);
  const Evaluator& evaluator = scheme.evaluator;
  const Ciphertext sum = evaluator.add(a, b, scheme.stream);
  expect_estimate_holds(sum, error_between(scheme.decrypt(sum), zip(x, y, std::plus<>())));
  const Ciphertext difference = evaluator.subtract(a, b, scheme.stream);
  expect_estimate_holds(difference,
                        error_between(scheme.decrypt(difference), zip(x, y, std::minus<>())));
  const Ciphertext negated = evaluator.negate(a, scheme.stream);
  expect_estimate_holds(negated, error_between(scheme.decrypt(negated), map(x, std::negate<>())));
  const Ciphertext plain_sum = evaluator.add_plain(a, scheme.encode(y), scheme.stream);
  expect_estimate_holds(plain_sum,
                        error_between(scheme.decrypt(plain_sum), zip(x, y, std::plus<>())));
  const Ciphertext plain_difference = evaluator.subtract_plain(a, scheme.encode(y), scheme.stream);
  expect_estimate_holds(plain_difference,
                        error_between(scheme.decrypt(plain_difference), zip(x, y, std::minus<>())));
  const Ciphertext shifted = evaluator.add_constant(a, -0.37, scheme.stream);
  expect_estimate_holds(
      shifted, error_between(scheme.decrypt(shifted), map(x, [](auto v) { return v - 0.37; })));
  EXPECT_NEAR(sum.noise().message_bound, 2.0, 1e-15);
}

TEST_P(EvaluatorOnEveryBackend, ProductsAreThoseOfTheSlotsBeforeAndAfterRelinearisation) {
  const Scheme scheme(small_insecure_parameters(9, 45, 2), GetParam(), 3);
  const Complexes x = scheme.random_slots(3), y = scheme.random_slots(4);
  const Ciphertext a = scheme.encrypt(x), b = scheme.encrypt(y);
  const Evaluator& evaluator = scheme.evaluator;
  const Complexes xy = zip(x, y, std::multiplies<>());
  const Ciphertext product = evaluator.multiply(a, b, scheme.stream);
  EXPECT_EQ(product.size(), 3);
  EXPECT_EQ(product.scale(), a.scale() * b.scale());
  // The messages are below their bound, so the estimate is an upper one.
  expect_estimate_holds(product, error_between(scheme.decrypt(product), xy), 1.2, false);
  const Ciphertext linear = evaluator.relinearize(product, scheme.relinearization, scheme.stream);
  EXPECT_EQ(linear.size(), 2);
  expect_estimate_holds(linear, error_between(scheme.decrypt(linear), xy), 1.2, false);
  const Ciphertext rescaled = evaluator.rescale(linear, scheme.stream);
  EXPECT_EQ(rescaled.level(), 1);
  EXPECT_EQ(rescaled.scale(), scheme.context->parameters().scale(1));
  expect_estimate_holds(rescaled, error_between(scheme.decrypt(rescaled), xy), 1.2, false);
  const Ciphertext before =
      evaluator.rescale(product, scheme.stream);  // three polynomials rescale, too
  expect_estimate_holds(before, error_between(scheme.decrypt(before), xy), 1.2, false);
  const Ciphertext square = evaluator.square(a, scheme.stream);
  expect_estimate_holds(
      square, error_between(scheme.decrypt(square), zip(x, x, std::multiplies<>())), 1.2, false);
  const Ciphertext plain = evaluator.multiply_plain(a, scheme.encode(y), scheme.stream);
  expect_estimate_holds(plain, error_between(scheme.decrypt(plain), xy), 1.2, false);
  const Ciphertext constant = evaluator.multiply_constant(a, 0.731, std::exp2(30), scheme.stream);
  expect_estimate_holds(
      constant, error_between(scheme.decrypt(constant), map(x, [](auto v) { return 0.731 * v; })),
      1.5, false);
  const Ciphertext times = evaluator.multiply_integer(a, -3, scheme.stream);
  expect_estimate_holds(
      times, error_between(scheme.decrypt(times), map(x, [](auto v) { return -3.0 * v; })));
}

// A rescaled product of fresh ciphertexts of messages +-1: nothing in the estimate is slack then.
TEST_P(EvaluatorOnEveryBackend, TheEstimateOfAProductIsNotFarAbove) {
  const Scheme scheme(small_insecure_parameters(10, 40, 2), GetParam(), 5);
  Complexes x = scheme.random_slots(5), y = scheme.random_slots(6);
  for (auto& v : x) v = v.real() > 0 ? 1.0 : -1.0;
  for (auto& v : y) v = v.real() > 0 ? 1.0 : -1.0;
  const Ciphertext product = scheme.evaluator.rescale(
      scheme.evaluator.relinearize(
          scheme.evaluator.multiply(scheme.encrypt(x), scheme.encrypt(y), scheme.stream),
          scheme.relinearization, scheme.stream),
      scheme.stream);
  expect_estimate_holds(
      product, error_between(scheme.decrypt(product), zip(x, y, std::multiplies<>())), 1.3);
}

TEST_P(EvaluatorOnEveryBackend, RotationsAndConjugationMoveTheSlots) {
  for (const int dnum : {1, 2, 4}) {
    const Scheme scheme(small_insecure_parameters(8, 45, 2, dnum), GetParam(), 7, {1, -3, 50});
    const Complexes x = scheme.random_slots(7);
    for (const int level : {2, 1, 0}) {
      const Ciphertext a = scheme.encrypt(x, {.level = level});
      const HoistedCiphertext hoisted = scheme.evaluator.hoist(a, scheme.stream);
      for (const std::int64_t steps : {0, 1, -3, 50, 128 + 1}) {
        const Ciphertext turned = scheme.evaluator.rotate(a, steps, scheme.galois, scheme.stream);
        expect_estimate_holds(turned, error_between(scheme.decrypt(turned), rotated(x, steps)));
        const Ciphertext by_hoisting =
            scheme.evaluator.rotate(hoisted, steps, scheme.galois, scheme.stream);
        expect_estimate_holds(by_hoisting,
                              error_between(scheme.decrypt(by_hoisting), rotated(x, steps)));
      }
      const Ciphertext conjugated = scheme.evaluator.conjugate(a, scheme.galois, scheme.stream);
      expect_estimate_holds(conjugated, error_between(scheme.decrypt(conjugated),
                                                      map(x, [](auto v) { return std::conj(v); })));
    }
  }
}

TEST_P(EvaluatorOnEveryBackend, TheSumOfSlotsIsInEverySlot) {
  const Scheme scheme(small_insecure_parameters(7, 45, 1), GetParam(), 8, {1, 2, 4, 8, 16, 32});
  const Complexes x = scheme.random_slots(8, 0.01);
  const Ciphertext a = scheme.encrypt(x, {.message_bound = 0.01});
  const Ciphertext all = scheme.evaluator.sum_slots(a, 64, scheme.galois, scheme.stream);
  std::complex<double> sum = 0.0;
  for (const auto& v : x) sum += v;
  const SlotError error = error_between(scheme.decrypt(all), Complexes(64, sum));
  EXPECT_LE(error.largest, all.noise().slot_bound / all.scale());
  EXPECT_LE(error.largest, 1e-9);
}

TEST_P(EvaluatorOnEveryBackend, AnAdjustedCiphertextHasExactlyTheScaleAskedFor) {
  const Scheme scheme(small_insecure_parameters(8, 45, 4), GetParam(), 9);
  const Complexes x = scheme.random_slots(9), y = scheme.random_slots(10);
  const Ciphertext a = scheme.encrypt(x), b = scheme.encrypt(y);
  const Evaluator& evaluator = scheme.evaluator;
  Ciphertext low = evaluator.rescale(evaluator.relinearize(evaluator.multiply(a, b, scheme.stream),
                                                           scheme.relinearization, scheme.stream),
                                     scheme.stream);
  low = evaluator.rescale(evaluator.relinearize(evaluator.square(low, scheme.stream),
                                                scheme.relinearization, scheme.stream),
                          scheme.stream);
  EXPECT_EQ(low.level(), 2);
  const Ciphertext brought = evaluator.adjust(a, low.level(), low.scale(), scheme.stream);
  EXPECT_EQ(brought.level(), low.level());
  EXPECT_EQ(brought.scale(), low.scale());
  expect_estimate_holds(brought, error_between(scheme.decrypt(brought), x));
  const Ciphertext sum = evaluator.add(low, brought, scheme.stream);
  expect_estimate_holds(
      sum,
      error_between(scheme.decrypt(sum),
                    zip(zip(x, y, [](auto u, auto v) { return u * v * u * v; }), x, std::plus<>())),
      1.3, false);
}

TEST_P(EvaluatorOnEveryBackend, DroppingLevelsChangesNoMessage) {
  const Scheme scheme(small_insecure_parameters(8, 45, 3), GetParam(), 11);
  const Complexes x = scheme.random_slots(11);
  const Ciphertext a = scheme.encrypt(x);
  for (const int level : {2, 0}) {
    const Ciphertext dropped = scheme.evaluator.drop_to_level(a, level, scheme.stream);
    EXPECT_EQ(scheme.decrypt(dropped), scheme.decrypt(a));
  }
}

TEST_P(EvaluatorOnEveryBackend, SwitchingToAnotherKeyReencrypts) {
  const Scheme scheme(small_insecure_parameters(8, 45, 1), GetParam(), 12);
  KeyGenerator generator(scheme.context, scheme.randomness);
  const auto other = std::make_shared<const SecretKey>(generator.secret_key(scheme.stream));
  const KeySwitchingKey key = generator.key_switching_key(*scheme.secret, *other, scheme.stream);
  const Complexes x = scheme.random_slots(12);
  const Ciphertext moved =
      scheme.evaluator.switch_key(scheme.encrypt(x), key, scheme.secret->id(), scheme.stream);
  expect_estimate_holds(
      moved,
      error_between(scheme.decode(Decryptor(other).decrypt_for_owner(moved, scheme.stream)), x));
  EXPECT_THAT(error_of([&] { scheme.decrypt(moved); }), HasSubstr("belongs to key"));
}

TEST_P(EvaluatorOnEveryBackend, WhatDoesNotFitTogetherIsAnErrorThatNamesBoth) {
  const Scheme scheme(small_insecure_parameters(6, 45, 2), GetParam(), 13, {1});
  const Complexes x = scheme.random_slots(13);
  const Evaluator& evaluator = scheme.evaluator;
  const Ciphertext a = scheme.encrypt(x), low = scheme.encrypt(x, {.level = 1});
  EXPECT_THAT(error_of([&] { evaluator.add(a, low, scheme.stream); }),
              AllOf(HasSubstr("Evaluator::add: scale 2^45 at level 2"), HasSubstr("level 1"),
                    HasSubstr("adjust")));
  const Ciphertext scaled = scheme.encrypt(x, {.scale = std::exp2(44)});
  EXPECT_THAT(error_of([&] { evaluator.add(a, scaled, scheme.stream); }),
              AllOf(HasSubstr("scale 2^45"), HasSubstr("scale 2^44"), HasSubstr("rescale")));
  EXPECT_THAT(
      error_of([&] { evaluator.add_plain(a, scheme.encode(x, {.level = 1}), scheme.stream); }),
      HasSubstr("encode the plaintext at level 2"));
  const Ciphertext product = evaluator.multiply(a, a, scheme.stream);
  EXPECT_THAT(error_of([&] { evaluator.multiply(product, a, scheme.stream); }),
              HasSubstr("relinearize first"));
  EXPECT_THAT(error_of([&] { evaluator.rotate(product, 1, scheme.galois, scheme.stream); }),
              HasSubstr("relinearize first"));
  EXPECT_THAT(error_of([&] { evaluator.rescale(scheme.encrypt(x, {.level = 0}), scheme.stream); }),
              HasSubstr("level 0"));
  EXPECT_THAT(error_of([&] { evaluator.drop_to_level(low, 2, scheme.stream); }),
              HasSubstr("expected 0 to 1"));
  EXPECT_THAT(error_of([&] { evaluator.rotate(a, 5, scheme.galois, scheme.stream); }),
              HasSubstr("Galois element"));
  const Ciphertext base = scheme.encrypt(x, {.level = 0});
  EXPECT_THAT(error_of([&] { evaluator.multiply(base, base, scheme.stream); }),
              HasSubstr("does not fit the modulus"));
  const Scheme stranger(small_insecure_parameters(6, 45, 2), GetParam(), 14);
  EXPECT_THAT(error_of([&] { evaluator.add(a, stranger.encrypt(x), scheme.stream); }),
              HasSubstr("another context"));
  const auto other = std::make_shared<const SecretKey>(
      KeyGenerator(scheme.context, scheme.randomness).secret_key(scheme.stream));
  const Ciphertext of_other = SymmetricEncryptor(other).encrypt(scheme.encode(x), scheme.stream);
  EXPECT_THAT(error_of([&] { evaluator.add(a, of_other, scheme.stream); }),
              HasSubstr("different keys"));
  EXPECT_THAT(error_of([&] { evaluator.rotate(of_other, 1, scheme.galois, scheme.stream); }),
              HasSubstr("the switching key leads to"));
}

/// What a slot may reach at this scale: half of the modulus of the level.
double limit_of(const Scheme& scheme, int level, double scale) {
  return std::exp2(scheme.context->parameters().log_q(level) - 1.0) / scale;
}

// Two messages of m in every slot are added. The constant polynomial 2 m is all that there is of
// their sum, so that 2 m is also its largest coefficient: it wraps around where the limit is.
TEST_P(EvaluatorOnEveryBackend, ASumThatDoesNotFitTheModulusIsRefusedAndOneJustBelowIsRight) {
  const Scheme scheme(small_insecure_parameters(6, 45, 1), GetParam(), 17, {1});
  const Evaluator& e = scheme.evaluator;
  const Stream& s = scheme.stream;
  const auto plain = [&](double value, int level) {
    return scheme.encode(Complexes(32, value), {.level = level, .message_bound = std::abs(value)});
  };
  const auto encrypted = [&](double value, int level = 0) {
    return scheme.encryptor.encrypt(plain(value, level), s);
  };
  struct Sum {
    const char* function;
    int level;
    std::function<Ciphertext(double)> run;
  };
  const Sum sums[] = {
      {"add", 0, [&](double m) { return e.add(encrypted(m), encrypted(m), s); }},
      {"subtract", 0, [&](double m) { return e.subtract(encrypted(m), encrypted(-m), s); }},
      {"add_plain", 0, [&](double m) { return e.add_plain(encrypted(m), plain(m, 0), s); }},
      {"subtract_plain", 0,
       [&](double m) { return e.subtract_plain(encrypted(m), plain(-m, 0), s); }},
      {"add_constant", 0, [&](double m) { return e.add_constant(encrypted(m), m, s); }},
      {"sum_slots", 0, [&](double m) { return e.sum_slots(encrypted(m), 2, scheme.galois, s); }},
      {"multiply_plain_accumulate", 1,
       [&](double m) {
         Ciphertext sum = e.multiply_plain(encrypted(m, 1), plain(1.0, 1), s);
         e.multiply_plain_accumulate(encrypted(m, 1), plain(1.0, 1), sum, s);
         return sum;
       }},
      {"add", 1,  // three polynomials and two
       [&](double m) {
         return e.add(e.multiply_plain(encrypted(m, 1), plain(1.0, 1), s),
                      e.multiply(encrypted(m, 1), encrypted(1.0, 1), s), s);
       }},
      {"subtract", 1,
       [&](double m) {
         return e.subtract(e.multiply_plain(encrypted(m, 1), plain(1.0, 1), s),
                           e.multiply(encrypted(-m, 1), encrypted(1.0, 1), s), s);
       }},
  };
  for (const Sum& sum : sums) {
    SCOPED_TRACE(std::string(sum.function) + " at level " + std::to_string(sum.level));
    const double scale = std::exp2(45.0 * (sum.level + 1));
    const double limit = limit_of(scheme, sum.level, scale);
    const double below = 0.49999 * limit;
    const Ciphertext fits = sum.run(below);
    EXPECT_DOUBLE_EQ(fits.noise().message_bound, 2.0 * below);
    EXPECT_LE(error_between(scheme.decrypt(fits), Complexes(32, 2.0 * below)).largest,
              fits.noise().slot_bound / fits.scale());
    EXPECT_LE(fits.noise().slot_bound / fits.scale(), 1e-3);
    EXPECT_THAT(error_of([&] { sum.run(0.50001 * limit); }),
                AllOf(HasSubstr(std::string("Evaluator::") + sum.function + ": a message of "),
                      HasSubstr("does not fit the modulus of 2^"),
                      HasSubstr("give SumOptions::message_bound")));
  }
}

TEST_P(EvaluatorOnEveryBackend, ASumThatIsKnownToBeSmallerThanItsOperandsIsTaken) {
  const Scheme scheme(small_insecure_parameters(6, 45, 1), GetParam(), 18, {1, 2, 4, 8, 16});
  const Evaluator& e = scheme.evaluator;
  const Stream& s = scheme.stream;
  const double limit = limit_of(scheme, 0, std::exp2(45));
  const double m = 0.9 * limit;
  const auto encrypted = [&](const Complexes& x) {
    return scheme.encrypt(x, {.level = 0, .message_bound = m});
  };
  const Ciphertext a = encrypted(Complexes(32, m)), b = encrypted(Complexes(32, 1.0 - m));
  const auto check = [&](const Ciphertext& sum) {
    EXPECT_EQ(sum.noise().message_bound, 1.0);
    EXPECT_LE(error_between(scheme.decrypt(sum), Complexes(32, 1.0)).largest,
              sum.noise().slot_bound / sum.scale());
  };
  EXPECT_THROW(e.add(a, b, s), std::invalid_argument);
  check(e.add(a, b, s, {.message_bound = 1.0}));
  check(e.subtract(a, e.negate(b, s), s, {.message_bound = 1.0}));
  const Plaintext plain = scheme.encode(Complexes(32, 1.0 - m), {.level = 0, .message_bound = m});
  check(e.add_plain(a, plain, s, {.message_bound = 1.0}));
  check(e.add_constant(a, 1.0 - m, s, {.message_bound = 1.0}));
  // Sums of one, two, .. slots that do not fit, of which the whole does.
  Complexes slots(32, -m);
  for (std::size_t i = 0; i < 16; ++i) slots[i] = m;
  slots[16] = 1.0 - m;
  check(e.sum_slots(encrypted(slots), 32, scheme.galois, s, {.message_bound = 1.0}));
  // A bound above what the operands add up to says nothing.
  const Ciphertext one = scheme.encrypt({0.5}, {.level = 0});
  EXPECT_EQ(e.add(one, one, s, {.message_bound = 7.0}).noise().message_bound, 2.0);
  // A false one is not seen: what would be refused is wrong.
  EXPECT_GE(
      error_between(scheme.decrypt(e.add(a, a, s, {.message_bound = 1.0})), Complexes(32, 2.0 * m))
          .largest,
      limit);
  for (const double bad : {-1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    EXPECT_THAT(error_of([&] { e.add(a, b, s, {.message_bound = bad}); }),
                AllOf(HasSubstr("Evaluator::add: SumOptions::message_bound = "),
                      HasSubstr("expected finite and > 0, or 0")));
  }
}

// The slots of coefficients are up to N times as large, but it is coefficients that must fit.
TEST_P(EvaluatorOnEveryBackend, SumsOfCoefficientsAreHeldToTheBoundOfCoefficients) {
  const Scheme scheme(small_insecure_parameters(6, 45, 1), GetParam(), 19, {1});
  const Evaluator& e = scheme.evaluator;
  const Stream& s = scheme.stream;
  const double limit = limit_of(scheme, 0, std::exp2(45));
  const auto encrypted = [&](double value) {
    const std::vector<double> values(64, value);
    return scheme.encryptor.encrypt(
        scheme.encoder.encode_coefficients(Span<const double>(values), s,
                                           {.level = 0, .message_bound = std::abs(value)}),
        s);
  };
  const auto coefficients_of = [&](const Ciphertext& a) {
    std::vector<double> values(64);
    scheme.encoder.decode_coefficients(scheme.decryptor.decrypt_for_owner(a, s),
                                       Span<double>(values), s);
    return values;
  };
  const double m = 0.2 * limit;
  const Ciphertext a = encrypted(m);
  const Ciphertext sum = e.add(e.add(a, a, s), e.multiply_integer(encrypted(-m), -2, s), s);
  EXPECT_EQ(sum.noise().form, MessageForm::kCoefficients);
  for (const double value : coefficients_of(sum)) EXPECT_NEAR(value, 4.0 * m, 1e-6);
  EXPECT_THAT(error_of([&] { e.add(sum, e.add(a, a, s), s); }),
              HasSubstr("does not fit the modulus"));
  std::vector<double> shifted = coefficients_of(e.add_constant(e.add(a, a, s), 2.0 * m, s));
  EXPECT_NEAR(shifted[0], 4.0 * m, 1e-6);
  EXPECT_NEAR(shifted[1], 2.0 * m, 1e-6);
  EXPECT_THROW(e.add_constant(e.add(a, a, s), 4.0 * m, s), std::invalid_argument);
  // With slots, of which a sum is no sum of coefficients, N times as much is all that is known.
  EXPECT_THROW(e.add(a, scheme.encrypt({0.5}, {.level = 0}), s), std::invalid_argument);
  // A bound of the slots that says less of the coefficients than was known.
  Ciphertext declared = a.copy(s);
  declared.declare_message_bound(0.9 * limit);
  EXPECT_EQ(declared.noise().form, MessageForm::kAny);
  EXPECT_THROW(e.add(declared, a, s), std::invalid_argument);
}

// Random programs over a few registers against complex doubles: whatever is computed, its error is
// within its bound.
TEST_P(EvaluatorOnEveryBackend, RandomCircuitsStayWithinTheirBounds) {
  const int circuits = GetParam() == Backend::kCpu ? 2000 : 4;
  const Scheme scheme(small_insecure_parameters(6, 45, 3), GetParam(), 15, {1, 2, 5});
  const Evaluator& evaluator = scheme.evaluator;
  for (int circuit = 0; circuit < circuits; ++circuit) {
    std::mt19937_64 choose(static_cast<std::uint64_t>(circuit));
    Complexes x = scheme.random_slots(choose());
    Ciphertext a = scheme.encrypt(x);
    for (int step = 0; step < 10; ++step) {
      const int level = a.level();
      switch (choose() % 7) {
        case 0: {
          const Complexes y = scheme.random_slots(choose());
          a = evaluator.add(a, scheme.encrypt(y, {.level = level, .scale = a.scale()}),
                            scheme.stream);
          x = zip(x, y, std::plus<>());
          break;
        }
        case 1: {
          if (level == 0) break;
          const Complexes y = scheme.random_slots(choose());
          a = evaluator.rescale(
              evaluator.relinearize(
                  evaluator.multiply(a, scheme.encrypt(y, {.level = level}), scheme.stream),
                  scheme.relinearization, scheme.stream),
              scheme.stream);
          x = zip(x, y, std::multiplies<>());
          break;
        }
        case 2: {
          const std::int64_t steps = std::array<std::int64_t, 3>{1, 2, 5}[choose() % 3];
          a = evaluator.rotate(a, steps, scheme.galois, scheme.stream);
          x = rotated(x, steps);
          break;
        }
        case 3:
          a = evaluator.conjugate(a, scheme.galois, scheme.stream);
          x = map(x, [](auto v) { return std::conj(v); });
          break;
        case 4:
          a = evaluator.add_constant(evaluator.negate(a, scheme.stream), 0.25, scheme.stream);
          x = map(x, [](auto v) { return 0.25 - v; });
          break;
        case 5: {
          if (level == 0) break;
          const Complexes y = scheme.random_slots(choose());
          a = evaluator.rescale(
              evaluator.multiply_plain(a, scheme.encode(y, {.level = level}), scheme.stream),
              scheme.stream);
          x = zip(x, y, std::multiplies<>());
          break;
        }
        default:
          if (level < 2) break;
          a = evaluator.adjust(a, level - 1, scheme.context->parameters().scale(level - 1),
                               scheme.stream);
      }
    }
    const SlotError error = error_between(scheme.decrypt(a), x);
    ASSERT_LE(error.largest, a.noise().slot_bound / a.scale()) << "circuit " << circuit;
    ASSERT_LE(error.rms, 2.0 * a.estimated_error()) << "circuit " << circuit;
    for (const auto& v : x)
      ASSERT_LE(std::abs(v), a.noise().message_bound * (1.0 + 1e-12)) << "circuit " << circuit;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, EvaluatorOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

// Levels cost little: precision after a chain of squarings of roots of unity.
TEST(Evaluator, ALevelCostsLessThanTwoBits) {
  const Scheme scheme(small_insecure_parameters(10, 45, 6), Backend::kCpu, 16);
  Complexes x;
  for (std::int64_t i = 0; i < 512; ++i)
    x.push_back(std::polar(1.0, 0.0123 * static_cast<double>(i)));
  Ciphertext a = scheme.encrypt(x, {.message_bound = 1.0 + 1e-12});
  double previous = -std::log2(error_between(scheme.decrypt(a), x).rms);
  // log2(scale) - (log N + 2) fresh.
  EXPECT_GE(previous, 45 - 12);
  for (int level = 6; level > 0; --level) {
    a = scheme.evaluator.rescale(
        scheme.evaluator.relinearize(scheme.evaluator.square(a, scheme.stream),
                                     scheme.relinearization, scheme.stream),
        scheme.stream);
    x = map(x, [](auto v) { return v * v; });
    const double precision = -std::log2(error_between(scheme.decrypt(a), x).rms);
    EXPECT_GE(precision, previous - 2.0) << "level " << level - 1;
    previous = precision;
  }
}

}  // namespace
}  // namespace velum::he
