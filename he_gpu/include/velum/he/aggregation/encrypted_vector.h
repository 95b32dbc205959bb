#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "velum/he/aggregation/context.h"
#include "velum/he/keys.h"

namespace velum::he::aggregation {

/// One owner's vector in a round: b_k = -a_k s + e_k + message, [ciphertexts, limbs, N],
/// coefficient form, canonical residues; those of coefficients that hold no value are 0.
class EncryptedVector {
 public:
  EncryptedVector(std::shared_ptr<const AggregationContext> context, const Round& round, int owner,
                  const KeyId& key_id, Buffer<Word> residues);

  const std::shared_ptr<const AggregationContext>& context() const { return context_; }
  const Round& round() const { return round_; }
  /// 1 to K.
  int owner() const { return owner_; }
  const KeyId& key_id() const { return key_id_; }
  RnsView<const Word> view() const;

 private:
  std::shared_ptr<const AggregationContext> context_;
  Round round_;
  int owner_;
  KeyId key_id_;
  Buffer<Word> residues_;
};

/// The sum of the vectors of some owners in a round.
class EncryptedSum {
 public:
  /// Of nobody yet.
  EncryptedSum(std::shared_ptr<const AggregationContext> context, const Round& round,
               const Stream& stream);

  const std::shared_ptr<const AggregationContext>& context() const { return context_; }
  const Round& round() const { return round_; }
  /// Whose vectors are in it, rising.
  const std::vector<int>& owners() const { return owners_; }
  RnsView<const Word> view() const;

  /// Adds vectors, in one pass.
  /// @throws std::invalid_argument if one is of another plan, round or backend, or of an owner who
  ///         is in the sum already; the sum is as it was then.
  void add(const std::vector<const EncryptedVector*>& vectors, const Stream& stream);
  void add(const EncryptedVector& vector, const Stream& stream) { add({&vector}, stream); }

 private:
  std::shared_ptr<const AggregationContext> context_;
  Round round_;
  std::vector<int> owners_;
  Buffer<Word> residues_;
};

}  // namespace velum::he::aggregation
