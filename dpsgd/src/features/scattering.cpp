#include "velum/dpsgd/features/scattering.h"

#include <cmath>
#include <complex>
#include <numbers>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "features/checks.h"
#include "features/scattering_filters.h"
#include "features/scattering_plan.h"

namespace velum::dpsgd {
namespace {

using detail::ScatteringFilters;
using detail::ScatteringPlan;
using detail::ScatteringWavelet;

constexpr int kMaxScales = 8;
constexpr int kMaxOrientations = 64;
constexpr std::int64_t kMaxSide = 256;  // building the filters takes time cubic in the side
// Images that one thread takes at a time; a multiple of every vector length.
constexpr std::int64_t kGrain = 64;

const ScatteringOptions& checked(const ScatteringOptions& options) {
  const auto require = [](std::int64_t value, std::int64_t low, std::int64_t high,
                          const char* name) {
    if (value < low || value > high) {
      throw std::invalid_argument(std::string("ScatteringTransform: ") + name + " = " +
                                  std::to_string(value) + ", expected " + std::to_string(low) +
                                  " to " + std::to_string(high));
    }
  };
  require(options.scales, 1, kMaxScales, "scales");
  require(options.orientations, 1, kMaxOrientations, "orientations");
  const std::int64_t window = std::int64_t{1} << options.scales;
  require(options.height, window, kMaxSide, "height");
  require(options.width, window, kMaxSide, "width");
  return options;
}

std::vector<float> to_float(const std::vector<double>& values, double scale) {
  // Spectra fall off like Gaussians: what lies below float's normal range would only be slow.
  constexpr double kNegligible = 1e-30;
  std::vector<float> out;
  for (const double value : values) {
    const double scaled = value * scale;
    out.push_back(std::abs(scaled) < kNegligible ? 0.0f : static_cast<float>(scaled));
  }
  return out;
}

ScatteringPlan make_plan(const ScatteringOptions& options) {
  const ScatteringFilters filters(checked(options));
  const int scales = options.scales;
  const int orientations = options.orientations;
  ScatteringPlan plan;
  plan.image_height = options.height;
  plan.image_width = options.width;
  plan.output_height = filters.rows.output;
  plan.output_width = filters.columns.output;
  plan.channels =
      1 + scales * orientations + orientations * orientations * scales * (scales - 1) / 2;
  plan.source_rows = filters.rows.source;
  plan.source_columns = filters.columns.source;
  for (int level = 0; level < scales; ++level) {
    const std::int64_t height = filters.rows.padded >> level;
    const std::int64_t width = filters.columns.padded >> level;
    plan.levels.push_back({height, width, detail::FourierPlan(height), detail::FourierPlan(width),
                           to_float(filters.rows.low_pass[level], 1.0),
                           to_float(filters.columns.low_pass[level], 1.0)});
  }
  const auto wavelet = [&](int j, int theta, int level) {
    const detail::ScatteringLevel& in = plan.levels[level];
    // Folding by mean divides by the number of blocks and the inverse transform by the size that is
    // left: together by the size of the input. Half spectra are twice too large.
    const double scale = 0.5 / (static_cast<double>(in.height) * static_cast<double>(in.width));
    return ScatteringWavelet{
        level, j, to_float(filters.wavelets[j * orientations + theta][level], scale), 0, 0};
  };
  for (int j1 = 0; j1 < scales; ++j1) {
    const std::size_t next_begin = plan.second_order.size();
    for (int j2 = j1 + 1; j2 < scales; ++j2) {
      for (int theta = 0; theta < orientations; ++theta) {
        plan.second_order.push_back(wavelet(j2, theta, j1));
      }
    }
    for (int theta = 0; theta < orientations; ++theta) {
      ScatteringWavelet first = wavelet(j1, theta, 0);
      first.next_begin = next_begin;
      first.next_end = plan.second_order.size();
      plan.first_order.push_back(std::move(first));
    }
  }
  return plan;
}

}  // namespace

detail::FourierPlan::FourierPlan(std::int64_t n) : size(n) {
  std::int64_t groups = n;
  std::int64_t stride = 1;
  while (groups > 1) {
    std::int64_t radix = 0;
    for (const std::int64_t candidate : {6, 4, 5, 3, 2}) {
      if (groups % candidate == 0) {
        radix = candidate;
        break;
      }
    }
    for (std::int64_t divisor = 7; radix == 0; divisor += 2) {
      if (divisor * divisor > groups) divisor = groups;
      if (groups % divisor == 0) radix = divisor;
    }
    const auto root = [](std::int64_t k, std::int64_t order) {
      return std::polar(1.0, -2.0 * std::numbers::pi * static_cast<double>(k % order) /
                                 static_cast<double>(order));
    };
    const auto append = [](std::vector<float>& values, std::complex<double> value) {
      values.push_back(static_cast<float>(value.real()));
      values.push_back(static_cast<float>(value.imag()));
    };
    FourierPass pass{radix, groups / radix, stride, {}, {}};
    for (std::int64_t p = 0; p < pass.groups; ++p) {
      for (std::int64_t k = 1; k < radix; ++k) append(pass.twiddles, root(p * k, groups));
    }
    for (std::int64_t k = 0; k < radix; ++k) append(pass.roots, root(k, radix));
    groups = pass.groups;
    stride *= radix;
    passes.push_back(std::move(pass));
  }
}

class ScatteringTransform::Plan {
 public:
  explicit Plan(const ScatteringOptions& chosen) : options(chosen), plan(make_plan(chosen)) {}
  ScatteringOptions options;
  ScatteringPlan plan;
};

ScatteringTransform::ScatteringTransform(const ScatteringOptions& options)
    : plan_(std::make_unique<Plan>(options)) {}
ScatteringTransform::~ScatteringTransform() = default;
ScatteringTransform::ScatteringTransform(ScatteringTransform&&) noexcept = default;
ScatteringTransform& ScatteringTransform::operator=(ScatteringTransform&&) noexcept = default;

const ScatteringOptions& ScatteringTransform::options() const { return plan_->options; }
std::int64_t ScatteringTransform::image_size() const {
  return plan_->plan.image_height * plan_->plan.image_width;
}
std::int64_t ScatteringTransform::channels() const { return plan_->plan.channels; }
std::int64_t ScatteringTransform::output_height() const { return plan_->plan.output_height; }
std::int64_t ScatteringTransform::output_width() const { return plan_->plan.output_width; }
std::int64_t ScatteringTransform::output_size() const {
  return channels() * output_height() * output_width();
}

namespace {

template <typename Pixel>
void transform_images(const ScatteringTransform& transform, const ScatteringPlan& plan,
                      kernels::MatrixView<const Pixel> images, kernels::MatrixView<float> out,
                      const kernels::Stream& stream) {
  const char* const name = "ScatteringTransform::transform";
  detail::require_cpu(stream, name);
  detail::require_equal(images.cols, transform.image_size(), name, "images.cols", "height * width");
  detail::require_equal(out.cols, transform.output_size(), name, "out.cols", "output_size()");
  detail::require_equal(out.rows, images.rows, name, "out.rows", "images.rows");
  stream.parallel_for().run(images.rows, kGrain, [&](std::int64_t begin, std::int64_t end) {
    detail::scatter_images(plan, images.data, images.row_stride, out.data, out.row_stride, begin,
                           end);
  });
}

}  // namespace

void ScatteringTransform::transform(kernels::MatrixView<const float> images,
                                    kernels::MatrixView<float> out,
                                    const kernels::Stream& stream) const {
  transform_images(*this, plan_->plan, images, out, stream);
}

void ScatteringTransform::transform(kernels::MatrixView<const std::uint8_t> images,
                                    kernels::MatrixView<float> out,
                                    const kernels::Stream& stream) const {
  transform_images(*this, plan_->plan, images, out, stream);
}

}  // namespace velum::dpsgd
