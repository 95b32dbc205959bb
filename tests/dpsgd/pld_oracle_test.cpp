// velum's privacy loss distributions beside values that were found without a lattice and without a
// Fourier transform: reference/pld_values.py says how.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "accounting/pld/composed_loss.h"
#include "accounting/pld/loss_lattice.h"
#include "accounting/pld/loss_profile.h"
#include "reference/pld_values.h"
#include "velum/dpsgd/accounting/privacy_loss_distribution.h"

namespace velum::dpsgd {
namespace {

using pld::ComposedLoss;
using pld::Direction;
using pld::LossLattice;
using pld::LossPieces;
using testing::EnumeratedDelta;
using testing::kPldValueError;
using testing::MixedDelta;
using testing::SampledDelta;

Composition composed(const Mechanism& mechanism, std::int64_t count) {
  Composition composition(Neighbouring::kAddOrRemoveOne);
  composition.append(mechanism, count);
  return composition;
}

std::string text_of(const SampledDelta& v) {
  return "q " + std::to_string(v.sampling_rate) + " sigma " + std::to_string(v.noise_multiplier) +
         " count " + std::to_string(v.count) + (v.add ? " add" : " remove") + " epsilon " +
         std::to_string(v.epsilon) + " delta 1e" +
         std::to_string(std::log10(static_cast<double>(v.delta)));
}

/// Wide intervals are proved as well as narrow ones, in less time.
PldOptions quick() {
  PldOptions options;
  options.relative_width = 5e-3;
  options.largest_lattice = std::int64_t{1} << 17;
  options.accept_wider = true;
  return options;
}

/// [low, high] certainly holds the exact delta.
double low(long double exact, double error) {
  return static_cast<double>(exact) * (1.0 - error - 1e-15);
}
double high(long double exact, double error) {
  return static_cast<double>(exact) * (1.0 + error + 1e-15);
}

/// One direction of `count` releases by velum's own parts, with the tilt that the table suggests.
struct OneDirection {
  OneDirection(const SampledDelta& v, double width, double cut = 1e-4)
      : OneDirection(v, width, cut, useful_tilt(v), -26.0) {}

  /// @param width  of the interval of delta, relative, about.
  /// @param cut    the part of delta that may lie at losses that are cut.
  OneDirection(const SampledDelta& v, double width, double cut, double theta, double log_outside) {
    const auto profile =
        pld::loss_profile(PoissonSampledGaussianMechanism{v.sampling_rate, v.noise_multiplier},
                          v.add ? Direction::kAdd : Direction::kRemove);
    LossPieces outline = profile->pieces({});
    const double count = static_cast<double>(v.count);
    double left = cut * static_cast<double>(v.delta) / count;
    while (outline.pieces.size() > 1 && outline.pieces.back().p <= left) {
      left -= outline.pieces.back().p;
      outline.pieces.pop_back();
    }
    const double tilt = useful_tilt(v);
    double spacing = std::sqrt(4.0 * width / (count * tilt * (tilt + 1.0)));
    spacing = std::min(spacing, 0.25 / (tilt + 1.0));
    pld::WorkBudget budget(1e12);  // enough for anything here
    while (!loss) {
      lattice = pld::loss_lattice(*profile, outline, spacing, std::min(0.25, std::sqrt(width)));
      try {
        loss =
            std::make_unique<ComposedLoss>(std::vector<pld::LatticePhase>{{&lattice, v.count}},
                                           theta, 0.0, std::int64_t{1} << 17, budget, log_outside);
      } catch (const pld::WindowTooLarge&) {
        spacing *= 2.0;
      }
    }
  }

  static double useful_tilt(const SampledDelta& v) { return std::clamp(v.tilt, 0.1, 1e4); }

