#pragma once

// The transforms of CUDA; what is compiled of them stands in three files, side by side.
//
// Three forms. Small limbs: a block a limb, a stage at a time. Otherwise a block holds a node (see
// ntt_body.h) in shared memory and walks through all of its stages, three to five at a time in
// registers: the whole limb where it fits and there are limbs enough for the device, else the nodes
// that remain when another kernel has taken the first stages, or leaves when it takes the last.
// For 32-bit words a block holds the same node of two polynomials where there are nodes enough: the
// factors of the last four stages, nearly the whole table, are read once for both.
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "cuda/launch.cuh"
#include "polynomial/ntt_halves.h"

namespace velum::kernels {
namespace {

/// Words that are loaded and stored at once.
template <typename Word, int kWords>
struct VectorOf {
  using Type = Word;
  static __device__ Type of(const Word* x) { return x[0]; }
};
template <>
struct VectorOf<std::uint32_t, 2> {
  using Type = uint2;
  static __device__ Type of(const std::uint32_t* x) { return make_uint2(x[0], x[1]); }
};
template <>
struct VectorOf<std::uint32_t, 4> {
  using Type = uint4;
  static __device__ Type of(const std::uint32_t* x) { return make_uint4(x[0], x[1], x[2], x[3]); }
};
template <>
struct VectorOf<std::uint64_t, 2> {
  using Type = ulonglong2;
  static __device__ Type of(const std::uint64_t* x) { return make_ulonglong2(x[0], x[1]); }
};
/// The most words of a vector: 16 bytes.
template <typename Word>
constexpr int kMaxVector = 16 / static_cast<int>(sizeof(Word));

template <int kWords, typename Word, typename Vector>
__device__ void unpack(const Vector& vector, Word* x) {
  if constexpr (kWords == 1) {
    x[0] = vector;
  } else {
    x[0] = static_cast<Word>(vector.x);
    x[1] = static_cast<Word>(vector.y);
    if constexpr (kWords == 4) {
      x[2] = vector.z;
      x[3] = vector.w;
    }
  }
}
/// kWords from a place that is a multiple of as many.
template <int kWords, typename Word>
__device__ void load_words(const Word* from, Word* x) {
  using Vector = typename VectorOf<Word, kWords>::Type;
  const Vector vector = *reinterpret_cast<const Vector*>(from);
  unpack<kWords>(vector, x);
}
template <int kWords, typename Word>
__device__ void store_words(const Word* x, Word* to) {
  using Vector = VectorOf<Word, kWords>;
  *reinterpret_cast<typename Vector::Type*>(to) = Vector::of(x);
}
/// The same in assembly: nvcc takes a vector apart where another way through a kernel stores the
/// same words one by one.
template <int kWords, typename Word>
__device__ void store_whole(const Word* x, Word* to) {
  static_assert(kWords == 1 || kWords == 2 || (kWords == 4 && sizeof(Word) == 4));
  const auto place = __cvta_generic_to_global(to);
  if constexpr (kWords == 1) {
    *to = x[0];
  } else if constexpr (sizeof(Word) == 8) {
    asm volatile("st.global.v2.u64 [%0], {%1, %2};" ::"l"(place), "l"(x[0]), "l"(x[1]) : "memory");
  } else if constexpr (kWords == 2) {
    asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(place), "r"(x[0]), "r"(x[1]) : "memory");
  } else {
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(place), "r"(x[0]), "r"(x[1]),
                 "r"(x[2]), "r"(x[3])
                 : "memory");
  }
}
/// The same to shared memory, where nvcc would take apart every other vector.
template <int kWords, typename Word>
__device__ void store_shared(const Word* x, Word* to) {
  static_assert(kWords == 1 || kWords == 2 || (kWords == 4 && sizeof(Word) == 4));
  const auto place = static_cast<std::uint32_t>(__cvta_generic_to_shared(to));
  if constexpr (kWords == 1) {
    *to = x[0];
  } else if constexpr (sizeof(Word) == 8) {
    asm volatile("st.shared.v2.u64 [%0], {%1, %2};" ::"r"(place), "l"(x[0]), "l"(x[1]) : "memory");
  } else if constexpr (kWords == 2) {
    asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(place), "r"(x[0]), "r"(x[1]) : "memory");
  } else {
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(place), "r"(x[0]), "r"(x[1]),
                 "r"(x[2]), "r"(x[3])
                 : "memory");
  }
}
/// The same from a table; tables are never written while kernels run.
template <int kWords, typename Word>
__device__ void load_table(const Word* from, Word* x) {
  unpack<kWords>(__ldg(reinterpret_cast<const typename VectorOf<Word, kWords>::Type*>(from)), x);
}

/// kFactors neighbours of NttLayout's first part, which are 16 bytes or a multiple unless it is one
/// of 32-bit words.
template <int kFactors, typename Word>
__device__ void load_factors(const Word* from, ShoupFactor<Word>* factors) {
  constexpr int kWords = 2 * kFactors < kMaxVector<Word> ? 2 * kFactors : kMaxVector<Word>;
  Word x[2 * kFactors];
#pragma unroll
  for (int i = 0; i < 2 * kFactors; i += kWords) load_table<kWords>(from + i, x + i);
#pragma unroll
  for (int i = 0; i < kFactors; ++i) factors[i] = {x[2 * i], x[2 * i + 1]};
}

// ---- Small limbs ----

struct NttStagesConfig {
  /// log_n up to this: 512 coefficients, a butterfly a thread.
  static constexpr int kMaxLogN = 9;
  static constexpr int kThreads = 256;
  /// Blocks take limbs by grid stride: eight resident blocks on each of 132 SMs, in four waves.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 4;
};

/// Butterfly `i` of a stage: its node within the stage, and its first coefficient.
struct Butterfly {
  int node;
  int x;
  int half;
  __device__ Butterfly(int i, int log_n, int depth)
      : node(i >> (log_n - 1 - depth)),
        x(i + (node << (log_n - 1 - depth))),
        half(1 << (log_n - 1 - depth)) {}
};

