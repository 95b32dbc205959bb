#include "velum/dpsgd/privacy_engine.h"

#include <ATen/Context.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "clipper.h"
#include "lazy_rows.h"
#include "tape/arithmetic.h"
#include "tape/tape.h"
#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/accounting/release_guard.h"
#include "velum/dpsgd/lazy_table.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/torch_bridge.h"
#include "velum/dpsgd/user_poisson_sampler.h"
#include "velum/kernels/gradients/add_gaussian_noise.h"
#include "velum/kernels/random/fork_guard.h"

namespace velum::dpsgd {
namespace {

/// What an engine reads of a sampler.
struct Sampling {
  Mechanism mechanism;
  double expected_batch_size;
  bool by_user;
};

template <typename Sampler>
Mechanism mechanism_of(const Sampler& sampler, double noise_multiplier) {
  if (!std::isfinite(noise_multiplier) || noise_multiplier < 0) {
    std::ostringstream text;
    text << "PrivacyEngine: noise_multiplier = " << noise_multiplier
         << ", expected finite and >= 0";
    throw std::invalid_argument(text.str());
  }
  if (noise_multiplier > 0) return sampler.mechanism(noise_multiplier);
  if (sampler.sampling_rate() == 1) return GaussianMechanism{0};
  return PoissonSampledGaussianMechanism{sampler.sampling_rate(), 0};
}

Sampling sampling_of(const PoissonSampler& sampler, double noise_multiplier) {
  return {mechanism_of(sampler, noise_multiplier), sampler.expected_batch_size(), false};
}
Sampling sampling_of(const UserPoissonSampler& sampler, double noise_multiplier) {
  return {mechanism_of(sampler, noise_multiplier), sampler.expected_batch_size(), true};
}

/// The norms pay for roundings of the parameters' own type, not for operands of 8 or 11 bits.
void require_full_precision() {
  if (at::globalContext().float32MatmulPrecision() == at::Float32MatmulPrecision::HIGHEST) return;
  throw std::invalid_argument(
      "PrivacyEngine::accumulate: float32 products are set to reduced precision, which the clip "
      "does "
      "not allow for; call at::globalContext().setFloat32MatmulPrecision(\"highest\") "
      "(torch.set_float32_matmul_precision in Python)");
}

}  // namespace

struct PrivacyEngine::Impl {
  Impl(const std::vector<at::Tensor>& parameters_in, const Sampling& sampling,
       PrivacyOptions options_in)
      : parameters(detail::check_parameters("PrivacyEngine", parameters_in)),
        options(std::move(options_in)),
        mechanism(sampling.mechanism),
        by_user(sampling.by_user),
        clipper(options.clipping, parameters, options.noise_multiplier),
        expected_batch_size(sampling.expected_batch_size),
        accountant(options.accountant != nullptr
                       ? options.accountant
                       : std::make_shared<RdpAccountant>(PoissonSampler::neighbouring())),
        key(options.insecure_test_key.has_value() ? *options.insecure_test_key
                                                  : kernels::secure_random_key()),
        tape(parameters, options.allow_slow_rules, {}, options.method_overrides),
        sums(parameters.size()),
        spare(parameters.size()),
        written(parameters.size()),
        lazy(lazy_rows()),
        lazy_sums(parameters.size()) {
    if (accountant->composition().neighbouring() != PoissonSampler::neighbouring()) {
      throw std::invalid_argument(
          "PrivacyEngine: options.accountant is for another neighbouring relation than the "
          "sampler's, add-or-remove-one: the sensitivity would not be the clipping norm");
    }
    if (!by_user && options.user_gradient != UserGradient::kMean) {
      throw std::invalid_argument(
          "PrivacyEngine: options.user_gradient = sum, expected mean, the default: the sampler "
          "draws samples, of which nothing is joined by user; make the engine with a "
          "UserPoissonSampler to protect users");
    }
    require_books_for(options.release_guard.get(), PoissonSampler::neighbouring(), unit(),
                      "PrivacyEngine");
  }
  ~Impl() { kernels::wipe(key); }

  /// What one physical batch adds to the step.
  struct BatchSums {
    BatchSums(std::size_t parameters, std::size_t groups)
        : sums(parameters), rows(parameters), squared_norms(groups) {}

