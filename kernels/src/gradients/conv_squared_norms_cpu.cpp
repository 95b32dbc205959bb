#include "gradients/conv_squared_norms_halves.h"
#include "gradients/product_cpu.h"

namespace velum::kernels {
namespace {

template <typename T>
struct ConvOperands {
  const ConvProducts<T>& products;

  void stage_outputs(std::int64_t sample, std::int64_t group, std::int64_t first_step,
                     std::int64_t depth, std::int64_t first, std::int64_t count, double* to) const {
    const T* const grads = products.grads_of(sample, group) + first * products.grads_channel_stride;
    for (std::int64_t k = 0; k < depth; ++k) {
      std::int64_t offset = 0;
      products.origin(first_step + k, offset);
      for (std::int64_t o = 0; o < count; ++o) {
        to[k * cpu::kTileOutputs + o] =
            static_cast<double>(grads[offset + o * products.grads_channel_stride]);
      }
    }
  }
  void stage_features(std::int64_t sample, std::int64_t group, std::int64_t first_step,
                      std::int64_t depth, std::int64_t first, std::int64_t count,
                      double* to) const {
    KernelElement elements[cpu::kTileFeatures];
    for (std::int64_t f = 0; f < count; ++f) elements[f] = products.element(first + f);
    const T* const images = products.input_of(sample, group);
    for (std::int64_t k = 0; k < depth; ++k) {
      std::int64_t offset = 0;
      const KernelOrigin origin = products.origin(first_step + k, offset);
      for (std::int64_t f = 0; f < count; ++f) {
        to[k * cpu::kTileFeatures + f] =
            static_cast<double>(products.input_at(images, origin, elements[f]));
      }
    }
  }
};

}  // namespace

template <typename T>
void conv_squared_norms_cpu(const ConvNormsTask<T>& task, const Stream& stream) {
  const ConvOperands<T> operands{task.products};
  cpu::for_each_sample(
      task.products.sizes.batch,
      [&](std::int64_t sample, cpu::TileMemory& memory) {
        task.squared_norms[sample] =
            cpu::product_squared_norm(operands, task.products.sizes, sample, memory);
      },
      stream);
}

template void conv_squared_norms_cpu(const ConvNormsTask<float>&, const Stream&);
template void conv_squared_norms_cpu(const ConvNormsTask<double>&, const Stream&);

}  // namespace velum::kernels
