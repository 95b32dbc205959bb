#include "velum/kernels/random/chacha20.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "random/keystream.h"
#include "support/every_backend.h"
#include "support/simd_targets.h"

namespace velum::kernels {
namespace {

using ::velum::testing::BackendName;
using ::velum::testing::every_backend;
using ::velum::testing::for_each_simd_target;
using ::velum::testing::make_stream;
using ::velum::testing::to_host;

// RFC 8439, section 2.1.1.
constexpr bool quarter_round_is_the_standards() {
  std::uint32_t a = 0x11111111, b = 0x01020304, c = 0x9b8d6f43, d = 0x01234567;
  chacha20_quarter_round(a, b, c, d);
  return a == 0xea2a92f4 && b == 0xcb1cf8ce && c == 0x4581472e && d == 0x5881c4bb;
}
static_assert(quarter_round_is_the_standards());

// RFC 8439, section 2.3.2: key 00 01 .. 1f, counter 1.
constexpr std::uint32_t kCountingKey[8] = {0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c,
                                           0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c};
static_assert(chacha20_block(chacha20_state(kCountingKey, 1,
                                            {0x09000000, 0x4a000000, 0x00000000})) ==
              ChaCha20State{{0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033,
                             0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
                             0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2}});

// RFC 8439, appendix A.1.
constexpr std::uint32_t kZeroKey[8] = {};
constexpr std::uint32_t kLastBitKey[8] = {0, 0, 0, 0, 0, 0, 0, 0x01000000};  // 00 .. 00 01
constexpr std::uint32_t kFfKey[8] = {0x0000ff00, 0, 0, 0, 0, 0, 0, 0};       // 00 ff 00 ..
static_assert(chacha20_block(chacha20_state(kZeroKey, 0, {0, 0, 0})) ==
              ChaCha20State{{0xade0b876, 0x903df1a0, 0xe56a5d40, 0x28bd8653, 0xb819d2bd, 0x1aed8da0,
                             0xccef36a8, 0xc70d778b, 0x7c5941da, 0x8d485751, 0x3fe02477, 0x374ad8b8,
                             0xf4b8436a, 0x1ca11815, 0x69b687c3, 0x8665eeb2}});
static_assert(chacha20_block(chacha20_state(kZeroKey, 1, {0, 0, 0})) ==
              ChaCha20State{{0xbee7079f, 0x7a385155, 0x7c97ba98, 0x0d082d73, 0xa0290fcb, 0x6965e348,
                             0x3e53c612, 0xed7aee32, 0x7621b729, 0x434ee69c, 0xb03371d5, 0xd539d874,
                             0x281fed31, 0x45fb0a51, 0x1f0ae1ac, 0x6f4d794b}});
static_assert(chacha20_block(chacha20_state(kLastBitKey, 1, {0, 0, 0})) ==
              ChaCha20State{{0x2452eb3a, 0x9249f8ec, 0x8d829d9b, 0xddd4ceb1, 0xe8252083, 0x60818b01,
                             0xf38422b8, 0x5aaa49c9, 0xbb00ca8e, 0xda3ba7b4, 0xc4b592d1, 0xfdf2732f,
                             0x4436274e, 0x2561b3c8, 0xebdd4aa6, 0xa0136c00}});
static_assert(chacha20_block(chacha20_state(kFfKey, 2, {0, 0, 0})) ==
              ChaCha20State{{0xfb4dd572, 0x4bc42ef1, 0xdf922636, 0x327f1394, 0xa78dea8f, 0x5e269039,
                             0xa1bebbc1, 0xcaf09aae, 0xa25ab213, 0x48a6b46c, 0x1b9d9bcb, 0x092c5be6,
                             0x546ca624, 0x1bec45d5, 0x87f47473, 0x96f0992e}});
static_assert(chacha20_block(chacha20_state(kZeroKey, 0, {0, 0, 0x02000000})) ==
              ChaCha20State{{0x374dc6c2, 0x3736d58c, 0xb904e24a, 0xcd3f93ef, 0x88228b1a, 0x96a4dfb3,
                             0x5b76ab72, 0xc727ee54, 0x0e0e978a, 0xf3145c95, 0x1b748ea8, 0xf786c297,
                             0x99c28f5f, 0x628314e8, 0x398a19fa, 0x6ded1b53}});

class KeystreamOnEveryBackend : public ::testing::TestWithParam<Backend> {};

// RFC 8439, section 2.4.2.
TEST_P(KeystreamOnEveryBackend, EncryptsTheStandardsPlaintext) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const std::string plaintext =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  const std::vector<unsigned char> ciphertext = {
      0x6e, 0x2e, 0x35, 0x9a, 0x25, 0x68, 0xf9, 0x80, 0x41, 0xba, 0x07, 0x28, 0xdd, 0x0d, 0x69,
      0x81, 0xe9, 0x7e, 0x7a, 0xec, 0x1d, 0x43, 0x60, 0xc2, 0x0a, 0x27, 0xaf, 0xcc, 0xfd, 0x9f,
      0xae, 0x0b, 0xf9, 0x1b, 0x65, 0xc5, 0x52, 0x47, 0x33, 0xab, 0x8f, 0x59, 0x3d, 0xab, 0xcd,
      0x62, 0xb3, 0x57, 0x16, 0x39, 0xd6, 0x24, 0xe6, 0x51, 0x52, 0xab, 0x8f, 0x53, 0x0c, 0x35,
      0x9f, 0x08, 0x61, 0xd8, 0x07, 0xca, 0x0d, 0xbf, 0x50, 0x0d, 0x6a, 0x61, 0x56, 0xa3, 0x8e,
      0x08, 0x8a, 0x22, 0xb6, 0x5e, 0x52, 0xbc, 0x51, 0x4d, 0x16, 0xcc, 0xf8, 0x06, 0x81, 0x8c,
      0xe9, 0x1a, 0xb7, 0x79, 0x37, 0x36, 0x5a, 0xf9, 0x0b, 0xbf, 0x74, 0xa3, 0x5b, 0xe6, 0xb4,
      0x0b, 0x8e, 0xed, 0xf2, 0x78, 0x5e, 0x42, 0x87, 0x4d};
  ASSERT_EQ(plaintext.size(), 114u);
  ASSERT_EQ(ciphertext.size(), 114u);
  const ChaCha20State state = chacha20_state(kCountingKey, 0, {0, 0x4a000000, 0});
  for_each_simd_target(GetParam(), [&] {
    const Stream stream = make_stream(GetParam());
    const Buffer<std::uint32_t> words(29, stream);  // 116 bytes, from block 1 on
    keystream_fill(state, 16, words.span(), stream);
    const std::vector<std::uint32_t> host = to_host<std::uint32_t>(words.span(), stream);
    for (std::size_t i = 0; i < plaintext.size(); ++i) {
      const auto key_byte = static_cast<unsigned char>(host[i / 4] >> (8 * (i % 4)));
      EXPECT_EQ(static_cast<unsigned char>(plaintext[i]) ^ key_byte, ciphertext[i]) << "byte " << i;
    }
  });
}

TEST_P(KeystreamOnEveryBackend, IsTheBlockFunctionAtEverySizeAndOffset) {
  SKIP_WITHOUT_DEVICE(GetParam());
  const ChaCha20State state =
      chacha20_state(kCountingKey, 12345, {0x01020304, 0xffffffff, 0x80000001});
  const std::int64_t last = KeystreamLayout::kMaxWords;
  for_each_simd_target(GetParam(), [&] {
    const Stream stream = make_stream(GetParam());
    for (const std::int64_t size : {0, 1, 15, 16, 17, 31, 32, 33, 127, 128, 129, 257, 1000}) {
      for (const std::int64_t first :
           {std::int64_t{0}, std::int64_t{5}, std::int64_t{16}, std::int64_t{133}, last - size}) {
        const Buffer<std::uint32_t> words(size, stream);
        keystream_fill(state, first, words.span(), stream);
        const std::vector<std::uint32_t> host = to_host<std::uint32_t>(words.span(), stream);
        for (std::int64_t i = 0; i < size; ++i) {
          const std::int64_t word = first + i;
          const auto block = static_cast<std::uint32_t>(word / 16);
          ASSERT_EQ(host[static_cast<std::size_t>(i)],
                    chacha20_block(state, block).words[word % 16])
              << "size " << size << " first " << first << " word " << i;
        }
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(All, KeystreamOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::kernels
