#pragma once

#include <cstdint>
#include <vector>

#include "velum/kernels/buffer.h"
#include "velum/kernels/modular/modulus.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// The moduli that limbs refer to by `LimbIndices`, in the host's memory and in that of one
/// backend. Immutable.
template <typename Word>
class ModulusChain {
 public:
  /// @param values  1 to LimbIndices::kMaxLimbs moduli, pairwise different, each as `make_modulus`
  /// takes it.
  /// @param stream  whose memory holds the chain; the constructor waits for the copy.
  /// @throws std::invalid_argument if a value is out of range or there twice; CudaError.
  ModulusChain(const std::vector<Word>& values, const Stream& stream);

  int size() const { return static_cast<int>(host_.size()); }
  const Modulus<Word>& operator[](int index) const {
    return host_.at(static_cast<std::size_t>(index));
  }
  /// In the backend's memory, for operations of kernels.
  const Modulus<Word>* data() const { return resident_.data(); }
  Backend backend() const { return resident_.backend(); }

 private:
  std::vector<Modulus<Word>> host_;
  Buffer<Modulus<Word>> resident_;
};

extern template class ModulusChain<std::uint32_t>;
extern template class ModulusChain<std::uint64_t>;

}  // namespace velum::kernels
