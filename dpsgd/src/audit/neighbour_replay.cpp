#include "velum/dpsgd/audit/neighbour_replay.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "accounting/range_check.h"
#include "audit/audit_support.h"

namespace velum::dpsgd {
namespace {

constexpr char kFunction[] = "neighbour_replay";
constexpr double kLargeFactor = 0x1p20;

void check(const AuditedModel& model, const ReplayOptions& options) {
  detail::check_model(kFunction, model);
  detail::check_settings(kFunction, options.sampling_rate, options.clipping_norm,
                         options.noise_multiplier);
  if (!(options.learning_rate >= 0.0 && std::isfinite(options.learning_rate))) {
    reject(kFunction, "learning_rate", options.learning_rate, "finite and >= 0");
  }
  detail::check_at_least(kFunction, "steps", options.steps, 1);
  detail::check_at_least(kFunction, "physical_batch_size", options.physical_batch_size, 1);
  detail::check_at_least(kFunction, "examples_per_step", options.examples_per_step, 1);
  detail::check_at_least(kFunction, "positions", options.positions, 1);
}

std::vector<std::int64_t> without(std::vector<std::int64_t> batch, std::int64_t example) {
  std::erase(batch, example);
  return batch;
}

class Replay {
 public:
  Replay(const AuditedModel& model, const EngineFactory& factory, const ReplayOptions& options)
      : model_(model),
        options_(options),
        choices_(kernels::insecure_key_from_seed(options.insecure_seed + 2)),
        divisor_(options.sampling_rate * static_cast<double>(model.dataset_size)),
        unit_(detail::unit_roundoff(model.parameters)) {
    AuditedEngineSettings settings{
        .dataset_size = model.dataset_size,
        .sampling_rate = options.sampling_rate,
        .clipping_norm = options.clipping_norm,
        .noise_multiplier = options.noise_multiplier,
        .insecure_noise_key = kernels::insecure_key_from_seed(options.insecure_seed),
        .insecure_sampling_key = kernels::insecure_key_from_seed(options.insecure_seed + 1)};
    noised_ = factory(model.parameters, settings);
    noised_neighbour_ = factory(model.parameters, settings);
    settings.noise_multiplier = 0.0;
    exact_ = factory(model.parameters, settings);
    exact_neighbour_ = factory(model.parameters, settings);
  }

  void step(std::int64_t number, ReplayResult& result) {
    const std::vector<std::int64_t> batch = noised_->next_batch();
    if (noised_neighbour_->next_batch() != batch) {
      throw std::logic_error("neighbour_replay: two samplers with the same key differ");
    }
    step_ = number;
    batch_size_ = static_cast<std::int64_t>(batch.size());
    const at::Tensor sum = this->sum(*exact_, batch);
    std::vector<std::int64_t> neighbour = batch;
    at::Tensor neighbour_sum = sum;
    for (const std::int64_t example : choose(batch)) {
      neighbour = without(batch, example);
      neighbour_sum = compare(batch, sum, neighbour, example, result);
    }
    record(result, -1, ReplayChange::kHistory, sum, this->sum(*exact_neighbour_, batch), 0.0);
    compare_noise(result, batch, sum, neighbour, neighbour_sum);
    detail::sgd_step(model_.parameters, options_.learning_rate);  // as the first run goes on
  }

 private:
  at::Tensor sum(AuditedEngine& engine, const std::vector<std::int64_t>& batch,
                 const detail::LossFactors& factors = {}) {
    detail::accumulate_batch(engine, model_, batch, options_.physical_batch_size, factors);
    engine.finish_step();
    return detail::gradient_vector(model_.parameters, divisor_);
  }

  /// Some examples of the batch, without repetition.
  std::vector<std::int64_t> choose(std::vector<std::int64_t> batch) {
    std::vector<std::int64_t> chosen;
    while (!batch.empty() &&
           static_cast<std::int64_t>(chosen.size()) < options_.examples_per_step) {
      const auto at = batch.begin() + choices_.below(static_cast<std::int64_t>(batch.size()));
      chosen.push_back(*at);
      batch.erase(at);
    }
    return chosen;
  }

