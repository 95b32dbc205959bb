// The emulated CUDA runtime: order of streams and events, memory, errors.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "device_fixture.h"
#include "fault_kernels.h"

namespace velum::emulation {
namespace {

using ::testing::HasSubstr;

class Runtime : public EmulatedDevice {};

constexpr std::size_t kBytes = 4 * sizeof(int);

/// Four integers in page-locked host memory: copies read and write them when they run.
class Pinned {
 public:
  explicit Pinned(int value = 0) {
    EXPECT_EQ(cudaMallocHost(reinterpret_cast<void**>(&data_), kBytes), cudaSuccess);
    std::fill_n(data_, 4, value);
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { static_cast<void>(cudaFreeHost(data_)); }
  int* data() const { return data_; }
  int& operator[](int i) const { return data_[i]; }

 private:
  int* data_ = nullptr;
};

cudaError_t enqueue_set(const DeviceArray<int>& array, int byte, cudaStream_t stream) {
  return cudaMemsetAsync(array.data(), byte, kBytes, stream);
}
cudaError_t enqueue_read(const DeviceArray<int>& array, const Pinned& host, cudaStream_t stream) {
  return cudaMemcpyAsync(host.data(), array.data(), kBytes, cudaMemcpyDeviceToHost, stream);
}
cudaError_t enqueue_write(const DeviceArray<int>& array, const Pinned& host, cudaStream_t stream) {
  return cudaMemcpyAsync(array.data(), host.data(), kBytes, cudaMemcpyHostToDevice, stream);
}

/// Sets *to to *from in a stream. Unlike a copy it is not checked for races: it shows the order
/// alone.
cudaError_t enqueue_assignment(int* to, const int* from, cudaStream_t stream) {
  struct Assignment {
    int* to;
    const int* from;
  };
  return cudaLaunchHostFunc(
      stream,
      [](void* data) {
        const std::unique_ptr<Assignment> assignment(static_cast<Assignment*>(data));
        *assignment->to = *assignment->from;
      },
      new Assignment{to, from});
}
constexpr int kOne = 1;
constexpr int kTwo = 2;

/// The seeds of the tests below: a program that is right gives the same under each of them, one
/// that is wrong gives something else under some of them.
constexpr std::uint64_t kSeeds = 20;

/// What `program` gives under each of the seeds.
template <typename Program>
std::set<int> results_of(Program program) {
  std::set<int> results;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    set_seed(seed);
    results.insert(program());
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }
  return results;
}

TEST_F(Runtime, APinnedTargetIsWrittenWhenTheCopyRuns) {
  const auto program = [](bool wait) {
    const Stream stream;
    const DeviceArray<int> array(4);
    const Pinned host(7);
    EXPECT_EQ(enqueue_set(array, 0, stream.get()), cudaSuccess);
    EXPECT_EQ(enqueue_read(array, host, stream.get()), cudaSuccess);
    if (wait) {
      EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
    }
    return host[0];
  };
  EXPECT_EQ(results_of([&] { return program(true); }), (std::set<int>{0}));
  EXPECT_EQ(results_of([&] { return program(false); }), (std::set<int>{0, 7}));
}

TEST_F(Runtime, APinnedSourceIsReadWhenTheCopyRuns) {
  const auto program = [](bool wait) {
    const Stream stream;
    const DeviceArray<int> array(4);
    const Pinned host(1);
    EXPECT_EQ(enqueue_write(array, host, stream.get()), cudaSuccess);
    if (wait) {
      EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
    }
    host[0] = 2;
    EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
    return array.to_host()[0];
  };
  EXPECT_EQ(results_of([&] { return program(true); }), (std::set<int>{1}));
  EXPECT_EQ(results_of([&] { return program(false); }), (std::set<int>{1, 2}));
}

TEST_F(Runtime, APageableSourceMayChangeAfterTheCall) {
  EXPECT_EQ(results_of([] {
              const Stream stream;
              const DeviceArray<int> array(4);
              std::vector<int> host(4, 1);
              EXPECT_EQ(cudaMemcpyAsync(array.data(), host.data(), kBytes, cudaMemcpyDefault,
                                        stream.get()),
                        cudaSuccess);
              host.assign(4, 2);
              EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
              return array.to_host()[0];
            }),
            (std::set<int>{1}));
}

TEST_F(Runtime, APageableTargetIsWrittenWhenTheCallReturns) {
  EXPECT_EQ(results_of([] {
              const Stream stream;
              const DeviceArray<int> array(4);
              std::vector<int> host(4, 7);
              EXPECT_EQ(enqueue_set(array, 0, stream.get()), cudaSuccess);
              EXPECT_EQ(cudaMemcpyAsync(host.data(), array.data(), kBytes, cudaMemcpyDefault,
                                        stream.get()),
                        cudaSuccess);
              return host[0];
            }),
            (std::set<int>{0}));
}

TEST_F(Runtime, ABlockingCopyFromPageableMemoryMayReachTheDeviceLater) {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    set_seed(seed);
    for (const unsigned flags : {cudaStreamDefault, cudaStreamNonBlocking}) {
      const DeviceArray<int> array(std::vector<int>(4, 5));
      const Pinned host;
      const Stream stream(flags);
      const std::vector<int> values(4, 6);
      EXPECT_EQ(cudaMemcpy(array.data(), values.data(), kBytes, cudaMemcpyDefault), cudaSuccess);
      static_cast<void>(enqueue_read(array, host, stream.get()));
      if (flags == cudaStreamDefault) {
        EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
        EXPECT_EQ(host[0], 6);
      } else {
        EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
        EXPECT_THAT(last_report(), HasSubstr("global memory race"));
      }
      reset();
    }
  }
}

TEST_F(Runtime, RegisteredHostMemoryIsPinned) {
  int host = 7;
  cudaPointerAttributes attributes{};
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, &host), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  ASSERT_EQ(cudaHostRegister(&host, sizeof host, cudaHostRegisterDefault), cudaSuccess);
  ASSERT_EQ(cudaPointerGetAttributes(&attributes, &host), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  EXPECT_EQ(cudaHostRegister(&host, sizeof host, cudaHostRegisterDefault),
            cudaErrorHostMemoryAlreadyRegistered);
  ASSERT_EQ(cudaHostUnregister(&host), cudaSuccess);
  EXPECT_EQ(cudaHostUnregister(&host), cudaErrorHostMemoryNotRegistered);
}

TEST_F(Runtime, AMissingEventBetweenTwoStreamsIsSeen) {
  const auto program = [](bool with_event) {
    const Stream writer;
    const Stream reader;
    const EventHandle event;
    int value = 0;
    int seen = 0;
    EXPECT_EQ(enqueue_assignment(&value, &kOne, writer.get()), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(event.get(), writer.get()), cudaSuccess);
    if (with_event) {
      EXPECT_EQ(cudaStreamWaitEvent(reader.get(), event.get(), 0), cudaSuccess);
    }
    EXPECT_EQ(enqueue_assignment(&seen, &value, reader.get()), cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    return seen;
  };
  EXPECT_EQ(results_of([&] { return program(true); }), (std::set<int>{1}));
  EXPECT_EQ(results_of([&] { return program(false); }), (std::set<int>{0, 1}));
}

TEST_F(Runtime, AnEventIsWhatItIsWhenAStreamStartsToWaitForIt) {
  // The event is recorded again, behind work that waits for the reader: nobody waits for that.
  EXPECT_EQ(results_of([] {
              const Stream writer;
              const Stream reader;
              const EventHandle event;
              const EventHandle read;
              const DeviceArray<int> array(std::vector<int>(4, 5));
              const Pinned host;
              EXPECT_EQ(enqueue_set(array, 0, writer.get()), cudaSuccess);
              EXPECT_EQ(cudaEventRecord(event.get(), writer.get()), cudaSuccess);
              EXPECT_EQ(cudaStreamWaitEvent(reader.get(), event.get(), 0), cudaSuccess);
              EXPECT_EQ(enqueue_read(array, host, reader.get()), cudaSuccess);
              EXPECT_EQ(cudaEventRecord(read.get(), reader.get()), cudaSuccess);
              EXPECT_EQ(cudaStreamWaitEvent(writer.get(), read.get(), 0), cudaSuccess);
              EXPECT_EQ(enqueue_set(array, 1, writer.get()), cudaSuccess);
              EXPECT_EQ(cudaEventRecord(event.get(), writer.get()), cudaSuccess);
              EXPECT_EQ(cudaStreamSynchronize(reader.get()), cudaSuccess);
              return host[0];
            }),
            (std::set<int>{0}));
}

TEST_F(Runtime, AnEventThatWasNeverRecordedOrdersNothing) {
  const Stream stream;
  const EventHandle event;
  EXPECT_EQ(cudaStreamWaitEvent(stream.get(), event.get(), 0), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event.get()), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event.get()), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
}

TEST_F(Runtime, WorkBehindAnEventNeedNotRunBeforeTheEventIsWaitedFor) {
  EXPECT_EQ(results_of([] {
              const Stream stream;
              const EventHandle event;
              const DeviceArray<int> array(std::vector<int>(4, 5));
              const Pinned host;
              EXPECT_EQ(enqueue_read(array, host, stream.get()), cudaSuccess);
              EXPECT_EQ(cudaEventRecord(event.get(), stream.get()), cudaSuccess);
              EXPECT_EQ(enqueue_set(array, 0, stream.get()), cudaSuccess);
              EXPECT_EQ(enqueue_read(array, host, stream.get()), cudaSuccess);
              EXPECT_EQ(cudaEventSynchronize(event.get()), cudaSuccess);
              return host[0];
            }),
            (std::set<int>{0, 5}));
}

TEST_F(Runtime, TheDefaultStreamIsOrderedWithBlockingStreams) {
  const auto program = [](unsigned flags) {
    const Stream stream(flags);
    int value = 0;
    int first = 0;
    int second = 0;
    EXPECT_EQ(enqueue_assignment(&value, &kOne, stream.get()), cudaSuccess);
    EXPECT_EQ(enqueue_assignment(&first, &value, nullptr), cudaSuccess);
    EXPECT_EQ(enqueue_assignment(&value, &kTwo, nullptr), cudaSuccess);
    EXPECT_EQ(enqueue_assignment(&second, &value, stream.get()), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
    return 10 * first + second;
  };
  EXPECT_EQ(results_of([&] { return program(cudaStreamDefault); }), (std::set<int>{12}));
  const std::set<int> unordered = results_of([&] { return program(cudaStreamNonBlocking); });
  EXPECT_TRUE(unordered.contains(1));                             // the default stream first
  EXPECT_TRUE(unordered.contains(21) || unordered.contains(11));  // the other first
}

TEST_F(Runtime, TheDefaultStreamOfAThreadIsABlockingStreamOfItsOwn) {
  const auto program = [](cudaStream_t other) {
    int value = 0;
    int seen = 0;
    EXPECT_EQ(enqueue_assignment(&value, &kOne, cudaStreamPerThread), cudaSuccess);
    std::thread([&] { EXPECT_EQ(enqueue_assignment(&seen, &value, other), cudaSuccess); }).join();
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    return seen;
  };
  EXPECT_EQ(results_of([&] { return program(cudaStreamPerThread); }), (std::set<int>{0, 1}));
  EXPECT_EQ(results_of([&] { return program(cudaStreamLegacy); }), (std::set<int>{1}));
  EXPECT_EQ(cudaStreamDestroy(cudaStreamPerThread), cudaErrorInvalidResourceHandle);
}

TEST_F(Runtime, QueriesSayWhetherWorkHasRun) {
  EXPECT_EQ(results_of([] {
              const Stream stream;
              const EventHandle event;
              const DeviceArray<int> array(4);
              const Pinned host(7);
              EXPECT_EQ(enqueue_set(array, 0, stream.get()), cudaSuccess);
              EXPECT_EQ(enqueue_read(array, host, stream.get()), cudaSuccess);
              EXPECT_EQ(cudaEventRecord(event.get(), stream.get()), cudaSuccess);
              const cudaError_t first = cudaEventQuery(event.get());
              EXPECT_TRUE(first == cudaSuccess || first == cudaErrorNotReady);
              while (cudaEventQuery(event.get()) == cudaErrorNotReady) {
              }
              EXPECT_EQ(host[0], 0);
              while (cudaStreamQuery(stream.get()) == cudaErrorNotReady) {
              }
              EXPECT_EQ(cudaStreamQuery(stream.get()), cudaSuccess);
              // The default stream is not done before the blocking streams are.
              const Stream blocking(cudaStreamDefault);
              host[0] = 7;
              EXPECT_EQ(enqueue_read(array, host, blocking.get()), cudaSuccess);
              while (cudaStreamQuery(nullptr) == cudaErrorNotReady) {
              }
              EXPECT_EQ(host[0], 0);
              static_cast<void>(cudaGetLastError());
              return static_cast<int>(first);
            }),
            (std::set<int>{cudaSuccess, cudaErrorNotReady}));
}

TEST_F(Runtime, AStreamRunsItsWorkAfterItsDestruction) {
  EXPECT_EQ(results_of([] {
              const DeviceArray<int> array(std::vector<int>(4, 5));
              const Pinned host;
              const EventHandle event;
              cudaStream_t stream = nullptr;
              EXPECT_EQ(cudaStreamCreate(&stream), cudaSuccess);
              EXPECT_EQ(enqueue_read(array, host, stream), cudaSuccess);
              EXPECT_EQ(cudaEventRecord(event.get(), stream), cudaSuccess);
              EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
              EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
              EXPECT_EQ(cudaEventSynchronize(event.get()), cudaSuccess);
              return host[0];
            }),
            (std::set<int>{5}));
}

TEST_F(Runtime, AHostFunctionRunsInItsPlaceInTheStream) {
  struct Seen {
    int* host;
    int first = -1;
    cudaError_t call = cudaSuccess;
  };
  const Stream stream;
  const DeviceArray<int> array(std::vector<int>(4, 5));
  const Pinned host;
  Seen seen{host.data()};
  ASSERT_EQ(enqueue_read(array, host, stream.get()), cudaSuccess);
  ASSERT_EQ(cudaLaunchHostFunc(
                stream.get(),
                [](void* data) {
                  Seen& to = *static_cast<Seen*>(data);
                  to.first = to.host[0];
                  to.call = cudaDeviceSynchronize();
                },
                &seen),
            cudaSuccess);
  ASSERT_EQ(enqueue_set(array, 0, stream.get()), cudaSuccess);
  ASSERT_EQ(enqueue_read(array, host, stream.get()), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
  EXPECT_EQ(seen.first, 5);
  EXPECT_EQ(seen.call, cudaErrorNotPermitted);
  EXPECT_EQ(host[0], 0);
}

TEST_F(Runtime, AHostFunctionDoesNotRunAfterAnErrorAndACallbackDoes) {
  int callbacks = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    set_seed(seed);
    int function_runs = 0;
    cudaError_t status = cudaSuccess;
    faults::stop();
    // If the kernel has run already, the calls return its error and enqueue nothing.
    static_cast<void>(cudaLaunchHostFunc(
        nullptr, [](void* data) { ++*static_cast<int*>(data); }, &function_runs));
    const cudaError_t added = cudaStreamAddCallback(
        nullptr,
        [](cudaStream_t, cudaError_t error, void* data) {
          *static_cast<cudaError_t*>(data) = error;
        },
        &status, 0);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    EXPECT_EQ(function_runs, 0);
    EXPECT_EQ(status, added == cudaSuccess ? cudaErrorLaunchFailure : cudaSuccess);
    callbacks += added == cudaSuccess ? 1 : 0;
    reset();
  }
  EXPECT_GT(callbacks, 0);
}

TEST_F(Runtime, MemoryOfAStreamLivesFromItsAllocationToItsRelease) {
  const Stream stream;
  int* memory = nullptr;
  const Pinned host;
  ASSERT_EQ(cudaMallocAsync(reinterpret_cast<void**>(&memory), kBytes, stream.get()), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(memory, 1, kBytes, stream.get()), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(host.data(), memory, kBytes, cudaMemcpyDefault, stream.get()),
            cudaSuccess);
  ASSERT_EQ(cudaFreeAsync(memory, stream.get()), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
  EXPECT_EQ(host[3], 0x01010101);
  EXPECT_EQ(cudaFreeAsync(memory, stream.get()), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaErrorInvalidValue);
  EXPECT_THAT(last_report(), HasSubstr("no live allocation"));
}

TEST_F(Runtime, MemoryOfAStreamUsedByAnotherIsFound) {
  // Before its allocation, or after its release: out of bounds if it runs so, else a race.
  for (const bool release : {false, true}) {
    std::set<cudaError_t> errors;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      set_seed(seed);
      {
        const Stream owner;
        const Stream other;
        int* memory = nullptr;
        ASSERT_EQ(cudaMallocAsync(reinterpret_cast<void**>(&memory), kBytes, owner.get()),
                  cudaSuccess);
        if (release) {
          ASSERT_EQ(cudaStreamSynchronize(owner.get()), cudaSuccess);
        }
        static_cast<void>(cudaMemsetAsync(memory, 1, kBytes, other.get()));
        if (release) static_cast<void>(cudaFreeAsync(memory, owner.get()));
        errors.insert(cudaDeviceSynchronize());
      }
      reset();
    }
    EXPECT_EQ(errors, (std::set<cudaError_t>{cudaErrorLaunchFailure, cudaErrorIllegalAddress}));
  }
}

TEST_F(Runtime, TimeIsKnownWhenBothEventsHaveRun) {
  const Stream stream;
  const EventHandle begin(cudaEventDefault);
  const EventHandle end(cudaEventDefault);
  const EventHandle without_timing;
  float milliseconds = -1;
  ASSERT_EQ(cudaEventRecord(begin.get(), stream.get()), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()),
            cudaErrorInvalidResourceHandle);
  ASSERT_EQ(cudaEventRecord(end.get(), stream.get()), cudaSuccess);
  ASSERT_EQ(cudaEventSynchronize(end.get()), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  ASSERT_EQ(cudaEventRecord(without_timing.get(), stream.get()), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin.get(), without_timing.get()),
            cudaErrorInvalidResourceHandle);
}

TEST_F(Runtime, WhatIsNotSupportedIsRefused) {
  void* memory = nullptr;
  EXPECT_EQ(cudaHostAlloc(&memory, 4, cudaHostAllocMapped), cudaErrorNotSupported);
  EXPECT_THAT(last_report(), HasSubstr("mapped host memory"));
  cudaEvent_t event = nullptr;
  EXPECT_EQ(cudaEventCreateWithFlags(&event, cudaEventInterprocess | cudaEventDisableTiming),
            cudaErrorNotSupported);
}

TEST_F(Runtime, FreeingWaitsForTheDevice) {
  int* memory = nullptr;
  const Pinned host;
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
