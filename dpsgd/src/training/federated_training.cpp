#include "velum/dpsgd/training/federated_training.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/nn/functional/loss.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

#include "clipper.h"
#include "tape/tape.h"
#include "velum/dpsgd/training/models.h"
#include "velum/dpsgd/training/release_labels.h"

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kFeatures = 3969;
constexpr std::int64_t kInputs = kFeatures + 1;
constexpr std::int64_t kClasses = 10;
/// The share of (an owner's examples) C that coordinates of its sum stay below, nearly always:
/// what is larger is clamped, which costs accuracy and no privacy.
constexpr double kMeanRange = 0.1;
constexpr double kStepRange = 0.02;
constexpr std::int64_t kFinestGrid = std::int64_t{1} << 16;
constexpr std::int64_t kCoarsestGrid = std::int64_t{1} << 10;
/// Noise beyond so many standard deviations has a probability below 2^-100.
constexpr double kNoiseTail = 12.0;
constexpr double kRoundingOfDoubles = 1.0 + 0x1p-16;
constexpr std::int64_t kMostExamplesOfAnOwner = std::int64_t{1} << 18;
constexpr std::int64_t kRowsAtOnce = 4096;

template <typename T>
[[noreturn]] void refuse(const char* option, T value, const char* expected) {
  throw std::invalid_argument(std::string("make_federated_plan: ") + option + " = " +
                              std::to_string(value) + ", expected " + expected);
}

void check(const FederatedOptions& options) {
  if (options.owners < 2) refuse("owners", options.owners, "at least 2");
  if (options.honest < 1 || options.honest > options.owners) {
    refuse("honest", options.honest, "1 to owners");
  }
  if (options.examples < 1) refuse("examples", options.examples, "at least 1");
  if (options.steps < 1) refuse("steps", options.steps, "at least 1");
  if (!(options.clipping_norm > 0 && std::isfinite(options.clipping_norm))) {
    refuse("clipping_norm", options.clipping_norm, "finite and > 0");
  }
  if (options.bits < 16 || options.bits > 24) refuse("bits", options.bits, "16 to 24");
}

/// The release of a sum at a noise multiplier, on the finest grid that has room for it.
FederatedRelease release_of(const FederatedOptions& options, const char* label,
                            std::int64_t dimension, double clipping_norm, double range,
                            double noise_multiplier) {
  FederatedRelease release;
  release.label = label;
  release.dimension = dimension;
  release.clipping_norm = clipping_norm;
  const double room = std::ldexp(1.0, options.bits - 1) - 1.0;
  const double of_an_owner =
      range * static_cast<double>(options.examples) / static_cast<double>(options.owners);
  for (release.grid = kFinestGrid;; release.grid /= 2) {
    if (release.grid < kCoarsestGrid) {
      throw std::invalid_argument(std::string("make_federated_plan: the noise of the ") + label +
                                  ", of a multiplier of " + std::to_string(noise_multiplier) +
                                  ", leaves no room in " + std::to_string(options.bits) +
                                  " bits: take more bits, a larger epsilon or fewer steps");
    }
    const auto grid = static_cast<double>(release.grid);
    release.sensitivity = (grid + std::sqrt(static_cast<double>(dimension))) * kRoundingOfDoubles;
    const double share =
        release.sensitivity * noise_multiplier / std::sqrt(static_cast<double>(options.honest));
    release.largest_value =
        static_cast<std::int64_t>(std::max(0.0, room - std::ceil(kNoiseTail * share) - 1.0));
    if (static_cast<double>(release.largest_value) >= std::max(1.0, of_an_owner) * grid) break;
  }
  const double deviation = release.sensitivity * noise_multiplier;
  release.noise = plan_integer_noise(IntegerNoise::kDiscreteGaussian,
                                     deviation * deviation * (1.0 + 0x1p-50), options.honest);
  release.mechanism = mechanism(
      release.noise, dimension,
      {.l1 = release.sensitivity * std::sqrt(static_cast<double>(dimension)) * (1.0 + 0x1p-50),
       .l2 = release.sensitivity});
  return release;
}

/// Mean and step with all noise multiplied by `factor`.
void set_noise(FederatedPlan& plan, const TrainingPlan& central, double factor) {
  plan.mean = release_of(plan.options, kMeanLabel, kFeatures, 1.0, kMeanRange,
                         factor * central.preparation.front().noise_multiplier);
  plan.step = release_of(plan.options, kTrainingLabel, kInputs * kClasses,
                         plan.options.clipping_norm, kStepRange, factor * central.noise_multiplier);
}

/// A mean that was released already.
class ReleasedMean final : public PreparatoryReleases {
 public:
  explicit ReleasedMean(at::Tensor mean) : mean_(std::move(mean)) {}
  std::optional<at::Tensor> kept(const std::string& label) const override {
    if (label != kMeanLabel) return std::nullopt;
    return mean_;
  }
  void announce(const PreparatoryRelease& release) override {
    throw std::logic_error("FederatedModel: an unplanned release of the " + release.label);
  }
  void keep(const std::string& /*label*/, const at::Tensor& /*value*/) override {}

