#pragma once

#include "velum/kernels/host_device.h"
#include "velum/kernels/random/chacha20.h"

namespace velum::kernels {

/// A stream's state with what all its blocks share: in the first column round only column 0 holds
/// the counter, so columns 1 to 3 are computed once.
struct PreparedStream {
  ChaCha20State state;
  ChaCha20State after_first_columns;

  VELUM_HOST_DEVICE explicit constexpr PreparedStream(const ChaCha20State& stream_state)
      : state(stream_state), after_first_columns(stream_state) {
    std::uint32_t(&x)[ChaCha20State::kWords] = after_first_columns.words;
    chacha20_quarter_round(x[1], x[5], x[9], x[13]);
    chacha20_quarter_round(x[2], x[6], x[10], x[14]);
    chacha20_quarter_round(x[3], x[7], x[11], x[15]);
  }
};

}  // namespace velum::kernels
