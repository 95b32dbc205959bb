#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "support/every_backend.h"
#include "velum/he/ckks/encoder.h"
#include "velum/he/ckks/evaluator.h"
#include "velum/he/context.h"
#include "velum/he/decryptor.h"
#include "velum/he/encryptor.h"
#include "velum/he/key_generator.h"
#include "velum/he/parameters.h"

namespace velum::testing {

using Complexes = std::vector<std::complex<double>>;

/// A ring that is small and insecure: only for tests.
inline he::Parameters small_insecure_parameters(int log_n, int scale_bits, int depth,
                                                int dnum = 0) {
  he::ParametersBuilder builder;
  builder.log_n(log_n).scale_bits(scale_bits).depth(depth).insecure_without_security_check();
  if (dnum > 0) builder.dnum(dnum);
  return builder.build();
}

/// One scheme with all of its keys, on one backend. The seed decides all randomness.
struct Scheme {
  Scheme(he::Parameters parameters, Backend backend, std::uint64_t seed,
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
        decryptor(secret, randomness),
        evaluator(context) {}

  Complexes random_slots(std::uint64_t seed, double radius = 1.0) const {
    std::mt19937_64 bits(seed);
    std::uniform_real_distribution<double> uniform(-radius / std::sqrt(2.0),
                                                   radius / std::sqrt(2.0));
    Complexes slots(static_cast<std::size_t>(context->parameters().max_slots()));
    for (auto& slot : slots) slot = {uniform(bits), uniform(bits)};
    return slots;
  }
  he::Plaintext encode(const Complexes& slots, const he::EncodeOptions& options = {}) const {
    return encoder.encode(Span<const std::complex<double>>(slots), stream, options);
  }
  he::Ciphertext encrypt(const Complexes& slots, const he::EncodeOptions& options = {}) const {
    return encryptor.encrypt(encode(slots, options), stream);
  }
  Complexes decode(const he::Plaintext& plaintext) const {
    Complexes slots(static_cast<std::size_t>(context->parameters().max_slots()));
    encoder.decode(plaintext, Span<std::complex<double>>(slots), stream);
    return slots;
  }
  Complexes decrypt(const he::Ciphertext& ciphertext) const {
    return decode(decryptor.decrypt_for_owner(ciphertext, stream));
  }

  Stream stream;
  std::shared_ptr<he::Randomness> randomness;
  std::shared_ptr<const he::Context> context;
  he::KeyGenerator generator;
  std::shared_ptr<const he::SecretKey> secret;
  std::shared_ptr<const he::PublicKey> public_key;
  he::RelinearizationKey relinearization;
  he::GaloisKeys galois;
  he::Encoder encoder;
  he::Encryptor encryptor;
  he::SymmetricEncryptor symmetric;
  he::Decryptor decryptor;
  he::Evaluator evaluator;
};

struct SlotError {
  double rms;
  double largest;
};

inline SlotError error_between(const Complexes& computed, const Complexes& exact) {
  SlotError error{0.0, 0.0};
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double distance = std::abs(computed[i] - exact[i]);
    error.rms += distance * distance;
    error.largest = std::max(error.largest, distance);
  }
  error.rms = std::sqrt(error.rms / static_cast<double>(exact.size()));
  return error;
}

/// What the ciphertext says of its error holds: the largest slot error within its bound, and the
/// root mean square within `factor` of its estimate, unless the estimate is itself only an upper
/// one.
inline void expect_estimate_holds(const he::Ciphertext& ciphertext, const SlotError& error,
                                  double factor = 1.5, bool both_sides = true) {
  EXPECT_LE(error.largest, ciphertext.noise().slot_bound / ciphertext.scale());
  EXPECT_LE(error.rms, factor * ciphertext.estimated_error());
  if (both_sides) {
    EXPECT_GE(error.rms, ciphertext.estimated_error() / factor);
  }
}

template <typename Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace velum::testing
