#include "loss_profile.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "accounting/range_check.h"

namespace velum::dpsgd::pld {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kUnitRoundoff = std::numeric_limits<double>::epsilon() / 2;

/// Beyond so many standard deviations a Gaussian tail counts as truncated: mass 8e-45.
constexpr double kGaussianCut = 14.0;

/// Bound on the relative error of a quadrature over one piece (docs/accounting.md, "Errors"): z is
/// the difference of sigma u and half a shift, off by 4 units of their sum, 14 + shift, so the
/// exponent z^2 / 2 by 14 times that, 784 + 56 shift units; the rule itself by less than 1e-15.
double quadrature_error(double half_shift) { return 2e-13 + 2e-14 * half_shift; }

double upper_tail(double z) { return 0.5 * std::erfc(z * M_SQRT1_2); }

/// Nodes and weights on [-1, 1], symmetric: the nodes >= 0 (Abramowitz and Stegun, table 25.4).
struct GaussLegendre {
  int half;
  double node[4];
  double weight[4];
};
constexpr GaussLegendre kFourNodes = {2,
                                      {0.33998104358485626480, 0.86113631159405257522},
                                      {0.65214515486254614263, 0.34785484513745385737}};
constexpr GaussLegendre kEightNodes = {4,
                                       {0.18343464249564980494, 0.52553240991632898582,
                                        0.79666647741362673959, 0.96028985649753623168},
                                       {0.36268378337836198297, 0.31370664587788728734,
                                        0.22238103445337447054, 0.10122853629037625915}};

/// A piece is integrated in parts of at most this width, in standard deviations, at distance
/// `z` from the mean: the Gaussian is then resolved to rounding by eight nodes, and by four on a
/// tenth of it.
double resolved_width(double z) { return 1.0 / (2.0 + std::abs(z)); }

/// One Gaussian moved by one sensitivity, mixed with itself at rest:
///   Q = N(0, sigma^2),  P = (1 - q) N(0, sigma^2) + q N(1, sigma^2)
/// described by u = log(dN(1) / dN(0)), in which the loss log(1 - q + q e^u) increases.
class SampledGaussian {
 public:
  SampledGaussian(double sampling_rate, double noise_multiplier)
      : q_(sampling_rate),
        sigma_(noise_multiplier),
        half_shift_(0.5 / noise_multiplier),
        first_u_((-kGaussianCut - half_shift_) / sigma_),
        last_u_((kGaussianCut + half_shift_) / sigma_) {}

  double loss(double u) const {
    if (q_ == 1.0) return u;
    if (u > 1.0) return u + std::log(q_ + (1.0 - q_) * std::exp(-u));
    // 1 - q + q e^u may be far below 1: then both of its terms, which are exact, are added.
    if (u < -1.0 && q_ > 0.5) return std::log((1.0 - q_) + q_ * std::exp(u));
    return std::log1p(q_ * std::expm1(u));
  }

  /// Inverse of `loss`, within [first_u, last_u].
  double u_of(double loss) const {
    double u;
    if (q_ == 1.0) {
      u = loss;
    } else if (loss > 1.0) {
      u = loss + std::log1p(-(1.0 - q_) * std::exp(-loss)) - std::log(q_);
    } else if (loss < -0.25 && q_ > 0.5) {
      const double moved = std::exp(loss) - (1.0 - q_);  // q e^u
      u = moved > 0.0 ? std::log(moved / q_) : -kInfinity;
    } else {
      const double ratio = std::expm1(loss) / q_;  // e^u - 1
      u = ratio <= -1.0 ? -kInfinity : std::log1p(ratio);
    }
    return std::clamp(u, first_u_, last_u_);
  }

  LossPieces pieces(const std::vector<double>& boundaries) const {
    LossPieces result;
    result.relative_error = quadrature_error(half_shift_);
    result.loss_error = loss_error();
    result.truncated_p = 2.0 * upper_tail(kGaussianCut);
    result.pieces.reserve(boundaries.size() + 512);
    double u = first_u_;
    for (const double boundary : boundaries) {
      const double next = u_of(boundary);
      append_parts(u, next, result.pieces);
      u = std::max(u, next);
    }
    append_parts(u, last_u_, result.pieces);
    return result;
  }

  double loss_error() const {
    const double largest = std::max(std::abs(loss(last_u_)), std::abs(loss(first_u_)));
    return 8.0 * kUnitRoundoff * (largest + std::min(1.0, q_ * std::abs(last_u_)));
  }

