#pragma once

#include <vector>

#include "velum/dpsgd/accounting/mechanism.h"

namespace velum::dpsgd {

/// Renyi differential privacy of one release at one order: an upper bound on the exact value, never
/// below it, and at most 1e-9 above it (relative).
///
///   Gaussian:          order / (2 sigma^2)
///   Poisson-sampled:   log(A) / (order - 1),  A = E[(1 - q + q w)^order],
///                      w = exp((2 x - 1) / (2 sigma^2)),  x ~ N(0, sigma^2)
///
/// The second formula covers both directions: it is the divergence on adding an example, and on
/// removing one the divergence is not larger.
/// Paper: Renyi Differential Privacy of the Sampled Gaussian Mechanism (Mironov, Talwar and Zhang,
/// arXiv 1908.10530), section 3.3 for the formula; it also proves the statement on directions.
/// Deviation: the paper's series for fractional orders cancels catastrophically (its terms
/// alternate), so A - 1 is summed from positive terms only: binomially at integer orders, by the
/// trapezoidal rule, which converges exponentially here and whose error is added, at fractional
/// ones (docs/numerics.md).
///
/// q = 0 gives 0. sigma = 0 with q > 0 gives infinity. A sum that would need more than 2^18 points
/// (a fractional order with sigma below about 0.02) is replaced by the chord of log A between the
/// neighbouring integers, which is an upper bound because log A is convex in the order.
/// Rates below 1e-90 are counted as 1e-90, noise multipliers above 1e50 as 1e50.
///
/// @param order  alpha, > 1 and at most `kLargestRdpOrder`.
/// @throws std::invalid_argument if the mechanism or the order is out of range.
double rdp(const Mechanism& mechanism, double order);

inline constexpr double kLargestRdpOrder = 65536.0;

/// `rdp` at each of the orders.
std::vector<double> rdp(const Mechanism& mechanism, const std::vector<double>& orders);

/// The orders that an accountant minimises over unless told otherwise: 1.1 to 10.9 in steps of 0.1,
/// the integers 11 to 63, and a sparse set on either side. In increasing order.
const std::vector<double>& default_rdp_orders();

}  // namespace velum::dpsgd
