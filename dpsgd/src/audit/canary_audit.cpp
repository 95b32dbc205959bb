#include "velum/dpsgd/audit/canary_audit.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

#include "accounting/range_check.h"
#include "audit/audit_support.h"
#include "velum/dpsgd/accounting/pld_accountant.h"

namespace velum::dpsgd {
namespace {

constexpr char kFunction[] = "canary_audit";
// A canary's gradient over C: an engine that does not clip shows it at once.
constexpr double kLoudness = 0x1p10;
// Of a canary that is a user.
constexpr std::int64_t kExamplesOfACanary = 4;
// Elements of the dense rows of gradient canaries that are made at once.
constexpr std::int64_t kMostElements = std::int64_t{1} << 24;

void check(const AuditedModel& model, const CanaryAuditOptions& options) {
  detail::check_model(kFunction, model);
  detail::check_settings(kFunction, options.sampling_rate, options.noise_multiplier);
  detail::check_at_least(kFunction, "canaries", options.canaries, 1);
  detail::check_at_least(kFunction, "steps", options.steps, 1);
  detail::check_at_least(kFunction, "physical_batch_size", options.physical_batch_size, 1);
  if (!(options.learning_rate >= 0.0 && std::isfinite(options.learning_rate))) {
    reject(kFunction, "learning_rate", options.learning_rate, "finite and >= 0");
  }
  if (options.guessed_shares.empty()) {
    throw std::invalid_argument("canary_audit: guessed_shares is empty, expected at least one");
  }
  for (const double share : options.guessed_shares) {
    if (!(share > 0.0 && share <= 1.0)) reject(kFunction, "guessed_shares", share, "> 0 and <= 1");
  }
  if (options.runs != 0) {
    detail::check_at_least(kFunction, "runs", options.runs, 4);
    if (options.kind != CanaryKind::kDirac) {
      throw std::invalid_argument("canary_audit: runs = " + std::to_string(options.runs) +
                                  " with canaries of kind " + std::string(to_string(options.kind)) +
                                  ", expected 0: many runs are for kind dirac");
    }
  }
  check_delta(kFunction, options.delta);
  if (!(options.confidence > 0.0 && options.confidence < 1.0)) {
    reject(kFunction, "confidence", options.confidence, "> 0 and < 1");
  }
  if (options.kind == CanaryKind::kInput && !options.canary_losses) {
    throw std::invalid_argument("canary_audit: canaries of kind input need canary_losses");
  }
  if (options.kind == CanaryKind::kGradient) {
    std::int64_t size = 0;
    for (const at::Tensor& parameter : model.parameters) size += parameter.numel();
    if (options.canaries > size) {
      reject(kFunction, "canaries", options.canaries,
             "at most the number of parameters, " + std::to_string(size));
    }
  }
}

/// Canaries of one run: their losses, and a score that is larger where one took part.
class Canaries {
 public:
  virtual ~Canaries() = default;
  /// What the engine tracks beside the model's parameters.
  virtual std::vector<at::Tensor> extra_parameters() const { return {}; }
  virtual at::Tensor losses(const std::vector<std::int64_t>& indices) const = 0;
  /// Looks at `.grad` after a step.
  virtual void observe() {}
  /// [m], after the last step.
  virtual std::vector<double> scores() const = 0;
};

std::vector<double> to_vector(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kCPU, at::kDouble).contiguous();
  const auto* data = values.const_data_ptr<double>();
  return {data, data + values.numel()};
}

class DiracCanaries final : public Canaries {
 public:
  DiracCanaries(const AuditedModel& model, std::int64_t count, const Clipping& clipping,
                double loudness)
      : sums_(at::zeros({count}, at::kDouble)), loudness_(loudness) {
    // One tensor for each bound, so that a canary uses up the whole sensitivity.
    for (const ClippingGroup& group : clipping.groups()) weights_.push_back(group.clipping_norm);
    if (weights_.empty()) weights_ = {1.0};
    for (std::size_t i = 0; i < weights_.size(); ++i) {
      tensors_.push_back(at::zeros({count}, model.parameters.front().options().requires_grad(false))
                             .set_requires_grad(true));
    }
  }
  std::vector<at::Tensor> extra_parameters() const override { return tensors_; }
  at::Tensor losses(const std::vector<std::int64_t>& indices) const override {
    const at::Tensor& first = tensors_.front();
    const at::Tensor rows = at::zeros({static_cast<std::int64_t>(indices.size()), first.numel()},
                                      first.options().requires_grad(false));
    for (std::size_t i = 0; i < indices.size(); ++i) {
      rows[static_cast<std::int64_t>(i)][indices[i]].fill_(loudness_);
    }
    at::Tensor losses = rows.mv(first);
    for (std::size_t i = 1; i < tensors_.size(); ++i) losses = losses + rows.mv(tensors_[i]);
    return losses;
  }
  void observe() override {
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      sums_ += weights_[i] * tensors_[i].grad().to(at::kCPU, at::kDouble);
    }
  }
  std::vector<double> scores() const override { return to_vector(sums_); }

