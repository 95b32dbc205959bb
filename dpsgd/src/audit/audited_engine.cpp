#include "velum/dpsgd/audit/audited_engine.h"

#include "velum/dpsgd/accounting/accountant.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"

namespace velum::dpsgd {
namespace {

class VelumEngine final : public AuditedEngine {
 public:
  VelumEngine(const std::vector<at::Tensor>& parameters, const AuditedEngineSettings& settings,
              bool allow_slow_rules, const EngineState* state)
      : parameters_(parameters),
        settings_(settings),
        allow_slow_rules_(allow_slow_rules),
        sampler_(make_sampler(settings, state)),
        engine_(make_engine(state)) {}

  std::vector<std::int64_t> next_batch() override { return sampler_->next(); }
  void accumulate(const at::Tensor& losses) override { engine_->accumulate(losses); }
  void finish_step() override { engine_->finish_step(); }
  Composition books() const override { return engine_->accountant().composition(); }
  std::unique_ptr<AuditedEngine> resumed() const override {
    const EngineState state = engine_->state();
    return std::make_unique<VelumEngine>(parameters_, settings_, allow_slow_rules_, &state);
  }

 private:
  static std::unique_ptr<PoissonSampler> make_sampler(const AuditedEngineSettings& settings,
                                                      const EngineState* state) {
    if (!settings.insecure_sampling_key) {
      return std::make_unique<PoissonSampler>(settings.dataset_size, settings.sampling_rate);
    }
    return std::make_unique<PoissonSampler>(settings.dataset_size, settings.sampling_rate,
                                            *settings.insecure_sampling_key,
                                            state != nullptr ? state->key_epoch + 1 : 0);
  }
  std::unique_ptr<PrivacyEngine> make_engine(const EngineState* state) const {
    PrivacyOptions options{.clipping = Clipping::flat(settings_.clipping_norm),
                           .noise_multiplier = settings_.noise_multiplier,
                           .allow_slow_rules = allow_slow_rules_};
    options.insecure_test_key = settings_.insecure_noise_key;
    return state != nullptr
               ? std::make_unique<PrivacyEngine>(parameters_, *sampler_, options, *state)
               : std::make_unique<PrivacyEngine>(parameters_, *sampler_, options);
  }

  std::vector<at::Tensor> parameters_;
  AuditedEngineSettings settings_;
  bool allow_slow_rules_;
  std::unique_ptr<PoissonSampler> sampler_;
  std::unique_ptr<PrivacyEngine> engine_;
};

}  // namespace

EngineFactory privacy_engine_factory(bool allow_slow_rules) {
  return [allow_slow_rules](const std::vector<at::Tensor>& parameters,
                            const AuditedEngineSettings& settings) {
    return std::make_unique<VelumEngine>(parameters, settings, allow_slow_rules, nullptr);
  };
}

}  // namespace velum::dpsgd
