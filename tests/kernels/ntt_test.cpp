#include "velum/kernels/polynomial/ntt.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/ntt_fixture.h"
#include "reference/ntt_digests.h"
#include "support/sha256.h"
#include "support/simd_targets.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

template <typename Word>
std::uint64_t prime_of(const NttTables<Word>& tables, int index) {
  return tables.moduli()[index].value;
}

/// One limb, transformed.
template <typename Word>
Residues forward_of(const Residues& a, int prime, const NttTables<Word>& tables,
                    const Stream& stream) {
  const Polynomials<Word> polys({a}, 1, stream);
  ntt_forward_inplace(polys.view(), LimbIndices::range(prime, 1), tables, stream);
  return polys.limbs().front();
}
template <typename Word>
Residues inverse_of(const Residues& a, int prime, const NttTables<Word>& tables,
                    const Stream& stream) {
  const Polynomials<Word> polys({a}, 1, stream);
  ntt_inverse_inplace(polys.view(), LimbIndices::range(prime, 1), tables, stream);
  return polys.limbs().front();
}

/// A limb of random residues for every prime of the tables, `polys` times over.
template <typename Word>
std::vector<Residues> random_limbs(const NttTables<Word>& tables, const LimbIndices& limbs,
                                   int polys, std::mt19937_64& random) {
  std::vector<Residues> values;
  for (int poly = 0; poly < polys; ++poly) {
    for (int limb = 0; limb < limbs.count; ++limb) {
      values.push_back(random_residues(tables.degree(), prime_of(tables, limbs[limb]), random));
    }
  }
  return values;
}

template <typename Word>
std::vector<ShoupFactor<Word>> factors_of(const NttTables<Word>& tables, const LimbIndices& limbs,
                                          std::mt19937_64& random) {
  std::vector<ShoupFactor<Word>> factors;
  for (int limb = 0; limb < limbs.count; ++limb) {
    const Word q = tables.moduli()[limbs[limb]].value;
    // The ends of the range, then anything in it.
    const std::uint64_t value = limb == 0 ? q - 1 : limb == 1 ? 0 : random() % q;
    factors.push_back(shoup_factor(static_cast<Word>(value), q));
  }
  return factors;
}

class NttOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  bool on_cpu() const { return GetParam() == Backend::kCpu; }
  Stream stream_ = make_stream(GetParam());
};

TEST_P(NttOnEveryBackend, ValuesAreThePolynomialAtOddPowersOfTheRootOfEverySmallDegree) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (int log_n = 1; log_n <= 6; ++log_n) {
      SCOPED_TRACE("log_n = " + std::to_string(log_n));
      const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
      const LimbIndices limbs = LimbIndices::range(0, tables.moduli().size());
      std::mt19937_64 random(1);
      const std::vector<Residues> a = random_limbs(tables, limbs, 3, random);
      std::vector<Residues> expected;
      for (std::size_t i = 0; i < a.size(); ++i) {
        const int prime = static_cast<int>(i) % limbs.count;
        expected.push_back(
            reference::ntt(a[i], log_n, tables.root(prime), prime_of(tables, prime)));
      }
      for_each_simd_target(GetParam(), [&] {
        const Polynomials<Word> polys(a, 3, stream_);
        ntt_forward_inplace(polys.view(), limbs, tables, stream_);
        EXPECT_EQ(polys.limbs(), expected);
        ntt_inverse_inplace(polys.view(), limbs, tables, stream_);
        EXPECT_EQ(polys.limbs(), a);
      });
    }
  });
}