 private:
  std::vector<at::Tensor> tensors_;  // [canaries] each
  std::vector<double> weights_;      // of their gradients in the score
  at::Tensor sums_;
  double loudness_;
};

class GradientCanaries final : public Canaries {
 public:
  GradientCanaries(const AuditedModel& model, std::int64_t count, double loudness,
                   detail::Choices& choices)
      : parameters_(model.parameters),
        loudness_(loudness),
        sums_(static_cast<std::size_t>(count), 0.0) {
    for (const at::Tensor& parameter : parameters_) size_ += parameter.numel();
    each_ = size_ / count;
    // A random order of the coordinates, cut into pieces of `each_`; and their signs.
    order_.resize(static_cast<std::size_t>(size_));
    std::iota(order_.begin(), order_.end(), std::int64_t{0});
    for (std::size_t i = 0; i + 1 < order_.size(); ++i) {
      const auto left = static_cast<std::int64_t>(order_.size() - i);
      std::swap(order_[i], order_[i + static_cast<std::size_t>(choices.below(left))]);
    }
    for (std::int64_t i = 0; i < size_; ++i) signs_.push_back(choices.coin() ? 1.0 : -1.0);
  }
  at::Tensor losses(const std::vector<std::int64_t>& indices) const override {
    const auto count = static_cast<std::int64_t>(indices.size());
    const double element = loudness_ / std::sqrt(static_cast<double>(each_));
    at::Tensor directions = at::zeros({count, size_}, at::kDouble);
    auto* data = directions.data_ptr<double>();
    for (std::int64_t row = 0; row < count; ++row) {
      for_each_coordinate(indices[static_cast<std::size_t>(row)],
                          [&](std::int64_t coordinate, double sign) {
                            data[row * size_ + coordinate] = sign * element;
                          });
    }
    at::Tensor losses;
    std::int64_t offset = 0;
    for (const at::Tensor& parameter : parameters_) {
      const at::Tensor part = directions.narrow(1, offset, parameter.numel())
                                  .to(parameter.device(), parameter.scalar_type())
                                  .contiguous();
      const at::Tensor product = part.mv(parameter.reshape({-1}));
      losses = losses.defined() ? losses + product : product;
      offset += parameter.numel();
    }
    return losses;
  }
  void observe() override {
    const at::Tensor gradient = detail::gradient_vector(parameters_, 1.0);
    const auto* data = gradient.const_data_ptr<double>();
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      for_each_coordinate(static_cast<std::int64_t>(i), [&](std::int64_t coordinate, double sign) {
        sums_[i] += sign * data[coordinate];
      });
    }
  }
  std::vector<double> scores() const override { return sums_; }
  /// Rows of `losses` that fit into kMostElements.
  std::int64_t most_rows() const { return std::max<std::int64_t>(1, kMostElements / size_); }

 private:
  template <typename Visit>
  void for_each_coordinate(std::int64_t canary, const Visit& visit) const {
    for (std::int64_t i = canary * each_; i < (canary + 1) * each_; ++i) {
      const std::int64_t coordinate = order_[static_cast<std::size_t>(i)];
      visit(coordinate, signs_[static_cast<std::size_t>(coordinate)]);
    }
  }
  std::vector<at::Tensor> parameters_;
  double loudness_;
  std::vector<double> sums_;
  std::int64_t size_ = 0;
  std::int64_t each_ = 1;
  std::vector<std::int64_t> order_;
  std::vector<double> signs_;
};

