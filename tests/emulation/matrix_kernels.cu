#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <mma.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "matrix_kernels.h"

namespace velum::emulation::matrices {
namespace {

void check(cudaError_t error) {
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
}

class Array {
 public:
  explicit Array(const std::vector<double>& values) : size_(values.size()) {
    check(cudaMalloc(&data_, size_ * sizeof(double)));
    check(cudaMemcpy(data_, values.data(), size_ * sizeof(double), cudaMemcpyHostToDevice));
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { cudaFree(data_); }
  double* data() const { return data_; }
  std::vector<double> to_host() const {
    std::vector<double> values(size_);
    check(cudaMemcpy(values.data(), data_, size_ * sizeof(double), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  double* data_ = nullptr;
  std::size_t size_;
};

// The types of elements: how a number is stored, and how many a register of 32 bits holds.
struct F16 {
  static constexpr const char* kName = "f16";
  static constexpr int kPacked = 2;
  __device__ static unsigned bits(double x) { return __half_as_ushort(__double2half(x)); }
};
struct Bf16 {
  static constexpr const char* kName = "bf16";
  static constexpr int kPacked = 2;
  __device__ static unsigned bits(double x) { return __bfloat16_as_ushort(__double2bfloat16(x)); }
};
struct Tf32 {
  static constexpr const char* kName = "tf32";
  static constexpr int kPacked = 1;
  __device__ static unsigned bits(double x) {
    unsigned converted = 0;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(converted) : "f"(static_cast<float>(x)));
    return converted;
  }
};
struct S8 {
  static constexpr const char* kName = "s8";
  static constexpr int kPacked = 4;
  __device__ static unsigned bits(double x) { return static_cast<int>(x) & 0xFF; }
};
struct U8 : S8 {
  static constexpr const char* kName = "u8";
};

struct Place {
  int row;
  int column;
};

// The layouts, by shape and type, as the manual writes them: element i of a lane's fragment.
#define VELUM_LAYOUT(name, m, k, a_row, a_column, b_row, d_row)                \
  struct name {                                                                \
    static constexpr int kM = m;                                               \
    static constexpr int kK = k;                                               \
    __device__ static Place a([[maybe_unused]] int i, int group, int thread) { \
      return {a_row, a_column};                                                \
    }                                                                          \
    __device__ static Place b([[maybe_unused]] int i, int group, int thread) { \
      return {b_row, group};                                                   \
    }                                                                          \
    __device__ static Place d([[maybe_unused]] int i, int group, int thread) { \
      return {d_row, thread * 2 + (i & 1)};                                    \
    }                                                                          \
  }
VELUM_LAYOUT(HalfK8, 16, 8, i < 2 ? group : group + 8, thread * 2 + (i & 1), thread * 2 + i,
             i < 2 ? group : group + 8);
VELUM_LAYOUT(HalfK16, 16, 16, i < 2 || (i >= 4 && i < 6) ? group : group + 8,
             i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8,
             i < 2 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8, i < 2 ? group : group + 8);
VELUM_LAYOUT(WordK4, 16, 4, i == 0 ? group : group + 8, thread, thread, i < 2 ? group : group + 8);
VELUM_LAYOUT(WordK8, 16, 8, i == 0 || i == 2 ? group : group + 8, i < 2 ? thread : thread + 4,
             i == 0 ? thread : thread + 4, i < 2 ? group : group + 8);
VELUM_LAYOUT(ByteM8K16, 8, 16, group, thread * 4 + i, thread * 4 + i, group);
VELUM_LAYOUT(ByteK16, 16, 16, i < 4 ? group : group + 8, thread * 4 + (i & 3), thread * 4 + i,
             i < 2 ? group : group + 8);
VELUM_LAYOUT(ByteK32, 16, 32, i < 4 || (i >= 8 && i < 12) ? group : group + 8,
             i < 8 ? thread * 4 + (i & 3) : thread * 4 + (i & 3) + 16,
             i < 4 ? thread * 4 + (i & 3) : thread * 4 + (i & 3) + 16, i < 2 ? group : group + 8);
#undef VELUM_LAYOUT

// The instruction by its numbers of registers in D, A and B.
#define VELUM_MMA_442(text)                                                  \
  asm volatile(text " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])              \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#define VELUM_MMA_421(text)                                         \
  asm volatile(text " {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};" \
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])     \
               : "r"(a[0]), "r"(a[1]), "r"(b[0]))
#define VELUM_MMA_242(text)                                      \
  asm volatile(text " {%0,%1}, {%2,%3,%4,%5}, {%6,%7}, {%0,%1};" \
               : "+r"(d[0]), "+r"(d[1])                          \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#define VELUM_MMA_221(text)                             \
  asm volatile(text " {%0,%1}, {%2,%3}, {%4}, {%0,%1};" \
               : "+r"(d[0]), "+r"(d[1])                 \
               : "r"(a[0]), "r"(a[1]), "r"(b[0]))
#define VELUM_MMA_211(text)                          \
  asm volatile(text " {%0,%1}, {%2}, {%3}, {%0,%1};" \
               : "+r"(d[0]), "+r"(d[1])              \
               : "r"(a[0]), "r"(b[0]))

// name, layout, types of A, B and D, registers, saturation. The position in the list is the number
// of the form.
// clang-format off
#define VELUM_BYTE_FORMS(F, shape, layout, registers) \
  F(shape ".row.col.s32.s8.s8.s32", layout, S8, S8, kS32, registers, false) \
  F(shape ".row.col.s32.s8.u8.s32", layout, S8, U8, kS32, registers, false) \
  F(shape ".row.col.s32.u8.s8.s32", layout, U8, S8, kS32, registers, false) \
  F(shape ".row.col.s32.u8.u8.s32", layout, U8, U8, kS32, registers, false) \
  F(shape ".row.col.satfinite.s32.s8.s8.s32", layout, S8, S8, kS32, registers, true) \
  F(shape ".row.col.satfinite.s32.s8.u8.s32", layout, S8, U8, kS32, registers, true) \
  F(shape ".row.col.satfinite.s32.u8.s8.s32", layout, U8, S8, kS32, registers, true) \
  F(shape ".row.col.satfinite.s32.u8.u8.s32", layout, U8, U8, kS32, registers, true)
#define VELUM_MATRIX_FORMS(F) \
  F("m16n8k8.row.col.f32.f16.f16.f32", HalfK8, F16, F16, kF32, VELUM_MMA_421, false) \
  F("m16n8k8.row.col.f16.f16.f16.f16", HalfK8, F16, F16, kF16, VELUM_MMA_221, false) \
  F("m16n8k16.row.col.f32.f16.f16.f32", HalfK16, F16, F16, kF32, VELUM_MMA_442, false) \
  F("m16n8k16.row.col.f16.f16.f16.f16", HalfK16, F16, F16, kF16, VELUM_MMA_242, false) \
  F("m16n8k8.row.col.f32.bf16.bf16.f32", HalfK8, Bf16, Bf16, kF32, VELUM_MMA_421, false) \
  F("m16n8k16.row.col.f32.bf16.bf16.f32", HalfK16, Bf16, Bf16, kF32, VELUM_MMA_442, false) \
  F("m16n8k4.row.col.f32.tf32.tf32.f32", WordK4, Tf32, Tf32, kF32, VELUM_MMA_421, false) \
  F("m16n8k8.row.col.f32.tf32.tf32.f32", WordK8, Tf32, Tf32, kF32, VELUM_MMA_442, false) \
  VELUM_BYTE_FORMS(F, "m8n8k16", ByteM8K16, VELUM_MMA_211) \
  VELUM_BYTE_FORMS(F, "m16n8k16", ByteK16, VELUM_MMA_421) \
  VELUM_BYTE_FORMS(F, "m16n8k32", ByteK32, VELUM_MMA_442)
// clang-format on

enum class Result { kF32, kF16, kS32 };
constexpr const char* kResultNames[] = {"f32", "f16", "s32"};

/// Element i of a fragment, the first in the low bits of the first register.
template <typename Element>
__device__ void put(unsigned* registers, int i, double value) {
  const int within = i % Element::kPacked;
  unsigned& packed = registers[i / Element::kPacked];
  packed = (within == 0 ? 0 : packed) | Element::bits(value) << (32 / Element::kPacked * within);
}

template <Result kResult, int kElements, typename Layout>
__device__ void load_result(const double* c, unsigned* d, int group, int thread) {
  for (int i = 0; i < kElements; ++i) {
    const Place at = Layout::d(i, group, thread);
    const double x = c[at.row * kColumns + at.column];
    if (kResult == Result::kF32) d[i] = __float_as_uint(static_cast<float>(x));
    if (kResult == Result::kS32) d[i] = static_cast<unsigned>(static_cast<int>(x));
    if (kResult == Result::kF16) put<F16>(d, i, x);
  }
}
template <Result kResult, int kElements, typename Layout>
__device__ void store_result(double* c, const unsigned* d, int group, int thread) {
  for (int i = 0; i < kElements; ++i) {
    const Place at = Layout::d(i, group, thread);
    double& x = c[at.row * kColumns + at.column];
    if (kResult == Result::kF32) x = __uint_as_float(d[i]);
    if (kResult == Result::kS32) x = static_cast<int>(d[i]);
    if (kResult == Result::kF16) {
      x = __half2float(__ushort_as_half(static_cast<unsigned short>(d[i / 2] >> (16 * (i % 2)))));
    }
  }
}

/// A form: its layout, the types of its elements, and the instruction itself.
template <int kForm>
struct Product;
enum { kFirst = __COUNTER__ + 1 };
#define VELUM_FORM(text, layout, a_type, b_type, result, instruction, saturates)    \
  template <>                                                                       \
  struct Product<__COUNTER__ - kFirst> {                                            \
    using Layout = layout;                                                          \
    using A = a_type;                                                               \
    using B = b_type;                                                               \
    static constexpr Result kResult = Result::result;                               \
    static Form form() {                                                            \
      return {"mma.sync.aligned." text,                                             \
              Layout::kM,                                                           \
              Layout::kK,                                                           \
              A::kName,                                                             \
              B::kName,                                                             \
              kResultNames[static_cast<int>(kResult)],                              \
              saturates};                                                           \
    }                                                                               \
    __device__ static void run(unsigned* d, const unsigned* a, const unsigned* b) { \
      instruction("mma.sync.aligned." text);                                        \
    }                                                                               \
  };
VELUM_MATRIX_FORMS(VELUM_FORM)
#undef VELUM_FORM
constexpr int kForms = __COUNTER__ - kFirst;

template <typename P>
__global__ void product_kernel(const double* a_values, const double* b_values, double* c_values) {
  using Layout = typename P::Layout;
  constexpr int kElementsA = Layout::kM * Layout::kK / 32;
  constexpr int kElementsB = Layout::kK * kColumns / 32;
  constexpr int kElementsD = Layout::kM * kColumns / 32;
  const int group = static_cast<int>(threadIdx.x) / 4;
  const int thread = static_cast<int>(threadIdx.x) % 4;
  unsigned a[kElementsA / P::A::kPacked];
  unsigned b[kElementsB / P::B::kPacked];
  unsigned d[kElementsD];
  for (int i = 0; i < kElementsA; ++i) {
    const Place at = Layout::a(i, group, thread);
    put<typename P::A>(a, i, a_values[at.row * Layout::kK + at.column]);
  }
  for (int i = 0; i < kElementsB; ++i) {
    const Place at = Layout::b(i, group, thread);
    put<typename P::B>(b, i, b_values[at.row * kColumns + at.column]);
  }
  load_result<P::kResult, kElementsD, Layout>(c_values, d, group, thread);
  P::run(d, a, b);
  store_result<P::kResult, kElementsD, Layout>(c_values, d, group, thread);
}

__global__ void double_product_kernel(const double* a, const double* b, double* c) {
  const int group = static_cast<int>(threadIdx.x) / 4;
  const int thread = static_cast<int>(threadIdx.x) % 4;
  double* const d = c + group * kColumns + thread * 2;
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
               : "+d"(d[0]), "+d"(d[1])
               : "d"(a[group * 4 + thread]), "d"(b[thread * kColumns + group]));
}

template <typename Layout>
__global__ void double_product_of_16_rows_kernel(const double* a, const double* b, double* c) {
  const int group = static_cast<int>(threadIdx.x) / 4;
  const int thread = static_cast<int>(threadIdx.x) % 4;
  const auto of_a = [&](int i) {
    const Place at = Layout::a(i, group, thread);
    return a[at.row * Layout::kK + at.column];
  };
  const auto of_b = [&](int i) {
    const Place at = Layout::b(i, group, thread);
    return b[at.row * kColumns + at.column];
  };
  const auto of_c = [&](int i) -> double& {
    const Place at = Layout::d(i, group, thread);
    return c[at.row * kColumns + at.column];
  };
  if constexpr (Layout::kK == 4) {
    asm volatile(
        "mma.sync.aligned.m16n8k4.row.col.f64.f64.f64.f64 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
        "{%0,%1,%2,%3};"
        : "+d"(of_c(0)), "+d"(of_c(1)), "+d"(of_c(2)), "+d"(of_c(3))
        : "d"(of_a(0)), "d"(of_a(1)), "d"(of_b(0)));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f64.f64.f64.f64 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+d"(of_c(0)), "+d"(of_c(1)), "+d"(of_c(2)), "+d"(of_c(3))
        : "d"(of_a(0)), "d"(of_a(1)), "d"(of_a(2)), "d"(of_a(3)), "d"(of_b(0)), "d"(of_b(1)));
  }
}

__global__ void unconverted_kernel(const float* values, double* out) {
  const unsigned a[2] = {__float_as_uint(values[0]), __float_as_uint(values[1])};
  const unsigned b[1] = {0};
  unsigned d[4] = {};
  VELUM_MMA_421("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32");
  out[threadIdx.x] = __uint_as_float(d[0]);
}
__global__ void lane_kernel() {
  if (threadIdx.x == 31) return;
  const unsigned a[1] = {0};
  const unsigned b[1] = {0};
  unsigned d[2] = {};
  VELUM_MMA_211("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32");
}

#define VELUM_LOAD_4(text, pointer)                                       \
  asm volatile("ldmatrix.sync.aligned.m8n8." text " {%0,%1,%2,%3}, [%4];" \
               : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3])           \
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(pointer))))
#define VELUM_LOAD_2(text, pointer)                                 \
  asm volatile("ldmatrix.sync.aligned.m8n8." text " {%0,%1}, [%2];" \
               : "=r"(b[0]), "=r"(b[1])                             \
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(pointer))))
#define VELUM_LOAD_1(text, i, pointer)                           \
  asm volatile("ldmatrix.sync.aligned.m8n8." text " {%0}, [%1];" \
               : "=r"(b[i])                                      \
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(pointer))))

