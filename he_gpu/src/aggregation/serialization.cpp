#include "velum/he/aggregation/serialization.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <string>
#include <utility>

#include "aggregation/format.h"
#include "aggregation/rounds.h"
#include "serialization/byte_stream.h"
#include "serialization/object_io.h"
#include "serialization/residue_packing.h"
#include "sha256.h"

namespace velum::he::aggregation {
namespace {

using serialization::load_u32;
using serialization::load_u64;
using serialization::named;
using serialization::store_u32;
using serialization::store_u64;

enum Offset : std::size_t {
  kVersionAt = 8,
  kKindAt = 12,
  kPlanAt = 16,
  kGroupAt = 48,
  kRoundAt = 80,
  kNumberAt = 88,
  kOwnersAt = 92,
  kPartiesAt = 96,
  kReservedAt = 100,
  kKeyIdAt = 104,
  kEndAt = 120,
};
static_assert(kEndAt + 8 == kHeaderBytes);  // eight more zeros

struct Header {
  Kind kind{};
  Round round;
  int number = 0;  // of the owner or party
  std::vector<int> owners, parties;
  KeyId key_id{};
};

std::int64_t list_bytes(std::size_t owners, std::size_t parties) {
  return static_cast<std::int64_t>(4 * (owners + parties));
}

/// All but residues and hash.
std::vector<std::uint8_t> object_with(const Header& header, const AggregationPlan& plan) {
  const std::int64_t size = kHeaderBytes + list_bytes(header.owners.size(), header.parties.size()) +
                            residue_bytes(plan) + kHashBytes;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size));
  std::uint8_t* const to = bytes.data();
  std::copy(kMagic.begin(), kMagic.end(), to);
  store_u32(to + kVersionAt, kFormatVersion);
  store_u32(to + kKindAt, static_cast<std::uint32_t>(header.kind));
  std::copy(plan.id().begin(), plan.id().end(), to + kPlanAt);
  std::copy(header.round.group.begin(), header.round.group.end(), to + kGroupAt);
  store_u64(to + kRoundAt, header.round.number);
  store_u32(to + kNumberAt, static_cast<std::uint32_t>(header.number));
  store_u32(to + kOwnersAt, static_cast<std::uint32_t>(header.owners.size()));
  store_u32(to + kPartiesAt, static_cast<std::uint32_t>(header.parties.size()));
  std::copy(header.key_id.begin(), header.key_id.end(), to + kKeyIdAt);
  std::uint8_t* list = to + kHeaderBytes;
  for (const std::vector<int>* const numbers : {&header.owners, &header.parties}) {
    for (const int number : *numbers) {
      store_u32(list, static_cast<std::uint32_t>(number));
      list += 4;
    }
  }
  return bytes;
}

/// Calls `body(row, bytes, count, prime)` for each limb of each ciphertext: where its `count`
/// written coefficients stand in memory and in bytes.
template <typename Byte, typename Residue, typename Body>
void for_each_limb(const AggregationContext& context, RnsView<Residue> view, Byte* bytes,
                   const Stream& stream, const Body& body) {
  const std::vector<std::uint32_t>& primes = context.plan().parameters().primes();
  std::int64_t bits = 0;
  for (const std::uint32_t prime : primes) bits += std::bit_width(prime);
  for_each_ciphertext(view.polys, stream,
                      [&](std::int64_t first, std::int64_t count, const Stream& /*on*/) {
                        for (std::int64_t poly = first; poly < first + count; ++poly) {
                          const std::int64_t written = written_coefficients(context.plan(), poly);
                          Byte* at = bytes + poly * (view.degree / 8) * bits;
                          for (std::int64_t limb = 0; limb < view.limbs; ++limb) {
                            const std::uint32_t prime = primes[static_cast<std::size_t>(limb)];
                            body(view.limb(poly, limb), at, written, prime);
                            at += written / 8 * std::bit_width(prime);
                          }
                        }
                      });
}

