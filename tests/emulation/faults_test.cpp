// Each check of the emulation finds a fault that was planted for it, and is silent on the same
// kernel without the fault, whatever the order of the threads.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "device_fixture.h"
#include "fault_kernels.h"

namespace velum::emulation {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kThreads = 64;

std::vector<int> counting(int size) {
  std::vector<int> values(static_cast<std::size_t>(size));
  std::iota(values.begin(), values.end(), 1);
  return values;
}

/// Runs what is enqueued; the error is the one that a program would see at its next call.
cudaError_t run() { return cudaDeviceSynchronize(); }

/// "name the fault, the kernel and the line".
auto names(const std::string& fault, const std::string& kernel) {
  return AllOf(HasSubstr(fault), HasSubstr("in kernel"), HasSubstr(kernel),
               HasSubstr("fault_kernels.cu:" + std::to_string(faults::line_of_fault())),
               HasSubstr(".ptx:"), HasSubstr("VELUM_EMULATION_SEED="));
}

class Faults : public EmulatedDeviceUnderSeeds {};

TEST_P(Faults, ADroppedSyncthreadsIsARaceOrAnUninitialisedRead) {
  const DeviceArray<int> in(counting(kThreads));
  const DeviceArray<int> out(1);
  faults::sum(in.data(), out.data(), true);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host()[0], kThreads * (kThreads + 1) / 2);

  faults::sum(in.data(), out.data(), false);
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  // Thread 0 reads before others write, after them, or in between: the order decides which.
  const std::string report = last_report();
  if (report.find("race: write") != std::string::npos) {
    EXPECT_THAT(report, HasSubstr("read there, and no barrier stands between"));
  } else {
    EXPECT_THAT(report, ::testing::AnyOf(names("shared memory race", "sum_kernel"),
                                         names("uninitialised read", "sum_kernel")));
  }
}

TEST_P(Faults, ADroppedSyncwarpIsFound) {
  const std::vector<int> values = counting(kThreads);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(kThreads);
  faults::rotate_in_warp(in.data(), out.data(), true);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  const std::vector<int> rotated = out.to_host();
  for (int i = 0; i < kThreads; ++i) {
    EXPECT_EQ(rotated[static_cast<std::size_t>(i)],
              values[static_cast<std::size_t>((i & ~31) + ((i + 1) & 31))]);
  }

  faults::rotate_in_warp(in.data(), out.data(), false);
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), HasSubstr("rotate_kernel"));
}

TEST_P(Faults, BytesSideBySideAreNoRace) {
  std::vector<unsigned char> bytes(kThreads);
  std::iota(bytes.begin(), bytes.end(), static_cast<unsigned char>(0));
  const DeviceArray<unsigned char> in(bytes);
  const DeviceArray<unsigned char> out(kThreads);
  faults::reverse_bytes(in.data(), out.data());
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host(), std::vector<unsigned char>(bytes.rbegin(), bytes.rend()));
}

TEST_P(Faults, AtomicAdditionsAreNoRaceAndPlainOnesAre) {
  const DeviceArray<int> out(1);
  faults::count(out.data(), true);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host()[0], kThreads);

  faults::count(out.data(), false);
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), HasSubstr("shared memory race"));
}

TEST_P(Faults, AnIndexOffByOneInGlobalMemoryIsFound) {
  const DeviceArray<int> exact(kThreads - 1);
  faults::write_too_far(exact.data(), kThreads - 2);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  faults::write_too_far(exact.data(), kThreads - 1);
  EXPECT_EQ(run(), cudaErrorIllegalAddress);
  EXPECT_THAT(last_report(), names("illegal address: write of 4 bytes", "write_too_far_kernel"));
  EXPECT_THAT(last_report(), HasSubstr("byte 252 of an allocation of 252 bytes"));
  EXPECT_THAT(last_report(), HasSubstr("thread (63, 0, 0)"));
}

TEST_P(Faults, AnIndexOffByOneInSharedMemoryIsFound) {
  const DeviceArray<int> out(kThreads);
  faults::read_shared_too_far(out.data());
  EXPECT_EQ(run(), cudaErrorIllegalAddress);
  EXPECT_THAT(last_report(), names("illegal address", "read_shared_too_far_kernel"));
}

TEST_P(Faults, AnUninitialisedReadOfGlobalMemoryIsFound) {
  const DeviceArray<int> in(kThreads);
  const DeviceArray<int> out(kThreads);
  faults::read(in.data(), out.data());
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), names("uninitialised read", "read_kernel"));
}

