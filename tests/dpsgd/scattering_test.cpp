#include "velum/dpsgd/features/scattering.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference/scattering_by_convolution.h"
#include "support/simd_targets.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {
namespace {

using kernels::MatrixView;
using kernels::Stream;
using ::testing::HasSubstr;

// The distance from exact values that scattering.h promises for images in [0, 1].
constexpr double kPromised = 1e-5;

// The images of tests/data/make_scattering_reference.py: a texture and a shaded ellipse.
std::vector<std::uint8_t> make_image(int kind, std::int64_t height, std::int64_t width) {
  std::vector<std::uint8_t> image;
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const std::int64_t dy = 2 * y - height;
      const std::int64_t dx = 2 * x - width;
      const bool inside = 3 * dy * dy + 2 * dx * dx < 2 * height * width;
      const std::int64_t shade = inside ? 60 + (5 * y + x) % 180 : 0;
      image.push_back(
          static_cast<std::uint8_t>(kind == 0 ? (37 * y + 101 * x + 3 * y * x) % 256 : shade));
    }
  }
  return image;
}

std::vector<float> scatter(const ScatteringTransform& transform,
                           const std::vector<std::uint8_t>& images, const Stream& stream) {
  const std::int64_t count = static_cast<std::int64_t>(images.size()) / transform.image_size();
  std::vector<float> out(static_cast<std::size_t>(count * transform.output_size()), -1.0f);
  transform.transform(MatrixView<const std::uint8_t>(images.data(), count, transform.image_size()),
                      MatrixView<float>(out.data(), count, transform.output_size()), stream);
  return out;
}

TEST(Scattering, AgreesWithKymatioOnEverySimdTarget) {
  std::ifstream file(VELUM_TEST_DATA "/scattering_reference.txt");
  ASSERT_TRUE(file.is_open());
  std::string line;
  while (file.peek() == '#') std::getline(file, line);
  int cases = 0;
  for (std::string word; file >> word; ++cases) {
    ASSERT_EQ(word, "case");
    ScatteringOptions options;
    int kind = 0;
    std::size_t stride = 0;
    std::size_t count = 0;
    file >> options.height >> options.width >> options.scales >> options.orientations >> kind >>
        stride >> count;
    SCOPED_TRACE("case " + std::to_string(cases));
    const ScatteringTransform transform(options);
    std::vector<double> expected((count + stride - 1) / stride);
    for (double& value : expected) ASSERT_TRUE(file >> value);
    ::velum::testing::for_each_simd_target(kernels::Backend::kCpu, [&] {
      const std::vector<float> values =
          scatter(transform, make_image(kind, options.height, options.width), Stream::serial());
      ASSERT_EQ(values.size(), count);
      for (std::size_t i = 0; i < count; i += stride) {
        ASSERT_NEAR(values[i], expected[i / stride], kPromised) << "coefficient " << i;
      }
    });
  }
  EXPECT_EQ(cases, 7);
}

TEST(Scattering, AgreesWithConvolutionsByDefinition) {
  const std::vector<ScatteringOptions> every_options = {
      {28, 28, 2, 8}, {16, 22, 2, 3}, {17, 12, 1, 6}, {4, 4, 2, 2}};
  for (const ScatteringOptions& options : every_options) {
    SCOPED_TRACE(std::to_string(options.height) + " x " + std::to_string(options.width));
    const ScatteringTransform transform(options);
    const auto bytes = make_image(1, options.height, options.width);
    std::vector<double> image(bytes.size());
    for (std::size_t i = 0; i < bytes.size(); ++i) image[i] = bytes[i] / 255.0;
    const std::vector<double> expected = reference::scattering_by_convolution(
        image, options.height, options.width, options.scales, options.orientations);
    const std::vector<float> values = scatter(transform, bytes, Stream::serial());
    ASSERT_EQ(values.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(values[i], expected[i], kPromised) << "coefficient " << i;
    }
  }
}

TEST(Scattering, ShapeFollowsTheOptions) {
  const ScatteringTransform transform({28, 28, 2, 8});
  EXPECT_EQ(transform.image_size(), 784);
  EXPECT_EQ(transform.channels(), 81);
  EXPECT_EQ(transform.output_height(), 7);
  EXPECT_EQ(transform.output_width(), 7);
  EXPECT_EQ(transform.output_size(), 3969);
  const ScatteringTransform deep({40, 33, 3, 4});
  EXPECT_EQ(deep.channels(), 1 + 12 + 48);
  EXPECT_EQ(deep.output_height(), 5);
  EXPECT_EQ(deep.output_width(), 4);
}

