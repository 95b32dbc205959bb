#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "gradients/conv_squared_norms_body.h"
#include "gradients/product_narrow_matrix_tile.cuh"

/// Squared norms of convolutions of few outputs: for a band of positions at a time a tile's
/// channels lie in shared memory with their padding, each element once, and the tensor cores'
/// operands are gathered from there. A product takes neither a test nor an address of 64 bits.
namespace velum::kernels {

/// A tile whose products have eight neighbouring features and outputs each.
///
/// @tparam kSlices  4: each warp has a part of the steps; 1: every fourth pair of products.
template <int kColumns, int kSlices>
struct PlaneTile : NarrowMatrixTile<kColumns> {
  using Tile = NarrowMatrixTile<kColumns>;
  static constexpr int kStepSlices = kSlices;
  static constexpr int kFeatureSlices = Tile::kWarps / kSlices;
  static_assert(kSlices * kFeatureSlices == Tile::kWarps);
  struct SingleElements {
    static constexpr int kGroup = 1;
  };
  using Outputs = MatrixSide<SingleElements, Tile::kOutputs>;
  using Features = MatrixSide<SingleElements, Tile::kFeatures / kFeatureSlices>;
  static constexpr int kSide = MatrixTile::kProductSide;

  /// Of a warp's column.
  __device__ static constexpr int feature_of(int col, int warp) {
    const int slice = warp % kFeatureSlices;
    return (col / (2 * kSide) * kFeatureSlices + slice) * (2 * kSide) + col % (2 * kSide);
  }
  /// Of a warp.
  __device__ static int products(int features, int warp) {
    const int all = static_cast<int>(static_cast<unsigned>(features + kSide - 1) / kSide);
    if (kFeatureSlices == 1) return all;
    int products = 0;
#pragma unroll
    for (int pair = 0; pair < Features::kProducts / 2; ++pair) {
      const int before = 2 * (pair * kFeatureSlices + warp % kFeatureSlices);
      products += max(0, min(2, all - before));
    }
    return products;
  }
};

/// Division of numbers below 2^16 by one of them.
struct SmallDivisor {
  int divisor = 1;
  unsigned reciprocal = 0;  // of 2^32, rounded up; 0: of 1

  SmallDivisor() = default;
  explicit SmallDivisor(std::int64_t by) : divisor(static_cast<int>(by)) {
    const std::int64_t two_to_32 = std::int64_t{1} << 32;
    if (by > 1) reciprocal = static_cast<unsigned>(divide_up(two_to_32, by));
  }
  /// The remainder; what is left of `number` is the quotient.
  __device__ int take(int& number) const {
    const int whole = number;
    if (reciprocal != 0)
      number = static_cast<int>(__umulhi(static_cast<unsigned>(whole), reciprocal));
    return whole - number * divisor;
  }
};

/// Of an element of a plane, bytes from a channel's first: in device memory, or kPadding, and in
/// shared memory.
struct PlaneElement {
  int from;
  int to;
  static constexpr int kPadding = std::numeric_limits<int>::min();
};
/// Of a position, bytes from the tile's first gradient in device memory and from the plane's first
/// element to what the kernel's first meets.
struct PlanePosition {
  int grads;
  int origin;
};

/// What a block knows of its tile.
template <int kFeatures>
struct alignas(16) PlaneTileState {
  TileItem item;
  std::int64_t index;       // of the item
  std::int64_t first_grad;  // of its first output and the band, in elements
  int band;
  int first_channel;
  int first_of_channel;     // which of its features is the tile's first
  int elements[kFeatures];  // bytes, from the planes' first element
};

/// The part of a tile's channels that a convolution's kernel meets at a band of positions, padding
/// included, and the convolution by numbers of 32 bits.
struct ChannelPlanes {
  int input_strides[kImageDims] = {};  // bytes, as the next
  int grads_strides[kImageDims] = {};
  int stride[kImageDims] = {};
  int padding[kImageDims] = {};
  int dilation[kImageDims] = {};
  SmallDivisor extents[kImageDims];
  SmallDivisor grads_sizes[kImageDims];  // of a band
  SmallDivisor kernel[kImageDims];
  SmallDivisor of_kernel;
  /// Bands follow in the first dimension of more than one position.
  int bands = 0;
  int positions = 0;                 // of a band; the last may have fewer
  int band_shifts[kImageDims] = {};  // from one to the next, in the input
  std::int64_t band_grads = 0;       // in the gradients
  /// Elements of shared memory.
  int elements = 0;    // of a plane, without what only sets rows apart
  int row_stride = 0;  // of rows of the last dimension
  int channel_stride = 0;
  /// Bytes of it.
  int area = 0;   // of planes, and of sums that are exchanged there
  int bytes = 0;  // of all; 0: too many, or a convolution whose offsets take more than 32 bits
  /// Whether positions 2 i and 2 i + 1 meet neighbours in a plane, and their gradients are two
  /// floats that lie side by side where one instruction loads them.
  bool has_pairs = false;

