#include "velum/dpsgd/lazy_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <torch/torch.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "lazy_rows.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"
#include "velum/dpsgd/user_poisson_sampler.h"
#include "velum/dpsgd/weight_average.h"

namespace velum::dpsgd {
namespace {

namespace nn = torch::nn;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using torch::Tensor;

constexpr std::int64_t kRows = 50, kWidth = 6, kBatch = 8, kSteps = 5;
constexpr double kClippingNorm = 0.5;

/// A table of which every sample reads some rows, and a linear layer.
struct Classifier {
  explicit Classifier(std::int64_t rows = kRows, std::int64_t width = kWidth,
                      at::ScalarType type = torch::kFloat)
      : embedding(rows, width), head(width, 3) {
    embedding->to(type);
    head->to(type);
  }
  std::vector<Tensor> parameters() const { return {embedding->weight, head->weight, head->bias}; }
  Tensor losses(const Tensor& tokens) {
    return head->forward(embedding->forward(tokens).mean(1)).square().sum(1);
  }
  nn::Embedding embedding;
  nn::Linear head;
};

Tensor tokens_of(std::uint64_t seed, std::int64_t rows = kRows, std::int64_t batch = kBatch) {
  std::mt19937_64 random(seed);
  Tensor tokens = torch::empty({batch, kSteps}, torch::kLong);
  auto* const data = tokens.mutable_data_ptr<std::int64_t>();
  for (std::int64_t i = 0; i < tokens.numel(); ++i) {
    data[i] = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(rows));
  }
  return tokens;
}

PrivacyOptions options_of(std::shared_ptr<LazyTable> table, double noise,
                          Clipping clipping = Clipping::flat(kClippingNorm),
                          std::uint64_t seed = 1) {
  PrivacyOptions options{.clipping = std::move(clipping), .noise_multiplier = noise};
  options.insecure_test_key = kernels::insecure_key_from_seed(seed);
  if (table != nullptr) options.lazy_tables = {std::move(table)};
  return options;
}

class LazyTableTest : public ::testing::Test {
 protected:
  LazyTableTest() { torch::manual_seed(7); }
  PoissonSampler sampler{1000, 0.008};
};

/// Without noise a lazy table is an ordinary one: whatever the clipping, the learning rates, and
/// the physical batches.
TEST_F(LazyTableTest, WithoutNoiseIsTheDenseUpdate) {
  const std::vector<std::function<Clipping()>> clippings = {
      [] { return Clipping::flat(kClippingNorm); },
      [] { return Clipping::automatic(kClippingNorm, 0.01); },
      [] {
        return Clipping::by_groups({{{0}, 0.2}, {{1, 2}, 0.4}});
      }};
  for (const at::ScalarType type : {torch::kFloat, torch::kDouble}) {
    for (const auto& clipping : clippings) {
      Classifier dense(kRows, kWidth, type), lazy(kRows, kWidth, type);
      for (std::size_t p = 0; p < 3; ++p) {
        lazy.parameters()[p].data().copy_(dense.parameters()[p].data());
      }
      auto table = std::make_shared<LazyTable>(lazy.embedding->weight);
      PrivacyEngine dense_engine(dense.parameters(), sampler, options_of(nullptr, 0, clipping()));
      PrivacyEngine lazy_engine(lazy.parameters(), sampler, options_of(table, 0, clipping()));
      for (int step = 0; step < 6; ++step) {
        const double rate = 0.1 * (step + 1);
        for (int part = 0; part < 1 + step % 3; ++part) {
          const Tensor tokens = tokens_of(static_cast<std::uint64_t>(10 * step + part));
          table->catch_up(tokens);
          dense_engine.accumulate(dense.losses(tokens));
          lazy_engine.accumulate(lazy.losses(tokens));
        }
        dense_engine.finish_step();
        lazy_engine.finish_step();
        EXPECT_FALSE(lazy.embedding->weight.grad().defined());
        const torch::NoGradGuard no_grad;
        for (std::size_t p = 0; p < 3; ++p) {
          dense.parameters()[p].sub_(dense.parameters()[p].grad(), rate);
          if (p > 0) lazy.parameters()[p].sub_(lazy.parameters()[p].grad(), rate);
        }
        table->step(rate);
      }
      table->release();
      const double tolerance = type == torch::kFloat ? 1e-6 : 1e-14;
      for (std::size_t p = 0; p < 3; ++p) {
        const Tensor expected = dense.parameters()[p].detach();
        EXPECT_LE((lazy.parameters()[p].detach() - expected).abs().max().item<double>(),
                  tolerance * expected.abs().max().item<double>());
      }
    }
  }
}

/// What rows are when the next step reads them, and after `release`: the first weights plus a
/// normal variable of the variance that noise in every step gives, whichever steps read the row.
/// The losses are constant, so that noise is all there is.
TEST_F(LazyTableTest, RowsHaveTheNoiseOfEveryStep) {
  constexpr std::int64_t kMany = 4000, kWide = 64;
  constexpr double kNoise = 1.5;
  Classifier model(kMany, kWide);
  {
    const torch::NoGradGuard no_grad;
    model.embedding->weight.zero_();
  }
  auto table = std::make_shared<LazyTable>(model.embedding->weight);
  PrivacyEngine engine(model.parameters(), sampler, options_of(table, kNoise));
  const double noise = kNoise * kClippingNorm / sampler.expected_batch_size();
  const std::array<double, 5> rates = {0.5, 0.1, 0.0, 2.0, 0.7};
  // Half of the rows in the first step, a quarter in the second, and so on: rows that are read
  // often, seldom and never.
  double variance = 0;
  const auto expect_variance = [&](const Tensor& rows, double expected) {
    const double count = static_cast<double>(rows.numel());
    const double mean = rows.mean().item<double>();
    const double square = rows.to(torch::kDouble).square().mean().item<double>();
    EXPECT_NEAR(mean, 0, 5 * std::sqrt(expected / count));
    EXPECT_NEAR(square, expected, 5 * expected * std::sqrt(2 / count));
    const Tensor scaled = rows.flatten().to(torch::kDouble) / std::sqrt(expected);
    EXPECT_NEAR(scaled.square().square().mean().item<double>(), 3, 5 * std::sqrt(96 / count));
    // Neighbours, in a row and in a column, share nothing.
    const auto product = [&](const Tensor& a, const Tensor& b) {
      return (a * b).mean().item<double>() / expected;
    };
    EXPECT_NEAR(product(rows.narrow(0, 0, rows.size(0) - 1), rows.narrow(0, 1, rows.size(0) - 1)),
                0, 5 / std::sqrt(count));
    EXPECT_NEAR(product(rows.narrow(1, 0, kWide - 1), rows.narrow(1, 1, kWide - 1)), 0,
                5 / std::sqrt(count));
  };
  for (std::size_t step = 0; step < rates.size(); ++step) {
    const std::int64_t read = kMany >> (step + 1);
    const Tensor tokens = torch::arange(read).view({-1, 1});
    table->catch_up(tokens);
    if (variance > 0) {
      expect_variance(model.embedding->weight.detach().narrow(0, 0, read), variance);
    }
    engine.backward(model.losses(tokens).mul(0));
    table->step(rates[step]);
    variance += rates[step] * rates[step] * noise * noise;
    // A row that the step has touched has its noise at once.
    expect_variance(model.embedding->weight.detach().narrow(0, 0, read), variance);
  }
  EXPECT_FALSE(table->is_released());
  table->release();
  EXPECT_TRUE(table->is_released());
  const Tensor released = model.embedding->weight.detach().clone();
  expect_variance(released, variance);
  expect_variance(released.narrow(0, kMany / 2, kMany / 2), variance);  // never read
  expect_variance(released.narrow(0, 0, kMany >> 5), variance);         // read in every step
  table->release();
  EXPECT_TRUE(torch::equal(model.embedding->weight.detach(), released)) << "noise was added twice";
}

/// Also not at another scale, nor for another table: the ratio of two draws of a row does not
/// change with that.
TEST_F(LazyTableTest, NoTwoDrawsAreTheSame) {
  constexpr std::int64_t kMany = 300;
  Classifier model(kMany, kWidth, torch::kDouble), other(kMany, kWidth, torch::kDouble);
  const std::vector<Tensor> tables = {model.embedding->weight, other.embedding->weight};
  for (const Tensor& table : tables) table.data().zero_();
  PrivacyOptions options = options_of(nullptr, 1);
  for (const Tensor& table : tables) {
    options.lazy_tables.push_back(std::make_shared<LazyTable>(table));
  }
  std::vector<Tensor> parameters = model.parameters();
  for (const Tensor& parameter : other.parameters()) parameters.push_back(parameter);
  PrivacyEngine engine(parameters, sampler, options);
  std::vector<Tensor> ratios, before = {tables[0].detach().clone(), tables[1].detach().clone()};
  const auto note = [&] {
    for (std::size_t t = 0; t < tables.size(); ++t) {
      const Tensor changed = tables[t].detach() - before[t];
      const Tensor rows = changed.select(1, 0).ne(0).nonzero().view({-1});
      const Tensor of_rows = changed.index_select(0, rows);
      ratios.push_back(of_rows.select(1, 0) / of_rows.select(1, 1));
      before[t] = tables[t].detach().clone();
    }
  };
  for (std::int64_t step = 0; step < 4; ++step) {
    for (std::int64_t part = 0; part < 2; ++part) {  // two physical batches of one step
      const Tensor tokens = torch::arange(20 * part, 20 * part + 20).view({20, 1}) + 10 * step;
      for (const auto& table : options.lazy_tables) table->catch_up(tokens);
      note();
      engine.accumulate((model.losses(tokens) + other.losses(tokens)).mul(0));
    }
    engine.finish_step();
    for (const auto& table : options.lazy_tables) table->step(0.3 + static_cast<double>(step));
    note();
  }
  for (const auto& table : options.lazy_tables) table->release();
  note();
  const Tensor all = std::get<0>(torch::cat(ratios).sort());
  ASSERT_GT(all.numel(), 2 * (kMany + 4 * 20));
  const Tensor gaps = all.narrow(0, 1, all.numel() - 1) - all.narrow(0, 0, all.numel() - 1);
  const Tensor relative = gaps / all.narrow(0, 1, all.numel() - 1).abs();
  EXPECT_GT(relative.min().item<double>(), 1e-11);
}

/// With every clipping and with users: a table that all steps read beside one that none reads.
TEST_F(LazyTableTest, TheNoiseIsThatOfTheClipping) {
  constexpr std::int64_t kMany = 3000, kWide = 32;
  const AdaptiveClipping adaptive{.initial_norm = 0.3, .count_noise = 5.0};
  const std::vector<std::function<Clipping()>> clippings = {
      [] { return Clipping::automatic(kClippingNorm, 0.01); },
      [] {
        return Clipping::by_groups({{{0}, 0.2}, {{1, 2}, 0.4}});
      },
      [&] { return Clipping::adaptive(adaptive); }};
  for (const auto& clipping : clippings) {
    Classifier dense(kMany, kWide), lazy(kMany, kWide);
    dense.embedding->weight.data().zero_();
    lazy.embedding->weight.data().zero_();
    auto table = std::make_shared<LazyTable>(lazy.embedding->weight);
    PrivacyEngine dense_engine(dense.parameters(), sampler, options_of(nullptr, 1, clipping()));
    PrivacyEngine lazy_engine(lazy.parameters(), sampler, options_of(table, 1, clipping()));
    for (int step = 0; step < 3; ++step) {
      dense_engine.finish_step();
      dense.embedding->weight.data().sub_(dense.embedding->weight.grad(), 0.5);
      lazy_engine.finish_step();
      table->step(0.5);
    }
    table->release();
    const double expected = dense.embedding->weight.std().item<double>();
    ASSERT_GT(expected, 0);
    // Adaptive norms move alike: their noise is of the same key and positions. Six standard
    // deviations of a ratio of two of 96000 draws are 0.02.
    EXPECT_NEAR(lazy.embedding->weight.std().item<double>() / expected, 1, 0.02);
  }
}

TEST_F(LazyTableTest, EmptyStepsAreNoisedToo) {
  Classifier model(2000, 64);
  {
    const torch::NoGradGuard no_grad;
    model.embedding->weight.zero_();
  }
  auto table = std::make_shared<LazyTable>(model.embedding->weight);
  PrivacyEngine engine(model.parameters(), sampler, options_of(table, 1));
  for (int step = 0; step < 3; ++step) {
    engine.finish_step();
    table->step(0.1);
  }
  table->release();
  const double deviation = 0.1 * kClippingNorm / sampler.expected_batch_size() * std::sqrt(3.0);
  EXPECT_NEAR(model.embedding->weight.detach().std().item<double>(), deviation, 0.01 * deviation);
}

TEST_F(LazyTableTest, AFloatTableKeepsWhatItsWeightsRoundOff) {
  nn::Embedding embedding(4, 3);
  const torch::NoGradGuard no_grad;
  embedding->weight.fill_(1);
  const Tensor low = torch::zeros({4, 3});
  const Tensor rows = torch::tensor({2, 0}, torch::kLong);
  const Tensor scales = torch::tensor({1.0, -2.0}, torch::kDouble);
  const Tensor values = torch::full({2, 3}, 0x1p-30, torch::kDouble);
  for (int i = 0; i < 1024; ++i) {
    detail::add_scaled_rows(embedding->weight, low, rows, scales, values);
  }
  const Tensor sum = embedding->weight.to(torch::kDouble) + low;
  EXPECT_EQ(sum[2][1].item<double>(), 1 + 0x1p-20);
  EXPECT_EQ(sum[0][2].item<double>(), 1 - 0x1p-19);
  EXPECT_EQ(sum[1][0].item<double>(), 1);
  EXPECT_EQ(embedding->weight[2][0].item<float>(), 1 + 0x1p-20F);
}

TEST_F(LazyTableTest, BothWaysToAddRowsGiveTheSameBits) {
  for (const at::ScalarType type : {torch::kFloat, torch::kDouble}) {
    const Tensor one = torch::randn({300, 17}, type), other = one.clone();
    const Tensor low = type == torch::kFloat ? torch::randn({300, 17}) * 1e-9 : Tensor();
    const Tensor other_low = low.defined() ? low.clone() : Tensor();
    const Tensor rows = torch::randperm(300).narrow(0, 0, 200);
    const Tensor scales = torch::randn({200}, torch::kDouble);
    const Tensor values = torch::randn({200, 17}, torch::kDouble);
    detail::add_scaled_rows(one, low, rows, scales, values);
    detail::add_scaled_rows_by_torch(other, other_low, rows, scales, values);
    EXPECT_TRUE(torch::equal(one, other));
    EXPECT_TRUE(!low.defined() || torch::equal(low, other_low));
  }
}

TEST(PreciseSum, DoesNotRound) {
  detail::PreciseSum sum, small;
  for (int i = 0; i < 1000; ++i) sum = sum.plus(1e9);
  small = sum;
  for (int i = 0; i < 1000; ++i) small = small.plus(0x1p-50);
  EXPECT_EQ(small.minus(sum), 1000 * 0x1p-50);
  EXPECT_EQ(sum.minus(sum), 0);
}

TEST_F(LazyTableTest, RowsThatWereNotCaughtUpAreRefused) {
  Classifier model;
  auto table = std::make_shared<LazyTable>(model.embedding->weight);
  PrivacyEngine engine(model.parameters(), sampler, options_of(table, 1));
  const Tensor first = torch::zeros({kBatch, 1}, torch::kLong);
  table->catch_up(first);
  engine.backward(model.losses(first));
  table->step(0.1);
  const Tensor weights = model.embedding->weight.detach().clone();
  const Tensor second = torch::full({kBatch, 1}, 3, torch::kLong);
  EXPECT_THAT([&] { engine.accumulate(model.losses(second)); },
              ThrowsMessage<std::logic_error>(HasSubstr("row 3")));
  EXPECT_TRUE(torch::equal(model.embedding->weight.detach(), weights));
  table->catch_up(second);
  EXPECT_NO_THROW(engine.backward(model.losses(second)));
  // Row 0 has all of its noise but that of the step that now waits.
  table->step(0.1);
  EXPECT_THAT([&] { engine.accumulate(model.losses(first)); },
              ThrowsMessage<std::logic_error>(HasSubstr("catch_up")));
}

TEST_F(LazyTableTest, WeightsOfOthersAreRefused) {
  Classifier model;
  auto table = std::make_shared<LazyTable>(model.embedding->weight);
  PrivacyEngine engine(model.parameters(), sampler, options_of(table, 1));
  WeightAverage average(model.parameters(), 0.5);
  engine.finish_step();
  table->step(0.1);
  EXPECT_THAT([&] { average.update(); }, ThrowsMessage<std::logic_error>(HasSubstr("release")));
  EXPECT_THAT([&] { average.swap(); }, ThrowsMessage<std::logic_error>(HasSubstr("release")));
  EXPECT_THAT([&] { WeightAverage late(model.parameters(), 0.5); },
              ThrowsMessage<std::logic_error>(HasSubstr("release")));
  EXPECT_THAT([&] { LazyTable another(model.embedding->weight); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("release")));
  const Tensor weights = model.embedding->weight.detach().clone();
  {
    const torch::NoGradGuard no_grad;
    model.embedding->weight.zero_();
  }
  EXPECT_THAT([&] { table->release(); },
              ThrowsMessage<std::logic_error>(HasSubstr("written by somebody else")));
  EXPECT_FALSE(table->is_released());
  EXPECT_THAT([&] { engine.finish_step(); },
              ThrowsMessage<std::logic_error>(HasSubstr("written by somebody else")));
  EXPECT_EQ(engine.accountant().composition().total_count(), 1);

  Classifier second;
  auto other = std::make_shared<LazyTable>(second.embedding->weight);
  PrivacyEngine its(second.parameters(), sampler, options_of(other, 1));
  WeightAverage of_second(second.parameters(), 0.5);
  its.finish_step();
  other->step(0.1);
  other->release();
  EXPECT_NO_THROW(of_second.update());
  EXPECT_NO_THROW(of_second.swap());
  EXPECT_NO_THROW(of_second.swap());
  EXPECT_NO_THROW(other->catch_up(tokens_of(1)));
  // Weights that are loaded after a release are taken as they are.
  second.embedding->weight.data().fill_(1);
  {
    const torch::NoGradGuard no_grad;
    second.embedding->weight.fill_(1);
  }
  its.finish_step();
  other->step(0);
  other->release();
  EXPECT_TRUE(second.embedding->weight.eq(1).all().item<bool>());
  its.finish_step();
  EXPECT_THAT([&] { other->step(1e300); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("infinite variance")));
  other->step(0);
  second.embedding->weight.set_data(second.embedding->weight.detach().to(torch::kDouble));
  EXPECT_THAT([&] { other->release(); },
              ThrowsMessage<std::logic_error>(HasSubstr("expected Float")));
}

/// The padding is read by the forward pass and has no gradient; it is noised like any row.
TEST_F(LazyTableTest, PaddingIsARow) {
  nn::Embedding embedding(nn::EmbeddingOptions(3, 64).padding_idx(0));
  auto table = std::make_shared<LazyTable>(embedding->weight);
  PrivacyEngine engine({embedding->weight}, sampler, options_of(table, 1));
  const Tensor tokens = torch::tensor({0, 1, 0, 2}, torch::kLong).view({2, 2});
  const Tensor before = embedding->weight.detach().clone();
  for (int step = 0; step < 2; ++step) {
    table->catch_up(tokens);
    engine.backward(embedding->forward(tokens).square().sum({1, 2}));
    table->step(0.1);
  }
  table->release();
  EXPECT_TRUE((embedding->weight.detach() - before)[0].ne(0).all().item<bool>());
}

TEST_F(LazyTableTest, AMaximumOfRowsIsNoLookup) {
  nn::EmbeddingBag bag(nn::EmbeddingBagOptions(kRows, kWidth).mode(torch::kMax));
  auto table = std::make_shared<LazyTable>(bag->weight);
  PrivacyEngine engine({bag->weight}, sampler, options_of(table, 1));
  const Tensor tokens = tokens_of(1);
  table->catch_up(tokens);
  EXPECT_THAT([&] { engine.accumulate(bag->forward(tokens).square().sum(1)); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("a lazy table, is used by")));
}

/// Rows of users: the sum of the gradients of a user's samples is clipped.
TEST_F(LazyTableTest, UsersAreOne) {
  std::vector<std::int64_t> user_of_sample;
  for (std::int64_t i = 0; i < 1000; ++i) user_of_sample.push_back(i / 2);
  const UserPoissonSampler users(user_of_sample, 0.01);
  Classifier dense, lazy;
  for (std::size_t p = 0; p < 3; ++p) {
    lazy.parameters()[p].data().copy_(dense.parameters()[p].data());
  }
  auto table = std::make_shared<LazyTable>(lazy.embedding->weight);
  PrivacyEngine dense_engine(dense.parameters(), users, options_of(nullptr, 0));
  PrivacyEngine lazy_engine(lazy.parameters(), users, options_of(table, 0));
  const std::vector<std::int64_t> of = {1, 2, 1, 3, 3, 2, 4, 5};
  const Tensor tokens = tokens_of(3);
  dense_engine.backward(dense.losses(tokens), of);
  lazy_engine.backward(lazy.losses(tokens), of);
  dense.embedding->weight.data().sub_(dense.embedding->weight.grad(), 0.5);
  table->step(0.5);
  EXPECT_LE((dense.embedding->weight - lazy.embedding->weight).abs().max().item<double>(), 1e-6);
}

TEST_F(LazyTableTest, UsesOtherThanLookupsAreRefused) {
  Classifier model;
  auto table = std::make_shared<LazyTable>(model.embedding->weight);
  PrivacyEngine engine(model.parameters(), sampler, options_of(table, 1));
  const Tensor tokens = tokens_of(1);
  table->catch_up(tokens);
  const auto tied = [&] {  // the table is the output layer, too
    const Tensor hidden = model.embedding->forward(tokens).mean(1);
    return model.losses(tokens) + torch::mm(hidden, model.embedding->weight.t()).square().sum(1);
  };
  EXPECT_THAT([&] { engine.accumulate(tied()); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("a lazy table, is used by")));
}

TEST_F(LazyTableTest, NothingIsStatedBeforeTheRelease) {
  Classifier model;
  auto table = std::make_shared<LazyTable>(model.embedding->weight);
  PrivacyEngine engine(model.parameters(), sampler, options_of(table, 1));
  EXPECT_NO_THROW(engine.state());
  const Tensor tokens = tokens_of(1);
  table->catch_up(tokens);
  engine.backward(model.losses(tokens));
  EXPECT_THROW(engine.state(), std::logic_error);
  table->step(0.1);
  EXPECT_THAT([&] { engine.state(); }, ThrowsMessage<std::logic_error>(HasSubstr("release")));
  EXPECT_THAT([&] { engine.statement(1e-5); },
              ThrowsMessage<std::logic_error>(HasSubstr("release")));
  table->release();
  EXPECT_NO_THROW(engine.statement(1e-5));
  // A resumed engine takes the released table.
  auto next = std::make_shared<LazyTable>(model.embedding->weight);
  PrivacyEngine resumed(model.parameters(), sampler, options_of(next, 1), engine.state());
  next->catch_up(tokens);
  resumed.backward(model.losses(tokens));
  next->step(0.1);
  next->release();
  EXPECT_EQ(resumed.state().step, 2);
}

TEST_F(LazyTableTest, AGradientIsAppliedOnce) {
  Classifier model;
  auto table = std::make_shared<LazyTable>(model.embedding->weight);
  PrivacyEngine engine(model.parameters(), sampler, options_of(table, 1));
  EXPECT_THROW(table->step(0.1), std::logic_error);
  const Tensor tokens = tokens_of(1);
  table->catch_up(tokens);
  engine.backward(model.losses(tokens));
  EXPECT_THROW(engine.finish_step(), std::logic_error);
  EXPECT_THROW(engine.accumulate(model.losses(tokens)), std::logic_error);
  EXPECT_THROW(table->catch_up(tokens), std::logic_error);
  EXPECT_THROW(table->release(), std::logic_error);
  EXPECT_THROW(table->step(-0.1), std::invalid_argument);
  EXPECT_THROW(table->step(std::nan("")), std::invalid_argument);
  const Tensor weights = model.embedding->weight.detach().clone();
  table->step(0);
  EXPECT_TRUE(torch::equal(model.embedding->weight.detach(), weights));
  EXPECT_THROW(table->step(0.1), std::logic_error);
  table->release();
  EXPECT_TRUE(torch::equal(model.embedding->weight.detach(), weights));
  EXPECT_EQ(engine.state().step, 1) << "what was refused left a trace";
}

TEST_F(LazyTableTest, AnAbandonedStepLeavesNoTrace) {
  Classifier model;
  auto table = std::make_shared<LazyTable>(model.embedding->weight);
  PrivacyEngine engine(model.parameters(), sampler, options_of(table, 0));
  const Tensor tokens = tokens_of(1);
  table->catch_up(tokens);
  const Tensor weights = model.embedding->weight.detach().clone();
  engine.accumulate(model.losses(tokens));
  engine.abandon_step();
  engine.finish_step();
  table->step(1.0);
  EXPECT_TRUE(torch::equal(model.embedding->weight.detach(), weights));
}

TEST_F(LazyTableTest, WrongTablesAndIndicesAreNamed) {
  Classifier model, other;
  EXPECT_THROW(LazyTable(at::Tensor{}), std::invalid_argument);
  EXPECT_THROW(LazyTable(torch::zeros({3, 4})), std::invalid_argument);
  EXPECT_THROW(LazyTable(model.head->bias), std::invalid_argument);
  EXPECT_THROW(LazyTable(torch::zeros({3, 4}, torch::requires_grad()).to(torch::kHalf)),
               std::invalid_argument);
  EXPECT_THROW(LazyTable(torch::zeros({3, 4}, torch::requires_grad()).t()), std::invalid_argument);

  auto table = std::make_shared<LazyTable>(model.embedding->weight);
  EXPECT_THAT([&] { table->catch_up(tokens_of(1)); },
              ThrowsMessage<std::logic_error>(HasSubstr("no engine")));
  const auto make = [&](const std::vector<std::shared_ptr<LazyTable>>& tables) {
    PrivacyOptions options = options_of(nullptr, 1);
    options.lazy_tables = tables;
    return PrivacyEngine(model.parameters(), sampler, options);
  };
  EXPECT_THROW(make({nullptr}), std::invalid_argument);
  EXPECT_THROW(make({std::make_shared<LazyTable>(other.embedding->weight)}), std::invalid_argument);
  EXPECT_THROW(make({table, std::make_shared<LazyTable>(model.embedding->weight)}),
               std::invalid_argument);
  const PrivacyEngine engine = make({table});
  EXPECT_THAT([&] { make({table}); },
              ThrowsMessage<std::invalid_argument>(HasSubstr("another engine")));
  EXPECT_THROW(table->catch_up(torch::full({2}, kRows, torch::kLong)), std::invalid_argument);
  EXPECT_THROW(table->catch_up(torch::full({2}, -1, torch::kInt)), std::invalid_argument);
  EXPECT_THROW(table->catch_up(torch::zeros({2})), std::invalid_argument);
  EXPECT_THROW(table->catch_up(Tensor()), std::invalid_argument);
  EXPECT_NO_THROW(table->catch_up(torch::zeros({0}, torch::kInt)));
}

TEST_F(LazyTableTest, AForkedChildDrawsNothing) {
  Classifier model;
  auto table = std::make_shared<LazyTable>(model.embedding->weight);
  PrivacyEngine engine(model.parameters(), sampler, options_of(table, 1));
  engine.finish_step();
  table->step(1.0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    try {
      table->release();
    } catch (const std::logic_error&) {
      _exit(17);
    }
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 17);
}

}  // namespace
}  // namespace velum::dpsgd
