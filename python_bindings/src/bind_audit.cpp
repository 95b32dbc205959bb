#include <ATen/ops/tensor.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "engine_names.h"
#include "velum/dpsgd/audit/audit_report.h"
#include "velum/dpsgd/audit/audited_engine.h"
#include "velum/dpsgd/audit/canary_audit.h"
#include "velum/dpsgd/audit/engine_conformance.h"
#include "velum/dpsgd/audit/epsilon_lower_bound.h"
#include "velum/dpsgd/audit/neighbour_replay.h"

namespace py = pybind11;

namespace velum::python {
namespace {

using namespace dpsgd;  // NOLINT(google-build-using-namespace): this file is about its names
// Audits run without the GIL, as backward passes must; Python is called under it.
using NoGil = py::call_guard<py::gil_scoped_release>;
using Indices = std::vector<std::int64_t>;
using LossesFunction = py::typing::Callable<at::Tensor(at::Tensor)>;
using ProgressFunction = py::typing::Callable<void(std::int64_t, std::int64_t)>;

/// An object of Python that is copied and dropped without the GIL.
using Kept = std::shared_ptr<const py::object>;
Kept keep(const py::object& object) {
  return {new py::object(object), [](const py::object* kept) {
            const py::gil_scoped_acquire gil;
            delete kept;
          }};
}

/// What Python gave, as T. @throws py::type_error naming `what`.
template <typename T>
T value_of(const py::object& given, const char* what, const char* expected) {
  try {
    return given.cast<T>();
  } catch (const py::cast_error&) {
    throw py::type_error(std::string(what) + ": gave a " +
                         py::str(py::type::of(given).attr("__name__")).cast<std::string>() +
                         ", expected " + expected);
  }
}

std::function<at::Tensor(const Indices&)> losses_of(const py::object& function) {
  return [kept = keep(function)](const Indices& indices) {
    const py::gil_scoped_acquire gil;
    const at::Tensor numbers = at::tensor(indices, at::kLong);
    return value_of<at::Tensor>((*kept)(numbers), "losses", "a tensor with a loss for each index");
  };
}

std::function<void(std::int64_t, std::int64_t)> progress_of(
    const std::optional<ProgressFunction>& function) {
  if (!function.has_value()) return nullptr;
  return [kept = keep(*function)](std::int64_t done, std::int64_t all) {
    const py::gil_scoped_acquire gil;
    (*kept)(done, all);
  };
}

AuditedModel model_of(std::vector<at::Tensor> parameters, std::int64_t dataset_size,
                      Indices user_of_example, const LossesFunction& losses) {
  return {.parameters = std::move(parameters),
          .dataset_size = dataset_size,
          .user_of_example = std::move(user_of_example),
          .losses = losses_of(losses)};
}

/// An engine that is written in Python.
class PythonEngine final : public AuditedEngine {
 public:
  explicit PythonEngine(Kept engine) : engine_(std::move(engine)) {}

  Indices next_batch() override { return ask<Indices>("next_batch", "the indices of a batch"); }
  void accumulate(const at::Tensor& losses, const Indices& users) override {
    const py::gil_scoped_acquire gil;
    engine_->attr("accumulate")(losses, users);
  }
  void finish_step() override {
    const py::gil_scoped_acquire gil;
    engine_->attr("finish_step")();
  }
  Composition books() const override {
    return ask<Composition>("books", "a velum.accounting.Composition");
  }
  double sensitivity() const override { return ask<double>("sensitivity", "a number"); }
  PrivacyStatement statement(double delta) const override {
    return ask<PrivacyStatement>("statement", "a velum.accounting.PrivacyStatement", delta);
  }
  std::unique_ptr<AuditedEngine> resumed() const override {
    const py::gil_scoped_acquire gil;
    return std::make_unique<PythonEngine>(keep(engine_->attr("resumed")()));
  }

 private:
  template <typename T, typename... Arguments>
  T ask(const char* method, const char* expected, Arguments... arguments) const {
    const py::gil_scoped_acquire gil;
    return value_of<T>(engine_->attr(method)(arguments...), method, expected);
  }

