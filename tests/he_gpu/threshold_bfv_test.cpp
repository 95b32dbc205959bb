// Keys that several hold together, for BFV: held to the definition under the sum of their secrets,
// which nobody but the test knows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "bfv_fixture.h"
#include "threshold_fixture.h"

namespace velum::he::threshold {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;
using velum::testing::bfv::Polynomial;

Parameters parameters_for(int parties, int log_n = 4, int modulus_bits = 180) {
  return ParametersBuilder()
      .log_n(log_n)
      .plaintext_modulus(97)
      .modulus_bits(modulus_bits)
      .dnum(3)
      .parties(parties)
      .insecure_without_security_check()
      .build();
}

/// A group that can encrypt, and decrypt.
struct BfvGroup : ThresholdGroup {
  BfvGroup(Backend backend, int n, int t, int log_n = 4, int modulus_bits = 180,
           int statistical_bits = 40)
      : BfvGroup(make_stream(backend), n, t, log_n, modulus_bits, statistical_bits) {}
  BfvGroup(const Stream& on, int n, int t, int log_n, int modulus_bits, int statistical_bits)
      : ThresholdGroup(Context::create(parameters_for(n, log_n, modulus_bits), on), on,
                       static_cast<std::uint64_t>(100 * n + t),
                       {n, t, {.statistical_bits = statistical_bits}}),
        key(public_key()),
        encryptor(key, randomness),
        encoder(context),
        evaluator(context),
        integers(context, stream),
        bits(static_cast<std::uint64_t>(n)) {
    if (t < n) share_secrets();
  }

  std::uint64_t t() const { return context->parameters().plaintext_modulus(); }
  Integers random_message() { return random_bfv_message(s.size(), t(), bits); }
  bfv::Ciphertext encrypt(const Integers& values, int level = -1) const {
    return encryptor.encrypt(encoder.encode(Span<const std::int64_t>(values), stream), stream,
                             {.level = level});
  }
  Integers combine(const bfv::Ciphertext& c, const std::vector<DecryptionShare>& shares) const {
    Integers values(s.size());
    encoder.decode(combine_decryption(group, c, shares, stream), Span<std::int64_t>(values),
                   stream);
    return values;
  }
  Integers decrypt(const bfv::Ciphertext& c, const std::vector<int>& active) {
    return combine(c, decryption_shares(c, active));
  }
  void expect_holds(const bfv::Ciphertext& c, const Integers& expected) const {
    BigInteger largest;
    ASSERT_NO_FATAL_FAILURE(expect_definition_holds(integers, c, s, expected, largest));
  }
  /// share - factor c_1 secret, centred modulo Q.
  Polynomial noise_of(const DecryptionShare& share, const bfv::Ciphertext& c,
                      const Polynomial& secret) const {
    const BigInteger q = integers.modulus(c.level());
    const Polynomial c1 = integers.polynomials(c.view(), c.level())[1];
    const Polynomial product = velum::testing::bfv::multiply(c1, secret);
    Polynomial noise = integers.polynomials(share.view(), c.level())[0];
    for (std::size_t i = 0; i < noise.size(); ++i) noise[i] -= product[i];
    return velum::testing::bfv::reduced(noise, q);
  }
  Polynomial secret_of(int party) const {
    Polynomial out;
    for (const std::int8_t x :
         parties[static_cast<std::size_t>(party) - 1].secrets().key.export_coefficients_secret(
             stream))
      out.emplace_back(x);
    return out;
  }

  std::shared_ptr<const PublicKey> key;
  bfv::Encryptor encryptor;
  bfv::CoefficientEncoder encoder;
  bfv::Evaluator evaluator;
  RingIntegers integers;
  std::mt19937_64 bits;
};

class ThresholdBfvOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  int most_parties() const { return GetParam() == Backend::kCpu ? 5 : 3; }
};

TEST_P(ThresholdBfvOnEveryBackend, EverySetOfEnoughPartiesDecryptsInEveryOrder) {
  for (int n = 2; n <= most_parties(); ++n) {
    for (int t = 2; t <= n; ++t) {
      SCOPED_TRACE(std::to_string(t) + " of " + std::to_string(n));
      BfvGroup group(GetParam(), n, t);
      for (std::vector<int> active : subsets(n, t)) {
        const Integers message = group.random_message();
        const bfv::Ciphertext c = group.encrypt(message);
        ASSERT_NO_FATAL_FAILURE(group.expect_holds(c, message));
        // Whoever asks may name the active parties in any order.
        std::reverse(active.begin(), active.end());
        std::vector<DecryptionShare> shares = group.decryption_shares(c, active);
        const auto by_party = [](const auto& a, const auto& b) { return a.party() < b.party(); };
        std::sort(shares.begin(), shares.end(), by_party);
        do {
          ASSERT_EQ(group.combine(c, shares), message);
        } while (std::next_permutation(shares.begin(), shares.end(), by_party));
      }
    }
  }
}

