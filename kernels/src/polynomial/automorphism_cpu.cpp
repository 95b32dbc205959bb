#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "polynomial/automorphism_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include "modular/residue_vectors-inl.h"
#include "polynomial/automorphism_halves.h"

#ifndef VELUM_POLYNOMIAL_AUTOMORPHISM_CPU_
#define VELUM_POLYNOMIAL_AUTOMORPHISM_CPU_
namespace velum::kernels::cpu {

/// Coefficients whose sources are computed at a time, and limbs that share them: with the sources,
/// a quarter of a first-level cache each way.
inline constexpr std::int64_t kSources = 1024;
inline constexpr std::int64_t kRows = 8;

/// Limbs [first_row, last_row), counted over the polynomials, and coefficients [begin, end).
struct AutomorphismPart {
  std::int64_t first_row, last_row, begin, end;
};

template <typename Word, typename RowBody>
void for_each_row(const AutomorphismTask<Word>& task, const AutomorphismPart& part,
                  const RowBody& body) {
  for (std::int64_t row = part.first_row; row < part.last_row; ++row) {
    const std::int64_t poly = row / task.out.limbs;
    const std::int64_t limb = row % task.out.limbs;
    body(task.in.limb(poly, limb), task.out.limb(poly, limb), limb);
  }
}

/// Both forms one coefficient at a time.
template <AutomorphismForm kForm, typename Word>
void automorphism_part(const AutomorphismTask<Word>& task, const AutomorphismPart& part) {
  std::uint32_t sources[kSources];
  const Automorphism& map = task.automorphism;
  for (std::int64_t i = part.begin; i < part.end; ++i) {
    const auto index = static_cast<std::uint32_t>(i);
    sources[i - part.begin] = kForm == AutomorphismForm::kNtt ? map.source_of_value(index)
                                                              : map.source_of_coefficient(index);
  }
  for_each_row(task, part, [&](const Word* in, Word* out, std::int64_t limb) {
    if constexpr (kForm == AutomorphismForm::kNtt) {
      for (std::int64_t i = part.begin; i < part.end; ++i) out[i] = in[sources[i - part.begin]];
    } else {
      const Word q = task.moduli[task.limbs[limb]].value;
      for (std::int64_t i = part.begin; i < part.end; ++i) {
        const std::uint32_t source = sources[i - part.begin];
        const Word value = in[source & (map.degree() - 1)];
        out[i] = source >> map.log_degree ? negate_mod(value, q) : value;
      }
    }
  });
}

}  // namespace velum::kernels::cpu
#endif  // VELUM_POLYNOMIAL_AUTOMORPHISM_CPU_

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

void permute_coefficients(const AutomorphismTask<std::uint32_t>& task,
                          const cpu::AutomorphismPart& part) {
  cpu::automorphism_part<AutomorphismForm::kCoefficient>(task, part);
}
void permute_values(const AutomorphismTask<std::uint32_t>& task,
                    const cpu::AutomorphismPart& part) {
  cpu::automorphism_part<AutomorphismForm::kNtt>(task, part);
}

#else

namespace rv = residue_vectors;
namespace hn = hwy::HWY_NAMESPACE;

void permute_coefficients(const AutomorphismTask<std::uint32_t>& task,
                          const cpu::AutomorphismPart& part) {
  if (part.end - part.begin < rv::kLanes) {
    return cpu::automorphism_part<AutomorphismForm::kCoefficient>(task, part);
  }
  HWY_ALIGN_MAX std::uint32_t sources[cpu::kSources];
  const Automorphism& map = task.automorphism;
  for (std::int64_t i = part.begin; i < part.end; ++i) {
    sources[i - part.begin] = map.source_of_coefficient(static_cast<std::uint32_t>(i));
  }
  const rv::ResidueTag d;
  const hn::RebindToSigned<rv::ResidueTag> di;
  const rv::Residues index_mask = rv::set(map.degree() - 1);
  const rv::Residues sign_bit = rv::set(map.degree());
  cpu::for_each_row(
      task, part, [&](const std::uint32_t* in, std::uint32_t* out, std::int64_t limb) {
        const rv::Residues q = rv::set(task.moduli[task.limbs[limb]].value);
        for (std::int64_t i = part.begin; i < part.end; i += rv::kLanes) {
          const rv::Residues source = hn::Load(d, sources + (i - part.begin));
          const rv::Residues value =
              hn::GatherIndex(d, in, hn::BitCast(di, hn::And(source, index_mask)));
          const auto negative = hn::TestBit(source, sign_bit);
          rv::store(hn::IfThenElse(negative, rv::negate_mod(value, q), value), out + i);
        }
      });
}

