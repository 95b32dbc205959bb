#include "velum/kernels/polynomial/automorphism.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/rns_fixture.h"
#include "reference/rns_answers.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

/// a(X^g): every coefficient sent where it goes.
template <typename Word>
HostRns<Word> sent(const HostRns<Word>& in, std::int64_t element, const std::vector<Word>& moduli) {
  HostRns<Word> out = in;
  in.for_each([&](auto poly, auto limb, auto i) {
    const std::int64_t exponent = i * element % (2 * in.degree);
    const Word value = in.at(poly, limb, i);
    const Word q = moduli[static_cast<std::size_t>(limb)];
    if (exponent < in.degree) {
      out.at(poly, limb, exponent) = value;
    } else {
      out.at(poly, limb, exponent - in.degree) = value == 0 ? 0 : q - value;
    }
  });
  return out;
}

std::int64_t reversed(std::int64_t j, std::int64_t degree) {
  std::int64_t r = 0;
  for (std::int64_t bit = 1; bit < degree; bit *= 2) r = 2 * r + (j & bit ? 1 : 0);
  return r;
}

/// The values of a(X^g): value j is a at psi^(g (2 r(j) + 1)), found among the exponents of all
/// values.
template <typename Word>
HostRns<Word> permuted(const HostRns<Word>& in, std::int64_t element) {
  std::vector<std::int64_t> at_exponent(static_cast<std::size_t>(2 * in.degree), -1);
  for (std::int64_t j = 0; j < in.degree; ++j) {
    at_exponent[static_cast<std::size_t>(2 * reversed(j, in.degree) + 1)] = j;
  }
  HostRns<Word> out = in;
  in.for_each([&](auto poly, auto limb, auto j) {
    const std::int64_t exponent = element * (2 * reversed(j, in.degree) + 1) % (2 * in.degree);
    out.at(poly, limb, j) = in.at(poly, limb, at_exponent[static_cast<std::size_t>(exponent)]);
  });
  return out;
}

/// Some elements; all of them for small degrees.
std::vector<std::int64_t> elements(std::int64_t degree) {
  std::vector<std::int64_t> all;
  for (std::int64_t g = 1; g < 2 * degree; g += 2) all.push_back(g);
  if (degree <= 16) return all;
  return {1, 3, 5, degree - 1, degree + 1, 2 * degree - 5, 2 * degree - 1, 125 % (2 * degree) | 1};
}

class AutomorphismOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  template <typename Word>
  void check(std::int64_t degree, std::int64_t polys) {
    const Stream stream = make_stream(GetParam());
    LimbIndices limbs;
    for (const int index : {2, 0, 1}) limbs.append(index);
    const std::vector<Word> values = odd_moduli<Word>();
    const std::vector<Word> moduli = moduli_of(limbs, values);
    const ModulusChain<Word> chain(values, stream);
    const auto in = random_residues<Word>(polys, moduli, degree, 1, 3);
    const DeviceRns<Word> device_in(in, stream);
    for (const std::int64_t element : elements(degree)) {
      const std::string what =
          "element " + std::to_string(element) + " degree " + std::to_string(degree);
      const HostRns<Word> before(polys, limbs.count, degree, 7);
      const DeviceRns<Word> coefficients(before, stream);
      automorphism_coefficient(device_in.view(), coefficients.view(), element, limbs, chain,
                               stream);
      expect_equal(coefficients.to_host(), sent(in, element, moduli), what);
      EXPECT_TRUE(coefficients.is_intact_outside());
      const DeviceRns<Word> ntt_values(before, stream);
      automorphism_ntt<Word>(device_in.view(), ntt_values.view(), element, stream);
      expect_equal(ntt_values.to_host(), permuted(in, element), what + " in NTT form");
      EXPECT_TRUE(ntt_values.is_intact_outside());
    }
  }
};

TEST_P(AutomorphismOnEveryBackend, SendsCoefficientsAndValuesWhereTheyGo) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] {
    for (const std::int64_t degree : degrees(GetParam())) {
      check<std::uint32_t>(degree, degree > 1024 ? 1 : 3);
    }
  });
  for (const std::int64_t degree : {2, 4, 64, 2048}) check<std::uint64_t>(degree, 2);
}

