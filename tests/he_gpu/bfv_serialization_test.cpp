#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "bfv_fixture.h"
#include "object_bytes.h"
#include "support/largest_allocation.h"
#include "support/sha256.h"
#include "velum/he/bfv/serialization.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;

/// What the noise's fields hold here.
constexpr std::size_t kCoefficientBound = kSlotVariance, kCoefficientSum = kMessageBound;

std::string digest_of(const std::string& bytes) {
  return sha256(std::vector<std::uint8_t>(bytes.begin(), bytes.end()));
}

struct Objects {
  Objects(Backend backend, int log_n, std::uint64_t t, int modulus_bits)
      : scheme(small_insecure_bfv(log_n, t, modulus_bits, 2), backend, 7, {1}) {
    const auto& context = scheme.context;
    const auto add = [&](const std::string& name, const auto& object, const auto& load) {
      samples.push_back({name, saved(object, scheme.stream), [load, this](std::istream& in) {
                           return saved(load(in), scheme.stream);
                         }});
    };
    const auto plain = [=, this](std::istream& in) {
      return bfv::load_plaintext(in, context, scheme.stream);
    };
    const auto cipher = [=, this](std::istream& in) {
      return bfv::load_ciphertext(in, context, scheme.stream, {scheme.secret->id()});
    };
    samples.push_back({"Parameters", saved(context->parameters()), [](std::istream& in) {
                         return saved(load_parameters_insecure_without_security_check(in));
                       }});
    const bfv::Plaintext plaintext = scheme.encode(scheme.random_message());
    add("Plaintext", plaintext, plain);
    for (int level = 0; level <= scheme.top(); ++level) {
      const std::string at = " at level " + std::to_string(level);
      const bfv::SeededCiphertext half =
          scheme.symmetric.encrypt_seeded(plaintext, scheme.stream, {.level = level});
      add("SeededCiphertext" + at, half, [=, this](std::istream& in) {
        return bfv::load_seeded_ciphertext(in, context, scheme.stream, {scheme.secret->id()});
      });
      add("Ciphertext" + at, half.expand(scheme.stream), cipher);
    }
    const bfv::Ciphertext two = scheme.encryptor.encrypt(plaintext, scheme.stream);
    add("Ciphertext of three", scheme.evaluator.square(two, scheme.stream), cipher);
    add("RelinearizationKey", scheme.relinearization, [=, this](std::istream& in) {
      return load_relinearization_key(in, context, scheme.stream, {scheme.secret->id()});
    });
    add("GaloisKeys", scheme.galois, [=, this](std::istream& in) {
      return load_galois_keys(in, context, scheme.stream, {scheme.secret->id()});
    });
    add("PublicKey", *scheme.public_key, [=, this](std::istream& in) {
      return load_public_key(in, context, scheme.stream, {scheme.secret->id()});
    });
  }
  Objects(const Objects&) = delete;  // the samples refer to the scheme
  Objects& operator=(const Objects&) = delete;

  const Sample& sample(const std::string& name) const {
    for (const Sample& candidate : samples) {
      if (candidate.name == name) return candidate;
    }
    throw std::logic_error("no sample " + name);
  }

  BfvScheme scheme;
  std::vector<Sample> samples;
};

/// What a loader says to these bytes; it must be a SerializationError.
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

class BfvSerializationOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

TEST_P(BfvSerializationOnEveryBackend, EveryKindAtEveryLevelComesBackWithTheSameBytes) {
  struct Case {
    int log_n;
    std::uint64_t t;
    int modulus_bits;
  };
  for (const auto& [log_n, t, modulus_bits] :
       {Case{4, 2, 60}, Case{4, 257, 60}, Case{5, 65537, 120}, Case{6, std::uint64_t{1} << 60, 180},
        Case{8, (std::uint64_t{1} << 59) + 1, 150}}) {
    const Objects objects(GetParam(), log_n, t, modulus_bits);
    for (const Sample& sample : objects.samples) {
      SCOPED_TRACE(sample.name + " modulo " + std::to_string(t));
      std::istringstream in(sample.bytes);
      EXPECT_TRUE(sample.reload(in) == sample.bytes);
      EXPECT_NO_THROW(expect_end(in));
    }
  }
}

