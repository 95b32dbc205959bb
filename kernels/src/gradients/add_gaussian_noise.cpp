#include "velum/kernels/gradients/add_gaussian_noise.h"

#include "dispatch.h"
#include "gradients/add_gaussian_noise_halves.h"
#include "gradients/check_arguments.h"

namespace velum::kernels {
namespace {

constexpr const char* kName = "add_gaussian_noise";

template <typename In, typename Out>
void add_noise(Span<const In> sum, double standard_deviation, double divisor, const RandomKey& key,
               const RandomPosition& position, Span<Out> out, const Stream& stream) {
  const AddGaussianNoiseBody<In, Out> body{
      checked_noise(kName, standard_deviation, divisor, key, position, out.size()), sum, out};
  VELUM_DISPATCH(stream, add_gaussian_noise_cpu(body, stream),
                 add_gaussian_noise_cuda(body, stream));
}

}  // namespace

void add_gaussian_noise(Span<float> sum, double standard_deviation, double divisor,
                        const RandomKey& key, const RandomPosition& position,
                        const Stream& stream) {
  add_noise(Span<const float>(sum), standard_deviation, divisor, key, position, sum, stream);
}

void add_gaussian_noise(Span<double> sum, double standard_deviation, double divisor,
                        const RandomKey& key, const RandomPosition& position,
                        const Stream& stream) {
  add_noise(Span<const double>(sum), standard_deviation, divisor, key, position, sum, stream);
}

void add_gaussian_noise(Span<const double> sum, double standard_deviation, double divisor,
                        const RandomKey& key, const RandomPosition& position, Span<float> out,
                        const Stream& stream) {
  check_size(kName, "out", out.size(), "sum.size()", sum.size());
  add_noise(sum, standard_deviation, divisor, key, position, out, stream);
}

}  // namespace velum::kernels
