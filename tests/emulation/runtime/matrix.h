#pragma once

#include "runtime/half.h"
#include "runtime/thread.h"

/// The matrix instructions of a warp, with the layouts of the PTX manual: lane l is in group g = l
/// / 4 and is thread t = l % 4 of it.
namespace velum::emulation {

/// How the operands of a product are stored: `Register` holds `kPacked` elements, the lowest first.
/// `get` gives an element as the type in which products are exact.
template <typename T>
struct MatrixElement;
template <typename T>
struct PackedMatrixElement {
  using Register = u32;
  using Exact = std::conditional_t<std::is_integral_v<T>, s64, f64>;
  static constexpr u32 kPacked = 4 / sizeof(T);
  static Exact get(u32 packed, u32 i, Thread&, u32) {
    const T x = std::bit_cast<T>(static_cast<Unsigned<sizeof(T)>>(packed >> (8 * sizeof(T) * i)));
    if constexpr (std::is_integral_v<T>) {
      return x;
    } else {
      return widen(x);
    }
  }
};
template <>
struct MatrixElement<f16> : PackedMatrixElement<f16> {};
template <>
struct MatrixElement<bf16> : PackedMatrixElement<bf16> {};
template <>
struct MatrixElement<s8> : PackedMatrixElement<s8> {};
template <>
struct MatrixElement<u8> : PackedMatrixElement<u8> {};
template <>
struct MatrixElement<f64> {
  using Register = f64;
  using Exact = f64;
  static constexpr u32 kPacked = 1;
  static f64 get(f64 x, u32, Thread&, u32) { return x; }
};
/// The name of tf32 among the elements: its storage is that of b32.
struct Tf32Element {};
template <>
struct MatrixElement<Tf32Element> {
  using Register = u32;
  using Exact = f64;
  static constexpr u32 kPacked = 1;
  static f64 get(u32 x, u32, Thread& t, u32 site) {
    if ((x & 0x1FFF) != 0) {
      t.fail(FaultKind::unsupported, site,
             "an operand is no tf32: it was not converted by cvt, and no document says how its low "
             "bits count");
    }
    return std::bit_cast<f32>(x);
  }
};

/// D = A B + C with A of [M, K], B of [K, N] and C, D of [M, N]. Integers wrap around, or clamp for
/// `Saturates`. Floats: the manual leaves the order and the rounding of the sum open; here it is
/// that of f64, rounded once. For f64 it is a chain of fused multiply-adds from k = 0, as in the
/// model that was found equal to devices bit by bit (MMA-Sim: Bit-Accurate Reference Model of
/// Tensor Cores and Matrix Cores, Xie et al., arXiv 2511.10909).
template <u32 M, u32 K, typename A, typename B, typename D, bool Saturates>
struct MatrixProduct {
  using ElementA = MatrixElement<A>;
  using ElementB = MatrixElement<B>;
  static constexpr u32 kN = 8;
  static constexpr u32 kPacked = ElementA::kPacked;
  static constexpr u32 kStep = 4 * kPacked;  // columns of A per register
  static constexpr u32 kRowBlocks = M / 8;
  static constexpr u32 kRegistersA = kRowBlocks * K / kStep;
  static constexpr u32 kRegistersB = K / kStep;
  static constexpr u32 kElementsD = 2 * kRowBlocks;
  struct Lane {
    typename ElementA::Register a[kRegistersA];
    typename ElementB::Register b[kRegistersB];
    D c[kElementsD];
    D d[kElementsD];
  };

