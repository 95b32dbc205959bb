// Keys that several hold together, for CKKS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "he_fixture.h"
#include "ring_integers.h"
#include "threshold_fixture.h"

namespace velum::he::threshold {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;
using velum::testing::bfv::Polynomial;

Parameters parameters_for(int parties, int log_n) {
  return ParametersBuilder()
      .log_n(log_n)
      .scale_bits(45)
      .depth(2)
      .dnum(3)
      .parties(parties)
      .insecure_without_security_check()
      .build();
}

struct CkksGroup : ThresholdGroup {
  CkksGroup(Backend backend, int n, int t, int log_n = 5, int statistical_bits = 40)
      : CkksGroup(make_stream(backend), n, t, log_n, statistical_bits) {}
  CkksGroup(const Stream& on, int n, int t, int log_n, int statistical_bits)
      : ThresholdGroup(Context::create(parameters_for(n, log_n), on), on,
                       static_cast<std::uint64_t>(10 * n + t),
                       {n, t, {.statistical_bits = statistical_bits}}),
        encryptor(public_key(), randomness),
        encoder(context),
        evaluator(context),
        bits(7) {
    if (t < n) share_secrets();
  }

  Complexes random_slots() {
    std::uniform_real_distribution<double> uniform(-0.7, 0.7);
    Complexes slots(static_cast<std::size_t>(context->degree() / 2));
    for (auto& slot : slots) slot = {uniform(bits), uniform(bits)};
    return slots;
  }
  Ciphertext encrypt(const Complexes& slots, int scale_bits) const {
    return encryptor.encrypt(encoder.encode(Span<const std::complex<double>>(slots), stream,
                                            {.scale = std::ldexp(1.0, scale_bits)}),
                             stream);
  }
  /// Decrypts, and holds the result to what its estimate says.
  void expect_decrypts(const Ciphertext& c, const std::vector<int>& active, const Complexes& exact,
                       double precision_bits) {
    const Plaintext plaintext = combine_decryption(group, c, decryption_shares(c, active), stream);
    Complexes slots(exact.size());
    encoder.decode(plaintext, Span<std::complex<double>>(slots), stream);
    const SlotError error = error_between(slots, exact);
    EXPECT_LE(error.largest, plaintext.noise().slot_bound / plaintext.scale());
    // The mean of 32 squares or more is within a factor of 4 of the variance, but for a chance
    // below 10^-5; the smudging dominates the error, and its variance is known.
    const double estimated = std::sqrt(plaintext.noise().slot_variance) / plaintext.scale();
    EXPECT_LE(error.rms, 2.0 * estimated);
    EXPECT_GE(error.rms, estimated / 2.0);
    EXPECT_LE(error.largest, std::exp2(-precision_bits));
  }

  Encryptor encryptor;
  Encoder encoder;
  Evaluator evaluator;
  std::mt19937_64 bits;
};

class ThresholdCkksOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  int most_parties() const { return GetParam() == Backend::kCpu ? 5 : 3; }
};

TEST_P(ThresholdCkksOnEveryBackend, EverySetOfEnoughPartiesDecryptsInEveryOrder) {
  for (int n = 2; n <= most_parties(); ++n) {
    for (int t = 2; t <= n; ++t) {
      SCOPED_TRACE(std::to_string(t) + " of " + std::to_string(n));
      CkksGroup group(GetParam(), n, t);
      for (const std::vector<int>& active : subsets(n, t)) {
        const Complexes slots = group.random_slots();
        const Ciphertext c = group.encrypt(slots, 80);
        std::vector<DecryptionShare> shares = group.decryption_shares(c, active);
        const auto by_party = [](const auto& a, const auto& b) { return a.party() < b.party(); };
        std::vector<Word> first;
        do {
          const Plaintext message = combine_decryption(group.group, c, shares, group.stream);
          const auto view = message.view();
          const auto words =
              to_host(Span<const Word>(view.data, view.limbs * view.degree), group.stream);
          if (first.empty()) {
            first = words;
            Complexes decoded(slots.size());
            group.encoder.decode(message, Span<std::complex<double>>(decoded), group.stream);
            EXPECT_LE(error_between(decoded, slots).largest, 1e-5);
          }
          ASSERT_EQ(words, first);
        } while (std::next_permutation(shares.begin(), shares.end(), by_party));
      }
    }
  }
}

