#include "velum/dpsgd/training/durable_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace velum::dpsgd {
namespace {

[[noreturn]] void fail(const char* action, const std::filesystem::path& path, int error) {
  throw std::system_error(error, std::generic_category(),
                          std::string("cannot ") + action + " " + path.string());
}

/// A file descriptor that is closed at the end of the scope.
class Descriptor {
 public:
  Descriptor(const char* action, const std::filesystem::path& path, int flags)
      : value_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (value_ < 0) fail(action, path, errno);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

void write_all(int descriptor, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("write", path, errno);
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

void flush(int descriptor, const std::filesystem::path& path) {
  if (::fsync(descriptor) != 0) fail("flush", path, errno);
}

/// Makes the names in a directory durable: a file that was created or renamed is there after a
/// power cut.
void flush_directory_of(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
  const Descriptor directory("open", parent, O_RDONLY | O_DIRECTORY);
  flush(directory.get(), parent);
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  const Descriptor file("read", path, O_RDONLY);
  std::string content;
  char block[1 << 16];
  while (true) {
    const ssize_t count = ::read(file.get(), block, sizeof block);
    if (count < 0) {
      if (errno == EINTR) continue;
      fail("read", path, errno);
    }
    if (count == 0) return content;
    content.append(block, static_cast<std::size_t>(count));
  }
}

void require_writable_directory(const std::filesystem::path& directory, std::int64_t bytes) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw std::system_error(error, "cannot create directory " + directory.string());
  const std::filesystem::path probe = directory / "space-probe.tmp";
  try {
    const Descriptor probe_file("create", probe, O_WRONLY | O_CREAT | O_TRUNC);
    // Written, not only reserved: not every file system reserves.
    const std::string block(std::size_t{1} << 20, '\0');
    for (std::int64_t left = bytes; left > 0; left -= std::int64_t{1} << 20) {
      write_all(probe_file.get(),
                std::string_view(block).substr(
                    0, static_cast<std::size_t>(std::min<std::int64_t>(left, 1 << 20))),
                probe);
    }
    flush(probe_file.get(), probe);
  } catch (...) {
    ::unlink(probe.c_str());
    throw;
  }
  ::unlink(probe.c_str());
}

AppendOnlyFile::AppendOnlyFile(std::filesystem::path path) : path_(std::move(path)) {
  Descriptor file("open", path_, O_RDWR | O_CREAT | O_APPEND);
  initial_content_ = read_file(path_);
  const std::size_t end = initial_content_.rfind('\n') + 1;  // npos + 1 = 0: no whole line
  if (end != initial_content_.size()) {
    initial_content_.resize(end);
    if (::ftruncate(file.get(), static_cast<off_t>(end)) != 0) fail("shorten", path_, errno);
  }
  flush(file.get(), path_);
  flush_directory_of(path_);
  size_ = static_cast<std::int64_t>(end);
  descriptor_ = file.release();
}

AppendOnlyFile::~AppendOnlyFile() { ::close(descriptor_); }

void AppendOnlyFile::append(std::string_view line) {
  std::string record(line);
  record += '\n';
  try {
    write_all(descriptor_, record, path_);
    if (::fdatasync(descriptor_) != 0) fail("flush", path_, errno);
  } catch (...) {
    // Half a line must not become the head of the next one.
    if (::ftruncate(descriptor_, static_cast<off_t>(size_)) != 0) fail("shorten", path_, errno);
    throw;
  }
  size_ += static_cast<std::int64_t>(record.size());
}

DirectoryLock::DirectoryLock(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / "lock";
  Descriptor file("create", path, O_RDWR | O_CREAT);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      throw std::runtime_error("another process is training in " + directory.string());
    }
    fail("lock", path, errno);
  }
  descriptor_ = file.release();
}

DirectoryLock::~DirectoryLock() { ::close(descriptor_); }

}  // namespace velum::dpsgd
