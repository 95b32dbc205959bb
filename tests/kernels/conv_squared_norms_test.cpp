#include "velum/kernels/gradients/conv_squared_norms.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/product_tiles_fixture.h"
#include "kernels/products_fixture.h"

namespace velum::kernels {
namespace {

using namespace velum::testing;  // NOLINT: the fixture

struct ConvCase {
  const char* name;
  std::int64_t batch;
  std::int64_t channels_in;
  std::int64_t channels_out;
  std::array<std::int64_t, 3> sizes;
  ReferenceConvolution conv;
};

std::ostream& operator<<(std::ostream& os, const ConvCase& c) { return os << c.name; }

const ConvCase kCases[] = {
    {"no samples", 0, 2, 2, {1, 4, 4}, {.kernel = {1, 3, 3}}},
    {"no channels in", 2, 0, 2, {1, 4, 4}, {.kernel = {1, 3, 3}}},
    {"no channels out", 2, 3, 0, {1, 4, 4}, {.kernel = {1, 3, 3}}},
    {"one of everything", 1, 1, 1, {1, 1, 1}, {}},
    {"line", 3, 2, 3, {1, 1, 33}, {.kernel = {1, 1, 5}, .padding = {0, 0, 2}}},
    {"line of 32 positions", 2, 3, 9, {1, 1, 32}, {.kernel = {1, 1, 1}}},
    {"line of 31 positions", 2, 3, 9, {1, 1, 31}, {.kernel = {1, 1, 1}}},
    {"image", 2, 3, 5, {1, 7, 9}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}},
    {"stride", 2, 3, 4, {1, 9, 8}, {.kernel = {1, 3, 2}, .stride = {1, 2, 3}}},
    {"dilation",
     2,
     2,
     3,
     {1, 11, 10},
     {.kernel = {1, 3, 3}, .padding = {0, 2, 1}, .dilation = {1, 2, 3}}},
    {"all of it",
     2,
     6,
     4,
     {1, 12, 11},
     {.kernel = {1, 3, 2},
      .stride = {1, 2, 1},
      .padding = {0, 3, 1},
      .dilation = {1, 2, 4},
      .groups = 2}},
    {"depthwise", 2, 5, 5, {1, 8, 8}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}, .groups = 5}},
    {"depthwise with a multiplier", 2, 3, 6, {1, 6, 7}, {.kernel = {1, 3, 3}, .groups = 3}},
    {"padding wider than the kernel",
     1,
     2,
     2,
     {1, 3, 3},
     {.kernel = {1, 2, 2}, .padding = {0, 3, 4}}},
    {"volume",
     1,
     2,
     3,
     {4, 5, 6},
     {.kernel = {2, 3, 2}, .stride = {1, 2, 1}, .padding = {1, 1, 0}, .dilation = {2, 1, 3}}},
    {"depthwise, several blocks of outputs",
     3,
     7,
     14,
     {1, 4, 5},
     {.kernel = {1, 3, 3}, .padding = {0, 1, 1}, .groups = 7}},
    {"depthwise, several runs of positions and chunks of features",
     2,
     3,
     3,
     {1, 30, 31},
     {.kernel = {1, 5, 5}, .padding = {0, 2, 2}, .groups = 3}},
    {"depthwise volume with a multiplier",
     2,
     2,
     6,
     {4, 7, 6},
     {.kernel = {2, 3, 2},
      .stride = {1, 2, 3},
      .padding = {1, 2, 0},
      .dilation = {2, 1, 3},
      .groups = 2}},
    {"a narrow tile and its edges", 2, 5, 7, {1, 5, 33}, {.kernel = {1, 1, 3}}},
    {"narrow tiles of groups", 2, 8, 16, {1, 5, 6}, {.kernel = {1, 2, 2}, .groups = 2}},
    {"a wide tile and its edges", 2, 8, 65, {1, 5, 5}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}},
    {"a kernel of 31 coordinates",
     1,
     2,
     8,
     {1, 1, 40},
     {.kernel = {1, 1, 29}, .padding = {0, 0, 14}}},
    {"a kernel of 32 coordinates",
     1,
     2,
     8,
     {1, 1, 40},
     {.kernel = {1, 1, 30}, .padding = {0, 0, 15}}},
    {"a kernel of 34 coordinates in a wide tile",
     1,
     2,
     60,
     {1, 40, 2},
     {.kernel = {1, 31, 2}, .padding = {0, 15, 1}, .dilation = {1, 1, 2}}},
    {"wide tiles of groups", 1, 14, 128, {1, 4, 9}, {.kernel = {1, 3, 3}, .groups = 2}},
    {"wide tiles of chunks, their edges, and positions as in the input",
     2,
     17,
     66,
     {1, 8, 9},
     {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}},
    {"the same with a dilation",
     1,
     16,
     64,
     {1, 7, 11},
     {.kernel = {1, 3, 3}, .padding = {0, 2, 2}, .dilation = {1, 2, 2}}},
    {"the same in a volume, padded on two sides",
     1,
     9,
     64,
     {3, 5, 4},
     {.kernel = {3, 3, 1}, .padding = {1, 1, 0}}},
    {"wide tiles of chunks with a stride",
     1,
     15,
     64,
     {1, 13, 14},
     {.kernel = {1, 3, 3}, .stride = {1, 2, 1}, .padding = {0, 1, 1}}},
    {"wide tiles of channels alone", 1, 130, 65, {1, 6, 11}, {.kernel = {1, 1, 1}}},
    {"narrow tiles of positions as in the input",
     2,
     5,
     7,
     {1, 5, 33},
     {.kernel = {1, 1, 3}, .padding = {0, 0, 1}}},
    // Where matrix products take narrow tiles: channels in shared memory.
    {"channels of pairs of positions",
     2,
     8,
     8,
     {1, 6, 8},
     {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}},
    {"an odd number of products, and a last one without a pair",
     1,
     8,
     5,
     {1, 9, 9},
     {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}},
    {"sixteen outputs, copied in packets",
     2,
     1,
     16,
     {1, 28, 28},
     {.kernel = {1, 8, 8}, .stride = {1, 2, 2}, .padding = {0, 3, 3}}},
    {"tiles that begin within a channel",
     1,
     31,
     12,
     {1, 5, 6},
     {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}},
    {"a channel of several tiles", 1, 1, 9, {1, 14, 16}, {.kernel = {1, 12, 11}}},
    {"tiles of outputs, of groups",
     2,
     32,
     52,
     {1, 13, 13},
     {.kernel = {1, 4, 4}, .stride = {1, 2, 2}, .groups = 2}},
    {"few positions in rows of odd length",
     1,
     16,
     12,
     {1, 5, 7},
     {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}},
    {"tiles of 32 outputs, of pairs of positions",
     2,
     8,
     39,
     {1, 6, 8},
     {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}},
    {"channels of a volume",
     2,
     5,
     7,
     {4, 6, 5},
     {.kernel = {2, 3, 2}, .stride = {2, 1, 1}, .padding = {1, 1, 0}, .dilation = {1, 2, 3}}},
    {"bands of rows", 1, 2, 14, {1, 132, 101}, {.kernel = {1, 3, 2}, .padding = {0, 1, 1}}},
    {"bands of rows, eight outputs", 1, 2, 8, {1, 101, 132}, {.kernel = {1, 3, 3}}},
    {"bands of rows, with a stride and padding beyond the kernel",
     1,
     3,
     7,
     {1, 150, 161},
     {.kernel = {1, 3, 3}, .stride = {1, 3, 2}, .padding = {0, 9, 1}, .dilation = {1, 2, 1}}},
    {"bands of a line, of pairs",
     1,
     2,
     7,
     {1, 1, 9002},
     {.kernel = {1, 1, 9}, .padding = {0, 0, 4}}},
    {"bands of a line", 1, 2, 12, {1, 1, 9001}, {.kernel = {1, 1, 9}, .stride = {1, 1, 2}}},
    {"bands of a volume",
     1,
     3,
     6,
     {21, 14, 15},
     {.kernel = {3, 2, 3}, .stride = {2, 1, 1}, .padding = {2, 0, 1}}},
    {"channels that are not copied whole, positions as in the input",
     1,
     130,
     7,
     {1, 2, 130},
     {.kernel = {1, 1, 1}}},
    {"a kernel of 35 coordinates, eight outputs", 1, 2, 7, {1, 33, 121}, {.kernel = {1, 32, 2}}},
    {"a kernel of 35 coordinates, sixteen outputs", 1, 2, 13, {1, 33, 121}, {.kernel = {1, 32, 2}}},
    {"slices of a volume that do not fit in shared memory",
     1,
     2,
     7,
     {4, 61, 60},
     {.kernel = {3, 2, 2}, .padding = {1, 0, 0}}},
    {"the same, sixteen outputs",
     1,
     2,
     13,
     {3, 61, 60},
     {.kernel = {2, 3, 2}, .stride = {1, 1, 2}}},
};

