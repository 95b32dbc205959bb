#include "velum/dpsgd/features/random_shapes.h"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

#include "features/checks.h"
#include "velum/kernels/random/gaussian.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/random/uniform.h"

namespace velum::dpsgd {
namespace {

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr std::uint64_t kSeed = 1;
constexpr int kMaxShapes = 5;
constexpr int kUniformsPerShape = 16;
constexpr std::int64_t kMaxSide = 4096;
constexpr std::int64_t kGrain = 16;

/// cos, cos + sin and cos - sin of 2 pi y u / n.
struct HartleyBasis {
  explicit HartleyBasis(std::int64_t n) : cosine(n, n), sine(n, n), sum(n, n), difference(n, n) {
    for (std::int64_t y = 0; y < n; ++y) {
      for (std::int64_t u = 0; u < n; ++u) {
        const double angle =
            2.0 * std::numbers::pi * static_cast<double>(y * u % n) / static_cast<double>(n);
        cosine(y, u) = static_cast<float>(std::cos(angle));
        sine(y, u) = static_cast<float>(std::sin(angle));
        sum(y, u) = static_cast<float>(std::cos(angle) + std::sin(angle));
        difference(y, u) = static_cast<float>(std::cos(angle) - std::sin(angle));
      }
    }
  }
  Matrix cosine, sine, sum, difference;
};

/// Uniform numbers in [0, 1), one after the other.
class Uniforms {
 public:
  explicit Uniforms(const std::uint64_t* bits) : next_(bits) {}
  double operator()() { return static_cast<double>(*next_++ >> 11) * 0x1p-53; }
  double between(double low, double high) { return low + (high - low) * (*this)(); }

 private:
  const std::uint64_t* next_;
};

class ShapePainter {
 public:
  ShapePainter(std::int64_t height, std::int64_t width)
      : height_(height),
        width_(width),
        rows_(height),
        columns_(width),
        log_frequency_(height, width) {
    for (std::int64_t u = 0; u < height; ++u) {
      for (std::int64_t v = 0; v < width; ++v) {
        const double fy =
            static_cast<double>(std::min(u, height - u)) / static_cast<double>(height);
        const double fx = static_cast<double>(std::min(v, width - v)) / static_cast<double>(width);
        const double frequency = std::hypot(fy, fx);
        log_frequency_(u, v) = frequency > 0.0 ? static_cast<float>(std::log(frequency)) : 0.0f;
      }
    }
  }

  void paint(std::int64_t number, float* pixels) const {
    const kernels::RandomKey key = kernels::insecure_key_from_seed(kSeed);
    const kernels::RandomPosition position{.purpose = kernels::Purpose::kModelInitialization,
                                           .key_epoch = 0,
                                           .step = static_cast<std::uint64_t>(number),
                                           .tensor = 0};
    const kernels::Stream stream = kernels::Stream::serial();
    std::array<std::uint64_t, 1 + kMaxShapes * kUniformsPerShape> bits;
    kernels::uniform_bits_fill(bits, key, position, 0, stream);
    const int shapes =
        1 + static_cast<int>(Uniforms(bits.data())() * kMaxShapes);  // 1 to kMaxShapes
    // Per shape its centre and the noise of its texture.
    std::vector<float> normals(static_cast<std::size_t>(shapes * (2 + height_ * width_)));
    kernels::gaussian_fill(kernels::Span<float>(normals), key, position, 0, stream);

    std::fill_n(pixels, height_ * width_, 0.0f);
    for (int shape = 0; shape < shapes; ++shape) {
      paint_shape(Uniforms(bits.data() + 1 + std::int64_t{shape} * kUniformsPerShape),
                  normals.data() + shape * (2 + height_ * width_), pixels);
    }
  }

