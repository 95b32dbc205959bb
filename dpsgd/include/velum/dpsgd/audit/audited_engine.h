#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "velum/dpsgd/accounting/composition.h"
#include "velum/kernels/random/key_source.h"

namespace velum::dpsgd {

/// What an audit asks an engine of DP-SGD to be.
struct AuditedEngineSettings {
  std::int64_t dataset_size = 0;  ///< N, treated as public
  double sampling_rate = 1.0;     ///< q; the divisor of the noised sum is q N
  double clipping_norm = 1.0;     ///< C
  /// sigma. With 0 what the engine hands out is the sum of clipped gradients over q N: how an audit
  /// sees what is never released.
  double noise_multiplier = 0.0;
  /// Known keys, the same for two runs that shall have the same streams. Without one the engine
  /// takes a secret key of its own.
  std::optional<kernels::RandomKey> insecure_noise_key = std::nullopt;
  std::optional<kernels::RandomKey> insecure_sampling_key = std::nullopt;
};

/// An engine of DP-SGD, with its sampler and its books, as an audit drives it: velum's own
/// (`privacy_engine_factory`), or any other, which an audit should be able to find fault with.
///
/// A step is any number of `accumulate`, then `finish_step`, which leaves the private average
/// gradient in `.grad` of every parameter.
class AuditedEngine {
 public:
  virtual ~AuditedEngine() = default;
  /// Indices of the next logical batch, in [0, dataset_size); possibly none.
  virtual std::vector<std::int64_t> next_batch() = 0;
  /// @param losses  [batch], with its graph; [0] for an empty batch.
  virtual void accumulate(const at::Tensor& losses) = 0;
  virtual void finish_step() = 0;
  /// Every release so far, as the engine accounts for it.
  virtual Composition books() const = 0;
  /// A second engine that goes on from here, as a run does that is resumed from a checkpoint: with
  /// these books, and with the same keys where they are known. Between steps only.
  virtual std::unique_ptr<AuditedEngine> resumed() const = 0;
};

/// Makes an engine for these parameters, which several engines may share.
using EngineFactory = std::function<std::unique_ptr<AuditedEngine>(
    const std::vector<at::Tensor>& parameters, const AuditedEngineSettings& settings)>;

/// `PrivacyEngine` and `PoissonSampler`.
/// @param allow_slow_rules  as `PrivacyOptions::allow_slow_rules`.
EngineFactory privacy_engine_factory(bool allow_slow_rules = false);

/// A model with its data, as an audit drives it.
struct AuditedModel {
  /// Of the model that `losses` computes with; changed by the audit as by an optimiser.
  std::vector<at::Tensor> parameters;
  std::int64_t dataset_size = 0;  ///< number of examples, >= 1
  /// [indices.size()]: the loss of each of these examples, with its graph. Indices in [0,
  /// dataset_size), never none.
  std::function<at::Tensor(const std::vector<std::int64_t>& indices)> losses;
};

}  // namespace velum::dpsgd
