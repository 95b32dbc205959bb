#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "runtime/synchronisation.h"

namespace velum::emulation {

/// How far somebody has seen each actor: a thread, the copies of a thread, or an mbarrier. Actors
/// are numbered, threads first.
class Clock {
 public:
  u32 of(u32 actor) const { return actor < times_.size() ? times_[actor] : 0; }
  void see(u32 actor, u32 time);
  void join(const Clock& other);

 private:
  std::vector<u32> times_;
};

/// Clocks of threads and of the other actors. A barrier of the whole block joins the latter only.
struct Seen {
  Clock threads;
  Clock others;
  void join(const Seen& seen) {
    threads.join(seen.threads);
    others.join(seen.others);
  }
};

/// What a block does beyond barriers of all its threads and of its warps: order, and the effect of
/// asynchronous copies. Used for kernels that contain such an instruction.
///
/// An access comes after another one if a chain of barriers leads from the one to the other, which
/// vector clocks tell. A barrier of the whole block starts a new epoch instead: what threads did in
/// an earlier one has been seen by all. Copies are actors of their own, seen only by whoever waits
/// for them, or is told by one who did.
class Synchronisation {
 public:
  static constexpr u32 kBarriers = 16;

  explicit Synchronisation(Machine& machine) : machine_(machine) {}

  void start_block(const Grid& grid);
  /// Copies to global memory that are under way take effect; others end with the block.
  void end_block();
  void end_thread(Thread& t);
  void pass_block_barrier(const std::vector<Thread*>& members);
  void pass_warp_barrier(const Thread* warp, u32 members);
  /// Checks an access of bytes that lie in shared memory, and takes note of it.
  void check_access(Thread& t, u64 address, u32 bytes, u32 element, u32 used, Access access,
                    u32 site);
  /// Lets one asynchronous action take effect, chosen at random; false if there is none.
  bool step();
  /// The same, but seldom: how seldom differs from block to block.
  void maybe_step();
  /// Lets a thread in try_wait, chosen at random, go on without success; false if there is none.
  bool time_out();
  /// Whether threads have arrived at a named barrier that is not full.
  bool is_in_use(u32 barrier) const { return barriers_[barrier].arrived != 0; }
  std::string describe_barrier(u32 barrier) const;
  std::string describe_mbarrier(u32 address) const;
  /// Barriers of one warp, where lanes may stand at different places.
  static bool is_unaligned(void (*complete)(Thread*, u32, u32)) {
    return complete == &join_barrier;
  }

  u32 arrive_at_barrier(Thread& t, BarrierUse use, u32 barrier, u32 count, bool predicate,
                        bool aligned, u32 site);
  void init(Thread& t, u64 address, u32 count, u32 site);
  void inval(Thread& t, u64 address, u32 site);
  void change_tx(Thread& t, u64 address, s64 bytes, u32 site);
  u64 arrive(Thread& t, u64 address, Arrival arrival, u32 site);
  bool wait(Thread& t, u64 address, u64 phase, PhaseWait wait, u32 site);
  void copy(Thread& t, u64 shared, u64 global, u32 bytes, u32 source_bytes, u32 site);
  void commit(const Thread& t) { ++of(t).groups; }
  void wait_for_copies(const Thread& t, u32 newest);
  void arrive_after_copies(Thread& t, u64 address, bool counted, u32 site);
  void bulk_to_shared(Thread& t, u64 shared, u64 global, u32 bytes, u64 mbarrier, u32 site);
  void bulk_to_global(Thread& t, u64 global, u64 shared, u32 bytes, u32 site);
  void commit_bulk(const Thread& t) { ++of(t).bulk_groups; }
  void wait_for_bulk(const Thread& t, u32 newest, bool reads_only);

