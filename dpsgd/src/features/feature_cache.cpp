#include "velum/dpsgd/features/feature_cache.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "features/checks.h"

namespace velum::dpsgd {
namespace {

// A cache file is a header, the digests of the blocks, and the rows, packed; all in the byte order
// of the machine, which the header's first word shows.
constexpr std::uint64_t kMagic = 0x31454843'4d4c4556;  // "VELMCHE1"
// Raised whenever the same images and options may give other features.
constexpr std::uint32_t kFormatVersion = 1;
constexpr std::int64_t kBlockRows = 512;

using Digest = std::array<std::uint8_t, 32>;

struct Header {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t block_rows;
  std::int64_t rows;
  std::int64_t columns;
  Digest key;
};
static_assert(sizeof(Header) == 64);

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }
  void add(const void* data, std::int64_t bytes) {
    check(EVP_DigestUpdate(context_.get(), data, static_cast<std::size_t>(bytes)) == 1);
  }
  Digest finish() {
    Digest digest;
    check(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1);
    return digest;
  }

 private:
  static void check(bool good) {
    if (!good) throw std::runtime_error("cached_scattering: SHA-256 of OpenSSL failed");
  }
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

std::string hex(const Digest& digest) {
  std::string text;
  for (const std::uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

Digest key_of(const ScatteringTransform& transform,
              kernels::MatrixView<const std::uint8_t> images) {
  const ScatteringOptions& options = transform.options();
  const std::array<std::int64_t, 7> parameters = {
      kFormatVersion,       options.height, options.width, options.scales,
      options.orientations, images.rows,    images.cols};
  Sha256 hash;
  hash.add("velum scattering features", 26);
  hash.add(parameters.data(), sizeof(parameters));
  for (std::int64_t r = 0; r < images.rows; ++r) {
    hash.add(images.data + r * images.row_stride, images.cols);
  }
  return hash.finish();
}

class File {
 public:
  File(const std::filesystem::path& path, int flags)
      : descriptor_(open(path.c_str(), flags | O_CLOEXEC, 0600)), path_(path) {
    if (descriptor_ < 0) fail("open");
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { close(descriptor_); }

  std::int64_t size() const {
    struct stat status;
    if (fstat(descriptor_, &status) != 0) fail("stat");
    return status.st_size;
  }
  // Whole or an exception; may be called by several threads at once.
  void read(void* out, std::int64_t bytes, std::int64_t offset) const {
    transfer(
        [&](std::int64_t done) {
          return pread(descriptor_, static_cast<char*>(out) + done,
                       static_cast<std::size_t>(bytes - done), offset + done);
        },
        bytes, "read");
  }
  void write(const void* data, std::int64_t bytes, std::int64_t offset) const {
    transfer(
        [&](std::int64_t done) {
          return pwrite(descriptor_, static_cast<const char*>(data) + done,
                        static_cast<std::size_t>(bytes - done), offset + done);
        },
        bytes, "write");
  }

 private:
  template <typename Step>
  void transfer(const Step& step, std::int64_t bytes, const char* what) const {
    for (std::int64_t done = 0; done < bytes;) {
      const ssize_t count = step(done);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail(what);
      if (count == 0) throw std::runtime_error(path_.string() + " is truncated");
      done += count;
    }
  }
  [[noreturn]] void fail(const char* what) const {
    throw std::system_error(errno, std::generic_category(),
                            std::string(what) + " " + path_.string());
  }

  int descriptor_;
  std::filesystem::path path_;
};

class Block {
 public:
  Block(kernels::MatrixView<float> out, std::int64_t index)
      : out_(out),
        first_(index * kBlockRows),
        count_(std::min(kBlockRows, out.rows - first_)),
        packed_(static_cast<std::size_t>(count_ * out.cols)) {}
  std::int64_t bytes() const { return static_cast<std::int64_t>(packed_.size() * sizeof(float)); }
  std::int64_t offset(std::int64_t data_begin) const {
    return data_begin + first_ * out_.cols * static_cast<std::int64_t>(sizeof(float));
  }
  float* data() { return packed_.data(); }
  void gather() {
    for (std::int64_t r = 0; r < count_; ++r) {
      std::copy_n(out_.data + (first_ + r) * out_.row_stride, out_.cols,
                  packed_.data() + r * out_.cols);
    }
  }
  void scatter() const {
    for (std::int64_t r = 0; r < count_; ++r) {
      std::copy_n(packed_.data() + r * out_.cols, out_.cols,
                  out_.data + (first_ + r) * out_.row_stride);
    }
  }
  Digest digest() const {
    Sha256 hash;
    hash.add(packed_.data(), bytes());
    return hash.finish();
  }

 private:
  kernels::MatrixView<float> out_;
  std::int64_t first_;
  std::int64_t count_;
  std::vector<float> packed_;
};

Header header_for(const Digest& key, kernels::MatrixView<float> out) {
  return {kMagic, kFormatVersion, static_cast<std::uint32_t>(kBlockRows), out.rows, out.cols, key};
}

std::int64_t block_count(kernels::MatrixView<float> out) {
  return (out.rows + kBlockRows - 1) / kBlockRows;
}

std::int64_t data_begin(kernels::MatrixView<float> out) {
  return static_cast<std::int64_t>(sizeof(Header) + sizeof(Digest)) +
         block_count(out) * static_cast<std::int64_t>(sizeof(Digest));
}

Digest digest_of(const std::vector<Digest>& digests) {
  Sha256 hash;
  hash.add(digests.data(), static_cast<std::int64_t>(digests.size() * sizeof(Digest)));
  return hash.finish();
}

void load(const std::filesystem::path& path, const Digest& key, kernels::MatrixView<float> out,
          const kernels::Stream& stream) {
  const auto damaged = [&path](const std::string& what) {
    throw std::runtime_error(path.string() + " " + what);
  };
  const File file(path, O_RDONLY);
  const std::int64_t expected_size =
      data_begin(out) + out.rows * out.cols * static_cast<std::int64_t>(sizeof(float));
  if (file.size() != expected_size) {
    damaged("has " + std::to_string(file.size()) + " bytes, expected " +
            std::to_string(expected_size));
  }
  Header header;
  file.read(&header, sizeof(header), 0);
  const Header expected = header_for(key, out);
  if (std::memcmp(&header, &expected, sizeof(header)) != 0) damaged("has a foreign header");
  Digest all;
  file.read(all.data(), sizeof(all), sizeof(header));
  std::vector<Digest> digests(static_cast<std::size_t>(block_count(out)));
  file.read(digests.data(), static_cast<std::int64_t>(digests.size() * sizeof(Digest)),
            sizeof(header) + sizeof(all));
  if (digest_of(digests) != all) damaged("has damaged digests");
  std::atomic<bool> intact = true;
  stream.parallel_for().run(block_count(out), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end && intact; ++index) {
      Block block(out, index);
      file.read(block.data(), block.bytes(), block.offset(data_begin(out)));
      if (block.digest() != digests[index]) {
        intact = false;
      } else {
        block.scatter();
      }
    }
  });
  if (!intact) damaged("has damaged data");
}

void save(const std::filesystem::path& path, const Digest& key, kernels::MatrixView<float> out,
          const kernels::Stream& stream) {
  std::string temporary = path.string() + ".XXXXXX";
  const int descriptor = mkstemp(temporary.data());  // readable by the owner only
  if (descriptor < 0) {
    throw std::system_error(errno, std::generic_category(), "create " + temporary);
  }
  close(descriptor);
  try {
    const File file(temporary, O_WRONLY);
    std::vector<Digest> digests(static_cast<std::size_t>(block_count(out)));
    stream.parallel_for().run(block_count(out), 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t index = begin; index < end; ++index) {
        Block block(out, index);
        block.gather();
        digests[index] = block.digest();
        file.write(block.data(), block.bytes(), block.offset(data_begin(out)));
      }
    });
    const Header header = header_for(key, out);
    const Digest all = digest_of(digests);
    file.write(&header, sizeof(header), 0);
    file.write(all.data(), sizeof(all), sizeof(header));
    file.write(digests.data(), static_cast<std::int64_t>(digests.size() * sizeof(Digest)),
               sizeof(header) + sizeof(all));
    std::filesystem::rename(temporary, path);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw;
  }
}

