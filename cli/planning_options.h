#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "arguments.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/batch_sampling.h"
#include "velum/dpsgd/accounting/privacy_statement.h"

// What `velum account` and `velum calibrate` share: the numbers of a training loop, as given.

namespace velum::cli {

struct PlanningOptions {
  std::optional<double> sampling_rate;
  std::optional<std::int64_t> dataset_size;
  std::optional<std::int64_t> batch_size;
  std::optional<std::int64_t> largest_batch;
  std::optional<double> noise_multiplier;
  std::optional<std::int64_t> steps;
  std::optional<double> epochs;
  std::vector<std::string> phases;
  std::string sampling = to_string(dpsgd::BatchSampling::kPoisson);
  std::string neighbouring;
  std::string accountant = "pld";
  bool json = false;
};

void check_delta(double delta);

/// Adds every option of the loop; `phase_help` says what a phase is to the command.
void add_planning_options(CLI::App* command, PlanningOptions& options, const char* phase_help);

/// The checked options of a loop.
class Planning {
 public:
  /// @throws std::invalid_argument if an option is out of range, or two do not go together.
  explicit Planning(const PlanningOptions& options);

  dpsgd::BatchSampling sampling() const { return sampling_; }
  dpsgd::Neighbouring neighbouring() const { return neighbouring_; }
  bool once_per_epoch() const { return is_once_per_epoch(sampling_); }
  /// Of --sampling-rate, or of --batch-size and --dataset-size.
  std::optional<double> rate() const { return rate_; }

  /// Of --steps or --epochs: releases that `mechanism` stands for. Without a rate, 1 is meant.
  /// @throws std::invalid_argument if neither is there, or the rate that is needed.
  std::int64_t releases() const;

  /// Without a rate, 1 is meant.
  dpsgd::Mechanism mechanism(double noise_multiplier) const;

  /// The phases of --phase, in order.
  dpsgd::Composition phases() const;

  /// What --sampling-rate, --steps and so on come to, in words and as JSON, with `releases` that
  /// are accounted for.
  std::string text(std::int64_t releases) const;
  nlohmann::ordered_json to_json(std::int64_t releases) const;

 private:
  dpsgd::Mechanism mechanism(double rate, double noise_multiplier) const;
  std::int64_t releases_of_steps(std::int64_t steps, double rate) const;

  PlanningOptions options_;
  dpsgd::BatchSampling sampling_;
  dpsgd::Neighbouring neighbouring_;
  std::optional<double> rate_;
};

}  // namespace velum::cli
