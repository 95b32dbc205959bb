#include "velum/dpsgd/data/fashion_mnist.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <system_error>

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kTrainCount = 60000;
constexpr std::int64_t kTestCount = 10000;
constexpr std::int64_t kSide = 28;
constexpr std::int64_t kClasses = 10;
constexpr const char* kTrainImages = "train-images-idx3-ubyte";
// What `dpkg -L dataset-fashion-mnist` prints.
constexpr const char* kPackageFiles = "/var/lib/dpkg/info/dataset-fashion-mnist.list";
constexpr const char* kUsualDirectory = "/usr/share/datasets/fashion-mnist";
constexpr const char* kRemedy =
    "install Debian's package dataset-fashion-mnist (scripts/setup does), or name the folder of "
    "the four IDX files with --data DIR";

bool is_there(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// `name` or `name`.gz, whichever is there.
std::filesystem::path find_file(const std::filesystem::path& directory, const std::string& name) {
  for (const char* const suffix : {".gz", ""}) {
    std::filesystem::path file = directory / (name + suffix);
    if (is_there(file)) return file;
  }
  throw DataError("load_fashion_mnist: neither " + name + ".gz nor " + name + " is in " +
                  directory.string() + "; " + kRemedy);
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t extent : shape) {
    text += (text.empty() ? "" : " x ") + std::to_string(extent);
  }
  return text;
}

IdxArray read_shaped(const std::filesystem::path& file, const std::vector<std::int64_t>& expected) {
  IdxArray array = read_idx(file);
  if (array.shape != expected) {
    throw DataError("load_fashion_mnist: " + file.string() + " holds " + shape_text(array.shape) +
                    " bytes, expected " + shape_text(expected) + "; " + kRemedy);
  }
  return array;
}

LabelledImages load_part(const std::filesystem::path& directory, const std::string& prefix,
                         std::int64_t count) {
  const auto image_file = find_file(directory, prefix + "-images-idx3-ubyte");
  const auto label_file = find_file(directory, prefix + "-labels-idx1-ubyte");
  LabelledImages part{count, kSide, kSide, kClasses, {}, {}};
  part.images = read_shaped(image_file, {count, kSide, kSide}).values;
  part.labels = read_shaped(label_file, {count}).values;
  const auto wrong = std::find_if(part.labels.begin(), part.labels.end(),
                                  [](std::uint8_t label) { return label >= kClasses; });
  if (wrong != part.labels.end()) {
    throw DataError("load_fashion_mnist: " + label_file.string() + " has label " +
                    std::to_string(*wrong) + " at index " +
                    std::to_string(wrong - part.labels.begin()) + ", expected 0 to 9; " + kRemedy);
  }
  return part;
}

}  // namespace

std::filesystem::path find_fashion_mnist() {
  std::ifstream list(kPackageFiles);
  for (std::string line; std::getline(list, line);) {
    const std::filesystem::path file(line);
    if (file.stem() == kTrainImages && is_there(file)) return file.parent_path();
  }
  std::filesystem::path usual(kUsualDirectory);
  if (is_there(usual / (std::string(kTrainImages) + ".gz"))) return usual;
  throw DataError(std::string("find_fashion_mnist: no Fashion-MNIST files in ") + kUsualDirectory +
                  "; " + kRemedy);
}

FashionMnist load_fashion_mnist(const std::filesystem::path& directory) {
  return {load_part(directory, "train", kTrainCount), load_part(directory, "t10k", kTestCount)};
}

}  // namespace velum::dpsgd