template <typename T>
struct Images {
  HostTensor<T> input;
  HostTensor<T> grads;

  static std::vector<std::int64_t> grads_sizes(const ConvCase& c) {
    return {c.batch, c.channels_out, c.conv.output_size(0, c.sizes[0]),
            c.conv.output_size(1, c.sizes[1]), c.conv.output_size(2, c.sizes[2])};
  }
  Images(const ConvCase& c, const std::vector<std::size_t>& order, std::int64_t gap, unsigned seed)
      : input(random_tensor<T>({c.batch, c.channels_in, c.sizes[0], c.sizes[1], c.sizes[2]}, order,
                               gap, seed)),
        grads(random_tensor<T>(grads_sizes(c), order, gap, seed + 1)) {}
};

const std::vector<std::size_t> kChannelsFirst{0, 1, 2, 3, 4};
const std::vector<std::size_t> kChannelsLast{0, 2, 3, 4, 1};
const std::vector<std::size_t> kBatchLast{3, 2, 1, 4, 0};

template <typename T>
ImageView<const T> view_of(const HostTensor<T>& tensor, const Buffer<T>& memory) {
  const auto& sizes = tensor.sizes;
  const auto& strides = tensor.strides;
  return {memory.data(),
          sizes[0],
          sizes[1],
          {sizes[2], sizes[3], sizes[4]},
          strides[0],
          strides[1],
          {strides[2], strides[3], strides[4]}};
}