    std::vector<at::Tensor> sums;
    std::vector<std::optional<detail::RowSums>> rows;  // of lazy tables, in place of sums
    std::vector<at::Tensor> squared_norms;             // of each group
    double count = 0;                                  // centred: only of adaptive clipping
  };

  void accumulate(const at::Tensor& losses, std::optional<c10::ArrayRef<std::int64_t>> user_names);
  void sum_group(std::size_t index, detail::BatchGradients& gradients,
                 const std::optional<detail::SampleGroups>& users_of_samples, BatchSums& batch);
  std::optional<detail::SampleGroups> users_of(
      const at::Tensor& losses, std::optional<c10::ArrayRef<std::int64_t>> user_names) const;
  const char* unit() const { return by_user ? "user" : "example"; }
  const char* label() const { return by_user ? "training, by user" : "training"; }
  StepStatistics finish_step();
  std::vector<detail::LazyRows*> lazy_rows() const;
  /// The last act of construction: from then on the tables are this engine's.
  void bind_tables() noexcept;
  /// What the batch has looked up of parameter i; null unless that is a lazy table and used.
  const detail::EmbeddingGradient* lazy_lookups(std::size_t i,
                                                const detail::ParameterGradient& gradient) const;
  detail::RowSums joined(std::size_t i, std::vector<detail::RowSums> parts) const;
  void require_released(const char* function) const;
  void begin_step();
  void resume(const EngineState& state);
  void require_no_open_step() const;
  void adapt(double centred_count, std::uint64_t position_step);

  std::vector<at::Tensor> parameters;
  PrivacyOptions options;
  Mechanism mechanism;
  bool by_user;
  detail::Clipper clipper;
  double expected_batch_size;
  std::shared_ptr<Accountant> accountant;
  kernels::RandomKey key;
  kernels::ForkGuard fork_guard;
  detail::Tape tape;

