#pragma once

#include <complex>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "velum/he/ckks/encoder.h"
#include "velum/he/ckks/evaluator.h"
#include "velum/kernels/span.h"

namespace velum::he {

struct LinearTransformOptions {
  /// Of the ciphertexts that it is applied to. -1: the highest. At least 1: a level is used up.
  int level = -1;
  /// What the magnitudes of a row may add up to: the result's slots are at most so much larger than
  /// the argument's. Public, as `EncodeOptions::message_bound`; a row beyond it is refused.
  double row_bound = 1.0;
};

/// A matrix on the slots of a ciphertext, encoded by diagonals for baby steps and giant steps:
///
///   M z = sum_g rotate( sum_i d'_(g b + i) * rotate(z, i), g b ),   d_k[j] = M[j][(j + k) mod n],
///
/// d'_k being d_k rotated back by g b. With D diagonals that are not zero this takes about 2
/// sqrt(D) rotations, of which the baby steps share one decomposition. Papers: Halevi and Shoup,
/// Algorithms in HElib, 2014 (ePrint 2014/106), section 4.3; Faster Homomorphic Linear
/// Transformations in HElib, 2018 (ePrint 2018/244).
///
/// Immutable; any number of threads may use one. Memory: a plaintext a diagonal.
class LinearTransform {
 public:
  /// @param matrix   [n, n], row j giving slot j of the result; n a power of two up to N/2. The
  /// argument's slots repeat with
  ///                 period n, as the encoder makes them of n slots.
  /// @throws std::invalid_argument if a size, an entry, the level or the bound is out of range
  /// (named), or all entries are 0.
  static LinearTransform from_matrix(const Encoder& encoder,
                                     kernels::MatrixView<const std::complex<double>> matrix,
                                     const Stream& stream,
                                     const LinearTransformOptions& options = {});
  /// As above; real slots stay real (`MessageForm`).
  static LinearTransform from_matrix(const Encoder& encoder,
                                     kernels::MatrixView<const double> matrix, const Stream& stream,
                                     const LinearTransformOptions& options = {});
  /// @param diagonals  by k in [0, n): d_k, [n]. Those that are missing are zero.
  static LinearTransform from_diagonals(
      const Encoder& encoder, std::int64_t n,
      const std::map<std::int64_t, std::vector<std::complex<double>>>& diagonals,
      const Stream& stream, const LinearTransformOptions& options = {});

  /// Steps whose Galois keys `apply` needs.
  std::vector<std::int64_t> rotations() const;
  int level() const { return level_; }

  /// The product, rescaled: one level lower, at the argument's scale.
  /// @throws std::invalid_argument if the argument is not at `level()`; as `Evaluator`;
  /// std::out_of_range if a key is missing.
  Ciphertext apply(const Evaluator& evaluator, const Ciphertext& argument, const GaloisKeys& keys,
                   const Stream& stream) const;

 private:
  using Diagonals = std::map<std::int64_t, std::vector<std::complex<double>>>;
  static LinearTransform encoded(const Encoder& encoder, std::int64_t n, const Diagonals& diagonals,
                                 bool real, const Stream& stream,
                                 const LinearTransformOptions& options);
  LinearTransform(std::shared_ptr<const Context> context, int level, double row_bound,
                  std::int64_t baby_steps)
      : context_(std::move(context)),
        level_(level),
        row_bound_(row_bound),
        baby_steps_(baby_steps) {}

  std::shared_ptr<const Context> context_;
  int level_;
  double row_bound_;
  std::int64_t baby_steps_;
  std::map<std::int64_t, std::map<std::int64_t, Plaintext>> diagonals_;  // [giant step][baby step]
};

}  // namespace velum::he
