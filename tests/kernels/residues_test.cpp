#include "velum/kernels/random/residues.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "random/residues_body.h"
#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "support/sha256.h"
#include "support/simd_targets.h"

namespace velum::kernels {
namespace {

using ::velum::testing::BackendName;
using ::velum::testing::every_backend;
using ::velum::testing::for_each_simd_target;
using ::velum::testing::GuardedBuffer;
using ::velum::testing::make_stream;
using ::velum::testing::sha256;

RandomKey test_key() { return insecure_key_from_seed(17); }
constexpr RandomPosition kPosition{Purpose::kHeUniform, 5, 1234567, 0};

template <typename Word>
std::vector<Word> test_moduli();
template <>
std::vector<std::uint32_t> test_moduli() {
  return {1073741789, 5, (1u << 30) - 1, 33554393, 65537};
}
template <>
std::vector<std::uint64_t> test_moduli() {
  return {(1ull << 61) - 1, 5, 1073741789, (1ull << 60) + 33, 65537};
}

/// floor(U q / 2^(32 words.size())), digit by digit, in base 2^16; words of U lowest first.
std::uint64_t product_shifted(const std::vector<std::uint32_t>& words, std::uint64_t q) {
  const std::size_t size = 2 * words.size();
  std::vector<std::uint64_t> digits(size + 5);
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint64_t a = words[i / 2] >> (16 * (i % 2)) & 0xffff;
    for (std::size_t j = 0; j < 4; ++j) digits[i + j] += a * (q >> (16 * j) & 0xffff);
  }
  for (std::size_t i = 0; i + 1 < digits.size(); ++i) {
    digits[i + 1] += digits[i] >> 16;
    digits[i] &= 0xffff;
  }
  return digits[size] | digits[size + 1] << 16 | digits[size + 2] << 32 | digits[size + 3] << 48;
}

std::uint32_t stream_word(const ChaCha20State& state, std::int64_t block, int word) {
  return chacha20_block(state, static_cast<std::uint32_t>(block)).words[word];
}

/// Coefficient i of a limb with modulus q and index `tensor` of polynomial `step`.
std::uint64_t expected_residue(std::uint32_t q, std::uint64_t step, std::uint32_t tensor,
                               std::int64_t i) {
  const ChaCha20State state = stream_state(
      test_key(), {kPosition.purpose, kPosition.key_epoch, step, tensor}, DrawKind::kInteger);
  const std::int64_t first_block = 48 * (i / 256) + i % 16;
  const std::int64_t slot = i / 16 % 16;
  std::vector<std::uint32_t> words(3);
  for (int w = 0; w < 3; ++w) {
    words[static_cast<std::size_t>(w)] = slot == 15
                                             ? stream_word(state, first_block + 16 * w, 15)
                                             : stream_word(state, first_block + 16 * (slot / 5),
                                                           static_cast<int>(3 * (slot % 5) + w));
  }
  return product_shifted(words, q);
}
std::uint64_t expected_residue(std::uint64_t q, std::uint64_t step, std::uint32_t tensor,
                               std::int64_t i) {
  const ChaCha20State state = stream_state(
      test_key(), {kPosition.purpose, kPosition.key_epoch, step, tensor}, DrawKind::kInteger);
  std::vector<std::uint32_t> words(4);
  for (int w = 0; w < 4; ++w) {
    words[static_cast<std::size_t>(w)] =
        stream_word(state, i / 4, static_cast<int>(4 * (i % 4)) + w);
  }
  return product_shifted(words, q);
}

template <typename Word>
std::vector<Word> draw(std::int64_t polys, const LimbIndices& limbs, std::int64_t degree,
                       const Stream& stream, const RandomPosition& position = kPosition,
                       const RandomKey& key = test_key(),
                       const std::vector<Word>& moduli = test_moduli<Word>()) {
  const ModulusChain<Word> chain(moduli, stream);
  const GuardedBuffer<Word> out(polys * limbs.count * degree, stream);
  uniform_residues_fill(RnsView<Word>(out.span().data(), polys, limbs.count, degree), limbs, chain,
                        key, position, stream);
  std::vector<Word> host = out.to_host();
  EXPECT_TRUE(out.margins_are_intact());
  return host;
}

class UniformResiduesOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  template <typename Word>
  void check_every_residue() {
    const Stream stream = make_stream(GetParam());
    const ModulusChain<Word> chain(test_moduli<Word>(), stream);
    LimbIndices limbs;
    for (const int index : {3, 0, 2}) limbs.append(index);
    for (const std::int64_t degree : {2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096}) {
      const std::int64_t stride = limbs.count * degree + 3;
      const GuardedBuffer<Word> out(2 * stride, stream);
      const std::vector<Word> before = out.to_host();
      uniform_residues_fill(RnsView<Word>(out.span().data(), 2, limbs.count, degree, stride), limbs,
                            chain, test_key(), kPosition, stream);
      std::vector<Word> expected = before;  // between the polynomials nothing is written
      for (std::int64_t poly = 0; poly < 2; ++poly) {
        for (std::int64_t limb = 0; limb < limbs.count; ++limb) {
          for (std::int64_t i = 0; i < degree; ++i) {
            const Word q = chain[limbs[limb]].value;
            const std::uint64_t residue =
                expected_residue(q, kPosition.step + static_cast<std::uint64_t>(poly),
                                 static_cast<std::uint32_t>(limbs[limb]), i);
            ASSERT_LT(residue, q);
            expected[static_cast<std::size_t>(poly * stride + limb * degree + i)] =
                static_cast<Word>(residue);
          }
        }
      }
      EXPECT_EQ(out.to_host(), expected) << "degree " << degree;
      EXPECT_TRUE(out.margins_are_intact());
    }
  }
};

