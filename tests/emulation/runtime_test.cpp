// The emulated CUDA runtime: order of streams and events, memory, errors.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <thread>
#include <vector>

#include "device_fixture.h"
#include "fault_kernels.h"

namespace velum::emulation {
namespace {

using ::testing::HasSubstr;

class Runtime : public EmulatedDevice {};

/// A stream for a test.
class Stream {
 public:
  explicit Stream(unsigned flags = cudaStreamNonBlocking) {
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, flags), cudaSuccess);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

constexpr std::size_t kBytes = 4 * sizeof(int);

cudaError_t enqueue_set(const DeviceArray<int>& array, int byte, cudaStream_t stream) {
  return cudaMemsetAsync(array.data(), byte, kBytes, stream);
}
cudaError_t enqueue_read(const DeviceArray<int>& array, std::vector<int>& host,
                         cudaStream_t stream) {
  return cudaMemcpyAsync(host.data(), array.data(), kBytes, cudaMemcpyDeviceToHost, stream);
}

TEST_F(Runtime, WorkRunsWhenSomebodyWaitsForIt) {
  const Stream stream;
  const DeviceArray<int> array(4);
  std::vector<int> host(4, 7);
  ASSERT_EQ(enqueue_set(array, 0, stream.get()), cudaSuccess);
  ASSERT_EQ(enqueue_read(array, host, stream.get()), cudaSuccess);
  EXPECT_EQ(host[0], 7);  // nobody has waited: a program that reads here reads too early
  ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
  EXPECT_EQ(host[0], 0);
}

TEST_F(Runtime, AStreamThatDoesNotWaitForAnotherRunsAlone) {
  const Stream writer;
  const Stream reader;
  const DeviceArray<int> array(std::vector<int>(4, 5));
  std::vector<int> host(4);
  ASSERT_EQ(enqueue_set(array, 0, writer.get()), cudaSuccess);
  ASSERT_EQ(enqueue_read(array, host, reader.get()), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(reader.get()), cudaSuccess);
  EXPECT_EQ(host[0], 5);  // the missing event is seen as an old value
}

TEST_F(Runtime, AnEventOrdersTwoStreams) {
  const Stream writer;
  const Stream reader;
  const DeviceArray<int> array(std::vector<int>(4, 5));
  std::vector<int> host(4);
  cudaEvent_t event = nullptr;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  ASSERT_EQ(enqueue_set(array, 0, writer.get()), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event, writer.get()), cudaSuccess);
  ASSERT_EQ(enqueue_set(array, 0xFF, writer.get()), cudaSuccess);  // after the event
  ASSERT_EQ(cudaStreamWaitEvent(reader.get(), event, 0), cudaSuccess);
  ASSERT_EQ(enqueue_read(array, host, reader.get()), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(reader.get()), cudaSuccess);
  EXPECT_EQ(host[0], 0);
  ASSERT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(Runtime, TheDefaultStreamIsOrderedWithBlockingStreams) {
  const Stream blocking(cudaStreamDefault);
  const DeviceArray<int> array(std::vector<int>(4, 5));
  std::vector<int> host(4);
  ASSERT_EQ(enqueue_set(array, 0, blocking.get()), cudaSuccess);
  ASSERT_EQ(enqueue_read(array, host, nullptr), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  EXPECT_EQ(host[0], 0);

  ASSERT_EQ(enqueue_set(array, 1, nullptr), cudaSuccess);
  ASSERT_EQ(enqueue_read(array, host, blocking.get()), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(blocking.get()), cudaSuccess);
  EXPECT_EQ(host[0], 0x01010101);
}

TEST_F(Runtime, FreeingWaitsForTheDevice) {
  int* memory = nullptr;
  std::vector<int> host(4);
  const Stream stream;
  ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&memory), kBytes), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(memory, 1, kBytes, stream.get()), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(host.data(), memory, kBytes, cudaMemcpyDefault, stream.get()),
            cudaSuccess);
  ASSERT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(host[3], 0x01010101);
}

