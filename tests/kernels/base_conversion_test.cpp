#include "velum/kernels/polynomial/base_conversion.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/rns_fixture.h"
#include "reference/big_integer.h"
#include "reference/rns_answers.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

constexpr Correction kCorrections[] = {Correction::kNone, Correction::kCentred};

template <typename Word>
std::vector<BigInteger> residues_at(const HostRns<Word>& x, std::int64_t poly, std::int64_t i) {
  std::vector<BigInteger> residues;
  for (std::int64_t limb = 0; limb < x.limbs; ++limb) residues.push_back(x.at(poly, limb, i));
  return residues;
}

/// What each coefficient becomes, as a whole number.
template <typename Word>
BigInteger representative(const std::vector<BigInteger>& residues, const ChineseRemainders& basis,
                          Correction correction) {
  if (correction == Correction::kNone) return basis.uncorrected(residues);
  const BigInteger x = basis.number(residues);
  return 2 * x < basis.product() ? x : BigInteger(x - basis.product());
}

/// The y_i of all coefficients.
template <typename Word>
HostRns<Word> premultiplied(HostRns<Word> x, const std::vector<Word>& moduli) {
  for (std::size_t l = 0; l < moduli.size(); ++l) {
    BigInteger others = 1;
    for (const Word q : moduli) others *= q == moduli[l] ? Word{1} : q;
    const BigInteger inverse = inverse_modulo(others, moduli[l]);
    for (std::int64_t poly = 0; poly < x.polys; ++poly) {
      for (std::int64_t i = 0; i < x.degree; ++i) {
        Word& value = x.at(poly, static_cast<std::int64_t>(l), i);
        value = static_cast<Word>(BigInteger(value * inverse % moduli[l]));
      }
    }
  }
  return x;
}

/// Limbs [first, first + count) of a chain.
struct Case {
  int from_first, from_count, to_first, to_count;
};

class BaseConversionOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  template <typename Word>
  void check(const std::vector<Word>& values, const Case& c, std::int64_t degree,
             std::int64_t polys, const HostRns<Word>* given = nullptr) {
    const Stream stream = make_stream(GetParam());
    const ModulusChain<Word> chain(values, stream);
    const LimbIndices from = LimbIndices::range(c.from_first, c.from_count);
    const LimbIndices to = LimbIndices::range(c.to_first, c.to_count);
    const BaseConversion<Word> conversion(chain, from, to, stream);
    const std::vector<Word> sources = moduli_of(from, values);
    const std::vector<Word> targets = moduli_of(to, values);
    const ChineseRemainders basis(sources);
    const HostRns<Word> x =
        given != nullptr ? *given : random_residues<Word>(polys, sources, degree, 1, 5);
    const DeviceRns<Word> in(x, stream);
    const DeviceRns<Word> y(premultiplied(x, sources), stream);
    const HostRns<Word> before(x.polys, c.to_count, x.degree, 7);
    for (const Correction correction : kCorrections) {
      HostRns<Word> expected = before;
      for (std::int64_t poly = 0; poly < x.polys; ++poly) {
        for (std::int64_t i = 0; i < x.degree; ++i) {
          const BigInteger number =
              representative<Word>(residues_at(x, poly, i), basis, correction);
          for (std::int64_t j = 0; j < c.to_count; ++j) {
            expected.at(poly, j, i) =
                static_cast<Word>(modulo(number, BigInteger(targets[static_cast<std::size_t>(j)])));
          }
        }
      }
      const auto compare = [&] {
        for (const Premultiplied given_as : {Premultiplied::kNo, Premultiplied::kYes}) {
          const DeviceRns<Word> out(before, stream);
          convert_base((given_as == Premultiplied::kNo ? in : y).view(), out.view(), conversion,
                       correction, given_as, stream);
          expect_equal(out.to_host(), expected,
                       std::to_string(c.from_count) + " to " + std::to_string(c.to_count) +
                           " moduli, degree " + std::to_string(x.degree) +
                           (correction == Correction::kCentred ? ", centred" : "") +
                           (given_as == Premultiplied::kYes ? ", premultiplied" : ""));
          EXPECT_TRUE(out.is_intact_outside());
        }
      };
      if constexpr (sizeof(Word) == sizeof(std::uint32_t)) {
        for_each_simd_target(GetParam(), compare);
      } else {
        compare();
      }
    }
  }
};

TEST_P(BaseConversionOnEveryBackend, GivesTheResiduesOfTheWholeNumber) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for (const std::int64_t degree : {2, 8, 16, 32, 128, 256, 1024}) {
    check<std::uint32_t>(odd_moduli<std::uint32_t>(), {0, 3, 3, 5}, degree, 2);
    check<std::uint32_t>(ntt_moduli<std::uint32_t>(), {4, 4, 0, 4}, degree, 1);
  }
  check<std::uint64_t>(odd_moduli<std::uint64_t>(), {0, 3, 3, 5}, 64, 2);
  check<std::uint64_t>(ntt_moduli<std::uint64_t>(), {4, 4, 0, 4}, 256, 1);
}

