#include "velum/he/aggregation/decryption.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "aggregation/rounds.h"
#include "aggregation/secret_product.h"
#include "residues_of.h"
#include "secret_key_material.h"
#include "sha256.h"
#include "threshold/transcript.h"
#include "velum/he/threshold/smudging.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he::aggregation {
namespace {

/// Of the mask polynomials that two parties share in one decryption.
kernels::RandomKey mask_seed(const AggregationPlan& plan, const Round& round,
                             const std::vector<int>& owners, const std::vector<int>& parties,
                             const kernels::RandomKey& key) {
  Sha256 hash;
  hash.update_text("velum aggregation mask 1");
  for (const std::uint32_t word : key.words) hash.update_u32(word);
  hash.update(plan.id().data(), plan.id().size());
  hash.update(round.group.data(), round.group.size());
  hash.update_u64(round.number);
  for (const std::vector<int>* const numbers : {&owners, &parties}) {
    hash.update_u64(numbers->size());
    for (const int number : *numbers) hash.update_u32(static_cast<std::uint32_t>(number));
  }
  return threshold::random_key_of(hash.finish());
}

/// One key that was drawn before, once: so that noise does not depend on the order of threads.
class DrawnBefore final : public Randomness {
 public:
  explicit DrawnBefore(const kernels::RandomKey& key) : seed_(key) {}
  kernels::RandomKey next() override {
    if (std::exchange(given_, true)) throw std::logic_error("PartialDecryptor: noise drawn twice");
    return seed_.key();
  }

 private:
  SecretSeed seed_;
  bool given_ = false;
};

void check_masks(const char* function, const MaskKeys& masks, int party, int owners) {
  for (int other = 1; other <= owners; ++other) {
    if (other != party && !masks.has(other)) {
      throw std::invalid_argument(std::string(function) + ": there is no mask key with party " +
                                  std::to_string(other) + ", expected one with every other owner");
    }
  }
}

}  // namespace

MaskKeys& MaskKeys::operator=(MaskKeys&& other) noexcept {
  MaskKeys taken(std::move(other));
  keys_.swap(taken.keys_);
  return *this;
}

MaskKeys::~MaskKeys() {
  for (auto& [other, key] : keys_) kernels::wipe(key);
}

void MaskKeys::set(int other, const kernels::RandomKey& key) { keys_[other] = key; }

DecryptionShare::DecryptionShare(std::shared_ptr<const AggregationContext> context,
                                 const Round& round, std::vector<int> owners,
                                 std::vector<int> parties, int party, Buffer<Word> residues)
    : context_(std::move(context)),
      round_(round),
      owners_(std::move(owners)),
      parties_(std::move(parties)),
      party_(party),
      residues_(std::move(residues)) {}

RnsView<const Word> DecryptionShare::view() const {
  return {residues_.data(), context_->plan().ciphertexts(), context_->limbs().count,
          context_->ring()->degree()};
}

PartialDecryptor::PartialDecryptor(std::shared_ptr<const AggregationContext> context,
                                   std::shared_ptr<const SecretKey> secret, int party,
                                   const Digest& group, MaskKeys masks,
                                   threshold::OnceRegister once,
                                   std::shared_ptr<Randomness> randomness)
    : context_(std::move(context)),
      secret_(std::move(secret)),
      party_(party),
      group_(group),
      masks_(std::move(masks)),
      once_(std::move(once)),
      randomness_(std::move(randomness)) {
  const char* const function = "PartialDecryptor";
  check_member(function, context_, party_, once_, randomness_);
  check_masks(function, masks_, party_, context_->plan().owners());
  check_secret(function, *context_, secret_);
  if (context_->plan().request().threshold != 0) {
    throw std::invalid_argument(
        std::string(function) + ": the plan has the threshold " +
        std::to_string(context_->plan().request().threshold) +
        ", expected the shares of all owners' secrets in place of the own secret");
  }
}

PartialDecryptor::PartialDecryptor(std::shared_ptr<const AggregationContext> context,
                                   std::vector<threshold::SecretPolynomial> shares, int party,
                                   const Digest& group, MaskKeys masks,
                                   threshold::OnceRegister once,
                                   std::shared_ptr<Randomness> randomness)
    : context_(std::move(context)),
      shares_(std::move(shares)),
      party_(party),
      group_(group),
      masks_(std::move(masks)),
      once_(std::move(once)),
      randomness_(std::move(randomness)) {
  const char* const function = "PartialDecryptor";
  check_member(function, context_, party_, once_, randomness_);
  check_masks(function, masks_, party_, context_->plan().owners());
  if (context_->plan().request().threshold == 0) {
    throw std::invalid_argument(
        std::string(function) +
        ": the plan has no threshold, expected the own secret in place of shares");
  }
  if (static_cast<int>(shares_.size()) != context_->plan().owners()) {
    throw std::invalid_argument(std::string(function) + ": " + std::to_string(shares_.size()) +
                                " shares, expected one of each of the " +
                                std::to_string(context_->plan().owners()) + " owners");
  }
  for (const threshold::SecretPolynomial& share : shares_) {
    if (share.context() != context_->ring()) {
      throw std::invalid_argument(std::string(function) +
                                  ": a share belongs to another ring than the plan's");
    }
  }
}