  std::int64_t step = 0;
  std::uint32_t key_epoch = 0;
  bool in_step = false;
  std::vector<at::Tensor> sums;   // of the running step; undefined: zero so far. Never released.
  std::vector<at::Tensor> spare;  // storage of earlier gradients that nobody holds any more
  double count = 0;               // of the running step, centred: only of adaptive clipping
  std::vector<c10::TensorImpl*> written;  // what finish_step left in .grad, only to be compared
  std::vector<detail::LazyRows*> lazy;    // null: an ordinary parameter
  std::vector<std::vector<detail::RowSums>> lazy_sums;  // of the running step
  std::set<std::string> slow_nodes;
  std::vector<std::weak_ptr<torch::autograd::Node>> added;  // graphs of the running step
  std::set<std::int64_t> users;                             // of the running step
  UnsafeStepValues unsafe_values;
};

std::vector<detail::LazyRows*> PrivacyEngine::Impl::lazy_rows() const {
  std::vector<detail::LazyRows*> rows(parameters.size(), nullptr);
  for (std::size_t t = 0; t < options.lazy_tables.size(); ++t) {
    const std::string name = "PrivacyEngine: options.lazy_tables[" + std::to_string(t) + "]";
    if (options.lazy_tables[t] == nullptr) {
      throw std::invalid_argument(name + " is null, expected a table");
    }
    const at::Tensor& weight = options.lazy_tables[t]->weight();
    const auto found = std::find_if(parameters.begin(), parameters.end(), [&](const at::Tensor& p) {
      return p.unsafeGetTensorImpl() == weight.unsafeGetTensorImpl();
    });
    if (found == parameters.end()) {
      throw std::invalid_argument(name + ": its weight is none of the parameters");
    }
    detail::LazyRows*& place = rows[static_cast<std::size_t>(found - parameters.begin())];
    if (place != nullptr) {
      throw std::invalid_argument(name + ": another lazy table has the same weight");
    }
    place = &detail::rows_of(*options.lazy_tables[t]);
    if (place->is_bound()) {
      throw std::invalid_argument(name +
                                  " is a table of another engine; release it, and make a new "
                                  "LazyTable of its weight");
    }
  }
  return rows;
}

void PrivacyEngine::Impl::bind_tables() noexcept {
  for (std::size_t i = 0; i < lazy.size(); ++i) {
    if (lazy[i] != nullptr) lazy[i]->bind(key, key_epoch, static_cast<std::uint32_t>(i));
  }
}

const detail::EmbeddingGradient* PrivacyEngine::Impl::lazy_lookups(
    std::size_t i, const detail::ParameterGradient& gradient) const {
  if (lazy[i] == nullptr || !gradient.used()) return nullptr;
  const detail::EmbeddingGradient* const lookups = gradient.lookups();
  if (lookups == nullptr) {
    std::string operations;
    for (const auto& use : gradient.uses()) {
      operations += (operations.empty() ? "" : ", ") + use.operation;
    }
    throw std::invalid_argument(
        "PrivacyEngine::accumulate: parameter " + std::to_string(i) +
        ", a lazy table, is used by " + operations +
        "; expected lookups of rows that each sample chooses: leave it out of "
        "options.lazy_tables");
  }
  lazy[i]->require_caught_up("PrivacyEngine::accumulate", lookups->rows().indices);
  return lookups;
}

void PrivacyEngine::Impl::require_released(const char* function) const {
  for (std::size_t i = 0; i < lazy.size(); ++i) {
    if (lazy[i] == nullptr || lazy[i]->is_released()) continue;
    throw std::logic_error(std::string(function) + ": parameter " + std::to_string(i) +
                           ", a lazy table, lacks noise of earlier steps; call "
                           "LazyTable::release first");
  }
}

void PrivacyEngine::Impl::begin_step() {
  if (in_step) return;
  in_step = true;
  slow_nodes.clear();
  added.clear();
  users.clear();
  unsafe_values = {};
}

std::optional<detail::SampleGroups> PrivacyEngine::Impl::users_of(
    const at::Tensor& losses, std::optional<c10::ArrayRef<std::int64_t>> user_names) const {
  if (by_user != user_names.has_value()) {
    throw std::invalid_argument(
        by_user
            ? "PrivacyEngine::accumulate: no users, expected the user of every loss: the sampler "
              "draws users, and each user's gradient is clipped as one"
            : "PrivacyEngine::accumulate: users were given, expected none: the sampler draws "
              "samples; make the engine with a UserPoissonSampler to protect users");
  }
  if (!by_user) return std::nullopt;
  if (static_cast<std::int64_t>(user_names->size()) != losses.numel()) {
    throw std::invalid_argument(
        "PrivacyEngine::accumulate: users.size() = " + std::to_string(user_names->size()) +
        ", expected losses.size(0) = " + std::to_string(losses.numel()));
  }
  for (const std::int64_t user : *user_names) {
    if (in_step && users.contains(user)) {
      throw std::invalid_argument(
          "PrivacyEngine::accumulate: a user of this physical batch was in an earlier one of the "
          "same step; all samples of a user belong in one: take a larger physical batch, or "
          "max_samples_per_user of the sampler");
    }
  }
  return detail::SampleGroups(*user_names);
}

/// Clips the gradients of the group's parameters, sums them and frees them.
void PrivacyEngine::Impl::sum_group(std::size_t index, detail::BatchGradients& gradients,
                                    const std::optional<detail::SampleGroups>& users_of_samples,
                                    BatchSums& batch) {
  const detail::Clipper::Group& group = clipper.groups()[index];
  std::vector<const detail::EmbeddingGradient*> lookups(parameters.size(), nullptr);
  for (const std::size_t i : group.parameters) {
    lookups[i] = lazy_lookups(i, gradients.parameter(i));
  }
  const at::ScalarType type = gradients.summed_type(group.parameters);
  at::Tensor squares = users_of_samples
                           ? gradients.squared_norms(group.parameters, *users_of_samples)
                           : gradients.squared_norms(group.parameters);
  squares = squares.to(parameters.front().device()).contiguous();
  const bool means = users_of_samples && options.user_gradient == UserGradient::kMean;
  const at::Tensor counts = means ? users_of_samples->sizes(squares.device()) : at::Tensor();
  if (means) squares = squares.div(counts.square());
  at::Tensor per_unit = clipper.factors(squares, group, type);
  if (means) per_unit = clipper.divided(per_unit, counts, type);
  const auto of_samples = [&](const at::Tensor& of_units) {
    return users_of_samples ? users_of_samples->to_samples(of_units) : of_units;
  };
  const detail::SampleFactors factors(of_samples(per_unit));
  if (options.clipping.kind() == Clipping::Kind::kAdaptive) {
    batch.count += clipper.centred_count(squares);
  }
  const at::Tensor finite = at::isfinite(squares);
  const bool all_finite = finite.all().item<bool>();
  const at::Tensor excluded = of_samples(finite.logical_not());
  std::vector<std::int64_t> taken;
  for (const std::size_t i : group.parameters) {
    const auto bytes = parameters[i].numel() * static_cast<std::int64_t>(elementSize(type));
    taken.push_back(spare[i].defined() || lazy[i] != nullptr ? 0 : bytes);
  }
  for (const std::size_t i : gradients.in_order_of_release(group.parameters, taken)) {
    detail::ParameterGradient& gradient = gradients.parameter(i);
    if (!all_finite) gradient.exclude(excluded);
    if (lazy[i] == nullptr) {
      batch.sums[i] = gradient.weighted_sum(factors, std::exchange(spare[i], {}));
    } else if (lookups[i] != nullptr) {
      batch.rows[i] = lookups[i]->weighted_rows(factors, lazy[i]->take_spare());
    }
    gradient.release();  // before the next one is summed
  }
  batch.squared_norms[index] = squares;
}

void PrivacyEngine::Impl::accumulate(const at::Tensor& losses,
                                     std::optional<c10::ArrayRef<std::int64_t>> user_names) {
  detail::check_losses("PrivacyEngine::accumulate", losses);
  fork_guard.require_same_process("PrivacyEngine::accumulate");
  for (const detail::LazyRows* const rows : lazy) {
    if (rows != nullptr) rows->require_settled("PrivacyEngine::accumulate");
  }
  const std::optional<detail::SampleGroups> groups = users_of(losses, user_names);
  const c10::AutoGradMode no_grad(false);
  require_full_precision();
  const at::NoTF32Guard no_tf32;
  const detail::AutocastOff no_autocast;
  if (losses.numel() == 0) {
    begin_step();
    ++unsafe_values.physical_batches;
    return;
  }
  if (losses.device() != parameters.front().device()) {
    throw std::invalid_argument("PrivacyEngine::accumulate: losses is on " + losses.device().str() +
                                ", expected " + parameters.front().device().str());
  }

  if (in_step) {
    for (const auto& graph : added) {
      if (graph.lock() == losses.grad_fn()) {
        throw std::invalid_argument(
            "PrivacyEngine::accumulate: these losses were added to this step already; a sample may "
            "count once in a logical batch");
      }
    }
  }
  const std::weak_ptr<torch::autograd::Node> root = losses.grad_fn();
  std::vector<std::vector<std::size_t>> parameters_of_groups;
  for (const detail::Clipper::Group& group : clipper.groups()) {
    parameters_of_groups.push_back(group.parameters);
  }
  // Of this batch alone until all has gone well.
  BatchSums batch(parameters.size(), clipper.groups().size());
  detail::BatchGradients gradients =
      tape.differentiate(losses, /*release=*/!options.retain_graph, parameters_of_groups,
                         [&](std::size_t group, detail::BatchGradients& of_group) {
                           sum_group(group, of_group, groups, batch);
                         });
  at::Tensor squared_norms = batch.squared_norms.front();  // over all groups
  for (std::size_t group = 1; group < batch.squared_norms.size(); ++group) {
    squared_norms = squared_norms.add(batch.squared_norms[group]);
  }
  const at::Tensor norms = squared_norms.sqrt().to(at::kCPU);

  // Nothing below throws for lack of anything but memory for a few numbers: take that first.
  std::vector<double> all_norms = in_step ? unsafe_values.per_sample_norms : std::vector<double>();
  const auto* data = norms.const_data_ptr<double>();
  all_norms.insert(all_norms.end(), data, data + norms.numel());
  std::set<std::string> all_slow = in_step ? slow_nodes : std::set<std::string>();
  all_slow.insert(tape.slow_nodes().begin(), tape.slow_nodes().end());

  std::vector<std::weak_ptr<torch::autograd::Node>> all_added;
  if (in_step) all_added = added;
  all_added.push_back(root);
  std::set<std::int64_t> all_users = in_step ? users : std::set<std::int64_t>();
  if (groups) all_users.insert(groups->names().begin(), groups->names().end());

  for (std::vector<detail::RowSums>& parts : lazy_sums) parts.reserve(parts.size() + 1);

  begin_step();
  added = std::move(all_added);
  users = std::move(all_users);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (lazy[i] != nullptr) {
      if (batch.rows[i].has_value()) lazy_sums[i].push_back(std::move(*batch.rows[i]));
    } else if (sums[i].defined()) {
      sums[i].add_(batch.sums[i]);
      spare[i] = std::move(batch.sums[i]);
    } else {
      sums[i] = std::move(batch.sums[i]);
    }
  }
  count += batch.count;
  slow_nodes = std::move(all_slow);
  unsafe_values.per_sample_norms = std::move(all_norms);
  unsafe_values.batch_size += losses.numel();
  ++unsafe_values.physical_batches;
  if (!options.retain_graph) gradients.release_graph();
}

