#include "velum/dpsgd/accounting/batch_sampling.h"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>
#include <string>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/rdp.h"
#include "velum/dpsgd/accounting/rdp_to_dp.h"

namespace velum::dpsgd {
namespace {

template <typename Function>
std::string error_of(const Function& function) {
  try {
    function();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no std::invalid_argument";
}

TEST(BatchSampling, NamesReadBack) {
  for (const BatchSampling sampling :
       {BatchSampling::kPoisson, BatchSampling::kTruncatedPoisson,
        BatchSampling::kWithoutReplacement, BatchSampling::kFixedBatches,
        BatchSampling::kShuffledBatches}) {
    EXPECT_EQ(batch_sampling_from_name(to_string(sampling)), sampling);
  }
  EXPECT_EQ(error_of([] { batch_sampling_from_name("bernoulli"); }),
            "batch_sampling_from_name: name = bernoulli, expected one of poisson, "
            "truncated-poisson, without-replacement, fixed-batches, shuffled");
}

TEST(StepsOfEpochs, IsTheQuotientRoundedUp) {
  EXPECT_EQ(steps_of_epochs(5.0, 64.0 / 1e4), 782);      // 781.25
  EXPECT_EQ(steps_of_epochs(60.0, 256.0 / 6e4), 14063);  // 14062.5
  EXPECT_EQ(steps_of_epochs(15.0, 150.0 / 6e4), 6000);
  EXPECT_EQ(steps_of_epochs(0.1, 0.01), 10);
  EXPECT_EQ(steps_of_epochs(0.3, 0.1), 3);
  EXPECT_EQ(steps_of_epochs(3.0 + 1e-6, 1.0), 4);
  EXPECT_EQ(steps_of_epochs(0.0, 0.01), 0);
  EXPECT_EQ(steps_of_epochs(1e-9, 0.01), 1);
}

TEST(StepsOfEpochs, WholeQuotientsOfWholeNumbersAreNotRoundedUp) {
  for (int dataset_size = 1; dataset_size <= 300; ++dataset_size) {
    for (int batch_size = 1; batch_size <= dataset_size; ++batch_size) {
      const int exact = (7 * dataset_size + batch_size - 1) / batch_size;
      ASSERT_EQ(steps_of_epochs(7.0, static_cast<double>(batch_size) / dataset_size), exact)
          << batch_size << " of " << dataset_size;
    }
  }
}

TEST(StepsOfEpochs, NamesTheValueThatIsOutOfRange) {
  EXPECT_EQ(error_of([] { steps_of_epochs(-1.0, 0.1); }),
            "steps_of_epochs: epochs = -1, expected finite and >= 0");
  EXPECT_EQ(error_of([] { steps_of_epochs(std::numeric_limits<double>::infinity(), 0.1); }),
            "steps_of_epochs: epochs = inf, expected finite and >= 0");
  EXPECT_EQ(error_of([] { steps_of_epochs(1.0, 0.0); }),
            "steps_of_epochs: sampling_rate = 0, expected > 0 and <= 1");
  EXPECT_EQ(error_of([] { steps_of_epochs(1e10, 1e-10); }),
            "steps_of_epochs: epochs = 1e+10, expected less than 2^53 batches of rate 1e-10");
}

// Counted out: epochs of full batches, what is left of the data set being left out.
TEST(StepsOfAnExample, IsTheNumberOfShortestEpochs) {
  for (int dataset_size = 1; dataset_size <= 120; ++dataset_size) {
    for (int batch_size = 1; batch_size <= dataset_size; ++batch_size) {
      int batches = 0;
      while ((batches + 1) * batch_size <= dataset_size) ++batches;
      for (const int steps : {0, 1, batches, batches + 1, 10 * batches, 997}) {
        int epochs = 0;
        for (int left = steps; left > 0; left -= batches) ++epochs;
        ASSERT_EQ(steps_of_an_example(steps, static_cast<double>(batch_size) / dataset_size),
                  epochs)
            << steps << " batches of " << batch_size << " of " << dataset_size;
      }
    }
  }
}

TEST(StepsOfAnExample, TakesNoRateForALargerOne) {
  EXPECT_EQ(steps_of_an_example(30, 1.0 / 30), 1);
  EXPECT_EQ(steps_of_an_example(30, 0.0333333), 1);   // 30.00003 batches
  EXPECT_EQ(steps_of_an_example(30, 0.03333334), 2);  // 29.99999 batches
  EXPECT_EQ(steps_of_an_example(30, 1.0), 30);
  EXPECT_EQ(steps_of_an_example(30, 0.51), 30);
  EXPECT_EQ(steps_of_an_example(30, 1e-300), 1);
  EXPECT_EQ(error_of([] { steps_of_an_example(-1, 0.1); }),
            "steps_of_an_example: steps = -1, expected >= 0");
}

TEST(MechanismOfBatches, IsWhatTheBatchesAre) {
  const auto of = [](BatchSampling sampling, double rate) {
    return mechanism_of_batches({.sampling = sampling,
                                 .sampling_rate = rate,
                                 .noise_multiplier = 1.5,
                                 .steps = 10,
                                 .dataset_size = 1000,
                                 .largest_batch_size = 50});
  };
  EXPECT_EQ(of(BatchSampling::kPoisson, 0.01),
            Mechanism(PoissonSampledGaussianMechanism{0.01, 1.5}));
  EXPECT_EQ(of(BatchSampling::kPoisson, 1.0), Mechanism(GaussianMechanism{1.5}));
  EXPECT_EQ(of(BatchSampling::kTruncatedPoisson, 0.01),
            Mechanism(TruncatedPoissonSampledGaussianMechanism{0.01, 1.5, 1000, 50}));
  EXPECT_EQ(of(BatchSampling::kWithoutReplacement, 0.01),
            Mechanism(WithoutReplacementSampledGaussianMechanism{0.01, 1.5}));
  EXPECT_EQ(of(BatchSampling::kFixedBatches, 0.01), Mechanism(GaussianMechanism{1.5}));
  EXPECT_EQ(of(BatchSampling::kShuffledBatches, 0.01), Mechanism(GaussianMechanism{1.5}));
  EXPECT_EQ(error_of([] { mechanism_of_batches({.noise_multiplier = 1.0, .steps = -1}); }),
            "mechanism_of_batches: steps = -1, expected >= 0");
  EXPECT_EQ(error_of([] { mechanism_of_batches({.sampling_rate = 2.0, .noise_multiplier = 1.0}); }),
            "mechanism_of_batches: sampling_rate = 2, expected in [0, 1]");
}

TEST(MechanismOfBatches, HoldsUnderItsUsualRelation) {
  for (const BatchSampling sampling :
       {BatchSampling::kPoisson, BatchSampling::kTruncatedPoisson,
        BatchSampling::kWithoutReplacement, BatchSampling::kFixedBatches,
        BatchSampling::kShuffledBatches}) {
    const Mechanism mechanism = mechanism_of_batches({.sampling = sampling,
                                                      .sampling_rate = 0.01,
                                                      .noise_multiplier = 1.0,
                                                      .dataset_size = 1000,
                                                      .largest_batch_size = 50});
    EXPECT_TRUE(holds_under(mechanism, usual_neighbouring(sampling))) << to_string(sampling);
  }
}

// TensorFlow Privacy, compute_dp_sgd_privacy_test.py: 10000 examples, batches of 64, 5 epochs,
// noise multiplier 2 relative to half the sensitivity (its microbatching), delta 1e-6, RDP on its
// orders: 13.376 with each example once per epoch, 1.616 for Poisson samples.
TEST(MechanismOfBatches, AgreesWithAPublishedStatement) {
  const double rate = 64.0 / 1e4;
  const auto epsilon_of = [&](BatchSampling sampling, std::int64_t steps) {
    std::vector<double> orders;
    for (int i = 1; i < 100; ++i) orders.push_back(1.0 + i / 10.0);
    for (int i = 11; i < 64; ++i) orders.push_back(i);
    for (const double order : {128.0, 256.0, 512.0, 1024.0}) orders.push_back(order);
    RdpAccountant accountant(Neighbouring::kAddOrRemoveOne, orders);
    accountant.compose(mechanism_of_batches({sampling, rate, 1.0, steps}), steps);
    return rdp_to_epsilon(accountant.orders(), accountant.rdp(), 1e-6).value;
  };
  const std::int64_t steps = steps_of_epochs(5.0, rate);
  EXPECT_NEAR(epsilon_of(BatchSampling::kPoisson, steps), 1.616, 5e-4);
  EXPECT_EQ(steps_of_epochs(5.0, 1.0), 5);
  EXPECT_NEAR(epsilon_of(BatchSampling::kFixedBatches, 5), 13.376, 5e-4);
  // 782 steps may be a little more than 5 epochs of the 156 full batches.
  EXPECT_EQ(steps_of_an_example(steps, rate), 6);
}

}  // namespace
}  // namespace velum::dpsgd
