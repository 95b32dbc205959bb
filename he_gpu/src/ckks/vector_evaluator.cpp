#include "velum/he/ckks/vector_evaluator.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "ckks/format_number.h"
#include "ckks/scales.h"
#include "vectors.h"

namespace velum::he {
namespace {

constexpr char kClass[] = "VectorEvaluator";
constexpr char kMatrix[] = "multiply_matrix";

[[noreturn]] void reject(const char* function, const std::string& text) {
  vectors::reject(kClass, function, text);
}

/// An integer that a double holds and `multiply_integer` takes.
bool is_small_integer(double x) { return std::abs(x) < 0x1p53 && std::nearbyint(x) == x; }

/// The smallest power of two >= x, at least the smallest normal number.
double power_of_two_above(double x) {
  int exponent = 0;
  const double mantissa = std::frexp(std::max(x, 0x1p-1000), &exponent);
  return std::ldexp(1.0, mantissa == 0.5 ? exponent - 1 : exponent);
}

/// What the options say of an operand whose largest magnitude is this.
double bound_of(const char* function, double largest, const PlainOptions& options) {
  if (!std::isfinite(largest)) reject(function, "a number is not finite, or their sum is not");
  if (!(options.message_bound >= 0.0 && std::isfinite(options.message_bound))) {
    reject(function, "PlainOptions::message_bound = " + format_number(options.message_bound) +
                         ", expected finite and > 0, or 0");
  }
  if (options.message_bound == 0.0) return largest == 0.0 ? 1.0 : power_of_two_above(largest);
  if (largest > options.message_bound * (1.0 + 1e-12)) {
    reject(function,
           "a magnitude of " + format_number(largest) +
               ", expected at most message_bound = " + format_number(options.message_bound) +
               "; give a larger PlainOptions::message_bound");
  }
  return options.message_bound;
}

/// NaN if one of them is.
double largest_of(Span<const double> values) {
  double largest = 0.0;
  for (const double x : values) {
    if (std::isnan(x)) return x;
    largest = std::max(largest, std::abs(x));
  }
  return largest;
}

/// The power of two by which a factor is divided before it is rounded to a multiple of 1/scale, so
/// that the multiple fits 62 bits; it is exact afterwards.
std::int64_t exact_part(const char* function, double largest, double scale) {
  int exponent = 0;
  std::frexp(largest * scale, &exponent);
  const int bits = std::max(0, exponent - 61);
  if (bits > 61) reject(function, "a factor of " + format_number(largest) + " is too large");
  return std::int64_t{1} << bits;
}

}  // namespace

VectorEvaluator::VectorEvaluator(const std::shared_ptr<const Context>& context,
                                 std::shared_ptr<const RelinearizationKey> relinearization,
                                 std::shared_ptr<const GaloisKeys> galois)
    : encoder_(context != nullptr
                   ? context
                   : throw std::invalid_argument("VectorEvaluator: context is null")),
      evaluator_(context),
      relinearization_(std::move(relinearization)),
      galois_(std::move(galois)) {}

std::int64_t VectorEvaluator::period(std::int64_t size) const {
  return vectors::period(kClass, parameters(), size);
}

std::vector<std::int64_t> VectorEvaluator::rotation_steps(const Parameters& parameters) {
  return vectors::rotation_steps(parameters);
}

const GaloisKeys& VectorEvaluator::galois(const char* function) const {
  return vectors::given(kClass, function, galois_, "Galois keys");
}

const RelinearizationKey& VectorEvaluator::relinearization(const char* function) const {
  return vectors::given(kClass, function, relinearization_, "a relinearisation key");
}

const Ciphertext& VectorEvaluator::relinearized(const char* function, const Ciphertext& a,
                                                std::optional<Ciphertext>& made,
                                                const Stream& stream) const {
  if (a.size() == 2) return a;
  return made.emplace(evaluator_.relinearize(a, relinearization(function), stream));
}

int VectorEvaluator::settled_level(const char* function, const Ciphertext& a, int lowest) const {
  if (!(a.context()->parameters() == parameters()))
    reject(function, "the ciphertext is of other parameters");
  const bool own = scales_match(a.scale(), parameters().scale(a.level()));
  const int level = own ? a.level() : a.level() - 1;
  if (level < lowest) {
    reject(function, "the ciphertext is at level " + std::to_string(a.level()) +
                         (own ? std::string() : " with another scale than that of the level") +
                         ", and the operation needs " + std::to_string(lowest + (own ? 0 : 1)) +
                         "; take parameters with more depth");
  }
  return level;
}

const Ciphertext& VectorEvaluator::settled(const char* function, const Ciphertext& a, int level,
                                           std::optional<Ciphertext>& made,
                                           const Stream& stream) const {
  std::optional<Ciphertext> two;
  const Ciphertext& short_form = relinearized(function, a, two, stream);
  if (level == a.level()) {
    if (!two) return a;
    return made.emplace(std::move(*two));
  }
  return made.emplace(evaluator_.adjust(short_form, level, parameters().scale(level), stream));
}

Plaintext VectorEvaluator::encode_at(Span<const double> values, double message_bound, int level,
                                     const Stream& stream) const {
  const std::int64_t slots = period(values.size());
  const EncodeOptions options{.level = level, .message_bound = message_bound};
  if (slots == values.size()) return encoder_.encode(values, stream, options);
  std::vector<double> padded(values.begin(), values.end());
  padded.resize(static_cast<std::size_t>(slots));
  return encoder_.encode(Span<const double>(padded), stream, options);
}

Plaintext VectorEvaluator::encode(Span<const double> values, double message_bound,
                                  const Stream& stream) const {
  return encode_at(values, message_bound, parameters().max_level(), stream);
}

void VectorEvaluator::decode(const Plaintext& plaintext, Span<double> values,
                             const Stream& stream) const {
  const std::int64_t slots = period(values.size());
  if (slots == values.size()) {
    encoder_.decode(plaintext, values, stream);
    return;
  }
  std::vector<double> padded(static_cast<std::size_t>(slots));
  encoder_.decode(plaintext, Span<double>(padded), stream);
  std::copy(padded.begin(), padded.begin() + values.size(), values.begin());
}

Ciphertext VectorEvaluator::rescaled(const Ciphertext& product, const Stream& stream) const {
  Ciphertext out = evaluator_.rescale(product, stream);
  out.set_scale(parameters().scale(out.level()));  // the same, by the definition of both
  return out;
}

Ciphertext VectorEvaluator::add(const Ciphertext& a, const Ciphertext& b, const Stream& stream,
                                const SumOptions& options) const {
  const int level = std::min(settled_level("add", a, 0), settled_level("add", b, 0));
  std::optional<Ciphertext> x, y;
  return evaluator_.add(settled("add", a, level, x, stream), settled("add", b, level, y, stream),
                        stream, options);
}

Ciphertext VectorEvaluator::subtract(const Ciphertext& a, const Ciphertext& b, const Stream& stream,
                                     const SumOptions& options) const {
  const int level = std::min(settled_level("subtract", a, 0), settled_level("subtract", b, 0));
  std::optional<Ciphertext> x, y;
  return evaluator_.subtract(settled("subtract", a, level, x, stream),
                             settled("subtract", b, level, y, stream), stream, options);
}

Ciphertext VectorEvaluator::negate(const Ciphertext& a, const Stream& stream) const {
  std::optional<Ciphertext> x;
  return evaluator_.negate(settled("negate", a, settled_level("negate", a, 0), x, stream), stream);
}

Ciphertext VectorEvaluator::add_plain(const Ciphertext& a, Span<const double> values,
                                      const Stream& stream, const PlainOptions& options) const {
  const double bound = bound_of("add_plain", largest_of(values), options);
  const int level = settled_level("add_plain", a, 0);
  std::optional<Ciphertext> x;
  return evaluator_.add_plain(settled("add_plain", a, level, x, stream),
                              encode_at(values, bound, level, stream), stream);
}

Ciphertext VectorEvaluator::multiply(const Ciphertext& a, const Ciphertext& b,
                                     const Stream& stream) const {
  const int level = std::min(settled_level("multiply", a, 1), settled_level("multiply", b, 1));
  std::optional<Ciphertext> x, y, product;
  const Ciphertext& left = settled("multiply", a, level, x, stream);
  const Ciphertext three =
      &a == &b ? evaluator_.square(left, stream)
               : evaluator_.multiply(left, settled("multiply", b, level, y, stream), stream);
  return rescaled(relinearized("multiply", three, product, stream), stream);
}

Ciphertext VectorEvaluator::multiply_plain(const Ciphertext& a, Span<const double> values,
                                           const Stream& stream,
                                           const PlainOptions& options) const {
  const double bound = bound_of("multiply_plain", largest_of(values), options);
  const int level = settled_level("multiply_plain", a, 1);
  std::optional<Ciphertext> x;
  return rescaled(evaluator_.multiply_plain(settled("multiply_plain", a, level, x, stream),
                                            encode_at(values, bound, level, stream), stream),
                  stream);
}

Ciphertext VectorEvaluator::multiply_constant(const Ciphertext& a, double value,
                                              const Stream& stream) const {
  constexpr const char* kName = "multiply_constant";
  if (!std::isfinite(value)) reject(kName, "value = " + format_number(value) + ", expected finite");
  std::optional<Ciphertext> x;
  if (is_small_integer(value)) {
    return evaluator_.multiply_integer(settled(kName, a, settled_level(kName, a, 0), x, stream),
                                       static_cast<std::int64_t>(value), stream);
  }
  const int level = settled_level(kName, a, 1);
  const double scale = parameters().scale(level);
  const std::int64_t exact = exact_part(kName, std::abs(value), scale);
  const Ciphertext out =
      rescaled(evaluator_.multiply_constant(settled(kName, a, level, x, stream),
                                            value / static_cast<double>(exact), scale, stream),
               stream);
  return exact == 1 ? out.copy(stream) : evaluator_.multiply_integer(out, exact, stream);
}

Ciphertext VectorEvaluator::weighted_sum(const std::vector<const Ciphertext*>& terms,
                                         Span<const double> weights, const Stream& stream,
                                         const PlainOptions& options) const {
  constexpr const char* kName = "weighted_sum";
  vectors::check_terms(kClass, terms, weights);
  double sum_of_weights = 0.0;
  bool integers = true;
  for (const double weight : weights) {
    sum_of_weights += std::abs(weight);
    integers = integers && is_small_integer(weight);
  }
  const double bound = bound_of(kName, sum_of_weights, options);
  int level = parameters().max_level();
  double message_bound = 0.0;
  for (const Ciphertext* term : terms) {
    level = std::min(level, settled_level(kName, *term, integers ? 0 : 1));
    message_bound = std::max(message_bound, term->noise().message_bound);
  }
  const double scale = parameters().scale(level);
  const std::int64_t exact = integers ? 1 : exact_part(kName, largest_of(weights), scale);
  // Every sum below is of some of the terms.
  const SumOptions part{.message_bound = bound * message_bound / static_cast<double>(exact)};
  std::optional<Ciphertext> sum;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const double weight = weights[static_cast<std::int64_t>(i)];
    if (weight == 0.0) continue;
    std::optional<Ciphertext> x;
    const Ciphertext& term = settled(kName, *terms[i], level, x, stream);
    Ciphertext product =
        integers ? evaluator_.multiply_integer(term, static_cast<std::int64_t>(weight), stream)
                 : evaluator_.multiply_constant(term, weight / static_cast<double>(exact), scale,
                                                stream);
    sum = sum ? evaluator_.add(*sum, product, stream, part) : std::move(product);
  }
  if (integers) return std::move(*sum);
  Ciphertext out = rescaled(*sum, stream);
  return exact == 1 ? std::move(out) : evaluator_.multiply_integer(out, exact, stream);
}