TEST_P(AutomorphismOnEveryBackend, TwoInARowAreTheirProduct) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  constexpr std::int64_t kDegree = 128;
  const std::vector<std::uint32_t> moduli{1073479681, 5};
  const ModulusChain<std::uint32_t> chain(moduli, stream);
  const LimbIndices limbs = LimbIndices::range(0, 2);
  for_each_simd_target(GetParam(), [&] {
    const DeviceRns<std::uint32_t> in(random_residues<std::uint32_t>(2, moduli, kDegree, 1),
                                      stream);
    const auto blank = [&] {
      return DeviceRns<std::uint32_t>(HostRns<std::uint32_t>(2, 2, kDegree), stream);
    };
    for (const auto& [g, h] : {std::pair{5, 77}, std::pair{255, 25}, std::pair{253, 205}}) {
      const auto once = blank(), twice = blank(), product = blank();
      automorphism_coefficient(in.view(), once.view(), g, limbs, chain, stream);
      automorphism_coefficient(once.view(), twice.view(), h, limbs, chain, stream);
      automorphism_coefficient(in.view(), product.view(), g * h % (2 * kDegree), limbs, chain,
                               stream);
      expect_equal(twice.to_host(), product.to_host(), "coefficients");
      automorphism_ntt<std::uint32_t>(in.view(), once.view(), g, stream);
      automorphism_ntt<std::uint32_t>(once.view(), twice.view(), h, stream);
      automorphism_ntt<std::uint32_t>(in.view(), product.view(), g * h % (2 * kDegree), stream);
      expect_equal(twice.to_host(), product.to_host(), "values");
    }
  });
}

TEST_P(AutomorphismOnEveryBackend, HasTheKnownDigests) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const std::vector<std::uint32_t> values = ntt_moduli<std::uint32_t>();
  const ModulusChain<std::uint32_t> chain(values, stream);
  HostRns<std::uint32_t> input(2, 8, 256);
  fill_uniform(input, values, 1);
  for_each_simd_target(GetParam(), [&] {
    const DeviceRns<std::uint32_t> in(input, stream);
    const DeviceRns<std::uint32_t> out(HostRns<std::uint32_t>(2, 8, 256), stream);
    const LimbIndices limbs = LimbIndices::range(0, 8);
    automorphism_coefficient(in.view(), out.view(), 5, limbs, chain, stream);
    EXPECT_EQ(sha256(out.to_host().tight()), rns_answers::kAutomorphism5);
    automorphism_coefficient(in.view(), out.view(), 511, limbs, chain, stream);
    EXPECT_EQ(sha256(out.to_host().tight()), rns_answers::kAutomorphism511);
  });
}

TEST_P(AutomorphismOnEveryBackend, NamesWhatItRefuses) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const ModulusChain<std::uint32_t> chain({7, 11}, stream);
  const Buffer<std::uint32_t> words = to_backend(std::vector<std::uint32_t>(1024, 1), stream);
  const RnsView<std::uint32_t> in(words.data(), 2, 2, 16);
  const RnsView<std::uint32_t> out(words.data() + 64, 2, 2, 16);
  const LimbIndices limbs = LimbIndices::range(0, 2);
  const auto coefficient = [&](RnsView<std::uint32_t> x, RnsView<std::uint32_t> y,
                               std::int64_t element) {
    return refusal([&] { automorphism_coefficient(x, y, element, limbs, chain, stream); });
  };
  EXPECT_EQ(coefficient(in, out, 31), "nothing thrown");
  EXPECT_EQ(coefficient(in, out, 0),
            "automorphism_coefficient: galois_element = 0, expected odd, 1 to 2 * degree - 1 = 31");
  EXPECT_EQ(coefficient(in, out, 6),
            "automorphism_coefficient: galois_element = 6, expected odd, 1 to 2 * degree - 1 = 31");
  EXPECT_EQ(
      coefficient(in, out, 33),
      "automorphism_coefficient: galois_element = 33, expected odd, 1 to 2 * degree - 1 = 31");
  EXPECT_EQ(coefficient(in, in, 3),
            "automorphism_coefficient: out overlaps in, expected none of its limbs");
  EXPECT_EQ(coefficient(in.poly_range(0, 1), out, 3),
            "automorphism_coefficient: in.polys = 1, expected out.polys = 2");
  const auto ntt = [&](RnsView<std::uint32_t> x, RnsView<std::uint32_t> y, std::int64_t element) {
    return refusal([&] { automorphism_ntt<std::uint32_t>(x, y, element, stream); });
  };
  EXPECT_EQ(ntt(in, out, -1),
            "automorphism_ntt: galois_element = -1, expected odd, 1 to 2 * degree - 1 = 31");
  EXPECT_EQ(ntt(in, in, 3), "automorphism_ntt: out overlaps in, expected none of its limbs");
  EXPECT_EQ(ntt(in.limb_range(0, 1), out, 3),
            "automorphism_ntt: in.limbs = 1, expected out.limbs = 2");
}

INSTANTIATE_TEST_SUITE_P(All, AutomorphismOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
