#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace velum::dpsgd::detail {

/// One pass of a mixed-radix Fourier transform (Stockham's order, decimation in frequency):
/// y[q + s (r p + k)] = w^(p k) sum_a x[q + s (p + m a)] w_r^(a k), p < m, q < s.
struct FourierPass {
  std::int64_t radix = 1;       // r
  std::int64_t groups = 1;      // m
  std::int64_t stride = 1;      // s
  std::vector<float> twiddles;  // [m][r - 1][re, im] of w^(p k), k >= 1
  std::vector<float> roots;     // [r][re, im] of w_r^k, for radices without own code
};

struct FourierPlan {
  explicit FourierPlan(std::int64_t size);
  std::int64_t size;
  std::vector<FourierPass> passes;
};

/// What the transform of one signal size needs; level l is the image subsampled by 2^l.
struct ScatteringLevel {
  std::int64_t height;
  std::int64_t width;
  FourierPlan vertical;
  FourierPlan horizontal;
  std::vector<float> low_pass_rows;     // [output_height, height]
  std::vector<float> low_pass_columns;  // [output_width, width]
};

/// |F^-1 fold(spectrum * psi)|: from `level_in` to `level_out`.
struct ScatteringWavelet {
  int level_in;
  int level_out;
  /// [height, width] of level_in; scaled for the folding by mean, the inverse transform, and the
  /// factor 2 that half spectra carry.
  std::vector<float> spectrum;
  /// For a wavelet of order 1: where its wavelets of order 2 stand in `second_order`.
  std::size_t next_begin;
  std::size_t next_end;
};

struct ScatteringPlan {
  std::int64_t image_height;
  std::int64_t image_width;
  std::int64_t output_height;
  std::int64_t output_width;
  std::int64_t channels;
  std::vector<std::int64_t> source_rows;     // [padded height]: row of the image
  std::vector<std::int64_t> source_columns;  // [padded width]
  std::vector<ScatteringLevel> levels;
  std::vector<ScatteringWavelet> first_order;   // [J][L]
  std::vector<ScatteringWavelet> second_order;  // [j1][j2 > j1][L]
};

/// Transforms images [begin, end).
void scatter_images(const ScatteringPlan& plan, const float* images, std::int64_t image_stride,
                    float* out, std::int64_t out_stride, std::int64_t begin, std::int64_t end);
/// The same for bytes, which stand for value / 255.
void scatter_images(const ScatteringPlan& plan, const std::uint8_t* images,
                    std::int64_t image_stride, float* out, std::int64_t out_stride,
                    std::int64_t begin, std::int64_t end);

}  // namespace velum::dpsgd::detail
