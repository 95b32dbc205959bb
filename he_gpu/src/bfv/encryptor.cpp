#include "velum/he/bfv/encryptor.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "bfv/noise_bound.h"
#include "bfv/scaled_message.h"
#include "encryption.h"
#include "velum/kernels/polynomial/elementwise.h"

namespace velum::he::bfv {
namespace {

template <typename Key>
void check_key(const char* function, const std::shared_ptr<const Key>& key,
               const std::shared_ptr<Randomness>& randomness) {
  if (key == nullptr || randomness == nullptr) {
    throw std::invalid_argument(std::string(function) + ": key or randomness is null");
  }
  key->context()->check_scheme(function, SchemeType::kBfv);
}

/// The level to encrypt at.
int checked_level(const char* function, const Context& context, const Plaintext& plaintext,
                  const EncryptOptions& options, const Stream& stream) {
  context.check_stream(function, stream);
  if (!(plaintext.context()->parameters() == context.parameters()) ||
      plaintext.context()->backend() != context.backend()) {
    throw std::invalid_argument(
        std::string(function) +
        ": the plaintext has other parameters than the key, or lies on another backend");
  }
  const int top = context.parameters().max_level();
  const int level = options.level == -1 ? top : options.level;
  if (level < 0 || level > top) {
    throw std::invalid_argument(std::string(function) +
                                ": level = " + std::to_string(options.level) + ", expected 0 to " +
                                std::to_string(top) + ", or -1");
  }
  return level;
}

NoiseBound checked_noise(const char* function, const Context& context, int level,
                         const NoiseBound& noise) {
  if (!(noise::budget(context.parameters(), level, noise) > 0.0)) {
    throw std::invalid_argument(
        std::string(function) + ": a fresh encryption at level " + std::to_string(level) +
        " could have more noise than the plaintext modulus leaves room for, expected a higher "
        "level or parameters with more modulus_bits");
  }
  return noise;
}

}  // namespace

Encryptor::Encryptor(std::shared_ptr<const PublicKey> key, std::shared_ptr<Randomness> randomness)
    : key_(std::move(key)), randomness_(std::move(randomness)) {
  check_key("bfv::Encryptor", key_, randomness_);
}

Ciphertext Encryptor::encrypt(const Plaintext& plaintext, const Stream& stream,
                              const EncryptOptions& options) const {
  const char* const function = "bfv::Encryptor::encrypt";
  const Context& context = *key_->context();
  const int level = checked_level(function, context, plaintext, options, stream);
  const NoiseBound noise =
      checked_noise(function, context, level,
                    noise::public_key_encryption(he::noise::ring_of(context.parameters())));
  const LimbIndices limbs = context.q_limbs(level);
  const std::int64_t degree = context.degree();
  const SecretSeed seed(randomness_->next());
  Buffer<Word> residues(2 * limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), 2, limbs.count, degree);
  encrypt_zero(*key_, limbs, seed, out, stream);
  const Buffer<Word> scaled(limbs.count * degree, stream);
  const RnsView<Word> message(scaled.data(), 1, limbs.count, degree);
  scale_message(context, plaintext, level, message, stream);
  kernels::add<Word>(out.poly_range(0, 1), message, out.poly_range(0, 1), limbs, context.moduli(),
                     stream);
  return {key_->context(), key_->id(), std::move(residues), 2, level, noise, key_->history()};
}

SymmetricEncryptor::SymmetricEncryptor(std::shared_ptr<const SecretKey> key,
                                       std::shared_ptr<Randomness> randomness)
    : key_(std::move(key)), randomness_(std::move(randomness)) {
  check_key("bfv::SymmetricEncryptor", key_, randomness_);
}

SeededCiphertext SymmetricEncryptor::encrypt_seeded(const Plaintext& plaintext,
                                                    const Stream& stream,
                                                    const EncryptOptions& options) const {
  const char* const function = "bfv::SymmetricEncryptor::encrypt";
  const Context& context = *key_->context();
  const int level = checked_level(function, context, plaintext, options, stream);
  const NoiseBound noise = checked_noise(
      function, context, level, noise::symmetric_encryption(static_cast<double>(context.degree())));
  const LimbIndices limbs = context.q_limbs(level);
  const std::int64_t degree = context.degree();
  const PublicSeed public_seed = randomness_->next();
  const SecretSeed seed(randomness_->next());
  Buffer<Word> residues(limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), 1, limbs.count, degree);
  encrypt_zero_symmetric(*key_, limbs, public_seed, seed, out, stream);
  const Buffer<Word> scaled(limbs.count * degree, stream);
  const RnsView<Word> message(scaled.data(), 1, limbs.count, degree);
  scale_message(context, plaintext, level, message, stream);
  kernels::add<Word>(out, message, out, limbs, context.moduli(), stream);
  return {key_->context(), key_->id(), public_seed,    std::move(residues),
          level,           noise,      History::kKnown};
}

Ciphertext SymmetricEncryptor::encrypt(const Plaintext& plaintext, const Stream& stream,
                                       const EncryptOptions& options) const {
  return encrypt_seeded(plaintext, stream, options).expand(stream);
}

}  // namespace velum::he::bfv
