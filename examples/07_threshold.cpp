// A key that nobody has: three hospitals encrypt under one public key, anybody adds up, and any two
// of the three decrypt the sum together, and nothing else.
//
// All of it runs in this one program. In earnest each hospital is a process of its own; messages
// go over a network (velum/he/threshold/serialization.h), secret shares over an encrypted one.

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "velum/dpsgd/ledger/ledger.h"
#include "velum/he/bfv/coefficient_encoder.h"
#include "velum/he/bfv/encryptor.h"
#include "velum/he/bfv/evaluator.h"
#include "velum/he/threshold/combine.h"
#include "velum/he/threshold/party.h"

int main() {
  using namespace velum::he;
  using namespace velum::he::threshold;
  const Stream stream = Stream::cpu(2);

  // Sums only, so no bits are spent on switching keys; 128-bit security.
  const auto context = Context::create(ParametersBuilder()
                                           .log_n(12)
                                           .plaintext_modulus(std::uint64_t{1} << 20)
                                           .modulus_bits(106)
                                           .without_key_switching()
                                           .parties(3)
                                           .build(),
                                       stream);
  std::printf("%s\n", context->parameters().to_string().c_str());

  // What must not be made twice, such as a second share of one decryption, is remembered in a
  // ledger, across restarts.
  const std::filesystem::path folder = std::filesystem::temp_directory_path() /
                                       ("velum_example_threshold_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  velum::dpsgd::Ledger ledger = velum::dpsgd::Ledger::create(folder / "ledger.db");
  const OnceRegister once = [&](auto domain, const auto& digest) {
    return ledger.claim_once(domain, digest);
  };

  // The group is public: everybody makes the same value of it. Each hospital draws its own secret.
  const Group group = Group::create(context, {.parties = 3, .threshold = 2});
  std::vector<Party> hospitals;
  for (const int number : group.everybody()) hospitals.emplace_back(group, number, once, stream);

  // The public key: a share of each, added up by anybody.
  std::vector<PublicKeyShare> key_shares;
  for (Party& hospital : hospitals) key_shares.push_back(hospital.public_key_share(stream));
  PublicKey key = combine_public_key(group, key_shares, stream);
  key.vouch_for_history();  // the three trust each other to keep to the protocol
  const auto public_key = std::make_shared<const PublicKey>(std::move(key));

  // Each gives each a share of its secret, so that two are enough from now on.
  std::vector<std::vector<SecretShare>> letters(3);
  for (Party& hospital : hospitals) {
    for (SecretShare& share : hospital.deal_secret_shares(stream))
      letters[static_cast<std::size_t>(share.receiver()) - 1].push_back(std::move(share));
  }
  for (std::size_t i = 0; i < 3; ++i)
    hospitals[i].receive_secret_shares(std::move(letters[i]), stream);

  // Cases by region, encrypted by each, added up by whoever collects them.
  const std::vector<std::vector<std::int64_t>> cases{{12, 0, 7, 3}, {5, 9, 1, 0}, {2, 2, 8, 40}};
  const bfv::CoefficientEncoder encoder(context);
  const bfv::Encryptor encryptor(public_key);
  const bfv::Evaluator evaluator(context);
  bfv::Ciphertext sum =
      encryptor.encrypt(encoder.encode(Span<const std::int64_t>(cases[0]), stream), stream);
  for (std::size_t i = 1; i < 3; ++i) {
    sum = evaluator.add(
        sum, encryptor.encrypt(encoder.encode(Span<const std::int64_t>(cases[i]), stream), stream),
        stream);
  }

  // The first and the third decrypt it; the second is on holiday.
  const std::vector<int> active{1, 3};
  std::vector<DecryptionShare> shares;
  for (const int number : active) {
    shares.push_back(
        hospitals[static_cast<std::size_t>(number) - 1].decryption_share(sum, active, stream));
  }
  std::vector<std::int64_t> total(4);
  encoder.decode(combine_decryption(group, sum, shares, stream), Span<std::int64_t>(total), stream);
  bool right = true;
  for (std::size_t i = 0; i < total.size(); ++i) {
    const std::int64_t expected = cases[0][i] + cases[1][i] + cases[2][i];
    std::printf("region %zu: %lld cases, expected %lld\n", i, static_cast<long long>(total[i]),
                static_cast<long long>(expected));
    right = right && total[i] == expected;
  }

  // Nobody gets a second share of it, whoever else he names.
  try {
    hospitals[0].decryption_share(sum, {1, 2}, stream);
    right = false;
  } catch (const AlreadyUsed& error) {
    std::printf("%s\n", error.what());
  }
  std::filesystem::remove_all(folder);
  return right ? 0 : 1;
}
