// What homomorphic encryption draws: uniform residues and small polynomials, beside the keystream
// that they are made of. bytes_per_second counts keystream. threads 0 is CUDA.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "support/cuda_event_timer.h"
#include "velum/kernels/buffer.h"
#include "velum/kernels/random/residues.h"
#include "velum/kernels/random/small_polynomial.h"
#include "velum/kernels/random/uniform.h"

namespace velum::kernels {
namespace {

const RandomKey kKey = insecure_key_from_seed(1);

/// Every iteration takes its own step.
RandomPosition position(std::uint64_t step) { return {Purpose::kTest, 0, step, 0}; }

/// The arguments of every benchmark: log_n, limbs, threads.
struct Case {
  explicit Case(benchmark::State& state)
      : degree(std::int64_t{1} << state.range(0)),
        limbs(state.range(1)),
        stream(state.range(2) == 0 ? Stream::cuda(nullptr, 0)
                                   : Stream::cpu(static_cast<int>(state.range(2)))) {}
  std::int64_t degree;
  std::int64_t limbs;
  Stream stream;
};

bool skip_without_device(benchmark::State& state) {
  if (state.range(2) != 0 || cuda_device_count() > 0) return false;
  state.SkipWithError("no CUDA device");
  return true;
}

void count(benchmark::State& state, std::int64_t draws, std::int64_t keystream_bytes) {
  state.SetItemsProcessed(state.iterations() * draws);
  state.SetBytesProcessed(state.iterations() * draws * keystream_bytes);
}

/// Odd moduli of the word's size; the draws do not ask whether they are prime.
template <typename Word>
ModulusChain<Word> chain_of(std::int64_t limbs, const Stream& stream) {
  std::vector<Word> values;
  for (std::int64_t limb = 0; limb < limbs; ++limb) {
    values.push_back((Word{1} << WordTraits<Word>::kModulusBits) - 1 - static_cast<Word>(2 * limb));
  }
  return {values, stream};
}

void BM_Keystream(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const Buffer<std::uint64_t> out(c.degree, c.stream);
  std::uint64_t step = 0;
  benchmarking::measure(
      state, c.stream, [&] { uniform_bits_fill(out.span(), kKey, position(step++), 0, c.stream); });
  count(state, c.degree, 8);
}

template <typename Word>
void BM_UniformResidues(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const Buffer<Word> out(c.limbs * c.degree, c.stream);
  const ModulusChain<Word> chain = chain_of<Word>(c.limbs, c.stream);
  const LimbIndices limbs = LimbIndices::range(0, static_cast<int>(c.limbs));
  std::uint64_t step = 0;
  benchmarking::measure(state, c.stream, [&] {
    uniform_residues_fill(RnsView<Word>(out.data(), 1, c.limbs, c.degree), limbs, chain, kKey,
                          position(step++), c.stream);
  });
  count(state, c.limbs * c.degree, sizeof(Word) == 4 ? 12 : 16);
}

void BM_Ternary(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const Buffer<std::int8_t> out(c.degree, c.stream);
  std::uint64_t step = 0;
  benchmarking::measure(state, c.stream,
                        [&] { ternary_fill(out.span(), kKey, position(step++), c.stream); });
  count(state, c.degree, 8);
}

void BM_DiscreteGaussian(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const Buffer<std::int8_t> out(c.degree, c.stream);
  std::uint64_t step = 0;
  benchmarking::measure(state, c.stream, [&] {
    discrete_gaussian_fill(out.span(), kKey, position(step++), c.stream);
  });
  count(state, c.degree, 16);
}

void BM_FixedWeightTernaryInsecure(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const Buffer<std::int8_t> out(c.degree, c.stream);
  std::uint64_t step = 0;
  benchmarking::measure(state, c.stream, [&] {
    fixed_weight_ternary_fill_insecure(192, out.span(), kKey, position(step++), c.stream);
  });
  state.SetItemsProcessed(state.iterations() * c.degree);
}

template <typename Coefficient>
void BM_SmallToResidues(benchmark::State& state) {
  if (skip_without_device(state)) return;
  const Case c(state);
  const Buffer<std::uint32_t> out(c.limbs * c.degree, c.stream);
  std::vector<Coefficient> host(static_cast<std::size_t>(c.degree));
  for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<Coefficient>(i % 41) - 20;
  const Buffer<Coefficient> small(c.degree, c.stream);
  copy(Span<const Coefficient>(host), small.span(), c.stream);
  synchronize(c.stream);
  const ModulusChain<std::uint32_t> chain = chain_of<std::uint32_t>(c.limbs, c.stream);
  const LimbIndices limbs = LimbIndices::range(0, static_cast<int>(c.limbs));
  benchmarking::measure(state, c.stream, [&] {
    small_to_residues(small.span(), RnsView<std::uint32_t>(out.data(), 1, c.limbs, c.degree), limbs,
                      chain, c.stream);
  });
  state.SetItemsProcessed(state.iterations() * c.limbs * c.degree);
}

void sizes(benchmark::internal::Benchmark* benchmark, std::int64_t limbs) {
  benchmark->ArgNames({"log_n", "limbs", "threads"})->UseManualTime();
  for (const std::int64_t threads : {1, 2, 0}) {
    if (threads == 0 && !built_with_cuda()) continue;
    for (const std::int64_t log_n : {14, 16}) benchmark->Args({log_n, limbs, threads});
  }
}
void one_limb(benchmark::internal::Benchmark* benchmark) { sizes(benchmark, 1); }
void many_limbs(benchmark::internal::Benchmark* benchmark) { sizes(benchmark, 12); }

BENCHMARK(BM_Keystream)->Apply(one_limb);
BENCHMARK(BM_UniformResidues<std::uint32_t>)->Apply(many_limbs);
BENCHMARK(BM_UniformResidues<std::uint64_t>)->Apply(many_limbs);
BENCHMARK(BM_Ternary)->Apply(one_limb);
BENCHMARK(BM_DiscreteGaussian)->Apply(one_limb);
BENCHMARK(BM_FixedWeightTernaryInsecure)->Apply(one_limb);
BENCHMARK(BM_SmallToResidues<std::int8_t>)->Apply(many_limbs);
BENCHMARK(BM_SmallToResidues<std::int64_t>)->Apply(many_limbs);

}  // namespace
}  // namespace velum::kernels
