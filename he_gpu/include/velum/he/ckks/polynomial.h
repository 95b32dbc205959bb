#pragma once

#include <functional>
#include <vector>

#include "velum/he/ckks/evaluator.h"

namespace velum::he {

/// A real polynomial of one variable.
struct Polynomial {
  enum class Basis {
    kMonomial,   ///< 1, x, x^2, ..
    kChebyshev,  ///< T_0(x/b), T_1(x/b), .. on [-b, b]: stable at high degrees
  };

  Basis basis = Basis::kMonomial;
  std::vector<double> coefficients;  ///< from the constant on
  double bound = 1.0;                ///< b; of no meaning for monomials

  int degree() const;
  double operator()(double x) const;

  /// The interpolation of f in the degree + 1 Chebyshev points of [-bound, bound].
  /// @throws std::invalid_argument if degree is not in [0, 1023], bound is not > 0, or f is not
  /// finite there.
  static Polynomial chebyshev(const std::function<double(double)>& f, double bound, int degree);
};

/// Levels that `evaluate` uses: ceil(log2(degree + 1)), and one more for Chebyshev polynomials with
/// b other than 1.
int polynomial_depth(const Polynomial& polynomial);

/// p of every slot, at exactly the scale `Parameters::scale` of its level, which is
/// `polynomial_depth` below the argument's.
///
/// Paterson and Stockmeyer's scheme on a tree: a part of degree below 2^j is made at most j levels
/// below the argument, of products of lower parts with powers x^(2^k) or T_(2^k) and of sums of low
/// powers; each part is asked for at the level and scale at which its sum or product comes out
/// exactly right, and gives it by the scales of its constants. Papers: Paterson and Stockmeyer, On
/// the Number of Nonscalar Multiplications Necessary to Evaluate Polynomials, 1973; Han and Ki
/// (ePrint 2019/688), section 5.2, for Chebyshev polynomials; Bossuat et al. (ePrint 2020/1203),
/// section 4.1, for scales.
///
/// The result's message_bound is sum_i |c_i| M_i, no slot of x^i or T_i being above M_i: r^i for
/// monomials in a disc of radius r = the argument's message_bound; 1 for T_i at real slots; for
/// complex ones, and all that are not known to be real (`MessageForm`), the maximum of |T_i| on the
/// disc, cosh(i arsinh(r/b)) or sinh, which soon is more than fits the modulus (docs/noise.md).
///
/// @param argument  two polynomials. For Chebyshev polynomials its message_bound must be at most b.
/// @throws std::invalid_argument if there is no coefficient, one is not finite, all but the
/// constant are 0, the levels do not
///         suffice (the text says how many are needed), the argument's message_bound is above b, or
///         the result might not fit the modulus of its level;
///         as `Evaluator`.
Ciphertext evaluate(const Evaluator& evaluator, const Ciphertext& argument,
                    const Polynomial& polynomial, const RelinearizationKey& key,
                    const Stream& stream);

}  // namespace velum::he
