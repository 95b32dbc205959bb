#include "calibrate_command.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "planning_options.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/calibration.h"
#include "velum/dpsgd/accounting/privacy_statement.h"

namespace velum::cli {
namespace {

using dpsgd::PrivacyGuarantee;
using nlohmann::ordered_json;

struct Arguments : PlanningOptions {
  std::optional<double> epsilon;
  std::optional<double> delta;
  std::string solve;
  double tolerance = 1e-4;
};

enum class Quantity { kNoise, kSamplingRate, kBatchSize, kSteps, kEpochs, kEpsilon, kDelta };

struct QuantityName {
  Quantity quantity;
  const char* name;    ///< of --solve
  const char* option;  ///< that gives it
};
constexpr QuantityName kQuantities[] = {
    {Quantity::kNoise, "noise", "--noise-multiplier"},
    {Quantity::kSamplingRate, "sampling-rate", "--sampling-rate"},
    {Quantity::kBatchSize, "batch-size", "--batch-size"},
    {Quantity::kSteps, "steps", "--steps"},
    {Quantity::kEpochs, "epochs", "--epochs"},
    {Quantity::kEpsilon, "epsilon", "--epsilon"},
    {Quantity::kDelta, "delta", "--delta"},
};

const QuantityName& name_of(Quantity quantity) {
  return *std::find_if(std::begin(kQuantities), std::end(kQuantities),
                       [&](const QuantityName& q) { return q.quantity == quantity; });
}

/// What a plan consists of, one quantity of it being open.
struct Given {
  bool noise;
  bool rate;
  bool count;
  bool epsilon;
  bool delta;

