#include "velum/kernels/polynomial/ntt.h"

#include <string>

#include "dispatch.h"
#include "polynomial/check_rns.h"
#include "polynomial/ntt_halves.h"

namespace velum::kernels {
namespace {

template <typename Word>
void check_transform(const char* function, const RnsShape& polys, const LimbIndices& limbs,
                     const NttTables<Word>& tables, const Stream& stream) {
  check_view(function, polys);
  check_count(function, std::string(polys.name) + ".degree", polys.degree, "tables.degree()",
              tables.degree());
  check_memory(function, "tables", tables.backend(), stream);
  check_limbs(function, limbs, polys, tables.moduli().size());
}

template <typename Word>
void check_factors(const char* function, Span<const ShoupFactor<Word>> factors,
                   const LimbIndices& limbs) {
  check_count(function, "factors.size()", factors.size(), "limbs.count", limbs.count);
}

/// Of an operand beside `polys`.
void check_operand(const char* function, const RnsShape& operand, const RnsShape& polys) {
  check_view(function, operand);
  check_same_ring(function, operand, polys);
  check_disjoint(function, operand, polys);
}

template <typename Word, typename Finish>
void forward(const NttForwardTask<Word, Finish>& task, const Stream& stream) {
  VELUM_DISPATCH(stream, ntt_forward_cpu(task, stream), ntt_forward_cuda(task, stream));
}
template <typename Word>
void inverse(const NttInverseTask<Word>& task, const Stream& stream) {
  VELUM_DISPATCH(stream, ntt_inverse_cpu(task, stream), ntt_inverse_cuda(task, stream));
}

}  // namespace

template <typename Word>
void ntt_forward_inplace(RnsView<SameWord<Word>> polys, const LimbIndices& limbs,
                         const NttTables<Word>& tables, const Stream& stream) {
  check_transform("ntt_forward_inplace", {"polys", polys}, limbs, tables, stream);
  forward(NttForwardTask<Word, KeepValuesOfAll<Word>>{polys, limbs, tables.view(), {}}, stream);
}

template <typename Word>
void ntt_inverse_inplace(RnsView<SameWord<Word>> polys, const LimbIndices& limbs,
                         const NttTables<Word>& tables, const Stream& stream) {
  check_transform("ntt_inverse_inplace", {"polys", polys}, limbs, tables, stream);
  inverse(NttInverseTask<Word>{polys, limbs, tables.view(), nullptr}, stream);
}

template <typename Word>
void ntt_inverse_multiply_inplace(RnsView<SameWord<Word>> polys, const LimbIndices& limbs,
                                  Span<const ShoupFactor<SameWord<Word>>> factors,
                                  const NttTables<Word>& tables, const Stream& stream) {
  constexpr const char* kFunction = "ntt_inverse_multiply_inplace";
  check_transform(kFunction, {"polys", polys}, limbs, tables, stream);
  check_factors(kFunction, factors, limbs);
  inverse(NttInverseTask<Word>{polys, limbs, tables.view(), factors.data()}, stream);
}

template <typename Word>
void ntt_forward_subtract_multiply(RnsView<SameWord<Word>> polys,
                                   RnsView<const SameWord<Word>> minuend, const LimbIndices& limbs,
                                   Span<const ShoupFactor<SameWord<Word>>> factors,
                                   const NttTables<Word>& tables, const Stream& stream) {
  constexpr const char* kFunction = "ntt_forward_subtract_multiply";
  check_transform(kFunction, {"polys", polys}, limbs, tables, stream);
  check_operand(kFunction, {"minuend", minuend}, {"polys", polys});
  check_polys(kFunction, {"minuend", minuend}, {"polys", polys}, false);
  check_factors(kFunction, factors, limbs);
  forward(
      NttForwardTask<Word, SubtractMultiplyAll<Word>>{
          polys, limbs, tables.view(), {minuend, factors.data()}},
      stream);
}

template <typename Word>
void ntt_forward_inner_product(RnsView<SameWord<Word>> digit, RnsView<const SameWord<Word>> key,
                               RnsView<SameWord<Word>> accumulator, bool first,
                               const LimbIndices& limbs, const NttTables<Word>& tables,
                               const Stream& stream) {
  constexpr const char* kFunction = "ntt_forward_inner_product";
  const RnsShape shape("digit", digit);
  check_transform(kFunction, shape, limbs, tables, stream);
  if (digit.polys != 1) refuse(kFunction, "digit.polys", digit.polys, "1");
  if (key.polys != 2) refuse(kFunction, "key.polys", key.polys, "2");
  if (accumulator.polys != 2) refuse(kFunction, "accumulator.polys", accumulator.polys, "2");
  check_operand(kFunction, {"key", key}, shape);
  check_operand(kFunction, {"accumulator", accumulator}, shape);
  check_disjoint(kFunction, {"accumulator", accumulator}, {"key", key});
  forward(
      NttForwardTask<Word, InnerProductOfAll<Word>>{
          digit, limbs, tables.view(), {key, accumulator, first}},
      stream);
}

#define VELUM_INSTANTIATE(Word)                                                                    \
  template void ntt_forward_inplace(RnsView<Word>, const LimbIndices&, const NttTables<Word>&,     \
                                    const Stream&);                                                \
  template void ntt_inverse_inplace(RnsView<Word>, const LimbIndices&, const NttTables<Word>&,     \
                                    const Stream&);                                                \
  template void ntt_inverse_multiply_inplace(RnsView<Word>, const LimbIndices&,                    \
                                             Span<const ShoupFactor<Word>>,                        \
                                             const NttTables<Word>&, const Stream&);               \
  template void ntt_forward_subtract_multiply(RnsView<Word>, RnsView<const Word>,                  \
                                              const LimbIndices&, Span<const ShoupFactor<Word>>,   \
                                              const NttTables<Word>&, const Stream&);              \
  template void ntt_forward_inner_product(RnsView<Word>, RnsView<const Word>, RnsView<Word>, bool, \
                                          const LimbIndices&, const NttTables<Word>&,              \
                                          const Stream&);
VELUM_INSTANTIATE(std::uint32_t)
VELUM_INSTANTIATE(std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
