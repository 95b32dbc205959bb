#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/composition.h"
#include "velum/dpsgd/accounting/privacy_statement.h"
#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/dpsgd/clipping.h"
#include "velum/dpsgd/privacy_engine.h"
#include "velum/kernels/random/key_source.h"

namespace velum::dpsgd {

/// What an audit asks an engine of DP-SGD to be.
struct AuditedEngineSettings {
  std::int64_t dataset_size = 0;  ///< number of examples, >= 1
  /// [dataset_size]: the user of each example, if whole users are drawn and bounded. Empty:
  /// examples are. The unit, an example or a user, is what is protected; the number N of units is
  /// treated as public.
  std::vector<std::int64_t> user_of_example = {};
  /// What of a user is bounded; only with users.
  UserGradient user_gradient = UserGradient::kMean;
  double sampling_rate = 1.0;  ///< q, of a unit; the divisor of the noised sum is q N
  Clipping clipping = Clipping::flat(1.0);
  /// sigma. With 0 what the engine hands out is the sum of clipped gradients over q N: how an audit
  /// sees what is never released.
  double noise_multiplier = 0.0;
  /// Keep the graph of the losses after `accumulate`, where the engine otherwise frees it.
  bool retain_graph = false;
  /// Asked at the end of every step before anything is released.
  std::shared_ptr<ReleaseGuard> release_guard = nullptr;
  /// The books to write into; by default the engine's own.
  std::shared_ptr<Accountant> accountant = nullptr;
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
  /// Indices of the examples of the next logical batch, in [0, dataset_size); possibly none.
  virtual std::vector<std::int64_t> next_batch() = 0;
  /// @param losses  [batch], with its graph; [0] for an empty batch.
  /// @param users   [batch], if users are drawn: the user of each loss, all examples of a user in
  ///                one call. Else empty.
  virtual void accumulate(const at::Tensor& losses, const std::vector<std::int64_t>& users) = 0;
  virtual void finish_step() = 0;
  /// Every release so far, as the engine accounts for it.
  virtual Composition books() const = 0;
  /// By how much a unit can move the next step's sum of clipped gradients, as the engine says. Of
  /// adaptive clipping it is the clipping norm of that step.
  virtual double sensitivity() const = 0;
  /// What is promised at `delta`, about whom.
  virtual PrivacyStatement statement(double delta) const = 0;
  /// A second engine that goes on from here, as a run does that is resumed from a checkpoint: with
  /// these books, and with the same keys where they are known. Between steps only.
  virtual std::unique_ptr<AuditedEngine> resumed() const = 0;
  /// Whether the same keys give the same noise whatever the batch. Not that of lazy tables, drawn
  /// for rows that a batch has read and for others apart: of the same distribution whatever it is.
  virtual bool same_noise_for_every_batch() const { return true; }
};

/// Makes an engine for these parameters, which several engines may share.
using EngineFactory = std::function<std::unique_ptr<AuditedEngine>(
    const std::vector<at::Tensor>& parameters, const AuditedEngineSettings& settings)>;

/// `PrivacyEngine` with `PoissonSampler`, or `UserPoissonSampler` where there are users.
///
/// A table that is noised lazily has no gradient. What a step does to one is seen by an update of
/// learning rate 1, a step without a batch of rate 2^-10, and a release: rows that the step has not
/// read get the noise of both by one draw, of variance 1 + 2^-20, or of a third of them in two,
/// caught up between the steps. `.grad` is by how much the weights have become smaller, up to their
/// rounding, and they have their values back. The books have two steps for each.
///
/// @param allow_slow_rules  as `PrivacyOptions::allow_slow_rules`.
/// @param lazy_tables  weights; those that are among an engine's parameters are lazy tables of it
///                     (`LazyTable`). Making an engine throws std::invalid_argument for another
///                     type than float64, whose rounding would hide what the audits look for.
EngineFactory privacy_engine_factory(bool allow_slow_rules = false,
                                     const std::vector<at::Tensor>& lazy_tables = {});

/// A model with its data, as an audit drives it.
struct AuditedModel {
  /// Of the model that `losses` computes with; changed by the audit as by an optimiser.
  std::vector<at::Tensor> parameters;
  std::int64_t dataset_size = 0;  ///< number of examples, >= 1
  /// [dataset_size]: the user of each example, any numbers, if users are what is protected. Empty:
  /// examples are.
  std::vector<std::int64_t> user_of_example = {};
  /// [indices.size()]: the loss of each of these examples, with its graph. Indices in [0,
  /// dataset_size), never none.
  std::function<at::Tensor(const std::vector<std::int64_t>& indices)> losses;
};

}  // namespace velum::dpsgd
