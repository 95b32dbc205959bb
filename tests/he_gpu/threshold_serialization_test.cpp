// Groups, messages and parties as bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "bfv_fixture.h"
#include "object_bytes.h"
#include "threshold_fixture.h"
#include "velum/he/bfv/serialization.h"
#include "velum/he/threshold/serialization.h"

namespace velum::he::threshold {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;

std::string saved(const SecretShare& share, const Stream& stream) {
  std::ostringstream out;
  save_secret_share_unencrypted(out, share, stream);
  EXPECT_EQ(static_cast<std::int64_t>(out.str().size()), serialized_size(share));
  return out.str();
}
std::string saved(const Party& party, const Stream& stream) {
  std::ostringstream out;
  save_party_unencrypted(out, party, stream);
  EXPECT_EQ(static_cast<std::int64_t>(out.str().size()), serialized_size(party));
  return out.str();
}
using velum::testing::saved;

template <typename Load>
auto loaded(const std::string& bytes, const Load& load) {
  std::istringstream in(bytes);
  auto object = load(in);
  expect_end(in);
  return object;
}

/// A group of three, two of whom decrypt, everything of which went through bytes, and one message
/// of each kind.
struct Objects {
  explicit Objects(Backend backend, int threshold = 2)
      : stream(make_stream(backend)),
        context(Context::create(ParametersBuilder()
                                    .log_n(4)
                                    .plaintext_modulus(97)
                                    .modulus_bits(150)
                                    .dnum(2)
                                    .parties(4)
                                    .insecure_without_security_check()
                                    .build(),
                                stream)),
        secrets(context, stream, 11, {3, threshold}),
        group(secrets.group) {
    const auto add = [&](const std::string& name, const auto& object, const auto& load) {
      samples.push_back({name, saved(object, stream),
                         [load, this](std::istream& in) { return saved(load(in), stream); }});
      std::istringstream in(samples.back().bytes);
      return load(in);
    };
    samples.push_back({"Group", saved(group), [this](std::istream& in) {
                         return saved(load_group(in, context, stream));
                       }});
    std::vector<PublicKeyShare> keys;
    std::vector<RelinearizationShareOne> ones;
    std::vector<GaloisKeyShare> galois;
    for (Party& party : secrets.parties) {
      keys.push_back(add("PublicKeyShare", party.public_key_share(stream),
                         [this](auto& in) { return load_public_key_share(in, group, stream); }));
      ones.push_back(
          add("RelinearizationShareOne", party.relinearization_share_one(stream),
              [this](auto& in) { return load_relinearization_share_one(in, group, stream); }));
      galois.push_back(add("GaloisKeyShare", party.galois_key_share(5, stream),
                           [this](auto& in) { return load_galois_key_share(in, group, stream); }));
    }
    const RelinearizationRoundOne sum =
        add("RelinearizationRoundOne", combine_round_one(group, ones, stream),
            [this](auto& in) { return load_relinearization_round_one(in, group, stream); });
    std::vector<RelinearizationShareTwo> twos;
    for (Party& party : secrets.parties) {
      twos.push_back(
          add("RelinearizationShareTwo", party.relinearization_share_two(sum, stream),
              [this](auto& in) { return load_relinearization_share_two(in, group, stream); }));
    }
    PublicKey key = combine_public_key(group, keys, stream);
    key.vouch_for_history();
    public_key = std::make_shared<const PublicKey>(std::move(key));
    relinearization.emplace(combine_relinearization_key(group, sum, twos, stream));
    relinearization->key.vouch_for_history();
    galois_keys.keys.insert(combine_galois_key(group, galois, stream));
    galois_keys.keys.at(5).vouch_for_history();
    if (threshold < 3) {
      std::vector<std::vector<SecretShare>> for_party(3);
      for (Party& party : secrets.parties) {
        for (const SecretShare& share : party.deal_secret_shares(stream)) {
          for_party[static_cast<std::size_t>(share.receiver()) - 1].push_back(
              add("SecretShare", share,
                  [this](auto& in) { return load_secret_share_unencrypted(in, group, stream); }));
        }
      }
      for (std::size_t i = 0; i < 3; ++i)
        secrets.parties[i].receive_secret_shares(std::move(for_party[i]), stream);
    }
    for (Party& party : secrets.parties) {
      party = add("Party", party, [this](auto& in) {
        return load_party_unencrypted(in, group, secrets.once, stream, secrets.randomness);
      });
    }
  }

