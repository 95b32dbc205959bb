#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "velum/kernels/modular/modular_arithmetic.h"
#include "velum/kernels/polynomial/rns_view.h"

namespace velum::he {

/// Hands out primes q = 1 modulo 2N, 2^12 < q < 2^30, each once. Deterministic.
class PrimeSearch {
 public:
  explicit PrimeSearch(int log_n) : log_n_(log_n) {}

  /// `count` (1 or 2) primes whose product is as near to `product` as any; of two, those whose
  /// sizes differ by at most four bits are considered. Nothing if there are none.
  std::optional<std::vector<std::uint32_t>> take_product(double product, int count);
  /// The `count` primes nearest to 2^bits from both sides, in falling order.
  std::optional<std::vector<std::uint32_t>> take_near(double bits, int count);
  /// The `count` smallest above 2^bits, in falling order.
  std::optional<std::vector<std::uint32_t>> take_above(double bits, int count);
  /// The `count` largest, in falling order.
  std::optional<std::vector<std::uint32_t>> take_largest(int count);

 private:
  /// Up to `count` unused primes on each side of 2^bits, no further away than `reach` bits; in
  /// rising order.
  std::vector<std::uint32_t> around(double bits, int count, double reach) const;

  int log_n_;
  std::set<std::uint32_t> used_;
};

}  // namespace velum::he