DecryptionShare PartialDecryptor::share(std::uint64_t round, const std::vector<int>& owners,
                                        const std::vector<int>& parties,
                                        const Stream& stream) const {
  const char* const function = "PartialDecryptor::share";
  const std::shared_ptr<const Context>& ring = context_->ring();
  const AggregationPlan& plan = context_->plan();
  ring->check_stream(function, stream);
  check_sum(function, plan, owners, parties);
  if (std::find(parties.begin(), parties.end(), party_) == parties.end()) {
    throw std::invalid_argument(std::string(function) + ": party " + std::to_string(party_) +
                                " is none of those that decrypt");
  }
  const Round here{group_, round};
  const std::string name = "party " + std::to_string(party_);
  threshold::claim_once(once_, function, "he.aggregation.share",
                        use_of(here, name.data(), name.size()),
                        "a decryption share of this party in " + to_string(here));

  const LimbIndices limbs = context_->limbs();
  const int level = ring->parameters().max_level();
  const std::int64_t degree = ring->degree();
  // This party's part of the sum of the owners' secrets.
  threshold::SecretPolynomial part(ring, stream);
  if (secret_ != nullptr) {
    kernels::copy_limbs<Word>(secret_->material().view(*ring, 0, limbs.count), part.mutable_view(),
                              stream);
  } else {
    for (const int owner : owners) part.add(shares_[static_cast<std::size_t>(owner - 1)], stream);
    const std::vector<Word> lambda = threshold::lagrange_at_zero(*ring, level, parties, party_);
    std::vector<kernels::ShoupFactor<Word>> factors;
    for (int i = 0; i < limbs.count; ++i) {
      factors.push_back(
          kernels::shoup_factor(lambda[static_cast<std::size_t>(i)], ring->moduli()[limbs[i]]));
    }
    const Buffer<kernels::ShoupFactor<Word>> on_backend = resident(factors, stream);
    kernels::multiply_factors<Word>(part.view(level), on_backend.span(), part.mutable_view(), limbs,
                                    ring->moduli(), stream);
    kernels::synchronize(stream);
  }

  std::vector<std::pair<int, std::unique_ptr<const SecretSeed>>> mask_seeds;
  for (const int other : parties) {
    if (other == party_) continue;
    mask_seeds.emplace_back(other, std::make_unique<const SecretSeed>(
                                       mask_seed(plan, here, owners, parties, masks_.at(other))));
  }
  std::vector<std::unique_ptr<DrawnBefore>> noise;
  for (std::int64_t i = 0; i < plan.ciphertexts(); ++i)
    noise.push_back(std::make_unique<DrawnBefore>(randomness_->next()));
  const PublicSeed public_seed = public_seed_of(plan, here);
  Buffer<Word> residues(context_->words(), stream);
  const RnsView<Word> all(residues.data(), plan.ciphertexts(), limbs.count, degree);
  for_each_ciphertext(
      all.polys, stream, [&](std::int64_t first, std::int64_t count, const Stream& on) {
        const RnsView<Word> out = all.poly_range(first, count);
        // Not in memory that others may read until the noise is on it.
        SecretBuffer<Word> memory(count * limbs.count * degree, on);
        const RnsView<Word> product(memory.data(), count, limbs.count, degree);
        multiply_public(*context_, public_seed, first, part.view(level), product, on);
        for (std::int64_t i = 0; i < count; ++i) {
          threshold::add_smudging(*ring, plan.smudging(), level, product.poly_range(i, 1),
                                  *noise[static_cast<std::size_t>(first + i)], on);
        }
        kernels::ntt_inverse_inplace(product, limbs, ring->tables(), on);
        SecretBuffer<Word> mask_memory(memory.size(), on);
        const RnsView<Word> mask(mask_memory.data(), count, limbs.count, degree);
        for (const auto& [other, seed] : mask_seeds) {
          fill_uniform(*ring, mask, limbs, seed->key(), static_cast<std::uint64_t>(first), on);
          if (party_ < other) {
            kernels::add<Word>(product, mask, product, limbs, ring->moduli(), on);
          } else {
            kernels::subtract<Word>(product, mask, product, limbs, ring->moduli(), on);
          }
        }
        kernels::copy_limbs<Word>(product, out, on);
        kernels::synchronize(on);
      });
  clear_unused(plan, all, stream);
  return {context_, here, owners, parties, party_, std::move(residues)};
}

