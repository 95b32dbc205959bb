#include "velum/dpsgd/accounting/training_report.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "accounting/composition_json.h"
#include "accounting/range_check.h"
#include "accounting/report_text.h"

namespace velum::dpsgd {
namespace {

constexpr int kColumns = 80;
constexpr std::size_t kLabelColumns = 22;

std::string row(std::string label, const std::string& text) {
  label.resize(kLabelColumns - 2, ' ');
  std::string first = "  ";
  first += label;
  return wrapped(first, std::string(kLabelColumns, ' '), text);
}

std::vector<std::string> all_assumptions(const TrainingReport& report) {
  std::vector<std::string> assumptions = report.assumptions;
  assumptions.push_back(
      report.secure_randomness
          ? "Noise and sampling come from a cryptographic generator whose key stays secret."
          : "VIOLATED: noise and sampling come from a generator whose seed is not secret.");
  return assumptions;
}

}  // namespace

std::string describe_sampling(double sampling_rate, const std::string& unit) {
  if (sampling_rate == 1.0) return "none: every step uses every " + unit;
  return "Poisson: every " + unit + " takes part in a step with probability " +
         number_text(sampling_rate) + ", independently";
}

std::vector<std::string> standard_assumptions(Neighbouring neighbouring, const std::string& unit) {
  std::vector<std::string> assumptions;
  if (unit != "example") {
    assumptions = {
        "One " + unit +
            " with all examples is what is protected, as the examples were assigned: "
            "whose example carries the name of another " +
            unit + " is not covered.",
        "The number of " + unit + "s is public; how many examples each has is not.",
    };
  } else if (neighbouring == Neighbouring::kAddOrRemoveOne) {
    assumptions = {
        "One example is what is protected; who contributes several is protected less.",
        "The number of training examples is public.",
    };
  } else {
    assumptions = {
        "One example's values are what is protected; who contributes several is protected less.",
    };
  }
  assumptions.insert(
      assumptions.end(),
      {"Everything released from the training set is in the list of releases; the choice of "
       "model, hyper-parameters and stopping time is not charged to epsilon.",
       "The noise is Gaussian in floating point; the distance from the real-valued Gaussian of the "
       "theory is in docs/numerics.md.",
       "The test set shares no " + unit + " with the training set."});
  return assumptions;
}

TrainingReport make_training_report(const Accountant& accountant, double delta,
                                    const std::string& unit) {
  TrainingReport report;
  report.unit = unit;
  report.guarantee = accountant.guarantee(delta);
  report.accountant = accountant.name();
  report.composition = accountant.composition();
  report.assumptions = standard_assumptions(report.composition.neighbouring(), unit);
  report.versions["velum"] = velum_version();
  return report;
}

bool TrainingReport::is_private() const {
  return secure_randomness && std::isfinite(guarantee.epsilon);
}

PrivacyStatement TrainingReport::statement() const {
  StatementOptions stated;
  stated.unit = unit;
  stated.whole_units = unit != "example";
  return make_privacy_statement(composition, guarantee, accountant, stated);
}

std::string TrainingReport::to_json() const {
  using nlohmann::ordered_json;
  ordered_json report;
  report["private"] = is_private();
  if (std::isfinite(guarantee.epsilon)) {
    report["epsilon"] = guarantee.epsilon;
  } else {
    report["epsilon"] = nullptr;
  }
  report["delta"] = guarantee.delta;
  report["neighbouring"] = to_string(composition.neighbouring());
  report["unit"] = unit;
  if (unit_count) report["unit_count"] = *unit_count;
  report["sampling"] = describe_sampling(sampling_rate, unit);
  report["accountant"] = accountant;
  report["accounting_method"] = guarantee.method;
  if (guarantee.order) report["rdp_order"] = *guarantee.order;
  report["secure_randomness"] = secure_randomness;
  report["noise_multiplier"] = noise_multiplier;
  report["clipping_norm"] = clipping_norm;
  if (!clipping.empty()) report["clipping"] = clipping;
  report["sampling_rate"] = sampling_rate;
  report["steps"] = steps;
  report["dataset_size"] = dataset_size;
  report["expected_batch_size"] = expected_batch_size;
  report["releases"] = ordered_json::parse(composition_json(composition).at("phases").dump());
  report["assumptions"] = all_assumptions(*this);
  if (is_private()) {
    report["statement"] = ordered_json::parse(statement().to_json());
  } else {
    report["statement"] = nullptr;
  }
  report["model"] = model;
  report["dataset"] = dataset;
  if (test_accuracy) report["test_accuracy"] = *test_accuracy;
  if (training_seconds) report["training_seconds"] = *training_seconds;
  report["backend"] = backend;
  report["threads"] = threads;
  report["versions"] = versions;
  return report.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string TrainingReport::to_text() const {
  std::string out = "Privacy report\n";
  if (!secure_randomness) {
    out += "\n";
    out += wrapped("  ", "  ",
                   "NOT PRIVATE: noise or sampling came from a seed that is not secret. Whoever "
                   "knows the seed can subtract the noise; the figures below are those of the same "
                   "run with secure randomness.");
  } else if (!is_private()) {
    out += "\n";
    out += wrapped("  ", "  ", "NOT PRIVATE: no finite epsilon holds for this run.");
  }
  out += "\n";
  out += row("epsilon", epsilon_text(guarantee.epsilon));
  out += row("delta", number_text(guarantee.delta));
  out += row("neighbouring", to_string(composition.neighbouring()));
  std::string method = accountant + ": " + guarantee.method;
  if (guarantee.order) method += ", order " + short_text(*guarantee.order);
  out += row("accountant", method);
  if (test_accuracy) out += row("test accuracy", fixed_text(*test_accuracy, 2) + " %");

  out += "\nTraining\n\n";
  if (!model.empty()) out += row("model", model);
  if (!dataset.empty()) out += row("data set", dataset);
  out += row("examples", grouped_text(dataset_size));
  if (unit_count) out += row(unit + "s", grouped_text(*unit_count));
  out += row("sampling", describe_sampling(sampling_rate, unit));
  out += row("expected batch size", short_text(expected_batch_size));
  out += row("steps", grouped_text(steps));
  out += row("clipping norm", short_text(clipping_norm));
  if (!clipping.empty()) out += row("clipping", clipping);
  out += row("noise multiplier", short_text(noise_multiplier));
  if (training_seconds) out += row("seconds", fixed_text(*training_seconds, 1));
  if (!backend.empty()) out += row("backend", backend);
  if (threads > 0) out += row("threads", std::to_string(threads));

  out += "\nReleases, all counted in epsilon\n\n";
  for (const Phase& phase : composition.phases()) {
    out += wrapped("  - ", "    ",
                   (phase.label.empty() ? "" : phase.label + ": ") + grouped_text(phase.count) +
                       " x " + describe(phase.mechanism));
  }
  if (composition.empty()) out += "  none\n";
  out += "\nAssumptions\n\n";
  for (const std::string& assumption : all_assumptions(*this))
    out += wrapped("  - ", "    ", assumption);
  if (is_private()) {
    out += "\nStatement\n\n";
    std::istringstream lines(statement().to_text(kColumns - 2));
    for (std::string line; std::getline(lines, line);) {
      out += line.empty() ? "\n" : "  " + line + "\n";
    }
  }
  if (!versions.empty()) {
    std::string list;
    for (const auto& [name, version] : versions) {
      if (!list.empty()) list += ", ";
      list += name;
      list += ' ';
      list += version;
    }
    out += "\nVersions\n\n";
    out += wrapped("  ", "  ", list);
  }
  return out;
}

}  // namespace velum::dpsgd
