#pragma once

#include <string>
#include <vector>

#include "runtime/address_space.h"
#include "runtime/operations.h"

namespace velum::emulation {

/// Atomic and volatile accesses are strong: they do not race with each other in device memory. In
/// shared memory only the atomic ones count.
enum class Access {
  read,
  write,
  volatile_read,
  volatile_write,
  atomic_read,
  atomic_write,
  atomic_update
};
constexpr bool reads(Access a) {
  return a == Access::read || a == Access::volatile_read || a == Access::atomic_read ||
         a == Access::atomic_update;
}
constexpr bool writes(Access a) {
  return a == Access::write || a == Access::volatile_write || a == Access::atomic_write ||
         a == Access::atomic_update;
}
constexpr bool is_atomic(Access a) {
  return a == Access::atomic_read || a == Access::atomic_write || a == Access::atomic_update;
}
constexpr bool is_strong(Access a) { return a != Access::read && a != Access::write; }

enum class Shuffle { up, down, bfly, idx };
enum class Reduce { add_, min_, max_, and_, or_, xor_ };

enum class FaultKind {
  illegal_address,
  misaligned_address,
  uninitialised_read,
  shared_memory_race,
  global_memory_race,
  deadlock,
  warp_misuse,
  division_by_zero,
  trap,
  assertion,
  stack_overflow,
  bad_call,
  barrier_misuse,
  unwaited_copy,
  unsupported,
};

/// Thrown to end a thread before its kernel does: by a fault or by `exit` inside a function.
struct ThreadStopped {};

struct Extent {
  u32 x = 1;
  u32 y = 1;
  u32 z = 1;
  u64 count() const { return u64{x} * y * z; }
};

class Machine;
class Profiler;
struct Block;

/// What the lanes of a warp do, and how far each has seen the others by warp barriers.
struct Warp {
  u32 live;
  u32 waiting;        // in a warp operation
  bool synchronised;  // a warp barrier has set the times below
  u32 time[32];       // when the lane last passed a warp barrier
  u32 seen[32][32];   // by lane, of lane
};

/// What a launch is given beside the kernel and its parameters.
struct LaunchShape {
  Extent grid;
  Extent block;
  Extent cluster;
  bool explicit_cluster = false;  // the launch or the kernel says what a cluster is
  u32 dynamic_shared_bytes = 0;
};

/// One launch.
struct Grid {
  Machine* machine = nullptr;
  const Kernel* kernel = nullptr;
  Extent grid_extent;
  Extent block_extent;
  Extent cluster_extent;
  bool explicit_cluster = false;
  u32 dynamic_shared_bytes = 0;
  u32 dynamic_shared_offset = 0;
  const u8* parameters = nullptr;
  /// Where the blocks of a cooperative launch wait for each other; 0 in others.
  u64 workspace = 0;
  u32 threads_per_block() const { return static_cast<u32>(block_extent.count()); }
  u32 warps_per_block() const { return (threads_per_block() + 31) / 32; }
  u32 shared_bytes() const { return dynamic_shared_offset + dynamic_shared_bytes; }
};

/// One CUDA thread. The fields that every switch needs stand first. Translated code calls its
/// members; it runs on a fiber of its own if its kernel waits for other threads.
class alignas(64) Thread {
 public:
  Grid* grid = nullptr;
  Block* block = nullptr;
  Extent tid;
  u32 index = 0;
  /// Executions by basic block, for the profile; nullptr if they are not counted.
  u32* counts = nullptr;

  u32 lane() const { return index & 31; }
  u32 warp() const { return index >> 5; }
  u32 lane_mask_eq() const { return u32{1} << lane(); }
  u32 lane_mask_lt() const { return lane_mask_eq() - 1; }
  u32 lane_mask_le() const { return lane_mask_lt() | lane_mask_eq(); }
  u32 lane_mask_gt() const { return ~lane_mask_le(); }
  u32 lane_mask_ge() const { return ~lane_mask_lt(); }
  u64 clock();
  /// Where the block's shared memory begins in the window of its cluster's.
  u64 shared_base() const;

  // Memory

