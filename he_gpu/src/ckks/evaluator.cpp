#include "velum/he/ckks/evaluator.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "ckks/format_number.h"
#include "ckks/scales.h"
#include "key_switching.h"
#include "noise.h"
#include "residues_of.h"
#include "velum/kernels/polynomial/automorphism.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he {
namespace {

std::string scale_text(double scale, int level) {
  char text[64];
  std::snprintf(text, sizeof text, "scale 2^%.9g at level %d", std::log2(scale), level);
  return text;
}

[[noreturn]] void reject(const char* function, const std::string& text) {
  throw std::invalid_argument(std::string("Evaluator::") + function + ": " + text);
}

/// A ciphertext's polynomials, still without values.
struct Blank {
  Blank(const Ciphertext& shape, const Stream& stream)
      : residues(shape.view().polys * shape.view().limbs * shape.view().degree, stream),
        view(residues.data(), shape.view().polys, shape.view().limbs, shape.view().degree) {}
  Buffer<Word> residues;
  RnsView<Word> view;
};

NoiseEstimate product_of(const NoiseEstimate& a, double scale_a, const NoiseEstimate& b,
                         double scale_b) {
  return noise::estimate(noise::multiplied(a, scale_a, b, scale_b),
                         a.message_bound * b.message_bound, noise::form_of_product(a.form, b.form));
}

}  // namespace

Evaluator::Evaluator(std::shared_ptr<const Context> context) : context_(std::move(context)) {
  if (context_ == nullptr) throw std::invalid_argument("Evaluator: context is null");
  context_->check_scheme("Evaluator", SchemeType::kCkks);
}

void Evaluator::check(const char* function, const Ciphertext& a, const Stream& stream) const {
  context_->check_stream(function, stream);
  if (a.context() != context_) reject(function, "the ciphertext belongs to another context");
}

void Evaluator::check_pair(const char* function, const Ciphertext& a, const Ciphertext& b,
                           const Stream& stream) const {
  check(function, a, stream);
  check(function, b, stream);
  if (a.key_id() != b.key_id()) {
    reject(function, "the operands belong to different keys, " + to_string(a.key_id()) + " and " +
                         to_string(b.key_id()));
  }
  if (a.level() != b.level()) {
    reject(function,
           scale_text(a.scale(), a.level()) + " and " + scale_text(b.scale(), b.level()) +
               " differ in level; bring the higher one down with adjust or drop_to_level first");
  }
}

NoiseEstimate Evaluator::fitting(const char* function, int level, double scale,
                                 const NoiseEstimate& noise, const char* remedy) const {
  const double largest =
      noise::largest_coefficient(noise, scale, static_cast<double>(context_->degree()));
  if (!(std::log2(largest) + 1.0 < context_->parameters().log_q(level))) {
    reject(function, "a message of magnitude " + format_number(noise.message_bound) + " at " +
                         scale_text(scale, level) + " with an error of up to " +
                         format_number(noise.slot_bound / scale) +
                         " does not fit the modulus of 2^" +
                         std::to_string(context_->parameters().log_q(level)) + "; " + remedy);
  }
  return noise;
}

NoiseEstimate Evaluator::fitting(const char* function, int level, double scale,
                                 const NoiseEstimate& noise) const {
  return fitting(function, level, scale, noise,
                 "rescale earlier, or take parameters with more levels or base_bits");
}

NoiseEstimate Evaluator::sum_of(const char* function, int level, double scale,
                                const NoiseEstimate& a, const NoiseEstimate& b,
                                const SumOptions& options) const {
  if (!(options.message_bound >= 0.0 && std::isfinite(options.message_bound))) {
    reject(function, "SumOptions::message_bound = " + format_number(options.message_bound) +
                         ", expected finite and > 0, or 0");
  }
  NoiseEstimate sum =
      noise::estimate(noise::error_of(a) + noise::error_of(b), a.message_bound + b.message_bound,
                      noise::form_of_sum(a.form, b.form));
  if (options.message_bound > 0.0 && options.message_bound < sum.message_bound)
    sum = noise::with_message_bound(sum, options.message_bound);
  return fitting(function, level, scale, sum,
                 "add at a higher level or a smaller scale, give SumOptions::message_bound if the "
                 "sum is known to be smaller, or take parameters with more base_bits");
}

