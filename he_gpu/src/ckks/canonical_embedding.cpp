#include "velum/he/ckks/canonical_embedding.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "ckks/double_double.h"
#include "ckks/format_number.h"
#include "ckks/largest_part.h"
#include "ckks/special_fft.h"
#include "ckks/unit_roots.h"

namespace velum::he {
namespace {

using kernels::Span;
using kernels::Stream;

constexpr double kLargest = 0x1p900;
constexpr double kLargestCoefficient = 0x1p880;     // sums of 2^17 stay below kLargest
constexpr double kSmallestDoubleDouble = 0x1p-300;  // what is below counts as 0
constexpr double kSmallestScale = 0x1p-100;
constexpr double kLargestScale = 0x1p200;

void check_scale(const char* function, double scale) {
  if (!(scale >= kSmallestScale && scale <= kLargestScale)) {
    throw std::invalid_argument(std::string(function) + ": scale = " + format_number(scale) +
                                ", expected 2^-100 to 2^200");
  }
}

void check_slots(const char* function, std::int64_t slots, std::int64_t max_slots) {
  if (slots < 1 || slots > max_slots || !std::has_single_bit(static_cast<std::uint64_t>(slots))) {
    throw std::invalid_argument(
        std::string(function) + ": slots.size() = " + std::to_string(slots) +
        ", expected a power of two, 1 to N/2 = " + std::to_string(max_slots));
  }
}

void check_coefficients(const char* function, std::int64_t size, std::int64_t slots) {
  if (size != 2 * slots) {
    throw std::invalid_argument(std::string(function) +
                                ": coefficients.size() = " + std::to_string(size) +
                                ", expected 2 slots.size() = " + std::to_string(2 * slots));
  }
}

/// Throws if an element is not finite, or its part times `factor` is not below `limit`.
template <typename Number>
void check_magnitudes(const char* function, const char* name, Span<const Number> numbers,
                      double factor, double limit, const char* limit_text) {
  if (largest_part(numbers) * factor < limit) return;
  constexpr std::int64_t kDoubles = sizeof(Number) / sizeof(double);
  const auto* const parts = reinterpret_cast<const double*>(numbers.data());
  for (std::int64_t i = 0; i < kDoubles * numbers.size(); ++i) {
    if (std::abs(parts[i]) * factor < limit) continue;
    const bool finite = std::isfinite(parts[i]);
    throw std::invalid_argument(std::string(function) + ": " + name + "[" +
                                std::to_string(i / kDoubles) + "] = " + format_number(parts[i]) +
                                ", expected finite" + (finite ? limit_text : ""));
  }
}

struct Parts {
  DoubleDouble real, imag;
};
Parts parts_of(const std::complex<double>& z) { return {{z.real(), 0}, {z.imag(), 0}}; }
Parts parts_of(double x) { return {{x, 0}, {0, 0}}; }
Parts parts_of(const ComplexDoubleDouble& z) { return {z.real, z.imag}; }

void put(const Parts& z, std::complex<double>& slot) { slot = {z.real.high, z.imag.high}; }
void put(const Parts& z, double& slot) { slot = z.real.high; }
void put(const Parts& z, ComplexDoubleDouble& slot) { slot = {z.real, z.imag}; }

DoubleDouble without_tiny_parts(DoubleDouble x) {
  return {std::abs(x.high) < kSmallestDoubleDouble ? 0 : x.high,
          std::abs(x.low) < kSmallestDoubleDouble ? 0 : x.low};
}

/// Numbers that are worth a thread of their own: some ten microseconds.
constexpr std::int64_t kGrain = 4096;

/// Calls `body(i)` for i from 0 to n - 1.
template <typename Body>
void for_each(std::int64_t n, const Stream& stream, const Body& body) {
  stream.parallel_for().run(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i);
  });
}

/// i with its log2(n) bits in reverse order.
std::int64_t reversed_bits(std::int64_t i, std::int64_t n) {
  std::int64_t reversed = 0;
  for (std::int64_t bit = 1; bit < n; bit *= 2) reversed = 2 * reversed + ((i & bit) != 0 ? 1 : 0);
  return reversed;
}

/// All parts of all numbers. A pair is exchanged where the smaller index stands.
template <int kParts>
void bit_reverse(const ComplexPlanes& values, std::int64_t n, const Stream& stream) {
  stream.parallel_for().run(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t reversed = reversed_bits(begin, n);
    for (std::int64_t i = begin; i < end; ++i) {
      if (i < reversed) {
        for (int part = 0; part < kParts; ++part) {
          std::swap(values.real[part][i], values.real[part][reversed]);
          std::swap(values.imag[part][i], values.imag[part][reversed]);
        }
      }
      std::int64_t carry = n / 2;  // add one to `reversed` from its highest bit downwards
      while (reversed & carry) {
        reversed ^= carry;
        carry /= 2;
      }
      reversed |= carry;
    }
  });
}