Ciphertext VectorEvaluator::turned(const Ciphertext& a, std::int64_t steps,
                                   const Stream& stream) const {
  return evaluator_.rotate(a, steps, galois("rotate"), stream);
}

Ciphertext VectorEvaluator::rotate(const Ciphertext& a, std::int64_t steps, std::int64_t size,
                                   const Stream& stream) const {
  vectors::check_goes_around(kClass, size, period(size));
  std::optional<Ciphertext> x;
  const Ciphertext& whole = settled("rotate", a, settled_level("rotate", a, 0), x, stream);
  return vectors::rotated(
      whole, steps, size, parameters().log_n(), galois("rotate"),
      [&](const Ciphertext& c, std::int64_t by) { return turned(c, by, stream); },
      [&] { return whole.copy(stream); });
}

Ciphertext VectorEvaluator::sum(const Ciphertext& a, std::int64_t size, const Stream& stream,
                                const SumOptions& options) const {
  const std::int64_t slots = period(size);
  std::optional<Ciphertext> x;
  const Ciphertext& whole = settled("sum", a, settled_level("sum", a, 0), x, stream);
  // Slots beyond the vector are zero: no more than its numbers add up.
  SumOptions known = options;
  if (known.message_bound == 0.0)
    known.message_bound = static_cast<double>(size) * a.noise().message_bound;
  return evaluator_.sum_slots(whole, slots, galois("sum"), stream, known);
}

