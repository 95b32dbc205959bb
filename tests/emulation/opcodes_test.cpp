// Every arithmetic instruction of the translator's table, on edge values, against the definitions
// of the PTX manual (opcodes/ptx_definitions.py).
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "device_fixture.h"

namespace velum::emulation {
namespace {

/// The file that opcodes/make_opcode_tests.py wrote.
class CaseFile {
 public:
  explicit CaseFile(const char* path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }
  template <typename T>
  T take() {
    T value{};
    if (position_ + sizeof value > bytes_.size()) throw std::out_of_range("the case file is short");
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }
  std::string take_text() {
    std::string text(take<std::uint32_t>(), '\0');
    for (char& c : text) c = take<char>();
    return text;
  }
  bool at_end() const { return position_ == bytes_.size(); }

 private:
  std::vector<char> bytes_;
  std::size_t position_ = 0;
};

struct Expected {
  std::uint64_t bits;
  std::uint64_t carry;
  bool any_nan;
};
struct Instance {
  std::string name;
  std::uint32_t bits = 0;
  std::uint32_t operands = 0;
  std::vector<Expected> expected;
};

bool is_nan(std::uint64_t bits, std::uint32_t width) {
  if (width == 32) {
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return std::isnan(value);
  }
  double value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return std::isnan(value);
}

class Opcodes : public EmulatedDevice {};

TEST_F(Opcodes, GiveWhatTheManualDefines) {
  CaseFile file(VELUM_OPCODE_CASES);
  const auto entries = file.take<std::uint32_t>();
  const auto cases = file.take<std::uint32_t>();
  const auto slots = file.take<std::uint32_t>();
  std::size_t instructions = 0;
  for (std::uint32_t entry = 0; entry < entries; ++entry) {
    const std::string entry_name = file.take_text();
    std::vector<Instance> instances(file.take<std::uint32_t>());
    std::vector<std::uint64_t> inputs;
    for (Instance& instance : instances) {
      instance.name = file.take_text();
      instance.bits = file.take<std::uint32_t>();
      instance.operands = file.take<std::uint32_t>();
      for (std::uint32_t i = 0; i < cases; ++i) {
        for (std::uint32_t s = 0; s < slots; ++s) inputs.push_back(file.take<std::uint64_t>());
        Expected expected{};
        expected.bits = file.take<std::uint64_t>();
        expected.carry = file.take<std::uint32_t>();
        expected.any_nan = file.take<std::uint32_t>() != 0;
        instance.expected.push_back(expected);
      }
    }
    instructions += instances.size();

    const DeviceArray<std::uint64_t> in(inputs);
    const DeviceArray<std::uint64_t> out(std::vector<std::uint64_t>(instances.size() * cases * 2));
    const void* const kernel_handle = kernel(entry_name.c_str());
    ASSERT_NE(kernel_handle, nullptr) << entry_name;
    std::uint64_t* pointers[] = {in.data(), out.data()};
    void* arguments[] = {&pointers[0], &pointers[1]};
    ASSERT_EQ(cudaLaunchKernel(kernel_handle, 1, cases, arguments, 0, nullptr), cudaSuccess);
    const std::vector<std::uint64_t> results = out.to_host();

    for (std::size_t k = 0; k < instances.size(); ++k) {
      const Instance& instance = instances[k];
      for (std::size_t i = 0; i < cases; ++i) {
        const Expected& expected = instance.expected[i];
        const std::uint64_t result = results[2 * (k * cases + i)];
        const bool equal =
            expected.any_nan ? is_nan(result, instance.bits) : result == expected.bits;
        std::string operands;
        for (std::size_t s = 0; s < instance.operands && !equal; ++s) {
          operands += " " + std::to_string(inputs[(k * cases + i) * slots + s]);
        }
        ASSERT_TRUE(equal) << instance.name << " of" << operands << " gave " << result
                           << ", expected "
                           << (expected.any_nan ? "NaN" : std::to_string(expected.bits));
        ASSERT_EQ(results[2 * (k * cases + i) + 1], expected.carry) << "carry of " << instance.name;
      }
    }
  }
  EXPECT_TRUE(file.at_end());
  EXPECT_GE(instructions, 2400U);
}

}  // namespace
}  // namespace velum::emulation