__global__ void shared_kernel(Loads loads, const double* a_values, const double* b_values,
                              double* out) {
  __shared__ alignas(16) __half rows_of_a[16][16];
  __shared__ alignas(16) __half columns_of_a[16][16];
  __shared__ alignas(16) __half rows_of_b[16][8];
  __shared__ alignas(16) __half columns_of_b[8][16];
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) {
    rows_of_a[i / 16][i % 16] = __double2half(a_values[i]);
    columns_of_a[i % 16][i / 16] = __double2half(a_values[i]);
  }
  for (int i = lane; i < 128; i += 32) {
    rows_of_b[i / 8][i % 8] = __double2half(b_values[i]);
    columns_of_b[i % 8][i / 8] = __double2half(b_values[i]);
  }
  __syncthreads();
  const int group = lane / 4;
  const int thread = lane % 4;
  const int matrix = lane / 8;  // whose row this lane points at
  const int row = lane % 8;
  unsigned a[4];
  unsigned b[2];
  for (int i = 0; i < 8; ++i) {
    const Place at = HalfK16::a(i, group, thread);
    put<F16>(a, i, a_values[at.row * 16 + at.column]);
  }
  for (int i = 0; i < 4; ++i) {
    const Place at = HalfK16::b(i, group, thread);
    put<F16>(b, i, b_values[at.row * kColumns + at.column]);
  }
  switch (loads) {
    case Loads::kFour:
      VELUM_LOAD_4("x4.shared.b16", &rows_of_a[matrix % 2 * 8 + row][matrix / 2 * 8]);
      break;
    case Loads::kFourTransposed:
      VELUM_LOAD_4("x4.trans.shared.b16", &columns_of_a[matrix / 2 * 8 + row][matrix % 2 * 8]);
      break;
    case Loads::kTwo:
      VELUM_LOAD_2("x2.shared.b16", &columns_of_b[row][matrix % 2 * 8]);
      break;
    case Loads::kTwoTransposed:
      VELUM_LOAD_2("x2.trans.shared.b16", &rows_of_b[matrix % 2 * 8 + row][0]);
      break;
    case Loads::kOne:
      VELUM_LOAD_1("x1.shared.b16", 0, &columns_of_b[row][0]);
      VELUM_LOAD_1("x1.shared.b16", 1, &columns_of_b[row][8]);
      break;
    case Loads::kOneTransposed:
      VELUM_LOAD_1("x1.trans.shared.b16", 0, &rows_of_b[row][0]);
      VELUM_LOAD_1("x1.trans.shared.b16", 1, &rows_of_b[8 + row][0]);
      break;
  }
  unsigned d[4] = {};
  VELUM_MMA_442("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32");
  store_result<Result::kF32, 4, HalfK16>(out, d, group, thread);
}