NoiseEstimate Evaluator::switched(const char* function, int level, double scale,
                                  const NoiseEstimate& noise, bool relinearizes) const {
  const noise::Error error = noise::key_switching(
      context_->parameters(), level,
      relinearizes ? noise::Switching::kRelinearization : noise::Switching::kPlain);
  return fitting(function, level, scale, noise::with_error(noise, noise::error_of(noise) + error));
}

Ciphertext Evaluator::add(const Ciphertext& a, const Ciphertext& b, const Stream& stream,
                          const SumOptions& options) const {
  check_pair("add", a, b, stream);
  if (!scales_match(a.scale(), b.scale())) {
    reject("add",
           scale_text(a.scale(), a.level()) + " and " + scale_text(b.scale(), b.level()) +
               " differ; bring one to the other with adjust, or rescale the second operand first");
  }
  if (a.size() < b.size()) return add(b, a, stream, options);
  const NoiseEstimate noise = sum_of("add", a.level(), a.scale(), a.noise(), b.noise(), options);
  const int shared = b.size();
  Blank out(a, stream);
  kernels::add<Word>(a.view().poly_range(0, shared), b.view(), out.view.poly_range(0, shared),
                     context_->q_limbs(a.level()), context_->moduli(), stream);
  if (shared < a.size()) {
    kernels::copy_limbs<Word>(a.view().poly_range(shared, a.size() - shared),
                              out.view.poly_range(shared, a.size() - shared), stream);
  }
  return {context_,  a.key_id(), std::move(out.residues),           a.size(), a.level(),
          a.scale(), noise,      combined(a.history(), b.history())};
}

Ciphertext Evaluator::subtract(const Ciphertext& a, const Ciphertext& b, const Stream& stream,
                               const SumOptions& options) const {
  check_pair("subtract", a, b, stream);
  if (!scales_match(a.scale(), b.scale())) {
    reject("subtract",
           scale_text(a.scale(), a.level()) + " and " + scale_text(b.scale(), b.level()) +
               " differ; bring one to the other with adjust, or rescale the second operand first");
  }
  const NoiseEstimate noise =
      sum_of("subtract", a.level(), a.scale(), a.noise(), b.noise(), options);
  if (a.size() < b.size()) return add(negate(b, stream), a, stream, options);
  const int shared = b.size();
  Blank out(a, stream);
  kernels::subtract<Word>(a.view().poly_range(0, shared), b.view(), out.view.poly_range(0, shared),
                          context_->q_limbs(a.level()), context_->moduli(), stream);
  if (shared < a.size()) {
    kernels::copy_limbs<Word>(a.view().poly_range(shared, a.size() - shared),
                              out.view.poly_range(shared, a.size() - shared), stream);
  }
  return {context_,  a.key_id(), std::move(out.residues),           a.size(), a.level(),
          a.scale(), noise,      combined(a.history(), b.history())};
}

Ciphertext Evaluator::negate(const Ciphertext& a, const Stream& stream) const {
  check("negate", a, stream);
  Blank out(a, stream);
  kernels::negate<Word>(a.view(), out.view, context_->q_limbs(a.level()), context_->moduli(),
                        stream);
  return {context_,  a.key_id(), std::move(out.residues), a.size(), a.level(), a.scale(),
          a.noise(), a.history()};
}

void Evaluator::check_plain(const char* function, const Ciphertext& a, const Plaintext& b,
                            const Stream& stream) const {
  check(function, a, stream);
  if (b.context() != context_) reject(function, "the plaintext belongs to another context");
  if (a.level() != b.level()) {
    reject(function, scale_text(a.scale(), a.level()) + " and a plaintext of " +
                         scale_text(b.scale(), b.level()) +
                         " differ in level; encode the plaintext at level " +
                         std::to_string(a.level()));
  }
}

