#include "velum/he/ckks/slot_codec.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "ckks/double_double.h"
#include "ckks/format_number.h"
#include "ckks/largest_part.h"
#include "ckks/round_to_integer.h"
#include "velum/kernels/buffer.h"
#include "velum/kernels/polynomial/integers_to_residues.h"

namespace velum::he {
namespace {

using kernels::Backend;
using kernels::Buffer;
using kernels::Int128;
using kernels::LimbIndices;
using kernels::MixedRadix;
using kernels::ModulusChain;
using kernels::RnsView;
using kernels::Span;
using kernels::Stream;

/// Above, doubles have no bits to spare for the embedding's error.
constexpr double kLargestScaleInDouble = 0x1p50;
/// Parts of slots below this make coefficients below 2^62.
constexpr double kLargestPartIn64Bits = 0x1p61;
constexpr double kLargestInteger = 0x1p126;

struct Target {
  RnsView<std::uint32_t> out;
  const LimbIndices& limbs;
  const ModulusChain<std::uint32_t>& chain;
  const Stream& stream;
};

void check_polynomial(const char* function, const char* name, std::int64_t polys,
                      std::int64_t degree, std::int64_t expected_degree) {
  if (polys != 1 || degree != expected_degree) {
    throw std::invalid_argument(std::string(function) + ": " + name +
                                (polys != 1 ? ".polys = " : ".degree = ") +
                                std::to_string(polys != 1 ? polys : degree) + ", expected " +
                                (polys != 1 ? "1" : "N = " + std::to_string(expected_degree)));
  }
}

void check_values(const char* function, std::int64_t values, std::int64_t degree) {
  if (values > degree) {
    throw std::invalid_argument(std::string(function) +
                                ": values.size() = " + std::to_string(values) +
                                ", expected at most N = " + std::to_string(degree));
  }
}

void check_scale(const char* function, double scale) {
  if (!(scale >= 0x1p-100 && scale <= 0x1p200)) {
    throw std::invalid_argument(std::string(function) + ": scale = " + format_number(scale) +
                                ", expected 2^-100 to 2^200");
  }
}

double log2_modulus(const Target& target) {
  double sum = 0;
  for (int i = 0; i < target.limbs.count; ++i) {
    if (target.limbs[i] >= target.chain.size()) continue;  // integers_to_residues refuses it
    sum += std::log2(target.chain[target.limbs[i]].value);
  }
  return sum;
}

std::string one_decimal(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", x);
  return text;
}

/// Throws unless a coefficient of magnitude `largest` has room; `describe_value()` names what made
/// it.
template <typename DescribeValue>
void check_room(const char* function, double largest, DescribeValue describe_value, double scale,
                const Target& target) {
  const double log2_q = log2_modulus(target);
  const double limit = log2_q < 127 ? std::exp2(log2_q - 1) * (1 - 0x1p-36) - 1 : kLargestInteger;
  if (largest < limit) return;
  throw std::invalid_argument(
      std::string(function) + ": the encoded value is too large: " + describe_value() +
      " at scale " + format_number(scale) + " makes a coefficient of 2^" +
      one_decimal(std::log2(largest)) + ", expected below 2^" + one_decimal(std::log2(limit)) +
      " (log2 Q = " + one_decimal(log2_q) + ", limbs: " + std::to_string(target.limbs.count) + ")");
}

std::string describe(double x) { return format_number(x); }
std::string describe(const std::complex<double>& z) {
  return "(" + format_number(z.real()) + ", " + format_number(z.imag()) + ")";
}
std::string describe(const ComplexDoubleDouble& z) {
  return describe(std::complex<double>(z.real.high, z.imag.high));
}
double magnitude(double x) { return std::abs(x); }
double magnitude(const std::complex<double>& z) { return std::hypot(z.real(), z.imag()); }
double magnitude(const ComplexDoubleDouble& z) { return std::hypot(z.real.high, z.imag.high); }

template <typename Number>
std::string describe_largest(const char* name, Span<const Number> numbers) {
  std::int64_t at = 0;
  for (std::int64_t i = 1; i < numbers.size(); ++i) {
    if (magnitude(numbers[i]) > magnitude(numbers[at])) at = i;
  }
  return std::string(name) + "[" + std::to_string(at) + "] = " + describe(numbers[at]);
}

template <typename Integer>
void put_residues(Span<const Integer> integers, const Target& target) {
  if (target.stream.backend() == Backend::kCpu) {
    kernels::integers_to_residues(integers, target.out, target.limbs, target.chain, target.stream);
    return;
  }
  const Buffer<Integer> resident(integers.size(), target.stream);
  kernels::copy(integers, resident.span(), target.stream);
  kernels::integers_to_residues(Span<const Integer>(resident.span()), target.out, target.limbs,
                                target.chain, target.stream);
  kernels::synchronize(target.stream);
}

/// Memory of the host, not initialised.
template <typename T>
Buffer<T> host_buffer(std::int64_t size) {
  return Buffer<T>(size, Stream::serial());
}

constexpr char kEncode[] = "SlotCodec::encode";
constexpr char kEncodeCoefficients[] = "SlotCodec::encode_coefficients";
constexpr char kEncodeIntegers[] = "SlotCodec::encode_integers";
constexpr char kDecode[] = "SlotCodec::decode";
constexpr char kDecodeCoefficients[] = "SlotCodec::decode_coefficients";
constexpr char kDecodeIntegers[] = "SlotCodec::decode_integers";

/// The host's threads: those of a CPU stream.
Stream host_threads(const Stream& stream) {
  return stream.backend() == Backend::kCpu ? stream : Stream::serial();
}

/// Calls `rounded(k)` for the coefficients of the powers of X^(degree / count), 0 elsewhere.
template <typename Integer, typename Rounded>
Buffer<Integer> spread(std::int64_t degree, std::int64_t count, const Stream& stream,
                       Rounded rounded) {
  Buffer<Integer> integers = host_buffer<Integer>(degree);
  Integer* const to = integers.data();
  const std::int64_t gap = degree / count;
  constexpr std::int64_t kGrain = 4096;  // some ten microseconds
  stream.parallel_for().run(count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    if (gap == 1) {
      for (std::int64_t k = begin; k < end; ++k) to[k] = rounded(k);
    } else {
      std::fill_n(to + begin * gap, (end - begin) * gap, Integer{0});
      for (std::int64_t k = begin; k < end; ++k) to[k * gap] = rounded(k);
    }
  });
  return integers;
}

template <typename Slot>
void encode_slots(const CanonicalEmbedding& embedding, Span<const Slot> slots, double scale,
                  const Target& target) {
  check_polynomial(kEncode, "out", target.out.polys, target.out.degree, embedding.degree());
  const std::int64_t count = 2 * slots.size();
  const Stream host = host_threads(target.stream);
  const Buffer<double> high = host_buffer<double>(count);
  constexpr bool kFineSlots = std::is_same_v<Slot, ComplexDoubleDouble>;
  if constexpr (!kFineSlots) {
    if (scale <= kLargestScaleInDouble && !(scale * largest_part(slots) >= kLargestPartIn64Bits)) {
      embedding.embed(slots, scale, high.span(), host);
      check_room(
          kEncode, largest_part<double>(high.span()),
          [&] { return describe_largest("slots", slots); }, scale, target);
      const double* const c = high.data();
      const Buffer<std::int64_t> integers = spread<std::int64_t>(
          embedding.degree(), count, host,
          [c](std::int64_t k) { return static_cast<std::int64_t>(nearest_integer(c[k])); });
      put_residues(Span<const std::int64_t>(integers.span()), target);
      return;
    }
  }
  const Buffer<double> low = host_buffer<double>(count);
  embedding.embed(slots, scale, DoubleDoubleSpan{high.span(), low.span()}, host);
  check_room(
      kEncode, largest_part<double>(high.span()), [&] { return describe_largest("slots", slots); },
      scale, target);
  const Buffer<Int128> integers =
      spread<Int128>(embedding.degree(), count, host, [&high, &low](std::int64_t k) {
        return nearest_integer<Int128>(DoubleDouble{high.data()[k], low.data()[k]});
      });
  put_residues(Span<const Int128>(integers.span()), target);
}

struct Coefficients {
  Buffer<double> high, low;  // the host's
};

/// The `count` coefficients at multiples of degree / count.
Coefficients read_coefficients(const char* function, RnsView<const std::uint32_t> in,
                               const MixedRadix& radix, std::int64_t degree, std::int64_t count,
                               const Stream& stream) {
  check_polynomial(function, "in", in.polys, in.degree, degree);
  Coefficients host{host_buffer<double>(count), host_buffer<double>(count)};
  if (stream.backend() == Backend::kCpu) {
    kernels::residues_to_doubles(in, host.high.span(), host.low.span(), radix, stream);
    return host;
  }
  const Buffer<double> high(count, stream), low(count, stream);
  kernels::residues_to_doubles(in, high.span(), low.span(), radix, stream);
  kernels::copy(Span<const double>(high.span()), host.high.span(), stream);
  kernels::copy(Span<const double>(low.span()), host.low.span(), stream);
  kernels::synchronize(stream);
  return host;
}  // NOLINT(clang-analyzer-cplusplus.NewDeleteLeaks): the destructors free what they own

template <typename Slot>
void decode_slots(const CanonicalEmbedding& embedding, RnsView<const std::uint32_t> in,
                  const MixedRadix& radix, double scale, Span<Slot> slots, const Stream& stream) {
  check_scale(kDecode, scale);
  if (slots.size() < 1 || embedding.max_slots() % slots.size() != 0) {
    throw std::invalid_argument(
        std::string(kDecode) + ": slots.size() = " + std::to_string(slots.size()) +
        ", expected a power of two, 1 to N/2 = " + std::to_string(embedding.max_slots()));
  }
  const Stream host = host_threads(stream);
  const Coefficients c =
      read_coefficients(kDecode, in, radix, embedding.degree(), 2 * slots.size(), stream);
  if constexpr (!std::is_same_v<Slot, ComplexDoubleDouble>) {
    if (scale <= kLargestScaleInDouble) {
      embedding.evaluate(c.high.span(), scale, slots, host);
      return;
    }
  }
  embedding.evaluate(DoubleDoubleSpan{c.high.span(), c.low.span()}, scale, slots, host);
}

}  // namespace