  static void run(Lane* const* lanes, Thread* warp, u32 site) {
    typename ElementA::Exact a[M][K];
    typename ElementB::Exact b[K][kN];
    for (u32 lane = 0; lane < 32; ++lane) {
      const u32 group = lane / 4;
      const u32 thread = lane % 4;
      for (u32 r = 0; r < kRegistersA; ++r) {
        for (u32 i = 0; i < kPacked; ++i) {
          a[group + 8 * (r % kRowBlocks)][thread * kPacked + i + r / kRowBlocks * kStep] =
              ElementA::get(lanes[lane]->a[r], i, warp[lane], site);
        }
      }
      for (u32 r = 0; r < kRegistersB; ++r) {
        for (u32 i = 0; i < kPacked; ++i) {
          b[thread * kPacked + i + r * kStep][group] =
              ElementB::get(lanes[lane]->b[r], i, warp[lane], site);
        }
      }
    }
    for (u32 lane = 0; lane < 32; ++lane) {
      for (u32 i = 0; i < kElementsD; ++i) {
        const u32 row = lane / 4 + 8 * (i / 2);
        const u32 column = lane % 4 * 2 + i % 2;
        lanes[lane]->d[i] = sum(a[row], b, column, lanes[lane]->c[i]);
      }
    }
  }

 private:
  static D sum(const typename ElementA::Exact* a, const typename ElementB::Exact (*b)[kN],
               u32 column, D c) {
    if constexpr (std::is_same_v<D, s32>) {
      s64 total = c;
      for (u32 k = 0; k < K; ++k) total += a[k] * b[k][column];
      return Saturates ? clamp_to_s32(total) : static_cast<s32>(total);
    } else if constexpr (std::is_same_v<D, f64>) {
      for (u32 k = 0; k < K; ++k) c = std::fma(a[k], b[k][column], c);
      return c;
    } else if constexpr (std::is_same_v<D, f16>) {
      return round_half<f16, Round::rn>(dot(a, b, column, widen(c)));
    } else {
      return canonical(static_cast<f32>(dot(a, b, column, c)));
    }
  }
  static f64 dot(const f64* a, const f64 (*b)[kN], u32 column, f64 total) {
    for (u32 k = 0; k < K; ++k) total += a[k] * b[k][column];
    return total;
  }
};

/// Matrices of 8 rows of 8 elements of 16 bits: lanes 8 i to 8 i + 7 give the rows of matrix i, and
/// each lane gets two elements of each matrix, of row g, or of column g for `Transposed`.
template <u32 Count, bool Transposed>
struct MatrixLoad {
  struct Lane {
    u16 row[8];
    u32 d[Count];
  };
  static void run(Lane* const* lanes, Thread*, u32) {
    for (u32 lane = 0; lane < 32; ++lane) {
      for (u32 matrix = 0; matrix < Count; ++matrix) {
        u32 packed = 0;
        for (u32 i = 0; i < 2; ++i) {
          const u32 group = lane / 4;
          const u32 other = lane % 4 * 2 + i;
          const u32 row = Transposed ? other : group;
          packed |= u32{lanes[8 * matrix + row]->row[Transposed ? group : other]} << (16 * i);
        }
        lanes[lane]->d[matrix] = packed;
      }
    }
  }
};

/// The fragments of wmma: which lane holds what is open in the manual, so only wmma reads them.
/// Here slot s of a matrix of n elements, counted lane after lane, holds element s mod n of its
/// rows; a fragment with more slots than elements holds some twice, and so stays whole under a
/// function of each element.
template <typename T, u32 Rows, u32 Columns, u32 Registers>
struct Fragment {
  static constexpr u32 kPacked = 4 / sizeof(T);
  static constexpr u32 kSlots = Registers * kPacked;  // of a lane
  static constexpr u32 kElements = Rows * Columns;
  static_assert(32 * kSlots >= kElements);

  static u32 element(u32 lane, u32 slot) { return (lane * kSlots + slot) % kElements; }
  static T get(const u32* registers, u32 slot) {
    return std::bit_cast<T>(static_cast<Unsigned<sizeof(T)>>(registers[slot / kPacked] >>
                                                             (8 * sizeof(T) * (slot % kPacked))));
  }
  static void set(u32* registers, u32 slot, T value) {
    const u32 shift = 8 * sizeof(T) * (slot % kPacked);
    const u32 bits = u32{std::bit_cast<Unsigned<sizeof(T)>>(value)} << shift;
    u32& packed = registers[slot / kPacked];
    packed = (slot % kPacked == 0 ? 0 : packed) | bits;
  }

