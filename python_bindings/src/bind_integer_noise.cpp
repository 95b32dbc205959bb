#include <pybind11/numpy.h>
#include <pybind11/operators.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings.h"
#include "he_objects.h"
#include "key_of_call.h"
#include "velum/dpsgd/accounting/distributed_noise.h"
#include "velum/dpsgd/integer_noise.h"
#include "velum/dpsgd/integer_rounding.h"

namespace py = pybind11;

namespace velum::python {
namespace {

using namespace dpsgd;  // NOLINT(google-build-using-namespace): this file is about its names
using kernels::RandomPosition;
using DoubleArray = py::array_t<double, py::array::c_style | py::array::forcecast>;

const char* name_of(IntegerNoise noise) {
  return noise == IntegerNoise::kSkellam ? "skellam" : "discrete_gaussian";
}

IntegerNoise noise_of(const std::string& name) {
  if (name == "discrete_gaussian") return IntegerNoise::kDiscreteGaussian;
  if (name == "skellam") return IntegerNoise::kSkellam;
  throw std::invalid_argument("plan_integer_noise: noise = \"" + name +
                              "\", expected discrete_gaussian or skellam");
}

py::array_t<std::int64_t> to_array(const std::vector<std::int64_t>& values) {
  return py::array_t<std::int64_t>(static_cast<py::ssize_t>(values.size()), values.data());
}

template <typename Round>
py::array_t<std::int64_t> rounded(const char* function, const DoubleArray& values,
                                  const QuantizationPlan& plan,
                                  const std::optional<py::bytes>& insecure_test_key,
                                  const Round& round) {
  if (values.ndim() != 1) {
    throw std::invalid_argument(std::string(function) + ": values has " +
                                std::to_string(values.ndim()) + " dimensions, expected 1");
  }
  const KeyOfCall key(function, insecure_test_key);
  std::vector<std::int64_t> integers;
  {
    const py::gil_scoped_release no_gil;
    integers = round(kernels::Span<const double>(values.data(), values.size()), plan, key.value,
                     RandomPosition{.purpose = kernels::Purpose::kRounding});
  }
  return to_array(integers);
}

void bind_noise(py::module_& module) {
  py::class_<IntegerSensitivity>(module, "IntegerSensitivity",
                                 "By how much one client changes a sum of integer vectors, in "
                                 "steps of the integers.")
      .def(py::init([](double l1, double l2) {
             return IntegerSensitivity{l1, l2};
           }),
           py::arg("l1"), py::arg("l2"))
      .def_readonly("l1", &IntegerSensitivity::l1)
      .def_readonly("l2", &IntegerSensitivity::l2)
      .def(
          "__eq__", [](const IntegerSensitivity& a, const IntegerSensitivity& b) { return a == b; },
          py::is_operator(), py::arg("other"))
      .def("__repr__", [](const IntegerSensitivity& sensitivity) {
        return "IntegerSensitivity(l1=" + py::repr(py::float_(sensitivity.l1)).cast<std::string>() +
               ", l2=" + py::repr(py::float_(sensitivity.l2)).cast<std::string>() + ")";
      });
  py::class_<IntegerNoisePlan>(
      module, "IntegerNoisePlan",
      "Noise that no one client knows: each of at least honest_clients clients adds a share, and "
      "the "
      "shares of any honest_clients of them add up to the variance that was asked for.")
      .def_property_readonly("noise",
                             [](const IntegerNoisePlan& plan) { return name_of(plan.noise); })
      .def_readonly("honest_clients", &IntegerNoisePlan::honest_clients)
      .def_property_readonly(
          "share_variance",
          [](const IntegerNoisePlan& plan) { return double_at_most(plan.share_variance); },
          "Of each coordinate of one client's share, as it is accounted for: rounded down.")
      .def(
          "mechanism",
          [](const IntegerNoisePlan& plan, std::int64_t dimension,
             const IntegerSensitivity& sensitivity) {
            return mechanism(plan, dimension, sensitivity);
          },
          py::arg("dimension"), py::arg("sensitivity"),
          "Of a sum of vectors of `dimension` integers with this noise, for an accountant.\n"
          "Raises ValueError if a value is out of range.")
      .def(
          "__eq__", [](const IntegerNoisePlan& a, const IntegerNoisePlan& b) { return a == b; },
          py::is_operator(), py::arg("other"))
      .def("__repr__", [](const IntegerNoisePlan& plan) {
        return "<IntegerNoisePlan: " + std::string(name_of(plan.noise)) + ", " +
               std::to_string(plan.honest_clients) + " honest clients, variance of a share " +
               std::to_string(double_at_most(plan.share_variance)) + ">";
      });
  module.def(
      "plan_integer_noise",
      [](const std::string& noise, double variance, std::int64_t honest_clients) {
        return plan_integer_noise(noise_of(noise), variance, honest_clients);
      },
      py::arg("noise"), py::arg("variance"), py::arg("honest_clients"));
  module.def(
      "integer_noise_share",
      [](const IntegerNoisePlan& plan, std::int64_t dimension, int threads,
         const std::optional<py::bytes>& insecure_test_key) {
        const KeyOfCall key("integer_noise_share", insecure_test_key);
        const kernels::Stream stream = stream_of(threads, "cpu");
        std::vector<std::int64_t> share;
        {
          const py::gil_scoped_release no_gil;
          share = integer_noise_share(plan, dimension, key.value,
                                      RandomPosition{.purpose = kernels::Purpose::kIntegerNoise},
                                      stream);
        }
        return to_array(share);
      },
      py::arg("plan"), py::arg("dimension"), py::arg("threads"), py::arg("insecure_test_key"));
  module.def(
      "integer_sensitivity",
      [](std::int64_t squared_norm_limit, std::int64_t dimension, Neighbouring neighbouring) {
        return integer_sensitivity(squared_norm_limit, dimension, neighbouring);
      },
      py::arg("squared_norm_limit"), py::arg("dimension"), py::arg("neighbouring"));
  module.def("honest_clients_condition", &honest_clients_condition, py::arg("honest_clients"));
}

void bind_rounding(py::module_& module) {
  py::class_<QuantizationPlan>(
      module, "QuantizationPlan",
      "How vectors of numbers become vectors of integers that can be summed exactly: value / "
      "granularity, rounded up or down at random so that the mean is right.")
      .def(py::init(
               [](double clipping_norm, double granularity, std::int64_t dimension, double beta) {
                 const QuantizationPlan plan{clipping_norm, granularity, dimension, beta};
                 squared_norm_limit(plan);  // refuses what is out of range
                 return plan;
               }),
           py::arg("clipping_norm"), py::arg("granularity"), py::arg("dimension"),
           py::arg("beta") = QuantizationPlan{1.0, 1.0, 1}.beta,
           "Args:\n"
           "    clipping_norm: C, the largest L2 norm of a vector; finite and > 0.\n"
           "    granularity: the value of the integer 1; C / 2**30 to C (`granularity_of_bits`).\n"
           "    dimension: d, numbers in a vector; 1 to 2**32.\n"
           "    beta: a rounding is drawn again with at most this probability; in (0, 0.9]. A\n"
           "        smaller one means a larger norm.\n\n"
           "Raises:\n"
           "    ValueError: if a value is out of range.")
      .def_readonly("clipping_norm", &QuantizationPlan::clipping_norm)
      .def_readonly("granularity", &QuantizationPlan::granularity)
      .def_readonly("dimension", &QuantizationPlan::dimension)
      .def_readonly("beta", &QuantizationPlan::beta)
      .def_property_readonly(
          "squared_norm_limit",
          [](const QuantizationPlan& plan) { return squared_norm_limit(plan); },
          "The largest squared L2 norm of a rounded vector (arXiv 2102.06387, "
          "section 4.2).")
      .def(
          "sensitivity",
          [](const QuantizationPlan& plan, Neighbouring neighbouring) {
            return integer_sensitivity(plan, neighbouring);
          },
          py::arg_v("neighbouring", Neighbouring::kAddOrRemoveOne,
                    "velum._core.accounting.Neighbouring.ADD_OR_REMOVE_ONE"),
          "What a client changes in the sum of rounded vectors: IntegerSensitivity.")
      .def(
          "__eq__", [](const QuantizationPlan& a, const QuantizationPlan& b) { return a == b; },
          py::is_operator(), py::arg("other"))
      .def("__repr__", [](const QuantizationPlan& plan) {
        return "<QuantizationPlan: " + std::to_string(plan.dimension) + " values of norm at most " +
               std::to_string(plan.clipping_norm) + " in steps of " +
               std::to_string(plan.granularity) + ">";
      });
  module.def(
      "nearest_integer_sensitivity",
      [](double clipping_norm, double granularity, std::int64_t dimension,
         Neighbouring neighbouring) {
        return nearest_integer_sensitivity(clipping_norm, granularity, dimension, neighbouring);
      },
      py::arg("clipping_norm"), py::arg("granularity"), py::arg("dimension"),
      py::arg("neighbouring"));
  module.def("granularity_of_bits", &granularity_of_bits, py::arg("clipping_norm"),
             py::arg("bits"));
  module.def(
      "round_to_integers",
      [](const DoubleArray& values, const QuantizationPlan& plan,
         const std::optional<py::bytes>& insecure_test_key) {
        return rounded("round_to_integers", values, plan, insecure_test_key,
                       [](auto... arguments) { return round_to_integers(arguments...); });
      },
      py::arg("values"), py::arg("plan"), py::arg("insecure_test_key"));
  module.def(
      "clip_and_round_to_integers",
      [](const DoubleArray& values, const QuantizationPlan& plan,
         const std::optional<py::bytes>& insecure_test_key) {
        return rounded("clip_and_round_to_integers", values, plan, insecure_test_key,
                       [](auto... arguments) { return clip_and_round_to_integers(arguments...); });
      },
      py::arg("values"), py::arg("plan"), py::arg("insecure_test_key"));
}

}  // namespace

void bind_integer_noise(py::module_& module) {
  py::module_ noise = module.def_submodule("integer_noise", "Documented in velum.integer_noise.");
  bind_noise(noise);
  bind_rounding(noise);
}

}  // namespace velum::python
