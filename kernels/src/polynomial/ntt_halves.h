#pragma once

#include <cstdint>

#include "polynomial/ntt_body.h"
#include "velum/kernels/polynomial/ntt_tables.h"
#include "velum/kernels/polynomial/rns_view.h"
#include "velum/kernels/span.h"
#include "velum/kernels/stream.h"

namespace velum::kernels {

/// What the values of a forward transform become; `row(...)` is the part of one limb, as in
/// ntt_body.h.
template <typename Word>
struct KeepValuesOfAll {
  VELUM_HOST_DEVICE KeepValues<Word> row(const RnsView<Word>& polys, std::int64_t poly,
                                         std::int64_t limb) const {
    return {polys.limb(poly, limb)};
  }
};
template <typename Word>
struct SubtractMultiplyAll {
  RnsView<const Word> minuend;
  const ShoupFactor<Word>* factors;  // [limbs]
  VELUM_HOST_DEVICE SubtractMultiply<Word> row(const RnsView<Word>& polys, std::int64_t poly,
                                               std::int64_t limb) const {
    return {polys.limb(poly, limb), minuend.limb(poly, limb), factors[limb]};
  }
};
template <typename Word>
struct InnerProductOfAll {
  RnsView<const Word> key;    // 2 polys
  RnsView<Word> accumulator;  // 2 polys
  bool first;
  VELUM_HOST_DEVICE InnerProduct<Word> row(const RnsView<Word>& /*polys*/, std::int64_t /*poly*/,
                                           std::int64_t limb) const {
    return {{key.limb(0, limb), key.limb(1, limb)},
            {accumulator.limb(0, limb), accumulator.limb(1, limb)},
            first};
  }
};

template <typename Word, typename Finish>
struct NttForwardTask {
  RnsView<Word> polys;
  LimbIndices limbs;
  NttTablesView<Word> tables;
  Finish finish;
};

template <typename Word>
struct NttInverseTask {
  RnsView<Word> polys;
  LimbIndices limbs;
  NttTablesView<Word> tables;
  const ShoupFactor<Word>* factors;  // [limbs], or null: none
};

template <typename Word, typename Finish>
void ntt_forward_cpu(const NttForwardTask<Word, Finish>& task, const Stream& stream);
template <typename Word, typename Finish>
void ntt_forward_cuda(const NttForwardTask<Word, Finish>& task, const Stream& stream);
/// Limbs [first, first + count) of a polynomial.
struct LimbRange {
  std::int64_t first, count;
};
/// The transform of polynomials of which some limbs are known: limbs `known[k]` of polynomial k are
/// copied from `values`, which holds them one polynomial after the other.
template <typename Word>
void ntt_forward_or_copy_cpu(const NttForwardTask<Word, KeepValuesOfAll<Word>>& task,
                             Span<const LimbRange> known, const RnsView<const Word>& values,
                             const Stream& stream);
template <typename Word>
void ntt_inverse_cpu(const NttInverseTask<Word>& task, const Stream& stream);
template <typename Word>
void ntt_inverse_cuda(const NttInverseTask<Word>& task, const Stream& stream);

/// The tasks that are compiled, for each half.
#define VELUM_FOR_EACH_NTT_FORWARD(X)   \
  X(std::uint32_t, KeepValuesOfAll)     \
  X(std::uint32_t, SubtractMultiplyAll) \
  X(std::uint32_t, InnerProductOfAll)   \
  X(std::uint64_t, KeepValuesOfAll)     \
  X(std::uint64_t, SubtractMultiplyAll) \
  X(std::uint64_t, InnerProductOfAll)

}  // namespace velum::kernels