TEST_P(ThresholdCkksOnEveryBackend, SumsProductsAndRotationsDecryptWithinTheirEstimates) {
  const int log_n = GetParam() == Backend::kCpu ? 8 : 5;
  for (int n = 2; n <= most_parties(); ++n) {
    SCOPED_TRACE(n);
    CkksGroup group(GetParam(), n, 2, log_n, 20);
    const RelinearizationKey relinearization = group.relinearization_key();
    GaloisKeys galois;
    group.add_galois_key(galois, galois_element_of_rotation(log_n, 1));
    group.add_galois_key(galois, galois_element_of_conjugation(log_n));
    const Complexes x = group.random_slots(), y = group.random_slots();
    const Ciphertext a = group.encrypt(x, 60), b = group.encrypt(y, 60);
    const auto& evaluator = group.evaluator;
    const Stream& stream = group.stream;
    Complexes sum(x.size()), product(x.size()), rotated(x.size()), conjugated(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      sum[i] = x[i] + y[i];
      product[i] = x[i] * y[i];
      rotated[i] = x[(i + 1) % x.size()];
      conjugated[i] = std::conj(x[i]);
    }
    group.expect_decrypts(a, {1, 2}, x, 12.0);
    group.expect_decrypts(evaluator.add(a, b, stream), {1, n}, sum, 12.0);
    const Ciphertext times =
        evaluator.relinearize(evaluator.multiply(a, b, stream), relinearization, stream);
    EXPECT_EQ(times.history(), History::kKnown);
    group.expect_decrypts(evaluator.rescale(times, stream), {2, 1}, product, 12.0);
    group.expect_decrypts(evaluator.rotate(a, 1, galois, stream), {1, 2}, rotated, 12.0);
    group.expect_decrypts(evaluator.conjugate(a, galois, stream), {1, 2}, conjugated, 12.0);
  }
}

/// What the definition says of errors of collective keys, without any smudging: estimates of an
/// ordinary key would be too small by the root of n.
TEST_P(ThresholdCkksOnEveryBackend, ErrorsUnderCollectiveKeysAgreeWithTheirEstimates) {
  const bool cpu = GetParam() == Backend::kCpu;
  const int n = most_parties();
  CkksGroup group(GetParam(), n, n, cpu ? 8 : 5);
  const RingIntegers integers(group.context, group.stream);
  const RelinearizationKey relinearization = group.relinearization_key();
  const int top = group.context->parameters().max_level();
  const BigInteger q = integers.modulus(top);
  double squares = 0.0, slots = 0.0, expected = 0.0;
  for (int round = 0; round < (cpu ? 16 : 4); ++round) {
    // An encryption of zero: its phase is its error. The squares of all slots add up to N times
    // those of the coefficients.
    const Complexes zero(static_cast<std::size_t>(group.context->degree() / 2));
    const Ciphertext c = group.encrypt(zero, 60);
    const Polynomial error =
        velum::testing::bfv::phase(integers.polynomials(c.view(), top), group.s, q);
    EXPECT_LE(velum::testing::bfv::largest_slot(error), c.noise().slot_bound);
    for (const BigInteger& x : error) {
      const auto value = x.convert_to<double>();
      squares += value * value;
    }
    slots += 1.0;
    expected = c.noise().slot_variance;
    const Ciphertext product = group.evaluator.relinearize(
        group.evaluator.multiply(c, c, group.stream), relinearization, group.stream);
    const Polynomial of_product =
        velum::testing::bfv::phase(integers.polynomials(product.view(), top), group.s, q);
    EXPECT_LE(velum::testing::bfv::largest_slot(of_product), product.noise().slot_bound);
  }
  // The square of the norm of s has a standard deviation of some 2 / sqrt(N) of itself and weighs
  // half; of the others there are many. So within 0.2 (0.8 in the small ring of the emulated
  // device) but for a chance below 10^-4.
  EXPECT_NEAR(squares / slots / expected, 1.0, cpu ? 0.2 : 0.8);
}

