#include "velum/dpsgd/audit/engine_conformance.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>
#include <stdexcept>

#include "accounting/range_check.h"
#include "audit/audit_support.h"
#include "audit/tail_bounds.h"
#include "velum/dpsgd/accounting/accountant.h"

namespace velum::dpsgd {
namespace {

constexpr char kFunction[] = "engine_conformance";
constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Of sums of a few known gradients in float32, relative to C: roundings of 2^-24 each.
constexpr double kTolerance = 1e-5;
constexpr std::int64_t kMostTensorsPaired = 64;

enum class Kind { kDrawn, kNothing, kEmpty, kNotFinite };
constexpr Kind kKinds[] = {Kind::kDrawn, Kind::kNothing, Kind::kEmpty, Kind::kNotFinite};

void check(const AuditedModel& model, const ConformanceOptions& options) {
  detail::check_model(kFunction, model);
  detail::check_settings(kFunction, options.sampling_rate, options.clipping_norm,
                         options.noise_multiplier);
  detail::check_at_least(kFunction, "steps_of_each_kind", options.steps_of_each_kind, 2);
  detail::check_at_least(kFunction, "physical_batch_size", options.physical_batch_size, 1);
  detail::check_at_least(kFunction, "draws", options.draws, 2);
  if (!(options.false_alarm_probability > 0.0 && options.false_alarm_probability < 1.0)) {
    reject(kFunction, "false_alarm_probability", options.false_alarm_probability, "> 0 and < 1");
  }
}

/// Several p-values as one check: their smallest, times their number.
class WorstOf {
 public:
  /// `found` makes the text of this one, should it be the worst.
  template <typename Text>
  void add(double p_value, const Text& found) {
    ++count_;
    if (count_ > 1 && p_value >= smallest_) return;
    smallest_ = p_value;
    text_ = found();
  }
  ConformanceCheck check(std::string name) const {
    return {.name = std::move(name),
            .statistical = true,
            .p_value =
                std::min(1.0, static_cast<double>(std::max<std::int64_t>(1, count_)) * smallest_),
            .found = text_};
  }

 private:
  std::int64_t count_ = 0;
  double smallest_ = 1.0;
  std::string text_ = "nothing to look at";
};

template <typename... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  out.precision(6);
  (out << ... << parts);
  return out.str();
}

/// Two parameters whose gradients are known: a row of `losses` has gradient [ga ga ga] with respect
/// to a and [gb gb gb gb] with respect to b, times its scale. An infinite scale as in LossFactors.
struct KnownGradients {
  explicit KnownGradients(const at::TensorOptions& options)
      : a(at::zeros({3}, options).set_requires_grad(true)),
        b(at::zeros({4}, options).set_requires_grad(true)) {}
  std::vector<at::Tensor> parameters() const { return {a, b}; }
  at::Tensor losses(const std::vector<double>& scales, double ga, double gb) const {
    const auto count = static_cast<std::int64_t>(scales.size());
    const at::TensorOptions plain = a.options().requires_grad(false);
    const at::Tensor rows = at::ones({count}, plain);
    const at::Tensor overflow = at::ones({count}, plain);
    for (std::int64_t i = 0; i < count; ++i) {
      const double scale = scales[static_cast<std::size_t>(i)];
      const bool finite = std::isfinite(scale);
      rows[i].fill_(finite ? scale : detail::largest_power(a));
      if (!finite) overflow[i].fill_(detail::largest_power(a));
    }
    const at::Tensor of_a = at::full({count, 3}, ga, plain);
    const at::Tensor of_b = at::full({count, 4}, gb, plain);
    return ((of_a * a).sum(1) + (of_b * b).sum(1)) * rows * overflow;
  }
  /// [ga x 3, gb x 4] times `scale`.
  static at::Tensor gradient(double ga, double gb, double scale) {
    return at::cat({at::full({3}, ga, at::kDouble), at::full({4}, gb, at::kDouble)}).mul_(scale);
  }
  at::Tensor a, b;
};

class Conformance {
 public:
  Conformance(const AuditedModel& model, const EngineFactory& factory,
              const ConformanceOptions& options)
      : model_(model),
        factory_(factory),
        options_(options),
        noise_key_(kernels::insecure_key_from_seed(options.insecure_seed)),
        sampling_key_(kernels::insecure_key_from_seed(options.insecure_seed + 1)) {}

