#pragma once

#include <array>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "velum/he/security_table.h"

namespace velum::he {

/// SHA-256 of what makes parameters compatible. Every key, plaintext and ciphertext carries it.
using ParametersId = std::array<std::uint8_t, 32>;

/// What is computed: approximate complex numbers, or integers modulo t exactly. Keys and key
/// switching are the same; plaintexts, ciphertexts and evaluators are not, and each refuses the
/// parameters of the other.
enum class SchemeType : std::uint32_t { kCkks = 1, kBfv = 2 };
std::string to_string(SchemeType scheme);  ///< "CKKS", "BFV"

/// Everything that is public and fixed about a scheme: ring degree, primes, scales or plaintext
/// modulus, key-switching digits. Immutable; made by `ParametersBuilder`, `Parameters::for_depth`
/// or `Parameters::bfv_for_depth`, which enforce the security table.
///
/// The chain of primes is: special primes p_0 .. p_(k-1), then q_0, q_1, ..: those of the base,
/// then those of level 1, of level 2, and so on. Level l uses the special primes (inside key
/// switching) and the first `limbs(l)` of the q. A fresh ciphertext has level `max_level()`;
/// `rescale` (CKKS) and `mod_switch_to` (BFV, one prime a level) divide by the primes of the
/// highest level left.
class Parameters {
 public:
  /// The smallest ring that gives `depth` multiplications one after the other at the given
  /// precision.
  ///
  /// @param depth           0 to 60: rescalings.
  /// @param precision_bits  10 to 45: bits after the binary point that a message of magnitude about
  /// 1 keeps in a fresh
  ///                        ciphertext under a public key (the estimate that `Ciphertext` carries
  ///                        tells what is left later).
  /// @throws std::invalid_argument if an argument is out of range, or no ring to N = 2^17 is large
  /// enough.
  static Parameters for_depth(int depth, int precision_bits,
                              SecurityLevel security = SecurityLevel::k128);

  /// BFV: the smallest ring with slots for which the noise bounds of the library (docs/noise.md)
  /// allow `depth` multiplications one after the other, each with its relinearisation, of fresh
  /// ciphertexts under a public key; one rotation after each, and sums of two between them.
  ///
  /// @param depth           0 to 30.
  /// @param plaintext_bits  bits of the plaintext modulus, a prime with slots
  ///                        (`batching_modulus`): 12 to 60. A ring of degree 2^log_n has one from
  ///                        log_n + 2 bits on, so few bits at great depth are refused.
  /// @throws std::invalid_argument if an argument is out of range, or no ring to N = 2^17 is large
  /// enough.
  static Parameters bfv_for_depth(int depth, int plaintext_bits,
                                  SecurityLevel security = SecurityLevel::k128);
  /// The largest prime of so many bits that is 1 modulo 2N: a plaintext modulus that gives BFV N
  /// slots (`bfv::BatchEncoder`).
  /// @param log_n  4 to 17.
  /// @param bits   up to 60.
  /// @throws std::invalid_argument if there is none.
  static std::uint64_t batching_modulus(int log_n, int bits);

  SchemeType scheme() const {
    return plaintext_modulus_ == 0 ? SchemeType::kCkks : SchemeType::kBfv;
  }
  /// t of BFV: messages are polynomials with coefficients modulo t. 0 of CKKS.
  std::uint64_t plaintext_modulus() const { return plaintext_modulus_; }

  int log_n() const { return log_n_; }
  std::int64_t ring_degree() const { return std::int64_t{1} << log_n_; }
  /// Of CKKS; a row of those of BFV.
  std::int64_t max_slots() const { return ring_degree() / 2; }

  /// All primes: special ones first, as in `ModulusChain`.
  const std::vector<std::uint32_t>& primes() const { return primes_; }
  /// 0 if key switching was left out.
  int special_prime_count() const { return special_count_; }
  int base_prime_count() const { return base_count_; }
  int primes_per_level() const { return primes_per_level_; }
  int max_level() const { return max_level_; }
  /// How many of the q a ciphertext of this level has. @throws std::out_of_range if level is not in
  /// [0, max_level()].
  int limbs(int level) const;
  /// q_i.
  std::uint32_t ciphertext_prime(int index) const;

  /// Digits of hybrid key switching: `digit_limbs()` consecutive q each, the last one may have
  /// fewer.
  int digit_limbs() const { return digit_limbs_; }
  int digit_count(int level) const;
  /// Of how many ternary secrets, of as many parties, the key may be the sum
  /// (velum/he/threshold): what is said of noise counts with it. 1: an ordinary key.
  int parties() const { return parties_; }
  int dnum() const { return digit_count(max_level_); }

