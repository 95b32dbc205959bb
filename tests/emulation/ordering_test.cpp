// Whether a message by every order and scope is a race (opcodes/ordering_instances.py).
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "device_fixture.h"

namespace velum::emulation {
namespace {

struct Message {
  std::string kernel;
  unsigned blocks = 0;
  unsigned threads = 0;
  bool is_ordered = false;
  std::string instructions;
};

std::vector<Message> messages() {
  std::ifstream file(VELUM_ORDERING_CASES);
  std::vector<Message> messages;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    Message message;
    fields >> message.kernel >> message.blocks >> message.threads >> message.is_ordered;
    std::getline(fields, message.instructions);
    messages.push_back(message);
  }
  return messages;
}

class Orders : public EmulatedDevice {};

TEST_F(Orders, MakeAMessageNoRaceWhereTheManualDoes) {
  const std::vector<Message> all = messages();
  EXPECT_GE(all.size(), 400U);
  for (const Message& message : all) {
    // Some of the seeds run the writer before the reader.
    bool was_read = false;
    for (std::uint64_t seed = 1; seed <= 40 && !was_read; ++seed) {
      reset();
      set_seed(seed);
      const DeviceArray<std::uint32_t> memory(std::vector<std::uint32_t>(16));
      std::uint32_t* pointer = memory.data();
      void* arguments[] = {&pointer};
      ASSERT_EQ(cudaLaunchKernel(kernel(message.kernel.c_str()), message.blocks, message.threads,
                                 arguments, 0, nullptr),
                cudaSuccess)
          << message.kernel;
      if (cudaDeviceSynchronize() != cudaSuccess) {
        was_read = true;
        EXPECT_NE(last_report().find("race"), std::string::npos) << last_report();
        EXPECT_FALSE(message.is_ordered) << message.kernel << message.instructions << last_report();
        reset();
        continue;
      }
      const std::vector<std::uint32_t> results = memory.to_host();
      was_read = results[8] != 0;
      if (was_read) {
        EXPECT_TRUE(message.is_ordered) << message.kernel << message.instructions << " was no race";
        EXPECT_EQ(results[9], 42U) << message.kernel << message.instructions;
      }
    }
    EXPECT_TRUE(was_read) << message.kernel << message.instructions;
  }
}

}  // namespace
}  // namespace velum::emulation
