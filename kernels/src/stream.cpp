#include "velum/kernels/stream.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace velum::kernels {
namespace {

class SerialFor final : public ParallelFor {
 public:
  int thread_count() const override { return 1; }
  void run(std::int64_t count, std::int64_t /*grain*/,
           const std::function<void(std::int64_t, std::int64_t)>& body) override {
    if (count > 0) body(0, count);
  }
};

class TbbFor final : public ParallelFor {
 public:
  explicit TbbFor(int threads) : threads_(threads), arena_(threads) {}
  int thread_count() const override { return threads_; }
  void run(std::int64_t count, std::int64_t grain,
           const std::function<void(std::int64_t, std::int64_t)>& body) override {
    if (count <= 0) return;
    grain = std::max<std::int64_t>(grain, 1);
    const std::int64_t chunks = (count + grain - 1) / grain;
    arena_.execute([&] {
      oneapi::tbb::parallel_for(oneapi::tbb::blocked_range<std::int64_t>(0, chunks),
                                [&](const oneapi::tbb::blocked_range<std::int64_t>& range) {
                                  body(range.begin() * grain, std::min(count, range.end() * grain));
                                });
    });
  }

 private:
  int threads_;
  oneapi::tbb::task_arena arena_;
};

}  // namespace

std::string_view to_string(Backend backend) { return backend == Backend::kCpu ? "cpu" : "cuda"; }

Stream Stream::cpu(int threads) {
  if (threads < 1) {
    throw std::invalid_argument("Stream::cpu: threads = " + std::to_string(threads) +
                                ", expected at least 1");
  }
  if (threads == 1) return serial();
  return Stream(Backend::kCpu, nullptr, -1, std::make_shared<TbbFor>(threads));
}

Stream Stream::cpu(std::shared_ptr<ParallelFor> parallel_for) {
  if (parallel_for == nullptr) {
    throw std::invalid_argument("Stream::cpu: parallel_for is null, expected a scheduler");
  }
  return Stream(Backend::kCpu, nullptr, -1, std::move(parallel_for));
}

Stream Stream::serial() {
  static const std::shared_ptr<ParallelFor> serial_for = std::make_shared<SerialFor>();
  return Stream(Backend::kCpu, nullptr, -1, serial_for);
}

Stream Stream::cuda(void* cuda_stream, int device) {
  if (device < 0) {
    throw std::invalid_argument("Stream::cuda: device = " + std::to_string(device) +
                                ", expected at least 0");
  }
  return Stream(Backend::kCuda, cuda_stream, device, nullptr);
}

}  // namespace velum::kernels
