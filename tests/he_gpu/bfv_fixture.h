#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "reference/bfv_integers.h"
#include "ring_integers.h"
#include "support/every_backend.h"
#include "velum/he/bfv/batch_encoder.h"
#include "velum/he/bfv/coefficient_encoder.h"
#include "velum/he/bfv/decryptor.h"
#include "velum/he/bfv/encryptor.h"
#include "velum/he/bfv/evaluator.h"
#include "velum/he/context.h"
#include "velum/he/key_generator.h"
#include "velum/he/parameters.h"

namespace velum::testing {

using Integers = std::vector<std::int64_t>;

/// A ring that is small and insecure: only for tests.
inline he::Parameters small_insecure_bfv(int log_n, std::uint64_t t, int modulus_bits,
                                         int dnum = 0) {
  he::ParametersBuilder builder;
  builder.log_n(log_n)
      .plaintext_modulus(t)
      .modulus_bits(modulus_bits)
      .insecure_without_security_check();
  if (dnum > 0) builder.dnum(dnum);
  return builder.build();
}

/// Uniform modulo t; a third of them at the borders.
inline Integers random_bfv_message(std::size_t n, std::uint64_t t, std::mt19937_64& bits) {
  const auto low = -static_cast<std::int64_t>(t / 2);
  const auto high = static_cast<std::int64_t>((t - 1) / 2);
  const Integers borders{0, low, high, low + 1};
  Integers values(n);
  for (std::int64_t& value : values) {
    const std::uint64_t choice = bits() % 12;
    value = choice < 4 ? borders[choice] : low + static_cast<std::int64_t>(bits() % t);
  }
  return values;
}

/// The representatives of least magnitude modulo t.
inline Integers modulo_t(const bfv::Polynomial& a, std::uint64_t t) {
  Integers out;
  for (const BigInteger& x : a) {
    const BigInteger r = modulo(x, BigInteger(t));
    out.push_back((r > (t - 1) / 2 ? BigInteger(r - t) : r).convert_to<std::int64_t>());
  }
  return out;
}

/// By the definition: what the ciphertext says of its noise holds, for coefficients and slots, and
/// its decryption under s is `expected`. Gives the largest coefficient of t v.
inline void expect_definition_holds(const RingIntegers& integers, const he::bfv::Ciphertext& c,
                                    const bfv::Polynomial& s, const Integers& expected,
                                    BigInteger& largest) {
  const std::uint64_t t = c.context()->parameters().plaintext_modulus();
  const BigInteger q = integers.modulus(c.level()), big_t = t;
  const bfv::Polynomial phase = bfv::phase(integers.polynomials(c.view(), c.level()), s, q);
  const bfv::Polynomial noise = bfv::scaled_noise(phase, q, big_t);
  const auto scale = static_cast<long double>(t);
  largest = bfv::largest(noise);
  ASSERT_LE(largest.convert_to<long double>(), scale * c.noise().coefficient);
  ASSERT_LE(bfv::largest_slot(noise), scale * c.noise().slot * (1.0L + 0x1p-40L));
  ASSERT_GT(c.noise_budget_estimate(), 0.0);
  const bfv::Polynomial message = bfv::decrypt(phase, q, big_t);
  for (std::size_t i = 0; i < s.size(); ++i)
    ASSERT_EQ(modulo(message[i], big_t), modulo(BigInteger(expected[i]), big_t)) << i;
}

/// BFV with all of its keys, on one backend, and its definition beside it. The seed decides all
/// randomness.
struct BfvScheme {
  BfvScheme(he::Parameters parameters, Backend backend, std::uint64_t seed,
            const std::vector<std::int64_t>& steps = {})
      : stream(make_stream(backend)),
        randomness(he::Randomness::insecure_from_seed(seed)),
        context(he::Context::create(std::move(parameters), stream)),
        generator(context, randomness),
        secret(std::make_shared<const he::SecretKey>(generator.secret_key(stream))),
        public_key(std::make_shared<const he::PublicKey>(generator.public_key(*secret, stream))),
        relinearization(generator.relinearization_key(*secret, stream)),
        galois(generator.galois_keys(*secret, steps, true, stream)),
        encoder(context),
        encryptor(public_key, randomness),
        symmetric(secret, randomness),
        decryptor(secret),
        evaluator(context),
        integers(context, stream),
        bits(seed) {
    for (const std::int8_t x : secret->export_coefficients_secret(stream)) s.emplace_back(x);
  }