  /// Three blocks on an SM of 164 KiB.
  static constexpr std::int64_t kMaxBytes = 53 << 10;

  template <typename Tile, typename T>
  static ChannelPlanes of(const ConvProducts<T>& products) {
    constexpr int kLast = kImageDims - 1;
    constexpr std::int64_t kSize = sizeof(T);
    ChannelPlanes planes;
    double reach = 0.0;
    int of_bands = kLast;  // the dimension
    for (int d = kLast; d >= 0; --d) {
      if (products.grads_sizes[d] > 1) of_bands = d;
      // The last band's table may hold nearly twice as many positions.
      reach +=
          (static_cast<double>(products.padding[d]) +
           2.0 * products.grads_sizes[d] * static_cast<double>(products.stride[d]) +
           static_cast<double>(products.kernel[d]) * static_cast<double>(products.dilation[d])) *
              std::max(1.0, std::abs(static_cast<double>(products.input_strides[d]))) +
          static_cast<double>(products.grads_sizes[d]) *
              std::abs(static_cast<double>(products.grads_strides[d]));
      planes.input_strides[d] = static_cast<int>(products.input_strides[d] * kSize);
      planes.grads_strides[d] = static_cast<int>(products.grads_strides[d] * kSize);
      planes.stride[d] = static_cast<int>(products.stride[d]);
      planes.padding[d] = static_cast<int>(products.padding[d]);
      planes.dilation[d] = static_cast<int>(products.dilation[d]);
    }
    reach = std::max(reach, static_cast<double>(products.sizes.steps));
    if (reach * kSize >= std::numeric_limits<int>::max()) return planes;
    const auto is_even = [](std::int64_t number) { return number % 2 == 0; };
    // Of doubles, pairs would meet banks twice.
    planes.has_pairs = kSize == sizeof(float) && products.stride[kLast] == 1 &&
                       is_even(products.grads_sizes[kLast]) && products.grads_strides[kLast] == 1 &&
                       is_even(products.grads_strides[0]) && is_even(products.grads_strides[1]) &&
                       is_even(products.grads_batch_stride) &&
                       is_even(products.grads_group_stride) &&
                       is_even(products.grads_channel_stride) &&
                       reinterpret_cast<std::uintptr_t>(products.grads) % (2 * kSize) == 0;
    const int positions = products.grads_sizes[of_bands];
    const bool by_two = planes.has_pairs && of_bands == kLast;
    for (int bands = 1;; bands *= 2) {
      int band = static_cast<int>(divide_up(positions, bands));
      if (by_two) band += band % 2;
      if (planes.lay_out<Tile>(products, of_bands, band)) break;
      if (band <= (by_two ? 2 : 1)) break;
    }
    return planes;
  }

  /// The coordinates of a number, of which each dimension has as many as its divisor.
  __device__ static void take_coordinates(const SmallDivisor (&sizes)[kImageDims], int number,
                                          int (&at)[kImageDims]) {
#pragma unroll
    for (int d = kImageDims - 1; d > 0; --d) at[d] = sizes[d].take(number);
    at[0] = number;
  }
  /// Elements from a plane's first to the one at coordinates of it.
  __device__ int place(const int (&at)[kImageDims]) const {
    return (at[0] * extents[1].divisor + at[1]) * row_stride + at[2];
  }

