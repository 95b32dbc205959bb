#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "reference/bfv_integers.h"
#include "support/every_backend.h"
#include "threshold/party_secrets.h"
#include "velum/he/context.h"
#include "velum/he/threshold/combine.h"
#include "velum/he/threshold/group.h"
#include "velum/he/threshold/party.h"

namespace velum::testing {

/// All subsets of 1 .. n with at least `least` elements.
inline std::vector<std::vector<int>> subsets(int n, int least) {
  std::vector<std::vector<int>> all;
  for (int mask = 1; mask < 1 << n; ++mask) {
    std::vector<int> subset;
    for (int i = 0; i < n; ++i)
      if ((mask >> i & 1) != 0) subset.push_back(i + 1);
    if (static_cast<int>(subset.size()) >= least) all.push_back(subset);
  }
  return all;
}

/// A message that says something else of itself: what a stranger, or a mistake, would send.
inline he::threshold::Message retold(const he::threshold::Message& share, const Stream& stream,
                                     const he::threshold::Digest& group, int party,
                                     const he::threshold::Digest& subject) {
  const he::RnsView<const he::Word> view = share.view();
  const std::int64_t words = view.polys * view.limbs * view.degree;
  Buffer<he::Word> copy(words, stream);
  kernels::copy(Span<const he::Word>(view.data, words), copy.span(), stream);
  kernels::synchronize(stream);
  return {share.context(), group, party, subject, std::move(copy), view.polys, view.limbs};
}

/// A group with the secrets of all its parties, on one backend. The seed decides all randomness.
struct ThresholdGroup {
  ThresholdGroup(std::shared_ptr<const he::Context> of, Stream on, std::uint64_t seed,
                 const he::threshold::GroupShape& shape)
      : stream(std::move(on)),
        context(std::move(of)),
        randomness(he::Randomness::insecure_from_seed(seed)),
        once(he::threshold::once_register_that_forgets_on_restart()),
        group(he::threshold::Group::create(context, shape, randomness)) {
    for (int i = 1; i <= shape.parties; ++i)
      parties.emplace_back(group, i, once, stream, randomness);
    s.assign(static_cast<std::size_t>(context->degree()), 0);
    for (const auto& party : parties) {
      const auto coefficients = party.secrets().key.export_coefficients_secret(stream);
      for (std::size_t i = 0; i < s.size(); ++i) s[i] += coefficients[i];
    }
  }

  void share_secrets() {
    std::vector<std::vector<he::threshold::SecretShare>> for_party(parties.size());
    for (auto& party : parties) {
      auto dealt = party.deal_secret_shares(stream);
      for (std::size_t j = 0; j < dealt.size(); ++j) for_party[j].push_back(std::move(dealt[j]));
    }
    for (std::size_t j = 0; j < parties.size(); ++j)
      parties[j].receive_secret_shares(std::move(for_party[j]), stream);
  }

  std::shared_ptr<const he::PublicKey> public_key() {
    std::vector<he::threshold::PublicKeyShare> shares;
    for (auto& party : parties) shares.push_back(party.public_key_share(stream));
    auto key = he::threshold::combine_public_key(group, shares, stream);
    key.vouch_for_history();
    return std::make_shared<const he::PublicKey>(std::move(key));
  }
  he::RelinearizationKey relinearization_key() {
    std::vector<he::threshold::RelinearizationShareOne> ones;
    for (auto& party : parties) ones.push_back(party.relinearization_share_one(stream));
    const auto sum = he::threshold::combine_round_one(group, ones, stream);
    std::vector<he::threshold::RelinearizationShareTwo> twos;
    for (auto& party : parties) twos.push_back(party.relinearization_share_two(sum, stream));
    auto key = he::threshold::combine_relinearization_key(group, sum, twos, stream);
    key.key.vouch_for_history();
    return key;
  }
  void add_galois_key(he::GaloisKeys& keys, std::uint32_t element) {
    std::vector<he::threshold::GaloisKeyShare> shares;
    for (auto& party : parties) shares.push_back(party.galois_key_share(element, stream));
    auto key = he::threshold::combine_galois_key(group, shares, stream);
    key.second.vouch_for_history();
    keys.keys.insert(std::move(key));
  }

  template <typename Ciphertext>
  std::vector<he::threshold::DecryptionShare> decryption_shares(const Ciphertext& ciphertext,
                                                                const std::vector<int>& active) {
    std::vector<he::threshold::DecryptionShare> shares;
    for (const int i : active)
      shares.push_back(
          parties[static_cast<std::size_t>(i) - 1].decryption_share(ciphertext, active, stream));
    return shares;
  }

  Stream stream;
  std::shared_ptr<const he::Context> context;
  std::shared_ptr<he::Randomness> randomness;
  he::threshold::OnceRegister once;
  he::threshold::Group group;
  std::vector<he::threshold::Party> parties;
  bfv::Polynomial s;  // the sum of all secrets
};

}  // namespace velum::testing