TEST_F(Runtime, CopiesOutsideOfAnAllocationAreRefused) {
  const DeviceArray<int> array(4);
  std::vector<int> host(8);
  EXPECT_EQ(cudaMemcpy(host.data(), array.data(), 5 * sizeof(int), cudaMemcpyDefault),
            cudaErrorInvalidValue);
  EXPECT_THAT(last_report(), HasSubstr("byte 19 of an allocation of 16 bytes"));
  EXPECT_EQ(cudaMemset(array.data() + 3, 0, 8), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(host.data(), 0, 4), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), array.data(), 4, cudaMemcpyHostToDevice),
            cudaErrorInvalidMemcpyDirection);
}

TEST_F(Runtime, CopiesBetweenAllocationsKeepWhatWasNeverWritten) {
  const DeviceArray<int> from(64);
  const DeviceArray<int> to(std::vector<int>(64, 1));
  const DeviceArray<int> out(64);
  ASSERT_EQ(cudaMemcpy(to.data(), from.data(), 64 * sizeof(int), cudaMemcpyDeviceToDevice),
            cudaSuccess);
  faults::read(to.data(), out.data());
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), HasSubstr("uninitialised read"));
}

TEST_F(Runtime, FreeingTwiceOrWhatWasNotAllocatedIsRefused) {
  void* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 16), cudaSuccess);
  ASSERT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaErrorInvalidValue);
  int host = 0;
  EXPECT_EQ(cudaFree(&host), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
}

TEST_F(Runtime, MemoryRunsOut) {
  std::size_t free = 0;
  std::size_t total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, total + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(memory, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);  // not sticky
}

TEST_F(Runtime, LaunchesOutOfRangeAreRefused) {
  const DeviceArray<int> array(std::vector<int>(4));
  faults::copy_in_three_dimensions(array.data(), array.data(), dim3(1), dim3(1025));
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  faults::copy_in_three_dimensions(array.data(), array.data(), dim3(0), dim3(1));
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  faults::copy_in_three_dimensions(array.data(), array.data(), dim3(1, 65536), dim3(1));
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
}

TEST_F(Runtime, AKernelWithoutATranslationIsRefused) {
  EXPECT_EQ(kernel("nobody"), nullptr);
  const int key = 0;
  EXPECT_EQ(cudaLaunchKernel(&key, 1, 1, nullptr, 0, nullptr), cudaErrorInvalidDeviceFunction);
}

TEST_F(Runtime, TheHostCannotTouchDeviceMemory) {
  const DeviceArray<int> array(std::vector<int>(4));
  EXPECT_DEATH(
      {
        const volatile int value = *array.data();
        static_cast<void>(value);
      },
      "");
}

TEST_F(Runtime, ThreadsMayCallAtTheSameTime) {
  std::vector<std::thread> threads;
  threads.reserve(4);
  std::vector<int> results(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([i, &results] {
      const Stream stream;
      for (int k = 0; k < 50; ++k) {
        int* memory = nullptr;
        std::vector<int> host(4);
        cudaMalloc(reinterpret_cast<void**>(&memory), kBytes);
        cudaMemsetAsync(memory, i, kBytes, stream.get());
        cudaMemcpyAsync(host.data(), memory, kBytes, cudaMemcpyDefault, stream.get());
        cudaStreamSynchronize(stream.get());
        results[static_cast<std::size_t>(i)] += host[0] == i * 0x01010101 ? 1 : 0;
        cudaFree(memory);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(results, std::vector<int>(4, 50));
}

TEST_F(Runtime, ErrorsHaveNames) {
  EXPECT_STREQ(cudaGetErrorName(cudaErrorIllegalAddress), "cudaErrorIllegalAddress");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorIllegalAddress),
               "an illegal memory access was encountered");
}

}  // namespace
}  // namespace velum::emulation
