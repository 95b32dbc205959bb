#pragma once

#include <cstdint>

namespace velum::kernels {

/// numerator / denominator, a variance that samplers of integers take exactly. The fraction need
/// not be reduced.
struct ExactVariance {
  static constexpr std::uint64_t kMaxDenominator = (std::uint64_t{1} << 32) - 1;

  std::uint64_t numerator = 1;    ///< >= 1
  std::uint64_t denominator = 1;  ///< 1 to kMaxDenominator

  friend constexpr bool operator==(const ExactVariance&, const ExactVariance&) = default;
};

/// The smallest multiple of 2^-31 that is not below `variance`; where that has no room, of a larger
/// power of two. Doubles from 2^21 on are exact. Up, because more noise is the more private.
/// @param variance  > 0, <= 2^63.
/// @throws std::invalid_argument if out of range.
ExactVariance variance_at_least(double variance);

/// The same for the exact square of `sigma`, in (0, 2^31.5].
/// @throws std::invalid_argument if out of range.
ExactVariance squared_sigma_at_least(double sigma);

/// What each of `shares` independent variables must have for a sum of variance at least `total`:
/// total / shares exactly where the denominator has room, else the next multiple of 2^-31.
/// @param shares  >= 1, <= 2^31.
/// @throws std::invalid_argument if out of range.
ExactVariance variance_share(const ExactVariance& total, std::int64_t shares);

/// The largest double that is not above `variance`: what may be accounted for.
/// @throws std::invalid_argument if a field is out of range.
double double_at_most(const ExactVariance& variance);

/// @throws std::invalid_argument naming `function` if a field is out of range.
void check_variance(const char* function, const ExactVariance& variance);

}  // namespace velum::kernels
