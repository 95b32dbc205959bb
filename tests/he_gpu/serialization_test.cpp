#include "velum/he/serialization.h"

#include <cstring>
#include <functional>
#include <limits>
#include <sstream>

#include "he_fixture.h"
#include "object_bytes.h"
#include "serialization/object_header.h"
#include "serialization/residue_packing.h"
#include "support/largest_allocation.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;

// ---- Objects as bytes -----------------------------------------------------------------------

std::string hexadecimal(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
    text += digits;
  }
  return text;
}

/// A scheme and an object of each kind.
struct Objects {
  Objects(Backend backend, int log_n, int scale_bits, int depth)
      : scheme(small_insecure_parameters(log_n, scale_bits, depth, 2), backend, 77, {1, -2}) {
    const Stream& stream = scheme.stream;
    const auto& context = scheme.context;
    const auto add = [&](const std::string& name, const std::string& bytes, const auto& load) {
      samples.push_back(
          {name, bytes, [=, this](std::istream& in) { return saved(load(in), scheme.stream); }});
    };
    samples.push_back({"Parameters", saved(context->parameters()), [](std::istream& in) {
                         return saved(load_parameters_insecure_without_security_check(in));
                       }});
    for (int level = 0; level <= depth; ++level) {
      const std::string at = " at level " + std::to_string(level);
      const Plaintext plaintext = scheme.encode(scheme.random_slots(7), {.level = level});
      const auto plain = [=, this](std::istream& in) {
        return load_plaintext(in, context, scheme.stream);
      };
      const auto cipher = [=, this](std::istream& in) {
        return load_ciphertext(in, context, scheme.stream, {scheme.secret->id()});
      };
      const auto seeded = [=, this](std::istream& in) {
        return load_seeded_ciphertext(in, context, scheme.stream, {scheme.secret->id()});
      };
      add("Plaintext" + at, saved(plaintext, stream), plain);
      const SeededCiphertext half = scheme.symmetric.encrypt_seeded(plaintext, stream);
      add("SeededCiphertext" + at, saved(half, stream), seeded);
      const Ciphertext two = half.expand(stream);
      add("Ciphertext" + at, saved(two, stream), cipher);
      if (level > 0) {
        add("Ciphertext of three" + at, saved(scheme.evaluator.square(two, stream), stream),
            cipher);
      }
    }
    add("PublicKey", saved(*scheme.public_key, stream), [=, this](std::istream& in) {
      return load_public_key(in, context, scheme.stream, {scheme.secret->id()});
    });
    const SecretKey other = scheme.generator.secret_key(stream);
    const KeyId other_id = other.id();
    add("KeySwitchingKey",
        saved(scheme.generator.key_switching_key(*scheme.secret, other, stream), stream),
        [=, this](std::istream& in) {
          return load_key_switching_key(in, context, scheme.stream, {other_id});
        });
    add("RelinearizationKey", saved(scheme.relinearization, stream), [=, this](std::istream& in) {
      return load_relinearization_key(in, context, scheme.stream, {scheme.secret->id()});
    });
    add("GaloisKeys", saved(scheme.galois, stream), [=, this](std::istream& in) {
      return load_galois_keys(in, context, scheme.stream, {scheme.secret->id()});
    });
    std::ostringstream galois_key;
    save_galois_key(galois_key, 5, scheme.galois.at(5), stream);
    samples.push_back({"GaloisKey", galois_key.str(), [=, this](std::istream& in) {
                         const auto loaded =
                             load_galois_key(in, context, scheme.stream, {scheme.secret->id()});
                         std::ostringstream out;
                         save_galois_key(out, loaded.first, loaded.second, scheme.stream);
                         return out.str();
                       }});
    std::ostringstream secret;
    save_secret_key_unencrypted(secret, *scheme.secret, stream);
    EXPECT_EQ(static_cast<std::int64_t>(secret.str().size()), serialized_size(*scheme.secret));
    samples.push_back({"SecretKey", secret.str(), [=, this](std::istream& in) {
                         const SecretKey loaded = load_secret_key_unencrypted(
                             in, context, scheme.stream, {scheme.secret->id()});
                         std::ostringstream out;
                         save_secret_key_unencrypted(out, loaded, scheme.stream);
                         return out.str();
                       }});
  }
  Objects(const Objects&) = delete;  // the samples refer to the scheme
  Objects& operator=(const Objects&) = delete;

  const Sample& sample(const std::string& name) const {
    for (const Sample& candidate : samples) {
      if (candidate.name == name) return candidate;
    }
    throw std::logic_error("no sample " + name);
  }

  Scheme scheme;
  std::vector<Sample> samples;
};

/// What a loader says to these bytes; it must be a SerializationError. Measures the largest
/// allocation of the loader, too.
std::string refusal(const Sample& sample, const std::string& bytes) {
  std::istringstream in(bytes);
  reset_largest_allocation();
  try {
    sample.reload(in);
  } catch (const SerializationError& error) {
    return error.what();
  }
  return "no error";
}

class SerializationOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

