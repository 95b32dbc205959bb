#include <cmath>
#include <complex>
#include <limits>
#include <set>
#include <thread>

#include "he_fixture.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;

class EncryptionOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

TEST_P(EncryptionOnEveryBackend, APublicKeyEncryptionDecryptsWithTheEstimatedError) {
  for (const std::uint64_t seed : {1, 2, 3}) {
    const Scheme scheme(small_insecure_parameters(9, 45, 2), GetParam(), seed);
    for (const int level : {0, 1, 2}) {
      const Complexes slots = scheme.random_slots(seed);
      const Ciphertext ciphertext = scheme.encrypt(slots, {.level = level});
      EXPECT_EQ(ciphertext.level(), level);
      EXPECT_EQ(ciphertext.scale(), scheme.context->parameters().scale(level));
      expect_estimate_holds(ciphertext, error_between(scheme.decrypt(ciphertext), slots));
    }
  }
}

TEST_P(EncryptionOnEveryBackend, ASymmetricEncryptionHasASmallerError) {
  const Scheme scheme(small_insecure_parameters(9, 45, 1), GetParam(), 4);
  const Complexes slots = scheme.random_slots(4);
  const Ciphertext ciphertext = scheme.symmetric.encrypt(scheme.encode(slots), scheme.stream);
  expect_estimate_holds(ciphertext, error_between(scheme.decrypt(ciphertext), slots));
  EXPECT_LT(ciphertext.estimated_error(), scheme.encrypt(slots).estimated_error() / 8.0);
}

TEST_P(EncryptionOnEveryBackend, ASeededCiphertextExpandsToTheSameUniformHalfEveryTime) {
  const Scheme scheme(small_insecure_parameters(8, 45, 1), GetParam(), 5);
  const Complexes slots = scheme.random_slots(5);
  const SeededCiphertext seeded =
      scheme.symmetric.encrypt_seeded(scheme.encode(slots), scheme.stream);
  const Ciphertext a = seeded.expand(scheme.stream), b = seeded.expand(scheme.stream);
  const auto words = [&](const Ciphertext& c) {
    return to_host(Span<const Word>(c.view().data, c.view().polys * c.view().poly_stride),
                   scheme.stream);
  };
  EXPECT_EQ(words(a), words(b));
  expect_estimate_holds(a, error_between(scheme.decrypt(a), slots));
}

TEST_P(EncryptionOnEveryBackend, EveryEncryptionDrawsNewRandomness) {
  const Scheme scheme(small_insecure_parameters(6, 45, 0), GetParam(), 6);
  const Plaintext plaintext = scheme.encode(scheme.random_slots(6));
  std::set<std::vector<Word>> seen;
  for (int i = 0; i < 8; ++i) {
    for (const Ciphertext& c : {scheme.encryptor.encrypt(plaintext, scheme.stream),
                                scheme.symmetric.encrypt(plaintext, scheme.stream)}) {
      // Neither half repeats.
      for (int poly = 0; poly < 2; ++poly) {
        seen.insert(
            to_host(Span<const Word>(c.view().limb(poly, 0), c.view().limbs * c.view().degree),
                    scheme.stream));
      }
    }
  }
  EXPECT_EQ(seen.size(), 32U);
}

TEST_P(EncryptionOnEveryBackend, TheDefaultRandomnessIsTheSystems) {
  const Stream stream = make_stream(GetParam());
  const auto context = Context::create(small_insecure_parameters(6, 45, 0), stream);
  KeyGenerator generator(context);
  const SecretKey a = generator.secret_key(stream), b = generator.secret_key(stream);
  EXPECT_NE(a.id(), b.id());
  EXPECT_NE(a.export_coefficients_secret(stream), b.export_coefficients_secret(stream));
}

TEST_P(EncryptionOnEveryBackend, AnotherKeyIsAnErrorAndNoWrongMessage) {
  const Scheme scheme(small_insecure_parameters(6, 45, 0), GetParam(), 7);
  const Ciphertext ciphertext = scheme.encrypt(scheme.random_slots(7));
  const auto other = std::make_shared<const SecretKey>(
      KeyGenerator(scheme.context, scheme.randomness).secret_key(scheme.stream));
  EXPECT_THAT(error_of([&] { Decryptor(other).decrypt_for_owner(ciphertext, scheme.stream); }),
              HasSubstr("belongs to key " + to_string(scheme.secret->id())));
}

