#include "velum/dpsgd/weight_average.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace velum::dpsgd {
namespace {

TEST(WeightAverage, IsTheMovingAverageWithItsWarmUp) {
  const torch::Tensor weight = torch::tensor({1.0, -2.0}, torch::kDouble);
  WeightAverage average({weight}, 0.5);
  std::vector<double> expected{1.0, -2.0};
  for (int t = 1; t <= 20; ++t) {
    weight.add_(0.25 * t);
    average.update();
    const double decay = std::min(0.5, (1.0 + t) / (10.0 + t));
    for (int i = 0; i < 2; ++i) {
      expected[i] = decay * expected[i] + (1 - decay) * weight[i].item<double>();
      EXPECT_NEAR(average.values()[0][i].item<double>(), expected[i], 1e-12) << t;
    }
  }
  EXPECT_EQ(average.updates(), 20);
}

TEST(WeightAverage, DecayZeroIsTheLastWeights) {
  const torch::Tensor weight = torch::zeros({3});
  WeightAverage average({weight}, 0.0);
  weight.add_(7);
  average.update();
  EXPECT_TRUE(torch::equal(average.values()[0], weight));
}

TEST(WeightAverage, SwapExchangesModelAndAverage) {
  torch::nn::Linear model(3, 2);
  WeightAverage average(model->parameters(), 0.9);
  const torch::Tensor first = model->weight.detach().clone();
  {
    const torch::NoGradGuard no_grad;
    model->weight.add_(1);
  }
  const torch::Tensor last = model->weight.detach().clone();
  average.swap();
  EXPECT_TRUE(torch::equal(model->weight, first));
  EXPECT_TRUE(torch::equal(average.values()[0], last));
  EXPECT_THROW(average.update(), std::logic_error);
  average.swap();
  EXPECT_TRUE(torch::equal(model->weight, last));
  EXPECT_NO_THROW(average.update());
}

TEST(WeightAverage, AParameterGivenTwiceCountsOnce) {
  const torch::Tensor weight = torch::zeros({3});
  WeightAverage average({weight, weight}, 0.9);
  weight.add_(1);
  ASSERT_EQ(average.values().size(), 1U);
  average.swap();
  EXPECT_TRUE(torch::equal(weight, torch::zeros({3})));
  average.swap();
  EXPECT_TRUE(torch::equal(weight, torch::ones({3})));
}

TEST(WeightAverage, ARestoredAverageGoesOnAsIfItHadNeverStopped) {
  const torch::Tensor weight = torch::zeros({4}, torch::kDouble);
  WeightAverage whole({weight}, 0.7);
  for (int t = 0; t < 3; ++t) {
    weight.add_(1);
    whole.update();
  }
  const std::vector<torch::Tensor> saved{whole.values()[0].clone()};
  WeightAverage resumed({weight}, 0.7);
  resumed.restore(saved, whole.updates());
  for (int t = 0; t < 3; ++t) {
    weight.mul_(1.5);
    whole.update();
    resumed.update();
  }
  EXPECT_TRUE(torch::equal(whole.values()[0], resumed.values()[0]));
}

TEST(WeightAverage, RefusesWhatDoesNotFit) {
  const torch::Tensor weight = torch::zeros({4});
  EXPECT_THROW(WeightAverage({weight}, 1.0), std::invalid_argument);
  EXPECT_THROW(WeightAverage({weight}, -0.1), std::invalid_argument);
  EXPECT_THROW(WeightAverage({torch::Tensor()}, 0.5), std::invalid_argument);
  WeightAverage average({weight}, 0.5);
  EXPECT_THROW(average.restore({}, 0), std::invalid_argument);
  EXPECT_THROW(average.restore({torch::zeros({3})}, 0), std::invalid_argument);
  EXPECT_THROW(average.restore({torch::zeros({4})}, -1), std::invalid_argument);
}

}  // namespace
}  // namespace velum::dpsgd
