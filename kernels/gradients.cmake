target_sources(velum_kernels
  PUBLIC FILE_SET HEADERS FILES
    include/velum/kernels/gradients/add_gaussian_noise.h
    include/velum/kernels/gradients/clip_and_sum.h
    include/velum/kernels/gradients/clip_factors.h
    include/velum/kernels/gradients/clip_sum_noise_scale.h
    include/velum/kernels/gradients/per_sample_norms.h
  PRIVATE
    src/gradients/add_gaussian_noise.cpp
    src/gradients/add_gaussian_noise_cpu.cpp
    src/gradients/check_arguments.cpp
    src/gradients/clip_and_sum.cpp
    src/gradients/clip_and_sum_cpu.cpp
    src/gradients/clip_factors.cpp
    src/gradients/clip_factors_cpu.cpp
    src/gradients/clip_sum_noise_scale.cpp
    src/gradients/per_sample_norms.cpp
    src/gradients/per_sample_norms_cpu.cpp)
if(VELUM_WITH_CUDA)
  target_sources(velum_kernels PRIVATE
    src/gradients/add_gaussian_noise_cuda.cu
    src/gradients/clip_and_sum_cuda.cu
    src/gradients/clip_factors_cuda.cu
    src/gradients/per_sample_norms_cuda.cu)
endif()
