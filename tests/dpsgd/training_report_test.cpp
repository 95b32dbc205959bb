#include "velum/dpsgd/accounting/training_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace velum::dpsgd {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

TrainingReport example() {
  RdpAccountant accountant;
  accountant.compose(GaussianMechanism{11.588}, 1, "private mean");
  accountant.compose(PoissonSampledGaussianMechanism{0.01, 1.1}, 1200, "training");
  TrainingReport report = make_training_report(accountant, 1e-5);
  report.secure_randomness = true;
  report.model = "cnn";
  report.dataset = "fashion-mnist";
  report.noise_multiplier = 1.1;
  report.clipping_norm = 0.1;
  report.sampling_rate = 0.01;
  report.steps = 1200;
  report.dataset_size = 60000;
  report.expected_batch_size = 600.0;
  report.test_accuracy = 90.47;
  report.training_seconds = 51.25;
  report.backend = "cpu";
  report.threads = 2;
  report.versions["torch"] = "2.11.0";
  return report;
}

TEST(TrainingReport, JsonHoldsThePromiseAndHowItWasKept) {
  const TrainingReport report = example();
  const json object = json::parse(report.to_json());
  EXPECT_EQ(object.at("private"), true);
  EXPECT_EQ(object.at("epsilon"), report.guarantee.epsilon);
  EXPECT_EQ(object.at("delta"), 1e-5);
  EXPECT_EQ(object.at("neighbouring"), "add-or-remove-one");
  EXPECT_EQ(object.at("accountant"), "rdp");
  EXPECT_THAT(object.at("accounting_method").get<std::string>(),
              HasSubstr("Renyi differential privacy"));
  EXPECT_EQ(object.at("rdp_order"), *report.guarantee.order);
  EXPECT_EQ(object.at("noise_multiplier"), 1.1);
  EXPECT_EQ(object.at("clipping_norm"), 0.1);
  EXPECT_EQ(object.at("sampling_rate"), 0.01);
  EXPECT_EQ(object.at("steps"), 1200);
  EXPECT_EQ(object.at("dataset_size"), 60000);
  EXPECT_EQ(object.at("expected_batch_size"), 600.0);
  EXPECT_EQ(object.at("test_accuracy"), 90.47);
  EXPECT_EQ(object.at("threads"), 2);
  EXPECT_EQ(object.at("versions").at("torch"), "2.11.0");
  EXPECT_EQ(object.at("versions").at("velum"), velum_version());
  EXPECT_THAT(object.at("sampling").get<std::string>(), HasSubstr("Poisson"));
}

TEST(TrainingReport, JsonListsEveryRelease) {
  const TrainingReport report = example();
  const json object = json::parse(report.to_json());
  const json stored{{"version", 1},
                    {"neighbouring", object.at("neighbouring")},
                    {"phases", object.at("releases")}};
  EXPECT_EQ(Composition::from_json(stored.dump()), report.composition);
}

TEST(TrainingReport, LeavesOutWhatWasNotMeasured) {
  TrainingReport report = example();
  report.test_accuracy.reset();
  report.training_seconds.reset();
  const json object = json::parse(report.to_json());
  EXPECT_FALSE(object.contains("test_accuracy"));
  EXPECT_FALSE(object.contains("training_seconds"));
  EXPECT_THAT(report.to_text(), Not(HasSubstr("test accuracy")));
}

TEST(TrainingReport, TextIsForPeople) {
  const std::string text = example().to_text();
  EXPECT_THAT(text, HasSubstr("  delta               1e-05\n"));
  EXPECT_THAT(text, HasSubstr("  test accuracy       90.47 %\n"));
  EXPECT_THAT(text, HasSubstr("  examples            60,000\n"));
  EXPECT_THAT(text, HasSubstr("  - private mean: 1 x Gaussian, noise multiplier 11.588\n"));
  EXPECT_THAT(text, HasSubstr("  - training: 1,200 x Poisson-sampled Gaussian"));
  EXPECT_THAT(text, Not(HasSubstr("NOT PRIVATE")));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80u) << line;
    EXPECT_TRUE(line.empty() || line.back() != ' ') << "'" << line << "'";
  }
}

