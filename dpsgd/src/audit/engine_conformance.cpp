#include "velum/dpsgd/audit/engine_conformance.h"

#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <sstream>
#include <stdexcept>

#include "accounting/range_check.h"
#include "audit/audit_support.h"
#include "audit/tail_bounds.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/kernels/random/uniform.h"

namespace velum::dpsgd {
namespace {

constexpr char kFunction[] = "engine_conformance";
constexpr double kInfinity = std::numeric_limits<double>::infinity();
// Of sums of a few known gradients in float32, relative to C: roundings of 2^-24 each.
constexpr double kTolerance = 1e-5;
// Of what a huge, cancelling gradient may leave of its rounding: 2^-24 of the 2^12 times C that
// docs/numerics.md allows its terms, for some 20 roundings, twice.
constexpr double kCancellingTolerance = 1e-2;
constexpr double kHuge = 1e12;
// The stated sensitivity of groups is a root, rounded up.
constexpr double kStatedTolerance = 1e-12;
// Shares of the sensitivity of two groups: 0.36 + 0.64 = 1.
constexpr double kShareOfA = 0.6;
constexpr double kShareOfB = 0.8;
// Of the audit's own adaptive clipping; counts are read off logarithms of norms, in doubles.
constexpr double kLearningRate = 0.05;
constexpr double kCountTolerance = 1e-6;
constexpr std::int64_t kCountDraws = 200;
constexpr std::int64_t kMostTensorsPaired = 64;

/// An autocast region as long as it lives.
class AutocastOn {
 public:
  explicit AutocastOn(c10::DeviceType device)
      : device_(device), before_(at::autocast::is_autocast_enabled(device)) {
    at::autocast::set_autocast_enabled(device_, true);
  }
  AutocastOn(const AutocastOn&) = delete;
  AutocastOn& operator=(const AutocastOn&) = delete;
  ~AutocastOn() { at::autocast::set_autocast_enabled(device_, before_); }

 private:
  c10::DeviceType device_;
  bool before_;
};

/// float32 products may be of reduced precision as long as it lives.
class ReducedPrecision {
 public:
  ReducedPrecision() : full_(!allowed()) {
    if (full_) at::globalContext().setFloat32MatmulPrecision("medium");
  }
  static bool allowed() {
    return at::globalContext().float32MatmulPrecision() != at::Float32MatmulPrecision::HIGHEST;
  }
  ReducedPrecision(const ReducedPrecision&) = delete;
  ReducedPrecision& operator=(const ReducedPrecision&) = delete;
  ~ReducedPrecision() {
    if (full_) at::globalContext().setFloat32MatmulPrecision("highest");
  }

