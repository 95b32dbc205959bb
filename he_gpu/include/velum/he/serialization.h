#pragma once

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "velum/he/ciphertext.h"
#include "velum/he/context.h"
#include "velum/he/keys.h"
#include "velum/he/parameters.h"
#include "velum/kernels/stream.h"

/// Objects of homomorphic encryption to bytes and back. The format is in docs/serialization.md: a
/// header that says everything about the object, its residues with as many bits as their prime has,
/// a SHA-256. The same object has the same bytes on every machine, backend and release.
///
/// In all of these:
/// - `save` writes one object where the stream stands, and flushes. `load` reads exactly one and
///   leaves the stream behind it, so that a stream may hold several, one after the other;
///   `expect_end` tells when there must be no more. Open files in binary mode.
/// - A loader trusts nothing: every number is checked against the parameters before memory is asked
///   for, so no byte of a file decides how much; every residue is below its prime; the hash is
///   right; and there is one encoding only, so what is loaded and saved again has the same bytes.
///   Otherwise it is a SerializationError that names what was found and what is expected. No part
///   of the object is handed out then, and the stream stands anywhere.
/// - The hash finds accidents. It is no signature: who can change a file can change its hash. So
///   nothing shows that the noise estimate of what was loaded is true, its history is unknown
///   (`History`), and `Decryptor::decrypt_for_release` refuses what was computed from it until the
///   caller vouches.
/// - Residues go through the host a limb at a time; a function returns when the copies are done.
/// @param context  the object's parameters must be those of the context.
/// @param stream   of the context's backend.
/// @throws SerializationError; std::invalid_argument if the stream is on another backend or an
///         object cannot be saved; CudaError.
namespace velum::he {

/// Damaged, foreign or truncated bytes, or a stream that fails.
class SerializationError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct LoadOptions {
  /// The secret key that the object must belong to; absent: any.
  std::optional<KeyId> expected_key;
};

void save(std::ostream& out, const Parameters& parameters);
/// Checks all of it anew, primes and security table included.
/// @throws SerializationError also if the parameters do not claim to be within the security table.
Parameters load_parameters(std::istream& in);
/// Takes parameters that were built without the security table, too; they say so, as they did.
Parameters load_parameters_insecure_without_security_check(std::istream& in);

void save(std::ostream& out, const Plaintext& plaintext, const Stream& stream);
Plaintext load_plaintext(std::istream& in, const std::shared_ptr<const Context>& context,
                         const Stream& stream);

void save(std::ostream& out, const Ciphertext& ciphertext, const Stream& stream);
Ciphertext load_ciphertext(std::istream& in, const std::shared_ptr<const Context>& context,
                           const Stream& stream, const LoadOptions& options = {});

/// Half the bytes of the ciphertext.
void save(std::ostream& out, const SeededCiphertext& ciphertext, const Stream& stream);
SeededCiphertext load_seeded_ciphertext(std::istream& in,
                                        const std::shared_ptr<const Context>& context,
                                        const Stream& stream, const LoadOptions& options = {});

/// Keys are saved as a seed and b: half of what they are in memory.
void save(std::ostream& out, const PublicKey& key, const Stream& stream);
PublicKey load_public_key(std::istream& in, const std::shared_ptr<const Context>& context,
                          const Stream& stream, const LoadOptions& options = {});

void save(std::ostream& out, const KeySwitchingKey& key, const Stream& stream);
/// `expected_key` is the one that it switches to.
KeySwitchingKey load_key_switching_key(std::istream& in,
                                       const std::shared_ptr<const Context>& context,
                                       const Stream& stream, const LoadOptions& options = {});

void save(std::ostream& out, const RelinearizationKey& key, const Stream& stream);
RelinearizationKey load_relinearization_key(std::istream& in,
                                            const std::shared_ptr<const Context>& context,
                                            const Stream& stream, const LoadOptions& options = {});

/// One after the other, by rising Galois element.
/// @throws std::invalid_argument also if there are none, or they belong to different keys.
void save(std::ostream& out, const GaloisKeys& keys, const Stream& stream);
GaloisKeys load_galois_keys(std::istream& in, const std::shared_ptr<const Context>& context,
                            const Stream& stream, const LoadOptions& options = {});
/// One alone, for whoever makes, sends or needs them one by one.
/// @param galois_element  odd, 3 to 2N - 1.
void save_galois_key(std::ostream& out, std::uint32_t galois_element, const KeySwitchingKey& key,
                     const Stream& stream);
std::pair<std::uint32_t, KeySwitchingKey> load_galois_key(
    std::istream& in, const std::shared_ptr<const Context>& context, const Stream& stream,
    const LoadOptions& options = {});

/// The secret itself, two bits a coefficient, for its owner alone: whoever reads the bytes can
/// decrypt everything. Nothing encrypts them here, and the memory of `out` is not wiped. What this
/// library holds of them is.
void save_secret_key_unencrypted(std::ostream& out, const SecretKey& key, const Stream& stream);
SecretKey load_secret_key_unencrypted(std::istream& in,
                                      const std::shared_ptr<const Context>& context,
                                      const Stream& stream, const LoadOptions& options = {});

/// What `save` writes, in bytes.
std::int64_t serialized_size(const Parameters& parameters);
std::int64_t serialized_size(const Plaintext& plaintext);
std::int64_t serialized_size(const Ciphertext& ciphertext);
std::int64_t serialized_size(const SeededCiphertext& ciphertext);
std::int64_t serialized_size(const PublicKey& key);
std::int64_t serialized_size(const KeySwitchingKey& key);
std::int64_t serialized_size(const RelinearizationKey& key);
std::int64_t serialized_size(const GaloisKeys& keys);
std::int64_t serialized_size(const SecretKey& key);

/// @throws SerializationError if bytes are left.
void expect_end(std::istream& in);

}  // namespace velum::he
