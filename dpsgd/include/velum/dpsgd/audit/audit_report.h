#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "velum/dpsgd/audit/canary_audit.h"
#include "velum/dpsgd/audit/engine_conformance.h"
#include "velum/dpsgd/audit/neighbour_replay.h"

namespace velum::dpsgd {

/// What audits of one engine and one model found. It holds private values (distances of sums, batch
/// sizes, indices of examples, guesses): a report on data that are secret is itself secret.
struct AuditReport {
  /// What was audited, in the order of the report: name, text.
  std::vector<std::pair<std::string, std::string>> subject;
  std::optional<ReplayResult> replay;
  std::optional<ConformanceResult> conformance;
  std::optional<CanaryAuditResult> canaries;

  /// Nothing was refuted by what was done.
  bool holds() const;

  /// JSON object: `holds`, `subject`, and of what was done `replay` (with every comparison),
  /// `conformance` (every check) and `canaries`. An infinite or undefined number is null.
  std::string to_json() const;

  /// The same as Markdown, for people: of the replay one line for each step and change.
  std::string to_markdown() const;
};

}  // namespace velum::dpsgd