 private:
  void append_parts(double from, double to, std::vector<LossPiece>& pieces) const {
    while (from < to) {
      const double z0 = std::abs(sigma_ * from + half_shift_);
      const double z1 = std::abs(sigma_ * from - half_shift_);
      const double widest = resolved_width(std::max(z0, z1)) / sigma_;
      const double next = to - from < 1.25 * widest ? to : from + widest;
      append(from, next, pieces);
      from = next;
    }
  }

  void append(double from, double to, std::vector<LossPiece>& pieces) const {
    const double center = 0.5 * (from + to);
    const double half_width = 0.5 * (to - from);
    const double z = std::max(std::abs(sigma_ * from), std::abs(sigma_ * to)) + half_shift_;
    const GaussLegendre& rule =
        2.0 * half_width * sigma_ <= 0.1 * resolved_width(z) ? kFourNodes : kEightNodes;
    double at_rest = 0.0;  // of N(0, sigma^2), in units of the factor below
    double moved = 0.0;    // of N(1, sigma^2)
    double excess = 0.0;
    double deficit = 0.0;
    for (int i = 0; i < rule.half; ++i) {
      for (const double sign : {-1.0, 1.0}) {
        const double u = center + sign * half_width * rule.node[i];
        const double z1 = sigma_ * u - half_shift_;
        const double z0 = sigma_ * u + half_shift_;
        const double density = rule.weight[i] * std::exp(-0.5 * z1 * z1);
        moved += density;
        if (q_ < 1.0) at_rest += rule.weight[i] * std::exp(-0.5 * z0 * z0);
        excess -= density * std::expm1(from - u);
        deficit += density * std::expm1(to - u);
      }
    }
    // M_2_SQRTPI / (2 sqrt 2) = 1 / sqrt(2 pi)
    const double factor = 0.5 * M_2_SQRTPI * M_SQRT1_2 * sigma_ * half_width;
    const double p = factor * ((1.0 - q_) * at_rest + q_ * moved);
    if (!(p > 0.0)) return;
    pieces.push_back({loss(from), loss(to), p, factor * q_ * excess, factor * q_ * deficit});
  }

  double q_;
  double sigma_;
  double half_shift_;
  double first_u_;
  double last_u_;
};

/// The same outcomes with P and Q exchanged.
LossPiece exchanged(const LossPiece& piece) {
  const double q = (piece.p + piece.deficit) * std::exp(-piece.upper);
  return {-piece.upper, -piece.lower, q, piece.deficit * std::exp(-piece.upper),
          piece.excess * std::exp(-piece.lower)};
}

void exchange(LossPieces& pieces) {
  std::reverse(pieces.pieces.begin(), pieces.pieces.end());
  for (LossPiece& piece : pieces.pieces) piece = exchanged(piece);
  std::erase_if(pieces.pieces, [](const LossPiece& piece) { return !(piece.p > 0.0); });
}

std::vector<double> mirrored(const std::vector<double>& boundaries) {
  std::vector<double> result(boundaries.rbegin(), boundaries.rend());
  for (double& boundary : result) boundary = -boundary;
  return result;
}

class PoissonSampledGaussianProfile final : public LossProfile {
 public:
  PoissonSampledGaussianProfile(double sampling_rate, double noise_multiplier, Direction direction)
      : gaussian_(sampling_rate, noise_multiplier),
        direction_(direction),
        sampling_rate_(sampling_rate) {}

  bool symmetric() const override { return sampling_rate_ == 1.0; }

  /// Exchanged, the loss is -log(1 - q + q e^u) < -log(1 - q).
  double largest_loss() const override {
    return direction_ == Direction::kAdd ? -std::log1p(-sampling_rate_) * (1.0 + 1e-14) : kInfinity;
  }

  LossPieces pieces(const std::vector<double>& boundaries) const override {
    // Exchanging loses masses whose other side is 0 in floating point: here, only where q is 1.
    if (direction_ == Direction::kRemove || symmetric()) return gaussian_.pieces(boundaries);
    LossPieces result = gaussian_.pieces(mirrored(boundaries));
    exchange(result);
    result.relative_error += 4.0 * kUnitRoundoff;
    return result;
  }

 private:
  SampledGaussian gaussian_;
  Direction direction_;
  double sampling_rate_;
};

/// Above loss 0 the pair ((1 - g) Q + g P, Q), below it the same exchanged, and what is left at 0:
/// the two orders of neighbours in one pair (Zhu, Dong and Wang, arXiv 2106.08567, Theorem 11).
class WithoutReplacementGaussianProfile final : public LossProfile {
 public:
  WithoutReplacementGaussianProfile(double sampling_rate, double noise_multiplier)
      : gaussian_(sampling_rate, noise_multiplier) {}

