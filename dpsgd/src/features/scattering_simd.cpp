// The scattering transform of as many images at once as a vector has lanes: every value below is a
// vector with one image per lane, so no step mixes lanes and all loads are contiguous.
//
// Real signals have Hermitian spectra, so only columns 0..width/2 are kept ("half spectra", which
// carry a factor 2 that the filters take back). Scratch per thread is a few hundred KB: it stays in
// the second-level cache.

// Vectors are held in arrays, which scalable vectors cannot be.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "features/scattering_simd.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// foreach_target.h must come first.
#include <hwy/highway.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "features/scattering_plan.h"
#include "velum/kernels/buffer.h"

HWY_BEFORE_NAMESPACE();
namespace velum::dpsgd::detail {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::ScalableTag<float>;
using Vector = hn::Vec<Tag>;

HWY_INLINE std::int64_t lane_count() { return static_cast<std::int64_t>(hn::Lanes(Tag())); }
HWY_INLINE Vector load(const float* from) { return hn::Load(Tag(), from); }
HWY_INLINE void store(Vector value, float* to) { hn::Store(value, Tag(), to); }
HWY_INLINE Vector constant(double value) { return hn::Set(Tag(), static_cast<float>(value)); }

// Elements of a complex signal: vectors `stride` floats apart, real and imaginary part each.
// Swapping the two pointers conjugates, up to a factor i that swapping them again takes back: the
// inverse transform is the forward one between swaps.
struct ConstSignal {
  const float* re;
  const float* im;
  std::int64_t stride;
};
struct Signal {
  float* re;
  float* im;
  std::int64_t stride;
};

struct Complex {
  Vector re;
  Vector im;
};

HWY_INLINE Complex add(Complex a, Complex b) { return {hn::Add(a.re, b.re), hn::Add(a.im, b.im)}; }
HWY_INLINE Complex sub(Complex a, Complex b) { return {hn::Sub(a.re, b.re), hn::Sub(a.im, b.im)}; }
HWY_INLINE Complex multiply(Complex a, const float* w) {
  const Vector wr = hn::Set(Tag(), w[0]);
  const Vector wi = hn::Set(Tag(), w[1]);
  return {hn::NegMulAdd(a.im, wi, hn::Mul(a.re, wr)), hn::MulAdd(a.im, wr, hn::Mul(a.re, wi))};
}

HWY_INLINE void butterfly(Complex (&x)[2]) {
  const Complex a = x[0];
  x[0] = add(a, x[1]);
  x[1] = sub(a, x[1]);
}

HWY_INLINE void butterfly(Complex (&x)[3]) {
  const Vector half = constant(0.5);
  const Vector sin60 = constant(0.86602540378443864676);
  const Complex t = add(x[1], x[2]);
  const Complex d = sub(x[1], x[2]);
  const Complex c = {hn::NegMulAdd(half, t.re, x[0].re), hn::NegMulAdd(half, t.im, x[0].im)};
  x[0] = add(x[0], t);
  x[1] = {hn::MulAdd(sin60, d.im, c.re), hn::NegMulAdd(sin60, d.re, c.im)};
  x[2] = {hn::NegMulAdd(sin60, d.im, c.re), hn::MulAdd(sin60, d.re, c.im)};
}

HWY_INLINE void butterfly(Complex (&x)[4]) {
  const Complex a = add(x[0], x[2]);
  const Complex b = sub(x[0], x[2]);
  const Complex c = add(x[1], x[3]);
  const Complex d = sub(x[1], x[3]);
  x[0] = add(a, c);
  x[1] = {hn::Add(b.re, d.im), hn::Sub(b.im, d.re)};
  x[2] = sub(a, c);
  x[3] = {hn::Sub(b.re, d.im), hn::Add(b.im, d.re)};
}

HWY_INLINE void butterfly(Complex (&x)[5]) {
  const Vector cos72 = constant(0.30901699437494742410);
  const Vector cos144 = constant(-0.80901699437494742410);
  const Vector sin72 = constant(0.95105651629515357212);
  const Vector sin144 = constant(0.58778525229247312917);
  const Complex s1 = add(x[1], x[4]);
  const Complex d1 = sub(x[1], x[4]);
  const Complex s2 = add(x[2], x[3]);
  const Complex d2 = sub(x[2], x[3]);
  const Complex a = {hn::MulAdd(cos144, s2.re, hn::MulAdd(cos72, s1.re, x[0].re)),
                     hn::MulAdd(cos144, s2.im, hn::MulAdd(cos72, s1.im, x[0].im))};
  const Complex b = {hn::MulAdd(cos72, s2.re, hn::MulAdd(cos144, s1.re, x[0].re)),
                     hn::MulAdd(cos72, s2.im, hn::MulAdd(cos144, s1.im, x[0].im))};
  const Complex u = {hn::MulAdd(sin144, d2.re, hn::Mul(sin72, d1.re)),
                     hn::MulAdd(sin144, d2.im, hn::Mul(sin72, d1.im))};
  const Complex v = {hn::NegMulAdd(sin72, d2.re, hn::Mul(sin144, d1.re)),
                     hn::NegMulAdd(sin72, d2.im, hn::Mul(sin144, d1.im))};
  x[0] = add(x[0], add(s1, s2));
  x[1] = {hn::Add(a.re, u.im), hn::Sub(a.im, u.re)};
  x[2] = {hn::Add(b.re, v.im), hn::Sub(b.im, v.re)};
  x[3] = {hn::Sub(b.re, v.im), hn::Add(b.im, v.re)};
  x[4] = {hn::Sub(a.re, u.im), hn::Add(a.im, u.re)};
}

// 6 = 2 * 3 by the prime-factor map: no twiddles in between.
HWY_INLINE void butterfly(Complex (&x)[6]) {
  Complex even[3] = {x[0], x[2], x[4]};
  Complex odd[3] = {x[3], x[5], x[1]};
  butterfly(even);
  butterfly(odd);
  x[0] = add(even[0], odd[0]);
  x[3] = sub(even[0], odd[0]);
  x[4] = add(even[1], odd[1]);
  x[1] = sub(even[1], odd[1]);
  x[2] = add(even[2], odd[2]);
  x[5] = sub(even[2], odd[2]);
}

template <int kRadix>
HWY_NOINLINE void fixed_pass(const FourierPass& pass, ConstSignal in, Signal out) {
  const std::int64_t in_step = pass.stride * pass.groups * in.stride;
  const std::int64_t out_step = pass.stride * out.stride;
  for (std::int64_t p = 0; p < pass.groups; ++p) {
    const float* const twiddles = pass.twiddles.data() + p * (kRadix - 1) * 2;
    for (std::int64_t q = 0; q < pass.stride; ++q) {
      const std::int64_t from = (q + pass.stride * p) * in.stride;
      const std::int64_t to = (q + pass.stride * kRadix * p) * out.stride;
      Complex x[kRadix];
      for (int a = 0; a < kRadix; ++a) {
        x[a] = {load(in.re + from + a * in_step), load(in.im + from + a * in_step)};
      }
      butterfly(x);
      if (p > 0) {
        for (std::int64_t k = 1; k < kRadix; ++k) x[k] = multiply(x[k], twiddles + 2 * (k - 1));
      }
      for (int k = 0; k < kRadix; ++k) {
        store(x[k].re, out.re + to + k * out_step);
        store(x[k].im, out.im + to + k * out_step);
      }
    }
  }
}

// Any radix, by its definition; `in` and `out` must not overlap.
HWY_NOINLINE void any_pass(const FourierPass& pass, ConstSignal in, Signal out) {
  const std::int64_t radix = pass.radix;
  for (std::int64_t p = 0; p < pass.groups; ++p) {
    for (std::int64_t q = 0; q < pass.stride; ++q) {
      for (std::int64_t k = 0; k < radix; ++k) {
        Complex sum = {hn::Zero(Tag()), hn::Zero(Tag())};
        for (std::int64_t a = 0; a < radix; ++a) {
          const std::int64_t from = (q + pass.stride * (p + pass.groups * a)) * in.stride;
          sum = add(sum, multiply({load(in.re + from), load(in.im + from)},
                                  pass.roots.data() + 2 * (a * k % radix)));
        }
        if (k > 0) sum = multiply(sum, pass.twiddles.data() + 2 * (p * (radix - 1) + k - 1));
        const std::int64_t to = (q + pass.stride * (radix * p + k)) * out.stride;
        store(sum.re, out.re + to);
        store(sum.im, out.im + to);
      }
    }
  }
}

HWY_NOINLINE void run_pass(const FourierPass& pass, ConstSignal in, Signal out) {
  switch (pass.radix) {
    case 2:
      return fixed_pass<2>(pass, in, out);
    case 3:
      return fixed_pass<3>(pass, in, out);
    case 4:
      return fixed_pass<4>(pass, in, out);
    case 5:
      return fixed_pass<5>(pass, in, out);
    case 6:
      return fixed_pass<6>(pass, in, out);
    default:
      return any_pass(pass, in, out);
  }
}

// Signals on the way through the passes; two lines of the longest transform.
struct Lines {
  float* first;
  float* second;
};

// `in` and `out` may be the same signal.
HWY_NOINLINE void transform_line(const FourierPlan& plan, ConstSignal in, Signal out, Lines lines) {
  const std::int64_t lanes = lane_count();
  const std::size_t count = plan.passes.size();
  const bool in_place = in.re == out.re || in.re == out.im;
  ConstSignal from = in;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    float* const line = i % 2 == 0 ? lines.first : lines.second;
    const Signal to{line, line + lanes, 2 * lanes};
    run_pass(plan.passes[i], from, to);
    from = {to.re, to.im, to.stride};
  }
  if (count == 1 && in_place && plan.passes[0].radix > 6) {  // any_pass cannot work in place
    for (std::int64_t i = 0; i < plan.size; ++i) {
      store(load(in.re + i * in.stride), lines.first + 2 * i * lanes);
      store(load(in.im + i * in.stride), lines.first + (2 * i + 1) * lanes);
    }
    from = {lines.first, lines.first + lanes, 2 * lanes};
  }
  run_pass(plan.passes[count - 1], from, out);
}

