#pragma once

#include <cstdint>

#include "velum/kernels/random/chacha20.h"
#include "velum/kernels/random/key_source.h"

namespace velum::kernels {

/// What a draw is for. Streams of different purposes never meet. The numbers are part of the
/// layout below: append, never renumber. At most 63.
enum class Purpose : std::uint8_t {
  kGradientNoise = 1,
  kPoissonSampling = 2,
  kPrivateMean = 3,
  kSelfCheck = 4,
  kDataAugmentation = 5,
  kModelInitialization = 6,
  kHeSecretKey = 7,     ///< Of homomorphic encryption: secret keys,
  kHeUniform = 8,       ///< public uniform polynomials,
  kHeError = 9,         ///< errors,
  kHeTernary = 10,      ///< the ephemeral keys of encryptions,
  kHeFlooding = 11,     ///< what hides the noise of a result.
  kClippingCount = 12,  ///< Of DP-SGD: the number of unclipped gradients,
  kUserSamples = 13,    ///< which samples of a user take part.
  kIntegerNoise = 14,   ///< Of sums over clients: shares of integer noise,
  kRounding = 15,       ///< the rounding of values to integers.
  kLazyNoise = 16,      ///< Of DP-SGD: what rows of a lazy table lack of earlier steps.
  kTest = 63,
};

/// Where in a key's random stream a tensor of draws lies. Two positions that differ in any field
/// share no keystream block: their draws are independent as far as ChaCha20 is pseudorandom. The
/// same position twice gives the same draws: whoever releases noise uses each position once.
struct RandomPosition {
  Purpose purpose = Purpose::kTest;
  std::uint32_t key_epoch = 0;  ///< Counts the runs under one key: a resumed run takes the next.
  std::uint64_t step = 0;       ///< The training step.
  std::uint32_t tensor = 0;     ///< The tensor within the step.

  friend constexpr bool operator==(const RandomPosition&, const RandomPosition&) = default;
};

/// What the keystream is turned into. Part of the layout, so that two kinds of draws at one
/// position share no block either. Residues are integers; of small polynomials, the ternary are
/// bits, those of a discrete Gaussian Gaussian, those of fixed weight a selection.
enum class DrawKind : std::uint8_t { kBits = 0, kGaussian = 1, kInteger = 2, kSelection = 3 };

/// The layout of a position in ChaCha20's counter and nonce:
///
///   word 12   bits  0-31  block counter: set by the element (see the operation's own page)
///   word 13   bits  0-5   purpose       6 bits
///             bits  6-7   draw kind     2 bits
///             bits  8-31  tensor       24 bits
///   word 14   bits  0-31  step         bits 0-31 of 44
///   word 15   bits  0-11  step         bits 32-43 of 44
///             bits 12-31  key epoch    20 bits
///
/// The fields fill the nonce exactly and do not overlap: the map is a bijection between positions
/// in range and nonces. A value out of range is an error; nothing wraps.
struct StreamLayout {
  static constexpr int kPurposeBits = 6;
  static constexpr int kDrawKindBits = 2;
  static constexpr int kTensorBits = 24;
  static constexpr int kStepBits = 44;
  static constexpr int kKeyEpochBits = 20;
  static constexpr std::uint32_t kMaxTensor = (std::uint32_t{1} << kTensorBits) - 1;
  static constexpr std::uint64_t kMaxStep = (std::uint64_t{1} << kStepBits) - 1;
  static constexpr std::uint32_t kMaxKeyEpoch = (std::uint32_t{1} << kKeyEpochBits) - 1;
  static constexpr std::int64_t kMaxBlocks = std::int64_t{1} << 32;
  /// The last block of a stream of kind kInteger. No draw reads it: its first eight words key the
  /// substreams of draws that need no fixed number of bits.
  static constexpr std::uint32_t kSubstreamKeyBlock = ~std::uint32_t{0};
  static_assert(kPurposeBits + kDrawKindBits + kTensorBits + kStepBits + kKeyEpochBits == 96);
};

/// The 96-bit nonce of a position.
struct StreamNonce {
  std::uint32_t words[3];
  friend constexpr bool operator==(const StreamNonce&, const StreamNonce&) = default;
};

/// @throws std::out_of_range if a field does not fit its width; the text names field and range.
StreamNonce pack_position(const RandomPosition& position, DrawKind kind);

/// The inverse of `pack_position`.
struct UnpackedPosition {
  RandomPosition position;
  DrawKind kind;
};
UnpackedPosition unpack_position(const StreamNonce& nonce);

/// The ChaCha20 state of block 0 of a stream.
/// @throws std::out_of_range as `pack_position`.
ChaCha20State stream_state(const RandomKey& key, const RandomPosition& position, DrawKind kind);

}  // namespace velum::kernels
