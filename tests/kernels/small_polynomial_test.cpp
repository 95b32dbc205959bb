#include "velum/kernels/random/small_polynomial.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "random/small_polynomial_halves.h"
#include "reference/fixed_point.h"
#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "support/sha256.h"
#include "support/simd_targets.h"

namespace velum::kernels {
namespace {

using ::velum::testing::BackendName;
using ::velum::testing::every_backend;
using ::velum::testing::exp_of_minus;
using ::velum::testing::FixedPoint;
using ::velum::testing::for_each_simd_target;
using ::velum::testing::GuardedBuffer;
using ::velum::testing::make_stream;
using ::velum::testing::sha256;

RandomKey test_key() { return insecure_key_from_seed(23); }
RandomKey known_answer_key() {
  RandomKey key;
  for (std::uint32_t i = 0; i < 8; ++i) key.words[i] = 0x01020300 + i;
  return key;
}
constexpr RandomPosition kPosition{Purpose::kTest, 3, 1234567, 89};

// ---- Thresholds of the discrete Gaussian, computed apart from the table ----

/// 2^124 P(|X| >= k) = 2^124 S_k / Z with S_k = 2 sum_(x >= k) rho(x) and Z = 1 + S_1; rho(x) =
/// exp(-x^2 5000 / 101761), as 1 / (2 3.19^2) = 5000 / 101761. Each is off by less than 2^-200: 71
/// summands, twice, off by less than 2^-207.9; the rest is below 4 rho(72) < 2^-364.
struct ExactTails {
  std::array<FixedPoint, 51> upper;  // S_k, k >= 1
  FixedPoint total;                  // Z

