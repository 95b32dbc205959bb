// What threshold keys stand on: shares of a secret, the noise of decryption shares, and the
// register of what is made once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "bfv_fixture.h"
#include "threshold_fixture.h"
#include "velum/he/threshold/once_register.h"
#include "velum/he/threshold/shamir.h"
#include "velum/he/threshold/smudging.h"

namespace velum::he::threshold {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;
using velum::testing::bfv::Polynomial;

struct Ring {
  explicit Ring(Backend backend, int log_n = 4, int modulus_bits = 90)
      : stream(make_stream(backend)),
        context(Context::create(small_insecure_bfv(log_n, 97, modulus_bits), stream)),
        integers(context, stream),
        top(context->parameters().max_level()) {}

  Polynomial polynomial(const SecretPolynomial& share, int level) const {
    return integers.polynomials(share.view(level), level).front();
  }
  Stream stream;
  std::shared_ptr<const Context> context;
  RingIntegers integers;
  int top;
};

class ShamirOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

TEST_P(ShamirOnEveryBackend, EveryThresholdOfPartiesHasTheSecretAndFewerDoNot) {
  const Ring ring(GetParam());
  const auto randomness = Randomness::insecure_from_seed(1);
  const SecretKey secret = KeyGenerator(ring.context, randomness).secret_key(ring.stream);
  Polynomial s;
  for (const std::int8_t x : secret.export_coefficients_secret(ring.stream)) s.emplace_back(x);
  const int most = GetParam() == Backend::kCpu ? 5 : 3;
  for (int n = 2; n <= most; ++n) {
    for (int t = 1; t <= n; ++t) {
      SCOPED_TRACE(std::to_string(t) + " of " + std::to_string(n));
      const auto shares = share_secret(secret, n, t, *randomness, ring.stream);
      ASSERT_EQ(shares.size(), static_cast<std::size_t>(n));
      for (int level = 0; level <= ring.top; ++level) {
        const std::vector<std::uint32_t> q = ring.integers.moduli(level);
        std::vector<Polynomial> values;
        for (const SecretPolynomial& share : shares)
          values.push_back(ring.polynomial(share, level));
        for (std::vector<int> active : subsets(n, 1)) {
          // Shuffled: the order of the points does not matter.
          std::reverse(active.begin(), active.end());
          std::vector<std::vector<Word>> factors;
          for (const int point : active)
            factors.push_back(lagrange_at_zero(*ring.context, level, active, point));
          bool is_secret = true;
          for (std::size_t limb = 0; limb < q.size(); ++limb) {
            for (std::size_t i = 0; i < s.size(); ++i) {
              BigInteger sum = 0;
              for (std::size_t k = 0; k < active.size(); ++k)
                sum += factors[k][limb] * values[static_cast<std::size_t>(active[k]) - 1][i];
              if (modulo(sum, q[limb]) != modulo(s[i], q[limb])) is_secret = false;
            }
          }
          ASSERT_EQ(is_secret, static_cast<int>(active.size()) >= t);
        }
      }
    }
  }
}

TEST_P(ShamirOnEveryBackend, SharesOfASumAreSumsOfShares) {
  const Ring ring(GetParam());
  const auto randomness = Randomness::insecure_from_seed(2);
  KeyGenerator generator(ring.context, randomness);
  Polynomial sum(ring.integers.n(), 0);
  std::vector<SecretPolynomial> shares;
  for (int i = 0; i < 3; ++i) shares.emplace_back(ring.context, ring.stream);
  for (int dealer = 0; dealer < 3; ++dealer) {
    const SecretKey secret = generator.secret_key(ring.stream);
    const auto coefficients = secret.export_coefficients_secret(ring.stream);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += coefficients[i];
    auto dealt = share_secret(secret, 3, 2, *randomness, ring.stream);
    for (std::size_t i = 0; i < 3; ++i) shares[i].add(dealt[i], ring.stream);
  }
  const BigInteger q = ring.integers.modulus(ring.top);
  // f(0) = 2 f(1) - f(2), by the definition.
  const Polynomial one = ring.polynomial(shares[0], ring.top);
  const Polynomial two = ring.polynomial(shares[1], ring.top);
  const Polynomial three = ring.polynomial(shares[2], ring.top);
  for (std::size_t i = 0; i < sum.size(); ++i) {
    EXPECT_EQ(velum::testing::bfv::centred(2 * one[i] - two[i], q), sum[i]);
    EXPECT_EQ(modulo(2 * two[i] - one[i], q), three[i]);
  }
}

TEST_P(ShamirOnEveryBackend, SharesAreTheSameOnEveryBackendAndNewEachTime) {
  const auto digest = [](Backend backend) {
    const Ring ring(backend);
    const auto randomness = Randomness::insecure_from_seed(3);
    const SecretKey secret = KeyGenerator(ring.context, randomness).secret_key(ring.stream);
    std::vector<Polynomial> values;
    for (int round = 0; round < 2; ++round) {
      for (const auto& share : share_secret(secret, 3, 2, *randomness, ring.stream))
        values.push_back(ring.polynomial(share, ring.top));
    }
    EXPECT_NE(values[0], values[3]);
    return values;
  };
  EXPECT_EQ(digest(GetParam()), digest(Backend::kCpu));
}

TEST_P(ShamirOnEveryBackend, WhatIsOutOfRangeIsRefused) {
  const Ring ring(GetParam());
  const auto randomness = Randomness::insecure_from_seed(4);
  const SecretKey secret = KeyGenerator(ring.context, randomness).secret_key(ring.stream);
  const auto share = [&](int n, int t) {
    return refusal_of([&] { share_secret(secret, n, t, *randomness, ring.stream); });
  };
  EXPECT_THAT(share(1, 1), HasSubstr("share_secret: parties = 1, expected 2 to 1024"));
  EXPECT_THAT(share(1025, 1), HasSubstr("parties = 1025, expected 2 to 1024"));
  EXPECT_THAT(share(3, 0), HasSubstr("threshold = 0, expected 1 to parties = 3"));
  EXPECT_THAT(share(3, 4), HasSubstr("threshold = 4, expected 1 to parties = 3"));
  const auto factor = [&](const std::vector<int>& points, int point) {
    return refusal_of([&] { lagrange_at_zero(*ring.context, 0, points, point); });
  };
  EXPECT_THAT(factor({1, 0}, 1), HasSubstr("point 0, expected 1 to 1024"));
  EXPECT_THAT(factor({1, 1025}, 1), HasSubstr("point 1025, expected 1 to 1024"));
  EXPECT_THAT(factor({1, 2, 1}, 1), HasSubstr("point 1 is there twice"));
  EXPECT_THAT(factor({1, 2}, 3), HasSubstr("point 3 is none of the points"));
  const Ring other(GetParam());
  SecretPolynomial zero(ring.context, ring.stream);
  EXPECT_THAT(
      refusal_of([&] { zero.add(SecretPolynomial(other.context, other.stream), ring.stream); }),
      HasSubstr("another context"));
}

class SmudgingOnEveryBackend : public ShamirOnEveryBackend {};

/// Variances of M draws are off by a factor within 1 +- 6 sqrt(2/M), but for a chance below 2e-9.
TEST_P(SmudgingOnEveryBackend, NoiseHasTheVarianceThatIsSaidAndReachesNoFurther) {
  const bool cpu = GetParam() == Backend::kCpu;
  const Ring ring(GetParam(), cpu ? 8 : 4, 150);
  const auto randomness = Randomness::insecure_from_seed(5);
  const BigInteger q = ring.integers.modulus(ring.top);
  for (const double bound : {1.0, 1000.0, std::exp2(40.0)}) {  // the last one: two words
    const Smudging smudging =
        smudging_for("test", ring.context->parameters(), {.statistical_bits = 40}, bound, 1e300);
    EXPECT_GE(smudging.sigma, std::ldexp(bound, 40));
    EXPECT_LE(smudging.sigma, std::ldexp(bound, 41));
    const double n = static_cast<double>(ring.integers.n());
    EXPECT_DOUBLE_EQ(smudging.statistical_distance,
                     std::sqrt(n) * bound / (2.0 * smudging.sigma) + n * 0x1p-56);
    double squares = 0.0, count = 0.0;
    std::set<int> low_bits;
    for (int round = 0; round < (cpu ? 16 : 4); ++round) {
      SecretPolynomial sum(ring.context, ring.stream);
      add_smudging(*ring.context, smudging, ring.top, sum.mutable_view(), *randomness, ring.stream);
      for (const BigInteger& x : ring.polynomial(sum, ring.top)) {
        const BigInteger noise = velum::testing::bfv::centred(x, q);
        const double value = noise.convert_to<double>();
        EXPECT_LE(std::abs(value), smudging.largest);
        low_bits.insert(modulo(noise, BigInteger(8)).convert_to<int>());
        squares += value * value;
        count += 1.0;
      }
    }
    EXPECT_NEAR(squares / count / (smudging.sigma * smudging.sigma), 1.0,
                6.0 * std::sqrt(2.0 / count));
    EXPECT_EQ(low_bits.size(), 8U);  // no bit is left in the open
  }
}

TEST_P(SmudgingOnEveryBackend, WhatCannotBeHiddenIsRefused) {
  const Ring ring(GetParam());
  const auto refusal = [&](int bits, double bound) {
    return refusal_of([&] {
      smudging_for("f", ring.context->parameters(), {.statistical_bits = bits}, bound, bound);
    });
  };
  EXPECT_THAT(refusal(9, 1.0), HasSubstr("f: statistical_bits = 9, expected 10 to 80"));
  EXPECT_THAT(refusal(81, 1.0), HasSubstr("statistical_bits = 81, expected 10 to 80"));
  EXPECT_THAT(refusal(40, 0.0), HasSubstr("expected finite and above 0"));
  EXPECT_THAT(refusal(40, std::nan("")), HasSubstr("expected finite and above 0"));
  EXPECT_THAT(refusal(80, std::exp2(40.0)), HasSubstr("expected at most 2^115"));
}

INSTANTIATE_TEST_SUITE_P(Backends, ShamirOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());
INSTANTIATE_TEST_SUITE_P(Backends, SmudgingOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(OnceRegister, InMemoryTakesEachPairOnceAndCopiesShareTheirEntries) {
  const OnceRegister once = once_register_that_forgets_on_restart();
  const OnceRegister copy = once;  // NOLINT(performance-unnecessary-copy-initialization)
  Digest a{}, b{};
  b[31] = 1;
  EXPECT_TRUE(once("x", a));
  EXPECT_FALSE(copy("x", a));
  EXPECT_TRUE(copy("x", b));
  EXPECT_TRUE(copy("y", a));
  EXPECT_FALSE(once("y", a));
  EXPECT_TRUE(once_register_that_forgets_on_restart()("x", a));
  EXPECT_THAT(refusal_of([&] { claim_once(once, "f", "x", a, "a share"); }),
              HasSubstr("f: a share was made before"));
  EXPECT_THROW(claim_once(once, "f", "x", a, "a share"), AlreadyUsed);
}

}  // namespace
}  // namespace velum::he::threshold
