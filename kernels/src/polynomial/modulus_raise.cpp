#include "velum/kernels/polynomial/modulus_raise.h"

#include <stdexcept>
#include <string>
#include <vector>

#include "polynomial/base_conversion_halves.h"
#include "polynomial/check_rns.h"
#include "polynomial/ntt_halves.h"
#include "velum/kernels/polynomial/elementwise.h"
#include "velum/kernels/polynomial/ntt.h"

namespace velum::kernels {
namespace {

constexpr const char* kFunction = "extend_digit";
constexpr const char* kFunctionOfAll = "extend_digits";

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

namespace {

/// All digits at once.
template <typename Word>
void extend_digits_cpu(const RnsView<const Word>& coefficients, bool premultiplied,
                       const RnsView<const Word>& values, const RnsView<Word>& out,
                       Span<const DigitExtension<Word>> extensions, bool centred,
                       const Stream& stream) {
  std::vector<BaseConversionTask<Word>> conversions;
  std::vector<LimbRange> digits;
  std::int64_t at = 0;
  for (std::int64_t k = 0; k < extensions.size(); ++k) {
    const int first = extensions[k].first(), count = extensions[k].count();
    conversions.push_back({coefficients.limb_range(at, count), out.poly_range(k, 1),
                           extensions[k].conversion().view(), centred, premultiplied, first,
                           count});
    digits.push_back({first, count});
    at += count;
  }
  base_conversions_cpu(Span<const BaseConversionTask<Word>>(conversions), stream);
  ntt_forward_or_copy_cpu(
      NttForwardTask<Word, KeepValuesOfAll<Word>>{
          out, extensions[0].limbs(), extensions[0].tables().view(), {}},
      Span<const LimbRange>(digits), values, stream);
}

}  // namespace

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

template <typename Word>
void extend_digits(RnsView<const std::type_identity_t<Word>> coefficients,
                   Premultiplied premultiplied, RnsView<const std::type_identity_t<Word>> values,
                   RnsView<std::type_identity_t<Word>> out,
                   Span<const DigitExtension<Word>> extensions, Correction correction,
                   const Stream& stream) {
  const char* function = kFunctionOfAll;
  check_at_least(function, "extensions.size()", extensions.size(), 1);
  const LimbIndices& limbs = extensions[0].limbs();
  const NttTables<Word>& tables = extensions[0].tables();
  std::int64_t count = 0;
  for (std::int64_t k = 0; k < extensions.size(); ++k) {
    const std::string name = "extensions[" + std::to_string(k) + "]";
    if (&extensions[k].tables() != &tables || !(extensions[k].limbs() == limbs)) {
      throw std::invalid_argument(std::string(function) + ": " + name +
                                  " is of other tables or limbs than extensions[0]");
    }
    check_memory(function, name.c_str(), extensions[k].conversion().backend(), stream);
    count += extensions[k].count();
  }
  const RnsShape coefficients_shape("coefficients", coefficients);
  const RnsShape values_shape("values", values);
  const RnsShape out_shape("out", out);
  for (const RnsShape& shape : {out_shape, coefficients_shape, values_shape}) {
    check_view(function, shape);
    check_count(function, std::string(shape.name) + ".degree", shape.degree, "the ring's degree",
                tables.degree());
  }
  for (const RnsShape& shape : {coefficients_shape, values_shape}) {
    if (shape.polys != 1) refuse(function, std::string(shape.name) + ".polys", shape.polys, "1");
    check_count(function, std::string(shape.name) + ".limbs", shape.limbs,
                "the sum of the extensions' counts", count);
    check_disjoint(function, out_shape, shape);
  }
  check_count(function, "out.polys", out.polys, "extensions.size()", extensions.size());
  check_count(function, "out.limbs", out.limbs, "extensions[0].limbs().count", limbs.count);

  if (stream.backend() == Backend::kCpu) {
    return extend_digits_cpu<Word>(coefficients, premultiplied == Premultiplied::kYes, values, out,
                                   extensions, correction == Correction::kCentred, stream);
  }
  std::int64_t at = 0;
  for (std::int64_t k = 0; k < extensions.size(); ++k) {
    const int digit = extensions[k].count();
    extend_digit<Word>(coefficients.limb_range(at, digit), premultiplied,
                       values.limb_range(at, digit), out.poly_range(k, 1), extensions[k],
                       correction, stream);
    at += digit;
  }
}

#define VELUM_INSTANTIATE(Word)                                                            \
  template void extend_digits(RnsView<const Word>, Premultiplied, RnsView<const Word>,     \
                              RnsView<Word>, Span<const DigitExtension<Word>>, Correction, \
                              const Stream&);                                              \
  template void extend_digit(RnsView<const Word>, Premultiplied, RnsView<const Word>,      \
                             RnsView<Word>, const DigitExtension<Word>&, Correction,       \
                             const Stream&);
VELUM_INSTANTIATE(std::uint32_t)
VELUM_INSTANTIATE(std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
