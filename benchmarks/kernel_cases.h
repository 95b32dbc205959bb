#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "velum/kernels/stream.h"

namespace velum::benchmarking {

/// The least that any implementation of an operation does for one element: the floor that
/// scripts/roofline holds a kernel's prediction against. Instructions are those of the algorithm
/// alone, counted by hand per thread; docs/gpu-model.md, "Least work", says from what.
struct LeastWork {
  double bytes = 0;  ///< to and from the device's memory
  double multiply =
      0;            ///< low words of 32-bit products, and sums that the multiplier can take: IMAD
  double wide = 0;  ///< products whose high word is used: IMAD.WIDE, IMAD.HI
  double alu = 0;   ///< other 32-bit integer instructions
  double fp32 = 0;
  double fp64 = 0;
  double dmma = 0;  ///< matrix products of doubles, 16 x 8 x 8: 32 multiply-adds a thread
};

/// A public operation of kernels at one size, on random data. The case is made of equal rows
/// (limbs, samples, pieces of a vector), so that an emulation of few rows tells what many cost.
struct KernelCase {
  std::string name;     ///< "ntt_forward/word:32/log_n:16"
  std::string element;  ///< what is counted: "coefficient"
  std::int64_t elements_per_row = 0;
  std::int64_t rows = 0;           ///< on a device
  std::int64_t emulated_rows = 0;  ///< under the emulation
  std::optional<LeastWork> least;  ///< of one element, where it is known
  /// Memory with random data for a number of rows, filled and waited for; each call of what is
  /// returned enqueues the operation once.
  std::function<std::function<void()>(std::int64_t rows, const kernels::Stream& stream)> prepare;
};

/// All cases; their names differ.
std::vector<KernelCase> kernel_cases();

}  // namespace velum::benchmarking