void SlotCodec::encode(Span<const std::complex<double>> slots, double scale,
                       RnsView<std::uint32_t> out, const LimbIndices& limbs,
                       const ModulusChain<std::uint32_t>& chain, const Stream& stream) const {
  encode_slots(embedding_, slots, scale, {out, limbs, chain, stream});
}
void SlotCodec::encode(Span<const double> slots, double scale, RnsView<std::uint32_t> out,
                       const LimbIndices& limbs, const ModulusChain<std::uint32_t>& chain,
                       const Stream& stream) const {
  encode_slots(embedding_, slots, scale, {out, limbs, chain, stream});
}
void SlotCodec::encode(Span<const ComplexDoubleDouble> slots, double scale,
                       RnsView<std::uint32_t> out, const LimbIndices& limbs,
                       const ModulusChain<std::uint32_t>& chain, const Stream& stream) const {
  encode_slots(embedding_, slots, scale, {out, limbs, chain, stream});
}

void SlotCodec::encode_coefficients(Span<const double> values, double scale,
                                    RnsView<std::uint32_t> out, const LimbIndices& limbs,
                                    const ModulusChain<std::uint32_t>& chain,
                                    const Stream& stream) const {
  const Target target{out, limbs, chain, stream};
  const std::int64_t degree = embedding_.degree();
  check_polynomial(kEncodeCoefficients, "out", out.polys, out.degree, degree);
  check_values(kEncodeCoefficients, values.size(), degree);
  check_scale(kEncodeCoefficients, scale);
  for (std::int64_t k = 0; k < values.size(); ++k) {
    if (!std::isfinite(values[k])) {
      throw std::invalid_argument(std::string(kEncodeCoefficients) + ": values[" +
                                  std::to_string(k) + "] = " + format_number(values[k]) +
                                  ", expected finite");
    }
  }
  const double largest = scale * largest_part(values);
  if (!values.empty()) {
    check_room(
        kEncodeCoefficients, largest, [&] { return describe_largest("values", values); }, scale,
        target);
  }
  const auto put = [&](auto zero) {
    using Integer = decltype(zero);
    const Buffer<Integer> integers = host_buffer<Integer>(degree);
    for (std::int64_t k = 0; k < values.size(); ++k) {
      integers.data()[k] = nearest_integer<Integer>(two_product(values[k], scale));
    }
    std::fill(integers.data() + values.size(), integers.data() + degree, zero);
    put_residues(Span<const Integer>(integers.span()), target);
  };
  if (largest < 0x1p62) {
    put(std::int64_t{0});
  } else {
    put(Int128{0});
  }
}

