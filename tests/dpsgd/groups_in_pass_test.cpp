// Clipping by groups while the backward pass goes on: each group is summed as soon as its last use
// is seen, and the sums are what one sample after the other gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "dpsgd/support/engine_step.h"
#include "tape/tape.h"
#include "velum/dpsgd/clipping.h"
#include "velum/dpsgd/lazy_table.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"
#include "velum/dpsgd/user_poisson_sampler.h"

namespace velum::testing {
namespace {

namespace nn = torch::nn;
using at::Tensor;
using dpsgd::Clipping;
using dpsgd::ClippingGroup;
using dpsgd::detail::BatchGradients;
using dpsgd::detail::Tape;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr std::int64_t kBatch = 6, kWidth = 5;

/// Of each group the gradient of every sample by plain autograd, one sample at a time, clipped to
/// its norm, and the sum of them.
std::vector<Tensor> clipped_one_by_one(const std::vector<Tensor>& parameters,
                                       const std::function<Tensor(const Tensor&)>& losses,
                                       const Tensor& inputs,
                                       const std::vector<ClippingGroup>& groups) {
  std::vector<Tensor> sums;
  for (const Tensor& parameter : parameters) sums.push_back(torch::zeros_like(parameter));
  const torch::NoGradGuard no_grad;
  for (std::int64_t b = 0; b < inputs.size(0); ++b) {
    std::vector<Tensor> gradients;
    {
      const torch::AutoGradMode grad(true);
      gradients = torch::autograd::grad({losses(inputs.narrow(0, b, 1)).sum()}, parameters, {}, {},
                                        false, /*allow_unused=*/true);
    }
    for (const ClippingGroup& group : groups) {
      double square = 0;
      for (const std::int64_t i : group.parameters) {
        const Tensor& gradient = gradients[static_cast<std::size_t>(i)];
        if (gradient.defined()) square += gradient.square().sum().item<double>();
      }
      const double factor = std::min(1.0, group.clipping_norm / std::sqrt(square));
      for (const std::int64_t i : group.parameters) {
        const auto p = static_cast<std::size_t>(i);
        if (gradients[p].defined()) sums[p].add_(gradients[p], factor);
      }
    }
  }
  return sums;
}

/// Linear layers, one of which is used at both ends; one parameter that is not used; and two of
/// which one weight is made (weight normalisation).
struct Shared {
  Shared() {
    torch::manual_seed(11);
    for (int i = 0; i < 3; ++i) {
      layers.emplace_back(nn::LinearOptions(kWidth, kWidth));
      layers.back()->to(torch::kDouble);
    }
    const auto doubles = torch::TensorOptions(torch::kDouble).requires_grad(true);
    directions = torch::randn({kWidth, kWidth}, doubles);
    lengths = torch::rand({kWidth, 1}, doubles);
    unused = torch::randn({3}, doubles);
  }
  /// 0, 1: the shared layer; 2, 3 and 4, 5: the others; 6, 7: directions and lengths of one
  /// weight; 8: unused.
  std::vector<Tensor> parameters() const {
    std::vector<Tensor> all;
    for (const nn::Linear& layer : layers) {
      all.push_back(layer->weight);
      all.push_back(layer->bias);
    }
    for (const Tensor& more : {directions, lengths, unused}) all.push_back(more);
    return all;
  }
  Tensor losses(const Tensor& inputs) {
    Tensor x = layers[0]->forward(inputs).tanh();
    x = layers[1]->forward(x).tanh();
    x = torch::matmul(x, torch::_weight_norm(directions, lengths, 0).t()).sin();
    x = layers[2]->forward(x).tanh();
    return layers[0]->forward(x).square().sum(1);
  }
  std::vector<nn::Linear> layers;
  Tensor directions, lengths, unused;
};

TEST(GroupsInPass, SumsAreThoseOfSamplesOneByOne) {
  const std::vector<std::vector<ClippingGroup>> all_groups{
      {{{0}, 0.3},
       {{1}, 0.2},
       {{2}, 0.1},
       {{3}, 0.5},
       {{4}, 0.7},
       {{5}, 0.2},
       {{6}, 0.05},
       {{7}, 0.4},
       {{8}, 1.0}},                                                     // one each
      {{{0, 1}, 0.6}, {{2, 3, 8}, 0.1}, {{4, 5, 6}, 0.2}, {{7}, 0.1}},  // by layers
      {{{0, 2, 4, 7}, 0.3}, {{1, 3, 5, 6, 8}, 0.2}},                    // that alternate
  };
  for (const std::vector<ClippingGroup>& groups : all_groups) {
    Shared model;
    ClippedSums sums(model.parameters(), Clipping::by_groups(groups));
    for (int step = 0; step < 6; ++step) {  // the first proves; some look at signs
      const Tensor inputs = torch::randn({kBatch + step % 2, kWidth}, torch::kDouble) * (1 + step);
      const std::vector<Tensor> expected = clipped_one_by_one(
          model.parameters(), [&](const Tensor& x) { return model.losses(x); }, inputs, groups);
      const std::vector<Tensor> found = sums.of(model.losses(inputs));
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t p = 0; p < found.size(); ++p) {
        EXPECT_TRUE(torch::allclose(found[p], expected[p], 1e-11, 1e-12))
            << "step " << step << ", parameter " << p;
        EXPECT_EQ(expected[p].count_nonzero().item<std::int64_t>() > 0, p != 8);
      }
    }
  }
}

TEST(GroupsInPass, UsersAndPartsThatAreNotFinite) {
  const std::vector<ClippingGroup> groups{
      {{0, 1}, 0.6}, {{2, 3, 8}, 0.1}, {{4, 5, 6}, 0.2}, {{7}, 0.1}};
  Shared model;
  const std::vector<Tensor> parameters = model.parameters();
  const std::vector<std::int64_t> users{7, 3, 7, 5, 3, 9};
  dpsgd::PrivacyEngine engine(parameters, dpsgd::UserPoissonSampler({3, 5, 7, 9}, 1.0),
                              {.clipping = Clipping::by_groups(groups),
                               .noise_multiplier = 0.0,
                               .user_gradient = dpsgd::UserGradient::kSum});
  for (int step = 0; step < 5; ++step) {
    const Tensor inputs = torch::randn({kBatch, kWidth}, torch::kDouble);
    // The user 5 has an infinite gradient of the highest layer, and of all below it.
    const auto losses = [&](const Tensor& x) { return model.losses(x); };
    const auto spoilt = [&] {
      const Tensor each = losses(inputs);
      Tensor scale = torch::ones({kBatch}, torch::kDouble);
      scale[3] = std::numeric_limits<double>::infinity();
      return step % 2 == 0 ? each : each * scale;
    };
    std::vector<Tensor> expected;
    for (const Tensor& parameter : parameters) expected.push_back(torch::zeros_like(parameter));
    for (const std::int64_t user : {3, 5, 7, 9}) {
      if (user == 5 && step % 2 != 0) continue;
      std::vector<std::int64_t> rows;
      for (std::size_t i = 0; i < users.size(); ++i) {
        if (users[i] == user) rows.push_back(static_cast<std::int64_t>(i));
      }
      // All samples of a user as one.
      const Tensor own = inputs.index_select(0, torch::tensor(rows)).unsqueeze(0);
      const std::vector<Tensor> sum = clipped_one_by_one(
          parameters, [&](const Tensor& x) { return losses(x.squeeze(0)); }, own, groups);
      for (std::size_t p = 0; p < sum.size(); ++p) expected[p].add_(sum[p].detach());
    }
    engine.accumulate(spoilt(), users);
    engine.finish_step();
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      EXPECT_TRUE(torch::allclose(4 * parameters[p].grad(), expected[p].detach(), 1e-11, 1e-12))
          << "step " << step << ", parameter " << p;
    }
  }
}

