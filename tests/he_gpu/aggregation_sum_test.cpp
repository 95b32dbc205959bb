#include <algorithm>
#include <cmath>

#include "aggregation_fixture.h"
#include "reference/bfv_integers.h"
#include "support/sha256.h"
#include "support/simd_targets.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/random/residues.h"

namespace velum::he::aggregation {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;
using BigPolynomial = velum::testing::bfv::Polynomial;

class AggregationOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

// Three polynomials, the last one used in part, its last coefficient in part.
constexpr std::int64_t kValues = 2 * 32 * 3 + 40;

TEST_P(AggregationOnEveryBackend, SumsOfAllOwnersAreExact) {
  for (const int threshold : {0, 2, 3, 5}) {
    Group group(small_insecure_plan(kValues, 16, 5, threshold), GetParam(), 1);
    const std::int32_t low = group.plan().smallest_value(), high = group.plan().largest_value();
    const auto size = static_cast<std::size_t>(kValues);
    Values alternating(size), opposite(size);
    for (std::size_t i = 0; i < size; ++i) {
      alternating[i] = i % 2 == 0 ? 1 : -1;
      opposite[i] = i % 2 == 0 ? low : high;
    }
    std::vector<std::vector<Values>> cases{
        std::vector<Values>(5, Values(size, low)), std::vector<Values>(5, Values(size, high)),
        std::vector<Values>(5, alternating), std::vector<Values>(5, opposite)};
    for (int i = 0; i < 3; ++i) {
      cases.emplace_back();
      for (int owner = 0; owner < 5; ++owner) cases.back().push_back(group.random_values());
    }
    std::vector<int> parties = group.everybody();
    if (threshold != 0) parties.erase(parties.begin(), parties.end() - threshold);
    std::uint64_t round = 0;
    for (const auto& values : cases) {
      ASSERT_EQ(group.round_trip(round, group.everybody(), parties, values), summed(values))
          << "threshold " << threshold << ", case " << round;
      ++round;
    }
  }
}

TEST_P(AggregationOnEveryBackend, OwnersWhoDropOutAreLeftOutOfTheSum) {
  Group group(small_insecure_plan(50, 8, 6, 3), GetParam(), 2);
  std::uint64_t round = 0;
  for (const std::vector<int>& owners :
       {std::vector<int>{1, 2, 3}, {4, 5, 6}, {1, 3, 4, 6}, {2, 3, 4, 5, 6}}) {
    // Whoever decrypts need not be in the sum.
    for (const std::vector<int>& parties : {std::vector<int>{1, 2, 3}, {2, 4, 6}, {1, 5, 6}}) {
      std::vector<Values> values;
      for (std::size_t i = 0; i < owners.size(); ++i) values.push_back(group.random_values());
      ASSERT_EQ(group.round_trip(round++, owners, parties, values), summed(values));
    }
  }
  // Without a threshold, too, as long as all decrypt whose vectors are in it.
  Group all(small_insecure_plan(50, 8, 6, 0), GetParam(), 2);
  const std::vector<int> some{2, 5, 6};
  std::vector<Values> values;
  for (std::size_t i = 0; i < some.size(); ++i) values.push_back(all.random_values());
  EXPECT_EQ(all.round_trip(0, some, some, values), summed(values));
}

// Every tuple of three values of two bits, in every digit.
TEST_P(AggregationOnEveryBackend, EveryTupleOfThreeTwoBitValuesIsSummedExactly) {
  Group group(small_insecure_plan(64 * 3, 2, 3, 0), GetParam(), 3);
  std::vector<Values> values(3, Values(64 * 3));
  for (std::size_t owner = 0; owner < 3; ++owner) {
    for (std::size_t i = 0; i < values[owner].size(); ++i)
      values[owner][i] = static_cast<std::int32_t>(i % 64 >> (2 * owner) & 3) - 2;
  }
  EXPECT_EQ(group.round_trip(0, {1, 2, 3}, {1, 2, 3}, values), summed(values));
}

// By the definition, with integers of any size and none of velum's arithmetic: what the owners
// sent, and what they encrypted under which errors.
TEST_P(AggregationOnEveryBackend, VectorsAreWhatTheDefinitionSays) {
  Group group(small_insecure_plan(100, 16, 4, 0), GetParam(), 4);
  const AggregationPlan& plan = group.plan();
  const Context& ring = *group.context->ring();
  const auto n = static_cast<std::size_t>(ring.degree());
  const auto v = static_cast<std::size_t>(plan.digits());
  const std::vector<std::uint32_t>& primes = plan.parameters().primes();
  const ChineseRemainders remainders(primes);
  const BigInteger q = remainders.product();
  std::vector<velum::testing::bfv::Interpolation> interpolations;
  for (std::size_t l = 0; l < primes.size(); ++l)
    interpolations.emplace_back(n, primes[l], ring.tables().root(static_cast<int>(l)));
  const auto polynomial = [&](const std::vector<std::vector<std::uint64_t>>& rows) {
    BigPolynomial out;
    for (std::size_t i = 0; i < n; ++i) {
      std::vector<BigInteger> residues;
      for (const auto& row : rows) residues.emplace_back(row[i]);
      out.push_back(remainders.number(residues));
    }
    return out;
  };
  // a_k, from SHA-256 and the uniform residues of kernels.
  std::vector<std::uint8_t> input;
  const std::string label = "velum aggregation public polynomials 1";
  const auto number = [&](std::uint64_t x) {
    for (int i = 0; i < 8; ++i) input.push_back(static_cast<std::uint8_t>(x >> (8 * i)));
  };
  number(label.size());
  input.insert(input.end(), label.begin(), label.end());
  input.insert(input.end(), plan.id().begin(), plan.id().end());
  input.insert(input.end(), group.id.begin(), group.id.end());
  number(9);
  const std::string digest = sha256(input);
  kernels::RandomKey seed{};
  for (std::size_t i = 0; i < 32; ++i) {
    const auto byte = static_cast<std::uint32_t>(std::stoul(digest.substr(2 * i, 2), nullptr, 16));
    seed.words[i / 4] |= byte << (8 * (i % 4));
  }
  const LimbIndices limbs = group.context->limbs();
  const std::int64_t words = group.context->words();
  const Buffer<Word> uniform(words, group.stream);
  kernels::uniform_residues_fill(
      RnsView<Word>(uniform.data(), plan.ciphertexts(), limbs.count, ring.degree()), limbs,
      ring.moduli(), seed, {kernels::Purpose::kHeUniform, 0, 0, 0}, group.stream);
  const std::vector<Word> a_words = to_host(Span<const Word>(uniform.span()), group.stream);

  BigInteger largest_error = 0;
  std::vector<BigInteger> error_sums(static_cast<std::size_t>(plan.coefficients()), 0);
  for (const int owner : group.everybody()) {
    const Values values = group.random_values();
    const EncryptedVector vector = group.encrypt(owner, 9, values);
    const std::vector<Word> b_words =
        to_host(Span<const Word>(vector.view().data, words), group.stream);
    BigPolynomial s;
    for (const std::int8_t x :
         group.secrets[static_cast<std::size_t>(owner - 1)]->export_coefficients_secret(
             group.stream))
      s.emplace_back(x);
    for (std::int64_t k = 0; k < plan.ciphertexts(); ++k) {
      std::vector<std::vector<std::uint64_t>> a_rows, b_rows;
      for (std::size_t l = 0; l < primes.size(); ++l) {
        const std::size_t at = (static_cast<std::size_t>(k) * primes.size() + l) * n;
        a_rows.push_back(interpolations[l].coefficients(&a_words[at]));
        b_rows.emplace_back(b_words.begin() + static_cast<std::ptrdiff_t>(at),
                            b_words.begin() + static_cast<std::ptrdiff_t>(at + n));
      }
      // b + a s is the message and the error alone.
      const BigPolynomial phase =
          velum::testing::bfv::phase({polynomial(b_rows), polynomial(a_rows)}, s, q);
      for (std::size_t i = 0; i < n; ++i) {
        const auto coefficient = static_cast<std::size_t>(k) * n + i;
        const auto coefficients = static_cast<std::size_t>(plan.coefficients());
        if (coefficient >= coefficients) continue;
        BigInteger message = 0;
        for (std::size_t d = 0; d < v; ++d) {
          const std::size_t index = d * coefficients + coefficient;
          if (index >= values.size()) continue;
          BigInteger base_power = 1;
          for (std::size_t j = d; j < v; ++j) base_power *= plan.base();
          message += (BigInteger(values[index]) + 32768) * (q / base_power);
        }
        const BigInteger error = velum::testing::bfv::centred(phase[i] - message, q);
        ASSERT_LE(abs(error), 41) << "owner " << owner << ", coefficient " << coefficient;
        largest_error = std::max(largest_error, BigInteger(abs(error)));
        error_sums[coefficient] += error;
      }
    }
  }
  for (const BigInteger& sum : error_sums)
    ASSERT_LE(abs(sum), BigInteger(std::floor(plan.error_bound())));
  EXPECT_GE(largest_error, 6);  // there are errors: 136 draws below 7 have probability e^-4 or so
}

TEST_P(AggregationOnEveryBackend, NoiseStaysBelowItsBound) {
  // What the deviation of a coefficient says: B^v (E - d) / Q, d at most v (B - 1).
  for (const int threshold : {0, 3}) {
    double largest = 0.0;
    for (std::uint64_t seed = 0; seed < (GetParam() == Backend::kCpu ? 60u : 3u); ++seed) {
      Group group(small_insecure_plan(96, 4, 6, threshold), GetParam(), 100 + seed);
      const AggregationPlan& plan = group.plan();
      std::vector<EncryptedVector> vectors;
      for (const int owner : group.everybody())
        vectors.push_back(group.encrypt(owner, 0, group.random_values()));
      const EncryptedSum sum = group.sum(0, vectors);
      const std::vector<int> parties =
          threshold == 0 ? group.everybody() : std::vector<int>{1, 4, 6};
      const LimbIndices limbs = group.context->limbs();
      const RnsView<const Word> view = sum.view();
      const Buffer<Word> phase_words(group.context->words(), group.stream);
      const RnsView<Word> phase(phase_words.data(), view.polys, view.limbs, view.degree);
      kernels::copy_limbs<Word>(view, phase, group.stream);
      for (const int party : parties) {
        const DecryptionShare share = group.share(party, 0, sum.owners(), parties);
        kernels::add<Word>(phase, share.view(), phase, limbs, group.context->ring()->moduli(),
                           group.stream);
        kernels::synchronize(group.stream);
      }
      const Buffer<std::int32_t> values(plan.values(), group.stream);
      const Buffer<std::int32_t> deviations(plan.coefficients(), group.stream);
      kernels::unpack_digits(phase, plan.coefficients(), 0, 6 * 8, values.span(), deviations.span(),
                             group.context->packing(), group.stream);
      const double unit = plan.parameters().log_q(plan.parameters().max_level()) -
                          plan.digits() * std::log2(static_cast<double>(plan.base())) - 32.0;
      for (const std::int32_t deviation :
           to_host(Span<const std::int32_t>(deviations.span()), group.stream)) {
        largest = std::max(largest, std::abs(static_cast<double>(deviation)) * std::exp2(unit));
      }
      ASSERT_LE(largest, plan.noise_bound());
      // Of 32 coefficients and more some are beyond half a standard deviation.
      ASSERT_GE(largest, 0.5 * plan.smudging().sigma);
    }
  }
}

TEST_P(AggregationOnEveryBackend, AMissingOrForeignVectorOrShareIsSeen) {
  Group group(small_insecure_plan(96, 8, 3, 0), GetParam(), 6);
  std::vector<EncryptedVector> vectors;
  for (const int owner : group.everybody())
    vectors.push_back(group.encrypt(owner, 1, group.random_values()));
  const EncryptedSum sum = group.sum(1, vectors);
  const std::vector<int> all = group.everybody();
  std::vector<DecryptionShare> shares;
  for (const int party : all) shares.push_back(group.share(party, 1, all, all));
  const auto with = [&](std::vector<const DecryptionShare*> list) {
    return refusal_of([&] { decrypt_sum(sum, list, group.stream); });
  };
  EXPECT_EQ(with({&shares[0], &shares[1], &shares[2]}), "no error");
  EXPECT_EQ(with({&shares[0], &shares[1]}),
            "decrypt_sum: 2 shares, expected one of each of the parties 1 2 3");
  EXPECT_EQ(with({&shares[0], &shares[1], &shares[1]}),
            "decrypt_sum: 3 shares, expected one of each of the parties 1 2 3");
  EXPECT_EQ(with({}), "decrypt_sum: no shares");
  // Of another round, of another set.
  const DecryptionShare other_round = group.share(3, 2, all, all);
  EXPECT_EQ(with({&shares[0], &shares[1], &other_round}),
            "decrypt_sum: found round 2 of group 07000000, expected round 1 of group 07000000");
  Group twin(small_insecure_plan(96, 8, 3, 0), GetParam(), 6);
  const DecryptionShare of_two = twin.share(3, 1, {2, 3}, {2, 3});
  EXPECT_EQ(with({&shares[0], &shares[1], &of_two}),
            "decrypt_sum: the share of party 3 is for a sum of other owners");
  // Of a party who was told that others decrypt, or that was made under another key: noise.
  Group stranger(small_insecure_plan(96, 8, 3, 0), GetParam(), 7);
  const DecryptionShare foreign = stranger.share(3, 1, all, all);
  EXPECT_THAT(with({&shares[0], &shares[1], &foreign}),
              HasSubstr("has more noise than the plan proves"));
}

// Alone a share is uniform: with the vector of its owner it would otherwise show the vector.
TEST_P(AggregationOnEveryBackend, AShareDoesNotOpenItsOwnersVector) {
  Group group(small_insecure_plan(96, 8, 2, 0), GetParam(), 8);
  std::vector<EncryptedVector> vectors;
  for (const int owner : group.everybody())
    vectors.push_back(group.encrypt(owner, 1, group.random_values()));
  const DecryptionShare share = group.share(1, 1, {1, 2}, {1, 2});
  const AggregationPlan& plan = group.plan();
  const RnsView<const Word> view = share.view();
  const Buffer<Word> opened_words(group.context->words(), group.stream);
  const RnsView<Word> opened(opened_words.data(), view.polys, view.limbs, view.degree);
  kernels::add<Word>(vectors[0].view(), view, opened, group.context->limbs(),
                     group.context->ring()->moduli(), group.stream);
  const Buffer<std::int32_t> values(plan.values(), group.stream);
  const Buffer<std::int32_t> deviations(plan.coefficients(), group.stream);
  kernels::unpack_digits(opened, plan.coefficients(), 0, 128, values.span(), deviations.span(),
                         group.context->packing(), group.stream);
  const std::uint32_t most = group.context->packing().largest_deviation(plan.noise_bound());
  ASSERT_LT(most, 0x1p31 * 0.8);
  int beyond = 0;
  for (const std::int32_t deviation :
       to_host(Span<const std::int32_t>(deviations.span()), group.stream))
    beyond += std::abs(static_cast<double>(deviation)) > most ? 1 : 0;
  // Uniform: a fifth of 32 and more are beyond, on average; none has a probability below 0.001.
  EXPECT_GT(beyond, 0);
}

// Parties who believe different things about a round have different masks.
TEST_P(AggregationOnEveryBackend, PartiesWhoWereToldDifferentThingsGiveNothingTogether) {
  Group group(small_insecure_plan(96, 8, 4, 2), GetParam(), 9);
  std::vector<EncryptedVector> vectors;
  for (const int owner : group.everybody())
    vectors.push_back(group.encrypt(owner, 1, group.random_values()));
  const EncryptedSum sum = group.sum(1, vectors);
  const DecryptionShare one = group.share(1, 1, {1, 2, 3, 4}, {1, 2});
  // Party 2 was told that 3 takes part; the aggregator relabels its share.
  const DecryptionShare two = group.share(2, 1, {1, 2, 3, 4}, {2, 3});
  const RnsView<const Word> view = two.view();
  Buffer<Word> copied(group.context->words(), group.stream);
  kernels::copy_limbs<Word>(view, RnsView<Word>(copied.data(), view.polys, view.limbs, view.degree),
                            group.stream);
  kernels::synchronize(group.stream);
  const DecryptionShare relabelled(group.context, group.round(1), {1, 2, 3, 4}, {1, 2}, 2,
                                   std::move(copied));
  EXPECT_THAT(refusal_of([&] {
                decrypt_sum(sum, {&one, &relabelled}, group.stream);
              }),
              HasSubstr("has more noise than the plan proves"));
}

TEST_P(AggregationOnEveryBackend, ValuesThatWouldCarryAreRefusedAndUseNoRoundUp) {
  Group group(small_insecure_plan(100, 8, 3, 0), GetParam(), 10);
  Values values(100, 127);
  values[41] = 128;
  EXPECT_EQ(refusal_of([&] { group.encrypt(1, 5, values); }),
            "VectorEncryptor::encrypt: value 41 is outside of -128 to 127, the range of 8 bits: "
            "clip or round before, or plan more bits");
  values[41] = 127;
  values[99] = -129;
  EXPECT_THAT(refusal_of([&] { group.encrypt(1, 5, values); }),
              HasSubstr("value 99 is outside of -128 to 127"));
  EXPECT_EQ(refusal_of([&] { group.encrypt(1, 5, Values(99, 0)); }),
            "VectorEncryptor::encrypt: values.size() = 99, expected plan.values() = 100");
  EXPECT_EQ(refusal_of([&] { group.encrypt(1, 5, Values(100, -128)); }), "no error");
}

TEST_P(AggregationOnEveryBackend, ASecondVectorOrShareOfARoundIsRefused) {
  Group group(small_insecure_plan(20, 8, 3, 2), GetParam(), 11);
  const Values values(20, 1);
  group.encrypt(1, 5, values);
  EXPECT_EQ(
      refusal_of([&] { group.encrypt(1, 5, values); }),
      "VectorEncryptor::encrypt: a vector of this owner in round 5 of group 07000000 was made "
      "before, and a second one could give the secret away");
  EXPECT_THROW(group.encrypt(1, 5, values), threshold::AlreadyUsed);
  EXPECT_EQ(refusal_of([&] { group.encrypt(1, 6, values); }), "no error");
  EXPECT_EQ(refusal_of([&] { group.encrypt(2, 5, values); }), "no error");
  // A second encryptor with the same secret is no way around.
  const VectorEncryptor again(group.context, group.secrets[0], 1, group.id, group.once);
  EXPECT_THROW(again.encrypt(5, Span<const std::int32_t>(values), group.stream),
               threshold::AlreadyUsed);
  // Shares: whoever is in the sum, whoever decrypts.
  group.share(1, 5, {1, 2}, {1, 2});
  EXPECT_EQ(
      refusal_of([&] {
        group.share(1, 5, {1, 2, 3}, {1, 3});
      }),
      "PartialDecryptor::share: a decryption share of this party in round 5 of group 07000000 "
      "was made before, and a second one could give the secret away");
  EXPECT_EQ(refusal_of([&] { group.share(2, 5, {1, 2}, {1, 2}); }), "no error");
}

TEST_P(AggregationOnEveryBackend, WhatDoesNotBelongTogetherIsRefused) {
  Group group(small_insecure_plan(20, 8, 3, 2), GetParam(), 12);
  Group other(small_insecure_plan(20, 7, 3, 2), GetParam(), 12);
  const EncryptedVector first = group.encrypt(1, 5, Values(20, 1));
  EncryptedSum sum(group.context, group.round(5), group.stream);
  sum.add(first, group.stream);
  const auto adding = [&](const EncryptedVector& vector) {
    return refusal_of([&] { sum.add(vector, group.stream); });
  };
  EXPECT_EQ(adding(first), "EncryptedSum::add: owner 1 is in the sum already");
  EXPECT_EQ(
      adding(group.encrypt(2, 6, Values(20, 1))),
      "EncryptedSum::add: found round 6 of group 07000000, expected round 5 of group 07000000");
  EXPECT_THAT(adding(other.encrypt(2, 5, Values(20, 1))), HasSubstr("is of another plan"));
  EXPECT_EQ(sum.owners(), std::vector<int>{1});
  const auto sharing = [&](const std::vector<int>& owners, const std::vector<int>& parties) {
    return refusal_of([&] { group.share(1, 5, owners, parties); });
  };
  EXPECT_EQ(sharing({1}, {1, 2}),
            "PartialDecryptor::share: a sum of 1 vectors, expected 2 or more: a sum of fewer shows "
            "too much of each");
  EXPECT_EQ(sharing({1, 4}, {1, 2}),
            "PartialDecryptor::share: owners has number 4, expected 1 to 3");
  EXPECT_EQ(sharing({2, 1}, {1, 2}),
            "PartialDecryptor::share: owners has 1 after 2, expected rising numbers, each once");
  EXPECT_EQ(sharing({1, 2}, {1, 2, 3}), "PartialDecryptor::share: 3 parties, expected 2");
  EXPECT_EQ(sharing({1, 2}, {2, 3}),
            "PartialDecryptor::share: party 1 is none of those that decrypt");
  const auto encryptor = [&](int owner, const std::shared_ptr<const SecretKey>& secret) {
    return refusal_of([&] { VectorEncryptor(group.context, secret, owner, group.id, group.once); });
  };
  EXPECT_EQ(encryptor(4, group.secrets[0]), "VectorEncryptor: number 4, expected 1 to 3");
  EXPECT_EQ(encryptor(1, nullptr), "VectorEncryptor: secret is null");
  EXPECT_THAT(encryptor(1, other.secrets[0]), HasSubstr("belongs to another ring"));
  EXPECT_THAT(refusal_of([&] {
                PartialDecryptor(group.context, group.secrets[0], 1, group.id, group.masks(1),
                                 group.once);
              }),
              HasSubstr("the plan has the threshold 2"));
  EXPECT_EQ(refusal_of([&] {
              PartialDecryptor(group.context, std::vector<threshold::SecretPolynomial>(), 1,
                               group.id, MaskKeys(), group.once);
            }),
            "PartialDecryptor: there is no mask key with party 2, expected one with every other "
            "owner");
}

// As bytes: what comes back is the same, everything else is an error.
TEST_P(AggregationOnEveryBackend, VectorsAndSharesTravelAsBytes) {
  Group group(small_insecure_plan(100, 8, 3, 2), GetParam(), 13);
  const EncryptedVector vector = group.encrypt(2, 5, group.random_values());
  const std::vector<std::uint8_t> bytes = to_bytes(vector, group.stream);
  EXPECT_EQ(static_cast<std::int64_t>(bytes.size()), group.plan().vector_bytes());
  const EncryptedVector loaded =
      encrypted_vector_from_bytes(Span<const std::uint8_t>(bytes), group.context, group.stream);
  EXPECT_EQ(loaded.owner(), 2);
  EXPECT_EQ(loaded.round(), group.round(5));
  EXPECT_EQ(loaded.key_id(), vector.key_id());
  EXPECT_EQ(to_bytes(loaded, group.stream), bytes);
  const DecryptionShare share = group.share(3, 5, {1, 2}, {2, 3});
  const std::vector<std::uint8_t> share_bytes = to_bytes(share, group.stream);
  const DecryptionShare loaded_share = decryption_share_from_bytes(
      Span<const std::uint8_t>(share_bytes), group.context, group.stream);
  EXPECT_EQ(loaded_share.party(), 3);
  EXPECT_EQ(loaded_share.owners(), (std::vector<int>{1, 2}));
  EXPECT_EQ(loaded_share.parties(), (std::vector<int>{2, 3}));
  EXPECT_EQ(to_bytes(loaded_share, group.stream), share_bytes);

  // Each byte counts, and so does each missing one.
  for (std::size_t i = 0; i < bytes.size(); i += i < 200 ? 1 : 37) {
    std::vector<std::uint8_t> changed = bytes;
    changed[i] ^= 0x40;
    EXPECT_THROW(
        encrypted_vector_from_bytes(Span<const std::uint8_t>(changed), group.context, group.stream),
        SerializationError)
        << "byte " << i;
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{159}, bytes.size() - 1}) {
    EXPECT_THROW(encrypted_vector_from_bytes(
                     Span<const std::uint8_t>(bytes.data(), static_cast<std::int64_t>(size)),
                     group.context, group.stream),
                 SerializationError);
  }
  EXPECT_THAT(refusal_of([&] {
                encrypted_vector_from_bytes(Span<const std::uint8_t>(share_bytes), group.context,
                                            group.stream);
              }),
              HasSubstr("kind 2, expected 1"));
  Group other(small_insecure_plan(100, 7, 3, 2), GetParam(), 13);
  EXPECT_THAT(refusal_of([&] {
                encrypted_vector_from_bytes(Span<const std::uint8_t>(bytes), other.context,
                                            other.stream);
              }),
              HasSubstr("of another plan"));
}

