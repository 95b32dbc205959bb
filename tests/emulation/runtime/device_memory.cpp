#include "runtime/device_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <stdexcept>

namespace velum::emulation {
namespace {

constexpr u64 kPage = 4096;
/// Unallocated bytes after each allocation, at least.
constexpr u64 kGuard = 256;
constexpr u64 kAlignment = 256;

void map_range(u64 address, u64 bytes, int protection) {
  void* const wanted = reinterpret_cast<void*>(address);
  void* const got = mmap(wanted, bytes, protection,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got != wanted) {
    throw std::runtime_error("velum emulation: cannot reserve the address range of device memory");
  }
}

/// Gives the pages that lie wholly in the range back to the system; they read as zero then.
void release_pages(u64 begin, u64 end) {
  begin = (begin + kPage - 1) / kPage * kPage;
  end = end / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

DeviceMemory::DeviceMemory() {
  map_range(kGlobalBase, kGlobalSize, PROT_NONE);
  map_range(kGlobalStorage, kGlobalSize, PROT_READ | PROT_WRITE);
  map_range(kGlobalState, kGlobalSize, PROT_READ | PROT_WRITE);
  map_range(kGlobalRaces, kRaceBytesPerByte * kGlobalSize, PROT_READ | PROT_WRITE);
}

u64 DeviceMemory::allocate(u64 bytes) {
  const u64 address = reserve(bytes);
  if (address != 0) commit(address);
  return address;
}

u64 DeviceMemory::reserve(u64 bytes) {
  if (bytes > free_bytes()) return 0;
  const u64 address = next_;
  const u64 end = address + bytes + kGuard;
  const u64 next = (end + kAlignment - 1) / kAlignment * kAlignment;
  if (next > kGlobalBase + kGlobalSize) return 0;
  next_ = next;
  allocated_ += bytes;
  allocations_[address] = {bytes, false};
  return address;
}

void DeviceMemory::commit(u64 address) {
  const auto& [bytes, freed] = allocations_.at(address);
  if (freed) return;  // by work of another stream, which did not wait for the allocation
  std::memset(state_of(address), kAllocated, bytes);
  // A pattern that is a NaN as a float and out of range as an index.
  std::memset(storage_of(address), 0xFF, bytes);
}

void DeviceMemory::clear_race_cells() {
  release_pages(kGlobalRaces, kGlobalRaces + kRaceBytesPerByte * kGlobalSize);
}

bool DeviceMemory::is_usable(u64 address, u64 bytes) {
  const u8* const state = state_of(address);
  u8 common = kAllocated;
  for (u64 i = 0; i < bytes; ++i) common &= state[i];
  return common != 0;
}

bool DeviceMemory::free(u64 address) {
  const auto it = allocations_.find(address);
  if (it == allocations_.end() || it->second.freed) return false;
  const u64 bytes = it->second.bytes;
  it->second.freed = true;
  allocated_ -= bytes;
  const u64 storage = reinterpret_cast<u64>(storage_of(address));
  const u64 state = reinterpret_cast<u64>(state_of(address));
  std::memset(state_of(address), 0, bytes);
  release_pages(storage, storage + bytes);
  release_pages(state, state + bytes);
  const u64 races = kGlobalRaces + kRaceBytesPerByte * (address - kGlobalBase);
  release_pages(races, races + kRaceBytesPerByte * bytes);
  return true;
}

u64 DeviceMemory::allocated_bytes(u64 address) const {
  const auto it = allocations_.find(address);
  return it == allocations_.end() || it->second.freed ? 0 : it->second.bytes;
}

bool DeviceMemory::is_allocated(u64 address, u64 bytes) const {
  auto it = allocations_.upper_bound(address);
  if (it == allocations_.begin()) return false;
  --it;
  return !it->second.freed && address - it->first <= it->second.bytes &&
         bytes <= it->second.bytes - (address - it->first);
}

std::string DeviceMemory::describe(u64 address) const {
  auto it = allocations_.upper_bound(address);
  if (it != allocations_.begin()) {
    const auto& [start, allocation] = *std::prev(it);
    const u64 offset = address - start;
    if (offset < allocation.bytes + kAlignment) {
      return "byte " + std::to_string(offset) + " of " +
             (allocation.freed ? "a freed allocation of " : "an allocation of ") +
             std::to_string(allocation.bytes) + " bytes";
    }
  }
  if (it != allocations_.end() && it->first - address <= kAlignment) {
    return std::to_string(it->first - address) + " bytes before an allocation of " +
           std::to_string(it->second.bytes) + " bytes";
  }
  return "no allocation is near";
}

}  // namespace velum::emulation
