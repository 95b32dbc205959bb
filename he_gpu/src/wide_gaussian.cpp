#include "wide_gaussian.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "residues_of.h"
#include "velum/he/security_table.h"

namespace velum::he {

double sigma_of_gaussian_draws(int count) {
  const double variance = kErrorStandardDeviation * kErrorStandardDeviation;
  return std::sqrt(variance * (std::exp2(2.0 * count) - 1.0) / 3.0);
}

int gaussian_draws_for(double sigma) {
  int count = 1;
  while (count <= kMostGaussianDraws && sigma_of_gaussian_draws(count) < sigma) ++count;
  return count;
}

double largest_of_gaussian_draws(int count) {
  return kernels::DiscreteGaussian::kBound * (std::exp2(count) - 1.0);
}

void add_wide_gaussian(const Context& context, int count, RnsView<Word> out,
                       const LimbIndices& limbs, const SecretSeed& seed, const Stream& stream) {
  constexpr int kTogether = kMostGaussianDraws / 2;  // 41 * 2^57 is below 2^63
  const std::int64_t degree = context.degree();
  const Stream host = Stream::serial();
  SecretBuffer<std::int64_t> sums(degree, host), resident(degree, stream);
  SecretBuffer<std::int8_t> draws(degree, host);
  SecretBuffer<Word> residues(limbs.count * degree, stream);
  const RnsView<Word> noise(residues.data(), 1, limbs.count, degree);
  for (int first = 0; first < count; first += kTogether) {
    std::fill(sums.span().begin(), sums.span().end(), 0);
    for (int i = first; i < std::min(count, first + kTogether); ++i) {
      kernels::discrete_gaussian_fill(
          draws.span(), seed.key(),
          {kernels::Purpose::kHeFlooding, 0, static_cast<std::uint64_t>(i), 0}, host);
      for (std::int64_t j = 0; j < degree; ++j)
        sums.data()[j] +=
            static_cast<std::int64_t>(draws.data()[j]) * (std::int64_t{1} << (i - first));
    }
    kernels::copy(Span<const std::int64_t>(sums.span()), resident.span(), stream);
    kernels::small_to_residues(Span<const std::int64_t>(resident.span()), noise, limbs,
                               context.moduli(), stream);
    kernels::ntt_forward_inplace(noise, limbs, context.tables(), stream);
    if (first == 0) {
      kernels::add<Word>(out, noise, out, limbs, context.moduli(), stream);
    } else {
      const auto factors =
          factors_of(std::int64_t{1} << kTogether, limbs, context.moduli(), stream);
      kernels::multiply_factors_accumulate<Word>(noise, factors.span(), out, limbs,
                                                 context.moduli(), stream);
    }
    kernels::synchronize(stream);  // the draws are overwritten, the noise is wiped
  }
}

}  // namespace velum::he
