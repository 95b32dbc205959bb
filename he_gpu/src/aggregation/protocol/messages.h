#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "aggregation/protocol/crypto.h"
#include "velum/he/aggregation/protocol.h"

/// The messages of the protocol as bytes (docs/serialization.md).
namespace velum::he::aggregation {

/// The numbers are on the wire: none changes, and none is used again.
enum class MessageKind : std::uint32_t {
  kSetupKey = 1,
  kSetupKeys = 2,
  kSetupShare = 3,
  kSetupDone = 4,
  kRoundStart = 5,
  kSubmission = 6,
  kSummary = 7,
  kConfirmation = 8,
  kShareRequest = 9,
  kShare = 10,
  kResult = 11,
};
const char* to_string(MessageKind kind);

inline constexpr int kAggregatorNumber = 0;  // as sender; as receiver it is whoever reads
inline constexpr std::size_t kMessageHeaderBytes = 72;
inline constexpr std::size_t kSignatureBytes = 64;

struct MessageHeader {
  MessageKind kind{};
  Digest group{};
  std::uint64_t round = 0;
  int sender = 0;
  int receiver = 0;
};

/// A message whose signature is right.
struct Message {
  MessageHeader header;
  Span<const std::uint8_t> payload;
  Digest payload_hash{};
  Signature signature{};
};

Digest sha256_of(Span<const std::uint8_t> bytes);
/// What is signed: SHA-256 of a label, the header and the payload's SHA-256. So whoever knows what
/// a header must be can check a signature without the payload.
Digest signed_digest(const MessageHeader& header, std::uint64_t payload_bytes,
                     const Digest& payload_hash);

Bytes message_of(const MessageHeader& header, Span<const std::uint8_t> payload,
                 const Identity& identity);

/// Roster and plan together, checked.
class Members {
 public:
  /// @throws std::invalid_argument naming `function` if they do not fit.
  Members(const char* function, std::shared_ptr<const AggregationContext> context, Roster roster);

  const std::shared_ptr<const AggregationContext>& context() const { return context_; }
  const AggregationPlan& plan() const { return context_->plan(); }
  const Digest& group() const { return group_; }
  int owners() const { return plan().owners(); }
  int threshold() const { return plan().request().threshold; }
  int quorum() const { return roster_.quorum; }
  int least_vectors() const { return roster_.least_vectors; }
  /// Of an owner, or of the aggregator.
  const PublicIdentity& identity_of(int number) const {
    return number == kAggregatorNumber ? roster_.aggregator
                                       : roster_.owners[static_cast<std::size_t>(number - 1)];
  }

  /// Takes a message apart and checks all that does not depend on the state: its signature is by
  /// the sender that it names, who may send such; it is of this group, and has the size that such a
  /// message may have.
  /// @throws ProtocolError naming `function`.
  Message open(const char* function, Span<const std::uint8_t> bytes) const;
  /// The same of a message that must be of this kind and round, and from this sender, for this
  /// receiver.
  Message open(const char* function, Span<const std::uint8_t> bytes, MessageKind kind,
               std::uint64_t round, int sender, int receiver) const;
  bool is_signed(const MessageHeader& header, std::uint64_t payload_bytes,
                 const Digest& payload_hash, const Signature& signature) const {
    return is_signed_by(identity_of(header.sender),
                        signed_digest(header, payload_bytes, payload_hash), signature);
  }

  std::int64_t secret_share_bytes() const;

 private:
  void check_size(const char* function, MessageKind kind, std::uint64_t size) const;

  std::shared_ptr<const AggregationContext> context_;
  Roster roster_;
  Digest group_{};
};

/// Appends and takes numbers and bytes, little-endian.
class PayloadWriter {
 public:
  void put_u32(std::uint32_t value);
  template <std::size_t kSize>
  void put(const std::array<std::uint8_t, kSize>& bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }
  Span<const std::uint8_t> bytes() const { return Span<const std::uint8_t>(bytes_); }

 private:
  Bytes bytes_;
};
class PayloadReader {
 public:
  /// @param what  for the text of errors.
  PayloadReader(const char* function, const char* what, Span<const std::uint8_t> bytes)
      : function_(function), what_(what), bytes_(bytes) {}
  std::uint32_t take_u32();
  /// A number in [low, high]; @throws ProtocolError.
  int take_number(const char* name, int low, int high);
  template <std::size_t kSize>
  std::array<std::uint8_t, kSize> take() {
    std::array<std::uint8_t, kSize> out{};
    for (std::uint8_t& byte : out) byte = next();
    return out;
  }
  /// @throws ProtocolError if bytes are left.
  void finish() const;

 private:
  std::uint8_t next();

  const char* function_;
  const char* what_;
  Span<const std::uint8_t> bytes_;
  std::int64_t at_ = 0;
};

// ---- Payloads with a shape of their own -----------------------------------------------------

/// One owner's part of a list: what it signed, and the signature.
struct SignedEntry {
  int owner = 0;
  Digest hash{};  // of a submission's payload; a key of the exchange; unused in a request
  Signature signature{};
};

/// Keys of all owners in order (kSetupKeys).
Bytes setup_keys_payload(const std::vector<SignedEntry>& entries);
std::vector<SignedEntry> read_setup_keys(const char* function, const Members& members,
                                         Span<const std::uint8_t> payload);
/// An account that was given before: of a round, or of the set-up (round 0).
struct Account {
  std::uint64_t round = 0;
  Digest hash{};

  friend bool operator==(const Account&, const Account&) = default;
};
/// The last account (kRoundStart).
Bytes round_start_payload(const Account& previous);
Account read_round_start(const char* function, Span<const std::uint8_t> payload);
/// The account of a round: the one before, and whose vectors are in the sum (kSummary).
struct Summary {
  Digest previous{};
  std::vector<SignedEntry> vectors;  // rising
};
Bytes summary_payload(const Summary& summary);
Summary read_summary(const char* function, const Members& members,
                     Span<const std::uint8_t> payload);
/// Who decrypts, and who signed the account (kShareRequest).
struct ShareRequest {
  std::vector<int> parties;                // rising
  std::vector<SignedEntry> confirmations;  // rising
};
Bytes share_request_payload(const ShareRequest& request);
ShareRequest read_share_request(const char* function, const Members& members,
                                Span<const std::uint8_t> payload);

/// The hash that the accounts of a group begin with, and that of a round.
Digest setup_transcript(const Digest& group, Span<const std::uint8_t> setup_keys);
Digest round_transcript(const Digest& group, std::uint64_t round, Span<const std::uint8_t> summary);

std::vector<int> owners_of(const std::vector<SignedEntry>& entries);

}  // namespace velum::he::aggregation