std::vector<std::uint8_t> write(const Header& header, const AggregationContext& context,
                                RnsView<const Word> view, const Stream& stream) {
  std::vector<std::uint8_t> bytes = object_with(header, context.plan());
  std::uint8_t* const to =
      bytes.data() + kHeaderBytes + list_bytes(header.owners.size(), header.parties.size());
  std::vector<Word> copied;
  Stream host = stream;
  if (stream.backend() == Backend::kCuda) {
    copied.resize(static_cast<std::size_t>(context.words()));
    kernels::copy(Span<const Word>(view.data, context.words()), Span<Word>(copied), stream);
    kernels::synchronize(stream);
    view.data = copied.data();
    host = Stream::serial();
  }
  for_each_limb(context, view, to, host,
                [](const Word* row, std::uint8_t* out, std::int64_t count, std::uint32_t prime) {
                  serialization::pack_residues(row, count, std::bit_width(prime), out);
                });
  Sha256 hash;
  hash.update(bytes.data(), bytes.size() - kHashBytes);
  const Digest digest = hash.finish();
  std::copy(digest.begin(), digest.end(), bytes.end() - kHashBytes);
  return bytes;
}

template <typename Found, typename Expected>
[[noreturn]] void refuse(const std::string& what, const Found& found, const Expected& expected) {
  throw SerializationError(what + " " + std::to_string(found) + ", expected " +
                           std::to_string(expected));
}

std::vector<int> read_numbers(const std::uint8_t* from, std::uint32_t count) {
  std::vector<int> numbers;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t number = load_u32(from + 4 * i);
    numbers.push_back(number > kMostOwners ? 0 : static_cast<int>(number));  // 0 is refused
  }
  return numbers;
}

/// @param bytes  all of the object.
Header read_header(Span<const std::uint8_t> bytes, Kind kind, const AggregationPlan& plan) {
  if (bytes.size() < kHeaderBytes + kHashBytes) {
    throw SerializationError(std::to_string(bytes.size()) + " bytes, expected at least " +
                             std::to_string(kHeaderBytes + kHashBytes));
  }
  const std::uint8_t* const from = bytes.data();
  if (!std::equal(kMagic.begin(), kMagic.end(), from)) {
    throw SerializationError("the first bytes are not those of a vector or share of velum");
  }
  if (load_u32(from + kVersionAt) != kFormatVersion) {
    refuse("format version", load_u32(from + kVersionAt), kFormatVersion);
  }
  if (load_u32(from + kKindAt) != static_cast<std::uint32_t>(kind)) {
    refuse("kind", load_u32(from + kKindAt), static_cast<std::uint32_t>(kind));
  }
  if (!std::equal(plan.id().begin(), plan.id().end(), from + kPlanAt)) {
    throw SerializationError("the object is of another plan than the context");
  }
  Header header;
  header.kind = kind;
  std::copy_n(from + kGroupAt, header.round.group.size(), header.round.group.begin());
  header.round.number = load_u64(from + kRoundAt);
  const std::uint32_t number = load_u32(from + kNumberAt);
  if (number < 1 || number > static_cast<std::uint32_t>(plan.owners())) {
    throw SerializationError("number " + std::to_string(number) + ", expected 1 to " +
                             std::to_string(plan.owners()));
  }
  header.number = static_cast<int>(number);
  const std::uint32_t owners = load_u32(from + kOwnersAt), parties = load_u32(from + kPartiesAt);
  const auto most = kind == Kind::kShare ? static_cast<std::uint32_t>(plan.owners()) : 0;
  if (owners > most || parties > most) {
    throw SerializationError(std::to_string(owners) + " owners and " + std::to_string(parties) +
                             " parties, expected at most " + std::to_string(most));
  }
  std::copy_n(from + kKeyIdAt, header.key_id.size(), header.key_id.begin());
  if (kind == Kind::kShare && header.key_id != KeyId{}) {
    throw SerializationError("key id " + he::to_string(header.key_id) +
                             ", expected zeros: a share belongs to no key");
  }
  for (std::size_t i = kReservedAt; i < static_cast<std::size_t>(kHeaderBytes); ++i) {
    const bool reserved = i < kKeyIdAt || i >= kEndAt;
    if (reserved && from[i] != 0) refuse("reserved byte " + std::to_string(i) + " is", from[i], 0);
  }
  const std::int64_t expected =
      kHeaderBytes + list_bytes(owners, parties) + residue_bytes(plan) + kHashBytes;
  if (bytes.size() != expected) {
    throw SerializationError(std::to_string(bytes.size()) + " bytes, expected " +
                             std::to_string(expected));
  }
  header.owners = read_numbers(from + kHeaderBytes, owners);
  header.parties =
      read_numbers(from + kHeaderBytes + 4 * static_cast<std::int64_t>(owners), parties);
  Sha256 hash;
  hash.update(from, static_cast<std::size_t>(bytes.size() - kHashBytes));
  const Digest digest = hash.finish();
  if (!std::equal(digest.begin(), digest.end(), bytes.end() - kHashBytes)) {
    throw SerializationError(
        "the SHA-256 at the end of the object is not that of its bytes: they are damaged");
  }
  return header;
}

