#pragma once

#include <cstdint>
#include <string>

/// What tests may ask of the emulated CUDA device. See README.md in this folder.
namespace velum::emulation {

/// The report of the first fault since the start or the last `reset`; empty if there was none. It
/// names the fault, the kernel, block and thread, and the line in the CUDA source and in the PTX.
std::string last_report();

/// Takes back a sticky error, as a new process would: drops the work that was enqueued and the
/// report. Allocations stay.
void reset();

/// A translated kernel for `cudaLaunchKernel`, by its name in the PTX: for kernels that no nvcc
/// stub registers.
const void* kernel(const char* name);

/// The seed of the order in which threads and blocks run. It starts as the environment variable
/// VELUM_EMULATION_SEED, or 1.
void set_seed(std::uint64_t seed);
std::uint64_t seed();

/// The label of the launches that are enqueued from now on, in the profile that the program writes
/// to the file in the environment variable VELUM_EMULATION_PROFILE. Empty at the start.
void profile_label(const char* label);

}  // namespace velum::emulation
