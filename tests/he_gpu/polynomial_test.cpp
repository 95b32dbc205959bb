#include "velum/he/ckks/polynomial.h"

#include <numbers>

#include "he_fixture.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

class PolynomialOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

Polynomial random_polynomial(Polynomial::Basis basis, int degree, std::uint64_t seed,
                             bool sparse = false) {
  std::mt19937_64 bits(seed);
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  Polynomial p{basis, {}, 1.0};
  double sum = 0.0;
  for (int i = 0; i <= degree; ++i) {
    p.coefficients.push_back(sparse && i % 3 != 1 && i != degree ? 0.0 : uniform(bits));
    sum += std::abs(p.coefficients.back());
  }
  for (double& c : p.coefficients) c /= sum;
  return p;
}

/// By powers or by T_n = cos(n arccos x): no recurrence.
template <typename Number>
Number exact(const Polynomial& p, Number x) {
  Number sum = 0.0;
  for (std::size_t i = 0; i < p.coefficients.size(); ++i) {
    sum += p.coefficients[i] * (p.basis == Polynomial::Basis::kMonomial
                                    ? std::pow(x, static_cast<double>(i))
                                    : std::cos(static_cast<double>(i) * std::acos(x / p.bound)));
  }
  return sum;
}

std::vector<double> real_slots(std::int64_t n, double bound) {
  std::vector<double> x;
  for (std::int64_t i = 0; i < n; ++i)
    x.emplace_back(bound * (2.0 * static_cast<double>(i) / (static_cast<double>(n) - 1.0) - 1.0));
  return x;
}

void check_polynomial(const Scheme& scheme, const Polynomial& p) {
  const std::vector<double> x = real_slots(scheme.context->parameters().max_slots(), p.bound);
  const Ciphertext a = scheme.encryptor.encrypt(
      scheme.encoder.encode(Span<const double>(x), scheme.stream, {.message_bound = p.bound}),
      scheme.stream);
  const Ciphertext y = evaluate(scheme.evaluator, a, p, scheme.relinearization, scheme.stream);
  EXPECT_EQ(y.level(), a.level() - polynomial_depth(p));
  EXPECT_EQ(y.scale(), scheme.context->parameters().scale(y.level()));
  Complexes expected;
  for (const double v : x) expected.emplace_back(exact(p, v));
  const SlotError error = error_between(scheme.decrypt(y), expected);
  EXPECT_LE(error.largest, y.noise().slot_bound / y.scale()) << "degree " << p.degree();
  EXPECT_LE(error.largest, std::exp2(-24)) << "degree " << p.degree();
}

TEST_P(PolynomialOnEveryBackend, IsThePolynomialOfEverySlotAtTheDocumentedDepthAndScale) {
  const Scheme scheme(small_insecure_parameters(6, 45, 6), GetParam(), 31);
  const std::vector<int> degrees =
      GetParam() == Backend::kCpu
          ? std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 31, 32, 47, 63}
          : std::vector<int>{1, 3, 6, 13};
  for (const auto basis : {Polynomial::Basis::kMonomial, Polynomial::Basis::kChebyshev}) {
    for (const int degree : degrees) {
      check_polynomial(scheme,
                       random_polynomial(basis, degree, static_cast<std::uint64_t>(degree)));
      check_polynomial(
          scheme, random_polynomial(basis, degree, static_cast<std::uint64_t>(degree) + 100, true));
    }
  }
}

TEST_P(PolynomialOnEveryBackend, AFunctionIsEvaluatedByItsInterpolation) {
  const Scheme scheme(small_insecure_parameters(6, 45, 6), GetParam(), 32);
  const auto sigmoid = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
  const Polynomial p = Polynomial::chebyshev(sigmoid, 8.0, 23);
  EXPECT_EQ(polynomial_depth(p), 6);
  for (double x = -8.0; x <= 8.0; x += 0.37) {
    EXPECT_NEAR(p(x), sigmoid(x), 2e-4);
    EXPECT_NEAR(p(x), exact(p, x), 1e-12);
  }
  check_polynomial(scheme, p);
}

/// Of a disc, its points i r and -r among them.
Complexes disc_slots(std::int64_t n, double r) {
  std::mt19937_64 bits(35);
  std::uniform_real_distribution<double> angle(0.0, 2.0 * std::numbers::pi), radius(0.0, r);
  Complexes x{{0.0, r}, {-r, 0.0}};
  while (x.size() < static_cast<std::size_t>(n)) {
    const double distance = radius(bits);
    x.push_back(std::polar(x.size() % 2 == 0 ? distance : r * (1.0 - 1e-15), angle(bits)));
  }
  return x;
}