TEST_P(ThresholdBfvOnEveryBackend, SumsProductsAndRotationsDecryptWithinTheirBounds) {
  for (int n = 2; n <= most_parties(); ++n) {
    SCOPED_TRACE(n);
    BfvGroup group(GetParam(), n, 2, 4, 240);
    const RelinearizationKey relinearization = group.relinearization_key();
    GaloisKeys galois;
    for (const std::uint32_t element : {3U, 5U, 31U}) group.add_galois_key(galois, element);
    const auto& evaluator = group.evaluator;
    const Stream& stream = group.stream;
    for (int round = 0; round < (GetParam() == Backend::kCpu ? 20 : 1); ++round) {
      const Integers x = group.random_message(), y = group.random_message();
      const bfv::Ciphertext a = group.encrypt(x), b = group.encrypt(y);
      const bfv::Ciphertext sum = evaluator.add(a, b, stream);
      const Polynomial big_x = polynomial_of(x), big_y = polynomial_of(y);
      const Integers of_sum = modulo_t(velum::testing::bfv::add(big_x, big_y), group.t());
      ASSERT_NO_FATAL_FAILURE(group.expect_holds(sum, of_sum));
      const bfv::Ciphertext product = evaluator.multiply(a, b, stream);
      const Integers of_product = modulo_t(velum::testing::bfv::multiply(big_x, big_y), group.t());
      ASSERT_NO_FATAL_FAILURE(group.expect_holds(product, of_product));
      const bfv::Ciphertext relinearized = evaluator.relinearize(product, relinearization, stream);
      ASSERT_NO_FATAL_FAILURE(group.expect_holds(relinearized, of_product));
      const bfv::Ciphertext low =
          evaluator.mod_switch_to(relinearized, relinearized.level() - 2, stream);
      ASSERT_NO_FATAL_FAILURE(group.expect_holds(low, of_product));
      ASSERT_EQ(group.decrypt(sum, {1, 2}), of_sum);
      ASSERT_EQ(group.decrypt(relinearized, {n, 1}), of_product);
      ASSERT_EQ(group.decrypt(low, {1, 2}), of_product);
      for (const auto& [element, key] : galois.keys) {
        const bfv::Ciphertext image = evaluator.apply_automorphism(a, element, galois, stream);
        const Integers of_image =
            modulo_t(velum::testing::bfv::automorphism(big_x, element), group.t());
        ASSERT_NO_FATAL_FAILURE(group.expect_holds(image, of_image));
        ASSERT_EQ(group.decrypt(image, {2, 1}), of_image);
      }
      ASSERT_EQ(relinearized.history(), History::kKnown);
    }
  }
}

/// The noise of a relinearisation alone: c_0 = c_1 = 0, c_2 uniform.
TEST_P(ThresholdBfvOnEveryBackend, RelinearisationHasABoundOfItsOwn) {
  const int n = most_parties();
  // Digits of nearly the size of P, so that the errors of the key matter.
  BfvGroup group(GetParam(), n, n, GetParam() == Backend::kCpu ? 6 : 4, 177);
  const RelinearizationKey key = group.relinearization_key();
  const Context& context = *group.context;
  const int top = context.parameters().max_level();
  const BigInteger q = group.integers.modulus(top);
  double largest = 0.0, bound = 0.0;
  for (int round = 0; round < 4; ++round) {
    std::vector<Polynomial> polynomials(3, Polynomial(group.s.size(), 0));
    for (BigInteger& x : polynomials[2]) {
      for (int i = 0; i < 4; ++i) x = modulo((x << 64) + group.bits(), q);
    }
    const bfv::Ciphertext c(group.context, group.group.key_id(),
                            to_backend(group.integers.words(polynomials, top), group.stream), 3,
                            top, {1e-9, 1e-9}, History::kKnown);
    const bfv::Ciphertext out = group.evaluator.relinearize(c, key, group.stream);
    const Polynomial before =
        velum::testing::bfv::phase(group.integers.polynomials(c.view(), top), group.s, q);
    const Polynomial after =
        velum::testing::bfv::phase(group.integers.polynomials(out.view(), top), group.s, q);
    Polynomial noise = after;
    for (std::size_t i = 0; i < noise.size(); ++i) noise[i] -= before[i];
    noise = velum::testing::bfv::reduced(noise, q);
    largest = std::max(largest, velum::testing::bfv::largest(noise).convert_to<double>());
    bound = out.noise().coefficient;
    ASSERT_LE(largest, bound);
    ASSERT_LE(velum::testing::bfv::largest_slot(noise), out.noise().slot);
  }
  EXPECT_GE(largest, bound / 128.0);  // 11 and 8 standard deviations where 2 or 3 and 1 occur
  if (GetParam() == Backend::kCpu) {
    // The bound of other keys would be too small.
    GaloisKeys galois;
    group.add_galois_key(galois, 3);
    const bfv::Ciphertext zero(
        group.context, group.group.key_id(),
        to_backend(
            group.integers.words(std::vector<Polynomial>(2, Polynomial(group.s.size(), 0)), top),
            group.stream),
        2, top, {1e-9, 1e-9}, History::kKnown);
    EXPECT_GT(
        largest,
        group.evaluator.apply_automorphism(zero, 3, galois, group.stream).noise().coefficient);
  }
}

