#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "velum/he/context.h"
#include "velum/he/keys.h"
#include "velum/he/randomness.h"

/// Secrets of homomorphic encryption shared among several, any `threshold` of whom have it and
/// fewer know nothing of it. Paper: Shamir, How to Share a Secret, 1979, in each residue of each
/// coefficient; for keys of RLWE: Mouchet, Bertrand and Hubaux, An Efficient Threshold
/// Access-Structure for RLWE-Based Multiparty Homomorphic Encryption, 2023 (ePrint 2022/780).
namespace velum::he::threshold {

/// The most that a secret can be shared among: their numbers are below every prime (2^12).
inline constexpr int kMostParties = 1024;

/// A secret polynomial modulo the Q of the highest level, in memory as that of a `SecretKey`. It
/// has no way to be printed.
class SecretPolynomial {
 public:
  /// Zero.
  SecretPolynomial(std::shared_ptr<const Context> context, const Stream& stream);
  SecretPolynomial(SecretPolynomial&&) noexcept;
  SecretPolynomial& operator=(SecretPolynomial&&) noexcept;
  ~SecretPolynomial();

  const std::shared_ptr<const Context>& context() const { return context_; }
  /// Adds another one: a share of a sum is the sum of the shares.
  /// @throws std::invalid_argument if the other one is of another context, or the stream on another
  /// backend.
  void add(const SecretPolynomial& other, const Stream& stream);

  /// Inside of the library: [1, limbs(level), N], NTT form; the first limbs serve every level.
  RnsView<const Word> view(int level) const;
  RnsView<Word> mutable_view();

 private:
  struct Memory;
  std::shared_ptr<const Context> context_;
  std::unique_ptr<Memory> memory_;
};

/// Shares s: the values f(1), .., f(parties) of f = s + c_1 X + .. + c_(threshold-1)
/// X^(threshold-1), the c_k uniform modulo Q. Value i is for the party of number i + 1 alone, by a
/// way on which nobody else can read or change it, which is the caller's to find.
/// @param parties    2 to kMostParties.
/// @param threshold  1 to parties.
/// @throws std::invalid_argument if a number is out of range or the stream on another backend.
std::vector<SecretPolynomial> share_secret(const SecretKey& secret, int parties, int threshold,
                                           Randomness& randomness, const Stream& stream);

/// The factor lambda of one party: f(0) is the sum of lambda_i f(i) over `points`, for every f of a
/// degree below points.size(). It is public.
///
///   lambda = product over the other points j of j / (j - point), modulo each q
///
/// A value times lambda is not masked: noise that is added to it does not hide what the value says
/// of f(0) if others know enough of f, unless they see only the sum over all (docs/noise.md,
/// "Shares of a threshold").
/// @param points  different, 1 to kMostParties.
/// @param point   one of them.
/// @return [limbs(level)], one residue for each q.
/// @throws std::invalid_argument naming the point that is out of range, twice or not there.
std::vector<Word> lagrange_at_zero(const Context& context, int level,
                                   const std::vector<int>& points, int point);

}  // namespace velum::he::threshold
