#include <algorithm>
#include <cstdint>

#include "random/keystream.h"
#include "random/uniform_halves.h"

namespace velum::kernels {
namespace {

/// Calls `consume(words, first, size)` for pieces of the draws [first, first + size) of a stream,
/// each with the words that hold them: `kWordsPerDraw` a draw, in a buffer that stays in the cache.
template <std::int64_t kWordsPerDraw, typename Consume>
void for_each_piece(const ChaCha20State& state, std::int64_t first, std::int64_t size,
                    const Consume& consume) {
  constexpr std::int64_t kBufferWords = 2048;  // 8 KiB, a quarter of a first-level cache
  constexpr std::int64_t kDraws = kBufferWords / kWordsPerDraw;
  alignas(64) std::uint32_t words[kBufferWords];
  while (size > 0) {
    const std::int64_t piece = std::min(size, kDraws - first % kDraws);
    cpu::keystream_chunk(state, first * kWordsPerDraw,
                         Span<std::uint32_t>(words, piece * kWordsPerDraw));
    consume(words, first, piece);
    first += piece;
    size -= piece;
  }
}

// Draws per piece of parallel work: some 10 to 30 microseconds.
constexpr std::int64_t kGrain = 8192;

/// The words of 64-bit draws [begin, begin + words.size() / 2) of `state`, for one piece of
/// a selection.
template <typename Body, std::int64_t kWordsPerDraw, typename Draw>
void fill(const Body& body, const Stream& stream, const Draw& draw) {
  stream.parallel_for().run(body.out.size(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_piece<kWordsPerDraw>(
        body.state, body.first_element + begin, end - begin,
        [&](const std::uint32_t* words, std::int64_t first, std::int64_t size) {
          std::uint64_t* const to = body.out.data() + (first - body.first_element);
          for (std::int64_t i = 0; i < size; ++i) to[i] = draw(words + i * kWordsPerDraw);
        });
  });
}

}  // namespace

void uniform_bits_fill_cpu(const UniformBitsFillBody& body, const Stream& stream) {
  fill<UniformBitsFillBody, 2>(body, stream,
                               [](const std::uint32_t* words) { return bits_of_words(words, 0); });
}

void uniform_integers_fill_cpu(const UniformIntegersFillBody& body, const Stream& stream) {
  fill<UniformIntegersFillBody, 4>(body, stream, [&](const std::uint32_t* words) {
    return integer_below(body.bound, bits_of_words(words, 0), bits_of_words(words, 1));
  });
}

std::int64_t poisson_select_workspace_size_cpu(std::int64_t /*population*/,
                                               const Stream& /*stream*/) {
  return 0;
}

// One thread: a pass over the population costs its keystream, 8 bytes an index at gigabytes a
// second, and the indices come out in order.
void poisson_select_cpu(const PoissonSelection& selection, Span<std::uint8_t> /*workspace*/,
                        const Stream& /*stream*/) {
  std::int64_t count = 0;
  for_each_piece<2>(selection.state, 0, selection.population,
                    [&](const std::uint32_t* words, std::int64_t first, std::int64_t size) {
                      for (std::int64_t i = 0; i < size; ++i) {
                        // Written always, kept if selected: no branch to mispredict. The slot
                        // exists because count <= first + i < population.
                        selection.indices[count] = first + i;
                        count += selection.rule.selects(bits_of_words(words + 2 * i, 0)) ? 1 : 0;
                      }
                    });
  *selection.count = count;
}

}  // namespace velum::kernels