TEST_P(BaseConversionOnEveryBackend, TakesAnyNumberOfTargets) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for (int count = 0; count <= 8; ++count) {
    check<std::uint32_t>(odd_moduli<std::uint32_t>(), {2, 2, 0, count}, 64, 2);
  }
  check<std::uint64_t>(odd_moduli<std::uint64_t>(), {2, 2, 0, 7}, 32, 1);
}

/// Pairwise coprime numbers just below `top`.
template <typename Word>
std::vector<Word> coprime_below(Word top, std::size_t count) {
  std::vector<Word> values;
  for (Word candidate = top - 1; values.size() < count; candidate -= 2) {
    bool coprime = true;
    for (const Word value : values) {
      coprime = coprime && inverse_modulo(BigInteger(value), BigInteger(candidate)) != 0;
    }
    if (coprime) values.push_back(candidate);
  }
  return values;
}

TEST_P(BaseConversionOnEveryBackend, TakesManyTargetsFromFewOrManyModuli) {
  SKIP_WITHOUT_DEVICE(GetParam());
  // On CUDA 12 targets at a time (64-bit words: 6) from rows that are kept for all of them while
  // there are at most 16 (12), the integer of a centred conversion among them.
  const auto narrow = coprime_below<std::uint32_t>(1u << 30, 59);
  for (const int sources : {3, 15, 16, 17, 33}) {
    for (const int targets : {11, 12, 13, 25}) {
      check<std::uint32_t>(narrow, {25, sources, 0, targets}, 32, 2);
    }
  }
  check<std::uint32_t>(narrow, {25, 3, 0, 25}, 512, 2);
  check<std::uint32_t>(narrow, {25, 17, 0, 13}, 256, 2);
  const auto wide = coprime_below<std::uint64_t>(std::uint64_t{1} << 61, 39);
  for (const int sources : {3, 11, 12, 13, 25}) {
    for (const int targets : {5, 6, 7, 13}) {
      check<std::uint64_t>(wide, {13, sources, 0, targets}, 16, 2);
    }
  }
}

template <typename Word>
HostRns<Word> largest_residues(const std::vector<Word>& moduli, int first, int count,
                               std::int64_t degree) {
  // Q - (Q/q_0) - .. - (Q/q_m) has y_i = q_i - 1 for all i: the largest sums that there are.
  const std::vector<Word> sources(moduli.begin() + first, moduli.begin() + first + count);
  HostRns<Word> x(1, count, degree);
  for (int l = 0; l < count; ++l) {
    BigInteger others = 1;
    const Word q = sources[static_cast<std::size_t>(l)];
    for (const Word other : sources) others *= other == q ? Word{1} : other;
    const auto value = static_cast<Word>(modulo(BigInteger(-others), BigInteger(q)));
    for (std::int64_t i = 0; i < degree; ++i) x.at(0, l, i) = value;
  }
  return x;
}

TEST_P(BaseConversionOnEveryBackend, HoldsTheLargestSumsOfManyModuli) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const auto narrow = coprime_below<std::uint32_t>(1u << 30, 102);
  for (const int count : {1, 4, 8, 15, 16, 17, 27, 28, 29, 40, 100}) {
    const auto x = largest_residues(narrow, 2, count, 32);
    check<std::uint32_t>(narrow, {2, count, 0, 2}, 32, 1, &x);
  }
  const auto wide = coprime_below<std::uint64_t>(std::uint64_t{1} << 61, 142);
  for (const int count : {7, 8, 63, 64, 65, 119, 120, 121, 140}) {
    const auto x = largest_residues(wide, 2, count, 2);
    check<std::uint64_t>(wide, {2, count, 0, 2}, 2, 1, &x);
  }
}

TEST_P(BaseConversionOnEveryBackend, HoldsTheLargestSumsOfHalves) {
  SKIP_WITHOUT_DEVICE(GetParam());
  // Targets for which the high halves, or the low ones, of twelve constants are large together: on
  // CUDA the products of unlike halves of 64-bit words fit a word eight times, and only so often.
  constexpr int kSources = 12;
  auto moduli = coprime_below<std::uint64_t>(std::uint64_t{1} << 61, kSources);
  std::vector<BigInteger> others(kSources, BigInteger{1} << 64);
  for (int i = 0; i < kSources; ++i) {
    for (int j = 0; j < kSources; ++j) {
      if (j != i) others[static_cast<std::size_t>(i)] *= moduli[static_cast<std::size_t>(j)];
    }
  }
  const auto halves = [&](std::uint64_t p, bool high) {
    std::uint64_t sum = 0;
    for (const BigInteger& other : others) {
      const auto constant = static_cast<std::uint64_t>(BigInteger(other % p));
      sum += high ? constant >> 32 : constant & 0xffffffff;
    }
    return sum;
  };
  for (const bool high : {true, false}) {
    std::uint64_t p = moduli[kSources - 1];
    do p -= 2;
    while (halves(p, high) < std::uint64_t{17} << (high ? 28 : 31));  // 8.5 times the largest
    moduli.push_back(p);
  }
  for (const int count : {7, 8, 9, kSources}) {
    const auto x = largest_residues(moduli, 0, count, 2);
    check<std::uint64_t>(moduli, {0, count, kSources, 2}, 2, 1, &x);
  }
}