TEST_P(ThresholdBfvOnEveryBackend, FewerThanEnoughPartiesAndGarbageDoNotDecrypt) {
  BfvGroup group(GetParam(), 3, 2);
  const Integers message = group.random_message();
  const bfv::Ciphertext c = group.encrypt(message);
  std::vector<DecryptionShare> shares = group.decryption_shares(c, {1, 3});
  ASSERT_EQ(group.combine(c, shares), message);
  // One share, and in place of the other one zeros, or the first again under another name.
  const DecryptionShare& first = shares.front();
  std::vector<DecryptionShare> forged;
  const auto copy = [&](const DecryptionShare& share, int party) {
    return DecryptionShare(retold(share, group.stream, share.group(), party, share.subject()),
                           share.level(), share.active());
  };
  forged.push_back(copy(first, 1));
  forged.push_back(copy(first, 3));
  EXPECT_NE(group.combine(c, forged), message);
  forged.pop_back();
  const std::vector<Word> zeros(static_cast<std::size_t>(first.view().limbs * first.view().degree));
  forged.emplace_back(Message(first.context(), first.group(), 3, first.subject(),
                              to_backend(zeros, group.stream), 1, first.view().limbs),
                      first.level(), first.active());
  EXPECT_NE(group.combine(c, forged), message);
}

/// Variances of M draws are off by a factor within 1 +- 6 sqrt(2/M), but for a chance below 2e-9.
TEST_P(ThresholdBfvOnEveryBackend, SharesOfAllAreSmudgedByTheVarianceThatIsSaid) {
  const bool cpu = GetParam() == Backend::kCpu;
  BfvGroup group(GetParam(), 2, 2, cpu ? 7 : 4);
  double squares = 0.0, count = 0.0, expected = 0.0;
  for (int round = 0; round < (cpu ? 16 : 4); ++round) {
    const bfv::Ciphertext c = group.encrypt(group.random_message());
    const Smudging smudging =
        smudging_for("test", group.context->parameters(), group.group.shape().smudging,
                     c.noise().coefficient, c.noise().slot);
    EXPECT_GE(smudging.sigma, std::ldexp(c.noise().coefficient, 40));
    expected = smudging.sigma * smudging.sigma;
    for (const DecryptionShare& share : group.decryption_shares(c, {1, 2})) {
      for (const BigInteger& x : group.noise_of(share, c, group.secret_of(share.party()))) {
        const auto noise = x.convert_to<double>();
        EXPECT_LE(std::abs(noise), smudging.largest);
        squares += noise * noise;
        count += 1.0;
      }
    }
  }
  EXPECT_NEAR(squares / count / expected, 1.0, 6.0 * std::sqrt(2.0 / count));
}

