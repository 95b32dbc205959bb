#include "velum/kernels/polynomial/integers_to_residues.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "support/simd_targets.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixtures

// The largest and smallest moduli, and composite ones, for which the operation is the same.
const std::vector<std::uint32_t> kModuli32{
    (1u << 30) - 1, (1u << 30) - 35, 5, 7,         65537, 536870923, 786433,
    33554431,       (1u << 29) + 1,  9, 1000000007};
const std::vector<std::uint64_t> kModuli64{(std::uint64_t{1} << 61) - 1, 5, 65537,
                                           (std::uint64_t{1} << 60) + 1, 4294967291u};

template <typename Word>
const std::vector<Word>& test_moduli();
template <>
const std::vector<std::uint32_t>& test_moduli() {
  return kModuli32;
}
template <>
const std::vector<std::uint64_t>& test_moduli() {
  return kModuli64;
}

/// The extremes of the type and of each bit length, then random ones of every length.
template <typename Integer>
std::vector<Integer> test_integers(std::int64_t count) {
  constexpr int kBits = 8 * sizeof(Integer);
  using Bits = std::conditional_t<kBits == 64, std::uint64_t, WideOf<std::uint64_t>>;
  const auto lowest = static_cast<Integer>(Bits{1} << (kBits - 1));
  std::vector<Integer> values{0,
                              1,
                              -1,
                              lowest,
                              static_cast<Integer>(lowest + 1),
                              static_cast<Integer>(~static_cast<Bits>(lowest))};
  std::mt19937_64 generator(11);
  for (int bit = 1; bit < kBits - 1; ++bit) {
    for (int add = -1; add <= 1; ++add) {
      const auto x = static_cast<Integer>((Bits{1} << bit) + static_cast<Bits>(add));
      values.push_back(x);
      values.push_back(static_cast<Integer>(-x));
    }
  }
  while (static_cast<std::int64_t>(values.size()) < count) {
    auto bits = static_cast<Bits>(generator());
    if constexpr (kBits == 128) bits = (bits << 64) | generator();
    const auto x = static_cast<Integer>(bits);
    values.push_back(static_cast<Integer>(x >> (generator() % kBits)));
  }
  values.resize(static_cast<std::size_t>(count));
  return values;
}

template <typename Word, typename Integer>
void expect_remainders(std::int64_t polys, std::int64_t degree, const Stream& stream) {
  const ModulusChain<Word> chain(test_moduli<Word>(), stream);
  LimbIndices limbs;  // every modulus, the last one first and again
  limbs.append(chain.size() - 1);
  for (int i = 0; i < chain.size(); ++i) limbs.append(i);
  const std::vector<Integer> integers = test_integers<Integer>(polys * degree);
  const GuardedBuffer<Integer> in(integers, stream);
  const std::int64_t stride = limbs.count * degree + 3;
  GuardedBuffer<Word> out(polys * stride, stream);
  integers_to_residues(Span<const Integer>(in.span()),
                       RnsView<Word>(out.span().data(), polys, limbs.count, degree, stride), limbs,
                       chain, stream);
  ASSERT_TRUE(out.margins_are_intact());
  const std::vector<Word> host = out.to_host();
  for (std::int64_t poly = 0; poly < polys; ++poly) {
    for (std::int64_t limb = 0; limb < limbs.count; ++limb) {
      const auto q = static_cast<Int128>(chain[limbs[limb]].value);
      for (std::int64_t i = 0; i < degree; ++i) {
        const Int128 x = integers[static_cast<std::size_t>(poly * degree + i)];
        const Int128 remainder = (x % q + q) % q;
        ASSERT_EQ(host[static_cast<std::size_t>(poly * stride + limb * degree + i)],
                  static_cast<Word>(remainder))
            << "poly " << poly << ", limb " << limb << ", coefficient " << i;
      }
    }
  }
}

class IntegersToResiduesOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

TEST_P(IntegersToResiduesOnEveryBackend, AreTheRemaindersOfDivisionAtEverySizeAndSimdTarget) {
  for_each_simd_target(GetParam(), [&] {
    for (const std::int64_t degree : {2, 4, 32, 256, 1024, 8192}) {
      for (const std::int64_t polys : {0, 1, 3}) {
        expect_remainders<std::uint32_t, std::int64_t>(polys, degree, stream_);
        expect_remainders<std::uint32_t, Int128>(polys, degree, stream_);
        expect_remainders<std::uint64_t, std::int64_t>(polys, degree, stream_);
        expect_remainders<std::uint64_t, Int128>(polys, degree, stream_);
      }
    }
  });
}

TEST_P(IntegersToResiduesOnEveryBackend, ArgumentsThatDoNotFitAreRefused) {
  const ModulusChain<std::uint32_t> chain({65537, 786433}, stream_);
  const Buffer<std::int64_t> integers(8, stream_);
  const Buffer<std::uint32_t> out(32, stream_);
  const auto call = [&](std::int64_t count, RnsView<std::uint32_t> view, LimbIndices limbs) {
    try {
      integers_to_residues(Span<const std::int64_t>(integers.data(), count), view, limbs, chain,
                           stream_);
    } catch (const std::invalid_argument& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const RnsView<std::uint32_t> view(out.data(), 2, 2, 4);
  const LimbIndices both = LimbIndices::range(0, 2);
  EXPECT_EQ(call(8, view, both), "accepted");
  EXPECT_EQ(call(7, view, both),
            "integers_to_residues: integers.size() = 7, expected out.polys * out.degree = 8");
  EXPECT_EQ(call(8, view, LimbIndices::range(0, 1)),
            "integers_to_residues: out.limbs = 2, expected limbs.count = 1");
  EXPECT_EQ(call(8, view, LimbIndices::range(1, 2)),
            "integers_to_residues: limbs[1] = 2, expected 0 to 1");
  EXPECT_EQ(call(8, RnsView<std::uint32_t>(out.data(), 2, 2, 4, 7), both),
            "integers_to_residues: out.poly_stride = 7, expected at least limbs * degree = 8");
  EXPECT_EQ(call(8, RnsView<std::uint32_t>(out.data(), -1, 2, 4), both),
            "integers_to_residues: out.polys = -1, expected at least 0");
  EXPECT_EQ(call(8, RnsView<std::uint32_t>(out.data(), 2, 2, 3), both),
            "integers_to_residues: out.degree = 3, expected a power of two from 2 to 131072");
  RnsView<std::uint32_t> inside = view;
  inside.data = reinterpret_cast<std::uint32_t*>(integers.data()) + 15;
  EXPECT_EQ(call(8, inside, both),
            "integers_to_residues: out overlaps integers, expected none of its limbs");
  if (GetParam() == Backend::kCuda) {
    const ModulusChain<std::uint32_t> on_host({65537, 786433}, Stream::serial());
    EXPECT_THROW(integers_to_residues(Span<const std::int64_t>(integers.span()), view, both,
                                      on_host, stream_),
                 std::invalid_argument);
  }
}

INSTANTIATE_TEST_SUITE_P(All, IntegersToResiduesOnEveryBackend,
                         ::testing::ValuesIn(every_backend()), BackendName());

}  // namespace
}  // namespace velum::kernels