// out[i] = sum_k matrix[i, k] in[k], kRows results at a time.
template <int kRows>
HWY_NOINLINE void multiply_rows(const float* matrix, std::int64_t columns, const float* in,
                                std::int64_t in_stride, float* out, std::int64_t out_stride) {
  Vector sum[kRows];
  for (int i = 0; i < kRows; ++i) sum[i] = hn::Zero(Tag());
  for (std::int64_t k = 0; k < columns; ++k) {
    const Vector x = load(in + k * in_stride);
    for (int i = 0; i < kRows; ++i) {
      sum[i] = hn::MulAdd(hn::Set(Tag(), matrix[i * columns + k]), x, sum[i]);
    }
  }
  for (int i = 0; i < kRows; ++i) store(sum[i], out + i * out_stride);
}

HWY_NOINLINE void multiply_matrix(const float* matrix, std::int64_t rows, std::int64_t columns,
                                  const float* in, std::int64_t in_stride, float* out,
                                  std::int64_t out_stride) {
  std::int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    multiply_rows<4>(matrix + i * columns, columns, in, in_stride, out + i * out_stride,
                     out_stride);
  }
  const float* const rest = matrix + i * columns;
  float* const rest_out = out + i * out_stride;
  switch (rows - i) {
    case 3:
      return multiply_rows<3>(rest, columns, in, in_stride, rest_out, out_stride);
    case 2:
      return multiply_rows<2>(rest, columns, in, in_stride, rest_out, out_stride);
    case 1:
      return multiply_rows<1>(rest, columns, in, in_stride, rest_out, out_stride);
    default:
      return;
  }
}

