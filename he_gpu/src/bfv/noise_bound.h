#pragma once

#include <algorithm>
#include <cmath>

#include "noise.h"
#include "velum/he/bfv/ciphertext.h"
#include "velum/he/parameters.h"

namespace velum::he::bfv::noise {

using he::noise::Ring;
using he::noise::Switching;

/// How the noise of BFV is bounded; the derivations are in docs/noise.md. Slots as for CKKS
/// (he::noise). A coefficient is a sum of N independent terms, each bounded or Gaussian: given
/// their factors, one with sub-Gaussian tails. Beyond kTail times the root of its variance with
/// probability below 2^-86.
inline constexpr double kTail = 11.0;
/// The largest error that is drawn.
inline constexpr double kLargestError = 41.0;

/// What is known both ways: a coefficient is a mean of N slots, a slot a sum of N coefficients.
inline NoiseBound tightened(const NoiseBound& noise, double n) {
  return {std::min(noise.coefficient, noise.slot), std::min(noise.slot, n * noise.coefficient)};
}
inline NoiseBound operator+(const NoiseBound& a, const NoiseBound& b) {
  return {a.coefficient + b.coefficient, a.slot + b.slot};
}
/// Times a polynomial whose coefficients have magnitudes that add up to `sum`, or a number.
inline NoiseBound scaled(const NoiseBound& a, double sum) {
  return {a.coefficient * sum, a.slot * sum};
}

/// round(Q m / t) - Q m / t: it depends on the message, so nothing is assumed about it.
inline NoiseBound message_rounding(double n) { return {0.5, 0.5 * n}; }

inline NoiseBound symmetric_encryption(double n) {
  return tightened({kLargestError, he::noise::symmetric_encryption(n).bound}, n) +
         message_rounding(n);
}
/// The L2 norm of the coefficients of s over sqrt(N). Each of the ternary secrets that it is the
/// sum of has at most 1; and it is at most the largest slot, where that is less.
inline double secret_norm(const Ring& ring) {
  return std::min(ring.parties, he::noise::kSum * std::sqrt(he::noise::secret_variance(ring)));
}
/// e v + e_0 + e_1 s, with |v_i| <= 1.
inline NoiseBound public_key_encryption(const Ring& ring) {
  const double n = ring.degree, secret = secret_norm(ring);
  return tightened({kTail * kErrorStandardDeviation *
                        std::sqrt((ring.parties + secret * secret) * n + 1.0),
                    he::noise::public_key_encryption(ring).bound},
                   n) +
         message_rounding(n);
}

/// r_0 + r_1 s (+ r_2 s^2), roundings of a division. The coefficients of s^2 have an L2 norm of at
/// most the largest slot of it.
inline NoiseBound division_rounding(const Ring& ring, int size) {
  const double n = ring.degree, secret = secret_norm(ring);
  double norms = 1.0;  // the squares of the L2 norms of 1, s, s^2
  if (size > 1) norms += secret * secret * n;
  if (size > 2) {
    const double square = he::noise::kSum * he::noise::kSum * he::noise::secret_variance(ring) * n;
    norms += square * square;
  }
  return tightened({kTail * std::sqrt(he::noise::kRoundingVariance * norms),
                    he::noise::division_rounding(ring, size).bound},
                   n);
}

/// Digits of at most D/2 times the errors of the key, over P, and the division by P. The errors of
/// the key are independent of the digits, so nothing is assumed about these. A digit polynomial
/// times s or u has an L2 norm of at most its own times the largest slot of s or u.
inline NoiseBound key_switching(const Parameters& parameters, int level, Switching switching) {
  const Ring ring = he::noise::ring_of(parameters);
  const double n = ring.degree;
  double factors = ring.parties;
  if (switching == Switching::kRelinearization && parameters.parties() > 1) {
    const double slot = he::noise::kSum * he::noise::kSum * he::noise::secret_variance(ring) * n;
    factors *= 2.0 * slot + 3.0;
  }
  const double squares = he::noise::squared_digits(parameters, level) / 4.0;  // of D/2 over P
  const NoiseBound rounding = noise::division_rounding(ring, 2);
  return tightened(
      {kTail * kErrorStandardDeviation * std::sqrt(factors * n * squares) + rounding.coefficient,
       he::noise::key_switching(parameters, level, switching).bound},
      n);
}

/// (t/Q)(A v_b + B v_a - v_a v_b) and the rounding of the product, A = a_0 + a_1 s with |a_i| <=
/// Q/2 and B likewise. Of a_0 nothing is assumed: its slots are at most Q N/2, its L2 norm Q
/// sqrt(N)/2. A slot of a_1 s / Q is one of a rounding times s; a coefficient of a_1 s v / Q is a
/// sum of terms as small as roundings times those of s v, whose L2 norm is at most its largest
/// slot. (t/Q) v_a is below 1/2 in every coefficient of what can be decrypted, so below N/2 in
/// every slot.
inline NoiseBound multiplied(const Ring& ring, double t, const NoiseBound& first,
                             const NoiseBound& second) {
  using he::noise::kRoundingVariance;
  const double n = ring.degree, secret = he::noise::secret_variance(ring);
  const NoiseBound a = tightened(first, n), b = tightened(second, n);
  const double of_slots = 0.5 * n + he::noise::product_error(n, kRoundingVariance, secret).bound;
  const double secret_slot = he::noise::kSum * std::sqrt(secret * n);
  const double of_coefficients =
      0.5 * std::sqrt(n) + kTail * std::sqrt(kRoundingVariance) * secret_slot;
  const double both = 0.5 * n * std::min(a.slot, b.slot);
  const double sum = t * (a.slot + b.slot);
  return tightened({of_coefficients * sum + both, of_slots * sum + both}, n) +
         noise::division_rounding(ring, 3);
}

/// log2(Q/(2t)) less log2 of the bound: see `Ciphertext::noise_budget_estimate`. Less a millionth,
/// which covers the rounding of all of this. t v is a polynomial of integers, so no bound is below
/// 1/t.
inline double budget(const Parameters& parameters, int level, const NoiseBound& noise) {
  const auto t = static_cast<double>(parameters.plaintext_modulus());
  return parameters.log_q(level) - std::log2(2.0 * std::max(t * noise.coefficient, 1.0)) - 1e-6;
}

/// Whether primes of this product hold messages modulo t with the noise of a division, and a bit of
/// budget is left.
inline bool holds_messages(const Ring& ring, double t, double product) {
  return product >= 4.0 * t * noise::division_rounding(ring, 2).coefficient;
}

}  // namespace velum::he::bfv::noise
