#include "velum/dpsgd/training/release_journal.h"

#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>

namespace velum::dpsgd {
namespace {

constexpr const char* kKeyEpoch = "key_epoch";

}  // namespace

ReleaseJournal::ReleaseJournal(const std::filesystem::path& path) : file_(path) {
  std::istringstream lines(file_.initial_content());
  std::string line;
  std::int64_t sessions = 0;
  for (std::int64_t number = 1; std::getline(lines, line); ++number) {
    try {
      const auto record = nlohmann::json::parse(line);
      if (record.contains(kKeyEpoch)) {
        if (record.at(kKeyEpoch).get<std::int64_t>() != sessions) {
          throw std::invalid_argument("key_epoch = " + record.at(kKeyEpoch).dump() + ", expected " +
                                      std::to_string(sessions));
        }
        ++sessions;
        continue;
      }
      if (sessions == 0) throw std::invalid_argument("a release before the first key_epoch");
      const Composition release = Composition::from_json(line);
      for (const Phase& phase : release.phases()) {
        history_.append(phase.mechanism, phase.count, phase.label);
      }
    } catch (const std::exception& error) {
      throw std::runtime_error("the record of releases is damaged: " + path.string() + ", line " +
                               std::to_string(number) + ": " + error.what());
    }
  }
  key_epoch_ = static_cast<std::uint32_t>(sessions);
  file_.append(nlohmann::json{{kKeyEpoch, key_epoch_}}.dump());
}

void ReleaseJournal::record(const Mechanism& mechanism, std::string_view label) {
  Composition release(history_.neighbouring());
  release.append(mechanism, 1, label);
  file_.append(nlohmann::json::parse(release.to_json()).dump());  // on one line
  history_.append(mechanism, 1, label);
}

}  // namespace velum::dpsgd
