// Tables of many rows cost what a plain gradient of them costs, never a table for every sample.
#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>

#include "velum/dpsgd/clipping.h"
#include "velum/dpsgd/poisson_sampler.h"
#include "velum/dpsgd/privacy_engine.h"

namespace velum::testing {
namespace {

namespace nn = torch::nn;
namespace F = torch::nn::functional;

/// Counts the bytes of tensors on the CPU while it lives.
class CountingAllocator final : public c10::Allocator {
 public:
  CountingAllocator() { c10::SetCPUAllocator(this, /*priority=*/100); }
  ~CountingAllocator() override { c10::SetCPUAllocator(c10::GetDefaultCPUAllocator(), 100); }
  CountingAllocator(const CountingAllocator&) = delete;
  CountingAllocator& operator=(const CountingAllocator&) = delete;

  c10::DataPtr allocate(std::size_t bytes) override {
    c10::DataPtr inner = c10::GetDefaultCPUAllocator()->allocate(bytes);
    void* const data = inner.get();
    auto* block = new Block{std::move(inner), static_cast<std::int64_t>(bytes)};
    const std::int64_t live = live_ += block->bytes;
    std::int64_t peak = peak_;
    while (live > peak && !peak_.compare_exchange_weak(peak, live)) {
    }
    return {data, block, &free_block, at::Device(at::kCPU)};
  }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  /// The most bytes that `body` held at once, beyond those held before.
  static std::int64_t peak_of(const std::function<void()>& body) {
    const std::int64_t before = live_;
    peak_ = before;
    body();
    return peak_ - before;
  }

 private:
  struct Block {
    c10::DataPtr inner;
    std::int64_t bytes;
  };
  static void free_block(void* context) {
    auto* block = static_cast<Block*>(context);
    live_ -= block->bytes;
    delete block;
  }
  static inline std::atomic<std::int64_t> live_ = 0, peak_ = 0;
};

dpsgd::PrivacyEngine engine_of(const std::vector<at::Tensor>& parameters,
                               const dpsgd::PoissonSampler& sampler) {
  return {parameters, sampler, {.clipping = dpsgd::Clipping::flat(1.0), .noise_multiplier = 1.0}};
}

TEST(LargeTables, CostWhatAPlainGradientOfThemCosts) {
  constexpr std::int64_t kBatch = 64, kSteps = 8, kRows = 1'000'000, kWidth = 16;
  constexpr std::int64_t kTable = kRows * kWidth * 4;  // 64 MB; for each sample 4.1 GB
  const CountingAllocator allocator;
  nn::Embedding table(kRows, kWidth);
  const auto losses = [&] {
    return table->forward(torch::randint(kRows, {kBatch, kSteps})).square().sum({1, 2});
  };
  const std::int64_t plain = CountingAllocator::peak_of([&] { losses().sum().backward(); });
  ASSERT_GE(plain, kTable);
  table->zero_grad();
  const dpsgd::PoissonSampler sampler(1000, 0.064);
  dpsgd::PrivacyEngine engine = engine_of(table->parameters(), sampler);
  const auto step = [&] {
    engine.accumulate(losses());
    engine.finish_step();
  };
  EXPECT_LE(CountingAllocator::peak_of(step), 5 * kTable);  // with the proof
  for (int repeat = 0; repeat < 2; ++repeat) {
    EXPECT_LE(CountingAllocator::peak_of(step), 3 * kTable);
  }
}

TEST(LargeTables, TiedToTheOutputLayerNeedNoTablePerSample) {
  constexpr std::int64_t kBatch = 16, kSteps = 2, kRows = 50'000, kWidth = 64;
  constexpr std::int64_t kTable = kRows * kWidth * 4;            // 12.8 MB; for each sample 205 MB
  constexpr std::int64_t kLogits = kBatch * kSteps * kRows * 4;  // 6.4 MB
  const CountingAllocator allocator;
  nn::Embedding table(kRows, kWidth);
  const auto losses = [&] {
    const at::Tensor words = torch::randint(kRows, {kBatch, kSteps});
    const at::Tensor logits =
        F::linear(torch::tanh(table->forward(words)), table->weight).transpose(1, 2);
    return F::cross_entropy(logits, words.roll(1, 1),
                            F::CrossEntropyFuncOptions().reduction(torch::kNone))
        .sum(1);
  };
  const std::int64_t plain = CountingAllocator::peak_of([&] { losses().sum().backward(); });
  ASSERT_GE(plain, kTable + 2 * kLogits);
  table->zero_grad();
  const dpsgd::PoissonSampler sampler(1000, 0.016);
  dpsgd::PrivacyEngine engine = engine_of(table->parameters(), sampler);
  const auto step = [&] {
    engine.accumulate(losses());
    engine.finish_step();
  };
  // The norms need the gradient of the logits in float64 too.
  const std::int64_t allowed = plain + 3 * kTable + 4 * kLogits;
  ASSERT_LT(allowed, kBatch * kTable);
  step();
  for (int repeat = 0; repeat < 2; ++repeat) {
    EXPECT_LE(CountingAllocator::peak_of(step), allowed);
  }
}

}  // namespace
}  // namespace velum::testing
