#include "velum/he/bfv/coefficient_encoder.h"

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bfv/message.h"

namespace velum::he::bfv {

CoefficientEncoder::CoefficientEncoder(std::shared_ptr<const Context> context)
    : context_(std::move(context)) {
  if (context_ == nullptr) throw std::invalid_argument("CoefficientEncoder: context is null");
  context_->check_scheme("CoefficientEncoder", SchemeType::kBfv);
}

Plaintext CoefficientEncoder::encode(Span<const std::int64_t> values, const Stream& stream,
                                     const CoefficientOptions& options) const {
  context_->check_stream("CoefficientEncoder::encode", stream);
  const std::uint64_t t = context_->parameters().plaintext_modulus();
  const auto half = static_cast<std::int64_t>(t / 2);
  const std::int64_t bound = options.value_bound;
  if (bound < 0 || bound > half) {
    throw std::invalid_argument(
        "CoefficientEncoder::encode: value_bound = " + std::to_string(bound) +
        ", expected 1 to floor(t/2) = " + std::to_string(half) + ", or 0");
  }
  const auto largest = static_cast<std::int64_t>((t - 1) / 2);
  message::check_values("CoefficientEncoder::encode", values, context_->degree(),
                        bound == 0 ? -half : -bound,
                        bound == 0 || bound > largest ? largest : bound);
  std::vector<std::int64_t> coefficients(values.begin(), values.end());
  coefficients.resize(static_cast<std::size_t>(context_->degree()));
  const auto sum =
      static_cast<double>(values.size()) * static_cast<double>(bound == 0 ? half : bound);
  return message::plaintext_of(context_, coefficients, sum, stream);
}

Plaintext CoefficientEncoder::encode(Span<const std::uint64_t> values, const Stream& stream) const {
  context_->check_stream("CoefficientEncoder::encode", stream);
  const std::uint64_t t = context_->parameters().plaintext_modulus();
  message::check_values("CoefficientEncoder::encode", values, context_->degree(), std::uint64_t{0},
                        t - 1);
  std::vector<std::int64_t> coefficients;
  for (const std::uint64_t value : values) coefficients.push_back(message::centred(value, t));
  coefficients.resize(static_cast<std::size_t>(context_->degree()));
  return message::plaintext_of(context_, coefficients, message::largest_sum(values.size(), t),
                               stream);
}

void CoefficientEncoder::decode(const Plaintext& plaintext, Span<std::int64_t> values,
                                const Stream& stream) const {
  const auto coefficients = message::coefficients_of("CoefficientEncoder::decode", context_,
                                                     plaintext, values.size(), stream);
  for (std::int64_t i = 0; i < values.size(); ++i)
    values[i] = coefficients[static_cast<std::size_t>(i)];
}

void CoefficientEncoder::decode(const Plaintext& plaintext, Span<std::uint64_t> values,
                                const Stream& stream) const {
  const std::uint64_t t = context_->parameters().plaintext_modulus();
  const auto coefficients = message::coefficients_of("CoefficientEncoder::decode", context_,
                                                     plaintext, values.size(), stream);
  for (std::int64_t i = 0; i < values.size(); ++i)
    values[i] = message::residue(coefficients[static_cast<std::size_t>(i)], t);
}

}  // namespace velum::he::bfv