/// Every log_n: 16 of the values and all of the coefficients that come back.
TEST_P(NttOnEveryBackend, ValuesAreThePolynomialAtOddPowersOfTheRootOfEveryDegree) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (int log_n = 7; log_n <= NttTables<Word>::kMaxLogN; ++log_n) {
      SCOPED_TRACE("log_n = " + std::to_string(log_n));
      std::vector<Word> primes = test_primes<Word>(log_n);
      if (!on_cpu()) primes = {primes[0], primes[2]};
      const NttTables<Word> tables(log_n, primes, stream_);
      std::mt19937_64 random(2);
      for (int prime = 0; prime < tables.moduli().size(); ++prime) {
        const std::uint64_t q = prime_of(tables, prime);
        const Residues a = random_residues(tables.degree(), q, random);
        std::vector<std::uint64_t> places{0, 1, a.size() / 2 - 1, a.size() / 2, a.size() - 1};
        while (places.size() < 16) places.push_back(random() % a.size());
        std::vector<std::uint64_t> expected;
        for (const std::uint64_t j : places) {
          expected.push_back(reference::ntt_value(a, j, log_n, tables.root(prime), q));
        }
        for_each_simd_target(GetParam(), [&] {
          const Residues values = forward_of(a, prime, tables, stream_);
          for (std::size_t i = 0; i < places.size(); ++i) {
            ASSERT_EQ(values[places[i]], expected[i]) << "value " << places[i] << " modulo " << q;
          }
          ASSERT_LT(*std::max_element(values.begin(), values.end()), q);
          ASSERT_EQ(inverse_of(values, prime, tables, stream_), a) << "modulo " << q;
        });
      }
    }
  });
}

/// All values, not some: the product of two polynomials is the inverse transform of the product of
/// their values. Of large degree, one of the two has few terms, and the product is schoolbook's.
TEST_P(NttOnEveryBackend, AProductOfValuesIsTheNegacyclicProduct) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (int log_n = 1; log_n <= NttTables<Word>::kMaxLogN; ++log_n) {
      if (!on_cpu() && log_n > 6 && log_n % 3 != 0) continue;  // the emulation is slow
      SCOPED_TRACE("log_n = " + std::to_string(log_n));
      const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
      std::mt19937_64 random(3);
      for (int prime = 0; prime < (log_n <= 10 ? tables.moduli().size() : 1); ++prime) {
        const std::uint64_t q = prime_of(tables, prime);
        const Residues a = random_residues(tables.degree(), q, random);
        Residues b = random_residues(tables.degree(), q, random);
        if (log_n > 6) {
          Residues sparse(b.size());
          for (const std::uint64_t at : {std::uint64_t{1}, b.size() - 1, random() % b.size()}) {
            sparse[at] = b[at];
          }
          b = sparse;
        }
        const Residues values_of_a = forward_of(a, prime, tables, stream_);
        const Residues values_of_b = forward_of(b, prime, tables, stream_);
        Residues product(a.size());
        for (std::size_t i = 0; i < product.size(); ++i) {
          product[i] = reference::multiply(values_of_a[i], values_of_b[i], q);
        }
        ASSERT_EQ(inverse_of(product, prime, tables, stream_),
                  reference::negacyclic_product(a, b, q))
            << "modulo " << q;
      }
    }
  });
}

TEST_P(NttOnEveryBackend, ZeroAndTheLargestResiduesStayInRange) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (const int log_n : {1, 4, 8, 10, 13}) {
      const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
      const std::uint64_t q = prime_of(tables, 0);
      const auto n = static_cast<std::size_t>(tables.degree());
      for_each_simd_target(GetParam(), [&] {
        EXPECT_EQ(forward_of(Residues(n, 0), 0, tables, stream_), Residues(n, 0));
        EXPECT_EQ(inverse_of(Residues(n, 0), 0, tables, stream_), Residues(n, 0));
        const Residues largest(n, q - 1);
        EXPECT_EQ(inverse_of(forward_of(largest, 0, tables, stream_), 0, tables, stream_), largest);
        // -1 at every root is the polynomial -1.
        Residues minus_one(n, 0);
        minus_one[0] = q - 1;
        EXPECT_EQ(inverse_of(largest, 0, tables, stream_), minus_one);
        EXPECT_EQ(forward_of(minus_one, 0, tables, stream_), largest);
      });
    }
  });
}

TEST_P(NttOnEveryBackend, IsLinear) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (const int log_n : {2, 9, 11}) {
      const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
      const std::uint64_t q = prime_of(tables, 1);
      std::mt19937_64 random(4);
      const Residues a = random_residues(tables.degree(), q, random);
      const Residues b = random_residues(tables.degree(), q, random);
      const std::uint64_t c = random() % q;
      Residues combined(a.size());
      for (std::size_t i = 0; i < a.size(); ++i) {
        combined[i] = reference::add(a[i], reference::multiply(c, b[i], q), q);
      }
      const Residues values_of_a = forward_of(a, 1, tables, stream_);
      const Residues values_of_b = forward_of(b, 1, tables, stream_);
      Residues expected(a.size());
      for (std::size_t i = 0; i < a.size(); ++i) {
        expected[i] = reference::add(values_of_a[i], reference::multiply(c, values_of_b[i], q), q);
      }
      EXPECT_EQ(forward_of(combined, 1, tables, stream_), expected);
    }
  });
}

