#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "velum/he/parameters.h"
#include "velum/he/threshold/smudging.h"

/// Exact sums of vectors that nobody shows: each owner sends one polynomial for each thousands of
/// values, the sum of all is decrypted by several together, and nothing but the sum comes out.
/// Scheme and proofs: docs/noise.md, "Aggregation"; who learns what: docs/threat_model.md.
namespace velum::he::aggregation {

/// SHA-256.
using Digest = std::array<std::uint8_t, 32>;

/// The most owners that a plan takes.
inline constexpr int kMostOwners = 1024;

struct PlanRequest {
  /// Of every owner's vector; 1 to 2^32.
  std::int64_t values = 0;
  /// A value is an integer of so many bits, two's complement: -2^(bits-1) to 2^(bits-1) - 1.
  /// 2 to 24, with owners * 2^bits at most 2^31, so that sums are 32-bit integers.
  int bits = 16;
  /// K, 2 to kMostOwners: as many vectors as a sum may have.
  int owners = 0;
  /// How many decrypt. 0: all whose vectors are in the sum, each with its own secret. Otherwise
  /// this many of all owners, 2 to K, who hold Shamir shares of every secret.
  int threshold = 0;
  /// Of the noise on decryption shares: `threshold::SmudgingPolicy`.
  int statistical_bits = 40;
  /// A sum comes out wrong with probability at most 2^-correctness_bits; 40 to 128.
  int correctness_bits = 60;
  SecurityLevel security = SecurityLevel::k128;
  /// log2 of the ring degree, 11 to 14; 0: chosen.
  int log_n = 0;
};

/// All that is public and fixed about the sums of a group: how values are packed, the ring, and the
/// bounds that prove sums right. Immutable.
///
/// v digits in base B = K (2^bits - 1) + 1 share a coefficient: a value x is the digit x +
/// 2^(bits-1), and the sum of at most K of them is below B, so that none carries. B is no power of
/// two, so nothing is lost to rounding it up.
class AggregationPlan {
 public:
  /// The plan with the fewest bytes a value among those of the ring degree that is asked for, or of
  /// N = 8192, which is the fastest (docs/performance_he.md), where it has one.
  /// @throws std::invalid_argument naming the number that is out of range, or if no ring has room.
  static AggregationPlan create(const PlanRequest& request);
  /// For tests: a ring that the security table does not allow.
  /// @param log_n   4 to 14.
  /// @param digits  v.
  static AggregationPlan create_insecure(const PlanRequest& request, int log_n, int digits);

  const PlanRequest& request() const { return request_; }
  /// N and Q: parameters of BFV without key switching, whose plaintext modulus is B. Of them
  /// aggregation uses the ring alone.
  const Parameters& parameters() const { return parameters_; }
  std::int64_t values() const { return request_.values; }
  int owners() const { return request_.owners; }
  /// B.
  std::uint32_t base() const { return base_; }
  /// v.
  int digits() const { return digits_; }
  std::int32_t smallest_value() const { return -offset(); }
  std::int32_t largest_value() const { return offset() - 1; }
  /// ceil(values / v), and polynomials that hold them.
  std::int64_t coefficients() const;
  std::int64_t ciphertexts() const;

  /// How many decryption shares a sum of `owners` vectors takes.
  int shares(int owners) const { return request_.threshold == 0 ? owners : request_.threshold; }
  /// B_e: bound of every coefficient of the sum of K errors. Tails: docs/noise.md.
  double error_bound() const { return error_bound_; }
  /// The noise on a decryption share.
  const threshold::Smudging& smudging() const { return smudging_; }
  /// Bound of errors and of the noise of all shares together, in every coefficient.
  double noise_bound() const { return noise_bound_; }
  /// What a coefficient has room for; above `noise_bound()`.
  double largest_noise() const { return largest_noise_; }

  /// Bytes of one owner's vector, with its header (`aggregation/serialization.h`).
  std::int64_t vector_bytes() const;
  double bytes_per_value() const {
    return static_cast<double>(vector_bytes()) / static_cast<double>(values());
  }

  /// SHA-256 of all of it.
  const Digest& id() const { return id_; }
  /// The plan and what proves it, for people.
  std::string to_string() const;

  friend bool operator==(const AggregationPlan& a, const AggregationPlan& b) {
    return a.id_ == b.id_;
  }

 private:
  AggregationPlan(const PlanRequest& request, Parameters parameters, int digits);

  std::int32_t offset() const { return std::int32_t{1} << (request_.bits - 1); }

  PlanRequest request_;
  Parameters parameters_;
  std::uint32_t base_;
  int digits_;
  double error_bound_;
  threshold::Smudging smudging_;
  double noise_bound_;
  double largest_noise_;
  Digest id_{};
};

}  // namespace velum::he::aggregation
