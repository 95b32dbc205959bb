#include "velum/dpsgd/keep_freed_memory.h"

#include <cstdlib>  // defines __GLIBC__, if this is glibc
#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace velum::dpsgd {

bool keep_freed_memory() noexcept {
#ifdef __GLIBC__
  // Without the first, large blocks have mappings of their own, which end with them; without the
  // second, the end of the heap goes back wherever it is free.
  constexpr int kNoMappings = 0, kNever = -1;
  return mallopt(M_MMAP_MAX, kNoMappings) == 1 && mallopt(M_TRIM_THRESHOLD, kNever) == 1;
#else
  return false;
#endif
}

}  // namespace velum::dpsgd