 private:
  bool full_;
};

enum class Kind { kDrawn, kNothing, kEmpty, kNotFinite };
constexpr Kind kKinds[] = {Kind::kDrawn, Kind::kNothing, Kind::kEmpty, Kind::kNotFinite};

void check(const AuditedModel& model, const ConformanceOptions& options) {
  detail::check_model(kFunction, model);
  detail::check_settings(kFunction, options.sampling_rate, options.noise_multiplier);
  static_cast<void>(options.clipping.sum_noise_multiplier(options.noise_multiplier));
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

/// A row of known losses: how large its gradient is, and whose it is.
struct KnownRow {
  double scale = 1.0;  ///< infinite as in LossFactors
  std::int64_t user = 0;
};
using KnownRows = std::vector<KnownRow>;

/// Rows of these scales, each of another user.
KnownRows rows_of(const std::vector<double>& scales, std::int64_t first_user = 0) {
  KnownRows rows;
  for (const double scale : scales) {
    rows.push_back({scale, first_user + static_cast<std::int64_t>(rows.size())});
  }
  return rows;
}

std::vector<std::int64_t> users_of(const KnownRows& rows) {
  std::vector<std::int64_t> users;
  for (const KnownRow& row : rows) users.push_back(row.user);
  return users;
}

/// Two parameters whose gradients are known: a row of `losses` has gradient [ga ga ga] with respect
/// to a and [gb gb gb gb] with respect to b, times its scale.
struct KnownGradients {
  explicit KnownGradients(const at::TensorOptions& options)
      : a(at::zeros({3}, options).set_requires_grad(true)),
        b(at::zeros({4}, options).set_requires_grad(true)) {}
  std::vector<at::Tensor> parameters() const { return {a, b}; }
  at::Tensor losses(const KnownRows& scaled, double ga, double gb) const {
    const auto count = static_cast<std::int64_t>(scaled.size());
    const at::TensorOptions plain = a.options().requires_grad(false);
    const at::Tensor rows = at::ones({count}, plain);
    const at::Tensor overflow = at::ones({count}, plain);
    for (std::int64_t i = 0; i < count; ++i) {
      const double scale = scaled[static_cast<std::size_t>(i)].scale;
      const bool finite = std::isfinite(scale);
      rows[i].fill_(finite ? scale : detail::largest_power(a));
      if (!finite) overflow[i].fill_(detail::largest_power(a));
    }
    const at::Tensor of_a = at::full({count, 3}, ga, plain);
    const at::Tensor of_b = at::full({count, 4}, gb, plain);
    return ((of_a * a).sum(1) + (of_b * b).sum(1)) * rows * overflow;
  }
  /// [ga x 3, gb x 4]
  static at::Tensor gradient(double ga, double gb) {
    return at::cat({at::full({3}, ga, at::kDouble), at::full({4}, gb, at::kDouble)});
  }
  at::Tensor a, b;
};

/// Linear maps over two steps, whose gradients are known: outer products of `inputs` [rows, 2, 64]
/// and `upstream` [rows, 2, 8], added over the steps if these share a weight.
struct KnownSequences {
  static constexpr std::int64_t kSteps = 2, kOut = 8, kIn = 64;

  KnownSequences(const at::TensorOptions& options, std::int64_t rows, const kernels::RandomKey& key,
                 bool shares_weight)
      : shared(shares_weight),
        weight(at::zeros(shared ? at::IntArrayRef{kIn, kOut} : at::IntArrayRef{kSteps, kIn, kOut},
                         options)
                   .set_requires_grad(true)),
        inputs(uniform({rows, kSteps, kIn}, key, 0).to(options.dtype()).to(options.device())),
        upstream(uniform({rows, kSteps, kOut}, key, 1).to(options.dtype()).to(options.device())) {}
  /// `in_backward` is called whenever a backward pass comes by.
  at::Tensor losses(const std::function<void()>& in_backward = {}) const {
    const at::Tensor outputs = shared ? at::linear(inputs, weight.t())
                                      : at::bmm(inputs.transpose(0, 1), weight).transpose(0, 1);
    const at::Tensor weighted = outputs * upstream;
    if (in_backward) {
      weighted.register_hook([in_backward](const at::Tensor& /*gradient*/) { in_backward(); });
    }
    return weighted.sum({1, 2});
  }
  /// [rows, elements of the weight], of products in float64.
  at::Tensor gradients() const {
    return at::einsum(shared ? "bti,bto->bio" : "bti,bto->btio",
                      {inputs.to(at::kCPU, at::kDouble), upstream.to(at::kCPU, at::kDouble)})
        .flatten(1);
  }
  bool shared;
  at::Tensor weight, inputs, upstream;

 private:
  /// In [-1, 1).
  static at::Tensor uniform(at::IntArrayRef sizes, const kernels::RandomKey& key,
                            std::uint64_t step) {
    const at::Tensor out = at::empty(sizes, at::kDouble);
    std::vector<std::uint64_t> bits(static_cast<std::size_t>(out.numel()));
    kernels::uniform_bits_fill(bits, key, {.purpose = kernels::Purpose::kTest, .step = step}, 0,
                               kernels::Stream::serial());
    auto* values = out.data_ptr<double>();
    for (std::size_t i = 0; i < bits.size(); ++i) {
      values[i] = static_cast<double>(bits[i] >> 11) * 0x1p-52 - 1.0;
    }
    return out;
  }
};

/// A guard that says yes or no, and how often it was asked.
class CountingGuard final : public ReleaseGuard {
 public:
  void before_release(const Mechanism& /*mechanism*/, std::string_view /*label*/) override {
    ++asked;
    if (refuses) throw BudgetExceeded("engine_conformance: refused");
  }
  std::int64_t asked = 0;
  bool refuses = false;
};

class Conformance {
 public:
  Conformance(const AuditedModel& model, const EngineFactory& factory,
              const ConformanceOptions& options)
      : model_(model),
        factory_(factory),
        options_(options),
        units_(model),
        sensitivity_(detail::sensitivity_of(options.clipping)),
        noise_key_(kernels::insecure_key_from_seed(options.insecure_seed)),
        sampling_key_(kernels::insecure_key_from_seed(options.insecure_seed + 1)) {}

  ConformanceResult run(const std::function<void(std::int64_t, std::int64_t)>& progress) {
    using Part = void (Conformance::*)();
    constexpr Part kParts[] = {
        &Conformance::sums,       &Conformance::products,   &Conformance::refusals,
        &Conformance::permission, &Conformance::counts,     &Conformance::noise,
        &Conformance::own_keys,   &Conformance::resumption, &Conformance::sampling};
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
            .user_of_example = model_.user_of_example,
            .user_gradient = options_.user_gradient,
            .sampling_rate = options_.sampling_rate,
            .clipping = options_.clipping,
            .noise_multiplier = noise_multiplier,
            .insecure_noise_key = noise_key_,
            .insecure_sampling_key = sampling_key_};
  }
  /// For parameters of the audit's own, one or two: groups are other ones, of the same sensitivity,
  /// and a norm that adapts has room to do so.
  AuditedEngineSettings known_settings(double noise_multiplier, std::int64_t parameters = 2) const {
    AuditedEngineSettings known = settings(noise_multiplier);
    if (options_.clipping.kind() == Clipping::Kind::kGroups) {
      known.clipping = parameters == 1 ? Clipping::by_groups({{{0}, sensitivity_}})
                                       : Clipping::by_groups({{{0}, kShareOfA * sensitivity_},
                                                              {{1}, kShareOfB * sensitivity_}});
    }
    if (adaptive()) {
      known.clipping =
          Clipping::adaptive({.initial_norm = sensitivity_,
                              .quantile = 0.5,
                              .learning_rate = kLearningRate,
                              .count_noise = options_.clipping.adaptive().count_noise,
                              .smallest_norm = std::max(0x1p-100, 0x1p-30 * sensitivity_),
                              .largest_norm = std::min(0x1p100, 0x1p30 * sensitivity_)});
    }
    return known;
  }
  bool adaptive() const { return options_.clipping.kind() == Clipping::Kind::kAdaptive; }
  double divisor() const { return options_.sampling_rate * static_cast<double>(units_.count()); }
  /// C of the engine's next step: what it says where the norm adapts, and else what it has to be.
  double norm_of(const AuditedEngine& engine) const {
    return adaptive() ? engine.sensitivity() : sensitivity_;
  }
  /// Of each loss, where users are drawn.
  std::vector<std::int64_t> users(std::vector<std::int64_t> users) const {
    return units_.by_user() ? std::move(users) : std::vector<std::int64_t>();
  }

  void exact(std::string name, bool holds, std::string found) {
    result_.checks.push_back({.name = std::move(name),
                              .statistical = false,
                              .p_value = holds ? 1.0 : 0.0,
                              .found = std::move(found)});
  }

  // ---- Sums of known gradients.

  /// Of known gradients at clipping norm c: together of norm c sqrt(5) / 8.
  static double of_a(double c) { return c / 8.0 / std::sqrt(3.0); }
  static double of_b(double c) { return c / 4.0 / 2.0; }

  /// The clipped gradient of a known row, by the definition of the clipping.
  at::Tensor clipped(double scale, double c) const {
    const double norm_a = std::abs(scale) * of_a(c) * std::sqrt(3.0);
    const double norm_b = std::abs(scale) * of_b(c) * 2.0;
    const double whole = std::hypot(norm_a, norm_b);
    const auto within = [](double bound, double norm) { return norm > bound ? bound / norm : 1.0; };
    double factor_a = within(c, whole);
    double factor_b = factor_a;
    if (options_.clipping.kind() == Clipping::Kind::kGroups) {
      factor_a = within(kShareOfA * c, norm_a);
      factor_b = within(kShareOfB * c, norm_b);
    } else if (options_.clipping.kind() == Clipping::Kind::kAutomatic) {
      factor_a = factor_b = c / (whole + options_.clipping.stability());
    }
    return KnownGradients::gradient(scale * of_a(c) * factor_a, scale * of_b(c) * factor_b);
  }

  /// The sum over examples, or over users, of what is clipped.
  at::Tensor expected_sum(const std::vector<KnownRows>& batches, double c) const {
    at::Tensor sum = KnownGradients::gradient(0.0, 0.0);
    for (const KnownRows& batch : batches) {
      std::map<std::int64_t, std::vector<double>> scales;
      for (std::size_t i = 0; i < batch.size(); ++i) {
        const std::int64_t unit = units_.by_user() ? batch[i].user : static_cast<std::int64_t>(i);
        scales[unit].push_back(batch[i].scale);
      }
      for (const auto& entry : scales) {
        double scale = std::accumulate(entry.second.begin(), entry.second.end(), 0.0);
        if (options_.user_gradient == UserGradient::kMean) {
          scale /= static_cast<double>(entry.second.size());
        }
        if (std::isfinite(scale)) sum = sum + clipped(scale, c);
      }
    }
    return sum;
  }

  /// A step on known gradients: how far its sum is from what it has to be, in units of C.
  double known_step(AuditedEngine& engine, const KnownGradients& known,
                    const std::vector<KnownRows>& batches) const {
    const double c = norm_of(engine);
    for (const KnownRows& batch : batches) {
      engine.accumulate(known.losses(batch, of_a(c), of_b(c)), users(users_of(batch)));
    }
    engine.finish_step();
    return distance(detail::gradient_vector(known.parameters(), divisor()),
                    expected_sum(batches, c)) /
           c;
  }

  void sums() {
    const KnownGradients known(model_.parameters.front().options().requires_grad(false));
    const std::unique_ptr<AuditedEngine> engine = factory_(known.parameters(), known_settings(0.0));
    const double stated = engine->sensitivity();
    exact("the sensitivity that is stated",
          std::abs(stated - sensitivity_) <= kStatedTolerance * sensitivity_,
          text(stated, " stated, ", sensitivity_, " by the clipping"));

    double off = 0.0;
    for (const std::size_t rows : {1, 4, 25}) {
      const KnownRows batch = rows_of(std::vector<double>(rows, 1.0));
      off = std::max(off, known_step(*engine, known, {batch}) / static_cast<double>(rows));
    }
    exact("the sum of small gradients over the expected batch size", off <= kTolerance,
          text("off by ", off, " C a row for batches of 1, 4, 25"));

    off = known_step(*engine, known,
                     {rows_of({1.0, 1.0}), rows_of({1.0, 1.0, 1.0}, 2), rows_of({1.0}, 5)}) /
          6.0;
    exact("physical batches of one step are summed", off <= kTolerance,
          text("off by ", off, " C a row for batches of 2, 3, 1"));

    off = known_step(*engine, known, {rows_of({1e3})});
    exact(name_of_large(), off <= kTolerance, text("off by ", off, " C"));

    off = known_step(*engine, known, {rows_of({1.0, 1e3, 1.0}), rows_of({-1e3, -1e3, 1.0}, 3)});
    exact("each gradient is scaled by itself, before the sum", off <= kTolerance,
          text("off by ", off, " C for large ones among small ones"));

    off = known_step(*engine, known, {rows_of({1.0, kInfinity, 1.0, kInfinity})});
    exact("a gradient that is not finite adds nothing", off <= kTolerance,
          text("off by ", off, " C"));

    // Raw gradients that lie about, of which nothing may be left.
    for (const at::Tensor& parameter : known.parameters()) {
      parameter.mutable_grad() =
          at::full(parameter.sizes(), 1e3, parameter.options()).detach().set_requires_grad(false);
    }
    off = known_step(*engine, known, {rows_of({1.0})});
    exact("what stood in .grad is gone", off <= kTolerance, text("off by ", off, " C"));

    if (units_.by_user()) sums_of_users(*engine, known);
  }

  const char* name_of_large() const {
    switch (options_.clipping.kind()) {
      case Clipping::Kind::kGroups:
        return "each part of a large gradient is scaled to its own bound";
      case Clipping::Kind::kAutomatic:
        return "a large gradient is brought next to C over all parameters together";
      case Clipping::Kind::kFlat:
      case Clipping::Kind::kAdaptive:
        break;
    }
    return "a large gradient is scaled to C over all parameters together";
  }

  void sums_of_users(AuditedEngine& engine, const KnownGradients& known) {
    const KnownRows shared{{3.0, 1}, {0.5, 2}, {3.0, 1}, {40.0, 3}, {40.0, 3}, {40.0, 3}, {0.5, 2}};
    double off = known_step(engine, known, {shared});
    exact("the gradient of a user, of all examples together, is scaled as one", off <= kTolerance,
          text("off by ", off, " C for users of 2, 2 and 3 examples"));

    const KnownRows spoilt{{0.5, 1}, {0.5, 2}, {kInfinity, 1}, {0.5, 2}};
    off = known_step(engine, known, {spoilt});
    exact("a user with a gradient that is not finite adds nothing", off <= kTolerance,
          text("off by ", off, " C"));

    KnownRows cancelling = rows_of(std::vector<double>(20, 0.5));
    cancelling.push_back({kHuge, 100});
    cancelling.push_back({-kHuge, 100});
    off = known_step(engine, known, {cancelling});
    exact("a user whose examples cancel leaves the others alone", off <= kCancellingTolerance,
          text("off by ", off, " C for two of ", kHuge, " among 20 small ones"));
  }

  static double distance(const at::Tensor& a, const at::Tensor& b) {
    const double distance = detail::norm(a - b);
    return std::isnan(distance) ? kInfinity : distance;
  }

  // ---- Products.

  /// The sum of a step on known sequences.
  at::Tensor sequence_step(const KnownSequences& known, const at::Tensor& losses) const {
    const std::unique_ptr<AuditedEngine> engine = factory_({known.weight}, known_settings(0.0, 1));
    std::vector<std::int64_t> users(static_cast<std::size_t>(losses.numel()));
    std::iota(users.begin(), users.end(), std::int64_t{0});
    engine->accumulate(losses, this->users(std::move(users)));
    engine->finish_step();
    return detail::gradient_vector({known.weight}, divisor());
  }

  /// What it has to be.
  at::Tensor sequence_sum(const KnownSequences& known) const {
    const at::Tensor gradients = known.gradients();
    const at::Tensor norms = gradients.norm(2, 1);
    const at::Tensor factors = options_.clipping.kind() == Clipping::Kind::kAutomatic
                                   ? sensitivity_ / (norms + options_.clipping.stability())
                                   : (sensitivity_ / norms).clamp_max(1.0);
    return factors.unsqueeze(0).mm(gradients).squeeze(0);
  }

  void products() {
    const at::TensorOptions options = model_.parameters.front().options().requires_grad(false);
    constexpr std::int64_t kRows = 32;
    double plain = 0.0, under_autocast = 0.0, coarse = 0.0;
    bool refused = true, allowed_inside = false;
    for (const bool shared : {true, false}) {
      const KnownSequences known(options, kRows, sampling_key_, shared);
      const at::Tensor expected = sequence_sum(known);
      const auto off = [&](const at::Tensor& losses) {
        return distance(sequence_step(known, losses), expected) /
               (static_cast<double>(kRows) * sensitivity_);
      };
      plain = std::max(plain, off(known.losses()));
      const at::Tensor outside = known.losses();
      {
        const AutocastOn autocast(options.device().type());
        under_autocast = std::max(under_autocast, off(outside));
      }
      // Not every machine has such products: there the sum is exact whatever the engine does, and
      // what it allows has to be asked for.
      const at::Tensor exact_losses =
          known.losses([&] { allowed_inside = allowed_inside || ReducedPrecision::allowed(); });
      const ReducedPrecision reduced;
      refused = throws([&] { coarse = std::max(coarse, off(exact_losses)); }) && refused;
    }
    exact("products are as exact as their type", plain <= kTolerance,
          text("off by ", plain, " C a row for linear maps over two steps"));
    exact("an autocast region around the engine changes nothing", under_autocast <= kTolerance,
          text("off by ", under_autocast, " C a row"));
    const bool are_float32 = options.dtype() == at::kFloat;
    exact("float32 products of reduced precision are refused, or are as exact as others",
          refused || (coarse <= kTolerance && !(are_float32 && allowed_inside)),
          refused ? std::string("refused")
                  : text("off by ", coarse, " C a row",
                         allowed_inside ? "; allowed in the backward pass" : ""));

    // The last row: huge terms, of which nothing is left in exact arithmetic.
    const KnownSequences known(options, kRows, sampling_key_, /*shares_weight=*/true);
    known.upstream[kRows - 1].fill_(1.0);
    known.inputs[kRows - 1][0].fill_(kHuge);
    known.inputs[kRows - 1][1].fill_(-kHuge);
    const double cancelled =
        distance(sequence_step(known, known.losses()), sequence_sum(known)) / sensitivity_;
    exact("an example whose terms cancel leaves the others alone",
          cancelled <= kCancellingTolerance,
          text("off by ", cancelled, " C for two terms of ", kHuge));
  }

  // ---- What an engine must not accept.

  void refusals() {
    const KnownGradients known(model_.parameters.front().options().requires_grad(false));
    const double g = sensitivity_ / 8.0;
    {
      AuditedEngineSettings kept = known_settings(0.0);
      kept.retain_graph = true;
      const std::unique_ptr<AuditedEngine> engine = factory_(known.parameters(), kept);
      const at::Tensor losses = known.losses(rows_of({1.0, 1.0}), g, g);
      engine->accumulate(losses, users({0, 1}));
      exact("losses given twice in a step are refused", throws([&] {
              engine->accumulate(losses, users({2, 3}));
            }),
            "the same tensor twice");
    }
    {
      const std::unique_ptr<AuditedEngine> engine = factory_({known.a}, known_settings(0.0, 1));
      exact("a trainable parameter that was not given is refused",
            throws([&] { engine->accumulate(known.losses(rows_of({1.0}), g, g), users({0})); }),
            "one of two left out");
    }
    if (options_.clipping.kind() == Clipping::Kind::kGroups) {
      exact("a parameter in no group is refused",
            throws([&] { factory_(known.parameters(), known_settings(0.0, 1)); }),
            "a group of one of two parameters");
    }
    {
      AuditedEngineSettings other = known_settings(options_.noise_multiplier);
      other.accountant = std::make_shared<RdpAccountant>(Neighbouring::kReplaceOne);
      exact("books for another neighbouring relation are refused",
            throws([&] { factory_(known.parameters(), other); }), "an accountant of replace-one");
    }
    if (units_.by_user()) {
      const std::unique_ptr<AuditedEngine> engine =
          factory_(known.parameters(), known_settings(0.0));
      engine->accumulate(known.losses(rows_of({1.0, 1.0}), g, g), users({0, 1}));
      exact("a user in two physical batches of a step is refused", throws([&] {
              engine->accumulate(known.losses(rows_of({1.0, 1.0}), g, g), users({2, 1}));
            }),
            "user 1 twice");
    }
  }

  // ---- Permission.

  void permission() {
    const KnownGradients known(model_.parameters.front().options().requires_grad(false));
    const auto guard = std::make_shared<CountingGuard>();
    AuditedEngineSettings guarded = known_settings(options_.noise_multiplier);
    guarded.release_guard = guard;
    const std::unique_ptr<AuditedEngine> engine = factory_(known.parameters(), guarded);
    const auto add_rows = [&] {
      const double c = norm_of(*engine);
      engine->accumulate(known.losses(rows_of(std::vector<double>(50, 0.5)), of_a(c), of_b(c)),
                         users(users_of(rows_of(std::vector<double>(50, 0.5)))));
    };
    // What stands in .grad before a step that is refused has to stand there after it.
    for (const at::Tensor& parameter : known.parameters()) {
      parameter.mutable_grad() = at::full(parameter.sizes(), 7.0, parameter.options()).detach();
    }
    add_rows();
    guard->refuses = true;
    const bool refused = throws([&] { engine->finish_step(); });
    bool untouched = engine->books().empty();
    for (const at::Tensor& parameter : known.parameters()) {
      untouched =
          untouched && parameter.grad().defined() && parameter.grad().eq(7.0).all().item<bool>();
    }
    exact("a step that the guard refuses releases nothing", refused && untouched,
          refused ? (untouched ? "refused" : "the gradient or the books were touched")
                  : "the step went on");
    if (!refused) return;

    guard->refuses = false;
    engine->finish_step();
    const std::int64_t asked = guard->asked;
    const at::Tensor after = detail::gradient_vector(known.parameters(), 1.0);
    const double norm_after = engine->sensitivity();
    exact("the guard is asked once before every release", asked == 2,
          text("asked ", asked, " times for two steps"));
    const std::unique_ptr<AuditedEngine> fresh =
        factory_(known.parameters(), known_settings(options_.noise_multiplier));
    fresh->finish_step();
    const bool same = norm_after == fresh->sensitivity() &&
                      distance(after, detail::gradient_vector(known.parameters(), 1.0)) == 0.0;
    exact("a refused step leaves no trace in the next", same,
          "an engine with a refused step behind it beside a new one, same key");
  }

  // ---- The count of adaptive clipping.

  /// The logarithm of the clipping norm after a step over that before it, as a count: minus the
  /// noised share, but for a constant.
  double moved(const AuditedEngine& engine, double before) const {
    return -std::log(engine.sensitivity() / before) * divisor() / kLearningRate;
  }

  void counts() {
    if (!adaptive()) return;
    const KnownGradients known(model_.parameters.front().options().requires_grad(false));
    // The same key, so that the noise of the counts is the same: the difference is exact.
    const auto count_of = [&](const KnownRows& rows) {
      const std::unique_ptr<AuditedEngine> engine =
          factory_(known.parameters(), known_settings(options_.noise_multiplier));
      const double c = engine->sensitivity();
      if (!rows.empty()) {
        engine->accumulate(known.losses(rows, of_a(c), of_b(c)), users(users_of(rows)));
      }
      engine->finish_step();
      return moved(*engine, c);
    };
    const double none = count_of({});
    double off = 0.0;
    for (const std::size_t rows : {1, 4, 25}) {
      const auto half = static_cast<double>(rows) / 2.0;
      for (const auto& [scale, expected] :
           {std::pair(0.5, half), std::pair(1e3, -half), std::pair(kInfinity, -half)}) {
        const double count = count_of(rows_of(std::vector<double>(rows, scale))) - none;
        off = std::max(off, std::abs(count - expected));
      }
    }
    exact("a gradient moves the count by half", off <= kCountTolerance,
          text("off by ", off, " for 1, 4, 25 small, large and infinite ones"));
    const double at_c = 8.0 / std::sqrt(5.0);
    const double jump = std::abs(count_of(rows_of({at_c * (1.0 - 0x1p-18)})) -
                                 count_of(rows_of({at_c * (1.0 + 0x1p-18)})));
    exact("the rounding of a norm does not move the count by a gradient", jump <= 0.1,
          text("norms 2^-18 below and above C: counts ", jump, " apart"));

    const std::unique_ptr<AuditedEngine> engine =
        factory_(known.parameters(), known_settings(options_.noise_multiplier));
    double squares = 0.0;
    for (std::int64_t step = 0; step < kCountDraws; ++step) {
      const double c = engine->sensitivity();
      engine->finish_step();
      const double z = moved(*engine, c) / options_.clipping.adaptive().count_noise;
      squares += z * z;
    }
    WorstOf worst;
    worst.add(detail::chi_squared_p_value(kCountDraws, squares), [&] {
      return text(std::sqrt(squares / kCountDraws), " of what it has to be (", kCountDraws,
                  " draws)");
    });
    result_.checks.push_back(worst.check("standard deviation of the noise on the count"));
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
        engine.accumulate(at::zeros({0}, model_.parameters.front().options().requires_grad(false)),
                          {});
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

  /// The step, in units of the noise that it should have.
  at::Tensor standardised_step(AuditedEngine& engine, Kind kind,
                               const std::vector<std::int64_t>& batch) const {
    const double deviation =
        detail::sum_noise_multiplier_of(options_.clipping, options_.noise_multiplier) *
        norm_of(engine);
    step(engine, kind, batch);
    return detail::gradient_vector(model_.parameters, divisor() / deviation);
  }

  /// A few units, for the kinds that need some and must not depend on a draw.
  std::vector<std::int64_t> few() const {
    std::vector<std::int64_t> batch;
    for (std::int64_t unit = 0; unit < std::min<std::int64_t>(3, units_.count()); ++unit) {
      for (const std::int64_t example : units_.examples(unit)) batch.push_back(example);
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
        const at::Tensor sum = standardised_step(*exact_engine, kind, batch);
        if (kind != Kind::kDrawn) empty_sum = std::max(empty_sum, distance(sum, sum * 0.0));
        const at::Tensor step = standardised_step(*noised, kind, batch);
        // A sum that should be zero is not taken off: were it wrong, it would hide behind itself.
        steps.push_back(kind == Kind::kDrawn ? step - sum : step);
        book_entry(*noised, static_cast<std::int64_t>(steps.size()));
      }
    }
    exact("a step without a finite gradient sums to zero", empty_sum == 0.0,
          text("norm ", empty_sum, " sigma C"));
    result_.checks.push_back(books_.check());
    about(*noised);
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
      noise.push_back(standardised_step(*engine, Kind::kNothing, {}));
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
    exact("a resumed engine goes on with the same sensitivity",
          first->sensitivity() == second->sensitivity(),
          text(first->sensitivity(), " and ", second->sensitivity()));
    std::vector<at::Tensor> lost, again;
    for (int i = 0; i < 2; ++i) {
      lost.push_back(standardised_step(*first, Kind::kNothing, {}));
    }
    Books books;
    for (int i = 0; i < 2; ++i) {
      again.push_back(standardised_step(*second, Kind::kNothing, {}));
      books.look(*this, *second, i + 2);
    }
    WorstOf worst;
    for (const at::Tensor& x : lost) {
      for (const at::Tensor& y : again) {
        unrelated(worst, x, y, [] { return std::string("a lost step and a later one"); });
      }
    }
    result_.checks.push_back(worst.check("a resumed engine repeats no noise"));
    ConformanceCheck check = books.check();
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
    ConformanceCheck check() const {
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

  /// Whether the statement of an engine with releases is about the units that it draws.
  void about(const AuditedEngine& engine) {
    const PrivacyStatement statement = engine.statement(Books::kDelta);
    bool holds = statement.unit == units_.word();
    for (const StatedReleases& releases : statement.releases) {
      const bool drawn = options_.sampling_rate < 1.0;
      holds = holds && (!drawn || releases.sampling.find(statement.unit) != std::string::npos);
    }
    exact("the statement is about what is drawn", holds,
          "unit \"" + statement.unit + "\"; " +
              (statement.releases.empty() ? "" : statement.releases.front().sampling));
  }

  // ---- Sampling.

  void sampling() {
    AuditedEngineSettings own = settings(options_.noise_multiplier);
    own.insecure_sampling_key.reset();
    const std::unique_ptr<AuditedEngine> engine = factory_(model_.parameters, own);
    std::vector<std::vector<std::int64_t>> batches;  // of units
    bool valid = true;
    bool whole = true;
    for (std::int64_t draw = 0; draw < options_.draws; ++draw) {
      std::vector<std::int64_t> batch = engine->next_batch();
      std::sort(batch.begin(), batch.end());
      valid = valid && std::adjacent_find(batch.begin(), batch.end()) == batch.end() &&
              (batch.empty() || (batch.front() >= 0 && batch.back() < model_.dataset_size));
      if (!valid) break;
      batches.push_back(units_.in(batch));
      std::size_t examples = 0;
      for (const std::int64_t unit : batches.back()) examples += units_.examples(unit).size();
      whole = whole && examples == batch.size();
    }
    exact("no example is drawn twice or from nowhere", valid,
          text(options_.draws, " draws from ", model_.dataset_size, " examples"));
    if (!valid) return;
    if (units_.by_user()) {
      exact("a user is drawn with all examples", whole, text(options_.draws, " draws"));
    }
    if (options_.sampling_rate == 1.0) {
      const bool all = std::all_of(batches.begin(), batches.end(), [&](const auto& batch) {
        return static_cast<std::int64_t>(batch.size()) == units_.count();
      });
      exact(text("every ", units_.word(), " is in every batch"), all, "sampling rate 1");
      return;
    }
    inclusion(batches);
    pairs(batches);
    sizes(batches);
  }

  void inclusion(const std::vector<std::vector<std::int64_t>>& batches) {
    const double q = options_.sampling_rate;
    const std::int64_t size = units_.count();
    const auto draws = static_cast<std::int64_t>(batches.size());
    std::vector<std::int64_t> counts(static_cast<std::size_t>(size), 0);
    for (const auto& batch : batches) {
      for (const std::int64_t unit : batch) ++counts[static_cast<std::size_t>(unit)];
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
    look(0, size, "all");
    look(0, size / 2, "the first half");
    look(size / 2, size, "the second half");
    for (std::int64_t i = 0; i < size; ++i) look(i, i + 1, "the one");
    result_.checks.push_back(worst.check("the sampling rate"));
  }

  void pairs(const std::vector<std::vector<std::int64_t>>& batches) {
    // Of disjoint pairs each is drawn twice with probability q^2, independently of the others.
    const double q = options_.sampling_rate;
    const std::int64_t size = units_.count();
    const auto draws = static_cast<std::int64_t>(batches.size());
    std::int64_t in_both = 0;
    for (std::size_t i = 0; i + 1 < batches.size(); i += 2) {
      const std::set<std::int64_t> first(batches[i].begin(), batches[i].end());
      for (const std::int64_t unit : batches[i + 1]) {
        in_both += static_cast<std::int64_t>(first.count(unit));
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
    look(size * (draws / 2), in_both, "one twice in a row");
    look((size / 2) * draws, together, "two neighbours together");
    result_.checks.push_back(worst.check("draws are independent"));
  }

  void sizes(const std::vector<std::vector<std::int64_t>>& batches) {
    // How many sizes lie near the mean: of a fixed size, all or none.
    const double q = options_.sampling_rate;
    const std::int64_t size = units_.count();
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
  detail::Units units_;
  double sensitivity_;  // by the clipping
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
