#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace velum::dpsgd {

/// @throws std::system_error that names the path and the reason.
std::string read_file(const std::filesystem::path& path);

/// Fails now, and not after an hour of training, where a directory cannot take `bytes` more bytes:
/// creates it if it is not there, writes that much into a file in it and removes the file.
/// @throws std::system_error that names the directory and the reason.
void require_writable_directory(const std::filesystem::path& directory, std::int64_t bytes);

/// A file of lines that only grows. `append` returns when the line is on the device.
class AppendOnlyFile {
 public:
  /// Opens the file or creates it. A last line without its newline was cut off by a crash inside
  /// `append`, which therefore never returned: it is removed.
  /// @throws std::system_error if it cannot be opened, read or written.
  explicit AppendOnlyFile(std::filesystem::path path);
  AppendOnlyFile(const AppendOnlyFile&) = delete;
  AppendOnlyFile& operator=(const AppendOnlyFile&) = delete;
  ~AppendOnlyFile();

  /// The content at the time of opening, whole lines.
  const std::string& initial_content() const { return initial_content_; }
  /// @param line  without newline.
  /// @throws std::system_error if it cannot be written; the line is then taken back, and the caller
  ///         must not do what it announced.
  void append(std::string_view line);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string initial_content_;
  std::int64_t size_ = 0;
};

/// Keeps a second process out of a directory while this object lives. The lock dies with its
/// process, however that ends.
class DirectoryLock {
 public:
  /// @throws std::runtime_error if another process holds it; std::system_error if it cannot be
  ///         locked.
  explicit DirectoryLock(const std::filesystem::path& directory);
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  ~DirectoryLock();

 private:
  int descriptor_ = -1;
};

}  // namespace velum::dpsgd