  ExactTails() {
    FixedPoint sum;
    for (std::uint32_t x = 71; x >= 1; --x) {
      const FixedPoint root = exp_of_minus(x * x * 2500, 101761);
      const FixedPoint rho = root * root;
      sum = sum + rho + rho;
      if (x < upper.size()) upper[x] = sum;
    }
    total = FixedPoint(1) + upper[1];
  }
};

/// Threshold k of the table (k = 42: 0) times 2^-124.
FixedPoint table_tail(int k) {
  FixedPoint tail;
  if (k > kDiscreteGaussianCut) return tail;
  for (int w = 0; w < 4; ++w) {
    const auto word = static_cast<std::uint32_t>(kDiscreteGaussianThresholds[k - 1][w]);
    tail = tail + FixedPoint(word) * FixedPoint::power_of_two(124 - 31 * w);
  }
  return tail;
}

TEST(DiscreteGaussianTable, EveryEntryIsTheNearestInteger) {
  // |T_k / 2^124 - S_k / Z| <= 2^-125, multiplied by Z; and not so near to a tie that the errors of
  // this test (2^-200 (1 + Z), Z < 9) could decide.
  const ExactTails exact;
  const FixedPoint slack = FixedPoint::power_of_two(190);
  for (int k = 1; k <= kDiscreteGaussianCut + 1; ++k) {
    const FixedPoint error =
        distance(table_tail(k) * exact.total, exact.upper[static_cast<std::size_t>(k)]);
    EXPECT_TRUE(error + slack < exact.total * FixedPoint::power_of_two(125)) << "k = " << k;
  }
}

TEST(DiscreteGaussianTable, IsWithin2ToMinus120OfTheDistribution) {
  // Total variation: half of the sum over x of |P_table(x) - P(x)|; a magnitude has two x's of
  // equal errors. Multiplied by Z, as above.
  const ExactTails exact;
  FixedPoint sum;
  for (int k = 0; k <= kDiscreteGaussianCut; ++k) {
    const auto at = static_cast<std::size_t>(k);
    const FixedPoint table = (k == 0 ? FixedPoint(1) : table_tail(k)) - table_tail(k + 1);
    const FixedPoint truth = (k == 0 ? exact.total : exact.upper[at]) - exact.upper[at + 1];
    sum = sum + distance(table * exact.total, truth);
  }
  sum = sum + exact.upper[kDiscreteGaussianCut + 1];  // the tail, which the table has not
  const FixedPoint slack = FixedPoint::power_of_two(190);
  EXPECT_TRUE(sum + slack < exact.total * FixedPoint::power_of_two(119));  // twice 2^-120
  // The stated tail beyond the cut.
  EXPECT_TRUE(exact.upper[kDiscreteGaussianCut + 1] + slack <
              exact.total * FixedPoint::power_of_two(125));
}

TEST(DiscreteGaussianTable, EntriesFallAndFit31BitWords) {
  for (int k = 1; k <= kDiscreteGaussianCut; ++k) {
    EXPECT_TRUE(table_tail(k + 1) < table_tail(k));
    for (int w = 0; w < 4; ++w) EXPECT_GE(kDiscreteGaussianThresholds[k - 1][w], 0);
  }
}

TEST(DiscreteGaussian, StatesItsVariance) {
  long double total = 0, second = 0;
  for (int x = -200; x <= 200; ++x) {
    const long double weight = std::exp(-static_cast<long double>(x) * x / (2 * 3.19L * 3.19L));
    total += weight;
    second += weight * x * x;
  }
  EXPECT_NEAR(static_cast<double>(second / total), DiscreteGaussian::kVariance, 1e-14);
  EXPECT_EQ(DiscreteGaussian::kBound, kDiscreteGaussianCut);
}

/// The words that give U and the sign.
std::array<std::uint32_t, 4> words_of(const std::array<std::uint32_t, 4>& u, bool positive,
                                      std::uint32_t ignored) {
  std::array<std::uint32_t, 4> words{};
  for (std::size_t w = 0; w < 4; ++w) words[w] = u[w] << 1 | (ignored >> w & 1);
  words[3] = u[3] << 1 | (positive ? 1 : 0);
  return words;
}

/// U + difference, in words of 31 bits, for difference -1, 0 or 1; wraps at 2^124.
std::array<std::uint32_t, 4> moved(std::array<std::uint32_t, 4> u, int difference) {
  constexpr std::uint32_t kMask = 0x7fffffff;
  for (std::size_t w = 0; w < 4 && difference != 0; ++w) {
    const std::uint32_t before = u[w];
    u[w] = (before + static_cast<std::uint32_t>(difference)) & kMask;
    const bool carries = difference > 0 ? before == kMask : before == 0;
    if (!carries) break;
  }
  return u;
}

TEST(DiscreteGaussianMap, ChangesExactlyAtTheThresholdsOnEverySimdTarget) {
  // Around every threshold, and with words of it replaced by their neighbours and by the extremes;
  // expected by lexicographic comparison.
  std::vector<std::array<std::uint32_t, 4>> inputs;
  for (const auto& threshold : kDiscreteGaussianThresholds) {
    std::array<std::uint32_t, 4> t{};
    for (std::size_t w = 0; w < 4; ++w) t[w] = static_cast<std::uint32_t>(threshold[w]);
    for (const int difference : {-1, 0, 1}) inputs.push_back(moved(t, difference));
    for (std::size_t w = 0; w < 4; ++w) {
      for (const std::uint32_t word : {t[w] - 1, t[w] + 1, 0u, 0x7fffffffu}) {
        auto other = t;
        other[w] = word & 0x7fffffff;
        inputs.push_back(other);
      }
    }
  }
  inputs.push_back({0, 0, 0, 0});
  inputs.push_back({0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff});
  std::mt19937_64 generator(5);
  for (int i = 0; i < 10000; ++i) {  // with upper words 0, so that the low thresholds matter
    std::array<std::uint32_t, 4> u{};
    for (std::size_t w = 0; w <= generator() % 4; ++w)
      u[w] = static_cast<std::uint32_t>(generator() & 0x7fffffff);
    inputs.push_back(u);
  }
  std::vector<std::uint32_t> words;
  std::vector<std::int8_t> expected;
  for (const auto& u : inputs) {
    int magnitude = 0;
    for (const auto& t : kDiscreteGaussianThresholds) {
      magnitude += std::lexicographical_compare(u.rbegin(), u.rend(), std::rbegin(t), std::rend(t),
                                                [](auto a, auto b) {
                                                  return static_cast<std::int64_t>(a) <
                                                         static_cast<std::int64_t>(b);
                                                })
                       ? 1
                       : 0;
    }
    for (const bool positive : {false, true}) {
      for (const std::uint32_t word :
           words_of(u, positive, static_cast<std::uint32_t>(generator())))
        words.push_back(word);
      expected.push_back(static_cast<std::int8_t>(positive ? magnitude : -magnitude));
    }
  }
  for (int k = 0; k < kDiscreteGaussianCut; ++k) {  // T_k - 1 gives k, T_k gives k - 1
    const std::size_t at = static_cast<std::size_t>(k) * 19 * 2;
    ASSERT_EQ(expected[at + 1], k + 1);
    ASSERT_EQ(expected[at + 2], -k);
  }
  for_each_simd_target(Backend::kCpu, [&] {
    std::vector<std::int8_t> draws(expected.size());
    cpu::discrete_gaussian_map(words, draws);
    EXPECT_EQ(draws, expected);
  });
  for (std::size_t i = 0; i < expected.size(); ++i) {  // the text that nvcc compiles, too
    ASSERT_EQ(DiscreteGaussianDraw::of(words.data() + 4 * i, 0), expected[i]);
  }
}

TEST(TernaryMap, ChangesExactlyAtItsThresholds) {
  constexpr std::uint64_t kThird = 0x5555555555555555;  // (2^64 - 1) / 3
  EXPECT_EQ(ternary_of(0), -1);
  EXPECT_EQ(ternary_of(kThird), -1);
  EXPECT_EQ(ternary_of(kThird + 1), 0);
  EXPECT_EQ(ternary_of(2 * kThird), 0);
  EXPECT_EQ(ternary_of(2 * kThird + 1), 1);
  EXPECT_EQ(ternary_of(~std::uint64_t{0}), 1);
}

// ---- Every backend ----

std::uint64_t stream_bits(DrawKind kind, std::int64_t draw) {
  const ChaCha20State block = chacha20_block(stream_state(test_key(), kPosition, kind),
                                             static_cast<std::uint32_t>(draw / 8));
  return block.words[2 * (draw % 8)] + (std::uint64_t{block.words[2 * (draw % 8) + 1]} << 32);
}

class SmallPolynomialOnEveryBackend : public ::testing::TestWithParam<Backend> {};

TEST_P(SmallPolynomialOnEveryBackend, TernaryDrawsAreThoseOfTheirBitsAtEverySize) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] {
    const Stream stream = make_stream(GetParam());
    for (const std::int64_t size : {0, 1, 7, 8, 31, 32, 33, 127, 128, 129, 257, 3000}) {
      const GuardedBuffer<std::int8_t> out(size, stream);
      ternary_fill(out.span(), test_key(), kPosition, stream);
      std::vector<std::int8_t> expected;
      for (std::int64_t i = 0; i < size; ++i) {
        const UInt128 share = UInt128{stream_bits(DrawKind::kBits, i)} * 3;
        expected.push_back(static_cast<std::int8_t>(static_cast<int>(share >> 64) - 1));
      }
      EXPECT_EQ(out.to_host(), expected) << "size " << size;
      EXPECT_TRUE(out.margins_are_intact());
    }
  });
}

