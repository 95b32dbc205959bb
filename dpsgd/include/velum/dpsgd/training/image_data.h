#pragma once

#include <filesystem>
#include <string_view>

#include "velum/dpsgd/data/fashion_mnist.h"

namespace velum::dpsgd {

/// Training images, which are protected, and test images, which are not.
struct ImageData {
  LabelledImages train;
  LabelledImages test;
};

/// Loads 28 x 28 grey images of ten classes.
///
/// @param dataset    "fashion-mnist", checked to be that data set; or "idx": any number of images
///                   in files of the same names and format (train-images-idx3-ubyte,
///                   train-labels-idx1-ubyte, t10k-..., each with or without ".gz").
/// @param directory  of the four files; empty, for fashion-mnist: where Debian's package put them.
/// @throws DataError if a file is missing or is not what it should be; std::invalid_argument for an
///         unknown data set.
ImageData load_image_data(std::string_view dataset, const std::filesystem::path& directory);

}  // namespace velum::dpsgd