void SlotCodec::encode_integers(Span<const std::int64_t> values, RnsView<std::uint32_t> out,
                                const LimbIndices& limbs, const ModulusChain<std::uint32_t>& chain,
                                const Stream& stream) const {
  const Target target{out, limbs, chain, stream};
  const std::int64_t degree = embedding_.degree();
  check_polynomial(kEncodeIntegers, "out", out.polys, out.degree, degree);
  check_values(kEncodeIntegers, values.size(), degree);
  std::int64_t at = 0;
  double largest = 0;
  for (std::int64_t k = 0; k < values.size(); ++k) {
    const double magnitude_k = std::abs(static_cast<double>(values[k]));
    if (magnitude_k > largest) {
      largest = magnitude_k;
      at = k;
    }
  }
  if (!values.empty()) {
    check_room(
        kEncodeIntegers, largest,
        [&] { return "values[" + std::to_string(at) + "] = " + std::to_string(values[at]); }, 1,
        target);
  }
  const Buffer<std::int64_t> integers = host_buffer<std::int64_t>(degree);
  std::copy_n(values.data(), values.size(), integers.data());
  std::fill(integers.data() + values.size(), integers.data() + degree, 0);
  put_residues(Span<const std::int64_t>(integers.span()), target);
}

void SlotCodec::decode(RnsView<const std::uint32_t> in, const MixedRadix& radix, double scale,
                       Span<std::complex<double>> slots, const Stream& stream) const {
  decode_slots(embedding_, in, radix, scale, slots, stream);
}
void SlotCodec::decode(RnsView<const std::uint32_t> in, const MixedRadix& radix, double scale,
                       Span<double> slots, const Stream& stream) const {
  decode_slots(embedding_, in, radix, scale, slots, stream);
}
void SlotCodec::decode(RnsView<const std::uint32_t> in, const MixedRadix& radix, double scale,
                       Span<ComplexDoubleDouble> slots, const Stream& stream) const {
  decode_slots(embedding_, in, radix, scale, slots, stream);
}

