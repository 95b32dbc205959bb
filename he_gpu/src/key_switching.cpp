#include "key_switching.h"

#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/inner_product.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he::key_switching {

std::int64_t digit_words(const Context& context, int level) {
  const Parameters& parameters = context.parameters();
  return parameters.digit_count(level) *
         (parameters.special_prime_count() + parameters.limbs(level)) * context.degree();
}

void decompose(const Context& context, RnsView<const Word> polynomial, int level, Word* digits,
               const Stream& stream) {
  const Parameters& parameters = context.parameters();
  const LimbIndices limbs = context.q_limbs(level);
  const int special = parameters.special_prime_count();
  const std::int64_t degree = context.degree();
  const Workspace::Lease lease = context.workspace().take(limbs.count * degree, stream);
  const RnsView<Word> coefficients(lease.data(), 1, limbs.count, degree);
  kernels::copy_limbs<Word>(polynomial, coefficients, stream);
  kernels::ntt_inverse_multiply_inplace(coefficients, limbs, context.digit_factors(level),
                                        context.tables(), stream);
  kernels::extend_digits<Word>(
      coefficients, kernels::Premultiplied::kYes, polynomial,
      {digits, parameters.digit_count(level), special + limbs.count, degree},
      context.digit_extensions(level), kernels::Correction::kCentred, stream);
}

void apply_key(const Context& context, const Word* digits, const KeySwitchingKey& key, int level,
               RnsView<Word> out, const Stream& stream) {
  const Parameters& parameters = context.parameters();
  const LimbIndices limbs = context.qp_limbs(level);
  const int special = parameters.special_prime_count();
  const int digit_count = parameters.digit_count(level);
  const std::int64_t degree = context.degree();
  const Workspace::Lease lease = context.workspace().take(2 * limbs.count * degree, stream);
  const RnsView<Word> product(lease.data(), 2, limbs.count, degree);
  kernels::inner_product<Word>({digits, digit_count, limbs.count, degree},
                               key.view().poly_range(0, 2 * digit_count).limb_range(0, limbs.count),
                               product, limbs, context.moduli(), stream);
  const RnsView<Word> dropped = product.limb_range(0, special);
  kernels::divide_and_round<Word>(product.limb_range(special, limbs.count - special), dropped,
                                  dropped, out, context.special_division(level), stream);
}

}  // namespace velum::he::key_switching
