#include <algorithm>
#include <bit>

#include "cuda/launch.cuh"
#include "polynomial/base_conversion_halves.h"

namespace velum::kernels {
namespace {

template <typename Word>
struct BaseConversionConfig {
  /// Coefficients per thread, kThreads apart: what is read from shared memory serves as many
  /// products.
  static constexpr int kCoefficients = sizeof(Word) == 4 ? 4 : 2;
  /// Of a block, for all targets: N = 2^14 gives a block to nearly each of 132 SMs.
  static constexpr int kTile = 128;
  static constexpr int kThreads = kTile / kCoefficients;
  /// Targets at a time: their sums take 96 registers. A row of the table is read from shared memory
  /// 16 bytes at a time.
  static constexpr int kTargets = 48 / static_cast<int>(sizeof(Word));
  /// Rows whose y_i are in shared memory: computed once for all targets if there are no more.
  static constexpr int kRows = sizeof(Word) == 4 ? 16 : 12;
  static_assert(kRows <= ProductSum<Word>::kFirstProducts);
  /// More rows are taken so many at a time, after the sums are folded.
  static constexpr int kMoreRows = std::min(kRows, ProductSum<Word>::kMoreProducts);
  /// Rows of products written out: a row of 64-bit words is 48 IMAD.WIDE already.
  static constexpr int kUnrolledRows = sizeof(Word) == 4 ? 4 : 1;
  /// Eight resident blocks on each of 132 SMs, in 64 waves; tiles beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 64;
};

/// A sum of products in registers, as ProductSum bounds it: an IMAD.WIDE for a product.
template <typename Word>
struct SumOfProducts {
  /// Products that it takes before it must `settle`.
  static constexpr int kProducts = ProductSum<Word>::kFirstProducts;
  WideOf<Word> sum;

  /// The first product.
  __device__ void start(Word a, Word b) { sum = static_cast<WideOf<Word>>(a) * b; }
  __device__ void add(Word a, Word b) { sum += static_cast<WideOf<Word>>(a) * b; }
  __device__ void settle() {}
  __device__ WideOf<Word> value() const { return sum; }
  __device__ void set_value(WideOf<Word> value) { sum = value; }
  /// `montgomery_reduce_lazy` of a settled sum and of products since then.
  __device__ Word reduce_lazy(Word q, Word inverse) const {
    Modulus<Word> m{};
    m.value = q;
    m.inverse = inverse;
    return montgomery_reduce_lazy(sum, m);
  }
};
/// Four of them. Those of unlike halves are summed apart from those of like ones, so that no carry
/// has to be taken further, and apart from each other, so that more of them fit.
template <>
struct SumOfProducts<std::uint64_t> {
  static constexpr int kHighBits = WordTraits<std::uint64_t>::kModulusBits - 32;
  static constexpr int kProducts = (1 << (32 - kHighBits)) - 1;
  /// A sum of products of unlike halves fits a word with one more in `reduce_lazy`, the high word
  /// of `low` and a carry.
  static_assert(WideOf<std::uint64_t>{kProducts + 1} * ((std::uint64_t{1} << 32) - 1) *
                        ((std::uint64_t{1} << kHighBits) - 1) +
                    (std::uint64_t{1} << 33) <
                WideOf<std::uint64_t>{1} << 64);
  // Words, taken apart in assembly only: otherwise ptxas keeps halves where they are no pair for an
  // IMAD.WIDE, and moves them each time.
  std::uint64_t low, high;  // the sum of products of like halves
  std::uint64_t unlike[2];  // of unlike ones, times 2^32

