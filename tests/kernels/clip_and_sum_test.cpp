#include "velum/kernels/gradients/clip_and_sum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "kernels/gradients_fixture.h"
#include "support/tolerance.h"
#include "velum/kernels/gradients/per_sample_norms.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

constexpr double kClippingNorm = 10.0;

/// The types of a sum: gradients and accumulator.
struct FloatToFloat {
  using Grad = float;
  using Sum = float;
};
struct FloatToDouble {
  using Grad = float;
  using Sum = double;
};
struct DoubleToDouble {
  using Grad = double;
  using Sum = double;
};
template <typename Body>
void for_each_type(const Body& body) {
  {
    SCOPED_TRACE("float to float");
    body(FloatToFloat());
  }
  {
    SCOPED_TRACE("float to double");
    body(FloatToDouble());
  }
  {
    SCOPED_TRACE("double to double");
    body(DoubleToDouble());
  }
}

template <typename T>
std::vector<double> squared_norms_of(const HostMatrix<T>& matrix, const Stream& stream) {
  GuardedBuffer<double> squared_norms(matrix.rows, stream);
  per_sample_squared_norms(DeviceMatrix<T>(matrix, stream).view(), squared_norms.span(), stream);
  return squared_norms.to_host();
}

template <typename Sum, typename T>
std::vector<Sum> clipped_sum_of(const HostMatrix<T>& matrix,
                                const std::vector<double>& squared_norms,
                                const ClippingBound& bound, const Stream& stream) {
  const DeviceMatrix<T> grads(matrix, stream);
  const GuardedBuffer<double> norms(squared_norms, stream);
  GuardedBuffer<Sum> out(matrix.cols, stream);
  clip_and_sum(grads.view(), norms.span(), bound, out.span(), stream);
  EXPECT_TRUE(out.margins_are_intact());
  return out.to_host();
}

/// Measured, clipped to kClippingNorm and summed.
template <typename Sum, typename T>
std::vector<Sum> clipped_sum_of(const HostMatrix<T>& matrix, const Stream& stream) {
  return clipped_sum_of<Sum>(matrix, squared_norms_of(matrix, stream),
                             {kClippingNorm, squared_norm_error(matrix.cols)}, stream);
}

/// How far a computed sum of `rows` rows may lie from the exact one, in L2 and units of C, by
/// docs/numerics.md, "Clipped sums". A coordinate of a sum in double has passed at most rows + 4
/// roundings; then it is rounded to Sum.
template <typename Sum>
double sum_error(std::int64_t rows) {
  const double in_double = gamma<double>(rows + 4) * static_cast<double>(rows);
  if (std::is_same_v<Sum, double>) return in_double;
  return in_double + unit_roundoff<float>() * static_cast<double>(rows) * (1 + in_double);
}

template <typename T>
HostMatrix<T> without_row(const HostMatrix<T>& matrix, std::int64_t removed) {
  HostMatrix<T> rest(matrix.rows - 1, matrix.cols, matrix.stride, T(0));
  for (std::int64_t row = 0, to = 0; row < matrix.rows; ++row) {
    if (row == removed) continue;
    for (std::int64_t col = 0; col < matrix.cols; ++col) rest.at(to, col) = matrix.at(row, col);
    ++to;
  }
  return rest;
}

template <typename T>
HostMatrix<T> with_row(HostMatrix<T> matrix, std::int64_t row, T value) {
  for (std::int64_t col = 0; col < matrix.cols; ++col) matrix.at(row, col) = value;
  return matrix;
}

template <typename Sum>
Exact squared_distance(const std::vector<Sum>& a, const std::vector<Sum>& b) {
  Exact sum;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const Exact difference = Exact(static_cast<double>(a[i])) - Exact(static_cast<double>(b[i]));
    sum += difference * difference;
  }
  return sum;
}

class ClipAndSumOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

