#include "velum/dpsgd/audit/audited_engine.h"

#include <ATen/ops/arange.h>
#include <c10/core/GradMode.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "velum/dpsgd/lazy_table.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/user_poisson_sampler.h"

namespace velum::dpsgd {
namespace {

PoissonSampler make_sampler(const AuditedEngineSettings& settings, const PoissonSampler* /*tag*/,
                            std::uint32_t key_epoch) {
  if (!settings.insecure_sampling_key) {
    return PoissonSampler(settings.dataset_size, settings.sampling_rate);
  }
  return PoissonSampler(settings.dataset_size, settings.sampling_rate,
                        *settings.insecure_sampling_key, key_epoch);
}
UserPoissonSampler make_sampler(const AuditedEngineSettings& settings,
                                const UserPoissonSampler* /*tag*/, std::uint32_t key_epoch) {
  if (!settings.insecure_sampling_key) {
    return UserPoissonSampler(settings.user_of_example, settings.sampling_rate);
  }
  return UserPoissonSampler(settings.user_of_example, settings.sampling_rate, {},
                            *settings.insecure_sampling_key, key_epoch);
}

std::vector<std::int64_t> examples_of(std::vector<std::int64_t> batch) { return batch; }
std::vector<std::int64_t> examples_of(UserBatch batch) { return std::move(batch.samples); }

/// Of the step without a batch that follows each step where there are lazy tables.
constexpr double kSecondLearningRate = 0x1p-10;

template <typename Sampler>
class VelumEngine final : public AuditedEngine {
 public:
  VelumEngine(const std::vector<at::Tensor>& parameters, const AuditedEngineSettings& settings,
              bool allow_slow_rules, const std::vector<at::Tensor>& lazy_weights,
              const EngineState* state)
      : parameters_(parameters),
        settings_(settings),
        allow_slow_rules_(allow_slow_rules),
        lazy_weights_(lazy_weights),
        tables_(make_tables()),
        sampler_(make_sampler(settings, static_cast<const Sampler*>(nullptr),
                              state != nullptr ? state->key_epoch + 1 : 0)),
        engine_(make_engine(state)) {}

  std::vector<std::int64_t> next_batch() override { return examples_of(sampler_.next()); }
  void accumulate(const at::Tensor& losses, const std::vector<std::int64_t>& users) override {
    if (settings_.user_of_example.empty()) {
      engine_.accumulate(losses);
    } else {
      engine_.accumulate(losses, users);
    }
  }
  void finish_step() override {
    const c10::AutoGradMode no_grad(false);
    std::vector<at::Tensor> before;
    for (const auto& table : tables_) before.push_back(table->weight().detach().clone());
    engine_.finish_step();
    if (tables_.empty()) return;
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& parameter : parameters_) gradients.push_back(parameter.grad());
    const auto put_back = [&] {
      for (std::size_t t = 0; t < tables_.size(); ++t) tables_[t]->weight().copy_(before[t]);
    };
    try {
      for (const auto& table : tables_) {
        table->step(1.0);
        // Some rows have all of their noise between the steps, others not.
        table->catch_up(at::arange(table->weight().size(0) / 3, at::kLong));
      }
      engine_.finish_step();
      for (const auto& table : tables_) {
        table->step(kSecondLearningRate);
        table->release();
      }
    } catch (...) {
      put_back();
      throw;
    }
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      parameters_[i].mutable_grad() = gradients[i];
    }
    for (std::size_t t = 0; t < tables_.size(); ++t) {
      const at::Tensor& weight = tables_[t]->weight();
      weight.mutable_grad() = before[t].sub(weight.detach());
    }
    put_back();
  }
  Composition books() const override { return engine_.accountant().composition(); }
  double sensitivity() const override { return engine_.sensitivity(); }
  PrivacyStatement statement(double delta) const override { return engine_.statement(delta); }
  std::unique_ptr<AuditedEngine> resumed() const override {
    const EngineState state = engine_.state();
    AuditedEngineSettings settings = settings_;
    settings.accountant = nullptr;  // the books are in the state
    return std::make_unique<VelumEngine>(parameters_, settings, allow_slow_rules_, lazy_weights_,
                                         &state);
  }

  bool same_noise_for_every_batch() const override { return tables_.empty(); }

 private:
  std::vector<std::shared_ptr<LazyTable>> make_tables() const {
    std::vector<std::shared_ptr<LazyTable>> tables;
    for (const at::Tensor& parameter : parameters_) {
      for (const at::Tensor& weight : lazy_weights_) {
        if (weight.unsafeGetTensorImpl() != parameter.unsafeGetTensorImpl()) continue;
        if (weight.scalar_type() != at::kDouble) {
          throw std::invalid_argument(
              std::string("privacy_engine_factory: a lazy table of type ") +
              c10::toString(weight.scalar_type()) +
              ", expected double: the rounding of its weights would be taken for noise, or hide a "
              "gradient; convert the model for the audit");
        }
        tables.push_back(std::make_shared<LazyTable>(weight));
      }
    }
    return tables;
  }
  PrivacyEngine make_engine(const EngineState* state) const {
    PrivacyOptions options{.clipping = settings_.clipping,
                           .noise_multiplier = settings_.noise_multiplier,
                           .user_gradient = settings_.user_gradient,
                           .allow_slow_rules = allow_slow_rules_,
                           .retain_graph = settings_.retain_graph,
                           .accountant = settings_.accountant,
                           .release_guard = settings_.release_guard,
                           .lazy_tables = tables_};
    options.insecure_test_key = settings_.insecure_noise_key;
    return state != nullptr ? PrivacyEngine(parameters_, sampler_, options, *state)
                            : PrivacyEngine(parameters_, sampler_, options);
  }

  std::vector<at::Tensor> parameters_;
  AuditedEngineSettings settings_;
  bool allow_slow_rules_;
  std::vector<at::Tensor> lazy_weights_;
  std::vector<std::shared_ptr<LazyTable>> tables_;
  Sampler sampler_;
  PrivacyEngine engine_;
};

}  // namespace

EngineFactory privacy_engine_factory(bool allow_slow_rules,
                                     const std::vector<at::Tensor>& lazy_tables) {
  return [allow_slow_rules, lazy_tables](
             const std::vector<at::Tensor>& parameters,
             const AuditedEngineSettings& settings) -> std::unique_ptr<AuditedEngine> {
    if (settings.user_of_example.empty()) {
      return std::make_unique<VelumEngine<PoissonSampler>>(parameters, settings, allow_slow_rules,
                                                           lazy_tables, nullptr);
    }
    return std::make_unique<VelumEngine<UserPoissonSampler>>(parameters, settings, allow_slow_rules,
                                                             lazy_tables, nullptr);
  };
}

}  // namespace velum::dpsgd
