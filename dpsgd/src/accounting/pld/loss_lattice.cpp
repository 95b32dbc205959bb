#include "loss_lattice.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace velum::dpsgd::pld {
namespace {

constexpr double kUnitRoundoff = std::numeric_limits<double>::epsilon() / 2;

/// Losses may be rounded down by this part of the spacing before another origin is tried.
constexpr double kLowered = 1e-6;
constexpr int kMostOrigins = 4;

/// Each cell of the grid is cut into so many parts, which the lower bound fuses as a whole.
constexpr int kPartsPerCell = 3;

/// Loss of the piece when all of it is fused.
double fused_loss(const LossPiece& piece) {
  return piece.excess > 0.0 ? piece.lower - std::log1p(-piece.excess / piece.p) : piece.lower;
}

/// P - exp(loss) Q.
double excess_over(const LossPiece& piece, double loss) {
  if (loss >= piece.upper) {
    const double above = loss - piece.upper;
    return -(std::expm1(above) * piece.p + std::exp(above) * piece.deficit);
  }
  const double below = loss - piece.lower;
  return -std::expm1(below) * piece.p + std::exp(below) * piece.excess;
}

/// Log ratio of what lies within half a spacing of the median of P: where the grid has its origin,
/// so that a release that hardly ever loses anything is not moved by the grid.
double bulk_loss(const LossPieces& outline, double spacing) {
  const std::vector<LossPiece>& pieces = outline.pieces;
  double half = 0.0;
  for (const LossPiece& piece : pieces) half += 0.5 * piece.p;
  std::size_t median = 0;
  for (double below = pieces[0].p; below < half && median + 1 < pieces.size();) {
    below += pieces[++median].p;
  }
  const double center = fused_loss(pieces[median]);
  double p = 0.0;
  double excess = 0.0;  // over the center
  for (const LossPiece& piece : pieces) {
    if (piece.lower < center - 0.5 * spacing || piece.upper > center + 0.5 * spacing) continue;
    p += piece.p;
    excess += excess_over(piece, center);
  }
  return p > 0.0 && excess < p ? center - std::log1p(-excess / p) : center;
}

/// An atom is split to the two points beside it: they should be as close as the spacing allows.
void add_neighbours_of_atoms(const LossPieces& outline, LossGrid& grid) {
  const std::size_t before = grid.index.size();
  for (const LossPiece& piece : outline.pieces) {
    if (piece.lower < piece.upper) continue;
    const double position = (piece.lower - grid.offset) / grid.spacing;
    const double nearest = std::nearbyint(position);
    const bool exact = std::abs(position - nearest) <= 1e-9;
    grid.index.push_back(static_cast<std::int64_t>(exact ? nearest : std::floor(position)));
    if (!exact) grid.index.push_back(static_cast<std::int64_t>(std::floor(position)) + 1);
  }
  if (grid.index.size() == before) return;
  std::sort(grid.index.begin(), grid.index.end());
  grid.index.erase(std::unique(grid.index.begin(), grid.index.end()), grid.index.end());
}

LossGrid make_grid(const LossPieces& outline, double offset, double spacing, double growth) {
  LossGrid grid;
  grid.spacing = spacing;
  grid.offset = offset;
  const auto steps_to = [&](double distance) {
    std::vector<std::int64_t> indices;
    std::int64_t index = 0;
    while (static_cast<double>(index) * spacing < distance) {
      index +=
          std::max<std::int64_t>(1, static_cast<std::int64_t>(growth * static_cast<double>(index)));
      indices.push_back(index);
    }
    return indices;
  };
  const std::vector<std::int64_t> above = steps_to(outline.pieces.back().upper - grid.offset);
  const std::vector<std::int64_t> below = steps_to(grid.offset - outline.pieces.front().lower);
  for (auto index = below.rbegin(); index != below.rend(); ++index) {
    grid.index.push_back(-*index);
  }
  grid.index.push_back(0);
  grid.index.insert(grid.index.end(), above.begin(), above.end());
  add_neighbours_of_atoms(outline, grid);
  if (grid.index.size() == 1) grid.index.push_back(1);  // all outcomes at the origin
  return grid;
}

/// Where pieces must end: at the points of the grid, between them, and at the last loss.
std::vector<double> cuts(const LossGrid& grid, double limit) {
  std::vector<double> result;
  result.reserve(grid.index.size() * kPartsPerCell);
  for (std::size_t i = 0; i + 1 < grid.index.size(); ++i) {
    const double from = grid.loss(i);
    const double width = grid.loss(i + 1) - from;
    for (int part = 0; part < kPartsPerCell; ++part) {
      result.push_back(from + width * part / kPartsPerCell);
    }
  }
  result.push_back(grid.loss(grid.index.size() - 1));
  result.push_back(limit);
  std::sort(result.begin(), result.end());
  return result;
}

/// Removes the pieces above `limit`.
/// @return their mass.
double truncate_above(std::vector<LossPiece>& pieces, double limit) {
  double removed = 0.0;
  while (pieces.size() > 1 && pieces.back().lower >= limit && pieces.back().upper > limit) {
    removed += pieces.back().p;
    pieces.pop_back();
  }
  return removed * (1.0 + 1e-9);
}

/// @return the most terms that any sum had.
int split(const LossPieces& cut, LossLattice& lattice) {
  const LossGrid& grid = lattice.grid;
  std::vector<double>& mass = lattice.upper;
  std::size_t cell = 0;
  int terms = 0;
  int most_terms = 0;
  for (const LossPiece& piece : cut.pieces) {
    const double middle = 0.5 * (piece.lower + piece.upper);
    while (cell + 2 < grid.index.size() && grid.loss(cell + 1) <= middle) {
      ++cell;
      terms = 0;
    }
    most_terms = std::max(most_terms, ++terms);
    const double from = grid.loss(cell);
    const double width = grid.loss(cell + 1) - from;
    // alpha + beta = P and alpha exp(-from) + beta exp(-to) = Q give beta (1 - exp(-width)) =
    // P - exp(from) Q.
    const double beta = std::clamp(excess_over(piece, from) / -std::expm1(-width), 0.0, piece.p);
    mass[cell] += piece.p - beta;
    mass[cell + 1] += beta;
  }
  return 2 * most_terms;  // each point takes from two cells
}

/// Fuses pieces from one end inwards until their common ratio is that of a grid point.
class Fusion {
 public:
  Fusion(const LossGrid& grid, std::vector<double>& mass)
      : grid_(grid),
        mass_(mass),
        tolerance_(4.0 * kUnitRoundoff *
                   std::max(std::abs(grid.loss(0)), std::abs(grid.loss(grid.index.size() - 1)))) {}

