// One share of a ciphertext, whatever happens to the process that makes it: the ledger remembers.
// Children are this very program: fork() without exec, while no ledger is open and no thread runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "velum/dpsgd/ledger/ledger.h"
#include "velum/he/bfv/coefficient_encoder.h"
#include "velum/he/bfv/encryptor.h"
#include "velum/he/bfv/serialization.h"
#include "velum/he/threshold/combine.h"
#include "velum/he/threshold/serialization.h"

namespace velum::he::threshold {
namespace {

constexpr int kMade = 10, kRefused = 11;

class ThresholdRestart : public ::testing::Test {
 protected:
  /// The exit status of a child that does `work`, or 128 + the signal that killed it.
  template <typename Work>
  static int in_a_process(const Work& work) {
    const pid_t child = fork();
    if (child == 0) {
      int code = 1;
      try {
        code = work();
      } catch (const std::exception& error) {
        std::fprintf(stderr, "child: %s\n", error.what());
      }
      std::_Exit(code);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  template <typename Save>
  void write(const std::string& name, const Save& save) const {
    std::ofstream out(directory_ / name, std::ios::binary);
    save(out);
  }
  template <typename Load>
  auto read(const std::string& name, const Load& load) const {
    std::ifstream in(directory_ / name, std::ios::binary);
    return load(in);
  }

  static std::shared_ptr<const Context> new_context() {
    return Context::create(ParametersBuilder()
                               .log_n(4)
                               .plaintext_modulus(97)
                               .modulus_bits(90)
                               .parties(3)
                               .without_key_switching()
                               .insecure_without_security_check()
                               .build(),
                           Stream::serial());
  }
  static OnceRegister once_of(dpsgd::Ledger& ledger) {
    return [&ledger](std::string_view domain, const Digest& digest) {
      return ledger.claim_once(domain, digest);
    };
  }

  /// Sets a group of three up, two of whom decrypt, and encrypts two messages.
  int set_up() const {
    const Stream stream = Stream::serial();
    const auto context = new_context();
    dpsgd::Ledger ledger = dpsgd::Ledger::create(directory_ / "ledger.db");
    const Group group = Group::create(context, {.parties = 3, .threshold = 2});
    std::vector<Party> parties;
    std::vector<PublicKeyShare> keys;
    std::vector<std::vector<SecretShare>> for_party(3);
    for (int i = 1; i <= 3; ++i) {
      Party& party = parties.emplace_back(group, i, once_of(ledger), stream);
      keys.push_back(party.public_key_share(stream));
      for (SecretShare& share : party.deal_secret_shares(stream))
        for_party[static_cast<std::size_t>(share.receiver()) - 1].push_back(std::move(share));
    }
    write("group", [&](auto& out) { save(out, group); });
    for (std::size_t i = 0; i < 3; ++i) {
      parties[i].receive_secret_shares(std::move(for_party[i]), stream);
      write("party" + std::to_string(i + 1),
            [&](auto& out) { save_party_unencrypted(out, parties[i], stream); });
    }
    const auto key = std::make_shared<const PublicKey>(combine_public_key(group, keys, stream));
    for (const int number : {1, 2}) {
      const std::vector<std::int64_t> message{number, 41, -7};
      const bfv::Ciphertext c = bfv::Encryptor(key).encrypt(
          bfv::CoefficientEncoder(context).encode(Span<const std::int64_t>(message), stream),
          stream);
      write("ciphertext" + std::to_string(number), [&](auto& out) { save(out, c, stream); });
    }
    return 0;
  }

  /// A share of a ciphertext by a party, all of it loaded.
  int make_share(int party_number, int number, const OnceRegister& once,
                 const std::vector<int>& active) const {
    const Stream stream = Stream::serial();
    const auto context = new_context();
    const Group group = read("group", [&](auto& in) { return load_group(in, context, stream); });
    Party party = read("party" + std::to_string(party_number),
                       [&](auto& in) { return load_party_unencrypted(in, group, once, stream); });
    bfv::Ciphertext c = read("ciphertext" + std::to_string(number),
                             [&](auto& in) { return bfv::load_ciphertext(in, context, stream); });
    c.vouch_for_history();
    try {
      const DecryptionShare share = party.decryption_share(c, active, stream);
      write("share" + std::to_string(party_number) + std::to_string(number),
            [&](auto& out) { save(out, share, stream); });
    } catch (const AlreadyUsed&) {
      return kRefused;
    }
    return kMade;
  }
  int share_in_a_process(int party_number, int number, const std::vector<int>& active) const {
    return in_a_process([&] {
      dpsgd::Ledger ledger = dpsgd::Ledger::open(directory_ / "ledger.db");
      return make_share(party_number, number, once_of(ledger), active);
    });
  }
  std::vector<std::int64_t> combined(int number, const std::vector<int>& active) const {
    const Stream stream = Stream::serial();
    const auto context = new_context();
    const Group group = read("group", [&](auto& in) { return load_group(in, context, stream); });
    const bfv::Ciphertext c = read("ciphertext" + std::to_string(number), [&](auto& in) {
      return bfv::load_ciphertext(in, context, stream);
    });
    std::vector<DecryptionShare> shares;
    for (const int party : active) {
      shares.push_back(read("share" + std::to_string(party) + std::to_string(number),
                            [&](auto& in) { return load_decryption_share(in, group, stream); }));
    }
    std::vector<std::int64_t> message(3);
    bfv::CoefficientEncoder(context).decode(combine_decryption(group, c, shares, stream),
                                            Span<std::int64_t>(message), stream);
    return message;
  }

  velum::testing::TemporaryDirectory directory_;
};

TEST_F(ThresholdRestart, ASecondShareIsRefusedAfterAProcessRestart) {
  ASSERT_EQ(in_a_process([&] { return set_up(); }), 0);
  ASSERT_EQ(share_in_a_process(1, 1, {1, 2}), kMade);
  EXPECT_EQ(share_in_a_process(1, 1, {1, 2}), kRefused);
  EXPECT_EQ(share_in_a_process(1, 1, {1, 3}), kRefused);
  EXPECT_EQ(share_in_a_process(2, 1, {1, 2}), kMade);
  EXPECT_EQ(combined(1, {1, 2}), (std::vector<std::int64_t>{1, 41, -7}));
  // Another ciphertext is another matter.
  EXPECT_EQ(share_in_a_process(1, 2, {1, 3}), kMade);
  EXPECT_EQ(share_in_a_process(3, 2, {1, 3}), kMade);
  EXPECT_EQ(combined(2, {1, 3}), (std::vector<std::int64_t>{2, 41, -7}));
  EXPECT_TRUE(dpsgd::Ledger::open(directory_ / "ledger.db").verify().ok());
}

// Between the entry and the share: the share is lost, and stays so.
TEST_F(ThresholdRestart, AProcessThatIsKilledBeforeItsShareMakesNoneLater) {
  ASSERT_EQ(in_a_process([&] { return set_up(); }), 0);
  const int status = in_a_process([&] {
    dpsgd::Ledger ledger = dpsgd::Ledger::open(directory_ / "ledger.db");
    const OnceRegister once = once_of(ledger);
    return make_share(1, 1,
                      [&](std::string_view domain, const Digest& digest) {
                        const bool first = once(domain, digest);
                        std::raise(SIGKILL);
                        return first;
                      },
                      {1, 2});
  });
  ASSERT_EQ(status, 128 + SIGKILL);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "share11"));
  EXPECT_EQ(share_in_a_process(1, 1, {1, 2}), kRefused);
  EXPECT_EQ(share_in_a_process(2, 1, {2, 3}), kMade);
  EXPECT_EQ(share_in_a_process(3, 1, {2, 3}), kMade);
  EXPECT_EQ(combined(1, {2, 3}), (std::vector<std::int64_t>{1, 41, -7}));
}

}  // namespace
}  // namespace velum::he::threshold
