#pragma once

#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <ostream>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/audit/audited_engine.h"

namespace velum::testing {

/// What can be wrong with an engine: one thing at a time.
enum class Defect {
  kNone,
  // The bound of one example.
  kNoClipping,
  kClipsTheBatch,
  kClipsTheAverage,
  kClampsElements,
  kNormOfEachTensor,
  kNormOfOneTensor,
  kScalesSmallGradientsUp,
  kKeepsNotFinite,
  // The sum.
  kAveragesPhysicalBatches,
  kDividesByTheActualSize,
  kCarriesTheSumOver,
  kKeepsARawGradient,
  kAddsToTheOldGradient,
  kTakesLossesTwice,
  kLeavesParametersOut,
  kGradientsInHalfPrecision,
  kProductsOfTheAutocastRegion,
  kProductsOfReducedPrecision,
  // The noise.
  kNoiseWithoutTheClippingNorm,
  kNoiseScaledByTheDivisor,
  kNoiseOverTheRootOfTheBatch,
  kNoNoiseOnOneTensor,
  kNoiseTwiceOnOneTensor,
  kNoNoiseWithoutABatch,
  kNoNoiseOnEmptyBatches,
  kNoNoiseWithoutContribution,
  kNoNoiseAtAll,
  kUniformNoise,
  kSameNoiseEveryStep,
  kSameNoiseOnEveryTensor,
  kSameNoiseInBothHalves,
  kSameNoiseAfterResuming,
  kSameKeyInEveryEngine,
  // The sampling.
  kShuffledBatches,
  kBatchesOfFixedSize,
  kLargerRate,
  kBiasedRate,
  kSameBatchEveryStep,
  kNeighboursTogether,
  kWithReplacement,
  // The books.
  kEmptyStepsNotBooked,
  kEverySecondStepBooked,
  kSmallerRateBooked,
  kMoreNoiseBooked,
  kBooksLostOnResuming,
  kBooksForReplaceOne,
  // Permission.
  kGuardNotAsked,
  kGuardAskedAfterwards,
  kSumOfARefusedStepKept,
  // Clipping by groups.
  kGroupsByTheNormOfTheFirst,
  kNoiseOfTheLargestGroup,
  kParameterInNoGroup,
  // Automatic clipping.
  kAutomaticBySquaredNorm,
  kAutomaticNoiseOfTheStability,
  // Adaptive clipping.
  kCountForNothing,
  kCountWithoutNoise,
  kCountNotCentred,
  kCountOverTheActualSize,
  kCountByAStep,
  kCountOfARefusedStepKept,
  kFirstNormAfterResuming,
  // Users.
  kExamplesOfAUserClippedOneByOne,
  kNormOfAUserFromSquares,
  kUserWithoutWhatIsNotFinite,
  kUserInTwoPhysicalBatches,
  kMeanOfAUserNotDivided,
  kExamplesOfAUserDrawnApart,
  kStatementAboutExamples,
  kLast = kStatementAboutExamples,
};

/// No autocast while it lives, unless that of the region around it is to stay.
class AutocastRegion {
 public:
  explicit AutocastRegion(bool stays) : before_(at::autocast::is_autocast_enabled(at::kCPU)) {
    at::autocast::set_autocast_enabled(at::kCPU, before_ && stays);
  }
  AutocastRegion(const AutocastRegion&) = delete;
  AutocastRegion& operator=(const AutocastRegion&) = delete;
  ~AutocastRegion() { at::autocast::set_autocast_enabled(at::kCPU, before_); }

 private:
  bool before_;
};

/// An engine of DP-SGD in the plainest way, with nothing of velum's: a backward for every example,
/// sums in float64, noise and batches from the standard library's generator (no secrets here), and
/// at will one defect.
class SmallDpSgd final : public dpsgd::AuditedEngine {
 public:
  SmallDpSgd(std::vector<at::Tensor> parameters, const dpsgd::AuditedEngineSettings& settings,
             Defect defect)
      : parameters_(std::move(parameters)), settings_(settings), defect_(defect) {
    noise_seed_ = seed(settings.insecure_noise_key);
    units_ = settings.user_of_example;
    std::sort(units_.begin(), units_.end());
    units_.erase(std::unique(units_.begin(), units_.end()), units_.end());
    if (units_.empty()) {
      units_.resize(static_cast<std::size_t>(settings.dataset_size));
      std::iota(units_.begin(), units_.end(), std::int64_t{0});
    }
    norm_ = settings.clipping.clipping_norm();
    check();
    batch_seed_ = std::random_device()();
    if (settings.insecure_sampling_key) batch_seed_ = seed(settings.insecure_sampling_key);
    if (defect == Defect::kSameKeyInEveryEngine) noise_seed_ = 1;
    drop_sums();
  }

