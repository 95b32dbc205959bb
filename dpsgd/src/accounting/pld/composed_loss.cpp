#include "composed_loss.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cmath>
#include <complex>
#include <kissfft/kissfft.hh>
#include <limits>

namespace velum::dpsgd::pld {
namespace {

constexpr double kUnitRoundoff = std::numeric_limits<double>::epsilon() / 2;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Powers below exp(this) count as 0.
constexpr double kLogNegligible = -90.0;

using Complex = std::complex<double>;

/// Error of every output of an FFT of 2^t points, relative to the sum of the absolute values of its
/// inputs: every input reaches every output along one path of t butterflies, whose errors are eta
/// each, so (1 + eta)^t - 1; eta = mu + gamma_4 (sqrt 2 + mu), mu = error of the twiddle factors,
/// as in Higham, Accuracy and Stability of Numerical Algorithms (2nd edition), Theorem 24.2.
/// kissfft computes each factor from an angle below 2 pi with two roundings: mu <= (4 pi + 2) u.
/// Its butterflies of radix 4 take no more roundings than two of radix 2.
double transform_error(std::int64_t size) {
  const double t = static_cast<double>(std::bit_width(static_cast<std::uint64_t>(size)) - 1);
  const double mu = 15.0 * kUnitRoundoff;
  const double eta = mu + 4.0 * kUnitRoundoff / (1.0 - 4.0 * kUnitRoundoff) * (M_SQRT2 + mu);
  return std::expm1(t * std::log1p(eta));
}

/// Masses of one bound of one lattice, tilted.
struct Tilted {
  std::vector<double> mass;  // [grid], sums to 1
  double log_m = 0.0;        // log of sum P exp(theta spacing index)
  double mean = 0.0;         // of the index
  double variance = 0.0;
  double exponent = 0.0;  // largest |theta spacing index| of a mass that counts
};

Tilted tilt(const LossGrid& grid, const std::vector<double>& mass, double theta) {
  Tilted result;
  const std::size_t size = mass.size();
  result.mass.resize(size);
  const double rate = theta * grid.spacing;
  double largest = -kInfinity;
  for (std::size_t i = 0; i < size; ++i) {
    const double exponent = rate * static_cast<double>(grid.index[i]);
    if (mass[i] > 0.0) largest = std::max(largest, exponent + std::log(mass[i]));
  }
  // Relative to the largest term, in two factors: neither overflows when the other is small.
  double sum = 0.0;
  for (std::size_t i = 0; i < size; ++i) {
    if (!(mass[i] > 0.0)) continue;
    const double exponent = rate * static_cast<double>(grid.index[i]);
    const double value =
        std::exp(0.5 * (exponent - largest)) * mass[i] * std::exp(0.5 * (exponent - largest));
    result.mass[i] = value;
    sum += value;
    if (value > 1e-40) result.exponent = std::max(result.exponent, std::abs(exponent));
  }
  result.exponent += std::abs(largest);
  result.log_m = largest + std::log(sum);
  for (std::size_t i = 0; i < size; ++i) {
    result.mass[i] /= sum;
    result.mean += result.mass[i] * static_cast<double>(grid.index[i]);
  }
  for (std::size_t i = 0; i < size; ++i) {
    const double deviation = static_cast<double>(grid.index[i]) - result.mean;
    result.variance += result.mass[i] * deviation * deviation;
  }
  return result;
}

/// log of E exp(s (index - center)) under the tilted masses.
double log_moment(const LossGrid& grid, const Tilted& tilted, double s, double center) {
  double largest = -kInfinity;
  for (std::size_t i = 0; i < tilted.mass.size(); ++i) {
    if (tilted.mass[i] > 0.0) {
      largest = std::max(largest, s * (static_cast<double>(grid.index[i]) - center));
    }
  }
  double sum = 0.0;
  for (std::size_t i = 0; i < tilted.mass.size(); ++i) {
    if (tilted.mass[i] > 0.0) {
      sum += tilted.mass[i] * std::exp(s * (static_cast<double>(grid.index[i]) - center) - largest);
    }
  }
  return largest + std::log(sum);
}

/// Work as in `WorkBudget`.
constexpr double kWorkOfTurn = 2.0;       // one point at one frequency
constexpr double kWorkOfPower = 100.0;    // one frequency of one phase
constexpr double kWorkOfTilting = 500.0;  // one point of one lattice, with the moments of windows
constexpr double kWorkOfPlacing = 20.0;   // one point of the window

double work_of_transform(std::int64_t size) {
  return 2.0 * static_cast<double>(size) * std::log2(static_cast<double>(size));
}

struct TiltedPhase {
  const LossGrid* grid;
  std::int64_t count;
  Tilted upper;
  Tilted lower;
};

/// Chernoff: log of the mass at distance `reach` (in indices) or more above (sign 1) or below
/// (sign -1) the sum of the upper bound's means is at most count log E exp(s (..)) - |s| reach.
struct WindowSide {
  double reach = kInfinity;
  double s = 0.0;  // with sign
};

WindowSide window_side(const std::vector<TiltedPhase>& phases, double deviation, double sign,
                       double log_outside) {
  static constexpr std::array<double, 14> kRates = {0.02, 0.08, 0.25, 0.5,  1.0,  2.0,  3.0,
                                                    4.5,  6.0,  8.0,  10.0, 14.0, 20.0, 32.0};
  const auto side_at = [&](std::size_t i) {
    const double s = sign * kRates[i] / deviation;
    double log_bound = 0.0;
    for (const TiltedPhase& phase : phases) {
      log_bound += static_cast<double>(phase.count) *
                   log_moment(*phase.grid, phase.upper, s, phase.upper.mean);
    }
    return WindowSide{(log_bound - log_outside) / std::abs(s), s};
  };
  // The reach falls and then rises with s, because the log moment is convex.
  std::size_t best = kRates.size() / 2;
  WindowSide side = side_at(best);
  for (const int step : {1, -1}) {
    const std::size_t start = best;
    while (step > 0 ? best + 1 < kRates.size() : best > 0) {
      const WindowSide next = side_at(step > 0 ? best + 1 : best - 1);
      if (!(next.reach < side.reach)) break;
      side = next;
      best = step > 0 ? best + 1 : best - 1;
    }
    if (best != start) break;
  }
  return side;
}

double log_beyond(const std::vector<TiltedPhase>& phases, const WindowSide& side,
                  Tilted TiltedPhase::*bound) {
  double log_bound = 0.0;
  double rounding = 0.0;
  for (const TiltedPhase& phase : phases) {
    const double count = static_cast<double>(phase.count);
    log_bound += count * log_moment(*phase.grid, phase.*bound, side.s, phase.upper.mean);
    rounding += count * kUnitRoundoff * (static_cast<double>(phase.upper.mass.size()) + 64.0);
  }
  return log_bound - std::abs(side.s) * side.reach + rounding + 1e-9;
}

/// base^count, for |base| at most about 1.
Complex power(Complex base, std::int64_t count) {
  double re = base.real();
  double im = base.imag();
  double result_re = 1.0;
  double result_im = 0.0;
  while (true) {
    if (count & 1) {
      const double next = result_re * re - result_im * im;
      result_im = result_re * im + result_im * re;
      result_re = next;
    }
    count >>= 1;
    if (count == 0) break;
    const double next = (re - im) * (re + im);
    im = 2.0 * re * im;
    re = next;
  }
  return {result_re, result_im};
}

/// The transforms of all phases, raised to their counts and multiplied, with a bound on the error
/// of every element.
class Spectrum {
 public:
  explicit Spectrum(std::int64_t size)
      : size_(size),
        forward_(static_cast<std::size_t>(size), false),
        input_(static_cast<std::size_t>(size)),
        output_(static_cast<std::size_t>(size)),
        upper_(static_cast<std::size_t>(size / 2 + 1)),
        lower_(upper_),
        active_(size / 2 + 1) {}

