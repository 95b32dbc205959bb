#include "velum/he/threshold/shamir.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "residues_of.h"
#include "rns_random.h"
#include "secret_key_material.h"

namespace velum::he::threshold {

struct SecretPolynomial::Memory {
  SecretBuffer<Word> residues;
};

SecretPolynomial::SecretPolynomial(std::shared_ptr<const Context> context, const Stream& stream)
    : context_(std::move(context)) {
  if (context_ == nullptr) throw std::invalid_argument("SecretPolynomial: context is null");
  context_->check_stream("SecretPolynomial", stream);
  const std::int64_t words =
      context_->parameters().limbs(context_->parameters().max_level()) * context_->degree();
  memory_ = std::make_unique<Memory>(Memory{SecretBuffer<Word>(words, stream)});
  const std::vector<Word> zeros(static_cast<std::size_t>(words));
  kernels::copy(Span<const Word>(zeros), memory_->residues.span(), stream);
  kernels::synchronize(stream);
}
SecretPolynomial::SecretPolynomial(SecretPolynomial&&) noexcept = default;
SecretPolynomial& SecretPolynomial::operator=(SecretPolynomial&&) noexcept = default;
SecretPolynomial::~SecretPolynomial() = default;

RnsView<const Word> SecretPolynomial::view(int level) const {
  return {memory_->residues.data(), 1, context_->parameters().limbs(level), context_->degree()};
}

RnsView<Word> SecretPolynomial::mutable_view() {
  return {memory_->residues.data(), 1,
          context_->parameters().limbs(context_->parameters().max_level()), context_->degree()};
}

void SecretPolynomial::add(const SecretPolynomial& other, const Stream& stream) {
  context_->check_stream("SecretPolynomial::add", stream);
  if (other.context_ != context_)
    throw std::invalid_argument("SecretPolynomial::add: the other one belongs to another context");
  const int top = context_->parameters().max_level();
  kernels::add<Word>(view(top), other.view(top), mutable_view(), context_->q_limbs(top),
                     context_->moduli(), stream);
  kernels::synchronize(stream);
}

std::vector<SecretPolynomial> share_secret(const SecretKey& secret, int parties, int threshold,
                                           Randomness& randomness, const Stream& stream) {
  const std::string function = "share_secret";
  const std::shared_ptr<const Context>& context = secret.context();
  context->check_stream(function.c_str(), stream);
  if (parties < 2 || parties > kMostParties) {
    throw std::invalid_argument(function + ": parties = " + std::to_string(parties) +
                                ", expected 2 to " + std::to_string(kMostParties));
  }
  if (threshold < 1 || threshold > parties) {
    throw std::invalid_argument(function + ": threshold = " + std::to_string(threshold) +
                                ", expected 1 to parties = " + std::to_string(parties));
  }
  const Parameters& parameters = context->parameters();
  const LimbIndices limbs = context->q_limbs(parameters.max_level());
  const std::int64_t degree = context->degree();
  const RnsView<const Word> s =
      secret.material().view(*context, parameters.special_prime_count(), limbs.count);
  // c_1, c_2, ..; uniform in NTT form as in any.
  const std::int64_t count = threshold - 1;
  const SecretBuffer<Word> memory(std::max<std::int64_t>(count, 1) * limbs.count * degree, stream);
  const RnsView<Word> coefficients(memory.data(), count, limbs.count, degree);
  const SecretSeed seed(randomness.next());
  if (count > 0) fill_uniform(*context, coefficients, limbs, seed.key(), 0, stream);

  std::vector<SecretPolynomial> values;
  values.reserve(static_cast<std::size_t>(parties));
  for (int point = 1; point <= parties; ++point) {  // Horner's rule
    SecretPolynomial& value = values.emplace_back(context, stream);
    const RnsView<Word> out = value.mutable_view();
    const auto factors = factors_of(point, limbs, context->moduli(), stream);
    for (std::int64_t k = count; k-- > 0;) {
      kernels::add<Word>(out, coefficients.poly_range(k, 1), out, limbs, context->moduli(), stream);
      kernels::multiply_factors<Word>(out, factors.span(), out, limbs, context->moduli(), stream);
    }
    kernels::add<Word>(out, s, out, limbs, context->moduli(), stream);
    kernels::synchronize(stream);
  }
  return values;
}

std::vector<Word> lagrange_at_zero(const Context& context, int level,
                                   const std::vector<int>& points, int point) {
  const std::string function = "lagrange_at_zero";
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (points[i] < 1 || points[i] > kMostParties) {
      throw std::invalid_argument(function + ": point " + std::to_string(points[i]) +
                                  ", expected 1 to " + std::to_string(kMostParties));
    }
    const auto before = points.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(points.begin(), before, points[i]) != before) {
      throw std::invalid_argument(function + ": point " + std::to_string(points[i]) +
                                  " is there twice");
    }
  }
  if (std::find(points.begin(), points.end(), point) == points.end()) {
    throw std::invalid_argument(function + ": point " + std::to_string(point) +
                                " is none of the points");
  }
  const LimbIndices limbs = context.q_limbs(level);
  std::vector<Word> coefficients;
  for (int i = 0; i < limbs.count; ++i) {
    const kernels::Modulus<Word>& q = context.moduli()[limbs[i]];
    Word numerator = 1, denominator = 1;
    for (const int other : points) {
      if (other == point) continue;
      const Word difference = other > point ? static_cast<Word>(other - point)
                                            : q.value - static_cast<Word>(point - other);
      numerator = kernels::multiply_mod(numerator, static_cast<Word>(other), q);
      denominator = kernels::multiply_mod(denominator, difference, q);
    }
    coefficients.push_back(kernels::multiply_mod(numerator, inverse_mod(denominator, q), q));
  }
  return coefficients;
}

}  // namespace velum::he::threshold
