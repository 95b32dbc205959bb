#pragma once

namespace velum::dpsgd {

/// Tells glibc's malloc to keep what this process frees for what it allocates next, large blocks,
/// too, instead of handing it back to the system and asking for it again, page by page and filled
/// with zeros, in every training step. The process then holds at least the most that it needed at
/// once, and more where blocks of different sizes leave gaps. For the whole process and for good:
/// meant for one that trains and does little else, called before the first step.
///
/// It is about memory that the main thread allocates, as a training loop there does; other threads
/// still give back blocks above 64 MiB, and heaps of theirs that are empty. An allocator that is
/// preloaded in place of glibc's (jemalloc, tcmalloc) is not changed, and has settings of its own.
///
/// Source: mallopt(3), M_TRIM_THRESHOLD and M_MMAP_MAX.
/// @return whether the C library has these settings and took them; true does not say that its
///         malloc is the one in use.
bool keep_freed_memory() noexcept;

}  // namespace velum::dpsgd