 private:
  void paint_shape(Uniforms uniform, const float* normals, float* pixels) const {
    const double turn = uniform();
    const double angle = turn < 1.0 / 3.0   ? 0.0
                         : turn < 2.0 / 3.0 ? std::numbers::pi / 2.0
                                            : uniform.between(0.0, std::numbers::pi);
    const double center_x = 0.3 * normals[0];
    const double center_y = 0.3 * normals[1];
    const double size_x = uniform.between(0.1, 0.9);
    const double size_y = uniform.between(0.1, 0.9);
    const bool rectangle = uniform() < 0.6;
    const double exponent = uniform.between(0.3, 1.5);
    const double grey = uniform();
    const double strength = uniform.between(0.0, 0.2);
    const bool erase = uniform() >= 0.85;
    const Matrix texture = coloured_noise(normals + 2, exponent);

    const double c = std::cos(angle);
    const double s = std::sin(angle);
    const double half_height = 0.5 * static_cast<double>(height_);
    const double half_width = 0.5 * static_cast<double>(width_);
    for (std::int64_t i = 0; i < height_; ++i) {
      for (std::int64_t j = 0; j < width_; ++j) {
        const double dy = (static_cast<double>(i) + 0.5 - half_height) / half_height - center_y;
        const double dx = (static_cast<double>(j) + 0.5 - half_width) / half_width - center_x;
        const double x = (dx * c + dy * s) / size_x;
        const double y = (dy * c - dx * s) / size_y;
        const bool inside =
            rectangle ? std::abs(x) < 1.0 && std::abs(y) < 1.0 : x * x + y * y < 1.0;
        if (!inside) continue;
        const double value = erase ? 0.0 : grey + strength * texture(i, j);
        pixels[i * width_ + j] = static_cast<float>(std::clamp(value, 0.0, 1.0));
      }
    }
  }

  // White noise filtered by frequency^-exponent, with mean 0 and variance 1. The filter is even, so
  // it is diagonal in the Hartley basis too, cas(a + b) = cos a cas b + sin a (cos b - sin b); and
  // white noise is white in that basis.
  Matrix coloured_noise(const float* normals, double exponent) const {
    const Eigen::Map<const Matrix> white(normals, height_, width_);
    Matrix spectrum(height_, width_);
    for (std::int64_t u = 0; u <= height_ / 2; ++u) {
      for (std::int64_t v = 0; v <= width_ / 2; ++v) {
        const float gain = std::exp(-static_cast<float>(exponent) * log_frequency_(u, v));
        for (const std::int64_t row : {u, (height_ - u) % height_}) {
          for (const std::int64_t column : {v, (width_ - v) % width_}) {
            spectrum(row, column) = gain * white(row, column);
          }
        }
      }
    }
    Matrix texture =
        rows_.cosine * (spectrum * columns_.sum) + rows_.sine * (spectrum * columns_.difference);
    texture.array() -= texture.mean();
    const float variance = texture.squaredNorm() / static_cast<float>(texture.size());
    if (variance > 0.0f) texture /= std::sqrt(variance);
    return texture;
  }

  std::int64_t height_;
  std::int64_t width_;
  HartleyBasis rows_;
  HartleyBasis columns_;
  Matrix log_frequency_;  // 0 at frequency 0, which the mean takes away
};

}  // namespace

void draw_random_shapes(std::int64_t height, std::int64_t width, std::int64_t first_image,
                        kernels::MatrixView<float> images, const kernels::Stream& stream) {
  const char* const name = "draw_random_shapes";
  detail::require_cpu(stream, name);
  for (const std::int64_t side : {height, width}) {
    if (side < 1 || side > kMaxSide) {
      throw std::invalid_argument(std::string(name) + ": side = " + std::to_string(side) +
                                  ", expected 1 to " + std::to_string(kMaxSide));
    }
  }
  if (first_image < 0) {
    throw std::invalid_argument(std::string(name) + ": first_image = " +
                                std::to_string(first_image) + ", expected at least 0");
  }
  detail::require_equal(images.cols, height * width, name, "images.cols", "height * width");
  const ShapePainter painter(height, width);
  stream.parallel_for().run(images.rows, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t b = begin; b < end; ++b) {
      painter.paint(first_image + b, images.data + b * images.row_stride);
    }
  });
}

}  // namespace velum::dpsgd
