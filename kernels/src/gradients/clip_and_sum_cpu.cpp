// Threads share out the columns. A thread takes them in tiles whose sums stay in the first-level
// cache as doubles, and adds the selected rows to a tile in index order, kRowsAtOnce to each load
// and store of the sums. A column's sum does not depend on the tile it lies in.
#include "random/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gradients/clip_and_sum_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "gradients/add_gaussian_noise_halves.h"
#include "gradients/clip_and_sum_halves.h"

#ifndef VELUM_KERNELS_GRADIENTS_CLIP_AND_SUM_ROWS
#define VELUM_KERNELS_GRADIENTS_CLIP_AND_SUM_ROWS
namespace velum::kernels {

constexpr std::int64_t kRowsAtOnce = 4;  // each a stream that the prefetcher follows

/// A row that contributes: its elements in this tile, and its factor (a T's value).
template <typename T>
struct SelectedRow {
  const T* elements;
  double factor;
};

}  // namespace velum::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace velum::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Doubles = hn::CappedTag<double, 8>;

inline hn::Vec<Doubles> load(const float* from) {
  return hn::PromoteTo(Doubles(), hn::LoadU(hn::Rebind<float, Doubles>(), from));
}
inline hn::Vec<Doubles> load(const double* from) { return hn::LoadU(Doubles(), from); }

// factor * g is exact in double where both are floats. Of doubles it is rounded on its own, so that
// machines with and without fma agree.
template <std::int64_t kRows, typename T>
void add_rows(const SelectedRow<T>* rows, double* sums, std::int64_t count) {
  const Doubles d;
  constexpr std::int64_t kWidth = hn::MaxLanes(Doubles());
  hn::Vec<Doubles> factors[kRows];
  for (std::int64_t r = 0; r < kRows; ++r) factors[r] = hn::Set(d, rows[r].factor);
  std::int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    auto sum = hn::Load(d, sums + i);
    for (std::int64_t r = 0; r < kRows; ++r) {
      sum = hn::Add(sum, hn::Mul(factors[r], load(rows[r].elements + i)));
    }
    hn::Store(sum, d, sums + i);
  }
  for (; i < count; ++i) {
    for (std::int64_t r = 0; r < kRows; ++r) {
      sums[i] += rows[r].factor * static_cast<double>(rows[r].elements[i]);
    }
  }
}

template <typename T>
void add_selected_rows(const SelectedRow<T>* rows, std::int64_t row_count, double* sums,
                       std::int64_t count) {
  std::int64_t r = 0;
  for (; r + kRowsAtOnce <= row_count; r += kRowsAtOnce)
    add_rows<kRowsAtOnce>(rows + r, sums, count);
  for (; r < row_count; ++r) add_rows<1>(rows + r, sums, count);
}

void add_selected_rows_of_floats(const SelectedRow<float>* rows, std::int64_t row_count,
                                 double* sums, std::int64_t count) {
  add_selected_rows(rows, row_count, sums, count);
}
void add_selected_rows_of_doubles(const SelectedRow<double>* rows, std::int64_t row_count,
                                  double* sums, std::int64_t count) {
  add_selected_rows(rows, row_count, sums, count);
}

}  // namespace velum::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::kernels {
namespace {

HWY_EXPORT(add_selected_rows_of_floats);
HWY_EXPORT(add_selected_rows_of_doubles);

constexpr std::int64_t kTile = 2048;  // 16 KiB of sums: half of a first-level cache
static_assert(kTile % cpu::kNoiseTile == 0);
constexpr std::int64_t kRows = 256;  // selected at a time, in 4 KiB

void add_selected(const SelectedRow<float>* rows, std::int64_t row_count, double* sums,
                  std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(add_selected_rows_of_floats)(rows, row_count, sums, count);
}
void add_selected(const SelectedRow<double>* rows, std::int64_t row_count, double* sums,
                  std::int64_t count) {
  HWY_DYNAMIC_DISPATCH(add_selected_rows_of_doubles)(rows, row_count, sums, count);
}

template <typename Task>
void add_rows_to_tile(const Task& task, std::int64_t begin, std::int64_t count, double* sums) {
  using T = std::remove_const_t<std::remove_pointer_t<decltype(task.grads.data)>>;
  SelectedRow<T> rows[kRows];
  std::int64_t selected = 0;
  for (std::int64_t sample = 0; sample < task.grads.rows; ++sample) {
    const T factor = round_down<T>(clip_factor(task.squared_norms[sample], task.rule));
    if (factor > 0) {  // else the row may hold anything: 0 * infinity would be NaN
      rows[selected++] = {task.grads.data + sample * task.grads.row_stride + begin, factor};
    }
    if (selected == kRows || sample + 1 == task.grads.rows) {
      add_selected(rows, selected, sums, count);
      selected = 0;
    }
  }
}

void finish_tile(const KeepSum&, std::int64_t, Span<double>) {}
void finish_tile(const NoiseAndScale& noise, std::int64_t begin, Span<double> sums) {
  cpu::add_noise_and_divide(noise, begin, sums);
}

}  // namespace

template <typename T, typename Previous, typename Out, typename Finish>
void clip_and_sum_cpu(const ClipAndSumTask<T, Previous, Out, Finish>& task, const Stream& stream) {
  stream.parallel_for().run(
      task.out.size(), kTile, [&task](std::int64_t range_begin, std::int64_t range_end) {
        HWY_ALIGN_MAX double sums[kTile];
        for (std::int64_t begin = range_begin; begin < range_end; begin += kTile) {
          const std::int64_t count = std::min(kTile, range_end - begin);
          if (task.previous.empty()) {
            std::fill_n(sums, count, 0.0);
          } else {
            std::copy_n(task.previous.data() + begin, count, sums);
          }
          add_rows_to_tile(task, begin, count, sums);
          finish_tile(task.finish, begin, Span<double>(sums, count));
          Out* out = task.out.data() + begin;
          for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<Out>(sums[i]);
        }
      });
}

#define VELUM_INSTANTIATE(T, Previous, Out, Finish) \
  template void clip_and_sum_cpu(const ClipAndSumTask<T, Previous, Out, Finish>&, const Stream&);
VELUM_FOR_EACH_CLIP_AND_SUM_TASK(VELUM_INSTANTIATE)
#undef VELUM_INSTANTIATE

}  // namespace velum::kernels
#endif  // HWY_ONCE
