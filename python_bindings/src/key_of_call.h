#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "he_objects.h"
#include "velum/kernels/random/key_source.h"

namespace velum::python {

/// A new key for every call, so that no position of a stream is ever used twice; wiped after it.
struct KeyOfCall {
  KeyOfCall(const char* function, const std::optional<py::bytes>& insecure_test_key)
      : value(insecure_test_key.has_value()
                  ? random_key_of(function, "insecure_test_key", *insecure_test_key)
                  : kernels::secure_random_key()) {}
  KeyOfCall(const KeyOfCall&) = delete;
  KeyOfCall& operator=(const KeyOfCall&) = delete;
  ~KeyOfCall() { kernels::wipe(value); }

  kernels::RandomKey value;
};

}  // namespace velum::python
