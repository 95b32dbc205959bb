#pragma once

#include <cstdint>

#include "modular/product_sum.h"
#include "polynomial/coefficient_index.h"
#include "velum/kernels/host_device.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/rns_view.h"

namespace velum::kernels {

template <typename Word>
struct InnerProductTask {
  RnsView<const Word> digits;  // [D, limbs, N]
  RnsView<const Word> keys;    // [D * K, limbs, N]
  RnsView<Word> out;           // [K, limbs, N]
  const Modulus<Word>* moduli;
  LimbIndices limbs;
};

/// One coefficient of out[first], ..., out[first + kOutputs - 1]: each digit is read once for them.
template <int kOutputs, typename Word>
VELUM_HOST_DEVICE inline void inner_product_coefficient(const InnerProductTask<Word>& task,
                                                        std::int64_t first, std::int64_t limb,
                                                        std::int64_t i,
                                                        const Modulus<Word>& modulus) {
  using Wide = WideOf<Word>;
  Wide sums[kOutputs] = {};
  int left = ProductSum<Word>::kFirstProducts;
  const Word* digit = task.digits.data + limb * task.digits.degree + i;
  const Word* key = task.keys.data + first * task.keys.poly_stride + limb * task.keys.degree + i;
  for (std::int64_t d = 0; d < task.digits.polys; ++d) {
    if (left == 0) {
      for (Wide& sum : sums) sum = fold_sum(sum, modulus.value);
      left = ProductSum<Word>::kMoreProducts;
    }
    --left;
    for (int k = 0; k < kOutputs; ++k) {
      sums[k] += static_cast<Wide>(*digit) * key[k * task.keys.poly_stride];
    }
    digit += task.digits.poly_stride;
    key += task.out.polys * task.keys.poly_stride;
  }
  for (int k = 0; k < kOutputs; ++k) {
    task.out.limb(first + k, limb)[i] = reduce_wide(sums[k], modulus);
  }
}

/// One coefficient of all outputs, numbered over the limbs.
template <typename Word>
struct InnerProductBody {
  InnerProductTask<Word> task;
  CoefficientIndex position;

  VELUM_HOST_DEVICE void operator()(std::int64_t index) const {
    const auto [poly, limb, i] = position(index);
    coefficient(limb, i, task.moduli[task.limbs[limb]]);
  }
  VELUM_HOST_DEVICE void coefficient(std::int64_t limb, std::int64_t i,
                                     const Modulus<Word>& modulus) const {
    std::int64_t k = 0;
    for (; k + 2 <= task.out.polys; k += 2) {
      inner_product_coefficient<2>(task, k, limb, i, modulus);
    }
    if (k < task.out.polys) inner_product_coefficient<1>(task, k, limb, i, modulus);
  }
};

}  // namespace velum::kernels
