#pragma once

#include <cstdint>
#include <memory>

#include "velum/he/aggregation/plan.h"
#include "velum/he/context.h"
#include "velum/kernels/polynomial/digit_packing.h"

namespace velum::he::aggregation {

/// A plan with its tables, in the memory of one backend. Immutable and shared by threads.
class AggregationContext {
 public:
  /// @param stream  whose backend (and device) everything of this context lives on.
  static std::shared_ptr<const AggregationContext> create(AggregationPlan plan,
                                                          const Stream& stream);

  const AggregationPlan& plan() const { return plan_; }
  /// For keys: `KeyGenerator(context->ring())`.
  const std::shared_ptr<const Context>& ring() const { return ring_; }
  const kernels::DigitPacking& packing() const { return packing_; }

  /// Of every polynomial here: all primes.
  LimbIndices limbs() const { return ring_->q_limbs(ring_->parameters().max_level()); }
  /// Words of a vector in memory: ciphertexts * limbs * N.
  std::int64_t words() const { return plan_.ciphertexts() * limbs().count * ring_->degree(); }

 private:
  AggregationContext(AggregationPlan plan, const Stream& stream);

  AggregationPlan plan_;
  std::shared_ptr<const Context> ring_;
  kernels::DigitPacking packing_;
};

/// A round of a group. Its public polynomials a_0, a_1, .. follow from (plan, group, number) alone.
struct Round {
  /// What the owners' long-term secrets belong to: the same 32 bytes for all who take part, and of
  /// no other group. `Owner` (protocol.h) takes the hash of the setup.
  Digest group{};
  std::uint64_t number = 0;

  friend bool operator==(const Round&, const Round&) = default;
};
std::string to_string(const Round& round);  ///< "round 3 of group 1f2e3d4c"

}  // namespace velum::he::aggregation
