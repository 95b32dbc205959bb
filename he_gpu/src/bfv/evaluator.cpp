#include "velum/he/bfv/evaluator.h"

#include <cmath>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bfv/message.h"
#include "bfv/noise_bound.h"
#include "bfv/scaled_message.h"
#include "bfv/tables.h"
#include "key_switching.h"
#include "residues_of.h"
#include "velum/kernels/polynomial/automorphism.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/integers_to_residues.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he::bfv {
namespace {

using noise::operator+;

constexpr char kNoise[] =
    "switch to a lower level after such operations and not before, do fewer of them, or take "
    "parameters with more modulus_bits";

[[noreturn]] void reject(const char* function, const std::string& text) {
  throw std::invalid_argument(std::string("bfv::Evaluator::") + function + ": " + text);
}

std::string bits_text(double bits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", bits);
  return text;
}

const Tables::Level& tables_at(const Context& context, int level) {
  return context.bfv_tables().levels.at(static_cast<std::size_t>(level));
}

}  // namespace

Evaluator::Evaluator(std::shared_ptr<const Context> context) : context_(std::move(context)) {
  if (context_ == nullptr) throw std::invalid_argument("bfv::Evaluator: context is null");
  context_->check_scheme("bfv::Evaluator", SchemeType::kBfv);
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
    reject(function, "the operands are at levels " + std::to_string(a.level()) + " and " +
                         std::to_string(b.level()) +
                         "; bring the higher one down with mod_switch_to first");
  }
}

void Evaluator::check_plain(const char* function, const Ciphertext& a, const Plaintext& b,
                            const Stream& stream) const {
  check(function, a, stream);
  if (b.context() != context_) reject(function, "the plaintext belongs to another context");
}

void Evaluator::check_key(const char* function, const Ciphertext& a,
                          const KeySwitchingKey& key) const {
  if (key.context() != context_) reject(function, "the key belongs to another context");
  if (key.id() != a.key_id()) {
    reject(function, "the ciphertext belongs to key " + to_string(a.key_id()) +
                         ", the switching key leads to " + to_string(key.id()));
  }
}

void Evaluator::check_two(const char* function, const Ciphertext& a) const {
  if (a.size() != 2) {
    reject(function, "an operand has " + std::to_string(a.size()) +
                         " polynomials, expected 2; relinearize first");
  }
}

NoiseBound Evaluator::fitting(const char* function, int level, const NoiseBound& noise,
                              const char* remedy) const {
  const Parameters& parameters = context_->parameters();
  const NoiseBound bound = noise::tightened(noise, static_cast<double>(context_->degree()));
  const double budget = noise::budget(parameters, level, bound);
  if (!(budget > 0.0)) {
    reject(function, "the noise of the result could reach 2^" +
                         bits_text(std::log2(bound.coefficient)) + ", expected below Q/(2t) = 2^" +
                         bits_text(std::log2(bound.coefficient) + budget) + " at level " +
                         std::to_string(level) + ", a noise budget of " + bits_text(budget) +
                         " bits; " + remedy);
  }
  return bound;
}

Ciphertext Evaluator::add(const Ciphertext& a, const Ciphertext& b, const Stream& stream) const {
  check_pair("add", a, b, stream);
  if (a.size() < b.size()) return add(b, a, stream);
  const NoiseBound noise = fitting("add", a.level(), a.noise() + b.noise(), kNoise);
  const LimbIndices limbs = context_->q_limbs(a.level());
  const std::int64_t degree = context_->degree();
  Buffer<Word> residues(a.size() * limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), a.size(), limbs.count, degree);
  kernels::add<Word>(a.view().poly_range(0, b.size()), b.view(), out.poly_range(0, b.size()), limbs,
                     context_->moduli(), stream);
  const int rest = a.size() - b.size();
  if (rest > 0) {
    kernels::copy_limbs<Word>(a.view().poly_range(b.size(), rest), out.poly_range(b.size(), rest),
                              stream);
  }
  return {context_,
          a.key_id(),
          std::move(residues),
          a.size(),
          a.level(),
          noise,
          combined(a.history(), b.history())};
}