TEST_P(NttOnEveryBackend, LimbsMayBeAnySubsetInAnyOrderAndPolynomialsApart) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (const int log_n : {3, 8, 10}) {
      SCOPED_TRACE("log_n = " + std::to_string(log_n));
      const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
      LimbIndices limbs;
      for (const int index : {3, 0, 3, 1, 2}) limbs.append(index);
      std::mt19937_64 random(5);
      const std::vector<Residues> a = random_limbs(tables, limbs, 4, random);
      std::vector<Residues> expected;
      for (std::size_t i = 0; i < a.size(); ++i) {
        expected.push_back(forward_of(a[i], limbs[static_cast<int>(i) % 5], tables, stream_));
      }
      for (const std::int64_t gap : {0, 1, 100}) {
        for_each_simd_target(GetParam(), [&] {
          const Polynomials<Word> polys(a, 4, stream_, gap);
          ntt_forward_inplace(polys.view(), limbs, tables, stream_);
          EXPECT_EQ(polys.limbs(), expected);
          ntt_inverse_inplace(polys.view(), limbs, tables, stream_);
          EXPECT_EQ(polys.limbs(), a);
          // A part of a view: the rest stays as it is.
          LimbIndices middle;
          middle.append(limbs[1]);
          middle.append(limbs[2]);
          ntt_forward_inplace(polys.view().poly_range(1, 2).limb_range(1, 2), middle, tables,
                              stream_);
          std::vector<Residues> partly = a;
          for (const std::size_t i : {6, 7, 11, 12}) partly[i] = expected[i];
          EXPECT_EQ(polys.limbs(), partly);
        });
      }
    }
  });
}

/// CUDA takes another form where there are limbs enough for every multiprocessor.
TEST_P(NttOnEveryBackend, ManyLimbsGiveWhatEachGivesAlone) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (const int log_n :
         sizeof(Word) == 4 ? std::vector<int>{10, 13, 14, 15} : std::vector<int>{14}) {
      SCOPED_TRACE("log_n = " + std::to_string(log_n));
      const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
      const LimbIndices limbs = LimbIndices::range(0, 4);
      constexpr int kPolys = 34;  // 136 limbs
      std::mt19937_64 random(10);
      // Two polynomials, again and again in another order.
      const std::vector<Residues> some = random_limbs(tables, limbs, 2, random);
      std::vector<Residues> values;
      for (std::size_t i = 0; i < some.size(); ++i) {
        values.push_back(forward_of(some[i], static_cast<int>(i) % 4, tables, stream_));
      }
      const auto repeated = [](const std::vector<Residues>& two) {
        std::vector<Residues> all;
        for (int poly = 0; poly < kPolys; ++poly) {
          const auto first = two.begin() + (poly % 3 == 0 ? 4 : 0);
          all.insert(all.end(), first, first + 4);
        }
        return all;
      };
      const Polynomials<Word> polys(repeated(some), kPolys, stream_);
      ntt_forward_inplace(polys.view(), limbs, tables, stream_);
      EXPECT_EQ(polys.limbs(), repeated(values));
      ntt_inverse_inplace(polys.view(), limbs, tables, stream_);
      EXPECT_EQ(polys.limbs(), repeated(some));
    }
  });
}

