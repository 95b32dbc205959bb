#include <gtest/gtest.h>

#include <algorithm>
#include <boost/multiprecision/cpp_int.hpp>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "random/coins.h"
#include "random/discrete_gaussian_body.h"
#include "random/skellam_body.h"
#include "random/substream.h"
#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "support/sha256.h"
#include "velum/kernels/random/discrete_gaussian.h"
#include "velum/kernels/random/exact_variance.h"
#include "velum/kernels/random/skellam.h"
#include "velum/kernels/random/uniform.h"

namespace velum::kernels {
namespace {

using ::velum::testing::BackendName;
using ::velum::testing::every_backend;
using ::velum::testing::GuardedBuffer;
using ::velum::testing::make_stream;
using ::velum::testing::sha256;
using Integer = boost::multiprecision::cpp_int;
using Rational = boost::multiprecision::cpp_rational;

RandomKey test_key() { return insecure_key_from_seed(29); }
RandomKey known_answer_key() {
  RandomKey key;
  for (std::uint32_t i = 0; i < 8; ++i) key.words[i] = 0x01020300 + i;
  return key;
}
constexpr RandomPosition kPosition{Purpose::kTest, 3, 1234567, 89};

// ---- Integers of 256 bits ----

Integer integer_of(const UInt256& x) {
  Integer out = 0;
  for (int i = 3; i >= 0; --i) out = (out << 64) + x.limbs[i];
  return out;
}
Integer integer_of(UInt128 x) {
  return (Integer(static_cast<std::uint64_t>(x >> 64)) << 64) + static_cast<std::uint64_t>(x);
}

TEST(UInt256, ComputesModulo2To256) {
  const Integer modulus = Integer(1) << 256;
  std::mt19937_64 generator(1);
  // Words of few and of many bits, so that carries run through and equal limbs occur.
  const auto word = [&]() -> std::uint64_t {
    switch (generator() % 4) {
      case 0:
        return 0;
      case 1:
        return ~std::uint64_t{0};
      case 2:
        return generator() % 4;
      default:
        return generator();
    }
  };
  for (int round = 0; round < 20000; ++round) {
    UInt256 a, b;
    for (std::uint64_t& limb : a.limbs) limb = word();
    for (std::uint64_t& limb : b.limbs) limb = word();
    if (round % 8 == 0) b = a;
    const Integer x = integer_of(a), y = integer_of(b);
    const std::uint64_t factor = word();
    const int shift = static_cast<int>(generator() % 64);
    EXPECT_EQ(integer_of(a + b), (x + y) % modulus);
    EXPECT_EQ(integer_of(a - b), (x + modulus - y) % modulus);
    EXPECT_EQ(integer_of(a * factor), x * factor % modulus);
    EXPECT_EQ(integer_of(a << shift), (x << shift) % modulus);
    EXPECT_EQ(a < b, x < y);
    EXPECT_EQ(a == b, x == y);
    const UInt128 low = UInt128{a.limbs[1]} << 64 | a.limbs[0];
    const UInt128 high = UInt128{b.limbs[1]} << 64 | b.limbs[0];
    EXPECT_EQ(integer_of(wide_product(low, high)), integer_of(low) * integer_of(high));
  }
}

// ---- Coins of rational probability, over all bits ----

/// The bits of a number, then an error.
struct GivenBits {
  struct Exhausted {};
  std::uint32_t number;
  int left;
  std::uint32_t bits(int count) {
    if (count > left) throw Exhausted{};
    const std::uint32_t taken = number & ((1u << count) - 1);
    number >>= count;
    left -= count;
    return taken;
  }
};

/// How many of the 2^16 strings of 16 bits decide for true, and for false.
template <typename T>
std::pair<int, int> decided(const T& n, const T& d) {
  int yes = 0, no = 0;
  for (std::uint32_t number = 0; number < 1u << 16; ++number) {
    CoinSource<GivenBits> source(GivenBits{number, 16});
    try {
      ++(source.bernoulli(n, d) ? yes : no);
    } catch (const GivenBits::Exhausted&) {
    }
  }
  return {yes, no};
}

TEST(ExactCoin, DecidesForTrueOnExactlyTheBitsBelowItsProbability) {
  // U < n / d is decided by 16 bits of U except in the one interval of 2^-16 that holds n / d.
  const UInt256 large = wide_product(UInt128{1} << 100, UInt128{1} << 100) + UInt256(UInt128{7});
  for (std::uint64_t d = 1; d <= 21; ++d) {
    for (std::uint64_t n = 0; n <= d + 1; n += d < 9 ? 1 : 5) {
      const std::uint64_t below = std::min<std::uint64_t>(n * 65536 / d, 65536);
      const bool divides = n >= d || n * 65536 % d == 0;
      const std::pair<int, int> expected{static_cast<int>(below),
                                         static_cast<int>(65536 - below - (divides ? 0 : 1))};
      EXPECT_EQ(decided(n, d), expected) << n << " / " << d;
      EXPECT_EQ(decided(UInt128{n} << 90, UInt128{d} << 90), expected) << n << " / " << d;
      EXPECT_EQ(decided(large * n, large * d), expected) << n << " / " << d;
    }
  }
}

// ---- Samplers, over all outcomes of their coins ----

long double to_long_double(std::uint64_t x) { return static_cast<long double>(x); }
long double to_long_double(UInt128 x) { return static_cast<long double>(x); }
long double to_long_double(const UInt256& x) {
  long double out = 0;
  for (int i = 3; i >= 0; --i) out = out * 0x1p64L + static_cast<long double>(x.limbs[i]);
  return out;
}

/// A source that takes, one run after the other, every sequence of outcomes whose probability is at
/// least `threshold`. Exponentials are outcomes of their own; that coins give them is another test.
class EveryOutcome {
 public:
  struct Pruned {};
  explicit EveryOutcome(long double threshold) : threshold_(threshold) {}

