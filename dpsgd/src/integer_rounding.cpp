#include "velum/dpsgd/integer_rounding.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "accounting/range_check.h"
#include "velum/kernels/random/uniform.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {
namespace {

constexpr double kLargestSteps = 0x1p30;  // of C / gamma
constexpr std::int64_t kLargestDimension = std::int64_t{1} << 32;
constexpr double kLargestBeta = 0.9;
constexpr std::int64_t kAttempts = 1024;
constexpr double kRoundingOfDoubles = 1.0 + 0x1p-16;
constexpr std::int64_t kDrawsOfAPosition = std::int64_t{1} << 35;

void check_plan(const char* function, const QuantizationPlan& plan) {
  if (!(plan.clipping_norm > 0.0 && std::isfinite(plan.clipping_norm))) {
    reject(function, "clipping_norm", plan.clipping_norm, "finite and > 0");
  }
  if (!(plan.granularity <= plan.clipping_norm && plan.granularity > 0.0 &&
        plan.clipping_norm / plan.granularity <= kLargestSteps)) {
    reject(function, "granularity", plan.granularity,
           "from clipping_norm / 2^30 to clipping_norm = " + number_text(plan.clipping_norm));
  }
  if (plan.dimension < 1 || plan.dimension > kLargestDimension) {
    reject(function, "dimension", plan.dimension, "1 to 2^32");
  }
  if (!(plan.beta > 0.0 && plan.beta <= kLargestBeta)) {
    reject(function, "beta", plan.beta, "> 0 and <= 0.9");
  }
}

/// All values finite, of the plan's size; returns their norm.
template <typename T>
double checked_norm(const char* function, kernels::Span<const T> values,
                    const QuantizationPlan& plan) {
  check_plan(function, plan);
  if (values.size() != plan.dimension) {
    reject(function, "values.size()", values.size(),
           "plan.dimension = " + number_text(plan.dimension));
  }
  double largest = 0.0;
  for (std::int64_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      // The value is private, where it stands is not needed: neither is in the text.
      throw std::invalid_argument(std::string(function) +
                                  ": a value is not finite, expected finite values");
    }
    largest = std::max(largest, std::abs(static_cast<double>(values[i])));
  }
  if (largest == 0.0) return 0.0;
  long double squares = 0.0L;
  for (const T value : values) {
    const long double scaled = static_cast<long double>(value) / largest;
    squares += scaled * scaled;
  }
  const double norm = static_cast<double>(largest * std::sqrt(squares));
  if (!std::isfinite(norm)) {
    throw std::invalid_argument(std::string(function) +
                                ": the L2 norm of values is not finite, expected a finite norm");
  }
  return norm;
}

/// Draws and rounds factor value / granularity.
template <typename T>
std::vector<std::int64_t> rounded(kernels::Span<const T> values, double factor,
                                  const QuantizationPlan& plan, const kernels::RandomKey& key,
                                  const kernels::RandomPosition& position) {
  const kernels::Stream stream = kernels::Stream::serial();
  const auto limit = static_cast<std::uint64_t>(squared_norm_limit(plan));
  const std::int64_t attempts = std::min(kAttempts, kDrawsOfAPosition / plan.dimension);
  std::vector<std::int64_t> out(static_cast<std::size_t>(plan.dimension));
  std::vector<std::uint64_t> bits(
      static_cast<std::size_t>(std::min<std::int64_t>(plan.dimension, 4096)));
  const auto steps = [&](std::int64_t i) {
    return static_cast<double>(values[i]) * factor / plan.granularity;  // |steps| < 2^31
  };
  for (std::int64_t attempt = 0; attempt < attempts; ++attempt) {
    std::uint64_t squares = 0;  // stops beyond the limit, so below 2^61 + 2^62
    for (std::int64_t first = 0; first < plan.dimension && squares <= limit;) {
      const auto size =
          std::min<std::int64_t>(static_cast<std::int64_t>(bits.size()), plan.dimension - first);
      kernels::uniform_bits_fill(kernels::Span<std::uint64_t>(bits.data(), size), key, position,
                                 attempt * plan.dimension + first, stream);
      for (std::int64_t j = 0; j < size && squares <= limit; ++j) {
        const double x = steps(first + j);
        const double below = std::floor(x);
        const double fraction = x - below;  // exact; in [0, 1), or 1 where x is -2^-60 and the like
        const bool up = fraction >= 1.0 || bits[static_cast<std::size_t>(j)] <
                                               static_cast<std::uint64_t>(fraction * 0x1p64);
        const std::int64_t integer = static_cast<std::int64_t>(below) + (up ? 1 : 0);
        out[static_cast<std::size_t>(first + j)] = integer;
        squares += static_cast<std::uint64_t>(integer * integer);
      }
      first += size;
    }
    if (squares <= limit) return out;
  }
  for (std::int64_t i = 0; i < plan.dimension; ++i) {
    out[static_cast<std::size_t>(i)] = static_cast<std::int64_t>(std::trunc(steps(i)));
  }
  return out;
}

