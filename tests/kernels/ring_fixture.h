#pragma once

#include <cstdint>
#include <vector>

#include "kernels/rns_fixture.h"
#include "reference/big_integer.h"
#include "velum/kernels/polynomial/ntt.h"
#include "velum/kernels/polynomial/ntt_tables.h"

namespace velum::testing {

using kernels::NttTables;

/// Polynomials of whole numbers: [polys][N].
using Numbers = std::vector<std::vector<BigInteger>>;

template <typename Word>
HostRns<Word> residues_of(const Numbers& numbers, const std::vector<Word>& moduli,
                          std::int64_t gap = 0) {
  HostRns<Word> x(static_cast<std::int64_t>(numbers.size()),
                  static_cast<std::int64_t>(moduli.size()),
                  static_cast<std::int64_t>(numbers.front().size()), gap);
  x.for_each([&](auto poly, auto limb, auto i) {
    const BigInteger q = moduli[static_cast<std::size_t>(limb)];
    x.at(poly, limb, i) = static_cast<Word>(
        modulo(numbers[static_cast<std::size_t>(poly)][static_cast<std::size_t>(i)], q));
  });
  return x;
}

/// Uniform in [0, below).
inline BigInteger random_below(const BigInteger& below, SplitMix& random) {
  BigInteger x = 0;
  while (x < below << 64) x = (x << 64) + random();
  return x % below;
}

/// From coefficients on the host to NTT form in memory of the backend.
template <typename Word>
DeviceRns<Word> in_ntt_form(const HostRns<Word>& coefficients, const LimbIndices& limbs,
                            const NttTables<Word>& tables, const Stream& stream) {
  DeviceRns<Word> values(coefficients, stream);
  ntt_forward_inplace(values.view(), limbs, tables, stream);
  return values;
}

/// And back.
template <typename Word>
HostRns<Word> coefficients_of(const DeviceRns<Word>& values, const LimbIndices& limbs,
                              const NttTables<Word>& tables, const Stream& stream) {
  const DeviceRns<Word> copy(values.to_host(), stream);
  ntt_inverse_inplace(copy.view(), limbs, tables, stream);
  return copy.to_host();
}

/// log2 of the degrees that the suites of whole operations take.
inline std::vector<int> log_degrees(Backend backend) {
  if (backend == Backend::kCuda) return {1, 2, 5, 8};
  return {1, 2, 3, 4, 5, 8, 11};
}

}  // namespace velum::testing
