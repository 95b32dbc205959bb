#include "runtime/machine.h"

#include <cxxabi.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <tuple>
#include <unordered_map>

#include "runtime/profile.h"

namespace velum::emulation {
namespace {

/// The thread whose fiber runs; read by the fiber's entry, which has no argument.
Thread* current_thread = nullptr;

const char* to_text(FaultKind kind) {
  switch (kind) {
    case FaultKind::illegal_address:
      return "illegal address";
    case FaultKind::misaligned_address:
      return "misaligned address";
    case FaultKind::uninitialised_read:
      return "uninitialised read";
    case FaultKind::shared_memory_race:
      return "shared memory race";
    case FaultKind::global_memory_race:
      return "global memory race";
    case FaultKind::deadlock:
      return "deadlock";
    case FaultKind::warp_misuse:
      return "misuse of a warp operation";
    case FaultKind::division_by_zero:
      return "integer division by zero";
    case FaultKind::trap:
      return "trap";
    case FaultKind::assertion:
      return "assertion";
    case FaultKind::stack_overflow:
      return "stack overflow";
    case FaultKind::bad_call:
      return "call of what is no such function";
    case FaultKind::barrier_misuse:
      return "misuse of a barrier";
    case FaultKind::unwaited_copy:
      return "asynchronous copy that was not waited for";
    case FaultKind::unsupported:
      return "not supported by the emulation";
  }
  return "fault";
}

}  // namespace

std::string to_text(const Extent& e) {
  return "(" + std::to_string(e.x) + ", " + std::to_string(e.y) + ", " + std::to_string(e.z) + ")";
}

std::string access_text(Access access, u32 bytes) {
  switch (access) {
    case Access::read:
    case Access::volatile_read:
      return "read of " + std::to_string(bytes) + " bytes";
    case Access::write:
    case Access::volatile_write:
      return "write of " + std::to_string(bytes) + " bytes";
    case Access::atomic_read:
    case Access::atomic_write:
    case Access::atomic_update:
      return "atomic access of " + std::to_string(bytes) + " bytes";
  }
  return "access";
}

namespace {

std::string hex(u64 x) {
  char text[32];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(x));
  return text;
}

}  // namespace

const std::string& demangled(const char* name) {
  static std::unordered_map<std::string, std::string> names;
  std::string& text = names[name];
  if (text.empty()) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> found(
        abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free);
    text = status == 0 ? found.get() : name;
  }
  return text;
}

std::string place(const Module& module, u32 site) {
  const Site& s = module.sites[site];
  std::string text;
  if (s.file >= 0) {
    text = std::string(module.files[s.file]) + ":" + std::to_string(s.line);
    if (s.outer_file >= 0) {
      text += ", inlined at " + std::string(module.files[s.outer_file]) + ":" +
              std::to_string(s.outer_line);
    }
    text += ", ";
  }
  return text + module.ptx + ":" + std::to_string(s.ptx_line);
}

LocalMemory::LocalMemory(std::size_t bytes) : bytes_(bytes) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<u8*>(memory);
}
LocalMemory::~LocalMemory() { munmap(data_, bytes_); }

Machine::Machine(const DeviceMemory& memory, GlobalRaces& races)
    : memory_(memory),
      races_(races),
      stacks_(true),
      threads_(kMaxThreadsPerBlock),
      warps_(kMaxThreadsPerBlock / 32),
      local_(kMaxThreadsPerBlock * kLocalBytes),
      shared_(kMaxSharedBytes + 64),
      idle_polls_(own_idle_polls_) {}

Machine::Machine(const DeviceMemory& memory, Machine& lead)
    : memory_(memory),
      races_(lead.races_),
      lead_(&lead),
      stacks_(false),
      threads_(kMaxThreadsPerBlock),
      warps_(kMaxThreadsPerBlock / 32),
      local_(kMaxThreadsPerBlock * kLocalBytes),
      shared_(kMaxSharedBytes + 64),
      idle_polls_(lead.own_idle_polls_) {}

Grid Machine::prepare(const Kernel& kernel, const LaunchShape& shape, const u8* parameters,
                      u64 seed) {
  const u32 align = std::max<u32>(kernel.dynamic_shared_align, 16);
  const u32 dynamic_offset = (kernel.shared_bytes + align - 1) / align * align;
  Grid grid;
  grid.machine = this;
  grid.kernel = &kernel;
  grid.grid_extent = shape.grid;
  grid.block_extent = shape.block;
  grid.cluster_extent = shape.cluster;
  grid.explicit_cluster = shape.explicit_cluster;
  grid.dynamic_shared_bytes = shape.dynamic_shared_bytes;
  grid.dynamic_shared_offset = dynamic_offset;
  grid.parameters = parameters;
  fault_.reset();
  static_cast<void>(demangled(kernel.name));  // a thread that reports a fault may lack the stack
  random_ = ScheduleRandom(seed);
  const std::size_t cells = (grid.shared_bytes() >> kernel.shared_granule) + 1;
  writes_.assign(cells, {});
  reads_.assign(cells, {});
  epoch_ = 1;
  sync_ = kernel.synchronises ? &synchronisation_ : nullptr;
  for (Warp& warp : warps_) {
    if (warp.synchronised) warp = {};
  }
  const u32 threads = grid.threads_per_block();
  order_.resize(threads);
  std::iota(order_.begin(), order_.end(), 0U);
  for (u32 i = threads; i > 1; --i) std::swap(order_[i - 1], order_[random_.below(i)]);
  return grid;
}

