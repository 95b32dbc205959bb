#pragma once

#include <optional>
#include <vector>

namespace velum::dpsgd {

/// A bound and the order that gave it; no order where none was needed (epsilon 0) or none was
/// finite.
struct RdpConversion {
  double value;
  std::optional<double> order;
};

/// Smallest epsilon at `delta` that the orders allow, rounded up, never negative.
///
///   epsilon = min over orders of  rdp + log(1 - 1 / order) - log(delta order) / (order - 1)
///
/// and 0 where delta >= sqrt(1 - exp(-rdp)) at some order (Bretagnolle and Huber, 1978, since the
/// Kullback-Leibler divergence is at most rdp). Infinity if no order is finite.
/// Paper: The Discrete Gaussian for Differential Privacy (arXiv 2004.00010), Proposition 12; the
/// same bound in Hypothesis Testing Interpretations and Renyi Differential Privacy (arXiv
/// 1905.09982), Theorem 21.
///
/// @param orders  each > 1.
/// @param rdps    one for each order, >= 0; an infinite one is passed over.
/// @param delta   in (0, 1).
/// @throws std::invalid_argument if sizes differ or a value is out of range.
RdpConversion rdp_to_epsilon(const std::vector<double>& orders, const std::vector<double>& rdps,
                             double delta);

/// Smallest delta at `epsilon` >= 0 that the orders allow, rounded up, at most 1: the same bounds,
/// solved for delta.
/// @throws std::invalid_argument if sizes differ or a value is out of range.
RdpConversion rdp_to_delta(const std::vector<double>& orders, const std::vector<double>& rdps,
                           double epsilon);

}  // namespace velum::dpsgd