// Known answers: the same bytes on every backend and SIMD target, in this release and in later
// ones.
TEST_P(AggregationOnEveryBackend, VectorsSharesAndSumsHaveTheKnownBytes) {
  for_each_simd_target(GetParam(), [] {
    Group group(small_insecure_plan(kValues, 16, 4, 2), GetParam(), 20240463);
    std::vector<EncryptedVector> vectors;
    for (const int owner : group.everybody())
      vectors.push_back(group.encrypt(owner, 3, group.random_values()));
    EXPECT_EQ(sha256(to_bytes(vectors[1], group.stream)),
              "ea306122ac601aee0a25f46a6b608d4fcebd7f375584831aa02b326fd0b3dda7");
    const EncryptedSum sum = group.sum(3, vectors);
    std::vector<DecryptionShare> shares;
    for (const int party : {2, 4}) shares.push_back(group.share(party, 3, sum.owners(), {2, 4}));
    EXPECT_EQ(sha256(to_bytes(shares[1], group.stream)),
              "f612d8c57680a5f64bc7478450a70548147e70de09b7f053b3f54f50ee2fd9e4");
    const Values values = group.decrypt(sum, shares);
    EXPECT_EQ(sha256(values), "3952110fa20cd3a060f9588d6090d340f3d3b07901e5f1f070aa1d5e668980a2");
  });
}

INSTANTIATE_TEST_SUITE_P(All, AggregationOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::he::aggregation
