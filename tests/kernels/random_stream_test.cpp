#include "velum/kernels/random/random_stream.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <set>
#include <stdexcept>
#include <system_error>
#include <tuple>
#include <vector>

#include "random/entropy.h"
#include "velum/kernels/random/key_source.h"

namespace velum::kernels {
namespace {

using Nonce = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>;

Nonce nonce_of(const RandomPosition& position, DrawKind kind) {
  const StreamNonce nonce = pack_position(position, kind);
  return {nonce.words[0], nonce.words[1], nonce.words[2]};
}

/// 0, 1, every power of two and all bits of a field, with their neighbours.
std::vector<std::uint64_t> edges(int bits) {
  const std::uint64_t max = (std::uint64_t{1} << bits) - 1;
  std::set<std::uint64_t> values{0, max};
  for (int bit = 0; bit < bits; ++bit) {
    const std::uint64_t power = std::uint64_t{1} << bit;
    values.insert({power - 1, power, max - power});
  }
  return {values.begin(), values.end()};
}

TEST(StreamLayout, UnpackingGivesThePositionBack) {
  const auto check = [](const RandomPosition& position, DrawKind kind) {
    const UnpackedPosition unpacked = unpack_position(pack_position(position, kind));
    ASSERT_EQ(unpacked.position, position);
    ASSERT_EQ(unpacked.kind, kind);
  };
  // Each field at its edges with all others at zero and at their maximum.
  for (const bool full : {false, true}) {
    const RandomPosition base =
        full ? RandomPosition{static_cast<Purpose>(63), StreamLayout::kMaxKeyEpoch,
                              StreamLayout::kMaxStep, StreamLayout::kMaxTensor}
             : RandomPosition{static_cast<Purpose>(0), 0, 0, 0};
    for (const int kind : {0, 1, 2, 3}) {
      const auto draw_kind = static_cast<DrawKind>(kind);
      for (const std::uint64_t value : edges(StreamLayout::kPurposeBits)) {
        RandomPosition position = base;
        position.purpose = static_cast<Purpose>(value);
        check(position, draw_kind);
      }
      for (const std::uint64_t value : edges(StreamLayout::kKeyEpochBits)) {
        RandomPosition position = base;
        position.key_epoch = static_cast<std::uint32_t>(value);
        check(position, draw_kind);
      }
      for (const std::uint64_t value : edges(StreamLayout::kStepBits)) {
        RandomPosition position = base;
        position.step = value;
        check(position, draw_kind);
      }
      for (const std::uint64_t value : edges(StreamLayout::kTensorBits)) {
        RandomPosition position = base;
        position.tensor = static_cast<std::uint32_t>(value);
        check(position, draw_kind);
      }
    }
  }
  std::mt19937_64 generator(20240607);
  for (int i = 0; i < 100000; ++i) {
    check({static_cast<Purpose>(generator() & 63),
           static_cast<std::uint32_t>(generator() & StreamLayout::kMaxKeyEpoch),
           generator() & StreamLayout::kMaxStep,
           static_cast<std::uint32_t>(generator() & StreamLayout::kMaxTensor)},
          static_cast<DrawKind>(generator() & 3));
  }
}

TEST(StreamLayout, PackingGivesEveryNonceBack) {
  // With the test above: positions in range and nonces correspond one to one.
  std::mt19937 generator(7);
  for (int i = 0; i < 100000; ++i) {
    const StreamNonce nonce{{static_cast<std::uint32_t>(generator()),
                             static_cast<std::uint32_t>(generator()),
                             static_cast<std::uint32_t>(generator())}};
    const UnpackedPosition unpacked = unpack_position(nonce);
    ASSERT_EQ(pack_position(unpacked.position, unpacked.kind), nonce);
  }
}

TEST(StreamLayout, NeighbouringPositionsHaveDistinctNonces) {
  std::set<Nonce> nonces;
  std::size_t positions = 0;
  for (const Purpose purpose :
       {Purpose::kGradientNoise, Purpose::kPoissonSampling, Purpose::kTest}) {
    for (const std::uint32_t epoch : {0u, 1u, 2u, 4096u}) {
      for (const std::uint64_t step : {0ull, 1ull, 2ull, 1ull << 31, 1ull << 32, 1ull << 43}) {
        for (const std::uint32_t tensor : {0u, 1u, 2u, 256u, 65536u}) {
          for (const DrawKind kind :
               {DrawKind::kBits, DrawKind::kGaussian, DrawKind::kInteger, DrawKind::kSelection}) {
            nonces.insert(nonce_of({purpose, epoch, step, tensor}, kind));
            ++positions;
          }
        }
      }
    }
  }
  EXPECT_EQ(nonces.size(), positions);
}

TEST(StreamLayout, ValuesOutOfRangeAreErrorsAndNeverWrap) {
  const auto message = [](const RandomPosition& position) -> std::string {
    try {
      static_cast<void>(pack_position(position, DrawKind::kGaussian));
    } catch (const std::out_of_range& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_EQ(message({Purpose::kTest, 0, 0, 1u << 24}),
            "pack_position: tensor = 16777216, expected at most 16777215");
  EXPECT_EQ(message({Purpose::kTest, 0, 1ull << 44, 0}),
            "pack_position: step = 17592186044416, expected at most 17592186044415");
  EXPECT_EQ(message({Purpose::kTest, 1u << 20, 0, 0}),
            "pack_position: key_epoch = 1048576, expected at most 1048575");
  EXPECT_EQ(message({static_cast<Purpose>(64), 0, 0, 0}),
            "pack_position: purpose = 64, expected at most 63");
  EXPECT_THROW(pack_position({}, static_cast<DrawKind>(4)), std::out_of_range);
  EXPECT_THROW(pack_position({Purpose::kTest, 0xffffffff, 0, 0}, DrawKind::kBits),
               std::out_of_range);
  EXPECT_THROW(pack_position({Purpose::kTest, 0, ~0ull, 0}, DrawKind::kBits), std::out_of_range);
}

TEST(StreamLayout, IsTheWrittenOne) {
  // The figures of the layout table in random_stream.h, by hand.
  const RandomPosition position{Purpose::kPrivateMean, 0xabcde, 0x123456789ab, 0x314159};
  const StreamNonce nonce = pack_position(position, DrawKind::kInteger);
  EXPECT_EQ(nonce.words[0], 0x31415983u);  // tensor, kind 2 << 6 | purpose 3
  EXPECT_EQ(nonce.words[1], 0x456789abu);
  EXPECT_EQ(nonce.words[2], 0xabcde123u);
}

TEST(StreamState, HoldsKeyAndNonceAtBlockZero) {
  const RandomKey key{{1, 2, 3, 4, 5, 6, 7, 8}};
  const RandomPosition position{Purpose::kGradientNoise, 1, 2, 3};
  const ChaCha20State state = stream_state(key, position, DrawKind::kGaussian);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(state.words[4 + i], key.words[i]);
  EXPECT_EQ(state.words[12], 0u);
  const StreamNonce nonce = pack_position(position, DrawKind::kGaussian);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(state.words[13 + i], nonce.words[i]);
}

TEST(RandomKeyFrom, ContinuesAfterInterruptsAndShortReads) {
  unsigned char next = 0;
  int calls = 0;
  const RandomKey key = random_key_from([&](void* bytes, std::size_t length) -> ssize_t {
    if (++calls % 3 == 1) {
      errno = EINTR;
      return -1;
    }
    const std::size_t given = std::min<std::size_t>(length, 5);
    for (std::size_t i = 0; i < given; ++i) static_cast<unsigned char*>(bytes)[i] = next++;
    return static_cast<ssize_t>(given);
  });
  EXPECT_EQ(next, 32);
  unsigned char bytes[32];
  std::memcpy(bytes, key.words.data(), sizeof bytes);
  for (unsigned char i = 0; i < 32; ++i) EXPECT_EQ(bytes[i], i);
}

TEST(RandomKeyFrom, ThrowsWhenTheSystemGivesNoRandomness) {
  for (const int error : {ENOSYS, EAGAIN, EFAULT, EINVAL}) {
    try {
      random_key_from([&](void*, std::size_t) -> ssize_t {
        errno = error;
        return -1;
      });
      FAIL() << "errno " << error << " was ignored";
    } catch (const std::system_error& thrown) {
      EXPECT_EQ(thrown.code().value(), error);
    }
  }
  EXPECT_THROW(random_key_from([](void*, std::size_t) -> ssize_t { return 0; }), std::system_error);
  EXPECT_THROW(
      random_key_from([](void*, std::size_t length) { return static_cast<ssize_t>(length + 1); }),
      std::system_error);
  // A failure after a part was read is a failure, too.
  int calls = 0;
  EXPECT_THROW(random_key_from([&](void*, std::size_t) -> ssize_t {
                 if (++calls == 1) return 16;
                 errno = EIO;
                 return -1;
               }),
               std::system_error);
}

TEST(SecureRandomKey, NeverRepeats) {
  std::set<std::array<std::uint32_t, 8>> keys;
  for (int i = 0; i < 1000; ++i) keys.insert(secure_random_key().words);
  EXPECT_EQ(keys.size(), 1000u);
}

TEST(InsecureKeyFromSeed, DistinctSeedsGiveDistinctKeys) {
  EXPECT_EQ(insecure_key_from_seed(5), insecure_key_from_seed(5));
  std::set<std::array<std::uint32_t, 8>> keys;
  for (int bit = 0; bit < 64; ++bit) keys.insert(insecure_key_from_seed(1ull << bit).words);
  keys.insert(insecure_key_from_seed(0).words);
  EXPECT_EQ(keys.size(), 65u);
}

TEST(Wipe, LeavesZeros) {
  RandomKey key = secure_random_key();
  wipe(key);
  EXPECT_EQ(key, RandomKey{});
}

}  // namespace
}  // namespace velum::kernels