TEST_P(BfvSerializationOnEveryBackend, WhatWasLoadedComputesAsWhatWasSaved) {
  BfvScheme scheme(small_insecure_bfv(5, 257, 120), GetParam(), 3, {1});
  const Stream& stream = scheme.stream;
  const Integers message = scheme.random_message();
  const bfv::Plaintext plaintext = scheme.encode(message);
  std::stringstream file;
  save(file, scheme.context->parameters());
  save_secret_key_unencrypted(file, *scheme.secret, stream);
  save(file, *scheme.public_key, stream);
  save(file, scheme.relinearization, stream);
  save(file, plaintext, stream);
  save(file, scheme.symmetric.encrypt_seeded(plaintext, stream), stream);

  // Another process would do this.
  const auto context =
      Context::create(load_parameters_insecure_without_security_check(file), stream);
  EXPECT_EQ(context->parameters(), scheme.context->parameters());
  EXPECT_EQ(context->parameters().to_string(), scheme.context->parameters().to_string());
  EXPECT_EQ(context->parameters().plaintext_modulus(), 257u);
  const auto secret =
      std::make_shared<const SecretKey>(load_secret_key_unencrypted(file, context, stream));
  const auto public_key = std::make_shared<const PublicKey>(load_public_key(file, context, stream));
  const RelinearizationKey relinearization = load_relinearization_key(file, context, stream);
  const bfv::Plaintext loaded = bfv::load_plaintext(file, context, stream);
  EXPECT_EQ(loaded.coefficient_sum(), plaintext.coefficient_sum());
  const bfv::Ciphertext a = bfv::load_seeded_ciphertext(file, context, stream).expand(stream);
  expect_end(file);
  EXPECT_EQ(a.history(), History::kUnknown);
  EXPECT_EQ(a.noise().coefficient, scheme.symmetric.encrypt(plaintext, stream).noise().coefficient);

  const bfv::Evaluator evaluator(context);
  const bfv::Ciphertext b = bfv::Encryptor(public_key).encrypt(loaded, stream);
  EXPECT_EQ(b.history(), History::kUnknown);  // the public key's errors are a stranger's
  const bfv::Ciphertext product =
      evaluator.relinearize(evaluator.multiply(a, b, stream), relinearization, stream);
  EXPECT_EQ(product.history(), History::kUnknown);
  const bfv::Decryptor decryptor(secret);
  EXPECT_THAT(refusal_of([&] { decryptor.decrypt_for_release(product, stream); }),
              HasSubstr("was loaded"));
  Integers found(32);
  bfv::CoefficientEncoder(context).decode(decryptor.decrypt_for_owner(product, stream),
                                          Span<std::int64_t>(found), stream);
  EXPECT_EQ(found, scheme.modulo_t(
                       testing::bfv::multiply(polynomial_of(message), polynomial_of(message))));
}

// Known answers: what is on people's disks. The same on every backend, in this release and later.
TEST_P(BfvSerializationOnEveryBackend, FilesHaveTheKnownBytes) {
  const Objects objects(GetParam(), 5, 65537, 90);
  const std::pair<const char*, const char*> answers[] = {
      {"Parameters", "9e9f356546dcebf0dcc899a67f15b1e0"},
      {"Plaintext", "32db1a5c522d15124d070249ad1526fb"},
      {"SeededCiphertext at level 1", "a90463a26c5d5800a0f9e4955d20aa24"},
      {"Ciphertext at level 0", "92ebe8f5ed88c0b0b52be2dea2ebbcae"},
      {"Ciphertext of three", "d62941daf28ce703b835dc56826806b3"},
  };
  for (const auto& [name, digest] : answers)
    EXPECT_EQ(digest_of(objects.sample(name).bytes).substr(0, 32), digest) << name;
}

// The layout, field by field, as docs/serialization.md has it.
TEST_P(BfvSerializationOnEveryBackend, HeadersAndPlaintextsAreWhatTheDocumentationSays) {
  BfvScheme scheme(small_insecure_bfv(4, 1000, 60), GetParam(), 5);
  const Parameters& parameters = scheme.context->parameters();
  const Integers values{-500, 499, 0, -1, 1};
  const bfv::Plaintext plaintext = scheme.encode(values);
  const std::string bytes = saved(plaintext, scheme.stream);
  std::string expected = "\x89VHE\r\n\x1a\n" + u32(1) + u32(12);
  expected.append(reinterpret_cast<const char*>(parameters.id().data()), 32);
  expected += std::string(16, '\0') + u32(0) + u32(1) + u32(2) + u32(0);
  expected +=
      f64(0.0) + f64(0.0) + f64(0.0) + f64(5.0 * 500.0) + u64(16 * 10 / 8) + u32(0) + u32(0);
  EXPECT_EQ(bytes.substr(0, kHeaderBytes), expected);
  std::size_t bit = 8 * kHeaderBytes;
  for (std::size_t i = 0; i < 16; ++i) {  // ten bits each
    std::int64_t value = 0;
    for (int j = 0; j < 10; ++j, ++bit) {
      value |=
          static_cast<std::int64_t>(static_cast<unsigned char>(bytes[bit / 8]) >> (bit % 8) & 1)
          << j;
    }
    EXPECT_EQ(value, i < values.size() ? (values[i] + 1000) % 1000 : 0);
  }
  EXPECT_EQ(bit, 8 * (bytes.size() - kHashBytes));

  const bfv::Ciphertext ciphertext = scheme.encryptor.encrypt(plaintext, scheme.stream);
  const std::string header = saved(ciphertext, scheme.stream).substr(0, kHeaderBytes);
  EXPECT_EQ(header.substr(kKind, 4), u32(13));
  EXPECT_EQ(header.substr(kLevel, 16),
            u32(static_cast<std::uint64_t>(scheme.top())) + u32(2) + u32(1) + u32(0));
  EXPECT_EQ(header.substr(kScale, 32), f64(0.0) + f64(ciphertext.noise().coefficient) +
                                           f64(ciphertext.noise().slot) + f64(0.0));

  // Parameters: eight numbers, t, the primes; the id is their hash.
  const std::string file = saved(parameters);
  EXPECT_EQ(file.substr(kKind, 4), u32(11));
  std::string payload = u32(4) + u32(0) + u32(1) + u32(1) + u32(1) +
                        u32(static_cast<std::uint64_t>(parameters.special_prime_count())) +
                        u32(static_cast<std::uint64_t>(parameters.digit_limbs())) + u32(0) +
                        u64(1000);
  for (const std::uint32_t prime : parameters.primes()) payload += u32(prime);
  EXPECT_EQ(file.substr(kHeaderBytes, file.size() - kHeaderBytes - kHashBytes), payload);
  const std::string name = "velum bfv parameters 1";
  EXPECT_EQ(digest_of(u64(name.size()) + name + payload), to_string(parameters.id()));
}

