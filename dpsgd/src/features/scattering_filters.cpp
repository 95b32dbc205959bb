#include "features/scattering_filters.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>

namespace velum::dpsgd::detail {
namespace {

using Complex = std::complex<double>;
constexpr double kPi = std::numbers::pi;
constexpr double kGaborPi = 3.1415;  // kymatio's constant in the norm of a Gabor filter
constexpr int kCopies = 2;           // periodic copies summed on each side

// cos and sin of 2 pi k / n, k < n.
std::vector<Complex> roots_of_unity(std::int64_t n) {
  std::vector<Complex> roots;
  for (std::int64_t k = 0; k < n; ++k) {
    roots.push_back(std::polar(1.0, 2.0 * kPi * static_cast<double>(k) / static_cast<double>(n)));
  }
  return roots;
}

// Real part of the two-dimensional discrete Fourier transform.
std::vector<double> real_spectrum(const std::vector<Complex>& signal, std::int64_t height,
                                  std::int64_t width) {
  const auto row_roots = roots_of_unity(height);
  const auto column_roots = roots_of_unity(width);
  std::vector<Complex> half(signal.size());  // transformed along rows
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t v = 0; v < width; ++v) {
      Complex sum = 0.0;
      for (std::int64_t x = 0; x < width; ++x) {
        sum += signal[y * width + x] * std::conj(column_roots[v * x % width]);
      }
      half[y * width + v] = sum;
    }
  }
  std::vector<double> spectrum(signal.size());
  for (std::int64_t u = 0; u < height; ++u) {
    for (std::int64_t v = 0; v < width; ++v) {
      double sum = 0.0;
      for (std::int64_t y = 0; y < height; ++y) {
        sum += (half[y * width + v] * std::conj(row_roots[u * y % height])).real();
      }
      spectrum[u * width + v] = sum;
    }
  }
  return spectrum;
}

// Whether frequency f of n is dropped before a filter is reduced by 2^level.
bool in_dropped_band(std::int64_t f, std::int64_t n, int level) {
  const std::int64_t kept = n >> level;
  return level > 0 && f >= kept / 2 && f < kept / 2 + n - kept;
}

// The filter for signals subsampled by 2^level: high frequencies dropped, the rest folded by sum.
std::vector<double> reduce_filter(const std::vector<double>& spectrum, std::int64_t height,
                                  std::int64_t width, int level) {
  const std::int64_t small_height = height >> level;
  const std::int64_t small_width = width >> level;
  std::vector<double> reduced(static_cast<std::size_t>(small_height * small_width));
  for (std::int64_t u = 0; u < height; ++u) {
    if (in_dropped_band(u, height, level)) continue;
    for (std::int64_t v = 0; v < width; ++v) {
      if (in_dropped_band(v, width, level)) continue;
      reduced[u % small_height * small_width + v % small_width] += spectrum[u * width + v];
    }
  }
  return reduced;
}

// psi = gabor(xi) - K gabor(0), K such that psi sums to zero; the origin lies at index (0, 0).
std::vector<double> morlet_spectrum(std::int64_t height, std::int64_t width, int j, int theta,
                                    int orientations) {
  const double sigma = 0.8 * std::ldexp(1.0, j);
  const double xi = 0.75 * kPi / std::ldexp(1.0, j);
  const double slant = 4.0 / orientations;
  const int middle = (orientations - 2) / 2;  // of an odd number, the one below
  const double angle = (middle - theta) * kPi / orientations;
  const double c = std::cos(angle);
  const double s = std::sin(angle);
  const double norm = 2.0 * kGaborPi * sigma * sigma / slant;

  std::vector<Complex> wave(static_cast<std::size_t>(height * width));
  std::vector<Complex> envelope(wave.size());
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (int ey = -kCopies; ey <= kCopies; ++ey) {
        for (int ex = -kCopies; ex <= kCopies; ++ex) {
          const double py = static_cast<double>(y + ey * height);
          const double px = static_cast<double>(x + ex * width);
          const double along = c * py + s * px;
          const double across = slant * (c * px - s * py);
          const double g = std::exp(-(along * along + across * across) / (2.0 * sigma * sigma));
          if (g == 0.0) continue;
          envelope[y * width + x] += g / norm;
          wave[y * width + x] += std::polar(g / norm, xi * along);
        }
      }
    }
  }
  Complex wave_sum = 0.0;
  Complex envelope_sum = 0.0;
  for (std::size_t i = 0; i < wave.size(); ++i) {
    wave_sum += wave[i];
    envelope_sum += envelope[i];
  }
  const Complex ratio = wave_sum / envelope_sum;
  for (std::size_t i = 0; i < wave.size(); ++i) wave[i] -= ratio * envelope[i];
  return real_spectrum(wave, height, width);
}

