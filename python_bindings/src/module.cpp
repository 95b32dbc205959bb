#include <pybind11/pybind11.h>

#include "bindings.h"
#include "velum/kernels/error.h"
#include "velum/kernels/stream.h"

namespace py = pybind11;

// pybind11 maps the standard exceptions: std::invalid_argument to ValueError, std::out_of_range to
// IndexError, std::overflow_error to OverflowError, std::bad_alloc to MemoryError, and all others,
// std::logic_error among them, to RuntimeError.
PYBIND11_MODULE(_core, module) {
  module.doc() = "What velum computes in C++; import velum for the documented names.";
  using namespace velum;
  py::register_exception<kernels::CudaError>(module, "CudaError", PyExc_RuntimeError).doc() =
      "A CUDA call failed; the text names the call, the error and the place.";
  py::register_exception<kernels::BackendUnavailable>(module, "BackendUnavailable",
                                                      PyExc_RuntimeError)
      .doc() = "A backend was asked for that this build does not have.";
  module.def("built_with_cuda", &kernels::built_with_cuda,
             "Whether this build has the CUDA backend.");
  python::bind_kernels(module);
  python::bind_he(module);
  python::bind_accounting(module);
  python::bind_integer_noise(module);
  python::bind_features(module);
  python::bind_ledger(module);
  python::bind_dpsgd(module);
  python::bind_training(module);
  python::bind_recipes(module);
  python::bind_audit(module);
  python::refuse_uninitialised_objects(module);
}