  LossLattice lattice;
  std::unique_ptr<ComposedLoss> loss;
};

// ---- Poisson-sampled Gaussians -------------------------------------------------------------

TEST(PldOracle, DeltaOfTheWorseDirectionIsBetweenTheBounds) {
  int count = 0;
  int narrow = 0;
  const PldOptions options = quick();
  for (const SampledDelta& v : testing::kSampledDeltas) {
    const CertifiedInterval interval = pld_delta(
        composed(PoissonSampledGaussianMechanism{v.sampling_rate, v.noise_multiplier}, v.count),
        v.epsilon, options);
    EXPECT_GE(interval.upper, low(v.delta, v.error)) << text_of(v);
    if (v.add) continue;
    // Removing is the worse direction at all points of the table.
    EXPECT_LE(interval.lower, high(v.delta, v.error)) << text_of(v);
    ++count;
    narrow += interval.upper - interval.lower <= options.relative_width * interval.upper ? 1 : 0;
  }
  EXPECT_GE(count, 100);
  EXPECT_GE(narrow, count * 3 / 4);
}

TEST(PldOracle, DeltaOfEachDirectionIsBetweenTheBounds) {
  int count = 0;
  int narrow = 0;
  for (const SampledDelta& v : testing::kSampledDeltas) {
    const OneDirection direction(v, 2e-4);
    const double lower = direction.loss->delta_lower(v.epsilon);
    const double upper = direction.loss->delta_upper(v.epsilon);
    EXPECT_LE(lower, high(v.delta, v.error)) << text_of(v);
    EXPECT_GE(upper, low(v.delta, v.error)) << text_of(v);
    ++count;
    narrow += upper - lower <= 0.03 * upper ? 1 : 0;
  }
  // The lattice is small for 10^6 releases and for losses near their end.
  EXPECT_GE(count, 200);
  EXPECT_GE(narrow, count * 3 / 5);
}

TEST(PldOracle, EpsilonIsBetweenTheBounds) {
  int i = 0;
  int count = 0;
  int narrow = 0;
  for (const SampledDelta& v : testing::kSampledDeltas) {
    if (v.add) continue;
    const Composition run =
        composed(PoissonSampledGaussianMechanism{v.sampling_rate, v.noise_multiplier}, v.count);
    // At a delta that is surely below that of the table epsilon is larger, and the other way round.
    const bool above = ++i % 2 == 0;
    const CertifiedInterval interval =
        pld_epsilon(run, above ? low(v.delta, v.error) : high(v.delta, v.error), quick());
    if (above) {
      EXPECT_GE(interval.upper, v.epsilon) << text_of(v);
    } else {
      EXPECT_LE(interval.lower, v.epsilon) << text_of(v);
    }
    ++count;
    narrow += interval.upper - interval.lower <= std::max(5e-3 * interval.upper, 1e-6) ? 1 : 0;
  }
  EXPECT_GE(count, 100);
  EXPECT_GE(narrow, count * 4 / 5);
}

// ---- Each error term, where it is large ----------------------------------------------------

// With all but a small part of the tilted mass inside, what wraps around or is lost matters.
TEST(PldOracle, BoundsHoldWithAWindowThatIsTooSmall) {
  for (const SampledDelta& v : testing::kSampledDeltas) {
    if (v.delta < 1e-9L) continue;
    for (const double log_outside : {-1.0, -3.0, -6.0}) {
      const OneDirection direction(v, 1e-4, 1e-4, OneDirection::useful_tilt(v), log_outside);
      EXPECT_LE(direction.loss->delta_lower(v.epsilon), high(v.delta, v.error)) << text_of(v);
      EXPECT_GE(direction.loss->delta_upper(v.epsilon), low(v.delta, v.error)) << text_of(v);
    }
  }
}

// Without a tilt the transforms' rounding is as large as delta, or larger.
TEST(PldOracle, BoundsHoldWhereRoundingOfTheTransformsIsAllThereIs) {
  int swamped = 0;
  for (const SampledDelta& v : testing::kSampledDeltas) {
    if (v.count < 30 || v.delta > 1e-7L) continue;
    for (const double part : {0.0, 0.02, 0.1}) {
      const OneDirection direction(v, 1e-3, 1e-4, part * OneDirection::useful_tilt(v), -26.0);
      const double upper = direction.loss->delta_upper(v.epsilon);
      EXPECT_LE(direction.loss->delta_lower(v.epsilon), high(v.delta, v.error)) << text_of(v);
      EXPECT_GE(upper, low(v.delta, v.error)) << text_of(v);
      swamped += upper > 2.0 * static_cast<double>(v.delta) ? 1 : 0;
    }
  }
  EXPECT_GE(swamped, 50);
}

// Losses that are cut count as infinite above, and as nothing below.
TEST(PldOracle, BoundsHoldWhereMuchIsCut) {
  int much = 0;
  for (const SampledDelta& v : testing::kSampledDeltas) {
    for (const double cut : {0.1, 1.0}) {
      const OneDirection direction(v, 1e-4, cut);
      const double lower = direction.loss->delta_lower(v.epsilon);
      EXPECT_LE(lower, high(v.delta, v.error)) << text_of(v);
      EXPECT_GE(direction.loss->delta_upper(v.epsilon), low(v.delta, v.error)) << text_of(v);
      much += lower < 0.95 * static_cast<double>(v.delta) ? 1 : 0;
    }
  }
  EXPECT_GE(much, 50);
}

// ---- Other mechanisms ----------------------------------------------------------------------

Composition mixture(const std::string& kind) {
  Composition run(Neighbouring::kAddOrRemoveOne);
  if (kind == "PoissonAndGaussian") {
    run.append(PoissonSampledGaussianMechanism{0.01, 1.0}, 1000);
    run.append(GaussianMechanism{20.0}, 2);
  } else if (kind == "TwoPoissons") {
    run.append(PoissonSampledGaussianMechanism{0.02, 0.8}, 100);
    run.append(PoissonSampledGaussianMechanism{0.001, 0.6}, 5000);
  } else if (kind == "PoissonAndLaplace") {
    run.append(PoissonSampledGaussianMechanism{0.02, 1.0}, 200);
    run.append(LaplaceMechanism{4.0}, 3);
  } else if (kind == "PoissonAndResponse") {
    run.append(PoissonSampledGaussianMechanism{0.05, 1.5}, 50);
    run.append(RandomizedResponseMechanism{2, 0.6}, 5);
  } else if (kind == "DiscreteAndGaussian") {
    run.append(DiscreteGaussianMechanism{5.0, 2}, 4);
    run.append(GaussianMechanism{4.0}, 1);
  } else {
    ADD_FAILURE() << kind;
  }
  return run;
}

TEST(PldOracle, UnequalReleasesAreBetweenTheBounds) {
  for (const MixedDelta& v : testing::kMixedDeltas) {
    const Composition run = mixture(v.kind);
    const CertifiedInterval interval = pld_delta(run, v.epsilon, quick());
    EXPECT_LE(interval.lower, high(v.delta, kPldValueError)) << v.kind << " " << v.epsilon;
    EXPECT_GE(interval.upper, low(v.delta, kPldValueError)) << v.kind << " " << v.epsilon;
    EXPECT_GE(pld_epsilon(run, low(v.delta, kPldValueError), quick()).upper, v.epsilon) << v.kind;
    EXPECT_LE(pld_epsilon(run, high(v.delta, kPldValueError), quick()).lower, v.epsilon) << v.kind;
  }
}

template <typename MechanismOf, std::size_t size>
void expect_enumerated(const EnumeratedDelta (&values)[size], const MechanismOf& mechanism_of) {
  for (const EnumeratedDelta& v : values) {
    const Composition run = composed(mechanism_of(v), v.count);
    const std::string what = std::to_string(v.first) + " " + std::to_string(v.second) + " " +
                             std::to_string(v.count) + " " + std::to_string(v.epsilon);
    const CertifiedInterval interval = pld_delta(run, v.epsilon);
    EXPECT_LE(interval.lower, high(v.delta, 0.0)) << what;
    EXPECT_GE(interval.upper, low(v.delta, 0.0)) << what;
    EXPECT_LE(interval.upper - interval.lower, std::max(1e-3 * interval.upper, 1e-18)) << what;
    if (v.epsilon > 0.0) {
      EXPECT_GE(pld_epsilon(run, low(v.delta, 0.0)).upper, v.epsilon) << what;
      EXPECT_LE(pld_epsilon(run, high(v.delta, 0.0)).lower, v.epsilon) << what;
    }
  }
}

TEST(PldOracle, RandomizedResponseIsTheSumOverAllAnswers) {
  expect_enumerated(testing::kRandomizedResponseDeltas, [](const EnumeratedDelta& v) {
    return RandomizedResponseMechanism{static_cast<std::int64_t>(v.first), v.second};
  });
}

TEST(PldOracle, DiscreteGaussianIsTheSumOverAllNoise) {
  expect_enumerated(testing::kDiscreteGaussianDeltas, [](const EnumeratedDelta& v) {
    return DiscreteGaussianMechanism{v.first, static_cast<std::int64_t>(v.second)};
  });
}

TEST(PldOracle, LaplaceIsTheSumOverAllNumbersOfAtoms) {
  expect_enumerated(testing::kLaplaceDeltas,
                    [](const EnumeratedDelta& v) { return LaplaceMechanism{v.first}; });
}

}  // namespace
}  // namespace velum::dpsgd
