#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "velum/kernels/buffer.h"
#include "velum/kernels/stream.h"

namespace velum::testing {

using kernels::Backend;
using kernels::Buffer;
using kernels::Span;
using kernels::Stream;

/// The backends that a parameterised suite runs on. CUDA is listed in every build that has it; a
/// case skips itself where there is no device (`SKIP_WITHOUT_DEVICE`), so that a missing device is
/// seen in the output instead of silently narrowing the suite.
inline std::vector<Backend> every_backend() {
  std::vector<Backend> backends{Backend::kCpu};
  if (kernels::built_with_cuda()) backends.push_back(Backend::kCuda);
  return backends;
}

/// For INSTANTIATE_TEST_SUITE_P: "Cpu" or "Cuda". The emulated programs select on "Cuda".
inline std::string backend_name(Backend backend) {
  return backend == Backend::kCpu ? "Cpu" : "Cuda";
}
struct BackendName {
  std::string operator()(const ::testing::TestParamInfo<Backend>& info) const {
    return backend_name(info.param);
  }
};

/// A stream of the backend; on the CPU with two threads, so that the splitting is exercised.
inline Stream make_stream(Backend backend) {
  return backend == Backend::kCpu ? Stream::cpu(2) : Stream::cuda(nullptr, 0);
}

#define SKIP_WITHOUT_DEVICE(backend)                     \
  do {                                                   \
    if ((backend) == ::velum::kernels::Backend::kCuda && \
        ::velum::kernels::cuda_device_count() == 0)      \
      GTEST_SKIP() << "no CUDA device";                  \
  } while (false)

/// Copies host values to memory of the stream's backend.
template <typename T>
Buffer<T> to_backend(const std::vector<T>& values, const Stream& stream) {
  Buffer<T> buffer(static_cast<std::int64_t>(values.size()), stream);
  kernels::copy(Span<const T>(values.data(), buffer.size()), buffer.span(), stream);
  kernels::synchronize(stream);
  return buffer;
}

/// Copies memory of the stream's backend to the host, after the enqueued work.
template <typename T>
std::vector<T> to_host(Span<const T> values, const Stream& stream) {
  std::vector<T> out(static_cast<std::size_t>(values.size()));
  kernels::copy(values, Span<T>(out.data(), values.size()), stream);
  kernels::synchronize(stream);
  return out;
}

}  // namespace velum::testing

namespace velum::kernels {
inline void PrintTo(Backend backend, std::ostream* os) { *os << to_string(backend); }
}  // namespace velum::kernels