  std::uint32_t bits(int count) { return static_cast<std::uint32_t>(below(1u << count)); }
  std::uint64_t below(std::uint64_t bound) {
    return static_cast<std::uint64_t>(
        choose(static_cast<int>(bound), [&] { return 1 / static_cast<long double>(bound); }));
  }
  template <typename T>
  bool bernoulli(const T& n, const T& d) {
    return coin([&] { return std::min(1.0L, to_long_double(n) / to_long_double(d)); });
  }
  template <typename T, typename Coin>
  bool exp_minus_unit(const T& n, const T& d, const Coin& factor) {
    return coin([&] {
      EXPECT_FALSE(d < n);
      return std::exp(-to_long_double(n) / to_long_double(d) * probability_of(factor));
    });
  }

  /// Calls `run(*this)` for all sequences; `leaf(result, probability)` for each that ended. Returns
  /// the probability of the rest.
  template <typename Run, typename Leaf>
  long double walk(const Run& run, const Leaf& leaf) {
    long double pruned = 0;
    do {
      at_ = 0;
      probability_ = 1;
      try {
        const auto result = run(*this);
        leaf(result, probability_);
      } catch (const Pruned&) {
        pruned += probability_;
      }
    } while (advance());
    return pruned;
  }

 private:
  struct Choice {
    int outcome;
    int outcomes;
    long double probability;  ///< of outcome 0; the others share the rest
  };

  template <typename Probability>
  bool coin(const Probability& probability) {
    return choose(2, probability) == 0;
  }
  template <typename Probability>
  int choose(int outcomes, const Probability& probability) {
    if (at_ == path_.size()) path_.push_back({0, outcomes, probability()});
    const Choice& choice = path_[at_++];
    probability_ *= choice.outcome == 0
                        ? choice.probability
                        : (1 - choice.probability) / static_cast<long double>(outcomes - 1);
    if (probability_ < threshold_) throw Pruned{};  // the last choice of the path: others passed
    return choice.outcome;
  }
  bool advance() {
    while (!path_.empty() && path_.back().outcome + 1 == path_.back().outcomes) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().outcome;
    return true;
  }

  /// By a walk of its own, to 1e-8.
  template <typename Coin>
  long double probability_of(const Coin& factor) {
    if constexpr (std::is_same_v<Coin, CertainCoin>) return 1;
    EveryOutcome outer(1e-12L);
    std::swap(*this, outer);
    long double yes = 0;
    const long double rest = walk([&](EveryOutcome&) { return factor(); },
                                  [&](bool outcome, long double p) { yes += outcome ? p : 0; });
    EXPECT_LT(rest, 1e-8L);
    std::swap(*this, outer);
    return yes;
  }

  long double threshold_;
  std::deque<Choice> path_;
  std::size_t at_ = 0;
  long double probability_ = 1;
};

/// The probabilities of what `attempt(source)` accepts, and what was not followed.
struct AttemptLaw {
  std::map<std::int64_t, long double> mass;
  long double unknown = 0;

