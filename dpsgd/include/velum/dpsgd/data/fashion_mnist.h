#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "velum/dpsgd/data/idx.h"
#include "velum/kernels/span.h"

namespace velum::dpsgd {

/// Grey images of one size, each with a class.
struct LabelledImages {
  std::int64_t count = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t classes = 0;
  std::vector<std::uint8_t> images;  // [count, height, width], 0 black to 255 white
  std::vector<std::uint8_t> labels;  // [count], below `classes`

  /// [count, height * width]
  kernels::MatrixView<const std::uint8_t> pixels() const {
    return {images.data(), count, height * width};
  }
};

struct FashionMnist {
  LabelledImages train;  // 60,000 images of 28 x 28
  LabelledImages test;   // 10,000
};

/// The folder of the four Fashion-MNIST files that Debian's package dataset-fashion-mnist
/// installed: where the package manager's list of its files says, else the package's usual folder.
/// @throws DataError with the remedy if they are not there.
std::filesystem::path find_fashion_mnist();

/// Loads train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
/// t10k-labels-idx1-ubyte, each with or without ".gz", and checks counts (60,000 and 10,000 pairs),
/// image size (28 x 28) and labels (0 to 9).
/// Data: Xiao, Rasul, Vollgraf, "Fashion-MNIST" (arXiv 1708.07747).
/// @throws DataError
FashionMnist load_fashion_mnist(const std::filesystem::path& directory);

}  // namespace velum::dpsgd