/// The polynomial of complex slots of a disc of radius r, against what its bounds say.
struct OfComplexSlots {
  OfComplexSlots(const Scheme& scheme, const Polynomial& p, double r)
      : x(disc_slots(scheme.context->parameters().max_slots(), r)),
        argument(scheme.encrypt(x, {.message_bound = r})),
        y(evaluate(scheme.evaluator, argument, p, scheme.relinearization, scheme.stream)) {
    Complexes expected;
    for (const auto& v : x) {
      expected.push_back(exact(p, v));
      largest = std::max(largest, std::abs(expected.back()));
    }
    error = error_between(scheme.decrypt(y), expected).largest;
    EXPECT_LE(error, y.noise().slot_bound / y.scale()) << "degree " << p.degree();
    EXPECT_LE(largest, y.noise().message_bound * (1.0 + 1e-9)) << "degree " << p.degree();
    EXPECT_EQ(y.noise().form, MessageForm::kAny);
  }
  Complexes x;
  Ciphertext argument, y;
  double largest = 0.0, error = 0.0;
};

TEST_P(PolynomialOnEveryBackend, OfComplexSlotsItIsRightAndWithinItsBounds) {
  const Scheme scheme(small_insecure_parameters(6, 45, 6), GetParam(), 35);
  for (const auto basis : {Polynomial::Basis::kMonomial, Polynomial::Basis::kChebyshev}) {
    for (const int degree : {1, 2, 3, 7, 8, 13, 16}) {
      OfComplexSlots(scheme, random_polynomial(basis, degree, static_cast<std::uint64_t>(degree)),
                     1.0);
    }
  }
  Polynomial wider = random_polynomial(Polynomial::Basis::kChebyshev, 11, 36);
  wider.bound = 2.5;
  OfComplexSlots(scheme, wider, 2.5);
  OfComplexSlots(scheme, wider, 0.7);
}

// T_16 is bounded by 1 on [-1, 1] and by 2^19 on the disc. Declaring complex slots as real gives
// the bounds that hold for real ones, and true values and errors beyond them.
TEST_P(PolynomialOnEveryBackend, AChebyshevPolynomialHasTheBoundsOfTheDiscUnlessItsSlotsAreReal) {
  const Scheme scheme(small_insecure_parameters(6, 45, 6), GetParam(), 36);
  Polynomial p{Polynomial::Basis::kChebyshev, std::vector<double>(17), 1.0};
  p.coefficients[16] = 1.0;
  const OfComplexSlots complex(scheme, p, 1.0);
  EXPECT_GE(complex.largest, 665856.0);  // cosh(16 arsinh 1) = 665857
  EXPECT_NEAR(complex.y.noise().message_bound, std::cosh(16.0 * std::asinh(1.0)), 1e-6);
  Ciphertext declared = complex.argument.copy(scheme.stream);
  declared.declare_real_slots();
  const Ciphertext y =
      evaluate(scheme.evaluator, declared, p, scheme.relinearization, scheme.stream);
  EXPECT_EQ(y.noise().form, MessageForm::kRealSlots);
  EXPECT_EQ(y.noise().message_bound, 1.0);
  EXPECT_GT(complex.largest, y.noise().message_bound);
  EXPECT_GT(complex.error, 10.0 * y.noise().slot_bound / y.scale());
  // The flooding of a release follows the bound.
  const auto flooding = [&](const Ciphertext& a) {
    return std::sqrt(
        scheme.decryptor
            .decrypt_for_release(a, {.queries = 1, .statistical_bits = 10}, scheme.stream)
            .noise()
            .slot_variance);
  };
  EXPECT_GE(flooding(complex.y), 64.0 * flooding(y));
}

TEST_P(PolynomialOnEveryBackend, WhatMightNotFitAtComplexSlotsIsRefusedUntilTheyAreDeclaredReal) {
  const Scheme scheme(small_insecure_parameters(6, 45, 4), GetParam(), 37);
  const Polynomial p = random_polynomial(Polynomial::Basis::kChebyshev, 15, 37);
  const std::vector<double> x = real_slots(32, 1.0);
  const Complexes z(x.begin(), x.end());
  Ciphertext a = scheme.encrypt(z);  // encoded as complex numbers
  const auto value = [&] {
    return evaluate(scheme.evaluator, a, p, scheme.relinearization, scheme.stream);
  };
  EXPECT_THAT(error_of(value), AllOf(HasSubstr("evaluate: a value of up to "),
                                     HasSubstr("does not fit the modulus of 2^"),
                                     HasSubstr("declare_real_slots()")));
  a.declare_real_slots();
  Complexes expected;
  for (const double v : x) expected.emplace_back(exact(p, v));
  const Ciphertext y = value();
  EXPECT_LE(error_between(scheme.decrypt(y), expected).largest, y.noise().slot_bound / y.scale());
  // In a small disc it is small.
  OfComplexSlots(scheme, p, 0.1);
}