template <typename Word, typename Finish>
__global__ void __launch_bounds__(NttStagesConfig::kThreads)
    ntt_forward_stages_kernel(NttForwardTask<Word, Finish> task) {
  __shared__ Word x[1 << NttStagesConfig::kMaxLogN];
  const int log_n = task.tables.log_n;
  const int n = 1 << log_n;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t limbs = task.limbs.count;
  for (std::int64_t unit = blockIdx.x; unit < task.polys.polys * limbs; unit += gridDim.x) {
    const std::int64_t poly = unit / limbs;
    const std::int64_t limb = unit % limbs;
    const int prime = task.limbs[limb];
    const Modulus<Word> m = task.tables.constants[prime].modulus;
    const Word* const table = task.tables.forward + prime * NttLayout::table_words(log_n);
    const Word* const row = task.polys.limb(poly, limb);
    for (int i = thread; i < n; i += NttStagesConfig::kThreads) x[i] = row[i];
    __syncthreads();
    for (int depth = 0; depth < log_n; ++depth) {
      if (thread < n / 2) {
        const Butterfly b(thread, log_n, depth);
        forward_butterfly(x[b.x], x[b.x + b.half],
                          ntt_factor(table, log_n, depth, (1 << depth) + b.node), m.value);
      }
      __syncthreads();
    }
    const auto finish = task.finish.row(task.polys, poly, limb);
    for (int i = thread; i < n; i += NttStagesConfig::kThreads) finish(i, x[i], m);
    __syncthreads();  // the next limb replaces them
  }
}

template <typename Word>
__global__ void __launch_bounds__(NttStagesConfig::kThreads)
    ntt_inverse_stages_kernel(NttInverseTask<Word> task) {
  __shared__ Word x[1 << NttStagesConfig::kMaxLogN];
  const int log_n = task.tables.log_n;
  const int n = 1 << log_n;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t limbs = task.limbs.count;
  for (std::int64_t unit = blockIdx.x; unit < task.polys.polys * limbs; unit += gridDim.x) {
    const std::int64_t limb = unit % limbs;
    const int prime = task.limbs[limb];
    const NttConstants<Word> constants = task.tables.constants[prime];
    const Word q = constants.modulus.value;
    const Word* const table = task.tables.inverse + prime * NttLayout::table_words(log_n);
    Word* const row = task.polys.limb(unit / limbs, limb);
    for (int i = thread; i < n; i += NttStagesConfig::kThreads) x[i] = row[i];
    __syncthreads();
    for (int depth = log_n - 1; depth > 0; --depth) {
      if (thread < n / 2) {
        const Butterfly b(thread, log_n, depth);
        inverse_butterfly(x[b.x], x[b.x + b.half],
                          ntt_factor(table, log_n, depth, (1 << depth) + b.node), q);
      }
      __syncthreads();
    }
    if (thread < n / 2) {
      const LastStage<Word> last = task.factors == nullptr
                                       ? last_stage(constants)
                                       : last_stage(constants, task.factors[limb]);
      Word a = x[thread];
      Word b = x[thread + n / 2];
      last_butterfly(a, b, last, q);
      row[thread] = a;
      row[thread + n / 2] = b;
    }
    __syncthreads();
  }
}

// ---- Stages in registers ----

/// ButterflyModulus::of, but ptxas does not learn that the multiples are some: of a shifted q it
/// makes sums by LEA, which take two instructions where IADD3 and VIADDMNMX take one. A grid
/// here is a line.
template <typename Word>
__device__ ButterflyModulus<Word> butterfly_modulus(Word q) {
  const auto once = static_cast<int>(gridDim.z);  // 1
  constexpr int kLogReduced = LazyRange<Word>::kReduced / 2;
  static_assert(1 << kLogReduced == LazyRange<Word>::kReduced);
  return {q, q << once, q << (kLogReduced - 1 + once), (0 - q) << (kLogReduced - 1 + once)};
}

/// kStages stages of node k, of kColumns columns, by factors of NttLayout's first part; from stage
/// kStage on, where values are in [0, kBound q). A template a stage, as its loops unroll only if
/// their ends are constants.
template <int kStages, int kBound, int kStage = 0, typename Word, int kColumns>
__device__ void forward_stages(Word (&x)[kColumns][1 << kStages], const Word* table,
                               std::uint32_t k, const ButterflyModulus<Word>& m) {
  constexpr int kHalf = 1 << (kStages - kStage - 1);
  constexpr int kAtOnce = kStage == 0 ? 1 : 2;  // nodes
  const Word* const factors = table + (2 * k << kStage);
#pragma unroll
  for (int node = 0; node < 1 << kStage; node += kAtOnce) {
    ShoupFactor<Word> w[kAtOnce];
    load_factors<kAtOnce>(factors + 2 * node, w);
#pragma unroll
    for (int i = 0; i < kAtOnce * kHalf; ++i) {
      const int at = 2 * kHalf * (node + i / kHalf) + i % kHalf;
#pragma unroll
      for (int column = 0; column < kColumns; ++column) {
        forward_butterfly_within<kBound>(x[column][at], x[column][at + kHalf], w[i / kHalf], m);
      }
    }
  }
  if constexpr (kStage + 1 < kStages) {
    forward_stages<kStages, LazyRange<Word>::after_forward(kBound), kStage + 1>(x, table, k, m);
  }
}

/// The bounds of a thread's values, constants where its loops are unrolled.
template <int kCount>
__device__ void fill(int (&bounds)[kCount], int bound) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) bounds[i] = bound;
}

/// The same backwards; x[..][i] in [0, bounds[i] q). If `is_last` the stage of node k is the last
/// of the transform.
template <int kStages, int kStage = kStages - 1, typename Word, int kColumns>
__device__ void inverse_stages(Word (&x)[kColumns][1 << kStages], int (&bounds)[1 << kStages],
                               const Word* table, std::uint32_t k, bool is_last,
                               const LastStage<Word>& last, const ButterflyModulus<Word>& m) {
  constexpr int kHalf = 1 << (kStages - kStage - 1);
  constexpr int kAtOnce = kStage == 0 ? 1 : 2;
  if (kStage == 0 && is_last) {
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
#pragma unroll
      for (int column = 0; column < kColumns; ++column) {
        last_butterfly(x[column][i], x[column][i + kHalf], last, m.q, bounds[i + kHalf]);
      }
    }
    return;
  }
  const Word* const factors = table + (2 * k << kStage);
