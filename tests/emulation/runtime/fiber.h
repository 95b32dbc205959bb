#pragma once

#include <cstddef>

namespace velum::emulation {

/// Saves the caller's registers, stores its stack pointer in `*save`, and goes on where `to` was
/// saved.
void switch_stack(void** save, void* to);

/// Stacks for fibers, side by side in huge pages: a block's threads are visited in random order,
/// and a page of its own for each costs more than the work between two barriers. There are no guard
/// pages therefore; the frames of translated functions are bounded when they are compiled
/// (CMakeLists.txt), and a mark at the end of each stack is checked when its thread ends.
class FiberStacks {
 public:
  static constexpr std::size_t kMaxStacks = 1024;
  static constexpr std::size_t kStackBytes = std::size_t{64} << 10;

  /// `huge_pages`: for stacks that are all used, again and again.
  /// @throws std::bad_alloc.
  explicit FiberStacks(bool huge_pages);
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;
  ~FiberStacks();

  /// A stack pointer for `switch_stack` that starts `entry` on stack `index`; it must not return.
  void* start(std::size_t index, void (*entry)());
  /// Where stack `index` ends; it grows down to there.
  const char* end(std::size_t index) const { return memory_ + index * kStackBytes; }
  /// Whether the mark at the end of stack `index` is as `start` left it.
  bool is_intact(std::size_t index) const;

 private:
  char* memory_;
};

}  // namespace velum::emulation
