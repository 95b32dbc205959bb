#include "velum/dpsgd/data/idx.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <string>
#include <system_error>

namespace velum::dpsgd {
namespace {

constexpr int kUnsignedByte = 0x08;
constexpr int kMaxRank = 4;
constexpr std::int64_t kChunk = std::int64_t{1} << 22;

struct CloseGzip {
  void operator()(gzFile_s* file) const { gzclose_r(file); }
};

// One open file: every failure becomes a DataError that names it.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) fail("does not exist");
    if (!std::filesystem::is_regular_file(status)) fail("is not a regular file");
    file_.reset(gzopen(path.c_str(), "rb"));
    if (file_ == nullptr) fail("cannot be opened; check that it may be read");
    gzbuffer(file_.get(), 1 << 18);
  }

  // Fills `out` or throws.
  void read(std::uint8_t* out, std::int64_t size, const char* what) {
    const std::int64_t count = read_some(out, size);
    if (count != size) {
      fail("ends inside " + std::string(what) + "; it is truncated, fetch it again");
    }
  }

  void expect_end() {
    std::uint8_t extra = 0;
    if (read_some(&extra, 1) != 0) {
      fail("has bytes after the end of the array that its header declares; fetch it again");
    }
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw DataError("read_idx: " + path_.string() + " " + what);
  }

 private:
  std::int64_t read_some(std::uint8_t* out, std::int64_t size) {
    const int count = gzread(file_.get(), out, static_cast<unsigned>(size));
    int error = Z_OK;
    const char* const text = gzerror(file_.get(), &error);
    if (count < 0 || error == Z_BUF_ERROR) {
      fail("is damaged (zlib: " + std::string(text) + "); fetch it again");
    }
    return count;
  }

  std::filesystem::path path_;
  std::unique_ptr<gzFile_s, CloseGzip> file_;
};

}  // namespace

IdxArray read_idx(const std::filesystem::path& file) {
  Reader reader(file);
  std::array<std::uint8_t, 4> magic{};
  reader.read(magic.data(), 4, "its magic number");
  if (magic[0] != 0 || magic[1] != 0) {
    reader.fail("is not an IDX file: its first bytes are " + std::to_string(magic[0]) + " " +
                std::to_string(magic[1]) + ", expected 0 0");
  }
  if (magic[2] != kUnsignedByte) {
    reader.fail("holds elements of IDX type " + std::to_string(magic[2]) +
                ", expected 8 (unsigned byte)");
  }
  const int rank = magic[3];
  if (rank < 1 || rank > kMaxRank) {
    reader.fail("declares " + std::to_string(rank) + " dimensions, expected 1 to " +
                std::to_string(kMaxRank));
  }
  IdxArray array;
  std::int64_t size = 1;
  for (int axis = 0; axis < rank; ++axis) {
    std::array<std::uint8_t, 4> bytes{};
    reader.read(bytes.data(), 4, "its header");
    std::int64_t extent = 0;
    for (const std::uint8_t byte : bytes) extent = extent * 256 + byte;
    if (extent != 0 && size > std::numeric_limits<std::int64_t>::max() / extent) {
      reader.fail("declares more than 2^63 elements; its header is damaged");
    }
    size *= extent;
    array.shape.push_back(extent);
  }
  for (std::int64_t done = 0; done < size;) {
    const std::int64_t count = std::min(kChunk, size - done);
    array.values.resize(static_cast<std::size_t>(done + count));
    reader.read(array.values.data() + done, count, "its data");
    done += count;
  }
  reader.expect_end();  // zlib verifies the checksum here
  return array;
}

}  // namespace velum::dpsgd
