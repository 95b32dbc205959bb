#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "aggregation/protocol/messages.h"
#include "aggregation/rounds.h"
#include "serialization/byte_stream.h"
#include "serialization/residue_packing.h"
#include "velum/he/aggregation/decryption.h"
#include "velum/he/aggregation/encryptor.h"
#include "velum/he/aggregation/serialization.h"
#include "velum/he/key_generator.h"

namespace velum::he::aggregation {
namespace {

[[noreturn]] void refuse(const char* function, const std::string& text) {
  throw ProtocolError(std::string(function) + ": " + text);
}

std::string label_of_share(int from, int to) {
  return "share of owner " + std::to_string(from) + " for owner " + std::to_string(to);
}

/// [limbs, N] residues below their primes, in host memory, packed.
void write_polynomial(const AggregationContext& context, const Word* words, std::uint8_t* out) {
  const std::int64_t degree = context.ring()->degree();
  for (const std::uint32_t prime : context.plan().parameters().primes()) {
    serialization::pack_residues(words, degree, std::bit_width(prime), out);
    words += degree;
    out += degree / 8 * std::bit_width(prime);
  }
}

/// @return false if a residue is not below its prime.
bool read_polynomial(const AggregationContext& context, const std::uint8_t* in, Word* words) {
  const std::int64_t degree = context.ring()->degree();
  for (const std::uint32_t prime : context.plan().parameters().primes()) {
    if (serialization::unpack_residues(in, degree, std::bit_width(prime), prime, words) != degree)
      return false;
    words += degree;
    in += degree / 8 * std::bit_width(prime);
  }
  return true;
}

}  // namespace

struct Owner::State {
  enum class Step { kNew, kKeySent, kDealt, kIdle, kSubmitted, kConfirmed, kShared };

  State(Members all, int own_number, Identity own_identity, threshold::OnceRegister own_once,
        Stream own_stream, std::shared_ptr<Randomness> own_randomness)
      : members(std::move(all)),
        number(own_number),
        identity(std::move(own_identity)),
        once(std::move(own_once)),
        stream(std::move(own_stream)),
        randomness(std::move(own_randomness)) {}

  const AggregationContext& context() const { return *members.context(); }
  Bytes message(MessageKind kind, std::uint64_t of_round, int receiver,
                Span<const std::uint8_t> payload) const {
    return message_of({.kind = kind,
                       .group = members.group(),
                       .round = of_round,
                       .sender = number,
                       .receiver = receiver},
                      payload, identity);
  }
  void expect(const char* function, Step low, Step high) const {
    static constexpr const char* kNames[] = {
        "is new: start_setup comes first",
        "has sent its key: deal is next",
        "has dealt: finish_setup is next",
        "is between rounds: submit or join is next",
        "has sent its vector: confirm is next, or another round",
        "has confirmed: share is next, or another round",
        "has given its share: another round is next"};
    if (step >= low && step <= high) return;
    throw std::logic_error(std::string(function) + ": owner " + std::to_string(number) + " " +
                           kNames[static_cast<int>(step)]);
  }
  /// Enters in the register what happens once a round; of the group in round 0.
  void claim(const char* function, const char* domain, std::uint64_t of_round,
             const std::string& what) const {
    const std::string name = "owner " + std::to_string(number);
    const Round here{members.group(), of_round};
    threshold::claim_once(once, function, domain, use_of(here, name.data(), name.size()),
                          what + " of this owner in " + to_string(here));
  }
  /// The number of a round that may begin, and the account that it goes on from.
  std::pair<std::uint64_t, Account> beginning(const char* function,
                                              Span<const std::uint8_t> bytes) const {
    expect(function, Step::kIdle, Step::kShared);
    const Message any = members.open(function, bytes);
    const std::uint64_t next = any.header.round;
    members.open(function, bytes, MessageKind::kRoundStart, next, kAggregatorNumber, 0);
    if (next <= round) {
      refuse(function, "the start of round " + std::to_string(next) +
                           ", expected one after round " + std::to_string(round));
    }
    const Account before = read_round_start(function, any.payload);
    if (before.round < account.round || (before.round == account.round && !(before == account)) ||
        before.round >= next) {
      refuse(function, "round " + std::to_string(next) + " goes on from another account of round " +
                           std::to_string(before.round) +
                           " than this owner was given: it last confirmed that of round " +
                           std::to_string(account.round));
    }
    return {next, before};
  }

