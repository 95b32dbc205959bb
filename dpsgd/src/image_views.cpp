#include "velum/dpsgd/image_views.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/where.h>

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "velum/kernels/random/random_stream.h"
#include "velum/kernels/random/uniform.h"
#include "velum/kernels/stream.h"

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kMaxCount = 1024;
constexpr std::int64_t kMaxShift = 1024;

[[noreturn]] void refuse(const std::string& text) {
  throw std::invalid_argument("ImageViews: " + text);
}

/// floor(bits * (2 * max_shift + 1) / 2^31), of 31 bits: each offset has its share up to 2^-20.
std::int64_t offset(std::uint64_t bits, std::int64_t max_shift) {
  constexpr std::uint64_t kMask = (std::uint64_t{1} << 31) - 1;
  const auto offsets = static_cast<std::uint64_t>(2 * max_shift + 1);
  return static_cast<std::int64_t>(((bits & kMask) * offsets) >> 31);
}

}  // namespace

ImageViews::ImageViews(const Options& options, const kernels::RandomKey& key,
                       std::uint32_t key_epoch)
    : options_(options), key_(key), key_epoch_(key_epoch) {
  if (options.count < 1 || options.count > kMaxCount) {
    refuse("count = " + std::to_string(options.count) + ", expected 1 to " +
           std::to_string(kMaxCount));
  }
  if (options.max_shift < 0 || options.max_shift > kMaxShift) {
    refuse("max_shift = " + std::to_string(options.max_shift) + ", expected 0 to " +
           std::to_string(kMaxShift));
  }
}

at::Tensor ImageViews::operator()(const at::Tensor& images, c10::ArrayRef<std::int64_t> indices,
                                  std::int64_t step) const {
  if (!images.defined() || images.dim() < 3) {
    refuse("images has " + std::to_string(images.defined() ? images.dim() : 0) +
           " dimensions, expected [b, ..., height, width]");
  }
  const auto batch = static_cast<std::int64_t>(indices.size());
  if (images.size(0) != batch) {
    refuse("images.size(0) = " + std::to_string(images.size(0)) +
           ", expected indices.size() = " + std::to_string(batch));
  }
  if (step < 0) {
    throw std::out_of_range("ImageViews: step = " + std::to_string(step) + ", expected >= 0");
  }
  const std::int64_t count = options_.count, shift = options_.max_shift, rows = batch * count;
  const std::int64_t height = images.size(-2), width = images.size(-1);

  const at::TensorOptions on_cpu = at::TensorOptions().dtype(at::kLong);
  const at::Tensor down = at::empty({rows, 1}, on_cpu), right = at::empty({rows, 1}, on_cpu);
  const at::Tensor mirrored = at::empty({rows, 1}, on_cpu.dtype(at::kBool));
  std::vector<std::uint64_t> bits(static_cast<std::size_t>(count));
  const kernels::RandomPosition position{kernels::Purpose::kDataAugmentation, key_epoch_,
                                         static_cast<std::uint64_t>(step), 0};
  for (std::int64_t i = 0; i < batch; ++i) {
    const std::int64_t index = indices[static_cast<std::size_t>(i)];
    if (index < 0 || index >= (std::int64_t{1} << 35) / count) {
      throw std::out_of_range("ImageViews: indices[" + std::to_string(i) +
                              "] = " + std::to_string(index) + ", expected 0 to 2^35 / count - 1");
    }
    kernels::uniform_bits_fill(kernels::Span<std::uint64_t>(bits.data(), count), key_, position,
                               index * count, kernels::Stream::cpu(1));
    for (std::int64_t view = 0; view < count; ++view) {
      const std::uint64_t draw = bits[static_cast<std::size_t>(view)];
      const std::int64_t row = i * count + view;
      down.data_ptr<std::int64_t>()[row] = offset(draw, shift);
      right.data_ptr<std::int64_t>()[row] = offset(draw >> 31, shift);
      mirrored.data_ptr<bool>()[row] = options_.mirror && (draw >> 62 & 1) != 0;
    }
  }

  // From where in the padded image each pixel comes: [rows, height * width].
  const at::TensorOptions long_on_device = on_cpu.device(images.device());
  const std::int64_t stride = width + 2 * shift;
  const at::Tensor pixel = at::arange(height * width, long_on_device).unsqueeze(0);
  const at::Tensor row = pixel.div(width, "floor"), column = pixel.sub(row.mul(width));
  const auto moved = [&](const at::Tensor& draws) { return draws.to(images.device()); };
  const at::Tensor source_column =
      at::where(moved(mirrored), column.neg().add(width - 1), column).add(moved(right));
  const at::Tensor from = row.add(moved(down)).mul(stride).add(source_column);

  const at::Tensor padded =
      at::constant_pad_nd(images, {shift, shift, shift, shift}, options_.fill);
  const std::int64_t channels =
      c10::multiply_integers(images.sizes().slice(1, static_cast<std::size_t>(images.dim()) - 3));
  const std::int64_t padded_pixels = padded.size(-1) * padded.size(-2);
  const at::Tensor sources = padded.reshape({batch, 1, channels, padded_pixels})
                                 .expand({batch, count, channels, padded_pixels});
  const at::Tensor places =
      from.view({batch, count, 1, height * width}).expand({batch, count, channels, height * width});
  std::vector<std::int64_t> sizes = images.sizes().vec();
  sizes.front() = rows;
  return at::gather(sources, 3, places).view(sizes);
}

at::Tensor ImageViews::repeat(const at::Tensor& targets) const {
  if (!targets.defined() || targets.dim() < 1)
    refuse("targets has no dimension, expected [b, ...]");
  return targets.repeat_interleave(options_.count, 0);
}

at::Tensor ImageViews::mean(const at::Tensor& losses) const {
  if (!losses.defined() || losses.dim() != 1 || losses.numel() % options_.count != 0) {
    std::ostringstream text;
    text << "losses is not of sizes [b * " << options_.count
         << "], one loss per view; compute it with reduction none";
    refuse(text.str());
  }
  return losses.view({-1, options_.count}).mean(1);
}

}  // namespace velum::dpsgd
