#include "velum/kernels/polynomial/digit_packing.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "dispatch.h"
#include "polynomial/check_rns.h"
#include "polynomial/digit_packing_halves.h"
#include "polynomial/host_arithmetic.h"
#include "polynomial/wide_integer.h"

namespace velum::kernels {
namespace {

/// Bits of a fraction below B^v and the error of L fractions: see `largest_noise`.
constexpr int kRoundingBits = 17;
constexpr int kLargestWords = 16;
constexpr int kMostNoiseBits = 126;
constexpr std::uint32_t kMostOffset = std::uint32_t{1} << 24;

WideInteger power(std::uint32_t base, int exponent) {
  WideInteger result(1);
  for (int i = 0; i < exponent; ++i) result.multiply(base);
  return result;
}

WideInteger product_of(const std::vector<Modulus<std::uint32_t>>& moduli) {
  WideInteger q(1);
  for (const Modulus<std::uint32_t>& m : moduli) q.multiply(m.value);
  return q;
}

void check_numbers(const ModulusChain<std::uint32_t>& chain, const LimbIndices& limbs,
                   std::uint32_t base, int digits) {
  const char* const function = "DigitPacking";
  check_at_least(function, "limbs.count", limbs.count, 1);
  check_indices(function, "limbs", limbs, chain.size());
  const auto moduli = moduli_of(chain, limbs);
  for (std::size_t i = 0; i < moduli.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (std::gcd(moduli[i].value, moduli[j].value) != 1) {
        throw std::invalid_argument("DigitPacking: the moduli " + std::to_string(moduli[j].value) +
                                    " and " + std::to_string(moduli[i].value) +
                                    " have a common factor, expected none");
      }
    }
  }
  if (base < 2) refuse(function, "base", base, "2 to 2^32 - 1");
  if (digits < 1 || digits > DigitPacking::kMaxDigits) {
    refuse(function, "digits", digits, "1 to " + std::to_string(DigitPacking::kMaxDigits));
  }
  const int bits = power(base, digits).bits();
  if (bits > DigitPacking::kMaxMessageBits) {
    refuse(function, "bits of base^digits", bits,
           "at most " + std::to_string(DigitPacking::kMaxMessageBits));
  }
}

/// w, of 4, 8 or 16.
int words_for(int limbs, std::uint32_t base, int digits) {
  WideInteger error = power(base, digits);  // B^v (L 2^30 + 1)
  error.multiply(static_cast<std::uint32_t>(limbs) + 1);
  int words = 4;
  while (words < kLargestWords && 32 * words < error.bits() + 30 + kRoundingBits) words *= 2;
  return words;
}

std::vector<DigitPackingView::Limb> constants_of(
    const std::vector<Modulus<std::uint32_t>>& moduli) {
  std::vector<DigitPackingView::Limb> constants;
  for (std::size_t i = 0; i < moduli.size(); ++i) {
    const Modulus<std::uint32_t>& m = moduli[i];
    const std::uint32_t inverse = modular_inverse(product_modulo(moduli, i, m), m);
    constants.push_back({m, shoup_factor(inverse, m), shoup_factor(1u, m),
                         shoup_factor(reduce_wide(std::uint64_t{1} << 32, m), m)});
  }
  return constants;
}

std::vector<std::uint32_t> weights_of(const std::vector<Modulus<std::uint32_t>>& moduli,
                                      std::uint32_t base, int digits) {
  std::vector<std::uint32_t> weights(moduli.size() * static_cast<std::size_t>(digits));
  WideInteger quotient = product_of(moduli);
  for (int digit = digits - 1; digit >= 0; --digit) {
    quotient.divide(base);  // floors of floors are floors
    for (std::size_t l = 0; l < moduli.size(); ++l) {
      weights[l * static_cast<std::size_t>(digits) + static_cast<std::size_t>(digit)] =
          quotient.modulo(moduli[l].value);
    }
  }
  return weights;
}

std::vector<std::uint32_t> words_of(const WideInteger& number, int words) {
  std::vector<std::uint32_t> out;
  for (int w = 0; w < words; ++w) out.push_back(number.word(static_cast<std::size_t>(w)));
  return out;
}

std::vector<std::uint32_t> fractions_of(const std::vector<Modulus<std::uint32_t>>& moduli,
                                        int words) {
  std::vector<std::uint32_t> fractions;
  for (const Modulus<std::uint32_t>& m : moduli) {
    WideInteger fraction = WideInteger::power_of_two(32 * words);
    fraction.divide(m.value);
    for (const std::uint32_t word : words_of(fraction, words)) fractions.push_back(word);
  }
  return fractions;
}

std::vector<std::uint32_t> half_of(std::uint32_t base, int digits, int words) {
  WideInteger half = WideInteger::power_of_two(32 * words - 1);
  for (int i = 0; i < digits; ++i) half.divide(base);
  return words_of(half, words);
}

WideOf<std::uint64_t> largest_noise_of(const std::vector<Modulus<std::uint32_t>>& moduli,
                                       std::uint32_t base, int digits) {
  WideInteger room = product_of(moduli);  // floor(Q (2^16 - 1) / (2^17 B^v))
  room.multiply((1u << (kRoundingBits - 1)) - 1);
  room.divide(1u << kRoundingBits);
  for (int i = 0; i < digits; ++i) room.divide(base);
  const std::uint64_t rounding = static_cast<std::uint64_t>(digits) * (base - 1);
  if (room < WideInteger(rounding)) {
    throw std::invalid_argument(
        "DigitPacking: base = " + std::to_string(base) + " and digits = " + std::to_string(digits) +
        " leave no room in a modulus of " + std::to_string(product_of(moduli).bits()) +
        " bits, expected about " +
        std::to_string(power(base, digits).bits() + WideInteger(rounding).bits() + 1) +
        " bits or more");
  }
  room.subtract(WideInteger(rounding));
  using Wide = WideOf<std::uint64_t>;
  if (room.bits() > kMostNoiseBits) return Wide{1} << kMostNoiseBits;
  Wide noise = 0;
  for (std::size_t i = 4; i-- > 0;) noise = (noise << 32) | room.word(i);
  return noise;
}

void check_packing(const char* function, const RnsShape& view, std::int64_t values,
                   std::int64_t coefficients, std::int64_t first, const DigitPacking& packing,
                   const Stream& stream) {
  check_view(function, view);
  check_memory(function, "packing", packing.backend(), stream);
  check_count(function, std::string(view.name) + ".limbs", view.limbs, "packing.limbs()",
              packing.limbs());
  check_at_least(function, "coefficients", coefficients, 1);
  if (first < 0 || first > coefficients) {
    refuse(function, "first", first, "0 to coefficients = " + std::to_string(coefficients));
  }
  if (values / packing.digits() > coefficients || values > coefficients * packing.digits()) {
    refuse(function, "values.size()", values,
           "at most coefficients * packing.digits() = " +
               std::to_string(coefficients * packing.digits()));
  }
}

/// A vector of 32-bit numbers as a view, for what must not overlap.
template <typename T>
RnsShape shape_of(const char* name, Span<T> numbers) {
  return {name, RnsView<T>(numbers.data(), 1, 1, numbers.size())};
}

}  // namespace

