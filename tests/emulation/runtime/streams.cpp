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
  if (free_numbers_.empty()) {
    stream.number = static_cast<u32>(counts_.size());
    counts_.push_back(0);
  } else {
    stream.number = free_numbers_.back();
    free_numbers_.pop_back();
  }
  stream.enqueued = stream.done = counts_[stream.number];
  live_.push_back(&stream);
  return &stream;
}

void Streams::destroy(StreamQueue& stream) {
  stream.destroyed = true;
  forget_finished();
}

void Streams::forget_finished() {
  std::erase_if(live_, [this](const StreamQueue* stream) {
    if (!stream->destroyed || !stream->is_idle()) return false;
    join(finished_, stream->clock);
    if (stream->waits_for_legacy) join(finished_blocking_, stream->clock);
    counts_[stream->number] = stream->enqueued;
    old_numbers_.push_back(stream->number);
    return true;
  });
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

StreamPoint Streams::enqueue(StreamQueue& stream, std::function<void()> run,
                             const StreamPoint& after) {
  Work work;
  work.run = std::move(run);
  join(stream.clock, host_);
  const auto wait_for = [&](const StreamPoint& point) {
    join(stream.clock, *point.clock);
    if (!is_done(point)) work.after.push_back(point);
  };
  if (after.stream != nullptr) wait_for(after);
  // Work of the legacy stream and of a blocking stream is ordered by the time when it was enqueued.
  if (&stream == legacy_) {
    join(stream.clock, finished_blocking_);
    for (const StreamQueue* const other : live_) {
      if (other != legacy_ && other->waits_for_legacy) wait_for(last_of(*other));
    }
  } else if (stream.waits_for_legacy) {
    wait_for(last_of(*legacy_));
  }
  ++stream.enqueued;
  if (stream.clock.size() <= stream.number) stream.clock.resize(stream.number + 1);
  stream.clock[stream.number] = stream.enqueued;
  work.end = last_of(stream);
  StreamPoint end = work.end;
  stream.work.push_back(std::move(work));
  if (random_.below(4) == 0) run_some();
  return end;
}

StreamPoint Streams::last_of(const StreamQueue& stream) {
  return {&stream, stream.enqueued, std::make_shared<const StreamClock>(stream.clock)};
}

StreamPoint Streams::end_of(StreamQueue& stream) {
  return &stream == legacy_ ? enqueue(stream, [] {}) : last_of(stream);
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
  running_ = &work.end;
  work.run();
  running_ = nullptr;
  ++chosen->done;
  return true;
}

void Streams::wait_for(const StreamPoint& point) {
  if (point.stream == nullptr) return;
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
  host_learns(*point.clock);
}

void Streams::wait_for_all() {
  draw_priorities();
  while (run_next()) {
  }
  forget_finished();
  for (const StreamQueue* const stream : live_) join(finished_, stream->clock);
  host_learns(finished_);
}

void Streams::host_learns(const StreamClock& clock) {
  join(host_, clock);
  std::erase_if(old_numbers_, [this](u32 number) {
    const bool known = number < host_.size() && host_[number] >= counts_[number];
    if (known) free_numbers_.push_back(number);
    return known;
  });
}

bool Streams::query(const StreamQueue& stream) {
  run_some();
  StreamClock known;
  for (const StreamQueue* const other : live_) {
    if (other != &stream && (&stream != legacy_ || !other->waits_for_legacy)) continue;
    if (!other->is_idle()) return false;
    join(known, other->clock);
  }
  host_learns(known);
  return true;
}

bool Streams::query(const StreamPoint& point) {
  run_some();
  if (!is_done(point)) return false;
  if (point.stream != nullptr) host_learns(*point.clock);
  return true;
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
  wait_for_all();
}

}  // namespace velum::emulation