TEST_P(Faults, AnUninitialisedReadOfSharedMemoryIsFound) {
  const DeviceArray<int> out(kThreads);
  faults::read_unwritten_shared(out.data());
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), names("uninitialised read", "read_unwritten_shared_kernel"));
  EXPECT_THAT(last_report(), HasSubstr("thread (4, 0, 0)"));
}

TEST_P(Faults, AHostPointerIsFound) {
  std::vector<int> host = counting(kThreads);
  const DeviceArray<int> out(kThreads);
  faults::read(host.data(), out.data());
  EXPECT_EQ(run(), cudaErrorIllegalAddress);
  EXPECT_THAT(last_report(), names("a host pointer?", "read_kernel"));
}

TEST_P(Faults, ANullPointerIsFound) {
  const DeviceArray<int> out(kThreads);
  faults::read(nullptr, out.data());
  EXPECT_EQ(run(), cudaErrorIllegalAddress);
  EXPECT_THAT(last_report(), HasSubstr("a null pointer"));
}

TEST_P(Faults, AReadOfFreedMemoryIsFound) {
  const DeviceArray<int> out(kThreads);
  int* freed = nullptr;
  ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&freed), kThreads * sizeof(int)), cudaSuccess);
  ASSERT_EQ(cudaMemset(freed, 0, kThreads * sizeof(int)), cudaSuccess);
  ASSERT_EQ(cudaFree(freed), cudaSuccess);
  faults::read(freed, out.data());
  EXPECT_EQ(run(), cudaErrorIllegalAddress);
  EXPECT_THAT(last_report(), names("a freed allocation", "read_kernel"));
}

TEST_P(Faults, AMisalignedReadIsFound) {
  const DeviceArray<char> in(std::vector<char>(16));
  const DeviceArray<long long> out(1);
  faults::read_misaligned(in.data(), out.data());
  EXPECT_EQ(run(), cudaErrorMisalignedAddress);
  EXPECT_THAT(last_report(), names("misaligned address", "read_misaligned_kernel"));
}

TEST_P(Faults, DivergedBarriersAreADeadlock) {
  const DeviceArray<int> out(kThreads);
  faults::diverge_at_barrier(out.data());
  EXPECT_EQ(run(), cudaErrorLaunchTimeout);
  EXPECT_THAT(last_report(), names("deadlock", "diverge_kernel"));
}

TEST_P(Faults, AMissingMemberOfAWarpOperationIsADeadlock) {
  const DeviceArray<int> out(kThreads);
  faults::leave_lanes_out(out.data());
  EXPECT_EQ(run(), cudaErrorLaunchTimeout);
  EXPECT_THAT(last_report(), names("deadlock", "leave_lanes_out_kernel"));
  EXPECT_THAT(last_report(), HasSubstr("at the block barrier"));
}

TEST_P(Faults, AMaskWithoutTheCallerIsFound) {
  const DeviceArray<int> out(kThreads);
  faults::shuffle_without_itself(out.data());
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), names("is not in its own mask", "shuffle_without_itself_kernel"));
}

TEST_P(Faults, AShuffleFromALaneOutsideOfTheMaskIsFound) {
  const DeviceArray<int> out(kThreads);
  faults::shuffle_from_outside(out.data());
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), names("which does not take part", "shuffle_from_outside_kernel"));
}

TEST_P(Faults, LanesThatHaveExitedAreNotWaitedFor) {
  const DeviceArray<int> out(std::vector<int>(kThreads, 0));
  faults::vote_after_exit(out.data());
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host()[15], 0x5555);
  EXPECT_EQ(out.to_host()[16], 0);
}

TEST_P(Faults, AnIndexOutsideOfALocalArrayIsFound) {
  const DeviceArray<int> out(counting(8));
  faults::read_local(out.data(), 7);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host()[0], 8);
  faults::read_local(out.data(), 8);
  EXPECT_EQ(run(), cudaErrorIllegalAddress);
  EXPECT_THAT(last_report(), names("of local memory", "read_local_kernel"));
}

TEST_P(Faults, AnIntegerDivisionByZeroIsFound) {
  const DeviceArray<int> out(1);
  faults::divide(out.data(), 2);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host()[0], 3);
  faults::divide(out.data(), 0);
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), names("division by zero", "divide_kernel"));
}

