#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

#include "reference/negacyclic.h"
#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "velum/kernels/polynomial/ntt_tables.h"
#include "velum/kernels/polynomial/rns_view.h"

namespace velum::testing {

using kernels::LimbIndices;
using kernels::NttTables;
using kernels::RnsView;
using reference::Residues;

/// Calls `body(Word())` for both words.
template <typename Body>
void for_each_word(const Body& body) {
  {
    SCOPED_TRACE("32-bit words");
    body(std::uint32_t{});
  }
  {
    SCOPED_TRACE("64-bit words");
    body(std::uint64_t{});
  }
}

/// The smallest prime that is 1 modulo 2^(log_n + 1) and a modulus of velum's, by trial division.
inline std::uint64_t smallest_ntt_prime(int log_n) {
  std::uint64_t value = (std::uint64_t{2} << log_n) + 1;
  while (value <= 4 || !reference::is_prime(value)) value += std::uint64_t{2} << log_n;
  return value;
}

/// The smallest prime, the largest two and one of 20 bits and more.
template <typename Word>
std::vector<Word> test_primes(int log_n) {
  std::vector<Word> primes =
      kernels::find_ntt_primes<Word>(kernels::WordTraits<Word>::kModulusBits, log_n, 2);
  primes.push_back(static_cast<Word>(smallest_ntt_prime(log_n)));
  primes.push_back(kernels::find_ntt_primes<Word>(24, log_n, 1).front());
  return primes;
}

inline Residues random_residues(std::int64_t n, std::uint64_t q, std::mt19937_64& random) {
  std::uniform_int_distribution<std::uint64_t> residue(0, q - 1);
  Residues values(static_cast<std::size_t>(n));
  for (std::uint64_t& value : values) value = residue(random);
  return values;
}

/// Polynomials in the memory of a backend, between margins; `gap` words that no limb owns follow
/// each polynomial.
template <typename Word>
class Polynomials {
 public:
  /// `limbs` of each polynomial in turn.
  Polynomials(const std::vector<Residues>& limbs, std::int64_t polys, const Stream& stream,
              std::int64_t gap = 0)
      : polys_(polys),
        limbs_(static_cast<std::int64_t>(limbs.size()) / polys),
        degree_(static_cast<std::int64_t>(limbs.front().size())),
        gap_(gap),
        buffer_(flat(limbs), stream) {}
  /// Not written yet.
  Polynomials(std::int64_t polys, std::int64_t limbs, std::int64_t degree, const Stream& stream)
      : polys_(polys),
        limbs_(limbs),
        degree_(degree),
        gap_(0),
        buffer_(polys * limbs * degree, stream) {}

  RnsView<Word> view() const {
    return {buffer_.span().data(), polys_, limbs_, degree_, limbs_ * degree_ + gap_};
  }
  /// The limbs of each polynomial in turn; checks that nothing else was written.
  std::vector<Residues> limbs() const {
    EXPECT_TRUE(buffer_.margins_are_intact());
    const std::vector<Word> words = buffer_.to_host();
    std::vector<Residues> limbs;
    auto at = words.begin();
    for (std::int64_t poly = 0; poly < polys_; ++poly) {
      for (std::int64_t limb = 0; limb < limbs_; ++limb, at += degree_) {
        limbs.emplace_back(at, at + degree_);
      }
      for (std::int64_t i = 0; i < gap_; ++i, ++at) EXPECT_EQ(*at, kGap);
    }
    return limbs;
  }

 private:
  static constexpr Word kGap = static_cast<Word>(0xFACADEull);

  std::vector<Word> flat(const std::vector<Residues>& limbs) const {
    std::vector<Word> words;
    for (std::size_t i = 0; i < limbs.size(); ++i) {
      for (const std::uint64_t value : limbs[i]) words.push_back(static_cast<Word>(value));
      if ((static_cast<std::int64_t>(i) + 1) % limbs_ == 0) {
        words.insert(words.end(), static_cast<std::size_t>(gap_), kGap);
      }
    }
    return words;
  }

  std::int64_t polys_;
  std::int64_t limbs_;
  std::int64_t degree_;
  std::int64_t gap_;
  GuardedBuffer<Word> buffer_;
};

}  // namespace velum::testing
