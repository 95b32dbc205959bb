// Number-theoretic transforms of 30-bit limbs, on random data. items are limbs; bytes_per_second
// counts each limb read and written once. `polys` polynomials of `limbs` limbs are transformed in a
// call; threads 0 is CUDA.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <vector>

#include "support/cuda_event_timer.h"
#include "velum/kernels/buffer.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::kernels {
namespace {

/// The arguments of every benchmark: log_n, limbs, polys, threads.
template <typename Word>
struct Case {
  explicit Case(const benchmark::State& state)
      : stream(state.range(3) == 0 ? Stream::cuda(nullptr, 0)
                                   : Stream::cpu(static_cast<int>(state.range(3)))),
        limbs(LimbIndices::range(0, static_cast<int>(state.range(1)))),
        polys(state.range(2)),
        tables(static_cast<int>(state.range(0)),
               find_ntt_primes<Word>(WordTraits<Word>::kModulusBits,
                                     static_cast<int>(state.range(0)), limbs.count),
               stream),
        factors(limbs.count, stream) {
    std::vector<ShoupFactor<Word>> host;
    for (int i = 0; i < limbs.count; ++i) {
      const Word q = tables.moduli()[i].value;
      host.push_back(shoup_factor(static_cast<Word>(q / 3), q));
    }
    copy(Span<const ShoupFactor<Word>>(host), factors.span(), stream);
    synchronize(stream);
  }

  /// Random residues.
  Buffer<Word> random(std::int64_t count, unsigned seed) const {
    std::vector<Word> words;
    words.reserve(static_cast<std::size_t>(count * limbs.count * tables.degree()));
    std::mt19937_64 generator(seed);
    for (std::int64_t poly = 0; poly < count; ++poly) {
      for (int limb = 0; limb < limbs.count; ++limb) {
        const Word q = tables.moduli()[limb].value;
        for (std::int64_t i = 0; i < tables.degree(); ++i) {
          words.push_back(static_cast<Word>(generator() % q));
        }
      }
    }
    Buffer<Word> buffer(static_cast<std::int64_t>(words.size()), stream);
    copy(Span<const Word>(words), buffer.span(), stream);
    synchronize(stream);
    return buffer;
  }
  RnsView<Word> view(const Buffer<Word>& buffer, std::int64_t count) const {
    return {buffer.data(), count, limbs.count, tables.degree()};
  }

  Stream stream;
  LimbIndices limbs;
  std::int64_t polys;
  NttTables<Word> tables;
  Buffer<ShoupFactor<Word>> factors;
};

bool skip_without_device(benchmark::State& state) {
  if (state.range(3) != 0 || cuda_device_count() > 0) return false;
  state.SkipWithError("no CUDA device");
  return true;
}

void count(benchmark::State& state, std::int64_t word_bytes) {
  const std::int64_t limbs = state.iterations() * state.range(1) * state.range(2);
  state.SetItemsProcessed(limbs);
  state.SetBytesProcessed(limbs * (2 * word_bytes << state.range(0)));
}

template <typename Word>
void BM_NttForward(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case<Word> c(state);
  const Buffer<Word> polys = c.random(c.polys, 1);
  benchmarking::measure(state, c.stream, [&] {
    ntt_forward_inplace(c.view(polys, c.polys), c.limbs, c.tables, c.stream);
  });
  count(state, sizeof(Word));
}

template <typename Word>
void BM_NttInverse(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case<Word> c(state);
  const Buffer<Word> polys = c.random(c.polys, 1);
  benchmarking::measure(state, c.stream, [&] {
    ntt_inverse_inplace(c.view(polys, c.polys), c.limbs, c.tables, c.stream);
  });
  count(state, sizeof(Word));
}

template <typename Word>
void BM_NttInverseMultiply(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case<Word> c(state);
  const Buffer<Word> polys = c.random(c.polys, 1);
  benchmarking::measure(state, c.stream, [&] {
    ntt_inverse_multiply_inplace(c.view(polys, c.polys), c.limbs, c.factors.span(), c.tables,
                                 c.stream);
  });
  count(state, sizeof(Word));
}

template <typename Word>
void BM_NttForwardSubtractMultiply(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case<Word> c(state);
  const Buffer<Word> polys = c.random(c.polys, 1);
  const Buffer<Word> minuend = c.random(c.polys, 2);
  benchmarking::measure(state, c.stream, [&] {
    ntt_forward_subtract_multiply(c.view(polys, c.polys), c.view(minuend, c.polys), c.limbs,
                                  c.factors.span(), c.tables, c.stream);
  });
  count(state, sizeof(Word));
}

/// `polys` is 1: a digit.
template <typename Word>
void BM_NttForwardInnerProduct(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case<Word> c(state);
  const Buffer<Word> digit = c.random(1, 1);
  const Buffer<Word> key = c.random(2, 2);
  const Buffer<Word> accumulator = c.random(2, 3);
  benchmarking::measure(state, c.stream, [&] {
    ntt_forward_inner_product(c.view(digit, 1), c.view(key, 2), c.view(accumulator, 2), false,
                              c.limbs, c.tables, c.stream);
  });
  count(state, sizeof(Word));
}

void transform_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"log_n", "limbs", "polys", "threads"})->UseManualTime();
  for (const std::int64_t threads : {1, 2, 0}) {
    if (threads == 0 && !built_with_cuda()) continue;
    for (std::int64_t log_n = 12; log_n <= 17; ++log_n) {
      if (threads != 0) {
        benchmark->Args({log_n, 8, 1, threads});
      } else {  // few limbs, and enough to fill a device
        benchmark->Args({log_n, 8, 1, threads})->Args({log_n, 32, 8, threads});
      }
    }
  }
}
void digit_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"log_n", "limbs", "polys", "threads"})->UseManualTime();
  for (const std::int64_t threads : {1, 2, 0}) {
    if (threads == 0 && !built_with_cuda()) continue;
    for (std::int64_t log_n = 12; log_n <= 17; ++log_n) benchmark->Args({log_n, 8, 1, threads});
  }
}
/// 61-bit limbs.
void oracle_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"log_n", "limbs", "polys", "threads"})->UseManualTime();
  for (const std::int64_t log_n : {12, 14, 16}) benchmark->Args({log_n, 4, 1, 1});
}

BENCHMARK_TEMPLATE(BM_NttForward, std::uint32_t)->Name("BM_NttForward")->Apply(transform_sizes);
BENCHMARK_TEMPLATE(BM_NttInverse, std::uint32_t)->Name("BM_NttInverse")->Apply(transform_sizes);
BENCHMARK_TEMPLATE(BM_NttInverseMultiply, std::uint32_t)
    ->Name("BM_NttInverseMultiply")
    ->Apply(transform_sizes);
BENCHMARK_TEMPLATE(BM_NttForwardSubtractMultiply, std::uint32_t)
    ->Name("BM_NttForwardSubtractMultiply")
    ->Apply(transform_sizes);
BENCHMARK_TEMPLATE(BM_NttForwardInnerProduct, std::uint32_t)
    ->Name("BM_NttForwardInnerProduct")
    ->Apply(digit_sizes);
BENCHMARK_TEMPLATE(BM_NttForward, std::uint64_t)->Name("BM_NttForward64")->Apply(oracle_sizes);
BENCHMARK_TEMPLATE(BM_NttInverse, std::uint64_t)->Name("BM_NttInverse64")->Apply(oracle_sizes);

}  // namespace
}  // namespace velum::kernels