TEST_P(SerializationOnEveryBackend, EveryKindAtEveryLevelComesBackWithTheSameBytes) {
  struct Ring {
    int log_n, scale_bits, depth;
  };
  for (const Ring ring : {Ring{4, 20, 2}, Ring{5, 45, 2}, Ring{8, 29, 1}, Ring{10, 40, 3}}) {
    const Objects objects(GetParam(), ring.log_n, ring.scale_bits, ring.depth);
    EXPECT_EQ(objects.samples.size(), 7U + 4U * static_cast<std::size_t>(ring.depth) + 3U);
    for (const Sample& sample : objects.samples) {
      SCOPED_TRACE(sample.name + " in the ring of 2^" + std::to_string(ring.log_n));
      std::istringstream in(sample.bytes);
      EXPECT_TRUE(sample.reload(in) == sample.bytes);
      EXPECT_NO_THROW(expect_end(in));
    }
  }
}

TEST_P(SerializationOnEveryBackend, WhatWasLoadedComputesAsWhatWasSaved) {
  const Scheme scheme(small_insecure_parameters(8, 45, 2), GetParam(), 3, {1});
  const Stream& stream = scheme.stream;
  const Complexes slots = scheme.random_slots(3);
  std::stringstream file;
  save(file, scheme.context->parameters());
  save_secret_key_unencrypted(file, *scheme.secret, stream);
  save(file, *scheme.public_key, stream);
  save(file, scheme.relinearization, stream);
  save(file, scheme.galois, stream);
  save(file, scheme.symmetric.encrypt_seeded(scheme.encode(slots), stream), stream);

  // Another process would do this.
  const auto context =
      Context::create(load_parameters_insecure_without_security_check(file), stream);
  EXPECT_EQ(context->parameters(), scheme.context->parameters());
  EXPECT_EQ(context->parameters().to_string(), scheme.context->parameters().to_string());
  for (int level = 0; level <= 2; ++level) {
    EXPECT_EQ(context->parameters().scale(level), scheme.context->parameters().scale(level));
  }
  const auto secret =
      std::make_shared<const SecretKey>(load_secret_key_unencrypted(file, context, stream));
  EXPECT_EQ(secret->export_coefficients_secret(stream),
            scheme.secret->export_coefficients_secret(stream));
  const auto public_key = std::make_shared<const PublicKey>(load_public_key(file, context, stream));
  const RelinearizationKey relinearization = load_relinearization_key(file, context, stream);
  const GaloisKeys galois = load_galois_keys(file, context, stream);
  const Ciphertext a = load_seeded_ciphertext(file, context, stream).expand(stream);
  expect_end(file);

  const Evaluator evaluator(context);
  const Encoder encoder(context);
  const Ciphertext b =
      Encryptor(public_key)
          .encrypt(encoder.encode(Span<const std::complex<double>>(slots), stream), stream);
  const Ciphertext product = evaluator.rescale(
      evaluator.relinearize(evaluator.multiply(a, b, stream), relinearization, stream), stream);
  const Ciphertext turned = evaluator.rotate(product, 1, galois, stream);
  Complexes found(slots.size()), expected;
  encoder.decode(Decryptor(secret).decrypt_for_owner(turned, stream),
                 Span<std::complex<double>>(found), stream);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto slot = slots[(i + 1) % slots.size()];
    expected.push_back(slot * slot);
  }
  const SlotError error = error_between(found, expected);
  EXPECT_LE(error.largest, turned.noise().slot_bound / turned.scale());
  EXPECT_LE(error.largest, 1e-6);
}

TEST_P(SerializationOnEveryBackend, TheFormOfAMessageComesBack) {
  const Scheme scheme(small_insecure_parameters(6, 45, 1), GetParam(), 4);
  const Stream& stream = scheme.stream;
  const std::vector<double> values(64, 0.25);
  const Plaintext plaintext =
      scheme.encoder.encode_coefficients(Span<const double>(values), stream);
  EXPECT_EQ(plaintext.noise().form, MessageForm::kCoefficients);
  std::stringstream file;
  save(file, plaintext, stream);
  save(file, scheme.symmetric.encrypt_seeded(plaintext, stream), stream);
  save(file, scheme.encryptor.encrypt(plaintext, stream), stream);
  EXPECT_EQ(file.str().substr(kMessageForm, 4), u32(2));
  EXPECT_EQ(load_plaintext(file, scheme.context, stream).noise().form, MessageForm::kCoefficients);
  EXPECT_EQ(load_seeded_ciphertext(file, scheme.context, stream).expand(stream).noise().form,
            MessageForm::kCoefficients);
  EXPECT_EQ(load_ciphertext(file, scheme.context, stream).noise().form, MessageForm::kCoefficients);
  save(file, scheme.encoder.encode(Span<const double>(values.data(), 32), stream), stream);
  EXPECT_EQ(load_plaintext(file, scheme.context, stream).noise().form, MessageForm::kRealSlots);
  EXPECT_EQ(
      file.str().substr(file.str().size() - saved(plaintext, stream).size() + kMessageForm, 4),
      u32(1));
}

