// Vectors of coefficients, one to a 64-bit lane, whose words are multiplied with carries.
#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "polynomial/digit_packing_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "polynomial/digit_packing_halves.h"
#include "polynomial/row_blocks.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {
namespace packed_digits {  // a name of its own: the targets' namespaces are shared by all files
namespace hn = hwy::HWY_NAMESPACE;

#include "modular/wide_residues-inl.h"

using Words = hn::Rebind<std::uint32_t, Wide>;
using SignedWords = hn::Rebind<std::int32_t, Wide>;

/// PackDigitsBody on the coefficients [begin, end) of a limb.
void pack(const PackDigitsBody& body, std::int64_t poly, std::int64_t limb, std::int64_t begin,
          std::int64_t end) {
  const Wide d;
  const Words words;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const DigitPackingView& packing = body.packing;
  const DigitPackingView::Limb& constants = packing.constants[limb];
  const std::uint32_t* const weights = packing.weights + limb * packing.digits;
  std::uint32_t* const out = body.out.limb(poly, limb);
  const WideVec q = hn::Set(d, constants.modulus.value);
  const WideVec twice_q = hn::Set(d, 2 * constants.modulus.value);
  const WideFactor one = wide_factor(constants.one), two_32 = wide_factor(constants.two_32);
  const auto offset = hn::Set(words, body.offset);
  const std::int64_t row = body.first + poly * body.out.degree;
  for (std::int64_t i = begin; i < end; i += lanes) {
    const std::int64_t k = row + i;
    // Digits that all lanes have; a vector of which some have one more, or that is the last of the
    // block or of all, goes by the body.
    const std::int64_t last = k + lanes - 1;
    const std::int64_t planes =
        last < body.values.size() ? (body.values.size() - last - 1) / body.coefficients + 1 : 0;
    const std::int64_t digits = std::min<std::int64_t>(planes, packing.digits);
    const bool even =
        digits == packing.digits || k + digits * body.coefficients >= body.values.size();
    if (i + lanes > end || last >= body.coefficients || !even) {
      for (std::int64_t j = i; j < std::min(i + lanes, end); ++j) body.add_to(poly, limb, j);
      continue;
    }
    WideVec sum = hn::Zero(d);
    const std::int32_t* from = body.values.data() + k;
    for (std::int64_t digit = 0; digit < digits; ++digit, from += body.coefficients) {
      const auto value = hn::BitCast(words, hn::LoadU(SignedWords(), from));
      const WideVec u = hn::PromoteTo(d, hn::Add(value, offset));
      sum = hn::Add(sum, multiply_low_halves(u, hn::Set(d, weights[digit])));
    }
    sum = reduce_wide_lazy(sum, one, two_32, q);      // [0, 4q), below 2^32
    sum = reduce_once(reduce_once(sum, twice_q), q);  // [0, q)
    const WideVec old = hn::PromoteTo(d, hn::LoadU(words, out + i));
    sum = reduce_once(hn::Add(sum, old), q);
    hn::StoreU(hn::TruncateTo(words, sum), words, out + i);
  }
}

/// UnpackDigitsBody on the coefficients [begin, end) of a polynomial.
template <int kWords>
void unpack(const UnpackDigitsBody<kWords>& body, std::int64_t poly, std::int64_t begin,
            std::int64_t end) {
  const Wide d;
  const Words words;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const DigitPackingView& packing = body.packing;
  const WideVec low_word = hn::Set(d, 0xffffffffu);
  const WideVec base = hn::Set(d, packing.base), offset = hn::Set(d, body.offset);
  for (std::int64_t i = begin; i < end; i += lanes) {
    const std::int64_t index = poly * body.in.degree + i;
    const std::int64_t k = body.first + index;
    if (i + lanes > end || k + lanes > body.coefficients) {
      for (std::int64_t j = index; j < index + std::min(lanes, end - i); ++j) body(j);
      continue;
    }
    WideVec fraction[kWords];
    for (int w = 0; w < kWords; ++w) fraction[w] = hn::Set(d, packing.half[w]);
    for (std::int64_t l = 0; l < body.in.limbs; ++l) {
      const DigitPackingView::Limb& limb = packing.constants[l];
      const WideVec q = hn::Set(d, limb.modulus.value);
      const WideVec x = hn::PromoteTo(d, hn::LoadU(words, body.in.limb(poly, l) + i));
      const WideVec y = reduce_once(multiply_lazy(x, wide_factor(limb.inverse), q), q);
      WideVec carry = hn::Zero(d);
      for (int w = 0; w < kWords; ++w) {
        const WideVec product =
            multiply_low_halves(y, hn::Set(d, packing.fractions[l * kWords + w]));
        carry = hn::Add(hn::Add(product, fraction[w]), carry);
        fraction[w] = hn::And(carry, low_word);
        carry = hn::ShiftRight<32>(carry);
      }
    }
    for (std::int32_t digit = packing.digits; digit-- > 0;) {
      WideVec carry = hn::Zero(d);
      for (int w = 0; w < kWords; ++w) {
        carry = hn::Add(multiply_low_halves(fraction[w], base), carry);
        fraction[w] = hn::And(carry, low_word);
        carry = hn::ShiftRight<32>(carry);
      }
      const std::int64_t at = digit * body.coefficients + k;
      const auto value = hn::BitCast(
          SignedWords(), hn::TruncateTo(words, hn::And(hn::Sub(carry, offset), low_word)));
      if (at + lanes <= body.values.size()) {
        hn::StoreU(value, SignedWords(), body.values.data() + at);
      } else if (at < body.values.size()) {
        alignas(64) std::int32_t part[hn::MaxLanes(Wide())];
        hn::Store(value, SignedWords(), part);
        std::copy_n(part, body.values.size() - at, body.values.data() + at);
      }
    }
    const WideVec deviation = hn::Xor(fraction[kWords - 1], hn::Set(d, 0x80000000u));
    hn::StoreU(hn::BitCast(SignedWords(), hn::TruncateTo(words, deviation)), SignedWords(),
               body.deviations.data() + k);
  }
}

}  // namespace packed_digits

