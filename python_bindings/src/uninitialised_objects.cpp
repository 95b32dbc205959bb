#include <pybind11/pybind11.h>

#include <cstddef>

#include "bindings.h"

namespace py = pybind11;

namespace velum::python {
namespace {

/// In the place of the memory that pybind11 would hand out as the object, unwritten.
void* refuse(std::size_t /*size*/) {
  throw py::type_error(
      "velum: an object that __new__ made and __init__ did not; make it by calling its class");
}

/// Of every class in a module or class, and in those inside of it.
void refuse_in(const py::handle& scope) {
  for (const auto& [name, member] : py::dict(scope.attr("__dict__"))) {
    if (py::isinstance<py::module_>(member)) {
      refuse_in(member);
    } else if (PyType_Check(member.ptr()) != 0) {
      auto* const type = py::detail::get_type_info(reinterpret_cast<PyTypeObject*>(member.ptr()));
      if (type == nullptr || type->operator_new == refuse) continue;
      type->operator_new = refuse;
      refuse_in(member);
    }
  }
}

}  // namespace

void refuse_uninitialised_objects(py::module_& module) { refuse_in(module); }

}  // namespace velum::python
