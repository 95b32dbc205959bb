#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

namespace velum::python {

/// Memory that pybind11 asks for before an object is made is zero: so `cls.__new__(cls)`, which
/// never makes it, has null pointers and not any.
struct ZeroedMemory {
  static void* operator new(std::size_t size) {
    void* const memory = ::operator new(size);
    std::memset(memory, 0, size);
    return memory;
  }
  static void* operator new(std::size_t, void* place) noexcept { return place; }
  static void operator delete(void* memory) { ::operator delete(memory); }
};

/// A value of plain members, vectors and strings as Python has it: never initialised, it is zero
/// and empty, which its own checks refuse.
template <typename T>
struct Zeroed : ZeroedMemory, T {
  Zeroed(T made) : T(std::move(made)) {}  // NOLINT(google-explicit-constructor): results become it
};

}  // namespace velum::python
