#include "velum/he/bfv/vector_evaluator.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "vectors.h"

namespace velum::he::bfv {
namespace {

constexpr char kClass[] = "bfv::VectorEvaluator";

[[noreturn]] void reject(const char* function, const std::string& text) {
  throw std::invalid_argument(std::string(kClass) + "::" + function + ": " + text);
}

}  // namespace

VectorEvaluator::VectorEvaluator(const std::shared_ptr<const Context>& context,
                                 std::shared_ptr<const RelinearizationKey> relinearization,
                                 std::shared_ptr<const GaloisKeys> galois)
    : encoder_(context),
      evaluator_(context),
      relinearization_(std::move(relinearization)),
      galois_(std::move(galois)) {}

std::int64_t VectorEvaluator::period(std::int64_t size) const {
  return vectors::period(kClass, context()->parameters(), size);
}

std::vector<std::int64_t> VectorEvaluator::rotation_steps(const Parameters& parameters) {
  return vectors::rotation_steps(parameters);
}

Plaintext VectorEvaluator::encode(Span<const std::int64_t> values, const Stream& stream) const {
  const std::int64_t slots = period(values.size());
  std::vector<std::int64_t> repeated(static_cast<std::size_t>(encoder_.slots()));
  for (std::int64_t begin = 0; begin < encoder_.slots(); begin += slots)
    std::copy(values.begin(), values.end(), repeated.begin() + begin);
  return encoder_.encode(Span<const std::int64_t>(repeated), stream);
}

const GaloisKeys& VectorEvaluator::galois(const char* function) const {
  return vectors::given(kClass, function, galois_, "Galois keys");
}

const Ciphertext& VectorEvaluator::at_level(const Ciphertext& a, int level,
                                            std::optional<Ciphertext>& made,
                                            const Stream& stream) const {
  if (a.size() == 3) {
    made = evaluator_.relinearize(
        a, vectors::given(kClass, "relinearize", relinearization_, "a relinearisation key"),
        stream);
  }
  const Ciphertext& two = made ? *made : a;
  if (two.level() == level) return two;
  made = evaluator_.mod_switch_to(two, level, stream);
  return *made;
}

Ciphertext VectorEvaluator::add(const Ciphertext& a, const Ciphertext& b,
                                const Stream& stream) const {
  const int level = std::min(a.level(), b.level());
  std::optional<Ciphertext> x, y;
  return evaluator_.add(at_level(a, level, x, stream), at_level(b, level, y, stream), stream);
}

Ciphertext VectorEvaluator::subtract(const Ciphertext& a, const Ciphertext& b,
                                     const Stream& stream) const {
  const int level = std::min(a.level(), b.level());
  std::optional<Ciphertext> x, y;
  return evaluator_.subtract(at_level(a, level, x, stream), at_level(b, level, y, stream), stream);
}

Ciphertext VectorEvaluator::negate(const Ciphertext& a, const Stream& stream) const {
  std::optional<Ciphertext> x;
  return evaluator_.negate(at_level(a, a.level(), x, stream), stream);
}

Ciphertext VectorEvaluator::add_plain(const Ciphertext& a, Span<const std::int64_t> values,
                                      const Stream& stream) const {
  std::optional<Ciphertext> x;
  return evaluator_.add_plain(at_level(a, a.level(), x, stream), encode(values, stream), stream);
}

Ciphertext VectorEvaluator::multiply(const Ciphertext& a, const Ciphertext& b,
                                     const Stream& stream) const {
  const int level = std::min(a.level(), b.level());
  std::optional<Ciphertext> x, y, product;
  const Ciphertext& left = at_level(a, level, x, stream);
  const Ciphertext three = &a == &b
                               ? evaluator_.square(left, stream)
                               : evaluator_.multiply(left, at_level(b, level, y, stream), stream);
  at_level(three, level, product, stream);
  return std::move(*product);
}

Ciphertext VectorEvaluator::multiply_plain(const Ciphertext& a, Span<const std::int64_t> values,
                                           const Stream& stream) const {
  std::optional<Ciphertext> x;
  return evaluator_.multiply_plain(at_level(a, a.level(), x, stream), encode(values, stream),
                                   stream);
}

Ciphertext VectorEvaluator::multiply_integer(const Ciphertext& a, std::int64_t factor,
                                             const Stream& stream) const {
  std::optional<Ciphertext> x;
  return evaluator_.multiply_integer(at_level(a, a.level(), x, stream), factor, stream);
}

Ciphertext VectorEvaluator::weighted_sum(const std::vector<const Ciphertext*>& terms,
                                         Span<const std::int64_t> weights,
                                         const Stream& stream) const {
  vectors::check_terms(kClass, terms, weights);
  int level = context()->parameters().max_level();
  for (const Ciphertext* term : terms) level = std::min(level, term->level());
  std::optional<Ciphertext> sum;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const std::int64_t weight = weights[static_cast<std::int64_t>(i)];
    if (weight == 0) continue;
    std::optional<Ciphertext> x;
    Ciphertext product =
        evaluator_.multiply_integer(at_level(*terms[i], level, x, stream), weight, stream);
    sum = sum ? evaluator_.add(*sum, product, stream) : std::move(product);
  }
  return std::move(*sum);
}

