#include "velum/kernels/gradients/clip_sum_noise_scale.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/gradients_fixture.h"
#include "velum/kernels/gradients/add_gaussian_noise.h"
#include "velum/kernels/gradients/clip_and_sum.h"
#include "velum/kernels/gradients/per_sample_norms.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

const RandomKey kKey = insecure_key_from_seed(2);
constexpr RandomPosition kPosition{Purpose::kTest, 0, 7, 1};
constexpr double kClippingNorm = 10.0;
constexpr double kDeviation = 11.0;
constexpr double kDivisor = 32.0;

const Shape kShapes[] = {{0, 33, 33},       {1, 1, 1},           {1, 64, 64},    {33, 65, 70},
                         {257, 127, 127},   {32, 128, 128},      {31, 129, 129}, {600, 300, 300},
                         {7, 5'003, 5'003}, {40, 30'011, 30'011}};

/// Gradients on the backend with their measured norms.
template <typename T>
struct MicroBatch {
  MicroBatch(const HostMatrix<T>& matrix, const Stream& stream)
      : grads(matrix, stream),
        squared_norms(matrix.rows, stream),
        bound{kClippingNorm, squared_norm_error(matrix.cols)} {
    per_sample_squared_norms(grads.view(), squared_norms.span(), stream);
  }
  DeviceMatrix<T> grads;
  GuardedBuffer<double> squared_norms;
  ClippingBound bound;
};

std::vector<double> earlier_sum(std::int64_t cols) {
  return random_matrix<double>({1, cols, cols}, 5).values;
}

template <typename To, typename From>
std::vector<To> converted(const std::vector<From>& values) {
  return {values.begin(), values.end()};
}

/// The three operations one after the other, the sum in double throughout.
template <typename Out, typename T>
std::vector<Out> step_by_step(const MicroBatch<T>& batch, const std::vector<double>& previous,
                              const Stream& stream) {
  const GuardedBuffer<double> sum(previous, stream);
  add_clip_and_sum(batch.grads.view(), batch.squared_norms.span(), batch.bound, sum.span(), stream);
  if constexpr (std::is_same_v<Out, double>) {
    add_gaussian_noise(sum.span(), kDeviation, kDivisor, kKey, kPosition, stream);
    return sum.to_host();
  } else {
    const GuardedBuffer<float> out(static_cast<std::int64_t>(previous.size()), stream);
    add_gaussian_noise(Span<const double>(sum.span()), kDeviation, kDivisor, kKey, kPosition,
                       out.span(), stream);
    return out.to_host();
  }
}

template <typename Out, typename Previous, typename T>
std::vector<Out> in_one_call(const MicroBatch<T>& batch, const std::vector<Previous>& previous,
                             const Stream& stream) {
  const GuardedBuffer<Previous> in(previous, stream);
  const GuardedBuffer<Out> out(batch.grads.view().cols, stream);
  clip_sum_noise_scale(batch.grads.view(), batch.squared_norms.span(), batch.bound,
                       Span<const Previous>(in.span()), kDeviation, kDivisor, kKey, kPosition,
                       out.span(), stream);
  EXPECT_TRUE(in.margins_are_intact());
  EXPECT_TRUE(out.margins_are_intact());
  return out.to_host();
}

class ClipSumNoiseScaleOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

TEST_P(ClipSumNoiseScaleOnEveryBackend, GivesTheBitsOfAddClipAndSumIntoDoubleAndAddGaussianNoise) {
  for (const Shape& shape : kShapes) {
    const MicroBatch<float> floats(random_matrix<float>(shape, 11), stream_);
    const MicroBatch<double> doubles(random_matrix<double>(shape, 13), stream_);
    const std::vector<double> previous = earlier_sum(shape.cols);
    const auto previous_float = converted<float>(previous);
    EXPECT_EQ((in_one_call<float>(floats, previous, stream_)),
              (step_by_step<float>(floats, previous, stream_)));
    EXPECT_EQ((in_one_call<float>(floats, previous_float, stream_)),
              (step_by_step<float>(floats, converted<double>(previous_float), stream_)));
    EXPECT_EQ((in_one_call<double>(doubles, previous, stream_)),
              (step_by_step<double>(doubles, previous, stream_)));
  }
}

TEST_P(ClipSumNoiseScaleOnEveryBackend, PreviousOfSizeZeroMeansThereWereNone) {
  for (const Shape& shape : kShapes) {
    const MicroBatch<float> floats(random_matrix<float>(shape, 15), stream_);
    const MicroBatch<double> doubles(random_matrix<double>(shape, 17), stream_);
    const std::vector<double> zeros(static_cast<std::size_t>(shape.cols), 0.0);
    EXPECT_EQ((in_one_call<float>(floats, std::vector<double>(), stream_)),
              (in_one_call<float>(floats, zeros, stream_)));
    EXPECT_EQ((in_one_call<float>(floats, std::vector<float>(), stream_)),
              (in_one_call<float>(floats, converted<float>(zeros), stream_)));
    EXPECT_EQ((in_one_call<double>(doubles, std::vector<double>(), stream_)),
              (in_one_call<double>(doubles, zeros, stream_)));
  }
}