Ciphertext Evaluator::subtract(const Ciphertext& a, const Ciphertext& b,
                               const Stream& stream) const {
  check_pair("subtract", a, b, stream);
  fitting("subtract", a.level(), a.noise() + b.noise(), kNoise);
  return add(a, negate(b, stream), stream);
}

Ciphertext Evaluator::negate(const Ciphertext& a, const Stream& stream) const {
  check("negate", a, stream);
  const RnsView<const Word> in = a.view();
  Buffer<Word> residues(in.polys * in.limbs * in.degree, stream);
  kernels::negate<Word>(in, {residues.data(), in.polys, in.limbs, in.degree},
                        context_->q_limbs(a.level()), context_->moduli(), stream);
  return {context_, a.key_id(), std::move(residues), a.size(), a.level(), a.noise(), a.history()};
}

Buffer<Word> Evaluator::scaled_message(const Plaintext& b, int level, const Stream& stream) const {
  const std::int64_t limbs = context_->parameters().limbs(level);
  Buffer<Word> scaled(limbs * context_->degree(), stream);
  scale_message(*context_, b, level, {scaled.data(), 1, limbs, context_->degree()}, stream);
  return scaled;
}

Ciphertext Evaluator::add_plain(const Ciphertext& a, const Plaintext& b,
                                const Stream& stream) const {
  check_plain("add_plain", a, b, stream);
  const NoiseBound noise =
      fitting("add_plain", a.level(),
              a.noise() + noise::message_rounding(static_cast<double>(context_->degree())), kNoise);
  const Buffer<Word> scaled = scaled_message(b, a.level(), stream);
  const RnsView<const Word> in = a.view();
  Buffer<Word> residues(in.polys * in.limbs * in.degree, stream);
  const RnsView<Word> out(residues.data(), in.polys, in.limbs, in.degree);
  kernels::add<Word>(
      in.poly_range(0, 1), RnsView<const Word>(scaled.data(), 1, in.limbs, in.degree),
      out.poly_range(0, 1), context_->q_limbs(a.level()), context_->moduli(), stream);
  kernels::copy_limbs<Word>(in.poly_range(1, in.polys - 1), out.poly_range(1, in.polys - 1),
                            stream);
  return {context_, a.key_id(), std::move(residues), a.size(), a.level(), noise, a.history()};
}

Ciphertext Evaluator::subtract_plain(const Ciphertext& a, const Plaintext& b,
                                     const Stream& stream) const {
  check_plain("subtract_plain", a, b, stream);
  const NoiseBound noise =
      fitting("subtract_plain", a.level(),
              a.noise() + noise::message_rounding(static_cast<double>(context_->degree())), kNoise);
  const Buffer<Word> scaled = scaled_message(b, a.level(), stream);
  const RnsView<const Word> in = a.view();
  Buffer<Word> residues(in.polys * in.limbs * in.degree, stream);
  const RnsView<Word> out(residues.data(), in.polys, in.limbs, in.degree);
  kernels::subtract<Word>(
      in.poly_range(0, 1), RnsView<const Word>(scaled.data(), 1, in.limbs, in.degree),
      out.poly_range(0, 1), context_->q_limbs(a.level()), context_->moduli(), stream);
  kernels::copy_limbs<Word>(in.poly_range(1, in.polys - 1), out.poly_range(1, in.polys - 1),
                            stream);
  return {context_, a.key_id(), std::move(residues), a.size(), a.level(), noise, a.history()};
}