TEST_P(ClipAndSumOnEveryBackend, SumsTheRowsScaledToAtMostC) {
  for_each_type([&](auto types) {
    using T = typename decltype(types)::Grad;
    using Sum = typename decltype(types)::Sum;
    unsigned seed = 1;
    for (const Shape& shape : gradient_shapes(GetParam())) {
      const HostMatrix<T> matrix = random_matrix<T>(shape, seed++);
      std::vector<long double> magnitudes;
      const std::vector<long double> expected = clipped_sum(matrix, kClippingNorm, &magnitudes);
      const std::vector<Sum> computed = clipped_sum_of<Sum>(matrix, stream_);
      // A factor is rounded down to T (at most 2 u, with the root), after a margin of half the
      // squared norm's error, which is then in error itself; then the roundings of the sum.
      const double factor_error =
          2 * unit_roundoff<T>() + 4 * unit_roundoff<double>() + squared_norm_error(matrix.cols);
      const double chain = gamma<double>(matrix.rows + 4);
      for (std::size_t col = 0; col < computed.size(); ++col) {
        const long double bound = (factor_error + chain) * magnitudes[col] * 1.001L +
                                  unit_roundoff<Sum>() * std::abs(expected[col]);
        ASSERT_LE(std::abs(computed[col] - expected[col]), bound)
            << "[" << shape.rows << ", " << shape.cols << "] column " << col;
      }
    }
  });
}

TEST_P(ClipAndSumOnEveryBackend, TheErrorOfTheSumIsWithinItsBound) {
  for_each_type([&](auto types) {
    using T = typename decltype(types)::Grad;
    using Sum = typename decltype(types)::Sum;
    const HostMatrix<T> matrix = random_matrix<T>({257, 33, 33}, 3);
    const std::vector<double> norms = squared_norms_of(matrix, stream_);
    const ClippingBound bound{kClippingNorm, squared_norm_error(33)};
    const GuardedBuffer<double> in(norms, stream_);
    GuardedBuffer<T> factors(257, stream_);
    clip_factors(in.span(), bound, factors.span(), stream_);
    const std::vector<T> factor = factors.to_host();
    const std::vector<Sum> computed = clipped_sum_of<Sum>(matrix, norms, bound, stream_);
    std::vector<Exact> errors;
    for (std::int64_t col = 0; col < 33; ++col) {
      Exact exact;
      for (std::int64_t row = 0; row < 257; ++row) {
        exact += Exact(static_cast<double>(factor[static_cast<std::size_t>(row)])) *
                 Exact(static_cast<double>(matrix.at(row, col)));
      }
      errors.push_back(Exact(static_cast<double>(computed[static_cast<std::size_t>(col)])) - exact);
    }
    const Exact allowed(kClippingNorm * sum_error<Sum>(257));
    EXPECT_TRUE(exact_squared_norm(errors) <= allowed * allowed);
  });
}

// One row: the sum is that row, and in double no addition rounds.
TEST_P(ClipAndSumOnEveryBackend, ClippedRowsNeverExceedC) {
  const Exact squared_c(kClippingNorm * kClippingNorm);
  for (unsigned seed = 0; seed < 40; ++seed) {
    const std::int64_t cols = 1 + static_cast<std::int64_t>(seed) * 29;
    const HostMatrix<float> matrix = random_matrix<float>({1, cols, cols}, seed);
    std::vector<Exact> scaled;
    for (const double value : clipped_sum_of<double>(matrix, stream_)) scaled.emplace_back(value);
    EXPECT_TRUE(exact_squared_norm(scaled) <= squared_c)
        << exact_squared_norm(scaled).approximate();
  }
}

/// Whatever one row is replaced by, and when it is removed, the sum moves by at most C, or by 2 C
/// where a row that counted is replaced by another, up to the rounding of the two sums.
TEST_P(ClipAndSumOnEveryBackend, NeighbouringBatchesMoveTheSumByAtMostC) {
  for_each_type([&](auto types) {
    using T = typename decltype(types)::Grad;
    using Sum = typename decltype(types)::Sum;
    constexpr T kInfinity = std::numeric_limits<T>::infinity();
    for (const Shape& shape : {Shape{1, 33, 33}, Shape{33, 257, 260}, Shape{257, 31, 31}}) {
      const HostMatrix<T> matrix = random_matrix<T>(shape, 21);
      const double rounding = 2 * sum_error<Sum>(shape.rows);
      const Exact one(kClippingNorm * (1 + rounding));
      const Exact two(kClippingNorm * (2 + rounding));
      const std::vector<Sum> sum = clipped_sum_of<Sum>(matrix, stream_);
      for (const std::int64_t row : {std::int64_t{0}, shape.rows / 2, shape.rows - 1}) {
        const std::vector<Sum> removed = clipped_sum_of<Sum>(without_row(matrix, row), stream_);
        EXPECT_TRUE(squared_distance(sum, removed) <= one * one);
        // A row that is left out leaves what removing it leaves.
        for (const T value : {std::numeric_limits<T>::quiet_NaN(), kInfinity, -kInfinity}) {
          const std::vector<Sum> bad = clipped_sum_of<Sum>(with_row(matrix, row, value), stream_);
          EXPECT_TRUE(squared_distance(bad, removed) <=
                      Exact(kClippingNorm * rounding) * Exact(kClippingNorm * rounding));
          EXPECT_TRUE(squared_distance(bad, sum) <= one * one);
        }
        const T huge = std::is_same_v<T, float> ? std::numeric_limits<T>::max() : T(1e150);
        for (const T value : {T(0), T(1e-30), T(-3e15), huge}) {
          const std::vector<Sum> other = clipped_sum_of<Sum>(with_row(matrix, row, value), stream_);
          EXPECT_TRUE(squared_distance(other, removed) <= one * one);
          EXPECT_TRUE(squared_distance(other, sum) <= two * two);
        }
      }
    }
  });
}