  bool symmetric() const override { return true; }

  LossPieces pieces(const std::vector<double>& boundaries) const override {
    std::vector<double> cuts{0.0};
    for (const double boundary : boundaries) {
      if (boundary != 0.0) cuts.push_back(std::abs(boundary));
    }
    std::sort(cuts.begin(), cuts.end());
    LossPieces result = gaussian_.pieces(cuts);
    std::vector<LossPiece>& pieces = result.pieces;
    std::erase_if(pieces, [](const LossPiece& piece) { return piece.upper <= 0.0; });
    pieces.front().lower = 0.0;
    double p_above = 0.0;
    double p_below = 0.0;
    std::vector<LossPiece> below;
    below.reserve(pieces.size());
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
      p_above += piece->p;
      const LossPiece lost = exchanged(*piece);
      if (!(lost.p > 0.0)) continue;
      below.push_back(lost);
      p_below += lost.p;
    }
    result.relative_error += 4.0 * kUnitRoundoff;
    const double rest = 1.0 - p_above - p_below;
    // The errors of the sums, moved to where they cost privacy, are a loss of their own.
    const double error = (p_above + p_below) * (result.relative_error + 1e-12);
    if (rest > 2.0 * error) below.push_back({0.0, 0.0, rest, 0.0, 0.0});
    // What is left out lies at 0 and counts as moved to the losses above, which are half of all.
    result.relative_error += rest > 2.0 * error ? error / rest : 16.0 * error;
    pieces.insert(pieces.begin(), below.begin(), below.end());
    return result;
  }

 private:
  SampledGaussian gaussian_;
};

/// Laplace noise of scale b on a number moved by 1: atoms at +-1/b and a density between.
class LaplaceProfile final : public LossProfile {
 public:
  explicit LaplaceProfile(double scale) : epsilon_(1.0 / scale) {}

  bool symmetric() const override { return true; }
  double period() const override { return 2.0 * epsilon_; }

  LossPieces pieces(const std::vector<double>& boundaries) const override {
    LossPieces result;
    result.relative_error = 1e-14 + 4.0 * kUnitRoundoff * epsilon_;
    result.loss_error = 8.0 * kUnitRoundoff * epsilon_;
    std::vector<LossPiece>& pieces = result.pieces;
    pieces.push_back({-epsilon_, -epsilon_, 0.5 * std::exp(-epsilon_), 0.0, 0.0});
    double from = -epsilon_;
    for (const double boundary : boundaries) {
      const double to = std::min(boundary, epsilon_);
      append_parts(from, to, pieces);
      from = std::max(from, to);
    }
    append_parts(from, epsilon_, pieces);
    pieces.push_back({epsilon_, epsilon_, 0.5, 0.0, 0.0});
    std::erase_if(pieces, [](const LossPiece& piece) { return !(piece.p > 0.0); });
    return result;
  }

 private:
  static constexpr double kWidest = 0.125;

  void append_parts(double from, double to, std::vector<LossPiece>& pieces) const {
    if (!(from < to)) return;
    const double parts = std::min(std::ceil((to - from) / kWidest), 4096.0);
    for (double part = 0; part < parts; ++part) {
      const double lower = from + (to - from) * (part / parts);
      const double upper = part + 1 == parts ? to : from + (to - from) * ((part + 1) / parts);
      if (lower < upper) append(lower, upper, pieces);
    }
  }

  /// dP / dloss = exp((loss - epsilon) / 2) / 4, integrated in closed form.
  void append(double lower, double upper, std::vector<LossPiece>& pieces) const {
    const double width = upper - lower;
    const double factor = 0.5 * std::exp(0.5 * (lower - epsilon_));
    const double half = std::expm1(0.5 * width);
    const double sinh_quarter = std::sinh(0.25 * width);
    pieces.push_back({lower, upper, factor * half, 4.0 * factor * sinh_quarter * sinh_quarter,
                      factor * half * half});
  }

  double epsilon_;
};

/// Finitely many outcomes.
class AtomsProfile final : public LossProfile {
 public:
  AtomsProfile(LossPieces pieces, bool symmetric, double period)
      : pieces_(std::move(pieces)), symmetric_(symmetric), period_(period) {
    std::erase_if(pieces_.pieces, [](const LossPiece& piece) { return !(piece.p > 0.0); });
    std::sort(pieces_.pieces.begin(), pieces_.pieces.end(),
              [](const LossPiece& a, const LossPiece& b) { return a.lower < b.lower; });
    double largest = 0.0;
    for (const LossPiece& piece : pieces_.pieces) {
      largest = std::max(largest, std::abs(piece.lower));
    }
    pieces_.loss_error += 8.0 * kUnitRoundoff * largest;
  }

