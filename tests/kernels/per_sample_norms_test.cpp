#include "velum/kernels/gradients/per_sample_norms.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/gradients_fixture.h"
#include "support/tolerance.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

/// The squared norms, and a check of the output's margins.
template <typename T>
std::vector<double> squared_norms_of(const HostMatrix<T>& matrix, const Stream& stream) {
  const DeviceMatrix<T> grads(matrix, stream);
  GuardedBuffer<double> squared_norms(matrix.rows, stream);
  per_sample_squared_norms(grads.view(), squared_norms.span(), stream);
  EXPECT_TRUE(squared_norms.margins_are_intact());
  return squared_norms.to_host();
}

class PerSampleSquaredNormsOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

template <typename T>
void expect_relative_error_within_bound(const HostMatrix<T>& matrix, const Stream& stream) {
  const std::vector<double> computed = squared_norms_of(matrix, stream);
  const Exact bound(squared_norm_error(matrix.cols));
  // A million rows of one element: a sample of them, each exact.
  const std::int64_t step = std::max<std::int64_t>(1, matrix.rows / 4096);
  for (std::int64_t row = 0; row < matrix.rows; row += step) {
    const Exact exact = exact_squared_norm(matrix, row);
    const Exact error = abs(Exact(computed[static_cast<std::size_t>(row)]) - exact);
    ASSERT_TRUE(error <= bound * exact)
        << "[" << matrix.rows << ", " << matrix.cols << "] row " << row << ": "
        << computed[static_cast<std::size_t>(row)] << ", exactly " << exact.approximate();
  }
}

TEST_P(PerSampleSquaredNormsOnEveryBackend, RelativeErrorIsAtMostSquaredNormError) {
  unsigned seed = 1;
  std::vector<Shape> shapes = gradient_shapes(GetParam());
  shapes.push_back({1, 1'000'003, 1'000'003});
  for (const Shape& shape : shapes) {
    expect_relative_error_within_bound(random_matrix<float>(shape, seed++), stream_);
    expect_relative_error_within_bound(random_matrix<double>(shape, seed++), stream_);
  }
}

TEST_P(PerSampleSquaredNormsOnEveryBackend,
       RelativeErrorIsAtMostSquaredNormErrorAtTheEndsOfTheRange) {
  HostMatrix<float> floats(3, 40, 40, 0.0f);
  HostMatrix<double> doubles(3, 40, 40, 0.0);
  for (std::int64_t col = 0; col < 40; ++col) {
    floats.at(0, col) = std::numeric_limits<float>::max();
    floats.at(1, col) = std::numeric_limits<float>::denorm_min();
    floats.at(2, col) = col == 39 ? std::numeric_limits<float>::denorm_min() : 0.0f;
    doubles.at(0, col) = 0x1.fffffffffffffp+508;
    doubles.at(1, col) = 0x1.fffffffffffffp-480;  // the least norm that the bound speaks of
    doubles.at(2, col) = col == 0 ? 0x1p-480 : 0x1.fp-500;
  }
  expect_relative_error_within_bound(floats, stream_);
  expect_relative_error_within_bound(doubles, stream_);
}

TEST_P(PerSampleSquaredNormsOnEveryBackend, SquaredNormErrorHoldsForTheSumOfSeveralTensors) {
  const std::int64_t sizes[] = {1, 400, 33, 2000, 7};
  GuardedBuffer<double> squared_norms(std::vector<double>(5, 0.0), stream_);
  std::vector<Exact> exact(5);
  for (const std::int64_t cols : sizes) {
    const HostMatrix<double> matrix =
        random_matrix<double>({5, cols, cols}, static_cast<unsigned>(cols));
    add_per_sample_squared_norms(DeviceMatrix<double>(matrix, stream_).view(), squared_norms.span(),
                                 stream_);
    for (std::int64_t row = 0; row < 5; ++row) {
      exact[static_cast<std::size_t>(row)] += exact_squared_norm(matrix, row);
    }
    synchronize(stream_);
  }
  EXPECT_TRUE(squared_norms.margins_are_intact());
  const std::vector<double> computed = squared_norms.to_host();
  const Exact bound(squared_norm_error(2000, std::size(sizes)));
  for (std::size_t row = 0; row < 5; ++row) {
    EXPECT_TRUE(abs(Exact(computed[row]) - exact[row]) <= bound * exact[row]);
  }
}

