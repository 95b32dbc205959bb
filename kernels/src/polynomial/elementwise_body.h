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

/// Four coefficients of a limb, a quarter of it apart, numbered over all polynomials and limbs:
/// the operands of the limb serve them all, and neighbouring numbers are neighbours in memory. For
/// N = 2 the third and fourth are the first and second again.
template <ElementwiseOperation kOperation, typename Word>
struct ElementwiseBody {
  static constexpr std::int64_t kCoefficients = 4;

  ElementwiseTask<Word> task;
  CoefficientIndex position;  // among the first quarters of the limbs

  ElementwiseBody(const ElementwiseTask<Word>& task_, std::int32_t log_degree)
      : task(task_),
        position{log_degree < 2 ? 0 : log_degree - 2, static_cast<std::int32_t>(task_.out.limbs)} {}

  constexpr std::int64_t count() const {
    return (task.out.polys * task.out.limbs) << position.log_degree;
  }
  VELUM_HOST_DEVICE void operator()(std::int64_t index) const {
    const auto [poly, limb, first] = position(index);
    const Word* const a = task.a.limb(poly, limb) + first;
    const Word* const b = reads_b(kOperation) ? task.b.limb(poly, limb) + first : nullptr;
    Word* const out = task.out.limb(poly, limb) + first;
    const auto l = ElementwiseLimb<Word>::of(task, limb);
    // All are read before one is written: the reads are on their way together.
    Word new_values[kCoefficients];
    for (std::int64_t k = 0; k < kCoefficients; ++k) {
      const std::int64_t i = offset(k);
      new_values[k] = elementwise<kOperation>(a[i], reads_b(kOperation) ? b[i] : Word{0},
                                              reads_out(kOperation) ? out[i] : Word{0}, l);
    }
    for (std::int64_t k = 0; k < kCoefficients; ++k) out[offset(k)] = new_values[k];
  }

 private:
  VELUM_HOST_DEVICE constexpr std::int64_t offset(std::int64_t k) const {
    return (k << position.log_degree) & (task.out.degree - 1);
  }
};

}  // namespace velum::kernels
