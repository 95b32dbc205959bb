#pragma once

#include <CLI/CLI.hpp>

namespace velum::cli {

/// Adds `velum federate`: several owners, each a process of its own, train one model on data that
/// none of them shows, by exact sums under encryption. When it was given, `*exit_code` is set to 0
/// for a finished run.
/// @throws from its callback what training and protocol throw.
void add_federate_command(CLI::App& program, int* exit_code);

}  // namespace velum::cli
