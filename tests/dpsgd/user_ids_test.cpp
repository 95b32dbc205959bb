// Files that say whose each example is.
#include "velum/dpsgd/training/user_ids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "support/temporary_directory.h"
#include "velum/dpsgd/data/idx.h"

namespace velum::dpsgd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Ids = std::vector<std::int64_t>;

class UserIds : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& bytes) const {
    const std::filesystem::path path = directory_ / "users";
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  Ids read(const std::string& bytes) const { return read_user_ids(file(bytes)); }
  std::string error(const std::string& bytes) const {
    try {
      read(bytes);
    } catch (const DataError& refusal) {
      return refusal.what();
    }
    return "";
  }
  testing::TemporaryDirectory directory_;
};

/// As numpy.save writes it.
std::string npy(const std::string& type, const std::string& shape, const std::string& data,
                char version = 1) {
  std::string header =
      "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
  const std::size_t preamble = version == 1 ? 10 : 12;
  while ((preamble + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string bytes = std::string("\x93NUMPY") + version + '\0';
  bytes += static_cast<char>(header.size() & 255);
  bytes += static_cast<char>(header.size() >> 8);
  if (version > 1) bytes += std::string(2, '\0');
  return bytes + header + data;
}

TEST_F(UserIds, ANumberOnEachLine) {
  EXPECT_THAT(read("3\n-1\n3\n"), ElementsAre(3, -1, 3));
  EXPECT_THAT(read("3\r\n7"), ElementsAre(3, 7));
  EXPECT_THAT(read("9223372036854775807\n-9223372036854775808\n"),
              ElementsAre(INT64_MAX, INT64_MIN));
}

TEST_F(UserIds, WhatIsNoNumberIsRefusedWithItsLine) {
  for (const std::string line :
       {"", "x", "1.5", "1,2", " 1", "1 ", "0x1", "+1", "user", "9223372036854775808"}) {
    EXPECT_THAT(error("4\n" + line + "\n5\n"), HasSubstr("line 2 is no whole number")) << line;
  }
  EXPECT_THAT(error(""), HasSubstr("no user"));
}

TEST_F(UserIds, IntegersOfNumpy) {
  using namespace std::string_literals;
  EXPECT_THAT(read(npy("<i8", "(2,)", "\x05\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"s)),
              ElementsAre(5, -1));
  EXPECT_THAT(read(npy("<i4", "(1,)", "\xfe\xff\xff\xff"s)), ElementsAre(-2));
  EXPECT_THAT(read(npy("<u2", "(2,)", "\xfe\xff\1\0"s)), ElementsAre(65534, 1));
  EXPECT_THAT(read(npy("|u1", "(3,)", "\xfe\1\0"s)), ElementsAre(254, 1, 0));
  EXPECT_THAT(read(npy("|i1", "(1,)", "\xfe"s, 2)), ElementsAre(-2));
}

TEST_F(UserIds, OtherArraysOfNumpyAreRefused) {
  using namespace std::string_literals;
  const std::string eight(8, '\1');
  EXPECT_THAT(error(npy("<f8", "(1,)", eight)),
              HasSubstr("'<f8', expected little-endian integers"));
  EXPECT_THAT(error(npy(">i8", "(1,)", eight)), HasSubstr("little-endian"));
  EXPECT_THAT(error(npy("<i8", "(1, 1)", eight)), HasSubstr("one dimension"));
  EXPECT_THAT(error(npy("<i8", "()", eight)), HasSubstr("one dimension"));
  EXPECT_THAT(error(npy("<i8", "(-1,)", eight)), HasSubstr("one dimension"));
  EXPECT_THAT(error(npy("<i8", "(2,)", eight)), HasSubstr("8 bytes of data, expected 16"));
  EXPECT_THAT(error(npy("<i8", "(0,)", "")), HasSubstr("no user"));
  EXPECT_THAT(error(npy("<i8", "(99999999999999,)", eight)), HasSubstr("at most 2^35"));
  EXPECT_THAT(error(npy("<u8", "(1,)", std::string(8, '\xff'))), HasSubstr("above 2^63 - 1"));
  EXPECT_THAT(error(npy("<i8", "(1,)", eight, 4)), HasSubstr("version 4"));
  EXPECT_THAT(error("\x93NUMPY\1"s), HasSubstr("cut off"));
  EXPECT_THAT(error("\x93NUMPY\1\0\xff\xff{"s), HasSubstr("cut off"));
  EXPECT_THAT(error("\x93NUMPY\1\0\2\0{}"s), HasSubstr("no descr"));
}

}  // namespace
}  // namespace velum::dpsgd
