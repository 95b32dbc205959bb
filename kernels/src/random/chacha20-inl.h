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

HWY_INLINE void quarter_round(Words& a, Words& b, Words& c, Words& d) {
  a = hn::Add(a, b);
  d = rotate_left<16>(hn::Xor(d, a));
  c = hn::Add(c, d);
  b = rotate_left<12>(hn::Xor(b, c));
  a = hn::Add(a, b);
  d = rotate_left<8>(hn::Xor(d, a));
  c = hn::Add(c, d);
  b = rotate_left<7>(hn::Xor(b, c));
}

/// Two independent quarter rounds, step by step: each alone is one chain of dependent
/// instructions. (All four at once need more registers than AVX2 has.)
HWY_INLINE void two_quarter_rounds(Words& a0, Words& b0, Words& c0, Words& d0, Words& a1, Words& b1,
                                   Words& c1, Words& d1) {
  a0 = hn::Add(a0, b0);
  a1 = hn::Add(a1, b1);
  d0 = hn::Xor(d0, a0);
  d1 = hn::Xor(d1, a1);
  d0 = rotate_left<16>(d0);
  d1 = rotate_left<16>(d1);
  c0 = hn::Add(c0, d0);
  c1 = hn::Add(c1, d1);
  b0 = hn::Xor(b0, c0);
  b1 = hn::Xor(b1, c1);
  b0 = rotate_left<12>(b0);
  b1 = rotate_left<12>(b1);
  a0 = hn::Add(a0, b0);
  a1 = hn::Add(a1, b1);
  d0 = hn::Xor(d0, a0);
  d1 = hn::Xor(d1, a1);
  d0 = rotate_left<8>(d0);
  d1 = rotate_left<8>(d1);
  c0 = hn::Add(c0, d0);
  c1 = hn::Add(c1, d1);
  b0 = hn::Xor(b0, c0);
  b1 = hn::Xor(b1, c1);
  b0 = rotate_left<7>(b0);
  b1 = rotate_left<7>(b1);
}

/// Word w of blocks counter, counter + 1, ..: lane l of x[w] is word w of block counter + l.
HWY_INLINE void chacha20_blocks(const PreparedStream& stream, std::uint32_t counter,
                                Words (&x)[16]) {
  const WordTag d;
  const Words counters = hn::Iota(d, counter);
  const std::uint32_t* const initial = stream.state.words;
  const std::uint32_t* const entered = stream.after_first_columns.words;

  x[0] = hn::Set(d, initial[0]);
  x[4] = hn::Set(d, initial[4]);
  x[8] = hn::Set(d, initial[8]);
  x[12] = counters;
  quarter_round(x[0], x[4], x[8], x[12]);
  for (const int w : {1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15}) x[w] = hn::Set(d, entered[w]);
  for (int double_round = 0;; ++double_round) {
    two_quarter_rounds(x[0], x[5], x[10], x[15], x[1], x[6], x[11], x[12]);
    two_quarter_rounds(x[2], x[7], x[8], x[13], x[3], x[4], x[9], x[14]);
    if (double_round == 9) break;
    two_quarter_rounds(x[0], x[4], x[8], x[12], x[1], x[5], x[9], x[13]);
    two_quarter_rounds(x[2], x[6], x[10], x[14], x[3], x[7], x[11], x[15]);
  }
  for (int w = 0; w < 16; ++w) {
    x[w] = hn::Add(x[w], w == ChaCha20State::kCounterWord ? counters : hn::Set(d, initial[w]));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace velum::kernels
HWY_AFTER_NAMESPACE();

#endif
