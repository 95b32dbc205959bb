#include "cuda/for_each_index.cuh"
#include "random/residues_halves.h"

namespace velum::kernels {

// A thread's blocks one after the other: its state and the words that wait for slot 15 stay in
// registers, and half a warp stores 64 bytes side by side.
void uniform_residues_fill_cuda(const UniformResiduesTask<std::uint32_t>& task,
                                const Stream& stream) {
  const ResidueLaneBody body{task};
  cuda::for_each_index(body.count(), body, stream);
}
void uniform_residues_fill_cuda(const UniformResiduesTask<std::uint64_t>& task,
                                const Stream& stream) {
  const WideResidueBlockBody body{task};
  cuda::for_each_index(body.count(), body, stream);
}

}  // namespace velum::kernels
