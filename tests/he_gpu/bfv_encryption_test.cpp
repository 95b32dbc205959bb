#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "bfv_fixture.h"
#include "velum/he/ckks/encoder.h"
#include "velum/he/ckks/evaluator.h"
#include "velum/he/decryptor.h"
#include "velum/he/encryptor.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;

/// An emulated device is some hundred times slower.
int rounds(Backend backend, int on_the_cpu) {
  return backend == Backend::kCpu ? on_the_cpu : std::max(1, on_the_cpu / 50);
}

class BfvEncryptionOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

TEST_P(BfvEncryptionOnEveryBackend, EncryptionsDecryptByTheDefinitionWithinTheirNoiseBounds) {
  struct Case {
    std::uint64_t t;
    int modulus_bits;
  };
  for (const auto& [t, modulus_bits] :
       {Case{2, 30}, Case{97, 60}, Case{65537, 90}, Case{std::uint64_t{1} << 20, 120},
        Case{(std::uint64_t{1} << 60) - 1, 120}, Case{std::uint64_t{1} << 60, 150}}) {
    SCOPED_TRACE("t = " + std::to_string(t));
    BfvScheme scheme(small_insecure_bfv(4, t, modulus_bits), GetParam(), t);
    for (int round = 0; round < rounds(GetParam(), 200); ++round) {
      for (int level = 0; level <= scheme.top(); ++level) {
        const Integers message = scheme.random_message();
        const bfv::Ciphertext a = scheme.encrypt(message, level);
        ASSERT_EQ(a.level(), level);
        ASSERT_NO_FATAL_FAILURE(scheme.expect_holds(a, message));
        const bfv::SeededCiphertext seeded = scheme.symmetric.encrypt_seeded(
            scheme.encode(message), scheme.stream, {.level = level});
        const bfv::Ciphertext b = seeded.expand(scheme.stream);
        ASSERT_EQ(seeded.noise_budget_estimate(), b.noise_budget_estimate());
        ASSERT_NO_FATAL_FAILURE(scheme.expect_holds(b, message));
        ASSERT_EQ(a.history(), History::kKnown);
      }
    }
  }
}

TEST_P(BfvEncryptionOnEveryBackend, EveryExtremeMessageComesBack) {
  for (const std::uint64_t t : {std::uint64_t{2}, std::uint64_t{3}, std::uint64_t{256},
                                std::uint64_t{65537}, std::uint64_t{1} << 60}) {
    BfvScheme scheme(small_insecure_bfv(4, t, 120), GetParam(), 2);
    const auto low = -static_cast<std::int64_t>(t / 2);
    const auto high = static_cast<std::int64_t>((t - 1) / 2);
    for (const std::int64_t value : {std::int64_t{0}, low, high, std::int64_t{-1} < low ? low : -1,
                                     std::min<std::int64_t>(1, high)}) {
      const Integers message(16, value);
      EXPECT_EQ(scheme.decrypt(scheme.encrypt(message)), message) << "t = " << t;
      EXPECT_EQ(scheme.decrypt(scheme.symmetric.encrypt(scheme.encode(message), scheme.stream)),
                message);
    }
  }
}

// The noise by hand: right up to the last integer below Q/(2t), and wrong from there on.
TEST_P(BfvEncryptionOnEveryBackend, DecryptionIsRightForEveryNoiseBelowItsLimit) {
  for (const std::uint64_t t :
       {std::uint64_t{2}, std::uint64_t{97}, std::uint64_t{256}, std::uint64_t{1} << 40}) {
    for (const int modulus_bits : {60, 150}) {
      if (t > 256 && modulus_bits < 150) continue;
      BfvScheme scheme(small_insecure_bfv(4, t, modulus_bits), GetParam(), 3);
      const BigInteger q = scheme.modulus(scheme.top());
      const auto decrypted = [&](const BigInteger& constant) {
        testing::bfv::Polynomial c0(16, 0);
        c0[0] = constant;
        return scheme.decrypt(scheme.ciphertext_of({c0, testing::bfv::Polynomial(16, 0)},
                                                   scheme.top(), {1.0, 16.0}))[0];
      };
      for (int round = 0; round < rounds(GetParam(), 50); ++round) {
        const std::int64_t m = scheme.random_message()[0];
        // |2 t c - 2 Q m| < Q: the largest c, and the smallest.
        const BigInteger above = testing::floor_divide(2 * q * m + q - 1, 2 * BigInteger(t));
        const BigInteger below = -testing::floor_divide(-(2 * q * m - q + 1), 2 * BigInteger(t));
        EXPECT_EQ(decrypted(above), m) << "t = " << t;
        EXPECT_EQ(decrypted(below), m);
        EXPECT_EQ(scheme.modulo_t({decrypted(above + 1)}), scheme.modulo_t({BigInteger(m) + 1}));
        EXPECT_EQ(scheme.modulo_t({decrypted(below - 1)}), scheme.modulo_t({BigInteger(m) - 1}));
      }
    }
  }
}

