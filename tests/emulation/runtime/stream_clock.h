#pragma once

#include <algorithm>
#include <vector>

#include "runtime/types.h"

namespace velum::emulation {

/// By number of a stream: how many of its first pieces of work have happened before.
using StreamClock = std::vector<u64>;

inline void join(StreamClock& clock, const StreamClock& other) {
  if (clock.size() < other.size()) clock.resize(other.size());
  for (std::size_t i = 0; i < other.size(); ++i) clock[i] = std::max(clock[i], other[i]);
}

}  // namespace velum::emulation