TEST_P(ClipAndSumOnEveryBackend, ARowWhoseFactorIsZeroMayHoldAnything) {
  for_each_type([&](auto types) {
    using T = typename decltype(types)::Grad;
    using Sum = typename decltype(types)::Sum;
    const HostMatrix<T> clean = with_row(random_matrix<T>({37, 70, 70}, 23), 9, T(0));
    std::vector<double> norms = squared_norms_of(clean, stream_);
    const ClippingBound bound{kClippingNorm, squared_norm_error(70)};
    const std::vector<Sum> expected = clipped_sum_of<Sum>(clean, norms, bound, stream_);
    for (const double norm : {std::numeric_limits<double>::quiet_NaN(),
                              std::numeric_limits<double>::infinity(), -1.0}) {
      norms[9] = norm;
      for (const T value :
           {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity(), T(1)}) {
        EXPECT_EQ(clipped_sum_of<Sum>(with_row(clean, 9, value), norms, bound, stream_), expected);
      }
    }
  });
}

TEST_P(ClipAndSumOnEveryBackend, AnEmptyBatchGivesZeros) {
  for_each_type([&](auto types) {
    using T = typename decltype(types)::Grad;
    using Sum = typename decltype(types)::Sum;
    for (const std::int64_t cols : {0, 1, 33, 5000}) {
      EXPECT_EQ(clipped_sum_of<Sum>(HostMatrix<T>(0, cols, cols, T(0)), stream_),
                std::vector<Sum>(static_cast<std::size_t>(cols), Sum(0)));
    }
  });
}

TEST_P(ClipAndSumOnEveryBackend, AddingAddsToWhatOutHolds) {
  for_each_type([&](auto types) {
    using T = typename decltype(types)::Grad;
    using Sum = typename decltype(types)::Sum;
    for (const Shape& shape : {Shape{0, 33, 33}, Shape{33, 257, 260}, Shape{257, 2500, 2500}}) {
      const HostMatrix<T> matrix = random_matrix<T>(shape, 25);
      const std::vector<double> norms = squared_norms_of(matrix, stream_);
      const ClippingBound bound{kClippingNorm, squared_norm_error(shape.cols)};
      const std::vector<double> alone = clipped_sum_of<double>(matrix, norms, bound, stream_);
      std::vector<Sum> before(alone.size());
      for (std::size_t col = 0; col < before.size(); ++col) {
        before[col] = static_cast<Sum>(0.1 * static_cast<double>(col + 1));
      }
      const DeviceMatrix<T> grads(matrix, stream_);
      const GuardedBuffer<double> in(norms, stream_);
      GuardedBuffer<Sum> out(before, stream_);
      add_clip_and_sum(grads.view(), in.span(), bound, out.span(), stream_);
      EXPECT_TRUE(out.margins_are_intact());
      const std::vector<Sum> after = out.to_host();
      for (std::size_t col = 0; col < before.size(); ++col) {
        const double expected = static_cast<double>(before[col]) + alone[col];
        // Every partial sum is at most |before| + rows * C.
        const double magnitude = std::abs(static_cast<double>(before[col])) +
                                 kClippingNorm * static_cast<double>(shape.rows);
        const double allowed = 2 * gamma<double>(shape.rows + 5) * magnitude +
                               unit_roundoff<Sum>() * std::abs(expected) * 1.001;
        ASSERT_NEAR(static_cast<double>(after[col]), expected, allowed);
        if (shape.rows == 0) {
          ASSERT_EQ(after[col], before[col]);
        }
      }
    }
  });
}

