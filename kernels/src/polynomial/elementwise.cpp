#include "velum/kernels/polynomial/elementwise.h"

#include "dispatch.h"
#include "polynomial/check_rns.h"
#include "polynomial/elementwise_halves.h"

namespace velum::kernels {
namespace {

using enum ElementwiseOperation;

template <typename Word>
RnsView<const Word> checked_operand(const char* function, const char* name,
                                    RnsView<const Word> operand, const RnsView<Word>& out) {
  const RnsShape shape(name, operand);
  const RnsShape out_shape("out", out);
  check_view(function, shape);
  check_same_ring(function, shape, out_shape);
  check_polys(function, shape, out_shape, true);
  check_same_or_disjoint(function, out_shape, shape);
  if (operand.polys != out.polys) {  // the one polynomial, as often as needed
    operand.polys = out.polys;
    operand.poly_stride = 0;
  }
  return operand;
}

template <ElementwiseOperation kOperation, typename Word>
void run(const ElementwiseTask<Word>& task, const Stream& stream) {
  VELUM_DISPATCH(stream, (elementwise_cpu<kOperation>(task, stream)),
                 (elementwise_cuda<kOperation>(task, stream)));
}

/// What all arithmetic has in common. `b` is null where it has one operand.
template <typename Word>
ElementwiseTask<Word> checked_task(const char* function, const RnsView<const Word>& a,
                                   const RnsView<const Word>* b, const RnsView<Word>& out,
                                   const LimbIndices& limbs, const ModulusChain<Word>& chain,
                                   const Stream& stream) {
  const RnsShape shape("out", out);
  check_view(function, shape);
  check_chain(function, limbs, shape, chain, stream);
  ElementwiseTask<Word> task{};
  task.a = checked_operand(function, "a", a, out);
  if (b != nullptr) task.b = checked_operand(function, "b", *b, out);
  task.out = out;
  task.moduli = chain.data();
  task.limbs = limbs;
  return task;
}

}  // namespace

template <typename Word>
void add(RnsView<const std::type_identity_t<Word>> a, RnsView<const std::type_identity_t<Word>> b,
         RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
         const ModulusChain<Word>& chain, const Stream& stream) {
  run<kAdd>(checked_task("add", a, &b, out, limbs, chain, stream), stream);
}

template <typename Word>
void subtract(RnsView<const std::type_identity_t<Word>> a,
              RnsView<const std::type_identity_t<Word>> b, RnsView<std::type_identity_t<Word>> out,
              const LimbIndices& limbs, const ModulusChain<Word>& chain, const Stream& stream) {
  run<kSubtract>(checked_task("subtract", a, &b, out, limbs, chain, stream), stream);
}

template <typename Word>
void negate(RnsView<const std::type_identity_t<Word>> a, RnsView<std::type_identity_t<Word>> out,
            const LimbIndices& limbs, const ModulusChain<Word>& chain, const Stream& stream) {
  run<kNegate>(checked_task<Word>("negate", a, nullptr, out, limbs, chain, stream), stream);
}

template <typename Word>
void multiply(RnsView<const std::type_identity_t<Word>> a,
              RnsView<const std::type_identity_t<Word>> b, RnsView<std::type_identity_t<Word>> out,
              const LimbIndices& limbs, const ModulusChain<Word>& chain, const Stream& stream) {
  run<kMultiply>(checked_task("multiply", a, &b, out, limbs, chain, stream), stream);
}

template <typename Word>
void multiply_accumulate(RnsView<const std::type_identity_t<Word>> a,
                         RnsView<const std::type_identity_t<Word>> b,
                         RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
                         const ModulusChain<Word>& chain, const Stream& stream) {
  run<kMultiplyAccumulate>(checked_task("multiply_accumulate", a, &b, out, limbs, chain, stream),
                           stream);
}

template <typename Word>
void multiply_factors(RnsView<const std::type_identity_t<Word>> a,
                      Span<const ShoupFactor<std::type_identity_t<Word>>> factors,
                      RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
                      const ModulusChain<Word>& chain, const Stream& stream) {
  const char* function = "multiply_factors";
  ElementwiseTask<Word> task = checked_task<Word>(function, a, nullptr, out, limbs, chain, stream);
  check_count(function, "factors.size()", factors.size(), "limbs.count", limbs.count);
  task.factors = factors;
  run<kMultiplyFactors>(task, stream);
}

template <typename Word>
void multiply_factors_accumulate(RnsView<const std::type_identity_t<Word>> a,
                                 Span<const ShoupFactor<std::type_identity_t<Word>>> factors,
                                 RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
                                 const ModulusChain<Word>& chain, const Stream& stream) {
  const char* function = "multiply_factors_accumulate";
  ElementwiseTask<Word> task = checked_task<Word>(function, a, nullptr, out, limbs, chain, stream);
  check_count(function, "factors.size()", factors.size(), "limbs.count", limbs.count);
  task.factors = factors;
  run<kMultiplyFactorsAccumulate>(task, stream);
}

template <typename Word>
void add_constants(RnsView<const std::type_identity_t<Word>> a,
                   Span<const std::type_identity_t<Word>> constants,
                   RnsView<std::type_identity_t<Word>> out, const LimbIndices& limbs,
                   const ModulusChain<Word>& chain, const Stream& stream) {
  const char* function = "add_constants";
  ElementwiseTask<Word> task = checked_task<Word>(function, a, nullptr, out, limbs, chain, stream);
  check_count(function, "constants.size()", constants.size(), "limbs.count", limbs.count);
  task.constants = constants;
  run<kAddConstants>(task, stream);
}

template <typename Word>
void copy_limbs(RnsView<const std::type_identity_t<Word>> a, RnsView<Word> out,
                const Stream& stream) {
  const char* function = "copy_limbs";
  check_view(function, RnsShape("out", out));
  ElementwiseTask<Word> task{};
  task.a = checked_operand<Word>(function, "a", a, out);
  task.out = out;
  run<kCopy>(task, stream);
}

#define VELUM_INSTANTIATE(Word)                                                                    \
  template void add(RnsView<const Word>, RnsView<const Word>, RnsView<Word>, const LimbIndices&,   \
                    const ModulusChain<Word>&, const Stream&);                                     \
  template void subtract(RnsView<const Word>, RnsView<const Word>, RnsView<Word>,                  \
                         const LimbIndices&, const ModulusChain<Word>&, const Stream&);            \
  template void negate(RnsView<const Word>, RnsView<Word>, const LimbIndices&,                     \
                       const ModulusChain<Word>&, const Stream&);                                  \
  template void multiply(RnsView<const Word>, RnsView<const Word>, RnsView<Word>,                  \
                         const LimbIndices&, const ModulusChain<Word>&, const Stream&);            \
  template void multiply_accumulate(RnsView<const Word>, RnsView<const Word>, RnsView<Word>,       \
                                    const LimbIndices&, const ModulusChain<Word>&, const Stream&); \
  template void multiply_factors(RnsView<const Word>, Span<const ShoupFactor<Word>>,               \
                                 RnsView<Word>, const LimbIndices&, const ModulusChain<Word>&,     \
                                 const Stream&);                                                   \
  template void multiply_factors_accumulate(RnsView<const Word>, Span<const ShoupFactor<Word>>,    \
                                            RnsView<Word>, const LimbIndices&,                     \
                                            const ModulusChain<Word>&, const Stream&);             \
  template void add_constants(RnsView<const Word>, Span<const Word>, RnsView<Word>,                \
                              const LimbIndices&, const ModulusChain<Word>&, const Stream&);       \
  template void copy_limbs(RnsView<const Word>, RnsView<Word>, const Stream&);
VELUM_INSTANTIATE(std::uint32_t)
VELUM_INSTANTIATE(std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
