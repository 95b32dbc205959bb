#include "velum/he/threshold/serialization.h"

#include <algorithm>
#include <array>
#include <istream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "serialization/object_io.h"
#include "threshold/party_secrets.h"
#include "threshold/transcript.h"

namespace velum::he::threshold {
namespace {

using namespace serialization;  // NOLINT(google-build-using-namespace): this file's own parts

constexpr std::int64_t kDigestBytes = 32;
constexpr std::int64_t kGroupNumbers = 3;

/// Of the messages of a kind.
struct Layout {
  LimbIndices limbs;
  std::int64_t polys = 0;
  std::int64_t before = 0;  // bytes before the residues
  std::int64_t behind = 0;  // and after them
};

/// @param level, count  of the header, in range; count is how many parties are active in a
///                      decryption, whether a party has a share of the secret, else polynomials.
Layout layout_of(const Context& context, int parties, Kind kind, int level, int count) {
  const Parameters& parameters = context.parameters();
  const LimbIndices q = context.q_limbs(level), qp = context.qp_limbs(parameters.max_level());
  switch (kind) {
    case Kind::kPublicKeyShare:
      return {q, 1, 2 * kDigestBytes, 0};
    case Kind::kRelinearizationShareOne:
    case Kind::kRelinearizationRoundOne:
      return {qp, 2 * parameters.dnum(), 2 * kDigestBytes, 0};
    case Kind::kRelinearizationShareTwo:
    case Kind::kGaloisKeyShare:
      return {qp, parameters.dnum(), 2 * kDigestBytes, 0};
    case Kind::kDecryptionShare:
      return {q, 1, 2 * kDigestBytes + 4 * count, 0};
    case Kind::kSecretShare:
      return {q, 1, kDigestBytes + 4 + kSeedBytes, 0};
    case Kind::kParty:
      return {q, count, kDigestBytes + context.degree() / 4,
              static_cast<std::int64_t>(kSeedBytes) * parties};
    default:
      throw std::logic_error("threshold: no message");
  }
}

std::int64_t payload_bytes(const Context& context, int parties, Kind kind, int level, int count) {
  const Layout layout = layout_of(context, parties, kind, level, count);
  return layout.before + packed_bytes(context.parameters(), layout.limbs, layout.polys) +
         layout.behind;
}

/// All but the kind of a header.
void check_header(const ObjectHeader& header, const Group& group) {
  const Context& context = *group.context();
  const Parameters& parameters = context.parameters();
  const Kind kind = header.kind;
  const int top = parameters.max_level(), n = group.parties();
  check_parameters(header, context);
  if (header.key_id != group.key_id()) {
    throw SerializationError("the object belongs to key " + he::to_string(header.key_id) +
                             ", expected that of the group, " + he::to_string(group.key_id()));
  }
  const bool switching = kind == Kind::kRelinearizationShareOne ||
                         kind == Kind::kRelinearizationRoundOne ||
                         kind == Kind::kRelinearizationShareTwo || kind == Kind::kGaloisKeyShare;
  if (switching && parameters.special_prime_count() == 0) {
    throw SerializationError(std::string(serialization::to_string(kind)) +
                             " for parameters without special primes, with which there are no "
                             "switching keys");
  }
  check_range("level", header.level, kind == Kind::kDecryptionShare ? 0 : top, top);
  if (kind == Kind::kDecryptionShare) {
    check_range("active parties", header.count, group.threshold(), n);
  } else if (kind == Kind::kParty) {
    check_range("polynomials", header.count, 0, group.threshold() < n ? 1 : 0);
  } else {
    const auto polys = layout_of(context, n, kind, header.level, 1).polys;
    check_range("polynomials", header.count, polys, polys);
  }
  const bool none = kind == Kind::kParty && header.count == 0;
  const auto form = static_cast<std::int64_t>(none ? Form::kCoefficient : Form::kNtt);
  check_range("form", static_cast<std::int64_t>(header.form), form, form);
  if (kind == Kind::kGaloisKeyShare) {
    check_range("Galois element", header.galois_element, 3, 2 * parameters.ring_degree() - 1);
    if (header.galois_element % 2 == 0) {
      throw SerializationError("Galois element = " + std::to_string(header.galois_element) +
                               ", expected an odd number");
    }
  } else {
    check_range("Galois element", header.galois_element, 0, 0);
  }
  const bool sum = kind == Kind::kRelinearizationRoundOne;
  check_range("party", header.party, sum ? 0 : 1, sum ? 0 : n);
  check_no_message(header);
  check_payload_bytes(header, payload_bytes(context, n, kind, header.level, header.count));
}

void write_digest(ByteWriter& writer, const Digest& digest) {
  writer.write(digest.data(), kDigestBytes);
}
Digest read_digest(ByteReader& reader) {
  Digest digest{};
  reader.read(digest.data(), kDigestBytes);
  return digest;
}
void write_number(ByteWriter& writer, int number) {
  std::array<std::uint8_t, 4> bytes{};
  store_u32(bytes.data(), static_cast<std::uint32_t>(number));
  writer.write(bytes.data(), bytes.size());
}
/// @throws SerializationError unless it is in [low, high].
int read_number(ByteReader& reader, const char* name, int low, int high) {
  std::array<std::uint8_t, 4> bytes{};
  reader.read(bytes.data(), bytes.size());
  const std::uint32_t number = load_u32(bytes.data());
  check_range(name, number, low, high);
  return static_cast<int>(number);
}
void read_group(ByteReader& reader, const Group& group) {
  const Digest digest = read_digest(reader);
  if (digest == group.id()) return;
  throw SerializationError("the object is of group " + to_string(digest) + ", expected group " +
                           to_string(group.id()));
}

ObjectHeader header_of(Kind kind, const Context& context, const KeyId& key_id, int parties,
                       int party, int level, int count) {
  ObjectHeader header;
  header.kind = kind;
  header.parameters_id = context.parameters().id();
  header.key_id = key_id;
  header.party = party;
  header.level = level;
  header.count = count;
  header.form = Form::kNtt;
  header.payload_bytes = payload_bytes(context, parties, kind, level, count);
  return header;
}

/// A message knows its group by its name; the key's follows from it.
void save_message(const char* function, std::ostream& out, Kind kind, const Message& message,
                  int level, int count, std::uint32_t galois_element,
                  const std::vector<int>& active, const Stream& stream) {
  const Context& context = *message.context();
  context.check_stream(function, stream);
  named(function, [&] {
    ByteWriter writer(out);
    ObjectHeader header =
        header_of(kind, context, key_id_of(message.group()), 0, message.party(), level, count);
    header.galois_element = galois_element;
    writer.write(encode(header).data(), kHeaderBytes);
    write_digest(writer, message.group());
    write_digest(writer, message.subject());
    for (const int party : active) write_number(writer, party);
    write_residues(writer, context, message.view(), layout_of(context, 0, kind, level, count).limbs,
                   stream);
    writer.finish();
  });
}

struct LoadedMessage {
  ObjectHeader header;
  std::vector<int> active;
  Message message;
};

LoadedMessage load_message(std::istream& in, Kind kind, const Group& group, const Stream& stream) {
  const std::shared_ptr<const Context>& context = group.context();
  ByteReader reader(in);
  const ObjectHeader header = read_header(reader, kind);
  check_header(header, group);
  read_group(reader, group);
  const Digest subject = read_digest(reader);
  std::vector<int> active;
  if (kind == Kind::kDecryptionShare) {
    for (int i = 0; i < header.count; ++i) {
      active.push_back(read_number(reader, "an active party",
                                   active.empty() ? 1 : active.back() + 1, group.parties()));
    }
    if (std::find(active.begin(), active.end(), header.party) == active.end()) {
      throw SerializationError("party = " + std::to_string(header.party) +
                               ", expected one of the active, " + to_string(active));
    }
  }
  const Layout layout = layout_of(*context, group.parties(), kind, header.level, header.count);
  Buffer<Word> residues(layout.polys * layout.limbs.count * context->degree(), stream);
  read_residues(reader, *context, residues.span(), layout.polys, layout.limbs, stream);
  reader.finish();
  Digest expected{};
  if (kind == Kind::kRelinearizationRoundOne) {
    expected = round_one_digest(
        group.id(), {residues.data(), layout.polys, layout.limbs.count, context->degree()}, stream);
  } else if (kind == Kind::kGaloisKeyShare) {
    expected = galois_digest(group.id(), header.galois_element);
  } else if (kind == Kind::kDecryptionShare || kind == Kind::kRelinearizationShareTwo) {
    expected = subject;  // known when it is combined
  }
  if (subject != expected) {
    throw SerializationError("the subject is " + to_string(subject) + ", expected " +
                             to_string(expected));
  }
  return {header, std::move(active),
          Message(context, group.id(), header.party, subject, std::move(residues), layout.polys,
                  layout.limbs.count)};
}

std::int64_t message_bytes(Kind kind, const Context& context, int parties, int level, int count) {
  return kHeaderBytes + payload_bytes(context, parties, kind, level, count) + kHashBytes;
}

int top_of(const Message& message) { return message.context()->parameters().max_level(); }
int polys_of(const Message& message) { return static_cast<int>(message.view().polys); }

void check_group_context(const char* function, const Group& group, const Stream& stream) {
  group.context()->check_stream(function, stream);
}

}  // namespace

// ---- Groups ---------------------------------------------------------------------------------

void save(std::ostream& out, const Group& group) {
  named("save(Group)", [&] {
    ByteWriter writer(out);
    ObjectHeader header;
    header.kind = Kind::kGroup;
    header.parameters_id = group.context()->parameters().id();
    header.key_id = group.key_id();
    header.payload_bytes = 4 * kGroupNumbers + kSeedBytes;
    writer.write(encode(header).data(), kHeaderBytes);
    write_number(writer, group.parties());
    write_number(writer, group.threshold());
    write_number(writer, group.shape().smudging.statistical_bits);
    write_seed(writer, group.seed());
    writer.finish();
  });
}

Group load_group(std::istream& in, const std::shared_ptr<const Context>& context,
                 const Stream& stream) {
  const char* const function = "load_group";
  check_context(function, context, stream);
  return named(function, [&] {
    ByteReader reader(in);
    const ObjectHeader header = read_header(reader, Kind::kGroup);
    check_parameters(header, *context);
    check_range("level", header.level, 0, 0);
    check_range("count", header.count, 0, 0);
    check_range("form", static_cast<std::int64_t>(header.form), 0, 0);
    check_range("Galois element", header.galois_element, 0, 0);
    check_range("party", header.party, 0, 0);
    check_no_message(header);
    check_payload_bytes(header, 4 * kGroupNumbers + kSeedBytes);
    GroupShape shape;
    shape.parties = read_number(reader, "parties", 0, kMostParties);
    shape.threshold = read_number(reader, "threshold", 0, kMostParties);
    shape.smudging.statistical_bits = read_number(reader, "statistical_bits", 0, 128);
    const PublicSeed seed = read_seed(reader);
    reader.finish();
    try {
      Group group(context, shape, seed);
      if (header.key_id != group.key_id()) {
        throw SerializationError("the header has the key " + he::to_string(header.key_id) +
                                 ", expected " + he::to_string(group.key_id()));
      }
      return group;
    } catch (const std::invalid_argument& error) {
      throw SerializationError(error.what());
    }
  });
}

// ---- Messages -------------------------------------------------------------------------------

void save(std::ostream& out, const PublicKeyShare& share, const Stream& stream) {
  save_message("save(PublicKeyShare)", out, Kind::kPublicKeyShare, share, top_of(share),
               polys_of(share), 0, {}, stream);
}
PublicKeyShare load_public_key_share(std::istream& in, const Group& group, const Stream& stream) {
  const char* const function = "load_public_key_share";
  check_group_context(function, group, stream);
  return named(function, [&] {
    return PublicKeyShare(load_message(in, Kind::kPublicKeyShare, group, stream).message);
  });
}

void save(std::ostream& out, const RelinearizationShareOne& share, const Stream& stream) {
  save_message("save(RelinearizationShareOne)", out, Kind::kRelinearizationShareOne, share,
               top_of(share), polys_of(share), 0, {}, stream);
}
RelinearizationShareOne load_relinearization_share_one(std::istream& in, const Group& group,
                                                       const Stream& stream) {
  const char* const function = "load_relinearization_share_one";
  check_group_context(function, group, stream);
  return named(function, [&] {
    return RelinearizationShareOne(
        load_message(in, Kind::kRelinearizationShareOne, group, stream).message);
  });
}

void save(std::ostream& out, const RelinearizationRoundOne& sum, const Stream& stream) {
  save_message("save(RelinearizationRoundOne)", out, Kind::kRelinearizationRoundOne, sum,
               top_of(sum), polys_of(sum), 0, {}, stream);
}
RelinearizationRoundOne load_relinearization_round_one(std::istream& in, const Group& group,
                                                       const Stream& stream) {
  const char* const function = "load_relinearization_round_one";
  check_group_context(function, group, stream);
  return named(function, [&] {
    return RelinearizationRoundOne(
        load_message(in, Kind::kRelinearizationRoundOne, group, stream).message);
  });
}

void save(std::ostream& out, const RelinearizationShareTwo& share, const Stream& stream) {
  save_message("save(RelinearizationShareTwo)", out, Kind::kRelinearizationShareTwo, share,
               top_of(share), polys_of(share), 0, {}, stream);
}
RelinearizationShareTwo load_relinearization_share_two(std::istream& in, const Group& group,
                                                       const Stream& stream) {
  const char* const function = "load_relinearization_share_two";
  check_group_context(function, group, stream);
  return named(function, [&] {
    return RelinearizationShareTwo(
        load_message(in, Kind::kRelinearizationShareTwo, group, stream).message);
  });
}

void save(std::ostream& out, const GaloisKeyShare& share, const Stream& stream) {
  save_message("save(GaloisKeyShare)", out, Kind::kGaloisKeyShare, share, top_of(share),
               polys_of(share), share.galois_element(), {}, stream);
}
GaloisKeyShare load_galois_key_share(std::istream& in, const Group& group, const Stream& stream) {
  const char* const function = "load_galois_key_share";
  check_group_context(function, group, stream);
  return named(function, [&] {
    LoadedMessage loaded = load_message(in, Kind::kGaloisKeyShare, group, stream);
    return GaloisKeyShare(std::move(loaded.message), loaded.header.galois_element);
  });
}

void save(std::ostream& out, const DecryptionShare& share, const Stream& stream) {
  save_message("save(DecryptionShare)", out, Kind::kDecryptionShare, share, share.level(),
               static_cast<int>(share.active().size()), 0, share.active(), stream);
}
DecryptionShare load_decryption_share(std::istream& in, const Group& group, const Stream& stream) {
  const char* const function = "load_decryption_share";
  check_group_context(function, group, stream);
  return named(function, [&] {
    LoadedMessage loaded = load_message(in, Kind::kDecryptionShare, group, stream);
    return DecryptionShare(std::move(loaded.message), loaded.header.level,
                           std::move(loaded.active));
  });
}

// ---- Secrets --------------------------------------------------------------------------------

void save_secret_share_unencrypted(std::ostream& out, const SecretShare& share,
                                   const Stream& stream) {
  const char* const function = "save_secret_share_unencrypted";
  const Context& context = *share.context();
  context.check_stream(function, stream);
  const int top = context.parameters().max_level();
  named(function, [&] {
    ByteWriter writer(out);
    writer.write(encode(header_of(Kind::kSecretShare, context, key_id_of(share.group()), 0,
                                  share.dealer(), top, 1))
                     .data(),
                 kHeaderBytes);
    write_digest(writer, share.group());
    write_number(writer, share.receiver());
    write_secret_words(writer, share.pair_secret().words.data());
    write_residues(writer, context, share.value().view(top), context.q_limbs(top), stream);
    writer.finish();
  });
}

SecretShare load_secret_share_unencrypted(std::istream& in, const Group& group,
                                          const Stream& stream) {
  const char* const function = "load_secret_share_unencrypted";
  check_group_context(function, group, stream);
  return named(function, [&] {
    const std::shared_ptr<const Context>& context = group.context();
    ByteReader reader(in);
    const ObjectHeader header = read_header(reader, Kind::kSecretShare);
    check_header(header, group);
    read_group(reader, group);
    const int receiver = read_number(reader, "receiver", 1, group.parties());
    kernels::RandomKey pair{};
    read_secret_words(reader, pair.words.data());
    SecretShare share(group.id(), header.party, receiver, SecretPolynomial(context, stream), pair);
    kernels::wipe(pair);
    const RnsView<Word> value = share.mutable_value().mutable_view();
    read_residues(reader, *context, Span<Word>(value.data, value.limbs * value.degree), 1,
                  context->q_limbs(header.level), stream);
    reader.finish();
    return share;
  });
}

void save_party_unencrypted(std::ostream& out, const Party& party, const Stream& stream) {
  const char* const function = "save_party_unencrypted";
  const Group& group = party.group();
  const Context& context = *group.context();
  context.check_stream(function, stream);
  const int top = context.parameters().max_level();
  const Party::Secrets& secrets = party.secrets();
  named(function, [&] {
    ByteWriter writer(out);
    ObjectHeader header = header_of(Kind::kParty, context, group.key_id(), group.parties(),
                                    party.index(), top, secrets.share ? 1 : 0);
    if (!secrets.share) header.form = Form::kCoefficient;
    writer.write(encode(header).data(), kHeaderBytes);
    write_digest(writer, group.id());
    write_ternary(writer, secrets.key.material().coefficients.span(), stream);
    if (secrets.share) {
      write_residues(writer, context, secrets.share->view(top), context.q_limbs(top), stream);
    }
    for (int i = 0; i < group.parties(); ++i)
      write_secret_words(writer, secrets.pairs.data() + 8 * i);
    writer.finish();
  });
}

Party load_party_unencrypted(std::istream& in, const Group& group, OnceRegister once,
                             const Stream& stream, std::shared_ptr<Randomness> randomness) {
  const char* const function = "load_party_unencrypted";
  check_group_context(function, group, stream);
  return named(function, [&] {
    const std::shared_ptr<const Context>& context = group.context();
    ByteReader reader(in);
    const ObjectHeader header = read_header(reader, Kind::kParty);
    check_header(header, group);
    read_group(reader, group);
    const Ternary secret = read_ternary(reader, context->degree());
    std::optional<SecretPolynomial> share;
    if (header.count == 1) {
      share.emplace(context, stream);
      const RnsView<Word> value = share->mutable_view();
      read_residues(reader, *context, Span<Word>(value.data, value.limbs * value.degree), 1,
                    context->q_limbs(header.level), stream);
    }
    SecretBuffer<std::uint32_t> pairs(8 * group.parties(), Stream::serial());
    std::uint32_t of_itself = 0;
    for (int i = 0; i < group.parties(); ++i) {
      read_secret_words(reader, pairs.data() + 8 * i);
      for (int j = 0; j < 8; ++j)
        of_itself |= i + 1 == header.party || !share ? pairs.data()[8 * i + j] : 0;
    }
    reader.finish();
    check_ternary(secret);
    if (of_itself != 0)
      throw SerializationError("there is a mask where there should be none, expected zeros");
    auto secrets = std::make_unique<Party::Secrets>(
        SecretKey::import_coefficients_secret(
            context, group.key_id(), Span<const std::int8_t>(secret.coefficients.span()), stream),
        group.parties());
    secrets->share = std::move(share);
    secrets->pairs = std::move(pairs);
    return Party(group, header.party, std::move(once), std::move(secrets), std::move(randomness));
  });
}

// ---- Sizes ----------------------------------------------------------------------------------

std::int64_t serialized_size(const Group&) {
  return kHeaderBytes + 4 * kGroupNumbers + kSeedBytes + kHashBytes;
}
std::int64_t serialized_size(const PublicKeyShare& share) {
  return message_bytes(Kind::kPublicKeyShare, *share.context(), 0, top_of(share), 1);
}
std::int64_t serialized_size(const RelinearizationShareOne& share) {
  return message_bytes(Kind::kRelinearizationShareOne, *share.context(), 0, top_of(share), 1);
}
std::int64_t serialized_size(const RelinearizationRoundOne& sum) {
  return message_bytes(Kind::kRelinearizationRoundOne, *sum.context(), 0, top_of(sum), 1);
}
std::int64_t serialized_size(const RelinearizationShareTwo& share) {
  return message_bytes(Kind::kRelinearizationShareTwo, *share.context(), 0, top_of(share), 1);
}
std::int64_t serialized_size(const GaloisKeyShare& share) {
  return message_bytes(Kind::kGaloisKeyShare, *share.context(), 0, top_of(share), 1);
}
std::int64_t serialized_size(const DecryptionShare& share) {
  return message_bytes(Kind::kDecryptionShare, *share.context(), 0, share.level(),
                       static_cast<int>(share.active().size()));
}
std::int64_t serialized_size(const SecretShare& share) {
  return message_bytes(Kind::kSecretShare, *share.context(), 0,
                       share.context()->parameters().max_level(), 1);
}
std::int64_t serialized_size(const Party& party) {
  const Context& context = *party.group().context();
  return message_bytes(Kind::kParty, context, party.group().parties(),
                       context.parameters().max_level(), party.secrets().share ? 1 : 0);
}

}  // namespace velum::he::threshold
