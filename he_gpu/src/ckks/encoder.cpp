#include "velum/he/ckks/encoder.h"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "noise.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::he {
namespace {

struct Target {
  int level;
  double scale;
};

Target target_of(const char* function, const Parameters& parameters, const EncodeOptions& options) {
  const std::string prefix = std::string("Encoder::") + function + ": ";
  const int level = options.level == -1 ? parameters.max_level() : options.level;
  if (level < 0 || level > parameters.max_level()) {
    throw std::invalid_argument(prefix + "level = " + std::to_string(options.level) +
                                ", expected 0 to " + std::to_string(parameters.max_level()) +
                                ", or -1");
  }
  const double scale = options.scale == 0.0 ? parameters.scale(level) : options.scale;
  if (!(scale >= 1.0 && scale <= 0x1p200)) {
    throw std::invalid_argument(prefix + "scale = " + std::to_string(options.scale) +
                                ", expected 1 to 2^200, or 0");
  }
  if (!(options.message_bound > 0.0 && std::isfinite(options.message_bound))) {
    throw std::invalid_argument(prefix +
                                "message_bound = " + std::to_string(options.message_bound) +
                                ", expected finite and > 0");
  }
  if (!(std::log2(scale) + std::log2(options.message_bound) + 1.0 < parameters.log_q(level))) {
    throw std::invalid_argument(
        prefix + "a message_bound of " + std::to_string(options.message_bound) + " at scale 2^" +
        std::to_string(std::log2(scale)) + " does not fit the modulus 2^" +
        std::to_string(parameters.log_q(level)) + " of level " + std::to_string(level));
  }
  return {level, scale};
}

double squared_magnitude(double x) { return x * x; }
double squared_magnitude(const std::complex<double>& z) {
  return z.real() * z.real() + z.imag() * z.imag();
}

template <typename Value>
void check_bound(const char* function, const char* what, Span<const Value> values, double bound) {
  // What is clearly below needs no square root. A bound whose square is out of range for
  // that is left to the exact comparison; so is what is not finite.
  const double square = bound * bound;
  const double clearly_below =
      square > 0x1p-900 && square < 0x1p1000 ? square * (1.0 - 0x1p-40) : 0.0;
  for (std::int64_t i = 0; i < values.size(); ++i) {
    if (squared_magnitude(values[i]) < clearly_below) continue;
    const double magnitude = std::abs(values[i]);
    if (!(magnitude <= bound)) {
      throw std::invalid_argument(std::string("Encoder::") + function + ": " + what + " " +
                                  std::to_string(i) + " has magnitude " +
                                  std::to_string(magnitude) +
                                  ", expected at most message_bound = " + std::to_string(bound) +
                                  "; give a larger EncodeOptions::message_bound");
    }
  }
}

}  // namespace

Encoder::Encoder(std::shared_ptr<const Context> context)
    : context_(std::move(context)), codec_(context_->parameters().log_n()) {
  context_->check_scheme("Encoder", SchemeType::kCkks);
}

template <typename Slot>
Plaintext Encoder::encode_slots(const char* function, Span<const Slot> slots, const Stream& stream,
                                const EncodeOptions& options) const {
  context_->check_stream("Encoder::encode", stream);
  const Target target = target_of(function, context_->parameters(), options);
  check_bound(function, "slot", slots, options.message_bound);
  const LimbIndices limbs = context_->q_limbs(target.level);
  Buffer<Word> residues(limbs.count * context_->degree(), stream);
  const RnsView<Word> out(residues.data(), 1, limbs.count, context_->degree());
  codec_.encode(slots, target.scale, out, limbs, context_->moduli(), stream);
  kernels::ntt_forward_inplace(out, limbs, context_->tables(), stream);
  kernels::synchronize(stream);
  // Of fewer slots n only 2n coefficients are rounded.
  const double rounded = 2.0 * static_cast<double>(slots.size());
  return {
      context_,
      std::move(residues),
      target.level,
      target.scale,
      noise::estimate(noise::sum_error(rounded, noise::kRoundingVariance), options.message_bound,
                      std::is_same_v<Slot, double> ? MessageForm::kRealSlots : MessageForm::kAny),
      History::kKnown};
}

Plaintext Encoder::encode(Span<const std::complex<double>> slots, const Stream& stream,
                          const EncodeOptions& options) const {
  return encode_slots("encode", slots, stream, options);
}

Plaintext Encoder::encode(Span<const double> slots, const Stream& stream,
                          const EncodeOptions& options) const {
  return encode_slots("encode", slots, stream, options);
}

Plaintext Encoder::encode_coefficients(Span<const double> values, const Stream& stream,
                                       const EncodeOptions& options) const {
  context_->check_stream("Encoder::encode_coefficients", stream);
  const Target target = target_of("encode_coefficients", context_->parameters(), options);
  check_bound("encode_coefficients", "value", values, options.message_bound);
  const LimbIndices limbs = context_->q_limbs(target.level);
  Buffer<Word> residues(limbs.count * context_->degree(), stream);
  const RnsView<Word> out(residues.data(), 1, limbs.count, context_->degree());
  codec_.encode_coefficients(values, target.scale, out, limbs, context_->moduli(), stream);
  kernels::ntt_forward_inplace(out, limbs, context_->tables(), stream);
  kernels::synchronize(stream);
  // A slot is a sum of N coefficients.
  return {context_,
          std::move(residues),
          target.level,
          target.scale,
          noise::estimate(
              noise::sum_error(static_cast<double>(context_->degree()), noise::kRoundingVariance),
              options.message_bound * static_cast<double>(context_->degree()),
              MessageForm::kCoefficients),
          History::kKnown};
}

template <typename Decode>
void Encoder::decode_with(const char* function, const Plaintext& plaintext, const Stream& stream,
                          const Decode& decode) const {
  context_->check_stream("Encoder::decode", stream);
  if (plaintext.context() != context_) {
    throw std::invalid_argument(std::string("Encoder::") + function +
                                ": the plaintext belongs to another context");
  }
  const LimbIndices limbs = context_->q_limbs(plaintext.level());
  Buffer<Word> residues(limbs.count * context_->degree(), stream);
  const RnsView<Word> coefficients(residues.data(), 1, limbs.count, context_->degree());
  kernels::copy_limbs<Word>(plaintext.view(), coefficients, stream);
  kernels::ntt_inverse_inplace(coefficients, limbs, context_->tables(), stream);
  decode(RnsView<const Word>(coefficients), context_->radix(plaintext.level()));
}

void Encoder::decode(const Plaintext& plaintext, Span<std::complex<double>> slots,
                     const Stream& stream) const {
  decode_with("decode", plaintext, stream,
              [&](RnsView<const Word> coefficients, const kernels::MixedRadix& radix) {
                codec_.decode(coefficients, radix, plaintext.scale(), slots, stream);
              });
}

void Encoder::decode(const Plaintext& plaintext, Span<double> slots, const Stream& stream) const {
  decode_with("decode", plaintext, stream,
              [&](RnsView<const Word> coefficients, const kernels::MixedRadix& radix) {
                codec_.decode(coefficients, radix, plaintext.scale(), slots, stream);
              });
}

void Encoder::decode_coefficients(const Plaintext& plaintext, Span<double> values,
                                  const Stream& stream) const {
  decode_with("decode_coefficients", plaintext, stream,
              [&](RnsView<const Word> coefficients, const kernels::MixedRadix& radix) {
                codec_.decode_coefficients(coefficients, radix, plaintext.scale(), values, stream);
              });
}

}  // namespace velum::he
