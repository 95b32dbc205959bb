#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/streams.h"
#include "runtime/types.h"

namespace velum::emulation {

/// One piece of captured work, and the nodes that come before it, by their numbers.
struct GraphNode {
  std::function<void()> run;
  std::vector<u32> after;
};

struct Graph {
  std::vector<GraphNode> nodes;
};

/// A graph that can be launched. Its launches run one after the other.
struct GraphExec {
  std::shared_ptr<const Graph> graph;
  StreamPoint last;
};

/// Stream captures, and the graphs that they become. Work of a stream that is being captured is
/// not enqueued but added to the capture; a mistake invalidates the capture, as with CUDA, and its
/// end says so.
class Graphs {
 public:
  // Captures
  cudaError_t begin(StreamQueue& stream, bool is_legacy, cudaStreamCaptureMode mode);
  cudaError_t end(StreamQueue& stream, cudaGraph_t* graph);
  cudaStreamCaptureStatus status_of(const StreamQueue& stream) const;
  /// The number of the stream's capture; 0 if it is not being captured.
  u64 capture_of(const StreamQueue& stream) const;
  /// Whether work may be given to the stream now: an error if its capture is invalid, or if it is
  /// the legacy stream, which would wait for a stream that is being captured.
  cudaError_t check_use(const StreamQueue& stream, bool is_legacy);
  /// The same for a call that waits for the stream or asks how far it is.
  cudaError_t check_wait(const StreamQueue& stream, bool is_legacy);
  /// The same for a call that waits for the whole device.
  cudaError_t check_wait_for_all();
  /// The same for a call that may wait for the device, which is an error unless all captures are
  /// relaxed, or those of other threads are thread-local.
  cudaError_t check_unsafe();
  /// Adds work to the stream's capture; false if it is not being captured.
  bool add(const StreamQueue& stream, std::function<void()>& run);
  /// What is refused in a capture: the capture is invalid then.
  void invalidate(const StreamQueue& stream);

  /// Records an event; an event that was recorded in a capture is not one of a stream.
  CapturedPoint record(const StreamQueue& stream) const;
  /// A stream waits for an event: `captured` in a capture, or outside of one.
  cudaError_t wait(StreamQueue& stream, bool is_legacy, const CapturedPoint& captured,
                   bool* is_done);

  // Graphs
  Graph* find(cudaGraph_t handle) const;
  void destroy(Graph* graph) { graphs_.erase(graph); }
  GraphExec* instantiate(const Graph& graph);
  GraphExec* find(cudaGraphExec_t handle) const;
  void destroy(GraphExec* exec) { execs_.erase(exec); }
  /// Forgets captures: what is given to their streams then is work.
  void clear() { captures_.clear(); }

 private:
  struct Capture {
    const StreamQueue* origin = nullptr;
    std::thread::id thread;
    cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
    bool is_valid = true;
    Graph graph;
    /// The streams that take part, and the nodes that their next one comes after.
    std::map<const StreamQueue*, std::vector<u32>> streams;
  };

  Capture* find_capture(const StreamQueue& stream);
  const Capture* find_capture(const StreamQueue& stream) const;

  std::map<u64, Capture> captures_;
  u64 last_capture_ = 0;
  std::map<const Graph*, std::shared_ptr<Graph>> graphs_;
  std::map<const GraphExec*, std::unique_ptr<GraphExec>> execs_;
};

}  // namespace velum::emulation
