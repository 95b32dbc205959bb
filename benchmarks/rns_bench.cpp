// The operations on residues, on random data, at the sizes of two parameter sets: N = 2^14 with 10
// primes and 4 special ones (log QP = 420 in primes of 30 bits), and N = 2^15 with 22 and 6 (840).
// Three digits of the primes a key switching. bytes_per_second counts what must be read and written
// once.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "support/cuda_event_timer.h"
#include "velum/kernels/buffer.h"
#include "velum/kernels/polynomial/automorphism.h"
#include "velum/kernels/polynomial/base_conversion.h"
#include "velum/kernels/polynomial/division.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/inner_product.h"
#include "velum/kernels/polynomial/modulus_raise.h"
#include "velum/kernels/polynomial/ntt_tables.h"
#include "velum/kernels/random/uniform.h"

namespace velum::kernels {
namespace {

using Word = std::uint32_t;
const RandomKey kKey = insecure_key_from_seed(1);

/// The arguments of every benchmark: log_n, threads; threads 0 is CUDA.
struct Case {
  explicit Case(benchmark::State& state)
      : degree(std::int64_t{1} << state.range(0)),
        primes(state.range(0) == 14 ? 10 : 22),
        specials(state.range(0) == 14 ? 4 : 6),
        digit(state.range(0) == 14 ? 4 : 8),
        stream(state.range(1) == 0 ? Stream::cuda(nullptr, 0)
                                   : Stream::cpu(static_cast<int>(state.range(1)))),
        tables(static_cast<int>(state.range(0)),
               find_ntt_primes<Word>(30, static_cast<int>(state.range(0)), primes + specials),
               stream),
        chain(tables.moduli()) {}

  /// Random residues of limbs [first, first + count).
  Buffer<Word> random(std::int64_t polys, int first, int count) const {
    const std::int64_t size = polys * count * degree;
    const Buffer<std::uint64_t> bits(size, stream);
    uniform_bits_fill(bits.span(), kKey, {Purpose::kTest, 0, 0, 0}, 0, stream);
    std::vector<std::uint64_t> host(static_cast<std::size_t>(size));
    copy(Span<const std::uint64_t>(bits.span()), Span<std::uint64_t>(host), stream);
    synchronize(stream);
    std::vector<Word> words(host.size());
    for (std::int64_t i = 0; i < size; ++i) {
      const auto limb = static_cast<int>(i / degree % count);
      words[static_cast<std::size_t>(i)] =
          static_cast<Word>(host[static_cast<std::size_t>(i)] % chain[first + limb].value);
    }
    Buffer<Word> buffer(size, stream);
    copy(Span<const Word>(words), buffer.span(), stream);
    synchronize(stream);
    return buffer;
  }
  RnsView<Word> view(const Buffer<Word>& words, std::int64_t polys, int limbs) const {
    return {words.data(), polys, limbs, degree};
  }
  /// Words that are read and written, of `limbs` limbs in all.
  void report(benchmark::State& state, std::int64_t limbs) const {
    state.SetBytesProcessed(state.iterations() * limbs * degree *
                            static_cast<std::int64_t>(sizeof(Word)));
  }