/// CUDA takes two polynomials of 32-bit words at a time where there are blocks enough, but for odd
/// numbers of them; each path of degrees, and rows that are aligned to vectors or not.
TEST_P(NttOnEveryBackend, TwoPolynomialsGiveWhatEachGivesAlone) {
  using Word = std::uint32_t;
  for (const int log_n : {13, 14, 15, 16, 17}) {
    SCOPED_TRACE("log_n = " + std::to_string(log_n));
    const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
    LimbIndices limbs;
    const int count = on_cpu() ? 4 : log_n == 13 ? 17 : 9;  // 132 blocks of a node and more
    for (int i = 0; i < count; ++i) limbs.append(i % 4);
    std::mt19937_64 random(11);
    for (const int polys : log_n == 16 ? std::vector<int>{2, 3} : std::vector<int>{2}) {
      std::vector<Residues> values, coefficients;
      {  // Four limbs of each, again and again.
        const LimbIndices four = LimbIndices::range(0, 4);
        const std::vector<Residues> some = random_limbs(tables, four, polys, random);
        std::vector<Residues> some_values;
        for (std::size_t i = 0; i < some.size(); ++i) {
          some_values.push_back(forward_of(some[i], static_cast<int>(i) % 4, tables, stream_));
        }
        for (int poly = 0; poly < polys; ++poly) {
          for (int i = 0; i < count; ++i) {
            const auto place = static_cast<std::size_t>(4 * poly + i % 4);
            coefficients.push_back(some[place]);
            values.push_back(some_values[place]);
          }
        }
      }
      for (const std::int64_t gap :
           log_n == 14 ? std::vector<std::int64_t>{0, 1, 2} : std::vector<std::int64_t>{0}) {
        const Polynomials<Word> both(coefficients, polys, stream_, gap);
        ntt_forward_inplace(both.view(), limbs, tables, stream_);
        EXPECT_EQ(both.limbs(), values);
        ntt_inverse_inplace(both.view(), limbs, tables, stream_);
        EXPECT_EQ(both.limbs(), coefficients);
      }
    }
  }
}

TEST_P(NttOnEveryBackend, NothingIsDoneToNothing) {
  const NttTables<std::uint32_t> tables(4, test_primes<std::uint32_t>(4), stream_);
  const RnsView<std::uint32_t> no_polys(nullptr, 0, 2, 16);
  const RnsView<std::uint32_t> no_limbs(nullptr, 3, 0, 16);
  ntt_forward_inplace(no_polys, LimbIndices::range(0, 2), tables, stream_);
  ntt_inverse_inplace(no_polys, LimbIndices::range(0, 2), tables, stream_);
  ntt_forward_inplace(no_limbs, LimbIndices(), tables, stream_);
  ntt_inverse_inplace(no_limbs, LimbIndices(), tables, stream_);
  synchronize(stream_);
}

// ---- Fused forms ----

/// The degrees of the fused forms: each path of each backend.
std::vector<int> fused_degrees(Backend backend) {
  if (backend == Backend::kCpu) return {1, 3, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
  return {1, 3, 8, 10, 12, 14, 15, 16};
}

TEST_P(NttOnEveryBackend, InverseMultiplyIsTheInverseTimesTheFactor) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (const int log_n : fused_degrees(GetParam())) {
      SCOPED_TRACE("log_n = " + std::to_string(log_n));
      const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
      const LimbIndices limbs = LimbIndices::range(0, on_cpu() ? 4 : 3);
      std::mt19937_64 random(6);
      const std::vector<Residues> a = random_limbs(tables, limbs, 1, random);
      const std::vector<ShoupFactor<Word>> factors = factors_of(tables, limbs, random);
      std::vector<Residues> expected;
      for (int limb = 0; limb < limbs.count; ++limb) {
        expected.push_back(inverse_of(a[static_cast<std::size_t>(limb)], limb, tables, stream_));
        for (std::uint64_t& value : expected.back()) {
          value = reference::multiply(value, factors[static_cast<std::size_t>(limb)].value,
                                      prime_of(tables, limb));
        }
      }
      const GuardedBuffer<ShoupFactor<Word>> resident(factors, stream_);
      for_each_simd_target(GetParam(), [&] {
        const Polynomials<Word> polys(a, 1, stream_);
        ntt_inverse_multiply_inplace(polys.view(), limbs, resident.span(), tables, stream_);
        EXPECT_EQ(polys.limbs(), expected);
      });
    }
  });
}