  /// Outcomes from above, in descending order. A part of the piece may stay behind.
  void add_from_above(LossPiece piece) {
    while (piece.p > 0.0) {
      if (p_ == 0.0) start(at_most(fused_loss(piece)));
      const double excess = excess_over(piece, grid_.loss(target_));
      if (p_ > 0.0 && excess_ + excess <= 0.0) {
        finish(piece, excess);
      } else {
        take(piece, p_ == 0.0 ? std::max(excess, 0.0) : excess);  // negative only by rounding
        return;
      }
    }
  }

  /// Outcomes from below, in ascending order.
  void add_from_below(LossPiece piece) {
    while (piece.p > 0.0) {
      if (p_ == 0.0) start(at_least(fused_loss(piece)));
      const double excess = excess_over(piece, grid_.loss(target_));
      if (p_ > 0.0 && excess_ + excess >= 0.0) {
        finish(piece, excess);
      } else {
        take(piece, p_ == 0.0 ? std::min(excess, 0.0) : excess);
        return;
      }
    }
  }

  /// Takes of the last piece, on the other side of the target, what it needs, if that is there.
  void close(LossPiece& piece) {
    if (p_ == 0.0) return;
    const double excess = excess_over(piece, grid_.loss(target_));
    if (excess_ == 0.0 || (excess_ * excess < 0.0 && std::abs(excess) >= std::abs(excess_))) {
      finish(piece, excess_ == 0.0 ? 0.0 : excess);
    }
  }

  /// Most pieces that were summed for one point.
  int most_terms() const { return most_terms_; }

  /// What is left over: its P, and P - exp(loss) Q.
  double p() const { return p_; }
  double excess_over_loss(double loss) const {
    if (p_ == 0.0) return 0.0;
    const double difference = loss - grid_.loss(target_);
    return -std::expm1(difference) * p_ + std::exp(difference) * excess_;
  }

 private:
  void start(std::size_t target) {
    target_ = target;
    excess_ = 0.0;
    terms_ = 0;
  }

  void take(const LossPiece& piece, double excess) {
    p_ += piece.p;
    excess_ += excess;
    most_terms_ = std::max(most_terms_, ++terms_);
  }

  /// Takes that fraction of the piece that makes the ratio exact, and keeps the rest in `piece`.
  void finish(LossPiece& piece, double excess) {
    const double fraction = excess_ == 0.0 ? 0.0 : std::min(1.0, -excess_ / excess);
    mass_[target_] += p_ + fraction * piece.p;
    p_ = 0.0;
    const double rest = 1.0 - fraction;
    piece.p *= rest;
    piece.excess *= rest;
    piece.deficit *= rest;
  }

  std::size_t at_most(double loss) const {
    std::size_t low = 0;
    std::size_t high = grid_.index.size();
    while (high - low > 1) {
      const std::size_t middle = (low + high) / 2;
      (grid_.loss(middle) <= loss + tolerance_ ? low : high) = middle;
    }
    return low;
  }
  std::size_t at_least(double loss) const {
    const std::size_t below = at_most(loss);
    return grid_.loss(below) < loss - tolerance_ && below + 1 < grid_.index.size() ? below + 1
                                                                                   : below;
  }

