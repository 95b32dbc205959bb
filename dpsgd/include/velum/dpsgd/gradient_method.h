#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace velum::dpsgd {

/// How the norms of a use's per-sample gradients are taken. Each is exact up to its rounding
/// (docs/numerics.md); they differ in time and memory.
/// Papers: arXiv 2210.00038, section 3 (book-keeping); arXiv 2205.10683 (mixed ghost clipping).
enum class GradientMethod {
  kOuterProduct,    ///< one row per sample: |a|^2 |g|^2, nothing is computed for it
  kGram,            ///< products of the rows of different steps, in float64
  kTiles,           ///< each sample's gradient in cache, squared and discarded
  kKept,            ///< each sample's gradient, kept for the weighted sum
  kSegments,        ///< of a lookup: the rows of each index of a sample, added and squared
  kAtHand,          ///< the per-sample gradients are small and there
  kSampleBackward,  ///< the node's own backward, once per sample (`allow_slow_rules`)
};

/// "outer product", "gram", "tiles", "kept", "segments", "at hand", "sample backward".
std::string to_text(GradientMethod method);
/// The same read back.
/// @throws std::invalid_argument for any other text, naming those above.
GradientMethod gradient_method(const std::string& text);

/// By index of a parameter: the method for all of its uses, in place of the cheapest one.
using MethodOverrides = std::map<std::size_t, GradientMethod>;

}  // namespace velum::dpsgd
