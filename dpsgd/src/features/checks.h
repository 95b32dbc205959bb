#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "velum/kernels/stream.h"

namespace velum::dpsgd::detail {

inline void require_cpu(const kernels::Stream& stream, const char* function) {
  if (stream.backend() != kernels::Backend::kCpu) {
    throw std::invalid_argument(std::string(function) + ": stream is of backend " +
                                std::string(kernels::to_string(stream.backend())) +
                                ", expected cpu");
  }
}

inline void require_equal(std::int64_t value, std::int64_t expected, const char* function,
                          const char* name, const char* expected_name) {
  if (value != expected) {
    throw std::invalid_argument(std::string(function) + ": " + name + " = " +
                                std::to_string(value) + ", expected " + expected_name + " = " +
                                std::to_string(expected));
  }
}

}  // namespace velum::dpsgd::detail