Ciphertext Evaluator::add_plain(const Ciphertext& a, const Plaintext& b, const Stream& stream,
                                const SumOptions& options) const {
  check_plain("add_plain", a, b, stream);
  if (!scales_match(a.scale(), b.scale())) {
    reject("add_plain", scale_text(a.scale(), a.level()) + " and a plaintext of " +
                            scale_text(b.scale(), b.level()) +
                            " differ; encode the plaintext at the ciphertext's scale");
  }
  const NoiseEstimate noise =
      sum_of("add_plain", a.level(), a.scale(), a.noise(), b.noise(), options);
  Ciphertext out = a.copy(stream);
  const RnsView<Word> head = out.mutable_view().poly_range(0, 1);
  kernels::add<Word>(head, b.view(), head, context_->q_limbs(a.level()), context_->moduli(),
                     stream);
  out.set_noise(noise, combined(a.history(), b.history()));
  return out;
}

Ciphertext Evaluator::subtract_plain(const Ciphertext& a, const Plaintext& b, const Stream& stream,
                                     const SumOptions& options) const {
  check_plain("subtract_plain", a, b, stream);
  if (!scales_match(a.scale(), b.scale())) {
    reject("subtract_plain", scale_text(a.scale(), a.level()) + " and a plaintext of " +
                                 scale_text(b.scale(), b.level()) +
                                 " differ; encode the plaintext at the ciphertext's scale");
  }
  const NoiseEstimate noise =
      sum_of("subtract_plain", a.level(), a.scale(), a.noise(), b.noise(), options);
  Ciphertext out = a.copy(stream);
  const RnsView<Word> head = out.mutable_view().poly_range(0, 1);
  kernels::subtract<Word>(head, b.view(), head, context_->q_limbs(a.level()), context_->moduli(),
                          stream);
  out.set_noise(noise, combined(a.history(), b.history()));
  return out;
}

Ciphertext Evaluator::add_constant(const Ciphertext& a, double value, const Stream& stream,
                                   const SumOptions& options) const {
  check("add_constant", a, stream);
  const double scaled = value * a.scale();
  if (!std::isfinite(scaled))
    reject("add_constant", "value = " + std::to_string(value) + ", expected finite");
  const double rounding = std::max(0.5, std::abs(scaled) * 0x1p-53);
  // Of coefficients it is the first: N times as much may count, so that they stay coefficients.
  const bool coefficients = a.noise().form == MessageForm::kCoefficients;
  const NoiseEstimate constant = noise::estimate(
      {rounding * rounding, rounding},
      std::abs(value) * (coefficients ? static_cast<double>(context_->degree()) : 1.0),
      a.noise().form);
  const NoiseEstimate noise =
      sum_of("add_constant", a.level(), a.scale(), a.noise(), constant, options);
  const LimbIndices limbs = context_->q_limbs(a.level());
  Ciphertext out = a.copy(stream);
  const Buffer<Word> constants =
      residues_of(std::nearbyint(scaled), limbs, context_->moduli(), stream);
  const RnsView<Word> head = out.mutable_view().poly_range(0, 1);
  kernels::add_constants<Word>(head, constants.span(), head, limbs, context_->moduli(), stream);
  out.set_noise(noise, a.history());
  return out;
}

Ciphertext Evaluator::multiply(const Ciphertext& a, const Ciphertext& b,
                               const Stream& stream) const {
  check_pair("multiply", a, b, stream);
  if (a.size() != 2 || b.size() != 2) {
    reject("multiply", "the operands have " + std::to_string(a.size()) + " and " +
                           std::to_string(b.size()) +
                           " polynomials, expected 2 and 2; relinearize first");
  }
  const double scale = a.scale() * b.scale();
  const NoiseEstimate noise =
      fitting("multiply", a.level(), scale, product_of(a.noise(), a.scale(), b.noise(), b.scale()));
  const LimbIndices limbs = context_->q_limbs(a.level());
  const auto& moduli = context_->moduli();
  Buffer<Word> residues(3 * limbs.count * context_->degree(), stream);
  const RnsView<Word> out(residues.data(), 3, limbs.count, context_->degree());
  const RnsView<const Word> x = a.view(), y = b.view();
  kernels::multiply<Word>(x.poly_range(0, 1), y.poly_range(0, 1), out.poly_range(0, 1), limbs,
                          moduli, stream);
  kernels::multiply<Word>(x.poly_range(0, 1), y.poly_range(1, 1), out.poly_range(1, 1), limbs,
                          moduli, stream);
  kernels::multiply_accumulate<Word>(x.poly_range(1, 1), y.poly_range(0, 1), out.poly_range(1, 1),
                                     limbs, moduli, stream);
  kernels::multiply<Word>(x.poly_range(1, 1), y.poly_range(1, 1), out.poly_range(2, 1), limbs,
                          moduli, stream);
  return {context_,
          a.key_id(),
          std::move(residues),
          3,
          a.level(),
          scale,
          noise,
          combined(a.history(), b.history())};
}

