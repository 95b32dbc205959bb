#include "planning_options.h"

#include <charconv>
#include <cmath>
#include <string_view>

namespace velum::cli {
namespace {

using nlohmann::ordered_json;

constexpr char kPhase[] = "Q,S,T: sampling rate, noise multiplier, steps";
constexpr char kRateIsMissing[] = "--sampling-rate, or --dataset-size and --batch-size,";

template <typename T>
T parse(std::string_view text, const std::string& phase) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) reject("--phase", phase, kPhase);
  return value;
}

void check_rate(const char* argument, double rate) {
  if (!(rate >= 0.0 && rate <= 1.0)) reject(argument, number_text(rate), "in [0, 1]");
}

void check_noise(const char* argument, double noise_multiplier) {
  if (!(noise_multiplier >= 0.0 && std::isfinite(noise_multiplier))) {
    reject(argument, number_text(noise_multiplier), "finite and >= 0");
  }
}

void check_steps(const char* argument, std::int64_t steps) {
  if (steps < 0) reject(argument, std::to_string(steps), ">= 0");
}

void check_size(const char* argument, std::int64_t size) {
  if (size < 1 || size > (std::int64_t{1} << 53)) {
    reject(argument, std::to_string(size), ">= 1 and <= 2^53");
  }
}

void exclude(bool one, const char* name, bool other, const char* other_name) {
  if (one && other) {
    throw std::invalid_argument(std::string(name) + " and " + other_name + " do not go together");
  }
}

dpsgd::BatchSampling sampling_of(const std::string& name) {
  try {
    return dpsgd::batch_sampling_from_name(name);
  } catch (const std::invalid_argument&) {
    reject("--sampling", name,
           "poisson, truncated-poisson, without-replacement, fixed-batches or shuffled");
  }
}

dpsgd::Neighbouring neighbouring_of(const std::string& name, dpsgd::BatchSampling sampling) {
  return name.empty() ? usual_neighbouring(sampling) : cli::neighbouring_of(name);
}

}  // namespace

void check_delta(double delta) {
  if (!(delta > 0.0 && delta < 1.0)) reject("--delta", number_text(delta), "in (0, 1)");
}

void add_planning_options(CLI::App* command, PlanningOptions& options, const char* phase_help) {
  command->add_option("--sampling-rate", options.sampling_rate,
                      "batch size over data set size; of Poisson samples the probability of each "
                      "example to be in a step; in [0, 1]; left out: 1");
  command->add_option("--dataset-size", options.dataset_size,
                      "number of examples; with --batch-size instead of --sampling-rate");
  command->add_option("--batch-size", options.batch_size,
                      "expected (without-replacement: exact) number of examples of a step");
  command->add_option("--noise-multiplier", options.noise_multiplier,
                      "standard deviation of the noise over the sensitivity; >= 0");
  command->add_option("--steps", options.steps, "number of batches; >= 0");
  command->add_option("--epochs", options.epochs,
                      "instead of --steps: epochs / sampling rate batches, rounded up; >= 0");
  command->add_option("--phase", options.phases, phase_help)->type_name("Q,S,T");
  command
      ->add_option("--sampling", options.sampling,
                   "how batches come to be: poisson, truncated-poisson, without-replacement, "
                   "fixed-batches or shuffled")
      ->type_name("NAME")
      ->capture_default_str();
  command->add_option("--largest-batch", options.largest_batch,
                      "of truncated-poisson: larger batches are cut down to so many examples; "
                      "needs --dataset-size, that of the larger of two neighbours");
  command
      ->add_option("--neighbouring", options.neighbouring,
                   "add-or-remove-one or replace-one (noise relative to 2 C); left out: the one "
                   "that goes with --sampling")
      ->type_name("NAME");
  command->add_option("--accountant", options.accountant, "whose answer counts: pld or rdp")
      ->type_name("NAME")
      ->capture_default_str();
  command->add_flag("--json", options.json, "print one JSON object");
}

Planning::Planning(const PlanningOptions& options)
    : options_(options),
      sampling_(sampling_of(options.sampling)),
      neighbouring_(neighbouring_of(options.neighbouring, sampling_)) {
  using dpsgd::BatchSampling;
  if (options.accountant != "pld" && options.accountant != "rdp") {
    reject("--accountant", options.accountant, "pld or rdp");
  }
  const bool holds = once_per_epoch() || neighbouring_ == usual_neighbouring(sampling_) ||
                     (sampling_ == BatchSampling::kPoisson && !options.batch_size &&
                      options.phases.empty() && options.sampling_rate.value_or(1.0) == 1.0);
  if (!holds) {
    reject("--neighbouring", to_string(neighbouring_),
           to_string(usual_neighbouring(sampling_)) + " with --sampling " + options.sampling);
  }
  exclude(options.sampling_rate.has_value(), "--sampling-rate", options.batch_size.has_value(),
          "--batch-size");
  exclude(options.steps.has_value(), "--steps", options.epochs.has_value(), "--epochs");
  if (options.dataset_size) check_size("--dataset-size", *options.dataset_size);
  if (options.batch_size) {
    check_size("--batch-size", *options.batch_size);
    if (!options.dataset_size) throw std::invalid_argument("--dataset-size is missing");
    if (*options.batch_size > *options.dataset_size) {
      reject("--batch-size", std::to_string(*options.batch_size),
             "<= --dataset-size = " + std::to_string(*options.dataset_size));
    }
    rate_ = static_cast<double>(*options.batch_size) / static_cast<double>(*options.dataset_size);
  }
  if (options.sampling_rate) {
    check_rate("--sampling-rate", *options.sampling_rate);
    rate_ = options.sampling_rate;
  }
  if (options.noise_multiplier) check_noise("--noise-multiplier", *options.noise_multiplier);
  if (options.steps) check_steps("--steps", *options.steps);
  if (options.epochs && !(*options.epochs >= 0.0 && std::isfinite(*options.epochs))) {
    reject("--epochs", number_text(*options.epochs), "finite and >= 0");
  }
  if (sampling_ == BatchSampling::kTruncatedPoisson) {
    if (!options.largest_batch) throw std::invalid_argument("--largest-batch is missing");
    if (!options.dataset_size) throw std::invalid_argument("--dataset-size is missing");
    check_size("--largest-batch", *options.largest_batch);
  } else if (options.largest_batch) {
    throw std::invalid_argument("--largest-batch goes with --sampling truncated-poisson only");
  }
}