  std::vector<std::int64_t> next_batch() override {
    const auto n = static_cast<std::int64_t>(units_.size());
    const double q = settings_.sampling_rate;
    std::mt19937_64 generator(
        mixed(batch_seed_, epoch_, defect_ == Defect::kSameBatchEveryStep ? 0 : draws_, 0));
    const std::int64_t draw = draws_++;
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    std::vector<std::int64_t> batch;
    std::vector<std::int64_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    const auto size = static_cast<std::int64_t>(std::lround(q * static_cast<double>(n)));
    if (defect_ == Defect::kShuffledBatches) {
      const std::int64_t per_epoch = std::max<std::int64_t>(1, n / size);
      std::mt19937_64 of_epoch(mixed(batch_seed_, epoch_, draw / per_epoch, 1));
      std::shuffle(order.begin(), order.end(), of_epoch);
      const auto first = order.begin() + (draw % per_epoch) * size;
      batch.assign(first, first + size);
    } else if (defect_ == Defect::kBatchesOfFixedSize) {
      std::shuffle(order.begin(), order.end(), generator);
      batch.assign(order.begin(), order.begin() + size);
    } else if (defect_ == Defect::kWithReplacement) {
      for (std::int64_t i = 0; i < size; ++i) {
        batch.push_back(static_cast<std::int64_t>(uniform(generator) * static_cast<double>(n)));
      }
    } else {
      bool joined = false;
      for (std::int64_t i = 0; i < n; ++i) {
        double rate = q;
        if (defect_ == Defect::kLargerRate) rate = 1.2 * q;
        if (defect_ == Defect::kBiasedRate) rate = i < n / 2 ? 1.3 * q : 0.7 * q;
        if (defect_ != Defect::kNeighboursTogether || i % 2 == 0)
          joined = uniform(generator) < rate;
        if (joined) batch.push_back(i);
      }
    }
    std::sort(batch.begin(), batch.end());
    if (!by_user()) return batch;
    std::vector<std::int64_t> examples;
    for (const std::int64_t unit : batch) {
      for (std::int64_t i = 0; i < settings_.dataset_size; ++i) {
        if (user_of(i) != units_[static_cast<std::size_t>(unit)]) continue;
        if (defect_ == Defect::kExamplesOfAUserDrawnApart && uniform(generator) < 0.5) continue;
        examples.push_back(i);
      }
    }
    return examples;
  }

  void accumulate(const at::Tensor& losses, const std::vector<std::int64_t>& users) override {
    const AutocastRegion region(defect_ == Defect::kProductsOfTheAutocastRegion);
    const std::int64_t rows = losses.size(0);
    touched_ = true;
    if (rows == 0) return;
    if (defect_ != Defect::kProductsOfReducedPrecision &&
        at::globalContext().float32MatmulPrecision() != at::Float32MatmulPrecision::HIGHEST) {
      throw std::invalid_argument("products of reduced precision");
    }
    if (defect_ != Defect::kTakesLossesTwice && !seen_.insert(losses.grad_fn().get()).second) {
      throw std::invalid_argument("these losses were added already");
    }
    kept_.push_back(losses);  // so that no graph takes the place of another in memory
    if (defect_ != Defect::kLeavesParametersOut) require_tracked(losses);
    std::vector<at::Tensor> batch_sums = zeros();
    for (const std::vector<std::int64_t>& unit : units_of(rows, users)) {
      std::vector<at::Tensor> gradient = gradient_of(losses, unit);
      const std::vector<double> factors = clip_factors(gradient);
      count_ += counted(norm_of(gradient));
      for (std::size_t p = 0; p < parameters_.size(); ++p) {
        if (defect_ == Defect::kClampsElements) gradient[p].clamp_(-norm_, norm_);
        if (factors[p] == 0.0) continue;
        batch_sums[p] += gradient[p] * factors[p];
        any_contribution_ = true;
      }
      ++rows_;
    }
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      if (defect_ == Defect::kAveragesPhysicalBatches) batch_sums[p] /= rows;
      sums_[p] += batch_sums[p];
    }
  }