void Evaluator::extend(RnsView<const Word> polynomials, int level, RnsView<Word> out,
                       const Stream& stream) const {
  const Tables::Level& tables = tables_at(*context_, level);
  const LimbIndices limbs = context_->q_limbs(level);
  const RnsView<Word> extension = out.limb_range(limbs.count, tables.auxiliary.count);
  kernels::copy_limbs<Word>(polynomials, out.limb_range(0, limbs.count), stream);
  const Workspace::Lease lease =
      context_->workspace().take(polynomials.polys * limbs.count * context_->degree(), stream);
  const RnsView<Word> coefficients(lease.data(), polynomials.polys, limbs.count,
                                   context_->degree());
  kernels::copy_limbs<Word>(polynomials, coefficients, stream);
  const kernels::BaseConversion<Word>& conversion = tables.division.conversion();
  kernels::ntt_inverse_multiply_inplace(coefficients, limbs, conversion.inverse_factors(),
                                        context_->tables(), stream);
  kernels::convert_base<Word>(coefficients, extension, conversion, kernels::Correction::kCentred,
                              kernels::Premultiplied::kYes, stream);
  kernels::ntt_forward_inplace(extension, tables.auxiliary, context_->tables(), stream);
}

Ciphertext Evaluator::multiply(const Ciphertext& a, const Ciphertext& b,
                               const Stream& stream) const {
  check_pair("multiply", a, b, stream);
  check_two("multiply", a);
  check_two("multiply", b);
  const Parameters& parameters = context_->parameters();
  const int level = a.level();
  const std::int64_t degree = context_->degree();
  const NoiseBound noise = fitting(
      "multiply", level,
      noise::multiplied(he::noise::ring_of(parameters),
                        static_cast<double>(parameters.plaintext_modulus()), a.noise(), b.noise()),
      "multiply fewer times in a row, or take parameters with more modulus_bits");

  // [polynomials, q and auxiliary limbs, N]: a, then t b, then the product t a b.
  const Tables::Level& tables = tables_at(*context_, level);
  const LimbIndices limbs = context_->q_limbs(level);
  const LimbIndices all = kernels::concatenated(limbs, tables.auxiliary);
  const auto& moduli = context_->moduli();
  const Workspace::Lease operands = context_->workspace().take(4 * all.count * degree, stream);
  const RnsView<Word> x(operands.data(), 2, all.count, degree);
  const RnsView<Word> y(operands.data() + 2 * all.count * degree, 2, all.count, degree);
  extend(a.view(), level, x, stream);
  extend(b.view(), level, y, stream);
  kernels::multiply_factors<Word>(y, tables.plaintext_modulus.span(), y, all, moduli, stream);
  const Workspace::Lease lease = context_->workspace().take(3 * all.count * degree, stream);
  const RnsView<Word> product(lease.data(), 3, all.count, degree);
  kernels::multiply<Word>(x.poly_range(0, 1), y.poly_range(0, 1), product.poly_range(0, 1), all,
                          moduli, stream);
  kernels::multiply<Word>(x.poly_range(0, 1), y.poly_range(1, 1), product.poly_range(1, 1), all,
                          moduli, stream);
  kernels::multiply_accumulate<Word>(x.poly_range(1, 1), y.poly_range(0, 1),
                                     product.poly_range(1, 1), all, moduli, stream);
  kernels::multiply<Word>(x.poly_range(1, 1), y.poly_range(1, 1), product.poly_range(2, 1), all,
                          moduli, stream);

  // Over Q, modulo R; then from R to Q.
  const Workspace::Lease quotients =
      context_->workspace().take(3 * tables.auxiliary.count * degree, stream);
  const RnsView<Word> quotient(quotients.data(), 3, tables.auxiliary.count, degree);
  const RnsView<Word> dropped = product.limb_range(0, limbs.count);
  kernels::divide_and_round<Word>(product.limb_range(limbs.count, tables.auxiliary.count), dropped,
                                  dropped, quotient, tables.division, stream);
  kernels::ntt_inverse_multiply_inplace(quotient, tables.auxiliary, tables.back.inverse_factors(),
                                        context_->tables(), stream);
  Buffer<Word> residues(3 * limbs.count * degree, stream);
  const RnsView<Word> out(residues.data(), 3, limbs.count, degree);
  kernels::convert_base<Word>(quotient, out, tables.back, kernels::Correction::kCentred,
                              kernels::Premultiplied::kYes, stream);
  kernels::ntt_forward_inplace(out, limbs, context_->tables(), stream);
  return {context_,
          a.key_id(),
          std::move(residues),
          3,
          level,
          noise,
          combined(a.history(), b.history())};
}

