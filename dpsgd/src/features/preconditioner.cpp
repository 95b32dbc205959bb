#include "velum/dpsgd/features/preconditioner.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "features/checks.h"
#include "features/row_kernels.h"
#include "features/second_moments.h"
#include "velum/dpsgd/features/random_shapes.h"

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kShapeImages = 4000;
constexpr std::int64_t kRowGrain = 64;

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// (C / trace C + floor)^-power
std::vector<float> inverse_power(const std::vector<double>& values, std::int64_t size, double power,
                                 double floor, const char* name) {
  const auto fail = [name](const std::string& what) {
    throw std::invalid_argument(std::string("make_preconditioner: ") + name + " " + what);
  };
  if (size < 1 || values.size() != static_cast<std::size_t>(size * size)) {
    fail("has " + std::to_string(values.size()) + " elements, expected the square of " +
         std::to_string(size) + ", at least 1");
  }
  for (const double value : values) {
    if (!std::isfinite(value)) fail("has an element that is not finite");
  }
  const Matrix moment = Eigen::Map<const Matrix>(values.data(), size, size);
  const Eigen::SelfAdjointEigenSolver<Matrix> solver(0.5 * (moment + moment.transpose()));
  if (solver.info() != Eigen::Success) fail("has no eigenvalues: the iteration did not converge");
  Eigen::VectorXd eigenvalues = solver.eigenvalues().cwiseMax(0.0);
  const double trace = eigenvalues.sum();
  if (!(trace > 0.0)) fail("has no positive eigenvalue");
  for (double& value : eigenvalues) value = std::pow(value / trace + floor, -power);
  const Matrix result =
      solver.eigenvectors() * eigenvalues.asDiagonal() * solver.eigenvectors().transpose();
  std::vector<float> out(values.size());
  for (std::int64_t i = 0; i < size; ++i) {
    for (std::int64_t j = 0; j < size; ++j) {
      // Both halves from one, so that the result is symmetric to the last bit.
      out[i * size + j] = static_cast<float>(result(std::min(i, j), std::max(i, j)));
    }
  }
  return out;
}

detail::PaddedMatrix padded(const std::vector<float>& values, std::int64_t size) {
  detail::PaddedMatrix matrix(size, size);
  for (std::int64_t i = 0; i < size; ++i) {
    std::copy_n(values.data() + i * size, size, matrix.row(i));
  }
  return matrix;
}

}  // namespace

void sqrt_to_unit_rows(kernels::MatrixView<float> rows, const kernels::Stream& stream) {
  detail::require_cpu(stream, "sqrt_to_unit_rows");
  stream.parallel_for().run(rows.rows, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      detail::sqrt_to_unit_row(rows.data + r * rows.row_stride, rows.cols);
    }
  });
}

Preconditioner make_preconditioner(const SecondMoments& moments,
                                   const PreconditionerOptions& options) {
  if (!(options.floor > 0.0 && std::isfinite(options.floor))) {
    throw std::invalid_argument("make_preconditioner: floor = " + std::to_string(options.floor) +
                                ", expected finite and > 0");
  }
  return {moments.channels, moments.positions,
          inverse_power(moments.channel, moments.channels, options.channel_power, options.floor,
                        "moments.channel"),
          inverse_power(moments.spatial, moments.positions, options.spatial_power, options.floor,
                        "moments.spatial")};
}

Preconditioner random_shapes_preconditioner(const ScatteringTransform& transform,
                                            const PreconditionerOptions& options,
                                            const kernels::Stream& stream) {
  const ScatteringOptions& scattering = transform.options();
  const std::int64_t pixels = transform.image_size();
  const std::int64_t size = transform.output_size();
  std::vector<float> images(static_cast<std::size_t>(kShapeImages * pixels));
  draw_random_shapes(scattering.height, scattering.width, 0,
                     kernels::MatrixView<float>(images.data(), kShapeImages, pixels), stream);
  std::vector<float> features(static_cast<std::size_t>(kShapeImages * size));
  const kernels::MatrixView<float> rows(features.data(), kShapeImages, size);
  transform.transform(kernels::MatrixView<const float>(images.data(), kShapeImages, pixels), rows,
                      stream);
  sqrt_to_unit_rows(rows, stream);

  // Images that came out black have no features to learn from.
  std::vector<double> sum(static_cast<std::size_t>(size));
  std::int64_t count = 0;
  for (std::int64_t r = 0; r < kShapeImages; ++r) {
    const float* const row = features.data() + r * size;
    if (std::all_of(row, row + size, [](float x) { return x == 0.0f; })) continue;
    ++count;
    for (std::int64_t i = 0; i < size; ++i) sum[i] += row[i];
  }
  std::vector<float> mean;
  mean.reserve(sum.size());
  for (const double value : sum) {
    mean.push_back(static_cast<float>(value / static_cast<double>(count)));
  }
  return make_preconditioner(
      detail::sum_second_moments(
          rows, mean, transform.channels(), transform.output_height() * transform.output_width(),
          std::numeric_limits<double>::infinity(), /*skip_zero_rows=*/true, stream),
      options);
}

void precondition_rows(kernels::MatrixView<float> rows, kernels::Span<const float> mean,
                       const Preconditioner& preconditioner, float bias,
                       const kernels::Stream& stream) {
  const char* const name = "precondition_rows";
  const std::int64_t channels = preconditioner.channels;
  const std::int64_t positions = preconditioner.positions;
  const std::int64_t size = channels * positions;
  detail::require_cpu(stream, name);
  detail::require_equal(rows.cols, size + 1, name, "rows.cols", "channels * positions + 1");
  detail::require_equal(mean.size(), size, name, "mean.size()", "channels * positions");
  detail::require_equal(static_cast<std::int64_t>(preconditioner.channel.size()),
                        channels * channels, name, "preconditioner.channel.size()",
                        "channels * channels");
  detail::require_equal(static_cast<std::int64_t>(preconditioner.spatial.size()),
                        positions * positions, name, "preconditioner.spatial.size()",
                        "positions * positions");
  const detail::PaddedMatrix channel = padded(preconditioner.channel, channels);
  const detail::PaddedMatrix spatial = padded(preconditioner.spatial, positions);
  stream.parallel_for().run(rows.rows, kRowGrain, [&](std::int64_t begin, std::int64_t end) {
    detail::PaddedMatrix centred(channels, positions);
    detail::PaddedMatrix half(channels, positions);
    for (std::int64_t r = begin; r < end; ++r) {
      float* const row = rows.data + r * rows.row_stride;
      for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t p = 0; p < positions; ++p) {
          centred.row(c)[p] = row[c * positions + p] - mean[c * positions + p];
        }
      }
      detail::multiply(channel, centred, half);
      detail::multiply(half, spatial, centred);
      for (std::int64_t c = 0; c < channels; ++c) {
        std::copy_n(centred.row(c), positions, row + c * positions);
      }
      const double norm = std::sqrt(detail::squared_norm(row, size));
      if (norm > 0.0) detail::scale_row(row, size, static_cast<float>(1.0 / norm));
      row[size] = bias;
    }
  });
}

}  // namespace velum::dpsgd
