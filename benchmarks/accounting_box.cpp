// Asks the accountants about points over a whole box of settings, and counts: how many are
// answered, how many refused and why, how long the longest takes, and whether any answer breaks
// what it claims. Ends with 1 if one does.
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "velum/dpsgd/accounting/pld_accountant.h"

namespace velum::dpsgd {
namespace {

using nlohmann::json;

/// Processor time of this thread: what others run does not count.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// One question. `at` is delta where epsilon is asked for, and epsilon where delta is.
struct Question {
  std::int64_t number;
  bool without_replacement;
  bool asks_delta;
  double sampling_rate;
  double noise_multiplier;
  std::int64_t steps;
  double at;

  Composition composition() const {
    if (without_replacement) {
      Composition run(Neighbouring::kReplaceOne);
      run.append(WithoutReplacementSampledGaussianMechanism{sampling_rate, noise_multiplier},
                 steps);
      return run;
    }
    Composition run;
    run.append(PoissonSampledGaussianMechanism{sampling_rate, noise_multiplier}, steps);
    return run;
  }

  json to_json() const {
    return {{"number", number},
            {"mechanism", without_replacement ? "without_replacement_sampled_gaussian"
                                              : "poisson_sampled_gaussian"},
            {"sampling_rate", sampling_rate},
            {"noise_multiplier", noise_multiplier},
            {"steps", steps},
            {asks_delta ? "epsilon" : "delta", at}};
  }
};

/// The questions of a seed, each by its number alone: a tenth asks for delta, a tenth is about
/// samples without replacement.
Question question(std::uint64_t seed, std::int64_t number) {
  std::seed_seq sequence{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32),
                         static_cast<std::uint32_t>(number),
                         static_cast<std::uint32_t>(number >> 32)};
  std::mt19937_64 generator(sequence);
  const auto uniform = [&] { return static_cast<double>(generator() >> 11) * 0x1p-53; };
  const auto power = [&](double from, double to) {  // of 10
    return std::pow(10.0, from + (to - from) * uniform());
  };
  Question result{};
  result.number = number;
  result.without_replacement = uniform() < 0.1;
  result.asks_delta = uniform() < 0.1;
  result.sampling_rate = power(-9.0, 0.0);
  result.noise_multiplier = power(-1.0, 3.0);
  result.steps = std::max<std::int64_t>(1, static_cast<std::int64_t>(power(0.0, 7.0)));
  result.at = result.asks_delta ? power(-3.0, 3.0) : power(-15.0, -1.0);
  return result;
}

struct Times {
  std::vector<double> seconds;
  json slowest;

  void add(double value, const Question& asked) {
    if (seconds.empty() || value > *std::max_element(seconds.begin(), seconds.end())) {
      slowest = asked.to_json();
    }
    seconds.push_back(value);
  }

  json to_json() const {
    std::vector<double> sorted = seconds;
    std::sort(sorted.begin(), sorted.end());
    const auto quantile = [&](double part) {
      const double rank = std::ceil(part * static_cast<double>(sorted.size()));
      return sorted[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
    };
    double sum = 0.0;
    for (const double value : sorted) sum += value;
    return {{"median", quantile(0.5)},
            {"99_percent", quantile(0.99)},
            {"longest", sorted.back()},
            {"sum", sum},
            {"longest_question", slowest}};
  }
};

class Box {
 public:
  void ask(const Question& asked) {
    const Composition run = asked.composition();
    double start = cpu_seconds();
    CertifiedInterval interval{};
    bool refused = false;
    try {
      interval = asked.asks_delta ? pld_delta(run, asked.at) : pld_epsilon(run, asked.at);
      ++answered_;
    } catch (const AccuracyNotReached& error) {
      refused = true;
      interval = error.reached();
      ++refusals_[!std::isfinite(interval.upper) ? "no finite bound"
                  : interval.lower == 0.0        ? "only an upper bound"
                                                 : "wider than asked"];
    } catch (const std::exception& error) {
      refused = true;
      interval = {0.0, asked.asks_delta ? 1.0 : INFINITY};
      ++refusals_[error.what()];
    }
    pld_.add(cpu_seconds() - start, asked);
    if (refused) refused_.push_back(asked.to_json());

    start = cpu_seconds();
    RdpAccountant renyi(run.neighbouring());
    renyi.compose(run);
    const double bound = asked.asks_delta ? renyi.delta(asked.at) : renyi.epsilon(asked.at);
    renyi_.add(cpu_seconds() - start, asked);

    // Written so that a NaN breaks them.
    const PldOptions options;
    const double allowed = std::max(options.relative_width * interval.upper,
                                    asked.asks_delta ? 1e-18 : options.absolute_width);
    claim(interval.lower <= interval.upper, "lower <= upper", asked, interval, bound);
    claim(interval.lower <= bound, "lower <= Renyi bound", asked, interval, bound);
    claim(refused || interval.upper == interval.lower ||
              interval.upper - interval.lower <= allowed * (1.0 + 1e-12),
          "width as promised", asked, interval, bound);
    if (asked.number % 20 == 0) {
      PldOptions wide;
      wide.accept_wider = true;
      PldAccountant accountant(run.neighbouring(), wide);
      accountant.compose(run);
      const PrivacyGuarantee guarantee = asked.asks_delta
                                             ? accountant.guarantee_at_epsilon(asked.at)
                                             : accountant.guarantee(asked.at);
      const double upper = asked.asks_delta ? guarantee.delta : guarantee.epsilon;
      claim(upper <= bound, "PldAccountant <= Renyi bound", asked, interval, bound);
      claim(upper <= interval.upper, "PldAccountant <= upper", asked, interval, bound);
      claim(guarantee.lower.has_value() && *guarantee.lower <= upper,
            "PldAccountant: lower <= upper", asked, interval, bound);
    }
  }

