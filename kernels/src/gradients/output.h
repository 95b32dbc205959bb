#pragma once

namespace velum::kernels {

/// Whether an operation replaces what its output holds or adds to it.
enum class Output { kOverwrite, kAdd };

}  // namespace velum::kernels