DigitPacking::DigitPacking(const ModulusChain<std::uint32_t>& chain, const LimbIndices& limbs,
                           std::uint32_t base, int digits, const Stream& stream)
    : limbs_((check_numbers(chain, limbs, base, digits), limbs.count)),
      digits_(digits),
      words_(words_for(limbs.count, base, digits)),
      base_(base),
      largest_noise_(largest_noise_of(moduli_of(chain, limbs), base, digits)),
      constants_(resident(constants_of(moduli_of(chain, limbs)), stream)),
      weights_(resident(weights_of(moduli_of(chain, limbs), base, digits), stream)),
      fractions_(resident(fractions_of(moduli_of(chain, limbs), words_), stream)),
      half_(resident(half_of(base, digits, words_), stream)) {
  for (const Modulus<std::uint32_t>& m : moduli_of(chain, limbs))
    log_modulus_ += std::log2(m.value);
}

std::uint32_t DigitPacking::largest_deviation(double noise) const {
  const double log_message = digits_ * std::log2(static_cast<double>(base_));
  const double rounding = digits_ * (static_cast<double>(base_) - 1.0);
  const double ratio = (noise + rounding) * std::exp2(log_message - log_modulus_);
  // Less than a millionth for the logarithms, and one unit for the rounding down.
  const double deviation = std::ldexp(ratio * (1.0 + 1e-6) + std::exp2(-kRoundingBits), 32) + 1.0;
  return static_cast<std::uint32_t>(std::min(deviation, 0x1p31));
}

void pack_digits_accumulate(Span<const std::int32_t> values, std::int64_t coefficients,
                            std::int64_t first, std::uint32_t offset, RnsView<std::uint32_t> out,
                            const DigitPacking& packing, const Stream& stream) {
  const char* const function = "pack_digits_accumulate";
  const RnsShape shape("out", out);
  check_packing(function, shape, values.size(), coefficients, first, packing, stream);
  if (offset > kMostOffset) refuse(function, "offset", offset, "0 to 2^24");
  check_disjoint(function, shape, shape_of("values", values));
  const PackDigitsBody body{values, coefficients, first, offset, out, packing.view()};
  VELUM_DISPATCH(stream, pack_digits_cpu(body, stream), pack_digits_cuda(body, stream));
}

void unpack_digits(RnsView<const std::uint32_t> in, std::int64_t coefficients, std::int64_t first,
                   std::uint32_t offset, Span<std::int32_t> values, Span<std::int32_t> deviations,
                   const DigitPacking& packing, const Stream& stream) {
  const char* const function = "unpack_digits";
  const RnsShape shape("in", in);
  check_packing(function, shape, values.size(), coefficients, first, packing, stream);
  check_count(function, "deviations.size()", deviations.size(), "coefficients", coefficients);
  check_disjoint(function, shape_of("values", values), shape);
  check_disjoint(function, shape_of("deviations", deviations), shape);
  check_disjoint(function, shape_of("values", values), shape_of("deviations", deviations));
  const auto run = [&](const auto& body) {
    VELUM_DISPATCH(stream, unpack_digits_cpu(body, stream), unpack_digits_cuda(body, stream));
  };
  switch (packing.view().words) {
    case 4:
      return run(
          UnpackDigitsBody<4>{in, coefficients, first, offset, values, deviations, packing.view()});
    case 8:
      return run(
          UnpackDigitsBody<8>{in, coefficients, first, offset, values, deviations, packing.view()});
    default:
      return run(UnpackDigitsBody<16>{in, coefficients, first, offset, values, deviations,
                                      packing.view()});
  }
}

}  // namespace velum::kernels
