#include "velum/kernels/polynomial/elementwise.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/rns_fixture.h"
#include "reference/rns_answers.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

/// An operation by its public function, and what it is, in wide integers and by %.
template <typename Word>
struct Operation {
  struct Arguments {
    RnsView<const Word> a, b;
    RnsView<Word> out;
    Span<const ShoupFactor<Word>> factors;
    Span<const Word> constants;
    const LimbIndices& limbs;
    const ModulusChain<Word>& chain;
    const Stream& stream;
  };
  const char* name;
  const char* digest;  // in rns_answers.h
  bool has_b;
  std::function<void(const Arguments&)> call;
  /// Of a, b, out and the limb's factor or constant.
  std::function<UInt128(UInt128 a, UInt128 b, UInt128 out, UInt128 factor, UInt128 q)> expected;
};

#define VELUM_CALL(...) [](const typename Operation<Word>::Arguments& x) { __VA_ARGS__; }
#define VELUM_EXPECTED(...)                                                                \
  []([[maybe_unused]] UInt128 a, [[maybe_unused]] UInt128 b, [[maybe_unused]] UInt128 out, \
     [[maybe_unused]] UInt128 f, [[maybe_unused]] UInt128 q) -> UInt128 { return __VA_ARGS__; }

template <typename Word>
std::vector<Operation<Word>> operations() {
  namespace known = rns_answers;
  return {
      {"add", known::kAdd, true, VELUM_CALL(add(x.a, x.b, x.out, x.limbs, x.chain, x.stream)),
       VELUM_EXPECTED((a + b) % q)},
      {"subtract", known::kSubtract, true,
       VELUM_CALL(subtract(x.a, x.b, x.out, x.limbs, x.chain, x.stream)),
       VELUM_EXPECTED((a + q - b) % q)},
      {"negate", known::kNegate, false, VELUM_CALL(negate(x.a, x.out, x.limbs, x.chain, x.stream)),
       VELUM_EXPECTED((q - a) % q)},
      {"multiply", known::kMultiply, true,
       VELUM_CALL(multiply(x.a, x.b, x.out, x.limbs, x.chain, x.stream)),
       VELUM_EXPECTED(a * b % q)},
      {"multiply_accumulate", known::kMultiplyAccumulate, true,
       VELUM_CALL(multiply_accumulate(x.a, x.b, x.out, x.limbs, x.chain, x.stream)),
       VELUM_EXPECTED((out + a * b % q) % q)},
      {"multiply_factors", known::kMultiplyFactors, false,
       VELUM_CALL(multiply_factors(x.a, x.factors, x.out, x.limbs, x.chain, x.stream)),
       VELUM_EXPECTED(a * f % q)},
      {"multiply_factors_accumulate", known::kMultiplyFactorsAccumulate, false,
       VELUM_CALL(multiply_factors_accumulate(x.a, x.factors, x.out, x.limbs, x.chain, x.stream)),
       VELUM_EXPECTED((out + a * f % q) % q)},
      {"add_constants", known::kAddConstants, false,
       VELUM_CALL(add_constants(x.a, x.constants, x.out, x.limbs, x.chain, x.stream)),
       VELUM_EXPECTED((a + f) % q)},
      {"copy_limbs", nullptr, false, VELUM_CALL(copy_limbs(x.a, x.out, x.stream)),
       VELUM_EXPECTED(a)},
  };
}

/// Chain, factors and constants on the backend.
template <typename Word>
struct Ring {
  Ring(const std::vector<Word>& values, const LimbIndices& limbs_, const Stream& stream,
       const std::vector<Word>& factor_values)
      : limbs(limbs_),
        moduli(moduli_of(limbs, values)),
        factor_of_limb(factor_values),
        chain(values, stream),
        factors(to_backend(shoup_factors(), stream)),
        constants(to_backend(factor_of_limb, stream)) {}

  LimbIndices limbs;
  std::vector<Word> moduli;
  std::vector<Word> factor_of_limb;
  ModulusChain<Word> chain;
  Buffer<ShoupFactor<Word>> factors;
  Buffer<Word> constants;

 private:
  std::vector<ShoupFactor<Word>> shoup_factors() const {
    std::vector<ShoupFactor<Word>> made;
    for (std::size_t i = 0; i < moduli.size(); ++i) {
      made.push_back(shoup_factor(factor_of_limb[i], moduli[i]));
    }
    return made;
  }
};