class InputCanaries final : public Canaries {
 public:
  InputCanaries(const CanaryAuditOptions& options)
      : losses_(options.canary_losses),
        count_(options.canaries),
        part_(options.physical_batch_size),
        before_(all_losses()) {}
  at::Tensor losses(const std::vector<std::int64_t>& indices) const override {
    return losses_(indices);
  }
  std::vector<double> scores() const override {
    std::vector<double> fallen = all_losses();
    for (std::size_t i = 0; i < fallen.size(); ++i) fallen[i] = before_[i] - fallen[i];
    return fallen;
  }

 private:
  std::vector<double> all_losses() const {
    const c10::AutoGradMode no_grad(false);
    std::vector<double> all;
    for (std::int64_t begin = 0; begin < count_; begin += part_) {
      std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(part_, count_ - begin)));
      std::iota(indices.begin(), indices.end(), begin);
      const std::vector<double> values = to_vector(losses_(indices));
      if (values.size() != indices.size()) {
        throw std::invalid_argument("canary_audit: canary_losses gives " +
                                    std::to_string(values.size()) + " losses for " +
                                    std::to_string(indices.size()) + " canaries");
      }
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }
  std::function<at::Tensor(const std::vector<std::int64_t>&)> losses_;
  std::int64_t count_;
  std::int64_t part_;
  std::vector<double> before_;
};

/// The values of the parameters, put back at the end.
class KeptParameters {
 public:
  explicit KeptParameters(const std::vector<at::Tensor>& parameters) : parameters_(parameters) {
    for (const at::Tensor& parameter : parameters) kept_.push_back(parameter.detach().clone());
  }
  KeptParameters(const KeptParameters&) = delete;
  KeptParameters& operator=(const KeptParameters&) = delete;
  ~KeptParameters() { restore(); }
  void restore() const {
    const c10::AutoGradMode no_grad(false);
    for (std::size_t i = 0; i < kept_.size(); ++i) parameters_[i].copy_(kept_[i]);
  }

 private:
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> kept_;
};

class CanaryAudit {
 public:
  CanaryAudit(const AuditedModel& model, const EngineFactory& factory,
              const CanaryAuditOptions& options,
              const std::function<void(std::int64_t, std::int64_t)>& progress)
      : model_(model),
        factory_(factory),
        options_(options),
        progress_(progress),
        units_(model),
        kept_(model.parameters),
        choices_(options.insecure_seed ? kernels::insecure_key_from_seed(*options.insecure_seed)
                                       : kernels::secure_random_key()) {}

  CanaryAuditResult run() {
    CanaryAuditResult result;
    result.confidence = options_.confidence;
    result.delta = options_.delta;
    const std::size_t bounds = options_.guessed_shares.size() + (options_.runs > 0 ? 1 : 0);
    const double each = 1.0 - (1.0 - options_.confidence) / static_cast<double>(bounds);
    one_run(each, result);
    if (options_.runs > 0) many_runs(each, result);
    return result;
  }

 private:
  struct Outcome {
    std::vector<bool> members;
    std::vector<double> scores;
    Composition books;
  };

