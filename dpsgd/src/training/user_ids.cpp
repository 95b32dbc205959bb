#include "velum/dpsgd/training/user_ids.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "velum/dpsgd/data/idx.h"
#include "velum/dpsgd/training/durable_file.h"

namespace velum::dpsgd {
namespace {

constexpr std::string_view kNpyMagic = "\x93NUMPY";
constexpr std::uint64_t kMostExamples = std::uint64_t{1} << 35;  // UserPoissonSampler's

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& what) {
  throw DataError(file.string() + ": " + what);
}

std::vector<std::int64_t> from_text(const std::filesystem::path& file, std::string_view text) {
  std::vector<std::int64_t> ids;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    std::int64_t id = 0;
    const auto [stop, error] = std::from_chars(line.data(), line.data() + line.size(), id);
    if (error != std::errc() || stop != line.data() + line.size()) {
      refuse(file, "line " + std::to_string(ids.size() + 1) +
                       " is no whole number of 64 bits; expected one number on each line, the user "
                       "of each example");
    }
    ids.push_back(id);
  }
  return ids;
}

/// What follows 'key': in the header, which Python wrote as a dictionary.
std::string_view value_of(const std::filesystem::path& file, std::string_view header,
                          std::string_view key) {
  const std::size_t found = header.find("'" + std::string(key) + "':");
  if (found == std::string_view::npos) refuse(file, "its header has no " + std::string(key));
  std::string_view value = header.substr(found + key.size() + 3);
  value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
  return value;
}

/// The one dimension of "(120,)".
std::uint64_t length_of(const std::filesystem::path& file, std::string_view shape) {
  std::uint64_t length = 0;
  if (!shape.empty() && shape.front() == '(') {
    const char* const end = shape.data() + shape.size();
    const auto [stop, error] = std::from_chars(shape.data() + 1, end, length);
    if (error == std::errc() && end - stop >= 2 && stop[0] == ',' && stop[1] == ')') return length;
  }
  refuse(file, "expected an array of one dimension, the user of each example");
}

template <typename Integer>
std::vector<std::int64_t> integers(const std::filesystem::path& file, std::string_view bytes) {
  std::vector<std::int64_t> ids;
  ids.reserve(bytes.size() / sizeof(Integer));
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(Integer)) {
    Integer value;
    std::memcpy(&value, bytes.data() + i, sizeof(Integer));
    if (std::cmp_greater(value, std::numeric_limits<std::int64_t>::max())) {
      refuse(file, "a user above 2^63 - 1; expected numbers that fit into 64 bits with a sign");
    }
    ids.push_back(static_cast<std::int64_t>(value));
  }
  return ids;
}

std::vector<std::int64_t> from_npy(const std::filesystem::path& file, std::string_view bytes) {
  // Magic, version of two bytes, length of the header in two bytes (version 1) or four.
  const auto byte = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i]));
  };
  std::size_t begin = kNpyMagic.size() + 4;
  if (bytes.size() < begin + 2) refuse(file, "its header is cut off");
  const std::size_t version = byte(6);
  if (version < 1 || version > 3) {
    refuse(file, "NPY version " + std::to_string(version) + ", expected 1 to 3");
  }
  std::size_t length = byte(8) | byte(9) << 8;
  if (version > 1) {
    length |= byte(10) << 16 | byte(11) << 24;
    begin += 2;
  }
  if (bytes.size() - begin < length) refuse(file, "its header is cut off");
  const std::string_view header = bytes.substr(begin, length);
  bytes.remove_prefix(begin + length);

  const std::string_view type = value_of(file, header, "descr").substr(0, 5);
  const std::uint64_t count = length_of(file, value_of(file, header, "shape"));
  if (count > kMostExamples) {
    refuse(file, std::to_string(count) + " users, expected at most 2^35");
  }
  const auto read = [&](auto like) {
    using Integer = decltype(like);
    if (bytes.size() != count * sizeof(Integer)) {
      refuse(file, std::to_string(bytes.size()) + " bytes of data, expected " +
                       std::to_string(count * sizeof(Integer)) + " by its header");
    }
    return integers<Integer>(file, bytes);
  };
  if (type == "'<i8'") return read(std::int64_t{});
  if (type == "'<i4'") return read(std::int32_t{});
  if (type == "'<i2'") return read(std::int16_t{});
  if (type == "'|i1'") return read(std::int8_t{});
  if (type == "'<u8'") return read(std::uint64_t{});
  if (type == "'<u4'") return read(std::uint32_t{});
  if (type == "'<u2'") return read(std::uint16_t{});
  if (type == "'|u1'") return read(std::uint8_t{});
  refuse(file, "numbers of type " + std::string(type) +
                   ", expected little-endian integers of 1 to 8 bytes");
}

}  // namespace

std::vector<std::int64_t> read_user_ids(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  std::vector<std::int64_t> ids = std::string_view(bytes).substr(0, kNpyMagic.size()) == kNpyMagic
                                      ? from_npy(file, bytes)
                                      : from_text(file, bytes);
  if (ids.empty()) refuse(file, "no user; expected one for each example");
  if (ids.size() > kMostExamples) {
    refuse(file, std::to_string(ids.size()) + " users, expected at most 2^35");
  }
  return ids;
}

}  // namespace velum::dpsgd