TEST_P(BfvEncryptionOnEveryBackend, TheNoiseOfAnEncryptionDoesNotDependOnQModuloT) {
  // Q modulo t would add up to t/2 = 2^39 if messages were scaled by floor(Q/t).
  BfvScheme scheme(small_insecure_bfv(4, (std::uint64_t{1} << 40) - 87, 120), GetParam(), 4);
  const Integers message(16, static_cast<std::int64_t>(scheme.t() / 2));
  EXPECT_GT(scheme.decryptor.noise_budget_for_owner(
                scheme.symmetric.encrypt(scheme.encode(message), scheme.stream), scheme.stream),
            118.0 - 41.0 - 6.0);
}

TEST_P(BfvEncryptionOnEveryBackend, EveryEncryptionDrawsNewRandomness) {
  BfvScheme scheme(small_insecure_bfv(4, 257, 60), GetParam(), 5);
  const bfv::Plaintext plaintext = scheme.encode(scheme.random_message());
  std::set<std::vector<Word>> seen;
  for (int i = 0; i < 8; ++i) {
    for (const bfv::Ciphertext& c : {scheme.encryptor.encrypt(plaintext, scheme.stream),
                                     scheme.symmetric.encrypt(plaintext, scheme.stream)}) {
      for (int poly = 0; poly < 2; ++poly) {
        seen.insert(
            to_host(Span<const Word>(c.view().limb(poly, 0), c.view().limbs * c.view().degree),
                    scheme.stream));
      }
    }
  }
  EXPECT_EQ(seen.size(), 32u);
}

TEST_P(BfvEncryptionOnEveryBackend, OnlyKnownHistoriesAreReleased) {
  BfvScheme scheme(small_insecure_bfv(4, 257, 60), GetParam(), 6);
  const Integers message = scheme.random_message();
  const bfv::Ciphertext fresh = scheme.encrypt(message);
  EXPECT_EQ(scheme.decode(scheme.decryptor.decrypt_for_release(fresh, scheme.stream)), message);
  bfv::Ciphertext stranger(
      scheme.context, scheme.secret->id(),
      to_backend(to_host(Span<const Word>(fresh.view().data, 2 * 2 * 16), scheme.stream),
                 scheme.stream),
      2, fresh.level(), fresh.noise(), History::kUnknown);
  EXPECT_THAT(refusal_of([&] { scheme.decryptor.decrypt_for_release(stranger, scheme.stream); }),
              HasSubstr("bfv::Decryptor::decrypt_for_release: the ciphertext, or something that "
                        "went into it, was loaded"));
  EXPECT_EQ(scheme.decrypt(stranger), message);
  EXPECT_EQ(scheme.evaluator.add(fresh, stranger, scheme.stream).history(), History::kUnknown);
  stranger.vouch_for_history();
  EXPECT_EQ(scheme.decode(scheme.decryptor.decrypt_for_release(stranger, scheme.stream)), message);
}

TEST_P(BfvEncryptionOnEveryBackend, AClaimThatLeavesNoBudgetIsNotDecrypted) {
  BfvScheme scheme(small_insecure_bfv(4, 257, 60), GetParam(), 7);
  const testing::bfv::Polynomial zero(16, 0);
  const double limit = std::exp2(scheme.context->parameters().log_q(scheme.top())) / 514.0;
  const auto decrypted = [&](double noise) {
    return refusal_of([&] {
      scheme.decrypt(scheme.ciphertext_of({zero, zero}, scheme.top(), {noise, 16.0 * noise}));
    });
  };
  EXPECT_EQ(decrypted(limit * 0.9999), "no error");
  EXPECT_THAT(decrypted(limit * 1.0001), HasSubstr("bfv::Decryptor::decrypt_for_owner: the noise "
                                                   "budget estimate is -0.0001"));
}

