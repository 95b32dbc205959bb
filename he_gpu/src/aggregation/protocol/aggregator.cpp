#include <algorithm>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "aggregation/protocol/messages.h"
#include "aggregation/rounds.h"
#include "serialization/byte_stream.h"
#include "velum/he/aggregation/decryption.h"
#include "velum/he/aggregation/serialization.h"

namespace velum::he::aggregation {
namespace {

constexpr const char* kReceive = "Aggregator::receive";

[[noreturn]] void refuse(const std::string& text) {
  throw ProtocolError(std::string(kReceive) + ": " + text);
}

}  // namespace

struct Aggregator::State {
  enum class Step {
    kSetupKeys,
    kSetupShares,
    kSetupDone,
    kIdle,
    kSubmissions,
    kConfirmations,
    kShares,
    kFinished
  };

  State(Members all, Identity own_identity, Stream own_stream)
      : members(std::move(all)), identity(std::move(own_identity)), stream(std::move(own_stream)) {}

  Bytes message(MessageKind kind, std::uint64_t of_round, Span<const std::uint8_t> payload) const {
    return message_of({.kind = kind,
                       .group = members.group(),
                       .round = of_round,
                       .sender = kAggregatorNumber,
                       .receiver = 0},
                      payload, identity);
  }
  [[noreturn]] void not_now(const char* function, const std::string& missing) const {
    throw std::logic_error(std::string(function) + ": " + missing);
  }
  /// What owners send in this step.
  std::optional<MessageKind> expected() const {
    switch (step) {
      case Step::kSetupKeys:
        return MessageKind::kSetupKey;
      case Step::kSetupShares:
        return MessageKind::kSetupShare;
      case Step::kSetupDone:
        return MessageKind::kSetupDone;
      case Step::kSubmissions:
        return MessageKind::kSubmission;
      case Step::kConfirmations:
        return MessageKind::kConfirmation;
      case Step::kShares:
        return MessageKind::kShare;
      case Step::kIdle:
      case Step::kFinished:
        break;
    }
    return std::nullopt;
  }
  Bytes keys_payload() const {
    std::vector<SignedEntry> entries;
    for (const auto& [owner, entry] : entries_by_owner) entries.push_back(entry);
    return setup_keys_payload(entries);
  }

  void take_key(const Message& message) {
    SignedEntry entry{.owner = message.header.sender, .signature = message.signature};
    std::copy_n(message.payload.data(), entry.hash.size(), entry.hash.begin());
    if (!entries_by_owner.emplace(entry.owner, entry).second)
      refuse("owner " + std::to_string(entry.owner) + " has sent its key already");
    if (static_cast<int>(entries_by_owner.size()) < members.owners()) return;
    setup_payload = keys_payload();
    account = {0, setup_transcript(members.group(), Span<const std::uint8_t>(setup_payload))};
    entries_by_owner.clear();
    step = members.threshold() == 0 ? Step::kSetupDone : Step::kSetupShares;
  }
  void take_setup_share(const Message& message, Span<const std::uint8_t> bytes) {
    const int sender = message.header.sender, receiver = message.header.receiver;
    if (receiver == kAggregatorNumber || receiver == sender)
      refuse("a share of owner " + std::to_string(sender) + " for number " +
             std::to_string(receiver) + ", expected one for another owner");
    if (!shares[receiver].emplace(sender, Bytes(bytes.begin(), bytes.end())).second)
      refuse("owner " + std::to_string(sender) + " has sent its share for owner " +
             std::to_string(receiver) + " already");
    ++share_count;
    if (share_count == members.owners() * (members.owners() - 1)) step = Step::kSetupDone;
  }
  void take_done(const Message& message) {
    check_account(message);
    take_once(message.header.sender);
    if (static_cast<int>(senders.size()) < members.owners()) return;
    senders.clear();
    shares.clear();
    step = Step::kIdle;
  }
  void take_submission(const Message& message) {
    const int sender = message.header.sender;
    try {
      const EncryptedVector vector =
          encrypted_vector_from_bytes(message.payload, members.context(), stream);
      if (!(vector.round() == Round{members.group(), round}) || vector.owner() != sender)
        refuse("the vector of owner " + std::to_string(sender) +
               " is of another round, group or owner");
      sum->add(vector, stream);  // refuses a second one
    } catch (const SerializationError& error) {
      refuse(error.what());
    } catch (const std::invalid_argument& error) {
      refuse(error.what());
    }
    entries_by_owner[sender] = {
        .owner = sender, .hash = message.payload_hash, .signature = message.signature};
  }
  void take_confirmation(const Message& message) {
    const int sender = message.header.sender;
    check_account(message);
    if (members.threshold() == 0 && !is_summed(sender))
      refuse("a confirmation of owner " + std::to_string(sender) +
             ", whose vector is not in the sum");
    SignedEntry entry{.owner = sender, .signature = message.signature};
    if (!entries_by_owner.emplace(sender, entry).second)
      refuse("owner " + std::to_string(sender) + " has confirmed already");
  }
  void take_share(const Message& message) {
    const int sender = message.header.sender;
    if (!std::binary_search(parties.begin(), parties.end(), sender))
      refuse("a decryption share of owner " + std::to_string(sender) +
             ", who was not asked for one");
    if (decryption_shares.count(sender) != 0)
      refuse("owner " + std::to_string(sender) + " has sent its decryption share already");
    try {
      DecryptionShare share =
          decryption_share_from_bytes(message.payload, members.context(), stream);
      if (!(share.round() == Round{members.group(), round}) || share.party() != sender ||
          share.owners() != sum->owners() || share.parties() != parties) {
        refuse("the decryption share of owner " + std::to_string(sender) +
               " is for another round or sum, or with other parties");
      }
      decryption_shares.emplace(sender, std::move(share));
    } catch (const SerializationError& error) {
      refuse(error.what());
    }
  }
  void check_account(const Message& message) const {
    if (!std::equal(account.hash.begin(), account.hash.end(), message.payload.begin()))
      refuse("owner " + std::to_string(message.header.sender) +
             " signed another account than this aggregator gave");
  }
  void take_once(int sender) {
    const auto at = std::lower_bound(senders.begin(), senders.end(), sender);
    if (at != senders.end() && *at == sender)
      refuse("owner " + std::to_string(sender) + " has sent this already");
    senders.insert(at, sender);
  }
  bool is_summed(int owner) const {
    return std::binary_search(sum->owners().begin(), sum->owners().end(), owner);
  }

