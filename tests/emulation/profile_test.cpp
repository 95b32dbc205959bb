// The counts of profile_kernels.ptx, each worked out by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <numeric>
#include <ostream>
#include <string>
#include <vector>

#include "device_fixture.h"
#include "runtime/device.h"

namespace velum::emulation {

static std::ostream& operator<<(std::ostream& out, const GlobalRequests& x) {
  return out << x.requests << " requests, " << x.bytes << " bytes, " << x.sectors
             << " sectors where " << x.ideal_sectors << " do";
}
static std::ostream& operator<<(std::ostream& out, const SharedRequests& x) {
  return out << x.requests << " requests, " << x.wavefronts << " wavefronts of "
             << x.ideal_wavefronts;
}

namespace {

constexpr std::size_t kLoad = 0;
constexpr std::size_t kStore = 1;
constexpr std::size_t kAtomic = 2;
constexpr GlobalRequests kNoGlobal{};

class Profile : public EmulatedDevice {
 protected:
  void SetUp() override {
    EmulatedDevice::SetUp();
    Device::instance().profiler();
    label_ = ::testing::UnitTest::GetInstance()->current_test_info()->name();
    profile_label(label_.c_str());
  }
  void TearDown() override {
    profile_label("");
    EmulatedDevice::TearDown();
  }

  /// Launches a kernel and waits for it.
  static cudaError_t launch(const char* name, unsigned blocks, unsigned threads,
                            std::initializer_list<void*> arguments) {
    std::vector<void*> pointers(arguments);
    EXPECT_EQ(cudaLaunchKernel(kernel(name), blocks, threads, pointers.data(), 0, nullptr),
              cudaSuccess);
    return cudaDeviceSynchronize();
  }
  /// What was counted since under a label: one kind of launch.
  static const LaunchProfile& profile_of(const std::string& label) {
    const LaunchProfile* found = nullptr;
    for (const auto& [key, launch] : Device::instance().profiler().launches()) {
      if (key.label != label) continue;
      EXPECT_EQ(found, nullptr) << "several kinds of launches with the label " << label;
      found = &launch;
    }
    static const LaunchProfile kNone;
    EXPECT_NE(found, nullptr) << "no launch with the label " << label;
    return found != nullptr ? *found : kNone;
  }
  const LaunchProfile& profile() const { return profile_of(label_); }

  /// One of the kernels in which thread i accesses `first + step * i`, with a label of its own.
  const LaunchProfile& access(const char* name, unsigned step, unsigned first, unsigned blocks = 1,
                              unsigned threads = 32) {
    const std::string label = label_ + ": " + name + " " + std::to_string(step) + " " +
                              std::to_string(first) + " " + std::to_string(blocks) + " " +
                              std::to_string(threads);
    profile_label(label.c_str());
    unsigned char* bytes = bytes_.data();
    EXPECT_EQ(launch(name, blocks, threads, {&bytes, &step, &first}), cudaSuccess);
    return profile_of(label);
  }
  /// The one access of a warp to shared memory. The writes that come first are coalesced and
  /// without conflicts.
  SharedRequests shared(unsigned width, unsigned step, unsigned first = 0) {
    const std::string label = label_ + ": " + std::to_string(width) + " " + std::to_string(step) +
                              " " + std::to_string(first);
    profile_label(label.c_str());
    EXPECT_EQ(launch("shared", 1, 32, {&width, &step, &first}), cudaSuccess);
    const LaunchProfile& launch = profile_of(label);
    EXPECT_EQ(launch.shared[kStore], (SharedRequests{33, 33, 33}));
    EXPECT_EQ(launch.shared[width == kUpdate ? kLoad : kAtomic], SharedRequests{});
    EXPECT_EQ(launch.global[kLoad], kNoGlobal);
    return launch.shared[width == kUpdate ? kAtomic : kLoad];
  }
  static constexpr unsigned kBytes1 = 0;
  static constexpr unsigned kBytes4 = 1;
  static constexpr unsigned kBytes8 = 2;
  static constexpr unsigned kBytes16 = 3;
  static constexpr unsigned kUpdate = 4;

  /// Instructions of a launch by line of the invented file; -1: the line is not there.
  static long long warp_instructions(const char* name, const LaunchProfile& launch, unsigned line) {
    const Kernel& translated = *Device::instance().find_kernel(name);
    long long sum = -1;
    for (u32 i = 0; i < translated.line_count; ++i) {
      const BlockLine& each = translated.lines[i];
      if (each.line != line) continue;
      sum = std::max(sum, 0LL) +
            static_cast<long long>(each.instructions * launch.executions[each.block]);
    }
    return sum;
  }

