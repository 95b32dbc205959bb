#include "runtime/device.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
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
    case FaultKind::warp_misuse:
    case FaultKind::division_by_zero:
    case FaultKind::trap:
    case FaultKind::unsupported:
      return cudaErrorLaunchFailure;
  }
  return cudaErrorUnknown;
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

Device::Device() : machine_(memory_) {
  if (const char* const text = std::getenv("VELUM_EMULATION_SEED")) {
    seed_ = std::strtoull(text, nullptr, 0);
  }
  for (const Module* const module : registered_modules()) load(*module);
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

StreamQueue* Device::find_stream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return &legacy_;
  const auto it = streams_.find(reinterpret_cast<StreamQueue*>(handle));
  return it == streams_.end() ? nullptr : it->first;
}

StreamQueue* Device::create_stream(bool waits_for_legacy) {
  auto stream = std::make_unique<StreamQueue>();
  stream->waits_for_legacy = waits_for_legacy;
  StreamQueue* const key = stream.get();
  streams_[key] = std::move(stream);
  return key;
}

void Device::destroy_stream(StreamQueue* stream) {
  wait_for(*stream);
  for (auto& [event, owned] : events_) {
    if (event->stream == stream) event->stream = nullptr;
  }
  streams_.erase(stream);
}

Event* Device::find_event(cudaEvent_t handle) {
  const auto it = events_.find(reinterpret_cast<Event*>(handle));
  return it == events_.end() ? nullptr : it->first;
}

Event* Device::create_event() {
  auto event = std::make_unique<Event>();
  Event* const key = event.get();
  events_[key] = std::move(event);
  return key;
}

void Device::destroy_event(Event* event) {
  if (event->stream != nullptr) wait_for(*event->stream, event->sequence);
  events_.erase(event);
}

u64 Device::enqueue(StreamQueue& stream, std::function<void()> run) {
  stream.work.push_back({++sequence_, std::move(run)});
  return sequence_;
}

// Work of the legacy stream and of a blocking stream is ordered by the time when it was enqueued.
// What a piece of work waits for was always enqueued before it, so the recursion ends.
void Device::wait_for(StreamQueue& stream, u64 sequence) {
  while (!stream.work.empty() && stream.work.front().sequence <= sequence) {
    const Work work = std::move(stream.work.front());
    stream.work.pop_front();
    if (&stream == &legacy_) {
      for (auto& [other, owned] : streams_) {
        if (other->waits_for_legacy) wait_for(*other, work.sequence);
      }
    } else if (stream.waits_for_legacy) {
      wait_for(legacy_, work.sequence);
    }
    if (sticky_ == cudaSuccess) work.run();
  }
}

void Device::wait_for_all() {
  wait_for(legacy_);
  for (auto& [stream, owned] : streams_) wait_for(*stream);
}

void Device::launch(const Kernel& kernel, Extent grid, Extent block, u32 dynamic_shared,
                    std::vector<u8> parameters) {
  // Each launch has an order of its own, and all of them follow from the seed.
  const u64 seed = seed_ + 0x632BE59BD9B4E019 * launches_++;
  if (const auto fault =
          machine_.run(kernel, grid, block, dynamic_shared, parameters.data(), seed)) {
    set_sticky(to_cuda_error(fault->kind),
               fault->report + "\n  VELUM_EMULATION_SEED=" + std::to_string(seed_));
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
  legacy_.work.clear();
  for (auto& [stream, owned] : streams_) stream->work.clear();
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
