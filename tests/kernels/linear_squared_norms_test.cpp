#include "velum/kernels/gradients/linear_squared_norms.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "gradients/clamp_at_zero.h"
#include "kernels/product_tiles_fixture.h"
#include "kernels/products_fixture.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

constexpr LinearNormForm kForms[] = {LinearNormForm::kOuter, LinearNormForm::kTile,
                                     LinearNormForm::kGram};

/// How a sequence lies in memory.
struct Layout {
  std::vector<std::size_t> order;
  std::int64_t gap;
};
const Layout kTight{{0, 1, 2}, 0};
const Layout kWithGaps{{0, 1, 2}, 3};
const Layout kTimeMajor{{1, 0, 2}, 0};

struct LinearCase {
  std::int64_t batch;
  std::int64_t steps;
  std::int64_t inputs;
  std::int64_t outputs;
};

std::ostream& operator<<(std::ostream& os, const LinearCase& c) {
  return os << "[" << c.batch << ", " << c.steps << "] x " << c.inputs << " -> " << c.outputs;
}

/// Small sizes in every place; tiles that are full, cut, and many; chunks of steps likewise.
const LinearCase kCases[] = {
    {0, 3, 2, 2},    {2, 0, 3, 3},      {2, 3, 0, 4},     {2, 3, 4, 0},    {1, 1, 1, 1},
    {3, 1, 33, 31},  {2, 2, 32, 1},     {33, 3, 1, 5},    {2, 31, 7, 33},  {2, 32, 31, 9},
    {2, 33, 17, 8},  {1, 130, 16, 9},   {1, 129, 40, 64}, {2, 33, 65, 66}, {1, 70, 68, 60},
    {3, 7, 64, 64},  {1, 257, 5, 3},    {1, 64, 16, 36},  {1, 65, 8, 20},  {1, 97, 48, 33},
    {1, 128, 4, 70}, {1, 40, 130, 129},
};

template <typename T>
struct Sequences {
  HostTensor<T> activations;
  HostTensor<T> grads;

  Sequences(const LinearCase& c, const Layout& layout, unsigned seed)
      : activations(random_tensor<T>({c.batch, c.steps, c.inputs}, layout.order, layout.gap, seed)),
        grads(random_tensor<T>({c.batch, c.steps, c.outputs}, layout.order, layout.gap, seed + 1)) {
  }
};

template <typename T>
SequenceView<const T> view_of(const HostTensor<T>& tensor, const Buffer<T>& memory) {
  return {memory.data(),   tensor.sizes[0],   tensor.sizes[1],
          tensor.sizes[2], tensor.strides[0], tensor.strides[1]};
}

/// The squared norms, and a check of the margins of output and workspace. Inputs have none, so that
/// the emulated device sees a read beyond their ends.
template <typename T>
std::vector<double> squared_norms_of(LinearNormForm form, const Sequences<T>& sequences,
                                     const Stream& stream) {
  const Buffer<T> activations = to_backend(sequences.activations.values, stream);
  const Buffer<T> grads = to_backend(sequences.grads.values, stream);
  const std::int64_t batch = sequences.grads.sizes[0];
  const GuardedBuffer<double> squared_norms(batch, stream);
  const GuardedBuffer<double> workspace(
      linear_squared_norms_workspace_size(form, batch, sequences.grads.sizes[1],
                                          sequences.activations.sizes[2], sequences.grads.sizes[2],
                                          stream),
      stream);
  linear_squared_norms(form, view_of(sequences.activations, activations),
                       view_of(sequences.grads, grads), squared_norms.span(), workspace.span(),
                       stream);
  EXPECT_TRUE(squared_norms.margins_are_intact());
  EXPECT_TRUE(workspace.margins_are_intact());
  return squared_norms.to_host();
}

class LinearSquaredNormsOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

