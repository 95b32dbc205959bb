#pragma once

#include <cmath>

#include "velum/kernels/host_device.h"

namespace velum::kernels {

/// Of a sum that is a square, up to rounding: 0 where it came out below. What is not finite stays
/// so: terms that overflowed to minus infinity are no reason to call a norm 0.
VELUM_HOST_DEVICE inline double clamp_at_zero(double sum) {
  if (sum >= 0.0) return sum;
  return sum > -INFINITY ? 0.0 : static_cast<double>(NAN);
}

}  // namespace velum::kernels