TEST_P(EncryptionOnEveryBackend, AnExportedSecretDecryptsAfterImport) {
  const Scheme scheme(small_insecure_parameters(7, 45, 1), GetParam(), 8);
  const Complexes slots = scheme.random_slots(8);
  const Ciphertext ciphertext = scheme.encrypt(slots);
  std::vector<std::int8_t> coefficients = scheme.secret->export_coefficients_secret(scheme.stream);
  const auto imported = std::make_shared<const SecretKey>(SecretKey::import_coefficients_secret(
      scheme.context, scheme.secret->id(), Span<const std::int8_t>(coefficients), scheme.stream));
  expect_estimate_holds(
      ciphertext,
      error_between(scheme.decode(Decryptor(imported).decrypt_for_owner(ciphertext, scheme.stream)),
                    slots));
  coefficients[3] = 2;
  EXPECT_THAT(error_of([&] {
                SecretKey::import_coefficients_secret(scheme.context, scheme.secret->id(),
                                                      Span<const std::int8_t>(coefficients),
                                                      scheme.stream);
              }),
              HasSubstr("a coefficient is not -1, 0 or 1"));
}

TEST_P(EncryptionOnEveryBackend, SlotsBeyondTheDeclaredBoundAreRefused) {
  const Scheme scheme(small_insecure_parameters(6, 45, 0), GetParam(), 9);
  Complexes slots = scheme.random_slots(9);
  slots[5] = 1.5;
  EXPECT_THAT(
      error_of([&] { scheme.encode(slots); }),
      HasSubstr("slot 5 has magnitude 1.500000, expected at most message_bound = 1.000000"));
  const Ciphertext wider = scheme.encrypt(slots, {.message_bound = 2.0});
  EXPECT_EQ(wider.noise().message_bound, 2.0);
  expect_estimate_holds(wider, error_between(scheme.decrypt(wider), slots));
  EXPECT_THAT(error_of([&] { scheme.encode(slots, {.message_bound = 1e6}); }),
              HasSubstr("does not fit the modulus"));
}

/// The bound is exact, and of any size: 3 and 4 make 5 times it, the double above does not.
TEST_P(EncryptionOnEveryBackend, TheDeclaredBoundIsKeptToTheLastBit) {
  const Scheme scheme(small_insecure_parameters(6, 45, 0), GetParam(), 9);
  const auto encode = [&](const std::complex<double>& slot, double bound) {
    Complexes slots(32, 0.0);
    slots[31] = slot;
    scheme.encode(slots, {.message_bound = bound});
  };
  for (const double unit : {0.125, 0x1p-20, 0x1p-460, 0x1p-500, 0x1p-900}) {
    EXPECT_NO_THROW(encode({-3.0 * unit, 4.0 * unit}, 5.0 * unit)) << unit;
    EXPECT_THROW(encode({3.0 * unit, 4.0 * unit}, std::nextafter(5.0 * unit, 0.0)),
                 std::invalid_argument)
        << unit;
  }
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double wrong : {nan, infinity, -infinity, 1e200}) {
    EXPECT_THROW(encode({wrong, 0.0}, 1.0), std::invalid_argument) << wrong;
    EXPECT_THROW(encode({0.0, wrong}, 1.0), std::invalid_argument) << wrong;
  }
}

// 128 queries at 40 bits: the noise is what the formula says, and the estimate that the plaintext
// carries is right.
TEST_P(EncryptionOnEveryBackend, AReleaseIsFloodedByTheStatedNoise) {
  const Scheme scheme(small_insecure_parameters(10, 58, 1), GetParam(), 10);
  const Complexes slots = scheme.random_slots(10);
  const Ciphertext ciphertext = scheme.symmetric.encrypt(scheme.encode(slots), scheme.stream);
  const ReleasePolicy policy{.queries = 16, .statistical_bits = 30};
  const Plaintext released =
      scheme.decryptor.decrypt_for_release(ciphertext, policy, scheme.stream);
  const SlotError error = error_between(scheme.decode(released), slots);
  const double sigma = ciphertext.noise().slot_bound * std::sqrt(12.0 * 16.0) * std::exp2(15.0);
  const double slot_sigma = sigma * std::sqrt(1024.0) / ciphertext.scale();
  // 512 slots: the root mean square is within 20 % with a probability above 1 - 10^-9; at most
  // twice the least noise is added.
  EXPECT_GE(error.rms, 0.8 * slot_sigma);
  EXPECT_LE(error.rms, 2.0 * 1.2 * slot_sigma);
  const double estimated = std::sqrt(released.noise().slot_variance) / released.scale();
  EXPECT_NEAR(error.rms / estimated, 1.0, 0.2);
  // Two releases are flooded independently.
  EXPECT_NE(scheme.decode(scheme.decryptor.decrypt_for_release(ciphertext, policy, scheme.stream)),
            scheme.decode(released));
}

