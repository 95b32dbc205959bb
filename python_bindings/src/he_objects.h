#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <atomic>
#include <complex>
#include <cstdint>
#include <cstring>
#include <istream>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <utility>
#include <vector>

#include "velum/he/ckks/polynomial.h"
#include "velum/he/context.h"
#include "velum/he/keys.h"
#include "velum/he/randomness.h"
#include "velum/he/serialization.h"
#include "velum/he/threshold/once_register.h"
#include "velum/kernels/random/key_source.h"

/// What the bindings of homomorphic encryption share: how C++ objects are held, called without the
/// GIL, and made from and to arrays and bytes.
namespace velum::python {

namespace py = pybind11;

/// A context and where its work runs.
struct Session {
  Session(std::shared_ptr<const he::Context> context_, he::Stream stream_, int threads_,
          std::string device_)
      : context(std::move(context_)),
        stream(std::move(stream_)),
        threads(threads_),
        device(std::move(device_)) {}

  std::shared_ptr<const he::Context> context;
  he::Stream stream;
  int threads;
  std::string device;
};

/// Contexts are shared by all who ask for the same parameters and device, so that objects which
/// came by different ways (pickles, say) meet in one.
/// @param device  "cpu", "cuda" or "cuda:<index>".
/// @throws std::invalid_argument if threads or device are out of range;
/// kernels::BackendUnavailable.
std::shared_ptr<const Session> make_session(const he::Parameters& parameters, int threads,
                                            const std::string& device);

/// A context as Python has it.
struct HeldContext {
  explicit HeldContext(std::shared_ptr<const Session> made) : session(std::move(made)) {}
  std::shared_ptr<const Session> session;
};

/// An object as Python has it. Its value is changed only under the GIL, and replaced where somebody
/// computes on it without.
template <typename T>
struct Held {
  Held(std::shared_ptr<const Session> session_, std::shared_ptr<T> value_)
      : session(std::move(session_)), value(std::move(value_)) {}
  std::shared_ptr<const Session> session;
  std::shared_ptr<T> value;
};

inline const std::shared_ptr<const Session>& session_of(const HeldContext& held) {
  return held.session;
}
template <typename T>
const std::shared_ptr<const Session>& session_of(const Held<T>& held) {
  return held.session;
}
template <typename T>
const std::shared_ptr<T>& pointer(const Held<T>& held) {
  if (held.value == nullptr) throw py::type_error("velum.he: the object was used up");
  return held.value;
}
template <typename T>
T& value(const Held<T>& held) {
  return *pointer(held);
}

template <typename Work>
auto without_gil(Work&& work) {
  const py::gil_scoped_release released;
  return work();
}

/// work(values.., stream) without the GIL. The pointers are copied before, so that nothing which
/// another thread does to the Python objects touches the values.
template <typename Work, typename... Ts>
auto call(const std::shared_ptr<const Session>& session, Work&& work, const Held<Ts>&... held) {
  return [&work, session](auto... values) {
    return without_gil([&] { return work(*values..., session->stream); });
  }(pointer(held)...);
}

template <typename T>
Held<T> hold(const std::shared_ptr<const Session>& session, T&& value) {
  return {session, std::make_shared<T>(std::move(value))};
}

/// `call`, its result held with the session of the first.
template <typename Work, typename First, typename... Ts>
auto call_held(Work&& work, const Held<First>& first, const Held<Ts>&... rest) {
  return hold(session_of(first), call(session_of(first), std::forward<Work>(work), first, rest...));
}

/// The values of Python's shares in a row, as C++ takes them; given back in the end.
template <typename Share>
class Borrowed {
 public:
  explicit Borrowed(const char* function, const std::vector<py::object>& shares) {
    for (const py::object& object : shares) {
      auto& held = object.cast<Held<Share>&>();
      if (held.value == nullptr || held.value.use_count() != 1) {
        give_back();
        throw std::invalid_argument(std::string(function) +
                                    ": a share is there twice, was taken by its receiver, or is in "
                                    "use by another thread");
      }
      values.push_back(std::move(*held.value));
      held.value = nullptr;
      from_.push_back(object);
    }
  }
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  ~Borrowed() { give_back(); }

  /// For good.
  std::vector<Share> take() {
    from_.clear();
    return std::move(values);
  }

  std::vector<Share> values;

 private:
  void give_back() {
    for (std::size_t i = 0; i < from_.size(); ++i) {
      from_[i].template cast<Held<Share>&>().value = std::make_shared<Share>(std::move(values[i]));
    }
    from_.clear();
  }