namespace {

/// The `position`th of the places in an extent, x first.
Extent place_in(const Extent& e, u64 position) {
  return {static_cast<u32>(position % e.x), static_cast<u32>(position / e.x % e.y),
          static_cast<u32>(position / e.x / e.y)};
}

/// The numbers below `count` in a random order, an affine permutation; or as they are.
class RandomOrder {
 public:
  RandomOrder(u64 count, bool ascending, ScheduleRandom& random) : count_(count) {
    if (ascending || count < 2) return;
    next_ = random.next() % count;
    do {
      stride_ = random.next() % count;
    } while (std::gcd(stride_, count) != 1);
  }
  u64 next() {
    const u64 taken = next_;
    next_ += stride_;
    if (next_ >= count_) next_ -= count_;
    return taken;
  }

 private:
  u64 count_;
  u64 next_ = 0;
  u64 stride_ = 1;
};

}  // namespace

Block Machine::block_at(const Grid& grid, Extent index) {
  const Extent& c = grid.cluster_extent;
  Block block;
  block.index = index;
  block.cluster_index = {index.x / c.x, index.y / c.y, index.z / c.z};
  block.index_in_cluster = {index.x % c.x, index.y % c.y, index.z % c.z};
  const Extent& in = block.index_in_cluster;
  block.rank = in.x + c.x * (in.y + c.y * in.z);
  if (grid.kernel->module->reaches_blocks) block.shared_base = u64{block.rank} << kBlockShift;
  return block;
}

Block Machine::block_at(const Grid& grid, u64 position) {
  return block_at(grid, place_in(grid.grid_extent, position));
}

std::optional<Fault> Machine::run(const Kernel& kernel, const LaunchShape& shape,
                                  const u8* parameters, u64 seed) {
  // Threads that never wait for others need no company.
  if (kernel.reaches_blocks || (kernel.waits && shape.cluster.count() > 1)) {
    return run_clusters(kernel, shape, parameters, seed);
  }
  Grid grid = prepare(kernel, shape, parameters, seed);
  // Blocks run one after the other. Their order is random, but ascending where a kernel polls
  // memory that other blocks write: such kernels (a scan with look-back) may rely on lower blocks
  // having been started.
  const u64 blocks = shape.grid.count();
  if (profiler_ != nullptr) profiler_->start_launch(grid);
  RandomOrder order(blocks, kernel.polls, random_);
  for (u64 i = 0; i < blocks && !fault_; ++i) {
    Block block = block_at(grid, order.next());
    run_block(grid, block);
    if (profiler_ != nullptr && !fault_) profiler_->finish_block(grid);
  }
  if (profiler_ != nullptr && !fault_) profiler_->finish_launch(grid);
  return fault_;
}

std::optional<Fault> Machine::run_clusters(const Kernel& kernel, const LaunchShape& shape,
                                           const u8* parameters, u64 seed) {
  ScheduleRandom random(seed);
  const Extent& size = shape.cluster;
  std::vector<Resident> blocks = reside(kernel, shape, size.count(), parameters, random);
  const Extent clusters{shape.grid.x / size.x, shape.grid.y / size.y, shape.grid.z / size.z};
  RandomOrder order(clusters.count(), kernel.polls, random);
  for (u64 i = 0; i < clusters.count(); ++i) {
    const Extent cluster = place_in(clusters, order.next());
    for (u64 rank = 0; rank < blocks.size(); ++rank) {
      const Extent in = place_in(size, rank);
      blocks[rank].block = block_at(
          blocks[rank].grid,
          {cluster.x * size.x + in.x, cluster.y * size.y + in.y, cluster.z * size.z + in.z});
    }
    if (const std::optional<Fault> fault = run_in_turns(blocks, random)) return fault;
  }
  return std::nullopt;
}

std::optional<Fault> Machine::run_cooperatively(const Kernel& kernel, const LaunchShape& shape,
                                                const u8* parameters, u64 seed, u64 workspace) {
  if (!kernel.waits) return run(kernel, shape, parameters, seed);
  ScheduleRandom random(seed);
  std::vector<Resident> blocks = reside(kernel, shape, shape.grid.count(), parameters, random);
  for (u64 i = 0; i < blocks.size(); ++i) {
    blocks[i].grid.workspace = workspace;
    blocks[i].block = block_at(blocks[i].grid, i);
  }
  return run_in_turns(blocks, random);
}

std::vector<Machine::Resident> Machine::reside(const Kernel& kernel, const LaunchShape& shape,
                                               u64 blocks, const u8* parameters,
                                               ScheduleRandom& random) {
  std::vector<Resident> all;
  for (u64 i = 0; i < blocks; ++i) {
    if (i == residents_.size()) {
      residents_.push_back(std::unique_ptr<Machine>(new Machine(memory_, *this)));
    }
    Machine& machine = *residents_[i];
    all.push_back({machine.prepare(kernel, shape, parameters, random.next()), {}, &machine});
  }
  return all;
}

