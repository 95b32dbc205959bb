#include "velum/he/bfv/ciphertext.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "bfv/message.h"
#include "bfv/noise_bound.h"
#include "bfv/scaled_message.h"
#include "bfv/tables.h"
#include "rns_random.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/modulus_ratio.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he::bfv {

Plaintext::Plaintext(std::shared_ptr<const Context> context, Buffer<std::int64_t> coefficients,
                     double coefficient_sum)
    : context_(std::move(context)),
      coefficients_(std::move(coefficients)),
      coefficient_sum_(coefficient_sum) {
  context_->check_scheme("bfv::Plaintext", SchemeType::kBfv);
  if (coefficients_.size() != context_->degree()) {
    throw std::invalid_argument(
        "bfv::Plaintext: " + std::to_string(coefficients_.size()) +
        " coefficients, expected N = " + std::to_string(context_->degree()));
  }
}

Ciphertext::Ciphertext(std::shared_ptr<const Context> context, const KeyId& key_id,
                       Buffer<Word> residues, int size, int level, const NoiseBound& noise,
                       History history)
    : context_(std::move(context)),
      key_id_(key_id),
      residues_(std::move(residues)),
      size_(size),
      level_(level),
      noise_(noise),
      history_(history) {
  context_->check_scheme("bfv::Ciphertext", SchemeType::kBfv);
}

double Ciphertext::noise_budget_estimate() const {
  return noise::budget(context_->parameters(), level_, noise_);
}

RnsView<const Word> Ciphertext::view() const {
  return {residues_.data(), size_, context_->parameters().limbs(level_), context_->degree()};
}

Ciphertext Ciphertext::copy(const Stream& stream) const {
  Buffer<Word> residues(residues_.size(), stream);
  const RnsView<const Word> from = view();
  kernels::copy_limbs<Word>(from, {residues.data(), from.polys, from.limbs, from.degree}, stream);
  return {context_, key_id_, std::move(residues), size_, level_, noise_, history_};
}

SeededCiphertext::SeededCiphertext(std::shared_ptr<const Context> context, const KeyId& key_id,
                                   const PublicSeed& seed, Buffer<Word> residues, int level,
                                   const NoiseBound& noise, History history)
    : context_(std::move(context)),
      key_id_(key_id),
      seed_(seed),
      residues_(std::move(residues)),
      level_(level),
      noise_(noise),
      history_(history) {
  context_->check_scheme("bfv::SeededCiphertext", SchemeType::kBfv);
}

double SeededCiphertext::noise_budget_estimate() const {
  return noise::budget(context_->parameters(), level_, noise_);
}

RnsView<const Word> SeededCiphertext::view() const {
  return {residues_.data(), 1, context_->parameters().limbs(level_), context_->degree()};
}

Ciphertext SeededCiphertext::expand(const Stream& stream) const {
  context_->check_stream("bfv::SeededCiphertext::expand", stream);
  const int limbs = context_->parameters().limbs(level_);
  Buffer<Word> residues(2 * limbs * context_->degree(), stream);
  const RnsView<Word> out(residues.data(), 2, limbs, context_->degree());
  kernels::copy_limbs<Word>(view(), out.poly_range(0, 1), stream);
  fill_uniform(*context_, out.poly_range(1, 1), context_->q_limbs(level_), seed_, 0, stream);
  return {context_, key_id_, std::move(residues), 2, level_, noise_, history_};
}

void scale_message(const Context& context, const Plaintext& plaintext, int level, RnsView<Word> out,
                   const Stream& stream) {
  kernels::multiply_by_ratio(plaintext.coefficients(), out,
                             context.bfv_tables().levels.at(static_cast<std::size_t>(level)).ratio,
                             stream);
  kernels::ntt_forward_inplace(out, context.q_limbs(level), context.tables(), stream);
}

Plaintext unscaled_message(const std::shared_ptr<const Context>& context, RnsView<const Word> x,
                           int level, const Stream& stream) {
  Buffer<std::int64_t> coefficients(context->degree(), stream);
  kernels::divide_by_ratio(x, coefficients.span(),
                           context->bfv_tables().levels.at(static_cast<std::size_t>(level)).ratio,
                           stream);
  return {context, std::move(coefficients),
          message::largest_sum(context->degree(), context->parameters().plaintext_modulus())};
}

}  // namespace velum::he::bfv