  bool symmetric() const override { return symmetric_; }
  double period() const override { return period_; }
  LossPieces pieces(const std::vector<double>&) const override { return pieces_; }

 private:
  LossPieces pieces_;
  bool symmetric_;
  double period_;
};

void add_atom(LossPieces& pieces, double loss, double p) {
  pieces.pieces.push_back({loss, loss, p, 0.0, 0.0});
}

std::unique_ptr<LossProfile> discrete_gaussian_profile(const DiscreteGaussianMechanism& mechanism) {
  const double sigma = mechanism.standard_deviation;
  const double reach = std::ceil(kGaussianCut * 3.0 * sigma) + 1.0;
  // The normaliser and the masses are summed out to 42 sigma, where exp(-882) is below rounding.
  // In extended precision, of up to 2e6 terms: within 1.1e-13. An exponent is off by 2 units.
  const double variance2 = 2.0 * sigma * sigma;
  long double extended = 0.0L;
  for (double k = reach; k >= 1.0; --k) extended += 2.0 * std::exp(-k * k / variance2);
  const double sum = static_cast<double>(extended + 1.0L);
  LossPieces result;
  result.relative_error = 2e-13;
  const double shift = static_cast<double>(mechanism.sensitivity);
  const double last = std::min(reach, std::ceil(kGaussianCut * sigma) + 1.0);
  for (double k = -last; k <= last; ++k) {
    add_atom(result, (shift * shift - 2.0 * shift * k) / variance2,
             std::exp(-k * k / variance2) / sum);
  }
  // Pr[|k| > last] <= sum of a geometric series from its first term.
  const double first = std::exp(-(last + 1.0) * (last + 1.0) / variance2) / sum;
  result.truncated_p = 2.0 * first / -std::expm1(-(last + 1.0) / (sigma * sigma));
  return std::make_unique<AtomsProfile>(std::move(result), true, 2.0 * shift / variance2);
}

std::unique_ptr<LossProfile> randomized_response_profile(
    const RandomizedResponseMechanism& mechanism) {
  const double truth = mechanism.truth_probability;
  const double other = (1.0 - truth) / static_cast<double>(mechanism.categories - 1);
  LossPieces result;
  result.relative_error = 8.0 * kUnitRoundoff;
  const auto add = [&](double p, double q) {
    if (p > 0.0 && q > 0.0) add_atom(result, std::log(p / q), p);
    if (p > 0.0 && q == 0.0) result.infinite_p += p;
  };
  add(truth, other);
  add(other, truth);
  if (mechanism.categories > 2) {
    add_atom(result, 0.0, static_cast<double>(mechanism.categories - 2) * other);
  }
  result.loss_error = 8.0 * kUnitRoundoff;
  const double loss = truth > 0.0 && other > 0.0 ? std::abs(std::log(truth / other)) : 0.0;
  return std::make_unique<AtomsProfile>(std::move(result), true,
                                        mechanism.categories > 2 ? loss : 2.0 * loss);
}

/// The worst of all (epsilon, delta)-DP mechanisms (Kairouz, Oh and Viswanath, arXiv 1311.0776).
std::unique_ptr<LossProfile> approximate_dp_profile(const ApproximateDpMechanism& mechanism) {
  const double epsilon = mechanism.epsilon;
  const double rest = 1.0 - mechanism.delta;
  LossPieces result;
  result.relative_error = 8.0 * kUnitRoundoff;
  result.infinite_p = mechanism.delta;
  if (epsilon == 0.0) {
    add_atom(result, 0.0, rest);
  } else {
    add_atom(result, epsilon, rest / (1.0 + std::exp(-epsilon)));
    add_atom(result, -epsilon, rest / (1.0 + std::exp(epsilon)));
  }
  return std::make_unique<AtomsProfile>(std::move(result), true, 2.0 * epsilon);
}

