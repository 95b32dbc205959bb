#include "velum/kernels/polynomial/modulus_raise.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/ring_fixture.h"
#include "reference/rns_answers.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

template <typename Word>
std::vector<BigInteger> residues_at(const HostRns<Word>& x, std::int64_t poly, std::int64_t i) {
  std::vector<BigInteger> residues;
  for (std::int64_t limb = 0; limb < x.limbs; ++limb) residues.push_back(x.at(poly, limb, i));
  return residues;
}

class ModulusRaiseOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  /// The digit is limbs [first, first + count) of `limbs`.
  template <typename Word>
  void check(int log_n, const LimbIndices& limbs, int first, int count, std::int64_t polys,
             std::int64_t gap) {
    const Stream stream = make_stream(GetParam());
    const std::vector<Word> values = ntt_moduli<Word>();
    const NttTables<Word> tables(log_n, values, stream);
    const DigitExtension<Word> extension(tables, limbs, first, count, stream);
    const LimbIndices& digit = extension.conversion().from();
    const std::vector<Word> moduli = moduli_of(limbs, values);
    const std::vector<Word> own(moduli.begin() + first, moduli.begin() + first + count);
    const ChineseRemainders basis(own);
    const HostRns<Word> x = random_residues<Word>(polys, own, tables.degree(), 4, gap);

    for (const Correction correction : {Correction::kNone, Correction::kCentred}) {
      Numbers numbers(static_cast<std::size_t>(polys));
      for (std::int64_t poly = 0; poly < polys; ++poly) {
        for (std::int64_t i = 0; i < tables.degree(); ++i) {
          const BigInteger whole = basis.number(residues_at(x, poly, i));
          const BigInteger extended =
              correction == Correction::kNone ? basis.uncorrected(residues_at(x, poly, i))
              : 2 * whole < basis.product()   ? whole
                                              : BigInteger(whole - basis.product());
          numbers[static_cast<std::size_t>(poly)].push_back(extended);
          if (correction == Correction::kNone) {
            ASSERT_EQ((extended - whole) % basis.product(), 0);
            ASSERT_LT(extended, count * basis.product());
          }
        }
      }
      const HostRns<Word> expected = residues_of(numbers, moduli);
      const auto compare = [&] {
        const DeviceRns<Word> coefficients(x, stream);
        const DeviceRns<Word> ntt_values = in_ntt_form(x, digit, tables, stream);
        const DeviceRns<Word> blank(HostRns<Word>(polys, limbs.count, tables.degree(), 2 * gap),
                                    stream);
        const auto what =
            "degree " + std::to_string(tables.degree()) + ", limbs from " + std::to_string(first);
        extend_digit(coefficients.view(), Premultiplied::kNo, ntt_values.view(), blank.view(),
                     extension, correction, stream);
        EXPECT_TRUE(blank.is_intact_outside());
        expect_equal(coefficients_of(blank, limbs, tables, stream), expected, what);

        // The values in their place already, the coefficients from the transform that multiplies.
        HostRns<Word> placed(polys, limbs.count, tables.degree(), gap);
        const HostRns<Word> transformed = ntt_values.to_host();
        transformed.for_each([&](auto poly, auto limb, auto i) {
          placed.at(poly, limb + first, i) = transformed.at(poly, limb, i);
        });
        const DeviceRns<Word> out(placed, stream);
        ntt_inverse_multiply_inplace(ntt_values.view(), digit,
                                     extension.conversion().inverse_factors(), tables, stream);
        extend_digit(ntt_values.view(), Premultiplied::kYes, out.view().limb_range(first, count),
                     out.view(), extension, correction, stream);
        EXPECT_TRUE(out.is_intact_outside());
        expect_equal(coefficients_of(out, limbs, tables, stream), expected, what + " in place");
      };
      if constexpr (sizeof(Word) == sizeof(std::uint32_t)) {
        for_each_simd_target(GetParam(), compare);
      } else {
        compare();
      }
    }
  }
};

TEST_P(ModulusRaiseOnEveryBackend, GivesOneNumberModuloAllPrimes) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const LimbIndices all = LimbIndices::range(0, 8);
  for (const int log_n : log_degrees(GetParam())) {
    check<std::uint32_t>(log_n, all, 2, 3, 2, 5);
  }
  check<std::uint32_t>(5, all, 0, 2, 1, 0);
  check<std::uint32_t>(5, all, 7, 1, 2, 0);
  check<std::uint32_t>(5, all, 0, 8, 2, 3);
  LimbIndices some;
  for (const int index : {6, 7, 0, 1, 3}) some.append(index);
  check<std::uint32_t>(5, some, 2, 2, 2, 3);
  check<std::uint64_t>(5, all, 2, 3, 2, 5);
}

