#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace velum::dpsgd {

/// Whose each example is: one whole number for each, in the order of the examples.
///
/// Two kinds of file, told apart by their first bytes:
/// - text: a number in decimal on each line, -2^63 to 2^63 - 1, nothing else on it (line ends LF or
///   CR LF, the last one may be missing);
/// - NPY (numpy.save), version 1 to 3: one dimension, integers of 1 to 8 bytes, little-endian.
///
/// @throws DataError naming the file, and the line or what is wrong with the header; for numbers
///         that do not fit, no example, or more than 2^35; std::system_error if it cannot be read.
std::vector<std::int64_t> read_user_ids(const std::filesystem::path& file);

}  // namespace velum::dpsgd