TEST_P(BaseConversionOnEveryBackend, CentresAllNumbersOutsideTheSliver) {
  SKIP_WITHOUT_DEVICE(GetParam());
  // Around 0 and Q/2 for as few and as many moduli as a key switching has, and next to the sliver
  // [Q/2, Q/2 + d Q), d = count 2^-55, on both sides. Inside the result may be either.
  const auto values = odd_moduli<std::uint32_t>();
  for (const int count : {1, 2, 3, 6}) {
    const std::vector<std::uint32_t> sources(values.begin(), values.begin() + count);
    const ChineseRemainders basis(sources);
    const BigInteger& q = basis.product();
    const BigInteger sliver = (q * count >> 55) + 1;
    std::vector<BigInteger> numbers;
    for (int k = 0; k < 8; ++k) {
      numbers.push_back(k);
      numbers.push_back(q - 1 - k);
      numbers.push_back(q / 2 - k);
      numbers.push_back(q / 2 + sliver + k);
    }
    HostRns<std::uint32_t> x(1, count, 32);
    for (std::int64_t i = 0; i < 32; ++i) {
      for (std::int64_t l = 0; l < count; ++l) {
        x.at(0, l, i) = static_cast<std::uint32_t>(BigInteger(
            numbers[static_cast<std::size_t>(i)] % sources[static_cast<std::size_t>(l)]));
      }
    }
    check<std::uint32_t>(values, {0, count, 6, 2}, 32, 1, &x);
  }
}

TEST_P(BaseConversionOnEveryBackend, InsideTheSliverGivesOneOfTwoRepresentatives) {
  SKIP_WITHOUT_DEVICE(GetParam());
  // Six moduli of 30 bits: the sliver is 6 Q 2^-55 > 2^120 wide.
  const std::vector<std::uint32_t> values = coprime_below<std::uint32_t>(1u << 30, 7);
  const std::vector<std::uint32_t> sources(values.begin() + 1, values.end());
  const ChineseRemainders basis(sources);
  const BigInteger half = basis.product() / 2;
  const BigInteger sliver = basis.product() * 6 >> 55;
  HostRns<std::uint32_t> x(1, 6, 64);
  std::vector<BigInteger> numbers;
  for (std::int64_t i = 0; i < 64; ++i) {
    numbers.push_back(half + 1 + sliver * i / 64);
    for (std::int64_t l = 0; l < 6; ++l) {
      x.at(0, l, i) = static_cast<std::uint32_t>(
          BigInteger(numbers.back() % sources[static_cast<std::size_t>(l)]));
    }
  }
  const Stream stream = make_stream(GetParam());
  const ModulusChain<std::uint32_t> chain(values, stream);
  const BaseConversion<std::uint32_t> conversion(chain, LimbIndices::range(1, 6),
                                                 LimbIndices::range(0, 1), stream);
  const DeviceRns<std::uint32_t> in(x, stream);
  for_each_simd_target(GetParam(), [&] {
    const DeviceRns<std::uint32_t> out(HostRns<std::uint32_t>(1, 1, 64), stream);
    convert_base(in.view(), out.view(), conversion, Correction::kCentred, Premultiplied::kNo,
                 stream);
    const HostRns<std::uint32_t> result = out.to_host();
    int unmoved = 0;
    for (std::int64_t i = 0; i < 64; ++i) {
      const BigInteger& number = numbers[static_cast<std::size_t>(i)];
      const bool kept = result.at(0, 0, i) == modulo(number, values[0]);
      unmoved += kept ? 1 : 0;
      EXPECT_TRUE(kept || result.at(0, 0, i) == modulo(number - basis.product(), values[0])) << i;
    }
    EXPECT_GT(unmoved, 0) << "the sliver is narrower than the header says";
  });
}

TEST_P(BaseConversionOnEveryBackend, ATargetMayBeASource) {
  SKIP_WITHOUT_DEVICE(GetParam());
  check<std::uint32_t>(odd_moduli<std::uint32_t>(), {0, 4, 2, 4}, 32, 1);
}

