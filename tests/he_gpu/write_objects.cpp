// Writes one object of every kind, and the numbers that they hold, into a folder: for
// decrypt_with_integers.py and for the corpus of the fuzz target. The same bytes every time.
#include <complex>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "velum/he/bfv/batch_encoder.h"
#include "velum/he/bfv/coefficient_encoder.h"
#include "velum/he/bfv/encryptor.h"
#include "velum/he/bfv/evaluator.h"
#include "velum/he/bfv/serialization.h"
#include "velum/he/ckks/encoder.h"
#include "velum/he/ckks/evaluator.h"
#include "velum/he/encryptor.h"
#include "velum/he/key_generator.h"
#include "velum/he/serialization.h"
#include "velum/he/threshold/combine.h"
#include "velum/he/threshold/serialization.h"

namespace he = velum::he;
using velum::kernels::Span;
using velum::kernels::Stream;

namespace {

using Slots = std::vector<std::complex<double>>;

template <typename Save>
void write_file(const std::string& path, const Save& save) {
  std::ofstream out(path, std::ios::binary);
  save(out);
  out.close();
  if (!out) throw std::runtime_error("cannot write " + path);
}

void write_slots(const std::string& path, const Slots& slots) {
  write_file(path, [&](std::ostream& out) {
    char line[64];
    for (const auto& slot : slots) {
      std::snprintf(line, sizeof line, "%.17g %.17g\n", slot.real(), slot.imag());
      out << line;
    }
  });
}

void write_integers(const std::string& path, const std::vector<std::int64_t>& values) {
  write_file(path, [&](std::ostream& out) {
    for (const std::int64_t value : values) out << value << "\n";
  });
}

/// The same of BFV, modulo 257, which has slots in every ring up to N = 128.
void write_bfv(const std::string& folder, int log_n, const Stream& stream) {
  const auto randomness = he::Randomness::insecure_from_seed(2018);
  const auto context = he::Context::create(he::ParametersBuilder()
                                               .log_n(log_n)
                                               .plaintext_modulus(257)
                                               .modulus_bits(60)
                                               .dnum(2)
                                               .insecure_without_security_check()
                                               .build(),
                                           stream);
  he::KeyGenerator generator(context, randomness);
  const auto secret = std::make_shared<const he::SecretKey>(generator.secret_key(stream));
  const auto public_key =
      std::make_shared<const he::PublicKey>(generator.public_key(*secret, stream));
  const he::RelinearizationKey relinearization = generator.relinearization_key(*secret, stream);
  const he::GaloisKeys galois = generator.galois_keys(*secret, {1}, false, stream);
  const std::int64_t n = context->degree();
  std::vector<std::int64_t> slots, squares, turned;
  for (std::int64_t i = 0; i < n; ++i) slots.push_back((i * i * 37 + 11 * i) % 257 - 128);
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t square = slots[static_cast<std::size_t>(i)];
    squares.push_back(square * square);
    const std::int64_t row = i / (n / 2) * (n / 2);
    turned.push_back(slots[static_cast<std::size_t>(row + (i + 1) % (n / 2))]);
  }
  const he::bfv::Plaintext plaintext =
      he::bfv::BatchEncoder(context).encode(Span<const std::int64_t>(slots), stream);
  const he::bfv::Evaluator evaluator(context);
  const he::bfv::Ciphertext ciphertext =
      he::bfv::Encryptor(public_key, randomness).encrypt(plaintext, stream);
  const he::bfv::SeededCiphertext seeded =
      he::bfv::SymmetricEncryptor(secret, randomness).encrypt_seeded(plaintext, stream);
  const he::bfv::Ciphertext product = evaluator.square(seeded.expand(stream), stream);