  std::vector<py::object> from_;
};

using Objects = std::vector<py::object>;

/// What numpy.asarray makes of it, and raises.
py::array as_array(const py::object& values);
/// [n] real numbers. Contiguous float64 is not copied.
/// @throws py::type_error if they are no real numbers; std::invalid_argument if it is not [n].
using DoubleArray = py::array_t<double, py::array::c_style | py::array::forcecast>;
using ComplexArray = py::array_t<std::complex<double>, py::array::c_style | py::array::forcecast>;
using IntArray = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;
using UnsignedArray = py::array_t<std::uint64_t, py::array::c_style | py::array::forcecast>;
bool is_complex(const py::array& array);
/// @throws py::type_error naming function, argument and type unless it is of real numbers.
void check_real(const char* function, const char* name, const py::array& array);
/// @throws py::type_error unless it is of integers.
void check_integers(const char* function, const char* name, const py::array& array);
/// @throws std::invalid_argument unless it has so many dimensions.
void check_dimensions(const char* function, const char* name, const py::array& array,
                      int dimensions);

using Int32Array = py::array_t<std::int32_t, py::array::c_style | py::array::forcecast>;
/// [n] int32; no other type is converted.
Int32Array int32_of(const char* function, const char* name, const py::object& values);

template <typename T, int kFlags>
kernels::Span<const T> span_of(const py::array_t<T, kFlags>& array) {
  return {array.data(), array.size()};
}
template <typename T>
kernels::Span<T> mutable_span_of(py::array_t<T>& array) {
  return {array.mutable_data(), array.size()};
}

/// 128, 192 or 256. @throws std::invalid_argument.
he::SecurityLevel security_level(const char* function, int bits);
/// @throws std::invalid_argument if threads or device are out of range.
he::Stream stream_of(int threads, const std::string& device);

/// From 32 bytes. @throws std::invalid_argument naming function and argument.
he::threshold::Digest digest_of(const char* function, const char* name, const py::bytes& bytes);
kernels::RandomKey random_key_of(const char* function, const char* name, const py::bytes& bytes);
/// A Python function, called under the GIL.
using Register = py::typing::Callable<bool(py::str, py::bytes)>;
he::threshold::OnceRegister register_of(const Register& function);

std::string history_name(he::History history);
/// From 32 hexadecimal digits. @throws std::invalid_argument if it is something else.
he::KeyId key_id_of(const std::string& text);
he::LoadOptions load_options(const std::optional<std::string>& expected_key);
std::shared_ptr<he::Randomness> randomness_or_secure(
    const std::optional<std::shared_ptr<he::Randomness>>& randomness);

/// Writes into memory of a fixed size.
class WriteBuffer : public std::streambuf {
 public:
  WriteBuffer(char* data, std::int64_t size) { setp(data, data + size); }
  std::int64_t written() const { return pptr() - pbase(); }
};

/// Reads memory of somebody else's.
class ReadBuffer : public std::streambuf {
 public:
  ReadBuffer(const void* data, std::int64_t size) {
    char* const begin = const_cast<char*>(static_cast<const char*>(data));  // only read
    setg(begin, begin, begin + size);
  }
};

/// The bytes that `save` writes to a stream, `size` of them, without the GIL.
template <typename Save>
py::bytes bytes_of(std::int64_t size, const Save& save) {
  const py::object bytes =
      py::reinterpret_steal<py::object>(PyBytes_FromStringAndSize(nullptr, size));
  if (!bytes) throw py::error_already_set();
  char* const data = PyBytes_AS_STRING(bytes.ptr());
  const std::int64_t written = without_gil([&] {
    WriteBuffer buffer(data, size);
    std::ostream out(&buffer);
    save(out);
    return buffer.written();
  });
  if (written != size) {
    throw std::logic_error("to_bytes: " + std::to_string(written) + " bytes were written of " +
                           std::to_string(size));
  }
  return py::reinterpret_borrow<py::bytes>(bytes);
}

/// The memory of a Python object, which it keeps in place.
class ByteView {
 public:
  /// @throws py::type_error naming `function` unless it is contiguous bytes.
  ByteView(const char* function, const py::buffer& data) : info_(data.request()) {
    if (info_.itemsize != 1 || info_.ndim != 1 || (info_.size > 1 && info_.strides[0] != 1)) {
      throw py::type_error(std::string(function) + ": data has items of " +
                           std::to_string(info_.itemsize) + " bytes, " +
                           std::to_string(info_.ndim) + " dimensions or gaps, expected bytes");
    }
  }
  kernels::Span<const std::uint8_t> span() const {
    return {static_cast<const std::uint8_t*>(info_.ptr), info_.size};
  }

