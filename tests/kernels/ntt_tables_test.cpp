#include "velum/kernels/polynomial/ntt_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/ntt_fixture.h"
#include "polynomial/ntt_body.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

template <typename Function>
void expect_refused(const Function& function, const std::string& text) {
  EXPECT_THAT(function, ThrowsMessage<std::invalid_argument>(HasSubstr(text)));
}

// ---- Primes ----

TEST(IsPrime, AgreesWithTrialDivision) {
  for (std::uint64_t value = 0; value < 20000; ++value) {
    ASSERT_EQ(is_prime(value), reference::is_prime(value)) << value;
  }
  for (std::uint64_t value = (1u << 30) - 300; value < 1u << 30; ++value) {
    ASSERT_EQ(is_prime(value), reference::is_prime(value)) << value;
  }
}

/// Strong pseudoprimes to the first 4, 9 and 11 prime bases (OEIS A014233), Carmichael numbers, and
/// squares and products of primes.
TEST(IsPrime, IsNotFooled) {
  for (const std::uint64_t value : std::vector<std::uint64_t>{
           3215031751u, 3825123056546413051u, 561u, 1105u, 825265u, 341550071728321u}) {
    EXPECT_FALSE(is_prime(value)) << value;
  }
  EXPECT_FALSE(is_prime(std::uint64_t{4294967291u} * 4294967291u));
  EXPECT_FALSE(is_prime(std::uint64_t{4294967291u} * 4294967279u));
  EXPECT_FALSE(is_prime(~std::uint64_t{0}));
  EXPECT_TRUE(is_prime(18446744073709551557u));         // the largest below 2^64
  EXPECT_TRUE(is_prime((std::uint64_t{1} << 61) - 1));  // Mersenne
}

/// All of them, by trial division.
TEST(FindNttPrimes, AreTheLargestOfTheirBits) {
  for (const int bits : {3, 5, 12, 17}) {
    for (int log_n = 1; log_n < bits; ++log_n) {
      std::vector<std::uint32_t> expected;
      for (std::uint32_t value = (1u << bits) - 1; value >= 1u << (bits - 1); --value) {
        if (value % (2u << log_n) == 1 && reference::is_prime(value)) expected.push_back(value);
      }
      if (expected.size() > LimbIndices::kMaxLimbs) expected.resize(LimbIndices::kMaxLimbs);
      const int count = static_cast<int>(expected.size());
      EXPECT_EQ(find_ntt_primes<std::uint32_t>(bits, log_n, count), expected);
      if (count < LimbIndices::kMaxLimbs) {
        expect_refused([&] { find_ntt_primes<std::uint32_t>(bits, log_n, count + 1); },
                       "find_ntt_primes: count = " + std::to_string(count + 1) +
                           ", expected at most " + std::to_string(count) + ": of " +
                           std::to_string(bits) + " bits");
      }
    }
  }
  EXPECT_THAT(find_ntt_primes<std::uint32_t>(30, 16, 2), ElementsAre(1073479681u, 1071513601u));
  EXPECT_THAT(find_ntt_primes<std::uint64_t>(61, 17, 1), ElementsAre(2305843009211596801u));
}

TEST(FindNttPrimes, LeaveOutWhatIsExcluded) {
  const std::vector<std::uint32_t> all = find_ntt_primes<std::uint32_t>(28, 12, 6);
  EXPECT_THAT(find_ntt_primes(28, 12, 4, std::vector<std::uint32_t>{all[0], all[3], 5}),
              ElementsAre(all[1], all[2], all[4], all[5]));
  EXPECT_THAT(find_ntt_primes<std::uint32_t>(28, 12, 0), IsEmpty());
}

TEST(FindNttPrimes, NumbersOutOfRangeAreNamed) {
  expect_refused([] { find_ntt_primes<std::uint32_t>(31, 12, 1); },
                 "find_ntt_primes: bits = 31, expected 3 to 30");
  expect_refused([] { find_ntt_primes<std::uint64_t>(62, 12, 1); },
                 "find_ntt_primes: bits = 62, expected 3 to 61");
  expect_refused([] { find_ntt_primes<std::uint32_t>(2, 12, 1); },
                 "find_ntt_primes: bits = 2, expected 3 to 30");
  expect_refused([] { find_ntt_primes<std::uint32_t>(30, 0, 1); },
                 "find_ntt_primes: log_n = 0, expected 1 to 17");
  expect_refused([] { find_ntt_primes<std::uint32_t>(30, 18, 1); },
                 "find_ntt_primes: log_n = 18, expected 1 to 17");
  expect_refused([] { find_ntt_primes<std::uint32_t>(30, 12, -1); },
                 "find_ntt_primes: count = -1, expected 0 to 192");
  expect_refused([] { find_ntt_primes<std::uint32_t>(30, 12, 193); },
                 "find_ntt_primes: count = 193, expected 0 to 192");
}

// ---- Tables ----

class NttTablesOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

