#include "prime_search.h"

#include <algorithm>
#include <cmath>

#include "velum/kernels/polynomial/ntt_tables.h"

namespace velum::he {
namespace {

constexpr double kSmallestBits = 12.0, kLargestBits = 30.0;
/// Enough that products of two of them lie dense, few enough that all are tested for primality in
/// milliseconds.
constexpr int kCandidates = 160;
constexpr double kReach = 2.0;

}  // namespace

std::vector<std::uint32_t> PrimeSearch::around(double bits, int count, double reach) const {
  const std::int64_t step = std::int64_t{2} << log_n_;
  const auto centre = static_cast<std::int64_t>(std::exp2(bits) / static_cast<double>(step));
  const double low = std::exp2(std::max(bits - reach, kSmallestBits));
  const double high = std::exp2(std::min(bits + reach, kLargestBits));
  const auto unused_prime = [&](std::int64_t candidate) {
    return used_.count(static_cast<std::uint32_t>(candidate)) == 0 &&
           kernels::is_prime(static_cast<std::uint64_t>(candidate));
  };
  std::vector<std::uint32_t> primes;
  int found = 0;
  for (std::int64_t k = centre; k > 0 && static_cast<double>(k * step + 1) > low && found < count;
       --k) {
    if (static_cast<double>(k * step + 1) < high && unused_prime(k * step + 1)) {
      primes.push_back(static_cast<std::uint32_t>(k * step + 1));
      ++found;
    }
  }
  std::reverse(primes.begin(), primes.end());
  found = 0;
  for (std::int64_t k = centre + 1; static_cast<double>(k * step + 1) < high && found < count;
       ++k) {
    if (unused_prime(k * step + 1)) {
      primes.push_back(static_cast<std::uint32_t>(k * step + 1));
      ++found;
    }
  }
  return primes;
}

std::optional<std::vector<std::uint32_t>> PrimeSearch::take_product(double product, int count) {
  const double bits = std::log2(product) / count;
  const std::vector<std::uint32_t> primes = around(bits, kCandidates, kReach);
  std::vector<std::uint32_t> best;
  double best_distance = HUGE_VAL;
  const auto consider = [&](double value, std::vector<std::uint32_t> candidate) {
    const double distance = std::abs(std::log(value / product));
    if (distance < best_distance) {
      best_distance = distance;
      best = std::move(candidate);
    }
  };
  for (std::size_t i = 0; i < primes.size(); ++i) {
    if (count == 1) {
      consider(primes[i], {primes[i]});
      continue;
    }
    for (std::size_t j = i + 1; j < primes.size(); ++j) {
      consider(static_cast<double>(primes[i]) * primes[j], {primes[j], primes[i]});
    }
  }
  if (best.empty()) return std::nullopt;
  used_.insert(best.begin(), best.end());
  return best;
}

std::optional<std::vector<std::uint32_t>> PrimeSearch::take_near(double bits, int count) {
  std::vector<std::uint32_t> primes = around(bits, count, kReach);
  std::stable_sort(primes.begin(), primes.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::abs(std::log2(a) - bits) < std::abs(std::log2(b) - bits);
  });
  if (static_cast<int>(primes.size()) < count) return std::nullopt;
  primes.resize(static_cast<std::size_t>(count));
  std::sort(primes.rbegin(), primes.rend());
  used_.insert(primes.begin(), primes.end());
  return primes;
}

std::optional<std::vector<std::uint32_t>> PrimeSearch::take_above(double bits, int count) {
  std::vector<std::uint32_t> primes = around(bits, count, kReach);
  const double least = std::exp2(bits);
  primes.erase(std::remove_if(primes.begin(), primes.end(),
                              [&](std::uint32_t prime) { return prime <= least; }),
               primes.end());
  if (static_cast<int>(primes.size()) < count) return std::nullopt;
  primes.resize(static_cast<std::size_t>(count));
  std::reverse(primes.begin(), primes.end());
  used_.insert(primes.begin(), primes.end());
  return primes;
}

std::optional<std::vector<std::uint32_t>> PrimeSearch::take_largest(int count) {
  std::vector<std::uint32_t> primes = around(kLargestBits, count, kReach);
  if (static_cast<int>(primes.size()) < count) return std::nullopt;
  std::reverse(primes.begin(), primes.end());
  primes.resize(static_cast<std::size_t>(count));
  used_.insert(primes.begin(), primes.end());
  return primes;
}

}  // namespace velum::he
