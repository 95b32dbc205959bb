#include "velum/he/aggregation/encrypted_vector.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "aggregation/rounds.h"
#include "velum/kernels/polynomial/elementwise.h"

namespace velum::he::aggregation {
namespace {

template <typename T>
RnsView<T> view_of(const AggregationContext& context, T* data) {
  return {data, context.plan().ciphertexts(), context.limbs().count, context.ring()->degree()};
}

}  // namespace

EncryptedVector::EncryptedVector(std::shared_ptr<const AggregationContext> context,
                                 const Round& round, int owner, const KeyId& key_id,
                                 Buffer<Word> residues)
    : context_(std::move(context)),
      round_(round),
      owner_(owner),
      key_id_(key_id),
      residues_(std::move(residues)) {}

RnsView<const Word> EncryptedVector::view() const {
  return view_of<const Word>(*context_, residues_.data());
}

EncryptedSum::EncryptedSum(std::shared_ptr<const AggregationContext> context, const Round& round,
                           const Stream& stream)
    : context_(std::move(context)), round_(round), residues_(context_->words(), stream) {
  context_->ring()->check_stream("EncryptedSum", stream);
}

RnsView<const Word> EncryptedSum::view() const {
  return view_of<const Word>(*context_, residues_.data());
}

void EncryptedSum::add(const std::vector<const EncryptedVector*>& vectors, const Stream& stream) {
  const char* const function = "EncryptedSum::add";
  context_->ring()->check_stream(function, stream);
  if (vectors.empty()) return;
  std::vector<int> owners = owners_;
  for (const EncryptedVector* const vector : vectors) {
    check_same_backend(function, *context_, *vector->context());
    check_same_round(function, vector->round(), round_);
    const auto at = std::lower_bound(owners.begin(), owners.end(), vector->owner());
    if (at != owners.end() && *at == vector->owner()) {
      throw std::invalid_argument(std::string(function) + ": owner " +
                                  std::to_string(vector->owner()) + " is in the sum already");
    }
    owners.insert(at, vector->owner());
  }
  const RnsView<Word> sum = view_of<Word>(*context_, residues_.data());
  const LimbIndices limbs = context_->limbs();
  const bool first_ones = owners_.empty();
  for_each_ciphertext(sum.polys, stream,
                      [&](std::int64_t first, std::int64_t count, const Stream& on) {
                        const RnsView<Word> out = sum.poly_range(first, count);
                        std::size_t i = 0;
                        if (first_ones) {
                          const auto a = vectors[i++]->view().poly_range(first, count);
                          if (vectors.size() == 1) return kernels::copy_limbs<Word>(a, out, on);
                          const auto b = vectors[i++]->view().poly_range(first, count);
                          kernels::add<Word>(a, b, out, limbs, context_->ring()->moduli(), on);
                        }
                        for (; i < vectors.size(); ++i) {
                          kernels::add<Word>(out, vectors[i]->view().poly_range(first, count), out,
                                             limbs, context_->ring()->moduli(), on);
                        }
                      });
  owners_ = std::move(owners);
}

}  // namespace velum::he::aggregation