#pragma unroll
  for (int node = 0; node < 1 << kStage; node += kAtOnce) {
    ShoupFactor<Word> w[kAtOnce];
    load_factors<kAtOnce>(factors + 2 * node, w);
#pragma unroll
    for (int i = 0; i < kAtOnce * kHalf; ++i) {
      const int at = 2 * kHalf * (node + i / kHalf) + i % kHalf;
#pragma unroll
      for (int column = 0; column < kColumns; ++column) {
        inverse_butterfly_within(x[column][at], x[column][at + kHalf], w[i / kHalf], m, bounds[at],
                                 bounds[at + kHalf]);
      }
      LazyRange<Word>::after_inverse(bounds[at], bounds[at + kHalf]);
    }
  }
  if constexpr (kStage > 0) {
    inverse_stages<kStages, kStage - 1>(x, bounds, table, k, is_last, last, m);
  }
}

struct NttNodeConfig {
  /// Coefficients of a thread at once: one, two or four columns of 32, 16 or 8, which lie side by
  /// side and share their factors; 16 independent butterflies hide the latency of each other.
  static constexpr int kLogCoefficients = 5;
  static constexpr int kCoefficients = 1 << kLogCoefficients;
  /// The last pass: two nodes of 16, whose factors NttLayout keeps in rows.
  static constexpr int kLogRun = NttLayout::kLogLanes;
  static constexpr int kRun = 1 << kLogRun;
  /// A node is 2^10 coefficients, one warp, to 128 KiB, which leaves room for the padding in the
  /// 163 KiB of an A100 and the 227 of an H100.
  static constexpr int kMinLogSize = 10;
  static constexpr int max_log_size(int word_bytes) { return word_bytes == 4 ? 15 : 14; }
  /// The 32 coefficients of a thread, their factors and addresses want about 100 registers. More
  /// threads would have 64 and spill; so would 64-bit words, of two registers, with 128.
  static constexpr int max_threads(int word_bytes) { return word_bytes == 4 ? 512 : 256; }
  /// A whole limb per block pays when every SM has a block: 132 on an H100. With fewer, more blocks
  /// of smaller nodes finish earlier although the data crosses the memory twice. An estimate: not
  /// measured yet. Two polynomials in a block want as many blocks.
  static constexpr std::int64_t kFullDevice = 132;
  /// Blocks take nodes by grid stride: at most eight waves of 32 small blocks on 132 SMs.
  static constexpr std::int64_t kMaxBlocks = 132 * 32 * 8;
};

/// The stages of a node above its nodes of 16: two passes, but for the largest three, of which the
/// one in the middle has three stages.
struct NodePasses {
  int first;
  int last;
};
__host__ __device__ constexpr NodePasses node_passes(int log_size) {
  const int upper = log_size - NttNodeConfig::kLogRun;
  return upper > 10 ? NodePasses{5, upper - 8} : NodePasses{(upper + 1) / 2, upper / 2};
}

/// Where word i of a block's nodes stands in shared memory. 16 bytes of padding after every 32
/// words, and more for 32-bit words, so that neighbouring lanes, which hold columns, vectors of
/// neighbours or nodes of 16, meet each bank once. padded(a + b) = padded(a) + padded(b) if a and b
/// have no bit in common: the offsets of a thread's words are constants.
template <typename Word>
__host__ __device__ constexpr int padded(int i) {
  const int vectors = i + (i >> 5) * kMaxVector<Word>;
  return sizeof(Word) == 4 ? vectors + (i >> 8) * 16 + (i >> 9) * 16 : vectors;
}

template <typename Word>
constexpr std::size_t node_bytes(int log_size) {
  return sizeof(Word) * static_cast<std::size_t>(padded<Word>(1 << log_size));
}

/// The nodes in the shared memory of a block.
template <typename Word>
__device__ Word* node_memory() {
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<Word*>(bytes);
}

/// A thread's 32 coefficients as columns of 2^kStages, their words 2^kLogStride apart.
template <typename Word, int kStages, int kLogStride>
struct Columns {
  static constexpr int kCount = NttNodeConfig::kCoefficients >> kStages;
  static constexpr int kVector =  ///< neighbours
      kCount < kMaxVector<Word> ? kCount : kMaxVector<Word>;
  static constexpr int kParts = kCount / kVector;  ///< and where the others are: equally far apart

  Word x[kCount][1 << kStages];

  /// Calls `access(i, column, offset)` for each vector: words i of the columns from one on, and
  /// where they are from word 0 of column 0.
  template <typename Access>
  __device__ void for_each_vector(const Access& access) {
#pragma unroll
    for (int i = 0; i < 1 << kStages; ++i) {
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        access(i, part * kVector, (i << kLogStride) + (part << kLogStride) / kParts);
      }
    }
  }
  /// From a row of a limb, whose vectors are aligned or not.
  __device__ void load_row(const Word* from, bool aligned) {
    if (aligned) {
      for_each_vector([&](int i, int column, int offset) {
        Word words[kVector];
        load_words<kVector>(from + offset, words);
        set(i, column, words);
      });
    } else {
      for_each_vector([&](int i, int column, int offset) {
#pragma unroll
        for (int v = 0; v < kVector; ++v) x[column + v][i] = from[offset + v];
      });
    }
  }
  /// @tparam kWhole  whether nvcc must be kept from taking vectors apart (store_whole).
  template <bool kWhole = false>
  __device__ void store_row(Word* to, bool aligned) {
    if (aligned) {
      for_each_vector([&](int i, int column, int offset) {
        Word words[kVector];
        get(i, column, words);
        if constexpr (kWhole) {
          store_whole<kVector>(words, to + offset);
        } else {
          store_words<kVector>(words, to + offset);
        }
      });
    } else {
      for_each_vector([&](int i, int column, int offset) {
#pragma unroll
        for (int v = 0; v < kVector; ++v) to[offset + v] = x[column + v][i];
      });
    }
  }
  /// From shared memory.
  __device__ void load_padded(const Word* from) {
    for_each_vector([&](int i, int column, int offset) {
      Word words[kVector];
      load_words<kVector>(from + padded<Word>(offset), words);
      set(i, column, words);
    });
  }
  __device__ void store_padded(Word* to) {
    for_each_vector([&](int i, int column, int offset) {
      Word words[kVector];
      get(i, column, words);
      store_shared<kVector>(words, to + padded<Word>(offset));
    });
  }

 private:
  __device__ void set(int i, int column, const Word* words) {
#pragma unroll
    for (int v = 0; v < kVector; ++v) x[column + v][i] = words[v];
  }
  __device__ void get(int i, int column, Word* words) const {
#pragma unroll
    for (int v = 0; v < kVector; ++v) words[v] = x[column + v][i];
  }
};

