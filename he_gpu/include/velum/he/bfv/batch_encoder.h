#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "velum/he/bfv/ciphertext.h"
#include "velum/he/context.h"
#include "velum/kernels/polynomial/ntt_tables.h"

namespace velum::he::bfv {

/// Between vectors of N integers modulo t and plaintexts, such that sums and products of plaintexts
/// are sums and products of vectors, slot by slot. The vector is two rows of N/2: slot i of the
/// first is the value of the polynomial at psi^(5^i), slot i of the second at psi^(-5^i), psi the
/// smallest primitive 2N-th root of unity modulo t. So `Evaluator::rotate_rows` and
/// `Evaluator::rotate_columns` turn them. Immutable; any number of threads may use one. Every call
/// waits until its work is done; the transform modulo t runs on the host.
/// Paper: Smart and Vercauteren, Fully Homomorphic SIMD Operations, 2014 (ePrint 2011/133).
class BatchEncoder {
 public:
  /// @throws std::invalid_argument unless the parameters are of BFV and t is a prime that is 1
  /// modulo 2N.
  explicit BatchEncoder(std::shared_ptr<const Context> context);

  std::int64_t slots() const { return context_->degree(); }
  std::int64_t row_size() const { return context_->degree() / 2; }

  /// @param values  up to N: the first row, then the second; what is missing is 0. Each in
  ///                [-floor(t/2), floor(t/2)].
  /// @throws std::invalid_argument naming the first that is not, or if there are too many.
  Plaintext encode(Span<const std::int64_t> values, const Stream& stream) const;
  /// The same of values in [0, t).
  Plaintext encode(Span<const std::uint64_t> values, const Stream& stream) const;

  /// The first values.size() slots, in [-floor(t/2), floor(t/2)].
  void decode(const Plaintext& plaintext, Span<std::int64_t> values, const Stream& stream) const;
  /// The same in [0, t).
  void decode(const Plaintext& plaintext, Span<std::uint64_t> values, const Stream& stream) const;

  const std::shared_ptr<const Context>& context() const { return context_; }

 private:
  /// @param slots  [N], in [0, t), where the transform wants them; becomes coefficients.
  Plaintext from_slots(std::vector<std::uint64_t>& slots, const Stream& stream) const;
  std::vector<std::uint64_t> to_slots(const char* function, const Plaintext& plaintext,
                                      std::int64_t count, const Stream& stream) const;

  std::shared_ptr<const Context> context_;
  kernels::NttTables<std::uint64_t> tables_;  // modulo t, in the host's memory
  std::vector<std::int32_t> positions_;       // of the slots among the transform's values
};

}  // namespace velum::he::bfv
