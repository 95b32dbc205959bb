#pragma once

#include <CLI/CLI.hpp>

namespace velum::cli {

/// Adds `velum audit`: holds velum's training to what it promises.
void add_audit_command(CLI::App& program, int* exit_code);

}  // namespace velum::cli
