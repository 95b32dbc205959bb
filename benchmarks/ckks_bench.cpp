// CKKS, whole operations on random data. threads 0 is CUDA. The parameter sets are those that other
// libraries are measured with (docs/benchmarks_he.md): N = 2^13 with about 218 bits of QP, 2^14
// with 430, 2^15 with 868, 2^16 with 1747.
#include <benchmark/benchmark.h>

#include <complex>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "support/cuda_event_timer.h"
#include "velum/he/ckks/encoder.h"
#include "velum/he/ckks/evaluator.h"
#include "velum/he/ckks/linear_transform.h"
#include "velum/he/decryptor.h"
#include "velum/he/encryptor.h"
#include "velum/he/key_generator.h"

namespace velum::he {
namespace {

/// As many levels of scale 2^50 as 128-bit security allows.
Parameters largest_parameters(int log_n) {
  for (int depth = 40; depth > 0; --depth) {
    try {
      return ParametersBuilder().log_n(log_n).scale_bits(log_n < 13 ? 28 : 50).depth(depth).build();
    } catch (const std::invalid_argument&) {
    }
  }
  return ParametersBuilder().log_n(log_n).scale_bits(28).build();
}

/// Keys and ciphertexts of one ring, made once for each backend.
struct Fixture {
  Fixture(int log_n, const Stream& stream)
      : context(Context::create(largest_parameters(log_n), stream)),
        generator(context),
        secret(std::make_shared<const SecretKey>(generator.secret_key(stream))),
        public_key(std::make_shared<const PublicKey>(generator.public_key(*secret, stream))),
        relinearization(generator.relinearization_key(*secret, stream)),
        galois(generator.galois_keys(*secret, {1, 2, 3, 4, 5, 6, 7, 8}, false, stream)),
        encoder(context),
        encryptor(public_key),
        symmetric(secret),
        decryptor(secret),
        evaluator(context),
        slots(static_cast<std::size_t>(context->parameters().max_slots())) {
    std::mt19937_64 bits(1);
    std::uniform_real_distribution<double> uniform(-0.7, 0.7);
    for (auto& slot : slots) slot = {uniform(bits), uniform(bits)};
  }
  Plaintext plaintext(const Stream& stream) const {
    return encoder.encode(Span<const std::complex<double>>(slots), stream);
  }

