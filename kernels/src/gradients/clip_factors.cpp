#include "velum/kernels/gradients/clip_factors.h"

#include "dispatch.h"
#include "gradients/check_arguments.h"
#include "gradients/clip_factors_body.h"
#include "gradients/clip_factors_halves.h"

namespace velum::kernels {
namespace {

template <typename T>
void clip(Span<const double> squared_norms, ClippingBound bound, Span<T> factors,
          const Stream& stream) {
  check_bound("clip_factors", bound);
  check_size("clip_factors", "factors", factors.size(), "squared_norms.size()",
             squared_norms.size());
  const ClipFactorsBody<T> body{squared_norms, make_clipping_rule(bound), factors};
  VELUM_DISPATCH(stream, clip_factors_cpu(body, stream), clip_factors_cuda(body, stream));
}

}  // namespace

void clip_factors(Span<const double> squared_norms, ClippingBound bound, Span<float> factors,
                  const Stream& stream) {
  clip(squared_norms, bound, factors, stream);
}

void clip_factors(Span<const double> squared_norms, ClippingBound bound, Span<double> factors,
                  const Stream& stream) {
  clip(squared_norms, bound, factors, stream);
}

}  // namespace velum::kernels
