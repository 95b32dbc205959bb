#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "velum/dpsgd/accounting/mechanism.h"

namespace velum::dpsgd {

/// How the batches of a training loop come to be. Only what really happens may be accounted for:
/// batches of a shuffled data set are no Poisson samples, and may cost many times more (Chua et
/// al., arXiv 2403.17673).
enum class BatchSampling {
  kPoisson,             ///< every example is in each batch with some probability, independently
  kTruncatedPoisson,    ///< the same, and a batch that is too large is cut down by uniform choice
  kWithoutReplacement,  ///< each batch is a new uniform choice of a fixed number of examples
  kFixedBatches,        ///< the data set is cut into batches, in an order fixed beforehand
  kShuffledBatches,     ///< the same in a random order, drawn without looking at the data
};

/// "poisson", "truncated-poisson", "without-replacement", "fixed-batches", "shuffled".
std::string to_string(BatchSampling sampling);

/// @throws std::invalid_argument if no `to_string` gives that name.
BatchSampling batch_sampling_from_name(std::string_view name);

/// Whether an example is in at most one batch of an epoch: fixed and shuffled batches.
bool is_once_per_epoch(BatchSampling sampling);

/// The relation that goes with it: replace-one for samples without replacement, otherwise
/// add-or-remove-one. Fixed and shuffled batches go with either (see `mechanism_of_batches`).
Neighbouring usual_neighbouring(BatchSampling sampling);

/// Number of batches in so many epochs, epochs / sampling_rate rounded up. A quotient within 1e-9
/// (relative) of a whole number counts as that number: 0.1 epochs at rate 0.01 are 10 steps.
/// @param epochs         finite and >= 0.
/// @param sampling_rate  batch size over data set size, in (0, 1].
/// @throws std::invalid_argument if a value is out of range or there are 2^53 steps or more.
std::int64_t steps_of_epochs(double epochs, double sampling_rate);

/// Largest number of steps that see any one example, if each epoch cuts the data set anew into
/// batches of one size and whatever the last batch of an epoch is, smaller or left out:
/// steps / floor(1 / sampling_rate), rounded up.
/// @param steps          >= 0.
/// @param sampling_rate  batch size over data set size, in (0, 1].
/// @throws std::invalid_argument if a value is out of range.
std::int64_t steps_of_an_example(std::int64_t steps, double sampling_rate);

/// The numbers of a training loop.
struct BatchPlan {
  BatchSampling sampling = BatchSampling::kPoisson;
  /// Batch size over data set size. Not used by batches that are fixed or shuffled.
  double sampling_rate = 1.0;
  double noise_multiplier = 0.0;
  /// Number of batches; of fixed and shuffled ones the most that see any one example, which is the
  /// number of epochs, begun ones included (or `steps_of_an_example`).
  std::int64_t steps = 0;
  // Of truncated Poisson samples only.
  std::int64_t dataset_size = 0;
  std::int64_t largest_batch_size = 0;

  friend bool operator==(const BatchPlan&, const BatchPlan&) = default;
};

/// The mechanism whose `plan.steps` releases cost at least what the loop costs.
///
/// Poisson samples of rate 1 are the Gaussian mechanism. *Fixed and shuffled batches* are too: an
/// example is in at most `steps` batches, and the others do not depend on it, so the loop costs no
/// more than `steps` Gaussian releases without sampling. For a random order this holds given any
/// order and so for their mixture. It holds between data sets that leave every *other* example in
/// its batch: one example is replaced in its place (replace-one; noise relative to 2 C), or its
/// place stays empty (add-or-remove-one). It does not hold where removing an example moves those
/// after it into other batches, as cutting a shuffled list does.
/// @throws std::invalid_argument if a value is out of range.
Mechanism mechanism_of_batches(const BatchPlan& plan);

}  // namespace velum::dpsgd
