#include "velum/dpsgd/training/scatter_features.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <stdexcept>
#include <vector>

#include "velum/dpsgd/features/feature_cache.h"
#include "velum/dpsgd/features/preconditioner.h"
#include "velum/dpsgd/features/private_moments.h"
#include "velum/dpsgd/features/scattering.h"
#include "velum/dpsgd/training/release_labels.h"
#include "velum/kernels/random/random_stream.h"

namespace velum::dpsgd {
namespace {

constexpr float kBias = 0.3f;
constexpr double kUnitRows = 1.0;           // norm bound of what sqrt_to_unit_rows leaves
constexpr double kCentredRowBound = 0.6;    // R of the second moments
constexpr std::uint32_t kMeanTensor = 0;    // of the noise
constexpr std::uint32_t kMomentTensor = 1;  // and 2

kernels::MatrixView<float> view(const at::Tensor& rows, std::int64_t columns) {
  return {rows.data_ptr<float>(), rows.size(0), columns, rows.stride(0)};
}

template <typename T>
at::Tensor to_matrix(const std::vector<T>& values, std::int64_t side) {
  const at::Tensor matrix = at::empty({side, side}, c10::CppTypeToScalarType<T>::value);
  std::copy(values.begin(), values.end(), matrix.data_ptr<T>());
  return matrix;
}

template <typename T>
std::vector<T> to_vector(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.contiguous();
  return {flat.data_ptr<T>(), flat.data_ptr<T>() + flat.numel()};
}

kernels::Span<const float> span(const at::Tensor& vector) {
  return {vector.data_ptr<float>(), vector.numel()};
}

const PreparatoryRelease& find_release(const TrainingPlan& plan, const char* label) {
  for (const PreparatoryRelease& release : plan.preparation) {
    if (release.label == label) return release;
  }
  throw std::logic_error(std::string("the plan has no release of the ") + label);
}

kernels::RandomPosition noise_position(std::uint32_t key_epoch, std::uint32_t tensor) {
  return {.purpose = kernels::Purpose::kPrivateMean, .key_epoch = key_epoch, .tensor = tensor};
}

}  // namespace

at::Tensor unit_scattering_rows(const LabelledImages& images,
                                const std::optional<std::filesystem::path>& cache,
                                const RowProgress& progress,
                                const std::function<void(const std::string&)>& note,
                                const kernels::Stream& stream) {
  const ScatteringTransform transform({.height = images.height, .width = images.width});
  const std::int64_t size = transform.output_size();
  at::Tensor rows = at::empty({images.count, size + 1}, at::kFloat);
  const ScatteringCacheResult result =
      cached_scattering(transform, images.pixels(), cache, view(rows, size), progress, stream);
  if (!result.warning.empty()) note(result.warning);
  sqrt_to_unit_rows(view(rows, size), stream);
  return rows;
}

ScatterFeatureMap make_scatter_feature_map(const at::Tensor& rows, const TrainingPlan& plan,
                                           PreparatoryReleases& releases,
                                           const kernels::RandomKey& key, std::uint32_t key_epoch,
                                           const kernels::Stream& stream) {
  const ScatteringTransform transform({});
  const std::int64_t size = transform.output_size();
  const std::int64_t channels = transform.channels();
  const std::int64_t positions = size / channels;

  ScatterFeatureMap map;
  if (const auto mean = releases.kept(kMeanLabel)) {
    map.mean = *mean;
  } else {
    const PreparatoryRelease& release = find_release(plan, kMeanLabel);
    releases.announce(release);
    map.mean = at::empty({size}, at::kFloat);
    private_mean(view(rows, size), kUnitRows, release.noise_multiplier, plan.dataset_size, key,
                 noise_position(key_epoch, kMeanTensor), {map.mean.data_ptr<float>(), size},
                 stream);
    releases.keep(kMeanLabel, map.mean);
  }

  Preconditioner preconditioner;
  const PreconditionerOptions options{.floor = plan.moment_floor};
  if (plan.recipe == FeatureRecipe::kShapes) {
    preconditioner = random_shapes_preconditioner(transform, options, stream);
  } else {
    SecondMoments moments{channels, positions, {}, {}};
    const auto channel = releases.kept(kChannelMomentLabel);
    const auto spatial = releases.kept(kSpatialMomentLabel);
    if (channel && spatial) {
      moments.channel = to_vector<double>(*channel);
      moments.spatial = to_vector<double>(*spatial);
    } else {
      const PreparatoryRelease& of_channels = find_release(plan, kChannelMomentLabel);
      const PreparatoryRelease& of_positions = find_release(plan, kSpatialMomentLabel);
      releases.announce(of_channels);
      releases.announce(of_positions);
      moments = private_second_moments(
          view(rows, size), span(map.mean), channels, positions,
          {kCentredRowBound, of_channels.noise_multiplier, of_positions.noise_multiplier}, key,
          noise_position(key_epoch, kMomentTensor), stream);
      releases.keep(kChannelMomentLabel, to_matrix(moments.channel, channels));
      releases.keep(kSpatialMomentLabel, to_matrix(moments.spatial, positions));
    }
    preconditioner = make_preconditioner(moments, options);
  }
  map.channel = to_matrix(preconditioner.channel, channels);
  map.spatial = to_matrix(preconditioner.spatial, positions);
  return map;
}

void apply_scatter_feature_map(const ScatterFeatureMap& map, const at::Tensor& rows,
                               const kernels::Stream& stream) {
  const Preconditioner preconditioner{map.channel.size(0), map.spatial.size(0),
                                      to_vector<float>(map.channel), to_vector<float>(map.spatial)};
  precondition_rows(view(rows, rows.size(1)), span(map.mean), preconditioner, kBias, stream);
}

}  // namespace velum::dpsgd