  bfv::Ciphertext encrypt(const Integers& values) const {
    const bfv::Plaintext plaintext =
        bfv::CoefficientEncoder(context).encode(Span<const std::int64_t>(values), stream);
    return bfv::Encryptor(public_key, secrets.randomness).encrypt(plaintext, stream);
  }
  /// Every share goes through bytes.
  Integers decrypt(const bfv::Ciphertext& c, const std::vector<int>& active) {
    std::vector<DecryptionShare> shares;
    for (const DecryptionShare& share : secrets.decryption_shares(c, active)) {
      samples.push_back({"DecryptionShare", saved(share, stream), [this](std::istream& in) {
                           return saved(load_decryption_share(in, group, stream), stream);
                         }});
      shares.push_back(loaded(samples.back().bytes,
                              [&](auto& in) { return load_decryption_share(in, group, stream); }));
    }
    Integers values(16);
    bfv::CoefficientEncoder(context).decode(combine_decryption(group, c, shares, stream),
                                            Span<std::int64_t>(values), stream);
    return values;
  }
  const Sample& sample(const std::string& name) const {
    for (const Sample& one : samples)
      if (one.name == name) return one;
    throw std::out_of_range(name);
  }

  Stream stream;
  std::shared_ptr<const Context> context;
  ThresholdGroup secrets;
  Group group;
  std::shared_ptr<const PublicKey> public_key;
  std::optional<RelinearizationKey> relinearization;
  GaloisKeys galois_keys;
  std::vector<Sample> samples;
};

std::string refusal(const Sample& sample, const std::string& bytes) {
  std::istringstream in(bytes);
  try {
    sample.reload(in);
  } catch (const SerializationError& error) {
    return error.what();
  }
  return "no error";
}

class ThresholdSerializationOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

TEST_P(ThresholdSerializationOnEveryBackend, TheWholeProtocolGoesThroughBytes) {
  for (const int threshold : {2, 3}) {
    Objects objects(GetParam(), threshold);
    const Integers x{1, -2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    const bfv::Evaluator evaluator(objects.context);
    const bfv::Ciphertext a = objects.encrypt(x);
    const bfv::Ciphertext product = evaluator.relinearize(evaluator.square(a, objects.stream),
                                                          *objects.relinearization, objects.stream);
    const std::vector<int> active =
        threshold == 2 ? std::vector<int>{1, 3} : std::vector<int>{1, 2, 3};
    EXPECT_EQ(objects.decrypt(a, active), x);
    EXPECT_EQ(objects.decrypt(product, active),
              modulo_t(velum::testing::bfv::multiply(polynomial_of(x), polynomial_of(x)), 97));
    EXPECT_EQ(objects.decrypt(
                  evaluator.apply_automorphism(a, 5, objects.galois_keys, objects.stream), active),
              modulo_t(velum::testing::bfv::automorphism(polynomial_of(x), 5), 97));
    // Loaded and saved again, every object has the same bytes.
    for (const Sample& sample : objects.samples) {
      std::istringstream in(sample.bytes);
      EXPECT_EQ(sample.reload(in), sample.bytes) << sample.name;
    }
  }
}

TEST_P(ThresholdSerializationOnEveryBackend, DamagedBytesAreRefused) {
  Objects objects(GetParam());
  objects.decrypt(objects.encrypt(Integers(16, 1)), {1, 2});
  std::string last;
  for (const Sample& sample : objects.samples) {
    if (sample.name == last) continue;
    last = sample.name;
    const std::size_t size = sample.bytes.size();
    const std::size_t step = GetParam() == Backend::kCpu ? 1 : 97;
    for (std::size_t i = 0; i < size; i += step) {
      std::string damaged = sample.bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
      ASSERT_NE(refusal(sample, damaged), "no error") << sample.name << " at " << i;
      ASSERT_NE(refusal(sample, sample.bytes.substr(0, i)), "no error") << sample.name;
    }
  }
}

struct Forgery {
  const char* sample;
  std::size_t at;
  std::string bytes;
  const char* complaint;
};

// With a hash that is right, so that nothing but the check in question refuses.
TEST_P(ThresholdSerializationOnEveryBackend, ForgedObjectsAreRefused) {
  Objects objects(GetParam());
  objects.decrypt(objects.encrypt(Integers(16, 1)), {1, 2});
  const std::size_t payload = kHeaderBytes;
  const Forgery forgeries[] = {
      {"Group", kKind, u32(16), "found a share of a public key, expected a group"},
      {"Group", kParty, u32(1), "party = 1, expected 0"},
      {"Group", kLevel, u32(1), "level = 1, expected 0"},
      {"Group", kPayload, u64(45), "a payload of 45 bytes, expected 44"},
      {"Group", payload, u32(5), "parties = 5, expected 2 to what the parameters are made for, 4"},
      {"Group", payload, u32(1025), "parties = 1025, expected 0 to 1024"},
      {"Group", payload + 4, u32(1), "threshold = 1, expected 2 to parties = 3"},
      {"Group", payload + 8, u32(9), "statistical_bits = 9"},
      {"Group", payload + 12, u32(9), "the header has the key"},
      {"PublicKeyShare", kParametersId, "a", "expected those of the context"},
      {"PublicKeyShare", kKeyId, "a", "expected that of the group"},
      {"PublicKeyShare", kParty, u32(0), "party = 0, expected 1 to 3"},
      {"PublicKeyShare", kParty, u32(4), "party = 4, expected 1 to 3"},
      {"PublicKeyShare", kParty, u32(1U << 31), "party = 2147483648, expected below 2^31"},
      {"PublicKeyShare", kLevel, u32(0), "level = 0, expected"},
      {"PublicKeyShare", kCount, u32(2), "polynomials = 2, expected 1"},
      {"PublicKeyShare", kCount, u32(0x7fffffff), "polynomials = 2147483647, expected 1"},
      {"PublicKeyShare", kForm, u32(2), "form = 2, expected 1"},
      {"PublicKeyShare", kGaloisElement, u32(3), "Galois element = 3, expected 0"},
      {"PublicKeyShare", kScale, f64(1.0), "scale = 1, expected 0: this kind has none"},
      {"PublicKeyShare", kMessageForm, u32(1), "message form = 1, expected 0"},
      {"PublicKeyShare", kPayload, u64(std::uint64_t{1} << 40), "bytes, expected"},
      {"PublicKeyShare", payload, "a", "the object is of group"},
      {"PublicKeyShare", payload + 32, "a", "the subject is"},
      {"PublicKeyShare", payload + 64, "\xff\xff\xff\xff", "residue 0 of limb 0 of polynomial 0"},
      {"RelinearizationShareOne", kCount, u32(3), "polynomials = 3, expected 4"},
      {"RelinearizationShareOne", payload + 32, "a", "the subject is"},
      {"RelinearizationRoundOne", kParty, u32(1), "party = 1, expected 0"},
      {"RelinearizationRoundOne", payload + 32, "a", "the subject is"},
      {"RelinearizationShareTwo", kCount, u32(4), "polynomials = 4, expected 2"},
      {"GaloisKeyShare", kGaloisElement, u32(1), "Galois element = 1, expected 3 to 31"},
      {"GaloisKeyShare", kGaloisElement, u32(6), "Galois element = 6, expected an odd number"},
      {"GaloisKeyShare", kGaloisElement, u32(7), "the subject is"},
      {"DecryptionShare", kLevel, u32(6), "level = 6, expected 0 to"},
      {"DecryptionShare", kLevel, u32(0), "bytes, expected"},
      {"DecryptionShare", kCount, u32(1), "active parties = 1, expected 2 to 3"},
      {"DecryptionShare", kCount, u32(4), "active parties = 4, expected 2 to 3"},
      {"DecryptionShare", kCount, u32(3), "bytes, expected"},
      {"DecryptionShare", payload + 64, u32(2), "an active party = 2, expected 3"},
      {"DecryptionShare", payload + 68, u32(1), "an active party = 1, expected 2 to 3"},
      {"DecryptionShare", payload + 68, u32(4), "an active party = 4, expected 2 to 3"},
      {"DecryptionShare", kParty, u32(3), "party = 3, expected one of the active, 1, 2"},
      {"SecretShare", payload + 32, u32(0), "receiver = 0, expected 1 to 3"},
      {"SecretShare", payload + 32, u32(4), "receiver = 4, expected 1 to 3"},
      {"SecretShare", payload, "a", "the object is of group"},
      {"Party", kCount, u32(2), "polynomials = 2, expected 0 to 1"},
      {"Party", kCount, u32(0), "form = 1, expected 2"},
      {"Party", kParty, u32(2), "there is a mask where there should be none, expected zeros"},
      {"Party", payload + 32, "\x02", "a coefficient is not -1, 0 or 1"},
  };
  for (const Forgery& forgery : forgeries) {
    const Sample& sample = objects.sample(forgery.sample);
    const std::string bytes = patched(sample.bytes, forgery.at, forgery.bytes);
    EXPECT_THAT(refusal(sample, bytes), HasSubstr(forgery.complaint))
        << forgery.sample << " at " << forgery.at;
  }
}

TEST_P(ThresholdSerializationOnEveryBackend, WhatBelongsToAnotherGroupIsRefused) {
  Objects objects(GetParam());
  const Group other = Group::create(objects.context, {3, 2}, objects.secrets.randomness);
  std::istringstream in(objects.sample("PublicKeyShare").bytes);
  EXPECT_THAT(refusal_of([&] { load_public_key_share(in, other, objects.stream); }),
              HasSubstr("load_public_key_share: the object belongs to key"));
  // A key, too, is no message; and none is the other's kind.
  for (const Sample& a : objects.samples) {
    for (const Sample& b : objects.samples) {
      if (a.name == b.name) continue;
      EXPECT_THAT(refusal(a, b.bytes), HasSubstr(": found "));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, ThresholdSerializationOnEveryBackend,
                         ::testing::ValuesIn(every_backend()), BackendName());

}  // namespace
}  // namespace velum::he::threshold