// Everything about one group of images.
class Scatterer {
 public:
  explicit Scatterer(const ScatteringPlan& plan)
      : plan_(plan),
        lanes_(lane_count()),
        buffer_(scratch_size(plan, lane_count()), kernels::Stream::serial()) {
    float* next = buffer_.data();
    const auto take = [&next](std::int64_t size) {
      float* const taken = next;
      next += size;
      return taken;
    };
    const Sizes sizes = sizes_of(plan, lanes_);
    image_spectrum_ = take(sizes.half_spectrum);
    modulus_spectrum_ = take(sizes.half_spectrum);
    product_ = take(sizes.product);
    real_ = take(sizes.real);
    lines_.first = take(sizes.line);
    lines_.second = take(sizes.line);
    line_ = take(sizes.line);
    low_columns_ = take(sizes.low_columns);
    low_ = take(sizes.low);
  }

  // Transforms the `count` <= lanes images that start at `images`.
  template <typename Pixel>
  void run(const Pixel* images, std::int64_t image_stride, std::int64_t count, float* out,
           std::int64_t out_stride) {
    out_ = out;
    out_stride_ = out_stride;
    count_ = count;
    channel_ = 0;
    fill(images, image_stride);
    run_filled();
  }

 private:
  HWY_NOINLINE void run_filled() {
    const ScatteringLevel& full = plan_.levels[0];
    for (std::int64_t y = 0; y < full.height; ++y) {
      low_pass_columns(full, real_ + y * full.width * lanes_, y);
    }
    finish_channel(full);
    real_to_half_spectrum(full, image_spectrum_);

    // Channels of order 2 follow all of order 1.
    std::int64_t second_channel = 1 + static_cast<std::int64_t>(plan_.first_order.size());
    for (std::size_t n1 = 0; n1 < plan_.first_order.size(); ++n1) {
      const ScatteringWavelet& first = plan_.first_order[n1];
      channel_ = 1 + static_cast<std::int64_t>(n1);
      const bool continues = first.next_begin < first.next_end;
      wavelet_modulus(first, image_spectrum_, continues);
      if (!continues) continue;
      real_to_half_spectrum(plan_.levels[first.level_out], modulus_spectrum_);
      channel_ = second_channel;
      for (std::size_t n2 = first.next_begin; n2 < first.next_end; ++n2) {
        wavelet_modulus(plan_.second_order[n2], modulus_spectrum_, false);
      }
      second_channel = channel_;
    }
  }

