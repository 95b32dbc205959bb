#pragma once

#include <hwy/targets.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference/gradients.h"
#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::testing {

using kernels::MatrixView;
using kernels::ParallelFor;

struct Shape {
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t stride;
};

/// Every pairing of the small sizes, tight and not, and some above a million elements. The longest
/// are for the CPU alone: an emulated device would take minutes for them.
inline std::vector<Shape> gradient_shapes(Backend backend) {
  std::vector<Shape> shapes;
  const std::int64_t sizes[] = {0, 1, 31, 32, 33, 257};
  for (const std::int64_t rows : sizes) {
    for (const std::int64_t cols : sizes) {
      shapes.push_back({rows, cols, cols});
      shapes.push_back({rows, cols, cols + 5});
    }
  }
  shapes.push_back({33'003, 33, 33});
  shapes.push_back({40, 30'011, 30'013});
  if (backend == Backend::kCpu) {
    shapes.push_back({1, 1'000'003, 1'000'003});
    shapes.push_back({1'000'003, 1, 1});
  }
  return shapes;
}

/// Normal draws whose rows differ in scale by up to 2^12, NaN between the rows.
template <typename T>
HostMatrix<T> random_matrix(const Shape& shape, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int> scale(-6, 6);
  HostMatrix<T> matrix(shape.rows, shape.cols, shape.stride, std::numeric_limits<T>::quiet_NaN());
  for (std::int64_t row = 0; row < shape.rows; ++row) {
    const int exponent = scale(generator);
    for (std::int64_t col = 0; col < shape.cols; ++col) {
      matrix.at(row, col) = static_cast<T>(std::ldexp(normal(generator), exponent));
    }
  }
  return matrix;
}

/// A matrix in memory of the stream's backend, without margins: the emulated device and the
/// sanitizers see a read beyond its end.
template <typename T>
class DeviceMatrix {
 public:
  DeviceMatrix(const HostMatrix<T>& matrix, const Stream& stream)
      : rows_(matrix.rows),
        cols_(matrix.cols),
        stride_(matrix.stride),
        memory_(to_backend(matrix.values, stream)) {}
  MatrixView<const T> view() const { return {memory_.data(), rows_, cols_, stride_}; }

 private:
  std::int64_t rows_;
  std::int64_t cols_;
  std::int64_t stride_;
  Buffer<T> memory_;
};

/// Cuts [0, count) into single grains and runs them last to first.
class BackwardsFor final : public ParallelFor {
 public:
  int thread_count() const override { return 64; }
  void run(std::int64_t count, std::int64_t grain,
           const std::function<void(std::int64_t, std::int64_t)>& body) override {
    grain = std::max<std::int64_t>(grain, 1);
    for (std::int64_t chunk = (count - 1) / grain; count > 0 && chunk >= 0; --chunk) {
      body(chunk * grain, std::min(count, (chunk + 1) * grain));
    }
  }
};

/// CPU streams that share out the work differently.
inline std::vector<Stream> differently_threaded_streams() {
  return {Stream::serial(), Stream::cpu(2), Stream::cpu(3),
          Stream::cpu(std::make_shared<BackwardsFor>())};
}

/// Calls `body` once per SIMD target that this machine has and the build contains, with only that
/// target enabled.
template <typename Body>
void on_every_simd_target(const Body& body) {
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
}

/// The text of the std::invalid_argument that `call` throws; "nothing thrown" otherwise.
template <typename Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing thrown";
}

}  // namespace velum::testing
