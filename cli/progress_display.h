#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "velum/dpsgd/training/training_run.h"

namespace velum::cli {

/// Shows a training run on stderr: a bar that is redrawn on a terminal, else a plain line now and
/// then. Its `stop_requested` is the caught interrupt.
class ProgressDisplay final : public dpsgd::TrainingObserver {
 public:
  enum class Style { kQuiet, kLines, kBar };
  explicit ProgressDisplay(Style style) : style_(style) {}
  ~ProgressDisplay() override;

  /// kBar if stderr is a terminal that can redraw, else kLines.
  static Style style_of_stderr();

  void planned(const dpsgd::TrainingPlan& plan) override;
  void preparing(std::string_view name, std::int64_t done, std::int64_t total) override;
  void step_done(const dpsgd::StepProgress& progress) override;
  void epoch_done(const dpsgd::EpochMetrics& metrics) override;
  void note(const std::string& text) override;
  bool stop_requested() override;

 private:
  using Clock = std::chrono::steady_clock;
  void show_step();
  void print_line(const std::string& text);
  void draw(const std::string& head, double fraction, const std::string& tail);
  void clear_bar();
  /// At most every `interval`; at once if `now_or_never`.
  bool due(std::chrono::milliseconds interval, bool at_once);

  Style style_;
  bool bar_is_drawn_ = false;
  bool told_of_interrupt_ = false;
  Clock::time_point last_shown_{};
  std::string preparing_name_;
  Clock::time_point began_{};
  std::int64_t first_ = -1;  // step, or row, at `began_`
  dpsgd::StepProgress step_;
  double accuracy_ = -1.0;  // percent; below 0: none yet
};

}  // namespace velum::cli