ComplexPlanes planes(Span<double> coefficients) {
  const std::int64_t n = coefficients.size() / 2;
  return {{coefficients.data(), nullptr}, {coefficients.data() + n, nullptr}};
}
ComplexPlanes planes(const DoubleDoubleSpan& coefficients) {
  const std::int64_t n = coefficients.high.size() / 2;
  return {{coefficients.high.data(), coefficients.low.data()},
          {coefficients.high.data() + n, coefficients.low.data() + n}};
}

template <typename Slot>
void embed_double(Span<const Slot> slots, double scale, Span<double> coefficients,
                  const TwiddlePlanes& twiddles, const Stream& stream) {
  const std::int64_t n = slots.size();
  const double factor = scale / static_cast<double>(n);
  const ComplexPlanes values = planes(coefficients);
  if constexpr (std::is_same_v<Slot, double>) {
    for_each(n, stream, [&](std::int64_t j) {
      values.real[0][j] = slots[j] * factor;
      values.imag[0][j] = 0.0;
    });
  } else {
    const auto* const parts = reinterpret_cast<const double*>(slots.data());
    for_each(n, stream, [&](std::int64_t j) {
      values.real[0][j] = parts[2 * j] * factor;
      values.imag[0][j] = parts[2 * j + 1] * factor;
    });
  }
  interpolate_double(values, twiddles, n, stream);
  bit_reverse<1>(values, n, stream);
}

template <typename Slot>
void embed_double_double(Span<const Slot> slots, double scale, DoubleDoubleSpan coefficients,
                         const TwiddlePlanes& twiddles, const Stream& stream) {
  const std::int64_t n = slots.size();
  const DoubleDouble factor{scale / static_cast<double>(n), 0};
  const ComplexPlanes values = planes(coefficients);
  for_each(n, stream, [&](std::int64_t j) {
    const Parts z = parts_of(slots[j]);
    const DoubleDouble real = without_tiny_parts(multiply(z.real, factor));
    const DoubleDouble imag = without_tiny_parts(multiply(z.imag, factor));
    values.real[0][j] = real.high;
    values.real[1][j] = real.low;
    values.imag[0][j] = imag.high;
    values.imag[1][j] = imag.low;
  });
  interpolate_double_double(values, twiddles, n, stream);
  bit_reverse<2>(values, n, stream);
}

/// Whether x is a power of two, so that products with 1/x are its quotients.
bool is_power_of_two(double x) {
  int exponent = 0;
  return std::frexp(x, &exponent) == 0.5;
}

template <typename Slot>
void evaluate_in_double(Span<double> coefficients, double scale, Span<Slot> slots,
                        const TwiddlePlanes& twiddles, const Stream& stream) {
  const std::int64_t n = slots.size();
  const ComplexPlanes values = planes(coefficients);
  if (is_power_of_two(scale)) {
    const double factor = 1 / scale;
    for_each(2 * n, stream, [&](std::int64_t k) { coefficients[k] *= factor; });
  } else {
    for_each(2 * n, stream, [&](std::int64_t k) { coefficients[k] /= scale; });
  }
  bit_reverse<1>(values, n, stream);
  evaluate_double(values, twiddles, n, stream);
  if constexpr (std::is_same_v<Slot, double>) {
    std::copy_n(values.real[0], n, slots.data());
  } else {
    auto* const parts = reinterpret_cast<double*>(slots.data());
    for_each(n, stream, [&](std::int64_t j) {
      parts[2 * j] = values.real[0][j];
      parts[2 * j + 1] = values.imag[0][j];
    });
  }
}

template <typename Slot>
void evaluate_in_double_double(DoubleDoubleSpan coefficients, double scale, Span<Slot> slots,
                               const TwiddlePlanes& twiddles, const Stream& stream) {
  const std::int64_t n = slots.size();
  const DoubleDouble factor = reciprocal(scale);
  const ComplexPlanes values = planes(coefficients);
  for_each(2 * n, stream, [&](std::int64_t k) {
    const DoubleDouble x = without_tiny_parts(
        multiply(DoubleDouble{coefficients.high[k], coefficients.low[k]}, factor));
    coefficients.high[k] = x.high;
    coefficients.low[k] = x.low;
  });
  bit_reverse<2>(values, n, stream);
  evaluate_double_double(values, twiddles, n, stream);
  for_each(n, stream, [&](std::int64_t j) {
    put({{values.real[0][j], values.real[1][j]}, {values.imag[0][j], values.imag[1][j]}}, slots[j]);
  });
}

constexpr char kEmbed[] = "CanonicalEmbedding::embed";
constexpr char kEvaluate[] = "CanonicalEmbedding::evaluate";

template <typename Slot>
void check_embed(Span<const Slot> slots, double scale, std::int64_t coefficients,
                 std::int64_t max_slots) {
  check_slots(kEmbed, slots.size(), max_slots);
  check_coefficients(kEmbed, coefficients, slots.size());
  check_scale(kEmbed, scale);
  check_magnitudes(kEmbed, "slots", slots, scale, kLargest, " and scale |slot| < 2^900");
}

void check_evaluate(std::int64_t slots, double scale, Span<const double> coefficients,
                    std::int64_t max_slots) {
  check_slots(kEvaluate, slots, max_slots);
  check_coefficients(kEvaluate, coefficients.size(), slots);
  check_scale(kEvaluate, scale);
  check_magnitudes(kEvaluate, "coefficients", coefficients, 1 / scale, kLargestCoefficient,
                   " and |coefficient| / scale < 2^880");
}