  __device__ void start(std::uint64_t a, std::uint64_t b) {
    const Halves x(a), y(b);
    low = product(x.low, y.low);
    high = product(x.high, y.high);
    unlike[0] = product(x.low, y.high);
    unlike[1] = product(x.high, y.low);
  }
  __device__ void add(std::uint64_t a, std::uint64_t b) {
    const Halves x(a), y(b);
    asm("{\n\t.reg .u32 s<4>;\n\t"
        "mov.b64 {s0, s1}, %0;\n\t"
        "mov.b64 {s2, s3}, %1;\n\t"
        "mad.lo.cc.u32 s0, %2, %4, s0;\n\t"
        "madc.hi.cc.u32 s1, %2, %4, s1;\n\t"
        "madc.lo.cc.u32 s2, %3, %5, s2;\n\t"
        "madc.hi.u32 s3, %3, %5, s3;\n\t"
        "mov.b64 %0, {s0, s1};\n\t"
        "mov.b64 %1, {s2, s3};\n\t}"
        : "+l"(low), "+l"(high)
        : "r"(x.low), "r"(x.high), "r"(y.low), "r"(y.high));
    add_product(unlike[0], x.low, y.high);
    add_product(unlike[1], x.high, y.low);
  }
  __device__ void settle() {
    const WideOf<std::uint64_t> sum = value() +
                                      (static_cast<WideOf<std::uint64_t>>(unlike[0]) << 32) +
                                      (static_cast<WideOf<std::uint64_t>>(unlike[1]) << 32);
    set_value(sum);
    unlike[0] = unlike[1] = 0;
  }
  /// The sum, settled.
  __device__ WideOf<std::uint64_t> value() const {
    return low | static_cast<WideOf<std::uint64_t>>(high) << 64;
  }
  __device__ void set_value(WideOf<std::uint64_t> value) {
    low = static_cast<std::uint64_t>(value);
    high = static_cast<std::uint64_t>(value >> 64);
  }
  /// What `montgomery_reduce_lazy` gives, but in [0, 2q): two multiples of q make the last
  /// 32 bits 0 each, and the products of unlike halves are taken in on the way.
  __device__ std::uint64_t reduce_lazy(std::uint64_t q, std::uint64_t inverse) const {
    const Halves p(q);
    const std::uint32_t negated = 0 - static_cast<std::uint32_t>(inverse);
    std::uint64_t result;
    asm("{\n\t.reg .u32 s<4>, m0, m1, n0, n1, k;\n\t"
        "mov.b64 {s0, s1}, %1;\n\t"
        "mov.b64 {s2, s3}, %2;\n\t"
        "mov.b64 {m0, m1}, %3;\n\t"
        "mov.b64 {n0, n1}, %4;\n\t"
        "mul.lo.u32 k, s0, %7;\n\t"
        "mad.lo.cc.u32 m0, k, %6, m0;\n\t"  // m += k p.high: fits, as asserted
        "madc.hi.u32 m1, k, %6, m1;\n\t"
        "mad.lo.cc.u32 s0, k, %5, s0;\n\t"  // s += k p.low: s0 = 0
        "madc.hi.cc.u32 s1, k, %5, s1;\n\t"
        "addc.u32 m1, m1, 0;\n\t"
        "add.cc.u32 m0, m0, s1;\n\t"  // m += s1 and the carry
        "addc.u32 m1, m1, 0;\n\t"
        "add.cc.u32 m0, m0, n0;\n\t"  // m += n, the carry to s3
        "addc.cc.u32 m1, m1, n1;\n\t"
        "addc.u32 s3, s3, 0;\n\t"
        "mul.lo.u32 k, m0, %7;\n\t"
        "mad.lo.cc.u32 s2, k, %6, s2;\n\t"
        "madc.hi.u32 s3, k, %6, s3;\n\t"
        "mad.lo.cc.u32 m0, k, %5, m0;\n\t"  // m += k p.low: m0 = 0
        "madc.hi.cc.u32 m1, k, %5, m1;\n\t"
        "addc.u32 s3, s3, 0;\n\t"
        "add.cc.u32 s2, s2, m1;\n\t"  // below 2q
        "addc.u32 s3, s3, 0;\n\t"
        "mov.b64 %0, {s2, s3};\n\t}"
        : "=l"(result)
        : "l"(low), "l"(high), "l"(unlike[0]), "l"(unlike[1]), "r"(p.low), "r"(p.high),
          "r"(negated));
    return result;
  }

