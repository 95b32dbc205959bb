#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "velum/dpsgd/accounting/composition.h"
#include "velum/dpsgd/accounting/privacy_statement.h"
#include "velum/dpsgd/clipping.h"
#include "velum/dpsgd/gradient_method.h"
#include "velum/kernels/random/key_source.h"

namespace velum::dpsgd {

class Accountant;
class LazyTable;
class PoissonSampler;
class ReleaseGuard;
class UserPoissonSampler;

/// What of a user is clipped to the sensitivity, where users are sampled.
enum class UserGradient {
  kMean,  ///< the mean of the gradients of the user's samples in the step
  kSum,   ///< their sum
};

struct PrivacyOptions {
  Clipping clipping;
  /// sigma: the noise on the sum of clipped gradients has standard deviation sigma times the
  /// clipping's sensitivity (with adaptive clipping a little more: Clipping::adaptive); finite and
  /// >= 0. Zero is training without privacy: every epsilon is infinite.
  double noise_multiplier;
  /// kSum only with a `UserPoissonSampler`.
  UserGradient user_gradient = UserGradient::kMean;
  /// Let an operation that has no rule of its own be treated by calling its backward once per
  /// sample: exact, and slow. `StepStatistics::slow_nodes` names the operations.
  bool allow_slow_rules = false;
  /// By index of a parameter (among those that require grad): how the norms of its per-sample
  /// gradients are taken, in place of the cheapest way (explain.h). `accumulate` refuses a method
  /// that a use does not have.
  MethodOverrides method_overrides = {};
  /// Keep the saved tensors of the graph after `accumulate`. By default they are freed as
  /// `losses.backward()` would, so that a later raw backward through the same graph fails.
  bool retain_graph = false;
  /// The books to write into, for the sampler's neighbouring relation; by default an
  /// `RdpAccountant` of the engine's own.
  std::shared_ptr<Accountant> accountant = nullptr;
  /// Asked at the end of every step before anything else, with the step's mechanism and the label
  /// "training" (where users are sampled "training, by user"): a ledger, for example
  /// (ledger/ledger_guard.h). Its books must be for the sampler's relation and unit.
  std::shared_ptr<ReleaseGuard> release_guard = nullptr;
  /// Noise from a known key: reproducible, and therefore not private.
  std::optional<kernels::RandomKey> insecure_test_key = std::nullopt;
  /// Parameters, used for lookups alone, that get their noise row by row (lazy_table.h); each a
  /// table of this engine only. Their `.grad` is undefined after a step.
  std::vector<std::shared_ptr<LazyTable>> lazy_tables = {};
};

/// What may be told about a step: nothing here depends on the data.
struct StepStatistics {
  /// How many steps the engine has finished, this one included.
  std::int64_t step = 0;
  /// By how much one sample could move this step's sum of clipped gradients. It varies with
  /// adaptive clipping alone, by what earlier steps released.
  double sensitivity = 0;
  /// Operations that were treated by the generic rule (`allow_slow_rules`), sorted, without
  /// repeats.
  std::vector<std::string> slow_nodes;
};

/// Values of the running or last logical step that depend on single samples. They are not private:
/// for debugging on data that is not secret, never for a log.
struct UnsafeStepValues {
  std::int64_t physical_batches = 0;
  std::int64_t batch_size = 0;
  /// [batch_size], or one for each user where users are sampled, ascending in every physical batch:
  /// the norm by which each was clipped: the L2 norm of its gradient, or the
  /// floor that a cancelling sample has (docs/numerics.md); over all groups together where there
  /// are several.
  std::vector<double> per_sample_norms;
};

/// What a checkpoint has to hold so that the books of a resumed run stay complete.
struct EngineState {
  Composition composition{Neighbouring::kAddOrRemoveOne};
  std::int64_t step = 0;
  std::uint32_t key_epoch = 0;
  /// C of the next step, with adaptive clipping and only then.
  std::optional<double> clipping_norm = std::nullopt;
};

/// DP-SGD for an unmodified model and any optimiser: makes the gradient of a logical batch private.
///
///   PoissonSampler sampler(dataset_size, sampling_rate);
///   PrivacyEngine engine(model->parameters(), sampler,
///                        {.clipping = Clipping::flat(1.0), .noise_multiplier = 1.1});
///   ...
///   auto losses = cross_entropy(model->forward(x), y, reduction none);  // [batch]
///   engine.backward(losses);                                            // not losses.backward()
///   optimizer.step();
///
/// `finish_step` leaves in `.grad` of every parameter (but those of lazy tables)
///
///   (sum_i g_i * min(1, C / ||g_i||) + N(0, (sigma C)^2)) / expected_batch_size
///
/// for flat clipping, where i runs over all physical batches of the logical batch, g_i is the
/// gradient of loss i with respect to all parameters together, and expected_batch_size =
/// sampling_rate * dataset_size. A sample whose norm is not finite adds exactly zero. Clipping
/// (clipping.h) has other bounds, each with its sensitivity in the place of C. An empty logical
/// batch is noised, accounted and stepped like any other.
///
/// Per-sample gradients are read off the autograd graph of `losses`; how, and what is refused, is
/// in per_sample_gradients.h. On the first step, and whenever the graph or a per-sample shape
/// changes, the engine proves on single samples of the batch that no operation mixes samples and
/// that the per-sample gradients are those of autograd; a failed proof is an error.
///
/// What the tape cannot see: a mixing of samples in the data before it meets the first parameter,
/// or through a detached tensor (`x - x.mean(0)` on the input). That is the caller's to avoid
/// (docs/threat_model.md).
///
/// With a `UserPoissonSampler` the unit is a user: every loss comes with its user, and what is
/// clipped, once, is the mean (or the sum) of the gradients of all the user's samples in the step.
/// Its norm counts what they have in common; no gradient of a single sample is bounded by itself.
///
/// A record may stand in at most one row of one logical batch: two rows of it (augmentations, the
/// same losses twice) would move the sum by 2 C. Average its losses into one row instead. And the
/// forward pass must not change parameters or released buffers by itself (an embedding with
/// max_norm, running statistics): what it writes there is neither clipped nor noised.
///
/// Half precision: call `backward` inside an autocast region or after it, and give the losses as
/// they are, without a loss scale. Norms, factors, sums and noise are float32 or better; for a
/// parameter in bfloat16 or float16 the noised gradient is rounded to its type, and nothing before
/// (docs/numerics.md).
///
/// Activations that are computed again (torch.utils.checkpoint with use_reentrant=False) and other
/// hooks on saved tensors: a region is computed again once per backward pass, of which a step
/// takes one, and a few more where it repeats the proof. What the rules need of it is kept from
/// then on: the inputs of operations on parameters. Reentrant checkpoints are refused.
///
/// Parameters that do not require grad when the engine is made are left alone. A tracked parameter
/// that the losses do not use has gradient zero, plus noise. `.grad` is replaced by `finish_step`:
/// whatever stood there before, a raw gradient too, is discarded and never added.
///
/// A forked child has its parent's key, and books that its parent does not know: there `accumulate`
/// and `finish_step` throw std::logic_error. Make the engine in the process that trains, or resume
/// it there from `state()`, with a key of its own.
///
/// Paper: Deep Learning with Differential Privacy, CCS 2016 (arXiv 1607.00133), Algorithm 1, with
/// Poisson sampling; norms by book-keeping (arXiv 2210.00038). Not thread-safe. Determinism:
/// run-to-run for a known key where torch's own operations are.
class PrivacyEngine {
 public:
  /// @param parameters  of the model; float32, float64, bfloat16 or float16, on one device; a
  ///                    tensor given twice counts once.
  /// @param sampler     says how the logical batches are drawn; its mechanism and expected batch
  ///                    size are read here.
  /// @throws std::invalid_argument if there is no parameter that requires grad, if one is no leaf,
  ///         has another dtype or device, if noise_multiplier is out of range, or if the clipping,
  ///         user_gradient or the books do not fit parameters, noise multiplier or sampler.
  PrivacyEngine(std::vector<at::Tensor> parameters, const PoissonSampler& sampler,
                PrivacyOptions options);
  /// For users in the place of samples: `accumulate` and `backward` then need the user of each
  /// loss.
  PrivacyEngine(std::vector<at::Tensor> parameters, const UserPoissonSampler& sampler,
                PrivacyOptions options);
  /// Resumes: the books of `state` are composed into the accountant, the step count and the
  /// clipping norm of adaptive clipping go on, and the noise takes a new key and the next key
  /// epoch.
  /// @throws std::invalid_argument also if `state` is out of range.
  PrivacyEngine(std::vector<at::Tensor> parameters, const PoissonSampler& sampler,
                PrivacyOptions options, const EngineState& state);
  PrivacyEngine(std::vector<at::Tensor> parameters, const UserPoissonSampler& sampler,
                PrivacyOptions options, const EngineState& state);
  PrivacyEngine(PrivacyEngine&&) noexcept;
  PrivacyEngine& operator=(PrivacyEngine&&) noexcept;
  ~PrivacyEngine();

