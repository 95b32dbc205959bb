#include "velum/he/ckks/polynomial.h"

#include <cmath>
#include <map>
#include <numbers>
#include <stdexcept>
#include <string>
#include <utility>

#include "ckks/format_number.h"
#include "noise.h"

namespace velum::he {
namespace {

constexpr int kLargestDegree = 1023;

[[noreturn]] void reject(const std::string& text) {
  throw std::invalid_argument("evaluate: " + text);
}

/// The least k with 2^k >= value.
int ceil_log2(int value) {
  int k = 0;
  while ((1 << k) < value) ++k;
  return k;
}

int degree_of(const std::vector<double>& coefficients) {
  int degree = static_cast<int>(coefficients.size()) - 1;
  while (degree > 0 && coefficients[static_cast<std::size_t>(degree)] == 0.0) --degree;
  return degree;
}

/// The same with a bound of its message that is known beside what the operations say.
Ciphertext bounded(Ciphertext a, double bound) {
  if (bound < a.noise().message_bound)
    a.set_noise(noise::with_message_bound(a.noise(), bound), a.history());
  return a;
}

/// bounds[i]: no slot of x^i or T_i is above it where none of x is above r; docs/noise.md.
std::vector<double> bounds_of_powers(Polynomial::Basis basis, MessageForm form, double r,
                                     int degree) {
  std::vector<double> bounds{1.0, r};
  for (int i = 2; i <= degree; ++i) {
    const double last = bounds.back(), before = bounds[bounds.size() - 2];
    if (basis == Polynomial::Basis::kMonomial) {
      bounds.push_back(r * last);
    } else if (form != MessageForm::kRealSlots) {  // |T_i(i r)|
      bounds.push_back(2.0 * r * last + before);
    } else {  // T_i(r) = cosh(i arcosh r) where r is above 1, if only by rounding
      bounds.push_back(r <= 1.0 ? 1.0 : std::cosh(i * std::sqrt(2.0 * (r - 1.0))));
    }
  }
  return bounds;
}

/// sum_i |coefficients[i]| bounds[i].
double bound_of(const std::vector<double>& coefficients, const std::vector<double>& bounds) {
  double sum = 0.0;
  for (std::size_t i = 0; i < coefficients.size(); ++i) {
    if (coefficients[i] != 0.0) sum += std::abs(coefficients[i]) * bounds[i];
  }
  return sum;
}

/// Evaluates parts of one polynomial at one argument.
class Tree {
 public:
  /// @param bounds  as of `bounds_of_powers`, up to the largest degree.
  Tree(const Evaluator& evaluator, Ciphertext x, Polynomial::Basis basis,
       std::vector<double> bounds, const RelinearizationKey& key, const Stream& stream)
      : evaluator_(evaluator),
        parameters_(evaluator.context()->parameters()),
        chebyshev_(basis == Polynomial::Basis::kChebyshev),
        bounds_(std::move(bounds)),
        key_(key),
        stream_(stream),
        top_(x.level()) {
    powers_.emplace(1, std::move(x));
  }

  /// sum_i coefficients[i] x^i (or T_i) at this level and scale.
  Ciphertext evaluate(const std::vector<double>& coefficients, int level, double scale) {
    const int degree = degree_of(coefficients);
    if (degree == 0) throw std::logic_error("evaluate: a constant is no ciphertext");
    // A sum of powers needs each of them one level higher.
    if (top_ - ceil_log2(degree) >= level + 1 && degree < baby_limit_)
      return sum(coefficients, degree, level, scale);
    int giant = 1;
    while (2 * giant <= degree) giant *= 2;
    const auto parts = divide(coefficients, degree, giant);
    const std::vector<double>& quotient = parts.first;
    const std::vector<double>& remainder = parts.second;
    const Ciphertext& power = this->power(giant);
    const double modulus = parameters_.level_modulus(level + 1);
    const Ciphertext factor = evaluator_.drop_to_level(power, level + 1, stream_);
    Ciphertext result = [&] {
      if (degree_of(quotient) == 0) {
        return times(factor, quotient.front(), scale * modulus);
      }
      const Ciphertext part = evaluate(quotient, level + 1, scale * modulus / factor.scale());
      Ciphertext product =
          evaluator_.relinearize(evaluator_.multiply(part, factor, stream_), key_, stream_);
      product.set_scale(scale * modulus);
      return product;
    }();
    result = evaluator_.rescale(result, stream_);
    result.set_scale(scale);
    // Quotient and remainder may be larger than the polynomial that they make.
    const SumOptions whole{.message_bound = bound_of(coefficients, bounds_)};
    if (degree_of(remainder) > 0) {
      result = evaluator_.add(result, evaluate(remainder, level, scale), stream_, whole);
    } else if (remainder.front() != 0.0) {
      result = evaluator_.add_constant(result, remainder.front(), stream_, whole);
    }
    return bounded(std::move(result), whole.message_bound);
  }