  template <typename AttemptFunction>
  AttemptLaw(long double threshold, const AttemptFunction& attempt) {
    unknown = EveryOutcome(threshold).walk(attempt, [&](const Attempt& result, long double p) {
      if (result.accepted) mass[result.value] += p;
    });
  }
  /// Every known mass lies below `truth(x)`, and all together by no more than what is unknown.
  template <typename Truth>
  void expect_below(const Truth& truth, std::int64_t from, std::int64_t to,
                    long double tolerance) const {
    long double missing = unknown;
    for (std::int64_t x = from; x <= to; ++x) {
      const auto found = mass.find(x);
      const long double known = found == mass.end() ? 0 : found->second;
      EXPECT_LE(known, truth(x) + tolerance) << "x = " << x;
      missing -= truth(x) - known;
    }
    EXPECT_GE(missing, -tolerance);
    for (const auto& [x, probability] : mass) EXPECT_TRUE(x >= from && x <= to) << x;
  }
};

/// P(an attempt gives the proposal y) over exp(-|y| / t).
long double proposal_factor(int log_scale) {
  return (1 - std::exp(-1.0L)) / 2 / std::ldexp(1.0L, log_scale);
}

TEST(ExactCoin, OfAnExponentialIsThatOfEveryOutcome) {
  for (const std::uint64_t n : {0, 1, 5, 12, 13}) {
    const std::uint64_t d = 13;
    long double yes = 0;
    const auto count = [&](bool outcome, long double p) { yes += outcome ? p : 0; };
    const long double unknown = EveryOutcome(1e-15L).walk(
        [&](EveryOutcome& source) { return exp_minus_by_coins(source, n, d, CertainCoin{}); },
        count);
    EXPECT_LT(unknown, 1e-13L);
    EXPECT_NEAR(static_cast<double>(yes), std::exp(-static_cast<double>(n) / 13), 1e-13);
    // Half of it, by a coin of 1/2.
    yes = 0;
    const long double half = EveryOutcome(1e-13L).walk(
        [&](EveryOutcome& source) {
          return exp_minus_by_coins(source, n, d, [&] { return source.bits(1) != 0; });
        },
        count);
    EXPECT_LT(half, 1e-10L);
    EXPECT_NEAR(static_cast<double>(yes), std::exp(-static_cast<double>(n) / 26), 1e-10);
    // Above 1: in steps of 1, or in equal pieces.
    yes = 0;
    const long double steps = EveryOutcome(1e-15L).walk(
        [&](EveryOutcome& source) { return exp_minus(source, 3 * d + n, d); }, count);
    EXPECT_LT(steps, 1e-13L);
    EXPECT_NEAR(static_cast<double>(yes), std::exp(-3 - static_cast<double>(n) / 13), 1e-13);
    yes = 0;
    const long double pieces = EveryOutcome(1e-15L).walk(
        [&](EveryOutcome& source) {
          return exp_minus_coin(source, 3 * n, d, [&] { return source.bits(1) != 0; });
        },
        count);
    EXPECT_LT(pieces, 1e-13L);
    EXPECT_NEAR(static_cast<double>(yes), std::exp(-1.5 * static_cast<double>(n) / 13), 1e-13);
  }
}

/// Makes everything of the bits of a walk.
struct BitsOfWalk {
  EveryOutcome* source;
  std::uint32_t bits(int count) { return source->bits(count); }
};

TEST(ExactCoin, UniformNumbersAreThoseOfEveryOutcome) {
  for (const std::uint64_t n : {1, 2, 3, 5, 8, 13}) {
    std::map<std::uint64_t, long double> uniform, proportional;
    const long double unknown = EveryOutcome(1e-8L).walk(
        [&](EveryOutcome& source) { return CoinSource<BitsOfWalk>(BitsOfWalk{&source}).below(n); },
        [&](std::uint64_t x, long double p) { uniform[x] += p; });
    EXPECT_LT(unknown, 1e-3L);
    EXPECT_EQ(uniform.size(), n);
    for (const auto& [x, p] : uniform) {
      EXPECT_LT(x, n);
      EXPECT_NEAR(static_cast<double>(p), static_cast<double>((1 - unknown) / n), 1e-15);
    }
    EveryOutcome(0).walk([&](EveryOutcome& source) { return proportional_index(source, n); },
                         [&](std::uint64_t x, long double p) { proportional[x] += p; });
    EXPECT_EQ(proportional.size(), n);
    for (const auto& [x, p] : proportional) {
      EXPECT_NEAR(static_cast<double>(p),
                  2 * static_cast<double>(x) / static_cast<double>(n * (n + 1)), 1e-15);
    }
  }
}

TEST(DiscreteGaussianLaw, IsThatOfEveryOutcome) {
  const std::vector<ExactVariance> variances{{1, 20}, {1, 3}, {1, 1}, {5, 2}, {100, 7}, {777, 1}};
  for (const ExactVariance& variance : variances) {
    const DiscreteGaussianSampler sampler(variance);
    const AttemptLaw law(1e-13L, [&](EveryOutcome& source) { return sampler.attempt(source); });
    const long double square = static_cast<long double>(variance.numerator) /
                               static_cast<long double>(variance.denominator);
    const long double scale = std::ldexp(1.0L, sampler.log_scale);
    // exp(-|x| / t - (|x| - s / t)^2 / 2s) = exp(-x^2 / 2s - s / 2t^2)
    law.expect_below(
        [&](std::int64_t x) {
          const auto y = static_cast<long double>(x);
          return proposal_factor(sampler.log_scale) *
                 std::exp(-y * y / 2 / square - square / 2 / scale / scale);
        },
        -1000, 1000, 1e-15L);
    EXPECT_LT(law.unknown, 1e-9L) << variance.numerator;
    EXPECT_GT(2 * scale * scale, square);
    EXPECT_TRUE(scale == 1 || scale * scale <= 2 * square);
  }
}

TEST(PoissonLaw, IsThatOfEveryOutcome) {
  for (const std::uint64_t mean : {1, 2, 3, 7, 20}) {
    const PoissonSampler sampler(mean);
    const AttemptLaw law(1e-8L, [&](EveryOutcome& source) { return sampler.attempt(source); });
    const auto m = static_cast<long double>(mean);
    const auto log_pmf = [&](long double k) { return k * std::log(m) - std::lgamma(k + 1); };
    law.expect_below(
        [&](std::int64_t k) {
          return proposal_factor(sampler.log_scale) *
                 std::exp(log_pmf(static_cast<long double>(k)) - log_pmf(m) -
                          static_cast<long double>(sampler.constant) * 0x1p-16L);
        },
        0, 400, 1e-8L);
    EXPECT_LT(law.unknown, 5e-3L) << mean;
  }
  for (const std::uint64_t n : {1, 20, 50}) {
    const AttemptLaw law(
        1e-15L, [&](EveryOutcome& source) { return small_poisson_attempt(source, n, 100); });
    const long double mean = static_cast<long double>(n) / 100;
    law.expect_below(
        [&](std::int64_t k) {
          return (1 - mean) * std::exp(static_cast<long double>(k) * std::log(mean) -
                                       std::lgamma(static_cast<long double>(k + 1)));
        },
        0, 60, 1e-15L);
    EXPECT_LT(law.unknown, 1e-13L);
  }
}

TEST(PoissonExponents, AreTheSumsAndNeverNegativeAtAnyMean) {
  std::mt19937_64 generator(3);
  for (int round = 0; round < 3000; ++round) {
    const std::uint64_t mean =
        round < 300 ? static_cast<std::uint64_t>(round) + 1
                    : 1 + (generator() >> (3 + generator() % 61)) % PoissonSampler::kMaxMean;
    const PoissonSampler sampler(round == 300 ? PoissonSampler::kMaxMean : mean);
    const Rational m = sampler.mean;
    const Rational t = Integer(1) << sampler.log_scale;
    const Rational c(Integer(sampler.constant), Integer(1) << 16);
    // 12 m^2 2^s within 2^208, so that 256 divisor k fits for any k < 2^40.
    ASSERT_LT(integer_of(sampler.divisor), Integer(1) << 208);
    for (int point = 0; point < 12; ++point) {
      // Some multiples of the scale, and both ends.
      const std::uint64_t step = std::uint64_t{1} << sampler.log_scale;
      std::uint64_t n = point == 0   ? 0
                        : point == 1 ? sampler.mean / 2
                        : point < 8  ? generator() % (2 * step) + 1
                                     : generator() % (40 * step) + 1;
      n = std::min({n, (sampler.mean + 1) / 2, (std::uint64_t{1} << 47) - 1});
      const Rational right =
          Rational(Integer(n) * (Integer(n) + 1)) / (2 * m) -
          Rational(Integer(n) * (Integer(n) + 1) * (2 * Integer(n) + 1)) / (12 * m * m) -
          Rational(Integer(n)) / t + c;
      const Rational left =
          Rational(Integer(n) * (Integer(n) - 1)) / (2 * m) - Rational(Integer(n)) / t + c;
      EXPECT_GE(right, 0) << "mean " << sampler.mean << " n " << n;
      EXPECT_GE(left, 0) << "mean " << sampler.mean << " n " << n;
      const Rational divisor(integer_of(sampler.divisor));
      EXPECT_EQ(Rational(integer_of(sampler.right_exponent(n))) / divisor, right);
      EXPECT_EQ(Rational(integer_of(sampler.left_exponent(n))) / divisor, left);
    }
  }
}

// ---- Every backend ----

constexpr ExactVariance kLargestVariance{std::numeric_limits<std::uint64_t>::max(), 1};

std::vector<std::int64_t> discrete_gaussians(const ExactVariance& variance, std::int64_t size,
                                             const Stream& stream, std::int64_t first = 0) {
  const GuardedBuffer<std::int64_t> out(size, stream);
  exact_discrete_gaussian_fill(out.span(), variance, test_key(), kPosition, first, stream);
  EXPECT_TRUE(out.margins_are_intact());
  return out.to_host();
}
std::vector<std::int64_t> skellams(const ExactVariance& variance, std::int64_t size,
                                   const Stream& stream, std::int64_t first = 0) {
  const GuardedBuffer<std::int64_t> out(size, stream);
  skellam_fill(out.span(), variance, test_key(), kPosition, first, stream);
  EXPECT_TRUE(out.margins_are_intact());
  return out.to_host();
}

class IntegerNoiseOnEveryBackend : public ::testing::TestWithParam<Backend> {};

TEST_P(IntegerNoiseOnEveryBackend, EqualsTheKnownAnswers) {
  SKIP_WITHOUT_DEVICE(GetParam());
  // tests/reference/integer_noise_digests.py
  const Stream stream = make_stream(GetParam());
  constexpr RandomPosition kAnswers{Purpose::kIntegerNoise, 5, 6, 7};
  constexpr std::int64_t kFirst = (std::int64_t{1} << 31) - 5;
  struct Answer {
    ExactVariance variance;
    const char* digest;
  };
  const GuardedBuffer<std::int64_t> out(2000, stream);
  for (const Answer& answer :
       {Answer{{1, 50}, "f85f2c34eb2843d2aa5951ee6e8e76985655b2e3ae2cbdd76bdfd654ecf19997"},
        Answer{{100, 7}, "de07580e10134957fd7dad54689db4009b298f630b5f9b8ed32febf62af6d619"},
        Answer{{1000000007, 1}, "152274d82e215d092efee3645a7b06ef2ba7e7839da0e2a84e83c36c6b2add1e"},
        Answer{kLargestVariance,
               "7ceec5073f19441914eb8c1e8b8b7b28cb6298d8ad551e7888f5aee8b9095c9b"}}) {
    exact_discrete_gaussian_fill(out.span(), answer.variance, known_answer_key(), kAnswers, kFirst,
                                 stream);
    EXPECT_EQ(sha256(out.to_host()), answer.digest) << answer.variance.numerator;
  }
  for (const Answer& answer :
       {Answer{{1, 3}, "89b416be817191b8fcc64986ad5ebe30f5666573c0fed025e393f55d973c7f0b"},
        Answer{{22, 7}, "263ef2293975009411eaa5248a708e3e6125ef07690f7fc944a4fd3b7bf169f1"},
        Answer{{22, 3}, "91b22cb8ce6691ad127c36b6efd2fc00032133673cfcec70fad57fba559b1a91"},
        Answer{{(std::uint64_t{1} << 40) + 1, 1},
               "f002bb9bda61c2f32ccae52c6d79d127a0139124ea07f2955c14add00c5aa934"},
        Answer{{kMaxSkellamVariance, 1},
               "970e286da25f67974d1190a5cdd268c666bcc88ded39ded5d57f2a8cc4ee7d0b"}}) {
    skellam_fill(out.span(), answer.variance, known_answer_key(), kAnswers, kFirst, stream);
    EXPECT_EQ(sha256(out.to_host()), answer.digest) << answer.variance.numerator;
  }
}

TEST_P(IntegerNoiseOnEveryBackend, ADrawDependsOnItsElementAlone) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const Stream stream = make_stream(GetParam());
  const ExactVariance variance{1234, 5};
  const std::vector<std::int64_t> gaussian = discrete_gaussians(variance, 1100, Stream::serial());
  const std::vector<std::int64_t> skellam = skellams(variance, 1100, Stream::serial());
  const auto part = [](const std::vector<std::int64_t>& all, std::int64_t first,
                       std::int64_t size) {
    return std::vector<std::int64_t>(all.begin() + first, all.begin() + first + size);
  };
  for (const std::int64_t size : {0, 1, 31, 32, 33, 257, 1000}) {
    for (const std::int64_t first : {0, 1, 97}) {
      EXPECT_EQ(discrete_gaussians(variance, size, stream, first), part(gaussian, first, size));
      EXPECT_EQ(skellams(variance, size, stream, first), part(skellam, first, size));
    }
  }
  // A fraction that is not reduced is the same variance.
  EXPECT_EQ(discrete_gaussians({2468, 10}, 100, stream), part(gaussian, 0, 100));
  EXPECT_EQ(skellams({2468, 10}, 100, stream), part(skellam, 0, 100));
  // Neither the same bits for both nor for two positions.
  EXPECT_NE(gaussian, skellam);
  const GuardedBuffer<std::int64_t> other(1100, stream);
  RandomPosition position = kPosition;
  ++position.tensor;
  exact_discrete_gaussian_fill(other.span(), variance, test_key(), position, 0, stream);
  EXPECT_NE(other.to_host(), gaussian);
}

TEST_P(IntegerNoiseOnEveryBackend, BadArgumentsAreErrors) {
  const Stream stream = make_stream(GetParam());
  std::vector<std::int64_t> out(2);
  const auto message = [&](const ExactVariance& variance, std::int64_t first,
                           bool skellam) -> std::string {
    try {
      if (skellam) {
        skellam_fill(out, variance, test_key(), kPosition, first, stream);
      } else {
        exact_discrete_gaussian_fill(out, variance, test_key(), kPosition, first, stream);
      }
    } catch (const std::logic_error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message({0, 1}, 0, false),
            "exact_discrete_gaussian_fill: variance.numerator = 0, expected at least 1");
  EXPECT_EQ(message({1, 0}, 0, false),
            "exact_discrete_gaussian_fill: variance.denominator = 0, expected 1 to 4294967295");
  EXPECT_EQ(message({1, std::uint64_t{1} << 32}, 0, true),
            "skellam_fill: variance.denominator = 4294967296, expected 1 to 4294967295");
  EXPECT_EQ(message({2 * kMaxSkellamVariance + 1, 2}, 0, true),
            "skellam_fill: variance = 1152921504606846976.000000, expected at most 2^60");
  EXPECT_EQ(
      message({1, 1}, -1, false),
      "exact_discrete_gaussian_fill: first_element = -1 and out.size() = 2, expected elements "
      "of [0, 4294967296)");
  EXPECT_EQ(message({1, 1}, (std::int64_t{1} << 32) - 1, true),
            "skellam_fill: first_element = 4294967295 and out.size() = 2, expected elements of [0, "
            "4294967296)");
  EXPECT_THROW(skellam_fill(out, {1, 1}, test_key(), {Purpose::kTest, 0, 0, 1u << 24}, 0, stream),
               std::out_of_range);
}

INSTANTIATE_TEST_SUITE_P(Backends, IntegerNoiseOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

// ---- Substreams ----

TEST(Substream, ItsKeyIsReadByNoOtherDraw) {
  // Block 2^32 - 1 of the integer stream keys it; the last integer ends before.
  const ChaCha20State key_block =
      chacha20_block(stream_state(test_key(), kPosition, DrawKind::kInteger), ~std::uint32_t{0});
  const ChaCha20State state = substream_state(test_key(), kPosition, SubstreamUse::kSkellam);
  for (int w = 0; w < 8; ++w) EXPECT_EQ(state.words[4 + w], key_block.words[w]);
  EXPECT_EQ(state.words[12], 0u);
  EXPECT_EQ(state.words[15], 2u);
  std::vector<std::uint64_t> out(1);
  const auto draw_at = [&](std::int64_t element) {
    uniform_integers_fill(~std::uint64_t{0}, out, test_key(), kPosition, element, Stream::serial());
  };
  EXPECT_NO_THROW(draw_at((std::int64_t{1} << 34) - 5));
  EXPECT_THROW(draw_at((std::int64_t{1} << 34) - 4), std::out_of_range);
}

TEST(Substream, BitsAreThoseOfItsBlocksInOrder) {
  ChaCha20State state = substream_state(test_key(), kPosition, SubstreamUse::kDiscreteGaussian);
  state.words[12] = 17;
  SubstreamBits bits(state, chacha20_block(state));
  std::vector<bool> expected;
  for (std::uint32_t block = 0; block < 5; ++block) {
    ChaCha20State at = state;
    at.words[13] = block;
    const ChaCha20State words = chacha20_block(at);
    for (const std::uint32_t word : words.words) {
      for (int bit = 0; bit < 32; ++bit) expected.push_back((word >> bit & 1) != 0);
    }
  }
  std::mt19937 generator(4);
  for (std::size_t at = 0; at + 32 < expected.size();) {
    const int count = static_cast<int>(generator() % 33);
    std::uint32_t value = 0;
    for (int bit = 0; bit < count; ++bit) {
      value |= static_cast<std::uint32_t>(expected[at++]) << bit;
    }
    ASSERT_EQ(bits.bits(count), value) << "bit " << at;
  }
}

TEST(Substream, BlockNumbersCarry) {
  ChaCha20State state = substream_state(test_key(), kPosition, SubstreamUse::kSkellam);
  state.words[13] = ~std::uint32_t{0};
  state.words[14] = ~std::uint32_t{0};
  SubstreamBits bits(state, chacha20_block(state));
  for (int i = 0; i < 16; ++i) bits.bits(32);
  state.words[13] = 0;
  state.words[14] = 0;
  state.words[15] += 256;  // the use stays
  const ChaCha20State next = chacha20_block(state);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(bits.bits(32), next.words[i]);
}

// ---- Statistics: fixed seeds; each bound is six deviations, false alarm 2e-9 ----

/// chi^2 over cells of probabilities `expected`, made normal by Wilson and Hilferty.
double chi_square_deviations(const std::vector<double>& counts,
                             const std::vector<double>& probabilities, double draws) {
  double chi_square = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double expected = draws * probabilities[i];
    chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  const auto freedom = static_cast<double>(counts.size() - 1);
  const double spread = 2.0 / 9.0 / freedom;
  return (std::cbrt(chi_square / freedom) - (1 - spread)) / std::sqrt(spread);
}

/// Of 10^6 draws against the probability function p(0), p(1), ... of a symmetric distribution,
/// with cells of at least 100 expected draws.
void expect_distribution(const std::vector<std::int64_t>& draws, const std::vector<double>& p) {
  const auto n = static_cast<double>(draws.size());
  const auto last = static_cast<std::int64_t>(p.size()) - 1;
  std::vector<double> at(2 * p.size() - 1);
  for (const std::int64_t draw : draws) {
    ++at[static_cast<std::size_t>(std::clamp(draw, -last, last) + last)];
  }
  std::vector<double> counts{0}, probabilities{0};
  for (std::int64_t x = -last; x <= last; ++x) {
    if (probabilities.back() * n >= 100) {
      counts.push_back(0);
      probabilities.push_back(0);
    }
    counts.back() += at[static_cast<std::size_t>(x + last)];
    probabilities.back() += p[static_cast<std::size_t>(std::abs(x))];
  }
  // What is left on the right joins its neighbour.
  counts[counts.size() - 2] += counts.back();
  probabilities[counts.size() - 2] += probabilities.back();
  counts.pop_back();
  probabilities.pop_back();
  EXPECT_LT(std::abs(chi_square_deviations(counts, probabilities, n)), 6.0);
}

std::vector<double> normalized(std::vector<long double> weights) {
  long double total = -weights[0];
  for (const long double weight : weights) total += 2 * weight;
  std::vector<double> out;
  for (const long double weight : weights) out.push_back(static_cast<double>(weight / total));
  return out;
}

std::vector<double> discrete_gaussian_law(long double variance) {
  std::vector<long double> weights;
  const auto last = static_cast<int>(12 * std::sqrt(variance)) + 12;
  for (int x = 0; x <= last; ++x) {
    weights.push_back(std::exp(-static_cast<long double>(x) * x / 2 / variance));
  }
  return normalized(weights);
}

/// exp(-v) I_|x|(v) by the recurrence I_(k - 1) = I_(k + 1) + 2k / v I_k from far out inwards,
/// where it is stable.
std::vector<double> skellam_law(long double variance) {
  const auto last = static_cast<std::size_t>(14 * std::sqrt(variance)) + 40;
  std::vector<long double> weights(last + 2);
  weights[last] = 1e-4000L;
  for (std::size_t k = last; k > 0; --k) {
    weights[k - 1] = weights[k + 1] + 2 * static_cast<long double>(k) / variance * weights[k];
  }
  weights.resize(last + 1);
  return normalized(weights);
}

constexpr std::int64_t kDraws = 1'000'000;

TEST(IntegerNoiseStatistics, DiscreteGaussianDrawsFitTheirDistribution) {
  for (const ExactVariance& variance :
       {ExactVariance{1, 3}, ExactVariance{9, 4}, ExactVariance{1000, 7}, ExactVariance{900001, 1},
        ExactVariance{std::uint64_t{1} << 36, 1}}) {
    SCOPED_TRACE(variance.numerator);
    expect_distribution(discrete_gaussians(variance, kDraws, Stream::serial()),
                        discrete_gaussian_law(static_cast<long double>(variance.numerator) /
                                              static_cast<long double>(variance.denominator)));
  }
}

TEST(IntegerNoiseStatistics, SkellamDrawsFitTheirDistribution) {
  for (const ExactVariance& variance :
       {ExactVariance{1, 3}, ExactVariance{9, 4}, ExactVariance{59, 10}, ExactVariance{6, 1},
        ExactVariance{1000, 7}, ExactVariance{900001, 1},
        ExactVariance{std::uint64_t{1} << 28, 1}}) {
    SCOPED_TRACE(variance.numerator);
    expect_distribution(skellams(variance, kDraws, Stream::serial()),
                        skellam_law(static_cast<long double>(variance.numerator) /
                                    static_cast<long double>(variance.denominator)));
  }
}

TEST(IntegerNoiseStatistics, LargeVariancesHaveTheirMoments) {
  // Nearly normal: mean within 6 sigma / sqrt(n), second moment within 6 sqrt(2 / n) sigma^2,
  // fourth within 6 sqrt(96 / n) sigma^4.
  const auto check = [](const std::vector<std::int64_t>& draws, double variance) {
    const auto n = static_cast<double>(draws.size());
    double first = 0, second = 0, fourth = 0;
    for (const std::int64_t draw : draws) {
      const double z = static_cast<double>(draw) / std::sqrt(variance);
      first += z / n;
      second += z * z / n;
      fourth += z * z * z * z / n;
    }
    EXPECT_LT(std::abs(first), 6 / std::sqrt(n));
    EXPECT_LT(std::abs(second - 1), 6 * std::sqrt(2 / n));
    EXPECT_LT(std::abs(fourth - 3), 6 * std::sqrt(96 / n));
  };
  check(discrete_gaussians(kLargestVariance, kDraws, Stream::serial()), 0x1p64);
  check(discrete_gaussians({(std::uint64_t{1} << 50) + 12345, 3}, kDraws, Stream::serial()),
        (0x1p50 + 12345) / 3);
  check(skellams({kMaxSkellamVariance, 1}, kDraws, Stream::serial()), 0x1p60);
  check(skellams({(std::uint64_t{1} << 41) + 1, 3}, kDraws, Stream::serial()), (0x1p41 + 1) / 3);
}

// ---- Variances ----

Rational rational_of(const ExactVariance& variance) {
  return {Integer(variance.numerator), Integer(variance.denominator)};
}
/// Exactly.
Rational rational_of(double x) { return Rational(x); }

std::vector<double> doubles_over_all_magnitudes(double largest) {
  std::mt19937_64 generator(6);
  std::uniform_real_distribution<double> mantissa(1.0, 2.0), exponent(-40, 63);
  std::vector<double> out{1.0,
                          0.5,
                          3.0,
                          0x1p-31,
                          0x1p-32,
                          0x1p-1074,
                          0x1.fffffffffffffp30,
                          largest,
                          std::nextafter(largest, 0.0)};
  for (int i = 0; i < 3000; ++i) {
    out.push_back(std::min(
        largest, std::ldexp(mantissa(generator), static_cast<int>(exponent(generator)) - 1)));
  }
  return out;
}

/// `variance` is at least `exact` and the next smaller one of its kind is not.
void expect_least(const ExactVariance& variance, const Rational& exact) {
  check_variance("test", variance);
  EXPECT_GE(rational_of(variance), exact);
  // A step of 2^-31, or of the largest power of two that leaves room for 64 bits.
  Rational step(1, Integer(1) << 31);
  while (exact / step > (Integer(1) << 64) - 1) step *= 2;
  EXPECT_LT(rational_of(variance) - exact, step);
  const Rational multiple = rational_of(variance) / step;
  EXPECT_EQ(denominator(multiple), 1);
}

TEST(ExactVariance, OfADoubleIsTheNextMultipleAbove) {
  for (const double value : doubles_over_all_magnitudes(0x1p63)) {
    expect_least(variance_at_least(value), rational_of(value));
    if (value >= 0x1p21) {
      EXPECT_EQ(rational_of(variance_at_least(value)), rational_of(value));
    }
  }
  for (const double sigma : doubles_over_all_magnitudes(0x1.6a09e667f3bccp31)) {
    expect_least(squared_sigma_at_least(sigma), rational_of(sigma) * rational_of(sigma));
  }
  EXPECT_EQ(variance_at_least(2.5), (ExactVariance{5, 2}));
}

TEST(ExactVariance, SharesAddUpToTheTotalAndExactlyWhereTheyCan) {
  EXPECT_EQ(variance_share({100, 1}, 7), (ExactVariance{100, 7}));
  EXPECT_EQ(variance_share({100, 3}, 50), (ExactVariance{2, 3}));
  std::mt19937_64 generator(7);
  for (int round = 0; round < 3000; ++round) {
    const ExactVariance total{(generator() >> generator() % 64) | 1,
                              1 + (generator() >> (32 + generator() % 32)) % 0xffffffff};
    const auto shares = static_cast<std::int64_t>(1 + (generator() >> (33 + generator() % 31)));
    const ExactVariance share = variance_share(total, shares);
    const Rational exact = rational_of(total) / Integer(shares);
    if (denominator(exact) <= ExactVariance::kMaxDenominator) {
      EXPECT_EQ(rational_of(share), exact);
    } else {
      expect_least(share, exact);
    }
  }
}

TEST(ExactVariance, TheDoubleIsTheLargestNotAbove) {
  std::mt19937_64 generator(8);
  for (int round = 0; round < 3000; ++round) {
    const ExactVariance variance{(generator() >> generator() % 64) | 1,
                                 1 + (generator() >> (32 + generator() % 32)) % 0xffffffff};
    const double value = double_at_most(variance);
    EXPECT_LE(rational_of(value), rational_of(variance));
    EXPECT_GT(rational_of(std::nextafter(value, 1e300)), rational_of(variance));
  }
  EXPECT_EQ(double_at_most({5, 2}), 2.5);
}

TEST(ExactVariance, OutOfRangeIsRefused) {
  for (const double bad : {0.0, -1.0, 0x1.0000000000001p63, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THROW(variance_at_least(bad), std::invalid_argument);
    EXPECT_THROW(squared_sigma_at_least(bad), std::invalid_argument);
  }
  EXPECT_THROW(squared_sigma_at_least(0x1.6a09e667f3bcdp31), std::invalid_argument);
  EXPECT_THROW(variance_share({1, 1}, 0), std::invalid_argument);
  EXPECT_THROW(variance_share({1, 1}, (std::int64_t{1} << 31) + 1), std::invalid_argument);
  EXPECT_THROW(variance_share({0, 1}, 1), std::invalid_argument);
  EXPECT_THROW(double_at_most({1, 0}), std::invalid_argument);
}

}  // namespace
}  // namespace velum::kernels