  /// The storage of `Bytes` bytes, in elements of `Element`, after all checks. Bytes of `Used` that
  /// are 0 may be uninitialised.
  template <Space S, Access A, u32 Bytes, u32 Element, u32 Used = 0xFFFFFFFF>
  u8* access(u64 address, u32 site) {
    if constexpr (S == Space::global_ || S == Space::shared_ || S == Space::cluster_ ||
                  S == Space::generic_) {
      if (counts != nullptr) [[unlikely]]
        record(address + window(S), Bytes, A, site);
    }
    if constexpr (S == Space::global_) {
      return global<A, Bytes, Element, Used>(address, site);
    } else if constexpr (S == Space::shared_ || S == Space::cluster_) {
      return shared(address, S == Space::cluster_, Bytes, Element, Used, A, site);
    } else if constexpr (S == Space::local_) {
      return local(address, Bytes, site);
    } else {
      if (address - kGlobalBase < kGlobalSize) [[likely]] {
        return global<A, Bytes, Element, Used>(address, site);
      }
      if (address - kSharedBase < kWindowSize) {
        return shared(address - kSharedBase, true, Bytes, Element, Used, A, site);
      }
      if (address - kLocalBase < kWindowSize) return local(address - kLocalBase, Bytes, site);
      if (address - kParamBase < kWindowSize && !writes(A)) {
        return const_cast<u8*>(parameter<Bytes>(address - kParamBase, site));
      }
      return global_checked(address, Bytes, Element, Used, A, site);
    }
  }
  template <u32 Bytes>
  u8* parameter(u64 address, u32 site) {
    const u32 size = grid->kernel->parameter_bytes;
    if (address > size || Bytes > size - address) fail_parameter(address, Bytes, site);
    return const_cast<u8*>(grid->parameters + address);
  }

  // Warps and blocks

  struct Shuffled {
    u32 value;
    bool in_range;
  };
  struct Ballot {
    u32 votes;
    u32 voters;
  };
  struct Matched {
    u32 equal;
    u32 members;
    bool all_equal;
  };
  template <Shuffle Mode>
  Shuffled shuffle(u32 mask, u32 value, u32 offset, u32 clamp, u32 site) {
    operand_ = value;
    shuffle_offset_ = offset;
    shuffle_clamp_ = clamp;
    wait_for_warp(mask, site, &complete_shuffle<Mode>);
    return shuffled_;
  }
  Ballot vote(u32 mask, bool predicate, u32 site);
  Matched match(u32 mask, u64 value, u32 site);
  template <Reduce R, typename T>
  T reduce(u32 mask, T value, u32 site) {
    operand_ = static_cast<u32>(value);
    wait_for_warp(mask, site, &complete_reduce<R, T>);
    return static_cast<T>(static_cast<u32>(result_));
  }
  u32 elect(u32 mask, u32 site);
  /// Operation::run on the operands of all lanes; the warp must be whole.
  template <typename Operation>
  void together(typename Operation::Lane& own, u32 site) {
    operand_ = reinterpret_cast<u64>(&own);
    wait_for_warp(0xFFFFFFFF, site, &complete_together<Operation>);
  }
  /// A random set of the lanes of the warp that have reached this place, the caller among them: the
  /// ISA promises no more, as lanes need not be converged.
  u32 active_mask(u32 site);
  void warp_barrier(u32 mask, u32 site);
  /// A barrier of all threads of the block.
  void block_barrier(u32 barrier, u32 site);
  /// The same; gives the number of threads with a true predicate.
  u32 block_vote(u32 barrier, bool predicate, u32 site);
  /// A fence, or the part of one in an instruction with an order; of all blocks or of this one.
  void fence(bool all_blocks, FenceHalf half = FenceHalf::both);
  /// Lets other threads run: after an instruction that a loop may spin on.
  void poll(u32 site);

  // Functions

  /// At the start of a function that is not inlined: bounds the depth of calls.
  void enter_function(u32 site);
  /// The function at an address, for an indirect call with results and parameters of these sizes.
  const Function& function(u64 address, const u32* sizes, u32 result_count, u32 parameter_count,
                           u32 site);

  // The ends of a thread

  [[noreturn]] void exit();
  [[noreturn]] void fail(FaultKind kind, u32 site, const std::string& message);
  [[noreturn]] void fail_trap(u32 site);
  [[noreturn]] void fail_branch(u32 site);
  [[noreturn]] void fail_division(u32 site);
  [[noreturn]] void fail_flush(u32 site);

 private:
  friend class Machine;
  friend class Synchronisation;
  friend class LocalFrame;
  friend struct Block;

