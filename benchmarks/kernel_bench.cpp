// Every case of kernel_cases.h on a CUDA device: time by events with the L2 cache flushed, items
// are elements. The names of the benchmarks are those of the cases, which scripts/roofline
// predicts.
#include <benchmark/benchmark.h>

#include "kernel_cases.h"
#include "support/cuda_event_timer.h"

namespace {

using velum::benchmarking::KernelCase;

void run_case(benchmark::State& state, const KernelCase& kernel_case) {
  if (velum::kernels::cuda_device_count() == 0) {
    state.SkipWithError("no CUDA device");
    return;
  }
  const auto stream = velum::kernels::Stream::cuda(nullptr, 0);
  const auto operation = kernel_case.prepare(kernel_case.rows, stream);
  velum::benchmarking::measure(state, stream, operation);
  const std::int64_t elements = kernel_case.rows * kernel_case.elements_per_row;
  state.SetItemsProcessed(state.iterations() * elements);
}

}  // namespace

int main(int argc, char** argv) {
  for (const KernelCase& kernel_case : velum::benchmarking::kernel_cases()) {
    benchmark::RegisterBenchmark(kernel_case.name.c_str(), [kernel_case](benchmark::State& state) {
      run_case(state, kernel_case);
    })->UseManualTime();
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
