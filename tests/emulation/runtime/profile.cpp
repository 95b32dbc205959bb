#include "runtime/profile.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <filesystem>
#include <utility>

namespace velum::emulation {
namespace {

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
      out += code;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string field(const char* name, u64 value) {
  return json_string(name) + ":" + std::to_string(value);
}

std::string to_json(const GlobalRequests& x) {
  return "{" + field("requests", x.requests) + "," + field("bytes", x.bytes) + "," +
         field("sectors", x.sectors) + "," + field("ideal_sectors", x.ideal_sectors) + "}";
}
std::string to_json(const SharedRequests& x) {
  return "{" + field("requests", x.requests) + "," + field("wavefronts", x.wavefronts) + "," +
         field("ideal_wavefronts", x.ideal_wavefronts) + "}";
}
template <typename Requests>
std::string to_json(const std::array<Requests, kTraffics>& by_traffic) {
  return "{\"load\":" + to_json(by_traffic[0]) + ",\"store\":" + to_json(by_traffic[1]) +
         ",\"atomic\":" + to_json(by_traffic[2]) + "}";
}
std::string to_json(const Extent& e) {
  return "[" + std::to_string(e.x) + "," + std::to_string(e.y) + "," + std::to_string(e.z) + "]";
}

/// A source file of velum relative to the source tree, others as they are. ccache compiles with
/// paths relative to the build folder, and the tree may be another one then.
std::string source_path(const std::string& path) {
  constexpr std::string_view kFromBuildFolder = "/../../";
  const std::size_t at = path.find(kFromBuildFolder);
  const std::filesystem::path shortened(
      at == std::string::npos ? path : path.substr(at + kFromBuildFolder.size()));
  const std::string normal = shortened.lexically_normal().string();
  const std::string tree = VELUM_SOURCE_DIR "/";
  return normal.starts_with(tree) ? normal.substr(tree.size()) : normal;
}

struct LineCounts {
  u64 ptx_instructions = 0;
  u64 warp_instructions = 0;
};

std::string to_json(const LaunchKey& key, const LaunchProfile& launch) {
  const Kernel& kernel = *key.kernel;
  std::map<std::pair<std::string, u32>, LineCounts> lines;
  LineCounts total;
  for (u32 i = 0; i < kernel.line_count; ++i) {
    const BlockLine& each = kernel.lines[i];
    const std::string file = each.file < 0 ? "" : source_path(kernel.module->files[each.file]);
    const u64 executed = each.instructions * launch.executions[each.block];
    LineCounts& line = lines[{file, each.line}];
    line.ptx_instructions += each.instructions;
    line.warp_instructions += executed;
    total.ptx_instructions += each.instructions;
    total.warp_instructions += executed;
  }
  const u64 blocks = launch.count * key.grid.count();
  std::string out =
      "{\"label\":" + json_string(key.label) + ",\"kernel\":" + json_string(kernel.name) +
      ",\"grid\":" + to_json(key.grid) + ",\"block\":" + to_json(key.block) + "," +
      field("dynamic_shared_bytes", key.dynamic_shared_bytes) + "," + field("count", launch.count) +
      ",\n \"global\":" + to_json(launch.global) + ",\n \"footprint\":{" +
      field("read_bytes", launch.sectors_read * kSectorBytes) + "," +
      field("written_bytes", launch.sectors_written * kSectorBytes) +
      "},\n \"shared\":" + to_json(launch.shared) + ",\n \"lines\":[";
  const char* separator = "\n  ";
  for (const auto& [place, counts] : lines) {
    out += separator + std::string("{\"file\":") + json_string(place.first) + "," +
           field("line", place.second) + "," + field("ptx_instructions", counts.ptx_instructions) +
           "," + field("warp_instructions", counts.warp_instructions) + "}";
    separator = ",\n  ";
  }
  out += "],\n \"executions\":[";
  for (std::size_t block = 0; block < launch.executions.size(); ++block) {
    out += (block == 0 ? "" : ",") + std::to_string(launch.executions[block]);
  }
  return out + "],\n " + field("ptx_instructions", total.ptx_instructions) + "," +
         field("warp_instructions", total.warp_instructions) + "," +
         field("threads", blocks * key.block.count()) + "," + field("blocks", blocks) + "}";
}

Traffic traffic_of(Access access) {
  switch (access) {
    case Access::read:
    case Access::volatile_read:
    case Access::atomic_read:
      return Traffic::load;
    case Access::write:
    case Access::volatile_write:
    case Access::atomic_write:
      return Traffic::store;
    case Access::atomic_update:
      break;
  }
  return Traffic::atomic;
}

void make_distinct(std::vector<u64>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

bool is_shared(u64 address) { return address - kSharedBase < kWindowSize; }

}  // namespace

void SectorSet::insert(u64 sector) {
  const u64 index = sector / kPageSectors;
  if (last_ == nullptr || last_index_ != index) {
    last_ = &pages_[index];
    last_index_ = index;
  }
  u64& word = (*last_)[sector % kPageSectors / 64];
  const u64 bit = u64{1} << (sector % 64);
  if (!(word & bit)) ++size_;
  word |= bit;
}

void SectorSet::clear() {
  pages_.clear();
  last_ = nullptr;
  size_ = 0;
}

Profiler::Profiler() : counts_(kMaxThreads), records_(kMaxThreads) {}

void Profiler::start_launch(const Grid& grid) {
  launch_ = {};
  launch_.executions.assign(grid.kernel->basic_blocks, 0);
  read_.clear();
  written_.clear();
  for (u32 i = 0; i < grid.threads_per_block(); ++i) {
    counts_[i].assign(grid.kernel->basic_blocks, 0);
    records_[i].clear();
  }
}

u32* Profiler::counts(const Thread& t) { return counts_[t.index].data(); }

void Profiler::record(const Thread& t, u64 address, u32 bytes, Access access, u32 site) {
  if (DeviceMemory::contains(address)) {
    if ((*state_of(address) & kReadOnly) != 0) return;  // constant memory has a cache of its own
  } else if (!is_shared(address)) {
    return;
  }
  records_[t.index].push_back({address, site, bytes, traffic_of(access)});
}

void Profiler::finish_block(const Grid& grid) {
  const u32 threads = grid.threads_per_block();
  std::vector<u32> most(grid.kernel->basic_blocks);
  for (u32 first = 0; first < threads; first += kLanes) {
    std::fill(most.begin(), most.end(), 0);
    for (u32 i = first; i < std::min(first + kLanes, threads); ++i) {
      for (std::size_t k = 0; k < most.size(); ++k) {
        most[k] = std::max(most[k], std::exchange(counts_[i][k], 0));
      }
      for (const Record& each : records_[i]) add_to_request(i % kLanes, each);
      records_[i].clear();
    }
    for (std::size_t k = 0; k < most.size(); ++k) launch_.executions[k] += most[k];
    finish_warp();
  }
}

void Profiler::add_to_request(u32 lane, const Record& record) {
  const u32 key = 2 * record.site + (is_shared(record.address) ? 1 : 0);
  if (key >= instructions_.size()) instructions_.resize(key + 1);
  Instruction& instruction = instructions_[key];
  if (instruction.requests.empty()) {
    touched_.push_back(key);
    instruction.lane = kLanes;
  }
  if (instruction.lane != lane) {
    instruction.lane = lane;
    instruction.executions = 0;
  }
  const u32 n = instruction.executions++;
  if (n == instruction.requests.size()) {
    instruction.requests.emplace_back();
    instruction.requests[n].bytes = record.bytes;
    instruction.requests[n].traffic = record.traffic;
  }
  Request& request = instruction.requests[n];
  request.lanes |= u32{1} << lane;
  request.address[lane] = record.address;
}

void Profiler::finish_warp() {
  for (const u32 key : touched_) {
    for (const Request& request : instructions_[key].requests) {
      if (key % 2 == 0) {
        count_global(request);
      } else {
        count_shared(request);
      }
    }
    instructions_[key].requests.clear();
  }
  touched_.clear();
}

void Profiler::count_global(const Request& request) {
  // Accesses are aligned to their size: those at two addresses share no byte.
  std::vector<u64>& addresses = scratch_;
  addresses.clear();
  for (u32 rest = request.lanes; rest != 0; rest &= rest - 1) {
    addresses.push_back(request.address[static_cast<u32>(std::countr_zero(rest))]);
  }
  make_distinct(addresses);
  const u64 distinct = addresses.size();
  std::vector<u64>& sectors = scratch_;
  sectors.clear();
  for (u32 rest = request.lanes; rest != 0; rest &= rest - 1) {
    const u64 address = request.address[static_cast<u32>(std::countr_zero(rest))];
    const u64 last = (address + request.bytes - 1) / kSectorBytes;
    for (u64 sector = address / kSectorBytes; sector <= last; ++sector) sectors.push_back(sector);
  }
  make_distinct(sectors);
  GlobalRequests& sum = launch_.global[static_cast<std::size_t>(request.traffic)];
  ++sum.requests;
  sum.bytes += u64{request.bytes} * static_cast<u32>(std::popcount(request.lanes));
  sum.sectors += sectors.size();
  sum.ideal_sectors += (distinct * request.bytes + kSectorBytes - 1) / kSectorBytes;
  for (const u64 sector : sectors) {
    if (request.traffic != Traffic::store) read_.insert(sector);
    if (request.traffic != Traffic::load) written_.insert(sector);
  }
}

void Profiler::count_shared(const Request& request) {
  SharedRequests& sum = launch_.shared[static_cast<std::size_t>(request.traffic)];
  ++sum.requests;
  // A wavefront moves at most one word per bank: lanes with wide accesses go in parts.
  const u32 part = std::min(kLanes, static_cast<u32>(kBanks * kBankBytes) / request.bytes);
  std::vector<u64>& words = scratch_;
  for (u32 first = 0; first < kLanes; first += part) {
    words.clear();
    for (u32 lane = first; lane < first + part; ++lane) {
      if (!((request.lanes >> lane) & 1)) continue;
      const u64 address = request.address[lane];
      const u64 last = (address + request.bytes - 1) / kBankBytes;
      for (u64 word = address / kBankBytes; word <= last; ++word) words.push_back(word);
    }
    if (words.empty()) continue;
    if (request.traffic != Traffic::atomic) {  // lanes at one word are served together
      make_distinct(words);
    }
    std::array<u32, kBanks> by_bank{};
    for (const u64 word : words) ++by_bank[word % kBanks];
    sum.wavefronts += *std::max_element(by_bank.begin(), by_bank.end());
    ++sum.ideal_wavefronts;
  }
}

void Profiler::finish_launch(const Grid& grid) {
  LaunchProfile& sum = launches_[{label_, grid.kernel, grid.grid_extent, grid.block_extent,
                                  grid.dynamic_shared_bytes}];
  ++sum.count;
  for (std::size_t i = 0; i < kTraffics; ++i) {
    sum.global[i].requests += launch_.global[i].requests;
    sum.global[i].bytes += launch_.global[i].bytes;
    sum.global[i].sectors += launch_.global[i].sectors;
    sum.global[i].ideal_sectors += launch_.global[i].ideal_sectors;
    sum.shared[i].requests += launch_.shared[i].requests;
    sum.shared[i].wavefronts += launch_.shared[i].wavefronts;
    sum.shared[i].ideal_wavefronts += launch_.shared[i].ideal_wavefronts;
  }
  sum.sectors_read += read_.size();
  sum.sectors_written += written_.size();
  sum.executions.resize(launch_.executions.size());
  for (std::size_t i = 0; i < launch_.executions.size(); ++i) {
    sum.executions[i] += launch_.executions[i];
  }
}

std::string Profiler::to_json() const {
  std::string out = "{\"version\":1,\"launches\":[";
  const char* separator = "\n";
  for (const auto& [key, launch] : launches_) {
    out += separator + emulation::to_json(key, launch);
    separator = ",\n";
  }
  return out + "]}\n";
}

}  // namespace velum::emulation
