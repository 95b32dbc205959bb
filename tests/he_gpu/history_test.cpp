#include <functional>
#include <sstream>

#include "he_fixture.h"
#include "velum/he/ckks/linear_transform.h"
#include "velum/he/ckks/polynomial.h"
#include "velum/he/serialization.h"

namespace velum::he {
namespace {

using namespace ::velum::testing;  // NOLINT(google-build-using-namespace): the fixture
using ::testing::HasSubstr;

class HistoryOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
};

/// What goes into an operation.
struct Operands {
  const Ciphertext& a;
  const Ciphertext& b;
  const Plaintext& plain;
  const RelinearizationKey& relinearization;
  const GaloisKeys& galois;
  const KeySwitchingKey& switching;
};

struct Operation {
  const char* name;
  const char* uses;  // of a, b, p (plain), r (relinearisation), g (Galois), s (switching)
  std::function<Ciphertext(const Operands&)> run;
};

std::vector<Operation> every_operation(const Scheme& scheme) {
  const Evaluator& e = scheme.evaluator;
  const Stream& s = scheme.stream;
  const KeyId id = scheme.secret->id();
  return {
      {"copy", "a", [&](const Operands& o) { return o.a.copy(s); }},
      {"add", "ab", [&](const Operands& o) { return e.add(o.a, o.b, s); }},
      {"add to three polynomials", "abp",
       [&](const Operands& o) {
         return e.add(e.multiply_plain(o.a, o.plain, s), e.square(o.b, s), s);
       }},
      {"subtract three polynomials", "abp",
       [&](const Operands& o) {
         return e.subtract(e.multiply_plain(o.a, o.plain, s), e.square(o.b, s), s);
       }},
      {"subtract", "ab", [&](const Operands& o) { return e.subtract(o.a, o.b, s); }},
      {"negate", "a", [&](const Operands& o) { return e.negate(o.a, s); }},
      {"add_plain", "ap", [&](const Operands& o) { return e.add_plain(o.a, o.plain, s); }},
      {"subtract_plain", "ap",
       [&](const Operands& o) { return e.subtract_plain(o.a, o.plain, s); }},
      {"add_constant", "a", [&](const Operands& o) { return e.add_constant(o.a, 0.5, s); }},
      {"multiply", "ab", [&](const Operands& o) { return e.multiply(o.a, o.b, s); }},
      {"square", "a", [&](const Operands& o) { return e.square(o.a, s); }},
      {"multiply_plain", "ap",
       [&](const Operands& o) { return e.multiply_plain(o.a, o.plain, s); }},
      {"multiply_constant", "a",
       [&](const Operands& o) { return e.multiply_constant(o.a, 0.5, 0x1p20, s); }},
      {"multiply_integer", "a", [&](const Operands& o) { return e.multiply_integer(o.a, 3, s); }},
      {"multiply_plain_accumulate", "abp",
       [&](const Operands& o) {
         const std::vector<double> one{1.0};
         Ciphertext sum =
             e.multiply_plain(o.b, scheme.encoder.encode(Span<const double>(one), s), s);
         e.multiply_plain_accumulate(o.a, o.plain, sum, s);
         return sum;
       }},
      {"LinearTransform", "ag",
       [&](const Operands& o) {
         std::vector<double> matrix(32 * 32);
         for (std::size_t j = 0; j < 32; ++j)
           matrix[j * 32 + j] = matrix[j * 32 + (j + 1) % 32] = 0.5;
         return LinearTransform::from_matrix(
                    scheme.encoder, kernels::MatrixView<const double>(matrix.data(), 32, 32), s)
             .apply(e, o.a, o.galois, s);
       }},
      {"polynomial", "ar",
       [&](const Operands& o) {
         return evaluate(e, o.a, {Polynomial::Basis::kMonomial, {0.25, 0.5, 0.5}, 1.0},
                         o.relinearization, s);
       }},
      {"Chebyshev polynomial", "ar",
       [&](const Operands& o) {
         return evaluate(e, o.a, {Polynomial::Basis::kChebyshev, {0.25, 0.5, 0.5}, 1.0},
                         o.relinearization, s);
       }},
      {"relinearize", "ar",
       [&](const Operands& o) { return e.relinearize(e.square(o.a, s), o.relinearization, s); }},
      {"rescale", "a", [&](const Operands& o) { return e.rescale(e.square(o.a, s), s); }},
      {"drop_to_level", "a", [&](const Operands& o) { return e.drop_to_level(o.a, 0, s); }},
      {"adjust", "a",
       [&](const Operands& o) {
         return e.adjust(o.a, 0, scheme.context->parameters().scale(0), s);
       }},
      {"adjust to what it is", "a",
       [&](const Operands& o) { return e.adjust(o.a, o.a.level(), o.a.scale(), s); }},
      {"rotate", "ag", [&](const Operands& o) { return e.rotate(o.a, 1, o.galois, s); }},
      {"rotate by nothing", "a", [&](const Operands& o) { return e.rotate(o.a, 0, o.galois, s); }},
      {"conjugate", "ag", [&](const Operands& o) { return e.conjugate(o.a, o.galois, s); }},
      {"rotate hoisted", "ag",
       [&](const Operands& o) { return e.rotate(e.hoist(o.a, s), 1, o.galois, s); }},
      {"rotate hoisted by nothing", "a",
       [&](const Operands& o) { return e.rotate(e.hoist(o.a, s), 0, o.galois, s); }},
      {"sum_slots", "ag", [&](const Operands& o) { return e.sum_slots(o.a, 2, o.galois, s); }},
      {"switch_key", "as",
       [&, id](const Operands& o) { return e.switch_key(o.a, o.switching, id, s); }},
  };
}

template <typename Object, typename Load>
auto reloaded(const Object& object, const Scheme& scheme, const Load& load) {
  std::stringstream file;
  save(file, object, scheme.stream);
  return load(file, scheme.context, scheme.stream, LoadOptions{});
}
Plaintext reloaded(const Plaintext& plaintext, const Scheme& scheme) {
  std::stringstream file;
  save(file, plaintext, scheme.stream);
  return load_plaintext(file, scheme.context, scheme.stream);
}

TEST_P(HistoryOnEveryBackend, IsUnknownWhereverSomethingLoadedWentIn) {
  Scheme scheme(small_insecure_parameters(6, 45, 2), GetParam(), 1, {1});
  const Stream& stream = scheme.stream;
  const Plaintext plain = scheme.encode(scheme.random_slots(1));
  const Ciphertext a = scheme.encryptor.encrypt(plain, stream);
  const Ciphertext b = scheme.symmetric.encrypt(plain, stream);
  const SecretKey other = scheme.generator.secret_key(stream);
  const KeySwitchingKey switching =
      scheme.generator.key_switching_key(*scheme.secret, other, stream);

  const Ciphertext loaded_a = reloaded(a, scheme, load_ciphertext);
  const Ciphertext loaded_b = reloaded(b, scheme, load_ciphertext);
  const Plaintext loaded_plain = reloaded(plain, scheme);
  const RelinearizationKey loaded_relinearization =
      reloaded(scheme.relinearization, scheme, load_relinearization_key);
  const GaloisKeys loaded_galois = reloaded(scheme.galois, scheme, load_galois_keys);
  const KeySwitchingKey loaded_switching = reloaded(switching, scheme, load_key_switching_key);

  for (const Operation& operation : every_operation(scheme)) {
    SCOPED_TRACE(operation.name);
    const Operands known{a, b, plain, scheme.relinearization, scheme.galois, switching};
    EXPECT_EQ(operation.run(known).history(), History::kKnown);
    const std::string uses = operation.uses;
    for (const char one : std::string("abprgs")) {  // this one alone was loaded
      const Operands operands{one == 'a' ? loaded_a : a,
                              one == 'b' ? loaded_b : b,
                              one == 'p' ? loaded_plain : plain,
                              one == 'r' ? loaded_relinearization : scheme.relinearization,
                              one == 'g' ? loaded_galois : scheme.galois,
                              one == 's' ? loaded_switching : switching};
      EXPECT_EQ(operation.run(operands).history(),
                uses.find(one) == std::string::npos ? History::kKnown : History::kUnknown)
          << one;
    }
  }
}

// What is known of a message, too, follows from what went in: real slots from nothing but real
// ones.
TEST_P(HistoryOnEveryBackend, SlotsAreKnownToBeRealWhereNothingElseWentIn) {
  Scheme scheme(small_insecure_parameters(6, 45, 2), GetParam(), 4, {1});
  const Stream& stream = scheme.stream;
  const std::vector<double> reals(32, 0.5), small(32, 0.01);
  const Plaintext real_plain = scheme.encoder.encode(Span<const double>(reals), stream);
  const Plaintext complex_plain = scheme.encode(Complexes(32, 0.5));  // if only by their type
  const Plaintext coefficients_plain = scheme.encoder.encode_coefficients(
      Span<const double>(small), stream, {.message_bound = 0.01});
  EXPECT_EQ(real_plain.noise().form, MessageForm::kRealSlots);
  EXPECT_EQ(complex_plain.noise().form, MessageForm::kAny);
  EXPECT_EQ(coefficients_plain.noise().form, MessageForm::kCoefficients);
  const Ciphertext real = scheme.encryptor.encrypt(real_plain, stream);
  EXPECT_EQ(scheme.symmetric.encrypt(real_plain, stream).noise().form, MessageForm::kRealSlots);
  const SecretKey other = scheme.generator.secret_key(stream);
  const KeySwitchingKey switching =
      scheme.generator.key_switching_key(*scheme.secret, other, stream);
  for (const Plaintext* const unknown : {&complex_plain, &coefficients_plain}) {
    const Ciphertext not_real = scheme.encryptor.encrypt(*unknown, stream);
    for (const Operation& operation : every_operation(scheme)) {
      SCOPED_TRACE(operation.name);
      const auto form = [&](char one) {
        return operation
            .run({one == 'a' ? not_real : real, one == 'b' ? not_real : real,
                  one == 'p' ? *unknown : real_plain, scheme.relinearization, scheme.galois,
                  switching})
            .noise()
            .form;
      };
      EXPECT_EQ(form('-'), MessageForm::kRealSlots);
      const std::string uses = operation.uses;
      for (const char one : std::string("abp")) {
        EXPECT_EQ(form(one) == MessageForm::kRealSlots, uses.find(one) == std::string::npos) << one;
      }
    }
  }
  EXPECT_EQ(scheme.decryptor.decrypt_for_owner(real, stream).noise().form, MessageForm::kRealSlots);
  EXPECT_EQ(reloaded(real, scheme, load_ciphertext).noise().form, MessageForm::kRealSlots);
  Ciphertext declared = scheme.encryptor.encrypt(complex_plain, stream);
  declared.declare_real_slots();
  EXPECT_EQ(declared.noise().form, MessageForm::kRealSlots);
  // A matrix of complex numbers makes complex slots of real ones.
  const LinearTransform transform =
      LinearTransform::from_diagonals(scheme.encoder, 32, {{0, Complexes(32, {0.0, 1.0})}}, stream);
  EXPECT_EQ(transform.apply(scheme.evaluator, real, scheme.galois, stream).noise().form,
            MessageForm::kAny);
}

TEST_P(HistoryOnEveryBackend, GoesThroughEncryptionAndDecryption) {
  const Scheme scheme(small_insecure_parameters(6, 45, 1), GetParam(), 2);
  const Stream& stream = scheme.stream;
  const Plaintext plain = scheme.encode(scheme.random_slots(2));
  const Plaintext loaded = reloaded(plain, scheme);
  EXPECT_EQ(plain.history(), History::kKnown);
  EXPECT_EQ(loaded.history(), History::kUnknown);
  EXPECT_EQ(scheme.encryptor.encrypt(plain, stream).history(), History::kKnown);
  EXPECT_EQ(scheme.encryptor.encrypt(loaded, stream).history(), History::kUnknown);
  EXPECT_EQ(scheme.symmetric.encrypt(plain, stream).history(), History::kKnown);
  EXPECT_EQ(scheme.symmetric.encrypt(loaded, stream).history(), History::kUnknown);
  const SeededCiphertext seeded =
      reloaded(scheme.symmetric.encrypt_seeded(plain, stream), scheme, load_seeded_ciphertext);
  EXPECT_EQ(seeded.history(), History::kUnknown);
  EXPECT_EQ(seeded.expand(stream).history(), History::kUnknown);

  PublicKey key = reloaded(*scheme.public_key, scheme, load_public_key);
  const auto encrypted = [&] {
    return Encryptor(std::make_shared<const PublicKey>(
                         reloaded(*scheme.public_key, scheme, load_public_key)))
        .encrypt(plain, stream);
  };
  EXPECT_EQ(key.history(), History::kUnknown);
  EXPECT_EQ(encrypted().history(), History::kUnknown);
  key.vouch_for_history();
  EXPECT_EQ(
      Encryptor(std::make_shared<const PublicKey>(std::move(key))).encrypt(plain, stream).history(),
      History::kKnown);
  EXPECT_EQ(scheme.decryptor.decrypt_for_owner(encrypted(), stream).history(), History::kUnknown);
}

TEST_P(HistoryOnEveryBackend, AReleaseNeedsAKnownHistoryOrSomeoneWhoVouches) {
  const Scheme scheme(small_insecure_parameters(8, 58, 1), GetParam(), 3, {1});
  const Stream& stream = scheme.stream;
  const Complexes slots = scheme.random_slots(3);
  const Ciphertext mine = scheme.symmetric.encrypt(scheme.encode(slots), stream);
  const ReleasePolicy policy{.queries = 1, .statistical_bits = 20};
  EXPECT_NO_THROW(scheme.decryptor.decrypt_for_release(mine, policy, stream));

  Ciphertext loaded = reloaded(mine, scheme, load_ciphertext);
  EXPECT_THAT(error_of([&] { scheme.decryptor.decrypt_for_release(loaded, policy, stream); }),
              HasSubstr("Decryptor::decrypt_for_release: the ciphertext, or something that went "
                        "into it, was loaded"));
  EXPECT_THROW(scheme.decryptor.decrypt_for_release(scheme.evaluator.add(mine, loaded, stream),
                                                    policy, stream),
               std::invalid_argument);
  // Its owner may look.
  EXPECT_LE(error_between(scheme.decrypt(loaded), slots).largest, 1e-9);
  loaded.vouch_for_history();
  EXPECT_EQ(loaded.history(), History::kKnown);
  EXPECT_NO_THROW(scheme.decryptor.decrypt_for_release(loaded, policy, stream));
}

INSTANTIATE_TEST_SUITE_P(Backends, HistoryOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

}  // namespace
}  // namespace velum::he