  struct Sizes {
    std::int64_t half_spectrum, product, real, line, low_columns, low;
  };
  static Sizes sizes_of(const ScatteringPlan& plan, std::int64_t lanes) {
    const ScatteringLevel& full = plan.levels[0];
    return {full.height * (full.width / 2 + 1) * 2 * lanes,
            full.height * full.width * 2 * lanes,
            full.height * full.width * lanes,
            std::max(full.height, full.width) * 2 * lanes,
            full.height * plan.output_width * lanes,
            plan.output_height * plan.output_width * lanes};
  }
  static std::int64_t scratch_size(const ScatteringPlan& plan, std::int64_t lanes) {
    const Sizes s = sizes_of(plan, lanes);
    return 2 * s.half_spectrum + s.product + s.real + 3 * s.line + s.low_columns + s.low;
  }

  template <typename Pixel>
  HWY_NOINLINE void fill(const Pixel* images, std::int64_t image_stride) {
    const ScatteringLevel& full = plan_.levels[0];
    for (std::int64_t lane = 0; lane < lanes_; ++lane) {
      // Lanes without an image repeat the last one.
      const Pixel* const image = images + std::min(lane, count_ - 1) * image_stride;
      float* out = real_ + lane;
      for (std::int64_t y = 0; y < full.height; ++y) {
        const Pixel* const row = image + plan_.source_rows[y] * plan_.image_width;
        for (std::int64_t x = 0; x < full.width; ++x, out += lanes_) {
          const Pixel pixel = row[plan_.source_columns[x]];
          if constexpr (std::is_same_v<Pixel, float>) {
            *out = pixel;
          } else {
            *out = static_cast<float>(pixel) / 255.0f;
          }
        }
      }
    }
  }

