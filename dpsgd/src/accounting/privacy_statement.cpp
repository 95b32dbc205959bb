#include "velum/dpsgd/accounting/privacy_statement.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "accounting/range_check.h"
#include "accounting/report_text.h"

namespace velum::dpsgd {
namespace {

using Computed = PrivacyStatement::Computed;

/// Four decimals, not above `epsilon` >= 0.
std::string epsilon_text_rounded_down(double epsilon) {
  if (!std::isfinite(epsilon)) return "infinite";
  if (epsilon >= 1e6) return number_text(epsilon);
  double units = std::floor(epsilon * 1e4) + 1.0;
  std::string text = fixed_text(units / 1e4, 4);
  while (std::stod(text) > epsilon) text = fixed_text(--units / 1e4, 4);
  return text;
}

std::string scientific(double value) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.3e", value);
  return text;
}

/// Four digits, not above `delta` >= 0.
std::string delta_text_rounded_down(double delta) {
  if (delta == 0.0) return "0";
  std::string text = scientific(delta);
  if (std::stod(text) <= delta) return text;
  return scientific(delta - std::stod("1" + text.substr(text.find('e'))) * 1e-3);
}

std::string epsilon_of(const PrivacyStatement& statement) {
  return statement.computed == Computed::kEpsilon ? epsilon_text(statement.epsilon)
                                                  : number_text(statement.epsilon);
}

std::string delta_of(const PrivacyStatement& statement) {
  return statement.computed == Computed::kDelta ? delta_text(statement.delta)
                                                : number_text(statement.delta);
}

bool is_promise(const PrivacyStatement& statement) {
  return std::isfinite(statement.epsilon) && statement.delta < 1.0;
}

std::string promise_text(const PrivacyStatement& statement) {
  if (!is_promise(statement)) {
    return "NOT PRIVATE: nothing is promised; no finite epsilon holds at delta " +
           delta_of(statement) + " for these releases.";
  }
  return (statement.search.empty() ? std::string("All releases together are (epsilon = ")
                                   : std::string("Releasing the best trial is (epsilon = ")) +
         epsilon_of(statement) + ", delta = " + delta_of(statement) +
         ")-differentially private; epsilon is a natural logarithm.";
}

std::string unit_text(const PrivacyStatement& statement) {
  const std::string size = number_text(statement.group_size);
  if (statement.group_size == 1) return "one " + statement.unit + ".";
  if (statement.unit == "example") return "any " + size + " examples together.";
  return "one " + statement.unit + " with at most " + size + " examples.";
}

std::string neighbours_text(const PrivacyStatement& statement) {
  const bool replaced = statement.neighbouring == Neighbouring::kReplaceOne;
  const std::string relation = " (" + to_string(statement.neighbouring) + ").";
  if (statement.group_size == 1) {
    return "data sets in which one " + statement.unit +
           (replaced ? " is replaced by another" : " is present or absent") + relation;
  }
  const std::string size = number_text(statement.group_size);
  return "data sets in which at most " + size + " examples" +
         (statement.unit == "example" ? "" : " of one " + statement.unit) +
         (replaced ? " are replaced by others" : " are present or absent") + relation;
}

std::string accountant_text(const PrivacyStatement& statement) {
  std::string text = statement.accountant + ": " + statement.method;
  if (statement.order) text += ", order " + short_text(*statement.order);
  if (!is_promise(statement)) return text + ".";
  if (!statement.certified_lower) return text + "; an upper bound.";
  const bool of_epsilon = statement.computed == Computed::kEpsilon;
  return text + "; certified: the exact " +
         (of_epsilon ? "epsilon at this delta" : "delta at this epsilon") + " lies in " +
         interval_text(*statement.certified_lower, of_epsilon ? statement.epsilon : statement.delta,
                       statement.computed) +
         ".";
}

std::string releases_text(const StatedReleases& releases) {
  std::string text = (releases.label.empty() ? "" : releases.label + ": ") +
                     grouped_text(releases.count) + " x " + releases.mechanism + ".";
  if (!releases.sampling.empty()) text += " Sampling: " + releases.sampling + ".";
  return text;
}

/// "a; b; c."
std::string list_text(const std::vector<std::string>& entries) {
  std::string text;
  for (const std::string& entry : entries) text += (text.empty() ? "" : "; ") + entry;
  return text.empty() ? "nothing." : text + ".";
}

// --- what a composition tells -------------------------------------------------------------------

std::string batches_text(BatchSampling batches, std::int64_t count) {
  const std::string most = "each example in at most " + grouped_text(count) +
                           " of them (once an epoch), accounted for as that many releases "
                           "without sampling";
  const std::string not_poisson =
      "none, and not Poisson, whose figure for the same numbers would not hold: ";
  return batches == BatchSampling::kFixedBatches
             ? not_poisson + "batches fixed beforehand, " + most
             : not_poisson + "batches of a shuffled data set, " + most +
                   "; what the random order might gain is not claimed";
}

/// What takes part in a release or not.
std::string sampled_unit(const StatementOptions& options) {
  return options.whole_units ? options.unit : "example";
}

std::vector<StatedReleases> stated_releases(const Composition& composition,
                                            const StatementOptions& options) {
  std::vector<StatedReleases> releases;
  for (const Phase& phase : composition.phases()) {
    const bool batches = is_once_per_epoch(options.batches) &&
                         std::holds_alternative<GaussianMechanism>(phase.mechanism);
    releases.push_back({phase.count, phase.label, describe(phase.mechanism),
                        batches ? batches_text(options.batches, phase.count)
                                : describe_sampling(phase.mechanism, sampled_unit(options))});
  }
  return releases;
}

/// Whether some release of the mechanism costs all that it is accounted for. Where it may cost
/// less, a lower bound of what it is accounted for says nothing about it; so it is with the
/// releases that stand for shuffled batches.
bool may_be_attained(const Mechanism& mechanism) {
  return !std::holds_alternative<WithoutReplacementSampledGaussianMechanism>(mechanism) &&
         !std::holds_alternative<ApproximateDpMechanism>(mechanism) &&
         !std::holds_alternative<ZeroConcentratedMechanism>(mechanism) &&
         !std::holds_alternative<DominatingPairMechanism>(mechanism);
}

std::vector<std::string> conditions_of(const Composition& composition,
                                       const StatementOptions& options) {
  std::vector<std::string> conditions;
  const bool replaced = composition.neighbouring() == Neighbouring::kReplaceOne;
  const bool any = !composition.empty();
  if (any) conditions.emplace_back("noise and samples are random and secret");
  if (any && replaced) {
    conditions.emplace_back(
        "noise multipliers are relative to the change that a replacement makes, 2 C for sums of "
        "gradients clipped to C");
  }
  if (is_once_per_epoch(options.batches)) {
    conditions.emplace_back(
        options.batches == BatchSampling::kFixedBatches
            ? "the batches do not depend on the data"
            : "the order, drawn anew for each epoch or not, does not depend on the data");
    conditions.emplace_back(
        replaced ? "every other example stays in its batch when one is replaced"
                 : "every other example stays in its batch when one is absent: its place stays "
                   "empty (not so where others move up, as when a list is cut into equal parts)");
  }
  if (any && options.whole_units) {
    conditions.push_back("sampling draws each " + options.unit +
                         " with all that it contributes, or a choice of it made from its own "
                         "examples; the noise multiplier is relative to the bound on all of it "
                         "together");
  } else if (any && options.group_size == 1 && options.unit != "example" &&
             options.unit != "record") {
    conditions.push_back("noise multipliers and sampling rates are relative to all that one " +
                         options.unit + " contributes, such as one example");
  }
  if (options.group_size > 1) {
    conditions.push_back("no " + (options.unit == "example" ? std::string("one") : options.unit) +
                         " has more than " + number_text(options.group_size) +
                         " examples, enforced before the releases");
  }
  if (options.search) {
    conditions.emplace_back(
        "the number of trials is drawn from this distribution and stays secret");
    conditions.emplace_back(
        "each trial draws its settings anew, from one distribution that does not depend on the "
        "data");
    conditions.emplace_back(
        "only the best trial is released, chosen by a score among what a trial releases; none if "
        "there is no trial");
  }
  return conditions;
}

std::vector<std::string> not_covered_by(const StatementOptions& options) {
  std::vector<std::string> not_covered = {
      options.search ? "choices made by looking at the data outside of the search and its releases"
                     : "choices made by looking at the data outside of these releases, such as "
                       "hyperparameters"};
  if (options.group_size == 1 && (options.unit == "example" || options.unit == "record")) {
    not_covered.push_back("several " + options.unit + "s of one person");
  } else if (options.group_size > 1) {
    not_covered.push_back("more than " + number_text(options.group_size) + " examples of one " +
                          (options.unit == "example" ? "person" : options.unit));
  }
  not_covered.emplace_back("other releases from the same data");
  not_covered.emplace_back("how far floating-point noise is from that of the mechanism");
  return not_covered;
}

}  // namespace