  Outcome train(std::int64_t count) {
    kept_.restore();
    Outcome outcome;
    for (std::int64_t i = 0; i < count; ++i) outcome.members.push_back(choices_.coin());
    std::int64_t rows = options_.physical_batch_size;
    const std::unique_ptr<Canaries> canaries = make_canaries(count, rows);
    std::vector<at::Tensor> parameters = model_.parameters;
    const std::vector<at::Tensor> extra = canaries->extra_parameters();
    parameters.insert(parameters.end(), extra.begin(), extra.end());
    const std::int64_t each = units_.by_user() ? kExamplesOfACanary : 1;
    AuditedEngineSettings settings{.dataset_size = model_.dataset_size + each * count,
                                   .user_of_example = model_.user_of_example,
                                   .user_gradient = options_.user_gradient,
                                   .sampling_rate = options_.sampling_rate,
                                   .clipping = clipping_with(extra.size()),
                                   .noise_multiplier = options_.noise_multiplier};
    if (options_.insecure_seed) {
      settings.insecure_noise_key = choices_.key();
      settings.insecure_sampling_key = choices_.key();
    }
    AuditedModel as_model{.parameters = {}, .dataset_size = each * count, .losses = nullptr};
    as_model.losses = [&](std::vector<std::int64_t> indices) {
      for (std::int64_t& index : indices) index /= each;
      return canaries->losses(indices);
    };
    if (units_.by_user()) {
      // Names that no user of the data has.
      const std::int64_t first = units_.name(units_.count() - 1) + 1;
      for (std::int64_t i = 0; i < each * count; ++i) {
        as_model.user_of_example.push_back(first + i / each);
      }
      settings.user_of_example.insert(settings.user_of_example.end(),
                                      as_model.user_of_example.begin(),
                                      as_model.user_of_example.end());
    }
    const std::unique_ptr<AuditedEngine> engine = factory_(parameters, settings);
    for (std::int64_t step = 0; step < options_.steps; ++step) {
      std::vector<std::int64_t> examples, members;
      for (const std::int64_t index : engine->next_batch()) {
        if (index < model_.dataset_size) {
          examples.push_back(index);
        } else if (const std::int64_t canary = index - model_.dataset_size;
                   outcome.members[static_cast<std::size_t>(canary / each)]) {
          members.push_back(canary);
        }
      }
      detail::accumulate_batch(*engine, model_, examples, options_.physical_batch_size);
      detail::accumulate_batch(*engine, as_model, members, rows);
      engine->finish_step();
      canaries->observe();
      detail::sgd_step(model_.parameters, options_.learning_rate);
      if (progress_) progress_(++done_, options_.steps * (1 + options_.runs));
    }
    outcome.scores = canaries->scores();
    // A score that is none says nothing: in the middle, and last to be guessed about.
    for (double& score : outcome.scores) score = std::isnan(score) ? 0.0 : score;
    outcome.books = engine->books();
    return outcome;
  }

  /// A norm that the clipping brings down to its bound, or next to it.
  double loudness() const {
    return kLoudness *
           std::max(detail::sensitivity_of(options_.clipping), options_.clipping.stability());
  }

  /// The model's clipping, each group with one of the canaries' tensors: they follow the model's.
  Clipping clipping_with(std::size_t extra) const {
    if (options_.clipping.kind() != Clipping::Kind::kGroups) return options_.clipping;
    std::vector<ClippingGroup> groups = options_.clipping.groups();
    std::int64_t next = 0;
    for (const ClippingGroup& group : groups) {
      next += static_cast<std::int64_t>(group.parameters.size());
    }
    for (std::size_t i = 0; i < extra; ++i) groups[i].parameters.push_back(next++);
    return Clipping::by_groups(groups);
  }

  std::unique_ptr<Canaries> make_canaries(std::int64_t count, std::int64_t& rows) {
    switch (options_.kind) {
      case CanaryKind::kDirac:
        return std::make_unique<DiracCanaries>(model_, count, options_.clipping, loudness());
      case CanaryKind::kGradient: {
        auto canaries = std::make_unique<GradientCanaries>(model_, count, loudness(), choices_);
        rows = std::min(rows, canaries->most_rows());
        return canaries;
      }
      case CanaryKind::kInput:
        return std::make_unique<InputCanaries>(options_);
    }
    throw std::logic_error("canary_audit: unknown CanaryKind");
  }

