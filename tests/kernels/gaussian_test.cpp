#include "velum/kernels/random/gaussian.h"

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

#include "random/gaussian_body.h"
#include "random/gaussian_chunk.h"
#include "reference/box_muller.h"
#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "support/simd_targets.h"
#include "support/tolerance.h"

namespace velum::kernels {
namespace {

using ::velum::testing::BackendName;
using ::velum::testing::every_backend;
using ::velum::testing::for_each_simd_target;
using ::velum::testing::GuardedBuffer;
using ::velum::testing::make_stream;
using ::velum::testing::unit_roundoff;

RandomKey test_key() { return insecure_key_from_seed(20240229); }
constexpr RandomPosition kPosition{Purpose::kTest, 3, 1234567, 89};

/// The draws by the scalar map, element by element, on this thread.
template <typename T>
std::vector<T> scalar_draws(std::int64_t first_element, std::int64_t size,
                            const RandomPosition& position = kPosition) {
  const ChaCha20State state = stream_state(test_key(), position, DrawKind::kGaussian);
  std::vector<T> draws(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t element = first_element + i;
    const auto block = static_cast<std::uint32_t>(GaussianLayout::block_of(element));
    T of_block[8];
    normals_of_block(chacha20_block(state, block), of_block);
    draws[static_cast<std::size_t>(i)] = of_block[GaussianLayout::slot_of(element)];
  }
  return draws;
}

template <typename T>
std::vector<T> draws(std::int64_t size, const RandomPosition& position = kPosition,
                     const RandomKey& key = test_key()) {
  std::vector<T> out(static_cast<std::size_t>(size));
  gaussian_fill(Span<T>(out), key, position, Stream::cpu(2));
  return out;
}

// ---- The layout ----

TEST(GaussianLayout, NoDrawSharesItsBitsWithAnother) {
  std::vector<int> used(static_cast<std::size_t>(10 * GaussianLayout::kDrawsPerGroup));
  for (std::int64_t element = 0; element < std::ssize(used); ++element) {
    const std::int64_t block = GaussianLayout::block_of(element);
    const std::int64_t slot = GaussianLayout::slot_of(element);
    ASSERT_EQ(GaussianLayout::element_of(block, slot), element);
    ASSERT_LT(slot, GaussianLayout::kDrawsPerBlock);
    ++used[static_cast<std::size_t>(block * GaussianLayout::kDrawsPerBlock + slot)];
  }
  EXPECT_EQ(std::count(used.begin(), used.end(), 1), std::ssize(used));
  EXPECT_EQ(GaussianLayout::block_of(GaussianLayout::kMaxElements - 1),
            StreamLayout::kMaxBlocks - 1);
}

// ---- The map ----

struct Bits {
  std::uint64_t u;
  std::uint64_t v;
};

/// The map's error in units of its stated bound; at most 1.
template <typename T>
double map_error(const Bits& bits) {
  const std::uint32_t words[4] = {
      static_cast<std::uint32_t>(bits.u >> 32), static_cast<std::uint32_t>(bits.u),
      static_cast<std::uint32_t>(bits.v >> 32), static_cast<std::uint32_t>(bits.v)};
  T first;
  T second;
  normal_pair(words, first, second);
  const auto [x, y] = reference::box_muller(words[0], words[1], words[2], words[3]);
  // docs/numerics.md: 6 unit roundoffs of |z|; in float 2^-53 more, where the low word of the
  // angle, rounded to 24 bits, nearly cancels the high word.
  const double relative = 6 * unit_roundoff<T>();
  const double absolute = std::is_same_v<T, float> ? 0x1p-53 : 0;
  const auto error = [&](T value, long double exact) {
    if (!std::isfinite(value)) return std::numeric_limits<double>::infinity();
    const double difference =
        std::abs(static_cast<double>(static_cast<long double>(value) - exact));
    const double bound = relative * static_cast<double>(std::abs(exact)) + absolute;
    return difference == 0 ? 0.0 : difference / bound;
  };
  return std::max(error(first, x), error(second, y));
}

/// Both ends of every binade, the places where the map changes branch, and their neighbours.
std::vector<std::uint64_t> extreme_patterns() {
  std::vector<std::uint64_t> patterns;
  const auto around = [&](std::uint64_t centre) {
    for (std::uint64_t offset = 0; offset < 5; ++offset) {
      patterns.push_back(centre + offset - 2);
      patterns.push_back(~(centre + offset - 2));
    }
  };
  for (int bit = 0; bit < 64; ++bit) {
    around(std::uint64_t{1} << bit);
    around(std::uint64_t{0xb504f333f9de6484} >> bit);  // sqrt(1/2) 2^64: where m wraps
    around(std::uint64_t{0xb504f30000000000} >> bit);  // and its neighbours in float
    around(std::uint64_t{0xb504f40000000000} >> bit);
  }
  return patterns;
}

template <typename T>
void expect_map_within_bound(int seed) {
  double worst = 0;
  Bits at{};
  const auto check = [&](const Bits& bits) {
    const double error = map_error<T>(bits);
    if (!(error <= worst)) {
      worst = error;
      at = bits;
    }
  };
  std::mt19937_64 generator(static_cast<std::uint64_t>(seed));
  const std::vector<std::uint64_t> patterns = extreme_patterns();
  for (const std::uint64_t u : patterns) {
    for (int i = 0; i < 8; ++i) check({u, generator()});
  }
  for (const std::uint64_t v : patterns) {
    for (int i = 0; i < 8; ++i) check({generator(), v});
  }
  for (int i = 0; i < 300000; ++i) {
    // Uniform, and log-uniform towards both ends of each.
    check({generator(), generator()});
    check({generator() >> (generator() % 64), generator()});
    check({~(generator() >> (generator() % 64)), generator()});
    check({generator(), generator() >> (generator() % 64)});
    check({generator(), ~(generator() >> (generator() % 64))});
  }
  EXPECT_LE(worst, 1.0) << std::hex << "u = " << at.u << " v = " << at.v;
  EXPECT_GT(worst, 0.1) << "the bound is far from what the map does";
}

TEST(GaussianMap, FloatIsWithinSixUnitRoundoffsOfTheDefinition) {
  expect_map_within_bound<float>(1);
}
TEST(GaussianMap, DoubleIsWithinSixUnitRoundoffsOfTheDefinition) {
  expect_map_within_bound<double>(2);
}

TEST(GaussianMap, TheTailReachesItsLastQuantile) {
  // The smallest u is 2^-64: radius sqrt(128 ln 2) = 9.419...; v_hi = v_lo = 0 is angle 0.
  const std::uint32_t words[4] = {0, 0, 0, 0};
  double z;
  double other;
  normal_pair(words, z, other);
  EXPECT_NEAR(z, 9.4192801801237980, 6e-15);
  EXPECT_EQ(other, 0);
  float z32;
  float other32;
  normal_pair(words, z32, other32);
  EXPECT_NEAR(z32, 9.4192801801237980, 4e-6);
  // Beyond r the radius lies with probability exp(-r^2 / 2) exactly: as many of the 2^63 values
  // of u as lie below it. In the tail, a step in u is a step in the radius: nothing is skipped.
  double previous = 10;
  for (std::uint32_t low = 0; low < 2000; low += 2) {
    const std::uint32_t at[4] = {0, low, 0, 0};
    normal_pair(at, z, other);
    EXPECT_LT(z, previous);
    EXPECT_NEAR(z * z / 2, -std::log((low + 1) * 0x1p-64), 1e-13);
    previous = z;
  }
}

TEST(GaussianMap, FlippingTheSignAndSwapBitsPermutesThePair) {
  std::mt19937_64 generator(3);
  for (int i = 0; i < 1000; ++i) {
    const auto u = static_cast<std::uint64_t>(generator());
    const auto v = static_cast<std::uint64_t>(generator()) & ~std::uint64_t{3};
    std::array<std::array<double, 2>, 4> pairs;
    for (std::uint32_t low = 0; low < 4; ++low) {
      const std::uint32_t words[4] = {
          static_cast<std::uint32_t>(u >> 32), static_cast<std::uint32_t>(u),
          static_cast<std::uint32_t>(v >> 32), static_cast<std::uint32_t>(v) | low};
      normal_pair(words, pairs[low][0], pairs[low][1]);
    }
    const auto [c, s] = pairs[0];
    EXPECT_EQ(pairs[1], (std::array{-c, s}));
    EXPECT_EQ(pairs[2], (std::array{s, c}));
    EXPECT_EQ(pairs[3], (std::array{s, -c}));
    EXPECT_GE(std::abs(c), std::abs(s));
  }
}

// ---- The same bits everywhere ----

class GaussianOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  template <typename T>
  void expect_scalar_bits(std::int64_t first_element, std::int64_t size,
                          const std::vector<T>& expected) {
    const Stream stream = make_stream(GetParam());
    GuardedBuffer<T> out(size, stream);
    gaussian_fill(out.span(), test_key(), kPosition, first_element, stream);
    EXPECT_EQ(out.to_host(), expected) << "first " << first_element << " size " << size;
    EXPECT_TRUE(out.margins_are_intact());
  }
  template <typename T>
  void expect_scalar_bits_at_every_size() {
    const std::int64_t last = GaussianLayout::kMaxElements;
    for (const std::int64_t size : {0, 1, 15, 16, 31, 32, 33, 127, 128, 129, 257, 1000}) {
      for (const std::int64_t first : {std::int64_t{0}, std::int64_t{1}, std::int64_t{17},
                                       std::int64_t{128}, std::int64_t{1000}, last - size}) {
        const std::vector<T> expected = scalar_draws<T>(first, size);
        for_each_simd_target(GetParam(), [&] { expect_scalar_bits(first, size, expected); });
      }
    }
  }
};

TEST_P(GaussianOnEveryBackend, FloatsAreTheScalarMapsBitsAtEverySizeAndOffset) {
  SKIP_WITHOUT_DEVICE(GetParam());
  expect_scalar_bits_at_every_size<float>();
}
TEST_P(GaussianOnEveryBackend, DoublesAreTheScalarMapsBitsAtEverySizeAndOffset) {
  SKIP_WITHOUT_DEVICE(GetParam());
  expect_scalar_bits_at_every_size<double>();
}

TEST_P(GaussianOnEveryBackend, AMillionDrawsAreTheScalarMapsBits) {
  SKIP_WITHOUT_DEVICE(GetParam());
  constexpr std::int64_t kSize = 1000003;
  const std::vector<float> floats = scalar_draws<float>(5, kSize);
  const std::vector<double> doubles = scalar_draws<double>(5, kSize);
  for_each_simd_target(GetParam(), [&] {
    expect_scalar_bits(5, kSize, floats);
    expect_scalar_bits(5, kSize, doubles);
  });
}

TEST_P(GaussianOnEveryBackend, ShardsAreTheWhole) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  constexpr std::int64_t kSize = 5000;
  const std::vector<float> whole = draws<float>(kSize);
  for (const std::int64_t shard : {1, 16, 100, 128, 1777, 4999}) {
    if (shard == 1 && GetParam() == Backend::kCuda) continue;  // 5000 launches of one element
    GuardedBuffer<float> out(kSize, stream);
    for (std::int64_t first = 0; first < kSize; first += shard) {
      const std::int64_t size = std::min(shard, kSize - first);
      gaussian_fill(Span<float>(out.span().data() + first, size), test_key(), kPosition, first,
                    stream);
    }
    EXPECT_EQ(out.to_host(), whole) << "shards of " << shard;
    EXPECT_TRUE(out.margins_are_intact());
  }
}

