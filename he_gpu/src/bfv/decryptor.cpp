#include "velum/he/bfv/decryptor.h"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bfv/noise_budget.h"
#include "bfv/scaled_message.h"
#include "bfv/tables.h"
#include "encryption.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he::bfv {
namespace {

void check(const char* function, const SecretKey& key, const Ciphertext& ciphertext,
           const Stream& stream) {
  const Context& context = *key.context();
  context.check_stream(function, stream);
  if (!(ciphertext.context()->parameters() == context.parameters()) ||
      ciphertext.context()->backend() != context.backend()) {
    throw std::invalid_argument(
        std::string(function) +
        ": the ciphertext has other parameters than the key, or lies on another backend");
  }
  if (ciphertext.key_id() != key.id()) {
    throw std::invalid_argument(std::string(function) + ": the ciphertext belongs to key " +
                                to_string(ciphertext.key_id()) + ", this is key " +
                                to_string(key.id()));
  }
}

/// c_0 + c_1 s (+ c_2 s^2), [1, limbs, N], coefficient form. Its low bits are noise, which tells
/// about the key.
SecretBuffer<Word> phase(const SecretKey& key, const Ciphertext& ciphertext, const Stream& stream) {
  const Context& context = *key.context();
  const LimbIndices limbs = context.q_limbs(ciphertext.level());
  SecretBuffer<Word> residues(limbs.count * context.degree(), stream);
  const RnsView<Word> out(residues.data(), 1, limbs.count, context.degree());
  evaluate_at_secret(key, ciphertext.view(), limbs, out, stream);
  kernels::ntt_inverse_inplace(out, limbs, context.tables(), stream);
  return residues;
}

}  // namespace

Decryptor::Decryptor(std::shared_ptr<const SecretKey> key) : key_(std::move(key)) {
  if (key_ == nullptr) throw std::invalid_argument("bfv::Decryptor: key is null");
  key_->context()->check_scheme("bfv::Decryptor", SchemeType::kBfv);
}

Plaintext Decryptor::decrypt(const char* function, const Ciphertext& ciphertext,
                             const Stream& stream) const {
  check(function, *key_, ciphertext, stream);
  if (!(ciphertext.noise_budget_estimate() > 0.0)) {
    throw std::invalid_argument(std::string(function) + ": the noise budget estimate is " +
                                std::to_string(ciphertext.noise_budget_estimate()) +
                                " bits, expected above 0: nothing shows that the message is there");
  }
  const Context& context = *key_->context();
  const SecretBuffer<Word> residues = phase(*key_, ciphertext, stream);
  Plaintext message = unscaled_message(
      key_->context(),
      RnsView<const Word>(residues.data(), 1, context.parameters().limbs(ciphertext.level()),
                          context.degree()),
      ciphertext.level(), stream);
  kernels::synchronize(stream);  // the phase is wiped behind it
  return message;
}

Plaintext Decryptor::decrypt_for_owner(const Ciphertext& ciphertext, const Stream& stream) const {
  return decrypt("bfv::Decryptor::decrypt_for_owner", ciphertext, stream);
}

Plaintext Decryptor::decrypt_for_release(const Ciphertext& ciphertext, const Stream& stream) const {
  const char* const function = "bfv::Decryptor::decrypt_for_release";
  if (ciphertext.history() != History::kKnown) {
    throw std::invalid_argument(
        std::string(function) +
        ": the ciphertext, or something that went into it, was loaded, so nothing shows that its "
        "noise bound holds; expected one whose history is known, or that bfv::Ciphertext::"
        "vouch_for_history() was called for (docs/threat_model.md)");
  }
  return decrypt(function, ciphertext, stream);
}

double Decryptor::noise_budget_for_owner(const Ciphertext& ciphertext, const Stream& stream) const {
  check("bfv::Decryptor::noise_budget_for_owner", *key_, ciphertext, stream);
  const Context& context = *key_->context();
  const LimbIndices limbs = context.q_limbs(ciphertext.level());
  const SecretBuffer<Word> residues = phase(*key_, ciphertext, stream);
  const RnsView<Word> view(residues.data(), 1, limbs.count, context.degree());
  const auto& tables = context.bfv_tables().levels.at(static_cast<std::size_t>(ciphertext.level()));
  // t (Q/t m + v) = t v modulo Q.
  kernels::multiply_factors<Word>(view, {tables.plaintext_modulus.data(), limbs.count}, view, limbs,
                                  context.moduli(), stream);
  std::vector<Word> host(static_cast<std::size_t>(residues.size()));
  kernels::copy(Span<const Word>(residues.span()), Span<Word>(host), stream);
  kernels::synchronize(stream);
  return context.parameters().log_q(ciphertext.level()) - 1.0 -
         log2_largest(context, ciphertext.level(), host);
}

}  // namespace velum::he::bfv
