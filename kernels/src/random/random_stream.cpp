#include "velum/kernels/random/random_stream.h"

#include <stdexcept>
#include <string>

namespace velum::kernels {
namespace {

[[noreturn]] void throw_field(const char* field, std::uint64_t value, std::uint64_t max) {
  throw std::out_of_range("pack_position: " + std::string(field) + " = " + std::to_string(value) +
                          ", expected at most " + std::to_string(max));
}

}  // namespace

StreamNonce pack_position(const RandomPosition& position, DrawKind kind) {
  using Layout = StreamLayout;
  const auto purpose = static_cast<std::uint32_t>(position.purpose);
  constexpr std::uint32_t kMaxPurpose = (1u << Layout::kPurposeBits) - 1;
  constexpr std::uint32_t kMaxKind = (1u << Layout::kDrawKindBits) - 1;
  if (purpose > kMaxPurpose) throw_field("purpose", purpose, kMaxPurpose);
  if (static_cast<std::uint32_t>(kind) > kMaxKind) {
    throw_field("kind", static_cast<std::uint32_t>(kind), kMaxKind);
  }
  if (position.tensor > Layout::kMaxTensor) {
    throw_field("tensor", position.tensor, Layout::kMaxTensor);
  }
  if (position.step > Layout::kMaxStep) throw_field("step", position.step, Layout::kMaxStep);
  if (position.key_epoch > Layout::kMaxKeyEpoch) {
    throw_field("key_epoch", position.key_epoch, Layout::kMaxKeyEpoch);
  }
  return {{purpose | static_cast<std::uint32_t>(kind) << Layout::kPurposeBits |
               position.tensor << (Layout::kPurposeBits + Layout::kDrawKindBits),
           static_cast<std::uint32_t>(position.step),
           static_cast<std::uint32_t>(position.step >> 32) | position.key_epoch
                                                                 << (Layout::kStepBits - 32)}};
}

UnpackedPosition unpack_position(const StreamNonce& nonce) {
  using Layout = StreamLayout;
  const auto [w13, w14, w15] = nonce.words;
  constexpr std::uint32_t kHighStepMask = (1u << (Layout::kStepBits - 32)) - 1;
  return {
      {static_cast<Purpose>(w13 & ((1u << Layout::kPurposeBits) - 1)),
       w15 >> (Layout::kStepBits - 32), static_cast<std::uint64_t>(w15 & kHighStepMask) << 32 | w14,
       w13 >> (Layout::kPurposeBits + Layout::kDrawKindBits)},
      static_cast<DrawKind>(w13 >> Layout::kPurposeBits & ((1u << Layout::kDrawKindBits) - 1))};
}

ChaCha20State stream_state(const RandomKey& key, const RandomPosition& position, DrawKind kind) {
  std::uint32_t key_words[8];
  for (std::size_t i = 0; i < 8; ++i) key_words[i] = key.words[i];
  return chacha20_state(key_words, 0, pack_position(position, kind).words);
}

}  // namespace velum::kernels
