#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/global_races.h"
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

/// Clocks of threads and of the other actors, and for each block of the cluster the epoch before
/// which everything of its threads was seen. Outside of clusters a barrier of the whole block joins
/// the others only.
struct Seen {
  Clock threads;
  Clock others;
  Clock blocks;
  void join(const Seen& seen) {
    threads.join(seen.threads);
    others.join(seen.others);
    blocks.join(seen.blocks);
  }
};

/// The blocks of a cluster, which run together, and their barrier.
struct Cluster {
  /// Of the actors that are no threads: seen by whoever knows that all blocks have started.
  static constexpr u32 kStart = 0;

  struct Member {
    Machine* machine = nullptr;
    const Block* block = nullptr;
  };
  std::vector<Member> blocks;  // by rank
  u32 actors = kStart + 1;
  u32 arrived = 0;
  u64 phase = 0;
  Seen arrivals;            // so far
  Seen completed;           // up to the last complete phase
  Released written_before;  // in device memory, by those who have arrived
  Released written;         // up to the last complete phase
  std::vector<Thread*> waiting;

  u32 live_threads() const;
};

/// What a block does beyond barriers of all its threads and of its warps: order, and the effect of
/// asynchronous copies. Used for kernels that contain such an instruction.
///
/// An access comes after another one if a chain of barriers leads from the one to the other, which
/// vector clocks tell. A barrier of the whole block starts a new epoch instead: what threads did in
/// an earlier one has been seen by all. Copies are actors of their own, seen only by whoever waits
/// for them, or is told by one who did.
///
/// In a cluster each block has an object of this class, for its shared memory and its threads. The
/// threads of all blocks are numbered in the order of ranks, and the other actors together.
class Synchronisation {
 public:
  static constexpr u32 kBarriers = 16;

  explicit Synchronisation(Machine& machine) : machine_(machine) {}

  void start_block(const Grid& grid);
  /// Copies to global memory that are under way take effect; others end with the block.
  void end_block();
  void end_thread(Thread& t);
  /// A thread that has exited no longer holds up the barrier of the cluster.
  void leave_cluster(const Thread& t);
  void pass_block_barrier(const std::vector<Thread*>& members);
  void pass_warp_barrier(const Thread* warp, u32 members);
  /// Checks an access of bytes that lie in shared memory, and takes note of it.
  void check_access(Thread& t, u64 address, u32 bytes, u32 element, u32 used, Access access,
                    u32 site);
  /// A thread of another block comes to this block's shared memory, which it must know to have
  /// started. `must_be_seen`: before this block exits, so that no order of the threads has it exit
  /// first.
  void visit(Thread& t, u64 address, bool must_be_seen, u32 site);
  /// A fence; `wide`: of the scope of a cluster, or a wider one.
  void fence(Thread& t, bool wide, FenceHalf half);
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
  std::string describe_cluster_barrier() const;
  /// "shared memory", of the thread's own block or another one.
  std::string name_of_memory(const Thread& t) const;
  /// Barriers of one warp, where lanes may stand at different places.
  static bool is_unaligned(void (*complete)(Thread*, u32, u32)) {
    return complete == &join_barrier || complete == &arrive_at_cluster ||
           complete == &wait_for_cluster;
  }

  u32 arrive_at_barrier(Thread& t, BarrierUse use, u32 barrier, u32 count, bool predicate,
                        bool aligned, u32 site);
  void init(Thread& t, u64 address, u32 count, u32 site);
  void inval(Thread& t, u64 address, u32 site);
  void change_tx(Thread& t, u64 address, s64 bytes, u32 site);
  u64 arrive(Thread& t, u64 address, Arrival arrival, u32 site);
  bool wait(Thread& t, u64 address, u64 phase, PhaseWait wait, u32 site);
  static void arrive_at_cluster_barrier(Thread& t, bool release, bool aligned, u32 site);
  static void wait_for_cluster_barrier(Thread& t, bool aligned, u32 site);
  void fence_inits(const Thread& t);
  void copy(Thread& t, u64 shared, u64 global, u32 bytes, u32 source_bytes, u32 site);
  void commit(const Thread& t) { ++of(t).groups; }
  void wait_for_copies(const Thread& t, u32 newest);
  void arrive_after_copies(Thread& t, u64 address, bool counted, u32 site);
  /// `target` has the shared memory, and the mbarrier in it.
  void bulk_to_shared(Thread& t, Synchronisation& target, u64 shared, u64 global, u32 bytes,
                      u64 mbarrier, u32 site);
  void bulk_to_block(Thread& t, Synchronisation& target, u64 to, u64 from, u32 bytes, u64 mbarrier,
                     u32 site);
  void bulk_to_global(Thread& t, u64 global, u64 shared, u32 bytes, u32 site);
  void commit_bulk(const Thread& t) { ++of(t).bulk_groups; }
  void wait_for_bulk(const Thread& t, u32 newest, bool reads_only);