TEST_P(BfvEncryptionOnEveryBackend, WrongKeysParametersAndLevelsAreRefused) {
  BfvScheme scheme(small_insecure_bfv(4, 257, 60), GetParam(), 8);
  BfvScheme other(small_insecure_bfv(4, 257, 60), GetParam(), 9);
  BfvScheme wider(small_insecure_bfv(4, 257, 90), GetParam(), 10);
  const Integers message = scheme.random_message();
  const bfv::Ciphertext a = scheme.encrypt(message);
  EXPECT_THAT(refusal_of([&] { other.decrypt(a); }),
              HasSubstr("the ciphertext belongs to key " + to_string(scheme.secret->id())));
  EXPECT_THAT(refusal_of([&] { other.decryptor.noise_budget_for_owner(a, scheme.stream); }),
              HasSubstr("noise_budget_for_owner: the ciphertext belongs to key"));
  EXPECT_THAT(refusal_of([&] { wider.decrypt(a); }),
              HasSubstr("has other parameters than the key"));
  EXPECT_THAT(refusal_of([&] { wider.encryptor.encrypt(scheme.encode(message), scheme.stream); }),
              HasSubstr("bfv::Encryptor::encrypt: the plaintext has other parameters"));
  EXPECT_THAT(refusal_of([&] { scheme.encrypt(message, 7); }),
              HasSubstr("bfv::Encryptor::encrypt: level = 7, expected 0 to " +
                        std::to_string(scheme.top()) + ", or -1"));
  EXPECT_THAT(refusal_of([&] {
                scheme.symmetric.encrypt(scheme.encode(message), scheme.stream, {.level = -2});
              }),
              HasSubstr("bfv::SymmetricEncryptor::encrypt: level = -2"));
  EXPECT_EQ(refusal_of([&] { bfv::Decryptor(nullptr); }), "bfv::Decryptor: key is null");
  EXPECT_EQ(refusal_of([&] { bfv::Encryptor(nullptr); }),
            "bfv::Encryptor: key or randomness is null");
  // Keys of the same parameters are one whatever context they were made in.
  EXPECT_EQ(other.decrypt(other.encryptor.encrypt(scheme.encode(message), scheme.stream)), message);
}

TEST_P(BfvEncryptionOnEveryBackend, NeitherSchemeTakesTheOthersObjects) {
  BfvScheme scheme(small_insecure_bfv(4, 257, 60), GetParam(), 11);
  const std::string refused =
      "the parameters are of BFV, expected CKKS; what computes with BFV is "
      "in velum::he::bfv";
  EXPECT_EQ(refusal_of([&] { Encoder{scheme.context}; }), "Encoder: " + refused);
  EXPECT_EQ(refusal_of([&] { Evaluator{scheme.context}; }), "Evaluator: " + refused);
  EXPECT_EQ(refusal_of([&] { Encryptor{scheme.public_key}; }), "Encryptor: " + refused);
  EXPECT_EQ(refusal_of([&] { SymmetricEncryptor{scheme.secret}; }),
            "SymmetricEncryptor: " + refused);
  EXPECT_EQ(refusal_of([&] { Decryptor{scheme.secret}; }), "Decryptor: " + refused);

  const auto ckks = Context::create(
      ParametersBuilder().log_n(4).scale_bits(20).insecure_without_security_check().build(),
      scheme.stream);
  KeyGenerator generator(ckks, scheme.randomness);
  const auto secret = std::make_shared<const SecretKey>(generator.secret_key(scheme.stream));
  const auto public_key =
      std::make_shared<const PublicKey>(generator.public_key(*secret, scheme.stream));
  for (const std::string& text :
       {refusal_of([&] { bfv::Encryptor{public_key}; }),
        refusal_of([&] { bfv::SymmetricEncryptor{secret}; }),
        refusal_of([&] { bfv::Decryptor{secret}; }),
        refusal_of([&] { bfv::Plaintext(ckks, Buffer<std::int64_t>(16, scheme.stream), 1.0); }),
        refusal_of([&] {
          bfv::Ciphertext(ckks, secret->id(), Buffer<Word>(64, scheme.stream), 2, 0, {},
                          History::kKnown);
        })}) {
    EXPECT_THAT(text, HasSubstr("the parameters are of CKKS, expected BFV; "
                                "ParametersBuilder::plaintext_modulus makes such"));
  }
  EXPECT_THAT(refusal_of([&] { ckks->bfv_tables(); }), HasSubstr("CKKS"));
  EXPECT_THAT(refusal_of([&] { scheme.context->parameters().scale(0); }), HasSubstr("BFV"));
}

INSTANTIATE_TEST_SUITE_P(Backends, BfvEncryptionOnEveryBackend,
                         ::testing::ValuesIn(every_backend()), BackendName());

}  // namespace
}  // namespace velum::he
