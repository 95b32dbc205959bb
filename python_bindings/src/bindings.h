#pragma once

#include <pybind11/pybind11.h>

/// One function for each part, in bind_<part>.cpp: adds the part's names to the module
/// `velum._core` or to a submodule of it. Bindings hold no mathematics: they check what C++ cannot
/// know of (array types, shapes that a view has no place for), release the GIL around work and call
/// the library.
namespace velum::python {

void bind_accounting(pybind11::module_& module);
/// More of the submodule accounting.
void bind_accounting_functions(pybind11::module_& accounting);
void bind_audit(pybind11::module_& module);
void bind_dpsgd(pybind11::module_& module);
void bind_features(pybind11::module_& module);
void bind_he(pybind11::module_& module);
void bind_integer_noise(pybind11::module_& module);
void bind_kernels(pybind11::module_& module);
void bind_ledger(pybind11::module_& module);
void bind_recipes(pybind11::module_& module);
void bind_training(pybind11::module_& module);
/// Last: an object of any class so far that was never initialised is a TypeError wherever it is
/// used.
void refuse_uninitialised_objects(pybind11::module_& module);

}  // namespace velum::python