TEST_P(SmallPolynomialOnEveryBackend, DrawsAreTheSameWhereverTheOutputBegins) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] {
    const Stream stream = make_stream(GetParam());
    constexpr std::int64_t kSize = 301;
    for (const auto fill : {ternary_fill, discrete_gaussian_fill}) {
      const GuardedBuffer<std::int8_t> whole(kSize, stream);
      fill(whole.span(), test_key(), kPosition, stream);
      const std::vector<std::int8_t> draws = whole.to_host();
      for (std::int64_t shift = 1; shift < 8; ++shift) {
        const GuardedBuffer<std::int8_t> out(shift + kSize, stream);
        std::vector<std::int8_t> expected = out.to_host();
        std::copy(draws.begin(), draws.end(), expected.begin() + shift);
        fill({out.span().data() + shift, kSize}, test_key(), kPosition, stream);
        EXPECT_EQ(out.to_host(), expected) << "shift " << shift;
        EXPECT_TRUE(out.margins_are_intact());
      }
    }
  });
}

TEST_P(SmallPolynomialOnEveryBackend, DiscreteGaussianDrawsAreThoseOfTheirBitsAtEverySize) {
  SKIP_WITHOUT_DEVICE(GetParam());
  for_each_simd_target(GetParam(), [&] {
    const Stream stream = make_stream(GetParam());
    for (const std::int64_t size : {0, 1, 3, 4, 31, 32, 33, 63, 64, 65, 257, 3000}) {
      const GuardedBuffer<std::int8_t> out(size, stream);
      discrete_gaussian_fill(out.span(), test_key(), kPosition, stream);
      std::vector<std::int8_t> expected;
      for (std::int64_t i = 0; i < size; ++i) {
        const std::uint64_t low = stream_bits(DrawKind::kGaussian, 2 * i);
        const std::uint64_t high = stream_bits(DrawKind::kGaussian, 2 * i + 1);
        const UInt128 u = UInt128{low >> 1 & 0x7fffffff} | UInt128{low >> 33} << 31 |
                          UInt128{high >> 1 & 0x7fffffff} << 62 | UInt128{high >> 33} << 93;
        int magnitude = 0;
        for (const auto& t : kDiscreteGaussianThresholds) {
          UInt128 threshold = 0;
          for (int w = 3; w >= 0; --w)
            threshold = threshold << 31 | static_cast<std::uint32_t>(t[w]);
          magnitude += u < threshold ? 1 : 0;
        }
        expected.push_back(
            static_cast<std::int8_t>((high >> 32 & 1) != 0 ? magnitude : -magnitude));
      }
      EXPECT_EQ(out.to_host(), expected) << "size " << size;
      EXPECT_TRUE(out.margins_are_intact());
    }
  });
}

