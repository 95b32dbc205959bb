#include "runtime/streams.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace velum::emulation {

StreamQueue* Streams::find(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return legacy_;
  if (handle == cudaStreamPerThread) {
    StreamQueue*& own = per_thread_[std::this_thread::get_id()];
    if (own == nullptr) own = create(true);
    return own;
  }
  const auto it = std::find(live_.begin(), live_.end(), reinterpret_cast<StreamQueue*>(handle));
  return it == live_.end() || (*it)->destroyed ? nullptr : *it;
}

StreamQueue* Streams::create(bool waits_for_legacy) {
  StreamQueue& stream = *all_.emplace_back(std::make_unique<StreamQueue>());
  stream.waits_for_legacy = waits_for_legacy;
  live_.push_back(&stream);
  return &stream;
}

void Streams::destroy(StreamQueue& stream) {
  stream.destroyed = true;
  forget_finished();
}

void Streams::forget_finished() {
  std::erase_if(live_, [](const StreamQueue* s) { return s->destroyed && s->is_idle(); });
}

Event* Streams::find(cudaEvent_t handle) {
  const auto it = events_.find(reinterpret_cast<Event*>(handle));
  return it == events_.end() ? nullptr : it->first;
}

Event* Streams::create_event() {
  auto event = std::make_unique<Event>();
  Event* const key = event.get();
  events_[key] = std::move(event);
  return key;
}

StreamPoint Streams::enqueue(StreamQueue& stream, std::function<void()> run, StreamPoint after) {
  Work work{{}, std::move(run)};
  if (!is_done(after)) work.after.push_back(after);
  // Work of the legacy stream and of a blocking stream is ordered by the time when it was enqueued.
  if (&stream == legacy_) {
    for (const StreamQueue* const other : live_) {
      if (other != legacy_ && other->waits_for_legacy && !other->is_idle()) {
        work.after.push_back({other, other->enqueued});
      }
    }
  } else if (stream.waits_for_legacy && !legacy_->is_idle()) {
    work.after.push_back({legacy_, legacy_->enqueued});
  }
  stream.work.push_back(std::move(work));
  const StreamPoint point{&stream, ++stream.enqueued};
  if (random_.below(4) == 0) run_some();
  return point;
}

StreamPoint Streams::end_of(StreamQueue& stream) {
  if (&stream == legacy_) return enqueue(stream, [] {});
  return {&stream, stream.enqueued};
}

bool Streams::can_run(const StreamQueue& stream) {
  return !stream.is_idle() &&
         std::all_of(stream.work.front().after.begin(), stream.work.front().after.end(), &is_done);
}

void Streams::draw_priorities() {
  for (StreamQueue* const stream : live_) stream->priority = static_cast<u32>(random_.next());
}

bool Streams::run_next() {
  std::vector<StreamQueue*> candidates;
  for (StreamQueue* const stream : live_) {
    if (can_run(*stream)) candidates.push_back(stream);
  }
  if (candidates.empty()) return false;
  // Mostly one stream runs as far as it can, so that the extremes occur as well: a stream far ahead
  // of the others, or behind all of them.
  StreamQueue* const chosen =
      random_.below(4) == 0 ? candidates[random_.below(static_cast<u32>(candidates.size()))]
                            : *std::max_element(candidates.begin(), candidates.end(),
                                                [](const StreamQueue* a, const StreamQueue* b) {
                                                  return a->priority < b->priority;
                                                });
  const Work work = std::move(chosen->work.front());
  chosen->work.pop_front();
  running_ = true;
  work.run();
  running_ = false;
  ++chosen->done;
  return true;
}

void Streams::wait_for(StreamPoint point) {
  draw_priorities();
  while (!is_done(point)) {
    // What work waits for was always enqueued before it, so something can run.
    if (!run_next()) {
      std::fputs("velum emulation: streams wait for each other\n", stderr);
      std::abort();
    }
  }
  const u32 beyond = random_.below(4);  // 0: nothing, 1: all that can run
  while (beyond != 0 && (beyond == 1 || random_.below(2) == 0) && run_next()) {
  }
  forget_finished();
}

void Streams::wait_for_all() {
  draw_priorities();
  while (run_next()) {
  }
  forget_finished();
}

void Streams::run_some() {
  draw_priorities();
  while (random_.below(2) == 0 && run_next()) {
  }
  forget_finished();
}

void Streams::clear() {
  for (StreamQueue* const stream : live_) {
    stream->work.clear();
    stream->done = stream->enqueued;
  }
  forget_finished();
}

}  // namespace velum::emulation
