// Coefficients in blocks over threads. A block's digits lie in the cache, and all its coefficients
// take each step together.
#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "polynomial/residues_to_doubles_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "polynomial/residues_to_doubles_halves.h"

#ifndef VELUM_KERNELS_POLYNOMIAL_RESIDUES_TO_DOUBLES_BLOCK
#define VELUM_KERNELS_POLYNOMIAL_RESIDUES_TO_DOUBLES_BLOCK
namespace velum::kernels {

/// Coefficients to a block: 96 KiB of digits for the longest chain, 2 KiB for four limbs.
constexpr std::int64_t kDigitBlock = 64;

}  // namespace velum::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {
namespace doubles {  // a name of its own: the targets' namespaces are shared by all files
namespace hn = hwy::HWY_NAMESPACE;

#include "modular/wide_residues-inl.h"
#include "simd/double_double-inl.h"

using Doubles = hn::RebindToFloat<Wide>;

/// The digits of limb i for a block. `x` are the block's residues of that limb.
HWY_INLINE void digits_of_limb(const ResiduesToDoublesBody& body, std::int64_t i,
                               const std::uint64_t* x, std::uint64_t* digits) {
  const Wide d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const MixedRadix::Limb& limb = body.limbs[i];
  const std::uint32_t* const row = body.products + i * (i - 1) / 2;
  const std::uint32_t q_word = limb.modulus.value;
  const WideVec q = hn::Set(d, q_word), twice_q = hn::Set(d, 2 * q_word);
  const WideVec half = hn::Set(d, q_word / 2);
  const WideFactor one = wide_factor(shoup_factor(1u, limb.modulus));
  const WideFactor two_32 =
      wide_factor(shoup_factor(reduce_wide(std::uint64_t{1} << 32, limb.modulus), limb.modulus));
  const WideFactor inverse = wide_factor(limb.inverse);
  for (std::int64_t c = 0; c < kDigitBlock; c += lanes) {
    WideVec sum = hn::Zero(d);
    for (std::int64_t first = 0; first < i; first += kProductsPerReduction) {
      const std::int64_t last = std::min<std::int64_t>(i, first + kProductsPerReduction);
      for (std::int64_t j = first; j < last; ++j) {
        sum = hn::Add(sum, multiply_low_halves(hn::Load(d, digits + j * kDigitBlock + c),
                                               hn::Set(d, row[j])));
      }
      sum = reduce_wide_lazy(sum, one, two_32, q);  // [0, 4q), below 2^32
    }
    sum = reduce_once(sum, twice_q);                                              // [0, 2q)
    const WideVec shifted = hn::Add(hn::Load(d, x + c), half);                    // [0, 2q)
    const WideVec difference = hn::Sub(hn::Add(shifted, twice_q), sum);           // (0, 4q)
    const WideVec digit = reduce_once(multiply_lazy(difference, inverse, q), q);  // [0, q)
    hn::Store(digit, d, digits + i * kDigitBlock + c);
  }
}

/// Horner's rule over the digits, for one vector of coefficients.
HWY_INLINE Two<Doubles> value_of_digits(const ResiduesToDoublesBody& body,
                                        const std::uint64_t* digits) {
  const Wide d;
  const Doubles df;
  // A word below 2^52 becomes a double by the exponent of 2^52.
  const WideVec exponent = hn::Set(d, 0x4330000000000000);
  Two<Doubles> sum{hn::Zero(df), hn::Zero(df)};
  for (std::int64_t i = body.in.limbs - 1; i >= 0; --i) {
    const std::uint32_t q_word = body.limbs[i].modulus.value;
    const auto q = hn::Set(df, static_cast<double>(q_word));
    const auto offset = hn::Set(df, 0x1p52 + static_cast<double>(q_word / 2));
    const WideVec bits = hn::Or(hn::Load(d, digits + i * kDigitBlock), exponent);
    const auto digit = hn::Sub(hn::BitCast(df, bits), offset);  // exact
    const Two<Doubles> product = two_product(df, sum.high, q);
    const auto rest = hn::Add(product.low, hn::Mul(sum.low, q));
    const Two<Doubles> s = fast_two_sum(df, product.high, digit);
    sum = fast_two_sum(df, s.high, hn::Add(s.low, rest));
  }
  return sum;
}

}  // namespace doubles

void doubles_of_block(const ResiduesToDoublesBody& body, std::int64_t begin, std::int64_t count) {
  namespace hn = hwy::HWY_NAMESPACE;
  using doubles::Doubles;
  HWY_ALIGN_MAX std::uint64_t digits[LimbIndices::kMaxLimbs * kDigitBlock];
  HWY_ALIGN_MAX std::uint64_t x[kDigitBlock] = {};
  for (std::int64_t i = 0; i < body.in.limbs; ++i) {
    const std::uint32_t* const limb = body.in.limb(0, i);
    for (std::int64_t c = 0; c < count; ++c) x[c] = limb[(begin + c) * body.stride];
    doubles::digits_of_limb(body, i, x, digits);
  }
  HWY_ALIGN_MAX double high[kDigitBlock];
  HWY_ALIGN_MAX double low[kDigitBlock];
  const Doubles d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t c = 0; c < kDigitBlock; c += lanes) {
    const doubles::Two<Doubles> sum = doubles::value_of_digits(body, digits + c);
    const auto finite = hn::Lt(hn::Abs(sum.high), hn::Set(d, kInfiniteFrom));
    hn::Store(hn::IfThenElse(finite, sum.high, hn::Set(d, static_cast<double>(INFINITY))), d,
              high + c);
    hn::Store(hn::IfThenElseZero(finite, sum.low), d, low + c);
  }
  std::copy_n(high, count, body.high.data() + begin);
  std::copy_n(low, count, body.low.data() + begin);
}

}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(doubles_of_block);

/// 16 blocks are about ten microseconds for four limbs: enough to hide handing them to a thread.
constexpr std::int64_t kGrainBlocks = 16;

}  // namespace

void residues_to_doubles_cpu(const ResiduesToDoublesBody& body, const Stream& stream) {
  const std::int64_t count = body.high.size();
  const std::int64_t blocks = (count + kDigitBlock - 1) / kDigitBlock;
  stream.parallel_for().run(blocks, kGrainBlocks, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t block = first; block < last; ++block) {
      const std::int64_t begin = block * kDigitBlock;
      HWY_DYNAMIC_DISPATCH(doubles_of_block)
      (body, begin, std::min(kDigitBlock, count - begin));
    }
  });
}

}  // namespace velum::kernels
#endif  // HWY_ONCE