  const auto file = [&](const char* name, const auto& save) { write_file(folder + name, save); };
  using Out = std::ostream;
  file("bfv_parameters", [&](Out& out) { he::save(out, context->parameters()); });
  file("bfv_plaintext", [&](Out& out) { save(out, plaintext, stream); });
  file("bfv_ciphertext", [&](Out& out) { save(out, ciphertext, stream); });
  file("bfv_seeded_ciphertext", [&](Out& out) { save(out, seeded, stream); });
  file("bfv_symmetric", [&](Out& out) { save(out, seeded.expand(stream), stream); });
  file("bfv_product", [&](Out& out) { save(out, product, stream); });
  file("bfv_relinearized", [&](Out& out) {
    save(out, evaluator.relinearize(product, relinearization, stream), stream);
  });
  file("bfv_rotated",
       [&](Out& out) { save(out, evaluator.rotate_rows(ciphertext, 1, galois, stream), stream); });
  file("bfv_switched",
       [&](Out& out) { save(out, evaluator.mod_switch_to(ciphertext, 0, stream), stream); });
  file("bfv_secret_key", [&](Out& out) { he::save_secret_key_unencrypted(out, *secret, stream); });
  write_integers(folder + "bfv_slots.txt", slots);
  write_integers(folder + "bfv_squares.txt", squares);
  write_integers(folder + "bfv_turned.txt", turned);
}

