#include "velum/dpsgd/accounting/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "support/temporary_directory.h"

namespace velum::dpsgd {
namespace {

namespace fs = std::filesystem;
using testing::TemporaryDirectory;

std::string contents_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(WriteFileAtomically, WritesAndReplacesAndLeavesNothingElse) {
  const TemporaryDirectory folder;
  const fs::path path = folder / "report.json";
  std::string large(3'000'000, 'x');
  large[1'500'000] = '\0';
  for (const std::string& contents : {std::string("first"), std::string(), large}) {
    write_file_atomically(path, contents);
    EXPECT_EQ(contents_of(path), contents);
    EXPECT_EQ(entries(folder.path()), 1u);
  }
}

TEST(WriteFileAtomically, KeepsThePermissionsOfTheOldFile) {
  const TemporaryDirectory folder;
  const fs::path path = folder / "key";
  write_file_atomically(path, "a");
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  write_file_atomically(path, "b");
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST(WriteFileAtomically, ReplacesTheFileInsteadOfWritingIntoIt) {
  // A reader that has the old file open keeps seeing the old contents, whole.
  const TemporaryDirectory folder;
  const fs::path path = folder / "report.json";
  write_file_atomically(path, "old contents");
  std::ifstream reader(path, std::ios::binary);
  write_file_atomically(path, "new");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(reader), {}), "old contents");
}

TEST(WriteFileAtomically, LeavesTheOldFileWhenItFails) {
  const TemporaryDirectory folder;
  fs::create_directory(folder / "taken");
  std::ofstream(folder / "taken/inside") << "kept";
  EXPECT_THROW(write_file_atomically(folder / "taken", "x"), std::system_error);
  EXPECT_EQ(contents_of(folder / "taken/inside"), "kept");
  EXPECT_EQ(entries(folder.path()), 1u);  // the temporary file is gone
}

TEST(WriteFileAtomically, NamesThePath) {
  const TemporaryDirectory folder;
  try {
    write_file_atomically(folder / "missing/report.json", "x");
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("write_file_atomically: cannot create "));
    EXPECT_THAT(error.what(), ::testing::HasSubstr("missing/report.json"));
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
  }
}

}  // namespace
}  // namespace velum::dpsgd
