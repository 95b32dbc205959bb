#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "velum/he/keys.h"
#include "velum/he/parameters.h"
#include "velum/kernels/span.h"

/// What the vectors of both schemes share: periods, rotations, products with plain matrices by
/// diagonals.
namespace velum::he::vectors {

[[noreturn]] inline void reject(const char* where, const char* function, const std::string& text) {
  throw std::invalid_argument(std::string(where) + "::" + function + ": " + text);
}

/// The smallest power of two >= size. @throws std::invalid_argument unless 1 <= size <= N/2.
inline std::int64_t period(const char* where, const Parameters& parameters, std::int64_t size) {
  if (size < 1 || size > parameters.max_slots()) {
    reject(where, "period",
           "a vector of " + std::to_string(size) +
               " numbers, expected 1 to N/2 = " + std::to_string(parameters.max_slots()));
  }
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(size)));
}

/// 1, 2, 4, .., N/4.
inline std::vector<std::int64_t> rotation_steps(const Parameters& parameters) {
  std::vector<std::int64_t> steps;
  for (std::int64_t step = 1; step < parameters.max_slots(); step *= 2) steps.push_back(step);
  return steps;
}

/// @throws std::logic_error if the key is null.
template <typename Key>
const Key& given(const char* where, const char* function, const std::shared_ptr<const Key>& key,
                 const char* what) {
  if (key != nullptr) return *key;
  throw std::logic_error(std::string(where) + "::" + function + ": needs " + what +
                         ", which was not given");
}

/// @throws std::invalid_argument unless there are as many terms as weights, none null, and a weight
/// that is not 0.
template <typename Ciphertext, typename T>
void check_terms(const char* where, const std::vector<const Ciphertext*>& terms,
                 kernels::Span<const T> weights) {
  constexpr const char* kName = "weighted_sum";
  if (terms.empty() || static_cast<std::int64_t>(terms.size()) != weights.size()) {
    reject(where, kName,
           std::to_string(terms.size()) + " terms and " + std::to_string(weights.size()) +
               " weights, expected as many of both, and one at least");
  }
  if (std::find(terms.begin(), terms.end(), nullptr) != terms.end())
    reject(where, kName, "a term is null");
  if (std::all_of(weights.begin(), weights.end(), [](T x) { return x == T{0}; }))
    reject(where, kName, "every weight is 0: the sum would be no encryption of anything");
}

/// @throws std::invalid_argument unless the vector fills its period.
inline void check_goes_around(const char* where, std::int64_t size, std::int64_t period) {
  if (size == period) return;
  reject(where, "rotate",
         "a vector of " + std::to_string(size) +
             " numbers, expected a power of two: others do not go around");
}

/// `a`, whose slots repeat with `period`, rotated: by the key for it, or by powers of two.
/// @param rotate  (ciphertext, steps): a ciphertext.
/// @param copy    (): a copy of `a`.
template <typename Ciphertext, typename Rotate, typename Copy>
Ciphertext rotated(const Ciphertext& a, std::int64_t steps, std::int64_t period, int log_n,
                   const GaloisKeys& keys, const Rotate& rotate, const Copy& copy) {
  const std::int64_t left = (steps % period + period) % period;
  if (left == 0) return copy();
  for (const std::int64_t direct : {left, left - period})
    if (keys.has(galois_element_of_rotation(log_n, direct))) return rotate(a, direct);
  std::optional<Ciphertext> turned;
  for (std::int64_t bit = 1; bit <= left; bit *= 2)
    if ((left & bit) != 0) turned = rotate(turned ? *turned : a, bit);
  return std::move(*turned);
}

/// A matrix whose rows belong to an argument that repeats with the period `in` and whose columns
/// belong to a result that repeats with `out`, both powers of two; beyond its edges it is zero.
/// Result j is the sum over i of matrix(i, j) argument(i). With D = min(in, out) and L = max(in,
/// out), diagonal k < D is the vector of period L with
///
///   d_k[j] = matrix((j + k) mod in, j mod out),
///
/// and the sum over k of d_k[j] argument[j + k] is the result where in <= out; where out < in, it
/// has one part of the result in each block of `out` slots, and their sum is the result.
template <typename T>
class Diagonals {
 public:
  Diagonals(kernels::MatrixView<const T> matrix, std::int64_t in, std::int64_t out)
      : matrix_(matrix), in_(in), out_(out) {}

