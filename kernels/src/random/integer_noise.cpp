#include <stdexcept>
#include <string>

#include "dispatch.h"
#include "random/element_range.h"
#include "random/integer_noise_halves.h"
#include "velum/kernels/random/discrete_gaussian.h"
#include "velum/kernels/random/skellam.h"

namespace velum::kernels {
namespace {

template <typename Sampler>
void fill(const char* function, const Sampler& sampler, SubstreamUse use, Span<std::int64_t> out,
          const RandomKey& key, const RandomPosition& position, std::int64_t first_element,
          const Stream& stream) {
  check_element_range(function, first_element, out.size(), SubstreamLayout::kMaxElements);
  const IntegerNoiseBody<Sampler> body{substream_state(key, position, use), sampler, first_element,
                                       out};
  VELUM_DISPATCH(stream, integer_noise_cpu(body, stream), integer_noise_cuda(body, stream));
}

}  // namespace

void exact_discrete_gaussian_fill(Span<std::int64_t> out, const ExactVariance& variance,
                                  const RandomKey& key, const RandomPosition& position,
                                  std::int64_t first_element, const Stream& stream) {
  constexpr const char* kFunction = "exact_discrete_gaussian_fill";
  check_variance(kFunction, variance);
  fill(kFunction, DiscreteGaussianSampler(variance), SubstreamUse::kDiscreteGaussian, out, key,
       position, first_element, stream);
}

void skellam_fill(Span<std::int64_t> out, const ExactVariance& variance, const RandomKey& key,
                  const RandomPosition& position, std::int64_t first_element,
                  const Stream& stream) {
  constexpr const char* kFunction = "skellam_fill";
  check_variance(kFunction, variance);
  if (variance.numerator > UInt128{variance.denominator} * kMaxSkellamVariance) {
    throw std::invalid_argument(std::string(kFunction) +
                                ": variance = " + std::to_string(double_at_most(variance)) +
                                ", expected at most 2^60");
  }
  fill(kFunction, SkellamSampler(variance), SubstreamUse::kSkellam, out, key, position,
       first_element, stream);
}

}  // namespace velum::kernels
