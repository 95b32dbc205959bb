#include "velum/dpsgd/accounting/privacy_loss_distribution.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "accounting/range_check.h"
#include "composed_loss.h"
#include "loss_lattice.h"
#include "loss_profile.h"

namespace velum::dpsgd {
namespace {

using pld::ComposedLoss;
using pld::Direction;
using pld::LossLattice;
using pld::LossPiece;
using pld::LossPieces;
using pld::LossProfile;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kMostRefinements = 12;

/// Steps of the grid far out are at least this part of the distance: 10^4 points, and an error of
/// 10^-6 of the variance.
constexpr double kSmallestGrowth = 2e-4;

/// Lattice points are at least this part of the largest loss apart, so that their losses differ in
/// floating point and their numbers fit into 64 bits.
constexpr double kFinestSpacing = 1e-12;

/// Operations that one question may take: this many for the lattices of the releases and so many
/// for each point of the largest lattice. Together about a second at 2^20.
constexpr double kWorkOfLattices = 3e8;
constexpr double kWorkPerPoint = 500.0;

/// Every so many different mechanisms allow as much again, four times at most.
constexpr double kMechanismsPerWork = 250.0;

/// Operations for each point of the lattice of one release.
constexpr double kWorkOfLattice = 1500.0;

/// This part of what is left may be spent on one try while a direction has no bounds at all.
constexpr double kPartForBounds = 0.3;

constexpr double kLargestGrowth = 0.25;

/// Truncated tails may take this part of the relative width of delta.
constexpr double kTruncated = 0.03;

/// A direction is tilted at most so much more than the one before it: if that is not enough, it is
/// far from being the worse one.
constexpr double kThetaOfOther = 4.0;

/// Below it, delta is only bounded from above.
constexpr double kSmallestDelta = 1e-18;

/// What is composed: every distinct mechanism once, in an order of its own.
struct Release {
  Mechanism mechanism;
  std::int64_t count;
};

/// A total order on mechanisms.
std::vector<double> sort_key(const Mechanism& mechanism) {
  std::vector<double> key{static_cast<double>(mechanism.index())};
  const auto add = [&](auto... values) { (key.push_back(static_cast<double>(values)), ...); };
  std::visit(
      Overloaded{
          [&](const GaussianMechanism& m) { add(m.noise_multiplier); },
          [&](const PoissonSampledGaussianMechanism& m) {
            add(m.sampling_rate, m.noise_multiplier);
          },
          [&](const TruncatedPoissonSampledGaussianMechanism& m) {
            add(m.sampling_rate, m.noise_multiplier, m.dataset_size, m.largest_batch_size);
          },
          [&](const WithoutReplacementSampledGaussianMechanism& m) {
            add(m.sampling_rate, m.noise_multiplier);
          },
          [&](const LaplaceMechanism& m) { add(m.noise_multiplier); },
          [&](const DiscreteGaussianMechanism& m) { add(m.standard_deviation, m.sensitivity); },
          [&](const SkellamMechanism& m) { add(m.variance, m.l1_sensitivity, m.l2_sensitivity); },
          [&](const RandomizedResponseMechanism& m) { add(m.categories, m.truth_probability); },
          [&](const ApproximateDpMechanism& m) { add(m.epsilon, m.delta); },
          [&](const ZeroConcentratedMechanism& m) { add(m.rho); },
          [&](const DominatingPairMechanism& m) {
            key.insert(key.end(), m.p.begin(), m.p.end());
            key.insert(key.end(), m.q.begin(), m.q.end());
          }},
      mechanism);
  return key;
}

/// Sampling with rate 1 is none.
Mechanism without_full_sampling(const Mechanism& mechanism) {
  if (const auto* poisson = std::get_if<PoissonSampledGaussianMechanism>(&mechanism)) {
    if (poisson->sampling_rate == 1.0) return GaussianMechanism{poisson->noise_multiplier};
  }
  if (const auto* fixed = std::get_if<WithoutReplacementSampledGaussianMechanism>(&mechanism)) {
    if (fixed->sampling_rate == 1.0) return GaussianMechanism{fixed->noise_multiplier};
  }
  return mechanism;
}

/// Equal mechanisms together and all unsampled Gaussians as one, whose 1 / sigma^2 is the sum.
/// A release that reads nothing is left out.
std::vector<Release> canonical(const Composition& composition) {
  std::vector<Release> releases;
  for (const Phase& phase : composition.phases()) {
    if (reads_nothing(phase.mechanism)) continue;
    releases.push_back({without_full_sampling(phase.mechanism), phase.count});
  }
  std::vector<std::pair<std::vector<double>, std::size_t>> order;
  for (std::size_t i = 0; i < releases.size(); ++i) {
    order.emplace_back(sort_key(releases[i].mechanism), i);
  }
  std::sort(order.begin(), order.end());
  std::vector<Release> merged;
  const std::vector<double>* last_key = nullptr;
  for (const auto& [key, i] : order) {
    if (last_key != nullptr && *last_key == key) {
      if (merged.back().count > std::numeric_limits<std::int64_t>::max() - releases[i].count) {
        throw std::overflow_error("privacy loss distribution: more than 2^63 - 1 equal releases");
      }
      merged.back().count += releases[i].count;
    } else {
      merged.push_back(releases[i]);
    }
    last_key = &key;
  }
  long double squared_mu = 0.0L;  // off by less than a unit of a double
  std::vector<Release> others;
  for (const Release& release : merged) {
    if (const auto* gaussian = std::get_if<GaussianMechanism>(&release.mechanism)) {
      const long double sigma = gaussian->noise_multiplier;
      squared_mu += static_cast<long double>(release.count) / sigma / sigma;
    } else {
      others.push_back(release);
    }
  }
  if (squared_mu > 0.0L) {
    // As many equal releases as it takes for each to have noise that can be evaluated.
    const long double least = 1.0L / pld::kSmallestNoiseMultiplier / pld::kSmallestNoiseMultiplier;
    std::int64_t count = 1;
    if (squared_mu > least && squared_mu < 0x1p62L) {
      count = static_cast<std::int64_t>(std::ceil(squared_mu / least * (1.0L + 1e-12L)));
    }
    const auto sigma = static_cast<double>(std::sqrt(static_cast<long double>(count) / squared_mu));
    others.push_back({GaussianMechanism{sigma}, count});
  }
  return others;
}

bool without_noise(const Mechanism& mechanism) {
  return std::visit(
      Overloaded{[](const GaussianMechanism& m) { return m.noise_multiplier == 0.0; },
                 [](const PoissonSampledGaussianMechanism& m) { return m.noise_multiplier == 0.0; },
                 [](const TruncatedPoissonSampledGaussianMechanism& m) {
                   return m.noise_multiplier == 0.0;
                 },
                 [](const WithoutReplacementSampledGaussianMechanism& m) {
                   return m.noise_multiplier == 0.0;
                 },
                 [](const LaplaceMechanism& m) { return m.noise_multiplier == 0.0; },
                 [](const DiscreteGaussianMechanism& m) { return m.standard_deviation == 0.0; },
                 [](const auto&) { return false; }},
      mechanism);
}

void check_all(const char* function, const Composition& composition,
               const std::vector<Release>& releases) {
  const Neighbouring neighbouring = composition.neighbouring();
  for (const Phase& phase : composition.phases()) {
    check_dominating_pair(phase.mechanism, neighbouring, function);
  }
  for (const Release& release : releases) {
    check_dominating_pair(release.mechanism, neighbouring, function);
  }
}

/// Whether (q, p) is (p, q) with its outcomes in another order.
bool same_in_both_orders(const DominatingPairMechanism& pair) {
  std::vector<std::pair<double, double>> one;
  std::vector<std::pair<double, double>> other;
  for (std::size_t i = 0; i < pair.p.size(); ++i) {
    one.emplace_back(pair.p[i], pair.q[i]);
    other.emplace_back(pair.q[i], pair.p[i]);
  }
  std::sort(one.begin(), one.end());
  std::sort(other.begin(), other.end());
  return one == other;
}

/// A fast sketch of the composed loss, good enough to choose a tilt and a lattice with.
struct Cumulants {
  double value;     // log E exp(theta L)
  double mean;      // of the tilted loss
  double variance;  // of the tilted loss
};

/// Saddle point estimate of log(delta) at the tilted mean (an estimate: it decides nothing but
/// where to look).
double log_delta(const Cumulants& c, double theta) {
  return c.value - theta * c.mean - std::log1p(theta * std::sqrt(2.0 * M_PI * c.variance)) -
         std::log1p(theta);
}

/// All releases in one direction.
class OneDirection {
 public:
  OneDirection(const std::vector<Release>& releases, Direction direction) {
    for (const Release& release : releases) {
      Part part;
      part.profile = pld::loss_profile(release.mechanism, direction);
      part.outline = part.profile->pieces({});
      part.count = release.count;
      symmetric_ = symmetric_ && part.profile->symmetric();
      log_finite_ +=
          static_cast<double>(part.count) * std::log1p(-std::min(part.outline.infinite_p, 1.0));
      infinite_error_ = std::max(infinite_error_, part.outline.infinite_error + 1e-11);
      count_ += static_cast<double>(part.count);
      const bool bounded = part.outline.infinite_p == 0.0 && part.outline.truncated_p == 0.0;
      const double largest = bounded && !part.outline.pieces.empty()
                                 ? part.outline.pieces.back().upper + part.outline.loss_error
                                 : kInfinity;
      largest_loss_ +=
          part.outline.infinite_p == 0.0
              ? static_cast<double>(part.count) * std::min(largest, part.profile->largest_loss())
              : kInfinity;
      parts_.push_back(std::move(part));
    }
    summarise();
  }