/// What a block has before it: node k = 2^log_nodes + node of one polynomial, or of two.
template <typename Word>
struct BlockNode {
  Word* memory;
  std::uint32_t memory_stride;  ///< from the node of one polynomial to that of the other, in words
  Word* rows[2];                ///< of each polynomial, its first word
  bool is_pair;
  bool aligned;  ///< rows to 16 bytes
  int log_size;
  std::uint32_t node;
  std::uint32_t k;
  const Word* table;
  int log_n;
  ButterflyModulus<Word> modulus;

  __device__ int log_words() const { return log_size + (is_pair ? 1 : 0); }
  /// Threads that share out the block's words, 32 each.
  __device__ int parts() const { return 1 << (log_words() - NttNodeConfig::kLogCoefficients); }
};

/// The first pass of a forward node, to the block's memory.
template <int kLogSize, typename Word>
__device__ void forward_first_pass(const BlockNode<Word>& block) {
  constexpr int kStages = node_passes(kLogSize).first;
  constexpr int kLogStride = kLogSize - kStages;
  constexpr int kLogParts = kLogSize - NttNodeConfig::kLogCoefficients;
  using Own = Columns<Word, kStages, kLogStride>;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < block.parts();
       i += static_cast<int>(blockDim.x)) {
    const int poly = i >> kLogParts;
    const int first = (i & ((1 << kLogParts) - 1)) * Own::kVector;
    Own own;
    own.load_row((poly != 0 ? block.rows[1] : block.rows[0]) + first, block.aligned);
    forward_stages<kStages, LazyRange<Word>::kMost>(own.x, block.table, block.k, block.modulus);
    own.store_padded(block.memory + padded<Word>((poly << kLogSize) + first));
  }
}
template <int kLogSize, typename Word>
__device__ void inverse_first_pass(const BlockNode<Word>& block, bool is_last,
                                   const LastStage<Word>& last) {
  constexpr int kStages = node_passes(kLogSize).first;
  constexpr int kLogStride = kLogSize - kStages;
  constexpr int kLogParts = kLogSize - NttNodeConfig::kLogCoefficients;
  using Own = Columns<Word, kStages, kLogStride>;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < block.parts();
       i += static_cast<int>(blockDim.x)) {
    const int poly = i >> kLogParts;
    const int first = (i & ((1 << kLogParts) - 1)) * Own::kVector;
    Own own;
    own.load_padded(block.memory + padded<Word>((poly << kLogSize) + first));
    int bounds[1 << kStages];
    fill(bounds, LazyRange<Word>::kReduced);
    inverse_stages<kStages>(own.x, bounds, block.table, block.k, is_last, last, block.modulus);
    own.store_row((poly != 0 ? block.rows[1] : block.rows[0]) + first, block.aligned);
  }
}

/// Calls `body(words, k)` for a thread's share of the columns of all nodes of 2^(kStages +
/// kLogStride) coefficients: the place of the first column, and its node.
template <int kStages, int kLogStride, typename Word, typename Body>
__device__ void for_each_inner_column(const BlockNode<Word>& block, const Body& body) {
  constexpr int kLogNode = kStages + kLogStride;
  constexpr int kLogParts = kLogNode - NttNodeConfig::kLogCoefficients;
  const int log_nodes = block.log_size - kLogNode;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < block.parts();
       i += static_cast<int>(blockDim.x)) {
    const int node = i >> kLogParts;
    const int column = (i & ((1 << kLogParts) - 1)) * Columns<Word, kStages, kLogStride>::kVector;
    body(block.memory + padded<Word>((node << kLogNode) + column),
         (block.k << log_nodes) + (node & ((1 << log_nodes) - 1)));
  }
}
template <int kStages, int kLogStride, typename Word>
__device__ void forward_inner_pass(const BlockNode<Word>& block) {
  for_each_inner_column<kStages, kLogStride>(block, [&](Word* words, std::uint32_t k) {
    Columns<Word, kStages, kLogStride> own;
    own.load_padded(words);
    forward_stages<kStages, LazyRange<Word>::kMost>(own.x, block.table, k, block.modulus);
    own.store_padded(words);
  });
}
template <int kStages, int kLogStride, typename Word>
__device__ void inverse_inner_pass(const BlockNode<Word>& block) {
  for_each_inner_column<kStages, kLogStride>(block, [&](Word* words, std::uint32_t k) {
    Columns<Word, kStages, kLogStride> own;
    own.load_padded(words);
    int bounds[1 << kStages];
    fill(bounds, LazyRange<Word>::kReduced);
    inverse_stages<kStages>(own.x, bounds, block.table, k, false, LastStage<Word>{}, block.modulus);
    own.store_padded(words);
  });
}

// ---- The last four stages ----

/// A thread's two nodes of 16 coefficients, neighbours or the same of two polynomials, and the warp
/// that goes through rows of 32 such pairs.
template <bool kPair, typename Word>
struct Runs {
  static constexpr int kRun = NttNodeConfig::kRun;
  static constexpr int kVector = kMaxVector<Word>;
  static constexpr int kLanes = 32;
  /// Vectors of a lane, of which the second half belongs to the second half of the warp's words.
  static constexpr int kVectors = 2 * kRun / kVector;
  static constexpr int kVectorsOfHalf = kVectors / 2;

  const BlockNode<Word>& block;
  int index;  ///< which pair of nodes

  /// The first word of the first node.
  __device__ int first() const { return index * (kPair ? kRun : 2 * kRun); }

  __device__ void load(Word (&x)[2][kRun]) const {
    for_each_own(
        [&](int half, int i, const Word* words) { load_words<kVector>(words, x[half] + i); });
  }
  __device__ void store(const Word (&x)[2][kRun]) const {
    for_each_own([&](int half, int i, Word* words) { store_shared<kVector>(x[half] + i, words); });
  }
  /// The rows of factors, and the lane among them.
  __device__ const Word* rows() const {
    return block.table + NttLayout::block_offset(block.log_n, nodes() >> NttLayout::kLogLanes);
  }
  __device__ int lane() const { return static_cast<int>(nodes()) & (NttLayout::kLanes - 1); }