  bool holds() const { return violated_.empty(); }
  std::int64_t answered() const { return answered_; }
  std::int64_t refused() const { return static_cast<std::int64_t>(refused_.size()); }
  std::size_t violated() const { return violated_.size(); }

  json to_json() const {
    return {{"answered", answered_},
            {"refused", refused()},
            {"refusals", refusals_},
            {"violated", violated_},
            {"pld_cpu_seconds", pld_.to_json()},
            {"rdp_cpu_seconds", renyi_.to_json()},
            {"refused_questions", refused_}};
  }

 private:
  void claim(bool holds, const char* what, const Question& asked, const CertifiedInterval& interval,
             double bound) {
    if (holds) return;
    json entry = asked.to_json();
    entry["claim"] = what;
    entry["lower"] = interval.lower;
    entry["upper"] = interval.upper;
    entry["rdp"] = bound;
    std::fprintf(stderr, "\nviolated: %s\n", entry.dump().c_str());
    violated_.push_back(std::move(entry));
  }

  std::int64_t answered_ = 0;
  std::map<std::string, std::int64_t> refusals_;
  std::vector<json> refused_;
  std::vector<json> violated_;
  Times pld_;
  Times renyi_;
};

void print(const char* name, const json& times) {
  std::printf("%s, CPU seconds: median %.4f, 99 %% %.4f, longest %.4f, sum %.1f\n  longest: %s\n",
              name, times["median"].get<double>(), times["99_percent"].get<double>(),
              times["longest"].get<double>(), times["sum"].get<double>(),
              times["longest_question"].dump().c_str());
}

int run(int count, char** values) {
  CLI::App app(
      "Random points over q 1e-9..1, sigma 0.1..1000, T 1..1e7, delta 1e-15..0.1 or epsilon "
      "1e-3..1000: what the accountants answer, refuse and claim, and their CPU time.");
  std::int64_t points = 10000;
  std::int64_t first = 0;
  std::uint64_t seed = 1;
  std::string file;
  app.add_option("--points", points, "how many (default: 10000)")->check(CLI::PositiveNumber);
  app.add_option("--first", first, "number of the first (default: 0)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--seed", seed, "of all points (default: 1)");
  app.add_option("--json", file, "where the figures go");
  CLI11_PARSE(app, count, values);

  Box box;
  double reported = cpu_seconds();
  for (std::int64_t i = 0; i < points; ++i) {
    box.ask(question(seed, first + i));
    if (cpu_seconds() - reported < 2.0 && i + 1 < points) continue;
    reported = cpu_seconds();
    std::fprintf(stderr, "\r%lld of %lld: %lld answered, %lld refused, %zu claims violated",
                 static_cast<long long>(i + 1), static_cast<long long>(points),
                 static_cast<long long>(box.answered()), static_cast<long long>(box.refused()),
                 box.violated());
  }
  std::fprintf(stderr, "\n");
  json figures = box.to_json();
  figures["points"] = points;
  figures["first"] = first;
  figures["seed"] = seed;
  std::printf("%lld points: %lld answered, %lld refused, %zu claims violated\n",
              static_cast<long long>(points), static_cast<long long>(box.answered()),
              static_cast<long long>(box.refused()), box.violated());
  for (const auto& [reason, times] : figures["refusals"].items()) {
    std::printf("  refused, %s: %lld\n", reason.c_str(),
                static_cast<long long>(times.get<std::int64_t>()));
  }
  print("privacy loss distribution", figures["pld_cpu_seconds"]);
  print("Renyi", figures["rdp_cpu_seconds"]);
  if (!file.empty()) {
    std::ofstream out(file);
    out << figures.dump(2) << "\n";
    if (!out.flush()) {
      std::fprintf(stderr, "accounting_box: cannot write %s\n", file.c_str());
      return 1;
    }
  }
  return box.holds() ? 0 : 1;
}

}  // namespace
}  // namespace velum::dpsgd

int main(int count, char** values) {
  try {
    return velum::dpsgd::run(count, values);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "accounting_box: %s\n", error.what());
    return 1;
  }
}
