#include "torch_bridge_cuda.h"
#include "velum/kernels/error.h"

namespace velum::dpsgd::detail {

kernels::Stream current_cuda_stream(c10::DeviceIndex /*device*/) {
  throw kernels::BackendUnavailable(
      "the CUDA backend was not built: configure with VELUM_WITH_CUDA=ON and a torch with CUDA");
}

}  // namespace velum::dpsgd::detail
