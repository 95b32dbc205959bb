#include "features/second_moments.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "features/row_kernels.h"
#include "velum/kernels/gradients/clip_factors.h"
#include "velum/kernels/gradients/per_sample_norms.h"

namespace velum::dpsgd::detail {
namespace {

constexpr std::int64_t kBlockRows = 256;

void add_to(std::vector<double>& sum, const PaddedMatrix& matrix) {
  std::size_t out = 0;
  for (std::int64_t i = 0; i < matrix.rows; ++i) {
    for (std::int64_t j = 0; j < matrix.columns; ++j) sum[out++] += matrix.row(i)[j];
  }
}

}  // namespace

SecondMoments sum_second_moments(kernels::MatrixView<const float> rows,
                                 kernels::Span<const float> mean, std::int64_t channels,
                                 std::int64_t positions, double clipping_norm, bool skip_zero_rows,
                                 const kernels::Stream& stream) {
  const auto zeros = [&] {
    return SecondMoments{channels, positions, std::vector<double>(channels * channels),
                         std::vector<double>(positions * positions)};
  };
  const std::int64_t columns = channels * positions;
  const std::int64_t blocks = (rows.rows + kBlockRows - 1) / kBlockRows;
  std::vector<SecondMoments> block_sums(static_cast<std::size_t>(blocks));
  const auto sum_block = [&](std::int64_t block) {
    SecondMoments sum = zeros();
    PaddedMatrix y(channels, positions);
    PaddedMatrix transposed(positions, channels);
    PaddedMatrix channel(channels, channels);
    PaddedMatrix spatial(positions, positions);
    std::vector<float> centred(static_cast<std::size_t>(columns));
    const std::int64_t end = std::min(rows.rows, (block + 1) * kBlockRows);
    for (std::int64_t r = block * kBlockRows; r < end; ++r) {
      const float* const row = rows.data + r * rows.row_stride;
      if (skip_zero_rows && std::all_of(row, row + columns, [](float x) { return x == 0.0f; })) {
        continue;
      }
      for (std::int64_t i = 0; i < columns; ++i) centred[i] = row[i] - mean[i];
      float factor = 1.0f;
      if (std::isfinite(clipping_norm)) {
        const double norm = squared_norm(centred.data(), columns);
        // The sum of `columns` squares is right to columns / 2^53, relative.
        kernels::clip_factors(kernels::Span<const double>(&norm, 1),
                              {clipping_norm, static_cast<double>(columns) * 0x1p-53},
                              kernels::Span<float>(&factor, 1), kernels::Stream::serial());
      }
      if (factor == 0.0f) continue;
      for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t p = 0; p < positions; ++p) {
          const float value = factor * centred[c * positions + p];
          y.row(c)[p] = value;
          transposed.row(p)[c] = value;
        }
      }
      multiply(y, transposed, channel);
      multiply(transposed, y, spatial);
      add_to(sum.channel, channel);
      add_to(sum.spatial, spatial);
    }
    block_sums[block] = std::move(sum);
  };
  stream.parallel_for().run(blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) sum_block(block);
  });
  SecondMoments total = zeros();
  for (const SecondMoments& sum : block_sums) {
    for (std::size_t i = 0; i < total.channel.size(); ++i) total.channel[i] += sum.channel[i];
    for (std::size_t i = 0; i < total.spatial.size(); ++i) total.spatial[i] += sum.spatial[i];
  }
  return total;
}

}  // namespace velum::dpsgd::detail