 private:
  struct Halves {
    __device__ explicit Halves(std::uint64_t x)
        : low(static_cast<std::uint32_t>(x)), high(static_cast<std::uint32_t>(x >> 32)) {}
    std::uint32_t low, high;
  };
  __device__ static std::uint64_t product(std::uint32_t a, std::uint32_t b) {
    std::uint64_t result;
    asm("mul.wide.u32 %0, %1, %2;" : "=l"(result) : "r"(a), "r"(b));
    return result;
  }
  /// ptxas takes mad.wide.u32 apart, into a product and a sum, but not this.
  __device__ static void add_product(std::uint64_t& sum, std::uint32_t a, std::uint32_t b) {
    asm("{\n\t.reg .u32 low, high;\n\t"
        "mov.b64 {low, high}, %0;\n\t"
        "mad.lo.cc.u32 low, %1, %2, low;\n\t"
        "madc.hi.u32 high, %1, %2, high;\n\t"
        "mov.b64 %0, {low, high};\n\t}"
        : "+l"(sum)
        : "r"(a), "r"(b));
  }
};

/// `reduce_once` of x in [0, 2q).
__device__ inline std::uint32_t smaller_residue(std::uint32_t x, std::uint32_t q) {
  return reduce_once(x, q);
}
/// By the sign of the difference, which the high half has: one instruction less than a comparison.
__device__ inline std::uint64_t smaller_residue(std::uint64_t x, std::uint64_t q) {
  const std::uint64_t y = x - q;
  return static_cast<std::int32_t>(y >> 32) < 0 ? x : y;
}

/// What a reduction reads of a modulus.
template <typename Word>
struct MontgomeryModulus {
  Word value;
  Word inverse;
};

/// What a block has in shared memory.
template <typename Word>
struct BaseConversionShared {
  using Config = BaseConversionConfig<Word>;
  alignas(16) Word y[Config::kRows][Config::kThreads][Config::kCoefficients];  // each thread's own
  alignas(16) Word table[Config::kRows][Config::kTargets];
  alignas(16) MontgomeryModulus<Word> to[Config::kTargets];
};

/// 16 bytes of shared memory at once, where nvcc does not see that it may.
template <typename Word>
struct alignas(16) Vector {
  static constexpr int kWords = 16 / static_cast<int>(sizeof(Word));
  Word words[kWords];
};

/// Columns [first, first + kTargets) of rows [begin, begin + count) of the table, and the moduli of
/// these columns; 0 beyond the last.
template <typename Word>
__device__ void load_columns(const BaseConversionView<Word>& c, int first, int begin, int count,
                             BaseConversionShared<Word>& shared) {
  using Config = BaseConversionConfig<Word>;
  constexpr int kTargets = Config::kTargets;
  const int targets = min(kTargets, c.to_count - first);
  const auto thread = static_cast<int>(threadIdx.x);
#pragma unroll 1
  for (int k = thread; k < count * kTargets; k += Config::kThreads) {
    const int row = k / kTargets;
    const int t = k % kTargets;
    shared.table[row][t] = t < targets ? c.table[(begin + row) * c.to_count + first + t] : 0;
  }
  if (thread < kTargets) {
    MontgomeryModulus<Word> to{};
    if (thread < targets) to = {c.to[first + thread].value, c.to[first + thread].inverse};
    shared.to[thread] = to;
  }
}

/// The y_i of rows [begin, begin + count) for the coefficients i, and the integers to take off if
/// they are among them; `fractions` sums over all rows before.
template <typename Word>
__device__ void make_rows(const BaseConversionTask<Word>& task, std::int64_t poly,
                          const std::uint32_t (&i)[BaseConversionConfig<Word>::kCoefficients],
                          int begin, int count,
                          WideOf<Word> (&fractions)[BaseConversionConfig<Word>::kCoefficients],
                          BaseConversionShared<Word>& shared) {
  constexpr int kCoefficients = BaseConversionConfig<Word>::kCoefficients;
  const BaseConversionView<Word>& c = task.conversion;
  const auto thread = static_cast<int>(threadIdx.x);
  const int sources = min(count, c.from_count - begin);
  // `begin` is the number of sources where the integers are alone.
  const auto degree = static_cast<std::uint32_t>(task.in.degree);
  const Word* in[kCoefficients];
#pragma unroll
  for (int k = 0; k < kCoefficients; ++k) {
    in[k] = task.in.data + poly * task.in.poly_stride + begin * task.in.degree + i[k];
  }
  Vector<Word>* const own = reinterpret_cast<Vector<Word>*>(shared.y[0][thread]);
  constexpr int kVectors = kCoefficients / Vector<Word>::kWords;
  static_assert(kVectors == 1, "a thread's coefficients are a vector");
#pragma unroll 4
  for (int r = 0; r < sources; ++r) {
    Vector<Word> y;
#pragma unroll
    for (int k = 0; k < kCoefficients; ++k) y.words[k] = in[k][r * degree];
    if (!task.premultiplied) {
#pragma unroll
      for (int k = 0; k < kCoefficients; ++k) y.words[k] = task.y(y.words[k], begin + r);
    }
    if (task.centred) {
      const Reciprocal<Word> reciprocal = c.reciprocals[begin + r];
#pragma unroll
      for (int k = 0; k < kCoefficients; ++k) fractions[k] += fraction(y.words[k], reciprocal);
    }
    own[r * BaseConversionConfig<Word>::kThreads] = y;
  }
  if (sources < count) {
    Vector<Word> integers;
#pragma unroll
    for (int k = 0; k < kCoefficients; ++k) {
      integers.words[k] = nearest_integer<Word>(fractions[k]);
    }
    own[sources * BaseConversionConfig<Word>::kThreads] = integers;
  }
}

/// The sums of a thread, for its targets and its coefficients.
template <typename Word>
using ThreadSums = SumOfProducts<Word>[BaseConversionConfig<Word>::kTargets]
                                      [BaseConversionConfig<Word>::kCoefficients];

/// Calls `product(t, k, y_i, constant)` for all targets t and coefficients k of a thread, i =
/// `row`.
template <typename Word, typename Product>
__device__ __forceinline__ void for_each_product(const BaseConversionShared<Word>& shared, int row,
                                                 const Product& product) {
  using Config = BaseConversionConfig<Word>;
  constexpr int kWords = Vector<Word>::kWords;
  const Vector<Word> y = *reinterpret_cast<const Vector<Word>*>(shared.y[row][threadIdx.x]);
#pragma unroll
  for (int t = 0; t < Config::kTargets; t += kWords) {
    const Vector<Word> constants = *reinterpret_cast<const Vector<Word>*>(&shared.table[row][t]);
#pragma unroll
    for (int w = 0; w < kWords; ++w) {
#pragma unroll
      for (int k = 0; k < Config::kCoefficients; ++k) {
        product(t + w, k, y.words[k], constants.words[w]);
      }
    }
  }
}

template <typename Word>
__device__ __forceinline__ void settle(ThreadSums<Word>& sums) {
#pragma unroll
  for (int t = 0; t < BaseConversionConfig<Word>::kTargets; ++t) {
#pragma unroll
    for (int k = 0; k < BaseConversionConfig<Word>::kCoefficients; ++k) sums[t][k].settle();
  }
}

template <typename Word>
__device__ __forceinline__ void fold(const BaseConversionShared<Word>& shared,
                                     ThreadSums<Word>& sums) {
#pragma unroll
  for (int t = 0; t < BaseConversionConfig<Word>::kTargets; ++t) {
#pragma unroll
    for (int k = 0; k < BaseConversionConfig<Word>::kCoefficients; ++k) {
      sums[t][k].set_value(fold_sum(sums[t][k].value(), shared.to[t].value));
    }
  }
}

/// Rows [begin, end), at most as many as the sums take; gives `end`.
template <typename Word>
__device__ __forceinline__ int add_products(const BaseConversionShared<Word>& shared, int begin,
                                            int end, ThreadSums<Word>& sums) {
  constexpr int kUnrolledRows = BaseConversionConfig<Word>::kUnrolledRows;
#pragma unroll kUnrolledRows
  for (int row = begin; row < end; ++row) {
    for_each_product<Word>(
        shared, row, [&](int t, int k, Word y, Word constant) { sums[t][k].add(y, constant); });
  }
  return end;
}

/// The sums for targets first, first + 1, .. as residues, to `out`; kFold unless they are below
/// p 2^w.
template <bool kFold, typename Word>
__device__ void store_residues(const BaseConversionTask<Word>& task, int first,
                               std::uint32_t first_coefficient, Word* out,
                               const ThreadSums<Word>& sums,
                               const BaseConversionShared<Word>& shared) {
  using Config = BaseConversionConfig<Word>;
  const auto degree = static_cast<std::uint32_t>(task.out.degree);
#pragma unroll
  for (int t = 0; t < Config::kTargets; ++t) {
    const int target = first + t;
    if (target >= task.conversion.to_count) break;
    Modulus<Word> p{};
    p.value = shared.to[t].value;
    p.inverse = shared.to[t].inverse;
    Word* const limb = out + static_cast<std::uint32_t>(task.out_index(target)) * degree;
#pragma unroll
    for (int k = 0; k < Config::kCoefficients; ++k) {
      Word result;
      if constexpr (kFold) {
        result = reduce_sum_montgomery(sums[t][k].value(), p);
      } else {
        result = smaller_residue(sums[t][k].reduce_lazy(p.value, p.inverse), p.value);
      }
      if (first_coefficient + k * Config::kThreads < degree) limb[k * Config::kThreads] = result;
    }
  }
}

/// A block takes a tile of coefficients of one polynomial to all targets, kTargets at a time.
template <typename Word>
__global__ void __launch_bounds__(BaseConversionConfig<Word>::kThreads)
    base_conversion_kernel(BaseConversionTask<Word> task, std::int64_t tiles,
                           std::int32_t log_coefficient_tiles) {
  using Config = BaseConversionConfig<Word>;
  constexpr int kTargets = Config::kTargets;
  constexpr int kCoefficients = Config::kCoefficients;
  __shared__ BaseConversionShared<Word> shared;
  const BaseConversionView<Word>& c = task.conversion;
  const int rows = task.rows();
  const auto degree = static_cast<std::uint32_t>(task.out.degree);

  for (std::int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    const std::int64_t poly = tile >> log_coefficient_tiles;
    const auto first_coefficient =
        static_cast<std::uint32_t>(tile - (poly << log_coefficient_tiles)) * Config::kTile +
        threadIdx.x;
    std::uint32_t i[kCoefficients];  // coefficient 0 again beyond the last
    for (int k = 0; k < kCoefficients; ++k) {
      i[k] = first_coefficient + k * Config::kThreads;
      if (i[k] >= degree) i[k] = 0;
    }
    Word* const out = task.out.limb(poly, 0) + first_coefficient;
    for (int first = 0; first < c.to_count; first += kTargets) {
      ThreadSums<Word> sums;
      WideOf<Word> fractions[kCoefficients] = {};
      int count = min(Config::kRows, rows);
      if (first == 0 || rows > Config::kRows) {
        make_rows(task, poly, i, 0, count, fractions, shared);
      }
      __syncthreads();  // the columns before have been read
      load_columns(c, first, 0, count, shared);
      __syncthreads();
      for_each_product<Word>(
          shared, 0, [&](int t, int k, Word y, Word constant) { sums[t][k].start(y, constant); });
      int row = add_products(shared, 1, min(count, SumOfProducts<Word>::kProducts), sums);
      for (int begin = 0; begin + row < rows;) {
        settle(sums);
        if (row == count) {
          begin += count;
          row = 0;
          count = min(Config::kMoreRows, rows - begin);
          make_rows(task, poly, i, begin, count, fractions, shared);
          __syncthreads();
          load_columns(c, first, begin, count, shared);
          __syncthreads();
          fold(shared, sums);
        }
        row = add_products(shared, row, min(count, row + SumOfProducts<Word>::kProducts), sums);
      }
      if (rows <= 1 << ProductSum<Word>::kSpareBits) {
        store_residues<false>(task, first, first_coefficient, out, sums, shared);
      } else {
        settle(sums);
        store_residues<true>(task, first, first_coefficient, out, sums, shared);
      }
    }
  }
}

}  // namespace

template <typename Word>
void base_conversion_cuda(const BaseConversionTask<Word>& task, const Stream& stream) {
  using Config = BaseConversionConfig<Word>;
  // Both are powers of two.
  const std::int64_t coefficient_tiles = std::max<std::int64_t>(1, task.out.degree / Config::kTile);
  const std::int64_t tiles = task.out.polys * coefficient_tiles;
  if (tiles == 0 || task.conversion.to_count == 0) return;
  const int log_coefficient_tiles = std::countr_zero(static_cast<std::uint64_t>(coefficient_tiles));
  cuda::launch({cuda::grid_stride_blocks(tiles, 1, Config::kMaxBlocks), Config::kThreads}, stream,
               base_conversion_kernel<Word>, task, tiles, log_coefficient_tiles);
}

template void base_conversion_cuda(const BaseConversionTask<std::uint32_t>&, const Stream&);
template void base_conversion_cuda(const BaseConversionTask<std::uint64_t>&, const Stream&);

}  // namespace velum::kernels