std::int64_t Planning::releases_of_steps(std::int64_t steps, double rate) const {
  if (!once_per_epoch()) return steps;
  if (rate == 0.0) {
    reject("--sampling-rate", "0", "in (0, 1] with --sampling " + options_.sampling);
  }
  return dpsgd::steps_of_an_example(steps, rate);
}

std::int64_t Planning::releases() const {
  if (options_.epochs) {
    if (once_per_epoch()) return dpsgd::steps_of_epochs(*options_.epochs, 1.0);
    if (!rate_) {
      throw std::invalid_argument(std::string(kRateIsMissing) +
                                  " is missing: --epochs are counted by it");
    }
    if (*rate_ == 0.0) reject("--sampling-rate", "0", "in (0, 1] with --epochs");
    return dpsgd::steps_of_epochs(*options_.epochs, *rate_);
  }
  if (!options_.steps) throw std::invalid_argument("--steps is missing, or --epochs");
  if (once_per_epoch() && !rate_) {
    throw std::invalid_argument(std::string(kRateIsMissing) + " is missing: with --sampling " +
                                options_.sampling + " it tells how often --steps meet an example");
  }
  return releases_of_steps(*options_.steps, rate_.value_or(1.0));
}

dpsgd::Mechanism Planning::mechanism(double rate, double noise_multiplier) const {
  return dpsgd::mechanism_of_batches({.sampling = sampling_,
                                      .sampling_rate = rate,
                                      .noise_multiplier = noise_multiplier,
                                      .dataset_size = options_.dataset_size.value_or(0),
                                      .largest_batch_size = options_.largest_batch.value_or(0)});
}

dpsgd::Mechanism Planning::mechanism(double noise_multiplier) const {
  return mechanism(rate_.value_or(1.0), noise_multiplier);
}

dpsgd::Composition Planning::phases() const {
  dpsgd::Composition composition(neighbouring_);
  for (const std::string& phase : options_.phases) {
    const std::size_t first = phase.find(',');
    const std::size_t second = phase.find(',', first == std::string::npos ? first : first + 1);
    if (second == std::string::npos) reject("--phase", phase, kPhase);
    const std::string_view text = phase;
    const double rate = parse<double>(text.substr(0, first), phase);
    const double noise = parse<double>(text.substr(first + 1, second - first - 1), phase);
    const auto steps = parse<std::int64_t>(text.substr(second + 1), phase);
    check_rate("--phase (Q)", rate);
    check_noise("--phase (S)", noise);
    check_steps("--phase (T)", steps);
    composition.append(mechanism(rate, noise), releases_of_steps(steps, rate));
  }
  return composition;
}

std::string Planning::text(std::int64_t releases) const {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (options_.batch_size) {
    add("sampling rate " + number_text(*rate_) + " (" + std::to_string(*options_.batch_size) +
        " of " + std::to_string(*options_.dataset_size) + ")");
  }
  if (once_per_epoch()) {
    add("each example in at most " + std::to_string(releases) + " batches (" +
        (options_.epochs ? number_text(*options_.epochs) + " epochs)"
                         : std::to_string(options_.steps.value_or(releases)) + " steps)"));
  } else if (options_.epochs) {
    add(std::to_string(releases) + " steps (" + number_text(*options_.epochs) + " epochs)");
  }
  return text;
}

ordered_json Planning::to_json(std::int64_t releases) const {
  ordered_json object = {{"sampling", to_string(sampling_)}};
  if (rate_ || !once_per_epoch()) object["sampling_rate"] = rate_.value_or(1.0);
  if (options_.dataset_size) object["dataset_size"] = *options_.dataset_size;
  if (options_.batch_size) object["batch_size"] = *options_.batch_size;
  if (options_.largest_batch) object["largest_batch"] = *options_.largest_batch;
  if (options_.epochs) object["epochs"] = *options_.epochs;
  if (!once_per_epoch()) {
    object["steps"] = releases;
  } else {
    if (options_.steps) object["steps"] = *options_.steps;
    object["steps_of_an_example"] = releases;
  }
  return object;
}

}  // namespace velum::cli
