#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "velum/dpsgd/audit/audited_engine.h"

namespace velum::dpsgd {

struct ConformanceOptions {
  double sampling_rate = 0.1;                        ///< q, of a unit; > 0 and <= 1
  Clipping clipping = Clipping::flat(0.5);           ///< groups are those of the model's parameters
  double noise_multiplier = 1.3;                     ///< sigma, finite and > 0
  UserGradient user_gradient = UserGradient::kMean;  ///< only for a model with users
  /// Steps of each of four kinds (a drawn batch, no batch at all, an empty batch, a batch without a
  /// finite gradient) whose noise is measured; >= 2.
  std::int64_t steps_of_each_kind = 8;
  std::int64_t physical_batch_size = 64;  ///< most examples per `accumulate`; >= 1
  std::int64_t draws = 200;               ///< batches that the sampler is judged by; >= 2
  /// That a sound engine fails, at most, all statistical checks together; in (0, 1). By the
  /// distribution of an ideal engine: with known keys the outcome is always the same.
  double false_alarm_probability = 1e-6;
  /// Of the noise that is measured and of the choices of the audit; what is to be secret is drawn
  /// by the engine itself.
  std::uint64_t insecure_seed = 1;
};

/// One property of an engine.
struct ConformanceCheck {
  std::string name;
  bool statistical = false;
  /// At most the probability of what was seen, or worse, if the property holds; 0 or 1 where
  /// chance has no part.
  double p_value = 1.0;
  std::string found;  ///< what was seen, where it is worst
};

struct ConformanceResult {
  std::vector<ConformanceCheck> checks;
  double false_alarm_probability = 0.0;

  /// Below this a statistical check fails: false_alarm_probability over their number.
  double threshold() const;
  bool holds(const ConformanceCheck& check) const;
  bool holds() const;
  std::vector<std::string> violations() const;  ///< names of the checks that fail
};

/// Holds an engine of DP-SGD to what its accounting takes for granted:
///
/// - Sums, on two parameters with known gradients. The sensitivity that is stated is that of the
///   clipping; gradients are clipped as it says, by themselves, summed over all physical batches
///   and divided by the expected batch size whatever the actual one; one that is not finite adds
///   nothing; what stood in `.grad` is gone. For users: all examples of one together.
/// - Products, of a linear map over two steps: as exact as float32 is, in an autocast region too,
///   and not allowed to be of reduced precision; huge terms that cancel leave other gradients
///   alone.
/// - Refusals. Losses given twice in a step, a trainable parameter that the engine was not given or
///   that is in no group, books for another neighbouring relation, a user in two physical batches.
/// - Permission. A step that its release guard refuses releases nothing and leaves no trace; the
///   guard is asked once for every step.
/// - Counts of adaptive clipping: moved by a half by a gradient, with noise of sigma_b.
/// - Noise, on the model's own parameters, as the difference from an engine without noise: its
///   standard deviation is sigma S on every tensor (S the sensitivity; with adaptive clipping by
///   so much more as the counts cost), for drawn batches, for empty ones and for
///   batches whose gradients all are not finite (chi-squared, exact); it is normal (Dvoretzky,
///   Kiefer and Wolfowitz); it is not repeated, in whole or in part, between steps, between
///   tensors, within a tensor, between two engines, or after resuming (Chernoff's bound of inner
///   products of independent normals).
/// - Sampling of the units, examples or users. Rate, of all, of each and of half of them;
///   independence of one draw from the next and of one unit from another; spread of the batch sizes
///   (all exact binomial tests); no index twice or out of range; users with all examples.
/// - Books. After every step, empty ones too, their Renyi epsilon is at least that of as many
///   Poisson-sampled Gaussian releases; also after resuming, with the same sensitivity. The
///   statement is about the unit.
///
/// Every p-value is an upper bound, not an approximation. Several of one kind make one check, by
/// Bonferroni.
///
/// Shows: this engine, on this model, does not have the defects that the checks can see. A noise
/// that is off by less than chance allows is not seen: with n elements, a standard deviation off
/// by about 5 / sqrt(n) (relative) is.
///
/// The model's parameters keep their values.
/// @param progress  told checks done and checks in all; may throw to stop.
/// @throws std::invalid_argument for an option out of range or a model as in `neighbour_replay`;
///         what the engine or the model throws.
ConformanceResult engine_conformance(
    const AuditedModel& model, const EngineFactory& factory, const ConformanceOptions& options,
    const std::function<void(std::int64_t, std::int64_t)>& progress = nullptr);

}  // namespace velum::dpsgd