// Known answers: what is on people's disks. The same on every backend, in this release and later.
TEST_P(SerializationOnEveryBackend, FilesHaveTheKnownBytes) {
  const Objects objects(GetParam(), 6, 40, 1);
  const std::pair<const char*, const char*> answers[] = {
      {"Parameters", "7a1fb34af6d491b30dc36b30c6093091"},
      {"Plaintext at level 1", "6b25d5a664c588123fa59d88d9d946a8"},
      {"SeededCiphertext at level 1", "0ba0cf8a92e6e33f76f2d77547c33df5"},
      {"Ciphertext at level 0", "d991ae45e35cff0eab7f4da9597aea7a"},
      {"Ciphertext of three at level 1", "15c3ca3b7e406937713a72975829eff0"},
      {"PublicKey", "eff9b296f7b8876f7a268e7647429c68"},
      {"KeySwitchingKey", "d66383c8b9b42233c5a7a94264a2a5f0"},
      {"RelinearizationKey", "220fdf961142252662e0fc00d1523b36"},
      {"GaloisKeys", "a49f5281c02207603538cf08e9ab14d5"},
      {"GaloisKey", "dfb5f6048944bee2aef4745d48b9e015"},
      {"SecretKey", "1c675a72d33a22168d334614e2a67f42"},
  };
  for (const auto& [name, digest] : answers) {
    EXPECT_EQ(hexadecimal(sha256_of(objects.sample(name).bytes)).substr(0, 32), digest) << name;
  }
}

// The layout, field by field, as docs/serialization.md has it.
TEST_P(SerializationOnEveryBackend, TheHeaderIsWhereTheDocumentationSays) {
  const Objects objects(GetParam(), 5, 45, 1);
  const Scheme& scheme = objects.scheme;
  const Plaintext plaintext = scheme.encode(scheme.random_slots(1));
  const Ciphertext product =
      scheme.evaluator.square(scheme.encryptor.encrypt(plaintext, scheme.stream), scheme.stream);
  const std::string bytes = saved(product, scheme.stream);
  const Parameters& parameters = scheme.context->parameters();
  std::string expected = "\x89VHE\r\n\x1a\n";
  expected += u32(1) + u32(3);
  expected.append(reinterpret_cast<const char*>(parameters.id().data()), 32);
  expected.append(reinterpret_cast<const char*>(scheme.secret->id().data()), 16);
  expected += u32(1) + u32(3) + u32(1) + u32(0);
  expected += f64(product.scale()) + f64(product.noise().slot_variance) +
              f64(product.noise().slot_bound) + f64(product.noise().message_bound);
  std::uint64_t payload = 0;
  for (int i = 0; i < parameters.limbs(1); ++i) {
    payload +=
        3U * 32U / 8U * static_cast<unsigned>(std::bit_width(parameters.ciphertext_prime(i)));
  }
  expected += u64(payload) + u32(0) + u32(0);
  ASSERT_EQ(expected.size(), kHeaderBytes);
  EXPECT_EQ(hexadecimal(bytes.substr(0, kHeaderBytes)), hexadecimal(expected));
  EXPECT_EQ(bytes.size(), kHeaderBytes + payload + kHashBytes);
  EXPECT_EQ(hexadecimal(bytes.substr(bytes.size() - kHashBytes)),
            hexadecimal(sha256_of(bytes.substr(0, bytes.size() - kHashBytes))));
  // Residues bit by bit.
  const std::vector<Word> words =
      to_host(Span<const Word>(product.view().data, 3 * product.view().poly_stride), scheme.stream);
  std::size_t bit = 8 * kHeaderBytes;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const int limb = static_cast<int>(i / 32) % parameters.limbs(1);
    Word value = 0;
    for (int j = 0; j < static_cast<int>(std::bit_width(parameters.ciphertext_prime(limb)));
         ++j, ++bit) {
      value |= static_cast<Word>(static_cast<unsigned char>(bytes[bit / 8]) >> (bit % 8) & 1U) << j;
    }
    ASSERT_EQ(value, words[i]) << i;
  }
  EXPECT_EQ(bit, 8 * (bytes.size() - kHashBytes));
}

TEST_P(SerializationOnEveryBackend, SeededFormsHaveHalfTheBytes) {
  const Objects objects(GetParam(), 10, 45, 2);
  const Scheme& scheme = objects.scheme;
  const SeededCiphertext seeded =
      scheme.symmetric.encrypt_seeded(scheme.encode(scheme.random_slots(2)), scheme.stream);
  const auto overhead = static_cast<std::int64_t>(kHeaderBytes + kHashBytes);
  EXPECT_EQ(2 * (serialized_size(seeded) - overhead - 32),
            serialized_size(seeded.expand(scheme.stream)) - overhead);
}

TEST_P(SerializationOnEveryBackend, EveryChangedByteIsRefused) {
  const Objects objects(GetParam(), 4, 20, 1);
  for (const Sample& sample : objects.samples) {
    for (const int change : {0x01, 0x80, 0xff}) {
      for (std::size_t at = 0; at < sample.bytes.size(); ++at) {
        std::string bytes = sample.bytes;
        bytes[at] = static_cast<char>(bytes[at] ^ change);
        ASSERT_NE(refusal(sample, bytes), "no error") << sample.name << ", byte " << at;
      }
    }
  }
}

