// Runs random kernels on the emulated device and as C++, and compares. Prints a line for each
// kernel whose results differ or that ends in a fault; fuzz_kernels.py reads them.
//
//   compare [NAME...]   the kernels of these names (default: all that were linked)
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <random>
#include <string>

#include "emulation.h"
#include "kernel_language.h"

namespace velum::emulation::fuzz {
namespace {

void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::printf("compare: %s\n", cudaGetErrorString(error));
  std::exit(1);
}

/// Bits of a value of `width` bits: often an edge, sometimes anything.
u64 any_bits(std::mt19937_64& random, u32 width) {
  const u64 all = width == 64 ? ~u64{0} : (u64{1} << width) - 1;
  switch (random() % 6) {
    case 0:
      return random() % 8;
    case 1:
      return (0 - random() % 8) & all;  // 0, -1, ..
    case 2:
      return ((u64{1} << random() % width) - random() % 2) & all;  // around powers of two
    case 3:
      return (random() & all) >> random() % width;
    default:
      return random() & all;
  }
}
template <typename T, typename Bits>
T any_float(std::mt19937_64& random) {
  using Limits = std::numeric_limits<T>;
  constexpr T kEdges[] = {T{0},
                          T{1},
                          T{1.5},
                          Limits::min(),
                          Limits::denorm_min(),
                          Limits::max(),
                          Limits::infinity(),
                          Limits::quiet_NaN(),
                          Limits::epsilon(),
                          Limits::min() - Limits::denorm_min(),
                          T{0x1p31},
                          T{0x1p63},
                          T{0.1}};
  const T sign = random() % 2 == 0 ? T{1} : T{-1};
  switch (random() % 8) {
    case 0:
      return sign * kEdges[random() % std::size(kEdges)];
    case 1: {  // any bits: also NaNs that signal
      const auto bits = static_cast<Bits>(random());
      T value = 0;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
    case 2:
      return sign * static_cast<T>(random() % 100);
    default:
      return sign *
             std::ldexp(static_cast<T>(random() >> 11), static_cast<int>(random() % 120) - 110);
  }
}

/// An array that the host and the emulated device both have.
template <typename T>
class Both {
 public:
  explicit Both(std::size_t size) : host(size) {
    check(cudaMalloc(reinterpret_cast<void**>(&device_), bytes()));
  }
  Both(const Both&) = delete;
  Both& operator=(const Both&) = delete;
  ~Both() { static_cast<void>(cudaFree(device_)); }

  T* device() const { return device_; }
  void send() const { check(cudaMemcpy(device_, host.data(), bytes(), cudaMemcpyHostToDevice)); }
  std::vector<T> received() const {
    std::vector<T> values(host.size());
    check(cudaMemcpy(values.data(), device_, bytes(), cudaMemcpyDeviceToHost));
    return values;
  }

  std::vector<T> host;

 private:
  std::size_t bytes() const { return host.size() * sizeof(T); }
  T* device_ = nullptr;
};

class Comparison {
 public:
  Comparison() {
    std::mt19937_64 random(20240229);
    for (u32 i = 0; i < kInputs; ++i) {
      in_u32_.host[i] = static_cast<u32>(any_bits(random, 32));
      in_s32_.host[i] = static_cast<s32>(any_bits(random, 32));
      in_u64_.host[i] = any_bits(random, 64);
      in_s64_.host[i] = static_cast<s64>(any_bits(random, 64));
      in_f32_.host[i] = any_float<f32, u32>(random);
      in_f64_.host[i] = any_float<f64, u64>(random);
      in_u8_.host[i] = static_cast<u8>(any_bits(random, 8));
      in_s16_.host[i] = static_cast<s16>(any_bits(random, 16));
      for (u32& x : in_four_.host[i].x) x = static_cast<u32>(any_bits(random, 32));
    }
  }

  /// What is wrong with the kernel, in one line; empty if nothing.
  std::string run(const HostKernel& subject) {
    const void* const handle = kernel(subject.name);
    if (handle == nullptr) return "missing: the emulated device has no such kernel";
    send_all();
    Arguments arguments{in_u32_.device(),
                        in_s32_.device(),
                        in_u64_.device(),
                        in_s64_.device(),
                        in_f32_.device(),
                        in_f64_.device(),
                        in_u8_.device(),
                        in_s16_.device(),
                        in_four_.device(),
                        out_.device(),
                        sums_.device(),
                        wide_.device(),
                        3,
                        0xA5,
                        -5,
                        0x123456789ABCDEF0,
                        1.25F,
                        -0x1.921fb54442d18p+1};
    void* parameters[] = {&arguments};
    cudaError_t error = cudaLaunchKernel(handle, kBlocks, kThreads, parameters, 0, nullptr);
    if (error == cudaSuccess) error = cudaDeviceSynchronize();
    if (error != cudaSuccess) {
      std::string report = "fault: " + last_report();
      std::replace(report.begin(), report.end(), '\n', ' ');
      reset();
      return report;
    }

    arguments.in_u32 = in_u32_.host.data();
    arguments.in_s32 = in_s32_.host.data();
    arguments.in_u64 = in_u64_.host.data();
    arguments.in_s64 = in_s64_.host.data();
    arguments.in_f32 = in_f32_.host.data();
    arguments.in_f64 = in_f64_.host.data();
    arguments.in_u8 = in_u8_.host.data();
    arguments.in_s16 = in_s16_.host.data();
    arguments.in_four = in_four_.host.data();
    arguments.out = out_.host.data();
    arguments.sums = sums_.host.data();
    arguments.wide = wide_.host.data();
    for (u32 block = 0; block < kBlocks; ++block) subject.function(arguments, block);
    std::string wrong = difference("output", out_, kBlocks * kThreads);
    if (wrong.empty()) wrong = difference("sum", sums_, 1);
    if (wrong.empty()) wrong = difference("wide sum", wide_, 1);
    return wrong;
  }

 private:
  void send_all() {
    std::fill(out_.host.begin(), out_.host.end(), 0);
    std::fill(sums_.host.begin(), sums_.host.end(), 0);
    std::fill(wide_.host.begin(), wide_.host.end(), 0);
    in_u32_.send();
    in_s32_.send();
    in_u64_.send();
    in_s64_.send();
    in_f32_.send();
    in_f64_.send();
    in_u8_.send();
    in_s16_.send();
    in_four_.send();
    out_.send();
    sums_.send();
    wide_.send();
  }
  template <typename T>
  static std::string difference(const char* what, const Both<T>& values, std::size_t threads) {
    const std::vector<T> emulated = values.received();
    for (std::size_t i = 0; i < emulated.size(); ++i) {
      if (emulated[i] == values.host[i]) continue;
      char line[200];
      std::snprintf(line, sizeof line,
                    "differs: %s %zu of thread %zu is 0x%" PRIx64 ", as C++ it is 0x%" PRIx64, what,
                    i / threads, i % threads, std::uint64_t{emulated[i]},
                    std::uint64_t{values.host[i]});
      return line;
    }
    return {};
  }

  Both<u32> in_u32_{kInputs};
  Both<s32> in_s32_{kInputs};
  Both<u64> in_u64_{kInputs};
  Both<s64> in_s64_{kInputs};
  Both<f32> in_f32_{kInputs};
  Both<f64> in_f64_{kInputs};
  Both<u8> in_u8_{kInputs};
  Both<s16> in_s16_{kInputs};
  Both<Four> in_four_{kInputs};
  Both<u64> out_{std::size_t{kOutputs} * kBlocks * kThreads};
  Both<u32> sums_{kSums};
  Both<u64> wide_{kSums};
};

}  // namespace
}  // namespace velum::emulation::fuzz

int main(int argc, char** argv) {
  using namespace velum::emulation::fuzz;
  Comparison comparison;
  for (const HostKernel& kernel : host_kernels()) {
    const auto named = [&](const char* name) { return name == std::string(kernel.name); };
    if (argc > 1 && std::none_of(argv + 1, argv + argc, named)) continue;
    const std::string wrong = comparison.run(kernel);
    std::printf("%s: %s\n", kernel.name, wrong.empty() ? "equal" : wrong.c_str());
    std::fflush(stdout);
  }
  return 0;
}