  /// Rows, or columns for `!RowMajor`, start `stride` elements after each other.
  template <Space S, bool RowMajor>
  static void load(Thread& t, u64 address, u32 stride, u32* registers, u32 site) {
    for (u32 slot = 0; slot < kSlots; ++slot) {
      const u64 at = address + place<RowMajor>(element(t.lane(), slot), stride) * sizeof(T);
      set(registers, slot,
          velum::emulation::load<T>(t.access<S, Access::read, sizeof(T), sizeof(T)>(at, site)));
    }
  }
  template <Space S, bool RowMajor>
  static void store(Thread& t, u64 address, u32 stride, const u32* registers, u32 site) {
    for (u32 slot = 0; slot < kSlots; ++slot) {
      const u64 at = address + place<RowMajor>(element(t.lane(), slot), stride) * sizeof(T);
      velum::emulation::store<T>(t.access<S, Access::write, sizeof(T), sizeof(T)>(at, site),
                                 get(registers, slot));
    }
  }

 private:
  template <bool RowMajor>
  static u64 place(u32 element, u32 stride) {
    const u32 row = element / Columns;
    const u32 column = element % Columns;
    return RowMajor ? u64{row} * stride + column : u64{column} * stride + row;
  }
};

/// D = A B + C on fragments; the sums as in MatrixProduct.
template <u32 M, u32 N, u32 K, typename T, u32 RegistersA, u32 RegistersB, typename C, typename D,
          bool Saturates>
struct FragmentProduct {
  using FragmentA = Fragment<T, M, K, RegistersA>;
  using FragmentB = Fragment<T, K, N, RegistersB>;
  static constexpr u32 kRegistersC = 8 * sizeof(C) / 4;
  static constexpr u32 kRegistersD = 8 * sizeof(D) / 4;
  using FragmentC = Fragment<C, M, N, kRegistersC>;
  using FragmentD = Fragment<D, M, N, kRegistersD>;
  struct Lane {
    u32 a[RegistersA];
    u32 b[RegistersB];
    u32 c[kRegistersC];
    u32 d[kRegistersD];
  };
  static void run(Lane* const* lanes, Thread*, u32) {
    using Exact = typename MatrixElement<T>::Exact;
    Exact a[M * K];
    Exact b[K * N];
    for (u32 lane = 0; lane < 32; ++lane) {
      for (u32 slot = 0; slot < FragmentA::kSlots; ++slot) {
        a[FragmentA::element(lane, slot)] = exact(FragmentA::get(lanes[lane]->a, slot));
      }
      for (u32 slot = 0; slot < FragmentB::kSlots; ++slot) {
        b[FragmentB::element(lane, slot)] = exact(FragmentB::get(lanes[lane]->b, slot));
      }
    }
    for (u32 lane = 0; lane < 32; ++lane) {
      for (u32 slot = 0; slot < FragmentD::kSlots; ++slot) {
        const u32 element = FragmentD::element(lane, slot);
        Exact total = exact(FragmentC::get(lanes[lane]->c, slot));
        for (u32 k = 0; k < K; ++k) total += a[element / N * K + k] * b[k * N + element % N];
        FragmentD::set(lanes[lane]->d, slot, rounded(total));
      }
    }
  }

 private:
  template <typename X>
  static auto exact(X x) {
    if constexpr (std::is_integral_v<X>) {
      return s64{x};
    } else if constexpr (std::is_same_v<X, f32>) {
      return f64{x};
    } else {
      return widen(x);
    }
  }
  static D rounded(auto total) {
    if constexpr (std::is_same_v<D, s32>) {
      return Saturates ? clamp_to_s32(total) : static_cast<s32>(total);
    } else if constexpr (std::is_same_v<D, f16>) {
      return round_half<f16, Round::rn>(total);
    } else {
      return canonical(static_cast<f32>(total));
    }
  }
};

}  // namespace velum::emulation
