#include "clipper.h"

#include <ATen/ops/empty_like.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/nextafter.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "velum/dpsgd/torch_bridge.h"
#include "velum/kernels/gradients/clip_factors.h"
#include "velum/kernels/gradients/per_sample_norms.h"

namespace velum::dpsgd::detail {
namespace {

// Allowances in the squared norms for the rounding of per-sample gradients and of their scaling by
// the factors (docs/numerics.md): a few units in the last place of the type that holds them.
constexpr double kFloatSquaredNormError = 0x1p-20;
constexpr double kDoubleSquaredNormError = 0x1p-46;

// (sqrt(s) + gamma)^2 from s: a root, a sum and a square, each within a unit in the last place.
constexpr double kShiftedSquareError = 0x1p-49;

// b_i falls from 1 to 0 between C (1 - w) and C (1 + w): the rounding of a norm, some 2^-20 in
// float32, moves it by 2^-15 at most and never by a whole sample.
constexpr double kCountRamp = 0x1p-6;

std::size_t parameters_in(const Clipping& clipping) {
  std::size_t count = 0;
  for (const ClippingGroup& group : clipping.groups()) count += group.parameters.size();
  return count;
}

}  // namespace

Clipper::Clipper(Clipping clipping, const std::vector<at::Tensor>& parameters,
                 double noise_multiplier)
    : clipping_(std::move(clipping)),
      sum_noise_multiplier_(clipping_.sum_noise_multiplier(noise_multiplier)),
      adaptive_norm_(clipping_.clipping_norm()) {
  const auto make = [&](std::vector<std::size_t> indices, double bound) {
    std::int64_t numel = 0;
    for (const std::size_t index : indices) numel += parameters[index].numel();
    const double summation =
        kernels::squared_norm_error(numel, static_cast<std::int64_t>(indices.size()));
    double error = 4 * summation;
    if (clipping_.kind() == Clipping::Kind::kAutomatic) error += kShiftedSquareError;
    groups_.push_back({std::move(indices), bound, error});
  };
  if (clipping_.kind() != Clipping::Kind::kGroups) {
    std::vector<std::size_t> all(parameters.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    make(std::move(all), clipping_.kind() == Clipping::Kind::kAutomatic
                             ? clipping_.stability()
                             : clipping_.clipping_norm());
    return;
  }
  // Clipping has seen to it that they name 0 .. n - 1, each once.
  if (parameters_in(clipping_) != parameters.size()) {
    throw std::invalid_argument("PrivacyEngine: the groups of options.clipping name " +
                                std::to_string(parameters_in(clipping_)) +
                                " parameters, expected " + std::to_string(parameters.size()) +
                                ": every parameter that requires grad in exactly one group");
  }
  for (const ClippingGroup& group : clipping_.groups()) {
    make({group.parameters.begin(), group.parameters.end()}, group.clipping_norm);
  }
}

at::Tensor Clipper::factors(const at::Tensor& squared_norms, const Group& group,
                            at::ScalarType type) const {
  const bool automatic = clipping_.kind() == Clipping::Kind::kAutomatic;
  // gamma / (n + gamma) is min(1, gamma / n') of a norm n' = n + gamma.
  const at::Tensor squares =
      automatic ? squared_norms.sqrt().add_(group.bound).square_() : squared_norms;
  const double bound = clipping_.kind() == Clipping::Kind::kAdaptive ? adaptive_norm_ : group.bound;
  const double rounding = type == at::kFloat ? kFloatSquaredNormError : kDoubleSquaredNormError;
  const kernels::ClippingBound clipping_bound{bound, group.summation_error + rounding};
  const at::Tensor result = at::empty_like(squares, squares.options().dtype(type));
  const kernels::Stream stream = stream_for(squares.device());
  const auto norms = const_span_of<double>(squares);
  if (type == at::kFloat) {
    kernels::clip_factors(norms, clipping_bound, span_of<float>(result), stream);
  } else {
    kernels::clip_factors(norms, clipping_bound, span_of<double>(result), stream);
  }
  return result.to(at::kDouble);
}

at::Tensor Clipper::divided(const at::Tensor& factors, const at::Tensor& counts,
                            at::ScalarType type) const {
  const auto below = [](const at::Tensor& values) {
    return at::nextafter(values, at::zeros_like(values));
  };
  // The quotient is rounded by half a unit in the last place: the next one below is no larger.
  const at::Tensor quotient = factors.div(counts);
  const at::Tensor least = at::where(counts.eq(1), quotient, below(quotient));
  const at::Tensor rounded = least.to(type);
  return at::where(rounded.to(at::kDouble).gt(least), below(rounded), rounded).to(at::kDouble);
}

double Clipper::sum_sensitivity() const {
  if (clipping_.kind() == Clipping::Kind::kAutomatic) return clipping_.stability();
  return sensitivity();
}

double Clipper::scale() const {
  if (clipping_.kind() != Clipping::Kind::kAutomatic) return 1.0;
  return clipping_.clipping_norm() / clipping_.stability();
}

double Clipper::sensitivity() const {
  return clipping_.kind() == Clipping::Kind::kAdaptive ? adaptive_norm_ : clipping_.sensitivity();
}

double Clipper::centred_count(const at::Tensor& squared_norms) const {
  const at::Tensor share = squared_norms.sqrt()
                               .neg_()
                               .add_((1 + kCountRamp) * adaptive_norm_)
                               .div_(2 * kCountRamp * adaptive_norm_)
                               .clamp_(0, 1);
  const at::Tensor counted =
      at::where(at::isfinite(squared_norms), share, at::zeros_like(share)).sub_(0.5);
  return counted.sum().item<double>();
}

void Clipper::set_adaptive_norm(double norm) {
  const AdaptiveClipping& adaptive = clipping_.adaptive();
  if (!(norm >= adaptive.smallest_norm && norm <= adaptive.largest_norm)) {
    std::ostringstream text;
    text << "PrivacyEngine: state.clipping_norm = " << norm << ", expected "
         << adaptive.smallest_norm << " to " << adaptive.largest_norm
         << ", the bounds of options.clipping";
    throw std::invalid_argument(text.str());
  }
  adaptive_norm_ = norm;
}

void Clipper::adapt(double share) {
  const AdaptiveClipping& adaptive = clipping_.adaptive();
  const double moved =
      adaptive_norm_ * std::exp(-adaptive.learning_rate * (share - adaptive.quantile));
  adaptive_norm_ = std::clamp(moved, adaptive.smallest_norm, adaptive.largest_norm);
}

}  // namespace velum::dpsgd::detail
