#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "velum/he/bfv/batch_encoder.h"
#include "velum/he/bfv/evaluator.h"
#include "velum/kernels/span.h"

namespace velum::he::bfv {

class VectorEvaluator;

/// A matrix that `VectorEvaluator::encode_matrix` encoded once, for many products. Immutable; any
/// number of threads may use one. Memory: a plaintext for each diagonal that is not zero, of
/// min(period(rows), period(cols)).
class EncodedMatrix {
 public:
  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }

 private:
  friend class VectorEvaluator;
  EncodedMatrix(std::int64_t rows, std::int64_t cols) : rows_(rows), cols_(cols) {}

  std::int64_t rows_, cols_;
  std::vector<std::optional<Plaintext>> diagonals_;  // nothing where they are zero
};

/// Arithmetic on BFV vectors of integers modulo t for which levels and relinearisation need no
/// thought: operands are brought to the lower level of the two, products are relinearised, and
/// every result has two polynomials. Nothing is brought down on its own.
///
/// A vector of n integers lies in the first n of `period(n)` slots, the smallest power of two >= n;
/// the slots beyond are zero, and all slots, of both rows, repeat with that period. `encode` makes
/// them so, and all results here are so.
///
/// Rotations need the Galois keys of `rotation_steps`, or a key for the very rotation. Immutable;
/// any number of threads may use one. Everything throws as `Evaluator` and `BatchEncoder` do, and
/// std::logic_error if a key is needed that was not given.
class VectorEvaluator {
 public:
  /// @param relinearization, galois  may be null for whoever needs none.
  /// @throws std::invalid_argument if the context is null, not of BFV, or without slots.
  VectorEvaluator(const std::shared_ptr<const Context>& context,
                  std::shared_ptr<const RelinearizationKey> relinearization,
                  std::shared_ptr<const GaloisKeys> galois);

  /// The smallest power of two >= size. @throws std::invalid_argument unless 1 <= size <= N/2.
  std::int64_t period(std::int64_t size) const;
  /// 1, 2, 4, .., N/4.
  static std::vector<std::int64_t> rotation_steps(const Parameters& parameters);

  /// @param values  [n], 1 to N/2, each in [-floor(t/2), floor(t/2)].
  Plaintext encode(Span<const std::int64_t> values, const Stream& stream) const;
  /// The first values.size() slots.
  void decode(const Plaintext& plaintext, Span<std::int64_t> values, const Stream& stream) const {
    encoder_.decode(plaintext, values, stream);
  }

  Ciphertext add(const Ciphertext& a, const Ciphertext& b, const Stream& stream) const;
  Ciphertext subtract(const Ciphertext& a, const Ciphertext& b, const Stream& stream) const;
  Ciphertext negate(const Ciphertext& a, const Stream& stream) const;
  Ciphertext add_plain(const Ciphertext& a, Span<const std::int64_t> values,
                       const Stream& stream) const;
  Ciphertext multiply(const Ciphertext& a, const Ciphertext& b, const Stream& stream) const;
  Ciphertext multiply_plain(const Ciphertext& a, Span<const std::int64_t> values,
                            const Stream& stream) const;
  Ciphertext multiply_integer(const Ciphertext& a, std::int64_t factor, const Stream& stream) const;
  /// sum_i weights[i] terms[i].
  /// @param terms  one at least, of one key, not null; as many as weights.
  /// @throws std::invalid_argument also if all weights are 0: the sum would be no encryption.
  Ciphertext weighted_sum(const std::vector<const Ciphertext*>& terms,
                          Span<const std::int64_t> weights, const Stream& stream) const;

  /// Number j of the result is number j + steps, around the end.
  /// @param size  of the vector, a power of two: others do not go around.
  Ciphertext rotate(const Ciphertext& a, std::int64_t steps, std::int64_t size,
                    const Stream& stream) const;
  /// Every slot of the result is the sum of the vector: a vector of one number.
  Ciphertext sum(const Ciphertext& a, std::int64_t size, const Stream& stream) const;
  /// The vector `a` of matrix.rows integers times the matrix: one of matrix.cols integers. As that
  /// of CKKS (velum/he/ckks/vector_evaluator.h); the entries in [-floor(t/2), floor(t/2)].
  /// @throws std::invalid_argument also if all entries are 0.
  Ciphertext multiply_matrix(const Ciphertext& a, kernels::MatrixView<const std::int64_t> matrix,
                             const Stream& stream) const;
  /// The matrix encoded for products with vectors at any level.
  EncodedMatrix encode_matrix(kernels::MatrixView<const std::int64_t> matrix,
                              const Stream& stream) const;
  /// The same product. A product with the matrix itself encodes it anew each time, diagonal by
  /// diagonal.
  Ciphertext multiply_matrix(const Ciphertext& a, const EncodedMatrix& matrix,
                             const Stream& stream) const;

  const std::shared_ptr<const Context>& context() const { return evaluator_.context(); }

 private:
  const Ciphertext& at_level(const Ciphertext& a, int level, std::optional<Ciphertext>& made,
                             const Stream& stream) const;
  Ciphertext turned(const Ciphertext& a, std::int64_t steps, const Stream& stream) const;
  /// Diagonal k, rotated back by a giant step, encoded; null if it is zero.
  using DiagonalOf = std::function<const Plaintext*(std::int64_t k, std::int64_t giant)>;
  Ciphertext multiply_diagonals(const Ciphertext& a, std::int64_t rows, std::int64_t cols,
                                const DiagonalOf& diagonal, const Stream& stream) const;
  const GaloisKeys& galois(const char* function) const;

  BatchEncoder encoder_;
  Evaluator evaluator_;
  std::shared_ptr<const RelinearizationKey> relinearization_;
  std::shared_ptr<const GaloisKeys> galois_;
};

}  // namespace velum::he::bfv
