#include "he_objects.h"
#include "velum/he/bfv/vector_evaluator.h"
#include "velum/he/ckks/vector_evaluator.h"

namespace velum::python {
namespace {

using he::EncodedMatrix;
using he::GaloisKeys;
using he::PlainOptions;
using he::RelinearizationKey;
using kernels::MatrixView;

template <typename T>
std::shared_ptr<const T> pointer_or_null(const std::optional<Held<T>>& held) {
  if (!held) return nullptr;
  return pointer(*held);
}

DoubleArray numbers_of(const char* function, const char* name, const py::object& values,
                       int dimensions) {
  const py::array array = as_array(values);
  check_real(function, name, array);
  check_dimensions(function, name, array, dimensions);
  return DoubleArray(array);
}

/// int64; uint64 whose values are too large for it are refused.
IntArray integers_of(const char* function, const char* name, const py::object& values,
                     int dimensions) {
  const py::array array = as_array(values);
  check_integers(function, name, array);
  check_dimensions(function, name, array, dimensions);
  const IntArray integers(array);
  if (array.dtype().kind() == 'u') {
    for (std::int64_t i = 0; i < integers.size(); ++i) {
      if (integers.data()[i] < 0) {
        throw std::invalid_argument(std::string(function) + ": " + name +
                                    " holds a number above 2^63 - 1");
      }
    }
  }
  return integers;
}

template <typename Array>
auto matrix_view(const Array& array) {
  return MatrixView<const typename Array::value_type>(array.data(), array.shape(0), array.shape(1));
}

/// weighted_sum(terms, weights, stream) without the GIL.
template <typename E, typename Ciphertext, typename Sum>
Held<Ciphertext> sum_of_terms(const Held<E>& e, const std::vector<const Held<Ciphertext>*>& terms,
                              const Sum& sum) {
  std::vector<std::shared_ptr<Ciphertext>> kept;
  for (const Held<Ciphertext>* term : terms) {
    if (term == nullptr) throw py::type_error("weighted_sum: a term is None");
    kept.push_back(pointer(*term));
  }
  std::vector<const Ciphertext*> pointers;
  for (const auto& term : kept) pointers.push_back(term.get());
  return call_held([&](auto& v, auto& s) { return sum(v, pointers, s); }, e);
}

/// A matrix of either scheme.
template <typename T>
py::class_<Held<T>> bind_encoded_matrix(py::module_& module) {
  py::class_<Held<T>> matrix(module, "EncodedMatrix",
                             "A matrix that was encoded once, for many products.");
  matrix.def_property_readonly(
      "shape",
      [](const Held<T>& held) { return std::pair(value(held).rows(), value(held).cols()); },
      "(n, m).");
  return matrix;
}

/// What both schemes have in the same words.
template <typename E, typename Ciphertext, typename Class>
void def_shared(Class& cls) {
  using V = Held<E>;
  using C = Held<Ciphertext>;
  cls.def(py::init([](const HeldContext& context,
                      const std::optional<Held<RelinearizationKey>>& relinearization,
                      const std::optional<Held<GaloisKeys>>& galois) {
            return hold(session_of(context),
                        E(session_of(context)->context, pointer_or_null(relinearization),
                          pointer_or_null(galois)));
          }),
          py::arg("context"), py::arg("relinearization_key") = py::none(),
          py::arg("galois_keys") = py::none(),
          "Either key may be None for whoever needs none; an operation that does is a\n"
          "RuntimeError.");
  cls.def(
      "period", [](const V& e, std::int64_t size) { return value(e).period(size); },
      py::arg("size"), "The smallest power of two >= size, 1 to N / 2.");
  cls.def_static(
      "rotation_steps",
      [](const HeldContext& context) {
        return E::rotation_steps(session_of(context)->context->parameters());
      },
      py::arg("context"), "1, 2, 4, .., N / 4: the Galois keys that rotations need.");
  cls.def(
      "negate",
      [](const V& e, const C& a) {
        return call_held([](auto& v, auto& x, auto& s) { return v.negate(x, s); }, e, a);
      },
      py::arg("a"), "-a.");
  cls.def(
      "multiply",
      [](const V& e, const C& a, const C& b) {
        return call_held([](auto& v, auto& x, auto& y, auto& s) { return v.multiply(x, y, s); }, e,
                         a, b);
      },
      py::arg("a"), py::arg("b"), "a * b, number by number.");
  cls.def(
      "rotate",
      [](const V& e, const C& a, std::int64_t steps, std::int64_t size) {
        return call_held([&](auto& v, auto& x, auto& s) { return v.rotate(x, steps, size, s); }, e,
                         a);
      },
      py::arg("a"), py::arg("steps"), py::arg("size"),
      "Number j of the result is number j + steps, around the end; size is a power of two.");
}

/// decode(plaintext, size)
template <typename E, typename Plaintext, typename T, typename Class>
void def_decode(Class& cls, const char* doc) {
  cls.def(
      "decode",
      [](const Held<E>& e, const Held<Plaintext>& plaintext, std::int64_t size) {
        value(e).period(size);  // refuses what is out of range
        py::array_t<T> out(size);
        const auto span = mutable_span_of(out);
        call(
            session_of(e),
            [&](auto& v, auto& message, auto& s) {
              v.decode(message, span, s);
              return 0;
            },
            e, plaintext);
        return out;
      },
      py::arg("plaintext"), py::arg("size"), doc);
}

void bind_ckks_vectors(py::module_& module) {
  using V = Held<he::VectorEvaluator>;
  using C = Held<he::Ciphertext>;
  using M = Held<EncodedMatrix>;
  bind_encoded_matrix<EncodedMatrix>(module)
      .def_property_readonly(
          "level", [](const M& held) { return value(held).level(); },
          "Of the vectors; those of a higher level are brought down to it.")
      .def_property_readonly(
          "message_bound", [](const M& held) { return value(held).message_bound(); },
          "What the magnitudes of a column may add up to; public.");
  py::class_<V> evaluator(
      module, "VectorEvaluator",
      "Arithmetic on CKKS vectors of real numbers for which levels and scales need no thought:\n"
      "operands meet at the lower level, products are relinearised and rescaled. A vector of n\n"
      "numbers lies in the first n of period(n) slots, zeros behind it, and repeats.\n\n"
      "message_bound of a plain operand: what its magnitudes reach; public. None: the smallest\n"
      "power of two that holds, which tells as much of it to whoever sees the ciphertext.");
  def_shared<he::VectorEvaluator, he::Ciphertext>(evaluator);
  def_decode<he::VectorEvaluator, he::Plaintext, double>(
      evaluator, "The numbers of a vector, [size] float64.");
  const auto options = [](std::optional<double> bound) {
    if (bound && !(*bound > 0)) {
      throw std::invalid_argument("VectorEvaluator: message_bound = " + std::to_string(*bound) +
                                  ", expected finite and > 0, or None");
    }
    return PlainOptions{bound.value_or(0.0)};
  };
  const auto sum_options = [options](std::optional<double> bound) {
    return he::SumOptions{options(bound).message_bound};
  };
  const auto bound = py::arg("message_bound") = py::none();
  evaluator.def(
      "encode",
      [](const V& e, const py::object& values, double message_bound) {
        const DoubleArray numbers = numbers_of("encode", "values", values, 1);
        return call_held(
            [&](auto& v, auto& s) { return v.encode(span_of(numbers), message_bound, s); }, e);
      },
      py::arg("values"), py::arg("message_bound") = 1.0,
      "[n] numbers, 1 to N / 2, into a Plaintext at the highest level. message_bound: what a\n"
      "number's magnitude may reach; public, so not to be computed from the numbers.");
  evaluator.def(
      "add",
      [sum_options](const V& e, const C& a, const C& b, std::optional<double> message_bound) {
        const he::SumOptions known = sum_options(message_bound);
        return call_held([&](auto& v, auto& x, auto& y, auto& s) { return v.add(x, y, s, known); },
                         e, a, b);
      },
      py::arg("a"), py::arg("b"), py::kw_only(), bound,
      "a + b. message_bound: what the caller knows of the sum's numbers.");
  evaluator.def(
      "subtract",
      [sum_options](const V& e, const C& a, const C& b, std::optional<double> message_bound) {
        const he::SumOptions known = sum_options(message_bound);
        return call_held(
            [&](auto& v, auto& x, auto& y, auto& s) { return v.subtract(x, y, s, known); }, e, a,
            b);
      },
      py::arg("a"), py::arg("b"), py::kw_only(), bound, "a - b.");
  evaluator.def(
      "add_plain",
      [options](const V& e, const C& a, const py::object& values,
                std::optional<double> message_bound) {
        const PlainOptions plain = options(message_bound);
        const DoubleArray numbers = numbers_of("add_plain", "values", values, 1);
        return call_held(
            [&](auto& v, auto& x, auto& s) { return v.add_plain(x, span_of(numbers), s, plain); },
            e, a);
      },
      py::arg("a"), py::arg("values"), py::kw_only(), bound, "a + [n] numbers.");
  evaluator.def(
      "multiply_plain",
      [options](const V& e, const C& a, const py::object& values,
                std::optional<double> message_bound) {
        const PlainOptions plain = options(message_bound);
        const DoubleArray numbers = numbers_of("multiply_plain", "values", values, 1);
        return call_held([&](auto& v, auto& x,
                             auto& s) { return v.multiply_plain(x, span_of(numbers), s, plain); },
                         e, a);
      },
      py::arg("a"), py::arg("values"), py::kw_only(), bound, "a * [n] numbers; a level.");
  evaluator.def(
      "multiply_constant",
      [](const V& e, const C& a, double factor) {
        return call_held(
            [&](auto& v, auto& x, auto& s) { return v.multiply_constant(x, factor, s); }, e, a);
      },
      py::arg("a"), py::arg("value"), "a * number; a level unless it is an integer.");
  evaluator.def(
      "weighted_sum",
      [options](const V& e, const std::vector<const C*>& terms, const py::object& weights,
                std::optional<double> message_bound) {
        const PlainOptions plain = options(message_bound);
        const DoubleArray numbers = numbers_of("weighted_sum", "weights", weights, 1);
        return sum_of_terms(e, terms, [&](auto& v, auto& pointers, auto& s) {
          return v.weighted_sum(pointers, span_of(numbers), s, plain);
        });
      },
      py::arg("terms"), py::arg("weights"), py::kw_only(), bound,
      "sum_i weights[i] terms[i]; a level unless all weights are integers. message_bound: of the\n"
      "magnitudes of the weights, added up.");
  evaluator.def(
      "sum",
      [sum_options](const V& e, const C& a, std::int64_t size,
                    std::optional<double> message_bound) {
        const he::SumOptions known = sum_options(message_bound);
        return call_held([&](auto& v, auto& x, auto& s) { return v.sum(x, size, s, known); }, e, a);
      },
      py::arg("a"), py::arg("size"), py::kw_only(), bound,
      "A vector of one number: the sum. message_bound: what the caller knows of it.");
  evaluator.def(
      "multiply_matrix",
      [options](const V& e, const C& a, const py::object& matrix,
                std::optional<double> message_bound) {
        const PlainOptions plain = options(message_bound);
        const DoubleArray entries = numbers_of("multiply_matrix", "matrix", matrix, 2);
        return call_held(
            [&](auto& v, auto& x, auto& s) {
              return v.multiply_matrix(x, matrix_view(entries), s, plain);
            },
            e, a);
      },
      py::arg("a"), py::arg("matrix"), py::kw_only(), bound,
      "A vector of n numbers times [n, m]: a vector of m numbers; a level, and about\n"
      "2 sqrt(min(n, m)) + log2(n / m) rotations. message_bound: of the magnitudes of a column,\n"
      "added up.");
  evaluator.def(
      "encode_matrix",
      [options](const V& e, const py::object& matrix, std::optional<double> message_bound,
                const std::optional<int>& level) {
        if (level == -1) {
          throw std::invalid_argument("encode_matrix: level = -1, expected 1 or more, or None");
        }
        const PlainOptions plain = options(message_bound);
        const DoubleArray entries = numbers_of("encode_matrix", "matrix", matrix, 2);
        return call_held(
            [&](auto& v, auto& s) {
              return v.encode_matrix(matrix_view(entries), s, plain, level.value_or(-1));
            },
            e);
      },
      py::arg("matrix"), py::kw_only(), bound, py::arg("level") = py::none(),
      "An EncodedMatrix for multiply_encoded_matrix with vectors of that level or a higher one;\n"
      "level None: the highest.");
  evaluator.def(
      "multiply_encoded_matrix",
      [](const V& e, const C& a, const M& matrix) {
        return call_held(
            [](auto& v, auto& x, auto& m, auto& s) { return v.multiply_matrix(x, m, s); }, e, a,
            matrix);
      },
      py::arg("a"), py::arg("matrix"), "multiply_matrix, without encoding the matrix again.");
  evaluator.def(
      "evaluate",
      [](const V& e, const C& a, std::int64_t size, const HeldPolynomial& polynomial) {
        const he::Polynomial kept = polynomial.get();
        return call_held([&](auto& v, auto& x, auto& s) { return v.evaluate(x, size, kept, s); }, e,
                         a);
      },
      py::arg("a"), py::arg("size"), py::arg("polynomial"),
      "The polynomial of every number, polynomial.depth levels lower.");
}

void bind_bfv_vectors(py::module_& module) {
  using V = Held<he::bfv::VectorEvaluator>;
  using C = Held<he::bfv::Ciphertext>;
  bind_encoded_matrix<he::bfv::EncodedMatrix>(module);
  py::class_<V> evaluator(module, "VectorEvaluator",
                          "Arithmetic on BFV vectors of integers modulo t for which levels and "
                          "relinearisation need no\n"
                          "thought. A vector of n integers lies in the first n of period(n) slots, "
                          "zeros behind it, and\n"
                          "repeats in both rows.");
  def_shared<he::bfv::VectorEvaluator, he::bfv::Ciphertext>(evaluator);
  def_decode<he::bfv::VectorEvaluator, he::bfv::Plaintext, std::int64_t>(
      evaluator, "The integers of a vector, [size] int64 in [-t/2, t/2].");
  evaluator.def(
      "encode",
      [](const V& e, const py::object& values) {
        const IntArray integers = integers_of("encode", "values", values, 1);
        return call_held([&](auto& v, auto& s) { return v.encode(span_of(integers), s); }, e);
      },
      py::arg("values"), "[n] integers, 1 to N / 2, each in [-t/2, t/2], into a Plaintext.");
  evaluator.def(
      "add",
      [](const V& e, const C& a, const C& b) {
        return call_held([](auto& v, auto& x, auto& y, auto& s) { return v.add(x, y, s); }, e, a,
                         b);
      },
      py::arg("a"), py::arg("b"), "a + b.");
  evaluator.def(
      "subtract",
      [](const V& e, const C& a, const C& b) {
        return call_held([](auto& v, auto& x, auto& y, auto& s) { return v.subtract(x, y, s); }, e,
                         a, b);
      },
      py::arg("a"), py::arg("b"), "a - b.");
  evaluator.def(
      "add_plain",
      [](const V& e, const C& a, const py::object& values) {
        const IntArray integers = integers_of("add_plain", "values", values, 1);
        return call_held(
            [&](auto& v, auto& x, auto& s) { return v.add_plain(x, span_of(integers), s); }, e, a);
      },
      py::arg("a"), py::arg("values"), "a + [n] integers.");
  evaluator.def(
      "multiply_plain",
      [](const V& e, const C& a, const py::object& values) {
        const IntArray integers = integers_of("multiply_plain", "values", values, 1);
        return call_held(
            [&](auto& v, auto& x, auto& s) { return v.multiply_plain(x, span_of(integers), s); }, e,
            a);
      },
      py::arg("a"), py::arg("values"), "a * [n] integers.");
  evaluator.def(
      "multiply_integer",
      [](const V& e, const C& a, std::int64_t factor) {
        return call_held(
            [&](auto& v, auto& x, auto& s) { return v.multiply_integer(x, factor, s); }, e, a);
      },
      py::arg("a"), py::arg("factor"), "a * integer, modulo t.");
  evaluator.def(
      "weighted_sum",
      [](const V& e, const std::vector<const C*>& terms, const py::object& weights) {
        const IntArray integers = integers_of("weighted_sum", "weights", weights, 1);
        return sum_of_terms(e, terms, [&](auto& v, auto& pointers, auto& s) {
          return v.weighted_sum(pointers, span_of(integers), s);
        });
      },
      py::arg("terms"), py::arg("weights"), "sum_i weights[i] terms[i], modulo t.");
  evaluator.def(
      "sum",
      [](const V& e, const C& a, std::int64_t size) {
        return call_held([&](auto& v, auto& x, auto& s) { return v.sum(x, size, s); }, e, a);
      },
      py::arg("a"), py::arg("size"), "A vector of one number: the sum modulo t.");
  evaluator.def(
      "multiply_matrix",
      [](const V& e, const C& a, const py::object& matrix) {
        const IntArray entries = integers_of("multiply_matrix", "matrix", matrix, 2);
        return call_held([&](auto& v, auto& x,
                             auto& s) { return v.multiply_matrix(x, matrix_view(entries), s); },
                         e, a);
      },
      py::arg("a"), py::arg("matrix"),
      "A vector of n integers times [n, m]: a vector of m integers modulo t.");
  evaluator.def(
      "encode_matrix",
      [](const V& e, const py::object& matrix) {
        const IntArray entries = integers_of("encode_matrix", "matrix", matrix, 2);
        return call_held([&](auto& v, auto& s) { return v.encode_matrix(matrix_view(entries), s); },
                         e);
      },
      py::arg("matrix"), "An EncodedMatrix for multiply_encoded_matrix.");
  evaluator.def(
      "multiply_encoded_matrix",
      [](const V& e, const C& a, const Held<he::bfv::EncodedMatrix>& matrix) {
        return call_held(
            [](auto& v, auto& x, auto& m, auto& s) { return v.multiply_matrix(x, m, s); }, e, a,
            matrix);
      },
      py::arg("a"), py::arg("matrix"), "multiply_matrix, without encoding the matrix again.");
}

}  // namespace

void bind_he_vectors(py::module_& ckks, py::module_& bfv) {
  bind_ckks_vectors(ckks);
  bind_bfv_vectors(bfv);
}

}  // namespace velum::python
