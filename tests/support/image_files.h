#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace velum::testing {

/// Writes the four IDX files of a small data set of 28 x 28 images in ten classes: a bright bar
/// whose place tells the class, on noise. The same for the same counts.
inline void write_image_files(const std::filesystem::path& directory, std::uint32_t train_count,
                              std::uint32_t test_count) {
  std::minstd_rand noise(1);
  const auto write = [&](const std::string& name, const std::vector<std::uint32_t>& shape,
                         const std::vector<std::uint8_t>& values) {
    std::ofstream out(directory / name, std::ios::binary);
    const char magic[4] = {0, 0, 8, static_cast<char>(shape.size())};
    out.write(magic, 4);
    for (const std::uint32_t extent : shape) {
      for (int shift = 24; shift >= 0; shift -= 8) out.put(static_cast<char>(extent >> shift));
    }
    out.write(reinterpret_cast<const char*>(values.data()),
              static_cast<std::streamsize>(values.size()));
  };
  for (const auto& [prefix, count] :
       {std::pair("train", train_count), std::pair("t10k", test_count)}) {
    std::vector<std::uint8_t> images, labels;
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t label = i % 10;
      labels.push_back(static_cast<std::uint8_t>(label));
      for (std::uint32_t row = 0; row < 28; ++row) {
        for (std::uint32_t column = 0; column < 28; ++column) {
          const bool bar =
              row >= 4 && row < 24 && column >= 2 * label + 2 && column < 2 * label + 6;
          images.push_back(static_cast<std::uint8_t>((bar ? 195 : 0) + noise() % 60));
        }
      }
    }
    write(prefix + std::string("-images-idx3-ubyte"), {count, 28, 28}, images);
    write(prefix + std::string("-labels-idx1-ubyte"), {count}, labels);
  }
}

}  // namespace velum::testing
