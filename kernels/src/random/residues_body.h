#pragma once

#include <cstdint>

#include "random/uniform_body.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/random/random_stream.h"

namespace velum::kernels {

/// The stream of another step and tensor: `state` is of tensor 0, and both are in range.
VELUM_HOST_DEVICE constexpr ChaCha20State state_of(ChaCha20State state, std::uint64_t step,
                                                   std::uint32_t tensor) {
  std::uint32_t* const nonce = state.words + ChaCha20State::kNonceWord;
  constexpr std::uint32_t kHighStepMask = (std::uint32_t{1} << (StreamLayout::kStepBits - 32)) - 1;
  nonce[0] |= tensor << (StreamLayout::kPurposeBits + StreamLayout::kDrawKindBits);
  nonce[1] = static_cast<std::uint32_t>(step);
  nonce[2] = (nonce[2] & ~kHighStepMask) | static_cast<std::uint32_t>(step >> 32);
  return state;
}

/// floor((u2 2^64 + u1 2^32 + u0) q / 2^96), for q < 2^32.
VELUM_HOST_DEVICE constexpr std::uint32_t residue_below(std::uint32_t q, std::uint32_t u0,
                                                        std::uint32_t u1, std::uint32_t u2) {
  std::uint64_t carry = (std::uint64_t{u0} * q) >> 32;                       // < q
  carry = (std::uint64_t{u1} * q + carry) >> 32;                             // < q
  return static_cast<std::uint32_t>((std::uint64_t{u2} * q + carry) >> 32);  // < q
}

/// Which words a residue of a 32-bit word comes from. A lane has three blocks, 48 words, for 16
/// residues: block b gives slots 5b .. 5b + 4, three words each, and its last word to slot 15.
/// Sixteen lanes form a group, which holds 256 residues: slot s of lane l is element 16 s + l.
/// Lanes of a vector, and threads of a half warp, so store side by side.
struct ResidueLayout {
  static constexpr std::int64_t kLanesPerGroup = 16;
  static constexpr std::int64_t kBlocksPerLane = 3;
  static constexpr std::int64_t kSlotsPerBlock = 5;
  static constexpr std::int64_t kSlots = 16;
  static constexpr std::int64_t kBlocksPerGroup = kLanesPerGroup * kBlocksPerLane;
  static constexpr std::int64_t kDrawsPerGroup = kLanesPerGroup * kSlots;

  /// Block b of a lane, counted from block 0 of the stream.
  VELUM_HOST_DEVICE static constexpr std::int64_t block_of(std::int64_t group, std::int64_t lane,
                                                           std::int64_t b) {
    return group * kBlocksPerGroup + b * kLanesPerGroup + lane;
  }
  VELUM_HOST_DEVICE static constexpr std::int64_t groups_of(std::int64_t degree) {
    return (degree + kDrawsPerGroup - 1) / kDrawsPerGroup;
  }
};

/// What both halves get: polynomial p of `out` has step `first_step` + p.
template <typename Word>
struct UniformResiduesTask {
  ChaCha20State state;
  std::uint64_t first_step;
  RnsView<Word> out;
  LimbIndices limbs;
  const Modulus<Word>* moduli;

  VELUM_HOST_DEVICE ChaCha20State stream(std::int64_t poly, std::int64_t limb) const {
    return state_of(state, first_step + static_cast<std::uint64_t>(poly),
                    static_cast<std::uint32_t>(limbs[limb]));
  }
};

/// The residues of one lane.
struct ResidueLaneBody {
  UniformResiduesTask<std::uint32_t> task;

  /// `to` is the limb.
  VELUM_HOST_DEVICE void fill(std::int64_t group, std::int64_t lane, const ChaCha20State& stream,
                              std::uint32_t q, std::uint32_t* to) const {
    std::uint32_t last[ResidueLayout::kBlocksPerLane];
    const auto store = [&](std::int64_t slot, std::uint32_t value) {
      const std::int64_t element =
          group * ResidueLayout::kDrawsPerGroup + slot * ResidueLayout::kLanesPerGroup + lane;
      if (element < task.out.degree) to[element] = value;
    };
    for (int b = 0; b < ResidueLayout::kBlocksPerLane; ++b) {
      const ChaCha20State block = chacha20_block(
          stream, static_cast<std::uint32_t>(ResidueLayout::block_of(group, lane, b)));
      for (int s = 0; s < ResidueLayout::kSlotsPerBlock; ++s) {
        const std::uint32_t* const u = block.words + 3 * s;
        store(ResidueLayout::kSlotsPerBlock * b + s, residue_below(q, u[0], u[1], u[2]));
      }
      last[b] = block.words[15];
    }
    store(15, residue_below(q, last[0], last[1], last[2]));
  }
};

/// Residues of 64-bit words: four of 128 bits each from a block.
struct WideResidueLayout {
  static constexpr std::int64_t kDraws = UniformLayout::kIntegersPerBlock;

  static constexpr std::int64_t blocks_of(std::int64_t degree) {
    return blocks_that_hold(0, degree, kDraws);
  }
};

}  // namespace velum::kernels
