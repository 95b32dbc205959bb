#pragma once

#include <cstdint>

#include "velum/kernels/host_device.h"
#include "velum/kernels/random/chacha20.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

struct KeystreamLayout {
  static constexpr std::int64_t kWordsPerBlock = ChaCha20State::kWords;
  static constexpr std::int64_t kMaxWords = kWordsPerBlock << 32;
};

/// Words first_word .. first_word + out.size() - 1 of the RFC 8439 keystream of `state`, counted
/// from block 0. The words must lie in [0, KeystreamLayout::kMaxWords): the caller has checked.
void keystream_fill(const ChaCha20State& state, std::int64_t first_word, Span<std::uint32_t> out,
                    const Stream& stream);

namespace cpu {

/// The same on the calling thread. Chunks that begin and end with a block waste nothing.
void keystream_chunk(const ChaCha20State& state, std::int64_t first_word, Span<std::uint32_t> out);

}  // namespace cpu

/// Writes the words of one block that lie in [first_word, first_word + out.size()). Index i is the
/// block, counted from the one that holds first_word.
struct KeystreamFillBody {
  ChaCha20State state;
  std::int64_t first_word;
  Span<std::uint32_t> out;

  VELUM_HOST_DEVICE constexpr std::int64_t first_block() const {
    return first_word / KeystreamLayout::kWordsPerBlock;
  }
  VELUM_HOST_DEVICE constexpr std::int64_t block_count() const {
    constexpr std::int64_t kWords = KeystreamLayout::kWordsPerBlock;
    return (first_word + out.size() + kWords - 1) / kWords - first_block();
  }
  VELUM_HOST_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t block = first_block() + i;
    const ChaCha20State words = chacha20_block(state, static_cast<std::uint32_t>(block));
    for (int w = 0; w < ChaCha20State::kWords; ++w) {
      const std::int64_t index = block * KeystreamLayout::kWordsPerBlock + w - first_word;
      if (index >= 0 && index < out.size()) out[index] = words.words[w];
    }
  }
};

void keystream_fill_cpu(const KeystreamFillBody& body, const Stream& stream);
void keystream_fill_cuda(const KeystreamFillBody& body, const Stream& stream);

}  // namespace velum::kernels
