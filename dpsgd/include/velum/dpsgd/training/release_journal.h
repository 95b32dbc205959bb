#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "velum/dpsgd/accounting/composition.h"
#include "velum/dpsgd/training/durable_file.h"

namespace velum::dpsgd {

/// The books of a run on disk: every private release is recorded, durably, *before* it happens.
/// Wherever the process is killed, the books hold at least what was released; a release that was
/// recorded and did not happen, or whose result was lost, stays counted.
///
/// Each opening of the journal is a session of the run with its own key epoch, so that no two
/// sessions draw noise from the same place of a random stream.
///
/// Format: one JSON object in a line: {"key_epoch": k} when a session begins, a one-phase
/// `Composition` for each release.
class ReleaseJournal {
 public:
  /// Opens or creates the file, reads what earlier sessions recorded and begins a session.
  /// @throws std::runtime_error naming the file and line if it is damaged; std::system_error if
  ///         it cannot be opened, read or written.
  explicit ReleaseJournal(const std::filesystem::path& path);

  /// All releases ever recorded, those of earlier sessions first.
  const Composition& history() const { return history_; }
  /// 0 for the first session, and one more for each later one.
  std::uint32_t key_epoch() const { return key_epoch_; }

  /// Returns when the record is on the device; release only then.
  /// @throws std::system_error if it cannot be recorded; then do not release.
  void record(const Mechanism& mechanism, std::string_view label);

 private:
  AppendOnlyFile file_;
  Composition history_;
  std::uint32_t key_epoch_ = 0;
};

}  // namespace velum::dpsgd