  /// The scale of a ciphertext of this level that came there by rescaling squares: S_(l-1) = S_l^2
  /// / (product of the primes of level l), S_L = 2^scale_bits. Within 1/4 bit of that, see
  /// `ParametersBuilder::scale_bits`. @throws std::logic_error if the scheme is BFV.
  double scale(int level) const;
  int scale_bits() const { return scale_bits_; }
  /// Product of the primes that `rescale` from this level divides by. @throws std::out_of_range if
  /// level is not in [1, max_level()].
  double level_modulus(int level) const;
  /// log2 of the product of the first limbs(level) q, of all special primes, and of everything.
  double log_q(int level) const;
  double log_p() const;
  double log_qp() const { return log_q(max_level_) + log_p(); }

  /// Absent if the table was not enforced.
  std::optional<SecurityLevel> security() const { return security_; }

  const ParametersId& id() const { return id_; }
  /// A few lines for people.
  std::string to_string() const;

  friend bool operator==(const Parameters& a, const Parameters& b) { return a.id_ == b.id_; }

 private:
  friend class ParametersBuilder;
  friend struct ParametersFields;  // what a file holds
  Parameters() = default;

  int log_n_ = 0;
  std::uint64_t plaintext_modulus_ = 0;
  int scale_bits_ = 0;
  int base_count_ = 0;
  int primes_per_level_ = 0;
  int max_level_ = 0;
  int special_count_ = 0;
  int digit_limbs_ = 0;
  int parties_ = 1;
  std::vector<std::uint32_t> primes_;
  std::vector<double> scales_;  // by level
  std::optional<SecurityLevel> security_;
  ParametersId id_{};
};

std::ostream& operator<<(std::ostream& out, const Parameters& parameters);
/// 64 hexadecimal digits.
std::string to_string(const ParametersId& id);

class PrimeSearch;

/// Chooses the primes of a scheme. Every setter returns the builder; `build` checks all of it.
class ParametersBuilder {
 public:
  /// log2 of the ring degree, 10 to 17. Required.
  ParametersBuilder& log_n(int value);
  /// CKKS: log2 of the scale, 20 to 29 (one prime a level) or 36 to 58 (two primes a level).
  /// Required.
  ///
  /// The primes of a level are chosen such that the next scale is as near to 2^scale_bits as the
  /// primes of the ring allow. In a large ring small primes are scarce: too many levels at too
  /// small a scale are refused, and the text says from which scale on there are enough.
  ParametersBuilder& scale_bits(int value);
  /// CKKS: how often one can rescale, 0 to 60. Default 0.
  ParametersBuilder& depth(int value);
  /// CKKS: log2 of what is left at level 0, at least scale_bits + 2: scale_bits for the scale, the
  /// rest for the message and its sign. Default: scale_bits + 10.
  ParametersBuilder& base_bits(int value);
  /// Makes parameters of BFV: integers modulo t, 2 to 2^60. A prime that is 1 modulo 2N
  /// (`Parameters::batching_modulus`) gives N slots; any other, say 2^k, gives N coefficients.
  ParametersBuilder& plaintext_modulus(std::uint64_t value);
  /// BFV: log2(Q) of a fresh ciphertext, 20 to 3523; required. As many primes as it takes at 30
  /// bits, all of about the same size. The lowest level has as many of them as hold t and the noise
  /// of a division (docs/noise.md); every other level one more.
  ParametersBuilder& modulus_bits(int value);
  /// Number of key-switching digits at the highest level, 1 to the number of q. More digits mean
  /// fewer special primes and more work. Default: the fewest that the security table allows.
  ParametersBuilder& dnum(int value);
  /// No special primes, so no relinearisation and no rotation: sums, and products with plaintexts.
  /// All of the table's bits are for Q then.
  ParametersBuilder& without_key_switching();
  /// For keys that up to so many parties hold together (velum/he/threshold), 1 to 1024: such a key
  /// is the sum of their ternary secrets, and errors are sums of theirs, so that noise is about the
  /// root of their number larger, and that of relinearisation N times so. Default: 1.
  ParametersBuilder& parties(int value);
  /// Default: 128 bits.
  ParametersBuilder& security(SecurityLevel level);
  /// For tests and measurements: the table is not enforced, and the parameters say so. Rings from N
  /// = 16 on.
  ParametersBuilder& insecure_without_security_check();

  /// @throws std::invalid_argument if a setting is missing, out of range, or the result is not
  /// secure: the text
  ///         names log2(QP), the limit, and what would help.
  Parameters build() const;

 private:
  /// q_0, q_1, ..; what follows from the choice is set in the parameters.
  std::vector<std::uint32_t> choose_ckks_primes(Parameters& p, PrimeSearch& search) const;
  std::vector<std::uint32_t> choose_bfv_primes(Parameters& p, PrimeSearch& search) const;

  std::optional<int> log_n_, scale_bits_, base_bits_, dnum_, depth_, modulus_bits_, parties_;
  std::optional<std::uint64_t> plaintext_modulus_;
  bool key_switching_ = true;
  std::optional<SecurityLevel> security_ = SecurityLevel::k128;
};

}  // namespace velum::he
