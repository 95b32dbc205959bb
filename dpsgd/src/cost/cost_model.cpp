#include "velum/dpsgd/cost_model.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/ones.h>
#include <c10/core/GradMode.h>
#include <sys/resource.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "conv/conv_cpu_kernels.h"
#include "linear/gram_cpu_kernels.h"
#include "linear/product.h"
#include "velum/dpsgd/accounting/atomic_file.h"

namespace velum::dpsgd {
namespace {

/// Seconds of one call, the least of several after a first one that is not counted.
template <typename Body>
double seconds(const Body& body) {
  using Clock = std::chrono::steady_clock;
  body();
  double best = std::numeric_limits<double>::infinity();
  const auto start = Clock::now();
  // At least 5 times; more while that takes no longer than 30 ms.
  for (int i = 0; i < 5 || (i < 50 && Clock::now() - start < std::chrono::milliseconds(30)); ++i) {
    const auto before = Clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - before).count());
  }
  return best;
}

double gemm_rate(at::ScalarType type) {
  constexpr std::int64_t kSize = 384;
  const at::Tensor a = at::ones({kSize, kSize}, type), b = at::ones({kSize, kSize}, type);
  const at::Tensor c = at::empty({kSize, kSize}, type);
  return 2.0 * kSize * kSize * kSize /
         seconds([&] { detail::product_out(a.t(), b, {}, /*add=*/false, c); });
}

// Layers of width 128 over 32 steps.
constexpr std::int64_t kWidth = 128, kSteps = 32;

template <typename T>
double samples_rate(const at::Tensor& rows, std::int64_t samples) {
  detail::ConvCpuTask<T> task{};
  task.groups = 1;
  task.outputs = task.channels = task.features = kWidth;
  task.positions = kSteps;
  for (std::int64_t i = 0; i < kWidth; ++i) task.feature_offsets.push_back(i);
  for (std::int64_t i = 0; i < kSteps; ++i) task.position_offsets.push_back(i * kWidth);
  task.input = task.grad_output = rows.const_data_ptr<T>();
  task.input_sample_stride = task.grad_sample_stride = kSteps * kWidth;
  task.input_channel_stride = task.grad_channel_stride = 1;
  task.grad_position_stride = kWidth;
  std::vector<double> norms(static_cast<std::size_t>(samples));
  task.squared_norms = norms.data();
  const double time = seconds([&] {
    at::parallel_for(0, samples, 1, [&](std::int64_t begin, std::int64_t end) {
      detail::conv_samples_cpu(task, begin, end);
    });
  });
  return 2.0 * static_cast<double>(samples * kSteps * kWidth * kWidth) / time;
}

double gram_rate(const at::Tensor& rows, std::int64_t samples) {
  detail::GramCpuTask<float> task;
  task.input.width = task.grad.width = kWidth;
  for (std::int64_t t = 0; t < kSteps; ++t) {
    task.input.steps.push_back({rows.const_data_ptr<float>() + t * kWidth, kSteps * kWidth});
  }
  task.grad.steps = task.input.steps;
  std::vector<double> norms(static_cast<std::size_t>(samples)), magnitudes = norms;
  task.squared_norms = norms.data();
  task.squared_magnitudes = magnitudes.data();
  const double time = seconds([&] {
    at::parallel_for(0, samples, 1, [&](std::int64_t begin, std::int64_t end) {
      detail::gram_samples_cpu(task, begin, end);
    });
  });
  return static_cast<double>(samples * kSteps * (kSteps + 1) * 2 * kWidth) / time;
}

/// What others took from the threads of this process: how often they were interrupted, and for how
/// many seconds together they were ready and waited for a core (Linux; else 0).
struct Disturbance {
  long interruptions = 0;
  double waited = 0;
};

Disturbance disturbance() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  Disturbance result{usage.ru_nivcsw, 0};
  std::error_code none;
  for (std::filesystem::directory_iterator task("/proc/self/task", none), end; task != end;
       task.increment(none)) {
    std::ifstream in(task->path() / "schedstat");
    double on_core = 0, waiting = 0;  // nanoseconds
    if (in >> on_core >> waiting) result.waited += waiting * 1e-9;
  }
  return result;
}