/// A group of three, two of whom decrypt, and a message of every kind. The seed of the group is
/// that of the fuzz target.
void write_threshold(const std::string& folder, int log_n, const Stream& stream) {
  using namespace he::threshold;
  const auto randomness = he::Randomness::insecure_from_seed(2022);
  const auto context = he::Context::create(he::ParametersBuilder()
                                               .log_n(log_n)
                                               .plaintext_modulus(97)
                                               .modulus_bits(60)
                                               .dnum(2)
                                               .parties(3)
                                               .insecure_without_security_check()
                                               .build(),
                                           stream);
  const Group group(context, {3, 2, {.statistical_bits = 10}}, {{1, 2, 3, 4, 5, 6, 7, 8}});
  const OnceRegister once = once_register_that_forgets_on_restart();
  std::vector<Party> parties;
  std::vector<PublicKeyShare> keys;
  std::vector<RelinearizationShareOne> ones;
  std::vector<std::vector<SecretShare>> for_party(3);
  for (int i = 1; i <= 3; ++i) {
    Party& party = parties.emplace_back(group, i, once, stream, randomness);
    keys.push_back(party.public_key_share(stream));
    ones.push_back(party.relinearization_share_one(stream));
    for (SecretShare& share : party.deal_secret_shares(stream))
      for_party[static_cast<std::size_t>(share.receiver()) - 1].push_back(std::move(share));
  }
  const RelinearizationRoundOne sum = combine_round_one(group, ones, stream);
  using Out = std::ostream;
  const auto file = [&](const char* name, const auto& write) { write_file(folder + name, write); };
  file("threshold_parameters", [&](Out& out) { he::save(out, context->parameters()); });
  file("group", [&](Out& out) { save(out, group); });
  file("public_key_share", [&](Out& out) { save(out, keys[0], stream); });
  file("relinearization_share_one", [&](Out& out) { save(out, ones[1], stream); });
  file("relinearization_round_one", [&](Out& out) { save(out, sum, stream); });
  file("relinearization_share_two",
       [&](Out& out) { save(out, parties[0].relinearization_share_two(sum, stream), stream); });
  file("galois_key_share",
       [&](Out& out) { save(out, parties[2].galois_key_share(5, stream), stream); });
  file("secret_share",
       [&](Out& out) { save_secret_share_unencrypted(out, for_party[1][0], stream); });
  file("new_party", [&](Out& out) { save_party_unencrypted(out, parties[0], stream); });
  for (std::size_t i = 0; i < 3; ++i)
    parties[i].receive_secret_shares(std::move(for_party[i]), stream);
  file("party", [&](Out& out) { save_party_unencrypted(out, parties[0], stream); });
  he::PublicKey key = combine_public_key(group, keys, stream);
  key.vouch_for_history();
  const std::vector<std::int64_t> values{1, 2, 3};
  const he::bfv::Ciphertext ciphertext =
      he::bfv::Encryptor(std::make_shared<const he::PublicKey>(std::move(key)), randomness)
          .encrypt(
              he::bfv::CoefficientEncoder(context).encode(Span<const std::int64_t>(values), stream),
              stream);
  file("decryption_share", [&](Out& out) {
    save(out, parties[1].decryption_share(ciphertext, {1, 2}, stream), stream);
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s FOLDER LOG_N SCALE_BITS\n", argv[0]);
    return 2;
  }
  const std::string folder = std::string(argv[1]) + "/";
  const Stream stream = Stream::serial();
  const auto randomness = he::Randomness::insecure_from_seed(2463);
  const auto context = he::Context::create(he::ParametersBuilder()
                                               .log_n(std::atoi(argv[2]))
                                               .scale_bits(std::atoi(argv[3]))
                                               .depth(1)
                                               .dnum(2)
                                               .insecure_without_security_check()
                                               .build(),
                                           stream);
  he::KeyGenerator generator(context, randomness);
  const auto secret = std::make_shared<const he::SecretKey>(generator.secret_key(stream));
  const he::SecretKey other = generator.secret_key(stream);
  const auto public_key =
      std::make_shared<const he::PublicKey>(generator.public_key(*secret, stream));
  const he::RelinearizationKey relinearization = generator.relinearization_key(*secret, stream);
  const he::GaloisKeys galois = generator.galois_keys(*secret, {1}, true, stream);
  const he::KeySwitchingKey switching = generator.key_switching_key(*secret, other, stream);

  const auto slot_count = static_cast<std::size_t>(context->parameters().max_slots());
  Slots slots, squares, turned;
  for (std::size_t i = 0; i < slot_count; ++i) {
    slots.push_back(std::polar(0.9, 0.37 * static_cast<double>(i)) * (i % 3 == 0 ? 0.5 : 1.0));
  }
  for (std::size_t i = 0; i < slot_count; ++i) {
    squares.push_back(slots[i] * slots[i]);
    turned.push_back(slots[(i + 1) % slot_count]);
  }
  const he::Plaintext plaintext =
      he::Encoder(context).encode(Span<const std::complex<double>>(slots), stream);
  const he::Evaluator evaluator(context);
  const he::Ciphertext ciphertext =
      he::Encryptor(public_key, randomness).encrypt(plaintext, stream);
  const he::SeededCiphertext seeded =
      he::SymmetricEncryptor(secret, randomness).encrypt_seeded(plaintext, stream);
  const he::Ciphertext product = evaluator.square(seeded.expand(stream), stream);
  const he::Ciphertext rescaled =
      evaluator.rescale(evaluator.relinearize(product, relinearization, stream), stream);

  const auto file = [&](const char* name, const auto& save) { write_file(folder + name, save); };
  using Out = std::ostream;
  file("parameters", [&](Out& out) { he::save(out, context->parameters()); });
  file("plaintext", [&](Out& out) { he::save(out, plaintext, stream); });
  file("ciphertext", [&](Out& out) { he::save(out, ciphertext, stream); });
  file("product", [&](Out& out) { he::save(out, product, stream); });
  file("rescaled", [&](Out& out) { he::save(out, rescaled, stream); });
  file("rotated",
       [&](Out& out) { he::save(out, evaluator.rotate(ciphertext, 1, galois, stream), stream); });
  file("seeded_ciphertext", [&](Out& out) { he::save(out, seeded, stream); });
  file("symmetric", [&](Out& out) { he::save(out, seeded.expand(stream), stream); });
  file("public_key", [&](Out& out) { he::save(out, *public_key, stream); });
  file("key_switching_key", [&](Out& out) { he::save(out, switching, stream); });
  file("relinearization_key", [&](Out& out) { he::save(out, relinearization, stream); });
  file("galois_keys", [&](Out& out) { he::save(out, galois, stream); });
  file("galois_key", [&](Out& out) {
    he::save_galois_key(out, galois.keys.begin()->first, galois.keys.begin()->second, stream);
  });
  file("secret_key", [&](Out& out) { he::save_secret_key_unencrypted(out, *secret, stream); });
  file("other_secret_key", [&](Out& out) { he::save_secret_key_unencrypted(out, other, stream); });
  write_slots(folder + "slots.txt", slots);
  write_slots(folder + "squares.txt", squares);
  write_slots(folder + "turned.txt", turned);
  write_bfv(folder, std::atoi(argv[2]), stream);
  write_threshold(folder, std::atoi(argv[2]), stream);
  return 0;
}