/// A weight made of two parameters, of different groups: where only one of the groups is not
/// finite, the other keeps its part, though it is complete later.
TEST(GroupsInPass, APartThatIsFiniteIsKept) {
  torch::manual_seed(13);
  const auto doubles = torch::TensorOptions(torch::kDouble).requires_grad(true);
  const Tensor directions = torch::randn({kWidth, kWidth}, doubles),
               lengths = torch::rand({kWidth, 1}, doubles), above = torch::randn({kWidth}, doubles),
               below = torch::randn({kWidth}, doubles);
  const std::vector<Tensor> parameters{directions, below, lengths, above};
  const std::vector<ClippingGroup> groups{{{0, 1}, 0.3}, {{2, 3}, 0.4}};
  const Tensor scale = torch::ones({kBatch}, torch::kDouble);
  const auto losses = [&](const Tensor& x) {
    const Tensor scales = x.size(0) == kBatch ? scale : torch::ones({1}, torch::kDouble);
    const Tensor made =
        torch::matmul(x + below, torch::_weight_norm(directions, lengths, 0).t()).sin().sum(1);
    return made + above.mul(torch::ones_like(x)).sin().sum(1) * scales;
  };
  ClippedSums sums(parameters, Clipping::by_groups(groups));
  for (int step = 0; step < 4; ++step) {  // what is not finite would have the graph proved again
    if (step == 2) scale[2] = std::numeric_limits<double>::infinity();
    const Tensor inputs = torch::randn({kBatch, kWidth}, torch::kDouble);
    const std::vector<Tensor> expected = clipped_one_by_one(parameters, losses, inputs, groups);
    const std::vector<Tensor> found = sums.of(losses(inputs));
    for (std::size_t p = 0; p < 2; ++p) {
      EXPECT_TRUE(torch::allclose(found[p], expected[p].detach(), 1e-11, 1e-12))
          << "step " << step << ", parameter " << p;
    }
  }
}

