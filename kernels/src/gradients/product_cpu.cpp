#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gradients/product_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <cstdint>

#include "gradients/product_cpu.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Doubles = hn::CappedTag<double, 8>;

// The product of two floats is exact in double. That of doubles is rounded on its own, so that
// machines with and without fma agree.
void add_tile_products(const double* outputs, const double* features, std::int64_t depth,
                       std::int64_t count, double* sums) {
  const Doubles d;
  constexpr std::int64_t kWidth = hn::MaxLanes(Doubles());
  // Sixteen sums in registers at once, whatever the width, for each of kOutputsAtOnce vectors.
  constexpr std::int64_t kVectors =
      cpu::kTileFeatures / kWidth < 2 ? cpu::kTileFeatures / kWidth : 2;
  constexpr std::int64_t kCols = kVectors * kWidth;
  for (std::int64_t output = 0; output < count; output += cpu::kOutputsAtOnce) {
    for (std::int64_t feature = 0; feature < cpu::kTileFeatures; feature += kCols) {
      hn::Vec<Doubles> sum[cpu::kOutputsAtOnce][kVectors];
      for (std::int64_t o = 0; o < cpu::kOutputsAtOnce; ++o) {
        for (std::int64_t v = 0; v < kVectors; ++v) {
          sum[o][v] = hn::LoadU(d, sums + (output + o) * cpu::kTileFeatures + feature + v * kWidth);
        }
      }
      for (std::int64_t k = 0; k < depth; ++k) {
        hn::Vec<Doubles> x[kVectors];
        for (std::int64_t v = 0; v < kVectors; ++v) {
          x[v] = hn::LoadU(d, features + k * cpu::kTileFeatures + feature + v * kWidth);
        }
        for (std::int64_t o = 0; o < cpu::kOutputsAtOnce; ++o) {
          const auto g = hn::Set(d, outputs[k * cpu::kTileOutputs + output + o]);
          for (std::int64_t v = 0; v < kVectors; ++v) {
            sum[o][v] = hn::Add(sum[o][v], hn::Mul(g, x[v]));
          }
        }
      }
      for (std::int64_t o = 0; o < cpu::kOutputsAtOnce; ++o) {
        for (std::int64_t v = 0; v < kVectors; ++v) {
          hn::StoreU(sum[o][v], d, sums + (output + o) * cpu::kTileFeatures + feature + v * kWidth);
        }
      }
    }
  }
}

}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
HWY_EXPORT(add_tile_products);

namespace cpu {

void add_tile_products(const double* outputs, const double* features, std::int64_t depth,
                       std::int64_t count, double* sums) {
  HWY_DYNAMIC_DISPATCH(velum::kernels::add_tile_products)(outputs, features, depth, count, sums);
}

}  // namespace cpu
}  // namespace velum::kernels
#endif  // HWY_ONCE
