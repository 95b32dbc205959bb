#pragma once

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>

namespace velum::dpsgd::detail {

/// The type in which gradients of a tensor of `type` are measured, clipped and summed.
inline at::ScalarType math_type(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

/// A dense tensor of that type, on the same device.
inline at::TensorOptions math_options(const at::TensorOptions& options) {
  return at::TensorOptions(options.device()).dtype(math_type(options.dtype().toScalarType()));
}
inline at::TensorOptions math_options(const at::Tensor& tensor) {
  return math_options(tensor.options());
}

/// No operation of this thread is autocast while it lives: a caller may be inside an autocast
/// region, in which float32 products are computed in half precision.
class AutocastOff {
 public:
  AutocastOff() {
    for (std::size_t i = 0; i < kDevices.size(); ++i) {
      enabled_[i] = at::autocast::is_autocast_enabled(kDevices[i]);
      if (enabled_[i]) at::autocast::set_autocast_enabled(kDevices[i], false);
    }
  }
  ~AutocastOff() {
    for (std::size_t i = 0; i < kDevices.size(); ++i) {
      if (enabled_[i]) at::autocast::set_autocast_enabled(kDevices[i], true);
    }
  }
  AutocastOff(const AutocastOff&) = delete;
  AutocastOff& operator=(const AutocastOff&) = delete;

 private:
  static constexpr std::array kDevices{at::kCPU, at::kCUDA};
  std::array<bool, kDevices.size()> enabled_{};
};

}  // namespace velum::dpsgd::detail
