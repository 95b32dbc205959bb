#pragma once

#include <cstdint>
#include <iosfwd>
#include <memory>

#include "velum/he/bfv/ciphertext.h"
#include "velum/he/context.h"
#include "velum/he/serialization.h"
#include "velum/kernels/stream.h"

/// Messages of BFV to bytes and back, as velum/he/serialization.h does it, which also has the
/// parameters and keys. Of what was loaded nothing shows that the noise bound is true: its history
/// is unknown (`History`), and `Decryptor::decrypt_for_release` refuses what was computed from it
/// until the caller vouches. The coefficient sum of a plaintext is checked.
/// @throws as the functions there.
namespace velum::he::bfv {

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

/// What `save` writes, in bytes.
std::int64_t serialized_size(const Plaintext& plaintext);
std::int64_t serialized_size(const Ciphertext& ciphertext);
std::int64_t serialized_size(const SeededCiphertext& ciphertext);

}  // namespace velum::he::bfv
