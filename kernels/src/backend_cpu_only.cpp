// The answers of a build without the CUDA backend; backend_cuda.cu has the others.
#include "velum/kernels/buffer.h"
#include "velum/kernels/error.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

bool built_with_cuda() { return false; }
int cuda_device_count() { return 0; }

namespace detail {

[[noreturn]] static void no_cuda() {
  throw BackendUnavailable(
      "the CUDA backend was not built: configure with VELUM_WITH_CUDA=ON (needs nvcc)");
}
void* allocate_cuda(std::int64_t, int) { no_cuda(); }
void free_cuda(void*, int) noexcept {}
void copy_cuda(void*, const void*, std::int64_t, const Stream&) { no_cuda(); }
void synchronize_cuda(const Stream&) { no_cuda(); }

}  // namespace detail
}  // namespace velum::kernels
