#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "velum/dpsgd/audit/engine_conformance.h"
#include "velum/dpsgd/audit/neighbour_replay.h"
#include "velum/dpsgd/clipping.h"

namespace velum::testing {

/// What the audits of `SmallClassifier` are run for.
enum class Setting { kFlat, kGroups, kAutomatic, kAdaptive, kUserMean, kUserSum };

inline constexpr Setting kSettings[] = {Setting::kFlat,     Setting::kGroups,   Setting::kAutomatic,
                                        Setting::kAdaptive, Setting::kUserMean, Setting::kUserSum};

inline const char* name_of(Setting setting) {
  switch (setting) {
    case Setting::kFlat:
      return "flat";
    case Setting::kGroups:
      return "groups";
    case Setting::kAutomatic:
      return "automatic";
    case Setting::kAdaptive:
      return "adaptive";
    case Setting::kUserMean:
      return "users, mean";
    case Setting::kUserSum:
      return "users, sum";
  }
  return "";
}

inline bool by_user(Setting setting) {
  return setting == Setting::kUserMean || setting == Setting::kUserSum;
}
inline dpsgd::UserGradient user_gradient(Setting setting) {
  return setting == Setting::kUserSum ? dpsgd::UserGradient::kSum : dpsgd::UserGradient::kMean;
}

/// For the classifier's four parameters; of sensitivity 0.25 but for adaptive, which begins above
/// the norms of most gradients.
inline dpsgd::Clipping clipping_of(Setting setting, double noise_multiplier = 1.5) {
  switch (setting) {
    case Setting::kGroups:
      return dpsgd::Clipping::by_groups({{{0, 1}, 0.15}, {{2, 3}, 0.2}});
    case Setting::kAutomatic:
      return dpsgd::Clipping::automatic(0.25, 0.05);
    case Setting::kAdaptive:
      return dpsgd::Clipping::adaptive(
          {.initial_norm = 2.0, .count_noise = 0.6 * noise_multiplier});
    case Setting::kFlat:
    case Setting::kUserMean:
    case Setting::kUserSum:
      break;
  }
  return dpsgd::Clipping::flat(0.25);
}

inline dpsgd::ReplayOptions replay_options(Setting setting = Setting::kFlat) {
  return {.steps = 3,
          .sampling_rate = 0.2,
          .clipping = clipping_of(setting),
          .noise_multiplier = 1.5,
          .user_gradient = user_gradient(setting),
          .learning_rate = 0.2,
          .physical_batch_size = 5,
          .units_per_step = 2};
}

inline dpsgd::ConformanceOptions conformance_options(Setting setting = Setting::kFlat) {
  return {.sampling_rate = 0.2,
          .clipping = clipping_of(setting),
          .noise_multiplier = 1.5,
          .user_gradient = user_gradient(setting),
          .physical_batch_size = 5};
}

/// For a failure's message.
inline std::string table(const dpsgd::ConformanceResult& result) {
  std::string text;
  for (const auto& check : result.checks) {
    text += (result.holds(check) ? "  " : "! ") + check.name + ": " + check.found +
            ", p = " + std::to_string(check.p_value) + "\n";
  }
  return text;
}

}  // namespace velum::testing
