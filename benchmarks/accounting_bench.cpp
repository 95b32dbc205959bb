#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "velum/dpsgd/accounting/calibration.h"
#include "velum/dpsgd/accounting/gaussian_dp.h"
#include "velum/dpsgd/accounting/pld_accountant.h"
#include "velum/dpsgd/accounting/privacy_loss_distribution.h"
#include "velum/dpsgd/accounting/rdp.h"

namespace velum::dpsgd {
namespace {

/// Sampling rates and noise multipliers of a small-batch and a large-batch run, and two extremes.
constexpr PoissonSampledGaussianMechanism kMechanisms[] = {
    {256.0 / 60000.0, 1.1}, {8192.0 / 60000.0, 3.65}, {1e-4, 0.6}, {0.01, 0.1}};

/// The Renyi curve of a mechanism at a list of orders.
void BM_RdpCurve(benchmark::State& state) {
  const auto& mechanism = kMechanisms[state.range(0)];
  for (auto _ : state) benchmark::DoNotOptimize(rdp(mechanism, default_rdp_orders()));
  state.SetItemsProcessed(state.iterations() * std::int64_t(default_rdp_orders().size()));
}
BENCHMARK(BM_RdpCurve)->ArgName("mechanism")->DenseRange(0, 3)->Unit(benchmark::kMicrosecond);

/// A whole question: a new accountant, a run, epsilon over all orders. The cases of
/// compare_accountants.py.
constexpr struct {
  PoissonSampledGaussianMechanism mechanism;
  std::int64_t steps;
} kRuns[] = {{{0.01, 1.0}, 1000},   {{0.01, 1.0}, 10000},
             {{0.01, 1.0}, 100000}, {{256.0 / 60000.0, 1.1}, 14062},
             {{1e-4, 1.0}, 100000}, {{0.04, 1.5}, 2250}};

void BM_Epsilon(benchmark::State& state) {
  const auto& run = kRuns[state.range(0)];
  double epsilon = 0.0;
  for (auto _ : state) {
    RdpAccountant accountant;
    accountant.compose(run.mechanism, run.steps);
    benchmark::DoNotOptimize(epsilon = accountant.epsilon(1e-5));
  }
  state.counters["sampling_rate"] = run.mechanism.sampling_rate;
  state.counters["noise_multiplier"] = run.mechanism.noise_multiplier;
  state.counters["steps"] = static_cast<double>(run.steps);
  state.counters["epsilon"] = epsilon;
}
BENCHMARK(BM_Epsilon)->ArgName("run")->DenseRange(0, 5)->Unit(benchmark::kMicrosecond);

/// What a training loop pays to show epsilon after every epoch, after that many steps.
void BM_StepAndEpsilon(benchmark::State& state) {
  RdpAccountant accountant;
  accountant.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, state.range(0), "training");
  for (auto _ : state) {
    accountant.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, 1, "training");
    benchmark::DoNotOptimize(accountant.epsilon(1e-5));
  }
}
BENCHMARK(BM_StepAndEpsilon)
    ->ArgName("steps")
    ->RangeMultiplier(1000)
    ->Range(1, 1000000000)
    ->Unit(benchmark::kMicrosecond);

/// The same where two mechanisms alternate: the history has a phase a step, the accountant two
/// sums.
void BM_AlternatingStepsAndEpsilon(benchmark::State& state) {
  RdpAccountant accountant;
  for (std::int64_t step = 0; step < state.range(0); ++step) {
    accountant.compose(PoissonSampledGaussianMechanism{0.01, step % 2 == 0 ? 1.0 : 1.2});
  }
  for (auto _ : state) benchmark::DoNotOptimize(accountant.epsilon(1e-5));
}
BENCHMARK(BM_AlternatingStepsAndEpsilon)
    ->ArgName("steps")
    ->Arg(10)
    ->Arg(100000)
    ->Unit(benchmark::kMicrosecond);

/// Noise that is different at every step: the cost of an answer is that of its mechanisms.
void BM_EpsilonOfDifferentMechanisms(benchmark::State& state) {
  RdpAccountant accountant;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    accountant.compose(PoissonSampledGaussianMechanism{0.01, 1.0 + 1e-3 * static_cast<double>(i)});
  }
  for (auto _ : state) benchmark::DoNotOptimize(accountant.epsilon(1e-5));
}
BENCHMARK(BM_EpsilonOfDifferentMechanisms)
    ->ArgName("mechanisms")
    ->RangeMultiplier(10)
    ->Range(1, 1000)
    ->Unit(benchmark::kMicrosecond);

/// One of each kind but the Poisson-sampled ones.
const std::vector<Mechanism>& other_mechanisms() {
  static const std::vector<Mechanism> list{WithoutReplacementSampledGaussianMechanism{0.01, 1.0},
                                           LaplaceMechanism{10.0},
                                           DiscreteGaussianMechanism{4.0, 1},
                                           SkellamMechanism{900.0, 3.0, 2.0},
                                           RandomizedResponseMechanism{4, 0.3},
                                           ApproximateDpMechanism{0.05, 0.0},
                                           ZeroConcentratedMechanism{1e-3}};
  return list;
}

void BM_EpsilonOfOthers(benchmark::State& state) {
  const Mechanism& mechanism = other_mechanisms()[static_cast<std::size_t>(state.range(0))];
  state.SetLabel(kind(mechanism));
  RdpAccountant accountant(Neighbouring::kReplaceOne);
  accountant.compose(mechanism, 100);
  for (auto _ : state) benchmark::DoNotOptimize(accountant.epsilon(1e-5));
}
BENCHMARK(BM_EpsilonOfOthers)->ArgName("kind")->DenseRange(0, 6)->Unit(benchmark::kMicrosecond);

