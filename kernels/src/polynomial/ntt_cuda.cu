// Three forms. Small limbs: a block a limb, a stage at a time. Otherwise a block holds a node (see
// ntt_body.h) in shared memory and walks through all of its stages, at most five at a time in
// registers: the whole limb where it fits and there are limbs enough for the device, else the nodes
// that remain when another kernel has taken the first stages, or leaves when it takes the last.
#include <cstdint>

#include "cuda/launch.cuh"
#include "polynomial/ntt_halves.h"

namespace velum::kernels {
namespace {

/// Word's pair of neighbours, loaded at once.
template <typename Word>
struct PairOf;
template <>
struct PairOf<std::uint32_t> {
  using Type = uint2;
};
template <>
struct PairOf<std::uint64_t> {
  using Type = ulonglong2;
};
template <typename Word>
struct Pair {
  Word first;
  Word second;
};
/// Two words of a table from an even place; tables are never written while kernels run.
template <typename Word>
__device__ Pair<Word> load_pair(const Word* table, std::int64_t place) {
  const auto pair = __ldg(reinterpret_cast<const typename PairOf<Word>::Type*>(table + place));
  return {static_cast<Word>(pair.x), static_cast<Word>(pair.y)};
}
/// A factor of NttLayout's first part.
template <typename Word>
__device__ ShoupFactor<Word> load_factor(const Word* table, std::int64_t k) {
  const Pair<Word> pair = load_pair(table, 2 * k);
  return {pair.first, pair.second};
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

/// kStages stages of node k from registers, by factors of NttLayout's first part; from stage kStage
/// on. A template a stage, as its loops unroll only if their ends are constants.
template <int kStages, int kStage = 0, typename Word>
__device__ void forward_stages(Word* x, const Word* table, std::int64_t k, Word q) {
  constexpr int kHalf = 1 << (kStages - kStage - 1);
#pragma unroll
  for (int node = 0; node < 1 << kStage; ++node) {
    const ShoupFactor<Word> w = load_factor(table, (k << kStage) + node);
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      forward_butterfly(x[2 * kHalf * node + i], x[2 * kHalf * node + kHalf + i], w, q);
    }
  }
  if constexpr (kStage + 1 < kStages) forward_stages<kStages, kStage + 1>(x, table, k, q);
}

/// The same backwards. If `is_last` the stage of node k is the last of the transform.
template <int kStages, int kStage = kStages - 1, typename Word>
__device__ void inverse_stages(Word* x, const Word* table, std::int64_t k, bool is_last,
                               const LastStage<Word>& last, Word q) {
  constexpr int kHalf = 1 << (kStages - kStage - 1);
  if (kStage == 0 && is_last) {
#pragma unroll
    for (int i = 0; i < kHalf; ++i) last_butterfly(x[i], x[kHalf + i], last, q);
    return;
  }
#pragma unroll
  for (int node = 0; node < 1 << kStage; ++node) {
    const ShoupFactor<Word> w = load_factor(table, (k << kStage) + node);
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      inverse_butterfly(x[2 * kHalf * node + i], x[2 * kHalf * node + kHalf + i], w, q);
    }
  }
  if constexpr (kStage > 0) inverse_stages<kStages, kStage - 1>(x, table, k, is_last, last, q);
}

struct NttNodeConfig {
  /// Coefficients of a thread at once: five stages in registers, so that a node of 2^15 needs two
  /// exchanges through shared memory; 16 independent butterflies hide the latency of each other.
  static constexpr int kLogCoefficients = 5;
  static constexpr int kCoefficients = 1 << kLogCoefficients;
  /// A node is 2^10 coefficients, one warp, to 128 KiB, which leaves room for the padding in the
  /// 163 KiB of an A100 and the 227 of an H100.
  static constexpr int kMinLogSize = 10;
  static constexpr int max_log_size(int word_bytes) { return word_bytes == 4 ? 15 : 14; }
  /// The 32 coefficients of a thread, their factors and addresses want about 100 registers. More
  /// threads would have 64 and spill; so would 64-bit words, of two registers, with 128.
  static constexpr int max_threads(int word_bytes) { return word_bytes == 4 ? 512 : 256; }
  /// A whole limb per block pays when every SM has a block: 132 on an H100. With fewer, more blocks
  /// of smaller nodes finish earlier although the data crosses the memory twice. An estimate: not
  /// measured yet.
  static constexpr std::int64_t kWholeLimbs = 132;
  /// Blocks take nodes by grid stride: at most eight waves of 32 small blocks on 132 SMs.
  static constexpr std::int64_t kMaxBlocks = 132 * 32 * 8;
};

/// One word of padding after every 32: a warp that reads 32 consecutive words, or every thread of
/// it its own run of 32, meets each bank once. Multiples of 32 stay evenly apart.
__host__ __device__ constexpr int padded(int i) { return i + (i >> 5); }

template <typename Word>
constexpr std::size_t node_bytes(int log_size) {
  return sizeof(Word) * static_cast<std::size_t>(padded(1 << log_size));
}

/// A node in the shared memory of a block.
template <typename Word>
__device__ Word* node_memory() {
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<Word*>(bytes);
}

/// The stages of a node of 2^log_size coefficients above its runs of 32 are one pass, or two.
struct NodePasses {
  int first;
  int second;
  __device__ explicit NodePasses(int log_size)
      : first(log_size - NttNodeConfig::kLogCoefficients), second(0) {
    if (first > NttNodeConfig::kLogCoefficients) {
      second = first / 2;
      first -= second;
    }
  }
};

/// kStages stages of the node k of 2^log_size coefficients in `row`, to a block's memory; its
/// threads share out the columns.
template <int kStages, typename Word>
__device__ void forward_columns(const Word* row, Word* memory, int log_size, const Word* table,
                                std::int64_t k, Word q) {
  const int stride = 1 << (log_size - kStages);
  const int padded_stride = padded(stride);
  for (int column = static_cast<int>(threadIdx.x); column < stride;
       column += static_cast<int>(blockDim.x)) {
    Word x[1 << kStages];
#pragma unroll
    for (int i = 0; i < 1 << kStages; ++i) x[i] = row[column + i * stride];
    forward_stages<kStages>(x, table, k, q);
    Word* const to = memory + padded(column);
#pragma unroll
    for (int i = 0; i < 1 << kStages; ++i) to[i * padded_stride] = x[i];
  }
}
template <int kStages, typename Word>
__device__ void inverse_columns(const Word* memory, Word* row, int log_size, const Word* table,
                                std::int64_t k, bool is_last, const LastStage<Word>& last, Word q) {
  const int stride = 1 << (log_size - kStages);
  const int padded_stride = padded(stride);
  for (int column = static_cast<int>(threadIdx.x); column < stride;
       column += static_cast<int>(blockDim.x)) {
    const Word* const from = memory + padded(column);
    Word x[1 << kStages];
#pragma unroll
    for (int i = 0; i < 1 << kStages; ++i) x[i] = from[i * padded_stride];
    inverse_stages<kStages>(x, table, k, is_last, last, q);
#pragma unroll
    for (int i = 0; i < 1 << kStages; ++i) row[column + i * stride] = x[i];
  }
}

/// Calls `body(words, node)` for the columns of all nodes of 2^(kStages + 5) coefficients of a
/// block's 2^log_size: words 33 apart. A warp has 32 columns of one node, and so one set of
/// factors.
template <int kStages, typename Word, typename Body>
__device__ void for_each_inner_column(Word* memory, int log_size, const Body& body) {
  constexpr int kWarp = NttNodeConfig::kCoefficients;
  const int log_nodes = log_size - kStages - NttNodeConfig::kLogCoefficients;
  for (int i = static_cast<int>(threadIdx.x); i < kWarp << log_nodes;
       i += static_cast<int>(blockDim.x)) {
    const int node = i / kWarp;
    body(memory + padded(node << (kStages + NttNodeConfig::kLogCoefficients)) + i % kWarp, node);
  }
}
template <int kStages, typename Word>
__device__ void forward_inner_columns(Word* memory, int log_size, const Word* table, std::int64_t k,
                                      Word q) {
  const std::int64_t first = k << (log_size - kStages - NttNodeConfig::kLogCoefficients);
  for_each_inner_column<kStages>(memory, log_size, [=](Word* words, int node) {
    Word x[1 << kStages];
#pragma unroll
    for (int i = 0; i < 1 << kStages; ++i) x[i] = words[i * padded(32)];
    forward_stages<kStages>(x, table, first + node, q);
#pragma unroll
    for (int i = 0; i < 1 << kStages; ++i) words[i * padded(32)] = x[i];
  });
}
template <int kStages, typename Word>
__device__ void inverse_inner_columns(Word* memory, int log_size, const Word* table, std::int64_t k,
                                      Word q) {
  const std::int64_t first = k << (log_size - kStages - NttNodeConfig::kLogCoefficients);
  for_each_inner_column<kStages>(memory, log_size, [=](Word* words, int node) {
    Word x[1 << kStages];
#pragma unroll
    for (int i = 0; i < 1 << kStages; ++i) x[i] = words[i * padded(32)];
    inverse_stages<kStages>(x, table, first + node, false, LastStage<Word>{}, q);
#pragma unroll
    for (int i = 0; i < 1 << kStages; ++i) words[i * padded(32)] = x[i];
  });
}

/// The factors of one of the last four stages for the two nodes of 16 coefficients of a run of 32.
template <typename Word>
struct RunFactors {
  ShoupFactor<Word> of_first;
  ShoupFactor<Word> of_second;
};
template <typename Word>
__device__ RunFactors<Word> load_run_factors(const Word* rows, int row, int lane) {
  const Word* const at = rows + row * NttLayout::kRowWords;
  const Pair<Word> values = load_pair(at, lane);
  const Pair<Word> quotients = load_pair(at + NttLayout::kLanes, lane);
  return {{values.first, quotients.first}, {values.second, quotients.second}};
}

/// Where the rows of factors of run `run` of a limb stand (32 coefficients, half a block's lane
/// pair).
template <typename Word>
__device__ const Word* rows_of_run(const Word* table, int log_n, std::int64_t run) {
  return table + NttLayout::block_offset(log_n, run / (NttLayout::kLanes / 2));
}
__device__ constexpr int lane_of_run(std::int64_t run) {
  return static_cast<int>(run % (NttLayout::kLanes / 2)) * 2;
}

/// Stages kStage to 3 of the last four, of the two nodes of 16 coefficients in x.
template <int kStage = 0, typename Word>
__device__ void forward_run_stages(Word* x, const Word* rows, int lane, Word q) {
  constexpr int kNode = NttLayout::kLanes;
  constexpr int kHalf = kNode >> (kStage + 1);
#pragma unroll
  for (int node = 0; node < 1 << kStage; ++node) {
    const RunFactors<Word> factors = load_run_factors(rows, (1 << kStage) - 1 + node, lane);
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const int at = 2 * kHalf * node + i;
      forward_butterfly(x[at], x[at + kHalf], factors.of_first, q);
      forward_butterfly(x[kNode + at], x[kNode + at + kHalf], factors.of_second, q);
    }
  }
  if constexpr (kStage + 1 < NttLayout::kLogLanes) {
    forward_run_stages<kStage + 1>(x, rows, lane, q);
  }
}
template <int kStage = NttLayout::kLogLanes - 1, typename Word>
__device__ void inverse_run_stages(Word* x, const Word* rows, int lane, Word q) {
  constexpr int kNode = NttLayout::kLanes;
  constexpr int kHalf = kNode >> (kStage + 1);
#pragma unroll
  for (int node = 0; node < 1 << kStage; ++node) {
    const RunFactors<Word> factors = load_run_factors(rows, (1 << kStage) - 1 + node, lane);
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const int at = 2 * kHalf * node + i;
      inverse_butterfly(x[at], x[at + kHalf], factors.of_first, q);
      inverse_butterfly(x[kNode + at], x[kNode + at + kHalf], factors.of_second, q);
    }
  }
  if constexpr (kStage > 0) inverse_run_stages<kStage - 1>(x, rows, lane, q);
}

