// Barriers for part of a block, mbarriers and asynchronous copies: what they do, in any order of
// threads and copies, and that a mistake in their use is found.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "device_fixture.h"
#include "synchronisation_kernels.h"

namespace velum::emulation::synchronisation {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

constexpr int kHalf = kThreads / 2;

std::vector<int> counting(int size) {
  std::vector<int> values(static_cast<std::size_t>(size));
  std::iota(values.begin(), values.end(), 1);
  return values;
}
/// Each part of `size` values reversed.
std::vector<int> parts_reversed(std::vector<int> values, int size) {
  for (auto start = values.begin(); start != values.end(); start += size) {
    std::reverse(start, start + size);
  }
  return values;
}

class Synchronisation : public EmulatedDeviceUnderSeeds {
 protected:
  /// Runs what is enqueued.
  static void expect_success() { ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << last_report(); }
  template <typename Matcher>
  static void expect_fault(cudaError_t error, const Matcher& report) {
    EXPECT_EQ(cudaDeviceSynchronize(), error);
    EXPECT_THAT(last_report(), report);
    EXPECT_THAT(last_report(),
                AllOf(HasSubstr("synchronisation_kernels.cu:"), HasSubstr("in kernel")));
    reset();
  }
};

const auto kRace = HasSubstr("shared memory race");
const auto kDeadlock = HasSubstr("deadlock");
const auto kMisuse = HasSubstr("misuse of a barrier");
const auto kUninitialised = HasSubstr("uninitialised read");
const auto kUnwaited = HasSubstr("asynchronous copy that was not waited for");

TEST_P(Synchronisation, NamedBarriersOrderProducersAndConsumers) {
  const std::vector<int> values = counting(kRounds * kHalf);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(values.size());
  produce_and_consume(in.data(), out.data(), Mistake::kNone);
  expect_success();
  EXPECT_EQ(out.to_host(), parts_reversed(values, kHalf));
}

TEST_P(Synchronisation, MistakesAtNamedBarriersAreFound) {
  const DeviceArray<int> in(counting(kRounds * kHalf));
  const DeviceArray<int> out(kRounds * kHalf);
  produce_and_consume(in.data(), out.data(), Mistake::kNoWait);
  // Nobody fills the barrier of the producers' second round either; what is seen first depends.
  expect_fault(cudaErrorLaunchFailure, AnyOf(kRace, kUninitialised));
  produce_and_consume(in.data(), out.data(), Mistake::kNoWaitForEmpty);
  expect_fault(cudaErrorLaunchFailure, kRace);
  produce_and_consume(in.data(), out.data(), Mistake::kWrongCount);
  expect_fault(
      cudaErrorLaunchFailure,
      AllOf(kMisuse, AnyOf(HasSubstr("barrier 1 for 96 threads, at which others wait for 128"),
                           HasSubstr("barrier 1 for 128 threads, at which others wait for 96"))));
  produce_and_consume(in.data(), out.data(), Mistake::kWrongBarrier);
  expect_fault(
      cudaErrorLaunchTimeout,
      AllOf(kDeadlock, HasSubstr("at barrier 5 for 128 threads, of which 64 have arrived")));
}

TEST_P(Synchronisation, ANamedBarrierOrdersItsParticipantsAlone) {
  const std::vector<int> values = counting(kThreads);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(kThreads);
  reverse_halves(in.data(), out.data(), Mistake::kNone);
  expect_success();
  EXPECT_EQ(out.to_host(), parts_reversed(values, kHalf));
  reverse_halves(in.data(), out.data(), Mistake::kNoWait);
  expect_fault(cudaErrorLaunchFailure, kRace);
}

TEST_P(Synchronisation, NamedBarriersReduceOverTheirParticipants) {
  for (const unsigned step : {1U, 3U, 64U, 1000U}) {
    std::vector<unsigned> predicates(kThreads);
    unsigned count = 0;
    for (unsigned i = 0; i < kThreads; ++i) {
      predicates[i] = i % step == 0 && step != 1000 ? 1 : 0;
      if (i >= kHalf) count += predicates[i];
    }
    const DeviceArray<unsigned> in(predicates);
    const DeviceArray<unsigned> out(std::vector<unsigned>(3 * kThreads, 99));
    reduce_part(in.data(), out.data());
    expect_success();
    const std::vector<unsigned> results = out.to_host();
    for (unsigned i = 0; i < kThreads; ++i) {
      EXPECT_EQ(results[i], i < kHalf ? 99 : count);
      EXPECT_EQ(results[kThreads + i], i < kHalf ? 99U : count == kHalf ? 1U : 0U);
      EXPECT_EQ(results[2 * kThreads + i], i < kHalf ? 99U : count != 0 ? 1U : 0U);
    }
  }
}

TEST_P(Synchronisation, OnlyUnalignedBarriersMayBeReachedAtDifferentPlaces) {
  const DeviceArray<int> out(kHalf);
  reach_at_different_places(out.data(), Mistake::kNone);
  expect_success();
  const std::vector<int> results = out.to_host();
  for (int i = 0; i < kHalf; ++i) {
    EXPECT_EQ(results[static_cast<std::size_t>(i)], (i % 2 == 0 ? 1 : -1) * (kHalf - 1 - i));
  }
  reach_at_different_places(out.data(), Mistake::kWrongCount);
  expect_fault(cudaErrorLaunchTimeout, kDeadlock);
}

TEST_P(Synchronisation, ABarrierIsForAllOrForANumber) {
  misuse_barrier(Mistake::kWrongBarrier);
  expect_fault(cudaErrorLaunchFailure, kMisuse);
  misuse_barrier(Mistake::kWrongCount);
  expect_fault(cudaErrorLaunchFailure, AllOf(kMisuse, HasSubstr("barrier 16, expected 0 to 15")));
}

TEST_P(Synchronisation, AnMbarrierGoesThroughItsPhases) {
  const DeviceArray<unsigned> answers(std::vector<unsigned>(kAnswers, 99));
  walk_through_phases(answers.data());
  expect_success();
  // In the order of the kernel, from the definition of the instructions in the PTX manual.
  const std::vector<unsigned> expected = {
      3,  0, 0, 1,     // three are pending; the phase is not complete, the one before is
      1,  1, 0,        // complete by the two others
      3,  1, 0, 0, 1,  // counts before each arrival; bytes: -48 + 64 = 16, + 16, - 16, - 16
      3,  1,           // one drops out
      2,  0, 1, 1,     // two remain
      77, 1};
  EXPECT_EQ(answers.to_host(), expected);
}

TEST_P(Synchronisation, MbarriersOrderTheirThreads) {
  const std::vector<int> values = counting(kThreads);
  const DeviceArray<int> in(values);
  for (const bool by_parity : {false, true}) {
    const DeviceArray<int> out(kThreads);
    rotate_by_mbarrier(in.data(), out.data(), by_parity, Mistake::kNone);
    expect_success();
    const std::vector<int> rotated = out.to_host();
    for (int i = 0; i < kThreads; ++i) {
      EXPECT_EQ(rotated[static_cast<std::size_t>(i)], (i + kRounds) % kThreads + 1);
    }
  }
}

TEST_P(Synchronisation, MistakesAtMbarriersAreFound) {
  const DeviceArray<int> in(counting(kThreads));
  const DeviceArray<int> out(kThreads);
  const auto rotate = [&](bool by_parity, Mistake mistake) {
    rotate_by_mbarrier(in.data(), out.data(), by_parity, mistake);
  };
  rotate(true, Mistake::kNoWait);
  expect_fault(cudaErrorLaunchFailure, AnyOf(kRace, kMisuse));
  rotate(true, Mistake::kNoWaitForEmpty);
  expect_fault(cudaErrorLaunchFailure, kRace);
  rotate(true, Mistake::kWrongPhase);  // goes through at once, or waits for the phase after
  EXPECT_NE(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_THAT(last_report(), AnyOf(kRace, kMisuse, kDeadlock));
  reset();
  for (const bool by_parity : {false, true}) {
    rotate(by_parity, Mistake::kTooManyExpected);
    expect_fault(cudaErrorLaunchTimeout,
                 AllOf(kDeadlock, HasSubstr("in phase 0, which waits for 1 of 129 arrivals")));
  }
  rotate(true, Mistake::kWrongCount);  // the phase ends one thread too early
  EXPECT_NE(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_THAT(last_report(), AnyOf(kRace, kMisuse, kDeadlock, kUninitialised));
  reset();
  rotate(false, Mistake::kNoSync);
  expect_fault(cudaErrorLaunchFailure,
               AnyOf(AllOf(kRace, HasSubstr("initialised the mbarrier")),
                     AllOf(kMisuse, HasSubstr("is no mbarrier; mbarrier.init comes first"))));
  rotate(false, Mistake::kNoInit);
  expect_fault(cudaErrorLaunchFailure, AllOf(kMisuse, HasSubstr("is no mbarrier")));
  rotate(false, Mistake::kUseAfterInval);
  expect_fault(cudaErrorLaunchFailure, AllOf(kMisuse, HasSubstr("is no mbarrier")));
  rotate(false, Mistake::kStaleState);
  expect_fault(cudaErrorLaunchFailure,
               AllOf(kMisuse, HasSubstr("a state of phase 1 of an mbarrier in phase ")));
  rotate(false, Mistake::kWaitOnce);  // try_wait may give up
  EXPECT_NE(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_THAT(last_report(), AnyOf(kRace, kMisuse, kUninitialised));
  reset();
  rotate(false, Mistake::kOrdinaryAccess);
  expect_fault(cudaErrorLaunchFailure,
               AllOf(kMisuse, HasSubstr("an mbarrier stands there"),
                     HasSubstr("synchronisation_kernels.cu:" + std::to_string(line_of_fault()))));
}

TEST_P(Synchronisation, AnMbarrierOrdersThoseWhoWaitAfterThoseWhoArrive) {
  const std::vector<int> values = counting(kThreads);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(std::vector<int>(kThreads, 0));
  read_upper_half(in.data(), out.data(), Mistake::kNone);
  expect_success();
  for (int i = 0; i < kHalf; ++i) {
    EXPECT_EQ(out.to_host()[static_cast<std::size_t>(i)], kThreads - i);
  }
  read_upper_half(in.data(), out.data(), Mistake::kNoSync);
  expect_fault(cudaErrorLaunchFailure, kRace);
  read_upper_half(in.data(), out.data(), Mistake::kNoWait);
  expect_fault(cudaErrorLaunchFailure, kRace);
}

std::vector<unsigned char> bytes(int count) {
  std::vector<unsigned char> values(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    values[static_cast<std::size_t>(i)] = static_cast<unsigned char>(7 * i + i / 256 + 1);
  }
  return values;
}

TEST_P(Synchronisation, AsynchronousCopiesAreThereAfterTheWait) {
  for (const int width : {4, 8, 16}) {
    const std::vector<unsigned char> values = bytes(kThreads * width);
    const DeviceArray<unsigned char> in(values);
    for (const int filled : {width, width / 2, 3, 0}) {
      for (const Waiting waiting :
           {Waiting::kGroup, Waiting::kAll, Waiting::kMbarrier, Waiting::kMbarrierCounted}) {
        const DeviceArray<unsigned char> out(values.size());
        copy_elements(in.data(), out.data(), width, filled, waiting, Mistake::kNone);
        expect_success();
        std::vector<unsigned char> expected(values.size());
        for (int i = 0; i < kThreads; ++i) {
          for (int k = 0; k < filled; ++k) {
            expected[static_cast<std::size_t>(i * width + k)] =
                values[static_cast<std::size_t>((kThreads - 1 - i) * width + k)];
          }
        }
        EXPECT_EQ(out.to_host(), expected) << width << ", " << filled;
      }
    }
  }
}

TEST_P(Synchronisation, MistakesAtAsynchronousCopiesAreFound) {
  const DeviceArray<unsigned char> in(bytes(kThreads * 16));
  const DeviceArray<unsigned char> out(kThreads * 16);
  const auto copy = [&](Waiting waiting, Mistake mistake) {
    copy_elements(in.data(), out.data(), 16, 16, waiting, mistake);
  };
  copy(Waiting::kGroup, Mistake::kNoWait);
  expect_fault(cudaErrorLaunchFailure, kUnwaited);
  copy(Waiting::kGroup, Mistake::kNoCommit);
  expect_fault(cudaErrorLaunchFailure, kUnwaited);
  copy(Waiting::kGroup, Mistake::kWrongGroup);
  expect_fault(cudaErrorLaunchFailure, kUnwaited);
  copy(Waiting::kMbarrier, Mistake::kNoWait);
  expect_fault(cudaErrorLaunchFailure, kUnwaited);
  // Each thread waits for its own copy, and reads that of another.
  copy(Waiting::kGroup, Mistake::kNoSync);
  expect_fault(cudaErrorLaunchFailure, AnyOf(kUnwaited, kUninitialised));
  copy(Waiting::kMbarrierCounted, Mistake::kTooManyExpected);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchTimeout);
  reset();
  const DeviceArray<unsigned char> unwritten(kThreads * 16);
  copy_elements(unwritten.data(), out.data(), 16, 16, Waiting::kGroup, Mistake::kNone);
  expect_fault(cudaErrorLaunchFailure, kUninitialised);
  copy_elements(in.data() + 4, out.data(), 16, 16, Waiting::kGroup, Mistake::kNone);
  expect_fault(cudaErrorMisalignedAddress, HasSubstr("misaligned address"));
  copy_elements(in.data() + 16, out.data(), 16, 16, Waiting::kGroup, Mistake::kNone);
  expect_fault(cudaErrorIllegalAddress, HasSubstr("byte 2048 of an allocation of 2048 bytes"));
}

TEST_P(Synchronisation, TwoStagesOfCopiesKeepTheirGroups) {
  const std::vector<int> values = counting(kRounds * kThreads);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(kThreads);
  sum_rows(in.data(), out.data(), Mistake::kNone);
  expect_success();
  const std::vector<int> sums = out.to_host();
  for (int i = 0; i < kThreads; ++i) {
    int sum = 0;
    for (int row = 0; row < kRounds; ++row) {
      sum += values[static_cast<std::size_t>(row * kThreads + kThreads - 1 - i)];
    }
    EXPECT_EQ(sums[static_cast<std::size_t>(i)], sum);
  }
  sum_rows(in.data(), out.data(), Mistake::kWrongGroup);
  expect_fault(cudaErrorLaunchFailure, kUnwaited);
  sum_rows(in.data(), out.data(), Mistake::kNoWaitForEmpty);
  expect_fault(cudaErrorLaunchFailure, AnyOf(kRace, kUnwaited));
}

TEST_P(Synchronisation, BulkCopiesAreThereAfterTheWait) {
  const std::vector<int> values = counting(kThreads);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(kThreads);
  reverse_by_bulk_copies(in.data(), out.data(), Mistake::kNone);
  expect_success();
  EXPECT_EQ(out.to_host(), parts_reversed(values, kThreads));
}

TEST_P(Synchronisation, MistakesAtBulkCopiesAreFound) {
  const DeviceArray<int> in(counting(kThreads));
  const DeviceArray<int> out(kThreads);
  const auto reverse = [&](Mistake mistake) {
    reverse_by_bulk_copies(in.data(), out.data(), mistake);
  };
  reverse(Mistake::kNoWait);
  expect_fault(cudaErrorLaunchFailure, kUnwaited);
  reverse(Mistake::kWrongPhase);
  expect_fault(cudaErrorLaunchFailure, AnyOf(kUnwaited, kUninitialised));
  reverse(Mistake::kTooManyExpected);
  expect_fault(cudaErrorLaunchTimeout,
               AllOf(kDeadlock, AnyOf(HasSubstr("tx-count of 16"), HasSubstr("tx-count of 528"))));
  reverse(Mistake::kNoSync);
  expect_fault(cudaErrorLaunchFailure, AnyOf(kRace, kUninitialised, kUnwaited));
  reverse(Mistake::kNoWaitForEmpty);
  expect_fault(cudaErrorLaunchFailure, AllOf(kUnwaited, HasSubstr("a bulk copy reads there")));
  reverse(Mistake::kNoCommit);
  expect_fault(cudaErrorLaunchFailure, kUnwaited);
  reverse_by_bulk_copies(in.data() + 1, out.data(), Mistake::kNone);
  expect_fault(cudaErrorMisalignedAddress, HasSubstr("expected multiples of 16"));
  reverse_by_bulk_copies(in.data(), out.data() + 4, Mistake::kNone);
  expect_fault(cudaErrorIllegalAddress, HasSubstr("of an allocation of 512 bytes"));
}

TEST_P(Synchronisation, ClassesOfTheStandardLibraryWork) {
  const std::vector<int> values = counting(kRounds * kThreads);
  const DeviceArray<int> in(values);
  const DeviceArray<int> out(std::vector<int>(values.size(), 0));
  reverse_by_cuda_pipeline(in.data(), out.data());
  expect_success();
  EXPECT_EQ(out.to_host(), parts_reversed(values, kThreads));
  reverse_by_cuda_barrier(in.data(), out.data());
  expect_success();
  for (int i = 0; i < kThreads; ++i) {
    EXPECT_EQ(out.to_host()[static_cast<std::size_t>(i)], kThreads - i);
  }
}

TEST_P(Synchronisation, AnAtomicAdditionToUnwrittenSharedMemoryIsFound) {
  const DeviceArray<int> out(1);
  for (const bool synchronises : {false, true}) {
    add_to_unwritten(out.data(), synchronises);
    expect_fault(cudaErrorLaunchFailure,
                 AllOf(kUninitialised,
                       HasSubstr("synchronisation_kernels.cu:" + std::to_string(line_of_fault()))));
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Synchronisation, ::testing::Values(1, 2, 3, 0xDEADBEEF));

class Copies : public EmulatedDevice {};

TEST_F(Copies, ReadTheirSourceAtSomeMomentBeforeTheWait) {
  std::set<int> seen;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    set_seed(seed);
    const DeviceArray<int> in(std::vector<int>{1});
    const DeviceArray<int> out(1);
    overwrite_source(in.data(), out.data());
    seen.insert(out.to_host()[0]);
  }
  EXPECT_EQ(seen, (std::set<int>{1, 2}));
}

}  // namespace
}  // namespace velum::emulation::synchronisation
