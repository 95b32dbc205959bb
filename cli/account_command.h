#pragma once

#include <CLI/CLI.hpp>

namespace velum::cli {

/// Adds `velum account`: what planned releases cost. It touches no data.
void add_account_command(CLI::App& program, int* exit_code);

}  // namespace velum::cli
