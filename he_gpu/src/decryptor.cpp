#include "velum/he/decryptor.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "encryption.h"
#include "noise.h"
#include "wide_gaussian.h"

namespace velum::he {

Decryptor::Decryptor(std::shared_ptr<const SecretKey> key, std::shared_ptr<Randomness> randomness)
    : key_(std::move(key)), randomness_(std::move(randomness)) {
  if (key_ == nullptr || randomness_ == nullptr)
    throw std::invalid_argument("Decryptor: key or randomness is null");
  key_->context()->check_scheme("Decryptor", SchemeType::kCkks);
}

Plaintext Decryptor::decrypt(const char* function, const Ciphertext& ciphertext, int draw_count,
                             const Stream& stream) const {
  const Context& context = *key_->context();
  context.check_stream(function, stream);
  if (!(ciphertext.context()->parameters() == context.parameters()) ||
      ciphertext.context()->backend() != context.backend()) {
    throw std::invalid_argument(
        std::string(function) +
        ": the ciphertext has other parameters than the key, or lies on another backend");
  }
  if (ciphertext.key_id() != key_->id()) {
    throw std::invalid_argument(std::string(function) + ": the ciphertext belongs to key " +
                                to_string(ciphertext.key_id()) + ", this is key " +
                                to_string(key_->id()));
  }
  const LimbIndices limbs = context.q_limbs(ciphertext.level());
  const std::int64_t degree = context.degree();
  Buffer<Word> residues(limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), 1, limbs.count, degree);
  evaluate_at_secret(*key_, ciphertext.view(), limbs, out, stream);
  NoiseEstimate noise = ciphertext.noise();
  if (draw_count > 0) {
    const SecretSeed seed(randomness_->next());
    add_wide_gaussian(context, draw_count, out, limbs, seed, stream);
    const double sigma = sigma_of_gaussian_draws(draw_count);
    const noise::Error added = noise::sum_error(static_cast<double>(degree), sigma * sigma);
    noise = noise::with_error(noise, noise::error_of(noise) + added);
  }
  return {key_->context(), std::move(residues), ciphertext.level(), ciphertext.scale(),
          noise,           ciphertext.history()};
}

Plaintext Decryptor::decrypt_for_owner(const Ciphertext& ciphertext, const Stream& stream) const {
  return decrypt("Decryptor::decrypt_for_owner", ciphertext, 0, stream);
}

Plaintext Decryptor::decrypt_for_release(const Ciphertext& ciphertext, const ReleasePolicy& policy,
                                         const Stream& stream) const {
  const std::string function = "Decryptor::decrypt_for_release";
  if (policy.queries < 1) {
    throw std::invalid_argument(function + ": queries = " + std::to_string(policy.queries) +
                                ", expected at least 1");
  }
  if (policy.statistical_bits < 10 || policy.statistical_bits > 128) {
    throw std::invalid_argument(function + ": statistical_bits = " +
                                std::to_string(policy.statistical_bits) + ", expected 10 to 128");
  }
  if (ciphertext.history() != History::kKnown) {
    throw std::invalid_argument(
        function +
        ": the ciphertext, or something that went into it, was loaded, so nothing shows that its "
        "noise bound holds; expected one whose history is known, or that Ciphertext::"
        "vouch_for_history() was called for (docs/noise.md)");
  }
  const double flooding = ciphertext.noise().slot_bound *
                          std::sqrt(12.0 * static_cast<double>(policy.queries)) *
                          std::exp2(0.5 * policy.statistical_bits);
  const int draw_count = gaussian_draws_for(flooding);
  // The message, its error and the largest draw that there is must fit into half of the modulus.
  const Parameters& parameters = ciphertext.context()->parameters();
  const double message = noise::largest_coefficient(ciphertext.noise(), ciphertext.scale(),
                                                    static_cast<double>(parameters.ring_degree()));
  const double log_q = parameters.log_q(ciphertext.level());
  if (!(flooding > 0.0 && draw_count <= kMostGaussianDraws &&
        std::log2(message + largest_of_gaussian_draws(draw_count)) + 1.0 < log_q)) {
    throw std::invalid_argument(
        function + ": noise of standard deviation 2^" + std::to_string(std::log2(flooding)) +
        " is needed beside a message of up to 2^" + std::to_string(std::log2(message)) +
        ", expected at most 2^115 and with the message about 2^-7 of the modulus 2^" +
        std::to_string(log_q) +
        ": release at a higher level and a larger scale, fewer queries, or fewer "
        "statistical_bits");
  }
  return decrypt(function.c_str(), ciphertext, draw_count, stream);
}

}  // namespace velum::he