/// The clusters that the blocks are of, if their kernel reaches from one to the other.
std::vector<Cluster> Machine::form_clusters(std::vector<Resident>& blocks) {
  const Grid& grid = blocks.front().grid;
  if (!grid.kernel->reaches_blocks) {
    for (const Resident& resident : blocks) resident.machine->cluster_ = nullptr;
    return {};
  }
  const u64 size = grid.cluster_extent.count();
  std::map<std::tuple<u32, u32, u32>, std::size_t> numbers;
  std::vector<Cluster> clusters(blocks.size() / size);
  for (Resident& resident : blocks) {
    const Extent& e = resident.block.cluster_index;
    const std::size_t number = numbers.try_emplace({e.x, e.y, e.z}, numbers.size()).first->second;
    clusters[number].blocks.resize(size);
    clusters[number].blocks[resident.block.rank] = {resident.machine, &resident.block};
    resident.machine->cluster_ = &clusters[number];
    resident.machine->rank_ = resident.block.rank;
  }
  return clusters;
}

std::optional<Fault> Machine::run_in_turns(std::vector<Resident>& blocks, ScheduleRandom& random) {
  const std::vector<Cluster> clusters = form_clusters(blocks);
  blocks.front().machine->idle_polls_ = 0;
  std::vector<Resident*> running;
  for (Resident& resident : blocks) {  // in their place for good: threads point to them
    resident.machine->start_fibers(resident.grid, resident.block);
    running.push_back(&resident);
  }
  std::size_t stuck = 0;  // of the last turns
  std::size_t next = 0;
  while (!running.empty()) {
    // After a turn that came to nothing the others get theirs; then all have been asked.
    if (stuck == 0) next = random.below(static_cast<u32>(running.size()));
    next %= running.size();
    Resident& resident = *running[next];
    const Turn turn = resident.machine->take_turn(resident.grid, resident.block);
    if (turn == Turn::stuck && ++stuck == running.size()) {
      // A wait of any block may time out.
      const u32 first = random.below(static_cast<u32>(running.size()));
      bool goes_on = false;
      for (u32 i = 0; i < running.size() && !goes_on; ++i) {
        goes_on = running[(first + i) % running.size()]->machine->time_out();
      }
      if (!goes_on) resident.machine->resolve(resident.grid, resident.block);
      stuck = 0;
    } else if (turn == Turn::stuck) {
      ++next;
    } else {
      stuck = 0;
    }
    if (resident.machine->fault_) return resident.machine->fault_;
    if (turn == Turn::ended) {
      running[next] = running.back();
      running.pop_back();
    }
  }
  return std::nullopt;
}

void Machine::reset_thread(Grid& grid, Block& block, u32 index) {
  Thread& t = threads_[index];
  t.grid = &grid;
  t.block = &block;
  const Extent& e = grid.block_extent;
  t.tid = {index % e.x, index / e.x % e.y, index / e.x / e.y};
  t.index = index;
  t.counts = profiler_ != nullptr ? profiler_->counts(t) : nullptr;
  t.local_ = local_.data() + index * kLocalBytes;
  t.local_end_ = Thread::kFirstLocal;
  t.state_ = Thread::State::runnable;
  t.gathering_site_ = Thread::kNotGathering;
}

void Machine::run_block(Grid& grid, Block& block) {
  if (grid.kernel->waits) {
    run_as_fibers(grid, block);
  } else {
    run_in_turn(grid, block);
  }
}

void Machine::start_block(const Grid& grid, Block& block) {
  block.threads = threads_.data();
  const Extent& e = grid.grid_extent;
  races_.begin_block(block_order_,
                     block.index.x + u64{e.x} * (block.index.y + u64{e.y} * block.index.z));
  ++epoch_;
  first_epoch_ = epoch_;
}

/// A kernel whose threads never wait: each runs to its end, on the host's own stack.
void Machine::run_in_turn(Grid& grid, Block& block) {
  start_block(grid, block);
  const u32 count = grid.threads_per_block();
  const u32 start = random_.below(count);
  // As much stack as a fiber has.
  const char* const stack_limit = static_cast<const char*>(__builtin_frame_address(0)) -
                                  FiberStacks::kStackBytes + Thread::kStackReserve;
  for (u32 i = 0; i < count && !fault_;) {
    try {
      for (; i < count; ++i) {
        const u32 at = start + i < count ? start + i : start + i - count;
        reset_thread(grid, block, order_[at]);
        threads_[order_[at]].stack_limit_ = stack_limit;
        grid.kernel->body(threads_[order_[at]]);
      }
    } catch (const ThreadStopped&) {
      ++i;
    }
  }
}

void Machine::run_as_fibers(Grid& grid, Block& block) {
  own_idle_polls_ = 0;
  start_fibers(grid, block);
  while (!fault_) {
    const Turn turn = take_turn(grid, block);
    if (turn == Turn::ended) return;
    if (turn == Turn::stuck) resolve(grid, block);
  }
}