// At the lowest level, whose modulus leaves least room.
TEST_P(PolynomialOnEveryBackend, AValueThatDoesNotFitIsRefusedAndOneJustBelowIsRight) {
  const Scheme scheme(small_insecure_parameters(6, 45, 2), GetParam(), 34);
  const Parameters& parameters = scheme.context->parameters();
  const double limit = std::exp2(parameters.log_q(0) - 1.0) / parameters.scale(0);
  const auto value = [&](const Polynomial& p, double x) {
    const std::vector<double> slots(32, x);
    const Ciphertext a = scheme.encryptor.encrypt(
        scheme.encoder.encode(Span<const double>(slots), scheme.stream, {.message_bound = x}),
        scheme.stream);
    return evaluate(scheme.evaluator, a, p, scheme.relinearization, scheme.stream);
  };
  const auto check = [&](const Polynomial& p, double x, double expected) {
    const Ciphertext y = value(p, x);
    EXPECT_NEAR(y.noise().message_bound, expected, 1e-9 * expected);
    EXPECT_LE(error_between(scheme.decrypt(y), Complexes(32, expected)).largest,
              y.noise().slot_bound / y.scale());
  };
  const auto refused = [&](const Polynomial& p, double x) {
    EXPECT_THAT(error_of([&] { value(p, x); }), HasSubstr("does not fit the modulus"));
  };
  // x^2 + x, of which each fits.
  const Polynomial monomials{.coefficients = {0.0, 1.0, 1.0}};
  const double root = std::sqrt(limit + 0.25) - 0.5;
  check(monomials, 0.99999 * root, 0.99999 * root * (0.99999 * root + 1.0));
  refused(monomials, 1.00001 * root);
  const auto chebyshev = [](const std::vector<double>& coefficients) {
    return Polynomial{Polynomial::Basis::kChebyshev, coefficients, 1.0};
  };
  check(chebyshev({0.0, 0.49999 * limit, 0.49999 * limit}), 1.0, 0.99998 * limit);
  refused(chebyshev({0.0, 0.50001 * limit, 0.50001 * limit}), 1.0);
  check(chebyshev({0.49999 * limit, 0.0, 0.49999 * limit}), 1.0, 0.99998 * limit);
  refused(chebyshev({0.50001 * limit, 0.0, 0.50001 * limit}), 1.0);
  // T_3 = 2 T_1 T_2 - T_1: the bounds of the parts add up to three times its own.
  check(chebyshev({0.0, 0.0, 0.0, 0.45 * limit}), 1.0, 0.45 * limit);
}

INSTANTIATE_TEST_SUITE_P(Backends, PolynomialOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(PolynomialOfSlots, WhatIsOutOfRangeIsNamed) {
  const Scheme scheme(small_insecure_parameters(6, 45, 2), Backend::kCpu, 33);
  const Ciphertext x = scheme.encrypt({0.5});
  const auto error = [&](const Polynomial& p) {
    return error_of(
        [&] { evaluate(scheme.evaluator, x, p, scheme.relinearization, scheme.stream); });
  };
  EXPECT_THAT(error({}), HasSubstr("no coefficients"));
  EXPECT_THAT(error({.coefficients = {1.0}}), HasSubstr("the degree is 0, expected 1 to 1023"));
  EXPECT_THAT(error({.coefficients = {1.0, NAN}}), HasSubstr("coefficient 1 is nan"));
  EXPECT_THAT(error({.coefficients = {0, 0, 0, 0, 1}}),
              HasSubstr("degree 4 needs 3 levels, the argument is at level 2"));
  EXPECT_THAT(
      error({.basis = Polynomial::Basis::kChebyshev, .coefficients = {0, 1}, .bound = 0.5}),
      HasSubstr("message_bound = 1.000000, expected at most the polynomial's bound = 0.500000"));
  EXPECT_THAT(
      error_of([] { Polynomial::chebyshev([](double v) { return std::sqrt(v); }, 1.0, 2); }),
      HasSubstr("not finite"));
  EXPECT_THAT(error_of([] { Polynomial::chebyshev([](double v) { return v; }, 0.0, 2); }),
              HasSubstr("bound = 0"));
}

}  // namespace
}  // namespace velum::he
