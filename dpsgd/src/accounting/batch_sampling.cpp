#include "velum/dpsgd/accounting/batch_sampling.h"

#include <cmath>
#include <stdexcept>

#include "accounting/range_check.h"

namespace velum::dpsgd {
namespace {

constexpr BatchSampling kAll[] = {BatchSampling::kPoisson, BatchSampling::kTruncatedPoisson,
                                  BatchSampling::kWithoutReplacement, BatchSampling::kFixedBatches,
                                  BatchSampling::kShuffledBatches};

void check_rate(const char* function, double rate) {
  if (!(rate > 0.0 && rate <= 1.0)) reject(function, "sampling_rate", rate, "> 0 and <= 1");
}

}  // namespace

std::string to_string(BatchSampling sampling) {
  switch (sampling) {
    case BatchSampling::kPoisson:
      return "poisson";
    case BatchSampling::kTruncatedPoisson:
      return "truncated-poisson";
    case BatchSampling::kWithoutReplacement:
      return "without-replacement";
    case BatchSampling::kFixedBatches:
      return "fixed-batches";
    case BatchSampling::kShuffledBatches:
      return "shuffled";
  }
  throw std::invalid_argument("to_string: not a BatchSampling");
}

BatchSampling batch_sampling_from_name(std::string_view name) {
  std::string names;
  for (const BatchSampling sampling : kAll) {
    if (name == to_string(sampling)) return sampling;
    names += (names.empty() ? "" : ", ") + to_string(sampling);
  }
  throw std::invalid_argument("batch_sampling_from_name: name = " + std::string(name) +
                              ", expected one of " + names);
}

bool is_once_per_epoch(BatchSampling sampling) {
  return sampling == BatchSampling::kFixedBatches || sampling == BatchSampling::kShuffledBatches;
}

Neighbouring usual_neighbouring(BatchSampling sampling) {
  return sampling == BatchSampling::kWithoutReplacement ? Neighbouring::kReplaceOne
                                                        : Neighbouring::kAddOrRemoveOne;
}

std::int64_t steps_of_epochs(double epochs, double sampling_rate) {
  constexpr char kFunction[] = "steps_of_epochs";
  if (!(epochs >= 0.0 && std::isfinite(epochs))) {
    reject(kFunction, "epochs", epochs, "finite and >= 0");
  }
  check_rate(kFunction, sampling_rate);
  const double steps = epochs / sampling_rate;
  if (!(steps < 0x1p53)) {
    reject(kFunction, "epochs", epochs,
           "less than 2^53 batches of rate " + number_text(sampling_rate));
  }
  const double nearest = std::round(steps);
  const double whole = std::abs(steps - nearest) <= 1e-9 * nearest ? nearest : std::ceil(steps);
  return static_cast<std::int64_t>(whole);
}

std::int64_t steps_of_an_example(std::int64_t steps, double sampling_rate) {
  constexpr char kFunction[] = "steps_of_an_example";
  if (steps < 0) reject(kFunction, "steps", steps, ">= 0");
  check_rate(kFunction, sampling_rate);
  // The quotient of two whole numbers comes back as one: only the rounding of two divisions is
  // forgiven, so 0.0333 is not taken for 1 / 30.
  const double batches = std::floor(std::min(1.0 / sampling_rate, 0x1p62) * (1.0 + 0x1p-50));
  const auto batches_of_an_epoch = static_cast<std::int64_t>(batches);
  return steps / batches_of_an_epoch + (steps % batches_of_an_epoch != 0 ? 1 : 0);
}

Mechanism mechanism_of_batches(const BatchPlan& plan) {
  Mechanism mechanism = [&]() -> Mechanism {
    switch (plan.sampling) {
      case BatchSampling::kPoisson:
        if (plan.sampling_rate == 1.0) return GaussianMechanism{plan.noise_multiplier};
        return PoissonSampledGaussianMechanism{plan.sampling_rate, plan.noise_multiplier};
      case BatchSampling::kTruncatedPoisson:
        return TruncatedPoissonSampledGaussianMechanism{plan.sampling_rate, plan.noise_multiplier,
                                                        plan.dataset_size, plan.largest_batch_size};
      case BatchSampling::kWithoutReplacement:
        return WithoutReplacementSampledGaussianMechanism{plan.sampling_rate,
                                                          plan.noise_multiplier};
      case BatchSampling::kFixedBatches:
      case BatchSampling::kShuffledBatches:
        return GaussianMechanism{plan.noise_multiplier};
    }
    throw std::invalid_argument("mechanism_of_batches: not a BatchSampling");
  }();
  validate(mechanism, "mechanism_of_batches");
  if (plan.steps < 0) reject("mechanism_of_batches", "steps", plan.steps, ">= 0");
  return mechanism;
}

}  // namespace velum::dpsgd
