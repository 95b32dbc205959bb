#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/device_memory.h"
#include "runtime/fiber.h"
#include "runtime/global_races.h"
#include "runtime/report_text.h"
#include "runtime/schedule_random.h"
#include "runtime/synchronisation_state.h"
#include "runtime/thread.h"

namespace velum::emulation {

struct Fault {
  FaultKind kind;
  std::string report;
};

std::string to_text(const Extent& e);
/// "read of 4 bytes".
std::string access_text(Access access, u32 bytes);

/// Local memory of the threads of a block; pages come into being when they are touched.
class LocalMemory {
 public:
  /// @throws std::bad_alloc.
  explicit LocalMemory(std::size_t bytes);
  LocalMemory(const LocalMemory&) = delete;
  LocalMemory& operator=(const LocalMemory&) = delete;
  ~LocalMemory();
  u8* data() const { return data_; }

 private:
  u8* data_;
  std::size_t bytes_;
};

/// Runs kernels: one block after the other, the threads of a block as fibers in a random order. The
/// blocks of a cluster and of a cooperative launch run in turns, each in a machine of its own.
class Machine {
 public:
  Machine(const DeviceMemory& memory, GlobalRaces& races);

  static constexpr u32 kMaxThreadsPerBlock = 1024;
  static constexpr u32 kMaxSharedBytes = 227 << 10;

  /// Runs the whole grid, or stops at the first fault.
  std::optional<Fault> run(const Kernel& kernel, const LaunchShape& shape, const u8* parameters,
                           u64 seed);
  /// The same for a cooperative launch: all blocks are there from the start, and run in turns. A
  /// barrier of the grid uses `workspace`, 16 bytes of device memory that are zero.
  std::optional<Fault> run_cooperatively(const Kernel& kernel, const LaunchShape& shape,
                                         const u8* parameters, u64 seed, u64 workspace);
  /// Counts the launches that follow; nullptr: no longer.
  void set_profiler(Profiler* profiler) { profiler_ = profiler; }

  /// Of the kernel that runs, if it has a use for it.
  Synchronisation& synchronisation() { return *sync_; }

  /// Of the block that runs; nullptr if its kernel does not reach other blocks.
  Cluster* cluster() const { return cluster_; }
  /// The machine of the block that an address in the window of shared memory belongs to; a fault if
  /// the thread may not reach it: with `any_block` false, any but its own. `must_be_seen` as in
  /// Synchronisation::visit.
  Machine& owner_of(Thread& t, u64 address, bool any_block, bool must_be_seen, u32 site);
  /// The byte in the memory of that block.
  u64 offset_of(u64 address) const {
    return cluster_ == nullptr ? address : address & ((u64{1} << kBlockShift) - 1);
  }

 private:
  friend class Thread;
  friend class Synchronisation;
  friend class LocalFrame;

  struct WriteRecord {
    u32 epoch = 0;
    u16 thread = 0;
    bool atomic = false;
    u32 warp_time = 0;
  };
  /// The reads since the last block barrier: all by one warp (`lanes`, at `warp_time`), or by
  /// several.
  struct ReadRecord {
    u32 epoch = 0;
    u16 warp = 0;
    bool several_warps = false;
    bool atomic = false;
    u32 lanes = 0;
    u32 warp_time = 0;
  };

  /// What a turn of a block's threads came to.
  enum class Turn { went_on, stuck, ended };

  /// One of the blocks that run in turns.
  struct Resident {
    Grid grid;
    Block block;
    Machine* machine;
  };