  Kept engine_;
};

using Settings = AuditedEngineSettings;
using FactoryFunction = py::typing::Callable<py::object(std::vector<at::Tensor>, Settings)>;

EngineFactory factory_of(const std::optional<FactoryFunction>& engine, bool allow_slow_rules,
                         const std::vector<at::Tensor>& lazy_tables = {}) {
  if (!engine.has_value()) return privacy_engine_factory(allow_slow_rules, lazy_tables);
  return [kept = keep(*engine)](const std::vector<at::Tensor>& parameters,
                                const AuditedEngineSettings& settings) {
    const py::gil_scoped_acquire gil;
    return std::make_unique<PythonEngine>(keep((*kept)(parameters, settings)));
  };
}

std::optional<py::bytes> bytes_of(const std::optional<kernels::RandomKey>& key) {
  if (!key.has_value()) return std::nullopt;
  std::string bytes;
  for (const std::uint32_t word : key->words) {
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(word >> shift);
  }
  return py::bytes(bytes);
}

void bind_engines(py::module_& module) {
  py::class_<Settings>(module, "AuditedEngineSettings",
                       "What an audit asks an engine of DP-SGD to be.")
      .def_readonly("dataset_size", &Settings::dataset_size, "Number of examples.")
      .def_readonly("user_of_example", &Settings::user_of_example,
                    "The user of each example, if whole users are drawn and bounded; else empty.")
      .def_property_readonly(
          "user_gradient", [](const Settings& settings) { return name_of(settings.user_gradient); },
          "What of a user is bounded: \"mean\" or \"sum\".")
      .def_readonly("sampling_rate", &Settings::sampling_rate,
                    "q, of an example or user; the divisor of the noised sum is q times their "
                    "number.")
      .def_readonly("clipping", &Settings::clipping)
      .def_readonly("noise_multiplier", &Settings::noise_multiplier,
                    "sigma. With 0 what the engine hands out is the sum of clipped gradients over "
                    "the divisor.")
      .def_readonly("retain_graph", &Settings::retain_graph,
                    "Keep the graph of the losses after `accumulate`.")
      .def_readonly("release_guard", &Settings::release_guard,
                    "Asked at the end of every step, before anything is released; or None.")
      .def_readonly("accountant", &Settings::accountant,
                    "The books to write into; None: the engine's own.")
      .def_property_readonly(
          "insecure_noise_key",
          [](const Settings& settings) { return bytes_of(settings.insecure_noise_key); },
          "32 bytes, the same for two runs that shall have the same noise; None: a secret one.")
      .def_property_readonly(
          "insecure_sampling_key",
          [](const Settings& settings) { return bytes_of(settings.insecure_sampling_key); },
          "The same of sampling.");
}

void bind_replay(py::module_& module) {
  using Comparison = ReplayComparison;
  using Result = ReplayResult;
  py::class_<Comparison>(module, "ReplayComparison", "One comparison of two runs. Private.")
      .def_readonly("step", &Comparison::step, "From 0.")
      .def_readonly("batch_size", &Comparison::batch_size, "Examples of the first run.")
      .def_property_readonly(
          "unit",
          [](const Comparison& made) {
            return made.unit < 0 ? std::nullopt : std::optional<std::int64_t>(made.unit);
          },
          "The example (its index) or user that differs; None: none.")
      .def_property_readonly(
          "change", [](const Comparison& made) { return std::string(to_string(made.change)); },
          "In what the second run differs.")
      .def_readonly("distance", &Comparison::distance,
                    "L2 distance of the sums before noise and division; NaN: not finite.")
      .def_readonly("bound", &Comparison::bound, "What it may be in exact arithmetic.")
      .def_readonly("allowance", &Comparison::allowance, "For rounding, on top.")
      .def_property_readonly("holds", &ReplayComparison::holds);
  py::class_<Result>(module, "ReplayResult", "What `neighbour_replay` saw. Private.")
      .def_property_readonly("comparisons", [](const Result& result) { return result.comparisons; })
      .def_property_readonly("holds", &ReplayResult::holds, "Whether every comparison does.")
      .def_property_readonly(
          "worst",
          [](const Result& result) {
            const ReplayComparison* worst = result.worst();
            return worst == nullptr ? std::nullopt : std::optional<Comparison>(*worst);
          },
          "The comparison that is nearest to its bound, or farthest beyond it.");
  module.def(
      "neighbour_replay",
      [](std::vector<at::Tensor> parameters, std::int64_t dataset_size, Indices user_of_example,
         const LossesFunction& losses, const std::optional<FactoryFunction>& engine,
         bool allow_slow_rules, const std::vector<at::Tensor>& lazy_tables, std::int64_t steps,
         double sampling_rate, const Clipping& clipping, double noise_multiplier,
         const std::string& user_gradient, double learning_rate, std::int64_t physical_batch_size,
         std::int64_t units_per_step, std::int64_t positions, std::uint64_t insecure_seed,
         const std::optional<ProgressFunction>& progress) {
        const ReplayOptions options{.steps = steps,
                                    .sampling_rate = sampling_rate,
                                    .clipping = clipping,
                                    .noise_multiplier = noise_multiplier,
                                    .user_gradient = user_gradient_of(user_gradient),
                                    .learning_rate = learning_rate,
                                    .physical_batch_size = physical_batch_size,
                                    .units_per_step = units_per_step,
                                    .positions = positions,
                                    .insecure_seed = insecure_seed};
        const AuditedModel model =
            model_of(std::move(parameters), dataset_size, std::move(user_of_example), losses);
        const EngineFactory factory = factory_of(engine, allow_slow_rules, lazy_tables);
        const auto told = progress_of(progress);
        const py::gil_scoped_release no_gil;
        return neighbour_replay(model, factory, options, told);
      },
      py::arg("parameters"), py::arg("dataset_size"), py::arg("user_of_example"), py::arg("losses"),
      py::arg("engine"), py::arg("allow_slow_rules"), py::arg("lazy_tables"), py::arg("steps"),
      py::arg("sampling_rate"), py::arg("clipping"), py::arg("noise_multiplier"),
      py::arg("user_gradient"), py::arg("learning_rate"), py::arg("physical_batch_size"),
      py::arg("units_per_step"), py::arg("positions"), py::arg("insecure_seed"),
      py::arg("progress"));
}

void bind_conformance(py::module_& module) {
  using Check = ConformanceCheck;
  using Result = ConformanceResult;
  py::class_<Check>(module, "ConformanceCheck", "One property of an engine.")
      .def_readonly("name", &Check::name)
      .def_readonly("statistical", &Check::statistical)
      .def_readonly("p_value", &Check::p_value,
                    "At most the probability of what was seen, or worse, if the property holds; 0 "
                    "or 1 where chance has no part.")
      .def_readonly("found", &Check::found, "What was seen, where it is worst.");
  py::class_<Result>(module, "ConformanceResult", "What `engine_conformance` saw. Private.")
      .def_property_readonly("checks", [](const Result& result) { return result.checks; })
      .def_readonly("false_alarm_probability", &Result::false_alarm_probability)
      .def_property_readonly("threshold", &ConformanceResult::threshold,
                             "Below this p-value a statistical check fails.")
      .def_property_readonly(
          "holds", [](const Result& result) { return result.holds(); }, "Whether every check does.")
      .def_property_readonly("violations", &ConformanceResult::violations,
                             "Names of the checks that fail.");
  module.def(
      "engine_conformance",
      [](std::vector<at::Tensor> parameters, std::int64_t dataset_size, Indices user_of_example,
         const LossesFunction& losses, const std::optional<FactoryFunction>& engine,
         bool allow_slow_rules, const std::vector<at::Tensor>& lazy_tables, double sampling_rate,
         const Clipping& clipping, double noise_multiplier, const std::string& user_gradient,
         std::int64_t steps_of_each_kind, std::int64_t physical_batch_size, std::int64_t draws,
         double false_alarm_probability, std::uint64_t insecure_seed,
         const std::optional<ProgressFunction>& progress) {
        const ConformanceOptions options{.sampling_rate = sampling_rate,
                                         .clipping = clipping,
                                         .noise_multiplier = noise_multiplier,
                                         .user_gradient = user_gradient_of(user_gradient),
                                         .steps_of_each_kind = steps_of_each_kind,
                                         .physical_batch_size = physical_batch_size,
                                         .draws = draws,
                                         .false_alarm_probability = false_alarm_probability,
                                         .insecure_seed = insecure_seed};
        const AuditedModel model =
            model_of(std::move(parameters), dataset_size, std::move(user_of_example), losses);
        const EngineFactory factory = factory_of(engine, allow_slow_rules, lazy_tables);
        const auto told = progress_of(progress);
        const py::gil_scoped_release no_gil;
        return engine_conformance(model, factory, options, told);
      },
      py::arg("parameters"), py::arg("dataset_size"), py::arg("user_of_example"), py::arg("losses"),
      py::arg("engine"), py::arg("allow_slow_rules"), py::arg("lazy_tables"),
      py::arg("sampling_rate"), py::arg("clipping"), py::arg("noise_multiplier"),
      py::arg("user_gradient"), py::arg("steps_of_each_kind"), py::arg("physical_batch_size"),
      py::arg("draws"), py::arg("false_alarm_probability"), py::arg("insecure_seed"),
      py::arg("progress"));
}

using Guesses = OneRunGuesses;
using Counts = MembershipCounts;

void bind_lower_bounds(py::module_& module) {
  py::class_<Guesses>(
      module, "OneRunGuesses",
      "What an attacker said after one run of training on `canaries` examples, each "
      "of which took part by the toss of a fair coin of its own. guesses: how many "
      "it decided about, fixed before; correct: of these, right.")
      .def(py::init([](std::int64_t canaries, std::int64_t guesses, std::int64_t correct) {
             return Guesses{canaries, guesses, correct};
           }),
           py::arg("canaries"), py::arg("guesses"), py::arg("correct"))
      .def_readonly("canaries", &Guesses::canaries)
      .def_readonly("guesses", &Guesses::guesses)
      .def_readonly("correct", &Guesses::correct);
  py::class_<Counts>(
      module, "MembershipCounts",
      "What an attacker said over many independent runs of training, in each of which "
      "one example took part or did not.")
      .def(py::init([](std::int64_t members, std::int64_t members_recognised,
                       std::int64_t non_members, std::int64_t non_members_accused) {
             return Counts{members, members_recognised, non_members, non_members_accused};
           }),
           py::arg("members"), py::arg("members_recognised"), py::arg("non_members"),
           py::arg("non_members_accused"))
      .def_readonly("members", &Counts::members, "Runs with the example.")
      .def_readonly("members_recognised", &Counts::members_recognised,
                    "Of these: said to be with it.")
      .def_readonly("non_members", &Counts::non_members, "Runs without it.")
      .def_readonly("non_members_accused", &Counts::non_members_accused,
                    "Of these: said to be with it.");
  module.def("clopper_pearson_lower", &clopper_pearson_lower, py::arg("trials"),
             py::arg("successes"), py::arg("error_probability"), NoGil());
  module.def("clopper_pearson_upper", &clopper_pearson_upper, py::arg("trials"),
             py::arg("successes"), py::arg("error_probability"), NoGil());
  module.def(
      "epsilon_lower_bound_of_runs",
      [](const Counts& counts, double delta, double confidence) {
        return epsilon_lower_bound_of_runs(counts, delta, confidence);
      },
      py::arg("counts"), py::arg("delta"), py::arg("confidence"), NoGil());
  module.def(
      "one_run_p_value",
      [](const Guesses& guesses, double epsilon, double delta) {
        return one_run_p_value(guesses, epsilon, delta);
      },
      py::arg("guesses"), py::arg("epsilon"), py::arg("delta"), NoGil());
  module.def(
      "epsilon_lower_bound_of_one_run",
      [](const Guesses& guesses, double delta, double confidence) {
        return epsilon_lower_bound_of_one_run(guesses, delta, confidence);
      },
      py::arg("guesses"), py::arg("delta"), py::arg("confidence"), NoGil());
}

void bind_canaries(py::module_& module) {
  using OfShare = CanaryGuesses;
  using Result = CanaryAuditResult;
  py::class_<OfShare>(module, "CanaryGuesses", "Guesses about a share of the canaries of one run.")
      .def_readonly("share", &OfShare::share)
      .def_property_readonly("counts", [](const OfShare& made) { return made.counts; })
      .def_readonly("epsilon_lower", &OfShare::epsilon_lower);
  py::class_<Result>(module, "CanaryAuditResult", "What `canary_audit` found. Private.")
      .def_readonly(
          "epsilon_upper", &Result::epsilon_upper,
          "Upper end of the certified epsilon of the engine's books at delta; infinite if "
          "they promise nothing.")
      .def_property_readonly("guesses", [](const Result& result) { return result.guesses; })
      .def_property_readonly(
          "runs", [](const Result& result) { return result.runs; },
          "Of the counting half of the further runs; or None.")
      .def_readonly("runs_epsilon_lower", &Result::runs_epsilon_lower)
      .def_readonly("confidence", &Result::confidence, "Of all lower bounds together.")
      .def_readonly("delta", &Result::delta)
      .def_property_readonly("epsilon_lower", &CanaryAuditResult::epsilon_lower,
                             "The largest lower bound.")
      .def_property_readonly("holds", &CanaryAuditResult::holds,
                             "False: the engine is refuted, but for a chance of at most 1 - "
                             "confidence.");
  module.def(
      "canary_audit",
      [](std::vector<at::Tensor> parameters, std::int64_t dataset_size, Indices user_of_example,
         const LossesFunction& losses, const std::optional<FactoryFunction>& engine,
         bool allow_slow_rules, const std::string& kind, std::int64_t canaries, std::int64_t steps,
         double sampling_rate, const Clipping& clipping, double noise_multiplier,
         const std::string& user_gradient, double learning_rate, std::int64_t physical_batch_size,
         std::vector<double> guessed_shares, std::int64_t runs, double delta, double confidence,
         const std::optional<LossesFunction>& canary_losses,
         const std::optional<std::uint64_t>& insecure_seed,
         const std::optional<ProgressFunction>& progress) {
        const CanaryAuditOptions options{
            .kind = canary_kind_from_string(kind),
            .canaries = canaries,
            .steps = steps,
            .sampling_rate = sampling_rate,
            .clipping = clipping,
            .noise_multiplier = noise_multiplier,
            .user_gradient = user_gradient_of(user_gradient),
            .learning_rate = learning_rate,
            .physical_batch_size = physical_batch_size,
            .guessed_shares = std::move(guessed_shares),
            .runs = runs,
            .delta = delta,
            .confidence = confidence,
            .canary_losses = canary_losses.has_value() ? losses_of(*canary_losses) : nullptr,
            .insecure_seed = insecure_seed};
        const AuditedModel model =
            model_of(std::move(parameters), dataset_size, std::move(user_of_example), losses);
        const EngineFactory factory = factory_of(engine, allow_slow_rules);
        const auto told = progress_of(progress);
        const py::gil_scoped_release no_gil;
        return canary_audit(model, factory, options, told);
      },
      py::arg("parameters"), py::arg("dataset_size"), py::arg("user_of_example"), py::arg("losses"),
      py::arg("engine"), py::arg("allow_slow_rules"), py::arg("kind"), py::arg("canaries"),
      py::arg("steps"), py::arg("sampling_rate"), py::arg("clipping"), py::arg("noise_multiplier"),
      py::arg("user_gradient"), py::arg("learning_rate"), py::arg("physical_batch_size"),
      py::arg("guessed_shares"), py::arg("runs"), py::arg("delta"), py::arg("confidence"),
      py::arg("canary_losses"), py::arg("insecure_seed"), py::arg("progress"));
}

void bind_report(py::module_& module) {
  using Report = AuditReport;
  py::class_<Report>(module, "AuditReport",
                     "What audits of one engine and one model found. A report on data that are "
                     "secret is itself secret.")
      .def(py::init([](std::vector<std::pair<std::string, std::string>> subject,
                       const std::optional<ReplayResult>& replay,
                       const std::optional<ConformanceResult>& conformance,
                       const std::optional<CanaryAuditResult>& canaries) {
             AuditReport report;
             report.subject = std::move(subject);
             report.replay = replay;
             report.conformance = conformance;
             report.canaries = canaries;
             return report;
           }),
           py::arg("subject"), py::kw_only(), py::arg("replay") = py::none(),
           py::arg("conformance") = py::none(), py::arg("canaries") = py::none(),
           "subject: what was audited, pairs of a name and a text, in the order of the report; "
           "then\n"
           "the results of what was done.")
      .def_property_readonly("holds", &AuditReport::holds, "Nothing was refuted.")
      .def("to_json", &AuditReport::to_json,
           "JSON object. An infinite or undefined number is null.")
      .def("to_markdown", &AuditReport::to_markdown, "For people.")
      .def("_repr_markdown_", &AuditReport::to_markdown)
      .def("__str__", &AuditReport::to_markdown);
}

}  // namespace

void bind_audit(py::module_& module) {
  py::module_ audit = module.def_submodule("audit", "Documented in velum.audit.");
  bind_engines(audit);
  bind_replay(audit);
  bind_conformance(audit);
  bind_lower_bounds(audit);
  bind_canaries(audit);
  bind_report(audit);
}

}  // namespace velum::python