Ciphertext Evaluator::square(const Ciphertext& a, const Stream& stream) const {
  check("square", a, stream);
  if (a.size() != 2) {
    reject("square", "the operand has " + std::to_string(a.size()) +
                         " polynomials, expected 2; relinearize first");
  }
  const double scale = a.scale() * a.scale();
  NoiseEstimate noise =
      fitting("square", a.level(), scale, product_of(a.noise(), a.scale(), a.noise(), a.scale()));
  // The two factors have the same error: twice the message times it, not sqrt(2) times.
  noise.slot_variance *= 2.0;
  const LimbIndices limbs = context_->q_limbs(a.level());
  const auto& moduli = context_->moduli();
  Buffer<Word> residues(3 * limbs.count * context_->degree(), stream);
  const RnsView<Word> out(residues.data(), 3, limbs.count, context_->degree());
  const RnsView<const Word> x = a.view();
  kernels::multiply<Word>(x.poly_range(0, 1), x.poly_range(0, 1), out.poly_range(0, 1), limbs,
                          moduli, stream);
  kernels::multiply<Word>(x.poly_range(0, 1), x.poly_range(1, 1), out.poly_range(1, 1), limbs,
                          moduli, stream);
  kernels::add<Word>(out.poly_range(1, 1), out.poly_range(1, 1), out.poly_range(1, 1), limbs,
                     moduli, stream);
  kernels::multiply<Word>(x.poly_range(1, 1), x.poly_range(1, 1), out.poly_range(2, 1), limbs,
                          moduli, stream);
  return {context_, a.key_id(), std::move(residues), 3, a.level(), scale, noise, a.history()};
}

Ciphertext Evaluator::multiply_plain(const Ciphertext& a, const Plaintext& b,
                                     const Stream& stream) const {
  check_plain("multiply_plain", a, b, stream);
  const double scale = a.scale() * b.scale();
  const NoiseEstimate noise = fitting("multiply_plain", a.level(), scale,
                                      product_of(a.noise(), a.scale(), b.noise(), b.scale()));
  const LimbIndices limbs = context_->q_limbs(a.level());
  Blank out(a, stream);
  kernels::multiply<Word>(a.view(), b.view(), out.view, limbs, context_->moduli(), stream);
  return {context_, a.key_id(), std::move(out.residues),           a.size(), a.level(),
          scale,    noise,      combined(a.history(), b.history())};
}

void Evaluator::multiply_plain_accumulate(const Ciphertext& a, const Plaintext& b, Ciphertext& sum,
                                          const Stream& stream, const SumOptions& options) const {
  check_plain("multiply_plain_accumulate", a, b, stream);
  check_pair("multiply_plain_accumulate", a, sum, stream);
  const double scale = a.scale() * b.scale();
  if (sum.size() != a.size() || !scales_match(sum.scale(), scale)) {
    reject("multiply_plain_accumulate", scale_text(sum.scale(), sum.level()) + " of the sum and " +
                                            scale_text(scale, a.level()) +
                                            " of the product differ");
  }
  const NoiseEstimate noise =
      sum_of("multiply_plain_accumulate", a.level(), scale, sum.noise(),
             product_of(a.noise(), a.scale(), b.noise(), b.scale()), options);
  kernels::multiply_accumulate<Word>(a.view(), b.view(), sum.mutable_view(),
                                     context_->q_limbs(a.level()), context_->moduli(), stream);
  sum.set_noise(noise, combined(sum.history(), combined(a.history(), b.history())));
}

