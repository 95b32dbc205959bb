#include "velum/kernels/gradients/segment_sums.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/products_fixture.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

struct LookupCase {
  std::int64_t rows;
  std::int64_t width;
  std::int64_t batch;
  std::int64_t table_rows;
  std::int64_t padding_index;
};

std::ostream& operator<<(std::ostream& os, const LookupCase& c) {
  return os << c.rows << " rows of " << c.width << ", " << c.batch << " samples, table of "
            << c.table_rows << ", padding " << c.padding_index;
}

/// Segments of one row and of many, within chunks and across them; cut tiles of columns.
const LookupCase kCases[] = {
    {0, 5, 3, 7, -1},    {5, 0, 3, 7, -1},    {1, 1, 1, 1, -1},     {31, 31, 4, 3, 1},
    {32, 32, 2, 100, 0}, {33, 33, 33, 2, -1}, {64, 3, 2, 1, -1},    {65, 130, 1, 1, -1},
    {200, 7, 3, 2, -1},  {700, 2, 1, 1, -1},  {257, 129, 5, 40, 3}, {150, 4, 2, 1, 0},
};

template <typename T>
ReferenceLookups<T> random_lookups(const LookupCase& c, std::int64_t gap, unsigned seed) {
  std::mt19937 generator(seed);
  ReferenceLookups<T> lookups{random_tensor<T>({c.rows, c.width}, {0, 1}, gap, seed + 1),
                              {},
                              {},
                              c.batch,
                              c.table_rows,
                              c.padding_index};
  for (std::int64_t r = 0; r < c.rows; ++r) {
    lookups.indices.push_back(
        std::uniform_int_distribution<std::int64_t>(0, c.table_rows - 1)(generator));
    lookups.samples.push_back(
        std::uniform_int_distribution<std::int64_t>(0, c.batch - 1)(generator));
  }
  return lookups;
}

/// Lookups in memory of the stream's backend.
template <typename T>
struct DeviceLookups {
  DeviceLookups(const ReferenceLookups<T>& lookups, const Stream& stream)
      : grads(lookups.grads.values, stream),
        indices(lookups.indices, stream),
        samples(lookups.samples, stream),
        view{MatrixView<const T>(grads.span().data(), lookups.grads.sizes[0],
                                 lookups.grads.sizes[1], lookups.grads.strides[0]),
             indices.span(),
             samples.span(),
             lookups.batch,
             lookups.table_rows,
             lookups.padding_index} {}
  GuardedBuffer<T> grads;
  GuardedBuffer<std::int64_t> indices;
  GuardedBuffer<std::int64_t> samples;
  LookedUpRows<T> view;
};

/// The squared norms, and a check of the output's margins.
template <typename T>
std::vector<double> squared_norms_of(const ReferenceLookups<T>& lookups, const Stream& stream) {
  const DeviceLookups<T> device(lookups, stream);
  const GuardedBuffer<double> squared_norms(lookups.batch, stream);
  const Buffer<std::uint8_t> workspace(
      segment_squared_norms_workspace_size(lookups.grads.sizes[0], lookups.grads.sizes[1],
                                           lookups.batch, lookups.table_rows, stream),
      stream);
  segment_squared_norms(device.view, squared_norms.span(), workspace.span(), stream);
  EXPECT_TRUE(squared_norms.margins_are_intact());
  return squared_norms.to_host();
}

/// The weighted sum, [table_rows, width], and a check of what lies around and between its rows.
template <typename T>
std::vector<T> weighted_sum_of(const ReferenceLookups<T>& lookups,
                               const std::vector<double>& factors, const Stream& stream) {
  const DeviceLookups<T> device(lookups, stream);
  const GuardedBuffer<double> weights(factors, stream);
  const std::int64_t width = lookups.grads.sizes[1];
  const std::int64_t stride = width + 2;
  const GuardedBuffer<T> out(
      std::vector<T>(static_cast<std::size_t>(lookups.table_rows * stride), T(17)), stream);
  const Buffer<std::uint8_t> workspace(
      segment_weighted_sum_workspace_size(lookups.grads.sizes[0], width, lookups.table_rows,
                                          stream),
      stream);
  segment_weighted_sum(device.view, weights.span(),
                       MatrixView<T>(out.span().data(), lookups.table_rows, width, stride),
                       workspace.span(), stream);
  EXPECT_TRUE(out.margins_are_intact());
  const std::vector<T> all = out.to_host();
  std::vector<T> sums;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (static_cast<std::int64_t>(i) % stride < width) {
      sums.push_back(all[i]);
    } else {
      EXPECT_EQ(all[i], T(17));
    }
  }
  return sums;
}

class SegmentSumsOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

template <typename T>
void expect_norms_within_bounds(const ReferenceLookups<T>& lookups, const Stream& stream) {
  const std::vector<double> computed = squared_norms_of(lookups, stream);
  const std::vector<ReferenceNorm> expected = lookup_reference_norms(lookups);
  ASSERT_EQ(computed.size(), expected.size());
  for (std::size_t b = 0; b < expected.size(); ++b) {
    expect_norm_within(computed[b], expected[b], product_error<double>(lookups.grads.sizes[0]),
                       lookups.grads.sizes[0] * lookups.grads.sizes[1]);
  }
}

TEST_P(SegmentSumsOnEveryBackend, RowsOfEqualIndexAreSummedBeforeTheyAreSquared) {
  for (const LookupCase& c : kCases) {
    for (const std::int64_t gap : {0, 3}) {
      SCOPED_TRACE(::testing::Message() << c);
      expect_norms_within_bounds(random_lookups<float>(c, gap, 5), stream_);
      expect_norms_within_bounds(random_lookups<double>(c, gap, 5), stream_);
    }
  }
}

/// Beyond what CUB sorts in one block.
TEST_P(SegmentSumsOnEveryBackend, ManyRowsAreSummedAsFew) {
  const LookupCase c{20'011, 1, 7, 300, 11};
  const ReferenceLookups<float> lookups = random_lookups<float>(c, 0, 3);
  expect_norms_within_bounds(lookups, stream_);
}

/// The same rows under the numbers of a larger batch, whose other samples have none: what is
/// sorted, and how, depends on the size of the batch, and no bit of a norm on how.
template <typename T>
void expect_the_bits_of_a_larger_batch(const ReferenceLookups<T>& lookups, std::int64_t batch,
                                       const Stream& stream) {
  ReferenceLookups<T> larger = lookups;
  larger.batch = batch;
  std::vector<double> norms = squared_norms_of(lookups, stream);
  norms.resize(static_cast<std::size_t>(batch), 0.0);
  EXPECT_EQ(squared_norms_of(larger, stream), norms);
}

TEST_P(SegmentSumsOnEveryBackend, ANormDoesNotDependOnOtherSamples) {
  expect_the_bits_of_a_larger_batch(random_lookups<float>({20'011, 1, 7, 300, 11}, 0, 3), 21,
                                    stream_);
  // One long sample and short ones, some of them without rows.
  ReferenceLookups<float> lookups = random_lookups<float>({6000, 3, 5, 4000, 7}, 0, 4);
  for (std::size_t r = 0; r < lookups.samples.size(); ++r) {
    if (r % 11 != 0) lookups.samples[r] = 3;
    if (lookups.samples[r] == 1) lookups.samples[r] = 2;
  }
  expect_norms_within_bounds(lookups, stream_);
  expect_the_bits_of_a_larger_batch(lookups, 9, stream_);
}

/// As a network sees them that takes the steps of all samples together.
TEST_P(SegmentSumsOnEveryBackend, TheOrderOfSamplesChangesNothing) {
  constexpr std::int64_t kBatch = 6;
  constexpr std::int64_t kSteps = 70;
  const ReferenceLookups<float> by_sample = [] {
    ReferenceLookups<float> lookups =
        random_lookups<float>({kBatch * kSteps, 5, kBatch, 9, 4}, 0, 8);
    for (std::int64_t r = 0; r < kBatch * kSteps; ++r) {
      lookups.samples[static_cast<std::size_t>(r)] = r / kSteps;
    }
    return lookups;
  }();
  ReferenceLookups<float> by_step = by_sample;
  for (std::int64_t r = 0; r < kBatch * kSteps; ++r) {
    const std::int64_t from = r % kBatch * kSteps + r / kBatch;
    by_step.samples[static_cast<std::size_t>(r)] = r % kBatch;
    by_step.indices[static_cast<std::size_t>(r)] =
        by_sample.indices[static_cast<std::size_t>(from)];
    for (std::int64_t c = 0; c < 5; ++c) by_step.grads.at({r, c}) = by_sample.grads.at({from, c});
  }
  EXPECT_EQ(squared_norms_of(by_step, stream_), squared_norms_of(by_sample, stream_));
}

template <typename T>
void expect_sum_within_bounds(const ReferenceLookups<T>& lookups,
                              const std::vector<double>& factors, const Stream& stream) {
  const std::vector<T> computed = weighted_sum_of(lookups, factors, stream);
  std::vector<long double> magnitudes;
  const std::vector<long double> expected = lookup_reference_sum(lookups, factors, &magnitudes);
  ASSERT_EQ(computed.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const long double in_double =
        (product_error<double>(lookups.grads.sizes[0]) + 0x1p-58L) * magnitudes[i];
    const long double rounded = unit_roundoff<T>() * (std::abs(expected[i]) + in_double);
    ASSERT_LE(std::abs(computed[i] - expected[i]), in_double + rounded) << "element " << i;
  }
}

std::vector<double> some_factors(std::int64_t batch) {
  std::vector<double> factors;
  for (std::int64_t b = 0; b < batch; ++b) {
    // Every fourth sample is left out; the others have float factors, as from clip_factors.
    factors.push_back(b % 4 == 2 ? 0.0 : static_cast<double>(1.0f / static_cast<float>(b % 5 + 1)));
  }
  return factors;
}

TEST_P(SegmentSumsOnEveryBackend, TheWeightedSumIsWithinTheBoundAndZeroWhereNothingWasLookedUp) {
  for (const LookupCase& c : kCases) {
    SCOPED_TRACE(::testing::Message() << c);
    expect_sum_within_bounds(random_lookups<float>(c, 2, 9), some_factors(c.batch), stream_);
    expect_sum_within_bounds(random_lookups<double>(c, 0, 9), some_factors(c.batch), stream_);
  }
}

TEST_P(SegmentSumsOnEveryBackend, SumsDoNotLoseASmallRowBesideLargeOnes) {
  // 1e8, one, -1e8: nothing in float but 0, and exactly one in double.
  ReferenceLookups<float> lookups{
      HostTensor<float>({3, 1}, {0, 1}, 0, 0.0f), {0, 0, 0}, {0, 0, 0}, 1, 1, -1};
  lookups.grads.values = {1e8f, 1.0f, -1e8f};
  EXPECT_EQ(squared_norms_of(lookups, stream_), std::vector<double>{1.0});
  EXPECT_EQ(weighted_sum_of(lookups, {1.0}, stream_), std::vector<float>{1.0f});
}

TEST_P(SegmentSumsOnEveryBackend, OnlyTheNormOfASampleWithANaNOrAnInfinityIsNotFinite) {
  ReferenceLookups<float> lookups = random_lookups<float>({200, 5, 4, 6, -1}, 0, 21);
  lookups.samples[100] = 1;
  lookups.samples[150] = 2;
  const std::vector<double> before = squared_norms_of(lookups, stream_);
  lookups.grads.at({100, 3}) = std::numeric_limits<float>::quiet_NaN();
  lookups.grads.at({150, 4}) = std::numeric_limits<float>::infinity();
  const std::vector<double> after = squared_norms_of(lookups, stream_);
  EXPECT_TRUE(std::isnan(after[1]));
  EXPECT_FALSE(std::isfinite(after[2]));
  EXPECT_EQ(after[0], before[0]);
  EXPECT_EQ(after[3], before[3]);
}

TEST_P(SegmentSumsOnEveryBackend, PaddingMayHoldAnything) {
  ReferenceLookups<float> lookups = random_lookups<float>({150, 5, 3, 6, 2}, 0, 22);
  const std::vector<double> norms = squared_norms_of(lookups, stream_);
  const std::vector<float> sum = weighted_sum_of(lookups, {1.0, 0.5, 0.25}, stream_);
  for (std::int64_t r = 0; r < 150; ++r) {
    if (lookups.indices[static_cast<std::size_t>(r)] != 2) continue;
    for (std::int64_t c = 0; c < 5; ++c) {
      lookups.grads.at({r, c}) = std::numeric_limits<float>::quiet_NaN();
    }
  }
  EXPECT_EQ(squared_norms_of(lookups, stream_), norms);
  EXPECT_EQ(weighted_sum_of(lookups, {1.0, 0.5, 0.25}, stream_), sum);
}

TEST_P(SegmentSumsOnEveryBackend, ARowWhoseFactorIsNotPositiveMayHoldAnything) {
  ReferenceLookups<float> lookups = random_lookups<float>({150, 5, 3, 6, -1}, 0, 24);
  const std::vector<float> sum = weighted_sum_of(lookups, {1.0, 0.0, 0.25}, stream_);
  for (std::int64_t r = 0; r < 150; ++r) {
    if (lookups.samples[static_cast<std::size_t>(r)] == 1) {
      lookups.grads.at({r, 3}) = std::numeric_limits<float>::infinity();
    }
  }
  EXPECT_EQ(weighted_sum_of(lookups, {1.0, 0.0, 0.25}, stream_), sum);
  EXPECT_EQ(weighted_sum_of(lookups, {1.0, -1.0, 0.25}, stream_), sum);
  EXPECT_EQ(weighted_sum_of(lookups, {1.0, std::nan(""), 0.25}, stream_), sum);
}

TEST_P(SegmentSumsOnEveryBackend, AnIndexThatIsNotOfTheTableMakesItsSampleNaN) {
  for (const std::int64_t index :
       {std::int64_t{-1}, std::int64_t{6}, std::numeric_limits<std::int64_t>::max()}) {
    ReferenceLookups<float> lookups = random_lookups<float>({100, 5, 3, 6, 2}, 0, 26);
    lookups.samples[40] = 1;
    const std::vector<double> before = squared_norms_of(lookups, stream_);
    const std::vector<double> factors{1.0, 0.0, 0.5};
    const std::vector<float> sum = weighted_sum_of(lookups, factors, stream_);
    lookups.indices[40] = index;
    const std::vector<double> after = squared_norms_of(lookups, stream_);
    EXPECT_EQ(after[0], before[0]);
    EXPECT_TRUE(std::isnan(after[1])) << index;
    EXPECT_EQ(after[2], before[2]);
    EXPECT_EQ(weighted_sum_of(lookups, factors, stream_), sum);
  }
}

TEST_P(SegmentSumsOnEveryBackend, ARowOfAnUnknownSampleMakesAllNormsNaN) {
  for (const std::int64_t sample : {-1, 3}) {
    ReferenceLookups<float> lookups = random_lookups<float>({100, 5, 3, 6, 2}, 0, 27);
    lookups.indices[40] = 2;  // not even as padding
    const std::vector<float> sum = weighted_sum_of(lookups, {1.0, 1.0, 0.5}, stream_);
    lookups.samples[40] = sample;
    for (const double norm : squared_norms_of(lookups, stream_)) EXPECT_TRUE(std::isnan(norm));
    EXPECT_EQ(weighted_sum_of(lookups, {1.0, 1.0, 0.5}, stream_), sum);
  }
}

TEST_P(SegmentSumsOnEveryBackend, ResultIsTheSameRunToRun) {
  const ReferenceLookups<float> lookups = random_lookups<float>({300, 40, 3, 2, -1}, 0, 31);
  EXPECT_EQ(squared_norms_of(lookups, stream_), squared_norms_of(lookups, stream_));
  const std::vector<double> factors{1.0, 0.25, 0.125};
  EXPECT_EQ(weighted_sum_of(lookups, factors, stream_), weighted_sum_of(lookups, factors, stream_));
}

TEST_P(SegmentSumsOnEveryBackend, ArgumentsOutOfRangeAreRefused) {
  const Buffer<float> grads(12, stream_);
  const Buffer<std::int64_t> ids(4, stream_);
  const Buffer<double> out(2, stream_);
  const Buffer<float> table(30, stream_);
  const Buffer<std::uint8_t> workspace(1 << 16, stream_);
  const LookedUpRows<float> good{
      MatrixView<const float>(grads.data(), 4, 3), ids.span(), ids.span(), 2, 10, -1};
  const auto norms = [&](const LookedUpRows<float>& rows) {
    return refusal([&] { segment_squared_norms(rows, out.span(), workspace.span(), stream_); });
  };
  LookedUpRows<float> rows = good;
  rows.indices = Span<const std::int64_t>(ids.data(), 3);
  EXPECT_EQ(norms(rows), "segment_squared_norms: indices.size() = 3, expected grads.rows = 4");
  rows = good;
  rows.samples = Span<const std::int64_t>(ids.data(), 2);
  EXPECT_EQ(norms(rows), "segment_squared_norms: samples.size() = 2, expected grads.rows = 4");
  rows = good;
  rows.batch = 3;
  EXPECT_EQ(norms(rows), "segment_squared_norms: squared_norms.size() = 2, expected batch = 3");
  rows = good;
  rows.table_rows = std::int64_t{1} << 62;
  EXPECT_EQ(norms(rows),
            "segment_squared_norms: table_rows = 4611686018427387904, expected at most "
            "2305843009213693951 for batch = 2");
  EXPECT_EQ(
      refusal([&] { segment_squared_norms(good, out.span(), Span<std::uint8_t>(), stream_); }),
      "segment_squared_norms: workspace.size() = 0, expected at least " +
          std::to_string(segment_squared_norms_workspace_size(4, 3, 2, 10, stream_)));
  const auto sum = [&](std::int64_t table_rows, std::int64_t cols, std::int64_t stride) {
    return refusal([&] {
      segment_weighted_sum(good, out.span(),
                           MatrixView<float>(table.data(), table_rows, cols, stride),
                           workspace.span(), stream_);
    });
  };
  EXPECT_EQ(sum(9, 3, 3), "segment_weighted_sum: out.rows = 9, expected table_rows = 10");
  EXPECT_EQ(sum(10, 2, 2), "segment_weighted_sum: out.cols = 2, expected grads.cols = 3");
  EXPECT_EQ(sum(10, 3, 2),
            "segment_weighted_sum: out.row_stride = 2, expected at least out.cols = 3");
  EXPECT_EQ(refusal([&] {
              segment_weighted_sum(good, Span<const double>(out.data(), 1),
                                   MatrixView<float>(table.data(), 10, 3), workspace.span(),
                                   stream_);
            }),
            "segment_weighted_sum: factors.size() = 1, expected batch = 2");
  EXPECT_EQ(refusal([&] { segment_weighted_sum_workspace_size(-1, 3, 10, stream_); }),
            "segment_weighted_sum_workspace_size: rows = -1, expected at least 0");
  EXPECT_EQ(
      refusal([&] { segment_weighted_sum_workspace_size(std::int64_t{1} << 31, 3, 10, stream_); }),
      "segment_weighted_sum_workspace_size: rows = 2147483648, expected at most 2147483647");
}

INSTANTIATE_TEST_SUITE_P(All, SegmentSumsOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(SegmentSumsOnTheCpu, ResultIsTheSameForAnyNumberOfThreads) {
  const ReferenceLookups<double> lookups = random_lookups<double>({900, 700, 3, 4, 1}, 0, 41);
  const std::vector<double> norms = squared_norms_of(lookups, Stream::serial());
  const std::vector<double> factors{1.0, 0.3, 0.7};
  const std::vector<double> sum = weighted_sum_of(lookups, factors, Stream::serial());
  for (const Stream& stream : differently_threaded_streams()) {
    EXPECT_EQ(squared_norms_of(lookups, stream), norms);
    EXPECT_EQ(weighted_sum_of(lookups, factors, stream), sum);
  }
}

}  // namespace
}  // namespace velum::kernels
