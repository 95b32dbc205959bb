// The CUDA runtime that emulated programs are linked against. What is not defined here fails to
// link; what is not supported returns an error and says so.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include "runtime/device.h"

namespace velum::emulation {
namespace {

/// The error that cudaGetLastError gives; each host thread has its own.
thread_local cudaError_t last_error = cudaSuccess;

struct CallConfiguration {
  dim3 grid;
  dim3 block;
  std::size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<CallConfiguration> call_configurations;

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t refuse(Device& device, cudaError_t error, const std::string& text) {
  device.report("velum emulation: " + text);
  return error;
}

/// Whether a host function that a stream runs is the caller: the lock is held and work runs.
bool refuse_in_host_function(Device& device) {
  if (device.streams().running() == nullptr) return false;
  refuse(device, cudaErrorNotPermitted,
         "a host function that a stream runs calls the CUDA runtime");
  return true;
}

/// Runs the body of a call under the device's lock; a sticky error comes before everything.
template <typename Body>
cudaError_t call(Body body) {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  if (refuse_in_host_function(device)) return remember(cudaErrorNotPermitted);
  if (device.sticky_error() != cudaSuccess) {
    device.streams().wait_for_all();  // nothing of it runs but callbacks
    return remember(device.sticky_error());
  }
  return remember(body(device));
}

/// The same for what concerns a live stream.
template <typename Body>
cudaError_t call_about(cudaStream_t handle, Body body) {
  return call([&](Device& device) {
    StreamQueue* const stream = device.streams().find(handle);
    return stream == nullptr ? cudaErrorInvalidResourceHandle : body(device, *stream);
  });
}

bool is_legacy(Device& device, const StreamQueue& stream) {
  return &stream == &device.streams().legacy();
}

/// The same for what gives work to a stream.
template <typename Body>
cudaError_t call_on(cudaStream_t handle, Body body) {
  return call_about(handle, [&](Device& device, StreamQueue& stream) {
    const cudaError_t error = device.graphs().check_use(stream, is_legacy(device, stream));
    return error != cudaSuccess ? error : body(device, stream);
  });
}

/// The same for what waits for a stream, or asks how far it is.
template <typename Body>
cudaError_t call_waiting(cudaStream_t handle, Body body) {
  return call_about(handle, [&](Device& device, StreamQueue& stream) {
    const cudaError_t error = device.graphs().check_wait(stream, is_legacy(device, stream));
    return error != cudaSuccess ? error : body(device, stream);
  });
}

/// What a capture cannot take: it is invalid then. Success if the stream is not being captured.
cudaError_t refuse_in_capture(Device& device, const StreamQueue& stream, const char* what,
                              cudaError_t error = cudaErrorStreamCaptureUnsupported) {
  if (device.graphs().capture_of(stream) == 0) return cudaSuccess;
  device.graphs().invalidate(stream);
  return refuse(device, error, std::string(what) + " in a stream that is being captured");
}

/// A call that may wait for the device, which no capture of the ordinary mode lets through.
template <typename Body>
cudaError_t call_unsafe(Body body) {
  return call([&](Device& device) {
    const cudaError_t error = device.graphs().check_unsafe();
    return error != cudaSuccess ? error : body(device);
  });
}

Extent to_extent(dim3 d) { return {d.x, d.y, d.z}; }
u64 to_address(const void* pointer) { return reinterpret_cast<u64>(pointer); }

/// Whether the bytes are host memory, or lie in one allocation.
bool is_valid_range(Device& device, const void* pointer, std::size_t bytes, const char* what) {
  const u64 address = to_address(pointer);
  if (!DeviceMemory::contains(address) || device.memory().is_allocated(address, bytes)) return true;
  device.report(std::string("velum emulation: ") + what + " of " + std::to_string(bytes) +
                " bytes: " + device.memory().describe(address + bytes - 1));
  return false;
}

bool matches_kind(const void* to, const void* from, cudaMemcpyKind kind) {
  const bool to_device = DeviceMemory::contains(to_address(to));
  const bool from_device = DeviceMemory::contains(to_address(from));
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to_device && from_device;
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

bool check_races(Device& device, u64 address, u64 bytes, bool writes) {
  GlobalRaces& races = device.races();
  if (writes ? races.write_range(address, bytes) : races.read_range(address, bytes)) return true;
  device.set_sticky(cudaErrorLaunchFailure,
                    "velum emulation: global memory race: " + races.describe_present_work() + ": " +
                        races.describe_race());
  return false;
}

/// Before work that is no kernel touches device memory, when it runs: whether it is allocated then,
/// and ordered with all other work that touches it.
bool check_range(Device& device, const void* pointer, std::size_t bytes, bool writes) {
  const u64 address = to_address(pointer);
  if (!DeviceMemory::contains(address)) return true;
  if (!DeviceMemory::is_usable(address, bytes)) {
    device.set_sticky(cudaErrorIllegalAddress,
                      "velum emulation: illegal address: a copy or a set of " +
                          std::to_string(bytes) +
                          " bytes runs on memory that is freed by then, or " +
                          "that is not allocated yet: " + device.memory().describe(address));
    return false;
  }
  return check_races(device, address, bytes, writes);
}

void copy_bytes(Device& device, void* to, const void* from, std::size_t bytes) {
  device.begin_work("a copy");
  if (!check_range(device, from, bytes, false) || !check_range(device, to, bytes, true)) return;
  const u64 target = to_address(to);
  const u64 source = to_address(from);
  const bool to_device = DeviceMemory::contains(target);
  const bool from_device = DeviceMemory::contains(source);
  std::memmove(to_device ? storage_of(target) : to, from_device ? storage_of(source) : from, bytes);
  if (!to_device) return;
  if (from_device) {
    // Bytes that were never written stay so.
    std::memmove(state_of(target), state_of(source), bytes);
    for (std::size_t i = 0; i < bytes; ++i) state_of(target)[i] &= kAllocated | kInitialised;
  } else {
    std::memset(state_of(target), kAllocated | kInitialised, bytes);
  }
}

/// A copy in a stream. When the host side is read or written, and what the call waits for, is what
/// "API synchronization behavior" in the manual of the CUDA runtime API says; where it allows two
/// ways, the seed chooses. `blocks`: the form without Async in its name.
cudaError_t enqueue_copy(Device& device, void* to, const void* from, std::size_t bytes,
                         cudaMemcpyKind kind, StreamQueue& stream, bool blocks) {
  if (bytes == 0) return cudaSuccess;
  if (!matches_kind(to, from, kind)) return cudaErrorInvalidMemcpyDirection;
  if (!is_valid_range(device, from, bytes, "copy from device memory") ||
      !is_valid_range(device, to, bytes, "copy to device memory")) {
    return cudaErrorInvalidValue;
  }
  Streams& streams = device.streams();
  const bool to_device = DeviceMemory::contains(to_address(to));
  const bool from_device = DeviceMemory::contains(to_address(from));
  if (blocks) {
    const cudaError_t error = device.graphs().check_unsafe();
    if (error != cudaSuccess) return error;
  }
  if ((!to_device && !device.is_pinned(to, bytes)) ||
      (!from_device && !device.is_pinned(from, bytes))) {
    const cudaError_t error = refuse_in_capture(device, stream, "a copy of pageable memory");
    if (error != cudaSuccess) return error;
  }
  if (to_device && !from_device && !device.is_pinned(from, bytes)) {
    // The bytes are read before the call returns; they reach the device later.
    if (blocks || streams.flip()) {
      streams.wait_for(streams.end_of(stream));
      if (device.sticky_error() != cudaSuccess) return device.sticky_error();
    }
    const u8* const begin = static_cast<const u8*>(from);
    device.enqueue(stream, [&device, to, staged = std::vector<u8>(begin, begin + bytes)] {
      copy_bytes(device, to, staged.data(), staged.size());
    });
    return cudaSuccess;
  }
  const StreamPoint end =
      device.enqueue(stream, [&device, to, from, bytes] { copy_bytes(device, to, from, bytes); });
  const bool pageable =
      !to_device && !device.is_pinned(to, bytes) && (from_device || !device.is_pinned(from, bytes));
  if (pageable || (blocks && !(to_device && from_device))) {
    streams.wait_for(end);
    return device.sticky_error();
  }
  return cudaSuccess;
}

cudaError_t enqueue_set(Device& device, void* to, int value, std::size_t bytes,
                        StreamQueue& stream) {
  if (bytes == 0) return cudaSuccess;
  if (!DeviceMemory::contains(to_address(to)) ||
      !is_valid_range(device, to, bytes, "set of device memory")) {
    return cudaErrorInvalidValue;
  }
  device.enqueue(stream, [&device, to, value, bytes] {
    device.begin_work("a set");
    if (!check_range(device, to, bytes, true)) return;
    std::memset(storage_of(to_address(to)), value, bytes);
    std::memset(state_of(to_address(to)), kAllocated | kInitialised, bytes);
  });
  return cudaSuccess;
}

constexpr u32 kSharedPerBlock = 48 << 10;  // static and dynamic, unless a kernel opts in to more

u32 allowed_dynamic_shared(const HostKernel& host_kernel, const Kernel& kernel) {
  return host_kernel.max_dynamic_shared.value_or(kSharedPerBlock -
                                                 std::min(kSharedPerBlock, kernel.shared_bytes));
}

/// `symbol` at `offset`, as an address; an error if so many bytes do not lie in it.
cudaError_t find_symbol(Device& device, const void* symbol, std::size_t bytes, std::size_t offset,
                        void** address) {
  const Variable* const variable = device.find_variable(symbol);
  if (variable == nullptr) return cudaErrorInvalidSymbol;
  if (offset > variable->size || bytes > variable->size - offset) return cudaErrorInvalidValue;
  *address = reinterpret_cast<void*>(*variable->address + offset);
  return cudaSuccess;
}

cudaError_t copy_to_symbol(const void* symbol, const void* from, std::size_t bytes,
                           std::size_t offset, cudaMemcpyKind kind, cudaStream_t handle,
                           bool blocks) {
  return call_on(handle, [&](Device& device, StreamQueue& stream) {
    void* to = nullptr;
    const cudaError_t error = find_symbol(device, symbol, bytes, offset, &to);
    if (error != cudaSuccess) return error;
    return enqueue_copy(device, to, from, bytes, kind, stream, blocks);
  });
}

cudaError_t copy_from_symbol(void* to, const void* symbol, std::size_t bytes, std::size_t offset,
                             cudaMemcpyKind kind, cudaStream_t handle, bool blocks) {
  return call_on(handle, [&](Device& device, StreamQueue& stream) {
    void* from = nullptr;
    const cudaError_t error = find_symbol(device, symbol, bytes, offset, &from);
    if (error != cudaSuccess) return error;
    return enqueue_copy(device, to, from, bytes, kind, stream, blocks);
  });
}

constexpr int kMultiprocessors = 4;  // few, so that grids sized by it stay small
constexpr int kThreadsPerMultiprocessor = 2048;
constexpr int kSharedPerMultiprocessor = 228 << 10;

int blocks_per_multiprocessor(const Kernel& kernel, int threads, std::size_t shared) {
  const std::size_t used = kernel.shared_bytes + shared + 1024;
  const int by_shared = static_cast<int>(kSharedPerMultiprocessor / used);
  const int by_threads = kThreadsPerMultiprocessor / ((threads + 31) / 32 * 32);
  return std::min({32, by_shared, by_threads});
}

constexpr u64 kPortableClusterBlocks = 8;
constexpr u64 kMostClusterBlocks = 16;

/// Blocks of a kernel that the device holds at a time.
u64 resident_blocks(const Kernel& kernel, u64 threads, std::size_t shared) {
  return u64{kMultiprocessors} *
         static_cast<u64>(blocks_per_multiprocessor(kernel, static_cast<int>(threads), shared));
}

/// What a launch says beyond the extents of its grid and blocks.
struct LaunchOptions {
  bool cooperative = false;
  std::optional<Extent> cluster;
};

/// Sets the extent of the clusters, which the launch gives or the kernel requires.
cudaError_t set_cluster(Device& device, const HostKernel& host_kernel, const Kernel& kernel,
                        const std::optional<Extent>& given, LaunchShape& shape) {
  const auto refuse_cluster = [&](const std::string& why) {
    return refuse(device, cudaErrorInvalidClusterSize, host_kernel.name + " " + why);
  };
  const bool is_required = kernel.cluster[0] != 0;
  const Extent required{kernel.cluster[0], kernel.cluster[1], kernel.cluster[2]};
  shape.explicit_cluster = is_required || given.has_value();
  if (kernel.explicit_cluster && !shape.explicit_cluster) {
    return refuse_cluster(
        "is .explicitcluster and launched without the extents of a cluster; "
        "cudaLaunchAttributeClusterDimension gives them");
  }
  if (!shape.explicit_cluster) return cudaSuccess;
  shape.cluster = given.value_or(required);
  const Extent& cluster = shape.cluster;
  const u64 blocks = cluster.count();
  if (is_required &&
      (cluster.x != required.x || cluster.y != required.y || cluster.z != required.z)) {
    return refuse_cluster("requires clusters of " + to_text(required) +
                          " blocks and is launched in clusters of " + to_text(cluster));
  }
  const u64 most = kernel.max_cluster_rank != 0        ? kernel.max_cluster_rank
                   : host_kernel.non_portable_clusters ? kMostClusterBlocks
                                                       : kPortableClusterBlocks;
  if (blocks == 0 || blocks > most) {
    return refuse_cluster("is launched in clusters of " + std::to_string(blocks) +
                          " blocks, expected 1 to " + std::to_string(most) +
                          "; cudaFuncAttributeNonPortableClusterSizeAllowed allows " +
                          std::to_string(kMostClusterBlocks));
  }
  if (shape.grid.x % cluster.x != 0 || shape.grid.y % cluster.y != 0 ||
      shape.grid.z % cluster.z != 0) {
    return refuse_cluster("is launched with a grid of " + to_text(shape.grid) +
                          " blocks, expected multiples of its clusters' " + to_text(cluster));
  }
  const u64 held = resident_blocks(kernel, shape.block.count(), shape.dynamic_shared_bytes);
  if (blocks > held) {
    return refuse_cluster("is launched in clusters of " + std::to_string(blocks) +
                          " blocks, of which the device holds " + std::to_string(held));
  }
  return cudaSuccess;
}

cudaError_t enqueue_launch(Device& device, const HostKernel* host_kernel, dim3 grid, dim3 block,
                           void** arguments, std::size_t shared, cudaStream_t handle,
                           const LaunchOptions& options) {
  if (host_kernel == nullptr) return cudaErrorInvalidDeviceFunction;
  const Kernel* const kernel = device.find_kernel(host_kernel->name);
  if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
  StreamQueue* const stream = device.streams().find(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t error = device.graphs().check_use(*stream, is_legacy(device, *stream));
      error != cudaSuccess) {
    return error;
  }
  const Extent grid_extent = to_extent(grid);
  const Extent block_extent = to_extent(block);
  const u64 threads = block_extent.count();
  if (grid_extent.count() == 0 || threads == 0 || threads > Machine::kMaxThreadsPerBlock ||
      block.z > 64 || grid.x > 0x7FFFFFFF || grid.y > 65535 || grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  if (kernel->max_threads != 0 && threads > kernel->max_threads) {
    return refuse(device, cudaErrorInvalidValue,
                  host_kernel->name + " is bound to " + std::to_string(kernel->max_threads) +
                      " threads per block and launched with " + std::to_string(threads));
  }
  if (shared > allowed_dynamic_shared(*host_kernel, *kernel)) {
    return refuse(device, cudaErrorInvalidValue,
                  host_kernel->name + " is launched with " + std::to_string(shared) +
                      " bytes of dynamic shared memory beside " +
                      std::to_string(kernel->shared_bytes) + " static ones; allowed are " +
                      std::to_string(allowed_dynamic_shared(*host_kernel, *kernel)) +
                      " unless cudaFuncAttributeMaxDynamicSharedMemorySize allows more");
  }
  LaunchShape shape;
  shape.grid = grid_extent;
  shape.block = block_extent;
  shape.dynamic_shared_bytes = static_cast<u32>(shared);
  if (const cudaError_t error = set_cluster(device, *host_kernel, *kernel, options.cluster, shape);
      error != cudaSuccess) {
    return error;
  }
  if (options.cooperative) {
    const u64 most = resident_blocks(*kernel, threads, shared);
    if (grid_extent.count() > most) {
      return refuse(device, cudaErrorCooperativeLaunchTooLarge,
                    host_kernel->name + " is launched cooperatively with " +
                        std::to_string(grid_extent.count()) +
                        " blocks, of which the device holds " + std::to_string(most));
    }
  }
  std::vector<u8> parameters(kernel->parameter_bytes + 16);
  for (u32 i = 0; i < kernel->parameter_count; ++i) {
    const Parameter& parameter = kernel->parameters[i];
    std::memcpy(parameters.data() + parameter.offset, arguments[i], parameter.size);
  }
  device.enqueue(*stream, [&device, kernel, shape, bytes = std::move(parameters),
                           &label = device.profile_label(), cooperative = options.cooperative] {
    device.launch(*kernel, shape, bytes, label, cooperative);
  });
  return cudaSuccess;
}

cudaError_t read_attributes(Device& device, const cudaLaunchConfig_t& config,
                            LaunchOptions& options) {
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    // Programmatic stream serialization lets a kernel start early; starting it late is right too.
    // A policy of scheduling is a preference.
    if (attribute.id == cudaLaunchAttributeProgrammaticStreamSerialization ||
        attribute.id == cudaLaunchAttributeClusterSchedulingPolicyPreference) {
      continue;
    }
    if (attribute.id == cudaLaunchAttributeCooperative) {
      options.cooperative = attribute.val.cooperative != 0;
    } else if (attribute.id == cudaLaunchAttributeClusterDimension) {
      const auto& extent = attribute.val.clusterDim;
      options.cluster = Extent{extent.x, extent.y, extent.z};
    } else {
      return refuse(device, cudaErrorNotSupported,
                    "launch attribute " + std::to_string(attribute.id) + " is not supported");
    }
  }
  return cudaSuccess;
}

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};
constexpr ErrorText kErrorTexts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidSymbol, "cudaErrorInvalidSymbol", "invalid device symbol"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection",
     "invalid copy direction for memcpy"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorNotPermitted, "cudaErrorNotPermitted", "operation not permitted"},
    {cudaErrorHostMemoryAlreadyRegistered, "cudaErrorHostMemoryAlreadyRegistered",
     "part or all of the requested memory range is already mapped"},
    {cudaErrorHostMemoryNotRegistered, "cudaErrorHostMemoryNotRegistered",
     "pointer does not correspond to a registered memory region"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorAssert, "cudaErrorAssert", "device-side assert triggered"},
    {cudaErrorHardwareStackError, "cudaErrorHardwareStackError", "hardware stack error"},
    {cudaErrorInvalidPc, "cudaErrorInvalidPc", "invalid program counter"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorCooperativeLaunchTooLarge, "cudaErrorCooperativeLaunchTooLarge",
     "too many blocks in cooperative launch"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorIllegalState, "cudaErrorIllegalState",
     "the operation cannot be performed in the present state"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorInvalidClusterSize, "cudaErrorInvalidClusterSize", "cluster misconfiguration"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};
const ErrorText& find_text(cudaError_t error) {
  for (const ErrorText& each : kErrorTexts) {
    if (each.error == error) return each;
  }
  static constexpr ErrorText kUnrecognized{cudaErrorUnknown, "unrecognized error code",
                                           "unrecognized error code"};
  return kUnrecognized;
}

double now_milliseconds() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

constexpr int kComputeMajor = 9;
constexpr int kComputeMinor = 0;

struct DeviceAttribute {
  cudaDeviceAttr attribute;
  int value;
};
constexpr DeviceAttribute kDeviceAttributes[] = {
    {cudaDevAttrMultiProcessorCount, kMultiprocessors},
    {cudaDevAttrMaxThreadsPerBlock, Machine::kMaxThreadsPerBlock},
    {cudaDevAttrMaxThreadsPerMultiProcessor, kThreadsPerMultiprocessor},
    {cudaDevAttrMaxSharedMemoryPerBlock, static_cast<int>(kSharedPerBlock)},
    {cudaDevAttrMaxSharedMemoryPerBlockOptin, Machine::kMaxSharedBytes},
    {cudaDevAttrMaxSharedMemoryPerMultiprocessor, kSharedPerMultiprocessor},
    {cudaDevAttrReservedSharedMemoryPerBlock, 1024},
    {cudaDevAttrMaxRegistersPerBlock, 65536},
    {cudaDevAttrWarpSize, 32},
    {cudaDevAttrMaxBlockDimX, 1024},
    {cudaDevAttrMaxBlockDimY, 1024},
    {cudaDevAttrMaxBlockDimZ, 64},
    {cudaDevAttrMaxGridDimX, 0x7FFFFFFF},
    {cudaDevAttrMaxGridDimY, 65535},
    {cudaDevAttrMaxGridDimZ, 65535},
    {cudaDevAttrComputeCapabilityMajor, kComputeMajor},
    {cudaDevAttrComputeCapabilityMinor, kComputeMinor},
    {cudaDevAttrSingleToDoublePrecisionPerfRatio, 2},
    {cudaDevAttrL2CacheSize, 50 << 20},
    {cudaDevAttrMemoryPoolsSupported, 1},
    {cudaDevAttrCooperativeLaunch, 1},
    {cudaDevAttrUnifiedAddressing, 1},
    {cudaDevAttrClusterLaunch, 1},
};

}  // namespace
}  // namespace velum::emulation