  void finish_step() override {
    torch::NoGradGuard no_grad;
    const bool guarded = settings_.release_guard != nullptr && defect_ != Defect::kGuardNotAsked;
    if (guarded && defect_ != Defect::kGuardAskedAfterwards) ask();
    const double c = norm_;
    const double expected = expected_size();
    if (defect_ == Defect::kClipsTheBatch || defect_ == Defect::kClipsTheAverage) {
      // The average clipped to C, and made a sum again; or the sum clipped to C.
      const double size = std::max<double>(1, static_cast<double>(rows_));
      const double bound = defect_ == Defect::kClipsTheAverage ? c * size : c;
      const double norm = norm_of(sums_);
      for (at::Tensor& sum : sums_) sum *= norm > bound ? bound / norm : 1.0;
    }
    const double divisor = defect_ == Defect::kDividesByTheActualSize
                               ? std::max<double>(1, static_cast<double>(rows_))
                               : expected;
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      if (defect_ == Defect::kKeepsARawGradient && p == 0 && parameters_[p].grad().defined()) {
        continue;
      }
      at::Tensor gradient = sums_[p].clone();
      if (noised(p)) gradient += noise(p);
      if (defect_ == Defect::kNoiseTwiceOnOneTensor && p == 0) gradient += noise(1000);
      gradient /= divisor;
      if (defect_ == Defect::kAddsToTheOldGradient && parameters_[p].grad().defined()) {
        gradient += parameters_[p].grad();
      }
      parameters_[p].mutable_grad() = gradient.to(parameters_[p].scalar_type());
    }
    book();
    if (adaptive()) adapt();
    ++steps_;
    if (defect_ != Defect::kCarriesTheSumOver) drop_sums();
    end_step();
    if (guarded && defect_ == Defect::kGuardAskedAfterwards) ask();
  }

  dpsgd::Composition books() const override { return books_; }
  double sensitivity() const override {
    if (defect_ != Defect::kNoiseOfTheLargestGroup) return norm_;
    double largest = 0.0;
    for (const auto& group : settings_.clipping.groups()) {
      largest = std::max(largest, group.clipping_norm);
    }
    return largest;
  }
  dpsgd::PrivacyStatement statement(double delta) const override {
    dpsgd::RdpAccountant accountant;
    accountant.compose(books_);
    dpsgd::StatementOptions options;
    if (by_user() && defect_ != Defect::kStatementAboutExamples) {
      options.unit = "user";
      options.whole_units = true;
    }
    return make_privacy_statement(books_, accountant.guarantee(delta), accountant.name(), options);
  }

  std::unique_ptr<dpsgd::AuditedEngine> resumed() const override {
    auto engine = std::make_unique<SmallDpSgd>(parameters_, settings_, defect_);
    engine->steps_ = steps_;
    engine->draws_ = draws_;
    engine->noise_seed_ = noise_seed_;
    if (defect_ != Defect::kFirstNormAfterResuming) engine->norm_ = norm_;
    engine->epoch_ = defect_ == Defect::kSameNoiseAfterResuming ? epoch_ : epoch_ + 1;
    if (defect_ != Defect::kBooksLostOnResuming) engine->books_ = books_;
    return engine;
  }

 private:
  static std::uint64_t seed(const std::optional<kernels::RandomKey>& key) {
    if (!key) return (std::uint64_t{std::random_device()()} << 32) | std::random_device()();
    return (std::uint64_t{key->words[0]} << 32) | key->words[1];
  }
  static std::uint64_t mixed(std::uint64_t a, std::uint64_t b, std::int64_t c, std::int64_t d) {
    std::seed_seq sequence{static_cast<std::uint32_t>(a), static_cast<std::uint32_t>(a >> 32),
                           static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(c),
                           static_cast<std::uint32_t>(d)};
    std::uint32_t words[2];
    sequence.generate(words, words + 2);
    return (std::uint64_t{words[0]} << 32) | words[1];
  }

  std::vector<at::Tensor> zeros() const {
    std::vector<at::Tensor> tensors;
    for (const at::Tensor& parameter : parameters_) {
      tensors.push_back(torch::zeros(parameter.sizes(), torch::kFloat64));
    }
    return tensors;
  }
  void drop_sums() { sums_ = zeros(); }

  bool by_user() const { return !settings_.user_of_example.empty(); }
  bool adaptive() const { return settings_.clipping.kind() == dpsgd::Clipping::Kind::kAdaptive; }
  std::int64_t user_of(std::int64_t example) const {
    return settings_.user_of_example[static_cast<std::size_t>(example)];
  }
  double expected_size() const {
    return settings_.sampling_rate * static_cast<double>(units_.size());
  }

  void check() const {
    const bool groups = settings_.clipping.kind() == dpsgd::Clipping::Kind::kGroups;
    std::size_t grouped = 0;
    for (const auto& group : settings_.clipping.groups()) grouped += group.parameters.size();
    if (groups && grouped != parameters_.size() && defect_ != Defect::kParameterInNoGroup) {
      throw std::invalid_argument("a parameter in no group");
    }
    if (settings_.accountant != nullptr && defect_ != Defect::kBooksForReplaceOne &&
        settings_.accountant->composition().neighbouring() !=
            dpsgd::Neighbouring::kAddOrRemoveOne) {
      throw std::invalid_argument("books for another neighbouring relation");
    }
  }

  /// Asks the guard; what it refuses is dropped.
  void ask() {
    try {
      settings_.release_guard->before_release(dpsgd::GaussianMechanism{1.0}, "training");
    } catch (...) {
      if (defect_ != Defect::kSumOfARefusedStepKept) drop_sums();
      if (defect_ != Defect::kCountOfARefusedStepKept) count_ = 0.0;
      end_step();
      throw;
    }
  }

  void end_step() {
    touched_ = any_contribution_ = false;
    rows_ = 0;
    seen_.clear();
    users_.clear();
    kept_.clear();
  }

  /// The rows of each example or user of a physical batch.
  std::vector<std::vector<std::int64_t>> units_of(std::int64_t rows,
                                                  const std::vector<std::int64_t>& users) {
    std::vector<std::vector<std::int64_t>> units;
    if (!by_user() || defect_ == Defect::kExamplesOfAUserClippedOneByOne) {
      for (std::int64_t row = 0; row < rows; ++row) units.push_back({row});
      return units;
    }
    std::map<std::int64_t, std::vector<std::int64_t>> of_user;
    for (std::int64_t row = 0; row < rows; ++row) {
      of_user[users[static_cast<std::size_t>(row)]].push_back(row);
    }
    for (auto& entry : of_user) {
      if (!users_.insert(entry.first).second && defect_ != Defect::kUserInTwoPhysicalBatches) {
        throw std::invalid_argument("a user in two physical batches");
      }
      units.push_back(std::move(entry.second));
    }
    return units;
  }

  /// What is clipped: of one example, or the mean or sum over a user's.
  std::vector<at::Tensor> gradient_of(const at::Tensor& losses,
                                      const std::vector<std::int64_t>& rows) {
    std::vector<at::Tensor> gradient = zeros();
    squares_ = 0.0;
    for (const std::int64_t row : rows) {
      const std::vector<at::Tensor> one = gradient_of(losses[row]);
      if (defect_ == Defect::kUserWithoutWhatIsNotFinite && !std::isfinite(norm_of(one))) continue;
      squares_ += std::pow(norm_of(one), 2);
      for (std::size_t p = 0; p < one.size(); ++p) gradient[p] += one[p];
    }
    const bool mean = by_user() && settings_.user_gradient == dpsgd::UserGradient::kMean &&
                      defect_ != Defect::kMeanOfAUserNotDivided;
    if (mean) {
      for (at::Tensor& part : gradient) part /= static_cast<double>(rows.size());
      squares_ /= std::pow(static_cast<double>(rows.size()), 2);
    }
    return gradient;
  }

  std::vector<at::Tensor> gradient_of(const at::Tensor& loss) const {
    const auto raw = torch::autograd::grad({loss}, parameters_, {}, /*retain_graph=*/true,
                                           /*create_graph=*/false, /*allow_unused=*/true);
    std::vector<at::Tensor> gradient = zeros();
    for (std::size_t p = 0; p < raw.size(); ++p) {
      if (!raw[p].defined()) continue;
      gradient[p] = raw[p].to(torch::kFloat64);
      if (defect_ == Defect::kGradientsInHalfPrecision) {
        gradient[p] = gradient[p].to(torch::kBFloat16).to(torch::kFloat64);
      }
    }
    return gradient;
  }

  /// b - 1/2 of adaptive clipping.
  double counted(double norm) const {
    constexpr double kRamp = 0x1p-6;
    double share = std::clamp(((1 + kRamp) * norm_ - norm) / (2 * kRamp * norm_), 0.0, 1.0);
    if (defect_ == Defect::kCountByAStep) share = norm <= norm_ ? 1.0 : 0.0;
    if (!std::isfinite(norm)) share = 0.0;
    return defect_ == Defect::kCountNotCentred ? share : share - 0.5;
  }

  void adapt() {
    const dpsgd::AdaptiveClipping& adaptive = settings_.clipping.adaptive();
    std::mt19937_64 generator(mixed(noise_seed_, epoch_, steps_, 2000));
    std::normal_distribution<double> normal;
    double noise = adaptive.count_noise * normal(generator);
    if (defect_ == Defect::kCountWithoutNoise) noise = 0.0;
    const double size = defect_ == Defect::kCountOverTheActualSize
                            ? std::max<double>(1, static_cast<double>(rows_))
                            : expected_size();
    const double share = 0.5 + (count_ + noise) / size;
    norm_ = std::clamp(norm_ * std::exp(-adaptive.learning_rate * (share - adaptive.quantile)),
                       adaptive.smallest_norm, adaptive.largest_norm);
    count_ = 0.0;
  }

  static double norm_of(const std::vector<at::Tensor>& tensors) {
    double squares = 0.0;
    for (const at::Tensor& tensor : tensors) squares += tensor.square().sum().item<double>();
    return std::sqrt(squares);
  }

  std::vector<double> clip_factors(const std::vector<at::Tensor>& gradient) const {
    double c = norm_;
    const double whole =
        defect_ == Defect::kNormOfAUserFromSquares ? std::sqrt(squares_) : norm_of(gradient);
    const dpsgd::Clipping& clipping = settings_.clipping;
    if (clipping.kind() == dpsgd::Clipping::Kind::kAutomatic) {
      const double norm = defect_ == Defect::kAutomaticBySquaredNorm ? whole * whole : whole;
      const double factor = std::isfinite(whole) ? c / (norm + clipping.stability()) : 0.0;
      return std::vector<double>(gradient.size(), factor);
    }
    std::vector<double> factors;
    for (std::size_t p = 0; p < gradient.size(); ++p) {
      double norm = whole;
      for (const dpsgd::ClippingGroup& group : clipping.groups()) {
        if (std::find(group.parameters.begin(), group.parameters.end(), p) ==
            group.parameters.end()) {
          continue;
        }
        c = group.clipping_norm;
        norm = norm_of_parts(gradient, defect_ == Defect::kGroupsByTheNormOfTheFirst
                                           ? clipping.groups().front()
                                           : group);
      }
      if (defect_ == Defect::kNormOfEachTensor) norm = norm_of({gradient[p]});
      if (defect_ == Defect::kNormOfOneTensor) norm = norm_of({gradient[0]});
      double factor = norm > c ? c / norm : 1.0;
      if (!std::isfinite(norm)) factor = 0.0;
      if (!std::isfinite(norm) && defect_ == Defect::kKeepsNotFinite) factor = 1.0;
      if (defect_ == Defect::kScalesSmallGradientsUp && norm > 0) factor = c / norm;
      const bool unclipped = defect_ == Defect::kNoClipping || defect_ == Defect::kClipsTheBatch ||
                             defect_ == Defect::kClipsTheAverage ||
                             defect_ == Defect::kClampsElements;
      factors.push_back(unclipped && std::isfinite(norm) ? 1.0 : factor);
    }
    return factors;
  }

  static double norm_of_parts(const std::vector<at::Tensor>& gradient,
                              const dpsgd::ClippingGroup& group) {
    std::vector<at::Tensor> parts;
    for (const std::int64_t p : group.parameters) {
      parts.push_back(gradient[static_cast<std::size_t>(p)]);
    }
    return norm_of(parts);
  }

  /// No trainable leaf of the graph is one that the engine does not know.
  void require_tracked(const at::Tensor& losses) const {
    std::set<const void*> known;
    for (const at::Tensor& parameter : parameters_) known.insert(parameter.unsafeGetTensorImpl());
    std::set<const torch::autograd::Node*> visited;
    std::vector<std::shared_ptr<torch::autograd::Node>> open{losses.grad_fn()};
    while (!open.empty()) {
      const auto node = open.back();
      open.pop_back();
      if (node == nullptr || !visited.insert(node.get()).second) continue;
      if (const auto* leaf = dynamic_cast<const torch::autograd::AccumulateGrad*>(node.get())) {
        if (known.count(leaf->variable.unsafeGetTensorImpl()) == 0) {
          throw std::invalid_argument("a trainable parameter is not tracked");
        }
      }
      for (const auto& edge : node->next_edges()) open.push_back(edge.function);
    }
  }

  bool noised(std::size_t p) const {
    if (defect_ == Defect::kNoNoiseAtAll) return false;
    if (defect_ == Defect::kNoNoiseOnOneTensor) return p != 1;
    if (defect_ == Defect::kNoNoiseWithoutABatch) return touched_;
    if (defect_ == Defect::kNoNoiseOnEmptyBatches) return rows_ > 0 || !touched_;
    if (defect_ == Defect::kNoNoiseWithoutContribution) return any_contribution_ || rows_ == 0;
    return true;
  }

  at::Tensor noise(std::size_t p) const {
    double deviation = settings_.noise_multiplier * sensitivity();
    const double expected = expected_size();
    if (adaptive() && settings_.noise_multiplier > 0 && defect_ != Defect::kCountForNothing) {
      const double half =
          settings_.noise_multiplier / 2 / settings_.clipping.adaptive().count_noise;
      deviation /= std::sqrt(1 - half * half);
    }
    if (defect_ == Defect::kAutomaticNoiseOfTheStability) {
      deviation = settings_.noise_multiplier * settings_.clipping.stability();
    }
    if (defect_ == Defect::kNoiseWithoutTheClippingNorm) deviation = settings_.noise_multiplier;
    if (defect_ == Defect::kNoiseScaledByTheDivisor) deviation /= expected;
    if (defect_ == Defect::kNoiseOverTheRootOfTheBatch) {
      deviation /= std::sqrt(std::max<double>(1, static_cast<double>(rows_)));
    }
    std::mt19937_64 generator(
        mixed(noise_seed_, epoch_, defect_ == Defect::kSameNoiseEveryStep ? 0 : steps_,
              defect_ == Defect::kSameNoiseOnEveryTensor ? 0 : static_cast<std::int64_t>(p)));
    const at::Tensor out = torch::zeros(parameters_[p < 1000 ? p : 0].sizes(), torch::kFloat64);
    auto* values = out.data_ptr<double>();
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform(-std::sqrt(3.0), std::sqrt(3.0));
    for (std::int64_t i = 0; i < out.numel(); ++i) {
      values[i] = defect_ == Defect::kUniformNoise ? uniform(generator) : normal(generator);
    }
    if (defect_ == Defect::kSameNoiseInBothHalves) {
      for (std::int64_t i = 0; i < out.numel() / 2; ++i) values[out.numel() / 2 + i] = values[i];
    }
    return out * deviation;
  }

  void book() {
    if (defect_ == Defect::kEmptyStepsNotBooked && rows_ == 0) return;
    if (defect_ == Defect::kEverySecondStepBooked && steps_ % 2 == 1) return;
    double q = settings_.sampling_rate;
    double sigma = settings_.noise_multiplier;
    if (defect_ == Defect::kSmallerRateBooked) q /= 2;
    if (defect_ == Defect::kMoreNoiseBooked) sigma *= 1.5;
    if (q == 1.0) {
      books_.append(dpsgd::GaussianMechanism{sigma}, 1, "training");
    } else {
      books_.append(dpsgd::PoissonSampledGaussianMechanism{q, sigma}, 1, "training");
    }
  }

  std::vector<at::Tensor> parameters_;
  dpsgd::AuditedEngineSettings settings_;
  Defect defect_;
  std::uint64_t noise_seed_ = 0;
  std::uint64_t batch_seed_ = 0;
  std::uint64_t epoch_ = 0;
  std::int64_t steps_ = 0;
  std::int64_t draws_ = 0;
  std::vector<std::int64_t> units_;  // examples, or names of users
  double norm_ = 0.0;                // C of the running step; of groups the whole sensitivity
  double count_ = 0.0;
  double squares_ = 0.0;          // of what was clipped last, example by example
  std::set<std::int64_t> users_;  // of the running step
  std::vector<at::Tensor> sums_;
  std::set<const void*> seen_;
  std::vector<at::Tensor> kept_;
  std::int64_t rows_ = 0;
  bool touched_ = false;
  bool any_contribution_ = false;
  dpsgd::Composition books_;
};

inline dpsgd::EngineFactory small_dp_sgd(Defect defect) {
  return [defect](const std::vector<at::Tensor>& parameters,
                  const dpsgd::AuditedEngineSettings& settings) {
    return std::make_unique<SmallDpSgd>(parameters, settings, defect);
  };
}

}  // namespace velum::testing