Ciphertext VectorEvaluator::turned(const Ciphertext& a, std::int64_t steps,
                                   const Stream& stream) const {
  return evaluator_.rotate_rows(a, steps, galois("rotate"), stream);
}

Ciphertext VectorEvaluator::rotate(const Ciphertext& a, std::int64_t steps, std::int64_t size,
                                   const Stream& stream) const {
  vectors::check_goes_around(kClass, size, period(size));
  std::optional<Ciphertext> x;
  const Ciphertext& whole = at_level(a, a.level(), x, stream);
  return vectors::rotated(
      whole, steps, size, context()->parameters().log_n(), galois("rotate"),
      [&](const Ciphertext& c, std::int64_t by) { return turned(c, by, stream); },
      [&] { return whole.copy(stream); });
}

Ciphertext VectorEvaluator::sum(const Ciphertext& a, std::int64_t size,
                                const Stream& stream) const {
  const std::int64_t slots = period(size);
  std::optional<Ciphertext> x;
  Ciphertext total = at_level(a, a.level(), x, stream).copy(stream);
  for (std::int64_t step = 1; step < slots; step *= 2)
    total = evaluator_.add(total, turned(total, step, stream), stream);
  return total;
}

Ciphertext VectorEvaluator::multiply_diagonals(const Ciphertext& a, std::int64_t rows,
                                               std::int64_t cols, const DiagonalOf& diagonal,
                                               const Stream& stream) const {
  const std::int64_t in = period(rows), out = period(cols);
  std::optional<Ciphertext> x;
  const Ciphertext& argument = at_level(a, a.level(), x, stream);
  std::optional<Ciphertext> sum = vectors::sum_of_diagonals(
      argument, std::min(in, out),
      [&](const Ciphertext& c, std::int64_t steps) { return turned(c, steps, stream); }, diagonal,
      [&](const Plaintext& plain, const Ciphertext& factor, std::optional<Ciphertext>& total) {
        Ciphertext product = evaluator_.multiply_plain(factor, plain, stream);
        total = total ? evaluator_.add(*total, product, stream) : std::move(product);
      });
  if (!sum) {
    reject("multiply_matrix", "every entry is 0: the product would be no encryption of anything");
  }
  Ciphertext result = std::move(*sum);
  for (std::int64_t step = out; step < in; step *= 2)
    result = evaluator_.add(result, turned(result, step, stream), stream);
  return result;
}

Ciphertext VectorEvaluator::multiply_matrix(const Ciphertext& a,
                                            kernels::MatrixView<const std::int64_t> matrix,
                                            const Stream& stream) const {
  const vectors::Diagonals<std::int64_t> diagonals(matrix, period(matrix.rows),
                                                   period(matrix.cols));
  std::optional<Plaintext> plain;  // one at a time
  return multiply_diagonals(
      a, matrix.rows, matrix.cols,
      [&](std::int64_t k, std::int64_t giant) {
        plain = vectors::encoded_diagonal(
            diagonals, k, giant,
            [&](Span<const std::int64_t> values) { return encode(values, stream); });
        return plain ? &*plain : nullptr;
      },
      stream);
}

EncodedMatrix VectorEvaluator::encode_matrix(kernels::MatrixView<const std::int64_t> matrix,
                                             const Stream& stream) const {
  const vectors::Diagonals<std::int64_t> diagonals(matrix, period(matrix.rows),
                                                   period(matrix.cols));
  EncodedMatrix encoded(matrix.rows, matrix.cols);
  encoded.diagonals_ = vectors::encoded_diagonals(
      diagonals, [&](Span<const std::int64_t> values) { return encode(values, stream); });
  return encoded;
}

Ciphertext VectorEvaluator::multiply_matrix(const Ciphertext& a, const EncodedMatrix& matrix,
                                            const Stream& stream) const {
  return multiply_diagonals(
      a, matrix.rows_, matrix.cols_,
      [&](std::int64_t k, std::int64_t /*giant*/) {
        const std::optional<Plaintext>& plain = matrix.diagonals_[static_cast<std::size_t>(k)];
        return plain ? &*plain : nullptr;
      },
      stream);
}

}  // namespace velum::he::bfv