TEST_P(EncryptionOnEveryBackend, WithoutSpecialPrimesThereAreSumsAndNoSwitchingKeys) {
  const Stream stream = make_stream(GetParam());
  const auto context = Context::create(ParametersBuilder()
                                           .log_n(6)
                                           .scale_bits(40)
                                           .depth(1)
                                           .without_key_switching()
                                           .insecure_without_security_check()
                                           .build(),
                                       stream);
  KeyGenerator generator(context);
  const auto secret = std::make_shared<const SecretKey>(generator.secret_key(stream));
  const Encoder encoder(context);
  const std::vector<double> values{0.5, -0.25};
  const Ciphertext a = SymmetricEncryptor(secret).encrypt(
      encoder.encode(Span<const double>(values), stream), stream);
  std::vector<double> sum(2);
  encoder.decode(Decryptor(secret).decrypt_for_owner(Evaluator(context).add(a, a, stream), stream),
                 Span<double>(sum), stream);
  EXPECT_NEAR(sum[0], 1.0, 1e-8);
  EXPECT_NEAR(sum[1], -0.5, 1e-8);
  EXPECT_THAT(error_of([&] { generator.relinearization_key(*secret, stream); }),
              HasSubstr("no special primes"));
}

TEST_P(EncryptionOnEveryBackend, AReleaseThatCannotBeFloodedIsRefused) {
  const Scheme scheme(small_insecure_parameters(8, 36, 0), GetParam(), 11);
  const Ciphertext ciphertext = scheme.encrypt(scheme.random_slots(11));
  EXPECT_THAT(
      error_of([&] { scheme.decryptor.decrypt_for_release(ciphertext, {}, scheme.stream); }),
      HasSubstr("release at a higher level"));
  EXPECT_THAT(error_of([&] {
                scheme.decryptor.decrypt_for_release(ciphertext, {.queries = 0}, scheme.stream);
              }),
              HasSubstr("queries = 0, expected at least 1"));
  EXPECT_THAT(error_of([&] {
                scheme.decryptor.decrypt_for_release(ciphertext, {.statistical_bits = 5},
                                                     scheme.stream);
              }),
              HasSubstr("statistical_bits = 5, expected 10 to 128"));
}

// The message is next to half of the modulus; the noise, up to about 2^25, must fit beside it.
TEST_P(EncryptionOnEveryBackend, AReleaseWhoseNoiseDoesNotFitBesideTheMessageIsRefused) {
  const Scheme scheme(small_insecure_parameters(8, 36, 0), GetParam(), 12);
  const Parameters& parameters = scheme.context->parameters();
  const double limit = std::exp2(parameters.log_q(0) - 1.0);
  const auto released = [&](double room) {
    const double m = (limit - room) / parameters.scale(0);
    const Ciphertext a = scheme.symmetric.encrypt(
        scheme.encode(Complexes(128, m), {.message_bound = m}), scheme.stream);
    const Plaintext plaintext = scheme.decryptor.decrypt_for_release(
        a, {.queries = 1, .statistical_bits = 20}, scheme.stream);
    EXPECT_LE(error_between(scheme.decode(plaintext), Complexes(128, m)).largest, 1.0);
  };
  released(0x1p27);
  EXPECT_THAT(error_of([&] { released(0x1p24); }),
              HasSubstr("Decryptor::decrypt_for_release: noise of standard deviation 2^"));
}

