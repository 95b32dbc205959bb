#include "aggregation/protocol/messages.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <utility>

#include "aggregation/format.h"
#include "serialization/byte_stream.h"
#include "sha256.h"

namespace velum::he::aggregation {
namespace {

using serialization::load_u32;
using serialization::load_u64;
using serialization::store_u32;
using serialization::store_u64;

constexpr std::array<std::uint8_t, 8> kMessageMagic = {0x89, 'V', 'H', 'P', '\r', '\n', 0x1a, '\n'};
constexpr std::uint32_t kMessageVersion = 1;

enum Offset : std::size_t {
  kVersionAt = 8,
  kKindAt = 12,
  kGroupAt = 16,
  kRoundAt = 48,
  kSenderAt = 56,
  kReceiverAt = 60,
  kPayloadBytesAt = 64,
};

std::array<std::uint8_t, kMessageHeaderBytes> encode(const MessageHeader& header,
                                                     std::uint64_t payload_bytes) {
  std::array<std::uint8_t, kMessageHeaderBytes> bytes{};
  std::copy(kMessageMagic.begin(), kMessageMagic.end(), bytes.begin());
  store_u32(bytes.data() + kVersionAt, kMessageVersion);
  store_u32(bytes.data() + kKindAt, static_cast<std::uint32_t>(header.kind));
  std::copy(header.group.begin(), header.group.end(), bytes.begin() + kGroupAt);
  store_u64(bytes.data() + kRoundAt, header.round);
  store_u32(bytes.data() + kSenderAt, static_cast<std::uint32_t>(header.sender));
  store_u32(bytes.data() + kReceiverAt, static_cast<std::uint32_t>(header.receiver));
  store_u64(bytes.data() + kPayloadBytesAt, payload_bytes);
  return bytes;
}

[[noreturn]] void refuse(const char* function, const std::string& text) {
  throw ProtocolError(std::string(function) + ": " + text);
}

std::string sender_text(int number) {
  return number == kAggregatorNumber ? "the aggregator" : "owner " + std::to_string(number);
}

constexpr std::uint64_t kEntryBytes = 4 + 32 + kSignatureBytes;
constexpr std::uint64_t kConfirmationBytes = 4 + kSignatureBytes;

}  // namespace

const char* to_string(MessageKind kind) {
  switch (kind) {
    case MessageKind::kSetupKey:
      return "a key of the set-up";
    case MessageKind::kSetupKeys:
      return "the keys of the set-up";
    case MessageKind::kSetupShare:
      return "a share of the set-up";
    case MessageKind::kSetupDone:
      return "the end of a set-up";
    case MessageKind::kRoundStart:
      return "the start of a round";
    case MessageKind::kSubmission:
      return "a vector";
    case MessageKind::kSummary:
      return "the account of a round";
    case MessageKind::kConfirmation:
      return "a confirmation";
    case MessageKind::kShareRequest:
      return "a request for shares";
    case MessageKind::kShare:
      return "a decryption share";
    case MessageKind::kResult:
      return "a result";
  }
  return "unknown";
}

Digest sha256_of(Span<const std::uint8_t> bytes) {
  Sha256 hash;
  hash.update(bytes.data(), static_cast<std::size_t>(bytes.size()));
  return hash.finish();
}

Digest signed_digest(const MessageHeader& header, std::uint64_t payload_bytes,
                     const Digest& payload_hash) {
  Sha256 hash;
  hash.update_text("velum aggregation message 1");
  const auto bytes = encode(header, payload_bytes);
  hash.update(bytes.data(), bytes.size());
  hash.update(payload_hash.data(), payload_hash.size());
  return hash.finish();
}

Bytes message_of(const MessageHeader& header, Span<const std::uint8_t> payload,
                 const Identity& identity) {
  const auto size = static_cast<std::uint64_t>(payload.size());
  const auto head = encode(header, size);
  const Signature signature = identity.sign(signed_digest(header, size, sha256_of(payload)));
  Bytes message(head.size() + static_cast<std::size_t>(size) + signature.size());
  std::copy(head.begin(), head.end(), message.begin());
  std::copy(payload.begin(), payload.end(), message.begin() + kMessageHeaderBytes);
  std::copy(signature.begin(), signature.end(), message.end() - kSignatureBytes);
  return message;
}

// ---- Members --------------------------------------------------------------------------------

Digest group_of(const AggregationPlan& plan, const Roster& roster) {
  Sha256 hash;
  hash.update_text("velum aggregation group 1");
  hash.update(plan.id().data(), plan.id().size());
  hash.update(roster.aggregator.data(), roster.aggregator.size());
  hash.update_u64(roster.owners.size());
  for (const PublicIdentity& owner : roster.owners) hash.update(owner.data(), owner.size());
  hash.update(roster.nonce.data(), roster.nonce.size());
  hash.update_u32(static_cast<std::uint32_t>(roster.quorum));
  hash.update_u32(static_cast<std::uint32_t>(roster.least_vectors));
  return hash.finish();
}

Members::Members(const char* function, std::shared_ptr<const AggregationContext> context,
                 Roster roster)
    : context_(std::move(context)), roster_(std::move(roster)) {
  const std::string name = function;
  if (context_ == nullptr) throw std::invalid_argument(name + ": context is null");
  const auto members = static_cast<std::size_t>(owners());
  if (roster_.owners.size() != members) {
    throw std::invalid_argument(name + ": the roster has " + std::to_string(roster_.owners.size()) +
                                " owners, expected those of the plan, " + std::to_string(members));
  }
  std::vector<PublicIdentity> all = roster_.owners;
  all.push_back(roster_.aggregator);
  std::sort(all.begin(), all.end());
  if (std::adjacent_find(all.begin(), all.end()) != all.end()) {
    throw std::invalid_argument(name + ": two members of the roster have the same identity");
  }
  group_ = group_of(plan(), roster_);
  const int majority = owners() / 2 + 1;
  if (roster_.quorum == 0) roster_.quorum = std::max(threshold(), majority);
  if (roster_.least_vectors == 0) {
    roster_.least_vectors = std::max({2, threshold(), majority});
  }
  const int least = std::max(2, threshold());
  for (const auto& [what, value] :
       {std::pair{"quorum", roster_.quorum}, std::pair{"least_vectors", roster_.least_vectors}}) {
    if (value < least || value > owners()) {
      throw std::invalid_argument(name + ": " + what + " = " + std::to_string(value) +
                                  ", expected " + std::to_string(least) + " to " +
                                  std::to_string(owners()) + ", or 0");
    }
  }
}

std::int64_t Members::secret_share_bytes() const {
  std::int64_t bits = 0;
  for (const std::uint32_t prime : plan().parameters().primes()) bits += std::bit_width(prime);
  return plan().parameters().ring_degree() / 8 * bits;
}

void Members::check_size(const char* function, MessageKind kind, std::uint64_t size) const {
  const auto k = static_cast<std::uint64_t>(owners());
  std::uint64_t low = 0, high = 0;
  switch (kind) {
    case MessageKind::kSetupKey:
    case MessageKind::kSetupDone:
    case MessageKind::kConfirmation:
      low = high = 32;
      break;
    case MessageKind::kRoundStart:
      low = high = 8 + 32;
      break;
    case MessageKind::kSetupKeys:
      low = high = k * kEntryBytes;
      break;
    case MessageKind::kSetupShare:
      low = high = static_cast<std::uint64_t>(secret_share_bytes()) + kTagBytes;
      break;
    case MessageKind::kSubmission:
      low = high = static_cast<std::uint64_t>(plan().vector_bytes());
      break;
    case MessageKind::kSummary:
      low = 32 + 4;
      high = low + k * kEntryBytes;
      break;
    case MessageKind::kShareRequest:
      low = 8;
      high = low + k * 4 + k * kConfirmationBytes;
      break;
    case MessageKind::kShare:
      low = static_cast<std::uint64_t>(plan().vector_bytes());
      high = low + 8 * k;
      break;
    case MessageKind::kResult:
      low = high = static_cast<std::uint64_t>(plan().values()) * 4;
      break;
  }
  if (size < low || size > high) {
    refuse(function, std::string(to_string(kind)) + " of " + std::to_string(size) +
                         " bytes, expected " + std::to_string(low) +
                         (low == high ? "" : " to " + std::to_string(high)));
  }
}

Message Members::open(const char* function, Span<const std::uint8_t> bytes) const {
  constexpr auto kLeast = static_cast<std::int64_t>(kMessageHeaderBytes + kSignatureBytes);
  if (bytes.size() < kLeast) {
    refuse(function, "a message of " + std::to_string(bytes.size()) + " bytes, expected at least " +
                         std::to_string(kLeast));
  }
  const std::uint8_t* const from = bytes.data();
  if (!std::equal(kMessageMagic.begin(), kMessageMagic.end(), from)) {
    refuse(function, "the first bytes are not those of a message of an aggregation");
  }
  if (load_u32(from + kVersionAt) != kMessageVersion) {
    refuse(function, "message version " + std::to_string(load_u32(from + kVersionAt)) +
                         ", expected " + std::to_string(kMessageVersion));
  }
  const std::uint32_t kind = load_u32(from + kKindAt);
  if (kind < static_cast<std::uint32_t>(MessageKind::kSetupKey) ||
      kind > static_cast<std::uint32_t>(MessageKind::kResult)) {
    refuse(function, "message kind " + std::to_string(kind) + ", expected 1 to 11");
  }
  Message message;
  MessageHeader& header = message.header;
  header.kind = static_cast<MessageKind>(kind);
  std::copy_n(from + kGroupAt, header.group.size(), header.group.begin());
  header.round = load_u64(from + kRoundAt);
  const std::uint32_t sender = load_u32(from + kSenderAt), receiver = load_u32(from + kReceiverAt);
  const auto most = static_cast<std::uint32_t>(owners());
  if (sender > most || receiver > most) {
    refuse(function, "a message from " + std::to_string(sender) + " to " +
                         std::to_string(receiver) + ", expected numbers up to " +
                         std::to_string(most));
  }
  header.sender = static_cast<int>(sender);
  header.receiver = static_cast<int>(receiver);
  if (header.group != group_) {
    refuse(function, std::string(to_string(header.kind)) + " of another group, plan or roster");
  }
  const std::uint64_t size = load_u64(from + kPayloadBytesAt);
  check_size(function, header.kind, size);
  if (size != static_cast<std::uint64_t>(bytes.size() - kLeast)) {
    refuse(function, std::string(to_string(header.kind)) + " of " + std::to_string(size) +
                         " bytes in a message that has " + std::to_string(bytes.size() - kLeast));
  }
  message.payload = {from + kMessageHeaderBytes, static_cast<std::int64_t>(size)};
  message.payload_hash = sha256_of(message.payload);
  std::copy_n(message.payload.end(), kSignatureBytes, message.signature.begin());
  if (!is_signed(header, size, message.payload_hash, message.signature)) {
    refuse(function, std::string(to_string(header.kind)) + " is not signed by " +
                         sender_text(header.sender) + ", whom it names");
  }
  return message;
}

Message Members::open(const char* function, Span<const std::uint8_t> bytes, MessageKind kind,
                      std::uint64_t round, int sender, int receiver) const {
  const Message message = open(function, bytes);
  const MessageHeader& header = message.header;
  if (header.kind != kind) {
    refuse(function,
           std::string("found ") + to_string(header.kind) + ", expected " + to_string(kind));
  }
  if (header.sender != sender) {
    refuse(function, std::string(to_string(kind)) + " from " + sender_text(header.sender) +
                         ", expected one from " + sender_text(sender));
  }
  if (header.round != round) {
    refuse(function, std::string(to_string(kind)) + " of round " + std::to_string(header.round) +
                         ", expected round " + std::to_string(round));
  }
  if (header.receiver != receiver) {
    refuse(function, std::string(to_string(kind)) + " for number " +
                         std::to_string(header.receiver) + ", expected " +
                         std::to_string(receiver));
  }
  return message;
}

// ---- Payloads -------------------------------------------------------------------------------

void PayloadWriter::put_u32(std::uint32_t value) {
  std::array<std::uint8_t, 4> bytes{};
  store_u32(bytes.data(), value);
  put(bytes);
}

std::uint8_t PayloadReader::next() {
  if (at_ >= bytes_.size()) {
    refuse(function_, std::string(what_) + " ends after " + std::to_string(at_) + " bytes");
  }
  return bytes_[at_++];
}

std::uint32_t PayloadReader::take_u32() { return load_u32(take<4>().data()); }

int PayloadReader::take_number(const char* name, int low, int high) {
  const std::uint32_t value = take_u32();
  if (value < static_cast<std::uint32_t>(low) || value > static_cast<std::uint32_t>(high)) {
    refuse(function_, std::string(what_) + ": " + name + " = " + std::to_string(value) +
                          ", expected " + std::to_string(low) + " to " + std::to_string(high));
  }
  return static_cast<int>(value);
}

void PayloadReader::finish() const {
  if (at_ != bytes_.size()) {
    refuse(function_,
           std::string(what_) + " has " + std::to_string(bytes_.size() - at_) + " bytes too many");
  }
}

namespace {

Bytes copied(const PayloadWriter& writer) { return {writer.bytes().begin(), writer.bytes().end()}; }

/// Numbers of owners that must rise.
int take_owner(PayloadReader& reader, int before, int owners) {
  return reader.take_number("the next owner", before + 1, owners);
}

}  // namespace

Bytes setup_keys_payload(const std::vector<SignedEntry>& entries) {
  PayloadWriter writer;
  for (const SignedEntry& entry : entries) {
    writer.put_u32(static_cast<std::uint32_t>(entry.owner));
    writer.put(entry.hash);
    writer.put(entry.signature);
  }
  return copied(writer);
}

std::vector<SignedEntry> read_setup_keys(const char* function, const Members& members,
                                         Span<const std::uint8_t> payload) {
  PayloadReader reader(function, to_string(MessageKind::kSetupKeys), payload);
  std::vector<SignedEntry> entries;
  for (int owner = 1; owner <= members.owners(); ++owner) {
    SignedEntry entry;
    entry.owner = reader.take_number("the next owner", owner, owner);
    entry.hash = reader.take<32>();
    entry.signature = reader.take<kSignatureBytes>();
    MessageHeader header;
    header.kind = MessageKind::kSetupKey;
    header.group = members.group();
    header.sender = owner;
    if (!members.is_signed(header, entry.hash.size(),
                           sha256_of(Span<const std::uint8_t>(entry.hash)), entry.signature)) {
      refuse(function, "the key of owner " + std::to_string(owner) + " is not signed by it");
    }
    entries.push_back(entry);
  }
  reader.finish();
  return entries;
}

Bytes round_start_payload(const Account& previous) {
  PayloadWriter writer;
  std::array<std::uint8_t, 8> round{};
  store_u64(round.data(), previous.round);
  writer.put(round);
  writer.put(previous.hash);
  return copied(writer);
}

Account read_round_start(const char* function, Span<const std::uint8_t> payload) {
  PayloadReader reader(function, to_string(MessageKind::kRoundStart), payload);
  Account previous;
  previous.round = load_u64(reader.take<8>().data());
  previous.hash = reader.take<32>();
  reader.finish();
  return previous;
}

Bytes summary_payload(const Summary& summary) {
  PayloadWriter writer;
  writer.put(summary.previous);
  writer.put_u32(static_cast<std::uint32_t>(summary.vectors.size()));
  for (const SignedEntry& entry : summary.vectors) {
    writer.put_u32(static_cast<std::uint32_t>(entry.owner));
    writer.put(entry.hash);
    writer.put(entry.signature);
  }
  return copied(writer);
}

Summary read_summary(const char* function, const Members& members,
                     Span<const std::uint8_t> payload) {
  PayloadReader reader(function, to_string(MessageKind::kSummary), payload);
  Summary summary;
  summary.previous = reader.take<32>();
  const int count = reader.take_number("the number of vectors", 0, members.owners());
  int before = 0;
  for (int i = 0; i < count; ++i) {
    SignedEntry entry;
    entry.owner = before = take_owner(reader, before, members.owners());
    entry.hash = reader.take<32>();
    entry.signature = reader.take<kSignatureBytes>();
    summary.vectors.push_back(entry);
  }
  reader.finish();
  return summary;
}

Bytes share_request_payload(const ShareRequest& request) {
  PayloadWriter writer;
  writer.put_u32(static_cast<std::uint32_t>(request.parties.size()));
  for (const int party : request.parties) writer.put_u32(static_cast<std::uint32_t>(party));
  writer.put_u32(static_cast<std::uint32_t>(request.confirmations.size()));
  for (const SignedEntry& entry : request.confirmations) {
    writer.put_u32(static_cast<std::uint32_t>(entry.owner));
    writer.put(entry.signature);
  }
  return copied(writer);
}

ShareRequest read_share_request(const char* function, const Members& members,
                                Span<const std::uint8_t> payload) {
  PayloadReader reader(function, to_string(MessageKind::kShareRequest), payload);
  ShareRequest request;
  const int parties = reader.take_number("the number of parties", 0, members.owners());
  for (int i = 0, before = 0; i < parties; ++i) {
    request.parties.push_back(before = take_owner(reader, before, members.owners()));
  }
  const int count = reader.take_number("the number of confirmations", 0, members.owners());
  for (int i = 0, before = 0; i < count; ++i) {
    SignedEntry entry;
    entry.owner = before = take_owner(reader, before, members.owners());
    entry.signature = reader.take<kSignatureBytes>();
    request.confirmations.push_back(entry);
  }
  reader.finish();
  return request;
}

Digest setup_transcript(const Digest& group, Span<const std::uint8_t> setup_keys) {
  Sha256 hash;
  hash.update_text("velum aggregation set-up 1");
  hash.update(group.data(), group.size());
  hash.update_u64(static_cast<std::uint64_t>(setup_keys.size()));
  hash.update(setup_keys.data(), static_cast<std::size_t>(setup_keys.size()));
  return hash.finish();
}

Digest round_transcript(const Digest& group, std::uint64_t round,
                        Span<const std::uint8_t> summary) {
  Sha256 hash;
  hash.update_text("velum aggregation round 1");
  hash.update(group.data(), group.size());
  hash.update_u64(round);
  hash.update_u64(static_cast<std::uint64_t>(summary.size()));
  hash.update(summary.data(), static_cast<std::size_t>(summary.size()));
  return hash.finish();
}

std::vector<int> owners_of(const std::vector<SignedEntry>& entries) {
  std::vector<int> owners;
  for (const SignedEntry& entry : entries) owners.push_back(entry.owner);
  return owners;
}

}  // namespace velum::he::aggregation