  /// Gives up the largest losses, of `mass` altogether. They would not matter to delta but, tilted,
  /// to everything else.
  void truncate(double mass) {
    for (Part& part : parts_) {
      double left = mass / (static_cast<double>(parts_.size()) * static_cast<double>(part.count));
      std::vector<LossPiece>& pieces = part.outline.pieces;
      while (pieces.size() > 1 && pieces.back().p <= left) {
        left -= pieces.back().p;
        pieces.pop_back();
      }
    }
    summarise();
  }

  bool symmetric() const { return symmetric_; }
  bool empty() const {  // all mass at infinity
    return std::any_of(parts_.begin(), parts_.end(),
                       [](const Part& part) { return part.outline.pieces.empty(); });
  }
  double count() const { return count_; }
  /// No loss of all releases is larger.
  double largest_loss() const { return std::max(0.0, largest_loss_ * (1.0 + 1e-12)); }
  /// Largest absolute loss of any one release.
  double reach() const { return reach_; }
  /// Probability that some release has an infinite loss.
  double infinite() const { return -std::expm1(log_finite_); }
  /// Relative.
  double infinite_error() const { return infinite_error_; }

  Cumulants cumulants(double theta) const {
    Cumulants sum{0.0, 0.0, 0.0};
    for (const Part& part : parts_) {
      double largest = -kInfinity;
      for (std::size_t i = 0; i < part.loss.size(); ++i) {
        largest = std::max(largest, theta * part.loss[i] + part.log_p[i]);
      }
      double mass = 0.0;
      double first = 0.0;
      double second = 0.0;
      for (std::size_t i = 0; i < part.loss.size(); ++i) {
        const double weight = std::exp(theta * part.loss[i] + part.log_p[i] - largest);
        mass += weight;
        first += weight * part.loss[i];
        second += weight * part.loss[i] * part.loss[i];
      }
      const double count = static_cast<double>(part.count);
      const double mean = first / mass;
      sum.value += count * (largest + std::log(mass));
      sum.mean += count * mean;
      sum.variance += count * std::max(0.0, second / mass - mean * mean);
    }
    return sum;
  }