  ConformanceResult run(const std::function<void(std::int64_t, std::int64_t)>& progress) {
    using Part = void (Conformance::*)();
    constexpr Part kParts[] = {&Conformance::sums,       &Conformance::refusals,
                               &Conformance::noise,      &Conformance::own_keys,
                               &Conformance::resumption, &Conformance::sampling};
    std::int64_t done = 0;
    for (const Part part : kParts) {
      (this->*part)();
      if (progress) progress(++done, static_cast<std::int64_t>(std::size(kParts)));
    }
    result_.false_alarm_probability = options_.false_alarm_probability;
    return std::move(result_);
  }

 private:
  AuditedEngineSettings settings(double noise_multiplier) const {
    return {.dataset_size = model_.dataset_size,
            .sampling_rate = options_.sampling_rate,
            .clipping_norm = options_.clipping_norm,
            .noise_multiplier = noise_multiplier,
            .insecure_noise_key = noise_key_,
            .insecure_sampling_key = sampling_key_};
  }
  double divisor() const {
    return options_.sampling_rate * static_cast<double>(model_.dataset_size);
  }

  void exact(std::string name, bool holds, std::string found) {
    result_.checks.push_back({.name = std::move(name),
                              .statistical = false,
                              .p_value = holds ? 1.0 : 0.0,
                              .found = std::move(found)});
  }

  // ---- Sums of known gradients.

  void sums() {
    const double c = options_.clipping_norm;
    const KnownGradients known(model_.parameters.front().options().requires_grad(false));
    const std::unique_ptr<AuditedEngine> engine = factory_(known.parameters(), settings(0.0));
    const double ga = c / 8.0 / std::sqrt(3.0);
    const double gb = c / 4.0 / 2.0;  // together c sqrt(5) / 8 < c

    double off = 0.0;
    for (const std::int64_t rows : {1, 4, 25}) {
      const at::Tensor sum = sum_of(*engine, known, {std::vector<double>(rows, 1.0)}, ga, gb);
      off =
          std::max(off, distance(sum, KnownGradients::gradient(ga, gb, static_cast<double>(rows))) /
                            (c * static_cast<double>(rows)));
    }
    exact("the sum of small gradients over the expected batch size", off <= kTolerance,
          text("off by ", off, " C a row for batches of 1, 4, 25"));

    const at::Tensor parts = sum_of(*engine, known, {{1.0, 1.0}, {1.0, 1.0, 1.0}, {1.0}}, ga, gb);
    off = distance(parts, KnownGradients::gradient(ga, gb, 6.0)) / (c * 6.0);
    exact("physical batches of one step are summed", off <= kTolerance,
          text("off by ", off, " C a row for batches of 2, 3, 1"));

    const at::Tensor large = sum_of(*engine, known, {{1e3}}, ga, gb);
    const double whole = c * std::sqrt(5.0) / 8.0;
    off = distance(large, KnownGradients::gradient(ga, gb, c / whole)) / c;
    exact("a large gradient is scaled to C over all parameters together", off <= kTolerance,
          text("norm ", detail::norm(large) / c, " C, off by ", off, " C"));

    const at::Tensor mixed = sum_of(*engine, known, {{1.0, 1e3, 1.0}, {-1e3, -1e3, 1.0}}, ga, gb);
    off = distance(mixed, KnownGradients::gradient(ga, gb, 3.0 - c / whole)) / c;
    exact("each gradient is scaled by itself, before the sum", off <= kTolerance,
          text("off by ", off, " C for large ones among small ones"));

    const at::Tensor spoilt = sum_of(*engine, known, {{1.0, kInfinity, 1.0, kInfinity}}, ga, gb);
    off = distance(spoilt, KnownGradients::gradient(ga, gb, 2.0)) / c;
    exact("a gradient that is not finite adds nothing", off <= kTolerance,
          text("off by ", off, " C"));

    // Raw gradients that lie about, of which nothing may be left.
    for (const at::Tensor& parameter : known.parameters()) {
      parameter.mutable_grad() =
          at::full(parameter.sizes(), 1e3, parameter.options()).detach().set_requires_grad(false);
    }
    const at::Tensor after = sum_of(*engine, known, {{1.0}}, ga, gb);
    off = distance(after, KnownGradients::gradient(ga, gb, 1.0)) / c;
    exact("what stood in .grad is gone", off <= kTolerance, text("off by ", off, " C"));
  }

