#include <algorithm>
#include <cstdint>

#include "random/integer_noise_halves.h"
#include "random/keystream.h"

namespace velum::kernels {
namespace {

// Draws per piece of parallel work: some 100 microseconds.
constexpr std::int64_t kGrain = 512;
// Draws whose first blocks are made together, on vectors: 8 KiB, a quarter of a first-level cache.
constexpr std::int64_t kBatch = 128;

template <typename Body>
void fill(const Body& body, const Stream& stream) {
  stream.parallel_for().run(body.out.size(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    alignas(64) std::uint32_t words[kBatch * ChaCha20State::kWords];
    for (std::int64_t first = begin; first < end; first += kBatch) {
      const std::int64_t size = std::min(kBatch, end - first);
      // An element is a block number: the first blocks are a keystream.
      cpu::keystream_chunk(body.state, (body.first_element + first) * ChaCha20State::kWords,
                           Span<std::uint32_t>(words, size * ChaCha20State::kWords));
      for (std::int64_t i = 0; i < size; ++i) {
        ChaCha20State block;
        std::copy_n(words + i * ChaCha20State::kWords, ChaCha20State::kWords, block.words);
        body.draw(first + i, block);
      }
    }
  });
}

}  // namespace

void integer_noise_cpu(const ExactDiscreteGaussianBody& body, const Stream& stream) {
  fill(body, stream);
}
void integer_noise_cpu(const SkellamBody& body, const Stream& stream) { fill(body, stream); }

}  // namespace velum::kernels