/// What fewer than all send is uniform each by itself, and smudged in sum.
TEST_P(ThresholdBfvOnEveryBackend, SharesOfSomeAreMaskedAndTheirSumIsSmudged) {
  const bool cpu = GetParam() == Backend::kCpu;
  BfvGroup group(GetParam(), 3, 2, cpu ? 7 : 4);
  double squares = 0.0, count = 0.0, expected = 0.0;
  for (int round = 0; round < (cpu ? 16 : 4); ++round) {
    const bfv::Ciphertext c = group.encrypt(group.random_message());
    const BigInteger q = group.integers.modulus(c.level());
    const Smudging smudging =
        smudging_for("test", group.context->parameters(), group.group.shape().smudging,
                     c.noise().coefficient, c.noise().slot);
    const std::vector<int> active{1, 2, 3};
    Polynomial sum(group.s.size(), 0);
    for (const DecryptionShare& share : group.decryption_shares(c, active)) {
      // lambda f(i) by Chinese remainders.
      const auto index = static_cast<std::size_t>(share.party()) - 1;
      const auto factors = lagrange_at_zero(*group.context, c.level(), active, share.party());
      const ChineseRemainders remainders(group.integers.moduli(c.level()));
      std::vector<BigInteger> residues(factors.begin(), factors.end());
      const BigInteger lambda = remainders.number(residues);
      Polynomial secret = group.integers.polynomials(
          group.parties[index].secrets().share->view(c.level()), c.level())[0];
      for (BigInteger& x : secret) x = modulo(x * lambda, q);
      const Polynomial noise = group.noise_of(share, c, secret);
      // Of N uniform numbers below Q all are below Q/8 with a chance of 4^-N.
      EXPECT_GT(velum::testing::bfv::largest(noise), q / 8);
      sum = velum::testing::bfv::add(sum, noise);
    }
    expected = 3.0 * smudging.sigma * smudging.sigma;
    for (const BigInteger& x : velum::testing::bfv::reduced(sum, q)) {
      const auto noise = x.convert_to<double>();
      EXPECT_LE(std::abs(noise), 3.0 * smudging.largest);
      squares += noise * noise;
      count += 1.0;
    }
  }
  EXPECT_NEAR(squares / count / expected, 1.0, 6.0 * std::sqrt(2.0 / count));
}

TEST_P(ThresholdBfvOnEveryBackend, MasksOfDifferentActivePartiesDoNotCancel) {
  BfvGroup group(GetParam(), 3, 2);
  const Integers message = group.random_message();
  const bfv::Ciphertext c = group.encrypt(message);
  std::vector<DecryptionShare> shares;
  shares.push_back(group.parties[0].decryption_share(c, {1, 2}, group.stream));
  shares.push_back(group.parties[1].decryption_share(c, {1, 2, 3}, group.stream));
  EXPECT_THAT(refusal_of([&] { group.combine(c, shares); }),
              HasSubstr("combine_decryption: the share of party 2 is for the active parties 1, 2, "
                        "3, that of party 1 for 1, 2"));
  std::vector<DecryptionShare> renamed;
  renamed.push_back(std::move(shares[0]));
  renamed.emplace_back(retold(shares[1], group.stream, shares[1].group(), 2, shares[1].subject()),
                       c.level(), std::vector<int>{1, 2});
  EXPECT_NE(group.combine(c, renamed), message);
}

TEST_P(ThresholdBfvOnEveryBackend, MessagesAreTheSameOnEveryBackend) {
  const auto words = [](Backend backend) {
    BfvGroup group(backend, 3, 2);
    std::vector<Word> all;
    const auto take = [&](const RnsView<const Word>& view) {
      const auto host =
          to_host(Span<const Word>(view.data, view.polys * view.limbs * view.degree), group.stream);
      all.insert(all.end(), host.begin(), host.end());
    };
    take(group.key->view());
    take(group.relinearization_key().key.view());
    GaloisKeys galois;
    group.add_galois_key(galois, 5);
    take(galois.at(5).view());
    const bfv::Ciphertext c = group.encrypt(group.random_message());
    for (const auto& share : group.decryption_shares(c, {1, 3})) take(share.view());
    return all;
  };
  EXPECT_EQ(words(GetParam()), words(Backend::kCpu));
}

TEST_P(ThresholdBfvOnEveryBackend, EverythingIsMadeOnce) {
  BfvGroup group(GetParam(), 3, 2);
  Party& party = group.parties[0];
  const Stream& stream = group.stream;
  const bfv::Ciphertext c = group.encrypt(group.random_message());
  party.decryption_share(c, {1, 2}, stream);
  const auto refusal = [&](const bfv::Ciphertext& ciphertext, const std::vector<int>& active) {
    EXPECT_THROW(party.decryption_share(ciphertext, active, stream), AlreadyUsed);
    return refusal_of([&] { party.decryption_share(ciphertext, active, stream); });
  };
  EXPECT_THAT(refusal(c, {1, 2}),
              HasSubstr("Party::decryption_share: a decryption share of this ciphertext was made "
                        "before"));
  // Neither other company nor a copy makes it another ciphertext.
  EXPECT_THAT(refusal(c, {1, 3}), HasSubstr("was made before"));
  EXPECT_THAT(refusal(c.copy(stream), {1, 2, 3}), HasSubstr("was made before"));
  group.parties[1].decryption_share(c, {1, 2}, stream);
  party.decryption_share(group.evaluator.negate(c, stream), {1, 2}, stream);

  EXPECT_THROW(party.public_key_share(stream), AlreadyUsed);
  EXPECT_THROW(party.deal_secret_shares(stream), AlreadyUsed);
  party.galois_key_share(3, stream);
  EXPECT_THAT(refusal_of([&] { party.galois_key_share(3, stream); }),
              HasSubstr("a share of this Galois key was made before"));
  party.galois_key_share(5, stream);
  const RelinearizationKey key = group.relinearization_key();
  EXPECT_THROW(party.relinearization_share_one(stream), AlreadyUsed);
}

