#pragma once

// Before the first Highway header. Vectors of unknown size cannot be members or stand in arrays,
// as ChaCha20's sixteen words do; where Arm has such vectors it has NEON, too.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#endif
