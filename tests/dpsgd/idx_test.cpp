#include "velum/dpsgd/data/idx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "velum/dpsgd/data/fashion_mnist.h"

namespace velum::dpsgd {
namespace {

using ::testing::HasSubstr;
using ::velum::testing::TemporaryDirectory;
using Bytes = std::vector<std::uint8_t>;

void write_plain(const std::filesystem::path& file, const Bytes& bytes) {
  std::ofstream out(file, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

void write_gzip(const std::filesystem::path& file, const Bytes& bytes) {
  const gzFile out = gzopen(file.c_str(), "wb1");
  gzwrite(out, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(out);
}

void append(Bytes& bytes, const Bytes& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

Bytes big_endian(std::uint32_t value) {
  return {static_cast<std::uint8_t>(value >> 24), static_cast<std::uint8_t>(value >> 16),
          static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)};
}

Bytes header(const std::vector<std::uint32_t>& shape) {
  Bytes bytes{0, 0, 8, static_cast<std::uint8_t>(shape.size())};
  for (const std::uint32_t extent : shape) append(bytes, big_endian(extent));
  return bytes;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const DataError& error) {
    return error.what();
  }
  return "no DataError";
}

class ReadIdx : public ::testing::Test {
 protected:
  std::string error_for(const Bytes& bytes) {
    const auto file = directory_ / "a.idx";
    write_plain(file, bytes);
    const std::string text = error_of([&] { read_idx(file); });
    EXPECT_THAT(text, HasSubstr(file.string()));
    return text;
  }
  TemporaryDirectory directory_;
};

TEST_F(ReadIdx, PlainAndCompressedFilesGiveShapeAndBytes) {
  Bytes bytes = header({2, 3});
  const Bytes values{1, 2, 3, 250, 0, 255};
  append(bytes, values);
  write_plain(directory_ / "plain", bytes);
  write_gzip(directory_ / "packed.gz", bytes);
  for (const char* const name : {"plain", "packed.gz"}) {
    const IdxArray array = read_idx(directory_ / name);
    EXPECT_EQ(array.shape, (std::vector<std::int64_t>{2, 3}));
    EXPECT_EQ(array.values, values);
  }
}

TEST_F(ReadIdx, ArraysLongerThanOneReadAreWhole) {
  Bytes bytes = header({9000, 1000});
  Bytes values(9000000);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<std::uint8_t>((i * 2654435761u) >> 13);
  }
  append(bytes, values);
  write_gzip(directory_ / "long.gz", bytes);
  EXPECT_EQ(read_idx(directory_ / "long.gz").values, values);
}

TEST_F(ReadIdx, AnEmptyArrayIsAnArray) {
  write_plain(directory_ / "empty", header({0, 28, 28}));
  const IdxArray array = read_idx(directory_ / "empty");
  EXPECT_EQ(array.shape, (std::vector<std::int64_t>{0, 28, 28}));
  EXPECT_TRUE(array.values.empty());
}

TEST_F(ReadIdx, WhatIsNotAFileIsNamed) {
  EXPECT_THAT(error_of([&] { read_idx(directory_ / "nothing"); }), HasSubstr("does not exist"));
  EXPECT_THAT(error_of([&] { read_idx(directory_.path()); }), HasSubstr("is not a regular file"));
}

TEST_F(ReadIdx, AForeignHeaderIsRefused) {
  EXPECT_THAT(error_for({}), HasSubstr("ends inside its magic number"));
  EXPECT_THAT(error_for({'P', 'K', 8, 1}), HasSubstr("is not an IDX file"));
  EXPECT_THAT(error_for({0, 0, 0x0d, 1}), HasSubstr("IDX type 13, expected 8"));
  EXPECT_THAT(error_for({0, 0, 8, 0}), HasSubstr("0 dimensions, expected 1 to 4"));
  EXPECT_THAT(error_for({0, 0, 8, 5}), HasSubstr("5 dimensions, expected 1 to 4"));
  EXPECT_THAT(error_for({0, 0, 8, 2, 0, 0, 0, 1, 0}), HasSubstr("ends inside its header"));
}

TEST_F(ReadIdx, SizesBeyondTheFileAllocateNothingLarge) {
  // 2^62 bytes declared: an allocation of that size would throw std::bad_alloc, not DataError.
  EXPECT_THAT(error_for(header({0x80000000u, 0x80000000u})), HasSubstr("ends inside its data"));
  EXPECT_THAT(error_for(header({0xffffffffu, 0xffffffffu, 2})), HasSubstr("more than 2^63"));
}

TEST_F(ReadIdx, AMissingByteAndAnExtraByteAreErrors) {
  Bytes bytes = header({4});
  append(bytes, {1, 2, 3});
  EXPECT_THAT(error_for(bytes), HasSubstr("ends inside its data"));
  append(bytes, {4, 5});
  EXPECT_THAT(error_for(bytes), HasSubstr("bytes after the end"));
}

TEST_F(ReadIdx, DamagedCompressionIsAnError) {
  Bytes bytes = header({1000});
  append(bytes, Bytes(1000, 7));
  write_gzip(directory_ / "whole.gz", bytes);
  std::ifstream in(directory_ / "whole.gz", std::ios::binary);
  const Bytes packed((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  ASSERT_GT(packed.size(), 18u);

  const Bytes cut(packed.begin(), packed.end() - 9);  // the checksum and one more byte are gone
  EXPECT_THAT(error_for(cut), HasSubstr("is damaged"));
  Bytes flipped = packed;
  flipped[flipped.size() - 6] ^= 1;  // in the CRC-32
  EXPECT_THAT(error_for(flipped), HasSubstr("is damaged"));
}

class LoadFashionMnist : public ::testing::Test {
 protected:
  void write_part(const std::string& prefix, std::uint32_t count, std::uint8_t label) {
    Bytes images = header({count, 28, 28});
    images.resize(images.size() + std::size_t{count} * 28 * 28, 9);
    write_gzip(directory_ / (prefix + "-images-idx3-ubyte.gz"), images);
    Bytes labels = header({count});
    labels.resize(labels.size() + count, 3);
    labels.back() = label;
    write_plain(directory_ / (prefix + "-labels-idx1-ubyte"), labels);
  }
  TemporaryDirectory directory_;
};

TEST_F(LoadFashionMnist, ReadsBothPartsPlainOrCompressed) {
  write_part("train", 60000, 0);
  write_part("t10k", 10000, 9);
  const FashionMnist data = load_fashion_mnist(directory_.path());
  EXPECT_EQ(data.train.pixels().rows, 60000);
  EXPECT_EQ(data.train.pixels().cols, 784);
  EXPECT_EQ(data.train.labels.front(), 3);
  EXPECT_EQ(data.test.count, 10000);
  EXPECT_EQ(data.test.labels.back(), 9);
  EXPECT_EQ(data.test.images.size(), 7840000u);
}

TEST_F(LoadFashionMnist, WrongCountsAndLabelsAreNamedWithARemedy) {
  write_part("train", 60000, 0);
  const auto load = [&] { load_fashion_mnist(directory_.path()); };
  EXPECT_THAT(error_of(load), HasSubstr("neither t10k-images-idx3-ubyte.gz nor"));
  EXPECT_THAT(error_of(load), HasSubstr("--data DIR"));
  write_part("t10k", 10000, 10);
  EXPECT_THAT(error_of(load), HasSubstr("label 10 at index 9999, expected 0 to 9"));
  write_part("t10k", 9999, 1);
  EXPECT_THAT(error_of(load), HasSubstr("holds 9999 x 28 x 28 bytes, expected 10000 x 28 x 28"));
}

TEST(FindFashionMnist, TheInstalledPackageLoads) {
  std::filesystem::path directory;
  try {
    directory = find_fashion_mnist();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("dataset-fashion-mnist"));
    GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  }
  const FashionMnist data = load_fashion_mnist(directory);
  std::vector<int> histogram(10);
  for (const std::uint8_t label : data.train.labels) ++histogram[label];
  EXPECT_EQ(histogram, std::vector<int>(10, 6000));  // as the paper says: balanced
}

}  // namespace
}  // namespace velum::dpsgd
