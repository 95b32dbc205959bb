#include "velum/kernels/polynomial/division.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/ring_fixture.h"
#include "reference/rns_answers.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

/// The integer nearest to x / p, p odd.
BigInteger nearest(const BigInteger& x, const BigInteger& p) {
  return floor_divide(2 * x + p, 2 * p);
}

template <typename Word>
BigInteger product_of(const std::vector<Word>& moduli) {
  BigInteger product = 1;
  for (const Word q : moduli) product *= q;
  return product;
}

/// Tables of all test primes, and which of them are kept and dropped.
template <typename Word>
struct Setting {
  Setting(int log_n, const LimbIndices& kept, const LimbIndices& dropped, const Stream& stream_)
      : stream(stream_),
        values(ntt_moduli<Word>()),
        tables(log_n, values, stream),
        division(tables, kept, dropped, stream),
        kept_moduli(moduli_of(kept, values)),
        dropped_moduli(moduli_of(dropped, values)),
        q(product_of(kept_moduli)),
        p(product_of(dropped_moduli)) {}

  /// The quotients as residues, in coefficient form.
  HostRns<Word> divide(const Numbers& numbers, bool in_scratch = false, std::int64_t gap = 0) {
    const LimbIndices& k = division.kept();
    const LimbIndices& d = division.dropped();
    const auto kept = in_ntt_form(residues_of(numbers, kept_moduli, gap), k, tables, stream);
    const auto dropped =
        in_ntt_form(residues_of(numbers, dropped_moduli, 2 * gap), d, tables, stream);
    const auto polys = static_cast<std::int64_t>(numbers.size());
    const DeviceRns<Word> scratch(
        HostRns<Word>(polys, d.count, tables.degree(), in_scratch ? 2 * gap : gap), stream);
    const DeviceRns<Word> out(HostRns<Word>(polys, k.count, tables.degree(), 3 * gap), stream);
    const HostRns<Word> before = dropped.to_host();
    divide_and_round(kept.view(), dropped.view(), in_scratch ? dropped.view() : scratch.view(),
                     out.view(), division, stream);
    for (const DeviceRns<Word>* x : {&kept, &dropped, &scratch, &out}) {
      EXPECT_TRUE(x->is_intact_outside());
    }
    if (!in_scratch) expect_equal(dropped.to_host(), before, "dropped");
    return coefficients_of(out, k, tables, stream);
  }
  HostRns<Word> expected(const Numbers& numbers) const {
    Numbers quotients = numbers;
    for (auto& poly : quotients) {
      for (BigInteger& x : poly) x = nearest(x, p);
    }
    return residues_of(quotients, kept_moduli);
  }

  Stream stream;
  std::vector<Word> values;
  NttTables<Word> tables;
  RnsDivision<Word> division;
  std::vector<Word> kept_moduli, dropped_moduli;
  BigInteger q, p;
};

LimbIndices list(std::initializer_list<int> indices) {
  LimbIndices limbs;
  for (const int index : indices) limbs.append(index);
  return limbs;
}

template <typename Word>
Numbers random_numbers(const Setting<Word>& setting, std::int64_t polys) {
  SplitMix random(3);
  Numbers numbers(static_cast<std::size_t>(polys));
  for (auto& poly : numbers) {
    for (std::int64_t i = 0; i < setting.tables.degree(); ++i) {
      poly.push_back(random_below(setting.q * setting.p, random));
    }
  }
  return numbers;
}

class DivisionOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  template <typename Word>
  void rounds(int log_n, const LimbIndices& kept, const LimbIndices& dropped, std::int64_t polys,
              std::int64_t gap) {
    Setting<Word> setting(log_n, kept, dropped, make_stream(GetParam()));
    const Numbers numbers = random_numbers(setting, polys);
    const HostRns<Word> expected = setting.expected(numbers);
    const auto what = "degree " + std::to_string(setting.tables.degree()) + ", " +
                      std::to_string(dropped.count) + " dropped";
    const auto compare = [&] {
      expect_equal(setting.divide(numbers, false, gap), expected, what);
      expect_equal(setting.divide(numbers, true, gap), expected, what + " within their own limbs");
    };
    if constexpr (sizeof(Word) == sizeof(std::uint32_t)) {
      for_each_simd_target(GetParam(), compare);
    } else {
      compare();
    }
  }
};

