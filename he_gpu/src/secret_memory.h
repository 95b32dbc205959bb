#pragma once

#include <sys/types.h>

#include <cstddef>

#include "velum/kernels/stream.h"

namespace velum::he {

/// Pages of host memory with nothing but secrets on them.
struct SecretPages {
  char* data = nullptr;
  std::size_t bytes = 0;  // whole pages
  pid_t locked_by = 0;    // the process that has locked them in memory, or 0
};

/// Pages that are kept out of core dumps, and locked as far as the system allows. Thread-safe. What
/// is given back stays, wiped and locked, for who asks next for as much, since to map, zero and
/// lock pages takes as long as to encrypt: at most 64 MiB of it, and none where the system has no
/// more pages to lock.
///
/// @param bytes  rounded up to whole pages, at least one.
/// @throws std::bad_alloc
SecretPages take_secret_pages(std::size_t bytes);
/// Wipes the pages, with the threads of a CPU stream, and takes them back.
void give_back_secret_pages(const SecretPages& pages, const kernels::Stream& stream) noexcept;

}  // namespace velum::he