ConvolutionGeometry geometry_of(const ReferenceConvolution& conv) {
  return {conv.kernel, conv.stride, conv.padding, conv.dilation, conv.groups};
}

/// The squared norms, and a check of the margins of output and workspace. Inputs have none, so that
/// the emulated device sees a read beyond their ends.
template <typename T>
std::vector<double> squared_norms_of(const Images<T>& images, const ConvCase& c,
                                     const Stream& stream) {
  const Buffer<T> input = to_backend(images.input.values, stream);
  const Buffer<T> grads = to_backend(images.grads.values, stream);
  const ConvolutionGeometry geometry = geometry_of(c.conv);
  const GuardedBuffer<double> squared_norms(c.batch, stream);
  const GuardedBuffer<double> workspace(
      conv_squared_norms_workspace_size(c.batch, c.channels_in, c.channels_out, geometry, stream),
      stream);
  conv_squared_norms(view_of(images.input, input), view_of(images.grads, grads), geometry,
                     squared_norms.span(), workspace.span(), stream);
  EXPECT_TRUE(squared_norms.margins_are_intact());
  EXPECT_TRUE(workspace.margins_are_intact());
  return squared_norms.to_host();
}

class ConvSquaredNormsOnEveryBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override { SKIP_WITHOUT_DEVICE(GetParam()); }
  Stream stream_ = make_stream(GetParam());
};

