#include "progress_display.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "interrupt.h"

namespace velum::cli {
namespace {

constexpr std::size_t kBarWidth = 24;
constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::chrono::milliseconds kLineInterval{10000};

template <typename... Values>
std::string format(const char* pattern, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(std::llround(std::max(seconds, 0.0)));
  if (whole >= 3600) return format("%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  return format("%lld:%02lld", whole / 60, whole % 60);
}

std::string rate_text(double per_second) {
  return per_second >= 1.0 ? format("%.3g/s", per_second) : format("%.3g s each", 1.0 / per_second);
}

}  // namespace

ProgressDisplay::~ProgressDisplay() { clear_bar(); }

ProgressDisplay::Style ProgressDisplay::style_of_stderr() {
  const char* terminal = std::getenv("TERM");
  const bool can_redraw =
      isatty(STDERR_FILENO) != 0 && terminal != nullptr && std::string_view(terminal) != "dumb";
  return can_redraw ? Style::kBar : Style::kLines;
}

void ProgressDisplay::planned(const dpsgd::TrainingPlan& plan) {
  print_line(
      format("%s, %lld steps at sampling rate %.6g, noise multiplier %.5g, "
             "clipping norm %.4g",
             std::string(to_string(plan.model)).c_str(), static_cast<long long>(plan.steps),
             plan.sampling_rate, plan.noise_multiplier, plan.clipping_norm));
  print_line(format("budget: epsilon %.6g at delta %.3g", plan.epsilon, plan.delta));
  if (plan.insecure_seed) print_line("NOT PRIVATE: the noise comes from a known seed");
}

void ProgressDisplay::preparing(std::string_view name, std::int64_t done, std::int64_t total) {
  if (name != preparing_name_) {
    preparing_name_ = name;
    began_ = Clock::now();
    first_ = done;
    last_shown_ = {};
  }
  if (style_ == Style::kLines) {
    if (done == total) print_line(preparing_name_ + ": done");
  } else if (due(kRedraw, done == total)) {
    const double fraction =
        total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1.0;
    draw(preparing_name_, fraction,
         format("%lld/%lld", static_cast<long long>(done), static_cast<long long>(total)));
  }
}

void ProgressDisplay::step_done(const dpsgd::StepProgress& progress) {
  if (first_ < 0 || !preparing_name_.empty()) {
    preparing_name_.clear();
    began_ = Clock::now();
    first_ = progress.step;
    last_shown_ = {};
  }
  step_ = progress;
  if (style_ == Style::kBar && due(kRedraw, step_.step == step_.steps)) show_step();
}

void ProgressDisplay::epoch_done(const dpsgd::EpochMetrics& metrics) {
  accuracy_ = metrics.test_accuracy;
  const bool last = metrics.step == step_.steps;
  if (style_ == Style::kBar) {
    show_step();
    if (last) std::fputc('\n', stderr);
    if (last) bar_is_drawn_ = false;
  } else if (due(kLineInterval, last)) {
    show_step();
  }
}

void ProgressDisplay::show_step() {
  std::string tail =
      format("%lld/%lld", static_cast<long long>(step_.step), static_cast<long long>(step_.steps));
  const double elapsed = std::chrono::duration<double>(Clock::now() - began_).count();
  if (step_.step > first_ && elapsed > 0.0) {
    const double rate = static_cast<double>(step_.step - first_) / elapsed;
    tail += "  " + rate_text(rate);
    if (step_.step < step_.steps) {
      tail += "  " + duration(static_cast<double>(step_.steps - step_.step) / rate) + " left";
    }
  }
  // Rounded up, as everywhere.
  tail += format("  epsilon %.4f", std::ceil(step_.epsilon * 1e4) / 1e4);
  if (accuracy_ >= 0.0) tail += format("  test %.2f %%", accuracy_);
  if (style_ == Style::kBar) {
    draw("step", static_cast<double>(step_.step) / static_cast<double>(step_.steps), tail);
  } else {
    print_line("step " + tail);
  }
}

void ProgressDisplay::note(const std::string& text) { print_line(text); }

bool ProgressDisplay::stop_requested() {
  if (caught_signal() == 0) return false;
  if (!told_of_interrupt_) {
    told_of_interrupt_ = true;
    print_line("stopping; once more ends at once and loses what was done since the checkpoint");
  }
  return true;
}

void ProgressDisplay::print_line(const std::string& text) {
  if (style_ == Style::kQuiet) return;
  clear_bar();
  std::fprintf(stderr, "%s\n", text.c_str());
}

void ProgressDisplay::draw(const std::string& head, double fraction, const std::string& tail) {
  const auto filled = static_cast<std::size_t>(fraction * static_cast<double>(kBarWidth));
  std::string line = head + " [" + std::string(filled, '#') +
                     std::string(kBarWidth - std::min(filled, kBarWidth), '.') + "] " + tail;
  line.resize(std::min(line.size(), terminal_width() - 1));  // a wrapped line is not redrawn
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
  std::fflush(stderr);
  bar_is_drawn_ = true;
}

void ProgressDisplay::clear_bar() {
  if (!bar_is_drawn_) return;
  std::fputs("\r\033[K", stderr);
  bar_is_drawn_ = false;
}

bool ProgressDisplay::due(std::chrono::milliseconds interval, bool at_once) {
  const Clock::time_point now = Clock::now();
  if (!at_once && last_shown_ != Clock::time_point{} && now - last_shown_ < interval) return false;
  if (style_ == Style::kQuiet) return false;
  last_shown_ = now;
  return true;
}

}  // namespace velum::cli
