#include "velum/he/threshold/group.h"

#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "threshold/transcript.h"

namespace velum::he::threshold {

Group Group::create(std::shared_ptr<const Context> context, const GroupShape& shape,
                    const std::shared_ptr<Randomness>& randomness) {
  if (randomness == nullptr) throw std::invalid_argument("Group: randomness is null");
  return {std::move(context), shape, randomness->next()};
}

Group::Group(std::shared_ptr<const Context> context, const GroupShape& shape,
             const PublicSeed& seed)
    : context_(std::move(context)), shape_(shape), seed_(seed) {
  if (context_ == nullptr) throw std::invalid_argument("Group: context is null");
  const int most = context_->parameters().parties();
  if (shape.parties < 2 || shape.parties > most) {
    throw std::invalid_argument(
        "Group: parties = " + std::to_string(shape.parties) +
        ", expected 2 to what the parameters are made for, " + std::to_string(most) +
        "; ParametersBuilder::parties says how many, and noise bounds count with it");
  }
  if (shape.threshold < 2 || shape.threshold > shape.parties) {
    throw std::invalid_argument("Group: threshold = " + std::to_string(shape.threshold) +
                                ", expected 2 to parties = " + std::to_string(shape.parties));
  }
  // Bits out of range are refused here, and not when something is decrypted.
  smudging_for("Group", context_->parameters(), shape.smudging, 1.0, 1.0);
  Sha256 hash;
  hash.update_text("velum threshold group 1");
  const ParametersId& parameters = context_->parameters().id();
  hash.update(parameters.data(), parameters.size());
  for (const int number : {shape.parties, shape.threshold, shape.smudging.statistical_bits})
    hash.update_u32(static_cast<std::uint32_t>(number));
  for (const std::uint32_t word : seed.words) hash.update_u32(word);
  id_ = hash.finish();
  key_id_ = key_id_of(id_);
}

std::vector<int> Group::everybody() const {
  std::vector<int> numbers(static_cast<std::size_t>(shape_.parties));
  std::iota(numbers.begin(), numbers.end(), 1);
  return numbers;
}

PublicSeed Group::polynomials_of(std::string_view purpose, const Digest& subject) const {
  Sha256 hash;
  hash.update_text("velum threshold polynomials 1");
  hash.update(id_.data(), id_.size());
  hash.update_text(purpose);
  hash.update(subject.data(), subject.size());
  return random_key_of(hash.finish());
}

}  // namespace velum::he::threshold