/// Releases the count with its noise, and moves the clipping norm of the next step by it.
void PrivacyEngine::Impl::adapt(double centred_count, std::uint64_t position_step) {
  const double count_noise = options.clipping.adaptive().count_noise;
  kernels::add_gaussian_noise(
      kernels::Span<double>(&centred_count, 1), count_noise, expected_batch_size, key,
      {kernels::Purpose::kClippingCount, key_epoch, position_step, 0}, kernels::Stream::serial());
  clipper.adapt(0.5 + centred_count);
}

/// One sum of each row that the step has looked up.
detail::RowSums PrivacyEngine::Impl::joined(std::size_t i,
                                            std::vector<detail::RowSums> parts) const {
  if (parts.size() == 1) return std::move(parts.front());
  const at::TensorOptions like = parameters[i].options().requires_grad(false);
  std::vector<at::Tensor> rows{at::empty({0}, like.dtype(at::kLong))};
  std::vector<at::Tensor> row_sums{at::empty({0, parameters[i].size(1)}, like.dtype(at::kDouble))};
  for (detail::RowSums& part : parts) {
    rows.push_back(std::move(part.rows));
    row_sums.push_back(part.sums.to(at::kDouble));
  }
  // As if the parts were lookups of one sample.
  const at::Tensor all_rows = at::cat(rows);
  const detail::EmbeddingGradient of_all({all_rows, at::zeros_like(all_rows), at::cat(row_sums)}, 1,
                                         parameters[i].size(0));
  return of_all.weighted_rows(detail::SampleFactors(at::ones({1}, like.dtype(at::kDouble))), {});
}

