#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/graphs.h"
#include "runtime/machine.h"
#include "runtime/profile.h"
#include "runtime/streams.h"

namespace velum::emulation {

/// A kernel as the host program knows it: the stub that nvcc made, and what was set for it.
struct HostKernel {
  std::string name;
  /// Dynamic shared memory that the program has allowed; not given: what is left of 48 KB.
  std::optional<u32> max_dynamic_shared;
  /// Whether it may be launched in clusters of more blocks than any device takes.
  bool non_portable_clusters = false;
};

/// The emulated device: its memory, its queues, its errors.
class Device {
 public:
  static Device& instance();

  /// Held by every call of the runtime.
  std::recursive_mutex& mutex() { return mutex_; }

  // Modules and kernels
  void register_kernel(const void* host_function, const char* name);
  /// Registers a translated kernel under a key of its own; nullptr if there is none of this name.
  const void* register_named_kernel(const std::string& name);
  void register_variable(const void* host_variable, const char* name);
  HostKernel* find_host_kernel(const void* host_function);
  /// The translated kernel; nullptr, with a report, if there is none.
  const Kernel* find_kernel(const std::string& name);
  /// The variable that stands behind a host symbol; nullptr if there is none.
  const Variable* find_variable(const void* host_variable);

  // Work
  Streams& streams() { return streams_; }
  Graphs& graphs() { return graphs_; }
  /// Enqueues the nodes of a graph: each on a stream of its own, as far as their order allows.
  void launch(GraphExec& exec, StreamQueue& stream);
  /// Adds work; it is left out after a sticky error. In a stream that is being captured it becomes
  /// a node of the graph.
  StreamPoint enqueue(StreamQueue& stream, std::function<void()> run,
                      const StreamPoint& after = {});
  /// For the race check: the work that runs now touches device memory. A launch has a kernel.
  void begin_work(const char* what, const Kernel* kernel = nullptr);
  GlobalRaces& races() { return races_; }
  /// Page-locked host memory, which copies read and write late.
  void add_pinned(const void* pointer, std::size_t bytes);
  bool remove_pinned(const void* pointer);
  bool is_pinned(const void* pointer, std::size_t bytes) const;

  /// `label` is what the profile calls the launch: one of those that `profile_label` gave. Those of
  /// cooperative launches, and of kernels that reach other blocks, are not counted.
  void launch(const Kernel& kernel, const LaunchShape& shape, std::vector<u8> parameters,
              const std::string& label, bool cooperative);

  // The profile
  /// Starts to count launches, unless it has begun.
  Profiler& profiler();
  /// The label of launches that are enqueued now. It stays valid.
  const std::string& profile_label() const { return *label_; }
  void set_profile_label(const std::string& label) { label_ = &*labels_.insert(label).first; }

  // Errors
  cudaError_t sticky_error() const { return sticky_; }
  void set_sticky(cudaError_t error, const std::string& report);
  void report(const std::string& text);
  const std::string& last_report() const { return report_; }
  void reset();

  DeviceMemory& memory() { return memory_; }
  u64 seed() const { return seed_; }
  void set_seed(u64 seed);

 private:
  Device();
  void load(const Module& module);
  /// Writes what the environment asks for, at the program's end.
  void write_files() const;

  std::recursive_mutex mutex_;
  DeviceMemory memory_;
  GlobalRaces races_{memory_};
  Machine machine_;
  std::map<std::string, const Kernel*> kernels_;
  std::map<std::string, const Variable*> variables_;
  std::map<const void*, std::unique_ptr<HostKernel>> host_kernels_;
  std::map<const void*, std::string> host_variables_;
  std::map<u64, std::size_t> pinned_;
  u64 launches_ = 0;
  u64 seed_ = 1;
  Streams streams_{seed_};
  Graphs graphs_;
  cudaError_t sticky_ = cudaSuccess;
  std::string report_;
  std::unique_ptr<Profiler> profiler_;
  std::set<std::string> labels_{""};
  const std::string* label_ = &*labels_.begin();
  std::set<std::string> executed_;  // kernels, without a fault
};

}  // namespace velum::emulation