/// The factor of a run's first stage.
template <typename Word>
__device__ ShoupFactor<Word> load_factor_of_run(const Word* table, int log_n, std::int64_t run) {
  return load_factor(table, (std::int64_t{1} << (log_n - NttNodeConfig::kLogCoefficients)) + run);
}

/// The last five stages of run `run` of a limb, 32 coefficients in x.
template <typename Word>
__device__ void forward_run(Word* x, const Word* table, int log_n, std::int64_t run, Word q) {
  constexpr int kHalf = NttLayout::kLanes;
  const ShoupFactor<Word> w = load_factor_of_run(table, log_n, run);
#pragma unroll
  for (int i = 0; i < kHalf; ++i) forward_butterfly(x[i], x[kHalf + i], w, q);
  forward_run_stages(x, rows_of_run(table, log_n, run), lane_of_run(run), q);
}
template <typename Word>
__device__ void inverse_run(Word* x, const Word* table, int log_n, std::int64_t run, Word q) {
  constexpr int kHalf = NttLayout::kLanes;
  inverse_run_stages(x, rows_of_run(table, log_n, run), lane_of_run(run), q);
  const ShoupFactor<Word> w = load_factor_of_run(table, log_n, run);
#pragma unroll
  for (int i = 0; i < kHalf; ++i) inverse_butterfly(x[i], x[kHalf + i], w, q);
}

