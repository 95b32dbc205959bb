// Graphs from captured streams: what is captured, that it runs again and again in its order and in
// no other, and the errors of a capture.
#include <cuda_runtime_api.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "device_fixture.h"
#include "graph_kernels.h"

namespace velum::emulation::graphs {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t kBytes = kSize * sizeof(int);

/// The graph of a capture that ended well, ready for launches.
class Executable {
 public:
  explicit Executable(cudaStream_t captured) {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(captured, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &nodes_), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&exec_, graph, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);  // the executable graph goes on without it
  }
  Executable(const Executable&) = delete;
  Executable& operator=(const Executable&) = delete;
  ~Executable() { EXPECT_EQ(cudaGraphExecDestroy(exec_), cudaSuccess); }
  std::size_t nodes() const { return nodes_; }
  void launch(cudaStream_t stream) const { ASSERT_EQ(cudaGraphLaunch(exec_, stream), cudaSuccess); }

 private:
  cudaGraphExec_t exec_ = nullptr;
  std::size_t nodes_ = 0;
};

std::vector<int> constant(int value) { return std::vector<int>(kSize, value); }

void begin(const Stream& stream, cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal) {
  ASSERT_EQ(cudaStreamBeginCapture(stream.get(), mode), cudaSuccess);
}
cudaStreamCaptureStatus status(const Stream& stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  EXPECT_EQ(cudaStreamIsCapturing(stream.get(), &status), cudaSuccess);
  return status;
}
/// Ends a capture that has gone wrong.
cudaError_t end_of(const Stream& stream) {
  cudaGraph_t graph = reinterpret_cast<cudaGraph_t>(&graph);
  const cudaError_t error = cudaStreamEndCapture(stream.get(), &graph);
  EXPECT_EQ(graph, nullptr);
  EXPECT_EQ(status(stream), cudaStreamCaptureStatusNone);
  static_cast<void>(cudaGetLastError());
  return error;
}

class Graphs : public EmulatedDeviceUnderSeeds {};

TEST_P(Graphs, RunWhatWasCapturedAgainAndAgain) {
  const Stream stream;
  const DeviceArray<int> sum(constant(1));
  const DeviceArray<int> other(kSize);
  int* host = nullptr;
  ASSERT_EQ(cudaMallocHost(reinterpret_cast<void**>(&host), kBytes), cudaSuccess);
  std::fill_n(host, kSize, -1);
  begin(stream);
  EXPECT_EQ(status(stream), cudaStreamCaptureStatusActive);
  ASSERT_EQ(cudaMemsetAsync(other.data(), 0, kBytes, stream.get()), cudaSuccess);
  ASSERT_EQ(add(sum.data(), other.data(), 5, sum.data(), stream.get()), cudaSuccess);
  ASSERT_EQ(add(sum.data(), sum.data(), 0, other.data(), stream.get()), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(host, other.data(), kBytes, cudaMemcpyDeviceToHost, stream.get()),
            cudaSuccess);
  const Executable graph(stream.get());
  EXPECT_EQ(graph.nodes(), 4U);
  EXPECT_EQ(status(stream), cudaStreamCaptureStatusNone);
  ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
  EXPECT_EQ(host[0], -1);  // nothing of it has run
  EXPECT_EQ(sum.to_host(), constant(1));
  for (int launches = 1; launches <= 3; ++launches) {
    graph.launch(stream.get());
    ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess) << last_report();
    EXPECT_EQ(sum.to_host(), constant(1 + 5 * launches));
    EXPECT_EQ(std::vector<int>(host, host + kSize), constant(2 * (1 + 5 * launches)));
  }
  // Launches of one graph keep their order, in different streams too.
  const Stream second;
  for (int i = 0; i < 4; ++i) graph.launch(i % 2 == 0 ? stream.get() : second.get());
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << last_report();
  EXPECT_EQ(sum.to_host(), constant(1 + 5 * 7));
  ASSERT_EQ(cudaFreeHost(host), cudaSuccess);
}

