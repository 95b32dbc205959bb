// Training with differential privacy in a plain libtorch loop.
//
// Model, loss and optimiser are what they would be without privacy. Four lines differ, and are
// marked; what each replaces stands beside it.

#include <torch/torch.h>

#include <cstdio>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/calibration.h"
#include "velum/dpsgd/loader.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"

namespace {

/// A data set of the kind that `torch::data` has: two noisy half moons.
class HalfMoons : public torch::data::datasets::Dataset<HalfMoons> {
 public:
  explicit HalfMoons(std::int64_t size) {
    const torch::Tensor angle = torch::rand({size}) * M_PI;
    label_ = torch::arange(size) % 2;
    const torch::Tensor side = 1.0 - 2.0 * label_;  // 1 or -1
    points_ =
        torch::stack({angle.cos() * side + 0.5 * label_, angle.sin() * side + 0.25 * label_}, 1) +
        0.1 * torch::randn({size, 2});
  }
  torch::data::Example<> get(std::size_t index) override {
    return {points_[static_cast<std::int64_t>(index)], label_[static_cast<std::int64_t>(index)]};
  }
  torch::optional<std::size_t> size() const override {
    return static_cast<std::size_t>(points_.size(0));
  }
  const torch::Tensor& points() const { return points_; }
  const torch::Tensor& label() const { return label_; }

 private:
  torch::Tensor points_, label_;
};

}  // namespace

int main() {
  using namespace velum::dpsgd;
  constexpr std::int64_t kSamples = 4000, kSteps = 200;
  constexpr double kSamplingRate = 0.05, kEpsilon = 2.0, kDelta = 1e-5;

  torch::manual_seed(1);  // of the data and the first weights; the noise has no seed
  const HalfMoons train(kSamples), test(2000);
  torch::nn::Sequential model(torch::nn::Linear(2, 32), torch::nn::Tanh(),
                              torch::nn::Linear(32, 2));
  torch::optim::SGD optimizer(model->parameters(), 1.0);

  // How much noise the budget needs.
  const double noise_multiplier =
      calibrate_noise_multiplier(kEpsilon, kDelta, kSamplingRate, kSteps);

  // 1 and 2, for a shuffling data loader: every step draws each sample independently, and the
  // sampler knows what that is worth to an accountant. 128: as much as fits into memory at once.
  PoissonSampler sampler(kSamples, kSamplingRate);
  PoissonLoader loader(sampler, train, 128);

  // 3, new: clips each sample's gradient to norm 1, adds noise to the sum, keeps the books.
  PrivacyEngine engine(model->parameters(), sampler,
                       {.clipping = Clipping::flat(1.0), .noise_multiplier = noise_multiplier});

  for (const PhysicalBatch& batch : loader.steps(kSteps)) {
    const torch::Tensor losses = torch::nn::functional::cross_entropy(
        model->forward(batch.inputs), batch.targets,
        torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone));

    // 4, for loss.backward(): a step may have several physical batches, and is noised once.
    engine.accumulate(losses);
    if (!batch.last_of_step) continue;
    engine.finish_step();

    optimizer.step();  // as ever
  }

  const torch::NoGradGuard no_grad;
  const double accuracy = model->forward(test.points())
                              .argmax(1)
                              .eq(test.label())
                              .to(torch::kDouble)
                              .mean()
                              .item<double>();
  const double epsilon = engine.epsilon(kDelta);
  std::printf("test accuracy %.1f %% with epsilon %.3f at delta %g\n", 100 * accuracy, epsilon,
              kDelta);
  // This program is also a test.
  return epsilon <= kEpsilon && accuracy > 0.8 ? 0 : 1;
}
