#pragma once

#include <cstdint>
#include <vector>

#include "velum/kernels/buffer.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// What a transform needs of one prime beside its powers of the root. Plain data, read by both
/// compilers.
template <typename Word>
struct NttConstants {
  Modulus<Word> modulus;
  ShoupFactor<Word> inverse_degree;       ///< N^-1
  ShoupFactor<Word> inverse_degree_root;  ///< N^-1 psi^(-N/2): the other half of the last stage
};

/// The tables of one backend as operations of kernels read them; a value that fits the parameters
/// of a kernel. Where the power of each butterfly stands is said in kernels/src/polynomial/
/// ntt_body.h; the layout is the same on every backend and every SIMD target.
template <typename Word>
struct NttTablesView {
  int log_n = 0;
  const NttConstants<Word>* constants = nullptr;  ///< [primes]
  const Word* forward = nullptr;  ///< [primes, 2 N]: powers of psi, with their quotients
  const Word* inverse = nullptr;  ///< [primes, 2 N]: powers of psi^-1, likewise
};

/// The powers of the roots of unity for negacyclic number-theoretic transforms of N = 2^log_n
/// coefficients modulo each prime of a chain, in the memory of one backend: 16 N bytes a prime for
/// 32-bit words, 32 N for 64-bit ones. Immutable.
template <typename Word>
class NttTables {
 public:
  static constexpr int kMinLogN = 1;
  static constexpr int kMaxLogN = 17;

  /// @param log_n   1 to 17.
  /// @param primes  pairwise different primes, 1 modulo 2 N, as `make_modulus` takes them, at most
  ///                LimbIndices::kMaxLimbs.
  /// @param stream  whose memory holds the tables; the constructor waits for the copy.
  /// @throws std::invalid_argument if a number is none of these; CudaError.
  NttTables(int log_n, const std::vector<Word>& primes, const Stream& stream);

  int log_n() const { return log_n_; }
  std::int64_t degree() const { return std::int64_t{1} << log_n_; }
  const ModulusChain<Word>& moduli() const { return moduli_; }
  Backend backend() const { return moduli_.backend(); }

  /// psi: the smallest primitive 2N-th root of unity modulo prime `index` of the chain.
  /// @throws std::out_of_range if there is no such prime.
  Word root(int index) const { return roots_.at(static_cast<std::size_t>(index)); }

  /// For operations of kernels.
  NttTablesView<Word> view() const {
    return {log_n_, constants_.data(), forward_.data(), inverse_.data()};
  }

 private:
  int log_n_;
  ModulusChain<Word> moduli_;
  std::vector<Word> roots_;
  Buffer<NttConstants<Word>> constants_;
  Buffer<Word> forward_;
  Buffer<Word> inverse_;
};

extern template class NttTables<std::uint32_t>;
extern template class NttTables<std::uint64_t>;

/// Whether `value` is prime: Miller-Rabin with the bases 2, 3, ..., 37, which is a proof for every
/// 64-bit number (Sorenson and Webster, Strong Pseudoprimes to Twelve Prime Bases, 2015).
bool is_prime(std::uint64_t value);

/// The `count` largest primes of exactly `bits` bits that are 1 modulo 2 N, N = 2^log_n, and not in
/// `excluded`; descending.
/// @param bits   3 to 30 (32-bit words) or 61 (64-bit words).
/// @param log_n  1 to 17.
/// @param count  0 to LimbIndices::kMaxLimbs.
/// @throws std::invalid_argument if a number is out of range or there are fewer such primes.
template <typename Word>
std::vector<Word> find_ntt_primes(int bits, int log_n, int count,
                                  const std::vector<Word>& excluded = {});

extern template std::vector<std::uint32_t> find_ntt_primes(int, int, int,
                                                           const std::vector<std::uint32_t>&);
extern template std::vector<std::uint64_t> find_ntt_primes(int, int, int,
                                                           const std::vector<std::uint64_t>&);

}  // namespace velum::kernels