  at::Tensor sum_of(AuditedEngine& engine, const KnownGradients& known,
                    const std::vector<std::vector<double>>& batches, double ga, double gb) const {
    for (const std::vector<double>& batch : batches) {
      engine.accumulate(known.losses(batch, ga, gb));
    }
    engine.finish_step();
    return detail::gradient_vector(known.parameters(), divisor());
  }

  static double distance(const at::Tensor& a, const at::Tensor& b) {
    const double distance = detail::norm(a - b);
    return std::isnan(distance) ? kInfinity : distance;
  }

  // ---- What an engine must not accept.

  void refusals() {
    const KnownGradients known(model_.parameters.front().options().requires_grad(false));
    const double g = options_.clipping_norm / 8.0;
    {
      const std::unique_ptr<AuditedEngine> engine = factory_(known.parameters(), settings(0.0));
      const at::Tensor losses = known.losses({1.0, 1.0}, g, g);
      engine->accumulate(losses);
      exact("losses given twice in a step are refused", throws([&] { engine->accumulate(losses); }),
            "the same tensor twice");
    }
    const std::unique_ptr<AuditedEngine> engine = factory_({known.a}, settings(0.0));
    exact("a trainable parameter that was not given is refused",
          throws([&] { engine->accumulate(known.losses({1.0}, g, g)); }), "one of two left out");
  }

  template <typename Action>
  static bool throws(const Action& action) {
    try {
      action();
    } catch (const std::exception&) {
      return true;
    }
    return false;
  }

  // ---- Noise.

  /// One step of the kind; the batch is drawn, or asked for, by both engines of a pair alike.
  void step(AuditedEngine& engine, Kind kind, const std::vector<std::int64_t>& batch) const {
    switch (kind) {
      case Kind::kDrawn:
        detail::accumulate_batch(engine, model_, batch, options_.physical_batch_size);
        break;
      case Kind::kNothing:
        break;
      case Kind::kEmpty:
        engine.accumulate(at::zeros({0}, model_.parameters.front().options().requires_grad(false)));
        break;
      case Kind::kNotFinite: {
        detail::LossFactors factors;
        for (const std::int64_t example : batch) factors.emplace_back(example, kInfinity);
        detail::accumulate_batch(engine, model_, batch, options_.physical_batch_size, factors);
        break;
      }
    }
    engine.finish_step();
  }

  /// The gradient of the step in units of the noise that it should have.
  at::Tensor standardised() const {
    return detail::gradient_vector(
        model_.parameters, divisor() / (options_.noise_multiplier * options_.clipping_norm));
  }

  /// A few examples, for the kinds that need some and must not depend on a draw.
  std::vector<std::int64_t> few() const {
    std::vector<std::int64_t> batch;
    for (std::int64_t i = 0; i < std::min<std::int64_t>(3, model_.dataset_size); ++i) {
      batch.push_back(i);
    }
    return batch;
  }