TEST_P(ModulusRaiseOnEveryBackend, HasTheKnownDigest) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const std::vector<std::uint32_t> values = ntt_moduli<std::uint32_t>();
  const NttTables<std::uint32_t> tables(8, values, stream);
  const LimbIndices all = LimbIndices::range(0, 8);
  const DigitExtension<std::uint32_t> extension(tables, all, 2, 3, stream);
  const LimbIndices& digit = extension.conversion().from();
  HostRns<std::uint32_t> input(2, 3, 256);
  fill_uniform(input, moduli_of(digit, values), 7);
  for_each_simd_target(GetParam(), [&] {
    const DeviceRns<std::uint32_t> coefficients(input, stream);
    const auto ntt_values = in_ntt_form(input, digit, tables, stream);
    const DeviceRns<std::uint32_t> out(HostRns<std::uint32_t>(2, 8, 256), stream);
    extend_digit(coefficients.view(), Premultiplied::kNo, ntt_values.view(), out.view(), extension,
                 Correction::kNone, stream);
    // Its own limbs hold the digit itself, which the sum is congruent to.
    EXPECT_EQ(sha256(coefficients_of(out, all, tables, stream).tight()), rns_answers::kExtension);
  });
}

/// Against `extend_digit`, which the tests above hold to big integers.
TEST_P(ModulusRaiseOnEveryBackend, AllDigitsAtOnceAreWhatEachOneIs) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const std::vector<std::uint32_t> values = ntt_moduli<std::uint32_t>();
  const LimbIndices all = LimbIndices::range(0, 8);
  for (const int log_n : log_degrees(GetParam())) {
    const NttTables<std::uint32_t> tables(log_n, values, stream);
    for (const std::vector<int>& counts : {std::vector<int>{2, 2, 2}, std::vector<int>{3, 3, 1},
                                           std::vector<int>{7}, std::vector<int>{1, 1}}) {
      // One special prime before the digits.
      std::vector<DigitExtension<std::uint32_t>> extensions;
      int first = 1;
      for (const int count : counts) {
        extensions.emplace_back(tables, all, first, count, stream);
        first += count;
      }
      const LimbIndices of_digits = LimbIndices::range(1, first - 1);
      const auto digit_count = static_cast<std::int64_t>(counts.size());
      HostRns<std::uint32_t> input(1, of_digits.count, tables.degree(), 5);
      fill_uniform(input, moduli_of(of_digits, values), 9);
      const HostRns<std::uint32_t> blank(digit_count, 8, tables.degree(), 3);
      for (const Correction correction : {Correction::kNone, Correction::kCentred}) {
        for (const Premultiplied premultiplied : {Premultiplied::kNo, Premultiplied::kYes}) {
          const DeviceRns<std::uint32_t> coefficients(input, stream);
          const DeviceRns<std::uint32_t> ntt_values = in_ntt_form(input, of_digits, tables, stream);
          const DeviceRns<std::uint32_t> each(blank, stream), together(blank, stream);
          for (std::int64_t k = 0; k < digit_count; ++k) {
            const DigitExtension<std::uint32_t>& extension =
                extensions[static_cast<std::size_t>(k)];
            const std::int64_t at = extension.first() - 1, count = extension.count();
            extend_digit(coefficients.view().limb_range(at, count), premultiplied,
                         ntt_values.view().limb_range(at, count), each.view().poly_range(k, 1),
                         extension, correction, stream);
          }
          extend_digits(coefficients.view(), premultiplied, ntt_values.view(), together.view(),
                        Span<const DigitExtension<std::uint32_t>>(extensions), correction, stream);
          EXPECT_TRUE(together.is_intact_outside());
          expect_equal(together.to_host(), each.to_host(),
                       "degree " + std::to_string(tables.degree()) + ", digits " +
                           std::to_string(digit_count));
        }
      }
    }
  }
}

