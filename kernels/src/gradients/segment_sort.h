#pragma once

#include <cstddef>
#include <cstdint>

#include "velum/kernels/stream.h"

namespace velum::kernels {

/// Sorts `count` keys that are at most `largest_key`, and rows along with them, on a CUDA stream:
/// stable, so that rows of one key keep their order.
/// @param temporary  [temporary_bytes], as many as sort_rows_temporary_bytes says.
void sort_rows_cuda(const std::uint64_t* keys, std::uint64_t* sorted_keys, const std::int32_t* rows,
                    std::int32_t* sorted_rows, std::int64_t count, std::uint64_t largest_key,
                    void* temporary, std::size_t temporary_bytes, const Stream& stream);
std::size_t sort_rows_temporary_bytes_cuda(std::int64_t count, std::uint64_t largest_key,
                                           const Stream& stream);

}  // namespace velum::kernels