std::string epsilon_text(double epsilon) {
  if (!std::isfinite(epsilon)) return "infinite";
  if (epsilon >= 1e6) return number_text(epsilon);
  double units = std::max(0.0, std::ceil(epsilon * 1e4) - 1.0);
  std::string text = fixed_text(units / 1e4, 4);
  while (std::stod(text) < epsilon) text = fixed_text(++units / 1e4, 4);
  return text;
}

std::string delta_text(double delta) {
  if (delta == 0.0) return "0";
  std::string text = scientific(delta);
  if (std::stod(text) >= delta) return text;
  return scientific(delta + std::stod("1" + text.substr(text.find('e'))) * 1e-3);
}

std::string interval_text(double lower, double upper, PrivacyStatement::Computed computed) {
  const bool of_epsilon = computed == Computed::kEpsilon;
  return "[" + (of_epsilon ? epsilon_text_rounded_down(lower) : delta_text_rounded_down(lower)) +
         ", " + (of_epsilon ? epsilon_text(upper) : delta_text(upper)) + "]";
}

std::string velum_version() { return VELUM_VERSION; }

std::string describe_sampling(const Mechanism& mechanism, const std::string& unit) {
  const std::string every = "every " + unit;
  return std::visit(
      Overloaded{
          [&](const GaussianMechanism&) { return "none: every release may use " + every; },
          [&](const PoissonSampledGaussianMechanism& m) {
            return "Poisson: " + every + " takes part with probability " +
                   number_text(m.sampling_rate) + ", independently";
          },
          [&](const TruncatedPoissonSampledGaussianMechanism& m) {
            return "Poisson: " + every + " takes part with probability " +
                   number_text(m.sampling_rate) + ", independently; more than " +
                   number_text(m.largest_batch_size) + " of " + number_text(m.dataset_size) +
                   " are cut down to that many by uniform choice";
          },
          [&](const WithoutReplacementSampledGaussianMechanism& m) {
            return "without replacement: a part of " + number_text(m.sampling_rate) + " of the " +
                   unit + "s, all such parts equally likely, drawn anew each time";
          },
          [](const auto&) { return std::string(); },
      },
      mechanism);
}