TEST(Scattering, ARowDependsOnItsImageOnly) {
  const ScatteringTransform transform({28, 28, 2, 8});
  const std::size_t size = static_cast<std::size_t>(transform.output_size());
  std::vector<std::uint8_t> images;
  for (int i = 0; i < 201; ++i) {  // more than one range, and groups that are not full
    auto image = make_image(i % 2, 28, 28);
    for (std::size_t k = 0; k < image.size(); ++k) {
      image[k] = static_cast<std::uint8_t>(image[k] + i * 7);
    }
    images.insert(images.end(), image.begin(), image.end());
  }
  const std::vector<float> together = scatter(transform, images, Stream::serial());
  EXPECT_EQ(scatter(transform, images, Stream::cpu(3)), together);
  for (const std::size_t i : {0u, 1u, 7u, 63u, 64u, 100u, 200u}) {
    const std::vector<std::uint8_t> one(
        images.begin() + static_cast<std::ptrdiff_t>(i * 784),
        images.begin() + static_cast<std::ptrdiff_t>(i * 784 + 784));
    const std::vector<float> expected(
        together.begin() + static_cast<std::ptrdiff_t>(i * size),
        together.begin() + static_cast<std::ptrdiff_t>((i + 1) * size));
    EXPECT_EQ(scatter(transform, one, Stream::serial()), expected) << "image " << i;
  }
}

TEST(Scattering, BytesStandForValueOver255AndStridesAreRespected) {
  const ScatteringTransform transform({28, 28, 2, 8});
  const auto bytes = make_image(1, 28, 28);
  const std::int64_t in_stride = 784 + 5;
  const std::int64_t out_stride = 3969 + 1;
  std::vector<float> images(static_cast<std::size_t>(3 * in_stride), NAN);
  for (std::size_t row = 0; row < 3; ++row) {
    for (std::size_t k = 0; k < 784; ++k) {
      images[row * static_cast<std::size_t>(in_stride) + k] = static_cast<float>(bytes[k]) / 255.0f;
    }
  }
  std::vector<float> out(static_cast<std::size_t>(3 * out_stride), -7.0f);
  transform.transform(MatrixView<const float>(images.data(), 3, 784, in_stride),
                      MatrixView<float>(out.data(), 3, 3969, out_stride), Stream::serial());
  const std::vector<float> expected = scatter(transform, bytes, Stream::serial());
  for (std::size_t row = 0; row < 3; ++row) {
    const float* const begin = out.data() + row * static_cast<std::size_t>(out_stride);
    EXPECT_EQ(std::vector<float>(begin, begin + 3969), expected);
    EXPECT_EQ(begin[3969], -7.0f);  // what lies between the rows is left alone
  }
}

TEST(Scattering, AnEmptyBatchIsNothing) {
  EXPECT_TRUE(scatter(ScatteringTransform({28, 28, 2, 8}), {}, Stream::cpu(2)).empty());
}

TEST(Scattering, ValuesOutOfRangeAreNamed) {
  const auto message = [](const ScatteringOptions& options) -> std::string {
    try {
      ScatteringTransform transform(options);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message({28, 28, 0, 8}), HasSubstr("scales = 0, expected 1 to 8"));
  EXPECT_THAT(message({28, 28, 2, 65}), HasSubstr("orientations = 65, expected 1 to 64"));
  EXPECT_THAT(message({3, 28, 2, 8}), HasSubstr("height = 3, expected 4 to 256"));
  EXPECT_THAT(message({28, 257, 2, 8}), HasSubstr("width = 257, expected 4 to 256"));

  const ScatteringTransform transform({28, 28, 2, 8});
  std::vector<float> memory(4000);
  const auto call = [&](std::int64_t in_cols, std::int64_t out_rows, std::int64_t out_cols,
                        const Stream& stream) -> std::string {
    try {
      transform.transform(MatrixView<const float>(memory.data(), 1, in_cols),
                          MatrixView<float>(memory.data(), out_rows, out_cols), stream);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(call(783, 1, 3969, Stream::serial()), HasSubstr("images.cols = 783, expected"));
  EXPECT_THAT(call(784, 1, 3968, Stream::serial()), HasSubstr("out.cols = 3968, expected"));
  EXPECT_THAT(call(784, 2, 3969, Stream::serial()), HasSubstr("out.rows = 2, expected"));
  EXPECT_THAT(call(784, 1, 3969, Stream::cuda(nullptr, 0)),
              HasSubstr("backend cuda, expected cpu"));
}

}  // namespace
}  // namespace velum::dpsgd
