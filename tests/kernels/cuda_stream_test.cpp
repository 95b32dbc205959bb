// Work is enqueued on the stream that was given: the caller's, which waits for no other. Where a
// kernel or a copy goes to another one, the order of the two is left open, and the emulated device
// takes them in any order.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "support/every_backend.h"
#include "velum/kernels/buffer.h"
#include "velum/kernels/gradients/per_sample_norms.h"
#include "velum/kernels/random/uniform.h"

namespace velum::kernels {
namespace {

/// Page-locked memory: copies from and to it are enqueued, and nobody waits for them.
template <typename T>
class PageLocked {
 public:
  explicit PageLocked(std::int64_t size) : size_(size) {
    EXPECT_EQ(cudaMallocHost(reinterpret_cast<void**>(&data_),
                             static_cast<std::size_t>(size) * sizeof(T)),
              cudaSuccess);
    std::fill_n(data_, size, T{0});
  }
  PageLocked(const PageLocked&) = delete;
  PageLocked& operator=(const PageLocked&) = delete;
  ~PageLocked() { static_cast<void>(cudaFreeHost(data_)); }
  T* data() const { return data_; }
  Span<T> span() const { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::int64_t size_;
};

/// Repetitions, each of which finds a missing order with probability 1/2 or so.
constexpr int kRounds = 12;

class CudaStream : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_DEVICE(Backend::kCuda);
    ASSERT_EQ(cudaStreamCreateWithFlags(&native_, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    if (native_ != nullptr) static_cast<void>(cudaStreamDestroy(native_));
  }
  Stream stream() const { return Stream::cuda(native_, 0); }

 private:
  cudaStream_t native_ = nullptr;
};

TEST_F(CudaStream, KernelsAndCopiesWaitForEachOther) {
  constexpr std::int64_t kRows = 40;
  constexpr std::int64_t kCols = 70;
  const PageLocked<float> host_grads(kRows * kCols);
  const PageLocked<double> host_norms(kRows);
  const Buffer<float> grads(kRows * kCols, stream());
  const Buffer<double> norms(kRows, stream());
  for (int round = 1; round <= kRounds; ++round) {
    // Small integers: the sums of their squares are exact in any order.
    for (std::int64_t i = 0; i < kRows * kCols; ++i) {
      host_grads.data()[i] = static_cast<float>((i * round) % 17 - 8);
    }
    copy<float>(host_grads.span(), grads.span(), stream());
    per_sample_squared_norms(MatrixView<const float>(grads.data(), kRows, kCols), norms.span(),
                             stream());
    copy<double>(norms.span(), host_norms.span(), stream());
    synchronize(stream());
    for (std::int64_t row = 0; row < kRows; ++row) {
      double expected = 0.0;
      for (std::int64_t col = 0; col < kCols; ++col) {
        const double value = host_grads.data()[row * kCols + col];
        expected += value * value;
      }
      ASSERT_EQ(host_norms.data()[row], expected) << "row " << row << " of round " << round;
    }
  }
}

TEST_F(CudaStream, ASelectionIsMadeWhereItsFlagsAre) {
  constexpr std::int64_t kPopulation = 3000;
  const RandomKey key = insecure_key_from_seed(7);
  const auto select = [&](const RandomPosition& position, const Stream& on) {
    // Something stands there before, so that it is seen where nothing is written in time.
    const Buffer<std::int64_t> indices =
        testing::to_backend(std::vector<std::int64_t>(kPopulation, -1), on);
    const Buffer<std::int64_t> count = testing::to_backend(std::vector<std::int64_t>{0}, on);
    const std::int64_t bytes = poisson_select_workspace_size(kPopulation, on);
    const Buffer<std::uint8_t> workspace =
        testing::to_backend(std::vector<std::uint8_t>(static_cast<std::size_t>(bytes), 0), on);
    poisson_select(kPopulation, 0.1, key, position, indices.span(), count.span(), workspace.span(),
                   on);
    std::vector<std::int64_t> selected = testing::to_host<std::int64_t>(indices.span(), on);
    selected.resize(
        static_cast<std::size_t>(testing::to_host<std::int64_t>(count.span(), on).front()));
    return selected;
  };
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    const RandomPosition position{Purpose::kTest, 1, round, 3};
    ASSERT_EQ(select(position, stream()), select(position, Stream::serial())) << "round " << round;
  }
}

}  // namespace
}  // namespace velum::kernels
