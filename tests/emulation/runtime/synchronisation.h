#pragma once

#include "runtime/thread.h"

/// Barriers for part of a block and of clusters, mbarriers and asynchronous copies, as translated
/// code calls them. Addresses of shared memory are those in its window.
namespace velum::emulation {

enum class BarrierUse : u8 { sync, arrive, all, any, count };

/// barrier.cta with a number of threads. The result is that of a reduction: the number of threads
/// with a true predicate, or 0 and 1.
u32 named_barrier(Thread& t, BarrierUse use, u32 barrier, u32 count, bool predicate, bool aligned,
                  u32 site);

/// A generic address as one in the window of shared memory; a fault if it is none.
u64 shared_address(Thread& t, u64 generic, u32 site);
/// Whether a generic address is in the block's own shared memory.
bool is_own_shared(const Thread& t, u64 generic);

/// The same place in the shared memory of another block of the cluster.
u64 map_to_block(Thread& t, u64 address, u32 rank, u32 site);
/// The rank of the block whose shared memory an address is in.
u32 block_of_address(Thread& t, u64 address, u32 site);
/// The barrier of the cluster.
void cluster_arrive(Thread& t, bool release, bool aligned, u32 site);
void cluster_wait(Thread& t, bool aligned, u32 site);

void mbarrier_init(Thread& t, u64 address, u32 count, u32 site);
void mbarrier_inval(Thread& t, u64 address, u32 site);
/// `any_block`: the mbarrier may be that of another block of the cluster.
void mbarrier_expect_tx(Thread& t, u64 address, u32 bytes, bool any_block, u32 site);
void mbarrier_complete_tx(Thread& t, u64 address, u32 bytes, bool any_block, u32 site);

struct Arrival {
  u32 count = 1;
  u32 expected_bytes = 0;
  bool drop = false;
  bool may_complete = true;
  bool release = true;
  bool cluster_scope = false;
  bool any_block = false;
};
/// The state of the phase that was arrived on.
u64 mbarrier_arrive(Thread& t, u64 address, Arrival arrival, u32 site);
/// The fence that releases the thread's mbarrier.init to the cluster, and nothing else.
void fence_mbarrier_inits(Thread& t);
inline u32 mbarrier_pending_count(u64 state) { return static_cast<u32>(state & 0xFFFFF); }

struct PhaseWait {
  bool by_parity;    // `phase` is a parity, not a state
  bool may_suspend;  // try_wait
  bool acquire;
  bool cluster_scope;
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
/// From the block's own shared memory to that of any block of the cluster.
void bulk_copy_to_block(Thread& t, u64 to, u64 from, u32 bytes, u64 mbarrier, u32 site);
void bulk_copy_to_global(Thread& t, u64 global, u64 shared, u32 bytes, u32 site);
void bulk_commit(Thread& t);
/// `reads_only`: until the sources of the groups may be overwritten.
void bulk_wait(Thread& t, u32 newest, bool reads_only);

}  // namespace velum::emulation
