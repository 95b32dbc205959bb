// Every arithmetic instruction of the translator's table, on edge values, against the definitions
// of the PTX manual (opcodes/ptx_definitions.py).
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>
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
  std::uint64_t infinity = 0;   // of the result's type; 0: no float
  std::uint64_t tolerance = 0;  // in units of the last place, of each half of a pair
  std::vector<Expected> expected;
};

/// Whether the magnitude of a float of `width` bits is above that of infinity.
bool is_nan(std::uint64_t bits, std::uint32_t width, std::uint64_t infinity) {
  const std::uint64_t magnitude = bits & ((std::uint64_t{1} << (width - 1)) - 1);
  return infinity != 0 && magnitude > infinity;
}

/// Whether two numbers of one sign are at most `tolerance` steps apart.
bool is_close(std::uint64_t a, std::uint64_t b, std::uint64_t tolerance) {
  return (a > b ? a - b : b - a) <= tolerance;
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
      instance.infinity = file.take<std::uint64_t>();
      instance.tolerance = file.take<std::uint64_t>();
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
        bool equal = is_close(result, expected.bits, instance.tolerance);
        if (expected.any_nan) {
          equal = is_nan(result, instance.bits, instance.infinity);
        } else if (instance.tolerance != 0 && instance.infinity == 0) {  // a pair
          equal = is_close(result >> 16, expected.bits >> 16, instance.tolerance) &&
                  is_close(result & 0xFFFF, expected.bits & 0xFFFF, instance.tolerance);
        }
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
  EXPECT_GE(instructions, 3700U);
}

/// Runs the entries of a file of accesses to memory; gives the number of their instructions.
std::size_t run_accesses(CaseFile file) {
  const auto entries = file.take<std::uint32_t>();
  const auto blocks = file.take<std::uint32_t>();
  const auto cases = file.take<std::uint32_t>();
  const auto in_bytes = file.take<std::uint32_t>();
  const auto out_bytes = file.take<std::uint32_t>();
  std::size_t instructions = 0;
  for (std::uint32_t entry = 0; entry < entries; ++entry) {
    const std::string entry_name = file.take_text();
    std::vector<std::string> names(file.take<std::uint32_t>());
    for (std::string& name : names) name = file.take_text();
    instructions += names.size();
    std::vector<std::uint8_t> inputs(names.size() * cases * in_bytes);
    for (std::uint8_t& byte : inputs) byte = file.take<std::uint8_t>();
    std::vector<std::uint8_t> expected(names.size() * cases * out_bytes);
    for (std::uint8_t& byte : expected) byte = file.take<std::uint8_t>();
    const std::size_t of_a_block = expected.size();
    for (std::uint32_t block = 1; block < blocks; ++block) {
      for (std::size_t i = 0; i < of_a_block; ++i) expected.push_back(expected[i]);
    }

    const DeviceArray<std::uint8_t> in(inputs);
    const DeviceArray<std::uint8_t> out(std::vector<std::uint8_t>(expected.size()));
    const void* const kernel_handle = kernel(entry_name.c_str());
    EXPECT_NE(kernel_handle, nullptr) << entry_name;
    std::uint8_t* pointers[] = {in.data(), out.data()};
    std::array<std::uint8_t, 32> parameter{};  // of access_instances.py
    for (std::size_t i = 0; i < parameter.size(); ++i) {
      parameter[i] = static_cast<std::uint8_t>(37 * i + 129);
    }
    void* arguments[] = {&pointers[0], &pointers[1], parameter.data()};
    EXPECT_EQ(cudaLaunchKernel(kernel_handle, blocks, cases, arguments, 0, nullptr), cudaSuccess);
    const std::vector<std::uint8_t> results = out.to_host();
    const auto difference = std::mismatch(results.begin(), results.end(), expected.begin());
    if (difference.first == results.end()) continue;
    const auto at = static_cast<std::size_t>(difference.first - results.begin());
    const std::size_t case_at = at % of_a_block / out_bytes;
    ADD_FAILURE() << names[case_at / cases] << ", case " << case_at % cases << ", by block "
                  << at / of_a_block << ", byte " << at % out_bytes
                  << " of the result and the cell: " << int{*difference.first} << ", expected "
                  << int{*difference.second};
  }
  EXPECT_TRUE(file.at_end());
  return instructions;
}

TEST_F(Opcodes, ChangeMemoryAsTheManualDefines) {
  EXPECT_GE(run_accesses(CaseFile(VELUM_ATOMIC_CASES)), 750U);
}

TEST_F(Opcodes, LoadAndStoreAsTheManualDefines) {
  EXPECT_GE(run_accesses(CaseFile(VELUM_ACCESS_CASES)), 1500U);
}

TEST_F(Opcodes, ReachTheSharedMemoryOfAnotherBlockAsTheManualDefines) {
  EXPECT_GE(run_accesses(CaseFile(VELUM_CLUSTER_CASES)), 1100U);
}

TEST_F(Opcodes, MoveVectorsOf32Bytes) {
  std::vector<std::uint32_t> words(64);
  std::iota(words.begin(), words.end(), 1U);
  for (const std::size_t element : {std::size_t{1}, std::size_t{2}}) {  // in words
    const DeviceArray<std::uint32_t> in(words);
    const DeviceArray<std::uint32_t> out(std::vector<std::uint32_t>(words.size()));
    const char* const name = element == 1 ? "reverse_8_words" : "reverse_4_longs";
    std::uint32_t* pointers[] = {in.data(), out.data()};
    void* arguments[] = {&pointers[0], &pointers[1]};
    ASSERT_EQ(cudaLaunchKernel(kernel(name), 1, 8, arguments, 0, nullptr), cudaSuccess);
    const std::vector<std::uint32_t> results = out.to_host();
    for (std::size_t i = 0; i < words.size(); ++i) {
      const std::size_t place = i % 8 / element;
      const std::size_t from = i / 8 * 8 + (8 / element - 1 - place) * element + i % element;
      EXPECT_EQ(results[i], words[from]) << name << ", word " << i;
    }
    pointers[0] += 4;  // 16 bytes
    ASSERT_EQ(cudaLaunchKernel(kernel(name), 1, 7, arguments, 0, nullptr), cudaSuccess);
    EXPECT_NE(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_NE(last_report().find("misaligned address"), std::string::npos) << last_report();
    reset();
  }
}

}  // namespace
}  // namespace velum::emulation