  /// Tilt at which the saddle point estimate of delta is the one asked for.
  double theta_at_delta(double delta) const {
    return solve(
        [&](const Cumulants& c, double theta) { return log_delta(c, theta) > std::log(delta); });
  }

  /// Tilt whose mean loss is epsilon; 0 if the mean is above it without any.
  double theta_at_epsilon(double epsilon) const {
    if (cumulants(0.0).mean >= epsilon) return 0.0;
    return solve([&](const Cumulants& c, double) { return c.mean < epsilon; });
  }

  /// Where a little less tilt makes the distribution much narrower, its mass is on its way to a
  /// far tail: that smaller theta.
  double narrower(double theta) const {
    double variance = cumulants(theta).variance;
    for (int i = 0; i < 12; ++i) {
      const double smaller = cumulants(0.5 * theta).variance;
      if (!(variance > 4.0 * smaller)) break;
      theta *= 0.5;
      variance = smaller;
    }
    return theta;
  }

  ComposedLoss compose(double theta, double spacing, double growth, double overflow,
                       std::int64_t largest, pld::WorkBudget& budget) const {
    const double period = parts_.size() == 1 ? parts_.front().profile->period() : 0.0;
    // A lattice that is coarser than the period meets no atoms by being a part of it.
    if (spacing < period) spacing = period / std::ceil(period / spacing);
    std::vector<LossLattice> lattices;
    lattices.reserve(parts_.size());
    std::vector<pld::LatticePhase> phases;
    for (const Part& part : parts_) {
      lattices.push_back(pld::loss_lattice(*part.profile, part.outline, spacing, growth));
      budget.spend(kWorkOfLattice * static_cast<double>(lattices.back().upper.size()));
      phases.push_back({&lattices.back(), part.count});
    }
    return ComposedLoss(phases, theta, overflow, largest, budget);
  }

