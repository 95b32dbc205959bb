#include "velum/he/encryptor.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "encryption.h"
#include "noise.h"
#include "velum/kernels/polynomial/elementwise.h"

namespace velum::he {
namespace {

template <typename Key>
void check_key(const char* function, const std::shared_ptr<const Key>& key,
               const std::shared_ptr<Randomness>& randomness) {
  if (key == nullptr || randomness == nullptr) {
    throw std::invalid_argument(std::string(function) + ": key or randomness is null");
  }
  key->context()->check_scheme(function, SchemeType::kCkks);
}

void check_plaintext(const char* function, const Context& context, const Plaintext& plaintext,
                     const Stream& stream) {
  context.check_stream(function, stream);
  if (!(plaintext.context()->parameters() == context.parameters()) ||
      plaintext.context()->backend() != context.backend()) {
    throw std::invalid_argument(
        std::string(function) +
        ": the plaintext has other parameters than the key, or lies on another backend");
  }
}

NoiseEstimate fresh_noise(const Plaintext& plaintext, const noise::Error& error) {
  return noise::with_error(plaintext.noise(), noise::error_of(plaintext.noise()) + error);
}

}  // namespace

Encryptor::Encryptor(std::shared_ptr<const PublicKey> key, std::shared_ptr<Randomness> randomness)
    : key_(std::move(key)), randomness_(std::move(randomness)) {
  check_key("Encryptor", key_, randomness_);
}

Ciphertext Encryptor::encrypt(const Plaintext& plaintext, const Stream& stream) const {
  const Context& context = *key_->context();
  check_plaintext("Encryptor::encrypt", context, plaintext, stream);
  const LimbIndices limbs = context.q_limbs(plaintext.level());
  const std::int64_t degree = context.degree();
  const SecretSeed seed(randomness_->next());

  Buffer<Word> residues(2 * limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), 2, limbs.count, degree);
  encrypt_zero(*key_, limbs, seed, out, stream);
  kernels::add<Word>(out.poly_range(0, 1), plaintext.view(), out.poly_range(0, 1), limbs,
                     context.moduli(), stream);
  return {
      key_->context(),
      key_->id(),
      std::move(residues),
      2,
      plaintext.level(),
      plaintext.scale(),
      fresh_noise(plaintext, noise::public_key_encryption(noise::ring_of(context.parameters()))),
      combined(plaintext.history(), key_->history())};
}

SymmetricEncryptor::SymmetricEncryptor(std::shared_ptr<const SecretKey> key,
                                       std::shared_ptr<Randomness> randomness)
    : key_(std::move(key)), randomness_(std::move(randomness)) {
  check_key("SymmetricEncryptor", key_, randomness_);
}

SeededCiphertext SymmetricEncryptor::encrypt_seeded(const Plaintext& plaintext,
                                                    const Stream& stream) const {
  const Context& context = *key_->context();
  check_plaintext("SymmetricEncryptor::encrypt_seeded", context, plaintext, stream);
  const LimbIndices limbs = context.q_limbs(plaintext.level());
  const std::int64_t degree = context.degree();
  const PublicSeed public_seed = randomness_->next();
  const SecretSeed seed(randomness_->next());

  Buffer<Word> residues(limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), 1, limbs.count, degree);
  encrypt_zero_symmetric(*key_, limbs, public_seed, seed, out, stream);
  kernels::add<Word>(out, plaintext.view(), out, limbs, context.moduli(), stream);
  return {key_->context(),
          key_->id(),
          public_seed,
          std::move(residues),
          plaintext.level(),
          plaintext.scale(),
          fresh_noise(plaintext, noise::symmetric_encryption(static_cast<double>(degree))),
          plaintext.history()};
}

Ciphertext SymmetricEncryptor::encrypt(const Plaintext& plaintext, const Stream& stream) const {
  return encrypt_seeded(plaintext, stream).expand(stream);
}

}  // namespace velum::he