template <typename Run>
Composition composition_of(const Run& run) {
  Composition composition;
  composition.append(run.mechanism, run.steps);
  return composition;
}

void report(benchmark::State& state, const CertifiedInterval& interval) {
  state.counters["lower"] = interval.lower;
  state.counters["epsilon"] = interval.upper;
}

/// Between two proved bounds, 10^-3 apart; both directions. The same runs as BM_Epsilon.
void BM_PldEpsilon(benchmark::State& state) {
  const auto& run = kRuns[state.range(0)];
  const Composition composition = composition_of(run);
  CertifiedInterval interval{};
  for (auto _ : state) {
    benchmark::DoNotOptimize(interval = pld_epsilon(composition, 1e-5));
  }
  state.counters["sampling_rate"] = run.mechanism.sampling_rate;
  state.counters["noise_multiplier"] = run.mechanism.noise_multiplier;
  state.counters["steps"] = static_cast<double>(run.steps);
  report(state, interval);
}
BENCHMARK(BM_PldEpsilon)->ArgName("run")->DenseRange(0, 5)->Unit(benchmark::kMillisecond);

/// 10^4 steps at q = 0.01, sigma = 1 and smaller and smaller delta = 10^-exponent.
void BM_PldEpsilonAtDelta(benchmark::State& state) {
  const Composition composition = composition_of(kRuns[1]);
  const double delta = std::pow(10.0, -static_cast<double>(state.range(0)));
  CertifiedInterval interval{};
  for (auto _ : state) benchmark::DoNotOptimize(interval = pld_epsilon(composition, delta));
  report(state, interval);
}
BENCHMARK(BM_PldEpsilonAtDelta)
    ->ArgName("exponent")
    ->Arg(5)
    ->Arg(10)
    ->Arg(15)
    ->Unit(benchmark::kMillisecond);

/// The same run to a width of 10^-digits.
void BM_PldEpsilonOfWidth(benchmark::State& state) {
  const Composition composition = composition_of(kRuns[1]);
  PldOptions options;
  options.relative_width = std::pow(10.0, -static_cast<double>(state.range(0)));
  CertifiedInterval interval{};
  for (auto _ : state) {
    benchmark::DoNotOptimize(interval = pld_epsilon(composition, 1e-5, options));
  }
  report(state, interval);
}
BENCHMARK(BM_PldEpsilonOfWidth)->ArgName("digits")->DenseRange(1, 5)->Unit(benchmark::kMillisecond);

void BM_PldDelta(benchmark::State& state) {
  const auto& run = kRuns[state.range(0)];
  const Composition composition = composition_of(run);
  CertifiedInterval interval{};
  for (auto _ : state) benchmark::DoNotOptimize(interval = pld_delta(composition, 2.0));
  state.counters["lower"] = interval.lower;
  state.counters["delta"] = interval.upper;
}
BENCHMARK(BM_PldDelta)->ArgName("run")->DenseRange(0, 5)->Unit(benchmark::kMillisecond);

void BM_PldEpsilonWithoutReplacement(benchmark::State& state) {
  Composition composition(Neighbouring::kReplaceOne);
  composition.append(WithoutReplacementSampledGaussianMechanism{0.01, 1.0}, 10000);
  CertifiedInterval interval{};
  for (auto _ : state) benchmark::DoNotOptimize(interval = pld_epsilon(composition, 1e-5));
  report(state, interval);
}
BENCHMARK(BM_PldEpsilonWithoutReplacement)->Unit(benchmark::kMillisecond);

/// Ten steps each of so many different mechanisms.
void BM_PldEpsilonOfDifferentMechanisms(benchmark::State& state) {
  Composition composition;
  const auto count = static_cast<double>(state.range(0));
  for (double i = 0.0; i < count; ++i) {
    composition.append(PoissonSampledGaussianMechanism{0.005 + 0.01 * i / count, 1.0 + i / count},
                       10);
  }
  CertifiedInterval interval{};
  for (auto _ : state) benchmark::DoNotOptimize(interval = pld_epsilon(composition, 1e-5));
  report(state, interval);
}
BENCHMARK(BM_PldEpsilonOfDifferentMechanisms)
    ->ArgName("mechanisms")
    ->RangeMultiplier(10)
    ->Range(1, 1000)
    ->Unit(benchmark::kMillisecond);

/// The accountant: the interval, the Renyi bound, and the smaller of both.
void BM_PldAccountant(benchmark::State& state) {
  PldAccountant accountant;
  accountant.compose(composition_of(kRuns[state.range(0)]));
  double epsilon = 0.0;
  for (auto _ : state) benchmark::DoNotOptimize(epsilon = accountant.epsilon(1e-5));
  state.counters["epsilon"] = epsilon;
}
BENCHMARK(BM_PldAccountant)->ArgName("run")->DenseRange(0, 5)->Unit(benchmark::kMillisecond);

void BM_GaussianEpsilon(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(gaussian_epsilon(0.71912, 1e-5));
}
BENCHMARK(BM_GaussianEpsilon)->Unit(benchmark::kMicrosecond);

void BM_CalibratePoisson(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(calibrate_noise_multiplier(3.0, 1e-5, 2048.0 / 60000.0, 1172));
  }
}
BENCHMARK(BM_CalibratePoisson)->Unit(benchmark::kMillisecond);

void BM_CalibrateGaussianReleases(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        calibrate_gaussian_releases(3.0, 1e-5, {{"mean", 1, 0.12}, {"training", 60, {}}}));
  }
}
BENCHMARK(BM_CalibrateGaussianReleases)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace velum::dpsgd