 private:
  void summarise() {
    reach_ = 1e-9;
    for (Part& part : parts_) {
      part.loss.clear();
      part.log_p.clear();
      for (const LossPiece& piece : part.outline.pieces) {
        part.log_p.push_back(std::log(piece.p));
        part.loss.push_back(piece.lower - std::log1p(-std::min(piece.excess / piece.p, 0.999)));
        reach_ = std::max({reach_, std::abs(piece.lower), std::abs(piece.upper)});
      }
    }
    if (!empty()) largest_theta_ = 50.0 / std::sqrt(std::max(cumulants(0.0).variance, 1e-280));
  }

  struct Part {
    std::unique_ptr<LossProfile> profile;
    LossPieces outline;
    std::int64_t count;
    std::vector<double> loss;   // [outline pieces]
    std::vector<double> log_p;  // [outline pieces]
  };

  /// Largest theta, to about a percent, at which `below` holds.
  template <typename Below>
  double solve(const Below& below) const {
    double high = largest_theta_;
    double low = 1e-9 * high;
    while (high / low > 1.01) {
      const double middle = std::sqrt(low * high);
      (below(cumulants(middle), middle) ? low : high) = middle;
    }
    return low;
  }

  std::vector<Part> parts_;
  bool symmetric_ = true;
  double count_ = 0.0;
  double largest_loss_ = 0.0;
  double reach_ = 1e-9;
  double largest_theta_ = 0.0;
  double log_finite_ = 0.0;
  double infinite_error_ = 0.0;
};

struct Work {
  const OneDirection* direction;
  double best_theta;  // for rounding; `theta` may be smaller for a narrower window
  double theta;
  double spacing;
  double growth;
  bool changed = true;
  bool limited = false;  // by the largest lattice or the work
  bool known = false;    // some bounds were found
  double reached_spacing = kInfinity;
  double rounding = 0.0;
  CertifiedInterval interval{0.0, kInfinity};
};

void check_options(const char* function, const PldOptions& options) {
  if (!(options.relative_width > 0.0 && options.relative_width < 1.0)) {
    reject(function, "relative_width", options.relative_width, "in (0, 1)");
  }
  if (!(options.absolute_width >= 0.0)) {
    reject(function, "absolute_width", options.absolute_width, ">= 0");
  }
  if (options.largest_lattice < (1 << 10) || options.largest_lattice > (1 << 26)) {
    reject(function, "largest_lattice", options.largest_lattice, "in 2^10..2^26");
  }
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

/// The direction that is computed second is rarely the worse one: a coarse look comes first.
void look_coarsely(std::vector<Work>& work) {
  for (std::size_t i = 1; i < work.size(); ++i) {
    work[i].spacing *= 3.0;
    work[i].growth = std::min(2.0 * work[i].growth, kLargestGrowth);
  }
}

/// One look at a direction, on a lattice as fine as its spacing says and the limits allow.
template <typename Evaluate, typename EpsilonOf>
void look(Work& part, double overflow, const PldOptions& options, pld::WorkBudget& budget,
          const Evaluate& evaluate, const EpsilonOf& epsilon_of) {
  for (int tries = 0; tries < kMostRefinements; ++tries) {
    const double allowance = part.known ? budget.left() : kPartForBounds * budget.left();
    pld::WorkBudget attempt(allowance);
    std::optional<double> coarser;  // factor of the spacing
    try {
      const ComposedLoss loss = part.direction->compose(part.theta, part.spacing, part.growth,
                                                        overflow, options.largest_lattice, attempt);
      const CertifiedInterval found = evaluate(loss);
      part.rounding = loss.rounding_share(epsilon_of(found));
      part.interval = {std::max(part.interval.lower, found.lower),
                       std::min(part.interval.upper, found.upper)};
      part.limited = false;
      part.known = true;
      part.reached_spacing = part.spacing;
    } catch (const pld::WindowTooLarge& window) {
      coarser = 1.02 * window.needed / static_cast<double>(options.largest_lattice);
    } catch (const pld::WorkBudget::Exhausted&) {
      coarser = part.known ? kInfinity : 8.0;
      part.growth = std::min(4.0 * part.growth, kLargestGrowth);
    }
    budget.charge(allowance - attempt.left());
    if (!coarser) return;
    if (!std::isfinite(part.spacing * *coarser)) break;
    part.spacing *= *coarser;
    if (part.spacing > 0.9 * part.reached_spacing) break;
  }
  part.limited = true;
}

[[noreturn]] void refuse(const char* function, const PldOptions& options,
                         const CertifiedInterval& reached) {
  const std::string asked = std::string(function) +
                            ": with largest_lattice = " + std::to_string(options.largest_lattice) +
                            " the value is known to lie in [" + number(reached.lower) + ", " +
                            number(reached.upper) +
                            "], relative_width = " + number(options.relative_width) +
                            " was asked for; allow a larger lattice";
  if (!std::isfinite(reached.upper)) throw AccuracyNotReached(asked + ", or accept_wider", reached);
  throw AccuracyNotReached(asked + ", a width of " +
                               number((reached.upper - reached.lower) / reached.upper) +
                               ", or accept_wider",
                           reached);
}

/// Refines until the worse of all directions is known as exactly as asked.
template <typename Evaluate, typename EpsilonOf>
CertifiedInterval refine(const char* function, std::vector<Work> work, double overflow,
                         double absolute_width, int most_refinements, const PldOptions& options,
                         pld::WorkBudget& budget, const Evaluate& evaluate,
                         const EpsilonOf& epsilon_of) {
  look_coarsely(work);
  for (int round = 0;; ++round) {
    CertifiedInterval worst{0.0, 0.0};
    for (Work& part : work) {
      if (part.changed && part.interval.upper > worst.lower) {
        look(part, overflow, options, budget, evaluate, epsilon_of);
      }
      worst = {std::max(worst.lower, part.interval.lower),
               std::max(worst.upper, part.interval.upper)};
    }
    const bool finite = std::isfinite(worst.upper);
    const double allowed =
        std::max(options.relative_width * (finite ? worst.upper : worst.lower), absolute_width);
    if (worst.upper == worst.lower || (finite && worst.upper - worst.lower <= allowed)) {
      return worst;
    }
    bool more = false;
    for (Work& part : work) {
      // A direction that is surely not the worse one needs no more work.
      const double excess = (part.interval.upper - worst.lower) / allowed;
      part.changed = excess > 1.0;
      if (!part.changed) continue;
      if (part.rounding > 0.1 * options.relative_width && part.theta < part.best_theta) {
        part.theta = std::min(part.best_theta, 2.0 * part.theta);
        part.reached_spacing = kInfinity;
      } else if (!part.limited) {
        const double factor =
            std::isfinite(excess) ? std::clamp(std::sqrt(0.6 / excess), 0.125, 0.75) : 0.25;
        const double spacing =
            std::max(factor * part.spacing, kFinestSpacing * part.direction->reach());
        const double growth = std::max(factor * part.growth, kSmallestGrowth);
        part.changed = spacing < part.spacing || growth < part.growth;
        part.spacing = std::min(spacing, part.spacing);
        part.growth = std::min(growth, part.growth);
      } else {
        part.changed = false;
      }
      more = more || part.changed;
    }
    if (!more || round == most_refinements || budget.left() == 0.0) {
      if (options.accept_wider) return worst;
      refuse(function, options, worst);
    }
  }
}

/// Sum over all releases of count * Pr[batch overflow].
double overflow_of(const std::vector<Release>& releases) {
  double sum = 0.0;
  for (const Release& release : releases) {
    if (const auto* m = std::get_if<TruncatedPoissonSampledGaussianMechanism>(&release.mechanism)) {
      sum += static_cast<double>(release.count) *
             batch_overflow_probability(m->dataset_size, m->sampling_rate, m->largest_batch_size);
    }
  }
  return sum * (1.0 + 1e-12);
}

std::vector<OneDirection> directions(const std::vector<Release>& releases) {
  std::vector<OneDirection> result;
  result.emplace_back(releases, Direction::kRemove);
  if (!result.front().symmetric()) result.emplace_back(releases, Direction::kAdd);
  return result;
}

/// Neither coarser than the distribution nor finer than a double can tell.
double sensible_spacing(double spacing, const OneDirection& direction, const Cumulants& at,
                        double theta) {
  const double deviation = std::sqrt(at.variance);
  const double finest = 1e-9 * direction.reach();
  return std::clamp(spacing, finest, std::max({0.25 * deviation, 0.25 / (theta + 1.0), finest}));
}

double most_work(const PldOptions& options, std::size_t mechanisms) {
  return (kWorkOfLattices + kWorkPerPoint * static_cast<double>(options.largest_lattice)) *
         (1.0 + std::min(static_cast<double>(mechanisms) / kMechanismsPerWork, 4.0));
}

double first_growth(const PldOptions& options) {
  return std::clamp(std::sqrt(0.8 * options.relative_width), 1e-4, kLargestGrowth);
}

}  // namespace

void check_dominating_pair(const Mechanism& mechanism, Neighbouring neighbouring,
                           const char* function) {
  if (reads_nothing(mechanism) || without_noise(mechanism)) return;
  const auto* pair = std::get_if<DominatingPairMechanism>(&mechanism);
  if (pair != nullptr && neighbouring == Neighbouring::kReplaceOne && !same_in_both_orders(*pair)) {
    throw std::invalid_argument(
        std::string(function) + ": mechanism = " + describe(mechanism) +
        ", expected under replace-one a pair that is the same in both orders: any two releases may "
        "have different ones; the Renyi accountant takes it");
  }
  pld::check_loss_profile(mechanism, function);
}

CertifiedInterval pld_epsilon(const Composition& composition, double delta,
                              const PldOptions& options) {
  check_delta("pld_epsilon", delta);
  check_options("pld_epsilon", options);
  const std::vector<Release> releases = canonical(composition);
  if (releases.empty()) return {0.0, 0.0};
  check_all("pld_epsilon", composition, releases);
  for (const Release& release : releases) {
    // A sample that is rarely drawn may fit into delta.
    if (without_noise(release.mechanism)) {
      return {sampling_rate(release.mechanism) < 1.0 ? 0.0 : kInfinity, kInfinity};
    }
  }
  const double overflow = overflow_of(releases);
  std::vector<OneDirection> all = directions(releases);
  std::vector<Work> work;
  for (OneDirection& direction : all) {
    const double infinite_error = direction.infinite_error();
    if (direction.empty() || direction.infinite() * (1.0 + infinite_error) > delta) {
      const bool surely =
          direction.empty() || direction.infinite() * (1.0 - infinite_error) > delta;
      return {surely && overflow == 0.0 ? kInfinity : 0.0, kInfinity};
    }
    const double finite = std::max(delta - direction.infinite() - 2.0 * overflow, 1e-3 * delta);
    direction.truncate(kTruncated * options.relative_width * finite);
    double theta = direction.theta_at_delta(finite);
    if (!work.empty()) theta = std::min(theta, kThetaOfOther * work.front().best_theta);
    const Cumulants at = direction.cumulants(theta);
    const double epsilon =
        std::max({at.mean, options.absolute_width / options.relative_width, 1e-12});
    // Without cut batches, delta is 0 at the largest loss of all.
    const double largest = overflow > 0.0 ? kInfinity : direction.largest_loss();
    // Splitting and fusing together move epsilon by about count (theta + 1) spacing^2 / 8.
    const double spacing =
        std::sqrt(4.0 * options.relative_width * epsilon / (direction.count() * (theta + 1.0)));
    work.push_back({.direction = &direction,
                    .best_theta = theta,
                    .theta = direction.narrower(theta),
                    .spacing = sensible_spacing(spacing, direction, at, theta),
                    .growth = first_growth(options),
                    .interval = {0.0, largest}});
  }
  // Cut batches cost at least 2 overflow, and more at every epsilon above 0: delta may be out of
  // reach.
  const bool unreachable =
      overflow > 0.0 && 2.0 * overflow + work.front().direction->infinite() >= delta;
  pld::WorkBudget budget(most_work(options, releases.size()));
  try {
    return refine(
        "pld_epsilon", std::move(work), overflow, options.absolute_width,
        unreachable ? 0 : kMostRefinements, options, budget,
        [&](const ComposedLoss& loss) {
          return CertifiedInterval{loss.epsilon_lower(delta), loss.epsilon_upper(delta)};
        },
        [](const CertifiedInterval& found) {
          return std::isfinite(found.upper) ? found.upper : found.lower;
        });
  } catch (const AccuracyNotReached& error) {
    if (overflow > 0.0 && error.reached().upper == kInfinity) return error.reached();
    throw;
  }
}

CertifiedInterval pld_delta(const Composition& composition, double epsilon,
                            const PldOptions& options) {
  if (!(epsilon >= 0.0 && std::isfinite(epsilon))) {
    reject("pld_delta", "epsilon", epsilon, "finite and >= 0");
  }
  check_options("pld_delta", options);
  const std::vector<Release> releases = canonical(composition);
  if (releases.empty()) return {0.0, 0.0};
  check_all("pld_delta", composition, releases);
  for (const Release& release : releases) {
    if (without_noise(release.mechanism)) return {0.0, 1.0};
  }
  const double overflow = overflow_of(releases);
  std::vector<OneDirection> all = directions(releases);
  // How much may be truncated depends on delta itself: guessed, and corrected once.
  double guess = 0.0;
  for (const OneDirection& direction : all) {
    if (direction.empty()) return {overflow > 0.0 ? 0.0 : 1.0, 1.0};
    const double theta = direction.theta_at_epsilon(epsilon);
    guess = std::max(guess, 0.1 * std::exp(log_delta(direction.cumulants(theta), theta)));
  }
  pld::WorkBudget budget(most_work(options, releases.size()));
  for (bool again = true;; again = false) {
    std::vector<Work> work;
    for (OneDirection& direction : all) {
      direction.truncate(kTruncated * options.relative_width * guess);
      double theta = direction.theta_at_epsilon(epsilon);
      if (!work.empty()) theta = std::min(theta, kThetaOfOther * work.front().best_theta);
      const Cumulants at = direction.cumulants(theta);
      // -dlog(delta) / depsilon
      const double slope = std::max(theta, 1.0 / std::sqrt(at.variance));
      const double spacing =
          std::sqrt(4.0 * options.relative_width / (direction.count() * slope * (theta + 1.0)));
      const bool none = overflow == 0.0 && direction.largest_loss() <= epsilon;
      work.push_back({.direction = &direction,
                      .best_theta = theta,
                      .theta = direction.narrower(theta),
                      .spacing = sensible_spacing(spacing, direction, at, theta),
                      .growth = first_growth(options),
                      .interval = {0.0, none ? 0.0 : 1.0}});
    }
    PldOptions first = options;
    first.accept_wider = options.accept_wider || again;
    const CertifiedInterval found = refine(
        "pld_delta", std::move(work), overflow, kSmallestDelta, again ? 1 : kMostRefinements, first,
        budget,
        [&](const ComposedLoss& loss) {
          return CertifiedInterval{loss.delta_lower(epsilon), loss.delta_upper(epsilon)};
        },
        [&](const CertifiedInterval&) { return epsilon; });
    if (!again || found.upper - found.lower <=
                      std::max(options.relative_width * found.upper, kSmallestDelta)) {
      return found;
    }
    guess = std::min(guess, std::max(found.lower, kSmallestDelta));
    all = directions(releases);
  }
}

}  // namespace velum::dpsgd
