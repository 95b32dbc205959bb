#include "velum/kernels/polynomial/inner_product.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/rns_fixture.h"
#include "reference/rns_answers.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

template <typename Word>
HostRns<Word> expected_of(const HostRns<Word>& digits, const HostRns<Word>& keys, HostRns<Word> out,
                          const std::vector<Word>& moduli) {
  out.for_each([&](auto k, auto limb, auto i) {
    const UInt128 q = moduli[static_cast<std::size_t>(limb)];
    UInt128 sum = 0;
    for (std::int64_t d = 0; d < digits.polys; ++d) {
      sum = (sum + UInt128{digits.at(d, limb, i)} * keys.at(d * out.polys + k, limb, i)) % q;
    }
    out.at(k, limb, i) = static_cast<Word>(sum);
  });
  return out;
}

class InnerProductOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  template <typename Word>
  void check(std::int64_t count, std::int64_t outputs, std::int64_t degree, bool largest) {
    const Stream stream = make_stream(GetParam());
    LimbIndices limbs;
    for (const int index : {2, 0, 1, 6}) limbs.append(index);
    const std::vector<Word> values = odd_moduli<Word>();
    const std::vector<Word> moduli = moduli_of(limbs, values);
    const ModulusChain<Word> chain(values, stream);
    auto digits = random_residues<Word>(count, moduli, degree, 1, 3);
    auto keys = random_residues<Word>(count * outputs, moduli, degree, 2, 64);
    if (largest) {
      const auto fill = [&moduli](HostRns<Word>& x) {
        x.for_each([&](auto poly, auto limb, auto i) {
          x.at(poly, limb, i) = moduli[static_cast<std::size_t>(limb)] - 1;
        });
      };
      fill(digits);
      fill(keys);
    }
    const HostRns<Word> before(outputs, limbs.count, degree, 7);
    const DeviceRns<Word> device_digits(digits, stream);
    const DeviceRns<Word> device_keys(keys, stream);
    const DeviceRns<Word> out(before, stream);
    inner_product(device_digits.view(), device_keys.view(), out.view(), limbs, chain, stream);
    expect_equal(out.to_host(), expected_of(digits, keys, before, moduli),
                 std::to_string(count) + " digits, " + std::to_string(outputs) +
                     " outputs, degree " + std::to_string(degree));
    EXPECT_TRUE(out.is_intact_outside());
  }
};

TEST_P(InnerProductOnEveryBackend, EqualsSumsReducedAfterEachProduct) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] {
    for (const std::int64_t degree : degrees(GetParam())) check<std::uint32_t>(3, 2, degree, false);
  });
  for (const std::int64_t degree : {2, 64}) check<std::uint64_t>(3, 2, degree, false);
}

TEST_P(InnerProductOnEveryBackend, HoldsAnyNumberOfTheLargestProducts) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] {
    for (const std::int64_t count : {0, 1, 2, 4, 8, 15, 16, 17, 28, 29, 41, 100}) {
      check<std::uint32_t>(count, 2, 32, true);
    }
  });
  for (const std::int64_t count : {0, 1, 63, 64, 65, 120, 121, 200}) {
    check<std::uint64_t>(count, 2, 4, true);
  }
}

TEST_P(InnerProductOnEveryBackend, TakesAnyNumberOfOutputs) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] {
    for (const std::int64_t outputs : {0, 1, 2, 3, 4, 5})
      check<std::uint32_t>(3, outputs, 64, false);
  });
}

TEST_P(InnerProductOnEveryBackend, HasTheKnownDigest) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const std::vector<std::uint32_t> values = ntt_moduli<std::uint32_t>();
  const ModulusChain<std::uint32_t> chain(values, stream);
  HostRns<std::uint32_t> digits(3, 8, 256);
  HostRns<std::uint32_t> keys(6, 8, 256);
  fill_uniform(digits, values, 4);
  fill_uniform(keys, values, 5);
  for_each_simd_target(GetParam(), [&] {
    const DeviceRns<std::uint32_t> x(digits, stream);
    const DeviceRns<std::uint32_t> y(keys, stream);
    const DeviceRns<std::uint32_t> out(HostRns<std::uint32_t>(2, 8, 256), stream);
    inner_product(x.view(), y.view(), out.view(), LimbIndices::range(0, 8), chain, stream);
    EXPECT_EQ(sha256(out.to_host().tight()), rns_answers::kInnerProduct);
  });
}

TEST_P(InnerProductOnEveryBackend, NamesWhatItRefuses) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const ModulusChain<std::uint32_t> chain({7, 11, 13}, stream);
  const Buffer<std::uint32_t> words = to_backend(std::vector<std::uint32_t>(4096, 1), stream);
  const auto view = [&](std::int64_t first, std::int64_t polys, std::int64_t limbs,
                        std::int64_t degree) {
    return RnsView<std::uint32_t>(words.data() + first, polys, limbs, degree);
  };
  const auto message = [&](RnsView<std::uint32_t> digits, RnsView<std::uint32_t> keys,
                           RnsView<std::uint32_t> out) {
    return refusal(
        [&] { inner_product(digits, keys, out, LimbIndices::range(0, 2), chain, stream); });
  };
  const auto digits = view(0, 3, 2, 16);
  const auto keys = view(512, 6, 2, 16);
  const auto out = view(1024, 2, 2, 16);
  EXPECT_EQ(message(digits, keys, out), "nothing thrown");
  EXPECT_EQ(message(digits, view(512, 5, 2, 16), out),
            "inner_product: keys.polys = 5, expected digits.polys * out.polys = 6");
  EXPECT_EQ(message(view(0, 3, 2, 8), keys, out),
            "inner_product: digits.degree = 8, expected out.degree = 16");
  EXPECT_EQ(message(digits, view(512, 6, 1, 16), out),
            "inner_product: keys.limbs = 1, expected out.limbs = 2");
  EXPECT_EQ(message(digits, keys, view(1024, 2, 3, 16)),
            "inner_product: out.limbs = 3, expected limbs.count = 2");
  EXPECT_EQ(message(digits, keys, view(0, 2, 2, 16)),
            "inner_product: out overlaps digits, expected none of its limbs");
  EXPECT_EQ(message(digits, keys, view(600, 2, 2, 16)),
            "inner_product: out overlaps keys, expected none of its limbs");
}

INSTANTIATE_TEST_SUITE_P(All, InnerProductOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
