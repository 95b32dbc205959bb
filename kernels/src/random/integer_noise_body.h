#pragma once

#include <cstdint>

#include "random/coins.h"
#include "random/discrete_gaussian_body.h"
#include "random/skellam_body.h"
#include "random/substream.h"
#include "velum/kernels/span.h"

namespace velum::kernels {

/// Draws of a sampler, each from its own substream. Index i is out[i], element first_element + i.
template <typename Sampler>
struct IntegerNoiseBody {
  ChaCha20State state;  ///< block 0 of element 0
  Sampler sampler;
  std::int64_t first_element;
  Span<std::int64_t> out;

  VELUM_HOST_DEVICE ChaCha20State state_of(std::int64_t i) const {
    ChaCha20State of_element = state;
    of_element.words[SubstreamLayout::kElementWord] = static_cast<std::uint32_t>(first_element + i);
    return of_element;
  }
  /// From the element's first block.
  VELUM_HOST_DEVICE void draw(std::int64_t i, const ChaCha20State& first_block) const {
    CoinSource<SubstreamBits> source(SubstreamBits(state_of(i), first_block));
    out[i] = sampler.draw(source);
  }
  VELUM_HOST_DEVICE void operator()(std::int64_t i) const { draw(i, chacha20_block(state_of(i))); }
};

using ExactDiscreteGaussianBody = IntegerNoiseBody<DiscreteGaussianSampler>;
using SkellamBody = IntegerNoiseBody<SkellamSampler>;

}  // namespace velum::kernels
