#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace velum::dpsgd::detail {

struct GraphNode;

/// Whether torch itself defines an operation whose node has this name.
bool is_operation(const std::string& name);

/// What an operation does with positions, beside its name: two graphs that differ in it may put the
/// samples elsewhere. Reads no saved tensor.
///
/// @param signature  dimensions, flags and other numbers that no batch changes are appended.
/// @param extents    sizes of the results, and lengths, starts, shifts: they may grow with the
/// batch.
void append_arguments(const GraphNode& node, std::string& signature,
                      std::vector<std::int64_t>& extents);

}  // namespace velum::dpsgd::detail
