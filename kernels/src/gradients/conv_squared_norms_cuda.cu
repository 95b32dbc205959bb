#include "gradients/conv_squared_norms_halves.h"
#include "gradients/product_tile.cuh"

namespace velum::kernels {
namespace {

/// A warp stores eight neighbouring positions (32 bytes of floats where positions are neighbours in
/// memory) of four columns; see padded().
constexpr int kColsOfWarp = 4;
constexpr int kStepsOfWarp = 8;

template <typename T>
struct ConvOperands {
  using Element = T;
  struct Shared {
    KernelElement elements[WideTile::kFeatures];
    KernelOrigin origins[kTileDepth];
    std::int64_t grads_offsets[kTileDepth];
  };
  static_assert(NarrowTile::kFeatures <= WideTile::kFeatures);

  ConvProducts<T> products;

  __device__ void begin_tile(Shared& shared, const TileItem& item) const {
    const int feature = static_cast<int>(threadIdx.x);
    if (feature < item.features) {
      shared.elements[feature] = products.element(item.first_feature + feature);
    }
  }
  __device__ void begin_chunk(Shared& shared, std::int64_t first_step, int count) const {
    const int step = static_cast<int>(threadIdx.x);
    if (step < count) {
      shared.origins[step] = products.origin(first_step + step, shared.grads_offsets[step]);
    }
  }
  template <typename Shape>
  __device__ void stage(const Shared& shared, const TileItem& item, std::int64_t /*first_step*/,
                        int count, T* outputs, T* features) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int first_col = warp * kColsOfWarp + lane % kColsOfWarp;
    const int first_row = lane / kColsOfWarp;
    constexpr int kColStep = Shape::kThreads / 32 * kColsOfWarp;
    const T* const grads = products.grads_of(item.sample, item.group) +
                           item.first_output * products.grads_channel_stride;
    for (int col = first_col; col < Shape::kOutputs; col += kColStep) {
      for (int row = first_row; row < count; row += kStepsOfWarp) {
        outputs[row * Shape::kOutputsStride + col] =
            col < item.outputs
                ? grads[col * products.grads_channel_stride + shared.grads_offsets[row]]
                : T(0);
      }
    }
    const T* const images = products.input_of(item.sample, item.group);
    for (int col = first_col; col < Shape::kFeatures; col += kColStep) {
      for (int row = first_row; row < count; row += kStepsOfWarp) {
        features[row * Shape::kFeaturesStride + col] =
            col < item.features
                ? products.input_at(images, shared.origins[row], shared.elements[col])
                : T(0);
      }
    }
  }
};

}  // namespace

std::int64_t conv_workspace_size_cuda(const ProductSizes& sizes) {
  return product_workspace_size_cuda(sizes);
}

template <typename T>
void conv_squared_norms_cuda(const ConvNormsTask<T>& task, const Stream& stream) {
  product_squared_norms(ConvOperands<T>{task.products}, task.products.sizes, task.squared_norms,
                        task.workspace, stream);
}

template void conv_squared_norms_cuda(const ConvNormsTask<float>&, const Stream&);
template void conv_squared_norms_cuda(const ConvNormsTask<double>&, const Stream&);

}  // namespace velum::kernels
