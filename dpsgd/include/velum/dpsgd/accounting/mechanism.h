#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace velum::dpsgd {

/// When two data sets count as neighbours. Every guarantee names one.
enum class Neighbouring {
  kAddOrRemoveOne,  ///< one example is present in one and absent in the other
  kReplaceOne,      ///< one example has different values; the sizes are equal
};

/// "add-or-remove-one" or "replace-one", in JSON and in reports.
std::string to_string(Neighbouring neighbouring);

/// One release of a function of all examples with Gaussian noise: no sampling.
///
/// `noise_multiplier` is the standard deviation of the noise over the L2 sensitivity of the
/// function under the neighbouring relation in force. A sum of gradients clipped to C has
/// sensitivity C when one example is added or removed, and 2 C when one is replaced. Finite and >=
/// 0; 0 means no noise, whose epsilon is infinite. A release known to be mu-GDP has 1 / mu.
struct GaussianMechanism {
  double noise_multiplier;

  friend auto operator<=>(const GaussianMechanism&, const GaussianMechanism&) = default;
};

/// The same on a Poisson sample: every example is in it with probability `sampling_rate`,
/// independently of all others, drawn anew for each release. Batches of a shuffled data set are not
/// such samples and must not be accounted as if they were. Add-or-remove-one only.
///
/// `sampling_rate` q lies in [0, 1]. With q = 0 nothing depends on the data; with q = 1 this is the
/// Gaussian mechanism, under either relation.
struct PoissonSampledGaussianMechanism {
  double sampling_rate;
  double noise_multiplier;

  friend auto operator<=>(const PoissonSampledGaussianMechanism&,
                          const PoissonSampledGaussianMechanism&) = default;
};

/// The same, but a sample of more than `largest_batch_size` examples is cut down to that many, all
/// subsets being equally likely. Add-or-remove-one only.
///
/// Accounted for as Poisson sampling plus a term of delta: on either of two neighbours, T releases
/// and T releases without the limit differ by at most T tau in total variation, tau =
/// `batch_overflow_probability`, so
///
///   delta(epsilon) <= delta_Poisson(epsilon) + (1 + exp(epsilon)) T tau.
///
/// `dataset_size` in [1, 2^53] is the size of the larger neighbour; `largest_batch_size` >= 1.
struct TruncatedPoissonSampledGaussianMechanism {
  double sampling_rate;
  double noise_multiplier;
  std::int64_t dataset_size;
  std::int64_t largest_batch_size;

  friend auto operator<=>(const TruncatedPoissonSampledGaussianMechanism&,
                          const TruncatedPoissonSampledGaussianMechanism&) = default;
};

/// A Gaussian release on a sample of fixed size, all such subsets of the data set being equally
/// likely, drawn anew for each release. Replace-one only.
///
/// `sampling_rate` is batch size over data set size, in [0, 1]. `noise_multiplier` is relative to
/// the sensitivity under replace-one: 2 C for a sum of gradients clipped to C.
struct WithoutReplacementSampledGaussianMechanism {
  double sampling_rate;
  double noise_multiplier;

  friend auto operator<=>(const WithoutReplacementSampledGaussianMechanism&,
                          const WithoutReplacementSampledGaussianMechanism&) = default;
};

/// Laplace noise whose scale over the L1 sensitivity is `noise_multiplier`, finite and >= 0: it is
/// 1 / noise_multiplier - DP.
struct LaplaceMechanism {
  double noise_multiplier;

  friend auto operator<=>(const LaplaceMechanism&, const LaplaceMechanism&) = default;
};

/// Integer noise z with probability proportional to exp(-z^2 / (2 sigma^2)), sigma =
/// `standard_deviation` (of the continuous Gaussian: the parameter, not the exact deviation), on
/// one integer that neighbours change by at most `sensitivity` >= 1. Sigma finite and >= 0. Paper:
/// The Discrete Gaussian for Differential Privacy (arXiv 2004.00010).
struct DiscreteGaussianMechanism {
  double standard_deviation;
  std::int64_t sensitivity;

  friend auto operator<=>(const DiscreteGaussianMechanism&,
                          const DiscreteGaussianMechanism&) = default;
};

/// Integer noise on every coordinate of an integer vector: the difference of two Poisson variables
/// of mean `variance` / 2 each. Sensitivities are those of the integer vector, finite,
/// 0 < l2_sensitivity <= l1_sensitivity. Variance finite and >= 0.
/// Paper: The Skellam Mechanism for Differentially Private Federated Learning (arXiv 2110.04995).
struct SkellamMechanism {
  double variance;
  double l1_sensitivity;
  double l2_sensitivity;

  friend auto operator<=>(const SkellamMechanism&, const SkellamMechanism&) = default;
};

