#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "polynomial/base_conversion_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>

#include "modular/residue_vectors-inl.h"
#include "polynomial/base_conversion_halves.h"

#ifndef VELUM_POLYNOMIAL_BASE_CONVERSION_CPU_
#define VELUM_POLYNOMIAL_BASE_CONVERSION_CPU_
namespace velum::kernels::cpu {

/// Coefficients that a thread converts at a time: 512 bytes a limb, so that the y_i of some tens of
/// limbs stay in a first-level cache while every target reads them.
template <typename Word>
inline constexpr std::int64_t kTile = 512 / static_cast<std::int64_t>(sizeof(Word));

/// Coefficients [begin, end) of a polynomial, at most kTile.
struct ConversionPart {
  std::int64_t poly, begin, end;
};

/// The rows of a sum for the coefficients of a part, each kTile words. y_i that were handed in stay
/// where they are.
template <typename Word>
struct ConversionRows {
  const Word* row[LimbIndices::kMaxLimbs + 1];
  alignas(64) Word computed[(LimbIndices::kMaxLimbs + 1) * kTile<Word>];

  Word* space(std::int32_t i) { return computed + i * kTile<Word>; }
};

/// One coefficient at a time, from coefficient `first` of the part on.
template <typename Word>
void convert_part(const BaseConversionTask<Word>& task, const ConversionPart& part) {
  using Wide = WideOf<Word>;
  using Sum = ProductSum<Word>;
  Word rows[LimbIndices::kMaxLimbs + 1];
  const BaseConversionView<Word>& c = task.conversion;
  for (std::int64_t i = part.begin; i < part.end; ++i) {
    Wide fractions = 0;
    for (std::int32_t source = 0; source < c.from_count; ++source) {
      rows[source] = task.y(task.in.limb(part.poly, source)[i], source);
      if (task.centred) fractions += fraction(rows[source], c.reciprocals[source]);
    }
    if (task.centred) rows[c.from_count] = nearest_integer<Word>(fractions);
    for (std::int32_t target = 0; target < c.to_count; ++target) {
      const Modulus<Word>& p = c.to[target];
      Wide sum = 0;
      int left = Sum::kFirstProducts;
      for (std::int32_t row = 0; row < task.rows(); ++row) {
        if (left == 0) {
          sum = fold_sum(sum, p.value);
          left = Sum::kMoreProducts;
        }
        --left;
        sum += static_cast<Wide>(rows[row]) * c.table[row * c.to_count + target];
      }
      task.out_limb(part.poly, target)[i] = reduce_sum_montgomery(sum, p);
    }
  }
}

}  // namespace velum::kernels::cpu
#endif  // VELUM_POLYNOMIAL_BASE_CONVERSION_CPU_

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void convert_vectors(const BaseConversionTask<std::uint32_t>& task,
                     const cpu::ConversionPart& part) {
  cpu::convert_part(task, part);
}

#else

namespace rv = residue_vectors;
namespace hn = hwy::HWY_NAMESPACE;

/// The y_i of a part, and the integers to take off where the conversion is centred.
HWY_INLINE void make_rows(const BaseConversionTask<std::uint32_t>& task,
                          const cpu::ConversionPart& part,
                          cpu::ConversionRows<std::uint32_t>& rows) {
  const BaseConversionView<std::uint32_t>& c = task.conversion;
  const std::int64_t count = part.end - part.begin;
  for (std::int32_t source = 0; source < c.from_count; ++source) {
    const std::uint32_t* const in = task.in.limb(part.poly, source) + part.begin;
    if (task.premultiplied) {
      rows.row[source] = in;
      continue;
    }
    const rv::FactorVector factor = rv::factor_vector(c.inverse_factors[source]);
    const rv::Residues q = rv::set(c.from[source].value);
    std::uint32_t* const to = rows.space(source);
    for (std::int64_t i = 0; i < count; i += rv::kLanes) {
      rv::store(rv::multiply_mod(rv::load(in + i), factor, q), to + i);
    }
    rows.row[source] = to;
  }
  if (!task.centred) return;
  using F = Fraction<std::uint32_t>;
  std::uint32_t* const integers = rows.space(c.from_count);
  rows.row[c.from_count] = integers;
  for (std::int64_t i = 0; i < count; i += rv::kLanes) {
    rv::Wides even = hn::Set(rv::WideTag(), F::kHalf);
    rv::Wides odd = even;
    for (std::int32_t source = 0; source < c.from_count; ++source) {
      const Reciprocal<std::uint32_t>& r = c.reciprocals[source];
      const rv::Residues high = rv::set(r.high);
      const rv::Residues low = rv::set(r.low);
      const auto fractions = [high, low](rv::Residues scaled) {
        return hn::ShiftRight<F::kShift>(
            hn::Add(hn::MulEven(scaled, high), hn::ShiftRight<32>(hn::MulEven(scaled, low))));
      };
      const rv::Residues scaled =
          hn::ShiftLeftSame(rv::load(rows.row[source] + i), static_cast<int>(r.shift));
      even = hn::Add(even, fractions(scaled));
      odd = hn::Add(odd, fractions(rv::odd_lanes(scaled)));
    }
    rv::store(rv::low_words(hn::ShiftRight<F::kBits>(even), hn::ShiftRight<F::kBits>(odd)),
              integers + i);
  }
}

