#pragma once

#include <cstdint>

#include "velum/dpsgd/accounting/accountant.h"

namespace velum::dpsgd {

// What is promised to `group_size` examples together, such as all examples of a person who
// contributed at most that many. A guarantee for one example says nothing more about a person than
// this.

/// From the guarantee for one example alone, whatever the mechanism:
///
///   (group_size epsilon, delta (exp(group_size epsilon) - 1) / (exp(epsilon) - 1))
///
/// both rounded up: group_size neighbours in a row (The Complexity of Differential Privacy, Vadhan
/// 2017, Lemma 2.2, with its geometric sum as it is). Delta at most 1.
/// @throws std::invalid_argument if group_size < 1 or a value is out of range.
PrivacyGuarantee group_guarantee(const PrivacyGuarantee& one, std::int64_t group_size);

/// The smallest epsilon that this gives at `delta`, over all deltas for one example.
/// @throws std::invalid_argument if group_size < 1 or delta is not in (0, 1).
PrivacyGuarantee group_guarantee(const Accountant& one, std::int64_t group_size, double delta);

/// The smaller of what holds for a group at `delta`: the chain of neighbours above, and the cost of
/// `group_composition` where every release has a `group_mechanism`. It has no `lower`.
/// @param empty  an accountant that has composed nothing, under the relation of `releases`; not
///               changed.
/// @throws std::invalid_argument if group_size < 1, delta is not in (0, 1), `empty` is not, or the
///         accountant refuses a mechanism of `releases`.
PrivacyGuarantee group_guarantee(const Accountant& empty, const Composition& releases,
                                 std::int64_t group_size, double delta);

/// Whether `group_mechanism` knows the mechanism.
bool has_group_mechanism(const Mechanism& mechanism);

/// A mechanism that costs a single example at least what `mechanism` costs `group_size` examples
/// together; to be composed instead of it. Tighter than `group_guarantee` where nothing is sampled;
/// for Poisson samples of small rate mostly worse. Both hold: take the smaller.
///
///   Gaussian, Laplace     noise multiplier / group_size: the sensitivity of the group
///   discrete Gaussian     sensitivity * group_size
///   zero-concentrated     rho * group_size^2 (arXiv 1605.02065, Proposition 1.9)
///   Poisson-sampled       rate 1 - (1 - q)^group_size, noise multiplier / group_size: with this
///                         probability at least one of the group is in the sample, and then at most
///                         all; proof in docs/accounting.md
///
/// Each is rounded towards less privacy.
/// @throws std::invalid_argument if group_size < 1 or the mechanism is another one.
Mechanism group_mechanism(const Mechanism& mechanism, std::int64_t group_size);

/// `group_mechanism` of every release.
Composition group_composition(const Composition& composition, std::int64_t group_size);

}  // namespace velum::dpsgd