/// Node `node` of the 2^(log_n - log_size) of a limb.
struct NodePlace {
  std::int64_t poly;
  std::int64_t limb;
  std::int64_t node;
  std::int64_t k;
  __device__ NodePlace(std::int64_t unit, std::int64_t limbs, int log_nodes)
      : poly((unit >> log_nodes) / limbs),
        limb((unit >> log_nodes) % limbs),
        node(unit & ((std::int64_t{1} << log_nodes) - 1)),
        k((std::int64_t{1} << log_nodes) + node) {}
};

// ---- A node per block ----

template <typename Word, typename Finish>
__global__ void __launch_bounds__(NttNodeConfig::max_threads(sizeof(Word)))
    ntt_forward_kernel(NttForwardTask<Word, Finish> task, int log_size) {
  constexpr int kRun = NttNodeConfig::kCoefficients;
  Word* const memory = node_memory<Word>();
  const int log_n = task.tables.log_n;
  const int log_nodes = log_n - log_size;
  const int size = 1 << log_size;
  const NodePasses passes(log_size);
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t units = (task.polys.polys * task.limbs.count) << log_nodes;
  for (std::int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const NodePlace place(unit, task.limbs.count, log_nodes);
    const int prime = task.limbs[place.limb];
    const Modulus<Word> m = task.tables.constants[prime].modulus;
    const Word q = m.value;
    const Word* const table = task.tables.forward + prime * NttLayout::table_words(log_n);
    const std::int64_t offset = place.node << log_size;
    const Word* const row = task.polys.limb(place.poly, place.limb) + offset;
    if (passes.first == 3) {
      forward_columns<3>(row, memory, log_size, table, place.k, q);
    } else if (passes.first == 4) {
      forward_columns<4>(row, memory, log_size, table, place.k, q);
    } else {
      forward_columns<5>(row, memory, log_size, table, place.k, q);
    }
    __syncthreads();
    if (passes.second == 3) {
      forward_inner_columns<3>(memory, log_size, table, place.k, q);
    } else if (passes.second == 4) {
      forward_inner_columns<4>(memory, log_size, table, place.k, q);
    } else if (passes.second == 5) {
      forward_inner_columns<5>(memory, log_size, table, place.k, q);
    }
    __syncthreads();
    for (int r = thread; r < size / kRun; r += static_cast<int>(blockDim.x)) {
      Word* const run = memory + padded(r * kRun);
      Word x[kRun];
#pragma unroll
      for (int i = 0; i < kRun; ++i) x[i] = run[i];
      forward_run(x, table, log_n, offset / kRun + r, q);
#pragma unroll
      for (int i = 0; i < kRun; ++i) run[i] = x[i];
    }
    __syncthreads();
    // Through shared memory once more, so that a warp writes whole lines.
    const auto finish = task.finish.row(task.polys, place.poly, place.limb);
    for (int i = thread; i < size; i += static_cast<int>(blockDim.x)) {
      finish(offset + i, memory[padded(i)], m);
    }
    __syncthreads();  // the next node replaces them
  }
}