TEST_P(BaseConversionOnEveryBackend, HasTheKnownDigests) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const std::vector<std::uint32_t> values = ntt_moduli<std::uint32_t>();
  const ModulusChain<std::uint32_t> chain(values, stream);
  const LimbIndices from = LimbIndices::range(0, 3);
  const BaseConversion<std::uint32_t> conversion(chain, from, LimbIndices::range(3, 5), stream);
  HostRns<std::uint32_t> input(2, 3, 256);
  fill_uniform(input, moduli_of(from, values), 6);
  for_each_simd_target(GetParam(), [&] {
    const DeviceRns<std::uint32_t> in(input, stream);
    const DeviceRns<std::uint32_t> out(HostRns<std::uint32_t>(2, 5, 256), stream);
    convert_base(in.view(), out.view(), conversion, Correction::kNone, Premultiplied::kNo, stream);
    EXPECT_EQ(sha256(out.to_host().tight()), rns_answers::kConversion);
    convert_base(in.view(), out.view(), conversion, Correction::kCentred, Premultiplied::kNo,
                 stream);
    EXPECT_EQ(sha256(out.to_host().tight()), rns_answers::kCentredConversion);
  });
}

TEST_P(BaseConversionOnEveryBackend, FactorsAreTheInversesOfTheOtherModuli) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const std::vector<std::uint32_t> values = odd_moduli<std::uint32_t>();
  const ModulusChain<std::uint32_t> chain(values, stream);
  const BaseConversion<std::uint32_t> conversion(chain, LimbIndices::range(0, 8),
                                                 LimbIndices::range(0, 0), stream);
  const auto device = to_host(conversion.inverse_factors(), stream);
  EXPECT_EQ(device, conversion.host_inverse_factors());
  for (std::size_t i = 0; i < values.size(); ++i) {
    BigInteger product = device[i].value;
    for (std::size_t k = 0; k < values.size(); ++k) product *= k == i ? 1u : values[k];
    EXPECT_EQ(modulo(product, values[i]), 1);
    EXPECT_EQ(device[i].quotient, (std::uint64_t{device[i].value} << 32) / values[i]);
  }
}

TEST_P(BaseConversionOnEveryBackend, NamesWhatItRefuses) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const ModulusChain<std::uint32_t> chain({7, 15, 13, 25}, stream);
  const auto constructing = [&](const LimbIndices& from, const LimbIndices& to) {
    return refusal([&] { BaseConversion<std::uint32_t>(chain, from, to, stream); });
  };
  const LimbIndices one = LimbIndices::range(2, 1);
  const LimbIndices two = LimbIndices::range(0, 2);
  EXPECT_EQ(constructing(two, one), "nothing thrown");
  EXPECT_EQ(constructing({}, one), "BaseConversion: from.count = 0, expected at least 1");
  EXPECT_EQ(constructing(LimbIndices::range(3, 2), one),
            "BaseConversion: from[1] = 4, expected 0 to 3");
  EXPECT_EQ(constructing(one, LimbIndices::range(4, 1)),
            "BaseConversion: to[0] = 4, expected 0 to 3");
  EXPECT_EQ(
      constructing(LimbIndices::range(1, 3), one),
      "BaseConversion: the modulus 15 has a divisor in common with another, expected pairwise "
      "coprime ones");
  EXPECT_EQ(
      constructing(concatenated(one, one), two),
      "BaseConversion: the modulus 13 has a divisor in common with another, expected pairwise "
      "coprime ones");

  const BaseConversion<std::uint32_t> conversion(chain, two, one, stream);
  const Buffer<std::uint32_t> words = to_backend(std::vector<std::uint32_t>(1024, 1), stream);
  const auto message = [&](RnsView<std::uint32_t> in, RnsView<std::uint32_t> out) {
    return refusal(
        [&] { convert_base(in, out, conversion, Correction::kNone, Premultiplied::kNo, stream); });
  };
  const RnsView<std::uint32_t> in(words.data(), 2, 2, 16);
  const RnsView<std::uint32_t> out(words.data() + 64, 2, 1, 16);
  EXPECT_EQ(message(in, out), "nothing thrown");
  EXPECT_EQ(message(in.limb_range(0, 1), out),
            "convert_base: in.limbs = 1, expected conversion.from().count = 2");
  EXPECT_EQ(message(in, in), "convert_base: out.limbs = 2, expected conversion.to().count = 1");
  EXPECT_EQ(message(in.poly_range(0, 1), out),
            "convert_base: in.polys = 1, expected out.polys = 2");
  EXPECT_EQ(message(in, {words.data() + 64, 2, 1, 8}),
            "convert_base: in.degree = 16, expected out.degree = 8");
  EXPECT_EQ(message(in, {words.data() + 63, 2, 1, 16}),
            "convert_base: out overlaps in, expected none of its limbs");
}

INSTANTIATE_TEST_SUITE_P(All, BaseConversionOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
