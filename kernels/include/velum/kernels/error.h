#pragma once

#include <stdexcept>
#include <string>

namespace velum::kernels {

/// A CUDA runtime call or launch failed. The text names the call, the error and the place.
class CudaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The stream asks for a backend that this build does not have. (A device that is missing is a
/// CudaError.)
class BackendUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace velum::kernels