TEST_P(ThresholdBfvOnEveryBackend, ARegisterThatFailsStopsTheShare) {
  const Stream stream = make_stream(GetParam());
  const auto context = Context::create(parameters_for(2), stream);
  const Group group = Group::create(context, {.parties = 2, .threshold = 2});
  Party party(
      group, 1,
      [](std::string_view, const Digest&) -> bool { throw std::runtime_error("the disk is full"); },
      stream);
  EXPECT_EQ(refusal_of([&] { party.public_key_share(stream); }), "the disk is full");
}

TEST_P(ThresholdBfvOnEveryBackend, BadSharesOfADecryptionAreRefusedByName) {
  BfvGroup group(GetParam(), 4, 2);
  BfvGroup stranger(GetParam(), 4, 3);
  const bfv::Ciphertext c = group.encrypt(group.random_message());
  const bfv::Ciphertext other = group.encrypt(group.random_message());
  const std::vector<int> active{1, 2, 4};
  const std::vector<DecryptionShare> good = group.decryption_shares(c, active);
  const std::vector<DecryptionShare> of_other = group.decryption_shares(other, active);
  const auto said = [&](const DecryptionShare& share, const Digest& from, int party,
                        const Digest& subject, int limbs = -1) {
    Message message = retold(share, group.stream, from, party, subject);
    if (limbs >= 0) {
      message =
          Message(message.context(), from, party, subject,
                  to_backend(std::vector<Word>(static_cast<std::size_t>(limbs) * 16), group.stream),
                  1, limbs);
    }
    return DecryptionShare(std::move(message), c.level(), active);
  };
  const auto refusal = [&](int at, DecryptionShare bad) {
    std::vector<DecryptionShare> shares;
    for (std::size_t i = 0; i < good.size(); ++i) {
      shares.push_back(static_cast<int>(i) == at
                           ? std::move(bad)
                           : said(good[i], good[i].group(), good[i].party(), good[i].subject()));
    }
    return refusal_of([&] { group.combine(c, shares); });
  };
  const Digest id = group.group.id(), subject = good[0].subject();
  for (int at = 0; at < 3; ++at) {
    const auto i = static_cast<std::size_t>(at);
    const std::string who = "the share of party " + std::to_string(active[i]);
    EXPECT_EQ(refusal(at, said(good[i], id, active[i], subject)), "no error");
    EXPECT_THAT(refusal(at, said(good[i], stranger.group.id(), active[i], subject)),
                HasSubstr("combine_decryption: " + who + " is of group "));
    EXPECT_THAT(refusal(at, said(good[i], id, active[(i + 1) % 3], subject)),
                HasSubstr("there are two shares of party " + std::to_string(active[(i + 1) % 3])));
    EXPECT_THAT(refusal(at, said(good[i], id, 3, subject)),
                HasSubstr("there is a share of party 3, expected those of 1, 2, 4"));
    EXPECT_THAT(refusal(at, said(of_other[i], id, active[i], of_other[i].subject())),
                HasSubstr(who + " is of another ciphertext: it names "));
    EXPECT_THAT(refusal(at, said(good[i], id, active[i], subject, 2)),
                HasSubstr(who + " has 1 polynomials of 2 limbs, expected 1 of 6"));
  }
  std::vector<DecryptionShare> shares;
  EXPECT_THAT(refusal_of([&] { group.combine(c, shares); }), HasSubstr("there are no shares"));
  shares.push_back(said(good[0], id, 1, subject));
  shares.push_back(said(good[2], id, 4, subject));
  EXPECT_THAT(refusal_of([&] { group.combine(c, shares); }),
              HasSubstr("the share of party 2 is missing"));
  for (const auto& share : good) shares.push_back(said(share, id, share.party(), subject));
  EXPECT_THAT(refusal_of([&] { group.combine(c, shares); }),
              HasSubstr("there are two shares of party 1"));
}