  const LossGrid& grid_;
  std::vector<double>& mass_;
  double tolerance_;  // losses so close to a point are at it
  std::size_t target_ = 0;
  double p_ = 0.0;
  double excess_ = 0.0;
  int terms_ = 0;
  int most_terms_ = 0;
};

/// Puts `p`, whose excess over the loss of grid point `target` is given, on that point: fused with
/// as much of the points beyond as makes the excess 0.
/// @return false, having changed nothing, if the points beyond are not enough.
bool fuse_onto(const LossGrid& grid, std::vector<double>& mass, double p, double excess,
               std::size_t target) {
  constexpr std::size_t kFarthest = 64;
  const auto other = [&](std::size_t distance) {  // the point at that distance, or none
    return excess > 0.0 ? (distance <= target ? target - distance : grid.index.size())
                        : target + distance;
  };
  for (const bool change : {false, true}) {
    double left = excess;
    double added = p;
    for (std::size_t distance = 1; distance <= kFarthest && left != 0.0; ++distance) {
      const std::size_t point = other(distance);
      if (point >= grid.index.size()) break;
      const double there = -mass[point] * std::expm1(grid.loss(target) - grid.loss(point));
      if (there == 0.0) continue;
      const double fraction = std::min(1.0, -left / there);
      left = fraction < 1.0 ? 0.0 : left + there;
      added += fraction * mass[point];
      if (change) mass[point] *= 1.0 - fraction;
    }
    if (left != 0.0) return false;
    if (change) mass[target] += added;
  }
  return true;
}

struct Fused {
  int terms;       // the most that any sum had
  double lowered;  // loss by which what met in the middle had to be rounded down
};

Fused fuse(const LossPieces& cut, LossLattice& lattice) {
  const LossGrid& grid = lattice.grid;
  const std::vector<LossPiece>& pieces = cut.pieces;
  std::size_t origin = 0;
  while (origin + 1 < pieces.size() && pieces[origin].upper < grid.offset) ++origin;
  Fusion above(grid, lattice.lower);
  Fusion below(grid, lattice.lower);
  for (std::size_t i = pieces.size() - 1; i > origin; --i) above.add_from_above(pieces[i]);
  for (std::size_t i = 0; i < origin; ++i) below.add_from_below(pieces[i]);

  LossPiece middle = pieces[origin];
  above.close(middle);
  below.close(middle);

  // Both may have come here with something in hand.
  const double p = middle.p + above.p() + below.p();
  const auto excess = [&](std::size_t point) {
    const double loss = grid.loss(point);
    return excess_over(middle, loss) + above.excess_over_loss(loss) + below.excess_over_loss(loss);
  };
  std::size_t point = 0;
  while (point + 1 < grid.index.size() && excess(point + 1) >= 0.0) ++point;
  const double down = std::max(0.0, excess(point));
  const double up = point + 1 < grid.index.size() ? std::min(0.0, excess(point + 1)) : -down;
  const int terms = std::max(above.most_terms(), below.most_terms());
  const bool has_upper = point + 1 < grid.index.size();
  if ((has_upper && -up < down && fuse_onto(grid, lattice.lower, p, up, point + 1)) ||
      fuse_onto(grid, lattice.lower, p, down, point) ||
      (has_upper && fuse_onto(grid, lattice.lower, p, up, point + 1))) {
    return {terms, 0.0};
  }
  lattice.lower[point] += p;  // a smaller loss: still below the truth
  return {terms, -std::log1p(-std::min(down / p, 0.999))};
}

}  // namespace

LossLattice loss_lattice(const LossProfile& profile, const LossPieces& outline, double spacing,
                         double growth) {
  assert(!outline.pieces.empty() && spacing > 0.0 && growth > 0.0);
  LossLattice lattice;
  LossPieces cut;
  double offset = bulk_loss(outline, spacing);
  int terms = 0;
  // Where most outcomes meet in the middle and no others are left to fuse them with, the origin is
  // moved to them.
  for (int attempt = 0; attempt < kMostOrigins; ++attempt) {
    lattice.grid = make_grid(outline, offset, spacing, growth);
    const double limit = outline.pieces.back().upper;
    cut = profile.pieces(cuts(lattice.grid, limit));
    cut.truncated_p += truncate_above(cut.pieces, limit);
    lattice.upper.assign(lattice.grid.index.size(), 0.0);
    lattice.lower.assign(lattice.grid.index.size(), 0.0);
    const Fused fused = fuse(cut, lattice);
    terms = std::max(split(cut, lattice), fused.terms);
    if (!(fused.lowered > kLowered * spacing)) break;
    offset += fused.lowered;
  }
  // Not those of other masses: what lies at 0 may be known less well.
  const double infinite_error = cut.infinite_error + 4.0 * kUnitRoundoff;
  lattice.infinite_lower = cut.infinite_p * (1.0 - infinite_error);
  lattice.infinite_upper = (cut.infinite_p + cut.truncated_p) * (1.0 + infinite_error);
  lattice.relative_error = cut.relative_error + (terms + 16.0) * kUnitRoundoff;
  const double reach = std::max(std::abs(lattice.grid.loss(0)),
                                std::abs(lattice.grid.loss(lattice.grid.index.size() - 1)));
  lattice.loss_error = 2.0 * cut.loss_error + (terms + 16.0) * kUnitRoundoff * reach;
  return lattice;
}

}  // namespace velum::dpsgd::pld
