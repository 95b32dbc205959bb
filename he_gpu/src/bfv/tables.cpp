#include "bfv/tables.h"

#include <cstdint>

#include "bfv/auxiliary_primes.h"
#include "residues_of.h"

namespace velum::he::bfv {
namespace {

LimbIndices q_limbs(const Parameters& parameters, int level) {
  return LimbIndices::range(parameters.special_prime_count(), parameters.limbs(level));
}

std::vector<std::uint32_t> values_of(const kernels::ModulusChain<Word>& moduli) {
  std::vector<std::uint32_t> values;
  values.reserve(static_cast<std::size_t>(moduli.size()));
  for (int i = 0; i < moduli.size(); ++i) values.push_back(moduli[i].value);
  return values;
}

}  // namespace

Tables::Level::Level(const Parameters& parameters, const kernels::NttTables<Word>& tables,
                     int level, const Stream& stream)
    : ratio(tables.moduli(), q_limbs(parameters, level), parameters.plaintext_modulus(), stream),
      auxiliary(auxiliary_limbs(parameters, values_of(tables.moduli()), level)),
      division(tables, auxiliary, q_limbs(parameters, level), stream),
      back(tables.moduli(), auxiliary, q_limbs(parameters, level), stream),
      plaintext_modulus(factors_of(static_cast<std::int64_t>(parameters.plaintext_modulus()),
                                   kernels::concatenated(q_limbs(parameters, level), auxiliary),
                                   tables.moduli(), stream)) {}

Tables::Tables(const Parameters& parameters, const kernels::NttTables<Word>& tables,
               const Stream& stream) {
  levels.reserve(static_cast<std::size_t>(parameters.max_level()) + 1);
  for (int level = 0; level <= parameters.max_level(); ++level)
    levels.emplace_back(parameters, tables, level, stream);
}

}  // namespace velum::he::bfv
