#include "velum/he/aggregation/encryptor.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "aggregation/rounds.h"
#include "aggregation/secret_product.h"
#include "secret_key_material.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he::aggregation {
namespace {

/// The value itself is a secret: it is not in the text.
void check_values(const char* function, const AggregationPlan& plan,
                  Span<const std::int32_t> values) {
  if (values.size() != plan.values()) {
    throw std::invalid_argument(std::string(function) +
                                ": values.size() = " + std::to_string(values.size()) +
                                ", expected plan.values() = " + std::to_string(plan.values()));
  }
  const std::int32_t low = plan.smallest_value(), high = plan.largest_value();
  std::uint32_t outside = 0;
  for (const std::int32_t value : values)
    outside |= static_cast<std::uint32_t>(value < low) | static_cast<std::uint32_t>(value > high);
  if (outside == 0) return;
  for (std::int64_t i = 0; i < values.size(); ++i) {
    if (values[i] < low || values[i] > high) {
      throw std::invalid_argument(
          std::string(function) + ": value " + std::to_string(i) + " is outside of " +
          std::to_string(low) + " to " + std::to_string(high) + ", the range of " +
          std::to_string(plan.request().bits) + " bits: clip or round before, or plan more bits");
    }
  }
}

}  // namespace

VectorEncryptor::VectorEncryptor(std::shared_ptr<const AggregationContext> context,
                                 std::shared_ptr<const SecretKey> secret, int owner,
                                 const Digest& group, threshold::OnceRegister once,
                                 std::shared_ptr<Randomness> randomness)
    : context_(std::move(context)),
      secret_(std::move(secret)),
      owner_(owner),
      group_(group),
      once_(std::move(once)),
      randomness_(std::move(randomness)) {
  const char* const function = "VectorEncryptor";
  check_member(function, context_, owner_, once_, randomness_);
  check_secret(function, *context_, secret_);
}

EncryptedVector VectorEncryptor::encrypt(std::uint64_t round, Span<const std::int32_t> values,
                                         const Stream& stream) const {
  const char* const function = "VectorEncryptor::encrypt";
  const Context& ring = *context_->ring();
  const AggregationPlan& plan = context_->plan();
  ring.check_stream(function, stream);
  check_values(function, plan, values);
  const Round here{group_, round};
  threshold::claim_once(once_, function, "he.aggregation.vector",
                        use_of(here, secret_->id().data(), secret_->id().size()),
                        "a vector of this owner in " + to_string(here));

  const SecretSeed seed(randomness_->next());
  const PublicSeed public_seed = public_seed_of(plan, here);
  const LimbIndices limbs = context_->limbs();
  const std::int64_t degree = ring.degree(), coefficients = plan.coefficients();
  const RnsView<const Word> secret = secret_->material().view(ring, 0, limbs.count);
  Buffer<Word> residues(context_->words(), stream);
  const RnsView<Word> all(residues.data(), plan.ciphertexts(), limbs.count, degree);
  // On a device the values need a copy there.
  Buffer<std::int32_t> copied(stream.backend() == Backend::kCuda ? values.size() : 0, stream);
  if (copied.size() > 0) {
    kernels::copy(values, copied.span(), stream);
    values = copied.span();
  }
  for_each_ciphertext(
      all.polys, stream, [&](std::int64_t first, std::int64_t count, const Stream& on) {
        const RnsView<Word> out = all.poly_range(first, count);
        SecretBuffer<Word> memory(count * limbs.count * degree, on);
        const RnsView<Word> product(memory.data(), count, limbs.count, degree);
        multiply_public(*context_, public_seed, first, secret, product, on);
        kernels::ntt_inverse_inplace(product, limbs, ring.tables(), on);
        SecretBuffer<std::int8_t> errors(count * degree, on);
        for (std::int64_t i = 0; i < count; ++i) {
          kernels::discrete_gaussian_fill(
              {errors.data() + i * degree, degree}, seed.key(),
              {kernels::Purpose::kHeError, 0, static_cast<std::uint64_t>(first + i), 0}, on);
        }
        kernels::small_to_residues(Span<const std::int8_t>(errors.span()), out, limbs,
                                   ring.moduli(), on);
        kernels::subtract<Word>(out, product, out, limbs, ring.moduli(), on);
        kernels::pack_digits_accumulate(values, coefficients, first * degree,
                                        static_cast<std::uint32_t>(-plan.smallest_value()), out,
                                        context_->packing(), on);
        kernels::synchronize(on);  // what is secret is wiped behind it
      });
  clear_unused(plan, all, stream);
  return {context_, here, owner_, secret_->id(), std::move(residues)};
}

}  // namespace velum::he::aggregation
