#include "runtime/device.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <unordered_set>

#include "emulation.h"

namespace velum::emulation {
namespace {

/// Modules register themselves at static initialisation, before the device exists.
std::vector<const Module*>& registered_modules() {
  static std::vector<const Module*> modules;
  return modules;
}

/// Indirect calls find their functions here: a function has one address in all modules.
std::unordered_set<const Function*>& registered_functions() {
  static std::unordered_set<const Function*> functions;
  return functions;
}

cudaError_t to_cuda_error(FaultKind kind) {
  switch (kind) {
    case FaultKind::illegal_address:
      return cudaErrorIllegalAddress;
    case FaultKind::misaligned_address:
      return cudaErrorMisalignedAddress;
    case FaultKind::deadlock:
      return cudaErrorLaunchTimeout;
    case FaultKind::assertion:
      return cudaErrorAssert;
    case FaultKind::stack_overflow:
      return cudaErrorHardwareStackError;
    case FaultKind::bad_call:
      return cudaErrorInvalidPc;
    case FaultKind::uninitialised_read:
    case FaultKind::shared_memory_race:
    case FaultKind::global_memory_race:
    case FaultKind::warp_misuse:
    case FaultKind::barrier_misuse:
    case FaultKind::unwaited_copy:
    case FaultKind::division_by_zero:
    case FaultKind::trap:
    case FaultKind::unsupported:
      return cudaErrorLaunchFailure;
  }
  return cudaErrorUnknown;
}

/// nullptr if the variable is not set, or empty.
const char* environment(const char* name) {
  const char* const text = std::getenv(name);
  return text == nullptr || *text == '\0' ? nullptr : text;
}

constexpr const char* kProfileVariable = "VELUM_EMULATION_PROFILE";
constexpr const char* kExecutedVariable = "VELUM_EMULATION_EXECUTED";

void write_file(const char* path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) std::fprintf(stderr, "velum emulation: cannot write %s\n", path);
}

}  // namespace

ModuleRegistration::ModuleRegistration(const Module& module) {
  registered_modules().push_back(&module);
  registered_functions().insert(module.functions, module.functions + module.function_count);
}

const Function* find_function(u64 address) {
  const auto* const function = reinterpret_cast<const Function*>(address);
  return registered_functions().contains(function) ? function : nullptr;
}

Device& Device::instance() {
  // Never destroyed: static objects of the program may free device memory at its end.
  static Device* const device = new Device();
  return *device;
}

Device::Device() : machine_(memory_, races_) {
  if (const char* const text = std::getenv("VELUM_EMULATION_SEED")) {
    set_seed(std::strtoull(text, nullptr, 0));
  }
  // Memory that velum keeps for the next use would hide what is wrong with the last one.
  setenv("VELUM_CUDA_CACHE_MIB", "0", /*overwrite=*/0);
  for (const Module* const module : registered_modules()) load(*module);
  if (environment(kProfileVariable) != nullptr) profiler();
  std::atexit([] { instance().write_files(); });
}

void Device::write_files() const {
  if (const char* const path = environment(kProfileVariable); path && profiler_) {
    write_file(path, profiler_->to_json());
  }
  if (const char* const path = environment(kExecutedVariable)) {
    std::string names;
    for (const std::string& name : executed_) names += name + "\n";
    write_file(path, names);
  }
}

Profiler& Device::profiler() {
  if (profiler_ == nullptr) {
    profiler_ = std::make_unique<Profiler>();
    machine_.set_profiler(profiler_.get());
  }
  return *profiler_;
}

void Device::load(const Module& module) {
  for (u32 i = 0; i < module.kernel_count; ++i) {
    kernels_.try_emplace(module.kernels[i].name, &module.kernels[i]);
  }
  for (u32 i = 0; i < module.variable_count; ++i) {
    const Variable& variable = module.variables[i];
    variables_.try_emplace(variable.name, &variable);
    *variable.address = memory_.allocate(variable.size);
    // Device variables without an initial value start as zero.
    std::memset(storage_of(*variable.address), 0, variable.size);
    if (variable.initial != nullptr) {
      std::memcpy(storage_of(*variable.address), variable.initial, variable.size);
    }
    std::memset(state_of(*variable.address),
                kAllocated | kInitialised | (variable.constant ? kReadOnly : 0), variable.size);
  }
  for (u32 i = 0; i < module.variable_count; ++i) {
    const Variable& variable = module.variables[i];
    for (u32 k = 0; k < variable.relocation_count; ++k) {
      const Relocation& relocation = variable.relocations[k];
      store<u64>(storage_of(*variable.address) + relocation.offset,
                 *relocation.target + relocation.addend);
    }
  }
}

void Device::register_kernel(const void* host_function, const char* name) {
  auto kernel = std::make_unique<HostKernel>();
  kernel->name = name;
  host_kernels_[host_function] = std::move(kernel);
}

const void* Device::register_named_kernel(const std::string& name) {
  const auto it = kernels_.find(name);
  if (it == kernels_.end()) return nullptr;
  register_kernel(it->second, it->second->name);
  return it->second;
}

void Device::register_variable(const void* host_variable, const char* name) {
  host_variables_[host_variable] = name;
}

HostKernel* Device::find_host_kernel(const void* host_function) {
  const auto it = host_kernels_.find(host_function);
  return it == host_kernels_.end() ? nullptr : it->second.get();
}

