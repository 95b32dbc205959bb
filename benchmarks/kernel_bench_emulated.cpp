// Every case of kernel_cases.h once on the emulated device, each under its name in the profile that
// VELUM_EMULATION_PROFILE asks for. Writes what scripts/roofline must know of the cases as JSON.
//
//   kernel_bench_emulated CASES.json [REGEX]     cases whose names match
#include <cstdio>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <stdexcept>
#include <string>

#include "emulation.h"
#include "kernel_cases.h"
#include "velum/kernels/buffer.h"

namespace {

using velum::benchmarking::KernelCase;
using velum::kernels::Stream;

nlohmann::ordered_json described(const KernelCase& kernel_case) {
  nlohmann::ordered_json entry{
      {"name", kernel_case.name},
      {"element", kernel_case.element},
      {"elements", kernel_case.elements_per_row * kernel_case.rows},
      {"emulated_elements", kernel_case.elements_per_row * kernel_case.emulated_rows}};
  if (kernel_case.least) {
    const auto& least = *kernel_case.least;
    entry["least"] = {{"bytes", least.bytes}, {"multiply", least.multiply}, {"wide", least.wide},
                      {"alu", least.alu},     {"fp32", least.fp32},         {"fp64", least.fp64},
                      {"dmma", least.dmma}};
  }
  return entry;
}

void run(const char* file, const std::regex& wanted) {
  const Stream stream = Stream::cuda(nullptr, 0);
  nlohmann::ordered_json cases = nlohmann::ordered_json::array();
  for (const KernelCase& kernel_case : velum::benchmarking::kernel_cases()) {
    if (!std::regex_search(kernel_case.name, wanted)) continue;
    const auto operation = kernel_case.prepare(kernel_case.emulated_rows, stream);
    velum::emulation::profile_label(kernel_case.name.c_str());
    operation();
    velum::kernels::synchronize(stream);
    velum::emulation::profile_label("");
    cases.push_back(described(kernel_case));
  }
  if (cases.empty()) throw std::runtime_error("no case has such a name");
  std::ofstream out(file);
  out << nlohmann::ordered_json{{"version", 1}, {"cases", cases}}.dump(1) << '\n';
  if (!out.flush()) throw std::runtime_error(std::string(file) + " cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: kernel_bench_emulated CASES.json [REGEX]\n");
    return 2;
  }
  try {
    run(argv[1], std::regex(argc == 3 ? argv[2] : ""));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kernel_bench_emulated: %s\n", error.what());
    return 1;
  }
  return 0;
}
