#pragma once

#include <cstddef>
#include <cstdint>

#include "gradients/segment_sums_body.h"
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

/// Whether `sort_rows_by_sample_cuda` is the better way to sort rows by NormKeys: there are few, of
/// many samples. It is for no others.
bool sorts_by_sample(std::int64_t rows, std::int64_t batch, std::int64_t table_rows);

/// The keys of all rows, sorted, and the rows along with them: those of one key keep their order,
/// but for rows that add nothing, which stand behind all others in any order.
/// @param scratch  [rows]
void sort_rows_by_sample_cuda(const NormKeys& keys, std::int64_t rows, std::uint64_t* scratch,
                              std::uint64_t* sorted_keys, std::int32_t* sorted_rows,
                              const Stream& stream);

}  // namespace velum::kernels