  // Twice the columns 0..width/2 of the spectrum of `real_`. Two rows at a time are the real and
  // the imaginary part of one complex row, whose spectrum is then taken apart by symmetry.
  HWY_NOINLINE void real_to_half_spectrum(const ScatteringLevel& level, float* spectrum) {
    const std::int64_t half = level.width / 2 + 1;
    const std::int64_t step = 2 * lanes_;
    for (std::int64_t y = 0; y < level.height; y += 2) {
      const float* const row = real_ + y * level.width * lanes_;
      transform_line(level.horizontal, {row, row + level.width * lanes_, lanes_},
                     {line_, line_ + lanes_, step}, lines_);
      float* const even = spectrum + y * half * step;
      float* const odd = even + half * step;
      for (std::int64_t v = 0; v < half; ++v) {
        const float* const at = line_ + v * step;
        const float* const mirrored = line_ + (v == 0 ? 0 : level.width - v) * step;
        const Complex z = {load(at), load(at + lanes_)};
        const Complex m = {load(mirrored), load(mirrored + lanes_)};
        store(hn::Add(z.re, m.re), even + v * step);
        store(hn::Sub(z.im, m.im), even + v * step + lanes_);
        store(hn::Add(z.im, m.im), odd + v * step);
        store(hn::Sub(m.re, z.re), odd + v * step + lanes_);
      }
    }
    for (std::int64_t v = 0; v < half; ++v) {
      float* const column = spectrum + v * step;
      const std::int64_t stride = half * step;
      transform_line(level.vertical, {column, column + lanes_, stride},
                     {column, column + lanes_, stride}, lines_);
    }
  }

  // Column v of fold(spectrum * psi) to `line_`, columns beyond the half by conjugation.
  HWY_NOINLINE void fold_column(const ScatteringWavelet& wavelet, const float* spectrum,
                                std::int64_t v) {
    const ScatteringLevel& in = plan_.levels[wavelet.level_in];
    const ScatteringLevel& out = plan_.levels[wavelet.level_out];
    const std::int64_t half = in.width / 2 + 1;
    const std::int64_t row = half * 2 * lanes_;
    const float* const psi = wavelet.spectrum.data();
    for (std::int64_t u = 0; u < out.height; ++u) {
      Vector re = hn::Zero(Tag());
      Vector im = hn::Zero(Tag());
      for (std::int64_t x = v; x < in.width; x += out.width) {
        if (x < half) {
          const float* const column = spectrum + x * 2 * lanes_;
          for (std::int64_t y = u; y < in.height; y += out.height) {
            const Vector weight = hn::Set(Tag(), psi[y * in.width + x]);
            re = hn::MulAdd(weight, load(column + y * row), re);
            im = hn::MulAdd(weight, load(column + y * row + lanes_), im);
          }
        } else {
          const float* const column = spectrum + (in.width - x) * 2 * lanes_;
          for (std::int64_t y = u; y < in.height; y += out.height) {
            const float* const at = column + (y == 0 ? 0 : in.height - y) * row;
            const Vector weight = hn::Set(Tag(), psi[y * in.width + x]);
            re = hn::MulAdd(weight, load(at), re);
            im = hn::NegMulAdd(weight, load(at + lanes_), im);
          }
        }
      }
      store(re, line_ + 2 * u * lanes_);
      store(im, line_ + (2 * u + 1) * lanes_);
    }
  }

  // |inverse transform of fold(spectrum * psi)|, low-passed to the next channel; kept in `real_` if
  // `keep`.
  HWY_NOINLINE void wavelet_modulus(const ScatteringWavelet& wavelet, const float* spectrum,
                                    bool keep) {
    const ScatteringLevel& out = plan_.levels[wavelet.level_out];
    const std::int64_t step = 2 * lanes_;
    const std::int64_t row = out.width * step;
    for (std::int64_t v = 0; v < out.width; ++v) {
      fold_column(wavelet, spectrum, v);
      float* const column = product_ + v * step;
      transform_line(out.vertical, {line_ + lanes_, line_, step}, {column + lanes_, column, row},
                     lines_);
    }
    for (std::int64_t y = 0; y < out.height; ++y) {
      const float* const from = product_ + y * row;
      transform_line(out.horizontal, {from + lanes_, from, step}, {line_ + lanes_, line_, step},
                     lines_);
      float* const modulus = keep ? real_ + y * out.width * lanes_ : line_;
      for (std::int64_t x = 0; x < out.width; ++x) {
        const Vector re = load(line_ + x * step);
        const Vector im = load(line_ + x * step + lanes_);
        store(hn::Sqrt(hn::MulAdd(re, re, hn::Mul(im, im))), modulus + x * lanes_);
      }
      low_pass_columns(out, modulus, y);
    }
    finish_channel(out);
  }