template <typename T>
void expect_within_bounds(const ConvCase& c, const std::vector<std::size_t>& order,
                          std::int64_t gap, const Stream& stream) {
  SCOPED_TRACE(::testing::Message() << c);
  const Images<T> images(c, order, gap, 7);
  const std::vector<ReferenceNorm> expected =
      conv_reference_norms(images.input, images.grads, c.conv);
  const std::int64_t positions =
      images.grads.sizes[2] * images.grads.sizes[3] * images.grads.sizes[4];
  const std::int64_t elements = c.channels_out * c.channels_in / c.conv.groups * c.conv.kernel[0] *
                                c.conv.kernel[1] * c.conv.kernel[2];
  with_all_product_tiles(stream, [&] {
    const std::vector<double> computed = squared_norms_of(images, c, stream);
    ASSERT_EQ(computed.size(), expected.size());
    for (std::size_t b = 0; b < expected.size(); ++b) {
      expect_norm_within(computed[b], expected[b], product_error<T>(positions), elements);
    }
  });
}

TEST_P(ConvSquaredNormsOnEveryBackend, ErrorIsWithinTheBound) {
  for (const ConvCase& c : kCases) {
    expect_within_bounds<float>(c, kChannelsFirst, 0, stream_);
    expect_within_bounds<double>(c, kChannelsFirst, 0, stream_);
  }
}

TEST_P(ConvSquaredNormsOnEveryBackend, StridesOfMemoryAreAny) {
  const ConvCase cases[] = {
      {"image", 3, 4, 6, {1, 7, 9}, {.kernel = {1, 3, 2}, .padding = {0, 1, 1}, .groups = 2}},
      {"narrow", 3, 4, 8, {1, 5, 6}, {.kernel = {1, 2, 2}, .padding = {0, 1, 0}}},
      {"channels", 2, 10, 8, {1, 6, 7}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}},
      {"unfolded", 2, 130, 7, {1, 2, 130}, {.kernel = {1, 1, 1}}},
      {"unfolded, of 35 coordinates", 1, 2, 13, {1, 33, 121}, {.kernel = {1, 32, 2}}},
      {"wide", 2, 7, 60, {1, 6, 7}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}},
      {"volume", 2, 2, 3, {3, 4, 5}, {.kernel = {2, 2, 3}, .stride = {1, 1, 2}}}};
  for (const ConvCase& c : cases) {
    for (const auto& order : {kChannelsFirst, kChannelsLast, kBatchLast}) {
      expect_within_bounds<float>(c, order, 2, stream_);
      expect_within_bounds<double>(c, order, 2, stream_);
    }
  }
}

TEST_P(ConvSquaredNormsOnEveryBackend, GradientsNeedNotBeAlignedForPairs) {
  // Rows of even length and channels of an even number of positions, which begin anywhere.
  const ConvCase c{"channels", 2, 8, 8, {1, 6, 8}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}};
  const Images<float> images(c, kChannelsFirst, 0, 19);
  const std::vector<ReferenceNorm> expected =
      conv_reference_norms(images.input, images.grads, c.conv);
  const Buffer<float> input = to_backend(images.input.values, stream_);
  constexpr std::int64_t kPlane = 48;
  const ConvolutionGeometry geometry = geometry_of(c.conv);
  for (const std::int64_t first : {0, 1}) {
    for (const std::int64_t of_channel : {0, 1}) {
      for (const std::int64_t of_batch : {0, 1}) {
        SCOPED_TRACE(::testing::Message() << first << of_channel << of_batch);
        const std::int64_t channel_stride = kPlane + of_channel;
        const std::int64_t batch_stride = 8 * channel_stride + of_batch;
        std::vector<float> host(static_cast<std::size_t>(first + 2 * batch_stride),
                                std::numeric_limits<float>::quiet_NaN());
        images.grads.for_each([&](const std::vector<std::int64_t>& i) {
          const std::int64_t at =
              first + i[0] * batch_stride + i[1] * channel_stride + i[3] * 8 + i[4];
          host[static_cast<std::size_t>(at)] = images.grads.at(i);
        });
        const Buffer<float> grads = to_backend(host, stream_);
        with_all_product_tiles(stream_, [&] {
          const GuardedBuffer<double> norms(2, stream_);
          const Buffer<double> workspace(
              conv_squared_norms_workspace_size(2, 8, 8, geometry, stream_), stream_);
          conv_squared_norms(view_of(images.input, input),
                             ImageView<const float>{grads.data() + first,
                                                    2,
                                                    8,
                                                    {1, 6, 8},
                                                    batch_stride,
                                                    channel_stride,
                                                    {kPlane, 8, 1}},
                             geometry, norms.span(), workspace.span(), stream_);
          const std::vector<double> computed = norms.to_host();
          for (std::size_t b = 0; b < 2; ++b) {
            expect_norm_within(computed[b], expected[b], product_error<float>(kPlane), 8 * 72);
          }
        });
      }
    }
  }
}

