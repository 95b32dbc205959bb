#pragma once

#include <cstddef>
#include <vector>

namespace velum::emulation {

/// Saves the caller's registers, stores its stack pointer in `*save`, and goes on where `to` was
/// saved.
void switch_stack(void** save, void* to);

/// Stacks for fibers, each with an inaccessible page below it.
class FiberStacks {
 public:
  FiberStacks() = default;
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;
  ~FiberStacks();

  /// Makes sure that there are `count` stacks.
  /// @throws std::bad_alloc.
  void reserve(std::size_t count);
  /// A stack pointer for `switch_stack` that starts `entry` on stack `index`; it must not return.
  void* start(std::size_t index, void (*entry)());

 private:
  static constexpr std::size_t kStackBytes = std::size_t{128} << 10;
  static constexpr std::size_t kGuardBytes = 4096;
  std::vector<char*> stacks_;
};

}  // namespace velum::emulation
