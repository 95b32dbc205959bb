#include "velum/he/key_generator.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "encryption.h"
#include "key_switching.h"
#include "rns_random.h"
#include "secret_key_material.h"
#include "velum/kernels/polynomial/automorphism.h"

namespace velum::he {
namespace {

KeyId new_id(Randomness& randomness) {
  const kernels::RandomKey random = randomness.next();
  KeyId id{};
  for (std::size_t i = 0; i < id.size(); ++i) {
    id[i] = static_cast<std::uint8_t>(random.words[i / 4] >> (8 * (i % 4)));
  }
  return id;
}

}  // namespace

KeyGenerator::KeyGenerator(std::shared_ptr<const Context> context,
                           std::shared_ptr<Randomness> randomness)
    : context_(std::move(context)), randomness_(std::move(randomness)) {
  if (context_ == nullptr || randomness_ == nullptr) {
    throw std::invalid_argument("KeyGenerator: context or randomness is null");
  }
}

void KeyGenerator::check(const char* function, const SecretKey& secret,
                         const Stream& stream) const {
  context_->check_stream(function, stream);
  if (secret.context() != context_) {
    throw std::invalid_argument(std::string(function) +
                                ": the secret key belongs to another context");
  }
}

SecretKey KeyGenerator::secret_key(const Stream& stream) {
  context_->check_stream("KeyGenerator::secret_key", stream);
  const KeyId id = new_id(*randomness_);
  const SecretSeed seed(randomness_->next());
  SecretBuffer<std::int8_t> coefficients(context_->degree(), stream);
  kernels::ternary_fill(coefficients.span(), seed.key(), {kernels::Purpose::kHeSecretKey, 0, 0, 0},
                        stream);
  auto material = std::make_unique<SecretKey::Material>(*context_, std::move(coefficients), stream);
  kernels::synchronize(stream);
  return SecretKey(context_, id, std::move(material));
}

SecretKey KeyGenerator::fixed_weight_secret_key_insecure(std::int64_t weight,
                                                         const Stream& stream) {
  context_->check_stream("KeyGenerator::fixed_weight_secret_key_insecure", stream);
  if (weight < 1 || weight > context_->degree()) {
    throw std::invalid_argument(
        "KeyGenerator::fixed_weight_secret_key_insecure: weight = " + std::to_string(weight) +
        ", expected 1 to N = " + std::to_string(context_->degree()));
  }
  const KeyId id = new_id(*randomness_);
  const SecretSeed seed(randomness_->next());
  SecretBuffer<std::int8_t> coefficients(context_->degree(), stream);
  kernels::fixed_weight_ternary_fill_insecure(weight, coefficients.span(), seed.key(),
                                              {kernels::Purpose::kHeSecretKey, 0, 0, 0}, stream);
  auto material = std::make_unique<SecretKey::Material>(*context_, std::move(coefficients), stream);
  kernels::synchronize(stream);
  return SecretKey(context_, id, std::move(material));
}

PublicKey KeyGenerator::public_key(const SecretKey& secret, const Stream& stream) {
  check("KeyGenerator::public_key", secret, stream);
  const Parameters& parameters = context_->parameters();
  const LimbIndices limbs = context_->q_limbs(parameters.max_level());
  const PublicSeed public_seed = randomness_->next();
  const SecretSeed seed(randomness_->next());
  Buffer<Word> residues(2 * limbs.count * context_->degree(), stream);
  const RnsView<Word> key(residues.data(), 2, limbs.count, context_->degree());
  fill_uniform(*context_, key.poly_range(1, 1), limbs, public_seed, 0, stream);
  hide_secret(*context_, key.poly_range(1, 1),
              secret.material().view(*context_, parameters.special_prime_count(), limbs.count),
              key.poly_range(0, 1), limbs, seed, stream);
  kernels::synchronize(stream);
  return PublicKey(context_, secret.id(), public_seed, std::move(residues), History::kKnown);
}

KeySwitchingKey KeyGenerator::switch_from(const Word* source, const SecretKey& secret,
                                          const Stream& stream) {
  const Parameters& parameters = context_->parameters();
  key_switching::check_parameters("KeyGenerator", parameters);
  const int dnum = parameters.dnum();
  const std::int64_t degree = context_->degree();
  const LimbIndices limbs = context_->qp_limbs(parameters.max_level());
  const std::int64_t poly = limbs.count * degree;
  const PublicSeed public_seed = randomness_->next();
  const SecretSeed seed(randomness_->next());

  Buffer<Word> residues(2 * dnum * poly, stream);
  const RnsView<Word> b(residues.data(), dnum, limbs.count, degree,
                        2 * poly);  // every second polynomial
  const RnsView<Word> a(residues.data() + poly, dnum, limbs.count, degree, 2 * poly);
  fill_uniform(*context_, a, limbs, public_seed, 0, stream);
  hide_secret(*context_, a, secret.material().view(*context_, 0, limbs.count), b, limbs, seed,
              stream);
  key_switching::add_source(*context_, source, b, stream);
  kernels::synchronize(stream);
  return KeySwitchingKey(context_, secret.id(), public_seed, std::move(residues), History::kKnown);
}

RelinearizationKey KeyGenerator::relinearization_key(const SecretKey& secret,
                                                     const Stream& stream) {
  check("KeyGenerator::relinearization_key", secret, stream);
  const Parameters& parameters = context_->parameters();
  const LimbIndices limbs = context_->q_limbs(parameters.max_level());
  SecretBuffer<Word> square(limbs.count * context_->degree(), stream);
  const auto s = secret.material().view(*context_, parameters.special_prime_count(), limbs.count);
  kernels::multiply<Word>(s, s, {square.data(), 1, limbs.count, context_->degree()}, limbs,
                          context_->moduli(), stream);
  return {switch_from(square.data(), secret, stream)};
}

GaloisKeys KeyGenerator::galois_keys(const SecretKey& secret,
                                     const std::vector<std::int64_t>& steps, bool conjugation,
                                     const Stream& stream) {
  const int log_n = context_->parameters().log_n();
  std::vector<std::uint32_t> elements;
  for (const std::int64_t step : steps) {
    const std::uint32_t element = galois_element_of_rotation(log_n, step);
    if (element != 1) elements.push_back(element);  // a rotation by nothing needs no key
  }
  if (conjugation) elements.push_back(galois_element_of_conjugation(log_n));
  return galois_keys_of_elements(secret, elements, stream);
}

GaloisKeys KeyGenerator::galois_keys_of_elements(const SecretKey& secret,
                                                 const std::vector<std::uint32_t>& elements,
                                                 const Stream& stream) {
  check("KeyGenerator::galois_keys", secret, stream);
  const Parameters& parameters = context_->parameters();
  const LimbIndices limbs = context_->q_limbs(parameters.max_level());
  SecretBuffer<Word> image(limbs.count * context_->degree(), stream);
  GaloisKeys keys;
  for (const std::uint32_t element : elements) {
    key_switching::check_galois_element("KeyGenerator::galois_keys", parameters, element);
    if (keys.has(element)) continue;
    kernels::automorphism_ntt<Word>(
        secret.material().view(*context_, parameters.special_prime_count(), limbs.count),
        {image.data(), 1, limbs.count, context_->degree()}, element, stream);
    keys.keys.emplace(element, switch_from(image.data(), secret, stream));
  }
  return keys;
}

KeySwitchingKey KeyGenerator::key_switching_key(const SecretKey& from, const SecretKey& to,
                                                const Stream& stream) {
  check("KeyGenerator::key_switching_key", from, stream);
  check("KeyGenerator::key_switching_key", to, stream);
  return switch_from(from.material().residues.data() +
                         context_->parameters().special_prime_count() * context_->degree(),
                     to, stream);
}

}  // namespace velum::he
