#pragma once

#include "runtime/types.h"

namespace velum::emulation {

/// A generator for schedules: small, seedable, the same everywhere.
class ScheduleRandom {
 public:
  explicit ScheduleRandom(u64 seed) : state_(seed) {}
  u64 next() {  // splitmix64
    u64 z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  /// 0 to bound - 1; close enough to uniform for a schedule.
  u32 below(u32 bound) { return static_cast<u32>(((next() >> 32) * bound) >> 32); }

 private:
  u64 state_;
};

}  // namespace velum::emulation
