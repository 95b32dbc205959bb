#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/privacy_statement.h"

namespace velum::dpsgd {

/// What a training run promises and on what assumptions. Holds nothing that depends on the data but
/// what was released with noise and the accuracy on test data; in particular no actual batch size.
struct TrainingReport {
  // The promise.
  PrivacyGuarantee guarantee;
  std::string accountant;   ///< `Accountant::name()`
  Composition composition;  ///< every release; its neighbouring relation is the report's
  /// True only if noise and sampling came from secret keys, which whoever made the engine and the
  /// sampler knows. While false, the report opens with NOT PRIVATE, whatever epsilon says.
  bool secure_randomness = false;

  std::string unit = "example";  ///< what is drawn and bounded, and so protected; or "user"
  std::optional<std::int64_t> unit_count;  ///< of another unit than an example; treated as public

  // The training mechanism.
  double noise_multiplier = 0.0;
  double clipping_norm = 0.0;
  std::string clipping;  ///< in words; empty: not told
  double sampling_rate = 0.0;
  std::int64_t steps = 0;
  std::int64_t dataset_size = 0;     ///< examples; treated as public where they are the unit
  double expected_batch_size = 0.0;  ///< of units: the divisor of every step
  std::vector<std::string> assumptions;

  // The run.
  std::string model;
  std::string dataset;
  std::optional<double> test_accuracy;  ///< percent
  std::optional<double> training_seconds;
  std::string backend;  ///< "cpu" or the device
  int threads = 0;
  std::map<std::string, std::string> versions;  ///< "velum" is filled in by `make_training_report`

  /// JSON object. Keys, among others: epsilon, delta, private, neighbouring, sampling, accountant,
  /// accounting_method, unit, noise_multiplier, clipping_norm, clipping, sampling_rate, steps,
  /// dataset_size, expected_batch_size, releases, assumptions, test_accuracy (percent), versions,
  /// statement (as `PrivacyStatement::to_json`, null where nothing is private). An infinite epsilon
  /// is null, and `private` is then false.
  std::string to_json() const;

  /// The same for people: about 60 lines of at most 80 columns, the statement among them where the
  /// run is private.
  std::string to_text() const;

  /// The promise as it can stand in a paper, for one unit and a public number of them. It takes
  /// secure randomness for granted, so nothing of it holds unless `is_private`.
  PrivacyStatement statement() const;

  /// True if the randomness was secure and epsilon is finite.
  bool is_private() const;
};

/// A report with the promise and the standard assumptions filled in from the accountant.
/// @param unit  "example", or what else is drawn and bounded as a whole, such as "user".
TrainingReport make_training_report(const Accountant& accountant, double delta,
                                    const std::string& unit = "example");

/// "every example independently with probability q at each step (Poisson)" and the like.
std::string describe_sampling(double sampling_rate, const std::string& unit = "example");

/// Assumptions under which the guarantee of velum's DP-SGD holds, one sentence each.
std::vector<std::string> standard_assumptions(Neighbouring neighbouring,
                                              const std::string& unit = "example");

}  // namespace velum::dpsgd
