#include "cpu/for_each_index.h"
#include "gradients/clip_factors_halves.h"

namespace velum::kernels {
namespace {

// About 30 ns each: enough work for a thread to be worth waking.
constexpr std::int64_t kGrain = 4096;

}  // namespace

template <typename T>
void clip_factors_cpu(const ClipFactorsBody<T>& body, const Stream& stream) {
  cpu::for_each_index(body.squared_norms.size(), kGrain, body, stream);
}

template void clip_factors_cpu(const ClipFactorsBody<float>&, const Stream&);
template void clip_factors_cpu(const ClipFactorsBody<double>&, const Stream&);

}  // namespace velum::kernels