/// Nothing where the machine was too busy with other programs for its figures to mean anything.
std::optional<CostModel> measured() {
  const c10::AutoGradMode no_grad(false);
  const Disturbance before = disturbance();
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t samples = 64 * at::get_num_threads();  // far longer than threads take to wake
  const at::Tensor rows = at::ones({samples * kSteps, kWidth}, at::kFloat);
  CostModel model;
  model.gemm_float32 = gemm_rate(at::kFloat);
  model.gemm_float64 = gemm_rate(at::kDouble);
  model.samples_float32 = samples_rate<float>(rows, samples);
  model.samples_float64 = samples_rate<double>(rows.to(at::kDouble), samples);
  model.gram = gram_rate(rows, samples);
  // More than the caches hold.
  const at::Tensor from = at::ones({std::int64_t{1} << 24}, at::kFloat);
  const at::Tensor to = at::empty_like(from);
  model.bytes = 2.0 * static_cast<double>(from.nbytes()) / seconds([&] { to.copy_(from); });
  model.source = "measured";
  // Less than a second on a machine of one's own, with a few interruptions by the system itself.
  constexpr long kMostInterruptions = 25;
  constexpr double kMostWaiting = 0.02;  // of the time
  const Disturbance after = disturbance();
  const double seconds_in_all =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (after.interruptions - before.interruptions > kMostInterruptions ||
      after.waited - before.waited > kMostWaiting * seconds_in_all) {
    return std::nullopt;
  }
  return model;
}

struct Figure {
  const char* name;
  double CostModel::*value;
};
constexpr Figure kFigures[] = {
    {"gemm_float32", &CostModel::gemm_float32},
    {"gemm_float64", &CostModel::gemm_float64},
    {"samples_float32", &CostModel::samples_float32},
    {"samples_float64", &CostModel::samples_float64},
    {"gram", &CostModel::gram},
    {"bytes", &CostModel::bytes},
};

/// The processor, threads and torch that a file is for.
std::string key_of(int threads) {
  std::string processor = "unknown processor";
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.rfind("model name", 0) != 0 && line.rfind("CPU part", 0) != 0) continue;
    processor = line.substr(std::min(line.size(), line.find(':') + 2));
    break;
  }
  std::ostringstream key;
  key << "velum cost model 3; " << processor << "; threads " << threads << "; torch "
      << TORCH_VERSION;
  return key.str();
}

std::filesystem::path cache_file(const std::string& key) {
  std::filesystem::path folder;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache != '\0') {
    folder = cache;
  } else if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    folder = std::filesystem::path(home) / ".cache";
  } else {
    return {};
  }
  std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  std::ostringstream name;
  name << "cost-model-" << std::hex << std::setw(16) << std::setfill('0') << hash << ".txt";
  return folder / "velum" / name.str();
}

/// Whether `file` holds a whole model for `key`.
bool read(const std::filesystem::path& file, const std::string& key, CostModel& model) {
  std::ifstream in(file);
  std::string line;
  if (!in || !std::getline(in, line) || line != key) return false;
  for (const Figure& figure : kFigures) {
    std::string name;
    double value = 0;
    if (!(in >> name >> value) || name != figure.name || !std::isfinite(value) || value <= 0) {
      return false;
    }
    model.*figure.value = value;
  }
  model.source = file.string();
  return true;
}

void write(const std::filesystem::path& file, const std::string& key, const CostModel& model) {
  std::ostringstream text;
  text << key << "\n" << std::setprecision(4);
  for (const Figure& figure : kFigures) text << figure.name << " " << model.*figure.value << "\n";
  try {
    std::filesystem::create_directories(file.parent_path());
    write_file_atomically(file, text.str());
  } catch (const std::exception&) {
    // The next process measures again.
  }
}

}  // namespace

CostModel measure_or_read_cost_model() {
  const int threads = at::get_num_threads();
  if (const char* choice = std::getenv("VELUM_COST_MODEL"); choice != nullptr && *choice != '\0') {
    if (std::string(choice) == "default") return CostModel::fixed();
    throw std::invalid_argument("cost_model: VELUM_COST_MODEL = " + std::string(choice) +
                                ", expected default, or unset to measure this machine");
  }
  const std::string key = key_of(threads);
  const std::filesystem::path file = cache_file(key);
  CostModel model;
  if (!file.empty() && read(file, key, model)) return model;
  const std::optional<CostModel> found = measured();
  if (!found.has_value()) {
    model = CostModel::fixed();
    model.source = "default, for the machine is busy";
    return model;
  }
  if (!file.empty()) write(file, key, *found);
  return *found;
}

CostModel CostModel::fixed() { return {1e11, 5e10, 1e11, 5e10, 5e10, 5e10, "default"}; }

const CostModel& cost_model() {
  static std::mutex mutex;
  static std::map<int, CostModel> models;  // by threads; references stay
  const std::lock_guard lock(mutex);
  const int threads = at::get_num_threads();
  const auto known = models.find(threads);
  if (known != models.end()) return known->second;
  return models.emplace(threads, measure_or_read_cost_model()).first->second;
}

}  // namespace velum::dpsgd