/// A sample whose gradient holds `value` is lost, and no other.
void expect_one_sample_lost(const ConvCase& c, float value, bool in_grads, const Stream& stream) {
  Images<float> images(c, kChannelsFirst, 0, 23);
  const std::vector<double> before = squared_norms_of(images, c, stream);
  HostTensor<float>& tensor = in_grads ? images.grads : images.input;
  tensor.at({1, tensor.sizes[1] - 1, 0, 1, 2}) = value;
  const std::vector<double> after = squared_norms_of(images, c, stream);
  EXPECT_FALSE(std::isfinite(after[1])) << c;
  EXPECT_EQ(after[0], before[0]);
  EXPECT_EQ(after[2], before[2]);
}

TEST_P(ConvSquaredNormsOnEveryBackend, OnlyTheNormOfASampleWithANaNOrAnInfinityIsNotFinite) {
  const ConvCase cases[] = {
      {"small", 3, 4, 6, {1, 5, 5}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}, .groups = 2}},
      {"narrow", 3, 8, 14, {1, 5, 5}, {.kernel = {1, 2, 2}, .padding = {0, 1, 1}, .groups = 2}},
      {"channels", 3, 16, 14, {1, 9, 9}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}, .groups = 2}},
      {"bands", 3, 1, 13, {1, 2, 1402}, {.kernel = {1, 1, 3}, .padding = {0, 0, 1}}},
      {"few positions", 3, 16, 12, {1, 6, 8}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}},
      {"unfolded", 3, 130, 7, {1, 2, 130}, {.kernel = {1, 1, 1}}},
      {"wide", 3, 7, 60, {1, 4, 5}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}}};
  for (const ConvCase& c : cases) {
    with_all_product_tiles(stream_, [&] {
      for (const bool in_grads : {false, true}) {
        expect_one_sample_lost(c, std::numeric_limits<float>::infinity(), in_grads, stream_);
        expect_one_sample_lost(c, std::numeric_limits<float>::quiet_NaN(), in_grads, stream_);
      }
    });
  }
  // A position where the kernel meets nothing but padding.
  const ConvCase c{"padding", 3, 1, 1, {1, 2, 2}, {.padding = {0, 2, 3}}};
  expect_one_sample_lost(c, std::numeric_limits<float>::quiet_NaN(), true, stream_);
}

TEST_P(ConvSquaredNormsOnEveryBackend, AnElementOfTheInputThatNoWeightMeetsMayHoldAnything) {
  // Every second position, by a kernel of one element.
  const ConvCase cases[] = {
      {"small", 1, 1, 2, {1, 5, 5}, {.kernel = {1, 1, 1}, .stride = {1, 2, 2}}},
      {"narrow", 1, 15, 7, {1, 5, 5}, {.kernel = {1, 1, 1}, .stride = {1, 2, 2}}},
      {"channels", 1, 300, 7, {1, 5, 5}, {.kernel = {1, 1, 1}, .stride = {1, 2, 2}}},
      {"bands", 1, 1, 14, {1, 3, 2801}, {.kernel = {1, 1, 1}, .stride = {1, 2, 2}}},
      {"unfolded", 1, 130, 7, {1, 3, 401}, {.kernel = {1, 1, 1}, .stride = {1, 2, 2}}},
      {"wide", 1, 60, 60, {1, 5, 5}, {.kernel = {1, 1, 1}, .stride = {1, 2, 2}}}};
  for (const ConvCase& c : cases) {
    with_all_product_tiles(stream_, [&] {
      Images<float> images(c, kChannelsFirst, 0, 29);
      const std::vector<double> before = squared_norms_of(images, c, stream_);
      images.input.at({0, 0, 0, 1, 1}) = std::numeric_limits<float>::quiet_NaN();
      EXPECT_EQ(squared_norms_of(images, c, stream_), before) << c;
    });
  }
}

