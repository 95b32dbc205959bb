#include <gtest/gtest.h>
#include <torch/torch.h>

#include <thread>
#include <vector>

#include "memory/recycled_tensor.h"

namespace velum::dpsgd::detail {
namespace {

constexpr std::int64_t kLarge = std::int64_t{1} << 20;  // float32: 4 MiB

TEST(RecycledTensor, OfTheSameSizeTakesTheMemoryThatTheLastOneLeft) {
  const void* first = nullptr;
  {
    const torch::Tensor a = recycled_empty({kLarge}, torch::kFloat);
    first = a.data_ptr();
  }
  const torch::Tensor b = recycled_empty({4, kLarge / 4}, torch::kFloat);
  EXPECT_EQ(b.data_ptr(), first);
  EXPECT_EQ(b.sizes(), (std::vector<std::int64_t>{4, kLarge / 4}));
  EXPECT_TRUE(b.is_contiguous());
}

TEST(RecycledTensor, IsNotSharedWhileAnotherViewOfItLives) {
  torch::Tensor view;
  {
    const torch::Tensor a = recycled_empty({kLarge}, torch::kFloat);
    view = a.narrow(0, 5, 3);
  }
  view.fill_(1);
  const torch::Tensor b = recycled_empty({kLarge}, torch::kFloat);
  b.fill_(2);
  EXPECT_EQ(view.sum().item<float>(), 3);
}

TEST(RecycledTensor, WorksFromManyThreads) {
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int id = 0; id < 4; ++id) {
    threads.emplace_back([id, &wrong] {
      for (int i = 0; i < 50; ++i) {
        const torch::Tensor t = recycled_empty({kLarge}, torch::kFloat);
        float* const data = t.data_ptr<float>();
        for (std::int64_t p = 0; p < kLarge; p += 4096) data[p] = static_cast<float>(id);
        for (std::int64_t p = 0; p < kLarge; p += 4096)
          wrong[id] += data[p] == static_cast<float>(id) ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4, 0));
}

TEST(RecycledTensor, OfNoElementsOrFewIsAnOrdinaryTensor) {
  EXPECT_EQ(recycled_empty({0, 3}, torch::kFloat).numel(), 0);
  EXPECT_EQ(recycled_empty({7}, torch::kDouble).scalar_type(), torch::kDouble);
}

}  // namespace
}  // namespace velum::dpsgd::detail
