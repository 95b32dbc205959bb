#include "velum/he/serialization.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <istream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "bfv/message.h"
#include "parameters_fields.h"
#include "secret_key_material.h"
#include "serialization/byte_stream.h"
#include "serialization/object_header.h"
#include "serialization/object_io.h"
#include "serialization/residue_packing.h"
#include "velum/he/bfv/serialization.h"

namespace velum::he {
namespace {

using namespace serialization;  // NOLINT(google-build-using-namespace): this file's own parts

// ---- What a header may say ------------------------------------------------------------------

/// Of the polynomials of a kind.
Form form_of(Kind kind) {
  return kind == Kind::kSecretKey || kind == Kind::kBfvPlaintext ? Form::kCoefficient : Form::kNtt;
}

/// Scale, estimates and message form of a header of BFV.
void check_bfv_message(const ObjectHeader& header, const Parameters& parameters) {
  check_zero("scale", header.scale);
  check_range("message form", static_cast<std::int64_t>(header.noise.form), 0, 0);
  if (header.kind == Kind::kBfvPlaintext) {
    check_zero("noise of coefficients", header.noise.slot_variance);
    check_zero("noise of slots", header.noise.slot_bound);
    check_estimate("coefficient sum", header.noise.message_bound);
    const double most =
        bfv::message::largest_sum(parameters.ring_degree(), parameters.plaintext_modulus());
    if (header.noise.message_bound > most) {
      throw SerializationError("coefficient sum = " + number_text(header.noise.message_bound) +
                               ", expected at most N floor(t/2) = " + number_text(most));
    }
  } else {
    check_estimate("noise of coefficients", header.noise.slot_variance);
    check_estimate("noise of slots", header.noise.slot_bound);
    check_zero("coefficient sum", header.noise.message_bound);
  }
}

/// All but the kind and the ids of a header, against the parameters.
void check_header(const ObjectHeader& header, const Parameters& parameters) {
  const Kind kind = header.kind;
  const int top = parameters.max_level();
  const bool bfv_message = kind == Kind::kBfvPlaintext || kind == Kind::kBfvCiphertext ||
                           kind == Kind::kBfvSeededCiphertext;
  const bool message = bfv_message || kind == Kind::kPlaintext || kind == Kind::kCiphertext ||
                       kind == Kind::kSeededCiphertext;
  if (message && bfv_message != (parameters.scheme() == SchemeType::kBfv)) {
    throw SerializationError(std::string(to_string(kind)) + " for parameters of " +
                             to_string(parameters.scheme()) + ", which have none");
  }
  const bool switching = kind == Kind::kKeySwitchingKey || kind == Kind::kRelinearizationKey ||
                         kind == Kind::kGaloisKey || kind == Kind::kGaloisKeys;
  if (switching && parameters.special_prime_count() == 0) {
    throw SerializationError(
        std::string(to_string(kind)) +
        " for parameters without special primes, with which there are no switching keys");
  }
  // The level.
  if (kind == Kind::kSecretKey || kind == Kind::kBfvPlaintext) {
    check_range("level", header.level, 0, 0);
  } else {
    check_range("level", header.level, message ? 0 : top, top);
  }
  // The count, which with the level decides the size.
  if (kind == Kind::kCiphertext || kind == Kind::kBfvCiphertext) {
    check_range("polynomials", header.count, 2, 3);
  } else if (kind == Kind::kGaloisKeys) {
    check_range("keys", header.count, 1, parameters.ring_degree() - 1);
  } else {
    const int polynomials = switching ? parameters.dnum() : 1;
    check_range("polynomials", header.count, polynomials, polynomials);
  }
  const auto form = static_cast<std::int64_t>(form_of(kind));
  check_range("form", static_cast<std::int64_t>(header.form), form, form);
  if (kind == Kind::kGaloisKey) {
    check_range("Galois element", header.galois_element, 3, 2 * parameters.ring_degree() - 1);
    if (header.galois_element % 2 == 0) {
      throw SerializationError("Galois element = " + std::to_string(header.galois_element) +
                               ", expected an odd number");
    }
  } else {
    check_range("Galois element", header.galois_element, 0, 0);
  }
  if (bfv_message) {
    check_bfv_message(header, parameters);
  } else if (message) {
    if (!(std::isfinite(header.scale) && header.scale > 0.0)) {
      throw SerializationError("scale = " + number_text(header.scale) +
                               ", expected finite and above 0");
    }
    check_estimate("slot_variance", header.noise.slot_variance);
    check_estimate("slot_bound", header.noise.slot_bound);
    check_estimate("message_bound", header.noise.message_bound);
  } else {
    check_no_message(header);
  }
  check_range("party", header.party, 0, 0);
  check_payload_bytes(header, payload_bytes(parameters, kind, header.level, header.count));
}

/// As `read_header`, for an object of the context.
ObjectHeader read_header(ByteReader& reader, Kind expected, const Context& context,
                         const std::optional<KeyId>& expected_key) {
  ObjectHeader header = read_header(reader, expected);
  check_parameters(header, context);
  if ((expected == Kind::kPlaintext || expected == Kind::kBfvPlaintext) &&
      header.key_id != KeyId{}) {
    throw SerializationError("key id " + to_string(header.key_id) +
                             ", expected zeros: a plaintext belongs to no key");
  }
  if (expected_key && header.key_id != *expected_key) {
    throw SerializationError("the object belongs to key " + to_string(header.key_id) +
                             ", expected key " + to_string(*expected_key));
  }
  check_header(header, context.parameters());
  return header;
}

ObjectHeader header_of(Kind kind, const Parameters& parameters, const KeyId& key_id, int level,
                       int count) {
  ObjectHeader header;
  header.kind = kind;
  header.parameters_id = parameters.id();
  header.key_id = key_id;
  header.level = level;
  header.count = count;
  header.form = form_of(kind);
  header.payload_bytes = payload_bytes(parameters, kind, level, count);
  return header;
}

/// What a loader would refuse is not written.
void write_header(ByteWriter& writer, const char* function, const ObjectHeader& header,
                  const Parameters& parameters) {
  serialization::write_header(writer, function, header,
                              [&](const ObjectHeader& h) { check_header(h, parameters); });
}

std::int64_t object_bytes(const Parameters& parameters, Kind kind, int level, int count) {
  return kHeaderBytes + payload_bytes(parameters, kind, level, count) + kHashBytes;
}

// ---- Switching keys -------------------------------------------------------------------------

void save_switching_key(const char* function, std::ostream& out, Kind kind,
                        std::uint32_t galois_element, const KeySwitchingKey& key,
                        const Stream& stream) {
  const Context& context = *key.context();
  context.check_stream(function, stream);
  const Parameters& parameters = context.parameters();
  named(function, [&] {
    ByteWriter writer(out);
    ObjectHeader header =
        header_of(kind, parameters, key.id(), parameters.max_level(), parameters.dnum());
    header.galois_element = galois_element;
    write_header(writer, function, header, parameters);
    write_seed(writer, key.seed());
    RnsView<const Word> b = key.view();  // every second polynomial
    b = {b.data, parameters.dnum(), b.limbs, b.degree, 2 * b.poly_stride};
    write_residues(writer, context, b, context.qp_limbs(parameters.max_level()), stream);
    writer.finish();
  });
}

struct LoadedKey {
  std::uint32_t galois_element;
  KeySwitchingKey key;
};

LoadedKey load_switching_key(std::istream& in, Kind kind,
                             const std::shared_ptr<const Context>& context,
                             const std::optional<KeyId>& expected_key, const Stream& stream) {
  ByteReader reader(in);
  const ObjectHeader header = read_header(reader, kind, *context, expected_key);
  const PublicSeed seed = read_seed(reader);
  const LimbIndices limbs = context->qp_limbs(header.level);
  Buffer<Word> b(header.count * limbs.count * context->degree(), stream);
  read_residues(reader, *context, b.span(), header.count, limbs, stream);
  reader.finish();
  KeySwitchingKey key =
      KeySwitchingKey::expand(context, header.key_id, seed, Span<const Word>(b.span()), stream);
  kernels::synchronize(stream);
  return {header.galois_element, std::move(key)};
}

// ---- Parameters -----------------------------------------------------------------------------

ObjectHeader read_parameters_header(ByteReader& reader) {
  std::array<std::uint8_t, kHeaderBytes> bytes{};
  reader.read(bytes.data(), kHeaderBytes);
  const ObjectHeader header = decode(bytes);
  if (header.kind != Kind::kParameters && header.kind != Kind::kBfvParameters) {
    throw SerializationError(std::string("found ") + to_string(header.kind) +
                             ", expected parameters");
  }
  return header;
}

Kind kind_of(const Parameters& parameters) {
  return parameters.scheme() == SchemeType::kBfv ? Kind::kBfvParameters : Kind::kParameters;
}

Parameters load_any_parameters(const char* function, std::istream& in, bool insecure_too) {
  return named(function, [&] {
    ByteReader reader(in);
    const ObjectHeader header = read_parameters_header(reader);
    const bool bfv = header.kind == Kind::kBfvParameters;
    const int number_count = bfv ? 10 : 8;
    // Nothing but the count decides the size here.
    check_range("primes", header.count, 1, LimbIndices::kMaxLimbs);
    check_range("level", header.level, 0, 0);
    check_range("form", static_cast<std::int64_t>(header.form), 0, 0);
    check_range("Galois element", header.galois_element, 0, 0);
    check_no_message(header);
    if (header.key_id != KeyId{}) {
      throw SerializationError("key id " + to_string(header.key_id) +
                               ", expected zeros: parameters belong to no key");
    }
    check_range("payload bytes", header.payload_bytes, 4 * (number_count + header.count),
                4 * (number_count + header.count));
    std::array<std::uint8_t, 4 * (10 + LimbIndices::kMaxLimbs)> bytes{};
    reader.read(bytes.data(), header.payload_bytes);
    reader.finish();

    ParametersFields fields;
    if (header.party == 1) throw SerializationError("parties = 1, expected 0, or 2 and more");
    if (header.party != 0) fields.parties = header.party;
    int* const numbers[] = {
        &fields.log_n,     &fields.scale_bits,    &fields.base_count,  &fields.primes_per_level,
        &fields.max_level, &fields.special_count, &fields.digit_limbs, &fields.security};
    std::size_t at = 0;
    for (int* const number : numbers) {
      const std::uint32_t value = load_u32(&bytes[at]);
      check_range("a number of the parameters", value, 0, std::numeric_limits<int>::max());
      *number = static_cast<int>(value);
      at += 4;
    }
    if (bfv) {
      fields.plaintext_modulus = load_u64(&bytes[at]);
      at += 8;
      if (fields.plaintext_modulus == 0) {
        throw SerializationError("plaintext modulus = 0, expected 2 to 2^60");
      }
    }
    for (int i = 0; i < header.count; ++i, at += 4) fields.primes.push_back(load_u32(&bytes[at]));
    if (fields.security == 0 && !insecure_too) {
      throw SerializationError(
          "the parameters do not claim to be within the security table, expected 128, 192 or 256 "
          "bits; for tests there is load_parameters_insecure_without_security_check");
    }
    try {
      Parameters parameters = fields.restore();
      if (parameters.id() != header.parameters_id) {
        throw SerializationError("the header has the parameters id " +
                                 to_string(header.parameters_id) + ", expected " +
                                 to_string(parameters.id()));
      }
      return parameters;
    } catch (const std::invalid_argument& error) {
      throw SerializationError(error.what());
    }
  });
}

}  // namespace

void save(std::ostream& out, const Parameters& parameters) {
  named("save(Parameters)", [&] {
    const ParametersFields fields = ParametersFields::of(parameters);
    ObjectHeader header;
    header.kind = kind_of(parameters);
    header.parameters_id = parameters.id();
    header.count = static_cast<std::int32_t>(fields.primes.size());
    if (fields.parties != 1) header.party = fields.parties;
    header.payload_bytes = payload_bytes(parameters, header.kind, 0, header.count);
    std::vector<std::uint8_t> payload(static_cast<std::size_t>(header.payload_bytes));
    std::size_t at = 0;
    for (const int number :
         {fields.log_n, fields.scale_bits, fields.base_count, fields.primes_per_level,
          fields.max_level, fields.special_count, fields.digit_limbs, fields.security}) {
      store_u32(&payload[at], static_cast<std::uint32_t>(number));
      at += 4;
    }
    if (fields.plaintext_modulus != 0) {
      store_u64(&payload[at], fields.plaintext_modulus);
      at += 8;
    }
    for (const std::uint32_t prime : fields.primes) {
      store_u32(&payload[at], prime);
      at += 4;
    }
    ByteWriter writer(out);
    writer.write(encode(header).data(), kHeaderBytes);
    writer.write(payload.data(), header.payload_bytes);
    writer.finish();
  });
}

Parameters load_parameters(std::istream& in) {
  return load_any_parameters("load_parameters", in, false);
}

Parameters load_parameters_insecure_without_security_check(std::istream& in) {
  return load_any_parameters("load_parameters_insecure_without_security_check", in, true);
}

void save(std::ostream& out, const Plaintext& plaintext, const Stream& stream) {
  const char* const function = "save(Plaintext)";
  const Context& context = *plaintext.context();
  context.check_stream(function, stream);
  named(function, [&] {
    ByteWriter writer(out);
    ObjectHeader header =
        header_of(Kind::kPlaintext, context.parameters(), KeyId{}, plaintext.level(), 1);
    header.scale = plaintext.scale();
    header.noise = plaintext.noise();
    write_header(writer, function, header, context.parameters());
    write_residues(writer, context, plaintext.view(), context.q_limbs(plaintext.level()), stream);
    writer.finish();
  });
}

Plaintext load_plaintext(std::istream& in, const std::shared_ptr<const Context>& context,
                         const Stream& stream) {
  const char* const function = "load_plaintext";
  check_context(function, context, stream);
  return named(function, [&] {
    ByteReader reader(in);
    const ObjectHeader header = read_header(reader, Kind::kPlaintext, *context, {});
    const LimbIndices limbs = context->q_limbs(header.level);
    Buffer<Word> residues(limbs.count * context->degree(), stream);
    read_residues(reader, *context, residues.span(), 1, limbs, stream);
    reader.finish();
    return Plaintext(context, std::move(residues), header.level, header.scale, header.noise,
                     History::kUnknown);
  });
}

void save(std::ostream& out, const Ciphertext& ciphertext, const Stream& stream) {
  const char* const function = "save(Ciphertext)";
  const Context& context = *ciphertext.context();
  context.check_stream(function, stream);
  named(function, [&] {
    ByteWriter writer(out);
    ObjectHeader header = header_of(Kind::kCiphertext, context.parameters(), ciphertext.key_id(),
                                    ciphertext.level(), ciphertext.size());
    header.scale = ciphertext.scale();
    header.noise = ciphertext.noise();
    write_header(writer, function, header, context.parameters());
    write_residues(writer, context, ciphertext.view(), context.q_limbs(ciphertext.level()), stream);
    writer.finish();
  });
}

Ciphertext load_ciphertext(std::istream& in, const std::shared_ptr<const Context>& context,
                           const Stream& stream, const LoadOptions& options) {
  const char* const function = "load_ciphertext";
  check_context(function, context, stream);
  return named(function, [&] {
    ByteReader reader(in);
    const ObjectHeader header =
        read_header(reader, Kind::kCiphertext, *context, options.expected_key);
    const LimbIndices limbs = context->q_limbs(header.level);
    Buffer<Word> residues(header.count * limbs.count * context->degree(), stream);
    read_residues(reader, *context, residues.span(), header.count, limbs, stream);
    reader.finish();
    return Ciphertext(context, header.key_id, std::move(residues), header.count, header.level,
                      header.scale, header.noise, History::kUnknown);
  });
}

void save(std::ostream& out, const SeededCiphertext& ciphertext, const Stream& stream) {
  const char* const function = "save(SeededCiphertext)";
  const Context& context = *ciphertext.context();
  context.check_stream(function, stream);
  named(function, [&] {
    ByteWriter writer(out);
    ObjectHeader header = header_of(Kind::kSeededCiphertext, context.parameters(),
                                    ciphertext.key_id(), ciphertext.level(), 1);
    header.scale = ciphertext.scale();
    header.noise = ciphertext.noise();
    write_header(writer, function, header, context.parameters());
    write_seed(writer, ciphertext.seed());
    write_residues(writer, context, ciphertext.view(), context.q_limbs(ciphertext.level()), stream);
    writer.finish();
  });
}

SeededCiphertext load_seeded_ciphertext(std::istream& in,
                                        const std::shared_ptr<const Context>& context,
                                        const Stream& stream, const LoadOptions& options) {
  const char* const function = "load_seeded_ciphertext";
  check_context(function, context, stream);
  return named(function, [&] {
    ByteReader reader(in);
    const ObjectHeader header =
        read_header(reader, Kind::kSeededCiphertext, *context, options.expected_key);
    const PublicSeed seed = read_seed(reader);
    const LimbIndices limbs = context->q_limbs(header.level);
    Buffer<Word> residues(limbs.count * context->degree(), stream);
    read_residues(reader, *context, residues.span(), 1, limbs, stream);
    reader.finish();
    return SeededCiphertext(context, header.key_id, seed, std::move(residues), header.level,
                            header.scale, header.noise, History::kUnknown);
  });
}

void save(std::ostream& out, const PublicKey& key, const Stream& stream) {
  const char* const function = "save(PublicKey)";
  const Context& context = *key.context();
  context.check_stream(function, stream);
  const int level = context.parameters().max_level();
  named(function, [&] {
    ByteWriter writer(out);
    write_header(writer, function,
                 header_of(Kind::kPublicKey, context.parameters(), key.id(), level, 1),
                 context.parameters());
    write_seed(writer, key.seed());
    write_residues(writer, context, key.view().poly_range(0, 1), context.q_limbs(level), stream);
    writer.finish();
  });
}

PublicKey load_public_key(std::istream& in, const std::shared_ptr<const Context>& context,
                          const Stream& stream, const LoadOptions& options) {
  const char* const function = "load_public_key";
  check_context(function, context, stream);
  return named(function, [&] {
    ByteReader reader(in);
    const ObjectHeader header =
        read_header(reader, Kind::kPublicKey, *context, options.expected_key);
    const PublicSeed seed = read_seed(reader);
    const LimbIndices limbs = context->q_limbs(header.level);
    Buffer<Word> b(limbs.count * context->degree(), stream);
    read_residues(reader, *context, b.span(), 1, limbs, stream);
    reader.finish();
    PublicKey key =
        PublicKey::expand(context, header.key_id, seed, Span<const Word>(b.span()), stream);
    kernels::synchronize(stream);
    return key;
  });
}

void save(std::ostream& out, const KeySwitchingKey& key, const Stream& stream) {
  save_switching_key("save(KeySwitchingKey)", out, Kind::kKeySwitchingKey, 0, key, stream);
}

KeySwitchingKey load_key_switching_key(std::istream& in,
                                       const std::shared_ptr<const Context>& context,
                                       const Stream& stream, const LoadOptions& options) {
  const char* const function = "load_key_switching_key";
  check_context(function, context, stream);
  return named(function, [&] {
    return load_switching_key(in, Kind::kKeySwitchingKey, context, options.expected_key, stream)
        .key;
  });
}

void save(std::ostream& out, const RelinearizationKey& key, const Stream& stream) {
  save_switching_key("save(RelinearizationKey)", out, Kind::kRelinearizationKey, 0, key.key,
                     stream);
}

RelinearizationKey load_relinearization_key(std::istream& in,
                                            const std::shared_ptr<const Context>& context,
                                            const Stream& stream, const LoadOptions& options) {
  const char* const function = "load_relinearization_key";
  check_context(function, context, stream);
  return named(function, [&] {
    return RelinearizationKey{
        load_switching_key(in, Kind::kRelinearizationKey, context, options.expected_key, stream)
            .key};
  });
}

void save_galois_key(std::ostream& out, std::uint32_t galois_element, const KeySwitchingKey& key,
                     const Stream& stream) {
  save_switching_key("save_galois_key", out, Kind::kGaloisKey, galois_element, key, stream);
}

std::pair<std::uint32_t, KeySwitchingKey> load_galois_key(
    std::istream& in, const std::shared_ptr<const Context>& context, const Stream& stream,
    const LoadOptions& options) {
  const char* const function = "load_galois_key";
  check_context(function, context, stream);
  return named(function, [&] {
    LoadedKey loaded =
        load_switching_key(in, Kind::kGaloisKey, context, options.expected_key, stream);
    return std::pair(loaded.galois_element, std::move(loaded.key));
  });
}

void save(std::ostream& out, const GaloisKeys& keys, const Stream& stream) {
  const char* const function = "save(GaloisKeys)";
  if (keys.keys.empty()) {
    throw std::invalid_argument(std::string(function) + ": there are no keys, expected at least 1");
  }
  const KeySwitchingKey& first = keys.keys.begin()->second;
  const Parameters& parameters = first.context()->parameters();
  for (const auto& [element, key] : keys.keys) {
    if (key.id() != first.id() || !(key.context()->parameters() == parameters)) {
      throw std::invalid_argument(std::string(function) +
                                  ": the keys belong to different secret keys or parameters");
    }
  }
  named(function, [&] {
    ByteWriter writer(out);
    write_header(writer, function,
                 header_of(Kind::kGaloisKeys, parameters, first.id(), parameters.max_level(),
                           static_cast<int>(keys.keys.size())),
                 parameters);
    writer.finish();
  });
  for (const auto& [element, key] : keys.keys) {
    save_switching_key(function, out, Kind::kGaloisKey, element, key, stream);
  }
}

GaloisKeys load_galois_keys(std::istream& in, const std::shared_ptr<const Context>& context,
                            const Stream& stream, const LoadOptions& options) {
  const char* const function = "load_galois_keys";
  check_context(function, context, stream);
  return named(function, [&] {
    ByteReader reader(in);
    const ObjectHeader header =
        read_header(reader, Kind::kGaloisKeys, *context, options.expected_key);
    reader.finish();
    GaloisKeys keys;
    std::uint32_t last = 0;
    for (int i = 0; i < header.count; ++i) {
      try {
        LoadedKey loaded = load_switching_key(in, Kind::kGaloisKey, context, header.key_id, stream);
        if (loaded.galois_element <= last) {
          throw SerializationError("Galois element = " + std::to_string(loaded.galois_element) +
                                   ", expected above the one before, " + std::to_string(last));
        }
        last = loaded.galois_element;
        keys.keys.emplace_hint(keys.keys.end(), last, std::move(loaded.key));
      } catch (const SerializationError& error) {
        throw SerializationError("key " + std::to_string(i) + " of " +
                                 std::to_string(header.count) + ": " + error.what());
      }
    }
    return keys;
  });
}

// ---- The secret -----------------------------------------------------------------------------

void save_secret_key_unencrypted(std::ostream& out, const SecretKey& key, const Stream& stream) {
  const char* const function = "save_secret_key_unencrypted";
  const Context& context = *key.context();
  context.check_stream(function, stream);
  named(function, [&] {
    ByteWriter writer(out);
    write_header(writer, function,
                 header_of(Kind::kSecretKey, context.parameters(), key.id(), 0, 1),
                 context.parameters());
    write_ternary(writer, key.material().coefficients.span(), stream);
    writer.finish();
  });
}

SecretKey load_secret_key_unencrypted(std::istream& in,
                                      const std::shared_ptr<const Context>& context,
                                      const Stream& stream, const LoadOptions& options) {
  const char* const function = "load_secret_key_unencrypted";
  check_context(function, context, stream);
  return named(function, [&] {
    ByteReader reader(in);
    const ObjectHeader header =
        read_header(reader, Kind::kSecretKey, *context, options.expected_key);
    const Ternary secret = read_ternary(reader, context->degree());
    reader.finish();
    check_ternary(secret);
    return SecretKey::import_coefficients_secret(
        context, header.key_id, Span<const std::int8_t>(secret.coefficients.span()), stream);
  });
}

// ---- Sizes ----------------------------------------------------------------------------------

std::int64_t serialized_size(const Parameters& parameters) {
  return object_bytes(parameters, kind_of(parameters), 0, 0);
}
std::int64_t serialized_size(const Plaintext& plaintext) {
  return object_bytes(plaintext.context()->parameters(), Kind::kPlaintext, plaintext.level(), 1);
}
std::int64_t serialized_size(const Ciphertext& ciphertext) {
  return object_bytes(ciphertext.context()->parameters(), Kind::kCiphertext, ciphertext.level(),
                      ciphertext.size());
}
std::int64_t serialized_size(const SeededCiphertext& ciphertext) {
  return object_bytes(ciphertext.context()->parameters(), Kind::kSeededCiphertext,
                      ciphertext.level(), 1);
}
std::int64_t serialized_size(const PublicKey& key) {
  const Parameters& parameters = key.context()->parameters();
  return object_bytes(parameters, Kind::kPublicKey, parameters.max_level(), 1);
}
std::int64_t serialized_size(const KeySwitchingKey& key) {
  const Parameters& parameters = key.context()->parameters();
  return object_bytes(parameters, Kind::kKeySwitchingKey, parameters.max_level(),
                      parameters.dnum());
}
std::int64_t serialized_size(const RelinearizationKey& key) { return serialized_size(key.key); }
std::int64_t serialized_size(const GaloisKeys& keys) {
  std::int64_t bytes = kHeaderBytes + kHashBytes;
  for (const auto& [element, key] : keys.keys) bytes += serialized_size(key);
  return bytes;
}
std::int64_t serialized_size(const SecretKey& key) {
  return object_bytes(key.context()->parameters(), Kind::kSecretKey, 0, 1);
}

void expect_end(std::istream& in) {
  bool more = false;
  try {
    more = in.peek() != std::istream::traits_type::eof();
  } catch (const std::ios_base::failure&) {  // a stream that throws at its end
  }
  if (more || in.bad()) {
    throw SerializationError(more ? "expect_end: there are bytes behind the last object"
                                  : "expect_end: the stream failed");
  }
}

// ---- BFV ------------------------------------------------------------------------------------

namespace bfv {
namespace {

/// Header and residues of a ciphertext, with what stands between them.
template <typename Object, typename Between>
void save_residues(const char* function, std::ostream& out, Kind kind, const Object& object,
                   int count, const Stream& stream, const Between& between) {
  const Context& context = *object.context();
  context.check_stream(function, stream);
  named(function, [&] {
    ByteWriter writer(out);
    ObjectHeader header =
        header_of(kind, context.parameters(), object.key_id(), object.level(), count);
    header.noise.slot_variance = object.noise().coefficient;
    header.noise.slot_bound = object.noise().slot;
    write_header(writer, function, header, context.parameters());
    between(writer);
    write_residues(writer, context, object.view(), context.q_limbs(object.level()), stream);
    writer.finish();
  });
}

NoiseBound noise_of(const ObjectHeader& header) {
  return {header.noise.slot_variance, header.noise.slot_bound};
}

}  // namespace

void save(std::ostream& out, const Plaintext& plaintext, const Stream& stream) {
  const char* const function = "save(bfv::Plaintext)";
  const Context& context = *plaintext.context();
  const Parameters& parameters = context.parameters();
  const std::vector<std::int64_t> coefficients =
      message::coefficients_of(function, plaintext.context(), plaintext, context.degree(), stream);
  std::vector<std::uint64_t> numbers(coefficients.size());
  std::transform(coefficients.begin(), coefficients.end(), numbers.begin(), [&](std::int64_t x) {
    return message::residue(x, parameters.plaintext_modulus());
  });
  named(function, [&] {
    ByteWriter writer(out);
    ObjectHeader header = header_of(Kind::kBfvPlaintext, parameters, KeyId{}, 0, 1);
    header.noise.message_bound = plaintext.coefficient_sum();
    write_header(writer, function, header, parameters);
    std::vector<std::uint8_t> bytes(
        static_cast<std::size_t>(payload_bytes(parameters, Kind::kBfvPlaintext, 0, 1)));
    pack_numbers(numbers.data(), context.degree(), message_bits(parameters), bytes.data());
    writer.write(bytes.data(), static_cast<std::int64_t>(bytes.size()));
    writer.finish();
  });
}

Plaintext load_plaintext(std::istream& in, const std::shared_ptr<const Context>& context,
                         const Stream& stream) {
  const char* const function = "bfv::load_plaintext";
  check_context(function, context, stream);
  return named(function, [&] {
    ByteReader reader(in);
    const ObjectHeader header = read_header(reader, Kind::kBfvPlaintext, *context, {});
    const Parameters& parameters = context->parameters();
    const std::uint64_t t = parameters.plaintext_modulus();
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(header.payload_bytes));
    reader.read(bytes.data(), header.payload_bytes);
    reader.finish();
    std::vector<std::uint64_t> numbers(static_cast<std::size_t>(context->degree()));
    const std::int64_t refused = unpack_numbers(bytes.data(), context->degree(),
                                                message_bits(parameters), t, numbers.data());
    if (refused != context->degree()) {
      throw SerializationError("coefficient " + std::to_string(refused) + " is " +
                               std::to_string(numbers[static_cast<std::size_t>(refused)]) +
                               ", expected below t = " + std::to_string(t));
    }
    std::vector<std::int64_t> coefficients(numbers.size());
    double sum = 0.0;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      coefficients[i] = message::centred(numbers[i], t);
      sum += std::abs(static_cast<double>(coefficients[i]));
    }
    // A sum of N doubles is off by less than N 2^-53 of itself.
    if (sum > header.noise.message_bound * (1.0 + 0x1p-30)) {
      throw SerializationError(
          "the coefficients add up to " + number_text(sum) +
          ", expected at most coefficient sum = " + number_text(header.noise.message_bound));
    }
    return message::plaintext_of(context, coefficients, header.noise.message_bound, stream);
  });
}