/// Targets [first, first + kTargets): a y_i is read once for all of them.
template <int kTargets>
HWY_INLINE void convert_targets(const BaseConversionTask<std::uint32_t>& task,
                                const cpu::ConversionPart& part,
                                const cpu::ConversionRows<std::uint32_t>& rows,
                                std::int32_t first) {
  using Sum = ProductSum<std::uint32_t>;
  const BaseConversionView<std::uint32_t>& c = task.conversion;
  const std::int32_t row_count = task.rows();
  std::uint32_t* out[kTargets];
  for (int t = 0; t < kTargets; ++t) out[t] = task.out_limb(part.poly, first + t) + part.begin;
  for (std::int64_t i = 0; i < part.end - part.begin; i += rv::kLanes) {
    rv::Wides even[kTargets];
    rv::Wides odd[kTargets];
    for (int t = 0; t < kTargets; ++t) even[t] = odd[t] = hn::Zero(rv::WideTag());
    int left = Sum::kFirstProducts;
    for (std::int32_t row = 0; row < row_count; ++row) {
      if (left == 0) {
        for (int t = 0; t < kTargets; ++t) {
          even[t] = rv::fold_sums(even[t], c.to[first + t].value);
          odd[t] = rv::fold_sums(odd[t], c.to[first + t].value);
        }
        left = Sum::kMoreProducts;
      }
      --left;
      const rv::Residues y = rv::load(rows.row[row] + i);
      const rv::Residues y_odd = rv::odd_lanes(y);
      const std::uint32_t* const constants = c.table + row * c.to_count + first;
      for (int t = 0; t < kTargets; ++t) {
        const rv::Residues constant = rv::set(constants[t]);
        even[t] = hn::Add(even[t], hn::MulEven(y, constant));
        odd[t] = hn::Add(odd[t], hn::MulEven(y_odd, constant));
      }
    }
    for (int t = 0; t < kTargets; ++t) {
      const Modulus<std::uint32_t>& p = c.to[first + t];
      rv::store(rv::reduce_sums_montgomery(even[t], odd[t], rv::set(p.value), rv::set(p.inverse)),
                out[t] + i);
    }
  }
}

void convert_vectors(const BaseConversionTask<std::uint32_t>& task,
                     const cpu::ConversionPart& part) {
  if (part.end - part.begin < rv::kLanes) return cpu::convert_part(task, part);
  cpu::ConversionRows<std::uint32_t> rows;
  make_rows(task, part, rows);
  constexpr std::int32_t kTargets = 4;  // eight sums, in sixteen registers
  const std::int32_t count = task.conversion.to_count;
  std::int32_t first = 0;
  for (; first + kTargets <= count; first += kTargets) {
    convert_targets<kTargets>(task, part, rows, first);
  }
  switch (count - first) {
    case 3:
      return convert_targets<3>(task, part, rows, first);
    case 2:
      return convert_targets<2>(task, part, rows, first);
    case 1:
      return convert_targets<1>(task, part, rows, first);
    default:
      return;
  }
}

#endif

}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(convert_vectors);

/// Products that are worth a thread of their own: some microseconds of vectors.
constexpr std::int64_t kGrain = 1 << 16;

}  // namespace

template <typename Word>
void base_conversions_cpu(Span<const BaseConversionTask<Word>> tasks, const Stream& stream) {
  if (tasks.empty() || tasks[0].out.polys == 0) return;
  const std::int64_t degree = tasks[0].out.degree;
  const std::int64_t length = std::min(degree, cpu::kTile<Word>);
  const std::int64_t parts = degree / length;  // both are powers of two
  const std::int64_t parts_of_task = tasks[0].out.polys * parts;
  const auto run = [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const BaseConversionTask<Word>& task = tasks[i / parts_of_task];
      const std::int64_t begin = i % parts * length;
      const cpu::ConversionPart part{i % parts_of_task / parts, begin, begin + length};
      if constexpr (sizeof(Word) == sizeof(std::uint32_t)) {
        HWY_DYNAMIC_DISPATCH(convert_vectors)(task, part);
      } else {
        cpu::convert_part(task, part);
      }
    }
  };
  const std::int64_t products =
      length * tasks[0].rows() * std::max(1, tasks[0].conversion.to_count);
  stream.parallel_for().run(tasks.size() * parts_of_task,
                            std::max<std::int64_t>(1, kGrain / products), run);
}

template void base_conversions_cpu(Span<const BaseConversionTask<std::uint32_t>>, const Stream&);
template void base_conversions_cpu(Span<const BaseConversionTask<std::uint64_t>>, const Stream&);

}  // namespace velum::kernels
#endif  // HWY_ONCE