TEST_P(Faults, AFailedAssertionSaysWhatFailed) {
  faults::check_value(1);
  ASSERT_EQ(run(), cudaSuccess) << last_report();
  faults::check_value(2);
  EXPECT_EQ(run(), cudaErrorAssert);
  EXPECT_THAT(last_report(), AllOf(HasSubstr("value == 1"), HasSubstr("fault_kernels.cu")));
}

TEST_P(Faults, ATrapEndsTheKernel) {
  faults::stop();
  EXPECT_EQ(run(), cudaErrorLaunchFailure);
  EXPECT_THAT(last_report(), HasSubstr("trap"));
}

TEST_P(Faults, AreStickyUntilReset) {
  const DeviceArray<int> out(1);
  faults::stop();
  EXPECT_EQ(last_report(), "");  // nothing has run yet
  EXPECT_EQ(cudaStreamSynchronize(nullptr), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  void* pointer = nullptr;
  EXPECT_EQ(cudaMalloc(&pointer, 4), cudaErrorLaunchFailure);
  reset();
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_THAT(last_report(), IsEmpty());
  faults::divide(out.data(), 1);
  EXPECT_EQ(run(), cudaSuccess) << last_report();
  EXPECT_EQ(out.to_host()[0], 7);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Faults, ::testing::Values(1, 2, 3, 0xDEADBEEF));

class Kernels : public EmulatedDevice {};

TEST_F(Kernels, RunInThreeDimensions) {
  const std::vector<int> values = counting(2 * 4 * 3 * 3 * 2 * 5);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(values.size());
  faults::copy_in_three_dimensions(in.data(), out.data(), dim3(2, 3, 2), dim3(4, 3, 5));
  EXPECT_EQ(out.to_host(), values);
}

TEST_F(Kernels, CallFunctionsAndRecurse) {
  std::vector<int> values(kThreads, 5);
  values[3] = 10;
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(kThreads);
  faults::factorial(in.data(), out.data());
  EXPECT_EQ(out.to_host()[0], 120);
  EXPECT_EQ(out.to_host()[3], 3628800);
}

TEST_F(Kernels, UseDynamicSharedMemoryUpToTheLimit) {
  const std::vector<int> values = counting(12 << 10);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(values.size());
  ASSERT_EQ(faults::reverse_in_dynamic_shared(in.data(), out.data(), 12 << 10), cudaSuccess);
  EXPECT_EQ(out.to_host(), std::vector<int>(values.rbegin(), values.rend()));
  EXPECT_EQ(faults::reverse_in_dynamic_shared(in.data(), out.data(), (12 << 10) + 1),
            cudaErrorInvalidValue);
}

TEST_F(Kernels, UseAsMuchDynamicSharedMemoryAsWasAllowed) {
  constexpr int kOptIn = 227 << 10;
  constexpr int kSize = kOptIn / 4;
  const std::vector<int> values = counting(kSize);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(values.size());
  ASSERT_EQ(faults::allow_dynamic_shared(kOptIn - 4), cudaSuccess);
  EXPECT_EQ(faults::reverse_in_dynamic_shared(in.data(), out.data(), kSize), cudaErrorInvalidValue);
  ASSERT_EQ(faults::allow_dynamic_shared(kOptIn), cudaSuccess);
  ASSERT_EQ(faults::reverse_in_dynamic_shared(in.data(), out.data(), kSize), cudaSuccess);
  EXPECT_EQ(out.to_host(), std::vector<int>(values.rbegin(), values.rend()));
  EXPECT_EQ(faults::allow_dynamic_shared(kOptIn + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  ASSERT_EQ(faults::allow_dynamic_shared(48 << 10), cudaSuccess);  // as it was
}

TEST_F(Kernels, ReadConstantsAndKeepDeviceVariables) {
  const int table[] = {10, 20, 30, 40};
  faults::set_table(table);
  const int before = faults::calls_of_look_up();
  const DeviceArray<int> in(std::vector<int>(kThreads, 2));
  const DeviceArray<int> out(kThreads);
  faults::look_up(in.data(), out.data());
  EXPECT_EQ(out.to_host(), std::vector<int>(kThreads, 30));
  EXPECT_EQ(faults::calls_of_look_up(), before + kThreads);
}

TEST_F(Kernels, Print) {
  ::testing::internal::CaptureStdout();
  faults::print(7);
  EXPECT_EQ(run(), cudaSuccess);
  std::fflush(stdout);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "value 7, half 3.50, text\n");
}

}  // namespace
}  // namespace velum::emulation