TEST_P(UniformResiduesOnEveryBackend, AreTheProductsHighWordOfTheirOwnKeystream) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] {
    check_every_residue<std::uint32_t>();
    check_every_residue<std::uint64_t>();
  });
}

TEST_P(UniformResiduesOnEveryBackend, EqualTheKnownAnswers) {
  SKIP_WITHOUT_DEVICE(GetParam());
  // tests/reference/sampling_digests.py; the step passes from 2^32 - 1 to 2^32.
  RandomKey key;
  for (std::uint32_t i = 0; i < 8; ++i) key.words[i] = 0x01020300 + i;
  const RandomPosition position{Purpose::kHeUniform, 5, 0xffffffff, 0};
  LimbIndices limbs;
  for (const int index : {2, 0, 1}) limbs.append(index);
  for_each_simd_target(GetParam(), [&] {
    const Stream stream = make_stream(GetParam());
    EXPECT_EQ(sha256(draw<std::uint32_t>(2, limbs, 1024, stream, position, key,
                                         {1073741789, 5, 33554393})),
              "382316c916742b5f73b2bbd4974a26840a2f76c4ad25690578c42fc338b7d5d4");
    EXPECT_EQ(sha256(draw<std::uint64_t>(2, limbs, 1024, stream, position, key,
                                         {(1ull << 61) - 1, 5, 1073741789})),
              "69db9799cda2bab586fbab0a20caf7a33877ed0b62014fc4e31cb40d9b6f7cf1");
  });
}

TEST_P(UniformResiduesOnEveryBackend, DependOnNoOtherLimbAndNotOnTheDegree) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const std::vector<std::uint32_t> all =
      draw<std::uint32_t>(1, LimbIndices::range(0, 5), 512, stream);
  for (int limb = 0; limb < 5; ++limb) {
    const std::vector<std::uint32_t> alone =
        draw<std::uint32_t>(1, LimbIndices::range(limb, 1), 64, stream);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), all.begin() + 512 * limb));
  }
}

TEST_P(UniformResiduesOnEveryBackend, NothingToFillIsNoError) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  EXPECT_TRUE(draw<std::uint32_t>(0, LimbIndices::range(0, 2), 8, stream).empty());
  EXPECT_TRUE(draw<std::uint32_t>(2, LimbIndices(), 8, stream).empty());
}

