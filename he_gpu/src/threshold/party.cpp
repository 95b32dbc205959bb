#include "velum/he/threshold/party.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "encryption.h"
#include "key_switching.h"
#include "residues_of.h"
#include "rns_random.h"
#include "threshold/decryption.h"
#include "threshold/party_secrets.h"
#include "threshold/transcript.h"
#include "velum/he/key_generator.h"
#include "velum/kernels/polynomial/automorphism.h"

namespace velum::he::threshold {

struct Party::State {
  Group group;
  int index;
  OnceRegister once;
  std::shared_ptr<Randomness> randomness;
  /// u_i, between the rounds.
  std::unique_ptr<SecretKey::Material> ephemeral;
  /// What it has dealt to each, [n, 8], until it has received theirs.
  std::optional<SecretBuffer<std::uint32_t>> dealt;
};

namespace {

/// The key of the masks of two parties, from what each has dealt to the other.
kernels::RandomKey pair_key(const Group& group, const std::uint32_t* from_lower,
                            const std::uint32_t* from_higher) {
  Sha256 hash;
  hash.update_text("velum threshold pair 1");
  hash.update(group.id().data(), group.id().size());
  for (const std::uint32_t* words : {from_lower, from_higher})
    for (int i = 0; i < 8; ++i) hash.update_u32(words[i]);
  Digest digest = hash.finish();
  const kernels::RandomKey key = random_key_of(digest);
  digest.fill(0);
  return key;
}

/// out <- out + the masks of one party, which those of the other active ones cancel.
void add_masks(const Group& group, int index, const SecretBuffer<std::uint32_t>& pairs,
               const std::vector<int>& active, const Digest& subject, int level, RnsView<Word> out,
               const Stream& stream) {
  const Context& context = *group.context();
  const LimbIndices limbs = context.q_limbs(level);
  SecretBuffer<Word> memory(limbs.count * context.degree(), stream);
  const RnsView<Word> mask(memory.data(), 1, limbs.count, context.degree());
  for (const int other : active) {
    if (other == index) continue;
    Sha256 hash;
    hash.update_text("velum threshold mask 1");
    for (int i = 0; i < 8; ++i) hash.update_u32(pairs.data()[8 * (other - 1) + i]);
    hash.update(subject.data(), subject.size());
    hash.update_u64(active.size());
    for (const int party : active) hash.update_u32(static_cast<std::uint32_t>(party));
    const SecretSeed seed(random_key_of(hash.finish()));
    fill_uniform(context, mask, limbs, seed.key(), 0, stream);
    if (index < other) {
      kernels::add<Word>(out, mask, out, limbs, context.moduli(), stream);
    } else {
      kernels::subtract<Word>(out, mask, out, limbs, context.moduli(), stream);
    }
  }
  kernels::synchronize(stream);
}

}  // namespace

Party::Party(Group group, int index, OnceRegister once, std::unique_ptr<Secrets> secrets,
             std::shared_ptr<Randomness> randomness)
    : secrets_(std::move(secrets)) {
  if (index < 1 || index > group.parties()) {
    throw std::invalid_argument("Party: index = " + std::to_string(index) + ", expected 1 to " +
                                std::to_string(group.parties()));
  }
  if (once == nullptr || randomness == nullptr)
    throw std::invalid_argument("Party: once or randomness is null");
  state_ = std::make_unique<State>(
      State{std::move(group), index, std::move(once), std::move(randomness), nullptr, {}});
}

Party::Party(Group group, int index, OnceRegister once, const Stream& stream,
             std::shared_ptr<Randomness> randomness)
    : Party(std::move(group), index, std::move(once), std::unique_ptr<Secrets>(),
            std::move(randomness)) {
  secrets_ = std::make_unique<Secrets>(
      KeyGenerator(state_->group.context(), state_->randomness).secret_key(stream),
      state_->group.parties());
  std::fill(secrets_->pairs.span().begin(), secrets_->pairs.span().end(), 0);
}
Party::Party(Party&&) noexcept = default;
Party& Party::operator=(Party&&) noexcept = default;
Party::~Party() = default;

const Group& Party::group() const { return state_->group; }
int Party::index() const { return state_->index; }
bool Party::ready_to_decrypt() const {
  return group().threshold() == group().parties() || secrets_->share.has_value();
}

void Party::claim(const char* function, const char* domain, const Digest& subject,
                  const char* what) {
  Sha256 hash;
  hash.update_text("velum threshold claim 1");
  hash.update(group().id().data(), group().id().size());
  hash.update_u32(static_cast<std::uint32_t>(index()));
  hash.update(subject.data(), subject.size());
  claim_once(state_->once, function, domain, hash.finish(), what);
}

Message Party::message(const Digest& subject, Buffer<Word> residues, std::int64_t polys,
                       const LimbIndices& limbs) const {
  return {group().context(),   group().id(), index(),    subject,
          std::move(residues), polys,        limbs.count};
}

PublicKeyShare Party::public_key_share(const Stream& stream) {
  const char* const function = "Party::public_key_share";
  const Context& context = *group().context();
  context.check_stream(function, stream);
  claim(function, "threshold.public_key", {}, "a share of this group's public key");
  const Parameters& parameters = context.parameters();
  const LimbIndices limbs = context.q_limbs(parameters.max_level());
  const Buffer<Word> uniform(limbs.count * context.degree(), stream);
  const RnsView<Word> a(uniform.data(), 1, limbs.count, context.degree());
  fill_uniform(context, a, limbs, group().polynomials_of("public key"), 0, stream);
  Buffer<Word> residues(limbs.count * context.degree(), stream);
  const SecretSeed seed(state_->randomness->next());
  hide_secret(context, a,
              secrets_->key.material().view(context, parameters.special_prime_count(), limbs.count),
              {residues.data(), 1, limbs.count, context.degree()}, limbs, seed, stream);
  kernels::synchronize(stream);
  return PublicKeyShare(message({}, std::move(residues), 1, limbs));
}

RelinearizationShareOne Party::relinearization_share_one(const Stream& stream) {
  const char* const function = "Party::relinearization_share_one";
  const Context& context = *group().context();
  const Parameters& parameters = context.parameters();
  context.check_stream(function, stream);
  key_switching::check_parameters(function, parameters);
  claim(function, "threshold.relinearization_one", {},
        "a first share of this group's relinearisation key");
  const LimbIndices limbs = context.qp_limbs(parameters.max_level());
  const std::int64_t degree = context.degree(), poly = limbs.count * degree;
  const int dnum = parameters.dnum();
  const Buffer<Word> uniform(dnum * poly, stream);
  const RnsView<Word> a(uniform.data(), dnum, limbs.count, degree);
  fill_uniform(context, a, limbs, group().polynomials_of("relinearisation"), 0, stream);

  const SecretSeed ternary(state_->randomness->next());
  SecretBuffer<std::int8_t> coefficients(degree, stream);
  kernels::ternary_fill(coefficients.span(), ternary.key(), {kernels::Purpose::kHeTernary, 0, 0, 0},
                        stream);
  state_->ephemeral =
      std::make_unique<SecretKey::Material>(context, std::move(coefficients), stream);

  Buffer<Word> residues(2 * dnum * poly, stream);
  const RnsView<Word> h0(residues.data(), dnum, limbs.count, degree, 2 * poly);
  const RnsView<Word> h1(residues.data() + poly, dnum, limbs.count, degree, 2 * poly);
  const SecretKey::Material& s = secrets_->key.material();
  const SecretSeed first(state_->randomness->next()), second(state_->randomness->next());
  hide_secret(context, a, state_->ephemeral->view(context, 0, limbs.count), h0, limbs, first,
              stream);
  key_switching::add_source(context, s.residues.data() + parameters.special_prime_count() * degree,
                            h0, stream);
  hide_secret(context, a, s.view(context, 0, limbs.count), h1, limbs, second, stream);
  kernels::negate<Word>(h1, h1, limbs, context.moduli(), stream);
  kernels::synchronize(stream);
  return RelinearizationShareOne(message({}, std::move(residues), 2 * dnum, limbs));
}

RelinearizationShareTwo Party::relinearization_share_two(const RelinearizationRoundOne& sum,
                                                         const Stream& stream) {
  const char* const function = "Party::relinearization_share_two";
  const Context& context = *group().context();
  const Parameters& parameters = context.parameters();
  context.check_stream(function, stream);
  if (sum.context() != group().context() || sum.group() != group().id()) {
    refuse(function, "the first round is of group " + to_string(sum.group()) + ", this is group " +
                         to_string(group().id()));
  }
  if (state_->ephemeral == nullptr) {
    throw std::logic_error(std::string(function) +
                           ": this party has made no first share in this process, or the second "
                           "already; its secret is gone, so begin anew with a new group");
  }
  const Digest subject = round_one_digest(group().id(), sum.view(), stream);
  claim(function, "threshold.relinearization_two", {},
        "a second share of this group's relinearisation key");
  const LimbIndices limbs = context.qp_limbs(parameters.max_level());
  const std::int64_t degree = context.degree(), poly = limbs.count * degree;
  const int dnum = parameters.dnum();
  const RnsView<const Word> h0(sum.view().data, dnum, limbs.count, degree, 2 * poly);
  const RnsView<const Word> h1(sum.view().data + poly, dnum, limbs.count, degree, 2 * poly);
  Buffer<Word> residues(dnum * poly, stream);
  const RnsView<Word> out(residues.data(), dnum, limbs.count, degree);
  const auto& moduli = context.moduli();
  {
    const SecretSeed seed(state_->randomness->next());
    const SecretBuffer<Word> memory(3 * dnum * poly, stream);
    const RnsView<Word> errors(memory.data(), 3 * dnum, limbs.count, degree);
    fill_errors(context, errors, limbs, seed, stream);
    kernels::add<Word>(errors.poly_range(0, dnum), errors.poly_range(dnum, dnum), out, limbs,
                       moduli, stream);
    kernels::add<Word>(out, errors.poly_range(2 * dnum, dnum), out, limbs, moduli, stream);
    kernels::synchronize(stream);
  }
  const Buffer<Word> memory(dnum * poly, stream);
  const RnsView<Word> difference(memory.data(), dnum, limbs.count, degree);
  fill_uniform(context, difference, limbs, group().polynomials_of("relinearisation key", subject),
               0, stream);
  kernels::subtract<Word>(h0, difference, difference, limbs, moduli, stream);
  kernels::multiply_accumulate<Word>(difference,
                                     secrets_->key.material().view(context, 0, limbs.count), out,
                                     limbs, moduli, stream);
  kernels::multiply_accumulate<Word>(h1, state_->ephemeral->view(context, 0, limbs.count), out,
                                     limbs, moduli, stream);
  kernels::synchronize(stream);
  state_->ephemeral.reset();
  return RelinearizationShareTwo(message(subject, std::move(residues), dnum, limbs));
}

GaloisKeyShare Party::galois_key_share(std::uint32_t galois_element, const Stream& stream) {
  const char* const function = "Party::galois_key_share";
  const Context& context = *group().context();
  const Parameters& parameters = context.parameters();
  context.check_stream(function, stream);
  key_switching::check_parameters(function, parameters);
  key_switching::check_galois_element(function, parameters, galois_element);
  const Digest subject = galois_digest(group().id(), galois_element);
  claim(function, "threshold.galois_key", subject, "a share of this Galois key");
  const LimbIndices limbs = context.qp_limbs(parameters.max_level());
  const LimbIndices q = context.q_limbs(parameters.max_level());
  const std::int64_t degree = context.degree(), poly = limbs.count * degree;
  const int dnum = parameters.dnum();
  const Buffer<Word> uniform(dnum * poly, stream);
  const RnsView<Word> a(uniform.data(), dnum, limbs.count, degree);
  fill_uniform(context, a, limbs, group().polynomials_of("galois", subject), 0, stream);
  Buffer<Word> residues(dnum * poly, stream);
  const RnsView<Word> out(residues.data(), dnum, limbs.count, degree);
  const SecretKey::Material& s = secrets_->key.material();
  const SecretSeed seed(state_->randomness->next());
  hide_secret(context, a, s.view(context, 0, limbs.count), out, limbs, seed, stream);
  SecretBuffer<Word> image(q.count * degree, stream);
  kernels::automorphism_ntt<Word>(s.view(context, parameters.special_prime_count(), q.count),
                                  {image.data(), 1, q.count, degree}, galois_element, stream);
  key_switching::add_source(context, image.data(), out, stream);
  kernels::synchronize(stream);
  return {message(subject, std::move(residues), dnum, limbs), galois_element};
}

std::vector<SecretShare> Party::deal_secret_shares(const Stream& stream) {
  const char* const function = "Party::deal_secret_shares";
  const Group& group = this->group();
  group.context()->check_stream(function, stream);
  if (group.threshold() == group.parties()) {
    throw std::logic_error(std::string(function) +
                           ": all parties of this group decrypt together, so nothing is shared");
  }
  claim(function, "threshold.secret_shares", {}, "a sharing of this party's secret");
  std::vector<SecretPolynomial> values =
      share_secret(secrets_->key, group.parties(), group.threshold(), *state_->randomness, stream);
  state_->dealt.emplace(8 * group.parties(), Stream::serial());
  std::vector<SecretShare> shares;
  for (int receiver = 1; receiver <= group.parties(); ++receiver) {
    const SecretSeed pair(state_->randomness->next());
    std::copy(pair.key().words.begin(), pair.key().words.end(),
              state_->dealt->data() + 8 * (receiver - 1));
    shares.emplace_back(group.id(), index(), receiver,
                        std::move(values[static_cast<std::size_t>(receiver) - 1]), pair.key());
  }
  return shares;
}

void Party::receive_secret_shares(std::vector<SecretShare> shares, const Stream& stream) {
  const char* const function = "Party::receive_secret_shares";
  const Group& group = this->group();
  group.context()->check_stream(function, stream);
  if (group.threshold() == group.parties()) {
    throw std::logic_error(std::string(function) +
                           ": all parties of this group decrypt together, so nothing is shared");
  }
  if (!state_->dealt) {
    throw std::logic_error(std::string(function) + (secrets_->share
                                                        ? ": this party has received shares already"
                                                        : ": this party has dealt none yet, which "
                                                          "deal_secret_shares does"));
  }
  std::vector<const SecretShare*> from(static_cast<std::size_t>(group.parties()));
  for (const SecretShare& share : shares) {
    if (share.group() != group.id() || share.context() != group.context()) {
      refuse(function, "a share is of group " + to_string(share.group()) + ", this is group " +
                           to_string(group.id()));
    }
    if (share.dealer() < 1 || share.dealer() > group.parties()) {
      refuse(function, "a share is of party " + std::to_string(share.dealer()) +
                           ", expected 1 to " + std::to_string(group.parties()));
    }
    if (share.receiver() != index()) {
      refuse(function, "a share of party " + std::to_string(share.dealer()) + " is for party " +
                           std::to_string(share.receiver()) + ", this is party " +
                           std::to_string(index()));
    }
    const SecretShare*& place = from[static_cast<std::size_t>(share.dealer()) - 1];
    if (place != nullptr) {
      refuse(function, "there are two shares of party " + std::to_string(share.dealer()));
    }
    place = &share;
  }
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] == nullptr) {
      refuse(function, "the share of party " + std::to_string(i + 1) + " is missing");
    }
  }
  SecretPolynomial sum(group.context(), stream);
  for (const SecretShare* share : from) {
    sum.add(share->value(), stream);
    const int other = share->dealer();
    if (other == index()) continue;
    const std::uint32_t* const theirs = share->pair_secret().words.data();
    const std::uint32_t* const mine = state_->dealt->data() + 8 * (other - 1);
    const SecretSeed pair(index() < other ? pair_key(group, mine, theirs)
                                          : pair_key(group, theirs, mine));
    std::copy(pair.key().words.begin(), pair.key().words.end(),
              secrets_->pairs.data() + 8 * (other - 1));
  }
  secrets_->share = std::move(sum);
  state_->dealt.reset();
}