Ciphertext Evaluator::square(const Ciphertext& a, const Stream& stream) const {
  return multiply(a, a, stream);
}

Ciphertext Evaluator::multiply_plain(const Ciphertext& a, const Plaintext& b,
                                     const Stream& stream) const {
  check_plain("multiply_plain", a, b, stream);
  const NoiseBound noise = fitting(
      "multiply_plain", a.level(), noise::scaled(a.noise(), b.coefficient_sum()),
      "give smaller or fewer coefficients (CoefficientOptions::value_bound), or take parameters "
      "with more modulus_bits");
  const LimbIndices limbs = context_->q_limbs(a.level());
  const RnsView<const Word> in = a.view();
  const Buffer<Word> lifted(in.limbs * in.degree, stream);
  const RnsView<Word> factor(lifted.data(), 1, in.limbs, in.degree);
  kernels::integers_to_residues<Word>(b.coefficients(), factor, limbs, context_->moduli(), stream);
  kernels::ntt_forward_inplace(factor, limbs, context_->tables(), stream);
  Buffer<Word> residues(in.polys * in.limbs * in.degree, stream);
  kernels::multiply<Word>(in, factor, {residues.data(), in.polys, in.limbs, in.degree}, limbs,
                          context_->moduli(), stream);
  return {context_, a.key_id(), std::move(residues), a.size(), a.level(), noise, a.history()};
}

Ciphertext Evaluator::multiply_integer(const Ciphertext& a, std::int64_t factor,
                                       const Stream& stream) const {
  check("multiply_integer", a, stream);
  const std::uint64_t t = context_->parameters().plaintext_modulus();
  const auto signed_t = static_cast<std::int64_t>(t);
  const std::int64_t small = message::centred(message::residue(factor % signed_t, t), t);
  const NoiseBound noise =
      fitting("multiply_integer", a.level(),
              noise::scaled(a.noise(), std::abs(static_cast<double>(small))), kNoise);
  const LimbIndices limbs = context_->q_limbs(a.level());
  const RnsView<const Word> in = a.view();
  Buffer<Word> residues(in.polys * in.limbs * in.degree, stream);
  const auto factors = factors_of(small, limbs, context_->moduli(), stream);
  kernels::multiply_factors<Word>(in, factors.span(),
                                  {residues.data(), in.polys, in.limbs, in.degree}, limbs,
                                  context_->moduli(), stream);
  return {context_, a.key_id(), std::move(residues), a.size(), a.level(), noise, a.history()};
}

Ciphertext Evaluator::switched(const char* function, const Ciphertext& a, RnsView<const Word> image,
                               const KeySwitchingKey& key, const Stream& stream) const {
  const auto switching =
      image.polys == 3 ? noise::Switching::kRelinearization : noise::Switching::kPlain;
  const NoiseBound noise = fitting(
      function, a.level(),
      a.noise() + noise::key_switching(context_->parameters(), a.level(), switching), kNoise);
  const LimbIndices limbs = context_->q_limbs(a.level());
  const Workspace::Lease digits =
      context_->workspace().take(key_switching::digit_words(*context_, a.level()), stream);
  key_switching::decompose(*context_, image.poly_range(image.polys - 1, 1), a.level(),
                           digits.data(), stream);
  Buffer<Word> residues(2 * limbs.count * context_->degree(), stream);
  const RnsView<Word> out(residues.data(), 2, limbs.count, context_->degree());
  key_switching::apply_key(*context_, digits.data(), key, a.level(), out, stream);
  const std::int64_t kept = image.polys - 1;
  kernels::add<Word>(out.poly_range(0, kept), image.poly_range(0, kept), out.poly_range(0, kept),
                     limbs, context_->moduli(), stream);
  return {context_,
          key.id(),
          std::move(residues),
          2,
          a.level(),
          noise,
          combined(a.history(), key.history())};
}