/// One answer of `categories` in [2, 2^53]: the true one with probability `truth_probability` in
/// [0, 1], each other one with probability (1 - truth_probability) / (categories - 1).
struct RandomizedResponseMechanism {
  std::int64_t categories;
  double truth_probability;

  friend auto operator<=>(const RandomizedResponseMechanism&,
                          const RandomizedResponseMechanism&) = default;
};

/// A release of which only (epsilon, delta)-DP is known, such as one made elsewhere. Epsilon finite
/// and >= 0, delta in [0, 1]; delta 0 is pure DP.
struct ApproximateDpMechanism {
  double epsilon;
  double delta;

  friend auto operator<=>(const ApproximateDpMechanism&, const ApproximateDpMechanism&) = default;
};

/// A release of which only rho-zCDP is known: its Renyi divergence of every order alpha > 1 is at
/// most rho alpha. Finite and >= 0.
/// Paper: Concentrated Differential Privacy (arXiv 1605.02065), Definition 1.1.
struct ZeroConcentratedMechanism {
  double rho;

  friend auto operator<=>(const ZeroConcentratedMechanism&,
                          const ZeroConcentratedMechanism&) = default;
};

/// A release M known by a dominating pair of distributions over outcomes 0, 1, ...: for neighbours
/// D, D' and every gamma > 0,
///
///   sup over events S of  Pr[M(D) in S] - gamma Pr[M(D') in S]
///     <= sum over outcomes of max(p - gamma q, 0).
///
/// Under add-or-remove-one D is the data set with the example and D' the one without: so the pairs
/// of all releases go the same way. In the other order (q, p) then dominates, and accountants take
/// the worse of the two. Under replace-one it must hold for one of the two orders of any two
/// neighbours, which may be another one for another release: privacy loss distributions take only
/// pairs that are the same in both. Where q = 0 < p the loss is infinite.
///
/// `p` and `q` have the same size >= 1, elements finite and >= 0, and sums within 1e-9 of 1; each
/// stands for itself divided by its sum. `name` is for people.
/// Paper: Optimal Accounting of Differential Privacy via Characteristic Function (arXiv
/// 2106.08567), Definition 7.
struct DominatingPairMechanism {
  std::vector<double> p;
  std::vector<double> q;
  std::string name;

  friend auto operator<=>(const DominatingPairMechanism&, const DominatingPairMechanism&) = default;
};

/// A mechanism is a value, comparable and ordered: what is composed is what ran.
using Mechanism =
    std::variant<GaussianMechanism, PoissonSampledGaussianMechanism,
                 TruncatedPoissonSampledGaussianMechanism,
                 WithoutReplacementSampledGaussianMechanism, LaplaceMechanism,
                 DiscreteGaussianMechanism, SkellamMechanism, RandomizedResponseMechanism,
                 ApproximateDpMechanism, ZeroConcentratedMechanism, DominatingPairMechanism>;

/// Several lambdas as one visitor: std::visit(Overloaded{[](const A&) {}, [](const B&) {}}, m).
template <typename... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};
template <typename... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

/// @throws std::invalid_argument naming `function` and the value that is out of range.
void validate(const Mechanism& mechanism, const char* function);

/// Whether a guarantee for this mechanism exists under the relation: Poisson sampling needs
/// add-or-remove-one (unless its rate is 0 or 1 and nothing is truncated), sampling without
/// replacement replace-one; all others go with both.
bool holds_under(const Mechanism& mechanism, Neighbouring neighbouring);

/// @throws std::invalid_argument naming `function`, the mechanism and the relation that it needs,
///         unless `holds_under`.
void check_neighbouring(const Mechanism& mechanism, Neighbouring neighbouring,
                        const char* function);

/// True if the release does not depend on the data at all: sampling rate 0, epsilon and delta 0,
/// and the like.
bool reads_nothing(const Mechanism& mechanism);

/// q of the mechanism; 1 where it does not sample.
double sampling_rate(const Mechanism& mechanism);

/// Noise multiplier of a Gaussian, sampled or not, or of Laplace noise.
/// @throws std::invalid_argument for a mechanism that has none.
double noise_multiplier(const Mechanism& mechanism);

/// "gaussian", "poisson_sampled_gaussian", ...: the kind in JSON.
std::string kind(const Mechanism& mechanism);

/// "Gaussian, noise multiplier 10.85" and the like, for people.
std::string describe(const Mechanism& mechanism);

/// Probability that a binomial variable of `dataset_size` trials of probability `sampling_rate`
/// exceeds `largest_batch_size`, rounded up. 1 where the limit is not above the mean.
/// @throws std::invalid_argument if a size is below 0, dataset_size above 2^53, or the rate not in
///         [0, 1].
double batch_overflow_probability(std::int64_t dataset_size, double sampling_rate,
                                  std::int64_t largest_batch_size);

}  // namespace velum::dpsgd