StepStatistics PrivacyEngine::Impl::finish_step() {
  fork_guard.require_same_process("PrivacyEngine::finish_step");
  for (const detail::LazyRows* const rows : lazy) {
    if (rows != nullptr) rows->require_settled("PrivacyEngine::finish_step");
  }
  const c10::AutoGradMode no_grad(false);
  begin_step();
  std::vector<at::Tensor> released = std::exchange(sums, std::vector<at::Tensor>(sums.size()));
  std::vector<std::vector<detail::RowSums>> released_rows =
      std::exchange(lazy_sums, std::vector<std::vector<detail::RowSums>>(lazy.size()));
  const double released_count = std::exchange(count, 0.0);
  in_step = false;

  // Permission before all: a refusal drops the sum and leaves no trace.
  if (options.release_guard != nullptr) {
    options.release_guard->before_release(mechanism, label());
  }
  // The books first: if anything fails from here on, they are too large and never too small, and
  // the position of the noise is spent.
  accountant->compose(mechanism, 1, label());
  const auto position_step = static_cast<std::uint64_t>(step);
  ++step;
  const double sensitivity = clipper.sensitivity();
  const double standard_deviation = clipper.sum_noise_multiplier() * clipper.sum_sensitivity();
  const double divisor = expected_batch_size / clipper.scale();
  const auto position_of = [&](std::size_t i) {
    constexpr auto kNoise = kernels::Purpose::kGradientNoise;
    return kernels::RandomPosition{kNoise, key_epoch, position_step, static_cast<std::uint32_t>(i)};
  };
  const kernels::Stream stream = stream_for(parameters.front().device());
  std::vector<detail::RowSums> row_sums(parameters.size());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (lazy[i] != nullptr) {
      row_sums[i] = joined(i, std::move(released_rows[i]));
      continue;
    }
    at::Tensor& sum = released[i];
    if (!sum.defined()) sum = at::zeros(parameters[i].sizes(), detail::math_options(parameters[i]));
    if (sum.is_view()) sum = sum.variable_data();  // zero_grad detaches a gradient in place
    const kernels::RandomPosition position = position_of(i);
    if (sum.scalar_type() == at::kDouble) {
      kernels::add_gaussian_noise(span_of<double>(sum), standard_deviation, divisor, key, position,
                                  stream);
    } else {
      kernels::add_gaussian_noise(span_of<float>(sum), standard_deviation, divisor, key, position,
                                  stream);
    }
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    // Not a view: optimisers detach gradients in place. Half precision is rounded here, after the
    // noise, and its sum stays with the engine. A lazy table has no gradient.
    if (lazy[i] != nullptr) {
      parameters[i].mutable_grad().reset();
      continue;
    }
    const bool rounded = released[i].scalar_type() != parameters[i].scalar_type();
    const at::Tensor gradient = rounded ? released[i].to(parameters[i].scalar_type())
                                : released[i].is_view() ? released[i].variable_data()
                                                        : released[i];
    at::Tensor old = std::exchange(parameters[i].mutable_grad(), gradient);
    // Its storage serves the next step, if it is this engine's and nobody else holds it.
    if (rounded) spare[i] = std::move(released[i]);
    const bool ours = !rounded && old.defined() && old.unsafeGetTensorImpl() == written[i];
    if (ours && old.use_count() == 1 && old.storage().use_count() == 1) spare[i] = std::move(old);
    written[i] = gradient.unsafeGetTensorImpl();
  }

  if (options.clipping.kind() == Clipping::Kind::kAdaptive) adapt(released_count, position_step);

  StepStatistics statistics;
  statistics.step = step;
  statistics.sensitivity = sensitivity;
  statistics.slow_nodes.assign(slow_nodes.begin(), slow_nodes.end());
  // Last: a gradient that a table has must be applied, and nothing throws from here on.
  for (std::size_t i = 0; i < lazy.size(); ++i) {
    if (lazy[i] == nullptr) continue;
    lazy[i]->receive(std::move(row_sums[i]), standard_deviation, divisor, position_of(i));
  }
  return statistics;
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): handles that count references
PrivacyEngine::PrivacyEngine(std::vector<at::Tensor> parameters, const PoissonSampler& sampler,
                             PrivacyOptions options)
    : impl_(std::make_unique<Impl>(std::move(parameters),
                                   sampling_of(sampler, options.noise_multiplier), options)) {
  impl_->bind_tables();
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): handles that count references
PrivacyEngine::PrivacyEngine(std::vector<at::Tensor> parameters, const UserPoissonSampler& sampler,
                             PrivacyOptions options)
    : impl_(std::make_unique<Impl>(std::move(parameters),
                                   sampling_of(sampler, options.noise_multiplier), options)) {
  impl_->bind_tables();
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): handles that count references
PrivacyEngine::PrivacyEngine(std::vector<at::Tensor> parameters, const PoissonSampler& sampler,
                             PrivacyOptions options, const EngineState& state)
    : impl_(std::make_unique<Impl>(std::move(parameters),
                                   sampling_of(sampler, options.noise_multiplier), options)) {
  impl_->resume(state);
  impl_->bind_tables();
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): handles that count references
PrivacyEngine::PrivacyEngine(std::vector<at::Tensor> parameters, const UserPoissonSampler& sampler,
                             PrivacyOptions options, const EngineState& state)
    : impl_(std::make_unique<Impl>(std::move(parameters),
                                   sampling_of(sampler, options.noise_multiplier), options)) {
  impl_->resume(state);
  impl_->bind_tables();
}