  void noise() {
    const std::unique_ptr<AuditedEngine> noised =
        factory_(model_.parameters, settings(options_.noise_multiplier));
    const std::unique_ptr<AuditedEngine> exact_engine = factory_(model_.parameters, settings(0.0));
    std::vector<at::Tensor> steps;  // [P] each
    double empty_sum = 0.0;
    for (std::int64_t round = 0; round < options_.steps_of_each_kind; ++round) {
      for (const Kind kind : kKinds) {
        const std::vector<std::int64_t> batch = kind == Kind::kDrawn ? noised->next_batch() : few();
        step(*exact_engine, kind, batch);
        const at::Tensor sum = standardised();
        if (kind != Kind::kDrawn) empty_sum = std::max(empty_sum, distance(sum, sum * 0.0));
        step(*noised, kind, batch);
        // A sum that should be zero is not taken off: were it wrong, it would hide behind itself.
        steps.push_back(kind == Kind::kDrawn ? standardised() - sum : standardised());
        book_entry(*noised, static_cast<std::int64_t>(steps.size()));
      }
    }
    exact("a step without a finite gradient sums to zero", empty_sum == 0.0,
          text("norm ", empty_sum, " sigma C"));
    result_.checks.push_back(books_.check(*this));
    standard_deviations(steps);
    distribution(steps);
    repetitions(steps);
  }

  void standard_deviations(const std::vector<at::Tensor>& steps) {
    const char* names[] = {"drawn batches", "steps without a batch", "empty batches",
                           "batches without a finite gradient"};
    for (const Kind kind : kKinds) {
      WorstOf worst;
      std::int64_t offset = 0;
      for (std::size_t tensor = 0; tensor < model_.parameters.size(); ++tensor) {
        const std::int64_t size = model_.parameters[tensor].numel();
        double squares = 0.0;
        std::int64_t count = 0;
        for (std::size_t s = static_cast<std::size_t>(kind); s < steps.size();
             s += std::size(kKinds)) {
          squares += steps[s].narrow(0, offset, size).square().sum().item<double>();
          count += size;
        }
        offset += size;
        if (count == 0) continue;
        const auto n = static_cast<double>(count);
        worst.add(detail::chi_squared_p_value(n, squares), [&] {
          return text(std::sqrt(squares / n), " sigma C on tensor ", tensor, " (", count,
                      " draws)");
        });
      }
      result_.checks.push_back(
          worst.check(text("standard deviation of the noise, ", names[static_cast<int>(kind)])));
    }
  }

  void distribution(const std::vector<at::Tensor>& steps) {
    const at::Tensor sorted = std::get<0>(at::cat(steps).sort()).contiguous();
    const auto* values = sorted.const_data_ptr<double>();
    const std::int64_t count = sorted.numel();
    const auto n = static_cast<double>(count);
    double largest = 0.0;
    for (std::int64_t i = 0; i < count; ++i) {
      const double below = 0.5 * std::erfc(-values[i] / std::sqrt(2.0));
      const double here =
          std::max(below - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - below);
      largest = std::isnan(here) ? 1.0 : std::max(largest, here);
    }
    WorstOf worst;
    worst.add(detail::empirical_distribution_p_value(count, largest), [&] {
      return text("distance ", largest, " of the distribution functions (", count, " draws)");
    });
    result_.checks.push_back(worst.check("the noise is normal"));
  }

  /// Adds the p-value of the inner product of two parts of the noise.
  template <typename Text>
  static void unrelated(WorstOf& worst, const at::Tensor& x, const at::Tensor& y,
                        const Text& what) {
    const std::int64_t count = std::min(x.numel(), y.numel());
    if (count == 0) return;
    const double product = x.narrow(0, 0, count).dot(y.narrow(0, 0, count)).item<double>();
    worst.add(detail::inner_product_p_value(count, product), [&] {
      return text("correlation ", product / static_cast<double>(count), " of ", what(), " (", count,
                  " pairs)");
    });
  }