  void multiply(const TiltedPhase& phase, std::int64_t center, WorkBudget& budget) {
    // Elements beyond `active_` are negligible already, whatever they are multiplied with.
    const double transform_work = work_of_transform(size_);
    const double direct_work =
        kWorkOfTurn * static_cast<double>(active_) * static_cast<double>(phase.upper.mass.size());
    budget.spend(std::min(direct_work, transform_work) +
                 kWorkOfPower * static_cast<double>(active_));
    if (direct_work < transform_work) {
      multiply_directly(phase, center);
    } else {
      multiply_by_transform(phase, center);
    }
    while (active_ > 1 &&
           !(upper_[static_cast<std::size_t>(active_ - 1)].log_bound > kLogNegligible) &&
           !(lower_[static_cast<std::size_t>(active_ - 1)].log_bound > kLogNegligible)) {
      --active_;
    }
  }

  struct Masses {
    std::vector<double> mass;  // [size], index 0 standing for the sum of the centers
    double error;              // l2
  };

  void invert(Masses& upper, Masses& lower) {
    const double upper_error = l2_error(upper_);
    const double lower_error = l2_error(lower_);
    double squares = 0.0;
    for (std::int64_t k = 0; k <= size_ / 2; ++k) {
      const Complex a = upper_[static_cast<std::size_t>(k)].value;
      const Complex b = lower_[static_cast<std::size_t>(k)].value;
      squares += 2.0 * (std::norm(a) + std::norm(b));
      output_[static_cast<std::size_t>(k)] = Complex(a.real() - b.imag(), a.imag() + b.real());
      if (k > 0 && 2 * k < size_) {
        output_[static_cast<std::size_t>(size_ - k)] =
            Complex(a.real() + b.imag(), -a.imag() + b.real());
      }
    }
    // Not `assign`: in kissfft 131 it turns the twiddle factors round but not the butterflies.
    const kissfft<double> inverse(static_cast<std::size_t>(size_), true);
    inverse.transform(output_.data(), input_.data());
    const double scale = 1.0 / static_cast<double>(size_);
    const std::size_t size = static_cast<std::size_t>(size_);
    upper.mass.resize(size);
    lower.mass.resize(size);
    for (std::size_t n = 0; n < size; ++n) {
      upper.mass[n] = input_[n].real() * scale;
      lower.mass[n] = input_[n].imag() * scale;
    }
    // Of the inverse transform, relative in l2 as in Higham's theorem.
    const double inverse_error = std::sqrt(squares * scale) * transform_error(size_);
    upper.error = upper_error + inverse_error;
    lower.error = lower_error + inverse_error;
  }