void PrivacyEngine::Impl::resume(const EngineState& state) {
  if (state.step < 0 || state.key_epoch == std::numeric_limits<std::uint32_t>::max()) {
    throw std::invalid_argument("PrivacyEngine: state.step = " + std::to_string(state.step) +
                                ", state.key_epoch = " + std::to_string(state.key_epoch) +
                                ", expected step >= 0 and a key_epoch that can be counted up");
  }
  const bool adaptive = options.clipping.kind() == Clipping::Kind::kAdaptive;
  if (adaptive != state.clipping_norm.has_value()) {
    throw std::invalid_argument(
        std::string("PrivacyEngine: state.clipping_norm is ") +
        (adaptive ? "missing, expected that of the run that goes on with adaptive clipping"
                  : "given, expected none: the clipping norm is no part of the state unless the "
                    "clipping is adaptive"));
  }
  if (adaptive) clipper.set_adaptive_norm(*state.clipping_norm);
  accountant->compose(state.composition);
  step = state.step;
  key_epoch = state.key_epoch + 1;
}

PrivacyEngine::PrivacyEngine(PrivacyEngine&&) noexcept = default;
PrivacyEngine& PrivacyEngine::operator=(PrivacyEngine&&) noexcept = default;
PrivacyEngine::~PrivacyEngine() = default;