Ciphertext Evaluator::multiply_integer(const Ciphertext& a, std::int64_t factor,
                                       const Stream& stream) const {
  check("multiply_integer", a, stream);
  if (factor >= (std::int64_t{1} << 62) || factor <= -(std::int64_t{1} << 62)) {
    reject("multiply_integer",
           "factor = " + std::to_string(factor) + ", expected a magnitude below 2^62");
  }
  const auto magnitude = std::abs(static_cast<double>(factor));
  const NoiseEstimate noise =
      fitting("multiply_integer", a.level(), a.scale(),
              noise::estimate(noise::scaled(noise::error_of(a.noise()), magnitude),
                              a.noise().message_bound * magnitude, a.noise().form));
  const LimbIndices limbs = context_->q_limbs(a.level());
  Ciphertext out = a.copy(stream);
  const auto factors = factors_of(factor, limbs, context_->moduli(), stream);
  kernels::multiply_factors<Word>(out.view(), factors.span(), out.mutable_view(), limbs,
                                  context_->moduli(), stream);
  out.set_noise(noise, a.history());
  return out;
}

Ciphertext Evaluator::multiply_constant(const Ciphertext& a, double value, double scale,
                                        const Stream& stream) const {
  check("multiply_constant", a, stream);
  if (!(scale >= 1.0 && scale <= 0x1p62)) {
    reject("multiply_constant", "scale = " + std::to_string(scale) + ", expected 1 to 2^62");
  }
  const double scaled = std::nearbyint(value * scale);
  if (!(std::abs(scaled) < 0x1p62)) {
    reject("multiply_constant", "value = " + std::to_string(value) + " at scale " +
                                    std::to_string(scale) +
                                    ", expected |value| * scale below 2^62");
  }
  const double rounding = std::abs(scaled - value * scale) * a.noise().message_bound * a.scale();
  const NoiseEstimate noise =
      fitting("multiply_constant", a.level(), a.scale() * scale,
              noise::estimate(noise::scaled(noise::error_of(a.noise()), scaled) +
                                  noise::Error{rounding * rounding, rounding},
                              a.noise().message_bound * std::abs(value), a.noise().form));
  const LimbIndices limbs = context_->q_limbs(a.level());
  Ciphertext out = a.copy(stream);
  const auto factors =
      factors_of(static_cast<std::int64_t>(scaled), limbs, context_->moduli(), stream);
  kernels::multiply_factors<Word>(out.view(), factors.span(), out.mutable_view(), limbs,
                                  context_->moduli(), stream);
  out.set_scale(a.scale() * scale);
  out.set_noise(noise, a.history());
  return out;
}

Ciphertext Evaluator::drop_to_level(const Ciphertext& a, int level, const Stream& stream) const {
  check("drop_to_level", a, stream);
  if (level < 0 || level > a.level()) {
    reject("drop_to_level", "level = " + std::to_string(level) + ", expected 0 to " +
                                std::to_string(a.level()) + ": no level can be regained");
  }
  fitting("drop_to_level", level, a.scale(), a.noise());
  const std::int64_t limbs = context_->parameters().limbs(level);
  Buffer<Word> residues(a.size() * limbs * context_->degree(), stream);
  kernels::copy_limbs<Word>(a.view().limb_range(0, limbs),
                            {residues.data(), a.size(), limbs, context_->degree()}, stream);
  return {context_, a.key_id(), std::move(residues), a.size(),
          level,    a.scale(),  a.noise(),           a.history()};
}

Ciphertext Evaluator::adjust(const Ciphertext& a, int level, double scale,
                             const Stream& stream) const {
  check("adjust", a, stream);
  if (!(scale >= 1.0 && std::isfinite(scale))) {
    reject("adjust", "scale = " + std::to_string(scale) + ", expected finite and at least 1");
  }
  if (level == a.level() && scales_match(a.scale(), scale)) return a.copy(stream);
  if (level < 0 || level >= a.level()) {
    reject("adjust", "from " + scale_text(a.scale(), a.level()) + " to " +
                         scale_text(scale, level) +
                         ": a change of scale takes a level, so expected a level of 0 to " +
                         std::to_string(a.level() - 1));
  }
  Ciphertext scaled = drop_to_level(a, level + 1, stream);
  const double modulus = context_->parameters().level_modulus(level + 1);
  const double factor = std::nearbyint(scale * modulus / a.scale());
  if (!(factor >= 1.0 && factor < 0x1p62)) {
    reject("adjust", "from " + scale_text(a.scale(), a.level()) + " to " +
                         scale_text(scale, level) + " is a factor of " + std::to_string(factor) +
                         ", expected 1 to 2^62; adjust by fewer levels");
  }
  const NoiseEstimate scaled_noise =
      fitting("adjust", level + 1, a.scale() * factor,
              noise::with_error(a.noise(), noise::scaled(noise::error_of(a.noise()), factor)));
  const LimbIndices limbs = context_->q_limbs(level + 1);
  const auto factors =
      factors_of(static_cast<std::int64_t>(factor), limbs, context_->moduli(), stream);
  kernels::multiply_factors<Word>(scaled.view(), factors.span(), scaled.mutable_view(), limbs,
                                  context_->moduli(), stream);
  scaled.set_scale(a.scale() * factor);
  scaled.set_noise(scaled_noise, a.history());
  Ciphertext out = rescale(scaled, stream);
  const double mismatch = std::abs(out.scale() - scale) * a.noise().message_bound;
  out.set_scale(scale);
  out.set_noise(noise::with_error(out.noise(), noise::error_of(out.noise()) +
                                                   noise::Error{mismatch * mismatch, mismatch}),
                a.history());
  return out;
}