template <typename T>
std::vector<std::int64_t> round_if_clipped(kernels::Span<const T> values,
                                           const QuantizationPlan& plan,
                                           const kernels::RandomKey& key,
                                           const kernels::RandomPosition& position) {
  constexpr char kFunction[] = "round_to_integers";
  if (checked_norm(kFunction, values, plan) > plan.clipping_norm) {
    throw std::invalid_argument(
        std::string(kFunction) +
        ": the L2 norm of values is above clipping_norm = " + number_text(plan.clipping_norm) +
        ", expected at most that: clip before, or use clip_and_round_to_integers");
  }
  return rounded(values, 1.0, plan, key, position);
}

template <typename T>
std::vector<std::int64_t> clip_and_round(kernels::Span<const T> values,
                                         const QuantizationPlan& plan,
                                         const kernels::RandomKey& key,
                                         const kernels::RandomPosition& position) {
  const double norm = checked_norm("clip_and_round_to_integers", values, plan);
  // Down, so that the scaled norm is not above C, whatever the rounding.
  const double factor =
      norm > plan.clipping_norm ? plan.clipping_norm / norm * (1.0 - 0x1p-49) : 1.0;
  return rounded(values, factor, plan, key, position);
}

}  // namespace

double granularity_of_bits(double clipping_norm, int bits) {
  constexpr char kFunction[] = "granularity_of_bits";
  if (!(clipping_norm > 0.0 && std::isfinite(clipping_norm))) {
    reject(kFunction, "clipping_norm", clipping_norm, "finite and > 0");
  }
  if (bits < 2 || bits > 31) reject(kFunction, "bits", std::int64_t{bits}, "2 to 31");
  // Up, so that no quotient is rounded above the largest integer.
  const double largest = std::ldexp(1.0, bits - 1) - 1.0;
  return clipping_norm / largest * (bits == 2 ? 1.0 : 1.0 + 0x1p-50);
}

std::int64_t squared_norm_limit(const QuantizationPlan& plan) {
  check_plan("squared_norm_limit", plan);
  const double c = plan.clipping_norm / plan.granularity;
  const double root = std::sqrt(static_cast<double>(plan.dimension));
  const double always = (c + root) * (c + root);
  const double usually = c * c + 0.25 * static_cast<double>(plan.dimension) +
                         std::sqrt(-2.0 * std::log(plan.beta)) * (c + 0.5 * root);
  return static_cast<std::int64_t>(std::floor(std::min(always, usually)));  // 1 to 2^61
}

IntegerSensitivity integer_sensitivity(const QuantizationPlan& plan, Neighbouring neighbouring) {
  return integer_sensitivity(squared_norm_limit(plan), plan.dimension, neighbouring);
}

IntegerSensitivity nearest_integer_sensitivity(double clipping_norm, double granularity,
                                               std::int64_t dimension, Neighbouring neighbouring) {
  check_plan("nearest_integer_sensitivity",
             {.clipping_norm = clipping_norm, .granularity = granularity, .dimension = dimension});
  const double vectors = neighbouring == Neighbouring::kReplaceOne ? 2.0 : 1.0;
  const double root = std::sqrt(static_cast<double>(dimension));
  const double l2 = (vectors * clipping_norm / granularity + root) * kRoundingOfDoubles;
  return {.l1 = std::min(root * l2, l2 * l2) * (1.0 + 0x1p-50), .l2 = l2};
}

std::vector<std::int64_t> round_to_integers(kernels::Span<const double> values,
                                            const QuantizationPlan& plan,
                                            const kernels::RandomKey& key,
                                            const kernels::RandomPosition& position) {
  return round_if_clipped(values, plan, key, position);
}
std::vector<std::int64_t> round_to_integers(kernels::Span<const float> values,
                                            const QuantizationPlan& plan,
                                            const kernels::RandomKey& key,
                                            const kernels::RandomPosition& position) {
  return round_if_clipped(values, plan, key, position);
}
std::vector<std::int64_t> clip_and_round_to_integers(kernels::Span<const double> values,
                                                     const QuantizationPlan& plan,
                                                     const kernels::RandomKey& key,
                                                     const kernels::RandomPosition& position) {
  return clip_and_round(values, plan, key, position);
}
std::vector<std::int64_t> clip_and_round_to_integers(kernels::Span<const float> values,
                                                     const QuantizationPlan& plan,
                                                     const kernels::RandomKey& key,
                                                     const kernels::RandomPosition& position) {
  return clip_and_round(values, plan, key, position);
}

}  // namespace velum::dpsgd
