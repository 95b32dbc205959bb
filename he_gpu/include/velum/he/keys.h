#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "velum/he/context.h"
#include "velum/kernels/random/key_source.h"

namespace velum::he {

/// 128 random bits that name a secret key in public: every key and ciphertext that belongs to it
/// carries them, so that a wrong key is an error and not a wrong message.
using KeyId = std::array<std::uint8_t, 16>;
std::string to_string(const KeyId& id);  ///< 32 hexadecimal digits

/// A seed that is public: it stands for the uniform half of a key or ciphertext, at half the bytes.
/// Never the key of anything secret.
using PublicSeed = kernels::RandomKey;

/// Whether noise estimates can be believed. Flooding relies on them, so `decrypt_for_release` takes
/// nothing whose history is unknown.
enum class History {
  kKnown,    ///< this process computed it, from keys and messages whose history is known, or the
             ///< caller vouched
  kUnknown,  ///< it, or something that went into it, was loaded: its estimates are mere claims
};
/// Of what was computed from both.
constexpr History combined(History a, History b) {
  return a == History::kKnown ? b : History::kUnknown;
}

/// A ternary secret s, its coefficients uniform over {-1, 0, 1}. Wiped when it goes, in locked
/// memory where the system allows it; it has no way to be printed.
class SecretKey {
 public:
  SecretKey(SecretKey&&) noexcept;
  SecretKey& operator=(SecretKey&&) noexcept;
  ~SecretKey();

  const KeyId& id() const { return id_; }
  const std::shared_ptr<const Context>& context() const { return context_; }

  /// The coefficients in host memory, for export to other programs and to a file of the owner's:
  /// whoever has them can read everything. The caller wipes them.
  std::vector<std::int8_t> export_coefficients_secret(const Stream& stream) const;
  /// A key from such coefficients.
  /// @param id  of the key that they were exported from.
  /// @throws std::invalid_argument if there are not N of them, or one is not -1, 0 or 1.
  static SecretKey import_coefficients_secret(std::shared_ptr<const Context> context,
                                              const KeyId& id, Span<const std::int8_t> coefficients,
                                              const Stream& stream);

  /// Inside of the library: s in NTT form, one limb per prime of the context's chain, and its
  /// coefficients.
  struct Material;
  const Material& material() const { return *material_; }

 private:
  friend class KeyGenerator;
  SecretKey(std::shared_ptr<const Context> context, const KeyId& id,
            std::unique_ptr<Material> material);

  std::shared_ptr<const Context> context_;
  KeyId id_{};
  std::unique_ptr<Material> material_;
};

/// (b, a) with b = -a s + e modulo Q, a from a public seed.
/// Paper: Cheon, Kim, Kim and Song, Homomorphic Encryption for Arithmetic of Approximate Numbers,
/// 2017 (ePrint 2016/421).
class PublicKey {
 public:
  const KeyId& id() const { return id_; }
  const std::shared_ptr<const Context>& context() const { return context_; }
  const PublicSeed& seed() const { return seed_; }
  /// Unknown for a key that was expanded or loaded.
  History history() const { return history_; }
  /// Declares that the key was made as this library makes keys: so that its errors are as small.
  void vouch_for_history() { history_ = History::kKnown; }
  /// [2, limbs(max_level), N], NTT form: b, a.
  RnsView<const Word> view() const;
  /// From its seed and b alone, [limbs(max_level), N], NTT form; its history is unknown.
  static PublicKey expand(std::shared_ptr<const Context> context, const KeyId& id,
                          const PublicSeed& seed, Span<const Word> b, const Stream& stream);

 private:
  friend class KeyGenerator;
  PublicKey(std::shared_ptr<const Context> context, const KeyId& id, const PublicSeed& seed,
            Buffer<Word> residues, History history);

  std::shared_ptr<const Context> context_;
  KeyId id_{};
  PublicSeed seed_{};
  Buffer<Word> residues_;
  History history_;
};

/// Switches from another secret s' to s: for each digit (b_j, a_j) modulo QP with b_j = -a_j s +
/// e_j + P g_j s', where g_j is 1 modulo the primes of digit j and 0 modulo the other q. a_j from a
/// public seed. Paper: hybrid key switching, Han and Ki, Better Bootstrapping for Approximate
/// Homomorphic Encryption, 2019 (ePrint 2019/688).
class KeySwitchingKey {
 public:
  const KeyId& id() const { return id_; }
  const std::shared_ptr<const Context>& context() const { return context_; }
  const PublicSeed& seed() const { return seed_; }
  /// Unknown for a key that was expanded or loaded.
  History history() const { return history_; }
  /// Declares that the key was made as this library makes keys: so that its errors are as small.
  void vouch_for_history() { history_ = History::kKnown; }
  /// [2 dnum, limbs(max_level) + special primes, N], NTT form: b_0, a_0, b_1, ...; limbs as
  /// `Context::qp_limbs`.
  RnsView<const Word> view() const;
  /// From its seed and b alone, [dnum, limbs, N], NTT form; its history is unknown.
  static KeySwitchingKey expand(std::shared_ptr<const Context> context, const KeyId& id,
                                const PublicSeed& seed, Span<const Word> b, const Stream& stream);

 private:
  friend class KeyGenerator;
  KeySwitchingKey(std::shared_ptr<const Context> context, const KeyId& id, const PublicSeed& seed,
                  Buffer<Word> residues, History history);

  std::shared_ptr<const Context> context_;
  KeyId id_{};
  PublicSeed seed_{};
  Buffer<Word> residues_;
  History history_;
};

/// From s^2 to s: brings a product back to two polynomials.
struct RelinearizationKey {
  KeySwitchingKey key;
};

/// X -> X^g for odd g in [1, 2N): 5^r rotates the slots by r to the left, 2N - 1 conjugates them.
std::uint32_t galois_element_of_rotation(int log_n, std::int64_t steps);
std::uint32_t galois_element_of_conjugation(int log_n);

/// From s(X^g) to s, by Galois element g.
struct GaloisKeys {
  std::map<std::uint32_t, KeySwitchingKey> keys;

  bool has(std::uint32_t galois_element) const { return keys.count(galois_element) != 0; }
  /// @throws std::out_of_range if there is none: the text names the rotation.
  const KeySwitchingKey& at(std::uint32_t galois_element) const;
};

}  // namespace velum::he