  Members members;
  int number;
  Identity identity;
  threshold::OnceRegister once;
  Stream stream;
  std::shared_ptr<Randomness> randomness;
  Step step = Step::kNew;
  // The set-up.
  std::optional<KeyExchange> exchange;
  std::map<int, ExchangeKey> keys;
  std::map<int, threshold::SecretPolynomial> shares;
  std::shared_ptr<const SecretKey> secret;
  std::optional<VectorEncryptor> encryptor;
  std::optional<PartialDecryptor> decryptor;
  // The rounds.
  Account account;  // the last that it confirmed, or of the set-up
  std::uint64_t round = 0;
  Account previous;  // of the round that it takes part in
  std::optional<Digest> vector_hash;
  std::vector<int> summed;
};

Owner::Owner(std::shared_ptr<const AggregationContext> context, Roster roster, int number,
             Identity identity, threshold::OnceRegister once, const Stream& stream,
             std::shared_ptr<Randomness> randomness) {
  Members members("Owner", std::move(context), std::move(roster));
  check_member("Owner", members.context(), number, once, randomness);
  members.context()->ring()->check_stream("Owner", stream);
  if (members.identity_of(number) != identity.public_identity()) {
    throw std::invalid_argument("Owner: the identity is not that of owner " +
                                std::to_string(number) + " in the roster");
  }
  state_ = std::make_unique<State>(std::move(members), number, std::move(identity), std::move(once),
                                   stream, std::move(randomness));
}
Owner::Owner(Owner&&) noexcept = default;
Owner& Owner::operator=(Owner&&) noexcept = default;
Owner::~Owner() = default;

int Owner::number() const { return state_->number; }
const Digest& Owner::group() const { return state_->members.group(); }
std::uint64_t Owner::round() const { return state_->round; }

Bytes Owner::start_setup() {
  const char* const function = "Owner::start_setup";
  State& s = *state_;
  s.expect(function, State::Step::kNew, State::Step::kNew);
  s.claim(function, "he.aggregation.setup", 0, "a set-up");
  const SecretSeed seed(s.randomness->next());
  s.exchange.emplace(seed.key());
  s.step = State::Step::kKeySent;
  return s.message(MessageKind::kSetupKey, 0, 0,
                   Span<const std::uint8_t>(s.exchange->public_key()));
}

std::vector<Bytes> Owner::deal(Span<const std::uint8_t> keys) {
  const char* const function = "Owner::deal";
  State& s = *state_;
  s.expect(function, State::Step::kKeySent, State::Step::kKeySent);
  const Message message =
      s.members.open(function, keys, MessageKind::kSetupKeys, 0, kAggregatorNumber, 0);
  std::map<int, ExchangeKey> found;
  for (const SignedEntry& entry : read_setup_keys(function, s.members, message.payload))
    found[entry.owner] = entry.hash;
  if (found[s.number] != s.exchange->public_key())
    refuse(function, "the keys have another one for this owner than it sent");

  const std::shared_ptr<const Context>& ring = s.context().ring();
  auto secret =
      std::make_shared<const SecretKey>(KeyGenerator(ring, s.randomness).secret_key(s.stream));
  std::vector<Bytes> messages;
  std::map<int, threshold::SecretPolynomial> own;
  if (s.members.threshold() != 0) {
    std::vector<threshold::SecretPolynomial> parts = threshold::share_secret(
        *secret, s.members.owners(), s.members.threshold(), *s.randomness, s.stream);
    const auto words = static_cast<std::int64_t>(s.context().limbs().count) * ring->degree();
    SecretBuffer<Word> host(words, Stream::serial());
    for (int other = 1; other <= s.members.owners(); ++other) {
      threshold::SecretPolynomial& part = parts[static_cast<std::size_t>(other - 1)];
      if (other == s.number) {
        own.emplace(other, std::move(part));
        continue;
      }
      kernels::copy(Span<const Word>(part.mutable_view().data, words), host.span(), s.stream);
      kernels::synchronize(s.stream);
      const auto size = static_cast<std::size_t>(s.members.secret_share_bytes());
      Bytes payload(size + kTagBytes);
      write_polynomial(s.context(), host.data(), payload.data());
      const SecretSeed key(
          s.exchange->agreed(found[other], s.members.group(), label_of_share(s.number, other)));
      const auto tag = seal(key.key(), Span<const std::uint8_t>(s.members.group()),
                            Span<std::uint8_t>(payload.data(), static_cast<std::int64_t>(size)));
      std::copy(tag.begin(), tag.end(), payload.begin() + static_cast<std::ptrdiff_t>(size));
      messages.push_back(
          s.message(MessageKind::kSetupShare, 0, other, Span<const std::uint8_t>(payload)));
    }
  }
  s.keys = std::move(found);
  s.secret = std::move(secret);
  s.shares = std::move(own);
  s.account = {0, setup_transcript(s.members.group(), message.payload)};
  s.step = State::Step::kDealt;
  return messages;
}

Bytes Owner::finish_setup(const std::vector<Bytes>& shares) {
  const char* const function = "Owner::finish_setup";
  State& s = *state_;
  s.expect(function, State::Step::kDealt, State::Step::kDealt);
  const int owners = s.members.owners();
  const std::size_t expected =
      s.members.threshold() == 0 ? 0 : static_cast<std::size_t>(owners - 1);
  if (shares.size() != expected) {
    refuse(function,
           std::to_string(shares.size()) + " shares, expected " + std::to_string(expected));
  }
  const std::shared_ptr<const Context>& ring = s.context().ring();
  std::map<int, threshold::SecretPolynomial> found;
  const auto words = static_cast<std::int64_t>(s.context().limbs().count) * ring->degree();
  SecretBuffer<Word> host(words, Stream::serial());
  const std::int64_t size = s.members.secret_share_bytes();
  SecretBuffer<std::uint8_t> text(size, Stream::serial());
  for (const Bytes& bytes : shares) {
    const int sender = s.members.open(function, Span<const std::uint8_t>(bytes)).header.sender;
    const Message message = s.members.open(function, Span<const std::uint8_t>(bytes),
                                           MessageKind::kSetupShare, 0, sender, s.number);
    if (sender == kAggregatorNumber || sender == s.number || found.count(sender) != 0)
      refuse(function, "a share of the set-up from number " + std::to_string(sender) +
                           ", expected one from each other owner");
    std::copy_n(message.payload.data(), size, text.data());
    std::array<std::uint8_t, kTagBytes> tag{};
    std::copy_n(message.payload.data() + size, kTagBytes, tag.begin());
    const SecretSeed key(
        s.exchange->agreed(s.keys.at(sender), s.members.group(), label_of_share(sender, s.number)));
    if (!open(key.key(), Span<const std::uint8_t>(s.members.group()), text.span(), tag) ||
        !read_polynomial(s.context(), text.data(), host.data())) {
      refuse(function, "the share of owner " + std::to_string(sender) +
                           " cannot be decrypted: it was made for another key, or is damaged");
    }
    threshold::SecretPolynomial share(ring, s.stream);
    kernels::copy(Span<const Word>(host.span()), Span<Word>(share.mutable_view().data, words),
                  s.stream);
    kernels::synchronize(s.stream);
    found.emplace(sender, std::move(share));
  }
  MaskKeys masks;
  for (int other = 1; other <= owners; ++other) {
    if (other == s.number) continue;
    const SecretSeed key(s.exchange->agreed(s.keys.at(other), s.members.group(), "masks"));
    masks.set(other, key.key());
  }
  s.encryptor.emplace(s.members.context(), s.secret, s.number, s.members.group(), s.once,
                      s.randomness);
  if (s.members.threshold() == 0) {
    s.decryptor.emplace(s.members.context(), s.secret, s.number, s.members.group(),
                        std::move(masks), s.once, s.randomness);
  } else {
    found.merge(s.shares);
    std::vector<threshold::SecretPolynomial> all;
    for (auto& [owner, share] : found) all.push_back(std::move(share));
    s.decryptor.emplace(s.members.context(), std::move(all), s.number, s.members.group(),
                        std::move(masks), s.once, s.randomness);
  }
  s.exchange.reset();
  s.keys.clear();
  s.shares.clear();
  s.step = State::Step::kIdle;
  return s.message(MessageKind::kSetupDone, 0, 0, Span<const std::uint8_t>(s.account.hash));
}

Bytes Owner::submit(Span<const std::uint8_t> round_start, Span<const std::int32_t> values) {
  const char* const function = "Owner::submit";
  State& s = *state_;
  const std::pair<std::uint64_t, Account> beginning = s.beginning(function, round_start);
  const Bytes payload = to_bytes(s.encryptor->encrypt(beginning.first, values, s.stream), s.stream);
  s.round = beginning.first;
  s.previous = beginning.second;
  s.vector_hash = sha256_of(Span<const std::uint8_t>(payload));
  s.step = State::Step::kSubmitted;
  return s.message(MessageKind::kSubmission, s.round, 0, Span<const std::uint8_t>(payload));
}

void Owner::join(Span<const std::uint8_t> round_start) {
  const char* const function = "Owner::join";
  State& s = *state_;
  if (s.members.threshold() == 0) {
    throw std::logic_error(std::string(function) +
                           ": without a threshold only those decrypt whose vectors are in the sum");
  }
  const std::pair<std::uint64_t, Account> beginning = s.beginning(function, round_start);
  s.round = beginning.first;
  s.previous = beginning.second;
  s.vector_hash.reset();
  s.step = State::Step::kSubmitted;
}

Bytes Owner::confirm(Span<const std::uint8_t> summary) {
  const char* const function = "Owner::confirm";
  State& s = *state_;
  s.expect(function, State::Step::kSubmitted, State::Step::kSubmitted);
  const Message message =
      s.members.open(function, summary, MessageKind::kSummary, s.round, kAggregatorNumber, 0);
  const Summary found = read_summary(function, s.members, message.payload);
  if (found.previous != s.previous.hash)
    refuse(function, "the account goes on from another one than the start of its round said");
  const std::vector<int> summed = owners_of(found.vectors);
  if (static_cast<int>(summed.size()) < s.members.least_vectors()) {
    refuse(function, "a sum of " + std::to_string(summed.size()) + " vectors, expected " +
                         std::to_string(s.members.least_vectors()) + " or more");
  }
  bool has_own = false;
  for (const SignedEntry& entry : found.vectors) {
    const MessageHeader header{.kind = MessageKind::kSubmission,
                               .group = s.members.group(),
                               .round = s.round,
                               .sender = entry.owner};
    if (!s.members.is_signed(header, static_cast<std::uint64_t>(s.members.plan().vector_bytes()),
                             entry.hash, entry.signature)) {
      refuse(function, "the vector of owner " + std::to_string(entry.owner) +
                           " is not signed by it for this round");
    }
    if (entry.owner != s.number) continue;
    has_own = true;
    if (!s.vector_hash || *s.vector_hash != entry.hash)
      refuse(function, "the account has a vector of this owner that it did not send");
  }
  if (!has_own && s.members.threshold() == 0)
    refuse(function, "this owner's vector is not in the sum, so it has nothing to confirm");
  s.claim(function, "he.aggregation.confirm", s.round, "a confirmation");
  s.account = {s.round, round_transcript(s.members.group(), s.round, message.payload)};
  s.summed = summed;
  s.step = State::Step::kConfirmed;
  return s.message(MessageKind::kConfirmation, s.round, 0,
                   Span<const std::uint8_t>(s.account.hash));
}

Bytes Owner::share(Span<const std::uint8_t> request) {
  const char* const function = "Owner::share";
  State& s = *state_;
  s.expect(function, State::Step::kConfirmed, State::Step::kConfirmed);
  const Message message =
      s.members.open(function, request, MessageKind::kShareRequest, s.round, kAggregatorNumber, 0);
  const ShareRequest found = read_share_request(function, s.members, message.payload);
  const Digest confirmed = sha256_of(Span<const std::uint8_t>(s.account.hash));
  for (const SignedEntry& entry : found.confirmations) {
    const MessageHeader header{.kind = MessageKind::kConfirmation,
                               .group = s.members.group(),
                               .round = s.round,
                               .sender = entry.owner};
    if (!s.members.is_signed(header, s.account.hash.size(), confirmed, entry.signature)) {
      refuse(function, "owner " + std::to_string(entry.owner) +
                           " did not sign the account of the round that this owner was given");
    }
  }
  const std::vector<int> signers = owners_of(found.confirmations);
  if (static_cast<int>(signers.size()) < s.members.quorum()) {
    refuse(function, std::to_string(signers.size()) + " owners signed the account, expected " +
                         std::to_string(s.members.quorum()) + " or more");
  }
  if (!std::includes(signers.begin(), signers.end(), found.parties.begin(), found.parties.end()))
    refuse(function, "one of those who decrypt did not sign the account");
  if (!std::binary_search(found.parties.begin(), found.parties.end(), s.number))
    refuse(function, "this owner is none of those who decrypt");
  try {
    check_sum(function, s.members.plan(), s.summed, found.parties);
  } catch (const std::invalid_argument& error) {
    throw ProtocolError(error.what());
  }
  const Bytes payload =
      to_bytes(s.decryptor->share(s.round, s.summed, found.parties, s.stream), s.stream);
  s.step = State::Step::kShared;
  return s.message(MessageKind::kShare, s.round, 0, Span<const std::uint8_t>(payload));
}

std::vector<std::int32_t> Owner::result(Span<const std::uint8_t> result) const {
  const char* const function = "Owner::result";
  const State& s = *state_;
  s.expect(function, State::Step::kConfirmed, State::Step::kShared);
  const Message message =
      s.members.open(function, result, MessageKind::kResult, s.round, kAggregatorNumber, 0);
  std::vector<std::int32_t> values;
  values.reserve(static_cast<std::size_t>(s.members.plan().values()));
  for (std::int64_t at = 0; at < message.payload.size(); at += 4) {
    values.push_back(
        static_cast<std::int32_t>(serialization::load_u32(message.payload.data() + at)));
  }
  return values;
}

}  // namespace velum::he::aggregation
