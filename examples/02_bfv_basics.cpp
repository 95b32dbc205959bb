// Exact arithmetic on integers that stay encrypted: slots, sums, products, rotations, and the noise
// budget that all of it uses up.
//
// A shop keeps prices and quantities secret from whoever computes its revenue. Integers modulo t
// come back exactly, as long as the budget lasts; whatever would overdraw it is an error before it
// is computed.

#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "velum/he/bfv/batch_encoder.h"
#include "velum/he/bfv/decryptor.h"
#include "velum/he/bfv/encryptor.h"
#include "velum/he/bfv/evaluator.h"
#include "velum/he/key_generator.h"

int main() {
  using namespace velum::he;
  const Stream stream = Stream::cpu(2);

  // Room for two multiplications in a row, results below 2^36, 128-bit security.
  const auto context = Context::create(Parameters::bfv_for_depth(2, 37), stream);
  std::printf("%s\n", context->parameters().to_string().c_str());

  // The owner. Rotations of 1, 2, 4, .. slots and the exchange of the two rows add up all slots.
  KeyGenerator generator(context);
  const auto secret = std::make_shared<const SecretKey>(generator.secret_key(stream));
  const auto public_key = std::make_shared<const PublicKey>(generator.public_key(*secret, stream));
  const RelinearizationKey relinearization = generator.relinearization_key(*secret, stream);
  const bfv::BatchEncoder encoder(context);
  std::vector<std::int64_t> steps;
  for (std::int64_t step = 1; step < encoder.row_size(); step *= 2) steps.push_back(step);
  const GaloisKeys galois = generator.galois_keys(*secret, steps, true, stream);

  std::vector<std::int64_t> prices, quantities;
  for (std::int64_t i = 0; i < encoder.slots(); ++i) {
    prices.push_back(100 + 37 * i % 900);
    quantities.push_back(i % 11);
  }
  const bfv::Encryptor encryptor(public_key);
  const auto encrypted = [&](const std::vector<std::int64_t>& values) {
    return encryptor.encrypt(encoder.encode(Span<const std::int64_t>(values), stream), stream);
  };
  const bfv::Ciphertext price = encrypted(prices), quantity = encrypted(quantities);
  const bfv::Decryptor decryptor(secret);
  const auto show = [&](const char* what, const bfv::Ciphertext& c) {
    std::printf("%-28s level %d, budget %5.1f bits, at least %5.1f were promised\n", what,
                c.level(), decryptor.noise_budget_for_owner(c, stream), c.noise_budget_estimate());
  };
  show("fresh", price);

  // Whoever computes: revenue of each article, at a lower level, where all else is cheaper.
  const bfv::Evaluator evaluator(context);
  const bfv::Ciphertext product =
      evaluator.relinearize(evaluator.multiply(price, quantity, stream), relinearization, stream);
  show("price x quantity", product);
  bfv::Ciphertext sum = evaluator.mod_switch_to(product, product.level() - 1, stream);
  show("one level down", sum);
  for (const std::int64_t step : steps)
    sum = evaluator.add(sum, evaluator.rotate_rows(sum, step, galois, stream), stream);
  sum = evaluator.add(sum, evaluator.rotate_columns(sum, galois, stream), stream);
  show("all slots added up", sum);

  // The owner again. The result is exact and tells nothing of the noise: it may leave the house.
  std::vector<std::int64_t> total(1);
  encoder.decode(decryptor.decrypt_for_release(sum, stream), Span<std::int64_t>(total), stream);
  std::int64_t expected = 0;
  for (std::size_t i = 0; i < prices.size(); ++i) expected += prices[i] * quantities[i];
  std::printf("revenue: %lld, expected %lld\n", static_cast<long long>(total[0]),
              static_cast<long long>(expected));
  return total[0] == expected ? 0 : 1;
}
