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
  bool mixes = false;  ///< has to be refused, or must not move the sum too far
  std::int64_t physical_batch_size = 5;
  std::int64_t positions = 1;
  std::int64_t units_per_step = 2;
  double sampling_rate = 0.5;
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
  const at::Tensor table = (0.5 * numbers({2000, 4})).requires_grad_();
  const at::Tensor tokens = torch::arange(48).remainder(30).view({16, 3});
  return {.name = "tied table",
          .model = {.parameters = {table},
                    .dataset_size = 16,
                    .losses =
                        [=](const Indices& indices) {
                          const at::Tensor looked_up =
                              F::embedding(rows_of(tokens, indices), table);
                          return F::linear(looked_up, table).square().sum({1, 2});
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
          .sampling_rate = 1.0};
}

/// Something of another example in every loss.
Subject mixing(const std::string& name, const std::function<at::Tensor(const at::Tensor&)>& mix) {
  nn::Linear layer(4, 6);
  const at::Tensor x = numbers({12, 4});
  return {.name = name,
          .model = {.parameters = layer->parameters(),
                    .dataset_size = 12,
                    .losses =
                        [=](const Indices& indices) mutable {
                          return mix(layer(rows_of(x, indices))).tanh().square().sum(1);
                        }},
          .mixes = true,
          .physical_batch_size = 12};
}

Subject batch_norm() {
  const SmallClassifier small(/*batch_norm=*/true);
  return {.name = "batch normalisation",
          .model = small.audited(),
          .mixes = true,
          .physical_batch_size = SmallClassifier::kExamples};
}

/// In evaluation mode, in which it mixes nothing, and later in training mode.
Subject batch_norm_later() {
  const SmallClassifier small(/*batch_norm=*/true);
  auto network = small.model;
  const auto losses = small.audited().losses;
  auto calls = std::make_shared<int>(0);
  AuditedModel model = small.audited();
  model.losses = [=](const Indices& indices) mutable {
    network->train((*calls)++ >= 6);
    return losses(indices);
  };
  return {.name = "batch normalisation that begins later",
          .model = model,
          .mixes = true,
          .physical_batch_size = SmallClassifier::kExamples};
}

/// One part in 128 of four examples of 64, in bfloat16.
Subject faint_mixing() {
  const at::Tensor weight = numbers({3, 4}).requires_grad_();
  const at::Tensor x = numbers({64, 4}).to(torch::kBFloat16);
  return {.name = "faint mixing in bfloat16",
          .model = {.parameters = {weight},
                    .dataset_size = 64,
                    .losses =
                        [=](const Indices& indices) {
                          const auto batch = static_cast<std::int64_t>(indices.size());
                          const at::Tensor matrix = torch::eye(batch).to(torch::kBFloat16);
                          for (const std::int64_t sample : {3, 18, 40, 61}) {
                            if (sample + 1 < batch) matrix[sample][sample + 1] = 0x1p-7;
                          }
                          const at::Tensor outputs =
                              F::linear(rows_of(x, indices), weight.to(torch::kBFloat16));
                          return matrix.mm(outputs).square().sum(1);
                        }},
          .mixes = true,
          .physical_batch_size = 64,
          .units_per_step = 64,
          .sampling_rate = 1.0};
}

std::vector<Subject> subjects() {
  torch::manual_seed(5);
  return {tied_layers(),
          tied_table(),
          time_major(),
          changing_layout(),
          many_examples_of_a_user(),
          mixing("a neighbour in every row",
                 [](const at::Tensor& h) { return h + 0.5 * torch::roll(h, 1, 0); }),
          mixing("the mean of the batch in every row",
                 [](const at::Tensor& h) { return h - h.mean(0, true); }),
          batch_norm(),
          batch_norm_later(),
          faint_mixing()};
}

TEST(EngineAuditOfModels, ReplayFindsNothing) {
  for (const Subject& subject : subjects()) {
    const ReplayOptions options{.steps = 3,
                                .sampling_rate = subject.sampling_rate,
                                .clipping = dpsgd::Clipping::flat(0.25),
                                .noise_multiplier = 1.5,
                                .user_gradient = dpsgd::UserGradient::kSum,
                                .learning_rate = 0.01,
                                .physical_batch_size = subject.physical_batch_size,
                                .units_per_step = subject.units_per_step,
                                .positions = subject.positions};
    const auto replay = [&] {
      find_in(subject.name, neighbour_replay(subject.model, privacy_engine_factory(), options));
    };
    if (!subject.mixes) {
      guarded("replay", subject.name, replay);
      continue;
    }
    try {
      replay();
    } catch (const std::exception& error) {  // as it should be
      std::printf("refused: %s: %s\n", subject.name.c_str(), error.what());
    }
  }
}

}  // namespace
}  // namespace velum::testing