using namespace velum::emulation;  // NOLINT(google-build-using-namespace): the rest is C

// What nvcc's host stubs call; no public header declares it.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

void** __cudaRegisterFatBinary(void* fat_binary) { return static_cast<void**>(fat_binary); }
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) { return 1; }

void __cudaRegisterFunction(void**, const char* host_function, char*, const char* device_name, int,
                            uint3*, uint3*, dim3*, dim3*, int*) {
  Device::instance().register_kernel(host_function, device_name);
}
void __cudaRegisterVar(void**, char* host_variable, char*, const char* device_name, int,
                       std::size_t, int, int) {
  Device::instance().register_variable(host_variable, device_name);
}

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, void* stream) {
  call_configurations.push_back({grid, block, shared, static_cast<cudaStream_t>(stream)});
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  if (call_configurations.empty()) return cudaErrorInvalidConfiguration;
  const CallConfiguration& top = call_configurations.back();
  *grid = top.grid;
  *block = top.block;
  *shared = top.shared;
  *static_cast<cudaStream_t*>(stream) = top.stream;
  call_configurations.pop_back();
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host_function) {
  return call([&](Device& device) {
    HostKernel* const found = device.find_host_kernel(host_function);
    *kernel = reinterpret_cast<cudaKernel_t>(found);
    return found == nullptr ? cudaErrorInvalidDeviceFunction : cudaSuccess;
  });
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               std::size_t shared, cudaStream_t stream) {
  return call([&](Device& device) {
    return enqueue_launch(device, reinterpret_cast<HostKernel*>(kernel), grid, block, arguments,
                          shared, stream, {});
  });
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)

