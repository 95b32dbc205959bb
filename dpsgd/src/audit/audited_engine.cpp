#include "velum/dpsgd/audit/audited_engine.h"

#include <utility>

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

template <typename Sampler>
class VelumEngine final : public AuditedEngine {
 public:
  VelumEngine(const std::vector<at::Tensor>& parameters, const AuditedEngineSettings& settings,
              bool allow_slow_rules, const EngineState* state)
      : parameters_(parameters),
        settings_(settings),
        allow_slow_rules_(allow_slow_rules),
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
  void finish_step() override { engine_.finish_step(); }
  Composition books() const override { return engine_.accountant().composition(); }
  double sensitivity() const override { return engine_.sensitivity(); }
  PrivacyStatement statement(double delta) const override { return engine_.statement(delta); }
  std::unique_ptr<AuditedEngine> resumed() const override {
    const EngineState state = engine_.state();
    AuditedEngineSettings settings = settings_;
    settings.accountant = nullptr;  // the books are in the state
    return std::make_unique<VelumEngine>(parameters_, settings, allow_slow_rules_, &state);
  }

 private:
  PrivacyEngine make_engine(const EngineState* state) const {
    PrivacyOptions options{.clipping = settings_.clipping,
                           .noise_multiplier = settings_.noise_multiplier,
                           .user_gradient = settings_.user_gradient,
                           .allow_slow_rules = allow_slow_rules_,
                           .retain_graph = settings_.retain_graph,
                           .accountant = settings_.accountant,
                           .release_guard = settings_.release_guard};
    options.insecure_test_key = settings_.insecure_noise_key;
    return state != nullptr ? PrivacyEngine(parameters_, sampler_, options, *state)
                            : PrivacyEngine(parameters_, sampler_, options);
  }

  std::vector<at::Tensor> parameters_;
  AuditedEngineSettings settings_;
  bool allow_slow_rules_;
  Sampler sampler_;
  PrivacyEngine engine_;
};

}  // namespace

EngineFactory privacy_engine_factory(bool allow_slow_rules) {
  return
      [allow_slow_rules](const std::vector<at::Tensor>& parameters,
                         const AuditedEngineSettings& settings) -> std::unique_ptr<AuditedEngine> {
        if (settings.user_of_example.empty()) {
          return std::make_unique<VelumEngine<PoissonSampler>>(parameters, settings,
                                                               allow_slow_rules, nullptr);
        }
        return std::make_unique<VelumEngine<UserPoissonSampler>>(parameters, settings,
                                                                 allow_slow_rules, nullptr);
      };
}

}  // namespace velum::dpsgd
