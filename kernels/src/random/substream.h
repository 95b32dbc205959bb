#pragma once

#include <cstdint>

#include "velum/kernels/host_device.h"
#include "velum/kernels/random/chacha20.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"

namespace velum::kernels {

/// What the substreams of a position are turned into: part of their layout. At most 255; append,
/// never renumber.
enum class SubstreamUse : std::uint32_t { kDiscreteGaussian = 1, kSkellam = 2, kRounding = 3 };

/// Draws that need no fixed number of bits have a stream each: element i of a position reads blocks
/// 0, 1, 2, ... of
///
///   key        words 0-7 of block kSubstreamKeyBlock of the position's integer stream, which no
///              other draw reads
///   word 12    element               32 bits
///   words 13, 14, upper 24 bits of 15
///              block                 88 bits
///   word 15    bits 0-7  use          8 bits
///
/// The fields do not overlap, so substreams of different elements or uses share no block. The first
/// blocks of consecutive elements are consecutive blocks of ChaCha20.
struct SubstreamLayout {
  static constexpr std::int64_t kMaxElements = std::int64_t{1} << 32;
  static constexpr int kElementWord = ChaCha20State::kCounterWord;
  static constexpr int kBlockWord = ChaCha20State::kNonceWord;
  static constexpr int kUseBits = 8;
};

/// Block 0 of element 0.
/// @throws std::out_of_range as `pack_position`.
ChaCha20State substream_state(const RandomKey& key, const RandomPosition& position,
                              SubstreamUse use);

/// The bits of one substream, from the lowest bit of word 0 of block 0 upwards.
class SubstreamBits {
 public:
  /// `state` is that of the element's block 0, `first` this block.
  VELUM_HOST_DEVICE SubstreamBits(const ChaCha20State& state, const ChaCha20State& first)
      : state_(state), block_(first) {}

  /// The next `count` bits, the first one lowest; 0 <= count <= 32.
  VELUM_HOST_DEVICE std::uint32_t bits(int count) {
    if (available_ < count) refill();
    const auto taken = static_cast<std::uint32_t>(buffer_ & ((std::uint64_t{1} << count) - 1));
    buffer_ >>= count;
    available_ -= count;
    return taken;
  }

 private:
  VELUM_HOST_DEVICE void refill() {  // available_ < 32
    if (next_ == ChaCha20State::kWords) {
      next_block();
      next_ = 0;
    }
    buffer_ |= std::uint64_t{block_.words[next_++]} << available_;
    available_ += 32;
  }
  VELUM_HOST_DEVICE void next_block() {
    std::uint32_t* const words = state_.words + SubstreamLayout::kBlockWord;
    if (++words[0] == 0 && ++words[1] == 0) words[2] += 1u << SubstreamLayout::kUseBits;
    block_ = chacha20_block(state_);
  }

  ChaCha20State state_;
  ChaCha20State block_;
  std::uint64_t buffer_ = 0;
  int available_ = 0;
  int next_ = 0;
};

}  // namespace velum::kernels
