#pragma once

namespace velum::dpsgd {

// What a run releases, as it stands in journal and report. The last two are PrivacyEngine's.
inline constexpr const char* kMeanLabel = "mean of the features";
inline constexpr const char* kChannelMomentLabel = "second moment of channels";
inline constexpr const char* kSpatialMomentLabel = "second moment of positions";
inline constexpr const char* kTrainingLabel = "training";
inline constexpr const char* kUserTrainingLabel = "training, by user";

}  // namespace velum::dpsgd
