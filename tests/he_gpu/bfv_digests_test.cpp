// Known answers of BFV: with the randomness of one seed, every ciphertext and result has these
// bytes, on every backend and every SIMD target, in this release and in later ones.
#include "bfv_fixture.h"
#include "support/sha256.h"
#include "support/simd_targets.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture

std::string digest_of(RnsView<const Word> view, const Stream& stream) {
  return sha256(to_host(Span<const Word>(view.data, view.polys * view.limbs * view.degree), stream))
      .substr(0, 32);
}

struct Answer {
  const char* what;
  const char* digest;
};

class BfvDigestsOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

TEST_P(BfvDigestsOnEveryBackend, CiphertextsAndResultsHaveTheKnownBytes) {
  for_each_simd_target(GetParam(), [] {
    BfvScheme scheme(small_insecure_bfv(10, 65537, 110, 2), GetParam(), 20180117, {1, 3});
    const Stream& stream = scheme.stream;
    const bfv::BatchEncoder encoder(scheme.context);
    Integers x, y;
    for (std::int64_t i = 0; i < 1024; ++i) {
      x.push_back(i * i % 65537 - 32768);
      y.push_back(i % 7 == 0 ? 32768 : -i);
    }
    const bfv::Evaluator& evaluator = scheme.evaluator;
    const bfv::Plaintext plaintext = encoder.encode(Span<const std::int64_t>(x), stream);
    const bfv::Plaintext other = encoder.encode(Span<const std::int64_t>(y), stream);
    const bfv::Ciphertext a = scheme.encryptor.encrypt(plaintext, stream);
    const bfv::Ciphertext b = scheme.symmetric.encrypt(other, stream);
    const bfv::Ciphertext product = evaluator.multiply(a, b, stream);
    const bfv::Ciphertext linear = evaluator.relinearize(product, scheme.relinearization, stream);
    const bfv::Ciphertext lower = evaluator.mod_switch_to(a, 0, stream);
    const bfv::Ciphertext turned = evaluator.rotate_rows(a, 3, scheme.galois, stream);
    const bfv::Ciphertext exchanged = evaluator.rotate_columns(a, scheme.galois, stream);
    const bfv::Ciphertext scaled = evaluator.multiply_plain(a, other, stream);
    const bfv::Ciphertext sum = evaluator.add_plain(a, other, stream);
    const std::pair<const char*, RnsView<const Word>> views[] = {
        {"public-key ciphertext", a.view()},  {"symmetric ciphertext", b.view()},
        {"product", product.view()},          {"relinearised", linear.view()},
        {"at level 0", lower.view()},         {"rotated rows", turned.view()},
        {"exchanged rows", exchanged.view()}, {"times a plaintext", scaled.view()},
        {"plus a plaintext", sum.view()},
    };
    constexpr Answer kAnswers[] = {
        {"public-key ciphertext", "dd64f28e54acb02a6bb116451779461a"},
        {"symmetric ciphertext", "0c1e90aa87688f54b35e92415011c221"},
        {"product", "77dbf9e6b8b80d47242bfe7f558ed425"},
        {"relinearised", "dee6ffe5dd3642586d866287d72cf7c1"},
        {"at level 0", "f19aa1cf418924037abc8681fbebaa42"},
        {"rotated rows", "79aa064f21d2e80839498c1a555a8047"},
        {"exchanged rows", "ca03cc0a1e554d046cebd44fecc610d2"},
        {"times a plaintext", "1312041756915612ced4d41f06cdb480"},
        {"plus a plaintext", "01cbaa14e86ea31783c98822e163057a"},
    };
    static_assert(std::size(kAnswers) == std::size(views));
    for (std::size_t i = 0; i < std::size(views); ++i) {
      EXPECT_STREQ(views[i].first, kAnswers[i].what);
      EXPECT_EQ(digest_of(views[i].second, stream), kAnswers[i].digest) << kAnswers[i].what;
    }
    EXPECT_EQ(to_string(scheme.context->parameters().id()).substr(0, 32),
              "498b53cefc4c730ac135d3e0dc5d5e51");
    // And they are right.
    Integers slots(1024);
    encoder.decode(scheme.decryptor.decrypt_for_owner(linear, stream), Span<std::int64_t>(slots),
                   stream);
    for (std::size_t i = 0; i < slots.size(); ++i)
      ASSERT_EQ((slots[i] - x[i] * y[i]) % 65537, 0) << "slot " << i;
  });
}

INSTANTIATE_TEST_SUITE_P(Backends, BfvDigestsOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::he