void Evaluator::decompose(RnsView<const Word> polynomial, int level, Word* digits,
                          const Stream& stream) const {
  key_switching::decompose(*context_, polynomial, level, digits, stream);
}

void Evaluator::apply_key(const Word* digits, const KeySwitchingKey& key, int level,
                          RnsView<Word> out, const Stream& stream) const {
  key_switching::apply_key(*context_, digits, key, level, out, stream);
}

void Evaluator::check_key(const char* function, const Ciphertext& a,
                          const KeySwitchingKey& key) const {
  if (key.context() != context_) reject(function, "the key belongs to another context");
  if (key.id() != a.key_id()) {
    reject(function, "the ciphertext belongs to key " + to_string(a.key_id()) +
                         ", the switching key leads to " + to_string(key.id()));
  }
}

Ciphertext Evaluator::relinearize(const Ciphertext& a, const RelinearizationKey& key,
                                  const Stream& stream) const {
  check("relinearize", a, stream);
  check_key("relinearize", a, key.key);
  if (a.size() == 2) return a.copy(stream);
  const NoiseEstimate noise = switched("relinearize", a.level(), a.scale(), a.noise(), true);
  const Parameters& parameters = context_->parameters();
  const LimbIndices limbs = context_->q_limbs(a.level());
  const std::int64_t degree = context_->degree();
  const Workspace::Lease digits = context_->workspace().take(
      parameters.digit_count(a.level()) * (parameters.special_prime_count() + limbs.count) * degree,
      stream);
  decompose(a.view().poly_range(2, 1), a.level(), digits.data(), stream);
  Buffer<Word> residues(2 * limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), 2, limbs.count, degree);
  apply_key(digits.data(), key.key, a.level(), out, stream);
  kernels::add<Word>(out, a.view().poly_range(0, 2), out, limbs, context_->moduli(), stream);
  return {context_,
          a.key_id(),
          std::move(residues),
          2,
          a.level(),
          a.scale(),
          noise,
          combined(a.history(), key.key.history())};
}

Ciphertext Evaluator::rescale(const Ciphertext& a, const Stream& stream) const {
  check("rescale", a, stream);
  if (a.level() == 0)
    reject("rescale",
           "the ciphertext is at level 0, expected at least 1: no primes are left to divide by");
  const Parameters& parameters = context_->parameters();
  const std::int64_t degree = context_->degree();
  const double modulus = parameters.level_modulus(a.level());
  const double scale = a.scale() / modulus;
  const NoiseEstimate noise =
      fitting("rescale", a.level() - 1, scale,
              noise::with_error(
                  a.noise(), noise::scaled(noise::error_of(a.noise()), 1.0 / modulus) +
                                 noise::division_rounding(noise::ring_of(parameters), a.size())));
  const int kept = parameters.limbs(a.level() - 1), dropped = parameters.limbs(a.level()) - kept;
  const Workspace::Lease scratch = context_->workspace().take(a.size() * dropped * degree, stream);
  Buffer<Word> residues(a.size() * kept * degree, stream);
  kernels::divide_and_round<Word>(a.view().limb_range(0, kept), a.view().limb_range(kept, dropped),
                                  {scratch.data(), a.size(), dropped, degree},
                                  {residues.data(), a.size(), kept, degree},
                                  context_->rescaling(a.level()), stream);
  return {context_, a.key_id(), std::move(residues), a.size(), a.level() - 1,
          scale,    noise,      a.history()};
}