TEST_P(DivisionOnEveryBackend, GivesTheNearestIntegerOfRandomNumbers) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for (const int log_n : log_degrees(GetParam())) {
    rounds<std::uint32_t>(log_n, list({0, 1, 2, 3, 4}), list({5, 6, 7}), 2, 3);
    rounds<std::uint32_t>(log_n, list({0, 1, 2}), list({3}), 1, 0);
    rounds<std::uint32_t>(log_n, list({6, 2}), list({5, 0}), 2, 0);
  }
  rounds<std::uint64_t>(6, list({0, 1, 2, 3}), list({4, 5}), 2, 3);
  rounds<std::uint64_t>(3, list({4, 5}), list({6}), 1, 0);
}

TEST_P(DivisionOnEveryBackend, RoundsAtTheBordersOfOnePrimeAndOfAPairLikeBigIntegers) {
  SKIP_WITHOUT_DEVICE(GetParam());
  // (k + 1/2) P -+ 1/2 and further, x < 0 as QP - |x|, and 0: P is small enough that d P < 1/2 for
  // the single primes. Of the pair, 2^60, the sliver is 32 wide, so that it is passed over.
  const Stream stream = make_stream(GetParam());
  const LimbIndices kept = list({0, 1, 2});
  for (const LimbIndices& dropped : {list({3}), list({4}), list({4, 7})}) {
    Setting<std::uint32_t> setting(6, kept, dropped, stream);
    const BigInteger beyond = dropped.count == 1 ? BigInteger(0) : BigInteger(64);
    SplitMix random(9);
    Numbers numbers(1);
    for (int k = 0; k < 8; ++k) {
      const BigInteger base = random_below(setting.q - 1, random) * setting.p;
      for (const BigInteger& x :
           {base, BigInteger(base + 1), BigInteger(base - 1), BigInteger(base + setting.p / 2),
            BigInteger(base + setting.p / 2 - 1), BigInteger(base + setting.p / 2 + 1 + beyond),
            BigInteger(k - 4), BigInteger(k - 4 - setting.p / 2 + beyond)}) {
        numbers[0].push_back(x);
      }
    }
    for_each_simd_target(GetParam(), [&] {
      expect_equal(setting.divide(numbers), setting.expected(numbers),
                   std::to_string(dropped.count) + " dropped");
    });
  }
}

TEST_P(DivisionOnEveryBackend, TheErrorIsAtMostAHalfAndTheSliver) {
  SKIP_WITHOUT_DEVICE(GetParam());
  // P of 83 bits: numbers in and next to the sliver [P/2, P/2 + d P), d = 3 2^-55, and at its ends.
  Setting<std::uint32_t> setting(6, list({0, 1, 2, 3, 4}), list({5, 6, 7}),
                                 make_stream(GetParam()));
  const BigInteger sliver = setting.p * 3 >> 55;
  ASSERT_GT(sliver, 1000);
  SplitMix random(10);
  Numbers numbers(1);
  for (int i = 0; i < 64; ++i) {
    const BigInteger base = random_below(setting.q - 1, random) * setting.p + setting.p / 2;
    numbers[0].push_back(base + (i < 56 ? random_below(2 * sliver, random) : BigInteger(i - 60)));
  }
  const ChineseRemainders basis(setting.kept_moduli);
  for_each_simd_target(GetParam(), [&] {
    const HostRns<std::uint32_t> result = setting.divide(numbers);
    for (std::int64_t i = 0; i < 64; ++i) {
      std::vector<BigInteger> residues;
      for (std::int64_t limb = 0; limb < 5; ++limb) residues.push_back(result.at(0, limb, i));
      // 2^55 |out P - x| <= 2^54 P + 3 P
      const BigInteger error =
          basis.number(residues) * setting.p - numbers[0][static_cast<std::size_t>(i)];
      EXPECT_LE(abs(error) << 55, (setting.p << 54) + 3 * setting.p) << i;
    }
  });
}

TEST_P(DivisionOnEveryBackend, HasTheKnownDigests) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const std::vector<std::uint32_t> values = ntt_moduli<std::uint32_t>();
  const NttTables<std::uint32_t> tables(8, values, stream);
  HostRns<std::uint32_t> input(2, 8, 256);
  fill_uniform(input, values, 1);
  for (const auto& answer :
       {std::pair{3, rns_answers::kDivision}, std::pair{1, rns_answers::kRescale}}) {
    const auto count = answer.first;  // clang 14 captures no structured binding
    const auto digest = answer.second;
    const LimbIndices kept = LimbIndices::range(0, 8 - count);
    const RnsDivision<std::uint32_t> division(tables, kept, LimbIndices::range(8 - count, count),
                                              stream);
    for_each_simd_target(GetParam(), [&] {
      const auto in = in_ntt_form(input, LimbIndices::range(0, 8), tables, stream);
      const DeviceRns<std::uint32_t> out(HostRns<std::uint32_t>(2, 8 - count, 256), stream);
      const RnsView<std::uint32_t> dropped = in.view().limb_range(8 - count, count);
      divide_and_round(in.view().limb_range(0, 8 - count), dropped, dropped, out.view(), division,
                       stream);
      EXPECT_EQ(sha256(coefficients_of(out, kept, tables, stream).tight()), digest);
    });
  }
}

