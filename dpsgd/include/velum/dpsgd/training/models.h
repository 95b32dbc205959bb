#pragma once

#include <torch/nn/modules/container/sequential.h>

#include <cstdint>

#include "velum/dpsgd/training/training_plan.h"

namespace velum::dpsgd {

/// The models of `velum train`: plain torch modules, which know nothing of privacy.
///
/// - scatter-linear: Linear(inputs -> 10) without bias (a constant feature stands for it), all
///   weights zero.
/// - cnn: Conv2d 1-16, 8 x 8, stride 2, padding 3; tanh; MaxPool 2, stride 1; Conv2d 16-32, 4 x 4,
///   stride 2; tanh; MaxPool 2, stride 1; Linear 512-32; tanh; Linear 32-10. Input [B, 1, 28, 28].
///   Paper: Tempered Sigmoid Activations for Deep Learning with Differential Privacy (arXiv
///   2007.14191), Table 1.
/// - mlp: Linear 784-256; tanh; Linear 256-10. Input [B, 1, 28, 28].
///
/// Initial weights are drawn from torch's generator, seeded by `seed`: they carry no secret.
///
/// @param inputs  features of a sample; used by scatter-linear only.
torch::nn::Sequential make_model(ModelKind kind, std::int64_t inputs, std::uint64_t seed);

/// Percent of the rows that the model classifies as `targets` says.
/// @param inputs   [n, ...], n >= 1.
/// @param targets  [n], int64.
double accuracy_percent(torch::nn::Sequential& model, const at::Tensor& inputs,
                        const at::Tensor& targets);

}  // namespace velum::dpsgd
