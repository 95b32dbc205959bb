#include "velum/dpsgd/training/image_data.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "velum/dpsgd/data/idx.h"

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kSide = 28;
constexpr std::int64_t kClasses = 10;

std::filesystem::path find_file(const std::filesystem::path& directory, const std::string& name) {
  for (const char* suffix : {"", ".gz"}) {
    std::filesystem::path file = directory / (name + suffix);
    if (std::filesystem::exists(file)) return file;
  }
  throw DataError("no file " + (directory / name).string() + " or " + (directory / name).string() +
                  ".gz");
}

LabelledImages load_split(const std::filesystem::path& directory, const std::string& prefix) {
  const std::filesystem::path image_file = find_file(directory, prefix + "-images-idx3-ubyte");
  const std::filesystem::path label_file = find_file(directory, prefix + "-labels-idx1-ubyte");
  IdxArray images = read_idx(image_file);
  IdxArray labels = read_idx(label_file);
  if (images.shape.size() != 3 || images.shape[1] != kSide || images.shape[2] != kSide) {
    throw DataError(image_file.string() + ": expected images of 28 x 28");
  }
  if (images.shape[0] < 1) throw DataError(image_file.string() + ": expected at least one image");
  if (labels.shape.size() != 1 || labels.shape[0] != images.shape[0]) {
    throw DataError(label_file.string() + ": expected as many labels as " + image_file.string() +
                    " has images, " + std::to_string(images.shape[0]));
  }
  if (*std::max_element(labels.values.begin(), labels.values.end()) >= kClasses) {
    throw DataError(label_file.string() + ": expected labels 0 to 9");
  }
  return {images.shape[0],         kSide, kSide, kClasses, std::move(images.values),
          std::move(labels.values)};
}

}  // namespace

ImageData load_image_data(std::string_view dataset, const std::filesystem::path& directory) {
  if (dataset == "fashion-mnist") {
    FashionMnist data = load_fashion_mnist(directory.empty() ? find_fashion_mnist() : directory);
    return {std::move(data.train), std::move(data.test)};
  }
  if (dataset == "idx") return {load_split(directory, "train"), load_split(directory, "t10k")};
  throw std::invalid_argument("dataset = " + std::string(dataset) +
                              ", expected fashion-mnist or idx");
}

}  // namespace velum::dpsgd
