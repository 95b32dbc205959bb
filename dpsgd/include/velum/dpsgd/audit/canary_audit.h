#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "velum/dpsgd/audit/audited_engine.h"
#include "velum/dpsgd/audit/epsilon_lower_bound.h"

namespace velum::dpsgd {

/// What an example of the audit's own is, and how it is recognised.
enum class CanaryKind {
  /// A gradient along one coordinate of a tensor that is added to the model's parameters and that
  /// nothing else uses; of one such tensor for each group of clipping by groups. Recognised by the
  /// noised gradients themselves (white box). The strongest:
  /// nothing but noise hides it. Audits clipping, noise, sampling and books, not the model.
  kDirac,
  /// A gradient of random signs on coordinates of the model's own parameters, no coordinate in two
  /// canaries. Recognised by the noised gradients (white box); the data's gradients add to the
  /// noise.
  kGradient,
  /// An input of the caller's, such as an example with a wrong label. Recognised by how much its
  /// loss fell from the first parameters to the last (black box). The weakest, and the nearest to
  /// what an outsider can do.
  kInput,
};
std::string_view to_string(CanaryKind kind);  ///< "dirac", "gradient", "input"
/// @throws std::invalid_argument naming the known ones.
CanaryKind canary_kind_from_string(std::string_view name);

struct CanaryAuditOptions {
  CanaryKind kind = CanaryKind::kDirac;
  std::int64_t canaries = 1000;             ///< m >= 1, each in the run by the toss of a coin
  std::int64_t steps = 10;                  ///< >= 1
  double sampling_rate = 0.1;               ///< q, of a unit; > 0 and <= 1
  Clipping clipping = Clipping::flat(1.0);  ///< groups are those of the model's parameters
  double noise_multiplier = 1.0;            ///< sigma, finite and > 0
  UserGradient user_gradient = UserGradient::kMean;  ///< only for a model with users
  double learning_rate = 0.1;  ///< of plain SGD on the model's parameters; finite and >= 0
  std::int64_t physical_batch_size = 64;  ///< most examples per `accumulate`; >= 1
  /// Shares of the canaries that are guessed about, half of each at either end of the scores. All
  /// are tried; that the best of them is taken is paid for (Bonferroni). Each > 0 and <= 1.
  std::vector<double> guessed_shares = {1.0, 0.4, 0.1};
  /// Further runs, with one canary by the toss of a coin, for the bound of many runs: half of them
  /// choose the threshold, the others count. Dirac canaries only. 0, or >= 4.
  std::int64_t runs = 0;
  double delta = 1e-5;       ///< in (0, 1)
  double confidence = 0.95;  ///< of all bounds together; in (0, 1)
  /// Losses of the canaries with these numbers, [indices.size()], for kind kInput.
  std::function<at::Tensor(const std::vector<std::int64_t>& indices)> canary_losses = nullptr;
  /// Everything from a known seed. By default coins, noise and sampling are secret, so that the
  /// confidence means what it says.
  std::optional<std::uint64_t> insecure_seed = std::nullopt;
};

/// Guesses about a share of the canaries of one run.
struct CanaryGuesses {
  double share = 0.0;
  OneRunGuesses counts;
  double epsilon_lower = 0.0;
};

struct CanaryAuditResult {
  /// Upper end of the certified epsilon of the engine's books at delta, add-or-remove-one; infinite
  /// if they promise nothing.
  double epsilon_upper = 0.0;
  std::vector<CanaryGuesses> guesses;
  std::optional<MembershipCounts> runs;  ///< of the counting half
  double runs_epsilon_lower = 0.0;
  double confidence = 0.0;  ///< of all lower bounds together
  double delta = 0.0;

  double epsilon_lower() const;  ///< the largest lower bound
  /// False: the engine is refuted, but for a chance of at most 1 - confidence.
  bool holds() const { return epsilon_lower() <= epsilon_upper; }
};

/// Trains the model with canaries in its data, guesses which took part, and bounds epsilon from
/// below by how many guesses are right (epsilon_lower_bound.h), against what the books of the
/// engine promise.
///
/// The data set that the engine is made for holds the model's examples and all canaries (one of
/// them in the further runs); a canary that did not take part is left out of the batches that would
/// have it. So two runs that differ in one coin differ by adding or removing one example, at the
/// same public size. For a model with users every canary is a user with four examples.
///
/// Papers: Steinke, Nasr and Jagielski 2023 (arXiv 2305.08846), Algorithm 1 and section 6; gradient
/// canaries: Nasr et al. 2023 (arXiv 2302.07956); Dirac canaries: section 6 of the former.
///
/// The model's parameters are put back as they were.
/// @param progress  told steps done and steps in all; may throw to stop.
/// @throws std::invalid_argument for an option out of range, a model as in `neighbour_replay`, more
///         gradient canaries than parameters, or no canary_losses where they are needed; what the
///         engine or the model throws.
CanaryAuditResult canary_audit(
    const AuditedModel& model, const EngineFactory& factory, const CanaryAuditOptions& options,
    const std::function<void(std::int64_t, std::int64_t)>& progress = nullptr);

}  // namespace velum::dpsgd
