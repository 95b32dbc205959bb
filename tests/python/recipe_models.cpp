// Writes a model of `velum train` as that does, and in the same file what it makes of random
// samples; recipes_test.py compares with it what velum.recipes.make_model gives.
//
//   recipe_models MODEL INPUTS FILE
#include <ATen/Parallel.h>
#include <torch/nn/functional/loss.h>
#include <torch/utils.h>

#include <cstdint>
#include <exception>
#include <iostream>
#include <string>

#include "velum/dpsgd/training/checkpoint.h"
#include "velum/dpsgd/training/models.h"

namespace {

constexpr std::int64_t kSamples = 33;

void write_model(velum::dpsgd::ModelKind kind, std::int64_t inputs, const std::string& path) {
  namespace functional = torch::nn::functional;
  at::set_num_threads(1);
  torch::nn::Sequential model = velum::dpsgd::make_model(kind, inputs, 1);
  const torch::NoGradGuard no_grad;
  model->to(torch::kDouble);  // little rounding, so that little is allowed for it
  // Of the first weights some are all zero, which would hide what they stand for.
  for (at::Tensor& parameter : model->parameters()) parameter.normal_(0.0, 0.1);
  const at::Tensor samples = kind == velum::dpsgd::ModelKind::kScatterLinear
                                 ? torch::randn({kSamples, inputs}, torch::kDouble)
                                 : torch::randn({kSamples, 1, 28, 28}, torch::kDouble);
  const at::Tensor targets = torch::randint(10, {kSamples}, torch::kLong);
  const at::Tensor outputs = model->forward(samples);
  const at::Tensor losses = functional::cross_entropy(
      outputs, targets, functional::CrossEntropyFuncOptions().reduction(torch::kNone));
  velum::dpsgd::save_model(path, model,
                           {{"test_samples", samples},
                            {"test_targets", targets},
                            {"test_outputs", outputs},
                            {"test_losses", losses}});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: recipe_models MODEL INPUTS FILE\n";
    return 2;
  }
  try {
    write_model(velum::dpsgd::model_kind_from_string(argv[1]), std::stoll(argv[2]), argv[3]);
  } catch (const std::exception& error) {
    std::cerr << "recipe_models: " << error.what() << '\n';
    return 1;
  }
}
