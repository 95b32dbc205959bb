// The report of an audit says what was found, whatever it was.
#include "velum/dpsgd/audit/audit_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace velum::testing {
namespace {

using dpsgd::AuditReport;
using ::testing::HasSubstr;

AuditReport sound() {
  AuditReport report;
  report.subject = {{"model", "small"}};
  report.replay = dpsgd::ReplayResult{
      {{.step = 0, .batch_size = 7, .unit = 3, .distance = 0.9, .bound = 1.0},
       {.step = 0, .batch_size = 7, .unit = 5, .distance = 0.95, .bound = 1.0}}};
  report.conformance = dpsgd::ConformanceResult{
      {{.name = "sums", .p_value = 1.0, .found = "all well"},
       {.name = "noise", .statistical = true, .p_value = 1e-5, .found = "a little odd"}},
      1e-6};
  report.canaries = dpsgd::CanaryAuditResult{
      .epsilon_upper = 2.0,
      .guesses = {{.share = 1.0, .counts = {100, 100, 70}, .epsilon_lower = 0.123456}},
      .runs = std::nullopt,
      .confidence = 0.95,
      .delta = 1e-5};
  return report;
}

TEST(AuditReport, HoldsOnlyIfEveryPartDoes) {
  EXPECT_TRUE(sound().holds());
  EXPECT_TRUE(AuditReport{}.holds());
  AuditReport replay = sound();
  replay.replay->comparisons[0].distance = 1.001;
  EXPECT_FALSE(replay.holds());
  replay.replay->comparisons[0].allowance = 0.01;
  EXPECT_TRUE(replay.holds());
  replay.replay->comparisons[0].distance = std::nan("");
  EXPECT_FALSE(replay.holds());
  AuditReport exact = sound();
  exact.conformance->checks[0].p_value = 0.0;
  EXPECT_FALSE(exact.holds());
  AuditReport statistical = sound();
  statistical.conformance->checks[1].p_value = 0.9e-6;
  EXPECT_FALSE(statistical.holds());
  EXPECT_THAT(statistical.conformance->violations(), ::testing::ElementsAre("noise"));
  AuditReport canaries = sound();
  canaries.canaries->guesses[0].epsilon_lower = 2.001;
  EXPECT_FALSE(canaries.holds());
  AuditReport runs = sound();
  runs.canaries->runs_epsilon_lower = 2.001;
  EXPECT_FALSE(runs.holds());
}

TEST(AuditReport, IsJsonWithEveryValue) {
  AuditReport report = sound();
  report.replay->comparisons[1].distance = std::nan("");
  report.canaries->epsilon_upper = std::numeric_limits<double>::infinity();
  report.canaries->runs = dpsgd::MembershipCounts{5, 4, 6, 1};
  const auto json = nlohmann::json::parse(report.to_json());
  EXPECT_FALSE(json["holds"]);
  EXPECT_EQ(json["subject"]["model"], "small");
  EXPECT_EQ(json["replay"]["comparisons"].size(), 2u);
  EXPECT_EQ(json["replay"]["comparisons"][0]["change"], "removed");
  EXPECT_EQ(json["replay"]["comparisons"][0]["distance"], 0.9);
  EXPECT_TRUE(json["replay"]["comparisons"][1]["distance"].is_null());
  EXPECT_EQ(json["conformance"]["checks"][1]["p_value"], 1e-5);
  EXPECT_TRUE(json["conformance"]["checks"][0]["p_value"].is_null());
  EXPECT_TRUE(json["canaries"]["epsilon_upper"].is_null());
  EXPECT_EQ(json["canaries"]["epsilon_lower"], 0.123456);
  EXPECT_EQ(json["canaries"]["runs"]["non_members_accused"], 1);
}

TEST(AuditReport, IsMarkdownThatRoundsAgainstTheClaim) {
  const std::string text = sound().to_markdown();
  EXPECT_THAT(text, HasSubstr("# Audit: nothing refuted"));
  EXPECT_THAT(text, HasSubstr("at least 0.1234 was seen"));
  EXPECT_THAT(text, HasSubstr("| 0 | 7 | 5 | removed | 0.95 | 1 |"));  // the nearest to its bound
  EXPECT_THAT(text, ::testing::Not(HasSubstr("| 0 | 7 | 3 |")));
  EXPECT_THAT(text, HasSubstr("single examples"));
  AuditReport broken = sound();
  broken.conformance->checks[0].p_value = 0.0;
  EXPECT_THAT(broken.to_markdown(), HasSubstr("# Audit: REFUTED"));
  EXPECT_THAT(broken.to_markdown(), HasSubstr("| sums | all well | exact | **violated** |"));
}

}  // namespace
}  // namespace velum::testing
