#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "runtime/machine.h"
#include "runtime/synchronisation_state.h"

namespace velum::emulation {
namespace {

constexpr u32 kWarp = 32;
constexpr u32 kAllBytes = ~u32{0};

constexpr bool is_reduction(BarrierUse use) {
  return use != BarrierUse::sync && use != BarrierUse::arrive;
}

/// What the lanes of a warp bring to a named barrier, in the operand of a warp operation.
struct Request {
  u16 count;
  u8 barrier;
  BarrierUse use;
  bool predicate;
};
u64 pack(Request r) {
  return u64{r.count} | u64{r.barrier} << 16 | u64{static_cast<u8>(r.use)} << 24 |
         u64{r.predicate ? 1U : 0U} << 32;
}
Request unpack(u64 x) {
  return {static_cast<u16>(x), static_cast<u8>(x >> 16), static_cast<BarrierUse>(x >> 24 & 0xFF),
          (x >> 32 & 1) != 0};
}
Synchronisation& synchronisation(const Thread& t) { return t.grid->machine->synchronisation(); }

/// An address in the window of shared memory, by block.
struct SharedPlace {
  Synchronisation& block;
  u64 offset;
};
SharedPlace place_of(Thread& t, u64 address, bool any_block, u32 site, bool is_visit = false) {
  Machine& machine = *t.grid->machine;
  return {machine.owner_of(t, address, any_block, is_visit, site).synchronisation(),
          machine.offset_of(address)};
}

/// The result of a lane that has passed a named barrier; 0 before.
constexpr u64 kPassed = u64{1} << 32;

}  // namespace

void Clock::see(u32 actor, u32 time) {
  if (actor >= times_.size()) times_.resize(actor + 1, 0);
  times_[actor] = std::max(times_[actor], time);
}

void Clock::join(const Clock& other) {
  if (other.times_.size() > times_.size()) times_.resize(other.times_.size(), 0);
  for (std::size_t i = 0; i < other.times_.size(); ++i) {
    times_[i] = std::max(times_[i], other.times_[i]);
  }
}

// Blocks and threads

u32 Cluster::live_threads() const {
  u32 live = 0;
  for (const Member& member : blocks) live += member.block->live;
  return live;
}

Synchronisation& Synchronisation::home_of(const Thread& t) { return *t.grid->machine->sync_; }
Synchronisation::PerThread& Synchronisation::of(const Thread& t) {
  return home_of(t).per_thread_[t.index];
}
u32 Synchronisation::number_of(const Thread& t) { return home_of(t).first_thread_ + t.index; }
u32 Synchronisation::next_actor() {
  return machine_.cluster_ != nullptr ? machine_.cluster_->actors++ : actors_++;
}

void Synchronisation::start_block(const Grid& grid) {
  ++block_;
  threads_ = grid.threads_per_block();
  first_thread_ = machine_.cluster_ != nullptr ? machine_.rank_ * threads_ : 0;
  all_threads_ = machine_.cluster_ != nullptr
                     ? threads_ * static_cast<u32>(machine_.cluster_->blocks.size())
                     : threads_;
  actors_ = 0;
  visits_.clear();
  granule_ = grid.kernel->shared_granule;
  constexpr u32 kLateness[] = {2, 16, 128};
  lateness_ = kLateness[machine_.random_.below(3)];
  const std::size_t cells = (grid.shared_bytes() >> granule_) + 1;
  if (cells_.size() < cells) cells_.resize(cells);
  per_thread_.assign(threads_, {});
  for (u32 i = 0; i < threads_; ++i) per_thread_[i].seen.threads.see(first_thread_ + i, 1);
  for (NamedBarrier& barrier : barriers_) barrier = {};
  mbarriers_.clear();
  operations_.clear();
  free_.clear();
  open_.clear();
}

void Synchronisation::end_block() {
  if (machine_.cluster_ != nullptr) end_visits();
  for (Operation* const operation : open_) {
    if (operation->performed) continue;
    if (operation->kind == Operation::Kind::bulk_to_block) {
      machine_.record_fault(*operation->thread, FaultKind::unwaited_copy, operation->site,
                            "the block ends before this bulk copy out of its shared memory is "
                            "complete; a barrier of the cluster after the wait keeps it there");
    } else if (operation->kind == Operation::Kind::bulk_to_shared) {
      machine_.record_fault(*operation->thread, FaultKind::unwaited_copy, operation->site,
                            "the block ends before this bulk copy into its shared memory is "
                            "complete; wait for the copy's mbarrier");
    } else if (operation->kind == Operation::Kind::bulk_to_global) {
      try {
        perform(*operation);
      } catch (const ThreadStopped&) {
      }
    }
  }
}

void Synchronisation::end_thread(Thread& t) {
  for (const Operation* const operation : of(t).bulk) {
    if (!operation->released) {
      machine_.record_fault(t, FaultKind::unwaited_copy, operation->site,
                            "the thread ends before this bulk copy has read shared memory; commit "
                            "it and wait by cp.async.bulk.wait_group.read");
      return;
    }
  }
}

/// What other blocks did here must be before the block's end in any order of the threads: one of
/// its threads has seen it.
void Synchronisation::end_visits() {
  Seen all;
  for (const PerThread& each : per_thread_) all.join(each.seen);
  for (const auto& [number, visit] : visits_) {
    if (is_before(visit.event, all)) continue;
    machine_.record_fault(*visit.thread, FaultKind::illegal_address, visit.site,
                          "byte " + std::to_string(machine_.offset_of(visit.address)) +
                              " of the shared memory of block " + std::to_string(machine_.rank_) +
                              " of the cluster, which may have exited by then; a barrier of the "
                              "cluster after this access keeps it there");
    return;
  }
  for (const Cluster::Member& member : machine_.cluster_->blocks) {
    for (const Operation* const operation : member.machine->sync_->open_) {
      if (operation->performed || operation->target != this || member.machine == &machine_)
        continue;
      machine_.record_fault(*operation->thread, FaultKind::unwaited_copy, operation->site,
                            "block " + std::to_string(machine_.rank_) +
                                " of the cluster ends before this bulk copy into its shared memory "
                                "is complete; it must wait for the copy's mbarrier");
      return;
    }
  }
}

void Synchronisation::pass_block_barrier(const std::vector<Thread*>& members) {
  if (machine_.cluster_ != nullptr) {
    Seen all;
    for (const Thread* const t : members) release(*t, all);
    for (const Thread* const t : members) of(*t).seen.join(all);
    return;
  }
  // The machine's new epoch orders what the threads did; what they know of copies is shared here.
  Clock all;
  for (const Thread* const t : members) all.join(of(*t).seen.others);
  for (const Thread* const t : members) of(*t).seen.others = all;
}

void Synchronisation::pass_warp_barrier(const Thread* warp, u32 members) {
  Seen all;
  for (u32 rest = members; rest != 0; rest &= rest - 1) release(warp[std::countr_zero(rest)], all);
  for (u32 rest = members; rest != 0; rest &= rest - 1) {
    of(warp[std::countr_zero(rest)]).seen.join(all);
  }
}

void Synchronisation::release(const Thread& t, Seen& seen) {
  const Machine& machine = *t.grid->machine;
  const u32 number = number_of(t);
  Seen& own = of(t).seen;
  seen.join(own);
  if (machine.cluster_ != nullptr) seen.blocks.see(machine.rank_, machine.epoch_);
  own.threads.see(number, own.threads.of(number) + 1);
}

void Synchronisation::fence(Thread& t, bool wide, FenceHalf half) {
  PerThread& mine = of(t);
  for (u32 i = 0; i <= (wide ? 1U : 0U) && half != FenceHalf::release; ++i) {
    mine.seen.join(mine.observed[i]);
    mine.observed[i] = {};
  }
  if (half == FenceHalf::acquire) return;
  Seen released;
  release(t, released);
  if (wide) mine.fenced[1] = released;
  mine.fenced[0] = std::move(released);
}

Synchronisation::Event Synchronisation::now(const Thread& t) {
  const u32 number = number_of(t);
  return {number, of(t).seen.threads.of(number), t.grid->machine->epoch_, false};
}

bool Synchronisation::is_before(const Event& earlier, const Seen& seen) const {
  if (earlier.actor >= all_threads_) {
    return seen.others.of(earlier.actor - all_threads_) >= earlier.time;
  }
  return seen.threads.of(earlier.actor) >= earlier.time ||
         earlier.epoch < seen.blocks.of(earlier.actor / threads_);
}

bool Synchronisation::is_before(const Event& earlier, const Thread& t) const {
  if (earlier.actor == number_of(t)) return true;
  if (earlier.actor < all_threads_ && earlier.epoch != t.grid->machine->epoch_ &&
      earlier.actor / threads_ == home_of(t).first_thread_ / threads_) {
    return true;  // of the thread's own block, before a barrier of the whole block
  }
  return is_before(earlier, of(t).seen);
}

std::string Synchronisation::name_of_thread(u32 number) const {
  std::string name = "thread " + std::to_string(number % threads_);
  if (machine_.cluster_ != nullptr) {
    name += " of block " + std::to_string(number / threads_) + " of the cluster";
  }
  return name;
}

std::string Synchronisation::name_of(const Event& event) const {
  if (event.actor < all_threads_) return name_of_thread(event.actor);
  for (u32 i = 0; i < threads_; ++i) {
    if (per_thread_[i].copier == event.actor) {
      return "an asynchronous copy of thread " + std::to_string(i);
    }
  }
  return "a bulk copy";
}

std::string Synchronisation::name_of_memory(const Thread& t) const {
  if (t.grid->machine == &machine_) return "shared memory";
  return "the shared memory of block " + std::to_string(machine_.rank_) + " of the cluster";
}

// Memory

Synchronisation::Cell& Synchronisation::cell(u64 index) {
  Cell& cell = cells_[index];
  if (cell.block != block_) cell = Cell{.block = block_, .write = {}, .reads = {}, .flag = {}};
  return cell;
}

void Synchronisation::visit(Thread& t, u64 address, bool must_be_seen, u32 site) {
  const Seen& seen = of(t).seen;
  if (seen.others.of(Cluster::kStart) == 0 && seen.blocks.of(machine_.rank_) == 0) {
    t.fail(FaultKind::illegal_address, site,
           "byte " + std::to_string(machine_.offset_of(address)) + " of " + name_of_memory(t) +
               ", which need not have started yet; a barrier of the cluster comes first");
  }
  if (must_be_seen) visits_[number_of(t)] = {now(t), &t, address, site};
}

void Synchronisation::observe(Thread& t, const Cell& cell) {
  if (cell.flag == nullptr) return;
  PerThread& mine = of(t);
  if (cell.flag->rank == t.block->rank) mine.observed[0].join(cell.flag->released[0]);
  mine.observed[1].join(cell.flag->released[1]);
}

void Synchronisation::set_flag(const Thread& t, Cell& cell, bool updates) {
  const PerThread& mine = of(t);
  if (cell.flag == nullptr) {
    cell.flag = std::make_unique<Flag>();
  } else if (!updates) {
    *cell.flag = {};
  } else if (cell.flag->rank != t.block->rank) {
    cell.flag->released[0] = {};
  }
  cell.flag->rank = t.block->rank;
  for (u32 i = 0; i < 2; ++i) cell.flag->released[i].join(mine.fenced[i]);
}

void Synchronisation::check_access(Thread& t, u64 address, u32 bytes, u32 element, u32 used,
                                   Access access, u32 site) {
  const auto what = [&] {
    return access_text(access, bytes) + " at byte " + std::to_string(address) + " of " +
           name_of_memory(t) + ": ";
  };
  Event event = now(t);
  event.atomic = is_atomic(access);
  bool unwritten = false;
  for (u32 start = 0; reads(access) && start < bytes; start += element) {
    bool any = false;
    for (u32 i = start; i < start + element; ++i) {
      any |= cell((address + i) >> granule_).written || !((used >> i) & 1);
    }
    unwritten |= !any;
  }
  for_cells(address, bytes, [&](Cell& cell) {
    if (cell.is_mbarrier) {
      t.fail(FaultKind::barrier_misuse, site, what() + "an mbarrier stands there");
    }
    if (cell.target_of != nullptr) {
      t.fail(FaultKind::unwaited_copy, site,
             what() + "the asynchronous copy of thread " +
                 std::to_string(cell.target_of->thread->index) + " at " +
                 place(*t.grid->kernel->module, cell.target_of->site) +
                 " writes there, and has not been waited for");
    }
    if (cell.sources != 0 && writes(access)) {
      t.fail(FaultKind::unwaited_copy, site,
             what() + "a bulk copy reads there, and has not been waited for");
    }
    if (!(cell.write.atomic && event.atomic) && !is_before(cell.write, t)) {
      if (cell.write.actor < all_threads_) {
        t.fail(FaultKind::shared_memory_race, site,
               what() + name_of(cell.write) + " wrote there, and no barrier stands between");
      }
      t.fail(FaultKind::unwaited_copy, site,
             what() + name_of(cell.write) + " wrote there, and this thread has not waited for it");
    }
    if (writes(access)) {
      for (const Event& read : cell.reads) {
        if (!(read.atomic && event.atomic) && !is_before(read, t)) {
          t.fail(FaultKind::shared_memory_race, site,
                 what() + name_of(read) + " read there, and no barrier stands between");
        }
      }
      cell.reads.clear();
      cell.write = event;
      cell.written = true;
    } else {
      // Whoever comes after this read comes after those that are before it.
      std::erase_if(cell.reads, [&](const Event& read) {
        return (read.atomic || !event.atomic) && is_before(read, t);
      });
      cell.reads.push_back(event);
    }
  });
  if (unwritten) t.fail(FaultKind::uninitialised_read, site, what() + "it was never written");
  Cell& first = cell(address >> granule_);
  if (!event.atomic) {
    if (writes(access)) first.flag.reset();
    return;
  }
  if (reads(access)) observe(t, first);
  if (writes(access)) set_flag(t, first, reads(access));
}

// Named barriers

u32 Synchronisation::arrive_at_barrier(Thread& t, BarrierUse use, u32 barrier, u32 count,
                                       bool predicate, bool aligned, u32 site) {
  const std::string name = "barrier " + std::to_string(barrier);
  if (barrier >= kBarriers) {
    t.fail(FaultKind::barrier_misuse, site, name + ", expected 0 to 15");
  }
  if (count == 0 || count % kWarp != 0 || count > Machine::kMaxThreadsPerBlock) {
    t.fail(FaultKind::barrier_misuse, site,
           name + " for " + std::to_string(count) +
               " threads, expected a multiple of 32 from 32 to 1024");
  }
  for (const Thread* const other : machine_.at_barrier_) {
    if (other->wait_mask_ == barrier) {
      t.fail(FaultKind::barrier_misuse, site,
             name + " for " + std::to_string(count) + " threads, at which thread " +
                 std::to_string(other->index) + " waits for all");
    }
  }
  t.operand_ = pack({static_cast<u16>(count), static_cast<u8>(barrier), use, predicate});
  t.wait_for_warp(~u32{0}, site, aligned ? &join_barrier_aligned : &join_barrier);
  if (use == BarrierUse::arrive) return 0;
  if (t.result_ == 0) {
    t.state_ = Thread::State::at_named_barrier;
    t.wait_mask_ = barrier;
    t.wait_site_ = site;
    machine_.yield(t);
  }
  return static_cast<u32>(t.result_);
}

/// Run when all lanes of a warp have come: it arrives as a whole.
void Synchronisation::join_barrier(Thread* warp, u32 members, u32 site) {
  const Thread& first = warp[std::countr_zero(members)];
  Machine& machine = *first.grid->machine;
  Synchronisation& self = *machine.sync_;
  const Request request = unpack(first.operand_);
  NamedBarrier& barrier = self.barriers_[request.barrier];
  const std::string name = "barrier " + std::to_string(request.barrier);
  for (u32 rest = members; rest != 0; rest &= rest - 1) {
    Thread& t = warp[std::countr_zero(rest)];
    const Request other = unpack(t.operand_);
    if (other.count != request.count || other.barrier != request.barrier ||
        other.use != request.use) {
      t.fail(FaultKind::barrier_misuse, t.wait_site_,
             "lanes of a warp are at " + name + " and at " + std::to_string(other.barrier) +
                 ", or use it differently");
    }
  }
  if (barrier.arrived != 0 && barrier.expected != request.count) {
    warp[std::countr_zero(members)].fail(FaultKind::barrier_misuse, site,
                                         name + " for " + std::to_string(request.count) +
                                             " threads, at which others wait for " +
                                             std::to_string(barrier.expected));
  }
  if (barrier.arrived != 0 && barrier.use != request.use &&
      (is_reduction(barrier.use) || is_reduction(request.use))) {
    warp[std::countr_zero(members)].fail(
        FaultKind::barrier_misuse, site,
        name + ": a reduction together with another use of the same barrier");
  }
  barrier.expected = request.count;
  barrier.use = request.use;
  for (u32 rest = members; rest != 0; rest &= rest - 1) {
    Thread& t = warp[std::countr_zero(rest)];
    self.release(t, barrier.seen);
    ++barrier.voters;
    if (unpack(t.operand_).predicate) ++barrier.votes;
    t.result_ = 0;
    if (request.use != BarrierUse::arrive) barrier.members.push_back(&t);
  }
  barrier.arrived += kWarp;  // of a warp with fewer lanes too
  if (barrier.arrived < barrier.expected) return;
  machine.races_.barrier(machine.block_order_);
  u32 result = 0;
  if (request.use == BarrierUse::all) result = barrier.votes == barrier.voters ? 1 : 0;
  if (request.use == BarrierUse::any) result = barrier.votes != 0 ? 1 : 0;
  if (request.use == BarrierUse::count) result = barrier.votes;
  machine.idle_polls_ = 0;
  for (Thread* const t : barrier.members) {
    self.of(*t).seen.join(barrier.seen);
    t->result_ = kPassed | result;
    if (t->state_ == Thread::State::at_named_barrier) machine.make_runnable(*t);
  }
  barrier = {};
}

void Synchronisation::join_barrier_aligned(Thread* warp, u32 members, u32 site) {
  join_barrier(warp, members, site);
}

std::string Synchronisation::describe_barrier(u32 barrier) const {
  const NamedBarrier& b = barriers_[barrier];
  return "at barrier " + std::to_string(barrier) + " for " + std::to_string(b.expected) +
         " threads, of which " + std::to_string(b.arrived) + " have arrived";
}

// mbarriers

Synchronisation::MBarrier& Synchronisation::find(Thread& t, u64 address, u32 site) {
  const auto it =
      address <= ~u32{0} ? mbarriers_.find(static_cast<u32>(address)) : mbarriers_.end();
  if (it == mbarriers_.end()) {
    t.fail(FaultKind::barrier_misuse, site,
           "byte " + std::to_string(address) + " of " + name_of_memory(t) +
               " is no mbarrier; mbarrier.init comes first");
  }
  if (of(t).seen.others.of(it->second.init_actor) == 0) {
    t.fail(FaultKind::shared_memory_race, site,
           it->second.initialiser + " initialised the mbarrier at byte " + std::to_string(address) +
               " of " + name_of_memory(t) + ", and no barrier stands between");
  }
  return it->second;
}

void Synchronisation::init(Thread& t, u64 address, u32 count, u32 site) {
  if (count == 0 || count > kMostCount) {
    t.fail(FaultKind::barrier_misuse, site,
           "an mbarrier for " + std::to_string(count) + " arrivals, expected 1 to " +
               std::to_string(kMostCount));
  }
  if (address <= ~u32{0} && mbarriers_.contains(static_cast<u32>(address))) {
    t.fail(FaultKind::barrier_misuse, site,
           "the mbarrier at byte " + std::to_string(address) +
               " of shared memory is initialised again; mbarrier.inval ends its use");
  }
  machine_.shared_access(t, address, 8, 8, kAllBytes, Access::write, site);
  for_cells(address, 8, [](Cell& cell) { cell.is_mbarrier = true; });
  MBarrier& barrier = mbarriers_[static_cast<u32>(address)];
  barrier.expected = count;
  barrier.pending = count;
  barrier.actor = next_actor();
  barrier.init_actor = next_actor();
  barrier.initialiser = name_of_thread(number_of(t));
  of(t).seen.others.see(barrier.init_actor, 1);
  of(t).inits.push_back(barrier.init_actor);
}

void Synchronisation::fence_inits(const Thread& t) {
  for (const u32 actor : of(t).inits) of(t).fenced[1].others.see(actor, 1);
}

void Synchronisation::inval(Thread& t, u64 address, u32 site) {
  const MBarrier& barrier = find(t, address, site);
  if (!barrier.waiting.empty()) {
    t.fail(FaultKind::barrier_misuse, site,
           "an mbarrier is invalidated while thread " +
               std::to_string(barrier.waiting.front().thread->index) + " waits for it");
  }
  mbarriers_.erase(static_cast<u32>(address));
  for_cells(address, 8, [&](Cell& cell) {
    cell.is_mbarrier = false;
    cell.written = false;
    cell.write = now(t);
  });
}

void Synchronisation::change_tx(Thread& t, u64 address, s64 bytes, u32 site) {
  MBarrier& barrier = find(t, address, site);
  barrier.tx += bytes;
  if (barrier.tx > kMostCount || barrier.tx < -kMostCount) {
    t.fail(FaultKind::barrier_misuse, site,
           "the tx-count of an mbarrier is " + std::to_string(barrier.tx) + ", expected at most " +
               std::to_string(kMostCount) + " either way");
  }
  complete_if_due(barrier);
}

void Synchronisation::complete_if_due(MBarrier& barrier) {
  if (barrier.pending != 0 || barrier.tx != 0) return;
  machine_.races_.barrier(machine_.block_order_);
  ++barrier.phase;
  barrier.pending = barrier.expected;
  // The writes of bulk copies that count on this phase are the mbarrier's, at this time.
  barrier.arrivals.others.see(barrier.actor, static_cast<u32>(barrier.phase));
  barrier.completed = barrier.arrivals;
  barrier.cluster_completed = barrier.cluster_arrivals;
  GlobalRaces::acquire(machine_.block_order_, barrier.written_before);
  machine_.idle_polls_ = 0;
  for (const Waiter& waiter : barrier.waiting) {
    acquire(*waiter.thread, barrier, waiter.wait);
    waiter.thread->result_ = 1;
    machine_.make_runnable(*waiter.thread);
  }
  barrier.waiting.clear();
}

/// What a thread sees by a wait for the last complete phase: at once, or after its next fence.
void Synchronisation::acquire(const Thread& t, const MBarrier& barrier, PhaseWait wait) {
  PerThread& mine = of(t);
  (wait.acquire ? mine.seen : mine.observed[0]).join(barrier.completed);
  (wait.acquire && wait.cluster_scope ? mine.seen : mine.observed[1])
      .join(barrier.cluster_completed);
}

u64 Synchronisation::arrive(Thread& t, u64 address, Arrival arrival, u32 site) {
  MBarrier& barrier = find(t, address, site);
  if (arrival.expected_bytes != 0) {
    // As expect_tx before the arrival, which alone could not complete the phase.
    barrier.tx += arrival.expected_bytes;
    if (barrier.tx > kMostCount) {
      t.fail(FaultKind::barrier_misuse, site,
             "the tx-count of an mbarrier is " + std::to_string(barrier.tx) +
                 ", expected at most " + std::to_string(kMostCount));
    }
  }
  if (arrival.count == 0 || arrival.count > barrier.pending) {
    t.fail(FaultKind::barrier_misuse, site,
           std::to_string(arrival.count) + " arrivals at an mbarrier that waits for " +
               std::to_string(barrier.pending) + " of " + std::to_string(barrier.expected));
  }
  if (!arrival.may_complete && arrival.count == barrier.pending) {
    t.fail(FaultKind::barrier_misuse, site, "an arrival with .noComplete completes the phase");
  }
  const u64 state = barrier.phase << 20 | barrier.pending;
  if (t.grid->machine == &machine_) {
    if (arrival.release) {
      release(t, barrier.arrivals);
    } else {
      barrier.arrivals.join(of(t).fenced[0]);
    }
  } else if (arrival.release && arrival.cluster_scope) {
    release(t, barrier.cluster_arrivals);
    barrier.written_before = GlobalRaces::join(
        barrier.written_before, machine_.races_.release(t.grid->machine->block_order_, t.index));
  } else {
    barrier.cluster_arrivals.join(of(t).fenced[1]);
    barrier.written_before = GlobalRaces::join(
        barrier.written_before, GlobalRaces::fenced(t.grid->machine->block_order_, t.index));
  }
  barrier.pending -= arrival.count;
  if (arrival.drop) barrier.expected -= arrival.count;
  complete_if_due(barrier);
  return state;
}

bool Synchronisation::wait(Thread& t, u64 address, u64 phase, PhaseWait wait, u32 site) {
  MBarrier& barrier = find(t, address, site);
  bool done = false;
  if (wait.by_parity) {
    if (phase > 1) {
      t.fail(FaultKind::barrier_misuse, site,
             "the parity of a phase is " + std::to_string(phase) + ", expected 0 or 1");
    }
    // The phase of that parity is the present one, or the one before.
    done = (barrier.phase & 1) != phase;
  } else {
    const u64 waited = phase >> 20;
    if (waited > barrier.phase || waited + 1 < barrier.phase) {
      t.fail(FaultKind::barrier_misuse, site,
             "a state of phase " + std::to_string(waited) + " of an mbarrier in phase " +
                 std::to_string(barrier.phase));
    }
    done = waited < barrier.phase;
  }
  if (done) {
    acquire(t, barrier, wait);
    return true;
  }
  if (!wait.may_suspend || machine_.random_.below(4) == 0) {
    machine_.idle_polls_ += Machine::kIdlePollsOfTest;
    if (machine_.idle_polls_ > Machine::kMostIdlePolls) {
      t.fail(
          FaultKind::deadlock, site,
          "threads spin and none makes progress, " + describe_mbarrier(static_cast<u32>(address)));
    }
    t.poll(site);
    return false;
  }
  t.state_ = Thread::State::at_mbarrier;
  t.wait_mask_ = static_cast<u32>(address);
  t.wait_site_ = site;
  barrier.waiting.push_back({&t, wait});
  machine_.yield(t);
  return t.result_ != 0;
}

bool Synchronisation::time_out() {
  u32 waiting = 0;
  for (const auto& [address, barrier] : mbarriers_) {
    waiting += static_cast<u32>(barrier.waiting.size());
  }
  if (waiting == 0) return false;
  u32 chosen = machine_.random_.below(waiting);
  for (auto& [address, barrier] : mbarriers_) {
    if (chosen >= barrier.waiting.size()) {
      chosen -= static_cast<u32>(barrier.waiting.size());
      continue;
    }
    Thread& t = *barrier.waiting[chosen].thread;
    barrier.waiting.erase(barrier.waiting.begin() + chosen);
    t.result_ = 0;
    machine_.make_runnable(t);
    break;
  }
  return true;
}

std::string Synchronisation::describe_mbarrier(u32 address) const {
  const MBarrier& barrier = mbarriers_.at(address);
  return "at the mbarrier at byte " + std::to_string(address) + " of shared memory, in phase " +
         std::to_string(barrier.phase) + ", which waits for " + std::to_string(barrier.pending) +
         " of " + std::to_string(barrier.expected) + " arrivals and has a tx-count of " +
         std::to_string(barrier.tx);
}

// Barriers of a cluster

namespace {

Cluster& cluster_of(const Thread& t) { return *t.grid->machine->cluster(); }

}  // namespace

std::string Synchronisation::describe_cluster_barrier() const {
  const Cluster& cluster = *machine_.cluster_;
  return "at the barrier of the cluster, at which " + std::to_string(cluster.arrived) + " of " +
         std::to_string(cluster.live_threads()) + " threads have arrived";
}

/// A thread sees what was before the arrivals, and that all blocks have started.
void Synchronisation::pass_cluster_barrier(Thread& t, const Cluster& cluster) {
  PerThread& mine = of(t);
  mine.has_arrived = false;
  mine.seen.join(cluster.completed);
  mine.seen.others.see(Cluster::kStart, 1);
  t.result_ = kPassed;
}

void Synchronisation::complete_cluster_if_due(Cluster& cluster) {
  if (cluster.arrived == 0 || cluster.arrived != cluster.live_threads()) return;
  ++cluster.phase;
  cluster.arrived = 0;
  cluster.completed = std::exchange(cluster.arrivals, {});
  cluster.written = std::exchange(cluster.written_before, nullptr);
  const Machine* last = nullptr;
  for (Thread* const t : cluster.waiting) {
    pass_cluster_barrier(*t, cluster);
    Machine& machine = *t->grid->machine;
    if (&machine != last) GlobalRaces::acquire(machine.block_order_, cluster.written);
    last = &machine;
    machine.idle_polls_ = 0;
    if (t->state_ == Thread::State::at_cluster_barrier) machine.make_runnable(*t);
  }
  cluster.waiting.clear();
}

/// Run when all lanes of a warp have come, as the ISA has them wait for each other.
void Synchronisation::arrive_at_cluster(Thread* warp, u32 members, u32 site) {
  Cluster& cluster = cluster_of(warp[std::countr_zero(members)]);
  bool releases = false;
  for (u32 rest = members; rest != 0; rest &= rest - 1) {
    Thread& t = warp[std::countr_zero(rest)];
    PerThread& mine = of(t);
    if (mine.has_arrived) {
      t.fail(FaultKind::barrier_misuse, site,
             "a thread arrives at the barrier of the cluster for the second time without a wait "
             "in between");
    }
    mine.has_arrived = true;
    mine.arrival_phase = cluster.phase;
    ++cluster.arrived;
    BlockOrder& order = t.grid->machine->block_order_;
    GlobalRaces& races = t.grid->machine->races_;
    if (t.operand_ == 0) {
      cluster.arrivals.join(mine.fenced[1]);
      cluster.written_before =
          GlobalRaces::join(cluster.written_before, GlobalRaces::fenced(order, t.index));
    } else {
      release(t, cluster.arrivals);
      if (!releases) {
        cluster.written_before =
            GlobalRaces::join(cluster.written_before, races.release(order, t.index));
      }
      releases = true;
    }
  }
  complete_cluster_if_due(cluster);
}

void Synchronisation::arrive_at_cluster_aligned(Thread* warp, u32 members, u32 site) {
  arrive_at_cluster(warp, members, site);
}

void Synchronisation::wait_for_cluster(Thread* warp, u32 members, u32 site) {
  const Thread& first = warp[std::countr_zero(members)];
  Cluster& cluster = cluster_of(first);
  if (of(first).arrival_phase != cluster.phase) {
    GlobalRaces::acquire(first.grid->machine->block_order_, cluster.written);
  }
  for (u32 rest = members; rest != 0; rest &= rest - 1) {
    Thread& t = warp[std::countr_zero(rest)];
    const PerThread& mine = of(t);
    if (!mine.has_arrived) {
      t.fail(FaultKind::barrier_misuse, site,
             "a thread waits for the barrier of the cluster without having arrived");
    }
    t.result_ = 0;
    if (mine.arrival_phase != cluster.phase) {
      pass_cluster_barrier(t, cluster);
    } else {
      cluster.waiting.push_back(&t);
    }
  }
}

void Synchronisation::wait_for_cluster_aligned(Thread* warp, u32 members, u32 site) {
  wait_for_cluster(warp, members, site);
}

void Synchronisation::arrive_at_cluster_barrier(Thread& t, bool release, bool aligned, u32 site) {
  t.operand_ = release ? 1 : 0;
  t.wait_for_warp(~u32{0}, site, aligned ? &arrive_at_cluster_aligned : &arrive_at_cluster);
}

void Synchronisation::wait_for_cluster_barrier(Thread& t, bool aligned, u32 site) {
  t.wait_for_warp(~u32{0}, site, aligned ? &wait_for_cluster_aligned : &wait_for_cluster);
  if (t.result_ == 0) {
    t.state_ = Thread::State::at_cluster_barrier;
    t.wait_mask_ = 0;
    t.wait_site_ = site;
    t.grid->machine->yield(t);
  }
}

void Synchronisation::leave_cluster(const Thread& t) {
  if (machine_.cluster_ == nullptr) return;
  Cluster& cluster = *machine_.cluster_;
  const PerThread& mine = of(t);
  if (mine.has_arrived && mine.arrival_phase == cluster.phase) --cluster.arrived;
  complete_cluster_if_due(cluster);
}

// Asynchronous copies

u32 Synchronisation::copier(const Thread& t) {
  u32& copier = of(t).copier;
  if (copier == 0) copier = all_threads_ + next_actor();
  return copier;
}

Synchronisation::Operation& Synchronisation::begin(Operation::Kind kind, Thread& t, u32 shared,
                                                   u64 global, u32 bytes, u32 site) {
  Operation* operation = nullptr;
  if (free_.empty()) {
    operation = &operations_.emplace_back();
  } else {
    operation = free_.back();
    free_.pop_back();
    *operation = {};
  }
  operation->kind = kind;
  operation->thread = &t;
  operation->target = this;
  operation->site = site;
  operation->shared = shared;
  operation->global = global;
  operation->bytes = bytes;
  operation->source_bytes = bytes;
  operation->open = true;
  open_.push_back(operation);
  return *operation;
}

void Synchronisation::free_if_over(Operation* operation) {
  if (operation->performed && !operation->open && !operation->owned) free_.push_back(operation);
}

bool Synchronisation::step() {
  while (!open_.empty()) {
    const u32 chosen = machine_.random_.below(static_cast<u32>(open_.size()));
    Operation* const operation = open_[chosen];
    if (operation->performed) {
      open_[chosen] = open_.back();
      open_.pop_back();
      operation->open = false;
      free_if_over(operation);
      continue;
    }
    try {
      perform(*operation);
    } catch (const ThreadStopped&) {
      // The fault is recorded, and the machine stops.
    }
    return true;
  }
  return false;
}

void Synchronisation::maybe_step() {
  if (!open_.empty() && machine_.random_.below(lateness_) == 0) step();
}

/// The next step of an operation.
void Synchronisation::perform(Operation& operation) {
  Thread& t = *operation.thread;
  Synchronisation& target = *operation.target;
  u8* const shared = target.machine_.shared_.data() + operation.shared;
  const auto find_mbarrier = [&]() -> MBarrier* {
    const auto it = target.mbarriers_.find(operation.mbarrier);
    if (it != target.mbarriers_.end()) return &it->second;
    machine_.record_fault(t, FaultKind::barrier_misuse, operation.site,
                          "the mbarrier that this counts on was invalidated");
    return nullptr;
  };
  switch (operation.kind) {
    case Operation::Kind::copy:
      operation.performed = true;
      std::memcpy(shared, storage_of(operation.global), operation.source_bytes);
      std::memset(shared + operation.source_bytes, 0, operation.bytes - operation.source_bytes);
      return;
    case Operation::Kind::arrival: {
      operation.performed = true;
      MBarrier* const barrier = find_mbarrier();
      if (barrier == nullptr) return;
      for (Operation* const copy : of(t).copies) {
        if (copy->ticket > operation.ticket) break;
        if (!copy->performed) perform(*copy);
        if (!copy->complete) complete(*copy, copier(t), copy->ticket);
      }
      if (barrier->pending == 0) {
        machine_.record_fault(t, FaultKind::barrier_misuse, operation.site,
                              "the arrival after the copies is one more than the mbarrier's " +
                                  std::to_string(barrier->expected));
        return;
      }
      barrier->arrivals.others.see(copier(t) - all_threads_, operation.ticket);
      --barrier->pending;
      complete_if_due(*barrier);
      return;
    }
    case Operation::Kind::bulk_to_shared:
    case Operation::Kind::bulk_to_block: {
      operation.performed = true;
      MBarrier* const barrier = find_mbarrier();
      if (barrier == nullptr) return;
      if (operation.kind == Operation::Kind::bulk_to_shared) {
        std::memcpy(shared, storage_of(operation.global), operation.bytes);
      } else {
        std::memcpy(shared, machine_.shared_.data() + operation.source, operation.bytes);
      }
      // What the copy wrote is the mbarrier's, and so is what it read.
      const Event event{all_threads_ + barrier->actor, static_cast<u32>(barrier->phase + 1),
                        machine_.epoch_, false};
      complete(operation, event.actor, event.time);
      if (operation.kind == Operation::Kind::bulk_to_block && operation.bytes != 0) {
        for_cells(operation.source, operation.bytes, [&](Cell& cell) {
          --cell.sources;
          cell.reads.push_back(event);
        });
      }
      barrier->tx -= operation.bytes;
      if (barrier->tx < -kMostCount) {
        machine_.record_fault(t, FaultKind::barrier_misuse, operation.site,
                              "more bytes arrive at an mbarrier than it can count");
        return;
      }
      target.complete_if_due(*barrier);
      return;
    }
    case Operation::Kind::bulk_to_global:
      if (!operation.read) {
        operation.data.assign(shared, shared + operation.bytes);
        operation.read = true;
        return;
      }
      operation.performed = true;
      for (u32 i = 0; i < operation.bytes; i += 16) {
        u8* const to =
            t.global<Access::write, 16, 16, kAllBytes>(operation.global + i, operation.site);
        std::memcpy(to, operation.data.data() + i, 16);
      }
      return;
  }
}

/// What an operation wrote belongs to an actor now, at a time of the actor's.
void Synchronisation::complete(Operation& operation, u32 actor, u32 time) {
  operation.complete = true;
  if (operation.bytes == 0) return;
  operation.target->for_cells(operation.shared, operation.bytes, [&](Cell& cell) {
    cell.target_of = nullptr;
    cell.written = true;
    cell.write = {actor, time, machine_.epoch_, false};
    cell.reads.clear();
    cell.flag.reset();
  });
}

/// A request of one lane of a warp.
void Synchronisation::check_source(Thread& t, u64 global, u32 bytes, u32 site) {
  switch (bytes) {
    case 16:
      t.access<Space::global_, Access::read, 16, 4>(global, site);
      return;
    case 8:
      t.access<Space::global_, Access::read, 8, 4>(global, site);
      return;
    case 4:
      t.access<Space::global_, Access::read, 4, 4>(global, site);
      return;
    default:
      for (u32 i = 0; i < bytes; ++i) {
        t.access<Space::global_, Access::read, 1, 1>(global + i, site);
      }
  }
}

void Synchronisation::check_target(Thread& t, u64 shared, u32 bytes, u32 site) {
  switch (bytes) {
    case 16:
      t.access<Space::shared_, Access::write, 16, 16>(shared, site);
      return;
    case 8:
      t.access<Space::shared_, Access::write, 8, 8>(shared, site);
      return;
    default:
      t.access<Space::shared_, Access::write, 4, 4>(shared, site);
  }
}

void Synchronisation::copy(Thread& t, u64 shared, u64 global, u32 bytes, u32 source_bytes,
                           u32 site) {
  if (source_bytes > bytes) {
    t.fail(FaultKind::illegal_address, site,
           "an asynchronous copy of " + std::to_string(bytes) + " bytes from " +
               std::to_string(source_bytes));
  }
  if (global % bytes != 0) {
    t.fail(FaultKind::misaligned_address, site,
           "an asynchronous copy of " + std::to_string(bytes) + " bytes from an address that is " +
               std::to_string(global % bytes) + " too high");
  }
  check_target(t, shared, bytes, site);
  check_source(t, global, source_bytes, site);
  shared = machine_.offset_of(shared);
  Operation& operation =
      begin(Operation::Kind::copy, t, static_cast<u32>(shared), global, bytes, site);
  operation.source_bytes = source_bytes;
  operation.group = of(t).groups + 1;
  operation.ticket = ++of(t).tickets;
  operation.owned = true;
  of(t).copies.push_back(&operation);
  for_cells(shared, bytes, [&](Cell& cell) { cell.target_of = &operation; });
}

void Synchronisation::wait_for_copies(const Thread& t, u32 newest) {
  PerThread& mine = of(t);
  std::size_t done = 0;
  for (; done < mine.copies.size() && u64{mine.copies[done]->group} + newest <= mine.groups;
       ++done) {
    Operation& operation = *mine.copies[done];
    if (!operation.performed) perform(operation);
    if (!operation.complete) complete(operation, copier(t), operation.ticket);
    mine.seen.others.see(copier(t) - all_threads_, operation.ticket);
    operation.owned = false;
    free_if_over(&operation);
  }
  mine.copies.erase(mine.copies.begin(), mine.copies.begin() + static_cast<std::ptrdiff_t>(done));
}

void Synchronisation::arrive_after_copies(Thread& t, u64 address, bool counted, u32 site) {
  MBarrier& barrier = find(t, address, site);
  if (!counted) {
    if (barrier.pending >= kMostCount) {
      t.fail(FaultKind::barrier_misuse, site, "an mbarrier waits for too many arrivals");
    }
    ++barrier.pending;
  }
  Operation& operation = begin(Operation::Kind::arrival, t, 0, 0, 0, site);
  operation.mbarrier = static_cast<u32>(address);
  operation.ticket = of(t).tickets;
}

void Synchronisation::bulk_to_shared(Thread& t, Synchronisation& target, u64 shared, u64 global,
                                     u32 bytes, u64 mbarrier, u32 site) {
  target.find(t, mbarrier, site);
  if (bytes % 16 != 0 || global % 16 != 0 || shared % 16 != 0) {
    t.fail(FaultKind::misaligned_address, site,
           "a bulk copy of " + std::to_string(bytes) +
               " bytes, expected multiples of 16 for size and addresses");
  }
  if (t.counts != nullptr) t.record(global, bytes, Access::read, site);
  for (u32 i = 0; i < bytes; i += 16) {
    target.machine_.shared_access(t, shared + i, 16, 16, kAllBytes, Access::write, site);
    t.global<Access::read, 16, 4, kAllBytes>(global + i, site);
  }
  Operation& operation =
      begin(Operation::Kind::bulk_to_shared, t, static_cast<u32>(shared), global, bytes, site);
  operation.target = &target;
  operation.mbarrier = static_cast<u32>(mbarrier);
  if (bytes != 0) {
    target.for_cells(shared, bytes, [&](Cell& cell) { cell.target_of = &operation; });
  }
}

void Synchronisation::bulk_to_block(Thread& t, Synchronisation& target, u64 to, u64 from, u32 bytes,
                                    u64 mbarrier, u32 site) {
  target.find(t, mbarrier, site);
  if (bytes % 16 != 0 || from % 16 != 0 || to % 16 != 0) {
    t.fail(FaultKind::misaligned_address, site,
           "a bulk copy of " + std::to_string(bytes) +
               " bytes, expected multiples of 16 for size and addresses");
  }
  for (u32 i = 0; i < bytes; i += 16) {
    machine_.shared_access(t, from + i, 16, 4, kAllBytes, Access::read, site);
    target.machine_.shared_access(t, to + i, 16, 16, kAllBytes, Access::write, site);
  }
  Operation& operation =
      begin(Operation::Kind::bulk_to_block, t, static_cast<u32>(to), 0, bytes, site);
  operation.target = &target;
  operation.source = static_cast<u32>(from);
  operation.mbarrier = static_cast<u32>(mbarrier);
  if (bytes == 0) return;
  for_cells(from, bytes, [](Cell& cell) { ++cell.sources; });
  target.for_cells(to, bytes, [&](Cell& cell) { cell.target_of = &operation; });
}

void Synchronisation::bulk_to_global(Thread& t, u64 global, u64 shared, u32 bytes, u32 site) {
  if (bytes % 16 != 0 || global % 16 != 0 || shared % 16 != 0) {
    t.fail(FaultKind::misaligned_address, site,
           "a bulk copy of " + std::to_string(bytes) +
               " bytes, expected multiples of 16 for size and addresses");
  }
  if (t.counts != nullptr) t.record(global, bytes, Access::write, site);
  for (u32 i = 0; i < bytes; i += 16) {
    machine_.shared_access(t, shared + i, 16, 4, kAllBytes, Access::read, site);
    // The bytes count as written once they are; here it is only whether they may be.
    for (u64 at = global + i; at < global + i + 16; ++at) {
      if (!DeviceMemory::contains(at) || (*state_of(at) & (kAllocated | kReadOnly)) != kAllocated) {
        t.global<Access::write, 16, 16, kAllBytes>(global + i, site);
      }
    }
  }
  Operation& operation =
      begin(Operation::Kind::bulk_to_global, t, static_cast<u32>(shared), global, bytes, site);
  operation.group = of(t).bulk_groups + 1;
  operation.owned = true;
  of(t).bulk.push_back(&operation);
  if (bytes != 0) for_cells(shared, bytes, [](Cell& cell) { ++cell.sources; });
}

void Synchronisation::wait_for_bulk(const Thread& t, u32 newest, bool reads_only) {
  PerThread& mine = of(t);
  std::erase_if(mine.bulk, [&](Operation* operation) {
    if (u64{operation->group} + newest > mine.bulk_groups) return false;
    if (!operation->read) perform(*operation);
    if (!operation->released && operation->bytes != 0) {
      // The thread has read there, for whoever writes there next.
      for_cells(operation->shared, operation->bytes, [&](Cell& cell) {
        --cell.sources;
        cell.reads.push_back(now(t));
      });
    }
    operation->released = true;
    if (reads_only) return false;
    if (!operation->performed) perform(*operation);
    operation->owned = false;
    free_if_over(operation);
    return true;
  });
}

// What translated code calls

u64 shared_address(Thread& t, u64 generic, u32 site) {
  if (!is_in_space<Space::shared_>(generic)) {
    t.fail(FaultKind::illegal_address, site, "an mbarrier or a copy outside of shared memory");
  }
  return from_generic<Space::shared_>(generic);
}
bool is_own_shared(const Thread& t, u64 generic) {
  return is_in_space<Space::shared_>(generic) &&
         (from_generic<Space::shared_>(generic) - t.shared_base()) >> kBlockShift == 0;
}
u64 map_to_block(Thread& t, u64 address, u32 rank, u32 site) {
  const u64 size = t.grid->cluster_extent.count();
  static_cast<void>(block_of_address(t, address, site));
  if (rank >= size) {
    t.fail(FaultKind::illegal_address, site,
           "mapa to block " + std::to_string(rank) + " of a cluster of " + std::to_string(size));
  }
  return u64{rank} << kBlockShift | t.grid->machine->offset_of(address);
}
u32 block_of_address(Thread& t, u64 address, u32 site) {
  const u64 rank = address >> kBlockShift;
  if (rank >= t.grid->cluster_extent.count()) {
    t.fail(FaultKind::illegal_address, site,
           "what is taken for an address is in the shared memory of no block of the cluster");
  }
  return static_cast<u32>(rank);
}
void cluster_arrive(Thread& t, bool release, bool aligned, u32 site) {
  Synchronisation::arrive_at_cluster_barrier(t, release, aligned, site);
}
void cluster_wait(Thread& t, bool aligned, u32 site) {
  Synchronisation::wait_for_cluster_barrier(t, aligned, site);
}
u32 named_barrier(Thread& t, BarrierUse use, u32 barrier, u32 count, bool predicate, bool aligned,
                  u32 site) {
  return synchronisation(t).arrive_at_barrier(t, use, barrier, count, predicate, aligned, site);
}
void mbarrier_init(Thread& t, u64 address, u32 count, u32 site) {
  const SharedPlace place = place_of(t, address, false, site);
  place.block.init(t, place.offset, count, site);
}
void mbarrier_inval(Thread& t, u64 address, u32 site) {
  const SharedPlace place = place_of(t, address, false, site);
  place.block.inval(t, place.offset, site);
}
void mbarrier_expect_tx(Thread& t, u64 address, u32 bytes, bool any_block, u32 site) {
  const SharedPlace place = place_of(t, address, any_block, site);
  place.block.change_tx(t, place.offset, bytes, site);
}
void mbarrier_complete_tx(Thread& t, u64 address, u32 bytes, bool any_block, u32 site) {
  const SharedPlace place = place_of(t, address, any_block, site);
  place.block.change_tx(t, place.offset, -s64{bytes}, site);
}
u64 mbarrier_arrive(Thread& t, u64 address, Arrival arrival, u32 site) {
  const bool is_visit = arrival.release && arrival.cluster_scope;
  const SharedPlace place = place_of(t, address, arrival.any_block, site, is_visit);
  return place.block.arrive(t, place.offset, arrival, site);
}
bool mbarrier_wait(Thread& t, u64 address, u64 phase, PhaseWait wait, u32 site) {
  const SharedPlace place = place_of(t, address, false, site);
  return place.block.wait(t, place.offset, phase, wait, site);
}
void fence_mbarrier_inits(Thread& t) { synchronisation(t).fence_inits(t); }
void copy_async(Thread& t, u64 shared, u64 global, u32 bytes, u32 source_bytes, u32 site) {
  synchronisation(t).copy(t, shared, global, bytes, source_bytes, site);
}
void copy_async_commit(Thread& t) { synchronisation(t).commit(t); }
void copy_async_wait(Thread& t, u32 newest) { synchronisation(t).wait_for_copies(t, newest); }
void copy_async_wait_all(Thread& t) {
  synchronisation(t).commit(t);
  synchronisation(t).wait_for_copies(t, 0);
}
void copy_async_arrive(Thread& t, u64 address, bool counted, u32 site) {
  const SharedPlace place = place_of(t, address, false, site);
  place.block.arrive_after_copies(t, place.offset, counted, site);
}

namespace {

/// Where a bulk copy writes to; its mbarrier must be in the same block's shared memory.
SharedPlace target_of(Thread& t, u64 to, u64 mbarrier, u32 site) {
  const SharedPlace place = place_of(t, to, true, site);
  const SharedPlace counted = place_of(t, mbarrier, true, site);
  if (&place.block != &counted.block) {
    t.fail(FaultKind::barrier_misuse, site,
           "the mbarrier of a bulk copy is in the shared memory of another block than its target");
  }
  return place;
}

}  // namespace

void bulk_copy_to_shared(Thread& t, u64 shared, u64 global, u32 bytes, u64 mbarrier, u32 site) {
  const SharedPlace to = target_of(t, shared, mbarrier, site);
  synchronisation(t).bulk_to_shared(t, to.block, to.offset, global, bytes,
                                    t.grid->machine->offset_of(mbarrier), site);
}
void bulk_copy_to_block(Thread& t, u64 to, u64 from, u32 bytes, u64 mbarrier, u32 site) {
  const SharedPlace target = target_of(t, to, mbarrier, site);
  const SharedPlace source = place_of(t, from, false, site);
  source.block.bulk_to_block(t, target.block, target.offset, source.offset, bytes,
                             t.grid->machine->offset_of(mbarrier), site);
}
void bulk_copy_to_global(Thread& t, u64 global, u64 shared, u32 bytes, u32 site) {
  const SharedPlace source = place_of(t, shared, false, site);
  source.block.bulk_to_global(t, global, source.offset, bytes, site);
}
void bulk_commit(Thread& t) { synchronisation(t).commit_bulk(t); }
void bulk_wait(Thread& t, u32 newest, bool reads_only) {
  synchronisation(t).wait_for_bulk(t, newest, reads_only);
}

}  // namespace velum::emulation
