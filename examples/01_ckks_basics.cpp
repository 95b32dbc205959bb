// Computing on numbers that stay encrypted: encode, encrypt, add, multiply, decrypt.
//
// The owner holds the secret key. Whoever computes holds the public key and the relinearisation key
// and learns nothing about the numbers.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "velum/he/ckks/encoder.h"
#include "velum/he/ckks/evaluator.h"
#include "velum/he/decryptor.h"
#include "velum/he/encryptor.h"
#include "velum/he/key_generator.h"

int main() {
  using namespace velum::he;
  const Stream stream = Stream::cpu(2);

  // Two multiplications in a row, 25 bits after the binary point, 128-bit security.
  const auto context = Context::create(Parameters::for_depth(2, 25), stream);
  std::printf("%s\n", context->parameters().to_string().c_str());

  // The owner.
  KeyGenerator generator(context);
  const auto secret = std::make_shared<const SecretKey>(generator.secret_key(stream));
  const auto public_key = std::make_shared<const PublicKey>(generator.public_key(*secret, stream));
  const RelinearizationKey relinearization = generator.relinearization_key(*secret, stream);
  const Encoder encoder(context);
  const Encryptor encryptor(public_key);
  std::vector<double> x(static_cast<std::size_t>(context->parameters().max_slots())), y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = std::sin(0.001 * static_cast<double>(i));
    y[i] = std::cos(0.001 * static_cast<double>(i));
  }
  // Magnitudes up to 1 are promised, the default of EncodeOptions::message_bound, and checked.
  const Ciphertext a = encryptor.encrypt(encoder.encode(Span<const double>(x), stream), stream);
  const Ciphertext b = encryptor.encrypt(encoder.encode(Span<const double>(y), stream), stream);

  // Whoever computes: (x y + x) x, slot by slot. A product has the product of the scales; rescale
  // brings it back and uses up a level; adjust brings what is still higher to the same level and
  // scale.
  const Evaluator evaluator(context);
  const auto product = [&](const Ciphertext& u, const Ciphertext& v) {
    return evaluator.rescale(
        evaluator.relinearize(evaluator.multiply(u, v, stream), relinearization, stream), stream);
  };
  const Ciphertext ab = product(a, b);
  const Ciphertext a_lower = evaluator.adjust(a, ab.level(), ab.scale(), stream);
  const Ciphertext result = product(evaluator.add(ab, a_lower, stream), a_lower);

  // The owner again. This decryption is for the owner's eyes: what leaves the house goes through
  // decrypt_for_release.
  std::vector<double> decoded(x.size());
  encoder.decode(Decryptor(secret).decrypt_for_owner(result, stream), Span<double>(decoded),
                 stream);
  double largest = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    largest = std::max(largest, std::abs(decoded[i] - (x[i] * y[i] + x[i]) * x[i]));
  }
  std::printf("%zu results at level %d; largest error 2^%.1f, estimated precision %.1f bits\n",
              x.size(), result.level(), std::log2(largest), result.estimated_precision_bits());
  return largest < 0x1p-20 ? 0 : 1;
}
