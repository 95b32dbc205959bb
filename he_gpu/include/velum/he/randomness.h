#pragma once

#include <cstdint>
#include <memory>

#include "velum/kernels/random/key_source.h"

namespace velum::he {

/// Where keys, encryptions and flooding take their randomness from: a new 256-bit key for each of
/// them. Thread-safe.
class Randomness {
 public:
  virtual ~Randomness() = default;
  /// @throws std::system_error if there is none.
  virtual kernels::RandomKey next() = 0;

  /// The operating system: the default everywhere.
  static std::shared_ptr<Randomness> secure();
  /// A sequence that whoever knows the seed can compute: for known answers and tests, never for a
  /// secret.
  static std::shared_ptr<Randomness> insecure_from_seed(std::uint64_t seed);
};

}  // namespace velum::he