TEST_P(UniformResiduesOnEveryBackend, BadArgumentsAreErrors) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const ModulusChain<std::uint32_t> chain(test_moduli<std::uint32_t>(), stream);
  const Buffer<std::uint32_t> out(64, stream);
  using View = RnsView<std::uint32_t>;
  const auto message = [&](View view, LimbIndices limbs, const RandomPosition& position,
                           const Stream& on) -> std::string {
    try {
      uniform_residues_fill(view, limbs, chain, test_key(), position, on);
    } catch (const std::logic_error& error) {
      return error.what();
    }
    return "no error";
  };
  const LimbIndices two = LimbIndices::range(0, 2);
  EXPECT_EQ(message(View(out.data(), 1, 3, 8), two, kPosition, stream),
            "uniform_residues_fill: out.limbs = 3, expected limbs.count = 2");
  EXPECT_EQ(message(View(out.data(), 1, 2, 8), LimbIndices::range(4, 2), kPosition, stream),
            "uniform_residues_fill: limbs[1] = 5, expected 0 to 4");
  EXPECT_EQ(message(View(out.data(), 2, 2, 8, 15), two, kPosition, stream),
            "uniform_residues_fill: out.poly_stride = 15, expected at least limbs * degree = 16");
  EXPECT_EQ(message(View(out.data(), -1, 2, 8), two, kPosition, stream),
            "uniform_residues_fill: out.polys = -1, expected at least 0");
  EXPECT_EQ(message(View(out.data(), 1, 2, 12), two, kPosition, stream),
            "uniform_residues_fill: out.degree = 12, expected a power of two from 2 to 131072");
  EXPECT_EQ(message(View(out.data(), 1, 2, 8), two, {Purpose::kTest, 0, 0, 1}, stream),
            "uniform_residues_fill: position.tensor = 1, expected 0: a limb's tensor is its "
            "modulus' index in the chain");
  EXPECT_EQ(message(View(out.data(), 2, 2, 8), two, {Purpose::kTest, 0, StreamLayout::kMaxStep, 0},
                    stream),
            "uniform_residues_fill: position.step = 17592186044415 and out.polys = 2, expected "
            "steps of [0, 17592186044416)");
  EXPECT_EQ(message(View(out.data(), 1, 2, 8), two, {Purpose::kTest, 1u << 20, 0, 0}, stream),
            "pack_position: key_epoch = 1048576, expected at most 1048575");
  if (GetParam() == Backend::kCuda) {
    EXPECT_EQ(message(View(out.data(), 1, 2, 8), two, kPosition, Stream::serial()),
              "uniform_residues_fill: chain lies in the memory of cuda, expected that of the "
              "stream, cpu");
  }
}