template <typename T>
struct Name;
template <>
struct Name<__half> {
  static constexpr const char* kValue = "f16";
};
template <>
struct Name<__nv_bfloat16> {
  static constexpr const char* kValue = "bf16";
};
template <>
struct Name<signed char> {
  static constexpr const char* kValue = "s8";
};
template <>
struct Name<unsigned char> {
  static constexpr const char* kValue = "u8";
};
template <>
struct Name<float> {
  static constexpr const char* kValue = "f32";
};
template <>
struct Name<int> {
  static constexpr const char* kValue = "s32";
};

/// Element (row, column) of a matrix with leading dimension `stride`.
template <typename Layout>
__device__ int place(int row, int column, int stride) {
  constexpr bool kIsRow = std::is_same_v<Layout, nvcuda::wmma::row_major>;
  return kIsRow ? row * stride + column : column * stride + row;
}

template <int kM, int kN, int kK, typename T, typename C, typename LayoutA, typename LayoutB>
struct FragmentProduct {
  static constexpr bool kRowA = std::is_same_v<LayoutA, nvcuda::wmma::row_major>;
  static constexpr bool kRowB = std::is_same_v<LayoutB, nvcuda::wmma::row_major>;
  static constexpr int kStrideA = (kRowA ? kK : kM) + 16;  // wider than the matrix
  static constexpr int kStrideB = kRowB ? kN : kK;
  static FragmentForm form() { return {kM, kN, kK, Name<T>::kValue, Name<C>::kValue}; }
};
template <typename P, int kM, int kN, int kK, typename T, typename C, typename LayoutA,
          typename LayoutB>
