#include "reference/scattering_by_convolution.h"

#include <cmath>
#include <complex>
#include <cstdlib>
#include <stdexcept>

namespace velum::reference {
namespace {

using Value = std::complex<double>;

struct Plane {
  std::int64_t height;
  std::int64_t width;
  std::vector<Value> values;
  Value& at(std::int64_t y, std::int64_t x) {
    return values[static_cast<std::size_t>(y * width + x)];
  }
  const Value& at(std::int64_t y, std::int64_t x) const {
    return values[static_cast<std::size_t>(y * width + x)];
  }
};

Plane zeros(std::int64_t height, std::int64_t width) {
  return {height, width, std::vector<Value>(static_cast<std::size_t>(height * width))};
}

// (a * filter)(y, x) at every `step`-th place, indices modulo the size.
Plane convolve(const Plane& a, const Plane& filter, std::int64_t step) {
  Plane out = zeros(a.height / step, a.width / step);
  for (std::int64_t y = 0; y < out.height; ++y) {
    for (std::int64_t x = 0; x < out.width; ++x) {
      Value sum = 0.0;
      for (std::int64_t v = 0; v < a.height; ++v) {
        const std::int64_t dy = (y * step - v + a.height) % a.height;
        for (std::int64_t u = 0; u < a.width; ++u) {
          sum += a.at(v, u) * filter.at(dy, (x * step - u + a.width) % a.width);
        }
      }
      out.at(y, x) = sum;
    }
  }
  return out;
}

Plane modulus(Plane plane) {
  for (Value& value : plane.values) value = std::abs(value);
  return plane;
}

// exp(-u^T R diag(1, slant^2) R^T u / (2 sigma^2) + i xi (cos theta, sin theta) . u), normalised.
Plane gabor(std::int64_t height, std::int64_t width, double sigma, double theta, double xi,
            double slant) {
  Plane out = zeros(height, width);
  const double c = std::cos(theta);
  const double s = std::sin(theta);
  const double yy = c * c + slant * slant * s * s;  // R diag(1, slant^2) R^T, written out
  const double xx = s * s + slant * slant * c * c;
  const double xy = c * s * (1.0 - slant * slant);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (int copy = 0; copy < 25; ++copy) {
        const double v = static_cast<double>(y + (copy / 5 - 2) * height);
        const double u = static_cast<double>(x + (copy % 5 - 2) * width);
        const double quadratic = yy * v * v + 2.0 * xy * v * u + xx * u * u;
        out.at(y, x) += std::exp(Value(-quadratic / (2.0 * sigma * sigma), xi * (v * c + u * s)));
      }
      out.at(y, x) /= 2.0 * 3.1415 * sigma * sigma / slant;
    }
  }
  return out;
}

Plane morlet(std::int64_t height, std::int64_t width, double sigma, double theta, double xi,
             double slant) {
  Plane wave = gabor(height, width, sigma, theta, xi, slant);
  const Plane envelope = gabor(height, width, sigma, theta, 0.0, slant);
  Value wave_sum = 0.0;
  Value envelope_sum = 0.0;
  for (const Value& value : wave.values) wave_sum += value;
  for (const Value& value : envelope.values) envelope_sum += value;
  for (std::size_t i = 0; i < wave.values.size(); ++i) {
    wave.values[i] -= wave_sum / envelope_sum * envelope.values[i];
  }
  return wave;
}

// What remains of `filter` at half the resolution: its frequencies -n/4 .. n/4 - 1 on each axis,
// as a filter for a signal of half the size.
Plane halve_band(const Plane& filter) {
  const Plane& f = filter;
  Plane out = zeros(f.height / 2, f.width / 2);
  const double two_pi = 2.0 * std::acos(-1.0);
  const auto kernel = [two_pi](std::int64_t y, std::int64_t v, std::int64_t n) {
    // sum over the kept frequencies of exp(2 pi i k (2 y - v) / n) / (n / 2)
    Value sum = 0.0;
    for (std::int64_t k = -n / 4; k < n / 4; ++k) {
      sum += std::polar(2.0 / static_cast<double>(n),
                        two_pi * static_cast<double>(k * (2 * y - v)) / static_cast<double>(n));
    }
    return sum;
  };
  for (std::int64_t y = 0; y < out.height; ++y) {
    for (std::int64_t x = 0; x < out.width; ++x) {
      for (std::int64_t v = 0; v < f.height; ++v) {
        for (std::int64_t u = 0; u < f.width; ++u) {
          out.at(y, x) += kernel(y, v, f.height) * kernel(x, u, f.width) * f.at(v, u);
        }
      }
    }
  }
  return out;
}

std::int64_t reflect(std::int64_t i, std::int64_t size) {
  while (i < 0 || i >= size) i = i < 0 ? -i : 2 * (size - 1) - i;
  return i;
}

}  // namespace

std::vector<double> scattering_by_convolution(const std::vector<double>& image, std::int64_t height,
                                              std::int64_t width, int scales, int orientations) {
  if (scales < 1 || scales > 2) throw std::invalid_argument("scattering_by_convolution: J <= 2");
  const std::int64_t window = std::int64_t{1} << scales;
  const std::int64_t padded_height = (height / window + 2) * window;
  const std::int64_t padded_width = (width / window + 2) * window;
  Plane x = zeros(padded_height, padded_width);
  for (std::int64_t v = 0; v < padded_height; ++v) {
    for (std::int64_t u = 0; u < padded_width; ++u) {
      x.at(v, u) =
          image[static_cast<std::size_t>(reflect(v - (padded_height - height) / 2, height) * width +
                                         reflect(u - (padded_width - width) / 2, width))];
    }
  }
  std::vector<Plane> phi{gabor(padded_height, padded_width, 0.8 * (1 << (scales - 1)), 0, 0, 1)};
  if (scales == 2) phi.push_back(halve_band(phi[0]));
  std::vector<double> out;
  const auto emit = [&](const Plane& plane, int level) {
    const Plane low = convolve(plane, phi[static_cast<std::size_t>(level)], window >> level);
    for (std::int64_t v = 1; v + 1 < low.height; ++v) {
      for (std::int64_t u = 1; u + 1 < low.width; ++u) out.push_back(low.at(v, u).real());
    }
  };
  const auto psi = [&](int j, int theta) {
    const double pi = std::acos(-1.0);
    // theta runs down from (L / 2 - 1) pi / L, L / 2 rounded towards zero after the subtraction
    const int first = static_cast<int>(orientations - orientations / 2.0 - 1.0);
    return morlet(padded_height, padded_width, 0.8 * (1 << j), (first - theta) * pi / orientations,
                  0.75 * pi / (1 << j), 4.0 / orientations);
  };
  emit(x, 0);
  std::vector<Plane> finest;  // |x * psi_(0, theta)|
  for (int j = 0; j < scales; ++j) {
    for (int theta = 0; theta < orientations; ++theta) {
      const Plane u1 = modulus(convolve(x, psi(j, theta), 1 << j));
      emit(u1, j);
      if (j == 0) finest.push_back(u1);
    }
  }
  if (scales == 2) {
    for (const Plane& u1 : finest) {
      for (int theta = 0; theta < orientations; ++theta) {
        emit(modulus(convolve(u1, psi(1, theta), 2)), 1);
      }
    }
  }
  return out;
}

}  // namespace velum::reference