LimbIndices some_limbs() {
  LimbIndices limbs;
  for (const int index : {6, 0, 1, 2, 4, 3}) limbs.append(index);
  return limbs;
}

template <typename Word>
Ring<Word> border_ring(const Stream& stream) {
  const std::vector<Word> values = odd_moduli<Word>();
  std::vector<Word> factors;
  SplitMix random(77);
  const LimbIndices limbs = some_limbs();
  for (const Word q : moduli_of(limbs, values)) {
    factors.push_back(factors.size() % 2 == 0 ? q - 1 : static_cast<Word>(random() % q));
  }
  return Ring<Word>(values, limbs, stream, factors);
}

template <typename Word>
HostRns<Word> expected_of(const Operation<Word>& operation, const Ring<Word>& ring,
                          const HostRns<Word>& a, const HostRns<Word>& b, HostRns<Word> out) {
  out.for_each([&](auto poly, auto limb, auto i) {
    const auto l = static_cast<std::size_t>(limb);
    out.at(poly, limb, i) = static_cast<Word>(operation.expected(
        a.at(a.polys == 1 ? 0 : poly, limb, i), b.at(b.polys == 1 ? 0 : poly, limb, i),
        out.at(poly, limb, i), ring.factor_of_limb[l], ring.moduli[l]));
  });
  return out;
}

class ElementwiseOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  template <typename Word>
  void equals_wide_integers() {
    const Stream stream = make_stream(GetParam());
    const Ring<Word> ring = border_ring<Word>(stream);
    for (const std::int64_t degree : degrees(GetParam())) {
      const std::int64_t polys = degree > 1024 ? 1 : 3;
      const auto a = random_residues<Word>(polys, ring.moduli, degree, 1, 5);
      const auto b = random_residues<Word>(polys, ring.moduli, degree, 2);
      const auto before = random_residues<Word>(polys, ring.moduli, degree, 3, 64);
      const DeviceRns<Word> device_a(a, stream);
      const DeviceRns<Word> device_b(b, stream);
      for (const Operation<Word>& operation : operations<Word>()) {
        const DeviceRns<Word> out(before, stream);
        operation.call({device_a.view(), device_b.view(), out.view(), ring.factors.span(),
                        ring.constants.span(), ring.limbs, ring.chain, stream});
        expect_equal(out.to_host(), expected_of(operation, ring, a, b, before),
                     std::string(operation.name) + " of degree " + std::to_string(degree));
        EXPECT_TRUE(out.is_intact_outside()) << operation.name;
      }
    }
  }

  template <typename Word>
  void out_may_be_an_operand() {
    const Stream stream = make_stream(GetParam());
    const Ring<Word> ring = border_ring<Word>(stream);
    const auto a = random_residues<Word>(2, ring.moduli, 64, 1, 5);
    const auto b = random_residues<Word>(2, ring.moduli, 64, 2, 5);
    for (const Operation<Word>& operation : operations<Word>()) {
      const auto call = [&](const DeviceRns<Word>& x, const DeviceRns<Word>& y,
                            const DeviceRns<Word>& out) {
        operation.call({x.view(), y.view(), out.view(), ring.factors.span(), ring.constants.span(),
                        ring.limbs, ring.chain, stream});
        return out.to_host();
      };
      const DeviceRns<Word> first(a, stream);
      const DeviceRns<Word> second(b, stream);
      expect_equal(call(first, second, first), expected_of(operation, ring, a, b, a),
                   std::string(operation.name) + " to its first operand");
      if (!operation.has_b) continue;
      const DeviceRns<Word> third(a, stream);
      expect_equal(call(third, second, second), expected_of(operation, ring, a, b, b),
                   std::string(operation.name) + " to its second operand");
      expect_equal(call(third, third, third), expected_of(operation, ring, a, a, a),
                   std::string(operation.name) + " of one view alone");
    }
  }

  template <typename Word>
  void one_polynomial_serves_all() {
    const Stream stream = make_stream(GetParam());
    const Ring<Word> ring = border_ring<Word>(stream);
    const auto one = random_residues<Word>(1, ring.moduli, 64, 1, 5);
    const auto many = random_residues<Word>(3, ring.moduli, 64, 2, 5);
    for (const Operation<Word>& operation : operations<Word>()) {
      for (const bool first_is_one : {true, false}) {
        const auto& a = first_is_one ? one : many;
        const auto& b = first_is_one ? many : one;
        const DeviceRns<Word> x(a, stream);
        const DeviceRns<Word> y(b, stream);
        const DeviceRns<Word> out(many, stream);
        operation.call({x.view(), y.view(), out.view(), ring.factors.span(), ring.constants.span(),
                        ring.limbs, ring.chain, stream});
        expect_equal(out.to_host(), expected_of(operation, ring, a, b, many), operation.name);
      }
    }
  }
};

