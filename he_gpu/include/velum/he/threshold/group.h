#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "velum/he/context.h"
#include "velum/he/keys.h"
#include "velum/he/randomness.h"
#include "velum/he/threshold/once_register.h"
#include "velum/he/threshold/smudging.h"

namespace velum::he::threshold {

/// How many hold a key together, and how many of them decrypt.
struct GroupShape {
  /// n: 2 to `Parameters::parties`.
  int parties = 0;
  /// t: 2 to n. With t = n everybody takes part in each decryption. Fewer than t together learn
  /// nothing.
  int threshold = 0;
  SmudgingPolicy smudging = {};
};

/// All that is public about a key that several hold together: who makes it distributes it, and each
/// party makes the same value of it. Everything else follows: the polynomials that all of them use
/// come from the common seed, which must be drawn at random and not by one whom the others
/// distrust. A group's keys are made once; for new ones take a new group.
/// Papers: Mouchet, Troncoso-Pastoriza, Bossuat and Hubaux, Multiparty Homomorphic Encryption from
/// Ring-Learning-with-Errors, 2021 (ePrint 2020/304); with a threshold, ePrint 2022/780.
class Group {
 public:
  /// A new one.
  /// @throws std::invalid_argument if a number of the shape is out of range, or the context was
  /// made for fewer parties: the text says what would do.
  static Group create(std::shared_ptr<const Context> context, const GroupShape& shape,
                      const std::shared_ptr<Randomness>& randomness = Randomness::secure());
  /// One that was announced.
  Group(std::shared_ptr<const Context> context, const GroupShape& shape, const PublicSeed& seed);

  const std::shared_ptr<const Context>& context() const { return context_; }
  const GroupShape& shape() const { return shape_; }
  int parties() const { return shape_.parties; }
  int threshold() const { return shape_.threshold; }
  const PublicSeed& seed() const { return seed_; }
  /// SHA-256 of the parameters' id, the shape and the seed.
  const Digest& id() const { return id_; }
  /// Of the collective secret key: what public key and ciphertexts carry.
  const KeyId& key_id() const { return key_id_; }
  /// 1, .., n.
  std::vector<int> everybody() const;

  /// Inside of the library: the seed of the public polynomials of one purpose.
  PublicSeed polynomials_of(std::string_view purpose, const Digest& subject = {}) const;

 private:
  std::shared_ptr<const Context> context_;
  GroupShape shape_;
  PublicSeed seed_;
  Digest id_{};
  KeyId key_id_{};
};

}  // namespace velum::he::threshold