 private:
  py::buffer_info info_;
};

/// What `load` makes of the one object in the bytes, without the GIL.
/// @throws he::SerializationError also if bytes are left; py::type_error unless `data` is
/// contiguous bytes.
template <typename Load>
auto from_bytes(const py::buffer& data, const Load& load) {
  const ByteView view("from_bytes", data);
  return without_gil([&] {
    ReadBuffer buffer(view.span().data(), view.span().size());
    std::istream in(&buffer);
    auto loaded = load(in);
    he::expect_end(in);
    return loaded;
  });
}

template <typename Bytes>
py::bytes to_python(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// What must be used by one thread at a time: calls wait for each other.
template <typename T>
struct Locked {
  explicit Locked(T made) : object(std::move(made)) {}
  T object;
  std::mutex mutex;
};

/// work(object, stream) without the GIL; callbacks into Python take it themselves.
template <typename T, typename Work>
auto call_locked(const Held<Locked<T>>& held, const Work& work) {
  return call(
      session_of(held),
      [&](auto& locked, auto& stream) {
        const std::lock_guard<std::mutex> lock(locked.mutex);
        return work(locked.object, stream);
      },
      held);
}

/// A polynomial as Python has it; it never changes.
struct HeldPolynomial {
  explicit HeldPolynomial(he::Polynomial made)
      : value(std::make_shared<he::Polynomial>(std::move(made))) {}
  const he::Polynomial& get() const { return *value; }
  std::shared_ptr<const he::Polynomial> value;
};

/// Copies of what never changes are the thing itself.
template <typename Class>
void def_copies_are_itself(Class& cls) {
  cls.def("__copy__", [](py::object self) { return self; });
  cls.def(
      "__deepcopy__", [](py::object self, const py::dict&) { return self; }, py::arg("memo"));
}

/// @throws std::invalid_argument if parameters without the security table would come back as if
/// they were within it.
void check_pickle(const he::Parameters& parameters);

/// to_bytes, from_bytes and pickles.
/// @param save  (std::ostream&, const T&, const he::Stream&).
/// @param load  (std::istream&, context, stream, LoadOptions).
template <typename T, typename Class, typename Save, typename Load>
void def_serialization(Class& cls, const Save& save, const Load& load) {
  const auto to_bytes = [save](const Held<T>& held) {
    const std::shared_ptr<T> kept = pointer(held);
    const std::shared_ptr<const Session> session = session_of(held);
    return bytes_of(serialized_size(*kept),
                    [&](std::ostream& out) { save(out, *kept, session->stream); });
  };
  const auto load_in = [load](const HeldContext& context, const py::buffer& data,
                              const std::optional<std::string>& expected_key) {
    const std::shared_ptr<const Session> session = session_of(context);
    const he::LoadOptions options = load_options(expected_key);
    return hold(session, from_bytes(data, [&](std::istream& in) {
                  return load(in, session->context, session->stream, options);
                }));
  };
  cls.def(
      "to_bytes", to_bytes,
      "The object as bytes, in the format of docs/serialization.md: the same on every machine.");
  cls.def_static("from_bytes", load_in, py::arg("context"), py::arg("data"), py::kw_only(),
                 py::arg("expected_key") = py::none(),
                 "Loads what to_bytes wrote. Bytes of anybody: everything is checked.\n\n"
                 "Args:\n"
                 "    context: of the object's parameters.\n"
                 "    data: bytes, or anything with a buffer of bytes; not copied.\n"
                 "    expected_key: id of the secret key that it must belong to; None: any.\n\n"
                 "Raises:\n"
                 "    SerializationError: if the bytes are damaged, foreign, or too many.");
  cls.def_property_readonly(
      "serialized_size", [](const Held<T>& held) { return serialized_size(value(held)); },
      "Length of to_bytes(), in bytes.");
  cls.def(py::pickle(
      [to_bytes](const Held<T>& held) {
        check_pickle(session_of(held)->context->parameters());
        return py::make_tuple(HeldContext(session_of(held)), to_bytes(held));
      },
      [load_in](const py::tuple& state) {
        if (state.size() != 2) throw std::invalid_argument("pickle: not a state of velum.he");
        return load_in(state[0].cast<HeldContext>(), state[1].cast<py::buffer>(), std::nullopt);
      }));
}

template <typename T, typename Class>
void def_context(Class& cls) {
  cls.def_property_readonly(
      "context", [](const Held<T>& held) { return HeldContext(session_of(held)); },
      "The Context that it belongs to.");
}

/// Sets the history of one value under the GIL.
/// @throws std::logic_error if somebody else holds the value.
template <typename T, typename Vouch>
void vouch_alone(Held<T>& held, const char* function, const Vouch& vouch) {
  if (pointer(held).use_count() != 1) {
    throw std::logic_error(std::string(function) +
                           ": the key is in use by another object or thread; vouch for it before "
                           "it is used");
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  vouch(*held.value);
}

inline constexpr char kVouchForKey[] =
    "Declares that the key was made as this library makes keys, so that its errors are as small.\n"
    "Say so only of a key that came from yourself, by a way on which nobody could change it.\n\n"
    "Raises:\n"
    "    RuntimeError: if something else holds the key already, an Encryptor for example.";
inline constexpr char kHistory[] =
    "'known' if this process computed it from keys and messages of known history or the caller\n"
    "vouched, 'unknown' if it or something that went into it was loaded.";

void bind_he_ckks(py::module_& module);
void bind_he_bfv(py::module_& module);
void bind_he_threshold(py::module_& module);
void bind_he_aggregation(py::module_& module);
void bind_he_protocol(py::module_& module);
void bind_he_vectors(py::module_& ckks, py::module_& bfv);

}  // namespace velum::python
