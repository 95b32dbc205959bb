// What the tape accepts, and what it gives, must not depend on a number that the size of a drawn
// batch happens to equal or to divide: steps, features, heads, one.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dpsgd/support/problems.h"
#include "reference/single_sample_gradients.h"
#include "tape/tape.h"

namespace velum::testing {
namespace {

using dpsgd::detail::SampleFactors;
using dpsgd::detail::Tape;
using Expected = std::vector<std::vector<at::Tensor>>;  // [sample][parameter]

/// Every size up to the largest dimension of most problems, then multiples of dimensions.
const std::vector<std::int64_t> kBatchSizes{5, 1, 2, 6, 3, 4, 7, 8, 1, 12, 9, 10, 18, 6};

/// A batch of any size out of the elements of a given one.
at::Tensor resized(const at::Tensor& inputs, std::int64_t batch) {
  std::vector<std::int64_t> sizes = inputs.sizes().vec();
  sizes[0] = batch;
  const at::Tensor elements = inputs.flatten();
  return elements.index_select(0, torch::randint(elements.numel(), c10::multiply_integers(sizes)))
      .view(sizes);
}

/// Nothing where the tape gives what single-sample backwards give, to 1e-12 of each sample's norm;
/// the tape's message where it refuses.
std::optional<std::string> refusal(Tape& tape, const at::Tensor& losses, const Expected& expected,
                                   const std::vector<at::Tensor>& parameters) {
  const std::int64_t batch = losses.numel();
  const SampleFactors factors(torch::rand({batch}, torch::kFloat64));
  try {
    auto gradients = tape.differentiate(losses);
    const at::Tensor norms = gradients.exact_squared_norms().sqrt();
    double all_norms = 0;
    for (std::int64_t b = 0; b < batch; ++b) {
      const double norm = reference::norm(expected[static_cast<std::size_t>(b)]);
      EXPECT_NEAR(norms[b].item<double>(), norm, 1e-12 * norm) << "sample " << b;
      all_norms += norm;
    }
    for (std::size_t p = 0; p < parameters.size(); ++p) {
      at::Tensor sum = torch::zeros_like(parameters[p]);
      const at::Tensor rows = gradients.parameter(p).per_sample(0, batch);
      for (std::int64_t b = 0; b < batch; ++b) {
        const at::Tensor& truth = expected[static_cast<std::size_t>(b)][p];
        const double norm = reference::norm(expected[static_cast<std::size_t>(b)]);
        EXPECT_LE((rows[b] - truth).norm().item<double>(), 1e-12 * norm)
            << "parameter " << p << ", sample " << b;
        sum = sum + truth * factors.as(torch::kFloat64)[b];
      }
      EXPECT_LE((gradients.parameter(p).weighted_sum(factors, {}) - sum).norm().item<double>(),
                1e-12 * all_norms)
          << "parameter " << p;
    }
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return std::nullopt;
}

class EveryBatchSize : public ::testing::TestWithParam<ProblemFactory> {};

TEST_P(EveryBatchSize, IsExact) {
  const torch::NoGradGuard no_grad;
  auto [single, problem] = single_and_double(GetParam());
  const at::AutoGradMode grad(true);
  Tape of_all_sizes(problem.parameters, false);
  for (const std::int64_t batch : kBatchSizes) {
    SCOPED_TRACE("batch of " + std::to_string(batch));
    const at::Tensor losses = problem.losses(resized(problem.inputs, batch));
    const Expected expected = reference::single_sample_gradients(losses, problem.parameters);
    EXPECT_EQ(refusal(of_all_sizes, losses, expected, problem.parameters), std::nullopt);
    Tape fresh(problem.parameters, false);
    EXPECT_EQ(refusal(fresh, losses, expected, problem.parameters), std::nullopt);
  }
}

INSTANTIATE_TEST_SUITE_P(Grid, EveryBatchSize, ::testing::ValuesIn(every_problem()), ProblemName());

/// What has no rule: refused at every size but one, where it may be exact, and never wrong.
struct Refused {
  std::string name;
  bool slow;          // exact, at every size, where slow rules are allowed
  std::string names;  // what the message says
  std::function<Problem()> make;
};
void PrintTo(const Refused& refused, std::ostream* os) { *os << refused.name; }

at::Tensor doubles(at::IntArrayRef sizes) { return torch::randn(sizes, torch::kFloat64); }

Refused refused(
    std::string name, bool slow, std::string names, std::int64_t rows,
    const std::function<at::Tensor(const at::Tensor& x, const at::Tensor& w)>& forward) {
  return {std::move(name), slow, std::move(names), [=] {
            const at::Tensor w = doubles({rows, 4}).requires_grad_();
            return Problem{{w},
                           [=](const at::Tensor& x) { return reduce_to_losses(forward(x, w)); },
                           doubles({5, 6, 4})};
          }};
}

const std::vector<Refused> kRefused{
    refused("ExpressionOfAParameter", true, "TanhBackward0", 6,
            [](const at::Tensor& x, const at::Tensor& w) { return x + w.tanh(); }),
    refused("ExpressionOfAParameterExpanded", true, "TanhBackward0", 6,
            [](const at::Tensor& x, const at::Tensor& w) { return x * w.tanh().expand_as(x); }),
    refused("ProductOfParameters", true, "MmBackward0", 6,
            [](const at::Tensor& x, const at::Tensor& w) { return x + w.mm(w.t().mm(w)); }),
    refused("MaskedParameter", true, "MulBackward0", 6,
            [](const at::Tensor& x, const at::Tensor& w) { return x + w * torch::ones_like(w); }),
    refused("MaskedParameterOfOneRow", true, "MulBackward0", 1,
            [](const at::Tensor& x, const at::Tensor& w) { return x + w * torch::ones_like(w); }),
    refused("ExpressionPerHead", true, "TanhBackward0", 6,
            [](const at::Tensor& x, const at::Tensor& w) {
              return x.transpose(0, 1).bmm(w.tanh().unsqueeze(2)).transpose(0, 1);
            }),
    refused(
        "RowsByIndex", true, "IndexBackward0", 9,
        [](const at::Tensor& x, const at::Tensor& w) { return x + w.index({torch::arange(6)}); }),
    refused(
        "RowsByIndexOfOneRow", true, "IndexBackward0", 9,
        [](const at::Tensor& x, const at::Tensor& w) { return x + w.index({torch::tensor({3})}); }),
    refused("SumOfLookups", false, "EmbeddingBackward0", 9,
            [](const at::Tensor& x, const at::Tensor& w) {
              return x + (torch::embedding(w, torch::arange(6)) +
                          torch::embedding(w, torch::arange(1, 7)));
            }),
    refused("MeanOverTheBatch", false, "mixes samples", 4,
            [](const at::Tensor& x, const at::Tensor& w) {
              const at::Tensor y = x.matmul(w);
              return y - y.mean(0);
            }),
    refused("RowsOfOthers", false, "mixes samples", 4,
            [](const at::Tensor& x, const at::Tensor& w) {
              const at::Tensor y = x.matmul(w);
              return y + y.roll(1, 0);
            }),
};

class NoBatchSize : public ::testing::TestWithParam<Refused> {};

TEST_P(NoBatchSize, IsAcceptedWithoutARule) {
  torch::manual_seed(5);
  const Problem problem = GetParam().make();
  for (const std::int64_t batch : kBatchSizes) {
    SCOPED_TRACE("batch of " + std::to_string(batch));
    Tape tape(problem.parameters, false);
    const at::Tensor losses = problem.losses(resized(problem.inputs, batch));
    const auto message =
        refusal(tape, losses, reference::single_sample_gradients(losses, problem.parameters),
                problem.parameters);
    if (batch == 1) continue;  // nothing to mix with; exact or refused
    ASSERT_TRUE(message.has_value());
    EXPECT_NE(message->find(GetParam().names), std::string::npos) << *message;
    EXPECT_NE(message->find("parameter 0 ["), std::string::npos) << *message;
  }
}

TEST_P(NoBatchSize, IsWrongWithSlowRules) {
  torch::manual_seed(6);
  const Problem problem = GetParam().make();
  Tape of_all_sizes(problem.parameters, true);
  for (const std::int64_t batch : kBatchSizes) {
    SCOPED_TRACE("batch of " + std::to_string(batch));
    const at::Tensor losses = problem.losses(resized(problem.inputs, batch));
    const Expected expected = reference::single_sample_gradients(losses, problem.parameters);
    Tape fresh(problem.parameters, true);
    const auto message = refusal(fresh, losses, expected, problem.parameters);
    if (batch > 1 || GetParam().slow) {
      EXPECT_EQ(message.has_value(), !GetParam().slow) << message.value_or("");
    }
    if (!GetParam().slow) continue;
    EXPECT_EQ(refusal(of_all_sizes, losses, expected, problem.parameters), std::nullopt);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, NoBatchSize, ::testing::ValuesIn(kRefused),
                         [](const auto& model) { return model.param.name; });

}  // namespace
}  // namespace velum::testing