TEST_P(BfvSerializationOnEveryBackend, EveryChangedByteAndEveryTruncationIsRefused) {
  const Objects objects(GetParam(), 4, 257, 60);
  for (const Sample& sample : objects.samples) {
    for (std::size_t at = 0; at < sample.bytes.size(); ++at) {
      for (const int change : {0x01, 0x80}) {
        std::string bytes = sample.bytes;
        bytes[at] = static_cast<char>(bytes[at] ^ change);
        ASSERT_NE(refusal(sample, bytes), "no error") << sample.name << ", byte " << at;
      }
      ASSERT_THAT(refusal(sample, sample.bytes.substr(0, at)), HasSubstr("the stream ends"))
          << sample.name << ", " << at << " bytes";
    }
  }
}

struct Forgery {
  const char* sample;
  std::size_t at;
  std::string bytes;
  const char* complaint;
};

TEST_P(BfvSerializationOnEveryBackend, ForgedObjectsAreRefusedBeforeMemoryIsAskedFor) {
  const Objects objects(GetParam(), 10, 257, 90);
  const double inf = std::numeric_limits<double>::infinity();
  const char* const ct = "Ciphertext at level 2";
  const Forgery forgeries[] = {
      {ct, kKind, u32(3), "found a ciphertext, expected a ciphertext of BFV"},
      {ct, kKeyId, "a", "belongs to key"},
      {ct, kLevel, u32(3), "level = 3, expected 0 to 2"},
      {ct, kLevel, u32(1), "bytes, expected"},
      {ct, kCount, u32(4), "polynomials = 4, expected 2 to 3"},
      {ct, kForm, u32(2), "form = 2, expected 1"},
      {ct, kScale, f64(1.0), "scale = 1, expected 0: this kind has none"},
      {ct, kCoefficientBound, f64(-1.0), "noise of coefficients = -1, expected finite"},
      {ct, kCoefficientBound, f64(inf), "noise of coefficients = inf"},
      {ct, kSlotBound, f64(-0.0), "noise of slots = -0"},
      {ct, kCoefficientSum, f64(1.0), "coefficient sum = 1, expected 0"},
      {ct, kMessageForm, u32(1), "message form = 1, expected 0"},
      {ct, kPayload, u64(std::uint64_t{1} << 40), "a payload of 1099511627776 bytes, expected"},
      {"SeededCiphertext at level 1", kCount, u32(2), "polynomials = 2, expected 1"},
      {"Plaintext", kLevel, u32(1), "level = 1, expected 0"},
      {"Plaintext", kKeyId, "a", "a plaintext belongs to no key"},
      {"Plaintext", kForm, u32(1), "form = 1, expected 2"},
      {"Plaintext", kCoefficientBound, f64(1.0), "noise of coefficients = 1, expected 0"},
      {"Plaintext", kSlotBound, f64(1.0), "noise of slots = 1, expected 0"},
      {"Plaintext", kCoefficientSum, f64(1024.0 * 128.0 + 1.0),
       "coefficient sum = 131073, expected at most N floor(t/2) = 131072"},
      {"Plaintext", kCoefficientSum, f64(-1.0), "coefficient sum = -1"},
      {"Plaintext", kPayload, u64(0), "a payload of 0 bytes, expected 1152"},
  };
  for (const Forgery& forgery : forgeries) {
    const Sample& sample = objects.sample(forgery.sample);
    const std::string complaint = refusal(sample, patched(sample.bytes, forgery.at, forgery.bytes));
    const std::size_t asked = largest_allocation();
    EXPECT_THAT(complaint, HasSubstr(forgery.complaint)) << forgery.sample << " at " << forgery.at;
    EXPECT_LE(asked, 1024U) << forgery.complaint;  // texts
  }
  // What the payload says.
  const Sample& plaintext = objects.sample("Plaintext");
  EXPECT_THAT(refusal(plaintext, patched(plaintext.bytes, kHeaderBytes, "\xff\xff")),
              HasSubstr("coefficient 0 is 511, expected below t = 257"));
  EXPECT_THAT(refusal(plaintext, patched(plaintext.bytes, kCoefficientSum, f64(10.0))),
              HasSubstr("the coefficients add up to"));
}