TEST_P(ThresholdBfvOnEveryBackend, BadSharesOfKeysAreRefusedByName) {
  const Stream stream = make_stream(GetParam());
  const auto context = Context::create(parameters_for(3), stream);
  ThresholdGroup a(context, stream, 1, {3, 3}), b(context, stream, 2, {3, 3});
  std::vector<PublicKeyShare> keys, strange_keys;
  std::vector<RelinearizationShareOne> ones, strange_ones;
  std::vector<GaloisKeyShare> threes, fives;
  for (auto& party : a.parties) {
    keys.push_back(party.public_key_share(stream));
    ones.push_back(party.relinearization_share_one(stream));
    threes.push_back(party.galois_key_share(3, stream));
    fives.push_back(party.galois_key_share(5, stream));
  }
  for (auto& party : b.parties) {
    strange_keys.push_back(party.public_key_share(stream));
    strange_ones.push_back(party.relinearization_share_one(stream));
  }
  const auto key = [&] { return refusal_of([&] { combine_public_key(a.group, keys, stream); }); };
  EXPECT_EQ(key(), "no error");
  std::swap(keys[1], strange_keys[1]);
  EXPECT_THAT(key(), HasSubstr("combine_public_key: the share of party 2 is of group " +
                               to_string(ParametersId(b.group.id()))));
  std::swap(keys[1], strange_keys[1]);
  PublicKeyShare last = std::move(keys.back());
  keys.pop_back();
  EXPECT_THAT(key(), HasSubstr("the share of party 3 is missing"));
  keys.push_back(PublicKeyShare(retold(keys[0], stream, a.group.id(), 1, Digest{})));
  EXPECT_THAT(key(), HasSubstr("there are two shares of party 1"));
  keys.back() = PublicKeyShare(retold(keys[0], stream, a.group.id(), 4, Digest{}));
  EXPECT_THAT(key(), HasSubstr("there is a share of party 4, expected those of 1, 2, 3"));

  std::swap(ones[2], strange_ones[2]);
  EXPECT_THAT(refusal_of([&] { combine_round_one(a.group, ones, stream); }),
              HasSubstr("combine_round_one: the share of party 3 is of group"));
  std::swap(ones[2], strange_ones[2]);
  const RelinearizationRoundOne sum = combine_round_one(a.group, ones, stream);
  const RelinearizationRoundOne strange = combine_round_one(b.group, strange_ones, stream);
  EXPECT_THAT(refusal_of([&] { a.parties[0].relinearization_share_two(strange, stream); }),
              HasSubstr("Party::relinearization_share_two: the first round is of group"));
  std::vector<RelinearizationShareTwo> twos;
  for (auto& party : a.parties) twos.push_back(party.relinearization_share_two(sum, stream));
  EXPECT_THAT(refusal_of([&] { a.parties[0].relinearization_share_two(sum, stream); }),
              HasSubstr("has made no first share in this process, or the second already"));
  RelinearizationShareTwo third = std::move(twos.back());
  twos.pop_back();
  const auto relinearization = [&] {
    return refusal_of([&] { combine_relinearization_key(a.group, sum, twos, stream); });
  };
  EXPECT_THAT(relinearization(), HasSubstr("the share of party 3 is missing"));
  twos.push_back(
      RelinearizationShareTwo(retold(third, stream, a.group.id(), 3, strange.subject())));
  EXPECT_THAT(relinearization(), HasSubstr("the share of party 3 is of another first round"));
  twos.back() = std::move(third);
  EXPECT_EQ(relinearization(), "no error");

  const auto galois = [&] {
    return refusal_of([&] { combine_galois_key(a.group, threes, stream); });
  };
  std::swap(threes[1], fives[1]);
  EXPECT_THAT(galois(), HasSubstr("the share of party 2 is for the Galois element 5, that of party "
                                  "1 for 3"));
  threes[1] = GaloisKeyShare(retold(threes[1], stream, a.group.id(), 2, threes[1].subject()), 3);
  EXPECT_THAT(galois(), HasSubstr("the share of party 2 is of another Galois element"));
  std::swap(threes[1], fives[1]);
  EXPECT_EQ(galois(), "no error");
  threes.pop_back();
  EXPECT_THAT(galois(), HasSubstr("the share of party 3 is missing"));
  threes.clear();
  EXPECT_THAT(galois(), HasSubstr("there are no shares"));
}

