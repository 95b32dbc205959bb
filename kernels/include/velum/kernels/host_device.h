#pragma once

/// Marks a function that both the host compiler and nvcc compile.
#if defined(__CUDACC__)
#define VELUM_HOST_DEVICE __host__ __device__
#else
#define VELUM_HOST_DEVICE
#endif
