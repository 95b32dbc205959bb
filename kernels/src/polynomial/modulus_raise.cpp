#include "velum/kernels/polynomial/modulus_raise.h"

#include <string>

#include "polynomial/base_conversion_halves.h"
#include "polynomial/check_rns.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::kernels {
namespace {

constexpr const char* kFunction = "extend_digit";

/// Indices [first, first + count).
LimbIndices part(const LimbIndices& limbs, int first, int count) {
  LimbIndices taken;
  for (int i = first; i < first + count; ++i) taken.append(limbs[i]);
  return taken;
}

template <typename Word>
const NttTables<Word>& checked_tables(const NttTables<Word>& tables, const LimbIndices& limbs,
                                      int first, int count, const Stream& stream) {
  const char* function = "DigitExtension";
  check_memory(function, "tables", tables.backend(), stream);
  check_indices(function, "limbs", limbs, tables.moduli().size());
  check_distinct(function, "limbs", limbs, {});
  check_at_least(function, "first", first, 0);
  check_at_least(function, "count", count, 1);
  if (count > limbs.count || first > limbs.count - count) {
    refuse(function, "first + count", std::int64_t{first} + count,
           "at most limbs.count = " + std::to_string(limbs.count));
  }
  return tables;
}

LimbIndices others(const LimbIndices& limbs, int first, int count) {
  return concatenated(part(limbs, 0, first),
                      part(limbs, first + count, limbs.count - first - count));
}

}  // namespace

template <typename Word>
DigitExtension<Word>::DigitExtension(const NttTables<Word>& tables, const LimbIndices& limbs,
                                     int first, int count, const Stream& stream)
    : tables_(&checked_tables(tables, limbs, first, count, stream)),
      limbs_(limbs),
      first_(first),
      conversion_(tables.moduli(), part(limbs, first, count), others(limbs, first, count), stream) {
}

template class DigitExtension<std::uint32_t>;
template class DigitExtension<std::uint64_t>;

template <typename Word>
void extend_digit(RnsView<const std::type_identity_t<Word>> coefficients,
                  Premultiplied premultiplied, RnsView<const std::type_identity_t<Word>> values,
                  RnsView<std::type_identity_t<Word>> out, const DigitExtension<Word>& extension,
                  Correction correction, const Stream& stream) {
  const RnsShape coefficients_shape("coefficients", coefficients);
  const RnsShape values_shape("values", values);
  const RnsShape out_shape("out", out);
  for (const RnsShape& shape : {out_shape, coefficients_shape, values_shape}) {
    check_view(kFunction, shape);
    check_polys(kFunction, shape, out_shape, false);
    check_count(kFunction, std::string(shape.name) + ".degree", shape.degree, "the ring's degree",
                extension.tables().degree());
  }
  check_memory(kFunction, "extension", extension.conversion().backend(), stream);
  check_count(kFunction, "out.limbs", out.limbs, "extension.limbs().count",
              extension.limbs().count);
  for (const RnsShape& shape : {coefficients_shape, values_shape}) {
    check_count(kFunction, std::string(shape.name) + ".limbs", shape.limbs, "extension.count()",
                extension.count());
  }
  const int first = extension.first();
  const int count = extension.count();
  const int after = extension.limbs().count - first - count;
  const RnsView<Word> before_digit = out.limb_range(0, first);
  const RnsView<Word> own = out.limb_range(first, count);
  const RnsView<Word> after_digit = out.limb_range(first + count, after);
  check_disjoint(kFunction, out_shape, coefficients_shape);
  check_disjoint(kFunction, RnsShape("out", before_digit), values_shape);
  check_disjoint(kFunction, RnsShape("out", after_digit), values_shape);
  check_same_or_disjoint(kFunction, RnsShape("out", own), values_shape);

  if (values.data != own.data) copy_limbs<Word>(values, own, stream);
  run_base_conversion(BaseConversionTask<Word>{coefficients, out, extension.conversion().view(),
                                               correction == Correction::kCentred,
                                               premultiplied == Premultiplied::kYes, first, count},
                      stream);
  ntt_forward_inplace(before_digit, part(extension.limbs(), 0, first), extension.tables(), stream);
  ntt_forward_inplace(after_digit, part(extension.limbs(), first + count, after),
                      extension.tables(), stream);
}

#define VELUM_INSTANTIATE(Word)                                                       \
  template void extend_digit(RnsView<const Word>, Premultiplied, RnsView<const Word>, \
                             RnsView<Word>, const DigitExtension<Word>&, Correction,  \
                             const Stream&);
VELUM_INSTANTIATE(std::uint32_t)
VELUM_INSTANTIATE(std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