  /// Run by the last lane of a warp operation to arrive, for all of them.
  using Complete = void (*)(Thread* warp, u32 mask, u32 site);
  enum class State : u8 {
    runnable,
    at_warp,
    at_barrier,
    at_named_barrier,
    at_mbarrier,
    at_cluster_barrier,
    done
  };

  template <Access A, u32 Bytes, u32 Element, u32 Used>
  u8* global(u64 address, u32 site) {
    using Word = Unsigned<(Bytes > 8 ? 8 : Bytes)>;
    constexpr Word kOnes = static_cast<Word>(0x0101010101010101);
    constexpr Word kCare = static_cast<Word>(
        kOnes * (kAllocated | (reads(A) ? kInitialised : 0) | (writes(A) ? kReadOnly : 0)));
    constexpr Word kWant = static_cast<Word>(kOnes * (kAllocated | (reads(A) ? kInitialised : 0)));
    bool ok = address - kGlobalBase < kGlobalSize && address % Bytes == 0;
    if (ok) [[likely]] {
      const u8* const state = state_of(address);
      for (u32 i = 0; i < Bytes; i += sizeof(Word)) {
        ok &= (load<Word>(state + i) & kCare) == kWant;
      }
    }
    if (!ok) [[unlikely]] {
      global_checked(address, Bytes, Element, Used, A, site);
    } else if constexpr (writes(A) && !reads(A)) {
      for (u32 i = 0; i < Bytes; i += sizeof(Word)) {
        store<Word>(state_of(address) + i, static_cast<Word>(kOnes * (kAllocated | kInitialised)));
      }
    }
    if constexpr (writes(A)) {
      check_global_write(address, Bytes, A, site);
    } else {
      check_global_read(address, Bytes, Used, A, site);
    }
    return storage_of(address);
  }
  u8* local(u64 address, u32 bytes, u32 site) {
    if (address < kFirstLocal || address > local_end_ || bytes > local_end_ - address ||
        address % bytes != 0) [[unlikely]] {
      fail_local(address, bytes, site);
    }
    return local_ + address;
  }
  u8* global_checked(u64 address, u32 bytes, u32 element, u32 used, Access access, u32 site);
  void check_global_read(u64 address, u32 bytes, u32 used, Access access, u32 site);
  void check_global_write(u64 address, u32 bytes, Access access, u32 site);
  [[noreturn]] void fail_race(u64 address, u32 bytes, Access access, u32 site);
  /// `any_block`: the address may be in the memory of another block of the cluster.
  u8* shared(u64 address, bool any_block, u32 bytes, u32 element, u32 used, Access access,
             u32 site);
  void record(u64 address, u32 bytes, Access access, u32 site);
  [[noreturn]] void fail_local(u64 address, u32 bytes, u32 site);
  [[noreturn]] void fail_parameter(u64 address, u32 bytes, u32 site);

  void wait_for_warp(u32 mask, u32 site, Complete complete);
  template <Shuffle Mode>
  static void complete_shuffle(Thread* warp, u32 mask, u32 site);
  template <Reduce R, typename T>
  static void complete_reduce(Thread* warp, u32 mask, u32 site);
  template <typename Operation>
  static void complete_together(Thread* warp, u32 mask, u32 site);
  static void complete_warp_barrier(Thread* warp, u32 mask, u32 site);

  static constexpr u64 kFirstLocal = 16;
  static constexpr u32 kNotGathering = ~u32{0};
  /// Stack that a function may need after its `enter_function`, for the report of a fault.
  static constexpr std::size_t kStackReserve = std::size_t{20} << 10;

  u8* local_ = nullptr;
  u64 local_end_ = 0;
  void* stack_pointer_ = nullptr;
  Complete complete_ = nullptr;
  const char* stack_limit_ = nullptr;
  u32 gathering_site_ = kNotGathering;
  u64 operand_ = 0;
  u64 result_ = 0;
  u32 wait_mask_ = 0;
  u32 wait_site_ = 0;
  State state_ = State::runnable;
  u32 shuffle_offset_ = 0;
  u32 shuffle_clamp_ = 0;
  Shuffled shuffled_{};
  Matched matched_{};
};

/// One block of threads, while it runs.
struct Block {
  Extent index;
  Extent cluster_index;     // of its cluster
  Extent index_in_cluster;  // and its own there
  u32 rank = 0;             // among the blocks of its cluster
  u64 shared_base = 0;      // see Thread
  Thread* threads = nullptr;
  Warp* warps = nullptr;
  u32 live = 0;
  u32 votes = 0;         // at the barrier that is being filled
  u32 votes_passed = 0;  // at the barrier that was passed last
};

inline u64 Thread::shared_base() const { return block->shared_base; }

/// Local memory of a function, for the time of its call.
class LocalFrame {
 public:
  LocalFrame(Thread& thread, u32 bytes);
  LocalFrame(const LocalFrame&) = delete;
  LocalFrame& operator=(const LocalFrame&) = delete;
  ~LocalFrame() { thread_.local_end_ = base; }

