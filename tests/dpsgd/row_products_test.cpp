// Norms by the products of rows, on every SIMD target, against the gradients themselves in long
// double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "linear/gram_cpu_kernels.h"
#include "support/simd_targets.h"

namespace velum::testing {
namespace {

using dpsgd::detail::GramCpuTask;
using dpsgd::detail::OffsetRows;
using dpsgd::detail::StepRows;

constexpr std::int64_t kSamples = 3;

/// Random [sample][step][width], or [step][sample][width].
template <typename T>
struct Rows {
  Rows(std::int64_t step_count, std::int64_t row_width, bool step_first, std::uint32_t seed)
      : steps(step_count),
        width(row_width),
        sample_stride(step_first ? width : steps * width),
        step_stride(step_first ? kSamples * width : width),
        values(static_cast<std::size_t>(kSamples * steps * width)) {
    std::mt19937 bits(seed);
    std::normal_distribution<double> normal;
    std::generate(values.begin(), values.end(), [&] { return static_cast<T>(normal(bits)); });
  }

  T& at(std::int64_t sample, std::int64_t step, std::int64_t column) {
    return values[static_cast<std::size_t>(sample * sample_stride + step * step_stride + column)];
  }
  StepRows<T> by_step() const {
    StepRows<T> rows;
    rows.width = width;
    for (std::int64_t t = 0; t < steps; ++t) {
      rows.steps.push_back({values.data() + t * step_stride, sample_stride});
    }
    return rows;
  }
  OffsetRows<T> by_offset() const {
    OffsetRows<T> rows;
    rows.first = values.data();
    rows.sample_stride = sample_stride;
    rows.width = width;
    for (std::int64_t t = 0; t < steps; ++t) rows.steps.push_back(t * step_stride);
    for (std::int64_t c = 0; c < width; ++c) rows.columns.push_back(c);
    return rows;
  }