PrivacyStatement make_privacy_statement(const Composition& composition,
                                        const PrivacyGuarantee& guarantee,
                                        const std::string& accountant,
                                        const StatementOptions& options) {
  constexpr char kFunction[] = "make_privacy_statement";
  if (options.group_size < 1) reject(kFunction, "group_size", options.group_size, ">= 1");
  if (options.unit.empty()) {
    throw std::invalid_argument(std::string(kFunction) + ": unit is empty, expected a name");
  }
  if (options.whole_units && (options.group_size > 1 || is_once_per_epoch(options.batches))) {
    throw std::invalid_argument(
        std::string(kFunction) +
        ": whole_units = true, expected false where group_size > 1 or batches are fixed or "
        "shuffled: these are about examples");
  }
  PrivacyStatement statement;
  statement.epsilon = guarantee.epsilon;
  statement.delta = guarantee.delta;
  statement.computed = options.computed;
  const bool attained =
      options.batches != BatchSampling::kShuffledBatches &&
      std::all_of(composition.phases().begin(), composition.phases().end(),
                  [](const Phase& phase) { return may_be_attained(phase.mechanism); });
  if (attained) statement.certified_lower = guarantee.lower;
  statement.unit = options.unit;
  statement.group_size = options.group_size;
  statement.neighbouring = composition.neighbouring();
  statement.accountant = accountant;
  statement.method = guarantee.method;
  statement.order = guarantee.order;
  statement.releases = stated_releases(composition, options);
  if (options.search) statement.search = describe(*options.search);
  statement.conditions = conditions_of(composition, options);
  if (options.size_is_public)
    statement.assumed_public.push_back("the number of " + sampled_unit(options) + "s");
  statement.assumed_public.emplace_back("what is listed under releases, with all its numbers");
  if (options.search) {
    statement.assumed_public.emplace_back("the distribution of the number of trials");
  }
  statement.not_covered = not_covered_by(options);
  statement.version = velum_version();
  return statement;
}

