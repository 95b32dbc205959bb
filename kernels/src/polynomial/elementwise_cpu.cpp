#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "polynomial/elementwise_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "modular/residue_vectors-inl.h"
#include "polynomial/elementwise_halves.h"
#include "polynomial/row_blocks.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

template <ElementwiseOperation kOperation>
void elementwise_vectors(const std::uint32_t* a, const std::uint32_t* b, std::uint32_t* out,
                         std::int64_t count, const ElementwiseLimb<std::uint32_t>& l) {
  elementwise_range<kOperation>(a, b, out, 0, count, l);
}

#else

/// elementwise_range on many lanes: the same values.
template <ElementwiseOperation kOperation>
void elementwise_vectors(const std::uint32_t* a, const std::uint32_t* b, std::uint32_t* out,
                         std::int64_t count, const ElementwiseLimb<std::uint32_t>& l) {
  namespace rv = residue_vectors;
  using enum ElementwiseOperation;
  const rv::Residues q = rv::set(l.modulus.value);
  const rv::FactorVector factor = rv::factor_vector(l.factor);
  const rv::Residues constant = rv::set(l.constant);
  std::int64_t i = 0;
  for (; i + rv::kLanes <= count; i += rv::kLanes) {
    const rv::Residues x = rv::load(a + i);
    const auto y = [b, i] { return rv::load(b + i); };
    rv::Residues r;
    if constexpr (kOperation == kAdd) {
      r = rv::add_mod(x, y(), q);
    } else if constexpr (kOperation == kSubtract) {
      r = rv::subtract_mod(x, y(), q);
    } else if constexpr (kOperation == kNegate) {
      r = rv::negate_mod(x, q);
    } else if constexpr (kOperation == kMultiply || kOperation == kMultiplyAccumulate) {
      const rv::Residues z = y();
      rv::Wides even = hwy::HWY_NAMESPACE::MulEven(x, z);
      rv::Wides odd = hwy::HWY_NAMESPACE::MulEven(rv::odd_lanes(x), rv::odd_lanes(z));
      r = rv::reduce_products(even, odd, l.modulus);
      if constexpr (kOperation == kMultiplyAccumulate) r = rv::add_mod(r, rv::load(out + i), q);
    } else if constexpr (kOperation == kMultiplyFactors) {
      r = rv::multiply_mod(x, factor, q);
    } else if constexpr (kOperation == kMultiplyFactorsAccumulate) {
      r = rv::add_mod(rv::multiply_mod(x, factor, q), rv::load(out + i), q);
    } else {
      static_assert(kOperation == kAddConstants);
      r = rv::add_mod(x, constant, q);
    }
    rv::store(r, out + i);
  }
  elementwise_range<kOperation>(a, b, out, i, count, l);
}

#endif

#define VELUM_DEFINE(operation)                                                                    \
  void elementwise_##operation(const std::uint32_t* a, const std::uint32_t* b, std::uint32_t* out, \
                               std::int64_t count, const ElementwiseLimb<std::uint32_t>& l) {      \
    elementwise_vectors<ElementwiseOperation::operation>(a, b, out, count, l);                     \
  }
VELUM_DEFINE(kAdd)
VELUM_DEFINE(kSubtract)
VELUM_DEFINE(kNegate)
VELUM_DEFINE(kMultiply)
VELUM_DEFINE(kMultiplyAccumulate)
VELUM_DEFINE(kMultiplyFactors)
VELUM_DEFINE(kMultiplyFactorsAccumulate)
VELUM_DEFINE(kAddConstants)
#undef VELUM_DEFINE

}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(elementwise_kAdd);
HWY_EXPORT(elementwise_kSubtract);
HWY_EXPORT(elementwise_kNegate);
HWY_EXPORT(elementwise_kMultiply);
HWY_EXPORT(elementwise_kMultiplyAccumulate);
HWY_EXPORT(elementwise_kMultiplyFactors);
HWY_EXPORT(elementwise_kMultiplyFactorsAccumulate);
HWY_EXPORT(elementwise_kAddConstants);

template <ElementwiseOperation kOperation>
void block(const std::uint32_t* a, const std::uint32_t* b, std::uint32_t* out, std::int64_t count,
           const ElementwiseLimb<std::uint32_t>& l) {
  switch (kOperation) {
#define VELUM_CASE(operation)           \
  case ElementwiseOperation::operation: \
    return HWY_DYNAMIC_DISPATCH(elementwise_##operation)(a, b, out, count, l);
    VELUM_CASE(kAdd)
    VELUM_CASE(kSubtract)
    VELUM_CASE(kNegate)
    VELUM_CASE(kMultiply)
    VELUM_CASE(kMultiplyAccumulate)
    VELUM_CASE(kMultiplyFactors)
    VELUM_CASE(kMultiplyFactorsAccumulate)
    VELUM_CASE(kAddConstants)
#undef VELUM_CASE
    case ElementwiseOperation::kCopy:
      break;
  }
}

/// Words that are worth a thread of their own: some ten microseconds.
constexpr std::int64_t kGrain = 1 << 15;

}  // namespace

template <ElementwiseOperation kOperation, typename Word>
void elementwise_cpu(const ElementwiseTask<Word>& task, const Stream& stream) {
  cpu::for_each_row_block(
      task.out.polys, task.out.limbs, task.out.degree, kGrain, stream,
      [&task](std::int64_t poly, std::int64_t limb, std::int64_t begin, std::int64_t end) {
        const Word* const a = task.a.limb(poly, limb) + begin;
        const Word* const b = reads_b(kOperation) ? task.b.limb(poly, limb) + begin : nullptr;
        Word* const out = task.out.limb(poly, limb) + begin;
        if constexpr (kOperation == ElementwiseOperation::kCopy) {
          std::memmove(out, a, static_cast<std::size_t>(end - begin) * sizeof(Word));
        } else {
          const ElementwiseLimb<Word> l = ElementwiseLimb<Word>::of(task, limb);
          if constexpr (sizeof(Word) == sizeof(std::uint32_t)) {
            block<kOperation>(a, b, out, end - begin, l);
          } else {
            elementwise_range<kOperation>(a, b, out, 0, end - begin, l);
          }
        }
      });
}

#define VELUM_INSTANTIATE(operation, Word)                              \
  template void elementwise_cpu<ElementwiseOperation::operation, Word>( \
      const ElementwiseTask<Word>&, const Stream&);
VELUM_FOR_EACH_ELEMENTWISE_OPERATION(VELUM_INSTANTIATE, std::uint32_t)
VELUM_FOR_EACH_ELEMENTWISE_OPERATION(VELUM_INSTANTIATE, std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
#endif  // HWY_ONCE