  explicit Given(const Arguments& a)
      : noise(a.noise_multiplier.has_value()),
        rate(a.sampling_rate || a.batch_size),
        count(a.steps || a.epochs),
        epsilon(a.epsilon.has_value()),
        delta(a.delta.has_value()) {}
};

std::vector<Quantity> open_quantities(const Given& given, const Planning& planning,
                                      const Arguments& arguments) {
  std::vector<Quantity> open;
  if (!given.noise) open.push_back(Quantity::kNoise);
  if (!given.count) {
    const bool epochs = planning.once_per_epoch() || arguments.batch_size;
    open.push_back(epochs ? Quantity::kEpochs : Quantity::kSteps);
  }
  if (!given.epsilon) open.push_back(Quantity::kEpsilon);
  if (!given.delta) open.push_back(Quantity::kDelta);
  return open;
}

/// Of --solve, or the one that is left out; a sampling rate counts only if nothing else is.
Quantity quantity_of(const Arguments& arguments, const Planning& planning) {
  const Given given(arguments);
  const std::vector<Quantity> open = open_quantities(given, planning, arguments);
  if (!arguments.solve.empty()) {
    for (const QuantityName& q : kQuantities) {
      if (arguments.solve == q.name) return q.quantity;
    }
    reject("--solve", arguments.solve,
           "noise, sampling-rate, batch-size, steps, epochs, epsilon or delta");
  }
  if (open.size() == 1) return open.front();
  if (open.empty() && !given.rate && !planning.once_per_epoch()) {
    return arguments.dataset_size ? Quantity::kBatchSize : Quantity::kSamplingRate;
  }
  if (open.empty()) {
    throw std::invalid_argument(
        "nothing is left to be found: leave out one of --noise-multiplier, --sampling-rate, "
        "--steps, --epsilon and --delta");
  }
  std::string missing;
  for (const Quantity quantity : open) {
    missing += (missing.empty() ? "" : ", ") + std::string(name_of(quantity).option);
  }
  throw std::invalid_argument(missing + " are missing: leave out only what is to be found");
}

/// That the quantity is open and nothing else is.
void check_given(Quantity quantity, const Arguments& arguments, const Planning& planning) {
  const Given given(arguments);
  const QuantityName& name = name_of(quantity);
  const bool of_rate = quantity == Quantity::kSamplingRate || quantity == Quantity::kBatchSize;
  const bool of_count = quantity == Quantity::kSteps || quantity == Quantity::kEpochs;
  const auto need = [&](bool there, const char* option) {
    if (!there) throw std::invalid_argument(std::string(option) + " is missing");
  };
  const auto refuse = [&](bool there, const char* option) {
    if (there) {
      throw std::invalid_argument(std::string(option) + " is given and --solve " + name.name +
                                  " asks for it: they do not go together");
    }
  };
  const auto one_of = [&](bool is_sought, bool there, const char* option) {
    is_sought ? refuse(there, option) : need(there, option);
  };
  one_of(quantity == Quantity::kNoise, given.noise, "--noise-multiplier");
  one_of(of_count, given.count, "--steps or --epochs");
  one_of(quantity == Quantity::kEpsilon, given.epsilon, "--epsilon");
  one_of(quantity == Quantity::kDelta, given.delta, "--delta");
  if (of_rate) {
    refuse(given.rate, "--sampling-rate or --batch-size");
    if (planning.sampling() != dpsgd::BatchSampling::kPoisson &&
        planning.sampling() != dpsgd::BatchSampling::kWithoutReplacement) {
      reject("--solve", name.name,
             "another quantity with --sampling " + to_string(planning.sampling()));
    }
    if (arguments.epochs) {
      throw std::invalid_argument(std::string("--epochs and --solve ") + name.name +
                                  " do not go together: give --steps, whose number does not "
                                  "depend on what is sought");
    }
    if (quantity == Quantity::kBatchSize) {
      need(arguments.dataset_size.has_value(), "--dataset-size");
    }
  } else if (arguments.dataset_size && !given.rate && !planning.once_per_epoch()) {
    throw std::invalid_argument("--batch-size is missing, or --sampling-rate");
  }
  if (quantity == Quantity::kSteps && planning.once_per_epoch()) {
    reject("--solve", "steps", "epochs with --sampling " + to_string(planning.sampling()));
  }
  if (quantity == Quantity::kEpochs && !planning.once_per_epoch() && !planning.rate()) {
    throw std::invalid_argument(
        "--sampling-rate, or --dataset-size and --batch-size, is missing: epochs are counted by "
        "it");
  }
}

/// The largest number of epochs of at most `steps` steps.
double epochs_of_steps(std::int64_t steps, double rate) {
  double epochs = static_cast<double>(steps) * rate;
  while (epochs > 0.0 && dpsgd::steps_of_epochs(epochs, rate) > steps) {
    epochs = std::nextafter(epochs, 0.0);
  }
  return epochs;
}

/// `digits` significant digits, not above `value` >= 0.
std::string rounded_down(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  if (value == 0.0 || std::stod(text) <= value) return text;
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - digits + 1.0);
  std::snprintf(text, sizeof text, "%.*g", digits, value - unit);
  return text;
}

/// Six decimals, not below `value` >= 0: less noise would spend more.
std::string rounded_up(double value) {
  char text[400];
  double units = std::ceil(value * 1e6) - 1.0;
  do {
    std::snprintf(text, sizeof text, "%.6f", units / 1e6);
    ++units;
  } while (std::stod(text) < value);
  return text;
}

struct Plan {
  double noise_multiplier = 0.0;
  std::optional<double> rate;
  std::optional<std::int64_t> batch_size;
  std::int64_t releases = 0;
  std::optional<double> epochs;
  dpsgd::Mechanism mechanism = dpsgd::GaussianMechanism{0.0};
  PrivacyGuarantee guarantee{};
};

Plan solved(Quantity quantity, const Arguments& arguments, const Planning& planning,
            const dpsgd::Accountant& spent) {
  const double epsilon = arguments.epsilon.value_or(0.0);
  const double delta = arguments.delta.value_or(0.0);
  Plan plan;
  plan.noise_multiplier = arguments.noise_multiplier.value_or(0.0);
  plan.rate = planning.rate();
  plan.batch_size = arguments.batch_size;
  plan.epochs = arguments.epochs;
  if (quantity != Quantity::kSteps && quantity != Quantity::kEpochs) {
    plan.releases = planning.releases();
  }
  const auto with_rate = [&](double rate) {
    return dpsgd::mechanism_of_batches({.sampling = planning.sampling(),
                                        .sampling_rate = rate,
                                        .noise_multiplier = plan.noise_multiplier});
  };
  switch (quantity) {
    case Quantity::kNoise: {
      const dpsgd::CalibratedNoise found = calibrate_noise(
          spent, [&](double noise) { return planning.mechanism(noise); }, plan.releases, epsilon,
          delta, arguments.tolerance);
      plan.noise_multiplier = found.value;
      plan.mechanism = planning.mechanism(found.value);
      plan.guarantee = found.guarantee;
      break;
    }
    case Quantity::kSamplingRate: {
      const dpsgd::CalibratedRate found = calibrate_sampling_rate(
          spent, plan.noise_multiplier, plan.releases, epsilon, delta, arguments.tolerance);
      plan.rate = found.value;
      plan.mechanism = with_rate(found.value);
      plan.guarantee = found.guarantee;
      break;
    }
    case Quantity::kBatchSize: {
      const dpsgd::CalibratedCount found = calibrate_batch_size(
          spent, *arguments.dataset_size, plan.noise_multiplier, plan.releases, epsilon, delta);
      plan.batch_size = found.value;
      plan.rate = static_cast<double>(found.value) / static_cast<double>(*arguments.dataset_size);
      plan.mechanism = with_rate(*plan.rate);
      plan.guarantee = found.guarantee;
      break;
    }
    case Quantity::kSteps:
    case Quantity::kEpochs: {
      plan.mechanism = planning.mechanism(plan.noise_multiplier);
      const dpsgd::CalibratedCount found = calibrate_steps(spent, plan.mechanism, epsilon, delta);
      plan.releases = found.value;
      plan.guarantee = found.guarantee;
      if (planning.once_per_epoch()) {
        plan.epochs = static_cast<double>(found.value);
      } else if (plan.rate && *plan.rate > 0.0) {
        plan.epochs = epochs_of_steps(found.value, *plan.rate);
      }
      break;
    }
    case Quantity::kEpsilon:
    case Quantity::kDelta: {
      plan.mechanism = planning.mechanism(plan.noise_multiplier);
      const auto planned = spent.clone();
      planned->compose(plan.mechanism, plan.releases);
      plan.guarantee = quantity == Quantity::kEpsilon ? planned->guarantee(delta)
                                                      : planned->guarantee_at_epsilon(epsilon);
      break;
    }
  }
  return plan;
}

/// "noise multiplier 1.9", rounded to the private side; empty if the guarantee is the answer.
std::string answer_text(Quantity quantity, const Arguments& arguments, const Plan& plan) {
  const std::string steps = std::to_string(plan.releases);
  switch (quantity) {
    case Quantity::kNoise:
      return "noise multiplier " + rounded_up(plan.noise_multiplier);
    case Quantity::kSamplingRate:
      return "sampling rate " + rounded_down(*plan.rate, 6);
    case Quantity::kBatchSize:
      return "batch size " + std::to_string(*plan.batch_size) + " of " +
             std::to_string(*arguments.dataset_size);
    case Quantity::kSteps:
      return "steps " + steps;
    case Quantity::kEpochs:
      return "epochs " + rounded_down(*plan.epochs, 6);
    case Quantity::kEpsilon:
    case Quantity::kDelta:
      break;  // the guarantee is the answer
  }
  return "";
}

int calibrate(const Arguments& arguments) {
  const Planning planning(arguments);
  if (arguments.delta) check_delta(*arguments.delta);
  if (arguments.epsilon && !(*arguments.epsilon > 0.0 && std::isfinite(*arguments.epsilon))) {
    reject("--epsilon", number_text(*arguments.epsilon), "finite and > 0");
  }
  if (!(arguments.tolerance > 0.0 && arguments.tolerance < 1.0)) {
    reject("--tolerance", number_text(arguments.tolerance), "in (0, 1)");
  }
  const Quantity quantity = quantity_of(arguments, planning);
  check_given(quantity, arguments, planning);
  const auto spent = dpsgd::make_accountant(arguments.accountant, planning.neighbouring());
  spent->compose(planning.phases());
  if (arguments.epsilon && arguments.delta) {
    const double already = spent->epsilon(*arguments.delta);
    if (already > *arguments.epsilon) {
      reject("--epsilon", number_text(*arguments.epsilon),
             ">= " + dpsgd::epsilon_text(already) + ", which --phase costs alone");
    }
  }
  const Plan plan = solved(quantity, arguments, planning, *spent);

  dpsgd::Composition composition = spent->composition();
  composition.append(plan.mechanism, plan.releases);
  const bool at_delta = quantity != Quantity::kDelta;
  const dpsgd::PrivacyStatement statement =
      make_privacy_statement(composition, plan.guarantee, arguments.accountant,
                             {.batches = planning.sampling(),
                              .computed = at_delta ? dpsgd::PrivacyStatement::Computed::kEpsilon
                                                   : dpsgd::PrivacyStatement::Computed::kDelta});
  if (arguments.json) {
    ordered_json object = planning.to_json(plan.releases);
    object["solved"] = name_of(quantity).name;
    object["noise_multiplier"] = plan.noise_multiplier;
    if (plan.rate) object["sampling_rate"] = *plan.rate;
    if (plan.batch_size) object["batch_size"] = *plan.batch_size;
    if (plan.epochs) object["epochs"] = *plan.epochs;
    object["epsilon"] = finite_or_null(plan.guarantee.epsilon);
    object["delta"] = plan.guarantee.delta;
    object["accountant"] = arguments.accountant;
    object["neighbouring"] = to_string(planning.neighbouring());
    object["guarantee"] = {
        {"epsilon", finite_or_null(plan.guarantee.epsilon)},
        {"delta", plan.guarantee.delta},
        {"lower", plan.guarantee.lower ? finite_or_null(*plan.guarantee.lower) : nullptr},
        {"method", plan.guarantee.method}};
    object["composition"] = ordered_json::parse(composition.to_json());
    object["statement"] = ordered_json::parse(statement.to_json());
    std::printf("%s\n", object.dump(2).c_str());
    return 0;
  }
  const std::string epsilon = "epsilon " + (at_delta ? dpsgd::epsilon_text(plan.guarantee.epsilon)
                                                     : number_text(plan.guarantee.epsilon));
  const std::string delta = "delta " + (at_delta ? number_text(plan.guarantee.delta)
                                                 : dpsgd::delta_text(plan.guarantee.delta));
  const std::string answer = answer_text(quantity, arguments, plan);
  const std::string guarantee = at_delta ? epsilon + " at " + delta : delta + " at " + epsilon;
  std::printf("%s%s after %lld %s (%s)\n\n%s", answer.empty() ? "" : (answer + ": ").c_str(),
              guarantee.c_str(), static_cast<long long>(plan.releases),
              planning.once_per_epoch() ? "epochs" : "steps", arguments.accountant.c_str(),
              statement.to_text().c_str());
  return 0;
}

}  // namespace