// A context, its keys and its workspace serve any number of threads.
TEST(Encryption, ThreadsShareOneContext) {
  const Scheme scheme(small_insecure_parameters(8, 45, 2), Backend::kCpu, 13, {1});
  std::vector<std::thread> threads;
  std::vector<double> errors(4, 1.0);
  for (std::size_t t = 0; t < errors.size(); ++t) {
    threads.emplace_back([&, t] {
      const Stream stream = Stream::serial();
      double largest = 0.0;
      for (std::uint64_t round = 0; round < 20; ++round) {
        const Complexes x = scheme.random_slots(100 * t + round);
        const Ciphertext a = scheme.encryptor.encrypt(
            scheme.encoder.encode(Span<const std::complex<double>>(x), stream), stream);
        const Ciphertext turned = scheme.evaluator.rotate(a, 1, scheme.galois, stream);
        const Ciphertext product = scheme.evaluator.rescale(
            scheme.evaluator.relinearize(scheme.evaluator.multiply(a, turned, stream),
                                         scheme.relinearization, stream),
            stream);
        Complexes decoded(x.size()), expected(x.size());
        scheme.encoder.decode(scheme.decryptor.decrypt_for_owner(product, stream),
                              Span<std::complex<double>>(decoded), stream);
        for (std::size_t i = 0; i < x.size(); ++i) expected[i] = x[i] * x[(i + 1) % x.size()];
        largest = std::max(largest, error_between(decoded, expected).largest);
      }
      errors[t] = largest;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const double error : errors) EXPECT_LT(error, 1e-7);
}

// ---- By hand ---------------------------------------------------------------------------------

std::int64_t centred(std::int64_t x, std::int64_t q) {
  x = ((x % q) + q) % q;
  return x > q / 2 ? x - q : x;
}

/// The coefficients of a limb in NTT form by interpolation: a_i = N^-1 sum_j value_j root_j^-i,
/// with the exponents that ntt.h states. Slow, and free of velum's arithmetic.
std::vector<std::int64_t> coefficients_of(const std::vector<Word>& values, std::int64_t q,
                                          std::int64_t psi) {
  const auto n = static_cast<std::int64_t>(values.size());
  const auto power = [&](std::int64_t base, std::int64_t exponent) {
    std::int64_t result = 1;
    for (base %= q; exponent > 0; exponent >>= 1, base = base * base % q) {
      if (exponent & 1) result = result * base % q;
    }
    return result;
  };
  const std::int64_t inverse_n = power(n, q - 2);
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < n; ++i) {
    std::int64_t sum = 0;
    for (std::int64_t j = 0; j < n; ++j) {
      std::int64_t reversed = 0;
      for (std::int64_t bit = 1, mirror = n / 2; bit < n; bit *= 2, mirror /= 2) {
        if (j & bit) reversed |= mirror;
      }
      const std::int64_t exponent = (2 * reversed + 1) * i % (2 * n);
      sum = (sum + static_cast<std::int64_t>(values[static_cast<std::size_t>(j)]) *
                       power(psi, 2 * n - exponent)) %
            q;
    }
    out.push_back(sum * inverse_n % q);
  }
  return out;
}

// The promise of a ciphertext, checked limb by limb with schoolbook products: c_0 + c_1 s - m is
// one and the same small polynomial modulo every prime.
TEST_P(EncryptionOnEveryBackend, ThePhaseIsTheMessageAndASmallError) {
  const Scheme scheme(small_insecure_parameters(5, 45, 1), GetParam(), 12);
  const std::int64_t n = 32;
  const Plaintext plaintext = scheme.encode(scheme.random_slots(12));
  const std::vector<std::int8_t> s = scheme.secret->export_coefficients_secret(scheme.stream);
  for (const bool by_public_key : {false, true}) {
    const Ciphertext c = by_public_key ? scheme.encryptor.encrypt(plaintext, scheme.stream)
                                       : scheme.symmetric.encrypt(plaintext, scheme.stream);
    std::vector<std::int64_t> error;
    for (int limb = 0; limb < static_cast<int>(c.view().limbs); ++limb) {
      const int index = scheme.context->parameters().special_prime_count() + limb;
      const std::int64_t q = scheme.context->parameters().primes()[static_cast<std::size_t>(index)];
      const std::int64_t psi = scheme.context->tables().root(index);
      const auto limb_of = [&](RnsView<const Word> view, int poly) {
        return coefficients_of(to_host(Span<const Word>(view.limb(poly, limb), n), scheme.stream),
                               q, psi);
      };
      const auto c0 = limb_of(c.view(), 0), c1 = limb_of(c.view(), 1),
                 m = limb_of(plaintext.view(), 0);
      std::vector<std::int64_t> phase(static_cast<std::size_t>(n));
      for (std::int64_t i = 0; i < n; ++i) {
        std::int64_t sum = c0[static_cast<std::size_t>(i)] - m[static_cast<std::size_t>(i)];
        for (std::int64_t j = 0; j < n; ++j) {  // X^N = -1
          const std::int64_t sign = j <= i ? 1 : -1;
          sum +=
              sign * s[static_cast<std::size_t>(j)] * c1[static_cast<std::size_t>((i - j + n) % n)];
        }
        phase[static_cast<std::size_t>(i)] = centred(sum, q);
      }
      if (limb == 0) error = phase;
      EXPECT_EQ(phase, error) << "limb " << limb;
    }
    double largest = 0.0, squares = 0.0;
    for (const std::int64_t e : error) {
      largest = std::max(largest, std::abs(static_cast<double>(e)));
      squares += static_cast<double>(e) * static_cast<double>(e);
    }
    // 3.19 for a symmetric one, 3.19 sqrt(4 N / 3 + 1) = 21 under a public key; nonzero, and no
    // larger than ten of them.
    const double sigma = by_public_key ? 21.1 : 3.19;
    EXPECT_GT(std::sqrt(squares / static_cast<double>(n)), sigma / 3.0);
    EXPECT_LT(largest, 10.0 * sigma);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, EncryptionOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::he
