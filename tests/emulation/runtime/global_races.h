#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/device_memory.h"
#include "runtime/stream_clock.h"
#include "runtime/types.h"

namespace velum::emulation {

/// An access, as the race check remembers it: in bits 1 to 5 the warp, above them the segment; bit
/// 0 is set for a strong write. A segment is a part of a block's run, from one __syncthreads or
/// fence to the next; segments are numbered as they begin, from 1.
using Mark = u32;
inline constexpr u32 kMarkSegmentShift = 6;

/// The accesses to four bytes that the next may race with. A strong one (atomic or volatile) leaves
/// the weak ones as they are, because it does not order them.
struct RaceCell {
  Mark write;       // the last weak write
  Mark read;        // the last weak read since
  Mark older_read;  // another: of another block if there is one, else of another warp
  Mark strong;      // the last strong write; a strong read if there is none that could race
  u32 write_site;
};
static_assert(sizeof(RaceCell) == 4 * kRaceBytesPerByte);
inline RaceCell* race_cells_of(u64 address) {
  return reinterpret_cast<RaceCell*>(kGlobalRaces + (address - kGlobalBase) / 4 * sizeof(RaceCell));
}

/// What blocks have released to whoever acquires this: by warp, its accesses up to a segment, and
/// those of its whole block before a barrier. Sorted by block and warp.
struct ReleasedWarp {
  u64 block;
  u32 warp;
  u32 barriers;
  u32 segment;
};
using Released = std::shared_ptr<const std::vector<ReleasedWarp>>;

/// How far a block has come, while it runs.
struct BlockOrder {
  u32 work = 0;
  u64 block = 0;
  Mark segment = 0;   // the present one, of warp 0
  Mark floor = 0;     // accesses with smaller marks happened before the launch
  u32 barriers = 0;   // that it has passed
  Released acquired;  // what other blocks have released to it
  struct Fences {
    bool any = false;
    u32 barriers = 0;
    u32 segment = 0;
    Released released;               // by a strong write of this thread, made when it is needed
    std::vector<Released> observed;  // by strong reads since the last fence
  };
  std::vector<Fences> threads;  // empty until a thread needs it
};

/// Finds accesses of device memory that nothing orders: by blocks of a launch, warps of a block and
/// work of different streams, whichever order they ran in.
///
/// Two accesses to a byte race if one of them writes, not both are strong, and neither happened
/// before the other. Happened before is: by the order of streams, events and waits of the host; by
/// __syncthreads; and between blocks by a release and an acquire as the PTX memory model has them,
/// which are a fence and then a strong write by one thread, and a strong read of that value and
/// then a fence by another. Lenient where exactness would cost much: the lanes of a warp are
/// ordered; warps of a block are ordered by any fence of the block; what one thread acquires its
/// block has acquired; of many readers two are remembered.
class GlobalRaces {
 public:
  explicit GlobalRaces(const DeviceMemory& memory) : memory_(memory) {}
  GlobalRaces(const GlobalRaces&) = delete;
  GlobalRaces& operator=(const GlobalRaces&) = delete;

  /// The `count`th work of a stream begins. It happened after what `clock` says. `what` it is; a
  /// launch has a kernel as well.
  void begin_work(u32 stream, u64 count, const StreamClock& clock, const char* what,
                  const Kernel* kernel);
  void begin_block(BlockOrder& order, u64 block);
  /// All threads of the block have come here; or those that take part in a barrier of some, which
  /// the check does not tell apart.
  void barrier(BlockOrder& order);
  /// A fence by a thread; of the scope of its block, or of all blocks.
  void fence(BlockOrder& order, u32 thread, bool all_blocks, FenceHalf half);

  /// For barriers between blocks: what the thread's warp has done so far, and its block has
  /// acquired; or what it had at the thread's last fence.
  Released release(BlockOrder& order, u32 thread);
  static Released fenced(const BlockOrder& order, u32 thread);
  static void acquire(BlockOrder& order, const Released& released);
  static Released join(const Released& a, const Released& b);

  /// An access by a thread; bytes whose bit in `used` is 0 are not accessed. False for a race,
  /// which `describe_race` describes.
  bool read(BlockOrder& order, u32 thread, u64 address, u32 bytes, u32 used, bool strong);
  bool write(BlockOrder& order, u32 thread, u64 address, u32 bytes, u32 site);
  /// A strong one; `updates`: by an instruction that also reads.
  bool write_strong(BlockOrder& order, u32 thread, u64 address, u32 bytes, bool updates);
  /// A copy, a set, an allocation or a release, as the work that has begun.
  bool read_range(u64 address, u64 bytes);
  bool write_range(u64 address, u64 bytes);
  std::string describe_race() const;
  /// "a copy in stream 3", and the like.
  std::string describe_present_work() const;

 private:
  struct Segment {
    u32 work;
    u32 barriers;
    u64 block;
  };
  struct Work {
    u32 stream;
    u64 count;
    const char* what;
    const Kernel* kernel;
    Mark first;
  };
  struct Race {
    Mark mark = 0;
    bool strong = false;
    bool wrote = false;
    u32 site = 0;  // of a weak write
    u32 present_work = 0;
    u64 present_block = 0;
    u64 address = 0;
  };
  using SplitCell = std::array<RaceCell, 4>;

  void start_segment(BlockOrder& order);
  void forget_all();
  const Segment& segment_of(Mark mark) const { return segments_[mark >> kMarkSegmentShift]; }
  bool happened_before(Mark mark, const BlockOrder& order) const;
  bool may_follow(Mark earlier, Mark mark, const BlockOrder& order) const;
  bool is_of_block(Mark mark, const BlockOrder& order) const;
  bool note_read(RaceCell& cell, Mark mark, const BlockOrder& order);
  bool note_write(RaceCell& cell, Mark mark, const BlockOrder& order, u32 site);
  bool note_strong_read(RaceCell& cell, Mark mark, const BlockOrder& order);
  bool note_strong_write(RaceCell& cell, Mark mark, const BlockOrder& order);
  bool check(const RaceCell& cell, Mark earlier, Mark mark, const BlockOrder& order);
  template <typename Note>
  bool for_each_cell(u64 address, u64 bytes, u32 used, Note note);
  RaceCell& byte_cell(u64 address);
  BlockOrder::Fences& fences_of(BlockOrder& order, u32 thread);
  void observe(BlockOrder& order, u32 thread, u64 address);
  void release(BlockOrder& order, u32 thread, u64 address, bool updates);
  static Released released_by(const BlockOrder& order, ReleasedWarp warp);

  const DeviceMemory& memory_;
  std::vector<Segment> segments_{{}};
  std::vector<Work> works_{{}};
  /// By stream, its work that has run, oldest first.
  std::vector<std::vector<u32>> run_by_stream_;
  StreamClock clock_;  // of the present work
  Mark floor_ = 0;
  std::vector<BlockOrder*> blocks_;  // of the present work
  BlockOrder range_order_;
  /// What strong writes of the present launch have released, by address.
  std::unordered_map<u64, Released> released_;
  std::deque<SplitCell> splits_;
  Race race_;
};

}  // namespace velum::emulation
