// The parts of encoding and decoding for CKKS, and the whole, on one thread. Limbs are of 30
// bits.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <random>
#include <vector>

#include "velum/he/ckks/canonical_embedding.h"
#include "velum/he/ckks/slot_codec.h"
#include "velum/kernels/polynomial/integers_to_residues.h"
#include "velum/kernels/polynomial/ntt.h"
#include "velum/kernels/polynomial/ntt_tables.h"
#include "velum/kernels/polynomial/residues_to_doubles.h"

namespace {

using namespace velum::he;  // NOLINT: a benchmark
using velum::kernels::Span;
using velum::kernels::Stream;
using Complex = std::complex<double>;

std::vector<Complex> random_slots(std::int64_t n) {
  std::mt19937_64 generator(1);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<Complex> slots(static_cast<std::size_t>(n));
  for (Complex& z : slots) z = {uniform(generator), uniform(generator)};
  return slots;
}

struct DoubleDoubles {
  explicit DoubleDoubles(std::size_t size) : high(size), low(size) {}
  DoubleDoubleSpan span() { return {Span<double>(high), Span<double>(low)}; }
  std::vector<double> high, low;
};

void BM_Embed(benchmark::State& state) {
  const CanonicalEmbedding embedding(static_cast<int>(state.range(0)));
  const std::vector<Complex> slots = random_slots(embedding.max_slots());
  std::vector<double> coefficients(2 * slots.size());
  for (auto _ : state) {
    embedding.embed(Span<const Complex>(slots), 0x1p40, coefficients, Stream::serial());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_Embed)->ArgName("log_n")->DenseRange(12, 16)->Unit(benchmark::kMicrosecond);

void BM_EmbedDoubleDouble(benchmark::State& state) {
  const CanonicalEmbedding embedding(static_cast<int>(state.range(0)));
  const std::vector<Complex> slots = random_slots(embedding.max_slots());
  DoubleDoubles coefficients(2 * slots.size());
  for (auto _ : state) {
    embedding.embed(Span<const Complex>(slots), 0x1p90, coefficients.span(), Stream::serial());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_EmbedDoubleDouble)
    ->ArgName("log_n")
    ->DenseRange(12, 16)
    ->Unit(benchmark::kMicrosecond);

/// The coefficients are their own workspace, and so copied anew each time.
void BM_Evaluate(benchmark::State& state) {
  const CanonicalEmbedding embedding(static_cast<int>(state.range(0)));
  std::vector<Complex> slots = random_slots(embedding.max_slots());
  std::vector<double> coefficients(2 * slots.size());
  embedding.embed(Span<const Complex>(slots), 0x1p40, coefficients, Stream::serial());
  std::vector<double> work(coefficients.size());
  for (auto _ : state) {
    work = coefficients;
    embedding.evaluate(work, 0x1p40, Span<Complex>(slots), Stream::serial());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_Evaluate)->ArgName("log_n")->DenseRange(12, 16)->Unit(benchmark::kMicrosecond);

void BM_EvaluateDoubleDouble(benchmark::State& state) {
  const CanonicalEmbedding embedding(static_cast<int>(state.range(0)));
  std::vector<Complex> slots = random_slots(embedding.max_slots());
  DoubleDoubles coefficients(2 * slots.size());
  embedding.embed(Span<const Complex>(slots), 0x1p90, coefficients.span(), Stream::serial());
  DoubleDoubles work(coefficients);
  for (auto _ : state) {
    work = coefficients;
    embedding.evaluate(work.span(), 0x1p90, Span<Complex>(slots), Stream::serial());
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_EvaluateDoubleDouble)
    ->ArgName("log_n")
    ->DenseRange(12, 16)
    ->Unit(benchmark::kMicrosecond);

void BM_EmbeddingTables(benchmark::State& state) {
  for (auto _ : state) {
    const CanonicalEmbedding embedding(static_cast<int>(state.range(0)));
    benchmark::DoNotOptimize(&embedding);
  }
}
BENCHMARK(BM_EmbeddingTables)->ArgName("log_n")->DenseRange(12, 16)->Unit(benchmark::kMicrosecond);

/// Moduli without common factors, which is all that these operations ask.
std::vector<std::uint32_t> moduli(std::int64_t count) {
  std::vector<std::uint32_t> values;
  for (std::uint32_t candidate = (1u << 30) - 1; std::ssize(values) < count; candidate -= 2) {
    bool fits = true;
    for (const std::uint32_t m : values) fits = fits && std::gcd(m, candidate) == 1;
    if (fits) values.push_back(candidate);
  }
  return values;
}

struct Residues {
  Residues(std::int64_t log_n, std::int64_t limb_count)
      : stream(Stream::serial()),
        chain(moduli(limb_count), stream),
        limbs(velum::kernels::LimbIndices::range(0, static_cast<int>(limb_count))),
        radix(chain, limbs, stream),
        memory(limb_count << log_n, stream),
        view(memory.data(), 1, limb_count, std::int64_t{1} << log_n) {}
  Stream stream;
  velum::kernels::ModulusChain<std::uint32_t> chain;
  velum::kernels::LimbIndices limbs;
  velum::kernels::MixedRadix radix;
  velum::kernels::Buffer<std::uint32_t> memory;
  velum::kernels::RnsView<std::uint32_t> view;
};

template <typename Integer>
void BM_IntegersToResidues(benchmark::State& state) {
  Residues to(state.range(0), state.range(1));
  std::mt19937_64 generator(1);
  std::vector<Integer> integers(std::size_t{1} << state.range(0));
  for (Integer& x : integers) x = static_cast<Integer>(static_cast<std::int64_t>(generator()) >> 3);
  for (auto _ : state) {
    velum::kernels::integers_to_residues(Span<const Integer>(integers), to.view, to.limbs, to.chain,
                                         to.stream);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_IntegersToResidues<std::int64_t>)
    ->ArgNames({"log_n", "limbs"})
    ->ArgsProduct({{12, 13, 14, 15, 16}, {10}})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_IntegersToResidues<velum::kernels::Int128>)
    ->ArgNames({"log_n", "limbs"})
    ->ArgsProduct({{14}, {10}})
    ->Unit(benchmark::kMicrosecond);

void BM_ResiduesToDoubles(benchmark::State& state) {
  const Residues from(state.range(0), state.range(1));
  std::vector<double> high(std::size_t{1} << state.range(0)), low(high);
  std::fill_n(from.memory.data(), from.memory.size(), 12345u);
  for (auto _ : state) {
    velum::kernels::residues_to_doubles(from.view, high, low, from.radix, from.stream);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_ResiduesToDoubles)
    ->ArgNames({"log_n", "limbs"})
    ->ArgsProduct({{12, 14, 16}, {1, 2, 4, 10, 40}})
    ->Unit(benchmark::kMicrosecond);

/// Slots to residues. log_scale above 50: double-double and 128 bits.
void BM_EncodeSlots(benchmark::State& state) {
  const SlotCodec codec(static_cast<int>(state.range(0)));
  const Residues to(state.range(0), state.range(1));
  const std::vector<Complex> slots = random_slots(codec.embedding().max_slots());
  const double scale = std::ldexp(1.0, static_cast<int>(state.range(2)));
  for (auto _ : state) {
    codec.encode(Span<const Complex>(slots), scale, to.view, to.limbs, to.chain, to.stream);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_EncodeSlots)
    ->ArgNames({"log_n", "limbs", "log_scale"})
    ->ArgsProduct({{12, 13, 14, 15, 16}, {10}, {40, 60}})
    ->Unit(benchmark::kMicrosecond);

/// The whole encoder: slots to NTT form.
void BM_EncodeSlotsToNtt(benchmark::State& state) {
  namespace vk = velum::kernels;
  const auto log_n = static_cast<int>(state.range(0));
  const auto count = static_cast<int>(state.range(1));
  const SlotCodec codec(log_n);
  const Stream stream = Stream::serial();
  const vk::NttTables<std::uint32_t> tables(
      log_n, vk::find_ntt_primes<std::uint32_t>(30, log_n, count), stream);
  const vk::LimbIndices limbs = vk::LimbIndices::range(0, count);
  const vk::Buffer<std::uint32_t> memory(std::int64_t{count} << log_n, stream);
  const vk::RnsView<std::uint32_t> out(memory.data(), 1, count, std::int64_t{1} << log_n);
  const std::vector<Complex> slots = random_slots(codec.embedding().max_slots());
  for (auto _ : state) {
    codec.encode(Span<const Complex>(slots), 0x1p40, out, limbs, tables.moduli(), stream);
    vk::ntt_forward_inplace(out, limbs, tables, stream);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_EncodeSlotsToNtt)
    ->ArgNames({"log_n", "limbs"})
    ->ArgsProduct({{12, 13, 14, 15, 16}, {10}})
    ->Unit(benchmark::kMicrosecond);

void BM_DecodeSlots(benchmark::State& state) {
  const SlotCodec codec(static_cast<int>(state.range(0)));
  const Residues to(state.range(0), state.range(1));
  std::vector<Complex> slots = random_slots(codec.embedding().max_slots());
  const double scale = std::ldexp(1.0, static_cast<int>(state.range(2)));
  codec.encode(Span<const Complex>(slots), scale, to.view, to.limbs, to.chain, to.stream);
  for (auto _ : state) {
    codec.decode(to.view, to.radix, scale, Span<Complex>(slots), to.stream);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BM_DecodeSlots)
    ->ArgNames({"log_n", "limbs", "log_scale"})
    ->ArgsProduct({{12, 13, 14, 15, 16}, {2, 4}, {40}})
    ->ArgsProduct({{14}, {4}, {60}})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
