#pragma once

#include <string>

namespace velum::dpsgd {

/// What this machine does in a second: by this the tape chooses how it takes the norms of a
/// weight's per-sample gradients. A choice changes results by rounding alone, and depends on shapes
/// only, never on values.
struct CostModel {
  double gemm_float32;     ///< FLOP/s of a matrix product
  double gemm_float64;     ///< the same in float64
  double samples_float32;  ///< FLOP/s of per-sample gradients, one sample after the other in cache
  double samples_float64;  ///< the same in float64
  double gram;             ///< FLOP/s of products of rows, always in float64
  double bytes;            ///< byte/s read or written by all threads together
  std::string source;      ///< "default" (and why), "measured" or the file that it was read from

  /// Fixed figures, the same on every machine: of a core that computes 10^11 FLOP/s in float32.
  static CostModel fixed();
};

/// The model of this machine with the number of threads that torch has now. Measured once by a
/// micro-benchmark (less than a second) and kept in a file under $XDG_CACHE_HOME/velum (or
/// ~/.cache/velum), by processor, threads and version of torch; a file that cannot be written or
/// read is measured again in the next process, and so is a machine that was too busy with other
/// programs: fixed figures take their place until then. With VELUM_COST_MODEL=default in the
/// environment it is `CostModel::fixed()`. Thread-safe.
/// @throws std::invalid_argument if VELUM_COST_MODEL has another value.
const CostModel& cost_model();
/// The same without what this process remembers: by the environment, the file or a measurement.
CostModel measure_or_read_cost_model();

}  // namespace velum::dpsgd