 private:
  /// Both real sequences go through one complex transform. Each sums to 1.
  void multiply_by_transform(const TiltedPhase& phase, std::int64_t center) {
    std::fill(input_.begin(), input_.end(), Complex(0.0));
    const std::int64_t mask = size_ - 1;
    for (std::size_t i = 0; i < phase.upper.mass.size(); ++i) {
      const std::int64_t position = (phase.grid->index[i] - center) & mask;
      input_[static_cast<std::size_t>(position)] +=
          Complex(phase.upper.mass[i], phase.lower.mass[i]);
    }
    forward_.transform(input_.data(), output_.data());
    // |up + i low| sums to at most 2; each of the two takes half of two errors.
    const double error = 2.0 * 1.001 * transform_error(size_);
    const double count = static_cast<double>(phase.count);
    for (std::int64_t k = 0; k < active_; ++k) {
      const Complex a = output_[static_cast<std::size_t>(k)];
      const Complex b = std::conj(output_[static_cast<std::size_t>((size_ - k) & mask)]);
      upper_[static_cast<std::size_t>(k)].multiply(0.5 * (a + b), phase.count, count, error);
      lower_[static_cast<std::size_t>(k)].multiply(
          Complex(0.5 * (a.imag() - b.imag()), -0.5 * (a.real() - b.real())), phase.count, count,
          error);
    }
  }