INSTANTIATE_TEST_SUITE_P(All, UniformResiduesOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(UniformResidues, DoNotDependOnThreads) {
  const LimbIndices limbs = LimbIndices::range(0, 5);
  EXPECT_EQ(draw<std::uint32_t>(3, limbs, 32768, Stream::serial()),
            draw<std::uint32_t>(3, limbs, 32768, Stream::cpu(4)));
  EXPECT_EQ(draw<std::uint64_t>(3, limbs, 8192, Stream::serial()),
            draw<std::uint64_t>(3, limbs, 8192, Stream::cpu(4)));
}

TEST(UniformResidues, DifferInEveryFieldOfThePosition) {
  const LimbIndices first = LimbIndices::range(0, 1);
  const auto at = [&](const RandomPosition& position, const RandomKey& key = test_key()) {
    return draw<std::uint32_t>(1, first, 128, Stream::serial(), position, key);
  };
  const std::vector<std::uint32_t> base = at(kPosition);
  std::vector<std::vector<std::uint32_t>> others;
  for (int bit = 0; bit < 44; ++bit) {
    RandomPosition position = kPosition;
    position.step ^= std::uint64_t{1} << bit;
    others.push_back(at(position));
  }
  for (int bit = 0; bit < 20; ++bit) {
    RandomPosition position = kPosition;
    position.key_epoch ^= std::uint32_t{1} << bit;
    others.push_back(at(position));
  }
  RandomPosition position = kPosition;
  position.purpose = Purpose::kHeError;
  others.push_back(at(position));
  others.push_back(at(kPosition, insecure_key_from_seed(18)));
  // The same modulus under another index in the chain.
  others.push_back(draw<std::uint32_t>(1, LimbIndices::range(1, 1), 128, Stream::serial(),
                                       kPosition, test_key(), {5, 1073741789}));
  for (const std::vector<std::uint32_t>& other : others) {
    // Of 128 residues of 30 bits, two agree by chance with probability below 10^-14 a pair.
    int equal = 0;
    for (std::size_t i = 0; i < 128; ++i) equal += other[i] == base[i] ? 1 : 0;
    EXPECT_LT(equal, 2);
  }
}

TEST(StateOf, IsTheStateOfThePosition) {
  for (const std::uint64_t step :
       {std::uint64_t{0}, std::uint64_t{0xffffffff}, std::uint64_t{1} << 32,
        (std::uint64_t{1} << 32) + 1, StreamLayout::kMaxStep}) {
    for (const std::uint32_t tensor : {0u, 1u, 191u, 255u}) {
      for (const std::uint32_t epoch : {0u, 1u, StreamLayout::kMaxKeyEpoch}) {
        const RandomPosition base{Purpose::kHeUniform, epoch, 0xfedcba98765, 0};
        const RandomPosition position{Purpose::kHeUniform, epoch, step, tensor};
        EXPECT_EQ(state_of(stream_state(test_key(), base, DrawKind::kInteger), step, tensor),
                  stream_state(test_key(), position, DrawKind::kInteger));
      }
    }
  }
}

TEST(ResidueBelow, NoValueHasMoreThanTheStatedBias) {
  // The draws that give value v are U in [ceil(v 2^96 / q), ceil((v + 1) 2^96 / q)): a value's
  // first U maps to it, and the one before to its predecessor. So every value has floor(2^96 / q)
  // or one more.
  std::mt19937_64 generator(11);
  for (const std::uint32_t q : {5u, 65537u, 1073741789u, (1u << 30) - 1}) {
    for (int i = 0; i < 2000; ++i) {
      const std::uint64_t value = 1 + generator() % (q - 1);
      const UInt128 numerator = UInt128{value} << 96;
      const UInt128 first = (numerator + q - 1) / q;
      const auto at = [&](UInt128 u) {
        return residue_below(q, static_cast<std::uint32_t>(u), static_cast<std::uint32_t>(u >> 32),
                             static_cast<std::uint32_t>(u >> 64));
      };
      EXPECT_EQ(at(first), value);
      EXPECT_EQ(at(first - 1), value - 1);
    }
    EXPECT_EQ(residue_below(q, 0, 0, 0), 0u);
    EXPECT_EQ(residue_below(q, ~0u, ~0u, ~0u), q - 1);
  }
}

// ---- Statistics: fixed seeds; every statistic is nearly standard normal, so that |z| < 6 has a
// false alarm of 2e-9. chi^2 is made normal by Wilson and Hilferty's cube root. ----

double chi_square_z(const std::vector<double>& counts, double expected) {
  double chi_square = 0;
  for (const double count : counts) {
    chi_square += (count - expected) * (count - expected) / expected;
  }
  const double freedom = static_cast<double>(counts.size()) - 1;
  const double spread = 2 / (9 * freedom);
  return (std::cbrt(chi_square / freedom) - (1 - spread)) / std::sqrt(spread);
}

template <typename Word>
class ResidueStatistics : public ::testing::Test {
 protected:
  static constexpr std::int64_t kDraws = std::int64_t{1} << 20;
  static std::vector<double> residues(Word q) {  // of eight polynomials
    const std::vector<Word> drawn = draw<Word>(8, LimbIndices::range(0, 1), kDraws / 8,
                                               Stream::cpu(2), kPosition, test_key(), {q});
    return {drawn.begin(), drawn.end()};
  }
  static constexpr Word kLargest =
      static_cast<Word>((Word{1} << WordTraits<Word>::kModulusBits) - 1);
};
using Words = ::testing::Types<std::uint32_t, std::uint64_t>;
TYPED_TEST_SUITE(ResidueStatistics, Words);

TYPED_TEST(ResidueStatistics, EveryValueHasItsShare) {
  std::vector<double> counts(97);
  for (const double r : TestFixture::residues(97)) counts.at(static_cast<std::size_t>(r)) += 1;
  EXPECT_LT(std::abs(chi_square_z(counts, TestFixture::kDraws / 97.0)), 6);
}

TYPED_TEST(ResidueStatistics, EveryStretchOfALargeModulusHasItsShare) {
  std::vector<double> counts(1024);
  for (const double r : TestFixture::residues(TestFixture::kLargest)) {
    counts.at(static_cast<std::size_t>(r / static_cast<double>(TestFixture::kLargest) * 1024)) += 1;
  }
  EXPECT_LT(std::abs(chi_square_z(counts, TestFixture::kDraws / 1024.0)), 6);
}

TYPED_TEST(ResidueStatistics, MomentsAreThoseOfTheUniformDistribution) {
  // x = r / q - 1/2: mean 0 and variance 1/12; x^2: mean 1/12 and variance 1/180.
  double first = 0, second = 0;
  for (const double r : TestFixture::residues(TestFixture::kLargest)) {
    const double x = r / static_cast<double>(TestFixture::kLargest) - 0.5;
    first += x;
    second += x * x - 1.0 / 12;
  }
  EXPECT_LT(std::abs(first) / std::sqrt(TestFixture::kDraws / 12.0), 6);
  EXPECT_LT(std::abs(second) / std::sqrt(TestFixture::kDraws / 180.0), 6);
}

TYPED_TEST(ResidueStatistics, NeighboursAreIndependent) {
  // Pairs at the distances of neighbouring coefficients, slots, lanes' blocks and groups.
  const std::vector<double> residues = TestFixture::residues(13);
  for (const std::size_t distance : {1, 2, 3, 4, 16, 80, 240, 256}) {
    std::vector<double> counts(13 * 13);
    for (std::size_t i = 0; i + distance < residues.size(); i += 2 * distance) {
      for (std::size_t j = i; j < i + distance && j + distance < residues.size(); ++j) {
        counts.at(static_cast<std::size_t>(13 * residues[j] + residues[j + distance])) += 1;
      }
    }
    double pairs = 0;
    for (const double count : counts) pairs += count;
    ASSERT_GT(pairs, 500000);
    EXPECT_LT(std::abs(chi_square_z(counts, pairs / 169)), 6) << "distance " << distance;
  }
}

TEST(UniformResidues, LimbsAndPolynomialsAreIndependent) {
  // The same modulus cannot stand in a chain twice; 11 and 13 share cells of 143.
  const std::int64_t degree = 1 << 17;
  const std::vector<std::uint32_t> drawn = draw<std::uint32_t>(
      2, LimbIndices::range(0, 2), degree, Stream::cpu(2), kPosition, test_key(), {11, 13});
  std::vector<double> limbs(143), polys(121);
  for (std::int64_t i = 0; i < degree; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const auto n = static_cast<std::size_t>(degree);
    limbs.at(drawn[at] * 13 + drawn[at + n]) += 1;
    polys.at(drawn[at] * 11 + drawn[at + 2 * n]) += 1;
  }
  EXPECT_LT(std::abs(chi_square_z(limbs, static_cast<double>(degree) / 143)), 6);
  EXPECT_LT(std::abs(chi_square_z(polys, static_cast<double>(degree) / 121)), 6);
}

}  // namespace
}  // namespace velum::kernels
