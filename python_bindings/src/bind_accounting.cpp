#include <pybind11/functional.h>
#include <pybind11/native_enum.h>
#include <pybind11/numpy.h>
#include <pybind11/operators.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bindings.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/batch_sampling.h"
#include "velum/dpsgd/accounting/calibration.h"
#include "velum/dpsgd/accounting/composition.h"
#include "velum/dpsgd/accounting/epsilon_schedule.h"
#include "velum/dpsgd/accounting/group_privacy.h"
#include "velum/dpsgd/accounting/mechanism.h"
#include "velum/dpsgd/accounting/pld_accountant.h"
#include "velum/dpsgd/accounting/privacy_loss_distribution.h"
#include "velum/dpsgd/accounting/privacy_statement.h"
#include "velum/dpsgd/accounting/rdp.h"
#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/dpsgd/accounting/training_report.h"

namespace py = pybind11;

namespace velum::python {
namespace {

using namespace dpsgd;  // NOLINT(google-build-using-namespace): this file is about its names

/// function(accountant) without the GIL, on a copy: another thread may compose meanwhile.
template <typename Function>
auto without_gil(const Accountant& accountant, const Function& function) {
  const std::unique_ptr<Accountant> copy = accountant.clone();
  const py::gil_scoped_release no_gil;
  return function(*copy);
}

/// A mechanism: a value with named fields, equal, hashable and picklable by its JSON.
template <typename T, typename... Members>
void bind_mechanism(py::module_& module, const char* name, const char* doc,
                    std::pair<const char*, Members T::*>... fields) {
  py::class_<T> type(module, name, doc);
  type.def(py::init([name](Members... values) {
             T mechanism{std::move(values)...};
             validate(mechanism, name);
             return mechanism;
           }),
           py::arg(fields.first)...);
  (type.def_readonly(fields.first, fields.second), ...);
  type.def(
      "__eq__", [](const T& a, const T& b) { return a == b; }, py::is_operator(), py::arg("other"));
  type.def("__hash__",
           [](const T& mechanism) { return py::hash(py::str(mechanism_to_json(mechanism))); });
  type.def("__repr__", [name, fields...](const py::object& self) {
    std::string text;
    ((text += (text.empty() ? "" : ", ") + std::string(fields.first) + "=" +
              py::repr(self.attr(fields.first)).template cast<std::string>()),
     ...);
    return std::string(name) + "(" + text + ")";
  });
  type.def("__str__", [](const T& mechanism) { return describe(mechanism); });
  type.def(py::pickle([](const T& mechanism) { return mechanism_to_json(mechanism); },
                      [](const std::string& json) {
                        const Mechanism mechanism = mechanism_from_json(json);
                        if (!std::holds_alternative<T>(mechanism)) {
                          throw std::invalid_argument("pickled mechanism is of another kind");
                        }
                        return std::get<T>(mechanism);
                      }));
}

/// The default, as Python code shows it.
py::arg_v add_or_remove_one() {
  return {"neighbouring", Neighbouring::kAddOrRemoveOne, "Neighbouring.ADD_OR_REMOVE_ONE"};
}

template <typename T, typename Member>
std::pair<const char*, Member T::*> field(const char* name, Member T::*member) {
  return {name, member};
}

py::array_t<double> to_array(const std::vector<double>& values) {
  return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

std::vector<double> to_vector(
    const py::array_t<double, py::array::c_style | py::array::forcecast>& array, const char* name) {
  if (array.ndim() != 1) {
    throw std::invalid_argument(std::string(name) + " has " + std::to_string(array.ndim()) +
                                " dimensions, expected 1");
  }
  return {array.data(), array.data() + array.size()};
}
using DoubleArray = py::array_t<double, py::array::c_style | py::array::forcecast>;

/// Values of `function` at each point, without the GIL.
template <typename Function>
py::array_t<double> map_array(const DoubleArray& points, const char* name,
                              const Function& function) {
  std::vector<double> values = to_vector(points, name);
  {
    const py::gil_scoped_release no_gil;
    for (double& value : values) value = function(value);
  }
  return to_array(values);
}

py::tuple schedule_arrays(const std::vector<EpsilonPoint>& schedule) {
  const auto size = static_cast<py::ssize_t>(schedule.size());
  py::array_t<std::int64_t> steps(size);
  py::array_t<double> epsilon(size), lower(size);
  for (py::ssize_t i = 0; i < size; ++i) {
    const EpsilonPoint& point = schedule[static_cast<std::size_t>(i)];
    steps.mutable_at(i) = point.steps;
    epsilon.mutable_at(i) = point.epsilon;
    lower.mutable_at(i) = point.lower.value_or(std::numeric_limits<double>::quiet_NaN());
  }
  return py::make_tuple(steps, epsilon, lower);
}

void bind_mechanisms(py::module_& module) {
  py::native_enum<Neighbouring>(module, "Neighbouring", "enum.Enum",
                                "When two data sets count as neighbours.")
      .value("ADD_OR_REMOVE_ONE", Neighbouring::kAddOrRemoveOne,
             "One example is present in one and absent in the other.")
      .value("REPLACE_ONE", Neighbouring::kReplaceOne,
             "One example has different values; the sizes are equal.")
      .finalize();
  py::native_enum<BatchSampling>(module, "BatchSampling", "enum.Enum",
                                 "How the batches of a training loop come to be.")
      .value("POISSON", BatchSampling::kPoisson)
      .value("TRUNCATED_POISSON", BatchSampling::kTruncatedPoisson)
      .value("WITHOUT_REPLACEMENT", BatchSampling::kWithoutReplacement)
      .value("FIXED_BATCHES", BatchSampling::kFixedBatches)
      .value("SHUFFLED_BATCHES", BatchSampling::kShuffledBatches)
      .finalize();

  bind_mechanism(
      module, "GaussianMechanism",
      "Gaussian noise on a function of all examples, without sampling. noise_multiplier: "
      "its standard deviation over the L2 sensitivity, finite and >= 0.",
      field("noise_multiplier", &GaussianMechanism::noise_multiplier));
  bind_mechanism(
      module, "PoissonSampledGaussianMechanism",
      "The same on a Poisson sample, in which every example is with probability sampling_rate, "
      "independently, drawn anew for each release. Shuffled batches are no such samples. "
      "Add-or-remove-one.",
      field("sampling_rate", &PoissonSampledGaussianMechanism::sampling_rate),
      field("noise_multiplier", &PoissonSampledGaussianMechanism::noise_multiplier));
  bind_mechanism(
      module, "TruncatedPoissonSampledGaussianMechanism",
      "The same, but a sample of more than largest_batch_size examples is cut down to that many, "
      "by "
      "uniform choice. Costs a term of delta.",
      field("sampling_rate", &TruncatedPoissonSampledGaussianMechanism::sampling_rate),
      field("noise_multiplier", &TruncatedPoissonSampledGaussianMechanism::noise_multiplier),
      field("dataset_size", &TruncatedPoissonSampledGaussianMechanism::dataset_size),
      field("largest_batch_size", &TruncatedPoissonSampledGaussianMechanism::largest_batch_size));
  bind_mechanism(
      module, "WithoutReplacementSampledGaussianMechanism",
      "Gaussian noise on a uniform sample of fixed size. Replace-one: noise_multiplier is relative "
      "to 2 C for gradients clipped to C.",
      field("sampling_rate", &WithoutReplacementSampledGaussianMechanism::sampling_rate),
      field("noise_multiplier", &WithoutReplacementSampledGaussianMechanism::noise_multiplier));
  bind_mechanism(module, "LaplaceMechanism",
                 "Laplace noise; noise_multiplier: its scale over the L1 sensitivity.",
                 field("noise_multiplier", &LaplaceMechanism::noise_multiplier));
  bind_mechanism(module, "DiscreteGaussianMechanism",
                 "Discrete Gaussian noise on one integer that neighbours change by at most "
                 "sensitivity.",
                 field("standard_deviation", &DiscreteGaussianMechanism::standard_deviation),
                 field("sensitivity", &DiscreteGaussianMechanism::sensitivity));
  bind_mechanism(module, "SkellamMechanism", "Skellam noise on an integer vector.",
                 field("variance", &SkellamMechanism::variance),
                 field("l1_sensitivity", &SkellamMechanism::l1_sensitivity),
                 field("l2_sensitivity", &SkellamMechanism::l2_sensitivity));
  bind_mechanism(module, "RandomizedResponseMechanism",
                 "One answer of so many categories: the true one with truth_probability, else "
                 "another one at random.",
                 field("categories", &RandomizedResponseMechanism::categories),
                 field("truth_probability", &RandomizedResponseMechanism::truth_probability));
  bind_mechanism(module, "ApproximateDpMechanism",
                 "A release of which only (epsilon, delta)-DP is known.",
                 field("epsilon", &ApproximateDpMechanism::epsilon),
                 field("delta", &ApproximateDpMechanism::delta));
  bind_mechanism(module, "ZeroConcentratedMechanism", "A release of which only rho-zCDP is known.",
                 field("rho", &ZeroConcentratedMechanism::rho));
  bind_mechanism(module, "DominatingPairMechanism",
                 "A release known by a dominating pair of distributions: p with the example, q "
                 "without, over the same outcomes.",
                 field("p", &DominatingPairMechanism::p), field("q", &DominatingPairMechanism::q),
                 field("name", &DominatingPairMechanism::name));

  module.def(
      "rdp",
      [](const Mechanism& mechanism, const DoubleArray& orders) {
        return map_array(orders, "orders", [&](double order) { return rdp(mechanism, order); });
      },
      py::arg("mechanism"), py::arg("orders"));
  module.def("group_mechanism", &group_mechanism, py::arg("mechanism"), py::arg("group_size"));
  module.def("steps_of_epochs", &steps_of_epochs, py::arg("epochs"), py::arg("sampling_rate"));
  module.def(
      "mechanism_of_batches",
      [](BatchSampling sampling, double sampling_rate, double noise_multiplier, std::int64_t steps,
         std::int64_t dataset_size, std::int64_t largest_batch_size) {
        return mechanism_of_batches(
            {sampling, sampling_rate, noise_multiplier, steps, dataset_size, largest_batch_size});
      },
      py::arg("sampling"), py::arg("sampling_rate"), py::arg("noise_multiplier"), py::arg("steps"),
      py::arg("dataset_size"), py::arg("largest_batch_size"));
}

void bind_composition(py::module_& module) {
  py::class_<Phase>(module, "Phase", "So many releases of one mechanism, one after the other.")
      .def_readonly("mechanism", &Phase::mechanism)
      .def_readonly("count", &Phase::count)
      .def_readonly("label", &Phase::label, "What was released.")
      .def(
          "__eq__", [](const Phase& a, const Phase& b) { return a == b; }, py::is_operator(),
          py::arg("other"))
      .def("__repr__", [](const Phase& phase) {
        return "<" + std::to_string(phase.count) + " x " + describe(phase.mechanism) +
               (phase.label.empty() ? "" : ", " + phase.label) + ">";
      });
  py::class_<Composition>(
      module, "Composition",
      "Everything that was released from one data set, in order. It only grows.")
      .def(py::init<Neighbouring>(), add_or_remove_one())
      .def("append", &Composition::append, py::arg("mechanism"), py::arg("count") = 1,
           py::arg("label") = "", "Adds `count` releases of a mechanism.")
      .def_property_readonly("neighbouring", &Composition::neighbouring)
      .def_property_readonly("phases", &Composition::phases)
      .def_property_readonly("total_count", &Composition::total_count,
                             "Number of releases in all phases.")
      .def("to_json", &Composition::to_json, "JSON text; `from_json` gives an equal composition.")
      .def_static("from_json", &Composition::from_json, py::arg("json"),
                  "Reads what `to_json` wrote; anything else is a ValueError.")
      .def(
          "__eq__", [](const Composition& a, const Composition& b) { return a == b; },
          py::is_operator(), py::arg("other"))
      .def("__len__", [](const Composition& releases) { return releases.phases().size(); })
      .def("__repr__",
           [](const Composition& releases) {
             return "<Composition: " + std::to_string(releases.total_count()) + " releases, " +
                    to_string(releases.neighbouring()) + ">";
           })
      .def(py::pickle([](const Composition& releases) { return releases.to_json(); },
                      [](const std::string& json) { return Composition::from_json(json); }));
}

void bind_guarantees(py::module_& module) {
  py::class_<PrivacyGuarantee>(module, "PrivacyGuarantee",
                               "What an accountant states: epsilon (natural log), delta, and how "
                               "they were found.")
      .def_readonly("epsilon", &PrivacyGuarantee::epsilon)
      .def_readonly("delta", &PrivacyGuarantee::delta)
      .def_readonly("method", &PrivacyGuarantee::method)
      .def_readonly("order", &PrivacyGuarantee::order, "Renyi order, where the method has one.")
      .def_readonly("lower", &PrivacyGuarantee::lower,
                    "Proved lower bound of what was computed, where there is one.")
      .def("__repr__", [](const PrivacyGuarantee& guarantee) {
        return "<epsilon " + epsilon_text(guarantee.epsilon) + " at delta " +
               delta_text(guarantee.delta) + ", " + guarantee.method + ">";
      });
}

void bind_accountants(py::module_& module) {
  py::class_<Accountant, std::shared_ptr<Accountant>>(
      module, "Accountant", "Composes mechanisms and says what they cost together.")
      .def_property_readonly("name", &Accountant::name)
      .def(
          "compose",
          [](Accountant& accountant, const Mechanism& mechanism, std::int64_t count,
             const std::string& label) { accountant.compose(mechanism, count, label); },
          py::arg("mechanism"), py::arg("count") = 1, py::arg("label") = "",
          "Adds `count` releases of a mechanism; before they happen, so that a crash leaves the "
          "books too large and never too small.")
      .def(
          "compose_all",
          [](Accountant& accountant, const Composition& releases) { accountant.compose(releases); },
          py::arg("composition"), "Adds all phases of a composition.")
      .def(
          "epsilon",
          [](const Accountant& accountant, double delta) {
            return without_gil(accountant,
                               [&](const Accountant& copy) { return copy.epsilon(delta); });
          },
          py::arg("delta"), "Smallest epsilon known at `delta` in (0, 1), rounded up.")
      .def(
          "get_epsilon",
          [](const Accountant& accountant, double delta) {
            return without_gil(accountant,
                               [&](const Accountant& copy) { return copy.epsilon(delta); });
          },
          py::arg("delta"), "Opacus' name of `epsilon`.")
      .def(
          "delta",
          [](const Accountant& accountant, double epsilon) {
            return without_gil(accountant,
                               [&](const Accountant& copy) { return copy.delta(epsilon); });
          },
          py::arg("epsilon"), "Smallest delta known at `epsilon` >= 0, rounded up.")
      .def(
          "guarantee",
          [](const Accountant& accountant, double delta) {
            return without_gil(accountant,
                               [&](const Accountant& copy) { return copy.guarantee(delta); });
          },
          py::arg("delta"), "Epsilon at `delta`, with how it was found.")
      .def(
          "guarantee_at_epsilon",
          [](const Accountant& accountant, double epsilon) {
            return without_gil(accountant, [&](const Accountant& copy) {
              return copy.guarantee_at_epsilon(epsilon);
            });
          },
          py::arg("epsilon"), "Delta at `epsilon`, with how it was found.")
      .def(
          "epsilon_curve",
          [](const Accountant& accountant, const DoubleArray& deltas) {
            const std::unique_ptr<Accountant> copy = accountant.clone();
            return map_array(deltas, "deltas", [&](double delta) { return copy->epsilon(delta); });
          },
          py::arg("deltas"), "[k] epsilon at each of the deltas.")
      .def(
          "delta_curve",
          [](const Accountant& accountant, const DoubleArray& epsilons) {
            const std::unique_ptr<Accountant> copy = accountant.clone();
            return map_array(epsilons, "epsilons",
                             [&](double epsilon) { return copy->delta(epsilon); });
          },
          py::arg("epsilons"), "[k] delta at each of the epsilons.")
      .def(
          "statement",
          [](const Accountant& accountant, double delta, const std::string& unit,
             bool whole_units) {
            const StatementOptions options{.unit = unit, .whole_units = whole_units};
            return without_gil(accountant, [&](const Accountant& copy) {
              return make_privacy_statement(copy.composition(), copy.guarantee(delta), copy.name(),
                                            options);
            });
          },
          py::arg("delta"), py::arg("unit") = "example", py::arg("whole_units") = false,
          "What is promised at `delta`, in words. `unit`: whose presence is protected;\n"
          "`whole_units`: the releases draw and bound whole units, each with all its examples, as\n"
          "training by users does.")
      .def_property_readonly("composition", &Accountant::composition,
                             "Everything that was composed.")
      .def(
          "copy",
          [](const Accountant& accountant) -> std::shared_ptr<Accountant> {
            return accountant.clone();
          },
          "An independent accountant with the same history.")
      .def("__repr__", [](const Accountant& accountant) {
        return "<" + accountant.name() + " accountant, " +
               std::to_string(accountant.composition().total_count()) + " releases>";
      });
  py::class_<RdpAccountant, Accountant, std::shared_ptr<RdpAccountant>>(
      module, "RdpAccountant",
      "Renyi accountant, minimised over all orders (or over a list, as other programs do); exact "
      "where every mechanism is an unsampled Gaussian.")
      .def(
          py::init([](Neighbouring neighbouring, const std::optional<std::vector<double>>& orders) {
            return orders.has_value() ? std::make_shared<RdpAccountant>(neighbouring, *orders)
                                      : std::make_shared<RdpAccountant>(neighbouring);
          }),
          add_or_remove_one(), py::arg("orders") = py::none());
  py::class_<PldAccountant, Accountant, std::shared_ptr<PldAccountant>>(
      module, "PldAccountant",
      "Tight numerical accountant by privacy loss distributions, between proved bounds: epsilon is "
      "the upper one, `guarantee(delta).lower` the lower one.")
      .def(py::init([](Neighbouring neighbouring, double relative_width, bool accept_wider) {
             PldOptions options;
             options.relative_width = relative_width;
             options.accept_wider = accept_wider;
             return std::make_shared<PldAccountant>(neighbouring, options);
           }),
           add_or_remove_one(), py::arg("relative_width") = PldOptions().relative_width,
           py::arg("accept_wider") = true);
  module.def(
      "make_accountant",
      [](const std::string& name, Neighbouring neighbouring) -> std::shared_ptr<Accountant> {
        return make_accountant(name, neighbouring);
      },
      py::arg("name"), py::arg("neighbouring"));
}

void bind_calibration(py::module_& module) {
  module.def(
      "calibrate_noise_multiplier",
      [](const Accountant& spent, double epsilon, double delta, double sampling_rate,
         std::int64_t steps, double tolerance) {
        return without_gil(spent, [&](const Accountant& copy) {
          return calibrate_noise_multiplier(copy, epsilon, delta, sampling_rate, steps, tolerance);
        });
      },
      py::arg("spent"), py::arg("epsilon"), py::arg("delta"), py::arg("sampling_rate"),
      py::arg("steps"), py::arg("tolerance"));
  module.def(
      "calibrate_sampling_rate",
      [](const Accountant& spent, double noise_multiplier, std::int64_t steps, double epsilon,
         double delta, double tolerance) {
        return without_gil(spent, [&](const Accountant& copy) {
          return calibrate_sampling_rate(copy, noise_multiplier, steps, epsilon, delta, tolerance)
              .value;
        });
      },
      py::arg("spent"), py::arg("noise_multiplier"), py::arg("steps"), py::arg("epsilon"),
      py::arg("delta"), py::arg("tolerance"));
  module.def(
      "calibrate_batch_size",
      [](const Accountant& spent, std::int64_t dataset_size, double noise_multiplier,
         std::int64_t steps, double epsilon, double delta) {
        return without_gil(spent, [&](const Accountant& copy) {
          return calibrate_batch_size(copy, dataset_size, noise_multiplier, steps, epsilon, delta)
              .value;
        });
      },
      py::arg("spent"), py::arg("dataset_size"), py::arg("noise_multiplier"), py::arg("steps"),
      py::arg("epsilon"), py::arg("delta"));
  module.def(
      "calibrate_steps",
      [](const Accountant& spent, const Mechanism& mechanism, double epsilon, double delta,
         std::int64_t largest_steps) {
        return without_gil(spent, [&](const Accountant& copy) {
          return calibrate_steps(copy, mechanism, epsilon, delta, largest_steps).value;
        });
      },
      py::arg("spent"), py::arg("mechanism"), py::arg("epsilon"), py::arg("delta"),
      py::arg("largest_steps"));
  module.def(
      "epsilon_schedule",
      [](const Accountant& spent, const Mechanism& mechanism, std::int64_t steps,
         std::int64_t steps_per_point, double delta) {
        return schedule_arrays(without_gil(spent, [&](const Accountant& copy) {
          return epsilon_schedule(copy, mechanism, steps, steps_per_point, delta);
        }));
      },
      py::arg("spent"), py::arg("mechanism"), py::arg("steps"), py::arg("steps_per_point"),
      py::arg("delta"));
  module.def(
      "group_guarantee",
      [](const Accountant& one, std::int64_t group_size, double delta) {
        return without_gil(
            one, [&](const Accountant& copy) { return group_guarantee(copy, group_size, delta); });
      },
      py::arg("one"), py::arg("group_size"), py::arg("delta"));
}

void bind_statements(py::module_& module) {
  py::class_<StatedReleases>(module, "StatedReleases", "Some releases of a statement, in words.")
      .def_readonly("count", &StatedReleases::count)
      .def_readonly("label", &StatedReleases::label)
      .def_readonly("mechanism", &StatedReleases::mechanism)
      .def_readonly("sampling", &StatedReleases::sampling);
  py::class_<PrivacyStatement>(module, "PrivacyStatement",
                               "What is promised, about whom, and on what condition: complete "
                               "enough to stand in a paper alone.")
      .def_readonly("epsilon", &PrivacyStatement::epsilon)
      .def_readonly("delta", &PrivacyStatement::delta)
      .def_readonly("certified_lower", &PrivacyStatement::certified_lower)
      .def_readonly("unit", &PrivacyStatement::unit, "Whose presence is protected: \"example\".")
      .def_readonly("group_size", &PrivacyStatement::group_size)
      .def_readonly("neighbouring", &PrivacyStatement::neighbouring)
      .def_readonly("accountant", &PrivacyStatement::accountant)
      .def_readonly("method", &PrivacyStatement::method)
      .def_readonly("order", &PrivacyStatement::order)
      .def_readonly("releases", &PrivacyStatement::releases)
      .def_readwrite("conditions", &PrivacyStatement::conditions,
                     "Sentences without which it does not hold. A list by value: assign to it.")
      .def_readonly("assumed_public", &PrivacyStatement::assumed_public)
      .def_readonly("not_covered", &PrivacyStatement::not_covered)
      .def_readonly("version", &PrivacyStatement::version)
      .def("to_text", &PrivacyStatement::to_text, py::arg("columns") = 80,
           "Lines of at most `columns` >= 40 columns, the promise first.")
      .def("to_json", &PrivacyStatement::to_json, "JSON object with the names above.")
      .def(
          "__eq__", [](const PrivacyStatement& a, const PrivacyStatement& b) { return a == b; },
          py::is_operator(), py::arg("other"))
      .def("__str__", [](const PrivacyStatement& statement) { return statement.to_text(); });
}

void bind_reports(py::module_& module) {
  py::class_<TrainingReport>(module, "TrainingReport",
                             "What a training run promises and on what assumptions.")
      .def(py::init([](const Accountant& accountant, double delta, const std::string& unit) {
             return make_training_report(accountant, delta, unit);
           }),
           py::arg("accountant"), py::arg("delta"), py::arg("unit") = "example",
           "unit: what is drawn and bounded as a whole: \"example\", or for example \"user\".")
      .def_readonly("unit", &TrainingReport::unit)
      .def_readwrite("unit_count", &TrainingReport::unit_count,
                     "Of another unit than an example; treated as public.")
      .def_readonly("guarantee", &TrainingReport::guarantee)
      .def_readonly("accountant", &TrainingReport::accountant)
      .def_readonly("composition", &TrainingReport::composition)
      .def_readwrite("secure_randomness", &TrainingReport::secure_randomness)
      .def_readwrite("noise_multiplier", &TrainingReport::noise_multiplier)
      .def_readwrite("clipping_norm", &TrainingReport::clipping_norm)
      .def_readwrite("clipping", &TrainingReport::clipping)
      .def_readwrite("sampling_rate", &TrainingReport::sampling_rate)
      .def_readwrite("steps", &TrainingReport::steps)
      .def_readwrite("dataset_size", &TrainingReport::dataset_size)
      .def_readwrite("expected_batch_size", &TrainingReport::expected_batch_size)
      .def_readwrite("assumptions", &TrainingReport::assumptions)
      .def_readwrite("model", &TrainingReport::model)
      .def_readwrite("dataset", &TrainingReport::dataset)
      .def_readwrite("test_accuracy", &TrainingReport::test_accuracy, "Percent.")
      .def_readwrite("training_seconds", &TrainingReport::training_seconds)
      .def_readwrite("backend", &TrainingReport::backend)
      .def_readwrite("threads", &TrainingReport::threads)
      .def_readwrite("versions", &TrainingReport::versions)
      .def_property_readonly("is_private", &TrainingReport::is_private,
                             "Whether the randomness was secure and epsilon is finite.")
      .def("to_text", &TrainingReport::to_text, "For people: about 60 lines.")
      .def("to_json", &TrainingReport::to_json, "JSON object.")
      .def("statement", &TrainingReport::statement, "The promise as it can stand in a paper.")
      .def("__str__", [](const TrainingReport& report) { return report.to_text(); });
}

}  // namespace

void bind_accounting(py::module_& module) {
  py::module_ accounting = module.def_submodule(
      "accounting", "Mechanisms, accountants and statements; documented in velum.accounting.");
  py::register_exception<AccuracyNotReached>(accounting, "AccuracyNotReached", PyExc_RuntimeError)
      .doc() = "The width asked of a certified interval cannot be reached; the text says what can.";
  py::register_exception<BudgetExceeded>(accounting, "BudgetExceeded", PyExc_RuntimeError).doc() =
      "The budget of a data set does not allow the release.";
  bind_mechanisms(accounting);
  bind_composition(accounting);
  bind_guarantees(accounting);
  bind_statements(accounting);
  bind_accountants(accounting);
  bind_reports(accounting);
  bind_calibration(accounting);
  bind_accounting_functions(accounting);
}

}  // namespace velum::python
