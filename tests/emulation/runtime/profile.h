#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "runtime/device_memory.h"
#include "runtime/thread.h"

namespace velum::emulation {

/// What the requests of warps do: an instruction that reads and writes is an atomic.
enum class Traffic : u8 { load, store, atomic };
inline constexpr std::size_t kTraffics = 3;

/// Requests to global memory: the lanes of a warp at one instruction, the n-th execution by each.
struct GlobalRequests {
  u64 requests = 0;
  u64 bytes = 0;          // that the lanes asked for
  u64 sectors = 0;        // distinct, per request
  u64 ideal_sectors = 0;  // that the distinct bytes of each request would fill
  bool operator==(const GlobalRequests&) const = default;
};

/// Requests to shared memory.
struct SharedRequests {
  u64 requests = 0;
  u64 wavefronts = 0;
  u64 ideal_wavefronts = 0;  // without bank conflicts
  bool operator==(const SharedRequests&) const = default;
};

/// What launches of one kernel with the same label and extents did, summed up.
struct LaunchProfile {
  u64 count = 0;
  std::array<GlobalRequests, kTraffics> global;
  std::array<SharedRequests, kTraffics> shared;
  /// Distinct in each launch.
  u64 sectors_read = 0;
  u64 sectors_written = 0;
  /// By basic block of the kernel: executions by warps. A warp executes a block as often as the
  /// lane that executes it most often.
  std::vector<u64> executions;
};

struct LaunchKey {
  std::string label;
  const Kernel* kernel;
  Extent grid;
  Extent block;
  u32 dynamic_shared_bytes;

  auto order() const {
    return std::tuple(std::string_view(label), std::string_view(kernel->name), grid.x, grid.y,
                      grid.z, block.x, block.y, block.z, dynamic_shared_bytes);
  }
  friend bool operator<(const LaunchKey& a, const LaunchKey& b) { return a.order() < b.order(); }
};

inline constexpr u64 kSectorBytes = 32;
inline constexpr u32 kBanks = 32;
inline constexpr u64 kBankBytes = 4;

/// Distinct sectors of device memory.
class SectorSet {
 public:
  void insert(u64 sector);
  u64 size() const { return size_; }
  void clear();

 private:
  static constexpr u64 kPageSectors = u64{1} << 12;
  using Page = std::array<u64, kPageSectors / 64>;
  std::unordered_map<u64, Page> pages_;
  Page* last_ = nullptr;
  u64 last_index_ = 0;
  u64 size_ = 0;
};

/// Counts what launches do. Each lane keeps what it did; at the end of a block the lanes are put
/// together to warps.
class Profiler {
 public:
  Profiler();

  /// Names the launches that follow.
  void set_label(const std::string& label) { label_ = label; }
  void start_launch(const Grid& grid);
  /// The thread's executions, by basic block of its kernel: for it to count.
  u32* counts(const Thread& t);
  /// An access to a generic address.
  void record(const Thread& t, u64 address, u32 bytes, Access access, u32 site);
  void finish_block(const Grid& grid);
  /// Adds the launch to those with the same key. One that is not finished is forgotten.
  void finish_launch(const Grid& grid);

  using Launches = std::map<LaunchKey, LaunchProfile>;
  const Launches& launches() const { return launches_; }
  /// All launches, in the format that README.md describes.
  std::string to_json() const;

 private:
  static constexpr u32 kLanes = 32;
  static constexpr u32 kMaxThreads = 1024;

  struct Record {
    u64 address;
    u32 site;
    u32 bytes;
    Traffic traffic;
  };
  /// The accesses that the lanes of a warp make together.
  struct Request {
    u32 lanes = 0;
    u32 bytes = 0;
    Traffic traffic = Traffic::load;
    std::array<u64, kLanes> address;
  };
  /// An instruction's requests to one kind of memory, by a warp.
  struct Instruction {
    std::vector<Request> requests;  // the n-th execution by each lane
    u32 lane = kLanes;              // the one that `executions` counts
    u32 executions = 0;
  };

  void add_to_request(u32 lane, const Record& record);
  void finish_warp();
  void count_global(const Request& request);
  void count_shared(const Request& request);

  std::string label_;
  std::vector<std::vector<u32>> counts_;      // by thread and basic block
  std::vector<std::vector<Record>> records_;  // by thread
  std::vector<Instruction> instructions_;     // by site and kind of memory
  std::vector<u32> touched_;                  // those of the current warp
  std::vector<u64> scratch_;
  SectorSet read_;
  SectorSet written_;
  LaunchProfile launch_;
  Launches launches_;
};

}  // namespace velum::emulation
