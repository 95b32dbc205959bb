#include "velum/he/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <vector>

namespace velum::he {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

template <typename Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

bool divides_nothing(std::uint32_t value) {
  for (std::uint32_t d = 2; d * d <= value; ++d) {
    if (value % d == 0) return false;
  }
  return true;
}

// Table 5.2 of ePrint 2024/463, uniform ternary secrets.
TEST(SecurityTable, IsThatOfTheGuidelines) {
  const int expected[8][3] = {{26, 0, 0},        {53, 36, 27},      {106, 73, 56},
                              {214, 147, 114},   {430, 297, 230},   {868, 597, 462},
                              {1747, 1199, 929}, {3523, 2411, 1866}};
  for (int log_n = 10; log_n <= 17; ++log_n) {
    EXPECT_EQ(largest_log_qp(log_n, SecurityLevel::k128), expected[log_n - 10][0]);
    EXPECT_EQ(largest_log_qp(log_n, SecurityLevel::k192), expected[log_n - 10][1]);
    EXPECT_EQ(largest_log_qp(log_n, SecurityLevel::k256), expected[log_n - 10][2]);
  }
  EXPECT_EQ(error_of([] { largest_log_qp(18, SecurityLevel::k128); }),
            "largest_log_qp: log_n = 18, expected 10 to 17");
}

struct Case {
  int log_n, scale_bits, depth;
  bool secure;
  friend void PrintTo(const Case& c, std::ostream* os) {
    *os << "log_n " << c.log_n << " scale " << c.scale_bits << " depth " << c.depth;
  }
};

class ParametersOfEveryKind : public ::testing::TestWithParam<Case> {
 protected:
  static Parameters build() {
    ParametersBuilder builder;
    builder.log_n(GetParam().log_n).scale_bits(GetParam().scale_bits).depth(GetParam().depth);
    if (!GetParam().secure) builder.insecure_without_security_check();
    return builder.build();
  }
};

TEST_P(ParametersOfEveryKind, PrimesAreDifferentAndFitTheRing) {
  const Parameters p = build();
  std::set<std::uint32_t> seen;
  for (const std::uint32_t prime : p.primes()) {
    EXPECT_TRUE(divides_nothing(prime)) << prime;
    EXPECT_EQ(prime % (2 * p.ring_degree()), 1) << prime;
    EXPECT_LT(prime, std::uint32_t{1} << 30);
    EXPECT_TRUE(seen.insert(prime).second) << prime;
  }
  EXPECT_EQ(static_cast<int>(p.primes().size()), p.special_prime_count() + p.limbs(p.max_level()));
}

TEST_P(ParametersOfEveryKind, ScalesFollowTheScheduleAndStayNearTheirTarget) {
  const Parameters p = build();
  EXPECT_EQ(p.scale(p.max_level()), std::ldexp(1.0, GetParam().scale_bits));
  for (int level = p.max_level(); level > 0; --level) {
    long double modulus = 1.0L;
    for (int i = p.limbs(level - 1); i < p.limbs(level); ++i) modulus *= p.ciphertext_prime(i);
    const long double next = static_cast<long double>(p.scale(level)) * p.scale(level) / modulus;
    EXPECT_NEAR(static_cast<double>(next / p.scale(level - 1)), 1.0, 1e-15);
    EXPECT_NEAR(std::log2(p.scale(level - 1)), GetParam().scale_bits, 0.25);
    EXPECT_NEAR(p.level_modulus(level), static_cast<double>(modulus), 1.0);
  }
}

TEST_P(ParametersOfEveryKind, SpecialPrimesAreAtLeastAsLargeAsEveryDigit) {
  const Parameters p = build();
  int covered = 0;
  for (int digit = 0; digit < p.dnum(); ++digit) {
    double bits = 0.0;
    for (int i = digit * p.digit_limbs();
         i < std::min((digit + 1) * p.digit_limbs(), p.limbs(p.max_level())); ++i) {
      bits += std::log2(p.ciphertext_prime(i));
      ++covered;
    }
    EXPECT_GE(p.log_p(), bits);
  }
  EXPECT_EQ(covered, p.limbs(p.max_level()));
}

TEST_P(ParametersOfEveryKind, TheTableIsEnforcedOnQTimesP) {
  const Parameters p = build();
  if (GetParam().secure) {
    ASSERT_EQ(p.security(), SecurityLevel::k128);
    EXPECT_LE(p.log_qp(), largest_log_qp(GetParam().log_n, SecurityLevel::k128));
    EXPECT_THAT(p.to_string(), HasSubstr("128-bit security"));
  } else {
    EXPECT_FALSE(p.security().has_value());
    EXPECT_THAT(p.to_string(), HasSubstr("INSECURE"));
  }
}

TEST_P(ParametersOfEveryKind, TheIdIsReproducible) { EXPECT_EQ(build().id(), build().id()); }

INSTANTIATE_TEST_SUITE_P(Rings, ParametersOfEveryKind,
                         ::testing::Values(Case{12, 36, 0, true}, Case{13, 40, 2, true},
                                           Case{13, 28, 4, true}, Case{14, 45, 5, true},
                                           Case{15, 45, 3, true}, Case{15, 50, 12, true},
                                           Case{16, 50, 25, true}, Case{17, 58, 45, true},
                                           Case{6, 30 - 1, 3, false}, Case{8, 45, 6, false},
                                           Case{4, 40, 3, false}, Case{14, 58, 6, false}),
                         [](const auto& one) {
                           return "LogN" + std::to_string(one.param.log_n) + "Scale" +
                                  std::to_string(one.param.scale_bits) + "Depth" +
                                  std::to_string(one.param.depth);
                         });

TEST(ParametersBuilder, RefusesWhatIsNotSecureAndNamesTheLimit) {
  EXPECT_THAT(error_of([] { ParametersBuilder().log_n(13).scale_bits(45).depth(6).build(); }),
              AllOf(HasSubstr("214"), HasSubstr("128-bit security"), HasSubstr("larger ring")));
  // What 128 bits allow, 256 bits do not.
  EXPECT_EQ(error_of([] { ParametersBuilder().log_n(14).scale_bits(45).depth(4).build(); }),
            "no error");
  EXPECT_THAT(
      error_of([] {
        ParametersBuilder().log_n(14).scale_bits(45).depth(4).security(SecurityLevel::k256).build();
      }),
      HasSubstr("230"));
}

TEST(ParametersBuilder, SettingsOutOfRangeAreNamed) {
  EXPECT_EQ(error_of([] { ParametersBuilder().scale_bits(40).build(); }),
            "ParametersBuilder: log_n is missing");
  EXPECT_EQ(error_of([] { ParametersBuilder().log_n(13).build(); }),
            "ParametersBuilder: scale_bits is missing");
  EXPECT_EQ(error_of([] { ParametersBuilder().log_n(9).scale_bits(40).build(); }),
            "ParametersBuilder: log_n = 9, expected 10 to 17");
  EXPECT_EQ(error_of([] { ParametersBuilder().log_n(13).scale_bits(33).build(); }),
            "ParametersBuilder: scale_bits = 33, expected 20 to 29 or 36 to 58");
  EXPECT_EQ(error_of([] { ParametersBuilder().log_n(13).scale_bits(40).depth(-1).build(); }),
            "ParametersBuilder: depth = -1, expected 0 to 60");
  EXPECT_EQ(error_of([] { ParametersBuilder().log_n(13).scale_bits(40).base_bits(41).build(); }),
            "ParametersBuilder: base_bits = 41, expected 42 to 120");
  EXPECT_EQ(error_of([] { ParametersBuilder().log_n(13).scale_bits(40).dnum(9).build(); }),
            "ParametersBuilder: dnum = 9, expected 1 to 2");
  EXPECT_THAT(error_of([] { ParametersBuilder().log_n(16).scale_bits(36).depth(20).build(); }),
              HasSubstr("a larger scale has more of them"));
}

TEST(ParametersBuilder, WithoutKeySwitchingAllBitsAreForQ) {
  const Parameters p =
      ParametersBuilder().log_n(11).scale_bits(25).base_bits(50).without_key_switching().build();
  EXPECT_EQ(p.special_prime_count(), 0);
  EXPECT_EQ(p.dnum(), 0);
  EXPECT_EQ(p.log_p(), 0.0);
  EXPECT_LE(p.log_qp(), 53.0);
  EXPECT_THAT(
      error_of([] {
        ParametersBuilder().log_n(11).scale_bits(25).base_bits(55).without_key_switching().build();
      }),
      HasSubstr("is above 53"));
}

TEST(ParametersBuilder, EveryFactIsInTheId) {
  const auto builder = [] { return ParametersBuilder().log_n(13).scale_bits(40).depth(1); };
  std::set<ParametersId> ids;
  ids.insert(builder().build().id());
  ids.insert(builder().depth(2).build().id());
  ids.insert(builder().base_bits(55).build().id());
  ids.insert(builder().dnum(2).build().id());
  ids.insert(builder().dnum(4).build().id());
  ids.insert(builder().security(SecurityLevel::k192).depth(0).build().id());
  ids.insert(builder().depth(0).build().id());
  ids.insert(builder().insecure_without_security_check().build().id());
  ids.insert(builder().without_key_switching().build().id());
  ids.insert(builder().parties(2).build().id());
  ids.insert(builder().parties(3).build().id());
  EXPECT_EQ(ids.size(), 11U);
  EXPECT_EQ(builder().build().id(), builder().parties(1).build().id());
}

// ---- BFV ------------------------------------------------------------------------------------

TEST(BfvParameters, PrimesAreDifferentAndFitTheRingAndTheTableIsEnforced) {
  struct BfvCase {
    int log_n;
    std::uint64_t t;
    int modulus_bits;
  };
  for (const auto& [log_n, t, modulus_bits] :
       {BfvCase{11, 1 << 8, 25}, BfvCase{12, 65537, 58}, BfvCase{13, 65537, 120},
        BfvCase{14, std::uint64_t{1} << 60, 300}, BfvCase{15, 786433, 600},
        BfvCase{16, 786433, 1200}}) {
    const Parameters p =
        ParametersBuilder().log_n(log_n).plaintext_modulus(t).modulus_bits(modulus_bits).build();
    EXPECT_EQ(p.scheme(), SchemeType::kBfv);
    EXPECT_EQ(p.plaintext_modulus(), t);
    EXPECT_NEAR(p.log_q(p.max_level()), modulus_bits, 1.0 + 0.01 * modulus_bits);
    EXPECT_LE(p.log_qp(), largest_log_qp(log_n, SecurityLevel::k128));
    std::set<std::uint32_t> seen;
    for (const std::uint32_t prime : p.primes()) {
      EXPECT_TRUE(divides_nothing(prime)) << prime;
      EXPECT_EQ(prime % (2 * p.ring_degree()), 1) << prime;
      EXPECT_TRUE(seen.insert(prime).second) << prime;
      EXPECT_NE(t % prime, 0u);
    }
    // The lowest level holds t and the noise of a division, 11 sqrt((N + 1) / 12), with two bits to
    // spare; with one prime less it would not.
    const double floor = 11.0 * std::sqrt((std::ldexp(1.0, log_n) + 1.0) / 12.0);
    const double needed = std::log2(4.0 * static_cast<double>(t) * floor);
    EXPECT_GE(p.log_q(0) + 1e-9, needed);
    EXPECT_LT(p.log_q(0) - std::log2(p.ciphertext_prime(p.limbs(0) - 1)), needed);
    for (int level = 1; level <= p.max_level(); ++level)
      EXPECT_EQ(p.limbs(level), p.limbs(level - 1) + 1);
    EXPECT_THAT(p.to_string(), AllOf(HasSubstr("BFV parameters"),
                                     HasSubstr("messages       modulo t = " + std::to_string(t))));
  }
}

TEST(BfvParameters, SettingsOutOfRangeOrOfTheOtherSchemeAreNamed) {
  const auto builder = [] {
    return ParametersBuilder().log_n(13).plaintext_modulus(65537).modulus_bits(120);
  };
  const std::string mixed = "plaintext_modulus makes parameters of BFV";
  EXPECT_EQ(error_of([&] { builder().build(); }), "no error");
  EXPECT_THAT(error_of([&] { builder().scale_bits(40).build(); }), HasSubstr(mixed));
  EXPECT_THAT(error_of([&] { builder().depth(2).build(); }), HasSubstr(mixed));
  EXPECT_THAT(error_of([&] { builder().base_bits(50).build(); }), HasSubstr(mixed));
  EXPECT_EQ(error_of([&] { ParametersBuilder().log_n(13).modulus_bits(120).build(); }),
            "ParametersBuilder: modulus_bits is for BFV, which plaintext_modulus makes");
  EXPECT_EQ(error_of([&] { ParametersBuilder().log_n(13).plaintext_modulus(2).build(); }),
            "ParametersBuilder: modulus_bits is missing");
  EXPECT_EQ(error_of([&] { builder().plaintext_modulus(1).build(); }),
            "ParametersBuilder: plaintext_modulus = 1, expected 2 to 2^60");
  EXPECT_THAT(error_of([&] { builder().plaintext_modulus((std::uint64_t{1} << 60) + 1).build(); }),
              HasSubstr("expected 2 to 2^60"));
  EXPECT_EQ(error_of([&] { builder().modulus_bits(19).build(); }),
            "ParametersBuilder: modulus_bits = 19, expected 20 to 3523");
  EXPECT_THAT(error_of([&] { builder().modulus_bits(200).build(); }), HasSubstr("214"));
  EXPECT_THAT(error_of([&] {
                builder().modulus_bits(60).plaintext_modulus(std::uint64_t{1} << 50).build();
              }),
              HasSubstr("modulus_bits = 60 do not hold messages modulo plaintext_modulus"));
  EXPECT_THAT(error_of([&] { builder().log_n(17).modulus_bits(3400).dnum(40).build(); }),
              HasSubstr("take fewer modulus_bits"));
}

TEST(BfvParameters, EveryFactIsInTheId) {
  const auto builder = [] {
    return ParametersBuilder().log_n(13).plaintext_modulus(65537).modulus_bits(120);
  };
  std::set<ParametersId> ids;
  ids.insert(builder().build().id());
  ids.insert(builder().plaintext_modulus(65536).build().id());
  ids.insert(builder().modulus_bits(90).build().id());
  ids.insert(builder().dnum(4).build().id());
  ids.insert(builder().log_n(14).build().id());
  ids.insert(builder().insecure_without_security_check().build().id());
  ids.insert(builder().without_key_switching().build().id());
  ids.insert(builder().parties(2).build().id());
  EXPECT_EQ(ids.size(), 8U);
  EXPECT_EQ(builder().build().id(), builder().build().id());
}

TEST(BfvParameters, ThePartiesOfAKeyAreARangeAndLevelZeroHoldsTheirNoise) {
  const auto builder = [](int parties) {
    return ParametersBuilder()
        .log_n(13)
        .plaintext_modulus(std::uint64_t{1} << 15)
        .modulus_bits(120)
        .parties(parties);
  };
  EXPECT_THAT(error_of([&] { builder(0).build(); }), HasSubstr("parties = 0, expected 1 to 1024"));
  EXPECT_THAT(error_of([&] { builder(1025).build(); }),
              HasSubstr("parties = 1025, expected 1 to 1024"));
  EXPECT_EQ(builder(1).build().parties(), 1);
  EXPECT_EQ(builder(1024).build().parties(), 1024);
  // A division leaves noise of the size of the key: 2^15 and it fit one prime, or two.
  EXPECT_EQ(builder(1).build().base_prime_count(), 1);
  EXPECT_EQ(builder(1024).build().base_prime_count(), 2);
  EXPECT_EQ(builder(1).build().to_string().find("parties"), std::string::npos);
  EXPECT_THAT(builder(5).build().to_string(), HasSubstr("keys           of up to 5 parties"));
}

TEST(BfvParameters, ForDepthTakesTheSmallestRingWithSlots) {
  int previous = 0;
  for (const int depth : {0, 1, 2, 4, 8}) {
    const Parameters p = Parameters::bfv_for_depth(depth, 20);
    EXPECT_GE(p.log_n(), previous);
    EXPECT_LE(p.log_qp(), largest_log_qp(p.log_n(), SecurityLevel::k128));
    EXPECT_EQ(p.plaintext_modulus() % static_cast<std::uint64_t>(2 * p.ring_degree()), 1u);
    EXPECT_EQ(p.plaintext_modulus() >> 19, 1u);
    previous = p.log_n();
  }
  EXPECT_EQ(error_of([] { Parameters::bfv_for_depth(31, 20); }),
            "Parameters::bfv_for_depth: depth = 31, expected 0 to 30");
  EXPECT_EQ(error_of([] { Parameters::bfv_for_depth(1, 11); }),
            "Parameters::bfv_for_depth: plaintext_bits = 11, expected 12 to 60");
  EXPECT_THAT(error_of([] { Parameters::bfv_for_depth(10, 13); }),
              HasSubstr("finds no ring to log_n = 17"));
}

TEST(BfvParameters, BatchingModuliAreTheLargestPrimesWithSlots) {
  EXPECT_EQ(Parameters::batching_modulus(4, 7), 97u);
  EXPECT_EQ(Parameters::batching_modulus(15, 17), 65537u);
  EXPECT_EQ(Parameters::batching_modulus(12, 20), 1032193u);
  for (const int bits : {20, 30, 40}) {
    const std::uint64_t t = Parameters::batching_modulus(12, bits);
    EXPECT_EQ(t >> (bits - 1), 1u);
    for (std::uint64_t larger = t + 8192; larger >> bits == 0; larger += 8192) {
      bool prime = true;
      for (std::uint64_t d = 3; d * d <= larger && prime; d += 2) prime = larger % d != 0;
      EXPECT_FALSE(prime) << larger;
    }
  }
  EXPECT_THAT(error_of([] { Parameters::batching_modulus(15, 16); }),
              HasSubstr("there is no prime of so many bits that is 1 modulo 2N = 65536"));
  EXPECT_THAT(error_of([] { Parameters::batching_modulus(15, 61); }), HasSubstr("bits = 61"));
  EXPECT_THAT(error_of([] { Parameters::batching_modulus(18, 40); }), HasSubstr("log_n = 18"));
}

TEST(ParametersForDepth, TakesTheSmallestRingThatIsSecure) {
  int previous = 0;
  for (const int depth : {0, 2, 6, 12, 25}) {
    const Parameters p = Parameters::for_depth(depth, 25);
    EXPECT_EQ(p.max_level(), depth);
    EXPECT_GE(p.log_n(), previous);
    EXPECT_LE(p.log_qp(), largest_log_qp(p.log_n(), SecurityLevel::k128));
    EXPECT_GE(p.scale_bits(), 25 + p.log_n() + 3);
    previous = p.log_n();
    // In the ring below there is none.
    for (int scale_bits = 25 + p.log_n() + 2; p.log_n() > 10 && scale_bits <= 58; ++scale_bits) {
      EXPECT_NE(
          error_of([&] {
            ParametersBuilder().log_n(p.log_n() - 1).scale_bits(scale_bits).depth(depth).build();
          }),
          "no error");
    }
  }
  EXPECT_GE(Parameters::for_depth(6, 25, SecurityLevel::k256).log_n(), 15);
}

TEST(ParametersForDepth, WhatNoRingGivesIsAnError) {
  EXPECT_EQ(error_of([] { Parameters::for_depth(61, 20); }),
            "Parameters::for_depth: depth = 61, expected 0 to 60");
  EXPECT_EQ(error_of([] { Parameters::for_depth(3, 46); }),
            "Parameters::for_depth: precision_bits = 46, expected 10 to 45");
  EXPECT_THAT(error_of([] { Parameters::for_depth(60, 30, SecurityLevel::k256); }),
              HasSubstr("log_n = 17"));
}

}  // namespace
}  // namespace velum::he