Buffer<Word> read_residues(Span<const std::uint8_t> bytes, const Header& header,
                           const AggregationContext& context, const Stream& stream) {
  const std::uint8_t* const from =
      bytes.data() + kHeaderBytes + list_bytes(header.owners.size(), header.parties.size());
  const bool device = stream.backend() == Backend::kCuda;
  const Stream host = device ? Stream::serial() : stream;
  Buffer<Word> words(context.words(), host);
  const RnsView<Word> view(words.data(), context.plan().ciphertexts(), context.limbs().count,
                           context.ring()->degree());
  std::mutex mutex;
  std::string refused;
  for_each_limb(context, view, from, host,
                [&](Word* row, const std::uint8_t* in, std::int64_t count, std::uint32_t prime) {
                  const std::int64_t at =
                      serialization::unpack_residues(in, count, std::bit_width(prime), prime, row);
                  if (at == count) return;
                  const std::lock_guard lock(mutex);
                  refused = "a residue is " + std::to_string(row[at]) + ", expected below " +
                            std::to_string(prime);
                });
  if (!refused.empty()) throw SerializationError(refused);
  clear_unused(context.plan(), view, host);
  if (!device) return words;
  Buffer<Word> there(context.words(), stream);
  kernels::copy(Span<const Word>(words.span()), there.span(), stream);
  kernels::synchronize(stream);
  return there;
}

void check_context(const char* function, const std::shared_ptr<const AggregationContext>& context,
                   const Stream& stream) {
  if (context == nullptr) throw std::invalid_argument(std::string(function) + ": context is null");
  context->ring()->check_stream(function, stream);
}

}  // namespace

std::vector<std::uint8_t> to_bytes(const EncryptedVector& vector, const Stream& stream) {
  check_context("to_bytes", vector.context(), stream);
  Header header;
  header.kind = Kind::kVector;
  header.round = vector.round();
  header.number = vector.owner();
  header.key_id = vector.key_id();
  return write(header, *vector.context(), vector.view(), stream);
}

EncryptedVector encrypted_vector_from_bytes(
    Span<const std::uint8_t> bytes, const std::shared_ptr<const AggregationContext>& context,
    const Stream& stream) {
  const char* const function = "encrypted_vector_from_bytes";
  check_context(function, context, stream);
  return named(function, [&] {
    const Header header = read_header(bytes, Kind::kVector, context->plan());
    return EncryptedVector(context, header.round, header.number, header.key_id,
                           read_residues(bytes, header, *context, stream));
  });
}

std::vector<std::uint8_t> to_bytes(const DecryptionShare& share, const Stream& stream) {
  check_context("to_bytes", share.context(), stream);
  Header header;
  header.kind = Kind::kShare;
  header.round = share.round();
  header.number = share.party();
  header.owners = share.owners();
  header.parties = share.parties();
  return write(header, *share.context(), share.view(), stream);
}

DecryptionShare decryption_share_from_bytes(
    Span<const std::uint8_t> bytes, const std::shared_ptr<const AggregationContext>& context,
    const Stream& stream) {
  const char* const function = "decryption_share_from_bytes";
  check_context(function, context, stream);
  return named(function, [&] {
    const Header header = read_header(bytes, Kind::kShare, context->plan());
    try {
      check_sum("the share", context->plan(), header.owners, header.parties);
    } catch (const std::invalid_argument& error) {
      throw SerializationError(error.what());
    }
    if (!std::binary_search(header.parties.begin(), header.parties.end(), header.number)) {
      throw SerializationError("party " + std::to_string(header.number) +
                               " is none of those that decrypt");
    }
    return DecryptionShare(context, header.round, header.owners, header.parties, header.number,
                           read_residues(bytes, header, *context, stream));
  });
}

}  // namespace velum::he::aggregation
