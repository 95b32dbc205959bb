// ChaCha20 on the lanes of a vector, one block per lane; compiled once per SIMD target.
#if defined(VELUM_RANDOM_CHACHA20_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VELUM_RANDOM_CHACHA20_INL_H_
#undef VELUM_RANDOM_CHACHA20_INL_H_
#else
#define VELUM_RANDOM_CHACHA20_INL_H_
#endif

#include <hwy/highway.h>

#include "random/prepared_stream.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// At most 16 lanes: the groups of GaussianLayout have 16 blocks.
using WordTag = hn::CappedTag<std::uint32_t, 16>;
using Words = hn::Vec<WordTag>;

template <int kBits>
HWY_INLINE Words rotate_left(Words x) {
#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3 && HWY_TARGET <= HWY_SSSE3
  // No rotate instruction; by whole bytes a shuffle is one instead of three.
  if constexpr (kBits == 16 || kBits == 8) {
    alignas(16) static constexpr std::uint8_t kRotate16[16] = {2,  3,  0, 1, 6,  7,  4,  5,
                                                               10, 11, 8, 9, 14, 15, 12, 13};
    alignas(16) static constexpr std::uint8_t kRotate8[16] = {3,  0, 1, 2,  7,  4,  5,  6,
                                                              11, 8, 9, 10, 15, 12, 13, 14};
    const hn::Repartition<std::uint8_t, WordTag> bytes;
    return hn::BitCast(
        WordTag(), hn::TableLookupBytes(hn::BitCast(bytes, x),
                                        hn::LoadDup128(bytes, kBits == 16 ? kRotate16 : kRotate8)));
  }
#endif
  return hn::RotateRight<32 - kBits>(x);
}

/// Whether the registers hold the words of two vectors of blocks.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
inline constexpr bool kTwoVectorsFit = true;
#else
inline constexpr bool kTwoVectorsFit = false;
#endif

/// A word of two vectors of blocks, instruction by instruction: the rounds are one long chain of
/// dependent instructions.
struct TwoWords {
  Words a, b;
};

/// Left where it is, and computed at this place. The words of two vectors fill all 32 registers:
/// what GCC moves about it has to store and load again.
HWY_INLINE void settle(Words& x) {
#if HWY_COMPILER_GCC_ACTUAL && HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  auto raw = x.raw;
  asm volatile("" : "+v"(raw));
  x.raw = raw;
#else
  static_cast<void>(x);
#endif
}

HWY_INLINE void add_to(Words& x, Words y) { x = hn::Add(x, y); }
HWY_INLINE void xor_to(Words& x, Words y) { x = hn::Xor(x, y); }
template <int kBits>
HWY_INLINE void rotate(Words& x) {
  x = rotate_left<kBits>(x);
}
HWY_INLINE void add_to(TwoWords& x, const TwoWords& y) {
  x.a = hn::Add(x.a, y.a);
  settle(x.a);
  x.b = hn::Add(x.b, y.b);
  settle(x.b);
}
HWY_INLINE void xor_to(TwoWords& x, const TwoWords& y) {
  x.a = hn::Xor(x.a, y.a);
  settle(x.a);
  x.b = hn::Xor(x.b, y.b);
  settle(x.b);
}
template <int kBits>
HWY_INLINE void rotate(TwoWords& x) {
  x.a = rotate_left<kBits>(x.a);
  settle(x.a);
  x.b = rotate_left<kBits>(x.b);
  settle(x.b);
}

template <typename W>
HWY_INLINE void quarter_round(W& a, W& b, W& c, W& d) {
  add_to(a, b);
  xor_to(d, a);
  rotate<16>(d);
  add_to(c, d);
  xor_to(b, c);
  rotate<12>(b);
  add_to(a, b);
  xor_to(d, a);
  rotate<8>(d);
  add_to(c, d);
  xor_to(b, c);
  rotate<7>(b);
}

/// Two independent quarter rounds, step by step: each alone is one chain of dependent
/// instructions. (All four at once need more registers than AVX2 has.)
template <typename W>
HWY_INLINE void two_quarter_rounds(W& a0, W& b0, W& c0, W& d0, W& a1, W& b1, W& c1, W& d1) {
  add_to(a0, b0);
  add_to(a1, b1);
  xor_to(d0, a0);
  xor_to(d1, a1);
  rotate<16>(d0);
  rotate<16>(d1);
  add_to(c0, d0);
  add_to(c1, d1);
  xor_to(b0, c0);
  xor_to(b1, c1);
  rotate<12>(b0);
  rotate<12>(b1);
  add_to(a0, b0);
  add_to(a1, b1);
  xor_to(d0, a0);
  xor_to(d1, a1);
  rotate<8>(d0);
  rotate<8>(d1);
  add_to(c0, d0);
  add_to(c1, d1);
  xor_to(b0, c0);
  xor_to(b1, c1);
  rotate<7>(b0);
  rotate<7>(b1);
}

HWY_INLINE Words sum_of(Words x, Words y) { return hn::Add(x, y); }
HWY_INLINE TwoWords sum_of(const TwoWords& x, const TwoWords& y) {
  return {hn::Add(x.a, y.a), hn::Add(x.b, y.b)};
}

HWY_INLINE void broadcast(std::uint32_t word, Words& x) { x = hn::Set(WordTag(), word); }
HWY_INLINE void broadcast(std::uint32_t word, TwoWords& x) {
  x.a = hn::Set(WordTag(), word);
  x.b = x.a;
}
HWY_INLINE void count_from(std::uint32_t counter, Words& x) { x = hn::Iota(WordTag(), counter); }
HWY_INLINE void count_from(std::uint32_t counter, TwoWords& x) {
  x.a = hn::Iota(WordTag(), counter);
  x.b = hn::Iota(WordTag(), counter + static_cast<std::uint32_t>(hn::Lanes(WordTag())));
}

/// Word w of blocks counter, counter + 1, ..: lane l of x[w] is word w of block counter + l; of two
/// vectors, b goes on where a ends.
template <typename W>
HWY_INLINE void chacha20_blocks(const PreparedStream& stream, std::uint32_t counter, W (&x)[16]) {
  const std::uint32_t* const initial = stream.state.words;
  const std::uint32_t* const entered = stream.after_first_columns.words;

  for (const int w : {0, 4, 8}) broadcast(initial[w], x[w]);
  count_from(counter, x[12]);
  quarter_round(x[0], x[4], x[8], x[12]);
  for (const int w : {1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15}) broadcast(entered[w], x[w]);
  for (int double_round = 0;; ++double_round) {
    two_quarter_rounds(x[0], x[5], x[10], x[15], x[1], x[6], x[11], x[12]);
    two_quarter_rounds(x[2], x[7], x[8], x[13], x[3], x[4], x[9], x[14]);
    if (double_round == 9) break;
    two_quarter_rounds(x[0], x[4], x[8], x[12], x[1], x[5], x[9], x[13]);
    two_quarter_rounds(x[2], x[6], x[10], x[14], x[3], x[7], x[11], x[15]);
  }
  W own;
  for (const int w : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15}) {
    broadcast(initial[w], own);
    x[w] = sum_of(x[w], own);
  }
  count_from(counter, own);
  x[ChaCha20State::kCounterWord] = sum_of(x[ChaCha20State::kCounterWord], own);
}

}  // namespace HWY_NAMESPACE
}  // namespace velum::kernels
HWY_AFTER_NAMESPACE();

#endif
