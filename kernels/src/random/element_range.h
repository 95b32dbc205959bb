#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace velum::kernels {

/// @throws std::out_of_range unless [first_element, first_element + size) lies in [0, max).
inline void check_element_range(const char* function, std::int64_t first_element, std::int64_t size,
                                std::int64_t max) {
  if (first_element < 0 || first_element > max || size > max - first_element) {
    throw std::out_of_range(std::string(function) +
                            ": first_element = " + std::to_string(first_element) +
                            " and out.size() = " + std::to_string(size) +
                            ", expected elements of [0, " + std::to_string(max) + ")");
  }
}

}  // namespace velum::kernels