double VectorEvaluator::column_bound(kernels::MatrixView<const double> matrix,
                                     const PlainOptions& options) const {
  std::vector<double> columns(static_cast<std::size_t>(matrix.cols));
  for (std::int64_t i = 0; i < matrix.rows; ++i) {
    for (std::int64_t j = 0; j < matrix.cols; ++j)
      columns[static_cast<std::size_t>(j)] += std::abs(matrix(i, j));
  }
  return bound_of(kMatrix, largest_of(Span<const double>(columns)), options);
}

Ciphertext VectorEvaluator::multiply_diagonals(const Ciphertext& a, std::int64_t rows,
                                               std::int64_t cols, int level, double bound,
                                               const DiagonalOf& diagonal,
                                               const Stream& stream) const {
  const std::int64_t in = period(rows), out = period(cols);
  std::optional<Ciphertext> x;
  const Ciphertext& argument = settled(kMatrix, a, level, x, stream);
  // Every sum below is of some of the products of one column.
  const SumOptions part{.message_bound = bound * argument.noise().message_bound};
  std::optional<Ciphertext> sum = vectors::sum_of_diagonals(
      argument, std::min(in, out),
      [&](const Ciphertext& c, std::int64_t steps) { return turned(c, steps, stream); }, diagonal,
      [&](const Plaintext& plain, const Ciphertext& factor, std::optional<Ciphertext>& total) {
        if (total) {
          evaluator_.multiply_plain_accumulate(factor, plain, *total, stream, part);
        } else {
          total = evaluator_.multiply_plain(factor, plain, stream);
        }
      });
  if (!sum) reject(kMatrix, "every entry is 0: the product would be no encryption of anything");
  Ciphertext result = rescaled(*sum, stream);
  for (std::int64_t step = out; step < in; step *= 2)
    result = evaluator_.add(result, turned(result, step, stream), stream, part);
  return result;
}

