#include "velum/kernels/gradients/clip_and_sum.h"

#include "dispatch.h"
#include "gradients/check_arguments.h"
#include "gradients/clip_and_sum_halves.h"
#include "velum/kernels/gradients/per_sample_norms.h"

namespace velum::kernels {
namespace {

template <typename T, typename Sum>
void clip_and_sum_into(const char* function, MatrixView<const T> grads,
                       Span<const double> squared_norms, const ClippingBound& bound,
                       Span<const Sum> previous, Span<Sum> out, const Stream& stream) {
  check_matrix(function, grads);
  check_bound(function, bound);
  check_size(function, "squared_norms", squared_norms.size(), "grads.rows", grads.rows);
  check_size(function, "out", out.size(), "grads.cols", grads.cols);
  const ClipAndSumTask<T, Sum, Sum, KeepSum> task{
      grads, squared_norms, make_clipping_rule(bound), previous, out, {}};
  VELUM_DISPATCH(stream, clip_and_sum_cpu(task, stream), clip_and_sum_cuda(task, stream));
}

template <typename T, typename Sum>
void measure_clip_and_sum_into(MatrixView<const T> grads, double clipping_norm,
                               Span<double> squared_norms, Span<Sum> out, const Stream& stream) {
  const char* function = "measure_clip_and_sum";
  check_matrix(function, grads);
  const ClippingBound bound{clipping_norm, squared_norm_error(grads.cols)};
  check_bound(function, bound);
  check_size(function, "squared_norms", squared_norms.size(), "grads.rows", grads.rows);
  check_size(function, "out", out.size(), "grads.cols", grads.cols);
  per_sample_squared_norms(grads, squared_norms, stream);
  clip_and_sum(grads, squared_norms, bound, out, stream);
}

}  // namespace

void clip_and_sum(MatrixView<const float> grads, Span<const double> squared_norms,
                  ClippingBound bound, Span<float> out, const Stream& stream) {
  clip_and_sum_into("clip_and_sum", grads, squared_norms, bound, {}, out, stream);
}
void clip_and_sum(MatrixView<const float> grads, Span<const double> squared_norms,
                  ClippingBound bound, Span<double> out, const Stream& stream) {
  clip_and_sum_into("clip_and_sum", grads, squared_norms, bound, {}, out, stream);
}
void clip_and_sum(MatrixView<const double> grads, Span<const double> squared_norms,
                  ClippingBound bound, Span<double> out, const Stream& stream) {
  clip_and_sum_into("clip_and_sum", grads, squared_norms, bound, {}, out, stream);
}

void add_clip_and_sum(MatrixView<const float> grads, Span<const double> squared_norms,
                      ClippingBound bound, Span<float> out, const Stream& stream) {
  clip_and_sum_into("add_clip_and_sum", grads, squared_norms, bound, Span<const float>(out), out,
                    stream);
}
void add_clip_and_sum(MatrixView<const float> grads, Span<const double> squared_norms,
                      ClippingBound bound, Span<double> out, const Stream& stream) {
  clip_and_sum_into("add_clip_and_sum", grads, squared_norms, bound, Span<const double>(out), out,
                    stream);
}
void add_clip_and_sum(MatrixView<const double> grads, Span<const double> squared_norms,
                      ClippingBound bound, Span<double> out, const Stream& stream) {
  clip_and_sum_into("add_clip_and_sum", grads, squared_norms, bound, Span<const double>(out), out,
                    stream);
}

void measure_clip_and_sum(MatrixView<const float> grads, double clipping_norm,
                          Span<double> squared_norms, Span<float> out, const Stream& stream) {
  measure_clip_and_sum_into(grads, clipping_norm, squared_norms, out, stream);
}
void measure_clip_and_sum(MatrixView<const float> grads, double clipping_norm,
                          Span<double> squared_norms, Span<double> out, const Stream& stream) {
  measure_clip_and_sum_into(grads, clipping_norm, squared_norms, out, stream);
}
void measure_clip_and_sum(MatrixView<const double> grads, double clipping_norm,
                          Span<double> squared_norms, Span<double> out, const Stream& stream) {
  measure_clip_and_sum_into(grads, clipping_norm, squared_norms, out, stream);
}

}  // namespace velum::kernels
