#pragma once

#include "runtime/types.h"

namespace velum::emulation {

/// `cluster_` is the shared memory of all blocks of a cluster, of which `shared_` is the block's
/// own.
enum class Space { generic_, global_, shared_, cluster_, local_, param_ };

/// Generic addresses. Each window stands at a fixed place, so that a check is a comparison with a
/// constant. Device memory is reserved but never accessible: a host that touches a device pointer
/// faults, as with a real device. Its bytes stand at kGlobalStorage, and a byte of state for each
/// at kGlobalState.
inline constexpr u64 kGlobalBase = 0x2000'0000'0000;
inline constexpr u64 kGlobalSize = 0x0100'0000'0000;
inline constexpr u64 kGlobalStorage = kGlobalBase + kGlobalSize;
inline constexpr u64 kGlobalState = kGlobalStorage + kGlobalSize;
inline constexpr u64 kSharedBase = kGlobalState + kGlobalSize;
inline constexpr u64 kLocalBase = kSharedBase + kGlobalSize;
inline constexpr u64 kParamBase = kLocalBase + kGlobalSize;
inline constexpr u64 kWindowSize = u64{1} << 32;
/// In the window of shared memory each block of a cluster has so much, in the order of their ranks.
inline constexpr u32 kBlockShift = 24;
/// What the race check keeps: twenty bytes for each four of device memory.
inline constexpr u64 kGlobalRaces = kParamBase + kGlobalSize;
inline constexpr u64 kRaceBytesPerByte = 5;

constexpr u64 window(Space space) {
  switch (space) {
    case Space::shared_:
    case Space::cluster_:
      return kSharedBase;
    case Space::local_:
      return kLocalBase;
    case Space::param_:
      return kParamBase;
    case Space::global_:
    case Space::generic_:
      return 0;
  }
  return 0;
}
template <Space S>
constexpr u64 to_generic(u64 address) {
  return address + window(S);
}
template <Space S>
constexpr u64 from_generic(u64 address) {
  return address - window(S);
}
template <Space S>
constexpr bool is_in_space(u64 address) {
  const bool in_window = address >= kSharedBase && address < kParamBase + kWindowSize;
  if constexpr (S == Space::global_) return !in_window;
  return address - window(S) < kWindowSize;
}

/// The state of a byte of device memory.
inline constexpr u8 kAllocated = 1;
inline constexpr u8 kInitialised = 2;
inline constexpr u8 kReadOnly = 4;
inline constexpr u8 kFreed = 8;

inline u8* storage_of(u64 address) {
  return reinterpret_cast<u8*>(address - kGlobalBase + kGlobalStorage);
}
inline u8* state_of(u64 address) {
  return reinterpret_cast<u8*>(address - kGlobalBase + kGlobalState);
}

}  // namespace velum::emulation
