#include "velum/he/bfv/batch_encoder.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "bfv/message.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he::bfv {
namespace {

/// Tables modulo t, in the host's memory.
kernels::NttTables<std::uint64_t> tables_of(const std::shared_ptr<const Context>& context) {
  if (context == nullptr) throw std::invalid_argument("BatchEncoder: context is null");
  context->check_scheme("BatchEncoder", SchemeType::kBfv);
  const Parameters& parameters = context->parameters();
  const std::uint64_t t = parameters.plaintext_modulus();
  if (t % (std::uint64_t{2} << parameters.log_n()) != 1 || !kernels::is_prime(t)) {
    throw std::invalid_argument(
        "BatchEncoder: plaintext modulus t = " + std::to_string(t) +
        ", expected a prime that is 1 modulo 2N = " + std::to_string(2 * parameters.ring_degree()) +
        ", as Parameters::batching_modulus gives; for any other t there is CoefficientEncoder");
  }
  return {parameters.log_n(), {t}, Stream::serial()};
}

/// Where the transform has the value at psi^exponent: exponent = 2 r(j) + 1, r the reversal of
/// log_n bits.
std::int32_t position_of(std::uint32_t exponent, int log_n) {
  const std::uint32_t reversed = (exponent - 1) / 2;
  std::uint32_t position = 0;
  for (int bit = 0; bit < log_n; ++bit) position |= ((reversed >> bit) & 1U) << (log_n - 1 - bit);
  return static_cast<std::int32_t>(position);
}

/// The host's threads, if the stream has them.
Stream host_stream(const Stream& stream) {
  return stream.backend() == Backend::kCpu ? stream : Stream::serial();
}

}  // namespace

BatchEncoder::BatchEncoder(std::shared_ptr<const Context> context)
    : context_(std::move(context)),
      tables_(tables_of(context_)),
      positions_(static_cast<std::size_t>(context_->degree())) {
  const int log_n = context_->parameters().log_n();
  const auto row = static_cast<std::size_t>(row_size());
  const std::uint32_t mask = (std::uint32_t{2} << log_n) - 1;  // modulo 2N
  std::uint32_t exponent = 1;
  for (std::size_t i = 0; i < row; ++i, exponent = exponent * 5 & mask) {
    positions_[i] = position_of(exponent, log_n);
    positions_[row + i] = position_of((0 - exponent) & mask, log_n);
  }
}

Plaintext BatchEncoder::from_slots(std::vector<std::uint64_t>& slots, const Stream& stream) const {
  const std::uint64_t t = context_->parameters().plaintext_modulus();
  const kernels::RnsView<std::uint64_t> view(slots.data(), 1, 1, context_->degree());
  kernels::ntt_inverse_inplace(view, LimbIndices::range(0, 1), tables_, host_stream(stream));
  std::vector<std::int64_t> coefficients(slots.size());
  std::transform(slots.begin(), slots.end(), coefficients.begin(),
                 [t](std::uint64_t x) { return message::centred(x, t); });
  return message::plaintext_of(context_, coefficients, message::largest_sum(context_->degree(), t),
                               stream);
}

Plaintext BatchEncoder::encode(Span<const std::int64_t> values, const Stream& stream) const {
  context_->check_stream("BatchEncoder::encode", stream);
  const std::uint64_t t = context_->parameters().plaintext_modulus();
  const auto half = static_cast<std::int64_t>(t / 2);
  message::check_values("BatchEncoder::encode", values, context_->degree(), -half, half);
  std::vector<std::uint64_t> slots(positions_.size());
  for (std::int64_t i = 0; i < values.size(); ++i) {
    slots[static_cast<std::size_t>(positions_[static_cast<std::size_t>(i)])] =
        message::residue(values[i], t);
  }
  return from_slots(slots, stream);
}

Plaintext BatchEncoder::encode(Span<const std::uint64_t> values, const Stream& stream) const {
  context_->check_stream("BatchEncoder::encode", stream);
  const std::uint64_t t = context_->parameters().plaintext_modulus();
  message::check_values("BatchEncoder::encode", values, context_->degree(), std::uint64_t{0},
                        t - 1);
  std::vector<std::uint64_t> slots(positions_.size());
  for (std::int64_t i = 0; i < values.size(); ++i) {
    slots[static_cast<std::size_t>(positions_[static_cast<std::size_t>(i)])] = values[i];
  }
  return from_slots(slots, stream);
}

std::vector<std::uint64_t> BatchEncoder::to_slots(const char* function, const Plaintext& plaintext,
                                                  std::int64_t count, const Stream& stream) const {
  const std::uint64_t t = context_->parameters().plaintext_modulus();
  const std::vector<std::int64_t> coefficients =
      message::coefficients_of(function, context_, plaintext, count, stream);
  std::vector<std::uint64_t> values(coefficients.size());
  std::transform(coefficients.begin(), coefficients.end(), values.begin(),
                 [t](std::int64_t x) { return message::residue(x, t); });
  const kernels::RnsView<std::uint64_t> view(values.data(), 1, 1, context_->degree());
  kernels::ntt_forward_inplace(view, LimbIndices::range(0, 1), tables_, host_stream(stream));
  return values;
}

void BatchEncoder::decode(const Plaintext& plaintext, Span<std::int64_t> values,
                          const Stream& stream) const {
  const std::uint64_t t = context_->parameters().plaintext_modulus();
  const auto slots = to_slots("BatchEncoder::decode", plaintext, values.size(), stream);
  for (std::int64_t i = 0; i < values.size(); ++i) {
    values[i] = message::centred(
        slots[static_cast<std::size_t>(positions_[static_cast<std::size_t>(i)])], t);
  }
}

void BatchEncoder::decode(const Plaintext& plaintext, Span<std::uint64_t> values,
                          const Stream& stream) const {
  const auto slots = to_slots("BatchEncoder::decode", plaintext, values.size(), stream);
  for (std::int64_t i = 0; i < values.size(); ++i) {
    values[i] = slots[static_cast<std::size_t>(positions_[static_cast<std::size_t>(i)])];
  }
}

}  // namespace velum::he::bfv