  void set_baby_limit(int limit) { baby_limit_ = limit; }

 private:
  /// c times a power, at exactly this scale.
  Ciphertext times(const Ciphertext& power, double c, double scale) {
    Ciphertext out = evaluator_.multiply_constant(power, c, scale / power.scale(), stream_);
    out.set_scale(scale);
    return out;
  }

  Ciphertext sum(const std::vector<double>& coefficients, int degree, int level, double scale) {
    const double before = scale * parameters_.level_modulus(level + 1);
    std::vector<Ciphertext> total;  // none or one
    for (int i = 1; i <= degree; ++i) {
      const double c = coefficients[static_cast<std::size_t>(i)];
      if (c == 0.0) continue;
      Ciphertext term = times(evaluator_.drop_to_level(power(i), level + 1, stream_), c, before);
      if (total.empty()) {
        total.push_back(std::move(term));
      } else {
        total.front() = evaluator_.add(total.front(), term, stream_);
      }
    }
    Ciphertext out = evaluator_.rescale(total.front(), stream_);
    out.set_scale(scale);
    if (coefficients.front() != 0.0)
      out = evaluator_.add_constant(out, coefficients.front(), stream_);
    return out;
  }

  /// p = quotient * x^giant + remainder, degrees of both below giant.
  std::pair<std::vector<double>, std::vector<double>> divide(const std::vector<double>& p,
                                                             int degree, int giant) const {
    const auto at = [](int i) { return static_cast<std::size_t>(i); };
    std::vector<double> quotient(at(degree - giant + 1)), remainder(p.begin(), p.begin() + giant);
    for (int i = giant; i <= degree; ++i) {
      if (!chebyshev_ || i == giant) {
        quotient[at(i - giant)] += p[at(i)];
      } else {  // T_i = 2 T_(i-g) T_g - T_|2g-i|, and i < 2g
        quotient[at(i - giant)] += 2.0 * p[at(i)];
        remainder[at(2 * giant - i)] -= p[at(i)];
      }
    }
    return {std::move(quotient), std::move(remainder)};
  }

  /// x^i or T_i, ceil(log2 i) levels below the argument.
  const Ciphertext& power(int i) {
    if (const auto found = powers_.find(i); found != powers_.end()) return found->second;
    const int a = (i + 1) / 2, b = i / 2;
    const Ciphertext& high = power(a);
    const int level = top_ - ceil_log2(i) + 1;  // of the factors
    const Ciphertext left = brought(high, level), right = brought(power(b), level);
    Ciphertext product = evaluator_.rescale(
        evaluator_.relinearize(
            a == b ? evaluator_.square(left, stream_) : evaluator_.multiply(left, right, stream_),
            key_, stream_),
        stream_);
    if (chebyshev_) {  // 2 T_a T_b - T_(a-b)
      const SumOptions whole{.message_bound = bounds_[static_cast<std::size_t>(i)]};
      product = evaluator_.multiply_integer(product, 2, stream_);
      product = a == b ? evaluator_.add_constant(product, -1.0, stream_, whole)
                       : evaluator_.subtract(product,
                                             evaluator_.adjust(powers_.at(1), product.level(),
                                                               product.scale(), stream_),
                                             stream_, whole);
    }
    return powers_.emplace(i, std::move(product)).first->second;
  }

  /// At this level and its own scale of `Parameters::scale`.
  Ciphertext brought(const Ciphertext& power, int level) {
    if (power.level() == level) return power.copy(stream_);
    return evaluator_.adjust(power, level, parameters_.scale(level), stream_);
  }