TEST_P(NttOnEveryBackend, SubtractMultiplyIsTheDifferenceToTheValuesTimesTheFactor) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (const int log_n : fused_degrees(GetParam())) {
      SCOPED_TRACE("log_n = " + std::to_string(log_n));
      const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
      const LimbIndices limbs = LimbIndices::range(0, on_cpu() ? 4 : 3);
      const int polys = on_cpu() || log_n < 14 ? 2 : 1;
      std::mt19937_64 random(7);
      const std::vector<Residues> a = random_limbs(tables, limbs, polys, random);
      std::vector<Residues> minuend = random_limbs(tables, limbs, polys, random);
      const std::vector<ShoupFactor<Word>> factors = factors_of(tables, limbs, random);
      std::vector<Residues> expected;
      for (std::size_t i = 0; i < a.size(); ++i) {
        const int limb = static_cast<int>(i) % limbs.count;
        const std::uint64_t q = prime_of(tables, limb);
        Residues values = forward_of(a[i], limb, tables, stream_);
        minuend[i][0] = 0;
        minuend[i].back() = q - 1;
        minuend[i][1] = values[1];  // whose difference is zero
        for (std::size_t j = 0; j < values.size(); ++j) {
          values[j] =
              reference::multiply(reference::add(minuend[i][j], reference::negate(values[j], q), q),
                                  factors[static_cast<std::size_t>(limb)].value, q);
        }
        expected.push_back(values);
      }
      const GuardedBuffer<ShoupFactor<Word>> resident(factors, stream_);
      for_each_simd_target(GetParam(), [&] {
        // Rows at multiples of 16 bytes, and others.
        for (const std::int64_t gap : {0, 7}) {
          const Polynomials<Word> result(a, polys, stream_, gap == 0 ? 0 : 3);
          const Polynomials<Word> from(minuend, polys, stream_, gap);
          ntt_forward_subtract_multiply(result.view(), from.view(), limbs, resident.span(), tables,
                                        stream_);
          EXPECT_EQ(result.limbs(), expected);
          EXPECT_EQ(from.limbs(), minuend);
        }
      });
    }
  });
}

TEST_P(NttOnEveryBackend, InnerProductAddsTheValuesTimesBothKeys) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (const int log_n : fused_degrees(GetParam())) {
      SCOPED_TRACE("log_n = " + std::to_string(log_n));
      const NttTables<Word> tables(log_n, test_primes<Word>(log_n), stream_);
      const LimbIndices limbs = LimbIndices::range(0, on_cpu() ? 4 : 2);
      std::mt19937_64 random(8);
      const std::vector<Residues> digit = random_limbs(tables, limbs, 1, random);
      const std::vector<Residues> key = random_limbs(tables, limbs, 2, random);
      const std::vector<Residues> before = random_limbs(tables, limbs, 2, random);
      std::vector<Residues> products;
      std::vector<Residues> sums;
      for (std::size_t i = 0; i < key.size(); ++i) {
        const int limb = static_cast<int>(i) % limbs.count;
        const std::uint64_t q = prime_of(tables, limb);
        Residues product = forward_of(digit[static_cast<std::size_t>(limb)], limb, tables, stream_);
        Residues sum = before[i];
        for (std::size_t j = 0; j < product.size(); ++j) {
          product[j] = reference::multiply(product[j], key[i][j], q);
          sum[j] = reference::add(sum[j], product[j], q);
        }
        products.push_back(product);
        sums.push_back(sum);
      }
      for_each_simd_target(GetParam(), [&] {
        const Polynomials<Word> keys(key, 2, stream_, 5);
        {
          const Polynomials<Word> digits(digit, 1, stream_);
          // Not written before: `first` must not read it.
          const Polynomials<Word> accumulator(2, limbs.count, tables.degree(), stream_);
          ntt_forward_inner_product(digits.view(), keys.view(), accumulator.view(), true, limbs,
                                    tables, stream_);
          EXPECT_EQ(accumulator.limbs(), products);
          digits.limbs();  // its margins
        }
        // Rows at multiples of 16 bytes, and others.
        for (const std::int64_t gap : {4, 9}) {
          const Polynomials<Word> near_keys(key, 2, stream_, gap - 4);
          const Polynomials<Word> digits(digit, 1, stream_);
          const Polynomials<Word> accumulator(before, 2, stream_, gap);
          ntt_forward_inner_product(digits.view(), near_keys.view(), accumulator.view(), false,
                                    limbs, tables, stream_);
          EXPECT_EQ(accumulator.limbs(), sums);
        }
        EXPECT_EQ(keys.limbs(), key);
      });
    }
  });
}

// ---- Known answers ----