TEST_P(Graphs, ForkAndJoinByEvents) {
  const Stream first;
  const Stream second;
  const EventHandle forked;
  const EventHandle joined;
  const DeviceArray<int> in(constant(1));
  const DeviceArray<int> left(kSize);
  const DeviceArray<int> right(kSize);
  const DeviceArray<int> out(kSize);
  begin(first);
  ASSERT_EQ(add(in.data(), in.data(), 0, out.data(), first.get()), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(forked.get(), first.get()), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(second.get(), forked.get(), 0), cudaSuccess);
  EXPECT_EQ(status(second), cudaStreamCaptureStatusActive);
  ASSERT_EQ(add(out.data(), in.data(), 10, left.data(), first.get()), cudaSuccess);
  ASSERT_EQ(add(out.data(), in.data(), 20, right.data(), second.get()), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(joined.get(), second.get()), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(first.get(), joined.get(), 0), cudaSuccess);
  ASSERT_EQ(add(left.data(), right.data(), 0, in.data(), first.get()), cudaSuccess);
  const Executable graph(first.get());
  EXPECT_EQ(graph.nodes(), 4U);
  EXPECT_EQ(status(second), cudaStreamCaptureStatusNone);
  int expected = 1;
  for (int i = 0; i < 3; ++i) {
    graph.launch(second.get());
    expected = (2 * expected + expected + 10) + (2 * expected + expected + 20);
  }
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << last_report();
  EXPECT_EQ(in.to_host(), constant(expected));
}

TEST_P(Graphs, WaitForTheStreamThatTheyAreLaunchedIn) {
  const Stream stream;
  const Stream other;
  const DeviceArray<int> values(constant(0));
  begin(stream);
  ASSERT_EQ(add(values.data(), values.data(), 1, values.data(), stream.get()), cudaSuccess);
  const Executable graph(stream.get());
  ASSERT_EQ(add(values.data(), values.data(), 3, values.data(), stream.get()), cudaSuccess);
  graph.launch(stream.get());
  ASSERT_EQ(add(values.data(), values.data(), 3, values.data(), stream.get()), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess) << last_report();
  EXPECT_EQ(values.to_host(), constant(2 * (2 * 3 + 1) + 3));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Graphs, ::testing::Values(1, 2, 3, 0xDEADBEEF));

class GraphBranches : public EmulatedDevice {};

TEST_F(GraphBranches, HaveNoOrder) {
  std::set<int> seen;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    set_seed(seed);
    const Stream first;
    const Stream second;
    const EventHandle forked;
    const EventHandle joined;
    int value = 0;
    begin(first);
    ASSERT_EQ(cudaEventRecord(forked.get(), first.get()), cudaSuccess);
    ASSERT_EQ(cudaStreamWaitEvent(second.get(), forked.get(), 0), cudaSuccess);
    // Work without an access to device memory: else it would be a race.
    ASSERT_EQ(cudaLaunchHostFunc(
                  first.get(), [](void* data) { *static_cast<int*>(data) = 1; }, &value),
              cudaSuccess);
    ASSERT_EQ(cudaLaunchHostFunc(
                  second.get(), [](void* data) { *static_cast<int*>(data) = 2; }, &value),
              cudaSuccess);
    ASSERT_EQ(cudaEventRecord(joined.get(), second.get()), cudaSuccess);
    ASSERT_EQ(cudaStreamWaitEvent(first.get(), joined.get(), 0), cudaSuccess);
    const Executable graph(first.get());
    graph.launch(first.get());
    ASSERT_EQ(cudaStreamSynchronize(first.get()), cudaSuccess);
    seen.insert(value);
  }
  EXPECT_EQ(seen, (std::set<int>{1, 2}));
}