TEST_P(SerializationOnEveryBackend, EveryTruncationIsRefused) {
  const Objects objects(GetParam(), 4, 20, 1);
  for (const Sample& sample : objects.samples) {
    for (std::size_t size = 0; size < sample.bytes.size(); ++size) {
      ASSERT_THAT(refusal(sample, sample.bytes.substr(0, size)), HasSubstr("the stream ends"))
          << sample.name << ", " << size << " bytes";
    }
  }
}

TEST_P(SerializationOnEveryBackend, ALoaderTakesOnlyItsKind) {
  const Objects objects(GetParam(), 4, 20, 1);
  for (const Sample& a : objects.samples) {
    for (const Sample& b : objects.samples) {
      const bool same = a.bytes[kKind] == b.bytes[kKind];
      EXPECT_EQ(refusal(a, b.bytes).find(": found ") == std::string::npos, same)
          << a.name << " from " << b.name;
    }
  }
  EXPECT_THAT(
      refusal(objects.sample("RelinearizationKey"), objects.sample("GaloisKey").bytes),
      HasSubstr("load_relinearization_key: found a Galois key, expected a relinearisation key"));
}

struct Forgery {
  const char* sample;
  std::size_t at;
  std::string bytes;
  const char* complaint;
};

// With a hash that is right, so that nothing but the check in question refuses; and before anything
// of the size that is claimed is asked for.
TEST_P(SerializationOnEveryBackend, ForgedHeadersAreRefusedBeforeMemoryIsAskedFor) {
  const Objects objects(GetParam(), 10, 45, 2);
  const double inf = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const char* const ct = "Ciphertext at level 2";
  const Forgery forgeries[] = {
      {ct, 0, "\x88", "expected 895648450d0a1a0a"},
      {ct, 4, "\n", "expected 895648450d0a1a0a"},
      {ct, kVersion, u32(0), "format version 0, expected 1"},
      {ct, kVersion, u32(2), "format version 2, expected 1: a later release wrote this"},
      {ct, kKind, u32(0), "kind 0, expected 1 to 23"},
      {ct, kKind, u32(11), "found parameters of BFV, expected a ciphertext"},
      {ct, kKind, u32(24), "kind 24, expected 1 to 23"},
      {ct, kKind, u32(1U << 31), "kind 2147483648, expected 1 to 23"},
      {ct, kParametersId, std::string(32, 'a'), "expected those of the context"},
      {ct, kKeyId, std::string(16, 'a'), "belongs to key 61616161616161616161616161616161"},
      {ct, kLevel, u32(3), "level = 3, expected 0 to 2"},
      {ct, kLevel, u32(0x7fffffff), "level = 2147483647, expected 0 to 2"},
      {ct, kLevel, u32(0xffffffff), "level = 4294967295, expected below 2^31"},
      {ct, kLevel, u32(1), "bytes, expected"},
      {ct, kCount, u32(1), "polynomials = 1, expected 2 to 3"},
      {ct, kCount, u32(4), "polynomials = 4, expected 2 to 3"},
      {ct, kCount, u32(0x7fffffff), "polynomials = 2147483647, expected 2 to 3"},
      {ct, kCount, u32(0x80000000), "count = 2147483648, expected below 2^31"},
      {ct, kCount, u32(3), "bytes, expected"},
      {ct, kForm, u32(0), "form = 0, expected 1"},
      {ct, kForm, u32(2), "form = 2, expected 1"},
      {ct, kForm, u32(3), "form = 3, expected 0 to 2"},
      {ct, kGaloisElement, u32(5), "Galois element = 5, expected 0"},
      {ct, kScale, f64(0.0), "scale = 0, expected finite and above 0"},
      {ct, kScale, f64(-1.0), "scale = -1, expected finite and above 0"},
      {ct, kScale, f64(inf), "scale = inf, expected finite and above 0"},
      {ct, kScale, f64(nan), "scale = nan, expected finite and above 0"},
      {ct, kSlotVariance, f64(-1.0), "slot_variance = -1, expected finite and at least 0"},
      {ct, kSlotVariance, f64(nan), "slot_variance = nan"},
      {ct, kSlotBound, f64(-0.0), "slot_bound = -0, expected finite and at least 0"},
      {ct, kSlotBound, f64(inf), "slot_bound = inf"},
      {ct, kMessageBound, f64(-inf), "message_bound = -inf"},
      {ct, kMessageBound, f64(nan), "message_bound = nan"},
      {ct, kPayload, u64(0), "a payload of 0 bytes, expected"},
      {ct, kPayload, u64(std::uint64_t{1} << 40), "a payload of 1099511627776 bytes, expected"},
      {ct, kPayload, u64(~std::uint64_t{0} >> 1), "a payload of 9223372036854775807 bytes"},
      {ct, kPayload, u64(~std::uint64_t{0}), "bytes, expected below 2^63"},
      {ct, kParty, u64(1), "party = 1, expected 0"},
      {ct, kMessageForm, u32(3), "message form = 3, expected 0 to 2"},
      {ct, kMessageForm, u32(1U << 31), "message form = 2147483648, expected 0 to 2"},
      {"PublicKey", kMessageForm, u32(2), "message form = 2, expected 0"},
      {"Parameters", kMessageForm, u32(2), "message form = 2, expected 0"},
      {"Parameters", kParty, u32(1), "parties = 1, expected 0, or 2 and more"},
      {"Parameters", kParty, u32(1025), "parties = 1025, expected 1 to 1024"},
      {"Parameters", kParty, u32(2), "the header has the parameters id"},
      {"Plaintext at level 1", kKeyId, "a", "a plaintext belongs to no key"},
      {"Plaintext at level 1", kCount, u32(2), "polynomials = 2, expected 1"},
      {"SeededCiphertext at level 1", kCount, u32(2), "polynomials = 2, expected 1"},
      {"PublicKey", kLevel, u32(1), "level = 1, expected 2"},
      {"PublicKey", kScale, f64(1.0), "scale = 1, expected 0: this kind has none"},
      {"PublicKey", kSlotBound, f64(-0.0), "slot_bound = -0, expected 0"},
      {"KeySwitchingKey", kCount, u32(3), "polynomials = 3, expected 2"},
      {"RelinearizationKey", kLevel, u32(0), "level = 0, expected 2"},
      {"GaloisKey", kGaloisElement, u32(4), "Galois element = 4, expected an odd number"},
      {"GaloisKey", kGaloisElement, u32(1), "Galois element = 1, expected 3 to 2047"},
      {"GaloisKey", kGaloisElement, u32(2049), "Galois element = 2049, expected 3 to 2047"},
      {"SecretKey", kForm, u32(1), "form = 1, expected 2"},
      {"SecretKey", kLevel, u32(1), "level = 1, expected 0"},
      {"SecretKey", kHeaderBytes, "\x02", "a coefficient is not -1, 0 or 1"},
      {"Parameters", kKeyId, "a", "parameters belong to no key"},
      {"Parameters", kCount, u32(0), "primes = 0, expected 1 to 192"},
      {"Parameters", kCount, u32(193), "primes = 193, expected 1 to 192"},
      {"Parameters", kPayload, u64(std::uint64_t{1} << 62), "payload bytes = 4611686018427387904"},
      {"Parameters", kLevel, u32(1), "level = 1, expected 0"},
      {"Parameters", kParametersId, "a", "the header has the parameters id"},
  };
  for (const Forgery& forgery : forgeries) {
    const Sample& sample = objects.sample(forgery.sample);
    const std::string bytes = patched(sample.bytes, forgery.at, forgery.bytes);
    const std::string complaint = refusal(sample, bytes);
    const std::size_t asked = largest_allocation();
    EXPECT_THAT(complaint, HasSubstr(forgery.complaint)) << forgery.sample << " at " << forgery.at;
    EXPECT_LE(asked, 2048U) << forgery.complaint;  // texts; a limb has 4096 bytes
  }
  // Of Galois keys the first object is a header alone.
  const Sample& keys = objects.sample("GaloisKeys");
  const auto with_count = [&](std::uint32_t count) {
    return patched(keys.bytes.substr(0, kHeaderBytes + kHashBytes), kCount, u32(count)) +
           keys.bytes.substr(kHeaderBytes + kHashBytes);
  };
  EXPECT_THAT(refusal(keys, with_count(0)), HasSubstr("keys = 0, expected 1 to 1023"));
  EXPECT_THAT(refusal(keys, with_count(1024)), HasSubstr("keys = 1024, expected 1 to 1023"));
  EXPECT_THAT(refusal(keys, with_count(1023)), HasSubstr("key 3 of 1023: the stream ends"));
}