/// Vectors that Lattigo publishes (ring/ntt_test.go of tuneinsight/lattigo at 0a6503054532f2f7):
/// coefficients and values modulo two primes. Its root is another one than ours: some odd power of
/// it. The values of a polynomial at psi^e stand in ours at another place.
struct LattigoVector {
  int log_n;
  std::uint64_t prime;
  Residues coefficients;
  Residues values;
};
const LattigoVector kLattigoVectors[] = {
    {3,
     576460752303439873u,
     {218919769016417135, 285383958099531571, 154130792340322329, 208160061956504958,
      240497969120867784, 56870045954269445, 426823474235379995, 504896482300062811},
     {532040159151935360, 6777376300449212, 105015934674156327, 435476759662080597,
      230332092648414310, 312854922061405173, 527557817676300694, 177763842260035280}},
    {3,
     576460752303702017u,
     {275112135024930041, 250984234238255359, 362910580529173626, 199635459264466796,
      384027850586118086, 24808063873304527, 338428138896886890, 278051156238693569},
     {133270078917385086, 320664165956944128, 162488447052015562, 564362462797872461,
      574419935916152080, 214479305361450751, 457815076814980937, 349858359686341340}},
    {4,
     576460752303439873u,
     {29335002291498019, 74733314878908829, 345757914625392883, 424592696763883150,
      305098757618029540, 315880659253740539, 566291353020324899, 381879490285643315,
      34642655966258078, 436368737741273744, 422320479487058982, 251503834452711492,
      379754966293786644, 266993967580766257, 265441209649369663, 479048496297441983},
     {478709994917861263, 384523361984839039, 85280178929118517, 97236771105538581,
      405398446277957930, 212032954159995430, 422470404160315474, 554803939008707088,
      548834797847219388, 77555291080479046, 395019082584063204, 199181437220481637,
      117237287301343342, 288680759037675256, 399758453229973389, 414322896245918704}},
    {4,
     576460752303702017u,
     {229005636957624603, 39991394218169426, 168047666046761487, 148360907414915405,
      73259769245767872, 16981974422312794, 496977853225992141, 166066041724987771,
      264052080009592093, 298274702686123828, 35777507392976624, 357559017452722394,
      314515717429384298, 162821044855043426, 109977030677147798, 81303063671114932},
     {48052203194603178, 560437377430510021, 51924270083317129, 254030332439706305,
      520426933791709415, 443676955646482348, 405741025864202685, 70579349438930370,
      187051495725458514, 84142641467084820, 194371127241444851, 191269223870154261,
      109044160236534164, 304031719544775780, 243823945337031160, 571948182313750664}}};

TEST_P(NttOnEveryBackend, GivesLattigosVectorsAtItsRoot) {
  for (const LattigoVector& vector : kLattigoVectors) {
    const NttTables<std::uint64_t> tables(vector.log_n, {vector.prime}, stream_);
    const Residues ours = forward_of(vector.coefficients, 0, tables, stream_);
    // Its psi is ours to some odd power e: its value j is at our exponent e (2 r(j) + 1).
    const std::uint64_t n = ours.size();
    int matches = 0;
    for (std::uint64_t e = 1; e < 2 * n; e += 2) {
      Residues theirs(n);
      for (std::uint64_t j = 0; j < n; ++j) {
        const std::uint64_t exponent = e * (2 * reference::reversed(j, vector.log_n) + 1) % (2 * n);
        theirs[j] = ours[reference::reversed((exponent - 1) / 2, vector.log_n)];
      }
      matches += theirs == vector.values ? 1 : 0;
    }
    EXPECT_EQ(matches, 1) << "log_n = " << vector.log_n << ", modulo " << vector.prime;
    EXPECT_EQ(inverse_of(ours, 0, tables, stream_), vector.coefficients);
  }
}

/// Coefficients without a generator: i^3 + 7 i + 1 and so on, modulo q.
Residues cubic_residues(std::int64_t n, std::uint64_t q) {
  Residues values;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(n); ++i) {
    const std::uint64_t square = reference::multiply(i % q, i % q, q);
    values.push_back(reference::add(reference::multiply(square, i % q, q), (7 * i + 1) % q, q));
  }
  return values;
}

