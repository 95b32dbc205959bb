// The order of summation, a function of the shape alone. A row is cut into blocks of kBlock
// elements. Within a block, element j goes to lane j mod kLanes, each lane sums its squares in
// index order, and the lanes are summed by halving. Blocks are summed in order within a segment, of
// which there are at most kSegments; then the segments in order. Threads share out rows, or the
// segments of one row.
#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gradients/per_sample_norms_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "gradients/per_sample_norms_halves.h"

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t kLanes = 16;

using Doubles = hn::CappedTag<double, 8>;

inline hn::Vec<Doubles> load(const float* from) {
  return hn::PromoteTo(Doubles(), hn::LoadU(hn::Rebind<float, Doubles>(), from));
}
inline hn::Vec<Doubles> load(const double* from) { return hn::LoadU(Doubles(), from); }

template <typename T>
double sum_of_squares_of_block(const T* x, std::int64_t count) {
  const Doubles d;
  constexpr std::int64_t kWidth = hn::MaxLanes(Doubles());
  constexpr std::int64_t kVectors = kLanes / kWidth;
  hn::Vec<Doubles> sums[kVectors];
  for (auto& sum : sums) sum = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::int64_t v = 0; v < kVectors; ++v) {
      const auto value = load(x + i + v * kWidth);
      // The square of a float is exact in double; that of a double is rounded on its own, so that
      // machines with and without fma agree.
      sums[v] = hn::Add(sums[v], hn::Mul(value, value));
    }
  }
  HWY_ALIGN double lanes[kLanes];
  for (std::int64_t v = 0; v < kVectors; ++v) hn::Store(sums[v], d, lanes + v * kWidth);
  for (std::int64_t lane = 0; i < count; ++i, ++lane) {
    const double value = x[i];
    lanes[lane] += value * value;
  }
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::int64_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

double sum_of_squares_of_floats(const float* x, std::int64_t count) {
  return sum_of_squares_of_block(x, count);
}
double sum_of_squares_of_doubles(const double* x, std::int64_t count) {
  return sum_of_squares_of_block(x, count);
}

}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(sum_of_squares_of_floats);
HWY_EXPORT(sum_of_squares_of_doubles);

constexpr std::int64_t kBlock = 4096;    // 256 additions per lane
constexpr std::int64_t kSegments = 256;  // at most; their sums fit the stack of the calling thread

double block_sum(const float* x, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(sum_of_squares_of_floats)(x, count);
}
double block_sum(const double* x, std::int64_t count) {
  return HWY_DYNAMIC_DISPATCH(sum_of_squares_of_doubles)(x, count);
}

struct Segments {
  explicit Segments(std::int64_t cols_) : cols(cols_) {
    const std::int64_t blocks = (cols + kBlock - 1) / kBlock;
    length = std::max<std::int64_t>((blocks + kSegments - 1) / kSegments, 1) * kBlock;
    count = (cols + length - 1) / length;
  }
  std::int64_t cols;
  std::int64_t length;
  std::int64_t count;
};

template <typename T>
double segment_sum(const T* row, const Segments& segments, std::int64_t segment) {
  const std::int64_t end = std::min(segments.cols, (segment + 1) * segments.length);
  double sum = 0;
  for (std::int64_t begin = segment * segments.length; begin < end; begin += kBlock) {
    sum += block_sum(row + begin, std::min(kBlock, end - begin));
  }
  return sum;
}

}  // namespace

template <typename T>
void per_sample_squared_norms_cpu(const SquaredNormsTask<T>& task, const Stream& stream) {
  const MatrixView<const T>& grads = task.grads;
  const Segments segments(grads.cols);
  const auto put = [&task](std::int64_t sample, double sum) {
    double& squared_norm = task.squared_norms[sample];
    squared_norm = task.output == Output::kAdd ? squared_norm + sum : sum;
  };
  ParallelFor& parallel_for = stream.parallel_for();
  if (segments.count > 1 && grads.rows < 4 * parallel_for.thread_count()) {
    std::array<double, kSegments> sums;
    for (std::int64_t sample = 0; sample < grads.rows; ++sample) {
      const T* row = grads.data + sample * grads.row_stride;
      parallel_for.run(segments.count, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t s = begin; s < end; ++s) {
          sums[static_cast<std::size_t>(s)] = segment_sum(row, segments, s);
        }
      });
      double sum = 0;
      for (std::int64_t s = 0; s < segments.count; ++s) sum += sums[static_cast<std::size_t>(s)];
      put(sample, sum);
    }
    return;
  }
  // A thread is woken for no less than about 16 blocks' worth of elements.
  const std::int64_t grain =
      std::max<std::int64_t>(1, 16 * kBlock / std::max<std::int64_t>(1, grads.cols));
  parallel_for.run(grads.rows, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t sample = begin; sample < end; ++sample) {
      const T* row = grads.data + sample * grads.row_stride;
      double sum = 0;
      for (std::int64_t s = 0; s < segments.count; ++s) sum += segment_sum(row, segments, s);
      put(sample, sum);
    }
  });
}

template void per_sample_squared_norms_cpu(const SquaredNormsTask<float>&, const Stream&);
template void per_sample_squared_norms_cpu(const SquaredNormsTask<double>&, const Stream&);

}  // namespace velum::kernels
#endif  // HWY_ONCE
