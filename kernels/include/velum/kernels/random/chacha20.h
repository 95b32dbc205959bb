#pragma once

#include <cstdint>

#include "velum/kernels/host_device.h"

namespace velum::kernels {

/// The 4 x 4 matrix of words that ChaCha20 permutes, row by row: constants (0-3), key (4-11),
/// block counter (12), nonce (13-15); and also the keystream block made from it.
struct ChaCha20State {
  static constexpr int kWords = 16;
  static constexpr int kCounterWord = 12;
  static constexpr int kNonceWord = 13;

  std::uint32_t words[kWords];

  friend constexpr bool operator==(const ChaCha20State&, const ChaCha20State&) = default;
};

/// RFC 8439, section 2.1.
VELUM_HOST_DEVICE constexpr void chacha20_quarter_round(std::uint32_t& a, std::uint32_t& b,
                                                        std::uint32_t& c, std::uint32_t& d) {
  a += b;
  d ^= a;
  d = (d << 16) | (d >> 16);
  c += d;
  b ^= c;
  b = (b << 12) | (b >> 20);
  a += b;
  d ^= a;
  d = (d << 8) | (d >> 24);
  c += d;
  b ^= c;
  b = (b << 7) | (b >> 25);
}

/// The state before the rounds.
/// Paper: RFC 8439, section 2.3.
VELUM_HOST_DEVICE constexpr ChaCha20State chacha20_state(const std::uint32_t (&key)[8],
                                                         std::uint32_t counter,
                                                         const std::uint32_t (&nonce)[3]) {
  return {{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574,                  // "expand 32-byte k"
           key[0], key[1], key[2], key[3], key[4], key[5], key[6], key[7],  //
           counter, nonce[0], nonce[1], nonce[2]}};
}

/// The keystream block of a state: twenty rounds, then the state added word by word. Serialised
/// little-endian, the words are the bytes of the RFC.
/// Paper: RFC 8439, section 2.3.
VELUM_HOST_DEVICE constexpr ChaCha20State chacha20_block(const ChaCha20State& state) {
  ChaCha20State block = state;
  std::uint32_t(&x)[ChaCha20State::kWords] = block.words;
  for (int double_round = 0; double_round < 10; ++double_round) {
    chacha20_quarter_round(x[0], x[4], x[8], x[12]);
    chacha20_quarter_round(x[1], x[5], x[9], x[13]);
    chacha20_quarter_round(x[2], x[6], x[10], x[14]);
    chacha20_quarter_round(x[3], x[7], x[11], x[15]);
    chacha20_quarter_round(x[0], x[5], x[10], x[15]);
    chacha20_quarter_round(x[1], x[6], x[11], x[12]);
    chacha20_quarter_round(x[2], x[7], x[8], x[13]);
    chacha20_quarter_round(x[3], x[4], x[9], x[14]);
  }
  for (int i = 0; i < ChaCha20State::kWords; ++i) x[i] += state.words[i];
  return block;
}

/// Block number `counter` of the same key and nonce.
VELUM_HOST_DEVICE constexpr ChaCha20State chacha20_block(const ChaCha20State& state,
                                                         std::uint32_t counter) {
  ChaCha20State at_counter = state;
  at_counter.words[ChaCha20State::kCounterWord] = counter;
  return chacha20_block(at_counter);
}

}  // namespace velum::kernels