TEST_P(ElementwiseOnEveryBackend, EqualsWideIntegersAtEveryDegree) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] { equals_wide_integers<std::uint32_t>(); });
  equals_wide_integers<std::uint64_t>();
}

TEST_P(ElementwiseOnEveryBackend, OutMayBeAnOperand) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] { out_may_be_an_operand<std::uint32_t>(); });
  out_may_be_an_operand<std::uint64_t>();
}

TEST_P(ElementwiseOnEveryBackend, OnePolynomialServesAllOfOut) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] { one_polynomial_serves_all<std::uint32_t>(); });
  one_polynomial_serves_all<std::uint64_t>();
}

TEST_P(ElementwiseOnEveryBackend, NothingIsNoWork) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const ModulusChain<std::uint32_t> chain({7}, stream);
  const RnsView<std::uint32_t> no_polys(nullptr, 0, 1, 8);
  add(no_polys, no_polys, no_polys, LimbIndices::range(0, 1), chain, stream);
  const RnsView<std::uint32_t> no_limbs(nullptr, 3, 0, 8);
  add(no_limbs, no_limbs, no_limbs, LimbIndices{}, chain, stream);
  synchronize(stream);
}

TEST_P(ElementwiseOnEveryBackend, HasTheKnownDigests) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const std::vector<std::uint32_t> values = ntt_moduli<std::uint32_t>();
  std::vector<std::uint32_t> factors;
  for (std::size_t i = 0; i < values.size(); ++i) {
    factors.push_back(static_cast<std::uint32_t>(SplitMix(100 + i)() % values[i]));
  }
  const Ring<std::uint32_t> ring(values, LimbIndices::range(0, 8), stream, factors);
  std::vector<HostRns<std::uint32_t>> inputs(3, HostRns<std::uint32_t>(2, 8, 256));
  for (std::size_t i = 0; i < 3; ++i) fill_uniform(inputs[i], values, i + 1);
  for_each_simd_target(GetParam(), [&] {
    for (const auto& operation : operations<std::uint32_t>()) {
      if (operation.digest == nullptr) continue;
      const DeviceRns<std::uint32_t> a(inputs[0], stream);
      const DeviceRns<std::uint32_t> b(inputs[1], stream);
      const DeviceRns<std::uint32_t> out(inputs[2], stream);
      operation.call({a.view(), b.view(), out.view(), ring.factors.span(), ring.constants.span(),
                      ring.limbs, ring.chain, stream});
      EXPECT_EQ(sha256(out.to_host().tight()), operation.digest) << operation.name;
    }
  });
}