  std::string label_;
  DeviceArray<unsigned char> bytes_{std::vector<unsigned char>(8192)};
};

TEST_F(Profile, CoalescedLoadsTakeFourSectorsPerRequest) {
  const LaunchProfile& p = access("load_b32", 4, 0);
  EXPECT_EQ(p.count, 1U);
  EXPECT_EQ(p.global[kLoad], (GlobalRequests{1, 128, 4, 4}));
  EXPECT_EQ(p.global[kStore], kNoGlobal);
  EXPECT_EQ(p.global[kAtomic], kNoGlobal);
  EXPECT_EQ(p.sectors_read, 4U);
  EXPECT_EQ(p.sectors_written, 0U);
}

TEST_F(Profile, StridesTakeMoreSectors) {
  // Every second word: 256 bytes, of which half are used.
  EXPECT_EQ(access("load_b32", 8, 0).global[kLoad], (GlobalRequests{1, 128, 8, 4}));
  // A word of each sector.
  EXPECT_EQ(access("load_b32", 32, 0).global[kLoad], (GlobalRequests{1, 128, 32, 4}));
  // A word of every fourth: not more than one sector per lane.
  EXPECT_EQ(access("load_b32", 128, 0).global[kLoad], (GlobalRequests{1, 128, 32, 4}));
}

TEST_F(Profile, OneAddressForAllLanesIsOneSector) {
  const LaunchProfile& p = access("load_b32", 0, 0);
  EXPECT_EQ(p.global[kLoad], (GlobalRequests{1, 128, 1, 1}));
  EXPECT_EQ(p.sectors_read, 1U);
}

TEST_F(Profile, AMisalignedRequestTouchesOneSectorMore) {
  // Bytes 4 to 131.
  EXPECT_EQ(access("load_b32", 4, 4).global[kLoad], (GlobalRequests{1, 128, 5, 4}));
  // Bytes 32 to 159: aligned to sectors.
  EXPECT_EQ(access("load_b32", 4, 32).global[kLoad], (GlobalRequests{1, 128, 4, 4}));
}

TEST_F(Profile, VectorLoadsAreOneRequest) {
  // 32 x 16 bytes side by side.
  EXPECT_EQ(access("load_v4_b32", 16, 0).global[kLoad], (GlobalRequests{1, 512, 16, 16}));
  // Half of each sector.
  EXPECT_EQ(access("load_v4_b32", 32, 0).global[kLoad], (GlobalRequests{1, 512, 32, 16}));
}

TEST_F(Profile, EachWarpMakesARequest) {
  // The second warp has 8 lanes: one sector.
  EXPECT_EQ(access("load_b32", 4, 0, 1, 40).global[kLoad], (GlobalRequests{2, 160, 5, 5}));
}

TEST_F(Profile, TheFootprintIsDistinctOverTheLaunch) {
  // Three blocks read the same 128 bytes.
  const LaunchProfile& p = access("load_b32", 4, 0, 3);
  EXPECT_EQ(p.global[kLoad], (GlobalRequests{3, 384, 12, 12}));
  EXPECT_EQ(p.sectors_read, 4U);
}

TEST_F(Profile, EqualLaunchesAreSummedUp) {
  access("load_b32", 4, 0);
  access("load_b32", 4, 0);
  const LaunchProfile& p = access("load_b32", 4, 0);
  EXPECT_EQ(p.count, 3U);
  EXPECT_EQ(p.global[kLoad], (GlobalRequests{3, 384, 12, 12}));
  // Each launch has a footprint of its own.
  EXPECT_EQ(p.sectors_read, 12U);
}

TEST_F(Profile, StoresAreNotRead) {
  const LaunchProfile& p = access("store_b32", 8, 0);
  EXPECT_EQ(p.global[kStore], (GlobalRequests{1, 128, 8, 4}));
  EXPECT_EQ(p.global[kLoad], kNoGlobal);
  EXPECT_EQ(p.sectors_read, 0U);
  EXPECT_EQ(p.sectors_written, 8U);
}

TEST_F(Profile, AtomicsReadAndWrite) {
  const LaunchProfile& spread = access("atomic_b32", 4, 0);
  EXPECT_EQ(spread.global[kAtomic], (GlobalRequests{1, 128, 4, 4}));
  const LaunchProfile& same = access("atomic_b32", 0, 64);
  EXPECT_EQ(same.global[kAtomic], (GlobalRequests{1, 128, 1, 1}));
  EXPECT_EQ(same.global[kLoad], kNoGlobal);
  EXPECT_EQ(same.global[kStore], kNoGlobal);
  EXPECT_EQ(same.sectors_read, 1U);
  EXPECT_EQ(same.sectors_written, 1U);
}

TEST_F(Profile, AddressesTellTheMemory) {
  unsigned char* bytes = bytes_.data();
  ASSERT_EQ(launch("spaces", 1, 1, {&bytes}), cudaSuccess);
  const LaunchProfile& p = profile();
  // Neither constant nor local memory.
  EXPECT_EQ(p.global[kLoad], (GlobalRequests{1, 4, 1, 1}));
  EXPECT_EQ(p.global[kStore], kNoGlobal);
  EXPECT_EQ(p.sectors_read, 1U);
  EXPECT_EQ(p.shared[kStore], (SharedRequests{1, 1, 1}));
  EXPECT_EQ(p.shared[kLoad], (SharedRequests{1, 1, 1}));
}

TEST_F(Profile, BankConflictsOfWords) {
  EXPECT_EQ(shared(kBytes4, 4), (SharedRequests{1, 1, 1}));
  // Two lanes per bank, then all 32 in bank 0.
  EXPECT_EQ(shared(kBytes4, 8), (SharedRequests{1, 2, 1}));
  EXPECT_EQ(shared(kBytes4, 128), (SharedRequests{1, 32, 1}));
  // Rows of 33 words: lane i is in bank i.
  EXPECT_EQ(shared(kBytes4, 132), (SharedRequests{1, 1, 1}));
  // An odd stride never conflicts.
  EXPECT_EQ(shared(kBytes4, 12, 4), (SharedRequests{1, 1, 1}));
}

TEST_F(Profile, LanesThatReadOneWordDoNotConflict) {
  EXPECT_EQ(shared(kBytes4, 0), (SharedRequests{1, 1, 1}));
  // Lanes 4 i to 4 i + 3 read the bytes of word i.
  EXPECT_EQ(shared(kBytes1, 1), (SharedRequests{1, 1, 1}));
  // Bytes 0, 128, .. of bank 0: 32 words.
  EXPECT_EQ(shared(kBytes1, 128), (SharedRequests{1, 32, 1}));
}

TEST_F(Profile, WideAccessesGoByHalfAndQuarterWarps) {
  EXPECT_EQ(shared(kBytes8, 8), (SharedRequests{1, 2, 2}));
  EXPECT_EQ(shared(kBytes16, 16), (SharedRequests{1, 4, 4}));
  // In each half, lanes i and i + 8 are in banks 4 i and 4 i + 1.
  EXPECT_EQ(shared(kBytes8, 16), (SharedRequests{1, 4, 2}));
  // In each quarter, lanes i and i + 4 are in banks 8 i to 8 i + 3.
  EXPECT_EQ(shared(kBytes16, 32), (SharedRequests{1, 8, 4}));
  // All lanes at one address.
  EXPECT_EQ(shared(kBytes16, 0), (SharedRequests{1, 4, 4}));
}

TEST_F(Profile, AtomicsAtOneWordGoOneByOne) {
  EXPECT_EQ(shared(kUpdate, 4), (SharedRequests{1, 1, 1}));
  EXPECT_EQ(shared(kUpdate, 0), (SharedRequests{1, 32, 1}));
}

TEST_F(Profile, AsynchronousCopiesLoadAndStore) {
  unsigned char* bytes = bytes_.data();
  ASSERT_EQ(launch("copy_async", 1, 32, {&bytes}), cudaSuccess);
  const LaunchProfile& p = profile();
  EXPECT_EQ(p.global[kLoad], (GlobalRequests{1, 512, 16, 16}));
  EXPECT_EQ(p.global[kStore], kNoGlobal);
  EXPECT_EQ(p.shared[kStore], (SharedRequests{1, 4, 4}));
  EXPECT_EQ(p.shared[kLoad], SharedRequests{});
}

TEST_F(Profile, ABulkCopyIsOneRequest) {
  unsigned char* bytes = bytes_.data();
  ASSERT_EQ(launch("copy_bulk", 1, 1, {&bytes}), cudaSuccess);
  const LaunchProfile& p = profile();
  EXPECT_EQ(p.global[kLoad], (GlobalRequests{1, 256, 8, 8}));
  EXPECT_EQ(p.global[kStore], (GlobalRequests{1, 256, 8, 8}));
  EXPECT_EQ(p.sectors_read, 8U);
  EXPECT_EQ(p.sectors_written, 8U);
}

TEST_F(Profile, ALoopCountsItsTurns) {
  const char* const name = "loop";
  const unsigned* words = reinterpret_cast<unsigned*>(bytes_.data());
  unsigned each = 5;
  unsigned more = 0;
  ASSERT_EQ(launch(name, 2, 64, {&words, &each, &more}), cudaSuccess);
  const LaunchProfile& p = profile();
  // Four warps: 7 instructions before, 2 and 3 in each of 5 turns, 1 after.
  EXPECT_EQ(warp_instructions(name, p, 10), 4 * 7);
  EXPECT_EQ(warp_instructions(name, p, 11), 4 * 2 * 5);
  EXPECT_EQ(warp_instructions(name, p, 12), 4 * 3 * 5);
  EXPECT_EQ(warp_instructions(name, p, 13), 4);
  EXPECT_EQ(p.global[kLoad], (GlobalRequests{4 * 5, 4 * 5 * 128, 4 * 5 * 4, 4 * 5 * 4}));
  // Thread i of a block reads words i, i + 32, .. i + 128: words 0 to 191.
  EXPECT_EQ(p.sectors_read, 192U * 4 / 32);
}

TEST_F(Profile, AWarpRunsALoopAsOftenAsItsLongestLane) {
  const char* const name = "loop";
  const unsigned* words = reinterpret_cast<unsigned*>(bytes_.data());
  unsigned each = 1;
  unsigned more = 1;
  ASSERT_EQ(launch(name, 1, 32, {&words, &each, &more}), cudaSuccess);
  const LaunchProfile& p = profile();
  // Lane i has i + 1 turns.
  EXPECT_EQ(warp_instructions(name, p, 10), 7);
  EXPECT_EQ(warp_instructions(name, p, 11), 2 * 32);
  EXPECT_EQ(warp_instructions(name, p, 12), 3 * 32);
  EXPECT_EQ(warp_instructions(name, p, 13), 1);
  // In turn n, from 0, the lanes n to 31 read words side by side that end at a sector's end:
  // 4, 3, 2 and 1 sectors in 8 turns each.
  constexpr unsigned kSectors = 8 * (4 + 3 + 2 + 1);
  EXPECT_EQ(p.global[kLoad], (GlobalRequests{32, 4 * (32 * 33 / 2), kSectors, kSectors}));
}

TEST_F(Profile, BothWaysOfADivergentWarpAreCounted) {
  const char* const name = "divergent";
  unsigned border = 16;
  ASSERT_EQ(launch(name, 1, 32, {&border}), cudaSuccess);
  const LaunchProfile& p = profile();
  EXPECT_EQ(warp_instructions(name, p, 20), 4);
  EXPECT_EQ(warp_instructions(name, p, 21), 3);
  EXPECT_EQ(warp_instructions(name, p, 22), 1);
  EXPECT_EQ(warp_instructions(name, p, 23), 3);
}

TEST_F(Profile, WarpsThatGoDifferentWaysAreNotDivergent) {
  const char* const name = "divergent";
  unsigned border = 32;
  // Of three warps, one goes the first way and two go the other.
  ASSERT_EQ(launch(name, 1, 96, {&border}), cudaSuccess);
  const LaunchProfile& p = profile();
  EXPECT_EQ(warp_instructions(name, p, 20), 3 * 4);
  EXPECT_EQ(warp_instructions(name, p, 21), 1 * 3);
  EXPECT_EQ(warp_instructions(name, p, 22), 2 * 1);
  EXPECT_EQ(warp_instructions(name, p, 23), 3 * 3);
}

TEST_F(Profile, CalledFunctionsBelongToTheKernel) {
  const char* const name = "calls";
  unsigned* words = reinterpret_cast<unsigned*>(bytes_.data());
  ASSERT_EQ(launch(name, 1, 1, {&words}), cudaSuccess);
  const LaunchProfile& p = profile();
  EXPECT_EQ(warp_instructions(name, p, 30), 2 * 4);
  EXPECT_EQ(warp_instructions(name, p, 31), 5);
  EXPECT_EQ(warp_instructions(name, p, 32), 3);
  EXPECT_EQ(warp_instructions(name, p, 33), 2);
}

TEST_F(Profile, AFaultyLaunchIsNotCounted) {
  unsigned char* bytes = bytes_.data();
  unsigned step = 4;
  unsigned first = 8192;
  EXPECT_EQ(launch("load_b32", 1, 32, {&bytes, &step, &first}), cudaErrorIllegalAddress);
  reset();
  for (const auto& [key, launch] : Device::instance().profiler().launches()) {
    EXPECT_NE(key.label, label_);
  }
  EXPECT_EQ(access("load_b32", 4, 0).global[kLoad], (GlobalRequests{1, 128, 4, 4}));
}

TEST_F(Profile, ALabelHoldsForTheLaunchesThatAreEnqueuedUnderIt) {
  unsigned char* bytes = bytes_.data();
  unsigned step = 4;
  unsigned first = 0;
  void* arguments[] = {&bytes, &step, &first};
  profile_label("first of two");
  ASSERT_EQ(cudaLaunchKernel(kernel("load_b32"), 1, 32, arguments, 0, nullptr), cudaSuccess);
  profile_label("second of two");
  ASSERT_EQ(cudaLaunchKernel(kernel("store_b32"), 1, 32, arguments, 0, nullptr), cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(profile_of("first of two").global[kLoad].requests, 1U);
  EXPECT_EQ(profile_of("second of two").global[kStore].requests, 1U);
}

}  // namespace
}  // namespace velum::emulation