/// The values of one vector, an aligned run of L = 2^l, come from one aligned run. With m = log2(N)
/// - l, J the number of the run and f = r_m(J), r the reversal of so many bits: value j = L J + t
/// is at the exponent 2 (r_l(t) 2^m + f) + 1, so its source is at
///
///   (g (2 (r_l(t) 2^m + f) + 1) - 1) / 2 = g r_l(t) 2^m + h,   h = g f + (g - 1) / 2, modulo N.
///
/// With h = c 2^m + h' that is ((g r_l(t) + c) mod L) 2^m + h': run r_m(h'), lane r_l((g r_l(t) +
/// c) mod L) of it.
void permute_values(const AutomorphismTask<std::uint32_t>& task,
                    const cpu::AutomorphismPart& part) {
  if (part.end - part.begin < rv::kLanes) {
    return cpu::automorphism_part<AutomorphismForm::kNtt>(task, part);
  }
  constexpr auto kLanes = static_cast<std::uint32_t>(rv::kLanes);
  constexpr int kLogLanes = std::countr_zero(kLanes);
  const rv::ResidueTag d;
  const hn::RebindToSigned<rv::ResidueTag> di;
  HWY_ALIGN_MAX std::uint32_t lanes[cpu::kSources];  // of the source, within its run
  std::uint32_t runs[cpu::kSources / kLanes];

  HWY_ALIGN_MAX std::uint32_t table[kLanes];
  for (std::uint32_t t = 0; t < kLanes; ++t) table[t] = reverse_bits(t, kLogLanes);
  const rv::Residues reversed = hn::Load(d, table);
  const rv::Residues multiplied = hn::Mul(reversed, rv::set(task.automorphism.element));
  const rv::Residues lane_mask = rv::set(kLanes - 1);
  const int m = task.automorphism.log_degree - kLogLanes;
  const std::uint32_t g = task.automorphism.element;
  for (std::int64_t i = part.begin; i < part.end; i += rv::kLanes) {
    const std::uint32_t f = reverse_bits(static_cast<std::uint32_t>(i) >> kLogLanes, m);
    const std::uint32_t h = (g * f + (g >> 1)) & (task.automorphism.degree() - 1);
    runs[(i - part.begin) / rv::kLanes] = reverse_bits(h & ((std::uint32_t{1} << m) - 1), m)
                                          << kLogLanes;
    const rv::Residues sum = hn::And(hn::Add(multiplied, rv::set(h >> m)), lane_mask);
    hn::Store(hn::TableLookupLanes(reversed, hn::IndicesFromVec(d, hn::BitCast(di, sum))), d,
              lanes + (i - part.begin));
  }
  cpu::for_each_row(task, part, [&](const std::uint32_t* in, std::uint32_t* out, std::int64_t) {
    for (std::int64_t i = part.begin; i < part.end; i += rv::kLanes) {
      const auto lane =
          hn::Load(di, reinterpret_cast<const std::int32_t*>(lanes) + (i - part.begin));
      const rv::Residues from = rv::load(in + runs[(i - part.begin) / rv::kLanes]);
      rv::store(hn::TableLookupLanes(from, hn::IndicesFromVec(d, lane)), out + i);
    }
  });
}

#endif

}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(permute_coefficients);
HWY_EXPORT(permute_values);

}  // namespace

template <AutomorphismForm kForm, typename Word>
void automorphism_cpu(const AutomorphismTask<Word>& task, const Stream& stream) {
  const std::int64_t rows = task.out.polys * task.out.limbs;
  const std::int64_t length = std::min(task.out.degree, cpu::kSources);
  const std::int64_t pieces = task.out.degree / length;
  const std::int64_t groups = (rows + cpu::kRows - 1) / cpu::kRows;
  const auto run = [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t row = i / pieces * cpu::kRows;
      const std::int64_t begin = i % pieces * length;
      const cpu::AutomorphismPart part{row, std::min(rows, row + cpu::kRows), begin,
                                       begin + length};
      if constexpr (sizeof(Word) != sizeof(std::uint32_t)) {
        cpu::automorphism_part<kForm>(task, part);
      } else if constexpr (kForm == AutomorphismForm::kCoefficient) {
        HWY_DYNAMIC_DISPATCH(permute_coefficients)(task, part);
      } else {
        HWY_DYNAMIC_DISPATCH(permute_values)(task, part);
      }
    }
  };
  constexpr std::int64_t kGrain = 4;  // some ten microseconds
  if (groups > 0) stream.parallel_for().run(groups * pieces, kGrain, run);
}

#define VELUM_INSTANTIATE(form, Word)                                                         \
  template void automorphism_cpu<AutomorphismForm::form, Word>(const AutomorphismTask<Word>&, \
                                                               const Stream&);
VELUM_INSTANTIATE(kCoefficient, std::uint32_t)
VELUM_INSTANTIATE(kCoefficient, std::uint64_t)
VELUM_INSTANTIATE(kNtt, std::uint32_t)
VELUM_INSTANTIATE(kNtt, std::uint64_t)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
#endif  // HWY_ONCE