Ciphertext VectorEvaluator::multiply_matrix(const Ciphertext& a,
                                            kernels::MatrixView<const double> matrix,
                                            const Stream& stream,
                                            const PlainOptions& options) const {
  const vectors::Diagonals<double> diagonals(matrix, period(matrix.rows), period(matrix.cols));
  const double bound = column_bound(matrix, options);
  const int level = settled_level(kMatrix, a, 1);
  std::optional<Plaintext> plain;  // one at a time
  return multiply_diagonals(
      a, matrix.rows, matrix.cols, level, bound,
      [&](std::int64_t k, std::int64_t giant) {
        plain = vectors::encoded_diagonal(diagonals, k, giant, [&](Span<const double> values) {
          return encode_at(values, power_of_two_above(largest_of(values)), level, stream);
        });
        return plain ? &*plain : nullptr;
      },
      stream);
}

EncodedMatrix VectorEvaluator::encode_matrix(kernels::MatrixView<const double> matrix,
                                             const Stream& stream, const PlainOptions& options,
                                             int level) const {
  const int highest = parameters().max_level();
  if (level != -1 && (level < 1 || level > highest)) {
    reject("encode_matrix", "level = " + std::to_string(level) + ", expected 1 to " +
                                std::to_string(highest) + ", or -1 for the highest");
  }
  const vectors::Diagonals<double> diagonals(matrix, period(matrix.rows), period(matrix.cols));
  EncodedMatrix encoded(matrix.rows, matrix.cols, level == -1 ? highest : level,
                        column_bound(matrix, options));
  encoded.context_ = context();
  encoded.diagonals_ = vectors::encoded_diagonals(diagonals, [&](Span<const double> values) {
    return encode_at(values, power_of_two_above(largest_of(values)), encoded.level_, stream);
  });
  return encoded;
}

Ciphertext VectorEvaluator::multiply_matrix(const Ciphertext& a, const EncodedMatrix& matrix,
                                            const Stream& stream) const {
  if (!(matrix.context_->parameters() == parameters()))
    reject(kMatrix, "the matrix is of other parameters");
  const int level = settled_level(kMatrix, a, 1);
  if (level < matrix.level_) {
    reject(kMatrix, "the matrix is encoded at level " + std::to_string(matrix.level_) +
                        " and the vector at level " + std::to_string(level) +
                        "; encode it at that level");
  }
  return multiply_diagonals(
      a, matrix.rows_, matrix.cols_, matrix.level_, matrix.message_bound_,
      [&](std::int64_t k, std::int64_t /*giant*/) {
        const std::optional<Plaintext>& plain = matrix.diagonals_[static_cast<std::size_t>(k)];
        return plain ? &*plain : nullptr;
      },
      stream);
}

Ciphertext VectorEvaluator::evaluate(const Ciphertext& a, std::int64_t size,
                                     const Polynomial& polynomial, const Stream& stream) const {
  constexpr const char* kName = "evaluate";
  const std::int64_t slots = period(size);
  std::optional<Ciphertext> x;
  const Ciphertext& argument = settled(kName, a, settled_level(kName, a, 0), x, stream);
  Ciphertext out = he::evaluate(evaluator_, argument, polynomial, relinearization(kName), stream);
  const double at_zero = polynomial(0.0);
  if (slots == size || at_zero == 0.0) return out;
  // Zero beyond the vector again; its numbers stay, and so does their bound.
  std::vector<double> beyond(static_cast<std::size_t>(slots));
  std::fill(beyond.begin() + size, beyond.end(), at_zero);
  return evaluator_.subtract_plain(
      out, encode_at(Span<const double>(beyond), std::abs(at_zero), out.level(), stream), stream,
      {.message_bound = out.noise().message_bound});
}

}  // namespace velum::he
