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
// Of the logarithm of a quotient of two released norms: some roundings of 2^-53.
constexpr double kLogarithmError = 0x1p-48;

void check(const AuditedModel& model, const ReplayOptions& options) {
  detail::check_model(kFunction, model);
  detail::check_settings(kFunction, options.sampling_rate, options.noise_multiplier);
  if (!(options.learning_rate >= 0.0 && std::isfinite(options.learning_rate))) {
    reject(kFunction, "learning_rate", options.learning_rate, "finite and >= 0");
  }
  detail::check_at_least(kFunction, "steps", options.steps, 1);
  detail::check_at_least(kFunction, "physical_batch_size", options.physical_batch_size, 1);
  detail::check_at_least(kFunction, "units_per_step", options.units_per_step, 1);
  detail::check_at_least(kFunction, "positions", options.positions, 1);
}

std::vector<std::int64_t> without(std::vector<std::int64_t> batch,
                                  const std::vector<std::int64_t>& examples) {
  for (const std::int64_t example : examples) std::erase(batch, example);
  return batch;
}

class Replay {
 public:
  Replay(const AuditedModel& model, const EngineFactory& factory, const ReplayOptions& options)
      : model_(model),
        options_(options),
        units_(model),
        choices_(kernels::insecure_key_from_seed(options.insecure_seed + 2)),
        divisor_(options.sampling_rate * static_cast<double>(units_.count())),
        roundoff_(detail::unit_roundoff(model.parameters)),
        sensitivity_(detail::sensitivity_of(options.clipping)) {
    AuditedEngineSettings settings{
        .dataset_size = model.dataset_size,
        .user_of_example = model.user_of_example,
        .user_gradient = options.user_gradient,
        .sampling_rate = options.sampling_rate,
        .clipping = options.clipping,
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
    if (adaptive()) {
      sensitivity_ = exact_->sensitivity();
      before_ = exact_->resumed();
      noised_before_ = noised_->resumed();
    }
    const at::Tensor sum = this->sum(*exact_, batch);
    std::vector<std::int64_t> neighbour = batch;
    at::Tensor neighbour_sum = sum;
    for (const std::int64_t unit : choose(batch)) {
      neighbour = without(batch, units_.examples(unit));
      neighbour_sum = compare(batch, sum, neighbour, unit, result);
    }
    record(result, -1, ReplayChange::kHistory, sum, sum_of_neighbour(batch), 0.0);
    compare_noise(result, batch, sum, neighbour, neighbour_sum);
    detail::sgd_step(model_.parameters, options_.learning_rate);  // as the first run goes on
  }

 private:
  bool adaptive() const { return options_.clipping.kind() == Clipping::Kind::kAdaptive; }

  /// The sum of the second run: of one engine throughout or, where the clipping norm follows what
  /// each step has released, of one that goes on from where the first run was before its step.
  at::Tensor sum_of_neighbour(const std::vector<std::int64_t>& batch,
                              const detail::LossFactors& factors = {}) {
    if (!adaptive()) return sum(*exact_neighbour_, batch, factors);
    const std::unique_ptr<AuditedEngine> engine = before_->resumed();
    const at::Tensor result = sum(*engine, batch, factors);
    released_norm_ = engine->sensitivity();
    return result;
  }

  at::Tensor sum(AuditedEngine& engine, const std::vector<std::int64_t>& batch,
                 const detail::LossFactors& factors = {}) {
    detail::accumulate_batch(engine, model_, batch, options_.physical_batch_size, factors);
    engine.finish_step();
    return detail::gradient_vector(model_.parameters, divisor_);
  }

  /// Some units of the batch, without repetition.
  std::vector<std::int64_t> choose(const std::vector<std::int64_t>& batch) {
    std::vector<std::int64_t> drawn = units_.in(batch);
    std::vector<std::int64_t> chosen;
    while (!drawn.empty() && static_cast<std::int64_t>(chosen.size()) < options_.units_per_step) {
      const auto at = drawn.begin() + choices_.below(static_cast<std::int64_t>(drawn.size()));
      chosen.push_back(*at);
      drawn.erase(at);
    }
    return chosen;
  }

  /// The sum without the unit.
  at::Tensor compare(const std::vector<std::int64_t>& batch, const at::Tensor& all,
                     const std::vector<std::int64_t>& others, std::int64_t unit,
                     ReplayResult& result) {
    const double s = sensitivity_;
    const std::int64_t name = units_.name(unit);
    const at::Tensor rest = sum_of_neighbour(others);
    record(result, name, ReplayChange::kRemoved, all, rest, s);
    if (adaptive()) compare_counts(batch, name, result);
    const std::vector<std::int64_t> drawn = units_.in(batch);
    if (static_cast<std::int64_t>(drawn.size()) < units_.count()) {
      std::int64_t other = choices_.below(units_.count());
      while (std::binary_search(drawn.begin(), drawn.end(), other)) {
        other = (other + 1) % units_.count();
      }
      std::vector<std::int64_t> replaced = others;
      const std::vector<std::int64_t> examples = units_.examples(other);
      replaced.insert(replaced.end(), examples.begin(), examples.end());
      record(result, name, ReplayChange::kReplaced, all, sum_of_neighbour(replaced), 2.0 * s);
    }
    const auto spoilt = [&](ReplayChange change, double factor, double bound) {
      detail::LossFactors factors;
      for (const std::int64_t example : units_.examples(unit)) {
        if (std::find(batch.begin(), batch.end(), example) == batch.end()) continue;
        factors.emplace_back(example, factor);
        if (change == ReplayChange::kNotFinite) break;
      }
      record(result, name, change, sum_of_neighbour(batch, factors), rest, bound);
    };
    spoilt(ReplayChange::kScaledUp, kLargeFactor, s);
    spoilt(ReplayChange::kNegated, -kLargeFactor, s);
    spoilt(ReplayChange::kNotFinite, std::numeric_limits<double>::infinity(), 0.0);
    return rest;
  }

  /// After the sum without the unit: by how much the unit moves the count whose noised value the
  /// clipping norm follows. Both have the same noise, so that it is not in the way.
  void compare_counts(const std::vector<std::int64_t>& batch, std::int64_t name,
                      ReplayResult& result) {
    const double without_unit = released_norm_;
    sum_of_neighbour(batch);
    const double per_count = divisor_ / options_.clipping.adaptive().learning_rate;
    result.comparisons.push_back(
        {.step = step_,
         .batch_size = batch_size_,
         .unit = name,
         .change = ReplayChange::kCount,
         .distance = std::abs(std::log(without_unit / released_norm_)) * per_count,
         .bound = 0.5,
         .allowance = per_count * kLogarithmError});
  }

  void compare_noise(ReplayResult& result, const std::vector<std::int64_t>& batch,
                     const at::Tensor& all, const std::vector<std::int64_t>& others,
                     const at::Tensor& rest) {
    // The first run last: its gradient is left for the optimiser.
    at::Tensor noised_rest, noised;
    if (adaptive()) {
      noised_rest = sum(*noised_before_->resumed(), others);
      noised = sum(*noised_before_->resumed(), batch);
      sum(*noised_, batch);
    } else {
      noised_rest = sum(*noised_neighbour_, others);
      noised = sum(*noised_, batch);
    }
    if (!noised_->same_noise_for_every_batch()) return;
    ReplayComparison row = begin(-1, ReplayChange::kNoise, 0.0);
    row.distance = detail::norm((noised - all) - (noised_rest - rest));
    // Each of the four vectors was rounded to the parameters' type.
    row.allowance +=
        4.0 * roundoff_ *
        (detail::norm(all) + detail::norm(rest) + detail::norm(noised) + detail::norm(noised_rest));
    result.comparisons.push_back(row);
  }

  ReplayComparison begin(std::int64_t name, ReplayChange change, double bound) const {
    // docs/numerics.md, "Sums elsewhere": B T products in the place of B + 4, gamma_k with the unit
    // roundoff of the type; also where nothing may differ but the order of the sums.
    const auto rows = static_cast<double>(batch_size_ + 1);
    const double k = (rows * static_cast<double>(options_.positions) + 4.0) * roundoff_;
    const double gamma = k < 1.0 ? k / (1.0 - k) : std::numeric_limits<double>::infinity();
    return {.step = step_,
            .batch_size = batch_size_,
            .unit = name,
            .change = change,
            .bound = bound,
            .allowance = 2.0 * rows * gamma * sensitivity_};
  }

  void record(ReplayResult& result, std::int64_t name, ReplayChange change, const at::Tensor& a,
              const at::Tensor& b, double bound) const {
    ReplayComparison row = begin(name, change, bound);
    row.distance = detail::norm(a - b);
    result.comparisons.push_back(row);
  }

  const AuditedModel& model_;
  const ReplayOptions& options_;
  detail::Units units_;
  detail::Choices choices_;
  double divisor_;
  double roundoff_;
  double sensitivity_;  // of the running step
  std::unique_ptr<AuditedEngine> noised_, noised_neighbour_, exact_, exact_neighbour_;
  std::unique_ptr<AuditedEngine> before_, noised_before_;  // adaptive: as before the running step
  double released_norm_ = 0.0;  // adaptive: of the step after the last `sum_of_neighbour`
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
    case ReplayChange::kCount:
      return "count";
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