TEST_P(ConvSquaredNormsOnEveryBackend, ResultIsTheSameRunToRun) {
  const ConvCase cases[] = {
      {"small", 3, 4, 6, {1, 9, 9}, {.kernel = {1, 3, 3}, .groups = 2}},
      {"narrow", 3, 8, 14, {1, 9, 9}, {.kernel = {1, 2, 2}, .groups = 2}},
      {"channels", 3, 16, 14, {1, 9, 9}, {.kernel = {1, 3, 3}, .groups = 2}},
      {"bands", 2, 1, 13, {1, 2, 1402}, {.kernel = {1, 1, 3}, .padding = {0, 0, 1}}},
      {"unfolded", 2, 130, 7, {1, 2, 130}, {.kernel = {1, 1, 1}}},
      {"wide", 2, 15, 70, {1, 6, 6}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}}}};
  for (const ConvCase& c : cases) {
    const Images<float> floats(c, kChannelsFirst, 0, 31);
    const Images<double> doubles(c, kChannelsFirst, 0, 31);
    with_all_product_tiles(stream_, [&] {
      EXPECT_EQ(squared_norms_of(floats, c, stream_), squared_norms_of(floats, c, stream_));
      EXPECT_EQ(squared_norms_of(doubles, c, stream_), squared_norms_of(doubles, c, stream_));
    });
  }
}

TEST_P(ConvSquaredNormsOnEveryBackend, TilesThatAreCutAnywhereAreWithinTheBound) {
  // Positions in a line; a kernel of two elements, so that features are even.
  for (const std::int64_t outputs : {33, 64, 65}) {
    for (const std::int64_t channels : {16, 33, 64, 65}) {
      for (const std::int64_t positions : {1, 4, 7, 16, 33}) {
        const ConvCase c{"cut",
                         1,
                         channels,
                         outputs,
                         {1, 1, positions},
                         {.kernel = {1, 1, 2}, .padding = {0, 0, 1}}};
        expect_within_bounds<float>(c, kChannelsFirst, 0, stream_);
        expect_within_bounds<double>(c, kChannelsFirst, 0, stream_);
      }
    }
  }
}

TEST_P(ConvSquaredNormsOnEveryBackend, WorkspaceIsSmallerThanGradients) {
  // In elements of a sample's gradient: of many outputs a sum for each tile, of few for each
  // output.
  const ConvolutionGeometry geometry{.kernel = {1, 3, 3}};
  EXPECT_LE(conv_squared_norms_workspace_size(3, 512, 512, geometry, stream_),
            3 * 512 * 9 * 512 / 4096);
  EXPECT_LE(conv_squared_norms_workspace_size(3, 64, 32, geometry, stream_), 3 * 32 * 9 * 64 / 256);
  EXPECT_LE(conv_squared_norms_workspace_size(3, 8, 8, geometry, stream_), 3 * 8 * 9 * 8 / 9);
}