void pack_digits_block(const PackDigitsBody& body, std::int64_t poly, std::int64_t limb,
                       std::int64_t begin, std::int64_t end) {
  packed_digits::pack(body, poly, limb, begin, end);
}
void unpack_digits_4(const UnpackDigitsBody<4>& body, std::int64_t poly, std::int64_t begin,
                     std::int64_t end) {
  packed_digits::unpack(body, poly, begin, end);
}
void unpack_digits_8(const UnpackDigitsBody<8>& body, std::int64_t poly, std::int64_t begin,
                     std::int64_t end) {
  packed_digits::unpack(body, poly, begin, end);
}
void unpack_digits_16(const UnpackDigitsBody<16>& body, std::int64_t poly, std::int64_t begin,
                      std::int64_t end) {
  packed_digits::unpack(body, poly, begin, end);
}

}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(pack_digits_block);
HWY_EXPORT(unpack_digits_4);
HWY_EXPORT(unpack_digits_8);
HWY_EXPORT(unpack_digits_16);

/// Coefficients that are worth a thread: tens of microseconds.
constexpr std::int64_t kPackGrain = 1 << 13, kUnpackGrain = 1 << 10;

void block(const UnpackDigitsBody<4>& body, std::int64_t poly, std::int64_t begin,
           std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(unpack_digits_4)(body, poly, begin, end);
}
void block(const UnpackDigitsBody<8>& body, std::int64_t poly, std::int64_t begin,
           std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(unpack_digits_8)(body, poly, begin, end);
}
void block(const UnpackDigitsBody<16>& body, std::int64_t poly, std::int64_t begin,
           std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(unpack_digits_16)(body, poly, begin, end);
}

}  // namespace

void pack_digits_cpu(const PackDigitsBody& body, const Stream& stream) {
  cpu::for_each_row_block(
      body.out.polys, body.out.limbs, body.out.degree, kPackGrain, stream,
      [&](std::int64_t poly, std::int64_t limb, std::int64_t begin, std::int64_t end) {
        HWY_DYNAMIC_DISPATCH(pack_digits_block)(body, poly, limb, begin, end);
      });
}

template <int kWords>
void unpack_digits_cpu(const UnpackDigitsBody<kWords>& body, const Stream& stream) {
  cpu::for_each_row_block(body.in.polys, 1, body.in.degree, kUnpackGrain, stream,
                          [&](std::int64_t poly, std::int64_t /*limb*/, std::int64_t begin,
                              std::int64_t end) { block(body, poly, begin, end); });
}

template void unpack_digits_cpu(const UnpackDigitsBody<4>&, const Stream&);
template void unpack_digits_cpu(const UnpackDigitsBody<8>&, const Stream&);
template void unpack_digits_cpu(const UnpackDigitsBody<16>&, const Stream&);

}  // namespace velum::kernels
#endif  // HWY_ONCE