__device__ void run_fragments(FragmentProduct<kM, kN, kK, T, C, LayoutA, LayoutB>,
                              const double* a_values, const double* b_values, double* c_values) {
  namespace wmma = nvcuda::wmma;
  __shared__ alignas(32) T a[P::kStrideA * (P::kRowA ? kM : kK)];
  __shared__ alignas(32) T b[kK * kN];
  __shared__ alignas(32) C c[kM * kN];
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < kM * kK; i += 32) {
    a[place<LayoutA>(i / kK, i % kK, P::kStrideA)] = static_cast<T>(a_values[i]);
  }
  for (int i = lane; i < kK * kN; i += 32) {
    b[place<LayoutB>(i / kN, i % kN, P::kStrideB)] = static_cast<T>(b_values[i]);
  }
  for (int i = lane; i < kM * kN; i += 32) c[i] = static_cast<C>(c_values[i]);
  __syncthreads();
  wmma::fragment<wmma::matrix_a, kM, kN, kK, T, LayoutA> fragment_a;
  wmma::fragment<wmma::matrix_b, kM, kN, kK, T, LayoutB> fragment_b;
  wmma::fragment<wmma::accumulator, kM, kN, kK, C> fragment_c;
  wmma::load_matrix_sync(fragment_a, a, P::kStrideA);
  wmma::load_matrix_sync(fragment_b, b, P::kStrideB);
  wmma::load_matrix_sync(fragment_c, c, kN, wmma::mem_row_major);
  for (int i = 0; i < fragment_a.num_elements; ++i) {
    fragment_a.x[i] = fragment_a.x[i] + fragment_a.x[i];
  }
  wmma::mma_sync(fragment_c, fragment_a, fragment_b, fragment_c);
  for (int i = 0; i < fragment_c.num_elements; ++i) {
    fragment_c.x[i] = fragment_c.x[i] + fragment_c.x[i];
  }
  __syncthreads();
  wmma::store_matrix_sync(c, fragment_c, kM, wmma::mem_col_major);
  __syncthreads();
  for (int i = lane; i < kM * kN; i += 32) {
    c_values[i] = static_cast<double>(static_cast<float>(c[i % kN * kM + i / kN]));
    if (std::is_same_v<C, int>) c_values[i] = static_cast<double>(c[i % kN * kM + i / kN]);
  }
}
template <typename P>
__global__ void fragment_kernel(const double* a, const double* b, double* c) {
  run_fragments<P>(P{}, a, b, c);
}