Ciphertext Evaluator::apply_automorphism(const Ciphertext& a, std::uint32_t element,
                                         const GaloisKeys& keys, const Stream& stream) const {
  if (a.size() != 2) {
    reject("rotate", "the operand has " + std::to_string(a.size()) +
                         " polynomials, expected 2; relinearize first");
  }
  if (element == 1) return a.copy(stream);
  const KeySwitchingKey& key = keys.at(element);
  check_key("rotate", a, key);
  const NoiseEstimate noise = switched("rotate", a.level(), a.scale(), a.noise());
  const Parameters& parameters = context_->parameters();
  const LimbIndices limbs = context_->q_limbs(a.level());
  const std::int64_t degree = context_->degree();
  const Workspace::Lease turned = context_->workspace().take(2 * limbs.count * degree, stream);
  const RnsView<Word> image(turned.data(), 2, limbs.count, degree);
  kernels::automorphism_ntt<Word>(a.view(), image, element, stream);
  const Workspace::Lease digits = context_->workspace().take(
      parameters.digit_count(a.level()) * (parameters.special_prime_count() + limbs.count) * degree,
      stream);
  decompose(image.poly_range(1, 1), a.level(), digits.data(), stream);
  Buffer<Word> residues(2 * limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), 2, limbs.count, degree);
  apply_key(digits.data(), key, a.level(), out, stream);
  kernels::add<Word>(out.poly_range(0, 1), image.poly_range(0, 1), out.poly_range(0, 1), limbs,
                     context_->moduli(), stream);
  return {context_,
          a.key_id(),
          std::move(residues),
          2,
          a.level(),
          a.scale(),
          noise,
          combined(a.history(), key.history())};
}

HoistedCiphertext Evaluator::hoist(const Ciphertext& a, const Stream& stream) const {
  check("hoist", a, stream);
  if (a.size() != 2) {
    reject("hoist", "the operand has " + std::to_string(a.size()) +
                        " polynomials, expected 2; relinearize first");
  }
  const Parameters& parameters = context_->parameters();
  const std::int64_t limbs = parameters.limbs(a.level()), degree = context_->degree();
  Buffer<Word> polynomials(2 * limbs * degree, stream);
  kernels::copy_limbs<Word>(a.view(), {polynomials.data(), 2, limbs, degree}, stream);
  Buffer<Word> digits(
      parameters.digit_count(a.level()) * (parameters.special_prime_count() + limbs) * degree,
      stream);
  decompose(a.view().poly_range(1, 1), a.level(), digits.data(), stream);
  return {a, std::move(polynomials), std::move(digits)};
}

Ciphertext Evaluator::rotate(const HoistedCiphertext& a, std::int64_t steps, const GaloisKeys& keys,
                             const Stream& stream) const {
  context_->check_stream("Evaluator::rotate", stream);
  if (a.context != context_) reject("rotate", "the hoisted ciphertext belongs to another context");
  const Parameters& parameters = context_->parameters();
  const LimbIndices limbs = context_->q_limbs(a.level);
  const std::int64_t degree = context_->degree();
  const std::uint32_t element = galois_element_of_rotation(parameters.log_n(), steps);
  Buffer<Word> residues(2 * limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), 2, limbs.count, degree);
  const RnsView<const Word> polynomials(a.polynomials.data(), 2, limbs.count, degree);
  if (element == 1) {
    kernels::copy_limbs<Word>(polynomials, out, stream);
    return {context_, a.key_id, std::move(residues), 2, a.level, a.scale, a.noise, a.history};
  }
  const KeySwitchingKey& key = keys.at(element);
  if (key.context() != context_ || key.id() != a.key_id)
    reject("rotate", "the switching key is not of this ciphertext's key");
  const NoiseEstimate noise = switched("rotate", a.level, a.scale, a.noise);
  const int digit_count = parameters.digit_count(a.level);
  const std::int64_t all = parameters.special_prime_count() + limbs.count;
  const Workspace::Lease turned = context_->workspace().take(digit_count * all * degree, stream);
  kernels::automorphism_ntt<Word>({a.digits.data(), digit_count, all, degree},
                                  {turned.data(), digit_count, all, degree}, element, stream);
  apply_key(turned.data(), key, a.level, out, stream);
  const Workspace::Lease image = context_->workspace().take(limbs.count * degree, stream);
  const RnsView<Word> c0(image.data(), 1, limbs.count, degree);
  kernels::automorphism_ntt<Word>(polynomials.poly_range(0, 1), c0, element, stream);
  kernels::add<Word>(out.poly_range(0, 1), c0, out.poly_range(0, 1), limbs, context_->moduli(),
                     stream);
  return {context_,
          a.key_id,
          std::move(residues),
          2,
          a.level,
          a.scale,
          noise,
          combined(a.history, key.history())};
}

