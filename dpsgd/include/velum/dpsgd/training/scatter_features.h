#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "velum/dpsgd/training/image_data.h"
#include "velum/dpsgd/training/training_plan.h"
#include "velum/kernels/random/key_source.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {

/// Rows done so far and rows in all. May throw to stop.
using RowProgress = std::function<void(std::int64_t, std::int64_t)>;

/// Keeps the books of what is released before the training, and what came of it, so that a run
/// that goes on uses it again instead of paying twice.
class PreparatoryReleases {
 public:
  virtual ~PreparatoryReleases() = default;
  /// What was released under this label before, if it was.
  virtual std::optional<at::Tensor> kept(const std::string& label) const = 0;
  /// Enters a release into the books, durably. Throws where it must not happen.
  virtual void announce(const PreparatoryRelease& release) = 0;
  /// Takes the result of an announced release.
  virtual void keep(const std::string& label, const at::Tensor& value) = 0;
};

/// Scattering features of images as unit rows (sqrt_to_unit_rows): a fixed map of each image.
///
/// @param cache  folder for features between runs; none: no cache.
/// @param note   told what went wrong with the cache, which is never an error.
/// @return [n, 3970] float32; the last column is for the constant feature and not yet set.
at::Tensor unit_scattering_rows(const LabelledImages& images,
                                const std::optional<std::filesystem::path>& cache,
                                const RowProgress& progress,
                                const std::function<void(const std::string&)>& note,
                                const kernels::Stream& stream);

/// What turns unit rows into the inputs of the linear model; public once it is made.
struct ScatterFeatureMap {
  at::Tensor mean;     // [3969] float32
  at::Tensor channel;  // [81, 81] float32: A_channel
  at::Tensor spatial;  // [49, 49] float32: A_spatial
};

/// Makes the map from the training features by the releases of `plan.preparation`: `private_mean`
/// and, for recipe K, `private_second_moments`. The preconditioner of recipe S is
/// `random_shapes_preconditioner`, which costs nothing.
///
/// @param rows       [n, 3970], from `unit_scattering_rows` of the training images; not changed.
/// @param key        secret; noise is drawn at purpose kPrivateMean, `key_epoch`, step 0.
ScatterFeatureMap make_scatter_feature_map(const at::Tensor& rows, const TrainingPlan& plan,
                                           PreparatoryReleases& releases,
                                           const kernels::RandomKey& key, std::uint32_t key_epoch,
                                           const kernels::Stream& stream);

/// Replaces unit rows by the inputs of the linear model, in place: A_channel (x - mean) A_spatial
/// scaled to norm 1, and the constant feature 0.3.
void apply_scatter_feature_map(const ScatterFeatureMap& map, const at::Tensor& rows,
                               const kernels::Stream& stream);

}  // namespace velum::dpsgd
