// Instructions over lanes, memory and control flow, against the definitions of the PTX manual.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>

#include "device_fixture.h"
#include "instruction_kernels.h"

namespace velum::emulation::instructions {
namespace {

constexpr unsigned kWarp = 32;

class Instructions : public EmulatedDevice {
 protected:
  Lanes random_lanes(std::uint32_t below = 0) {
    Lanes lanes(kWarp);
    for (std::uint32_t& x : lanes) {
      x = static_cast<std::uint32_t>(random_());
      if (below != 0) x %= below;
    }
    return lanes;
  }
  std::mt19937 random_{5};
};

TEST_F(Instructions, ShufflesFollowTheManual) {
  const Lanes values = random_lanes();
  for (const std::uint32_t width : {32U, 16U, 8U, 4U, 2U}) {
    // The intrinsics' encoding of a width: up clamps to the first lane of a segment, the others to
    // the last.
    const std::uint32_t segments = (32 - width) << 8;
    for (int round = 0; round < 8; ++round) {
      const std::uint32_t offset = static_cast<std::uint32_t>(random_() % 32);
      const Lanes offsets = random_lanes(32);
      const Lanes same(kWarp, offset);
      const Shuffled up = shuffle(Shuffle::kUp, values, same, segments);
      const Shuffled down = shuffle(Shuffle::kDown, values, same, segments | 31);
      const Shuffled butterfly = shuffle(Shuffle::kButterfly, values, same, segments | 31);
      const Shuffled indexed = shuffle(Shuffle::kIndexed, values, offsets, segments | 31);
      for (std::uint32_t lane = 0; lane < kWarp; ++lane) {
        const std::uint32_t first = lane / width * width;
        const std::uint32_t end = first + width;
        const bool up_in = lane >= first + offset;
        const bool down_in = lane + offset < end;
        // A butterfly may read a lower segment, never a higher one.
        const bool butterfly_in = (lane ^ offset) < end;
        ASSERT_EQ(up.predicates[lane], up_in);
        ASSERT_EQ(up.values[lane], values[up_in ? lane - offset : lane]);
        ASSERT_EQ(down.predicates[lane], down_in);
        ASSERT_EQ(down.values[lane], values[down_in ? lane + offset : lane]);
        ASSERT_EQ(butterfly.predicates[lane], butterfly_in);
        ASSERT_EQ(butterfly.values[lane], values[butterfly_in ? lane ^ offset : lane]);
        ASSERT_EQ(indexed.predicates[lane], 1U);
        ASSERT_EQ(indexed.values[lane], values[first + offsets[lane] % width]);
      }
    }
  }
}

TEST_F(Instructions, AShuffleOutOfItsClampKeepsItsOwnValue) {
  const Lanes values = random_lanes();
  const Lanes offsets(kWarp, 20);
  const Shuffled indexed = shuffle(Shuffle::kIndexed, values, offsets, 15);
  EXPECT_EQ(indexed.values, values);
  EXPECT_EQ(indexed.predicates, Lanes(kWarp, 0));
}

TEST_F(Instructions, VotesCountTheLanesOfTheMask) {
  for (const std::uint32_t mask : {0xFFFFFFFFU, 0x0000FFFFU, 0x80000001U, 0x55555555U}) {
    for (const std::uint32_t truth : {0U, 0xFFFFFFFFU, 0x0000FFFFU, 0x12345678U, 0x80000000U}) {
      Lanes predicates(kWarp);
      for (std::uint32_t i = 0; i < kWarp; ++i) predicates[i] = (truth >> i) & 1;
      const Votes votes = vote(predicates, mask);
      for (std::uint32_t i = 0; i < kWarp; ++i) {
        if (!((mask >> i) & 1)) continue;
        ASSERT_EQ(votes.ballot[i], truth & mask);
        ASSERT_EQ(votes.all[i], (truth & mask) == mask);
        ASSERT_EQ(votes.any[i], (truth & mask) != 0);
        ASSERT_EQ(votes.uniform[i], (truth & mask) == mask || (truth & mask) == 0);
      }
    }
  }
}

TEST_F(Instructions, MatchesFindEqualValues) {
  const Lanes values = random_lanes(3);
  const Matches matches = match(values);
  for (std::uint32_t i = 0; i < kWarp; ++i) {
    std::uint32_t equal = 0;
    for (std::uint32_t k = 0; k < kWarp; ++k) {
      if (values[k] == values[i]) equal |= 1U << k;
    }
    EXPECT_EQ(matches.any[i], equal);
    EXPECT_EQ(matches.all[i], 0U);
    EXPECT_EQ(matches.all_predicate[i], 0U);
  }
  const Matches same = match(Lanes(kWarp, 9));
  EXPECT_EQ(same.all, Lanes(kWarp, 0xFFFFFFFF));
  EXPECT_EQ(same.all_predicate, Lanes(kWarp, 1));
}

TEST_F(Instructions, ReductionsCoverTheWarp) {
  const Lanes values = random_lanes();
  const Reductions r = reduce(values);
  std::uint32_t sum = 0;
  std::uint32_t conjunction = ~0U;
  std::uint32_t disjunction = 0;
  std::uint32_t parity = 0;
  std::vector<std::int32_t> numbers;
  for (const std::uint32_t x : values) {
    sum += x;
    conjunction &= x;
    disjunction |= x;
    parity ^= x;
    numbers.push_back(static_cast<std::int32_t>(x));
  }
  EXPECT_EQ(r.add, Lanes(kWarp, sum));
  EXPECT_EQ(r.min, Lanes(kWarp, *std::min_element(values.begin(), values.end())));
  EXPECT_EQ(r.max, Lanes(kWarp, *std::max_element(values.begin(), values.end())));
  const auto [low, high] = std::minmax_element(numbers.begin(), numbers.end());
  EXPECT_EQ(r.min_signed, Lanes(kWarp, static_cast<std::uint32_t>(*low)));
  EXPECT_EQ(r.max_signed, Lanes(kWarp, static_cast<std::uint32_t>(*high)));
  EXPECT_EQ(r.bit_and, Lanes(kWarp, conjunction));
  EXPECT_EQ(r.bit_or, Lanes(kWarp, disjunction));
  EXPECT_EQ(r.bit_xor, Lanes(kWarp, parity));
}

TEST_F(Instructions, AtomicOperationsGiveTheOldValueAndStoreTheNew) {
  struct Case {
    Atomic operation;
    std::uint32_t start, operand, second, expected;
  };
  constexpr std::uint32_t kTop = 0xFFFFFFFF;
  const Case cases[] = {
      {Atomic::kAdd, kTop, 2, 0, 1},
      {Atomic::kMin, 5, kTop, 0, 5},
      {Atomic::kMin, 5, 3, 0, 3},
      {Atomic::kMax, 5, kTop, 0, kTop},
      {Atomic::kAnd, 0xFF00FF00, 0x0FF00FF0, 0, 0x0F000F00},
      {Atomic::kOr, 0xFF00FF00, 0x0FF00FF0, 0, 0xFFF0FFF0},
      {Atomic::kXor, 0xFF00FF00, 0x0FF00FF0, 0, 0xF0F0F0F0},
      {Atomic::kExchange, 1, 2, 0, 2},
      {Atomic::kIncrement, 6, 7, 0, 7},  // old >= b ? 0 : old + 1
      {Atomic::kIncrement, 7, 7, 0, 0},
      {Atomic::kIncrement, 9, 7, 0, 0},
      {Atomic::kDecrement, 3, 7, 0, 2},  // old == 0 or old > b ? b : old - 1
      {Atomic::kDecrement, 0, 7, 0, 7},
      {Atomic::kDecrement, 9, 7, 0, 7},
      {Atomic::kCompareAndSwap, 4, 4, 8, 8},
      {Atomic::kCompareAndSwap, 5, 4, 8, 5},
  };
  for (const Case& c : cases) {
    for (const bool in_shared : {false, true}) {
      const Updated updated = update(c.operation, c.start, c.operand, c.second, in_shared);
      EXPECT_EQ(updated.old_value, c.start) << static_cast<int>(c.operation);
      EXPECT_EQ(updated.new_value, c.expected) << static_cast<int>(c.operation);
    }
  }
}

TEST_F(Instructions, AtomicSumsOfFloatsFlushSubnormalsInGlobalMemoryOnly) {
  std::vector<float> values(kWarp);
  std::iota(values.begin(), values.end(), 1.0F);
  const float sum = 528;  // 1 + ... + 32
  EXPECT_EQ(add_floats(values, true), sum);
  EXPECT_EQ(add_doubles(std::vector<double>(values.begin(), values.end())), sum);
  const std::vector<float> subnormal(kWarp, std::numeric_limits<float>::denorm_min());
  EXPECT_EQ(add_floats(values, false), sum);
  EXPECT_EQ(add_floats(subnormal, false), 0.0F);
  EXPECT_EQ(add_floats(subnormal, true), 32 * std::numeric_limits<float>::denorm_min());
}

TEST_F(Instructions, AnIndexedBranchTakesItsTarget) {
  const Lanes values = random_lanes();
  const Lanes results = branch_by_table(values);
  for (unsigned i = 0; i < kWarp; ++i) EXPECT_EQ(results[i], 100 + 101 * (values[i] % 4));
}

TEST_F(Instructions, VectorsKeepTheirOrder) {
  Lanes values(128);
  std::iota(values.begin(), values.end(), 0U);
  const Lanes reversed = reverse_vectors(values);
  for (unsigned i = 0; i < values.size(); ++i)
    EXPECT_EQ(reversed[i], values[i / 4 * 4 + 3 - i % 4]);
}

TEST_F(Instructions, RegistersArePackedLowHalfFirst) {
  EXPECT_EQ(swap_halves({0x0123456789ABCDEF, 1})[0], 0x89ABCDEF01234567U);
}

TEST_F(Instructions, NarrowLoadsExtendTheSign) {
  const Lanes values = random_lanes();
  const std::vector<std::int32_t> sums = signed_parts(values);
  for (unsigned i = 0; i < kWarp; ++i) {
    std::int32_t sum = 0;
    for (unsigned k = 0; k < 4; ++k) sum += static_cast<std::int8_t>(values[i] >> (8 * k));
    for (unsigned k = 0; k < 2; ++k) sum += static_cast<std::int16_t>(values[i] >> (16 * k));
    EXPECT_EQ(sums[i], sum);
  }
}

TEST_F(Instructions, BarriersReduce) {
  for (const std::uint32_t truth : {0U, 0xFFFFFFFFU, 0x00FF0001U}) {
    Lanes predicates(kWarp);
    std::uint32_t count = 0;
    for (std::uint32_t i = 0; i < kWarp; ++i) count += predicates[i] = (truth >> i) & 1;
    const BlockVotes votes = block_vote(predicates);
    EXPECT_EQ(votes.count, Lanes(kWarp, count));
    EXPECT_EQ(votes.all, Lanes(kWarp, count == kWarp));
    EXPECT_EQ(votes.any, Lanes(kWarp, count != 0));
  }
}

TEST_F(Instructions, AddressesKnowTheirSpace) {
  EXPECT_EQ(address_spaces(), (std::vector<std::uint32_t>{1, 0, 0, 0, 1, 0, 0, 0, 1}));
}

}  // namespace
}  // namespace velum::emulation::instructions