  /// Calls `access(poly, i, words)` for vectors of the warp's words, 32 neighbours at a time: word
  /// i of the node of a polynomial.
  template <typename Access>
  __device__ void for_each_of_warp(const Access& access) const {
    const int lane = index % kLanes;
    const int warp = (index - lane) * (kPair ? kRun : 2 * kRun) + lane * kVector;
    const int half_offset = kPair ? 1 << block.log_size : kLanes * kRun;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      Word* const words_of_half =
          kPair
              ? (half == 0 ? block.memory : block.memory + block.memory_stride) + padded<Word>(warp)
              : block.memory + padded<Word>(warp + half * half_offset);
      const int i = warp + (kPair ? 0 : half * half_offset);
#pragma unroll
      for (int v = 0; v < kVectorsOfHalf; ++v) {
        constexpr int kStep = kLanes * kVector;
        access(kPair ? half : 0, i + v * kStep, words_of_half + padded<Word>(v * kStep));
      }
    }
  }

 private:
  template <typename Access>
  __device__ void for_each_own(const Access& access) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      Word* const words_of_half =
          kPair ? (half == 0 ? block.memory : block.memory + block.memory_stride) +
                      padded<Word>(first())
                : block.memory + padded<Word>(first() + half * kRun);
#pragma unroll
      for (int i = 0; i < kRun; i += kVector) access(half, i, words_of_half + i);
    }
  }
  /// The first of the nodes among those of the limb.
  __device__ std::uint32_t nodes() const {
    return (block.node << (block.log_size - NttNodeConfig::kLogRun)) + index * (kPair ? 1 : 2);
  }
};

/// The factors of row `row` for both nodes.
template <bool kPair, typename Word>
__device__ void load_run_factors(const Word* rows, int row, ShoupFactor<Word> (&factors)[2]) {
  constexpr int kWords = kPair ? 1 : 2;
  Word values[kWords], quotients[kWords];
  load_table<kWords>(rows + row * NttLayout::kRowWords, values);
  load_table<kWords>(rows + row * NttLayout::kRowWords + NttLayout::kLanes, quotients);
  factors[0] = {values[0], quotients[0]};
  factors[1] = {values[kWords - 1], quotients[kWords - 1]};
}

template <bool kPair, int kBound, int kStage = 0, typename Word>
__device__ void forward_run_stages(Word (&x)[2][NttNodeConfig::kRun], const Word* rows,
                                   const ButterflyModulus<Word>& m) {
  constexpr int kHalf = NttNodeConfig::kRun >> (kStage + 1);
#pragma unroll
  for (int node = 0; node < 1 << kStage; ++node) {
    ShoupFactor<Word> factors[2];
    load_run_factors<kPair>(rows, (1 << kStage) - 1 + node, factors);
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const int at = 2 * kHalf * node + i;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        forward_butterfly_within<kBound>(x[half][at], x[half][at + kHalf], factors[half], m);
      }
    }
  }
  if constexpr (kStage + 1 < NttNodeConfig::kLogRun) {
    forward_run_stages<kPair, LazyRange<Word>::after_forward(kBound), kStage + 1>(x, rows, m);
  }
}
template <bool kPair, int kStage = NttNodeConfig::kLogRun - 1, typename Word>
__device__ void inverse_run_stages(Word (&x)[2][NttNodeConfig::kRun],
                                   int (&bounds)[NttNodeConfig::kRun], const Word* rows,
                                   const ButterflyModulus<Word>& m) {
  constexpr int kHalf = NttNodeConfig::kRun >> (kStage + 1);
#pragma unroll
  for (int node = 0; node < 1 << kStage; ++node) {
    ShoupFactor<Word> factors[2];
    load_run_factors<kPair>(rows, (1 << kStage) - 1 + node, factors);
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const int at = 2 * kHalf * node + i;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        inverse_butterfly_within(x[half][at], x[half][at + kHalf], factors[half], m, bounds[at],
                                 bounds[at + kHalf]);
      }
      LazyRange<Word>::after_inverse(bounds[at], bounds[at + kHalf]);
    }
  }
  if constexpr (kStage > 0) inverse_run_stages<kPair, kStage - 1>(x, bounds, rows, m);
}

// What becomes of kWords values from i on: as the functors of ntt_body.h, with vectors.

template <int kWords, typename Word>
__device__ void finish_words(const KeepValues<Word>& finish, std::int64_t i, const Word* values,
                             const Modulus<Word>& m) {
  Word out[kWords];
#pragma unroll
  for (int v = 0; v < kWords; ++v) out[v] = KeepValues<Word>::result(values[v], m);
  store_words<kWords>(out, finish.out + i);
}
template <int kWords, typename Word>
__device__ void finish_words(const SubtractMultiply<Word>& finish, std::int64_t i,
                             const Word* values, const Modulus<Word>& m) {
  Word minuend[kWords], out[kWords];
  load_words<kWords>(finish.minuend + i, minuend);
#pragma unroll
  for (int v = 0; v < kWords; ++v) out[v] = finish.result(minuend[v], values[v], m);
  store_words<kWords>(out, finish.out + i);
}
template <int kWords, typename Word>
__device__ void finish_words(const InnerProduct<Word>& finish, std::int64_t i, const Word* values,
                             const Modulus<Word>& m) {
  Word reduced[kWords];
#pragma unroll
  for (int v = 0; v < kWords; ++v) reduced[v] = reduce_lazy(values[v], m.value);
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    Word key[kWords], sum[kWords] = {};
    load_words<kWords>(finish.key[k] + i, key);
    if (!finish.first) load_words<kWords>(finish.accumulator[k] + i, sum);
#pragma unroll
    for (int v = 0; v < kWords; ++v)
      sum[v] = InnerProduct<Word>::result(reduced[v], key[v], sum[v], m);
    store_words<kWords>(sum, finish.accumulator[k] + i);
  }
}

