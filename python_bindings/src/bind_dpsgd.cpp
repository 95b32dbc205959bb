#include <c10/util/Exception.h>
#include <pybind11/operators.h>
#include <pybind11/stl.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/utils/pybind.h>

#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bindings.h"
#include "engine_names.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/dpsgd/clipping.h"
#include "velum/dpsgd/explain.h"
#include "velum/dpsgd/gradient_method.h"
#include "velum/dpsgd/keep_freed_memory.h"
#include "velum/dpsgd/lazy_table.h"
#include "velum/dpsgd/per_sample_gradients.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"
#include "velum/dpsgd/reduced_loss.h"
#include "velum/dpsgd/user_poisson_sampler.h"

namespace py = pybind11;

namespace velum::python {
namespace {

using namespace dpsgd;  // NOLINT(google-build-using-namespace): this file is about its names
using AnySampler = std::variant<const PoissonSampler*, const UserPoissonSampler*>;
// The GIL is released around every backward pass: the engine's threads, and functions in Python
// that they call, need it.
using NoGil = py::call_guard<py::gil_scoped_release>;

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

/// Methods by their names.
using NamedMethods = std::map<std::size_t, std::string>;

MethodOverrides overrides_of(const NamedMethods& names) {
  MethodOverrides overrides;
  for (const auto& [parameter, name] : names) overrides.emplace(parameter, gradient_method(name));
  return overrides;
}

PerSampleOptions options_of(bool allow_slow_rules, const NamedMethods& method_overrides) {
  return {.allow_slow_rules = allow_slow_rules, .method_overrides = overrides_of(method_overrides)};
}

void bind_functions(py::module_& module) {
  module.def(
      "per_sample_gradients",
      [](const at::Tensor& losses, const std::vector<at::Tensor>& params, bool allow_slow_rules,
         const NamedMethods& method_overrides) {
        return per_sample_gradients(losses, params, options_of(allow_slow_rules, method_overrides));
      },
      py::arg("losses"), py::arg("params"), py::arg("allow_slow_rules"),
      py::arg("method_overrides"), NoGil());
  module.def(
      "per_sample_norms",
      [](const at::Tensor& losses, const std::vector<at::Tensor>& params, bool allow_slow_rules,
         const NamedMethods& method_overrides) {
        return per_sample_norms(losses, params, options_of(allow_slow_rules, method_overrides));
      },
      py::arg("losses"), py::arg("params"), py::arg("allow_slow_rules"),
      py::arg("method_overrides"), NoGil());
  module.def(
      "explain",
      [](const at::Tensor& losses, const std::vector<at::Tensor>& params, bool allow_slow_rules,
         const NamedMethods& method_overrides) {
        auto rows = explain(losses, params, options_of(allow_slow_rules, method_overrides));
        std::string table = to_table(rows);
        return std::pair(std::move(rows), std::move(table));
      },
      py::arg("losses"), py::arg("params"), py::arg("allow_slow_rules"),
      py::arg("method_overrides"), NoGil(), "(rows, table)");
  module.def("keep_freed_memory", &keep_freed_memory,
             R"(Keeps what the process frees for what it allocates next, instead of giving it back.

Without, glibc hands memory that a training step frees to the system, and takes it again in the next
step, page by page and filled with zeros. With it the process holds at least the most that it needed
at once, and more where blocks of different sizes leave gaps. For the whole process and for good:
for one that trains, in its main thread, and does little else; before the first step. An allocator
that is preloaded in place of glibc's (jemalloc, tcmalloc) is not changed.

Returns:
    Whether the C library has these settings (M_TRIM_THRESHOLD and M_MMAP_MAX of mallopt(3)) and took
    them; True does not say that its malloc is the one in use.)");
  module.def(
      "per_sample_losses",
      [](const at::Tensor& loss, bool mean, std::int64_t samples) {
        return per_sample_losses(loss, mean ? LossReduction::kMean : LossReduction::kSum, samples);
      },
      py::arg("loss"), py::arg("mean"), py::arg("samples"), NoGil());
}

void bind_explanation(py::module_& module) {
  py::class_<UseExplanation>(module, "UseExplanation",
                             "How the gradients of the samples are taken for one use of one "
                             "parameter, and what that should cost.")
      .def_readonly("parameter", &UseExplanation::parameter, "Its index among the parameters.")
      .def_readonly("parameter_sizes", &UseExplanation::parameter_sizes, "Of the whole parameter.")
      .def_readonly("operation", &UseExplanation::operation,
                    "The autograd node; \"and 27 more\" where uses are taken together.")
      .def_readonly("shape", &UseExplanation::shape,
                    "Of the use, per sample: \"64 steps, 128 -> 512\".")
      .def_property_readonly(
          "method", [](const UseExplanation& use) { return to_text(use.method); },
          "\"outer product\", \"gram\", \"tiles\", \"kept\", \"segments\", \"at hand\" or "
          "\"sample backward\".")
      .def_readonly("flops", &UseExplanation::flops,
                    "Operations of norms and weighted sum, of the whole batch.")
      .def_readonly("bytes_moved", &UseExplanation::bytes, "Read and written for them.")
      .def_readonly("seconds", &UseExplanation::seconds,
                    "Predicted; None for a backward of unknown cost.")
      .def_property_readonly(
          "seconds_by_method",
          [](const UseExplanation& use) {
            std::map<std::string, std::optional<double>> seconds;
            for (std::size_t i = 0; i < use.methods.size(); ++i) {
              seconds.emplace(to_text(use.methods[i]), use.seconds_by_method[i]);
            }
            return seconds;
          },
          "Predicted, of every method that `method_overrides` may choose.")
      .def("__repr__", [](const UseExplanation& use) {
        return "<parameter " + std::to_string(use.parameter) + " in " + use.operation + ", " +
               use.shape + ": " + to_text(use.method) + ">";
      });
}

void bind_clipping(py::module_& module) {
  py::class_<Clipping>(module, "Clipping",
                       "How the gradient of one sample is bounded before the samples are summed. A "
                       "sample whose norm is not finite adds exactly zero.")
      .def_static("flat", &Clipping::flat, py::arg("clipping_norm"),
                  "One bound C for the gradient over all parameters together: g min(1, C / ||g||).")
      .def_static("per_layer", &Clipping::per_layer, py::arg("clipping_norms"),
                  "A bound for each parameter tensor that requires grad, in their order; the "
                  "sensitivity is the root of the sum of squares.")
      .def_static(
          "by_groups",
          [](const std::vector<std::pair<std::vector<std::int64_t>, double>>& groups) {
            std::vector<ClippingGroup> values;
            values.reserve(groups.size());
            for (const auto& group : groups) values.push_back({group.first, group.second});
            return Clipping::by_groups(std::move(values));
          },
          py::arg("groups"),
          "A bound for each group of parameters: pairs of the indices of parameters that require "
          "grad and C_g, which together name every parameter once.")
      .def_static("automatic", &Clipping::automatic, py::arg("clipping_norm"),
                  py::arg("stability") = 0.01,
                  "AUTO-S (arXiv 2206.07136): g C / (||g|| + stability).")
      .def_static(
          "adaptive",
          [](double initial_norm, double count_noise, double quantile, double learning_rate,
             double smallest_norm, double largest_norm) {
            return Clipping::adaptive({.initial_norm = initial_norm,
                                       .quantile = quantile,
                                       .learning_rate = learning_rate,
                                       .count_noise = count_noise,
                                       .smallest_norm = smallest_norm,
                                       .largest_norm = largest_norm});
          },
          py::arg("initial_norm"), py::arg("count_noise"), py::arg("quantile") = 0.5,
          py::arg("learning_rate") = 0.2, py::arg("smallest_norm") = 0x1p-40,
          py::arg("largest_norm") = 0x1p40,
          "A bound that follows a quantile of the norms (arXiv 1905.03871); the noised count is "
          "accounted for in the step.")
      .def_property_readonly(
          "kind", [](const Clipping& clipping) { return std::string(to_string(clipping.kind())); })
      .def_property_readonly("sensitivity", &Clipping::sensitivity,
                             "By how much, at most, one sample moves the sum in L2.")
      .def("to_json", &Clipping::to_json, "JSON object.")
      .def_static(
          "from_json", [](const std::string& json) { return Clipping::from_json(json); },
          py::arg("json"), "Reads what `to_json` wrote.")
      .def("__str__", &Clipping::to_text)
      .def("__repr__", [](const Clipping& clipping) { return "<" + clipping.to_text() + ">"; })
      .def(
          "__eq__", [](const Clipping& a, const Clipping& b) { return a == b; }, py::is_operator(),
          py::arg("other"))
      .def(py::pickle([](const Clipping& clipping) { return clipping.to_json(); },
                      [](const std::string& json) { return Clipping::from_json(json); }));
}

SampleChoice sample_choice_of(const std::string& name) {
  if (name == "uniform") return SampleChoice::kUniform;
  if (name == "first") return SampleChoice::kFirst;
  throw std::invalid_argument("UserPoissonSampler: sample_choice = \"" + name +
                              "\", expected uniform or first");
}

/// What a checkpoint holds of an engine, in types that any format can keep.
py::dict to_dict(const EngineState& state) {
  py::dict values;
  values["composition"] = state.composition.to_json();
  values["step"] = state.step;
  values["key_epoch"] = state.key_epoch;
  values["clipping_norm"] = state.clipping_norm;
  return values;
}

EngineState from_dict(const py::dict& values) {
  for (const char* key : {"composition", "step", "key_epoch", "clipping_norm"}) {
    if (!values.contains(key)) {
      throw std::invalid_argument(std::string("PrivacyEngine: state has no \"") + key +
                                  "\", expected what state() gave");
    }
  }
  EngineState state;
  state.composition = Composition::from_json(values["composition"].cast<std::string>());
  state.step = values["step"].cast<std::int64_t>();
  state.key_epoch = values["key_epoch"].cast<std::uint32_t>();
  state.clipping_norm = values["clipping_norm"].cast<std::optional<double>>();
  return state;
}

void bind_engine(py::module_& module) {
  py::class_<PoissonSampler>(module, "PoissonSampler",
                             "Draws logical batches: at every step each sample is included "
                             "independently with probability sampling_rate. The key is the "
                             "operating system's.")
      .def(py::init<std::int64_t, double>(), py::arg("dataset_size"), py::arg("sampling_rate"))
      .def("next", &PoissonSampler::next, "The indices of the next batch, ascending; maybe none.")
      .def_property_readonly("dataset_size", &PoissonSampler::dataset_size)
      .def_property_readonly("sampling_rate", &PoissonSampler::sampling_rate)
      .def_property_readonly("expected_batch_size", &PoissonSampler::expected_batch_size);
  py::class_<UserPoissonSampler>(
      module, "UserPoissonSampler",
      "Draws logical batches of whole users: at every step each user is included independently "
      "with "
      "probability sampling_rate, with all of the user's samples or a choice of them. The key is "
      "the operating system's.")
      .def(py::init([](const std::vector<std::int64_t>& user_of_sample, double sampling_rate,
                       const std::optional<std::int64_t>& max_samples_per_user,
                       const std::string& sample_choice) {
             return std::make_unique<UserPoissonSampler>(
                 user_of_sample, sampling_rate,
                 UserSamplingOptions{.max_samples_per_user = max_samples_per_user,
                                     .choice = sample_choice_of(sample_choice)});
           }),
           py::arg("user_of_sample"), py::arg("sampling_rate"),
           py::arg("max_samples_per_user") = py::none(), py::arg("sample_choice") = "uniform")
      .def(
          "next",
          [](UserPoissonSampler& sampler) {
            UserBatch batch = sampler.next();
            return std::pair(std::move(batch.samples), std::move(batch.users));
          },
          "(samples, users): the indices of the next batch, those of a user together and "
          "ascending, "
          "and the user of each; maybe none.")
      .def_property_readonly("user_count", &UserPoissonSampler::user_count)
      .def_property_readonly("dataset_size", &UserPoissonSampler::dataset_size,
                             "Number of samples of all users together.")
      .def_property_readonly("sampling_rate", &UserPoissonSampler::sampling_rate, "Of a user.")
      .def_property_readonly("expected_batch_size", &UserPoissonSampler::expected_batch_size,
                             "sampling_rate * user_count.")
      .def_property_readonly("most_samples_of_a_user", &UserPoissonSampler::most_samples_of_a_user,
                             "That a batch can have; depends on the data.");

  py::class_<LazyTable, std::shared_ptr<LazyTable>>(
      module, "LazyTable",
      "A table whose rows get their noise when they are read next; see `lazy_tables` of "
      "velum.PrivacyEngine.make_private.")
      .def(py::init<at::Tensor>(), py::arg("weight"))
      .def("catch_up", &LazyTable::catch_up, py::arg("indices"), NoGil(),
           "Adds to these rows the noise that they lack.")
      .def("step", &LazyTable::step, py::arg("learning_rate"), NoGil(),
           "The update of SGD by the gradient of the engine's last step.")
      .def("release", &LazyTable::release, NoGil(), "Adds to all rows the noise that they lack.")
      .def_property_readonly("is_released", &LazyTable::is_released);

  py::class_<PrivacyEngine>(
      module, "PrivacyEngine",
      "Makes the gradient of a logical batch private; see velum.PrivacyEngine.")
      .def(py::init([](const std::vector<at::Tensor>& parameters, const AnySampler& sampler,
                       const Clipping& clipping, double noise_multiplier,
                       const std::shared_ptr<Accountant>& accountant, bool allow_slow_rules,
                       const std::optional<std::shared_ptr<ReleaseGuard>>& release_guard,
                       const std::string& user_gradient, const NamedMethods& method_overrides,
                       const std::vector<std::shared_ptr<LazyTable>>& lazy_tables,
                       const std::optional<py::dict>& state) {
             const PrivacyOptions options{.clipping = clipping,
                                          .noise_multiplier = noise_multiplier,
                                          .user_gradient = user_gradient_of(user_gradient),
                                          .allow_slow_rules = allow_slow_rules,
                                          .method_overrides = overrides_of(method_overrides),
                                          .accountant = accountant,
                                          .release_guard = release_guard.value_or(nullptr),
                                          .lazy_tables = lazy_tables};
             return std::visit(
                 [&](const auto* which) {
                   if (which == nullptr) {
                     throw std::invalid_argument("PrivacyEngine: sampler is None, expected one");
                   }
                   return state.has_value()
                              ? std::make_unique<PrivacyEngine>(parameters, *which, options,
                                                                from_dict(*state))
                              : std::make_unique<PrivacyEngine>(parameters, *which, options);
                 },
                 sampler);
           }),
           py::arg("parameters"), py::arg("sampler"), py::arg("clipping"),
           py::arg("noise_multiplier"), py::arg("accountant"), py::arg("allow_slow_rules"),
           py::arg("release_guard"), py::arg("user_gradient"), py::arg("method_overrides"),
           py::arg("lazy_tables"), py::arg("state"))
      .def(
          "accumulate",
          [](PrivacyEngine& engine, const at::Tensor& losses,
             const std::optional<std::vector<std::int64_t>>& users) {
            if (users.has_value()) {
              engine.accumulate(losses, *users);
            } else {
              engine.accumulate(losses);
            }
          },
          py::arg("losses"), py::arg("users"), NoGil(),
          "`users`: of each loss, where users are sampled.")
      .def(
          "finish_step", [](PrivacyEngine& engine) { return engine.finish_step().slow_nodes; },
          NoGil(), "Names of the operations that were treated by their own backward.")
      .def("state", [](const PrivacyEngine& engine) { return to_dict(engine.state()); })
      .def("statement", &PrivacyEngine::statement, py::arg("delta"))
      .def("abandon_step", &PrivacyEngine::abandon_step)
      .def(
          "reached_by",
          [](const PrivacyEngine& engine, const at::Tensor& loss) {
            return depends_on(loss, engine.parameters());
          },
          py::arg("loss"), "Whether the graph of `loss` holds a parameter of this engine.")
      .def_property_readonly("sensitivity", &PrivacyEngine::sensitivity)
      .def_property_readonly("expected_batch_size", &PrivacyEngine::expected_batch_size)
      .def_property_readonly("mechanism", &PrivacyEngine::mechanism)
      .def("unsafe_per_sample_norms", [](const PrivacyEngine& engine) {
        return engine.unsafe_step_values().per_sample_norms;
      });
}

}  // namespace

void bind_dpsgd(py::module_& module) {
  py::register_local_exception_translator(&translate_torch_errors);
  bind_explanation(module);
  bind_functions(module);
  bind_clipping(module);
  bind_engine(module);
}

}  // namespace velum::python