std::vector<std::int32_t> decrypt_sum(const EncryptedSum& sum,
                                      const std::vector<const DecryptionShare*>& shares,
                                      const Stream& stream) {
  const char* const function = "decrypt_sum";
  const AggregationContext& context = *sum.context();
  const AggregationPlan& plan = context.plan();
  context.ring()->check_stream(function, stream);
  if (shares.empty()) throw std::invalid_argument("decrypt_sum: no shares");
  std::vector<int> found;
  for (const DecryptionShare* const share : shares) {
    check_same_backend(function, context, *share->context());
    check_same_round(function, share->round(), sum.round());
    if (share->owners() != sum.owners()) {
      throw std::invalid_argument(std::string(function) + ": the share of party " +
                                  std::to_string(share->party()) + " is for a sum of other owners");
    }
    if (share->parties() != shares.front()->parties()) {
      throw std::invalid_argument(std::string(function) + ": the share of party " +
                                  std::to_string(share->party()) +
                                  " belongs to those of other parties");
    }
    found.push_back(share->party());
  }
  std::sort(found.begin(), found.end());
  check_sum(function, plan, sum.owners(), shares.front()->parties());
  if (found != shares.front()->parties()) {
    std::string text;
    for (const int party : shares.front()->parties()) text += " " + std::to_string(party);
    throw std::invalid_argument(std::string(function) + ": " + std::to_string(found.size()) +
                                " shares, expected one of each of the parties" + text);
  }

  const LimbIndices limbs = context.limbs();
  const std::int64_t degree = context.ring()->degree(), coefficients = plan.coefficients();
  const auto summed = static_cast<std::int64_t>(sum.owners().size());
  const auto offset = static_cast<std::uint32_t>(-summed * plan.smallest_value());
  std::vector<std::int32_t> values(static_cast<std::size_t>(plan.values()));
  std::vector<std::int32_t> deviations(static_cast<std::size_t>(coefficients));
  const bool device = stream.backend() == Backend::kCuda;
  Buffer<std::int32_t> values_there(device ? plan.values() : 0, stream);
  Buffer<std::int32_t> deviations_there(device ? coefficients : 0, stream);
  const Span<std::int32_t> values_out = device ? values_there.span() : Span<std::int32_t>(values);
  const Span<std::int32_t> deviations_out =
      device ? deviations_there.span() : Span<std::int32_t>(deviations);
  for_each_ciphertext(
      plan.ciphertexts(), stream, [&](std::int64_t first, std::int64_t count, const Stream& on) {
        const auto memory = context.ring()->workspace().take(count * limbs.count * degree, on);
        const RnsView<Word> phase(memory.data(), count, limbs.count, degree);
        RnsView<const Word> so_far = sum.view().poly_range(first, count);
        for (const DecryptionShare* const share : shares) {
          kernels::add<Word>(so_far, share->view().poly_range(first, count), phase, limbs,
                             context.ring()->moduli(), on);
          so_far = phase;
        }
        kernels::unpack_digits(phase, coefficients, first * degree, offset, values_out,
                               deviations_out, context.packing(), on);
      });
  if (device) {
    kernels::copy(Span<const std::int32_t>(values_out), Span<std::int32_t>(values), stream);
    kernels::copy(Span<const std::int32_t>(deviations_out), Span<std::int32_t>(deviations), stream);
    kernels::synchronize(stream);
  }
  const std::uint32_t most = context.packing().largest_deviation(plan.noise_bound());
  for (std::size_t k = 0; k < deviations.size(); ++k) {
    const auto deviation = static_cast<std::int64_t>(deviations[k]);
    if (deviation > most || -deviation > most) {
      throw std::runtime_error(
          std::string(function) + ": coefficient " + std::to_string(k) +
          " has more noise than the plan proves: a vector or a share is not of this round, was "
          "not made as velum makes it, or was damaged");
    }
  }
  const std::int64_t low = summed * plan.smallest_value(), high = summed * plan.largest_value();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] < low || values[i] > high) {
      throw std::runtime_error(std::string(function) + ": the sum of value " + std::to_string(i) +
                               " is outside of " + std::to_string(low) + " to " +
                               std::to_string(high) +
                               ": a vector was not made as velum makes it, or was damaged");
    }
  }
  return values;
}

}  // namespace velum::he::aggregation