void save(std::ostream& out, const Ciphertext& ciphertext, const Stream& stream) {
  save_residues("save(bfv::Ciphertext)", out, Kind::kBfvCiphertext, ciphertext, ciphertext.size(),
                stream, [](ByteWriter&) {});
}

Ciphertext load_ciphertext(std::istream& in, const std::shared_ptr<const Context>& context,
                           const Stream& stream, const LoadOptions& options) {
  const char* const function = "bfv::load_ciphertext";
  check_context(function, context, stream);
  return named(function, [&] {
    ByteReader reader(in);
    const ObjectHeader header =
        read_header(reader, Kind::kBfvCiphertext, *context, options.expected_key);
    const LimbIndices limbs = context->q_limbs(header.level);
    Buffer<Word> residues(header.count * limbs.count * context->degree(), stream);
    read_residues(reader, *context, residues.span(), header.count, limbs, stream);
    reader.finish();
    return Ciphertext(context, header.key_id, std::move(residues), header.count, header.level,
                      noise_of(header), History::kUnknown);
  });
}

void save(std::ostream& out, const SeededCiphertext& ciphertext, const Stream& stream) {
  save_residues("save(bfv::SeededCiphertext)", out, Kind::kBfvSeededCiphertext, ciphertext, 1,
                stream, [&](ByteWriter& writer) { write_seed(writer, ciphertext.seed()); });
}

