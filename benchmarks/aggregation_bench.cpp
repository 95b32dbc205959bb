// Exact sums under encryption: ten owners, 16-bit values, any five decrypt, noise of 40 bits on
// every share. threads 0 is CUDA. Each argument log_n is a plan for that ring; 0 the usual one.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "support/cuda_event_timer.h"
#include "velum/he/aggregation/decryption.h"
#include "velum/he/aggregation/encryptor.h"
#include "velum/he/aggregation/serialization.h"
#include "velum/he/key_generator.h"

namespace velum::he::aggregation {
namespace {

constexpr int kOwners = 10, kThreshold = 5;

/// Owners of one group, one vector of each, and the shares of one round.
struct Fixture {
  Fixture(std::int64_t values, int log_n, const Stream& stream)
      : context(AggregationContext::create(
            AggregationPlan::create(
                {.values = values, .owners = kOwners, .threshold = kThreshold, .log_n = log_n}),
            stream)),
        once(threshold::once_register_that_forgets_on_restart()),
        vector(static_cast<std::size_t>(values)),
        sum(context, Round{}, stream) {
    std::mt19937_64 bits(1);
    for (std::int32_t& value : vector) value = static_cast<std::int32_t>(bits() % 65536) - 32768;
    KeyGenerator generator(context->ring());
    const auto randomness = Randomness::secure();
    std::vector<std::vector<threshold::SecretPolynomial>> shares(kThreshold);
    for (int owner = 1; owner <= kOwners; ++owner) {
      const auto secret = std::make_shared<const SecretKey>(generator.secret_key(stream));
      auto parts = threshold::share_secret(*secret, kOwners, kThreshold, *randomness, stream);
      for (std::size_t party = 0; party < kThreshold; ++party)
        shares[party].push_back(std::move(parts[party]));
      encryptors.emplace_back(context, secret, owner, Digest{}, once);
      vectors.push_back(encryptors.back().encrypt(0, Span<const std::int32_t>(vector), stream));
      bytes.push_back(to_bytes(vectors.back(), stream));
    }
    std::vector<const EncryptedVector*> all;
    for (const EncryptedVector& one : vectors) all.push_back(&one);
    sum.add(all, stream);
    for (int owner = 1; owner <= kOwners; ++owner) owners.push_back(owner);
    for (int party = 1; party <= kThreshold; ++party) parties.push_back(party);
    for (int party = 1; party <= kThreshold; ++party) {
      MaskKeys masks;
      for (int other = 1; other <= kOwners; ++other) {
        kernels::RandomKey key{};
        key.words[0] = static_cast<std::uint32_t>(party + other);
        if (other != party) masks.set(other, key);
      }
      decryptors.emplace_back(context, std::move(shares[static_cast<std::size_t>(party - 1)]),
                              party, Digest{}, std::move(masks), once);
      decryption_shares.push_back(decryptors.back().share(0, owners, parties, stream));
    }
    for (const DecryptionShare& share : decryption_shares) share_list.push_back(&share);
  }