 private:
  /// A copy, or the arrival after copies. `read` and `performed` are its progress; what it wrote is
  /// seen by nobody until it is complete.
  struct Operation {
    enum class Kind : u8 { copy, arrival, bulk_to_shared, bulk_to_block, bulk_to_global };
    Kind kind;
    Thread* thread = nullptr;
    Synchronisation* target = nullptr;  // whose shared memory and mbarrier it writes to
    u32 site = 0;
    u32 shared = 0;  // byte of shared memory
    u32 source = 0;  // likewise, of bulk_to_block
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
  /// What an atomic write releases to whoever reads it: to threads of the writer's block, and to
  /// those of others.
  struct Flag {
    u32 rank = 0;
    Seen released[2];
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
    std::unique_ptr<Flag> flag;
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
    PhaseWait wait;
  };
  struct MBarrier {
    u32 expected = 0;
    u32 pending = 0;
    s64 tx = 0;
    u64 phase = 0;
    u32 actor = 0;
    u32 init_actor = 0;  // of the initialisation alone
    std::string initialiser;
    Seen arrivals;            // so far
    Seen cluster_arrivals;    // by threads of other blocks
    Seen completed;           // up to the last complete phase
    Seen cluster_completed;   // likewise
    Released written_before;  // in device memory, by threads of other blocks
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
    /// Of the own block, and of the cluster: what the last fence releases, and what was read since.
    Seen fenced[2];
    Seen observed[2];
    std::vector<u32> inits;  // actors
    bool has_arrived = false;
    u64 arrival_phase = 0;
  };
  /// The last access of a thread of another block.
  struct Visit {
    Event event;
    Thread* thread = nullptr;
    u64 address = 0;
    u32 site = 0;
  };

  static constexpr s64 kMostCount = (1 << 20) - 1;

  /// Of any block of the cluster.
  static PerThread& of(const Thread& t);
  static Synchronisation& home_of(const Thread& t);
  static u32 number_of(const Thread& t);
  u32 next_actor();
  Cell& cell(u64 index);
  template <typename Use>
  void for_cells(u64 address, u32 bytes, Use use) {
    const u64 last = (address + bytes - 1) >> granule_;
    for (u64 i = address >> granule_; i <= last; ++i) use(cell(i));
  }
  static Event now(const Thread& t);
  bool is_before(const Event& earlier, const Thread& t) const;
  bool is_before(const Event& earlier, const Seen& seen) const;
  /// Adds what the thread has done and seen so far to `seen`.
  static void release(const Thread& t, Seen& seen);
  static void acquire(const Thread& t, const MBarrier& barrier, PhaseWait wait);
  std::string name_of(const Event& event) const;
  std::string name_of_thread(u32 number) const;
  void observe(Thread& t, const Cell& cell);
  static void set_flag(const Thread& t, Cell& cell, bool updates);
  void end_visits();
  MBarrier& find(Thread& t, u64 address, u32 site);
  u32 copier(const Thread& t);
  void check_source(Thread& t, u64 global, u32 bytes, u32 site);
  void check_target(Thread& t, u64 shared, u32 bytes, u32 site);
  void complete_if_due(MBarrier& barrier);
  static void join_barrier(Thread* warp, u32 members, u32 site);
  static void join_barrier_aligned(Thread* warp, u32 members, u32 site);
  static void arrive_at_cluster(Thread* warp, u32 members, u32 site);
  static void arrive_at_cluster_aligned(Thread* warp, u32 members, u32 site);
  static void wait_for_cluster(Thread* warp, u32 members, u32 site);
  static void wait_for_cluster_aligned(Thread* warp, u32 members, u32 site);
  static void pass_cluster_barrier(Thread& t, const Cluster& cluster);
  static void complete_cluster_if_due(Cluster& cluster);
  Operation& begin(Operation::Kind kind, Thread& t, u32 shared, u64 global, u32 bytes, u32 site);
  void perform(Operation& operation);
  void complete(Operation& operation, u32 actor, u32 time);
  void free_if_over(Operation* operation);

  Machine& machine_;
  u64 block_ = 0;
  u32 threads_ = 0;
  u32 first_thread_ = 0;  // the number of the block's first thread in its cluster
  u32 all_threads_ = 0;   // of the cluster
  u32 actors_ = 0;        // outside of clusters
  u32 granule_ = 0;
  u32 lateness_ = 1;
  std::vector<PerThread> per_thread_;
  std::vector<Cell> cells_;
  NamedBarrier barriers_[kBarriers];
  std::map<u32, MBarrier> mbarriers_;
  std::deque<Operation> operations_;
  std::vector<Operation*> free_;
  std::vector<Operation*> open_;
  std::map<u32, Visit> visits_;  // by number of the thread
};

}  // namespace velum::emulation
