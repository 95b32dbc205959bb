#pragma once

#include <CLI/CLI.hpp>

namespace velum::cli {

/// Adds `velum calibrate`: the one quantity of a plan that a budget leaves open. It touches no
/// data.
void add_calibrate_command(CLI::App& program, int* exit_code);

}  // namespace velum::cli
