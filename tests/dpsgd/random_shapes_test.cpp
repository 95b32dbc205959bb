#include "velum/dpsgd/features/random_shapes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

namespace velum::dpsgd {
namespace {

using kernels::MatrixView;
using kernels::Stream;

std::vector<float> draw(std::int64_t first, std::int64_t count, const Stream& stream,
                        std::int64_t height = 28, std::int64_t width = 28) {
  std::vector<float> images(static_cast<std::size_t>(count * height * width), -1.0f);
  draw_random_shapes(height, width, first, MatrixView<float>(images.data(), count, height * width),
                     stream);
  return images;
}

TEST(RandomShapes, AnImageDependsOnItsNumberOnly) {
  const std::vector<float> all = draw(0, 50, Stream::serial());
  EXPECT_EQ(draw(0, 50, Stream::cpu(3)), all);
  EXPECT_EQ(draw(37, 13, Stream::serial()), std::vector<float>(all.begin() + 37 * 784, all.end()));
  EXPECT_NE(std::vector<float>(all.begin(), all.begin() + 784),
            std::vector<float>(all.begin() + 784, all.begin() + 2 * 784));
}

TEST(RandomShapes, PixelsAreGreysOnBlack) {
  const std::vector<float> images = draw(0, 1000, Stream::cpu(2));
  std::int64_t black = 0;
  double sum = 0.0;
  for (const float pixel : images) {
    ASSERT_GE(pixel, 0.0f);
    ASSERT_LE(pixel, 1.0f);
    if (pixel == 0.0f) ++black;
    sum += pixel;
  }
  // A constant sequence, so no chance is involved: neither empty nor full, of middling grey.
  const double black_share = static_cast<double>(black) / static_cast<double>(images.size());
  EXPECT_GT(black_share, 0.2);
  EXPECT_LT(black_share, 0.8);
  const double grey = sum / static_cast<double>(images.size() - static_cast<std::size_t>(black));
  EXPECT_GT(grey, 0.4);
  EXPECT_LT(grey, 0.6);
}

TEST(RandomShapes, TexturesAreSmootherThanWhiteNoise) {
  // Among horizontal neighbours that are both painted, differences are small beside the spread.
  const std::vector<float> images = draw(0, 500, Stream::cpu(2));
  double difference = 0.0;
  double mean = 0.0;
  double square = 0.0;
  double count = 0.0;
  for (std::size_t i = 0; i + 1 < images.size(); ++i) {
    if (i % 28 == 27 || images[i] == 0.0f || images[i + 1] == 0.0f) continue;
    difference += std::pow(images[i + 1] - images[i], 2);
    mean += images[i];
    square += images[i] * images[i];
    count += 1.0;
  }
  const double variance = square / count - (mean / count) * (mean / count);
  EXPECT_GT(difference / count, 0.001 * variance);  // there is texture
  EXPECT_LT(difference / count, variance);          // white noise has twice the variance
}

TEST(RandomShapes, OtherSizesWork) {
  for (const std::int64_t side : {1, 2, 7, 33}) {
    const std::vector<float> images = draw(5, 40, Stream::serial(), side, side + 1);
    EXPECT_TRUE(std::all_of(images.begin(), images.end(),
                            [](float pixel) { return pixel >= 0.0f && pixel <= 1.0f; }));
    EXPECT_GT(*std::max_element(images.begin(), images.end()), 0.0f);
  }
}

TEST(RandomShapes, ValuesOutOfRangeAreRefused) {
  std::vector<float> image(784);
  const auto call = [&](std::int64_t height, std::int64_t first, std::int64_t columns) {
    draw_random_shapes(height, 28, first, MatrixView<float>(image.data(), 1, columns),
                       Stream::serial());
  };
  EXPECT_THROW(call(0, 0, 784), std::invalid_argument);
  EXPECT_THROW(call(4097, 0, 784), std::invalid_argument);
  EXPECT_THROW(call(28, -1, 784), std::invalid_argument);
  EXPECT_THROW(call(28, 0, 783), std::invalid_argument);
  EXPECT_NO_THROW(call(28, 0, 784));
}

}  // namespace
}  // namespace velum::dpsgd