TEST_P(ClipAndSumOnEveryBackend, MicroBatchesSumToTheLogicalBatch) {
  for_each_type([&](auto types) {
    using T = typename decltype(types)::Grad;
    using Sum = typename decltype(types)::Sum;
    const HostMatrix<T> matrix = random_matrix<T>({100, 300, 300}, 27);
    const std::vector<double> norms = squared_norms_of(matrix, stream_);
    const ClippingBound bound{kClippingNorm, squared_norm_error(300)};
    const std::vector<Sum> whole = clipped_sum_of<Sum>(matrix, norms, bound, stream_);
    const DeviceMatrix<T> grads(matrix, stream_);
    const GuardedBuffer<double> in(norms, stream_);
    GuardedBuffer<Sum> out(300, stream_);
    const std::int64_t cuts[] = {0, 1, 33, 33, 90, 100};
    for (int i = 0; i < 5; ++i) {
      const std::int64_t rows = cuts[i + 1] - cuts[i];
      const MatrixView<const T> part(grads.view().data + cuts[i] * 300, rows, 300);
      const Span<const double> part_norms(in.span().data() + cuts[i], rows);
      if (i == 0) {
        clip_and_sum(part, part_norms, bound, out.span(), stream_);
      } else {
        add_clip_and_sum(part, part_norms, bound, out.span(), stream_);
      }
    }
    const std::vector<Sum> parts = out.to_host();
    const Exact allowed(2 * kClippingNorm * (sum_error<Sum>(104) + 4 * 100 * unit_roundoff<Sum>()));
    EXPECT_TRUE(squared_distance(whole, parts) <= allowed * allowed);
    if (GetParam() == Backend::kCpu && std::is_same_v<Sum, double>) {
      EXPECT_EQ(whole, parts);  // in index order, whatever the cuts
    }
  });
}

TEST_P(ClipAndSumOnEveryBackend, MeasureClipAndSumIsTheTwoCalls) {
  for_each_type([&](auto types) {
    using T = typename decltype(types)::Grad;
    using Sum = typename decltype(types)::Sum;
    for (const Shape& shape : {Shape{0, 4, 4}, Shape{33, 257, 260}, Shape{2, 3000, 3000}}) {
      const HostMatrix<T> matrix = random_matrix<T>(shape, 29);
      const DeviceMatrix<T> grads(matrix, stream_);
      GuardedBuffer<double> norms(shape.rows, stream_);
      GuardedBuffer<Sum> out(shape.cols, stream_);
      measure_clip_and_sum(grads.view(), kClippingNorm, norms.span(), out.span(), stream_);
      EXPECT_EQ(out.to_host(), clipped_sum_of<Sum>(matrix, stream_));
      EXPECT_EQ(norms.to_host(), squared_norms_of(matrix, stream_));
      EXPECT_TRUE(norms.margins_are_intact());
      EXPECT_TRUE(out.margins_are_intact());
    }
  });
}

