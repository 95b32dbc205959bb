#include "torch_bridge_cuda.h"

#include <c10/cuda/CUDAStream.h>

namespace velum::dpsgd::detail {

kernels::Stream current_cuda_stream(c10::DeviceIndex device) {
  const c10::cuda::CUDAStream stream = c10::cuda::getCurrentCUDAStream(device);
  return kernels::Stream::cuda(stream.stream(), stream.device_index());
}

}  // namespace velum::dpsgd::detail