TEST_P(SerializationOnEveryBackend, GaloisKeysOutOfOrderOrOfAnotherSecretAreRefused) {
  const Objects objects(GetParam(), 4, 20, 1);
  const Sample& keys = objects.sample("GaloisKeys");
  const std::size_t first = kHeaderBytes + kHashBytes;
  const std::size_t size = objects.sample("GaloisKey").bytes.size();
  ASSERT_EQ(keys.bytes.size(), first + 3 * size);
  const auto key = [&](std::size_t i) { return keys.bytes.substr(first + i * size, size); };
  const std::string head = keys.bytes.substr(0, first);
  EXPECT_EQ(refusal(keys, head + key(0) + key(1) + key(2)), "no error");
  EXPECT_THAT(refusal(keys, head + key(1) + key(0) + key(2)),
              HasSubstr("key 1 of 3: Galois element = "));
  EXPECT_THAT(refusal(keys, head + key(0) + key(0) + key(2)), HasSubstr("expected above the one"));
  EXPECT_THAT(refusal(keys, head + key(0) + patched(key(1), kKeyId, std::string(16, 'a'))),
              HasSubstr("key 1 of 3: the object belongs to key 6161"));
}

TEST_P(SerializationOnEveryBackend, ResiduesAtOrAboveTheirPrimeAreRefused) {
  const Objects objects(GetParam(), 4, 20, 1);
  const Parameters& parameters = objects.scheme.context->parameters();
  const Sample& sample = objects.sample("Ciphertext at level 1");
  // Residue 0 of limb 0 of polynomial 0, in the lowest bits of the payload.
  const Word q = parameters.ciphertext_prime(0);
  const int bits = static_cast<int>(std::bit_width(q));
  std::uint64_t word = 0;
  std::memcpy(&word, sample.bytes.data() + kHeaderBytes, 8);  // of a little-endian machine
  const auto with_first = [&](std::uint64_t value) {
    return patched(sample.bytes, kHeaderBytes, u64((word >> bits << bits) | value));
  };
  EXPECT_EQ(refusal(sample, with_first(q - 1)), "no error");
  EXPECT_THAT(refusal(sample, with_first(q)),
              HasSubstr("residue 0 of limb 0 of polynomial 0 is " + std::to_string(q) +
                        ", expected below " + std::to_string(q)));
  // The last one.
  EXPECT_THAT(
      refusal(sample, patched(sample.bytes, sample.bytes.size() - kHashBytes - 2, "\xff\xff")),
      HasSubstr("residue 15 of limb 1 of polynomial 1 is"));
}