TEST_P(ClipSumNoiseScaleOnEveryBackend, PreviousMayBeOutItself) {
  const Shape shape{33, 3001, 3001};
  const MicroBatch<float> batch(random_matrix<float>(shape, 19), stream_);
  const auto previous = converted<float>(earlier_sum(shape.cols));
  const GuardedBuffer<float> out(previous, stream_);
  clip_sum_noise_scale(batch.grads.view(), batch.squared_norms.span(), batch.bound,
                       Span<const float>(out.span()), kDeviation, kDivisor, kKey, kPosition,
                       out.span(), stream_);
  EXPECT_EQ(out.to_host(), (in_one_call<float>(batch, previous, stream_)));
  EXPECT_TRUE(out.margins_are_intact());
}

TEST_P(ClipSumNoiseScaleOnEveryBackend, AnEmptyBatchIsNoisedLikeAnyOther) {
  const MicroBatch<float> batch(HostMatrix<float>(0, 1000, 1000, 0.0f), stream_);
  GuardedBuffer<float> noise(std::vector<float>(1000, 0.0f), stream_);
  add_gaussian_noise(noise.span(), kDeviation, kDivisor, kKey, kPosition, stream_);
  EXPECT_EQ((in_one_call<float>(batch, std::vector<float>(), stream_)), noise.to_host());
}

TEST_P(ClipSumNoiseScaleOnEveryBackend, RowsWhoseNormIsNotFiniteAreLeftOut) {
  HostMatrix<float> matrix = random_matrix<float>({33, 200, 200}, 21);
  for (std::int64_t col = 0; col < 200; ++col) matrix.at(5, col) = 0.0f;
  const std::vector<float> clean =
      in_one_call<float>(MicroBatch<float>(matrix, stream_), std::vector<double>(), stream_);
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    matrix.at(5, 77) = value;
    EXPECT_EQ(
        (in_one_call<float>(MicroBatch<float>(matrix, stream_), std::vector<double>(), stream_)),
        clean);
  }
}

TEST_P(ClipSumNoiseScaleOnEveryBackend, ValuesOutOfRangeAreRefused) {
  const Buffer<float> grads(12, stream_);
  const Buffer<double> norms(4, stream_);
  const Buffer<float> out(3, stream_);
  const auto call = [&](std::int64_t norm_count, std::int64_t out_count, std::int64_t previous,
                        ClippingBound bound, double deviation, double divisor) {
    return refusal([&] {
      clip_sum_noise_scale(MatrixView<const float>(grads.data(), 4, 3),
                           Span<const double>(norms.data(), norm_count), bound,
                           Span<const float>(out.data(), previous), deviation, divisor, kKey,
                           kPosition, Span<float>(out.data(), out_count), stream_);
    });
  };
  EXPECT_EQ(call(3, 3, 3, {1, 0}, 1, 1),
            "clip_sum_noise_scale: squared_norms.size() = 3, expected grads.rows = 4");
  EXPECT_EQ(call(4, 2, 3, {1, 0}, 1, 1),
            "clip_sum_noise_scale: out.size() = 2, expected grads.cols = 3");
  EXPECT_EQ(call(4, 3, 2, {1, 0}, 1, 1),
            "clip_sum_noise_scale: previous.size() = 2, expected grads.cols = 3");
  EXPECT_EQ(call(4, 3, 3, {-1, 0}, 1, 1),
            "clip_sum_noise_scale: clipping_norm = -1, expected finite and >= 2^-400");
  EXPECT_EQ(call(4, 3, 3, {1, 2}, 1, 1),
            "clip_sum_noise_scale: squared_norm_error = 2, expected 0 to 0.5");
  EXPECT_EQ(call(4, 3, 3, {1, 0}, -1, 1),
            "clip_sum_noise_scale: standard_deviation = -1, expected finite and >= 0");
  EXPECT_EQ(call(4, 3, 3, {1, 0}, 1, 0),
            "clip_sum_noise_scale: divisor = 0, expected finite and > 0");
  EXPECT_THROW(
      clip_sum_noise_scale(MatrixView<const float>(grads.data(), 4, 3), norms.span(), {1, 0},
                           Span<const float>(), 1, 1, kKey,
                           {Purpose::kTest, 0, StreamLayout::kMaxStep + 1, 0}, out.span(), stream_),
      std::out_of_range);
}

INSTANTIATE_TEST_SUITE_P(All, ClipSumNoiseScaleOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(ClipSumNoiseScaleOnTheCpu, ResultIsTheSameForAnyNumberOfThreadsAndAnySimdWidth) {
  const HostMatrix<float> matrix = random_matrix<float>({100, 9001, 9001}, 23);
  const std::vector<double> previous = earlier_sum(9001);
  const MicroBatch<float> batch(matrix, Stream::serial());
  const std::vector<float> expected = in_one_call<float>(batch, previous, Stream::serial());
  on_every_simd_target([&] {
    for (const Stream& stream : differently_threaded_streams()) {
      EXPECT_EQ((in_one_call<float>(batch, previous, stream)), expected);
    }
  });
}

}  // namespace
}  // namespace velum::kernels
