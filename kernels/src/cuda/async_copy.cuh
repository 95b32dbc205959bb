#pragma once

#include <cuda_runtime.h>

/// Copies from device memory to shared memory that pass by the registers and go on while the thread
/// computes. A thread starts some, closes the group, and waits for groups; the others see what it
/// copied after a barrier that follows its wait. (PTX ISA, cp.async.)
namespace velum::kernels::cuda {

/// `kBytes` (4, 8 or 16, of which both addresses are multiples), or as many zeros. The compiler may
/// move other accesses over it: barrier and wait stand between it and those that matter.
template <int kBytes>
__device__ void copy_async_or_zero(void* shared, const void* from, bool exists) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  const int bytes = exists ? kBytes : 0;
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes));
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(kBytes),
                 "r"(bytes));
  }
}

/// Closes the group of this thread's copies since the last.
__device__ inline void end_copy_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits for all closed groups of this thread.
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_group 0;" ::: "memory"); }

}  // namespace velum::kernels::cuda
