#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "support/every_backend.h"
#include "velum/he/aggregation/decryption.h"
#include "velum/he/aggregation/encryptor.h"
#include "velum/he/aggregation/serialization.h"
#include "velum/he/key_generator.h"

namespace velum::testing {

using Values = std::vector<std::int32_t>;

/// A ring that is small and insecure: only for tests.
inline he::aggregation::AggregationPlan small_insecure_plan(std::int64_t values, int bits,
                                                            int owners, int threshold,
                                                            int log_n = 5, int digits = 3) {
  he::aggregation::PlanRequest request;
  request.values = values;
  request.bits = bits;
  request.owners = owners;
  request.threshold = threshold;
  return he::aggregation::AggregationPlan::create_insecure(request, log_n, digits);
}

/// All owners of a group on one backend. The seed decides all randomness.
struct Group {
  Group(he::aggregation::AggregationPlan plan, Backend backend, std::uint64_t seed)
      : stream(make_stream(backend)),
        randomness(he::Randomness::insecure_from_seed(seed)),
        context(he::aggregation::AggregationContext::create(std::move(plan), stream)),
        once(he::threshold::once_register_that_forgets_on_restart()),
        bits(seed) {
    id[0] = 7;
    const int owners = context->plan().owners();
    const int threshold = context->plan().request().threshold;
    he::KeyGenerator generator(context->ring(), randomness);
    std::vector<std::vector<he::threshold::SecretPolynomial>> shares(
        static_cast<std::size_t>(owners));
    for (int owner = 1; owner <= owners; ++owner) {
      secrets.push_back(std::make_shared<const he::SecretKey>(generator.secret_key(stream)));
      encryptors.emplace_back(context, secrets.back(), owner, id, once, randomness);
      if (threshold == 0) continue;
      auto parts =
          he::threshold::share_secret(*secrets.back(), owners, threshold, *randomness, stream);
      for (std::size_t party = 0; party < parts.size(); ++party)
        shares[party].push_back(std::move(parts[party]));
    }
    for (int party = 1; party <= owners; ++party) {
      const auto at = static_cast<std::size_t>(party - 1);
      if (threshold == 0) {
        decryptors.emplace_back(context, secrets[at], party, id, masks(party), once, randomness);
      } else {
        decryptors.emplace_back(context, std::move(shares[at]), party, id, masks(party), once,
                                randomness);
      }
    }
  }

  const he::aggregation::AggregationPlan& plan() const { return context->plan(); }
  he::aggregation::Round round(std::uint64_t number) const { return {id, number}; }

  he::aggregation::MaskKeys masks(int party) const {
    he::aggregation::MaskKeys keys;
    for (int other = 1; other <= plan().owners(); ++other) {
      if (other == party) continue;
      kernels::RandomKey key{};
      key.words[0] = static_cast<std::uint32_t>(std::min(party, other));
      key.words[1] = static_cast<std::uint32_t>(std::max(party, other));
      keys.set(other, key);
    }
    return keys;
  }

  /// Uniform; a third of them at the borders.
  Values random_values() {
    const std::int32_t low = plan().smallest_value(), high = plan().largest_value();
    const std::int32_t borders[] = {low, high, -1, 0};
    Values values(static_cast<std::size_t>(plan().values()));
    for (std::int32_t& value : values) {
      const std::uint64_t choice = bits() % 12;
      value = choice < 4 ? borders[choice]
                         : low + static_cast<std::int32_t>(
                                     bits() % static_cast<std::uint64_t>(high - low + 1));
    }
    return values;
  }
  he::aggregation::EncryptedVector encrypt(int owner, std::uint64_t number,
                                           const Values& values) const {
    return encryptors[static_cast<std::size_t>(owner - 1)].encrypt(
        number, Span<const std::int32_t>(values), stream);
  }
  he::aggregation::EncryptedSum sum(
      std::uint64_t number, const std::vector<he::aggregation::EncryptedVector>& vectors) const {
    he::aggregation::EncryptedSum result(context, round(number), stream);
    std::vector<const he::aggregation::EncryptedVector*> all;
    for (const auto& vector : vectors) all.push_back(&vector);
    result.add(all, stream);
    return result;
  }
  he::aggregation::DecryptionShare share(int party, std::uint64_t number,
                                         const std::vector<int>& owners,
                                         const std::vector<int>& parties) const {
    return decryptors[static_cast<std::size_t>(party - 1)].share(number, owners, parties, stream);
  }
  Values decrypt(const he::aggregation::EncryptedSum& sum, const std::vector<int>& parties) const {
    std::vector<he::aggregation::DecryptionShare> shares;
    for (const int party : parties)
      shares.push_back(share(party, sum.round().number, sum.owners(), parties));
    return decrypt(sum, shares);
  }
  Values decrypt(const he::aggregation::EncryptedSum& sum,
                 const std::vector<he::aggregation::DecryptionShare>& shares) const {
    std::vector<const he::aggregation::DecryptionShare*> all;
    for (const auto& one : shares) all.push_back(&one);
    return he::aggregation::decrypt_sum(sum, all, stream);
  }
  /// 1, .., K.
  std::vector<int> everybody() const {
    std::vector<int> numbers(static_cast<std::size_t>(plan().owners()));
    std::iota(numbers.begin(), numbers.end(), 1);
    return numbers;
  }
  /// The vectors of `owners`, encrypted, summed, decrypted by `parties`.
  Values round_trip(std::uint64_t number, const std::vector<int>& owners,
                    const std::vector<int>& parties, const std::vector<Values>& values) const {
    std::vector<he::aggregation::EncryptedVector> vectors;
    for (std::size_t i = 0; i < owners.size(); ++i)
      vectors.push_back(encrypt(owners[i], number, values[i]));
    return decrypt(sum(number, vectors), parties);
  }

  Stream stream;
  std::shared_ptr<he::Randomness> randomness;
  std::shared_ptr<const he::aggregation::AggregationContext> context;
  he::threshold::OnceRegister once;
  he::aggregation::Digest id{};
  std::vector<std::shared_ptr<const he::SecretKey>> secrets;
  std::vector<he::aggregation::VectorEncryptor> encryptors;
  std::vector<he::aggregation::PartialDecryptor> decryptors;
  std::mt19937_64 bits;
};

/// Plain sums.
inline Values summed(const std::vector<Values>& vectors) {
  Values sum(vectors.front().size());
  for (const Values& values : vectors) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
  }
  return sum;
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
