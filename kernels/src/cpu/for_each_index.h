#pragma once

#include <cstdint>

#include "velum/kernels/stream.h"

namespace velum::kernels::cpu {

/// Calls the functor `body(i)` for every i in [0, count), `grain` or more consecutive ones
/// on one thread.
template <typename Body>
void for_each_index(std::int64_t count, std::int64_t grain, const Body& body,
                    const Stream& stream) {
  if (count <= 0) return;
  stream.parallel_for().run(count, grain, [&body](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace velum::kernels::cpu