/// The draws of the smallest (tag, index), by sorting.
std::vector<std::int8_t> fixed_weight_by_sorting(const std::vector<std::uint64_t>& bits,
                                                 std::int64_t weight) {
  std::vector<std::size_t> order(bits.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return bits[a] >> 1 < bits[b] >> 1; });
  std::vector<std::int8_t> out(bits.size());
  for (std::size_t j = 0; j < static_cast<std::size_t>(weight); ++j) {
    out[order[j]] = (bits[order[j]] & 1) != 0 ? -1 : 1;
  }
  return out;
}

TEST_P(SmallPolynomialOnEveryBackend, FixedWeightSelectsTheSmallestTags) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  for (const std::int64_t size : {0, 1, 7, 8, 31, 32, 33, 257, 1024}) {
    std::vector<std::uint64_t> bits;
    for (std::int64_t i = 0; i < size; ++i) bits.push_back(stream_bits(DrawKind::kSelection, i));
    for (const std::int64_t weight : {std::int64_t{0}, std::min<std::int64_t>(1, size), size / 3,
                                      std::max<std::int64_t>(size - 1, 0), size}) {
      const GuardedBuffer<std::int8_t> out(size, stream);
      fixed_weight_ternary_fill_insecure(weight, out.span(), test_key(), kPosition, stream);
      const std::vector<std::int8_t> host = out.to_host();
      EXPECT_EQ(host, fixed_weight_by_sorting(bits, weight))
          << "size " << size << " weight " << weight;
      EXPECT_EQ(std::count_if(host.begin(), host.end(), [](int x) { return x == 1 || x == -1; }),
                weight);
      EXPECT_EQ(std::count(host.begin(), host.end(), 0), size - weight);
      EXPECT_TRUE(out.margins_are_intact());
    }
  }
}

TEST_P(SmallPolynomialOnEveryBackend, EqualsTheKnownAnswers) {
  SKIP_WITHOUT_DEVICE(GetParam());
  // tests/reference/sampling_digests.py
  for_each_simd_target(GetParam(), [&] {
    const Stream stream = make_stream(GetParam());
    const auto at = [](Purpose purpose) { return RandomPosition{purpose, 5, 6, 7}; };
    const GuardedBuffer<std::int8_t> ternary(10000, stream);
    ternary_fill(ternary.span(), known_answer_key(), at(Purpose::kHeTernary), stream);
    EXPECT_EQ(sha256(ternary.to_host()),
              "8cb1aa0c9daf4ac10ea83269969412e8a9f28ed1d7cf42169815e40db9d26332");
    const GuardedBuffer<std::int8_t> gaussian(10000, stream);
    discrete_gaussian_fill(gaussian.span(), known_answer_key(), at(Purpose::kHeError), stream);
    EXPECT_EQ(sha256(gaussian.to_host()),
              "176a614c703ec096455d1a1a9532e78e61fa4a5ae9b58ac09813c669478deaff");
    const GuardedBuffer<std::int8_t> fixed(5000, stream);
    fixed_weight_ternary_fill_insecure(192, fixed.span(), known_answer_key(),
                                       at(Purpose::kHeSecretKey), stream);
    EXPECT_EQ(sha256(fixed.to_host()),
              "6e35e5f3d688ce2ecade77bc99bb032e3e9320b6ceb6f4d5e6101b957e201d97");
  });
}

