#include <c10/util/Exception.h>
#include <pybind11/stl.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>

#include <exception>
#include <vector>

#include "bindings.h"
#include "velum/dpsgd/per_sample_gradients.h"

namespace py = pybind11;

namespace velum::python {
namespace {

using dpsgd::PerSampleOptions;

/// Errors of torch, and of Python code that runs below it (hooks, autograd functions), as torch
/// itself raises them.
void translate_torch_errors(std::exception_ptr error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const c10::Error&) {
    torch::translate_exception_to_python(error);
  } catch (python_error& python) {
    python.restore();
  }
}

}  // namespace

void bind_dpsgd(py::module_& module) {
  py::register_local_exception_translator(&translate_torch_errors);
  // The GIL is released around every backward pass: the engine's threads, and functions in Python
  // that they call, need it.
  module.def(
      "per_sample_gradients",
      [](const at::Tensor& losses, const std::vector<at::Tensor>& params, bool allow_slow_rules) {
        return dpsgd::per_sample_gradients(losses, params, {.allow_slow_rules = allow_slow_rules});
      },
      py::arg("losses"), py::arg("params"), py::arg("allow_slow_rules"),
      py::call_guard<py::gil_scoped_release>());
  module.def(
      "per_sample_norms",
      [](const at::Tensor& losses, const std::vector<at::Tensor>& params, bool allow_slow_rules) {
        return dpsgd::per_sample_norms(losses, params, {.allow_slow_rules = allow_slow_rules});
      },
      py::arg("losses"), py::arg("params"), py::arg("allow_slow_rules"),
      py::call_guard<py::gil_scoped_release>());
}

}  // namespace velum::python