TEST(TrainingReport, NeverPrintsASmallerEpsilonThanItIs) {
  TrainingReport report = example();
  report.guarantee.epsilon = 2.99991;
  EXPECT_THAT(report.to_text(), HasSubstr("  epsilon             3.0000\n"));
  report.guarantee.epsilon = 0.12341;
  EXPECT_THAT(report.to_text(), HasSubstr("  epsilon             0.1235\n"));
  report.guarantee.epsilon = 3.0;
  EXPECT_THAT(report.to_text(), HasSubstr("  epsilon             3.0000\n"));
  report.guarantee.epsilon = 0.0;
  EXPECT_THAT(report.to_text(), HasSubstr("  epsilon             0.0000\n"));
}

TEST(TrainingReport, StatesItsAssumptions) {
  const TrainingReport report = example();
  for (const std::string& text : {report.to_text(), report.to_json()}) {
    EXPECT_THAT(text, HasSubstr("number of training examples is public"));
    EXPECT_THAT(text, HasSubstr("hyper-parameters"));
    EXPECT_THAT(text, HasSubstr("floating point"));
    EXPECT_THAT(text, HasSubstr("cryptographic generator"));
  }
}

TEST(TrainingReport, SaysNotPrivateWhenTheSeedIsNotSecret) {
  TrainingReport report = example();
  report.secure_randomness = false;
  EXPECT_THAT(report.to_text(), HasSubstr("NOT PRIVATE"));
  EXPECT_THAT(report.to_text(), HasSubstr("VIOLATED"));
  EXPECT_THAT(report.to_text(), Not(HasSubstr("cryptographic")));
  const json object = json::parse(report.to_json());
  EXPECT_EQ(object.at("private"), false);
  EXPECT_EQ(object.at("secure_randomness"), false);
}

TEST(TrainingReport, SaysNotPrivateWhenEpsilonIsInfinite) {
  RdpAccountant accountant;
  accountant.compose(GaussianMechanism{0.0});
  const TrainingReport report = make_training_report(accountant, 1e-5);
  EXPECT_FALSE(report.is_private());
  EXPECT_THAT(report.to_text(), HasSubstr("NOT PRIVATE"));
  EXPECT_THAT(report.to_text(), HasSubstr("  epsilon             infinite\n"));
  const json object = json::parse(report.to_json());
  EXPECT_EQ(object.at("private"), false);
  EXPECT_TRUE(object.at("epsilon").is_null());
}

TEST(TrainingReport, HasAStatementForAPaper) {
  const TrainingReport report = example();
  const json object = json::parse(report.to_json());
  EXPECT_EQ(object.at("statement"), json::parse(report.statement().to_json()));
  EXPECT_EQ(report.statement().epsilon, report.guarantee.epsilon);
  EXPECT_EQ(report.statement().delta, 1e-5);
  EXPECT_EQ(report.statement().releases.size(), 2u);
  const std::string text = report.to_text();
  EXPECT_THAT(text, HasSubstr("\nStatement\n\n  All releases together are (epsilon = "));
  EXPECT_THAT(text, HasSubstr("\n  Unit of privacy: one example.\n"));
}

TEST(TrainingReport, HasNoStatementWhereNothingIsPromised) {
  TrainingReport insecure = example();
  insecure.secure_randomness = false;
  RdpAccountant accountant;
  accountant.compose(GaussianMechanism{0.0});
  TrainingReport without_noise = make_training_report(accountant, 1e-5);
  without_noise.secure_randomness = true;
  for (const TrainingReport& report : {insecure, without_noise}) {
    EXPECT_TRUE(json::parse(report.to_json()).at("statement").is_null());
    EXPECT_THAT(report.to_text(), Not(HasSubstr("Statement")));
    EXPECT_THAT(report.to_text(), Not(HasSubstr("-differentially")));
  }
}

TEST(TrainingReport, SaysWhenThereWasNoSampling) {
  EXPECT_EQ(describe_sampling(1.0), "none: every step uses every example");
  EXPECT_EQ(describe_sampling(0.25),
            "Poisson: every example takes part in a step with probability 0.25, independently");
}

}  // namespace
}  // namespace velum::dpsgd
