#pragma once

#include "rns_random.h"
#include "velum/he/context.h"

/// Noise as wide as it takes to hide an error: the flooding of a release and the smudging of a
/// decryption share.
namespace velum::he {

/// The widest noise: two 64-bit integers a coefficient.
inline constexpr int kMostGaussianDraws = 114;

/// How many draws of standard deviation 3.19 make one of at least sigma: x = d_0 + 2 d_1 + 4 d_2 +
/// .. has the variance 3.19^2 (4^count - 1) / 3. At most twice sigma from 3.19 on; above
/// `kMostGaussianDraws` if there are none.
int gaussian_draws_for(double sigma);
double sigma_of_gaussian_draws(int count);
/// The largest magnitude that there is.
double largest_of_gaussian_draws(int count);

/// out <- out + a polynomial of discrete Gaussians of parameter `sigma_of_gaussian_draws(count)`,
/// exact integers in every bit: a rounded floating-point number would leave the lowest bits of what
/// it hides in the open. Waits until it is done.
///
/// Where x' is a discrete Gaussian of parameter r >= 3.19, 2 x' + d is one of parameter sqrt(4 r^2
/// + 3.19^2) up to factors 1 +- 2^-57 in each probability: both sums of the pmf run over a coset of
/// 2Z with a Gaussian of parameter at least 2 * 3.19 / sqrt(5), wider than the smoothing parameter
/// of 2Z for 2^-57. Paper: Micciancio and Walter, Gaussian Sampling over the Integers, 2017 (ePrint
/// 2017/259), section 4.
///
/// @param count  1 to kMostGaussianDraws.
/// @param out    [1, limbs, N], NTT form.
void add_wide_gaussian(const Context& context, int count, RnsView<Word> out,
                       const LimbIndices& limbs, const SecretSeed& seed, const Stream& stream);

}  // namespace velum::he