/// ||rows of the sample||^2.
template <typename T>
long double squared_norm_of(const HostTensor<T>& tensor, std::int64_t sample) {
  long double sum = 0;
  for (std::int64_t t = 0; t < tensor.sizes[1]; ++t) {
    for (std::int64_t i = 0; i < tensor.sizes[2]; ++i) {
      const long double value = tensor.at({sample, t, i});
      sum += value * value;
    }
  }
  return sum;
}

template <typename T>
void expect_within_bounds(LinearNormForm form, const LinearCase& c, const Layout& layout,
                          const Stream& stream) {
  SCOPED_TRACE(::testing::Message() << c << " form " << static_cast<int>(form));
  const Sequences<T> sequences(c, layout, 7);
  const std::vector<ReferenceNorm> expected =
      linear_reference_norms(sequences.activations, sequences.grads);
  std::vector<double> computed;
  with_all_product_tiles(stream, [&] {
    computed = squared_norms_of(form, sequences, stream);
    ASSERT_EQ(computed.size(), expected.size());
    for (std::size_t b = 0; form == LinearNormForm::kTile && b < expected.size(); ++b) {
      expect_norm_within(computed[b], expected[b], product_error<T>(c.steps), c.inputs * c.outputs);
    }
  });
  for (std::size_t b = 0; b < expected.size(); ++b) {
    const auto sample = static_cast<std::int64_t>(b);
    if (form == LinearNormForm::kTile) {
      // The bound in terms of ||A|| ||G|| is no smaller.
      EXPECT_LE(expected[b].squared_magnitude, (1 + 0x1p-50L) *
                                                   squared_norm_of(sequences.activations, sample) *
                                                   squared_norm_of(sequences.grads, sample));
      continue;
    }
    const long double scale =
        squared_norm_of(sequences.activations, sample) * squared_norm_of(sequences.grads, sample);
    const double gram = 1.01 * static_cast<double>(c.inputs + c.outputs + c.steps * c.steps + 1) *
                        unit_roundoff<double>();
    const double outer = 2 * squared_norm_error(std::max(c.inputs, c.outputs), 2);
    const long double error =
        form == LinearNormForm::kGram ? gram * scale : outer * expected[b].squared_norm;
    EXPECT_LE(std::abs(computed[b] - expected[b].squared_norm), error + 0x1p-58L * scale);
    EXPECT_GE(computed[b], 0);
  }
}

TEST_P(LinearSquaredNormsOnEveryBackend, ErrorIsWithinTheBoundOfTheForm) {
  for (const LinearNormForm form : kForms) {
    for (const LinearCase& c : kCases) {
      if (form == LinearNormForm::kOuter && c.steps != 1) continue;
      expect_within_bounds<float>(form, c, kTight, stream_);
      expect_within_bounds<double>(form, c, kTight, stream_);
    }
  }
  expect_within_bounds<float>(LinearNormForm::kOuter, {33, 1, 257, 10}, kTight, stream_);
}

TEST_P(LinearSquaredNormsOnEveryBackend, ViewsMayHaveGapsAndLieTimeMajor) {
  for (const Layout& layout : {kWithGaps, kTimeMajor}) {
    expect_within_bounds<float>(LinearNormForm::kOuter, {5, 1, 33, 8}, layout, stream_);
    for (const LinearNormForm form : {LinearNormForm::kTile, LinearNormForm::kGram}) {
      for (const LinearCase& c : {LinearCase{3, 5, 12, 8}, LinearCase{3, 33, 7, 9}}) {
        expect_within_bounds<float>(form, c, layout, stream_);
        expect_within_bounds<double>(form, c, layout, stream_);
      }
    }
  }
}

