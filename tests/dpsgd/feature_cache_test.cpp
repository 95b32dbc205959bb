#include "velum/dpsgd/features/feature_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "support/temporary_directory.h"

namespace velum::dpsgd {
namespace {

using kernels::MatrixView;
using kernels::Stream;
using ::testing::HasSubstr;
using ::velum::testing::TemporaryDirectory;

constexpr std::int64_t kImages = 600;  // more than one block of the file

class CachedScattering : public ::testing::Test {
 protected:
  CachedScattering() : images_(static_cast<std::size_t>(kImages * 64)) {
    for (std::size_t i = 0; i < images_.size(); ++i) {
      images_[i] = static_cast<std::uint8_t>((i * 2654435761u) >> 11);
    }
  }

  // Rows lie one element further apart than they are long.
  std::pair<std::vector<float>, ScatteringCacheResult> features(
      std::optional<std::filesystem::path> directory, const ScatteringTransform& transform) {
    const std::int64_t size = transform.output_size();
    std::vector<float> out(static_cast<std::size_t>(kImages * (size + 1)), -3.0f);
    std::int64_t last = 0;
    const ScatteringCacheResult result = cached_scattering(
        transform, MatrixView<const std::uint8_t>(images_.data(), kImages, 64), directory,
        MatrixView<float>(out.data(), kImages, size, size + 1),
        [&last](std::int64_t done, std::int64_t total) {
          EXPECT_GT(done, last);
          EXPECT_EQ(total, kImages);
          last = done;
        },
        Stream::cpu(2));
    EXPECT_EQ(last, kImages);
    EXPECT_EQ(out[static_cast<std::size_t>(size)], -3.0f);
    return {out, result};
  }
  std::pair<std::vector<float>, ScatteringCacheResult> features() {
    return features(directory_.path(), transform_);
  }

  std::string file_content(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  void write_file(const std::filesystem::path& file, const std::string& content) {
    std::ofstream(file, std::ios::binary) << content;
  }
  std::ptrdiff_t files_in_directory() {
    return std::distance(std::filesystem::directory_iterator(directory_.path()),
                         std::filesystem::directory_iterator());
  }

  TemporaryDirectory directory_;
  ScatteringTransform transform_{ScatteringOptions{8, 8, 1, 2}};
  std::vector<std::uint8_t> images_;
};

TEST_F(CachedScattering, TheSecondCallReadsWhatTheFirstWrote) {
  const auto [uncached, nothing] = features(std::nullopt, transform_);
  EXPECT_FALSE(nothing.from_cache);
  EXPECT_TRUE(nothing.file.empty());
  const auto [computed, first] = features();
  EXPECT_FALSE(first.from_cache);
  EXPECT_EQ(first.warning, "");
  EXPECT_EQ(computed, uncached);
  EXPECT_EQ(files_in_directory(), 1);  // no temporary file is left
  const auto [loaded, second] = features();
  EXPECT_TRUE(second.from_cache);
  EXPECT_EQ(second.warning, "");
  EXPECT_EQ(second.file, first.file);
  EXPECT_EQ(loaded, uncached);
}

TEST_F(CachedScattering, OtherImagesAndOtherOptionsAreOtherFiles) {
  const auto first = features().second;
  images_[1000] ^= 1;
  const auto [changed, second] = features();
  EXPECT_FALSE(second.from_cache);
  EXPECT_NE(second.file, first.file);
  const auto third = features(directory_.path(), ScatteringTransform({8, 8, 1, 3})).second;
  EXPECT_FALSE(third.from_cache);
  EXPECT_EQ(third.warning, "");
  EXPECT_EQ(files_in_directory(), 3);
  EXPECT_EQ(changed, features(std::nullopt, transform_).first);
}

TEST_F(CachedScattering, ADamagedFileIsComputedAgainAndReplaced) {
  const auto [expected, first] = features();
  const std::string content = file_content(first.file);
  const auto flipped = [&](std::size_t at) {
    std::string changed = content;
    changed[at] = static_cast<char>(changed[at] ^ 4);
    return changed;
  };
  const std::vector<std::pair<std::string, std::string>> damages = {
      {content.substr(0, content.size() - 1), "bytes, expected"},
      {content + "x", "bytes, expected"},
      {"", "bytes, expected"},
      {flipped(8), "foreign header"},
      {flipped(40), "foreign header"},
      {flipped(70), "damaged digests"},
      {flipped(100), "damaged digests"},
      {flipped(content.size() / 2), "damaged data"},
      {flipped(content.size() - 1), "damaged data"}};
  for (const auto& [damage, complaint] : damages) {
    SCOPED_TRACE(complaint);
    write_file(first.file, damage);
    const auto [again, result] = features();
    EXPECT_FALSE(result.from_cache);
    EXPECT_THAT(result.warning, HasSubstr(complaint));
    EXPECT_THAT(result.warning, HasSubstr(first.file.string()));
    EXPECT_EQ(again, expected);
    EXPECT_EQ(file_content(first.file), content);
  }
}

TEST_F(CachedScattering, ADirectoryThatCannotBeWrittenIsAWarning) {
  write_file(directory_ / "file", "");
  const auto [values, result] = features(directory_ / "file" / "below", transform_);
  EXPECT_THAT(result.warning, HasSubstr("could not be cached"));
  EXPECT_EQ(values, features(std::nullopt, transform_).first);
}

TEST_F(CachedScattering, OnlyTheOwnerMayReadTheFile) {
  const auto result = features().second;
  struct stat status;
  ASSERT_EQ(stat(result.file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
}

TEST(DefaultCacheDirectory, FollowsTheEnvironment) {
  const char* const old_cache = getenv("XDG_CACHE_HOME");
  const char* const old_home = getenv("HOME");
  const std::optional<std::string> cache =
      old_cache == nullptr ? std::nullopt : std::optional<std::string>(old_cache);
  const std::optional<std::string> home =
      old_home == nullptr ? std::nullopt : std::optional<std::string>(old_home);
  setenv("XDG_CACHE_HOME", "/a/b", 1);
  setenv("HOME", "/h", 1);
  EXPECT_EQ(default_cache_directory(), std::filesystem::path("/a/b/velum"));
  setenv("XDG_CACHE_HOME", "relative", 1);  // to be ignored, says the XDG specification
  EXPECT_EQ(default_cache_directory(), std::filesystem::path("/h/.cache/velum"));
  unsetenv("XDG_CACHE_HOME");
  unsetenv("HOME");
  EXPECT_EQ(default_cache_directory(), std::nullopt);
  if (cache) setenv("XDG_CACHE_HOME", cache->c_str(), 1);
  if (home) setenv("HOME", home->c_str(), 1);
}

}  // namespace
}  // namespace velum::dpsgd
