#include "velum/dpsgd/training/models.h"

#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/pooling.h>
#include <torch/utils.h>

#include <algorithm>
#include <stdexcept>

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kClasses = 10;
constexpr std::int64_t kEvaluationBatch = 2000;

}  // namespace

torch::nn::Sequential make_model(ModelKind kind, std::int64_t inputs, std::uint64_t seed) {
  namespace nn = torch::nn;
  torch::manual_seed(seed);  // of the first weights only: they are no secret
  switch (kind) {
    case ModelKind::kScatterLinear: {
      nn::Linear linear(nn::LinearOptions(inputs, kClasses).bias(false));
      torch::NoGradGuard no_grad;
      linear->weight.zero_();
      return nn::Sequential(linear);
    }
    case ModelKind::kCnn:
      return nn::Sequential(nn::Conv2d(nn::Conv2dOptions(1, 16, 8).stride(2).padding(3)),
                            nn::Tanh(), nn::MaxPool2d(nn::MaxPool2dOptions(2).stride(1)),
                            nn::Conv2d(nn::Conv2dOptions(16, 32, 4).stride(2)), nn::Tanh(),
                            nn::MaxPool2d(nn::MaxPool2dOptions(2).stride(1)), nn::Flatten(),
                            nn::Linear(512, 32), nn::Tanh(), nn::Linear(32, kClasses));
    case ModelKind::kMlp:
      return nn::Sequential(nn::Flatten(), nn::Linear(784, 256), nn::Tanh(),
                            nn::Linear(256, kClasses));
  }
  throw std::logic_error("make_model: unknown ModelKind");
}

double accuracy_percent(torch::nn::Sequential& model, const at::Tensor& inputs,
                        const at::Tensor& targets) {
  torch::NoGradGuard no_grad;
  const bool was_training = model->is_training();
  model->eval();
  std::int64_t correct = 0;
  const std::int64_t count = inputs.size(0);
  for (std::int64_t begin = 0; begin < count; begin += kEvaluationBatch) {
    const std::int64_t rows = std::min(kEvaluationBatch, count - begin);
    const at::Tensor guess = model->forward(inputs.narrow(0, begin, rows)).argmax(1);
    correct += guess.eq(targets.narrow(0, begin, rows)).sum().item<std::int64_t>();
  }
  model->train(was_training);
  return 100.0 * static_cast<double>(correct) / static_cast<double>(count);
}

}  // namespace velum::dpsgd