TEST_P(SmallPolynomialOnEveryBackend, BadArgumentsAreErrors) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const Buffer<std::int8_t> out(10, stream);
  const auto message = [&](const auto& call) -> std::string {
    try {
      call();
    } catch (const std::logic_error& error) {
      return error.what();
    }
    return "no error";
  };
  const auto fixed_weight = [&](std::int64_t weight, std::int64_t size) {
    return message([&] {
      fixed_weight_ternary_fill_insecure(weight, Span<std::int8_t>(out.data(), size), test_key(),
                                         kPosition, stream);
    });
  };
  EXPECT_EQ(fixed_weight(11, 10),
            "fixed_weight_ternary_fill_insecure: weight = 11, expected 0 to out.size() = 10");
  EXPECT_EQ(fixed_weight(-1, 10),
            "fixed_weight_ternary_fill_insecure: weight = -1, expected 0 to out.size() = 10");
  EXPECT_EQ(fixed_weight(1, (1 << 20) + 1),
            "fixed_weight_ternary_fill_insecure: first_element = 0 and out.size() = 1048577, "
            "expected elements of [0, 1048576)");
  const RandomPosition beyond{Purpose::kTest, 0, 0, 1u << 24};
  for (const std::string& error :
       {message([&] { ternary_fill(out.span(), test_key(), beyond, stream); }),
        message([&] { discrete_gaussian_fill(out.span(), test_key(), beyond, stream); })}) {
    EXPECT_EQ(error, "pack_position: tensor = 16777216, expected at most 16777215");
  }
  EXPECT_EQ(message([&] {
              ternary_fill(Span<std::int8_t>(out.data(), (std::int64_t{1} << 35) + 1), test_key(),
                           kPosition, stream);
            }),
            "ternary_fill: first_element = 0 and out.size() = 34359738369, expected elements of "
            "[0, 34359738368)");
  EXPECT_EQ(message([&] {
              discrete_gaussian_fill(Span<std::int8_t>(out.data(), (std::int64_t{1} << 34) + 1),
                                     test_key(), kPosition, stream);
            }),
            "discrete_gaussian_fill: first_element = 0 and out.size() = 17179869185, expected "
            "elements of [0, 17179869184)");

  const ModulusChain<std::uint32_t> chain({127, 131, 65537}, stream);
  const Buffer<std::uint32_t> residues(30, stream);
  const auto convert = [&](std::int64_t size, std::int64_t limbs, int first) {
    return message([&] {
      small_to_residues(Span<const std::int8_t>(out.data(), size),
                        RnsView<std::uint32_t>(residues.data(), 1, limbs, 8),
                        LimbIndices::range(first, 2), chain, stream);
    });
  };
  EXPECT_EQ(convert(7, 2, 1),
            "small_to_residues: coefficients.size() = 7, expected out.polys * out.degree = 8");
  EXPECT_EQ(convert(8, 3, 1), "small_to_residues: out.limbs = 3, expected limbs.count = 2");
  EXPECT_EQ(convert(8, 2, 0),
            "small_to_residues: the modulus of limb 0 = 127, expected above 128 for 8-bit "
            "coefficients");
  EXPECT_EQ(convert(8, 2, 2), "small_to_residues: limbs[1] = 3, expected 0 to 2");
}

/// x modulo q by the definition.
template <typename Word, typename Coefficient>
Word residue_by_division(Coefficient x, Word q) {
  __extension__ typedef __int128 Int128;
  const Int128 r = Int128{x} % Int128{q};
  return static_cast<Word>(r < 0 ? r + q : r);
}

template <typename Word, typename Coefficient>
void check_residues_of_small(Backend backend, const std::vector<Coefficient>& values,
                             const std::vector<Word>& moduli) {
  const Stream stream = make_stream(backend);
  const ModulusChain<Word> chain(moduli, stream);
  LimbIndices limbs;
  for (int index = chain.size() - 1; index >= 0; --index) limbs.append(index);
  for (const std::int64_t degree : {2, 4, 8, 16, 32, 256, 8192}) {
    std::vector<Coefficient> coefficients;
    for (std::int64_t i = 0; i < 2 * degree; ++i) {
      coefficients.push_back(values[static_cast<std::size_t>(i * 7 + degree) % values.size()]);
    }
    const GuardedBuffer<Coefficient> in(coefficients, stream);
    const std::int64_t stride = limbs.count * degree + 5;
    const GuardedBuffer<Word> out(2 * stride, stream);
    std::vector<Word> expected = out.to_host();
    small_to_residues(in.span(), RnsView<Word>(out.span().data(), 2, limbs.count, degree, stride),
                      limbs, chain, stream);
    for (std::int64_t poly = 0; poly < 2; ++poly) {
      for (std::int64_t limb = 0; limb < limbs.count; ++limb) {
        for (std::int64_t i = 0; i < degree; ++i) {
          expected[static_cast<std::size_t>(poly * stride + limb * degree + i)] =
              residue_by_division(coefficients[static_cast<std::size_t>(poly * degree + i)],
                                  chain[limbs[limb]].value);
        }
      }
    }
    EXPECT_EQ(out.to_host(), expected) << "degree " << degree;
    EXPECT_TRUE(out.margins_are_intact());
    EXPECT_TRUE(in.margins_are_intact());
  }
}

