#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>

#include "velum/kernels/random/key_source.h"

namespace velum::kernels {

/// What getrandom(2) does: fills up to `length` bytes, returns how many, or -1 and errno.
using EntropySource = std::function<ssize_t(void* bytes, std::size_t length)>;

/// `secure_random_key` from a given source: continues after EINTR and short reads, wipes its
/// temporary memory whatever happens.
/// @throws std::system_error on any other error, and on a source that returns nothing or more than
///         was asked for.
RandomKey random_key_from(const EntropySource& source);

}  // namespace velum::kernels