  HWY_NOINLINE void low_pass_columns(const ScatteringLevel& level, const float* line,
                                     std::int64_t y) {
    multiply_matrix(level.low_pass_columns.data(), plan_.output_width, level.width, line, lanes_,
                    low_columns_ + y * plan_.output_width * lanes_, lanes_);
  }

  // Low-pass along columns, then one image per lane to its row of the output.
  HWY_NOINLINE void finish_channel(const ScatteringLevel& level) {
    const std::int64_t width = plan_.output_width;
    for (std::int64_t x = 0; x < width; ++x) {
      multiply_matrix(level.low_pass_rows.data(), plan_.output_height, level.height,
                      low_columns_ + x * lanes_, width * lanes_, low_ + x * lanes_, width * lanes_);
    }
    const std::int64_t size = plan_.output_height * width;
    for (std::int64_t lane = 0; lane < count_; ++lane) {
      float* const out = out_ + lane * out_stride_ + channel_ * size;
      for (std::int64_t i = 0; i < size; ++i) out[i] = low_[i * lanes_ + lane];
    }
    ++channel_;
  }

  const ScatteringPlan& plan_;
  std::int64_t lanes_;
  kernels::Buffer<float> buffer_;
  float* image_spectrum_;
  float* modulus_spectrum_;
  float* product_;
  float* real_;
  Lines lines_;
  float* line_;
  float* low_columns_;
  float* low_;

  float* out_ = nullptr;
  std::int64_t out_stride_ = 0;
  std::int64_t count_ = 0;
  std::int64_t channel_ = 0;
};

template <typename Pixel>
void scatter(const ScatteringPlan& plan, const Pixel* images, std::int64_t image_stride, float* out,
             std::int64_t out_stride, std::int64_t begin, std::int64_t end) {
  Scatterer scatterer(plan);
  const std::int64_t lanes = lane_count();
  for (std::int64_t first = begin; first < end; first += lanes) {
    scatterer.run(images + first * image_stride, image_stride, std::min(lanes, end - first),
                  out + first * out_stride, out_stride);
  }
}

}  // namespace

void scatter_floats(const ScatteringPlan& plan, const float* images, std::int64_t image_stride,
                    float* out, std::int64_t out_stride, std::int64_t begin, std::int64_t end) {
  scatter(plan, images, image_stride, out, out_stride, begin, end);
}
void scatter_bytes(const ScatteringPlan& plan, const std::uint8_t* images,
                   std::int64_t image_stride, float* out, std::int64_t out_stride,
                   std::int64_t begin, std::int64_t end) {
  scatter(plan, images, image_stride, out, out_stride, begin, end);
}

}  // namespace HWY_NAMESPACE
}  // namespace velum::dpsgd::detail
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace velum::dpsgd::detail {

HWY_EXPORT(scatter_floats);
HWY_EXPORT(scatter_bytes);

void scatter_images(const ScatteringPlan& plan, const float* images, std::int64_t image_stride,
                    float* out, std::int64_t out_stride, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(scatter_floats)(plan, images, image_stride, out, out_stride, begin, end);
}
void scatter_images(const ScatteringPlan& plan, const std::uint8_t* images,
                    std::int64_t image_stride, float* out, std::int64_t out_stride,
                    std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(scatter_bytes)(plan, images, image_stride, out, out_stride, begin, end);
}

}  // namespace velum::dpsgd::detail
#endif  // HWY_ONCE