// phi is a product of two one-dimensional Gaussians, so low-pass, subsampling and cropping are one
// matrix per axis.
std::vector<std::vector<double>> low_pass_matrices(std::int64_t padded, std::int64_t output,
                                                   int scales) {
  const double sigma = 0.8 * std::ldexp(1.0, scales - 1);
  std::vector<Complex> phi(static_cast<std::size_t>(padded));
  for (std::int64_t x = 0; x < padded; ++x) {
    for (int e = -kCopies; e <= kCopies; ++e) {
      const double p = static_cast<double>(x + e * padded);
      phi[x] +=
          std::exp(-p * p / (2.0 * sigma * sigma)) / std::sqrt(2.0 * kGaborPi * sigma * sigma);
    }
  }
  const std::vector<double> spectrum = real_spectrum(phi, 1, padded);
  std::vector<std::vector<double>> matrices;
  for (int level = 0; level < scales; ++level) {
    const std::int64_t size = padded >> level;
    const std::int64_t step = std::int64_t{1} << (scales - level);
    const auto roots = roots_of_unity(size);
    std::vector<double> reduced(static_cast<std::size_t>(size));
    for (std::int64_t f = 0; f < padded; ++f) {
      if (!in_dropped_band(f, padded, level)) reduced[f % size] += spectrum[f];
    }
    std::vector<double>& matrix = matrices.emplace_back();
    for (std::int64_t out = 0; out < output; ++out) {
      for (std::int64_t in = 0; in < size; ++in) {
        const std::int64_t shift = ((out + 1) * step - in + size) % size;  // the border is cropped
        double sum = 0.0;
        for (std::int64_t f = 0; f < size; ++f) sum += reduced[f] * roots[f * shift % size].real();
        matrix.push_back(sum / static_cast<double>(size));
      }
    }
  }
  return matrices;
}

ScatteringAxis make_axis(std::int64_t size, int scales) {
  const std::int64_t window = std::int64_t{1} << scales;
  ScatteringAxis axis;
  axis.size = size;
  axis.padded = ((size + window) / window + 1) * window;
  axis.output = axis.padded / window - 2;
  const std::int64_t before = (axis.padded - size) / 2;
  const std::int64_t period = 2 * (size - 1);
  for (std::int64_t i = 0; i < axis.padded; ++i) {
    const std::int64_t phase = (i - before + 2 * period) % period;
    axis.source.push_back(std::min(phase, period - phase));  // reflection, the edge not repeated
  }
  axis.low_pass = low_pass_matrices(axis.padded, axis.output, scales);
  return axis;
}

}  // namespace

ScatteringFilters::ScatteringFilters(const ScatteringOptions& options)
    : rows(make_axis(options.height, options.scales)),
      columns(make_axis(options.width, options.scales)) {
  for (int j = 0; j < options.scales; ++j) {
    for (int theta = 0; theta < options.orientations; ++theta) {
      const auto spectrum =
          morlet_spectrum(rows.padded, columns.padded, j, theta, options.orientations);
      std::vector<std::vector<double>>& levels = wavelets.emplace_back();
      const int level_count = std::max(1, std::min(j + 1, options.scales - 1));
      for (int level = 0; level < level_count; ++level) {
        levels.push_back(reduce_filter(spectrum, rows.padded, columns.padded, level));
      }
    }
  }
}

}  // namespace velum::dpsgd::detail
