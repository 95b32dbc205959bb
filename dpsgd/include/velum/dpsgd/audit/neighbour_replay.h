#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "velum/dpsgd/audit/audited_engine.h"

namespace velum::dpsgd {

struct ReplayOptions {
  std::int64_t steps = 10;                           ///< >= 1
  double sampling_rate = 0.1;                        ///< q, of a unit; > 0 and <= 1
  Clipping clipping = Clipping::flat(1.0);           ///< groups are those of the model's parameters
  double noise_multiplier = 1.0;                     ///< sigma, finite and > 0
  UserGradient user_gradient = UserGradient::kMean;  ///< only for a model with users
  double learning_rate = 0.1;  ///< of the plain SGD that moves the parameters; finite and >= 0
  std::int64_t physical_batch_size = 64;  ///< most examples per `accumulate`; >= 1
  /// Units (examples, or users) of every drawn batch that the second run is made to differ in, one
  /// at a time; >= 1.
  std::int64_t units_per_step = 2;
  /// Most positions (time steps, pixels) over which the gradient of an example to a parameter is
  /// summed: enters the allowance for rounding only. >= 1.
  std::int64_t positions = 1;
  /// Of noise, sampling and the choice of examples.
  std::uint64_t insecure_seed = 1;
};

/// In what the second run differs from the first at a step. S is the sensitivity of the clipping.
enum class ReplayChange {
  kRemoved,    ///< the unit is not there: the sums differ by at most S
  kReplaced,   ///< another one stands in its place: at most 2 S
  kScaledUp,   ///< its losses, and so its gradient, are 2^20 times as large, against its removal: S
  kNegated,    ///< the same times -2^20, against its removal: at most S
  kNotFinite,  ///< one gradient of it is infinite, against its removal: nothing
  kHistory,    ///< the same batch, in an engine with other steps behind it: nothing
  kNoise,      ///< the noise of the two runs, same key: nothing; not with lazy tables
  kCount,      ///< the unit is not there: the count of adaptive clipping differs by at most 1/2
};
std::string_view to_string(ReplayChange change);

/// One comparison of two runs.
struct ReplayComparison {
  std::int64_t step = 0;        ///< from 0
  std::int64_t batch_size = 0;  ///< examples of the first run; private, as is all of this
  std::int64_t unit = -1;       ///< the example (its index) or user that differs; -1: none
  ReplayChange change = ReplayChange::kRemoved;
  double distance = 0.0;   ///< L2 distance of the sums before noise and division; NaN: not finite
  double bound = 0.0;      ///< what it may be in exact arithmetic
  double allowance = 0.0;  ///< for rounding, on top

  bool holds() const { return distance <= bound + allowance; }
};

struct ReplayResult {
  std::vector<ReplayComparison> comparisons;

  bool holds() const;
  /// The comparison that is nearest to its bound, or farthest beyond it. Null if there is none.
  const ReplayComparison* worst() const;
};

/// Trains twice on data that differ in one example, with the same random streams, and holds the
/// sums of clipped gradients to what the accounting assumes, step by step, on the user's own model:
///
///   || sum - sum' ||_2 <= S (1 + eta)        one unit added or removed
///
/// A unit is an example or, for a model with users, a user with all examples. S is C of flat and
/// automatic clipping, the root of the sum of the squared bounds of groups, and the clipping norm
/// of the running step of adaptive clipping, which the engine states; there both runs go on from
/// the same released norm at every step, as the accounting does. eta is the allowance of
/// docs/numerics.md, "Clipped sums" and "Sums elsewhere": 2 B gamma(B T + 4) with B the size of the
/// batch, T `positions` and the unit roundoff of the parameters' type.
///
/// Both runs are at the same parameters at every step, those of the first one: how far one example
/// drives training is accounted for by composition, and not what is bounded here. Sums before the
/// noise are those of engines with noise multiplier 0. The noise is compared, too: it must not
/// depend on the data.
///
/// Shows: on these batches, no unit moves the sum by more than S. Does not show: that none could.
/// The model's parameters are left where training took them.
///
/// @param progress  told steps done and steps in all; may throw to stop.
/// @throws std::invalid_argument for an option out of range, a model without parameters, examples
///         or losses; what the engine or the model throws.
ReplayResult neighbour_replay(
    const AuditedModel& model, const EngineFactory& factory, const ReplayOptions& options,
    const std::function<void(std::int64_t, std::int64_t)>& progress = nullptr);

}  // namespace velum::dpsgd