void add_calibrate_command(CLI::App& program, int* exit_code) {
  auto shared = std::make_shared<Arguments>();
  Arguments& arguments = *shared;
  CLI::App* command = program.add_subcommand(
      "calibrate", "Find the one quantity of a plan that is left out, within a budget.");
  command->footer(
      "Examples:\n"
      "  velum calibrate --sampling-rate 0.01 --steps 10000 --epsilon 3 --delta 1e-5\n"
      "  velum calibrate --dataset-size 60000 --batch-size 2048 --noise-multiplier 1.81 \\\n"
      "                  --epsilon 3 --delta 1e-5 --solve epochs\n"
      "Finds the least noise, epsilon or delta, or the largest sampling rate, batch size, number "
      "of\n"
      "steps or of epochs. What is found is rounded to the private side and was evaluated; noise "
      "and\n"
      "sampling rate are within --tolerance (relative) of the best. 0 means that not even the\n"
      "smallest one is affordable. Epsilon is a natural logarithm. Exit status: 0 done; 1 failed;\n"
      "2 bad usage.");
  add_planning_options(command, arguments,
                       "spent before: sampling rate, noise multiplier, steps; may be repeated");
  command->add_option("--epsilon", arguments.epsilon, "of the budget; > 0");
  command->add_option("--delta", arguments.delta, "of the budget; in (0, 1)");
  command
      ->add_option("--solve", arguments.solve,
                   "noise, sampling-rate, batch-size, steps, epochs, epsilon or delta; left out: "
                   "the one that is not given")
      ->type_name("NAME");
  command->add_option("--tolerance", arguments.tolerance, "relative, in (0, 1)")
      ->capture_default_str();
  command->callback([shared, exit_code] { *exit_code = calibrate(*shared); });
}

}  // namespace velum::cli