TEST_P(LinearSquaredNormsOnEveryBackend, TilesThatAreCutAnywhereAreWithinTheBound) {
  // Around quarters, halves and ends of a tile of 64 x 128, and of a chunk of 16 or 32 steps.
  for (const std::int64_t outputs : {32, 33, 63, 64, 65}) {
    for (const std::int64_t inputs : {31, 64, 65, 127, 130}) {
      for (const std::int64_t steps : {1, 2, 5, 16, 35}) {
        const LinearCase c{1, steps, inputs, outputs};
        expect_within_bounds<float>(LinearNormForm::kTile, c, kTight, stream_);
        expect_within_bounds<double>(LinearNormForm::kTile, c, kTight, stream_);
      }
    }
  }
  // Around eight and sixteen outputs, products and tiles of features, and steps of a warp.
  for (const std::int64_t outputs : {1, 7, 8, 9, 16, 17}) {
    for (const std::int64_t inputs : {4, 15, 33, 64, 127, 132, 260}) {
      for (const std::int64_t steps : {1, 8, 9, 23, 33}) {
        const LinearCase c{1, steps, inputs, outputs};
        expect_within_bounds<float>(LinearNormForm::kTile, c, kTight, stream_);
        expect_within_bounds<double>(LinearNormForm::kTile, c, kTight, stream_);
      }
    }
  }
  // Every number of steps, in rows of vectors.
  for (std::int64_t steps = 0; steps <= 70; ++steps) {
    expect_within_bounds<float>(LinearNormForm::kTile, {1, steps, 36, 40}, kTight, stream_);
    expect_within_bounds<double>(LinearNormForm::kTile, {1, steps, 36, 40}, kTight, stream_);
  }
}

TEST_P(LinearSquaredNormsOnEveryBackend, WhatIsBesideASequenceMayHoldAnything) {
  // NaN, in gaps that rows of vectors have and others.
  for (const LinearCase& c : {LinearCase{2, 19, 36, 40}, LinearCase{2, 33, 65, 62},
                              LinearCase{2, 21, 36, 12}, LinearCase{2, 40, 129, 5}}) {
    for (const std::int64_t gap : {3, 4}) {
      const Layout layout{{0, 1, 2}, gap};
      expect_within_bounds<float>(LinearNormForm::kTile, c, layout, stream_);
      expect_within_bounds<double>(LinearNormForm::kTile, c, layout, stream_);
    }
  }
}

TEST_P(LinearSquaredNormsOnEveryBackend, ViewsNeedNotBeAlignedForVectors) {
  // Rows of eight elements whose first is one past a multiple of sixteen bytes.
  const Sequences<float> sequences({2, 5, 8, 8}, kTight, 3);
  const auto shifted = [](const HostTensor<float>& tensor) {
    std::vector<float> values{std::numeric_limits<float>::quiet_NaN()};
    values.insert(values.end(), tensor.values.begin(), tensor.values.end());
    return values;
  };
  const GuardedBuffer<float> activations(shifted(sequences.activations), stream_);
  const GuardedBuffer<float> grads(shifted(sequences.grads), stream_);
  for (const LinearNormForm form : {LinearNormForm::kTile, LinearNormForm::kGram}) {
    const GuardedBuffer<double> squared_norms(2, stream_);
    const Buffer<double> workspace(linear_squared_norms_workspace_size(form, 2, 5, 8, 8, stream_),
                                   stream_);
    linear_squared_norms(form, SequenceView<const float>(activations.span().data() + 1, 2, 5, 8),
                         SequenceView<const float>(grads.span().data() + 1, 2, 5, 8),
                         squared_norms.span(), workspace.span(), stream_);
    EXPECT_EQ(squared_norms.to_host(), squared_norms_of(form, sequences, stream_));
  }
}

