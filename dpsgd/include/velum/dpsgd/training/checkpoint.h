#pragma once

#include <torch/nn/modules/container/sequential.h>
#include <torch/optim/sgd.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace velum::dpsgd {

/// What a stopped run needs to go on: weights and optimiser, what was released before the training,
/// and where it stands. Every value in it was released with noise, or depends on no data.
/// The books are not in it: they are the `ReleaseJournal`, which is never behind.
struct Checkpoint {
  std::int64_t step = 0;      ///< training steps whose result is in the weights
  std::int64_t releases = 0;  ///< in the journal when this was written
  double seconds = 0.0;       ///< spent on the run so far
  /// C of the next step; only of adaptive clipping, after its first step.
  std::optional<double> clipping_norm = std::nullopt;
  std::map<std::string, at::Tensor> released = {};  ///< by label, such as the mean of the features
  std::vector<at::Tensor> average = {};  ///< of the weights, in the order of the parameters
  std::int64_t average_updates = 0;
};

/// Writes the file atomically.
/// @throws std::system_error if it cannot be written.
void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint,
                     torch::nn::Sequential& model, torch::optim::SGD& optimizer);

/// The part of a checkpoint that is needed to make the model.
/// @throws std::runtime_error naming the file if it is damaged; std::system_error if it cannot be
///         read.
Checkpoint load_checkpoint(const std::filesystem::path& path);
/// The rest, into a model and an optimiser of the same kind.
/// @throws std::runtime_error naming the file if it is damaged or of another model.
void load_checkpoint(const std::filesystem::path& path, torch::nn::Sequential& model,
                     torch::optim::SGD& optimizer);

/// Writes what prediction needs: the parameters, where `torch::load(model, path)` looks for them,
/// and `constants` by name; a reader in Python finds all of it with torch.jit.load. Atomic.
/// @throws std::system_error if it cannot be written.
void save_model(const std::filesystem::path& path, torch::nn::Sequential& model,
                const std::map<std::string, at::Tensor>& constants);

}  // namespace velum::dpsgd
