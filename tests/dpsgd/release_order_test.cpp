// In which order weighted sums are taken, held to the best of all orders by the memory that each
// needs: what is held, by storage, is read off the gradients themselves.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "tape/tape.h"

namespace velum::testing {
namespace {

using dpsgd::detail::BatchGradients;
using dpsgd::detail::Tape;

using Order = std::vector<std::size_t>;

/// What the gradients of each parameter hold, and how large it is.
struct Holdings {
  std::map<const void*, std::int64_t> bytes;
  std::vector<std::set<const void*>> of_parameter;
};

/// Of the first `count` parameters. Nobody but views of theirs holds any of it.
Holdings holdings_of(BatchGradients& gradients, std::size_t count) {
  Holdings result;
  std::map<const void*, std::set<const void*>> tensors;
  std::map<const void*, std::size_t> references;
  for (std::size_t i = 0; i < count; ++i) {
    std::set<const void*>& mine = result.of_parameter.emplace_back();
    for (const at::Tensor& tensor : gradients.parameter(i).held()) {
      if (!tensor.defined()) continue;
      const void* const memory = tensor.storage().data();
      mine.insert(memory);
      result.bytes[memory] = static_cast<std::int64_t>(tensor.storage().nbytes());
      tensors[memory].insert(tensor.unsafeGetTensorImpl());
      if (tensor.is_view()) tensors[memory].insert(tensor._base().unsafeGetTensorImpl());
      references[memory] = tensor.storage().use_count();
    }
    EXPECT_FALSE(mine.empty());
  }
  for (const auto& [memory, of_memory] : tensors) EXPECT_EQ(references[memory], of_memory.size());
  return result;
}

/// The most bytes at any time: a sum is taken, then what its parameter alone still holds is freed.
std::int64_t most_bytes(const Holdings& holdings, const Order& order,
                        const std::vector<std::int64_t>& taken) {
  std::int64_t now = 0;
  for (const auto& [memory, bytes] : holdings.bytes) now += bytes;
  std::int64_t most = now;
  std::set<std::size_t> left(order.begin(), order.end());
  for (const std::size_t parameter : order) {
    now += taken[parameter];
    most = std::max(most, now);
    left.erase(parameter);
    for (const void* const memory : holdings.of_parameter[parameter]) {
      const bool needed = std::any_of(left.begin(), left.end(), [&](std::size_t other) {
        return holdings.of_parameter[other].contains(memory);
      });
      if (!needed) now -= holdings.bytes.at(memory);
    }
  }
  return most;
}

std::int64_t least_of_all_orders(const Holdings& holdings, const std::vector<std::int64_t>& taken) {
  Order order(taken.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  do {
    least = std::min(least, most_bytes(holdings, order, taken));
  } while (std::next_permutation(order.begin(), order.end()));
  return least;
}

/// Per-sample gradients of a later use of a proved graph, which hold what a step's hold.
BatchGradients gradients_of(const std::vector<at::Tensor>& parameters,
                            const std::function<at::Tensor()>& losses) {
  Tape tape(parameters, /*allow_slow_rules=*/false);
  for (int use = 0; use < 3; ++use) tape.differentiate(losses(), /*release=*/true);
  BatchGradients gradients = tape.differentiate(losses(), /*release=*/true);
  gradients.squared_norms();
  return gradients;
}

constexpr std::int64_t kBatch = 8;
constexpr std::int64_t kSteps = 16;

at::Tensor weight(std::int64_t outputs, std::int64_t inputs) {
  return torch::randn({outputs, inputs}).requires_grad_();
}

/// Bytes taken by sums: some of nothing, others below or above what is held.
std::vector<std::int64_t> random_sizes(std::mt19937& random, std::size_t count) {
  std::vector<std::int64_t> sizes(count);
  for (std::int64_t& size : sizes)
    size = static_cast<std::int64_t>(random() % 5 * (random() % 4000));
  return sizes;
}

TEST(OrderOfRelease, NeedsTheLeastMemoryWhereNothingIsShared) {
  // Six maps, one after the other, over a lowest one, whose input the graph holds.
  const std::vector<std::int64_t> widths{70, 130, 90, 170, 65, 110, 80};
  std::vector<at::Tensor> weights;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    weights.push_back(weight(widths[i + 1], widths[i]));
  }
  const std::size_t count = weights.size();
  weights.push_back(weight(widths[0], 3));
  BatchGradients gradients = gradients_of(weights, [&] {
    at::Tensor rows = torch::linear(torch::randn({kBatch, kSteps, 3}), weights.back());
    for (std::size_t i = 0; i < count; ++i) rows = torch::linear(rows.tanh(), weights[i]);
    return rows.square().sum({1, 2});
  });
  const Holdings holdings = holdings_of(gradients, count);
  Order all(count);
  std::iota(all.begin(), all.end(), std::size_t{0});

  std::mt19937 random(7);
  int given_was_worse = 0;
  for (int trial = 0; trial < 100; ++trial) {
    const std::vector<std::int64_t> taken = random_sizes(random, count);
    const Order order = gradients.in_order_of_release(all, taken);
    ASSERT_TRUE(std::is_permutation(order.begin(), order.end(), all.begin(), all.end()));
    const std::int64_t least = least_of_all_orders(holdings, taken);
    EXPECT_EQ(most_bytes(holdings, order, taken), least) << trial;
    if (most_bytes(holdings, all, taken) > least) ++given_was_worse;
  }
  EXPECT_GT(given_was_worse, 20);
}

TEST(OrderOfRelease, CountsWhatIsSharedForTheLastWhoHoldsIt) {
  // Three maps of one large activation, and one of a smaller one, whose sum takes more than any
  // frees: the large one goes with the last of the three, before that sum.
  const std::vector<at::Tensor> weights{weight(65, 300), weight(65, 70), weight(65, 300),
                                        weight(65, 300), weight(300, 3), weight(70, 3)};
  BatchGradients gradients = gradients_of(weights, [&] {
    const at::Tensor x = torch::randn({kBatch, kSteps, 3});
    const at::Tensor large = torch::linear(x, weights[4]).tanh();
    const at::Tensor small = torch::linear(x, weights[5]).tanh();
    at::Tensor losses = torch::linear(small, weights[1]).square().sum({1, 2});
    for (const std::size_t i : {0, 2, 3}) {
      losses = losses + torch::linear(large, weights[i]).square().sum({1, 2});
    }
    return losses;
  });
  const Holdings holdings = holdings_of(gradients, 4);
  std::set<const void*> of_all = holdings.of_parameter[0];
  for (const std::size_t i : {2, 3}) {
    std::erase_if(of_all,
                  [&](const void* memory) { return !holdings.of_parameter[i].contains(memory); });
  }
  ASSERT_EQ(of_all.size(), 1u);  // the large activation
  ASSERT_EQ(holdings.bytes.at(*of_all.begin()), kBatch * kSteps * 300 * 4);

  const std::vector<std::int64_t> taken{40'000, 300'000, 40'000, 40'000};
  const Order order = gradients.in_order_of_release({0, 1, 2, 3}, taken);
  EXPECT_EQ(most_bytes(holdings, order, taken), least_of_all_orders(holdings, taken));
  EXPECT_EQ(order.back(), 1u);
  EXPECT_GT(most_bytes(holdings, {1, 0, 2, 3}, taken), most_bytes(holdings, order, taken));
}

TEST(OrderOfRelease, DoesNotCountWhatSomebodyElseHolds) {
  // Two maps of equal sizes, of which the second's activation stays with the caller: its release
  // frees less than its sum takes.
  const std::vector<at::Tensor> weights{weight(65, 200), weight(65, 200), weight(200, 3)};
  std::vector<at::Tensor> kept;
  BatchGradients gradients = gradients_of(weights, [&] {
    const at::Tensor below = torch::linear(torch::randn({kBatch, kSteps, 3}), weights[2]);
    kept.push_back(below.sin());
    return torch::linear(below.tanh(), weights[0]).square().sum({1, 2}) +
           torch::linear(kept.back(), weights[1]).square().sum({1, 2});
  });
  // The incoming gradients take 33 kB, the activations 102 kB.
  EXPECT_EQ(gradients.in_order_of_release({1, 0}, {50'000, 50'000}), (Order{0, 1}));
  EXPECT_EQ(gradients.in_order_of_release({0, 1}, {50'000, 10'000}), (Order{1, 0}));
}

}  // namespace
}  // namespace velum::testing