Ciphertext Evaluator::switch_key(const Ciphertext& a, const KeySwitchingKey& key, const KeyId& from,
                                 const Stream& stream) const {
  check("switch_key", a, stream);
  if (key.context() != context_) reject("switch_key", "the key belongs to another context");
  if (a.key_id() != from) {
    reject("switch_key", "the ciphertext belongs to key " + to_string(a.key_id()) +
                             ", the switching key starts from " + to_string(from));
  }
  if (a.size() != 2) {
    reject("switch_key", "the operand has " + std::to_string(a.size()) +
                             " polynomials, expected 2; relinearize first");
  }
  const NoiseEstimate noise = switched("switch_key", a.level(), a.scale(), a.noise());
  const Parameters& parameters = context_->parameters();
  const LimbIndices limbs = context_->q_limbs(a.level());
  const std::int64_t degree = context_->degree();
  const Workspace::Lease digits = context_->workspace().take(
      parameters.digit_count(a.level()) * (parameters.special_prime_count() + limbs.count) * degree,
      stream);
  decompose(a.view().poly_range(1, 1), a.level(), digits.data(), stream);
  Buffer<Word> residues(2 * limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), 2, limbs.count, degree);
  apply_key(digits.data(), key, a.level(), out, stream);
  kernels::add<Word>(out.poly_range(0, 1), a.view().poly_range(0, 1), out.poly_range(0, 1), limbs,
                     context_->moduli(), stream);
  return {context_,
          key.id(),
          std::move(residues),
          2,
          a.level(),
          a.scale(),
          noise,
          combined(a.history(), key.history())};
}

Ciphertext Evaluator::rotate(const Ciphertext& a, std::int64_t steps, const GaloisKeys& keys,
                             const Stream& stream) const {
  check("rotate", a, stream);
  return apply_automorphism(a, galois_element_of_rotation(context_->parameters().log_n(), steps),
                            keys, stream);
}

Ciphertext Evaluator::conjugate(const Ciphertext& a, const GaloisKeys& keys,
                                const Stream& stream) const {
  check("conjugate", a, stream);
  return apply_automorphism(a, galois_element_of_conjugation(context_->parameters().log_n()), keys,
                            stream);
}

Ciphertext Evaluator::sum_slots(const Ciphertext& a, std::int64_t slots, const GaloisKeys& keys,
                                const Stream& stream, const SumOptions& options) const {
  check("sum_slots", a, stream);
  if (slots < 1 || slots > context_->parameters().max_slots() || (slots & (slots - 1)) != 0) {
    reject("sum_slots", "slots = " + std::to_string(slots) + ", expected a power of two, 1 to " +
                            std::to_string(context_->parameters().max_slots()));
  }
  const auto count = static_cast<double>(slots);
  NoiseEstimate others = a.noise();  // the sum of the other slots
  others.slot_variance *= (count - 1.0) * (count - 1.0);
  others.slot_bound *= count - 1.0;
  others.message_bound *= count - 1.0;
  const SumOptions whole{
      .message_bound =
          sum_of("sum_slots", a.level(), a.scale(), a.noise(), others, options).message_bound};
  Ciphertext sum = a.copy(stream);
  for (std::int64_t step = 1; step < slots; step *= 2)
    sum = add(sum, rotate(sum, step, keys, stream), stream, whole);
  return sum;
}

}  // namespace velum::he
