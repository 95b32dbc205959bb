#include "velum/kernels/polynomial/division.h"

#include <string>
#include <vector>

#include "polynomial/check_rns.h"
#include "polynomial/host_arithmetic.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::kernels {
namespace {

constexpr const char* kFunction = "divide_and_round";

template <typename Word>
const NttTables<Word>& checked_tables(const NttTables<Word>& tables, const LimbIndices& kept,
                                      const LimbIndices& dropped, const Stream& stream) {
  const char* function = "RnsDivision";
  check_memory(function, "tables", tables.backend(), stream);
  check_at_least(function, "dropped.count", dropped.count, 1);
  check_indices(function, "kept", kept, tables.moduli().size());
  check_indices(function, "dropped", dropped, tables.moduli().size());
  check_distinct(function, "kept and dropped", kept, dropped);
  return tables;
}

template <typename Word>
std::vector<ShoupFactor<Word>> inverses_of(const std::vector<Modulus<Word>>& dropped,
                                           const std::vector<Modulus<Word>>& kept) {
  std::vector<ShoupFactor<Word>> inverses;
  for (const Modulus<Word>& q : kept) {
    const Word product = product_modulo(dropped, dropped.size(), q);
    inverses.push_back(shoup_factor(modular_inverse(product, q), q.value));
  }
  return inverses;
}

}  // namespace

template <typename Word>
RnsDivision<Word>::RnsDivision(const NttTables<Word>& tables, const LimbIndices& kept,
                               const LimbIndices& dropped, const Stream& stream)
    : tables_(&checked_tables(tables, kept, dropped, stream)),
      conversion_(tables.moduli(), dropped, kept, stream),
      inverses_(resident(
          inverses_of(moduli_of(tables.moduli(), dropped), moduli_of(tables.moduli(), kept)),
          stream)) {}

template class RnsDivision<std::uint32_t>;
template class RnsDivision<std::uint64_t>;

template <typename Word>
void divide_and_round(RnsView<const std::type_identity_t<Word>> kept,
                      RnsView<const std::type_identity_t<Word>> dropped,
                      RnsView<std::type_identity_t<Word>> scratch,
                      RnsView<std::type_identity_t<Word>> out, const RnsDivision<Word>& division,
                      const Stream& stream) {
  const RnsShape kept_shape("kept", kept);
  const RnsShape dropped_shape("dropped", dropped);
  const RnsShape scratch_shape("scratch", scratch);
  const RnsShape out_shape("out", out);
  for (const RnsShape& shape : {out_shape, kept_shape, dropped_shape, scratch_shape}) {
    check_view(kFunction, shape);
    check_polys(kFunction, shape, out_shape, false);
    check_count(kFunction, std::string(shape.name) + ".degree", shape.degree, "the ring's degree",
                division.tables().degree());
  }
  check_memory(kFunction, "division", division.conversion().backend(), stream);
  check_count(kFunction, "kept.limbs", kept.limbs, "division.kept().count", division.kept().count);
  check_count(kFunction, "out.limbs", out.limbs, "division.kept().count", division.kept().count);
  check_count(kFunction, "dropped.limbs", dropped.limbs, "division.dropped().count",
              division.dropped().count);
  check_count(kFunction, "scratch.limbs", scratch.limbs, "division.dropped().count",
              division.dropped().count);
  check_disjoint(kFunction, out_shape, kept_shape);
  check_disjoint(kFunction, out_shape, dropped_shape);
  check_disjoint(kFunction, out_shape, scratch_shape);
  check_disjoint(kFunction, scratch_shape, kept_shape);
  check_same_or_disjoint(kFunction, scratch_shape, dropped_shape);

  const NttTables<Word>& tables = division.tables();
  const BaseConversion<Word>& conversion = division.conversion();
  if (scratch.data != dropped.data) copy_limbs<Word>(dropped, scratch, stream);
  ntt_inverse_multiply_inplace(scratch, division.dropped(), conversion.inverse_factors(), tables,
                               stream);
  convert_base(scratch, out, conversion, Correction::kCentred, Premultiplied::kYes, stream);
  ntt_forward_subtract_multiply(out, kept, division.kept(), division.inverses(), tables, stream);
}

#define VELUM_INSTANTIATE(Word)                                                           \
  template void divide_and_round(RnsView<const Word>, RnsView<const Word>, RnsView<Word>, \
                                 RnsView<Word>, const RnsDivision<Word>&, const Stream&);
VELUM_INSTANTIATE(std::uint32_t)
VELUM_INSTANTIATE(std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
