#pragma once

#include <cstdint>

namespace velum::benchmarks {

/// Bytes that this process has allocated and not freed, over the whole malloc family, counted by
/// the sizes that the allocator has set aside: tensors, workspaces of torch's libraries, ours.
/// Memory mapped past malloc, and stacks, are not counted. Zero, as the two below, where the malloc
/// family cannot be replaced (another C library than glibc, or a sanitizer's).
std::int64_t allocated_bytes();
/// The largest value of the above since the start or the last reset.
std::int64_t peak_allocated_bytes();
void reset_peak_allocated_bytes();

}  // namespace velum::benchmarks