void Machine::start_fibers(Grid& grid, Block& block) {
  start_block(grid, block);
  const u32 count = grid.threads_per_block();
  block.warps = warps_.data();
  block.live = count;
  runnable_.clear();
  at_barrier_.clear();
  next_ = nullptr;
  next_but_one_ = nullptr;
  for (u32 i = 0; i < grid.warps_per_block(); ++i) {
    Warp& warp = warps_[i];
    if (warp.synchronised) warp = {};
    const u32 lanes = std::min<u32>(32, count - 32 * i);
    warp.live = lanes == 32 ? ~u32{0} : (u32{1} << lanes) - 1;
    warp.waiting = 0;
  }
  for (u32 i = 0; i < count; ++i) {
    reset_thread(grid, block, i);
    threads_[i].stack_pointer_ = stacks_.start(i, &fiber_entry);
    threads_[i].stack_limit_ = stacks_.end(i) + Thread::kStackReserve;
    runnable_.push_back(&threads_[i]);
  }
  if (sync_ != nullptr) sync_->start_block(grid);
}

Machine::Turn Machine::take_turn(Grid& grid, Block& block) {
  const bool full = at_barrier_.size() == block.live;
  if (block.live == 0) {
    if (sync_ != nullptr) sync_->end_block();
    return Turn::ended;
  }
  if (Thread* const t = take_runnable()) {
    current_thread = t;
    switch_stack(&scheduler_stack_, t->stack_pointer_);
  } else if (sync_ != nullptr && (!full || random_.below(2) == 0) && sync_->step()) {
    // A copy took effect.
  } else if (full) {
    release_barrier(grid, block);
  } else {
    return Turn::stuck;
  }
  return Turn::went_on;
}

bool Machine::time_out() {
  if (sync_ == nullptr || idle_polls_ >= kMostIdlePolls || !sync_->time_out()) return false;
  idle_polls_ += kIdlePollsOfTimeOut;
  return true;
}

void Machine::resolve(Grid& grid, Block& block) {
  if (!time_out()) report_deadlock(grid, block, "threads wait for each other");
}

void Machine::fiber_entry() {
  Thread& t = *current_thread;
  try {
    t.grid->kernel->body(t);
  } catch (const ThreadStopped&) {
  }
  t.grid->machine->finish(t);
}

void Machine::finish(Thread& t) {
  if (!stacks_.is_intact(t.index)) {
    std::fputs("velum emulation: the stack of a thread overflowed\n", stderr);
    std::abort();
  }
  t.state_ = Thread::State::done;
  if (sync_ != nullptr) sync_->end_thread(t);
  --t.block->live;
  if (sync_ != nullptr) sync_->leave_cluster(t);
  idle_polls_ = 0;
  Warp& warp = t.block->warps[t.warp()];
  warp.live &= ~t.lane_mask_eq();
  if (warp.waiting != 0 && !fault_) {
    try {
      recheck_warp(t);
    } catch (const ThreadStopped&) {
    }
  }
  yield(t);
  std::abort();  // a finished fiber is never resumed
}

Thread* Machine::pick() {
  if (runnable_.empty()) return nullptr;
  const u32 chosen = random_.below(static_cast<u32>(runnable_.size()));
  Thread* const t = runnable_[chosen];
  runnable_[chosen] = runnable_.back();
  runnable_.pop_back();
  return t;
}

Thread* Machine::take_runnable() {
  Thread* const taken = next_ != nullptr ? next_ : pick();
  next_ = next_but_one_ != nullptr ? next_but_one_ : pick();
  next_but_one_ = pick();
  if (next_ != nullptr) {
    const char* const stack = static_cast<const char*>(next_->stack_pointer_);
    for (std::ptrdiff_t line = 0; line < 6; ++line) __builtin_prefetch(stack + 64 * line, 1);
  }
  if (next_but_one_ != nullptr) {
    __builtin_prefetch(next_but_one_, 1);
    __builtin_prefetch(reinterpret_cast<const char*>(next_but_one_) + 64, 1);
  }
  return taken;
}

void Machine::yield(Thread& t) {
  if (sync_ != nullptr) sync_->maybe_step();
  // In a cooperative launch the other blocks get their turn now and then.
  const bool ends_turn = lead_ != nullptr && random_.below(32) == 0;
  Thread* const next = fault_ || ends_turn ? nullptr : take_runnable();
  if (next == &t) return;
  current_thread = next;
  switch_stack(&t.stack_pointer_, next != nullptr ? next->stack_pointer_ : scheduler_stack_);
}

void Machine::make_runnable(Thread& t) {
  t.state_ = Thread::State::runnable;
  runnable_.push_back(&t);
}

// Warps

void Thread::wait_for_warp(u32 mask, u32 site, Complete complete) {
  if (!(mask & lane_mask_eq())) {
    fail(FaultKind::warp_misuse, site,
         "lane " + std::to_string(lane()) + " is not in its own mask " + hex(mask));
  }
  wait_mask_ = mask;
  wait_site_ = site;
  complete_ = complete;
  state_ = State::at_warp;
  block->warps[warp()].waiting |= lane_mask_eq();
  // Those that this one completes are runnable then; it goes on itself.
  if (!grid->machine->try_complete_warp(*this)) grid->machine->yield(*this);
}