TEST_P(GaussianOnEveryBackend, ElementsOutOfRangeAreErrors) {
  const Stream stream = make_stream(GetParam());
  std::vector<float> out(2);
  const auto fill = [&](std::int64_t first) {
    gaussian_fill(Span<float>(out), test_key(), kPosition, first, stream);
  };
  EXPECT_THROW(fill(-1), std::out_of_range);
  EXPECT_THROW(fill(std::numeric_limits<std::int64_t>::max()), std::out_of_range);
  try {
    fill(GaussianLayout::kMaxElements - 1);
    FAIL();
  } catch (const std::out_of_range& error) {
    EXPECT_EQ(std::string(error.what()),
              "gaussian_fill: first_element = 34359738367 and out.size() = 2, expected elements of "
              "[0, 34359738368)");
  }
  EXPECT_THROW(
      gaussian_fill(Span<float>(out), test_key(), {Purpose::kTest, 0, 1ull << 44, 0}, stream),
      std::out_of_range);
}

INSTANTIATE_TEST_SUITE_P(All, GaussianOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(Gaussian, ThreadCountChangesNothing) {
  constexpr std::int64_t kSize = 300001;
  std::vector<float> one(kSize);
  gaussian_fill(Span<float>(one), test_key(), kPosition, 77, Stream::serial());
  for (const int threads : {2, 3, 7}) {
    std::vector<float> many(kSize);
    gaussian_fill(Span<float>(many), test_key(), kPosition, 77, Stream::cpu(threads));
    EXPECT_EQ(many, one) << threads << " threads";
  }
}

TEST(Gaussian, ChunksAreTheFill) {
  const std::vector<float> whole = draws<float>(3000);
  const ChaCha20State state = stream_state(test_key(), kPosition, DrawKind::kGaussian);
  for (const std::int64_t first : {0, 100, 128, 1536}) {
    std::vector<float> chunk(1024);
    cpu::gaussian_chunk(state, first, chunk);
    EXPECT_TRUE(std::equal(chunk.begin(), chunk.end(), whole.begin() + first)) << "first " << first;
  }
}

TEST(Gaussian, FloatDrawsAreTheDoubleDrawsToSevenUnitRoundoffs) {
  const std::vector<float> floats = draws<float>(1 << 18);
  const std::vector<double> doubles = draws<double>(1 << 18);
  for (std::size_t i = 0; i < floats.size(); ++i) {
    // Six of the float's own and less than one of the double's.
    ASSERT_NEAR(floats[i], doubles[i], 7 * unit_roundoff<float>() * std::abs(doubles[i]) + 0x1p-53);
  }
}

// ---- Distinct positions give different noise ----

/// 4096 doubles of the same position are equal; of independent ones, none is (false alarm below
/// 2^-40) and the correlation, normal with deviation 1/64, is below 7/64 (false alarm 3e-12).
void expect_unrelated(const RandomPosition& a, const RandomPosition& b,
                      const RandomKey& key_b = test_key()) {
  const std::vector<double> x = draws<double>(4096, a);
  const std::vector<double> y = draws<double>(4096, b, key_b);
  double correlation = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_NE(x[i], y[i]) << "draw " << i;
    correlation += x[i] * y[i] / 4096;
  }
  EXPECT_LT(std::abs(correlation), 7.0 / 64);
}