void PrivacyEngine::accumulate(const at::Tensor& losses) {
  impl_->accumulate(losses, std::nullopt);
}

void PrivacyEngine::accumulate(const at::Tensor& losses, c10::ArrayRef<std::int64_t> users) {
  impl_->accumulate(losses, users);
}

StepStatistics PrivacyEngine::finish_step() { return impl_->finish_step(); }

void PrivacyEngine::abandon_step() {
  impl_->begin_step();
  std::fill(impl_->sums.begin(), impl_->sums.end(), at::Tensor());
  for (std::vector<detail::RowSums>& parts : impl_->lazy_sums) parts.clear();
  impl_->count = 0;
  impl_->in_step = false;
}

void PrivacyEngine::Impl::require_no_open_step() const {
  if (!in_step) return;
  throw std::logic_error(
      "PrivacyEngine::backward: a logical batch is open; call accumulate and then finish_step");
}

StepStatistics PrivacyEngine::backward(const at::Tensor& losses) {
  impl_->require_no_open_step();
  impl_->accumulate(losses, std::nullopt);
  return impl_->finish_step();
}

StepStatistics PrivacyEngine::backward(const at::Tensor& losses,
                                       c10::ArrayRef<std::int64_t> users) {
  impl_->require_no_open_step();
  impl_->accumulate(losses, users);
  return impl_->finish_step();
}

Accountant& PrivacyEngine::accountant() { return *impl_->accountant; }
const Accountant& PrivacyEngine::accountant() const { return *impl_->accountant; }
double PrivacyEngine::epsilon(double delta) const { return impl_->accountant->epsilon(delta); }
PrivacyStatement PrivacyEngine::statement(double delta) const {
  impl_->require_released("PrivacyEngine::statement");
  const Accountant& books = *impl_->accountant;
  StatementOptions stated;
  if (impl_->by_user) {
    stated.unit = unit();
    stated.whole_units = true;
  }
  return make_privacy_statement(books.composition(), books.guarantee(delta), books.name(), stated);
}

const char* PrivacyEngine::unit() const { return impl_->unit(); }
double PrivacyEngine::sensitivity() const { return impl_->clipper.sensitivity(); }
double PrivacyEngine::expected_batch_size() const { return impl_->expected_batch_size; }
const Mechanism& PrivacyEngine::mechanism() const { return impl_->mechanism; }
const PrivacyOptions& PrivacyEngine::options() const { return impl_->options; }
const std::vector<at::Tensor>& PrivacyEngine::parameters() const { return impl_->parameters; }

EngineState PrivacyEngine::state() const {
  if (impl_->in_step) {
    throw std::logic_error("PrivacyEngine::state: a logical batch is open; call finish_step first");
  }
  impl_->require_released("PrivacyEngine::state");
  EngineState state{impl_->accountant->composition(), impl_->step, impl_->key_epoch};
  if (impl_->options.clipping.kind() == Clipping::Kind::kAdaptive) {
    state.clipping_norm = impl_->clipper.adaptive_norm();
  }
  return state;
}

const UnsafeStepValues& PrivacyEngine::unsafe_step_values() const { return impl_->unsafe_values; }

}  // namespace velum::dpsgd