const Kernel* Device::find_kernel(const std::string& name) {
  const auto it = kernels_.find(name);
  if (it != kernels_.end()) return it->second;
  report("velum emulation: no translation of kernel " + name + " is linked");
  return nullptr;
}

const Variable* Device::find_variable(const void* host_variable) {
  const auto name = host_variables_.find(host_variable);
  if (name == host_variables_.end()) return nullptr;
  const auto it = variables_.find(name->second);
  return it == variables_.end() ? nullptr : it->second;
}

StreamPoint Device::enqueue(StreamQueue& stream, std::function<void()> run,
                            const StreamPoint& after) {
  std::function<void()> unless_error = [this, body = std::move(run)] {
    if (sticky_ == cudaSuccess) body();
  };
  if (graphs_.add(stream, unless_error)) return {};
  return streams_.enqueue(stream, std::move(unless_error), after);
}

void Device::launch(GraphExec& exec, StreamQueue& stream) {
  const auto nothing = [] {};
  const StreamPoint start = streams_.enqueue(stream, nothing, exec.last);
  std::vector<StreamQueue*> branches;
  std::vector<StreamQueue*> branch_of;
  std::vector<StreamPoint> ends;
  for (const GraphNode& node : exec.graph->nodes) {
    // A node after a single one whose branch has not gone on follows in that branch.
    StreamQueue* branch = nullptr;
    if (node.after.size() == 1) {
      const u32 before = node.after.front();
      if (ends[before].count == branch_of[before]->enqueued) branch = branch_of[before];
    }
    if (branch == nullptr) {
      branch = branches.emplace_back(streams_.create(false));
      streams_.enqueue(*branch, nothing, start);
      for (const u32 before : node.after) streams_.enqueue(*branch, nothing, ends[before]);
    }
    branch_of.push_back(branch);
    ends.push_back(streams_.enqueue(*branch, node.run));
  }
  exec.last = streams_.enqueue(stream, nothing);
  for (StreamQueue* const branch : branches) {
    exec.last = streams_.enqueue(stream, nothing, streams_.end_of(*branch));
    streams_.destroy(*branch);
  }
}

void Device::begin_work(const char* what, const Kernel* kernel) {
  const StreamPoint& work = *streams_.running();
  races().begin_work(work.stream->number, work.count, *work.clock, what, kernel);
}

void Device::add_pinned(const void* pointer, std::size_t bytes) {
  pinned_[reinterpret_cast<u64>(pointer)] = bytes;
}

bool Device::remove_pinned(const void* pointer) {
  return pinned_.erase(reinterpret_cast<u64>(pointer)) != 0;
}

bool Device::is_pinned(const void* pointer, std::size_t bytes) const {
  const u64 address = reinterpret_cast<u64>(pointer);
  const auto next = pinned_.upper_bound(address);
  if (next == pinned_.begin()) return false;
  const auto& [start, size] = *std::prev(next);
  return address - start <= size && bytes <= size - (address - start);
}

void Device::set_seed(u64 seed) {
  seed_ = seed;
  streams_.set_seed(seed);
}

void Device::launch(const Kernel& kernel, const LaunchShape& shape, std::vector<u8> parameters,
                    const std::string& label, bool cooperative) {
  // Each launch has an order of its own, and all of them follow from the seed.
  const u64 seed = seed_ + 0x632BE59BD9B4E019 * launches_++;
  if (profiler_ != nullptr) profiler_->set_label(label);
  begin_work("a launch", &kernel);
  std::optional<Fault> fault;
  if (cooperative) {
    constexpr u64 kWorkspaceBytes = 16;
    const u64 workspace = memory_.allocate(kWorkspaceBytes);
    if (workspace == 0) {
      set_sticky(cudaErrorMemoryAllocation,
                 "velum emulation: no device memory is left for a barrier of the grid");
      return;
    }
    std::memset(storage_of(workspace), 0, kWorkspaceBytes);
    std::memset(state_of(workspace), kAllocated | kInitialised, kWorkspaceBytes);
    fault = machine_.run_cooperatively(kernel, shape, parameters.data(), seed, workspace);
    memory_.free(workspace);
  } else {
    fault = machine_.run(kernel, shape, parameters.data(), seed);
  }
  if (fault) {
    set_sticky(to_cuda_error(fault->kind),
               fault->report + "\n  VELUM_EMULATION_SEED=" + std::to_string(seed_));
  } else {
    executed_.insert(kernel.name);
  }
}

void Device::set_sticky(cudaError_t error, const std::string& text) {
  if (sticky_ == cudaSuccess) sticky_ = error;
  report(text);
}

void Device::report(const std::string& text) {
  if (report_.empty()) report_ = text;
  std::fprintf(stderr, "%s\n", text.c_str());
}

void Device::reset() {
  streams_.clear();
  graphs_.clear();
  sticky_ = cudaSuccess;
  report_.clear();
}

std::string last_report() {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  return device.last_report();
}
void reset() {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  device.reset();
  static_cast<void>(cudaGetLastError());
}
const void* kernel(const char* name) {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  return device.register_named_kernel(name);
}
void profile_label(const char* label) {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  device.set_profile_label(label);
}
void set_seed(std::uint64_t value) {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  device.set_seed(value);
}
std::uint64_t seed() {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  return device.seed();
}

}  // namespace velum::emulation
