#include "velum/dpsgd/features/private_moments.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

#include "features/checks.h"
#include "features/second_moments.h"
#include "velum/kernels/gradients/add_gaussian_noise.h"
#include "velum/kernels/gradients/clip_and_sum.h"

namespace velum::dpsgd {
namespace {

void require_positive(double value, const char* function, const char* name) {
  if (!(value > 0.0 && std::isfinite(value))) {
    throw std::invalid_argument(std::string(function) + ": " + name + " = " +
                                std::to_string(value) + ", expected finite and > 0");
  }
}

// Adds noise to the upper triangle and mirrors it.
void add_symmetric_noise(std::vector<double>& matrix, std::int64_t size, double deviation,
                         const kernels::RandomKey& key, const kernels::RandomPosition& position,
                         const kernels::Stream& stream) {
  std::vector<double> triangle;
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = i; j < size; ++j) triangle.push_back(matrix[i * size + j]);
  }
  kernels::add_gaussian_noise(kernels::Span<double>(triangle), deviation, /*divisor=*/1.0, key,
                              position, stream);
  std::size_t next = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = i; j < size; ++j) {
      matrix[i * size + j] = matrix[j * size + i] = triangle[next++];
    }
  }
}

}  // namespace

void private_mean(kernels::MatrixView<const float> rows, double clipping_norm,
                  double noise_multiplier, std::int64_t public_count, const kernels::RandomKey& key,
                  const kernels::RandomPosition& position, kernels::Span<float> mean,
                  const kernels::Stream& stream) {
  const char* const name = "private_mean";
  detail::require_cpu(stream, name);
  detail::require_equal(mean.size(), rows.cols, name, "mean.size()", "rows.cols");
  require_positive(clipping_norm, name, "clipping_norm");
  require_positive(noise_multiplier, name, "noise_multiplier");
  if (public_count < 1) {
    throw std::invalid_argument("private_mean: public_count = " + std::to_string(public_count) +
                                ", expected at least 1");
  }
  std::vector<double> squared_norms(static_cast<std::size_t>(rows.rows));
  std::vector<double> sum(static_cast<std::size_t>(rows.cols));
  kernels::measure_clip_and_sum(rows, clipping_norm, kernels::Span<double>(squared_norms),
                                kernels::Span<double>(sum), stream);
  kernels::add_gaussian_noise(kernels::Span<const double>(sum), noise_multiplier * clipping_norm,
                              static_cast<double>(public_count), key, position, mean, stream);
}

SecondMoments private_second_moments(kernels::MatrixView<const float> rows,
                                     kernels::Span<const float> mean, std::int64_t channels,
                                     std::int64_t positions, const SecondMomentsRelease& release,
                                     const kernels::RandomKey& key,
                                     const kernels::RandomPosition& position,
                                     const kernels::Stream& stream) {
  const char* const name = "private_second_moments";
  detail::require_cpu(stream, name);
  detail::require_equal(rows.cols, channels * positions, name, "rows.cols", "channels * positions");
  detail::require_equal(mean.size(), rows.cols, name, "mean.size()", "rows.cols");
  require_positive(release.clipping_norm, name, "clipping_norm");
  require_positive(release.channel_noise_multiplier, name, "channel_noise_multiplier");
  require_positive(release.spatial_noise_multiplier, name, "spatial_noise_multiplier");
  // A product of n terms in float is off by less than n 2^-24 (1 + 2^-10) of the norms' product for
  // n < 2^12, and the scaled row by 2^-24: clipped this much lower, what is summed stays below R^2.
  const double longest = static_cast<double>(std::max(channels, positions));
  if (longest >= 4096.0) {
    throw std::invalid_argument("private_second_moments: the longer side is " +
                                std::to_string(static_cast<std::int64_t>(longest)) +
                                ", expected below 4096");
  }
  const double clipping_norm = release.clipping_norm * (1.0 - (longest + 4.0) * 0x1p-24);
  SecondMoments moments = detail::sum_second_moments(rows, mean, channels, positions, clipping_norm,
                                                     /*skip_zero_rows=*/false, stream);
  const double sensitivity = release.clipping_norm * release.clipping_norm;
  kernels::RandomPosition next = position;
  ++next.tensor;
  add_symmetric_noise(moments.channel, channels, release.channel_noise_multiplier * sensitivity,
                      key, position, stream);
  add_symmetric_noise(moments.spatial, positions, release.spatial_noise_multiplier * sensitivity,
                      key, next, stream);
  return moments;
}

}  // namespace velum::dpsgd