/// Digests that a Python program computed (reference/ntt_digests.py): no change of any backend
/// changes a bit unseen.
TEST_P(NttOnEveryBackend, EveryBackendAndTargetGivesTheSameDigests) {
  for_each_word([&](auto word) {
    using Word = decltype(word);
    for (const NttDigest& digest : kNttDigests) {
      if (digest.bits != WordTraits<Word>::kModulusBits) continue;
      SCOPED_TRACE("log_n = " + std::to_string(digest.log_n));
      const NttTables<Word> tables(digest.log_n,
                                   find_ntt_primes<Word>(digest.bits, digest.log_n, 1), stream_);
      const Residues a = cubic_residues(tables.degree(), prime_of(tables, 0));
      for_each_simd_target(GetParam(), [&] {
        const auto digest_of = [](const Residues& values) {
          return sha256(std::vector<Word>(values.begin(), values.end()));
        };
        EXPECT_EQ(digest_of(forward_of(a, 0, tables, stream_)), digest.forward);
        EXPECT_EQ(digest_of(inverse_of(a, 0, tables, stream_)), digest.inverse);
      });
    }
  });
}

TEST(NttOnTheCpu, ThreadsDoNotChangeABit) {
  const Stream one = Stream::serial();
  const Stream four = Stream::cpu(4);
  const NttTables<std::uint32_t> tables(11, find_ntt_primes<std::uint32_t>(30, 11, 7), one);
  const LimbIndices limbs = LimbIndices::range(0, 7);
  std::mt19937_64 random(9);
  const std::vector<Residues> a = random_limbs(tables, limbs, 3, random);
  const Polynomials<std::uint32_t> by_one(a, 3, one);
  const Polynomials<std::uint32_t> by_four(a, 3, one);
  ntt_forward_inplace(by_one.view(), limbs, tables, one);
  ntt_forward_inplace(by_four.view(), limbs, tables, four);
  EXPECT_EQ(by_one.limbs(), by_four.limbs());
  ntt_inverse_inplace(by_four.view(), limbs, tables, four);
  EXPECT_EQ(by_four.limbs(), a);
}

// ---- Errors ----

template <typename Function>
void expect_refused(const Function& function, const std::string& text) {
  EXPECT_THAT(function, ThrowsMessage<std::invalid_argument>(HasSubstr(text)));
}