  void one_run(double confidence, CanaryAuditResult& result) {
    const Outcome outcome = train(options_.canaries);
    PldAccountant accountant(outcome.books.neighbouring(), {.accept_wider = true});
    accountant.compose(outcome.books);
    result.epsilon_upper = accountant.guarantee(options_.delta).epsilon;
    std::vector<std::size_t> order(outcome.scores.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return outcome.scores[a] > outcome.scores[b];
    });
    for (const double share : options_.guessed_shares) {
      const auto guesses =
          std::max<std::int64_t>(1, std::llround(share * static_cast<double>(options_.canaries)));
      const std::int64_t in = (guesses + 1) / 2;
      CanaryGuesses entry{.share = share, .counts = {options_.canaries, guesses, 0}};
      for (std::int64_t i = 0; i < in; ++i) {
        entry.counts.correct +=
            static_cast<std::int64_t>(outcome.members[order[static_cast<std::size_t>(i)]]);
      }
      for (std::int64_t i = 0; i < guesses - in; ++i) {
        entry.counts.correct += static_cast<std::int64_t>(
            !outcome.members[order[order.size() - 1 - static_cast<std::size_t>(i)]]);
      }
      entry.epsilon_lower =
          epsilon_lower_bound_of_one_run(entry.counts, options_.delta, confidence);
      result.guesses.push_back(entry);
    }
  }

  static MembershipCounts count(const std::vector<std::pair<double, bool>>& runs,
                                double threshold) {
    MembershipCounts counts;
    for (const auto& run : runs) {
      ++(run.second ? counts.members : counts.non_members);
      if (run.first > threshold) {
        ++(run.second ? counts.members_recognised : counts.non_members_accused);
      }
    }
    return counts;
  }

  void many_runs(double confidence, CanaryAuditResult& result) {
    std::vector<std::pair<double, bool>> first, second;  // score, member
    for (std::int64_t run = 0; run < options_.runs; ++run) {
      const Outcome outcome = train(1);
      (run < options_.runs / 2 ? first : second)
          .emplace_back(outcome.scores[0], outcome.members[0]);
    }
    const auto bound = [&](const MembershipCounts& counts) {
      if (counts.members == 0 || counts.non_members == 0) return 0.0;
      return epsilon_lower_bound_of_runs(counts, options_.delta, confidence);
    };
    double threshold = 0.0;
    double best = -1.0;
    for (const auto& run : first) {
      const double here = bound(count(first, run.first));
      if (here > best) {
        best = here;
        threshold = run.first;
      }
    }
    result.runs = count(second, threshold);
    result.runs_epsilon_lower = bound(*result.runs);
  }

  const AuditedModel& model_;
  const EngineFactory& factory_;
  const CanaryAuditOptions& options_;
  const std::function<void(std::int64_t, std::int64_t)>& progress_;
  detail::Units units_;
  KeptParameters kept_;
  detail::Choices choices_;
  std::int64_t done_ = 0;
};

}  // namespace

std::string_view to_string(CanaryKind kind) {
  switch (kind) {
    case CanaryKind::kDirac:
      return "dirac";
    case CanaryKind::kGradient:
      return "gradient";
    case CanaryKind::kInput:
      return "input";
  }
  throw std::logic_error("to_string: unknown CanaryKind");
}

CanaryKind canary_kind_from_string(std::string_view name) {
  for (const CanaryKind kind : {CanaryKind::kDirac, CanaryKind::kGradient, CanaryKind::kInput}) {
    if (to_string(kind) == name) return kind;
  }
  throw std::invalid_argument("canary kind = " + std::string(name) +
                              ", expected dirac, gradient or input");
}

double CanaryAuditResult::epsilon_lower() const {
  double largest = runs_epsilon_lower;
  for (const CanaryGuesses& entry : guesses) largest = std::max(largest, entry.epsilon_lower);
  return largest;
}

CanaryAuditResult canary_audit(const AuditedModel& model, const EngineFactory& factory,
                               const CanaryAuditOptions& options,
                               const std::function<void(std::int64_t, std::int64_t)>& progress) {
  check(model, options);
  return CanaryAudit(model, factory, options, progress).run();
}

}  // namespace velum::dpsgd
