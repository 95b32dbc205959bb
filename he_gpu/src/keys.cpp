#include "velum/he/keys.h"

#include <cstdio>
#include <stdexcept>
#include <utility>

#include "rns_random.h"
#include "secret_key_material.h"

namespace velum::he {

std::string to_string(const KeyId& id) {
  std::string text;
  for (const std::uint8_t byte : id) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

SecretKey::SecretKey(std::shared_ptr<const Context> context, const KeyId& id,
                     std::unique_ptr<Material> material)
    : context_(std::move(context)), id_(id), material_(std::move(material)) {}
SecretKey::SecretKey(SecretKey&&) noexcept = default;
SecretKey& SecretKey::operator=(SecretKey&&) noexcept = default;
SecretKey::~SecretKey() = default;

SecretKey::Material::Material(const Context& context, SecretBuffer<std::int8_t> secret_coefficients,
                              const Stream& stream)
    : coefficients(std::move(secret_coefficients)),
      residues(context.qp_limbs(context.parameters().max_level()).count * context.degree(),
               stream) {
  const LimbIndices limbs = context.qp_limbs(context.parameters().max_level());
  const RnsView<Word> out(residues.data(), 1, limbs.count, context.degree());
  kernels::small_to_residues(Span<const std::int8_t>(coefficients.span()), out, limbs,
                             context.moduli(), stream);
  kernels::ntt_forward_inplace(out, limbs, context.tables(), stream);
}

std::vector<std::int8_t> SecretKey::export_coefficients_secret(const Stream& stream) const {
  context_->check_stream("SecretKey::export_coefficients_secret", stream);
  std::vector<std::int8_t> out(static_cast<std::size_t>(context_->degree()));
  kernels::copy(Span<const std::int8_t>(material_->coefficients.span()), Span<std::int8_t>(out),
                stream);
  kernels::synchronize(stream);
  return out;
}

SecretKey SecretKey::import_coefficients_secret(std::shared_ptr<const Context> context,
                                                const KeyId& id,
                                                Span<const std::int8_t> coefficients,
                                                const Stream& stream) {
  context->check_stream("SecretKey::import_coefficients_secret", stream);
  if (coefficients.size() != context->degree()) {
    throw std::invalid_argument("SecretKey::import_coefficients_secret: coefficients.size() = " +
                                std::to_string(coefficients.size()) +
                                ", expected N = " + std::to_string(context->degree()));
  }
  for (const std::int8_t coefficient :
       coefficients) {  // its value is a secret: it is not in the text
    if (coefficient < -1 || coefficient > 1) {
      throw std::invalid_argument(
          "SecretKey::import_coefficients_secret: a coefficient is not -1, 0 or 1");
    }
  }
  SecretBuffer<std::int8_t> secret(context->degree(), stream);
  kernels::copy(coefficients, secret.span(), stream);
  auto material = std::make_unique<Material>(*context, std::move(secret), stream);
  kernels::synchronize(stream);
  return SecretKey(std::move(context), id, std::move(material));
}

PublicKey::PublicKey(std::shared_ptr<const Context> context, const KeyId& id,
                     const PublicSeed& seed, Buffer<Word> residues, History history)
    : context_(std::move(context)),
      id_(id),
      seed_(seed),
      residues_(std::move(residues)),
      history_(history) {}

RnsView<const Word> PublicKey::view() const {
  const Parameters& parameters = context_->parameters();
  return {residues_.data(), 2, parameters.limbs(parameters.max_level()), context_->degree()};
}

PublicKey PublicKey::expand(std::shared_ptr<const Context> context, const KeyId& id,
                            const PublicSeed& seed, Span<const Word> b, const Stream& stream) {
  context->check_stream("PublicKey::expand", stream);
  const int level = context->parameters().max_level();
  const std::int64_t half = context->parameters().limbs(level) * context->degree();
  if (b.size() != half) {
    throw std::invalid_argument("PublicKey::expand: b.size() = " + std::to_string(b.size()) +
                                ", expected " + std::to_string(half));
  }
  Buffer<Word> residues(2 * half, stream);
  kernels::copy(b, Span<Word>(residues.data(), half), stream);
  fill_uniform(*context,
               {residues.data() + half, 1, context->parameters().limbs(level), context->degree()},
               context->q_limbs(level), seed, 0, stream);
  return PublicKey(std::move(context), id, seed, std::move(residues), History::kUnknown);
}

KeySwitchingKey::KeySwitchingKey(std::shared_ptr<const Context> context, const KeyId& id,
                                 const PublicSeed& seed, Buffer<Word> residues, History history)
    : context_(std::move(context)),
      id_(id),
      seed_(seed),
      residues_(std::move(residues)),
      history_(history) {}

RnsView<const Word> KeySwitchingKey::view() const {
  const Parameters& parameters = context_->parameters();
  return {residues_.data(), 2 * parameters.dnum(), context_->qp_limbs(parameters.max_level()).count,
          context_->degree()};
}

KeySwitchingKey KeySwitchingKey::expand(std::shared_ptr<const Context> context, const KeyId& id,
                                        const PublicSeed& seed, Span<const Word> b,
                                        const Stream& stream) {
  context->check_stream("KeySwitchingKey::expand", stream);
  const LimbIndices limbs = context->qp_limbs(context->parameters().max_level());
  const std::int64_t poly = limbs.count * context->degree();
  const int dnum = context->parameters().dnum();
  if (b.size() != dnum * poly) {
    throw std::invalid_argument("KeySwitchingKey::expand: b.size() = " + std::to_string(b.size()) +
                                ", expected " + std::to_string(dnum * poly));
  }
  Buffer<Word> residues(2 * dnum * poly, stream);
  // Polynomials b_0, a_0, b_1, ..: every second one.
  kernels::copy_limbs<Word>({b.data(), dnum, limbs.count, context->degree()},
                            {residues.data(), dnum, limbs.count, context->degree(), 2 * poly},
                            stream);
  fill_uniform(*context, {residues.data() + poly, dnum, limbs.count, context->degree(), 2 * poly},
               limbs, seed, 0, stream);
  return KeySwitchingKey(std::move(context), id, seed, std::move(residues), History::kUnknown);
}

std::uint32_t galois_element_of_rotation(int log_n, std::int64_t steps) {
  if (log_n < 2 || log_n > 17) {
    throw std::invalid_argument("galois_element_of_rotation: log_n = " + std::to_string(log_n) +
                                ", expected 2 to 17");
  }
  const std::int64_t slots = std::int64_t{1} << (log_n - 1);
  const std::uint32_t mask = (std::uint32_t{2} << log_n) - 1;  // modulo 2N
  std::int64_t exponent = ((steps % slots) + slots) % slots;
  std::uint32_t power = 5, element = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) element = element * power & mask;
    power = power * power & mask;
  }
  return element;
}

std::uint32_t galois_element_of_conjugation(int log_n) { return (std::uint32_t{2} << log_n) - 1; }

const KeySwitchingKey& GaloisKeys::at(std::uint32_t galois_element) const {
  const auto found = keys.find(galois_element);
  if (found == keys.end()) {
    throw std::out_of_range("GaloisKeys: there is no key for the Galois element " +
                            std::to_string(galois_element) +
                            "; make one with KeyGenerator::galois_keys");
  }
  return found->second;
}

}  // namespace velum::he