TEST_P(LinearSquaredNormsOnEveryBackend, TermsThatCancelLeaveNoMoreThanTheBound) {
  // x and -x under the same gradient at two steps of every pair: g = 0, magnitudes of 2^40.
  const LinearCase c{1, 64, 20, 20};
  Sequences<float> sequences(c, kTight, 5);
  for (std::int64_t t = 0; t < c.steps; t += 2) {
    for (std::int64_t i = 0; i < c.inputs; ++i) {
      sequences.activations.at({0, t, i}) *= 0x1p20f;
      sequences.activations.at({0, t + 1, i}) = -sequences.activations.at({0, t, i});
    }
    for (std::int64_t o = 0; o < c.outputs; ++o) {
      sequences.grads.at({0, t, o}) *= 0x1p20f;
      sequences.grads.at({0, t + 1, o}) = sequences.grads.at({0, t, o});
    }
  }
  const std::vector<ReferenceNorm> expected =
      linear_reference_norms(sequences.activations, sequences.grads);
  ASSERT_EQ(expected[0].squared_norm, 0);
  with_all_product_tiles(stream_, [&] {
    expect_norm_within(squared_norms_of(LinearNormForm::kTile, sequences, stream_)[0], expected[0],
                       product_error<float>(c.steps), c.inputs * c.outputs);
  });
  const double gram = squared_norms_of(LinearNormForm::kGram, sequences, stream_)[0];
  EXPECT_GE(gram, 0);
  EXPECT_LE(gram, 1.01 * (20 + 20 + 64 * 64 + 1) * unit_roundoff<double>() *
                      squared_norm_of(sequences.activations, 0) *
                      squared_norm_of(sequences.grads, 0));
}

TEST_P(LinearSquaredNormsOnEveryBackend, FloatProductsAreAddedInDoubleEvery32Steps) {
  // 2^24 and then ones: a float sum would never leave 2^24. Every run but the first is exact.
  const LinearCase c{1, 32 * 9, 1, 1};
  Sequences<float> sequences(c, kTight, 5);
  std::fill(sequences.activations.values.begin(), sequences.activations.values.end(), 1.0f);
  std::fill(sequences.grads.values.begin(), sequences.grads.values.end(), 1.0f);
  sequences.grads.at({0, 0, 0}) = 0x1p24f;
  const double norm = std::sqrt(squared_norms_of(LinearNormForm::kTile, sequences, stream_)[0]);
  EXPECT_GE(norm, 0x1p24 + 32 * 8);
  EXPECT_LE(norm, 0x1p24 + 32 * 9);
}

template <typename T>
void expect_one_sample_lost(LinearNormForm form, const LinearCase& c, T value, bool in_grads,
                            const Stream& stream) {
  Sequences<T> sequences(c, kTight, 23);
  const std::vector<double> before = squared_norms_of(form, sequences, stream);
  HostTensor<T>& tensor = in_grads ? sequences.grads : sequences.activations;
  tensor.at({1, c.steps - 1, tensor.sizes[2] - 1}) = value;
  const std::vector<double> after = squared_norms_of(form, sequences, stream);
  EXPECT_FALSE(std::isfinite(after[1])) << c << " form " << static_cast<int>(form);
  EXPECT_EQ(after[0], before[0]);
  EXPECT_EQ(after[2], before[2]);
}

TEST_P(LinearSquaredNormsOnEveryBackend, OnlyTheNormOfASampleWithANaNOrAnInfinityIsNotFinite) {
  for (const LinearNormForm form : kForms) {
    const std::int64_t steps = form == LinearNormForm::kOuter ? 1 : 33;
    for (const LinearCase& c : {LinearCase{3, steps, 9, 7}, LinearCase{3, steps, 65, 60}}) {
      with_all_product_tiles(stream_, [&] {
        for (const bool in_grads : {false, true}) {
          constexpr float kInfinity = std::numeric_limits<float>::infinity();
          expect_one_sample_lost<float>(form, c, kInfinity, in_grads, stream_);
          expect_one_sample_lost<float>(form, c, std::numeric_limits<float>::quiet_NaN(), in_grads,
                                        stream_);
          expect_one_sample_lost<double>(form, c, -std::numeric_limits<double>::infinity(),
                                         in_grads, stream_);
        }
      });
    }
  }
}

