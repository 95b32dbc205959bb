#include "ckks/unit_roots.h"

#include <array>
#include <cassert>
#include <utility>

#include "velum/kernels/modular/modulus.h"

namespace velum::he {
namespace {

/// A number x in [0, 1) as floor(2^128 x).
using Fixed = kernels::WideOf<std::uint64_t>;

/// Short of the product by less than one unit.
Fixed multiply(Fixed a, Fixed b) { return kernels::detail::multiply_high_wide(a, b); }

constexpr Fixed kQuarterPi =
    (Fixed{0xC90FDAA22168C234} << 64) | 0xC4C6628B80DC1CD1;  // floor(2^128 pi / 4)

/// floor(2^128 / m), m >= 2 no power of two.
constexpr Fixed reciprocal(int m) { return ~Fixed{0} / static_cast<unsigned>(m); }

/// The series of sine and cosine end where a term is below 2^-128: x^35 / 35! < 2^-145.
constexpr int kTerms = 17;

/// 1 / (2j (2j + 1)) for the sine, 1 / ((2j - 1) 2j) for the cosine, j = 1 .. kTerms; the cosine's
/// first, 1/2, stands apart.
struct Reciprocals {
  std::array<Fixed, kTerms + 1> sine{}, cosine{};
  constexpr Reciprocals() {
    for (int j = 1; j <= kTerms; ++j) {
      sine[static_cast<std::size_t>(j)] = reciprocal(2 * j * (2 * j + 1));
      cosine[static_cast<std::size_t>(j)] = reciprocal((2 * j - 1) * (2 * j));
    }
  }
};
constexpr Reciprocals kReciprocals;

/// Nearest double and what is left, of x / 2^128.
DoubleDouble to_double_double(Fixed x) {
  const auto high = static_cast<double>(x);  // nearest; < 2^128 for every x that occurs
  const auto back = static_cast<Fixed>(high);
  const double low = back > x ? -static_cast<double>(back - x) : static_cast<double>(x - back);
  return {high * 0x1p-128, low * 0x1p-128};
}

/// e^(i x) for x in (0, pi/4], off by less than 4 units in each part.
///
/// Horner: sin x = x (1 - s/(2*3) (1 - s/(4*5) (..))), s = x^2 < 0.62. Each bracket is within (0,
/// 1]; an error in one enters the next multiplied by at most 0.62 / 6 (cosine: 0.62 / 2), and adds
/// the two units of two products.
ComplexDoubleDouble exponential(Fixed x) {
  const Fixed s = multiply(x, x);
  // 1 - t without the 1, which would not fit: t.
  const auto times_bracket = [](Fixed a, Fixed t) { return a - multiply(a, t); };
  Fixed t = 0;
  for (std::size_t j = kTerms; j >= 1; --j) {
    t = times_bracket(multiply(s, kReciprocals.sine[j]), t);
  }
  const Fixed sine = times_bracket(x, t);
  t = 0;
  for (std::size_t j = kTerms; j >= 2; --j) {
    t = times_bracket(multiply(s, kReciprocals.cosine[j]), t);
  }
  t = times_bracket(s >> 1, t);
  return {to_double_double(~t + 1), to_double_double(sine)};  // 2^128 - t: cos x < 1
}

DoubleDouble negative(DoubleDouble x) { return {-x.high, -x.low}; }

}  // namespace

UnitRoots::UnitRoots(int log_order) : order_(std::uint64_t{1} << log_order) {
  assert(log_order >= 3 && log_order <= 19);
  const int log_octant = log_order - 3;
  const std::uint64_t octant = order_ / 8;
  octant_.reserve(octant + 1);
  octant_.push_back({{1, 0}, {0, 0}});
  for (std::uint64_t k = 1; k <= octant; ++k) {
    // k pi / (4 octant), short by less than two units.
    octant_.push_back(exponential(
        k == octant ? kQuarterPi : multiply(kQuarterPi, Fixed{k} << (128 - log_octant))));
  }
}

ComplexDoubleDouble UnitRoots::root(std::uint64_t k) const {
  k &= order_ - 1;
  const std::uint64_t quarter = order_ / 4;
  const std::uint64_t quadrant = k / quarter;
  k %= quarter;
  const bool upper = k > quarter / 2;  // mirror at 45 degrees: swap sine and cosine
  ComplexDoubleDouble r = octant_[upper ? quarter - k : k];
  if (upper) std::swap(r.real, r.imag);
  if (quadrant & 1) {  // times i
    std::swap(r.real, r.imag);
    r.real = negative(r.real);
  }
  if (quadrant & 2) r = {negative(r.real), negative(r.imag)};
  return r;
}

}  // namespace velum::he