TEST_F(GraphBranches, ThatWriteTheSameMemoryAreARace) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    set_seed(seed);
    const Stream first;
    const Stream second;
    const EventHandle forked;
    const EventHandle joined;
    const DeviceArray<int> value(std::vector<int>(kSize, 0));
    begin(first);
    ASSERT_EQ(cudaEventRecord(forked.get(), first.get()), cudaSuccess);
    ASSERT_EQ(cudaStreamWaitEvent(second.get(), forked.get(), 0), cudaSuccess);
    ASSERT_EQ(cudaMemsetAsync(value.data(), 1, kBytes, first.get()), cudaSuccess);
    ASSERT_EQ(cudaMemsetAsync(value.data(), 2, kBytes, second.get()), cudaSuccess);
    ASSERT_EQ(cudaEventRecord(joined.get(), second.get()), cudaSuccess);
    ASSERT_EQ(cudaStreamWaitEvent(first.get(), joined.get(), 0), cudaSuccess);
    const Executable graph(first.get());
    graph.launch(first.get());
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    EXPECT_THAT(last_report(), HasSubstr("global memory race: a set in stream"));
    reset();
  }
}

class Captures : public EmulatedDevice {};

TEST_F(Captures, AreInvalidAfterAWaitForTheirStream) {
  const Stream stream;
  begin(stream);
  EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(status(stream), cudaStreamCaptureStatusInvalidated);
  EXPECT_EQ(cudaLaunchHostFunc(
                stream.get(), [](void*) {}, nullptr),
            cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(end_of(stream), cudaErrorStreamCaptureInvalidated);
  begin(stream);
  EXPECT_EQ(cudaStreamQuery(stream.get()), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(end_of(stream), cudaErrorStreamCaptureInvalidated);
  for (const cudaStreamCaptureMode mode :
       {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal,
        cudaStreamCaptureModeRelaxed}) {
    begin(stream, mode);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
    EXPECT_EQ(end_of(stream), cudaErrorStreamCaptureInvalidated);
  }
}

TEST_F(Captures, LetUnsafeCallsThroughByTheirMode) {
  const Stream stream;
  void* memory = nullptr;
  begin(stream);
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(end_of(stream), cudaErrorStreamCaptureInvalidated);
  begin(stream, cudaStreamCaptureModeThreadLocal);
  cudaError_t of_other_thread = cudaErrorUnknown;
  std::thread([&] {
    of_other_thread = cudaMalloc(&memory, 16);
    static_cast<void>(cudaFree(memory));
  }).join();
  EXPECT_EQ(of_other_thread, cudaSuccess);
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(end_of(stream), cudaErrorStreamCaptureInvalidated);
  begin(stream, cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaSuccess);
  const Executable graph(stream.get());
  EXPECT_EQ(graph.nodes(), 0U);
  graph.launch(stream.get());
  EXPECT_EQ(cudaStreamSynchronize(stream.get()), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

TEST_F(Captures, KeepTheLegacyStreamOut) {
  const DeviceArray<int> values(constant(0));
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal),
            cudaErrorStreamCaptureUnsupported);
  const Stream blocking(cudaStreamDefault);
  begin(blocking);
  EXPECT_EQ(add(values.data(), values.data(), 1, values.data(), nullptr),
            cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(end_of(blocking), cudaErrorStreamCaptureInvalidated);
  const Stream stream;
  begin(stream);
  EXPECT_EQ(add(values.data(), values.data(), 1, values.data(), nullptr), cudaSuccess);
  const Executable graph(stream.get());
  EXPECT_EQ(graph.nodes(), 0U);
  EXPECT_EQ(values.to_host(), constant(1));
}

TEST_F(Captures, TakeNoMemoryOfStreams) {
  const Stream stream;
  void* memory = nullptr;
  begin(stream);
  EXPECT_EQ(cudaMallocAsync(&memory, 16, stream.get()), cudaErrorNotSupported);
  EXPECT_EQ(end_of(stream), cudaErrorStreamCaptureInvalidated);
  begin(stream);
  EXPECT_EQ(cudaFreeAsync(memory, stream.get()), cudaErrorNotSupported);
  EXPECT_EQ(end_of(stream), cudaErrorStreamCaptureInvalidated);
  begin(stream);
  EXPECT_EQ(cudaFree(nullptr), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(end_of(stream), cudaErrorStreamCaptureInvalidated);
}

TEST_F(Captures, TakeNoPageableMemory) {
  const Stream stream;
  const DeviceArray<int> values(constant(0));
  std::vector<int> host(kSize);
  begin(stream);
  EXPECT_EQ(
      cudaMemcpyAsync(host.data(), values.data(), kBytes, cudaMemcpyDeviceToHost, stream.get()),
      cudaErrorStreamCaptureUnsupported);
  EXPECT_THAT(last_report(), HasSubstr("pageable memory"));
  EXPECT_EQ(end_of(stream), cudaErrorStreamCaptureInvalidated);
}

TEST_F(Captures, EndWhereTheyBeganAndWithAllThatTheyForked) {
  const Stream first;
  const Stream second;
  const EventHandle event;
  const DeviceArray<int> values(constant(0));
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(first.get(), &graph), cudaErrorIllegalState);
  begin(first);
  EXPECT_EQ(cudaStreamBeginCapture(first.get(), cudaStreamCaptureModeGlobal),
            cudaErrorIllegalState);
  ASSERT_EQ(cudaEventRecord(event.get(), first.get()), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(second.get(), event.get(), 0), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(values.data(), 0, kBytes, second.get()), cudaSuccess);
  EXPECT_EQ(end_of(first), cudaErrorStreamCaptureUnjoined);
  begin(first);
  ASSERT_EQ(cudaEventRecord(event.get(), first.get()), cudaSuccess);
  ASSERT_EQ(cudaStreamWaitEvent(second.get(), event.get(), 0), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(second.get(), &graph), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(end_of(first), cudaErrorStreamCaptureInvalidated);
  begin(first);
  cudaError_t of_other_thread = cudaSuccess;
  std::thread([&] { of_other_thread = cudaStreamEndCapture(first.get(), &graph); }).join();
  EXPECT_EQ(of_other_thread, cudaErrorStreamCaptureWrongThread);
  const Executable empty(first.get());
}

TEST_F(Captures, WaitForNothingOutsideOfThem) {
  const Stream first;
  const Stream second;
  const EventHandle event;
  const DeviceArray<int> values(constant(0));
  ASSERT_EQ(cudaMemsetAsync(values.data(), 0, kBytes, second.get()), cudaSuccess);
  ASSERT_EQ(cudaEventRecord(event.get(), second.get()), cudaSuccess);
  begin(first);
  EXPECT_EQ(cudaStreamWaitEvent(first.get(), event.get(), 0), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(end_of(first), cudaErrorStreamCaptureInvalidated);
  begin(first);
  begin(second);
  ASSERT_EQ(cudaEventRecord(event.get(), second.get()), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event.get()), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaEventQuery(event.get()), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaStreamWaitEvent(first.get(), event.get(), 0), cudaErrorStreamCaptureMerge);
  EXPECT_EQ(end_of(first), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(end_of(second), cudaErrorStreamCaptureInvalidated);
}

TEST_F(Captures, HandlesOfGraphsAreChecked) {
  const Stream stream;
  int nothing = 0;
  cudaGraphExec_t exec = nullptr;
  EXPECT_EQ(cudaGraphDestroy(reinterpret_cast<cudaGraph_t>(&nothing)), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGraphInstantiate(&exec, reinterpret_cast<cudaGraph_t>(&nothing), 0),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaGraphLaunch(reinterpret_cast<cudaGraphExec_t>(&nothing), stream.get()),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaGraphExecDestroy(reinterpret_cast<cudaGraphExec_t>(&nothing)),
            cudaErrorInvalidValue);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorStreamCaptureUnjoined), "cudaErrorStreamCaptureUnjoined");
}

}  // namespace
}  // namespace velum::emulation::graphs
