#include "velum/he/ciphertext.h"

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "noise.h"
#include "rns_random.h"

namespace velum::he {

Plaintext::Plaintext(std::shared_ptr<const Context> context, Buffer<Word> residues, int level,
                     double scale, const NoiseEstimate& noise, History history)
    : context_(std::move(context)),
      residues_(std::move(residues)),
      level_(level),
      scale_(scale),
      noise_(noise),
      history_(history) {}

RnsView<const Word> Plaintext::view() const {
  return {residues_.data(), 1, context_->parameters().limbs(level_), context_->degree()};
}

Ciphertext::Ciphertext(std::shared_ptr<const Context> context, const KeyId& key_id,
                       Buffer<Word> residues, int size, int level, double scale,
                       const NoiseEstimate& noise, History history)
    : context_(std::move(context)),
      key_id_(key_id),
      residues_(std::move(residues)),
      size_(size),
      level_(level),
      scale_(scale),
      noise_(noise),
      history_(history) {}

double Ciphertext::estimated_error() const { return std::sqrt(noise_.slot_variance) / scale_; }
double Ciphertext::estimated_precision_bits() const { return -std::log2(estimated_error()); }

RnsView<const Word> Ciphertext::view() const {
  return {residues_.data(), size_, context_->parameters().limbs(level_), context_->degree()};
}
RnsView<Word> Ciphertext::mutable_view() {
  return {residues_.data(), size_, context_->parameters().limbs(level_), context_->degree()};
}

void Ciphertext::declare_message_bound(double bound) {
  if (!(bound > 0.0 && std::isfinite(bound))) {
    throw std::invalid_argument("Ciphertext::declare_message_bound: bound = " +
                                std::to_string(bound) + ", expected finite and > 0");
  }
  noise_ = noise::with_message_bound(noise_, bound);
}

Ciphertext Ciphertext::copy(const Stream& stream) const {
  Buffer<Word> residues(residues_.size(), stream);
  const RnsView<const Word> from = view();
  kernels::copy_limbs<Word>(from, {residues.data(), from.polys, from.limbs, from.degree}, stream);
  return {context_, key_id_, std::move(residues), size_, level_, scale_, noise_, history_};
}

SeededCiphertext::SeededCiphertext(std::shared_ptr<const Context> context, const KeyId& key_id,
                                   const PublicSeed& seed, Buffer<Word> residues, int level,
                                   double scale, const NoiseEstimate& noise, History history)
    : context_(std::move(context)),
      key_id_(key_id),
      seed_(seed),
      residues_(std::move(residues)),
      level_(level),
      scale_(scale),
      noise_(noise),
      history_(history) {}

RnsView<const Word> SeededCiphertext::view() const {
  return {residues_.data(), 1, context_->parameters().limbs(level_), context_->degree()};
}

Ciphertext SeededCiphertext::expand(const Stream& stream) const {
  context_->check_stream("SeededCiphertext::expand", stream);
  const int limbs = context_->parameters().limbs(level_);
  Buffer<Word> residues(2 * limbs * context_->degree(), stream);
  const RnsView<Word> out(residues.data(), 2, limbs, context_->degree());
  kernels::copy_limbs<Word>(view(), out.poly_range(0, 1), stream);
  fill_uniform(*context_, out.poly_range(1, 1), context_->q_limbs(level_), seed_, 0, stream);
  return {context_, key_id_, std::move(residues), 2, level_, scale_, noise_, history_};
}

}  // namespace velum::he
