#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "velum/he/context.h"
#include "velum/he/keys.h"
#include "velum/he/randomness.h"

namespace velum::he {

/// Makes keys. Every key draws its own randomness; errors are discrete Gaussians of standard
/// deviation 3.19.
class KeyGenerator {
 public:
  explicit KeyGenerator(std::shared_ptr<const Context> context,
                        std::shared_ptr<Randomness> randomness = Randomness::secure());

  /// A secret with uniform ternary coefficients.
  SecretKey secret_key(const Stream& stream);
  /// A ternary secret with exactly `weight` coefficients that are not zero. No security table holds
  /// for it.
  /// @throws std::invalid_argument if weight is not in [1, N].
  SecretKey fixed_weight_secret_key_insecure(std::int64_t weight, const Stream& stream);

  PublicKey public_key(const SecretKey& secret, const Stream& stream);
  RelinearizationKey relinearization_key(const SecretKey& secret, const Stream& stream);
  /// For rotations by the given numbers of slots, and for conjugation.
  GaloisKeys galois_keys(const SecretKey& secret, const std::vector<std::int64_t>& steps,
                         bool conjugation, const Stream& stream);
  /// For any Galois elements. @throws std::invalid_argument if one is not odd and in [3, 2N).
  GaloisKeys galois_keys_of_elements(const SecretKey& secret,
                                     const std::vector<std::uint32_t>& elements,
                                     const Stream& stream);
  /// From `from` to `to`: re-encryption under another key. Whoever holds it can turn ciphertexts of
  /// the one into those of the other.
  KeySwitchingKey key_switching_key(const SecretKey& from, const SecretKey& to,
                                    const Stream& stream);

 private:
  void check(const char* function, const SecretKey& secret, const Stream& stream) const;
  /// `source`: s', [limbs(max_level), N], NTT form.
  KeySwitchingKey switch_from(const Word* source, const SecretKey& secret, const Stream& stream);

  std::shared_ptr<const Context> context_;
  std::shared_ptr<Randomness> randomness_;
};

}  // namespace velum::he