TEST_P(BfvSerializationOnEveryBackend, ForgedParametersAreRefused) {
  const Parameters parameters =
      ParametersBuilder().log_n(12).plaintext_modulus(65537).modulus_bits(58).build();
  const auto load = [](const std::string& bytes) {
    return refusal_of([&] {
      std::istringstream in(bytes);
      load_parameters(in);
    });
  };
  const std::string good = saved(parameters);
  EXPECT_EQ(load(good), "no error");
  const auto number = [](int index) { return kHeaderBytes + 4 * static_cast<std::size_t>(index); };
  const auto with = [&](int index, std::uint32_t value) {
    return load(patched(good, number(index), u32(value)));
  };
  const auto with_t = [&](std::uint64_t t) { return load(patched(good, number(8), u64(t))); };
  EXPECT_THAT(with(0, 9), HasSubstr("log_n = 9, expected 10 to 17"));
  EXPECT_THAT(with(1, 40), HasSubstr("scale_bits = 40, expected 0"));
  EXPECT_THAT(with(2, 2), HasSubstr("primes, expected 4"));
  EXPECT_THAT(with(3, 2), HasSubstr("primes per level = 2, expected 1"));
  EXPECT_THAT(with(7, 256), HasSubstr("expected at most 56 for the 256-bit security"));
  EXPECT_THAT(with(7, 0), HasSubstr("do not claim to be within the security table"));
  EXPECT_THAT(with_t(0), HasSubstr("plaintext modulus = 0, expected 2 to 2^60"));
  EXPECT_THAT(with_t(1), HasSubstr("plaintext modulus = 1, expected 2 to 2^60"));
  EXPECT_THAT(with_t((std::uint64_t{1} << 60) + 1), HasSubstr("expected 2 to 2^60"));
  EXPECT_THAT(with_t(std::uint64_t{1} << 50), HasSubstr("for plaintext modulus 1125899906842624"));
  EXPECT_THAT(with_t(parameters.ciphertext_prime(0)), HasSubstr("divides the plaintext modulus"));
  EXPECT_THAT(with_t(65539), HasSubstr("the header has the parameters id"));
  EXPECT_THAT(load(patched(good, kKind, u32(1))), HasSubstr("payload bytes"));
}

TEST_P(BfvSerializationOnEveryBackend, NeitherSchemeLoadsTheOthersObjects) {
  const Objects objects(GetParam(), 4, 257, 60);
  const Stream& stream = objects.scheme.stream;
  const auto ckks = Context::create(ParametersBuilder()
                                        .log_n(4)
                                        .scale_bits(20)
                                        .depth(1)
                                        .insecure_without_security_check()
                                        .build(),
                                    stream);
  const std::string bytes = objects.sample("Ciphertext at level 1").bytes;
  const auto as = [&](const std::shared_ptr<const Context>& context, std::uint32_t kind) {
    const ParametersId& id = context->parameters().id();
    return patched(patched(bytes, kKind, u32(kind)), kParametersId,
                   {reinterpret_cast<const char*>(id.data()), id.size()});
  };
  EXPECT_THAT(refusal_of([&] {
                std::istringstream in(as(ckks, 13));
                bfv::load_ciphertext(in, ckks, stream);
              }),
              HasSubstr("a ciphertext of BFV for parameters of CKKS, which have none"));
  EXPECT_THAT(refusal_of([&] {
                std::istringstream in(as(objects.scheme.context, 3));
                load_ciphertext(in, objects.scheme.context, stream);
              }),
              HasSubstr("a ciphertext for parameters of BFV, which have none"));
}

INSTANTIATE_TEST_SUITE_P(Backends, BfvSerializationOnEveryBackend,
                         ::testing::ValuesIn(every_backend()), BackendName());

}  // namespace
}  // namespace velum::he
