#pragma once

#include <stdexcept>
#include <string>

#include "velum/dpsgd/privacy_engine.h"

/// Options of an engine that are words in Python.
namespace velum::python {

inline const char* name_of(dpsgd::UserGradient gradient) {
  return gradient == dpsgd::UserGradient::kSum ? "sum" : "mean";
}

/// @throws std::invalid_argument naming the known ones.
inline dpsgd::UserGradient user_gradient_of(const std::string& name) {
  if (name == "mean") return dpsgd::UserGradient::kMean;
  if (name == "sum") return dpsgd::UserGradient::kSum;
  throw std::invalid_argument("user_gradient = \"" + name + "\", expected mean or sum");
}

}  // namespace velum::python
