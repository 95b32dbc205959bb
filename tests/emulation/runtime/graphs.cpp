#include "runtime/graphs.h"

#include <algorithm>

namespace velum::emulation {

Graphs::Capture* Graphs::find_capture(const StreamQueue& stream) {
  for (auto& [number, capture] : captures_) {
    if (capture.streams.contains(&stream)) return &capture;
  }
  return nullptr;
}

const Graphs::Capture* Graphs::find_capture(const StreamQueue& stream) const {
  for (const auto& [number, capture] : captures_) {
    if (capture.streams.contains(&stream)) return &capture;
  }
  return nullptr;
}

u64 Graphs::capture_of(const StreamQueue& stream) const {
  for (const auto& [number, capture] : captures_) {
    if (capture.streams.contains(&stream)) return number;
  }
  return 0;
}

cudaStreamCaptureStatus Graphs::status_of(const StreamQueue& stream) const {
  const Capture* const capture = find_capture(stream);
  if (capture == nullptr) return cudaStreamCaptureStatusNone;
  return capture->is_valid ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusInvalidated;
}

cudaError_t Graphs::begin(StreamQueue& stream, bool is_legacy, cudaStreamCaptureMode mode) {
  if (mode != cudaStreamCaptureModeGlobal && mode != cudaStreamCaptureModeThreadLocal &&
      mode != cudaStreamCaptureModeRelaxed) {
    return cudaErrorInvalidValue;
  }
  if (is_legacy) return cudaErrorStreamCaptureUnsupported;
  if (find_capture(stream) != nullptr) return cudaErrorIllegalState;
  Capture& capture = captures_[++last_capture_];
  capture.origin = &stream;
  capture.thread = std::this_thread::get_id();
  capture.mode = mode;
  capture.streams[&stream] = {};
  return cudaSuccess;
}

cudaError_t Graphs::end(StreamQueue& stream, cudaGraph_t* graph) {
  *graph = nullptr;
  const u64 number = capture_of(stream);
  if (number == 0) return cudaErrorIllegalState;
  Capture& capture = captures_[number];
  if (capture.origin != &stream) {
    capture.is_valid = false;
    return cudaErrorStreamCaptureUnmatched;
  }
  if (capture.mode != cudaStreamCaptureModeRelaxed &&
      capture.thread != std::this_thread::get_id()) {
    return cudaErrorStreamCaptureWrongThread;
  }
  const Capture ended = std::move(capture);
  captures_.erase(number);
  if (!ended.is_valid) return cudaErrorStreamCaptureInvalidated;
  // All that was captured must come before the end of the first stream.
  std::vector<bool> joined(ended.graph.nodes.size());
  for (const u32 node : ended.streams.at(&stream)) joined[node] = true;
  for (u32 node = static_cast<u32>(joined.size()); node-- > 0;) {
    if (!joined[node]) return cudaErrorStreamCaptureUnjoined;
    for (const u32 before : ended.graph.nodes[node].after) joined[before] = true;
  }
  auto created = std::make_shared<Graph>(ended.graph);
  *graph = reinterpret_cast<cudaGraph_t>(created.get());
  graphs_[created.get()] = std::move(created);
  return cudaSuccess;
}

cudaError_t Graphs::check_use(const StreamQueue& stream, bool is_legacy) {
  if (const Capture* const capture = find_capture(stream)) {
    return capture->is_valid ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
  }
  if (!is_legacy) return cudaSuccess;
  cudaError_t error = cudaSuccess;
  for (auto& [number, capture] : captures_) {
    for (const auto& [other, tails] : capture.streams) {
      if (!other->waits_for_legacy) continue;
      capture.is_valid = false;
      error = cudaErrorStreamCaptureImplicit;
    }
  }
  return error;
}

cudaError_t Graphs::check_wait(const StreamQueue& stream, bool is_legacy) {
  const cudaError_t error = check_use(stream, is_legacy);
  if (error != cudaSuccess) return error;
  Capture* const capture = find_capture(stream);
  if (capture == nullptr) return cudaSuccess;
  capture->is_valid = false;
  return cudaErrorStreamCaptureUnsupported;
}

cudaError_t Graphs::check_wait_for_all() {
  for (auto& [number, capture] : captures_) capture.is_valid = false;
  return captures_.empty() ? cudaSuccess : cudaErrorStreamCaptureUnsupported;
}

cudaError_t Graphs::check_unsafe() {
  cudaError_t error = cudaSuccess;
  for (auto& [number, capture] : captures_) {
    const bool own = capture.thread == std::this_thread::get_id();
    if (capture.mode == cudaStreamCaptureModeRelaxed ||
        (capture.mode == cudaStreamCaptureModeThreadLocal && !own)) {
      continue;
    }
    capture.is_valid = false;
    error = cudaErrorStreamCaptureUnsupported;
  }
  return error;
}

bool Graphs::add(const StreamQueue& stream, std::function<void()>& run) {
  Capture* const capture = find_capture(stream);
  if (capture == nullptr) return false;
  std::vector<u32>& tails = capture->streams[&stream];
  const auto number = static_cast<u32>(capture->graph.nodes.size());
  capture->graph.nodes.push_back({std::move(run), std::move(tails)});
  tails = {number};
  return true;
}

void Graphs::invalidate(const StreamQueue& stream) {
  if (Capture* const capture = find_capture(stream)) capture->is_valid = false;
}

CapturedPoint Graphs::record(const StreamQueue& stream) const {
  const u64 number = capture_of(stream);
  if (number == 0) return {};
  return {number, captures_.at(number).streams.at(&stream)};
}

cudaError_t Graphs::wait(StreamQueue& stream, bool is_legacy, const CapturedPoint& captured,
                         bool* is_done) {
  *is_done = true;
  Capture* const own = find_capture(stream);
  if (captured.capture == 0) {
    if (own == nullptr) {
      *is_done = false;  // an ordinary wait
      return cudaSuccess;
    }
    own->is_valid = false;  // of work outside of the capture, which no graph can wait for
    return cudaErrorStreamCaptureIsolation;
  }
  const auto it = captures_.find(captured.capture);
  if (it == captures_.end()) return cudaErrorCapturedEvent;  // the capture has ended
  Capture& capture = it->second;
  if (is_legacy) {
    capture.is_valid = false;
    return cudaErrorStreamCaptureImplicit;
  }
  if (own != nullptr && own != &capture) {
    own->is_valid = false;
    capture.is_valid = false;
    return cudaErrorStreamCaptureMerge;
  }
  if (!capture.is_valid) return cudaErrorStreamCaptureInvalidated;
  std::vector<u32>& tails = capture.streams[&stream];  // it takes part from now on
  for (const u32 node : captured.nodes) {
    if (std::find(tails.begin(), tails.end(), node) == tails.end()) tails.push_back(node);
  }
  return cudaSuccess;
}

Graph* Graphs::find(cudaGraph_t handle) const {
  const auto it = graphs_.find(reinterpret_cast<const Graph*>(handle));
  return it == graphs_.end() ? nullptr : it->second.get();
}

GraphExec* Graphs::instantiate(const Graph& graph) {
  auto exec = std::make_unique<GraphExec>();
  exec->graph = graphs_.at(&graph);
  GraphExec* const key = exec.get();
  execs_[key] = std::move(exec);
  return key;
}

GraphExec* Graphs::find(cudaGraphExec_t handle) const {
  const auto it = execs_.find(reinterpret_cast<const GraphExec*>(handle));
  return it == execs_.end() ? nullptr : it->second.get();
}

}  // namespace velum::emulation