TEST_P(LinearSquaredNormsOnEveryBackend, ProductsThatOverflowGiveANormThatIsNotFinite) {
  Sequences<double> sequences({2, 3, 4, 5}, kTight, 1);
  sequences.activations.at({0, 0, 0}) = 1e200;
  sequences.grads.at({0, 0, 0}) = 1e200;
  for (const LinearNormForm form : {LinearNormForm::kTile, LinearNormForm::kGram}) {
    const std::vector<double> squared_norms = squared_norms_of(form, sequences, stream_);
    EXPECT_FALSE(std::isfinite(squared_norms[0]));
    EXPECT_TRUE(std::isfinite(squared_norms[1]));
  }
}

template <typename T>
void expect_same_twice(LinearNormForm form, const LinearCase& c, const Stream& stream) {
  const Sequences<T> sequences(c, kTight, 13);
  EXPECT_EQ(squared_norms_of(form, sequences, stream), squared_norms_of(form, sequences, stream));
}

TEST_P(LinearSquaredNormsOnEveryBackend, ResultIsTheSameRunToRun) {
  for (const LinearNormForm form : {LinearNormForm::kTile, LinearNormForm::kGram}) {
    for (const LinearCase& c : {LinearCase{3, 70, 17, 9}, LinearCase{2, 40, 66, 70}}) {
      with_all_product_tiles(stream_, [&] {
        expect_same_twice<float>(form, c, stream_);
        expect_same_twice<double>(form, c, stream_);
      });
    }
  }
}

TEST_P(LinearSquaredNormsOnEveryBackend, ArgumentsOutOfRangeAreRefused) {
  const Buffer<float> memory(64, stream_);
  const Buffer<double> out(2, stream_);
  const Buffer<double> workspace(64, stream_);
  const SequenceView<const float> good(memory.data(), 2, 3, 4);
  const auto call = [&](LinearNormForm form, const SequenceView<const float>& activations,
                        const SequenceView<const float>& grads, Span<double> scratch) {
    return refusal(
        [&] { linear_squared_norms(form, activations, grads, out.span(), scratch, stream_); });
  };
  const auto changed = [&](std::int64_t SequenceView<const float>::*member, std::int64_t value) {
    SequenceView<const float> view = good;
    view.*member = value;
    return view;
  };
  using View = SequenceView<const float>;
  EXPECT_EQ(call(LinearNormForm::kTile, changed(&View::steps, 2), good, workspace.span()),
            "linear_squared_norms: activations.steps = 2, expected grads.steps = 3");
  EXPECT_EQ(call(LinearNormForm::kTile, changed(&View::batch, 1), good, workspace.span()),
            "linear_squared_norms: activations.batch = 1, expected grads.batch = 2");
  EXPECT_EQ(call(LinearNormForm::kTile, changed(&View::batch, 3), changed(&View::batch, 3),
                 workspace.span()),
            "linear_squared_norms: squared_norms.size() = 2, expected grads.batch = 3");
  EXPECT_EQ(call(LinearNormForm::kGram, good, changed(&View::width, -1), workspace.span()),
            "linear_squared_norms: grads.width = -1, expected at least 0");
  EXPECT_EQ(call(LinearNormForm::kGram, changed(&View::step_stride, -4), good, workspace.span()),
            "linear_squared_norms: activations.step_stride = -4, expected at least 0");
  EXPECT_EQ(call(LinearNormForm::kOuter, good, good, workspace.span()),
            "linear_squared_norms: grads.steps = 3, expected the one step of kOuter = 1");
  EXPECT_EQ(call(LinearNormForm::kOuter, changed(&View::steps, 1), changed(&View::steps, 1),
                 Span<double>(workspace.data(), 1)),
            "linear_squared_norms: workspace.size() = 1, expected at least 2");
  EXPECT_EQ(refusal([&] {
              linear_squared_norms_workspace_size(LinearNormForm::kTile, -1, 1, 1, 1, stream_);
            }),
            "linear_squared_norms_workspace_size: batch = -1, expected at least 0");
}