template <typename Word>
__global__ void __launch_bounds__(NttNodeConfig::max_threads(sizeof(Word)))
    ntt_inverse_kernel(NttInverseTask<Word> task, int log_size) {
  constexpr int kRun = NttNodeConfig::kCoefficients;
  Word* const memory = node_memory<Word>();
  const int log_n = task.tables.log_n;
  const int log_nodes = log_n - log_size;
  const int size = 1 << log_size;
  const NodePasses passes(log_size);
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t units = (task.polys.polys * task.limbs.count) << log_nodes;
  for (std::int64_t unit = blockIdx.x; unit < units; unit += gridDim.x) {
    const NodePlace place(unit, task.limbs.count, log_nodes);
    const int prime = task.limbs[place.limb];
    const NttConstants<Word> constants = task.tables.constants[prime];
    const Word q = constants.modulus.value;
    const Word* const table = task.tables.inverse + prime * NttLayout::table_words(log_n);
    const std::int64_t offset = place.node << log_size;
    Word* const row = task.polys.limb(place.poly, place.limb) + offset;
    for (int i = thread; i < size; i += static_cast<int>(blockDim.x)) {
      memory[padded(i)] = row[i];
    }
    __syncthreads();
    for (int r = thread; r < size / kRun; r += static_cast<int>(blockDim.x)) {
      Word* const run = memory + padded(r * kRun);
      Word x[kRun];
#pragma unroll
      for (int i = 0; i < kRun; ++i) x[i] = run[i];
      inverse_run(x, table, log_n, offset / kRun + r, q);
#pragma unroll
      for (int i = 0; i < kRun; ++i) run[i] = x[i];
    }
    __syncthreads();
    if (passes.second == 3) {
      inverse_inner_columns<3>(memory, log_size, table, place.k, q);
    } else if (passes.second == 4) {
      inverse_inner_columns<4>(memory, log_size, table, place.k, q);
    } else if (passes.second == 5) {
      inverse_inner_columns<5>(memory, log_size, table, place.k, q);
    }
    __syncthreads();
    const bool is_last = log_nodes == 0;
    const LastStage<Word> last = task.factors == nullptr
                                     ? last_stage(constants)
                                     : last_stage(constants, task.factors[place.limb]);
    if (passes.first == 3) {
      inverse_columns<3>(memory, row, log_size, table, place.k, is_last, last, q);
    } else if (passes.first == 4) {
      inverse_columns<4>(memory, row, log_size, table, place.k, is_last, last, q);
    } else {
      inverse_columns<5>(memory, row, log_size, table, place.k, is_last, last, q);
    }
    __syncthreads();  // the next node replaces them
  }
}