TEST_P(SerializationOnEveryBackend, ForgedParametersAreRefused) {
  const Parameters parameters = ParametersBuilder().log_n(12).scale_bits(29).depth(1).build();
  ASSERT_EQ(parameters.primes_per_level(), 1);
  const auto load = [](const std::string& bytes) {
    return error_of([&] {
      std::istringstream in(bytes);
      load_parameters(in);
    });
  };
  const std::string good = saved(parameters);
  EXPECT_EQ(load(good), "no error");
  const auto number = [](int index) { return kHeaderBytes + 4 * static_cast<std::size_t>(index); };
  const auto prime = [&](int index) { return number(8 + index); };
  const auto with = [&](std::size_t at, std::uint32_t value) {
    return load(patched(good, at, u32(value)));
  };
  EXPECT_THAT(with(number(0), 9), HasSubstr("log_n = 9, expected 10 to 17"));
  EXPECT_THAT(with(number(0), 18), HasSubstr("log_n = 18, expected 10 to 17"));
  EXPECT_THAT(with(number(0), 0xffffffff), HasSubstr("4294967295, expected 0 to 2147483647"));
  EXPECT_THAT(with(number(0), 11), HasSubstr("expected at most 53 for the 128-bit security"));
  EXPECT_THAT(with(number(1), 30), HasSubstr("scale_bits = 30, expected 20 to 29 or 36 to 58"));
  EXPECT_THAT(with(number(1), 28), HasSubstr("the primes of level 1 have the product"));
  EXPECT_THAT(with(number(2), 5), HasSubstr("base primes = 5, expected 1 to 4"));
  EXPECT_THAT(with(number(3), 2), HasSubstr("primes per level = 2, expected 1"));
  EXPECT_THAT(with(number(4), 61), HasSubstr("levels = 61, expected 0 to 60"));
  EXPECT_THAT(with(number(4), 2), HasSubstr("primes, expected"));
  EXPECT_THAT(with(number(5), 200), HasSubstr("special primes = 200"));
  EXPECT_THAT(with(number(6), 0), HasSubstr("primes of a digit = 0"));
  EXPECT_THAT(with(number(7), 100), HasSubstr("security = 100, expected 0, 128, 192 or 256"));
  // 256 bits are claimed for what has 128.
  EXPECT_THAT(with(number(7), 256), HasSubstr("expected at most 56 for the 256-bit security"));
  EXPECT_THAT(with(number(7), 0), HasSubstr("do not claim to be within the security table"));
  EXPECT_THAT(with(prime(0), parameters.primes()[1]), HasSubstr("is there twice"));
  EXPECT_THAT(with(prime(0), 8192 * 3 + 1), HasSubstr("expected a prime between"));  // 24577
  EXPECT_THAT(with(prime(0), 8192 * 2 + 1), HasSubstr("expected a prime between"));  // 5 * 29 * 113
  EXPECT_THAT(with(prime(0), 1073741827), HasSubstr("that is 1 modulo 2N = 8192"));  // prime
  // A digit that P does not exceed.
  const std::uint32_t small = 40961;  // 5 * 8192 + 1
  EXPECT_THAT(with(prime(0), small), HasSubstr("expected above that of the largest digit"));
  // Everything right but the id.
  EXPECT_THAT(load(patched(good, kParametersId, u32(0))), HasSubstr("the header has"));

  const std::string insecure = saved(small_insecure_parameters(10, 40, 4));
  EXPECT_THAT(load(insecure), HasSubstr("do not claim to be within the security table"));
  EXPECT_THAT(load(patched(insecure, number(7), u32(128))),
              HasSubstr("expected at most 26 for the 128-bit security"));
}

