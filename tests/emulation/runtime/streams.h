#pragma once

#include <cuda_runtime_api.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/schedule_random.h"
#include "runtime/stream_clock.h"

namespace velum::emulation {

struct StreamQueue;

/// The first `count` pieces of a stream's work, and all that happens before the end of them.
struct StreamPoint {
  const StreamQueue* stream = nullptr;
  u64 count = 0;
  std::shared_ptr<const StreamClock> clock;
};

/// Enqueued work: what it does, and what must be done before beside the work before it in its own
/// stream.
struct Work {
  StreamPoint end;  // of this work
  std::vector<StreamPoint> after;
  std::function<void()> run;
};

struct StreamQueue {
  u32 number = 0;  // in clocks; used again after the stream's life, when the host knows its end
  bool waits_for_legacy = true;
  bool destroyed = false;
  u64 enqueued = 0;
  u64 done = 0;
  StreamClock clock;  // what happens before the next work
  std::deque<Work> work;
  u32 priority = 0;  // of the schedule that is being made; random

  bool is_idle() const { return work.empty(); }
};

/// What an event recorded while its stream was being captured: nodes of that capture.
struct CapturedPoint {
  u64 capture = 0;  // 0: none
  std::vector<u32> nodes;
};

struct Event {
  bool has_timing = true;
  CapturedPoint captured;  // instead of `recorded`, if the last record was in a capture
  StreamPoint recorded;    // the last record; no stream before the first
  std::shared_ptr<double> milliseconds = std::make_shared<double>(0);
};

/// The streams of the device and their order. Nothing runs but while a call into the runtime runs
/// it: a call that waits or asks runs, in a random order from the seed, what it needs and some
/// more; a call that enqueues sometimes runs something. Only three things order work: its stream,
/// an event, and the rules of the legacy default stream.
class Streams {
 public:
  explicit Streams(u64 seed) : random_(seed) { legacy_ = create(true); }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  StreamQueue& legacy() { return *legacy_; }
  /// nullptr if the handle is none of a live stream. `cudaStreamPerThread` is a stream of the
  /// calling thread's own.
  StreamQueue* find(cudaStream_t handle);
  StreamQueue* create(bool waits_for_legacy);
  /// The handle becomes invalid; work that is enqueued still runs, sooner or later.
  void destroy(StreamQueue& stream);

  Event* find(cudaEvent_t handle);
  Event* create_event();
  void destroy(Event& event) { events_.erase(&event); }

  /// Adds work, which also waits for `after`.
  StreamPoint enqueue(StreamQueue& stream, std::function<void()> run,
                      const StreamPoint& after = {});
  /// Whether all of it has run.
  static bool is_done(const StreamPoint& point) {
    return point.stream == nullptr || point.stream->done >= point.count;
  }
  /// The end of what is enqueued; for the legacy stream also that of the blocking streams, which a
  /// wait for it waits for.
  StreamPoint end_of(StreamQueue& stream);
  /// Runs work until `point` is done, and some more.
  void wait_for(const StreamPoint& point);
  void wait_for_all();
  /// What a query does: sometimes runs something. Then whether all of the stream's work is done, or
  /// `point` is; if so, the host knows. The legacy stream's work is that of the blocking streams as
  /// well.
  bool query(const StreamQueue& stream);
  bool query(const StreamPoint& point);
  /// Drops what is enqueued.
  void clear();
  /// A choice that the seed makes.
  bool flip() { return random_.below(2) == 0; }
  /// The work that runs now; nullptr if none does. A call of the runtime is then one of a host
  /// function.
  const StreamPoint* running() const { return running_; }
  void set_seed(u64 seed) { random_ = ScheduleRandom(seed); }

 private:
  /// What is enqueued in a stream so far.
  static StreamPoint last_of(const StreamQueue& stream);
  static bool can_run(const StreamQueue& stream);
  void draw_priorities();
  /// Runs the next work of a stream; false if none can run.
  bool run_next();
  void run_some();
  void forget_finished();
  void host_learns(const StreamClock& clock);

  ScheduleRandom random_;
  /// Every stream there was: a handle is never used twice.
  std::vector<std::unique_ptr<StreamQueue>> all_;
  /// Those that are not destroyed or have work left.
  std::vector<StreamQueue*> live_;
  StreamQueue* legacy_ = nullptr;
  std::map<std::thread::id, StreamQueue*> per_thread_;
  std::map<Event*, std::unique_ptr<Event>> events_;
  const StreamPoint* running_ = nullptr;
  /// What the host knows to be done: all that it enqueues from then on happens after it.
  StreamClock host_;
  /// What happened in streams that are gone; blocking ones apart, as the legacy stream follows
  /// them.
  StreamClock finished_;
  StreamClock finished_blocking_;
  /// Numbers of streams that are gone: those whose end the host does not know yet, and the others.
  std::vector<u32> old_numbers_;
  std::vector<u32> free_numbers_;
  std::vector<u64> counts_;  // by number, at the end of its last stream
};

}  // namespace velum::emulation