template <typename AnyCiphertext>
DecryptionShare Party::share_of(const AnyCiphertext& ciphertext, const std::vector<int>& parties,
                                const Stream& stream) {
  const char* const function = "Party::decryption_share";
  const Group& group = this->group();
  const Context& context = *group.context();
  check_ciphertext(function, group, ciphertext, stream);
  const std::vector<int> active = checked_active(function, group, parties);
  if (!std::binary_search(active.begin(), active.end(), index())) {
    refuse(function,
           "this is party " + std::to_string(index()) + ", active are " + to_string(active));
  }
  if (!ready_to_decrypt()) {
    throw std::logic_error(std::string(function) +
                           ": this party has not received the others' shares yet, which "
                           "receive_secret_shares does");
  }
  if (ciphertext.history() != History::kKnown) {
    refuse(
        function,
        "the ciphertext, or something that went into it, was loaded or combined from others' "
        "shares, so nothing shows that its noise bound holds; expected one whose history is known, "
        "or that vouch_for_history() was called for (docs/threat_model.md)");
  }
  const int level = ciphertext.level();
  const Smudging smudging =
      checked_smudging(function, group, ciphertext, static_cast<int>(active.size()));
  const Digest subject = ciphertext_digest(group.id(), level, ciphertext.view(), stream);
  claim(function, "threshold.decryption", subject, "a decryption share of this ciphertext");

  const LimbIndices limbs = context.q_limbs(level);
  const std::int64_t words = limbs.count * context.degree();
  const SecretBuffer<Word> secret(words, stream);  // until it is smudged it tells the key
  const RnsView<Word> sum(secret.data(), 1, limbs.count, context.degree());
  const RnsView<const Word> c1 = ciphertext.view().poly_range(1, 1);
  if (group.threshold() == group.parties()) {
    kernels::multiply<Word>(c1,
                            secrets_->key.material().view(
                                context, context.parameters().special_prime_count(), limbs.count),
                            sum, limbs, context.moduli(), stream);
  } else {
    kernels::multiply<Word>(c1, secrets_->share->view(level), sum, limbs, context.moduli(), stream);
    const std::vector<Word> lagrange = lagrange_at_zero(context, level, active, index());
    std::vector<kernels::ShoupFactor<Word>> factors;
    for (int i = 0; i < limbs.count; ++i)
      factors.push_back(kernels::shoup_factor(lagrange[static_cast<std::size_t>(i)],
                                              context.moduli()[limbs[i]].value));
    const auto on_backend = resident(factors, stream);
    kernels::multiply_factors<Word>(sum, on_backend.span(), sum, limbs, context.moduli(), stream);
    add_masks(group, index(), secrets_->pairs, active, subject, level, sum, stream);
  }
  add_smudging(context, smudging, level, sum, *state_->randomness, stream);
  Buffer<Word> residues(words, stream);
  kernels::copy_limbs<Word>(sum, {residues.data(), 1, limbs.count, context.degree()}, stream);
  kernels::synchronize(stream);
  return {message(subject, std::move(residues), 1, limbs), level, active};
}

DecryptionShare Party::decryption_share(const bfv::Ciphertext& ciphertext,
                                        const std::vector<int>& active, const Stream& stream) {
  return share_of(ciphertext, active, stream);
}

DecryptionShare Party::decryption_share(const Ciphertext& ciphertext,
                                        const std::vector<int>& active, const Stream& stream) {
  group().context()->check_scheme("Party::decryption_share", SchemeType::kCkks);
  return share_of(ciphertext, active, stream);
}

}  // namespace velum::he::threshold