TEST(GroupsInPass, AGroupIsTakenWhenItsLastUseIsSeenAndNoOtherIsThere) {
  Shared model;
  Tape tape(model.parameters(), /*allow_slow_rules=*/false);
  const Tape::ParameterGroups groups{{0, 1}, {2, 3}, {4, 5}, {6, 7}, {8}};
  const Tensor inputs = torch::randn({kBatch, kWidth}, torch::kDouble);
  for (int use = 0; use < 4; ++use) {
    std::vector<std::size_t> taken;
    std::vector<std::size_t> missing;  // of other groups, whenever one was taken
    tape.differentiate(model.losses(inputs), /*release=*/true, groups,
                       [&](std::size_t g, BatchGradients& found) {
                         for (const std::size_t p : groups[g]) EXPECT_NO_THROW(found.parameter(p));
                         std::size_t count = 0;
                         for (std::size_t p = 0; p < 9; ++p) {
                           try {
                             found.parameter(p);
                           } catch (const std::logic_error&) {
                             ++count;
                           }
                         }
                         taken.push_back(g);
                         missing.push_back(count);
                       });
    if (use == 0) {  // the proof needs all of them
      EXPECT_THAT(taken, ElementsAre(0, 1, 2, 3, 4));
      EXPECT_THAT(missing, ElementsAre(0, 0, 0, 0, 0));
    } else {  // from the losses on; the layer at both ends is complete at the end
      EXPECT_THAT(taken, ElementsAre(4, 2, 3, 1, 0));
      EXPECT_THAT(missing, ElementsAre(8, 6, 4, 2, 0));
    }
  }
}

TEST(GroupsInPass, WhatIsReleasedIsFreeWhileThePassGoesOn) {
  Shared model;
  Tape tape(model.parameters(), /*allow_slow_rules=*/false);
  const Tape::ParameterGroups groups{{0, 1, 2, 3, 6, 7, 8}, {4, 5}};
  const Tensor inputs = torch::randn({kBatch, kWidth}, torch::kDouble);
  for (int use = 0; use < 3; ++use) {
    std::vector<c10::weak_intrusive_ptr<c10::StorageImpl>> rows;
    tape.differentiate(model.losses(inputs), /*release=*/true, groups,
                       [&](std::size_t g, BatchGradients& found) {
                         if (g == 1) {
                           for (const std::size_t p : groups[g]) {
                             for (const Tensor& held : found.parameter(p).held()) {
                               if (held.defined())
                                 rows.emplace_back(held.storage().getWeakStorageImpl());
                             }
                             found.parameter(p).release();
                           }
                         } else if (use > 0) {
                           ASSERT_FALSE(rows.empty());
                           for (const auto& row : rows) EXPECT_TRUE(row.expired());
                         }
                       });
  }
}

TEST(GroupsInPass, APassThatFailsLateLeavesNoTrace) {
  // The table is lowest: its group is refused after that of the other layer is summed.
  torch::manual_seed(12);
  nn::Embedding embedding(8, kWidth);
  nn::Linear head(kWidth, 3);
  const auto losses = [&](const Tensor& tokens) {
    return head->forward(embedding->forward(tokens).mean(1)).square().sum(1);
  };
  const auto table = std::make_shared<dpsgd::LazyTable>(embedding->weight);
  dpsgd::PrivacyOptions options{.clipping = Clipping::by_groups({{{0}, 0.2}, {{1, 2}, 0.4}}),
                                .noise_multiplier = 0.0};
  options.lazy_tables = {table};
  const std::vector<Tensor> parameters{embedding->weight, head->weight, head->bias};
  dpsgd::PrivacyEngine engine(parameters, dpsgd::PoissonSampler(1, 1.0), options);
  const Tensor known = torch::zeros({kBatch, 2}, torch::kLong);
  for (int step = 0; step < 3; ++step) {
    table->catch_up(known);
    engine.accumulate(losses(known));
    const Tensor other = torch::full({kBatch, 2}, 3, torch::kLong);
    if (step > 0) {
      EXPECT_THAT([&] { engine.accumulate(losses(other)); },
                  ThrowsMessage<std::logic_error>(HasSubstr("row 3")));
    }
    engine.finish_step();
    const std::vector<Tensor> expected =
        clipped_one_by_one(parameters, losses, known, {{{0}, 0.2}, {{1, 2}, 0.4}});
    for (std::size_t p = 1; p < 3; ++p) {
      EXPECT_TRUE(torch::allclose(parameters[p].grad(), expected[p], 1e-4, 1e-6)) << step;
    }
    EXPECT_EQ(engine.unsafe_step_values().batch_size, kBatch);
    table->step(0.1);
  }
}

}  // namespace
}  // namespace velum::testing