 private:
  at::Tensor mean_;
};

void add_rows(const at::Tensor& rows, std::vector<double>& sum) {
  const at::Tensor total = rows.sum(0).contiguous();
  const double* const values = total.const_data_ptr<double>();
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
}

}  // namespace

std::int64_t FederatedPlan::values() const { return std::max(mean.dimension, step.dimension); }

Composition FederatedPlan::releases() const {
  Composition all(Neighbouring::kAddOrRemoveOne);
  all.append(mean.mechanism, 1, mean.label);
  all.append(step.mechanism, options.steps, step.label);
  return all;
}

FederatedPlan make_federated_plan(const FederatedOptions& options) {
  check(options);
  TrainingOptions central{.epsilon = options.epsilon,
                          .delta = options.delta,
                          .steps = options.steps,
                          .sampling_rate = 1.0,
                          .clipping_norm = options.clipping_norm,
                          .learning_rate = options.learning_rate,
                          .momentum = options.momentum};
  const TrainingPlan of_one = make_training_plan(central, options.examples);
  FederatedPlan plan;
  plan.options = options;
  plan.learning_rate = of_one.learning_rate;
  // What is known of integers costs a little more than Gaussian noise on reals: find how much.
  const auto within_budget = [&](double factor) {
    set_noise(plan, of_one, factor);
    RdpAccountant accountant;
    accountant.compose(plan.releases());
    return accountant.epsilon(options.delta) <= options.epsilon;
  };
  double low = 1.0, high = 1.0;
  while (!within_budget(high)) {
    low = high;
    high *= 1.5;
    if (high > 100.0) throw std::logic_error("make_federated_plan: no noise is enough");
  }
  while (high - low > 1e-4 * high) {
    const double middle = low + (high - low) / 2;
    (within_budget(middle) ? high : low) = middle;
  }
  set_noise(plan, of_one, high);
  return plan;
}

FederatedModel::FederatedModel(FederatedPlan plan, const kernels::Stream& stream)
    : plan_(std::move(plan)), stream_(stream) {
  model_ = make_model(ModelKind::kScatterLinear, kInputs, 0);
  model_->to(at::kDouble);  // sums of gradients without roundings that count
  optimizer_ = std::make_unique<torch::optim::SGD>(
      model_->parameters(),
      torch::optim::SGDOptions(plan_.learning_rate).momentum(plan_.options.momentum));
}

const ScatterFeatureMap& FederatedModel::features() const {
  if (!features_) {
    throw std::logic_error("FederatedModel::features: made by the first round, which is not done");
  }
  return *features_;
}

void FederatedModel::apply(kernels::Span<const std::int32_t> sum) {
  if (done()) throw std::logic_error("FederatedModel::apply: all rounds are done");
  if (sum.size() != plan_.values()) {
    throw std::invalid_argument(
        "FederatedModel::apply: sum.size() = " + std::to_string(sum.size()) +
        ", expected values = " + std::to_string(plan_.values()));
  }
  const FederatedRelease& release = plan_.release(round_);
  const double unit = release.clipping_norm / static_cast<double>(release.grid) /
                      static_cast<double>(plan_.options.examples);
  const at::Tensor mean = at::empty({release.dimension}, at::kDouble);
  double* const out = mean.data_ptr<double>();
  for (std::int64_t i = 0; i < release.dimension; ++i) out[i] = unit * sum[i];
  if (round_ == 0) {
    ReleasedMean releases(mean.to(at::kFloat));
    const at::Tensor no_rows = at::empty({0, kInputs}, at::kFloat);
    TrainingPlan recipe;
    recipe.moment_floor = 1e-3;  // as make_training_plan has it for images of random shapes
    features_ = make_scatter_feature_map(no_rows, recipe, releases, {}, 0, stream_);
  } else {
    const c10::AutoGradMode no_grad(false);
    at::Tensor weight = model_->parameters().front();
    weight.mutable_grad() = mean.view(weight.sizes());
    optimizer_->step();
  }
  ++round_;
}

FederatedOwner::FederatedOwner(FederatedPlan plan, at::Tensor rows, at::Tensor labels,
                               std::shared_ptr<ReleaseGuard> guard, const kernels::Stream& stream,
                               const std::optional<kernels::RandomKey>& insecure_test_key)
    : model_(std::move(plan), stream),
      rows_(std::move(rows)),
      labels_(std::move(labels)),
      guard_(std::move(guard)),
      stream_(stream),
      key_(insecure_test_key ? *insecure_test_key : kernels::secure_random_key()),
      tape_(std::make_unique<detail::Tape>(model_.model()->parameters(),
                                           /*allow_slow_rules=*/false)) {
  const std::int64_t count = rows_.dim() == 2 ? rows_.size(0) : -1;
  if (count < 1 || rows_.size(1) != kInputs || rows_.scalar_type() != at::kFloat ||
      labels_.dim() != 1 || labels_.size(0) != count || labels_.scalar_type() != at::kLong) {
    throw std::invalid_argument(
        "FederatedOwner: rows and labels, expected float32 [n, 3970] and int64 [n], n >= 1");
  }
  if (count > model_.plan().options.examples || count > kMostExamplesOfAnOwner) {
    throw std::invalid_argument(
        "FederatedOwner: " + std::to_string(count) + " examples, expected at most " +
        std::to_string(std::min(model_.plan().options.examples, kMostExamplesOfAnOwner)) +
        ": those of all owners, and 2^18");
  }
  require_books_for(guard_.get(), Neighbouring::kAddOrRemoveOne, "example", "FederatedOwner");
}