// ---- The first stages of a limb that blocks hold in parts ----

struct NttOuterConfig {
  /// A column of 2^stages coefficients per thread, in registers; a warp reads whole lines.
  static constexpr int kThreads = 256;
  /// Eight resident blocks on each of 132 SMs, in 16 waves; columns beyond come by grid stride.
  static constexpr std::int64_t kMaxBlocks = 132 * 8 * 16;
  static constexpr int kMinStages = 3;
  /// 16 coefficients and their factors fit 80 registers: three blocks on an SM have 48 KiB of loads
  /// in flight. 32 would want 132, for one block.
  static constexpr int kMaxStages = 4;
};

template <typename Word>
struct ColumnPlace {
  int prime;
  std::int64_t poly;
  std::int64_t limb;
  std::int64_t column;
  __device__ ColumnPlace(const LimbIndices& limbs, std::int64_t i, int log_stride)
      : poly((i >> log_stride) / limbs.count),
        limb((i >> log_stride) % limbs.count),
        column(i & ((std::int64_t{1} << log_stride) - 1)) {
    prime = limbs[limb];
  }
};

/// Leaves [0, 4q).
template <typename Word, int kStages>
__global__ void __launch_bounds__(NttOuterConfig::kThreads)
    ntt_forward_outer_kernel(RnsView<Word> polys, LimbIndices limbs, NttTablesView<Word> tables) {
  const int log_stride = tables.log_n - kStages;
  const std::int64_t stride = std::int64_t{1} << log_stride;
  const std::int64_t columns = (polys.polys * limbs.count) << log_stride;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * NttOuterConfig::kThreads;
  for (std::int64_t i =
           static_cast<std::int64_t>(blockIdx.x) * NttOuterConfig::kThreads + threadIdx.x;
       i < columns; i += step) {
    const ColumnPlace<Word> place(limbs, i, log_stride);
    const Word* const table = tables.forward + place.prime * NttLayout::table_words(tables.log_n);
    Word* const data = polys.limb(place.poly, place.limb) + place.column;
    Word x[1 << kStages];
#pragma unroll
    for (int r = 0; r < 1 << kStages; ++r) x[r] = data[r * stride];
    forward_stages<kStages>(x, table, 1, tables.constants[place.prime].modulus.value);
#pragma unroll
    for (int r = 0; r < 1 << kStages; ++r) data[r * stride] = x[r];
  }
}