/// The last four stages of the block's nodes, and what becomes of the values: through shared memory
/// once more, so that a warp writes whole lines.
template <bool kPair, typename Word, typename Finish>
__device__ void forward_runs(const BlockNode<Word>& block, const Finish (&finish)[2],
                             const Modulus<Word>& m) {
  using Own = Runs<kPair, Word>;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < block.parts();
       i += static_cast<int>(blockDim.x)) {
    const Own own{block, i};
    Word x[2][Own::kRun];
    own.load(x);
    forward_run_stages<kPair, LazyRange<Word>::kMost>(x, own.rows() + own.lane(), block.modulus);
    own.store(x);
    __syncwarp();
    const std::int64_t offset = static_cast<std::int64_t>(block.node) << block.log_size;
    own.for_each_of_warp([&](int poly, int at, const Word* words) {
      Word values[Own::kVector];
      load_words<Own::kVector>(words, values);
#pragma unroll
      for (int v = 0; v < Own::kVector; ++v) {
        values[v] = block.modulus.narrowed(values[v]);
      }
      if (block.aligned) {
        finish_words<Own::kVector>(finish[poly], offset + at, values, m);
      } else {
#pragma unroll
        for (int v = 0; v < Own::kVector; ++v) finish[poly](offset + at + v, values[v], m);
      }
    });
  }
}
template <bool kPair, typename Word>
__device__ void inverse_runs(const BlockNode<Word>& block) {
  using Own = Runs<kPair, Word>;
#pragma unroll 1
  for (int i = static_cast<int>(threadIdx.x); i < block.parts();
       i += static_cast<int>(blockDim.x)) {
    const Own own{block, i};
    own.for_each_of_warp([&](int poly, int at, Word* words) {
      const Word* const row = block.rows[poly] + at;
      Word values[Own::kVector];
      if (block.aligned) {
        load_words<Own::kVector>(row, values);
      } else {
#pragma unroll
        for (int v = 0; v < Own::kVector; ++v) values[v] = row[v];
      }
      store_shared<Own::kVector>(values, words);
    });
    __syncwarp();
    Word x[2][Own::kRun];
    own.load(x);
    int bounds[Own::kRun];
    fill(bounds, 1);
    inverse_run_stages<kPair>(x, bounds, own.rows() + own.lane(), block.modulus);
    own.store(x);
  }
}

// ---- A node per block ----

/// Which node of which limb a block takes; of two polynomials if `is_pair`.
struct NodePlace {
  std::int64_t poly;
  std::int64_t limb;
  std::uint32_t node;
  /// polys * limbs < 2^32, as the memory that it takes shows.
  __device__ NodePlace(std::int64_t unit, std::int64_t limbs, int log_nodes, bool is_pair)
      : node(static_cast<std::uint32_t>(unit) & ((1u << log_nodes) - 1)) {
    const auto row = static_cast<std::uint32_t>(unit >> log_nodes);
    const auto count = static_cast<std::uint32_t>(limbs);
    const std::uint32_t polys = row / count;
    limb = row - polys * count;
    poly = is_pair ? 2 * polys : polys;
  }
};

/// Whether blocks hold nodes of two polynomials: words of 64 bits would take twice the memory, and
/// an inner product is of one polynomial.
template <typename Word, typename Finish>
constexpr bool kHasPairs = sizeof(Word) == 4 && !std::is_same_v<Finish, InnerProductOfAll<Word>>;

/// How the blocks of a launch hold nodes.
struct NodeForm {
  int log_size;
  bool is_pair;
  bool aligned;                 ///< each row to 16 bytes, of all operands
  std::uint32_t memory_stride;  ///< of a pair: padded(2^log_size)
};

template <typename Word>
__device__ BlockNode<Word> block_node(const RnsView<Word>& polys, const NttTablesView<Word>& tables,
                                      const Word* table, const NodeForm& form,
                                      const NodePlace& place, int prime) {
  const int log_nodes = tables.log_n - form.log_size;
  BlockNode<Word> block{};
  block.memory = node_memory<Word>();
  block.memory_stride = form.memory_stride;
  block.rows[0] = polys.limb(place.poly, place.limb) + (std::int64_t{place.node} << form.log_size);
  block.rows[1] = block.rows[0] + (form.is_pair ? polys.poly_stride : 0);
  block.is_pair = form.is_pair;
  block.aligned = form.aligned;
  block.log_size = form.log_size;
  block.node = place.node;
  block.k = (1u << log_nodes) + place.node;
  block.table = table + prime * NttLayout::table_words(tables.log_n);
  block.log_n = tables.log_n;
  block.modulus = butterfly_modulus(tables.constants[prime].modulus.value);
  return block;
}

template <typename Word, typename Finish>
__global__ void __launch_bounds__(NttNodeConfig::max_threads(sizeof(Word)))
    ntt_forward_kernel(NttForwardTask<Word, Finish> task, NodeForm form) {
  const int log_nodes = task.tables.log_n - form.log_size;
  const std::int64_t polys = form.is_pair ? task.polys.polys / 2 : task.polys.polys;
  const std::int64_t units = (polys * task.limbs.count) << log_nodes;
  for (std::int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const NodePlace place(unit, task.limbs.count, log_nodes, form.is_pair);
    const int prime = task.limbs[place.limb];
    const BlockNode<Word> block =
        block_node(task.polys, task.tables, task.tables.forward, form, place, prime);
    switch (form.log_size) {
      case 10:
        forward_first_pass<10>(block);
        break;
      case 11:
        forward_first_pass<11>(block);
        break;
      case 12:
        forward_first_pass<12>(block);
        break;
      case 13:
        forward_first_pass<13>(block);
        break;
      case 14:
        forward_first_pass<14>(block);
        break;
      default:
        if constexpr (sizeof(Word) == 4) {
          forward_first_pass<15>(block);
          __syncthreads();
          forward_inner_pass<3, NttNodeConfig::kLogRun + node_passes(15).last>(block);
        }
    }
    __syncthreads();
    if (form.log_size == 14) {
      forward_inner_pass<node_passes(14).last, NttNodeConfig::kLogRun>(block);
    } else if (form.log_size == 12 || form.log_size == 13) {
      forward_inner_pass<node_passes(12).last, NttNodeConfig::kLogRun>(block);
    } else {
      forward_inner_pass<node_passes(10).last, NttNodeConfig::kLogRun>(block);
    }
    __syncthreads();
    const Modulus<Word> m = task.tables.constants[prime].modulus;
    using Row = decltype(task.finish.row(task.polys, 0, 0));
    const Row finish[2] = {
        task.finish.row(task.polys, place.poly, place.limb),
        task.finish.row(task.polys, place.poly + (block.is_pair ? 1 : 0), place.limb)};
    if (block.is_pair) {
      if constexpr (kHasPairs<Word, Finish>) forward_runs<true>(block, finish, m);
    } else {
      forward_runs<false>(block, finish, m);
    }
    __syncthreads();  // the next node replaces them
  }
}