  std::int64_t steps, width, sample_stride, step_stride;
  std::vector<T> values;
};

struct Norms {
  std::vector<double> squared_norms = std::vector<double>(kSamples, -1.0);
  std::vector<double> squared_magnitudes = std::vector<double>(kSamples, -1.0);
};

template <typename T, template <typename> class Of>
Norms computed(const Of<T>& input, const Of<T>& grad) {
  Norms norms;
  GramCpuTask<T, Of> task;
  task.input = input;
  task.grad = grad;
  task.squared_norms = norms.squared_norms.data();
  task.squared_magnitudes = norms.squared_magnitudes.data();
  gram_samples_cpu(task, 0, 1);
  gram_samples_cpu(task, 1, kSamples);
  return norms;
}

template <typename T>
Norms exact(Rows<T>& input, Rows<T>& grad) {
  Norms norms;
  for (std::int64_t b = 0; b < kSamples; ++b) {
    long double norm = 0, inputs = 0, grads = 0;
    for (std::int64_t i = 0; i < input.width; ++i) {
      for (std::int64_t o = 0; o < grad.width; ++o) {
        long double of_weight = 0;
        for (std::int64_t t = 0; t < input.steps; ++t) {
          of_weight += static_cast<long double>(input.at(b, t, i)) * grad.at(b, t, o);
        }
        norm += of_weight * of_weight;
      }
    }
    for (std::int64_t t = 0; t < input.steps; ++t) {
      for (std::int64_t i = 0; i < input.width; ++i) {
        inputs += static_cast<long double>(input.at(b, t, i)) * input.at(b, t, i);
      }
      for (std::int64_t o = 0; o < grad.width; ++o) {
        grads += static_cast<long double>(grad.at(b, t, o)) * grad.at(b, t, o);
      }
    }
    norms.squared_norms[static_cast<std::size_t>(b)] = static_cast<double>(norm);
    norms.squared_magnitudes[static_cast<std::size_t>(b)] = static_cast<double>(inputs * grads);
  }
  return norms;
}

/// A term passes a rounding for each column of the two rows whose products it is made of, and for
/// each sum over pairs of steps: of a row of them, and of all rows.
void expect_near(const Norms& got, const Norms& expected, std::int64_t columns,
                 std::int64_t steps) {
  const double unit = 0x1p-53 * static_cast<double>(columns + 2 * steps + 4);
  for (std::size_t b = 0; b < kSamples; ++b) {
    const double magnitude = expected.squared_magnitudes[b];
    EXPECT_NEAR(got.squared_norms[b], expected.squared_norms[b], unit * magnitude);
    EXPECT_NEAR(got.squared_magnitudes[b], magnitude, unit * magnitude);
  }
}

// Around panels of 4 and 8 steps, tiles of two and three panels, and blocks of 64 columns.
constexpr std::int64_t kSteps[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17, 24, 25, 33, 49, 64, 65};
constexpr std::int64_t kWidths[][2] = {{1, 1}, {3, 2}, {5, 64}, {65, 7}, {130, 67}};

template <typename T>
void check_shapes(bool step_first) {
  for (const std::int64_t steps : kSteps) {
    for (const auto& [in, out] : kWidths) {
      Rows<T> input(steps, in, step_first, 1);
      Rows<T> grad(steps, out, step_first, 2);
      const Norms expected = exact(input, grad);
      for_each_simd_target(kernels::Backend::kCpu, [&, in = in, out = out] {
        SCOPED_TRACE(::testing::Message() << steps << " steps of " << in << " and " << out);
        expect_near(computed(input.by_step(), grad.by_step()), expected, in + out, steps);
        expect_near(computed(input.by_offset(), grad.by_offset()), expected, in + out, steps);
      });
    }
  }
}

TEST(RowProducts, AreNormsOfGradientsInFloat) { check_shapes<float>(/*step_first=*/false); }
TEST(RowProducts, AreNormsOfGradientsInDouble) { check_shapes<double>(/*step_first=*/false); }
TEST(RowProducts, OfStepsThatComeFirst) { check_shapes<float>(/*step_first=*/true); }

TEST(RowProducts, OfRowsWithoutColumnsAreZero) {
  Rows<float> input(9, 5, false, 1);
  Rows<float> grad(9, 0, false, 2);
  for_each_simd_target(kernels::Backend::kCpu, [&] {
    EXPECT_EQ(computed(input.by_step(), grad.by_step()).squared_norms,
              std::vector<double>(kSamples, 0.0));
  });
}

TEST(RowProducts, MagnitudesNeedNotBeAsked) {
  Rows<float> input(9, 5, false, 1);
  Rows<float> grad(9, 3, false, 2);
  std::vector<double> norms(kSamples);
  GramCpuTask<float> task;
  task.input = input.by_step();
  task.grad = grad.by_step();
  task.squared_norms = norms.data();
  for_each_simd_target(kernels::Backend::kCpu, [&] {
    gram_samples_cpu(task, 0, kSamples);
    EXPECT_EQ(norms, computed(input.by_step(), grad.by_step()).squared_norms);
  });
}

TEST(RowProducts, WithoutStepsThereIsNothingToAdd) {
  Rows<float> input(0, 5, false, 1);
  Rows<float> grad(0, 3, false, 2);
  for_each_simd_target(kernels::Backend::kCpu, [&] {
    EXPECT_EQ(computed(input.by_step(), grad.by_step()).squared_norms,
              std::vector<double>(kSamples, 0.0));
  });
}

/// The second sample is not finite, and the others are what they were.
void expect_isolation(const Norms& got, const Norms& before) {
  EXPECT_FALSE(std::isfinite(got.squared_norms[1]));
  EXPECT_FALSE(std::isfinite(got.squared_magnitudes[1]));
  for (const std::size_t b : {std::size_t{0}, std::size_t{2}}) {
    EXPECT_EQ(got.squared_norms[b], before.squared_norms[b]);
    EXPECT_EQ(got.squared_magnitudes[b], before.squared_magnitudes[b]);
  }
}

TEST(RowProducts, ANumberThatIsNotFiniteStaysWithItsSample) {
  using Limits = std::numeric_limits<float>;
  for (const float bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
    for (const std::int64_t step : {0, 5, 12}) {
      for (const bool in_grad : {false, true}) {
        Rows<float> input(13, 70, false, 1);
        Rows<float> grad(13, 9, false, 2);
        for_each_simd_target(kernels::Backend::kCpu, [&] {
          SCOPED_TRACE(::testing::Message() << bad << " in step " << step);
          float& number = in_grad ? grad.at(1, step, 8) : input.at(1, step, 69);
          const float good = number;
          const Norms by_step = computed(input.by_step(), grad.by_step());
          const Norms by_offset = computed(input.by_offset(), grad.by_offset());
          number = bad;
          expect_isolation(computed(input.by_step(), grad.by_step()), by_step);
          expect_isolation(computed(input.by_offset(), grad.by_offset()), by_offset);
          number = good;
        });
      }
    }
  }
}

}  // namespace
}  // namespace velum::testing