 private:
  /// Bands of `band` coordinates of a dimension; whether they fit.
  template <typename Tile, typename T>
  bool lay_out(const ConvProducts<T>& products, int of_bands, int band) {
    constexpr int kLast = kImageDims - 1;
    constexpr std::int64_t kSize = sizeof(T);
    constexpr std::int64_t kBanks = 128 / kSize;  // of elements
    std::int64_t sizes[kImageDims];
    std::int64_t size = 1;
    std::int64_t of_band = 1;
    std::int64_t elements_of_kernel = 1;
    for (int d = kLast; d >= 0; --d) {
      sizes[d] = d == of_bands ? band : products.grads_sizes[d];
      const std::int64_t extent =
          (sizes[d] - 1) * products.stride[d] + (products.kernel[d] - 1) * products.dilation[d] + 1;
      if (extent > kMaxBytes / size || sizes[d] > kMaxBytes / of_band) return false;
      size *= extent;
      of_band *= sizes[d];
      elements_of_kernel *= products.kernel[d];
      extents[d] = SmallDivisor(extent);
      grads_sizes[d] = SmallDivisor(sizes[d]);
      kernel[d] = SmallDivisor(products.kernel[d]);
      band_shifts[d] = d == of_bands ? static_cast<int>(band * products.stride[d]) : 0;
    }
    of_kernel = SmallDivisor(elements_of_kernel);
    bands = static_cast<int>(divide_up(products.grads_sizes[of_bands], band));
    positions = static_cast<int>(of_band);
    band_grads = band * products.grads_strides[of_bands];
    elements = static_cast<int>(size);
    // What a warp loads at once: eight features (four of doubles) at four positions, of a few rows
    // of a kernel. The next channel's rows follow as if they were the kernel's next.
    const std::int64_t apart =
        has_pairs ? 2 : std::min<std::int64_t>(products.stride[kLast], kBanks);
    const std::int64_t run =
        (products.kernel[kLast] - 1) * products.dilation[kLast] + 3 * apart + 1;
    const std::int64_t shift = products.dilation[kLast - 1] % kBanks;
    const std::int64_t rows =
        std::min(divide_up(kBanks / 4 - 1, products.kernel[kLast]) + 1, kBanks / run);
    row_stride = stride_apart(extents[kLast].divisor, kBanks, shift, rows, run);
    const std::int64_t of_channel = size / extents[kLast].divisor * row_stride;
    const std::int64_t next = products.kernel[kLast - 1] * shift * row_stride;
    const std::int64_t to_next = of_channel + mod(next - of_channel, kBanks);
    const std::int64_t channels =
        std::min(products.sizes.features / elements_of_kernel,
                 (Tile::kFeatures + elements_of_kernel - 2) / elements_of_kernel + 1);
    const std::int64_t sums = Tile::kStepSlices == 1 ? Tile::kWarps * std::int64_t{sizeof(double)}
                                                     : NarrowMatrixSums<Tile>::kExchanged * 2 *
                                                           std::int64_t{sizeof(double2)};
    const std::int64_t of_area =
        divide_up(std::max(channels * to_next * kSize, sums), kPacketBytes) * kPacketBytes;
    const std::int64_t all = std::int64_t{sizeof(PlaneTileState<Tile::kFeatures>)} + of_area +
                             size * std::int64_t{sizeof(PlaneElement)} +
                             of_band * std::int64_t{sizeof(PlanePosition)};
    if (all > kMaxBytes) return false;
    channel_stride = static_cast<int>(to_next);
    area = static_cast<int>(of_area);
    bytes = static_cast<int>(all);
    return true;
  }

  static std::int64_t mod(std::int64_t value, std::int64_t by) { return (value % by + by) % by; }
  /// The least stride from `extent` on by which `rows` rows, each `shift` after the one before,
  /// have `run` elements in banks of their own; or `extent`.
  static int stride_apart(int extent, std::int64_t banks, std::int64_t shift, std::int64_t rows,
                          std::int64_t run) {
    for (int stride = extent; stride < extent + banks; ++stride) {
      bool apart = true;
      for (std::int64_t r = 1; r < rows; ++r) {
        const std::int64_t distance = mod(r * shift * stride, banks);
        apart = apart && distance >= run && banks - distance >= run;
      }
      if (apart) return stride;
    }
    return extent;
  }
};
static_assert(kImageDims == 3);

/// A block's shared memory.
template <typename T>
struct ChannelMemory {
  static constexpr int kSize = sizeof(T);
  T* planes;
  double2* exchange;
  PlaneElement* elements;
  PlanePosition* positions;