using Kernel = void (*)(const double*, const double*, double*);
template <int... kForm>
std::vector<Kernel> kernels(std::integer_sequence<int, kForm...>) {
  return {&product_kernel<Product<kForm>>..., &double_product_kernel,
          &double_product_of_16_rows_kernel<WordK4>, &double_product_of_16_rows_kernel<WordK8>};
}
template <int... kForm>
std::vector<Form> all_forms(std::integer_sequence<int, kForm...>) {
  return {Product<kForm>::form()...,
          {"mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64", 8, 4, "f64", "f64", "f64", false},
          {"mma.sync.aligned.m16n8k4.row.col.f64.f64.f64.f64", 16, 4, "f64", "f64", "f64", false},
          {"mma.sync.aligned.m16n8k8.row.col.f64.f64.f64.f64", 16, 8, "f64", "f64", "f64", false}};
}

using Row = nvcuda::wmma::row_major;
using Column = nvcuda::wmma::col_major;
struct FragmentEntry {
  FragmentForm form;
  Kernel kernel;
};
template <typename... P>
std::vector<FragmentEntry> entries() {
  return {{P::form(), &fragment_kernel<P>}...};
}
const std::vector<FragmentEntry> kFragments =
    entries<FragmentProduct<16, 16, 16, __half, float, Row, Column>,
            FragmentProduct<16, 16, 16, __half, float, Column, Row>,
            FragmentProduct<16, 16, 16, __half, float, Row, Row>,
            FragmentProduct<16, 16, 16, __half, float, Column, Column>,
            FragmentProduct<8, 32, 16, __half, float, Row, Column>,
            FragmentProduct<32, 8, 16, __half, float, Column, Row>,
            FragmentProduct<16, 16, 16, __half, __half, Row, Column>,
            FragmentProduct<8, 32, 16, __half, __half, Column, Row>,
            FragmentProduct<32, 8, 16, __half, __half, Row, Column>,
            FragmentProduct<16, 16, 16, __nv_bfloat16, float, Row, Column>,
            FragmentProduct<8, 32, 16, __nv_bfloat16, float, Column, Row>,
            FragmentProduct<32, 8, 16, __nv_bfloat16, float, Row, Column>,
            FragmentProduct<16, 16, 16, signed char, int, Row, Column>,
            FragmentProduct<8, 32, 16, signed char, int, Column, Row>,
            FragmentProduct<32, 8, 16, signed char, int, Row, Column>,
            FragmentProduct<16, 16, 16, unsigned char, int, Column, Row>,
            FragmentProduct<8, 32, 16, unsigned char, int, Row, Column>,
            FragmentProduct<32, 8, 16, unsigned char, int, Column, Row>>();

}  // namespace

