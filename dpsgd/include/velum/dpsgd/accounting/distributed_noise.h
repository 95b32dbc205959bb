#pragma once

#include <cstdint>
#include <string>

#include "velum/dpsgd/accounting/mechanism.h"

namespace velum::dpsgd {

/// By how much one client changes a sum of integer vectors, in steps of the integers.
struct IntegerSensitivity {
  double l1;
  double l2;

  friend bool operator==(const IntegerSensitivity&, const IntegerSensitivity&) = default;
};

/// Of a sum in which each client's vector is one of `dimension` integers with a squared L2 norm of
/// at most `squared_norm_limit`, under the relation for clients: present or absent, or with another
/// vector (twice as much). Integers are at most their squares, so
///
///   l2 = sqrt(limit),  l1 = min(sqrt(dimension limit), limit),
///
/// rounded up.
/// @param squared_norm_limit  1 to 2^62.
/// @param dimension           >= 1.
/// @throws std::invalid_argument if out of range.
IntegerSensitivity integer_sensitivity(std::int64_t squared_norm_limit, std::int64_t dimension,
                                       Neighbouring neighbouring);

/// How far the sum of `shares` independent discrete Gaussians of parameter `share_variance` is from
/// one of the sum of the variances: tau = 10 sum_(k = 1 .. shares - 1) exp(-2 pi^2 share_variance k
/// / (k + 1)), rounded up. 0 for one share.
/// Paper: The Distributed Discrete Gaussian Mechanism, Kairouz, Liu and Steinke 2021 (arXiv
/// 2102.06387), Theorem 1.
/// @param share_variance  finite, > 0.
/// @param shares          1 to 2^53.
/// @throws std::invalid_argument if out of range.
double discrete_gaussian_sum_tau(double share_variance, std::int64_t shares);

/// A sum of integer vectors over clients, with a share of discrete Gaussian noise of parameter
/// `share_variance` on every coordinate from each of `honest_clients` clients, as a mechanism of
/// known rho. With l1 and l2 over the deviation sqrt(honest_clients share_variance) of the noise,
///
///   rho = min( l2^2 / 2 + tau dimension,
///              (l2^2 + 2 l1 tau + tau^2 dimension) / 2,
///              (l2 + tau sqrt(dimension))^2 / 2 ),
///
/// rounded up: the paper's bound of the divergence of order alpha, which is at most rho alpha.
///
/// Guarantee: against everyone who knows the sum and what all but `honest_clients` clients know and
/// sent, among them the shares of the others. Honest clients draw their share as stated, keep it
/// secret and are all in the sum; more of them cost nothing, fewer break it.
/// Paper: Kairouz, Liu and Steinke 2021, Proposition 14.
///
/// @param share_variance  finite; > 0 for one honest client, else >= 1/4, for the theorem.
/// @throws std::invalid_argument if out of range.
ZeroConcentratedMechanism distributed_discrete_gaussian(double share_variance,
                                                        std::int64_t honest_clients,
                                                        std::int64_t dimension,
                                                        const IntegerSensitivity& sensitivity);

/// The same with Skellam shares, whose sum is Skellam exactly: the mechanism of variance
/// `honest_clients` `share_variance`, rounded down.
/// Paper: The Skellam Mechanism, Agarwal, Kairouz and Liu 2021 (arXiv 2110.04995).
/// @param share_variance  finite, > 0.
/// @throws std::invalid_argument if out of range.
SkellamMechanism distributed_skellam(double share_variance, std::int64_t honest_clients,
                                     const IntegerSensitivity& sensitivity);

/// What both stand on, for `PrivacyStatement::conditions`: "at least 40 clients draw ...".
/// @throws std::invalid_argument if honest_clients is not 1 to 2^53.
std::string honest_clients_condition(std::int64_t honest_clients);

}  // namespace velum::dpsgd