TEST_P(ModulusRaiseOnEveryBackend, AllDigitsAtOnceNameWhatTheyRefuse) {
  SKIP_WITHOUT_DEVICE(GetParam());
  using Extensions = std::vector<DigitExtension<std::uint32_t>>;
  const Stream stream = make_stream(GetParam());
  const NttTables<std::uint32_t> tables(4, ntt_moduli<std::uint32_t>(), stream);
  const LimbIndices all = LimbIndices::range(0, 5);
  Extensions extensions;
  extensions.emplace_back(tables, all, 1, 2, stream);
  extensions.emplace_back(tables, all, 3, 2, stream);
  const Buffer<std::uint32_t> words = to_backend(std::vector<std::uint32_t>(1024, 1), stream);
  const auto view = [&](std::int64_t first, std::int64_t polys, std::int64_t limbs,
                        std::int64_t degree = 16) {
    return RnsView<std::uint32_t>(words.data() + first, polys, limbs, degree);
  };
  const auto message = [&](const Extensions& of, RnsView<std::uint32_t> coefficients,
                           RnsView<std::uint32_t> values, RnsView<std::uint32_t> out) {
    return refusal([&] {
      extend_digits(coefficients, Premultiplied::kNo, values, out,
                    Span<const DigitExtension<std::uint32_t>>(of), Correction::kNone, stream);
    });
  };
  const auto coefficients = view(0, 1, 4);
  const auto values = view(128, 1, 4);
  const auto out = view(256, 2, 5);
  EXPECT_EQ(message(extensions, coefficients, values, out), "nothing thrown");
  EXPECT_EQ(message({}, coefficients, values, out),
            "extend_digits: extensions.size() = 0, expected at least 1");
  EXPECT_EQ(
      message(extensions, view(0, 1, 3), values, out),
      "extend_digits: coefficients.limbs = 3, expected the sum of the extensions' counts = 4");
  EXPECT_EQ(message(extensions, coefficients, view(128, 2, 4), out),
            "extend_digits: values.polys = 2, expected 1");
  EXPECT_EQ(message(extensions, coefficients, values, view(256, 3, 5)),
            "extend_digits: out.polys = 3, expected extensions.size() = 2");
  EXPECT_EQ(message(extensions, coefficients, values, view(256, 2, 4)),
            "extend_digits: out.limbs = 4, expected extensions[0].limbs().count = 5");
  EXPECT_EQ(message(extensions, coefficients, values, view(256, 2, 5, 8)),
            "extend_digits: out.degree = 8, expected the ring's degree = 16");
  EXPECT_EQ(message(extensions, view(300, 1, 4), values, out),
            "extend_digits: out overlaps coefficients, expected none of its limbs");
  EXPECT_EQ(message(extensions, coefficients, view(272, 1, 4), out),
            "extend_digits: out overlaps values, expected none of its limbs");
  Extensions mixed;
  mixed.emplace_back(tables, all, 1, 2, stream);
  mixed.emplace_back(tables, LimbIndices::range(0, 6), 3, 2, stream);
  EXPECT_EQ(message(mixed, coefficients, values, out),
            "extend_digits: extensions[1] is of other tables or limbs than extensions[0]");
}

TEST_P(ModulusRaiseOnEveryBackend, NamesWhatItRefuses) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const NttTables<std::uint32_t> tables(4, ntt_moduli<std::uint32_t>(), stream);
  const LimbIndices all = LimbIndices::range(0, 5);
  const auto constructing = [&](const LimbIndices& limbs, int first, int count) {
    return refusal([&] { DigitExtension<std::uint32_t>(tables, limbs, first, count, stream); });
  };
  EXPECT_EQ(constructing(all, -1, 2), "DigitExtension: first = -1, expected at least 0");
  EXPECT_EQ(constructing(all, 1, 0), "DigitExtension: count = 0, expected at least 1");
  EXPECT_EQ(constructing(all, 4, 2),
            "DigitExtension: first + count = 6, expected at most limbs.count = 5");
  EXPECT_EQ(constructing(LimbIndices::range(6, 3), 0, 1),
            "DigitExtension: limbs[2] = 8, expected 0 to 7");
  EXPECT_EQ(constructing(concatenated(all, LimbIndices::range(4, 1)), 0, 1),
            "DigitExtension: limb 4 is there twice in limbs, expected each once");

  const DigitExtension<std::uint32_t> extension(tables, all, 1, 2, stream);
  const Buffer<std::uint32_t> words = to_backend(std::vector<std::uint32_t>(1024, 1), stream);
  const auto view = [&](std::int64_t first, std::int64_t polys, std::int64_t limbs,
                        std::int64_t degree = 16) {
    return RnsView<std::uint32_t>(words.data() + first, polys, limbs, degree);
  };
  const auto message = [&](RnsView<std::uint32_t> coefficients, RnsView<std::uint32_t> values,
                           RnsView<std::uint32_t> out) {
    return refusal([&] {
      extend_digit(coefficients, Premultiplied::kNo, values, out, extension, Correction::kNone,
                   stream);
    });
  };
  const auto coefficients = view(0, 2, 2);
  const auto values = view(128, 2, 2);
  const auto out = view(256, 2, 5);
  EXPECT_EQ(message(coefficients, values, out), "nothing thrown");
  EXPECT_EQ(message(view(0, 2, 3), values, out),
            "extend_digit: coefficients.limbs = 3, expected extension.count() = 2");
  EXPECT_EQ(message(coefficients, view(128, 2, 1), out),
            "extend_digit: values.limbs = 1, expected extension.count() = 2");
  EXPECT_EQ(message(coefficients, values, view(256, 2, 4)),
            "extend_digit: out.limbs = 4, expected extension.limbs().count = 5");
  EXPECT_EQ(message(coefficients, view(128, 1, 2), out),
            "extend_digit: values.polys = 1, expected out.polys = 2");
  EXPECT_EQ(message(view(0, 2, 2, 8), values, out),
            "extend_digit: coefficients.degree = 8, expected the ring's degree = 16");
  EXPECT_EQ(message(out.limb_range(1, 2), values, out),
            "extend_digit: out overlaps coefficients, expected none of its limbs");
  EXPECT_EQ(message(coefficients, out.limb_range(0, 2), out),
            "extend_digit: out overlaps values, expected none of its limbs");
  EXPECT_EQ(message(coefficients, out.limb_range(2, 2), out),
            "extend_digit: out overlaps values, expected none of its limbs");
}

INSTANTIATE_TEST_SUITE_P(All, ModulusRaiseOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