TEST_P(DivisionOnEveryBackend, NamesWhatItRefuses) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const std::vector<std::uint32_t> values = ntt_moduli<std::uint32_t>();
  const NttTables<std::uint32_t> tables(4, values, stream);
  const auto constructing = [&](const LimbIndices& kept, const LimbIndices& dropped) {
    return refusal([&] { RnsDivision<std::uint32_t>(tables, kept, dropped, stream); });
  };
  EXPECT_EQ(constructing(list({0, 1}), {}), "RnsDivision: dropped.count = 0, expected at least 1");
  EXPECT_EQ(constructing(list({0, 8}), list({2})), "RnsDivision: kept[1] = 8, expected 0 to 7");
  EXPECT_EQ(constructing(list({0, 1}), list({9})), "RnsDivision: dropped[0] = 9, expected 0 to 7");
  EXPECT_EQ(constructing(list({0, 1}), list({2, 1})),
            "RnsDivision: limb 1 is there twice in kept and dropped, expected each once");

  const RnsDivision<std::uint32_t> division(tables, list({0, 1}), list({2}), stream);
  const Buffer<std::uint32_t> words = to_backend(std::vector<std::uint32_t>(1024, 1), stream);
  const auto view = [&](std::int64_t first, std::int64_t polys, std::int64_t limbs,
                        std::int64_t degree = 16) {
    return RnsView<std::uint32_t>(words.data() + first, polys, limbs, degree);
  };
  const auto message = [&](RnsView<std::uint32_t> kept, RnsView<std::uint32_t> dropped,
                           RnsView<std::uint32_t> scratch, RnsView<std::uint32_t> out) {
    return refusal([&] { divide_and_round(kept, dropped, scratch, out, division, stream); });
  };
  const auto kept = view(0, 2, 2);
  const auto dropped = view(128, 2, 1);
  const auto scratch = view(256, 2, 1);
  const auto out = view(512, 2, 2);
  EXPECT_EQ(message(kept, dropped, scratch, out), "nothing thrown");
  EXPECT_EQ(message(kept, dropped, dropped, out), "nothing thrown");
  EXPECT_EQ(message(view(0, 2, 1), dropped, scratch, out),
            "divide_and_round: kept.limbs = 1, expected division.kept().count = 2");
  EXPECT_EQ(message(kept, view(128, 2, 2), scratch, out),
            "divide_and_round: dropped.limbs = 2, expected division.dropped().count = 1");
  EXPECT_EQ(message(kept, dropped, view(256, 2, 2), out),
            "divide_and_round: scratch.limbs = 2, expected division.dropped().count = 1");
  EXPECT_EQ(message(kept, dropped, scratch, view(512, 2, 3)),
            "divide_and_round: out.limbs = 3, expected division.kept().count = 2");
  EXPECT_EQ(message(view(0, 1, 2), dropped, scratch, out),
            "divide_and_round: kept.polys = 1, expected out.polys = 2");
  EXPECT_EQ(message(kept, dropped, scratch, view(512, 2, 2, 8)),
            "divide_and_round: out.degree = 8, expected the ring's degree = 16");
  EXPECT_EQ(message(kept, dropped, scratch, kept),
            "divide_and_round: out overlaps kept, expected none of its limbs");
  EXPECT_EQ(message(kept, dropped, scratch, view(100, 2, 2)),
            "divide_and_round: out overlaps dropped, expected none of its limbs");
  EXPECT_EQ(message(kept, dropped, view(520, 2, 1), out),
            "divide_and_round: out overlaps scratch, expected none of its limbs");
  EXPECT_EQ(message(kept, dropped, view(8, 2, 1), out),
            "divide_and_round: scratch overlaps kept, expected none of its limbs");
  EXPECT_EQ(message(kept, dropped, view(129, 2, 1), out),
            "divide_and_round: scratch overlaps dropped, expected the same view or none of its "
            "limbs");
}

INSTANTIATE_TEST_SUITE_P(All, DivisionOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
