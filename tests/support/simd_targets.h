#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdint>
#include <functional>

#include "velum/kernels/stream.h"

namespace velum::testing {

/// Calls `body` once per SIMD target that this machine has, scalar included, with that target
/// chosen for Highway's run-time dispatch; on the CUDA backend just once. Failures name the target.
inline void for_each_simd_target(kernels::Backend backend, const std::function<void()>& body) {
  if (backend != kernels::Backend::kCpu) return body();
  struct Restore {
    ~Restore() {
      hwy::SetSupportedTargetsForTest(0);
      hwy::GetChosenTarget().DeInit();
    }
  } restore;
  constexpr std::int64_t kScalar = HWY_SCALAR;
  hwy::SetSupportedTargetsForTest(0);
  for (std::int64_t left = hwy::SupportedTargets() | kScalar; left != 0; left &= left - 1) {
    const std::int64_t target = left & -left;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(target);
    SCOPED_TRACE(hwy::TargetName(target));
    body();
  }
}

}  // namespace velum::testing
