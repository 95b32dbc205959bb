#pragma once

#include <string>

#include "runtime/types.h"

namespace velum::emulation {

/// The name of a kernel or a function as the CUDA source has it. The first call for a name needs
/// much stack if the name is long; the next ones do not.
const std::string& demangled(const char* name);
/// Where an instruction stands, in the CUDA source and in the PTX.
std::string place(const Module& module, u32 site);

}  // namespace velum::emulation
