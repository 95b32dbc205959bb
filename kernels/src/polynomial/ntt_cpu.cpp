// Threads share out the limbs of all polynomials. Limbs of 32-bit words of at least 256
// coefficients go through vectors; 64-bit words, which are an oracle, and smaller limbs through the
// plain loops.
#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "polynomial/ntt_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "polynomial/ntt_halves.h"
#include "polynomial/ntt_vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR
template <typename Row>
void forward_row(std::uint32_t* limb, int log_n, const std::uint32_t* table,
                 const Modulus<std::uint32_t>& modulus, const Row& row) {
  forward_limb(limb, log_n, table, modulus, row);
}
void inverse_row(std::uint32_t* limb, int log_n, const std::uint32_t* table,
                 const Modulus<std::uint32_t>& modulus, const LastStage<std::uint32_t>& last) {
  inverse_limb(limb, log_n, table, modulus, last);
}
void forward_and_keep(std::uint32_t* limb, int log_n, const std::uint32_t* table,
                      const Modulus<std::uint32_t>& modulus, const KeepValues<std::uint32_t>& row) {
  forward_row(limb, log_n, table, modulus, row);
}
void forward_and_subtract_multiply(std::uint32_t* limb, int log_n, const std::uint32_t* table,
                                   const Modulus<std::uint32_t>& modulus,
                                   const SubtractMultiply<std::uint32_t>& row) {
  forward_row(limb, log_n, table, modulus, row);
}
void forward_inner_product(std::uint32_t* limb, int log_n, const std::uint32_t* table,
                           const Modulus<std::uint32_t>& modulus,
                           const InnerProduct<std::uint32_t>& row) {
  forward_row(limb, log_n, table, modulus, row);
}
#else
void inverse_row(std::uint32_t* limb, int log_n, const std::uint32_t* table,
                 const Modulus<std::uint32_t>& modulus, const LastStage<std::uint32_t>& last) {
  inverse_node<true>(limb, log_n, log_n, 0, table, last, vector_modulus(modulus));
}
void forward_and_keep(std::uint32_t* limb, int log_n, const std::uint32_t* table,
                      const Modulus<std::uint32_t>& modulus, const KeepValues<std::uint32_t>& row) {
  forward_in_vectors<KeepVectors>(limb, log_n, table, modulus, row);
}
void forward_and_subtract_multiply(std::uint32_t* limb, int log_n, const std::uint32_t* table,
                                   const Modulus<std::uint32_t>& modulus,
                                   const SubtractMultiply<std::uint32_t>& row) {
  forward_in_vectors<SubtractMultiplyVectors>(limb, log_n, table, modulus, row);
}
void forward_inner_product(std::uint32_t* limb, int log_n, const std::uint32_t* table,
                           const Modulus<std::uint32_t>& modulus,
                           const InnerProduct<std::uint32_t>& row) {
  forward_in_vectors<InnerProductVectors>(limb, log_n, table, modulus, row);
}
#endif
}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(inverse_row);
HWY_EXPORT(forward_and_keep);
HWY_EXPORT(forward_and_subtract_multiply);
HWY_EXPORT(forward_inner_product);

/// Where a limb's transform happens.
template <typename Word>
struct Limb {
  Word* data;
  int log_n;
  const Word* table;
  const Modulus<Word>& modulus;
};

void forward_in_blocks(const Limb<std::uint32_t>& limb, const KeepValues<std::uint32_t>& row) {
  HWY_DYNAMIC_DISPATCH(forward_and_keep)(limb.data, limb.log_n, limb.table, limb.modulus, row);
}
void forward_in_blocks(const Limb<std::uint32_t>& limb,
                       const SubtractMultiply<std::uint32_t>& row) {
  HWY_DYNAMIC_DISPATCH(forward_and_subtract_multiply)
  (limb.data, limb.log_n, limb.table, limb.modulus, row);
}
void forward_in_blocks(const Limb<std::uint32_t>& limb, const InnerProduct<std::uint32_t>& row) {
  HWY_DYNAMIC_DISPATCH(forward_inner_product)
  (limb.data, limb.log_n, limb.table, limb.modulus, row);
}

template <typename Row>
void transform_forward(const Limb<std::uint32_t>& limb, const Row& row) {
  if (NttLayout::has_blocks(limb.log_n)) return forward_in_blocks(limb, row);
  forward_limb(limb.data, limb.log_n, limb.table, limb.modulus, row);
}
template <typename Row>
void transform_forward(const Limb<std::uint64_t>& limb, const Row& row) {
  forward_limb(limb.data, limb.log_n, limb.table, limb.modulus, row);
}
void transform_inverse(const Limb<std::uint32_t>& limb, const LastStage<std::uint32_t>& last) {
  if (NttLayout::has_blocks(limb.log_n)) {
    HWY_DYNAMIC_DISPATCH(inverse_row)(limb.data, limb.log_n, limb.table, limb.modulus, last);
  } else {
    inverse_limb(limb.data, limb.log_n, limb.table, limb.modulus, last);
  }
}
void transform_inverse(const Limb<std::uint64_t>& limb, const LastStage<std::uint64_t>& last) {
  inverse_limb(limb.data, limb.log_n, limb.table, limb.modulus, last);
}