SeededCiphertext load_seeded_ciphertext(std::istream& in,
                                        const std::shared_ptr<const Context>& context,
                                        const Stream& stream, const LoadOptions& options) {
  const char* const function = "bfv::load_seeded_ciphertext";
  check_context(function, context, stream);
  return named(function, [&] {
    ByteReader reader(in);
    const ObjectHeader header =
        read_header(reader, Kind::kBfvSeededCiphertext, *context, options.expected_key);
    const PublicSeed seed = read_seed(reader);
    const LimbIndices limbs = context->q_limbs(header.level);
    Buffer<Word> residues(limbs.count * context->degree(), stream);
    read_residues(reader, *context, residues.span(), 1, limbs, stream);
    reader.finish();
    return SeededCiphertext(context, header.key_id, seed, std::move(residues), header.level,
                            noise_of(header), History::kUnknown);
  });
}

std::int64_t serialized_size(const Plaintext& plaintext) {
  return object_bytes(plaintext.context()->parameters(), Kind::kBfvPlaintext, 0, 1);
}
std::int64_t serialized_size(const Ciphertext& ciphertext) {
  return object_bytes(ciphertext.context()->parameters(), Kind::kBfvCiphertext, ciphertext.level(),
                      ciphertext.size());
}
std::int64_t serialized_size(const SeededCiphertext& ciphertext) {
  return object_bytes(ciphertext.context()->parameters(), Kind::kBfvSeededCiphertext,
                      ciphertext.level(), 1);
}

}  // namespace bfv
}  // namespace velum::he