  std::shared_ptr<const Context> context;
  KeyGenerator generator;
  std::shared_ptr<const SecretKey> secret;
  std::shared_ptr<const PublicKey> public_key;
  RelinearizationKey relinearization;
  GaloisKeys galois;
  Encoder encoder;
  Encryptor encryptor;
  SymmetricEncryptor symmetric;
  Decryptor decryptor;
  Evaluator evaluator;
  std::vector<std::complex<double>> slots;
};

const Fixture& fixture(int log_n, bool cuda, const Stream& stream) {
  static std::map<std::pair<int, bool>, std::unique_ptr<Fixture>> all;
  auto& one = all[{log_n, cuda}];
  if (!one) one = std::make_unique<Fixture>(log_n, stream);
  return *one;
}

template <typename Operation>
void run(benchmark::State& state, const Operation& operation) {
  const bool cuda = state.range(1) == 0;
  if (cuda && kernels::cuda_device_count() == 0) {
    state.SkipWithError("no CUDA device");
    return;
  }
  const Stream stream =
      cuda ? Stream::cuda(nullptr, 0) : Stream::cpu(static_cast<int>(state.range(1)));
  const Fixture& f = fixture(static_cast<int>(state.range(0)), cuda, stream);
  const Parameters& p = f.context->parameters();
  operation(f, stream);
  state.counters["log_qp"] = p.log_qp();
  state.counters["limbs"] = p.limbs(p.max_level());
  state.counters["special"] = p.special_prime_count();
  state.counters["dnum"] = p.dnum();
}

void BM_Encode(benchmark::State& state) {
  run(state, [&](const Fixture& f, const Stream& stream) {
    benchmarking::measure(state, stream, [&] { benchmark::DoNotOptimize(f.plaintext(stream)); });
  });
}

void BM_Decode(benchmark::State& state) {
  run(state, [&](const Fixture& f, const Stream& stream) {
    const Plaintext plaintext = f.plaintext(stream);
    std::vector<std::complex<double>> slots(f.slots.size());
    benchmarking::measure(state, stream, [&] {
      f.encoder.decode(plaintext, Span<std::complex<double>>(slots), stream);
    });
  });
}

void BM_EncryptPublicKey(benchmark::State& state) {
  run(state, [&](const Fixture& f, const Stream& stream) {
    const Plaintext plaintext = f.plaintext(stream);
    benchmarking::measure(
        state, stream, [&] { benchmark::DoNotOptimize(f.encryptor.encrypt(plaintext, stream)); });
  });
}

void BM_EncryptSymmetric(benchmark::State& state) {
  run(state, [&](const Fixture& f, const Stream& stream) {
    const Plaintext plaintext = f.plaintext(stream);
    benchmarking::measure(state, stream, [&] {
      benchmark::DoNotOptimize(f.symmetric.encrypt_seeded(plaintext, stream));
    });
  });
}

void BM_Decrypt(benchmark::State& state) {
  run(state, [&](const Fixture& f, const Stream& stream) {
    const Ciphertext a = f.encryptor.encrypt(f.plaintext(stream), stream);
    benchmarking::measure(
        state, stream, [&] { benchmark::DoNotOptimize(f.decryptor.decrypt_for_owner(a, stream)); });
  });
}

void BM_Add(benchmark::State& state) {
  run(state, [&](const Fixture& f, const Stream& stream) {
    const Ciphertext a = f.encryptor.encrypt(f.plaintext(stream), stream);
    benchmarking::measure(state, stream,
                          [&] { benchmark::DoNotOptimize(f.evaluator.add(a, a, stream)); });
  });
}

void BM_MultiplyPlain(benchmark::State& state) {
  run(state, [&](const Fixture& f, const Stream& stream) {
    const Plaintext plaintext = f.plaintext(stream);
    const Ciphertext a = f.encryptor.encrypt(plaintext, stream);
    benchmarking::measure(state, stream, [&] {
      benchmark::DoNotOptimize(f.evaluator.multiply_plain(a, plaintext, stream));
    });
  });
}

/// The product of two ciphertexts, relinearised and rescaled.
void BM_MultiplyRelinearizeRescale(benchmark::State& state) {
  run(state, [&](const Fixture& f, const Stream& stream) {
    const Ciphertext a = f.encryptor.encrypt(f.plaintext(stream), stream);
    const Ciphertext b = f.encryptor.encrypt(f.plaintext(stream), stream);
    benchmarking::measure(state, stream, [&] {
      benchmark::DoNotOptimize(f.evaluator.rescale(
          f.evaluator.relinearize(f.evaluator.multiply(a, b, stream), f.relinearization, stream),
          stream));
    });
  });
}

void BM_Rotate(benchmark::State& state) {
  run(state, [&](const Fixture& f, const Stream& stream) {
    const Ciphertext a = f.encryptor.encrypt(f.plaintext(stream), stream);
    benchmarking::measure(state, stream, [&] {
      benchmark::DoNotOptimize(f.evaluator.rotate(a, 3, f.galois, stream));
    });
  });
}

/// Eight rotations of one ciphertext; items are rotations.
void BM_RotateHoisted(benchmark::State& state) {
  run(state, [&](const Fixture& f, const Stream& stream) {
    const Ciphertext a = f.encryptor.encrypt(f.plaintext(stream), stream);
    benchmarking::measure(state, stream, [&] {
      const HoistedCiphertext hoisted = f.evaluator.hoist(a, stream);
      for (int steps = 1; steps <= 8; ++steps) {
        benchmark::DoNotOptimize(f.evaluator.rotate(hoisted, steps, f.galois, stream));
      }
    });
    state.SetItemsProcessed(state.iterations() * 8);
  });
}

/// A dense matrix of 64 slots: 64 diagonals, 14 rotations.
void BM_LinearTransform64(benchmark::State& state) {
  run(state, [&](const Fixture& f, const Stream& stream) {
    const Ciphertext a = f.encryptor.encrypt(f.plaintext(stream), stream);
    std::vector<double> matrix(64 * 64);
    std::mt19937_64 bits(2);
    std::uniform_real_distribution<double> uniform(-1.0 / 64, 1.0 / 64);
    for (double& entry : matrix) entry = uniform(bits);
    const LinearTransform transform = LinearTransform::from_matrix(
        f.encoder, kernels::MatrixView<const double>(matrix.data(), 64, 64), stream);
    const GaloisKeys keys =
        KeyGenerator(f.context).galois_keys(*f.secret, transform.rotations(), false, stream);
    benchmarking::measure(state, stream, [&] {
      benchmark::DoNotOptimize(transform.apply(f.evaluator, a, keys, stream));
    });
  });
}

void rings(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"log_n", "threads"})->UseManualTime()->Unit(benchmark::kMicrosecond);
  for (const std::int64_t threads : {1, 2, 0}) {
    if (threads == 0 && !kernels::built_with_cuda()) continue;
    for (const std::int64_t log_n : {12, 13, 14, 15, 16}) benchmark->Args({log_n, threads});
  }
}

BENCHMARK(BM_Encode)->Apply(rings);
BENCHMARK(BM_Decode)->Apply(rings);
BENCHMARK(BM_EncryptPublicKey)->Apply(rings);
BENCHMARK(BM_EncryptSymmetric)->Apply(rings);
BENCHMARK(BM_Decrypt)->Apply(rings);
BENCHMARK(BM_Add)->Apply(rings);
BENCHMARK(BM_MultiplyPlain)->Apply(rings);
BENCHMARK(BM_MultiplyRelinearizeRescale)->Apply(rings);
BENCHMARK(BM_Rotate)->Apply(rings);
BENCHMARK(BM_RotateHoisted)->Apply(rings);
BENCHMARK(BM_LinearTransform64)->Apply(rings);

}  // namespace
}  // namespace velum::he
