#pragma once

#include <algorithm>
#include <cmath>

#include "velum/he/ciphertext.h"
#include "velum/he/context.h"

namespace velum::he::noise {

/// How errors are estimated and bounded; the derivations are in docs/noise.md. A polynomial with
/// independent centred coefficients of variance v has slots of variance N v, nearly complex
/// Gaussian: beyond kSum standard deviations with probability e^-64. A slot of a product of two
/// (three) such polynomials is a product of two (three) such numbers: beyond kProduct (kTriple)
/// times the product of the standard deviations with probability below 2^-77.
inline constexpr double kSum = 8.0, kProduct = 28.0, kTriple = 80.0;
/// Variance of a coefficient of a uniform ternary polynomial, and of a rounding.
inline constexpr double kTernaryVariance = 2.0 / 3.0, kRoundingVariance = 1.0 / 12.0;
inline constexpr double kErrorVariance = kErrorStandardDeviation * kErrorStandardDeviation;

/// What errors depend on: N, and of how many ternary secrets the key may be the sum
/// (`Parameters::parties`). Errors of keys are sums of as many.
struct Ring {
  double degree = 0.0;
  double parties = 1.0;
};
inline Ring ring_of(const Parameters& parameters) {
  return {static_cast<double>(parameters.ring_degree()), static_cast<double>(parameters.parties())};
}
/// Variances of a coefficient of the key, and of an error of a public key or of a switching key.
inline double secret_variance(const Ring& ring) { return ring.parties * kTernaryVariance; }
inline double key_error_variance(const Ring& ring) { return ring.parties * kErrorVariance; }

struct Error {
  double variance = 0.0;  // of a slot
  double bound = 0.0;     // of a slot
};

inline Error operator+(const Error& a, const Error& b) {
  return {a.variance + b.variance, a.bound + b.bound};
}
inline Error scaled(const Error& a, double factor) {
  return {a.variance * factor * factor, a.bound * std::abs(factor)};
}

/// A polynomial with coefficients of this variance.
inline Error sum_error(double n, double variance) {
  return {n * variance, kSum * std::sqrt(n * variance)};
}
/// A product of two, three.
inline Error product_error(double n, double a, double b) {
  return {n * a * n * b, kProduct * std::sqrt(n * a * n * b)};
}
inline Error triple_error(double n, double a, double b, double c) {
  return {n * a * n * b * n * c, kTriple * std::sqrt(n * a * n * b * n * c)};
}

/// e v + e_0 + e_1 s.
inline Error public_key_encryption(const Ring& ring) {
  const double n = ring.degree;
  return product_error(n, key_error_variance(ring), kTernaryVariance) +
         sum_error(n, kErrorVariance) + product_error(n, kErrorVariance, secret_variance(ring));
}
inline Error symmetric_encryption(double n) { return sum_error(n, kErrorVariance); }

/// Rounding of each of `size` polynomials, times 1, s, s^2: what a division leaves.
inline Error division_rounding(const Ring& ring, int size) {
  const double n = ring.degree, secret = secret_variance(ring);
  Error error = sum_error(n, kRoundingVariance);
  if (size > 1) error = error + product_error(n, kRoundingVariance, secret);
  if (size > 2) error = error + triple_error(n, kRoundingVariance, secret, secret);
  return error;
}

/// Which key switches.
enum class Switching {
  kPlain,            ///< one whose errors are sums of what the parties drew
  kRelinearization,  ///< of several parties: with errors s e_0 + u e_1 + e_2 + e_3 + e_4
};

/// The sum of D^2 / P^2 over the digits of a level, D the product of a digit's primes.
inline double squared_digits(const Parameters& parameters, int level) {
  double squares = 0.0;
  for (int digit = 0; digit < parameters.digit_count(level); ++digit) {
    const int begin = digit * parameters.digit_limbs();
    const int end = std::min(begin + parameters.digit_limbs(), parameters.limbs(level));
    double log_digit = 0.0;
    for (int i = begin; i < end; ++i) log_digit += std::log2(parameters.ciphertext_prime(i));
    squares += std::exp2(2.0 * (log_digit - parameters.log_p()));
  }
  return squares;
}

/// Hybrid key switching at a level: digits times the errors of the key, over P, and the rounding of
/// the division by P. A digit polynomial is centred: its coefficients are uniform over [-D/2, D/2).
inline Error key_switching(const Parameters& parameters, int level, Switching switching) {
  const Ring ring = ring_of(parameters);
  const double n = ring.degree, errors = key_error_variance(ring);
  const double digits = kRoundingVariance * squared_digits(parameters, level);
  const Error rounding = division_rounding(ring, 2);
  if (switching == Switching::kPlain || parameters.parties() == 1)
    return product_error(n, errors, digits) + rounding;
  const Error with_secret = triple_error(n, errors, secret_variance(ring), digits);
  return with_secret + with_secret + product_error(n, 3.0 * errors, digits) + rounding;
}

inline Error error_of(const NoiseEstimate& noise) {
  return {noise.slot_variance, noise.slot_bound};
}
inline NoiseEstimate estimate(const Error& error, double message_bound, MessageForm form) {
  return {error.variance, error.bound, message_bound, form};
}
/// Another error of the same message.
inline NoiseEstimate with_error(const NoiseEstimate& noise, const Error& error) {
  return estimate(error, noise.message_bound, noise.form);
}

/// The same with a bound that is known of the message. Coefficients are not known to shrink with
/// the bound of the slots.
inline NoiseEstimate with_message_bound(NoiseEstimate noise, double bound) {
  if (noise.form == MessageForm::kCoefficients && bound < noise.message_bound)
    noise.form = MessageForm::kAny;
  noise.message_bound = bound;
  return noise;
}

/// Of a sum of both, and of a product slot by slot.
inline MessageForm form_of_sum(MessageForm a, MessageForm b) {
  return a == b ? a : MessageForm::kAny;
}
inline MessageForm form_of_product(MessageForm a, MessageForm b) {
  return a == MessageForm::kRealSlots && b == a ? a : MessageForm::kAny;
}

/// A bound of every coefficient of message and error, scaled: a coefficient is a mean of N slots,
/// each times a root of unity. Decryption gives what is below half of the modulus.
inline double largest_coefficient(const NoiseEstimate& noise, double scale, double n) {
  const double slots = noise.message_bound * scale;
  return (noise.form == MessageForm::kCoefficients ? slots / n : slots) + noise.slot_bound;
}

/// (m_1 + e_1)(m_2 + e_2) - m_1 m_2, with messages of at most b_1 S_1 and b_2 S_2 after scaling.
inline Error multiplied(const NoiseEstimate& a, double scale_a, const NoiseEstimate& b,
                        double scale_b) {
  const double m = a.message_bound * scale_a;
  const double n = b.message_bound * scale_b;
  return {m * m * b.slot_variance + n * n * a.slot_variance + a.slot_variance * b.slot_variance,
          m * b.slot_bound + n * a.slot_bound + a.slot_bound * b.slot_bound};
}

}  // namespace velum::he::noise