TEST(Serialization, ParametersOfEveryShapeComeBack) {
  for (const Parameters& parameters :
       {Parameters::for_depth(0, 10), Parameters::for_depth(6, 25),
        Parameters::for_depth(4, 25, SecurityLevel::k256),
        ParametersBuilder().log_n(13).scale_bits(40).depth(2).without_key_switching().build(),
        ParametersBuilder().log_n(15).scale_bits(50).depth(10).dnum(5).build(),
        ParametersBuilder().log_n(13).scale_bits(40).depth(2).parties(7).build(),
        ParametersBuilder()
            .log_n(12)
            .plaintext_modulus(65537)
            .modulus_bits(58)
            .parties(2)
            .build()}) {
    std::istringstream in(saved(parameters));
    const Parameters loaded = load_parameters(in);
    EXPECT_EQ(loaded, parameters);
    EXPECT_EQ(loaded.parties(), parameters.parties());
    if (parameters.scheme() == SchemeType::kBfv) continue;
    EXPECT_EQ(loaded.to_string(), parameters.to_string());
    for (int level = 0; level <= parameters.max_level(); ++level)
      EXPECT_EQ(loaded.scale(level), parameters.scale(level));
  }
}

TEST(Serialization, WithoutSpecialPrimesSwitchingKeysAreRefused) {
  const Stream stream = Stream::serial();
  const Objects objects(Backend::kCpu, 4, 20, 1);
  const auto context = Context::create(ParametersBuilder()
                                           .log_n(4)
                                           .scale_bits(20)
                                           .depth(1)
                                           .without_key_switching()
                                           .insecure_without_security_check()
                                           .build(),
                                       stream);
  const ParametersId id = context->parameters().id();
  std::istringstream in(patched(objects.sample("RelinearizationKey").bytes, kParametersId,
                                {reinterpret_cast<const char*>(id.data()), id.size()}));
  EXPECT_THAT(error_of([&] { load_relinearization_key(in, context, stream); }),
              HasSubstr("without special primes"));
}

TEST(Serialization, PackedResiduesUseEveryWidth) {
  for (int bits = 1; bits <= 32; ++bits) {
    for (const std::int64_t count : {8, 16, 24, 1024}) {
      std::mt19937_64 random(static_cast<std::uint64_t>(bits));
      std::vector<Word> words(static_cast<std::size_t>(count)), back(words.size());
      const std::uint64_t limit = std::uint64_t{1} << bits;
      for (Word& word : words) word = static_cast<Word>(random() % limit);
      std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count / 8 * bits));
      serialization::pack_residues(words.data(), count, bits, bytes.data());
      for (std::int64_t i = 0; i < count; ++i) {  // bit by bit
        std::uint64_t value = 0;
        for (int j = 0; j < bits; ++j) {
          const auto at = static_cast<std::size_t>(i * bits + j);
          value |= static_cast<std::uint64_t>(bytes[at / 8] >> (at % 8) & 1) << j;
        }
        ASSERT_EQ(value, words[static_cast<std::size_t>(i)]);
      }
      const Word q = bits == 32 ? 0xffffffffU : static_cast<Word>(limit - 1);
      words[static_cast<std::size_t>(count) - 1] = 0;
      for (Word& word : words) word = std::min(word, q - (q > 0));
      serialization::pack_residues(words.data(), count, bits, bytes.data());
      EXPECT_EQ(serialization::unpack_residues(bytes.data(), count, bits, q, back.data()), count);
      EXPECT_EQ(back, words);
      if (bits > 1) {
        words[5] = q;
        serialization::pack_residues(words.data(), count, bits, bytes.data());
        EXPECT_EQ(serialization::unpack_residues(bytes.data(), count, bits, q, back.data()), 5);
      }
    }
  }
}

// ---- Streams --------------------------------------------------------------------------------

/// A file of 5 GiB, of which only the bytes around one place exist.
class HugeFile final : public std::streambuf {
 public:
  explicit HugeFile(std::int64_t window) : window_(window) {}
  std::string bytes;  // from window_ on

 private:
  pos_type seekoff(off_type offset, std::ios_base::seekdir from, std::ios_base::openmode) override {
    position_ = from == std::ios_base::cur ? position_ + offset : offset;
    return position_;
  }
  pos_type seekpos(pos_type position, std::ios_base::openmode) override {
    return position_ = position;
  }
  std::streamsize xsputn(const char* data, std::streamsize size) override {
    bytes.resize(std::max(bytes.size(), static_cast<std::size_t>(position_ - window_ + size)));
    std::copy_n(data, size, bytes.begin() + (position_ - window_));
    position_ += size;
    return size;
  }
  std::streamsize xsgetn(char* data, std::streamsize size) override {
    const std::streamsize left = static_cast<std::streamsize>(bytes.size()) - (position_ - window_);
    size = std::min(size, left);
    std::copy_n(bytes.begin() + (position_ - window_), size, data);
    position_ += size;
    return size;
  }

  std::int64_t window_;
  std::int64_t position_ = 0;
};

TEST_P(SerializationOnEveryBackend, ObjectsLieBeyondFourGibibytes) {
  const Objects objects(GetParam(), 8, 45, 1);
  const Stream& stream = objects.scheme.stream;
  const std::int64_t begin = (std::int64_t{1} << 32) - 1000;  // the objects cross 2^32
  HugeFile buffer(begin);
  std::iostream file(&buffer);
  file.seekp(begin);
  const Ciphertext ciphertext = objects.scheme.encrypt(objects.scheme.random_slots(5));
  save(file, ciphertext, stream);
  save(file, objects.scheme.galois, stream);
  const std::int64_t end =
      begin + serialized_size(ciphertext) + serialized_size(objects.scheme.galois);
  EXPECT_EQ(file.tellp(), end);
  file.seekg(begin);
  EXPECT_EQ(saved(load_ciphertext(file, objects.scheme.context, stream), stream),
            saved(ciphertext, stream));
  EXPECT_EQ(saved(load_galois_keys(file, objects.scheme.context, stream), stream),
            saved(objects.scheme.galois, stream));
  EXPECT_EQ(file.tellg(), end);
}

