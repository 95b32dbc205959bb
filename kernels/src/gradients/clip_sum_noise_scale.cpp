#include "velum/kernels/gradients/clip_sum_noise_scale.h"

#include "dispatch.h"
#include "gradients/check_arguments.h"
#include "gradients/clip_and_sum_halves.h"

namespace velum::kernels {
namespace {

template <typename T, typename Previous, typename Out>
void finish_step(MatrixView<const T> grads, Span<const double> squared_norms,
                 const ClippingBound& bound, Span<const Previous> previous,
                 double standard_deviation, double divisor, const RandomKey& key,
                 const RandomPosition& position, Span<Out> out, const Stream& stream) {
  const char* function = "clip_sum_noise_scale";
  check_matrix(function, grads);
  check_bound(function, bound);
  check_size(function, "squared_norms", squared_norms.size(), "grads.rows", grads.rows);
  check_size(function, "out", out.size(), "grads.cols", grads.cols);
  if (!previous.empty()) {
    check_size(function, "previous", previous.size(), "grads.cols", grads.cols);
  }
  const ClipAndSumTask<T, Previous, Out, NoiseAndScale> task{
      grads,
      squared_norms,
      make_clipping_rule(bound),
      previous,
      out,
      checked_noise(function, standard_deviation, divisor, key, position, out.size())};
  VELUM_DISPATCH(stream, clip_and_sum_cpu(task, stream), clip_and_sum_cuda(task, stream));
}

}  // namespace

void clip_sum_noise_scale(MatrixView<const float> grads, Span<const double> squared_norms,
                          ClippingBound bound, Span<const float> previous,
                          double standard_deviation, double divisor, const RandomKey& key,
                          const RandomPosition& position, Span<float> out, const Stream& stream) {
  finish_step(grads, squared_norms, bound, previous, standard_deviation, divisor, key, position,
              out, stream);
}
void clip_sum_noise_scale(MatrixView<const float> grads, Span<const double> squared_norms,
                          ClippingBound bound, Span<const double> previous,
                          double standard_deviation, double divisor, const RandomKey& key,
                          const RandomPosition& position, Span<float> out, const Stream& stream) {
  finish_step(grads, squared_norms, bound, previous, standard_deviation, divisor, key, position,
              out, stream);
}
void clip_sum_noise_scale(MatrixView<const double> grads, Span<const double> squared_norms,
                          ClippingBound bound, Span<const double> previous,
                          double standard_deviation, double divisor, const RandomKey& key,
                          const RandomPosition& position, Span<double> out, const Stream& stream) {
  finish_step(grads, squared_norms, bound, previous, standard_deviation, divisor, key, position,
              out, stream);
}

}  // namespace velum::kernels