template <typename Word>
__global__ void __launch_bounds__(NttNodeConfig::max_threads(sizeof(Word)))
    ntt_inverse_kernel(NttInverseTask<Word> task, NodeForm form) {
  const int log_nodes = task.tables.log_n - form.log_size;
  const std::int64_t polys = form.is_pair ? task.polys.polys / 2 : task.polys.polys;
  const std::int64_t units = (polys * task.limbs.count) << log_nodes;
  for (std::int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const NodePlace place(unit, task.limbs.count, log_nodes, form.is_pair);
    const int prime = task.limbs[place.limb];
    const BlockNode<Word> block =
        block_node(task.polys, task.tables, task.tables.inverse, form, place, prime);
    if (block.is_pair) {
      if constexpr (sizeof(Word) == 4) inverse_runs<true>(block);
    } else {
      inverse_runs<false>(block);
    }
    __syncthreads();
    if (form.log_size == 14) {
      inverse_inner_pass<node_passes(14).last, NttNodeConfig::kLogRun>(block);
    } else if (form.log_size == 12 || form.log_size == 13) {
      inverse_inner_pass<node_passes(12).last, NttNodeConfig::kLogRun>(block);
    } else {
      inverse_inner_pass<node_passes(10).last, NttNodeConfig::kLogRun>(block);
    }
    __syncthreads();
    const bool is_last = log_nodes == 0;
    const NttConstants<Word> constants = task.tables.constants[prime];
    const LastStage<Word> last = task.factors == nullptr
                                     ? last_stage(constants)
                                     : last_stage(constants, task.factors[place.limb]);
    switch (form.log_size) {
      case 10:
        inverse_first_pass<10>(block, is_last, last);
        break;
      case 11:
        inverse_first_pass<11>(block, is_last, last);
        break;
      case 12:
        inverse_first_pass<12>(block, is_last, last);
        break;
      case 13:
        inverse_first_pass<13>(block, is_last, last);
        break;
      case 14:
        inverse_first_pass<14>(block, is_last, last);
        break;
      default:
        if constexpr (sizeof(Word) == 4) {
          inverse_inner_pass<3, NttNodeConfig::kLogRun + node_passes(15).last>(block);
          __syncthreads();
          inverse_first_pass<15>(block, is_last, last);
        }
    }
    __syncthreads();  // the next node replaces them
  }
}

// ---- The first stages of a limb that blocks hold in parts ----

struct NttOuterConfig {
  /// Columns of 2^stages coefficients, 32 coefficients per thread, in registers; a warp reads whole
  /// lines.
  static constexpr int kThreads = 128;
  /// Sixteen resident blocks on each of 132 SMs, in 16 waves; columns beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 16 * 16;
  static constexpr int kMinStages = 3;
  /// Nodes of at least 2^10 are left.
  static __host__ __device__ constexpr int stages(int log_n) {
    return log_n - NttNodeConfig::kMinLogSize < 4 ? log_n - NttNodeConfig::kMinLogSize : 4;
  }
};

/// The columns of a thread.
template <typename Word>
struct ColumnPlace {
  int prime;
  std::int64_t poly;
  std::int64_t limb;
  int part;
  __device__ ColumnPlace(const LimbIndices& limbs, std::int64_t i, int log_parts)
      : part(static_cast<int>(i) & ((1 << log_parts) - 1)) {
    const NodePlace place(i >> log_parts, limbs.count, 0, false);
    poly = place.poly;
    limb = place.limb;
    prime = limbs[limb];
  }
};

/// Leaves [0, LazyRange::kMost q).
template <typename Word, int kLogN>
__global__ void __launch_bounds__(NttOuterConfig::kThreads)
    ntt_forward_outer_kernel(RnsView<Word> polys, LimbIndices limbs, NttTablesView<Word> tables,
                             bool aligned) {
  constexpr int kStages = NttOuterConfig::stages(kLogN);
  constexpr int kLogParts = kLogN - NttNodeConfig::kLogCoefficients;
  using Own = Columns<Word, kStages, kLogN - kStages>;
  const std::int64_t parts = (polys.polys * limbs.count) << kLogParts;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * NttOuterConfig::kThreads;
  for (std::int64_t i =
           static_cast<std::int64_t>(blockIdx.x) * NttOuterConfig::kThreads + threadIdx.x;
       i < parts; i += step) {
    const ColumnPlace<Word> place(limbs, i, kLogParts);
    const Word* const table = tables.forward + place.prime * NttLayout::table_words(kLogN);
    Word* const data = polys.limb(place.poly, place.limb) + place.part * Own::kVector;
    Own own;
    own.load_row(data, aligned);
    forward_stages<kStages, 1>(own.x, table, 1,
                               butterfly_modulus(tables.constants[place.prime].modulus.value));
    own.template store_row<true>(data, aligned);
  }
}

/// Takes [0, LazyRange::kReduced q).
template <typename Word, int kLogN>
__global__ void __launch_bounds__(NttOuterConfig::kThreads)
    ntt_inverse_outer_kernel(NttInverseTask<Word> task, bool aligned) {
  constexpr int kStages = NttOuterConfig::stages(kLogN);
  constexpr int kLogParts = kLogN - NttNodeConfig::kLogCoefficients;
  using Own = Columns<Word, kStages, kLogN - kStages>;
  const std::int64_t parts = (task.polys.polys * task.limbs.count) << kLogParts;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * NttOuterConfig::kThreads;
  for (std::int64_t i =
           static_cast<std::int64_t>(blockIdx.x) * NttOuterConfig::kThreads + threadIdx.x;
       i < parts; i += step) {
    const ColumnPlace<Word> place(task.limbs, i, kLogParts);
    const Word* const table = task.tables.inverse + place.prime * NttLayout::table_words(kLogN);
    const NttConstants<Word> constants = task.tables.constants[place.prime];
    const LastStage<Word> last = task.factors == nullptr
                                     ? last_stage(constants)
                                     : last_stage(constants, task.factors[place.limb]);
    Word* const data = task.polys.limb(place.poly, place.limb) + place.part * Own::kVector;
    Own own;
    own.load_row(data, aligned);
    int bounds[1 << kStages];
    fill(bounds, LazyRange<Word>::kReduced);
    inverse_stages<kStages>(own.x, bounds, table, 1, true, last,
                            butterfly_modulus(constants.modulus.value));
    own.template store_row<true>(data, aligned);
  }
}

// ---- Which form ----

/// Whether there are blocks for every multiprocessor.
bool fill_the_device(std::int64_t blocks) {
  return blocks >= std::min(NttNodeConfig::kFullDevice, cuda::grid_limit());
}

template <typename Word>
bool fits_a_block(int log_words, const Stream& stream) {
  return log_words <= NttNodeConfig::max_log_size(sizeof(Word)) &&
         node_bytes<Word>(log_words) <= cuda::max_dynamic_shared_bytes(stream);
}