TEST_P(ConvSquaredNormsOnEveryBackend, ArgumentsOutOfRangeAreRefused) {
  const GuardedBuffer<float> memory(std::vector<float>(256, 1.0f), stream_);
  const Buffer<double> out(2, stream_);
  const Buffer<double> workspace(64, stream_);
  const ImageView<const float> input{memory.span().data(), 2, 4, {1, 4, 4}, 64, 16, {16, 4, 1}};
  const ImageView<const float> grads{memory.span().data(), 2, 2, {1, 2, 2}, 8, 4, {4, 2, 1}};
  const ConvolutionGeometry good{.kernel = {1, 3, 3}};
  const auto call = [&](const ImageView<const float>& x, const ImageView<const float>& g,
                        const ConvolutionGeometry& geometry) {
    return refusal(
        [&] { conv_squared_norms(x, g, geometry, out.span(), workspace.span(), stream_); });
  };
  EXPECT_EQ(call(input, grads, good), "nothing thrown");
  ImageView<const float> x = input;
  x.batch = 3;
  EXPECT_EQ(call(x, grads, good), "conv_squared_norms: grads.batch = 2, expected input.batch = 3");
  x = input;
  x.sizes[1] = 2;
  EXPECT_EQ(call(x, grads, good),
            "conv_squared_norms: input.sizes[1] = 2, expected at least 3 for this kernel, padding "
            "and dilation");
  x = input;
  x.sizes[2] = std::int64_t{1} << 31;
  EXPECT_EQ(call(x, grads, good),
            "conv_squared_norms: input.sizes[2] = 2147483648, expected 0 to 2147483647");
  x = input;
  x.strides[2] = -1;
  EXPECT_EQ(call(x, grads, good), "conv_squared_norms: input.strides[2] = -1, expected at least 0");
  ImageView<const float> g = grads;
  g.sizes[1] = 3;
  EXPECT_EQ(call(input, g, good),
            "conv_squared_norms: grads.sizes[1] = 3, expected the positions of the kernel = 2");
  ConvolutionGeometry geometry = good;
  geometry.groups = 3;
  EXPECT_EQ(call(input, grads, geometry),
            "conv_squared_norms: groups = 3, expected a divisor of channels_in = 4 and "
            "channels_out = 2");
  geometry = good;
  geometry.stride[1] = 0;
  EXPECT_EQ(call(input, grads, geometry),
            "conv_squared_norms: stride[1] = 0, expected 1 to 2147483647");
  geometry = good;
  geometry.padding[2] = -1;
  EXPECT_EQ(call(input, grads, geometry),
            "conv_squared_norms: padding[2] = -1, expected 0 to 536870911");
  EXPECT_EQ(refusal([&] {
              conv_squared_norms(input, grads, good, Span<double>(out.data(), 1), workspace.span(),
                                 stream_);
            }),
            "conv_squared_norms: squared_norms.size() = 1, expected input.batch = 2");
  EXPECT_EQ(refusal([&] {
              conv_squared_norms_workspace_size(1, 1 << 20, 2, {.kernel = {1, 100, 100}}, stream_);
            }),
            "conv_squared_norms_workspace_size: features of a group exceed 2147483647, expected at "
            "most that many");
  if (GetParam() == Backend::kCuda) {
    EXPECT_EQ(refusal([&] {
                conv_squared_norms(input, grads, good, out.span(), Span<double>(), stream_);
              }),
              "conv_squared_norms: workspace.size() = 0, expected at least " +
                  std::to_string(conv_squared_norms_workspace_size(2, 4, 2, good, stream_)));
  }
}

INSTANTIATE_TEST_SUITE_P(All, ConvSquaredNormsOnEveryBackend, ::testing::ValuesIn(every_backend()),
                         BackendName());

TEST(ConvSquaredNormsOnTheCpu, ResultIsTheSameForAnyNumberOfThreadsAndAnySimdWidth) {
  const ConvCase c{"wide", 5,         6,
                   70,     {1, 6, 9}, {.kernel = {1, 3, 3}, .padding = {0, 1, 1}, .groups = 2}};
  const Images<float> floats(c, kChannelsFirst, 0, 37);
  const Images<double> doubles(c, kChannelsFirst, 0, 37);
  const std::vector<double> of_floats = squared_norms_of(floats, c, Stream::serial());
  const std::vector<double> of_doubles = squared_norms_of(doubles, c, Stream::serial());
  on_every_simd_target([&] {
    for (const Stream& stream : differently_threaded_streams()) {
      EXPECT_EQ(squared_norms_of(floats, c, stream), of_floats);
      EXPECT_EQ(squared_norms_of(doubles, c, stream), of_doubles);
    }
  });
}

}  // namespace
}  // namespace velum::kernels