 private:
  /// A copy, or the arrival after copies. `read` and `performed` are its progress; what it wrote is
  /// seen by nobody until it is complete.
  struct Operation {
    enum class Kind : u8 { copy, arrival, bulk_to_shared, bulk_to_global };
    Kind kind;
    Thread* thread = nullptr;
    u32 site = 0;
    u32 shared = 0;  // byte of shared memory
    u64 global = 0;
    u32 bytes = 0;
    u32 source_bytes = 0;  // the rest is zero
    u32 mbarrier = 0;      // byte of shared memory
    u32 group = 0;
    u32 ticket = 0;  // counts the copies of the thread
    bool read = false;
    bool performed = false;
    bool complete = false;
    bool released = false;  // the source may be overwritten
    bool open = false;      // stands in `open_`
    bool owned = false;     // stands in a list of its thread
    std::vector<u8> data;
  };
  struct Event {
    u32 actor = 0;
    u32 time = 0;
    u32 epoch = 0;
    bool atomic = false;
  };
  /// The narrowest part of shared memory that the kernel accesses.
  struct Cell {
    u64 block = 0;  // the rest counts if this is the present block
    bool written = false;
    bool is_mbarrier = false;
    Event write;
    std::vector<Event> reads;  // since the write, without those that are before another one of them
    const Operation* target_of = nullptr;
    u32 sources = 0;  // bulk copies that read here
  };
  struct NamedBarrier {
    u32 expected = 0;
    u32 arrived = 0;
    BarrierUse use = BarrierUse::arrive;
    u32 votes = 0;
    u32 voters = 0;
    Seen seen;
    std::vector<Thread*> members;  // those that wait for it
  };
  struct Waiter {
    Thread* thread;
    bool acquire;
  };
  struct MBarrier {
    u32 expected = 0;
    u32 pending = 0;
    s64 tx = 0;
    u64 phase = 0;
    u32 actor = 0;
    Event init;
    Seen arrivals;   // so far
    Seen completed;  // up to the last complete phase
    std::vector<Waiter> waiting;
  };
  struct PerThread {
    Seen seen;
    u32 copier = 0;  // the actor of its copies; 0: none yet
    u32 tickets = 0;
    u32 groups = 0;
    u32 bulk_groups = 0;
    std::vector<Operation*> copies;  // not waited for by the thread, in their order
    std::vector<Operation*> bulk;
  };

  static constexpr s64 kMostCount = (1 << 20) - 1;

  PerThread& of(const Thread& t) { return per_thread_[t.index]; }
  Cell& cell(u64 index);
  template <typename Use>
  void for_cells(u64 address, u32 bytes, Use use) {
    const u64 last = (address + bytes - 1) >> granule_;
    for (u64 i = address >> granule_; i <= last; ++i) use(cell(i));
  }
  Event now(const Thread& t);
  bool is_before(const Event& earlier, const Thread& t);
  /// Adds what the thread has done and seen so far to `seen`.
  void release(const Thread& t, Seen& seen);
  std::string name_of(const Event& event) const;
  MBarrier& find(Thread& t, u64 address, u32 site);
  u32 copier(const Thread& t);
  void check_source(Thread& t, u64 global, u32 bytes, u32 site);
  void check_target(Thread& t, u64 shared, u32 bytes, u32 site);
  void complete_if_due(MBarrier& barrier);
  static void join_barrier(Thread* warp, u32 members, u32 site);
  static void join_barrier_aligned(Thread* warp, u32 members, u32 site);
  Operation& begin(Operation::Kind kind, Thread& t, u32 shared, u64 global, u32 bytes, u32 site);
  void perform(Operation& operation);
  void complete(Operation& operation, u32 actor, u32 time);
  void free_if_over(Operation* operation);

  Machine& machine_;
  u64 block_ = 0;
  u32 threads_ = 0;
  u32 actors_ = 0;
  u32 granule_ = 0;
  u32 lateness_ = 1;
  std::vector<PerThread> per_thread_;
  std::vector<Cell> cells_;
  NamedBarrier barriers_[kBarriers];
  std::map<u32, MBarrier> mbarriers_;
  std::deque<Operation> operations_;
  std::vector<Operation*> free_;
  std::vector<Operation*> open_;
};

}  // namespace velum::emulation