// Sizes are 64-bit numbers: an object can be larger than 2 GiB.
TEST(Serialization, SizesAreCountedBeyondTwoGibibytes) {
  const Parameters parameters = ParametersBuilder()
                                    .log_n(17)
                                    .scale_bits(58)
                                    .depth(60)
                                    .dnum(60)
                                    .insecure_without_security_check()
                                    .build();
  std::int64_t bits = 0;
  for (const std::uint32_t prime : parameters.primes()) bits += std::bit_width(prime);
  const std::int64_t expected = parameters.dnum() * (bits * (1 << 17) / 8) + 32;
  EXPECT_GT(expected, std::int64_t{1} << 31);
  EXPECT_EQ(serialization::payload_bytes(parameters, serialization::Kind::kGaloisKey,
                                         parameters.max_level(), parameters.dnum()),
            expected);
}

/// A disk with room for so many bytes.
class SmallDisk final : public std::streambuf {
 public:
  explicit SmallDisk(std::int64_t room, bool flushes = true) : room_(room), flushes_(flushes) {}

 private:
  std::streamsize xsputn(const char*, std::streamsize size) override {
    const std::streamsize taken = std::min<std::streamsize>(size, room_);
    room_ -= taken;
    return taken;
  }
  int_type overflow(int_type) override { return traits_type::eof(); }
  int sync() override { return flushes_ ? 0 : -1; }

  std::int64_t room_;
  bool flushes_;
};

TEST_P(SerializationOnEveryBackend, AFullDiskIsAnError) {
  const Objects objects(GetParam(), 4, 20, 1);
  const Stream& stream = objects.scheme.stream;
  const std::int64_t size = serialized_size(objects.scheme.galois);
  for (std::int64_t room = 0; room <= size; ++room) {
    SmallDisk disk(room);
    std::ostream out(&disk);
    const std::string error = error_of([&] { save(out, objects.scheme.galois, stream); });
    if (room == size) {
      EXPECT_EQ(error, "no error");
    } else {
      ASSERT_THAT(error, HasSubstr("the stream failed while bytes")) << room;
    }
  }
  SmallDisk disk(size, false);
  std::ostream out(&disk);
  EXPECT_THAT(error_of([&] { save(out, objects.scheme.galois, stream); }),
              HasSubstr("failed to flush"));
  // Streams that throw by themselves say the same.
  SmallDisk another(10);
  std::ostream throwing(&another);
  throwing.exceptions(std::ios_base::badbit | std::ios_base::failbit);
  EXPECT_THROW(save(throwing, objects.scheme.relinearization, stream), SerializationError);
  std::istringstream in(objects.sample("PublicKey").bytes.substr(0, 200));
  in.exceptions(std::ios_base::badbit | std::ios_base::failbit | std::ios_base::eofbit);
  EXPECT_THROW(load_public_key(in, objects.scheme.context, stream), SerializationError);
}

TEST_P(SerializationOnEveryBackend, AStreamHoldsSeveralObjects) {
  const Objects objects(GetParam(), 4, 20, 1);
  std::string all;
  for (const Sample& sample : objects.samples) all += sample.bytes;
  std::istringstream in(all);
  for (const Sample& sample : objects.samples) EXPECT_EQ(sample.reload(in), sample.bytes);
  EXPECT_NO_THROW(expect_end(in));
  std::istringstream more(objects.sample("PublicKey").bytes + "x");
  objects.sample("PublicKey").reload(more);
  EXPECT_THAT(error_of([&] { expect_end(more); }), HasSubstr("bytes behind the last object"));
}

TEST_P(SerializationOnEveryBackend, WhatALoaderWouldRefuseIsNotSaved) {
  const Objects objects(GetParam(), 4, 20, 1);
  const Stream& stream = objects.scheme.stream;
  std::ostringstream out;
  Ciphertext ciphertext = objects.scheme.encrypt(objects.scheme.random_slots(1));
  ciphertext.set_noise({1.0, HUGE_VAL, 1.0}, History::kKnown);
  EXPECT_THROW(save(out, ciphertext, stream), std::invalid_argument);
  EXPECT_THROW(save(out, GaloisKeys{}, stream), std::invalid_argument);
  EXPECT_THROW(save_galois_key(out, 4, objects.scheme.galois.at(5), stream), std::invalid_argument);
  EXPECT_EQ(out.str(), "");
  EXPECT_THROW(
      {
        std::istringstream in(objects.sample("PublicKey").bytes);
        load_public_key(in, nullptr, stream);
      },
      std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(Backends, SerializationOnEveryBackend,
                         ::testing::ValuesIn(every_backend()), BackendName());

}  // namespace
}  // namespace velum::he