  /// The sum without the example.
  at::Tensor compare(const std::vector<std::int64_t>& batch, const at::Tensor& all,
                     const std::vector<std::int64_t>& others, std::int64_t example,
                     ReplayResult& result) {
    const double c = options_.clipping_norm;
    const at::Tensor rest = sum(*exact_neighbour_, others);
    record(result, example, ReplayChange::kRemoved, all, rest, c);
    if (batch_size_ < model_.dataset_size) {
      std::vector<std::int64_t> replaced = others;
      std::int64_t other = choices_.below(model_.dataset_size);
      while (std::find(batch.begin(), batch.end(), other) != batch.end()) {
        other = (other + 1) % model_.dataset_size;
      }
      replaced.insert(std::lower_bound(replaced.begin(), replaced.end(), other), other);
      record(result, example, ReplayChange::kReplaced, all, sum(*exact_neighbour_, replaced),
             2.0 * c);
    }
    const auto spoilt = [&](ReplayChange change, double factor, double bound) {
      record(result, example, change, sum(*exact_neighbour_, batch, {{example, factor}}), rest,
             bound);
    };
    spoilt(ReplayChange::kScaledUp, kLargeFactor, c);
    spoilt(ReplayChange::kNegated, -kLargeFactor, c);
    spoilt(ReplayChange::kNotFinite, std::numeric_limits<double>::infinity(), 0.0);
    return rest;
  }

  void compare_noise(ReplayResult& result, const std::vector<std::int64_t>& batch,
                     const at::Tensor& all, const std::vector<std::int64_t>& others,
                     const at::Tensor& rest) {
    // The second run first: the first one's gradient is left for the optimiser.
    const at::Tensor noised_rest = sum(*noised_neighbour_, others);
    const at::Tensor noised = sum(*noised_, batch);
    ReplayComparison row = begin(-1, ReplayChange::kNoise, 0.0);
    row.distance = detail::norm((noised - all) - (noised_rest - rest));
    // Each of the four vectors was rounded to the parameters' type.
    row.allowance +=
        4.0 * unit_ *
        (detail::norm(all) + detail::norm(rest) + detail::norm(noised) + detail::norm(noised_rest));
    result.comparisons.push_back(row);
  }

  ReplayComparison begin(std::int64_t example, ReplayChange change, double bound) const {
    // docs/numerics.md, "Sums elsewhere": B T products in the place of B + 4, gamma_k with the unit
    // roundoff of the type; also where nothing may differ but the order of the sums.
    const auto rows = static_cast<double>(batch_size_ + 1);
    const double k = (rows * static_cast<double>(options_.positions) + 4.0) * unit_;
    const double gamma = k < 1.0 ? k / (1.0 - k) : std::numeric_limits<double>::infinity();
    return {.step = step_,
            .batch_size = batch_size_,
            .example = example,
            .change = change,
            .bound = bound,
            .allowance = 2.0 * rows * gamma * options_.clipping_norm};
  }

  void record(ReplayResult& result, std::int64_t example, ReplayChange change, const at::Tensor& a,
              const at::Tensor& b, double bound) const {
    ReplayComparison row = begin(example, change, bound);
    row.distance = detail::norm(a - b);
    result.comparisons.push_back(row);
  }

  const AuditedModel& model_;
  const ReplayOptions& options_;
  detail::Choices choices_;
  double divisor_;
  double unit_;
  std::unique_ptr<AuditedEngine> noised_, noised_neighbour_, exact_, exact_neighbour_;
  std::int64_t step_ = 0;
  std::int64_t batch_size_ = 0;
};

/// How far beyond the bound; the larger, the worse.
double excess(const ReplayComparison& row) {
  if (std::isnan(row.distance)) return std::numeric_limits<double>::infinity();
  return row.distance / (row.bound + row.allowance);
}

}  // namespace

std::string_view to_string(ReplayChange change) {
  switch (change) {
    case ReplayChange::kRemoved:
      return "removed";
    case ReplayChange::kReplaced:
      return "replaced";
    case ReplayChange::kScaledUp:
      return "scaled up";
    case ReplayChange::kNegated:
      return "scaled up and negated";
    case ReplayChange::kNotFinite:
      return "not finite";
    case ReplayChange::kHistory:
      return "same batch, other history";
    case ReplayChange::kNoise:
      return "noise";
  }
  throw std::logic_error("to_string: unknown ReplayChange");
}

bool ReplayResult::holds() const {
  return std::all_of(comparisons.begin(), comparisons.end(),
                     [](const ReplayComparison& row) { return row.holds(); });
}

const ReplayComparison* ReplayResult::worst() const {
  const auto found = std::max_element(
      comparisons.begin(), comparisons.end(),
      [](const ReplayComparison& a, const ReplayComparison& b) { return excess(a) < excess(b); });
  return found == comparisons.end() ? nullptr : &*found;
}

ReplayResult neighbour_replay(const AuditedModel& model, const EngineFactory& factory,
                              const ReplayOptions& options,
                              const std::function<void(std::int64_t, std::int64_t)>& progress) {
  check(model, options);
  Replay replay(model, factory, options);
  ReplayResult result;
  for (std::int64_t step = 0; step < options.steps; ++step) {
    replay.step(step, result);
    if (progress) progress(step + 1, options.steps);
  }
  return result;
}

}  // namespace velum::dpsgd