TEST_P(ThresholdCkksOnEveryBackend, TheSumOfSharesIsSmudgedByTheVarianceThatIsSaid) {
  const bool cpu = GetParam() == Backend::kCpu;
  for (const int t : {2, 3}) {
    CkksGroup group(GetParam(), 3, t, cpu ? 8 : 5);
    const RingIntegers integers(group.context, group.stream);
    const int top = group.context->parameters().max_level();
    const BigInteger q = integers.modulus(top);
    double squares = 0.0, count = 0.0, variance = 0.0;
    for (int round = 0; round < 8; ++round) {
      const Ciphertext c = group.encrypt(group.random_slots(), 80);
      const Plaintext message =
          combine_decryption(group.group, c, group.decryption_shares(c, {1, 2, 3}), group.stream);
      const Polynomial exact =
          velum::testing::bfv::phase(integers.polynomials(c.view(), top), group.s, q);
      Polynomial noise = integers.polynomials(message.view(), top)[0];
      for (std::size_t i = 0; i < noise.size(); ++i) noise[i] -= exact[i];
      const Smudging smudging =
          smudging_for("test", group.context->parameters(), {.statistical_bits = 40},
                       c.noise().slot_bound, c.noise().slot_bound);
      EXPECT_GE(smudging.sigma, std::ldexp(c.noise().slot_bound, 40));
      EXPECT_LE(smudging.statistical_distance,
                0x1p-41 + static_cast<double>(group.context->degree()) * 0x1p-56);
      variance = 3.0 * smudging.sigma * smudging.sigma;
      for (const BigInteger& x : velum::testing::bfv::reduced(noise, q)) {
        const auto value = x.convert_to<double>();
        squares += value * value;
        count += 1.0;
      }
      EXPECT_NEAR((message.noise().slot_variance - c.noise().slot_variance) /
                      (static_cast<double>(group.context->degree()) * variance),
                  1.0, 1e-9);
    }
    // But for a chance below 2e-9.
    EXPECT_NEAR(squares / count / variance, 1.0, 6.0 * std::sqrt(2.0 / count));
  }
}

TEST_P(ThresholdCkksOnEveryBackend, WhatCannotBeDecryptedSafelyIsRefused) {
  CkksGroup group(GetParam(), 3, 2);
  const Stream& stream = group.stream;
  Party& party = group.parties[0];
  const auto refusal = [&](const Ciphertext& c) {
    return error_of([&] { party.decryption_share(c, {1, 2}, stream); });
  };
  const Ciphertext small = group.encrypt(group.random_slots(), 45);
  EXPECT_THAT(refusal(small), ::testing::AllOf(HasSubstr("Party::decryption_share: an error of up"),
                                               HasSubstr("is hidden by 2 shares"),
                                               HasSubstr("encode at a larger scale")));
  const Ciphertext c = group.encrypt(group.random_slots(), 80);
  EXPECT_THAT(refusal(group.evaluator.multiply(small, small, stream)),
              HasSubstr("has 3 polynomials, expected 2; relinearize first"));
  const auto view = c.view();
  const Ciphertext loaded(
      group.context, c.key_id(),
      to_backend(
          to_host(Span<const Word>(view.data, view.polys * view.limbs * view.degree), stream),
          stream),
      2, c.level(), c.scale(), c.noise(), History::kUnknown);
  EXPECT_THAT(refusal(loaded), HasSubstr("nothing shows that its noise bound holds"));
  EXPECT_EQ(refusal(c), "no error");
  // Whatever else is said of it, it is the same ciphertext.
  Ciphertext renamed = c.copy(stream);
  renamed.set_scale(c.scale() * 2.0);
  renamed.declare_message_bound(0.9);
  EXPECT_THAT(refusal(renamed), HasSubstr("a decryption share of this ciphertext was made before"));
  EXPECT_THROW(party.decryption_share(renamed, {1, 3}, stream), AlreadyUsed);
}

INSTANTIATE_TEST_SUITE_P(Backends, ThresholdCkksOnEveryBackend,
                         ::testing::ValuesIn(every_backend()), BackendName());

}  // namespace
}  // namespace velum::he::threshold