  Members members;
  Identity identity;
  Stream stream;
  Step step = Step::kSetupKeys;
  /// Keys, vectors or confirmations of the present step.
  std::map<int, SignedEntry> entries_by_owner;
  std::vector<int> senders;  // who is done with the set-up
  Bytes setup_payload;
  std::map<int, std::map<int, Bytes>> shares;  // by receiver and sender
  int share_count = 0;
  Account account;  // the last that was given
  std::uint64_t round = 0;
  Account previous;  // that the present round goes on from
  std::optional<EncryptedSum> sum;
  std::vector<int> parties;
  std::map<int, DecryptionShare> decryption_shares;
  std::vector<std::int32_t> values;
};

Aggregator::Aggregator(std::shared_ptr<const AggregationContext> context, Roster roster,
                       Identity identity, const Stream& stream) {
  Members members("Aggregator", std::move(context), std::move(roster));
  members.context()->ring()->check_stream("Aggregator", stream);
  if (members.identity_of(kAggregatorNumber) != identity.public_identity()) {
    throw std::invalid_argument(
        "Aggregator: the identity is not that of the aggregator in the roster");
  }
  state_ = std::make_unique<State>(std::move(members), std::move(identity), stream);
}
Aggregator::Aggregator(Aggregator&&) noexcept = default;
Aggregator& Aggregator::operator=(Aggregator&&) noexcept = default;
Aggregator::~Aggregator() = default;

std::uint64_t Aggregator::round() const { return state_->round; }
std::vector<int> Aggregator::parties() const { return state_->parties; }

int Aggregator::receive(Span<const std::uint8_t> bytes) {
  State& s = *state_;
  const Message message = s.members.open(kReceive, bytes);
  const MessageHeader& header = message.header;
  if (header.sender == kAggregatorNumber) refuse("a message of the aggregator itself");
  const std::optional<MessageKind> expected = s.expected();
  if (!expected || header.kind != *expected) {
    refuse(std::string("found ") + to_string(header.kind) + " of owner " +
           std::to_string(header.sender) + ", expected " +
           (expected ? to_string(*expected) : "none: start_round is next"));
  }
  if (header.round != s.round) {
    refuse(std::string(to_string(header.kind)) + " of round " + std::to_string(header.round) +
           ", expected round " + std::to_string(s.round));
  }
  if (header.kind != MessageKind::kSetupShare && header.receiver != 0)
    refuse(std::string(to_string(header.kind)) + " for number " + std::to_string(header.receiver) +
           ", expected 0");
  switch (header.kind) {
    case MessageKind::kSetupKey:
      s.take_key(message);
      break;
    case MessageKind::kSetupShare:
      s.take_setup_share(message, bytes);
      break;
    case MessageKind::kSetupDone:
      s.take_done(message);
      break;
    case MessageKind::kSubmission:
      s.take_submission(message);
      break;
    case MessageKind::kConfirmation:
      s.take_confirmation(message);
      break;
    default:
      s.take_share(message);
      break;
  }
  return header.sender;
}

std::vector<int> Aggregator::heard() const {
  const State& s = *state_;
  std::vector<int> owners = s.senders;
  if (s.step == State::Step::kShares) {
    for (const auto& [owner, share] : s.decryption_shares) owners.push_back(owner);
  } else {
    for (const auto& [owner, entry] : s.entries_by_owner) owners.push_back(owner);
  }
  return owners;
}

Bytes Aggregator::setup_keys() const {
  const State& s = *state_;
  if (s.step == State::Step::kSetupKeys)
    s.not_now("Aggregator::setup_keys", "keys of " + std::to_string(s.entries_by_owner.size()) +
                                            " owners have come, expected those of all " +
                                            std::to_string(s.members.owners()));
  return s.message(MessageKind::kSetupKeys, 0, Span<const std::uint8_t>(s.setup_payload));
}

std::vector<Bytes> Aggregator::shares_for(int owner) const {
  const char* const function = "Aggregator::shares_for";
  const State& s = *state_;
  if (owner < 1 || owner > s.members.owners()) {
    throw std::out_of_range(std::string(function) + ": owner = " + std::to_string(owner) +
                            ", expected 1 to " + std::to_string(s.members.owners()));
  }
  if (s.step != State::Step::kSetupDone)
    s.not_now(function, "the shares of all owners have not come, or the set-up is over");
  std::vector<Bytes> messages;
  const auto found = s.shares.find(owner);
  if (found == s.shares.end()) return messages;
  for (const auto& [sender, bytes] : found->second) messages.push_back(bytes);
  return messages;
}

Bytes Aggregator::start_round() {
  State& s = *state_;
  if (s.step < State::Step::kIdle) s.not_now("Aggregator::start_round", "the set-up is not over");
  s.sum.emplace(s.members.context(), Round{s.members.group(), s.round + 1}, s.stream);
  ++s.round;
  s.previous = s.account;
  s.entries_by_owner.clear();
  s.decryption_shares.clear();
  s.parties.clear();
  s.values.clear();
  s.step = State::Step::kSubmissions;
  return s.message(MessageKind::kRoundStart, s.round,
                   Span<const std::uint8_t>(round_start_payload(s.previous)));
}

Bytes Aggregator::close_submissions() {
  const char* const function = "Aggregator::close_submissions";
  State& s = *state_;
  if (s.step != State::Step::kSubmissions) s.not_now(function, "no round waits for vectors");
  if (static_cast<int>(s.entries_by_owner.size()) < s.members.least_vectors()) {
    s.not_now(function,
              std::to_string(s.entries_by_owner.size()) + " vectors have come, expected " +
                  std::to_string(s.members.least_vectors()) + " or more; start_round begins anew");
  }
  Summary summary;
  summary.previous = s.previous.hash;
  for (const auto& [owner, entry] : s.entries_by_owner) summary.vectors.push_back(entry);
  const Bytes payload = summary_payload(summary);
  s.account = {s.round,
               round_transcript(s.members.group(), s.round, Span<const std::uint8_t>(payload))};
  s.entries_by_owner.clear();
  s.step = State::Step::kConfirmations;
  return s.message(MessageKind::kSummary, s.round, Span<const std::uint8_t>(payload));
}

Bytes Aggregator::request_shares() {
  const char* const function = "Aggregator::request_shares";
  State& s = *state_;
  if (s.step != State::Step::kConfirmations)
    s.not_now(function, "no round waits for confirmations");
  ShareRequest request;
  for (const auto& [owner, entry] : s.entries_by_owner) request.confirmations.push_back(entry);
  std::vector<int> signers = owners_of(request.confirmations);
  const auto signed_by = static_cast<int>(signers.size());
  const auto needed = s.members.threshold() == 0 ? static_cast<int>(s.sum->owners().size()) : 0;
  if (signed_by < std::max(s.members.quorum(), needed)) {
    s.not_now(function, std::to_string(signed_by) + " confirmations have come, expected " +
                            std::to_string(std::max(s.members.quorum(), needed)) +
                            " or more; start_round begins anew");
  }
  if (s.members.threshold() != 0) signers.resize(static_cast<std::size_t>(s.members.threshold()));
  s.parties = std::move(signers);
  request.parties = s.parties;
  s.step = State::Step::kShares;
  return s.message(MessageKind::kShareRequest, s.round,
                   Span<const std::uint8_t>(share_request_payload(request)));
}

std::vector<std::int32_t> Aggregator::finish() {
  const char* const function = "Aggregator::finish";
  State& s = *state_;
  if (s.step != State::Step::kShares) s.not_now(function, "no round waits for shares");
  if (s.decryption_shares.size() < s.parties.size()) {
    s.not_now(function, std::to_string(s.decryption_shares.size()) +
                            " decryption shares have come, expected " +
                            std::to_string(s.parties.size()) + "; start_round begins anew");
  }
  std::vector<const DecryptionShare*> all;
  for (const auto& [party, share] : s.decryption_shares) all.push_back(&share);
  s.values = decrypt_sum(*s.sum, all, s.stream);
  s.step = State::Step::kFinished;
  return s.values;
}

Bytes Aggregator::result() const {
  const State& s = *state_;
  if (s.step != State::Step::kFinished)
    s.not_now("Aggregator::result", "the round has no result: finish is first");
  Bytes payload(s.values.size() * 4);
  for (std::size_t i = 0; i < s.values.size(); ++i)
    serialization::store_u32(&payload[4 * i], static_cast<std::uint32_t>(s.values[i]));
  return s.message(MessageKind::kResult, s.round, Span<const std::uint8_t>(payload));
}

}  // namespace velum::he::aggregation