const std::vector<FragmentForm>& fragment_forms() {
  static const std::vector<FragmentForm> all = [] {
    std::vector<FragmentForm> list;
    for (const FragmentEntry& entry : kFragments) list.push_back(entry.form);
    return list;
  }();
  return all;
}
std::vector<double> multiply_fragments(std::size_t form, const std::vector<double>& a,
                                       const std::vector<double>& b, const std::vector<double>& c) {
  const Array a_values(a);
  const Array b_values(b);
  const Array d_values(c);
  kFragments[form].kernel<<<1, 32>>>(a_values.data(), b_values.data(), d_values.data());
  return d_values.to_host();
}

const std::vector<Form>& forms() {
  static const std::vector<Form> all = all_forms(std::make_integer_sequence<int, kForms>());
  return all;
}

std::vector<double> multiply(std::size_t form, const std::vector<double>& a,
                             const std::vector<double>& b, const std::vector<double>& c) {
  const Array a_values(a);
  const Array b_values(b);
  const Array d_values(c);
  static const std::vector<Kernel> all = kernels(std::make_integer_sequence<int, kForms>());
  all[form]<<<1, 32>>>(a_values.data(), b_values.data(), d_values.data());
  return d_values.to_host();
}

std::vector<double> multiply_unconverted(const std::vector<float>& a) {
  std::vector<double> storage(1);
  std::memcpy(storage.data(), a.data(), sizeof(double));
  const Array values(storage);
  const Array out(std::vector<double>(32));
  unconverted_kernel<<<1, 32>>>(reinterpret_cast<const float*>(values.data()), out.data());
  return out.to_host();
}

void multiply_without_a_lane() {
  lane_kernel<<<1, 32>>>();
  check(cudaDeviceSynchronize());
}

std::vector<double> multiply_from_shared(Loads loads, const std::vector<double>& a,
                                         const std::vector<double>& b) {
  const Array a_values(a);
  const Array b_values(b);
  const Array out(std::vector<double>(16 * kColumns));
  shared_kernel<<<1, 32>>>(loads, a_values.data(), b_values.data(), out.data());
  return out.to_host();
}

}  // namespace velum::emulation::matrices
