#pragma once

#include <cstdint>
#include <memory>

#include "velum/he/bfv/ciphertext.h"
#include "velum/he/context.h"

namespace velum::he::bfv {

struct CoefficientOptions {
  /// What a value's magnitude may reach; 0: anything modulo t. Public: products with the plaintext
  /// multiply the noise bound by it and by the number of values, so it must not be computed from
  /// values that are not. Values beyond it are refused.
  std::int64_t value_bound = 0;
};

/// Integers modulo t in the coefficients themselves, for any t, 2^k for example: sums of plaintexts
/// are sums of values; products are products of polynomials modulo X^N + 1. Immutable; any number
/// of threads may use one. Every call waits until its work is done.
class CoefficientEncoder {
 public:
  /// @throws std::invalid_argument unless the parameters are of BFV.
  explicit CoefficientEncoder(std::shared_ptr<const Context> context);

  /// @param values  up to N: the coefficients of 1, X, X^2, ..; what is missing is 0. Each in
  ///                [-floor(t/2), floor((t - 1)/2)].
  /// @throws std::invalid_argument naming the first that is not, if there are too many, or the
  /// bound is not in [0, floor(t/2)].
  Plaintext encode(Span<const std::int64_t> values, const Stream& stream,
                   const CoefficientOptions& options = {}) const;
  /// The same of values in [0, t).
  Plaintext encode(Span<const std::uint64_t> values, const Stream& stream) const;

  /// The first values.size() coefficients, in [-floor(t/2), floor((t - 1)/2)].
  void decode(const Plaintext& plaintext, Span<std::int64_t> values, const Stream& stream) const;
  /// The same in [0, t).
  void decode(const Plaintext& plaintext, Span<std::uint64_t> values, const Stream& stream) const;

  const std::shared_ptr<const Context>& context() const { return context_; }

 private:
  std::shared_ptr<const Context> context_;
};

}  // namespace velum::he::bfv