constexpr RandomPosition kNoise{Purpose::kGradientNoise, 0, 0, 0};

TEST(GaussianPositions, TheSamePositionGivesTheSameNoise) {
  EXPECT_EQ(draws<double>(4096, kNoise), draws<double>(4096, kNoise));
}
TEST(GaussianPositions, DistinctTensorsGiveDifferentNoise) {
  for (const std::uint32_t tensor : {1u, 2u, 256u, StreamLayout::kMaxTensor}) {
    expect_unrelated(kNoise, {Purpose::kGradientNoise, 0, 0, tensor});
  }
}
TEST(GaussianPositions, DistinctStepsGiveDifferentNoise) {
  for (const std::uint64_t step : {1ull, 2ull, 1ull << 32, 1ull << 43}) {
    expect_unrelated(kNoise, {Purpose::kGradientNoise, 0, step, 0});
  }
}
TEST(GaussianPositions, DistinctEpochsGiveDifferentNoise) {
  for (const std::uint32_t epoch : {1u, 2u, StreamLayout::kMaxKeyEpoch}) {
    expect_unrelated(kNoise, {Purpose::kGradientNoise, epoch, 0, 0});
  }
}
TEST(GaussianPositions, DistinctPurposesGiveDifferentNoise) {
  for (const Purpose purpose :
       {Purpose::kPoissonSampling, Purpose::kPrivateMean, Purpose::kSelfCheck,
        Purpose::kDataAugmentation, Purpose::kModelInitialization, Purpose::kTest}) {
    expect_unrelated(kNoise, {purpose, 0, 0, 0});
  }
}
TEST(GaussianPositions, DistinctKeysGiveDifferentNoise) {
  expect_unrelated(kNoise, kNoise, insecure_key_from_seed(20240230));
}
TEST(GaussianPositions, StepsAndTensorsDoNotTradePlaces) {
  expect_unrelated({Purpose::kGradientNoise, 0, 1, 0}, {Purpose::kGradientNoise, 0, 0, 1});
  expect_unrelated({Purpose::kGradientNoise, 1, 0, 0}, {Purpose::kGradientNoise, 0, 1, 0});
}