/// Completes the operation that `t` waits in if every lane of its mask that has not exited waits in
/// the same one. All but `t` become runnable; the caller resumes `t`.
bool Machine::try_complete_warp(Thread& t) {
  Warp& state = t.block->warps[t.warp()];
  const u32 members = t.wait_mask_ & state.live;
  if ((members & ~state.waiting) != 0) return false;
  Thread* const warp = t.block->threads + (t.index & ~31U);
  for (u32 rest = members; rest != 0; rest &= rest - 1) {
    const Thread& other = warp[std::countr_zero(rest)];
    if (other.wait_mask_ != t.wait_mask_ || other.complete_ != t.complete_ ||
        // A barrier may be reached at different places; other operations must be the same one.
        (other.wait_site_ != t.wait_site_ && t.complete_ != &Thread::complete_warp_barrier &&
         !Synchronisation::is_unaligned(t.complete_))) {
      return false;
    }
  }
  idle_polls_ = 0;
  t.complete_(warp, members, t.wait_site_);
  state.waiting &= ~members;
  t.state_ = Thread::State::runnable;
  for (u32 rest = members & ~t.lane_mask_eq(); rest != 0; rest &= rest - 1) {
    make_runnable(warp[std::countr_zero(rest)]);
  }
  return true;
}

void Machine::recheck_warp(const Thread& t) {
  Thread* const warp = t.block->threads + (t.index & ~31U);
  for (u32 lane = 0; lane < 32; ++lane) {
    if (!((t.block->warps[t.warp()].waiting >> lane) & 1)) continue;
    if (((warp[lane].wait_mask_ >> t.lane()) & 1) && try_complete_warp(warp[lane])) {
      make_runnable(warp[lane]);
    }
  }
}

Thread::Ballot Thread::vote(u32 mask, bool predicate, u32 site) {
  operand_ = predicate ? 1 : 0;
  wait_for_warp(mask, site, [](Thread* warp, u32 members, u32) {
    u32 votes = 0;
    for (u32 lane = 0; lane < 32; ++lane) {
      if (((members >> lane) & 1) && warp[lane].operand_ != 0) votes |= u32{1} << lane;
    }
    for (u32 lane = 0; lane < 32; ++lane) {
      if ((members >> lane) & 1) warp[lane].result_ = u64{members} << 32 | votes;
    }
  });
  return {static_cast<u32>(result_), static_cast<u32>(result_ >> 32)};
}

Thread::Matched Thread::match(u32 mask, u64 value, u32 site) {
  operand_ = value;
  wait_for_warp(mask, site, [](Thread* warp, u32 members, u32) {
    for (u32 lane = 0; lane < 32; ++lane) {
      if (!((members >> lane) & 1)) continue;
      u32 equal = 0;
      for (u32 other = 0; other < 32; ++other) {
        if (((members >> other) & 1) && warp[other].operand_ == warp[lane].operand_) {
          equal |= u32{1} << other;
        }
      }
      warp[lane].matched_ = {equal, members, equal == members};
    }
  });
  return matched_;
}

u32 Thread::elect(u32 mask, u32 site) {
  wait_for_warp(mask, site, [](Thread* warp, u32 members, u32) {
    for (u32 lane = 0; lane < 32; ++lane) {
      if ((members >> lane) & 1) warp[lane].result_ = static_cast<u32>(std::countr_zero(members));
    }
  });
  return static_cast<u32>(result_);
}

u32 Thread::active_mask(u32 site) {
  // Whoever is resumed first takes all that have come here so far along.
  gathering_site_ = site;
  Machine& machine = *grid->machine;
  if (machine.has_runnable()) {
    machine.runnable_.push_back(this);
    machine.yield(*this);
  }
  if (gathering_site_ == kNotGathering) return static_cast<u32>(result_);
  Thread* const warp = block->threads + (index & ~31U);
  u32 lanes = 0;
  for (u32 rest = block->warps[this->warp()].live; rest != 0; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(std::countr_zero(rest));
    if (warp[lane].gathering_site_ == site) lanes |= u32{1} << lane;
  }
  for (u32 rest = lanes; rest != 0; rest &= rest - 1) {
    Thread& other = warp[std::countr_zero(rest)];
    other.gathering_site_ = kNotGathering;
    other.result_ = lanes;
  }
  return lanes;
}

void Thread::warp_barrier(u32 mask, u32 site) { wait_for_warp(mask, site, &complete_warp_barrier); }

void Thread::complete_warp_barrier(Thread* warp, u32 members, u32) {
  Machine& machine = *warp->grid->machine;
  if (machine.sync_ != nullptr) return machine.sync_->pass_warp_barrier(warp, members);
  // What any member has seen, all have seen now. The new time is later than that of every member.
  Warp& state = warp->block->warps[warp->warp()];
  state.synchronised = true;
  u32 now = 0;
  u32 seen[32] = {};
  for (u32 rest = members; rest != 0; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(std::countr_zero(rest));
    now = std::max(now, state.time[lane]);
    for (u32 k = 0; k < 32; ++k) seen[k] = std::max(seen[k], state.seen[lane][k]);
  }
  ++now;
  for (u32 rest = members; rest != 0; rest &= rest - 1) seen[std::countr_zero(rest)] = now;
  for (u32 rest = members; rest != 0; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(std::countr_zero(rest));
    std::copy(std::begin(seen), std::end(seen), std::begin(state.seen[lane]));
    state.time[lane] = now;
  }
}

// Block barriers

void Thread::block_barrier(u32 barrier, u32 site) {
  static_cast<void>(block_vote(barrier, false, site));
}