  /// For one of the blocks that run in turns, in a launch of `lead`.
  Machine(const DeviceMemory& memory, Machine& lead);
  Grid prepare(const Kernel& kernel, const LaunchShape& shape, const u8* parameters, u64 seed);
  static Block block_at(const Grid& grid, u64 position);
  static Block block_at(const Grid& grid, Extent index);
  /// So many blocks, each in a machine of its own; where they stand in the grid is not set yet.
  std::vector<Resident> reside(const Kernel& kernel, const LaunchShape& shape, u64 blocks,
                               const u8* parameters, ScheduleRandom& random);
  std::optional<Fault> run_clusters(const Kernel& kernel, const LaunchShape& shape,
                                    const u8* parameters, u64 seed);
  /// Runs the blocks to their end. Those of a cluster follow each other, in the order of ranks.
  static std::optional<Fault> run_in_turns(std::vector<Resident>& blocks, ScheduleRandom& random);
  static std::vector<Cluster> form_clusters(std::vector<Resident>& blocks);
  void run_block(Grid& grid, Block& block);
  void start_block(const Grid& grid, Block& block);
  void run_in_turn(Grid& grid, Block& block);
  void run_as_fibers(Grid& grid, Block& block);
  void start_fibers(Grid& grid, Block& block);
  Turn take_turn(Grid& grid, Block& block);
  /// When no block can go on: lets a wait time out; false if there is none.
  bool time_out();
  /// The same for one block alone, or reports a deadlock.
  void resolve(Grid& grid, Block& block);
  void reset_thread(Grid& grid, Block& block, u32 index);
  static void fiber_entry();
  [[noreturn]] void finish(Thread& t);
  /// Goes on with another thread that can run, or with the scheduler if there is none.
  void yield(Thread& t);
  void make_runnable(Thread& t);
  /// A random one of those that can run; nullptr if there is none.
  Thread* take_runnable();
  Thread* pick();
  bool has_runnable() const { return !runnable_.empty() || next_ != nullptr; }
  /// Ends warp operations that waited only for a lane that is gone now.
  void recheck_warp(const Thread& t);
  bool try_complete_warp(Thread& t);
  void release_barrier(Grid& grid, Block& block);
  void report_deadlock(Grid& grid, Block& block, const char* what);
  void record_fault(const Thread& t, FaultKind kind, u32 site, const std::string& message);
  u8* shared_access(Thread& t, u64 address, u32 bytes, u32 element, u32 used, Access access,
                    u32 site);
  bool ordered_before(const WriteRecord& record, const Thread& t) const;
  u32 warp_time(const Thread& t) const { return warps_[t.warp()].time[t.lane()]; }

  static constexpr u64 kLocalBytes = u64{64} << 10;
  static constexpr u64 kMostIdlePolls = 200'000'000;
  /// A try_wait that ends without success because nothing else can happen counts as so many.
  static constexpr u64 kIdlePollsOfTimeOut = kMostIdlePolls / 10'000;
  /// A poll in a cooperative launch, where those of all blocks are counted together.
  static constexpr u64 kIdlePollsOfResident = kMostIdlePolls / 10'000'000;
  /// A wait for a phase of an mbarrier that gives false at once.
  static constexpr u64 kIdlePollsOfTest = kMostIdlePolls / 200'000;

  const DeviceMemory& memory_;
  GlobalRaces& races_;
  BlockOrder block_order_;   // of the accesses of the present block to device memory
  Machine* lead_ = nullptr;  // of a launch that this one runs a block of
  Cluster* cluster_ = nullptr;
  u32 rank_ = 0;  // in the cluster
  std::vector<std::unique_ptr<Machine>> residents_;
  FiberStacks stacks_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  LocalMemory local_;
  std::vector<u8> shared_;
  std::vector<WriteRecord> writes_;
  std::vector<ReadRecord> reads_;
  std::vector<u32> order_;
  std::vector<Thread*> runnable_;
  std::vector<Thread*> at_barrier_;
  /// Picked already, so that the caches have them when their turn comes.
  Thread* next_ = nullptr;
  Thread* next_but_one_ = nullptr;
  u32 epoch_ = 0;
  u32 first_epoch_ = 0;
  u64 own_idle_polls_ = 0;
  u64& idle_polls_;  // since any block made progress
  u64 clock_ = 0;
  Synchronisation synchronisation_{*this};
  Synchronisation* sync_ = nullptr;  // nullptr if the kernel has no use for it
  ScheduleRandom random_{0};
  void* scheduler_stack_ = nullptr;
  std::optional<Fault> fault_;
  Profiler* profiler_ = nullptr;
};

}  // namespace velum::emulation
