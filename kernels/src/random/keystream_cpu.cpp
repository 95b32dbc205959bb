#include <algorithm>
#include <cstdint>
#include <iterator>

#include "random/keystream.h"
#include "random/prepared_stream.h"
#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "random/keystream_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "random/chacha20-inl.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR

/// A machine without a SIMD target of Highway's: a vector is one block.
void keystream_vectors(const PreparedStream& stream, std::uint32_t first_block,
                       std::int64_t vectors, std::uint32_t* out) {
  for (std::int64_t i = 0; i < vectors; ++i) {
    const ChaCha20State block =
        chacha20_block(stream.state, first_block + static_cast<std::uint32_t>(i));
    out = std::copy(std::begin(block.words), std::end(block.words), out);
  }
}
std::int64_t blocks_per_vector() { return 1; }

#else

/// Stores the 128-bit pieces of a vector, one per four blocks.
template <typename D, typename V>
HWY_INLINE void store_pieces(D d, V v, std::uint32_t* out) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    hn::StoreU(v, d, out);
  } else {
    const hn::Half<D> half;
    constexpr std::int64_t kPieces = static_cast<std::int64_t>(hn::MaxLanes(D())) / 4;
    store_pieces(half, hn::LowerHalf(half, v), out);
    store_pieces(half, hn::UpperHalf(half, v),
                 out + kPieces / 2 * 4 * KeystreamLayout::kWordsPerBlock);
  }
}

/// Whole vectors of blocks.
void keystream_vectors(const PreparedStream& stream, std::uint32_t first_block,
                       std::int64_t vectors, std::uint32_t* out) {
  constexpr std::int64_t kWords = KeystreamLayout::kWordsPerBlock;
  const WordTag d;
  const hn::Repartition<std::uint64_t, WordTag> d64;
  const auto lanes = static_cast<std::uint32_t>(hn::Lanes(d));
  for (std::int64_t i = 0; i < vectors; ++i) {
    Words x[16];
    chacha20_blocks(stream, first_block, x);
    // Within each 128 bits: four words of four blocks become four blocks of four words.
    for (int w = 0; w < 16; w += 4) {
      const auto low_ab = hn::BitCast(d64, hn::InterleaveLower(d, x[w], x[w + 1]));
      const auto high_ab = hn::BitCast(d64, hn::InterleaveUpper(d, x[w], x[w + 1]));
      const auto low_cd = hn::BitCast(d64, hn::InterleaveLower(d, x[w + 2], x[w + 3]));
      const auto high_cd = hn::BitCast(d64, hn::InterleaveUpper(d, x[w + 2], x[w + 3]));
      store_pieces(d, hn::BitCast(d, hn::InterleaveLower(d64, low_ab, low_cd)), out + w);
      store_pieces(d, hn::BitCast(d, hn::InterleaveUpper(d64, low_ab, low_cd)), out + kWords + w);
      store_pieces(d, hn::BitCast(d, hn::InterleaveLower(d64, high_ab, high_cd)),
                   out + 2 * kWords + w);
      store_pieces(d, hn::BitCast(d, hn::InterleaveUpper(d64, high_ab, high_cd)),
                   out + 3 * kWords + w);
    }
    first_block += lanes;
    out += lanes * kWords;
  }
}

/// How many blocks a vector holds.
std::int64_t blocks_per_vector() { return static_cast<std::int64_t>(hn::Lanes(WordTag())); }

#endif  // HWY_TARGET == HWY_SCALAR
}  // namespace HWY_NAMESPACE
}  // namespace velum::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace cpu {
namespace {

HWY_EXPORT(keystream_vectors);
HWY_EXPORT(blocks_per_vector);

void chunk(const PreparedStream& stream, std::int64_t first_word, Span<std::uint32_t> out) {
  constexpr std::int64_t kWords = KeystreamLayout::kWordsPerBlock;
  constexpr std::int64_t kMostBlocks = 16;
  const std::int64_t blocks = HWY_DYNAMIC_DISPATCH(blocks_per_vector)();
  std::int64_t block = first_word / kWords;
  std::int64_t done = 0;
  // What is not a whole vector of blocks goes through a buffer: the first blocks, then the last.
  const auto partial_vector = [&](std::int64_t offset) {
    alignas(64) std::uint32_t words[kMostBlocks * kWords];
    HWY_DYNAMIC_DISPATCH(keystream_vectors)(stream, static_cast<std::uint32_t>(block), 1, words);
    const std::int64_t size = std::min(blocks * kWords - offset, out.size() - done);
    std::copy_n(words + offset, size, out.data() + done);
    done += size;
    block += blocks;
  };
  if (out.empty()) return;
  if (const std::int64_t offset = first_word % kWords; offset != 0) partial_vector(offset);
  if (const std::int64_t vectors = (out.size() - done) / (blocks * kWords); vectors > 0) {
    HWY_DYNAMIC_DISPATCH(keystream_vectors)
    (stream, static_cast<std::uint32_t>(block), vectors, out.data() + done);
    done += vectors * blocks * kWords;
    block += vectors * blocks;
  }
  if (done < out.size()) partial_vector(0);
}

}  // namespace

void keystream_chunk(const ChaCha20State& state, std::int64_t first_word, Span<std::uint32_t> out) {
  chunk(PreparedStream(state), first_word, out);
}

}  // namespace cpu

void keystream_fill_cpu(const KeystreamFillBody& body, const Stream& stream) {
  constexpr std::int64_t kWords = KeystreamLayout::kWordsPerBlock;
  // 32 KiB: some 10 microseconds, enough to hide handing it to a thread.
  constexpr std::int64_t kGrainBlocks = 512;
  const PreparedStream prepared(body.state);
  const std::int64_t first = body.first_word;
  const std::int64_t end = first + body.out.size();
  stream.parallel_for().run(
      body.block_count(), kGrainBlocks, [&](std::int64_t block_begin, std::int64_t block_end) {
        const std::int64_t from = std::max(first, (body.first_block() + block_begin) * kWords);
        const std::int64_t to = std::min(end, (body.first_block() + block_end) * kWords);
        cpu::chunk(prepared, from,
                   Span<std::uint32_t>(body.out.data() + (from - first), to - from));
      });
}

}  // namespace velum::kernels
#endif  // HWY_ONCE