void SlotCodec::decode_coefficients(RnsView<const std::uint32_t> in, const MixedRadix& radix,
                                    double scale, Span<double> values, const Stream& stream) const {
  const std::int64_t degree = embedding_.degree();
  check_values(kDecodeCoefficients, values.size(), degree);
  check_scale(kDecodeCoefficients, scale);
  const Coefficients c = read_coefficients(kDecodeCoefficients, in, radix, degree, degree, stream);
  for (std::int64_t k = 0; k < values.size(); ++k) {
    const double high = c.high.data()[k];
    if (!std::isfinite(high)) {
      throw std::invalid_argument(std::string(kDecodeCoefficients) + ": in[" + std::to_string(k) +
                                  "] is 2^960 or more, expected less");
    }
    const double quotient = high / scale;
    const double rest = std::fma(-quotient, scale, high) + c.low.data()[k];
    values[k] = quotient + rest / scale;
  }
}

void SlotCodec::decode_integers(RnsView<const std::uint32_t> in, const MixedRadix& radix,
                                Span<std::int64_t> values, const Stream& stream) const {
  const std::int64_t degree = embedding_.degree();
  check_values(kDecodeIntegers, values.size(), degree);
  const Coefficients c = read_coefficients(kDecodeIntegers, in, radix, degree, degree, stream);
  for (std::int64_t k = 0; k < values.size(); ++k) {
    const double high = c.high.data()[k];
    const bool near_64_bits = std::abs(high) <= 0x1p63;
    const Int128 x =
        near_64_bits ? static_cast<Int128>(high) + static_cast<Int128>(c.low.data()[k]) : Int128{0};
    values[k] = static_cast<std::int64_t>(x);
    if (!near_64_bits || x != values[k]) {
      throw std::invalid_argument(std::string(kDecodeIntegers) + ": in[" + std::to_string(k) +
                                  "] is about " + format_number(high) +
                                  ", expected -2^63 to 2^63 - 1");
    }
  }
}

}  // namespace velum::he
