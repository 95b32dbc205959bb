#include "velum/dpsgd/torch_bridge.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "torch_bridge_cuda.h"

namespace velum::dpsgd {
namespace {

class TorchFor final : public kernels::ParallelFor {
 public:
  int thread_count() const override { return at::get_num_threads(); }
  void run(std::int64_t count, std::int64_t grain,
           const std::function<void(std::int64_t, std::int64_t)>& body) override {
    if (count <= 0) return;
    grain = std::max<std::int64_t>(grain, 1);
    // Ranges are cut at multiples of the grain, as ParallelFor promises.
    at::parallel_for(0, (count + grain - 1) / grain, 1, [&](std::int64_t begin, std::int64_t end) {
      body(begin * grain, std::min(count, end * grain));
    });
  }
};

template <typename T>
void check(const char* function, const at::Tensor& tensor, bool shape_fits, const char* expected) {
  if (tensor.scalar_type() == c10::CppTypeToScalarType<T>::value && shape_fits) return;
  std::ostringstream text;
  text << function << ": tensor " << tensor.sizes() << " of type " << tensor.scalar_type()
       << " with strides " << tensor.strides() << ", expected " << expected << " of type "
       << c10::CppTypeToScalarType<T>::value;
  throw std::invalid_argument(text.str());
}

}  // namespace

kernels::Stream stream_for(const c10::Device& device) {
  if (device.is_cpu()) {
    static const std::shared_ptr<kernels::ParallelFor> torch_for = std::make_shared<TorchFor>();
    return kernels::Stream::cpu(torch_for);
  }
  if (device.is_cuda()) return detail::current_cuda_stream(device.index());
  throw std::invalid_argument("stream_for: device " + device.str() + ", expected cpu or cuda");
}

template <typename T>
kernels::Span<T> span_of(const at::Tensor& tensor) {
  check<T>("span_of", tensor, tensor.is_contiguous(), "a contiguous tensor");
  return {tensor.mutable_data_ptr<T>(), tensor.numel()};
}

template <typename T>
kernels::Span<const T> const_span_of(const at::Tensor& tensor) {
  check<T>("const_span_of", tensor, tensor.is_contiguous(), "a contiguous tensor");
  return {tensor.const_data_ptr<T>(), tensor.numel()};
}

template <typename T>
kernels::MatrixView<const T> matrix_of(const at::Tensor& tensor) {
  const bool fits = tensor.dim() == 2 && (tensor.size(1) <= 1 || tensor.stride(1) == 1) &&
                    (tensor.size(0) <= 1 || tensor.stride(0) >= tensor.size(1));
  check<T>("matrix_of", tensor, fits, "a matrix with contiguous rows");
  const std::int64_t row_stride =
      tensor.size(0) <= 1 ? tensor.size(1) : std::max(tensor.stride(0), tensor.size(1));
  return {tensor.const_data_ptr<T>(), tensor.size(0), tensor.size(1), row_stride};
}

template <typename T>
kernels::SequenceView<const T> sequence_of(const at::Tensor& tensor) {
  const bool fits = tensor.dim() == 3 && (tensor.size(2) <= 1 || tensor.stride(2) == 1);
  check<T>("sequence_of", tensor, fits, "[batch, steps, width] with contiguous rows");
  return {tensor.const_data_ptr<T>(), tensor.size(0),  tensor.size(1), tensor.size(2),
          tensor.stride(0),           tensor.stride(1)};
}

template <typename T>
kernels::ImageView<const T> image_of(const at::Tensor& tensor) {
  const bool fits = tensor.dim() >= 3 && tensor.dim() <= 5;
  check<T>("image_of", tensor, fits, "[batch, channels, *sizes] with one to three sizes");
  kernels::ImageView<const T> view{
      .data = tensor.const_data_ptr<T>(),
      .batch = tensor.size(0),
      .channels = tensor.size(1),
      .batch_stride = tensor.stride(0),
      .channel_stride = tensor.stride(1),
  };
  for (std::int64_t d = 2; d < tensor.dim(); ++d) {
    const auto to = static_cast<std::size_t>(3 - tensor.dim() + d);
    view.sizes[to] = tensor.size(d);
    view.strides[to] = tensor.stride(d);
  }
  return view;
}

template kernels::SequenceView<const float> sequence_of<float>(const at::Tensor&);
template kernels::SequenceView<const double> sequence_of<double>(const at::Tensor&);
template kernels::ImageView<const float> image_of<float>(const at::Tensor&);
template kernels::ImageView<const double> image_of<double>(const at::Tensor&);
template kernels::Span<const std::int64_t> const_span_of<std::int64_t>(const at::Tensor&);
template kernels::Span<float> span_of<float>(const at::Tensor&);
template kernels::Span<double> span_of<double>(const at::Tensor&);
template kernels::Span<const float> const_span_of<float>(const at::Tensor&);
template kernels::Span<const double> const_span_of<double>(const at::Tensor&);
template kernels::MatrixView<const float> matrix_of<float>(const at::Tensor&);
template kernels::MatrixView<const double> matrix_of<double>(const at::Tensor&);

}  // namespace velum::dpsgd