// ---- The distribution ----

/// Draws of the statistical tests: 2^23, or what the variable says (the nightly run: 2^27).
std::int64_t statistics_size() {
  const char* const text = std::getenv("VELUM_GAUSSIAN_DRAWS");
  return text == nullptr ? std::int64_t{1} << 23 : std::strtoll(text, nullptr, 10);
}

double normal_cdf(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }

/// Everything that is counted, in one pass over the draws in pieces of 2^20.
///
/// Each check compares a statistic that is normal to good approximation, with known mean and
/// deviation, to six deviations: false alarm 2e-9. The seed is fixed: the outcome is too.
template <typename T>
class GaussianStatistics : public ::testing::Test {
 protected:
  static constexpr int kCells = 1 << 16;

  struct Counts {
    double size = 0;
    std::array<double, 9> power_sums{};    // sum of z^k
    std::vector<std::int64_t> cells;       // of equal probability
    std::array<std::int64_t, 7> beyond{};  // how many |z| > k
    double pair_products = 0;              // of the two draws of one Box-Muller pair
    double pair_square_products = 0;       // of their z^2 - 1
    double neighbour_products = 0;         // of elements i and i + 1
    double block_square_products = 0;      // (z^2 - 1) of elements i and i + 32: one block
  };

  static const Counts& counts() {
    static const Counts kCounts = count();
    return kCounts;
  }

