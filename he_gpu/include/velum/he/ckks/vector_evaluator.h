#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "velum/he/ckks/encoder.h"
#include "velum/he/ckks/evaluator.h"
#include "velum/he/ckks/polynomial.h"
#include "velum/kernels/span.h"

namespace velum::he {

/// Of plain operands.
struct PlainOptions {
  /// What the magnitude of a number (of weights, or of a matrix: the magnitudes that are added up
  /// for one number of the result) may reach. Public: it becomes part of the result's
  /// `message_bound`. 0: the smallest power of two that holds, which tells as much of the operand
  /// to whoever sees the ciphertext.
  double message_bound = 0.0;
};

class VectorEvaluator;

/// A matrix that `VectorEvaluator::encode_matrix` encoded once, for many products. Immutable; any
/// number of threads may use one. Memory: a plaintext for each diagonal that is not zero, of
/// min(period(rows), period(cols)).
class EncodedMatrix {
 public:
  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }
  /// Of the arguments; those of a higher level are brought down to it.
  int level() const { return level_; }
  /// What the magnitudes of a column may add up to.
  double message_bound() const { return message_bound_; }

 private:
  friend class VectorEvaluator;
  EncodedMatrix(std::int64_t rows, std::int64_t cols, int level, double message_bound)
      : rows_(rows), cols_(cols), level_(level), message_bound_(message_bound) {}

  std::shared_ptr<const Context> context_;
  std::int64_t rows_, cols_;
  int level_;
  double message_bound_;
  std::vector<std::optional<Plaintext>> diagonals_;  // nothing where they are zero
};

/// Arithmetic on CKKS vectors of real numbers for which levels and scales need no thought: operands
/// are brought to the lower level of the two, products are relinearised and rescaled, and every
/// result has two polynomials and the scale `Parameters::scale` of its level, exactly. Whoever
/// wants to decide when to rescale or to relinearise takes `Evaluator`.
///
/// A vector of n numbers lies in the first n of `period(n)` slots, the smallest power of two >= n;
/// the slots beyond are zero up to errors, and all slots repeat with that period. `encode` makes
/// them so, and all results here are so. Ciphertexts of three polynomials may come in, and of any
/// scale: a level is used up where it is not that of their level.
///
/// Rotations need the Galois keys of `rotation_steps`, or a key for the very rotation. A level is
/// used up by every product with something that is not an integer. Immutable; any number of threads
/// may use one. Everything throws as `Evaluator` does, std::invalid_argument if a level is needed
/// and none is left, and std::logic_error if a key is needed that was not given.
class VectorEvaluator {
 public:
  /// @param relinearization, galois  may be null for whoever needs none.
  /// @throws std::invalid_argument if the context is null or of another scheme.
  VectorEvaluator(const std::shared_ptr<const Context>& context,
                  std::shared_ptr<const RelinearizationKey> relinearization,
                  std::shared_ptr<const GaloisKeys> galois);

  /// The smallest power of two >= size. @throws std::invalid_argument unless 1 <= size <= N/2.
  std::int64_t period(std::int64_t size) const;
  /// 1, 2, 4, .., N/4.
  static std::vector<std::int64_t> rotation_steps(const Parameters& parameters);

  /// A vector at the highest level.
  /// @param values         [n], 1 to N/2.
  /// @param message_bound  as `EncodeOptions::message_bound`.
  Plaintext encode(Span<const double> values, double message_bound, const Stream& stream) const;
  /// @param values  [n], 1 to N/2; overwritten.
  void decode(const Plaintext& plaintext, Span<double> values, const Stream& stream) const;

  Ciphertext add(const Ciphertext& a, const Ciphertext& b, const Stream& stream,
                 const SumOptions& options = {}) const;
  Ciphertext subtract(const Ciphertext& a, const Ciphertext& b, const Stream& stream,
                      const SumOptions& options = {}) const;
  Ciphertext negate(const Ciphertext& a, const Stream& stream) const;
  Ciphertext add_plain(const Ciphertext& a, Span<const double> values, const Stream& stream,
                       const PlainOptions& options = {}) const;

  Ciphertext multiply(const Ciphertext& a, const Ciphertext& b, const Stream& stream) const;
  Ciphertext multiply_plain(const Ciphertext& a, Span<const double> values, const Stream& stream,
                            const PlainOptions& options = {}) const;
  /// Integers below 2^53 are exact and use up no level; other numbers are rounded to a multiple of
  /// 1/scale.
  Ciphertext multiply_constant(const Ciphertext& a, double value, const Stream& stream) const;
  /// sum_i weights[i] terms[i], rescaled once; not at all if all weights are integers below 2^53.
  /// @param terms  one at least, of one key, not null; as many as weights.
  /// @throws std::invalid_argument also if all weights are 0: the sum would be no encryption.
  Ciphertext weighted_sum(const std::vector<const Ciphertext*>& terms, Span<const double> weights,
                          const Stream& stream, const PlainOptions& options = {}) const;