// Kernels

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                             std::size_t shared, cudaStream_t stream) {
  return call([&](Device& device) {
    return enqueue_launch(device, device.find_host_kernel(function), grid, block, arguments, shared,
                          stream, {});
  });
}
cudaError_t cudaLaunchCooperativeKernel(const void* function, dim3 grid, dim3 block,
                                        void** arguments, std::size_t shared, cudaStream_t stream) {
  return call([&](Device& device) {
    return enqueue_launch(device, device.find_host_kernel(function), grid, block, arguments, shared,
                          stream, {.cooperative = true, .cluster = {}});
  });
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function,
                                void** arguments) {
  return call([&](Device& device) {
    LaunchOptions options;
    if (const cudaError_t error = read_attributes(device, *config, options); error != cudaSuccess) {
      return error;
    }
    return enqueue_launch(device, device.find_host_kernel(function), config->gridDim,
                          config->blockDim, arguments, config->dynamicSmemBytes, config->stream,
                          options);
  });
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return call([&](Device& device) {
    const HostKernel* const host_kernel = device.find_host_kernel(function);
    if (host_kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    const Kernel* const kernel = device.find_kernel(host_kernel->name);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    *attributes = {};
    attributes->sharedSizeBytes = kernel->shared_bytes;
    attributes->maxThreadsPerBlock = static_cast<int>(
        kernel->max_threads != 0 ? kernel->max_threads : Machine::kMaxThreadsPerBlock);
    attributes->numRegs = 32;
    attributes->ptxVersion = static_cast<int>(kernel->module->architecture);
    attributes->binaryVersion = static_cast<int>(kernel->module->architecture);
    attributes->maxDynamicSharedSizeBytes =
        static_cast<int>(allowed_dynamic_shared(*host_kernel, *kernel));
    attributes->clusterDimMustBeSet = kernel->explicit_cluster ? 1 : 0;
    attributes->requiredClusterWidth = static_cast<int>(kernel->cluster[0]);
    attributes->requiredClusterHeight = static_cast<int>(kernel->cluster[1]);
    attributes->requiredClusterDepth = static_cast<int>(kernel->cluster[2]);
    attributes->nonPortableClusterSizeAllowed = host_kernel->non_portable_clusters ? 1 : 0;
    return cudaSuccess;
  });
}
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return call([&](Device& device) {
    HostKernel* const host_kernel = device.find_host_kernel(function);
    if (host_kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
      const Kernel* const kernel = device.find_kernel(host_kernel->name);
      if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
      if (value < 0 ||
          static_cast<u64>(value) + kernel->shared_bytes > u64{Machine::kMaxSharedBytes}) {
        return refuse(device, cudaErrorInvalidValue,
                      std::to_string(value) + " bytes of dynamic shared memory for " +
                          host_kernel->name + " beside " + std::to_string(kernel->shared_bytes) +
                          " static ones, expected at most " +
                          std::to_string(Machine::kMaxSharedBytes) + " together");
      }
      host_kernel->max_dynamic_shared = static_cast<u32>(value);
      return cudaSuccess;
    }
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout ||
        attribute == cudaFuncAttributeClusterSchedulingPolicyPreference) {
      return cudaSuccess;
    }
    if (attribute == cudaFuncAttributeNonPortableClusterSizeAllowed) {
      host_kernel->non_portable_clusters = value != 0;
      return cudaSuccess;
    }
    return refuse(device, cudaErrorNotSupported, "this function attribute is not supported");
  });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks,
                                                                   const void* function,
                                                                   int threads, std::size_t shared,
                                                                   unsigned) {
  return call([&](Device& device) {
    const HostKernel* const host_kernel = device.find_host_kernel(function);
    if (host_kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    const Kernel* const kernel = device.find_kernel(host_kernel->name);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    if (threads <= 0) return cudaErrorInvalidValue;
    *blocks = blocks_per_multiprocessor(*kernel, threads, shared);
    return cudaSuccess;
  });
}
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function,
                                                          int threads, std::size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared,
                                                                cudaOccupancyDefault);
}