template <typename T>
void expect_added(const Shape& shape, const Stream& stream) {
  const HostMatrix<T> matrix = random_matrix<T>(shape, 7);
  const std::vector<double> alone = squared_norms_of(matrix, stream);
  std::vector<double> expected(alone.size());
  std::vector<double> before(alone.size());
  for (std::size_t row = 0; row < alone.size(); ++row) {
    before[row] = 0.1 * static_cast<double>(row + 1);
    expected[row] = before[row] + alone[row];
  }
  GuardedBuffer<double> squared_norms(before, stream);
  add_per_sample_squared_norms(DeviceMatrix<T>(matrix, stream).view(), squared_norms.span(),
                               stream);
  EXPECT_EQ(squared_norms.to_host(), expected);
  EXPECT_TRUE(squared_norms.margins_are_intact());
}

TEST_P(PerSampleSquaredNormsOnEveryBackend, AddingAddsToWhatSquaredNormsHolds) {
  for (const Shape& shape : {Shape{33, 257, 260}, Shape{3, 5000, 5000}, Shape{4, 0, 0}}) {
    expect_added<float>(shape, stream_);
    expect_added<double>(shape, stream_);
  }
}

TEST_P(PerSampleSquaredNormsOnEveryBackend, NoColumnsGiveZeros) {
  EXPECT_EQ(squared_norms_of(HostMatrix<float>(33, 0, 0, 0.0f), stream_),
            std::vector<double>(33, 0.0));
  EXPECT_EQ(squared_norms_of(HostMatrix<double>(2, 0, 3, 0.0), stream_),
            std::vector<double>(2, 0.0));
}

template <typename T>
void expect_special_values(std::int64_t cols, const Stream& stream) {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  constexpr T kNaN = std::numeric_limits<T>::quiet_NaN();
  for (const std::int64_t at : {std::int64_t{0}, cols / 2, cols - 1}) {
    HostMatrix<T> matrix = random_matrix<T>({5, cols, cols}, 11);
    matrix.at(0, at) = kNaN;
    matrix.at(1, at) = kInfinity;
    matrix.at(2, at) = -kInfinity;
    matrix.at(3, at) = kInfinity;
    matrix.at(3, (at + 1) % cols) = kNaN;
    const std::vector<double> squared_norms = squared_norms_of(matrix, stream);
    EXPECT_TRUE(std::isnan(squared_norms[0]));
    EXPECT_EQ(squared_norms[1], std::numeric_limits<double>::infinity());
    EXPECT_EQ(squared_norms[2], std::numeric_limits<double>::infinity());
    EXPECT_TRUE(std::isnan(squared_norms[3]));
    EXPECT_TRUE(std::isfinite(squared_norms[4]));
  }
}

TEST_P(PerSampleSquaredNormsOnEveryBackend, ARowWithANaNGivesNaNAndOneWithAnInfinityInfinity) {
  for (const std::int64_t cols : {2, 33, 257, 5000}) {
    expect_special_values<float>(cols, stream_);
    expect_special_values<double>(cols, stream_);
  }
}

TEST_P(PerSampleSquaredNormsOnEveryBackend, SquaresThatOverflowDoubleGiveInfinity) {
  HostMatrix<double> matrix(3, 40, 40, 1.0);
  matrix.at(0, 17) = 1e200;
  matrix.at(1, 17) = -1e200;
  EXPECT_EQ(squared_norms_of(matrix, stream_),
            (std::vector<double>{std::numeric_limits<double>::infinity(),
                                 std::numeric_limits<double>::infinity(), 40.0}));
}

template <typename T>
void expect_same_twice(const Shape& shape, const Stream& stream) {
  const HostMatrix<T> matrix = random_matrix<T>(shape, 13);
  EXPECT_EQ(squared_norms_of(matrix, stream), squared_norms_of(matrix, stream));
}

