#pragma once

#include <cstddef>

namespace velum::testing {

/// The largest piece of memory, in bytes, that the program asked `operator new` for since the last
/// reset. A program that uses this is linked with largest_allocation.cpp, which replaces the
/// operators.
std::size_t largest_allocation();
void reset_largest_allocation();

}  // namespace velum::testing
