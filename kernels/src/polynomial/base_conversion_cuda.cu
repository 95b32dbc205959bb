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
  /// Targets at a time: their sums take 96 registers for 32-bit words, 72 for 64-bit ones. A row of
  /// the table is read from shared memory 16 bytes at a time.
  static constexpr int kTargets = 48 / static_cast<int>(sizeof(Word));
  /// Rows whose y_i are in shared memory: computed once for all targets if there are no more.
  static constexpr int kRows = sizeof(Word) == 4 ? 16 : 12;
  static_assert(kRows <= ProductSum<Word>::kFirstProducts);
  /// More rows are taken so many at a time, after the sums are folded.
  static constexpr int kMoreRows = std::min(kRows, ProductSum<Word>::kMoreProducts);
  /// Rows of products written out: as many as a SumOfProducts takes before it settles.
  static constexpr int kUnrolledRows = 4;
  /// Eight resident blocks on each of 132 SMs, in 64 waves; tiles beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 64;
};

/// A sum of products in registers, as ProductSum bounds it: an IMAD.WIDE for a product.
template <typename Word>
struct SumOfProducts {
  WideOf<Word> sum = 0;

  __device__ void add(Word a, Word b) { sum += static_cast<WideOf<Word>>(a) * b; }
  __device__ void settle() {}
};
/// Four of them, and no carry to look after: the products of unlike halves are below 2^61 each, and
/// are summed apart. After four products they must `settle`.
template <>
struct SumOfProducts<std::uint64_t> {
  WideOf<std::uint64_t> sum = 0;
  std::uint64_t middle = 0;  // times 2^32

  static_assert(WordTraits<std::uint64_t>::kModulusBits <= 61, "eight of them fit a word");
  __device__ void add(std::uint64_t a, std::uint64_t b) {
    const auto a0 = static_cast<std::uint32_t>(a), a1 = static_cast<std::uint32_t>(a >> 32);
    const auto b0 = static_cast<std::uint32_t>(b), b1 = static_cast<std::uint32_t>(b >> 32);
    std::uint32_t s[4];
    split(s);
    asm("mad.lo.cc.u32 %0, %4, %6, %0;\n\t"
        "madc.hi.cc.u32 %1, %4, %6, %1;\n\t"
        "madc.lo.cc.u32 %2, %5, %7, %2;\n\t"
        "madc.hi.u32 %3, %5, %7, %3;"
        : "+r"(s[0]), "+r"(s[1]), "+r"(s[2]), "+r"(s[3])
        : "r"(a0), "r"(a1), "r"(b0), "r"(b1));
    join(s);
    // In C++ nvcc would add the two products first.
    asm("mad.wide.u32 %0, %1, %2, %0;" : "+l"(middle) : "r"(a0), "r"(b1));
    asm("mad.wide.u32 %0, %1, %2, %0;" : "+l"(middle) : "r"(a1), "r"(b0));
  }
  __device__ void settle() {
    sum += static_cast<WideOf<std::uint64_t>>(middle) << 32;
    middle = 0;
  }

 private:
  __device__ void split(std::uint32_t (&s)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) s[i] = static_cast<std::uint32_t>(sum >> (32 * i));
  }
  __device__ void join(const std::uint32_t (&s)[4]) {
    const auto word = [&s](int i) { return s[i] | static_cast<std::uint64_t>(s[i + 1]) << 32; };
    sum = word(0) | static_cast<WideOf<std::uint64_t>>(word(2)) << 64;
  }
};

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
  const Word* const in = task.in.data + poly * task.in.poly_stride + begin * task.in.degree;
  const auto degree = static_cast<std::uint32_t>(task.in.degree);
  Vector<Word>* const own = reinterpret_cast<Vector<Word>*>(shared.y[0][thread]);
  constexpr int kVectors = kCoefficients / Vector<Word>::kWords;
  static_assert(kVectors == 1, "a thread's coefficients are a vector");
#pragma unroll 4
  for (int r = 0; r < sources; ++r) {
    Vector<Word> y;
#pragma unroll
    for (int k = 0; k < kCoefficients; ++k) y.words[k] = in[r * degree + i[k]];
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

/// The sums for targets first, first + 1, .. as residues, to `out`; kFold unless they are below
/// p 2^w.
template <bool kFold, typename Word>
__device__ void store_residues(
    const BaseConversionTask<Word>& task, int first, std::uint32_t first_coefficient, Word* out,
    const SumOfProducts<Word> (
        &sums)[BaseConversionConfig<Word>::kTargets][BaseConversionConfig<Word>::kCoefficients],
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
      const Word result = kFold ? reduce_sum_montgomery(sums[t][k].sum, p)
                                : reduce_once(montgomery_reduce_lazy(sums[t][k].sum, p), p.value);
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
  constexpr int kWords = Vector<Word>::kWords;
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
      SumOfProducts<Word> sums[kTargets][kCoefficients];
      WideOf<Word> fractions[kCoefficients] = {};
      int count = Config::kRows;
      for (int begin = 0; begin < rows; begin += count, count = Config::kMoreRows) {
        count = min(count, rows - begin);
        if (first == 0 || rows > Config::kRows) {
          make_rows(task, poly, i, begin, count, fractions, shared);
        }
        __syncthreads();  // the columns before have been read
        load_columns(c, first, begin, count, shared);
        __syncthreads();
        if (begin > 0) {
#pragma unroll
          for (int t = 0; t < kTargets; ++t) {
#pragma unroll
            for (int k = 0; k < kCoefficients; ++k) {
              sums[t][k].sum = fold_sum(sums[t][k].sum, shared.to[t].value);
            }
          }
        }
#pragma unroll 1
        for (int group = 0; group < count; group += Config::kUnrolledRows) {
#pragma unroll
          for (int r = 0; r < Config::kUnrolledRows; ++r) {
            if (group + r >= count) break;
            const Vector<Word> y =
                *reinterpret_cast<const Vector<Word>*>(shared.y[group + r][threadIdx.x]);
#pragma unroll
            for (int t = 0; t < kTargets; t += kWords) {
              const Vector<Word> constants =
                  *reinterpret_cast<const Vector<Word>*>(&shared.table[group + r][t]);
#pragma unroll
              for (int w = 0; w < kWords; ++w) {
#pragma unroll
                for (int k = 0; k < kCoefficients; ++k) {
                  sums[t + w][k].add(y.words[k], constants.words[w]);
                }
              }
            }
          }
#pragma unroll
          for (int t = 0; t < kTargets; ++t) {
#pragma unroll
            for (int k = 0; k < kCoefficients; ++k) sums[t][k].settle();
          }
        }
      }
      if (rows <= 1 << ProductSum<Word>::kSpareBits) {
        store_residues<false>(task, first, first_coefficient, out, sums, shared);
      } else {
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
