#include "gradients/check_arguments.h"

#include <array>
#include <charconv>
#include <cmath>

#include "random/element_range.h"

namespace velum::kernels {

std::string text(double value) {
  std::array<char, 32> digits{};
  const auto result = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), result.ptr};
}

void check_size(const char* function, const char* name, std::int64_t size,
                const char* expected_name, std::int64_t expected) {
  if (size == expected) return;
  throw std::invalid_argument(std::string(function) + ": " + name +
                              ".size() = " + std::to_string(size) + ", expected " + expected_name +
                              " = " + std::to_string(expected));
}

void check_not_negative(const char* function, const std::string& name, std::int64_t value) {
  if (value >= 0) return;
  throw std::invalid_argument(std::string(function) + ": " + name + " = " + std::to_string(value) +
                              ", expected at least 0");
}

void check_equal(const char* function, const char* name, std::int64_t value,
                 const char* expected_name, std::int64_t expected) {
  if (value == expected) return;
  throw std::invalid_argument(std::string(function) + ": " + name + " = " + std::to_string(value) +
                              ", expected " + expected_name + " = " + std::to_string(expected));
}

void check_workspace(const char* function, std::int64_t size, std::int64_t needed) {
  if (size >= needed) return;
  throw std::invalid_argument(std::string(function) +
                              ": workspace.size() = " + std::to_string(size) +
                              ", expected at least " + std::to_string(needed));
}

void check_matrix(const char* function, std::int64_t rows, std::int64_t cols,
                  std::int64_t row_stride) {
  const auto refuse = [function](const char* name, std::int64_t value,
                                 const std::string& expected) {
    throw std::invalid_argument(std::string(function) + ": grads." + name + " = " +
                                std::to_string(value) + ", expected " + expected);
  };
  if (rows < 0) refuse("rows", rows, "at least 0");
  if (cols < 0) refuse("cols", cols, "at least 0");
  if (rows > 1 && row_stride < cols) {
    refuse("row_stride", row_stride, "at least grads.cols = " + std::to_string(cols));
  }
}

void check_bound(const char* function, const ClippingBound& bound) {
  if (!(std::isfinite(bound.clipping_norm) && bound.clipping_norm >= 0x1p-400)) {
    throw std::invalid_argument(std::string(function) + ": clipping_norm = " +
                                text(bound.clipping_norm) + ", expected finite and >= 2^-400");
  }
  if (!(bound.squared_norm_error >= 0.0 && bound.squared_norm_error <= 0.5)) {
    throw std::invalid_argument(std::string(function) + ": squared_norm_error = " +
                                text(bound.squared_norm_error) + ", expected 0 to 0.5");
  }
}

NoiseAndScale checked_noise(const char* function, double standard_deviation, double divisor,
                            const RandomKey& key, const RandomPosition& position,
                            std::int64_t params) {
  if (!(std::isfinite(standard_deviation) && standard_deviation >= 0)) {
    throw std::invalid_argument(std::string(function) + ": standard_deviation = " +
                                text(standard_deviation) + ", expected finite and >= 0");
  }
  if (!(std::isfinite(divisor) && divisor > 0)) {
    throw std::invalid_argument(std::string(function) + ": divisor = " + text(divisor) +
                                ", expected finite and > 0");
  }
  check_element_range(function, 0, params, GaussianLayout::kMaxElements);
  return {stream_state(key, position, DrawKind::kGaussian), standard_deviation, divisor};
}

}  // namespace velum::kernels
