#pragma once

#include <c10/core/Device.h>

#include "velum/kernels/stream.h"

namespace velum::dpsgd::detail {

/// torch's current stream of a CUDA device. torch_bridge_cuda.cpp reads it; a build without CUDA
/// takes torch_bridge_cpu.cpp, which throws BackendUnavailable.
kernels::Stream current_cuda_stream(c10::DeviceIndex device);

}  // namespace velum::dpsgd::detail