void check_low(const char* function, const DoubleDoubleSpan& coefficients) {
  if (coefficients.low.size() != coefficients.high.size()) {
    throw std::invalid_argument(
        std::string(function) +
        ": coefficients.low.size() = " + std::to_string(coefficients.low.size()) +
        ", expected coefficients.high.size() = " + std::to_string(coefficients.high.size()));
  }
}

constexpr double kUnitRoundoff = std::numeric_limits<double>::epsilon() / 2;

double log2_of(std::int64_t slots) {
  return static_cast<double>(std::bit_width(static_cast<std::uint64_t>(slots)) - 1);
}

}  // namespace

double CanonicalEmbedding::error_bound(std::int64_t slots) {
  return (3.95 * log2_of(slots) + 3) * kUnitRoundoff;
}

double CanonicalEmbedding::error_bound_double_double(std::int64_t slots) {
  return (13.6 * log2_of(slots) + 14) * kUnitRoundoff * kUnitRoundoff;
}

CanonicalEmbedding::CanonicalEmbedding(int log_n) : log_n_(log_n) {
  if (log_n < 1 || log_n > kMaxLogN) {
    throw std::invalid_argument("CanonicalEmbedding: log_n = " + std::to_string(log_n) +
                                ", expected 1 to " + std::to_string(kMaxLogN));
  }
  const std::int64_t n = max_slots();
  for (std::vector<double>* plane : {&real_high_, &real_low_, &imag_high_, &imag_low_}) {
    plane->resize(static_cast<std::size_t>(n));
  }
  const UnitRoots roots(std::max(log_n + 1, 3));  // of order 4n = 2N
  const std::uint64_t order = std::uint64_t{1} << std::max(log_n + 1, 3);
  for (std::int64_t half = 1; half < n; half *= 2) {
    const std::uint64_t stage_order = 8 * static_cast<std::uint64_t>(half);
    std::uint64_t power_of_5 = 1;
    for (std::int64_t j = 0; j < half; ++j) {
      const ComplexDoubleDouble w = roots.root(power_of_5 * (order / stage_order));
      const auto at = static_cast<std::size_t>(half + j);
      real_high_[at] = w.real.high;
      real_low_[at] = w.real.low;
      imag_high_[at] = w.imag.high;
      imag_low_[at] = w.imag.low;
      power_of_5 = power_of_5 * 5 % stage_order;
    }
  }
}

#define VELUM_TWIDDLES                                                             \
  TwiddlePlanes {                                                                  \
    {real_high_.data(), real_low_.data()}, { imag_high_.data(), imag_low_.data() } \
  }

#define VELUM_DOUBLE(Slot)                                                                        \
  void CanonicalEmbedding::embed(Span<const Slot> slots, double scale, Span<double> coefficients, \
                                 const Stream& stream) const {                                    \
    check_embed(slots, scale, coefficients.size(), max_slots());                                  \
    embed_double(slots, scale, coefficients, VELUM_TWIDDLES, stream);                             \
  }                                                                                               \
  void CanonicalEmbedding::evaluate(Span<double> coefficients, double scale, Span<Slot> slots,    \
                                    const Stream& stream) const {                                 \
    check_evaluate(slots.size(), scale, coefficients, max_slots());                               \
    evaluate_in_double(coefficients, scale, slots, VELUM_TWIDDLES, stream);                       \
  }
VELUM_DOUBLE(std::complex<double>)
VELUM_DOUBLE(double)
#undef VELUM_DOUBLE

#define VELUM_DOUBLE_DOUBLE(Slot)                                                                  \
  void CanonicalEmbedding::embed(Span<const Slot> slots, double scale,                             \
                                 DoubleDoubleSpan coefficients, const Stream& stream) const {      \
    check_low(kEmbed, coefficients);                                                               \
    check_embed(slots, scale, coefficients.high.size(), max_slots());                              \
    embed_double_double(slots, scale, coefficients, VELUM_TWIDDLES, stream);                       \
  }                                                                                                \
  void CanonicalEmbedding::evaluate(DoubleDoubleSpan coefficients, double scale, Span<Slot> slots, \
                                    const Stream& stream) const {                                  \
    check_low(kEvaluate, coefficients);                                                            \
    check_evaluate(slots.size(), scale, coefficients.high, max_slots());                           \
    check_magnitudes<double>(kEvaluate, "coefficients", coefficients.low, 1 / scale,               \
                             kLargestCoefficient, " and |coefficient| / scale < 2^880");           \
    evaluate_in_double_double(coefficients, scale, slots, VELUM_TWIDDLES, stream);                 \
  }
VELUM_DOUBLE_DOUBLE(std::complex<double>)
VELUM_DOUBLE_DOUBLE(double)
VELUM_DOUBLE_DOUBLE(ComplexDoubleDouble)
#undef VELUM_DOUBLE_DOUBLE
#undef VELUM_TWIDDLES

}  // namespace velum::he