Ciphertext Evaluator::relinearize(const Ciphertext& a, const RelinearizationKey& key,
                                  const Stream& stream) const {
  check("relinearize", a, stream);
  check_key("relinearize", a, key.key);
  if (a.size() == 2) return a.copy(stream);
  return switched("relinearize", a, a.view(), key.key, stream);
}

Ciphertext Evaluator::mod_switch_to(const Ciphertext& a, int level, const Stream& stream) const {
  check("mod_switch_to", a, stream);
  if (level < 0 || level > a.level()) {
    reject("mod_switch_to", "level = " + std::to_string(level) + ", expected 0 to " +
                                std::to_string(a.level()) + ": no level can be regained");
  }
  const Parameters& parameters = context_->parameters();
  const std::int64_t degree = context_->degree();
  const NoiseBound rounding = noise::division_rounding(he::noise::ring_of(parameters), a.size());
  NoiseBound noise = a.noise();
  for (int at = a.level(); at > level; --at) {
    noise = fitting("mod_switch_to", at - 1,
                    noise::scaled(noise, 1.0 / parameters.level_modulus(at)) + rounding,
                    "stay at a higher level");
  }
  if (level == a.level()) return a.copy(stream);
  std::optional<Ciphertext> out;
  for (int at = a.level(); at > level; --at) {
    const RnsView<const Word> from = out ? out->view() : a.view();
    const int kept = parameters.limbs(at - 1);
    const Workspace::Lease scratch = context_->workspace().take(a.size() * degree, stream);
    Buffer<Word> residues(a.size() * kept * degree, stream);
    kernels::divide_and_round<Word>(
        from.limb_range(0, kept), from.limb_range(kept, 1), {scratch.data(), a.size(), 1, degree},
        {residues.data(), a.size(), kept, degree}, context_->rescaling(at), stream);
    out.emplace(context_, a.key_id(), std::move(residues), a.size(), at - 1, noise, a.history());
  }
  return std::move(*out);
}

Ciphertext Evaluator::apply_automorphism(const Ciphertext& a, std::uint32_t element,
                                         const GaloisKeys& keys, const Stream& stream) const {
  check("apply_automorphism", a, stream);
  check_two("apply_automorphism", a);
  if (element == 1) return a.copy(stream);
  const KeySwitchingKey& key = keys.at(element);
  check_key("apply_automorphism", a, key);
  const RnsView<const Word> in = a.view();
  const Workspace::Lease lease = context_->workspace().take(2 * in.limbs * in.degree, stream);
  const RnsView<Word> image(lease.data(), 2, in.limbs, in.degree);
  kernels::automorphism_ntt<Word>(in, image, element, stream);
  return switched("apply_automorphism", a, image, key, stream);
}

Ciphertext Evaluator::rotate_rows(const Ciphertext& a, std::int64_t steps, const GaloisKeys& keys,
                                  const Stream& stream) const {
  return apply_automorphism(a, galois_element_of_rotation(context_->parameters().log_n(), steps),
                            keys, stream);
}

Ciphertext Evaluator::rotate_columns(const Ciphertext& a, const GaloisKeys& keys,
                                     const Stream& stream) const {
  return apply_automorphism(a, galois_element_of_conjugation(context_->parameters().log_n()), keys,
                            stream);
}

Ciphertext Evaluator::switch_key(const Ciphertext& a, const KeySwitchingKey& key, const KeyId& from,
                                 const Stream& stream) const {
  check("switch_key", a, stream);
  check_two("switch_key", a);
  if (key.context() != context_) reject("switch_key", "the key belongs to another context");
  if (a.key_id() != from) {
    reject("switch_key", "the ciphertext belongs to key " + to_string(a.key_id()) +
                             ", the switching key starts from " + to_string(from));
  }
  return switched("switch_key", a, a.view(), key, stream);
}

}  // namespace velum::he::bfv
