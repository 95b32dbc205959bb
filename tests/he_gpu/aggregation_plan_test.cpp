#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "aggregation_fixture.h"
#include "reference/big_integer.h"
#include "velum/he/aggregation/plan.h"

namespace velum::he::aggregation {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;

PlanRequest request_of(std::int64_t values, int bits, int owners, int threshold = 0) {
  PlanRequest request;
  request.values = values;
  request.bits = bits;
  request.owners = owners;
  request.threshold = threshold;
  return request;
}

/// What docs/noise.md says of a plan, with integers of any size where it counts.
void expect_proof(const AggregationPlan& plan) {
  const PlanRequest& request = plan.request();
  SCOPED_TRACE(plan.to_string());
  const double k = request.owners;
  const double shares = request.threshold == 0 ? k : request.threshold;
  const auto coefficients = static_cast<double>(plan.coefficients());
  // Tails of 2 e^(-r^2/2) for each coefficient, twice, are 2^-c together.
  const double variance = 3.19 * 3.19;
  const double r = plan.error_bound() / std::sqrt(k * variance);
  ASSERT_LE(std::log2(4.0 * coefficients) - r * r / 2.0 / std::log(2.0),
            -request.correctness_bits + 1e-6);
  ASSERT_GE(plan.smudging().sigma, std::ldexp(plan.error_bound(), request.statistical_bits));
  ASSERT_NEAR(plan.noise_bound(),
              r * std::sqrt(k * variance + shares * std::pow(plan.smudging().sigma, 2.0)),
              1e-9 * plan.noise_bound());
  // No sum of K digits reaches B.
  const BigInteger base = plan.base();
  ASSERT_LT(BigInteger(request.owners) * ((BigInteger(1) << request.bits) - 1), base);
  // 2 B^v (noise + v (B - 1)) <= Q (1 - 2^-16).
  BigInteger q = 1, message = 1;
  for (const std::uint32_t prime : plan.parameters().primes()) q *= prime;
  for (int i = 0; i < plan.digits(); ++i) message *= base;
  const BigInteger noise(std::ceil(plan.noise_bound()));
  ASSERT_LE(2 * message * (noise + plan.digits() * (base - 1)) * 65536, q * 65535);
  // And the ring is one that the table allows.
  ASSERT_TRUE(plan.parameters().security().has_value());
  ASSERT_LE(plan.parameters().log_qp(),
            largest_log_qp(plan.parameters().log_n(), *plan.parameters().security()));
  ASSERT_EQ(plan.parameters().special_prime_count(), 0);
}

TEST(AggregationPlan, ProvesWhatItPromises) {
  for (const int bits : {2, 5, 8, 16, 24}) {
    for (const int owners : {2, 10, 128, 1024}) {
      if ((std::int64_t{owners} << bits) > std::int64_t{1} << 31) continue;
      for (const int threshold : {0, 2, owners}) {
        for (const std::int64_t values : {1, 1000000}) {
          expect_proof(AggregationPlan::create(request_of(values, bits, owners, threshold)));
        }
      }
    }
  }
  for (const SecurityLevel security : {SecurityLevel::k192, SecurityLevel::k256}) {
    PlanRequest request = request_of(1000000, 16, 10, 5);
    request.security = security;
    expect_proof(AggregationPlan::create(request));
  }
  PlanRequest request = request_of(1000000, 16, 10, 5);
  request.statistical_bits = 80;
  request.correctness_bits = 128;
  expect_proof(AggregationPlan::create(request));
}

// 1.2 times the bytes of float32, header included; the bytes themselves.
TEST(AggregationPlan, AMillionValuesOfTenOwnersTakeNoMoreThanFourPointEightBytesEach) {
  for (const int threshold : {0, 2, 6, 10}) {
    const PlanRequest request = request_of(1000000, 16, 10, threshold);
    const AggregationPlan plan = AggregationPlan::create(request);
    ASSERT_GE(plan.request().statistical_bits, 40);
    EXPECT_LE(plan.bytes_per_value(), 4.8);
    EXPECT_LE(plan.bytes_per_value(), 3.3);
    const Stream stream = Stream::cpu(2);
    const auto context = AggregationContext::create(plan, stream);
    KeyGenerator generator(context->ring());
    const VectorEncryptor encryptor(
        context, std::make_shared<const SecretKey>(generator.secret_key(stream)), 1, Digest{},
        threshold::once_register_that_forgets_on_restart());
    const Values values(1000000, -32768);
    const auto bytes =
        to_bytes(encryptor.encrypt(0, Span<const std::int32_t>(values), stream), stream);
    EXPECT_LE(static_cast<double>(bytes.size()), 4.8 * 1000000);
    EXPECT_EQ(static_cast<std::int64_t>(bytes.size()), plan.vector_bytes());
  }
}

// At full size, once; everything else about sums is tested in a small ring.
TEST(AggregationPlan, TenMillionTermsOfRealParametersAreSummedExactly) {
  for (const int threshold : {0, 4}) {
    Group group(AggregationPlan::create(request_of(1000000, 16, 10, threshold)), Backend::kCpu,
                5 + static_cast<std::uint64_t>(threshold));
    std::vector<Values> values;
    for (int owner = 1; owner <= 10; ++owner) values.push_back(group.random_values());
    std::vector<int> parties = group.everybody();
    if (threshold != 0) parties = {2, 3, 7, 10};
    EXPECT_EQ(group.round_trip(0, group.everybody(), parties, values), summed(values));
  }
}

TEST(AggregationPlan, FewValuesTakeFewBytes) {
  const AggregationPlan plan = AggregationPlan::create(request_of(1000, 16, 10));
  EXPECT_LE(plan.bytes_per_value(), 4.8);
}

TEST(AggregationPlan, NumbersOutOfRangeAreRefused) {
  const auto made = [](const PlanRequest& request) {
    return refusal_of([&] { AggregationPlan::create(request); });
  };
  EXPECT_EQ(made(request_of(0, 16, 10)), "AggregationPlan: values = 0, expected 1 to 4294967296");
  EXPECT_EQ(made(request_of(1, 1, 10)), "AggregationPlan: bits = 1, expected 2 to 24");
  EXPECT_EQ(made(request_of(1, 25, 10)), "AggregationPlan: bits = 25, expected 2 to 24");
  EXPECT_EQ(made(request_of(1, 16, 1)), "AggregationPlan: owners = 1, expected 2 to 1024");
  EXPECT_EQ(made(request_of(1, 24, 129)),
            "AggregationPlan: owners = 129, expected at most 128 for 24-bit values: sums are "
            "32-bit integers");
  EXPECT_EQ(made(request_of(1, 16, 10, 1)), "AggregationPlan: threshold = 1, expected 2 to 10");
  EXPECT_EQ(made(request_of(1, 16, 10, 11)), "AggregationPlan: threshold = 11, expected 2 to 10");
  PlanRequest request = request_of(1, 16, 10);
  request.statistical_bits = 9;
  EXPECT_EQ(made(request), "AggregationPlan: statistical_bits = 9, expected 10 to 80");
  request = request_of(1, 16, 10);
  request.correctness_bits = 129;
  EXPECT_EQ(made(request), "AggregationPlan: correctness_bits = 129, expected 40 to 128");
  request = request_of(1, 16, 10);
  request.log_n = 15;
  EXPECT_EQ(made(request), "AggregationPlan: log_n = 15, expected 11 to 14");
  request.log_n = 11;
  EXPECT_THAT(made(request), HasSubstr("no ring has room for one value of 16 bits"));
}

// K is a part of the plan: one more owner is another plan, with another base.
TEST(AggregationPlan, OneOwnerMoreThanPlannedIsRefused) {
  Group group(small_insecure_plan(20, 8, 3, 0), Backend::kCpu, 1);
  EXPECT_EQ(group.plan().base(), 3u * 255 + 1);
  EXPECT_EQ(refusal_of(
                [&] { VectorEncryptor(group.context, group.secrets[0], 4, group.id, group.once); }),
            "VectorEncryptor: number 4, expected 1 to 3");
}

TEST(AggregationPlan, EveryNumberIsInTheId) {
  const PlanRequest request = request_of(1000, 8, 10, 5);
  const AggregationPlan plan = AggregationPlan::create(request);
  EXPECT_EQ(plan.id(), AggregationPlan::create(request).id());
  std::vector<PlanRequest> others(6, request);
  others[0].values = 1001;
  others[1].bits = 9;
  others[2].owners = 11;
  others[3].threshold = 6;
  others[4].statistical_bits = 41;
  others[5].correctness_bits = 61;
  for (const PlanRequest& other : others) EXPECT_NE(AggregationPlan::create(other).id(), plan.id());
}

TEST(AggregationPlan, PrintsItsProof) {
  const std::string text = AggregationPlan::create(request_of(1000000, 16, 10, 5)).to_string();
  EXPECT_THAT(text, HasSubstr("B = 655351 = 10 (2^16 - 1) + 1: no sum carries"));
  EXPECT_THAT(text, HasSubstr("any 5 of them"));
  EXPECT_THAT(text, HasSubstr("128-bit security"));
  EXPECT_THAT(small_insecure_plan(20, 8, 3, 0).to_string(), HasSubstr("INSECURE"));
}

}  // namespace
}  // namespace velum::he::aggregation
