#pragma once

namespace velum::cli {

/// From now on the first Ctrl-C (SIGINT) or SIGTERM is a request, which work asks for where it can
/// stop well; the second one ends the process at once.
void catch_interrupts();

/// The signal that was caught; 0: none yet.
int caught_signal();

}  // namespace velum::cli
