#include "runtime/global_races.h"

#include <algorithm>

#include "runtime/report_text.h"

namespace velum::emulation {
namespace {

constexpr Mark kStrongWrite = 1;
constexpr Mark kWarpBits = 31 << 1;
/// Cells that narrower accesses have split by bytes; `read` is then the number of the split.
constexpr Mark kSplit = ~Mark{0};
constexpr u64 kMostSegments = u64{1} << 22;  // after so many the numbers start again
static_assert(kMostSegments < kSplit >> kMarkSegmentShift);
constexpr std::size_t kMostWorks = 1 << 20;
constexpr std::size_t kMostSplits = 1 << 22;
constexpr u32 kAllUsed = ~u32{0};

u32 warp_of(Mark mark) { return (mark & kWarpBits) >> 1; }
bool same_segment(Mark a, Mark b) { return (a ^ b) >> kMarkSegmentShift == 0; }
bool same_warp(Mark a, Mark b) { return ((a ^ b) & kWarpBits) == 0; }

}  // namespace

// Work and blocks

void GlobalRaces::begin_work(u32 stream, u64 count, const StreamClock& clock, const char* what,
                             const Kernel* kernel) {
  if (works_.size() > kMostWorks || splits_.size() > kMostSplits) forget_all();
  clock_ = clock;
  released_.clear();
  blocks_.clear();
  const Mark next = static_cast<Mark>(segments_.size() << kMarkSegmentShift);
  floor_ = next;
  for (u32 other = 0; other < run_by_stream_.size(); ++other) {
    if (other == stream) continue;
    const std::vector<u32>& run = run_by_stream_[other];
    const u64 known = other < clock.size() ? clock[other] : 0;
    const auto first = std::upper_bound(run.begin(), run.end(), known,
                                        [&](u64 c, u32 work) { return c < works_[work].count; });
    if (first != run.end()) floor_ = std::min(floor_, works_[*first].first);
  }
  if (run_by_stream_.size() <= stream) run_by_stream_.resize(stream + 1);
  run_by_stream_[stream].push_back(static_cast<u32>(works_.size()));
  works_.push_back({stream, count, what, kernel, next});
}

void GlobalRaces::begin_block(BlockOrder& order, u64 block) {
  order.work = static_cast<u32>(works_.size() - 1);
  order.block = block;
  order.floor = floor_;
  order.barriers = 0;
  order.acquired.reset();
  order.threads.clear();
  if (std::find(blocks_.begin(), blocks_.end(), &order) == blocks_.end()) {
    blocks_.push_back(&order);
  }
  start_segment(order);
}

void GlobalRaces::start_segment(BlockOrder& order) {
  if (segments_.size() >= kMostSegments) forget_all();
  order.segment = static_cast<Mark>(segments_.size() << kMarkSegmentShift);
  segments_.push_back({order.work, order.barriers, order.block});
}

/// Starts the numbers again. What has run so far counts as ordered before what follows.
void GlobalRaces::forget_all() {
  memory_.clear_race_cells();
  splits_.clear();
  released_.clear();
  segments_.assign(1, {});
  run_by_stream_.clear();
  const Work present = works_.back();
  works_.assign(1, {});
  works_.push_back(present);
  works_.back().first = static_cast<Mark>(segments_.size() << kMarkSegmentShift);
  floor_ = works_.back().first;
  run_by_stream_.resize(present.stream + 1);
  run_by_stream_[present.stream].push_back(1);
  for (BlockOrder* const order : blocks_) {
    order->work = 1;
    order->floor = floor_;
    order->acquired.reset();
    order->threads.clear();
    start_segment(*order);
  }
}

// Order

bool GlobalRaces::is_of_block(Mark mark, const BlockOrder& order) const {
  if (same_segment(mark, order.segment)) return true;
  const Segment& segment = segment_of(mark);
  return segment.work == order.work && segment.block == order.block;
}

/// Whether an access in another segment than the block's present one happened before it.
bool GlobalRaces::happened_before(Mark mark, const BlockOrder& order) const {
  const Segment& segment = segment_of(mark);
  if (segment.work != order.work) {
    const Work& work = works_[segment.work];
    return work.stream < clock_.size() && clock_[work.stream] >= work.count;
  }
  if (segment.block == order.block) return true;
  if (order.acquired == nullptr) return false;
  const auto begin = std::lower_bound(
      order.acquired->begin(), order.acquired->end(), segment.block,
      [](const ReleasedWarp& released, u64 block) { return released.block < block; });
  for (auto it = begin; it != order.acquired->end() && it->block == segment.block; ++it) {
    if (segment.barriers < it->barriers ||
        (it->warp == warp_of(mark) && mark >> kMarkSegmentShift <= it->segment)) {
      return true;
    }
  }
  return false;
}

inline bool GlobalRaces::may_follow(Mark earlier, Mark mark, const BlockOrder& order) const {
  if (earlier < order.floor) return true;
  return same_segment(earlier, mark) ? same_warp(earlier, mark) : happened_before(earlier, order);
}

// Cells

/// False, with the race noted, if an access that `cell` remembers races with the present one.
inline bool GlobalRaces::check(const RaceCell& cell, Mark earlier, Mark mark,
                               const BlockOrder& order) {
  if (may_follow(earlier, mark, order)) [[likely]]
    return true;
  const bool is_strong = earlier == cell.strong;
  const bool wrote = is_strong ? (earlier & kStrongWrite) != 0 : earlier == cell.write;
  race_ = {earlier, is_strong, wrote, cell.write_site, order.work, order.block, 0};
  return false;
}

inline bool GlobalRaces::note_read(RaceCell& cell, Mark mark, const BlockOrder& order) {
  if (cell.read == mark) return true;
  if (!check(cell, cell.write, mark, order)) return false;
  if ((cell.strong & kStrongWrite) != 0 && !check(cell, cell.strong, mark, order)) return false;
  if (cell.read >= order.floor) {
    // An earlier segment of this block is behind a barrier. Another warp's read stays, but does not
    // push out that of another block.
    const bool keep = same_segment(cell.read, mark) ? !same_warp(cell.read, mark)
                                                    : !is_of_block(cell.read, order);
    if (keep && (cell.older_read < order.floor || is_of_block(cell.older_read, order))) {
      cell.older_read = cell.read;
    }
  }
  cell.read = mark;
  return true;
}

inline bool GlobalRaces::note_write(RaceCell& cell, Mark mark, const BlockOrder& order, u32 site) {
  if (!check(cell, cell.write, mark, order) || !check(cell, cell.read, mark, order) ||
      !check(cell, cell.older_read, mark, order) || !check(cell, cell.strong, mark, order)) {
    return false;
  }
  cell = {mark, 0, 0, 0, site};
  return true;
}

inline bool GlobalRaces::note_strong_read(RaceCell& cell, Mark mark, const BlockOrder& order) {
  if (!check(cell, cell.write, mark, order)) return false;
  if (cell.strong < order.floor) cell.strong = mark;
  return true;
}

inline bool GlobalRaces::note_strong_write(RaceCell& cell, Mark mark, const BlockOrder& order) {
  if (!check(cell, cell.write, mark, order) || !check(cell, cell.read, mark, order) ||
      !check(cell, cell.older_read, mark, order)) {
    return false;
  }
  cell.strong = mark | kStrongWrite;
  return true;
}

RaceCell& GlobalRaces::byte_cell(u64 address) {
  RaceCell& cell = *race_cells_of(address);
  if (cell.write != kSplit) {
    const u32 number = static_cast<u32>(splits_.size());
    splits_.push_back({cell, cell, cell, cell});
    cell = {kSplit, number, 0, 0, 0};
  }
  return splits_[cell.read][address % 4];
}

/// Calls `note` for each cell of the bytes, one for four bytes where all of them are accessed and
/// no narrower access has split them.
template <typename Note>
inline bool GlobalRaces::for_each_cell(u64 address, u64 bytes, u32 used, Note note) {
  const auto note_at = [&](RaceCell& cell, u64 at) {
    if (note(cell)) [[likely]]
      return true;
    race_.address = at;
    return false;
  };
  for (u64 i = 0; i < bytes;) {
    const u64 at = address + i;
    if (at % 4 == 0 && bytes - i >= 4) [[likely]] {
      const u32 four = used == kAllUsed ? 15 : (used >> i) & 15;
      if (four == 0 || four == 15) [[likely]] {
        i += 4;
        if (four == 0) continue;
        RaceCell& cell = *race_cells_of(at);
        if (cell.write != kSplit) [[likely]] {
          if (!note_at(cell, at)) return false;
          continue;
        }
        SplitCell& split = splits_[cell.read];
        for (u32 byte = 0; byte < 4; ++byte) {
          if (!note_at(split[byte], at + byte)) return false;
        }
        continue;
      }
    }
    if ((used == kAllUsed || ((used >> i) & 1) != 0) && !note_at(byte_cell(at), at)) return false;
    ++i;
  }
  return true;
}

bool GlobalRaces::read(BlockOrder& order, u32 thread, u64 address, u32 bytes, u32 used,
                       bool strong) {
  const Mark mark = order.segment | thread >> 5 << 1;
  if (strong) [[unlikely]] {
    observe(order, thread, address);
    return for_each_cell(address, bytes, used,
                         [&](RaceCell& cell) { return note_strong_read(cell, mark, order); });
  }
  return for_each_cell(address, bytes, used,
                       [&](RaceCell& cell) { return note_read(cell, mark, order); });
}

bool GlobalRaces::write(BlockOrder& order, u32 thread, u64 address, u32 bytes, u32 site) {
  const Mark mark = order.segment | thread >> 5 << 1;
  return for_each_cell(address, bytes, kAllUsed,
                       [&](RaceCell& cell) { return note_write(cell, mark, order, site); });
}

bool GlobalRaces::write_strong(BlockOrder& order, u32 thread, u64 address, u32 bytes,
                               bool updates) {
  if (updates) observe(order, thread, address);
  release(order, thread, address, updates);
  const Mark mark = order.segment | thread >> 5 << 1;
  return for_each_cell(address, bytes, kAllUsed,
                       [&](RaceCell& cell) { return note_strong_write(cell, mark, order); });
}

bool GlobalRaces::read_range(u64 address, u64 bytes) {
  begin_block(range_order_, 0);
  return for_each_cell(address, bytes, kAllUsed, [&](RaceCell& cell) {
    return note_read(cell, range_order_.segment, range_order_);
  });
}

bool GlobalRaces::write_range(u64 address, u64 bytes) {
  begin_block(range_order_, 0);
  return for_each_cell(address, bytes, kAllUsed, [&](RaceCell& cell) {
    return note_write(cell, range_order_.segment, range_order_, 0);
  });
}

// Release and acquire

Released GlobalRaces::join(const Released& a, const Released& b) {
  if (a == nullptr || a == b) return b;
  if (b == nullptr) return a;
  auto joined = std::make_shared<std::vector<ReleasedWarp>>();
  joined->reserve(a->size() + b->size());
  const auto key = [](const ReleasedWarp& x) { return std::pair(x.block, x.warp); };
  std::merge(a->begin(), a->end(), b->begin(), b->end(), std::back_inserter(*joined),
             [&](const ReleasedWarp& x, const ReleasedWarp& y) { return key(x) < key(y); });
  std::size_t kept = 0;
  for (const ReleasedWarp& each : *joined) {
    if (kept != 0 && key((*joined)[kept - 1]) == key(each)) {
      ReleasedWarp& same = (*joined)[kept - 1];
      same.barriers = std::max(same.barriers, each.barriers);
      same.segment = std::max(same.segment, each.segment);
    } else {
      (*joined)[kept++] = each;
    }
  }
  joined->resize(kept);
  return joined;
}

BlockOrder::Fences& GlobalRaces::fences_of(BlockOrder& order, u32 thread) {
  if (order.threads.size() <= thread) order.threads.resize(thread + 1);
  return order.threads[thread];
}

void GlobalRaces::observe(BlockOrder& order, u32 thread, u64 address) {
  if (released_.empty()) return;
  const auto it = released_.find(address);
  if (it == released_.end()) return;
  std::vector<Released>& observed = fences_of(order, thread).observed;
  if (observed.empty() || observed.back() != it->second) observed.push_back(it->second);
}

void GlobalRaces::release(BlockOrder& order, u32 thread, u64 address, bool updates) {
  if (order.threads.size() <= thread || !order.threads[thread].any) {
    // A write that is no update ends what was released here.
    if (!updates && !released_.empty()) released_.erase(address);
    return;
  }
  BlockOrder::Fences& fences = order.threads[thread];
  if (fences.released == nullptr) fences.released = fenced(order, thread);
  Released& at = released_[address];
  at = updates ? join(at, fences.released) : fences.released;
}

Released GlobalRaces::released_by(const BlockOrder& order, ReleasedWarp warp) {
  const auto own = std::make_shared<std::vector<ReleasedWarp>>();
  own->push_back(warp);
  return join(order.acquired, own);
}

Released GlobalRaces::release(BlockOrder& order, u32 thread) {
  Released released = released_by(
      order, {order.block, thread >> 5, order.barriers, order.segment >> kMarkSegmentShift});
  start_segment(order);
  return released;
}

Released GlobalRaces::fenced(const BlockOrder& order, u32 thread) {
  if (order.threads.size() <= thread || !order.threads[thread].any) return nullptr;
  const BlockOrder::Fences& fences = order.threads[thread];
  return released_by(order, {order.block, thread >> 5, fences.barriers, fences.segment});
}

void GlobalRaces::acquire(BlockOrder& order, const Released& released) {
  order.acquired = join(order.acquired, released);
}

void GlobalRaces::fence(BlockOrder& order, u32 thread, bool all_blocks, FenceHalf half) {
  if (all_blocks) {
    BlockOrder::Fences& fences = fences_of(order, thread);
    if (half != FenceHalf::release) {
      for (const Released& observed : fences.observed) {
        order.acquired = join(order.acquired, observed);
      }
      fences.observed.clear();
    }
    if (half != FenceHalf::acquire) {
      fences.any = true;
      fences.barriers = order.barriers;
      fences.segment = order.segment >> kMarkSegmentShift;
      fences.released = nullptr;
    }
  }
  start_segment(order);
}

void GlobalRaces::barrier(BlockOrder& order) {
  ++order.barriers;
  start_segment(order);
}

// Reports

std::string GlobalRaces::describe_present_work() const {
  return std::string(works_.back().what) + " in stream " + std::to_string(works_.back().stream);
}

std::string GlobalRaces::describe_race() const {
  const Segment& segment = segment_of(race_.mark);
  const Work& work = works_[segment.work];
  std::string who;
  if (work.kernel != nullptr) {
    who = "warp " + std::to_string(warp_of(race_.mark));
    who += segment.work != race_.present_work
               ? " of block number " + std::to_string(segment.block) + " of "
           : segment.block == race_.present_block
               ? std::string(" of the same block")
               : " of block number " + std::to_string(segment.block) + " of the same launch";
  }
  if (segment.work != race_.present_work) {
    who += std::string(work.what) + " in stream " + std::to_string(work.stream);
    if (work.kernel != nullptr) who += " of kernel " + demangled(work.kernel->name) + ",";
  }
  std::string text =
      memory_.describe(race_.address) + ": " + who + (race_.wrote ? " wrote" : " read") + " there";
  if (race_.wrote && work.kernel != nullptr) {
    text += " at " + place(*work.kernel->module, race_.site);
  }
  if (segment.work != race_.present_work) return text + "; no event and no wait orders the two";
  if (segment.block == race_.present_block) return text + "; no barrier stands between";
  return text + "; no fence with an atomic access orders the two";
}

}  // namespace velum::emulation