  const Evaluator& evaluator_;
  const Parameters& parameters_;
  bool chebyshev_;
  std::vector<double> bounds_;
  const RelinearizationKey& key_;
  Stream stream_;
  int top_;
  int baby_limit_ = 2;
  std::map<int, Ciphertext> powers_;
};

}  // namespace

int Polynomial::degree() const { return coefficients.empty() ? 0 : degree_of(coefficients); }

double Polynomial::operator()(double x) const {
  if (basis == Basis::kMonomial) {
    double sum = 0.0;
    for (std::size_t i = coefficients.size(); i-- > 0;) sum = sum * x + coefficients[i];
    return sum;
  }
  // Clenshaw's recurrence.
  const double y = x / bound;
  double next = 0.0, after = 0.0;
  for (std::size_t i = coefficients.size(); i-- > 1;) {
    const double now = coefficients[i] + 2.0 * y * next - after;
    after = next;
    next = now;
  }
  return coefficients.empty() ? 0.0 : coefficients[0] + y * next - after;
}

Polynomial Polynomial::chebyshev(const std::function<double(double)>& f, double bound, int degree) {
  if (degree < 0 || degree > kLargestDegree) {
    throw std::invalid_argument("Polynomial::chebyshev: degree = " + std::to_string(degree) +
                                ", expected 0 to " + std::to_string(kLargestDegree));
  }
  if (!(bound > 0.0 && std::isfinite(bound))) {
    throw std::invalid_argument("Polynomial::chebyshev: bound = " + std::to_string(bound) +
                                ", expected finite and > 0");
  }
  const int points = degree + 1;
  const auto angle = [&](int k) { return std::numbers::pi * (k + 0.5) / points; };
  std::vector<double> values;
  for (int k = 0; k < points; ++k) {
    const double x = bound * std::cos(angle(k));
    values.push_back(f(x));
    if (!std::isfinite(values.back())) {
      throw std::invalid_argument("Polynomial::chebyshev: f(" + std::to_string(x) +
                                  ") is not finite");
    }
  }
  Polynomial polynomial{Basis::kChebyshev, {}, bound};
  for (int i = 0; i < points; ++i) {
    double sum = 0.0;
    for (int k = 0; k < points; ++k)
      sum += values[static_cast<std::size_t>(k)] * std::cos(i * angle(k));
    polynomial.coefficients.push_back((i == 0 ? 1.0 : 2.0) * sum / points);
  }
  return polynomial;
}

int polynomial_depth(const Polynomial& polynomial) {
  const bool scaled = polynomial.basis == Polynomial::Basis::kChebyshev && polynomial.bound != 1.0;
  return ceil_log2(polynomial.degree() + 1) + (scaled ? 1 : 0);
}

Ciphertext evaluate(const Evaluator& evaluator, const Ciphertext& argument,
                    const Polynomial& polynomial, const RelinearizationKey& key,
                    const Stream& stream) {
  const bool chebyshev = polynomial.basis == Polynomial::Basis::kChebyshev;
  if (polynomial.coefficients.empty()) reject("the polynomial has no coefficients");
  for (std::size_t i = 0; i < polynomial.coefficients.size(); ++i) {
    if (!std::isfinite(polynomial.coefficients[i])) {
      reject("coefficient " + std::to_string(i) + " is " +
             std::to_string(polynomial.coefficients[i]) + ", expected a finite number");
    }
  }
  const int degree = polynomial.degree();
  if (degree == 0 || degree > kLargestDegree) {
    reject("the degree is " + std::to_string(degree) + ", expected 1 to " +
           std::to_string(kLargestDegree));
  }
  const int depth = polynomial_depth(polynomial);
  if (argument.level() < depth) {
    reject("degree " + std::to_string(degree) + " needs " + std::to_string(depth) +
           " levels, the argument is at level " + std::to_string(argument.level()));
  }
  if (argument.size() != 2) {
    reject("the argument has " + std::to_string(argument.size()) +
           " polynomials, expected 2; relinearize first");
  }
  if (chebyshev && !(argument.noise().message_bound <= polynomial.bound * (1.0 + 1e-12))) {
    reject("the argument's message_bound = " + std::to_string(argument.noise().message_bound) +
           ", expected at most the polynomial's bound = " + std::to_string(polynomial.bound));
  }
  const Parameters& parameters = evaluator.context()->parameters();
  Ciphertext x = argument.copy(stream);
  if (chebyshev && polynomial.bound != 1.0) {
    x = evaluator.rescale(evaluator.multiply_constant(x, 1.0 / polynomial.bound,
                                                      parameters.level_modulus(x.level()), stream),
                          stream);
    x = bounded(std::move(x), 1.0);
  }
  const int levels = ceil_log2(degree + 1);
  const int level = x.level() - levels;
  const NoiseEstimate known = x.noise();
  std::vector<double> bounds =
      bounds_of_powers(polynomial.basis, known.form, known.message_bound, degree);
  const double value = bound_of(polynomial.coefficients, bounds), scale = parameters.scale(level);
  if (!(std::log2(value) + std::log2(scale) + 1.0 < parameters.log_q(level))) {
    const bool complex = chebyshev && known.form != MessageForm::kRealSlots;
    reject("a value of up to " + format_number(value) + " at scale 2^" +
           format_number(std::log2(scale)) + " does not fit the modulus of 2^" +
           std::to_string(parameters.log_q(level)) + " of level " + std::to_string(level) +
           (complex ? "; so large are Chebyshev polynomials at complex numbers, and the slots are "
                      "not known to be real: encode real numbers as such, or call "
                      "Ciphertext::declare_real_slots() if they are"
                    : "; start at a higher level, or take parameters with more base_bits"));
  }
  Tree tree(evaluator, std::move(x), polynomial.basis, std::move(bounds), key, stream);
  tree.set_baby_limit(1 << (levels + 1) / 2);
  return tree.evaluate(polynomial.coefficients, level, scale);
}

}  // namespace velum::he