 private:
  static Counts count() {
    Counts counts;
    counts.cells.assign(kCells, 0);
    const std::int64_t size = statistics_size();
    constexpr std::int64_t kPiece = 1 << 20;
    std::vector<T> piece(kPiece);
    const Stream stream = Stream::cpu(2);
    for (std::int64_t first = 0; first < size; first += kPiece) {
      gaussian_fill(Span<T>(piece), test_key(), kPosition, first, stream);
      std::array<double, 9> sums{};
      for (const T draw : piece) {
        const double z = draw;
        double power = 1;
        for (int k = 0; k <= 8; ++k, power *= z) sums[static_cast<std::size_t>(k)] += power;
        const auto cell = static_cast<int>(normal_cdf(z) * kCells);
        ++counts.cells[static_cast<std::size_t>(std::clamp(cell, 0, kCells - 1))];
        for (int k = 1; k <= 6 && std::abs(z) > k; ++k)
          ++counts.beyond[static_cast<std::size_t>(k)];
      }
      for (std::size_t k = 0; k <= 8; ++k) counts.power_sums[k] += sums[k];
      for (std::size_t i = 0; i + 32 < piece.size(); ++i) {
        const double z = piece[i];
        const double next = piece[i + 1];
        const double in_block = piece[i + 32];
        counts.neighbour_products += z * next;
        counts.block_square_products += (z * z - 1) * (in_block * in_block - 1);
        if (GaussianLayout::slot_of(static_cast<std::int64_t>(i)) % 2 == 0) {
          const double other = piece[i + 16];
          counts.pair_products += z * other;
          counts.pair_square_products += (z * z - 1) * (other * other - 1);
        }
      }
      counts.size += static_cast<double>(piece.size());
    }
    return counts;
  }
};

using StatisticsTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(GaussianStatistics, StatisticsTypes);

TYPED_TEST(GaussianStatistics, MomentsToTheEighthAreThoseOfTheNormal) {
  const auto& counts = TestFixture::counts();
  const double moments[17] = {1, 0,   1, 0,     3, 0,      15, 0,      105,
                              0, 945, 0, 10395, 0, 135135, 0,  2027025};
  for (int k = 1; k <= 8; ++k) {
    const double mean = counts.power_sums[static_cast<std::size_t>(k)] / counts.size;
    const double variance = moments[2 * k] - moments[k] * moments[k];
    EXPECT_LT(std::abs(mean - moments[k]) / std::sqrt(variance / counts.size), 6) << "moment " << k;
  }
}

TYPED_TEST(GaussianStatistics, KolmogorovSmirnovFindsNoDistance) {
  // The distance at 2^16 - 1 points; for the true distribution P(D sqrt(n) > 3.3) <
  // 2 exp(-2 * 3.3^2) = 7e-10 (Massart 1990).
  const auto& counts = TestFixture::counts();
  std::int64_t below = 0;
  double distance = 0;
  for (int cell = 0; cell < TestFixture::kCells; ++cell) {
    below += counts.cells[static_cast<std::size_t>(cell)];
    distance = std::max(distance, std::abs(static_cast<double>(below) / counts.size -
                                           (cell + 1.0) / TestFixture::kCells));
  }
  EXPECT_LT(distance * std::sqrt(counts.size), 3.3);
}

TYPED_TEST(GaussianStatistics, ChiSquareFindsNoDistance) {
  // 65536 cells of equal probability; the cube root of a chi-square is nearly normal
  // (Wilson and Hilferty 1931).
  const auto& counts = TestFixture::counts();
  const double expected = counts.size / TestFixture::kCells;
  double chi_square = 0;
  for (const std::int64_t count : counts.cells) {
    const double difference = static_cast<double>(count) - expected;
    chi_square += difference * difference / expected;
  }
  const double freedom = TestFixture::kCells - 1;
  const double spread = 2 / (9 * freedom);
  const double z = (std::cbrt(chi_square / freedom) - (1 - spread)) / std::sqrt(spread);
  EXPECT_LT(std::abs(z), 6) << "chi^2 = " << chi_square;
}

TYPED_TEST(GaussianStatistics, TailsHoldTheirShare) {
  const auto& counts = TestFixture::counts();
  for (int k = 1; k <= 6; ++k) {
    const double expected = counts.size * std::erfc(k / std::sqrt(2.0));
    const auto count = static_cast<double>(counts.beyond[static_cast<std::size_t>(k)]);
    if (expected >= 50) {
      EXPECT_LT(std::abs(count - expected) / std::sqrt(expected), 6) << "beyond " << k;
    } else {
      // Poisson with mean at most 50: P(count > mean + 8 sqrt(mean) + 16) < 1e-9.
      EXPECT_LE(count, expected + 8 * std::sqrt(expected) + 16) << "beyond " << k;
    }
  }
}

TYPED_TEST(GaussianStatistics, PairsBlocksAndNeighboursAreUncorrelated) {
  const auto& counts = TestFixture::counts();
  // The variance of z z' is 1, that of (z^2 - 1)(z'^2 - 1) is 4; pairs are half of the elements.
  const double n = counts.size;
  EXPECT_LT(std::abs(counts.pair_products) / std::sqrt(n / 2), 6);
  EXPECT_LT(std::abs(counts.pair_square_products) / std::sqrt(4 * n / 2), 6);
  EXPECT_LT(std::abs(counts.neighbour_products) / std::sqrt(n), 6);
  EXPECT_LT(std::abs(counts.block_square_products) / std::sqrt(4 * n), 6);
}

}  // namespace
}  // namespace velum::kernels