cudaError_t cudaOccupancyMaxActiveClusters(int* clusters, const void* function,
                                           const cudaLaunchConfig_t* config) {
  return call([&](Device& device) {
    const HostKernel* const host_kernel = device.find_host_kernel(function);
    if (host_kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    const Kernel* const kernel = device.find_kernel(host_kernel->name);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    LaunchOptions options;
    if (const cudaError_t error = read_attributes(device, *config, options); error != cudaSuccess) {
      return error;
    }
    const u64 threads = to_extent(config->blockDim).count();
    const Extent required{kernel->cluster[0], kernel->cluster[1], kernel->cluster[2]};
    const u64 blocks = options.cluster.value_or(required).count();
    if (threads == 0 || blocks == 0) return cudaErrorInvalidValue;
    *clusters =
        static_cast<int>(resident_blocks(*kernel, threads, config->dynamicSmemBytes) / blocks);
    return cudaSuccess;
  });
}
cudaError_t cudaOccupancyMaxPotentialClusterSize(int* blocks, const void* function,
                                                 const cudaLaunchConfig_t* config) {
  return call([&](Device& device) {
    const HostKernel* const host_kernel = device.find_host_kernel(function);
    if (host_kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    const Kernel* const kernel = device.find_kernel(host_kernel->name);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    const u64 threads = to_extent(config->blockDim).count();
    if (threads == 0) return cudaErrorInvalidValue;
    const u64 most =
        host_kernel->non_portable_clusters ? kMostClusterBlocks : kPortableClusterBlocks;
    *blocks = static_cast<int>(
        std::min(most, resident_blocks(*kernel, threads, config->dynamicSmemBytes)));
    return cudaSuccess;
  });
}

// Memory

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return call_unsafe([&](Device& device) {
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    const u64 address = device.memory().allocate(bytes);
    if (address == 0) return cudaErrorMemoryAllocation;
    *pointer = reinterpret_cast<void*>(address);
    return cudaSuccess;
  });
}
cudaError_t cudaFree(void* pointer) {
  // Memory is given back even after a sticky error, and the error is returned as well.
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  if (refuse_in_host_function(device)) return remember(cudaErrorNotPermitted);
  if (const cudaError_t error = device.graphs().check_unsafe(); error != cudaSuccess) {
    return remember(error);
  }
  device.streams().wait_for_all();
  if (pointer != nullptr && !device.memory().free(to_address(pointer))) {
    return remember(
        refuse(device, cudaErrorInvalidValue, "cudaFree of what is no live allocation"));
  }
  return remember(device.sticky_error());
}
cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t handle) {
  return call_on(handle, [&](Device& device, StreamQueue& stream) {
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    const cudaError_t error =
        refuse_in_capture(device, stream, "an allocation", cudaErrorNotSupported);
    if (error != cudaSuccess) return error;
    const u64 address = device.memory().reserve(bytes);
    if (address == 0) return cudaErrorMemoryAllocation;
    *pointer = reinterpret_cast<void*>(address);
    device.enqueue(stream, [&device, address, bytes] {
      device.begin_work("an allocation");
      device.memory().commit(address);
      check_races(device, address, bytes, true);
    });
    return cudaSuccess;
  });
}
cudaError_t cudaFreeAsync(void* pointer, cudaStream_t handle) {
  return call_on(handle, [&](Device& device, StreamQueue& stream) {
    const cudaError_t error =
        refuse_in_capture(device, stream, "a release of memory", cudaErrorNotSupported);
    if (error != cudaSuccess) return error;
    if (pointer == nullptr) return cudaSuccess;
    device.enqueue(stream, [&device, address = to_address(pointer)] {
      device.begin_work("a release");
      const u64 bytes = device.memory().allocated_bytes(address);
      if (bytes == 0) {
        device.set_sticky(cudaErrorInvalidValue,
                          "velum emulation: cudaFreeAsync of what is no live allocation");
      } else if (check_races(device, address, bytes, true)) {
        device.memory().free(address);
      }
    });
    return cudaSuccess;
  });
}
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned flags) {
  return call_unsafe([&](Device& device) {
    *pointer = nullptr;
    if ((flags & ~unsigned{cudaHostAllocPortable | cudaHostAllocWriteCombined}) != 0) {
      return refuse(device, cudaErrorNotSupported, "mapped host memory is not supported");
    }
    if (bytes == 0) return cudaSuccess;
    *pointer = ::operator new (bytes, std::align_val_t{256}, std::nothrow);
    if (*pointer == nullptr) return cudaErrorMemoryAllocation;
    device.add_pinned(*pointer, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}
cudaError_t cudaFreeHost(void* pointer) {
  return call_unsafe([&](Device& device) {
    device.streams().wait_for_all();
    if (pointer == nullptr) return device.sticky_error();
    if (!device.remove_pinned(pointer)) {
      return refuse(device, cudaErrorInvalidValue,
                    "cudaFreeHost of what is no live allocation of page-locked memory");
    }
    ::operator delete (pointer, std::align_val_t{256});
    return device.sticky_error();
  });
}
cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned flags) {
  return call([&](Device& device) {
    if (flags != cudaHostRegisterDefault && flags != cudaHostRegisterPortable) {
      return refuse(device, cudaErrorNotSupported, "mapped host memory is not supported");
    }
    if (pointer == nullptr || bytes == 0) return cudaErrorInvalidValue;
    if (device.is_pinned(pointer, 1)) return cudaErrorHostMemoryAlreadyRegistered;
    device.add_pinned(pointer, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaHostUnregister(void* pointer) {
  return call([&](Device& device) {
    device.streams().wait_for_all();
    if (!device.remove_pinned(pointer)) return cudaErrorHostMemoryNotRegistered;
    return device.sticky_error();
  });
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call([&](Device& device) {
    *free = device.memory().free_bytes();
    *total = DeviceMemory::kTotalBytes;
    return cudaSuccess;
  });
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return call([&](Device& device) {
    *attributes = {};
    const bool on_device = device.memory().is_allocated(to_address(pointer), 1);
    const bool pinned = device.is_pinned(pointer, 1);
    attributes->type = on_device ? cudaMemoryTypeDevice
                       : pinned  ? cudaMemoryTypeHost
                                 : cudaMemoryTypeUnregistered;
    attributes->device = on_device || pinned ? 0 : -2;
    attributes->devicePointer = on_device ? const_cast<void*>(pointer) : nullptr;
    attributes->hostPointer = on_device ? nullptr : const_cast<void*>(pointer);
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle) {
  return call_on(handle, [&](Device& device, StreamQueue& stream) {
    return enqueue_copy(device, to, from, bytes, kind, stream, false);
  });
}
cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call_on(nullptr, [&](Device& device, StreamQueue& stream) {
    return enqueue_copy(device, to, from, bytes, kind, stream, true);
  });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t handle) {
  return call_on(handle, [&](Device& device, StreamQueue& stream) {
    return enqueue_set(device, to, value, bytes, stream);
  });
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return cudaMemsetAsync(to, value, bytes, nullptr);
}
cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  return call([&](Device& device) { return find_symbol(device, symbol, 0, 0, pointer); });
}
cudaError_t cudaGetSymbolSize(std::size_t* bytes, const void* symbol) {
  return call([&](Device& device) {
    const Variable* const variable = device.find_variable(symbol);
    if (variable == nullptr) return cudaErrorInvalidSymbol;
    *bytes = variable->size;
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, std::size_t bytes,
                                    std::size_t offset, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_to_symbol(symbol, from, bytes, offset, kind, stream, false);
}
cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, std::size_t bytes,
                               std::size_t offset, cudaMemcpyKind kind) {
  return copy_to_symbol(symbol, from, bytes, offset, kind, nullptr, true);
}
cudaError_t cudaMemcpyFromSymbolAsync(void* to, const void* symbol, std::size_t bytes,
                                      std::size_t offset, cudaMemcpyKind kind,
                                      cudaStream_t stream) {
  return copy_from_symbol(to, symbol, bytes, offset, kind, stream, false);
}
cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, std::size_t bytes,
                                 std::size_t offset, cudaMemcpyKind kind) {
  return copy_from_symbol(to, symbol, bytes, offset, kind, nullptr, true);
}

// Streams and events

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call([&](Device& device) {
    if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *stream = reinterpret_cast<cudaStream_t>(device.streams().create(flags == cudaStreamDefault));
    return cudaSuccess;
  });
}
cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  return call_about(handle, [&](Device&, StreamQueue& stream) {
    *flags = stream.waits_for_legacy ? cudaStreamDefault : cudaStreamNonBlocking;
    return cudaSuccess;
  });
}
cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call_about(handle, [&](Device& device, StreamQueue& stream) {
    if (&stream == &device.streams().legacy() || handle == cudaStreamPerThread) {
      return cudaErrorInvalidResourceHandle;
    }
    device.streams().destroy(stream);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call_waiting(handle, [&](Device& device, StreamQueue& stream) {
    device.streams().wait_for(device.streams().end_of(stream));
    return device.sticky_error();
  });
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call_waiting(handle, [&](Device& device, StreamQueue& stream) {
    const bool done = device.streams().query(stream);
    if (device.sticky_error() != cudaSuccess) return device.sticky_error();
    return done ? cudaSuccess : cudaErrorNotReady;
  });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned flags) {
  return call_on(handle, [&](Device& device, StreamQueue& stream) {
    const Event* const event = device.streams().find(event_handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    if (flags != cudaEventWaitDefault) {
      return refuse(device, cudaErrorNotSupported, "events outside of a graph are not supported");
    }
    if (event->captured.capture == 0 && event->recorded.stream == nullptr) return cudaSuccess;
    bool is_done = false;
    const cudaError_t error =
        device.graphs().wait(stream, is_legacy(device, stream), event->captured, &is_done);
    if (error != cudaSuccess || is_done) return error;
    // What the event is now: a later record of it changes nothing here.
    device.enqueue(
        stream, [] {}, event->recorded);
    return cudaSuccess;
  });
}
cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  return call_on(handle, [&](Device& device, StreamQueue& stream) {
    if (function == nullptr) return cudaErrorInvalidValue;
    device.enqueue(stream, [function, data] { function(data); });
    return cudaSuccess;
  });
}
cudaError_t cudaStreamAddCallback(cudaStream_t handle, cudaStreamCallback_t callback, void* data,
                                  unsigned flags) {
  return call_on(handle, [&](Device& device, StreamQueue& stream) {
    if (callback == nullptr || flags != 0) return cudaErrorInvalidValue;
    const cudaError_t error = refuse_in_capture(device, stream, "a callback");
    if (error != cudaSuccess) return error;
    // Unlike a host function it is called after an error, too.
    device.streams().enqueue(stream, [&device, handle, callback, data] {
      callback(handle, device.sticky_error(), data);
    });
    return cudaSuccess;
  });
}
cudaError_t cudaStreamGetDevice(cudaStream_t, int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call([&](Device& device) {
    if ((flags & ~unsigned{cudaEventBlockingSync | cudaEventDisableTiming}) != 0) {
      return refuse(device, cudaErrorNotSupported, "events between processes are not supported");
    }
    Event* const created = device.streams().create_event();
    created->has_timing = (flags & cudaEventDisableTiming) == 0;
    *event = reinterpret_cast<cudaEvent_t>(created);
    return cudaSuccess;
  });
}
cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  return call([&](Device& device) {
    Event* const event = device.streams().find(handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    device.streams().destroy(*event);
    return cudaSuccess;
  });
}
cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  return call_on(stream_handle, [&](Device& device, StreamQueue& stream) {
    Event* const event = device.streams().find(handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    event->captured = device.graphs().record(stream);
    if (event->captured.capture != 0) return cudaSuccess;
    event->recorded =
        device.enqueue(stream, [time = event->milliseconds] { *time = now_milliseconds(); });
    return cudaSuccess;
  });
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  if (flags == cudaEventRecordDefault) return cudaEventRecord(event, stream);
  return call([&](Device& device) {
    return refuse(device, cudaErrorNotSupported, "events outside of a graph are not supported");
  });
}
cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call([&](Device& device) {
    const Event* const event = device.streams().find(handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->captured.capture != 0) return cudaErrorCapturedEvent;
    device.streams().wait_for(event->recorded);
    return device.sticky_error();
  });
}
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call([&](Device& device) {
    const Event* const event = device.streams().find(handle);
    if (event == nullptr) return cudaErrorInvalidResourceHandle;
    if (event->captured.capture != 0) return cudaErrorCapturedEvent;
    const bool done = device.streams().query(event->recorded);
    if (device.sticky_error() != cudaSuccess) return device.sticky_error();
    return done ? cudaSuccess : cudaErrorNotReady;
  });
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call([&](Device& device) {
    const Event* const first = device.streams().find(start);
    const Event* const second = device.streams().find(end);
    for (const Event* const event : {first, second}) {
      if (event != nullptr && event->captured.capture != 0) return cudaErrorCapturedEvent;
      if (event == nullptr || !event->has_timing || event->recorded.stream == nullptr) {
        return cudaErrorInvalidResourceHandle;
      }
    }
    if (!Streams::is_done(first->recorded) || !Streams::is_done(second->recorded)) {
      return cudaErrorNotReady;
    }
    *milliseconds = static_cast<float>(*second->milliseconds - *first->milliseconds);
    return cudaSuccess;
  });
}

// Captures and graphs

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call_about(handle, [&](Device& device, StreamQueue& stream) {
    return device.graphs().begin(stream, is_legacy(device, stream), mode);
  });
}
cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return call_about(handle, [&](Device& device, StreamQueue& stream) {
    return device.graphs().end(stream, graph);
  });
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call_about(handle, [&](Device& device, StreamQueue& stream) {
    *status = device.graphs().status_of(stream);
    return cudaSuccess;
  });
}
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, cudaStreamCaptureStatus* status,
                                     unsigned long long* number, cudaGraph_t* graph,
                                     const cudaGraphNode_t** nodes, const cudaGraphEdgeData** edges,
                                     std::size_t* count) {
  return call_about(handle, [&](Device& device, StreamQueue& stream) {
    if (graph != nullptr || nodes != nullptr || edges != nullptr || count != nullptr) {
      return refuse(device, cudaErrorNotSupported,
                    "the graph of a capture that goes on is not supported");
    }
    *status = device.graphs().status_of(stream);
    if (number != nullptr) *number = device.graphs().capture_of(stream);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t handle,
                                 unsigned long long flags) {
  return call([&](Device& device) {
    *exec = nullptr;
    const Graph* const graph = device.graphs().find(handle);
    if (graph == nullptr) return cudaErrorInvalidValue;
    if (flags != 0) {
      return refuse(device, cudaErrorNotSupported, "flags of cudaGraphInstantiate");
    }
    *exec = reinterpret_cast<cudaGraphExec_t>(device.graphs().instantiate(*graph));
    return cudaSuccess;
  });
}
cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph,
                                          unsigned long long flags) {
  return cudaGraphInstantiate(exec, graph, flags);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
  return call_on(stream_handle, [&](Device& device, StreamQueue& stream) {
    GraphExec* const exec = device.graphs().find(handle);
    if (exec == nullptr) return cudaErrorInvalidValue;
    const cudaError_t error =
        refuse_in_capture(device, stream, "the launch of a graph", cudaErrorNotSupported);
    if (error != cudaSuccess) return error;
    device.launch(*exec, stream);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, std::size_t* count) {
  return call([&](Device& device) {
    const Graph* const graph = device.graphs().find(handle);
    if (graph == nullptr) return cudaErrorInvalidValue;
    if (nodes != nullptr) {
      return refuse(device, cudaErrorNotSupported, "handles of the nodes of a graph");
    }
    *count = graph->nodes.size();
    return cudaSuccess;
  });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t handle) {
  return call([&](Device& device) {
    GraphExec* const exec = device.graphs().find(handle);
    if (exec == nullptr) return cudaErrorInvalidValue;
    device.graphs().destroy(exec);
    return cudaSuccess;
  });
}
cudaError_t cudaGraphDestroy(cudaGraph_t handle) {
  return call([&](Device& device) {
    Graph* const graph = device.graphs().find(handle);
    if (graph == nullptr) return cudaErrorInvalidValue;
    device.graphs().destroy(graph);
    return cudaSuccess;
  });
}

// Devices

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return remember(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaDeviceSynchronize() {
  return call([](Device& device) {
    const cudaError_t error = device.graphs().check_wait_for_all();
    if (error != cudaSuccess) return error;
    device.streams().wait_for_all();
    return device.sticky_error();
  });
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int index) {
  return call([&](Device& device) {
    if (index != 0) return cudaErrorInvalidDevice;
    for (const DeviceAttribute& each : kDeviceAttributes) {
      if (each.attribute == attribute) {
        *value = each.value;
        return cudaSuccess;
      }
    }
    return refuse(device, cudaErrorInvalidValue,
                  "device attribute " + std::to_string(attribute) + " is not supported");
  });
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int index) {
  return call([&](Device&) {
    if (index != 0) return cudaErrorInvalidDevice;
    *properties = {};
    std::strncpy(properties->name, "velum emulated device", sizeof properties->name - 1);
    properties->major = kComputeMajor;
    properties->minor = kComputeMinor;
    properties->warpSize = 32;
    properties->multiProcessorCount = kMultiprocessors;
    properties->maxThreadsPerBlock = Machine::kMaxThreadsPerBlock;
    properties->maxThreadsPerMultiProcessor = kThreadsPerMultiprocessor;
    properties->sharedMemPerBlock = kSharedPerBlock;
    properties->sharedMemPerBlockOptin = Machine::kMaxSharedBytes;
    properties->sharedMemPerMultiprocessor = kSharedPerMultiprocessor;
    properties->reservedSharedMemPerBlock = 1024;
    properties->regsPerBlock = 65536;
    properties->totalGlobalMem = DeviceMemory::kTotalBytes;
    properties->unifiedAddressing = 1;
    properties->cooperativeLaunch = 1;
    const int block[3] = {1024, 1024, 64};
    const int grid[3] = {0x7FFFFFFF, 65535, 65535};
    for (int i = 0; i < 3; ++i) {
      properties->maxThreadsDim[i] = block[i];
      properties->maxGridSize[i] = grid[i];
    }
    return cudaSuccess;
  });
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

// Errors

cudaError_t cudaGetLastError() {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  const cudaError_t error = std::exchange(last_error, cudaSuccess);
  return device.sticky_error() != cudaSuccess ? device.sticky_error() : error;
}
cudaError_t cudaPeekAtLastError() {
  Device& device = Device::instance();
  const std::lock_guard lock(device.mutex());
  return device.sticky_error() != cudaSuccess ? device.sticky_error() : last_error;
}
const char* cudaGetErrorName(cudaError_t error) { return find_text(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return find_text(error).text; }