TEST_P(ElementwiseOnEveryBackend, NamesWhatItRefuses) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const ModulusChain<std::uint32_t> chain({7, 11, 13}, stream);
  const Buffer<std::uint32_t> words = to_backend(std::vector<std::uint32_t>(4096, 1), stream);
  const LimbIndices two = LimbIndices::range(1, 2);
  const auto view = [&](std::int64_t first, std::int64_t polys, std::int64_t limbs,
                        std::int64_t degree) {
    return RnsView<std::uint32_t>(words.data() + first, polys, limbs, degree);
  };
  const RnsView<std::uint32_t> a = view(0, 2, 2, 16);
  const RnsView<std::uint32_t> b = view(64, 2, 2, 16);
  const RnsView<std::uint32_t> out = view(128, 2, 2, 16);
  const auto adding = [&](RnsView<const std::uint32_t> x, RnsView<const std::uint32_t> y,
                          RnsView<std::uint32_t> z, const LimbIndices& limbs) {
    return refusal([&] { add(x, y, z, limbs, chain, stream); });
  };
  EXPECT_EQ(adding(a, b, out, two), "nothing thrown");
  EXPECT_EQ(adding(view(0, -1, 2, 16), b, out, two), "add: a.polys = -1, expected at least 0");
  EXPECT_EQ(adding(view(0, 3, 2, 16), b, view(512, 2, 2, 16), two),
            "add: a.polys = 3, expected 1 or out.polys = 2");
  EXPECT_EQ(adding(a, view(64, 2, 1, 16), out, two), "add: b.limbs = 1, expected out.limbs = 2");
  EXPECT_EQ(adding(a, view(64, 2, 2, 8), out, two), "add: b.degree = 8, expected out.degree = 16");
  EXPECT_EQ(adding(a, b, view(128, 2, 2, 24), two),
            "add: out.degree = 24, expected a power of two from 2 to 131072");
  EXPECT_EQ(adding(a, b, view(128, 2, 2, 1), two),
            "add: out.degree = 1, expected a power of two from 2 to 131072");
  EXPECT_EQ(adding(a, b, view(128, 2, 2, 1 << 18), two),
            "add: out.degree = 262144, expected a power of two from 2 to 131072");
  EXPECT_EQ(adding(a, b, RnsView<std::uint32_t>(words.data() + 128, 2, 2, 16, 31), two),
            "add: out.poly_stride = 31, expected at least limbs * degree = 32");
  EXPECT_EQ(adding(a, b, out, LimbIndices::range(0, 3)),
            "add: out.limbs = 2, expected limbs.count = 3");
  EXPECT_EQ(adding(a, b, out, LimbIndices::range(2, 2)), "add: limbs[1] = 3, expected 0 to 2");
  EXPECT_EQ(adding(a, b, view(8, 2, 2, 16), two),
            "add: out overlaps a, expected the same view or none of its limbs");
  EXPECT_EQ(adding(a, view(128, 1, 2, 16), out, two),
            "add: out overlaps b, expected the same view or none of its limbs");
  const Buffer<ShoupFactor<std::uint32_t>> factors(1, stream);
  EXPECT_EQ(refusal([&] { multiply_factors(a, factors.span(), out, two, chain, stream); }),
            "multiply_factors: factors.size() = 1, expected limbs.count = 2");
  EXPECT_EQ(
      refusal([&] { multiply_factors_accumulate(a, factors.span(), out, two, chain, stream); }),
      "multiply_factors_accumulate: factors.size() = 1, expected limbs.count = 2");
  EXPECT_EQ(refusal([&] {
              add_constants(a, {words.data(), 3}, out, two, chain, stream);
            }),
            "add_constants: constants.size() = 3, expected limbs.count = 2");
  EXPECT_EQ(refusal([&] { copy_limbs(view(0, 2, 1, 16), out, stream); }),
            "copy_limbs: a.limbs = 1, expected out.limbs = 2");
}

TEST_P(ElementwiseOnEveryBackend, LimbsBetweenThoseOfAnotherViewDoNotOverlapIt) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const std::vector<std::uint32_t> values{7, 11};
  const ModulusChain<std::uint32_t> chain(values, stream);
  const auto whole = random_residues<std::uint32_t>(3, {7, 11, 7, 11}, 16, 1);
  const DeviceRns<std::uint32_t> device(whole, stream);
  const LimbIndices limbs = LimbIndices::range(0, 2);
  add(device.view().limb_range(0, 2), device.view().limb_range(0, 2),
      device.view().limb_range(2, 2), limbs, chain, stream);
  HostRns<std::uint32_t> expected = whole;
  for (std::int64_t poly = 0; poly < 3; ++poly) {
    for (std::int64_t limb = 0; limb < 2; ++limb) {
      for (std::int64_t i = 0; i < 16; ++i) {
        expected.at(poly, limb + 2, i) =
            2 * whole.at(poly, limb, i) % values[static_cast<std::size_t>(limb)];
      }
    }
  }
  expect_equal(device.to_host(), expected, "add");
  EXPECT_EQ(refusal([&] {
              add(device.view().limb_range(0, 2), device.view().limb_range(1, 2),
                  device.view().limb_range(2, 2), limbs, chain, stream);
            }),
            "add: out overlaps b, expected the same view or none of its limbs");
}

TEST(Elementwise, AChainOfAnotherBackendIsRefused) {
  if (!built_with_cuda() || cuda_device_count() == 0) GTEST_SKIP() << "no CUDA device";
  const Stream cuda = Stream::cuda(nullptr, 0);
  const ModulusChain<std::uint32_t> chain({7}, Stream::serial());
  const Buffer<std::uint32_t> words(16, cuda);
  const RnsView<std::uint32_t> view(words.data(), 1, 1, 16);
  EXPECT_EQ(refusal([&] { negate(view, view, LimbIndices::range(0, 1), chain, cuda); }),
            "negate: chain lies in the memory of cpu, expected that of the stream, cuda");
}

INSTANTIATE_TEST_SUITE_P(All, ElementwiseOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