  std::uint64_t t() const { return context->parameters().plaintext_modulus(); }
  std::size_t n() const { return s.size(); }
  int top() const { return context->parameters().max_level(); }

  Integers random_message() { return random_bfv_message(n(), t(), bits); }
  he::bfv::Plaintext encode(const Integers& values) const {
    return encoder.encode(Span<const std::int64_t>(values), stream);
  }
  he::bfv::Ciphertext encrypt(const Integers& values, int level = -1) const {
    return encryptor.encrypt(encode(values), stream, {.level = level});
  }
  Integers decode(const he::bfv::Plaintext& plaintext) const {
    Integers values(n());
    encoder.decode(plaintext, Span<std::int64_t>(values), stream);
    return values;
  }
  Integers decrypt(const he::bfv::Ciphertext& ciphertext) const {
    return decode(decryptor.decrypt_for_owner(ciphertext, stream));
  }

  // By the definition.

  BigInteger modulus(int level) const { return integers.modulus(level); }
  /// The polynomials, coefficients in [0, Q).
  std::vector<bfv::Polynomial> integers_of(const he::bfv::Ciphertext& c) const {
    return integers.polynomials(c.view(), c.level());
  }
  /// A ciphertext with any polynomials and any claim about its noise.
  he::bfv::Ciphertext ciphertext_of(const std::vector<bfv::Polynomial>& polynomials, int level,
                                    const he::bfv::NoiseBound& noise) const {
    return {context,
            secret->id(),
            to_backend(integers.words(polynomials, level), stream),
            static_cast<int>(polynomials.size()),
            level,
            noise,
            he::History::kKnown};
  }
  bfv::Polynomial phase_of(const he::bfv::Ciphertext& c) const {
    return bfv::phase(integers_of(c), s, modulus(c.level()));
  }
  /// The definition holds, and the library measures and decrypts what it says.
  void expect_holds(const he::bfv::Ciphertext& c, const Integers& expected) const {
    BigInteger largest;
    ASSERT_NO_FATAL_FAILURE(expect_definition_holds(integers, c, s, expected, largest));
    const double measured = decryptor.noise_budget_for_owner(c, stream);
    ASSERT_LE(c.noise_budget_estimate(), measured);
    const BigInteger q = modulus(c.level());
    ASSERT_NEAR(
        measured,
        static_cast<double>(std::log2(q.convert_to<long double>()) - 1.0L -
                            std::log2(std::max(largest, BigInteger(1)).convert_to<long double>())),
        1e-6);
    const Integers values = decrypt(c);
    for (std::size_t i = 0; i < n(); ++i) ASSERT_EQ(values[i], expected[i]) << "coefficient " << i;
  }
  Integers modulo_t(const bfv::Polynomial& a) const { return velum::testing::modulo_t(a, t()); }

  Stream stream;
  std::shared_ptr<he::Randomness> randomness;
  std::shared_ptr<const he::Context> context;
  he::KeyGenerator generator;
  std::shared_ptr<const he::SecretKey> secret;
  std::shared_ptr<const he::PublicKey> public_key;
  he::RelinearizationKey relinearization;
  he::GaloisKeys galois;
  he::bfv::CoefficientEncoder encoder;
  he::bfv::Encryptor encryptor;
  he::bfv::SymmetricEncryptor symmetric;
  he::bfv::Decryptor decryptor;
  he::bfv::Evaluator evaluator;
  RingIntegers integers;
  std::mt19937_64 bits;
  bfv::Polynomial s;
};

inline bfv::Polynomial polynomial_of(const Integers& values) {
  return {values.begin(), values.end()};
}

template <typename Call>
std::string refusal_of(const Call& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace velum::testing
