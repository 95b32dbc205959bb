#include <thrust/copy.h>
#include <thrust/device_vector.h>
#include <thrust/reduce.h>
#include <thrust/sort.h>
#include <thrust/transform.h>

#include "thrust_programs.h"

namespace velum::emulation::thrust_programs {
namespace {

struct Combine {
  __host__ __device__ int operator()(int a, int b) const { return 3 * a + b; }
};

std::vector<int> to_host(const thrust::device_vector<int>& values) {
  std::vector<int> host(values.size());
  thrust::copy(values.begin(), values.end(), host.begin());
  return host;
}

}  // namespace

std::vector<int> sorted(const std::vector<int>& values) {
  thrust::device_vector<int> device(values);
  thrust::sort(device.begin(), device.end());
  return to_host(device);
}

long long sum(const std::vector<int>& values) {
  const thrust::device_vector<int> device(values);
  return thrust::reduce(device.begin(), device.end(), 0LL);
}

std::vector<int> combined(const std::vector<int>& a, const std::vector<int>& b) {
  const thrust::device_vector<int> left(a);
  const thrust::device_vector<int> right(b);
  thrust::device_vector<int> out(a.size());
  thrust::transform(left.begin(), left.end(), right.begin(), out.begin(), Combine{});
  return to_host(out);
}

}  // namespace velum::emulation::thrust_programs
