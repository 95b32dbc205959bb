#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.h"
#include "velum/kernels/polynomial/base_conversion.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"
#include "velum/kernels/polynomial/ntt_tables.h"
#include "velum/kernels/random/chacha20.h"
#include "velum/kernels/random/gaussian.h"
#include "velum/kernels/random/key_source.h"

namespace py = pybind11;

namespace velum::python {
namespace {

using Word = std::uint64_t;
using kernels::LimbIndices;
using kernels::RnsView;
using kernels::Stream;

// Everything here runs on the calling thread: arrays for teaching are small, and a pool of threads
// would not survive a fork.

/// [limbs, n] residues in [0, q), and how to hand such an array back.
struct Residues {
  std::vector<Word> values;
  std::int64_t limbs = 0;
  std::int64_t degree = 0;
  bool is_unsigned = false;  ///< the array's type was uint64

  RnsView<Word> view() { return {values.data(), 1, limbs, degree}; }
  RnsView<const Word> const_view() const { return {values.data(), 1, limbs, degree}; }
};

[[noreturn]] void refuse(const char* function, const std::string& text) {
  throw std::invalid_argument(std::string(function) + ": " + text);
}

/// The integers of an array [limbs, n] modulo one modulus for each limb, or [n] where `flat`.
Residues read_residues(const char* function, const char* name, const py::array& array,
                       const std::vector<Word>& moduli, bool flat) {
  const char kind = array.dtype().kind();
  if (kind != 'i' && kind != 'u') {
    throw py::type_error(std::string(function) + ": " + name + " is of type " +
                         py::str(array.dtype()).cast<std::string>() +
                         ", expected integers of at most 64 bits");
  }
  if (array.ndim() != (flat ? 1 : 2)) {
    refuse(function, std::string(name) + " has " + std::to_string(array.ndim()) +
                         " dimensions, expected " + (flat ? "1: [n]" : "2: [limbs, n]"));
  }
  Residues residues;
  residues.is_unsigned = kind == 'u' && array.itemsize() == 8;
  residues.limbs = flat ? 1 : array.shape(0);
  residues.degree = array.shape(flat ? 0 : 1);
  if (!flat && residues.limbs != static_cast<std::int64_t>(moduli.size())) {
    refuse(function, std::string(name) + " has " + std::to_string(residues.limbs) +
                         " rows, expected one for each of the " + std::to_string(moduli.size()) +
                         " moduli");
  }
  residues.values.resize(static_cast<std::size_t>(residues.limbs * residues.degree));
  const auto reduce = [&](const auto& typed) {
    const auto* data = typed.data();
    for (std::int64_t limb = 0; limb < residues.limbs; ++limb) {
      const Word q = moduli[static_cast<std::size_t>(limb)];
      for (std::int64_t i = 0; i < residues.degree; ++i) {
        const auto at = static_cast<std::size_t>(limb * residues.degree + i);
        const auto value = data[at];
        const bool negative = value < 0;
        // ~v = -1 - v is not negative, also for the smallest v.
        residues.values[at] =
            negative ? q - 1 - static_cast<Word>(~value) % q : static_cast<Word>(value) % q;
      }
    }
  };
  constexpr int kLayout = py::array::c_style | py::array::forcecast;
  if (residues.is_unsigned) {
    reduce(py::array_t<std::uint64_t, kLayout>(array));
  } else {
    reduce(py::array_t<std::int64_t, kLayout>(array));
  }
  return residues;
}

template <typename T>
py::array to_typed_array(const std::vector<Word>& values, const std::vector<py::ssize_t>& shape) {
  py::array_t<T> array(shape);
  std::transform(values.begin(), values.end(), array.mutable_data(),
                 [](Word value) { return static_cast<T>(value); });  // below 2^61
  return array;
}

/// In the type that went in: uint64, else int64.
py::array to_array(const std::vector<Word>& values, const std::vector<py::ssize_t>& shape,
                   bool is_unsigned) {
  return is_unsigned ? to_typed_array<std::uint64_t>(values, shape)
                     : to_typed_array<std::int64_t>(values, shape);
}

/// What `read_residues` divides by, before the tables check it in full.
void check_modulus(const char* function, Word modulus) {
  if (modulus <= 4 || modulus % 2 == 0 || modulus >> 61 != 0) {
    refuse(function, "modulus = " + std::to_string(modulus) + ", expected odd, > 4 and < 2^61");
  }
}

int log_of_degree(const char* function, std::int64_t degree) {
  if (degree < 8 || degree > (std::int64_t{1} << kernels::NttTables<Word>::kMaxLogN) ||
      !std::has_single_bit(static_cast<Word>(degree))) {
    refuse(function, "n = " + std::to_string(degree) + ", expected a power of two from 8 to 2^" +
                         std::to_string(kernels::NttTables<Word>::kMaxLogN));
  }
  return std::countr_zero(static_cast<Word>(degree));
}

void check_prime(const char* function, Word modulus, std::int64_t degree) {
  if (!kernels::is_prime(modulus) || (modulus - 1) % static_cast<Word>(2 * degree) != 0) {
    refuse(function, "modulus = " + std::to_string(modulus) +
                         ", expected a prime that is 1 modulo " +
                         "2 n = " + std::to_string(2 * degree));
  }
}

py::array negacyclic_product(const py::array& a, const py::array& b, Word modulus) {
  constexpr const char* kName = "negacyclic_product";
  check_modulus(kName, modulus);
  Residues left = read_residues(kName, "a", a, {modulus}, true);
  Residues right = read_residues(kName, "b", b, {modulus}, true);
  if (left.degree != right.degree) {
    refuse(kName, "b has " + std::to_string(right.degree) +
                      " coefficients, expected as many as a, " + std::to_string(left.degree));
  }
  const int log_n = log_of_degree(kName, left.degree);
  {
    const py::gil_scoped_release no_gil;
    check_prime(kName, modulus, left.degree);
    const Stream stream = Stream::serial();
    const kernels::NttTables<Word> tables(log_n, {modulus}, stream);
    const LimbIndices limbs = LimbIndices::range(0, 1);
    kernels::ntt_forward_inplace(left.view(), limbs, tables, stream);
    kernels::ntt_forward_inplace(right.view(), limbs, tables, stream);
    kernels::multiply(left.const_view(), right.const_view(), left.view(), limbs, tables.moduli(),
                      stream);
    kernels::ntt_inverse_inplace(left.view(), limbs, tables, stream);
  }
  return to_array(left.values, {left.degree}, left.is_unsigned);
}

py::array transform(const char* function, const py::array& a, Word modulus, bool forward) {
  check_modulus(function, modulus);
  Residues residues = read_residues(function, "a", a, {modulus}, true);
  const int log_n = log_of_degree(function, residues.degree);
  {
    const py::gil_scoped_release no_gil;
    check_prime(function, modulus, residues.degree);
    const Stream stream = Stream::serial();
    const kernels::NttTables<Word> tables(log_n, {modulus}, stream);
    const LimbIndices limbs = LimbIndices::range(0, 1);
    if (forward) {
      kernels::ntt_forward_inplace(residues.view(), limbs, tables, stream);
    } else {
      kernels::ntt_inverse_inplace(residues.view(), limbs, tables, stream);
    }
  }
  return to_array(residues.values, {residues.degree}, residues.is_unsigned);
}

py::array convert_basis(const py::array& residues, const std::vector<Word>& from_moduli,
                        const std::vector<Word>& to_moduli, bool exact) {
  constexpr const char* kName = "convert_basis";
  if (from_moduli.empty() || to_moduli.empty()) {
    refuse(kName, "from_moduli and to_moduli name " + std::to_string(from_moduli.size()) + " and " +
                      std::to_string(to_moduli.size()) + " moduli, expected one at least of each");
  }
  for (const Word q : from_moduli) check_modulus(kName, q);
  for (const Word q : to_moduli) check_modulus(kName, q);
  // One chain of all moduli, each once.
  std::vector<Word> all = from_moduli;
  for (const Word q : to_moduli) {
    if (std::find(all.begin(), all.end(), q) == all.end()) all.push_back(q);
  }
  if (std::set<Word>(to_moduli.begin(), to_moduli.end()).size() != to_moduli.size()) {
    refuse(kName, "to_moduli names a modulus twice, expected different ones");
  }
  if (all.size() > LimbIndices::kMaxLimbs) {
    refuse(kName, "there are " + std::to_string(all.size()) +
                      " different moduli, expected at most " +
                      std::to_string(LimbIndices::kMaxLimbs));
  }
  const Residues in = read_residues(kName, "residues", residues, from_moduli, false);
  log_of_degree(kName, in.degree);
  std::vector<Word> out(to_moduli.size() * static_cast<std::size_t>(in.degree));
  const auto to_count = static_cast<std::int64_t>(to_moduli.size());
  {
    const py::gil_scoped_release no_gil;
    const Stream stream = Stream::serial();
    const kernels::ModulusChain<Word> chain(all, stream);
    const auto index_of = [&](Word q) {
      return static_cast<int>(std::find(all.begin(), all.end(), q) - all.begin());
    };
    const LimbIndices from = LimbIndices::range(0, static_cast<int>(from_moduli.size()));
    LimbIndices to;
    for (const Word q : to_moduli) to.append(index_of(q));
    const kernels::BaseConversion<Word> conversion(chain, from, to, stream);
    kernels::convert_base(in.const_view(), RnsView<Word>(out.data(), 1, to_count, in.degree),
                          conversion,
                          exact ? kernels::Correction::kCentred : kernels::Correction::kNone,
                          kernels::Premultiplied::kNo, stream);
  }
  return to_array(out, {to_count, in.degree}, in.is_unsigned);
}

/// `size` bytes as little-endian words.
template <std::size_t kWords>
std::array<std::uint32_t, kWords> read_words(const char* function, const char* name,
                                             const py::buffer& bytes) {
  const py::buffer_info info = bytes.request();
  if (info.ndim != 1 || info.itemsize != 1 || info.size != 4 * kWords) {
    refuse(function, std::string(name) + " has " + std::to_string(info.size * info.itemsize) +
                         " bytes, expected " + std::to_string(4 * kWords) + " in one dimension");
  }
  std::array<std::uint32_t, kWords> words{};
  for (std::size_t i = 0; i < 4 * kWords; ++i) {
    const auto byte =
        static_cast<const std::uint8_t*>(info.ptr)[static_cast<py::ssize_t>(i) * info.strides[0]];
    words[i / 4] |= std::uint32_t{byte} << (8 * (i % 4));
  }
  return words;
}

py::array_t<std::uint8_t> chacha20_keystream(const py::buffer& key, const py::buffer& nonce,
                                             std::uint64_t counter, std::int64_t size) {
  constexpr const char* kName = "chacha20_keystream";
  constexpr std::int64_t kBlockBytes = 64;
  constexpr std::uint64_t kBlocks = std::uint64_t{1} << 32;
  if (size < 0) refuse(kName, "size = " + std::to_string(size) + ", expected >= 0");
  const auto blocks = static_cast<std::uint64_t>(size / kBlockBytes + (size % kBlockBytes != 0));
  if (counter >= kBlocks || blocks > kBlocks - counter) {
    refuse(kName,
           "counter = " + std::to_string(counter) + " and size = " + std::to_string(size) +
               " pass the last block, 2^32 - 1; the counter has 32 bits and would repeat the "
               "keystream (RFC 8439, section 2.3)");
  }
  const auto key_words = read_words<8>(kName, "key", key);
  const auto nonce_words = read_words<3>(kName, "nonce", nonce);
  py::array_t<std::uint8_t> out(size);
  std::uint8_t* data = out.mutable_data();
  {
    const py::gil_scoped_release no_gil;
    std::uint32_t k[8], n[3];
    std::copy(key_words.begin(), key_words.end(), k);
    std::copy(nonce_words.begin(), nonce_words.end(), n);
    const kernels::ChaCha20State state = kernels::chacha20_state(k, 0, n);
    for (std::uint64_t block = 0; block < blocks; ++block) {
      const kernels::ChaCha20State words =
          kernels::chacha20_block(state, static_cast<std::uint32_t>(counter + block));
      const auto begin = static_cast<std::int64_t>(block) * kBlockBytes;
      const std::int64_t end = std::min(size, begin + kBlockBytes);
      for (std::int64_t i = begin; i < end; ++i) {
        data[i] =
            static_cast<std::uint8_t>(words.words[(i - begin) / 4] >> (8 * ((i - begin) % 4)));
      }
    }
  }
  return out;
}

template <typename T>
py::array gaussian_array(const kernels::RandomKey& key, const kernels::RandomPosition& position,
                         std::int64_t first_element, std::int64_t size) {
  py::array_t<T> out(size);
  const kernels::Span<T> span(out.mutable_data(), size);
  {
    const py::gil_scoped_release no_gil;
    kernels::gaussian_fill(span, key, position, first_element, Stream::serial());
  }
  return out;
}

py::array gaussian(const py::buffer& key, std::uint64_t step, std::uint32_t tensor,
                   std::uint32_t key_epoch, std::int64_t first_element, std::int64_t size,
                   const py::object& dtype) {
  constexpr const char* kName = "gaussian";
  constexpr std::int64_t kElements = std::int64_t{1} << 35;
  if (size < 0 || first_element < 0 || size > kElements || first_element > kElements - size) {
    refuse(kName, "first_element = " + std::to_string(first_element) +
                      " and size = " + std::to_string(size) +
                      ", expected both >= 0 and first_element + size <= 2^35");
  }
  const kernels::RandomKey random_key{read_words<8>(kName, "key", key)};
  const kernels::RandomPosition position{kernels::Purpose::kTest, key_epoch, step, tensor};
  const auto type = py::dtype::from_args(dtype);
  if (type.equal(py::dtype::of<float>())) {
    return gaussian_array<float>(random_key, position, first_element, size);
  }
  if (type.equal(py::dtype::of<double>())) {
    return gaussian_array<double>(random_key, position, first_element, size);
  }
  refuse(kName, "dtype = " + py::str(static_cast<const py::object&>(type)).cast<std::string>() +
                    ", expected float32 or float64");
}

}  // namespace

void bind_kernels(py::module_& module) {
  py::module_ kernels_module = module.def_submodule(
      "kernels", "Integer and random kernels on NumPy arrays; documented in velum.kernels.");
  kernels_module.def("negacyclic_product", &negacyclic_product, py::arg("a"), py::arg("b"),
                     py::arg("modulus"));
  kernels_module.def(
      "ntt", [](const py::array& a, Word modulus) { return transform("ntt", a, modulus, true); },
      py::arg("a"), py::arg("modulus"));
  kernels_module.def(
      "inverse_ntt",
      [](const py::array& a, Word modulus) { return transform("inverse_ntt", a, modulus, false); },
      py::arg("a"), py::arg("modulus"));
  kernels_module.def("convert_basis", &convert_basis, py::arg("residues"), py::arg("from_moduli"),
                     py::arg("to_moduli"), py::arg("exact"));
  kernels_module.def("chacha20_keystream", &chacha20_keystream, py::arg("key"), py::arg("nonce"),
                     py::arg("counter"), py::arg("size"));
  kernels_module.def("gaussian", &gaussian, py::arg("key"), py::arg("step"), py::arg("tensor"),
                     py::arg("key_epoch"), py::arg("first_element"), py::arg("size"),
                     py::arg("dtype"));
}

}  // namespace velum::python
