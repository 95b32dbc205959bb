#include "velum/he/ckks/linear_transform.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

#include "velum/kernels/polynomial/elementwise.h"

namespace velum::he {
namespace {

using Diagonals = std::map<std::int64_t, std::vector<std::complex<double>>>;

[[noreturn]] void reject(const std::string& text) {
  throw std::invalid_argument("LinearTransform: " + text);
}

void check_size(std::int64_t n, const Context& context) {
  if (n < 1 || n > context.parameters().max_slots() || (n & (n - 1)) != 0) {
    reject("n = " + std::to_string(n) + ", expected a power of two, 1 to N/2 = " +
           std::to_string(context.parameters().max_slots()));
  }
}

template <typename Entry>
Diagonals diagonals_of(kernels::MatrixView<const Entry> matrix) {
  if (matrix.rows != matrix.cols) {
    reject("the matrix is " + std::to_string(matrix.rows) + " by " + std::to_string(matrix.cols) +
           ", expected a square");
  }
  const std::int64_t n = matrix.rows;
  Diagonals diagonals;
  for (std::int64_t k = 0; k < n; ++k) {
    std::vector<std::complex<double>> diagonal(static_cast<std::size_t>(n));
    bool zero = true;
    for (std::int64_t j = 0; j < n; ++j) {
      diagonal[static_cast<std::size_t>(j)] = matrix(j, (j + k) % n);
      zero = zero && diagonal[static_cast<std::size_t>(j)] == 0.0;
    }
    if (!zero) diagonals.emplace(k, std::move(diagonal));
  }
  return diagonals;
}

/// Rotations that a split into so many baby steps needs.
std::int64_t rotation_count(const Diagonals& diagonals, std::int64_t baby_steps) {
  std::set<std::int64_t> babies, giants;
  for (const auto& [k, diagonal] : diagonals) {
    babies.insert(k % baby_steps);
    giants.insert(k / baby_steps);
  }
  babies.erase(0);
  giants.erase(0);
  return static_cast<std::int64_t>(babies.size() + giants.size());
}

}  // namespace

LinearTransform LinearTransform::from_matrix(const Encoder& encoder,
                                             kernels::MatrixView<const std::complex<double>> matrix,
                                             const Stream& stream,
                                             const LinearTransformOptions& options) {
  return from_diagonals(encoder, matrix.rows, diagonals_of(matrix), stream, options);
}

LinearTransform LinearTransform::from_matrix(const Encoder& encoder,
                                             kernels::MatrixView<const double> matrix,
                                             const Stream& stream,
                                             const LinearTransformOptions& options) {
  return encoded(encoder, matrix.rows, diagonals_of(matrix), true, stream, options);
}

LinearTransform LinearTransform::from_diagonals(const Encoder& encoder, std::int64_t n,
                                                const Diagonals& diagonals, const Stream& stream,
                                                const LinearTransformOptions& options) {
  return encoded(encoder, n, diagonals, false, stream, options);
}

LinearTransform LinearTransform::encoded(const Encoder& encoder, std::int64_t n,
                                         const Diagonals& diagonals, bool real,
                                         const Stream& stream,
                                         const LinearTransformOptions& options) {
  const std::shared_ptr<const Context>& context = encoder.context();
  const Parameters& parameters = context->parameters();
  check_size(n, *context);
  const int level = options.level == -1 ? parameters.max_level() : options.level;
  if (level < 1 || level > parameters.max_level()) {
    reject("level = " + std::to_string(options.level) + ", expected 1 to " +
           std::to_string(parameters.max_level()) + ", or -1");
  }
  if (!(options.row_bound > 0.0 && std::isfinite(options.row_bound))) {
    reject("row_bound = " + std::to_string(options.row_bound) + ", expected finite and > 0");
  }
  if (diagonals.empty()) reject("every entry is 0: the product would be no encryption of anything");
  std::vector<double> rows(static_cast<std::size_t>(n));
  for (const auto& [k, diagonal] : diagonals) {
    if (k < 0 || k >= n)
      reject("diagonal " + std::to_string(k) + ", expected 0 to " + std::to_string(n - 1));
    if (static_cast<std::int64_t>(diagonal.size()) != n) {
      reject("diagonal " + std::to_string(k) + " has " + std::to_string(diagonal.size()) +
             " entries, expected " + std::to_string(n));
    }
    for (std::size_t j = 0; j < diagonal.size(); ++j) rows[j] += std::abs(diagonal[j]);
  }
  for (std::size_t j = 0; j < rows.size(); ++j) {
    if (!(rows[j] <= options.row_bound * (1.0 + 1e-12))) {
      reject("the magnitudes of row " + std::to_string(j) + " add up to " +
             std::to_string(rows[j]) +
             ", expected at most row_bound = " + std::to_string(options.row_bound) +
             "; give a larger LinearTransformOptions::row_bound");
    }
  }

  std::int64_t baby_steps = 1;
  for (std::int64_t candidate = 2; candidate <= n; candidate *= 2) {
    if (rotation_count(diagonals, candidate) < rotation_count(diagonals, baby_steps))
      baby_steps = candidate;
  }
  LinearTransform transform(context, level, options.row_bound, baby_steps);
  // At the scale of the level's primes, the rescaling gives back the argument's scale.
  const double scale = parameters.level_modulus(level);
  std::vector<std::complex<double>> turned(static_cast<std::size_t>(n));
  for (const auto& [k, diagonal] : diagonals) {
    const std::int64_t giant = k / baby_steps * baby_steps;
    double largest = 0.0;
    for (std::int64_t j = 0; j < n; ++j) {
      turned[static_cast<std::size_t>(j)] =
          diagonal[static_cast<std::size_t>(((j - giant) % n + n) % n)];
      largest = std::max(largest, std::abs(turned[static_cast<std::size_t>(j)]));
    }
    if (largest == 0.0) continue;
    Plaintext plaintext =
        encoder.encode(Span<const std::complex<double>>(turned), stream,
                       {.level = level, .scale = scale, .message_bound = largest});
    if (real) plaintext.declare_real_slots();
    transform.diagonals_[giant].emplace(k - giant, std::move(plaintext));
  }
  return transform;
}

std::vector<std::int64_t> LinearTransform::rotations() const {
  std::set<std::int64_t> steps;
  for (const auto& [giant, babies] : diagonals_) {
    steps.insert(giant);
    for (const auto& [baby, diagonal] : babies) steps.insert(baby);
  }
  steps.erase(0);
  return {steps.begin(), steps.end()};
}

Ciphertext LinearTransform::apply(const Evaluator& evaluator, const Ciphertext& argument,
                                  const GaloisKeys& keys, const Stream& stream) const {
  if (evaluator.context() != context_) reject("the evaluator belongs to another context");
  if (argument.level() != level_) {
    reject("the argument is at level " + std::to_string(argument.level()) + ", expected " +
           std::to_string(level_) +
           "; bring it down with adjust or drop_to_level, or encode the transform at its level");
  }
  const HoistedCiphertext hoisted = evaluator.hoist(argument, stream);
  std::map<std::int64_t, Ciphertext> turned;
  for (const auto& [giant, babies] : diagonals_) {
    for (const auto& [baby, diagonal] : babies) {
      if (turned.count(baby) == 0)
        turned.emplace(baby, evaluator.rotate(hoisted, baby, keys, stream));
    }
  }
  // Every sum below is of a part of the row's products: less than the largest entries of its
  // diagonals add up to.
  const SumOptions row{.message_bound = row_bound_ * argument.noise().message_bound};
  std::vector<Ciphertext> sum;  // none or one
  for (const auto& [giant, babies] : diagonals_) {
    std::vector<Ciphertext> inner;  // none or one
    for (const auto& [baby, diagonal] : babies) {
      const Ciphertext& factor = turned.at(baby);
      if (inner.empty()) {
        inner.push_back(evaluator.multiply_plain(factor, diagonal, stream));
      } else {
        evaluator.multiply_plain_accumulate(factor, diagonal, inner.front(), stream, row);
      }
    }
    Ciphertext rotated = evaluator.rotate(inner.front(), giant, keys, stream);
    if (sum.empty()) {
      sum.push_back(std::move(rotated));
    } else {
      sum.front() = evaluator.add(sum.front(), rotated, stream, row);
    }
  }
  Ciphertext out = evaluator.rescale(sum.front(), stream);
  out.set_scale(argument.scale());
  return out;
}

}  // namespace velum::he
