#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <vector>

namespace velum::dpsgd {

/// A data file is missing, damaged, or not what its name promises. The text names the file, what
/// was found, what was expected, and the remedy.
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A dense array of bytes, row-major, as the MNIST family of data sets stores it.
struct IdxArray {
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> values;  // as many as the product of `shape`
};

/// Reads an IDX file of unsigned bytes, plain or compressed by gzip.
///
/// The bytes are not trusted: magic number, element type, number of dimensions (1 to 4), sizes,
/// checksum, a file that ends early and bytes after the end are all checked, and memory grows only
/// with data that is really there, so that a forged header allocates nothing.
/// Format: http://yann.lecun.com/exdb/mnist ("the IDX file format").
///
/// @throws DataError naming the file and what is wrong with it.
IdxArray read_idx(const std::filesystem::path& file);

}  // namespace velum::dpsgd