  void repetitions(const std::vector<at::Tensor>& steps) {
    WorstOf between_steps;
    for (std::size_t s = 0; s < steps.size(); ++s) {
      for (std::size_t t = 0; t < s; ++t) {
        unrelated(between_steps, steps[s], steps[t], [&] { return text("steps ", t, " and ", s); });
      }
    }
    result_.checks.push_back(between_steps.check("no noise is repeated between steps"));

    // All steps of a tensor side by side, so that small tensors have something to say.
    std::vector<at::Tensor> tensors;  // [steps, size]
    const at::Tensor all = at::stack(steps);
    std::int64_t offset = 0;
    for (const at::Tensor& parameter : model_.parameters) {
      tensors.push_back(all.narrow(1, offset, parameter.numel()));
      offset += parameter.numel();
    }
    WorstOf between_tensors;
    const std::size_t paired =
        std::min(tensors.size(), static_cast<std::size_t>(kMostTensorsPaired));
    for (std::size_t i = 0; i < paired; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        const std::int64_t common = std::min(tensors[i].size(1), tensors[j].size(1));
        unrelated(between_tensors, tensors[i].narrow(1, 0, common).reshape({-1}),
                  tensors[j].narrow(1, 0, common).reshape({-1}),
                  [&] { return text("tensors ", j, " and ", i); });
      }
    }
    result_.checks.push_back(between_tensors.check("no noise is repeated between tensors"));