  /// Adds the clipped gradients of a physical batch to the sum of the running step. No `.grad` is
  /// read or written. An empty batch ([0], with or without a graph) adds nothing.
  ///
  /// @param losses  [batch], one loss per sample, with its graph (reduction none); finite or not.
  /// @throws std::invalid_argument if losses is not such a tensor, or if the graph holds an
  ///         operation that mixes samples, an operation without a rule, or a trainable leaf that
  ///         the engine does not track, or uses a lazy table for anything but lookups;
  ///         std::logic_error if the proof fails, or a row of a lazy table was read without its
  ///         noise. Nothing is added then.
  void accumulate(const at::Tensor& losses);
  /// The same where users are sampled. A user's samples may stand in any order, but all of a step
  /// in one physical batch.
  ///
  /// @param users  [batch]: the user of each loss.
  /// @throws std::invalid_argument also if users has another size, or one of them was in an earlier
  ///         physical batch of this step, or the engine's sampler draws samples.
  void accumulate(const at::Tensor& losses, c10::ArrayRef<std::int64_t> users);

  /// Ends the logical step: enters the mechanism into the books, and only then adds the noise,
  /// once, divides by the expected batch size and writes `.grad` of every parameter. Without an
  /// `accumulate` before, the logical batch was empty.
  /// @throws what `release_guard` throws to refuse the step: its sum is dropped, nothing is
  ///         accounted, noised or written, and the next step may begin.
  StepStatistics finish_step();