  /// The definition of the transform, for the few frequencies that still matter: the masses lie on
  /// few points. exp(-2 pi i j k / size) is computed anew for every `kTurns`-th k and turned by
  /// multiplication in between.
  void multiply_directly(const TiltedPhase& phase, std::int64_t center) {
    constexpr std::int64_t kTurns = 64;
    constexpr std::size_t kLanes = 4;
    const std::size_t points = phase.upper.mass.size();
    const std::size_t padded = (points + kLanes - 1) / kLanes * kLanes;
    const std::int64_t mask = size_ - 1;
    std::vector<double> up(padded);
    std::vector<double> low(padded);
    std::vector<double> re(padded);
    std::vector<double> im(padded);
    std::vector<double> turn_re(padded);
    std::vector<double> turn_im(padded);
    std::copy(phase.upper.mass.begin(), phase.upper.mass.end(), up.begin());
    std::copy(phase.lower.mass.begin(), phase.lower.mass.end(), low.begin());
    const double unit = -2.0 * M_PI / static_cast<double>(size_);
    const auto position = [&](std::size_t i) { return (phase.grid->index[i] - center) & mask; };
    for (std::size_t i = 0; i < points; ++i) {
      turn_re[i] = std::cos(unit * static_cast<double>(position(i)));
      turn_im[i] = std::sin(unit * static_cast<double>(position(i)));
    }
    // 20 u of the first angle and of each turn, 3 u of each product, and the sum of the points.
    const double error =
        kUnitRoundoff * (static_cast<double>(kTurns) * 24.0 + 32.0 + static_cast<double>(points));
    const double count = static_cast<double>(phase.count);
    for (std::int64_t k = 0; k < active_; ++k) {
      if (k % kTurns == 0) {
        for (std::size_t i = 0; i < points; ++i) {
          const double angle = unit * static_cast<double>((position(i) * k) & mask);
          re[i] = std::cos(angle);
          im[i] = std::sin(angle);
        }
      }
      double sums[4][kLanes] = {};
      for (std::size_t i = 0; i < padded; i += kLanes) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          const std::size_t j = i + lane;
          sums[0][lane] += up[j] * re[j];
          sums[1][lane] += up[j] * im[j];
          sums[2][lane] += low[j] * re[j];
          sums[3][lane] += low[j] * im[j];
          const double turned = re[j] * turn_re[j] - im[j] * turn_im[j];
          im[j] = re[j] * turn_im[j] + im[j] * turn_re[j];
          re[j] = turned;
        }
      }
      const auto sum = [](const double* lanes) {
        return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
      };
      upper_[static_cast<std::size_t>(k)].multiply(Complex(sum(sums[0]), sum(sums[1])), phase.count,
                                                   count, error);
      lower_[static_cast<std::size_t>(k)].multiply(Complex(sum(sums[2]), sum(sums[3])), phase.count,
                                                   count, error);
    }
  }

  /// One element of the product, with what bounds its error.
  struct Element {
    Complex value{1.0, 0.0};
    double log_bound = 0.0;  // of the absolute value, true or computed
    double error = 0.0;      // relative to exp(log_bound)

    void multiply(Complex factor, std::int64_t count, double times, double factor_error) {
      // An error e of a factor of absolute value at most a moves a^count by count e a^(count - 1)
      // at most. Powers by squaring: 4 u for each of `count` factors.
      const double bound = std::sqrt(std::norm(factor)) + 2.0 * factor_error;
      log_bound += times * std::log(bound);
      error += times * (factor_error / bound + 4.0 * kUnitRoundoff) + 4.0 * kUnitRoundoff;
      if (!(log_bound > kLogNegligible)) {
        value = Complex(0.0);
        error = 2.0;  // whatever the next factors do to the bound
        return;
      }
      const Complex raised = power(factor, count);
      value = Complex(value.real() * raised.real() - value.imag() * raised.imag(),
                      value.real() * raised.imag() + value.imag() * raised.real());
    }