TEST_P(ThresholdBfvOnEveryBackend, BadSharesOfSecretsAreRefusedByName) {
  const Stream stream = make_stream(GetParam());
  const auto context = Context::create(parameters_for(3), stream);
  ThresholdGroup a(context, stream, 3, {3, 2}), b(context, stream, 4, {3, 2});
  const auto dealt = [&](ThresholdGroup& group) {
    std::vector<std::vector<SecretShare>> out;
    for (auto& party : group.parties) out.push_back(party.deal_secret_shares(stream));
    return out;
  };
  EXPECT_THAT(refusal_of([&] { a.parties[0].receive_secret_shares({}, stream); }),
              HasSubstr("this party has dealt none yet"));
  auto mine = dealt(a), strange = dealt(b);
  const auto copy = [&](const SecretShare& share) {
    SecretPolynomial value(context, stream);
    value.add(share.value(), stream);
    return SecretShare(share.group(), share.dealer(), share.receiver(), std::move(value),
                       share.pair_secret());
  };
  const auto refusal = [&](const std::vector<const SecretShare*>& shares) {
    std::vector<SecretShare> copies;
    for (const SecretShare* share : shares) copies.push_back(copy(*share));
    return refusal_of([&] { a.parties[0].receive_secret_shares(std::move(copies), stream); });
  };
  EXPECT_THAT(refusal({&mine[0][0], &mine[1][0]}), HasSubstr("the share of party 3 is missing"));
  EXPECT_THAT(refusal({&mine[0][0], &mine[1][0], &mine[1][0]}),
              HasSubstr("there are two shares of party 2"));
  EXPECT_THAT(refusal({&mine[0][0], &mine[1][1], &mine[2][0]}),
              HasSubstr("a share of party 2 is for party 2, this is party 1"));
  EXPECT_THAT(refusal({&mine[0][0], &mine[1][0], &strange[2][0]}),
              HasSubstr("Party::receive_secret_shares: a share is of group "));
  const SecretShare fourth(a.group.id(), 4, 1, SecretPolynomial(context, stream), {});
  EXPECT_THAT(refusal({&mine[0][0], &mine[1][0], &fourth}),
              HasSubstr("a share is of party 4, expected 1 to 3"));
  EXPECT_FALSE(a.parties[0].ready_to_decrypt());
  EXPECT_EQ(refusal({&mine[2][0], &mine[0][0], &mine[1][0]}), "no error");
  EXPECT_TRUE(a.parties[0].ready_to_decrypt());
  EXPECT_THAT(refusal({&mine[2][0], &mine[0][0], &mine[1][0]}),
              HasSubstr("this party has received shares already"));
}

TEST_P(ThresholdBfvOnEveryBackend, WhatIsNoShapeOfAGroupIsRefused) {
  const Stream stream = make_stream(GetParam());
  const auto context = Context::create(parameters_for(4), stream);
  const auto group = [&](const GroupShape& shape) {
    return refusal_of([&] { Group::create(context, shape); });
  };
  EXPECT_THAT(group({5, 2}), HasSubstr("Group: parties = 5, expected 2 to what the parameters are "
                                       "made for, 4; ParametersBuilder::parties"));
  EXPECT_THAT(group({1, 1}), HasSubstr("parties = 1, expected 2"));
  EXPECT_THAT(group({3, 1}), HasSubstr("threshold = 1, expected 2 to parties = 3"));
  EXPECT_THAT(group({3, 4}), HasSubstr("threshold = 4, expected 2 to parties = 3"));
  EXPECT_THAT(group({3, 2, {.statistical_bits = 9}}), HasSubstr("statistical_bits = 9"));
  const Group good = Group::create(context, {3, 2});
  const OnceRegister once = once_register_that_forgets_on_restart();
  EXPECT_THAT(refusal_of([&] { Party(good, 0, once, stream); }),
              HasSubstr("Party: index = 0, expected 1 to 3"));
  EXPECT_THAT(refusal_of([&] { Party(good, 4, once, stream); }), HasSubstr("index = 4"));
  EXPECT_THAT(refusal_of([&] { Party(good, 1, nullptr, stream); }), HasSubstr("once"));
  // Whatever is public of it is in its name.
  EXPECT_EQ(Group(context, {3, 2}, good.seed()).id(), good.id());
  EXPECT_NE(Group(context, {3, 3}, good.seed()).id(), good.id());
  EXPECT_NE(Group(context, {4, 2}, good.seed()).id(), good.id());
  EXPECT_NE(Group(context, {3, 2, {.statistical_bits = 41}}, good.seed()).id(), good.id());
  EXPECT_NE(Group::create(context, {3, 2}).id(), good.id());
}

