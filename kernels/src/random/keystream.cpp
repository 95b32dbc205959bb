#include "random/keystream.h"

#include "dispatch.h"

namespace velum::kernels {

void keystream_fill(const ChaCha20State& state, std::int64_t first_word, Span<std::uint32_t> out,
                    const Stream& stream) {
  const KeystreamFillBody body{state, first_word, out};
  VELUM_DISPATCH(stream, keystream_fill_cpu(body, stream), keystream_fill_cuda(body, stream));
}

}  // namespace velum::kernels
