#include "random/substream.h"

namespace velum::kernels {

ChaCha20State substream_state(const RandomKey& key, const RandomPosition& position,
                              SubstreamUse use) {
  const ChaCha20State derived = chacha20_block(stream_state(key, position, DrawKind::kInteger),
                                               StreamLayout::kSubstreamKeyBlock);
  std::uint32_t derived_key[8];
  for (int i = 0; i < 8; ++i) derived_key[i] = derived.words[i];
  return chacha20_state(derived_key, 0, {0, 0, static_cast<std::uint32_t>(use)});
}

}  // namespace velum::kernels