u32 Thread::block_vote(u32 barrier, bool predicate, u32 site) {
  Synchronisation* const sync = grid->machine->sync_;
  if (barrier >= Synchronisation::kBarriers) {
    fail(FaultKind::barrier_misuse, site,
         "barrier " + std::to_string(barrier) + ", expected 0 to 15");
  }
  if (sync != nullptr && sync->is_in_use(barrier)) {
    fail(FaultKind::barrier_misuse, site,
         "a barrier of all threads while others are " + sync->describe_barrier(barrier));
  }
  wait_mask_ = barrier;
  wait_site_ = site;
  state_ = State::at_barrier;
  block->votes += predicate ? 1 : 0;
  Machine& machine = *grid->machine;
  machine.at_barrier_.push_back(this);
  machine.yield(*this);
  state_ = State::runnable;
  return block->votes_passed;
}

void Machine::release_barrier(Grid& grid, Block& block) {
  const Thread& first = *at_barrier_.front();
  for (const Thread* const t : at_barrier_) {
    if (t->wait_site_ != first.wait_site_ || t->wait_mask_ != first.wait_mask_) {
      report_deadlock(grid, block, "threads of a block wait at different barriers");
      return;
    }
  }
  block.votes_passed = block.votes;
  block.votes = 0;
  if (sync_ != nullptr) sync_->pass_block_barrier(at_barrier_);
  idle_polls_ = 0;
  ++epoch_;
  races_.barrier(block_order_);
  runnable_.swap(at_barrier_);
}

void Thread::poll(u32 site) {
  Machine& machine = *grid->machine;
  machine.idle_polls_ += machine.lead_ != nullptr ? Machine::kIdlePollsOfResident : 1;
  if (machine.idle_polls_ > Machine::kMostIdlePolls) {
    fail(FaultKind::deadlock, site, "threads spin and none makes progress");
  }
  if (machine.lead_ == nullptr && !machine.has_runnable()) {
    if (machine.sync_ != nullptr) machine.sync_->step();
    return;
  }
  machine.runnable_.push_back(this);
  machine.yield(*this);
}

void Machine::report_deadlock(Grid& grid, Block& block, const char* what) {
  std::map<std::tuple<u32, u32, Thread::State>, std::vector<u32>> groups;
  const Thread* first = nullptr;
  for (u32 i = 0; i < grid.threads_per_block(); ++i) {
    const Thread& t = threads_[i];
    if (t.state_ == Thread::State::done) continue;
    if (first == nullptr) first = &t;
    groups[{t.wait_site_, t.wait_mask_, t.state_}].push_back(i);
  }
  std::string message = what;
  for (const auto& [key, members] : groups) {
    const auto& [site, mask, state] = key;
    message += "\n  " + std::to_string(members.size()) + " threads, from thread " +
               std::to_string(members.front()) + " to " + std::to_string(members.back()) + ", " +
               (state == Thread::State::at_barrier ? "at the block barrier " + std::to_string(mask)
                : state == Thread::State::at_named_barrier ? sync_->describe_barrier(mask)
                : state == Thread::State::at_mbarrier      ? sync_->describe_mbarrier(mask)
                : state == Thread::State::at_cluster_barrier
                    ? sync_->describe_cluster_barrier()
                    : "in a warp operation with mask " + hex(mask)) +
               " at " + place(*grid.kernel->module, site);
  }
  if (block.live < grid.threads_per_block()) {
    message +=
        "\n  " + std::to_string(grid.threads_per_block() - block.live) + " threads have exited";
  }
  record_fault(*first, FaultKind::deadlock, first->wait_site_, message);
}

// Memory

u8* Thread::global_checked(u64 address, u32 bytes, u32 element, u32 used, Access access, u32 site) {
  const std::string what = access_text(access, bytes) + " at " + hex(address);
  if (!DeviceMemory::contains(address)) {
    const bool in_window = address - kSharedBase < 3 * kGlobalSize;
    fail(FaultKind::illegal_address, site,
         what + (address < 4096 ? ": a null pointer"
                 : in_window    ? ": an address of shared, local or parameter memory"
                                : ": not device memory; a host pointer?"));
  }
  if (address % bytes != 0) fail(FaultKind::misaligned_address, site, what);
  const u8* const state = state_of(address);
  for (u32 i = 0; i < bytes; ++i) {
    if (!(state[i] & kAllocated)) {
      fail(FaultKind::illegal_address, site,
           what + ": " + grid->machine->memory_.describe(address + i));
    }
    if (writes(access) && (state[i] & kReadOnly)) {
      fail(FaultKind::illegal_address, site, what + ": constant memory");
    }
  }
  if (reads(access)) {
    // An element of which no byte was ever written is a mistake; one that was written in part may
    // be a struct with padding.
    for (u32 start = 0; start < bytes; start += element) {
      bool any = false;
      for (u32 i = start; i < start + element; ++i) {
        any |= (state[i] & kInitialised) != 0 || !((used >> i) & 1);
      }
      if (!any) {
        fail(FaultKind::uninitialised_read, site,
             what + ": " + grid->machine->memory_.describe(address + start) + " was never written");
      }
    }
  }
  if (writes(access)) {
    u8* const marks = state_of(address);
    for (u32 i = 0; i < bytes; ++i) marks[i] |= kInitialised;
  }
  return storage_of(address);
}