template <typename Coefficient>
std::vector<Coefficient> extreme_values(std::uint64_t q) {
  using Limits = std::numeric_limits<Coefficient>;
  std::vector<Coefficient> values{0,  1,  -1, Limits::min(), Limits::max(), Limits::min() + 1,
                                  41, -41};
  for (const std::int64_t multiple : {1, 2, 3}) {
    for (const std::int64_t difference : {-1, 0, 1}) {
      const std::int64_t value = static_cast<std::int64_t>(q) * multiple + difference;
      values.push_back(static_cast<Coefficient>(value));
      values.push_back(static_cast<Coefficient>(-value));
    }
  }
  std::mt19937_64 generator(3);
  while (values.size() < 300) values.push_back(static_cast<Coefficient>(generator()));
  return values;
}

TEST_P(SmallPolynomialOnEveryBackend, ResiduesAreThoseOfTheDefinition) {
  SKIP_WITHOUT_DEVICE(GetParam());
  std::vector<std::int8_t> bytes;
  for (int x = -128; x <= 127; ++x) bytes.push_back(static_cast<std::int8_t>(x));
  constexpr std::uint32_t kLargest = (1u << 30) - 1;
  constexpr std::uint64_t kLargestWide = (1ull << 61) - 1;
  for_each_simd_target(GetParam(), [&] {
    const Backend backend = GetParam();
    check_residues_of_small<std::uint32_t>(backend, bytes, {129, 131, 1073741789, kLargest});
    check_residues_of_small<std::uint64_t>(backend, bytes, {129, 131, kLargestWide});
    check_residues_of_small<std::uint32_t>(backend, extreme_values<std::int32_t>(kLargest),
                                           {5, 131, 1073741789, kLargest});
    check_residues_of_small<std::uint64_t>(backend, extreme_values<std::int32_t>(131),
                                           {5, 131, kLargestWide});
    check_residues_of_small<std::uint32_t>(backend, extreme_values<std::int64_t>(kLargest),
                                           {5, 131, 1073741789, kLargest});
    check_residues_of_small<std::uint64_t>(backend, extreme_values<std::int64_t>(kLargestWide),
                                           {5, 131, kLargestWide});
  });
}