  /// Drops what `accumulate` has added to the running step, for a batch that was broken off:
  /// nothing was released, so nothing is accounted.
  void abandon_step();

  /// `accumulate(losses)`, then `finish_step()`: a logical batch in one physical batch.
  /// @throws std::logic_error after an `accumulate` without `finish_step`.
  StepStatistics backward(const at::Tensor& losses);
  StepStatistics backward(const at::Tensor& losses, c10::ArrayRef<std::int64_t> users);

  Accountant& accountant();
  const Accountant& accountant() const;
  /// epsilon at `delta` of everything in the books.
  double epsilon(double delta) const;

  /// What is promised at `delta`, about whom: of everything in the books, which must be releases
  /// about the same unit.
  /// @throws std::logic_error while a lazy table lacks noise.
  PrivacyStatement statement(double delta) const;
  /// "example", or "user" where users are sampled: whose presence is protected.
  const char* unit() const;
  /// By how much one sample can move the next step's sum of clipped gradients.
  double sensitivity() const;
  double expected_batch_size() const;
  /// What each step composes.
  const Mechanism& mechanism() const;
  const PrivacyOptions& options() const;
  /// The tracked parameters, in the order of the noise's tensor index.
  const std::vector<at::Tensor>& parameters() const;

  /// @throws std::logic_error between `accumulate` and `finish_step`: half a step is not resumed;
  ///         and while a lazy table lacks noise.
  EngineState state() const;

  /// Per-sample values; not private.
  const UnsafeStepValues& unsafe_step_values() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace velum::dpsgd