void Thread::check_global_read(u64 address, u32 bytes, u32 used, Access access, u32 site) {
  Machine& machine = *grid->machine;
  if (!machine.races_.read(machine.block_order_, index, address, bytes, used, is_strong(access)))
      [[unlikely]] {
    fail_race(address, bytes, access, site);
  }
}

void Thread::check_global_write(u64 address, u32 bytes, Access access, u32 site) {
  Machine& machine = *grid->machine;
  GlobalRaces& races = machine.races_;
  BlockOrder& order = machine.block_order_;
  const bool ok = is_strong(access)
                      ? races.write_strong(order, index, address, bytes, reads(access))
                      : races.write(order, index, address, bytes, site);
  if (!ok) [[unlikely]]
    fail_race(address, bytes, access, site);
}

void Thread::fail_race(u64 address, u32 bytes, Access access, u32 site) {
  fail(FaultKind::global_memory_race, site,
       access_text(access, bytes) + " at " + hex(address) + ": " +
           grid->machine->races_.describe_race());
}

void Thread::fence(bool all_blocks, FenceHalf half) {
  Machine& machine = *grid->machine;
  if (machine.sync_ != nullptr) machine.sync_->fence(*this, all_blocks, half);
  machine.races_.fence(machine.block_order_, index, all_blocks, half);
}

u8* Thread::shared(u64 address, bool any_block, u32 bytes, u32 element, u32 used, Access access,
                   u32 site) {
  Machine& machine = *grid->machine;
  Machine& owner = machine.cluster_ == nullptr
                       ? machine
                       : machine.owner_of(*this, address, any_block, true, site);
  return owner.shared_access(*this, machine.offset_of(address), bytes, element, used, access, site);
}

Machine& Machine::owner_of(Thread& t, u64 address, bool any_block, bool must_be_seen, u32 site) {
  const u64 rank = address >> kBlockShift;
  if (cluster_ == nullptr || rank == rank_) return *this;
  const auto fail = [&](const std::string& why) {
    t.fail(FaultKind::illegal_address, site,
           "byte " + std::to_string(offset_of(address)) + " of the shared memory of block " +
               std::to_string(rank) + " of the cluster, " + why);
  };
  if (rank >= cluster_->blocks.size()) {
    fail("which has " + std::to_string(cluster_->blocks.size()) + " blocks");
  }
  if (!any_block) fail("by an instruction for the block's own; .shared::cluster reaches others");
  const Cluster::Member& owner = cluster_->blocks[rank];
  owner.machine->sync_->visit(t, address, must_be_seen, site);
  if (owner.block->live == 0) {
    fail("which has exited; a barrier of the cluster after the last access keeps it there");
  }
  return *owner.machine;
}

bool Machine::ordered_before(const WriteRecord& record, const Thread& t) const {
  if (record.epoch != epoch_ || record.thread == t.index) return true;
  return (record.thread >> 5) == t.warp() &&
         warps_[t.warp()].seen[t.lane()][record.thread & 31] > record.warp_time;
}

u8* Machine::shared_access(Thread& t, u64 address, u32 bytes, u32 element, u32 used, Access access,
                           u32 site) {
  const u32 size = t.grid->shared_bytes();
  const auto what = [&] {
    return access_text(access, bytes) + " at byte " + std::to_string(address) + " of " +
           (sync_ != nullptr ? sync_->name_of_memory(t) : "shared memory");
  };
  if (address > size || bytes > size - address) {
    t.fail(FaultKind::illegal_address, site,
           what() + ", which has " + std::to_string(size) + " bytes");
  }
  if (address % bytes != 0) t.fail(FaultKind::misaligned_address, site, what());
  if (sync_ != nullptr) {
    sync_->check_access(t, address, bytes, element, used, access, site);
    return shared_.data() + address;
  }
  const u32 granule = t.grid->kernel->shared_granule;
  const u32 first = static_cast<u32>(address >> granule);
  const u32 last = static_cast<u32>((address + bytes - 1) >> granule);
  const u32 time = warp_time(t);
  u32 unwritten = 0;
  u32 filled = 0;  // cells that this access is the first to write, while it reads them
  for (u32 cell = first; cell <= last; ++cell) {
    WriteRecord& write = writes_[cell];
    ReadRecord& read = reads_[cell];
    const bool written = write.epoch >= first_epoch_;
    if (written && write.epoch == epoch_ && !(write.atomic && is_atomic(access)) &&
        !ordered_before(write, t)) {
      t.fail(FaultKind::shared_memory_race, site,
             what() + ": thread " + std::to_string(write.thread) +
                 " wrote there, and no barrier stands between");
    }
    if (!written && reads(access)) {
      ++unwritten;
      if (writes(access)) filled |= u32{1} << (cell - first);
    }
    if (writes(access)) {
      if (read.epoch == epoch_ && !(read.atomic && is_atomic(access))) {
        bool race = read.several_warps || read.warp != t.warp();
        u32 other = read.warp * 32U + static_cast<u32>(std::countr_zero(read.lanes));
        for (u32 lanes = read.lanes & ~t.lane_mask_eq(); !race && lanes != 0; lanes &= lanes - 1) {
          const u32 lane = static_cast<u32>(std::countr_zero(lanes));
          race = warps_[t.warp()].seen[t.lane()][lane] <= read.warp_time;
          other = read.warp * 32U + lane;
        }
        if (race) {
          t.fail(FaultKind::shared_memory_race, site,
                 what() + ": thread " + std::to_string(other) +
                     " read there, and no barrier stands between");
        }
      }
      write = {epoch_, static_cast<u16>(t.index), is_atomic(access), time};
    }
    if (reads(access) && !writes(access)) {
      if (read.epoch != epoch_) {
        read = {epoch_, static_cast<u16>(t.warp()), false, is_atomic(access), t.lane_mask_eq(),
                time};
      } else {
        read.atomic &= is_atomic(access);
        if (read.warp != t.warp()) {
          read.several_warps = true;
        } else if (time > read.warp_time) {
          read.warp_time = time;
          read.lanes = t.lane_mask_eq();
        } else if (time == read.warp_time) {
          read.lanes |= t.lane_mask_eq();
        }
      }
    }
  }
  if (unwritten != 0) {
    for (u32 start = 0; start < bytes; start += element) {
      bool any = false;
      for (u32 i = start; i < start + element; ++i) {
        const u64 cell = (address + i) >> granule;
        any |= (writes_[cell].epoch >= first_epoch_ && !((filled >> (cell - first)) & 1)) ||
               !((used >> i) & 1);
      }
      if (!any) t.fail(FaultKind::uninitialised_read, site, what() + ", which was never written");
    }
  }
  return shared_.data() + address;
}

