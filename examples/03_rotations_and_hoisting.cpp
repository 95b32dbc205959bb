// Moving numbers between slots: a moving average by rotations that share their work, and a matrix
// times an encrypted vector.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "velum/he/ckks/encoder.h"
#include "velum/he/ckks/evaluator.h"
#include "velum/he/ckks/linear_transform.h"
#include "velum/he/decryptor.h"
#include "velum/he/encryptor.h"
#include "velum/he/key_generator.h"

int main() {
  using namespace velum::he;
  const Stream stream = Stream::cpu(2);
  const auto context = Context::create(Parameters::for_depth(1, 25), stream);
  KeyGenerator generator(context);
  const auto secret = std::make_shared<const SecretKey>(generator.secret_key(stream));
  const Encoder encoder(context);
  const Evaluator evaluator(context);
  const SymmetricEncryptor encryptor(secret);
  const Decryptor decryptor(secret);

  constexpr std::size_t kSlots = 64;
  std::vector<double> x(kSlots);
  for (std::size_t i = 0; i < kSlots; ++i) x[i] = std::sin(0.7 * static_cast<double>(i * i));
  // 64 numbers, repeated to fill all slots: rotations go around after 64.
  const Ciphertext a = encryptor.encrypt(encoder.encode(Span<const double>(x), stream), stream);

  // The mean of each number and the seven after it. Every rotation needs the digits of the
  // ciphertext: hoist makes them once.
  std::vector<std::int64_t> steps{1, 2, 3, 4, 5, 6, 7};
  const GaloisKeys keys = generator.galois_keys(*secret, steps, false, stream);
  const HoistedCiphertext hoisted = evaluator.hoist(a, stream);
  Ciphertext sum = a.copy(stream);
  for (const std::int64_t step : steps) {
    sum = evaluator.add(sum, evaluator.rotate(hoisted, step, keys, stream), stream);
  }
  const Ciphertext mean = evaluator.rescale(
      evaluator.multiply_constant(sum, 1.0 / 8.0, context->parameters().level_modulus(sum.level()),
                                  stream),
      stream);
  std::vector<double> decoded(kSlots);
  encoder.decode(decryptor.decrypt_for_owner(mean, stream), Span<double>(decoded), stream);
  double largest = 0.0;
  for (std::size_t i = 0; i < kSlots; ++i) {
    double expected = 0.0;
    for (std::size_t k = 0; k < 8; ++k) expected += x[(i + k) % kSlots] / 8.0;
    largest = std::max(largest, std::abs(decoded[i] - expected));
  }
  std::printf("moving average: largest error 2^%.1f\n", std::log2(largest));

  // A dense 64 by 64 matrix: 64 diagonals, but only 14 rotations.
  std::vector<double> matrix(kSlots * kSlots);
  for (std::size_t i = 0; i < matrix.size(); ++i)
    matrix[i] = std::cos(static_cast<double>(i)) / kSlots;
  const LinearTransform transform = LinearTransform::from_matrix(
      encoder, velum::kernels::MatrixView<const double>(matrix.data(), kSlots, kSlots), stream);
  const GaloisKeys matrix_keys =
      generator.galois_keys(*secret, transform.rotations(), false, stream);
  const Ciphertext product = transform.apply(evaluator, a, matrix_keys, stream);
  encoder.decode(decryptor.decrypt_for_owner(product, stream), Span<double>(decoded), stream);
  double largest_of_product = 0.0;
  for (std::size_t i = 0; i < kSlots; ++i) {
    double expected = 0.0;
    for (std::size_t k = 0; k < kSlots; ++k) expected += matrix[i * kSlots + k] * x[k];
    largest_of_product = std::max(largest_of_product, std::abs(decoded[i] - expected));
  }
  std::printf("matrix times vector: %zu rotations, largest error 2^%.1f\n",
              transform.rotations().size(), std::log2(largest_of_product));
  return largest < 0x1p-20 && largest_of_product < 0x1p-20 ? 0 : 1;
}