  __device__ ChannelMemory(double2* memory, const ChannelPlanes& of)
      : planes(reinterpret_cast<T*>(memory)),
        exchange(memory),
        elements(reinterpret_cast<PlaneElement*>(memory + of.area / int{sizeof(double2)})),
        positions(reinterpret_cast<PlanePosition*>(elements + of.elements)) {}

  /// What all tiles have in common at a band of positions.
  __device__ void fill_elements(const ConvProducts<T>& products, const ChannelPlanes& of, int band,
                                int threads) const {
    for (int e = static_cast<int>(threadIdx.x); e < of.elements; e += threads) {
      int at[kImageDims];
      of.take_coordinates(of.extents, e, at);
      int from = 0;
      bool inside = true;
#pragma unroll
      for (int d = 0; d < kImageDims; ++d) {
        const int of_input = at[d] + band * of.band_shifts[d] - of.padding[d];
        inside = inside &&
                 static_cast<unsigned>(of_input) < static_cast<unsigned>(products.input_sizes[d]);
        from += of_input * of.input_strides[d];
      }
      elements[e] = {inside ? from : PlaneElement::kPadding, of.place(at) * kSize};
    }
  }
  /// What all tiles and bands have in common.
  __device__ void fill_positions(const ChannelPlanes& of, int threads) const {
    for (int p = static_cast<int>(threadIdx.x); p < of.positions; p += threads) {
      int at[kImageDims];
      of.take_coordinates(of.grads_sizes, p, at);
      int grads_at = 0;
#pragma unroll
      for (int d = 0; d < kImageDims; ++d) {
        grads_at += at[d] * of.grads_strides[d];
        at[d] *= of.stride[d];
      }
      positions[p] = {grads_at, of.place(at) * kSize};
    }
  }
  /// Starts copies of channels from `images` on, with zeros for padding.
  __device__ void stage_channels(const ChannelPlanes& of, const T* images,
                                 std::int64_t channel_stride, int count, int threads) const {
    // Copies in a row: an instruction between two costs ptxas three more.
    constexpr int kAtOnce = 4;
    for (int e = static_cast<int>(threadIdx.x); e < of.elements; e += threads) {
      const PlaneElement element = elements[e];
      const bool exists = element.from != PlaneElement::kPadding;
      const T* from = &at_bytes(images, exists ? element.from : 0);
      T* to = const_cast<T*>(&at_bytes(planes, element.to));
      int c = 0;
#pragma unroll 1
      for (; c + kAtOnce <= count; c += kAtOnce) {
        const T* ahead[kAtOnce];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i, from += channel_stride) ahead[i] = from;
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
          cuda::copy_async_or_zero<kSize>(to + i * of.channel_stride, ahead[i], exists);
        }
        to += kAtOnce * of.channel_stride;
      }
#pragma unroll 1
      for (; c < count; ++c, from += channel_stride, to += of.channel_stride) {
        cuda::copy_async_or_zero<kSize>(to, from, exists);
      }
    }
  }
};

/// At most 128, 168 or 255 registers: offsets of features take some, and what is loaded ahead, too.
constexpr int min_blocks_of_planes(std::size_t size, int columns, int slices) {
  if (slices == 1) return columns == 32 && size == sizeof(double) ? 3 : 4;
  return columns == 16 && size == sizeof(double) ? 2 : 3;
}