  std::int64_t degree;
  int primes;
  int specials;
  int digit;
  Stream stream;
  NttTables<Word> tables;
  const ModulusChain<Word>& chain;
};

bool skip_without_device(benchmark::State& state) {
  if (state.range(1) != 0 || cuda_device_count() > 0) return false;
  state.SkipWithError("no CUDA device");
  return true;
}

enum class Operation { kAdd, kMultiply, kMultiplyAccumulate, kMultiplyFactors };

/// Two polynomials, a ciphertext, of all primes.
template <Operation kOperation>
void BM_Elementwise(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const LimbIndices limbs = LimbIndices::range(0, c.primes);
  const Buffer<Word> a = c.random(2, 0, c.primes);
  const Buffer<Word> b = c.random(2, 0, c.primes);
  const Buffer<Word> out = c.random(2, 0, c.primes);
  std::vector<ShoupFactor<Word>> host;
  host.reserve(static_cast<std::size_t>(c.primes));
  for (int i = 0; i < c.primes; ++i) host.push_back(shoup_factor<Word>(12345, c.chain[i].value));
  Buffer<ShoupFactor<Word>> factors(c.primes, c.stream);
  copy(Span<const ShoupFactor<Word>>(host), factors.span(), c.stream);
  synchronize(c.stream);
  const auto x = c.view(a, 2, c.primes);
  const auto y = c.view(b, 2, c.primes);
  const auto z = c.view(out, 2, c.primes);
  benchmarking::measure(state, c.stream, [&] {
    if constexpr (kOperation == Operation::kAdd) {
      add(x, y, z, limbs, c.chain, c.stream);
    } else if constexpr (kOperation == Operation::kMultiply) {
      multiply(x, y, z, limbs, c.chain, c.stream);
    } else if constexpr (kOperation == Operation::kMultiplyAccumulate) {
      multiply_accumulate(x, y, z, limbs, c.chain, c.stream);
    } else {
      multiply_factors(x, factors.span(), z, limbs, c.chain, c.stream);
    }
  });
  constexpr std::int64_t kRows[] = {3, 3, 4, 2};
  c.report(state, kRows[static_cast<int>(kOperation)] * 2 * c.primes);
}

/// Three digits and a key of all primes and special ones.
void BM_InnerProduct(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const int all = c.primes + c.specials;
  const Buffer<Word> digits = c.random(3, 0, all);
  const Buffer<Word> keys = c.random(6, 0, all);
  const Buffer<Word> out = c.random(2, 0, all);
  benchmarking::measure(state, c.stream, [&] {
    inner_product(c.view(digits, 3, all), c.view(keys, 6, all), c.view(out, 2, all),
                  LimbIndices::range(0, all), c.chain, c.stream);
  });
  c.report(state, 11 * all);
}

/// A ciphertext of all primes.
template <bool kNtt>
void BM_Automorphism(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const Buffer<Word> in = c.random(2, 0, c.primes);
  const Buffer<Word> out = c.random(2, 0, c.primes);
  const auto from = c.view(in, 2, c.primes);
  const auto to = c.view(out, 2, c.primes);
  benchmarking::measure(state, c.stream, [&] {
    if constexpr (kNtt) {
      automorphism_ntt<Word>(from, to, 125, c.stream);
    } else {
      automorphism_coefficient(from, to, 125, LimbIndices::range(0, c.primes), c.chain, c.stream);
    }
  });
  c.report(state, 4 * c.primes);
}

/// A digit to all other moduli, as at the beginning of a key switching; its residues come
/// premultiplied from the inverse transform.
void BM_ConvertDigit(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const int others = c.primes + c.specials - c.digit;
  const BaseConversion<Word> conversion(c.chain, LimbIndices::range(0, c.digit),
                                        LimbIndices::range(c.digit, others), c.stream);
  const Buffer<Word> in = c.random(1, 0, c.digit);
  const Buffer<Word> out = c.random(1, c.digit, others);
  benchmarking::measure(state, c.stream, [&] {
    convert_base(c.view(in, 1, c.digit), c.view(out, 1, others), conversion, Correction::kNone,
                 Premultiplied::kYes, c.stream);
  });
  c.report(state, c.digit + others);
}

/// The special primes of two polynomials to the others, centred: within the division at its end.
void BM_ConvertSpecials(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const BaseConversion<Word> conversion(c.chain, LimbIndices::range(c.primes, c.specials),
                                        LimbIndices::range(0, c.primes), c.stream);
  const Buffer<Word> in = c.random(2, c.primes, c.specials);
  const Buffer<Word> out = c.random(2, 0, c.primes);
  benchmarking::measure(state, c.stream, [&] {
    convert_base(c.view(in, 2, c.specials), c.view(out, 2, c.primes), conversion,
                 Correction::kCentred, Premultiplied::kYes, c.stream);
  });
  c.report(state, 2 * (c.primes + c.specials));
}

/// The same digit in NTT form: conversion and transforms (ModUp).
void BM_ExtendDigit(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const int all = c.primes + c.specials;
  const DigitExtension<Word> extension(c.tables, LimbIndices::range(0, all), 0, c.digit, c.stream);
  const Buffer<Word> in = c.random(1, 0, c.digit);
  const Buffer<Word> out = c.random(1, 0, all);
  const RnsView<Word> to = c.view(out, 1, all);
  benchmarking::measure(state, c.stream, [&] {
    extend_digit(c.view(in, 1, c.digit), Premultiplied::kYes, to.limb_range(0, c.digit), to,
                 extension, Correction::kNone, c.stream);
  });
  c.report(state, all);
}

/// Two polynomials; by the special primes (ModDown), or by the last prime or the last two
/// (rescale).
template <int kDropped>
void BM_DivideAndRound(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const int dropped = kDropped == 0 ? c.specials : kDropped;
  const int kept = kDropped == 0 ? c.primes : c.primes - kDropped;
  const RnsDivision<Word> division(c.tables, LimbIndices::range(0, kept),
                                   LimbIndices::range(kept, dropped), c.stream);
  const Buffer<Word> in = c.random(2, 0, kept);
  const Buffer<Word> rest = c.random(2, kept, dropped);
  const Buffer<Word> scratch = c.random(2, kept, dropped);
  const Buffer<Word> out = c.random(2, 0, kept);
  benchmarking::measure(state, c.stream, [&] {
    divide_and_round(c.view(in, 2, kept), c.view(rest, 2, dropped), c.view(scratch, 2, dropped),
                     c.view(out, 2, kept), division, c.stream);
  });
  c.report(state, 2 * (2 * kept + dropped));
}

void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"log_n", "threads"})->UseManualTime();
  for (const std::int64_t threads : {1, 2, 0}) {
    if (threads == 0 && !built_with_cuda()) continue;
    for (const std::int64_t log_n : {14, 15}) benchmark->Args({log_n, threads});
  }
}