void compute(const ScatteringTransform& transform, kernels::MatrixView<const std::uint8_t> images,
             kernels::MatrixView<float> out,
             const std::function<void(std::int64_t, std::int64_t)>& progress,
             const kernels::Stream& stream) {
  // Large enough that every thread has several ranges in it.
  const std::int64_t part = 512 * static_cast<std::int64_t>(stream.parallel_for().thread_count());
  for (std::int64_t first = 0; first < images.rows; first += part) {
    const std::int64_t count = std::min(part, images.rows - first);
    transform.transform(
        kernels::MatrixView<const std::uint8_t>(images.data + first * images.row_stride, count,
                                                images.cols, images.row_stride),
        kernels::MatrixView<float>(out.data + first * out.row_stride, count, out.cols,
                                   out.row_stride),
        stream);
    if (progress) progress(first + count, images.rows);
  }
}

}  // namespace

std::optional<std::filesystem::path> default_cache_directory() {
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return std::filesystem::path(cache) / "velum";
  const char* const home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return std::filesystem::path(home) / ".cache" / "velum";
  return std::nullopt;
}

ScatteringCacheResult cached_scattering(
    const ScatteringTransform& transform, kernels::MatrixView<const std::uint8_t> images,
    const std::optional<std::filesystem::path>& directory, kernels::MatrixView<float> out,
    const std::function<void(std::int64_t, std::int64_t)>& progress,
    const kernels::Stream& stream) {
  const char* const name = "cached_scattering";
  detail::require_cpu(stream, name);
  detail::require_equal(images.cols, transform.image_size(), name, "images.cols", "height * width");
  detail::require_equal(out.cols, transform.output_size(), name, "out.cols", "output_size()");
  detail::require_equal(out.rows, images.rows, name, "out.rows", "images.rows");
  ScatteringCacheResult result;
  if (!directory) {
    compute(transform, images, out, progress, stream);
    return result;
  }
  const Digest key = key_of(transform, images);
  result.file = *directory / ("scattering-" + hex(key).substr(0, 32) + ".features");
  try {
    if (std::filesystem::exists(result.file)) {
      load(result.file, key, out, stream);
      if (progress) progress(images.rows, images.rows);
      result.from_cache = true;
      return result;
    }
  } catch (const std::exception& error) {
    result.warning = std::string("computing the features again: ") + error.what();
  }
  compute(transform, images, out, progress, stream);
  try {
    std::filesystem::create_directories(*directory);
    save(result.file, key, out, stream);
  } catch (const std::exception& error) {
    if (!result.warning.empty()) result.warning += "; ";
    result.warning += std::string("the features could not be cached: ") + error.what();
  }
  return result;
}

}  // namespace velum::dpsgd
