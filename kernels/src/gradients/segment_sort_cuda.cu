#include <cub/device/device_radix_sort.cuh>

#include "cuda/check.h"
#include "cuda/launch.cuh"
#include "gradients/segment_sort.h"

namespace velum::kernels {
namespace {

/// Of the keys' bits only these differ.
int bits_of(std::uint64_t largest_key) {
  int bits = 1;
  while (bits < 64 && largest_key >> bits != 0) ++bits;
  return bits;
}

}  // namespace

std::size_t sort_rows_temporary_bytes_cuda(std::int64_t count, std::uint64_t largest_key,
                                           const Stream& stream) {
  const cuda::DeviceGuard guard(stream.device());
  std::size_t bytes = 0;
  const std::uint64_t* const keys = nullptr;
  const std::int32_t* const rows = nullptr;
  VELUM_CUDA_CHECK(cub::DeviceRadixSort::SortPairs(
      nullptr, bytes, keys, static_cast<std::uint64_t*>(nullptr), rows,
      static_cast<std::int32_t*>(nullptr), static_cast<std::int32_t>(count), 0,
      bits_of(largest_key), cuda::native(stream)));
  return bytes;
}

void sort_rows_cuda(const std::uint64_t* keys, std::uint64_t* sorted_keys, const std::int32_t* rows,
                    std::int32_t* sorted_rows, std::int64_t count, std::uint64_t largest_key,
                    void* temporary, std::size_t temporary_bytes, const Stream& stream) {
  const cuda::DeviceGuard guard(stream.device());
  VELUM_CUDA_CHECK(cub::DeviceRadixSort::SortPairs(
      temporary, temporary_bytes, keys, sorted_keys, rows, sorted_rows,
      static_cast<std::int32_t>(count), 0, bits_of(largest_key), cuda::native(stream)));
}

}  // namespace velum::kernels
