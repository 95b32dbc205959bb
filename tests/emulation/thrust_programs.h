#pragma once

#include <vector>

/// Small programs on thrust::device_vector: host code of Thrust's that nvcc compiles, with its
/// allocations, copies, streams and kernels.
namespace velum::emulation::thrust_programs {

std::vector<int> sorted(const std::vector<int>& values);
long long sum(const std::vector<int>& values);
/// 3 * a + b, element by element.
std::vector<int> combined(const std::vector<int>& a, const std::vector<int>& b);

}  // namespace velum::emulation::thrust_programs
