#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/every_backend.h"
#include "support/guarded_buffer.h"
#include "support/sha256.h"
#include "support/simd_targets.h"
#include "velum/kernels/polynomial/modulus_chain.h"
#include "velum/kernels/polynomial/rns_view.h"

namespace velum::testing {

using kernels::LimbIndices;
using kernels::ModulusChain;
using kernels::RnsView;

__extension__ typedef unsigned __int128 UInt128;

/// Primes 1 modulo 2^18, as in reference/rns_answers.py.
template <typename Word>
std::vector<Word> ntt_moduli() {
  if constexpr (sizeof(Word) == sizeof(std::uint32_t)) {
    return {1073479681, 1068236801, 1062469633, 786433, 1056440321, 536608769, 7340033, 1056178177};
  } else {
    return {2305843009211596801u, 2305843009210023937u, 35184365273089u, 1073479681u,
            2305843009208713217u, 2305843009202159617u, 786433u,         35184350330881u};
  }
}

/// The smallest and the largest that there may be, and some between; coprime.
template <typename Word>
std::vector<Word> odd_moduli() {
  if constexpr (sizeof(Word) == sizeof(std::uint32_t)) {
    return {1073741823, 5, 1073741789, 536608769, 13, 1073479681, 65537, 1068236801};
  } else {
    return {2305843009213693951u,
            5,
            2305843009211596801u,
            1073741789u,
            65537,
            536608769,
            35184365273089u,
            2305843009210023937u};
  }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
class SplitMix {
 public:
  explicit SplitMix(std::uint64_t seed) : state_(seed) {}
  std::uint64_t operator()() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

/// Polynomials on the host; between them, where the stride is not tight, a pattern that no
/// operation may read or write.
template <typename Word>
struct HostRns {
  HostRns(std::int64_t polys_, std::int64_t limbs_, std::int64_t degree_, std::int64_t gap_ = 0)
      : polys(polys_),
        limbs(limbs_),
        degree(degree_),
        stride(limbs_ * degree_ + gap_),
        words(static_cast<std::size_t>(polys_ == 0 ? 0 : (polys_ - 1) * stride + limbs_ * degree_),
              kGap) {}

  Word& at(std::int64_t poly, std::int64_t limb, std::int64_t i) {
    return words[static_cast<std::size_t>(poly * stride + limb * degree + i)];
  }
  Word at(std::int64_t poly, std::int64_t limb, std::int64_t i) const {
    return words[static_cast<std::size_t>(poly * stride + limb * degree + i)];
  }

  /// Calls `body(poly, limb, i)` for every coefficient.
  void for_each(const std::function<void(std::int64_t, std::int64_t, std::int64_t)>& body) const {
    for (std::int64_t poly = 0; poly < polys; ++poly) {
      for (std::int64_t limb = 0; limb < limbs; ++limb) {
        for (std::int64_t i = 0; i < degree; ++i) body(poly, limb, i);
      }
    }
  }
  /// The coefficients alone, without gaps.
  std::vector<Word> tight() const {
    std::vector<Word> values;
    for_each([&](auto poly, auto limb, auto i) { values.push_back(at(poly, limb, i)); });
    return values;
  }

  static constexpr Word kGap = static_cast<Word>(0xA5A5A5A5A5A5A5A5u);
  std::int64_t polys, limbs, degree, stride;
  std::vector<Word> words;
};

/// The moduli of the limbs.
template <typename Word>
std::vector<Word> moduli_of(const LimbIndices& limbs, const std::vector<Word>& chain) {
  std::vector<Word> moduli;
  for (int i = 0; i < limbs.count; ++i) moduli.push_back(chain[static_cast<std::size_t>(limbs[i])]);
  return moduli;
}

/// Uniform residues, as rns_answers.py makes them.
template <typename Word>
void fill_uniform(HostRns<Word>& values, const std::vector<Word>& moduli, std::uint64_t seed) {
  SplitMix random(seed);
  values.for_each([&](auto poly, auto limb, auto i) {
    values.at(poly, limb, i) = static_cast<Word>(random() % moduli[static_cast<std::size_t>(limb)]);
  });
}

/// Residues of which a third are 0, 1, q - 2 or q - 1.
template <typename Word>
HostRns<Word> random_residues(std::int64_t polys, const std::vector<Word>& moduli,
                              std::int64_t degree, std::uint64_t seed, std::int64_t gap = 0) {
  HostRns<Word> values(polys, static_cast<std::int64_t>(moduli.size()), degree, gap);
  SplitMix random(seed);
  values.for_each([&](auto poly, auto limb, auto i) {
    const Word q = moduli[static_cast<std::size_t>(limb)];
    const Word borders[] = {0, 1, q - 2, q - 1};
    const std::uint64_t choice = random() % 12;
    values.at(poly, limb, i) = choice < 4 ? borders[choice] : static_cast<Word>(random() % q);
  });
  return values;
}

/// The same in memory of the stream's backend.
template <typename Word>
class DeviceRns {
 public:
  DeviceRns(const HostRns<Word>& values, const Stream& stream)
      : shape_(values), memory_(values.words, stream) {}

  RnsView<Word> view() const {
    return {memory_.span().data(), shape_.polys, shape_.limbs, shape_.degree, shape_.stride};
  }
  HostRns<Word> to_host() const {
    HostRns<Word> values = shape_;
    values.words = memory_.to_host();
    return values;
  }
  /// Words outside the limbs are as they were.
  ::testing::AssertionResult is_intact_outside() const {
    const HostRns<Word> values = to_host();
    for (std::int64_t poly = 0; poly + 1 < values.polys; ++poly) {
      for (std::int64_t i = values.limbs * values.degree; i < values.stride; ++i) {
        if (values.words[static_cast<std::size_t>(poly * values.stride + i)] !=
            HostRns<Word>::kGap) {
          return ::testing::AssertionFailure()
                 << "word " << i << " after polynomial " << poly << " was overwritten";
        }
      }
    }
    return memory_.margins_are_intact();
  }

 private:
  HostRns<Word> shape_;
  GuardedBuffer<Word> memory_;
};

/// Limb after limb, coefficient after coefficient.
template <typename Word>
void expect_equal(const HostRns<Word>& actual, const HostRns<Word>& expected,
                  const std::string& what) {
  ASSERT_EQ(actual.polys, expected.polys);
  ASSERT_EQ(actual.limbs, expected.limbs);
  ASSERT_EQ(actual.degree, expected.degree);
  int shown = 0;
  expected.for_each([&](auto poly, auto limb, auto i) {
    if (actual.at(poly, limb, i) != expected.at(poly, limb, i) && shown++ < 3) {
      ADD_FAILURE() << what << ": polynomial " << poly << " limb " << limb << " coefficient " << i
                    << " is " << actual.at(poly, limb, i) << ", expected "
                    << expected.at(poly, limb, i);
    }
  });
  if (shown > 3) ADD_FAILURE() << what << ": " << shown << " coefficients differ";
}

/// The text of the std::invalid_argument that `call` throws; "nothing thrown" otherwise.
template <typename Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "nothing thrown";
}

/// Every degree on the CPU; an emulated device would take minutes for the large ones.
inline std::vector<std::int64_t> degrees(Backend backend) {
  if (backend == Backend::kCuda) return {2, 4, 8, 32, 256, 1024};
  return {2, 4, 8, 16, 32, 64, 128, 1024, 8192, 131072};
}

}  // namespace velum::testing