PrivacyStatement make_privacy_statement(const Accountant& accountant, double delta) {
  return make_privacy_statement(accountant.composition(), accountant.guarantee(delta),
                                accountant.name());
}

std::string PrivacyStatement::to_text(int columns) const {
  if (columns < 40) reject("PrivacyStatement::to_text", "columns", std::int64_t{columns}, ">= 40");
  std::string out = wrapped("", "", promise_text(*this), columns) + "\n";
  const auto entry = [&](const char* name, const std::string& text) {
    out += wrapped(std::string(name) + ": ", "  ", text, columns);
  };
  entry("Unit of privacy", unit_text(*this));
  entry("Neighbours", neighbours_text(*this));
  if (!search.empty()) entry("Search", "the best of a random number of trials, " + search + ".");
  out += search.empty() ? "Releases:" : "Releases of each trial:";
  out += releases.empty() ? " none.\n" : "\n";
  for (const StatedReleases& some : releases) {
    out += wrapped("  - ", "    ", releases_text(some), columns);
  }
  entry("Accountant", accountant_text(*this));
  if (!conditions.empty()) entry("Holds if", list_text(conditions));
  entry("Assumed public", list_text(assumed_public));
  entry("Not covered", list_text(not_covered));
  entry("Computed by", "velum " + version + ".");
  return out;
}

std::string PrivacyStatement::to_json() const {
  using nlohmann::ordered_json;
  const auto optional = [](const std::optional<double>& value) {
    return value && std::isfinite(*value) ? ordered_json(*value) : ordered_json(nullptr);
  };
  ordered_json list = ordered_json::array();
  for (const StatedReleases& some : releases) {
    list.push_back({{"count", some.count},
                    {"label", some.label},
                    {"mechanism", some.mechanism},
                    {"sampling", some.sampling}});
  }
  const ordered_json object = {
      {"epsilon", optional(epsilon)},
      {"delta", delta},
      {"computed", computed == Computed::kEpsilon ? "epsilon" : "delta"},
      {"certified_lower", optional(certified_lower)},
      {"unit", unit},
      {"group_size", group_size},
      {"neighbouring", to_string(neighbouring)},
      {"accountant", accountant},
      {"method", method},
      {"order", optional(order)},
      {"releases", std::move(list)},
      {"search", search.empty() ? ordered_json(nullptr) : ordered_json(search)},
      {"conditions", conditions},
      {"assumed_public", assumed_public},
      {"not_covered", not_covered},
      {"version", version},
      {"text", to_text()}};
  return object.dump(2, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace velum::dpsgd