std::unique_ptr<LossProfile> dominating_pair_profile(const DominatingPairMechanism& mechanism,
                                                     Direction direction) {
  const std::vector<double>& p = direction == Direction::kRemove ? mechanism.p : mechanism.q;
  const std::vector<double>& q = direction == Direction::kRemove ? mechanism.q : mechanism.p;
  const auto sum = [](std::vector<double> values) {
    std::sort(values.begin(), values.end());
    double total = 0.0;
    for (const double value : values) total += value;
    return total;
  };
  const double p_sum = sum(p);
  const double q_sum = sum(q);
  LossPieces result;
  result.relative_error = kUnitRoundoff * (4.0 + static_cast<double>(p.size()));
  result.infinite_error = 2.0 * result.relative_error;
  result.loss_error = 2.0 * result.relative_error;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0.0) continue;
    if (q[i] == 0.0) {
      result.infinite_p += p[i] / p_sum;
    } else {
      add_atom(result, std::log(p[i]) - std::log(q[i]) - std::log(p_sum / q_sum), p[i] / p_sum);
      result.loss_error =
          std::max(result.loss_error,
                   8.0 * kUnitRoundoff * (std::abs(std::log(p[i])) + std::abs(std::log(q[i]))) +
                       2.0 * result.relative_error);
    }
  }
  return std::make_unique<AtomsProfile>(std::move(result), false, 0.0);
}

void check_noise(const char* function, double noise_multiplier) {
  if (!(noise_multiplier >= kSmallestNoiseMultiplier)) {
    reject(function, "noise_multiplier", noise_multiplier,
           ">= 0.001 for a privacy loss distribution; the Renyi accountant takes any");
  }
}

}  // namespace

void check_loss_profile(const Mechanism& mechanism, const char* function) {
  std::visit(
      Overloaded{
          [&](const GaussianMechanism& m) { check_noise(function, m.noise_multiplier); },
          [&](const PoissonSampledGaussianMechanism& m) {
            check_noise(function, m.noise_multiplier);
          },
          [&](const TruncatedPoissonSampledGaussianMechanism& m) {
            check_noise(function, m.noise_multiplier);
          },
          [&](const WithoutReplacementSampledGaussianMechanism& m) {
            check_noise(function, m.noise_multiplier);
          },
          [&](const LaplaceMechanism& m) { check_noise(function, m.noise_multiplier); },
          [&](const DiscreteGaussianMechanism& m) {
            if (!(m.standard_deviation <= kLargestStandardDeviation)) {
              reject(function, "standard_deviation", m.standard_deviation,
                     "<= 4.7e4 for a privacy loss distribution; the Renyi accountant takes any");
            }
          },
          [](const RandomizedResponseMechanism&) {}, [](const ApproximateDpMechanism&) {},
          [](const DominatingPairMechanism&) {},
          [&](const auto&) {
            throw std::invalid_argument(std::string(function) +
                                        ": mechanism = " + describe(mechanism) +
                                        ", expected one with a known dominating pair; the Renyi "
                                        "accountant takes it");
          }},
      mechanism);
}

std::unique_ptr<LossProfile> loss_profile(const Mechanism& mechanism, Direction direction) {
  check_loss_profile(mechanism, "loss_profile");
  using Profile = std::unique_ptr<LossProfile>;
  const auto sampled = [&](double sampling_rate, double noise_multiplier) -> Profile {
    return std::make_unique<PoissonSampledGaussianProfile>(sampling_rate, noise_multiplier,
                                                           direction);
  };
  return std::visit(
      Overloaded{
          [&](const GaussianMechanism& m) { return sampled(1.0, m.noise_multiplier); },
          [&](const PoissonSampledGaussianMechanism& m) {
            return sampled(m.sampling_rate, m.noise_multiplier);
          },
          [&](const TruncatedPoissonSampledGaussianMechanism& m) {
            return sampled(m.sampling_rate, m.noise_multiplier);
          },
          [&](const WithoutReplacementSampledGaussianMechanism& m) -> Profile {
            if (m.sampling_rate == 1.0) return sampled(1.0, m.noise_multiplier);
            return std::make_unique<WithoutReplacementGaussianProfile>(m.sampling_rate,
                                                                       m.noise_multiplier);
          },
          [&](const LaplaceMechanism& m) -> Profile {
            return std::make_unique<LaplaceProfile>(m.noise_multiplier);
          },
          [&](const DiscreteGaussianMechanism& m) { return discrete_gaussian_profile(m); },
          [&](const RandomizedResponseMechanism& m) { return randomized_response_profile(m); },
          [&](const ApproximateDpMechanism& m) { return approximate_dp_profile(m); },
          [&](const DominatingPairMechanism& m) { return dominating_pair_profile(m, direction); },
          [](const auto&) -> Profile { return nullptr; }},  // refused above
      mechanism);
}

}  // namespace velum::dpsgd::pld
