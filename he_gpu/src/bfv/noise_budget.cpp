#include "bfv/noise_budget.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "residues_of.h"

namespace velum::he::bfv {
namespace {

/// The modulus q_i, and P_j = q_0 .. q_(j-1) modulo it for j < i, and P_i^-1.
struct Radix {
  kernels::Modulus<Word> q;
  std::vector<Word> products;
  Word inverse = 1;
};

std::vector<Radix> radices_of(const Context& context, int level) {
  const LimbIndices limbs = context.q_limbs(level);
  std::vector<Radix> radices;
  for (int i = 0; i < limbs.count; ++i) {
    Radix radix{context.moduli()[limbs[i]], {}, 1};
    Word product = 1;
    for (const Radix& lower : radices) {
      radix.products.push_back(product);
      product = kernels::multiply_mod(product, lower.q.value % radix.q.value, radix.q);
    }
    radix.inverse = inverse_mod(product, radix.q);
    radices.push_back(std::move(radix));
  }
  return radices;
}

}  // namespace

double log2_largest(const Context& context, int level, const std::vector<Word>& residues) {
  const std::vector<Radix> radices = radices_of(context, level);
  const auto degree = static_cast<std::size_t>(context.degree());
  double largest = 0.0;
  std::vector<Word> digits(radices.size());
  for (std::size_t k = 0; k < degree; ++k) {
    // Digits of x + (Q - 1)/2; less those of (Q - 1)/2 they are centred, and a small x has zeros
    // for its high ones.
    for (std::size_t i = 0; i < radices.size(); ++i) {
      const kernels::Modulus<Word>& q = radices[i].q;
      Word rest = kernels::add_mod(residues[i * degree + k], q.value / 2, q.value);
      for (std::size_t j = 0; j < i; ++j) {
        const Word lower = kernels::multiply_mod(digits[j] % q.value, radices[i].products[j], q);
        rest = kernels::subtract_mod(rest, lower, q.value);
      }
      digits[i] = kernels::multiply_mod(rest, radices[i].inverse, q);
    }
    const auto centred = [&](std::size_t i) {
      return static_cast<double>(digits[i]) - static_cast<double>(radices[i].q.value / 2);
    };
    std::size_t top = radices.size() - 1;
    while (top > 0 && centred(top) == 0.0) --top;
    // Four digits are more than enough; the others are as nothing beside them.
    const std::size_t low = top < 3 ? 0 : top - 3;
    double value = centred(top);
    for (std::size_t i = top; i-- > low;) value = value * radices[i].q.value + centred(i);
    if (value == 0.0) continue;
    double logarithm = std::log2(std::abs(value));
    for (std::size_t i = 0; i < low; ++i) logarithm += std::log2(radices[i].q.value);
    largest = std::max(largest, logarithm);
  }
  return largest;
}

}  // namespace velum::he::bfv