TEST_P(NttOnEveryBackend, ShapesThatDoNotFitAreNamed) {
  using Word = std::uint32_t;
  const NttTables<Word> tables(4, test_primes<Word>(4), stream_);
  const LimbIndices two = LimbIndices::range(0, 2);
  const Buffer<Word> memory(1024, stream_);
  const Buffer<ShoupFactor<Word>> factors(3, stream_);
  const auto view = [&](std::int64_t polys, std::int64_t limbs, std::int64_t degree,
                        std::int64_t stride) {
    return RnsView<Word>(memory.data(), polys, limbs, degree, stride);
  };
  const RnsView<Word> good = view(2, 2, 16, 32);
  // The first words of `memory` are the polynomials'; other operands stand further on.
  const auto other = [&](std::int64_t offset, std::int64_t polys, std::int64_t degree,
                         std::int64_t stride) {
    return RnsView<Word>(memory.data() + offset, polys, 2, degree, stride);
  };
  const Span<const ShoupFactor<Word>> two_factors(factors.data(), 2);
  const Span<const ShoupFactor<Word>> three_factors(factors.data(), 3);

  const auto forward = [&](const RnsView<Word>& polys, const LimbIndices& limbs) {
    return [=, &tables, this] { ntt_forward_inplace(polys, limbs, tables, stream_); };
  };
  const auto inverse = [&](const RnsView<Word>& polys, const LimbIndices& limbs) {
    return [=, &tables, this] { ntt_inverse_inplace(polys, limbs, tables, stream_); };
  };
  expect_refused(forward(view(-1, 2, 16, 32), two),
                 "ntt_forward_inplace: polys.polys = -1, expected at least 0");
  expect_refused(forward(view(2, 3, 16, 48), two),
                 "ntt_forward_inplace: polys.limbs = 3, expected limbs.count = 2");
  expect_refused(forward(view(2, 2, 32, 64), two),
                 "ntt_forward_inplace: polys.degree = 32, expected tables.degree() = 16");
  expect_refused(
      forward(view(2, 2, 16, 31), two),
      "ntt_forward_inplace: polys.poly_stride = 31, expected at least limbs * degree = 32");
  expect_refused(
      inverse(view(2, 2, 16, 31), two),
      "ntt_inverse_inplace: polys.poly_stride = 31, expected at least limbs * degree = 32");
  LimbIndices beyond;
  beyond.append(0);
  beyond.append(4);
  expect_refused(forward(good, beyond), "ntt_forward_inplace: limbs[1] = 4, expected 0 to 3");
  expect_refused(inverse(good, beyond), "ntt_inverse_inplace: limbs[1] = 4, expected 0 to 3");

  expect_refused([&] { ntt_inverse_multiply_inplace(good, two, three_factors, tables, stream_); },
                 "ntt_inverse_multiply_inplace: factors.size() = 3, expected limbs.count = 2");
  expect_refused(
      [&] { ntt_inverse_multiply_inplace(view(2, 3, 16, 48), two, two_factors, tables, stream_); },
      "ntt_inverse_multiply_inplace: polys.limbs = 3, expected limbs.count = 2");

  const auto subtract = [&](const RnsView<const Word>& minuend,
                            const Span<const ShoupFactor<Word>>& by) {
    return [=, &tables, this] {
      ntt_forward_subtract_multiply(good, minuend, two, by, tables, stream_);
    };
  };
  expect_refused(subtract(other(64, 1, 16, 32), two_factors),
                 "ntt_forward_subtract_multiply: minuend.polys = 1, expected polys.polys = 2");
  expect_refused(subtract(other(64, 2, 8, 32), two_factors),
                 "ntt_forward_subtract_multiply: minuend.degree = 8, expected polys.degree = 16");
  expect_refused(subtract(other(64, 2, 16, 32), three_factors),
                 "ntt_forward_subtract_multiply: factors.size() = 3, expected limbs.count = 2");

  const auto product = [&](const RnsView<Word>& digit, const RnsView<const Word>& key,
                           const RnsView<Word>& accumulator) {
    return [=, &tables, this] {
      ntt_forward_inner_product(digit, key, accumulator, true, two, tables, stream_);
    };
  };
  const RnsView<Word> digit = view(1, 2, 16, 32);
  const RnsView<Word> key = other(64, 2, 16, 32);
  const RnsView<Word> accumulator = other(128, 2, 16, 32);
  const std::string function = "ntt_forward_inner_product: ";
  expect_refused(product(good, key, accumulator), function + "digit.polys = 2, expected 1");
  expect_refused(product(digit, other(64, 1, 16, 32), accumulator),
                 function + "key.polys = 1, expected 2");
  expect_refused(product(digit, key, other(128, 1, 16, 32)),
                 function + "accumulator.polys = 1, expected 2");
  expect_refused(product(digit, key, other(128, 2, 16, 31)),
                 function + "accumulator.poly_stride = 31, expected at least");
  expect_refused(product(digit, key, other(128, 2, 8, 32)),
                 function + "accumulator.degree = 8, expected digit.degree = 16");
  // Overlaps, of one word.
  expect_refused(
      subtract(other(63, 2, 16, 32), two_factors),
      "ntt_forward_subtract_multiply: minuend overlaps polys, expected none of its limbs");
  expect_refused(product(digit, other(31, 2, 16, 32), accumulator),
                 function + "key overlaps digit, expected none of its limbs");
  expect_refused(product(digit, key, other(31, 2, 16, 32)),
                 function + "accumulator overlaps digit, expected none of its limbs");
  expect_refused(product(digit, key, other(127, 2, 16, 32)),
                 function + "accumulator overlaps key, expected none of its limbs");
}

TEST(NttBetweenBackends, TablesOfAnotherBackendAreNamed) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "needs two backends";
  const Stream cpu = Stream::serial();
  const Stream cuda = Stream::cuda(nullptr, 0);
  const NttTables<std::uint32_t> tables(4, test_primes<std::uint32_t>(4), cpu);
  const Buffer<std::uint32_t> memory(16, cuda);
  expect_refused(
      [&] {
        ntt_forward_inplace(RnsView<std::uint32_t>(memory.data(), 1, 1, 16),
                            LimbIndices::range(0, 1), tables, cuda);
      },
      "ntt_forward_inplace: tables lies in the memory of cpu, expected that of the stream, cuda");
}

INSTANTIATE_TEST_SUITE_P(Backends, NttOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