TEST_P(NttTablesOnEveryBackend, TheRootIsTheSmallestPrimitiveOne) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (int log_n = 1; log_n <= 12; ++log_n) {
      const auto q = static_cast<Word>(smallest_ntt_prime(log_n));
      EXPECT_EQ(NttTables<Word>(log_n, {q}, stream_).root(0),
                reference::smallest_root(std::uint64_t{1} << log_n, q));
    }
    // Of large primes: a root, and no smaller odd power of it.
    for (const int log_n : {1, 5, 10}) {
      const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
      for (int i = 0; i < tables.moduli().size(); ++i) {
        const std::uint64_t q = tables.moduli()[i].value;
        const std::uint64_t root = tables.root(i);
        EXPECT_EQ(reference::power(root, std::uint64_t{1} << log_n, q), q - 1);
        for (std::uint64_t e = 3; e < std::uint64_t{2} << log_n; e += 2) {
          EXPECT_GT(reference::power(root, e, q), root);
        }
      }
    }
  });
}

TEST_P(NttTablesOnEveryBackend, HoldEveryPowerOnceInItsPlace) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (const int log_n : {1, 2, 7, 8, 9, 12}) {
      SCOPED_TRACE("log_n = " + std::to_string(log_n));
      const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
      EXPECT_EQ(tables.log_n(), log_n);
      EXPECT_EQ(tables.degree(), std::int64_t{1} << log_n);
      EXPECT_EQ(tables.backend(), GetParam());
      const NttTablesView<Word> view = tables.view();
      const std::int64_t words = std::int64_t{2} << log_n;
      const std::int64_t all = tables.moduli().size() * words;
      const std::vector<Word> forward = to_host(Span<const Word>(view.forward, all), stream_);
      const std::vector<Word> inverse = to_host(Span<const Word>(view.inverse, all), stream_);
      const auto constants =
          to_host(Span<const NttConstants<Word>>(view.constants, tables.moduli().size()), stream_);
      for (int i = 0; i < tables.moduli().size(); ++i) {
        const std::uint64_t q = tables.moduli()[i].value;
        const std::uint64_t root = tables.root(i);
        const auto n = static_cast<std::uint64_t>(tables.degree());
        std::set<std::int64_t> places;
        for (int depth = 0; depth < log_n; ++depth) {
          for (std::int64_t k = std::int64_t{1} << depth; k < std::int64_t{2} << depth; ++k) {
            const NttLayout::Place place = NttLayout::place(log_n, depth, k);
            for (const std::int64_t at : {place.value, place.quotient}) {
              ASSERT_TRUE(at >= 2 && at < words) << "factor " << k;
              ASSERT_TRUE(places.insert(at).second) << "factor " << k;
            }
            const std::uint64_t power = reference::power(
                root, reference::reversed(static_cast<std::uint64_t>(k), log_n), q);
            const auto at = static_cast<std::size_t>(i * words);
            const auto value = static_cast<std::size_t>(place.value);
            const auto quotient = static_cast<std::size_t>(place.quotient);
            ASSERT_EQ(forward[at + value], power);
            ASSERT_EQ(reference::multiply(inverse[at + value], power, q), 1u);
            for (const auto* table : {&forward, &inverse}) {
              const std::uint64_t factor = (*table)[at + value];
              ASSERT_EQ(
                  (*table)[at + quotient],
                  static_cast<Word>((reference::UInt128{factor} << WordTraits<Word>::kBits) / q));
            }
          }
        }
        const NttConstants<Word>& c = constants[static_cast<std::size_t>(i)];
        EXPECT_EQ(c.modulus.value, q);
        EXPECT_EQ(reference::multiply(c.inverse_degree.value, n % q, q), 1u);
        EXPECT_EQ(
            reference::multiply(c.inverse_degree_root.value,
                                reference::multiply(n % q, reference::power(root, n / 2, q), q), q),
            1u);
      }
    }
  });
}

TEST_P(NttTablesOnEveryBackend, NumbersOutOfRangeAreNamed) {
  const auto make = [this](int log_n, const std::vector<std::uint32_t>& primes) {
    return [=, this] { NttTables<std::uint32_t>(log_n, primes, stream_); };
  };
  expect_refused(make(0, {5}), "NttTables: log_n = 0, expected 1 to 17");
  expect_refused(make(18, {5}), "NttTables: log_n = 18, expected 1 to 17");
  expect_refused(make(2, {13}), "NttTables: the modulus 13, expected a prime that is 1 modulo 8");
  expect_refused(make(2, {17, 33}),
                 "NttTables: the modulus 33, expected a prime that is 1 modulo 8");
  expect_refused(make(2, {0}), "NttTables: the modulus 0, expected a prime");
  expect_refused(make(2, {17, 17}), "the modulus 17 is there twice");
  expect_refused(make(2, {}), "values.size() = 0, expected 1 to 192");
  expect_refused(make(2, {1073741833}), "make_modulus: value = 1073741833");  // prime, above 2^30
  EXPECT_THROW(NttTables<std::uint32_t>(2, {17}, stream_).root(1), std::out_of_range);
}

INSTANTIATE_TEST_SUITE_P(Backends, NttTablesOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
