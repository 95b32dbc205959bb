#pragma once

#include <cstdint>

#include "polynomial/coefficient_index.h"
#include "velum/kernels/host_device.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"

namespace velum::kernels {

enum class ElementwiseOperation {
  kAdd,
  kSubtract,
  kNegate,
  kMultiply,
  kMultiplyAccumulate,
  kMultiplyFactors,
  kMultiplyFactorsAccumulate,
  kAddConstants,
  kCopy,
};

/// Operands of any of the operations; each leaves some unused. A polynomial that is used for all
/// has stride 0.
template <typename Word>
struct ElementwiseTask {
  RnsView<const Word> a;
  RnsView<const Word> b;
  RnsView<Word> out;
  Span<const ShoupFactor<Word>> factors;
  Span<const Word> constants;
  const Modulus<Word>* moduli;
  LimbIndices limbs;
};

/// What an operation takes of a limb besides the coefficients.
template <typename Word>
struct ElementwiseLimb {
  Modulus<Word> modulus;
  ShoupFactor<Word> factor;
  Word constant;

  VELUM_HOST_DEVICE static constexpr ElementwiseLimb of(const ElementwiseTask<Word>& task,
                                                        std::int64_t limb) {
    ElementwiseLimb l{};
    if (task.moduli != nullptr) l.modulus = task.moduli[task.limbs[limb]];
    if (!task.factors.empty()) l.factor = task.factors[limb];
    if (!task.constants.empty()) l.constant = task.constants[limb];
    return l;
  }
};

/// The new value of `out` from the residues a, b and out.
template <ElementwiseOperation kOperation, typename Word>
VELUM_HOST_DEVICE constexpr Word elementwise(Word a, Word b, Word out,
                                             const ElementwiseLimb<Word>& l) {
  using enum ElementwiseOperation;
  const Word q = l.modulus.value;
  if constexpr (kOperation == kAdd) {
    return add_mod(a, b, q);
  } else if constexpr (kOperation == kSubtract) {
    return subtract_mod(a, b, q);
  } else if constexpr (kOperation == kNegate) {
    return negate_mod(a, q);
  } else if constexpr (kOperation == kMultiply) {
    return multiply_mod(a, b, l.modulus);
  } else if constexpr (kOperation == kMultiplyAccumulate) {
    // (q - 1)^2 + q - 1 < q^2: the sum is reduced like a product.
    return reduce_product(static_cast<WideOf<Word>>(a) * b + out, l.modulus);
  } else if constexpr (kOperation == kMultiplyFactors) {
    return multiply_mod(a, l.factor, q);
  } else if constexpr (kOperation == kMultiplyFactorsAccumulate) {
    return add_mod(multiply_mod(a, l.factor, q), out, q);
  } else if constexpr (kOperation == kAddConstants) {
    return add_mod(a, l.constant, q);
  } else {
    static_assert(kOperation == kCopy);
    return a;
  }
}

VELUM_HOST_DEVICE constexpr bool reads_b(ElementwiseOperation operation) {
  using enum ElementwiseOperation;
  return operation == kAdd || operation == kSubtract || operation == kMultiply ||
         operation == kMultiplyAccumulate;
}
VELUM_HOST_DEVICE constexpr bool reads_out(ElementwiseOperation operation) {
  using enum ElementwiseOperation;
  return operation == kMultiplyAccumulate || operation == kMultiplyFactorsAccumulate;
}

/// Coefficients [begin, end) of a limb.
template <ElementwiseOperation kOperation, typename Word>
VELUM_HOST_DEVICE constexpr void elementwise_range(const Word* a, const Word* b, Word* out,
                                                   std::int64_t begin, std::int64_t end,
                                                   const ElementwiseLimb<Word>& l) {
  for (std::int64_t i = begin; i < end; ++i) {
    out[i] = elementwise<kOperation>(a[i], reads_b(kOperation) ? b[i] : Word{0},
                                     reads_out(kOperation) ? out[i] : Word{0}, l);
  }
}

/// One coefficient, numbered over all polynomials and limbs.
template <ElementwiseOperation kOperation, typename Word>
struct ElementwiseBody {
  ElementwiseTask<Word> task;
  CoefficientIndex position;

  VELUM_HOST_DEVICE void operator()(std::int64_t index) const {
    const auto [poly, limb, coefficient] = position(index);
    elementwise_range<kOperation>(task.a.limb(poly, limb),
                                  reads_b(kOperation) ? task.b.limb(poly, limb) : nullptr,
                                  task.out.limb(poly, limb), coefficient, coefficient + 1,
                                  ElementwiseLimb<Word>::of(task, limb));
  }
};

}  // namespace velum::kernels
