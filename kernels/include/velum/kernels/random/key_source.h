#pragma once

#include <array>
#include <cstdint>

namespace velum::kernels {

/// A 256-bit ChaCha20 key: the only secret of a random stream. Never logged, never written to
/// disk; `wipe` it when it is no longer needed.
struct RandomKey {
  std::array<std::uint32_t, 8> words;

  friend bool operator==(const RandomKey&, const RandomKey&) = default;
};

/// A key from the operating system's generator: getrandom(2) from the urandom source, which waits
/// until the kernel has been seeded once after boot. Interrupted and short reads are continued;
/// the temporary memory is wiped.
/// @throws std::system_error if the system gives no randomness. There is no fallback.
RandomKey secure_random_key();

/// A key that anyone who knows or guesses the 64-bit seed can compute: for tests and reproducible
/// experiments, never where privacy is claimed. Distinct seeds give distinct keys.
RandomKey insecure_key_from_seed(std::uint64_t seed);

/// Overwrites the key with zeros, in a way that the compiler may not remove.
void wipe(RandomKey& key);

}  // namespace velum::kernels
