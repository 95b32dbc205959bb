#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "velum/dpsgd/features/scattering.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {

/// Where features are kept between runs: $XDG_CACHE_HOME/velum, else ~/.cache/velum; nothing if the
/// environment names neither.
std::optional<std::filesystem::path> default_cache_directory();

struct ScatteringCacheResult {
  bool from_cache = false;
  std::filesystem::path file;  // read or written; empty without a cache
  std::string warning;  // the cache was damaged or could not be written; the features are right
};

/// Scattering features of byte images, from the disk cache where it has them.
///
/// A cache file is named by the SHA-256 of the images, the options of the transform and the version
/// of the format, is written under another name and renamed when complete, and carries a digest of
/// its contents that is verified before it is used. A file that fails is computed again and
/// replaced. The cache holds features of the training data in the clear: it is as private as the
/// data, and is created readable by its owner only.
///
/// @param images     [n, transform.image_size()].
/// @param directory  of the cache; created if missing; none: no cache.
/// @param out        [n, transform.output_size()] (rows may be further apart); overwritten.
/// @param progress   called on the calling thread with rows done so far and n; may be empty.
/// @throws std::invalid_argument if shapes differ or the stream is not the CPU's. Trouble with the
///         cache is never an error: it is reported in `warning`.
ScatteringCacheResult cached_scattering(
    const ScatteringTransform& transform, kernels::MatrixView<const std::uint8_t> images,
    const std::optional<std::filesystem::path>& directory, kernels::MatrixView<float> out,
    const std::function<void(std::int64_t, std::int64_t)>& progress, const kernels::Stream& stream);

}  // namespace velum::dpsgd