INSTANTIATE_TEST_SUITE_P(All, LinearSquaredNormsOnEveryBackend,
                         ::testing::ValuesIn(every_backend()), BackendName());

TEST(LinearSquaredNormsOnTheCpu, ResultIsTheSameForAnyNumberOfThreadsAndAnySimdWidth) {
  for (const LinearNormForm form : {LinearNormForm::kTile, LinearNormForm::kGram}) {
    const LinearCase c{5, 70, 37, 71};
    const Sequences<float> floats(c, kTight, 17);
    const Sequences<double> doubles(c, kTight, 17);
    const std::vector<double> of_floats = squared_norms_of(form, floats, Stream::serial());
    const std::vector<double> of_doubles = squared_norms_of(form, doubles, Stream::serial());
    on_every_simd_target([&] {
      for (const Stream& stream : differently_threaded_streams()) {
        EXPECT_EQ(squared_norms_of(form, floats, stream), of_floats);
        EXPECT_EQ(squared_norms_of(form, doubles, stream), of_doubles);
      }
    });
  }
}

TEST(ProductTiles, AreOfMatrixProductsWhereTheseAreAtTheFullRate) {
  for (const int capability : {80, 90}) {
    for (const TileWidth width : {TileWidth::kWide, TileWidth::kNarrow}) {
      EXPECT_EQ(faster_product_tiles(width, capability, 2), ProductTiles::kMatrixProducts);
      EXPECT_EQ(faster_product_tiles(width, capability, 64), ProductTiles::kMultiplyAdds);
    }
  }
  for (const int capability : {75, 86, 87, 89, 100, 103, 110, 120, 121}) {
    EXPECT_EQ(faster_product_tiles(TileWidth::kWide, capability, 2), ProductTiles::kMultiplyAdds);
  }
}

TEST(ProductTiles, AreOfMatrixProductsWhereNarrowUnlessDoublesAreCutDown) {
  for (const int capability : {80, 90, 100, 103}) {
    EXPECT_EQ(faster_product_tiles(TileWidth::kNarrow, capability, 2),
              ProductTiles::kMatrixProducts);
    EXPECT_EQ(faster_product_tiles(TileWidth::kNarrow, capability, 64),
              ProductTiles::kMultiplyAdds);
  }
  EXPECT_EQ(faster_product_tiles(TileWidth::kNarrow, 75, 2), ProductTiles::kMultiplyAdds);
}

TEST(ClampAtZero, OnlyAFiniteSumBelowZeroBecomesZero) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(clamp_at_zero(-1e-300), 0.0);
  EXPECT_EQ(clamp_at_zero(-std::numeric_limits<double>::max()), 0.0);
  EXPECT_EQ(clamp_at_zero(3.0), 3.0);
  EXPECT_EQ(clamp_at_zero(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(clamp_at_zero(-kInfinity)));
  EXPECT_TRUE(std::isnan(clamp_at_zero(std::nan(""))));
}

TEST(ProductError, IsThatOfTheLongestChainOfRoundings) {
  const double u = unit_roundoff<double>();
  for (const std::int64_t steps : {0, 1, 32, 33, 100'000}) {
    const double runs = std::ceil(static_cast<double>(steps) / 32);
    EXPECT_GE(product_error<float>(steps), gamma<float>(32) + (runs + 4) * u);
    EXPECT_LE(product_error<float>(steps), 1.02 * (32 * unit_roundoff<float>() + (runs + 8) * u));
    EXPECT_GE(product_error<double>(steps), gamma<double>(steps + 4));
    EXPECT_LE(product_error<double>(steps), 1.02 * static_cast<double>(steps + 8) * u);
  }
  EXPECT_EQ(refusal([] { product_error<float>(-1); }),
            "product_error: steps = -1, expected at least 0");
}

}  // namespace
}  // namespace velum::kernels