/// The sums in the order that the header states, term by term.
template <typename Sum, typename T>
std::vector<Sum> summed_in_stated_order(const HostMatrix<T>& matrix, const std::vector<T>& factors,
                                        Backend backend) {
  std::vector<Sum> out;
  const std::size_t classes = backend == Backend::kCpu ? 1 : 16;
  for (std::int64_t col = 0; col < matrix.cols; ++col) {
    std::vector<double> sums(classes, 0.0);
    for (std::int64_t row = 0; row < matrix.rows; ++row) {
      const auto sample = static_cast<std::size_t>(row);
      const auto factor = static_cast<double>(factors[sample]);
      const auto value = static_cast<double>(matrix.at(row, col));
      double& sum = sums[sample % classes];
      // On the CPU the product is rounded, if it needs to be; on CUDA it is fused.
      sum = backend == Backend::kCpu ? sum + factor * value : std::fma(factor, value, sum);
    }
    for (std::size_t half = classes / 2; half > 0; half /= 2) {
      for (std::size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
    }
    out.push_back(static_cast<Sum>(sums[0]));
  }
  return out;
}

TEST_P(ClipAndSumOnEveryBackend, SumsInTheStatedOrder) {
  for_each_type([&](auto types) {
    using T = typename decltype(types)::Grad;
    using Sum = typename decltype(types)::Sum;
    for (const Shape& shape : {Shape{5, 33, 33}, Shape{257, 70, 71}, Shape{1100, 65, 65}}) {
      const HostMatrix<T> matrix = random_matrix<T>(shape, 31);
      const std::vector<double> norms = squared_norms_of(matrix, stream_);
      const ClippingBound bound{kClippingNorm, squared_norm_error(shape.cols)};
      const GuardedBuffer<double> in(norms, stream_);
      GuardedBuffer<T> factors(shape.rows, stream_);
      clip_factors(in.span(), bound, factors.span(), stream_);
      EXPECT_EQ(clipped_sum_of<Sum>(matrix, norms, bound, stream_),
                summed_in_stated_order<Sum>(matrix, factors.to_host(), GetParam()));
    }
  });
}

TEST_P(ClipAndSumOnEveryBackend, ResultIsTheSameRunToRun) {
  for_each_type([&](auto types) {
    using T = typename decltype(types)::Grad;
    using Sum = typename decltype(types)::Sum;
    const HostMatrix<T> matrix = random_matrix<T>({300, 3000, 3001}, 33);
    EXPECT_EQ(clipped_sum_of<Sum>(matrix, stream_), clipped_sum_of<Sum>(matrix, stream_));
  });
}

TEST_P(ClipAndSumOnEveryBackend, ValuesOutOfRangeAreRefused) {
  const Buffer<float> grads(12, stream_);
  const Buffer<double> norms(4, stream_);
  const Buffer<float> out(3, stream_);
  const auto call = [&](std::int64_t rows, std::int64_t cols, std::int64_t stride,
                        ClippingBound bound, std::int64_t norm_count, std::int64_t out_count) {
    return refusal([&] {
      clip_and_sum(MatrixView<const float>(grads.data(), rows, cols, stride),
                   Span<const double>(norms.data(), norm_count), bound,
                   Span<float>(out.data(), out_count), stream_);
    });
  };
  EXPECT_EQ(call(4, 3, 3, {1, 0}, 3, 3),
            "clip_and_sum: squared_norms.size() = 3, expected grads.rows = 4");
  EXPECT_EQ(call(4, 3, 3, {1, 0}, 4, 2), "clip_and_sum: out.size() = 2, expected grads.cols = 3");
  EXPECT_EQ(call(4, 3, 2, {1, 0}, 4, 3),
            "clip_and_sum: grads.row_stride = 2, expected at least grads.cols = 3");
  EXPECT_EQ(call(-4, 3, 3, {1, 0}, 4, 3), "clip_and_sum: grads.rows = -4, expected at least 0");
  EXPECT_EQ(call(4, -3, 3, {1, 0}, 4, 3), "clip_and_sum: grads.cols = -3, expected at least 0");
  EXPECT_EQ(call(4, 3, 3, {-1, 0}, 4, 3),
            "clip_and_sum: clipping_norm = -1, expected finite and >= 2^-400");
  EXPECT_EQ(call(4, 3, 3, {1, 0.75}, 4, 3),
            "clip_and_sum: squared_norm_error = 0.75, expected 0 to 0.5");
  EXPECT_EQ(refusal([&] {
              add_clip_and_sum(MatrixView<const float>(grads.data(), 4, 3), norms.span(), {1, 0},
                               Span<float>(out.data(), 1), stream_);
            }),
            "add_clip_and_sum: out.size() = 1, expected grads.cols = 3");
  EXPECT_EQ(refusal([&] {
              measure_clip_and_sum(MatrixView<const float>(grads.data(), 4, 3), 0, norms.span(),
                                   out.span(), stream_);
            }),
            "measure_clip_and_sum: clipping_norm = 0, expected finite and >= 2^-400");
}

INSTANTIATE_TEST_SUITE_P(All, ClipAndSumOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(ClipAndSumOnTheCpu, ResultIsTheSameForAnyNumberOfThreadsAndAnySimdWidth) {
  for_each_type([&](auto types) {
    using T = typename decltype(types)::Grad;
    using Sum = typename decltype(types)::Sum;
    for (const Shape& shape : {Shape{257, 33, 33}, Shape{7, 5003, 5003}, Shape{600, 4097, 4100}}) {
      const HostMatrix<T> matrix = random_matrix<T>(shape, 35);
      const std::vector<Sum> expected = clipped_sum_of<Sum>(matrix, Stream::serial());
      on_every_simd_target([&] {
        for (const Stream& stream : differently_threaded_streams()) {
          EXPECT_EQ(clipped_sum_of<Sum>(matrix, stream), expected);
        }
      });
    }
  });
}

}  // namespace
}  // namespace velum::kernels