  std::int64_t count() const { return std::min(in_, out_); }
  std::int64_t period() const { return std::max(in_, out_); }

  /// d_k rotated back by `giant`.
  std::vector<T> turned(std::int64_t k, std::int64_t giant) const {
    std::vector<T> diagonal(static_cast<std::size_t>(period()));
    for (std::int64_t j = 0; j < period(); ++j) {
      const std::int64_t from = (j - giant + period()) % period();
      const std::int64_t row = (from + k) % in_, column = from % out_;
      if (row < matrix_.rows && column < matrix_.cols)
        diagonal[static_cast<std::size_t>(j)] = matrix_.data[row * matrix_.row_stride + column];
    }
    return diagonal;
  }

 private:
  kernels::MatrixView<const T> matrix_;
  std::int64_t in_, out_;
};

/// A power of two of which the square is at least `count`.
inline std::int64_t baby_steps_of(std::int64_t count) {
  std::int64_t steps = 1;
  while (steps * steps < count) steps *= 2;
  return steps;
}

/// Diagonal k of `diagonals` as `sum_of_diagonals` takes it, by encode(values); nothing if it is 0.
template <typename T, typename Encode>
auto encoded_diagonal(const Diagonals<T>& diagonals, std::int64_t k, std::int64_t giant,
                      const Encode& encode) {
  const std::vector<T> values = diagonals.turned(k, giant);
  const bool zero = std::all_of(values.begin(), values.end(), [](T x) { return x == T{0}; });
  using Plain = decltype(encode(kernels::Span<const T>(values)));
  return zero ? std::optional<Plain>()
              : std::optional<Plain>(encode(kernels::Span<const T>(values)));
}

/// All of them, by k.
template <typename T, typename Encode>
auto encoded_diagonals(const Diagonals<T>& diagonals, const Encode& encode) {
  const std::int64_t baby_steps = baby_steps_of(diagonals.count());
  std::vector<decltype(encoded_diagonal(diagonals, 0, 0, encode))> encoded;
  for (std::int64_t k = 0; k < diagonals.count(); ++k)
    encoded.push_back(encoded_diagonal(diagonals, k, k / baby_steps * baby_steps, encode));
  return encoded;
}

/// sum_k d_k * rotate(argument, k), with baby steps and giant steps of powers of two alone: baby
/// step i is the one without its lowest bit, rotated by that; giant steps are added up from the
/// highest on.
/// @param count       of diagonals.
/// @param rotate      (ciphertext, steps): a ciphertext.
/// @param diagonal    (k, giant): a pointer to d_k rotated back by `giant`, encoded; null if 0.
/// @param accumulate  (encoded diagonal, ciphertext, std::optional<ciphertext>& sum).
/// @return nothing if all diagonals are 0.
template <typename Ciphertext, typename Rotate, typename Diagonal, typename Accumulate>
std::optional<Ciphertext> sum_of_diagonals(const Ciphertext& argument, std::int64_t count,
                                           const Rotate& rotate, const Diagonal& diagonal,
                                           const Accumulate& accumulate) {
  const std::int64_t baby_steps = baby_steps_of(count);
  std::vector<std::optional<Ciphertext>> babies(static_cast<std::size_t>(baby_steps));
  const auto baby = [&](auto&& self, std::int64_t step) -> const Ciphertext& {
    if (step == 0) return argument;
    std::optional<Ciphertext>& made = babies[static_cast<std::size_t>(step)];
    const std::int64_t lowest = step & -step;
    if (!made) made = rotate(self(self, step - lowest), lowest);
    return *made;
  };
  std::optional<Ciphertext> sum;
  for (std::int64_t giant = (count - 1) / baby_steps * baby_steps; giant >= 0;
       giant -= baby_steps) {
    if (sum) sum = rotate(*sum, baby_steps);
    for (std::int64_t k = giant; k < std::min(giant + baby_steps, count); ++k) {
      const auto* const plain = diagonal(k, giant);
      if (plain != nullptr) accumulate(*plain, baby(baby, k - giant), sum);
    }
  }
  return sum;
}

}  // namespace velum::he::vectors
