#include <pybind11/functional.h>
#include <pybind11/operators.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/batch_sampling.h"
#include "velum/dpsgd/accounting/calibration.h"
#include "velum/dpsgd/accounting/gaussian_dp.h"
#include "velum/dpsgd/accounting/group_privacy.h"
#include "velum/dpsgd/accounting/hyperparameter_search.h"
#include "velum/dpsgd/accounting/privacy_statement.h"
#include "velum/dpsgd/accounting/rdp_to_dp.h"

namespace py = pybind11;

namespace velum::python {
namespace {

using namespace dpsgd;  // NOLINT(google-build-using-namespace): this file is about its names

std::pair<double, std::optional<double>> to_pair(const RdpConversion& conversion) {
  return {conversion.value, conversion.order};
}

void bind_conversions(py::module_& module) {
  module.def("gaussian_delta", &gaussian_delta, py::arg("mu"), py::arg("epsilon"));
  module.def("gaussian_epsilon", &gaussian_epsilon, py::arg("mu"), py::arg("delta"));
  module.def("gaussian_mu", &gaussian_mu, py::arg("epsilon"), py::arg("delta"));
  module.def(
      "rdp_to_epsilon",
      [](const std::vector<double>& orders, const std::vector<double>& rdps, double delta) {
        return to_pair(rdp_to_epsilon(orders, rdps, delta));
      },
      py::arg("orders"), py::arg("rdps"), py::arg("delta"));
  module.def(
      "rdp_to_delta",
      [](const std::vector<double>& orders, const std::vector<double>& rdps, double epsilon) {
        return to_pair(rdp_to_delta(orders, rdps, epsilon));
      },
      py::arg("orders"), py::arg("rdps"), py::arg("epsilon"));
  module.def(
      "zcdp_to_epsilon",
      [](double rho, double delta) { return to_pair(zcdp_to_epsilon(rho, delta)); }, py::arg("rho"),
      py::arg("delta"));
  module.def(
      "zcdp_to_delta",
      [](double rho, double epsilon) { return to_pair(zcdp_to_delta(rho, epsilon)); },
      py::arg("rho"), py::arg("epsilon"));
  module.def("group_composition", &group_composition, py::arg("releases"), py::arg("group_size"));
}

void bind_searches(py::module_& module) {
  py::class_<NegativeBinomialTrials>(
      module, "NegativeBinomialTrials",
      "A random number of trials, truncated negative binomial: shape 1 is geometric with mean "
      "1 / gamma, shape 0 logarithmic. shape finite and > -1, gamma in (0, 1).")
      .def(py::init([](double shape, double gamma) {
             const NegativeBinomialTrials trials{shape, gamma};
             expected_trials(trials);  // refuses what is out of range
             return trials;
           }),
           py::arg("shape"), py::arg("gamma"))
      .def_readonly("shape", &NegativeBinomialTrials::shape)
      .def_readonly("gamma", &NegativeBinomialTrials::gamma)
      .def(
          "__eq__",
          [](const NegativeBinomialTrials& a, const NegativeBinomialTrials& b) { return a == b; },
          py::is_operator(), py::arg("other"))
      .def("__str__", [](const NegativeBinomialTrials& trials) { return describe(trials); });
  py::class_<PoissonTrials>(module, "PoissonTrials",
                            "A random number of trials, Poisson. mean finite and > 0.")
      .def(py::init([](double mean) {
             const PoissonTrials trials{mean};
             expected_trials(trials);
             return trials;
           }),
           py::arg("mean"))
      .def_readonly("mean", &PoissonTrials::mean)
      .def(
          "__eq__", [](const PoissonTrials& a, const PoissonTrials& b) { return a == b; },
          py::is_operator(), py::arg("other"))
      .def("__str__", [](const PoissonTrials& trials) { return describe(trials); });
  module.def("negative_binomial_trials", &negative_binomial_trials, py::arg("shape"),
             py::arg("mean"));
  module.def("expected_trials", &expected_trials, py::arg("trials"));
  module.def(
      "search_guarantee",
      [](const RdpAccountant& trial, const RandomTrials& trials, double delta) {
        const RdpAccountant copy = trial;  // another thread may compose meanwhile
        const py::gil_scoped_release no_gil;
        return search_guarantee(copy, trials, delta);
      },
      py::arg("trial"), py::arg("trials"), py::arg("delta"));
  module.def(
      "make_privacy_statement",
      [](const Composition& releases, const PrivacyGuarantee& guarantee,
         const std::string& accountant, const std::string& unit, std::int64_t group_size,
         bool whole_units, BatchSampling batches, const std::optional<RandomTrials>& search,
         bool size_is_public) {
        return make_privacy_statement(releases, guarantee, accountant,
                                      {.unit = unit,
                                       .group_size = group_size,
                                       .whole_units = whole_units,
                                       .batches = batches,
                                       .search = search,
                                       .size_is_public = size_is_public});
      },
      py::arg("releases"), py::arg("guarantee"), py::arg("accountant"), py::arg("unit"),
      py::arg("group_size"), py::arg("whole_units"), py::arg("batches"), py::arg("search"),
      py::arg("size_is_public"));
}

void bind_calibrations(py::module_& module) {
  module.def(
      "calibrate_noise",
      [](const Accountant& spent, const PlannedMechanism& mechanism, std::int64_t steps,
         double epsilon, double delta, double tolerance) {
        return calibrate_noise(spent, mechanism, steps, epsilon, delta, tolerance).value;
      },
      py::arg("spent"), py::arg("mechanism"), py::arg("steps"), py::arg("epsilon"),
      py::arg("delta"), py::arg("tolerance"));
  module.def(
      "calibrate_gaussian_releases",
      [](double epsilon, double delta,
         const std::vector<std::tuple<std::string, std::int64_t, std::optional<double>>>&
             releases) {
        std::vector<PlannedRelease> planned;
        planned.reserve(releases.size());
        for (const auto& [label, count, share] : releases) planned.push_back({label, count, share});
        return calibrate_gaussian_releases(epsilon, delta, planned);
      },
      py::arg("epsilon"), py::arg("delta"), py::arg("releases"));
}

}  // namespace

void bind_accounting_functions(py::module_& accounting) {
  bind_conversions(accounting);
  bind_searches(accounting);
  bind_calibrations(accounting);
}

}  // namespace velum::python
