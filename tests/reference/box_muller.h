#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <utility>

namespace velum::reference {

static_assert(std::numeric_limits<long double>::digits >= 64,
              "the oracle needs a long double with a 64-bit significand");

/// The two normal draws of 128 random bits in extended precision, from the definition in
/// docs/numerics.md, "Random numbers": no arithmetic of velum. Relative error below 2^-58.
inline std::pair<long double, long double> box_muller(std::uint32_t u_hi, std::uint32_t u_lo,
                                                      std::uint32_t v_hi, std::uint32_t v_lo) {
  const bool upper = (u_hi >> 31) != 0;
  const std::uint32_t hi = upper ? ~u_hi : u_hi;
  const std::uint32_t lo = (upper ? ~u_lo : u_lo) / 2;
  // w = (hi * 2^31 + lo + 1/2) / 2^63 has at most 63 bits: exact.
  const long double w =
      (2 * (static_cast<long double>(hi) * 0x1p31L + static_cast<long double>(lo)) + 1) * 0x1p-64L;
  const long double radius = std::sqrt(-2 * (upper ? std::log1p(-w) : std::log(w)));
  const long double turn = static_cast<long double>(static_cast<std::int32_t>(v_hi)) * 0x1p-31L +
                           static_cast<long double>(v_lo / 4) * 0x1p-61L;  // exact
  const long double angle = turn * (std::numbers::pi_v<long double> / 4);
  const long double sine = std::sin(angle);
  const long double cosine = (v_lo & 1) != 0 ? -std::cos(angle) : std::cos(angle);
  return (v_lo & 2) != 0 ? std::pair{radius * sine, radius * cosine}
                         : std::pair{radius * cosine, radius * sine};
}

}  // namespace velum::reference
