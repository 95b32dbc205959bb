#include <algorithm>
#include <cstdint>

#include "polynomial/row_blocks.h"
#include "random/keystream.h"
#include "random/prepared_stream.h"
#include "random/residues_halves.h"
#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "random/residues_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "random/chacha20-inl.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels {
namespace HWY_NAMESPACE {
#if HWY_TARGET == HWY_SCALAR

/// A machine without a SIMD target of Highway's: lane by lane.
void residue_groups(const PreparedStream& stream, std::uint32_t q, std::int64_t first_group,
                    std::int64_t groups, std::uint32_t* out) {
  constexpr std::int64_t kGroup = ResidueLayout::kDrawsPerGroup;
  ResidueLaneBody body{};
  body.task.out.degree = (first_group + groups) * kGroup;
  for (std::int64_t group = first_group; group < first_group + groups; ++group) {
    for (std::int64_t lane = 0; lane < ResidueLayout::kLanesPerGroup; ++lane) {
      body.fill(group, lane, stream.state, q, out - first_group * kGroup);
    }
  }
}

#else

/// floor(U q / 2^96) in every lane; a product of 64 bits takes two lanes, so even ones and odd ones
/// are computed apart.
HWY_INLINE Words residues_below(Words q, Words u0, Words u1, Words u2) {
  const WordTag d;
  const hn::Repartition<std::uint64_t, WordTag> wide;
  const auto odd = [&](Words u) HWY_ATTR {
    return hn::BitCast(d, hn::ShiftRight<32>(hn::BitCast(wide, u)));
  };
  auto even_carry = hn::ShiftRight<32>(hn::MulEven(u0, q));
  auto odd_carry = hn::ShiftRight<32>(hn::MulEven(odd(u0), q));
  even_carry = hn::ShiftRight<32>(hn::Add(hn::MulEven(u1, q), even_carry));
  odd_carry = hn::ShiftRight<32>(hn::Add(hn::MulEven(odd(u1), q), odd_carry));
  even_carry = hn::ShiftRight<32>(hn::Add(hn::MulEven(u2, q), even_carry));
  odd_carry = hn::Add(hn::MulEven(odd(u2), q), odd_carry);  // the result is its upper half
  return hn::OddEven(hn::BitCast(d, odd_carry), hn::BitCast(d, even_carry));
}

void residue_groups(const PreparedStream& stream, std::uint32_t q, std::int64_t first_group,
                    std::int64_t groups, std::uint32_t* out) {
  using Layout = ResidueLayout;
  const WordTag d;
  const Words modulus = hn::Set(d, q);
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t group = first_group; group < first_group + groups; ++group) {
    for (std::int64_t lane = 0; lane < Layout::kLanesPerGroup; lane += lanes) {
      Words last[Layout::kBlocksPerLane];
      std::uint32_t* to = out + lane;
      for (int b = 0; b < Layout::kBlocksPerLane; ++b) {
        Words x[16];
        chacha20_blocks(stream, static_cast<std::uint32_t>(Layout::block_of(group, lane, b)), x);
        for (int s = 0; s < Layout::kSlotsPerBlock; ++s, to += Layout::kLanesPerGroup) {
          hn::StoreU(residues_below(modulus, x[3 * s], x[3 * s + 1], x[3 * s + 2]), d, to);
        }
        last[b] = x[15];
      }
      hn::StoreU(residues_below(modulus, last[0], last[1], last[2]), d, to);
    }
    out += Layout::kDrawsPerGroup;
  }
}

#endif  // HWY_TARGET == HWY_SCALAR
}  // namespace HWY_NAMESPACE
}  // namespace velum::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(residue_groups);

/// Groups [begin, end) of a limb.
void fill_groups(const PreparedStream& stream, std::uint32_t q, std::int64_t begin,
                 std::int64_t end, Span<std::uint32_t> limb) {
  constexpr std::int64_t kGroup = ResidueLayout::kDrawsPerGroup;
  const std::int64_t whole = std::min(end, limb.size() / kGroup);
  if (begin < whole) {
    HWY_DYNAMIC_DISPATCH(residue_groups)
    (stream, q, begin, whole - begin, limb.data() + begin * kGroup);
  }
  if (whole < end) {  // the last group, of which the limb holds a part
    alignas(64) std::uint32_t draws[kGroup];
    HWY_DYNAMIC_DISPATCH(residue_groups)(stream, q, whole, 1, draws);
    std::copy_n(draws, limb.size() - whole * kGroup, limb.data() + whole * kGroup);
  }
}

}  // namespace

void uniform_residues_fill_cpu(const UniformResiduesTask<std::uint32_t>& task,
                               const Stream& stream) {
  // 32 groups are some 20 microseconds: enough to hide handing them to a thread.
  constexpr std::int64_t kGrainGroups = 32;
  const RnsView<std::uint32_t>& out = task.out;
  const std::int64_t groups = ResidueLayout::groups_of(out.degree);
  const std::int64_t count = out.polys * out.limbs * groups;
  if (count == 0) return;
  stream.parallel_for().run(count, kGrainGroups, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      const std::int64_t row = begin / groups;
      const std::int64_t first = begin - row * groups;
      const std::int64_t last = std::min(groups, first + end - begin);
      const std::int64_t limb = row % out.limbs;
      const std::int64_t poly = row / out.limbs;
      fill_groups(PreparedStream(task.stream(poly, limb)), task.moduli[task.limbs[limb]].value,
                  first, last, Span<std::uint32_t>(out.limb(poly, limb), out.degree));
      begin += last - first;
    }
  });
}

void uniform_residues_fill_cpu(const UniformResiduesTask<std::uint64_t>& task,
                               const Stream& stream) {
  constexpr std::int64_t kGrain = 4096;  // draws: some 20 microseconds
  constexpr std::int64_t kPiece = 512;   // draws whose keystream, 8 KiB, stays in a cache
  constexpr std::int64_t kWordsPerDraw = 4;
  const RnsView<std::uint64_t>& out = task.out;
  cpu::for_each_row_block(
      out.polys, out.limbs, out.degree, kGrain, stream,
      [&](std::int64_t poly, std::int64_t limb, std::int64_t begin, std::int64_t end) {
        const std::uint64_t q = task.moduli[task.limbs[limb]].value;
        const ChaCha20State state = task.stream(poly, limb);
        std::uint64_t* const to = out.limb(poly, limb);
        alignas(64) std::uint32_t words[kPiece * kWordsPerDraw];
        for (std::int64_t first = begin; first < end; first += kPiece) {
          const std::int64_t size = std::min(kPiece, end - first);
          cpu::keystream_chunk(state, first * kWordsPerDraw,
                               Span<std::uint32_t>(words, size * kWordsPerDraw));
          for (std::int64_t i = 0; i < size; ++i) {
            const std::uint32_t* const draw = words + i * kWordsPerDraw;
            to[first + i] = integer_below(q, bits_of_words(draw, 0), bits_of_words(draw, 1));
          }
        }
      });
}

}  // namespace velum::kernels
#endif  // HWY_ONCE