BENCHMARK_TEMPLATE(BM_Elementwise, Operation::kAdd)->Name("BM_Add")->Apply(sizes);
BENCHMARK_TEMPLATE(BM_Elementwise, Operation::kMultiply)->Name("BM_Multiply")->Apply(sizes);
BENCHMARK_TEMPLATE(BM_Elementwise, Operation::kMultiplyAccumulate)
    ->Name("BM_MultiplyAccumulate")
    ->Apply(sizes);
BENCHMARK_TEMPLATE(BM_Elementwise, Operation::kMultiplyFactors)
    ->Name("BM_MultiplyFactors")
    ->Apply(sizes);
BENCHMARK(BM_InnerProduct)->Apply(sizes);
BENCHMARK_TEMPLATE(BM_Automorphism, false)->Name("BM_AutomorphismCoefficient")->Apply(sizes);
BENCHMARK_TEMPLATE(BM_Automorphism, true)->Name("BM_AutomorphismNtt")->Apply(sizes);
BENCHMARK(BM_ConvertDigit)->Apply(sizes);
BENCHMARK(BM_ConvertSpecials)->Apply(sizes);
BENCHMARK(BM_ExtendDigit)->Apply(sizes);
BENCHMARK_TEMPLATE(BM_DivideAndRound, 0)->Name("BM_DivideBySpecials")->Apply(sizes);
BENCHMARK_TEMPLATE(BM_DivideAndRound, 1)->Name("BM_RescaleByOne")->Apply(sizes);
BENCHMARK_TEMPLATE(BM_DivideAndRound, 2)->Name("BM_RescaleByTwo")->Apply(sizes);

}  // namespace
}  // namespace velum::kernels
