#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "polynomial/inner_product_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "modular/residue_vectors-inl.h"
#include "polynomial/inner_product_halves.h"
#include "polynomial/row_blocks.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

std::int64_t inner_product_vectors(const InnerProductTask<std::uint32_t>&, std::int64_t,
                                   std::int64_t begin, std::int64_t,
                                   const Modulus<std::uint32_t>&) {
  return begin;
}

#else

namespace rv = residue_vectors;
namespace hn = hwy::HWY_NAMESPACE;

/// inner_product_coefficient on many lanes: coefficients from `i` on of out[first], ....
template <int kOutputs>
HWY_INLINE void inner_product_lanes(const InnerProductTask<std::uint32_t>& task, std::int64_t first,
                                    std::int64_t limb, std::int64_t i,
                                    const Modulus<std::uint32_t>& modulus,
                                    rv::FactorVector word_size) {
  using Sum = ProductSum<std::uint32_t>;
  rv::Wides even[kOutputs];
  rv::Wides odd[kOutputs];
  for (int k = 0; k < kOutputs; ++k) even[k] = odd[k] = hn::Zero(rv::WideTag());
  int left = Sum::kFirstProducts;
  for (std::int64_t d = 0; d < task.digits.polys; ++d) {
    if (left == 0) {
      for (int k = 0; k < kOutputs; ++k) {
        even[k] = rv::fold_sums(even[k], modulus.value);
        odd[k] = rv::fold_sums(odd[k], modulus.value);
      }
      left = Sum::kMoreProducts;
    }
    --left;
    const rv::Residues digit = rv::load(task.digits.limb(d, limb) + i);
    const rv::Residues digit_odd = rv::odd_lanes(digit);
    for (int k = 0; k < kOutputs; ++k) {
      const rv::Residues key = rv::load(task.keys.limb(d * task.out.polys + first + k, limb) + i);
      even[k] = hn::Add(even[k], hn::MulEven(digit, key));
      odd[k] = hn::Add(odd[k], hn::MulEven(digit_odd, rv::odd_lanes(key)));
    }
  }
  const rv::Residues q = rv::set(modulus.value);
  const rv::Residues inverse = rv::set(modulus.inverse);
  for (int k = 0; k < kOutputs; ++k) {
    const rv::Residues sum = rv::reduce_sums_montgomery(even[k], odd[k], q, inverse);
    rv::store(rv::multiply_mod(sum, word_size, q), task.out.limb(first + k, limb) + i);
  }
}

/// All outputs, of coefficients [begin, end) as far as whole vectors go; returns where they end.
std::int64_t inner_product_vectors(const InnerProductTask<std::uint32_t>& task, std::int64_t limb,
                                   std::int64_t begin, std::int64_t end,
                                   const Modulus<std::uint32_t>& modulus) {
  // 2^32 modulo q, which takes back the factor of the reduction.
  const std::uint32_t word_size =
      static_cast<std::uint32_t>((std::uint64_t{1} << 32) % modulus.value);
  const rv::FactorVector factor = rv::factor_vector(shoup_factor(word_size, modulus.value));
  std::int64_t i = begin;
  for (; i + rv::kLanes <= end; i += rv::kLanes) {
    std::int64_t k = 0;
    for (; k + 2 <= task.out.polys; k += 2) {
      inner_product_lanes<2>(task, k, limb, i, modulus, factor);
    }
    if (k < task.out.polys) inner_product_lanes<1>(task, k, limb, i, modulus, factor);
  }
  return i;
}

#endif

}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(inner_product_vectors);

/// Words of input that are worth a thread of their own.
constexpr std::int64_t kGrain = 1 << 15;

}  // namespace

template <typename Word>
void inner_product_cpu(const InnerProductTask<Word>& task, const Stream& stream) {
  if (task.out.polys == 0) return;
  const InnerProductBody<Word> body{task, {}};
  const std::int64_t words = std::max<std::int64_t>(1, task.digits.polys + task.keys.polys);
  cpu::for_each_row_block(
      1, task.out.limbs, task.out.degree, kGrain / words, stream,
      [&](std::int64_t, std::int64_t limb, std::int64_t begin, std::int64_t end) {
        const Modulus<Word>& modulus = task.moduli[task.limbs[limb]];
        std::int64_t i = begin;
        if constexpr (sizeof(Word) == sizeof(std::uint32_t)) {
          i = HWY_DYNAMIC_DISPATCH(inner_product_vectors)(task, limb, begin, end, modulus);
        }
        for (; i < end; ++i) body.coefficient(limb, i, modulus);
      });
}

template void inner_product_cpu(const InnerProductTask<std::uint32_t>&, const Stream&);
template void inner_product_cpu(const InnerProductTask<std::uint64_t>&, const Stream&);

}  // namespace velum::kernels
#endif  // HWY_ONCE
