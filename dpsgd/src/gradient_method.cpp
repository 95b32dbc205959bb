#include "velum/dpsgd/gradient_method.h"

#include <array>
#include <stdexcept>
#include <utility>

namespace velum::dpsgd {
namespace {

constexpr std::array<std::pair<GradientMethod, const char*>, 7> kNames{{
    {GradientMethod::kOuterProduct, "outer product"},
    {GradientMethod::kGram, "gram"},
    {GradientMethod::kTiles, "tiles"},
    {GradientMethod::kKept, "kept"},
    {GradientMethod::kSegments, "segments"},
    {GradientMethod::kAtHand, "at hand"},
    {GradientMethod::kSampleBackward, "sample backward"},
}};

}  // namespace

std::string to_text(GradientMethod method) {
  for (const auto& [one, name] : kNames) {
    if (one == method) return name;
  }
  throw std::logic_error("to_text: unknown GradientMethod");
}

GradientMethod gradient_method(const std::string& text) {
  std::string all;
  for (const auto& [method, name] : kNames) {
    if (text == name) return method;
    all += (all.empty() ? "" : ", ") + std::string(name);
  }
  throw std::invalid_argument("gradient_method: \"" + text + "\", expected one of: " + all);
}

}  // namespace velum::dpsgd
