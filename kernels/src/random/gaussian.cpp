#include "velum/kernels/random/gaussian.h"

#include "dispatch.h"
#include "random/element_range.h"
#include "random/gaussian_body.h"
#include "random/gaussian_halves.h"

namespace velum::kernels {
namespace {

template <typename T>
void fill(Span<T> out, const RandomKey& key, const RandomPosition& position,
          std::int64_t first_element, const Stream& stream) {
  check_element_range("gaussian_fill", first_element, out.size(), GaussianLayout::kMaxElements);
  const GaussianFillBody<T> body{stream_state(key, position, DrawKind::kGaussian), first_element,
                                 out};
  VELUM_DISPATCH(stream, gaussian_fill_cpu(body, stream), gaussian_fill_cuda(body, stream));
}

}  // namespace

void gaussian_fill(Span<float> out, const RandomKey& key, const RandomPosition& position,
                   std::int64_t first_element, const Stream& stream) {
  fill(out, key, position, first_element, stream);
}
void gaussian_fill(Span<double> out, const RandomKey& key, const RandomPosition& position,
                   std::int64_t first_element, const Stream& stream) {
  fill(out, key, position, first_element, stream);
}

}  // namespace velum::kernels