TEST_P(PerSampleSquaredNormsOnEveryBackend, ResultIsTheSameRunToRun) {
  for (const Shape& shape : {Shape{257, 33, 33}, Shape{2, 70'001, 70'003}}) {
    expect_same_twice<float>(shape, stream_);
    expect_same_twice<double>(shape, stream_);
  }
}

TEST_P(PerSampleSquaredNormsOnEveryBackend, ShapesThatDifferAreRefused) {
  const Buffer<float> grads(12, stream_);
  const Buffer<double> out(3, stream_);
  const auto call = [&](std::int64_t rows, std::int64_t cols, std::int64_t stride) {
    return refusal([&] {
      per_sample_squared_norms(MatrixView<const float>(grads.data(), rows, cols, stride),
                               out.span(), stream_);
    });
  };
  EXPECT_EQ(call(4, 3, 3),
            "per_sample_squared_norms: squared_norms.size() = 3, expected grads.rows = 4");
  EXPECT_EQ(call(-1, 3, 3), "per_sample_squared_norms: grads.rows = -1, expected at least 0");
  EXPECT_EQ(call(3, -1, 3), "per_sample_squared_norms: grads.cols = -1, expected at least 0");
  EXPECT_EQ(call(3, 4, 3),
            "per_sample_squared_norms: grads.row_stride = 3, expected at least grads.cols = 4");
  EXPECT_EQ(refusal([&] {
              add_per_sample_squared_norms(MatrixView<const float>(grads.data(), 4, 3), out.span(),
                                           stream_);
            }),
            "add_per_sample_squared_norms: squared_norms.size() = 3, expected grads.rows = 4");
}

INSTANTIATE_TEST_SUITE_P(All, PerSampleSquaredNormsOnEveryBackend,
                         ::testing::ValuesIn(every_backend()), BackendName());

template <typename T>
void expect_same_for_any_threads_and_simd_width(const Shape& shape) {
  const HostMatrix<T> matrix = random_matrix<T>(shape, 17);
  const std::vector<double> expected = squared_norms_of(matrix, Stream::serial());
  on_every_simd_target([&] {
    for (const Stream& stream : differently_threaded_streams()) {
      EXPECT_EQ(squared_norms_of(matrix, stream), expected);
    }
  });
}

TEST(PerSampleSquaredNormsOnTheCpu, ResultIsTheSameForAnyNumberOfThreadsAndAnySimdWidth) {
  for (const Shape& shape : {Shape{257, 33, 33}, Shape{5, 4099, 4100},
                             Shape{1, 1'200'007, 1'200'007}, Shape{300, 9001, 9001}}) {
    expect_same_for_any_threads_and_simd_width<float>(shape);
    expect_same_for_any_threads_and_simd_width<double>(shape);
  }
}

TEST(SquaredNormError, IsTwoToTheMinus53TimesTheLongestChainOfRoundings) {
  const double u = unit_roundoff<double>();
  for (const std::int64_t params : {0, 1, 257, 100'000, 1'000'000'000}) {
    for (const std::int64_t tensors : {0, 1, 100}) {
      const std::int64_t chain =
          std::min<std::int64_t>(params, 544 + params / 262'144) + 2 + tensors;
      const double error = squared_norm_error(params, tensors);
      EXPECT_GE(error, gamma<double>(chain));
      EXPECT_LE(error, 1.02 * static_cast<double>(chain) * u);
    }
  }
  EXPECT_NEAR(squared_norm_error(1'000'000), 6.2e-14, 0.05e-14);
  EXPECT_LE(squared_norm_error(std::numeric_limits<std::int64_t>::max()), 0.5);
}

TEST(SquaredNormError, NegativeSizesAreRefused) {
  EXPECT_EQ(refusal([] { squared_norm_error(-1); }),
            "squared_norm_error: params = -1, tensors = 1, expected both at least 0");
  EXPECT_EQ(refusal([] { squared_norm_error(3, -2); }),
            "squared_norm_error: params = 3, tensors = -2, expected both at least 0");
}

}  // namespace
}  // namespace velum::kernels
