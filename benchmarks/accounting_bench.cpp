#include <benchmark/benchmark.h>

#include "velum/dpsgd/accounting/calibration.h"
#include "velum/dpsgd/accounting/gaussian_dp.h"
#include "velum/dpsgd/accounting/rdp.h"

namespace velum::dpsgd {
namespace {

/// Sampling rates and noise multipliers of a small-batch and a large-batch run, and two extremes.
constexpr PoissonSampledGaussianMechanism kMechanisms[] = {
    {256.0 / 60000.0, 1.1}, {8192.0 / 60000.0, 3.65}, {1e-4, 0.6}, {0.01, 0.1}};

/// A new mechanism: its Renyi curve at the default orders. Paid once per change of q or sigma.
void BM_RdpCurve(benchmark::State& state) {
  const auto& mechanism = kMechanisms[state.range(0)];
  for (auto _ : state) benchmark::DoNotOptimize(rdp(mechanism, default_rdp_orders()));
  state.SetItemsProcessed(state.iterations() * std::int64_t(default_rdp_orders().size()));
}
BENCHMARK(BM_RdpCurve)->ArgName("mechanism")->DenseRange(0, 3)->Unit(benchmark::kMicrosecond);

/// A whole question: a new accountant, T steps, epsilon.
void BM_EpsilonOfSteps(benchmark::State& state) {
  for (auto _ : state) {
    RdpAccountant accountant;
    accountant.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, state.range(0));
    benchmark::DoNotOptimize(accountant.epsilon(1e-5));
  }
}
BENCHMARK(BM_EpsilonOfSteps)
    ->ArgName("steps")
    ->RangeMultiplier(10)
    ->Range(1000, 100000)
    ->Unit(benchmark::kMicrosecond);

/// What a training loop pays to show epsilon after every step.
void BM_StepAndEpsilon(benchmark::State& state) {
  RdpAccountant accountant;
  for (auto _ : state) {
    accountant.compose(PoissonSampledGaussianMechanism{0.01, 1.0}, 1, "training");
    benchmark::DoNotOptimize(accountant.epsilon(1e-5));
  }
}
BENCHMARK(BM_StepAndEpsilon)->Unit(benchmark::kMicrosecond);

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
