#pragma once

#include <CLI/CLI.hpp>

namespace velum::cli {

/// Adds `velum train`. When it was given, `*exit_code` is set to 0 for a finished run, or to 128
/// plus the signal that stopped it.
/// @throws from its callback what training throws.
void add_train_command(CLI::App& program, int* exit_code);

}  // namespace velum::cli