/// How many of the first stages are a kernel of their own; the rest are nodes of one block each.
template <typename Word>
int outer_stages(int log_n, std::int64_t limbs, const Stream& stream) {
  constexpr int kMin = NttNodeConfig::kMinLogSize;
  const bool is_small = log_n < kMin + NttOuterConfig::kMinStages;
  if (fits_a_block<Word>(log_n, stream) && (is_small || fill_the_device(limbs))) return 0;
  return NttOuterConfig::stages(log_n);
}

/// Whether the rows of all views begin at multiples of 16 bytes; those of a limb are 2^10 words or
/// more.
template <typename Word>
bool is_aligned(const RnsView<const Word>& view) {
  const std::int64_t stride = view.polys > 1 ? view.poly_stride : 0;
  return reinterpret_cast<std::uintptr_t>(view.data + stride) % 16 == 0 &&
         reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0;
}
template <typename Word>
bool is_aligned(const KeepValuesOfAll<Word>& /*finish*/) {
  return true;
}
template <typename Word>
bool is_aligned(const SubtractMultiplyAll<Word>& finish) {
  return is_aligned<Word>(finish.minuend);
}
template <typename Word>
bool is_aligned(const InnerProductOfAll<Word>& finish) {
  return is_aligned<Word>(finish.key) && is_aligned<Word>(finish.accumulator);
}

template <typename Word>
NodeForm node_form(const RnsView<Word>& polys, std::int64_t limbs, int log_n, int stages,
                   bool has_pairs, bool aligned, const Stream& stream) {
  const int log_size = log_n - stages;
  const bool is_pair = has_pairs && polys.polys % 2 == 0 &&
                       fill_the_device((polys.polys / 2 * limbs) << stages) &&
                       fits_a_block<Word>(log_size + 1, stream);
  return {log_size, is_pair, aligned, static_cast<std::uint32_t>(padded<Word>(1 << log_size))};
}

template <typename Word>
cuda::LaunchConfig node_config(std::int64_t limbs, int log_n, const NodeForm& form) {
  const int log_words = form.log_size + (form.is_pair ? 1 : 0);
  const std::int64_t nodes = (form.is_pair ? limbs / 2 : limbs) << (log_n - form.log_size);
  return {cuda::grid_stride_blocks(nodes, 1, NttNodeConfig::kMaxBlocks),
          std::min(1u << (log_words - NttNodeConfig::kLogCoefficients),
                   static_cast<unsigned>(NttNodeConfig::max_threads(sizeof(Word)))),
          node_bytes<Word>(log_words)};
}

cuda::LaunchConfig outer_config(std::int64_t limbs, int log_n) {
  return {cuda::grid_stride_blocks(limbs << (log_n - NttNodeConfig::kLogCoefficients),
                                   NttOuterConfig::kThreads, NttOuterConfig::kMaxBlocks),
          NttOuterConfig::kThreads};
}

cuda::LaunchConfig stages_config(std::int64_t limbs) {
  return {cuda::grid_stride_blocks(limbs, 1, NttStagesConfig::kMaxBlocks),
          NttStagesConfig::kThreads};
}

}  // namespace

template <typename Word, typename Finish>
void ntt_forward_cuda(const NttForwardTask<Word, Finish>& task, const Stream& stream) {
  const int log_n = task.tables.log_n;
  const std::int64_t limbs = task.polys.polys * task.limbs.count;
  if (limbs == 0) return;
  if (log_n <= NttStagesConfig::kMaxLogN) {
    cuda::launch(stages_config(limbs), stream, ntt_forward_stages_kernel<Word, Finish>, task);
    return;
  }
  const int stages = outer_stages<Word>(log_n, limbs, stream);
  const cuda::LaunchConfig outer = outer_config(limbs, log_n);
  const bool aligned = is_aligned<Word>(task.polys);
  const auto first_stages = [&](auto kernel) {
    cuda::launch(outer, stream, kernel, task.polys, task.limbs, task.tables, aligned);
  };
  if (stages > 0) {
    switch (log_n) {
      case 13:
        first_stages(ntt_forward_outer_kernel<Word, 13>);
        break;
      case 14:
        first_stages(ntt_forward_outer_kernel<Word, 14>);
        break;
      case 15:
        first_stages(ntt_forward_outer_kernel<Word, 15>);
        break;
      case 16:
        first_stages(ntt_forward_outer_kernel<Word, 16>);
        break;
      default:
        static_assert(NttTables<Word>::kMaxLogN == 17);
        first_stages(ntt_forward_outer_kernel<Word, 17>);
    }
  }
  const NodeForm form =
      node_form(task.polys, task.limbs.count, log_n, stages, kHasPairs<Word, Finish>,
                aligned && is_aligned(task.finish), stream);
  cuda::launch(node_config<Word>(limbs, log_n, form), stream, ntt_forward_kernel<Word, Finish>,
               task, form);
}

template <typename Word>
void ntt_inverse_cuda(const NttInverseTask<Word>& task, const Stream& stream) {
  const int log_n = task.tables.log_n;
  const std::int64_t limbs = task.polys.polys * task.limbs.count;
  if (limbs == 0) return;
  if (log_n <= NttStagesConfig::kMaxLogN) {
    cuda::launch(stages_config(limbs), stream, ntt_inverse_stages_kernel<Word>, task);
    return;
  }
  const int stages = outer_stages<Word>(log_n, limbs, stream);
  const bool aligned = is_aligned<Word>(task.polys);
  const NodeForm form =
      node_form(task.polys, task.limbs.count, log_n, stages, sizeof(Word) == 4, aligned, stream);
  cuda::launch(node_config<Word>(limbs, log_n, form), stream, ntt_inverse_kernel<Word>, task, form);
  const cuda::LaunchConfig outer = outer_config(limbs, log_n);
  const auto last_stages = [&](auto kernel) { cuda::launch(outer, stream, kernel, task, aligned); };
  if (stages > 0) {
    switch (log_n) {
      case 13:
        last_stages(ntt_inverse_outer_kernel<Word, 13>);
        break;
      case 14:
        last_stages(ntt_inverse_outer_kernel<Word, 14>);
        break;
      case 15:
        last_stages(ntt_inverse_outer_kernel<Word, 15>);
        break;
      case 16:
        last_stages(ntt_inverse_outer_kernel<Word, 16>);
        break;
      default:
        static_assert(NttTables<Word>::kMaxLogN == 17);
        last_stages(ntt_inverse_outer_kernel<Word, 17>);
    }
  }
}

}  // namespace velum::kernels
