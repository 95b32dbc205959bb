#include "velum/dpsgd/audit/audit_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

namespace velum::dpsgd {
namespace {

using nlohmann::ordered_json;

constexpr char kSecret[] =
    "This report holds values that depend on single examples. Where the data are secret, so is it.";

ordered_json finite_or_null(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
}

template <typename... Values>
std::string format(const char* pattern, Values... values) {
  char text[512];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

/// A bound from below, rounded down; one from above, rounded up.
std::string lower_text(double value) { return format("%.4f", std::floor(value * 1e4) / 1e4); }
std::string upper_text(double value) {
  return std::isfinite(value) ? format("%.4f", std::ceil(value * 1e4) / 1e4) : "infinite";
}

const char* verdict(bool holds) { return holds ? "holds" : "**violated**"; }

ordered_json json_of(const ReplayResult& replay) {
  ordered_json rows = ordered_json::array();
  for (const ReplayComparison& row : replay.comparisons) {
    rows.push_back({{"step", row.step},
                    {"batch_size", row.batch_size},
                    {"unit", row.unit < 0 ? ordered_json(nullptr) : ordered_json(row.unit)},
                    {"change", to_string(row.change)},
                    {"distance", finite_or_null(row.distance)},
                    {"bound", row.bound},
                    {"allowance", finite_or_null(row.allowance)},
                    {"holds", row.holds()}});
  }
  return {{"holds", replay.holds()}, {"comparisons", rows}};
}

ordered_json json_of(const ConformanceResult& conformance) {
  ordered_json rows = ordered_json::array();
  for (const ConformanceCheck& check : conformance.checks) {
    rows.push_back(
        {{"check", check.name},
         {"holds", conformance.holds(check)},
         {"statistical", check.statistical},
         {"p_value", check.statistical ? ordered_json(check.p_value) : ordered_json(nullptr)},
         {"found", check.found}});
  }
  return {{"holds", conformance.holds()},
          {"false_alarm_probability", conformance.false_alarm_probability},
          {"threshold", conformance.threshold()},
          {"checks", rows}};
}

ordered_json json_of(const CanaryAuditResult& canaries) {
  ordered_json guesses = ordered_json::array();
  for (const CanaryGuesses& entry : canaries.guesses) {
    guesses.push_back({{"share", entry.share},
                       {"canaries", entry.counts.canaries},
                       {"guesses", entry.counts.guesses},
                       {"correct", entry.counts.correct},
                       {"epsilon_lower", entry.epsilon_lower}});
  }
  ordered_json json = {{"holds", canaries.holds()},
                       {"delta", canaries.delta},
                       {"confidence", canaries.confidence},
                       {"epsilon_upper", finite_or_null(canaries.epsilon_upper)},
                       {"epsilon_lower", canaries.epsilon_lower()},
                       {"guesses", guesses}};
  if (canaries.runs) {
    json["runs"] = {{"members", canaries.runs->members},
                    {"members_recognised", canaries.runs->members_recognised},
                    {"non_members", canaries.runs->non_members},
                    {"non_members_accused", canaries.runs->non_members_accused},
                    {"epsilon_lower", canaries.runs_epsilon_lower}};
  }
  return json;
}

std::string markdown_of(const ReplayResult& replay) {
  std::string text =
      "\n## Neighbour replay: " + std::string(verdict(replay.holds())) +
      "\n\nSums before the noise of two runs that differ in one unit (an example, or a user), "
      "with the same random\nstreams and at the same parameters; of adaptive clipping the counts, "
      "too. Of each step and change the comparison that is nearest "
      "to its bound.\n\n"
      "| step | batch | unit | change | distance | bound | for rounding | |\n"
      "| --- | --- | --- | --- | --- | --- | --- | --- |\n";
  std::map<std::pair<std::int64_t, ReplayChange>, const ReplayComparison*> nearest;
  for (const ReplayComparison& row : replay.comparisons) {
    const ReplayComparison*& kept = nearest[{row.step, row.change}];
    const bool nearer =
        kept == nullptr || std::isnan(row.distance) ||
        row.distance - row.bound - row.allowance > kept->distance - kept->bound - kept->allowance;
    if (nearer) kept = &row;
  }
  for (const auto& entry : nearest) {
    const ReplayComparison& row = *entry.second;
    text += format("| %lld | %lld | %s | %s | %.6g | %.6g | %.2g | %s |\n",
                   static_cast<long long>(row.step), static_cast<long long>(row.batch_size),
                   row.unit < 0 ? "" : std::to_string(row.unit).c_str(),
                   std::string(to_string(row.change)).c_str(), row.distance, row.bound,
                   row.allowance, verdict(row.holds()));
  }
  return text;
}

std::string markdown_of(const ConformanceResult& conformance) {
  std::string text = "\n## Conformance: " + std::string(verdict(conformance.holds())) + "\n\n";
  text += format(
      "A sound engine fails any of these with probability at most %.2g; a statistical check fails "
      "below\np = %.2g.\n\n",
      conformance.false_alarm_probability, conformance.threshold());
  text += "| check | found | p at most | |\n| --- | --- | --- | --- |\n";
  for (const ConformanceCheck& check : conformance.checks) {
    text += "| " + check.name + " | " + check.found + " | " +
            (check.statistical ? format("%.3g", check.p_value) : std::string("exact")) + " | " +
            verdict(conformance.holds(check)) + " |\n";
  }
  return text;
}

std::string markdown_of(const CanaryAuditResult& canaries) {
  std::string text = "\n## Canaries: " + std::string(verdict(canaries.holds())) + "\n\n";
  text += format(
      "Epsilon at delta %.3g: promised is at most %s, and at least %s was seen (all bounds "
      "together at\nconfidence %.4g). A low bound is no sign of privacy: it is what this attack "
      "could see.\n\n",
      canaries.delta, upper_text(canaries.epsilon_upper).c_str(),
      lower_text(canaries.epsilon_lower()).c_str(), canaries.confidence);
  text += "| attack | right | of | epsilon at least |\n| --- | --- | --- | --- |\n";
  for (const CanaryGuesses& entry : canaries.guesses) {
    text += format(
        "| one run, %.3g %% of %lld canaries | %lld | %lld | %s |\n", 100.0 * entry.share,
        static_cast<long long>(entry.counts.canaries), static_cast<long long>(entry.counts.correct),
        static_cast<long long>(entry.counts.guesses), lower_text(entry.epsilon_lower).c_str());
  }
  if (canaries.runs) {
    const MembershipCounts& runs = *canaries.runs;
    const std::int64_t right =
        runs.members_recognised + runs.non_members - runs.non_members_accused;
    text += format("| many runs (%lld with the canary, %lld without) | %lld | %lld | %s |\n",
                   static_cast<long long>(runs.members), static_cast<long long>(runs.non_members),
                   static_cast<long long>(right),
                   static_cast<long long>(runs.members + runs.non_members),
                   lower_text(canaries.runs_epsilon_lower).c_str());
  }
  return text;
}

}  // namespace

bool AuditReport::holds() const {
  return (!replay || replay->holds()) && (!conformance || conformance->holds()) &&
         (!canaries || canaries->holds());
}

std::string AuditReport::to_json() const {
  ordered_json json = {{"holds", holds()}, {"note", kSecret}};
  ordered_json about = ordered_json::object();
  for (const auto& entry : subject) about[entry.first] = entry.second;
  json["subject"] = about;
  if (replay) json["replay"] = json_of(*replay);
  if (conformance) json["conformance"] = json_of(*conformance);
  if (canaries) json["canaries"] = json_of(*canaries);
  return json.dump(2) + "\n";
}

std::string AuditReport::to_markdown() const {
  std::string text = std::string("# Audit: ") + (holds() ? "nothing refuted" : "REFUTED") + "\n\n" +
                     kSecret + "\n\n| | |\n| --- | --- |\n";
  for (const auto& entry : subject) text += "| " + entry.first + " | " + entry.second + " |\n";
  if (replay) text += markdown_of(*replay);
  if (conformance) text += markdown_of(*conformance);
  if (canaries) text += markdown_of(*canaries);
  text +=
      "\nAn audit can refute privacy and never prove it: docs/auditing.md says what each part "
      "shows "
      "and\nwhat it does not.\n";
  return text;
}

}  // namespace velum::dpsgd