TEST_P(ThresholdBfvOnEveryBackend, WhatCannotBeDecryptedSafelyIsRefused) {
  BfvGroup group(GetParam(), 3, 2);
  const Stream& stream = group.stream;
  Party& party = group.parties[0];
  const Integers message = group.random_message();
  const bfv::Ciphertext c = group.encrypt(message);
  const auto refusal = [&](const bfv::Ciphertext& ciphertext, const std::vector<int>& active) {
    return refusal_of([&] { party.decryption_share(ciphertext, active, stream); });
  };
  EXPECT_THAT(refusal(c, {1}), HasSubstr("Party::decryption_share: 1 parties are active, 1; "
                                         "expected at least 2 of 3"));
  EXPECT_THAT(refusal(c, {1, 1}), HasSubstr("party 1 is active twice"));
  EXPECT_THAT(refusal(c, {1, 4}), HasSubstr("party 4 is active, expected 1 to 3"));
  EXPECT_THAT(refusal(c, {2, 3}), HasSubstr("this is party 1, active are 2, 3"));
  EXPECT_THAT(refusal(group.evaluator.multiply(c, c, stream), {1, 2}),
              HasSubstr("the ciphertext has 3 polynomials, expected 2; relinearize first"));
  EXPECT_THAT(
      refusal(bfv::Ciphertext(
                  group.context, group.group.key_id(),
                  to_backend(to_host(Span<const Word>(c.view().data, 16 * 12), stream), stream), 2,
                  c.level(), c.noise(), History::kUnknown),
              {1, 2}),
      HasSubstr("nothing shows that its noise bound holds"));
  KeyGenerator generator(group.context, group.randomness);
  const SecretKey alone = generator.secret_key(stream);
  const bfv::Encryptor encryptor(
      std::make_shared<const PublicKey>(generator.public_key(alone, stream)), group.randomness);
  EXPECT_THAT(refusal(encryptor.encrypt(
                          group.encoder.encode(Span<const std::int64_t>(message), stream), stream),
                      {1, 2}),
              HasSubstr("the ciphertext belongs to key " + to_string(alone.id())));
  BfvGroup other(GetParam(), 3, 3);
  EXPECT_THAT(refusal(other.encrypt(message), {1, 2}), HasSubstr("another context"));
  // At a low level there is no room for the noise of shares.
  const bfv::Ciphertext low = group.evaluator.mod_switch_to(c, 0, stream);
  EXPECT_THAT(refusal(low, {1, 2}), ::testing::AllOf(HasSubstr("expected below Q/(2t) = 2^"),
                                                     HasSubstr("bits of noise budget are missing"),
                                                     HasSubstr("decrypt at a higher level")));
  // Nothing of this was a decryption.
  EXPECT_EQ(group.decrypt(c, {1, 2}), message);

  ThresholdGroup early(group.context, stream, 9, {3, 2});
  const bfv::Encryptor to_early(early.public_key(), group.randomness);
  const bfv::Ciphertext d =
      to_early.encrypt(group.encoder.encode(Span<const std::int64_t>(message), stream), stream);
  EXPECT_THAT(refusal_of([&] {
                early.parties[0].decryption_share(d, {1, 2}, stream);
              }),
              HasSubstr("has not received the others' shares yet"));
  EXPECT_THAT(refusal_of([&] { other.parties[0].deal_secret_shares(stream); }),
              HasSubstr("all parties of this group decrypt together"));
  EXPECT_THAT(refusal_of([&] { other.parties[0].receive_secret_shares({}, stream); }),
              HasSubstr("all parties of this group decrypt together"));
  EXPECT_THAT(refusal_of([&] { party.galois_key_share(4, stream); }),
              HasSubstr("element = 4, expected odd and 3 to 2N - 1 = 31"));
  EXPECT_THAT(refusal_of([&] { party.galois_key_share(1, stream); }), HasSubstr("element = 1"));
  EXPECT_THAT(refusal_of([&] { party.galois_key_share(33, stream); }), HasSubstr("element = 33"));

  const auto without = Context::create(ParametersBuilder()
                                           .log_n(4)
                                           .plaintext_modulus(97)
                                           .modulus_bits(90)
                                           .parties(2)
                                           .without_key_switching()
                                           .insecure_without_security_check()
                                           .build(),
                                       stream);
  ThresholdGroup sums_only(without, stream, 5, {2, 2});
  EXPECT_THAT(refusal_of([&] { sums_only.parties[0].relinearization_share_one(stream); }),
              HasSubstr("no special primes"));
  EXPECT_THAT(refusal_of([&] { sums_only.parties[0].galois_key_share(3, stream); }),
              HasSubstr("no special primes"));
}

TEST_P(ThresholdBfvOnEveryBackend, CombinedKeysHaveAnUnknownHistory) {
  const Stream stream = make_stream(GetParam());
  const auto context = Context::create(parameters_for(2), stream);
  ThresholdGroup group(context, stream, 6, {2, 2});
  std::vector<PublicKeyShare> shares;
  for (auto& party : group.parties) shares.push_back(party.public_key_share(stream));
  const PublicKey key = combine_public_key(group.group, shares, stream);
  EXPECT_EQ(key.history(), History::kUnknown);
  EXPECT_EQ(key.id(), group.group.key_id());
  std::vector<GaloisKeyShare> of_galois;
  for (auto& party : group.parties) of_galois.push_back(party.galois_key_share(3, stream));
  EXPECT_EQ(combine_galois_key(group.group, of_galois, stream).second.history(), History::kUnknown);
}

INSTANTIATE_TEST_SUITE_P(Backends, ThresholdBfvOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::he::threshold