/// Takes [0, 2q).
template <typename Word, int kStages>
__global__ void __launch_bounds__(NttOuterConfig::kThreads)
    ntt_inverse_outer_kernel(NttInverseTask<Word> task) {
  const int log_stride = task.tables.log_n - kStages;
  const std::int64_t stride = std::int64_t{1} << log_stride;
  const std::int64_t columns = (task.polys.polys * task.limbs.count) << log_stride;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * NttOuterConfig::kThreads;
  for (std::int64_t i =
           static_cast<std::int64_t>(blockIdx.x) * NttOuterConfig::kThreads + threadIdx.x;
       i < columns; i += step) {
    const ColumnPlace<Word> place(task.limbs, i, log_stride);
    const Word* const table =
        task.tables.inverse + place.prime * NttLayout::table_words(task.tables.log_n);
    const NttConstants<Word> constants = task.tables.constants[place.prime];
    const LastStage<Word> last = task.factors == nullptr
                                     ? last_stage(constants)
                                     : last_stage(constants, task.factors[place.limb]);
    Word* const data = task.polys.limb(place.poly, place.limb) + place.column;
    Word x[1 << kStages];
#pragma unroll
    for (int r = 0; r < 1 << kStages; ++r) x[r] = data[r * stride];
    inverse_stages<kStages>(x, table, 1, true, last, constants.modulus.value);
#pragma unroll
    for (int r = 0; r < 1 << kStages; ++r) data[r * stride] = x[r];
  }
}

// ---- Which form ----

/// How many of the first stages are a kernel of their own; the rest are nodes of one block each.
template <typename Word>
int outer_stages(int log_n, std::int64_t limbs, const Stream& stream) {
  constexpr int kMin = NttNodeConfig::kMinLogSize;
  const bool fits = log_n <= NttNodeConfig::max_log_size(sizeof(Word)) &&
                    node_bytes<Word>(log_n) <= cuda::max_dynamic_shared_bytes(stream);
  const bool is_small = log_n < kMin + NttOuterConfig::kMinStages;
  const bool fill_the_device = limbs >= std::min(NttNodeConfig::kWholeLimbs, cuda::grid_limit());
  if (fits && (is_small || fill_the_device)) return 0;
  return std::min(log_n - kMin, NttOuterConfig::kMaxStages);
}

template <typename Word>
cuda::LaunchConfig node_config(std::int64_t limbs, int log_n, int log_size) {
  return {cuda::grid_stride_blocks(limbs << (log_n - log_size), 1, NttNodeConfig::kMaxBlocks),
          std::min(1u << (log_size - NttNodeConfig::kLogCoefficients),
                   static_cast<unsigned>(NttNodeConfig::max_threads(sizeof(Word)))),
          node_bytes<Word>(log_size)};
}

cuda::LaunchConfig outer_config(std::int64_t limbs, int log_n, int stages) {
  return {cuda::grid_stride_blocks(limbs << (log_n - stages), NttOuterConfig::kThreads,
                                   NttOuterConfig::kMaxBlocks),
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
  const cuda::LaunchConfig outer = outer_config(limbs, log_n, stages);
  if (stages == 3) {
    cuda::launch(outer, stream, ntt_forward_outer_kernel<Word, 3>, task.polys, task.limbs,
                 task.tables);
  } else if (stages == 4) {
    cuda::launch(outer, stream, ntt_forward_outer_kernel<Word, 4>, task.polys, task.limbs,
                 task.tables);
  }
  cuda::launch(node_config<Word>(limbs, log_n, log_n - stages), stream,
               ntt_forward_kernel<Word, Finish>, task, log_n - stages);
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
  cuda::launch(node_config<Word>(limbs, log_n, log_n - stages), stream, ntt_inverse_kernel<Word>,
               task, log_n - stages);
  const cuda::LaunchConfig outer = outer_config(limbs, log_n, stages);
  if (stages == 3) {
    cuda::launch(outer, stream, ntt_inverse_outer_kernel<Word, 3>, task);
  } else if (stages == 4) {
    cuda::launch(outer, stream, ntt_inverse_outer_kernel<Word, 4>, task);
  }
}

#define VELUM_INSTANTIATE(Word, Finish) \
  template void ntt_forward_cuda(const NttForwardTask<Word, Finish<Word>>&, const Stream&);
VELUM_FOR_EACH_NTT_FORWARD(VELUM_INSTANTIATE)
#undef VELUM_INSTANTIATE
template void ntt_inverse_cuda(const NttInverseTask<std::uint32_t>&, const Stream&);
template void ntt_inverse_cuda(const NttInverseTask<std::uint64_t>&, const Stream&);

}  // namespace velum::kernels
