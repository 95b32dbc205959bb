#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "velum/dpsgd/accounting/training_report.h"
#include "velum/dpsgd/training/training_plan.h"

namespace velum::dpsgd {

/// How a run is carried out; none of it changes what is promised.
struct RunOptions {
  /// Holds plan.json, releases.jsonl (the books), checkpoint.pt, metrics.jsonl and, at the end,
  /// model.pt, report.json and report.txt.
  std::filesystem::path directory = {};
  int threads = 1;
  /// Features between runs; as private as the data. None: no cache.
  std::optional<std::filesystem::path> cache_directory = std::nullopt;
  /// A checkpoint is written at every end of an epoch, and after this many seconds without one.
  double checkpoint_seconds = 30.0;
  /// Where the ledger of a resumed run is now; none: where it was.
  std::optional<std::filesystem::path> ledger_file = std::nullopt;
};

/// One line of metrics.jsonl. Nothing in it depends on the training data but through what was
/// released.
struct EpochMetrics {
  std::int64_t epoch = 0;
  std::int64_t step = 0;
  double epsilon = 0.0;        ///< of all releases so far
  double test_accuracy = 0.0;  ///< percent
  double seconds = 0.0;        ///< since the run began, interruptions not counted
  /// C of the next step; only of adaptive clipping. Made of noised counts, as epsilon covers.
  std::optional<double> clipping_norm = std::nullopt;
};

struct StepProgress {
  std::int64_t step = 0;   ///< done
  std::int64_t steps = 0;  ///< in all
  double epsilon = 0.0;
};

/// Told what happens, on the thread that trains. Does nothing by default.
class TrainingObserver {
 public:
  virtual ~TrainingObserver() = default;
  virtual void planned(const TrainingPlan& /*plan*/) {}
  /// Long work other than training: `done` of `total` of what `name` says.
  virtual void preparing(std::string_view /*name*/, std::int64_t /*done*/, std::int64_t /*total*/) {
  }
  virtual void step_done(const StepProgress& /*progress*/) {}
  virtual void epoch_done(const EpochMetrics& /*metrics*/) {}
  virtual void note(const std::string& /*text*/) {}
  /// Asked between steps and during preparation: true ends the run there, saved and resumable.
  virtual bool stop_requested() { return false; }
};

struct TrainingOutcome {
  bool complete = false;          ///< false: stopped by the observer or by the ledger's budget
  bool budget_exhausted = false;  ///< stopped by the ledger's budget
  TrainingReport report;
  std::optional<std::string> ledger_head = std::nullopt;  ///< after the run: worth noting elsewhere
};

/// The observer asked to stop while the training was being prepared.
class StoppedEarly : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Trains a model on protected images and leaves model and report in `run.directory`.
///
/// Everything that can be found wrong is found before the first release. Each release is recorded
/// durably before it happens (release_journal.h), so that no crash makes the books too small.
///
/// With users (`TrainingOptions::users_file`) the unit is a user: they are drawn and bounded, each
/// with all images or a choice of them, and the promise is about one of them. The file's assignment
/// is part of what is protected; a resumed run takes it from the same place.
///
/// With a ledger, whose data set has to be about the same unit and number of units, each release is
/// reserved there first, training steps in blocks of an epoch. The run ends at the ledger's budget
/// as it does where the observer asks to stop, and gives back the steps that never ran; a crash
/// keeps its block.
///
/// @param overwrite  start over where the directory holds a run. Its books are kept under another
///                   name: what was released stays released.
/// @throws std::invalid_argument for options that do not fit; DataError; std::system_error where
///         files cannot be read or written; std::runtime_error if the directory holds a run and
///         `overwrite` is false, or another process trains in it; StoppedEarly; BudgetExceeded if
///         the ledger's budget pays no step; LedgerError.
TrainingOutcome start_training(const TrainingOptions& options, const RunOptions& run,
                               TrainingObserver& observer, bool overwrite = false);

/// Goes on with the run in `run.directory` from its last checkpoint: with the whole history of its
/// books, a new noise key and a new key epoch.
///
/// Releases whose result was lost after the checkpoint are spent. Steps are taken as long as all
/// releases together stay within the budget of the plan, so that a run that lost k steps usually
/// ends k steps earlier.
///
/// @throws as `start_training`; std::runtime_error if there is no run, or its files are damaged or
///         do not belong together.
TrainingOutcome resume_training(const RunOptions& run, TrainingObserver& observer);

}  // namespace velum::dpsgd
