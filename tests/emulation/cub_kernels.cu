#include <cub/block/block_reduce.cuh>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_scan.cuh>
#include <cub/device/device_segmented_reduce.cuh>
#include <cub/device/device_select.cuh>
#include <cub/warp/warp_reduce.cuh>
#include <stdexcept>

#include "cub_kernels.h"

namespace velum::emulation::cub_kernels {
namespace {

void check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

template <typename T>
class Array {
 public:
  explicit Array(std::size_t size) : size_(size) { check(cudaMalloc(&data_, size * sizeof(T))); }
  explicit Array(const std::vector<T>& values) : Array(values.size()) {
    check(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(data_); }
  T* data() const { return data_; }
  std::vector<T> to_host(std::size_t size) const {
    std::vector<T> values(size);
    check(cudaMemcpy(values.data(), data_, size * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

/// Calls an algorithm as CUB wants it: first for the size of its workspace, then with it.
template <typename Algorithm>
void run(Algorithm algorithm) {
  std::size_t bytes = 0;
  check(algorithm(nullptr, bytes));
  const Array<char> workspace(bytes == 0 ? 1 : bytes);
  check(algorithm(workspace.data(), bytes));
}

constexpr int kBlock = 256;
constexpr int kGroup = 16;

__global__ void block_sums_kernel(const float* values, float* sums, int size) {
  using Reduce = cub::BlockReduce<float, kBlock>;
  __shared__ typename Reduce::TempStorage storage;
  const int i = static_cast<int>(blockIdx.x) * kBlock + static_cast<int>(threadIdx.x);
  const float total = Reduce(storage).Sum(i < size ? values[i] : 0.0F);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

__global__ void warp_sums_kernel(const int* values, int* sums) {
  using Reduce = cub::WarpReduce<int, kGroup>;
  __shared__ typename Reduce::TempStorage storage[kBlock / kGroup];
  const int group = static_cast<int>(threadIdx.x) / kGroup;
  const int i = static_cast<int>(blockIdx.x) * kBlock + static_cast<int>(threadIdx.x);
  const int total = Reduce(storage[group]).Sum(values[i]);
  if (threadIdx.x % kGroup == 0) sums[i / kGroup] = total;
}

}  // namespace

std::vector<float> segmented_sum(const std::vector<float>& values,
                                 const std::vector<int>& offsets) {
  const int segments = static_cast<int>(offsets.size()) - 1;
  const Array<float> in(values);
  const Array<int> bounds(offsets);
  const Array<float> out(static_cast<std::size_t>(segments));
  run([&](void* workspace, std::size_t& bytes) {
    return cub::DeviceSegmentedReduce::Sum(workspace, bytes, in.data(), out.data(), segments,
                                           bounds.data(), bounds.data() + 1);
  });
  return out.to_host(static_cast<std::size_t>(segments));
}

std::vector<std::int64_t> select_flagged(const std::vector<std::int64_t>& values,
                                         const std::vector<std::uint8_t>& flags) {
  const Array<std::int64_t> in(values);
  const Array<std::uint8_t> keep(flags);
  const Array<std::int64_t> out(values.size());
  const Array<int> count(1);
  run([&](void* workspace, std::size_t& bytes) {
    return cub::DeviceSelect::Flagged(workspace, bytes, in.data(), keep.data(), out.data(),
                                      count.data(), static_cast<int>(values.size()));
  });
  return out.to_host(static_cast<std::size_t>(count.to_host(1)[0]));
}

std::vector<std::uint32_t> exclusive_sum(const std::vector<std::uint32_t>& values) {
  const Array<std::uint32_t> in(values);
  const Array<std::uint32_t> out(values.size());
  run([&](void* workspace, std::size_t& bytes) {
    return cub::DeviceScan::ExclusiveSum(workspace, bytes, in.data(), out.data(),
                                         static_cast<int>(values.size()));
  });
  return out.to_host(values.size());
}

double sum(const std::vector<double>& values) {
  const Array<double> in(values);
  const Array<double> out(1);
  run([&](void* workspace, std::size_t& bytes) {
    return cub::DeviceReduce::Sum(workspace, bytes, in.data(), out.data(),
                                  static_cast<int>(values.size()));
  });
  return out.to_host(1)[0];
}

std::vector<float> block_sums(const std::vector<float>& values) {
  const std::size_t blocks = (values.size() + kBlock - 1) / kBlock;
  const Array<float> in(values);
  const Array<float> out(blocks);
  block_sums_kernel<<<static_cast<unsigned>(blocks), kBlock>>>(in.data(), out.data(),
                                                               static_cast<int>(values.size()));
  return out.to_host(blocks);
}

std::vector<int> warp_sums(const std::vector<int>& values) {
  const Array<int> in(values);
  const Array<int> out(values.size() / kGroup);
  warp_sums_kernel<<<static_cast<unsigned>(values.size() / kBlock), kBlock>>>(in.data(),
                                                                              out.data());
  return out.to_host(values.size() / kGroup);
}

std::vector<std::uint32_t> sort(const std::vector<std::uint32_t>& values) {
  const Array<std::uint32_t> in(values);
  const Array<std::uint32_t> out(values.size());
  run([&](void* workspace, std::size_t& bytes) {
    return cub::DeviceRadixSort::SortKeys(workspace, bytes, in.data(), out.data(),
                                          static_cast<int>(values.size()));
  });
  return out.to_host(values.size());
}

}  // namespace velum::emulation::cub_kernels
