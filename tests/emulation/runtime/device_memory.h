#pragma once

#include <map>
#include <string>

#include "runtime/address_space.h"

namespace velum::emulation {

/// The memory of the emulated device. Every allocation gets addresses that were never used before,
/// with unallocated bytes on both sides, so that an index that is off by one, and a pointer that
/// was freed, are always found.
class DeviceMemory {
 public:
  /// @throws std::runtime_error if the address ranges cannot be reserved.
  DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  static constexpr u64 kTotalBytes = u64{8} << 30;

  /// The address of memory that can be used from now on, or 0 if there is not enough.
  u64 allocate(u64 bytes);
  /// The same in two steps: until `commit`, an access is an access of unallocated memory.
  u64 reserve(u64 bytes);
  void commit(u64 address);
  /// Whether `address` was the start of an allocation.
  bool free(u64 address);
  /// The size of the live allocation that starts there; 0 if there is none.
  u64 allocated_bytes(u64 address) const;
  u64 free_bytes() const { return kTotalBytes - allocated_; }

  /// Makes all that the race check keeps zero.
  static void clear_race_cells();

  static bool contains(u64 address) { return address - kGlobalBase < kGlobalSize; }
  /// Whether all bytes can be used now.
  static bool is_usable(u64 address, u64 bytes);
  /// Whether the bytes lie in one allocation, committed or not.
  bool is_allocated(u64 address, u64 bytes) const;
  /// "byte 4000 of an allocation of 4000 bytes at 0x2000..." and the like.
  std::string describe(u64 address) const;

 private:
  struct Allocation {
    u64 bytes;
    bool freed;
  };
  std::map<u64, Allocation> allocations_;
  u64 next_ = kGlobalBase + 4096;
  u64 allocated_ = 0;
};

}  // namespace velum::emulation
