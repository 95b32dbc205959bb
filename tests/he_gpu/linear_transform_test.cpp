#include "velum/he/ckks/linear_transform.h"

#include "he_fixture.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;
using ::testing::HasSubstr;

class LinearTransformOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

/// A matrix whose diagonals outside of `kept` (all if empty) are zero, its rows adding up to at
/// most 1.
Complexes random_matrix(std::int64_t n, std::uint64_t seed,
                        const std::vector<std::int64_t>& kept = {}) {
  std::mt19937_64 bits(seed);
  std::uniform_real_distribution<double> uniform(-0.7, 0.7);
  Complexes matrix(static_cast<std::size_t>(n * n));
  const auto count = kept.empty() ? static_cast<double>(n) : static_cast<double>(kept.size());
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t k = 0; k < n; ++k) {
      if (!kept.empty() && std::find(kept.begin(), kept.end(), k) == kept.end()) continue;
      matrix[static_cast<std::size_t>(j * n + (j + k) % n)] = {uniform(bits) / count,
                                                               uniform(bits) / count};
    }
  }
  return matrix;
}

Complexes times(const Complexes& matrix, const Complexes& x, std::size_t slots) {
  const std::size_t n = x.size();
  Complexes out(slots);
  for (std::size_t j = 0; j < slots; ++j) {
    for (std::size_t k = 0; k < n; ++k) out[j] += matrix[j % n * n + k] * x[k];
  }
  return out;
}

Complexes few_slots(std::int64_t n, std::uint64_t seed) {
  std::mt19937_64 bits(seed);
  std::uniform_real_distribution<double> uniform(-0.7, 0.7);
  Complexes x(static_cast<std::size_t>(n));
  for (auto& v : x) v = {uniform(bits), uniform(bits)};
  return x;
}

void check_transform(Backend backend, std::int64_t n, const std::vector<std::int64_t>& kept,
                     int level) {
  Scheme scheme(small_insecure_parameters(7, 45, 2), backend, 21);
  const Complexes matrix = random_matrix(n, 22, kept), x = few_slots(n, 23);
  const LinearTransform transform = LinearTransform::from_matrix(
      scheme.encoder, {matrix.data(), n, n}, scheme.stream, {.level = level});
  scheme.galois =
      scheme.generator.galois_keys(*scheme.secret, transform.rotations(), false, scheme.stream);
  const Ciphertext a = scheme.encrypt(x, {.level = level});
  const Ciphertext y = transform.apply(scheme.evaluator, a, scheme.galois, scheme.stream);
  EXPECT_EQ(y.level(), level - 1);
  EXPECT_EQ(y.scale(), a.scale());
  expect_estimate_holds(y, error_between(scheme.decrypt(y), times(matrix, x, 64)), 1.2, false);
  EXPECT_LE(y.noise().message_bound, 1.0);
}

TEST_P(LinearTransformOnEveryBackend, IsTheProductOfMatrixAndSlots) {
  for (const std::int64_t n : {1, 2, 8, 64}) check_transform(GetParam(), n, {}, 2);
  check_transform(GetParam(), 16, {}, 1);
}

TEST_P(LinearTransformOnEveryBackend, LeavesOutDiagonalsThatAreZero) {
  check_transform(GetParam(), 64, {0}, 2);
  check_transform(GetParam(), 64, {5, 17, 63}, 2);
}

// The largest entries of the diagonals add up to 32 here, the magnitudes of a row to `per_row`:
// only the rows count.
TEST_P(LinearTransformOnEveryBackend, AProductThatDoesNotFitIsRefusedAndOneJustBelowIsRight) {
  Scheme scheme(small_insecure_parameters(6, 45, 1), GetParam(), 28);
  const Parameters& parameters = scheme.context->parameters();
  const double limit = std::exp2(parameters.log_q(0) - 1.0) / parameters.scale(0);
  const Stream& s = scheme.stream;
  for (const int per_row : {1, 2}) {
    Complexes matrix(32 * 32);
    for (std::size_t j = 0; j < 32; ++j) {
      for (std::size_t i = 0; i < static_cast<std::size_t>(per_row); ++i)
        matrix[j * 32 + (2 * j + 3 * i) % 32] = 1.0;
    }
    const LinearTransform transform = LinearTransform::from_matrix(
        scheme.encoder, {matrix.data(), 32, 32}, s, {.row_bound = static_cast<double>(per_row)});
    scheme.galois = scheme.generator.galois_keys(*scheme.secret, transform.rotations(), false, s);
    const auto product = [&](double m) {
      const Ciphertext a = scheme.encrypt(Complexes(32, m), {.message_bound = m});
      return transform.apply(scheme.evaluator, a, scheme.galois, s);
    };
    const double below = 0.99999 * limit / per_row;
    const Ciphertext y = product(below);
    EXPECT_DOUBLE_EQ(y.noise().message_bound, per_row * below);
    EXPECT_LE(error_between(scheme.decrypt(y), Complexes(32, per_row * below)).largest,
              y.noise().slot_bound / y.scale());
    EXPECT_THAT(error_of([&] { product(1.00001 * limit / per_row); }),
                HasSubstr("does not fit the modulus"));
  }
}