    WorstOf within;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const std::int64_t size = tensors[i].size(1);
      for (const std::int64_t shift : {std::int64_t{1}, size / 2}) {
        if (shift < 1 || (shift == 1 && size < 2)) continue;
        // Disjoint pairs: blocks of 2 shift elements, the first half of each with the second.
        const std::int64_t blocks = size / (2 * shift);
        const at::Tensor pairs =
            tensors[i].narrow(1, 0, blocks * 2 * shift).reshape({-1, 2, shift});
        unrelated(within, pairs.select(1, 0).reshape({-1}), pairs.select(1, 1).reshape({-1}),
                  [&] { return text("elements ", shift, " apart in tensor ", i); });
      }
    }
    result_.checks.push_back(within.check("no noise is repeated within a tensor"));
  }

  void own_keys() {
    AuditedEngineSettings secret = settings(options_.noise_multiplier);
    secret.insecure_noise_key.reset();
    std::vector<at::Tensor> noise;
    for (int i = 0; i < 2; ++i) {
      const std::unique_ptr<AuditedEngine> engine = factory_(model_.parameters, secret);
      step(*engine, Kind::kNothing, {});
      noise.push_back(standardised());
    }
    WorstOf worst;
    unrelated(worst, noise[0], noise[1], [] { return std::string("two engines"); });
    result_.checks.push_back(worst.check("engines with keys of their own share no noise"));
  }

  /// A run dies after a step and goes on from the checkpoint before it.
  void resumption() {
    const std::unique_ptr<AuditedEngine> first =
        factory_(model_.parameters, settings(options_.noise_multiplier));
    step(*first, Kind::kNothing, {});
    const std::unique_ptr<AuditedEngine> second = first->resumed();
    std::vector<at::Tensor> lost, again;
    for (int i = 0; i < 2; ++i) {
      step(*first, Kind::kNothing, {});
      lost.push_back(standardised());
    }
    Books books;
    for (int i = 0; i < 2; ++i) {
      step(*second, Kind::kNothing, {});
      again.push_back(standardised());
      books.look(*this, *second, i + 2);
    }
    WorstOf worst;
    for (const at::Tensor& x : lost) {
      for (const at::Tensor& y : again) {
        unrelated(worst, x, y, [] { return std::string("a lost step and a later one"); });
      }
    }
    result_.checks.push_back(worst.check("a resumed engine repeats no noise"));
    ConformanceCheck check = books.check(*this);
    check.name = "the books of a resumed engine hold every step";
    result_.checks.push_back(check);
  }

  // ---- Books.

  /// Epsilon by the books beside that of the releases that happened.
  struct Books {
    void look(const Conformance& audit, const AuditedEngine& engine, std::int64_t steps) {
      RdpAccountant booked;
      const Composition books = engine.books();
      if (books.neighbouring() != Neighbouring::kAddOrRemoveOne) {
        holds = false;
        found = "books for another neighbouring relation than add-or-remove-one";
        return;
      }
      booked.compose(books);
      RdpAccountant happened;
      if (audit.options_.sampling_rate == 1.0) {
        happened.compose(GaussianMechanism{audit.options_.noise_multiplier}, steps, {});
      } else {
        happened.compose(PoissonSampledGaussianMechanism{audit.options_.sampling_rate,
                                                         audit.options_.noise_multiplier},
                         steps, {});
      }
      const double by_books = booked.epsilon(kDelta);
      const double true_epsilon = happened.epsilon(kDelta);
      if (!holds) return;
      holds = by_books >= true_epsilon * (1.0 - 1e-9);
      found = text("epsilon ", by_books, " by the books and ", true_epsilon, " of ", steps,
                   " steps, delta ", kDelta);
    }
    ConformanceCheck check(const Conformance& /*audit*/) const {
      return {.name = "every step is in the books",
              .statistical = false,
              .p_value = holds ? 1.0 : 0.0,
              .found = found};
    }
    static constexpr double kDelta = 1e-5;
    bool holds = true;
    std::string found;
  };

  void book_entry(const AuditedEngine& engine, std::int64_t steps) {
    books_.look(*this, engine, steps);
  }

  // ---- Sampling.

  void sampling() {
    AuditedEngineSettings own = settings(options_.noise_multiplier);
    own.insecure_sampling_key.reset();
    const std::unique_ptr<AuditedEngine> engine = factory_(model_.parameters, own);
    std::vector<std::vector<std::int64_t>> batches;
    bool valid = true;
    for (std::int64_t draw = 0; draw < options_.draws; ++draw) {
      batches.push_back(engine->next_batch());
      const std::vector<std::int64_t>& batch = batches.back();
      const std::set<std::int64_t> distinct(batch.begin(), batch.end());
      valid =
          valid && distinct.size() == batch.size() &&
          (batch.empty() || (*distinct.begin() >= 0 && *distinct.rbegin() < model_.dataset_size));
    }
    exact("no example is drawn twice or from nowhere", valid,
          text(options_.draws, " draws from ", model_.dataset_size, " examples"));
    if (!valid) return;
    if (options_.sampling_rate == 1.0) {
      const bool all = std::all_of(batches.begin(), batches.end(), [&](const auto& batch) {
        return static_cast<std::int64_t>(batch.size()) == model_.dataset_size;
      });
      exact("every example is in every batch", all, "sampling rate 1");
      return;
    }
    inclusion(batches);
    pairs(batches);
    sizes(batches);
  }

  void inclusion(const std::vector<std::vector<std::int64_t>>& batches) {
    const double q = options_.sampling_rate;
    const std::int64_t size = model_.dataset_size;
    const auto draws = static_cast<std::int64_t>(batches.size());
    std::vector<std::int64_t> counts(static_cast<std::size_t>(size), 0);
    for (const auto& batch : batches) {
      for (const std::int64_t example : batch) ++counts[static_cast<std::size_t>(example)];
    }
    WorstOf worst;
    const auto look = [&](std::int64_t begin, std::int64_t end, const char* what) {
      std::int64_t drawn = 0;
      for (std::int64_t i = begin; i < end; ++i) drawn += counts[static_cast<std::size_t>(i)];
      const std::int64_t trials = (end - begin) * draws;
      if (trials == 0) return;
      worst.add(detail::binomial_p_value(trials, q, drawn), [&] {
        return text("rate ", static_cast<double>(drawn) / static_cast<double>(trials),
                    " instead of ", q, " of ", what, " from ", begin, ", ", draws, " draws");
      });
    };
    look(0, size, "all examples");
    look(0, size / 2, "the first half");
    look(size / 2, size, "the second half");
    for (std::int64_t i = 0; i < size; ++i) look(i, i + 1, "the example");
    result_.checks.push_back(worst.check("the sampling rate"));
  }

  void pairs(const std::vector<std::vector<std::int64_t>>& batches) {
    // Of disjoint pairs each is drawn twice with probability q^2, independently of the others.
    const double q = options_.sampling_rate;
    const std::int64_t size = model_.dataset_size;
    const auto draws = static_cast<std::int64_t>(batches.size());
    std::int64_t in_both = 0;
    for (std::size_t i = 0; i + 1 < batches.size(); i += 2) {
      const std::set<std::int64_t> first(batches[i].begin(), batches[i].end());
      for (const std::int64_t example : batches[i + 1]) {
        in_both += static_cast<std::int64_t>(first.count(example));
      }
    }
    std::int64_t together = 0;
    for (const auto& batch : batches) {
      const std::set<std::int64_t> drawn(batch.begin(), batch.end());
      for (std::int64_t i = 0; i + 1 < size; i += 2) {
        together += static_cast<std::int64_t>(drawn.count(i) != 0 && drawn.count(i + 1) != 0);
      }
    }
    WorstOf worst;
    const auto look = [&](std::int64_t trials, std::int64_t count, const char* what) {
      if (trials == 0) return;
      worst.add(detail::binomial_p_value(trials, q * q, count), [&] {
        return text("rate ", static_cast<double>(count) / static_cast<double>(trials),
                    " instead of ", q * q, " of ", what);
      });
    };
    look(size * (draws / 2), in_both, "an example twice in a row");
    look((size / 2) * draws, together, "two neighbours together");
    result_.checks.push_back(worst.check("draws are independent"));
  }

  void sizes(const std::vector<std::vector<std::int64_t>>& batches) {
    // How many sizes lie near the mean: of a fixed size, all or none.
    const double q = options_.sampling_rate;
    const std::int64_t size = model_.dataset_size;
    const double mean = q * static_cast<double>(size);
    const auto probability = [&](std::int64_t width) {
      const auto low = static_cast<std::int64_t>(std::ceil(mean)) - width;
      const auto high = static_cast<std::int64_t>(std::floor(mean)) + width;
      return std::max(0.0, 1.0 - detail::binomial_lower_tail(size, q, low - 1) -
                               detail::binomial_upper_tail(size, q, high + 1));
    };
    std::int64_t width = 0;
    while (probability(width) < 0.5) ++width;
    if (width > 0 && 0.5 - probability(width - 1) < probability(width) - 0.5) --width;
    std::int64_t near = 0;
    for (const auto& batch : batches) {
      const auto drawn = static_cast<std::int64_t>(batch.size());
      near +=
          static_cast<std::int64_t>(drawn >= static_cast<std::int64_t>(std::ceil(mean)) - width &&
                                    drawn <= static_cast<std::int64_t>(std::floor(mean)) + width);
    }
    const auto draws = static_cast<std::int64_t>(batches.size());
    const double p = probability(width);
    WorstOf worst;
    worst.add(detail::binomial_p_value(draws, p, near), [&] {
      return text(near, " of ", draws, " batch sizes within ", width, " of the mean, ",
                  p * static_cast<double>(draws), " expected");
    });
    result_.checks.push_back(worst.check("the spread of batch sizes"));
  }

  const AuditedModel& model_;
  const EngineFactory& factory_;
  const ConformanceOptions& options_;
  kernels::RandomKey noise_key_;
  kernels::RandomKey sampling_key_;
  Books books_;
  ConformanceResult result_;
};

}  // namespace

double ConformanceResult::threshold() const {
  const auto statistical = std::count_if(checks.begin(), checks.end(),
                                         [](const auto& check) { return check.statistical; });
  return false_alarm_probability / static_cast<double>(std::max<std::ptrdiff_t>(1, statistical));
}

bool ConformanceResult::holds(const ConformanceCheck& check) const {
  return check.p_value >= (check.statistical ? threshold() : 1.0);
}

bool ConformanceResult::holds() const { return violations().empty(); }

std::vector<std::string> ConformanceResult::violations() const {
  std::vector<std::string> names;
  for (const ConformanceCheck& check : checks) {
    if (!holds(check)) names.push_back(check.name);
  }
  return names;
}

ConformanceResult engine_conformance(
    const AuditedModel& model, const EngineFactory& factory, const ConformanceOptions& options,
    const std::function<void(std::int64_t, std::int64_t)>& progress) {
  check(model, options);
  return Conformance(model, factory, options).run(progress);
}

}  // namespace velum::dpsgd