INSTANTIATE_TEST_SUITE_P(All, SmallPolynomialOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

// ---- Independence of threads and positions ----

template <typename Fill>
std::vector<std::int8_t> drawn(const Fill& fill, std::int64_t size,
                               const RandomPosition& position = kPosition,
                               const Stream& stream = Stream::cpu(2)) {
  std::vector<std::int8_t> out(static_cast<std::size_t>(size));
  fill(Span<std::int8_t>(out), test_key(), position, stream);
  return out;
}
const auto kTernary = [](auto... arguments) { ternary_fill(arguments...); };
const auto kGaussian = [](auto... arguments) { discrete_gaussian_fill(arguments...); };
const auto kFixedWeight = [](Span<std::int8_t> out, auto... arguments) {
  fixed_weight_ternary_fill_insecure(out.size() / 2, out, arguments...);
};

TEST(SmallPolynomial, DoesNotDependOnThreads) {
  EXPECT_EQ(drawn(kTernary, 100003, kPosition, Stream::serial()),
            drawn(kTernary, 100003, kPosition, Stream::cpu(4)));
  EXPECT_EQ(drawn(kGaussian, 100003, kPosition, Stream::serial()),
            drawn(kGaussian, 100003, kPosition, Stream::cpu(4)));
}

TEST(SmallPolynomial, DiffersInEveryFieldOfThePosition) {
  const auto check = [](const auto& fill) {
    const std::vector<std::int8_t> base = drawn(fill, 200);
    EXPECT_EQ(drawn(fill, 200), base);
    for (const RandomPosition& other :
         {RandomPosition{Purpose::kHeError, 3, 1234567, 89},
          RandomPosition{Purpose::kTest, 4, 1234567, 89},
          RandomPosition{Purpose::kTest, 3, 1234568, 89},
          RandomPosition{Purpose::kTest, 3, 1234567 + (std::uint64_t{1} << 32), 89},
          RandomPosition{Purpose::kTest, 3, 1234567, 90}}) {
      EXPECT_NE(drawn(fill, 200, other), base);
    }
  };
  check(kTernary);
  check(kGaussian);
  check(kFixedWeight);
}

TEST(SelectionBorder, BreaksTiesByIndexAndSelectsTheWeightExactly) {
  // Few tags, so that most draws share theirs; the search as both halves run it.
  std::mt19937_64 generator(9);
  for (const std::uint64_t tags : {1, 2, 5}) {
    std::vector<std::uint64_t> bits;
    for (int i = 0; i < 50; ++i) {
      const std::uint64_t tag = generator() % tags * 0x123456789abcdef;
      bits.push_back(tag << 1 | (generator() & 1));
    }
    bits[7] = ~std::uint64_t{0};  // the largest tag
    for (std::uint64_t weight = 0; weight <= bits.size(); ++weight) {
      FixedWeightTask task{};
      task.weight = weight;
      SelectionBorder border{0, 0};
      for (int step = 0; step < FixedWeightTask::kSteps; ++step) {
        const SelectionBorder next = FixedWeightTask::with_bit(border, step);
        std::uint64_t selected = 0;
        for (std::size_t i = 0; i < bits.size(); ++i) {
          selected += next.selects(FixedWeightTask::tag_of(bits[i]), i);
        }
        border = task.narrowed(border, step, selected);
      }
      std::vector<std::int8_t> out;
      for (std::size_t i = 0; i < bits.size(); ++i) {
        out.push_back(FixedWeightTask::value_of(bits[i], i, border));
      }
      EXPECT_EQ(out, fixed_weight_by_sorting(bits, static_cast<std::int64_t>(weight)));
    }
  }
}

// ---- Statistics: fixed seeds; every statistic is nearly standard normal, so that |z| < 6 has a
// false alarm of 2e-9. chi^2 is made normal by Wilson and Hilferty's cube root. ----

double wilson_hilferty(double chi_square, double freedom) {
  const double spread = 2 / (9 * freedom);
  return (std::cbrt(chi_square / freedom) - (1 - spread)) / std::sqrt(spread);
}

/// counts against probabilities that sum to 1.
double chi_square_z(const std::vector<double>& counts, const std::vector<double>& probabilities) {
  double total = 0, chi_square = 0;
  for (const double count : counts) total += count;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double expected = total * probabilities[i];
    EXPECT_GT(expected, 20);  // where the normal approximation is used
    chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  return wilson_hilferty(chi_square, static_cast<double>(counts.size()) - 1);
}

constexpr std::int64_t kDraws = std::int64_t{1} << 22;

/// The cell of x among 2 cut + 1, of which the outer two hold the tails.
std::size_t cell_of(std::int64_t x, std::int64_t cut) {
  return static_cast<std::size_t>(std::clamp(x, -cut, cut) + cut);
}

TEST(TernaryStatistics, ValuesHaveTheirShares) {
  std::vector<double> counts(3);
  for (const std::int8_t x : drawn(kTernary, kDraws)) counts.at(cell_of(x, 1)) += 1;
  EXPECT_LT(std::abs(chi_square_z(counts, {1.0 / 3, 1.0 / 3, 1.0 / 3})), 6);
  // Mean 0, variance 2/3; squares: mean 2/3, variance 2/9.
  const double n = static_cast<double>(kDraws);
  EXPECT_LT(std::abs(counts[2] - counts[0]) / std::sqrt(n * 2 / 3), 6);
  EXPECT_LT(std::abs(counts[2] + counts[0] - n * 2 / 3) / std::sqrt(n * 2 / 9), 6);
}

TEST(TernaryStatistics, NeighboursAreIndependent) {
  const std::vector<std::int8_t> draws = drawn(kTernary, kDraws);
  for (const std::size_t distance : {1, 2, 4, 8, 16, 64, 128}) {
    std::vector<double> counts(9);
    for (std::size_t i = 0; i + 2 * distance <= draws.size(); i += 2 * distance) {
      for (std::size_t j = i; j < i + distance; ++j) {
        counts.at(3 * cell_of(draws[j], 1) + cell_of(draws[j + distance], 1)) += 1;
      }
    }
    EXPECT_LT(std::abs(chi_square_z(counts, std::vector<double>(9, 1.0 / 9))), 6)
        << "distance " << distance;
  }
}

/// P(X = x) for |x| < cut, and both tails from `cut` on as one cell each: 2 cut + 1 cells.
std::vector<double> gaussian_cells(std::int64_t cut) {
  std::vector<double> cells(static_cast<std::size_t>(2 * cut + 1));
  double total = 0;
  for (int x = -100; x <= 100; ++x) {
    const double weight = std::exp(-static_cast<double>(x) * x / (2 * 3.19 * 3.19));
    cells[cell_of(x, cut)] += weight;
    total += weight;
  }
  for (double& cell : cells) cell /= total;
  return cells;
}

TEST(DiscreteGaussianStatistics, ValuesHaveTheirShares) {
  constexpr int kCut = 14;  // beyond: 2 * 10^-5 of all draws, 40 a side
  std::vector<double> counts(2 * kCut + 1);
  for (const std::int8_t x : drawn(kGaussian, kDraws)) {
    ASSERT_LE(std::abs(x), DiscreteGaussian::kBound);
    counts.at(cell_of(x, kCut)) += 1;
  }
  EXPECT_LT(std::abs(chi_square_z(counts, gaussian_cells(kCut))), 6);
}

TEST(DiscreteGaussianStatistics, MomentsAreThoseOfTheDistribution) {
  // Those of the normal distribution to far more digits than this test sees: s^2, 3 s^4, ..
  const double s2 = DiscreteGaussian::kVariance;
  const double n = static_cast<double>(kDraws);
  std::array<double, 5> sums{};
  for (const std::int8_t x : drawn(kGaussian, kDraws)) {
    double power = 1;
    for (double& sum : sums) {
      sum += power;
      power *= x;
    }
  }
  EXPECT_LT(std::abs(sums[1]) / std::sqrt(n * s2), 6);
  EXPECT_LT(std::abs(sums[2] - n * s2) / std::sqrt(n * 2 * s2 * s2), 6);
  EXPECT_LT(std::abs(sums[3]) / std::sqrt(n * 15 * std::pow(s2, 3)), 6);
  EXPECT_LT(std::abs(sums[4] - n * 3 * s2 * s2) / std::sqrt(n * 96 * std::pow(s2, 4)), 6);
}

TEST(DiscreteGaussianStatistics, NeighboursAreIndependent) {
  const std::vector<std::int8_t> draws = drawn(kGaussian, kDraws);
  constexpr int kCut = 4;
  const std::vector<double> cells = gaussian_cells(kCut);
  std::vector<double> pairs;
  for (const double a : cells) {
    for (const double b : cells) pairs.push_back(a * b);
  }
  for (const std::size_t distance : {1, 2, 3, 4, 16, 64, 256}) {
    std::vector<double> counts(pairs.size());
    double product = 0;
    double used = 0;
    for (std::size_t i = 0; i + 2 * distance <= draws.size(); i += 2 * distance) {
      for (std::size_t j = i; j < i + distance; ++j) {
        counts.at(cell_of(draws[j], kCut) * cells.size() + cell_of(draws[j + distance], kCut)) += 1;
        product += draws[j] * draws[j + distance];
        used += 1;
      }
    }
    EXPECT_LT(std::abs(chi_square_z(counts, pairs)), 6) << "distance " << distance;
    EXPECT_LT(std::abs(product) / (DiscreteGaussian::kVariance * std::sqrt(used)), 6);
  }
}

TEST(FixedWeightStatistics, EveryCoefficientIsChosenAndSignedAlike) {
  // 20,000 polynomials of 8 of 64: a coefficient is chosen E = 2500 times on average. The sum of
  // (count - E)^2 / (E (1 - 8/64)) 63 / 64 is chi^2 with 63 degrees of freedom, as the counts' sum
  // is fixed.
  constexpr int kPolynomials = 20000;
  constexpr double kExpected = kPolynomials * 8 / 64.0;
  std::array<double, 64> counts{};
  double signs = 0;
  for (std::uint64_t step = 0; step < kPolynomials; ++step) {
    std::array<std::int8_t, 64> out{};
    fixed_weight_ternary_fill_insecure(8, out, test_key(), {Purpose::kTest, 0, step, 0},
                                       Stream::serial());
    for (std::size_t i = 0; i < out.size(); ++i) {
      counts[i] += std::abs(out[i]);
      signs += out[i];
    }
  }
  double chi_square = 0;
  for (const double count : counts) {
    chi_square +=
        (count - kExpected) * (count - kExpected) / (kExpected * (1 - 8 / 64.0)) * 63 / 64;
  }
  EXPECT_LT(std::abs(wilson_hilferty(chi_square, 63)), 6);
  EXPECT_LT(std::abs(signs) / std::sqrt(8.0 * kPolynomials), 6);
}

}  // namespace
}  // namespace velum::kernels
