#include "key_switching.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/inner_product.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he::key_switching {

void check_parameters(const char* function, const Parameters& parameters) {
  if (parameters.special_prime_count() > 0) return;
  throw std::invalid_argument(
      std::string(function) +
      ": the parameters have no special primes, so there are no switching keys; build them without "
      "without_key_switching()");
}

void check_galois_element(const char* function, const Parameters& parameters,
                          std::uint32_t element) {
  if (element % 2 == 1 && element >= 3 && element < 2 * parameters.ring_degree()) return;
  throw std::invalid_argument(
      std::string(function) + ": element = " + std::to_string(element) +
      ", expected odd and 3 to 2N - 1 = " + std::to_string(2 * parameters.ring_degree() - 1));
}

void add_source(const Context& context, const Word* source, RnsView<Word> b, const Stream& stream) {
  const Parameters& parameters = context.parameters();
  const int special = parameters.special_prime_count();
  const int q_count = parameters.limbs(parameters.max_level());
  for (int digit = 0; digit < parameters.dnum(); ++digit) {
    // P g_j s' is P s' modulo the primes of digit j, else 0.
    const int begin = digit * parameters.digit_limbs();
    const int count = std::min(parameters.digit_limbs(), q_count - begin);
    kernels::multiply_factors_accumulate<Word>(
        {source + begin * context.degree(), 1, count, context.degree()},
        Span<const kernels::ShoupFactor<Word>>(context.special_product().data() + begin, count),
        b.poly_range(digit, 1).limb_range(special + begin, count),
        LimbIndices::range(special + begin, count), context.moduli(), stream);
  }
}

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
