#pragma once

#include "runtime/thread.h"

/// Barriers for part of a block, mbarriers and asynchronous copies, as translated code calls them.
/// Addresses of shared memory are offsets in its window.
namespace velum::emulation {

enum class BarrierUse : u8 { sync, arrive, all, any, count };

/// barrier.cta with a number of threads. The result is that of a reduction: the number of threads
/// with a true predicate, or 0 and 1.
u32 named_barrier(Thread& t, BarrierUse use, u32 barrier, u32 count, bool predicate, bool aligned,
                  u32 site);

/// A generic address as an offset in shared memory; a fault if it is none.
u64 shared_offset(Thread& t, u64 generic, u32 site);

void mbarrier_init(Thread& t, u64 address, u32 count, u32 site);
void mbarrier_inval(Thread& t, u64 address, u32 site);
void mbarrier_expect_tx(Thread& t, u64 address, u32 bytes, u32 site);
void mbarrier_complete_tx(Thread& t, u64 address, u32 bytes, u32 site);

struct Arrival {
  u32 count = 1;
  u32 expected_bytes = 0;
  bool drop = false;
  bool may_complete = true;
  bool release = true;
};
/// The state of the phase that was arrived on.
u64 mbarrier_arrive(Thread& t, u64 address, Arrival arrival, u32 site);
inline u32 mbarrier_pending_count(u64 state) { return static_cast<u32>(state & 0xFFFFF); }

struct PhaseWait {
  bool by_parity;    // `phase` is a parity, not a state
  bool may_suspend;  // try_wait
  bool acquire;
};
/// Whether the phase is complete. try_wait gives false at random even if it could have waited on.
bool mbarrier_wait(Thread& t, u64 address, u64 phase, PhaseWait wait, u32 site);

/// Copies that take effect at a random later moment, and at the latest when they are waited for.
void copy_async(Thread& t, u64 shared, u64 global, u32 bytes, u32 source_bytes, u32 site);
void copy_async_commit(Thread& t);
/// Waits for all groups but the `newest` last ones.
void copy_async_wait(Thread& t, u32 newest);
void copy_async_wait_all(Thread& t);
/// Arrives when all earlier copies of the thread are complete; `counted` if the mbarrier's count
/// has this arrival already (.noinc).
void copy_async_arrive(Thread& t, u64 address, bool counted, u32 site);
void bulk_copy_to_shared(Thread& t, u64 shared, u64 global, u32 bytes, u64 mbarrier, u32 site);
void bulk_copy_to_global(Thread& t, u64 global, u64 shared, u32 bytes, u32 site);
void bulk_commit(Thread& t);
/// `reads_only`: until the sources of the groups may be overwritten.
void bulk_wait(Thread& t, u32 newest, bool reads_only);

}  // namespace velum::emulation
