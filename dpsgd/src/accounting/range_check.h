#pragma once

#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace velum::dpsgd {

/// Shortest text that reads back as the same double.
inline std::string number_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::string(text, end);
}
inline std::string number_text(std::int64_t value) { return std::to_string(value); }

/// Throws "function: name = value, expected range".
template <typename T>
[[noreturn]] void reject(std::string_view function, std::string_view name, T value,
                         std::string_view expected) {
  throw std::invalid_argument(std::string(function) + ": " + std::string(name) + " = " +
                              number_text(value) + ", expected " + std::string(expected));
}

inline void check_delta(std::string_view function, double delta) {
  if (!(delta > 0.0 && delta < 1.0)) reject(function, "delta", delta, "> 0 and < 1");
}

}  // namespace velum::dpsgd