  /// Number j of the result is number j + steps, around the end.
  /// @param size  of the vector, a power of two: others do not go around.
  Ciphertext rotate(const Ciphertext& a, std::int64_t steps, std::int64_t size,
                    const Stream& stream) const;
  /// Every slot of the result is the sum of the vector: a vector of one number.
  Ciphertext sum(const Ciphertext& a, std::int64_t size, const Stream& stream,
                 const SumOptions& options = {}) const;
  /// The vector `a` of matrix.rows numbers times the matrix: one of matrix.cols numbers.
  ///
  /// By diagonals, min(n, m) of them where n and m are the periods of argument and result, with
  /// baby steps and giant steps: about 2 sqrt(min(n, m)) + log2(n / m) rotations, by powers of two.
  /// Papers: Halevi and Shoup, Algorithms in HElib, 2014 (ePrint 2014/106), section 4.3; of
  /// matrices that are not square: Juvekar, Vaikuntanathan and Chandrakasan, GAZELLE, 2018 (ePrint
  /// 2018/073).
  /// @throws std::invalid_argument also if all entries are 0.
  Ciphertext multiply_matrix(const Ciphertext& a, kernels::MatrixView<const double> matrix,
                             const Stream& stream, const PlainOptions& options = {}) const;
  /// The matrix encoded for products with vectors at `level`.
  /// @param level    1 to the highest; -1: the highest.
  /// @param options  as of `multiply_matrix`.
  /// @throws std::invalid_argument also if the level is out of range.
  EncodedMatrix encode_matrix(kernels::MatrixView<const double> matrix, const Stream& stream,
                              const PlainOptions& options = {}, int level = -1) const;
  /// The same product. A product with the matrix itself encodes it anew each time, diagonal by
  /// diagonal, at the level of `a`.
  /// @throws std::invalid_argument also if the matrix is of other parameters, or `a` is below its
  ///         level.
  Ciphertext multiply_matrix(const Ciphertext& a, const EncodedMatrix& matrix,
                             const Stream& stream) const;
  /// The polynomial of every number, `polynomial_depth` levels lower.
  Ciphertext evaluate(const Ciphertext& a, std::int64_t size, const Polynomial& polynomial,
                      const Stream& stream) const;

  const std::shared_ptr<const Context>& context() const { return evaluator_.context(); }

 private:
  const Parameters& parameters() const { return evaluator_.context()->parameters(); }
  /// The highest level at which `a` can have the scale of its level.
  /// @throws std::invalid_argument if it is below `lowest`.
  int settled_level(const char* function, const Ciphertext& a, int lowest) const;
  /// `a` with two polynomials and the scale of this level there; itself where it is so already,
  /// otherwise `made`.
  const Ciphertext& settled(const char* function, const Ciphertext& a, int level,
                            std::optional<Ciphertext>& made, const Stream& stream) const;
  const Ciphertext& relinearized(const char* function, const Ciphertext& a,
                                 std::optional<Ciphertext>& made, const Stream& stream) const;
  /// A plaintext at the scale of a level.
  Plaintext encode_at(Span<const double> values, double message_bound, int level,
                      const Stream& stream) const;
  /// A product of two at the scale of their level: one level lower.
  Ciphertext rescaled(const Ciphertext& product, const Stream& stream) const;
  Ciphertext turned(const Ciphertext& a, std::int64_t steps, const Stream& stream) const;
  /// What the magnitudes of a column add up to, at most.
  double column_bound(kernels::MatrixView<const double> matrix, const PlainOptions& options) const;
  /// Diagonal k, rotated back by a giant step, encoded; null if it is zero.
  using DiagonalOf = std::function<const Plaintext*(std::int64_t k, std::int64_t giant)>;
  Ciphertext multiply_diagonals(const Ciphertext& a, std::int64_t rows, std::int64_t cols,
                                int level, double bound, const DiagonalOf& diagonal,
                                const Stream& stream) const;
  const GaloisKeys& galois(const char* function) const;
  const RelinearizationKey& relinearization(const char* function) const;

  Encoder encoder_;
  Evaluator evaluator_;
  std::shared_ptr<const RelinearizationKey> relinearization_;
  std::shared_ptr<const GaloisKeys> galois_;
};

}  // namespace velum::he
