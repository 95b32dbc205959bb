#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/optim/sgd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/dpsgd/integer_noise.h"
#include "velum/dpsgd/training/scatter_features.h"
#include "velum/dpsgd/training/training_plan.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

/// Several owners train scatter-linear together: in each round every owner contributes a vector of
/// integers, and only the exact sum of all of them makes the next model. How that sum is formed
/// without anybody seeing a contribution is not known here (velum::he::aggregation).
namespace velum::dpsgd {

namespace detail {
class Tape;
}

struct FederatedOptions {
  int owners = 3;  ///< at least 2
  /// So many owners at least add their share of the noise and tell nobody what it was; 1 to owners.
  /// The guarantee is towards everybody else together: the other owners, whoever adds up, and those
  /// who see the model.
  int honest = 2;
  /// Training examples of all owners together; public, the divisor of every sum.
  std::int64_t examples = 0;
  double epsilon = 3.0;
  double delta = 1e-5;
  std::int64_t steps = 60;
  double clipping_norm = 0.1;
  /// Nothing: as `make_training_plan` chooses it for epsilon.
  std::optional<double> learning_rate = std::nullopt;
  double momentum = 0.9;
  /// A contribution is an integer of so many bits, two's complement; 16 to 24.
  int bits = 24;
};

/// What one round releases: the sum over all examples of vectors of a norm of at most C, in units
/// of C / grid, with integer noise.
struct FederatedRelease {
  std::string label;
  std::int64_t dimension = 0;
  double clipping_norm = 0.0;  ///< C
  std::int64_t grid = 0;       ///< units in C, a power of two
  /// By how much one example can move the sum of integers, in L2: see `make_federated_plan`.
  double sensitivity = 0.0;
  IntegerNoisePlan noise{};        ///< what every owner adds: discrete Gaussian shares
  std::int64_t largest_value = 0;  ///< an owner's sum is clamped to it, before its noise
  Mechanism mechanism = GaussianMechanism{0.0};  ///< of the sum with the honest owners' noise
};

/// All that the owners agree upon before the first round. Public.
struct FederatedPlan {
  FederatedOptions options;
  double learning_rate = 0.0;
  FederatedRelease mean;  ///< round 0
  FederatedRelease step;  ///< rounds 1 to options.steps

  std::int64_t rounds() const { return 1 + options.steps; }
  const FederatedRelease& release(std::int64_t round) const { return round == 0 ? mean : step; }
  /// Integers in every contribution: the larger dimension; the mean is followed by zeros.
  std::int64_t values() const;
  /// All releases.
  Composition releases() const;
};

/// Decides grids and noise: the least with which the mean and all steps stay within (epsilon,
/// delta) by Renyi accounting.
///
/// Sensitivity: an owner rounds its own sum, once, to the nearest integers. Adding or removing an
/// example moves the sum by at most `grid` units in L2 before rounding (clamping does not enlarge
/// it), and rounding moves each difference by less than 1 more: so at most grid + sqrt(dimension).
/// Raised by 2^-16 for the rounding of doubles, in which everything before is computed: a sum of n
/// vectors of norm C is off by at most n^2 2^-53 C. One example is in one owner's sum.
/// @throws std::invalid_argument naming the option that is out of range; if the noise leaves no
/// room for values in `bits` bits.
FederatedPlan make_federated_plan(const FederatedOptions& options);

/// The model that the sums make: equal, to the bit, for everybody who applies them on a machine
/// that computes alike.
class FederatedModel {
 public:
  FederatedModel(FederatedPlan plan, const kernels::Stream& stream);

  const FederatedPlan& plan() const { return plan_; }
  /// Of the next sum, 0 to plan().rounds(), where all are done.
  std::int64_t round() const { return round_; }
  bool done() const { return round_ == plan_.rounds(); }
  /// Takes the sum of all contributions of the running round.
  /// @param sum  [plan().values()].
  /// @throws std::invalid_argument if it has another size; std::logic_error if all rounds are done.
  void apply(kernels::Span<const std::int32_t> sum);

  torch::nn::Sequential& model() { return model_; }
  /// Made by the first sum. @throws std::logic_error before.
  const ScatterFeatureMap& features() const;

 private:
  FederatedPlan plan_;
  kernels::Stream stream_;
  std::int64_t round_ = 0;
  std::optional<ScatterFeatureMap> features_;
  torch::nn::Sequential model_{nullptr};
  std::unique_ptr<torch::optim::SGD> optimizer_;
};

/// One owner: its data, its share of the noise, its books.
class FederatedOwner {
 public:
  /// @param rows    [n, 3970], from `unit_scattering_rows` of the owner's images; changed.
  /// @param labels  [n] int64, 0 to 9.
  /// @param guard   asked before every contribution; null: none.
  /// @param insecure_test_key  noise from a known key: reproducible, and therefore not private.
  /// @throws std::invalid_argument if rows or labels have another shape, there are more of them
  ///         than plan.options.examples or 2^18, or the guard's books are not about examples.
  FederatedOwner(FederatedPlan plan, at::Tensor rows, at::Tensor labels,
                 std::shared_ptr<ReleaseGuard> guard, const kernels::Stream& stream,
                 const std::optional<kernels::RandomKey>& insecure_test_key = std::nullopt);
  FederatedOwner(const FederatedOwner&) = delete;
  FederatedOwner& operator=(const FederatedOwner&) = delete;
  ~FederatedOwner();

  /// The owner's integers for the running round: private, for the sum alone. Enters the release
  /// into the books first.
  /// @return [plan.values()].
  /// @throws std::logic_error if it was asked for in this round before: a second draw of noise on
  ///         the same sum must not exist; what the guard throws.
  std::vector<std::int32_t> contribute();
  /// Ends the round. @throws as FederatedModel; std::logic_error before `contribute`.
  void apply(kernels::Span<const std::int32_t> sum);

  FederatedModel& model() { return model_; }
  /// Of everything that this owner contributed to, by the noise of the honest owners.
  const Accountant& accountant() const { return accountant_; }

 private:
  std::vector<double> private_sum();

  FederatedModel model_;
  at::Tensor rows_;
  at::Tensor labels_;
  std::shared_ptr<ReleaseGuard> guard_;
  kernels::Stream stream_;
  kernels::RandomKey key_;
  std::unique_ptr<detail::Tape> tape_;
  RdpAccountant accountant_;
  bool contributed_ = false;
};

}  // namespace velum::dpsgd
