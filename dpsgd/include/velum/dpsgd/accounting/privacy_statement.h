#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/batch_sampling.h"
#include "velum/dpsgd/accounting/hyperparameter_search.h"

namespace velum::dpsgd {

/// Some releases of a statement, in words.
struct StatedReleases {
  std::int64_t count = 0;
  std::string label;      ///< what was released; may be empty
  std::string mechanism;  ///< as `describe` gives it
  std::string sampling;   ///< how examples come to a release; empty where nothing is to be said

  friend bool operator==(const StatedReleases&, const StatedReleases&) = default;
};

/// What is promised, about whom, and on what condition: complete enough to stand in a paper alone.
/// A value; whatever is changed in it changes its text.
struct PrivacyStatement {
  enum class Computed { kEpsilon, kDelta };  ///< the other one was given

  double epsilon = 0.0;  ///< natural log; infinite if nothing is promised
  double delta = 0.0;
  Computed computed = Computed::kEpsilon;
  /// Proved lower bound of the computed one for the releases below; none if there is none, as where
  /// a release may cost less than it is accounted for: shuffled batches, samples without
  /// replacement, releases of which only a bound is known.
  std::optional<double> certified_lower;

  std::string unit = "example";  ///< what is protected: "example", "person", ...
  std::int64_t group_size = 1;   ///< how many examples of a unit are protected together
  Neighbouring neighbouring = Neighbouring::kAddOrRemoveOne;

  std::string accountant;       ///< `Accountant::name()`
  std::string method;           ///< `PrivacyGuarantee::method`
  std::optional<double> order;  ///< Renyi order, where the method has one

  std::vector<StatedReleases> releases;
  /// The distribution of the number of trials whose best one is released, each trial making all of
  /// `releases`; empty if `releases` are all there is.
  std::string search;

  std::vector<std::string> conditions;  ///< without which it does not hold
  std::vector<std::string> assumed_public;
  std::vector<std::string> not_covered;
  std::string version;  ///< of velum

  /// Lines of at most `columns` >= 40 columns (longer where one word is), the promise first. A
  /// computed epsilon is rounded up to four decimals, a computed delta to four digits, lower bounds
  /// down; a given one is printed as it is.
  std::string to_text(int columns = 80) const;

  /// JSON object; its keys are the names above, and `text`. An infinite epsilon is null.
  std::string to_json() const;

  friend bool operator==(const PrivacyStatement&, const PrivacyStatement&) = default;
};

/// What a composition does not tell.
struct StatementOptions {
  std::string unit = "example";
  /// Of a guarantee that is about so many examples of a unit together (group_privacy.h).
  std::int64_t group_size = 1;
  /// The releases draw and bound whole units, each with all its examples, as user-level training
  /// does: sampling rates are those of a unit, and the number of units is what is public.
  bool whole_units = false;
  /// Fixed and shuffled batches: the unsampled Gaussian releases stand for such batches
  /// (`mechanism_of_batches`). Any other value says nothing: the mechanisms themselves do.
  BatchSampling batches = BatchSampling::kPoisson;
  /// Of a guarantee that is about a search of settings (`search_guarantee`).
  std::optional<RandomTrials> search = std::nullopt;
  /// The number of examples is treated as public.
  bool size_is_public = true;
  PrivacyStatement::Computed computed = PrivacyStatement::Computed::kEpsilon;
};

/// The statement of a guarantee that `accountant` (its name) gave for `composition`.
/// @throws std::invalid_argument if group_size < 1, the unit is empty, or whole_units goes with
///         group_size > 1 or with fixed or shuffled batches.
PrivacyStatement make_privacy_statement(const Composition& composition,
                                        const PrivacyGuarantee& guarantee,
                                        const std::string& accountant,
                                        const StatementOptions& options = {});

/// The statement of `accountant.guarantee(delta)`.
PrivacyStatement make_privacy_statement(const Accountant& accountant, double delta);

/// How examples come to a release of the mechanism: "Poisson: every example takes part with
/// probability 0.01, independently", and so on, with `unit` for "example". Empty for mechanisms
/// other than Gaussians.
std::string describe_sampling(const Mechanism& mechanism, const std::string& unit = "example");

/// Epsilon for people: four decimals, rounded up, from 1e6 on all digits; "infinite" where nothing
/// is promised.
std::string epsilon_text(double epsilon);

/// Delta for people: four digits, rounded up.
std::string delta_text(double delta);

/// "[3.1399, 3.1416]": the interval of a certified epsilon or delta, rounded outwards to as many
/// digits as above.
std::string interval_text(double lower, double upper, PrivacyStatement::Computed computed);

/// Version of velum, such as "0.1.0".
std::string velum_version();

}  // namespace velum::dpsgd
