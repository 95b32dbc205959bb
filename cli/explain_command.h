#pragma once

#include <CLI/CLI.hpp>

namespace velum::cli {

/// Adds `velum explain`: how per-sample gradients of the models of `velum train` are taken, and
/// what that should cost on this machine. It touches no data.
void add_explain_command(CLI::App& program, int* exit_code);

}  // namespace velum::cli