  const u64 base;

 private:
  Thread& thread_;
};

template <Shuffle Mode>
void Thread::complete_shuffle(Thread* warp, u32 mask, u32 site) {
  for (u32 lane = 0; lane < 32; ++lane) {
    if (!((mask >> lane) & 1)) continue;
    Thread& t = warp[lane];
    const s32 offset = static_cast<s32>(t.shuffle_offset_ & 31);
    const s32 clamp = static_cast<s32>(t.shuffle_clamp_ & 31);
    const s32 segment = static_cast<s32>((t.shuffle_clamp_ >> 8) & 31);
    const s32 own = static_cast<s32>(lane);
    const s32 highest = (own & segment) | (clamp & ~segment);
    const s32 lowest = own & segment;
    s32 source = 0;
    bool in_range = false;
    switch (Mode) {
      case Shuffle::up:
        source = own - offset;
        in_range = source >= highest;
        break;
      case Shuffle::down:
        source = own + offset;
        in_range = source <= highest;
        break;
      case Shuffle::bfly:
        source = own ^ offset;
        in_range = source <= highest;
        break;
      case Shuffle::idx:
        source = lowest | (offset & ~segment);
        in_range = source <= highest;
        break;
    }
    if (!in_range) source = own;
    if (!((mask >> source) & 1)) {
      t.fail(FaultKind::warp_misuse, site,
             "a shuffle reads lane " + std::to_string(source) +
                 ", which does not take part or has exited");
    }
    t.shuffled_ = {static_cast<u32>(warp[source].operand_), in_range};
  }
}

template <Reduce R, typename T>
void Thread::complete_reduce(Thread* warp, u32 mask, u32) {
  bool first = true;
  T result{};
  for (u32 lane = 0; lane < 32; ++lane) {
    if (!((mask >> lane) & 1)) continue;
    const T x = static_cast<T>(static_cast<u32>(warp[lane].operand_));
    if (first) {
      result = x;
    } else {
      switch (R) {
        case Reduce::add_:
          result = add<T>(result, x);
          break;
        case Reduce::min_:
          result = minimum<T>(result, x);
          break;
        case Reduce::max_:
          result = maximum<T>(result, x);
          break;
        case Reduce::and_:
          result = static_cast<T>(result & x);
          break;
        case Reduce::or_:
          result = static_cast<T>(result | x);
          break;
        case Reduce::xor_:
          result = static_cast<T>(result ^ x);
          break;
      }
    }
    first = false;
  }
  for (u32 lane = 0; lane < 32; ++lane) {
    if ((mask >> lane) & 1) warp[lane].result_ = static_cast<u32>(result);
  }
}

template <typename Operation>
void Thread::complete_together(Thread* warp, u32 mask, u32 site) {
  typename Operation::Lane* lanes[32];
  for (u32 lane = 0; lane < 32; ++lane) {
    if (!((mask >> lane) & 1)) {
      warp[std::countr_zero(mask)].fail(FaultKind::warp_misuse, site,
                                        "lane " + std::to_string(lane) + " does not take part");
    }
    lanes[lane] = reinterpret_cast<typename Operation::Lane*>(warp[lane].operand_);
  }
  Operation::run(lanes, warp, site);
}

template <typename T>
inline T divide(T a, T b, Thread& t, u32 site) {
  if (b == 0) t.fail_division(site);
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return sub<T>(0, a);
  }
  return static_cast<T>(a / b);
}
template <typename T>
inline T remainder(T a, T b, Thread& t, u32 site) {
  if (b == 0) t.fail_division(site);
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
  }
  return static_cast<T>(a % b);
}

/// The function whose device address this is; nullptr if there is none.
const Function* find_function(u64 address);

/// The functions that device code may call without a body of its own: printf and assert.
void device_printf(Thread& t, u32 site, u8* const* results, u8* const* args);
[[noreturn]] void device_assert(Thread& t, u32 site, u8* const* results, u8* const* args);

}  // namespace velum::emulation