void Thread::record(u64 address, u32 bytes, Access access, u32 site) {
  grid->machine->profiler_->record(*this, address, bytes, access, site);
}

void Thread::fail_local(u64 address, u32 bytes, u32 site) {
  const std::string what = "access of " + std::to_string(bytes) + " bytes at byte " +
                           std::to_string(static_cast<s64>(address - kFirstLocal)) +
                           " of local memory, which has " +
                           std::to_string(local_end_ - kFirstLocal) + " bytes";
  const bool inside =
      address >= kFirstLocal && address <= local_end_ && bytes <= local_end_ - address;
  fail(inside ? FaultKind::misaligned_address : FaultKind::illegal_address, site, what);
}

void Thread::fail_parameter(u64 address, u32 bytes, u32 site) {
  fail(FaultKind::illegal_address, site,
       "read of " + std::to_string(bytes) + " bytes at byte " + std::to_string(address) +
           " of the parameters, which have " + std::to_string(grid->kernel->parameter_bytes) +
           " bytes");
}

LocalFrame::LocalFrame(Thread& thread, u32 bytes) : base(thread.local_end_), thread_(thread) {
  if (bytes > Machine::kLocalBytes - base) {
    thread.fail(FaultKind::unsupported, 0,
                "more than " + std::to_string(Machine::kLocalBytes) + " bytes of local memory");
  }
  thread.local_end_ += bytes;
}

// Functions

[[gnu::noinline]] void Thread::enter_function(u32 site) {
  const auto* const here = static_cast<const char*>(__builtin_frame_address(0));
  if (here < stack_limit_) {
    fail(FaultKind::stack_overflow, site,
         "the functions that this thread is in need more than " +
             std::to_string((FiberStacks::kStackBytes - kStackReserve) >> 10) +
             " KB of the emulation's stack; is a recursion without an end?");
  }
}

const Function& Thread::function(u64 address, const u32* sizes, u32 result_count,
                                 u32 parameter_count, u32 site) {
  const Function* const found = find_function(address);
  if (found == nullptr) {
    fail(FaultKind::bad_call, site, "indirect call of " + hex(address) + ", which is no function");
  }
  if (found->result_count != result_count || found->parameter_count != parameter_count ||
      !std::equal(sizes, sizes + result_count + parameter_count, found->sizes)) {
    fail(FaultKind::bad_call, site,
         "indirect call of " + demangled(found->name) +
             ", whose results and parameters have other sizes");
  }
  return *found;
}

u64 Thread::clock() { return ++grid->machine->clock_; }

// Faults

void Machine::record_fault(const Thread& t, FaultKind kind, u32 site, const std::string& message) {
  if (fault_) return;
  fault_ = Fault{kind, std::string("velum emulation: ") + to_text(kind) + ": " + message +
                           "\n  in kernel " + demangled(t.grid->kernel->name) + "\n  block " +
                           to_text(t.block->index) + ", thread " + to_text(t.tid) + "\n  at " +
                           place(*t.grid->kernel->module, site)};
}

void Thread::exit() { throw ThreadStopped(); }
void Thread::fail(FaultKind kind, u32 site, const std::string& message) {
  grid->machine->record_fault(*this, kind, site, message);
  throw ThreadStopped();
}
void Thread::fail_trap(u32 site) { fail(FaultKind::trap, site, "the kernel executed trap"); }
void Thread::fail_branch(u32 site) {
  fail(FaultKind::trap, site, "an indexed branch is outside of its table");
}
void Thread::fail_division(u32 site) {
  fail(FaultKind::division_by_zero, site, "the divisor is 0");
}
void Thread::fail_flush(u32 site) {
  fail(
      FaultKind::unsupported, site,
      "a subnormal result is rounded to the smallest normal number; whether .ftz flushes it is not "
      "documented");
}

}  // namespace velum::emulation