  std::shared_ptr<const AggregationContext> context;
  threshold::OnceRegister once;
  std::vector<std::int32_t> vector;
  std::vector<VectorEncryptor> encryptors;
  std::vector<EncryptedVector> vectors;
  std::vector<std::vector<std::uint8_t>> bytes;
  EncryptedSum sum;
  std::vector<int> owners, parties;
  std::vector<PartialDecryptor> decryptors;
  std::vector<DecryptionShare> decryption_shares;
  std::vector<const DecryptionShare*> share_list;
  std::uint64_t round = 1;  // of the next measurement
};

Stream stream_of(std::int64_t threads) {
  return threads == 0 ? Stream::cuda(nullptr, 0) : Stream::cpu(static_cast<int>(threads));
}

/// Runs `operation` for each iteration.
template <typename Operation>
void run(benchmark::State& state, const Operation& operation) {
  const std::int64_t threads = state.range(2);
  if (threads == 0 && kernels::cuda_device_count() == 0)
    return state.SkipWithError("no CUDA device");
  const Stream stream = stream_of(threads);
  static std::map<std::vector<std::int64_t>, std::unique_ptr<Fixture>> fixtures;
  const std::vector<std::int64_t> key{state.range(0), state.range(1), threads};
  auto& fixture = fixtures[key];
  if (fixture == nullptr) {
    fixtures.clear();
    fixtures[key] =
        std::make_unique<Fixture>(state.range(0), static_cast<int>(state.range(1)), stream);
  }
  Fixture& f = *fixtures[key];
  benchmarking::measure(state, stream, [&] { operation(f, stream); });
  const AggregationPlan& plan = f.context->plan();
  state.counters["bytes_per_value"] = plan.bytes_per_value();
  state.counters["log_n"] = plan.parameters().log_n();
  state.counters["digits"] = plan.digits();
  state.counters["primes"] = static_cast<double>(plan.parameters().primes().size());
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void BM_PackAndEncrypt(benchmark::State& state) {
  run(state, [](Fixture& f, const Stream& stream) {
    benchmark::DoNotOptimize(
        f.encryptors[0].encrypt(f.round++, Span<const std::int32_t>(f.vector), stream));
  });
}

void BM_PackEncryptAndSerialize(benchmark::State& state) {
  run(state, [](Fixture& f, const Stream& stream) {
    const auto vector =
        f.encryptors[0].encrypt(f.round++, Span<const std::int32_t>(f.vector), stream);
    benchmark::DoNotOptimize(to_bytes(vector, stream));
  });
}

void BM_SumOfTen(benchmark::State& state) {
  run(state, [](Fixture& f, const Stream& stream) {
    EncryptedSum sum(f.context, Round{}, stream);
    std::vector<const EncryptedVector*> vectors;
    for (const EncryptedVector& vector : f.vectors) vectors.push_back(&vector);
    sum.add(vectors, stream);
    benchmark::DoNotOptimize(sum.view().data);
  });
}

void BM_LoadAndSumOfTen(benchmark::State& state) {
  run(state, [](Fixture& f, const Stream& stream) {
    EncryptedSum sum(f.context, Round{}, stream);
    for (const auto& bytes : f.bytes) {
      sum.add(encrypted_vector_from_bytes(Span<const std::uint8_t>(bytes), f.context, stream),
              stream);
    }
    benchmark::DoNotOptimize(sum.view().data);
  });
}

// What one party computes, and what is done once with the shares of all.
void BM_DecryptionShare(benchmark::State& state) {
  run(state, [](Fixture& f, const Stream& stream) {
    benchmark::DoNotOptimize(f.decryptors[0].share(f.round++, f.owners, f.parties, stream));
  });
}

void BM_CombineAndUnpack(benchmark::State& state) {
  run(state, [](Fixture& f, const Stream& stream) {
    benchmark::DoNotOptimize(decrypt_sum(f.sum, f.share_list, stream));
  });
}

// Both, one after the other: parties compute at the same time, each on its own machine.
void BM_ThresholdDecryptAndUnpack(benchmark::State& state) {
  run(state, [](Fixture& f, const Stream& stream) {
    benchmark::DoNotOptimize(f.decryptors[0].share(f.round++, f.owners, f.parties, stream));
    benchmark::DoNotOptimize(decrypt_sum(f.sum, f.share_list, stream));
  });
}

void arguments(benchmark::internal::Benchmark* b) {
  b->ArgNames({"values", "log_n", "threads"})->Unit(benchmark::kMillisecond)->UseManualTime();
  for (const int threads : {1, 2}) {
    for (const int log_n : {0, 12, 14}) b->Args({1000000, log_n, threads});
  }
  if (kernels::built_with_cuda()) b->Args({1000000, 0, 0});
}

BENCHMARK(BM_PackAndEncrypt)->Apply(arguments);
BENCHMARK(BM_PackEncryptAndSerialize)->Apply(arguments);
BENCHMARK(BM_SumOfTen)->Apply(arguments);
BENCHMARK(BM_LoadAndSumOfTen)->Apply(arguments);
BENCHMARK(BM_DecryptionShare)->Apply(arguments);
BENCHMARK(BM_CombineAndUnpack)->Apply(arguments);
BENCHMARK(BM_ThresholdDecryptAndUnpack)->Apply(arguments);

}  // namespace
}  // namespace velum::he::aggregation
