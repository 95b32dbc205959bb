// Known answers: with the randomness of one seed, every key, ciphertext and result has these bytes,
// on every backend and every SIMD target, in this release and in later ones. A change here is a
// change of what is on people's disks.
#include <openssl/evp.h>

#include "he_fixture.h"
#include "support/simd_targets.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture

std::string sha256(const std::vector<Word>& words) {
  std::vector<std::uint8_t> bytes;  // little-endian on every machine
  for (const Word word : words) {
    for (int shift = 0; shift < 32; shift += 8)
      bytes.push_back(static_cast<std::uint8_t>(word >> shift));
  }
  std::uint8_t digest[32];
  unsigned size = 0;
  EXPECT_EQ(EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr), 1);
  std::string text;
  for (const std::uint8_t byte : digest) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text.substr(0, 32);
}

std::string digest_of(RnsView<const Word> view, const Stream& stream) {
  return sha256(
      to_host(Span<const Word>(view.data, view.polys * view.limbs * view.degree), stream));
}

struct Answer {
  const char* what;
  const char* digest;
};

class DigestsOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

TEST_P(DigestsOnEveryBackend, KeysCiphertextsAndResultsHaveTheKnownBytes) {
  for_each_simd_target(GetParam(), [] {
    const Scheme scheme(ParametersBuilder()
                            .log_n(10)
                            .scale_bits(40)
                            .depth(2)
                            .dnum(2)
                            .insecure_without_security_check()
                            .build(),
                        GetParam(), 20240463, {1, 3});
    const Stream& stream = scheme.stream;
    Complexes x, y;
    for (int i = 0; i < 512; ++i) {  // exact in binary
      x.emplace_back(i / 1024.0, -i / 2048.0);
      y.emplace_back((i % 7) / 8.0 - 0.5, (i % 5) / 16.0);
    }
    const Evaluator& evaluator = scheme.evaluator;
    const Plaintext plaintext = scheme.encode(x);
    const Ciphertext a = scheme.encryptor.encrypt(plaintext, stream);
    const Ciphertext b = scheme.symmetric.encrypt(scheme.encode(y), stream);
    const Ciphertext product = evaluator.multiply(a, b, stream);
    const Ciphertext linear = evaluator.relinearize(product, scheme.relinearization, stream);
    const Ciphertext rescaled = evaluator.rescale(linear, stream);
    const Ciphertext turned = evaluator.rotate(a, 3, scheme.galois, stream);
    const std::pair<const char*, RnsView<const Word>> views[] = {
        {"public key", scheme.public_key->view()},
        {"relinearization key", scheme.relinearization.key.view()},
        {"conjugation key", scheme.galois.at(galois_element_of_conjugation(10)).view()},
        {"plaintext", plaintext.view()},
        {"public-key ciphertext", a.view()},
        {"symmetric ciphertext", b.view()},
        {"product", product.view()},
        {"relinearised", linear.view()},
        {"rescaled", rescaled.view()},
        {"rotated", turned.view()},
    };
    constexpr Answer kAnswers[] = {
        {"public key", "ccb6bfb8e2a6a4de071d487f65d372d5"},
        {"relinearization key", "08f18a17617179e55a71093d92e37a10"},
        {"conjugation key", "8b68d9a8caf54bce69253afd36801be9"},
        {"plaintext", "fba4b1e84e1f6e664b2d58ec58846f58"},
        {"public-key ciphertext", "737277d9b8a0f3540ae973ca6002d6ff"},
        {"symmetric ciphertext", "adf32fe421a7e82e875b590a0a1b6606"},
        {"product", "3eafa9e877f68fe4ed7b39213a639115"},
        {"relinearised", "ebfe54de56e2b68d3d6cd1abec5e9b85"},
        {"rescaled", "82888295ae989938e292dfe8ada62440"},
        {"rotated", "f8dc016ce257468d39fe7bb23e2684e3"},
    };
    static_assert(std::size(kAnswers) == std::size(views));
    for (std::size_t i = 0; i < std::size(views); ++i) {
      EXPECT_STREQ(views[i].first, kAnswers[i].what);
      EXPECT_EQ(digest_of(views[i].second, stream), kAnswers[i].digest) << kAnswers[i].what;
    }
    EXPECT_EQ(to_string(scheme.context->parameters().id()).substr(0, 32),
              "136b26bf2d40bc7ebfaaec20ded374f0");
    EXPECT_EQ(to_string(scheme.secret->id()), "2dcb5228677f881bd3077b4bfde9f975");
  });
}

INSTANTIATE_TEST_SUITE_P(Backends, DigestsOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::he
