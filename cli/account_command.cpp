#include "account_command.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "planning_options.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/epsilon_schedule.h"
#include "velum/dpsgd/accounting/group_privacy.h"
#include "velum/dpsgd/accounting/hyperparameter_search.h"
#include "velum/dpsgd/accounting/pld_accountant.h"
#include "velum/dpsgd/accounting/privacy_statement.h"

namespace velum::cli {
namespace {

using dpsgd::Composition;
using dpsgd::PrivacyGuarantee;
using nlohmann::ordered_json;

constexpr std::int64_t kMostPoints = 10'000;

struct Arguments : PlanningOptions {
  std::optional<double> epsilon;
  std::optional<double> delta;
  double width = dpsgd::PldOptions{}.relative_width;
  std::optional<std::int64_t> every;
  std::optional<std::int64_t> group_size;
  std::string unit = "example";
  std::optional<double> search_trials;
  std::string search_distribution = "geometric";
  std::optional<double> search_shape;
};

void check(const Arguments& arguments) {
  if (arguments.epsilon.has_value() == arguments.delta.has_value()) {
    throw std::invalid_argument("give one of --delta and --epsilon; the other one is computed");
  }
  if (arguments.delta) check_delta(*arguments.delta);
  if (arguments.epsilon && !(*arguments.epsilon >= 0.0 && std::isfinite(*arguments.epsilon))) {
    reject("--epsilon", number_text(*arguments.epsilon), "finite and >= 0");
  }
  if (!(arguments.width > 0.0 && arguments.width < 1.0)) {
    reject("--relative-width", number_text(arguments.width), "in (0, 1)");
  }
  if (arguments.group_size &&
      (*arguments.group_size < 1 || *arguments.group_size > (std::int64_t{1} << 53))) {
    reject("--group-size", std::to_string(*arguments.group_size), ">= 1 and <= 2^53");
  }
  if (arguments.unit.empty()) reject("--unit", "\"\"", "a name");
  if (arguments.every && *arguments.every < 1) {
    reject("--every", std::to_string(*arguments.every), ">= 1");
  }
  if (arguments.epsilon && (arguments.every || arguments.group_size || arguments.search_trials)) {
    throw std::invalid_argument(
        "--every, --group-size and --search-trials go with --delta: they compute epsilon");
  }
  if (arguments.group_size && arguments.search_trials) {
    throw std::invalid_argument("--group-size and --search-trials do not go together");
  }
}

std::optional<dpsgd::RandomTrials> trials_of(const Arguments& arguments) {
  const std::string& name = arguments.search_distribution;
  const bool shaped = name == "negative-binomial";
  if (name != "geometric" && name != "logarithmic" && name != "poisson" && !shaped) {
    reject("--search-distribution", name, "geometric, logarithmic, negative-binomial or poisson");
  }
  if (shaped != arguments.search_shape.has_value()) {
    throw std::invalid_argument(
        "--search-shape goes with --search-distribution negative-binomial, and that with it");
  }
  if (!arguments.search_trials) {
    if (name != "geometric") throw std::invalid_argument("--search-trials is missing");
    return std::nullopt;
  }
  const double mean = *arguments.search_trials;
  if (name == "poisson") {
    if (!(mean > 0.0 && std::isfinite(mean))) {
      reject("--search-trials", number_text(mean), "finite and > 0");
    }
    return dpsgd::PoissonTrials{mean};
  }
  if (!(mean >= 1.0 && mean <= 1e6)) {
    reject("--search-trials", number_text(mean), ">= 1 and <= 1e6");
  }
  const double shape = shaped ? *arguments.search_shape : name == "geometric" ? 1.0 : 0.0;
  if (!(shape > -1.0 && std::isfinite(shape))) {
    reject("--search-shape", number_text(shape), "finite and > -1");
  }
  return dpsgd::negative_binomial_trials(shape, mean);
}

/// The loop of --noise-multiplier and so on, if there is one.
struct Loop {
  std::int64_t releases;
  std::string text;
  ordered_json json;
};

std::optional<Loop> append_loop(const Arguments& arguments, const Planning& planning,
                                Composition& composition) {
  if (!arguments.noise_multiplier && !arguments.sampling_rate && !arguments.batch_size &&
      !arguments.steps && !arguments.epochs) {
    return std::nullopt;
  }
  if (!arguments.noise_multiplier) throw std::invalid_argument("--noise-multiplier is missing");
  if (arguments.dataset_size && !planning.rate()) {
    throw std::invalid_argument("--batch-size is missing, or --sampling-rate");
  }
  const std::int64_t releases = planning.releases();
  composition.append(planning.mechanism(*arguments.noise_multiplier), releases);
  ordered_json json = planning.to_json(releases);
  json["noise_multiplier"] = *arguments.noise_multiplier;
  return Loop{releases, planning.text(releases), std::move(json)};
}

struct Curve {
  std::vector<dpsgd::EpsilonPoint> renyi;
  std::vector<dpsgd::EpsilonPoint> tight;
};

Curve curve_of(const Arguments& arguments, const Composition& composition) {
  const std::int64_t every = *arguments.every;
  const std::int64_t total = composition.total_count();
  const std::int64_t points = total / every + (total % every != 0 ? 1 : 0);
  if (points > kMostPoints) {
    const std::int64_t least = total / kMostPoints + (total % kMostPoints != 0 ? 1 : 0);
    reject("--every", std::to_string(every),
           ">= " + std::to_string(least) + ": at most " + std::to_string(kMostPoints) + " points");
  }
  dpsgd::PldOptions options;
  options.relative_width = arguments.width;
  options.accept_wider = true;
  const dpsgd::Neighbouring neighbouring = composition.neighbouring();
  return {
      epsilon_schedule(dpsgd::RdpAccountant(neighbouring), composition, every, *arguments.delta),
      epsilon_schedule(dpsgd::PldAccountant(neighbouring, options), composition, every,
                       *arguments.delta)};
}

std::string curve_text(const Curve& curve, const char* unit) {
  std::ostringstream out;
  char line[128];
  std::snprintf(line, sizeof line, "%16s  %14s  %14s\n", unit, "epsilon (pld)", "epsilon (rdp)");
  out << line;
  for (std::size_t i = 0; i < curve.tight.size(); ++i) {
    std::snprintf(line, sizeof line, "%16lld  %14s  %14s\n",
                  static_cast<long long>(curve.tight[i].steps),
                  dpsgd::epsilon_text(curve.tight[i].epsilon).c_str(),
                  dpsgd::epsilon_text(curve.renyi[i].epsilon).c_str());
    out << line;
  }
  return out.str();
}

ordered_json curve_json(const Curve& curve, const char* unit) {
  ordered_json points = ordered_json::array();
  for (std::size_t i = 0; i < curve.tight.size(); ++i) {
    points.push_back({{unit, curve.tight[i].steps},
                      {"rdp", finite_or_null(curve.renyi[i].epsilon)},
                      {"pld_lower", finite_or_null(curve.tight[i].lower.value_or(0.0))},
                      {"pld_upper", finite_or_null(curve.tight[i].epsilon)}});
  }
  return points;
}

PrivacyGuarantee group_guarantee_of(const Arguments& arguments, const Composition& composition) {
  const auto empty = dpsgd::make_accountant(arguments.accountant, composition.neighbouring());
  return group_guarantee(*empty, composition, *arguments.group_size, *arguments.delta);
}

int account(const Arguments& arguments) {
  check(arguments);
  const Planning planning(arguments);
  const std::optional<dpsgd::RandomTrials> trials = trials_of(arguments);
  Composition composition(planning.neighbouring());
  const std::optional<Loop> loop = append_loop(arguments, planning, composition);
  const Composition phases = planning.phases();
  for (const dpsgd::Phase& phase : phases.phases()) {
    composition.append(phase.mechanism, phase.count);
  }
  if (!loop && arguments.phases.empty()) {
    throw std::invalid_argument(
        "nothing to account for: give --sampling-rate, --noise-multiplier and --steps, or --phase");
  }

  dpsgd::PldOptions options;
  options.relative_width = arguments.width;
  // What is added for batches that were cut is a bound, which no lattice narrows.
  options.accept_wider = planning.sampling() == dpsgd::BatchSampling::kTruncatedPoisson;
  dpsgd::RdpAccountant renyi(composition.neighbouring());
  dpsgd::PldAccountant tight(composition.neighbouring(), options);
  renyi.compose(composition);
  tight.compose(composition);
  const bool at_delta = arguments.delta.has_value();
  const auto ask = [&](const dpsgd::Accountant& accountant) {
    return at_delta ? accountant.guarantee(*arguments.delta)
                    : accountant.guarantee_at_epsilon(*arguments.epsilon);
  };
  const PrivacyGuarantee loose = ask(renyi);
  const PrivacyGuarantee certified = ask(tight);
  const auto value = [&](const PrivacyGuarantee& g) { return at_delta ? g.epsilon : g.delta; };
  const double lower = certified.lower.value_or(0.0);

  std::optional<Curve> curve;
  if (arguments.every) curve = curve_of(arguments, composition);
  std::optional<PrivacyGuarantee> group;
  if (arguments.group_size) group = group_guarantee_of(arguments, composition);
  std::optional<PrivacyGuarantee> search;
  if (trials) search = search_guarantee(renyi, *trials, *arguments.delta);

  const PrivacyGuarantee& stated = group                           ? *group
                                   : search                        ? *search
                                   : arguments.accountant == "pld" ? certified
                                                                   : loose;
  const dpsgd::PrivacyStatement statement =
      make_privacy_statement(composition, stated, search ? "rdp" : arguments.accountant,
                             {.unit = arguments.unit,
                              .group_size = arguments.group_size.value_or(1),
                              .batches = planning.sampling(),
                              .search = trials,
                              .computed = at_delta ? dpsgd::PrivacyStatement::Computed::kEpsilon
                                                   : dpsgd::PrivacyStatement::Computed::kDelta});
  // A step of fixed or shuffled batches has no cost of its own: what is counted are epochs.
  const char* const unit = planning.once_per_epoch() ? "epochs" : "steps";

  if (arguments.json) {
    const ordered_json answer = {{"rdp", finite_or_null(value(loose))},
                                 {"pld_lower", finite_or_null(lower)},
                                 {"pld_upper", finite_or_null(value(certified))}};
    ordered_json object = {{"neighbouring", to_string(composition.neighbouring())},
                           {"epsilon", at_delta ? answer : ordered_json(*arguments.epsilon)},
                           {"delta", at_delta ? ordered_json(*arguments.delta) : answer},
                           {"rdp_method", loose.method},
                           {"rdp_order", loose.order ? ordered_json(*loose.order) : nullptr},
                           {"pld_method", certified.method},
                           {"composition", ordered_json::parse(composition.to_json())}};
    if (loop) object["plan"] = loop->json;
    if (curve) object["curve"] = curve_json(*curve, unit);
    if (group) {
      object["group"] = {{"size", *arguments.group_size},
                         {"unit", arguments.unit},
                         {"epsilon", finite_or_null(group->epsilon)},
                         {"delta", group->delta},
                         {"accountant", arguments.accountant},
                         {"method", group->method}};
    }
    if (search) {
      const auto* binomial = std::get_if<dpsgd::NegativeBinomialTrials>(&*trials);
      object["search"] = {{"distribution", arguments.search_distribution},
                          {"mean_trials", expected_trials(*trials)},
                          {"shape", binomial ? ordered_json(binomial->shape) : nullptr},
                          {"gamma", binomial ? ordered_json(binomial->gamma) : nullptr},
                          {"epsilon", finite_or_null(search->epsilon)},
                          {"delta", search->delta},
                          {"accountant", "rdp"},
                          {"method", search->method}};
    }
    object["statement"] = ordered_json::parse(statement.to_json());
    std::printf("%s\n", object.dump(2).c_str());
    return 0;
  }

  std::string out;
  if (loop && !loop->text.empty()) out += loop->text + "\n";
  for (const dpsgd::Phase& phase : composition.phases()) {
    out += "  " + std::to_string(phase.count) + " x " + describe(phase.mechanism) + "\n";
  }
  const auto text = [&](double v) {
    return at_delta ? dpsgd::epsilon_text(v) : dpsgd::delta_text(v);
  };
  const auto line = [&](const char* name, double v, const std::string& comment) {
    char padded[32];
    std::snprintf(padded, sizeof padded, "  %-12s ", name);
    out += padded + text(v) + "  (" + comment + ")\n";
  };
  const std::string interval =
      "certified: " + interval_text(lower, value(certified), statement.computed);
  out += "\n" + std::string(at_delta ? "epsilon at delta = " : "delta at epsilon = ") +
         number_text(at_delta ? *arguments.delta : *arguments.epsilon) + "\n";
  line("pld", value(certified), interval);
  line("rdp", value(loose), loose.method);
  if (group) {
    line("group", group->epsilon,
         std::to_string(*arguments.group_size) + " examples, " + group->method);
  }
  if (search) line("search", search->epsilon, "the best of " + describe(*trials));
  out += "\n";
  if (curve) out += curve_text(*curve, unit) + "\n";
  std::fputs((out + statement.to_text()).c_str(), stdout);
  return 0;
}

}  // namespace

void add_account_command(CLI::App& program, int* exit_code) {
  auto shared = std::make_shared<Arguments>();
  Arguments& arguments = *shared;
  CLI::App* command =
      program.add_subcommand("account", "Say what planned releases cost, by every accountant.");
  command->footer(
      "Examples:\n"
      "  velum account --sampling-rate 0.01 --noise-multiplier 1 --steps 10000 --delta 1e-5\n"
      "  velum account --dataset-size 60000 --batch-size 256 --epochs 60 --noise-multiplier 1.1 "
      "\\\n"
      "                --delta 1e-5 --every 1000\n"
      "Epsilon is a natural logarithm; the pld line is a proved interval, whose upper end counts.\n"
      "The statement at the end is for a paper; with --group-size or --search-trials it is about\n"
      "the group or the search.\n"
      "Batches of a data set that is cut up, shuffled or not, are no Poisson samples. With\n"
      "--sampling fixed-batches or shuffled an epoch costs one release without sampling. That "
      "holds\n"
      "between data sets that leave every other example in its batch: one example is replaced\n"
      "(--neighbouring replace-one, noise relative to 2 C), or its place stays empty\n"
      "(add-or-remove-one). It does not hold where others move up when one is removed. What a\n"
      "random order might gain is not counted.\n"
      "With --json an infinite value is null. Exit status: 0 done; 1 failed, such as an interval\n"
      "that cannot be made narrow enough; 2 bad usage.");
  add_planning_options(command, arguments,
                       "a further phase: sampling rate, noise multiplier, steps; may be repeated");
  command->add_option("--delta", arguments.delta, "in (0, 1): epsilon is computed");
  command->add_option("--epsilon", arguments.epsilon, ">= 0: delta is computed");
  command->add_option("--every", arguments.every,
                      "also a table of epsilon over steps (epochs of fixed-batches and shuffled), "
                      "after every so many; >= 1");
  command->add_option("--group-size", arguments.group_size,
                      "also epsilon of so many examples together; >= 1");
  command->add_option("--unit", arguments.unit, "what the statement protects: example, user, ...")
      ->type_name("NAME")
      ->capture_default_str();
  command->add_option("--search-trials", arguments.search_trials,
                      "also epsilon of releasing the best of a random number of such runs: their "
                      "mean number; >= 1");
  command
      ->add_option("--search-distribution", arguments.search_distribution,
                   "of that number: geometric, logarithmic, negative-binomial or poisson")
      ->type_name("NAME")
      ->capture_default_str();
  command->add_option("--search-shape", arguments.search_shape, "of negative-binomial; > -1");
  command->add_option("--relative-width", arguments.width, "of the certified interval, in (0, 1)")
      ->capture_default_str();
  command->callback([shared, exit_code] { *exit_code = account(*shared); });
}

}  // namespace velum::cli