    double absolute_error() const {
      return log_bound > kLogNegligible ? std::exp(log_bound) * std::min(error, 2.0)
                                        : 2.0 * std::exp(kLogNegligible);
    }
  };

  double l2_error(const std::vector<Element>& spectrum) const {
    double squares = 0.0;
    for (const Element& element : spectrum) {
      const double error = element.absolute_error();
      squares += 2.0 * error * error;
    }
    return std::sqrt(squares / static_cast<double>(size_));
  }

  std::int64_t size_;
  kissfft<double> forward_;
  std::vector<Complex> input_;
  std::vector<Complex> output_;
  std::vector<Element> upper_;  // [size / 2 + 1]: the rest is conjugate
  std::vector<Element> lower_;
  std::int64_t active_;
};

}  // namespace

ComposedLoss::ComposedLoss(const std::vector<LatticePhase>& phases, double theta, double overflow,
                           std::int64_t largest_size, WorkBudget& budget, double log_outside)
    : theta_(theta), overflow_(overflow), spacing_(phases.at(0).lattice->grid.spacing) {
  assert(theta >= 0.0);
  std::vector<TiltedPhase> tilted;
  tilted.reserve(phases.size());
  double variance = 0.0;  // in indices
  double finite_upper = 0.0;
  double finite_lower = 0.0;
  for (const LatticePhase& phase : phases) {
    const LossLattice& lattice = *phase.lattice;
    assert(lattice.grid.spacing == spacing_);
    const double count = static_cast<double>(phase.count);
    budget.spend(kWorkOfTilting * static_cast<double>(lattice.upper.size()));
    tilted.push_back({&lattice.grid, phase.count, tilt(lattice.grid, lattice.upper, theta),
                      tilt(lattice.grid, lattice.lower, theta)});
    const TiltedPhase& last = tilted.back();
    variance += count * last.upper.variance;
    offset_ += count * lattice.grid.offset;
    loss_error_ +=
        count * (lattice.loss_error + 4.0 * kUnitRoundoff * std::abs(lattice.grid.offset));
    finite_upper += count * std::log1p(-std::min(lattice.infinite_upper, 1.0));
    finite_lower += count * std::log1p(-std::min(lattice.infinite_lower, 1.0));
    for (const auto bound : {&ComposedLoss::upper_, &ComposedLoss::lower_}) {
      const Tilted& t = bound == &ComposedLoss::upper_ ? last.upper : last.lower;
      Bound& b = this->*bound;
      b.log_factor += count * t.log_m;
      // Of the tilted masses, their sum, its log, and the masses themselves.
      const double rounding =
          kUnitRoundoff * (4.0 * t.exponent + static_cast<double>(t.mass.size()) + 16.0);
      b.log_factor_error +=
          count * (2.0 * rounding - std::log1p(-std::min(lattice.relative_error, 0.9))) +
          4.0 * kUnitRoundoff * std::abs(count * t.log_m);
    }
  }
  upper_.infinite = -std::expm1(finite_upper) * (1.0 + 1e-12);
  lower_.infinite = -std::expm1(finite_lower) * (1.0 - 1e-12);

  const double index_deviation = std::max(std::sqrt(variance), 0.5);
  deviation_ = index_deviation * spacing_;
  const WindowSide above = window_side(tilted, index_deviation, 1.0, log_outside);
  const WindowSide below = window_side(tilted, index_deviation, -1.0, log_outside);
  const double needed = above.reach + below.reach + 4.0;
  if (!(needed <= static_cast<double>(largest_size))) throw WindowTooLarge{needed};
  const std::int64_t size =
      std::max<std::int64_t>(64, std::bit_ceil(static_cast<std::uint64_t>(needed)));
  for (const auto bound : {&ComposedLoss::upper_, &ComposedLoss::lower_}) {
    const auto side = bound == &ComposedLoss::upper_ ? &TiltedPhase::upper : &TiltedPhase::lower;
    (this->*bound).beyond =
        std::exp(log_beyond(tilted, above, side)) + std::exp(log_beyond(tilted, below, side));
  }

  // The phases that leave the fewest frequencies come first: the others then need only those.
  std::stable_sort(tilted.begin(), tilted.end(), [](const TiltedPhase& a, const TiltedPhase& b) {
    return static_cast<double>(a.count) * a.upper.variance >
           static_cast<double>(b.count) * b.upper.variance;
  });
  budget.spend(work_of_transform(size) + kWorkOfPlacing * static_cast<double>(size));
  Spectrum spectrum(size);
  double mean = 0.0;  // of the sum, relative to the sum of the centers
  double centers = 0.0;
  for (const TiltedPhase& phase : tilted) {
    const double center = std::nearbyint(phase.upper.mean);
    spectrum.multiply(phase, static_cast<std::int64_t>(center), budget);
    const double count = static_cast<double>(phase.count);
    mean += count * (phase.upper.mean - center);
    centers += count * center;
  }
  Spectrum::Masses circular_upper;
  Spectrum::Masses circular_lower;
  spectrum.invert(circular_upper, circular_lower);

  // The window begins `below.reach` under the mean; the spare points lie above.
  const std::int64_t first = static_cast<std::int64_t>(std::floor(mean - below.reach)) - 1;
  std::vector<double> mass(static_cast<std::size_t>(size));
  first_loss_ = offset_ + spacing_ * (centers + static_cast<double>(first));
  loss_error_ +=
      4.0 * kUnitRoundoff *
      (std::abs(offset_) + std::abs(spacing_ * centers) + spacing_ * static_cast<double>(size));
  for (const auto bound : {&ComposedLoss::upper_, &ComposedLoss::lower_}) {
    Bound& b = this->*bound;
    const Spectrum::Masses& circular =
        bound == &ComposedLoss::upper_ ? circular_upper : circular_lower;
    for (std::int64_t n = 0; n < size; ++n) {
      mass[static_cast<std::size_t>(n)] =
          std::max(0.0, circular.mass[static_cast<std::size_t>((first + n) & (size - 1))]);
    }
    b.transform_error = circular.error;
    accumulate(b, mass);
  }
}