/// Calls `body(poly, limb, constants, table's offset)` for every limb, a limb on one thread. The
/// limbs of one prime follow each other: they share its table while it is in the caches.
template <typename Task, typename Body>
void for_each_limb(const Task& task, const Stream& stream, const Body& body) {
  // Limbs of a thread at once: some microseconds of work.
  const std::int64_t grain = std::max<std::int64_t>(1, 4096 >> task.tables.log_n);
  const std::int64_t polys = task.polys.polys;
  stream.parallel_for().run(polys * task.limbs.count, grain,
                            [&](std::int64_t begin, std::int64_t end) {
                              for (std::int64_t i = begin; i < end; ++i) {
                                const std::int64_t limb = i / polys;
                                const int prime = task.limbs[limb];
                                body(i % polys, limb, task.tables.constants[prime],
                                     prime * NttLayout::table_words(task.tables.log_n));
                              }
                            });
}

}  // namespace

template <typename Word, typename Finish>
void ntt_forward_cpu(const NttForwardTask<Word, Finish>& task, const Stream& stream) {
  for_each_limb(task, stream,
                [&task](std::int64_t poly, std::int64_t limb, const NttConstants<Word>& constants,
                        std::int64_t offset) {
                  transform_forward(Limb<Word>{task.polys.limb(poly, limb), task.tables.log_n,
                                               task.tables.forward + offset, constants.modulus},
                                    task.finish.row(task.polys, poly, limb));
                });
}

template <typename Word>
void ntt_forward_or_copy_cpu(const NttForwardTask<Word, KeepValuesOfAll<Word>>& task,
                             Span<const LimbRange> known, const RnsView<const Word>& values,
                             const Stream& stream) {
  std::vector<std::int64_t> first_value;  // of each polynomial
  std::int64_t count = 0;
  for (const LimbRange& range : known) {
    first_value.push_back(count);
    count += range.count;
  }
  for_each_limb(task, stream,
                [&](std::int64_t poly, std::int64_t limb, const NttConstants<Word>& constants,
                    std::int64_t offset) {
                  Word* const row = task.polys.limb(poly, limb);
                  const std::int64_t i = limb - known[poly].first;
                  if (i >= 0 && i < known[poly].count) {
                    const std::int64_t at = first_value[static_cast<std::size_t>(poly)] + i;
                    std::copy_n(values.limb(0, at), task.polys.degree, row);
                    return;
                  }
                  transform_forward(Limb<Word>{row, task.tables.log_n, task.tables.forward + offset,
                                               constants.modulus},
                                    task.finish.row(task.polys, poly, limb));
                });
}

template <typename Word>
void ntt_inverse_cpu(const NttInverseTask<Word>& task, const Stream& stream) {
  for_each_limb(task, stream,
                [&task](std::int64_t poly, std::int64_t limb, const NttConstants<Word>& constants,
                        std::int64_t offset) {
                  transform_inverse(Limb<Word>{task.polys.limb(poly, limb), task.tables.log_n,
                                               task.tables.inverse + offset, constants.modulus},
                                    task.factors == nullptr
                                        ? last_stage(constants)
                                        : last_stage(constants, task.factors[limb]));
                });
}

#define VELUM_INSTANTIATE(Word, Finish) \
  template void ntt_forward_cpu(const NttForwardTask<Word, Finish<Word>>&, const Stream&);
VELUM_FOR_EACH_NTT_FORWARD(VELUM_INSTANTIATE)
#undef VELUM_INSTANTIATE
#define VELUM_INSTANTIATE(Word)                                                             \
  template void ntt_forward_or_copy_cpu(const NttForwardTask<Word, KeepValuesOfAll<Word>>&, \
                                        Span<const LimbRange>, const RnsView<const Word>&,  \
                                        const Stream&);
VELUM_INSTANTIATE(std::uint32_t)
VELUM_INSTANTIATE(std::uint64_t)
#undef VELUM_INSTANTIATE
template void ntt_inverse_cpu(const NttInverseTask<std::uint32_t>&, const Stream&);
template void ntt_inverse_cpu(const NttInverseTask<std::uint64_t>&, const Stream&);

}  // namespace velum::kernels
#endif  // HWY_ONCE