/// Order of summation: an element's steps band by band, eight at a time, each in the device's
/// order. Of four slices a warp has every fourth sixteen of a band (eight where kColumns is 16),
/// and the warps' sums are added by a tree; of one a warp has all. Then the squares of a thread row
/// by row, a warp's tree, and the warps in order.
///
/// @tparam kPairs  ChannelPlanes::has_pairs. Lane l has steps 2 (l % 4) and 2 (l % 4) + 1 of eight,
///                 otherwise l % 4 and l % 4 + 4.
template <typename T, int kColumns, int kSlices, bool kPairs>
__global__ void __launch_bounds__(PlaneTile<kColumns, kSlices>::kThreads,
                                  min_blocks_of_planes(sizeof(T), kColumns, kSlices))
    channel_planes_squared_norms_kernel(ConvProducts<T> products, ChannelPlanes planes,
                                        TileGrid<PlaneTile<kColumns, kSlices>> grid,
                                        Span<double> partial_sums) {
  using Tile = PlaneTile<kColumns, kSlices>;
  using State = PlaneTileState<Tile::kFeatures>;
  using Sums = NarrowMatrixSums<Tile>;
  constexpr int kSteps = MatrixTile::kProductSteps;
  constexpr int kSize = sizeof(T);
  constexpr int kApart = kPairs ? 1 : kSteps / 2;  // a lane's steps
  extern __shared__ double2 channel_memory[];
  State& state = *reinterpret_cast<State*>(channel_memory);
  const ChannelMemory<T> memory(channel_memory + sizeof(State) / sizeof(double2), planes);
  memory.fill_positions(planes, Tile::kThreads);
  if (planes.bands == 1) memory.fill_elements(products, planes, 0, Tile::kThreads);

  std::int64_t index = blockIdx.x;
  while (index < partial_sums.size()) {
    // In shared memory: a thread has no register to spare while it adds.
    if (threadIdx.x == 0) {
      const TileItem item = grid.item(products.sizes, index);
      const auto of_kernel = static_cast<unsigned>(planes.of_kernel.divisor);
      const auto first = static_cast<unsigned>(item.first_feature);
      state.item = item;
      state.index = index;
      state.band = 0;
      state.first_channel = static_cast<int>(first / of_kernel);
      state.first_of_channel = static_cast<int>(first % of_kernel);
      state.first_grad = item.sample * products.grads_batch_stride +
                         item.group * products.grads_group_stride +
                         item.first_output * products.grads_channel_stride;
    }
    __syncthreads();  // the item is there, and so are the tables of all tiles
    {
      // Those that do not exist are as the last: nothing of them is kept.
      static_assert(Tile::kFeatures == Tile::kThreads);
      int channel =
          state.first_of_channel + min(static_cast<int>(threadIdx.x), state.item.features - 1);
      const int element = planes.of_kernel.take(channel);
      int at[kImageDims];
      planes.take_coordinates(planes.kernel, element, at);
#pragma unroll
      for (int d = 0; d < kImageDims; ++d) at[d] *= planes.dilation[d];
      state.elements[threadIdx.x] = (planes.place(at) + channel * planes.channel_stride) * kSize;
    }
    Sums sums;
    while (true) {
      if (planes.bands > 1) {
        memory.fill_elements(products, planes, state.band, Tile::kThreads);
        __syncthreads();  // the band's table is there
      }
      int channels = state.first_of_channel + state.item.features - 1;
      planes.of_kernel.take(channels);
      memory.stage_channels(planes,
                            products.input_of(state.item.sample, state.item.group) +
                                state.first_channel * products.input_channel_stride,
                            products.input_channel_stride, channels + 1, Tile::kThreads);
      cuda::end_copy_group();
      cuda::wait_for_copies();
      __syncthreads();  // the operands are there

      // Of the lane's features; all sums of sixteen outputs leave no registers for them.
      constexpr bool kKept = kColumns == 8 || kSlices == 1;
      const auto offset_of = [&](int r) {
        const int col = Tile::Features::column_of(r, thread_again() % 32 / 4);
        return state.elements[Tile::feature_of(col, thread_again() / 32)];
      };
      int offsets[kKept ? Sums::kRows : 1];
#pragma unroll
      for (int r = 0; kKept && r < Sums::kRows; ++r) offsets[r] = offset_of(r);
      const int count_of_warp = Tile::products(state.item.features, thread_again() / 32);
      const int offset_of_single = kKept ? offset_of(max(0, count_of_warp - 1)) : 0;
      // Of the lane's outputs. Those that do not exist are as the last: nothing of them is kept.
      const auto grads_of = [&](int c) {
        const int output =
            min(Tile::Outputs::column_of(c, thread_again() % 32 / 4), state.item.outputs - 1);
        return products.grads + (state.first_grad + output * products.grads_channel_stride);
      };
      constexpr bool kKeptGrads = Sums::kCols == 1;
      const T* const kept_grads = kKeptGrads ? grads_of(0) : nullptr;
      // `kBlocks` times eight steps at once, of which those that exist count.
      constexpr int kBlocks = kKept && kColumns < 32 ? 2 : 1;
      constexpr int kAtOnce = kBlocks * kSteps;
      Packet<T, 2> of_grads[kBlocks][Sums::kCols];
      const auto step_of = [](int first, int b) {
        return first + b * kSteps + thread_again() % 4 * (kPairs ? 2 : 1);
      };
      const auto load_grads = [&](int first, auto exists) {
#pragma unroll
        for (int b = 0; b < kBlocks; ++b) {
          const int one = step_of(first, b);
          const int other = one + kApart;
#pragma unroll
          for (int c = 0; c < Sums::kCols; ++c) {
            const T* const grads = kKeptGrads ? kept_grads : grads_of(c);
            Packet<T, 2> pair = {};
            if (kPairs && exists(other)) {
              pair = *reinterpret_cast<const Packet<T, 2>*>(
                  &at_bytes(grads, memory.positions[one].grads));
            } else {
              if (exists(one)) pair.values[0] = at_bytes(grads, memory.positions[one].grads);
              if (exists(other)) pair.values[1] = at_bytes(grads, memory.positions[other].grads);
            }
            of_grads[b][c] = pair;
          }
        }
      };
      // Of the loaded gradients, while those from `next` on are loaded.
      const auto add = [&](int first, auto exists, int next, bool has_next) {
        const int count =
            kKept ? count_of_warp : Tile::products(state.item.features, thread_again() / 32);
        double cols[kBlocks][Sums::kCols][2];
        int origins[kBlocks][2];
#pragma unroll
        for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            const int step = step_of(first, b) + h * kApart;
            origins[b][h] = kPairs && h > 0 ? origins[b][0] + kSize
                            : exists(step)  ? memory.positions[step].origin
                                            : 0;
#pragma unroll
            for (int c = 0; c < Sums::kCols; ++c) {
              cols[b][c][h] = converted_once(of_grads[b][c].values[h]);
            }
          }
        }
        if (has_next) load_grads(next, exists);
        const auto load = [&](int offset, int b, double(&row)[2]) {
#pragma unroll
          for (int h = 0; h < 2; ++h) {
            const T value = at_bytes(memory.planes, offset + origins[b][h]);
            row[h] = exists(step_of(first, b) + h * kApart) ? static_cast<double>(value) : 0.0;
          }
        };
        Sums::for_each_product(
            count,
            [&](int r) {
              const int one = kKept ? offsets[kKept ? r : 0] : offset_of(r);
              const int other = kKept ? offsets[kKept ? r + 1 : 0] : offset_of(r + 1);
#pragma unroll
              for (int b = 0; b < kBlocks; ++b) {
                double rows[2][2];
                load(one, b, rows[0]);
                load(other, b, rows[1]);
#pragma unroll
                for (int c = 0; c < Sums::kCols; ++c) {
                  cuda::add_matrix_products(rows[0], rows[1], cols[b][c], sums.values[r / 2][c]);
                }
              }
            },
            [&](int r) {
              const int offset = kKept ? offset_of_single : offset_of(r);
#pragma unroll
              for (int b = 0; b < kBlocks; ++b) {
                double row[2];
                load(offset, b, row);
#pragma unroll
                for (int c = 0; c < Sums::kCols; ++c) {
                  cuda::add_matrix_products(row, cols[b][c], sums.values[Sums::kPairs - 1][c]);
                }
              }
            });
      };
      const int steps = min(planes.positions,
                            static_cast<int>(products.sizes.steps) - state.band * planes.positions);
      const int whole = steps / kAtOnce * kAtOnce;
      const auto all = [](int) { return true; };
      const int slice = kSlices == 1 ? 0 : thread_again() / 32;
      int first = slice * kAtOnce;
      if (first < whole) load_grads(first, all);
#pragma unroll 1
      while (first < whole) {
        const int next = first + kSlices * kAtOnce;
        add(first, all, next, next < whole);
        first = next;
      }
      if (whole < steps && whole / kAtOnce % kSlices == slice) {
        const auto some = [&](int step) { return step < steps; };
        load_grads(whole, some);
        add(whole, some, 0, false);
      }
      __syncthreads();  // the last products are done
      if (planes.bands == 1 || state.band + 1 == planes.bands) break;
      __syncthreads();  // all have seen which band it was
      if (thread_again() == 0) {
        ++state.band;
        state.first_grad += planes.band_grads;
      }
      __syncthreads();
    }
    const double squares = sum_of_squares(sums, memory.exchange, state.item);
    index = state.index;
    if (thread_again() == 0) partial_sums[index] = squares;
    index += gridDim.x;
    __syncthreads();  // the memory is used again
  }
}

}  // namespace velum::kernels