void ComposedLoss::accumulate(Bound& bound, const std::vector<double>& mass) const {
  const double decay = std::exp(-theta_ * spacing_);
  const double loss_decay = std::exp(-spacing_);
  const double loss_gain = -std::expm1(-spacing_);
  bound.tail.resize(mass.size());
  bound.weighted.resize(mass.size());
  double tail = 0.0;
  double weighted = 0.0;
  for (std::size_t n = mass.size(); n-- > 0;) {
    weighted = decay * (loss_decay * weighted + loss_gain * tail);
    tail = decay * tail + mass[n];
    bound.tail[n] = tail;
    bound.weighted[n] = weighted;
  }
}

double ComposedLoss::tilted_delta(const Bound& bound, double epsilon) const {
  const double position = (epsilon - first_loss_) / spacing_;
  if (position > static_cast<double>(bound.tail.size() - 1)) return 0.0;
  const std::int64_t n = position <= 0.0 ? 0 : static_cast<std::int64_t>(std::ceil(position));
  const double rest = std::max(0.0, loss(n) - epsilon);
  const std::size_t i = static_cast<std::size_t>(n);
  return std::exp(-theta_ * rest) *
         (std::exp(-rest) * bound.weighted[i] - std::expm1(-rest) * bound.tail[i]);
}

/// Of exp(-theta x) (1 - exp(-x)) over x >= 0.
double ComposedLoss::largest_weight() const {
  return theta_ == 0.0 ? 1.0 : std::exp(-theta_ * std::log1p(1.0 / theta_)) / (1.0 + theta_);
}

/// l2 norm of the same over a lattice of the spacing: a function that rises and falls once sums to
/// at most its integral over the spacing, plus its maximum.
double ComposedLoss::weight_norm() const {
  const double two = 2.0 * theta_;
  const double integral = theta_ == 0.0 ? kInfinity : 2.0 / (two * (two + 1.0) * (two + 2.0));
  const double largest = largest_weight();
  return std::sqrt(
      std::min(integral / spacing_ + largest * largest, static_cast<double>(upper_.tail.size())));
}

