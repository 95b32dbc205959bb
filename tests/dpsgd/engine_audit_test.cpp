// All audits, of velum's own engine. `tests/mutations.py --by-audit` makes the engine's privacy
// bugs one at a time, and this program has to find them: every finding is a line of its own,
// "finding: audit | subject | what".
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dpsgd/support/audit_settings.h"
#include "dpsgd/support/small_classifier.h"
#include "velum/dpsgd/audit/audited_engine.h"
#include "velum/dpsgd/audit/canary_audit.h"
#include "velum/dpsgd/audit/engine_conformance.h"
#include "velum/dpsgd/audit/neighbour_replay.h"

namespace velum::testing {
namespace {

namespace nn = torch::nn;
namespace F = torch::nn::functional;

using dpsgd::AuditedModel;
using dpsgd::privacy_engine_factory;
using dpsgd::ReplayOptions;
using dpsgd::ReplayResult;
using Indices = std::vector<std::int64_t>;

void finding(const std::string& audit, const std::string& subject, const std::string& what) {
  std::printf("finding: %s | %s | %s\n", audit.c_str(), subject.c_str(), what.c_str());
  ADD_FAILURE() << audit << ", " << subject << ": " << what;
}

/// Runs an audit; that it throws is a finding.
void guarded(const std::string& audit, const std::string& subject,
             const std::function<void()>& action) {
  try {
    action();
  } catch (const std::exception& error) {
    finding(audit, subject, std::string("error: ") + error.what());
  }
}

void find_in(const std::string& subject, const ReplayResult& result) {
  if (!result.holds()) finding("replay", subject, std::string(to_string(result.worst()->change)));
}

class EngineAudit : public ::testing::TestWithParam<Setting> {};

TEST_P(EngineAudit, ConformanceFindsNothing) {
  const SmallClassifier small;
  guarded("conformance", name_of(GetParam()), [&] {
    const dpsgd::ConformanceResult result =
        engine_conformance(small.audited(by_user(GetParam())), privacy_engine_factory(),
                           conformance_options(GetParam()));
    for (const std::string& check : result.violations()) {
      finding("conformance", name_of(GetParam()), check);
    }
  });
}

TEST_P(EngineAudit, ReplayFindsNothing) {
  const SmallClassifier small;
  guarded("replay", name_of(GetParam()), [&] {
    find_in(name_of(GetParam()),
            neighbour_replay(small.audited(by_user(GetParam())), privacy_engine_factory(),
                             replay_options(GetParam())));
  });
}

TEST_P(EngineAudit, CanariesFindNothing) {
  const SmallClassifier small;
  guarded("canaries", name_of(GetParam()), [&] {
    const dpsgd::CanaryAuditResult result =
        canary_audit(small.audited(by_user(GetParam())), privacy_engine_factory(),
                     {.canaries = 300,
                      .steps = 8,
                      .sampling_rate = 0.5,
                      .clipping = clipping_of(GetParam(), 4.0),
                      .noise_multiplier = 4.0,
                      .user_gradient = user_gradient(GetParam()),
                      .physical_batch_size = 200,
                      .insecure_seed = 5});
    if (!result.holds()) {
      finding("canaries", name_of(GetParam()), "more is seen than the books promise");
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Settings, EngineAudit, ::testing::ValuesIn(kSettings),
                         [](const auto& instance) {
                           std::string name = name_of(instance.param);
                           std::erase_if(name, [](char c) { return c == ',' || c == ' '; });
                           return name;
                         });

// ---- Tables of which a step reads few rows, noised lazily.

/// Two tables of float64, of which examples read few rows, and a linear layer.
struct SmallLookup {
  SmallLookup() {
    torch::manual_seed(6);
    for (nn::Embedding* table : {&first, &second}) (*table)->to(torch::kDouble);
    head->to(torch::kDouble);
  }
  AuditedModel audited() const {
    auto a = first, b = second;
    auto last = head;
    const at::Tensor tokens = torch::randint(25, {60, 3}), targets = torch::randint(3, {60});
    return {.parameters = {a->weight, b->weight, last->weight, last->bias},
            .dataset_size = 60,
            .losses = [=](const Indices& indices) mutable {
              const at::Tensor rows = torch::tensor(indices);
              const at::Tensor words = tokens.index_select(0, rows);
              const at::Tensor hidden = (a(words).mean(1) * b(words).mean(1)).tanh();
              return F::cross_entropy(last(hidden), targets.index_select(0, rows),
                                      F::CrossEntropyFuncOptions().reduction(torch::kNone));
            }};
  }
  dpsgd::EngineFactory factory() const {
    return privacy_engine_factory(/*allow_slow_rules=*/false, {first->weight, second->weight});
  }
  nn::Embedding first{400, 4}, second{400, 4};
  nn::Linear head{4, 3};
};

class EngineAuditOfLazyTables : public ::testing::TestWithParam<Setting> {
 protected:
  const std::string subject = std::string("lazy tables, ") + name_of(GetParam());
  const SmallLookup small;
};

TEST_P(EngineAuditOfLazyTables, ConformanceFindsNothing) {
  guarded("conformance", subject, [&] {
    const dpsgd::ConformanceResult result =
        engine_conformance(small.audited(), small.factory(), conformance_options(GetParam()));
    for (const std::string& check : result.violations()) finding("conformance", subject, check);
  });
}

TEST_P(EngineAuditOfLazyTables, ReplayFindsNothing) {
  guarded("replay", subject, [&] {
    ReplayOptions options = replay_options(GetParam());
    options.positions = 3;
    find_in(subject, neighbour_replay(small.audited(), small.factory(), options));
  });
}

INSTANTIATE_TEST_SUITE_P(Settings, EngineAuditOfLazyTables,
                         ::testing::Values(Setting::kFlat, Setting::kAutomatic),
                         [](const auto& instance) { return std::string(name_of(instance.param)); });

// ---- Models that reach more of the tape. The replay runs on the model of whoever trains it.

at::Tensor numbers(at::IntArrayRef sizes) {
  torch::manual_seed(17);
  return torch::randn(sizes);
}

at::Tensor rows_of(const at::Tensor& data, const Indices& indices) {
  return data.index_select(0, torch::tensor(indices));
}

struct Subject {
  std::string name;
  AuditedModel model;
  /// Of a model that mixes examples: how many batches it was asked for in which it does. The first
  /// has to be refused, or the replay has to find nothing.
  std::shared_ptr<int> mixed = nullptr;
  std::int64_t physical_batch_size = 5;
  std::int64_t positions = 1;
  std::int64_t units_per_step = 2;
  double sampling_rate = 0.5;
  std::int64_t steps = 3;
};

/// The same weight in two layers.
Subject tied_layers() {
  const at::Tensor weight = (0.3 * numbers({8, 6})).requires_grad_();
  const at::Tensor x = numbers({16, 6});
  return {"tied layers",
          {.parameters = {weight}, .dataset_size = 16, .losses = [=](const Indices& indices) {
             const at::Tensor h = torch::tanh(F::linear(rows_of(x, indices), weight));
             return F::linear(h, weight.t()).square().sum(1);
           }}};
}

/// A table of many words that is the output layer, too.
Subject tied_table() {
  const at::Tensor table = (0.1 * numbers({2000, 64})).requires_grad_();
  const at::Tensor tokens = torch::arange(48).remainder(30).view({16, 3});
  return {.name = "tied table",
          .model = {.parameters = {table},
                    .dataset_size = 16,
                    .losses =
                        [=](const Indices& indices) {
                          // The logit of each word itself: both uses of its row pull one way.
                          const at::Tensor words = rows_of(tokens, indices);
                          const at::Tensor logits = F::linear(F::embedding(words, table), table);
                          return logits.gather(2, words.unsqueeze(2)).square().sum({1, 2});
                        }},
          .positions = 3};
}

/// As many steps as samples, steps first.
Subject time_major() {
  nn::Linear layer(3, 4);
  const at::Tensor x = numbers({5, 5, 3}) * torch::arange(1, 6).view({5, 1, 1});
  return {.name = "steps first",
          .model = {.parameters = layer->parameters(),
                    .dataset_size = 5,
                    .losses =
                        [=](const Indices& indices) mutable {
                          const at::Tensor steps = rows_of(x, indices).transpose(0, 1).contiguous();
                          return layer(steps).tanh().sum(2).sum(0);
                        }},
          .positions = 5,
          .sampling_rate = 1.0};
}

/// Whose rows lie elsewhere at every other call, by the sizes of one view alone.
Subject changing_layout() {
  nn::Linear layer(4, 3);
  const at::Tensor x = numbers({6, 6, 4}) * torch::arange(1, 7).view({6, 1, 1});
  auto calls = std::make_shared<int>(0);
  return {
      .name = "a layout that changes",
      .model =
          {.parameters = layer->parameters(),
           .dataset_size = 6,
           .losses =
               [=](const Indices& indices) mutable {
                 const auto batch = static_cast<std::int64_t>(indices.size());
                 const std::int64_t outer = std::vector<std::int64_t>{
                     1, 2, 3, 6}[static_cast<std::size_t>((*calls)++ % 4)];
                 const at::Tensor rows = rows_of(x, indices)
                                             .view({batch, outer, 6 / outer, 4})
                                             .transpose(0, 1)
                                             .reshape({batch * 6, 4});
                 return layer(rows).tanh().view({outer, batch, 18 / outer}).square().sum(2).sum(0);
               }},
      .physical_batch_size = 6,
      .positions = 6,
      .sampling_rate = 1.0};
}

/// A user of so many examples that the sum of their gradients, of 840 kB each, is made in parts.
Subject many_examples_of_a_user() {
  const at::Tensor weights = (0.1 * numbers({7, 200, 150})).requires_grad_();
  const at::Tensor x = numbers({120, 7, 200});
  Indices users;
  for (std::int64_t i = 0; i < 120; ++i) users.push_back(i < 100 ? 0 : i % 2 + 1);
  return {.name = "users of many examples",
          .model = {.parameters = {weights},
                    .dataset_size = 120,
                    .user_of_example = users,
                    .losses =
                        [=](const Indices& indices) {
                          const at::Tensor rows =
                              rows_of(x, indices).transpose(0, 1);  // [7, batch, 200]
                          return torch::bmm(rows, weights).mean(2).sum(0);
                        }},
          .physical_batch_size = 120,
          .units_per_step = 3,
          .sampling_rate = 1.0,
          .steps = 1};
}

/// Something of another example in every loss.
Subject mixing(const std::string& name, const std::function<at::Tensor(const at::Tensor&)>& mix) {
  nn::Linear layer(4, 6);
  const at::Tensor x = numbers({12, 4});
  auto mixed = std::make_shared<int>(0);
  return {.name = name,
          .model = {.parameters = layer->parameters(),
                    .dataset_size = 12,
                    .losses =
                        [=](const Indices& indices) mutable {
                          ++*mixed;
                          return mix(layer(rows_of(x, indices))).tanh().square().sum(1);
                        }},
          .mixed = mixed,
          .physical_batch_size = 12};
}

/// Batch normalisation without parameters of its own: in evaluation mode, in which it mixes
/// nothing, for so many batches, and in training mode from then on.
Subject batch_norm(const std::string& name, int batches_before) {
  nn::Linear in(4, 6), out(6, 3);
  nn::BatchNorm1d norm(nn::BatchNorm1dOptions(6).affine(false));
  const at::Tensor x = numbers({12, 4});
  std::vector<at::Tensor> parameters = in->parameters();
  for (const at::Tensor& parameter : out->parameters()) parameters.push_back(parameter);
  auto calls = std::make_shared<int>(0);
  auto mixed = std::make_shared<int>(0);
  return {.name = name,
          .model = {.parameters = parameters,
                    .dataset_size = 12,
                    .losses =
                        [=](const Indices& indices) mutable {
                          norm->train((*calls)++ >= batches_before);
                          if (norm->is_training()) ++*mixed;
                          return out(norm(in(rows_of(x, indices))).tanh()).square().sum(1);
                        }},
          .mixed = mixed,
          .physical_batch_size = 12,
          .sampling_rate = 1.0};
}

/// One part in 128 of four examples of 2048, in bfloat16. Signs show it; a one-hot backward meets
/// one of these eight examples with a probability of 2^-8.
Subject faint_mixing() {
  const at::Tensor weight = numbers({3, 4}).to(torch::kDouble).requires_grad_();
  const at::Tensor x = numbers({2048, 4}).to(torch::kBFloat16);
  auto mixed = std::make_shared<int>(0);
  return {.name = "faint mixing in bfloat16",
          .model = {.parameters = {weight},
                    .dataset_size = 2048,
                    .losses =
                        [=](const Indices& indices) {
                          ++*mixed;
                          const auto batch = static_cast<std::int64_t>(indices.size());
                          const at::Tensor outputs =
                              F::linear(rows_of(x, indices), weight.to(torch::kBFloat16));
                          const at::Tensor part = torch::zeros({batch, 1}, torch::kBFloat16);
                          for (const std::int64_t sample : {300, 700, 1100, 1500}) {
                            if (sample < batch) part[sample].fill_(0x1p-7);
                          }
                          return (outputs + part * outputs.roll(-1, 0)).square().sum(1);
                        }},
          .mixed = mixed,
          .physical_batch_size = 2048,
          .sampling_rate = 1.0};
}

std::vector<Subject> subjects() {
  torch::manual_seed(5);
  return {tied_layers(), tied_table(), time_major(), changing_layout(), many_examples_of_a_user(),
          mixing("a neighbour in every row",
                 [](const at::Tensor& h) { return h + 0.5 * torch::roll(h, 1, 0); }),
          mixing("the mean of the batch in every row",
                 [](const at::Tensor& h) { return h - h.mean(0, true); }),
          batch_norm("batch normalisation", 0),
          // A step of the replay asks for 14 batches, of each of its engines for one at least.
          batch_norm("batch normalisation that begins later", 14), faint_mixing()};
}

TEST(EngineAuditOfModels, ReplayFindsNothing) {
  for (const Subject& subject : subjects()) {
    const ReplayOptions options{.steps = subject.steps,
                                .sampling_rate = subject.sampling_rate,
                                .clipping = dpsgd::Clipping::flat(0.25),
                                .noise_multiplier = 1.5,
                                .user_gradient = subject.model.user_of_example.empty()
                                                     ? dpsgd::UserGradient::kMean
                                                     : dpsgd::UserGradient::kSum,
                                .learning_rate = 0.01,
                                .physical_batch_size = subject.physical_batch_size,
                                .units_per_step = subject.units_per_step,
                                .positions = subject.positions};
    const auto replay = [&] {
      find_in(subject.name, neighbour_replay(subject.model, privacy_engine_factory(), options));
    };
    if (subject.mixed == nullptr) {
      guarded("replay", subject.name, replay);
      continue;
    }
    try {
      replay();
    } catch (const std::exception& error) {
      std::printf("refused: %s: %s\n", subject.name.c_str(), error.what());
      // The proof is repeated now and then: what it refuses later was trained on until then.
      if (*subject.mixed > 1) {
        finding("replay", subject.name,
                "refused after " + std::to_string(*subject.mixed - 1) + " batches");
      }
    }
  }
}

}  // namespace
}  // namespace velum::testing