TEST_P(LinearTransformOnEveryBackend, RealMatricesAndDiagonalsGiveTheSame) {
  Scheme scheme(small_insecure_parameters(6, 45, 1), GetParam(), 24, {1, 2, 3});
  const std::vector<double> matrix{0.5, 0.25, 0.0, 0.0,  0.0,  0.5, 0.25, 0.0,
                                   0.0, 0.0,  0.5, 0.25, 0.25, 0.0, 0.0,  0.5};
  const auto by_matrix = LinearTransform::from_matrix(
      scheme.encoder, kernels::MatrixView<const double>(matrix.data(), 4, 4), scheme.stream);
  const auto by_diagonals = LinearTransform::from_diagonals(
      scheme.encoder, 4, {{0, Complexes(4, 0.5)}, {1, Complexes(4, 0.25)}}, scheme.stream);
  EXPECT_EQ(by_matrix.rotations(), std::vector<std::int64_t>{1});
  const Ciphertext a = scheme.encrypt({0.1, 0.2, 0.3, 0.4});
  EXPECT_EQ(scheme.decrypt(by_matrix.apply(scheme.evaluator, a, scheme.galois, scheme.stream)),
            scheme.decrypt(by_diagonals.apply(scheme.evaluator, a, scheme.galois, scheme.stream)));
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearTransformOnEveryBackend,
                         ::testing::ValuesIn(every_backend()), BackendName());

TEST(LinearTransform, ADenseMatrixTakesAboutTwiceTheRootInRotations) {
  const Scheme scheme(small_insecure_parameters(7, 45, 1), Backend::kCpu, 25);
  const Complexes matrix = random_matrix(64, 26);
  const auto transform = LinearTransform::from_matrix(
      scheme.encoder, kernels::MatrixView<const std::complex<double>>(matrix.data(), 64, 64),
      scheme.stream);
  EXPECT_EQ(transform.rotations().size(), 14U);
}

TEST(LinearTransform, WhatIsOutOfRangeIsNamed) {
  const Scheme scheme(small_insecure_parameters(6, 45, 1), Backend::kCpu, 27, {1});
  const auto make = [&](std::int64_t n, const std::map<std::int64_t, Complexes>& diagonals,
                        const LinearTransformOptions& options = {}) {
    return error_of([&] {
      LinearTransform::from_diagonals(scheme.encoder, n, diagonals, scheme.stream, options);
    });
  };
  EXPECT_THAT(make(3, {{0, Complexes(3, 1.0)}}),
              HasSubstr("n = 3, expected a power of two, 1 to N/2 = 32"));
  EXPECT_THAT(make(64, {{0, Complexes(64, 1.0)}}), HasSubstr("n = 64"));
  EXPECT_THAT(make(4, {{4, Complexes(4, 1.0)}}), HasSubstr("diagonal 4, expected 0 to 3"));
  EXPECT_THAT(make(4, {{1, Complexes(3, 1.0)}}), HasSubstr("diagonal 1 has 3 entries, expected 4"));
  EXPECT_THAT(make(4, {}), HasSubstr("every entry is 0"));
  EXPECT_THAT(make(4, {{0, Complexes(4, 0.7)}, {1, Complexes(4, 0.7)}}),
              HasSubstr("row 0 add up to 1.400000, expected at most row_bound = 1.000000"));
  EXPECT_THAT(make(4, {{0, Complexes(4, 1.0)}}, {.level = 0}),
              HasSubstr("level = 0, expected 1 to 1"));
  EXPECT_THAT(make(4, {{0, Complexes(4, 1.0)}}, {.row_bound = 0.0}), HasSubstr("row_bound"));
  const auto transform =
      LinearTransform::from_diagonals(scheme.encoder, 4, {{2, Complexes(4, 1.0)}}, scheme.stream);
  EXPECT_THAT(error_of([&] {
                transform.apply(scheme.evaluator, scheme.encrypt({0.5}), scheme.galois,
                                scheme.stream);
              }),
              HasSubstr("Galois element"));
  EXPECT_THAT(error_of([&] {
                transform.apply(scheme.evaluator, scheme.encrypt({0.5}, {.level = 0}),
                                scheme.galois, scheme.stream);
              }),
              HasSubstr("the argument is at level 0, expected 1"));
}

}  // namespace
}  // namespace velum::he