FederatedOwner::~FederatedOwner() { kernels::wipe(key_); }

std::vector<double> FederatedOwner::private_sum() {
  const FederatedRelease& release = model_.plan().release(model_.round());
  std::vector<double> sum(static_cast<std::size_t>(release.dimension), 0.0);
  const std::int64_t count = rows_.size(0);
  const std::vector<at::Tensor> parameters = model_.model()->parameters();
  const detail::Clipper clipper(Clipping::flat(release.clipping_norm), parameters, 0.0);
  const detail::Clipper::Group& group = clipper.groups().front();
  for (std::int64_t begin = 0; begin < count; begin += kRowsAtOnce) {
    const std::int64_t size = std::min(kRowsAtOnce, count - begin);
    const at::Tensor rows = rows_.narrow(0, begin, size).to(at::kDouble);
    if (model_.round() == 0) {
      const at::Tensor features = rows.narrow(1, 0, kFeatures);
      const at::Tensor factors =
          clipper.factors(features.square().sum(1).contiguous(), group, at::kDouble);
      add_rows(features.mul(factors.unsqueeze(1)).nan_to_num(0.0, 0.0, 0.0), sum);
      continue;
    }
    namespace functional = torch::nn::functional;
    at::Tensor losses;
    {
      const c10::AutoGradMode grad(true);
      losses =
          functional::cross_entropy(model_.model()->forward(rows), labels_.narrow(0, begin, size),
                                    functional::CrossEntropyFuncOptions().reduction(torch::kNone));
    }
    const c10::AutoGradMode no_grad(false);
    detail::BatchGradients gradients = tape_->differentiate(losses, /*release=*/true);
    const at::Tensor squares = gradients.squared_norms(group.parameters).contiguous();
    const at::Tensor finite = at::isfinite(squares);
    if (!finite.all().item<bool>()) gradients.exclude(finite.logical_not());
    const detail::SampleFactors factors(clipper.factors(squares, group, at::kDouble));
    add_rows(gradients.parameter(0).weighted_sum(factors, {}).reshape({1, release.dimension}), sum);
  }
  return sum;
}

std::vector<std::int32_t> FederatedOwner::contribute() {
  if (model_.done()) throw std::logic_error("FederatedOwner::contribute: all rounds are done");
  if (contributed_) {
    throw std::logic_error("FederatedOwner::contribute: round " + std::to_string(model_.round()) +
                           " has its contribution already");
  }
  const FederatedRelease& release = model_.plan().release(model_.round());
  if (guard_ != nullptr) guard_->before_release(release.mechanism, release.label);
  accountant_.compose(release.mechanism, 1, release.label);
  contributed_ = true;

  // Noise first: how long it takes tells nothing of a sum that is not there yet.
  const std::vector<std::int64_t> noise =
      integer_noise_share(release.noise, release.dimension, key_,
                          {.purpose = kernels::Purpose::kIntegerNoise,
                           .step = static_cast<std::uint64_t>(model_.round())},
                          stream_);
  const std::vector<double> sum = private_sum();
  const double units = static_cast<double>(release.grid) / release.clipping_norm;
  const std::int64_t room = (std::int64_t{1} << (model_.plan().options.bits - 1)) - 1;
  std::vector<std::int32_t> values(static_cast<std::size_t>(model_.plan().values()), 0);
  const auto limit = static_cast<double>(release.largest_value);
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const double rounded = std::nearbyint(std::clamp(units * sum[i], -limit, limit));
    const std::int64_t value = static_cast<std::int64_t>(rounded) + noise[i];
    // The noise alone decides it, with a probability below 2^-100: nothing of the data shows.
    values[i] = static_cast<std::int32_t>(std::clamp(value, -room, room));
  }
  return values;
}

void FederatedOwner::apply(kernels::Span<const std::int32_t> sum) {
  if (!contributed_) {
    throw std::logic_error("FederatedOwner::apply: round " + std::to_string(model_.round()) +
                           " has no contribution of this owner");
  }
  model_.apply(sum);
  contributed_ = false;
  if (model_.round() == 1) apply_scatter_feature_map(model_.features(), rows_, stream_);
}

}  // namespace velum::dpsgd