double ComposedLoss::delta_upper(double epsilon) const {
  const double at = epsilon - loss_error_;
  const double log_factor = upper_.log_factor - theta_ * (at - offset_);
  const double error =
      upper_.log_factor_error +
      8.0 * kUnitRoundoff *
          (std::abs(upper_.log_factor) + theta_ * (std::abs(at) + std::abs(offset_)) + 1.0) +
      8.0 * kUnitRoundoff * static_cast<double>(size());
  const double tilted = tilted_delta(upper_, at) + upper_.transform_error * weight_norm() +
                        upper_.beyond * largest_weight();
  const double finite = std::exp(log_factor + error + std::log(tilted));
  return std::min(1.0, finite + upper_.infinite + std::numeric_limits<double>::min() +
                           (overflow_ > 0.0 ? overflow_ * (1.0 + std::exp(epsilon)) : 0.0));
}

double ComposedLoss::rounding_share(double epsilon) const {
  const double rounding = upper_.transform_error * weight_norm();
  return rounding / (rounding + tilted_delta(upper_, epsilon));
}

double ComposedLoss::delta_lower(double epsilon) const {
  const double at = epsilon + loss_error_;
  const double log_factor = lower_.log_factor - theta_ * (at - offset_);
  const double error =
      lower_.log_factor_error +
      8.0 * kUnitRoundoff *
          (std::abs(lower_.log_factor) + theta_ * (std::abs(at) + std::abs(offset_)) + 1.0) +
      8.0 * kUnitRoundoff * static_cast<double>(size());
  const double tilted = tilted_delta(lower_, at) - lower_.transform_error * weight_norm() -
                        lower_.beyond * largest_weight();
  const double finite = tilted > 0.0 ? std::exp(log_factor - error + std::log(tilted)) : 0.0;
  const double cut = overflow_ > 0.0 ? overflow_ * (1.0 + std::exp(epsilon)) : 0.0;
  return std::clamp(finite + lower_.infinite - cut, 0.0, 1.0);
}

double ComposedLoss::epsilon_upper(double delta) const {
  double low = std::max(0.0, first_loss_);
  if (delta_upper(low) <= delta) return low;
  double high = std::max(0.0, loss(size() - 1));
  if (overflow_ > 0.0) {
    // Delta falls and then rises with epsilon: look for the first point where it is low enough.
    const double last = high;
    const double step = std::max(spacing_, (last - low) / 4096.0);
    for (high = low; !(delta_upper(high) <= delta);) {
      if (high >= last) return kInfinity;
      low = high;
      high = std::min(last, high + step);
    }
  }
  if (!(delta_upper(high) <= delta)) return kInfinity;
  // delta_upper(low) > delta >= delta_upper(high)
  for (int i = 0; i < 200 && high - low > 1e-13 * high; ++i) {
    const double middle = low + 0.5 * (high - low);
    (delta_upper(middle) <= delta ? high : low) = middle;
  }
  return high;
}

double ComposedLoss::epsilon_lower(double delta) const {
  // Far below the losses of interest the error terms exceed what the tilt has left: search from
  // above for the first point whose bound is proved.
  const double last = std::max(0.0, first_loss_);
  double high = std::max(0.0, loss(size() - 1));
  if (delta_lower(high) > delta) return high;
  const double step = std::max(spacing_, (high - last) / 4096.0);
  double low = high;
  while (!(delta_lower(low) > delta)) {
    if (low <= last) return 0.0;
    high = low;
    low = std::max(last, low - step);
  }
  for (int i = 0; i < 200 && high - low > 1e-13 * high; ++i) {
    const double middle = low + 0.5 * (high - low);
    (delta_lower(middle) > delta ? low : high) = middle;
  }
  return low;
}

}  // namespace velum::dpsgd::pld
